"""How wide a margin parts two clouds of points: a linear support vector machine.

A primal-dual interior-point method on the machine's dual (Mehrotra, SIAM J. Optim. 2, 1992).
The Gram matrix has the rank of the space, so that each step solves a system of the size of the
space only (Ferris & Munson, SIAM J. Optim. 13, 2002): a dozen steps, whatever the clouds, where
pairwise methods take tens of thousands on clouds that overlap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs

__all__ = ["linear_machine", "margin"]

PENALTY = 100.0
TOLERANCE = 1e-7
MAX_STEPS = 100

Array = NDArray[np.float64]


def linear_machine(points: Array, label: Array, penalty: float = PENALTY) -> tuple[Array, float]:
    """Weights and offset of the soft-margin linear support vector machine.

    Minimises ``|weights|^2 / 2 + penalty * sum(max(0, 1 - label * (points @ weights + offset)))``.

    Parameters
    ----------
    points : array (point, dimension)
    label : array (point,)
        -1 or 1; both occur.
    penalty : float

    Returns
    -------
    weights : array (dimension,)
    offset : float

    Examples
    --------
    >>> points, label = np.array([[0.0], [1.0], [3.0]]), np.array([-1.0, -1.0, 1.0])
    >>> weights, offset = linear_machine(points, label)
    >>> round(float(weights[0]), 4), round(offset, 4)
    (1.0, -2.0)
    """
    n, dimension = points.shape
    signed = points * label[:, None]
    # alpha within 0 and penalty: its distances to the two bounds, and their multipliers.
    room = np.full((2, n), penalty / 2)
    force = np.full((2, n), penalty)
    offset = 0.0
    for _ in range(MAX_STEPS):
        alpha = room[0]
        weights = alpha @ signed
        residual = signed @ weights - 1 + offset * label - force[0] + force[1]
        balance = label @ alpha
        gap = np.vdot(room, force) / (2 * n)
        size = abs(weights @ weights / 2 - alpha.sum()) + 1
        if (
            2 * n * gap < TOLERANCE * size
            and np.abs(residual).max() < 1e-5
            and abs(balance) < 1e-5 * penalty
        ):
            break
        pull = force / room
        stiffness = pull[0] + pull[1]
        half = signed / np.sqrt(stiffness)[:, None]
        factor, _ = dpotrf(np.eye(dimension) + half.T @ half)
        along = _solve(stiffness, signed, factor, label)
        # First straight for the solution, then corrected for what that step would miss.
        aim = -force
        for corrected in (False, True):
            free = _solve(stiffness, signed, factor, aim[0] - aim[1] - residual)
            d_offset = (label @ free + balance) / (label @ along)
            d_alpha = free - d_offset * along
            d_room = np.stack((d_alpha, -d_alpha))
            d_force = aim - pull * d_room
            step = min(_longest(room, d_room), _longest(force, d_force))
            if not corrected:
                left = np.vdot(room + step * d_room, force + step * d_force)
                center = (left / (2 * n)) ** 3 / gap**2
                aim = (center - d_room * d_force) / room - force
        step *= 0.995
        room = room + step * d_room
        force = force + step * d_force
        offset += step * float(d_offset)
    return room[0] @ signed, offset


def _solve(stiffness: Array, signed: Array, factor: Array, right: Array) -> Array:
    """Solve ``(diag(stiffness) + signed @ signed.T) x = right``.

    ``factor`` is the Cholesky factor of the small ``1 + signed.T @ (signed / stiffness[:, None])``.
    """
    quotient = right / stiffness
    small, _ = dpotrs(factor, signed.T @ quotient)
    return quotient - signed @ small / stiffness


def _longest(value: Array, step: Array) -> float:
    """The share of a step, up to 1, that keeps values from turning negative."""
    fastest = -float((step / value).min())
    return 1 / max(1.0, fastest)


def margin(first: Array, second: Array) -> float:
    """Width of the margin of a linear machine that parts two clouds; 0 where it does not.

    Each dimension is first scaled to unit variance over both clouds together; the machine's
    penalty is 100. What counts is the machine's own verdict: 0 as soon as one point is on the
    wrong side.

    Parameters
    ----------
    first, second : array (point, dimension)

    Returns
    -------
    float

    Examples
    --------
    >>> round(margin(np.array([[0.0], [1.0]]), np.array([[3.0], [4.0]])), 3)
    1.265
    >>> margin(np.array([[0.0], [3.0]]), np.array([[1.0], [4.0]]))
    0.0
    """
    points = np.concatenate([first, second])
    scale, mean = points.std(axis=0), points.mean(axis=0)
    # A dimension that does not vary beyond rounding is only centred.
    constant = scale <= 10 * np.finfo(float).eps * np.abs(mean)
    points = (points - mean) / np.where(constant, 1.0, scale)
    label = np.where(np.arange(len(points)) < len(first), 1.0, -1.0)
    weights, offset = linear_machine(points, label)
    side = points @ weights + offset
    if not ((side > 0) == (label > 0)).all() or not weights.any():
        return 0.0
    return float(2 / np.linalg.norm(weights))
