"""Which response sequences a graph allows.

A graph is read as a non-deterministic automaton that takes response sequences (see
`solspace.reduction.responses`), from the root of the graph on, or does not:

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

Edges of a graph may have windows (`Graph.edge_earliest`, `Graph.edge_latest`). Response sequences
say how long each stretch between pulses lasts and at which step of it each output begins. A pulse
then moves only along edges whose window holds the wait before it. A change of output is an
autonomous edge whose window holds the step at which the output begins; one that goes unseen is an
edge whose window and the time it would go unseen have a step in common. A node all of whose
autonomous edges have a latest step has been left when the stretch lasts longer. Graphs without
windows are read as if nothing were known of steps.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.reduction.graph import Graph
from solspace.reduction.responses import (
    FLICKER,
    LONG,
    PAST_PULSES,
    PULSE,
    ResponseSequences,
)

__all__ = [
    "MISSING",
    "allowed",
    "graph_recall",
    "with_silent_leads",
]

MISSING = ("forbid", "stay")
_NEVER = 32767
_HELD = (FLICKER + LONG) // 2


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
            if PULSE <= item < PAST_PULSES:
                for v in range(n):
                    if here[v] and not (known and leave_by[v] < wait):
                        led = False
                        for e in range(begins[v], begins[v + 1]):
                            if edges[e, 2] == item - PULSE:
                                led = True
                                if not known or edges[e, 3] <= wait <= edges[e, 4]:
                                    there[edges[e, 1]] = True
                        if stay and not led:
                            there[v] = True
                # Not copied: for arrays Numba would compile what is said where shapes differ.
                here, there = there, here
                at = 0
            else:
                held = item >= _HELD
                flicker = not held and item >= PAST_PULSES
                seen = item - LONG if held else item - FLICKER if flicker else item
                # Until the next output, or the end of the stretch.
                more = k + 1 < ends[w] and not PULSE <= items[k + 1] < PAST_PULSES
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
                    for v in range(n):
                        here[v] = here[v] and lasting[v]
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


def allowed(
    graph: Graph, responses: ResponseSequences, *, missing: str = "forbid"
) -> NDArray[np.bool_]:
    """Which response sequences a graph allows.

    Parameters
    ----------
    graph : Graph
    responses : ResponseSequences
    missing : {"forbid", "stay"}
        What it means that a node has no edge for a pulse: that the pulse is not allowed there,
        or that it changes nothing.

    Returns
    -------
    array (response,), bool

    Raises
    ------
    SolspaceError
        For another ``missing``.

    Examples
    --------
    >>> from solspace.reduction import join_responses
    >>> go = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    >>> two = join_responses([np.array(one, np.int16) for one in ([0, 101, 1, 0], [0, 1])])
    >>> allowed(go, two).tolist()
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
    unknown = np.full(len(responses.items), -1, np.int16)
    return _takes(
        responses.items,
        unknown if responses.waits is None else responses.waits,
        unknown if responses.since is None else responses.since,
        responses.ends,
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
        Every edge to a node that puts something out leads to its silent node as well, which has the
        same edges for pulses and leads on to the output.

    Examples
    --------
    >>> from solspace.reduction import join_responses
    >>> go = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    >>> response = join_responses([np.array([0, 101, 0, 1, 0], np.int16)])
    >>> allowed(go, response).tolist(), allowed(with_silent_leads(go), response).tolist()
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


def graph_recall(graph: Graph, responses: ResponseSequences, *, missing: str = "forbid") -> float:
    """Share of a network's own response sequences that its graph allows.

    Raises
    ------
    SolspaceError
        Where there are none.

    Examples
    --------
    >>> from solspace.reduction import join_responses
    >>> go = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    >>> graph_recall(go, join_responses([np.array(w, np.int16) for w in ([0, 101, 1, 0], [0, 1])]))
    0.5
    """
    if not len(responses):
        raise SolspaceError("no response sequences to test a graph with; give one or more")
    return float(allowed(graph, responses, missing=missing).mean())
