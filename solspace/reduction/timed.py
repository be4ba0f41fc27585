"""Graphs that know time: edges with windows of steps, from a sample of where pulses lead.

Where timing decides what a pulse does, `solspace.reduction.automaton` has to allow every answer.
Here a network is driven with random pulses and waits (sequences of their own, never those of
`solspace.verification`). From each of `SAMPLES` states that pulses have led to, it is run in
silence, which gives the *chain* of outputs that comes of the state, and every pulse is given at
`MOMENTS` moments, evenly in the logarithm of time; each answer is taken for the sampled state
nearest to it. That is a model of the network with as many states as samples.

Two samples differ by the chance that a random sequence of pulses, given at both, shows them apart
(a bisimulation metric: Ferns, Panangaden & Precup, UAI 2004). By this they are joined to classes,
average linkage, as many as the bounds on nodes and edges let in. A class is drawn as the chain of
its outputs: one node a run, autonomous edges with the window in which members change, pulses with
the moments at which members answer alike. Distances in state space decide which sample is nearest,
nothing else.

How rare an answer may be to be left out, and how wide windows of autonomous edges are, is decided
by response sequences of the network that no part of the graph was made from: the tightest graph is
taken that allows `ENOUGH` of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace import networks
from solspace.reduction import bounds
from solspace.reduction.acceptance import graph_recall
from solspace.reduction.automaton import check_asked, explore
from solspace.reduction.graph import Graph
from solspace.reduction.responses import ResponseSequences, read_responses
from solspace.tasks.protocol import LONGEST_WAIT, SEQUENCE_STEPS, StimulusProtocol
from solspace.tasks.symbols import read_symbols
from solspace.tasks.task import Task

__all__ = ["explore_timed"]

SAMPLES = 800
MOMENTS = 48
SEED = 12345
# Own response sequences that no part of the graph was made from, and the share it has to allow.
HELD_BACK = 400
ENOUGH = 0.97
# Chances that a random sequence goes on with a pulse, and that it ends with a stretch of silence.
GOES_ON, ENDS = 0.6, 0.35
DEPTH = 5
# A class's chain is drawn to this many runs; what goes on changing then is a loop of the last two.
MOST_RUNS = 5
VARIANT = 0.25  # share of a class's members from which a chain of their own is drawn
GAP = 2  # moments that a window may skip
# How tight graphs can be, tightest first: the share of a class's members under which an answer is
# left out, and by what share and how many steps windows of autonomous edges are wider than what
# was seen in the sample.
TIGHT = (
    (0.3, 0.0, 0),
    (0.2, 0.0, 0),
    (0.15, 0.0, 0),
    (0.15, 0.06, 1),
    (0.1, 0.06, 1),
    (0.05, 0.06, 1),
    (0.02, 0.06, 1),
    (0.02, 0.12, 2),
    (0.02, 0.2, 3),
    (0.02, 0.3, 3),
    (0.02, 0.45, 4),
    (0.02, 0.6, 5),
    (0.02, 1.0, 8),
    (0.02, 9.0, SEQUENCE_STEPS),
)
_BLOCK = 64

Chain = tuple[tuple[int, ...], bool]
Edge = tuple[int, int, int, int, int]


@dataclass
class _Sample:
    """States that pulses lead to, what comes of each in silence, and where pulses lead then."""

    place: NDArray[np.int64]  # (sample,)
    moments: NDArray[np.int64]  # (moment,)
    now: NDArray[np.int8]  # output (sample, moment)
    seen: NDArray[np.int64]  # index into `histories` (sample, moment)
    histories: list[tuple[int, ...]]  # outputs seen until a moment, without flickers
    final: NDArray[np.int64]  # number of the whole history (sample,)
    runs: list[tuple[int, ...]]  # by sample
    starts: list[NDArray[np.int64]]
    # By place and symbol: the samples it can be given at, and the nearest sample to each answer.
    answers: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]]


def _runs(
    symbols: NDArray[np.int8], shortest: int
) -> tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Runs of outputs, without those that are too short: values, first steps, shown at."""
    begin = np.concatenate([[0], np.flatnonzero(np.diff(symbols)) + 1])
    lasts = np.diff([*begin, len(symbols)])
    begin = begin[lasts >= shortest]
    if not begin.size:
        return (int(symbols[-1]),), np.zeros(1, np.int64), np.array([shortest])
    value = symbols[begin]
    new = np.concatenate([[True], value[1:] != value[:-1]])
    begin = begin[new]
    return tuple(value[new].tolist()), begin, begin + shortest


