"""Architectures by name: those of this folder, found by themselves, and one's own."""

from __future__ import annotations

import importlib
import os
import pkgutil
import threading

from solspace.errors import SolspaceError
from solspace.networks.base import Architecture

__all__ = [
    "architecture_names",
    "check_architecture",
    "get_architecture",
    "is_of_package",
    "make_known",
    "own_architectures",
    "recurrent_architecture",
]

_lock = threading.RLock()
_looked_at: set[str] = set()
_listed: list[int] = []  # when the folder changed, as it was looked at last
_found: dict[str, Architecture] = {}
_own: dict[str, Architecture] = {}


def _discover() -> None:
    """Look at the files of this folder that were not there before."""
    package = importlib.import_module("solspace.networks")
    times = [os.stat(folder).st_mtime_ns for folder in package.__path__]
    if times == _listed:
        return
    with _lock:
        for module in pkgutil.iter_modules(package.__path__):
            if module.name in _looked_at:
                continue
            loaded = importlib.import_module(f"{package.__name__}.{module.name}")
            one = getattr(loaded, "ARCHITECTURE", None)
            records = getattr(loaded, "ARCHITECTURES", ()) if one is None else (one,)
            for record in records:
                if record.name in _found:
                    raise SolspaceError(
                        f"{loaded.__file__}: there is an architecture {record.name!r} already; "
                        "give this one another name"
                    )
                _found[record.name] = record
            _looked_at.add(module.name)
        _listed[:] = times


def architecture_names(kind: str | None = None) -> tuple[str, ...]:
    """Names of the architectures there are, of one kind where it is given.

    Examples
    --------
    >>> {"vanilla", "relu", "leaky", "gru", "lstm"} <= set(architecture_names("recurrent"))
    True
    """
    _discover()
    with _lock:
        every = {**_found, **_own}
    return tuple(name for name, record in every.items() if kind in (None, record.kind))


def get_architecture(name: str | None) -> Architecture:
    """The record of that name.

    Raises
    ------
    SolspaceError
        Where there is none; the message lists those there are.

    Examples
    --------
    >>> get_architecture("gru").gates
    ('r', 'z', 'n')
    """
    found = _own.get(str(name)) or _found.get(str(name))
    if found is None:
        _discover()
        found = _found.get(str(name))
    if found is None:
        from solspace.networks.composed import compose

        found = compose(str(name))
    if found is None:
        raise SolspaceError(
            f"unknown architecture {name!r}; architectures: {', '.join(architecture_names())} "
            "(of several layers such as gru_2layers; with a hidden layer in the readout such as "
            "vanilla_relu_readout; one of your own: solspace.register_architecture, at the command "
            "line in a file, --task-file FILE.py)"
        )
    return found


def recurrent_architecture(name: str) -> Architecture:
    """The record of that name, which has to be recurrent: inputs, a state in steps, a readout.

    Raises
    ------
    SolspaceError
        Where there is none; the message lists those there are.

    Examples
    --------
    >>> recurrent_architecture("lstm").title
    'LSTM'
    """
    try:
        record = get_architecture(name)
    except SolspaceError:
        record = None
    if record is None or record.kind != "recurrent":
        known = ", ".join(architecture_names("recurrent"))
        raise SolspaceError(
            f"unknown architecture {name!r}; recurrent architectures: {known} "
            "(one of your own: solspace.register_architecture, at the command line in a file, "
            "--task-file FILE.py)"
        )
    return record


def check_architecture(architecture: str) -> str:
    """The name of a recurrent architecture, or an error that lists those there are.

    Examples
    --------
    >>> check_architecture("gru")
    'gru'
    """
    return recurrent_architecture(architecture).name


def own_architectures() -> list[Architecture]:
    """Those of one's own: a process elsewhere has to be told of them."""
    return list(_own.values())


def make_known(architecture: Architecture) -> None:
    """Make an architecture of one's own known in this process, without looking for faults."""
    with _lock:
        _own[architecture.name] = architecture


def is_of_package(name: str) -> bool:
    """Whether the package has an architecture of that name."""
    _discover()
    return name in _found
