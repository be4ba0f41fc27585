"""Two neurons: the ODE, training, everything a network can do, and the stages over a store."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from conftest import reference_path
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from solspace import SolspaceError, check_store, describe, new_population, reduce, run_stage, train
from solspace.cli import main
from solspace.run.populations import create_population
from solspace.two_neuron.dynamics import (
    LANES,
    final_states,
    loss_and_gradient,
    loss_of,
    trajectories,
    velocity,
)
from solspace.two_neuron.objects import _LONGEST as LONGEST
from solspace.two_neuron.objects import dynamical_objects, fixed_points, limit_cycles
from solspace.two_neuron.stage import planar_population, representatives, weights_of
from solspace.two_neuron.training import descend, initial_weights

GROUP = "two_neuron/planar"
weights = arrays(float, (2, 2), elements=st.floats(-2.5, 2.5).map(lambda x: round(x, 3)))
few = settings(max_examples=25)


def exact(w, start=(1.0, 0.0), duration=10.0):
    from scipy.integrate import solve_ivp

    found = solve_ivp(
        lambda t, x: -x + w @ np.tanh(x),
        (0, duration),
        start,
        method="DOP853",
        rtol=1e-10,
        atol=1e-12,
    )
    return found.y[:, -1]


# --------------------------------------------------------------------------- the ODE


@few
@given(weights)
def test_the_final_state_is_that_of_a_tight_solver(w):
    np.testing.assert_allclose(final_states(w)[0], exact(w), atol=1e-6)


@few
@given(weights)
def test_the_gradient_is_that_of_small_changes(w):
    loss, gradient = loss_and_gradient(w)
    np.testing.assert_allclose(loss, loss_of(w), rtol=1e-9)
    # Near a stable manifold x(T) turns on changes of 1e-7, so small is small for the gradient; the
    # loss is rounded, so it may be too small. One of three sizes has to be right.
    smallest = 1e-5 / (1 + np.abs(gradient).max())
    apart = []
    for nudge in (smallest, 10 * smallest, 100 * smallest):
        nudges = nudge * np.eye(4).reshape(4, 2, 2)
        slopes = (loss_of(w + nudges) - loss_of(w - nudges)) / (2 * nudge)
        apart.append(np.abs(gradient.ravel() - slopes).max() / (1 + np.abs(slopes).max()))
    assert min(apart) <= 1e-6


def test_networks_do_not_depend_on_their_neighbours():
    w = np.random.default_rng(0).uniform(-2, 2, (2 * LANES + 3, 2, 2))
    together = loss_and_gradient(w)
    for i in (0, 5, LANES, len(w) - 1):
        alone = loss_and_gradient(w[i])
        assert alone[0][0] == together[0][i]
        np.testing.assert_array_equal(alone[1][0], together[1][i])


def test_back_in_time_is_the_way_back():
    w = [[1.5, -0.5], [1.0, 1.0]]
    there = trajectories(w, duration=2.0)[0, -1]
    back = trajectories(w, start=there, duration=-2.0)[0, -1]
    np.testing.assert_allclose(back, [1, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [(np.zeros((3, 2)), r"shape \(3, 2\)"), (np.full((2, 2), np.nan), "network 0 hold NaN")],
)
def test_weights_that_do_not_fit_are_refused(bad, message):
    with pytest.raises(SolspaceError, match=message):
        loss_of(bad)


# --------------------------------------------------------------------------- training


def test_training_is_the_same_however_the_batch_is_split():
    start = np.array([initial_weights(seed) for seed in range(40)])
    recipe = {"learning_rate": 0.035, "target_loss": 1e-4, "max_steps": 60}
    whole = descend(start, **recipe)
    parts = [descend(start[a:b], **recipe) for a, b in ((0, 7), (7, 23), (23, 40))]
    for name in ("weights", "loss", "gradient_steps"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(whole, name), joined)
    np.testing.assert_allclose(whole.loss, loss_of(whole.weights), rtol=1e-9)
    assert ((whole.loss < 1e-4) | (whole.gradient_steps == 60)).all()
    # Adam's first step is the learning rate along each sign of the gradient.
    one = descend(start[:5], learning_rate=0.01, target_loss=0.0, max_steps=1)
    _, gradient = loss_and_gradient(start[:5])
    moved = one.weights - start[:5]
    clear = np.abs(gradient) > 1e-4  # not next to Adam's epsilon
    np.testing.assert_allclose(moved[clear], -0.01 * np.sign(gradient)[clear], atol=1e-5)


# --------------------------------------------------------------------------- objects


@settings(max_examples=40)
@given(weights)
@example(np.array([[0.375, 0.0], [1.0, 1.5]]))  # the first unit does not see the second
def test_fixed_points_are_all_there_is(w):
    points = fixed_points(w)
    states = np.array([point.state for point in points])
    assert np.abs(velocity(w, states)).max() < 1e-9
    if any(point.kind == "other" for point in points):
        return
    # The indices of all fixed points sum to 1, since the flow points inwards far away (Poincare
    # and Hopf): a node or focus counts 1, a saddle -1.
    assert sum(-1 if point.kind == "saddle" else 1 for point in points) == 1
    # The flow is odd: with a state its mirror image.
    for state in states:
        assert np.abs(states + state).max(axis=1).min() < 1e-6
    # No root of a dense search from many starts is missing.
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 2)) * np.abs(w).sum(axis=1)
    for _ in range(40):
        slope = 1 - np.tanh(x) ** 2
        jacobian = w * slope[:, None, :] - np.eye(2)
        with np.errstate(all="ignore"):
            regular = np.abs(np.linalg.det(jacobian)) > 1e-6
            step = np.zeros_like(x)
            step[regular] = np.linalg.solve(jacobian[regular], velocity(w, x[regular])[..., None])[
                ..., 0
            ]
            x = x - np.clip(step, -1, 1)
    settled = x[np.abs(velocity(w, x)).max(axis=1) < 1e-10]
    for state in settled:
        assert np.abs(states - state).max(axis=1).min() < 1e-4


@settings(max_examples=15)
@given(st.floats(1.05, 2.2), st.floats(1.05, 2.2), st.floats(0.3, 2.0), st.floats(-2.0, -0.3))
@example(1.96875, 2.0, 0.609375, -2.0)  # a cycle that is fast in places
@example(1.822265625, 1.3046875, 0.328125, -0.46875)  # one that takes 256 units of time
def test_limit_cycles_close_and_the_flow_ends_on_what_was_found(a, b, c, d):
    w = np.array([[a, d], [c, b]])
    cycles = limit_cycles(w)
    for cycle in cycles:
        end = exact(w, cycle.state, cycle.period)
        np.testing.assert_allclose(end, cycle.state, atol=1e-5)
        assert abs(velocity(w, cycle.state)[0]) < 1e-6
    # Whatever starts somewhere ends at a stable point or on a stable cycle.
    stable = [p.state for p in fixed_points(w) if p.kind.startswith("stable")]
    rings = [
        trajectories(w, start=cycle.state, duration=cycle.period, points=4000)[0]
        for cycle in cycles
        if cycle.kind == "stable"
    ]
    known = np.concatenate([np.array(stable).reshape(-1, 2), *rings])
    if not len(known):  # a cycle slower than the search follows is said to be none that is known
        assert dynamical_objects(w).ending == "undecided"
        way = trajectories(w, duration=400.0, points=4001)[0]
        turned = np.ptp(np.unwrap(np.arctan2(way[:, 1], way[:, 0])))
        assert turned < 2 * np.pi * 400.0 / LONGEST
        return
    starts = np.random.default_rng(0).uniform(-2, 2, (8, 2))
    many = np.broadcast_to(w, (8, 2, 2))
    for end in trajectories(many, start=starts, duration=400.0, points=2)[:, -1]:
        assert np.linalg.norm(known - end, axis=1).min() < 0.05


def test_small_cycles_beyond_a_hopf_bifurcation_have_the_radius_and_period_of_theory():
    # With W = (1 + mu) 1 + rotation, tanh(x) = x - x^3/3 averages to
    # dr/dt = mu r - (1 + mu) r^3 / 4 for small mu.
    mu, omega = 0.01, 1.0
    (cycle,) = limit_cycles([[1 + mu, -omega], [omega, 1 + mu]])
    assert cycle.kind == "stable"
    assert np.hypot(*cycle.state) == pytest.approx(2 * np.sqrt(mu), rel=0.02)
    assert cycle.period == pytest.approx(2 * np.pi, rel=0.02)
    assert cycle.log_multiplier == pytest.approx(-2 * mu * cycle.period, rel=0.05)


def test_networks_that_cannot_cycle_have_none():
    assert limit_cycles([[2.5, 1.0], [0.5, 2.0]]) == []
    assert limit_cycles([[0.9, -2.0], [2.0, 0.9]]) == []


def test_networks_of_every_ending():
    found = {
        name: dynamical_objects(w).ending
        for name, w in {
            "decay_to_origin": [[0.5, -1.0], [1.0, 0.5]],
            "cycle_elsewhere": [[2.0, -1.0], [1.0, 2.0]],
            "point_elsewhere": [[2.0, 0.0], [0.0, 0.5]],
            "point_near_target": [[-0.75, 0.0], [1.35, 1.32]],
            "cycle_through_target": [[1.07, 0.48], [-0.66, 1.31]],
        }.items()
    }
    assert all(name == ending for name, ending in found.items()), found


# --------------------------------------------------------------------------- over a store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("two_neuron") / "small.zarr")
    command = ["--task", "two_neuron", "--networks", "48", "--seed", "3", "--quiet"]
    assert main(["train", path, *command]) == 0
    assert main(["run", path, "--quiet"]) == 0
    return path


def test_a_population_goes_through_its_stages(store):
    ds = xr.open_zarr(store, group=GROUP).load()
    assert check_store(store) == []
    assert ds.weight_hh.dims == ("network", "gate", "unit", "presynaptic_unit")
    assert np.abs(ds.initial_weight_hh).max() <= 1.5
    trained = ds.status_train.values == 1
    assert trained.mean() > 0.6
    assert ((ds.loss.values < 1e-4) == trained).all()
    assert (ds.status_reduce == 1).all()
    assert (ds.solution.values[ds.solution_key.values == ds.solution_key.values[0]] >= 0).all()
    endings = ds.ending.attrs["flag_meanings"].split()
    i = int(np.flatnonzero(ds.n_limit_cycles.values > 0)[0])
    again = dynamical_objects(weights_of(ds)[i])
    assert endings[ds.ending.values[i]] == again.ending
    assert ds.limit_cycle_period.values[i, 0] == np.float32(again.limit_cycles[0].period)
    text = describe(store)
    assert "two_neuron/planar: 48 networks (48 of 2 units)" in text
    assert "features" not in text


@pytest.mark.slow
def test_shards_and_workers_change_nothing(store, tmp_path):
    whole = xr.open_zarr(store, group=GROUP).load()
    ds = new_population("two_neuron", "planar", networks=48, seed=3)
    path = str(tmp_path / "sharded.zarr")
    create_population(path, ds, shard_size=10)
    run_stage(path, "train")
    run_stage(path, "reduce", workers=2)
    sharded = xr.open_zarr(path, group=GROUP).load()
    xr.testing.assert_equal(whole, sharded)


def test_a_stage_goes_on_where_it_was_interrupted(store, tmp_path, monkeypatch):
    import solspace.two_neuron.objects as objects

    path = str(tmp_path / "killed.zarr")
    ds = new_population("two_neuron", "planar", networks=48, seed=3)
    create_population(path, ds, shard_size=16)
    run_stage(path, "train")
    calls = []
    original = objects.dynamical_objects

    def dies(w):
        calls.append(1)
        if len(calls) > 40:
            raise KeyboardInterrupt
        return original(w)

    monkeypatch.setattr(objects, "dynamical_objects", dies)
    with pytest.raises(KeyboardInterrupt):
        run_stage(path, "reduce")
    monkeypatch.undo()
    run_stage(path, "reduce")
    one, other = (xr.open_zarr(p, group=GROUP).load() for p in (store, path))
    xr.testing.assert_equal(one, other)


@pytest.mark.parametrize("stage", ["record", "extrapolate", "verify", "features"])
def test_stages_that_make_no_sense_say_so(store, stage, capsys):
    assert main([stage, store]) == 2
    message = capsys.readouterr().err
    assert "two_neuron/planar" in message and f"{stage} makes no sense for planar" in message
    assert "train, reduce" in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("two_neuron", "vanilla", {}), "no training recipe for architecture 'vanilla'"),
        (("interval_reproduction", "planar", {}), "no training recipe for architecture 'planar'"),
        (("two_neuron", "planar", {"hidden_size": 50}), "has 2 units"),
        (("two_neuron", "planar", {"checkpoints": 3}), "no checkpoints"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(given, message):
    task, architecture, options = given
    with pytest.raises(SolspaceError, match=message):
        new_population(task, architecture, networks=2, **options)


def test_weights_come_in_from_files(tmp_path):
    w = np.array([[[1.07, 0.48], [-0.66, 1.31]], [[0.5, 0.0], [0.0, 0.5]]])
    np.savez(tmp_path / "mine.npz", W=w)
    np.savez(tmp_path / "other.npz", V=w)
    (tmp_path / "text.npy").write_text("no array")
    where = ["--task", "two_neuron", "--architecture", "planar"]
    path = str(tmp_path / "imported.zarr")
    assert main(["import", path, *where, str(tmp_path / "mine.npz")]) == 0
    ds = xr.open_zarr(path, group=GROUP).load()
    np.testing.assert_allclose(weights_of(ds), w, atol=1e-7)
    assert ds.name.values.tolist() == ["mine_00000", "mine_00001"]
    assert check_store(path) == []
    for bad in ("other.npz", "text.npy"):
        assert main(["import", str(tmp_path / "no.zarr"), *where, str(tmp_path / bad)]) == 2
    assert not (tmp_path / "no.zarr").exists()


def test_a_store_at_odds_with_itself_is_found(tmp_path):
    import zarr

    path = str(tmp_path / "bad.zarr")
    create_population(path, new_population("two_neuron", "planar", networks=2))
    for stage in ("train", "reduce"):
        run_stage(path, stage)
    group = zarr.open_group(path, path=GROUP, mode="r+")
    group["n_fixed_points"][:] = np.array([7, 7], np.int8)
    assert any("n_fixed_points is 7" in fault for fault in check_store(path))


def test_representatives_are_one_of_each_kind(store):
    ds = xr.open_zarr(store, group=GROUP).load()
    chosen = representatives(ds, endings=["cycle_through_target", "point_near_target"])
    assert chosen.ending.values.tolist() == [1, 0]
    assert (chosen.loss < 1e-4).all()
    with pytest.raises(SolspaceError, match="unknown ending 'nowhere'"):
        representatives(ds, endings=["nowhere"])


# --------------------------------------------------------------------------- published networks


def test_published_networks_are_counted_as_published():
    w = np.load(reference_path("two_neuron_weights.npz"))["W"]
    learned = loss_of(w) < 1e-4
    assert learned.sum() == 7080
    good = w[learned]
    values = np.linalg.eigvals(good - np.eye(2))
    unstable = values.real.max(axis=1) > 0
    rotates = np.abs(values.imag).max(axis=1) > 0
    shares = [(unstable & rotates).mean(), (unstable & ~rotates).mean(), (~unstable).mean()]
    np.testing.assert_allclose(shares, [0.48, 0.51, 0.006], atol=0.005)
    some = reduce(planar_population(good[::100]))
    assert (some.status_reduce == 1).all()
    assert (some.ending != 5).all()  # undecided


def test_our_networks_are_like_the_published_ones():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some do not learn
        ds = train(new_population("two_neuron", "planar", networks=250, seed=5))
    learned = ds.loss.values < 1e-4
    assert learned.mean() > 0.7
    values = np.linalg.eigvals(weights_of(ds)[learned] - np.eye(2))
    rotates = (np.abs(values.imag).max(axis=1) > 0) & (values.real.max(axis=1) > 0)
    assert 0.36 < rotates.mean() < 0.60  # four standard errors around 0.48
