"""Graphs tested with random pulses, and graphs made from what networks answer."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import reference_path
from hypothesis import given, settings
from hypothesis import strategies as st
from test_canonical import graphs, renumbered

from solspace import networks
from solspace.errors import SolspaceError
from solspace.reduction import (
    Graph,
    automaton_key,
    behavior,
    describe_solution,
    minimized,
    reduce_network,
)
from solspace.reduction.automaton import read_story
from solspace.reduction.responses import read_item
from solspace.tasks import get_task, task_names
from solspace.tasks.protocol import PulseSequences
from solspace.verification import (
    allowed,
    graph_recall,
    graph_specificity,
    join_responses,
    output_responses,
    pool_responses,
    read_responses,
    verification_sequences,
    verify_graphs,
)

SYMBOLS = ("autonomous", "set", "reset")
SET = 101
FLICKER, HELD = 1000, 2000


def responses(*of: list[int]):
    return join_responses([np.array(response, np.int16) for response in of])


letter = st.sampled_from([0, 1, -1, 1000, 1001, 999, 2000, 2001, 1999, 101, 102])
some_responses = st.lists(st.lists(letter, max_size=7), min_size=1, max_size=8)


@given(some_responses, st.lists(st.integers(0, 99), max_size=9))
def test_responses_without_flickers_are_those_read_item_by_item(items, picked):
    joined = responses(*items)
    chosen = [i % len(items) for i in picked]
    certain = joined.select(chosen).all_certain()
    for k, index in enumerate(chosen):
        expected: list[int] = []
        for item in items[index]:
            output, kind = read_item(item)
            again = kind != "pulse" and expected and expected[-1] == output
            if kind != "flicker" and not again:
                expected.append(item if kind == "pulse" else output)
        assert certain.one(k).tolist() == expected == list(joined.certain(index))


def taken(graph: Graph, response: list[int], *, stay: bool = False) -> bool:
    """What the rules in the module's docstring say, node sets as Python sets."""
    edges = list(
        zip(
            graph.edge_source.tolist(),
            graph.edge_target.tolist(),
            graph.edge_symbol.tolist(),
            strict=True,
        )
    )
    out = graph.node_output.tolist()

    def spread(nodes: set[int]) -> set[int]:
        while True:
            more = {t for s, t, k in edges if s in nodes and not k and out[s] == out[t]}
            if more <= nodes:
                return nodes
            nodes = nodes | more

    def comes_back(v: int) -> bool:
        first = {t for s, t, k in edges if s == v and not k and out[t] == out[v]}
        return v in spread(first)

    lasting = {
        v
        for v in range(len(out))
        if comes_back(v) or not any(s == v and not k for s, _, k in edges)
    }
    here = {0}
    for item in response:
        here = spread(here)
        if item in (101, 102):
            led = {t for s, t, k in edges if s in here and k == item - 100}
            if stay:
                led |= {v for v in here if not any(s == v and k == item - 100 for s, _, k in edges)}
            here = led
            continue
        held, flicker = item >= HELD - 1, FLICKER - 1 <= item <= FLICKER + 1
        seen = item - HELD if held else item - FLICKER if flicker else item
        moved = {v for v in here if out[v] == seen}
        moved |= {t for s, t, k in edges if s in here and not k and out[t] == seen}
        here = moved | here if flicker else moved
        if held:
            here = spread(here) & lasting
    return bool(here)


@given(graphs(max_nodes=5), some_responses, st.booleans())
@settings(max_examples=300)
def test_what_graphs_allow_is_what_the_rules_say(graph, of, stay):
    found = allowed(graph, responses(*of), missing="stay" if stay else "forbid")
    assert found.tolist() == [taken(graph, response, stay=stay) for response in of]


def timed_responses(of, data):
    """ResponseSequences whose stretches last, and whose outputs begin, at known steps."""
    waits, since = [], []
    for response in of:
        lasting, row, begun = data.draw(st.integers(0, 40)), [], [0]
        for item in response:
            row.append(lasting)
            if item in (101, 102):
                begun[-1] = lasting
                lasting = data.draw(st.integers(0, 40))
                begun.append(0)
            else:
                begun.append(data.draw(st.integers(begun[-1], lasting)))
        waits.append(np.array(row, np.int16))
        since.append(np.array(begun[:-1], np.int16))
    return join_responses([np.array(response, np.int16) for response in of], waits, since)


