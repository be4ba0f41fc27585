"""Training: one network by its task's recipe, in a compiled kernel on one core."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solspace.training.driver import (
        INITS,
        Checkpoint,
        TrainingResult,
        initial_weights,
        learning_rates,
        loss_levels,
        mean_squared_error,
        train_network,
        training_trials,
    )

__all__ = [
    "INITS",
    "Checkpoint",
    "TrainingResult",
    "initial_weights",
    "learning_rates",
    "loss_levels",
    "mean_squared_error",
    "train_network",
    "training_trials",
]


def __getattr__(name: str) -> Any:
    # Declarations are read by the command line, which need not wait for compiled kernels.
    if name in __all__:
        return getattr(importlib.import_module("solspace.training.driver"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
