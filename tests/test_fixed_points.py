"""Fixed points: constructed networks, the flip-flop's 27, properties, the stage and its page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from blocks import python_blocks
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import (
    SolspaceError,
    add_population,
    find_fixed_points,
    import_networks,
    network_weights,
    record,
    run_stage,
)
from solspace.fixed_points import cell_of, constant_inputs, fixed_points, jacobian, starts_of
from solspace.fixed_points.finding import KINDS
from solspace.fixed_points.stage import fixed_points_table
from solspace.networks import parameter_shapes, run
from solspace.store.check import check_store
from solspace.tasks import get_task

ROOT = Path(__file__).resolve().parents[1]
CELLS = ("vanilla", "relu", "leaky", "leaky_rate", "gru", "lstm")


def random_weights(architecture: str, n: int, seed: int, gain: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(architecture, n, 2, 1)
    weights = {name: rng.normal(0, gain / np.sqrt(n), shape) for name, shape in shapes.items()}
    if "alpha" in weights:
        weights["alpha"] = np.array(0.3)
    return weights


def oracle(architecture: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The weights of FixedPointFinder's flip-flop, and all that is stored with them."""
    name = "tanh" if architecture == "vanilla" else "gru"
    path = ROOT.parent / "shared" / "oracles" / f"fpf_flipflop_{name}.npz"
    if not path.exists():
        pytest.skip("needs the folder shared/oracles beside the checkout")
    stored = dict(np.load(path))
    keys = {f"{w}_{g}": f"w_rnn.{w}_{g}_l0" for w in ("weight", "bias") for g in ("ih", "hh")}
    keys |= {"weight_out": "w_readout.weight", "bias_out": "w_readout.bias"}
    shapes = parameter_shapes(architecture, 16, inputs=3, outputs=3)
    return {n: stored[keys[n]].reshape(s).astype(float) for n, s in shapes.items()}, stored


# --------------------------------------------------------------------------- the flip-flop


@pytest.mark.parametrize("architecture", ["vanilla", "gru"])
def test_the_flip_flop_has_its_27_points(architecture):
    weights, stored = oracle(architecture)
    seen = stored["hidden"].reshape(-1, 16)
    box = np.array([seen.min(axis=0), seen.max(axis=0)])
    found = fixed_points(architecture, weights, stored["float32_x0"], box=box)
    points = found.kind != KINDS.index("slow")
    assert points.sum() == 27
    # Units of the tanh network change sign at every step, one direction that is always unstable.
    flips = [0] if architecture == "vanilla" else []
    assert np.bincount(found.unstable[points]).tolist() == [*flips, 8, 12, 6, 1]
    assert found.residual[points].max() < 1e-10
    for state, values in zip(found.states[points], found.eigenvalues[points], strict=True):
        apart = np.linalg.norm(stored["float32_newton_unique"] - state, axis=1)
        assert apart.min() < 1e-5
        own = np.sort(np.abs(stored["float32_newton_eig"][apart.argmin()]))
        np.testing.assert_allclose(np.sort(np.abs(values)), own, atol=1e-4)


# --------------------------------------------------------------------------- constructed networks


def one_unit(weight: float, bias: float = 0.0) -> dict[str, np.ndarray]:
    return {
        "weight_ih": np.ones((1, 1, 1)), "weight_hh": np.full((1, 1, 1), weight),
        "bias_ih": np.full((1, 1), bias), "bias_hh": np.zeros((1, 1)),
        "weight_out": np.ones((1, 1)), "bias_out": np.zeros(1),
    }  # fmt: skip


@pytest.mark.parametrize("gap", [1e-3, 1e-2])
def test_the_ghost_of_a_saddle_node_is_a_slow_point(gap):
    """At this bias two points of a bistable unit have just gone."""
    edge = 2 * np.sqrt(0.5) - np.arctanh(np.sqrt(0.5))
    starts = np.linspace(-0.95, 0.95, 39)[:, None]
    found = fixed_points("vanilla", one_unit(2.0, edge + gap), starts, box=[[-1], [1]])
    slow = found.kind == KINDS.index("slow")
    assert [KINDS[k] for k in found.kind] == ["stable", "slow"]
    np.testing.assert_allclose(found.states[slow], -np.sqrt(0.5), atol=0.1)
    assert 0 < found.q[slow] < 1e-4 and found.eigenvalues[slow].real == pytest.approx(1, abs=1e-3)
    # Just before, there are a point and a saddle, which are kept though they are near.
    found = fixed_points("vanilla", one_unit(2.0, edge - 1e-8), starts, box=[[-1], [1]])
    assert sorted(found.unstable[found.kind < 2].tolist()) == [0, 0, 1]


def test_an_input_held_moves_the_points():
    weights = one_unit(2.0)
    assert len(fixed_points("vanilla", weights, np.linspace(-1, 1, 9)[:, None])) == 3
    found = fixed_points("vanilla", weights, np.linspace(-1, 1, 9)[:, None], [1.0])
    assert len(found) == 1 and found.states.item() > 0.99
    np.testing.assert_allclose(np.tanh(2 * found.states + 1), found.states, atol=1e-12)


