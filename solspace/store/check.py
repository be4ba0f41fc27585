"""Whether a store is sound: every fault of every array, a sentence each."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.describe import label_of
from solspace.population.ranking import rank_solutions
from solspace.population.variables import BASE, DONE, FAILED, PENDING, faults, is_label
from solspace.stages import collection
from solspace.stages.record import Stage
from solspace.store import intact, place, replacing
from solspace.store.handle import Population, Store

__all__ = ["check_store"]

BLOCK_BYTES = 1 << 26  # of networks looked at together


@place.one_moment()
def check_store(
    path: str, task: str | None = None, architecture: str | None = None, *, quick: bool = False
) -> list[str]:
    """All faults of a store, a sentence each; an empty list where it is sound.

    Every file is read and held against the digest that was noted when it was written, where there
    is one, and what arrays say against each other. Arrays are read shard by shard, so memory does
    not grow with the population.

    Parameters
    ----------
    path : str
    task, architecture : str, optional
        Only these populations; all by default.
    quick : bool
        Read metadata, statuses and the records of who wrote what, and no arrays: what is missing
        is found, what is changed is not.

    Examples
    --------
    >>> import tempfile
    >>> from solspace.store import Store
    >>> check_store(Store(tempfile.mkdtemp() + "/small.zarr", create=True).path)
    []
    """
    refused: SolspaceError | None = None
    try:
        Store(path)
    except SolspaceError as error:
        refused = error
    try:
        tree, of_metadata = intact.tree_faults(path)
    except Exception as error:
        raise refused or SolspaceError(f"{path}: cannot be read ({intact.reason(error)})") from None
    populations = [
        Population(path, *at.split("/"))
        for at in sorted(tree.nodes)
        if at.count("/") == 1
        and tree.created(at)
        and not at.endswith((replacing.UNFINISHED, replacing.OLD))
    ]
    if refused is not None and not (populations and of_metadata):
        raise refused

    def asked(at: str) -> bool:
        own = at.split("/")
        pairs = zip((task, architecture), own, strict=False)
        return all(wanted in (None, part) for wanted, part in pairs)

    found = [fault.told for fault in of_metadata if not fault.path or asked(fault.path)]
    found += [told for at, told in _populations_aside(path, tree) if asked(at)]
    for population in populations:
        if asked(str(population)):
            found += _check(population, tree, quick)
    return list(dict.fromkeys(found))


def _populations_aside(path: str, tree: intact.Tree) -> Iterator[tuple[str, str]]:
    """Populations that are there under another name only, since adding to them was killed."""
    for task in tree.below(""):
        names = tree.below(task)
        for name in names:
            own = name.removesuffix(replacing.OLD)
            if own != name and own not in names:
                population = Population(path, task, own)
                yield str(population), population.told_aside("population")


def _check(population: Population, tree: intact.Tree, quick: bool) -> Iterator[str]:
    try:
        kind = kind_of(population.architecture).name
    except SolspaceError as error:
        yield f"{population}: {error}"
        return
    yield from intact.run_faults(population, tree)
    changed, vouched = intact.digest_faults(population, tree, quick=quick)
    base = population.group_path("population")
    own = [name for name in tree.below(base) if tree.created(f"{base}/{name}")]
    groups = ["population", *own]
    yield from (fault.told for fault in changed)
    damaged = set()
    if not quick:
        named = {fault.path for fault in changed}
        for group in groups:
            unreadable = intact.array_faults(population, tree, group, vouched, named)
            yield from (fault.told for fault in unreadable if fault.told)
            damaged |= {fault.path for fault in unreadable}
    views = {group: _view(tree, population.group_path(group)) for group in groups}
    opened: dict[str, xr.Dataset] = {}  # once for all that looks at them
    structural = list(_structure_faults(population, tree, kind, views, quick, opened))
    yield from structural
    if quick:
        yield from _status_values(population, tree, views["population"])
    elif not structural:  # values are looked at only where names and shapes can be relied on
        yield from _value_faults(population, kind, groups, damaged, opened)


def _view(tree: intact.Tree, path: str) -> xr.Dataset:
    """A group by its metadata alone: names, dims and types, without any values."""
    variables: dict[str, Any] = {}
    for name in tree.below(path):
        node = tree.nodes.get(f"{path}/{name}")
        if node is None or node.get("node_type") != "array":
            continue
        try:
            dims = tuple(node.get("dimension_names") or ())
            nothing = np.zeros((), _dtype(node["data_type"]))
            variables[name] = xr.Variable(dims, np.broadcast_to(nothing, node["shape"]))
        except (KeyError, TypeError, ValueError):
            continue  # named with its metadata
    return _dataset(variables, tree.nodes[path].get("attributes", {}))


def _dataset(variables: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Of variables whose lengths may be at odds, which is told elsewhere."""
    try:
        return xr.Dataset(variables, attrs=dict(attrs))
    except ValueError:
        fit: dict[str, Any] = {}
        for name, variable in variables.items():
            with contextlib.suppress(ValueError):
                xr.Dataset(fit | {name: variable})
                fit[name] = variable
        return xr.Dataset(fit, attrs=dict(attrs))


