"""Reduced dynamics: the published graphs, what they must not depend on, and the kernels."""

from __future__ import annotations

import dataclasses

import networkx as nx
import numpy as np
import pytest
from conftest import reference_path
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks
from scipy.spatial import distance_matrix

from solspace import networks
from solspace.errors import SolspaceError
from solspace.reduction import ReductionError, graph_key, methods, reduce_network
from solspace.reduction.compaction import Rewriter
from solspace.reduction.merging import TrajectoryGraph, flow_paths, meeting_point
from solspace.reduction.published import published_graph
from solspace.reduction.support_vector import linear_machine, margin
from solspace.reduction.trajectories import (
    Chain,
    autocorrelation_loop,
    free_chain_loop,
    prominent_peaks,
    return_lags,
    speeds,
    steps_to_rest,
)
from solspace.tasks import get_task, task_names

POPULATIONS = (
    "interval_reproduction/vanilla",
    "interval_reproduction/gru",
    "interval_reproduction/lstm",
    "interval_discrimination/vanilla",
    "delayed_discrimination/vanilla",
)
# Its free runs are chaotic: the published graph, too, changes with the last digit of a weight.
CHAOTIC = {("interval_reproduction/gru", "20_i100")}


def read(population: str):
    """Name, weights and published graph of every reference network of a population."""
    task, architecture = population.split("/")
    for folder in sorted(reference_path("networks", population).iterdir()):
        weights = networks.from_state_dict(
            networks.read_state_dict(str(folder / "weights.pt")), architecture, inputs=2, outputs=1
        )
        yield folder.name, weights, published_graph(folder / "compact_graph.json", task)


def reordered(weights, seed: int):
    """The same network with its units in another order."""
    order = np.random.default_rng(seed).permutation(networks.hidden_size(weights))
    return {
        "weight_ih": weights["weight_ih"][:, order],
        "weight_hh": weights["weight_hh"][:, order][:, :, order],
        "bias_ih": weights["bias_ih"][:, order],
        "bias_hh": weights["bias_hh"][:, order],
        "weight_out": weights["weight_out"][:, order],
        "bias_out": weights["bias_out"],
    }


def random_network(architecture: str, units: int, seed: int, gain: float = 0.3):
    rng = np.random.default_rng(seed)
    shapes = networks.parameter_shapes(architecture, units, inputs=2, outputs=1)
    return {name: rng.normal(0, gain, shape) for name, shape in shapes.items()}


# ------------------------------------------------------------------------- whole networks


@pytest.mark.parametrize("population", POPULATIONS)
def test_reference_networks_give_the_published_graphs(population):
    task, architecture = population.split("/")
    symbols = get_task(task).input_symbols
    wrong = {}
    for name, weights, published in read(population):
        found = reduce_network(task, architecture, weights)
        if found != published:
            wrong[name] = graph_key(found, symbols), graph_key(published, symbols)
    assert not wrong


@pytest.mark.parametrize("population", POPULATIONS)
def test_a_graph_does_not_depend_on_the_order_of_units(population):
    task, architecture = population.split("/")
    for seed, (name, weights, published) in enumerate(read(population)):
        found = reduce_network(task, architecture, reordered(weights, seed))
        assert found == published, name


@pytest.mark.parametrize("population", POPULATIONS)
def test_a_graph_does_not_depend_on_the_fifth_digit_of_weights(population):
    task, architecture = population.split("/")
    for name, weights, published in read(population):
        if (population, name) in CHAOTIC:
            continue
        for seed in range(3):
            rng = np.random.default_rng(seed)
            noisy = {
                key: array * (1 + 1e-5 * rng.standard_normal(array.shape))
                for key, array in weights.items()
            }
            assert reduce_network(task, architecture, noisy) == published, name


