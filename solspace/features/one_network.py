"""Features of one network from its recorded arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.features.columns import Column, columns_of, evaluate, no_such_feature
from solspace.features.kernels import Array, FeatureError
from solspace.features.recording import make_recording
from solspace.features.registry import RECORDING, stretches_of
from solspace.tasks import Task, get_task

__all__ = ["compute_features", "pick_columns", "values_of"]


def compute_features(
    task: str | Task,
    activity: ArrayLike,
    epoch: ArrayLike,
    parameters: Mapping[str, Any],
    names: Iterable[str] | None = None,
    *,
    output: ArrayLike | None = None,
    input: ArrayLike | None = None,
    target: ArrayLike | None = None,
    architecture: str = "vanilla",
    cell_state: ArrayLike | None = None,
) -> dict[str, float]:
    """Features of one network from its recorded activity.

    Parameters
    ----------
    task : str or Task
    activity : array (trial, time, unit)
        One network's, without padding. Of an LSTM the hidden state.
    epoch : array (trial, time)
    parameters : mapping of str to array (trial,)
    names : iterable of str, optional
        Which columns of `feature_table`; by default all of the task that can be computed: without
        ``output``, ``input`` and ``target`` those that take stretches of activity alone.
    output : array (trial, time, channel), optional
    input, target : array (trial, time, channel), optional
    architecture : str
    cell_state : array (trial, time, unit), optional
        Of an LSTM: hidden and cell state both make up where the network is.

    Returns
    -------
    dict of str to float
        In the order of ``names``. Computed in float64 whatever comes in.

    Raises
    ------
    FeatureError
        Where a feature cannot be computed; the message names it and says why.
    SolspaceError
        For arrays that do not fit together, unknown names, or missing trials.

    Examples
    --------
    >>> task = get_task("interval_reproduction")
    >>> trials = task.recorded_trials()
    >>> activity = np.random.default_rng(0).normal(size=(31, 150, 8))
    >>> compute_features(task, activity, trials.epoch, trials.parameters, names=["corr", "svm"])
    {'corr': ..., 'svm': ...}
    """
    task = get_task(task)
    rest = {"output": output, "input": input, "target": target}
    lacking = [name for name, values in rest.items() if values is None]
    wanted = pick_columns(task, names)
    of_recording = [column for column in wanted if RECORDING in column.feature.needs]
    if lacking and names is None:
        wanted = [column for column in wanted if RECORDING not in column.feature.needs]
    elif lacking and of_recording:
        raise SolspaceError(
            f"feature {of_recording[0].name!r} takes the whole recording; give "
            f"{', '.join(f'{name}=' for name in lacking)} too"
        )
    values, reasons = values_of(
        task, wanted, activity, epoch, parameters,
        architecture=architecture, cell_state=cell_state, **rest,
    )  # fmt: skip
    if reasons:
        raise FeatureError("; ".join(reasons))
    return {column.name: float(v) for column, v in zip(wanted, values, strict=True)}


def pick_columns(
    task: Task, names: Iterable[str] | None = None, families: Iterable[str] | None = None
) -> list[Column]:
    """Columns of a task by name, in that order, or by family; all where neither is given.

    Raises
    ------
    SolspaceError
        For a name or family that the task does not have, or for both at once.

    Examples
    --------
    >>> task = get_task("interval_reproduction")
    >>> [column.name for column in pick_columns(task, ["svm", "angle"])]
    ['svm', 'angle']
    """
    columns = columns_of(task)
    if names is not None and families is not None:
        raise SolspaceError("give columns or families of features, not both")
    if isinstance(names, str) or isinstance(families, str):
        raise SolspaceError(f"one text {names or families!r}; give a list of them")
    if names is not None:
        of = {column.name: column for column in columns}
        wanted = list(names)
        if unknown := [name for name in wanted if name not in of]:
            raise no_such_feature(task, unknown[0], list(of))
        if twice := [name for name in wanted if wanted.count(name) > 1]:
            raise SolspaceError(f"feature {twice[0]!r} is asked for twice; give it once")
        return [of[name] for name in wanted]
    if families is not None:
        known = dict.fromkeys(column.feature.family for column in columns)
        chosen = list(families)
        if unknown := [family for family in chosen if family not in known]:
            raise SolspaceError(
                f"task {task.name!r} has no family of features {unknown[0]!r}; families: "
                f"{', '.join(known)}"
            )
        return [column for column in columns if column.feature.family in chosen]
    return columns


def values_of(
    task: Task,
    columns: Sequence[Column],
    activity: ArrayLike,
    epoch: ArrayLike,
    parameters: Mapping[str, Any],
    *,
    output: ArrayLike | None,
    input: ArrayLike | None,
    target: ArrayLike | None,
    architecture: str,
    cell_state: ArrayLike | None,
) -> tuple[Array, list[str]]:
    """Values of columns, NaN where one cannot be computed, and why.

    Parameters are those of `compute_features`.
    """
    steps = np.asarray(epoch)
    parts = [
        np.ascontiguousarray(part, np.float64)
        for part in (activity, cell_state)
        if part is not None
    ]
    if any(part.ndim != 3 or part.shape[:2] != steps.shape for part in parts):
        raise SolspaceError(
            f"activity of shape {' and '.join(str(p.shape) for p in parts)} with epoch of shape "
            f"{steps.shape}; give (trial, time, unit) and (trial, time)"
        )
    if not all(np.isfinite(part).all() for part in parts):
        raise FeatureError(
            "activity holds NaN or infinity; give one network's recorded activity without the "
            "padding past its hidden size"
        )
    reasons: list[str] = []
    first = {id(column.feature): column for column in columns}  # any column of each feature
    needs = {need for column in columns for need in column.feature.needs}
    found: dict[str, Any] = {}
    if needs - {RECORDING}:
        states = np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        arrays = {key: np.asarray(value) for key, value in parameters.items()}
        found = stretches_of(task, states, steps, arrays)
    if RECORDING in needs:
        try:
            found[RECORDING] = _recording(
                task, parts[0], output, input, target, steps, parameters, architecture, cell_state
            )
        except FeatureError as error:
            count = sum(RECORDING in column.feature.needs for column in columns)
            reasons.append(f"{count} features of the whole recording cannot be computed: {error}")
    values: dict[int, dict[str, float]] = {}
    for key, column in first.items():
        one = column.feature
        if RECORDING in one.needs and RECORDING not in found:
            continue
        try:
            values[key] = _checked(evaluate(one, found), column)
        except SolspaceError as error:
            reasons.append(str(error))
        except (MemoryError, OSError):
            raise
        except Exception as error:
            reasons.append(f"feature {one.name!r} stopped with {type(error).__name__}: {error}")
    out = np.array([values.get(id(c.feature), {}).get(c.suffix, np.nan) for c in columns], float)
    bad = [
        (columns[i].name, out[i])
        for i in np.flatnonzero(~np.isfinite(out)).tolist()
        if id(columns[i].feature) in values
    ]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        name, value = bad[0]
        reasons.append(f"feature {name!r}{more} cannot be computed: it came out as {value}")
        out[~np.isfinite(out)] = np.nan
    return out, reasons


def _recording(
    task: Task,
    activity: NDArray[Any],
    output: ArrayLike | None,
    input: ArrayLike | None,
    target: ArrayLike | None,
    epoch: NDArray[Any],
    parameters: Mapping[str, Any],
    architecture: str,
    cell_state: ArrayLike | None,
) -> Any:
    if output is None or input is None or target is None:
        raise SolspaceError("a recording needs output, input and target")
    return make_recording(
        task, activity, output, input, target, epoch, parameters,
        architecture=architecture, cell_state=cell_state,
    )  # fmt: skip


def _checked(values: dict[str, float], column: Column) -> dict[str, float]:
    """The values, where they are those that the store has columns for."""
    if set(values) != set(column.suffixes):
        differ = sorted(set(values) ^ set(column.suffixes))
        raise SolspaceError(
            f"feature {column.feature.name!r} gives {len(values)} numbers for "
            f"{len(column.suffixes)} columns (they differ in {', '.join(map(repr, differ[:3]))}); "
            "let it give the same for every network, and say their keys: @feature(columns=...)"
        )
    return values
