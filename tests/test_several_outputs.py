"""Several outputs: all of them count, in every stage. docs/flip_flop.md, run as written."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks

from solspace import SolspaceError, check_store, get_task, reduce
from solspace.cli import main
from solspace.networks import parameter_shapes
from solspace.population import network_weights
from solspace.reduction import reduce_network
from solspace.reduction.acceptance import graph_recall
from solspace.reduction.responses import read_responses
from solspace.reduction.stage import graph_of
from solspace.responses import explore_responses, machine_of, response_scores
from solspace.responses.words import MORE
from solspace.tasks import check_task, registry
from solspace.tasks.needs import lacking
from solspace.tasks.symbols import read_symbols, split_symbol, symbol_text
from solspace.verification import verification_sequences

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "stores" / "turner2021.zarr"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flip_flop")
    (folder / "stores").mkdir()
    names: dict = {}
    before = registry.registered()
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match="forgets 0"):
        patch.chdir(folder)
        for block in python_blocks("docs/flip_flop.md"):
            exec(compile(block, "docs/flip_flop.md", "exec"), names)
    yield names | {"store": str(folder / names["store"])}
    registry.restore(before)


def _led(signs, pulse):
    """What the bits are after a pulse."""
    after = list(signs)
    after["xyz".index(pulse[0])] = 1 if pulse[1] == "+" else -1
    return tuple(after)


def _says_what_is_asked(outputs, edges):
    """Eight places, one for each sign of the bits; six pulses from each to the right one."""
    bits = {i: split_symbol(v, 3) for i, v in outputs.items()}
    assert sorted(bits.values()) == sorted(product((-1, 1), repeat=3))
    assert len(edges) == len(set(edges)) == 48
    for source, target, pulse in edges:
        assert bits[target] == _led(bits[source], pulse)


def _machine_is_right(machine, kind="point"):
    first, *states = machine.states
    assert (first.kind, len(states)) == ("start", 8)
    assert all((state.kind, state.repeated) == (kind, False) for state in states)
    symbols = get_task("flip_flop").input_symbols
    outputs = {i: state.output[0] for i, state in enumerate(machine.states) if i}
    edges = [(e.source, e.target, symbols[e.pulses[0][1]]) for e in machine.edges if e.pulses]
    _says_what_is_asked(outputs, edges)
    assert all(not any(e.words) for e in machine.edges)


def _graph_is_right(graph):
    symbols = get_task("flip_flop").input_symbols
    outputs = dict(enumerate(graph.node_output.tolist()))
    columns = (graph.edge_source.tolist(), graph.edge_target.tolist(), graph.edge_symbol.tolist())
    edges = [(s, t, symbols[k]) for s, t, k in zip(*columns, strict=True)]
    assert not [edge for edge in edges if edge[2] == "autonomous" and edge[0] != edge[1]]
    _says_what_is_asked(outputs, [edge for edge in edges if edge[2] != "autonomous"])


def test_a_flip_flop_goes_through_every_stage(page):
    population = page["population"]
    for stage in ("reduce", "verify", "responses", "attractors", "label", "features"):
        assert population[f"status_{stage}"].values.tolist() == [1, 1, 1], stage
    for name in ("keeps", "keeps_too"):
        _machine_is_right(machine_of(page["responses"], name))
    graphs = xr.open_zarr(page["store"], group="flip_flop/vanilla/graph").load()
    for i in range(2):
        _graph_is_right(graph_of(graphs, i))
    assert population.attrs["graph_method"] == "automaton"
    assert population.graph_recall.values.tolist() == [1, 1, 1]
    assert population.graph_specificity.values.tolist() == [1, 1, 1]
    # On sequences that the machines were not made from.
    assert page["scores"].response_recall.values.tolist() == [1, 1, 1]
    assert page["scores"].response_specificity.values.tolist() == [1, 1, 1]
    assert population.solution.values.tolist() == [0, 0, 1]
    assert len(set(population.attractor_key.values.tolist())) == 2
    assert "x +1 y -1 z +1" in population.graph_description.values[0]
    assert "+1" in population.response_description.values[0]
    assert check_store(page["store"]) == []


def test_a_network_trained_by_the_recipe_has_the_machine(page):
    trained = page["trained"]
    assert trained.status_train.item() == 1
    _machine_is_right(machine_of(trained, 0))
    assert response_scores(trained, sequences=20).response_recall.item() == 1


@pytest.mark.slow
def test_the_report_shows_every_output(page, tmp_path):
    assert main(["report", page["store"], str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    assert all(f"Output {bit} of keeps_too" in text for bit in "xyz")
    assert "Every row is answered as asked for." in text


@pytest.mark.slow
def test_a_trained_flip_flop_has_the_graph_and_the_machine(page):
    path = ROOT.parent / "shared" / "oracles" / "fpf_flipflop_tanh.npz"
    if not path.exists():
        pytest.skip("needs the folder shared/oracles beside the checkout")
    stored = np.load(path)
    names = {f"{w}_{g}": f"w_rnn.{w}_{g}_l0" for w in ("weight", "bias") for g in ("ih", "hh")}
    names |= {"weight_out": "w_readout.weight", "bias_out": "w_readout.bias"}
    shapes = parameter_shapes("vanilla", 16, inputs=3, outputs=3)
    weights = {name: stored[names[name]].reshape(shape) for name, shape in shapes.items()}
    task = get_task("flip_flop")
    # Its pulses lasted one step.
    short = dataclasses.replace(
        task.protocol,
        before=np.concatenate([np.ones((1, 3)), np.zeros((12, 3))]).astype(np.float32),
        pulses=tuple(dataclasses.replace(p, width=1, settled=12) for p in task.protocol.pulses),
    )
    task = dataclasses.replace(task, protocol=short)
    # Units of it change sign at every step: its memories are cycles of two, with outputs that last.
    machine = explore_responses(task, "vanilla", weights, short.notch("settled"))
    _machine_is_right(machine, "cycle")
    graph = reduce_network(task, "vanilla", weights)
    _graph_is_right(graph)
    driven = verification_sequences(task, 50, seed=5)
    assert graph_recall(graph, read_responses(task, "vanilla", weights, driven)) == 1


@pytest.mark.parametrize("method", ["automaton", pytest.param("timed", marks=pytest.mark.slow)])
def test_an_output_given_twice_changes_numbers_alone(method):
    """Graph, machine and recall of a network whose readout is there twice."""
    group = "interval_discrimination/vanilla"
    one = get_task("interval_discrimination")
    two = dataclasses.replace(one, outputs=("answer", "again"))
    weights = network_weights(xr.open_zarr(SHIPPED, group=group).isel(network=[1]).load(), 0)
    doubled = dict(weights)
    for name in ("weight_out", "bias_out"):
        doubled[name] = np.concatenate([weights[name], weights[name]])
    graph = reduce_network(one, "vanilla", weights, method=method)
    both = reduce_network(two, "vanilla", doubled, method=method)
    assert both.node_output.tolist() == (4 * graph.node_output).tolist()
    for name in ("edge_source", "edge_target", "edge_symbol", "edge_earliest", "edge_latest"):
        assert getattr(both, name).tolist() == getattr(graph, name).tolist(), name
    driven = verification_sequences(one, 60)
    own = read_responses(one, "vanilla", weights, driven)
    assert graph_recall(both, read_responses(two, "vanilla", doubled, driven)) == graph_recall(
        graph, own
    )
    if method == "automaton":
        notch = one.protocol.notch("settled2")
        machine = explore_responses(one, "vanilla", weights, notch)
        again = explore_responses(two, "vanilla", doubled, notch)
        outputs = [[v for w in e.words for v in w] for e in machine.edges]
        twice = [[v for w in e.words for v in w] for e in again.edges]
        assert twice == [[v if v == MORE else 4 * v for v in words] for words in outputs]


def test_symbols_of_several_outputs_are_one_number_and_back():
    task = dataclasses.replace(get_task("delayed_discrimination"), outputs=("a", "b", "c", "d"))
    every = np.array(list(product((-1, 0, 1), repeat=4)))
    numbers = read_symbols(task, every.astype(float))
    assert sorted(numbers.tolist()) == list(range(-40, 41))
    assert [split_symbol(v, 4) for v in numbers.tolist()] == [tuple(row) for row in every.tolist()]
    assert len({symbol_text(v, 4) for v in numbers.tolist()}) == 81


def test_what_several_outputs_cannot_have_is_refused_before_work_begins(page):
    task = get_task("flip_flop")
    with pytest.raises(SolspaceError, match=r"3 outputs \(x, y, z\), and the published graphs"):
        reduce(page["networks"], method="turner2021")
    five = dataclasses.replace(task, inputs=tuple("abcde"), outputs=tuple("abcde"))
    assert "5 outputs, and those of at most 4 are told apart" in lacking(five, "responses")
    store = page["store"]
    code = main(["reduce", store, "--redo", "--method", "turner2021", "--quiet"])
    assert code == 2
    assert xr.open_zarr(store, group="flip_flop/vanilla").status_reduce.values.tolist() == [1] * 3
    wrong = dataclasses.replace(task, output_symbol=lambda output: 2 * np.sign(output))
    with pytest.raises(SolspaceError, match=r"output_symbol gives -2.0 for -2"):
        check_task(wrong)
