"""Names of graphs: one for what a graph allows, one for the graph up to numbering.

`automaton_key` reads a graph as an automaton, made deterministic and as small as possible, so that
graphs that behave the same coincide. `graph_key` is finer: the graph itself, whatever the numbers
of its nodes (see `solspace.reduction.numbering`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from solspace.errors import SolspaceError
from solspace.reduction.graph import Graph
from solspace.reduction.numbering import canonical_form, canonical_order
from solspace.tasks.symbols import named_symbol

__all__ = [
    "GRAPH_VERSION",
    "SOLUTION_VERSION",
    "automaton_key",
    "behavior",
    "canonical_form",
    "canonical_order",
    "describe_solution",
    "graph_key",
    "minimized",
    "solution_key",
]

GRAPH_VERSION = "v1"
SOLUTION_VERSION = "v2"
MOST_STATES = 20_000


def graph_key(graph: Graph, input_symbols: Sequence[str]) -> str:
    """A graph as a string, equal exactly where two graphs are the same but for their numbering.

    After the version of the format, one item a node, the root first: its output, and its edges
    by symbol, each with the number of the node it leads to. Autonomous edges carry no symbol.

    Parameters
    ----------
    graph : Graph
    input_symbols : sequence of str
        The task's; the first is ``"autonomous"``.

    Raises
    ------
    SolspaceError
        Where an edge carries a symbol past the task's, or a symbol holds one of ``|,;>``.

    Examples
    --------
    >>> graph = Graph([0, 1], edge_source=[1, 0, 0], edge_target=[0, 0, 1], edge_symbol=[0, 1, 0])
    >>> graph_key(graph, ("autonomous", "set"))
    'v1:0|>1,set>0;1|>0'
    """
    names = ["", *map(str, input_symbols[1:])]
    unfit = [name for name in names if any(mark in name for mark in "|,;>")]
    if unfit or len(set(names)) != len(names) or (len(names) > 1 and "" in names[1:]):
        raise SolspaceError(
            f"input symbols {tuple(input_symbols)}: each must be a name of its own without |,;>"
        )
    outputs, edges = canonical_form(graph)
    beyond = [symbol for _, symbol, _ in edges if symbol >= len(names)]
    if beyond:
        raise SolspaceError(
            f"graph: an edge carries symbol {beyond[0]}; the task has {len(names)} "
            f"({', '.join(map(str, input_symbols))})"
        )
    leaving: list[list[str]] = [[] for _ in outputs]
    for source, symbol, target in edges:
        leaving[source].append(f"{names[symbol]}>{target}")
    nodes = (f"{out}|{','.join(to)}" for out, to in zip(outputs, leaving, strict=True))
    return f"{GRAPH_VERSION}:{';'.join(nodes)}"


# --------------------------------------------------------------------------- what a graph allows


class _Automaton:
    """A graph as what takes response sequences: sets of nodes, as bits of an integer."""

    def __init__(self, graph: Graph) -> None:
        n = graph.n_nodes
        self.output: list[int] = graph.node_output.tolist()
        self.follows = [0] * n
        self.led: dict[int, list[int]] = {}
        for source, target, symbol in zip(
            graph.edge_source.tolist(),
            graph.edge_target.tolist(),
            graph.edge_symbol.tolist(),
            strict=True,
        ):
            if symbol:
                self.led.setdefault(symbol, [0] * n)[source] |= 1 << target
            else:
                self.follows[source] |= 1 << target
        self.of = {
            out: sum(1 << v for v in range(n) if self.output[v] == out)
            for out in {-1, 0, 1, *self.output}
        }
        # What each node leads to unseen, itself not included unless it comes back to itself.
        unseen = [self.follows[v] & self.of[self.output[v]] for v in range(n)]
        for middle in range(n):
            for v in range(n):
                if unseen[v] >> middle & 1:
                    unseen[v] |= unseen[middle]
        self.unseen = unseen
        self.lasting = sum(1 << v for v in range(n) if not self.follows[v] or unseen[v] >> v & 1)

    @staticmethod
    def _union(nodes: int, of: list[int]) -> int:
        out = 0
        while nodes:
            lowest = nodes & -nodes
            out |= of[lowest.bit_length() - 1]
            nodes ^= lowest
        return out

    def step(self, nodes: int, letter: tuple[str, int]) -> int:
        """Where a network may be after one more letter; 0 where the graph does not allow it."""
        kind, value = letter
        nodes |= self._union(nodes, self.unseen)
        if kind == "pulse":
            return self._union(nodes, self.led[value])
        nodes = (nodes | self._union(nodes, self.follows)) & self.of[value]
        # The node where a change of output arrives leads on unseen.
        nodes |= self._union(nodes, self.unseen)
        return nodes & self.lasting if kind == "held" else nodes

    def letters(self) -> list[tuple[str, int]]:
        outputs = sorted(set(self.output))
        return [(kind, out) for kind in ("seen", "held") for out in outputs] + [
            ("pulse", symbol) for symbol in sorted(self.led)
        ]


def behavior(graph: Graph) -> tuple[tuple[tuple[str, int, int], ...], ...]:
    """The smallest deterministic automaton that allows the same response sequences as a graph.

    Response sequences are those of `solspace.reduction.responses`: outputs that are seen, outputs
    held until the network must be where it stays, and pulses. Every state allows what led to it.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    tuple of states, each a tuple of (kind, value, state)
        ``kind`` is "seen", "held" (values: outputs) or "pulse" (values: symbols); the first state
        is the start, the others come in the order in which a breadth-first search meets them.

    Raises
    ------
    SolspaceError
        Where the automaton would have more than `MOST_STATES` states.

    Examples
    --------
    Two nodes that do the same are as good as one.

    >>> one = Graph([0], edge_source=[0], edge_target=[0], edge_symbol=[1])
    >>> two = Graph([0, 0], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 1])
    >>> behavior(one) == behavior(two)
    True
    """
    automaton = _Automaton(graph)
    letters = automaton.letters()
    found = {1: 0}
    order = [1]
    moves: list[list[int]] = []
    for nodes in order:
        row = []
        for letter in letters:
            after = automaton.step(nodes, letter)
            if not after:
                row.append(-1)
                continue
            if after not in found:
                if len(order) == MOST_STATES:
                    raise SolspaceError(
                        f"graph of {graph.n_nodes} nodes: more than {MOST_STATES} states when "
                        "made deterministic; use graph_key, which tells nodes apart"
                    )
                found[after] = len(order)
                order.append(after)
            row.append(found[after])
        moves.append(row)
    # States differ where one allows a letter that the other does not, or they lead to such.
    color = _numbered([tuple(to >= 0 for to in row) for row in moves])
    while True:
        finer = _numbered(
            [
                (color[i], *(color[to] if to >= 0 else -1 for to in row))
                for i, row in enumerate(moves)
            ]
        )
        if max(finer) == max(color):
            break
        color = finer
    member = {c: i for i, c in reversed(list(enumerate(color)))}
    number = {color[0]: 0}
    states = []
    for c in _in_order(number):
        edges = []
        for letter, to in zip(letters, moves[member[c]], strict=True):
            if to >= 0:
                edges.append((*letter, number.setdefault(color[to], len(number))))
        states.append(tuple(edges))
    return tuple(states)


def _in_order(number: dict[int, Any]) -> Iterable[int]:
    """Keys of a dictionary that grows, in the order in which they come."""
    done = 0
    while done < len(number):
        yield list(number)[done]
        done += 1


def _numbered(values: Sequence[Any]) -> list[int]:
    number: dict[Any, int] = {}
    return [number.setdefault(value, len(number)) for value in values]


def automaton_key(graph: Graph, input_symbols: Sequence[str]) -> str:
    """What a graph allows as a short string, equal where two allow the same response sequences.

    The digest of `behavior` with the names of the symbols; the same in every store and on every
    machine.

    Parameters
    ----------
    graph : Graph
    input_symbols : sequence of str
        The task's; the first is ``"autonomous"``.

    Raises
    ------
    SolspaceError
        As `behavior`, and where an edge carries a symbol past the task's.

    Examples
    --------
    >>> one = Graph([0], edge_source=[0], edge_target=[0], edge_symbol=[1])
    >>> two = Graph([0, 0], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 1])
    >>> automaton_key(one, ("autonomous", "set")) == automaton_key(two, ("autonomous", "set"))
    True
    """
    highest = int(graph.edge_symbol.max()) if graph.n_edges else 0
    if highest >= max(len(input_symbols), 1):
        raise SolspaceError(
            f"graph: an edge carries symbol {highest}; the task has {len(input_symbols)} "
            f"({', '.join(map(str, input_symbols))})"
        )
    text = ";".join(
        ",".join(
            f"{kind} {input_symbols[value] if kind == 'pulse' else value}>{to}"
            for kind, value, to in state
        )
        for state in behavior(graph)
    )
    digest = blake2b(f"{SOLUTION_VERSION}:{text}".encode(), digest_size=8).hexdigest()
    return f"{SOLUTION_VERSION}:{digest}"


solution_key = automaton_key  # as it was called when no other label told solutions


def minimized(graph: Graph) -> Graph:
    """The graph with nodes that answer everything alike made one (its bisimulation quotient).

    What it allows is the same. Nodes the root does not lead to are left out, and parallel edges
    of one symbol.

    Examples
    --------
    >>> two = Graph([0, 0], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 1])
    >>> minimized(two).n_nodes
    1
    """
    edges: list[set[tuple[int, int]]] = [set() for _ in range(graph.n_nodes)]
    for source, target, symbol in zip(
        graph.edge_source.tolist(),
        graph.edge_target.tolist(),
        graph.edge_symbol.tolist(),
        strict=True,
    ):
        edges[source].add((symbol, target))
    color = _numbered(graph.node_output.tolist())
    while True:
        finer = _numbered(
            [
                (color[v], tuple(sorted({(symbol, color[u]) for symbol, u in edges[v]})))
                for v in range(graph.n_nodes)
            ]
        )
        if max(finer) == max(color):
            break
        color = finer
    member = {c: v for v, c in reversed(list(enumerate(color)))}
    number = {color[0]: 0}
    kept: set[tuple[int, int, int]] = set()
    output = []
    for c in _in_order(number):
        output.append(int(graph.node_output[member[c]]))
        for symbol, target in sorted(edges[member[c]]):
            to = number.setdefault(color[target], len(number))
            kept.add((number[c], to, symbol))
    source, target, symbol = zip(*sorted(kept), strict=True) if kept else ((), (), ())
    return Graph(output, source, target, symbol)


# --------------------------------------------------------------------------- in words


def describe_solution(
    graph: Graph, input_symbols: Sequence[str], outputs: Sequence[str] = ()
) -> str:
    """What a graph says, in words: what happens by itself, and what each pulse does where.

    *At every node* is said of the graph, not of the network: it was given pulses at the moments
    that its method gives them.

    Parameters
    ----------
    graph : Graph
    input_symbols : sequence of str
        The task's; the first is ``"autonomous"``.
    outputs : sequence of str
        The task's; needed where there are several, which are then told by name.

    Returns
    -------
    str
        One sentence for the start and one for each pulse, separated by blanks.

    Examples
    --------
    >>> cycle = Graph([0, 1], edge_source=[0, 1, 0, 1], edge_target=[1, 0, 0, 0],
    ...               edge_symbol=[0, 0, 1, 1])
    >>> describe_solution(cycle, ("autonomous", "set"))
    'At the start: a limit cycle. set, at every node: a limit cycle.'
    """
    small = minimized(graph)
    automaton = _Automaton(small)
    places = _Places(automaton, input_symbols, outputs)
    sentences = [f"At the start: {places.outcome(1, (), 0)}."]
    for symbol in sorted(automaton.led):
        name = str(input_symbols[symbol])
        answers: dict[str, list[str]] = {}
        missing = []
        for v, targets in enumerate(automaton.led[symbol]):
            if targets:
                does = places.outcome(targets, (*places.history[v], name), v)
                answers.setdefault(does, []).append(places.names[v])
            else:
                missing.append(places.names[v])
        if len(answers) == 1 and not missing:
            sentences.append(f"{name}, at every node: {next(iter(answers))}.")
        else:
            told = [f"{' or '.join(dict.fromkeys(at))}: {does}" for does, at in answers.items()]
            sentences.append(f"{name}, {'; '.join(told)}.")
    return " ".join(sentences)


class _Places:
    """Nodes by what they put out, silent ones by what has led there first."""

    def __init__(
        self, automaton: _Automaton, input_symbols: Sequence[str], outputs: Sequence[str]
    ) -> None:
        self.automaton = automaton
        self.outputs = outputs
        self.signed = len(outputs) > 1 or -1 in automaton.output
        self.history: dict[int, tuple[str, ...]] = {0: ()}
        output = automaton.output
        for v in _in_order(self.history):
            for symbol, row in [(0, automaton.follows), *sorted(automaton.led.items())]:
                for u in range(len(output)):
                    if row[v] >> u & 1 and u not in self.history:
                        events = self.history[v]
                        if symbol:
                            events = (*events, str(input_symbols[symbol]))
                        self.history[u] = self._seen(events, output[v], output[u])
        self.names = [self._name(v) for v in range(len(output))]

    def _seen(self, events: tuple[str, ...], before: int, now: int) -> tuple[str, ...]:
        if not now or now == before:
            return events
        told = f"output {named_symbol(now, self.outputs)}"
        return (*events, told if self.signed else "output")

    def _name(self, v: int) -> str:
        out, events = self.automaton.output[v], self.history.get(v, ())
        if out:
            told = f"during output {named_symbol(out, self.outputs)}"
            return told if self.signed else "during output"
        if v == 0:
            return "at the start"
        return f"after {' and '.join(events[-2:])}" if events else "later"

    def outcome(self, nodes: int, events: tuple[str, ...], source: int) -> str:
        """What comes of being at one of some nodes, after some events, when no pulse is given.

        Where it ends is said if that is a place that takes pulses, and not the source when
        nothing happened, nor a place named after what was just put out.
        """
        automaton = self.automaton
        output = automaton.output
        found: dict[str, None] = {}

        def follow(v: int, path: tuple[int, ...], events: tuple[str, ...]) -> None:
            if v in path:
                turns = {output[u] for u in path[path.index(v) :]}
                if len(turns) > 1:
                    found["a limit cycle"] = None
                return
            path = (*path, v)
            if automaton.lasting >> v & 1:
                told = _told([output[u] for u in path], self.signed, self.outputs)
                answers = any(row[v] for row in automaton.led.values())
                known = self.history.get(v, ())
                stays = v == source and told == "silence"
                named = known == events or (told != "silence" and known[-1:] == events[-1:])
                if answers and not output[v] and not (stays or named):
                    told += f", then as {self.names[v]}"
                found[told] = None
            for u in range(len(output)):
                if automaton.follows[v] >> u & 1:
                    follow(u, path, self._seen(events, output[v], output[u]))

        for v in range(len(output)):
            if nodes >> v & 1:
                follow(v, (), self._seen(events, 0, output[v]))
        if len(found) > 1 and "a limit cycle" in found:
            return "a limit cycle, or " + " or ".join(f for f in found if f != "a limit cycle")
        return " or ".join(found)


def _told(outputs: list[int], signed: bool, names: Sequence[str]) -> str:
    runs = [o for i, o in enumerate(outputs) if i == 0 or outputs[i - 1] != o]
    if runs[-1]:
        return (
            f"output {named_symbol(runs[-1], names)} that lasts" if signed else "output that lasts"
        )
    pulses = [o for o in runs if o]
    if not pulses:
        return "silence"
    if not signed:
        return "one output" if len(pulses) == 1 else f"{len(pulses)} outputs"
    return "output " + ", ".join(named_symbol(o, names) for o in pulses)
