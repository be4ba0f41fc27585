"""Who may write to a store: one process all of it, or several a slice each.

Advisory locks in files beside the store; the system drops them when their holder dies.

============================================ ======================================================
file                                         held
============================================ ======================================================
``STORE.lock``                               for itself alone by a process that writes anywhere;
                                             shared by those that write a slice
``STORE.TASK.ARCHITECTURE.STAGE.A-B.lock``   by the process that writes networks A to B - 1
``STORE.brief.lock``                         for a moment, by whoever changes what all share:
                                             metadata, provenance, and these locks
============================================ ======================================================
"""

from __future__ import annotations

import contextlib
import glob
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn, TypeVar

from solspace.errors import SolspaceError

__all__ = ["Slice", "briefly", "claim", "claimed", "hold"]

_BRIEF = ".brief.lock"
Item = TypeVar("Item")


class Slice(NamedTuple):
    """The K-th of N consecutive runs of shards.

    Examples
    --------
    >>> Slice.parse("3/8")
    Slice(number=3, of=8)
    >>> [Slice(k, 3).part(list("abcdefg")) for k in (1, 2, 3)]
    [['a', 'b'], ['c', 'd'], ['e', 'f', 'g']]
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Slice:
        """From ``K/N``.

        Raises
        ------
        SolspaceError
            Where it is no two whole numbers with 1 <= K <= N.
        """
        first, _, last = text.partition("/")
        if first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
            return cls(int(first), int(last))
        raise SolspaceError(
            f"slice {text!r}; give K/N, the K-th of N slices with 1 <= K <= N, such as --slice 3/8"
        )

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def part(self, items: Sequence[Item]) -> list[Item]:
        """This slice of a sequence; empty for some where there are fewer items than slices."""
        start = (self.number - 1) * len(items) // self.of
        return list(items[start : self.number * len(items) // self.of])


# --------------------------------------------------------------------------- the three locks


@contextlib.contextmanager
def hold(store: str, verb: str, *, shared: bool = False) -> Iterator[None]:
    """Hold a store for writing, alone or together with others that write slices of it.

    Raises
    ------
    SolspaceError
        Where another process holds it; it is named.
    """
    import fcntl

    path = _path(store)
    with briefly(store):
        handle = _lock(f"{path}.lock", fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        if handle is None:
            _refuse(store, [_read(f"{path}.lock"), *(c.note for c in _claims(path))])
        if shared:
            os.truncate(handle, 0)
        else:
            _note(handle, verb)
    try:
        yield
    finally:
        with briefly(store):
            # The last one out takes the file away.
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(f"{path}.lock")
            os.close(handle)


class _Claim(NamedTuple):
    start: int
    stop: int
    note: str


@contextlib.contextmanager
def claim(store: str, what: str, start: int, stop: int, verb: str) -> Iterator[None]:
    """Claim networks ``start <= network < stop`` for writing one stage of one population.

    Parameters
    ----------
    store : str
    what : str
        Population and stage; claims of another do not matter.
    start, stop : int
        Nothing is claimed where they are equal.
    verb : str
        Told to another process that wants one of these networks.

    Raises
    ------
    SolspaceError
        Where another process has claimed one of these networks.
    """
    import fcntl

    if start == stop:
        yield
        return
    path = _path(store)
    file = f"{path}.{what}.{start}-{stop}.lock"
    with briefly(store):
        overlap = [c.note for c in _claims(path, what) if c.start < stop and start < c.stop]
        handle = None if overlap else _lock(file, fcntl.LOCK_EX)
        if handle is None:
            _refuse(store, overlap)
        _note(handle, verb)
    try:
        yield
    finally:
        with briefly(store):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file)
            os.close(handle)


def claimed(store: str, what: str) -> int:
    """How many processes write slices of this population and stage."""
    with briefly(store):
        return len(_claims(_path(store), what))


_threads = threading.RLock()
_brief: set[str] = set()


@contextlib.contextmanager
def briefly(store: str) -> Iterator[None]:
    """Wait for a moment alone with what all writers of a store share; may be nested.

    Examples
    --------
    >>> import tempfile
    >>> with briefly(tempfile.mkdtemp() + "/small.zarr"):
    ...     "nobody else lays, notes or claims now"
    'nobody else lays, notes or claims now'
    """
    import fcntl

    path = _path(store)
    with _threads:
        if path in _brief:
            yield
            return
        handle = _lock(path + _BRIEF, fcntl.LOCK_EX, wait=True)
        assert handle is not None
        _brief.add(path)
        try:
            yield
        finally:
            _brief.discard(path)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + _BRIEF)
            os.close(handle)


# --------------------------------------------------------------------------- files


def _path(store: str) -> str:
    return os.path.abspath(store)


def _lock(path: str, kind: int, *, wait: bool = False) -> int | None:
    """A handle of the locked file; None where another process has it."""
    import fcntl

    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        # The file may have been removed by its last holder between opening and locking. Opened
        # anew, since a network file system answers os.stat from memory.
        with contextlib.suppress(FileNotFoundError):
            again = os.open(path, os.O_RDWR)
            try:
                if os.path.sameopenfile(handle, again):
                    return handle
            finally:
                os.close(again)
        os.close(handle)


def _claims(path: str, what: str = "") -> list[_Claim]:
    """What is claimed by living processes; claims of dead ones are taken away. Briefly held."""
    import fcntl

    found = []
    prefix = f"{path}.{what}." if what else f"{path}."
    for file in sorted(glob.glob(f"{glob.escape(prefix)}*-*.lock")):
        start, _, stop = file.removesuffix(".lock").rpartition(".")[2].partition("-")
        if not (start.isdecimal() and stop.isdecimal()):
            continue
        handle = _lock(file, fcntl.LOCK_EX)
        if handle is None:
            found.append(_Claim(int(start), int(stop), _read(file)))
        else:
            os.unlink(file)
            os.close(handle)
    return found


def _note(handle: int, verb: str) -> None:
    os.truncate(handle, 0)
    note = f"solspace {verb}, process {os.getpid()} on {socket.gethostname()}"
    # A full disk must not keep anybody from reading the reason.
    with contextlib.suppress(OSError):
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.write(handle, f"{note}, since {since}".encode())


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read(1000).strip()
    return ""


def _refuse(store: str, notes: Sequence[str]) -> NoReturn:
    told = [note for note in notes if note]
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    raise SolspaceError(
        f"{store}: is being written by another process ({told[0] if told else 'unknown'}{more}); "
        "wait until it has ended, or stop it, and type the same command again"
    )
