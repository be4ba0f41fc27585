"""How arrays lie in a store: shards, chunks, codecs, strings.

A shard is a block of consecutive networks that is written at once, the same for every array that a
stage fills, and has one writer: two writers inside one shard would corrupt it without a word.
Inside it are chunks that can be read alone, of as many networks in every array of a group, so that
a group opens with one chunking along ``network``. Every chunk carries a checksum.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.errors import UnstableSpecificationWarning

from solspace.errors import SolspaceError
from solspace.population.variables import Variable, text_array
from solspace.store import place

__all__ = [
    "check_part",
    "check_relayout",
    "chunk_size",
    "create_array",
    "default_shard_size",
    "fill_array",
    "network_bytes",
    "packed_shard_size",
    "packed_variable",
    "part_values",
    "quiet",
    "relayout",
    "undeclared",
    "whole_values",
]

# An inner chunk is about so large where networks are large enough.
CHUNK_BYTES = 1 << 20
# A kill loses a shard; memory holds one for each worker.
MOST_SHARD_BYTES = 1 << 28
# But reading takes a fifth of a millisecond a chunk, however small, and several times less where
# a shard is one chunk. So chunks are larger, up to so many bytes, where there would be more of them
# along ``network`` than this.
MORE_CHUNKS = ((128, 1 << 22), (512, 1 << 25))

WHOLE = 0  # one shard for all networks
# A packed array of more than this has several: one is in memory when it is written.
MOST_PACKED_BYTES = 1 << 28


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without zarr's notes that strings of fixed width and gathered metadata are not in the
    specification yet: said once in docs/schema.md, not to every user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UnstableSpecificationWarning)
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not")
        yield


def network_bytes(variables: Iterable[Variable], sizes: Mapping[str, int]) -> int:
    """Bytes of one network in the largest array."""
    found = [
        math.prod(sizes[d] for d in v.dims[1:]) * np.dtype(v.dtype).itemsize
        for v in variables
        if v.dims[:1] == ("network",) and set(v.dims) <= set(sizes)
    ]
    return max([1, *found])


def default_shard_size(networks: int, bytes_each: int = 1, least: int = 1) -> int:
    """Networks in one shard: about fifty shards a population, of 256 MB of any array at most.

    Parameters
    ----------
    networks : int
    bytes_each : int
        Of one network in the largest array.
    least : int
        Networks that are computed in one batch.

    Examples
    --------
    >>> [default_shard_size(n) for n in (8, 16, 400, 10_000)]
    [1, 1, 8, 192]
    >>> default_shard_size(10_000, bytes_each=12_000_000)
    22
    """
    size = max(networks // 50, least, 1)
    size = max(1, min(size, MOST_SHARD_BYTES // max(bytes_each, 1), max(networks, 1)))
    # A large one has many divisors, among which the size of chunks is chosen; a prime has none.
    step = 1 << max(size.bit_length() - 4, 0)
    return max(size // step * step, min(size, least))


def chunk_size(shard_size: int, bytes_each: int, networks: int = 1) -> int:
    """Networks in one inner chunk: the most that divide a shard and are about 1 MB.

    More where an array would be of many chunks: up to 4 MB where they are over 128, up to 32 MB
    where they are over 512.

    Parameters
    ----------
    shard_size : int
    bytes_each : int
        Of one network in the largest array.
    networks : int
        Of the population.

    Examples
    --------
    >>> chunk_size(8, 10_000), chunk_size(8, 300_000), chunk_size(8, 930_000)
    (8, 2, 1)
    >>> chunk_size(192, 930_000, 10_000), chunk_size(288, 10_000, 100_000)
    (16, 288)
    """
    each = max(bytes_each, 1)
    larger = [min(-(-networks // chunks), most // each) for chunks, most in MORE_CHUNKS]
    most = max(1, CHUNK_BYTES // each, *larger)
    return max(n for n in range(1, shard_size + 1) if shard_size % n == 0 and n <= most)


def packed_shard_size(shape: Sequence[int], itemsize: int, chunk: int) -> int:
    """Networks in a shard of a packed array whose first dim is ``network``.

    Examples
    --------
    >>> packed_shard_size((400, 50, 50), 4, 16) == WHOLE
    True
    >>> packed_shard_size((100_000, 50, 50), 4, 96)
    26784
    """
    each = math.prod(shape[1:]) * itemsize
    if shape[0] * each <= MOST_PACKED_BYTES:
        return WHOLE
    return max(MOST_PACKED_BYTES // each // chunk, 1) * chunk


def create_array(
    group: zarr.Group,
    variable: Variable,
    sizes: Mapping[str, int],
    *,
    shard_size: int,
    chunk: int,
    packed: bool = False,
    name: str | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> Any:
    """An array of a variable, at its fill.

    Parameters
    ----------
    group : zarr.Group
    variable : Variable
    sizes : mapping of str to int
        Lengths of its dims.
    shard_size : int
        Networks written at once; `WHOLE` for all.
    chunk : int
        Networks in one inner chunk.
    packed : bool
        Compressed hard, for a store that is written once and sent far.
    name : str, optional
        Another name than the variable's.
    attrs : mapping, optional
        Beside its own attributes, or in place of them.
    """
    shape = tuple(sizes[d] for d in variable.dims)
    chunks = tuple(max(s, 1) for s in shape)
    shards = None
    if "network" in variable.dims and shape[variable.dims.index("network")]:
        at = variable.dims.index("network")
        n = shape[at]
        # What is along its own dim is read when a group is opened, and never in blocks.
        inner = n if variable.dims == (variable.name,) else min(chunk, n)
        # Coordinates are written once, or by the one process that ends a stage.
        whole = shard_size == WHOLE or variable.coordinate or at != 0
        # A shard that holds all networks ends with the last chunk.
        outer = -(-n // inner) * inner if whole or shard_size >= n else shard_size
        chunks = (*chunks[:at], inner, *chunks[at + 1 :])
        if outer != inner:
            shards = (*chunks[:at], outer, *chunks[at + 1 :])
    compressor: Any
    if variable.text or np.dtype(variable.dtype).itemsize == 1:
        compressor = ZstdCodec(level=19 if packed else 3)
    elif packed:
        compressor = BloscCodec(cname="zstd", clevel=9, shuffle="shuffle")
    else:  # of activity as small as zstd makes it, in a quarter of the time
        compressor = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    with quiet():
        return group.create_array(
            name or variable.name,
            shape=shape,
            chunks=chunks,
            shards=shards,
            dtype=np.dtype(variable.dtype),
            fill_value=variable.fill,
            compressors=[compressor, Crc32cCodec()],
            dimension_names=variable.dims,
            attributes=_plain(variable.attributes()) | _plain(attrs or {}),
        )


def packed_variable(variable: Variable, values: NDArray[Any]) -> Variable:
    """The variable with the one value of a constant array as its fill, which needs no file."""
    flat = np.asarray(values).ravel()
    # Bits of floats are compared: -0.0 and other NaNs are values of their own.
    bits = flat.view(f"u{flat.dtype.itemsize}") if flat.dtype.kind == "f" else flat
    if (
        flat.size
        and (bits == bits[0]).all()
        and not (flat.dtype.kind == "f" and flat[0] != flat[0])
    ):
        return dataclasses.replace(variable, fill=flat[0])
    return variable


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that every reader of netCDF and JSON takes: no booleans, no long numbers."""
    out = {}
    for name, value in attributes.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, bool):
            value = int(value)
        if isinstance(value, int) and abs(value) >= 1 << 53:
            value = str(value)
        out[name] = value
    return out


