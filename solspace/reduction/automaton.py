"""Graphs from what networks do: pulses at many moments, places told apart by what they answer.

The published construction gives each network two or three pulses and compares states. Here pulses
are given at many moments of every stretch of silence, all at once, and what they lead to is
compared by what is put out.

A *stretch* is what silence leads to after a pulse, or from the root. What it puts out is its
*story*: outputs in order, and how it ends, at rest with one output or going round through several.
A stretch is explored by giving each pulse that can come at moments spread evenly in the logarithm
of time, and reading off the stories of the stretches these lead to. Of all stretches that a pulse
leads to with one story, one or two are explored in turn, the middle ones of a run of consecutive
moments, until no story is new or `MOST_STRETCHES` have been. Any other is taken for the one of them
that begins nearest to it; nothing else depends on distances, and nothing on the order of units.

Nodes are pieces of stretches: what is still to come of the story, and the stories that pulses at
its end lead to, when the network has been at rest for long. The rest is one node from then on, and
another before where more can follow a pulse then. Where timing decides what a pulse does, a node
has several edges for it; those that fewer than `RARE` of a node's moments ask for are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.reduction.canonical import minimized
from solspace.reduction.graph import Graph
from solspace.tasks.needs import check_needs
from solspace.tasks.protocol import Pulse, StimulusProtocol
from solspace.tasks.symbols import read_symbols
from solspace.tasks.task import Task

__all__ = ["Story", "explore", "read_story"]

HORIZON = 1.75  # in units of the task's patience
MOMENTS = 20
LONGEST_STORY = 8
MOST_STRETCHES = 24
RARE = 0.1

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Story:
    """What a stretch puts out.

    Attributes
    ----------
    outputs : tuple of int
        In order, until it ends; the last is what it rests with, or for a cycle all that the
        cycle goes through, in order.
    cyclic : bool
    runs, starts : tuple of int
        Every run of outputs up to the horizon, and the step at which it begins.
    """

    outputs: tuple[int, ...]
    cyclic: bool
    runs: tuple[int, ...] = field(compare=False)
    starts: tuple[int, ...] = field(compare=False)

    @property
    def key(self) -> Key:
        """What two stretches with the same story have in common."""
        return (self.outputs, self.cyclic)


def read_story(symbols: NDArray[np.int8], unseen: int, shortest: int) -> Story:
    """The story of the outputs of a stretch.

    Parameters
    ----------
    symbols : array (time,), int8
    unseen : int
        Steps at the beginning that do not count.
    shortest : int
        Runs of fewer steps do not count.

    Examples
    --------
    >>> read_story(np.array([0] * 9 + [1] * 5 + [0] * 90, np.int8), 0, 3).outputs
    (0, 1, 0)
    >>> read_story(np.array(([0] * 9 + [1] * 5) * 9, np.int8), 0, 3).cyclic
    True
    """
    edges = np.flatnonzero(np.diff(symbols[unseen:])) + 1 + unseen
    begins = [unseen, *edges.tolist()]
    ends = [*edges.tolist(), len(symbols)]
    runs: list[int] = []
    starts: list[int] = []
    for begin, end in zip(begins, ends, strict=True):
        # The last run is cut by the horizon.
        if end - begin < shortest:
            continue
        value = int(symbols[begin])
        if not runs or runs[-1] != value:
            runs.append(value)
            starts.append(begin)
    if not runs:
        runs, starts = [int(symbols[-1])], [unseen]
    spans = np.diff([*starts, len(symbols)])
    cyclic = len(runs) > 4 and spans[-1] <= 1.5 * spans[1:-1].max()
    cyclic = cyclic or len(runs) > LONGEST_STORY
    if cyclic:
        return Story(tuple(sorted(set(runs[2:]))), True, tuple(runs), tuple(starts))
    return Story(tuple(runs), False, tuple(runs), tuple(starts))


@dataclass
class _Stretch:
    states: NDArray[np.float64]  # (time, state)
    place: int
    settled: int  # index from which the output counts
    story: Story
    pulse: int  # the symbol that led here, -1 the root
    moments: list[int] = field(default_factory=list)
    # By moment and symbol, the stretch a pulse leads to: its group and first state.
    answers: list[tuple[int, int, Key, NDArray[np.float64]]] = field(default_factory=list)
    nodes: list[Key] = field(default_factory=list)


class _Exploration:
    def __init__(
        self, task: Task, architecture: str, weights: networks.Weights, run: networks.Run
    ) -> None:
        assert task.protocol is not None and task.output_symbol is not None
        self.task = task
        self.protocol: StimulusProtocol = task.protocol
        self.architecture = architecture
        self.weights: Mapping[str, NDArray[Any]] = networks.as_float64(architecture, weights)
        self._run = run
        self.explored: dict[Key, list[_Stretch]] = {}
        patience = self.protocol.patience
        self.horizon = int(HORIZON * patience)
        # Evenly in the logarithm of time while the network is under way, and some at the end.
        under_way = np.geomspace(1, patience, MOMENTS)
        resting = np.linspace(1.1, 1.6, 5) * patience
        self.moments = np.unique(np.rint(np.concatenate([under_way, resting])).astype(int)).tolist()

    def run(
        self, inputs: NDArray[Any], start: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        states, output = self._run(self.architecture, self.weights, inputs, start)
        return states, read_symbols(self.task, output)

    def possible(self, place: int) -> list[Pulse]:
        return [pulse for pulse in self.protocol.pulses if pulse.place == place]

    def explore(self) -> _Stretch:
        protocol = self.protocol
        before = protocol.before
        silence = np.zeros((1, self.horizon, before.shape[1]))
        states, symbols = self.run(
            np.concatenate([before[None].astype(float), silence], axis=1), None
        )
        at = len(before) - 1
        root = _Stretch(states[0, at:], 0, 0, read_story(symbols[0, at:], 0, protocol.shortest), -1)
        queue: list[tuple[Key, _Stretch]] = [(("root",), root)]
        count = 0
        # Of several outputs there are more ways in which a pulse can end.
        most = MOST_STRETCHES * 2 ** (len(self.task.outputs) - 1)
        while queue and count < most:
            group, stretch = queue.pop(0)
            self.explored.setdefault(group, []).append(stretch)
            count += 1
            queue += self.answers_of(stretch, {g for g, _ in queue})
        return root

    def answers_of(self, stretch: _Stretch, waiting: set[Key]) -> list[tuple[Key, _Stretch]]:
        """Give every possible pulse at every moment; what is new among what that leads to."""
        pulses = self.possible(stretch.place)
        if not pulses:
            stretch.moments = []
            return []
        # Half as many where many pulses can come: what they do differs by pulse more than by time.
        spaced = self.moments[:: 2 if len(pulses) > 2 else 1]
        moments = {stretch.settled + m for m in spaced}
        # Short outputs would be missed otherwise.
        bounds = [*stretch.story.starts, self.horizon]
        for begin, end in pairwise(bounds):
            if not any(begin <= m < end for m in moments) and begin < self.moments[-1]:
                moments.add((begin + end) // 2)
        stretch.moments = sorted(m for m in moments if m < len(stretch.states))
        given = [(m, pulse) for pulse in pulses for m in stretch.moments]
        width = max(pulse.width for pulse in pulses)
        inputs = np.zeros((len(given), width + self.horizon, self.protocol.before.shape[1]))
        start = np.empty((len(given), stretch.states.shape[1]))
        for i, (m, pulse) in enumerate(given):
            inputs[i, : pulse.width, pulse.channel] = pulse.amplitude
            start[i] = stretch.states[m]
        states, symbols = self.run(inputs, start)
        found: list[tuple[Key, _Stretch]] = []
        previous: Key | None = None
        for i, (m, pulse) in enumerate(given):
            first = pulse.width - 1
            story = read_story(
                symbols[i, first:], pulse.settled - pulse.width, self.protocol.shortest
            )
            group = (pulse.next_place, pulse.symbol, story.key)
            stretch.answers.append((m, pulse.symbol, group, states[i, first]))
            if group != previous:
                # One of each run of moments that lead to the same story.
                known = self.explored.get(group, [])
                new = group not in waiting and len(known) < 2
                if new:
                    last = i
                    while (
                        last + 1 < len(given)
                        and given[last + 1][1] is pulse
                        and self._group(symbols[last + 1], given[last + 1][1]) == group
                    ):
                        last += 1
                    middle = (i + last) // 2
                    waiting.add(group)
                    found.append(
                        (
                            group,
                            _Stretch(
                                states[middle, first:].copy(),
                                pulse.next_place,
                                pulse.settled - pulse.width,
                                self._story(symbols[middle], pulse),
                                pulse.symbol,
                            ),
                        )
                    )
            previous = group
        return found

    def _story(self, symbols: NDArray[np.int8], pulse: Pulse) -> Story:
        return read_story(
            symbols[pulse.width - 1 :], pulse.settled - pulse.width, self.protocol.shortest
        )

    def _group(self, symbols: NDArray[np.int8], pulse: Pulse) -> Key:
        return (pulse.next_place, pulse.symbol, self._story(symbols, pulse).key)

    # ------------------------------------------------------------------ nodes

    def node_at(self, stretch: _Stretch, moment: int) -> Key:
        index = int(np.searchsorted(stretch.story.starts, moment, side="right")) - 1
        index = max(index, 0)
        late = moment - stretch.story.starts[index] > self.protocol.patience
        return self.node(stretch, index, late)

    def node(self, stretch: _Stretch, index: int, late: bool) -> Key:
        """The node of one run of a stretch's outputs."""
        story = stretch.story
        if story.cyclic:
            return (stretch.place, "cycle", story.runs[index], story.outputs, self.ending(stretch))
        if index < len(story.runs) - 1:
            return (stretch.place, "before", story.runs[index:], self.ending(stretch))
        ending = self.ending(stretch)
        if not late:
            early = self._answered(stretch, index, late=False)
            if not early <= ending:
                return (stretch.place, "early", story.runs[index], ending)
        return (stretch.place, "rest", story.runs[index], ending)

    def _answered(self, stretch: _Stretch, index: int, *, late: bool) -> frozenset[Key]:
        begin = stretch.story.starts[index] if not stretch.story.cyclic else 0
        return frozenset(
            group
            for m, _, group, _ in stretch.answers
            if m >= begin and (m - begin > self.protocol.patience) == late
        )

    def ending(self, stretch: _Stretch) -> frozenset[Key]:
        """The stories that pulses late in a stretch lead to."""
        last = len(stretch.story.runs) - 1
        found = self._answered(stretch, last, late=True)
        return found or frozenset(group for _, _, group, _ in stretch.answers[-1:])

    def entry(self, group: Key, state: NDArray[np.float64]) -> Key | None:
        """The first node of the explored stretch that begins nearest to a state."""
        candidates = self.explored.get(group)
        if not candidates:
            return None
        nearest = min(candidates, key=lambda c: float(np.sum((c.states[0] - state) ** 2)))
        return self.node_at(nearest, 0)

    def graph(self, root: _Stretch, rare: float = RARE) -> Graph:
        number: dict[Key, int] = {}
        edges: set[tuple[int, int, int]] = set()
        pulses: dict[tuple[Key, int], dict[Key, int]] = {}

        def numbered(key: Key) -> int:
            return number.setdefault(key, len(number))

        numbered(self.node_at(root, 0))
        for stretches in self.explored.values():
            for stretch in stretches:
                story = stretch.story
                bounds = [*story.starts, self.horizon]
                path = []
                for i, begin in enumerate(story.starts):
                    if i < len(story.runs) - 1 or story.cyclic:
                        path.append((self.node(stretch, i, late=False), bounds[i + 1] - begin))
                    else:
                        path.append((self.node(stretch, i, late=False), 0))
                        path.append((self.node(stretch, i, late=True), 0))
                for (one, lasts), (other, _) in pairwise(path):
                    if one != other:
                        edges.add((numbered(one), numbered(other), 0))
                        if lasts > self.protocol.patience:
                            edges.add((numbered(one), numbered(one), 0))
                for m, symbol, group, state in stretch.answers:
                    target = self.entry(group, state)
                    if target is not None:
                        answers = pulses.setdefault((self.node_at(stretch, m), symbol), {})
                        answers[target] = answers.get(target, 0) + 1
        for (source, symbol), answers in pulses.items():
            total = sum(answers.values())
            for target, count in answers.items():
                if count > rare * total:
                    edges.add((numbered(source), numbered(target), symbol))
        return self._reachable(number, edges)

    @staticmethod
    def _reachable(number: dict[Key, int], edges: set[tuple[int, int, int]]) -> Graph:
        """What the root leads to; rare answers may have been all that led to some nodes."""
        leads = sorted(edges)
        found = [0]
        for node in found:
            for source, target, _ in leads:
                if source == node and target not in found:
                    found.append(target)
        new = {node: i for i, node in enumerate(found)}
        output = [0] * len(found)
        for key, i in number.items():
            if i in new:
                output[new[i]] = key[2][0] if key[1] == "before" else key[2]
        kept = sorted((new[s], new[t], symbol) for s, t, symbol in edges if s in new)
        sources, targets, symbols = zip(*kept, strict=True) if kept else ((), (), ())
        return Graph(output, sources, targets, symbols)


