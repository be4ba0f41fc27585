"""What each command does: what was typed, given to the functions of the package.

Everything heavy is imported where it is used, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from solspace.errors import SolspaceError

__all__ = [
    "check_faults",
    "compare",
    "correlate",
    "describe_coverage",
    "describe_degeneracy",
    "describe_store",
    "design_trials",
    "draw_stages",
    "explore_store",
    "export_nwb",
    "identify_solution",
    "import_files",
    "import_recording",
    "know_tasks",
    "locate",
    "make_report",
    "migrate_store",
    "pack_stores",
    "run",
    "run_one",
    "train",
]

MOST_LOSSES = 100  # said one by one after an import


def know_tasks(args: argparse.Namespace) -> None:
    """Tasks of the user's own: of the files that were given, and of the stores that were named."""
    import warnings

    from solspace.run import own_tasks

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for file in args.task_file or []:
            own_tasks.load_file(file)
        for path in [args.store, *getattr(args, "stores", []), getattr(args, "other", None)]:
            if path is not None:
                own_tasks.know_tasks(path)
    for one in told:
        print(f"solspace: WARNING: {one.message}", file=sys.stderr)


def train(args: argparse.Namespace) -> None:
    from solspace.networks import get_device
    from solspace.networks.fused import slow_processor
    from solspace.population import new_population
    from solspace.run import where as compute
    from solspace.run.populations import create_population
    from solspace.store.locks import Slice
    from solspace.tasks import change_recipe, default_architecture, get_task

    described: dict[str, Any] = {
        name: value
        for name in ("networks", "hidden_size", "seed", "checkpoints", "alpha", "recipe")
        if (value := getattr(args, name)) is not None
    }
    # Before anything is made.
    compute.check_where(args.workers, args.scheduler, _slurm(args))
    if args.slice is not None:
        Slice.parse(args.slice)
    # Neither is of this machine where another trains.
    if args.scheduler is args.slurm is None:
        if args.device is None and (said := slow_processor()):
            print(f"solspace: WARNING: {said}", file=sys.stderr)
        if args.device is not None and args.workers is None:
            get_device(args.device)
    # With a description nothing is looked up: other slices may be making the store right now.
    if described or not _begun(args):
        if args.task is not None and args.architecture is None:
            args.architecture = default_architecture(args.task)
        if args.task is None or args.architecture is None:
            raise SolspaceError(
                "a new population needs --task and --architecture, such as "
                "--task interval_reproduction --architecture vanilla"
            )
        recipe = None
        if "recipe" in described:
            recipe = change_recipe(
                get_task(args.task).recipe(args.architecture), described["recipe"]
            )
        ds = new_population(
            args.task,
            args.architecture,
            networks=described.get("networks", 16),
            hidden_size=described.get("hidden_size"),
            seed=described.get("seed", 0),
            recipe=recipe,
            checkpoints=described.get("checkpoints", 0),
            **({"alpha": described["alpha"]} if "alpha" in described else {}),
        )
        create_population(args.store, ds, shard_size=args.shard_size, shared=args.slice is not None)
    _run_stages(args, ["train"])


def _begun(args: argparse.Namespace) -> bool:
    from solspace.store import Store, place

    if not place.exists(args.store):
        return False
    return bool(Store(args.store).populations(args.task, args.architecture))


def import_files(args: argparse.Namespace) -> None:
    from solspace.population import failures_told_elsewhere, said_losses, target_loss
    from solspace.run import populations

    with failures_told_elsewhere():
        imported = populations.import_files(
            args.store,
            args.files,
            args.task,
            args.architecture,
            shard_size=args.shard_size,
            **{
                k: v
                for k in ("alpha", "nonlinearity", "readout", "check_against")
                if (v := getattr(args, k)) is not None
            },
        )
    population, first = imported.population, imported.first
    _say(
        f"import {population}: {population.networks - first} networks"
        + (f" after the {first} there were, {population.networks} now" if first else "")
    )
    if imported.difference is not None:
        _say(f"  outputs: at most {imported.difference:.2g} from those of {args.check_against}")
    ds = population.open().isel(network=slice(first, None))
    target = target_loss(population.task, population.architecture)
    beside = f"target {target:g}" if target == target else "no recipe, so no target"
    names, losses = ds["name"].values, ds["loss"].values
    shown = min(len(names), MOST_LOSSES)
    for name, loss in zip(names[:shown], losses[:shown], strict=True):
        _say(f"  {name}: loss {loss:.3g} ({beside})")
    if shown < len(names):
        rest = losses[shown:]
        _say(f"  {len(rest)} more: loss {rest.min():.3g} to {rest.max():.3g} ({beside})")
    if said := said_losses(ds, population.task):
        print(f"solspace: WARNING: {said}", file=sys.stderr)


