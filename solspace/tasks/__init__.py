"""Tasks by name. A new task is one file (or one `Task` object of your own, registered here)."""

from __future__ import annotations

from solspace.errors import SolspaceError
from solspace.tasks import (
    delayed_discrimination,
    interval_discrimination,
    interval_reproduction,
    two_neuron,
)
from solspace.tasks.base import Recipe, Task, Trials, check_task, epochs_from_starts

__all__ = [
    "Recipe",
    "Task",
    "Trials",
    "check_task",
    "epochs_from_starts",
    "get_task",
    "only_architecture",
    "register_task",
    "task_names",
]

_TASKS: dict[str, Task] = {
    module.TASK.name: module.TASK
    for module in (
        interval_reproduction,
        delayed_discrimination,
        interval_discrimination,
        two_neuron,
    )
}


def task_names() -> tuple[str, ...]:
    """Names of the tasks that can be used, in order of registration.

    Examples
    --------
    >>> "interval_reproduction" in task_names()
    True
    """
    return tuple(_TASKS)


def get_task(task: str | Task) -> Task:
    """The task of that name; a `Task` is returned as it is.

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
    try:
        return _TASKS[task]
    except KeyError:
        raise SolspaceError(
            f"unknown task {task!r}; tasks: {', '.join(_TASKS)}"
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
    _TASKS[task.name] = check_task(task) if check else task
    return task