def test_what_cannot_be_is_counted_or_refused():
    weights = one_unit(2.0)
    found = fixed_points("vanilla", weights, [[0.9], [np.nan], [np.inf]], box=[[0.5], [1.0]])
    assert (found.not_finite, found.searched, len(found)) == (2, 3, 1)
    assert found.converged == pytest.approx(1 / 3)
    # Beyond the box there is another.
    found = fixed_points("vanilla", weights, [[0.9], [-0.9]], box=[[0.5], [1.0]])
    assert (len(found), found.outside, found.converged) == (1, 1, 1.0)
    # No state of it stays where it is.
    away = fixed_points("relu", one_unit(1.0, 1.0), [[0.5], [0.1]])
    assert (len(away), away.converged, away.stuck) == (0, 0.0, 2)
    for starts, box, said in (
        ([[np.nan]], None, "none of 1 starts is finite"),
        ([[1.0, 2.0]], None, r"starts of shape \(1, 2\); give \(start, 1\)"),
        ([[1.0]], [[0.0, 1.0]], "a box of shape"),
    ):
        with pytest.raises(SolspaceError, match=said):
            fixed_points("vanilla", weights, starts, box=box)
    with pytest.raises(SolspaceError, match="give 1 finite numbers"):
        fixed_points("vanilla", weights, [[0.1]], [np.nan])
    with pytest.raises(SolspaceError, match="gru_2layers networks are not computed"):
        fixed_points("gru_2layers", weights, [[0.1]])


# --------------------------------------------------------------------------- properties


@pytest.mark.parametrize("architecture", CELLS)
@settings(max_examples=8)
@given(n=st.integers(1, 7), seed=st.integers(0, 99), gain=st.floats(0.2, 2.0))
def test_points_are_points_and_their_order_and_jacobians_are_right(architecture, n, seed, gain):
    weights = random_weights(architecture, n, seed, gain)
    rng = np.random.default_rng(seed)
    held = rng.normal(size=2)
    size = cell_of(architecture, weights).size
    starts = rng.normal(size=(20, size))
    found = fixed_points(architecture, weights, starts, held)
    points = found.kind < 2
    steady = np.tile(held, (len(found), 1, 1))
    after = run(architecture, weights, steady, found.states)[0][:, 0]
    largest = np.maximum(1, np.abs(found.states).max(axis=1, initial=0))
    off = np.abs(after - found.states).max(axis=1, initial=0)
    assert (off[points] < 1e-10 * largest[points]).all()
    assert (found.q[~points] <= 1e-4).all()
    # Another order, and each start twice: the same points.
    other = fixed_points(architecture, weights, rng.permutation(np.tile(starts, (2, 1))), held)
    np.testing.assert_array_equal(other.states, found.states)
    np.testing.assert_array_equal(other.starts, 2 * found.starts)
    # Its Jacobian is that of its step; off the kinks of rectified units.
    x = rng.normal(size=size)
    cell = cell_of(architecture, weights, held)
    h = 1e-6 * np.eye(size)
    states = np.concatenate([x + h, x - h])
    moved = run(architecture, weights, np.tile(held, (2 * size, 1, 1)), states)[0][:, 0]
    numerical = (moved[:size] - moved[size:]).T / 2e-6
    np.testing.assert_allclose(jacobian(cell, x), numerical, atol=1e-7)
    for state, values, right, left in zip(
        found.states, found.eigenvalues, found.right, found.left, strict=True
    ):
        own = jacobian(cell, state)
        np.testing.assert_allclose(own @ right, right * values, atol=1e-9)
        if np.isfinite(left).all() and np.abs(left).max() < 1e3:
            np.testing.assert_allclose(left.T @ own, values[:, None] * left.T, atol=1e-6)


# --------------------------------------------------------------------------- inputs and starts


def test_inputs_that_trials_hold_have_names():
    found = constant_inputs("delayed_discrimination", held=5)
    assert found.names[0] == "silence" and "f2=10" in found.names
    assert found.epochs[found.names.index("f1=4")] == "f1"
    assert constant_inputs("interval_reproduction").epochs[0]
    own = constant_inputs("interval_reproduction", own={"both": [1, 1]})
    assert own.names == ("both",) and own.values.tolist() == [[1, 1]]
    contexts = constant_inputs("context_integration")
    assert contexts.names == ("silence", "context 1", "context 2")
    np.testing.assert_allclose(contexts.values[1:, 2:], 0.1 * np.eye(2))
    with pytest.raises(SolspaceError, match="give 2 finite numbers, one for each input"):
        constant_inputs("interval_reproduction", own={"both": [1]})
    with pytest.raises(SolspaceError, match="held=0; give 1 or more"):
        constant_inputs("interval_reproduction", held=0)