@given(graphs(max_nodes=5), some_responses, st.booleans(), st.data())
@settings(max_examples=200)
def test_windows_never_allow_more(graph, of, stay, data):
    missing = "stay" if stay else "forbid"
    bounds = st.lists(st.integers(-1, 40), min_size=graph.n_edges, max_size=graph.n_edges)
    earliest = np.array(data.draw(bounds), int)
    latest = np.array(data.draw(bounds), int)
    latest = np.where(latest >= 0, np.maximum(latest, earliest), -1)
    edges = graph.edge_source, graph.edge_target, graph.edge_symbol
    timed = Graph(graph.node_output, *edges, earliest, latest)
    known = timed_responses(of, data)
    with_windows = allowed(timed, known, missing=missing)
    without = allowed(graph, known, missing=missing)
    assert not (with_windows & ~without).any()
    # Where steps are not known windows do not matter, and without windows steps do not.
    assert allowed(timed, responses(*of), missing=missing).tolist() == without.tolist()
    assert allowed(graph, responses(*of), missing=missing).tolist() == without.tolist()
    assert timed.without_windows() == Graph(graph.node_output, *edges).without_windows()
    # Windows that everything falls in change nothing.
    open_ = Graph(graph.node_output, *edges, np.zeros(graph.n_edges, int), latest * 0 + 40)
    assert allowed(open_, known, missing=missing).tolist() == without.tolist()


def test_windows_say_when():
    #  0 --set, to step 20--> rest; 0 --set, from step 15--> silence, Go after 30 to 35 steps.
    graph = Graph(
        [0, 0, 0, 1, 0],
        edge_source=[0, 0, 2, 3],
        edge_target=[1, 2, 3, 4],
        edge_symbol=[1, 1, 0, 0],
        edge_earliest=[-1, 15, 30, 33],
        edge_latest=[20, -1, 35, 41],
    )

    def fits(items, set_at, wait, *changes):
        """Set after so many steps, then a stretch with changes of output at steps."""
        since = [0, set_at, 0, *changes]
        row = [set_at, set_at, *[wait] * (len(items) - 2)]
        response = join_responses([np.array(items, np.int16)], [np.array(row)], [np.array(since)])
        return bool(allowed(graph, response)[0])

    go, rest = [0, SET, 0, 1, 0], [0, SET, HELD]
    assert fits(go, 16, 50, 32, 36) and fits(rest, 16, 50)
    assert not fits(go, 14, 50, 32, 36) and fits(rest, 14, 50)
    assert fits(go, 21, 50, 32, 36) and not fits(rest, 21, 50)
    # Go begins after 30 to 35 steps and ends after 33 to 41, but for pulses that come before.
    assert [fits(go, 21, 50, n, 41) for n in (29, 30, 35, 36)] == [False, True, True, False]
    assert [fits(go, 21, 50, 30, n) for n in (32, 33, 41, 42)] == [False, True, True, False]
    assert [fits(go[:3], 21, n) for n in (20, 35, 36)] == [True, True, False]
    assert [fits(go[:4], 21, n, 30) for n in (30, 41, 42)] == [True, True, False]


def test_what_goes_by_unseen_takes_its_time_too():
    # Silence becomes another silence after 10 to 20 steps, and only that leads on by Set.
    graph = Graph([0, 0, 1], [0, 1], [1, 2], [0, 1], [10, -1], [20, -1])

    def fits(wait):
        response = np.array([0, SET, 1], np.int16)
        since = np.array([0, wait, 0])
        waits = np.array([wait, wait, 9])
        return bool(allowed(graph, join_responses([response], [waits], [since]))[0])

    assert [fits(n) for n in (9, 10, 50)] == [False, True, True]


def test_words_know_how_long_their_stretches_last():
    sequences = verification_sequences("interval_discrimination", 20)
    shapes = networks.parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    read = read_responses("interval_discrimination", "vanilla", weights, sequences)
    for i in range(20):
        given_pulses = sequences.onset[i] >= 0
        since = np.concatenate([[sequences.start], sequences.seen_from[i][given_pulses]])
        until = [*sequences.onset[i][given_pulses], sequences.input.shape[1]]
        is_pulse = (read.one(i) >= 100) & (read.one(i) < 900)
        waits = until - since
        assert read.waits_of(i)[is_pulse].tolist() == waits[:-1].tolist()
        assert read.waits_of(i)[~is_pulse].tolist()[-1:] in ([waits[-1]], [waits[-2]])
        assert read.since_of(i)[is_pulse].tolist() == waits[:-1].tolist()
        assert (read.since_of(i)[~is_pulse] == 0).all()


