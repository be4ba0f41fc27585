"""What networks settle to: constructed networks, real ones, the label and the stage."""

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

import solspace
from solspace import SolspaceError, add_population, find_attractors, import_networks, run_stage
from solspace.attractors import Attractors, attractor_key, settle_network
from solspace.attractors.settling import Attractor
from solspace.labels import label_network
from solspace.networks import parameter_shapes, run
from solspace.plots import plot_attractors, save
from solspace.store.check import check_store
from solspace.tasks import Silences, get_task, silences_of

ROOT = Path(__file__).resolve().parents[1]
GROUP = "interval_reproduction/vanilla"


def vanilla(weight_hh, bias=None) -> dict[str, np.ndarray]:
    """A network that is nothing but its recurrence, read out as the sum of its units."""
    w = np.atleast_2d(np.asarray(weight_hh, float))
    n = len(w)
    return {
        "weight_ih": np.zeros((1, n, 1)),
        "weight_hh": w[None],
        "bias_ih": np.zeros((1, n)) if bias is None else np.reshape(bias, (1, n)).astype(float),
        "bias_hh": np.zeros((1, n)),
        "weight_out": np.ones((1, n)),
        "bias_out": np.zeros(1),
    }


def rotation(turn: float, gain: float) -> np.ndarray:
    angle = 2 * np.pi * turn
    return gain * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def random_weights(n: int, seed: int, gain: float, architecture="vanilla") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(architecture, n, 2, 1)
    return {name: rng.normal(0, gain / np.sqrt(n), shape) for name, shape in shapes.items()}


# --------------------------------------------------------------------------- constructed networks


def test_a_bistable_unit_keeps_its_sign():
    attractors = Attractors("vanilla", vanilla(2.0))
    settling = attractors.settle([[0.01], [-0.01], [0.9]])
    assert settling.index.tolist() == [0, 1, 0]
    assert [one.kind for one in attractors.found] == ["point", "point"]
    for one in attractors.found:
        np.testing.assert_allclose(np.tanh(2 * one.states), one.states, atol=1e-12)
    # The nearer it starts, the sooner it is there; what was put out on the way is kept.
    assert settling.steps[0] > settling.steps[2]
    assert [len(row) for row in settling.output] == settling.steps.tolist()
    # What is known is known in later calls too.
    again = attractors.settle([[-0.5], [0.5]])
    assert again.index.tolist() == [1, 0] and len(attractors.found) == 2


@pytest.mark.parametrize("turn", [0.41, 0.15, 0.096, 0.05])
def test_a_rotation_is_one_cycle_whose_period_is_that_of_its_winding(turn):
    weights = vanilla(rotation(turn, 1.2))
    attractors = Attractors("vanilla", weights)
    settling = attractors.settle([[0.1, 0.2], [-0.3, 0.05], [0.9, 0.9]])
    assert settling.index.tolist() == [0, 0, 0]
    (cycle,) = attractors.found
    assert cycle.kind == "cycle" and len(cycle.states) == max(2, round(cycle.period))
    states, _ = run("vanilla", weights, np.zeros((1, 20_000, 1)), cycle.states[-1:])
    angle = np.unwrap(np.arctan2(states[0, :, 1], states[0, :, 0]))
    assert cycle.period == pytest.approx(2 * np.pi * 19_999 / (angle[-1] - angle[0]), rel=1e-4)


def test_a_flip_has_period_two_and_its_mirror_image_is_another_cycle():
    attractors = Attractors("vanilla", vanilla(-1.5 * np.eye(2)))
    settling = attractors.settle([[0.2, 0.3], [0.2, -0.3], [-0.5, -0.1]])
    assert settling.index.tolist() == [0, 1, 0]
    assert [round(one.period, 9) for one in attractors.found] == [2, 2]
    assert np.abs(attractors.found[0].output).max() > 1


