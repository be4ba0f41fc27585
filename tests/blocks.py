"""Python blocks of README and docs, for the tests that run them.

A test that asks for blocks runs them. `test_docs.py` reads these calls in the source of all tests,
so their arguments are written out, and every block that no call names is found.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["ROOT", "all_blocks", "python_blocks"]

ROOT = Path(__file__).resolve().parents[1]


def all_blocks(page: str) -> list[str]:
    """Every Python block of a page, whether or not a test runs it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M)


def python_blocks(page: str, containing: str = "") -> list[str]:
    """The Python blocks of a page, such as ``docs/xarray.md``, that have some words in them."""
    blocks = [block for block in all_blocks(page) if containing in block]
    assert blocks, f"{page} has no Python block with {containing!r}"
    return blocks
