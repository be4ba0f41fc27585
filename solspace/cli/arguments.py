"""What can be typed: a command for each stage, made from its record, and those over stores."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from solspace import __version__
from solspace.cli import commands

if TYPE_CHECKING:
    from solspace.stages.record import Option, Stage

__all__ = ["make_parser"]

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

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


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line; what it reads has the function to call as ``command``.

    Examples
    --------
    >>> args = make_parser().parse_args(["info", "my.zarr"])
    >>> args.command.__name__, args.store
    ('describe_store', 'my.zarr')
    """
    parser: argparse.ArgumentParser = _Parser(
        prog="solspace",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"solspace {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for add in (
        _train,
        _import,
        _import_recording,
        _export_nwb,
        _stages,
        _run,
        _draw,
        _migrate,
        _info,
        _coverage,
        _compare,
        _degeneracy,
        _correlate,
        _design,
        _identify,
        _locate,
        _check,
        _pack,
        _report,
        _explore,
    ):
        add(verbs)
    return parser


class _Parser(argparse.ArgumentParser):
    """Takes a second store also where options stand between the two."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # argparse gives up a positional that may be left out at the first option after the other.
        found, rest = super().parse_known_args(args, namespace)
        if rest and not rest[0].startswith("-") and getattr(found, "other", "") is None:
            found.other = rest.pop(0)
        return found, rest


# --------------------------------------------------------------------------- commands


def _verb(
    verbs: Verbs,
    name: str,
    command: Callable[[argparse.Namespace], None],
    short: str,
    text: str,
    example: str,
    stores: bool = False,
    optional: bool = False,
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
        sub.add_argument(
            "store",
            metavar="STORE",
            nargs="?" if optional else None,
            help="the store, a folder",
        )
    sub.add_argument(
        "--task-file",
        metavar="FILE.py",
        action="append",
        help="a Python file with a task of your own, which is run; a store made from it is worked "
        "on later without this, as long as the file is where it was and as it was. It may also "
        "register architectures, and is then given each time",
    )
    return sub


def _train(verbs: Verbs) -> None:
    train = _verb(
        verbs,
        "train",
        commands.train,
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
    train.add_argument(
        "--recipe",
        nargs="+",
        metavar="NAME=VALUE",
        help="numbers of the task's recipe to change, such as learning_rate=0.003 (default: the "
        "recipe as it is; docs/recipes.md)",
    )
    (record,) = (one for one in _stage_records() if one.name == "train")
    _option(train, record.options["device"])
    _shard_size(train)
    _where(train)
    _slice(train)


def _import(verbs: Verbs) -> None:
    importer = _verb(
        verbs,
        "import",
        commands.import_files,
        "import networks trained elsewhere, state dicts or arrays in files",
        "Takes what torch.save(model.state_dict(), path) wrote (.pt), arrays by name (.npz) and\n"
        ".safetensors: one recurrent layer (of a module or a cell) and one linear readout under\n"
        "any names, with a linear encoder before and a learned state to start from (h0) where\n"
        "they have them; docs/import.md lists kinds of networks. Files are read without running\n"
        "code in them. A network is named after its folder where the file is called weights.pt,\n"
        "else after the file; an initial_weights.pt beside a weights.pt fills the weights before\n"
        "training. Where one file does not fit, it is named and nothing is written. Into a store\n"
        "that has imported networks of the task and architecture, these are added after them.\n\n"
        "A state dict does not say the nonlinearity: vanilla means tanh. Nor does it say what\n"
        "comes between layers: nothing is taken to. Parameters that would be ignored are refused.\n"
        "Prints each network's loss on the task beside the target of the task's recipe, and warns\n"
        "where it is over ten times the target. --check-against compares with outputs of your own.",
        "solspace import my.zarr --task interval_reproduction --architecture gru nets/*/weights.pt",
    )
    _choice(importer, required=True)
    importer.add_argument(
        "files", metavar="FILE", nargs="+", help="state dicts (.pt, .safetensors) or arrays (.npz)"
    )
    importer.add_argument(
        "--alpha", type=float, metavar="A", help="step of leaky networks whose files hold none"
    )
    importer.add_argument(
        "--nonlinearity",
        help="what the networks are known to have, such as tanh or relu; an error where the "
        "architecture has another",
    )
    importer.add_argument(
        "--readout",
        metavar="NAME",
        help="the linear layer that is the readout, where shapes leave it open",
    )
    importer.add_argument(
        "--check-against",
        metavar="OUTPUTS.npz",
        help="the networks' own outputs on the task's recorded trials, an array (trial, time, "
        "output_channel) under each network's name; an error where one differs by over 0.001",
    )
    _shard_size(importer)


def _import_recording(verbs: Verbs) -> None:
    importer = _verb(
        verbs,
        "import-recording",
        commands.import_recording,
        "import recordings of units, NWB files in HDF5",
        "Reads the tables of units and of trials. Trials are aligned to an event, spikes counted\n"
        "in half-open bins and smoothed by a Gaussian; columns of trials become coordinates.\n"
        "Each file is a member along network of the population TASK/recorded. Trials without the\n"
        "event, or without a parameter, are left out; what was not observed (obs_intervals) is\n"
        "NaN; all that is left out is counted and said. docs/recordings.md",
        "solspace import-recording my.zarr session.nwb --task interval_reproduction \\\n"
        "        --align set_time --window -1000 1000 --epoch ready_set=ready_time:set_time \\\n"
        "        --epoch set_go=set_time:go_time --parameter t_in=ts --average ts",
    )
    importer.add_argument("files", metavar="FILE.nwb", nargs="+", help="a recording each")
    importer.add_argument(
        "--task", required=True, help="such as interval_reproduction; none where it is none of them"
    )
    importer.add_argument(
        "--align", required=True, metavar="COLUMN", help="column of the event to align trials to"
    )
    importer.add_argument(
        "--window",
        required=True,
        nargs=2,
        metavar=("A", "B"),
        help="from and to, in ms after that event; B may be a column, or one and ms after it "
        "(go_time+200), so that trials are unequally long",
    )
    importer.add_argument(
        "--bin", default="10ms", metavar="MS", help="width of a bin (default: 10ms)"
    )
    importer.add_argument(
        "--smooth",
        default="60ms",
        metavar="MS",
        help="standard deviation of the Gaussian, none for counts (default: 60ms)",
    )
    importer.add_argument(
        "--epoch",
        action="append",
        default=[],
        metavar="NAME=START:STOP",
        help="an epoch from one event to another, by columns; may be given again",
    )
    importer.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="a parameter of the task by the column that holds it; may be given again",
    )
    importer.add_argument(
        "--average",
        nargs="+",
        default=(),
        metavar="COLUMN",
        help="average over the trials that are alike in these columns (default: single trials)",
    )
    importer.add_argument(
        "--drop",
        nargs="+",
        default=(),
        metavar="COLUMN",
        help="leave out trials with a value other than 0 in these columns",
    )
    importer.add_argument(
        "--warp",
        action="store_true",
        help="stretch the time of trials, linearly between the events of epochs, to the median",
    )
    importer.add_argument(
        "--pseudo-population",
        action="store_true",
        help="units were recorded one after another: only averages can be made",
    )
    importer.add_argument("--name", help="of the recording (default: the file's)")


def _export_nwb(verbs: Verbs) -> None:
    exporter = _verb(
        verbs,
        "export-nwb",
        commands.export_nwb,
        "write networks as NWB, for every tool that reads it",
        "Each network's units fire Poisson spikes at RATE * (1 + activity) / 2 on every recorded\n"
        "trial, so activity has to lie between -1 and 1. The table of trials has the parameters\n"
        "of the task, the times of its inputs, and where each epoch starts and stops. One network\n"
        "into a file OUT.nwb, several into a folder, a file each. Needs `solspace record` first.",
        "solspace export-nwb my.zarr network.nwb --network 20_i000",
    )
    exporter.add_argument("out", metavar="OUT", help="a file .nwb, or a folder")
    _choice(exporter)
    exporter.add_argument(
        "--network", nargs="+", default=(), metavar="NAME", help="names or places (default: all)"
    )
    exporter.add_argument(
        "--trials", type=int, default=10, metavar="N", help="of each condition (default: 10)"
    )
    exporter.add_argument("--units", type=int, metavar="N", help="so many, drawn (default: all)")
    exporter.add_argument(
        "--rate",
        type=float,
        default=50.0,
        metavar="HZ",
        help="spikes per second at activity 1 (default: 50)",
    )
    exporter.add_argument(
        "--step", default="10ms", metavar="MS", help="length of a step (default: 10ms)"
    )
    exporter.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of units and spikes (default: 0)"
    )
    exporter.add_argument("--force", action="store_true", help="replace files that are there")


def _stages(verbs: Verbs) -> None:
    for record in _stage_records():
        if record.name == "train":
            continue
        sub = _verb(
            verbs,
            record.verb,
            commands.run_one,
            record.summary[:1].lower() + record.summary[1:],
            _told_fills(record),
            f"solspace {record.verb} my.zarr" + (" --workers 2" if record.by_default else ""),
        )
        _choice(sub)
        if record.over == "network":
            _where(sub)
            _slice(sub)
        else:
            sub.set_defaults(workers=None, scheduler=None, slurm=None, slurm_option=None)
            _quiet(sub)
        sub.add_argument(
            "--redo",
            action="store_true",
            help="compute what is done again, such as with other options",
        )
        for option in record.options.values():
            if option.typed:
                _option(sub, option)


def _run(verbs: Verbs) -> None:
    by_default = ", ".join(record.verb for record in _stage_records() if record.by_default)
    run = _verb(
        verbs,
        "run",
        commands.run,
        "run every stage that is pending, or one of your own",
        "\n".join(textwrap.wrap(f"Runs {by_default}: what has not ended for all networks.", 90))
        + "\nWith --stage one stage, after those it needs; FILE.py:FUNCTION is one of your own\n"
        "(docs/own_analysis.md). `solspace stages` draws which there are.",
        "solspace run my.zarr --stage my_analysis.py:participation_ratio",
    )
    _choice(run)
    _where(run, "without --stage, as many as 200 pending networks or more are worth; 0 for threads")
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


def _draw(verbs: Verbs) -> None:
    drawn = verbs.add_parser(
        "stages",
        help="draw which stages there are and what depends on what",
        description="Draw which stages there are and what depends on what.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    drawn.set_defaults(command=commands.draw_stages)
    drawn.add_argument("own", metavar="FILE.py:FUNCTION", nargs="*", help="stages of your own")


def _migrate(verbs: Verbs) -> None:
    migrate = _verb(
        verbs,
        "migrate",
        commands.migrate_store,
        "make a store of this version from one of version 1",
        "STORE is read and left as it is; NEW is whole or not there. Every value of STORE is in\n"
        "NEW, under the names of docs/schema.md.",
        "solspace migrate old.zarr new.zarr",
    )
    migrate.add_argument("out", metavar="NEW", help="the new store")


def _info(verbs: Verbs) -> None:
    info = _verb(
        verbs,
        "info",
        commands.describe_store,
        "say what is in a store",
        "Populations, networks by size, stages, and the table of solutions.",
        "solspace info my.zarr --task interval_reproduction",
    )
    _choice(info)
    info.add_argument("--failed", action="store_true", help="list failed networks and reasons")


def _coverage(verbs: Verbs) -> None:
    coverage = _verb(
        verbs,
        "coverage",
        commands.describe_coverage,
        "say how much of the space of solutions has been seen",
        "For each population and label: classes seen, those seen once and twice, the probability\n"
        "that a further network is of a class already seen (Good-Turing), how many classes were\n"
        "not seen (Chao1, a lower bound), and how many networks it would take, those there are\n"
        "included. Holds for the recipe the networks were trained with; docs/coverage.md.",
        "solspace coverage my.zarr --by graph_key",
    )
    _choice(coverage)
    _labels(coverage)
    coverage.add_argument(
        "--target",
        type=float,
        default=0.99,
        metavar="SHARE",
        help="how many networks it takes for this coverage, and this share of the classes "
        "(default: 0.99)",
    )


def _compare(verbs: Verbs) -> None:
    compare = _verb(
        verbs,
        "compare",
        commands.compare,
        "say how far the solutions of two stores are apart, or how alike networks are",
        "Populations of one task and architecture are compared class by class, by the share of\n"
        "networks that would have to be of another class (total variation): as counted, without\n"
        "the bias of small samples, and between two such samples of one distribution, by chance.\n"
        "\nWith --measure networks are compared one by one instead, by their activity on the same\n"
        "trials, their dynamics or their weights: all pairs of each population, or those of STORE\n"
        "with those of OTHER. --measure list lists the measures; docs/similarity.md. With --by it\n"
        "says how well the measure tells that label: pairs within classes and between, and how\n"
        "often the nearest network is of the same class, against labels that are permuted.",
        "solspace compare mine.zarr theirs.zarr --by graph_key\n"
        "    solspace compare mine.zarr --measure procrustes --by solution_name -o pairs.nc",
        optional=True,
    )
    compare.add_argument("other", metavar="OTHER", nargs="?", help="the store to compare with")
    _choice(compare)
    _labels(compare, "every label there is; with --measure none")
    compare.add_argument(
        "--measure",
        metavar="NAME",
        help="compare networks one by one, by this measure; list lists them",
    )
    compare.add_argument(
        "--other-architecture",
        metavar="NAME",
        help="of the networks of OTHER (default: as in STORE, or the only one of the task there)",
    )
    _measured(compare)
    compare.add_argument(
        "--block",
        type=int,
        metavar="N",
        help="networks in a block, two of which a worker holds (default: what fits in 256 MB)",
    )
    compare.add_argument(
        "-o", "--out", metavar="FILE.nc", help="keep the pairs of one population, as netCDF"
    )
    compare.add_argument("--force", action="store_true", help="replace FILE.nc where it is there")
    _where(compare)


def _degeneracy(verbs: Verbs) -> None:
    found = _verb(
        verbs,
        "degeneracy",
        commands.describe_degeneracy,
        "say how much the networks of a population differ",
        "At three levels: behaviour (answers outside the trained range), dynamics (activity from\n"
        "moment to moment) and weights (up to the order of units). Each is the mean distance of\n"
        "two networks, with its 95 % interval over networks. Needs `solspace record` and\n"
        "`solspace extrapolate` first; docs/similarity.md.",
        "solspace degeneracy my.zarr --architecture vanilla",
    )
    _choice(found)
    found.add_argument(
        "--networks",
        type=int,
        default=30,
        metavar="N",
        help="so many, drawn, for the level of weights, whose pairs take longest (default: 30)",
    )
    found.add_argument(
        "--dynamics",
        default="dsa",
        metavar="MEASURE",
        help="the distance of that level (default: dsa)",
    )
    _measured(found)
    _where(found)


def _correlate(verbs: Verbs) -> None:
    found = _verb(
        verbs,
        "correlate",
        commands.correlate,
        "say which numbers from inside networks go with which of their behaviour",
        "Spearman's rho of each number from inside (`solspace individuality`) with each of\n"
        "behaviour, within networks of one size, against networks permuted, corrected for all\n"
        "pairs; and how much of each number of behaviour all those from inside tell together, of\n"
        "networks held out. Behaviour is `challenge_value` where the store has it, else numbers\n"
        "of psychometric curves. docs/context_integration.md",
        "solspace correlate my.zarr -o correlations.nc",
    )
    _choice(found)
    found.add_argument(
        "--by",
        default="hidden_size",
        metavar="LABEL",
        help="networks are ranked and permuted within its values; none: all together "
        "(default: hidden_size)",
    )
    found.add_argument("--permutations", type=int, default=10_000, metavar="N",
                       help="(default: 10000)")  # fmt: skip
    found.add_argument("--most", type=int, default=10, metavar="N",
                       help="so many correlations are shown (default: 10)")  # fmt: skip
    found.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    found.add_argument(
        "-o", "--out", metavar="FILE.nc", help="keep all of one population, as netCDF"
    )
    found.add_argument("--force", action="store_true", help="replace FILE.nc where it is there")


def _locate(verbs: Verbs) -> None:
    locate = _verb(
        verbs,
        "locate",
        commands.locate,
        "say which solution a recording is most like, or that it cannot be told",
        "Every network of OTHER that does the recording's task is seen through its electrodes:\n"
        "as many units, trials, spikes and bins. What tells the solutions apart among them is\n"
        "asked of the recording, beside shuffled conditions, halves of its trials, and networks\n"
        "held out.\n"
        "Import the recording with its single trials, epochs and parameters named as the task's.\n"
        "docs/which_solution.md",
        "solspace locate mine.zarr turner2021.zarr --architecture lstm",
    )
    locate.add_argument(
        "other",
        metavar="OTHER",
        nargs="?",
        help="the store with the networks (default: the same store)",
    )
    _choice(locate)
    locate.add_argument(
        "--recording", nargs="+", default=(), metavar="NAME", help="(default: all there are)"
    )
    locate.add_argument(
        "--label", default="solution", help="what is told apart (default: solution)"
    )
    locate.add_argument(
        "--sure",
        type=float,
        default=0.8,
        metavar="P",
        help="probability below which there is no verdict (default: 0.8)",
    )
    locate.add_argument(
        "--measure",
        nargs="+",
        default=("procrustes", "cka", "rsa", "dsa"),
        metavar="NAME",
        help="by which the nearest networks are told (default: procrustes cka rsa dsa)",
    )
    locate.add_argument(
        "--shuffles",
        type=int,
        default=200,
        metavar="N",
        help="orders of conditions of the null (default: 200)",
    )
    locate.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of units, spikes and folds (default: 0)"
    )
    locate.add_argument(
        "-o", "--out", metavar="FILE.nc", help="keep what was found of one recording, as netCDF"
    )
    locate.add_argument("--force", action="store_true", help="replace FILE.nc where it is there")
    locate.add_argument("--quiet", action="store_true", help="no progress bar")


def _design(verbs: Verbs) -> None:
    designer = _verb(
        verbs,
        "design",
        commands.design_trials,
        "choose the trials that tell the solutions of a population apart",
        "Runs every network over the challenges that the task declares (trials outside the\n"
        "trained range; pulses missing, extra, mistimed), and says which to run in an experiment,\n"
        "what each solution would do in them, and how well that tells solutions apart on networks\n"
        "held out, beside challenges at random and trained trials. Challenges that define the\n"
        "label are never chosen. Nothing is written into the store; docs/which_experiment.md.",
        "solspace design my.zarr --label automaton_key --noise 0.1 -o trials.nc",
    )
    _choice(designer)
    designer.add_argument(
        "--label",
        default="solution",
        metavar="LABEL",
        help="what is to be told: solution, graph_key, attractor_key or any label of the networks "
        "(default: solution)",
    )
    designer.add_argument(
        "--noise",
        type=float,
        default=0.1,
        metavar="W",
        help="Weber fraction of the times in answers: their standard deviation over their mean "
        "(default: 0.1)",
    )
    designer.add_argument(
        "--most", type=int, default=5, metavar="K", help="trials given at most (default: 5)"
    )
    designer.add_argument(
        "--sure",
        type=float,
        default=0.8,
        metavar="P",
        help="probability of a solution below which it cannot be told; nor can it where answers "
        "speak for it less than three to one (default: 0.8)",
    )
    designer.add_argument(
        "--minimum-class-size",
        type=int,
        default=10,
        metavar="N",
        help="networks a solution needs not to be left out (default: 10)",
    )
    designer.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="NAME",
        help="challenges that are not chosen either, or measures, whose challenges are not: where "
        "the label is made of a measure",
    )
    designer.add_argument(
        "--strict",
        action="store_true",
        help="leave out also longer sequences that begin like one that defines the label",
    )
    designer.add_argument(
        "-o",
        "--out",
        metavar="FILE.nc",
        help="keep the design of one population, for `solspace identify`",
    )
    designer.add_argument("--force", action="store_true", help="replace FILE.nc where it is there")
    _where(designer)


def _identify(verbs: Verbs) -> None:
    identify = verbs.add_parser(
        "identify",
        help="say which solution answers to chosen trials are of",
        description="Say which solution answers to chosen trials are of, and which trial to give "
        "next.\n\n"
        "An answer is `none`, words as `solspace design` prints them, or the times at which\n"
        "outputs began, in steps from the onset of the first pulse, with commas between: 48,103.\n"
        "A time of another output than 1 is followed by it, 48:-1, and of one that is held by its\n"
        "steps, 48:1:60. Of a challenge that is answered by a choice it is +1, -1 or none.",
        epilog='example:\n\n    solspace identify trials.nc "ready 0, set 100, set 350=161,418"\n',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    identify.set_defaults(command=commands.identify_solution)
    identify.add_argument("file", metavar="FILE.nc", help="what `solspace design -o` kept")
    identify.add_argument(
        "given", metavar="CHALLENGE=ANSWER", nargs="*", help="in the order given (default: none)"
    )


def _check(verbs: Verbs) -> None:
    check = _verb(
        verbs,
        "check",
        commands.check_faults,
        "check a store against the contract",
        "Reads every file and says all faults in one message: what is missing, cannot be read,\n"
        "or is not what was written, each with its file; what another run wrote; what is of\n"
        "another shape or type, called done but empty, or at odds with itself.",
        "solspace check my.zarr",
    )
    _choice(check)
    check.add_argument(
        "--quick",
        action="store_true",
        help="read metadata, statuses and who wrote what, and no arrays: finds what is missing, "
        "and not what is changed",
    )


def _pack(verbs: Verbs) -> None:
    packer = _verb(
        verbs,
        "pack",
        commands.pack_stores,
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


def _report(verbs: Verbs) -> None:
    report = _verb(
        verbs,
        "report",
        commands.make_report,
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


def _explore(verbs: Verbs) -> None:
    explorer = _verb(
        verbs,
        "explore",
        commands.explore_store,
        "walk through a population in a browser",
        "A map of networks by features or weights; a click shows a network: its output, its\n"
        "trajectories with fixed points, its graph. Pulses are placed by hand, or are those of a\n"
        "challenge, and the networks answer at once. A lasso says what tells networks from the\n"
        "others. The address of the page holds the view. docs/explorer.md. It needs Panel:\n"
        "`pip install 'solspace[explorer]'`.",
        "solspace explore my.zarr",
    )
    explorer.add_argument(
        "--port", type=int, default=5006, metavar="N", help="0 for any that is free (default: 5006)"
    )
    explorer.add_argument(
        "--address",
        default="127.0.0.1",
        metavar="A",
        help="where to listen; another than the default opens the store to whoever reaches it "
        "(default: 127.0.0.1, this machine alone)",
    )
    explorer.add_argument(
        "--distances",
        metavar="FILE.nc",
        help="for a map by any measure: what `solspace compare STORE --measure M -o FILE.nc` kept",
    )
    explorer.add_argument(
        "--design",
        metavar="FILE.nc",
        help="for the challenges that tell solutions apart, first in the list: what `solspace "
        "design STORE -o FILE.nc` kept",
    )
    explorer.add_argument(
        "--recordings",
        metavar="OTHER",
        help="the store with recordings to show beside the networks (default: the same store)",
    )
    explorer.add_argument(
        "--save-labels",
        action="store_true",
        help="let selections be saved as a label in the store, which is otherwise only read",
    )


def _stage_records() -> list[Stage]:
    from solspace.stages import collection

    return list(collection.stages(None).values())


def _told_fills(record: Stage) -> str:
    """What a stage fills, group by group."""
    from solspace.population.variables import is_label

    lines = []
    for group in dict.fromkeys(v.group for v in record.fills):
        names = [v.name for v in record.fills if v.group == group and not v.coordinate]
        labels = [v.name for v in record.fills if v.group == group and is_label(v)]
        where = "" if group == "population" else f" in the group TASK/ARCHITECTURE/{group}"
        told = ", ".join([*labels, *names])
        lines += textwrap.wrap(f"Fills {told}{where}.", 90)
    return "\n".join(lines)


# --------------------------------------------------------------------------- flags


def _option(parser: argparse.ArgumentParser, option: Option) -> None:
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


def _labels(parser: argparse.ArgumentParser, default: str = "every label there is") -> None:
    parser.add_argument(
        "--by",
        nargs="+",
        default=(),
        metavar="LABEL",
        help=f"what counts as a class, such as graph_key or solution_key (default: {default})",
    )


def _measured(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        help="an option of the measure, such as rank=15; may be given again",
    )


def _where(
    parser: argparse.ArgumentParser, unsaid: str = "threads of this process, one a core"
) -> None:
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes of a local dask cluster, faster than threads where many networks are "
        f"analysed (default: {unsaid})",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running dask scheduler to send the work to"
    )
    parser.add_argument(
        "--slurm",
        type=int,
        metavar="N",
        help="N workers, each a job of SLURM, that end with the command",
    )
    parser.add_argument(
        "--slurm-option",
        metavar="NAME=VALUE",
        action="append",
        help="of these jobs, such as queue=short, account=me, memory=4GB, walltime=02:00:00; what "
        "is not given is of dask's configuration (docs/cluster.md)",
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
