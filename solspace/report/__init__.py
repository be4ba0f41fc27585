"""One self-contained page about populations: which solutions there are and what they look like.

`page` writes the file, `sections` says what is shown of a population, `words` and `tables` how it
is told, `pictures` keeps the files beside the page.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {"answered_rows": "words", "representative": "sections", "write_report": "page"}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"solspace.report.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
