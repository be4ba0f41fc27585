"""Which tasks there are: those of the package, of installed packages, and registered ones."""

from __future__ import annotations

import importlib
import os
import pkgutil
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint

from solspace.errors import SolspaceError
from solspace.tasks.needs import said_missing
from solspace.tasks.none import NO_TASK
from solspace.tasks.task import Task, check_task

__all__ = [
    "GROUP",
    "default_architecture",
    "get_task",
    "is_known",
    "is_shipped",
    "register_task",
    "registered",
    "source_of",
    "task_names",
    "why_unknown",
]

GROUP = "solspace.tasks"  # of entry points

_registered: dict[str, Task] = {}
_sources: dict[str, Mapping[str, str]] = {}
_reasons: dict[str, str] = {}
_found: tuple[tuple[tuple[str, int], ...] | None, dict[str, Task]] = (None, {})


def _shipped() -> dict[str, Task]:
    """Those of this folder."""
    global _found
    package = __name__.rpartition(".")[0]
    folder = importlib.import_module(package).__path__
    # A folder's time changes with the files in it, and is a hundred times quicker to ask for.
    now = tuple((path, os.stat(path).st_mtime_ns) for path in folder if os.path.isdir(path))
    if now != _found[0]:
        names = tuple(module.name for module in pkgutil.iter_modules(folder))
        found: dict[str, Task] = {}
        for name in names:
            task = getattr(importlib.import_module(f"{package}.{name}"), "TASK", None)
            if not isinstance(task, Task):
                continue
            if task.name in found:
                raise SolspaceError(f"two tasks are named {task.name!r}; rename one of them")
            found[task.name] = task
        _found = (now, found)
    return _found[1]


@cache
def _entry_points() -> dict[str, EntryPoint]:
    """Of installed packages, by name; nothing of them is imported yet."""
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise SolspaceError(
                f"two installed packages have a task named {point.name!r} ({_package(other)} and "
                f"{_package(point)}); uninstall one of them"
            )
    return found


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"


def _installed(name: str) -> Task:
    """The task of an installed package, imported now."""
    point = _entry_points()[name]
    where = f"entry point {point.value} of {_package(point)}"
    try:
        task = point.load()
    except Exception as error:
        raise SolspaceError(
            f"task {name!r}: {where} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(task, Task) or task.name != name:
        what = f"the task {task.name!r}" if isinstance(task, Task) else type(task).__name__
        raise SolspaceError(
            f"task {name!r}: {where} is {what}; let it be a solspace.Task of the name of the entry "
            "point"
        )
    register_task(task)
    _sources[name] = {"entry_point": point.value, "package": _package(point)}
    return task


def registered() -> dict[str, Task]:
    """Tasks that were registered in this process."""
    return dict(_registered)


def restore(tasks: Mapping[str, Task]) -> None:
    """Those that were registered before, and no others."""
    _registered.clear()
    _registered.update(tasks)


def is_shipped(name: str) -> bool:
    """Whether a task is of the package.

    Examples
    --------
    >>> is_shipped("interval_reproduction"), is_shipped("mine")
    (True, False)
    """
    return name in _shipped()


def shipped(name: str) -> Task:
    """The task of the package of that name."""
    return _shipped()[name]


def is_known(name: str) -> bool:
    """Whether there is a task of that name.

    Examples
    --------
    >>> is_known("interval_reproduction"), is_known("ready_set_stop")
    (True, False)
    """
    return name in _registered or name in _shipped() or name in _entry_points()


def source_of(name: str) -> Mapping[str, str] | None:
    """Where a task of one's own was read: its file, or the package that has it.

    Returns
    -------
    mapping or None
        ``file``, ``sha256`` and ``text``, or ``entry_point`` and ``package``; None for a task of
        this package and for one that a script registered.

    Examples
    --------
    >>> source_of("interval_reproduction") is None
    True
    """
    if name not in _registered and name not in _shipped() and name in _entry_points():
        _installed(name)
    return _sources.get(name)


def set_source(name: str, source: Mapping[str, str]) -> None:
    """Note where a task was read that is registered."""
    _sources[name] = source


def why_unknown(name: str, reason: str) -> None:
    """What `get_task` says of a name, as long as there is no task of it."""
    _reasons[name] = reason


def task_names() -> tuple[str, ...]:
    """Names of the tasks that can be used: the package's, those registered, those installed.

    Examples
    --------
    >>> "interval_reproduction" in task_names()
    True
    """
    return tuple(dict.fromkeys([*_shipped(), *_registered, *_entry_points()]))


def get_task(task: str | Task) -> Task:
    """The task of that name; a `Task` is returned as it is.

    Recordings of no task are of one named ``none``, which `task_names` leaves out.

    Raises
    ------
    SolspaceError
        Where no task has that name; the message lists those there are.

    Examples
    --------
    >>> get_task("interval_reproduction").inputs
    ('ready', 'set')
    """
    if isinstance(task, Task):
        return task
    if task == NO_TASK.name:
        return NO_TASK
    if task in _registered:  # also in place of one of the package
        return _registered[task]
    if task in _shipped():
        return _shipped()[task]
    if task in _entry_points():
        return _installed(task)
    if task in _reasons:
        raise SolspaceError(_reasons[task])
    raise SolspaceError(
        f"unknown task {task!r}; tasks: {', '.join(task_names())} (a task of your own: "
        "--task-file FILE.py, solspace.load_tasks or solspace.register_task)"
    )


def default_architecture(task: str | Task) -> str | None:
    """The architecture that is taken where none is asked for: the task's, or its recipes' only one.

    Examples
    --------
    >>> default_architecture("two_neuron"), default_architecture("interval_reproduction")
    ('planar', None)
    """
    task = get_task(task)
    recipes = tuple(task.recipes)
    return task.architecture or (recipes[0] if len(recipes) == 1 else None)


def register_task(task: Task, *, check: bool = True) -> Task:
    """Make a task of one's own known by its name, for this process and its workers.

    What it lacks for some stage is said before anything is trained, in one warning; see
    `solspace.tasks.missing`.

    Warns
    -----
    UserWarning
        Names the stages that cannot take the task, and what to give.

    Raises
    ------
    SolspaceError
        Where its trials do not fit together; all faults are listed (see `check_task`).

    Examples
    --------
    >>> import dataclasses
    >>> mine = dataclasses.replace(get_task("interval_reproduction"), name="my_intervals")
    >>> register_task(mine).name
    'my_intervals'
    """
    if task.name == NO_TASK.name:
        raise SolspaceError(
            f"a task named {task.name!r}, which stands for recordings of no task; give another name"
        )
    if check:
        check_task(task)
        if said := said_missing(task):
            warnings.warn(said, stacklevel=2)
    _registered[task.name] = task
    _sources.pop(task.name, None)
    return task
