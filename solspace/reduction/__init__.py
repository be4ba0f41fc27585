"""Reduced dynamics: what a network does, as a graph of a few nodes.

`trajectories` finds chains and where they come round, `merging` joins them where they run
together, `compaction` rewrites the outcome, `canonical` names it. `automaton` makes graphs in
another way, from outputs alone, and `timed` gives them windows of time. `responses` are what a
network puts out, `acceptance` says which of them a graph allows.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "METHODS": "methods",
    "reduce_network": "methods",
    "ResponseSequences": "responses",
    "allowed": "acceptance",
    "behavior": "canonical",
    "describe_solution": "canonical",
    "graph_key": "canonical",
    "graph_recall": "acceptance",
    "join_responses": "responses",
    "minimized": "canonical",
    "output_responses": "responses",
    "read_responses": "responses",
    "solution_key": "canonical",
    "solution_name": "names",
    "with_silent_leads": "acceptance",
    "Graph": "graph",
    "ReductionError": "graph",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    # Declarations are read by the command line, which need not wait for compiled kernels.
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"solspace.reduction.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
