"""Populations in memory: their variables, new and imported networks, and a map over networks."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "architecture_of": "describe",
    "each_network": "each",
    "failures_told_elsewhere": "each",
    "import_networks": "networks",
    "network_name": "networks",
    "network_weights": "networks",
    "new_population": "networks",
    "pack_weights": "networks",
    "read_networks": "networks",
    "recipe_of": "describe",
    "task_of": "describe",
    "warn_of_failures": "each",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    # Declarations are read by the command line, which need not wait for compiled kernels.
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"solspace.population.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
