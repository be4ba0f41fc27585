"""Epochs of trials, and the stretches of activity that features compare."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

__all__ = [
    "DelayEpochs",
    "IntervalEpochs",
    "epoch_stretch",
    "epochs_from_starts",
]


class IntervalEpochs(NamedTuple):
    """Stretches of activity the features of an interval task compare.

    Attributes
    ----------
    activity : array (trial, time, unit)
        Everything recorded.
    epoch1 : array (time, unit)
        The first interval of one trial, while it is measured.
    epoch2 : tuple of arrays (time, unit)
        The second interval of one trial each, from the shortest to the longest.
    """

    activity: NDArray[np.float64]
    epoch1: NDArray[np.float64]
    epoch2: tuple[NDArray[np.float64], ...]


class DelayEpochs(NamedTuple):
    """Stretches of activity the features of a delay task compare.

    Attributes
    ----------
    activity : array (trial, time, unit)
        Everything recorded.
    delays : tuple of arrays (time, unit)
        The delay of one trial for each remembered stimulus, in order of the stimulus.
    curved_delay : array (time, unit)
        The one of them whose curvature is measured.
    responses : tuple of two arrays (time, unit)
        The response of a trial that asks for -1, and of one that asks for +1.
    """

    activity: NDArray[np.float64]
    delays: tuple[NDArray[np.float64], ...]
    curved_delay: NDArray[np.float64]
    responses: tuple[NDArray[np.float64], NDArray[np.float64]]


def epoch_stretch(
    activity: NDArray[Any], epoch: NDArray[np.integer], trial: int, index: int
) -> NDArray[Any]:
    """Activity of one trial during one epoch, (time, unit).

    Raises
    ------
    SolspaceError
        Where the trial has no such epoch.

    Examples
    --------
    >>> activity = np.arange(10.0).reshape(1, 5, 2)
    >>> epoch_stretch(activity, np.array([[0, 1, 1, 2, 2]]), trial=0, index=1)
    array([[2., 3.],
           [4., 5.]])
    """
    steps = np.flatnonzero(epoch[trial] == index)
    if not len(steps):
        raise SolspaceError(
            f"trial {trial} has no step of epoch {index}, only of "
            f"{', '.join(str(e) for e in np.unique(epoch[trial]))}; give the task's recorded trials"
        )
    return activity[trial, steps[0] : steps[-1] + 1]


def epochs_from_starts(steps: int, starts: Iterable[NDArray[np.integer]]) -> NDArray[np.int8]:
    """The epoch of each step, (trial, time): 0 at first, one more from each start on.

    Raises
    ------
    SolspaceError
        Where an epoch starts before the one it follows.

    Examples
    --------
    >>> epochs_from_starts(6, [np.array([[2], [3]]), np.array([[5], [5]])]).tolist()
    [[0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 2]]
    """
    time = np.arange(steps)
    starts = [np.asarray(start) for start in starts]
    for i, (earlier, later) in enumerate(pairwise(starts), start=1):
        if (later < earlier).any():
            trial = int(np.argmax((later < earlier).ravel()))
            raise SolspaceError(
                f"epochs overlap: epoch {i + 1} starts before epoch {i} in trial {trial}; "
                "give starts that do not fall"
            )
    zero = np.zeros((1, steps), np.int8)
    return sum(((time >= start).astype(np.int8) for start in starts), zero)
