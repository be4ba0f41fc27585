"""The two-neuron ODE, many networks at once: states, losses, gradients.

The network of Turner, Dabholkar & Barak (NeurIPS 2021), Figure 1::

    dx/dt = -x + W tanh(x),   x(0) = (1, 0),   loss = 1/2 |x(T) - (0, 1)|^2,   T = 10

is integrated by the classical Runge-Kutta method in `STEPS` equal steps, which is within 1e-6 of
the exact final state for the weights met here; gradients are those of the discrete steps, backwards
through them. `LANES` networks go side by side through every operation, so that the compiler makes
vectors of them; what happens in one lane does not depend on the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = [
    "DURATION",
    "LANES",
    "START",
    "STEPS",
    "TARGET",
    "as_weights",
    "final_states",
    "loss_and_gradient",
    "loss_of",
    "speed",
    "trajectories",
    "velocity",
]

DURATION = 10.0
START = (1.0, 0.0)
TARGET = (0.0, 1.0)

LANES = 16
STEPS = 500

_FAST = {"cache": True, "nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
# What is called by others is compiled into them; else which copy of it runs, and so the last bits,
# would turn on what this process compiled and what it found in Numba's cache.
_INNER = {**_FAST, "forceinline": True}

# 1/k!, lowest first.
_EXP = tuple(1 / float(np.prod(np.arange(1, k + 1))) for k in range(11))


@njit(**_INNER)
def tanh(x):  # type: ignore[no-untyped-def]
    """Within 1e-14, without a branch or a call, so that a loop over it becomes vectors."""
    # exp(-2|x|) as the 64th power of a short series.
    z = min(2.0 * abs(x), 40.0) * (-1 / 64)
    e = _EXP[10]
    e = e * z + _EXP[9]
    e = e * z + _EXP[8]
    e = e * z + _EXP[7]
    e = e * z + _EXP[6]
    e = e * z + _EXP[5]
    e = e * z + _EXP[4]
    e = e * z + _EXP[3]
    e = e * z + _EXP[2]
    e = e * z + _EXP[1]
    e = e * z + _EXP[0]
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return np.copysign((1 - e) / (1 + e), x)


# --------------------------------------------------------------------------- one block of lanes
# Weights are (4, lane) in the order 11, 12, 21, 22; states (2, lane). `active` (step, stage, 2,
# lane) keeps tanh of the state at every stage, which is all that the way back needs.


@njit(**_INNER)
def _stage(w, x, before, scale, slope, active):  # type: ignore[no-untyped-def]
    for k in range(LANES):
        p = x[0, k] + scale * before[0, k]
        q = x[1, k] + scale * before[1, k]
        t, u = tanh(p), tanh(q)
        active[0, k], active[1, k] = t, u
        slope[0, k] = w[0, k] * t + w[1, k] * u - p
        slope[1, k] = w[2, k] * t + w[3, k] * u - q


@njit(**_INNER)
def _step(w, x, h, slope, active):  # type: ignore[no-untyped-def]
    _stage(w, x, slope[0], 0.0, slope[0], active[0])
    _stage(w, x, slope[0], h / 2, slope[1], active[1])
    _stage(w, x, slope[1], h / 2, slope[2], active[2])
    _stage(w, x, slope[2], h, slope[3], active[3])
    for i in range(2):
        for k in range(LANES):
            x[i, k] += (
                h / 6 * (slope[0, i, k] + 2 * slope[1, i, k] + 2 * slope[2, i, k] + slope[3, i, k])
            )


@njit(**_INNER)
def _stage_back(w, active, error, back, scale, scale_back, total, gradient):  # type: ignore[no-untyped-def]
    """Error of one stage's slope, what it does to the state before, and to the weights."""
    for k in range(LANES):
        a = scale * error[0, k] + scale_back * back[0, k]
        b = scale * error[1, k] + scale_back * back[1, k]
        t, u = active[0, k], active[1, k]
        p = (1 - t * t) * (w[0, k] * a + w[2, k] * b) - a
        q = (1 - u * u) * (w[1, k] * a + w[3, k] * b) - b
        back[0, k], back[1, k] = p, q
        total[0, k] += p
        total[1, k] += q
        gradient[0, k] += a * t
        gradient[1, k] += a * u
        gradient[2, k] += b * t
        gradient[3, k] += b * u


