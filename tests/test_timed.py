"""Graphs that know time: how they are fitted to their bounds and to responses held back."""

from __future__ import annotations

import numpy as np
from conftest import reference_path
from hypothesis import given
from hypothesis import strategies as st

from solspace import networks
from solspace.reduction import (
    Graph,
    allowed,
    bounds,
    graph_recall,
    join_responses,
    read_responses,
    reduce_network,
    timed,
)
from solspace.reduction.automaton import explore
from solspace.tasks import get_task

SMALL = {"SAMPLES": 60, "MOMENTS": 12, "HELD_BACK": 60}


def quick(monkeypatch, **more):
    for name, value in (SMALL | more).items():
        monkeypatch.setattr(timed, name, value)


def network():
    """A network of interval reproduction whose answers depend on when it is asked."""
    folder = sorted((reference_path() / "networks/interval_reproduction/vanilla").iterdir())[0]
    return networks.from_state_dict(
        networks.read_state_dict(str(folder / "weights.pt")), "vanilla", inputs=2, outputs=1
    )


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_most_that_fits_is_found(highest, most):
    assert timed._most(lambda n: n <= most, highest) == min(most, highest)


def chain(latest: int) -> Graph:
    """Silence, then an output that begins until a step."""
    return Graph([0, 1], [0], [1], [0], [0], [latest])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.permutations([5, 10, 20, 40, 60]))
def test_the_first_that_allows_enough_is_taken_or_what_allows_most(begins, order):
    responses = join_responses(
        [np.array([0, 1], np.int16)] * len(begins),
        [np.array([90, 90])] * len(begins),
        [np.array([0, n]) for n in begins],
    )
    graphs = [chain(latest) for latest in order]
    found = timed._tightest(graphs, responses)
    recalls = [graph_recall(graph, responses) for graph in graphs]
    assert recalls == [np.mean(np.array(begins) <= latest) for latest in order]
    enough = [i for i, recall in enumerate(recalls) if recall >= timed.ENOUGH]
    expected = graphs[enough[0] if enough else int(np.argmax(recalls))]
    assert found is expected


def test_a_graph_is_loosened_until_words_held_back_are_allowed_and_no_further(monkeypatch):
    task, weights = get_task("interval_reproduction"), network()
    quick(monkeypatch)
    rng = np.random.default_rng(timed.SEED + 1)
    drawn = task.protocol.random_sequences(rng, timed.HELD_BACK)
    held_back = read_responses(task, "vanilla", weights, drawn)
    sizes, taken = [], []
    for enough in (0.0, 0.9, 2.0):
        monkeypatch.setattr(timed, "ENOUGH", enough)
        graph = timed.explore_timed(task, "vanilla", weights)
        assert graph.timed
        sizes.append((graph.n_nodes, graph.n_edges))
        taken.append(allowed(graph, held_back).mean())
    assert taken == sorted(taken) and taken[1] >= 0.9
    assert all(n <= bounds.TIMED_NODES and e <= bounds.TIMED_EDGES for n, e in sizes)
    # Where no graph allows that many, it is the one that allows most; drawn again it is the same.
    assert timed.explore_timed(task, "vanilla", weights) == graph


def test_graphs_keep_to_their_room_and_where_none_fits_know_no_time(monkeypatch):
    task, weights = get_task("interval_reproduction"), network()
    quick(monkeypatch)
    monkeypatch.setattr(bounds, "TIMED_EDGES", 60)
    small = timed.explore_timed(task, "vanilla", weights)
    assert small.timed and small.n_edges <= 60
    monkeypatch.setattr(bounds, "TIMED_EDGES", 1)
    none = timed.explore_timed(task, "vanilla", weights)
    assert not none.timed
    assert none == explore(task, "vanilla", weights)


def test_windows_never_end_before_they_begin_nor_outlast_a_sequence(monkeypatch):
    quick(monkeypatch)
    graph = reduce_network("interval_reproduction", "vanilla", network(), method="timed")
    bounded = graph.edge_latest >= 0
    assert bounded.any()
    assert (graph.edge_earliest[bounded] <= graph.edge_latest[bounded]).all()
    assert (graph.edge_latest <= timed.SEQUENCE_STEPS).all()
