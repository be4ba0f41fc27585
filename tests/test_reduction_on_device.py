"""Graphs of networks whose trials are run together in torch: the same as by the compiled loops."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from solspace import networks
from solspace.cli import main
from solspace.errors import SolspaceError
from solspace.networks import together
from solspace.population import import_networks, network_weights, stacked_weights
from solspace.reduction.stage import reduce
from solspace.run.populations import add_population
from solspace.simulation.stage import record

torch = pytest.importorskip("torch")

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
GRAPH = ("n_nodes", "node_output", "edge_source", "edge_target", "edge_input")
LABELS = ("graph_key", "automaton_key", "graph_description", "message_reduce")


def shipped(population: str, step: int) -> xr.Dataset:
    ds = xr.open_zarr(STORE, group=population, chunks=None)
    return ds.isel(network=slice(0, None, step)).load()


def check_same(one: xr.Dataset, other: xr.Dataset, names: tuple[str, ...] = GRAPH + LABELS) -> None:
    for name in names:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


# Of units in four numbers, so that the smaller networks are filled up.
@pytest.mark.parametrize(
    ("population", "step"),
    [
        ("interval_reproduction/vanilla", 57),
        ("interval_reproduction/gru", 57),
        ("interval_reproduction/lstm", 57),
        ("interval_discrimination/vanilla", 57),
        ("delayed_discrimination/vanilla", 57),
    ],
)
def test_a_device_gives_the_graphs_that_the_compiled_loops_give(population, step):
    ds = shipped(population, step)
    assert len({*ds.hidden_size.values.tolist()}) > 1
    check_same(reduce(ds, device="cpu"), reduce(ds))


@pytest.mark.slow
@pytest.mark.parametrize(
    "population",
    [
        "interval_reproduction/vanilla",
        "interval_reproduction/gru",
        "interval_reproduction/lstm",
        "interval_discrimination/vanilla",
        "delayed_discrimination/vanilla",
    ],
)
def test_a_device_gives_the_graphs_of_fifty_networks(population):
    ds = shipped(population, 8)
    check_same(reduce(ds, device="cpu"), reduce(ds))


def test_so_it_does_by_pulses_at_many_moments():
    ds = shipped("interval_reproduction/vanilla", 130)
    check_same(reduce(ds, device="cpu", method="automaton"), reduce(ds, method="automaton"))


@pytest.mark.slow
def test_and_with_windows_of_time():
    ds = shipped("interval_discrimination/vanilla", 200)
    names = (*GRAPH, "edge_earliest", "edge_latest")
    check_same(reduce(ds, device="cpu", method="timed"), reduce(ds, method="timed"), names)


def test_networks_that_start_elsewhere_and_one_that_fails_beside_others():
    """A learned start of an LSTM has two parts; what is wrong with one network is its own."""
    rng = np.random.default_rng(0)
    mine = {}
    for units in (4, 7):
        shapes = networks.parameter_shapes("lstm", units, inputs=2, outputs=1)
        mine[f"n{units}"] = {n: rng.normal(0, 0.4, shape) for n, shape in shapes.items()} | {
            f"start_{part}": rng.normal(0, 0.5, units) for part in ("activity", "cell_state")
        }
    ds = import_networks("interval_reproduction", "lstm", mine)
    ds["weight_hh"][1, 0, 0, 0] = np.nan
    on_device, compiled = (
        reduce(ds, method="automaton", device=device) for device in ("cpu", None)
    )
    check_same(on_device, compiled)
    assert on_device.status_reduce.values.tolist() == [1, 2]
    assert "weight_hh holds NaN" in on_device.message_reduce.item(1)


# ------------------------------------------------------------------------- what runs them


@pytest.fixture(scope="module")
def few() -> xr.Dataset:
    return shipped("interval_reproduction/vanilla", 80)


def explored(few: xr.Dataset, explore):
    """Explore each network, given its position, its weights and what runs it."""
    return networks.explore_together(
        lambda i, run: explore(i, network_weights(few, i), run),
        "vanilla",
        stacked_weights(few),
        few.hidden_size.values,
        "cpu",
    )


def test_a_run_of_all_is_a_run_of_each(few):
    """Of trials in other numbers and lengths, one after the other, from rest and from states."""

    def explore(i, weights, run):
        rng = np.random.default_rng(i)
        first, out = run("vanilla", weights, rng.normal(size=(1 + i % 3, 9 + i % 2, 2)))
        after, output = run("vanilla", weights, rng.normal(size=(len(first), 5, 2)), first[:, -1])
        return first, out, after, output

    found = explored(few, explore)
    for i, done in enumerate(found):
        alone = explore(i, network_weights(few, i), networks.run)
        for mine, theirs in zip(done.result(), alone, strict=True):
            # As closely as two ways of adding up agree after a few steps.
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("limit", ["_AT_ONCE", "_MOST"])
def test_more_networks_than_are_run_at_once_are_all_run(few, monkeypatch, limit):
    expected = reduce(few)
    monkeypatch.setattr(together, limit, 2)
    check_same(reduce(few, device="cpu"), expected)


def test_too_little_memory_halves_what_is_run_at_once(few, monkeypatch):
    run, ran = together.run_population, []

    def small(architecture, weights, inputs, state):
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        ran.append(len(inputs))
        return run(architecture, weights, inputs, state)

    monkeypatch.setattr(together, "run_population", small)
    check_same(reduce(few, device="cpu"), reduce(few))
    assert max(ran) == 2


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), KeyboardInterrupt])
def test_what_ends_one_run_ends_all_of_them(few, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(together, "run_population", fail)
    before = threading.active_count()
    of_memory = isinstance(error, torch.OutOfMemoryError)
    expected = SolspaceError if of_memory else KeyboardInterrupt
    with pytest.raises(expected, match=r"too large for the device's memory" if of_memory else None):
        reduce(few, device="cpu")
    assert threading.active_count() == before


def test_an_exploration_that_fails_says_so_where_it_is_asked_for(few):
    def explore(i, weights, run):
        if i == 1:
            raise ValueError("one that fails")
        return run("vanilla", weights, np.zeros((1, 3, 2)))[1].shape

    found = explored(few, explore)
    with pytest.raises(ValueError, match="one that fails"):
        found[1].result()
    assert found[2].result() == (1, 3, 1)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_as_by_record(few, device, tmp_path, capsys):
    said = []
    for stage in (record, reduce):
        with pytest.raises(SolspaceError, match=f"device '{device}' is") as refused:
            stage(few, device=device)
        said.append(str(refused.value))
    assert said[0] == said[1]
    store = str(tmp_path / "few.zarr")
    add_population(store, few)
    assert main(["reduce", store, "--device", device]) != 0
    assert said[0] in capsys.readouterr().err


def test_a_store_is_reduced_on_a_device(few, tmp_path):
    store = str(tmp_path / "few.zarr")
    made = [*GRAPH, *LABELS, "status_reduce", "solution", "solution_key", "solution_name"]
    weights = few.drop_vars([name for name in made if name in few.variables])
    add_population(store, weights, shard_size=3)
    assert main(["reduce", store, "--device", "cpu", "--quiet"]) == 0
    stored = xr.open_zarr(store, group="interval_reproduction/vanilla").load()
    np.testing.assert_array_equal(stored.graph_key.values, reduce(few).graph_key.values)
