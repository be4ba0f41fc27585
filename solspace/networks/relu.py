"""A vanilla network of rectified units: ``h <- max(0, weight_hh h + ... + bias_ih)``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import Architecture, TorchModule, recurrent
from solspace.networks.loops import in_vectors, run_trials
from solspace.networks.vectors import Vector, elementwise


def step(weights: Any, drive: Any, h: Any) -> Any:
    """One step in torch."""
    return (drive + recurrent(weights, h))[..., 0, :].relu()


def _cell(drive: Vector, h: Vector) -> Vector:
    return drive.at_least(0.0)


_advance = elementwise(_cell, taken=2, given=1)


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, none, states):  # type: ignore[no-untyped-def]
    run_trials(x, start, w_in, w_rec, bias, none, states, 1, _advance)


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one network."""
    _run(*in_vectors(x, start, weights, gates=1), np.empty(0), states)


ARCHITECTURE = Architecture(
    name="relu",
    description="h <- max(0, weight_hh h + bias_hh + weight_ih x + bias_ih)",
    title="ReLU RNN",
    nonlinearity="relu",
    step=step,
    compiled=compiled,
    kernel="solspace.training.kernels_leaky",
    kernel_settings=lambda weights: (1.0, 1.0),  # nothing leaks, rectified
    torch_module=TorchModule("RNN", {"nonlinearity": "relu"}),
)