def import_recording(args: argparse.Namespace) -> None:
    from solspace.run.recordings import import_recordings

    population = import_recordings(
        args.store,
        args.files,
        task=args.task,
        align=args.align,
        window=tuple(_moment(text) for text in args.window),
        bin=_milliseconds(args.bin, "--bin"),
        smooth=None if args.smooth == "none" else _milliseconds(args.smooth, "--smooth"),
        epochs={
            name: tuple(_moment(text) for text in _two(value, "--epoch NAME=START:STOP"))
            for name, value in _named_values(args.epoch, "--epoch NAME=START_COLUMN:STOP_COLUMN")
        },
        parameters=dict(_named_values(args.parameter, "--parameter NAME=COLUMN")),
        drop=tuple(args.drop),
        average=tuple(args.average),
        warp=args.warp,
        pseudo_population=args.pseudo_population,
        name=args.name,
    )
    ds = population.open()
    shape = ", ".join(f"{ds.sizes[d]} {w}" for d, w in _RECORDED.items())
    many = "" if population.networks == 1 else " (of the largest)"
    _say(f"import-recording {population}: {population.networks} recordings, {shape}{many}")
    for name, text in zip(ds["name"].values, ds["exclusions"].values, strict=True):
        _say(f"  {name}: {text or 'nothing was left out'}")


_RECORDED = {"trial": "trials", "time": "bins", "unit": "units"}


def _named_values(pairs: Sequence[str], usage: str) -> list[tuple[str, str]]:
    out = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise SolspaceError(f"{usage.split()[0]} {pair!r}; give {usage}")
        out.append((name, value))
    if twice := [n for n, _ in out if [m for m, _ in out].count(n) > 1]:
        raise SolspaceError(f"{usage.split()[0]} {twice[0]} is given twice; give it once")
    return out


def _two(text: str, usage: str) -> list[str]:
    parts = text.split(":")
    if len(parts) != 2 or not all(parts):
        raise SolspaceError(f"{text!r} is not START:STOP; give {usage}")
    return parts


def _moment(text: str) -> str | float:
    """Milliseconds where it is a number, a column otherwise."""
    try:
        return float(text.removesuffix("ms"))
    except ValueError:
        return text


def _milliseconds(text: str, flag: str) -> float:
    try:
        return float(text.removesuffix("ms"))
    except ValueError:
        raise SolspaceError(
            f"{flag} {text!r}; give milliseconds, such as 10 or 10ms"
            + (" (or none)" if flag == "--smooth" else "")
        ) from None


def export_nwb(args: argparse.Namespace) -> None:
    from solspace.run.recordings import export_networks

    files = export_networks(
        args.store,
        args.out,
        task=args.task,
        architecture=args.architecture,
        networks=args.network,
        force=args.force,
        trials=args.trials,
        units=args.units,
        rate=args.rate,
        step_ms=_milliseconds(args.step, "--step"),
        seed=args.seed,
    )
    for file in files:
        _say(f"export-nwb: {file}")


def run_one(args: argparse.Namespace) -> None:
    _run_stages(args, [args.verb.replace("-", "_")])


def run(args: argparse.Namespace) -> None:
    from solspace.run.where import kept

    with kept():
        _run(args)


