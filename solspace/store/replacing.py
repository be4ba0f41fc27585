"""A group's folder in place of an older one, so that a kill at any moment loses neither.

The new one is written as ``GROUP.unfinished``; the old one is ``GROUP.old`` for the moment in which
they change places.
"""

from __future__ import annotations

import os
import shutil

__all__ = [
    "OLD",
    "UNFINISHED",
    "groups_aside",
    "groups_half_done",
    "is_aside",
    "mend_group",
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
