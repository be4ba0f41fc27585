"""Stages over a store: the loop over shards.

A stage is a function from Dataset to Dataset. Here it meets the store: its groups are created as
templates, each shard of networks that is still pending is read, computed and written by one
writer, and its status is noted after its data, so that a run killed at any moment ends the same
when it is started again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.each import failures_told_elsewhere
from solspace.population.variables import BASE, DONE, FAILED, LABELS, PENDING, annotate
from solspace.run import where as compute
from solspace.stages import collection
from solspace.stages.carry import carried, take
from solspace.stages.options import check_options
from solspace.stages.record import Layout, Stage, record_of
from solspace.stages.running import checked
from solspace.stages.running import compute as compute_own
from solspace.stages.template import layouts, missing_dims, wanted
from solspace.store import Population, Shard, Store, locks
from solspace.store.layout import undeclared
from solspace.store.locks import Slice
from solspace.tasks import Task, get_task

__all__ = ["Outcome", "run_stage"]

# Options that say how and not what: a result is the same with another value.
HOW = ("jobs",)


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


def run_stage(
    path: str,
    stage: str | Callable[..., Any],
    *,
    task: str | None = None,
    architecture: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    options: Mapping[str, Any] | None = None,
    redo: bool = False,
    part: str | None = None,
    progress: bool = False,
    needed: bool = False,
) -> list[Outcome]:
    """Run one stage over a store, for the networks for which it is pending.

    Parameters
    ----------
    path : str
    stage : str or function
        A stage's name, a function decorated with `solspace.stage`, or ``FILE.py:FUNCTION`` of one.
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
    needed : bool
        Run the stages that it needs first, where they are pending.

    Returns
    -------
    list of Outcome
        One for each population.

    Raises
    ------
    SolspaceError
        Where there are no networks, an earlier stage is missing, options differ from those that
        stored results were made with, or another process is writing.

    Examples
    --------
    >>> run_stage("nowhere.zarr", "record")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    compute.check_where(workers, scheduler)
    name = _named(stage)
    given = dict(options or {})
    only = None if part is None else Slice.parse(part)
    if only and redo:
        raise SolspaceError(
            f"--redo calls all of {name} pending, which other slices may be computing; give it "
            "without --slice"
        )
    store = Store(path)
    verb = name if only is None else f"{name} --slice {only}"
    where: dict[str, Any] = {"workers": workers, "scheduler": scheduler}
    with ExitStack() as held:
        held.enter_context(store.lock(verb, shared=only is not None))
        with locks.briefly(path):
            populations = _with_stage(store.select(task, architecture), name)
    if needed:
        for earlier in _earlier(populations, name):
            run_stage(
                path, earlier, task=task, architecture=architecture, part=part,
                progress=progress, **where,
            )  # fmt: skip
    with ExitStack() as held:
        held.enter_context(store.lock(verb, shared=only is not None))
        with locks.briefly(path):
            records = [collection.find(name, kind_of(p.architecture).name) for p in populations]
            shards = [(only or Slice(1, 1)).part(p.shards()) for p in populations]
            for population, own, record in zip(populations, shards, records, strict=True):
                if record.check is not None:
                    record.check(get_task(population.task))
                check_options(record.name, record.options, given)
                if only and record.over == "population" and only.of > 1:
                    raise SolspaceError(
                        f"{record.verb} looks at all networks of a population together; give it "
                        "without --slice"
                    )
                if record.over == "population" and not needed and (workers or scheduler):
                    more = ", --jobs N for more processes" if "jobs" in record.options else ""
                    raise SolspaceError(
                        f"{record.verb} looks at all networks of a population together, in one "
                        f"process; give it without --workers and --scheduler{more}"
                    )
                if not redo:
                    _check_same_options(population, record, given)
                # A stage that looks at the whole population first needs all of it.
                needs = population.shards() if record.prepare else own
                if redo or set(own) & set(population.pending(name)):
                    _check_ready(population, record, path, needs)
                    _check_options_fit(population, record, given)
                if redo:
                    _check_startable(population, record, where, given)
                if only is not None:
                    held.enter_context(population.claim(name, own, verb))
        if redo:
            for population, record in zip(populations, records, strict=True):
                if record.over == "network":
                    _call_pending(population, record)
        if only is not None:
            where["slice"] = str(only)
        outcomes = [
            _run_population(population, record, own, where, given, progress, redo)
            for population, record, own in zip(populations, records, shards, strict=True)
        ]
        store.consolidate()
    return outcomes


