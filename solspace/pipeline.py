"""Stages over a store: which groups each reads and fills, and the loop over shards.

A stage is a function from Dataset to Dataset. Here it meets the store: its groups are laid as
templates, each shard of networks that is still pending is read, computed and written by one
writer, and its status is noted after its data, so that a run killed at any moment ends the same
when it is started again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace import compute, locks, schema
from solspace.errors import SolspaceError
from solspace.kinds import kind_of, load
from solspace.locks import Slice
from solspace.networks import (
    Architecture,
    get_architecture,
    own_architecture,
    register_architecture,
)
from solspace.population import failures_told_elsewhere, read_networks
from solspace.store import Population, Shard, Store, whole_or_nothing
from solspace.tasks import Task, get_task, register_task

__all__ = [
    "PIPELINE",
    "Outcome",
    "Stage",
    "add_population",
    "create_population",
    "default_shard_size",
    "import_files",
    "pack",
    "run_stage",
]


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    Attributes
    ----------
    name : str
        Also the command and the suffix of its status variable.
    function : str
        ``module:function``, imported when used; Dataset -> Dataset.
    reads : str
        The group it takes.
    fills : tuple of str
        Groups it writes to.
    after : tuple of str
        Stages that have to have ended before.
    room : str or None
        ``module:function`` of its options, two values: lengths of dims of its groups that the
        dataset laid first does not have, by name, and the optional variables it fills.
    also_reads : tuple of str
        Further groups it takes, merged with the first.
    coordinates : str or None
        ``module:function`` of the task, a Dataset: coordinates it adds to the population.
    prepared : mapping of str to str
        Options of its function that are made once from the whole population, lazily read, each
        by a ``module:function``.
    at_end : mapping of str to str
        Variables, as ``group/name``, that are computed over all networks once every shard is
        there, each by a ``module:function``; one shard alone does not know them.
    optional : tuple of str
        Groups it fills, from what earlier stages left there, in populations that are to have them.
    """

    name: str
    function: str
    reads: str
    fills: tuple[str, ...]
    after: tuple[str, ...]
    room: str | None = None
    also_reads: tuple[str, ...] = ()
    coordinates: str | None = None
    prepared: Mapping[str, str] = field(default_factory=dict)
    at_end: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    def groups(self, population: Population) -> tuple[str, ...]:
        """Groups it fills in this population."""
        if not kind_of(population.architecture).graph:
            return tuple(group for group in self.fills if group != "graph")
        return self.fills + (self.optional if population.attrs.get("checkpoints") else ())


PIPELINE = {
    stage.name: stage
    for stage in (
        Stage(
            "train",
            "solspace.training.stage:train",
            "population",
            ("population",),
            (),
            optional=("learning",),
        ),
        Stage("record", "solspace.simulation:record", "population", ("training",), ("train",)),
        Stage(
            "extrapolate",
            "solspace.simulation:extrapolate",
            "population",
            ("extrapolation",),
            ("train",),
        ),
        Stage(
            "reduce",
            "solspace.reduction.stage:reduce",
            "population",
            ("population", "graph"),
            ("train",),
            room="solspace.reduction.stage:room",
            at_end={
                "population/solution": "solspace.reduction.stage:solutions",
                "learning/solution": "solspace.reduction.stage:checkpoint_solutions",
            },
            optional=("learning",),
        ),
        Stage(
            "verify",
            "solspace.verification_stage:verify",
            "population",
            ("population",),
            ("reduce",),
            also_reads=("graph",),
            prepared={"others": "solspace.verification_stage:draw_others"},
        ),
        Stage(
            "features",
            "solspace.features:extract_features",
            "training",
            ("population",),
            ("record",),
            coordinates="solspace.features:feature_coordinate",
        ),
    )
}


@dataclass(frozen=True)
class Outcome:
    """How a stage ended in one population: networks done and failed, of how many, how many now.

    ``computed`` counts the networks of the shards that were computed in this run.
    """

    population: Population
    stage: str
    done: int
    failed: int
    networks: int
    computed: int


# --------------------------------------------------------------------------- populations


