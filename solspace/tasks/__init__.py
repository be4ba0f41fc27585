"""Tasks by name.

Every module of this folder with a ``TASK`` is one: a new task is one file, and no list names it.
A `Task` of one's own, from a notebook, is registered here.
"""

from __future__ import annotations

import importlib
import pkgutil

from solspace.errors import SolspaceError
from solspace.tasks.epochs import DelayEpochs, IntervalEpochs, epoch_stretch, epochs_from_starts
from solspace.tasks.none import NO_TASK
from solspace.tasks.probing import Chain, Explorer
from solspace.tasks.protocol import Notch, Pulse, PulseSequences, StimulusProtocol
from solspace.tasks.recipe import Recipe, change_recipe
from solspace.tasks.silences import Silences, silences_of
from solspace.tasks.task import Task, check_task, rounded_sign
from solspace.tasks.trials import Trials, find_trial

__all__ = [
    "Chain",
    "DelayEpochs",
    "Explorer",
    "IntervalEpochs",
    "Notch",
    "Pulse",
    "PulseSequences",
    "Recipe",
    "Silences",
    "StimulusProtocol",
    "Task",
    "Trials",
    "change_recipe",
    "check_task",
    "epoch_stretch",
    "epochs_from_starts",
    "find_trial",
    "get_task",
    "only_architecture",
    "register_task",
    "rounded_sign",
    "silences_of",
    "task_names",
]

_registered: dict[str, Task] = {}
_found: tuple[tuple[str, ...], dict[str, Task]] = ((), {})


def _tasks() -> dict[str, Task]:
    """The tasks of this folder, and those registered, also in place of one of the same name."""
    global _found
    names = tuple(module.name for module in pkgutil.iter_modules(__path__))
    if names != _found[0]:
        found: dict[str, Task] = {}
        for name in names:
            task = getattr(importlib.import_module(f"{__name__}.{name}"), "TASK", None)
            if not isinstance(task, Task):
                continue
            if task.name in found:
                raise SolspaceError(f"two tasks are named {task.name!r}; rename one of them")
            found[task.name] = task
        _found = (names, found)
    return {**_found[1], **_registered}


def task_names() -> tuple[str, ...]:
    """Names of the tasks that can be used: those of the package, then those registered.

    Examples
    --------
    >>> "interval_reproduction" in task_names()
    True
    """
    return tuple(_tasks())


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
    known = _tasks()
    try:
        return known[task]
    except KeyError:
        raise SolspaceError(
            f"unknown task {task!r}; tasks: {', '.join(known)}"
            " (a task of your own: solspace.register_task)"
        ) from None


def only_architecture(task: str | Task) -> str | None:
    """The architecture of a task that has a recipe for one only.

    Examples
    --------
    >>> only_architecture("two_neuron"), only_architecture("interval_reproduction")
    ('planar', None)
    """
    recipes = tuple(get_task(task).recipes)
    return recipes[0] if len(recipes) == 1 else None


def register_task(task: Task, *, check: bool = True) -> Task:
    """Make a task of one's own known by its name, for this process and its workers.

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
    _registered[task.name] = check_task(task) if check else task
    return task
