"""Training: one network by its task's recipe, in a compiled kernel on one core."""

from __future__ import annotations

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
