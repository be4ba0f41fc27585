"""A group's folder in place of an older one, so that a kill at any moment loses neither.

The new one is written as ``GROUP.unfinished``; the old one is ``GROUP.old`` for the moment in which
they change places.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil

__all__ = [
    "OLD",
    "UNFINISHED",
    "groups_aside",
    "groups_half_done",
    "is_aside",
    "mend_group",
    "remove_partial",
    "swap_in",
]

OLD = ".old"
UNFINISHED = ".unfinished"


def swap_in(folder: str) -> None:
    """Put what was written as ``FOLDER.unfinished`` in the place of a group's folder."""
    if os.path.exists(folder):
        os.rename(folder, folder + OLD)
    os.rename(folder + UNFINISHED, folder)
    shutil.rmtree(folder + OLD, ignore_errors=True)


def is_aside(folder: str) -> bool:
    """Whether a killed `swap_in` left the group under another name only."""
    return os.path.isdir(folder + OLD) and not os.path.exists(folder)


def groups_aside(population: str) -> list[str]:
    """Groups in a population's folder that a killed `swap_in` left under another name only."""
    found = [n.removesuffix(OLD) for n in os.listdir(population) if n.endswith(OLD)]
    return sorted(n for n in found if is_aside(os.path.join(population, n)))


def groups_half_done(population: str) -> list[str]:
    """Groups in a population's folder whose replacement was killed at any moment."""
    names = os.listdir(population)
    return sorted({n.removesuffix(s) for n in names for s in (OLD, UNFINISHED) if n.endswith(s)})


def mend_group(folder: str) -> None:
    """Undo a killed replacement of a group; no other process writes at this moment."""
    if is_aside(folder):
        os.rename(folder + OLD, folder)
    for leftover in (folder + UNFINISHED, folder + OLD):
        shutil.rmtree(leftover, ignore_errors=True)


# As Zarr names a file until it is whole.
_PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$")


def remove_partial(store: str) -> None:
    """Take away files that were being written when their process was killed.

    No reader sees them, but they would stay, and be sent with a copy.
    """
    for folder, _, files in os.walk(store):
        for name in filter(_PARTIAL.search, files):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
