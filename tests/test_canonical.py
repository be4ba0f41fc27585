"""Graphs and their canonical names."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace.errors import SolspaceError
from solspace.reduction import Graph, graph_key
from solspace.reduction.canonical import canonical_form, canonical_order

SYMBOLS = ("autonomous", "set", "reset")


@st.composite
def graphs(draw, max_nodes: int = 6, symbols: int = 3, deterministic: bool = False):
    nodes = draw(st.integers(1, max_nodes))
    output = draw(st.lists(st.integers(-1, 1), min_size=nodes, max_size=nodes))
    node = st.integers(0, nodes - 1)
    edge = st.tuples(node, node, st.integers(0, symbols - 1))
    by = (lambda e: (e[0], e[2])) if deterministic else (lambda e: e)
    edges = draw(st.lists(edge, max_size=2 * nodes, unique_by=by))
    source, target, symbol = zip(*edges, strict=True) if edges else ((), (), ())
    return Graph(output, source, target, symbol)


def renumbered(graph: Graph, seed: int) -> Graph:
    """The same graph with every node but the root, and the edges, in another order."""
    rng = np.random.default_rng(seed)
    number = np.concatenate([[0], 1 + rng.permutation(graph.n_nodes - 1)]).astype(int)
    output = np.empty_like(graph.node_output)
    output[number] = graph.node_output
    edges = rng.permutation(graph.n_edges)
    return Graph(
        output,
        number[graph.edge_source][edges],
        number[graph.edge_target][edges],
        graph.edge_symbol[edges],
    )


def isomorphic(one: Graph, other: Graph) -> bool:
    return nx.is_isomorphic(
        one.to_networkx(),
        other.to_networkx(),
        node_match=lambda a, b: a == b,
        edge_match=lambda a, b: (
            sorted(e["symbol"] for e in a.values()) == sorted(e["symbol"] for e in b.values())
        ),
    )


@given(graphs(), st.integers(0, 99))
def test_a_key_does_not_depend_on_the_numbering(graph, seed):
    other = renumbered(graph, seed)
    assert graph_key(graph, SYMBOLS) == graph_key(other, SYMBOLS)
    assert graph == other


@given(graphs(max_nodes=4, symbols=2), graphs(max_nodes=4, symbols=2))
@settings(max_examples=400)
def test_keys_are_equal_exactly_for_isomorphic_graphs(one, other):
    assert (graph_key(one, SYMBOLS) == graph_key(other, SYMBOLS)) == isomorphic(one, other)


@given(graphs(max_nodes=7), st.integers(0, 999))
@settings(max_examples=300)
def test_a_key_tells_apart_graphs_that_differ_little(graph, seed):
    rng = np.random.default_rng(seed)
    source, target, symbol = (
        a.copy() for a in (graph.edge_source, graph.edge_target, graph.edge_symbol)
    )
    output = graph.node_output.copy()
    if graph.n_edges and seed % 3:
        edge = rng.integers(graph.n_edges)
        (target if seed % 3 == 1 else source)[edge] = rng.integers(graph.n_nodes)
    else:
        output[rng.integers(graph.n_nodes)] = rng.integers(-1, 2)
    other = renumbered(Graph(output, source, target, symbol), seed)
    assert (graph_key(graph, SYMBOLS) == graph_key(other, SYMBOLS)) == isomorphic(graph, other)


@given(graphs(deterministic=True))
def test_the_order_is_a_permutation_that_begins_at_the_root(graph):
    order = canonical_order(graph)
    assert sorted(order) == list(range(graph.n_nodes))
    assert order[0] == 0


@given(graphs())
def test_networkx_and_back(graph):
    assert Graph.from_networkx(graph.to_networkx()) == graph


def test_a_key_is_the_same_string_for_ever():
    """Stores of different machines and years are compared by these strings."""
    graph = Graph([0, 1, -1], [0, 0, 1, 2], [1, 2, 0, 0], [0, 1, 0, 0])
    assert graph_key(graph, SYMBOLS) == "v1:0|>1,set>2;1|>0;-1|>0"
    assert graph_key(Graph([0], [], [], []), SYMBOLS) == "v1:0|"
    assert canonical_form(Graph([0], [0], [0], [2])) == ((0,), ((0, 2, 0),))


def cycles(*lengths: int) -> Graph:
    """A root, and rings of nodes it does not lead to: colour refinement cannot tell these."""
    source, target, begin = [], [], 1
    for length in lengths:
        ring = list(range(begin, begin + length))
        source += ring
        target += ring[1:] + ring[:1]
        begin += length
    return Graph([0] * begin, source, target, [0] * len(source))


def test_symmetric_remains_are_told_apart_and_cost_little():
    assert cycles(3, 3) != cycles(6)
    assert cycles(4, 2) == renumbered(cycles(2, 4), 5)
    assert cycles(*[3] * 20) == renumbered(cycles(*[3] * 20), 1)
    loners = Graph([0] + [1] * 60, [], [], [])
    assert graph_key(loners, SYMBOLS) == "v1:0|" + ";1|" * 60


def test_two_pulses_of_one_symbol_are_kept_apart():
    fork = Graph([0, 1, -1], [0, 0], [1, 2], [1, 1])
    assert fork == Graph([0, -1, 1], [0, 0], [1, 2], [1, 1])
    assert fork != Graph([0, 1, -1], [0, 0], [1, 1], [1, 1])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (([], [], [], []), "no nodes"),
        (([0, 41], [], [], []), "output 41"),
        (([0, 1], [0], [2], [0]), "meets node 2"),
        (([0, 1], [-1], [0], [0]), "meets node -1"),
        (([0, 1], [0], [1], [-1]), "symbol -1"),
        (([0, 1], [0], [1], []), "1 sources, 1 targets and 0 symbols"),
        (([[0, 1]], [], [], []), "shape (1, 2)"),
        (([0.5, 1], [], [], []), "float64"),
    ],
)
def test_a_graph_that_cannot_be_is_refused(arrays, says):
    with pytest.raises(SolspaceError) as error:
        Graph(*arrays)
    assert says in str(error.value)


def test_a_symbol_past_the_tasks_is_refused():
    with pytest.raises(SolspaceError, match="carries symbol 3; the task has 3"):
        graph_key(Graph([0], [0], [0], [3]), SYMBOLS)
    with pytest.raises(SolspaceError, match="name of its own"):
        graph_key(Graph([0], [], [], []), ("autonomous", "a>b"))
    with pytest.raises(SolspaceError, match="name of its own"):
        graph_key(Graph([0], [], [], []), ("autonomous", "a", "a"))


def test_networkx_graphs_that_lack_something_are_refused():
    graph = nx.DiGraph()
    graph.add_node("rest", output=0)
    with pytest.raises(SolspaceError, match="root 'go'"):
        Graph.from_networkx(graph, root="go")
    graph.add_edge("rest", "rest")
    with pytest.raises(SolspaceError, match="no 'symbol'"):
        Graph.from_networkx(graph)
