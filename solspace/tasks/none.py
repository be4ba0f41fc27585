"""No task: what a recording belongs to whose animal did none of the tasks there are.

It is known by its name but is none of `solspace.task_names`: nothing can be trained on it.
"""

from __future__ import annotations

from typing import Any, NoReturn

from solspace.errors import SolspaceError
from solspace.tasks.task import Task

__all__ = ["NO_TASK"]


def _no_trials(*args: Any) -> NoReturn:
    raise SolspaceError(
        "'none' stands for no task, which has no trials of its own; give a task, or a recording's "
        "own trials"
    )


NO_TASK = Task(
    name="none",
    description="no task that is known here",
    inputs=(),
    outputs=(),
    epochs=(),
    parameters={},
    training_trials=_no_trials,
    recorded_trials=_no_trials,
    extrapolation_trials=_no_trials,
    recipes={},
)