def check_asked(task: Task, architecture: str, weights: networks.Weights) -> None:
    """An error where a network cannot be given the pulses of its task."""
    check_needs(task, "reduce", "automaton")
    networks.as_float64(architecture, weights)


def explore(
    task: Task,
    architecture: str,
    weights: networks.Weights,
    *,
    rare: float = RARE,
    run: networks.Run = networks.run,
) -> Graph:
    """The graph of one network.

    Parameters
    ----------
    task : Task
        With a ``protocol`` and an ``output_symbol``.
    architecture : str
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    rare : float
        An answer to a pulse is left out where no more than this share of a node's moments get it.
        More makes smaller graphs that allow less of what the network does.
    run : callable
        What the network is run by, as `solspace.networks.run` does it.

    Returns
    -------
    Graph
        Without nodes that answer everything alike (see `minimized`).

    Raises
    ------
    SolspaceError
        Where the task does not say which pulses its networks can be given, the architecture is
        unknown, or weights hold NaN.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> shapes = networks.parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> silent = {name: np.zeros(shape) for name, shape in shapes.items()}
    >>> explore(get_task("interval_reproduction"), "vanilla", silent).n_nodes
    1
    """
    check_asked(task, architecture, weights)
    exploration = _Exploration(task, architecture, weights, run)
    return minimized(exploration.graph(exploration.explore(), rare))
