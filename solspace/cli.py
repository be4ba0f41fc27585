"""The command line: one verb a stage, thinly over the functions of the package."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from solspace import __version__
from solspace.errors import SolspaceError

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
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            where = error.filename or getattr(args, "store", "")
            return _fail(
                f"{where}: cannot be written to ({error.strerror}); give a name in a folder that "
                "you can write to"
            )
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
    from solspace.population import new_population
    from solspace.run import where as compute
    from solspace.run.populations import create_population
    from solspace.store.locks import Slice
    from solspace.tasks import only_architecture

    described: dict[str, Any] = {
        name: value
        for name in ("networks", "hidden_size", "seed", "checkpoints", "alpha")
        if (value := getattr(args, name)) is not None
    }
    # Before anything is made.
    compute.check_where(args.workers, args.scheduler)
    if args.slice is not None:
        Slice.parse(args.slice)
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
    from solspace.population import failures_told_elsewhere, said_losses, target_loss
    from solspace.run.populations import import_files

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
    _run_stages(args, [args.verb.replace("-", "_")])


def _run(args: argparse.Namespace) -> None:
    from solspace.run.loop import run_stage
    from solspace.stages import collection
    from solspace.store import Store

    if args.stage:
        name = collection.load_stage(args.stage).name if ":" in args.stage else args.stage
        name = name.replace("-", "_")
        there = Store(args.store).select(args.task, args.architecture)
        kinds = {collection.kind_of(p.architecture).name for p in there}
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
    kinds = {collection.kind_of(p.architecture).name for p in there} or {"recurrent"}
    for stage in dict.fromkeys(
        n
        for k in sorted(kinds, reverse=True)
        for n, s in collection.stages(k).items()
        if s.by_default
    ):
        _run_stages(args, [stage])


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
                f"--option {pair!r}: {text!r} is no {option.type.__name__}"
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
                options=options,
                redo=getattr(args, "redo", False),
                part=getattr(args, "slice", None),
                progress=not args.quiet,
            ),
        )


def _say_outcomes(args: argparse.Namespace, stage: str, outcomes: Any) -> None:
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
            text += " (--redo computes them again)" if hasattr(args, "redo") else ""
        verb = stage.replace("_", "-")
        _say(f"{verb} {outcome.population}: {text}", quiet=args.quiet)
        record = collection.find(stage, collection.kind_of(outcome.population.architecture).name)
        if record.table is not None:
            group = next(iter(record.groups), "population")
            _say(record.table(outcome.population.open(group)), quiet=args.quiet)


def _stages(args: argparse.Namespace) -> None:
    from solspace.stages import collection

    for where in args.own or []:
        collection.load_stage(where)
    print(collection.draw())


def _migrate(args: argparse.Namespace) -> None:
    from solspace.info import size_on_disk
    from solspace.store.migrate import migrate

    for population in migrate(args.store, args.out):
        _say(f"migrate {population}: {population.networks} networks")
    _say(f"{args.out}: {size_on_disk(args.out) / 1e6:.1f} MB")


def _info(args: argparse.Namespace) -> None:
    from solspace.info import describe

    print(describe(args.store, args.task, args.architecture, failed=args.failed))


def _check(args: argparse.Namespace) -> None:
    from solspace.store.check import check_store

    found = check_store(args.store, args.task, args.architecture)
    if found:
        raise SolspaceError(
            f"{args.store}: {len(found)} fault{'s' * (len(found) > 1)}: {'; '.join(found)}"
        )
    print(f"{args.store}: no faults")


def _pack(args: argparse.Namespace) -> None:
    from solspace.info import size_on_disk
    from solspace.run.populations import pack

    for population in pack(
        args.stores, args.store, task=args.task, architecture=args.architecture, force=args.force
    ):
        _say(f"pack {population}: {population.networks} networks")
    _say(f"{args.store}: {size_on_disk(args.store) / 1e6:.1f} MB")


def _report(args: argparse.Namespace) -> None:
    from solspace.info import read_for_report
    from solspace.report import write_report

    populations = read_for_report(args.store, args.task, args.architecture)
    write_report(populations, args.out, title=args.title, force=args.force)
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
        "solspace train my.zarr --task interval_reproduction --architecture vanilla \\\n"
        "        --networks 400 --hidden-size 20 30 40 50",
    )
    _choice(train, required=False)
    train.add_argument("--networks", type=int, metavar="N", help="how many (default: 16)")
    train.add_argument(
        "--hidden-size",
        type=int,
        nargs="+",
        metavar="N",
        help="units of a network; several sizes are dealt out in turn (default: 50; planar: 2)",
    )
    train.add_argument("--seed", type=int, metavar="S", help="of the population (default: 0)")
    train.add_argument(
        "--checkpoints",
        type=int,
        metavar="N",
        help="keep each network's weights at N losses on its way down, in the group checkpoints "
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

    for record in _stage_records():
        if record.name == "train":
            continue
        sub = verb(
            record.verb,
            _stage,
            record.summary[:1].lower() + record.summary[1:],
            _told_fills(record),
            f"solspace {record.verb} my.zarr" + (" --workers 2" if record.by_default else ""),
        )
        _choice(sub)
        if record.over == "network":
            _where(sub)
            _slice(sub)
        else:
            sub.set_defaults(workers=None, scheduler=None)
            _quiet(sub)
        sub.add_argument(
            "--redo",
            action="store_true",
            help="compute what is done again, such as with other options",
        )
        for option in record.options.values():
            if option.typed:
                _option(sub, option)

    by_default = ", ".join(record.verb for record in _stage_records() if record.by_default)
    run = verb(
        "run",
        _run,
        "run every stage that is pending, or one of your own",
        "\n".join(textwrap.wrap(f"Runs {by_default}: what has not ended for all networks.", 90))
        + "\nWith --stage one stage, after those it needs; FILE.py:FUNCTION is one of your own\n"
        "(docs/own_analysis.md). `solspace stages` draws which there are.",
        "solspace run my.zarr --stage my_analysis.py:participation_ratio",
    )
    _choice(run)
    _where(run)
    _slice(run)
    run.add_argument("--stage", metavar="STAGE", help="a stage's name, or FILE.py:FUNCTION")
    run.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        help="an option of that stage; several values with commas",
    )
    run.add_argument(
        "--redo", action="store_true", help="compute that stage again where it is done"
    )

    drawn = verbs.add_parser(
        "stages",
        help="draw which stages there are and what depends on what",
        description="Draw which stages there are and what depends on what.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    drawn.set_defaults(command=_stages)
    drawn.add_argument("own", metavar="FILE.py:FUNCTION", nargs="*", help="stages of your own")

    migrate = verb(
        "migrate",
        _migrate,
        "make a store of this version from one of version 1",
        "STORE is read and left as it is; NEW is whole or not there. Every value of STORE is in\n"
        "NEW, under the names of docs/schema.md.",
        "solspace migrate old.zarr new.zarr",
    )
    migrate.add_argument("out", metavar="NEW", help="the new store")

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
        "extrapolate` bring back in the copy, on one machine to the last bit, and keeps all the\n"
        "rest: weights before and after training, final losses, features, graphs, solutions,\n"
        "checkpoints, provenance.\n"
        "Nothing is overwritten, and a copy that is interrupted leaves nothing.",
        "solspace pack one.zarr another.zarr to_share.zarr",
        stores=True,
    )
    _choice(packer)
    packer.add_argument(
        "--force",
        action="store_true",
        help="delete DST.unfinished, where the copy is made, also where solspace did not make it",
    )

    report = verb(
        "report",
        _report,
        "write one self-contained page about a store, and its pictures",
        "How many networks found which solution, and for each of the commonest a drawing of\n"
        "its graph, one network's extrapolation, and its trajectories. Each picture is saved as\n"
        "PNG and SVG in a folder beside the page. A page and pictures of an earlier report are\n"
        "replaced; anything else of that name is refused.",
        "solspace report my.zarr my.html",
    )
    _choice(report)
    report.add_argument("out", metavar="OUT.html", help="the page")
    report.add_argument("--title", default="The space of solutions", help="of the page")
    report.add_argument(
        "--force",
        action="store_true",
        help="replace OUT.html, and write into OUT_files, also where solspace did not make them",
    )
    return parser


def _stage_records() -> list[Any]:
    from solspace.stages import collection

    return list(collection.stages(None).values())


def _told_fills(record: Any) -> str:
    """What a stage fills, group by group."""
    lines = []
    for group in dict.fromkeys(v.group for v in record.fills):
        names = [v.name for v in record.fills if v.group == group and not v.coordinate]
        labels = [v.name for v in record.fills if v.group == group and v.coordinate]
        where = "" if group == "population" else f" in the group TASK/ARCHITECTURE/{group}"
        told = ", ".join([*(n for n in labels if "solution" in n), *names])
        lines += textwrap.wrap(f"Fills {told}{where}.", 90)
    return "\n".join(lines)


def _option(parser: argparse.ArgumentParser, option: Any) -> None:
    flag = f"--{option.name.replace('_', '-')}"
    default = option.default
    if isinstance(default, (tuple, list)):
        default = " ".join(str(v) for v in default)
    told = option.help + (f" (default: {default})" if default is not None else "")
    told = told.replace("%", "%%")
    if option.type is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=told)
        return
    parser.add_argument(
        flag,
        type=option.type,
        nargs="+" if option.many else None,
        choices=option.choices,
        metavar=None if option.choices else option.name.split("_")[-1].upper()[:8],
        help=told,
    )


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
    _quiet(parser)


def _quiet(parser: argparse.ArgumentParser) -> None:
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
        help="networks written at once, the unit of work (default: a fiftieth of them, of at most "
        "256 MB in any array)",
    )


if __name__ == "__main__":
    sys.exit(main())
