"""What a process elsewhere has to know: what is not of the package."""

from __future__ import annotations

import pickle
from typing import Any

from solspace.errors import SolspaceError
from solspace.features.workers import own_features, take_own_features
from solspace.networks import make_known, own_architecture
from solspace.tasks import Task, register_task

__all__ = ["carried", "take"]


def carried(task: Task, architecture: str) -> bytes:
    """A task, an architecture and all features of a user's own, by value.

    Raises
    ------
    SolspaceError
        Where one of them refers to what cannot be sent.
    """
    import cloudpickle

    parts: dict[str, tuple[str, Any]] = {
        "task": (task.name, task),
        "architecture": (architecture, own_architecture(architecture)),
    }
    sent = []
    for what, (name, value) in parts.items():
        try:
            sent.append(cloudpickle.dumps(value))
        except Exception as error:
            raise SolspaceError(
                f"{what} {name!r} cannot be sent to workers: {error}; let it use nothing but "
                "arrays, numbers and imported modules, or leave out --workers"
            ) from error
    return pickle.dumps((*sent, own_features()))


def take(sent: bytes) -> None:
    """In a worker: know what `carried` sent."""
    task, architecture, features = pickle.loads(sent)
    register_task(pickle.loads(task), check=False)
    own = pickle.loads(architecture)
    if own is not None:
        make_known(own)
    take_own_features(features)
