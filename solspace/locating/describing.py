"""What is compared of a recording and of networks: features, and dissimilarities of moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.features.recorded import recorded_features

if TYPE_CHECKING:
    from solspace.tasks import Task

__all__ = ["Description", "describe_activity", "dissimilar_moments", "scaled"]

Array = NDArray[np.float64]

MOMENTS = 60  # at most, of all conditions and epochs together
LEAST_PER_EPOCH = 3  # of conditions so many that there is no room, some stand for all
PER_EPOCH = 6  # moments of an epoch of one condition, where there is room
SOFT = 1.0  # spikes per second added to a unit's standard deviation before dividing by it


class Description(NamedTuple):
    """Features by name, and the dissimilarities of moments (pair,)."""

    features: dict[str, float]
    moments: NDArray[np.float32]


def scaled(activity: Array) -> Array:
    """Units less their mean, over their standard deviation and a little.

    Silent and steady units then do not count as much as those that change with the task.

    Examples
    --------
    >>> scaled(np.array([[[0.0, 5.0], [4.0, 5.0]]])).round(2).tolist()
    [[[-0.67, 0.0], [0.67, 0.0]]]
    """
    axes = tuple(range(activity.ndim - 1))
    return np.asarray(
        (activity - np.nanmean(activity, axis=axes)) / (np.nanstd(activity, axis=axes) + SOFT)
    )


def _places(epoch: NDArray[np.int8], epochs: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Condition and bin of each moment: evenly within epochs, and of conditions evenly chosen."""
    most = max(MOMENTS // (LEAST_PER_EPOCH * epochs), 2)
    conditions = np.unique(np.linspace(0, len(epoch) - 1, min(len(epoch), most)).round())
    per = max(1, min(PER_EPOCH, MOMENTS // (len(conditions) * epochs)))
    rows, bins = [], []
    for c in conditions.astype(np.int64):
        for e in range(epochs):
            here = np.flatnonzero(epoch[c] == e)
            at = (np.arange(per) + 0.5) / per * len(here) if per > 1 else [len(here) - 1]
            rows += [c] * per
            bins += here[np.minimum(np.asarray(at, np.int64), len(here) - 1)].tolist()
    return np.array(rows), np.array(bins)


def dissimilar_moments(
    activity: Array, epoch: NDArray[np.int8], epochs: int
) -> NDArray[np.float32]:
    """Distances of the states at moments of the conditions, by their mean, as logarithms.

    As in representational similarity analysis no unit of one is matched with one of the other.

    Parameters
    ----------
    activity : array (condition, time, unit)
        Scaled.
    epoch : array (condition, time)
        From 0 on; -1 for none.
    epochs : int

    Returns
    -------
    array (pair,)
        ``log(distance / mean + .05)``.

    Examples
    --------
    >>> line = np.arange(12.0).reshape(2, 6, 1)
    >>> dissimilar_moments(line, np.zeros((2, 6), np.int8), 1).shape
    (66,)
    """
    rows, bins = _places(epoch, epochs)
    states = activity[rows, bins]
    square = (states**2).sum(axis=1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * states @ states.T, 0.0))
    upper = apart[np.triu_indices(len(states), 1)]
    return np.log(upper / max(float(upper.mean()), 1e-12) + 0.05).astype(np.float32)


def describe_activity(
    task: Task,
    activity: Array,
    epoch: NDArray[np.int8],
    epochs: Sequence[str],
    parameters: Mapping[str, Array],
) -> Description:
    """What is compared of one recording, or of a network seen as it was.

    Parameters
    ----------
    task : Task
    activity : array (condition, time, unit)
        Spikes per second, NaN past the end of a condition.
    epoch : array (condition, time)
    epochs : sequence of str
    parameters : mapping of str to array (condition,)

    Raises
    ------
    FeatureError
        Where the activity does not move.
    """
    own = scaled(activity)
    found = recorded_features(task, own, epoch, epochs, parameters)
    return Description(dict(found.values), dissimilar_moments(own, epoch, len(epochs)))
