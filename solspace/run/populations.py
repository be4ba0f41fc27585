"""Populations of a store: created, imported, added, packed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.networks import get_architecture
from solspace.population.describe import architecture_of, recipe_of, task_of
from solspace.population.variables import check
from solspace.run.own_tasks import note_sources, with_source
from solspace.run.reading import split_results, written_by_shard
from solspace.run.recordings import add_recordings
from solspace.stages import collection
from solspace.stages.template import wanted
from solspace.store import (
    Population,
    Store,
    creation,
    growing,
    locks,
    place,
    provenance,
    whole_or_nothing,
)
from solspace.store.layout import default_shard_size, network_bytes
from solspace.store.pack import pack_into
from solspace.tasks import Task

__all__ = ["add_population", "create_population", "import_files", "pack"]


def create_population(
    path: str,
    ds: xr.Dataset,
    *,
    shard_size: int | None = None,
    verb: str = "train",
    shared: bool = False,
) -> Population:
    """The population of this description in a store: created now, or found there half done.

    Parameters
    ----------
    path : str
        The store; made where there is none.
    ds : Dataset
        From `solspace.new_population`.
    shard_size : int, optional
    verb : str
        Named to another process that wants to write meanwhile.
    shared : bool
        Other processes may write slices meanwhile.

    Raises
    ------
    SolspaceError
        Where the store already has another population of this task and architecture.
    """
    task, architecture = task_of(ds).name, architecture_of(ds)
    kind = kind_of(architecture)
    if shard_size is not None and shard_size < 1:
        raise SolspaceError(f"shards of {shard_size} networks; give 1 or more")
    locks.check_places(path)
    store = Store(path, create=True)
    with store.lock(verb, shared=shared), locks.briefly(path):
        found = store.populations(task, architecture)
        if found:
            _check_same(found[0], ds, path)
            note_sources(found[:1])
            return found[0]
        train = collection.find("train", kind.name)
        layout_of = train.layout(task_of(ds), ds, {}) if train.layout else {}
        own = layout_of.get("population")
        if own is not None:
            ds = ds.assign_coords(own.coordinates.coords)
        variables = _first_variables(kind.name, architecture)
        size = shard_size or _shard_size(ds, ds.sizes["network"], variables)
        ds = with_source(ds, task)
        population = creation.create_population(store, ds, variables, {}, shard_size=size)
        store.consolidate()
        return population


def _shard_size(ds: xr.Dataset, networks: int, first: list[Any]) -> int:
    """Networks in a shard of a population of so many like those of a dataset."""
    architecture = architecture_of(ds)
    each = _largest(kind_of(architecture).name, architecture, ds, first)
    return default_shard_size(networks, each, get_architecture(architecture).batch)


def _first_variables(kind: str, architecture: str) -> list[Any]:
    """What a population has from the beginning: what is trained, and every stage's status."""
    train = collection.find("train", kind)
    out = list(train.variables("population", architecture).values())
    for stage in collection.stages(kind).values():
        if stage.by_default:
            out += [stage.status, stage.message]
    return out


def _goes_through(task: Task, stage: Any) -> bool:
    """Whether a task says what a stage needs; one that does not lays nothing."""
    try:
        if stage.check is not None:
            stage.check(task)
    except SolspaceError:
        return False
    return True


def _largest(kind: str, architecture: str, ds: xr.Dataset, first: list[Any]) -> int:
    """Bytes of one network in the largest array that it will have, such as its activity."""
    here = {str(d): int(n) for d, n in ds.sizes.items()}
    found = [network_bytes(first, here)]
    for stage in collection.stages(kind).values():
        if not stage.by_default or stage.layout is None or set(stage.reads) != {"population"}:
            continue
        if not _goes_through(task_of(ds), stage):
            continue
        for group, its_layout in stage.layout(task_of(ds), ds, {}).items():
            sizes = {str(d): int(n) for d, n in its_layout.coordinates.sizes.items()}
            variables = wanted(stage, architecture, {group: its_layout}, group)
            found.append(network_bytes(variables, here | sizes | dict(its_layout.sizes)))
    return max(found)


