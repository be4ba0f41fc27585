"""Marks in the attributes of a store, and the copy of all metadata at its root.

With the copy, opening a store reads one file. It is taken away before any metadata change and
gathered again at the end of a run, so where it is there it is true.
"""

from __future__ import annotations

from collections.abc import Iterable

import zarr

from solspace.store import place
from solspace.store.layout import quiet

__all__ = [
    "CREATED",
    "SCHEMA_VERSION",
    "UNFINISHED",
    "VERSION",
    "forget_consolidated",
    "gather",
    "has_consolidated",
]

SCHEMA_VERSION = 2

CREATED = "solspace_created"
VERSION = "solspace_schema_version"
# Marks a store that is not whole yet, so that it can be told from a folder of the user's.
UNFINISHED = "solspace_unfinished"


def has_consolidated(store: str, path: str = "") -> bool:
    """Whether a group holds a copy of the metadata below it."""
    try:
        group = zarr.open_group(place.opened(store), path=path, mode="r")
    except FileNotFoundError:
        return False
    return group.metadata.consolidated_metadata is not None


def forget_consolidated(store: str, path: str = "") -> bool:
    """Take the copy away; whether there was one."""
    found = has_consolidated(store, path)
    if found:
        # Attributes of a group opened without the copy are written without it.
        opened = place.opened(store, "r+")
        group = zarr.open_group(opened, path=path, mode="r+", use_consolidated=False)
        group.update_attributes({})
    return found


def gather(store: str, groups: Iterable[str]) -> None:
    """Make the copy at the root, and take away any at these groups below it."""
    with quiet():
        # One that another program put into a group below hides what comes later there.
        nested = [path for path in groups if forget_consolidated(store, path)]
        if nested or not has_consolidated(store):
            zarr.consolidate_metadata(place.opened(store, "r+"), zarr_format=3)