@pytest.mark.parametrize("task", [name for name in task_names() if get_task(name).probe])
@pytest.mark.parametrize("architecture", ("vanilla", "gru", "lstm"))
def test_any_network_gives_a_graph_or_a_reason(task, architecture):
    """All tasks and architectures: reproducible, in any order of the units."""
    graphs = 0
    for seed, gain in enumerate((0.1, 0.2, 0.3, 0.5)):
        weights = random_network(architecture, 20, seed, gain)
        try:
            graph = reduce_network(task, architecture, weights)
        except ReductionError as error:
            assert str(error)
            continue
        graphs += 1
        assert graph.edge_symbol.max(initial=0) < len(get_task(task).input_symbols)
        assert graph == reduce_network(task, architecture, weights)
        assert graph == reduce_network(task, architecture, reordered(weights, seed))
    assert graphs


def test_a_network_at_rest_is_refused_with_the_reason():
    still = {name: np.zeros_like(a) for name, a in random_network("vanilla", 5, 0).items()}
    with pytest.raises(ReductionError, match="at rest already"):
        reduce_network("interval_reproduction", "vanilla", still)
    damped = {name: np.zeros_like(a) for name, a in random_network("vanilla", 2, 0).items()}
    damped["weight_hh"][0] = 0.7 * np.eye(2)
    damped["weight_ih"][0] = 1.0
    with pytest.raises(ReductionError, match=r"at step 20 of a stretch of \d+ steps"):
        reduce_network("interval_reproduction", "vanilla", damped)


def test_what_is_asked_wrongly_is_refused():
    weights = random_network("vanilla", 5, 0)
    with pytest.raises(SolspaceError, match="unknown method 'best'; methods: turner2021"):
        reduce_network("interval_reproduction", "vanilla", weights, method="best")
    bare = dataclasses.replace(get_task("interval_reproduction"), name="bare", probe=None)
    with pytest.raises(SolspaceError, match="'bare': it does not say how its networks are probed"):
        reduce_network(bare, "vanilla", weights, method="turner2021")
    assert methods.method_for(bare) == "automaton"
    bare = dataclasses.replace(bare, protocol=None)
    with pytest.raises(SolspaceError, match="'bare': it does not say how its networks are explor"):
        reduce_network(bare, "vanilla", weights)
    weights["bias_hh"][0, 2] = np.nan
    with pytest.raises(SolspaceError, match="bias_hh holds NaN"):
        reduce_network("interval_reproduction", "vanilla", weights)


def test_a_probe_of_ones_own():
    """A task of one's own says what is explored; here a pulse that kicks an integrator."""

    def probe(explorer):
        waiting = explorer.record(np.zeros((10, 2)))
        explorer.begin(waiting)
        kicked = explorer.pulse(explorer.state(5), "set", 3, 4)
        back = explorer.pulse(explorer.state(5), "set", 3, 4, amplitude=-1.0)
        np.testing.assert_array_equal(back, -kicked)
        explorer.extend(5, "set", explorer.record(np.zeros((10, 2)), kicked))
        explorer.compare(answer="set")

    task = dataclasses.replace(get_task("interval_reproduction"), name="kick", probe=probe)
    weights = {name: np.zeros_like(a) for name, a in random_network("vanilla", 2, 0).items()}
    weights["weight_hh"][0] = np.diag([1.5, 0.5])
    weights["weight_ih"][0, 0, 1] = 1.0
    weights["weight_out"][0, 0] = 1.0
    graph = reduce_network(task, "vanilla", weights)
    assert graph_key(graph, task.input_symbols) == "v1:0|set>1;1|"


def test_a_pulse_at_a_step_that_is_not_there_is_refused():
    def probe(explorer):
        chain = explorer.record(np.zeros((10, 2)))
        explorer.begin(chain)
        explorer.extend(10, "set", chain)

    task = dataclasses.replace(get_task("interval_reproduction"), name="late", probe=probe)
    with pytest.raises(ReductionError, match="at node 10, which is not there"):
        reduce_network(task, "vanilla", random_network("vanilla", 4, 0))


