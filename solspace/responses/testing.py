"""How right machines are: recall and specificity on sequences they have not seen.

The sequences of a notch are of its own kind: pulses after 300 to 600 steps of silence and, where
the notch gives pulses in the trained range as well, after any wait of that range.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.reduction.graph import Graph
from solspace.reduction.responses import ResponseSequences, read_item
from solspace.responses.machine import SETTLED, Edge, Machine, Pulses, State
from solspace.responses.words import MORE, Word, first_answer
from solspace.tasks import Task, get_task
from solspace.tasks.needs import check_needs
from solspace.tasks.protocol import Notch, PulseSequences, StimulusProtocol

__all__ = [
    "LONG_SILENCE",
    "Heard",
    "heard",
    "machine_graph",
    "machine_recall",
    "machine_specificity",
    "predicted",
    "response_sequences",
]

LONG_SILENCE = (300, 600)
SEQUENCES = 100
MOST_PULSES = 4

Heard = tuple[tuple[Word, ...], tuple[tuple[int, int], ...]]  # words, (wait, symbol)


def protocol_of(task: Task) -> StimulusProtocol:
    """The protocol of a task, or an error where its networks cannot be asked."""
    check_needs(task, "responses")
    assert task.protocol is not None
    return task.protocol


def long_silence(notch: Notch) -> tuple[int, int]:
    """Shortest and longest silence after which a pulse is given as to a settled network."""
    longest = max((high for ranges in notch.within.values() for _, high in ranges), default=0)
    more = max(0, 2 * longest - LONG_SILENCE[0])
    return LONG_SILENCE[0] + more, LONG_SILENCE[1] + more


def response_sequences(
    task: str | Task, notch: str, n: int = SEQUENCES, *, seed: int = 1
) -> PulseSequences:
    """Random sequences of a notch's own kind.

    Parameters
    ----------
    task : str or Task
    notch : str
    n : int
        Sequences.
    seed : int

    Returns
    -------
    PulseSequences
        Of one to as many pulses as the notch allows, at most four. The wait before each is uniform
        from 300 to 600 steps; where the notch has pulses that come earlier, every other one does,
        uniform in the range of one of their waits, and silence is longer than twice the longest.

    Examples
    --------
    >>> drawn = response_sequences("interval_reproduction", "settled2", 20)
    >>> drawn.onset.shape, int((drawn.onset[:, 0] - drawn.start).min()) >= 300
    ((20, 2), True)
    """
    task = get_task(task)
    protocol = protocol_of(task)
    asked = protocol.notch(notch)
    pulses = protocol.pulses
    pulses = pulses if asked.pulses is None else tuple(pulses[i] for i in asked.pulses)
    most = min(MOST_PULSES if asked.depth is None else asked.depth, protocol.most)
    rng = np.random.default_rng(seed)
    silence = long_silence(asked)
    start = len(protocol.before)
    onset = np.full((n, most), -1, np.int64)
    seen_from, symbol = onset.copy(), onset.copy()
    given = []
    for i in range(n):
        place, time, burst = 0, start, 0
        for k in range(rng.integers(1, most + 1)):
            possible = [pulse for pulse in pulses if pulse.place == place]
            if not possible:
                break
            pulse = possible[rng.integers(len(possible))]
            ranges = asked.within.get(place, ())
            hurried = bool(ranges) and burst < asked.burst and rng.random() < 0.5
            low, high = ranges[rng.integers(len(ranges))] if hurried else silence
            time += int(rng.integers(low, high + 1))
            burst = burst + 1 if hurried else 1
            onset[i, k], seen_from[i, k] = time, time + pulse.settled
            symbol[i, k] = pulse.symbol
            given.append((i, time, pulse))
            time, place = time + pulse.settled, pulse.next_place
    steps = int(seen_from.max(initial=start)) + silence[1]
    inputs = np.zeros((n, steps, protocol.before.shape[1]), np.float32)
    inputs[:, :start] = protocol.before
    for i, time, pulse in given:
        inputs[i, time : time + pulse.width, pulse.channel] = pulse.amplitude
    return PulseSequences(
        inputs, start, onset, seen_from, symbol, protocol.shortest, protocol.patience
    )


def heard(task: str | Task, notch: str, responses: ResponseSequences) -> list[Heard]:
    """What counts of response sequences where a notch asks: words in each stretch, and the pulses.

    Parameters
    ----------
    task : str or Task
    notch : str
    responses : ResponseSequences
        With waits, on sequences of the notch's own kind.

    Returns
    -------
    list of (words, pulses)
        Words before the first pulse and after each; pulses as (wait, symbol), the wait `SETTLED`
        after long silence.

    Examples
    --------
    >>> from solspace.reduction import join_responses
    >>> go = np.array([0, 101, 0, 1, 0], np.int16)
    >>> waits = np.full(5, 400, np.int16)
    >>> heard("interval_reproduction", "settled2", join_responses([go], [waits], [waits]))
    [(((), (1,)), ((-1, 1),))]
    """
    task = get_task(task)
    protocol = protocol_of(task)
    asked = protocol.notch(notch)
    silence, _ = long_silence(asked)
    if responses.waits is None:
        raise SolspaceError("response sequences without waits; give those of read_responses")
    follow = {(p.place, p.symbol): p for p in protocol.pulses}
    found = []
    for i in range(len(responses)):
        words: list[list[int]] = [[]]
        pulses: list[tuple[int, int]] = []
        asks = [False]
        place, last = 0, None
        for item, wait in zip(
            responses.one(i).tolist(), responses.waits_of(i).tolist(), strict=True
        ):
            output, kind = read_item(item)
            if kind == "pulse":
                pulse = follow[place, output]
                place, last = pulse.next_place, None
                pulses.append((wait if wait < silence else SETTLED, pulse.symbol))
                asks.append(pulse.asks)
                words.append([])
            elif kind != "flicker":
                if output and output != last:
                    words[-1].append(output)
                last = output
        told = (
            tuple(first_answer(word, ask) for word, ask in zip(words, asks, strict=True))
            if asked.answers
            else tuple(tuple(word) for word in words)
        )
        found.append((told, tuple(pulses)))
    return found


def _fits(seen: Word, word: Word, state: State) -> bool:
    """Whether what is seen is a word and then what goes on in a state."""
    told, more = (word[:-1], True) if word[-1:] == (MORE,) else (word, False)
    if seen[: len(told)] != told:
        return False
    rest = seen[len(told) :]
    own = state.output
    if not state.repeated:
        held = len(own)
        return rest[len(rest) - held :] == own and (len(rest) > held if more else len(rest) == held)
    if more or state.kind == "unsettled":
        return more or set(rest) <= set(own)
    n = len(own)
    return any(all(v == own[(k + shift) % n] for k, v in enumerate(rest)) for shift in range(n))


def _answers(edge: Edge, machine: Machine, pulses: Pulses, words: list[Word]) -> bool:
    """Whether an edge carries these pulses and this is what is put out after them."""
    if len(edge.pulses) != len(pulses) or any(
        (a == SETTLED) != (b == SETTLED) or s != t
        for (a, s), (b, t) in zip(edge.pulses, pulses, strict=True)
    ):
        return False
    before = all(
        told == seen or (told[-1:] == (MORE,) and seen[: len(told) - 1] == told[:-1])
        for told, seen in zip(edge.words[:-1], words[:-1], strict=True)
    )
    return before and _fits(words[-1], edge.words[-1], machine.states[edge.target])


def predicted(machine: Machine, sequences: Sequence[Heard]) -> NDArray[np.bool_]:
    """Which response sequences a machine allows.

    What is put out in each stretch has to be what some edge says, and then what goes on in the
    state it leads to. Of pulses in the trained range the tested wait nearest to theirs counts.

    Parameters
    ----------
    machine : Machine
    sequences : sequence of (words, pulses)
        See `heard`.

    Returns
    -------
    array (response,), bool

    Examples
    --------
    >>> start, rest = State("start"), State("point")
    >>> edges = Edge(0, 1, (), ((),)), Edge(1, 1, ((SETTLED, 1),), ((1,),))
    >>> go, none = [(((), word), ((SETTLED, 1),)) for word in ((1,), ())]
    >>> predicted(Machine((start, rest), edges), [go, none]).tolist()
    [True, False]
    """
    known: dict[Heard, bool] = {}
    for one in sequences:
        if one not in known:
            known[one] = _predicts(machine, *one)
    return np.array([known[one] for one in sequences], bool)


def _predicts(machine: Machine, words: tuple[Word, ...], pulses: Pulses) -> bool:
    here = {0}
    since: list[tuple[int, int]] = []
    seen = [words[0]]

    def settled() -> set[int]:
        # Of edges that differ in their waits alone, the one whose waits are nearest.
        out: set[int] = set()
        for source in here:
            edges = [e for e in machine.leaving(source) if len(e.pulses) == len(since)]
            off = [
                sum(abs(a - b) for (a, _), (b, _) in zip(e.pulses, since, strict=True))
                for e in edges
                if [s for _, s in e.pulses] == [s for _, s in since]
                and [a == SETTLED for a, _ in e.pulses] == [b == SETTLED for b, _ in since]
            ]
            nearest = min(off, default=0)
            out |= {
                e.target
                for e in edges
                if _answers(e, machine, tuple(since), seen)
                and sum(abs(a - b) for (a, _), (b, _) in zip(e.pulses, since, strict=True))
                == nearest
            }
        return out

    for (wait, symbol), word in zip(pulses, words[1:], strict=True):
        if wait == SETTLED:
            here = settled()
            since, seen = [(SETTLED, symbol)], [word]
        else:
            since, seen = [*since, (wait, symbol)], [*seen, word]
    return bool(settled())


def machine_recall(machine: Machine, own: Sequence[Heard]) -> float:
    """Share of a network's own response sequences that its machine predicts."""
    return float(predicted(machine, own).mean())


