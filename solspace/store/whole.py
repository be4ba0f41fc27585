"""New stores that are there under their name when they are whole and not before."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import zarr

from solspace.errors import SolspaceError
from solspace.store import locks, place
from solspace.store.handle import Store
from solspace.store.making import is_empty, make
from solspace.store.metadata import UNFINISHED, unmark

__all__ = ["whole_or_nothing"]


@contextlib.contextmanager
def whole_or_nothing(path: str, verb: str, *, force: bool = False) -> Iterator[Store]:
    """A new store to be filled, which is there under its name when it is whole and not before.

    Filled as ``PATH.unfinished``; one that was killed is taken away.

    Parameters
    ----------
    path : str
    verb : str
        Named to another process that wants to write meanwhile.
    force : bool
        Take ``PATH.unfinished`` away also where it was not made here.

    Raises
    ------
    SolspaceError
        Where there is something of that name, or another process is writing it.
    """
    place.check_local(
        path,
        f"{verb} makes a store on this machine; give a folder, and copy it there when it is made",
    )
    path = path.rstrip("/")
    if os.path.lexists(path):
        # Killed in its last moments, it has still to take away its mark or its lock.
        if os.path.lexists(f"{path}.lock") or _is_unfinished(path):
            with contextlib.suppress(SolspaceError), locks.hold(path, verb):
                if _is_unfinished(path):
                    unmark(path)
        raise SolspaceError(f"{path}: is there already; give the name of a store that is not")
    unfinished = f"{path}.unfinished"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with locks.hold(path, verb):
        if os.path.lexists(unfinished):
            # Of one that was killed as it was taken away the folder is left.
            gone = is_empty(unfinished) and not os.path.islink(unfinished)
            if not (force or gone or _is_unfinished(unfinished)):
                raise SolspaceError(
                    f"{unfinished}: is there already and was not left by `solspace {verb}`, which "
                    "would write it; move it, give another name than "
                    f"{path}, or --force to delete it"
                )
            if os.path.isdir(unfinished) and not os.path.islink(unfinished):
                _take_away(unfinished)
            else:
                os.unlink(unfinished)
        try:
            make(unfinished, {UNFINISHED: verb})
            store = Store(unfinished)
            yield store
            store.consolidate()
            locks.check_held(path)
            os.rename(unfinished, path)
            # After it, so that what has the other name is known by its mark at any moment.
            unmark(path)
        finally:
            with contextlib.suppress(OSError):
                _take_away(unfinished)


def _take_away(unfinished: str) -> None:
    """Remove the folder, its mark last: killed meanwhile it is still known for what it is."""
    for name in os.listdir(unfinished):
        inside = os.path.join(unfinished, name)
        if os.path.isdir(inside) and not os.path.islink(inside):
            shutil.rmtree(inside)
        elif name != "zarr.json":
            os.unlink(inside)
    shutil.rmtree(unfinished)


def _is_unfinished(path: str) -> bool:
    """Whether this is a store that `whole_or_nothing` was filling when it was killed."""
    if os.path.islink(path):
        return False
    try:
        group = zarr.open_group(path, mode="r", use_consolidated=False)
    except Exception:
        return False
    return UNFINISHED in group.attrs
