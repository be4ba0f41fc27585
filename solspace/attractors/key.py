"""What a network settles to, as a label: short, readable, the same in every store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.attractors.network import Settled, settle_network
from solspace.attractors.settling import POINT, UNSETTLED, Attractor
from solspace.networks import Architecture, Weights
from solspace.tasks import Task, get_task

__all__ = [
    "FLAGS",
    "Ends",
    "attractor_key",
    "describe_ends",
    "ends_of",
    "ends_of_network",
    "key_of_ends",
    "kind_flag",
    "output_symbols",
    "outputs_of",
]

VERSION = "a1"
FLAGS = ("point", "cycle", "wandering", "drifting")
_LONGEST_KEY, _LONGEST_SYMBOLS = 96, 64
POINT_FLAG, CYCLE_FLAG, WANDERING, DRIFTING = range(4)


class Ends(NamedTuple):
    """Where silences of one name end.

    Attributes
    ----------
    after : str
        What the silences come after.
    points : int
        Distinct points that they end in.
    cycles, wandering : int
        Distinct cycles, and distinct sets that are wandered over.
    moving : {"none", "some", "all"}
        How many of the silences end in motion that goes on: in a cycle, or wandering.
    drifting : bool
        Whether some have ended nowhere yet.
    outputs : tuple of str
        What is put out at the ends: of each end the symbols it puts out (see the task's
        ``output_symbol``), each combination once. Empty where it is not told.
    """

    after: str
    points: int
    cycles: int
    wandering: int
    moving: str
    drifting: bool
    outputs: tuple[str, ...]


def output_symbols(task: Task, output: NDArray[np.float64]) -> str:
    """The symbols that an output takes, of one channel such as ``0`` or ``-1,0``.

    Parameters
    ----------
    task : Task
        Without an ``output_symbol`` there are none.
    output : array (step, output)

    Examples
    --------
    >>> output_symbols(get_task("delayed_discrimination"), np.array([[0.1], [-0.9], [0.2]]))
    '-1,0'
    """
    if task.output_symbol is None:
        return ""
    symbols = [np.unique(task.output_symbol(channel)) for channel in np.asarray(output).T]
    return _short("/".join(",".join(str(int(s)) for s in own) for own in symbols), _LONGEST_SYMBOLS)


def outputs_of(task: str | Task, found: Sequence[Attractor]) -> list[str]:
    """The symbols that each attractor puts out, see `output_symbols`."""
    task = get_task(task)
    return [output_symbols(task, one.orbit_output) for one in found]


def kind_flag(attractor: Attractor) -> int:
    """Position in `FLAGS`.

    Examples
    --------
    >>> one = np.zeros((1, 2))
    >>> FLAGS[kind_flag(Attractor("unsettled", one, one, np.nan, one, one))]
    'drifting'
    """
    if attractor.kind == UNSETTLED:
        return WANDERING if attractor.wanders else DRIFTING
    return POINT_FLAG if attractor.kind == POINT else CYCLE_FLAG


def ends_of(
    after: Sequence[str],
    told: Sequence[int] | NDArray[np.integer],
    index: Sequence[int] | NDArray[np.integer],
    kinds: Sequence[int] | NDArray[np.integer],
    outputs: Sequence[str],
) -> list[Ends]:
    """Where silences end, those of one name together.

    Parameters
    ----------
    after : sequence of str (silence,)
    told : sequence of int (silence,)
        What the key tells of each: 0 nothing, 1 what it ends in, 2 also what is put out there.
    index : sequence of int (silence,)
        The attractor that each ends in.
    kinds : sequence of int (attractor,)
        Positions in `FLAGS`.
    outputs : sequence of str (attractor,)
        See `output_symbols`.

    Examples
    --------
    >>> ends_of(["f1", "f1", "f2"], [1, 1, 0], [0, 1, 0], [0, 1], ["0", "0"])
    [Ends(after='f1', points=1, cycles=1, wandering=0, moving='some', drifting=False, outputs=())]
    """
    out = []
    for name in dict.fromkeys(map(str, after)):
        at = [i for i, own in enumerate(after) if own == name and told[i]]
        if not at:
            continue
        ends = [int(index[i]) for i in at]
        distinct = [kinds[i] for i in dict.fromkeys(ends)]
        moving = sum(kinds[i] in (CYCLE_FLAG, WANDERING) for i in ends)
        out.append(
            Ends(
                name,
                distinct.count(POINT_FLAG),
                distinct.count(CYCLE_FLAG),
                distinct.count(WANDERING),
                "none" if not moving else "all" if moving == len(ends) else "some",
                DRIFTING in distinct,
                tuple(sorted({str(outputs[i]) for i in ends})) if told[at[0]] > 1 else (),
            )
        )
    return out


def ends_of_network(task: str | Task, settled: Settled) -> list[Ends]:
    """Where the silences of one network end that its task's key tells of.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("vanilla", 4, inputs=2, outputs=1)
    >>> weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    >>> settled = settle_network("interval_reproduction", "vanilla", weights)
    >>> ends = ends_of_network("interval_reproduction", settled)
    >>> [(one.after, one.points, one.moving) for one in ends]
    [('ready', 1, 'none'), ('set', 1, 'none')]
    """
    return ends_of(
        settled.silences.after,
        settled.silences.told,
        settled.index,
        [kind_flag(one) for one in settled.found],
        outputs_of(task, settled.found),
    )


def key_of_ends(ends: Sequence[Ends]) -> str:
    """The key: of each name how many points, whether there is motion, and the outputs.

    Cycles are not counted, and chaos is no other key than a cycle: both change with little noise.
    A key of more than 96 characters is a digest.

    Examples
    --------
    >>> key_of_ends([Ends("f1", 2, 1, 0, "some", False, ())])
    'a1:f1=2points+motion'
    >>> key_of_ends([Ends("ready", 0, 1, 0, "all", False, ("0,1",))])
    'a1:ready=motion:0,1'
    """
    key = ";".join(f"{one.after}={_part(one)}" for one in ends)
    return VERSION + _short(f":{key}", _LONGEST_KEY - len(VERSION))


def _short(text: str, most: int) -> str:
    """A text as long as a store keeps it: one too long is a digest, ``#`` and hexadecimals."""
    if len(text) <= most:
        return text
    return f"#{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _part(ends: Ends) -> str:
    found = [f"{ends.points}point{'s' * (ends.points > 1)}"] if ends.points else []
    found += ["motion"] if ends.moving != "none" else []
    found += ["drift"] if ends.drifting else []
    outputs = "|".join(ends.outputs)
    return "+".join(found) + (f":{outputs}" if outputs else "")