@njit(**_INNER)
def block_gradient(w, steps, active, work, loss, gradient):  # type: ignore[no-untyped-def]
    """Fill ``loss`` (lane,) and ``gradient`` (4, lane); ``work`` is (7, 2, lane)."""
    h = DURATION / steps
    x, slope = work[0], work[1:5]
    x[0], x[1] = START[0], START[1]
    slope[0] = 0.0
    for n in range(steps):
        _step(w, x, h, slope, active[n])
    error, total, back = work[1], work[5], work[6]
    for k in range(LANES):
        error[0, k], error[1, k] = x[0, k] - TARGET[0], x[1, k] - TARGET[1]
        loss[k] = (error[0, k] ** 2 + error[1, k] ** 2) / 2
    gradient[:] = 0.0
    for n in range(steps - 1, -1, -1):
        total[:] = error
        back[:] = 0.0
        _stage_back(w, active[n, 3], error, back, h / 6, 0.0, total, gradient)
        _stage_back(w, active[n, 2], error, back, h / 3, h, total, gradient)
        _stage_back(w, active[n, 1], error, back, h / 3, h / 2, total, gradient)
        _stage_back(w, active[n, 0], error, back, h / 6, h / 2, total, gradient)
        error[:] = total


@njit(**_FAST)
def _run(lanes, states, h, kept, every):  # type: ignore[no-untyped-def]
    """Integrate blocks: lanes (block, 4, lane), states (block, 2, lane) in place.

    ``kept`` (block, 2, lane, time) gets every so manieth state; an empty one keeps nothing.
    """
    slope, active = np.zeros((4, 2, LANES)), np.zeros((4, 2, LANES))
    for b in range(lanes.shape[0]):
        slope[:] = 0.0
        for n in range(kept.shape[3]):
            kept[b, :, :, n] = states[b]
            if n + 1 < kept.shape[3]:
                for _ in range(every):
                    _step(lanes[b], states[b], h, slope, active)


@njit(**_FAST)
def _gradients(lanes, steps, loss, gradient):  # type: ignore[no-untyped-def]
    active, work = np.zeros((steps, 4, 2, LANES)), np.zeros((7, 2, LANES))
    for b in range(lanes.shape[0]):
        block_gradient(lanes[b], steps, active, work, loss[b], gradient[b])


# --------------------------------------------------------------------------- arrays in, arrays out


def as_weights(weights: ArrayLike) -> NDArray[np.float64]:
    """Connectivity of many networks as (network, 2, 2).

    Raises
    ------
    SolspaceError
        Where the shape is another, or a weight is no number.

    Examples
    --------
    >>> as_weights([[0, -1], [1, 0]]).shape
    (1, 2, 2)
    """
    array = np.asarray(weights, dtype=np.float64)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[1:] != (2, 2):
        raise SolspaceError(
            f"weights have shape {np.shape(weights)}; give (network, 2, 2), row i of a matrix "
            "being what neuron i receives"
        )
    if not np.isfinite(array).all():
        bad = int(np.argmax(~np.isfinite(array).all(axis=(1, 2))))
        raise SolspaceError(f"weights of network {bad} hold NaN or infinity; give finite numbers")
    return array


