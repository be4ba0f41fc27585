"""Who may write to a store: one process all of it, or several a slice each.

Advisory locks in files beside the store; the system drops them when their holder dies. The
folder of the store is locked as well, where the file system can, so that nobody gets in when a
lock file is deleted under its holder; the holder finds out before it writes on (`check_held`).
A store is the same by whatever name or symbolic link it is reached. What lies in the place of a
lock file and is none is left as it is, and refused.

============================================ ======================================================
file                                         held
============================================ ======================================================
``STORE.lock``                               for itself alone by a process that writes anywhere;
                                             shared by those that write a slice
``STORE.TASK.ARCHITECTURE.STAGE.A-B.lock``   by the process that writes networks A to B - 1
``STORE.brief.lock``                         for a moment, by whoever changes what all share:
                                             metadata, provenance, and these locks
============================================ ======================================================

A store behind an address is locked by `solspace.store.lease`.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import socket
import stat
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn, TypeVar

from solspace.errors import SolspaceError
from solspace.store import lease, place

__all__ = [
    "Slice",
    "briefly",
    "check_held",
    "check_places",
    "claim",
    "claimed",
    "hold",
    "while_nobody_writes",
]

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
def hold(store: str, verb: str, *, shared: bool = False) -> Iterator[bool]:
    """Hold a store for writing, alone or together with others that write slices of it.

    Yields whether the last one who held it was killed, and nobody else holds it.

    Raises
    ------
    SolspaceError
        Where another process holds it; it is named.
    """
    import fcntl

    if place.is_remote(store):
        if shared:
            _path(store)  # refuses
        with lease.hold(store, verb) as killed:
            yield killed
        return
    path = _path(store)
    file = f"{path}.lock"
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with briefly(store):
        left = os.path.lexists(file)
        handle = _lock(file, kind)
        if handle is None:
            _refuse(store, [_read(file), *(c.note for c in _claims(path))])
        left = left and (not shared or _is_alone(handle))
        try:
            folder = _lock_folder(path, kind)
        except BlockingIOError:
            os.unlink(file)
            os.close(handle)
            _refuse(store, [f"unknown, since its lock file {file} was deleted"])
        if shared:
            os.truncate(handle, 0)
        else:
            _note(handle, verb)
        _held[file, handle] = path
    try:
        yield left
    finally:
        with briefly(store):
            del _held[file, handle]
            # The last one out takes the file away, unless it is another's by now.
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(handle, file):
                    os.unlink(file)
            os.close(handle)
            if folder is not None:
                os.close(folder)


@contextlib.contextmanager
def while_nobody_writes(store: str, verb: str) -> Iterator[None]:
    """For a store behind an address that is read from the first to the last byte, as by `pack`.

    It is not locked, as a reader need not be able to write there: it is looked whether anybody
    writes, before and after.

    Raises
    ------
    SolspaceError
        Where another process is writing it.
    """
    said, _, there = lease.look(store)
    if there:
        _refuse(store, [str(said.get("held by", ""))])
    yield
    if lease.look(store)[2]:
        raise SolspaceError(
            f"{store}: another process began to write it while {verb} read it; type the same "
            "command again when that has ended"
        )


# Locks of this process, by file and handle: the store that each is of.
_held: dict[tuple[str, int], str] = {}


def check_held(store: str) -> None:
    """Before something is written: the locks of this store that this process holds are there.

    Parameters
    ----------
    store : str

    Raises
    ------
    SolspaceError
        Where a lock file was deleted or replaced while it was held, since another process may
        hold another one by now. Nothing where none is held, such as in a worker process.

    Examples
    --------
    >>> import os, tempfile
    >>> path = tempfile.mkdtemp() + "/small.zarr"
    >>> with hold(path, "record"):
    ...     check_held(path)
    ...     os.unlink(path + ".lock")
    ...     check_held(path)
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: ...small.zarr.lock: this lock file was deleted ...
    """
    if place.is_remote(store):
        lease.check(store)
        return
    path = _path(store)
    for (file, handle), of in list(_held.items()):
        if of == path and not _is_at(handle, file):
            raise SolspaceError(
                f"{file}: this lock file was deleted or replaced while {store} was being written, "
                "and another process may be writing by now; nothing more is written. What is "
                "stored is whole: see that no other solspace writes there, and type the same "
                "command again"
            )


def check_places(store: str) -> None:
    """Refuse what lies in the place of a lock file and is none, before anything is made.

    Raises
    ------
    SolspaceError
        For a folder, a symbolic link or a file of somebody else's.
    """
    if place.is_remote(store):
        lease.check_conditions(store)
        return
    path = _path(store)
    for file in (f"{path}.lock", path + _BRIEF):
        if os.path.lexists(file):
            with contextlib.suppress(FileNotFoundError):
                os.close(_open(file, make=False))


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
        _held[file, handle] = path
    try:
        yield
    finally:
        with briefly(store):
            del _held[file, handle]
            if _is_at(handle, file):
                os.unlink(file)
            os.close(handle)


def claimed(store: str, what: str) -> int:
    """How many processes write slices of this population and stage."""
    if place.is_remote(store):
        return 0
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
    ...     "nobody else creates, notes or claims now"
    'nobody else creates, notes or claims now'
    """
    import fcntl

    if place.is_remote(store):
        with _threads:
            # Nobody else writes where one run holds all of it.
            if lease.is_held(store):
                yield
            else:
                with lease.hold(store, "for a moment"):
                    yield
        return
    path = _path(store)
    with _threads:
        if path in _brief:
            yield
            return
        handle = _lock(path + _BRIEF, fcntl.LOCK_EX, wait=True)
        assert handle is not None
        _brief.add(path)
        _held[path + _BRIEF, handle] = path
        try:
            yield
        finally:
            del _held[path + _BRIEF, handle]
            _brief.discard(path)
            if _is_at(handle, path + _BRIEF):
                os.unlink(path + _BRIEF)
            os.close(handle)


