"""One network looked at closely: its trials, its plane, and what it does with pulses by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks.challenges import Challenge, PlacedPulse, challenges_of_trials, protocol_waits

if TYPE_CHECKING:
    from solspace.explorer.reading import Explored
    from solspace.reduction.graph import Graph
    from solspace.tasks import Task

__all__ = ["Answer", "Plane", "challenges_at_hand", "one_of_each", "plane_of", "respond", "walk"]

Array = NDArray[np.float64]

LEAST, MOST = 20, 1000  # steps of a challenge
PULSES = 8
TRIALS = 6
COMPONENTS = 3


@dataclass(frozen=True)
class Plane:
    """The principal components of one network's activity on its recorded trials.

    Attributes
    ----------
    centre : array (unit,)
    axes : array (unit, component)
        Of either sign of a component, that in which its largest loading is positive.
    share : array (component,)
        Of the variance along each.
    lines : list of array (time, component)
        Some of the recorded trials.
    """

    centre: Array
    axes: Array
    share: Array
    lines: list[Array]

    def project(self, states: Array) -> Array:
        """States, or activity of units, (point, state) on the components."""
        return np.asarray((states[:, : len(self.centre)] - self.centre) @ self.axes)


@dataclass(frozen=True)
class Answer:
    """What one network does in a challenge.

    Attributes
    ----------
    output : array (time, output_channel)
    states : array (time, state)
    nodes : array of int (time,) or None
        Where it is on its graph: the node, -1 before the root and where the graph does not say.
        None where the graph cannot be asked; ``said`` says why.
    said : str
    """

    output: Array
    states: Array
    nodes: NDArray[np.int64] | None
    said: str


def plane_of(seen: Explored, index: int) -> Plane:
    """The plane of one network, from the task's recorded trials, which it is run on.

    Parameters
    ----------
    seen : Explored
    index : int

    Raises
    ------
    SolspaceError
        Where it has no weights, or its activity does not vary.
    """
    activity = seen.trajectories(index)
    points = np.concatenate(activity)
    if not np.isfinite(points).all():
        raise SolspaceError(f"the activity of {seen.names[index]} is not finite")
    centre = points.mean(axis=0)
    variances, axes = np.linalg.eigh((points - centre).T @ (points - centre))
    if variances.sum() <= 0:
        raise SolspaceError(f"the activity of {seen.names[index]} does not vary")
    leading = axes[:, ::-1][:, :COMPONENTS]
    leading = leading * np.sign(
        leading[np.abs(leading).argmax(axis=0), np.arange(leading.shape[1])]
    )
    shown = np.unique(np.linspace(0, len(activity) - 1, TRIALS).round().astype(int))
    return Plane(
        centre,
        leading,
        np.clip(variances[::-1][:COMPONENTS] / variances.sum(), 0, 1),
        [(activity[i] - centre) @ leading for i in shown],
    )


def check_pulses(task: Task, pulses: Sequence[PlacedPulse], steps: int) -> Challenge:
    """Pulses by hand as a challenge, in order.

    Raises
    ------
    SolspaceError
        Where one does not fit in the trial or the task's inputs, there are too many, or the trial
        is too long.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> task = get_task("interval_reproduction")
    >>> check_pulses(task, [PlacedPulse(40, 1, 5), PlacedPulse(5, 0, 5)], 100).pulses[0].onset
    5
    """
    if not LEAST <= steps <= MOST:
        raise SolspaceError(f"a trial of {steps} steps; give {LEAST} to {MOST}")
    if len(pulses) > PULSES:
        raise SolspaceError(f"{len(pulses)} pulses; give up to {PULSES}")
    for pulse in pulses:
        if not 0 <= pulse.channel < len(task.inputs):
            raise SolspaceError(
                f"input {pulse.channel}; {task.name} has {len(task.inputs)}: "
                f"{', '.join(task.inputs)}"
            )
        if pulse.onset < 0 or pulse.width < 1 or pulse.onset + pulse.width > steps:
            raise SolspaceError(
                f"a pulse of {pulse.width} steps from step {pulse.onset} on does not lie in a "
                f"trial of {steps} steps"
            )
        if not np.isfinite(pulse.amplitude) or abs(pulse.amplitude) > 10:
            raise SolspaceError(f"a pulse of amplitude {pulse.amplitude}; give -10 to 10")
    return Challenge("by hand", "extra", tuple(sorted(pulses)), steps)


def challenges_at_hand(task: Task) -> dict[str, Challenge]:
    """The challenges of a task by name; of one without, its recorded trials of few pulses.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> len(challenges_at_hand(get_task("interval_reproduction")))
    152
    """
    if task.challenges is not None:
        # What a challenge that is given by its input holds is pulses; its noise is left out.
        family = [
            Challenge(one.name, one.kind, tuple(one.pulses), one.steps)
            for one in task.challenges().challenges
        ]
        fit = (one for one in family if len(one.pulses) <= PULSES and LEAST <= one.steps <= MOST)
        return {one.name: one for one in fit}
    # Recorded trials of few pulses, each for as long as an input is held.
    recorded = task.recorded_trials()
    if LEAST <= recorded.input.shape[1] <= MOST:

        def named(of: Mapping[str, int]) -> str:
            return ", ".join(f"{key} {value}" for key, value in of.items())

        trials = challenges_of_trials(recorded, "trained", named)
        found = {one.name: one for one in trials if 0 < len(one.pulses) <= PULSES}
        if found:
            return found
    if task.constant_inputs is not None:  # of a task whose trials are noise: what they hold
        held = {
            name: [PlacedPulse(5, i, 90, float(v)) for i, v in enumerate(values) if v]
            for name, values in task.constant_inputs().items()
        }
        return {
            f"{name} held": Challenge(f"{name} held", "extra", tuple(pulses), 100)
            for name, pulses in held.items()
            if len(pulses) <= PULSES
        }
    name = f"one pulse of {task.inputs[0]}"
    return {
        name: Challenge(name, "extra", (PlacedPulse(5, 0, 5),), 100),
        "silence": Challenge("silence", "missing", (), 100),
    }


def respond(seen: Explored, network: int | str, challenge: Challenge) -> Answer:
    """Run one network on a challenge, and follow it on its graph where it has one.

    Parameters
    ----------
    seen : Explored
    network : int or str
        Position or name.
    challenge : Challenge

    Raises
    ------
    SolspaceError
        Where it has no weights, or its output is not finite.
    """
    index = seen.place(network)
    states, output = seen.run(index, challenge.input(len(seen.task.inputs))[None])
    if not np.isfinite(output).all():
        raise SolspaceError(f"the output of {seen.names[index]} is not finite")
    try:
        nodes = walk(seen.task, seen.graph(index), challenge, output[0])
    except SolspaceError as error:
        return Answer(output[0], states[0], None, str(error))
    return Answer(output[0], states[0], nodes, "")


def walk(task: Task, graph: Graph, challenge: Challenge, output: Array) -> NDArray[np.int64]:
    """The node of its graph that a network is in at each step of a challenge.

    It begins at the root after the task's ``before``; at a pulse it takes the pulse's edge, and
    between pulses it goes on along autonomous edges to the first node of the output that it has
    held for as long as the protocol asks. The transient of a pulse counts to the node it leads to.
    From where the graph allows no such way it is -1.

    Parameters
    ----------
    task : Task
    graph : Graph
    challenge : Challenge
    output : array (time, output_channel)

    Raises
    ------
    SolspaceError
        Where the task has no protocol, or the protocol cannot give the challenge.

    Examples
    --------
    >>> from solspace.reduction import Graph
    >>> from solspace.tasks import get_task
    >>> task = get_task("interval_reproduction")
    >>> graph = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 1], edge_symbol=[1, 0])
    >>> one = Challenge("set", "trained", (PlacedPulse(5, 0, 5), PlacedPulse(46, 1, 5)), 100)
    >>> output = np.where(np.arange(100) > 50, 1.0, 0.0)[:, None]
    >>> walk(task, graph, one, output)[[0, 30, 99]].tolist()
    [-1, 0, 1]
    """
    from solspace.tasks.symbols import read_symbols

    protocol = task.protocol
    if protocol is None:
        raise SolspaceError(f"task {task.name} does not say which pulses graphs are made from")
    waits = protocol_waits(protocol, challenge)
    if waits is None:
        raise SolspaceError(
            "graphs do not know this challenge: they begin after the task's own first "
            f"{len(protocol.before)} steps, and know the pulses "
            f"{', '.join(sorted({task.input_symbols[p.symbol] for p in protocol.pulses}))}"
        )
    symbols = np.asarray(read_symbols(task, output[None])[0])
    following: dict[int, int] = {}
    given: dict[tuple[int, int], int] = {}
    for s, t, k in zip(
        graph.edge_source.tolist(), graph.edge_target.tolist(), graph.edge_symbol.tolist(),
        strict=True,
    ):  # fmt: skip
        if k == 0:
            following.setdefault(s, t)
        else:
            given[s, k] = t
    nodes = np.full(challenge.steps, -1, np.int64)
    time, at = len(protocol.before), 0

    def onward(at: int, symbol: int) -> int:
        """The first node of an output on the way from a node; -1 where there is none."""
        seen: set[int] = set()
        while at in following and at not in seen:
            seen.add(at)
            at = following[at]
            if graph.node_output[at] == symbol:
                return at
        return -1

    def flow(at: int, start: int, stop: int) -> int:
        """Go on along autonomous edges from one step to before another."""
        held = 0
        for step in range(start, stop):
            same = step > start and symbols[step] == symbols[step - 1]
            held = held + 1 if same else 1
            if at >= 0 and held >= protocol.shortest and symbols[step] != graph.node_output[at]:
                at = onward(at, int(symbols[step]))
            nodes[step] = at
        return at

    for wait, which in waits:
        pulse = protocol.pulses[which]
        at = flow(at, time, time + wait)
        onset = time + wait
        at = given.get((at, pulse.symbol), -1) if at >= 0 else -1
        end = min(onset + pulse.settled, challenge.steps)
        nodes[onset:end] = at
        time = end
    flow(at, time, challenge.steps)
    return nodes


def one_of_each(
    seen: Explored, label: str = "solution_name", most: int = 8
) -> list[tuple[str, int]]:
    """A network of each of the commonest solutions: that of the smallest loss.

    Raises
    ------
    SolspaceError
        Where networks have no such label.
    """
    named = np.array([str(value) for value in seen.column(label)])
    loss = np.nan_to_num(np.asarray(seen.column("loss"), float), nan=np.inf)
    counts = {name: int((named == name).sum()) for name in dict.fromkeys(named.tolist()) if name}
    commonest = sorted(counts, key=lambda name: (-counts[name], name))[:most]
    return [
        (name, min(np.flatnonzero(named == name).tolist(), key=lambda i: (loss[i], i)))
        for name in commonest
    ]
