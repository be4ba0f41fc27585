"""New, empty stores, and whether a store is of a version that is read here."""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.group import GroupMetadata

from solspace.errors import SolspaceError
from solspace.store import locks, place
from solspace.store.metadata import SCHEMA_VERSION, VERSION

__all__ = ["check_version", "is_empty", "make"]


def is_empty(path: str) -> bool:
    return not place.is_remote(path) and os.path.isdir(path) and not os.listdir(path)


def make(path: str, marks: Mapping[str, str] | None = None) -> None:
    """An empty store, whole from the first moment: several processes may make it at once."""
    if place.is_remote(path):
        made = GroupMetadata(attributes=_attributes(marks), zarr_format=3)
        for key, content in made.to_buffer_dict(default_buffer_prototype()).items():
            place.put_new(path, key, content.to_bytes())
        return
    path = os.path.realpath(path)  # where a symbolic link points, as the locks are
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with locks.briefly(path):
        if not os.path.lexists(path) or is_empty(path):
            _remove_begun(path)
            _make(path, marks)


def _remove_begun(path: str) -> None:
    """Take away what was left by a process killed in `_make`, which holds metadata at most."""
    for folder in glob.glob(f"{glob.escape(path)}.{'[0-9a-f]' * 8}.unfinished"):
        inside = os.listdir(folder) if os.path.isdir(folder) else ["a file"]
        if all(name.startswith("zarr.") for name in inside):
            shutil.rmtree(folder, ignore_errors=True)


def _attributes(marks: Mapping[str, str] | None) -> dict[str, Any]:
    from solspace import __version__

    return {
        "Conventions": "CF-1.11",
        VERSION: SCHEMA_VERSION,
        "source": f"solspace {__version__}",
        **(marks or {}),
    }


def _make(path: str, marks: Mapping[str, str] | None) -> None:
    unfinished = f"{path}.{uuid.uuid4().hex[:8]}.unfinished"
    zarr.create_group(unfinished, zarr_format=3, attributes=_attributes(marks))
    try:
        os.rename(unfinished, path)
    except OSError:
        shutil.rmtree(unfinished)
        if not os.path.exists(path):
            raise


def check_version(path: str, version: Any) -> None:
    if version == SCHEMA_VERSION:
        return
    if version == 1:
        raise SolspaceError(
            f"{path}: has schema version 1, this solspace reads version {SCHEMA_VERSION}; type "
            f"`solspace migrate {path} NEW` to make a store of this version from it"
        )
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise SolspaceError(
            f"{path}: has schema version {version}, this solspace reads version "
            f"{SCHEMA_VERSION}; open it with a newer solspace (pip install --upgrade solspace)"
        )
    found = f"schema version {version}" if version is not None else "no schema version"
    raise SolspaceError(
        f"{path}: has {found}, this solspace reads version {SCHEMA_VERSION}; open it with what "
        "wrote it, or give another path"
    )