def _named(stage: str | Callable[..., Any]) -> str:
    """The name of a stage, known by it from now on."""
    if isinstance(stage, str):
        return collection.load_stage(stage).name if ":" in stage else stage.replace("-", "_")
    record = record_of(stage)
    return (collection.register(record) if record.origin else record).name


def _with_stage(populations: list[Population], stage: str) -> list[Population]:
    """Those whose kind of networks has the stage, or an error where none has."""
    kinds = {p: kind_of(p.architecture).name for p in populations}
    found = [p for p in populations if stage in collection.stages(kinds[p])]
    if not found:
        first = populations[0]
        try:
            collection.find(stage, kinds[first])
        except SolspaceError as error:
            raise SolspaceError(f"{first.path}: {first}: {error}") from None
    return found


def _earlier(populations: Sequence[Population], stage: str) -> list[str]:
    """Stages that some population needs first and has pending."""
    out: list[str] = []
    for population in populations:
        kind = kind_of(population.architecture).name
        for earlier in collection.needed_first(stage, kind):
            if earlier not in out and population.pending(earlier):
                out.append(earlier)
    return out


def _check_ready(population: Population, stage: Stage, path: str, shards: Sequence[Shard]) -> None:
    if not shards:
        return
    own = slice(shards[0].start, shards[-1].stop)
    for earlier in collection.after(stage):
        status = population.status(earlier)[own]
        waiting = int((status == PENDING).sum())
        if waiting:
            raise SolspaceError(
                f"{path}: {stage.verb} needs {earlier} to have ended, and {waiting} of "
                f"{len(status)} networks of {population} are pending; type "
                f"`solspace {earlier.replace('_', '-')} {path}` first"
            )