def test_starts_are_states_of_trajectories_and_noisy_copies():
    weights = random_weights("gru", 5, 0, 1.0)
    inputs = np.random.default_rng(0).normal(size=(3, 10, 2)).astype(np.float32)
    starts, box = starts_of("gru", weights, inputs, count=12)
    states = run("gru", weights, inputs)[0].reshape(-1, 5)
    near = np.abs(states - starts[:, None]).max(axis=2).min(axis=1)
    assert (near[::2] == 0).all() and (near[1::2] > 0).all() and near.max() < 1
    np.testing.assert_array_equal(box, [states.min(axis=0), states.max(axis=0)])
    again = starts_of("gru", weights, inputs, count=12)
    np.testing.assert_array_equal(again.states, starts)
    assert len(starts_of("gru", weights, inputs, count=100).states) == 100
    with pytest.raises(SolspaceError, match="0 starts with noise"):
        starts_of("gru", weights, inputs, count=0)


def test_trials_go_on_under_the_input_until_slow_networks_are_there():
    slow = one_unit(2.0) | {"alpha": np.array(0.01)}
    inputs = np.ones((2, 3, 1), np.float32)
    assert starts_of("leaky", slow, inputs).box.max() < 0.1
    starts, box = starts_of("leaky", slow, inputs, [0.0])
    assert box.max() == pytest.approx(0.9575, abs=5e-3)
    found = fixed_points("leaky", slow, starts, box=box)
    assert [KINDS[k] for k in found.kind] == ["stable", "saddle"]


def test_a_task_may_say_which_inputs_it_holds():
    task = dataclasses.replace(
        get_task("interval_reproduction"), constant_inputs=lambda: {"both": [1.0, 1.0]}
    )
    found = constant_inputs(task)
    assert found.names == ("silence", "both") and found.values.tolist() == [[0, 0], [1, 1]]
    with pytest.raises(SolspaceError, match=r"input 'both' is 1\.0; give 2 finite numbers"):
        constant_inputs(dataclasses.replace(task, constant_inputs=lambda: {"both": 1.0}))


# --------------------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def population():
    networks = {f"n{i}": random_weights("gru", 4 + i, i, gain) for i, gain in enumerate((0.5, 2.5))}
    return import_networks("delayed_discrimination", "gru", networks)


def test_a_store_gives_what_the_dataset_gives_and_check_finds_what_is_at_odds(tmp_path, population):
    whole = find_fixed_points(population, starts=24)
    path = str(tmp_path / "s.zarr")
    add_population(path, population, shard_size=1)
    run_stage(path, "fixed_points", options={"starts": 24})
    group = "delayed_discrimination/gru/fixed_points"
    table = xr.open_zarr(path, group=group).load()
    for name in ("stable_points", "fixed_point_state", "fixed_point_q", "eigenvalue_real",
                 "left_eigenvector_real", "starts_converged"):  # fmt: skip
        np.testing.assert_array_equal(table[name].values, whole[name].values)
    lazy = find_fixed_points(population.chunk(network=1), starts=24)
    assert lazy.stable_points.chunks is not None
    np.testing.assert_array_equal(lazy.fixed_point_kind.compute(), whole.fixed_point_kind)
    assert check_store(path) == []
    for name, at, value, said in (
        ("saddle_points", (0, 0), 7, "counts of fixed points are not those"),
        ("fixed_point_unstable", (0, 0, 0), 3, "is not the number of eigenvalues over 1"),
    ):
        array = zarr.open_group(path, mode="r+")[f"{group}/{name}"]
        kept = array[:]
        array[at] = value
        assert any(said in fault for fault in check_store(path))
        array[:] = kept
    # What is stored is a point of the network, past the padding of the smaller one.
    weights = network_weights(population, 0)
    states = whole.fixed_point_state.values[0, 0]
    states = states[whole.fixed_point_kind.values[0, 0] >= 0][:, :4]
    after = run("gru", weights, np.zeros((len(states), 1, 2)), states)[0][:, 0]
    np.testing.assert_allclose(after, states, atol=1e-9)
    assert "silence" in fixed_points_table(whole)


def test_networks_that_run_away_and_numbers_that_cannot_be(population):
    runs_away = random_weights("relu", 4, 0, 1.0)
    runs_away["weight_hh"] = np.full((1, 4, 4), 1e30)
    runs_away["bias_hh"] = np.ones((1, 4))
    ds = import_networks("delayed_discrimination", "relu", {"away": runs_away})
    found = find_fixed_points(ds, starts=200)
    assert found.starts_not_finite.item() > 0 and found.status_fixed_points.item() == 1
    with pytest.raises(SolspaceError, match="give 1 or more starts"):
        find_fixed_points(population, starts=0)


def test_the_page_runs(monkeypatch, capsys):
    """docs/fixed_points.md from top to bottom."""
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for block in python_blocks("docs/fixed_points.md"):
        exec(compile(block, "docs/fixed_points.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "a1:f1=3points" in printed and "saddle" in printed and "'silence', 'f1=2'" in printed


def test_a_task_of_other_inputs_is_refused():
    weights = random_weights("vanilla", 5, 0, 1.0)
    ds = import_networks("interval_reproduction", "vanilla", {"mine": weights})
    message = "2 inputs: ready, set; task 'context_integration' has 4: stream_1"
    for stage in (find_fixed_points, record):
        with pytest.raises(SolspaceError, match=message):
            stage(ds, task="context_integration")