def _run(args: argparse.Namespace) -> None:
    from solspace.kinds import kind_of
    from solspace.run.choosing import worthwhile_processes
    from solspace.run.loop import run_stage
    from solspace.run.where import active_scheduler
    from solspace.stages import collection
    from solspace.store import Store

    unsaid = args.workers is args.scheduler is args.slurm is None
    args.workers = args.workers or None  # 0 is for threads
    if args.stage:
        name = collection.load_stage(args.stage).name if ":" in args.stage else args.stage
        name = name.replace("-", "_")
        there = Store(args.store).select(args.task, args.architecture)
        kinds = {kind_of(p.architecture).name for p in there}
        known = [collection.stages(kind)[name] for kind in kinds if name in collection.stages(kind)]
        options = _typed(args.option or [], known or [collection.find(name, min(kinds))])
        _say_outcomes(
            args,
            name,
            run_stage(
                args.store,
                name,
                task=args.task,
                architecture=args.architecture,
                workers=args.workers,
                scheduler=args.scheduler,
                slurm=_slurm(args),
                options=options,
                redo=args.redo,
                part=args.slice,
                progress=not args.quiet,
                needed=True,
            ),
        )
        return
    if args.option or args.redo or args.slice:
        raise SolspaceError("--option, --redo and --slice are of one stage; give --stage too")
    there = Store(args.store).populations(args.task, args.architecture)
    kinds = {kind_of(p.architecture).name for p in there} or {"recurrent"}
    left_out: dict[Any, dict[str, str]] = {population: {} for population in there}
    processes = None
    if unsaid and active_scheduler() is None:
        processes = worthwhile_processes(there)
    if processes is not None:
        _say(f"analysis in {processes} processes; --workers 0 for threads", quiet=args.quiet)
    for stage in dict.fromkeys(
        n
        for k in sorted(kinds, reverse=True)
        for n, s in collection.stages(k).items()
        if s.by_default
    ):
        if processes is not None and stage != "train":  # which threads do as fast
            args.workers = processes
        own = [p for p in there if stage in collection.stages(kind_of(p.architecture).name)]
        for population in own:
            if reason := _reason(population, stage, left_out[population]):
                left_out[population][stage] = reason
        refused = [p for p in own if stage in left_out[p]]
        if not refused:
            _run_stages(args, [stage])
            continue
        for population in refused:
            why = left_out[population][stage]
            _say(f"{stage.replace('_', '-')} {population}: left out: {why}", quiet=args.quiet)
        for population in own:
            if population not in refused:
                one = argparse.Namespace(**vars(args))
                one.task, one.architecture = population.task, population.architecture
                _run_stages(one, [stage])


def _reason(population: Any, stage: str, left_out: Mapping[str, str]) -> str:
    """Why a stage cannot be run over a population, of whose stages some are left out already."""
    from solspace.run.own_tasks import refusal, waited_for

    if needed := [n for n in waited_for(population, stage) if n in left_out]:
        return f"it needs {needed[0].replace('_', '-')}"
    return refusal(population, stage)


def _typed(pairs: Sequence[str], records: Sequence[Any]) -> dict[str, Any]:
    """Options of a stage, NAME=VALUE, as its function takes them."""
    options = {name: option for record in records for name, option in record.options.items()}
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in options:
            raise SolspaceError(
                f"--option {pair!r}; give NAME=VALUE, options of {records[0].verb}: "
                f"{', '.join(options) or 'none'}"
            )
        option = options[name]
        try:
            values = [
                _value(option.type, one) for one in (text.split(",") if option.many else [text])
            ]
        except ValueError:
            raise SolspaceError(
                f"--option {pair!r}: {text!r} is no {option.type.__name__}; give one, such as "
                f"--option {name}={option.default}"
            ) from None
        out[name] = values if option.many else values[0]
    return out


def _value(kind: Any, text: str) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError(text)
        return text.lower() in ("true", "1", "yes")
    return kind(text)


def _run_stages(args: argparse.Namespace, stages: Sequence[str]) -> None:
    from solspace.run.loop import run_stage
    from solspace.stages import collection

    for stage in stages:
        known = collection.stages(None)[stage].options if len(stages) == 1 else {}
        options = {
            name: getattr(args, name) for name in known if getattr(args, name, None) is not None
        }
        _say_outcomes(
            args,
            stage,
            run_stage(
                args.store,
                stage,
                task=args.task,
                architecture=args.architecture,
                workers=args.workers,
                scheduler=args.scheduler,
                slurm=_slurm(args),
                options=options,
                redo=getattr(args, "redo", False),
                part=getattr(args, "slice", None),
                progress=not args.quiet,
            ),
        )


def _slurm(args: argparse.Namespace) -> dict[str, Any] | None:
    """How many jobs of SLURM to start, and their options."""
    pairs = args.slurm_option or []
    if args.slurm is None:
        if pairs:
            raise SolspaceError("--slurm-option is of --slurm N; give both")
        return None
    usage = "--slurm-option NAME=VALUE"
    options = {name.replace("-", "_"): value for name, value in _named_values(pairs, usage)}
    return {"workers": args.slurm, **options}


