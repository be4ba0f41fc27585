"""What a process elsewhere has to know: tasks and features that are not of the package."""

from __future__ import annotations

import pickle

from solspace.errors import SolspaceError
from solspace.features.workers import own_features, take_own_features
from solspace.tasks import Task, register_task

__all__ = ["carried", "take"]


def carried(task: Task) -> bytes:
    """A task and all features of a user's own, by value.

    Raises
    ------
    SolspaceError
        Where one of them refers to what cannot be sent.
    """
    import cloudpickle

    try:
        own: bytes = cloudpickle.dumps(task)
    except Exception as error:
        raise SolspaceError(
            f"task {task.name!r} cannot be sent to workers: {error}; let it use nothing but "
            "arrays, numbers and imported modules, or leave out --workers"
        ) from error
    return pickle.dumps((own, own_features()))


def take(sent: bytes) -> None:
    """In a worker: know what `carried` sent."""
    task, features = pickle.loads(sent)
    register_task(pickle.loads(task), check=False)
    take_own_features(features)