def slow_rotation(period: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two leaky units that turn slowly: alpha is the step of an Euler integration."""
    w = np.array([[2.0, -2.0], [2.0, 2.0]])
    weights = {**vanilla(w), "alpha": np.array(3.6 / period)}
    return weights, np.array([[0.1, 0.2], [0.8, -0.3]])


@pytest.mark.parametrize("period", [520, 900, 1500])
def test_long_cycles_are_found_and_are_one(period):
    weights, start = slow_rotation(period)
    attractors = Attractors("leaky", weights)
    assert attractors.settle(start).index.tolist() == [0, 0]
    (cycle,) = attractors.found
    assert cycle.kind == "cycle" and 0.5 * period < cycle.period < 2 * period
    # It is back after one period, up to the part of a step it goes beyond.
    steps = int(cycle.period)
    states, _ = run("leaky", weights, np.zeros((1, steps + 1, 1)), cycle.states[-1:])
    part = cycle.period - steps
    back = (1 - part) * states[0, -2] + part * states[0, -1]
    np.testing.assert_allclose(back, cycle.states[-1], atol=1e-3)


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-6])
def test_the_ghost_of_a_saddle_node_is_no_point(gap):
    """At this bias the lower point of a bistable unit has just gone: it is passed, slowly."""
    edge = 2 * np.sqrt(0.5) - np.arctanh(np.sqrt(0.5))
    ghost = Attractors("vanilla", vanilla(2.0, edge + gap))
    settling = ghost.settle([[-0.99], [0.5]])
    assert settling.index.tolist() == [0, 0]
    assert ghost.found[0].states.item() > 0.9
    assert settling.steps[0] > 2 / np.sqrt(gap)  # of order pi over the root
    there = Attractors("vanilla", vanilla(2.0, edge - gap)).settle([[-0.99], [0.5]])
    assert there.index.tolist() == [0, 1]


def test_a_spiral_is_followed_to_its_point_and_not_called_a_cycle():
    for gain, kind in ((0.99, "point"), (0.999, "point"), (0.9999, "unsettled")):
        attractors = Attractors("vanilla", vanilla(rotation(1 / 30, gain)))
        attractors.settle([[0.4, 0.2]])
        assert [one.kind for one in attractors.found] == [kind]
        assert not attractors.found[0].wanders


def test_a_perfect_integrator_holds_every_state_it_is_left_in():
    weights = {**vanilla(np.eye(2)), "weight_hh": np.eye(2)[None]}
    attractors = Attractors("relu", weights)
    assert attractors.settle([[0.2, 0.3], [0.5, 0.1], [0.2, 0.3]]).index.tolist() == [0, 1, 0]
    assert [one.kind for one in attractors.found] == ["point", "point"]


def test_what_runs_away_is_unsettled():
    attractors = Attractors("relu", vanilla(1.5))
    settling = attractors.settle([[0.1], [0.0]])
    assert [attractors.found[i].kind for i in settling.index[:1]] == ["unsettled"]
    assert not attractors.found[settling.index[0]].wanders
    assert settling.steps[0] < 20_000


def test_chaos_is_unsettled_wanders_and_is_one_for_all_that_comes_there():
    weights = random_weights(12, 0, 5.0)
    attractors = Attractors("vanilla", weights)
    start = np.random.default_rng(0).normal(size=(4, 12))
    assert attractors.settle(start).index.tolist() == [0, 0, 0, 0]
    (chaos,) = attractors.found
    assert chaos.kind == "unsettled" and chaos.wanders and np.isnan(chaos.period)
    # What differs by a billionth soon differs wholly, and stays on the set.
    beside = np.concatenate([chaos.states, chaos.states + 1e-9])
    after, _ = run("vanilla", weights, np.zeros((2, 400, 2)), beside)
    assert np.abs(after[0, -1] - after[1, -1]).max() > 0.1
    assert attractors.settle(after[:, -1]).index.tolist() == [0, 0]


# --------------------------------------------------------------------------- properties


@settings(max_examples=12)
@given(
    architecture=st.sampled_from(["vanilla", "gru", "lstm"]),
    seed=st.integers(0, 1000),
    gain=st.sampled_from([0.5, 1.5, 3.0]),
    data=st.data(),
)
def test_order_of_units_changes_nothing(architecture, seed, gain, data):
    n = 6
    weights = random_weights(n, seed, gain, architecture)
    parts = 2 if architecture == "lstm" else 1
    start = np.random.default_rng(seed).uniform(-0.9, 0.9, (5, n * parts))
    order = np.array(data.draw(st.permutations(range(n))))
    permuted = {
        "weight_ih": weights["weight_ih"][:, order],
        "weight_hh": weights["weight_hh"][:, order][:, :, order],
        "bias_ih": weights["bias_ih"][:, order],
        "bias_hh": weights["bias_hh"][:, order],
        "weight_out": weights["weight_out"][:, order],
        "bias_out": weights["bias_out"],
    }
    moved = np.concatenate([part[:, order] for part in np.split(start, parts, axis=1)], axis=1)
    one, other = Attractors(architecture, weights), Attractors(architecture, permuted)
    a, b = one.settle(start), other.settle(moved)
    if any(found.wanders for found in one.found):
        return  # chaos magnifies the rounding, by which the order of sums counts
    np.testing.assert_array_equal(a.index, b.index)
    assert [found.kind for found in one.found] == [found.kind for found in other.found]
    for mine, its in zip(one.found, other.found, strict=True):
        assert mine.period == pytest.approx(its.period, rel=1e-3, nan_ok=True)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 10), gain=st.floats(0.3, 3.0))
def test_points_are_fixed_and_stable_and_cycles_come_back(seed, n, gain):
    weights = random_weights(n, seed, gain)
    start = np.random.default_rng(seed).uniform(-0.9, 0.9, (4, n))
    attractors = Attractors("vanilla", weights)
    settling = attractors.settle(start)
    assert settling.index.min() >= 0 and settling.index.max() == len(attractors.found) - 1
    # Numbered in the order of the conditions that end there first.
    first = list(dict.fromkeys(settling.index.tolist()))
    assert first == sorted(first)
    for one in attractors.found:
        if one.kind == "point":
            after, _ = run("vanilla", weights, np.zeros((1, 500, 2)), one.states + 1e-6)
            np.testing.assert_allclose(after[0, -1], one.states[0], atol=1e-5)
        elif one.kind == "cycle":
            after, _ = run("vanilla", weights, np.zeros((1, 3000, 2)), one.states[-1:])
            off = np.abs(after[0, 100:, None] - one.orbit[None]).max(axis=2).min(axis=1)
            assert off.max() < 0.5 * np.abs(one.orbit - one.orbit.mean(axis=0)).max()
            assert one.period >= 2 - 1e-9


# --------------------------------------------------------------------------- silences


@pytest.mark.parametrize(
    ("task", "numbers"),
    [
        ("interval_reproduction", {"ready": 1, "set": 31}),
        ("interval_discrimination", {"start": 1, "pulse1": 21, "pulse2": 20}),
        ("delayed_discrimination", {"f1": 9, "f2": 72}),
    ],
)
def test_tasks_declare_their_silences(task, numbers):
    silences = silences_of(get_task(task))
    assert {name: silences.after.count(name) for name in numbers} == numbers
    assert len(silences) == sum(numbers.values())
    for given_, start in zip(silences.input, silences.start, strict=True):
        assert not given_[start:].any()


def test_silences_of_a_task_that_declares_none_follow_its_pulses():
    task = dataclasses.replace(get_task("interval_reproduction"), silences=None)
    silences = silences_of(task)
    own = silences_of(get_task("interval_reproduction"))
    assert silences.after == ("pulse_1", *["pulse_2"] * 31)
    np.testing.assert_array_equal(silences.start, own.start)
    np.testing.assert_array_equal(silences.input, own.input)


def test_what_is_settled_to_while_an_input_is_held():
    """A unit that excites itself has two points; pushed hard enough it has one."""
    trials = np.zeros((3, 2, 1), np.float32)
    trials[:, 0, 0] = -5, 5, 5
    held = np.array([[0.0], [0.0], [-5.0]])
    silences = Silences(("free", "free", "pushed"), trials, np.array([1, 1, 1]), {}, held=held)
    task = dataclasses.replace(
        get_task("interval_reproduction"), inputs=("in",), silences=lambda: silences
    )
    weights = vanilla(2.0) | {"weight_ih": np.ones((1, 1, 1))}
    settled = settle_network(task, "vanilla", weights)
    assert settled.index.tolist() == [0, 1, 2]
    states = [one.states.item() for one in settled.found]
    assert states[0] < -0.9 and states[1] > 0.9
    assert states[2] == pytest.approx(np.tanh(2 * states[2] - 5), abs=1e-9)
    assert attractor_key(task, "vanilla", weights) == "a1:free=2points:0|1;pushed=1point:0"
    joined = Silences.joined([silences, silences])
    np.testing.assert_array_equal(joined.held, held)
    with pytest.raises(SolspaceError, match=r"held has shape \(2, 1\), expected \(3, 1\)"):
        dataclasses.replace(silences, held=held[:2])
    with pytest.raises(SolspaceError, match="held has NaN"):
        dataclasses.replace(silences, held=held * np.nan)
    with pytest.raises(SolspaceError, match=r"a constant input \[1, 2\]; give 1 finite numbers"):
        Attractors("vanilla", vanilla(2.0), given=[1, 2])


def test_silences_that_do_not_fit_are_refused():
    task = get_task("interval_reproduction")
    trials = task.recorded_trials()
    steady = dataclasses.replace(trials, input=np.ones_like(trials.input))
    without = dataclasses.replace(task, silences=None, recorded_trials=lambda: steady)
    with pytest.raises(SolspaceError, match="give it `silences`, a function that returns"):
        silences_of(without)
    with pytest.raises(SolspaceError, match=r"start runs from 0 to 9, of 5 steps"):
        Silences(("a", "b"), np.zeros((2, 5, 2), np.float32), np.array([0, 9]), {})
    with pytest.raises(SolspaceError, match="keyed names 'c'"):
        Silences(("a",), np.zeros((1, 5, 2), np.float32), np.array([0]), {}, keyed=("c",))
    wide = Silences(("a",), np.zeros((1, 5, 3), np.float32), np.array([5]), {})
    with pytest.raises(SolspaceError, match="3 input channels, the task has 2: ready, set"):
        solspace.register_task(dataclasses.replace(task, name="wide", silences=lambda: wide))


# --------------------------------------------------------------------------- real networks


@pytest.fixture(scope="module")
def shipped():
    """Delayed discrimination as shipped: one that never cycles, for some f1, for all."""
    ds = xr.open_zarr(ROOT / "stores" / "turner2021.zarr", group="delayed_discrimination/vanilla")
    return ds.isel(network=[6, 9, 15]).load()


def test_memories_of_delayed_discrimination(shipped):
    keys = [
        attractor_key("delayed_discrimination", "vanilla", solspace.network_weights(shipped, i))
        for i in range(3)
    ]
    assert all(key.startswith("a1:f1=") for key in keys)
    found = find_attractors(shipped)
    assert found.attractor_key.values.tolist() == keys
    kinds = found.attractor_kind.values
    for i in range(3):
        number = int((kinds[i] >= 0).sum())
        assert found.attractor_index.values[i].max() == number - 1
        total = sum(
            int(found[name].values[i])
            for name in ("attractor_points", "attractor_cycles", "attractor_unsettled")
        )
        assert total == number
        assert ("motion" in keys[i]) == bool(
            (kinds[i, found.attractor_index.values[i, :9]] > 0).any()
        )


# --------------------------------------------------------------------------- bad input


def test_bad_input_is_said():
    attractors = Attractors("vanilla", vanilla(2.0))
    with pytest.raises(SolspaceError, match=r"states of shape \(1, 2\); give \(condition, 1\)"):
        attractors.settle([[1.0, 2.0]])
    with pytest.raises(SolspaceError, match="NaN or infinity"):
        attractors.settle([[np.nan]])
    with pytest.raises(SolspaceError, match="give 1024 or more steps"):
        Attractors("vanilla", vanilla(2.0), steps=100)
    assert attractors.settle(np.zeros((0, 1))).index.shape == (0,)


# --------------------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def population():
    networks = {f"n{i}": random_weights(8, i, gain) for i, gain in enumerate((0.4, 0.9, 1.6, 2.2))}
    return import_networks("interval_reproduction", "vanilla", networks)


@pytest.mark.slow
def test_a_store_gives_what_the_dataset_gives_and_check_finds_what_is_at_odds(tmp_path, population):
    whole = find_attractors(population)
    for shard_size, where in ((1, {"workers": 2}), (3, {})):
        path = str(tmp_path / f"{shard_size}.zarr")
        add_population(path, population, shard_size=shard_size)
        run_stage(path, "attractors", **where)
        stored = xr.open_zarr(path, group=GROUP).load()
        table = xr.open_zarr(path, group=f"{GROUP}/attractors").load()
        for name in ("attractor_key", "attractor_description", "attractor_points"):
            np.testing.assert_array_equal(stored[name].values, whole[name].values)
        for name in ("attractor_index", "settling_steps", "attractor_kind", "attractor_period"):
            np.testing.assert_array_equal(table[name].values, whole[name].values)
        np.testing.assert_array_equal(table.t_in.values, whole.t_in.values)
        assert table.attractor_key.values.tolist() == whole.attractor_key.values.tolist()
        assert check_store(path) == []
    for name, value, said in (
        ("attractor_key", "a1:ready=motion:0;set=1point:0", "attractor_key is not that of its"),
        ("attractor_points", 7, "attractor_points is not the number"),
    ):
        array = zarr.open_group(path, mode="r+")[f"{GROUP}/{name}"]
        kept = array[:]
        array[0] = value
        assert any(said in fault for fault in check_store(path))
        array[:] = kept
    assert check_store(path) == []


def test_the_label_is_registered_and_solutions_can_follow_it(population):
    whole = solspace.label(find_attractors(population), by="attractor_key")
    assert whole.solution_method == "attractor_key"
    assert whole.solution_key.values.tolist() == whole.attractor_key.values.tolist()
    weights = solspace.network_weights(population, 0)
    assert whole.attractor_key.values[0] == label_network(
        "interval_reproduction", "vanilla", weights, "attractor_key"
    )


def test_lazily_and_again_with_other_silences(population):
    lazy = find_attractors(population.chunk(network=2))
    assert lazy.attractor_key.chunks is not None
    whole = find_attractors(population)
    assert lazy.attractor_key.compute().values.tolist() == whole.attractor_key.values.tolist()
    task = get_task("interval_reproduction")
    only_ready = dataclasses.replace(
        task,
        silences=lambda: Silences.following("ready", task.recorded_trials(), 1),
    )
    again = find_attractors(whole, task=only_ready)
    assert again.sizes["silence"] == 1 and "set" not in again.attractor_key.values[0]


def test_a_network_with_too_many_attractors_is_failed_not_cut(population, monkeypatch):
    one = np.zeros((1, 8))
    many = [Attractor("point", one + i, one[:, :1], 0.0, one, one[:, :1]) for i in range(33)]
    settled = settle_network(
        "interval_reproduction", "vanilla", solspace.network_weights(population, 0)
    )
    monkeypatch.setattr(
        "solspace.attractors.network.settle_network",
        lambda *a, **k: dataclasses.replace(settled, found=many),
    )
    with pytest.warns(UserWarning, match="4 of 4 networks failed in attractors"):
        found = find_attractors(population)
    assert "33 attractors; at most 32" in found.message_attractors.values[0]
    assert (found.attractor_points.values == -1).all() and (found.attractor_key.values == "").all()


def test_a_task_without_silences_is_made_and_refused_where_it_is_asked(tmp_path):
    task = get_task("interval_reproduction")
    trials = task.recorded_trials()
    steady = dataclasses.replace(trials, input=np.ones_like(trials.input))
    solspace.register_task(
        dataclasses.replace(task, name="steady", silences=None, recorded_trials=lambda: steady)
    )
    path = str(tmp_path / "steady.zarr")
    networks = {"mine": random_weights(6, 0, 0.5)}
    add_population(path, import_networks("steady", "vanilla", networks))
    with pytest.raises(SolspaceError, match="'steady' does not say from which moments"):
        run_stage(path, "attractors")


def test_the_page_runs(monkeypatch, capsys):
    """docs/attractors.md from top to bottom."""
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for block in python_blocks("docs/attractors.md"):
        exec(compile(block, "docs/attractors.md", "exec"), names)
    printed = capsys.readouterr().out
    # The picture of three points, and that of three cycles and a point.
    assert "a1:f1=3points" in printed and "a1:f1=1point+motion" in printed
    assert "cycle 14." in printed and "Left alone after f1" in printed


@pytest.mark.slow
def test_the_picture_of_a_network(shipped, tmp_path):
    for i in range(3):
        save(plot_attractors(shipped, i, steps=60), tmp_path / f"{i}", formats=["svg"])
        assert (tmp_path / f"{i}.svg").stat().st_size > 5_000
    with pytest.raises(SolspaceError, match="no silences after 'set'; there are some after f1, f2"):
        plot_attractors(shipped, 0, after="set")
    with pytest.raises(SolspaceError, match="1 steps; give 2 or more"):
        plot_attractors(shipped, 0, steps=1)
    with pytest.raises(SolspaceError, match="do not differ in 'f2'; they differ in f1"):
        plot_attractors(shipped, 0, by="f2")
