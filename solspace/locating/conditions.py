"""Conditions of a recording, and which of the task's trials stand for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    from solspace.tasks import Task

__all__ = ["Conditions", "form_conditions", "trials_for"]

Array = NDArray[np.float64]


class Conditions(NamedTuple):
    """Which condition each trial is of, and what the conditions are.

    Attributes
    ----------
    condition : array (trial,)
        -1 for none.
    values : dict of str to array (condition,)
        By parameter; of a group of values the median.
    grouped : bool
        Whether values were put together.
    """

    condition: NDArray[np.int64]
    values: dict[str, Array]
    grouped: bool


def form_conditions(columns: Mapping[str, Array], groups: int, single: bool) -> Conditions:
    """Trials alike in all columns are of one condition.

    Of one column with more than twice as many values as ``groups``, groups of as many trials are
    formed in order of the value, so that each average is of many trials.

    Parameters
    ----------
    columns : mapping of str to array (trial,)
        NaN where unknown.
    groups : int
    single : bool
        Whether these are single trials; averages are never put together.

    Raises
    ------
    SolspaceError
        Where there are fewer than two conditions.

    Examples
    --------
    >>> found = form_conditions({"t_in": np.array([3.0, 1.0, 2.0, 4.0, 5.0])}, 2, True)
    >>> found.condition.tolist(), found.values["t_in"].tolist(), found.grouped
    ([1, 0, 0, 1, 1], [1.0, 4.0], True)
    """
    table = np.column_stack([np.asarray(v, np.float64) for v in columns.values()])
    known = np.isfinite(table).all(axis=1)
    out = np.full(len(table), -1, np.int64)
    if not known.any():
        raise SolspaceError(f"no trial has a value of {' and '.join(columns)}")
    keys, place = np.unique(table[known], axis=0, return_inverse=True)
    place = place.ravel()
    grouped = single and len(columns) == 1 and len(keys) > 2 * groups
    if grouped:
        given = table[known, 0]
        edges = np.quantile(given, np.linspace(0, 1, groups + 1)[1:-1])
        place = np.unique(np.searchsorted(edges, given, side="right"), return_inverse=True)[1]
        # A value that was there: a mean of two would be none of the task's own.
        keys = np.array(
            [
                [np.quantile(given[place == c], 0.5, method="nearest")]
                for c in range(int(place.max()) + 1)
            ]
        )
    out[known] = place
    if len(keys) < 2:
        told = ", ".join(f"{n} {v:g}" for n, v in zip(columns, keys[0], strict=True))
        raise SolspaceError(
            f"all trials are of one condition ({told}); two or more are needed, told apart by a "
            "parameter of the task: parameters={'t_in': COLUMN} when the recording is read"
        )
    return Conditions(out, {n: keys[:, k] for k, n in enumerate(columns)}, grouped)


def trials_for(
    task: Task,
    values: Mapping[str, Array],
    given: Mapping[str, Mapping[float, float]] | None = None,
) -> NDArray[np.int64]:
    """The trial of the task that stands for each condition, by position in its recorded trials.

    Values that the task has itself are its own. Of a parameter that has others, such as ms, the
    range is stretched onto the trained one (the shortest interval for the shortest), unless
    ``given`` says which value stands for which. The nearest trial is taken.

    Parameters
    ----------
    task : Task
    values : mapping of str to array (condition,)
    given : mapping of str to mapping of float to float, optional
        By parameter, the task's value for each recorded one.

    Raises
    ------
    SolspaceError
        For a value that ``given`` does not have, or two conditions that one trial would stand for.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> task = get_task("interval_reproduction")
    >>> trials_for(task, {"t_in": np.array([480.0, 640.0, 800.0])}).tolist()
    [0, 15, 30]
    """
    trials = task.recorded_trials().parameters
    apart: Array = np.zeros((1, 1))
    for name, own in values.items():
        there = np.asarray(trials[name], np.float64)
        wanted = _wanted(name, np.asarray(own, np.float64), there, (given or {}).get(name))
        span = max(float(np.ptp(there)), 1.0)
        apart = apart + ((wanted[:, None] - there) / span) ** 2
    taken = apart.argmin(axis=1).astype(np.int64)
    first: dict[int, int] = {}
    for c, trial in enumerate(taken.tolist()):
        if trial in first:
            names = [_told(values, k) for k in (first[trial], c)]
            raise SolspaceError(
                f"conditions {names[0]} and {names[1]} would both be the task's trial "
                f"{_told(trials, trial)}; say which value stands for which: "
                f"values={{{next(iter(values))!r}: {{RECORDED: THE TASK'S, ...}}}}, or fewer groups"
            )
        first[trial] = c
    return taken


def _wanted(name: str, own: Array, there: Array, given: Mapping[float, float] | None) -> Array:
    if given is not None:
        known = {float(k): float(v) for k, v in given.items()}
        if missing := [v for v in own.tolist() if v not in known]:
            raise SolspaceError(
                f"values of {name!r} say nothing of {missing[0]:g}; give the task's value for each "
                f"of {', '.join(f'{v:g}' for v in own.tolist()[:8])}"
            )
        return np.array([known[v] for v in own.tolist()])
    if np.isin(own, there).all() or np.ptp(own) == 0:
        return own
    share = (own - own.min()) / np.ptp(own)
    return np.asarray(there.min() + share * np.ptp(there))


def _told(values: Mapping[str, NDArray[np.generic]], at: int) -> str:
    return " ".join(f"{name} {np.asarray(v)[at]:g}" for name, v in values.items())


def parameters_of(task: Task, there: Sequence[str], by: Sequence[str] | None) -> list[str]:
    """Parameters that tell conditions: those asked for, or all that a recording has.

    Raises
    ------
    SolspaceError
        For one that the task or the recording does not have, or where there is none.
    """
    own = [p for p in task.parameters if p in there]
    if by is not None:
        for name in by:
            if name not in task.parameters:
                raise SolspaceError(
                    f"{name!r} is no parameter of task {task.name!r}; parameters: "
                    f"{', '.join(task.parameters) or 'none'}"
                )
            if name not in there:
                raise SolspaceError(
                    f"the recording has no {name!r}; it has {', '.join(own) or 'no parameter'}. "
                    f"Name its column when it is read: parameters={{{name!r}: COLUMN}}"
                )
        own = list(by)
    if not own:
        raise SolspaceError(
            f"the recording has no parameter of task {task.name!r} "
            f"({', '.join(task.parameters) or 'it has none'}), so its trials cannot be held "
            "against those of networks; name the columns when it is read, such as "
            f"parameters={{{next(iter(task.parameters), 't_in')!r}: COLUMN}} (at the command line "
            "--parameter)"
        )
    return own