def undeclared(array: xr.DataArray, group: str) -> Variable:
    """A variable of the task's own, such as a trial parameter."""
    values = array.dtype if array.dtype.kind not in "OT" else text_array(array.values).dtype
    return Variable(
        name=str(array.name),
        dims=tuple(map(str, array.dims)),
        dtype=values.str.lstrip("<>|=") if values.kind == "U" else str(values),
        meaning=str(array.attrs.get("long_name", array.name)),
        group=group,
        fill="" if values.kind == "U" else values.type(0),
        attrs=array.attrs,
        coordinate=True,
    )


def checked_text(values: NDArray[Any], target: Any, name: str) -> NDArray[Any]:
    """Strings of the array's width; one too long is refused, never cut."""
    out = text_array(values)
    most = target.dtype.itemsize // 4
    longest = max((len(s) for s in out.ravel().tolist()), default=0)
    if longest > most:
        raise SolspaceError(
            f"{name!r} has a string of {longest} characters, the store keeps {most}; shorten it"
        )
    return out.astype(target.dtype)


def whole_values(target: Any, array: xr.DataArray) -> NDArray[Any]:
    """What is to be written of a whole array."""
    values = np.asarray(array.values)
    if values.shape != target.shape:  # Zarr would write what fits, without a word
        raise ValueError(f"{array.name!r} has shape {values.shape}, expected {target.shape}")
    if values.dtype.kind in "OTU":
        values = checked_text(values, target, str(array.name))
    return values


def fill_array(target: Any, array: xr.DataArray) -> None:
    """Write a whole array, with its attributes."""
    values = whole_values(target, array)
    with quiet():
        target[...] = values
        if array.attrs:
            target.attrs.update(_plain(array.attrs))


