"""The vanilla network: ``h <- tanh(weight_hh h + bias_hh + weight_ih x + bias_ih)``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import Architecture, TorchModule, recurrent
from solspace.networks.loops import add_product, to_drive


def step(weights: Any, drive: Any, h: Any) -> Any:
    """One step in torch."""
    return (drive + recurrent(weights, h))[..., 0, :].tanh()


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, states):  # type: ignore[no-untyped-def]
    n = w_rec.shape[0]
    drive = np.empty(n, states.dtype)
    h = np.empty(n, states.dtype)
    for trial in range(x.shape[0]):
        h[:] = start[trial]
        for t in range(x.shape[1]):
            to_drive(x[trial, t], w_in, bias, drive)
            add_product(h, w_rec, drive)
            for u in range(n):
                h[u] = np.tanh(drive[u])
            states[trial, t] = h


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one network."""
    bias = weights["bias_ih"] + weights["bias_hh"]
    _run(x, start, weights["weight_ih"], weights["weight_hh"], bias, states)


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
