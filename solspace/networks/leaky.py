"""Leaky networks: each step goes a share ``alpha`` of the way to the new activity.

``h <- (1 - alpha) h + alpha f(weight_hh h + bias_hh + weight_ih x + bias_ih)``, Euler's method with
step ``alpha`` (time step over time constant) for ``tau dh/dt = -h + f(...)``; f is tanh, or of
``leaky_rate`` max(0, .) as for firing rates (Song, Yang & Wang, PLoS Comput Biol 2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import Architecture, Parameter, recurrent
from solspace.networks.loops import add_product, to_drive

ALPHA = Parameter(
    "alpha",
    "share of the way to the new activity that one step goes: time step over time constant",
    default=0.2,
    least=0.0,
    most=1.0,
)


def step(weights: Any, drive: Any, h: Any) -> Any:
    """One step in torch, tanh."""
    alpha = weights["alpha"]
    return (1 - alpha) * h + alpha * (drive + recurrent(weights, h))[..., 0, :].tanh()


def rate_step(weights: Any, drive: Any, h: Any) -> Any:
    """One step in torch, rectified."""
    alpha = weights["alpha"]
    return (1 - alpha) * h + alpha * (drive + recurrent(weights, h))[..., 0, :].relu()


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, alpha, rectified, states):  # type: ignore[no-untyped-def]
    n = w_rec.shape[0]
    drive = np.empty(n, states.dtype)
    h = np.empty(n, states.dtype)
    zero, one = states.dtype.type(0), states.dtype.type(1)
    for trial in range(x.shape[0]):
        h[:] = start[trial]
        for t in range(x.shape[1]):
            to_drive(x[trial, t], w_in, bias, drive)
            add_product(h, w_rec, drive)
            for u in range(n):
                new = drive[u]
                if not rectified:
                    new = np.tanh(new)
                elif new < zero:
                    new = zero
                h[u] = (one - alpha) * h[u] + alpha * new
            states[trial, t] = h


def _compiled(x: Any, start: Any, weights: Any, rectified: bool, states: Any) -> None:
    bias = weights["bias_ih"] + weights["bias_hh"]
    alpha = weights["alpha"][()]
    _run(x, start, weights["weight_ih"], weights["weight_hh"], bias, alpha, rectified, states)


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one tanh network."""
    _compiled(x, start, weights, False, states)


def rate_compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one rectified network."""
    _compiled(x, start, weights, True, states)


ARCHITECTURES = (
    Architecture(
        name="leaky",
        description="h <- (1 - alpha) h "
        "+ alpha tanh(weight_hh h + bias_hh + weight_ih x + bias_ih)",
        title="leaky RNN",
        parameters=(ALPHA,),
        step=step,
        compiled=compiled,
        kernel="solspace.training.kernels_leaky",
        kernel_settings=lambda weights: (float(weights["alpha"]), 0.0),
    ),
    Architecture(
        name="leaky_rate",
        description="h <- (1 - alpha) h "
        "+ alpha max(0, weight_hh h + bias_hh + weight_ih x + bias_ih)",
        title="leaky rate RNN",
        nonlinearity="relu",
        parameters=(ALPHA,),
        step=rate_step,
        compiled=rate_compiled,
        kernel="solspace.training.kernels_leaky",
        kernel_settings=lambda weights: (float(weights["alpha"]), 1.0),
    ),
)
