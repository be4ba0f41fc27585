"""Whether graphs allow what networks do, and forbid what others do.

`sequences` are what networks are driven with, `scores` how right their graphs are.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "Pool": "verification.sequences",
    "ResponseSequences": "reduction.responses",
    "Verification": "verification.scores",
    "allowed": "reduction.acceptance",
    "graph_recall": "reduction.acceptance",
    "graph_specificity": "verification.scores",
    "join_responses": "reduction.responses",
    "output_responses": "reduction.responses",
    "pool_responses": "verification.sequences",
    "read_responses": "reduction.responses",
    "verification_sequences": "verification.sequences",
    "verify_graphs": "verification.scores",
    "with_silent_leads": "reduction.acceptance",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    # Declarations are read by the command line, which need not wait for compiled kernels.
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"solspace.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
