"""Trials of a recording: their columns, which of them are left out, their epochs."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.population.each import told_elsewhere
from solspace.population.variables import text_array
from solspace.recordings.binning import epochs_of
from solspace.tasks import Task

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Epochs",
    "Trials",
    "epoch_array",
    "moment",
    "read_columns",
    "told",
    "warn_of_exclusions",
]

Array = NDArray[np.float64]
MOST_SAID = 1024  # characters, as long as a store keeps it
Epochs = Mapping[str, tuple[str | float, str | float]]


@dataclass
class Trials:
    """Columns of the trials that are kept, and what was left out.

    Attributes
    ----------
    columns : dict of str to array (trial,)
    times : set of str
        Those of them that are moments, in ms after the event that trials are aligned to.
    left_out : Counter
        How often what was left out.
    rows : array (trial,), optional
        Places of the trials among all that were given, where somebody asks.
    """

    columns: dict[str, NDArray[Any]]
    times: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def keep(self, good: NDArray[np.bool_], why: str) -> NDArray[np.bool_]:
        """Leave out the other trials, and count them; which were kept."""
        lost = int((~good).sum())
        if lost:
            self.left_out[why] += lost
            self.columns = {name: values[good] for name, values in self.columns.items()}
            self.rows = None if self.rows is None else self.rows[good]
        if not good.any():
            raise SolspaceError(f"no trial is left: {told(self.left_out)}")
        return good


def told(left_out: Mapping[str, int]) -> str:
    """What was left out and how often, in words.

    Examples
    --------
    >>> told({"trials without go_time": 1, "trials marked is_outlier": 2})
    'trials without go_time: 1; trials marked is_outlier: 2'
    """
    text = "; ".join(f"{why}: {count}" for why, count in left_out.items() if count)
    return text if len(text) <= MOST_SAID else text[: MOST_SAID - 3] + "..."


def read_columns(columns: Any) -> Trials:
    """Columns of trials as arrays: numbers, truths as 0 and 1, and texts.

    Parameters
    ----------
    columns : mapping of str to array (trial,), or DataFrame
        Those with more than one value a trial are left out and counted.

    Raises
    ------
    SolspaceError
        Where there is none, or they have several lengths.

    Examples
    --------
    >>> trials = read_columns({"go time": [0.1, 0.2], "correct": [True, False]})
    >>> {name: values.tolist() for name, values in trials.columns.items()}
    {'go_time': [0.1, 0.2], 'correct': [1, 0]}
    >>> read_columns({"reward": [None, 2]}).columns["reward"].tolist()
    [nan, 2.0]
    """
    if isinstance(columns, Trials):  # read already, with what was left out
        return columns
    found: dict[str, NDArray[Any]] = {}
    left_out: Counter[str] = Counter()
    for given in columns:
        name = re.sub(r"\W", "_", str(given))
        name = name if name.isidentifier() else f"column_{name}"
        values = columns[given]
        try:
            array = np.asarray(values)
        except ValueError:  # lists of several lengths
            array = np.empty((0, 0))
        if array.dtype.kind in "OTSU" and array.ndim == 1:
            array = _texts_or_numbers(array.tolist())
        if array.ndim != 1 or array.dtype.kind not in "fiubU":
            left_out["columns that are not one number or text a trial"] += 1
            continue
        if array.dtype.kind == "b":
            array = array.astype(np.int8)
        if array.dtype.kind in "iu":
            array = array.astype(np.int64)
        if array.dtype.kind == "f":
            array = array.astype(np.float64)
        if name in found:
            raise SolspaceError(f"two columns of trials are named {name!r}; rename one of them")
        found[name] = array
    sizes = {name: len(values) for name, values in found.items()}
    if len(set(sizes.values())) > 1:
        raise SolspaceError(
            "columns of trials of several lengths ("
            + ", ".join(f"{name} {n}" for name, n in sizes.items())
            + "); give one value a trial"
        )
    return Trials(found, left_out=left_out)


def _texts_or_numbers(rows: list[Any]) -> NDArray[Any]:
    """Texts, or numbers where all that is there is one; what is neither has two dims."""
    there = [v for v in rows if v is not None and v == v]
    if there and all(isinstance(v, (bool, int, float, np.number, np.bool_)) for v in there):
        return np.array([np.nan if v is None else float(v) for v in rows])
    if not all(isinstance(v, (str, bytes)) for v in there):
        return np.empty((0, 0))
    texts = [v.decode() if isinstance(v, bytes) else v if isinstance(v, str) else "" for v in rows]
    return text_array(texts) if texts else np.empty(0, "U1")


def column(trials: Trials, name: str, what: str) -> NDArray[Any]:
    """A column by its name.

    Raises
    ------
    SolspaceError
        Where there is none; the message lists those there are.
    """
    if name not in trials.columns:
        raise SolspaceError(
            f"{what}: trials have no column {name!r}; columns: "
            f"{', '.join(trials.columns) or 'none'}"
        )
    return trials.columns[name]


_MOMENT = re.compile(r"(.+?)([+-]\d+(?:\.\d+)?)(?:ms)?$")


def moment(trials: Trials, given: str | float, what: str) -> tuple[Array, str]:
    """When something is in each trial, in ms: a number, a column, or a column and ms after it.

    Parameters
    ----------
    trials : Trials
        Those columns that are moments in ms.
    given : str or float
        Such as 200, ``"go_time"`` or ``"go_time-50"``.
    what : str
        For errors.

    Returns
    -------
    array (trial,), and the name of the column; empty for a number.

    Examples
    --------
    >>> moment(Trials({"go_time": np.array([300.0])}, {"go_time"}), "go_time-50", "window")
    (array([250.]), 'go_time')
    """
    if not isinstance(given, str):
        return np.full(len(trials), float(given)), ""
    name, after = given, 0.0
    if given not in trials.columns:
        try:
            return np.full(len(trials), float(given.removesuffix("ms"))), ""
        except ValueError:
            pass
        if match := _MOMENT.match(given):
            name, after = match[1], float(match[2])
    values = column(trials, name, what)
    if values.dtype.kind not in "fi":
        raise SolspaceError(f"{what}: column {name!r} holds texts; give one of times")
    if name not in trials.times:
        times = ", ".join(sorted(trials.times)) or "none"
        raise SolspaceError(
            f"{what}: column {name!r} is not known to hold times; those are named ..._time: {times}"
        )
    return np.asarray(values, np.float64) + after, name


def columns_named(given: str | float, trials: Trials) -> list[str]:
    """The column that a moment is given by, before columns are known to be times."""
    if not isinstance(given, str) or given in trials.columns:
        return [given] if isinstance(given, str) else []
    match = _MOMENT.match(given)
    return [match[1]] if match and match[1] in trials.columns else []


def epoch_array(
    trials: Trials, epochs: Epochs, centres: Array, task: Task
) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """The epoch of each bin (trial, time), -1 for none, and the names of all epochs.

    Those of a task are numbered as the task does, whether a recording has them or not.

    Raises
    ------
    SolspaceError
        For an epoch that the task does not have, or two that overlap.
    """
    known = task.epochs or tuple(epochs)
    if unknown := [name for name in epochs if name not in known]:
        raise SolspaceError(
            f"epoch {unknown[0]!r}: task {task.name!r} has epochs {', '.join(known)}; give one of "
            "them, or task 'none'"
        )
    starts, stops = [], []
    for name, bounds in epochs.items():
        if isinstance(bounds, str) or len(bounds) != 2:
            raise SolspaceError(
                f"epoch {name!r} from {bounds!r}; give two columns, where it starts and stops, "
                "such as ('ready_time', 'set_time')"
            )
        start, stop = (moment(trials, b, f"epoch {name}")[0] for b in bounds)
        if backwards := int((stop < start).sum()):
            raise SolspaceError(
                f"epoch {name!r} stops before it starts in {backwards} of {len(trials)} trials; "
                f"give its start first (given: {bounds[0]}, {bounds[1]})"
            )
        starts.append(start)
        stops.append(stop)
    shape = (len(epochs), len(trials))
    flags = [known.index(name) for name in epochs]
    try:
        epoch = epochs_of(
            centres, np.reshape(starts, shape), np.reshape(stops, shape), np.array(flags, np.int8)
        )
    except ValueError as error:
        one, other, trial = map(int, str(error).split())
        names = list(epochs)
        raise SolspaceError(
            f"epochs {names[one]!r} and {names[other]!r} overlap in trial {trial}; give epochs "
            "that follow each other"
        ) from None
    return epoch, known


def check_names(names: Sequence[str], taken: set[str]) -> dict[str, str]:
    """Names of columns as coordinates: ``trial_NAME`` where the store has one of that name.

    Examples
    --------
    >>> check_names(["name", "go_time"], {"name"})
    {'name': 'trial_name', 'go_time': 'go_time'}
    """
    out = {name: f"trial_{name}" if name in taken else name for name in names}
    if len(set(out.values())) < len(out) or set(out.values()) & taken:
        raise SolspaceError(
            f"columns of trials {', '.join(names)} do not all get a name of their own; rename "
            "those named as variables of docs/schema.md"
        )
    return out


def warn_of_exclusions(ds: xr.Dataset) -> None:
    """Say what was left out of recordings."""
    said = [
        f"{name}: {text}"
        for name, text in zip(ds["name"].values, ds["exclusions"].values, strict=True)
        if text
    ]
    if said and not told_elsewhere():
        warnings.warn(f"left out, or kept and to be known of: {'. '.join(said)}", stacklevel=4)
