"""Stages on datasets backed by dask: one block of networks at a time, on any scheduler."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr

from solspace.errors import SolspaceError
from solspace.population.variables import Variable, annotate
from solspace.stages.carry import carried, take
from solspace.stages.record import Stage
from solspace.stages.running import checked, compute
from solspace.stages.template import layouts, missing_dims, wanted

__all__ = ["map_networks"]

# Not passed on to blocks: bars and questions belong to the process that asks.
_HERE = ("progress", "stop")


def map_networks(record: Stage, ds: xr.Dataset, kwargs: Mapping[str, Any]) -> xr.Dataset:
    """A stage's result for a dataset backed by dask, without computing it.

    Blocks are the dataset's chunks along ``network``; memory is bounded by one of them on each
    worker. What a network's result needs of all others (numbers of solutions) is a small
    reduction over the blocks, lazy as well.

    Parameters
    ----------
    record : Stage
    ds : Dataset
        With a dim ``network``.
    kwargs : mapping
        Options, and ``task`` where it is not the dataset's own.

    Returns
    -------
    Dataset
        The same variables as in memory, backed by dask.
    """
    from solspace.population.describe import architecture_of, task_of
    from solspace.tasks import get_task

    if "network" not in ds.dims:
        raise SolspaceError(f"{record.name}: the dataset has no dim 'network'; give a population")
    options = {k: v for k, v in kwargs.items() if k not in _HERE}
    named = options.pop("task", None)
    task = None
    if named is not None:
        task = get_task(named)
    elif not record.origin:
        task = task_of(ds)
    for name, make in record.prepare.items():
        if options.get(name) is None:
            options[name] = make(ds)
    architecture = architecture_of(ds, required=False)
    layout_of = layouts(record, task, ds, options)
    template, coordinates = _template(record, ds, layout_of, architecture)
    blocks = _by_network(ds, template)
    dtypes = {str(n): v.dtype for n, v in template.data_vars.items()}
    function = _Block(record, dtypes, task, options)
    made = xr.map_blocks(function, blocks, template=template.chunk(_chunks(blocks)))
    made = made.drop_vars([c for c in made.coords if c not in made.dims])
    labels = [v.name for v in record.fills if v.coordinate]
    if record.returns:
        out = layout_of[record.returns].coordinates.assign(made.data_vars)
        kept = {c: v for c, v in ds.coords.items() if c not in out and set(v.dims) <= set(out.dims)}
        return annotate(out.assign_coords(kept), record.filled(architecture or None))
    out = ds.drop_vars([n for n in made.data_vars if n in ds.variables])
    out = _finished(record, out.assign_coords(coordinates).assign(made.data_vars))
    if record.notes is not None:
        defaults = {n: o.default for n, o in record.options.items()}
        out.attrs.update(record.notes(task or task_of(ds), {**defaults, **options}, ds.attrs))
    return out.set_coords([n for n in labels if n in out.data_vars])


class _Block:
    """Computes one block; sent to workers whole."""

    def __init__(
        self, record: Stage, dtypes: dict[str, Any], task: Any, options: Mapping[str, Any]
    ) -> None:
        self.record, self.dtypes, self.task, self.options = record, dtypes, task, dict(options)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.dtypes)

    def __call__(self, ds: xr.Dataset) -> xr.Dataset:
        from solspace.population.each import failures_told_elsewhere

        kwargs = self.options | ({} if self.task is None else {"task": self.task})
        with failures_told_elsewhere():
            if self.record.plain:
                out = compute(self.record, ds, kwargs)
            else:
                out = checked(self.record, ds, self.record.function(ds, **kwargs))
        # Labels are coordinates of the result; here they are values like the others.
        labels = [n for n in self.names if n in out.coords]
        picked = out.reset_coords(labels)[list(self.names)].reset_coords(drop=True)
        return picked.assign(
            {n: picked[n].astype(t) for n, t in self.dtypes.items() if picked[n].dtype != t}
        )

    def __reduce__(self) -> Any:
        # Elsewhere only what is of the package is known.
        return _block, (carried(self.task), self.record, self.dtypes, self.task, self.options)

    def __dask_tokenize__(self) -> Any:
        from dask.base import normalize_token

        try:
            own = carried(self.task)
        except SolspaceError:  # threads take it all the same
            own = uuid.uuid4().bytes
        return normalize_token((self.record.name, self.record.origin, own, repr(self.options)))


def _block(
    sent: bytes, record: Stage, dtypes: dict[str, Any], task: Any, options: Mapping[str, Any]
) -> _Block:
    """In another process: a block, and what of the user's own it needs."""
    take(sent)
    return _Block(record, dtypes, task, options)