def machine_specificity(
    machine: Machine, own: Sequence[Heard], others: Sequence[Sequence[Heard]]
) -> float:
    """Share of others' response sequences that a machine forbids, where its network does otherwise.

    Parameters
    ----------
    machine : Machine
    own : sequence of (words, pulses)
        What the machine's network puts out.
    others : sequence of sequences of (words, pulses)
        What networks with another key put out, on the same sequences.

    Returns
    -------
    float
        NaN where none does otherwise.
    """
    differ = [b for other in others for a, b in zip(own, other, strict=True) if a != b]
    return float(1 - predicted(machine, differ).mean()) if differ else float("nan")


def machine_graph(machine: Machine) -> Graph:
    """A machine as a reduced-dynamics graph, so that it can be tested as these are.

    Pulses that come before the network has settled are answered as if it had; edges with pulses in
    the trained range are left out.

    Examples
    --------
    >>> start, rest = State("start"), State("point")
    >>> edges = Edge(0, 1, (), ((),)), Edge(1, 1, ((SETTLED, 1),), ((1,),))
    >>> machine_graph(Machine((start, rest), edges)).node_output.tolist()
    [0, 0, 1, 0]
    """
    output: list[int] = []
    flow: set[tuple[int, int]] = set()
    pulses_of: dict[int, list[int]] = {}  # nodes by the state whose pulses they answer
    enter: dict[int, list[int]] = {}

    def node(value: int, state: int) -> int:
        output.append(value)
        pulses_of.setdefault(state, []).append(len(output) - 1)
        return len(output) - 1

    root = node(0, 1 if len(machine.states) > 1 else 0)
    for i, state in enumerate(machine.states[1:], start=1):
        if not state.repeated:
            enter[i] = [node(state.output[0] if state.output else 0, i)]
            continue
        loud = [node(v, i) for v in state.output]
        quiet = [node(0, i) for _ in loud]
        for k, (a, b) in enumerate(zip(loud, quiet, strict=True)):
            after = loud[(k + 1) % len(loud)]
            flow |= {(a, b), (b, after), (a, after)} - {(a, a)}
        enter[i] = [*loud, *quiet]

    def lead(word: Word, target: int) -> list[int]:
        """Nodes at which a pulse arrives whose answer is a word."""
        into = enter[target]
        for v in reversed([v for v in word if v != MORE]):
            loud, quiet = node(v, target), node(0, target)
            flow.update((loud, to) for to in into)
            if all(output[to] for to in into):  # a pause before what goes on
                gap = node(0, target)
                flow.add((loud, gap))
                flow.update((gap, to) for to in into)
            flow.add((quiet, loud))
            into = [quiet, loud]
        # Right after a pulse one change may go by unseen: an output must not.
        return into[:1] if any(v != MORE for v in word) else into

    edges: set[tuple[int, int, int]] = set()
    led: dict[tuple[int, int], set[int]] = {}
    for edge in machine.edges:
        if not edge.pulses:
            into = lead(edge.words[0], edge.target)
            flow.update((root, to) for to in into)
        elif edge.source and [wait for wait, _ in edge.pulses] == [SETTLED]:
            to = led.setdefault((edge.source, edge.pulses[0][1]), set())
            to.update(lead(edge.words[0], edge.target))
    for (source, symbol), targets in led.items():
        edges |= {(v, to, symbol) for v in pulses_of.get(source, []) for to in targets}
    edges |= {(a, b, 0) for a, b in flow}
    kept = sorted(edges)
    sources, ends, symbols = zip(*kept, strict=True) if kept else ((), (), ())
    return Graph(output, sources, ends, symbols)
