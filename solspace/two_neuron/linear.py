"""The linear network, whose solutions are known in closed form.

Without tanh the network is dx/dt = (W - 1) x, and the task asks exp((W - 1) T) x(0) = target.
Write the eigenvalues of (W - 1) T as ``alpha +- i omega``. Since
``exp(A) = e^alpha (cos(omega) + sin(omega) / omega (A - alpha))`` for a 2 x 2 matrix A, the first
column of exp(A) being (0, 1) leaves for every alpha and every omega that is no multiple of pi
exactly one solution::

    W = (1 + alpha / T) 1 + omega / (T sin omega) [[-cos omega, -e^alpha], [e^-alpha, cos omega]]

For real eigenvalues ``alpha +- nu`` sin and cos become sinh and cosh, and omega = nu = 0 joins the
two. The set is thus *continuous* in two directions, and *discrete* in the number of half turns:
sheets ``n pi < omega < (n + 1) pi`` that do not touch, since W grows without bound at their edges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.two_neuron.dynamics import DURATION, START

__all__ = ["LinearSheet", "linear_final_states", "linear_solution", "smallest_on_sheet"]


class LinearSheet(NamedTuple):
    """The solution of least norm on one sheet."""

    half_turns: int
    weights: NDArray[np.float64]
    norm: float


def linear_final_states(weights: ArrayLike, *, duration: float = DURATION) -> NDArray[np.float64]:
    """x(T) of linear networks, (..., 2), from weights (..., 2, 2).

    Examples
    --------
    >>> linear_final_states(np.eye(2)).tolist()
    [1.0, 0.0]
    """
    a = (np.asarray(weights, float) - np.eye(2)) * duration
    middle = np.trace(a, axis1=-2, axis2=-1)[..., None] / 2
    apart = a - middle[..., None] * np.eye(2)
    # A 2 x 2 matrix without a trace is a root of a number: apart @ apart = square * 1.
    square = apart[..., 0, 0] ** 2 + apart[..., 0, 1] * apart[..., 1, 0]
    root = np.sqrt(square.astype(complex))[..., None]
    small = np.abs(root) < 1e-8
    share = np.where(small, 1.0, np.sinh(root) / np.where(small, 1.0, root)).real
    start = np.array(START)
    return np.asarray(np.exp(middle) * (np.cosh(root).real * start + share * (apart @ start)))


def linear_solution(
    growth: ArrayLike, half_turns: ArrayLike, *, duration: float = DURATION
) -> NDArray[np.float64]:
    """The linear network that solves the task with these eigenvalues, (..., 2, 2).

    Parameters
    ----------
    growth : array
        Real part of the eigenvalues of W - 1.
    half_turns : array
        Imaginary part times T over pi: half turns during the task. Negative: no rotation, the
        eigenvalues are real and differ by twice that.
    duration : float
        T.

    Returns
    -------
    array
        NaN where ``half_turns`` is a whole number above 0: there is no solution.

    Examples
    --------
    >>> w = linear_solution(0.1, [0.5, 2.5, -0.5])
    >>> np.allclose(linear_final_states(w), [0, 1])
    True
    """
    alpha = np.asarray(growth, float) * duration
    omega = np.asarray(half_turns, float) * np.pi
    alpha, omega = np.broadcast_arrays(alpha, omega)
    angle = np.abs(omega)
    rotates = omega > 0
    safe = np.where(angle == 0, 1.0, angle)
    sine = np.where(rotates, np.sin(safe), np.sinh(safe))
    cosine = np.where(rotates, np.cos(angle), np.cosh(angle))
    edge = rotates & (np.abs(sine) < 1e-12)
    scale = np.where(angle == 0, 1.0, safe / np.where(edge, np.nan, sine))
    rows = [[-cosine, -np.exp(alpha)], [np.exp(-alpha), cosine]]
    turned = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    turned = scale[..., None, None] / duration * turned
    return np.asarray(turned + (1 + alpha / duration)[..., None, None] * np.eye(2))


def smallest_on_sheet(half_turns: int) -> LinearSheet:
    """The solution of least Frobenius norm with from n to n + 1 half turns.

    Raises
    ------
    SolspaceError
        For a number below 0.

    Examples
    --------
    >>> [round(smallest_on_sheet(n).norm, 2) for n in (0, 1, 2)]
    [1.16, 1.55, 1.79]
    """
    from scipy.optimize import minimize

    if half_turns < 0:
        raise SolspaceError(f"{half_turns} half turns; give 0 or more")

    def turns(u: NDArray[np.float64]) -> float:
        # The first sheet goes on below 0, into real eigenvalues.
        if half_turns == 0:
            return float(1 - np.exp(u[1]))
        return float(half_turns + 1 / (1 + np.exp(-u[1])))

    def norm(u: NDArray[np.float64]) -> float:
        return float(np.linalg.norm(linear_solution(u[0], turns(u))))

    starts = [(g, s) for g in (-0.2, 0.1) for s in (-0.5, 1.0)]
    options = {"xatol": 1e-9, "fatol": 1e-12}
    best = min(
        (minimize(norm, start, method="Nelder-Mead", options=options) for start in starts),
        key=lambda found: found.fun,
    )
    return LinearSheet(half_turns, linear_solution(best.x[0], turns(best.x)), float(best.fun))
