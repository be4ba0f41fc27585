"""Features of one recording: those that what was recorded suffices for, and why not the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.features.columns import Column, columns_of, evaluate
from solspace.features.kernels import FeatureError
from solspace.features.recording import COMPONENTS, make_recording
from solspace.features.registry import RECORDING, all_features, stretches_of
from solspace.tasks import Task

__all__ = ["Complete", "RecordedFeatures", "complete_part", "recorded_features"]

Array = NDArray[np.float64]

_LACKS = "take an epoch, a value or an answer that the recording does not have"
_NO_NUMBER = "came out as no number"


class Complete(NamedTuple):
    """The part of a recording in which every unit was observed.

    Attributes
    ----------
    activity : array (trial, time, unit)
        NaN where no unit was observed, such as past a trial's end, and nowhere else.
    epoch : array (trial, time)
        -1 where nothing was observed; an epoch with such a hole is left out of its trial.
    trials, units : bool arrays
        Which were kept.
    left_out : Counter
    """

    activity: Array
    epoch: NDArray[np.int8]
    trials: NDArray[np.bool_]
    units: NDArray[np.bool_]
    left_out: Counter[str]


def complete_part(activity: NDArray[Any], epoch: NDArray[Any]) -> Complete:
    """The trials and units of a recording that can be compared.

    Where some units were not observed on some trials, either those units or those trials are left
    out, whichever leaves more values.

    Parameters
    ----------
    activity : array (trial, time, unit)
        NaN where not observed.
    epoch : array (trial, time)

    Examples
    --------
    >>> activity = np.ones((4, 3, 5))
    >>> activity[:2, :, 0] = np.nan
    >>> part = complete_part(activity, np.zeros((4, 3), np.int8))
    >>> part.activity.shape, dict(part.left_out)
    ((4, 3, 4), {'units not observed on all trials': 1})
    """
    seen = np.isfinite(activity)
    anything = seen.any(axis=-1)
    trials = anything.any(axis=1)  # padding has none
    whole = (seen | ~anything[..., None]).all(axis=1)  # (trial, unit)
    units = np.ones(activity.shape[-1], bool)
    left_out: Counter[str] = Counter()
    if not whole[trials].all():
        good_units, good_trials = whole[trials].all(axis=0), trials & whole.all(axis=1)
        if good_units.sum() * trials.sum() >= good_trials.sum() * len(units):
            units = good_units
            left_out["units not observed on all trials"] = int((~units).sum())
        else:
            left_out["trials not observed by all units"] = int((trials & ~good_trials).sum())
            trials = good_trials
    kept = activity[trials][..., units].astype(np.float64)
    there, own = anything[trials], np.array(epoch[trials], np.int8)
    own[~there] = -1
    for flag in np.unique(own[own >= 0]):
        inside = own == flag
        first, last = inside.argmax(axis=1), inside.shape[1] - inside[:, ::-1].argmax(axis=1)
        holed = inside.any(axis=1) & (last - first != inside.sum(axis=1))
        own[holed[:, None] & inside] = -1
        if holed.any():
            left_out["epochs with a hole"] += int(holed.sum())
    return Complete(kept, own, trials, units, left_out)


class RecordedFeatures(NamedTuple):
    """Features of one recording.

    Attributes
    ----------
    values : dict of str to float
        By column, in the order of the task's; all finite.
    columns : dict of str to Column
    left_out : Counter
        How many columns were left out, by reason.
    """

    values: dict[str, float]
    columns: dict[str, Column]
    left_out: Counter[str]


def recorded_features(
    task: Task,
    activity: NDArray[Any],
    epoch: NDArray[Any],
    epochs: Sequence[str],
    parameters: Mapping[str, NDArray[Any]],
    *,
    families: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> RecordedFeatures:
    """Features of a recording, those alone that its epochs and parameters suffice for.

    Parameters
    ----------
    task : Task
        One without epochs of its own stands for none: features are then those of any recording.
    activity : array (trial, time, unit)
        NaN where not observed.
    epoch : array (trial, time)
    epochs : sequence of str
    parameters : mapping of str to array (trial,)
        The task's first one is the value that trials are compared across; the first, of no task.
    families, names : sequence of str, optional
        Only these families, or columns.

    Raises
    ------
    FeatureError
        Where the activity does not move, or no epoch is left.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> rng = np.random.default_rng(0)
    >>> activity = rng.normal(size=(6, 40, 5)).cumsum(axis=1)
    >>> epoch = np.repeat([0, 1], 20) * np.ones((6, 1), int)
    >>> found = recorded_features(get_task("none"), activity, epoch, ["before", "after"], {})
    >>> "speed_before" in found.values, "output_before_mean" in found.values
    (True, False)
    """
    part = complete_part(activity, epoch)
    if not part.activity.size or not (part.epoch >= 0).any():
        raise FeatureError(
            f"no trial, unit or epoch is left ({dict(part.left_out) or 'no bin is of an epoch'})"
        )
    given = {name: np.asarray(values)[part.trials] for name, values in parameters.items()}
    found: dict[str, Any] = {
        RECORDING: make_recording(
            task, part.activity, None, None, None, part.epoch, given, epochs=epochs
        )
    }
    recording = found[RECORDING]
    beyond = 100 * (1 - recording.variance[:COMPONENTS].sum())
    if beyond >= 10:
        part.left_out[f"% of the variance, beyond the first {COMPONENTS} components"] = round(
            beyond
        )
    there = (part.epoch >= 0).any(axis=1)
    alike = int(there.sum()) - len(np.unique(recording.value[there]))
    if alike:
        part.left_out["trials that others of their value stand for (average over trials)"] = alike
    why_not = _LACKS
    if task.feature_epochs is not None:
        try:
            found |= stretches_of(task, part.activity, part.epoch, given)
        except Exception as error:
            told = str(error).split(";")[0]
            why_not = f"take the task's own trials ({told})"
    values: dict[str, float] = {}
    columns: dict[str, Column] = {}
    left_out: Counter[str] = Counter()
    known: dict[int, list[Column]] = {}
    if task.feature_epochs is not None:
        for column in columns_of(task):
            known.setdefault(id(column.feature), []).append(column)
    every = [c[0].feature for c in known.values()] if known else all_features()
    for one in every:
        own = known.get(id(one), [])
        if families is not None and one.family not in families:
            continue
        if names is not None and known and not {c.name for c in own} & set(names):
            continue
        if not known and set(one.needs) != {RECORDING}:
            left_out["take stretches that a task picks"] += 1
            continue
        if not set(one.needs) <= set(found):
            left_out[why_not] += len(own)
            continue
        try:
            result = evaluate(one, found)
        except Exception as error:  # of another's data, or one's own feature
            left_out[_reason(error)] += max(len(own), 1)
            continue
        if not known:
            suffixes = tuple(result)
            own = [Column(f"{one.name}_{s}" if s else one.name, s, one, suffixes) for s in suffixes]
        for column in own:
            if names is not None and column.name not in names:
                continue
            value = result.get(column.suffix)
            if value is None or not np.isfinite(value):
                left_out[_LACKS if value is None else _NO_NUMBER] += 1
                continue
            values[column.name], columns[column.name] = value, column
    return RecordedFeatures(values, columns, part.left_out + left_out)


def _reason(error: Exception) -> str:
    if isinstance(error, SolspaceError):
        told = str(error).partition("cannot be computed: ")[2] or str(error)
        return told.replace("it takes ", "take ").split(";")[0]
    return f"stopped with {type(error).__name__}: {error}"