def _check_same(population: Population, ds: xr.Dataset, path: str) -> None:
    have = population.open()
    differ = [
        f"{what} {_short(old)} stored, {_short(new)} given"
        for what, old, new in (
            ("networks:", have.sizes["network"], ds.sizes["network"]),
            ("hidden sizes:", have.hidden_size.values, ds.hidden_size.values),
            ("seeds:", have.seed.values, ds.seed.values),
            *_recipe_differences(have, ds),
            ("checkpoints:", have.attrs.get("checkpoints", 0), ds.attrs.get("checkpoints", 0)),
            *(
                (f"{p.name}:", have[p.name].values, ds[p.name].values)
                for p in get_architecture(architecture_of(ds)).given
            ),
        )
        if not _same(np.asarray(old), np.asarray(new))
    ]
    if differ:
        raise SolspaceError(
            f"{path}: already has another population {population} ({'; '.join(differ)}); give "
            "the options it was begun with to go on with it, or another store"
        )


def _recipe_differences(have: xr.Dataset, ds: xr.Dataset) -> Iterator[tuple[str, Any, Any]]:
    """Numbers of the recipe: those of an older store may lack some, which are the defaults."""
    if "recipe" not in have.attrs or "recipe" not in ds.attrs:
        yield ("recipe:", have.attrs.get("recipe"), ds.attrs.get("recipe"))
        return
    old, new = recipe_of(have), recipe_of(ds)
    for field in dataclasses.fields(old):
        values = getattr(old, field.name), getattr(new, field.name)
        if values[0] != values[1]:
            yield (f"recipe {field.name}:", *values)


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    nan = one.dtype.kind == other.dtype.kind == "f"  # past a network's size
    return np.array_equal(one, other, equal_nan=nan)


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, np.ndarray) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def add_population(path: str, ds: xr.Dataset, *, shard_size: int | None = None) -> Population:
    """Write a population that is already trained, such as an imported one, into a store.

    Where the store has imported networks of this task and architecture, these come after them:
    nothing of theirs is touched, and every stage is pending for the new ones (for all networks,
    where a result depends on all of them, as a classification does).

    Parameters
    ----------
    path : str
        The store; made where there is none.
    ds : Dataset
        From `solspace.import_networks`, or of one's own with its variables; or recordings, of
        `solspace.recording_from_nwb` and the like.
    shard_size : int, optional

    Raises
    ------
    SolspaceError
        Where the dataset is no population. Where the store has networks of this task and
        architecture that were trained there, which their seeds and recipe tell; or of the same
        names.
    """
    task, architecture = task_of(ds).name, architecture_of(ds)
    kind = kind_of(architecture)
    if kind.name == "recorded":
        return add_recordings(path, ds)
    needed = [*kind.weights, "loss", "status_train"]
    declared = collection.declared("population", architecture)
    check(ds, "population", declared.values(), required=needed)
    locks.check_places(path)
    store = Store(path, create=True)
    with store.lock("import"):
        found = store.populations(task, architecture)
        if found and not found[0].pending("train"):
            if not provenance.ended(found[0], "import") and _are_there(found[0], ds):
                # Killed when all was written, and typed again.
                with provenance.noted(found[0], "import"):
                    pass
                store.consolidate()
                return found[0]
            return _add_networks(store, found[0], ds, shard_size)
    train = collection.find("train", kind.name)
    if train.message.name not in ds.variables:  # packed stores leave out what is all empty
        none = np.full(ds.sizes["network"], "", "U1")
        ds = ds.assign({train.message.name: ("network", none)})
    coordinates = ds.drop_vars(list(ds.data_vars))
    population = create_population(path, coordinates, shard_size=shard_size, verb="import")
    with store.lock("import"), provenance.noted(population, "import") as run:
        pending = population.pending("train")
        population.take("train", pending, written_by_shard(population, train), run)
        for shard in pending:
            part = ds.isel(network=slice(shard.start, shard.stop))
            results = split_results(part, train, population)
            population.write_shard(shard, "train", results, token=run)
    return population


def _are_there(population: Population, ds: xr.Dataset) -> bool:
    """Whether these very networks are all that a population has."""
    have = population.open()
    names = ["name", "hidden_size", *kind_of(population.architecture).weights]
    return all(n in have and n in ds and _same(have[n].values, ds[n].values) for n in names)


