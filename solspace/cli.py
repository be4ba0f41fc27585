"""The command line: one verb a stage, thinly over the functions of the package."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from solspace import __version__
from solspace.errors import SolspaceError
from solspace.kinds import kind_of

__all__ = ["main"]

_MOST_LOSSES = 100  # said one by one after an import

_DESCRIPTION = """\
Populations of trained recurrent networks as labeled datasets.

A store is a folder in Zarr format. Every command below reads variables of a store and adds
variables to it; all are resumable: killed at any moment and typed again, they go on where they
were. What is in a store is read with xarray:

    xarray.open_zarr("STORE", group="interval_reproduction/vanilla")
"""

_EPILOG = """\
from nothing to a charted space of solutions:

    solspace train demo.zarr --task interval_reproduction --architecture vanilla \\
        --networks 16 --hidden-size 20 30 40 50 --seed 0
    solspace run demo.zarr
    solspace info demo.zarr
    solspace report demo.zarr demo.html
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 2 with one line on stderr for bad input.

    Examples
    --------
    >>> main(["info", "nowhere.zarr"])
    2
    """
    args = _parser().parse_args(argv)
    try:
        args.command(args)
    except SolspaceError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _fail(
            f"{getattr(args, 'store', '')}: no space left on the disk; what is stored is whole, "
            "free some space and type the same command again"
        )
    except KeyboardInterrupt:
        print(
            "\nsolspace: interrupted; what is stored is whole, type the same command to go on",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        # The reader of a table, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _fail(message: str) -> int:
    print(f"solspace: {' '.join(message.split())}", file=sys.stderr)
    return 2


# --------------------------------------------------------------------------- commands


def _train(args: argparse.Namespace) -> None:
    from solspace.locks import Slice
    from solspace.pipeline import create_population
    from solspace.population import new_population
    from solspace.tasks import only_architecture

    described: dict[str, Any] = {
        name: value
        for name in ("networks", "hidden_size", "seed", "checkpoints", "alpha")
        if (value := getattr(args, name)) is not None
    }
    if args.slice is not None:
        Slice.parse(args.slice)  # before anything is made
    # With a description nothing is looked up: other slices may be making the store right now.
    if described or not _begun(args):
        if args.task is not None and args.architecture is None:
            args.architecture = only_architecture(args.task)
        if args.task is None or args.architecture is None:
            raise SolspaceError(
                "a new population needs --task and --architecture, such as "
                "--task interval_reproduction --architecture vanilla"
            )
        ds = new_population(
            args.task,
            args.architecture,
            networks=described.get("networks", 16),
            hidden_size=described.get("hidden_size"),
            seed=described.get("seed", 0),
            checkpoints=described.get("checkpoints", 0),
            **({"alpha": described["alpha"]} if "alpha" in described else {}),
        )
        create_population(args.store, ds, shard_size=args.shard_size, shared=args.slice is not None)
    _run_stages(args, ["train"])


def _begun(args: argparse.Namespace) -> bool:
    from solspace.store import Store

    if not os.path.exists(args.store):
        return False
    return bool(Store(args.store).populations(args.task, args.architecture))


def _import(args: argparse.Namespace) -> None:
    from solspace.pipeline import import_files
    from solspace.population import failures_told_elsewhere, said_losses, target_loss

    with failures_told_elsewhere():
        population = import_files(
            args.store,
            args.files,
            args.task,
            args.architecture,
            shard_size=args.shard_size,
            **{k: v for k in ("alpha", "nonlinearity") if (v := getattr(args, k)) is not None},
        )
    _say(f"import {population}: {population.networks} networks")
    ds = population.open()[["loss"]].load()
    ds.attrs["architecture"] = population.architecture
    target = target_loss(population.task, population.architecture)
    beside = f"target {target:g}" if target == target else "no recipe, so no target"
    names, losses = ds["name"].values, ds["loss"].values
    shown = min(len(names), _MOST_LOSSES)
    for name, loss in zip(names[:shown], losses[:shown], strict=True):
        _say(f"  {name}: loss {loss:.3g} ({beside})")
    if shown < len(names):
        rest = losses[shown:]
        _say(f"  {len(rest)} more: loss {rest.min():.3g} to {rest.max():.3g} ({beside})")
    if said := said_losses(ds, population.task):
        print(f"solspace: WARNING: {said}", file=sys.stderr)


def _stage(args: argparse.Namespace) -> None:
    _run_stages(args, [args.verb])


def _run(args: argparse.Namespace) -> None:
    from solspace.pipeline import PIPELINE
    from solspace.store import Store

    there = Store(args.store).populations(args.task, args.architecture)
    known = {stage for population in there for stage in kind_of(population.architecture).stages}
    _run_stages(args, [stage for stage in PIPELINE if stage in known or not there])


def _run_stages(args: argparse.Namespace, stages: Sequence[str]) -> None:
    from solspace.pipeline import run_stage

    for stage in stages:
        options = {
            name: getattr(args, name)
            for name in ("device", "method")
            if getattr(args, name, None) is not None
        }
        for outcome in run_stage(
            args.store,
            stage,
            task=args.task,
            architecture=args.architecture,
            workers=args.workers,
            scheduler=args.scheduler,
            options=options if len(stages) == 1 else {},
            redo=getattr(args, "redo", False),
            part=getattr(args, "slice", None),
            progress=not args.quiet,
        ):
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
                text += " (--redo computes them again)" if hasattr(args, "redo") else ""
            _say(f"{stage} {outcome.population}: {text}", quiet=args.quiet)


def _classify(args: argparse.Namespace) -> None:
    from solspace.classification import SETS, classification_table, classify_store

    options = {
        name: getattr(args, name)
        for name in ("label", "least", "small", "repeats", "permutations", "seed", "jobs")
        if getattr(args, name) is not None
    }
    for name, out in classify_store(
        args.store,
        task=args.task,
        architecture=args.architecture,
        show=not args.quiet,
        sets=tuple(args.sets or SETS),
        **options,
    ):
        _say(f"classify {name}:\n{classification_table(out)}", quiet=args.quiet)


def _recording_size(args: argparse.Namespace) -> None:
    from solspace.experiment import recording_size_store, recording_size_table

    options = {
        name: getattr(args, name)
        for name in ("label", "set", "rate", "bin_ms", "step_ms", "least", "small", "repeats")
        if getattr(args, name) is not None
    }
    for name in ("units", "trials"):
        if getattr(args, name) is not None:
            options[name] = tuple(n or None for n in getattr(args, name))
    for name, out in recording_size_store(
        args.store,
        task=args.task,
        architecture=args.architecture,
        show=not args.quiet,
        **options,
    ):
        _say(f"recording-size {name}: kappa\n{recording_size_table(out)}", quiet=args.quiet)


def _info(args: argparse.Namespace) -> None:
    from solspace.info import describe

    print(describe(args.store, args.task, args.architecture, failed=args.failed))


def _check(args: argparse.Namespace) -> None:
    from solspace.info import check_store

    found = check_store(args.store, args.task, args.architecture)
    if found:
        raise SolspaceError(
            f"{args.store}: {len(found)} fault{'s' * (len(found) > 1)}: {'; '.join(found)}"
        )
    print(f"{args.store}: no faults")


def _pack(args: argparse.Namespace) -> None:
    from solspace.info import size_on_disk
    from solspace.pipeline import pack

    for population in pack(args.stores, args.store, task=args.task, architecture=args.architecture):
        _say(f"pack {population}: {population.networks} networks")
    _say(f"{args.store}: {size_on_disk(args.store) / 1e6:.1f} MB")


def _report(args: argparse.Namespace) -> None:
    from solspace.info import read_for_report
    from solspace.report import write_report

    populations = read_for_report(args.store, args.task, args.architecture)
    write_report(populations, args.out, title=args.title)
    _say(f"report: {args.out}, pictures in {os.path.splitext(args.out)[0]}_files")


def _say(text: str, *, quiet: bool = False) -> None:
    if not quiet:
        print(text)


# --------------------------------------------------------------------------- what can be typed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="solspace",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"solspace {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)

    def verb(
        name: str,
        command: Callable[[argparse.Namespace], None],
        short: str,
        text: str,
        example: str,
        stores: bool = False,
    ) -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            name,
            help=short,
            description=f"{short[0].upper()}{short[1:]}.\n\n{text}",
            epilog=f"example:\n\n    {example}\n",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        if stores:
            sub.add_argument("stores", metavar="SRC", nargs="+", help="stores to copy from")
            sub.add_argument("store", metavar="DST", help="the new store")
        else:
            sub.add_argument("store", metavar="STORE", help="the store, a folder")
        return sub

    train = verb(
        "train",
        _train,
        "train a population of networks from scratch",
        "Each network gets a seed of its own and up to several inits; one that never reaches\n"
        "the recipe's target loss is stored as failed, with its best weights. Type the same\n"
        "command again to go on after an interruption; for a population that was begun the STORE\n"
        "is enough.",
        "solspace train my.zarr --task interval_reproduction --architecture vanilla "
        "--networks 400 --hidden-size 20 30 40 50",
    )
    _choice(train, required=False)
    train.add_argument("--networks", type=int, help="how many (default: 16)")
    train.add_argument(
        "--hidden-size",
        type=int,
        nargs="+",
        metavar="N",
        help="units of a network; several sizes are dealt out in turn (default: 50; planar: 2)",
    )
    train.add_argument("--seed", type=int, help="of the population (default: 0)")
    train.add_argument(
        "--checkpoints",
        type=int,
        metavar="N",
        help="keep each network's weights at N losses on its way down, in the group learning "
        "(default: none)",
    )
    train.add_argument(
        "--alpha", type=float, metavar="A", help="step of leaky networks (default: 0.2)"
    )
    _shard_size(train)
    _where(train)
    _slice(train)

    importer = verb(
        "import",
        _import,
        "import networks trained elsewhere, torch state dicts in files",
        "Takes what torch.save(model.state_dict(), path) wrote: one recurrent layer and one\n"
        "linear readout under any names. Files are read without running code in them. A network\n"
        "is named after its folder where the file is called weights.pt, else after the file; an\n"
        "initial_weights.pt beside a weights.pt fills the initial weights. Where one file does\n"
        "not fit, it is named and nothing is written.\n\n"
        "A state dict does not say the nonlinearity, nor the state a network starts from: vanilla\n"
        "means tanh, and all start from zero; parameters that have no place in that are refused.\n"
        "Prints each network's loss on the task beside the target of the task's recipe, and warns\n"
        "where it is over ten times the target.",
        "solspace import my.zarr --task interval_reproduction --architecture gru nets/*/weights.pt",
    )
    _choice(importer, required=True)
    importer.add_argument("files", metavar="FILE", nargs="+", help="torch state dicts (.pt)")
    importer.add_argument(
        "--alpha", type=float, metavar="A", help="step of leaky networks whose files hold none"
    )
    importer.add_argument(
        "--nonlinearity",
        help="what the networks are known to have, such as tanh or relu; an error where the "
        "architecture has another",
    )
    _shard_size(importer)

    stages: dict[str, tuple[str, str]] = {
        "record": (
            "record every network's activity and output on the training set",
            "Fills the group TASK/ARCHITECTURE/training: the trials with their epochs, activity\n"
            "(network, trial, time, unit) and output.",
        ),
        "extrapolate": (
            "run every network on trials outside the trained range",
            "Fills the group TASK/ARCHITECTURE/extrapolation, output (network, trial, time,\n"
            "output). Interval reproduction: t_in from 5 to 150, 480 steps a trial.",
        ),
        "reduce": (
            "compress every network's dynamics into a small graph and label the solutions",
            "Fills the group TASK/ARCHITECTURE/graph, and solution (most common first) and\n"
            "solution_key of the population. Networks with the same key found the same solution.",
        ),
        "verify": (
            "test every network's graph with random sequences of pulses and waits",
            "Fills graph_recall (share of its own sequences a network's graph allows) and\n"
            "graph_specificity (share of other solutions' sequences it forbids).",
        ),
        "features": (
            "compute features of every network's recorded activity",
            "Fills features (network, feature) of the population, by the published names.",
        ),
    }
    for name, (short, text) in stages.items():
        sub = verb(name, _stage, short, text, f"solspace {name} my.zarr --workers 2")
        _choice(sub)
        _where(sub)
        _slice(sub)
        sub.add_argument(
            "--redo", action="store_true", help="compute again what is done, such as differently"
        )
        if name in ("record", "extrapolate"):
            sub.add_argument("--device", help="torch device to run on, such as cuda")
        if name == "reduce":
            sub.add_argument(
                "--method",
                choices=["turner2021", "automaton", "timed"],
                help="how graphs are made: as published, from what networks answer to pulses at "
                "many moments, or with windows of time on the edges (default: turner2021)",
            )

    run = verb(
        "run",
        _run,
        "run every stage that is pending",
        "train (where networks are pending), record, extrapolate, reduce, verify, features: what\n"
        "has not ended for all networks of the store.",
        "solspace run my.zarr",
    )
    _choice(run)
    _where(run)

    classify = verb(
        "classify",
        _classify,
        "predict the solution of each network from features of its activity",
        "Fills the group TASK/ARCHITECTURE/classification: predictions for networks held out,\n"
        "kappa with its interval, confusion matrix, calibration, null and importance, for several\n"
        "sets of features on the same folds. Reads the features and the label alone. See\n"
        "docs/classification.md.",
        "solspace classify my.zarr",
    )
    _choice(classify)
    classify.add_argument("--label", help="variable to predict (default: solution)")
    classify.add_argument(
        "--sets",
        nargs="+",
        metavar="SET",
        help="published, activity, all, or families joined by + (default: those three)",
    )
    classify.add_argument(
        "--least", type=int, metavar="N", help="networks a class has to have (default: 10)"
    )
    classify.add_argument(
        "--small",
        choices=["exclude", "pool"],
        help="leave networks of smaller classes out, or pool them (default: exclude)",
    )
    classify.add_argument("--repeats", type=int, metavar="N", help="of ten folds (default: 5)")
    classify.add_argument(
        "--permutations", type=int, metavar="N", help="of the labels (default: 100)"
    )
    classify.add_argument("--seed", type=int, help="of folds and models (default: 0)")
    classify.add_argument("--jobs", type=int, metavar="N", help="processes (default: 1)")
    classify.add_argument("--quiet", action="store_true", help="no progress bar, no table")

    size = verb(
        "recording-size",
        _recording_size,
        "say how well the solution is predicted from few units, spikes and trials",
        "Fills the group TASK/ARCHITECTURE/recording_size: kappa over the number of units and of\n"
        "trials of each condition, with units drawn at random and Poisson spikes. See\n"
        "docs/classification.md.",
        "solspace recording-size my.zarr --units 5 10 20 0 --trials 1 10 100 0 --rate 50",
    )
    _choice(size)
    size.add_argument("--label", help="variable to predict (default: solution)")
    size.add_argument("--set", help="activity, all, or families joined by + (default: activity)")
    size.add_argument(
        "--units", type=int, nargs="+", metavar="N", help="0 for all (default: 5 10 20 0)"
    )
    size.add_argument(
        "--trials",
        type=int,
        nargs="+",
        metavar="N",
        help="of each condition; 0 for activity without spikes (default: 1 10 100 0)",
    )
    size.add_argument("--rate", type=float, metavar="HZ", help="of a unit at 1 (default: 50)")
    size.add_argument("--bin-ms", type=float, metavar="MS", help="window (default: 50)")
    size.add_argument("--step-ms", type=float, metavar="MS", help="of one step (default: 10)")
    size.add_argument("--least", type=int, metavar="N", help="networks of a class (default: 10)")
    size.add_argument("--small", choices=["exclude", "pool"], help="classes (default: exclude)")
    size.add_argument("--repeats", type=int, metavar="N", help="of ten folds (default: 3)")
    size.add_argument("--quiet", action="store_true", help="no progress bar, no table")

    info = verb(
        "info",
        _info,
        "say what is in a store",
        "Populations, networks by size, stages, and the table of solutions.",
        "solspace info my.zarr --task interval_reproduction",
    )
    _choice(info)
    info.add_argument("--failed", action="store_true", help="list failed networks and reasons")

    check = verb(
        "check",
        _check,
        "check a store against the contract",
        "Looks at every array and says all faults in one message: what is missing, of another\n"
        "shape or type, called done but empty, or at odds with itself.",
        "solspace check my.zarr",
    )
    _choice(check)

    packer = verb(
        "pack",
        _pack,
        "copy populations into one small store, to be shared",
        "Leaves out activity and extrapolated outputs, which `solspace record` and `solspace\n"
        "extrapolate` bring back in the copy to the last bit, and keeps all the rest: weights\n"
        "before and after training, losses, features, graphs, solutions, checkpoints, provenance.\n"
        "Nothing is overwritten, and a copy that is interrupted leaves nothing.",
        "solspace pack one.zarr another.zarr to_share.zarr",
        stores=True,
    )
    _choice(packer)

    report = verb(
        "report",
        _report,
        "write one self-contained page about a store, and its pictures",
        "How many networks found which solution, and for each of the commonest a drawing of\n"
        "its graph, one network's extrapolation, and its trajectories. Each picture is saved as\n"
        "PNG and SVG in a folder beside the page.",
        "solspace report my.zarr my.html",
    )
    _choice(report)
    report.add_argument("out", metavar="OUT.html", help="the page")
    report.add_argument("--title", default="The space of solutions", help="of the page")
    return parser


def _choice(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    default = "" if required else " (default: every one in the store)"
    parser.add_argument("--task", required=required, help=f"such as interval_reproduction{default}")
    parser.add_argument(
        "--architecture",
        required=required,
        help=f"such as vanilla, relu, leaky, gru, lstm or planar{default}",
    )


def _where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes of a local dask cluster (default: threads of this process, one a core)",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running dask scheduler to send the work to"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def _slice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--slice",
        metavar="K/N",
        help="only the K-th of N consecutive runs of networks, such as 3/8; other slices may run "
        "at the same time, on any machine that sees the store",
    )


def _shard_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shard-size",
        type=int,
        metavar="N",
        help="networks written at once, the unit of work (default: by the number of networks)",
    )


if __name__ == "__main__":
    sys.exit(main())
