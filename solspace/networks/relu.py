"""A vanilla network of rectified units: ``h <- max(0, weight_hh h + ... + bias_ih)``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import Architecture, TorchModule, recurrent
from solspace.networks.loops import add_product, to_drive


def step(weights: Any, drive: Any, h: Any) -> Any:
    """One step in torch."""
    return (drive + recurrent(weights, h))[..., 0, :].relu()


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, states):  # type: ignore[no-untyped-def]
    n = w_rec.shape[0]
    drive = np.empty(n, states.dtype)
    h = np.empty(n, states.dtype)
    zero = states.dtype.type(0)
    for trial in range(x.shape[0]):
        h[:] = start[trial]
        for t in range(x.shape[1]):
            to_drive(x[trial, t], w_in, bias, drive)
            add_product(h, w_rec, drive)
            for u in range(n):
                # Written so that NaN stays NaN.
                h[u] = zero if drive[u] < zero else drive[u]
            states[trial, t] = h


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one network."""
    bias = weights["bias_ih"] + weights["bias_hh"]
    _run(x, start, weights["weight_ih"], weights["weight_hh"], bias, states)


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