def _draw(task: Task, architecture: str, weights: networks.Weights, run: networks.Run) -> _Sample:
    protocol = task.protocol
    assert protocol is not None
    weights = networks.as_float64(architecture, weights)
    pulses = {(pulse.place, pulse.symbol): pulse for pulse in protocol.pulses}
    states, led_by = _walk(protocol, architecture, weights, run)
    place = np.array([0] + [pulses[by].next_place for by in led_by[1:]])
    symbol = np.array([by[1] for by in led_by])
    moments = np.unique(np.rint(np.geomspace(1, LONGEST_WAIT, MOMENTS)).astype(np.int64))

    n, inputs = len(states), protocol.before.shape[1]
    at = np.empty((n, len(moments), states.shape[1]))
    symbols = np.empty((n, SEQUENCE_STEPS), np.int8)
    for first in range(0, n, _BLOCK):
        block = slice(first, min(first + _BLOCK, n))
        silence = np.zeros((block.stop - first, SEQUENCE_STEPS, inputs))
        after, output = run(architecture, weights, silence, states[block])
        at[block], symbols[block] = after[:, moments - 1], read_symbols(task, output)

    number: dict[tuple[int, ...], int] = {}
    runs, starts = [], []
    seen = np.empty((n, len(moments)), np.int64)
    for i in range(n):
        values, begin, shown = _runs(symbols[i], protocol.shortest)
        runs.append(values)
        starts.append(begin)
        known = np.searchsorted(shown, moments, side="right")
        seen[i] = [number.setdefault(values[:k], len(number)) for k in known.tolist()]
    final = np.array([number.setdefault(values, len(number)) for values in runs])

    answers = {}
    for (where, kind), pulse in pulses.items():
        given = np.flatnonzero(place == where)
        led = np.flatnonzero((place == pulse.next_place) & (symbol == kind))
        if not given.size or not led.size:
            continue
        nearest = np.empty((given.size, len(moments)), np.int64)
        drive = np.zeros((_BLOCK * len(moments), pulse.settled, inputs))
        drive[:, : pulse.width, pulse.channel] = pulse.amplitude
        for first in range(0, given.size, _BLOCK):
            some = given[first : first + _BLOCK]
            start = at[some].reshape(-1, states.shape[1])
            end = run(architecture, weights, drive[: len(start)], start)[0][:, -1]
            apart = np.sum(states[led] ** 2, axis=1) - 2 * end @ states[led].T
            nearest[first : first + _BLOCK] = led[apart.argmin(1)].reshape(len(some), -1)
        answers[where, kind] = given, nearest
    return _Sample(
        place=place,
        moments=moments,
        now=symbols[:, moments - 1],
        seen=seen,
        histories=list(number),
        final=final,
        runs=runs,
        starts=starts,
        answers=answers,
    )


