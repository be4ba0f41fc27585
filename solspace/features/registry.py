"""Every feature there is, and the decorator that makes a function one.

A feature is one decorated function. The names of its arguments say what it is given: stretches of
activity that the task picks (`Task.feature_epochs`), or ``recording``, the whole recording of one
network (`solspace.features.recording.Recording`). It applies to every task that has its stretches.

Every module of `solspace.features` is looked through, so a feature is one file there, or a function
in a script or a notebook; those of one's own are sent to workers by value.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks import Task, get_task, task_names

__all__ = [
    "PUBLISHED",
    "RECORDING",
    "Feature",
    "all_features",
    "feature",
    "features_of",
    "is_own",
    "module_of",
    "replace_own",
    "stretches_of",
    "unregister",
]

PUBLISHED = "published"  # the family of the paper's features
RECORDING = "recording"  # the argument that stands for the whole recording
# Names of sets of features (see `solspace.classification`), which no family can have.
TAKEN = ("activity", "all")

F = TypeVar("F", bound=Callable[..., Any])
Suffixes = tuple[str, ...] | Callable[[Task], Sequence[str]] | None


@dataclass(frozen=True)
class Feature:
    """One registered feature.

    Attributes
    ----------
    name : str
    family : str
        Features of one family say the same kind of thing; importance is given for families too.
    units : str
        ``"1"`` where it is a pure number.
    source : str
        Where its definition comes from.
    description : str
        First line of the function's docstring.
    needs : tuple of str
        The arguments of ``compute``: stretches of activity, or ``recording``.
    compute : callable
        One number, or a mapping of numbers by the suffix of their column.
    columns : tuple of str, callable (Task) -> sequence of str, or None
        The suffixes; None where they are found out on activity that is made up.
    """

    name: str
    family: str
    units: str
    source: str
    description: str
    needs: tuple[str, ...]
    compute: Callable[..., Any]
    columns: Suffixes = None


_FEATURES: list[Feature] = []
_stretch_names: dict[str, tuple[Task, frozenset[str]]] = {}


# --------------------------------------------------------------------------- the decorator


def feature(
    *,
    name: str,
    family: str = "own",
    units: str,
    source: str,
    columns: Sequence[str] | Callable[[Task], Sequence[str]] | None = None,
) -> Callable[[F], F]:
    """Register a function as a feature of every task that has what its arguments name.

    The function returns one number, stored under its name, or several: a mapping of numbers,
    stored under ``name_key`` (``name`` where the key is empty). The first line of its docstring is
    stored as its meaning.

    Parameters
    ----------
    name : str
        Label on the store's ``feature`` coordinate.
    family : str
        Features of one family say the same kind of thing.
    units : str
        ``"1"`` for a pure number.
    source : str
        The publication or the formula it comes from.
    columns : sequence of str, or callable (Task) -> sequence of str, optional
        The keys of what it returns. By default they are found out by calling it once on activity
        that is made up; say them where that would take long.

    Raises
    ------
    SolspaceError
        Where the function has no docstring or takes what no feature is given.

    Examples
    --------
    >>> @feature(name="largest_rate", units="1", source="ours")
    ... def largest_rate(activity):
    ...     '''Largest absolute activity of any unit.'''
    ...     return np.abs(activity).max()
    >>> @feature(name="start", family="own", units="standard deviation", source="ours")
    ... def start(recording):
    ...     '''Distance of the first state of each epoch from the mean.'''
    ...     return {name: np.linalg.norm(parts[0][0])
    ...             for name, parts in recording.long_epochs.items()}
    >>> from solspace.features import feature_table
    >>> feature_table("interval_reproduction").name[-4:]
    ['largest_rate', 'start_ready_set', 'start_set_go', 'start_after_go']
    >>> unregister("largest_rate")
    >>> unregister("start")
    """
    for what, text in (("name", name), ("family", family), ("units", units), ("source", source)):
        if not isinstance(text, str) or not text.strip():
            raise SolspaceError(f"feature {name!r} with {what}={text!r}; give a text")
    if family in TAKEN or "+" in family:
        raise SolspaceError(
            f"feature {name!r} with family={family!r}; {', '.join(TAKEN)} are names of sets of "
            "families, and + joins families; give another name"
        )

    def register(function: F) -> F:
        description = (inspect.getdoc(function) or "").split("\n")[0].strip()
        if not description:
            raise SolspaceError(
                f"feature {name!r} has no docstring; its first line is stored as its meaning"
            )
        suffixes = columns if columns is None or callable(columns) else tuple(columns)
        made = Feature(
            name, family, units, source, description, _needs(name, function), function, suffixes
        )
        if family == PUBLISHED and is_own(made):
            raise SolspaceError(
                f"feature {name!r} with family={family!r}, which is that of the paper's features; "
                "give another name"
            )
        # A cell of a notebook that is run again: the function as it is now, in its old place.
        same = [i for i, one in enumerate(_FEATURES) if _origin(one) == _origin(made)]
        if same:
            _FEATURES[same[0]] = made
        else:
            _FEATURES.append(made)
        return function

    return register


def _origin(one: Feature) -> tuple[str, str, str]:
    return one.name, module_of(one), getattr(one.compute, "__qualname__", repr(one.compute))


def module_of(one: Feature) -> str:
    """The module its function is from."""
    return str(getattr(one.compute, "__module__", ""))


def _needs(name: str, function: Callable[..., Any]) -> tuple[str, ...]:
    given = inspect.signature(function).parameters.values()
    loose = [p.name for p in given if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    needs = tuple(p.name for p in given if p.default is p.empty)
    if loose or not needs or any(p.kind is p.POSITIONAL_ONLY for p in given):
        raise SolspaceError(
            f"feature {name!r} takes ({', '.join(map(str, given))}); name what it needs, each an "
            f"argument: stretches of activity such as `activity`, or `{RECORDING}`"
        )
    return needs


def unregister(name: str) -> None:
    """Forget a feature of one's own.

    Raises
    ------
    SolspaceError
        Where there is none of that name.
    """
    own = [one for one in _FEATURES if is_own(one)]
    if name not in {one.name for one in own}:
        known = ", ".join(sorted({one.name for one in own})) or "none"
        raise SolspaceError(f"no feature {name!r} to forget; features of your own: {known}")
    _FEATURES[:] = [one for one in _FEATURES if one.name != name or not is_own(one)]


# --------------------------------------------------------------------------- all of them


def is_own(one: Feature) -> bool:
    """Whether the package itself does not have it."""
    code = getattr(inspect.unwrap(one.compute), "__code__", None)
    return code is None or os.path.dirname(code.co_filename) != os.path.dirname(__file__)


def all_features() -> list[Feature]:
    """Published ones by name, those of the package, and then one's own in the order made."""
    package = importlib.import_module(str(__package__))
    modules = [f"{__package__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    for module in modules:
        importlib.import_module(module)  # waits where another thread is at it
    place = {module: i for i, module in enumerate(modules)}

    def order(one: Feature) -> tuple[bool, str, int]:
        if one.family == PUBLISHED:
            return False, one.name, 0
        return True, "", place.get(module_of(one), len(modules))

    return sorted(_FEATURES, key=order)


def replace_own(own: Sequence[Feature]) -> None:
    """Put these in place of all features that the package itself does not have."""
    _FEATURES[:] = [one for one in all_features() if not is_own(one)] + list(own)


def features_of(task: str | Task) -> tuple[Feature, ...]:
    """Features that apply to a task, in the order of the store.

    Raises
    ------
    SolspaceError
        Where the task does not say which stretches to compare, or a feature asks for a stretch
        that no task has.

    Examples
    --------
    >>> [f.name for f in features_of("interval_reproduction")][:4]
    ['angle', 'aspect_ratio', 'corr', 'curvature_max']
    """
    task = get_task(task)
    there = _stretch_names_of(task)
    out = []
    for one in all_features():
        if there.issuperset(one.needs):
            out.append(one)
        elif not any(_stretch_names_of(other).issuperset(one.needs) for other in _others(task)):
            known = "; ".join(
                f"{other.name}: {', '.join(sorted(_stretch_names_of(other)))}"
                for other in [task, *_others(task)]
            )
            raise SolspaceError(
                f"feature {one.name!r} takes {', '.join(one.needs)}, and no task has all of that; "
                f"name its arguments after what a task has ({known}), or forget it: "
                f"solspace.features.unregister({one.name!r})"
            )
    return tuple(out)


def _others(task: Task) -> list[Task]:
    found = map(get_task, task_names())
    return [one for one in found if one.feature_epochs and one.name != task.name]


def _stretch_names_of(task: Task) -> frozenset[str]:
    """What features can ask a task for."""
    known = _stretch_names.get(task.name)
    if known is None or known[0] is not task:
        trials = task.recorded_trials()
        silent = np.zeros((*trials.epoch.shape, 1))
        names = {RECORDING, *stretches_of(task, silent, trials.epoch, trials.parameters)}
        known = _stretch_names[task.name] = (task, frozenset(names))
    return known[1]


def stretches_of(
    task: Task, activity: NDArray[Any], epoch: NDArray[Any], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The stretches of activity that a task picks for features, by name.

    Raises
    ------
    SolspaceError
        Where the task does not say which.

    Examples
    --------
    >>> task = get_task("interval_reproduction")
    >>> trials = task.recorded_trials()
    >>> silent = np.zeros((*trials.epoch.shape, 4))
    >>> list(stretches_of(task, silent, trials.epoch, trials.parameters))
    ['activity', 'epoch1', 'epoch2']
    """
    if task.feature_epochs is None:
        raise SolspaceError(
            f"task {task.name!r} has no feature_epochs, so it has no features; "
            "give its Task(feature_epochs=...), see solspace.tasks.IntervalEpochs"
        )
    return dict(task.feature_epochs(activity, epoch, parameters)._asdict())