def _template(
    record: Stage, ds: xr.Dataset, layout_of: Mapping[str, Any], architecture: str | None
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Empty arrays of what is computed block by block, and the coordinates of the result."""
    sizes = {str(d): int(s) for d, s in ds.sizes.items()}
    coordinates: dict[str, Any] = {}
    # What is only made alike over all networks is there block by block as well.
    finish = tuple(
        name
        for name, (_, needs) in ((p.split("/")[1], how) for p, how in record.finish.items())
        if name not in needs
    )
    variables: list[Variable] = [record.status, record.message]
    for group in dict.fromkeys(v.group for v in record.fills):
        if group in record.groups and not record.groups[group].present(ds.attrs):
            continue
        own = wanted(record, architecture, layout_of, group)
        there = group in layout_of or group not in record.reads
        if not there and not {d for v in own for d in v.dims} <= set(sizes):
            continue  # a population without its checkpoints
        if group in layout_of:
            coords = layout_of[group].coordinates
            sizes |= {str(d): int(s) for d, s in coords.sizes.items()} | dict(
                layout_of[group].sizes
            )
            coordinates |= {c: v.variable for c, v in coords.coords.items()}
        missing_dims(record, own, sizes)
        variables += [v for v in own if "network" in v.dims and v.name not in finish]
    out = {}
    for v in variables:
        shape = tuple(sizes[d] for d in v.dims)
        out[v.name] = (v.dims, da.full(shape, v.fill, dtype=v.dtype, chunks=shape), v.attributes())
    dims = {d for v in variables for d in v.dims} - {"network"}
    coords = {d: ds[d].variable for d in dims if d in ds.coords}
    coords |= {c: v for c, v in coordinates.items() if c in dims}
    template = xr.Dataset(
        out, coords={"network": ds["network"].variable} if "network" in ds.coords else {}
    )
    return template.assign_coords(coords), coordinates


def _by_network(ds: xr.Dataset, template: xr.Dataset) -> xr.Dataset:
    """Chunked along ``network`` alone, evenly in all variables."""
    sizes = {
        v.data.chunks[v.dims.index("network")]
        for v in ds.variables.values()
        if "network" in v.dims and hasattr(v._data, "__dask_graph__")
    }
    chunk = max((max(s) for s in sizes), default=ds.sizes["network"])
    plan: dict[Any, int] = {d: -1 for d in ds.dims if d != "network"}
    return ds.chunk(plan | {"network": chunk})


def _chunks(ds: xr.Dataset) -> dict[Any, Any]:
    return {"network": ds.chunksizes["network"]}


def _finished(record: Stage, ds: xr.Dataset) -> xr.Dataset:
    """With what is computed over all networks once every block is there."""
    for path, (function, needs) in record.finish.items():
        group, name = path.split("/")
        variable = record.variables(group)[name]
        if any(n not in ds.variables for n in needs):
            continue
        small = xr.Dataset({n: ds[n].variable for n in needs})
        lengths = {str(d): int(s) for d, s in small.sizes.items()}
        shape = tuple(lengths[d] for d in variable.dims)
        later = dask.delayed(_call_finish)(function, small)
        values = da.from_delayed(later, shape, np.dtype(variable.dtype))
        ds = ds.assign({name: (variable.dims, values, variable.attributes())})
    return ds


def _call_finish(function: Any, small: xr.Dataset) -> Any:
    return np.asarray(function(small.load()))
