"""The fine graph rewritten into the few nodes that differ in output, past or future.

The rules and their order are those of Turner, Dabholkar & Barak (NeurIPS 2021). The order
matters: rules are tried on the edges of the lowest node first, and between two nodes there is
one edge a direction, so that an edge that would come to lie beside another is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, groupby

import numpy as np
from numpy.typing import NDArray

from solspace.reduction.graph import Graph, ReductionError
from solspace.reduction.merging import TrajectoryGraph, flow_paths

__all__ = ["Rewriter", "compact"]

AUTONOMOUS = 0
MAX_ROUNDS = 200


def compact(
    fine: TrajectoryGraph, symbols: NDArray[np.int8], *, answer: int, question: int | None
) -> Graph:
    """The reduced-dynamics graph of a fine graph.

    Parameters
    ----------
    fine : TrajectoryGraph
        It is used up.
    symbols : array (node,), int8
        Output of each node: -1, 0 or 1.
    answer : int
        The symbol of the pulse that is answered (Set; the second pulse).
    question : int or None
        The symbol of the pulse before it, where there is one.

    Returns
    -------
    Graph
        The root first, the other nodes in the order in which they were explored.

    Raises
    ------
    ReductionError
        Where rewriting does not come to an end, or no root is left.
    """
    fine.remove_self_loops()
    thin(fine, symbols)
    small = Rewriter.from_fine(fine, symbols, answer=answer, question=question)
    small.rewrite()
    return small.graph()


def thin(fine: TrajectoryGraph, symbols: NDArray[np.int8]) -> None:
    """Drop the insides of silent stretches: nodes with one way in, one way out, both by flow.

    What is left is what the rewriting rules of `Rewriter` could tell apart.
    """
    silent = fine.alive & (symbols == 0)
    flow = np.where(silent, fine.successor, -1)
    flow[(flow >= 0) & ~silent[flow]] = -1
    ways_in = np.bincount(fine.successor[fine.successor >= 0], minlength=len(flow))
    ways_out = (fine.successor >= 0).astype(np.int64)
    for source, target in fine.pulses:
        ways_out[source] += 1
        ways_in[target] += 1
    plain = silent & (ways_in <= 1) & (ways_out <= 1) & (fine.successor >= 0)
    plain[fine.root] = False
    paths, _ = flow_paths(flow, silent)
    for path in (path for group in paths for path in group):
        droppable = plain[path]
        droppable[[0, -1]] = False
        kept = path[~droppable]
        bridged = np.flatnonzero(np.diff(np.flatnonzero(~droppable)) > 1)
        for k in bridged.tolist():
            source, target = int(kept[k]), int(kept[k + 1])
            fine.pulses.pop((source, target), None)
            fine.successor[source] = target
        dropped = path[droppable]
        fine.alive[dropped] = False
        fine.successor[dropped] = -1


class Rewriter:
    """A small graph with one edge between two nodes a direction, and the rewriting rules.

    Attributes
    ----------
    output : dict of node to int
        Nodes in rising order.
    out : dict of node to dict of target to symbol
    into : dict of node to set of sources
    root : int
    answer : int
    question : int or None
    """

    def __init__(
        self, output: dict[int, int], root: int, *, answer: int, question: int | None
    ) -> None:
        self.output = output
        self.out: dict[int, dict[int, int]] = {node: {} for node in output}
        self.into: dict[int, set[int]] = {node: set() for node in output}
        self.root = root
        self.answer = answer
        self.question = question
        self._pulses = [answer] + ([question] if question is not None else [])

    @classmethod
    def from_fine(
        cls,
        fine: TrajectoryGraph,
        symbols: NDArray[np.int8],
        *,
        answer: int,
        question: int | None,
    ) -> Rewriter:
        nodes = np.flatnonzero(fine.alive)
        output = dict(zip(nodes.tolist(), symbols[nodes].tolist(), strict=True))
        small = cls(output, fine.root, answer=answer, question=question)
        for node in output:
            if fine.successor[node] >= 0:
                small.connect(node, int(fine.successor[node]), AUTONOMOUS)
        for (source, target), symbol in fine.pulses.items():
            small.connect(source, target, symbol)
        return small

    # ------------------------------------------------------------------ edges

    def connect(self, source: int, target: int, symbol: int) -> None:
        """Add an edge; one that is there takes the new symbol."""
        self.out[source][target] = symbol
        self.into[target].add(source)

    def disconnect(self, source: int, target: int) -> None:
        del self.out[source][target]
        self.into[target].discard(source)

    def edges(self) -> Iterator[tuple[int, int]]:
        """Autonomous edges, of the lowest node first."""
        for source in self.output:
            for target, symbol in self.out[source].items():
                if symbol == AUTONOMOUS:
                    yield source, target

    def target(self, node: int | None, symbol: int | None) -> int | None:
        """Where the first edge with that symbol leads."""
        if node is not None:
            for target, carried in self.out[node].items():
                if carried == symbol:
                    return target
        return None

    @property
    def size(self) -> tuple[int, int]:
        return len(self.output), sum(map(len, self.out.values()))

    def remove(self, node: int) -> None:
        for target in self.out.pop(node):
            if target != node:
                self.into[target].discard(node)
        for source in self.into.pop(node):
            if source != node:
                del self.out[source][node]
        del self.output[node]

    def absorb(self, keep: int, drop: int, *, between: bool = True) -> None:
        """Make one node of two: edges of the second become the first's, unless it has one there.

        ``between``: whether edges from one to the other become loops, or are dropped.
        """
        edges = [(source, drop, self.out[source][drop]) for source in sorted(self.into[drop])]
        edges += [(drop, target, symbol) for target, symbol in self.out[drop].items()]
        self.remove(drop)
        if drop == self.root:
            self.root = keep
        for source, target, symbol in edges:
            if {source, target} == {keep, drop} and not between:
                continue
            source = keep if source == drop else source
            target = keep if target == drop else target
            if target not in self.out[source]:
                self.connect(source, target, symbol)

    def contract(self, one: int, other: int) -> None:
        """Absorb the second node into the first (the root stays), common sources untangled.

        A source that leads to both keeps its flow to the pair, and its pulse becomes a loop.
        """
        if other == self.root:
            one, other = other, one
        for source in sorted(self.into[one] & self.into[other]):
            pulsed = one if self.out[source][one] > AUTONOMOUS else other
            self.connect(source, source, self.out[source][pulsed])
            self.disconnect(source, pulsed)
        self.absorb(one, other)

    # ------------------------------------------------------------------ the rules

    def rewrite(self) -> None:
        """Apply all rules until nothing changes."""
        for _ in range(MAX_ROUNDS):
            before = self.size
            self.drop_plain()
            self.contract_flow()
            self.contract_siblings()
            self.absorb_silent()
            self.redirect_answers()
            self.contract_squares()
            if self.size == before:
                return
        raise ReductionError(
            f"rewriting the graph did not come to an end in {MAX_ROUNDS} rounds; "
            f"{len(self.output)} nodes are left"
        )

    def _is_plain(self, node: int) -> bool:
        return (
            node != self.root
            and len(self.into[node]) <= 1
            and len(self.out[node]) <= 1
            and self.target(node, AUTONOMOUS) is not None
        )

    def drop_plain(self) -> None:
        """Silent nodes that flow only goes through are dropped."""
        while True:
            silent = [node for node in self.output if not self.output[node]]
            number = {node: i for i, node in enumerate(silent)}
            flow = np.full(len(silent), -1, np.int64)
            for node, i in number.items():
                target = self.target(node, AUTONOMOUS)
                flow[i] = -1 if target is None else number.get(target, -1)
            paths, _ = flow_paths(flow, np.ones(len(silent), bool))
            runs = []
            for path in (path for group in paths for path in group):
                nodes = [silent[i] for i in path]
                inner = range(1, len(nodes) - 1)
                for plain, run in groupby(inner, lambda i: self._is_plain(nodes[i])):  # noqa: B023
                    if plain:
                        first, *_, last = [*run] * 2
                        runs.append(nodes[first - 1 : last + 2])
            for before, *inside, after in runs:
                for node in inside:
                    self.remove(node)
                self.connect(before, after, AUTONOMOUS)
            if not runs:
                break
        while True:
            for one, other in self.edges():
                if (
                    not (self.output[one] or self.output[other] or one == other)
                    and len(self.into[one]) == len(self.into[other]) == len(self.out[one]) == 1
                    and other != self.root
                ):
                    self.absorb(one, other, between=False)
                    break
            else:
                return

    def _alike(self, one: int, other: int) -> bool:
        """Same output, and no neighbour or pulse tells the two apart."""
        if self.output[one] != self.output[other]:
            return False
        pair = {one, other}
        for source in (self.into[one] & self.into[other]) - pair:
            a, b = self.out[source][one], self.out[source][other]
            if a != b and min(a, b) > AUTONOMOUS:
                return False
        for target in (self.out[one].keys() & self.out[other].keys()) - pair:
            if self.out[one][target] != self.out[other][target]:
                return False
        for symbol in self._pulses:
            led = {self.target(one, symbol), self.target(other, symbol)} - {None}
            elsewhere = led - pair
            if len(elsewhere) == 2 or (len(elsewhere) == 1 and len(led) > 1):
                return False
        return True

    def contract_flow(self) -> None:
        """Two nodes, one flowing into the other, are one where nothing tells them apart."""
        while True:
            for one, other in self.edges():
                if one != other and self._alike(one, other):
                    self.disconnect(one, other)
                    self.contract(one, other)
                    break
            else:
                return

    def contract_siblings(self) -> None:
        """Two nodes that flow into the same third are one where nothing tells them apart."""
        while True:
            for node in self.output:
                if len(self.into[node]) < 2:
                    continue
                sources = sorted(
                    source for source in self.into[node] if self.out[source][node] == AUTONOMOUS
                )
                pair = next(
                    (
                        (one, other)
                        for one, other in combinations(sources, 2)
                        if self.target(one, AUTONOMOUS) == self.target(other, AUTONOMOUS)
                        and self._alike(one, other)
                    ),
                    None,
                )
                if pair is not None:
                    self.contract(*pair)
                    break
            else:
                return

    def absorb_silent(self) -> None:
        """A silent node whose only way out is to flow into an output node becomes part of it."""
        while True:
            for one, other in self.edges():
                if (
                    not self.output[one]
                    and self.output[other]
                    and len(self.out[one]) == 1
                    and len(self.into[other]) == 1
                    and self.target(other, AUTONOMOUS) != one
                ):
                    self.absorb(other, one, between=False)
                    break
            else:
                return

    def redirect_answers(self) -> None:
        """A node only reached by the answered pulse flows at once to where silent flow ends."""
        reached = [
            node
            for node in self.output
            if self.into[node]
            and all(self.out[source][node] == self.answer for source in self.into[node])
        ]
        for node in reached:
            target = self.target(node, AUTONOMOUS)
            if target is None or self.output[target]:
                continue
            visited = {target}
            following = self.target(target, AUTONOMOUS)
            while following is not None and following not in visited and not self.output[following]:
                self.disconnect(node, target)
                self.connect(node, following, AUTONOMOUS)
                target = following
                visited.add(target)
                following = self.target(target, AUTONOMOUS)

    def _answers_agree(self, one: int, other: int) -> bool:
        """Same answer at once; questions lead to two nodes that answer alike and flow back."""
        if self.question is None or self.target(one, self.answer) != self.target(
            other, self.answer
        ):
            return False
        asked, asked_other = self.target(one, self.question), self.target(other, self.question)
        return self._flow_back(one, other, asked, asked_other) and (
            self.target(asked, self.answer) == self.target(asked_other, self.answer)
        )

    def _answers_match(self, one: int, other: int) -> bool:
        """Same question; answers are two nodes of the same non-zero output that flow back."""
        if self.question is not None and self.target(one, self.question) != self.target(
            other, self.question
        ):
            return False
        answer, answer_other = self.target(one, self.answer), self.target(other, self.answer)
        return self._flow_back(one, other, answer, answer_other) and (
            self.output[answer] == self.output[answer_other] != 0  # type: ignore[index]
        )

    def _flow_back(self, one: int, other: int, led: int | None, led_other: int | None) -> bool:
        if led is None or led_other is None or led == led_other:
            return False
        ends = {self.target(led, AUTONOMOUS), self.target(led_other, AUTONOMOUS)}
        return len({one, other} | ends) <= 2

    def contract_squares(self) -> None:
        """Two nodes, one flowing into the other, whose pulses lead to equivalent places."""
        while True:
            for one, other in self.edges():
                if one != other and (
                    self._answers_agree(one, other) or self._answers_match(one, other)
                ):
                    for symbol in self._pulses:
                        led = self.target(one, symbol)
                        led_other = self.target(other, symbol)
                        if None not in (led, led_other) and led != led_other:
                            self.absorb(led, led_other, between=False)  # type: ignore[arg-type]
                    if not {one, other} <= self.output.keys():
                        raise ReductionError(
                            "two nodes to be contracted are what the pulses given at them lead to"
                        )
                    self.absorb(one, other, between=False)
                    break
            else:
                return

    # ------------------------------------------------------------------ the result

    def graph(self) -> Graph:
        """The graph, root first."""
        if self.root not in self.output:
            raise ReductionError("the root was lost when two cycles were merged")
        nodes = sorted(self.output, key=lambda node: (node != self.root, node))
        number = {node: i for i, node in enumerate(nodes)}
        edges = [
            (number[source], number[target], symbol)
            for source in nodes
            for target, symbol in self.out[source].items()
        ]
        source, target, symbol = zip(*edges, strict=True) if edges else ((), (), ())
        return Graph([self.output[node] for node in nodes], source, target, symbol)
