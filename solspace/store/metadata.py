"""Metadata: marks in the attributes of a store, and the copy of all metadata at its root.

Of groups and arrays that are only looked at, not read, metadata are read from the files of this
machine as files, which is many times as fast as through Zarr.

With the copy, opening a store reads one file. It is taken away before any metadata change and
gathered again at the end of a run, so where it is there it is true.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

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
    "Node",
    "forget_consolidated",
    "gather",
    "has_consolidated",
    "node",
    "nodes",
    "unmark",
]

SCHEMA_VERSION = 2

CREATED = "solspace_created"
VERSION = "solspace_schema_version"
# The group of a population that says who wrote what.
WRITING = "writing"
# Marks a store that is not whole yet, so that it can be told from a folder of the user's.
UNFINISHED = "solspace_unfinished"


class Node(NamedTuple):
    """What the metadata of a group or an array say; no dims and no shape for a group."""

    is_group: bool
    attrs: dict[str, Any]
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()


def node(store: str, path: str = "") -> Node | None:
    """A group or an array of a store; None where there is none."""
    if not place.is_remote(store):
        with contextlib.suppress(*_DAMAGED):  # Zarr's to judge
            return _node_in(os.path.join(store, *path.split("/")))
    above, _, name = path.rpartition("/")
    try:
        found: Any = place.group(store, above)
        if name:
            found = found[name]
    except (FileNotFoundError, KeyError):
        return None
    return _node_of(found)


def nodes(store: str, path: str = "") -> dict[str, Node]:
    """Groups and arrays that lie in a group of a store, by name.

    Raises
    ------
    FileNotFoundError
        Where there is no such group.
    """
    if not place.is_remote(store):
        folder = os.path.join(store, *path.split("/"))
        with contextlib.suppress(*_DAMAGED):
            own = _node_in(folder)
            if own is not None and own.is_group:
                found = {name: _node_in(os.path.join(folder, name)) for name in os.listdir(folder)}
                return {name: one for name, one in found.items() if one is not None}
    return {name: _node_of(one) for name, one in place.group(store, path).members()}


_DAMAGED = (ValueError, KeyError, TypeError, AttributeError)


def _node_in(folder: str) -> Node | None:
    try:
        with open(os.path.join(folder, "zarr.json"), "rb") as file:
            read = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    attrs = dict(read.get("attributes") or {})
    if read["node_type"] == "group":
        return Node(True, attrs)
    shape = tuple(int(n) for n in read["shape"])
    return Node(False, attrs, tuple(read.get("dimension_names") or ()), shape)


def _node_of(found: zarr.Group | zarr.Array[Any]) -> Node:
    if isinstance(found, zarr.Group):
        return Node(True, dict(found.attrs))
    return Node(False, dict(found.attrs), tuple(found.metadata.dimension_names or ()), found.shape)


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
        place.group(store, path, "r+").update_attributes({})
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
            root = place.group(store, mode="r+")
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
    root = _read_root(store)
    in_order = sorted(found, key=lambda path: (path.count("/"), path))
    root["consolidated_metadata"] = _NOTHING | {"metadata": {p: found[p] for p in in_order}}
    _write_root(store, root)


def _read_root(store: str) -> dict[str, Any]:
    with open(os.path.join(store, "zarr.json"), "rb") as file:
        root: dict[str, Any] = json.load(file)
    return root


def _write_root(store: str, root: Mapping[str, Any]) -> None:
    # Without indentation, with which it takes ten times as long.
    data = json.dumps(root).encode()
    opened = place.group(store, mode="r+")
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
    if not place.is_remote(store):
        with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged: Zarr's to judge
            root = _read_root(store)
            if UNFINISHED in root["attributes"]:
                del root["attributes"][UNFINISHED]
                _write_root(store, root)
            return
    group = zarr.open_group(place.opened(store, "r+"), mode="r+")
    if UNFINISHED in group.attrs:
        with quiet(), zarr.config.set({"json_indent": None}):  # as it was gathered
            del group.attrs[UNFINISHED]