def _dtype(told: Any) -> np.dtype[Any]:
    if isinstance(told, str):
        return np.dtype(told)
    return np.dtype(f"U{int(told['configuration']['length_bytes']) // 4}")


def _structure_faults(
    population: Population,
    tree: intact.Tree,
    kind: str,
    views: Mapping[str, xr.Dataset],
    quick: bool,
    opened: dict[str, xr.Dataset],
) -> Iterator[str]:
    """Variables that are missing or of another kind, and groups that are."""
    known = collection.groups(kind)
    aside = population.groups_aside()
    told: set[tuple[str, str]] = set()
    for group in aside:
        yield population.told_aside(group, collection.group_of(group, kind).replace("_", "-"))
    networks = views["population"].sizes.get("network", 0)
    for group, view in views.items():
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
        told |= {(group, name) for name in required if name not in view.variables}
        ds: xr.Dataset = view
        if not quick:
            # Strings may be longer than declared only where their arrays are wider.
            with contextlib.suppress(Exception):
                ds = opened[group] = population.open(group)
        yield from faults(ds, declared.values(), required=required, where=where)
        if "network" in view.sizes and view.sizes["network"] != networks:
            yield f"{where}: {view.sizes['network']} networks, the population has {networks}"
    attrs = views["population"].attrs
    there = set(views["population"].variables)
    named = {"automaton_key", "graph_description"}
    earlier = label_of(attrs) == "automaton_key" and not named & there
    for stage in collection.stages(kind).values():
        try:
            ended = (tree.status(population, stage.name) != PENDING).any()
        except Exception as error:
            if quick:
                path = f"{population.group_path('population')}/{stage.status.name}"
                yield f"{path}: cannot be read ({intact.reason(error)}; file {path}/c)"
            continue
        if not ended:
            continue
        for group in dict.fromkeys(v.group for v in stage.fills):
            present = group not in known or known[group].present(attrs)
            if group not in views and present and group not in aside:
                yield f"{population}: networks have ended {stage}, but there is no {group} group"
                continue
            if group not in views:
                continue
            for name, v in stage.variables(group, population.architecture).items():
                old = name in ("loss_curve", "loss_recorded", "check")  # not in migrated stores
                # Nor, where reduce named the solutions itself, what it has named since.
                old |= earlier and name in named
                missing = name not in views[group].variables
                if missing and not (v.optional or old or (group, name) in told):
                    yield f"{population}: networks have ended {stage}, but {name!r} is missing"