def _walk(
    protocol: StimulusProtocol, architecture: str, weights: networks.Weights, run: networks.Run
) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    """The root and states that pulses lead to, and the place and symbol of these."""
    per_sequence = 1 if protocol.most <= 2 else 2
    sequences = protocol.random_sequences(np.random.default_rng(SEED), SAMPLES // per_sequence + 1)
    found: list[NDArray[np.float64]] = []
    led_by: list[tuple[int, int]] = [(0, -1)]
    next_place = {(pulse.place, pulse.symbol): pulse.next_place for pulse in protocol.pulses}
    for first in range(0, len(sequences), _BLOCK):
        block = slice(first, first + _BLOCK)
        states, _ = run(architecture, weights, sequences.input[block])
        if not found:
            found.append(states[0, sequences.start - 1])
        for i, row in enumerate(range(first, first + len(states))):
            place = 0
            for at, symbol in zip(
                sequences.seen_from[row].tolist(), sequences.symbol[row].tolist(), strict=True
            ):
                if at < 0:
                    break
                found.append(states[i, at - 1])
                led_by.append((place, symbol))
                place = next_place[place, symbol]
        if len(found) > SAMPLES:
            break
    return np.array(found[: SAMPLES + 1]), led_by[: SAMPLES + 1]


@njit(cache=True, nogil=True)
def _differ(given, nearest, seen, before, goes_on, out):  # type: ignore[no-untyped-def]
    """Add to ``out`` the chance that what is seen, or what a pulse leads to, is different."""
    for a in range(given.size):
        for b in range(a):
            p, q = given[a], given[b]
            total = 0.0
            for j in range(seen.shape[1]):
                if seen[p, j] != seen[q, j]:
                    total += 1.0
                else:
                    total += goes_on * before[nearest[a, j], nearest[b, j]]
            out[p, q] += total / seen.shape[1]
            out[q, p] = out[p, q]


def _distances(sample: _Sample) -> NDArray[np.float64]:
    """How far samples are apart: the chance that a random sequence of pulses shows it."""
    n = len(sample.place)
    ends = (sample.final[:, None] != sample.final[None, :]).astype(float)
    kinds = np.zeros(n)
    for given, _ in sample.answers.values():
        kinds[given] += 1
    going = kinds[:, None] > 0
    elsewhere = sample.place[:, None] != sample.place[None, :]
    apart = np.zeros((n, n))
    for _ in range(DEPTH):
        pulses = np.zeros((n, n))
        for given, nearest in sample.answers.values():
            _differ(given, nearest, sample.seen, apart, GOES_ON, pulses)
        pulses /= np.maximum(kinds, 1)[:, None]
        apart = np.where(going, ENDS * ends + (1 - ENDS) * pulses, ends)
        apart[elsewhere] = 1
    # Rounded, so that ties do not hang on the last bits.
    return np.round((apart + apart.T) / 2, 9)


class _Quotient:
    """The graph of classes of samples."""

    def __init__(
        self, sample: _Sample, label: NDArray[Any], protocol: StimulusProtocol, rare: float
    ) -> None:
        self.rare = rare
        self.sample = sample
        self.protocol = protocol
        self.kinds: list[Chain] = []
        self.kind_of = self._kinds(label)
        self.members: dict[int, list[int]] = defaultdict(list)
        for i, kind in enumerate(self.kind_of):
            self.members[kind].append(i)
        self.number: dict[tuple[int, int], int] = {}
        self.output: list[int] = []
        self.edges: list[Edge] = []  # pulses
        self.flow: list[tuple[int, int, int, int]] = []  # autonomous: from, to, earliest, latest
        self._build()

    def _chain(self, i: int) -> Chain:
        runs = self.sample.runs[i]
        return runs[:MOST_RUNS], len(runs) > MOST_RUNS

    def _kinds(self, label: NDArray[Any]) -> list[int]:
        """A chain for each class, and others where many of its members have one of their own."""
        of_class: dict[int, dict[Chain, int]] = defaultdict(lambda: defaultdict(int))
        for i, c in enumerate(label.tolist()):
            of_class[c][self._chain(i)] += 1
        number: dict[tuple[int, Chain], int] = {}
        drawn: dict[int, list[Chain]] = {}
        for c, counts in of_class.items():
            order = sorted(counts, key=lambda chain: (-counts[chain], chain))
            least = VARIANT * sum(counts.values())
            drawn[c] = [order[0]] + [chain for chain in order[1:] if counts[chain] >= least]
            for chain in drawn[c]:
                number[c, chain] = len(self.kinds)
                self.kinds.append(chain)
        out = []
        for i, c in enumerate(label.tolist()):
            own = self._chain(i)
            if own not in drawn[c]:
                # The first of those that agree with it for longest.
                own = max(drawn[c], key=lambda chain: _agreeing(chain[0], own[0]))
            out.append(number[c, own])
        return out

    def _run_at(self, kind: int, history: tuple[int, ...], now: int) -> int | None:
        """Which run of a chain what has been seen belongs to."""
        runs, loops = self.kinds[kind]
        if not history:
            return next((r for r in (0, 1) if r < len(runs) and runs[r] == now), 0)
        n = len(history)
        full = list(runs)
        while loops and len(full) < n + 2:
            full.append(full[-2])
        # A first run may be too short to be seen on one side.
        if tuple(full[:n]) == history:
            r = n - 1
        elif tuple(full[1 : n + 1]) == history:
            r = n
        elif n > 1 and tuple(full[: n - 1]) == history[1:]:
            r = n - 2
        else:
            return None
        last = len(runs) - 1
        return last - (r - last) % 2 if r > last else r

    def _asked(self) -> dict[tuple[int, int, int], dict[int, dict[int, float]]]:
        """By chain, run, symbol and moment: what share of members a pulse leads to which chain."""
        sample = self.sample
        counts: dict[tuple[int, int, int], dict[int, dict[int, float]]] = {}
        for (_, symbol), (given, nearest) in sample.answers.items():
            for i, answers in zip(given.tolist(), nearest.tolist(), strict=True):
                kind = self.kind_of[i]
                for j, answer in enumerate(answers):
                    history = sample.histories[sample.seen[i, j]]
                    run = self._run_at(kind, history, int(sample.now[i, j]))
                    if run is not None:
                        found = counts.setdefault((kind, run, symbol), {}).setdefault(j, {})
                        target = self.kind_of[answer]
                        found[target] = found.get(target, 0) + 1
        return counts

    def _windows(self, asked: dict[int, dict[int, float]]) -> Iterator[tuple[int, int, int]]:
        """What pulses lead to, and from when to when."""
        moments = self.sample.moments.tolist()
        first, last = min(asked), max(asked)
        at: dict[int, list[int]] = defaultdict(list)
        for j, answers in sorted(asked.items()):
            for target, count in answers.items():
                if count >= self.rare * sum(answers.values()):
                    at[target].append(j)
        for target, found in at.items():
            begin = found[0]
            for here, after in zip(found, [*found[1:], len(moments) + GAP + 2], strict=True):
                if after - here > 1 + GAP:
                    # Up to the neighbouring moments: what happens between is not known.
                    earliest = -1 if begin == first else moments[begin - 1] + 1
                    yield target, earliest, -1 if here == last else moments[here + 1] - 1
                    begin = after

    def _build(self) -> None:
        pulses = {asked: sorted(self._windows(found)) for asked, found in self._asked().items()}
        leads: dict[int, set[int]] = defaultdict(set)
        for (kind, _, _), windows in pulses.items():
            leads[kind] |= {target for target, _, _ in windows}
        kinds = [self.kind_of[0]]
        for kind in kinds:
            kinds += sorted(leads[kind] - set(kinds))
        for kind in kinds:
            for r, value in enumerate(self.kinds[kind][0]):
                self.number[kind, r] = len(self.output)
                self.output.append(value)
        for kind in kinds:
            self._flow(kind)
        for (kind, run, symbol), windows in pulses.items():
            if (kind, run) in self.number:
                source = self.number[kind, run]
                self.edges += [
                    (source, self.number[target, 0], symbol, earliest, latest)
                    for target, earliest, latest in windows
                ]

    def _flow(self, kind: int) -> None:
        """The autonomous edges of a chain, from when to when they were taken in the sample."""
        runs, loops = self.kinds[kind]
        nodes = [self.number[kind, r] for r in range(len(runs))]
        patience = 0.9 * self.protocol.patience
        every = self.members[kind]
        own = [i for i in every if self._chain(i) == self.kinds[kind]] or every
        starts = [self.sample.starts[i] for i in own]
        for r in range(len(runs) - 1):
            change = [int(begin[r + 1]) for begin in starts if len(begin) > r + 1]
            lasts = [begin[r + 1] - begin[r] for begin in starts if len(begin) > r + 1]
            looping = loops and r == len(runs) - 2
            latest = -1 if looping else max(change)
            self.flow.append((nodes[r], nodes[r + 1], min(change), latest))
            if max(lasts) > patience:
                self.flow.append((nodes[r], nodes[r], -1, latest))
        if loops:
            back = min(int(begin[len(runs)]) for begin in starts if len(begin) > len(runs))
            self.flow.append((nodes[-1], nodes[-2], back, -1))
            for r in (len(runs) - 1, len(runs) - 2):
                if max(max(np.diff(begin)[r::2], default=0) for begin in starts) > patience:
                    self.flow.append((nodes[r], nodes[r], -1, -1))

    def graph(self, share: float, steps: int) -> Graph:
        """With windows of autonomous edges wider by a share and some steps."""
        wider = [
            (
                source,
                target,
                0,
                max(int(earliest * (1 - min(share, 1))) - steps, -1),
                -1 if latest < 0 else min(int(latest * (1 + share)) + steps, SEQUENCE_STEPS),
            )
            for source, target, earliest, latest in self.flow
        ]
        return _minimized(self.output, self.edges + wider)


def _minimized(output: list[int], edges: list[Edge]) -> Graph:
    """Without nodes that answer everything alike at all times, and what is not reached."""
    edges = sorted(set(edges))
    color = list(output)
    while True:
        leaving: list[set[tuple[int, ...]]] = [set() for _ in color]
        for source, target, *rest in edges:
            leaving[source].add((color[target], *rest))
        number: dict[Any, int] = {}
        finer = [
            number.setdefault((color[v], frozenset(leaving[v])), len(number))
            for v in range(len(color))
        ]
        if len(number) == len(set(color)):
            break
        color = finer
    color = finer
    drawn = sorted({(color[s], color[t], *rest) for s, t, *rest in edges})
    leads: dict[int, set[int]] = defaultdict(set)
    for s, t, *_ in drawn:
        leads[s].add(t)
    order = [color[0]]
    new = {color[0]: 0}
    for one in order:
        for t in sorted(leads[one] - new.keys()):
            new[t] = len(order)
            order.append(t)
    output_of = dict(zip(color, output, strict=True))
    kept = sorted((new[s], new[t], *rest) for s, t, *rest in drawn if s in new)
    columns = zip(*kept, strict=True) if kept else ((),) * 5
    return Graph([output_of[c] for c in order], *columns)


def _agreeing(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def explore_timed(
    task: Task,
    architecture: str,
    weights: networks.Weights,
    *,
    run: networks.Run = networks.run,
) -> Graph:
    """The graph of one network, with windows of time on its edges.

    Parameters
    ----------
    task : Task
        With a ``protocol`` and an ``output_symbol``.
    architecture : str
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    run : callable
        What the network is run by, as `solspace.networks.run` does it.

    Returns
    -------
    Graph
        With ``edge_earliest`` and ``edge_latest``; as large as its bounds on nodes and edges. Where
        even the coarsest is larger than that, the graph of `explore`, without windows.

    Raises
    ------
    SolspaceError
        Where `explore` does.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> shapes = networks.parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> silent = {name: np.zeros(shape) for name, shape in shapes.items()}
    >>> explore_timed(get_task("interval_reproduction"), "vanilla", silent).n_nodes
    1
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    check_asked(task, architecture, weights)
    assert task.protocol is not None
    sample = _draw(task, architecture, weights, run)
    joined = linkage(squareform(_distances(sample), checks=False), "average")
    protocol = task.protocol

    @cache
    def quotient(classes: int, rare: float) -> _Quotient:
        return _Quotient(sample, fcluster(joined, classes, "maxclust"), protocol, rare)

    @cache
    def most(rare: float) -> int:
        return _most(lambda classes: _fits(quotient(classes, rare).graph(0, 0)), len(sample.place))

    graphs = (
        quotient(most(rare), rare).graph(share, steps) for rare, share, steps in TIGHT if most(rare)
    )

    held_back = read_responses(
        task,
        architecture,
        weights,
        protocol.random_sequences(np.random.default_rng(SEED + 1), HELD_BACK),
        run=run,
    )
    return _tightest(graphs, held_back) or explore(task, architecture, weights, run=run)


def _fits(graph: Graph) -> bool:
    """Whether it is within the bounds on nodes and edges."""
    return graph.n_nodes <= bounds.TIMED_NODES and graph.n_edges <= bounds.TIMED_EDGES


def _most(fits: Callable[[int], bool], highest: int) -> int:
    """The largest number up to a highest one that fits, where smaller ones do; 0 is none."""
    low, high = 0, highest + 1
    while high - low > 1:
        middle = min(2 * low + 8, (low + high) // 2)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _tightest(graphs: Iterable[Graph], held_back: ResponseSequences) -> Graph | None:
    """Of graphs that fit the first that allows enough responses, or what allows most."""
    best, most = None, -1.0
    for graph in filter(_fits, graphs):
        recall = graph_recall(graph, held_back)
        if recall > most:
            best, most = graph, recall
        if recall >= ENOUGH:
            break
    return best