def test_words_know_when_outputs_begin():
    onset, seen_from = np.array([[12]]), np.array([[17]])
    driven = PulseSequences(
        np.zeros((1, 30, 2), np.float32), 5, onset, seen_from, np.array([[1]]), 3, 200
    )
    symbols = np.zeros((1, 30), np.int8)
    symbols[0, 8:11], symbols[0, 20:29] = 1, 1
    read = output_responses(symbols, driven)
    assert read.one(0).tolist() == [0, 1, FLICKER, SET, 0, 1, FLICKER]
    # From the root, the state before step 5, three steps of silence; from step 17 on again three.
    assert read.since_of(0).tolist() == [0, 3, 6, 7, 0, 3, 12]
    assert read.waits_of(0).tolist() == [7] * 4 + [13] * 3
    assert read.select([0, 0]).since_of(1).tolist() == read.since_of(0).tolist()
    with pytest.raises(SolspaceError, match="give both or neither"):
        join_responses([read.one(0)], [read.waits_of(0)])


@given(graphs(max_nodes=6), some_responses, st.integers(0, 99))
@settings(max_examples=200)
def test_a_minimized_or_renumbered_graph_allows_the_same(graph, of, seed):
    expected = allowed(graph, responses(*of)).tolist()
    for other in (minimized(graph), renumbered(graph, seed)):
        assert allowed(other, responses(*of)).tolist() == expected
        assert automaton_key(other, SYMBOLS) == automaton_key(graph, SYMBOLS)


@given(graphs(max_nodes=3, symbols=2), graphs(max_nodes=3, symbols=2), some_responses)
@settings(max_examples=300)
def test_graphs_with_one_key_allow_the_same_responses(one, other, of):
    if automaton_key(one, SYMBOLS) == automaton_key(other, SYMBOLS):
        assert allowed(one, responses(*of)).tolist() == allowed(other, responses(*of)).tolist()


@given(graphs(max_nodes=5), st.lists(letter, max_size=6))
@settings(max_examples=300)
def test_the_deterministic_automaton_allows_what_the_graph_allows(graph, response):
    states = behavior(graph)
    response = [item for item in response if not FLICKER - 1 <= item <= FLICKER + 1]
    at = 0
    for item in response:
        kind, value = (
            ("pulse", item - 100)
            if item in (101, 102)
            else ("held", item - HELD)
            if item >= HELD - 1
            else ("seen", item)
        )
        at = next((to for k, v, to in states[at] if (k, v) == (kind, value)), -1)
        if at < 0:
            break
    assert (at >= 0) == bool(allowed(graph, responses(response))[0])


def test_graphs_that_behave_the_same_coincide():
    """Two rests that both answer Set with one Go are one; a rest that does not is another."""
    go = Graph([0, 1, 0], [0, 1, 0, 2], [1, 2, 0, 0], [0, 0, 1, 1])
    twice = Graph(
        [0, 1, 0, 0, 1],
        [0, 1, 0, 2, 3, 4, 3],
        [1, 2, 0, 3, 4, 2, 3],
        [0, 0, 1, 1, 0, 0, 1],
    )
    deaf = Graph([0, 1, 0], [0, 1, 0, 2], [1, 2, 0, 2], [0, 0, 1, 1])
    assert automaton_key(go, SYMBOLS) == automaton_key(twice, SYMBOLS)
    assert minimized(twice).n_nodes == 3
    assert automaton_key(go, SYMBOLS) != automaton_key(deaf, SYMBOLS)
    assert describe_solution(go, SYMBOLS) == (
        "At the start: one output. set, at the start or after output: one output."
    )
    assert describe_solution(deaf, SYMBOLS) == (
        "At the start: one output. set, at the start: one output; after output: silence."
    )


def test_where_a_network_ends_is_said_where_it_is_a_known_place():
    back = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    assert describe_solution(back, SYMBOLS) == (
        "At the start: silence. set, at the start: one output, then as at the start."
    )
    # "set" stays silent, and "reset" leads back to where nothing had happened.
    there = Graph([0, 0], edge_source=[0, 1, 1], edge_target=[1, 1, 0], edge_symbol=[1, 1, 2])
    assert describe_solution(there, SYMBOLS) == (
        "At the start: silence. set, at every node: silence. "
        "reset, after set: silence, then as at the start."
    )