def describe_ends(ends: Sequence[Ends]) -> str:
    """The same in words, with how many cycles there are and what wanders.

    Examples
    --------
    >>> describe_ends([Ends("f1", 2, 1, 0, "some", False, ())])
    'Left alone after f1: some end in 2 points, some in a cycle.'
    >>> describe_ends([Ends("in_context_1", 1, 0, 0, "none", False, ())])
    'Left alone in context 1: all end in a point.'
    """
    return " ".join(_words(one) for one in ends)


def _words(ends: Ends) -> str:
    motion = []
    if ends.cycles:
        motion.append("a cycle" if ends.cycles == 1 else f"{ends.cycles} cycles")
    if ends.wandering:
        motion.append("irregular motion")
    parts = []
    if ends.points:
        parts.append("a point" if ends.points == 1 else f"{ends.points} points")
    if motion:
        parts.append(" or ".join(motion))
    if ends.drifting:
        parts.append("nothing yet")
    if len(parts) == 1:
        text = f"all end in {parts[0]}" if parts[0] != "nothing yet" else "nothing is reached yet"
    else:
        text = "some end in " + ", some in ".join(parts)
    if any(ends.outputs):
        text += f"; put out there: {' or '.join(ends.outputs)}"
    # What an input is held for is named so.
    held = ends.after.startswith("in_")
    where = ends.after.replace("_", " ") if held else f"after {ends.after}"
    return f"Left alone {where}: {text}."


def attractor_key(task: str | Task, architecture: str | Architecture, weights: Weights) -> str:
    """What one network settles to when it is left alone, as a key.

    Parameters
    ----------
    task : str or Task
    architecture : str or Architecture
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).

    Raises
    ------
    SolspaceError
        Where the task declares no silences and none can be told from its trials.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> attractor_key("interval_reproduction", "vanilla", weights)
    'a1:ready=1point:0;set=1point:0'
    """
    settled = settle_network(task, architecture, weights)
    return key_of_ends(ends_of_network(task, settled))
