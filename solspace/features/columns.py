"""The columns of the store: which numbers the features of a task make, and in what order."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from solspace.errors import SolspaceError
from solspace.features.kernels import FeatureError
from solspace.features.recording import make_recording
from solspace.features.registry import PUBLISHED, RECORDING, Feature, features_of, stretches_of
from solspace.tasks import Task, get_task

__all__ = ["Column", "FeatureTable", "columns_of", "evaluate", "feature_table", "no_such_feature"]


class FeatureTable(NamedTuple):
    """The columns of a task's features, each entry a list in the same order."""

    name: list[str]
    family: list[str]
    units: list[str]
    source: list[str]
    description: list[str]


class Column(NamedTuple):
    """One column of the store.

    Attributes
    ----------
    name : str
    suffix : str
        Which of the feature's numbers it is.
    feature : Feature
    suffixes : tuple of str
        Of all columns of this feature.
    """

    name: str
    suffix: str
    feature: Feature
    suffixes: tuple[str, ...]


_columns: dict[str, tuple[Task, tuple[Feature, ...], list[Column]]] = {}


def feature_table(task: str | Task) -> FeatureTable:
    """What fills the ``feature`` coordinates of a store, in their order.

    The published features come first, by name.

    Raises
    ------
    SolspaceError
        Where two features give columns of one name.

    Examples
    --------
    >>> table = feature_table("interval_reproduction")
    >>> dict(zip(table.name, table.units))["angle"]
    'degree'
    >>> len(table.name), table.family.count("published")
    (259, 11)
    """
    rows = columns_of(get_task(task))
    return FeatureTable(
        [row.name for row in rows],
        [row.feature.family for row in rows],
        [row.feature.units for row in rows],
        [row.feature.source for row in rows],
        [row.feature.description for row in rows],
    )


def columns_of(task: Task) -> list[Column]:
    """The columns of a task's features, in order; their names are unique."""
    features = features_of(task)
    known = _columns.get(task.name)
    if known is not None and known[0] is task and known[1] == features:
        return known[2]
    out: dict[str, Column] = {}
    suffixes = _find_suffixes(task, features)
    for one in features:
        for suffix in suffixes[id(one)]:
            name = f"{one.name}_{suffix}" if suffix else one.name
            taken = out.get(name)
            # Beside a published feature, another of that name is told apart by its family.
            if taken and taken.feature.family == PUBLISHED != one.family:
                name = f"{one.family}.{name}"
            if name in out:
                raise SolspaceError(
                    f"two features of task {task.name!r} are named {name!r}; rename one of them, "
                    f"or forget it: solspace.features.unregister({one.name!r})"
                )
            out[name] = Column(name, suffix, one, suffixes[id(one)])
    columns = list(out.values())
    _columns[task.name] = (task, features, columns)
    return columns


def _find_suffixes(task: Task, features: Sequence[Feature]) -> dict[int, tuple[str, ...]]:
    """The suffixes of each feature, those it does not say found on activity that is made up."""
    trials = task.recorded_trials()
    rng = np.random.default_rng(0)
    shape = trials.epoch.shape
    activity = np.tanh(rng.normal(size=(*shape, 3)).cumsum(axis=1) * 0.1)
    output = rng.normal(size=(*shape, len(task.outputs)))
    found = stretches_of(task, activity, trials.epoch, trials.parameters)
    found[RECORDING] = make_recording(
        task, activity, output, trials.input, trials.target, trials.epoch, trials.parameters
    )
    out: dict[int, tuple[str, ...]] = {}
    for one in features:
        if callable(one.columns):
            out[id(one)] = tuple(one.columns(task))
        elif one.columns is not None:
            out[id(one)] = one.columns
        else:
            try:
                out[id(one)] = tuple(evaluate(one, found))
            except FeatureError:
                out[id(one)] = ("",)  # what it makes of this activity says nothing of others
            except SolspaceError:
                raise
            except Exception as error:
                raise SolspaceError(
                    f"feature {one.name!r} stops on activity that is made up, "
                    f"{type(error).__name__}: {error}; mend it, or say its columns: "
                    "@feature(columns=...)"
                ) from error
    return out


def evaluate(one: Feature, found: Mapping[str, Any]) -> dict[str, float]:
    """What a feature makes of one network: numbers by the suffix of their column.

    Raises
    ------
    FeatureError
        Where it cannot be computed.
    SolspaceError
        Where it gives something else than numbers.
    """
    try:
        result = one.compute(**{need: found[need] for need in one.needs})
    except FeatureError as error:
        raise FeatureError(f"feature {one.name!r} cannot be computed: {error}") from None
    values = result if isinstance(result, Mapping) else {"": result}
    try:
        return {str(suffix): float(value) for suffix, value in values.items()}
    except (TypeError, ValueError):
        shapes = ", ".join(f"{type(v).__name__} of shape {np.shape(v)}" for v in values.values())
        raise SolspaceError(
            f"feature {one.name!r} gives {shapes}; return one number, or a mapping of text to "
            "numbers"
        ) from None


def no_such_feature(task: Task, name: str, known: Sequence[str]) -> SolspaceError:
    """The error about a column that a task does not have."""
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5) or list(known[:5])
    more = f", ... ({len(known)}: solspace.features.feature_table({task.name!r}))"
    return SolspaceError(
        f"task {task.name!r} has no feature {name!r}; features: {', '.join(close)}"
        f"{more if len(known) > len(close) else ''}"
    )