def part_values(target: Any, name: str, array: xr.DataArray, start: int, stop: int) -> Any:
    """What is to be written of the networks ``start <= network < stop`` of an array.

    In a thread of its own perhaps, so no filters of warnings are changed here.
    """
    check_part(target, name, array, start, stop)
    values = np.asarray(array.values)
    if values.dtype.kind in "OTU":
        return checked_text(values, target, name)
    return values.astype(target.dtype, casting="same_kind", copy=False)


def check_part(target: Any, name: str, array: xr.DataArray, start: int, stop: int) -> None:
    """Whether an array fits these networks of a stored one."""
    expected = (stop - start, *target.shape[1:])
    if array.shape != expected:
        raise ValueError(f"{name!r} has shape {array.shape}, expected {expected}")


def shard_of(array: Any) -> int:
    """Networks of an array that are written at once."""
    return int((array.shards or array.chunks)[0])


def relayout(
    store: str, group: zarr.Group, variable: Variable, shard_size: int, chunk: int,
    noting: Callable[[Any], Any] = lambda store: store,
) -> Any:  # fmt: skip
    """Create an array anew in other shards, before a stage writes into that of a packed store.

    The array is whole at every moment: it is copied beside the store and takes the old one's
    place when it is done.

    Returns what ``noting`` made of the store that the copy was written through.
    """
    with quiet():
        old = group[variable.name]
        assert isinstance(old, zarr.Array)
        # By the store's own name, as its locks are, through whatever link it is reached.
        store = os.path.realpath(store)
        beside = f"{store}.relayout"
        check_relayout(store)
        sizes = dict(zip(variable.dims, old.shape, strict=True))
        made = zarr.create_group(beside, zarr_format=3, attributes={_RELAYOUT: 1})
        through = noting(made.store_path.store)
        target = create_array(
            zarr.open_group(through, mode="r+", use_consolidated=False),
            variable,
            sizes,
            shard_size=shard_size,
            chunk=chunk,
        )
        n = old.shape[0]
        for start in range(0, n, shard_size):
            target[start : start + shard_size] = old[start : start + shard_size]
        target.attrs.update(dict(old.attrs))
        final = os.path.join(store, *group.path.split("/"), variable.name)
        with open(f"{beside}.note", "w", encoding="utf-8") as file:
            file.write(_NOTE + os.path.relpath(final, store))
        os.rename(final, f"{beside}.old")
        os.rename(os.path.join(beside, variable.name), final)
        mend_relayout(store)
        return through


def check_relayout(store: str) -> None:
    """Refuse what lies where `relayout` would write, before anything is changed.

    Raises
    ------
    SolspaceError
        For what it did not leave there, and where folders cannot be renamed.
    """
    place.check_local(
        store,
        "was packed: each array is one object, which is laid in shards on a file system only; copy "
        "it here, run the stage, and copy it back",
    )
    mend_relayout(store)
    beside = f"{os.path.realpath(store)}.relayout"
    for there in (beside, f"{beside}.old", f"{beside}.note"):
        if os.path.lexists(there):
            raise SolspaceError(
                f"{there}: is there already and was not left by solspace, which lays an array "
                "anew there; move it away"
            )


def mend_relayout(store: str) -> None:
    """Clean up after `relayout`, also where the process died while it swapped two arrays.

    What lies there and was not left by it stays.
    """
    store = os.path.realpath(store)
    beside = f"{store}.relayout"
    noted = _noted(f"{beside}.note")
    if noted:
        final = os.path.join(store, noted)
        if not os.path.exists(final) and os.path.exists(f"{beside}.old"):
            os.rename(f"{beside}.old", final)
        shutil.rmtree(f"{beside}.old", ignore_errors=True)
    if _is_relayout(beside):
        shutil.rmtree(beside, ignore_errors=True)
    # Last, since it says whose the others are; empty where it was killed before it was written.
    if noted is not None:
        os.unlink(f"{beside}.note")


_RELAYOUT = "solspace_relayout"
_NOTE = "solspace lays anew: "


def _noted(note: str) -> str | None:
    """What array a note of `relayout` names, "" where it has none yet; None where it is no note."""
    if os.path.islink(note) or not os.path.isfile(note):
        return None
    with open(note, encoding="utf-8", errors="replace") as file:
        text = file.read(10_000)
    return text.removeprefix(_NOTE) if text.startswith(_NOTE) or not text else None


def _is_relayout(folder: str) -> bool:
    """Whether a folder was made by `relayout`, perhaps in the moment when it was killed."""
    if os.path.islink(folder) or not os.path.isdir(folder):
        return False
    inside = os.listdir(folder)
    if all(name.startswith("zarr.") and name.endswith(".partial") for name in inside):
        return True
    try:
        with open(os.path.join(folder, "zarr.json"), encoding="utf-8") as file:
            return _RELAYOUT in json.load(file)["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