def test_a_key_of_behavior_is_the_same_string_for_ever():
    go = Graph([0, 1, 0], [0, 1, 0, 2], [1, 2, 0, 0], [0, 0, 1, 1])
    assert automaton_key(go, SYMBOLS) == "v2:775c94bb13fa0fda"
    with pytest.raises(SolspaceError, match="carries symbol 3"):
        automaton_key(Graph([0], [0], [0], [3]), SYMBOLS)


def test_words_hold_runs_flickers_and_pulses_between():
    symbols = np.zeros((1, 60), np.int8)
    symbols[0, 5:9] = 1
    symbols[0, 12:14] = 1
    symbols[0, 22:30] = 1  # a pulse at 20, seen from 25
    sequences = PulseSequences(
        np.zeros((1, 60, 2), np.float32),
        start=1,
        onset=np.array([[20, -1]]),
        seen_from=np.array([[25, -1]]),
        symbol=np.array([[1, -1]]),
        shortest=3,
        patience=29,
    )
    read = output_responses(symbols, sequences)
    assert read.one(0).tolist() == [0, 1, 0, FLICKER + 1, 0, SET, 1, HELD]
    assert read.certain(0) == (0, 1, 0, SET, 1, 0)
    with pytest.raises(SolspaceError, match="outputs of shape"):
        output_responses(symbols[:, 1:], sequences)


@pytest.mark.parametrize("name", ["interval_reproduction", "interval_discrimination"])
def test_sequences_are_the_same_for_a_seed_and_lie_inside(name):
    one, again = verification_sequences(name, 100), verification_sequences(name, 100)
    assert np.array_equal(one.input, again.input)
    assert not np.array_equal(one.input, verification_sequences(name, 100, seed=1).input)
    given_pulses = one.onset >= 0
    assert given_pulses[:, 0].all()
    assert (one.seen_from[given_pulses] > one.onset[given_pulses]).all()
    assert one.seen_from.max() <= one.input.shape[1]
    later = one.onset[:, 1:] >= 0
    waits = (one.onset[:, 1:] - one.seen_from[:, :-1])[later]
    assert waits.min() >= 1
    assert waits.max() > 2 * one.patience / 5 > waits.min()
    counts = given_pulses.sum(axis=1)
    assert counts.min() == 1 and counts.max() == 6


def test_delayed_discrimination_compares_two_different_amplitudes():
    drawn = verification_sequences("delayed_discrimination", 200)
    assert set(np.unique(drawn.symbol)) == {-1, 1, 2, 3, 4, 5}
    both = drawn.symbol[:, 1] >= 0
    assert (drawn.symbol[both, 0] != drawn.symbol[both, 1]).all()
    assert set(np.unique(drawn.input)) == {0, 2, 4, 6, 8, 10}


def test_recall_and_specificity_of_graphs_known_to_be_right_and_wrong():
    go = Graph([0, 0, 1], [0, 1, 2], [1, 2, 0], [1, 0, 0])
    rest = Graph([0], [0], [0], [1])
    own = responses([0, SET, 1, 0, SET, 1, 0], [0, SET, 1, 0])
    other = responses([0, SET, HELD], [0, SET, 1, 0])
    assert graph_recall(go, own) == 1
    assert graph_recall(rest, own) == 0
    # The second response is the graph's own as well, and does not count.
    pool = pool_responses([own, other])
    assert graph_specificity(go, own, pool, np.array([False, True])) == 1
    assert np.isnan(graph_specificity(go, own, pool, np.array([False, False])))
    verified = verify_graphs([own, other], [go, rest], ["go", "rest"])
    assert verified.recall.tolist() == [1, 0.5]
    assert verified.specificity.tolist() == [1, 1]


def test_errors_say_what_to_give():
    go = Graph([0], [], [], [])
    with pytest.raises(SolspaceError, match="one of forbid, stay"):
        allowed(go, responses([0]), missing="ignore")
    with pytest.raises(SolspaceError, match="no response sequences"):
        graph_recall(go, responses())
    with pytest.raises(SolspaceError, match="1 networks' response sequences, 2 graphs"):
        verify_graphs([responses([0])], [go, go], ["a", "b"])
    with pytest.raises(SolspaceError, match="drive all with the same"):
        pool_responses([responses([0]), responses([0], [0])])


