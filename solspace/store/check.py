"""Whether a store is sound: every fault of every array, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.describe import label_of
from solspace.population.variables import BASE, DONE, FAILED, PENDING, faults, is_label
from solspace.stages import collection
from solspace.store import place
from solspace.store.handle import Population, Store

__all__ = ["check_store"]

BLOCK_BYTES = 1 << 26  # of networks looked at together


@place.one_moment()
def check_store(path: str, task: str | None = None, architecture: str | None = None) -> list[str]:
    """All faults of a store on disk, a sentence each; an empty list where it is sound.

    Arrays are read shard by shard, so memory does not grow with the population.

    Examples
    --------
    >>> import tempfile
    >>> from solspace.store import Store
    >>> check_store(Store(tempfile.mkdtemp() + "/small.zarr", create=True).path)
    []
    """
    populations = Store(path).populations(task, architecture)
    return [fault for population in populations for fault in _check(population)]


def _check(population: Population) -> Iterator[str]:
    try:
        kind = kind_of(population.architecture).name
    except SolspaceError as error:
        yield f"{population}: {error}"
        return
    groups = population.groups()
    known = collection.groups(kind)
    sound = True
    aside = population.groups_aside()
    told: set[tuple[str, str]] = set()
    for group in aside:
        sound = False
        yield population.told_aside(group, collection.group_of(group, kind).replace("_", "-"))
    for group in groups:
        ds = population.open(group)
        where = str(population) if group == "population" else f"{population}/{group}"
        declared = collection.declared(group, population.architecture)
        # What a stage fills comes when it is run; the rest was there from the beginning.
        required = [v.name for v in BASE if not is_label(v)]
        if group != "population" and group in known:
            maker = collection.find(collection.group_of(group, kind), kind)
            required += [
                n
                for n, v in maker.variables(group, population.architecture).items()
                if not v.optional
            ]
        found = faults(ds, declared.values(), required=required, where=where)
        sound = sound and not found
        told |= {(group, name) for name in required if name not in ds.variables}
        yield from found
        if "network" in ds.sizes and ds.sizes["network"] != population.networks:
            sound = False
            yield (
                f"{where}: {ds.sizes['network']} networks, the population has {population.networks}"
            )
    attrs = population.attrs
    named = {"automaton_key", "graph_description"}
    earlier = label_of(attrs) == "automaton_key" and not named & set(population.open().variables)
    for stage in collection.stages(kind).values():
        ended = (population.status(stage.name) != PENDING).any()
        if not ended:
            continue
        for group in dict.fromkeys(v.group for v in stage.fills):
            present = group not in known or known[group].present(attrs)
            if group not in groups and present and group not in aside:
                sound = False
                yield f"{population}: networks have ended {stage}, but there is no {group} group"
                continue
            if group not in groups:
                continue
            there = population.open(group).variables
            for name, v in stage.variables(group, population.architecture).items():
                old = name in ("loss_curve", "loss_recorded", "check")  # not in migrated stores
                # Nor, where reduce named the solutions itself, what it has named since.
                old |= earlier and name in named
                if name not in there and not (v.optional or old or (group, name) in told):
                    sound = False
                    yield f"{population}: networks have ended {stage}, but {name!r} is missing"
    if sound:  # values are looked at only where names and shapes can be relied on
        yield from _check_names(population, groups)
        own = [s for s in collection.stages(kind).values() if s.faults is not None]
        opened = {g: ds for g in groups if "network" in (ds := population.open(g)).dims}
        each = sum(ds.nbytes for ds in opened.values()) // max(population.networks, 1)
        step = max(population.shard_size, BLOCK_BYTES // max(each, 1))
        for start in range(0, population.networks, step):
            block = {"network": slice(start, start + step)}
            parts = {group: ds.isel(block).load() for group, ds in opened.items()}
            yield from (f"{population}: {fault}" for fault in _check_statuses(parts["population"]))
            for stage in own:
                assert stage.faults is not None
                yield from (f"{population}: {fault}" for fault in stage.faults(parts))


def _check_statuses(ds: xr.Dataset) -> Iterator[str]:
    names = ds["name"].values
    for status in [str(n) for n in ds.data_vars if str(n).startswith("status_")]:
        values = ds[status].values
        for i in np.flatnonzero(~np.isin(values, (PENDING, DONE, FAILED))):
            yield f"network {names[i]}: {status} is {values[i]}, allowed are 0, 1, 2"


def _check_names(population: Population, groups: list[str]) -> Iterator[str]:
    own = population.open()
    names = own["name"].values.tolist()
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        yield f"{population}: names are not unique: {', '.join(twice)}"
    for group in groups:
        ds = population.open(group)
        labels = collection.labels(kind_of(population.architecture).name)
        for coordinate in dict.fromkeys([*(v.name for v in BASE), *labels]):
            if coordinate not in ds.variables or coordinate not in own.variables:
                continue
            if not np.array_equal(ds[coordinate].values, own[coordinate].values):
                yield f"{population}/{group}: {coordinate!r} is not that of the population"
    if "solution_key" not in own.variables:
        return
    keys, solution = own["solution_key"].values, own["solution"].values
    of_key: dict[str, set[int]] = {}
    for key, value in zip(keys.tolist(), solution.tolist(), strict=True):
        of_key.setdefault(key, set()).add(value)
    if any(len(values) > 1 for values in of_key.values()):
        yield f"{population}: networks of one solution_key have different solutions"