def to_lanes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(network, n) as (block, n, lane), the last block filled up with zeros."""
    n, width = values.shape
    blocks = -(-n // LANES)
    padded = np.zeros((blocks * LANES, width))
    padded[:n] = values
    return np.ascontiguousarray(padded.reshape(blocks, LANES, width).transpose(0, 2, 1))


def from_lanes(lanes: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """The other way round, (network, n, ...)."""
    moved = np.moveaxis(lanes, 2, 1)
    return np.ascontiguousarray(moved.reshape(-1, *moved.shape[2:])[:n])


def trajectories(
    weights: ArrayLike,
    *,
    start: ArrayLike = START,
    duration: float = DURATION,
    points: int = 101,
    step: float = DURATION / STEPS,
) -> NDArray[np.float64]:
    """States of many networks at equally spaced times, (network, time, 2).

    Parameters
    ----------
    weights : array (network, 2, 2)
    start : array (2,) or (network, 2)
    duration : float
        Negative goes back in time.
    points : int
        Times from 0 to ``duration``, both included.
    step : float
        Longest step of the integration.

    Examples
    --------
    >>> path = trajectories([[0.0, 0.0], [0.0, 0.0]], points=3)
    >>> np.allclose(path[0, :, 0], np.exp([0, -5, -10]), atol=1e-9)
    True
    """
    w = as_weights(weights)
    if points < 2:
        raise SolspaceError(f"{points} points; give 2 or more")
    every = max(1, int(np.ceil(abs(duration) / (points - 1) / step - 1e-9)))
    states = to_lanes(np.array(np.broadcast_to(np.asarray(start, float), (len(w), 2))))
    kept = np.empty((*states.shape, points))
    _run(to_lanes(w.reshape(-1, 4)), states, duration / (points - 1) / every, kept, every)
    return from_lanes(kept, len(w)).transpose(0, 2, 1)


def final_states(weights: ArrayLike) -> NDArray[np.float64]:
    """State at the end of the task, x(T), (network, 2).

    Examples
    --------
    >>> final_states([[0.0, 0.0], [0.0, 0.0]]).round(6)
    array([[4.5e-05, 0.0e+00]])
    """
    return trajectories(weights, points=2)[:, -1]


def loss_of(weights: ArrayLike) -> NDArray[np.float64]:
    """Loss of each network, ``1/2 |x(T) - target|^2``.

    Examples
    --------
    >>> loss_of([[0.0, 0.0], [0.0, 0.0]]).round(6)
    array([0.5])
    """
    return np.asarray(((final_states(weights) - TARGET) ** 2).sum(axis=1) / 2)


def loss_and_gradient(
    weights: ArrayLike, *, steps: int = STEPS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loss of each network and its gradient by the weights, (network,) and (network, 2, 2).

    Examples
    --------
    >>> loss, gradient = loss_and_gradient([[1.5, -0.5], [1.0, 1.0]])
    >>> nudged = loss_of([[1.5 + 1e-6, -0.5], [1.0, 1.0]])
    >>> bool(abs((nudged - loss) / 1e-6 - gradient[0, 0, 0]) < 1e-3)
    True
    """
    w = as_weights(weights)
    lanes = to_lanes(w.reshape(-1, 4))
    loss, gradient = np.empty((len(lanes), 1, LANES)), np.empty_like(lanes)
    _gradients(lanes, steps, loss[:, 0], gradient)
    return from_lanes(loss, len(w))[:, 0], from_lanes(gradient, len(w)).reshape(-1, 2, 2)


def velocity(weights: ArrayLike, x: ArrayLike) -> NDArray[Any]:
    """dx/dt of one network at states (..., 2).

    Examples
    --------
    >>> velocity([[0, -1], [1, 0]], [0.0, 0.0]).tolist()
    [0.0, 0.0]
    """
    state = np.asarray(x, float)
    return np.asarray(-state + np.tanh(state) @ as_weights(weights)[0].T)


def speed(weights: ArrayLike, x: ArrayLike) -> NDArray[Any]:
    """``q = 1/2 |dx/dt|^2`` at states (..., 2) (Sussillo & Barak 2013).

    Examples
    --------
    >>> speed([[0, 0], [0, 0]], [2.0, 0.0]).tolist()
    2.0
    """
    return np.asarray((velocity(weights, x) ** 2).sum(axis=-1) / 2)