def _value_faults(
    population: Population,
    kind: str,
    groups: list[str],
    damaged: set[str],
    whole: Mapping[str, xr.Dataset],
) -> Iterator[str]:
    """What values say against each other, of arrays that can be read."""
    opened: dict[str, xr.Dataset] = {}
    for group in groups:
        try:
            opened[group] = _without(population, group, damaged, whole)
        except Exception as error:
            yield f"{population.group_path(group)}: cannot be opened ({intact.reason(error)})"
    if "population" not in opened:
        return
    own = opened["population"]
    yield from _guarded(_name_faults(population, opened, kind), population, "names", damaged)
    yield from _guarded(_label_faults(population, own), population, "solutions", damaged)
    looked = {g: ds for g, ds in opened.items() if "network" in ds.dims}
    each = sum(ds.nbytes for ds in looked.values()) // max(population.networks, 1)
    step = max(population.shard_size, BLOCK_BYTES // max(each, 1))
    stages = list(collection.stages(kind).values())
    for start in range(0, population.networks, step):
        block = {"network": slice(start, start + step)}
        parts = {}
        for group, ds in looked.items():
            try:
                parts[group] = ds.isel(block).load()
            except Exception as error:
                yield f"{population.group_path(group)}: cannot be read ({intact.reason(error)})"
        if "population" not in parts:
            continue
        yield from (f"{population}: {fault}" for fault in _check_statuses(parts["population"]))
        for stage in stages:
            if damaged & _paths(stage, population) or not _begun(stage, parts["population"]):
                continue
            for looks in (stage.faults, partial(_empty, stage, population.architecture)):
                if looks is not None:
                    told = (f"{population}: {fault}" for fault in looks(parts))
                    yield from _guarded(told, population, stage.name, damaged)


def _begun(stage: Stage, ds: xr.Dataset) -> bool:
    """Whether the stage has ended for some network: the others have nothing to be looked at."""
    status = stage.status.name
    return status in ds.variables and bool((ds[status].values != PENDING).any())


def _paths(stage: Stage, population: Population) -> set[str]:
    """Arrays that a stage fills, by their paths in the store."""
    return {
        f"{population.group_path(group)}/{name}"
        for group in dict.fromkeys(v.group for v in stage.fills)
        for name in stage.variables(group, population.architecture)
    }


def _without(
    population: Population, group: str, damaged: set[str], whole: Mapping[str, xr.Dataset]
) -> xr.Dataset:
    """A group without the arrays that are damaged."""
    path = population.group_path(group)
    gone = [at.rpartition("/")[2] for at in damaged if at.rpartition("/")[0] == path]
    if not gone:
        return whole[group] if group in whole else population.open(group)
    return xr.open_zarr(
        place.opened(population.path),
        group=path,
        consolidated=False,
        chunks=None,
        drop_variables=gone,
    )


def _guarded(
    found: Iterable[str], population: Population, what: str, damaged: set[str]
) -> Iterator[str]:
    """Faults, also where looking for them fails: of what is damaged that has been said."""
    try:
        yield from found
    except Exception as error:
        if not damaged:
            yield f"{population}: {what} cannot be checked ({intact.reason(error)})"


def _empty(stage: Stage, architecture: str, parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Networks for which a stage is called done, though nothing that it fills was ever written."""
    status = stage.status.name
    if stage.over != "network" or stage.origin or status not in parts["population"].variables:
        return
    ended = parts["population"][status].values == DONE
    nothing = ended.copy()
    looked = False
    for group in dict.fromkeys(v.group for v in stage.fills):
        for name, v in stage.variables(group, architecture).items():
            by_network = v.dims[:1] == ("network",)
            if group not in parts or name not in parts[group].variables or not by_network:
                continue
            looked = True
            values = parts[group][name].values.reshape(len(ended), -1)
            fill = np.asarray(v.fill, dtype=values.dtype)
            same = np.isnan(values) if fill != fill else values == fill
            nothing &= same.all(axis=1)
    if not looked:
        return
    for i in np.flatnonzero(nothing):
        name = parts["population"]["name"].values[i]
        yield f"network {name}: {stage.name} called done, but nothing of it is there"


def _status_values(population: Population, tree: intact.Tree, view: xr.Dataset) -> Iterator[str]:
    """Statuses that are none, by position."""
    for name in [str(n) for n in view.variables if str(n).startswith("status_")]:
        try:
            values = tree.status(population, name.removeprefix("status_"))
        except Exception:
            continue  # named before
        for i in np.flatnonzero(~np.isin(values, (PENDING, DONE, FAILED))):
            yield f"{population}: network {i}: {name} is {values[i]}, allowed are 0, 1, 2"


def _check_statuses(ds: xr.Dataset) -> Iterator[str]:
    names = ds["name"].values if "name" in ds.variables else np.arange(ds.sizes["network"])
    for status in [str(n) for n in ds.data_vars if str(n).startswith("status_")]:
        values = ds[status].values
        for i in np.flatnonzero(~np.isin(values, (PENDING, DONE, FAILED))):
            yield f"network {names[i]}: {status} is {values[i]}, allowed are 0, 1, 2"


def _name_faults(
    population: Population, opened: Mapping[str, xr.Dataset], kind: str
) -> Iterator[str]:
    own = opened["population"]
    if "name" in own.variables:
        names = own["name"].values.tolist()
        counts = Counter(names)
        if len(counts) != len(names):
            twice = sorted(name for name, n in counts.items() if n > 1)
            yield f"{population}: names are not unique: {', '.join(twice)}"
    labels = collection.labels(kind)
    for group, ds in opened.items():
        for coordinate in dict.fromkeys([*(v.name for v in BASE), *labels]):
            if coordinate not in ds.variables or coordinate not in own.variables:
                continue
            if not np.array_equal(ds[coordinate].values, own[coordinate].values):
                maker = collection.labelled_by(coordinate, kind)
                how = (
                    f"; where a run was killed, typing `solspace {maker.replace('_', '-')} "
                    f"{population.path}` again sets that right"
                )
                yield (
                    f"{population}/{group}: {coordinate!r} is not that of the population"
                    f"{how if maker else ''}"
                )


def _label_faults(population: Population, own: xr.Dataset) -> Iterator[str]:
    """In what solutions are at odds with each other."""
    if not {"solution_key", "solution"} <= set(own.variables):
        return
    keys, solution = own["solution_key"].values, own["solution"].values
    of_key: dict[str, set[int]] = {}
    for key, value in zip(keys.tolist(), solution.tolist(), strict=True):
        of_key.setdefault(key, set()).add(value)
    if any(len(values) > 1 for values in of_key.values()):
        yield f"{population}: networks of one solution_key have different solutions"
    of_solution: dict[int, set[str]] = {}
    for key, values in of_key.items():
        for value in values:
            of_solution.setdefault(value, set()).add(key)
    ended = "status_label" in own.variables and (own["status_label"].values != PENDING).all()
    if ended and not np.array_equal(rank_solutions(keys), solution):
        yield (
            f"{population}: solution does not number the solution_keys, most common first; where a "
            f"run was killed, typing `solspace label {population.path}` again sets that right"
        )
    elif twice := sorted(n for n, of in of_solution.items() if len(of) > 1 and n >= 0):
        yield f"{population}: solution {twice[0]} is that of several solution_keys"
