"""Write what a script makes into a page, between two lines that stay."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_part"]

END = "<!-- to here -->"


def write_part(page: Path, script: str, text: str) -> None:
    """Put `text` where a page says that the script writes.

    Raises
    ------
    ValueError
        If the page has no such place.
    """
    folder = Path(script).resolve().parent.name
    begin = f"<!-- written by {folder}/{Path(script).name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"{page} has no place between the lines {begin} and {END}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{END}{after}")