def _add_networks(
    store: Store, population: Population, ds: xr.Dataset, shard_size: int | None
) -> Population:
    """Further networks of an imported population; the caller holds the store."""
    have = population.open()
    if have.attrs.get("origin") != "imported" or ds.attrs.get("origin") != "imported":
        raise SolspaceError(
            f"{population.path}: already has a population {population} of {population.networks} "
            "networks that were trained and not imported: their seeds and recipe say what they "
            "are, and imported ones have none; import into another store (docs/xarray.md joins "
            "populations)"
        )
    if shard_size is not None:
        raise SolspaceError(
            f"{population.path}: {population} has shards of {population.shard_size} networks "
            "already; leave --shard-size out where networks are added"
        )
    names = set(map(str, have["name"].values))
    if twice := [str(n) for n in ds["name"].values if str(n) in names]:
        raise SolspaceError(
            f"{population.path}: {population} has networks named {', '.join(twice[:20])} already; "
            "rename what is imported (a network is named after its file, or its folder where "
            "the file is called weights.pt)"
        )
    again = collection.over_all(kind_of(population.architecture).name)
    known = {g: collection.declared(g, population.architecture) for g in population.groups()}
    # More networks, larger shards: files do not grow with how often networks were added.
    networks = population.networks + ds.sizes["network"]
    first = _first_variables(kind_of(population.architecture).name, population.architecture)
    largest = max((have, ds), key=lambda one: one.sizes.get("unit", 0))
    size = max(population.shard_size, _shard_size(largest, networks, first))
    most = "largest_output_difference"  # of all networks, or of none
    checked = [float(d.attrs[most]) for d in (have, ds) if most in d.attrs]
    with locks.briefly(population.path):
        growing.grow(
            population,
            ds,
            lambda group, name: known[group].get(name),
            [stage.status.name for stage in again],
            {
                most: max(checked) if len(checked) == 2 else None,
                "provenance": provenance.with_entry(population.attrs, "import"),
            },
            shard_size=size,
        )
    store.consolidate()
    return population


@dataclasses.dataclass(frozen=True)
class Imported:
    """What an import put into a store.

    Attributes
    ----------
    population : Population
    first : int
        Position of the first network of this import.
    difference : float or None
        The largest from the outputs that it was checked against.
    """

    population: Population
    first: int
    difference: float | None


def import_files(
    path: str,
    files: Sequence[str],
    task: str,
    architecture: str,
    *,
    shard_size: int | None = None,
    **options: Any,
) -> Imported:
    """Import networks from files into a store; nothing is written where one is bad.

    Options are those of `solspace.import_networks`.
    """
    from solspace.population import read_networks

    ds = read_networks(files, task, architecture, **options)
    population = add_population(path, ds, shard_size=shard_size)
    first = population.networks - ds.sizes["network"]
    return Imported(population, first, ds.attrs.get("largest_output_difference"))


def pack(
    sources: Sequence[str],
    destination: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
    force: bool = False,
) -> list[Population]:
    """Copy populations into a new, small store, without what can be computed again quickly.

    The groups training and extrapolation are left out, and ``record`` and ``extrapolate`` are
    pending in the copy: run there, they bring them back, on one machine to the last bit. Everything
    else is kept: weights before and after training, final losses, features, graphs, labels,
    checkpoints, provenance.

    Parameters
    ----------
    sources : sequence of str
        Stores.
    destination : str
        The new store. It is whole or not there.
    task, architecture : str, optional
        Only these populations; all by default.
    force : bool
        Delete ``DESTINATION.unfinished``, where the copy is made, also where it is no copy that
        was interrupted.

    Returns
    -------
    list of Population
        Those of the new store.

    Raises
    ------
    SolspaceError
        Where the destination is there already, two sources hold the same population, a population
        is not trained yet, or another process is writing one of the stores.

    Examples
    --------
    >>> pack(["nowhere.zarr"], "small.zarr")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    left_out = ("training", "extrapolation")
    stores = [Store(path) for path in sources]
    with ExitStack() as held:
        remote = [store for store in stores if place.is_remote(store.path)]
        for store in remote:
            held.enter_context(locks.while_nobody_writes(store.path, "pack"))
        local = [store for store in stores if store not in remote]
        for store in {os.path.realpath(store.path): store for store in local}.values():
            held.enter_context(store.lock("pack"))
        found: dict[str, Population] = {}
        for path, store in zip(sources, stores, strict=True):
            for population in store.select(task, architecture):
                if str(population) in found:
                    raise SolspaceError(
                        f"{found[str(population)].path} and {path} both hold {population}; give "
                        "one of them, or choose with --task and --architecture"
                    )
                trained = "train" in collection.stages(kind_of(population.architecture).name)
                waiting = len(population.pending("train")) if trained else 0
                if waiting:
                    raise SolspaceError(
                        f"{path}: {population} is not trained yet ({waiting} shards are pending); "
                        f"type `solspace train {path}` first"
                    )
                found[str(population)] = population
        with whole_or_nothing(destination, "pack", force=force) as new:
            for population in found.values():
                copy = pack_into(population, new, left_out)
                with provenance.noted(copy, "pack"):
                    pass
    return Store(destination).populations()
