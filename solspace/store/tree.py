"""All groups of a store as one tree, quickly.

`xarray.open_datatree` is slow where groups are many: it reads every coordinate of every group (in
zarr some four milliseconds each, most of them `network` once more), and has dask make a name of its
own for each array, block by block. Here metadata come from the copy at the root, coordinates whose
files are the same are read once, and one name does for an opening.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Hashable, Mapping
from typing import Any, Literal

import xarray as xr

from solspace.errors import SolspaceError
from solspace.store import place
from solspace.store.handle import Population, Store
from solspace.store.making import check_version
from solspace.store.metadata import CREATED, UNFINISHED, VERSION
from solspace.store.replacing import OLD
from solspace.store.replacing import UNFINISHED as UNFINISHED_GROUP

__all__ = ["open_store"]

# A block of dask is about so large: few enough tasks, and a few blocks fit into any memory.
BLOCK_BYTES = 1 << 26


def open_store(
    path: str | os.PathLike[str], *, chunks: Literal["auto"] | Mapping[str, int] | None = "auto"
) -> xr.DataTree:
    """All groups of a store as one tree of lazily read datasets.

    `xarray.open_datatree` reads the same groups, more slowly, and shows what a killed run left
    beside them as well.

    Parameters
    ----------
    path : path
        A store.
    chunks : {"auto"}, mapping of dim to int, or None
        Blocks of dask. By default whole arrays, parted along ``network`` so that the largest array
        of a group has blocks of about 64 MB; all arrays of a group are parted alike. A mapping
        gives sizes by dim, -1 for all. None reads without dask: each array when it is asked for.

    Returns
    -------
    DataTree
        ``tree["TASK/ARCHITECTURE"]`` is a population, below it ``training``, ``extrapolation``,
        ``graph``, ... as far as they were computed. ``.to_dataset()`` of a node gives a Dataset.

    Raises
    ------
    SolspaceError
        Where there is no store, one of another schema version, or one that was interrupted before
        it was whole; the message says what to type.

    Examples
    --------
    >>> import tempfile
    >>> import solspace
    >>> ds = solspace.new_population("interval_reproduction", "vanilla", networks=2, hidden_size=5)
    >>> path = tempfile.mkdtemp() + "/small.zarr"
    >>> _ = solspace.create_population(path, ds)
    >>> tree = open_store(path)
    >>> tree["interval_reproduction/vanilla"].sizes["network"]
    2
    """
    if not (chunks is None or chunks == "auto" or isinstance(chunks, Mapping)):
        raise SolspaceError(
            f"chunks={chunks!r}: give 'auto' for large blocks, None for no dask, or sizes by dim "
            "such as {'network': 100}"
        )
    path = place.named(path)
    try:
        source = place.opened(path)
        groups = _read(path, source)
        for name in groups:
            if _depth(name) == 2:
                _refuse_aside(Population(path, *name.strip("/").split("/")))
        whole = {name: ds for name, ds in groups.items() if _is_whole(name, ds, groups)}
        if place.is_remote(path):
            source.fetch_coordinates(whole)
        seen: dict[tuple[bytes, ...], xr.Coordinates] = {}
        whole = {name: _with_indexes(ds, name, source, seen) for name, ds in whole.items()}
        if chunks is not None:
            # A name of its own for each opening: a store may have been written since the last.
            token = uuid.uuid4().hex
            whole = {name: _in_blocks(ds, chunks, token + name) for name, ds in whole.items()}
        return xr.DataTree.from_dict(whole)
    except SolspaceError:
        raise
    except (KeyError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()
        raise SolspaceError(
            f"{path}: cannot be read as a whole ({reason[0] if reason else repr(error)}); "
            f"`solspace check {path}` says which arrays are damaged, and xarray.open_zarr("
            "path, group='TASK/ARCHITECTURE') opens one group"
        ) from error


def _read(path: str, source: Any) -> dict[str, xr.Dataset]:
    """Every group, without indices and without dask, of a store that is whole."""
    options: dict[str, Any] = {
        "engine": "zarr", "chunks": None, "create_default_indexes": False
    }  # fmt: skip
    try:
        groups = xr.open_groups(source, consolidated=True, **options)
    except (KeyError, ValueError, OSError):
        Store(path)  # where it is none, this says so
        # Its metadata are gathered at the end of a run: one is under way, or was killed.
        groups = xr.open_groups(source, consolidated=False, **options)
    root = groups["/"].attrs
    check_version(path, root.get(VERSION))
    if UNFINISHED in root:
        raise SolspaceError(
            f"{path}: is not whole: `solspace {root[UNFINISHED]}` writes it now, or was "
            "interrupted; type that command again, it begins anew and gives "
            f"{path.rstrip('/').removesuffix('.unfinished')}"
        )
    return groups


def _refuse_aside(population: Population) -> None:
    for group in population.groups_aside():
        raise SolspaceError(f"{population.path}: {population.told_aside(group)}")


def _depth(name: str) -> int:
    return len([part for part in name.split("/") if part])


def _is_whole(name: str, ds: xr.Dataset, groups: Mapping[str, xr.Dataset]) -> bool:
    """Whether a group is one that `solspace info` would name, or leads to one."""
    if _depth(name) < 2:
        return True
    marked = bool(ds.attrs.get(CREATED)) and not name.endswith((UNFINISHED_GROUP, OLD))
    above = name.rsplit("/", 1)[0]
    return marked and _is_whole(above, groups[above], groups)


def _with_indexes(
    ds: xr.Dataset,
    group: str,
    source: Any,
    seen: dict[tuple[bytes, ...], xr.Coordinates],
) -> xr.Dataset:
    """Coordinates along their own dim made indices; those whose files are the same, once."""
    variables, indexes = {}, {}
    for name in [str(dim) for dim in ds.dims if dim in ds.variables]:
        files = _files(source, f"{group}/{name}".strip("/"))
        if files not in seen:
            seen[files] = xr.Coordinates({name: ds.variables[name].load()})
        variables[name] = seen[files].variables[name]
        indexes[name] = seen[files].xindexes[name]
    return ds.assign_coords(xr.Coordinates(variables, indexes))


def _files(source: Any, array: str) -> tuple[bytes, ...]:
    """All that lies in an array's folder: two of the same name with the same bytes are equal."""
    found = [os.path.basename(array).encode()]
    if isinstance(source, place.Remote):
        return (*found, *source.fetched(array))
    folder = os.path.join(source, *array.split("/"))
    for at, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                found += [os.path.relpath(path, folder).encode(), file.read()]
    return tuple(found)


def _in_blocks(
    ds: xr.Dataset, chunks: Literal["auto"] | Mapping[str, int], token: str
) -> xr.Dataset:
    sizes: Mapping[Any, int]
    if chunks == "auto":
        sizes = dict.fromkeys(ds.dims, -1) | _networks_together(ds)
    else:
        sizes = {dim: n for dim, n in chunks.items() if dim in ds.dims}
    return ds.chunk(sizes, token=token)


def _networks_together(ds: xr.Dataset) -> dict[Hashable, int]:
    """Networks in a block: as many whole chunks of the store as `BLOCK_BYTES` take, or one."""
    n = ds.sizes.get("network", 0)
    if not n:
        return {}
    largest = max(
        math.prod(v.shape) * v.dtype.itemsize // n
        for v in ds.variables.values()
        if "network" in v.dims
    )
    chunk = int(ds.attrs.get("chunk_size", 1))
    return {"network": min(n, max(1, BLOCK_BYTES // max(largest * chunk, 1)) * chunk)}