def test_windows_that_end_before_they_begin_are_refused():
    with pytest.raises(SolspaceError, match="edge 0 can be taken from step 20 to 10"):
        Graph([0], [0], [0], [1], [20], [10])
    with pytest.raises(SolspaceError, match="-1 for no bound"):
        Graph([0], [0], [0], [1], [-2], [10])
    with pytest.raises(SolspaceError, match="1 and 2 bounds of windows for 1 edges"):
        Graph([0], [0], [0], [1], [1], [10, 20])
    assert Graph([0], [0], [0], [1], [20], [30]) != Graph([0], [0], [0], [1], [20], [40])


@pytest.mark.parametrize("method", ["automaton", "timed"])
def test_a_task_without_a_protocol_is_refused(method):
    import dataclasses

    mute = dataclasses.replace(get_task("interval_reproduction"), name="mute", protocol=None)
    with pytest.raises(SolspaceError, match="give it a `protocol`"):
        verification_sequences(mute)
    shapes = networks.parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(SolspaceError, match="give it a `protocol`"):
        reduce_network(mute, "vanilla", weights, method=method)
    weights["bias_hh"][:] = np.nan
    with pytest.raises(SolspaceError, match="bias_hh holds NaN"):
        reduce_network("interval_reproduction", "vanilla", weights, method=method)


@pytest.mark.parametrize(
    ("outputs", "expected", "cyclic"),
    [
        ([0] * 100, (0,), False),
        ([0] * 20 + [1] * 5 + [0] * 100, (0, 1, 0), False),
        ([0] * 20 + [1] * 2 + [0] * 100, (0,), False),
        (([0] * 20 + [1] * 5) * 6, (0, 1), True),
        ([0] * 20 + [1] * 5 + [0] * 20 + [1] * 5 + [0] * 200, (0, 1, 0, 1, 0), False),
    ],
)
def test_stories(outputs, expected, cyclic):
    story = read_story(np.array(outputs, np.int8), 0, 3)
    assert (story.outputs, story.cyclic) == (expected, cyclic)


# --------------------------------------------------------------------------- reference networks


def reference(population: str):
    architecture = population.split("/")[1]
    for folder in sorted(reference_path("networks", population).iterdir()):
        yield (
            folder.name,
            networks.from_state_dict(
                networks.read_state_dict(str(folder / "weights.pt")),
                architecture,
                inputs=2,
                outputs=1,
            ),
        )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["automaton", "timed"])
@pytest.mark.parametrize("task", [name for name in task_names() if get_task(name).probe])
def test_graphs_allow_what_their_networks_do(task, method):
    sequences = verification_sequences(task, 60, seed=7)
    recalls = [
        graph_recall(
            reduce_network(task, "vanilla", weights, method=method),
            read_responses(task, "vanilla", weights, sequences),
        )
        for _, weights in list(reference(f"{task}/vanilla"))[: 1 if method == "timed" else None]
    ]
    assert np.median(recalls) >= 0.95


@pytest.mark.parametrize("method", ["automaton", "timed"])
@pytest.mark.parametrize("task", [name for name in task_names() if get_task(name).probe])
def test_graphs_do_not_depend_on_the_order_of_units(task, method, monkeypatch):
    for name, value in {"SAMPLES": 200, "MOMENTS": 24, "HELD_BACK": 100}.items():
        monkeypatch.setattr(f"solspace.reduction.timed.{name}", value)
    for _, weights in list(reference(f"{task}/vanilla"))[: 1 if method == "timed" else 3]:
        order = np.random.default_rng(3).permutation(networks.hidden_size(weights))
        other = {
            "weight_ih": weights["weight_ih"][:, order],
            "weight_hh": weights["weight_hh"][:, order][:, :, order],
            "bias_ih": weights["bias_ih"][:, order],
            "bias_hh": weights["bias_hh"][:, order],
            "weight_out": weights["weight_out"][:, order],
            "bias_out": weights["bias_out"],
        }
        one = reduce_network(task, "vanilla", weights, method=method)
        assert one == reduce_network(task, "vanilla", other, method=method)
        assert one.timed == (method == "timed")
