"""What a stage reads of a population, and its result by the groups of a population."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.variables import BASE, Variable, is_label
from solspace.stages import collection
from solspace.stages.record import Stage
from solspace.store import Population, Shard

__all__ = [
    "among_stored",
    "lengths",
    "read_inputs",
    "read_labels",
    "split_results",
    "written_by_shard",
]


def read_inputs(
    population: Population,
    stage: Stage,
    *,
    all_labels: bool = True,
    labels: xr.Dataset | None = None,
) -> xr.Dataset:
    """What a stage reads, in one dataset, lazily; coordinates of all networks in memory.

    Parameters
    ----------
    population : Population
    stage : Stage
    all_labels : bool
        Whether coordinates are read; lazily otherwise.
    labels : Dataset, optional
        What `read_labels` has read already.
    """
    kind = kind_of(population.architecture).name
    known = collection.groups(kind)
    names: dict[str, list[str] | None] = {}
    for path in stage.reads:
        group, _, name = path.rpartition("/")
        if not group and name in known:
            names[name] = None
        else:
            names.setdefault(group or "population", [])
            own = names[group or "population"]
            if own is not None:
                own.append(name)
    names.setdefault("population", [])
    attrs = population.attrs
    out: xr.Dataset | None = None
    for group, wanted_names in sorted(names.items(), key=lambda g: g[0] != "population"):
        if group in known and not known[group].present(attrs):
            continue
        if group in stage.groups and group != "population" and not population.has(group):
            continue  # its own, which it is about to fill
        maker = collection.group_of(group, kind).replace("_", "-")
        there = population.open(group, maker)
        own = _names(population, stage, group, there, wanted_names)
        ds = there[own]
        if out is None:
            out = ds
            continue
        twice = [str(n) for n in ds.data_vars if n in out.data_vars]
        if twice:
            raise SolspaceError(
                f"{stage.name} reads two variables named {twice[0]!r}, one of the group {group}; "
                "read one of them"
            )
        out = out.assign_coords({c: v for c, v in ds.coords.items() if c not in out.coords})
        out = out.assign({n: ds[n].variable for n in ds.data_vars})
        out.attrs |= {k: v for k, v in ds.attrs.items() if k not in out.attrs}
    assert out is not None
    if not all_labels:
        return out
    known_labels = {} if labels is None else dict(labels.variables)
    # Small, and read anew by every shard otherwise.
    return out.assign_coords({
        str(c): known_labels.get(c, v.variable).load() for c, v in out.coords.items()
    })  # fmt: skip


def _names(
    population: Population,
    stage: Stage,
    group: str,
    there: xr.Dataset,
    wanted_names: list[str] | None,
) -> list[str]:
    """Variables of a group that a stage is given: no result of a later stage."""
    kind = kind_of(population.architecture).name
    status = [f"status_{earlier}" for earlier in collection.after(stage)]
    known = collection.stages(kind)
    used = collection.used(stage, known)
    status += [f"status_{other}" for other in used]
    named = dict.fromkeys([*(v.name for v in BASE), *collection.labels(kind)])
    base = [name for name in named if name in there.variables]
    needed = [n for n in status if n in there.variables] if group == "population" else []
    if wanted_names is not None:
        missing = [n for n in wanted_names if n not in there.variables]
        if missing:
            maker = collection.filled_by(group, missing[0], kind)
            maker = maker or collection.labelled_by(missing[0], kind)
            if not maker:
                raise SolspaceError(
                    f"{population.path}: {population} has no {missing[0]!r} in the group {group}, "
                    f"which {stage.verb} reads, and no stage fills it; variables there: "
                    f"{', '.join(map(str, there.data_vars))}"
                )
            raise SolspaceError(
                f"{population.path}: {population} has no {missing[0]!r} in the group {group}, "
                f"which {stage.verb} reads; type `solspace {maker.replace('_', '-')} "
                f"{population.path}` first"
            )
        # Names of epochs, channels and the like come along: a result may be along them.
        shared = [str(c) for c, v in there.coords.items() if v.dims and "network" not in v.dims]
        return list(dict.fromkeys([*wanted_names, *needed, *base, *shared]))
    declared = collection.declared(group, population.architecture)
    earlier = {"", *collection.needed_first(stage.name, kind), *used, "train"} - {stage.name}
    fillers = collection.fillers(group, kind)
    makers = {n: fillers.get(n, "") for n in declared}
    if stage.over == "population":
        earlier |= set(makers.values()) - {stage.name}
    own = [
        n
        for n in map(str, there.variables)
        if makers.get(n, "") in earlier
        and not n.startswith("initial_")
        and not n.startswith(("status_", "message_"))
    ]
    return list(dict.fromkeys([*own, *needed, *base]))


def split_results(
    ds: xr.Dataset, stage: Stage, population: Population
) -> dict[str, dict[str, xr.DataArray]]:
    """What a stage computed, by the group each variable belongs to."""
    out: dict[str, dict[str, xr.DataArray]] = {"population": {}}
    for group in dict.fromkeys(v.group for v in stage.fills):
        found = {}
        for name, variable in stage.variables(group, population.architecture).items():
            if name not in ds.variables or _only_finished(stage, group, name):
                continue
            if _by_shard(variable):
                found[name] = ds[name]
        if found or group == "population":
            out[group] = found
    for name in (stage.message.name, stage.status.name):
        # Without failures a packed store has no messages.
        if name in ds.variables or name == stage.status.name:
            out["population"][name] = ds[name]
    return out


def written_by_shard(population: Population, stage: Stage) -> list[str]:
    """Paths of what `split_results` can give, but for the status."""
    own = [
        name if group == "population" else f"{group}/{name}"
        for group in dict.fromkeys(v.group for v in stage.fills)
        for name, v in stage.variables(group, population.architecture).items()
        if _by_shard(v)
    ]
    return [*own, stage.message.name]


def _by_shard(variable: Variable) -> bool:
    """Whether a stage writes it shard by shard: other coordinates are written once, for all."""
    return variable.dims[:1] == ("network",) and (not variable.coordinate or is_label(variable))


def among_stored(
    population: Population,
    shard: Shard,
    waiting: NDArray[np.bool_],
    data: Mapping[str, Mapping[str, xr.DataArray]],
) -> dict[str, dict[str, xr.DataArray]]:
    """A whole shard of which only some networks were computed, with what is stored of the others.

    Parameters
    ----------
    population : Population
    shard : Shard
    waiting : array of bool (network,)
        Which of the shard's networks were computed.
    data : mapping of group name to mapping of variable name to DataArray
        Of those networks, as `split_results` gives it.
    """
    out: dict[str, dict[str, xr.DataArray]] = {}
    for group, arrays in data.items():
        there = population.open(group)
        out[group] = {}
        for name, array in arrays.items():
            stored = there[name].variable.isel(network=slice(*shard)).load()
            # A string that is longer than the store has room for is refused when it is written.
            values = stored.values.astype(np.result_type(stored.dtype, array.dtype))
            values[waiting] = array.values
            out[group][name] = xr.DataArray(values, dims=stored.dims, attrs=array.attrs)
    return out


def _only_finished(stage: Stage, group: str, name: str) -> bool:
    """Whether a variable is not known before all networks are; some are only made alike then."""
    path = f"{group}/{name}"
    return path in stage.finish and name not in stage.finish[path][1]


def read_labels(population: Population) -> xr.Dataset:
    """The coordinates that every group with networks has."""
    known = collection.labels(kind_of(population.architecture).name)
    named = dict.fromkeys([*(v.name for v in BASE), *known])
    coordinates = str(population.attrs.get("coordinates", "")).split()
    found = population.variables(named)
    return xr.Dataset(coords={
        name: own for name, own in found.items() if name in coordinates or own.dims == (name,)
    })  # fmt: skip


def lengths(ds: xr.Dataset) -> dict[str, int]:
    """Lengths of the dims of a dataset."""
    return {str(d): int(n) for d, n in ds.sizes.items()}