# --------------------------------------------------------------------------- files


def _path(store: str) -> str:
    place.check_local(
        store,
        "slices are for stores on a file system; give --workers or --scheduler, which send shards "
        "of a store in a bucket to any number of machines",
    )
    return os.path.realpath(store)


def _open(path: str, *, make: bool = True) -> int:
    """A handle of a lock file, made where there is none; what is no lock is not touched.

    Raises
    ------
    SolspaceError
        Where something else lies there, or nothing can be written there.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, flags | (os.O_CREAT if make else 0), 0o666)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        what = {errno.ELOOP: "a symbolic link", errno.EISDIR: "a folder"}.get(error.errno or 0)
        if what is not None:
            raise _in_the_way(path, what) from None
        raise SolspaceError(
            f"{path}: a store is locked by this file while it is written, which cannot be opened "
            f"for writing ({error.strerror}); give a store in a folder that you can write to"
        ) from None
    found = os.fstat(handle)
    begins = b"solspace "
    content = os.pread(handle, len(begins), 0) if stat.S_ISREG(found.st_mode) else b"?"
    if found.st_nlink > 1 or content != begins[: len(content)]:
        os.close(handle)
        raise _in_the_way(path, "a file that is no lock of solspace's")
    return handle


def _in_the_way(path: str, what: str) -> SolspaceError:
    return SolspaceError(
        f"{path}: is {what}, where solspace would put its lock file; nothing was changed. Move it "
        "away, or give a store of another name"
    )


def _is_at(handle: int, path: str) -> bool:
    """Whether an open file is the one of this name.

    Opened anew, since a network file system answers os.stat from memory.
    """
    try:
        again = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.path.sameopenfile(handle, again)
    finally:
        os.close(again)


def _is_alone(handle: int) -> bool:
    """Whether nobody else shares a lock; briefly held, so that nobody comes meanwhile."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        fcntl.flock(handle, fcntl.LOCK_SH)
    return True


def _lock_folder(path: str, kind: int) -> int | None:
    """A handle of the locked folder of a store; None where there is none, or it has no locks.

    Raises
    ------
    BlockingIOError
        Where another process has locked it.
    """
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:  # NFS locks only what is open for writing, which a folder never is
        os.close(handle)
        return None
    return handle


def _lock(path: str, kind: int, *, wait: bool = False) -> int | None:
    """A handle of the locked file; None where another process has it."""
    import fcntl

    while True:
        handle = _open(path)
        try:
            fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        # The file may have been removed by its last holder between opening and locking.
        if _is_at(handle, path):
            return handle
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