# ------------------------------------------------------------------------- trajectories


@given(
    st.one_of(
        st.lists(st.integers(-3, 3), max_size=40),
        st.lists(st.floats(-1, 1, width=32), max_size=40),
    ),
    st.sampled_from([0.05, 0.1, 1.0, 2.0]),
)
@settings(max_examples=300)
def test_peaks_are_those_of_scipy(values, prominence):
    x = np.array(values, float)
    expected = find_peaks(x, prominence=prominence)[0]
    assert prominent_peaks(x, prominence).tolist() == expected.tolist()


def winding(seed: int, steps: int, size: int = 3):
    """A smooth curve that comes back near itself now and then."""
    rng = np.random.default_rng(seed)
    time = np.arange(steps)[:, None]
    return sum(
        rng.normal(size=size)
        * np.sin(time * 2 * np.pi / rng.uniform(8, 60) + rng.uniform(0, 6, size))
        for _ in range(3)
    )


@given(st.integers(0, 999), st.integers(4, 60))
@settings(max_examples=50)
def test_return_lags_are_first_prominent_minima_of_distance(seed, steps):
    states = winding(seed, steps)
    distance = distance_matrix(states, states)
    expected = []
    for i in range(steps):
        peaks = find_peaks(-distance[i, i + 1 :], prominence=0.1)[0]
        expected.append(peaks[0] + 1 if len(peaks) else 0)
    assert return_lags(states).tolist() == expected


def circle(period: float, steps: int, transient: float = 0.0):
    time = np.arange(steps)
    radius = 1 + transient * 0.9**time
    return np.stack(
        [radius * np.cos(2 * np.pi * time / period), radius * np.sin(2 * np.pi * time / period)],
        axis=1,
    )


@given(st.integers(24, 90), st.floats(0, 2))
def test_a_limit_cycle_is_closed_at_its_period(period, transient):
    stop, entry = free_chain_loop(circle(period, 400, transient))
    assert stop - entry == period
    assert entry >= 100


def test_what_does_not_come_round_is_left_open():
    decay = 0.99 ** np.arange(500.0)[:, None] * np.ones(3)
    assert free_chain_loop(decay) is None
    assert autocorrelation_loop(decay[:19]) is None
    assert autocorrelation_loop(np.ones((19, 3))) is None
    # Faster than the slowest that counts as a limit cycle.
    assert free_chain_loop(circle(12, 500)) is None
    assert free_chain_loop(circle(40, 103)) is None


@given(st.integers(3, 9), st.integers(18, 19))
def test_short_cycles_are_found_by_autocorrelation(period, steps):
    stop, entry = autocorrelation_loop(circle(period, steps))
    assert (stop - entry) % period == 0


@given(st.integers(0, 99), st.integers(2, 30))
def test_speed_and_rest(seed, steps):
    states = winding(seed, steps) * 1e-4
    moved = np.linalg.norm(states[1:] - states[:-1], axis=1)
    assert np.allclose(speeds(states), [*moved, moved[-1]])
    slow = [i for i in range(steps) if [*moved, moved[-1]][i] / np.sqrt(3) < 5e-5]
    assert steps_to_rest(states) == (slow[0] if slow else steps)


# ------------------------------------------------------------------------- meeting


