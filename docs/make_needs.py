"""Write the table of docs/own_task.md: what a task must give for which stage."""

from __future__ import annotations

import re
from pathlib import Path

from solspace.tasks.needs import needs_table

PAGE = Path(__file__).parent / "own_task.md"
BEGIN, END = "<!-- made by docs/make_needs.py -->", "<!-- end -->"


def written(text: str) -> str:
    """The page with the table as it is now."""
    table = f"{BEGIN}\n\n{needs_table()}\n\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, text, flags=re.S)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
