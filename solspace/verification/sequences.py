"""Is a graph right: does it allow what its network does, and forbid what other networks do?

A network is driven from the root of its graph with random pulses and waits, and what it puts out
is read off as a *word*: the outputs seen, in order, and the pulses between them. A graph is read
as a non-deterministic automaton that takes words or does not:

- the output of a node is what is seen while in it;
- an autonomous edge may be taken at any moment, unless the graph gives it a window (see below);
- a node that autonomous flow leads out of is left in the end: after the protocol's ``patience``
  of one output the network must be where it can stay: at a node that nothing autonomous leaves,
  or that leads autonomously back to itself through nodes of its own output;
- a pulse moves along an edge that carries it; where a node has no such edge the graph does not
  allow the pulse there (``missing="forbid"``);
- a change of output must be an edge, and nodes of one output may follow each other unseen;
- what is put out during a pulse and its transient is not seen, so that right after it one change
  of output may have gone by;
- an output held for a step or two may be a flicker of the threshold: the graph may take it for a
  change of output or not.

Edges of a graph may have windows (`Graph.edge_earliest`, `Graph.edge_latest`). Words carry how
long each stretch between pulses lasts, which is known: it is the input; and at which step of the
stretch each output begins. A pulse then moves only along edges whose window holds the wait before
it. A change of output is an autonomous edge whose window holds the step at which the output
begins; one that goes unseen is an edge whose window and the time it would go unseen have a step in
common. A node all of whose autonomous edges have a latest step has been left when the stretch
lasts longer. Graphs without windows are read as if nothing were known of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.reduction.graph import Graph
from solspace.tasks import Task, get_task
from solspace.tasks.protocol import PulseSequences

__all__ = [
    "MISSING",
    "Pool",
    "Verification",
    "Words",
    "allowed",
    "graph_recall",
    "graph_specificity",
    "join_all",
    "join_words",
    "output_words",
    "pool_sequences",
    "pool_words",
    "read_words",
    "verification_sequences",
    "verify_graphs",
    "with_silent_leads",
]

MISSING = ("forbid", "stay")
SEQUENCES = 300
SEED = 0
POOL = 2000


# How items of a word are coded: outputs -1, 0, 1; a flicker 10 more, an output held for long 20
# more; pulses 100 and the symbol.
_FLICKER = 10
_LONG = 20
_PULSE = 100


class Words(NamedTuple):
    """What networks put out, as words one after the other.

    Attributes
    ----------
    items : array, int16
        An output is -1, 0 or 1, one that may be a flicker 10 more, one held for long 20 more;
        a pulse is 100 and its symbol.
    ends : array, int64, (word,)
        Where each word ends in ``items``.
    waits : array, int16, optional
        Of each item, the steps from the end of the transient of the pulse before it, or from
        the root, to the next pulse or the end of the sequence; of a pulse those before it. -1, as
        by default, is not known: windows do not matter then.
    since : array, int16, optional
        Steps, counted as ``waits``, at which each item begins; there where ``waits`` is.
    """

    items: NDArray[np.int16]
    ends: NDArray[np.int64]
    waits: NDArray[np.int16] | None = None
    since: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.ends)

    def word(self, index: int) -> NDArray[np.int16]:
        """The items of one word."""
        return self._of(index, self.items)

    def _of(self, index: int, values: NDArray[np.int16] | None) -> NDArray[np.int16]:
        """What belongs to one word; -1 where nothing is known."""
        start = self.ends[index - 1] if index > 0 else 0
        stop = self.ends[index]
        return np.full(stop - start, -1, np.int16) if values is None else values[start:stop]

    def select(self, indices: Sequence[int] | NDArray[Any]) -> Words:
        """Some of the words."""
        indices = [int(i) for i in indices]
        words = [self.word(i) for i in indices]
        if self.waits is None:
            return join_words(words)
        return join_words(
            words,
            [self.word_waits(i) for i in indices],
            [self.word_since(i) for i in indices],
        )

    def word_since(self, index: int) -> NDArray[np.int16]:
        """At which step of its stretch each item of one word begins."""
        return self._of(index, self.since)

    def word_waits(self, index: int) -> NDArray[np.int16]:
        """How long the stretch of each item of one word lasts."""
        return self._of(index, self.waits)

    def certain(self, index: int) -> tuple[int, ...]:
        """One word without its flickers, equal outputs in a row once."""
        out: list[int] = []
        for item in self.word(index).tolist():
            if item > _LONG - 2 and item < _PULSE:
                item -= _LONG
            if item in (-1, 0, 1) or item >= _PULSE:
                if out and out[-1] == item and item < _PULSE:
                    continue
                out.append(item)
        return tuple(out)


def join_words(
    words: Sequence[NDArray[np.int16]],
    waits: Sequence[NDArray[np.int16]] | None = None,
    since: Sequence[NDArray[np.int16]] | None = None,
) -> Words:
    """Words from the items of each, how long each item's stretch lasts, and when it begins.

    Raises
    ------
    SolspaceError
        Where only one of ``waits`` and ``since`` is given.

    Examples
    --------
    >>> one = [np.array([0, 101, 1], np.int16)]
    >>> join_words(one, [np.array([20, 20, 50])], [np.array([0, 20, 0])]).waits.tolist()
    [20, 20, 50]
    """
    if (waits is None) != (since is None):
        raise SolspaceError("words with waits or since alone; give both or neither")
    empty = np.empty(0, np.int16)
    items = np.concatenate(words) if words else empty
    ends = np.cumsum([len(word) for word in words], dtype=np.int64)
    if waits is None or since is None:
        return Words(items, ends)
    return Words(items, ends, np.concatenate([empty, *waits]), np.concatenate([empty, *since]))


def join_all(many: Sequence[Words]) -> Words:
    """All words of several, in order."""
    if any(own.waits is None for own in many):
        return join_words([own.word(k) for own in many for k in range(len(own))])
    return join_words(
        [own.word(k) for own in many for k in range(len(own))],
        [own.word_waits(k) for own in many for k in range(len(own))],
        [own.word_since(k) for own in many for k in range(len(own))],
    )


@njit(cache=True, nogil=True)
def _write_words(  # type: ignore[no-untyped-def]
    symbols, start, onset, seen_from, symbol, shortest, patience, items, waits, since, ends
):
    filled = 0
    time = symbols.shape[1]
    for i in range(symbols.shape[0]):
        begin = start
        for k in range(onset.shape[1] + 1):
            last = k == onset.shape[1] or onset[i, k] < 0
            stop = time if last else onset[i, k]
            # The root is the state before the first step that counts.
            wait = stop - begin - (1 if k == 0 else 0)
            at = begin
            while at < stop:
                run = at + 1
                while run < stop and symbols[i, run] == symbols[i, at]:
                    run += 1
                items[filled] = symbols[i, at]
                if run - at < shortest:
                    items[filled] += _FLICKER
                elif run - at > patience:
                    items[filled] += _LONG
                waits[filled] = wait
                since[filled] = max(at - begin - (1 if k == 0 else 0), 0)
                filled += 1
                at = run
            if last:
                break
            items[filled] = _PULSE + symbol[i, k]
            waits[filled] = wait
            since[filled] = wait
            filled += 1
            begin = seen_from[i, k]
        ends[i] = filled
    return filled


def output_words(symbols: NDArray[np.int8], sequences: PulseSequences) -> Words:
    """The words of outputs over time.

    Parameters
    ----------
    symbols : array (sequence, time), int8
        Output at each step: -1, 0 or 1.
    sequences : PulseSequences
        What the network was driven with.

    Examples
    --------
    >>> none = np.full((1, 1), -1)
    >>> silent = PulseSequences(np.zeros((1, 9, 2), np.float32), 0, none, none, none,
    ...                         shortest=3, patience=200)
    >>> output_words(np.array([[0, 0, 0, 1, 0, 0, 0, 1, 1]], np.int8), silent).word(0).tolist()
    [0, 11, 0, 11]
    """
    symbols = np.asarray(symbols, np.int8)
    if symbols.shape != sequences.input.shape[:2]:
        raise SolspaceError(
            f"outputs of shape {symbols.shape} for sequences of shape "
            f"{sequences.input.shape[:2]}; give one output a sequence and step"
        )
    items = np.empty(symbols.size + sequences.onset.size, np.int16)
    waits = np.empty_like(items)
    since = np.empty_like(items)
    ends = np.empty(len(symbols), np.int64)
    # The root is the state before step `start`.
    filled = _write_words(
        symbols,
        max(sequences.start - 1, 0),
        sequences.onset,
        sequences.seen_from,
        sequences.symbol,
        sequences.shortest,
        sequences.patience,
        items,
        waits,
        since,
        ends,
    )
    return Words(items[:filled].copy(), ends, waits[:filled].copy(), since[:filled].copy())


def verification_sequences(
    task: str | Task, n: int = SEQUENCES, *, seed: int = SEED
) -> PulseSequences:
    """The random sequences that networks of a task are tested with, the same for all of them.

    Raises
    ------
    SolspaceError
        Where the task does not say which pulses its networks can be given.

    Examples
    --------
    >>> len(verification_sequences("interval_reproduction", 50))
    50
    """
    task = get_task(task)
    if task.protocol is None or task.output_symbol is None:
        raise SolspaceError(
            f"task {task.name!r} does not say which pulses its networks can be given; "
            "give it a `protocol` and an `output_symbol`"
        )
    return task.protocol.random_sequences(np.random.default_rng(seed), n)


def read_words(
    task: str | Task, architecture: str, weights: networks.Weights, sequences: PulseSequences
) -> Words:
    """Drive one network with sequences and read off what it puts out.

    Examples
    --------
    >>> shapes = networks.parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    >>> sequences = verification_sequences("interval_reproduction", 3)
    >>> words = read_words("interval_reproduction", "vanilla", weights, sequences)
    >>> words.certain(0)[:2]
    (0, 101)
    """
    task = get_task(task)
    assert task.output_symbol is not None
    _, output = networks.run(architecture, weights, sequences.input)
    return output_words(task.output_symbol(output[..., 0]), sequences)


# --------------------------------------------------------------------------- graphs take words


_NEVER = 32767


@njit(cache=True, nogil=True)
def _spread(here, flow, output, begun, until):  # type: ignore[no-untyped-def]
    """Add what nodes of the same output lead to unseen, from one step until another."""
    grown = True
    while grown:
        grown = False
        for e in range(flow.shape[0]):
            v, u = flow[e, 0], flow[e, 1]
            unseen = here[v] and not here[u] and output[u] == output[v]
            if unseen and flow[e, 2] <= until and begun <= flow[e, 3]:
                here[u] = True
                grown = True


@njit(cache=True, nogil=True)
def _takes(items, waits, since, ends, output, flow, leave_by, edges, begins, lasting, stay):  # type: ignore[no-untyped-def]
    n = output.size
    taken = np.zeros(ends.size, np.bool_)
    here = np.zeros(n, np.bool_)
    there = np.zeros(n, np.bool_)
    begin = 0
    for w in range(ends.size):
        here[:] = False
        here[0] = True
        alive = True
        at = 0
        for k in range(begin, ends[w]):
            item = items[k]
            known = waits[k] >= 0
            # Where it is not known how long a stretch lasts, every edge could be taken.
            wait = waits[k] if known else _NEVER - 1
            begun = since[k] if known else wait
            _spread(here, flow, output, at if known else -1, begun)
            there[:] = False
            if item >= _PULSE:
                for v in range(n):
                    if here[v] and not (known and leave_by[v] < wait):
                        led = False
                        for e in range(begins[v], begins[v + 1]):
                            if edges[e, 2] == item - _PULSE:
                                led = True
                                if not known or edges[e, 3] <= wait <= edges[e, 4]:
                                    there[edges[e, 1]] = True
                        if stay and not led:
                            there[v] = True
                here[:] = there
                at = 0
            else:
                held = item > _LONG - 2
                flicker = item > 1 and not held
                seen = item - _LONG if held else item - _FLICKER if flicker else item
                # Until the next output, or the end of the stretch.
                more = k + 1 < ends[w] and items[k + 1] < _PULSE
                until = since[k + 1] if known and more else wait
                for v in range(n):
                    there[v] = here[v] and output[v] == seen
                for e in range(flow.shape[0]):
                    v, u = flow[e, 0], flow[e, 1]
                    in_time = not known or flow[e, 2] <= begun <= flow[e, 3]
                    if here[v] and output[u] == seen and in_time:
                        there[u] = True
                for u in range(n):
                    here[u] = there[u] or (flicker and here[u])
                at = begun
                if held:
                    _spread(here, flow, output, at if known else -1, until)
                    here &= lasting
                if known and k == ends[w] - 1:
                    _spread(here, flow, output, at, until)
                    for v in range(n):
                        if leave_by[v] < wait:
                            here[v] = False
            alive = False
            for v in range(n):
                alive |= here[v]
            if not alive:
                break
        taken[w] = alive
        begin = ends[w]
    return taken


def _lasting(
    output: NDArray[np.int8], source: NDArray[np.integer], target: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Nodes a network can stay at: without a way out, or on a cycle of their own output."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(output)
    unseen = output[source] == output[target]
    source_, target_ = source[unseen], target[unseen]
    graph = coo_array((np.ones(len(source_), np.int8), (source_, target_)), shape=(n, n))
    _, part = connected_components(graph, directed=True, connection="strong")
    lasting: NDArray[np.bool_] = np.bincount(part)[part] > 1
    lasting[source_[source_ == target_]] = True
    return lasting | ~np.isin(np.arange(n), source)


def allowed(graph: Graph, words: Words, *, missing: str = "forbid") -> NDArray[np.bool_]:
    """Which words a graph allows.

    Parameters
    ----------
    graph : Graph
    words : Words
    missing : {"forbid", "stay"}
        What it means that a node has no edge for a pulse: that the pulse is not allowed there,
        or that it changes nothing.

    Returns
    -------
    array (word,), bool

    Raises
    ------
    SolspaceError
        For another ``missing``.

    Examples
    --------
    >>> go = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    >>> allowed(go, join_words([np.array(w, np.int16) for w in ([0, 101, 1, 0], [0, 1])])).tolist()
    [True, False]
    """
    if missing not in MISSING:
        raise SolspaceError(f"missing={missing!r}; give one of {', '.join(MISSING)}")
    n = graph.n_nodes
    free = graph.edge_symbol == 0
    source, target = graph.edge_source[free], graph.edge_target[free]
    latest = np.where(graph.edge_latest < 0, _NEVER, graph.edge_latest).astype(np.int64)
    leave_by = np.full(n, -1, np.int64)
    np.maximum.at(leave_by, source, latest[free])
    leave_by[~np.isin(np.arange(n), source)] = _NEVER
    edges = np.stack(
        [graph.edge_source, graph.edge_target, graph.edge_symbol, graph.edge_earliest, latest],
        axis=1,
    )[~free].astype(np.int64)
    edges = edges[np.argsort(edges[:, 0], kind="stable")]
    unknown = np.full(len(words.items), -1, np.int16)
    return _takes(
        words.items,
        unknown if words.waits is None else words.waits,
        unknown if words.since is None else words.since,
        words.ends,
        graph.node_output,
        np.stack([source, target, graph.edge_earliest[free], latest[free]], axis=1).astype(
            np.int64
        ),
        leave_by,
        edges,
        np.searchsorted(edges[:, 0], np.arange(n + 1)),
        _lasting(graph.node_output, source, target),
        missing == "stay",
    )


def with_silent_leads(graph: Graph) -> Graph:
    """The graph with a silent node before each node that puts something out.

    The published construction draws the silence before an output into the output's node, where
    nothing else can come of it. Tested as they stand, its graphs forbid that silence; this gives
    it back, so that they are tested with what they mean.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph
        Every edge to a node with output -1 or 1 leads to its silent node as well, which has the
        same edges for pulses and leads on to the output.

    Examples
    --------
    >>> go = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    >>> word = join_words([np.array([0, 101, 0, 1, 0], np.int16)])
    >>> allowed(go, word).tolist(), allowed(with_silent_leads(go), word).tolist()
    ([False], [True])
    """
    loud = np.flatnonzero(graph.node_output)
    lead = {int(node): graph.n_nodes + i for i, node in enumerate(loud)}
    edges = []
    for source, target, symbol in zip(
        graph.edge_source.tolist(),
        graph.edge_target.tolist(),
        graph.edge_symbol.tolist(),
        strict=True,
    ):
        # Flow goes from the silence to the output, never past it.
        sources = [source, lead[source]] if symbol and source in lead else [source]
        targets = [target, lead[target]] if target in lead else [target]
        edges += [(a, b, symbol) for a in sources for b in targets]
    edges += [(silent, node, 0) for node, silent in lead.items()]
    if not edges:
        return graph
    output = np.concatenate([graph.node_output, np.zeros(len(loud), np.int8)])
    return Graph(output, *zip(*edges, strict=True))


def graph_recall(graph: Graph, words: Words, *, missing: str = "forbid") -> float:
    """Share of a network's own words that its graph allows.

    Raises
    ------
    SolspaceError
        Where there are no words.

    Examples
    --------
    >>> go = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    >>> graph_recall(go, join_words([np.array(w, np.int16) for w in ([0, 101, 1, 0], [0, 1])]))
    0.5
    """
    if not len(words):
        raise SolspaceError("no words to test a graph with; give one or more sequences")
    return float(allowed(graph, words, missing=missing).mean())


class Pool(NamedTuple):
    """Words of a whole population, to be forbidden by graphs of other solutions.

    Attributes
    ----------
    words : Words
    network : array, int64, (word,)
        Whose word it is.
    sequence : array, int64, (word,)
        Index of the sequence it answers.
    """

    words: Words
    network: NDArray[np.int64]
    sequence: NDArray[np.int64]


def pool_words(words: Sequence[Words], *, size: int = POOL, seed: int = SEED) -> Pool:
    """Words drawn evenly from all networks, so many in all that cost is linear in networks.

    Parameters
    ----------
    words : sequence of Words
        Each network's, on the same sequences.
    size : int
        Most words of the pool; from each network as many as from any other, at least one.
    seed : int

    Examples
    --------
    >>> quiet = join_words([np.array([0], np.int16)] * 300)
    >>> len(pool_words([quiet] * 40).words)
    2000
    """
    if len({len(own) for own in words}) != 1 or not len(words[0]):
        raise SolspaceError("words of different numbers of sequences; drive all with the same")
    chosen = pool_sequences(len(words), len(words[0]), size=size, seed=seed)
    drawn = [own.select(ks) for own, ks in zip(words, chosen, strict=True)]
    return Pool(
        join_all(drawn),
        np.repeat(np.arange(len(words)), chosen.shape[1]),
        chosen.ravel(),
    )


def pool_sequences(
    networks: int, sequences: int, *, size: int = POOL, seed: int = SEED
) -> NDArray[np.int64]:
    """Which sequences of each network go into a pool, (network, sequence), in order.

    Examples
    --------
    >>> pool_sequences(400, 300).shape
    (400, 5)
    """
    rng = np.random.default_rng(seed)
    share = min(max(size // max(networks, 1), 1), sequences)
    rows = [np.sort(rng.permutation(sequences)[:share]) for _ in range(networks)]
    return np.array(rows, np.int64).reshape(networks, share)


def graph_specificity(
    graph: Graph,
    own: Words,
    pool: Pool,
    other: NDArray[np.bool_],
    *,
    missing: str = "forbid",
) -> float:
    """Share of other solutions' words that a graph forbids, where its network answers otherwise.

    A word that the graph's own network gives on the same sequence has to be allowed and says
    nothing; it is left out.

    Parameters
    ----------
    graph : Graph
    own : Words
        What the graph's network puts out on the sequences.
    pool : Pool
    other : array (network,), bool
        Which networks have another solution.
    missing : {"forbid", "stay"}
        See `allowed`.

    Returns
    -------
    float
        NaN where no network with another solution has answered otherwise: there is nothing that
        could be forbidden.

    Examples
    --------
    >>> words = [join_words([np.array(w, np.int16)]) for w in ([0, 101, 1], [0, 101, 0])]
    >>> go = Graph([0, 1], edge_source=[0], edge_target=[1], edge_symbol=[1])
    >>> graph_specificity(go, words[0], pool_words(words), np.array([False, True]))
    1.0
    """
    candidates = np.flatnonzero(np.asarray(other, bool)[pool.network])
    certain: dict[int, tuple[int, ...]] = {}
    telling = []
    for k in candidates.tolist():
        sequence = int(pool.sequence[k])
        if sequence not in certain:
            certain[sequence] = own.certain(sequence)
        if pool.words.certain(k) != certain[sequence]:
            telling.append(k)
    if not telling:
        return float("nan")
    return float(1 - allowed(graph, pool.words.select(telling), missing=missing).mean())


class Verification(NamedTuple):
    """How right the graphs of a population are.

    Attributes
    ----------
    recall : array (network,)
        Share of a network's own sequences that its graph allows.
    specificity : array (network,)
        Share of sequences that networks with another solution answer otherwise, and that the
        graph forbids; NaN where there are none.
    """

    recall: NDArray[np.float64]
    specificity: NDArray[np.float64]


def verify_graphs(
    words: Sequence[Words],
    graphs: Sequence[Graph],
    keys: Sequence[str],
    *,
    missing: str = "forbid",
    pool: int = POOL,
    seed: int = SEED,
) -> Verification:
    """Recall and specificity of every graph of a population.

    Parameters
    ----------
    words : sequence of Words
        Each network's, on the same sequences (see `read_words`).
    graphs : sequence of Graph
    keys : sequence of str
        Each network's solution.
    missing : {"forbid", "stay"}
        See `allowed`.
    pool : int
        How many of all networks' words each graph is shown.
    seed : int
        Which words these are.

    Examples
    --------
    >>> words = [join_words([np.array(w, np.int16)]) for w in ([0, 101, 1], [0, 101, 0])]
    >>> go = Graph([0, 1], edge_source=[0], edge_target=[1], edge_symbol=[1])
    >>> rest = Graph([0], edge_source=[0], edge_target=[0], edge_symbol=[1])
    >>> verify_graphs(words, [go, rest], ["go", "rest"]).recall.tolist()
    [1.0, 1.0]
    """
    if not len(words) == len(graphs) == len(keys):
        raise SolspaceError(
            f"{len(words)} networks' words, {len(graphs)} graphs and {len(keys)} keys; "
            "give one of each a network"
        )
    drawn = pool_words(words, size=pool, seed=seed)
    names = np.array([str(key) for key in keys])
    recall = [graph_recall(g, w, missing=missing) for g, w in zip(graphs, words, strict=True)]
    specificity = [
        graph_specificity(graph, own, drawn, names != name, missing=missing)
        for graph, own, name in zip(graphs, words, names, strict=True)
    ]
    return Verification(np.array(recall), np.array(specificity))
