"""Populations of trained recurrent networks as labeled datasets.

solspace trains hundreds of networks on one task, records them like neurons, challenges them
outside the trained range, compresses the dynamics of each into a small directed graph, and
keeps everything in one labeled Zarr store that ``xarray.open_zarr`` reads.

Everything public is one import away and loaded when first used, so ``import solspace`` stays
fast and never imports torch, numba or xarray by itself.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {
    "SolspaceError": "errors",
    "Recipe": "tasks",
    "Task": "tasks",
    "Trials": "tasks",
    "get_task": "tasks",
    "register_task": "tasks",
    "Architecture": "networks",
    "register_architecture": "networks",
    "import_networks": "population",
    "network_weights": "population",
    "new_population": "population",
    "read_networks": "population",
    "train": "training.stage",
    "extrapolate": "simulation",
    "record": "simulation",
    "graph_of": "reduction.stage",
    "reduce": "reduction.stage",
    "verify": "verification_stage",
    "activity_features": "features",
    "classify": "classification",
    "classify_across": "classification",
    "classify_recordings": "experiment",
    "observe": "experiment",
    "extract_features": "features",
    "add_population": "pipeline",
    "create_population": "pipeline",
    "pack": "pipeline",
    "run_stage": "pipeline",
    "open_population": "store",
    "check_store": "info",
    "describe": "info",
    "write_report": "report",
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"solspace.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'solspace' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
