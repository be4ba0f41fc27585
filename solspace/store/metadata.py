"""Marks in the attributes of a store, and the copy of all metadata at its root.

With the copy, opening a store reads one file. It is taken away before any metadata change and
gathered again at the end of a run, so where it is there it is true.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import zarr
from zarr.core.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import WrapperStore

from solspace.store import place
from solspace.store.layout import quiet

__all__ = [
    "CREATED",
    "SCHEMA_VERSION",
    "UNFINISHED",
    "VERSION",
    "WRITING",
    "forget_consolidated",
    "gather",
    "has_consolidated",
    "unmark",
]

SCHEMA_VERSION = 2

CREATED = "solspace_created"
VERSION = "solspace_schema_version"
# The group of a population that says who wrote what.
WRITING = "writing"
# Marks a store that is not whole yet, so that it can be told from a folder of the user's.
UNFINISHED = "solspace_unfinished"


def has_consolidated(store: str, path: str = "") -> bool:
    """Whether a group holds a copy of the metadata below it."""
    # Asked often, and Zarr reads all of the copy; what is no readable file is Zarr's to judge.
    with contextlib.suppress(NotADirectoryError, ValueError):
        if not place.is_remote(store):
            try:
                with open(os.path.join(store, *path.split("/"), "zarr.json"), "rb") as file:
                    return json.load(file).get("consolidated_metadata") is not None
            except FileNotFoundError:
                return False
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
        if not place.is_remote(store):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged: Zarr's to judge
                _gather_files(store)
                return
        # One that another program put into a group below hides what comes later there.
        nested = [path for path in groups if forget_consolidated(store, path)]
        if nested or not has_consolidated(store):
            root = zarr.open_group(place.opened(store, "r+"), mode="r+", use_consolidated=False)
            zarr.consolidate_metadata(_LeavingOut(root.store_path.store), zarr_format=3)


_NOTHING = {"kind": "inline", "must_understand": False, "metadata": {}}


def _gather_files(store: str) -> None:
    """As Zarr does it, reading the files of this machine as files: ten times as fast."""
    found = dict(_nodes(store))
    for path, node in found.items():
        if node["node_type"] == "group":
            if node.get("consolidated_metadata") is not None:
                forget_consolidated(store, path)
            node["consolidated_metadata"] = _NOTHING
    with open(os.path.join(store, "zarr.json"), "rb") as file:
        root = json.load(file)
    in_order = sorted(found, key=lambda path: (path.count("/"), path))
    root["consolidated_metadata"] = _NOTHING | {"metadata": {p: found[p] for p in in_order}}
    data = json.dumps(root).encode()  # indented it would be written by Python, not by C
    opened = zarr.open_group(place.opened(store, "r+"), mode="r+", use_consolidated=False)
    sync(opened.store_path.store.set("zarr.json", cpu.Buffer.from_bytes(data)))


def _nodes(store: str, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Groups and arrays below a group, but for `WRITING`, with their metadata."""
    folder = os.path.join(store, *path.split("/"))
    for name in os.listdir(folder):
        own = f"{path}/{name}".lstrip("/")
        if own.split("/")[2:] == [WRITING]:
            continue
        try:
            with open(os.path.join(folder, name, "zarr.json"), "rb") as file:
                node = json.load(file)
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield own, node
        if node["node_type"] == "group":
            yield from _nodes(store, own)


class _LeavingOut(WrapperStore[Any]):
    """Leaves the groups `WRITING` of populations out of the copy, so that trees do not show them.

    They are no results, and their metadata change without the others. In one go with the copy,
    which is not made again where it is there.
    """

    async def set(self, key: str, value: Any) -> None:
        if key == "zarr.json":
            node = json.loads(value.to_bytes())
            copy = node["consolidated_metadata"]
            gathered = copy["metadata"].items()
            copy["metadata"] = {p: own for p, own in gathered if p.split("/")[2:3] != [WRITING]}
            value = type(value).from_bytes(json.dumps(node).encode())
        await self._store.set(key, value)


def unmark(store: str) -> None:
    """Take away the mark of a store that was not whole, keeping the copy of all metadata."""
    group = zarr.open_group(place.opened(store, "r+"), mode="r+")
    if UNFINISHED in group.attrs:
        with quiet(), zarr.config.set({"json_indent": None}):  # as it was gathered
            del group.attrs[UNFINISHED]