def _check_startable(
    population: Population, stage: Stage, where: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Before results are called pending: can the stage begin at all?"""
    task = get_task(population.task)
    if stage.over == "network":
        _layouts(population, stage, task, population.open(), given)
        if where["workers"] is not None or where["scheduler"] is not None:
            carried(task)


# --------------------------------------------------------------------------- options


def _all_options(stage: Stage, given: Mapping[str, Any]) -> dict[str, Any]:
    """Given and default options that say what is computed."""
    out = {n: _plain(o.default) for n, o in stage.options.items()}
    out |= {n: _plain(v) for n, v in given.items()}
    return {n: v for n, v in out.items() if n not in HOW}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _as_typed(name: str, value: Any) -> str:
    """An option as it stands on the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{flag}"
    values = value if isinstance(value, (list, tuple)) else [value]
    return f"--{flag} {' '.join(map(str, values))}"


def _check_same_options(population: Population, stage: Stage, given: Mapping[str, Any]) -> None:
    """Networks of one population are not computed in two ways."""
    alone = not population.claimed(stage.name)  # this process claims its slice later
    status = population.status(stage.name)
    if alone and (status == PENDING).all():
        return
    before = population.last_options(stage.name, finished=stage.over == "population")
    if before is None:
        return
    if not (status == PENDING).any() and not given:
        return  # nothing to do, and nothing asked for
    was, asked = _all_options(stage, before), _all_options(stage, given)
    if was != asked:
        said = " ".join(_as_typed(k, v) for k, v in before.items()) or "no options"
        raise SolspaceError(
            f"{population.path}: {stage.verb} of {population} was run with {said}; give the "
            "same to go on, or --redo to compute all of it again"
        )


def _check_options_fit(population: Population, stage: Stage, given: Mapping[str, Any]) -> None:
    """An option that a stage shares with one it needs has one value."""
    own = _all_options(stage, given)
    kind = kind_of(population.architecture).name
    for earlier in collection.needed_first(stage.name, kind):
        other = collection.find(earlier, kind)
        if not (stage.origin or other.origin):
            continue
        theirs = _all_options(other, population.last_options(earlier) or {})
        for name in set(own) & set(theirs):
            if own[name] != theirs[name]:
                raise SolspaceError(
                    f"{stage.verb} was asked for {name}={own[name]!r}, and {other.verb}, which it "
                    f"needs, ran with {name}={theirs[name]!r}; give {name}={theirs[name]!r}, or "
                    f"run {other.verb} again with --redo"
                )


def _call_pending(population: Population, stage: Stage) -> None:
    """Call a stage pending for all networks, and first the stages that took what it made."""
    kind = kind_of(population.architecture).name
    for later in collection.stages(kind).values():
        needs = collection.after(later)
        if stage.name in needs and (population.status(later.name) != PENDING).any():
            _call_pending(population, later)
    if (population.status(stage.name) != PENDING).any():
        with population.briefly():
            population.prepare_shards([stage.status])
        nothing = np.full(population.networks, PENDING, np.uint8)
        population.write_all(stage.status.name, nothing)


# --------------------------------------------------------------------------- one population


def _run_population(
    population: Population,
    stage: Stage,
    shards: Sequence[Shard],
    where: Mapping[str, Any],
    options: dict[str, Any],
    progress: bool,
    redo: bool,
) -> Outcome:
    task = get_task(population.task)
    # What is made over all networks together is called pending when there is something to put in
    # its place: a run that fails or is killed before leaves the result there was.
    again = redo and stage.over == "population"
    waiting = set(shards if again else population.pending(stage.name))
    pending = [shard for shard in shards if shard in waiting]
    computed = sum(shard.stop - shard.start for shard in pending)
    if pending and stage.over == "population":
        _run_whole(population, stage, where, options, progress)
    elif pending:
        _run_shards(population, stage, task, pending, where, options, progress)
    if stage.over == "network":
        _finish(population, stage)
    status = population.status(stage.name)
    return Outcome(
        population=population,
        stage=stage.name,
        done=int((status == DONE).sum()),
        failed=int((status == FAILED).sum()),
        networks=len(status),
        computed=computed,
    )


def _run_shards(
    population: Population,
    stage: Stage,
    task: Task,
    pending: Sequence[Shard],
    where: Mapping[str, Any],
    options: dict[str, Any],
    progress: bool,
) -> None:
    workers, scheduler = where["workers"], where["scheduler"]
    computed = sum(shard.stop - shard.start for shard in pending)
    local = workers is None and scheduler is None
    sent = None if local else carried(task)  # before anything is written
    with ExitStack() as noted:
        with population.briefly():
            _create(population, stage, task, options)
            noted.enter_context(population.provenance(stage.name, options, where))
        whole = _read(population, stage)
        prepared = {name: make(whole) for name, make in stage.prepare.items()}
        bar = noted.enter_context(_bar(population, stage, computed, progress))
        function = partial(
            _run_shard,
            population,
            stage,
            sent,
            options | prepared,
            bar.update if local else None,
            whole if local else None,
        )
        for shard, _ in compute.map_unordered(
            function, pending, workers=workers, scheduler=scheduler
        ):
            # Workers elsewhere hold no lock: the one that sends them the shards looks.
            locks.check_held(population.path)
            if not local:
                bar.update(shard.stop - shard.start)


def _run_whole(
    population: Population,
    stage: Stage,
    where: Mapping[str, Any],
    options: dict[str, Any],
    progress: bool,
) -> None:
    """A stage over all networks together, which reads them lazily."""
    whole = _read(population, stage)
    with (
        population.provenance(stage.name, options, where),
        _bar(population, stage, population.networks, progress) as bar,
    ):
        function = compute_own if stage.plain else None
        try:
            if function:
                out = function(stage, whole, options | {"progress": bar.update})
            else:
                out = checked(stage, whole, stage.function(whole, progress=bar.update, **options))
        except SolspaceError as error:
            raise SolspaceError(f"{population.path}: {population}: {error}") from None
        _call_pending(population, stage)
        with population.briefly():
            for group in dict.fromkeys(v.group for v in stage.fills):
                own = list(stage.variables(group, population.architecture).values())
                if group == "population":
                    known = {v.name for v in own}
                    ds = out[[n for n in out.variables if n in known]]
                    population.add_variables(own, ds)
                    for name in known & set(out.variables):
                        population.write_all(name, out[name].values)
                else:
                    have = _labels(population)
                    # Of what a network has, the labels alone stand in every group.
                    more = {str(c) for c, v in out.coords.items() if v.dims == ("network",)}
                    more -= {*map(str, have.coords), *(v.name for v in own)}
                    ds = out.drop_vars(more).assign_coords(dict(have.coords))
                    population.replace(group, own, ds)
            population.add_variables([stage.status, stage.message], xr.Dataset())
        n = population.networks
        status = out[stage.status.name].values if stage.status.name in out else np.full(n, DONE)
        population.write_all(stage.status.name, status.astype(np.uint8))


def _run_shard(
    population: Population,
    stage: Stage,
    sent: bytes | None,
    options: dict[str, Any],
    report: Callable[[int], Any] | None,
    whole: xr.Dataset | None,
    shard: Shard,
) -> None:
    """Read, compute and write one shard; runs in a thread here or in a worker elsewhere."""
    if sent is not None:
        take(sent)  # a worker knows only what is of the package
        _one_thread()
    # A process elsewhere reads its own networks alone.
    whole = _read(population, stage, all_labels=False) if whole is None else whole
    ds = whole.isel(network=slice(shard.start, shard.stop)).load()
    extra = {"stop": compute.stopping} if stage.name == "train" else {}
    kwargs = options | extra | {"progress": report}
    with failures_told_elsewhere():
        if stage.plain:
            out = compute_own(stage, ds, kwargs)
        else:
            out = checked(stage, ds, stage.function(ds, **kwargs))
    if compute.stopping() and sent is None:
        raise KeyboardInterrupt
    population.write_shard(shard, stage.name, _split(out, stage, population))


# --------------------------------------------------------------------------- reading


def _read(population: Population, stage: Stage, *, all_labels: bool = True) -> xr.Dataset:
    """What a stage reads, in one dataset, lazily; coordinates of all networks in memory."""
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
    # Small, and read anew by every shard otherwise.
    return out.assign_coords({str(c): v.variable.load() for c, v in out.coords.items()})


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
    base = [v.name for v in BASE if v.name in there.variables]
    needed = [n for n in status if n in there.variables] if group == "population" else []
    if wanted_names is not None:
        missing = [n for n in wanted_names if n not in there.variables]
        if missing:
            maker = collection.filled_by(group, missing[0], kind) or "run"
            raise SolspaceError(
                f"{population.path}: {population} has no {missing[0]!r} in the group {group}, "
                f"which {stage.verb} reads; type `solspace {maker.replace('_', '-')} "
                f"{population.path}` first"
            )
        # Names of epochs, channels and the like come along: a result may be along them.
        shared = [str(c) for c, v in there.coords.items() if v.dims and "network" not in v.dims]
        return list(dict.fromkeys([*wanted_names, *needed, *base, *shared]))
    declared = collection.declared(group, population.architecture)
    earlier = {"", *collection.needed_first(stage.name, kind), "train"} - {stage.name}
    makers = {n: collection.filled_by(group, n, kind) for n in declared}
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


def _split(
    ds: xr.Dataset, stage: Stage, population: Population
) -> dict[str, dict[str, xr.DataArray]]:
    """What a stage computed, by the group each variable belongs to."""
    out: dict[str, dict[str, xr.DataArray]] = {"population": {}}
    labels = {v.name for v in LABELS}
    for group in dict.fromkeys(v.group for v in stage.fills):
        found = {}
        for name, variable in stage.variables(group, population.architecture).items():
            by_network = variable.dims[:1] == ("network",)
            if name not in ds.variables or not by_network or f"{group}/{name}" in stage.finish:
                continue
            if variable.coordinate and name not in labels:
                continue
            found[name] = ds[name]
        if found or group == "population":
            out[group] = found
    for name in (stage.message.name, stage.status.name):
        # Without failures a packed store has no messages.
        if name in ds.variables or name == stage.status.name:
            out["population"][name] = ds[name]
    return out


# --------------------------------------------------------------------------- creating groups


def _labels(population: Population) -> xr.Dataset:
    """The coordinates that every group with networks has."""
    own = population.open()
    names = [v.name for v in BASE if v.name in own.variables]
    ds = own[names].drop_attrs(deep=False)
    return ds.drop_vars([c for c in ds.coords if c not in names]).load()


def _create(population: Population, stage: Stage, task: Task, options: Mapping[str, Any]) -> None:
    """Create what a stage fills, where it is not there yet."""
    population.add_variables([stage.status, stage.message], xr.Dataset())
    attrs = population.attrs
    have = population.open()
    laid = _layouts(population, stage, task, have, options)
    begun = bool((population.status(stage.name) != PENDING).any())
    for group in dict.fromkeys(["population", *(v.group for v in stage.fills)]):
        if group in stage.groups and not stage.groups[group].present(attrs):
            continue
        own = wanted(stage, population.architecture, laid, group)
        layout = laid.get(group)
        coordinates = layout.coordinates if layout else xr.Dataset()
        sizes = dict(layout.sizes) if layout else {}
        if group == "population":
            outdated = population.outdated(coordinates)
            if outdated:
                if begun:
                    raise SolspaceError(
                        f"{population.path}: {stage.verb} of {population} was begun with another "
                        f"{outdated[0]} coordinate, by another version or with features of your "
                        "own; give --redo to compute all of it again"
                    )
                population.remove_dims(outdated)
            missing_dims(stage, own, _lengths(have) | _lengths(coordinates) | sizes)
            more = [n for n in map(str, coordinates.variables) if n not in {v.name for v in own}]
            extra = [undeclared(coordinates[n], group) for n in more]
            population.add_variables([*extra, *own], coordinates, sizes)
            population.prepare_shards([*own, stage.status, stage.message])
            continue
        if population.has(group):
            there = population.open(group).sizes
            fits = all(there.get(dim, size) == size for dim, size in sizes.items())
            if begun or (fits and not population.outdated(coordinates, group)):
                population.add_variables(own, coordinates, sizes, group)
                population.prepare_shards(own, group)
                continue
            # Nothing is there yet, or nothing any more: it may be made in another way.
            population.remove(group)
        base = _labels(population)
        ds = coordinates.assign_coords(dict(base.coords))
        ds = annotate(ds, own)
        missing_dims(stage, own, _lengths(ds) | sizes)
        population.create(group, own, ds, sizes)


def _lengths(ds: xr.Dataset) -> dict[str, int]:
    return {str(d): int(n) for d, n in ds.sizes.items()}


def _layouts(
    population: Population, stage: Stage, task: Task, have: xr.Dataset, options: Mapping[str, Any]
) -> dict[str, Layout]:
    if stage.layout is not None:
        return layouts(stage, task, have, options)
    # A stage of one's own: its dims are those of what it reads, with their coordinates.
    read = _read(population, stage)
    out = {}
    for group in dict.fromkeys(v.group for v in stage.fills):
        dims = {d for v in stage.variables(group).values() for d in v.dims} - {"network"}
        coords = {
            str(c): v.load()
            for c, v in read.coords.items()
            if set(map(str, v.dims)) <= dims and v.dims and "network" not in v.dims
        }
        sizes = {d: int(read.sizes[d]) for d in dims if d in read.sizes}
        if group == "population":
            coords = {c: v for c, v in coords.items() if c not in have.variables}
        out[group] = Layout(xr.Dataset(coords=coords), sizes)
    return out


def _finish(population: Population, stage: Stage) -> None:
    """Write what needs all shards; also where the last run was killed just before this.

    Of several slices the last to end finds all shards there.
    """
    labels = [v.name for v in stage.fills if v in LABELS]
    with population.briefly():
        if not (stage.finish or labels) or population.pending(stage.name):
            return
        ds = population.open()
        for group in dict.fromkeys(path.split("/")[0] for path in stage.finish):
            if group != "population" and population.has(group):
                own = population.open(group)
                ds = ds.assign({n: own[n].variable for n in own.data_vars})
        for path, (function, needs) in stage.finish.items():
            group, name = path.split("/")
            if not population.has(group) or any(n not in ds.variables for n in needs):
                continue
            values = function(ds[list(needs)].load())
            there = population.open(group)[name].values
            if not np.array_equal(values, there):
                population.write_all(name, values, group)
        _spread_labels(population, labels)
        if stage.name == "reduce":
            _note_method(population, stage)


def _spread_labels(population: Population, labels: Sequence[str]) -> None:
    """Labels stand in every group with networks: copied there when they are known."""
    own = population.open()
    known = {v.name: v for v in LABELS}
    for group in population.groups()[1:]:
        there = population.open(group)
        if "network" not in there.dims:
            continue
        missing = [known[n] for n in labels if n not in there.variables and n in own.variables]
        population.add_variables(missing, xr.Dataset(), group=group)
        there = population.open(group)
        for name in labels:
            if name not in own.variables:
                continue
            values = own[name].values
            if not np.array_equal(values, there[name].values):
                population.write_all(name, values, group)


def _note_method(population: Population, stage: Stage) -> None:
    """What solution_key says of a network, for whoever reads it."""
    options = _all_options(stage, population.last_options(stage.name) or {})
    method = options.get("method")
    named = "dynamical_objects" if method is None else "automaton_key"
    if method is not None:
        named += f" of {'automaton' if method == 'timed' else method} graphs"
    population.set_attrs({"solution_method": named})


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
        desc=f"{stage.verb} {population}",
        disable=not show,
        dynamic_ncols=True,
        smoothing=0.1,
    )