def default_shard_size(networks: int, architecture: str = "vanilla") -> int:
    """Networks in one shard: few enough to share the work out, many enough for few files.

    Examples
    --------
    >>> [default_shard_size(n) for n in (8, 16, 400, 10_000)]
    [1, 1, 8, 8]
    >>> [default_shard_size(n, "planar") for n in (16, 400, 10_000)]
    [16, 50, 1250]
    """
    count, least, most = get_architecture(architecture).shards
    return int(np.clip(networks // count, least, most))


def create_population(
    path: str,
    ds: xr.Dataset,
    *,
    shard_size: int | None = None,
    verb: str = "train",
    shared: bool = False,
) -> Population:
    """The population of this description in a store: laid now, or found there half done.

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
    task, architecture = ds.attrs["task"], ds.attrs["architecture"]
    if shard_size is not None and shard_size < 1:
        raise SolspaceError(f"shards of {shard_size} networks; give 1 or more")
    store = Store(path, create=True)
    with store.lock(verb, shared=shared), locks.briefly(path):
        found = store.populations(task, architecture)
        if found:
            _check_same(found[0], ds, path)
            return found[0]
        size = shard_size or default_shard_size(ds.sizes["network"], architecture)
        return store.lay_population(ds, shard_size=size, task=task, architecture=architecture)


def _check_same(population: Population, ds: xr.Dataset, path: str) -> None:
    have = population.open()
    differ = [
        f"{what} {_short(old)} stored, {_short(new)} given"
        for what, old, new in (
            ("networks:", have.sizes["network"], ds.sizes["network"]),
            ("hidden sizes:", have.hidden_size.values, ds.hidden_size.values),
            ("seeds:", have.seed.values, ds.seed.values),
            ("recipe:", have.attrs.get("recipe"), ds.attrs.get("recipe")),
            ("checkpoints:", have.attrs.get("checkpoints", 0), ds.attrs.get("checkpoints", 0)),
            *(
                (f"{p.name}:", have[p.name].values, ds[p.name].values)
                for p in get_architecture(ds.attrs["architecture"]).given
            ),
        )
        if not _same(np.asarray(old), np.asarray(new))
    ]
    if differ:
        raise SolspaceError(
            f"{path}: already has another population {population} ({'; '.join(differ)}); give "
            "the options it was begun with to go on with it, or another store"
        )


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    nan = one.dtype.kind == other.dtype.kind == "f"  # past a network's size
    return np.array_equal(one, other, equal_nan=nan)


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, np.ndarray) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def add_population(path: str, ds: xr.Dataset, *, shard_size: int | None = None) -> Population:
    """Write a population that is already trained, such as an imported one, into a store.

    Parameters
    ----------
    path : str
        The store; made where there is none.
    ds : Dataset
        From `solspace.import_networks`, or of one's own with its variables.
    shard_size : int, optional

    Raises
    ------
    SolspaceError
        Where the dataset is no population, or the store has one of this task and architecture.
    """
    task, architecture = ds.attrs["task"], ds.attrs["architecture"]
    needed = [*kind_of(architecture).weights, "loss", "status_train"]
    schema.check(ds, "population", required=needed)
    store = Store(path, create=True)
    found = store.populations(task, architecture)
    if found and not found[0].pending("train"):
        raise SolspaceError(
            f"{path}: already has a population {found[0]} of {found[0].networks} networks; "
            "import into another store"
        )
    coordinates = ds.drop_vars(list(ds.data_vars))
    population = create_population(path, coordinates, shard_size=shard_size, verb="import")
    with store.lock("import"), population.provenance("import"):
        for shard in population.pending("train"):
            part = ds.isel(network=slice(shard.start, shard.stop))
            population.write_shard(shard, "train", _split(part, PIPELINE["train"], architecture))
    store.consolidate()
    return population


def import_files(
    path: str,
    files: Sequence[str],
    task: str,
    architecture: str,
    *,
    shard_size: int | None = None,
    **options: Any,
) -> Population:
    """Import torch state dicts from files into a store; nothing is written where one is bad.

    Options are those of `solspace.import_networks`.
    """
    ds = read_networks(files, task, architecture, **options)
    return add_population(path, ds, shard_size=shard_size)


def pack(
    sources: Sequence[str],
    destination: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
) -> list[Population]:
    """Copy populations into a new, small store, without what can be computed again quickly.

    The groups training and extrapolation are left out, and ``record`` and ``extrapolate`` are
    pending in the copy: run there, they bring them back to the last bit. Everything else is kept:
    weights before and after training, losses, features, graphs, labels, checkpoints, provenance.

    Parameters
    ----------
    sources : sequence of str
        Stores.
    destination : str
        The new store. It is whole or not there.
    task, architecture : str, optional
        Only these populations; all by default.

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
    left_out = [g for stage in ("record", "extrapolate") for g in PIPELINE[stage].fills]
    stores = [Store(path) for path in sources]
    with ExitStack() as held:
        for store in {os.path.abspath(store.path): store for store in stores}.values():
            held.enter_context(store.lock("pack"))
        found: dict[str, Population] = {}
        for path, store in zip(sources, stores, strict=True):
            for population in store.select(task, architecture):
                if str(population) in found:
                    raise SolspaceError(
                        f"{found[str(population)].path} and {path} both hold {population}; give "
                        "one of them, or choose with --task and --architecture"
                    )
                waiting = len(population.pending("train"))
                if waiting:
                    raise SolspaceError(
                        f"{path}: {population} is not trained yet ({waiting} shards are pending); "
                        f"type `solspace train {path}` first"
                    )
                found[str(population)] = population
        with whole_or_nothing(destination, "pack") as new:
            for population in found.values():
                copy = population.pack_into(new, left_out)
                with copy.provenance("pack"):
                    pass
    return Store(destination).populations()


# --------------------------------------------------------------------------- the loop over shards


def run_stage(
    path: str,
    stage: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    options: Mapping[str, Any] | None = None,
    redo: bool = False,
    part: str | None = None,
    progress: bool = False,
) -> list[Outcome]:
    """Run one stage on every network of a store for which it has not ended.

    Parameters
    ----------
    path : str
    stage : str
        A key of `PIPELINE`.
    task, architecture : str, optional
        Only these populations; all of the store by default.
    workers : int, optional
        Processes of a local dask cluster; by default threads of this process.
    scheduler : str, optional
        Address of a dask scheduler to send the shards to.
    options : mapping, optional
        Passed to the stage's function.
    redo : bool
        Call all networks pending first, to compute them again, such as with other options.
    part : str, optional
        ``K/N``: only the K-th of N consecutive runs of shards of each population, while other
        processes may compute the others.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    list of Outcome
        One for each population.

    Raises
    ------
    SolspaceError
        Where there are no networks, an earlier stage is missing, or another process is writing.
    """
    described = PIPELINE[stage]
    compute.check_where(workers, scheduler)
    only = None if part is None else Slice.parse(part)
    if only and redo:
        raise SolspaceError(
            f"--redo calls all of {stage} pending, which other slices may be computing; give it "
            "without --slice"
        )
    store = Store(path)
    verb = stage if only is None else f"{stage} --slice {only}"
    with ExitStack() as held:
        held.enter_context(store.lock(verb, shared=only is not None))
        with locks.briefly(path):
            populations = _with_stage(store.select(task, architecture), stage, path)
            if stage in ("reduce", "verify"):
                from solspace.reduction import check_one_output

                for population in populations:
                    if kind_of(population.architecture).graph:
                        check_one_output(population.task)
            shards = [(only or Slice(1, 1)).part(p.shards()) for p in populations]
            for population, own in zip(populations, shards, strict=True):
                # A stage that looks at the whole population first needs all of it.
                needs = population.shards() if described.prepared else own
                if redo or set(own) & set(population.pending(stage)):
                    _check_ready(population, described, path, needs)
                if only is not None:
                    held.enter_context(population.claim(stage, own, verb))
        if redo:
            for population in populations:
                _call_pending(population, stage)
        where = {"workers": workers, "scheduler": scheduler}
        if only is not None:
            where["slice"] = str(only)
        outcomes = [
            _run_population(population, described, own, where, dict(options or {}), progress)
            for population, own in zip(populations, shards, strict=True)
        ]
        store.consolidate()
    return outcomes


def _with_stage(populations: list[Population], stage: str, path: str) -> list[Population]:
    """Those whose architecture has the stage, or an error where none has."""
    found = [p for p in populations if stage in kind_of(p.architecture).stages]
    if not found:
        first = populations[0]
        raise SolspaceError(
            f"{path}: {stage} makes no sense for {', '.join(map(str, populations))}: there are "
            f"no trials and no graph; stages of {first.architecture} networks: "
            f"{', '.join(kind_of(first.architecture).stages)}"
        )
    return found


def _check_ready(population: Population, stage: Stage, path: str, shards: Sequence[Shard]) -> None:
    if not shards:
        return
    own = slice(shards[0].start, shards[-1].stop)
    for earlier in stage.after:
        status = population.status(earlier)[own]
        waiting = int((status == schema.PENDING).sum())
        if waiting:
            raise SolspaceError(
                f"{path}: {stage.name} needs {earlier} to have ended, and {waiting} of "
                f"{len(status)} networks of {population} are pending; type "
                f"`solspace {earlier} {path}` first"
            )


def _run_population(
    population: Population,
    stage: Stage,
    shards: Sequence[Shard],
    where: Mapping[str, Any],
    options: dict[str, Any],
    progress: bool,
) -> Outcome:
    task = get_task(population.task)
    waiting = set(population.pending(stage.name))
    pending = [shard for shard in shards if shard in waiting]
    computed = sum(shard.stop - shard.start for shard in pending)
    if pending:
        workers, scheduler = where["workers"], where["scheduler"]
        with ExitStack() as noted:
            with population.briefly():
                _check_same_options(population, stage, options)
                _lay(population, stage, task, options)
                noted.enter_context(population.provenance(stage.name, options, where))
            whole = population.open()
            prepared = {name: load(make)(whole) for name, make in stage.prepared.items()}
            bar = noted.enter_context(_bar(population, stage, computed, progress))
            local = workers is None and scheduler is None
            function = partial(
                _run_shard,
                population,
                stage.name,
                None if local else (task, own_architecture(population.architecture)),
                options | prepared,
                bar.update if local else None,
            )
            for shard, _ in compute.map_unordered(
                function, pending, workers=workers, scheduler=scheduler
            ):
                if not local:
                    bar.update(shard.stop - shard.start)
    _finish(population, stage)
    status = population.status(stage.name)
    return Outcome(
        population=population,
        stage=stage.name,
        done=int((status == schema.DONE).sum()),
        failed=int((status == schema.FAILED).sum()),
        networks=len(status),
        computed=computed,
    )


def _call_pending(population: Population, stage: str) -> None:
    """Call a stage pending for all networks, and first the stages that took what it made."""
    for later in PIPELINE.values():
        if stage in later.after and (population.status(later.name) != schema.PENDING).any():
            _call_pending(population, later.name)
    if (population.status(stage) != schema.PENDING).any():
        nothing = np.full(population.networks, schema.PENDING, np.uint8)
        population.write_all(f"status_{stage}", nothing)


def _check_same_options(population: Population, stage: Stage, options: dict[str, Any]) -> None:
    """Networks of one population are not computed in two ways."""
    alone = population.claimed(stage.name) <= 1
    if alone and (population.status(stage.name) == schema.PENDING).all():
        return
    before = population.last_options(stage.name)
    if before is not None and before != options:
        said = " ".join(f"--{k} {v}" for k, v in before.items()) or "no options"
        raise SolspaceError(
            f"{population.path}: {stage.name} of {population} was begun with {said}; give the "
            "same to go on, or --redo to compute all of it again"
        )


def _run_shard(
    population: Population,
    stage_name: str,
    own: tuple[Task, Architecture | None] | None,
    options: dict[str, Any],
    report: Callable[[int], Any] | None,
    shard: Shard,
) -> None:
    """Read, compute and write one shard; runs in a thread here or in a worker elsewhere."""
    stage = PIPELINE[stage_name]
    if own is not None:
        # A worker knows only the tasks and architectures of the package.
        register_task(own[0], check=False)
        if own[1] is not None:
            register_architecture(own[1], check=False)
        _one_thread()
    ds = _read(population, stage, shard)
    extra = {"stop": compute.stopping} if stage.name == "train" else {}
    with failures_told_elsewhere():
        out = load(stage.function)(ds, progress=report, **options, **extra)
    if compute.stopping() and own is None:
        raise KeyboardInterrupt
    population.write_shard(shard, stage.name, _split(out, stage, population.architecture))


def _read(population: Population, stage: Stage, shard: Shard) -> xr.Dataset:
    declared = schema.variables(stage.reads, population.architecture)
    there = population.open(stage.reads)
    # Only what the stage could need: no result of a later stage, and for training no weights.
    earlier = {None, *stage.after, "train"} - {stage.name}
    names = [
        n
        for n, v in declared.items()
        if n in there.variables and v.stage in earlier and not n.startswith("initial_")
    ]
    names += [str(n) for n in there.variables if n not in declared]
    ds = population.read(stage.reads, shard, names)
    for group in stage.also_reads:
        more = population.read(group, shard)
        ds = ds.assign({n: more[n] for n in more.data_vars})
    for group in stage.groups(population):
        if group in stage.optional:
            made = [n for n, v in schema.variables(group).items() if v.stage in stage.after]
            if made:
                ds = ds.assign(_prefixed(population.read(group, shard, made), group, made))
    if stage.reads != "population":
        status = [f"status_{earlier}" for earlier in stage.after]
        own = population.read("population", shard, [*status, "hidden_size"])
        ds = ds.assign({name: own[name] for name in status})
        ds = ds.assign_coords(hidden_size=own["hidden_size"])
        ds.attrs |= {"task": population.task, "architecture": population.architecture}
    return ds


def _prefixed(ds: xr.Dataset, group: str, names: Sequence[str]) -> dict[str, xr.DataArray]:
    """Variables of a group by their names in one dataset with the population's."""
    return {schema.prefix(group) + name: ds[name] for name in names}


def _split(ds: xr.Dataset, stage: Stage, architecture: str) -> dict[str, dict[str, xr.DataArray]]:
    """What a stage computed, by the group each variable belongs to."""
    out: dict[str, dict[str, xr.DataArray]] = {}
    for group in {*stage.fills, *stage.optional, "population"}:
        prefix = schema.prefix(group)
        found = {
            name: ds[prefix + name]
            for name, variable in schema.variables(group, architecture).items()
            if prefix + name in ds.variables
            and variable.stage == stage.name
            and not variable.coordinate
            and f"{group}/{name}" not in stage.at_end
        }
        if found or group == "population":
            out[group] = found
    for name in (f"message_{stage.name}", f"status_{stage.name}"):
        out["population"][name] = ds[name]
    return out


def _lay(population: Population, stage: Stage, task: Task, options: Mapping[str, Any]) -> None:
    """Lay the groups a stage fills, where they are not there yet."""
    from solspace.simulation import trials_dataset

    # There since the population was laid, but for dims and stages that it did not know yet.
    added = load(stage.coordinates)(task) if stage.coordinates else xr.Dataset()
    if outdated := population.outdated(added):
        if (population.status(stage.name) != schema.PENDING).any():
            raise SolspaceError(
                f"{population.path}: {stage.name} of {population} was begun with another "
                f"{outdated[0]} coordinate, by another version or with features of your own; "
                "give --redo to compute all of it again"
            )
        population.remove_dims(outdated)
    known = {"network", *added.dims}
    declared = schema.variables("population", population.architecture)
    own = [n for n, v in declared.items() if v.stage == stage.name and known.issuperset(v.dims)]
    population.add_variables(added, [f"status_{stage.name}", f"message_{stage.name}", *own])
    room: dict[str, int] = {}
    asked: tuple[str, ...] = ()
    if stage.room:
        room, asked = load(stage.room)(**options)
    for group in stage.groups(population):
        if population.has(group):
            laid = population.open(group).sizes
            roomy = all(laid.get(dim, size) == size for dim, size in room.items())
            if roomy or (population.status(stage.name) != schema.PENDING).any():
                continue
            # Nothing is there yet, or nothing any more: it may be made in another way.
            population.remove(group)
        have = population.open()
        ds = xr.Dataset(coords={"network": have["network"]}, attrs={})
        sizes = {"network": have.sizes["network"], **room}
        if group in ("training", "extrapolation"):
            trials = task.recorded_trials() if group == "training" else task.extrapolation_trials()
            ds = trials_dataset(task, trials, group).assign_coords(network=have["network"])
            if group == "training":
                ds = ds.assign_coords(unit=have["unit"])
        elif group == "learning":
            dims = ("gate", "unit", "presynaptic_unit", "input", "output")
            ds = ds.assign_coords({dim: have[dim] for dim in dims})
            ds = ds.assign_coords(checkpoint=np.arange(population.attrs["checkpoints"]))
        elif group == "graph":
            ds = ds.assign_coords(input_symbol=np.array(task.input_symbols, dtype=object))
        ds = ds.assign_coords(name=have["name"], hidden_size=have["hidden_size"]).load()
        ds.attrs |= {"task": task.name, "architecture": population.architecture}
        channels = {"output": {"channels": list(task.outputs)}}
        population.lay(group, ds, sizes, channels if "trial" in ds.dims else {})
        own = [name for name in asked if name in schema.variables(group)]
        lengths = xr.Dataset(coords={dim: np.arange(size) for dim, size in room.items()})
        population.add_variables(lengths, own, group)


def _finish(population: Population, stage: Stage) -> None:
    """Write what needs all shards; also where the last run was killed just before this.

    Of several slices the last to end finds all shards there.
    """
    with population.briefly():
        if not stage.at_end or population.pending(stage.name):
            return
        ds = population.open()
        for group in stage.groups(population):
            if group in stage.optional:
                learning = population.open(group)
                ds = ds.assign(_prefixed(learning, group, [str(n) for n in learning.data_vars]))
        for path, compute_all in stage.at_end.items():
            group, name = path.split("/")
            if group not in stage.groups(population):
                continue
            values = load(compute_all)(ds)
            if not np.array_equal(values, ds[schema.prefix(group) + name].values):
                population.write_all(name, values, group)


def _one_thread() -> None:
    """A worker is one core: no threads of BLAS or torch inside."""
    import sys

    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _bar(population: Population, stage: Stage, networks: int, show: bool) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=networks,
        unit="network",
        desc=f"{stage.name} {population}",
        disable=not show,
        dynamic_ncols=True,
        smoothing=0.1,
    )
