"""What a process elsewhere has to know that is not of the package: tasks and more of one's own.

A package that lets a user register something of his own (as `solspace.features`) says here how it
is sent and taken. Shards sent to workers, and blocks of lazy data, bring it along.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from typing import Any

from solspace.errors import SolspaceError
from solspace.tasks import Task, register_task

__all__ = ["carried", "carry", "take"]

_KINDS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], None]]] = {}


def carry(name: str, send: Callable[[], bytes], take: Callable[[bytes], None]) -> None:
    """Send something of a user's own along with all work.

    Parameters
    ----------
    name : str
    send : callable () -> bytes
        All there is of it in this process, by value.
    take : callable (bytes) -> None
        In another process: know this, and nothing else of the kind.
    """
    _KINDS[name] = send, take


def carried(task: Task | None = None) -> bytes:
    """A task, and all architectures and else of a user's own, by value.

    Raises
    ------
    SolspaceError
        Where one of them refers to what cannot be sent.
    """
    import cloudpickle

    from solspace.networks import own_architectures
    from solspace.tasks.files import own_modules

    for module in own_modules():  # nothing that another process could import by its name
        cloudpickle.register_pickle_by_value(module)

    own: list[tuple[str, bytes]] = []
    parts: list[tuple[str, str, Any]] = []
    if task is not None:
        parts.append(("task", task.name, task))
    parts += [("architecture", one.name, one) for one in own_architectures()]
    for what, name, value in parts:
        try:
            own.append((what, cloudpickle.dumps(value)))
        except Exception as error:
            raise SolspaceError(
                f"{what} {name!r} cannot be sent to workers: {error}; let it use nothing but "
                "arrays, numbers and imported modules, or leave out --workers"
            ) from error
    return pickle.dumps((own, {name: send() for name, (send, _) in _all_kinds().items()}))


def take(sent: bytes) -> None:
    """In a worker: know what `carried` sent."""
    from solspace.networks import make_known

    own, others = pickle.loads(sent)
    for what, value in own:
        if what == "task":
            register_task(pickle.loads(value), check=False)
        else:
            make_known(pickle.loads(value))
    known = _all_kinds()
    for name, value in others.items():
        known[name][1](value)


def _all_kinds() -> dict[str, tuple[Callable[[], bytes], Callable[[bytes], None]]]:
    # Loads every stage, and with them what they carry; by name, as they import this package.
    importlib.import_module("solspace.stages.collection").stages(None)
    return _KINDS
