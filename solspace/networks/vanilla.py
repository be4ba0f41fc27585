"""The vanilla network: ``h <- tanh(weight_hh h + bias_hh + weight_ih x + bias_ih)``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import Architecture, TorchModule, recurrent
from solspace.networks.loops import in_vectors, run_trials
from solspace.networks.vectors import Vector, elementwise, tanh


def step(weights: Any, drive: Any, h: Any) -> Any:
    """One step in torch."""
    return (drive + recurrent(weights, h))[..., 0, :].tanh()


def _cell(drive: Vector, h: Vector) -> Vector:
    return tanh(drive)


_advance = elementwise(_cell, taken=2, given=1)


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, none, states):  # type: ignore[no-untyped-def]
    run_trials(x, start, w_in, w_rec, bias, none, states, 1, _advance)


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one network."""
    _run(*in_vectors(x, start, weights, gates=1), np.empty(0), states)


ARCHITECTURE = Architecture(
    name="vanilla",
    description="h <- tanh(weight_hh h + bias_hh + weight_ih x + bias_ih)",
    title="vanilla RNN",
    step=step,
    compiled=compiled,
    kernel="solspace.training.kernels",
    torch_module=TorchModule("RNN", {"nonlinearity": "tanh"}),
    fit="solspace.features.fit:Vanilla",
)
