"""What the rules by which networks are chosen measure: plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "extent",
    "gap",
    "memory_steps",
    "nearest",
    "principal_axes",
    "roundness",
]

Array = NDArray[np.float64]


def extent(path: NDArray[Any]) -> float:
    """Largest distance of a path from its mean.

    Parameters
    ----------
    path : array (time, unit)

    Examples
    --------
    >>> extent(np.array([[0.0, 0.0], [0.0, 2.0]]))
    1.0
    """
    return float(np.linalg.norm(path - path.mean(axis=0), axis=-1).max())


def nearest(points: NDArray[Any], path: NDArray[Any]) -> tuple[Array, NDArray[np.intp]]:
    """For each point its distance from the nearest of a path, and which of the path that is.

    Parameters
    ----------
    points : array (point, unit)
    path : array (time, unit)

    Examples
    --------
    >>> distance, step = nearest(np.array([[0.0, 3.0]]), np.array([[9.0, 3.0], [0.0, 0.0]]))
    >>> distance.tolist(), step.tolist()
    ([3.0], [1])
    """
    # Differences, not |a|^2 - 2ab + |b|^2, which loses what is close.
    distance = np.stack([np.linalg.norm(path - point, axis=-1) for point in points])
    step = distance.argmin(axis=1)
    return distance[np.arange(len(points)), step], step


def gap(second: NDArray[Any], first: NDArray[Any]) -> float:
    """How far apart two epochs run: 0 where the second runs along the trajectory of the first.

    Mean distance of the second epoch's states from the nearest of the first, over the root mean
    square distance of all of them from their mean.

    Parameters
    ----------
    second, first : array (time, unit)

    Examples
    --------
    >>> line = np.linspace(0, 1, 101)[:, None] * [1.0, 0.0]
    >>> gap(line[40:60], line), round(gap(line[40:60] + [0.0, 1.0], line), 1)
    (0.0, 2.2)
    """
    everything = np.concatenate([first, second])
    scale = np.sqrt(((everything - everything.mean(axis=0)) ** 2).sum(axis=1).mean())
    distance, _ = nearest(second, first)
    return float(distance.mean() / scale) if scale > 0 else 0.0


def roundness(path: NDArray[Any]) -> float:
    """Spread along the second principal component over that along the first: 1 for a circle.

    Parameters
    ----------
    path : array (time, unit)

    Examples
    --------
    >>> phase = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    >>> round(roundness(np.stack([2 * np.cos(phase), np.sin(phase)], axis=1)), 6)
    0.5
    """
    _, _, (first, second) = principal_axes(path)
    return float(np.sqrt(second / first)) if first > 0 else 0.0


def principal_axes(points: NDArray[Any]) -> tuple[Array, Array, Array]:
    """Mean, first two principal axes and the share of the variance along each.

    Of either sign of an axis, that in which its largest loading is positive.

    Parameters
    ----------
    points : array (point, unit)

    Returns
    -------
    mean : array (unit,)
    axes : array (unit, 2)
    share : array (2,)

    Examples
    --------
    >>> mean, axes, share = principal_axes(np.array([[0.0, 0.0], [0.0, 2.0]]))
    >>> mean.tolist(), axes[:, 0].tolist(), share.tolist()
    ([0.0, 1.0], [0.0, 1.0], [1.0, 0.0])
    """
    points = np.asarray(points, np.float64)
    mean = points.mean(axis=0)
    variances, axes = np.linalg.eigh((points - mean).T @ (points - mean))
    variances, two = np.clip(variances[::-1], 0, None), axes[:, ::-1][:, :2]
    two = two * np.sign(two[np.abs(two).argmax(axis=0), np.arange(two.shape[1])])
    total = variances.sum()
    return mean, two, variances[:2] / total if total > 0 else np.zeros(2)


def memory_steps(states: NDArray[Any], before: NDArray[Any]) -> float:
    """How long slow states of neighbouring stimuli stay apart, in steps.

    The distance of two neighbours over their mean speed, the median over neighbours: the steps it
    would take to where the neighbour is.

    Parameters
    ----------
    states, before : array (stimulus, unit)
        At one step, and at the step before it.

    Examples
    --------
    >>> at = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    >>> memory_steps(at, at - [0.0, 0.01])
    100.0
    """
    speed = np.linalg.norm(states - before, axis=-1)
    apart = np.linalg.norm(np.diff(states, axis=0), axis=-1)
    mean = (speed[1:] + speed[:-1]) / 2
    return float(np.median(apart / np.maximum(mean, 1e-12)))