def _say_outcomes(args: argparse.Namespace, stage: str, outcomes: Any) -> None:
    from solspace.kinds import kind_of
    from solspace.stages import collection

    for outcome in outcomes:
        text = f"{outcome.done} of {outcome.networks} networks done"
        if getattr(args, "slice", None) is not None:
            text += f", {outcome.computed} by slice {args.slice} now"
        if outcome.failed:
            text += (
                f", {outcome.failed} failed (reasons: message_{stage} in the store, "
                "or `solspace info --failed`)"
            )
        if not outcome.computed:
            text += ", nothing was pending"
            # `run` of every stage takes no --redo.
            again = hasattr(args, "redo") and getattr(args, "stage", stage) is not None
            text += " (--redo computes them again)" if again else ""
        verb = stage.replace("_", "-")
        _say(f"{verb} {outcome.population}: {text}", quiet=args.quiet)
        record = collection.find(stage, kind_of(outcome.population.architecture).name)
        if record.table is not None:
            group = record.table_of or next(iter(record.groups), "population")
            _say(record.table(outcome.population.open(group)), quiet=args.quiet)


def draw_stages(args: argparse.Namespace) -> None:
    from solspace.stages import collection

    for where in args.own or []:
        collection.load_stage(where)
    print(collection.draw())


def migrate_store(args: argparse.Namespace) -> None:
    from solspace.info import size_on_disk
    from solspace.store.migrate import migrate

    for population in migrate(args.store, args.out):
        _say(f"migrate {population}: {population.networks} networks")
    _say(f"{args.out}: {size_on_disk(args.out) / 1e6:.1f} MB")


def describe_store(args: argparse.Namespace) -> None:
    from solspace.info import describe

    print(describe(args.store, args.task, args.architecture, failed=args.failed))


def describe_coverage(args: argparse.Namespace) -> None:
    from solspace import info

    print(
        info.describe_coverage(
            args.store, args.task, args.architecture, by=args.by, target=args.target
        )
    )


def compare(args: argparse.Namespace) -> None:
    from solspace import info

    if args.measure == "list":
        from solspace.similarity.telling import measures_table

        print("\n".join(measures_table()))
        return
    if args.store is None:
        raise SolspaceError("compare needs a store; give STORE OTHER, or STORE --measure NAME")
    if args.measure is not None:
        _compare_networks(args)
        return
    own = {n.replace("_", "-"): getattr(args, n) for n in
           ("other_architecture", "option", "block", "out", "force", "workers", "scheduler",
            "slurm", "slurm_option")}  # fmt: skip
    if given := [name for name, value in own.items() if value]:
        raise SolspaceError(f"--{given[0]} is of --measure NAME; give both")
    if args.other is None:
        raise SolspaceError(
            "compare needs OTHER, the store to compare with, or --measure NAME (--measure list "
            "lists them)"
        )
    print(
        info.describe_differences(args.store, args.other, args.task, args.architecture, by=args.by)
    )