def met_by_definition(old: Chain, new: Chain, limit: float):
    """`meeting_point` by whole matrices."""
    n, m = len(old), len(new)
    apart = distance_matrix(old.states, new.states)
    a, b = speeds(old.states)[:, None], speeds(new.states)[None]
    relative = np.where(apart > 1e-3, 2 * apart / (a + b), 0.0)
    unlike = (apart > 1e-3) & (np.abs(np.log10(a + 1e-10) - np.log10(b + 1e-10)) > 1)
    worst = np.full((n + 1, m + 1), 0.0)
    stopped = np.zeros((n + 1, m + 1), bool)
    out = np.zeros((n + 1, m + 1))
    for i in reversed(range(n)):
        for j in reversed(range(m)):
            worst[i, j] = max(worst[i + 1, j + 1], relative[i, j])
            if stopped[i + 1, j + 1]:
                worst[i, j] = np.inf
            stopped[i, j] = stopped[i + 1, j + 1] or unlike[i, j] or relative[i, j] > 5
            out[i, j] = max(out[i + 1, j + 1], abs(old.output[i] - new.output[j]))
    worst, out = worst[:n, :m], out[:n, :m]
    diagonals, best = [], np.inf
    for j in range(m):
        i = int(worst[:, j].argmin())
        if worst[i, j] < 1:
            best = min(best, worst[i, j])
            diagonals.append(j - i)
            if best == 0:
                break
    if not diagonals:
        return None
    counts = sorted((-diagonals.count(k), diagonals.index(k), k) for k in set(diagonals))
    if not (-counts[0][0] > 3 or best < 0.01 or abs(n - m) < 5):
        return None
    k = diagonals[-1]
    if len(counts) > 1 and counts[0][0] < 2 * counts[1][0]:
        k = counts[0][2]
    for i in range(max(0, -k), min(n, m - k)):
        if worst[i, i + k] < 1 and out[i, i + k] <= limit:
            return i, i + k
    return None


@given(
    st.integers(0, 999),
    st.integers(2, 40),
    st.integers(2, 40),
    st.integers(0, 20),
    st.sampled_from([0.0, 1e-4, 1e-2, 0.3, 1.0]),
    st.sampled_from([0.01, 0.1, 10.0]),
)
@settings(max_examples=300)
def test_stretches_meet_where_the_definition_says(seed, rows, columns, shift, noise, limit):
    rng = np.random.default_rng(seed)
    curve = winding(seed, 80) * (0.93 ** np.arange(80))[:, None]
    old = curve[:rows]
    new = curve[shift : shift + columns] + noise * rng.normal(size=(columns, 1)) * 0.1
    first, second = Chain(old, old[:, 0].copy()), Chain(new, new[:, 0].copy())
    assert meeting_point(first, second, limit) == met_by_definition(first, second, limit)


# ------------------------------------------------------------------------- the fine graph


@st.composite
def flows(draw):
    n = draw(st.integers(1, 25))
    alive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    successor = np.array(draw(st.lists(st.integers(-1, n - 1), min_size=n, max_size=n)))
    successor[~alive] = -1
    successor[(successor >= 0) & ~alive[successor]] = -1
    return successor, alive


@given(flows())
def test_paths_take_the_flow_apart(flow):
    successor, alive = flow
    paths, component = flow_paths(successor, alive)
    graph = nx.DiGraph()
    graph.add_nodes_from(np.flatnonzero(alive).tolist())
    graph.add_edges_from((i, int(successor[i])) for i in graph if successor[i] >= 0)
    parts = list(nx.weakly_connected_components(graph))
    assert [set(np.flatnonzero(component == i).tolist()) for i in range(len(parts))] == parts
    assert (component[~alive] == -1).all()
    assert len(paths) == len(parts)
    edges = []
    for part, group in zip(parts, paths, strict=True):
        for path in group:
            assert set(path.tolist()) <= part
            steps = list(zip(path[:-1].tolist(), path[1:].tolist(), strict=True))
            assert all(successor[a] == b for a, b in steps)
            if successor[path[-1]] == path[0]:
                steps.append((int(path[-1]), int(path[0])))
            edges += steps
    # Every edge is on one path (an edge from a node to itself is none).
    assert sorted(edges) == sorted((a, b) for a, b in graph.edges if a != b)


def line(length: int, start: float = 0.0, output: float = 0.0) -> Chain:
    """A stretch along an axis, so far from other lines that they never meet."""
    states = np.stack([np.arange(length, dtype=float), np.full(length, start)], axis=1)
    return Chain(states, np.full(length, output))


