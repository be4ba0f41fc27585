"""Targeted dimensionality reduction on plain arrays (Mante et al. 2013, supplement)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

__all__ = [
    "AxesError",
    "Found",
    "coefficients",
    "find_axes",
    "projected",
    "scaled_values",
    "scored",
]

Array = NDArray[np.float64]

# Below this share of the longest, the part of an axis that is its own is rounding.
OWN = 1e-6


class AxesError(SolspaceError):
    """What keeps axes from being found."""


class Found(NamedTuple):
    """Axes of one network or recording.

    Attributes
    ----------
    vector : array (axis, unit)
        Of length 1, at right angles.
    raw : array (axis, unit)
        As regressed, of length 1, before they were made orthogonal.
    norm : array (axis, time)
        Length of the denoised coefficients.
    moment : array (axis,)
        Position of the bin that an axis is taken from.
    kept : float
        Share of the variance that the principal components hold.
    """

    vector: Array
    raw: Array
    norm: Array
    moment: NDArray[np.int64]
    kept: float


def scaled_values(values: Array) -> Array:
    """A variable of the task from its range to -1 to 1.

    Examples
    --------
    >>> scaled_values(np.array([1.0, 2.0, 1.0])).tolist()
    [-1.0, 1.0, -1.0]
    """
    low, high = float(values.min()), float(values.max())
    if high == low:
        raise AxesError(f"a variable is {low:g} in all conditions")
    return np.asarray((2 * values - low - high) / (high - low))


def scored(activity: Array) -> Array:
    """Units less their mean, over their standard deviation; 0 where a unit does not change.

    Examples
    --------
    >>> scored(np.array([[[1.0, 5.0]], [[3.0, 5.0]]])).tolist()
    [[[-1.0, 0.0]], [[1.0, 0.0]]]
    """
    mean, spread = activity.mean(axis=(0, 1)), activity.std(axis=(0, 1))
    still = spread <= 1e-9 * np.maximum(np.abs(mean), 1e-9)
    if still.all():
        raise AxesError("the activity does not change")
    return np.where(still, 0.0, (activity - mean) / np.where(still, 1.0, spread))


def coefficients(activity: Array, design: Array, weight: Array | None = None) -> Array:
    """How each unit's activity goes with each variable, at each moment.

    Least squares of ``activity[k, t] = sum_v b[v, t] design[k, v] + b0[t]``. Weighed by the trials
    that an average is of, it is the regression on those single trials.

    Parameters
    ----------
    activity : array (condition, time, unit)
    design : array (condition, variable)
    weight : array (condition, unit), optional

    Returns
    -------
    array (variable, time, unit)

    Examples
    --------
    >>> x = np.array([[-1.0], [0.0], [1.0]])
    >>> coefficients(3 * x[:, None] + 2, x).round(6).tolist()
    [[[3.0]]]
    """
    full = np.column_stack([design, np.ones(len(design))])
    if np.linalg.matrix_rank(full) < full.shape[1]:
        raise AxesError(
            f"the {design.shape[1]} variables cannot be told apart in {len(design)} conditions"
        )
    count, bins, units = activity.shape
    if weight is None or (weight == weight[:, :1]).all():
        root = np.ones((count, 1)) if weight is None else np.sqrt(weight[:, :1])
        flat = np.linalg.lstsq(root * full, root * activity.reshape(count, -1), rcond=None)[0]
        return np.asarray(flat[:-1].reshape(-1, bins, units))
    out = np.empty((design.shape[1], bins, units))
    for u in range(units):
        root = np.sqrt(weight[:, u, None])
        out[..., u] = np.linalg.lstsq(root * full, root * activity[..., u], rcond=None)[0][:-1]
    return out


def find_axes(
    activity: Array, design: Array, weight: Array | None = None, components: int = 12
) -> Found:
    """The axes of some variables, in their order.

    Parameters
    ----------
    activity : array (condition, time, unit)
        Scored.
    design : array (condition, variable)
    weight : array (condition, unit), optional
    components : int
        Principal components of the averages that coefficients are projected onto.

    Raises
    ------
    AxesError
        Where variables or axes cannot be told apart.

    Examples
    --------
    >>> design = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    >>> activity = np.tile(design[:, None] @ [[1.0, 0, 0], [1, 1, 0]], (1, 5, 1))
    >>> np.abs(find_axes(activity, design, components=3).vector).round(6).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    slopes = coefficients(activity, design, weight)
    flat = activity.reshape(-1, activity.shape[-1])
    flat = flat - flat.mean(axis=0)
    _, size, directions = np.linalg.svd(flat, full_matrices=False)
    variance = size**2
    held = min(components, len(size))
    clean = slopes @ directions[:held].T @ directions[:held]
    norm = np.linalg.norm(clean, axis=-1)
    moment = norm.argmax(axis=1)
    raw = clean[np.arange(len(clean)), moment]
    length = np.linalg.norm(raw, axis=1)
    if (length <= OWN * length.max(initial=0.0)).any() or not length.all():
        raise AxesError(f"no unit goes with variable {int(length.argmin())}")
    raw = raw / length[:, None]
    q, r = np.linalg.qr(raw.T)
    own = np.diagonal(r)
    if len(own) < len(raw) or (np.abs(own) <= OWN).any():
        raise AxesError("the axes of two variables are one")
    # A positive value of the variable lies on the positive side.
    vector = (q * np.sign(own)).T
    return Found(vector, raw, norm, moment, float(variance[:held].sum() / variance.sum()))


def projected(activity: Array, vector: Array) -> tuple[Array, Array]:
    """Activity along axes less its mean over conditions, and the share of variance on each.

    Parameters
    ----------
    activity : array (condition, time, unit)
        Scored.
    vector : array (axis, unit)

    Returns
    -------
    path : array (condition, time, axis)
    share : array (axis,)
        Of the variance between conditions.

    Examples
    --------
    >>> path, share = projected(np.array([[[1.0, 0.0]], [[-1.0, 0.0]]]), np.eye(2))
    >>> path.tolist(), share.tolist()
    ([[[1.0, 0.0]], [[-1.0, 0.0]]], [1.0, 0.0])
    """
    own = activity - activity.mean(axis=0)
    total = float((own**2).sum())
    if total <= 0:
        raise AxesError("the activity is the same in all conditions")
    path = own @ vector.T
    return path, (path**2).sum(axis=(0, 1)) / total
