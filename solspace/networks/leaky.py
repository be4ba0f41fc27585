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
from solspace.networks.loops import in_vectors, run_trials
from solspace.networks.vectors import Vector, elementwise, tanh

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


def _cell(drive: Vector, h: Vector, alpha: Vector) -> Vector:
    return (1.0 - alpha).times_plus(h, alpha * tanh(drive))


def _rate_cell(drive: Vector, h: Vector, alpha: Vector) -> Vector:
    return (1.0 - alpha).times_plus(h, alpha * drive.at_least(0.0))


_advance = elementwise(_cell, taken=2, given=1, settings=1)
_rate_advance = elementwise(_rate_cell, taken=2, given=1, settings=1)


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, alpha, states):  # type: ignore[no-untyped-def]
    run_trials(x, start, w_in, w_rec, bias, alpha, states, 1, _advance)


@njit(cache=True, nogil=True)
def _rate_run(x, start, w_in, w_rec, bias, alpha, states):  # type: ignore[no-untyped-def]
    run_trials(x, start, w_in, w_rec, bias, alpha, states, 1, _rate_advance)


def _compiled(run: Any, x: Any, start: Any, weights: Any, states: Any) -> None:
    alpha = np.asarray(weights["alpha"], np.float64).reshape(1)
    run(*in_vectors(x, start, weights, gates=1), alpha, states)


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one tanh network."""
    _compiled(_run, x, start, weights, states)


def rate_compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one rectified network."""
    _compiled(_rate_run, x, start, weights, states)


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