def test_a_chain_joins_where_it_runs_into_another():
    fine = TrajectoryGraph(line(30))
    side = line(20)
    side.states[:, 0] += 10
    side.states[:5, 1] += [9.0, 7.0, 5.0, 3.0, 1.5]
    fine.attach(3, side, 1)
    assert fine.flow_from(0).tolist() == list(range(30))
    assert fine.target(3, 1) == 30
    assert fine.flow_from(30).tolist() == [30, 31, 32, 33, 34, *range(15, 30)]


def test_where_there_is_an_edge_a_second_is_lost():
    fine = TrajectoryGraph(line(30))
    fine.attach(3, line(30).part(4), 1)  # leads to node 4, where flow leads, too
    assert fine.target(3, 1) is None
    fine.attach(3, line(30).part(3), 1)  # leads to where it was given
    assert fine.target(3, 1) is None
    assert fine.alive.sum() == 30


def test_two_equal_cycles_are_one_and_others_are_not():
    ring = circle(40, 40)
    fine = TrajectoryGraph(Chain(ring, ring[:, 0], loop=0))
    approach = np.concatenate([[[3.0, 3.0]], np.roll(ring, 7, axis=0)])
    fine.attach(5, Chain(approach, approach[:, 0], loop=1), 1)
    assert fine.alive.sum() == 41
    assert fine.successor[fine.target(5, 1)] == 33
    fine.attach(6, Chain(ring + 10, ring[:, 0], loop=0), 1)
    assert len(fine.cycles()) == 2
    fine.attach(7, Chain(circle(60, 60), np.zeros(60), loop=0), 1)  # too long for the first
    assert len(fine.cycles()) == 3


def test_components_are_joined_where_they_run_together():
    fine = TrajectoryGraph(line(30))
    fine.attach(3, line(25, start=5.0), 1)
    assert len(fine.sinks()) == 2
    fine.states[40:55] = fine.states[15:30]
    fine.merge_components()
    assert len(fine.sinks()) == 1
    assert fine.alive.sum() == 40


def test_sinks_are_joined_where_all_end_together():
    for ends, nodes in ((0.0, 49), (1.0, 50)):
        fine = TrajectoryGraph(line(30))
        fine.attach(3, line(20, start=5.0), 1)
        fine.join_sinks(lambda states, ends=ends: np.array([[0.0, 0.0], [0.0, ends]]))
        assert fine.alive.sum() == nodes


@given(st.integers(0, 999), st.integers(2, 15), st.floats(0, 3))
@settings(max_examples=12)
def test_the_margin_is_that_of_a_support_vector_machine(seed, points, shift):
    svm = pytest.importorskip("sklearn.svm")
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(points, 4)), rng.normal(size=(points + 3, 4)) + shift
    x = np.concatenate([first, second])
    label = np.where(np.arange(len(x)) < points, 1.0, -1.0)
    weights, offset = linear_machine(x, label)
    expected = svm.SVC(kernel="linear", C=100, tol=1e-6).fit(x, label)

    def cost(w, b):
        return w @ w / 2 + 100 * np.maximum(0, 1 - label * (x @ w + b)).sum()

    assert cost(weights, offset) <= cost(expected.coef_[0], expected.intercept_[0]) * (1 + 1e-4)
    scaled = (x - x.mean(0)) / x.std(0)
    expected.fit(scaled, label)
    width = 2 / np.linalg.norm(expected.coef_) if expected.score(scaled, label) == 1 else 0.0
    assert margin(first, second) == pytest.approx(width, rel=1e-2)


# ------------------------------------------------------------------------- the rewriting rules


def rewriter(outputs, edges, *, question: int | None = None) -> Rewriter:
    small = Rewriter(dict(enumerate(outputs)), 0, answer=1, question=question)
    for source, target, symbol in edges:
        small.connect(source, target, symbol)
    return small


def key(small: Rewriter) -> str:
    return graph_key(small.graph(), ("autonomous", "answer", "question"))


