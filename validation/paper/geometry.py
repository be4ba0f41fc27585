"""What the rules by which networks are chosen measure: plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "comes_round",
    "cycle_period",
    "distinct_orbits",
    "extent",
    "gap",
    "memory_steps",
    "nearest",
    "principal_axes",
    "roundness",
]

Array = NDArray[np.float64]

# Steps at the end of a long silence that are looked at.
LATE = 1000
# A network that moves by less is at rest.
REST = 0.05


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


def comes_round(run: NDArray[Any]) -> bool:
    """Whether a long silent run ends in a limit cycle.

    It does where its last 1,000 steps move by more than `REST`, by no less than nine tenths of
    what the 1,000 before them do (a spiral dies away), and come back to within a tenth of that of
    where they end, or of as little as they move in a step (a drift does not come back).

    Parameters
    ----------
    run : array (time, unit)
        Of at least 2,000 steps.

    Examples
    --------
    >>> phase = 2 * np.pi * np.arange(2000) / 25
    >>> circle = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    >>> comes_round(circle), comes_round(circle * 0.99 ** np.arange(2000)[:, None])
    (True, False)
    """
    late, before = run[-LATE:], run[-2 * LATE : -LATE]
    size = extent(late)
    if not (size > REST and size >= 0.9 * extent(before)):
        return False
    distance = np.linalg.norm(late - late[-1], axis=-1)
    away = np.flatnonzero(distance > size / 2)
    return bool(
        len(away) and distance[: away[-1]].min(initial=np.inf) <= max(size / 10, distance[-2])
    )


def cycle_period(run: NDArray[Any]) -> float:
    """Period of the limit cycle that a long silent run ends in; NaN where it ends in none.

    That of the largest peak of the spectrum of the first principal component.

    Parameters
    ----------
    run : array (time, unit)
        Of at least 2,000 steps.

    Examples
    --------
    >>> phase = 2 * np.pi * np.arange(2000) / 25
    >>> round(cycle_period(np.stack([np.cos(phase), np.sin(phase)], axis=1)), 6)
    25.0
    """
    if not comes_round(run):
        return np.nan
    late = run[-LATE:]
    _, axes, _ = principal_axes(late)
    power = np.abs(np.fft.rfft((late - late.mean(axis=0)) @ axes[:, 0])) ** 2
    return float(LATE / power.argmax()) if power.argmax() else np.nan


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


def distinct_orbits(runs: NDArray[Any]) -> int:
    """How many different attractors long silent runs end in.

    Two runs end in one where some state of the last 1,000 steps of the one is nearer than a tenth
    of its extent (at least a tenth of `REST`) to the last state of the other.

    Parameters
    ----------
    runs : array (run, time, unit)

    Examples
    --------
    >>> phase = 2 * np.pi * np.arange(1000) / 25
    >>> circle = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    >>> distinct_orbits(np.stack([circle, circle[::-1], 3 * circle]))
    2
    """
    kept: list[NDArray[Any]] = []
    for run in runs:
        late = run[-LATE:]
        if not any(
            np.linalg.norm(other - late[-1], axis=-1).min() < max(extent(other), REST) / 10
            for other in kept
        ):
            kept.append(late)
    return len(kept)


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
