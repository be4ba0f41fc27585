"""Copies of populations that are small enough to be sent."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from solspace.population.variables import (
    PENDING,
    Variable,
    message_variable,
    status_variable,
)
from solspace.store import records
from solspace.store.handle import Population, Store
from solspace.store.layout import (
    WHOLE,
    create_array,
    packed_shard_size,
    packed_variable,
    quiet,
)

__all__ = ["copy_packed", "pack_into", "without_folders"]

# The stages that bring back what is left out.
_MADE_BY = {"training": "record", "extrapolation": "extrapolate"}


def pack_into(population: Population, store: Store, leave_out: Sequence[str]) -> Population:
    """Copy a population into another store, compressed, without some of its groups.

    The stages that fill those are pending in the copy. Every array is one shard, or several of
    256 MB; before a stage writes into one it is created anew in the population's shards. Of files
    named in the commands of the provenance only the last part of the path is kept.

    Parameters
    ----------
    population : Population
    store : Store
        Without this population.
    leave_out : sequence of str
        Names of groups, ``training`` or ``extrapolation``.
    """
    copy = Population(store.path, population.task, population.architecture)
    noting = records.noting_store(store.path)
    root = zarr.open_group(noting, mode="r+", use_consolidated=False)
    # Pending in the copy, and without messages. Recordings, which no stage makes, have neither.
    again = [_MADE_BY[group] for group in leave_out]
    pending = np.full(population.networks, PENDING, np.uint8)
    instead = {status_variable(stage).name: pending for stage in again}
    without = {message_variable(stage).name for stage in again}
    for group in population.groups():
        if group in leave_out:
            continue
        source = population.zarr_group(group)
        with quiet():
            target = root.require_group(copy.group_path(group))
        chunk = int(source.attrs["chunk_size"])
        for name, array in source.arrays():
            message = name.startswith("message_") and array.ndim == 1
            if message and (name in without or not (array[...] != "").any()):
                continue  # created when one is needed
            copy_packed(array, target, chunk, instead.get(name))
        attrs: dict[str, Any] = dict(source.attrs)
        if "provenance" in attrs:
            attrs["provenance"] = without_folders(str(attrs["provenance"]))
        target.attrs.update(attrs)
    records.note_copy(copy, noting, copy.group_path("population"))
    return copy


def copy_packed(
    array: Any, group: zarr.Group, chunk: int, instead: NDArray[Any] | None = None
) -> Any:
    """Copy an array as one shard, or one after another where it is large, compressed hard.

    ``instead`` takes the place of the values of a small one.
    """
    dims = tuple(array.metadata.dimension_names or ())
    name = str(array.basename)
    variable = Variable(
        name,
        dims,
        array.dtype.str.lstrip("<>|="),
        str(array.attrs.get("long_name", name)),
        fill=array.metadata.fill_value,
        coordinate=dims == (name,),
    )
    values = array if instead is None else instead
    if array.size <= 1 << 20:
        variable = packed_variable(variable, values[...])
    sizes = dict(zip(dims, array.shape, strict=True))
    by_network = dims[:1] == ("network",) and not variable.coordinate
    shard = packed_shard_size(array.shape, array.dtype.itemsize, chunk) if by_network else WHOLE
    target = create_array(group, variable, sizes, shard_size=shard, chunk=chunk, packed=True)
    with quiet():
        target.attrs.put(dict(array.attrs))
        if shard == WHOLE:
            target[...] = values[...]
        else:
            for start in range(0, array.shape[0], shard):
                target[start : start + shard] = values[start : start + shard]
    return target


def without_folders(provenance: str) -> str:
    """Provenance with commands that do not say where on a machine files were."""
    entries: list[Mapping[str, Any]] = json.loads(provenance)
    for entry in entries:
        words = shlex.split(entry.get("command", ""))
        entry["command"] = shlex.join(  # type: ignore[index]
            os.path.basename(word.rstrip("/")) if os.path.isabs(word) else word for word in words
        )
    return json.dumps(entries)
