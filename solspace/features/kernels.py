"""Speed, path length, curvature and other measures of trajectories, on plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = [
    "FeatureError",
    "centred_gram",
    "cosine",
    "covariance",
    "curvature",
    "displacement",
    "distances",
    "evenly",
    "floored_log10",
    "length_trend",
    "lengths_along",
    "lengths_of",
    "log_curvature",
    "mean_speed",
    "participation_ratio",
    "path_length",
    "ratio",
    "slope",
    "speed_change",
    "speeds",
    "squared_distances",
    "step_lengths",
    "turns_along",
]

Array = NDArray[np.float64]

TINY = 1e-7  # standard deviations; under the rounding of float32 recordings


class FeatureError(SolspaceError):
    """A feature that cannot be computed from this activity, and why.

    Examples
    --------
    >>> mean_speed(np.zeros((1, 4)))
    Traceback (most recent call last):
        ...
    solspace.features.kernels.FeatureError: speed of 1 step; give at least 2
    """


def speeds(points: Array) -> Array:
    """Distance from each point to the next, root mean square over units, (time - 1,).

    Examples
    --------
    >>> speeds(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]))
    array([1., 0.])
    """
    return np.sqrt(np.mean(np.diff(points, axis=0) ** 2, axis=-1))


def mean_speed(points: Array) -> float:
    """Mean over all points of the speed at which each is left; the last takes that before it.

    Parameters
    ----------
    points : array (time, unit)

    Returns
    -------
    float
        In activity per step, root mean square over units.

    Raises
    ------
    FeatureError
        For fewer than 2 points.

    Examples
    --------
    >>> mean_speed(np.array([[0.0], [1.0], [3.0]]))  # (1 + 2 + 2) / 3
    1.6666666666666667
    """
    if len(points) < 2:
        raise FeatureError(
            f"speed of {len(points)} step{'' if len(points) == 1 else 's'}; give at least 2"
        )
    speed = speeds(points)
    return float((speed.sum() + speed[-1]) / len(points))


def path_length(points: Array) -> float:
    """Length of the polygon through the points, (time, unit), Euclidean.

    Examples
    --------
    >>> path_length(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]))
    6.0
    """
    return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).sum())


def curvature(points: Array) -> Array:
    """Curvature of a curve in the plane of its first two principal components.

    ``|x'' y' - x' y''| / (x'^2 + y'^2)^(3/2)`` with central differences. Steps at which the
    curve stands still have no curvature and are left out.

    Parameters
    ----------
    points : array (time, unit)

    Returns
    -------
    array (steps that move,)
        In 1 / activity.

    Raises
    ------
    FeatureError
        For fewer than 3 points, or where nothing moves.

    Examples
    --------
    >>> turn = np.linspace(0, np.pi, 200)
    >>> circle = 4 * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    >>> float(np.median(curvature(circle)).round(4))
    0.25
    """
    if len(points) < 3:
        raise FeatureError(f"curvature of {len(points)} points; give at least 3")
    centred = points - points.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(points), 2))
    plane[:, : min(2, len(scale))] = left[:, :2] * scale[:2]
    velocity = np.asarray(np.gradient(plane, axis=0))
    acceleration = np.asarray(np.gradient(velocity, axis=0))
    turning = np.abs(acceleration[:, 0] * velocity[:, 1] - velocity[:, 0] * acceleration[:, 1])
    # Whether a point moves is read off the activity itself: in the plane, rounding would let a
    # curve at rest move by 1e-17 and bend sharply.
    moves = np.any(np.gradient(points, axis=0) != 0, axis=-1)
    if not moves.any():
        raise FeatureError("the activity does not move, so it has no curvature")
    return turning[moves] / (velocity[moves] ** 2).sum(axis=-1) ** 1.5


def log_curvature(points: Array) -> Array:
    """Decimal logarithm of `curvature`."""
    values = curvature(points)
    if not (values > 0).all() or not np.isfinite(values).all():
        raise FeatureError("the activity runs straight or turns on the spot, its curvature is 0/0")
    return np.log10(values)


def displacement(points: Array) -> Array:
    """Vector from the first point to the last, (unit,)."""
    vector = points[-1] - points[0]
    if not np.any(vector):
        raise FeatureError("a stretch ends where it starts, so it has no direction")
    return vector


def ratio(numerator: float, denominator: float, what: str) -> float:
    """The quotient, or a `FeatureError` where the denominator is zero."""
    if denominator == 0:
        raise FeatureError(f"{what} is zero, so nothing can be divided by it")
    return numerator / denominator


def speed_change(points: Array, steps: int = 5) -> float:
    """Mean speed over the last steps of a stretch divided by that over its first.

    Examples
    --------
    >>> round(speed_change(np.arange(20.0)[:, None] ** 2), 3)
    7.522
    """
    if len(points) < steps:
        raise FeatureError(f"a stretch of {len(points)} steps; give at least {steps}")
    return ratio(mean_speed(points[-steps:]), mean_speed(points[:steps]), "the speed at its start")


def length_trend(stretches: Sequence[Array]) -> float:
    """Slope of path length over the place in the sequence, 0 to 1, in shortest lengths.

    Least squares line through the lengths, divided by the shortest, as in the paper.

    Examples
    --------
    >>> length_trend([np.arange(n)[:, None] for n in (2.0, 3.0, 4.0)])
    2.0
    """
    if len(stretches) < 2:
        raise FeatureError(f"the trend of {len(stretches)} lengths; give at least 2 stretches")
    lengths = np.array([path_length(points) for points in stretches])
    place = np.linspace(0, 1, len(lengths)) - 0.5
    slope = float(place @ lengths / (place @ place))
    return ratio(slope, float(lengths.min()), "the length of the shortest stretch")


# --------------------------------------------------------------------------- along any axes


def floored_log10(values: ArrayLike) -> Array:
    """Decimal logarithm, of what is under the rounding of float32 recordings that of `TINY`.

    Examples
    --------
    >>> floored_log10([100.0, 0.0]).round(6).tolist()
    [2.0, -7.0]
    """
    return np.log10(np.maximum(values, TINY))


def step_lengths(points: Array) -> Array:
    """Distance from each point (..., time, component) to the next, Euclidean, (..., time - 1).

    Examples
    --------
    >>> step_lengths(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([5.])
    """
    return lengths_of(points[..., 1:, :] - points[..., :-1, :])


def lengths_of(vectors: Array) -> Array:
    """Euclidean length along the last axis.

    Examples
    --------
    >>> lengths_of(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([0., 5.])
    """
    return np.sqrt(np.einsum("...i,...i->...", vectors, vectors))


def lengths_along(trajectories: Sequence[Array]) -> list[Array]:
    """`step_lengths` of each trajectory (time, component), computed in one go.

    Examples
    --------
    >>> lengths_along([np.array([[0.0], [1.0], [3.0]]), np.array([[9.0], [8.0]])])
    [array([1., 2.]), array([1.])]
    """
    return _along(trajectories, step_lengths)


def turns_along(trajectories: Sequence[Array]) -> list[Array]:
    """Angles between successive steps of each trajectory (time, component), (time - 2,).

    Examples
    --------
    >>> corner = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> [float(np.degrees(angle).round(6)) for angle, in turns_along([corner, corner])]
    [90.0, 90.0]
    """

    def turns(points: Array) -> Array:
        step = np.diff(points, axis=0)
        return np.arccos(np.clip(cosine(step[1:], step[:-1]), -1, 1))

    return _along(trajectories, turns)


def _along(trajectories: Sequence[Array], function: Callable[[Array], Array]) -> list[Array]:
    """What a function gives for all points in a row, less what reaches from one to the next."""
    pooled = np.concatenate(trajectories)
    values = function(pooled)
    fewer, start, out = len(pooled) - len(values), 0, []
    for points in trajectories:
        out.append(values[start : start + len(points) - fewer])
        start += len(points)
    return out


def distances(these: Array, those: Array) -> Array:
    """Between all pairs of points (a, component) and (b, component), (a, b), Euclidean.

    Examples
    --------
    >>> distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    array([[5., 1.]])
    """
    squares = squared_distances(these, those)
    return np.sqrt(squares, out=squares)


def squared_distances(these: Array, those: Array) -> Array:
    """Squares of `distances`.

    Examples
    --------
    >>> squared_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    array([[25.,  1.]])
    """
    squares = (these**2).sum(-1)[:, None] + (those**2).sum(-1)[None, :]
    squares -= 2 * these @ those.T
    return np.maximum(squares, 0, out=squares)


def cosine(these: Array, those: Array) -> Array:
    """Cosine between vectors along the last axis; 0 where one has no length.

    Examples
    --------
    >>> cosine(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    array([1., 0.])
    """
    size = lengths_of(these) * lengths_of(those)
    return np.einsum("...i,...i->...", these, those) / np.maximum(size, TINY**2)


def evenly(points: Array, most: int) -> Array:
    """At most so many points, evenly along the first axis.

    Examples
    --------
    >>> evenly(np.arange(9.0), 3)
    array([0., 4., 8.])
    """
    return points[_even_places(len(points), most)]


@lru_cache(maxsize=1024)
def _even_places(count: int, most: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.intp))


def covariance(points: Array) -> Array:
    """Of points (point, component), divided by their number, (component, component).

    Examples
    --------
    >>> covariance(np.array([[0.0], [2.0]]))
    array([[1.]])
    """
    centred = points - points.mean(axis=0, keepdims=True)
    return centred.T @ centred / len(points)


def centred_gram(points: Array, mean: Array) -> Array:
    """Products of components of many points, less their mean, summed over points.

    Examples
    --------
    >>> centred_gram(np.array([[0.0], [2.0]]), np.array([1.0]))
    array([[2.]])
    """
    total = np.zeros((points.shape[1], points.shape[1]))
    for start in range(0, len(points), 1024):  # that stay in the cache
        centred = points[start : start + 1024] - mean
        total += centred.T @ centred
    return total


def participation_ratio(covariance: Array) -> float:
    """``(sum of eigenvalues)^2 / sum of their squares``; Gao et al. (2017).

    Examples
    --------
    >>> round(participation_ratio(np.eye(3)), 6)
    3.0
    """
    values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
    return float(values.sum(-1) ** 2 / np.maximum((values**2).sum(-1), TINY**4))


def slope(x: Array, y: Array) -> float:
    """Least squares slope of y (n,) over x (n,).

    Examples
    --------
    >>> slope(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
    2.0
    """
    centred = x - x.mean()
    return float((y * centred).sum(-1) / max(float(centred @ centred), TINY**2))
