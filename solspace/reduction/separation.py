"""How wide a margin parts two clouds of points: a linear support vector machine.

Sequential minimal optimisation with second-order selection of the working pair (Fan, Chen & Lin,
J. Mach. Learn. Res. 6, 2005), one compiled loop, so that the reduction needs no further package.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["margin"]

PENALTY = 100.0
TOLERANCE = 1e-3
MAX_ITERATIONS = 1_000_000


@njit(cache=True, nogil=True)
def _solve(kernel, label, penalty, tolerance, max_iterations):  # type: ignore[no-untyped-def]
    """Dual variables and offset of the machine with this Gram matrix."""
    n = label.size
    tiny = 1e-12
    alpha = np.zeros(n)
    gradient = np.full(n, -1.0)
    for _ in range(max_iterations):
        i = -1
        highest = -np.inf
        for t in range(n):
            movable = alpha[t] < penalty if label[t] > 0 else alpha[t] > 0
            if movable and -label[t] * gradient[t] > highest:
                highest = -label[t] * gradient[t]
                i = t
        j = -1
        lowest = np.inf
        best = np.inf
        for t in range(n):
            movable = alpha[t] > 0 if label[t] > 0 else alpha[t] < penalty
            if movable:
                value = -label[t] * gradient[t]
                lowest = min(lowest, value)
                gap = highest - value
                if gap > 0:
                    curve = kernel[i, i] + kernel[t, t] - 2 * kernel[i, t]
                    gain = -gap * gap / (curve if curve > 0 else tiny)
                    if gain < best:
                        best = gain
                        j = t
        if highest - lowest < tolerance or j < 0:
            break
        curve = kernel[i, i] + kernel[j, j] - 2 * kernel[i, j]
        step = (-label[i] * gradient[i] + label[j] * gradient[j]) / (curve if curve > 0 else tiny)
        # Keep both within [0, penalty]; the sum of label * alpha stays zero.
        room_i = penalty - alpha[i] if label[i] > 0 else alpha[i]
        room_j = alpha[j] if label[j] > 0 else penalty - alpha[j]
        step = min(step, room_i, room_j)
        alpha[i] += label[i] * step
        alpha[j] -= label[j] * step
        if step == room_i:
            alpha[i] = penalty if label[i] > 0 else 0.0
        if step == room_j:
            alpha[j] = 0.0 if label[j] > 0 else penalty
        for t in range(n):
            gradient[t] += label[t] * step * (kernel[i, t] - kernel[j, t])
    # The offset: mean over free variables, or the middle of what the bound ones allow.
    free = 0
    total = 0.0
    upper = np.inf
    lower = -np.inf
    for t in range(n):
        value = label[t] * gradient[t]
        if 0 < alpha[t] < penalty:
            free += 1
            total += value
        elif (alpha[t] == 0) == (label[t] > 0):
            upper = min(upper, value)
        else:
            lower = max(lower, value)
    offset = -total / free if free else -(upper + lower) / 2
    return alpha, offset


def margin(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
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
    scale = points.std(axis=0)
    mean = points.mean(axis=0)
    # A dimension that does not vary beyond rounding is only centred.
    constant = scale <= 10 * np.finfo(float).eps * np.maximum(np.abs(mean), scale)
    points = (points - mean) / np.where(constant, 1.0, scale)
    label = np.where(np.arange(len(points)) < len(first), 1.0, -1.0)
    alpha, offset = _solve(points @ points.T, label, PENALTY, TOLERANCE, MAX_ITERATIONS)
    weights = (alpha * label) @ points
    side = points @ weights + offset
    if not ((side > 0) == (label > 0)).all() or not weights.any():
        return 0.0
    return float(2 / np.linalg.norm(weights))
