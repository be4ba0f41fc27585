"""Further networks of a population, after those that it has.

The population's folder is written anew beside the old one and takes its place in one moment, so
that a kill leaves the one or the other. What the networks there have is copied as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr

from solspace.errors import SolspaceError
from solspace.population.variables import PENDING, Variable, is_label
from solspace.store import place, records, replacing
from solspace.store.handle import Population
from solspace.store.layout import (
    WHOLE,
    checked_text,
    chunk_size,
    create_array,
    fill_array,
    quiet,
    undeclared,
)

__all__ = ["grow"]

# What follows the largest network.
_UNITS = ("unit", "presynaptic_unit")
# And the longest recording.
_RECORDED = ("trial", "time")

Declared = Callable[[str, str], Variable | None]


def grow(
    population: Population,
    ds: xr.Dataset,
    declared: Declared,
    pending: Collection[str],
    attrs: Mapping[str, Any],
    *,
    shard_size: int | None = None,
    joined: xr.Dataset | None = None,
    lost: Collection[str] = (),
) -> None:
    """Add the networks of a dataset to a population that is there.

    Parameters
    ----------
    population : Population
    ds : Dataset
        Of the same task and architecture, with all variables of the networks that are known.
    declared : callable (group, name) -> Variable or None
        What a variable is where none is known of a network.
    pending : collection of str
        Statuses that are pending afterwards for the networks that there were, too, since what
        they stand for depends on all networks.
    attrs : mapping
        Attributes of the population that change; None takes one away.
    shard_size : int, optional
        Networks in a shard from now on. One may hold networks for which a stage has ended beside
        new ones. By default the largest that parts the new from those there.
    joined : Dataset, optional
        Variables of the population's own group of all networks, those there and those to add,
        which are written anew: recordings have trials of their own.
    lost : collection of str
        Variables of that group that are left out.

    Raises
    ------
    SolspaceError
        Where the networks have other channels.
    """
    place.check_local(
        population.path,
        f"{population} is there already, and networks are added to a store on a file system only; "
        "copy it here, add them, and copy it back",
    )
    noting = records.noting_store(population.path)
    root = zarr.open_group(noting, mode="r+", use_consolidated=False)
    have = population.open()
    free = ("network", *_UNITS, *(() if joined is None else _RECORDED))
    for dim in have.dims:
        own = dim in ds.coords and dim not in free
        if own and have[dim].values.tolist() != ds[dim].values.tolist():
            raise SolspaceError(
                f"{population.path}: {population} has {dim} {have[dim].values.tolist()}, the "
                f"networks to add have {ds[dim].values.tolist()}"
            )
    n, more = population.networks, ds.sizes["network"]
    sizes = {"network": n + more}
    sizes |= {d: max(have.sizes[d], ds.sizes[d]) for d in _UNITS if d in have.dims and d in ds.dims}
    if joined is not None:
        sizes |= {str(d): int(n) for d, n in joined.sizes.items()}
    shard = shard_size or max(s for s in range(1, population.shard_size + 1) if n % s == 0)
    population.before_change()
    beside = population.group_path("population") + replacing.UNFINISHED
    if beside in root:
        del root[beside]
    labels: dict[str, Any] = {}
    if joined is not None:
        labels = {str(n): v.values for n, v in ds.coords.items() if v.dims == ("network",)}
    for group in population.groups():
        source = population.zarr_group(group)
        with quiet():
            target = root.require_group(beside if group == "population" else f"{beside}/{group}")
        each = max(
            (a.nbytes // max(n, 1) for _, a in source.arrays() if _dims(a)[:1] == ("network",)),
            default=1,
        )
        chunk = chunk_size(shard, each, n + more)
        coordinates = str(source.attrs.get("coordinates", "")).split()
        names = [name for name, _ in source.arrays()]
        # A group of its own may call other things trials.
        here = {d: s for d, s in sizes.items() if group == "population" or d not in _RECORDED}
        written = joined if joined is not None and group == "population" else None
        for name, array in source.arrays():
            if written is not None and (name in lost or name in written.variables):
                continue
            known = declared(group, name) or _as_it_is(array)
            whole = _dims(array) == (name,) or (name in coordinates and not is_label(known))
            made = _longer(target, array, known, here, shard, chunk, whole)
            values = None
            if name in ds.variables and group == "population":
                values = ds[name]
            elif name in labels and "network" in _dims(array):
                values = labels[name]
            if name in _UNITS:
                made[...] = np.arange(sizes[name])
                continue
            if _dims(array) == ("network",) and name == "network":
                made[...] = np.arange(n + more)
                continue
            if "network" in _dims(array):
                _copy(array, made, n, shard)
                if name.startswith("status_") and name in pending:
                    made[:n] = np.full(n, PENDING, made.dtype)
                if values is not None:
                    _add(made, values, n, name, shard)
            else:
                made[tuple(map(slice, array.shape))] = array[...]
            if group == "population" and name in coordinates and values is not None:
                labels[name] = values.values
        if written is not None:
            for name in map(str, written.variables):
                known = declared(group, name) or undeclared(written[name], group)
                made = create_array(target, known, sizes, shard_size=WHOLE, chunk=chunk)
                fill_array(made, written[name])
            coordinates = [c for c in coordinates if c not in lost]
        elif group == "population":
            new = [
                c for c in map(str, ds.coords) if c not in names and ds[c].dims[:1] == ("network",)
            ]
            for name in new:  # such as what some of the new networks start from
                known = declared(group, name) or undeclared(ds[name], group)
                made = create_array(target, known, sizes, shard_size=WHOLE, chunk=chunk)
                old = (n, *(sizes.get(d, made.shape[i + 1]) for i, d in enumerate(known.dims[1:])))
                made[:n] = _without(have, known, old)
                _add(made, ds[name], n, name, shard)
            coordinates += new
        kept = dict(source.attrs) | (dict(attrs) if group == "population" else {})
        target.attrs.update({n: v for n, v in kept.items() if v is not None} | {
            "shard_size": shard, "chunk_size": chunk, "coordinates": " ".join(coordinates),
        })  # fmt: skip
    records.note_copy(population, noting, beside)
    population.before_change()
    replacing.swap_in(population.folder())


def _dims(array: Any) -> tuple[str, ...]:
    return tuple(array.metadata.dimension_names or ())


def _as_it_is(array: Any) -> Variable:
    """A variable that nothing is declared of, at the fill of its kind."""
    kind = array.dtype.kind
    fill: Any = "" if kind in "UT" else float("nan") if kind == "f" else 0
    return Variable(
        str(array.basename), _dims(array), array.dtype.str.lstrip("<>|="),
        str(array.attrs.get("long_name", array.basename)), fill=fill,
    )  # fmt: skip


def _longer(
    group: zarr.Group, array: Any, known: Variable, sizes: dict[str, int], shard: int, chunk: int,
    whole: bool,
) -> Any:  # fmt: skip
    """The array in a group, at its fill, with room for more networks and units."""
    import dataclasses

    dims = _dims(array)
    lengths = dict(zip(dims, array.shape, strict=True))
    lengths |= {d: size for d, size in sizes.items() if d in lengths}
    variable = dataclasses.replace(
        known, dims=dims, dtype=array.dtype.str.lstrip("<>|="), coordinate=whole
    )
    made = create_array(
        group, variable, lengths, shard_size=WHOLE if whole else shard, chunk=chunk,
        name=str(array.basename),
    )  # fmt: skip
    with quiet():
        made.attrs.put(dict(array.attrs))
    return made


def _copy(array: Any, made: Any, n: int, shard: int) -> None:
    """What there is of the networks there are, block by block."""
    dims = _dims(array)
    at = dims.index("network")
    for start in range(0, n, shard if at == 0 else n):
        stop = min(start + shard, n) if at == 0 else n
        block = tuple(
            slice(start, stop) if axis == at else slice(0, length)
            for axis, length in enumerate(array.shape)
        )
        made[block] = array[block]


def _add(made: Any, values: Any, n: int, name: str, shard: int) -> None:
    """What is known of the new networks, from the start of each axis, shard by shard."""
    more = values.shape[0]
    edges = [0, *range((-n) % shard or shard, more, shard), more]
    for start, stop in itertools.pairwise(edges):
        block = np.asarray(values[start:stop])
        if block.dtype.kind in "OTU":
            block = checked_text(block, made, name)
        made[(slice(n + start, n + stop), *map(slice, block.shape[1:]))] = block


def _without(have: xr.Dataset, known: Variable, shape: tuple[int, ...]) -> Any:
    """A learned start of networks that have none: zero, and NaN past their size."""
    out = np.zeros(shape)
    if "unit" in known.dims:
        units = np.moveaxis(out, known.dims.index("unit"), 1)
        for i, size in enumerate(have["hidden_size"].values.tolist()):
            units[i, size:] = np.nan
    return out
