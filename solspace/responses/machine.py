"""Machines of responses: what follows each pulse, as the smallest machine that says so.

A *machine* is a Mealy machine. Its states are what a network settles to, told apart by what it goes
on putting out there and by what pulses given there lead to; its edges carry pulses, and what is put
out after them until the network has settled again. State 0 is the start, which is left by silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

__all__ = ["SETTLED", "Edge", "Machine", "Pulses", "State", "Word", "smallest_machine"]

SETTLED = -1  # the wait before a pulse that is given to a settled network

Word = tuple[int, ...]  # outputs that are not zero, in order
Pulses = tuple[tuple[int, int], ...]  # (wait, symbol) of each
Way = tuple[Pulses, tuple[Word, ...], int, int]  # pulses, words, target, phases


@dataclass(frozen=True)
class State:
    """What a network settles to.

    Attributes
    ----------
    kind : {"start", "point", "cycle", "unsettled"} or some of them joined by " or "
    output : tuple of int
        What it goes on putting out: nothing, one output that is held, or several in turn.
    repeated : bool
        Whether outputs come again and again with pauses between them.
    """

    kind: str
    output: Word = ()
    repeated: bool = False


@dataclass(frozen=True)
class Edge:
    """One answer to pulses.

    Attributes
    ----------
    source, target : int
    pulses : tuple of (int, int)
        Wait and symbol of each; the wait is `SETTLED` where the network has settled before. None
        of them for the silence after the start.
    words : tuple of tuple of int
        What is put out after each pulse until the next and until the network has settled; of the
        start, before its first pulse as well.
    phases : int
        At how many of the eight phases of a cycle this is the answer; 8 where there are none.
    """

    source: int
    target: int
    pulses: Pulses
    words: tuple[Word, ...]
    phases: int = 8


@dataclass(frozen=True)
class Machine:
    """What a network answers to pulses; see the module.

    Attributes
    ----------
    states : tuple of State
        The start first, the others in the order in which edges lead to them.
    edges : tuple of Edge
        By source, then by pulses.
    """

    states: tuple[State, ...]
    edges: tuple[Edge, ...]
    _leaving: Mapping[int, list[Edge]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for edge in self.edges:
            self._leaving.setdefault(edge.source, []).append(edge)  # type: ignore[attr-defined]

    def leaving(self, state: int) -> list[Edge]:
        """The edges of one state."""
        return self._leaving.get(state, [])


def smallest_machine(
    states: Sequence[State], ways: Sequence[Iterable[Way]], depth: int | None
) -> Machine:
    """The smallest machine that answers as what was found in a network.

    States are joined where they put out the same and pulses lead to the same answers and to states
    that are joined: bisimulation, by sets of answers where these depend on the phase of a cycle.
    Where sequences end after some pulses, only states are joined at which as many pulses may
    still come, so that the machine says nothing of longer ones. Kinds of what a network settles to
    and numbers of phases tell no states apart.

    Parameters
    ----------
    states : sequence of State
        The start first.
    ways : sequence of iterables of (pulses, words, target, phases)
        Of each state.
    depth : int or None
        Pulses of the longest sequence; None where there is no end.

    Examples
    --------
    Two rests that a pulse leads to in turn, silent both:

    >>> rest = State("point")
    >>> set_ = ((SETTLED, 1),)
    >>> found = [[((), ((),), 1, 8)], [(set_, ((1,),), 2, 8)], [(set_, ((1,),), 1, 8)]]
    >>> machine = smallest_machine([State("start"), rest, rest], found, None)
    >>> len(machine.states), [(edge.source, edge.words, edge.target) for edge in machine.edges]
    (2, [(0, ((),), 1), (1, ((1,),), 1)])
    """
    out_of = [list(own) for own in ways]
    color = _colors(states, out_of, depth)
    kept: list[tuple[int, int | None]] = [(0, depth)]
    number = {(color(0, depth), depth): 0}
    kinds = [{states[0].kind}]
    edges: dict[tuple[int, Pulses, tuple[Word, ...], int], int] = {}
    for source, (node, left) in enumerate(kept):
        out = [
            (pulses, words, color(target, after), target, after, phases)
            for pulses, words, target, phases in out_of[node]
            if left is None or len(pulses) <= left
            for after in [None if left is None else left - len(pulses)]
        ]
        for pulses, words, named, target, after, phases in sorted(out, key=lambda one: one[:3]):
            to = number.setdefault((named, after), len(kept))
            if to == len(kept):
                kept.append((target, after))
                kinds.append(set())
            kinds[to].add(states[target].kind)
            edge = (source, pulses, words, to)
            edges[edge] = edges.get(edge, 0) + phases
    told = [
        State(" or ".join(sorted(kind)), *_own(states[node]))
        for (node, _), kind in zip(kept, kinds, strict=True)
    ]
    return Machine(
        tuple(told),
        tuple(
            Edge(source, target, pulses, words, phases)
            for (source, pulses, words, target), phases in sorted(edges.items())
        ),
    )


def _own(state: State) -> tuple[Word, bool]:
    return state.output, state.repeated


def _colors(
    states: Sequence[State], ways: Sequence[list[Way]], depth: int | None
) -> Callable[[int, int | None], str]:
    """The name of what a state answers while so many pulses are left, the same in every network."""

    def named(own: State, answers: Iterable[Any]) -> str:
        start = own.kind == "start"
        text = repr((start, own.output, own.repeated, sorted(set(answers))))
        return blake2b(text.encode(), digest_size=16).hexdigest()

    if depth is not None:
        known: dict[tuple[int, int], str] = {}

        def color(node: int, left: int | None) -> str:
            assert left is not None
            if (node, left) not in known:
                known[node, left] = named(
                    states[node],
                    [
                        (pulses, words, color(target, left - len(pulses)))
                        for pulses, words, target, _ in ways[node]
                        if len(pulses) <= left
                    ],
                )
            return known[node, left]

        return color

    first = [named(own, []) for own in states]

    def finer(colors: list[str]) -> list[str]:
        return [
            named(own, [(pulses, words, colors[target]) for pulses, words, target, _ in out])
            for own, out in zip(states, ways, strict=True)
        ]

    colors, after = first, finer(first)
    while len(set(after)) > len(set(colors)):
        colors, after = after, finer(after)
    # Names turn on the rounds that they were made in, and what is larger takes more of them to tell
    # the same apart. As many as there are classes that pulses lead to are enough for these, and the
    # same for all that is alike.
    reached = [0]
    for node in reached:
        reached += [target for *_, target, _ in ways[node] if target not in reached]
    classes = len({colors[node] for node in reached})
    colors = first
    for _ in range(classes):
        colors = finer(colors)
    return lambda node, left: colors[node]