def locate(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from solspace.locating.words import location_table
    from solspace.run.locating import locate_recordings

    bars: list[Any] = []

    def seen(name: str, networks: int) -> Callable[[int], None]:
        own: list[Any] = []

        def update(n: int) -> None:
            if not own:  # not before something is done: what is refused needs no bar
                bar = tqdm(
                    total=networks,
                    unit="network",
                    desc=f"locate {name}",
                    disable=args.quiet,
                    dynamic_ncols=True,
                )
                own.append(bar)
                bars.append(bar)
            own[0].update(n)
            if own[0].n >= networks:
                own[0].close()

        return update

    if args.out is not None:
        _check_out(args.out, args.force)
    found = locate_recordings(
        args.store,
        args.other or args.store,
        task=args.task,
        architecture=args.architecture,
        names=args.recording,
        one=bool(args.out),
        progress=seen,
        label=args.label,
        sure=args.sure,
        shuffles=args.shuffles,
        seed=args.seed,
        measures=tuple(args.measure),
    )
    try:
        for name, out in found:
            _say(f"{name}\n" + textwrap.indent(location_table(out), "  "))
            if args.out is not None:
                _write_out(out, args.out)
    finally:
        for bar in bars:
            bar.close()


def _compare_networks(args: argparse.Namespace) -> None:
    """Networks one by one, by a measure."""
    from solspace.run.comparing import compare_networks, matched_populations
    from solspace.similarity import get_measure
    from solspace.similarity.telling import pairs_table

    which = {n: getattr(args, n) for n in ("other", "task", "architecture", "other_architecture")}
    measure = get_measure(args.measure)
    options = _measure_options(args.option or [], measure)
    if args.out is not None:
        _check_out(args.out, args.force)
        if len(names := matched_populations(args.store, **which)) > 1:
            raise SolspaceError(
                f"--out keeps the pairs of one population, and there are {', '.join(names)}; give "
                "--task and --architecture"
            )
    found = compare_networks(
        args.store,
        measure,
        **which,
        by=args.by,
        block=args.block,
        workers=args.workers,
        scheduler=args.scheduler,
        slurm=_slurm(args),
        options=options,
        progress=not args.quiet,
    )
    if args.out is not None:
        for pairs in found.values():
            _write_out(pairs, args.out)
    # Written first: a label that is not there is no reason to lose the pairs.
    for name, pairs in found.items():
        _say(name, quiet=args.quiet)
        for line in pairs_table(pairs, args.by):
            _say(f"  {line}", quiet=args.quiet)
    told = f"pairs: {args.out}" if args.out else "pairs are not kept; -o FILE.nc keeps them"
    _say(told, quiet=args.quiet)


def _write_out(found: Any, out: str) -> None:
    """Under its name when it is whole and not before; as netCDF 3, which needs scipy alone."""
    unfinished = f"{out}.unfinished"
    try:
        found.to_netcdf(unfinished, engine="scipy")
        os.replace(unfinished, out)
    finally:
        if os.path.lexists(unfinished):
            os.remove(unfinished)


def _check_out(out: str, force: bool) -> None:
    """Refuse a file that cannot be written, before anything is computed."""
    folder = os.path.dirname(out) or "."
    if not out.endswith(".nc"):
        raise SolspaceError(f"-o {out!r}; give a file that ends in .nc, such as pairs.nc")
    if not os.path.isdir(folder):
        raise SolspaceError(f"{out}: there is no folder {folder}; make it, or give another")
    if os.path.exists(out) and not force:
        raise SolspaceError(f"{out}: is there already; give another name, or --force")


def _measure_options(pairs: Sequence[str], measure: Any) -> dict[str, Any]:
    """Options of a measure, NAME=VALUE, each of the type of its default."""
    known = measure.options()
    out: dict[str, Any] = {}
    for name, text in _named_values(pairs, "--option NAME=VALUE"):
        measure.split({name: text})  # its name
        kind = type(known[name])
        try:
            out[name] = _value(kind, text)
        except ValueError:
            raise SolspaceError(
                f"--option {name}={text}: {text!r} is no {kind.__name__}; give one, such as "
                f"--option {name}={known[name]}"
            ) from None
    return out


def describe_degeneracy(args: argparse.Namespace) -> None:
    from solspace.run.comparing import measure_degeneracy
    from solspace.similarity import get_measure
    from solspace.similarity.telling import degeneracy_table

    found = measure_degeneracy(
        args.store,
        task=args.task,
        architecture=args.architecture,
        dynamics=args.dynamics,
        networks=args.networks,
        workers=args.workers,
        scheduler=args.scheduler,
        slurm=_slurm(args),
        options=_measure_options(args.option or [], get_measure(args.dynamics)),
    )
    for name, ds in found.items():
        _say(name, quiet=args.quiet)
        for line in degeneracy_table(ds):
            _say(f"  {line}", quiet=args.quiet)


def correlate(args: argparse.Namespace) -> None:
    from solspace.individuality import correlation_table
    from solspace.run.correlating import correlate_populations

    if args.out is not None:
        _check_out(args.out, args.force)
    found = correlate_populations(
        args.store,
        task=args.task,
        architecture=args.architecture,
        by=None if args.by == "none" else args.by,
        permutations=args.permutations,
        seed=args.seed,
    )
    if args.out is not None:
        if len(found) > 1:
            raise SolspaceError(
                f"{args.out}: keeps the correlations of one population, and here are "
                f"{', '.join(found)}; choose by --task and --architecture"
            )
        for ds in found.values():
            _write_out(ds, args.out)
    for name, ds in found.items():
        _say(f"{name}\n" + textwrap.indent(correlation_table(ds, args.most), "  "))


def design_trials(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from solspace.design import design
    from solspace.design.planning import check_design
    from solspace.design.telling import describe_design
    from solspace.run import where as compute
    from solspace.run.answering import population_answers
    from solspace.store import Store

    where = {"workers": args.workers, "scheduler": args.scheduler, "slurm": _slurm(args)}
    compute.check_where(**where)
    populations = [
        one
        for one in Store(args.store).select(args.task, args.architecture)
        if one.architecture != "recorded"
    ]
    if not populations:
        raise SolspaceError(
            f"{args.store}: has recordings alone, and challenges are given to networks; give a "
            "store of networks"
        )
    if args.out is not None:
        _check_out(args.out, args.force)
        if len(populations) > 1:
            raise SolspaceError(
                f"{args.out}: keeps the design of one population, and here are "
                f"{', '.join(map(str, populations))}; choose by --task and --architecture"
            )
    names = ("label", "strict", "without", "noise", "most", "sure", "minimum_class_size")
    how = {name: getattr(args, name) for name in names}
    for k, population in enumerate(populations):
        ds = population.open()
        # Whatever can be refused is, before networks are run.
        try:
            check_design(ds, **how)
        except SolspaceError as error:
            raise SolspaceError(f"{population.path}: {population}: {error}") from None
        with tqdm(
            total=population.networks,
            unit="network",
            desc=f"design {population}",
            disable=args.quiet,
            dynamic_ncols=True,
        ) as bar:
            answered = population_answers(population, progress=bar.update, **where)
        found = design(ds, answered=answered, **how)
        print(("\n" if k else "") + f"{population}: {describe_design(found)}")
        if args.out is not None:
            _write_out(found, args.out)
            _say(f"design: {args.out}", quiet=args.quiet)


def _read_design(path: str) -> Any:
    """What `solspace design STORE -o FILE.nc` kept."""
    import xarray as xr

    wrong = f"{path}: is not what `solspace design STORE -o FILE.nc` writes; give such a file"
    if not os.path.isfile(path):
        raise SolspaceError(f"{path}: no such file; make it by `solspace design STORE -o FILE.nc`")
    try:
        designed = xr.load_dataset(path, engine="scipy")
    except (TypeError, ValueError):
        raise SolspaceError(wrong) from None
    if "network_answer" not in designed.variables:
        raise SolspaceError(wrong)
    return designed


def identify_solution(args: argparse.Namespace) -> None:
    from solspace.design import identify
    from solspace.design.telling import describe_verdict

    designed = _read_design(args.file)
    usage = 'CHALLENGE=ANSWER, such as "ready 0, set 100=148"'
    given: dict[str, Any] = {}
    for pair in args.given:
        name, equals, answer = pair.partition("=")
        if not (name and equals and answer):
            raise SolspaceError(f"{pair!r} is no answer; give {usage}")
        if name in given:
            raise SolspaceError(f"challenge {name!r} is given twice; give it once")
        # Of choices +1, -1 or none, as it is.
        given[name] = answer if "given_input" in designed.variables else _events(answer)
    print(describe_verdict(designed, identify(designed, given)))


def _events(answer: str) -> Any:
    """Times of outputs, with what and how long, as numbers; anything else as it is."""
    import re

    if not re.fullmatch(
        r"\s*\d+(\.\d+)?(:[+-]?\d+){0,2}(\s*,\s*\d+(\.\d+)?(:[+-]?\d+){0,2})*\s*", answer
    ):
        return answer
    events = []
    for text in answer.split(","):
        time, *more = text.strip().split(":")
        events.append((float(time), int(more[0]) if more else 1, *map(int, more[1:])))
    return events


def check_faults(args: argparse.Namespace) -> None:
    from solspace.store.check import check_store

    found = check_store(args.store, args.task, args.architecture, quick=args.quick)
    if found:
        raise SolspaceError(
            f"{args.store}: {len(found)} fault{'s' * (len(found) > 1)}: {'; '.join(found)}"
        )
    print(f"{args.store}: no faults")


def pack_stores(args: argparse.Namespace) -> None:
    from solspace.info import size_on_disk
    from solspace.run.populations import pack

    for population in pack(
        args.stores, args.store, task=args.task, architecture=args.architecture, force=args.force
    ):
        _say(f"pack {population}: {population.networks} networks")
    _say(f"{args.store}: {size_on_disk(args.store) / 1e6:.1f} MB")


def make_report(args: argparse.Namespace) -> None:
    from solspace.info import read_for_report
    from solspace.report import write_report

    populations = read_for_report(args.store, args.task, args.architecture)
    write_report(populations, args.out, title=args.title, force=args.force)
    _say(f"report: {args.out}, pictures in {os.path.splitext(args.out)[0]}_files")


def explore_store(args: argparse.Namespace) -> None:
    from solspace.explorer.maps import read_distances
    from solspace.explorer.serving import serve

    serve(
        args.store,
        port=args.port,
        address=args.address,
        save_labels=args.save_labels,
        distances=None if args.distances is None else read_distances(args.distances),
        design=None if args.design is None else _read_design(args.design),
        recordings=args.recordings,
    )


def _say(text: str, *, quiet: bool = False) -> None:
    if not quiet:
        print(text)