def test_silent_nodes_that_flow_only_goes_through_are_dropped():
    small = rewriter([0, 0, 0, 0, 1], [(0, 1, 0), (1, 2, 0), (2, 3, 0), (3, 4, 0)])
    small.drop_plain()
    assert key(small) == "v1:0|>1;0|>2;1|"


def test_flow_between_nodes_that_nothing_tells_apart_is_contracted():
    small = rewriter([0, 0, 1], [(0, 1, 0), (0, 2, 1), (1, 2, 1), (2, 1, 0)])
    small.contract_flow()
    assert key(small) == "v1:0|answer>1;1|>0"
    answers_differ = rewriter([0, 0, 1, -1], [(0, 1, 0), (0, 2, 1), (1, 3, 1)])
    answers_differ.contract_flow()
    assert len(answers_differ.output) == 4


def test_siblings_are_contracted_and_a_common_source_keeps_its_flow():
    small = rewriter([0, 1, 1, 0], [(0, 1, 0), (0, 2, 1), (1, 3, 0), (2, 3, 0)])
    small.contract_siblings()
    assert key(small) == "v1:0|>1,answer>0;1|>2;0|"


def test_a_silent_node_is_absorbed_by_the_output_it_only_leads_to():
    small = rewriter([0, 0, 1, 0], [(0, 1, 1), (1, 2, 0), (2, 3, 0)])
    small.absorb_silent()
    assert key(small) == "v1:0|answer>1;1|>2;0|"


def test_an_answer_flows_at_once_to_where_silence_ends():
    small = rewriter([0, 1, 0, 0], [(0, 1, 1), (1, 2, 0), (2, 3, 0), (3, 3, 0)])
    small.redirect_answers()
    assert small.target(1, 0) == 3


def test_squares_are_contracted():
    small = rewriter(
        [0, 0, 0, 0, 1],
        [(0, 1, 0), (0, 2, 2), (1, 3, 2), (2, 4, 1), (3, 4, 1), (2, 0, 0), (3, 1, 0)],
        question=2,
    )
    small.contract_squares()
    assert len(small.output) == 3
    assert small.target(0, 2) == 2
    assert small.target(2, 1) == 4


def test_rewriting_ends_and_leaves_nothing_to_rewrite():
    small = rewriter(
        [0, 0, 1, 0, 0, 1],
        [(0, 1, 0), (1, 2, 0), (2, 3, 0), (3, 4, 0), (4, 0, 0), (1, 5, 1), (5, 3, 0)],
    )
    small.rewrite()
    before = small.graph()
    small.rewrite()
    assert small.graph() == before


# ------------------------------------------------------------------------- files and names


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        ('{"root": 0, "nodes": [{"output": 0}], "edges": []}', "two_neuron", "no graphs of task"),
        ('{"root": 1, "nodes": [{"output": 0}], "edges": []}', "interval_reproduction", "root is"),
        ('{"root": 0, "nodes": [{"output": 0}]}', "interval_reproduction", "'edges' is missing"),
        (
            '{"root": 0, "nodes": [{"output": 0}], '
            '"edges": [{"source": 0, "target": 0, "input": 7}]}',
            "interval_reproduction",
            "7 is missing or unknown",
        ),
    ],
)
def test_files_that_hold_no_published_graph_are_refused(tmp_path, text, task, message):
    (tmp_path / "compact_graph.json").write_text(text)
    with pytest.raises(SolspaceError, match=message):
        published_graph(tmp_path / "compact_graph.json", task)


@pytest.mark.parametrize("package", ["reduction", "verification", "report", "training", "tasks"])
def test_all_that_a_package_names_is_there(package):
    import importlib

    face = importlib.import_module(f"solspace.{package}")
    assert face.__all__ == sorted(face.__all__, key=str) or package in ("training", "tasks")
    for name in face.__all__:
        assert getattr(face, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        face.no_such_name  # noqa: B018
