"""Stages over a store: the loop over shards.

A stage is a function from Dataset to Dataset. Here it meets the store: its groups are created as
templates, each shard of networks that is still pending is read, computed and written by one
writer, and its status is noted after its data, so that a run killed at any moment ends the same
when it is started again.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace import __version__
from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.networks import get_device
from solspace.population.each import failures_told_elsewhere
from solspace.population.variables import DONE, FAILED, PENDING, Variable, status_variable
from solspace.run import where as compute
from solspace.run.bars import Bar
from solspace.run.compiling import told_of_compiling
from solspace.run.creating import create_groups, group_layouts, of_other_length
from solspace.run.finishing import (
    finish,
    replaced_variables,
    write_whole,
    write_whole_status,
)
from solspace.run.options import check_options_fit, check_same_options, notable
from solspace.run.own_tasks import know_tasks, note_sources, refusal, waited_for
from solspace.run.reading import (
    among_stored,
    read_inputs,
    split_results,
    written_by_shard,
)
from solspace.stages import collection
from solspace.stages.carry import carried, take
from solspace.stages.options import check_options
from solspace.stages.record import Stage, record_of
from solspace.stages.running import checked
from solspace.stages.running import compute as compute_own
from solspace.store import Population, Shard, Store, creation, locks, provenance
from solspace.store.locks import Slice
from solspace.tasks import Task, get_task

__all__ = ["Outcome", "longest_first", "run_stage"]


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


@compute.kept()
def run_stage(
    path: str,
    stage: str | Callable[..., Any],
    *,
    task: str | None = None,
    architecture: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: int | Mapping[str, Any] | None = None,
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
        Processes of a local dask cluster. By default the workers of the active
        `distributed.Client`, and where there is none threads of this process.
    scheduler : str, optional
        Address of a dask scheduler to send the shards to.
    slurm : int or mapping, optional
        How many workers to start as jobs of SLURM, or ``{"workers": 8, "queue": "short"}`` and
        further options of `dask_jobqueue.SLURMCluster`.
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
    ClusterError
        Where a scheduler or a worker died; the same call goes on.

    Examples
    --------
    >>> run_stage("nowhere.zarr", "record")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    if isinstance(slurm, int):
        slurm = {"workers": slurm}
    compute.check_where(workers, scheduler, slurm)
    elsewhere = workers or scheduler or slurm
    name = _named(stage)
    given = notable(name, options or {})
    only = None if part is None else Slice.parse(part)
    if only and redo:
        raise SolspaceError(
            f"--redo calls all of {name} pending, which other slices may be computing; give it "
            "without --slice"
        )
    store = Store(path)
    know_tasks(path)
    verb = name if only is None else f"{name} --slice {only}"
    if not elsewhere:
        scheduler = compute.active_scheduler()
    where: dict[str, Any] = {"workers": workers, "scheduler": scheduler}
    if slurm is not None:
        where["slurm"] = dict(slurm)
    if needed:
        with store.lock(verb, shared=only is not None), locks.briefly(path):
            populations = _with_stage(store.select(task, architecture), name)
        for earlier in _earlier(populations, name):
            run_stage(
                path, earlier, task=task, architecture=architecture, part=part,
                progress=progress, needed=True, **where,
            )  # fmt: skip
    with ExitStack() as held:
        held.enter_context(store.lock(verb, shared=only is not None))
        with locks.briefly(path):
            populations = _with_stage(store.select(task, architecture), name)
            records = [collection.find(name, kind_of(p.architecture).name) for p in populations]
            shards = [(only or Slice(1, 1)).part(p.shards()) for p in populations]
            for population, own, record in zip(populations, shards, records, strict=True):
                if record.check is not None:
                    record.check(get_task(population.task))
                check_options(record.name, record.options, given)
                if not (elsewhere or scheduler or record.origin) and given.get("device"):
                    get_device(given["device"])
                if only and record.over == "population" and only.of > 1:
                    raise SolspaceError(
                        f"{record.verb} looks at all networks of a population together; give it "
                        "without --slice"
                    )
                if record.over == "population" and not needed and elsewhere:
                    more = ", --jobs N for more processes" if "jobs" in record.options else ""
                    raise SolspaceError(
                        f"{record.verb} looks at all networks of a population together, in one "
                        f"process; give it without --workers, --scheduler and --slurm{more}"
                    )
                status = population.status(name)
                if not redo:
                    check_same_options(population, record, given, status)
                # A stage that looks at the whole population first needs all of it.
                needs = population.shards() if record.prepare else own
                if redo or set(own) & set(population.pending(name, status)):
                    _check_ready(population, record, path, needs)
                    check_options_fit(population, record, given)
                if redo:
                    _check_startable(population, record, where, given)
                if only is not None:
                    held.enter_context(population.claim(name, own, verb))
        note_sources(populations)
        if redo:
            for population, record in zip(populations, records, strict=True):
                if record.over == "network":
                    _call_pending(population, record)
        if only is not None:
            where["slice"] = str(only)
        outcomes = _one_ahead(
            [
                _run_population(population, record, own, where, given, progress, redo)
                for population, record, own in zip(populations, records, shards, strict=True)
            ],
            ahead=0 if _is_local(where) else 1,
        )
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
            waits = earlier not in out and population.pending(earlier)
            if waits and not refusal(population, earlier):
                out.append(earlier)
    return out


def _check_ready(population: Population, stage: Stage, path: str, shards: Sequence[Shard]) -> None:
    if not shards:
        return
    own = slice(shards[0].start, shards[-1].stop)
    for earlier in waited_for(population, stage.name):
        status = population.status(earlier)[own]
        waiting = int((status == PENDING).sum())
        if waiting and (refused := refusal(population, earlier)):
            raise SolspaceError(
                f"{path}: {stage.verb} needs {earlier}, which {population} cannot have: {refused}"
            )
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
        laid = group_layouts(population, stage, task, population.open(), given)
        if "population" in laid:
            of_other_length(population, stage, laid["population"].sizes)
        if not _is_local(where):
            carried(task)


def _call_pending(population: Population, stage: Stage) -> None:
    """Call a stage pending for all networks, and first the stages that took what it made."""
    kind = kind_of(population.architecture).name
    for later in collection.stages(kind).values():
        needs = (*collection.after(later), *collection.used(later))
        if stage.name in needs and (population.status(later.name) != PENDING).any():
            _call_pending(population, later)
    _call_unknown_pending(population, [(v.group, v.name) for v in stage.fills])
    _undo(population, stage.status)


def _call_unknown_pending(population: Population, changed: list[tuple[str, str]]) -> None:
    """Call stages of somebody's own pending that this process does not know.

    Their status says in the store what they read and fill.
    """
    kind = kind_of(population.architecture).name
    known = {stage.status.name for stage in collection.stages(kind).values()}
    waiting, changed = population.statuses_told(), list(changed)
    for name in known & set(waiting):
        del waiting[name]
    again = True
    while again:
        again = False
        for name, (reads, fills) in list(waiting.items()):
            if any((group in reads) or (f"{group}/{own}" in reads) for group, own in changed):
                del waiting[name]
                _undo(population, status_variable(name.removeprefix("status_")))
                changed += [("population", own) for own in fills]
                again = True


def _undo(population: Population, status: Variable) -> None:
    if (population.status(status.name.removeprefix("status_")) != PENDING).any():
        with population.briefly():
            creation.prepare_shards(population, [status])
        stage = status.name.removeprefix("status_")
        population.release(stage)
        nothing = np.full(population.networks, PENDING, np.uint8)
        population.write_all(status.name, nothing)


# --------------------------------------------------------------------------- one population


def _one_ahead(runs: Sequence[Generator[None, None, Outcome]], ahead: int) -> list[Outcome]:
    """Run populations in order; workers have the next one's shards before they end with one.

    Each run yields once, when its work is under way.
    """
    outcomes: list[Outcome] = []
    begun: deque[Generator[None, None, Outcome]] = deque()
    with ExitStack() as left:
        for run in runs:
            left.callback(run.close)
            next(run)
            begun.append(run)
            if len(begun) > ahead:
                outcomes.append(_ended(begun.popleft()))
        while begun:
            outcomes.append(_ended(begun.popleft()))
    return outcomes


def _ended(run: Generator[None, None, Outcome]) -> Outcome:
    try:
        next(run)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    raise RuntimeError("a run of a population that yields twice")


def _run_population(
    population: Population,
    stage: Stage,
    shards: Sequence[Shard],
    where: Mapping[str, Any],
    options: dict[str, Any],
    progress: bool,
    redo: bool,
) -> Generator[None, None, Outcome]:
    task = get_task(population.task)
    # What is made over all networks together is called pending when there is something to put in
    # its place: a run that fails or is killed before leaves the result there was.
    again = redo and stage.over == "population"
    before = population.status(stage.name)
    waiting = set(shards if again else population.pending(stage.name, before))
    pending = [shard for shard in shards if shard in waiting]
    each = _networks(stage, pending, before)
    with told_of_compiling() if pending and progress else nullcontext():
        if pending and stage.over == "network":
            yield from _run_shards(population, stage, task, each, where, options, progress)
        else:
            yield
            if pending:
                _run_whole(population, stage, where, options, progress)
    if stage.over == "network":
        finish(population, stage)
        if not (waiting or "slice" in where or provenance.ended(population, stage.name)):
            # Killed when all was written; what was told then is so to the end.
            options = provenance.last_options(population, stage.name) or {}
            with provenance.noted(population, stage.name, options, _told(where)):
                pass
    status = population.status(stage.name)
    return Outcome(
        population=population,
        stage=stage.name,
        done=int((status == DONE).sum()),
        failed=int((status == FAILED).sum()),
        networks=len(status),
        computed=sum(each.values()),
    )


def _run_shards(
    population: Population,
    stage: Stage,
    task: Task,
    each: Mapping[Shard, int],
    where: Mapping[str, Any],
    options: dict[str, Any],
    progress: bool,
) -> Iterator[None]:
    """Shard by shard; ``each`` has those that are pending, with their networks to compute."""
    pending = longest_first(population, each)
    local = _is_local(where)
    sent = None if local else carried(task)  # before anything is written
    with ExitStack() as noted:
        with population.briefly():
            labels = create_groups(population, stage, task, options)
            told_where = _told(where)
            run = noted.enter_context(provenance.noted(population, stage.name, options, told_where))
            population.take(stage.name, pending, written_by_shard(population, stage), run)
        # Workers read their own labels.
        all_labels = local or bool(stage.prepare)
        whole = read_inputs(population, stage, all_labels=all_labels, labels=labels)
        if local:
            whole = _loaded_where_small(whole)
        prepared = {name: make(whole) for name, make in stage.prepare.items()}
        bar: Bar | None = None

        def told(networks: int) -> None:
            if compute.stopping():  # between two networks, where a shard takes long
                raise KeyboardInterrupt
            assert bar is not None
            bar(networks)

        function = partial(
            _run_shard,
            population if local else replace(population, path=compute.real_path(population.path)),
            stage,
            run,
            sent,
            options | prepared,
            told if local else None,
            progress,
            (whole, population.status(stage.name)) if local else None,
            __version__,
        )
        under_way = noted.enter_context(
            closing(
                compute.map_unordered(
                    function,
                    pending,
                    workers=where["workers"],
                    scheduler=where["scheduler"],
                    slurm=where.get("slurm"),
                    name=f"{stage.verb} {population}",
                    threads=_threads(population, stage, options, each),
                )
            )
        )
        yield
        bar = noted.enter_context(_bar(population, stage, sum(each.values()), progress))
        told.within = bar.within  # type: ignore[attr-defined]
        for shard, _ in under_way:
            # Workers elsewhere hold no lock: the one that sends them the shards looks.
            locks.check_held(population.path)
            if not local:
                bar(each[shard])


_SMALL = 64 << 20  # bytes


def _loaded_where_small(whole: xr.Dataset) -> xr.Dataset:
    """Read at once where it is little: shard by shard that takes longer than many an analysis."""
    if sum(v.nbytes for v in whole.data_vars.values()) > _SMALL:
        return whole
    try:
        return whole.load()
    except Exception:  # what is damaged is told by the shard that reads it
        return whole


def _networks(stage: Stage, shards: Sequence[Shard], status: NDArray[np.uint8]) -> dict[Shard, int]:
    """How many networks of each of these shards are computed in this run."""
    if stage.over == "population":
        return {shard: shard.stop - shard.start for shard in shards}
    waiting = status == PENDING
    return {shard: int(waiting[slice(*shard)].sum()) for shard in shards}


def _threads(
    population: Population, stage: Stage, options: Mapping[str, Any], each: Mapping[Shard, int]
) -> int:
    """How many shards are computed at once in this process; 0 for one a core."""
    networks = stage.at_once(population.architecture, options) if stage.at_once else 0
    return -(-networks // max(1, *each.values()))


def longest_first(population: Population, shards: Mapping[Shard, int]) -> list[Shard]:
    """Shards in the order of what they cost, so that at the end no core waits long for another.

    A network costs about the square of its size.
    """
    sizes = population.values("hidden_size")
    if sizes is None:
        return list(shards)
    cost = sizes.astype(float) ** 2
    return sorted(shards, key=lambda shard: (-cost[slice(*shard)].sum(), shard))


def _is_local(where: Mapping[str, Any]) -> bool:
    return where["workers"] is where["scheduler"] is where.get("slurm") is None


def _told(where: Mapping[str, Any]) -> dict[str, Any]:
    """What the provenance says of where a stage ran; no folders of this machine."""
    return {n: value["workers"] if n == "slurm" else value for n, value in where.items()}


def _run_whole(
    population: Population,
    stage: Stage,
    where: Mapping[str, Any],
    options: dict[str, Any],
    progress: bool,
) -> None:
    """A stage over all networks together, which reads them lazily."""
    whole = read_inputs(population, stage)
    with (
        provenance.noted(population, stage.name, options, _told(where)),
        _bar(population, stage, population.networks, progress) as bar,
    ):
        function = compute_own if stage.plain else None
        try:
            if function:
                out = function(stage, whole, options | {"progress": bar})
            else:
                with failures_told_elsewhere():
                    out = stage.function(whole, progress=bar, **options)
                out = checked(stage, whole, out)
        except SolspaceError as error:
            raise SolspaceError(f"{population.path}: {population}: {error}") from None
        replaced_variables(population, stage, out)  # refused before anything is changed
        _call_pending(population, stage)
        write_whole(population, stage, out)
    # Killed before this, it is computed again; after it, its options are known.
    write_whole_status(population, stage, out)


def _run_shard(
    population: Population,
    stage: Stage,
    run: int,
    sent: bytes | None,
    options: dict[str, Any],
    report: Callable[[int], Any] | None,
    progress: bool,
    here: tuple[xr.Dataset, NDArray[np.uint8]] | None,
    version: str,
    shard: Shard,
) -> None:
    """Read, compute and write one shard; runs in a thread here or in a worker elsewhere.

    What is read and how far it has come are given ``here``, where nobody else writes meanwhile.
    """
    if sent is not None:
        compute.check_worker(population.path, version)
        take(sent)  # a worker knows only what is of the package
        _one_thread()
        _keep_memory()
    if here is not None:
        whole, status = here[0], here[1][slice(*shard)]
    else:  # its own networks alone
        whole, status = _opened_for(run, population, stage), population.status(stage.name, shard)
    ds = whole.isel(network=slice(shard.start, shard.stop))
    # Where networks were added to others, the last of those may share a shard with new ones.
    waiting = status == PENDING
    if not waiting.any():
        return  # another run has done it since this was sent
    ds = (ds if waiting.all() else ds.isel(network=np.flatnonzero(waiting))).load()
    if stage.plain:  # what a function of a user's own changes in place is of this shard alone
        ds = ds.copy(deep=True)
    asks = "stop" in inspect.signature(stage.function).parameters
    extra = {"stop": compute.stopping} if asks else {}
    kwargs = options | extra | {"progress": report}
    # One worker tells for all, on the terminal where it was started.
    telling = sent is not None and progress and compute.is_first_worker()
    with failures_told_elsewhere(), told_of_compiling() if telling else nullcontext():
        if stage.plain:
            out = compute_own(stage, ds, kwargs)
        else:
            out = checked(stage, ds, stage.function(ds, **kwargs))
    if compute.stopping() and sent is None:
        raise KeyboardInterrupt
    results = split_results(out, stage, population)
    if not waiting.all():
        results = among_stored(population, shard, waiting, results)
    population.write_shard(shard, stage.name, results, token=run)


@dataclass
class _Reading:
    """What a worker reads of one stage in one run, and how many shards it has been asked for."""

    of: tuple[int, Population, str]
    inputs: xr.Dataset
    shards: int = 0


_last: _Reading | None = None
_ALONE = 3  # shards that a worker reads one by one, before it reads all that there is


def _opened_for(run: int, population: Population, stage: Stage) -> xr.Dataset:
    """What a stage reads, opened by a worker once for all its shards of a run.

    To read a shard of twenty small arrays takes as long as to read them whole. A worker among
    many that gets a shard or two reads those alone; one that gets more has the rest in memory.
    """
    global _last
    key = (run, population, stage.name)
    last = _last
    if last is None or last.of != key:
        last = _last = _Reading(key, read_inputs(population, stage, all_labels=False))
    last.shards += 1
    if last.shards == _ALONE + 1:
        last.inputs = _loaded_where_small(last.inputs)
    return last.inputs


def _one_thread() -> None:
    """A worker is one core: no threads of BLAS or torch inside."""
    import sys

    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@functools.cache
def _keep_memory() -> None:
    """Let a worker keep memory that it frees, to use it again.

    Dask has its workers give it back at once. Arrays of a network come and go a hundred times a
    second, and to ask the system for each anew takes as long as the analyses.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):  # another system's, or another allocator
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 128 << 20)


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h


def _bar(population: Population, stage: Stage, networks: int, show: bool) -> Bar:
    return Bar(f"{stage.verb} {population}", networks, show)
