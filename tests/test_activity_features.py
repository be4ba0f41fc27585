"""Features of whole recordings, and of networks fitted to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import SolspaceError, extract_features, import_networks, networks, record
from solspace.features import FeatureError, compute_features, feature_table, make_recording
from solspace.features.cholesky import factor_and_solve, solve_again
from solspace.features.columns import columns_of
from solspace.features.fit import fit_map, fit_network
from solspace.features.gated import column_pairs, fit_gates, gru_step, lstm_step
from solspace.networks.vectors import LANES
from solspace.tasks import get_task

TASKS = ("interval_reproduction", "delayed_discrimination", "interval_discrimination")


def geometry_of(task_name, names=None):
    """Columns of features of the whole recording, or of some of them by name."""
    return [
        column.name
        for column in columns_of(get_task(task_name))
        if column.feature.family not in ("published", "fitted")
        and (names is None or column.feature.name in names)
    ]


def compute(task_name, activity, names=None, like=None):
    """Columns by name; the output is made of the activity, or of another's."""
    trials = get_task(task_name).recorded_trials()
    output = (activity if like is None else like)[..., :1].mean(-1, keepdims=True)
    return compute_features(
        task_name, activity, trials.epoch, trials.parameters, geometry_of(task_name, names),
        output=output, input=trials.input, target=trials.target,
    )  # fmt: skip


def smooth(task_name, units, seed):
    """Activity of no network that moves smoothly, and differs with the trial."""
    trials = get_task(task_name).recorded_trials()
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(4, units))
    drive = np.concatenate([trials.input, np.cumsum(trials.input, axis=1) / 20], axis=-1)
    slow = np.zeros((*trials.epoch.shape, 4))
    for t in range(1, slow.shape[1]):
        slow[:, t] = 0.93 * slow[:, t - 1] + 0.1 * drive[:, t - 1] + 0.02 * np.sin(t / 7)
    return np.tanh(slow @ mix + rng.normal(size=units) * 0.1)


@pytest.mark.parametrize("task_name", TASKS)
def test_features_do_not_depend_on_order_or_scale(task_name):
    one = smooth(task_name, 7, 1)
    order = np.random.default_rng(0).permutation(7)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))
    value = compute(task_name, one)
    assert np.isfinite(list(value.values())).all()
    # The same behaviour for all that are the same network.
    shuffled = compute(task_name, one[..., order], like=one)
    assert shuffled == pytest.approx(value, rel=1e-5, abs=1e-5)
    for change in (one * 3, one @ rotation + 1):
        same = compute(task_name, change, like=one)
        if change[0, 0, 0] == one[0, 0, 0] * 3:
            assert same["scale"] == pytest.approx(value["scale"] + np.log10(3))
        del same["scale"]
        expected = {name: v for name, v in value.items() if name != "scale"}
        assert same == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_every_task_has_the_same_columns_whatever_is_recorded():
    for name in TASKS:
        table = feature_table(name)
        assert len(set(table.name)) == len(table.name) > 100
        assert all(table.units) and all(table.family) and all(table.source)
        columns = compute(name, smooth(name, 4, 3))
        own = [
            n
            for n, f in zip(table.name, table.family, strict=True)
            if f not in ("published", "fitted")
        ]
        assert list(columns) == own


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_circle_turns_steadily_and_comes_back(seed):
    task = get_task("interval_reproduction")
    trials = task.recorded_trials()
    plane, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 2)))
    turn = 2 * np.pi / 12
    angle = turn * np.arange(trials.epoch.shape[1])
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1) @ plane.T
    value = compute(
        task.name,
        np.repeat(circle[None], len(trials.epoch), axis=0),
        ["turning", "recurrence", "eigenvalue", "participation_ratio", "speed_profile"],
    )
    assert value["turning_ready_set"] == pytest.approx(turn, rel=1e-6)
    assert value["recurrence_ready_set_time"] in (12, 24, 36)
    assert value["recurrence_ready_set_distance"] < 1e-6
    assert value["eigenvalue_ready_set_modulus1"] == pytest.approx(1, abs=1e-3)
    assert value["eigenvalue_ready_set_angle1"] == pytest.approx(turn, abs=1e-3)
    assert value["participation_ratio_all"] == pytest.approx(2, abs=0.05)
    assert value["speed_profile_set_go"] == pytest.approx(0, abs=1e-6)


def test_trajectories_of_longer_intervals_that_run_slower_are_seen_to():
    task = get_task("interval_reproduction")
    trials = task.recorded_trials()
    time = np.arange(trials.epoch.shape[1])
    t_in = trials.parameters["t_in"]
    since = np.clip(time - (10 + t_in[:, None]), 0, None)
    phase = np.minimum(since / (t_in[:, None] - 5), 1.2)
    scaled = np.stack([np.cos(3 * phase), np.sin(3 * phase), phase], axis=-1)
    steady = np.minimum(since / 40, 1.2)
    same = np.stack([np.cos(3 * steady), np.sin(3 * steady), steady], axis=-1)
    names = ["scaling", "kinet_speed", "kinet_direction"]
    slower, equal = (compute(task.name, activity, names) for activity in (scaled, same))
    assert slower["scaling_set_go_speed"] < -0.3 and abs(equal["scaling_set_go_speed"]) < 0.05
    assert slower["kinet_speed_set_go"] > 1.05  # of a longer interval: more steps
    assert equal["kinet_speed_set_go"] == pytest.approx(1, abs=0.02)
    assert slower["kinet_direction_set_go"] > 0.95 and equal["kinet_direction_set_go"] > 0.95


def test_a_still_network_has_no_features_of_its_recording():
    with pytest.raises(FeatureError, match=r"\d+ features of the whole recording.*does not move"):
        compute("delayed_discrimination", np.ones((72, 60, 4)))


def test_another_recording_is_refused():
    task = get_task("interval_reproduction")
    trials = task.recorded_trials()
    activity = np.zeros((31, 150, 3))
    rest = (np.zeros((31, 150, 1)), trials.input, trials.target)
    with pytest.raises(SolspaceError, match="epochs 0 to 6"):
        make_recording(task, activity, *rest, trials.epoch + 3, trials.parameters)
    with pytest.raises(SolspaceError, match="no parameter 't_in'"):
        make_recording(task, activity, *rest, trials.epoch, {})
    with pytest.raises(SolspaceError, match="give \\(trial, time, unit\\)"):
        make_recording(task, activity[:4], *rest, trials.epoch, trials.parameters)
    shapes = networks.parameter_shapes("vanilla", 4, 2, 1)
    mine = {name: np.ones(shape) for name, shape in shapes.items()}
    ds = record(import_networks(task, "vanilla", {"mine": mine}))
    ds.epoch.attrs["flag_meanings"] = "quiet go"
    with pytest.raises(SolspaceError, match="a recording with epochs quiet, go"):
        extract_features(ds)
    with pytest.raises(SolspaceError, match="solspace record STORE"):
        extract_features(ds.drop_vars("activity"))
    with pytest.raises(SolspaceError, match=r"no 'output'.*solspace record STORE"):
        extract_features(ds.drop_vars("output"))


def test_a_fitted_network_is_the_network_it_is_fitted_to():
    rng = np.random.default_rng(5)
    task = get_task("delayed_discrimination")
    shapes = networks.parameter_shapes("vanilla", 8, 2, 1)
    true = {name: rng.normal(0, 0.35, shape) for name, shape in shapes.items()}
    trials = task.recorded_trials()
    activity, output = networks.run("vanilla", true, trials.input / 10)
    fitted = fit_network(activity, output, trials.input / 10)
    beyond = task.extrapolation_trials().input[::200] / 10
    expected = networks.run("vanilla", true, beyond)[1]
    found = networks.run("vanilla", fitted.weights, beyond)[1]
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert fitted.error < 0.01
    order = rng.permutation(8)
    again = fit_network(activity[..., order], output, trials.input / 10)
    np.testing.assert_allclose(networks.run("vanilla", again.weights, beyond)[1], found, atol=1e-3)
    with pytest.raises(SolspaceError, match="between -1 and 1"):
        fit_network(activity * 3, output, trials.input)


@pytest.mark.parametrize("given", [1, 9])
def test_columns_that_come_in_by_size_end_as_if_all_were_there(given):
    """Also where there are more inputs than components."""
    rng = np.random.default_rng(5)
    units, steps, components = 11, 200, 4
    size = np.concatenate([[1.0, 0.2, 0.05, 0.005], np.ones(given + 1)])
    left = rng.normal(size=(steps, len(size))) * size
    left[:, -1] = 1.0
    every, recurrent = np.arange(len(size)), np.array([0, 1, 2, 3, len(size) - 1])
    columns = [every, every, recurrent, np.arange(components, len(size))]
    now = rng.uniform(-0.8, 0.8, (units, steps))
    true = [rng.normal(0, 0.3, (units, len(c))) for c in columns]

    def run(weights):
        drives = [w @ left[:, c].T for w, c in zip(weights, columns, strict=True)]
        return gru_step(np.stack([*drives, now]))[0]

    after = run(true)
    for asked in (None, size):
        found = fit_gates(
            left, np.ones(steps), columns, gru_step, now, after, penalty=1e-9, size=asked
        )
        assert np.sqrt(np.mean((run(found) - after) ** 2)) < 1e-3 * after.std()


@pytest.mark.parametrize("architecture", ["gru", "lstm"])
def test_steps_that_count_twice_are_steps_that_are_there_twice(architecture):
    """And gates take their columns alone: of a GRU one drive is of inputs, one of activity."""
    rng = np.random.default_rng(3)
    units, steps, width = 3, 60, 6
    left = np.concatenate([rng.normal(size=(steps, width - 1)), np.ones((steps, 1))], axis=1)
    every = np.arange(width)
    if architecture == "gru":
        step, columns = gru_step, [every, every, every[[0, 1, 2, 5]], every[3:]]
    else:
        step, columns = lstm_step, [every] * 3
    now = rng.uniform(-0.8, 0.8, (units, steps))
    true = [rng.normal(0, 0.7, (units, len(c))) for c in columns]
    after = step(np.stack([*(t @ left[:, c].T for t, c in zip(true, columns, strict=True)), now]))[
        0
    ]
    times = rng.integers(1, 4, steps)
    once = fit_gates(left, times.astype(float), columns, step, now, after, penalty=1e-6)
    rows = np.repeat(np.arange(steps), times)
    again = fit_gates(
        left[rows], np.ones(len(rows)), columns, step, now[:, rows], after[:, rows], penalty=1e-6
    )
    wrong = [
        step(np.stack([*(w @ left[:, c].T for w, c in zip(found, columns, strict=True)), now]))[0]
        - after
        for found in (once, again)
    ]
    # Steps amplify what sums in another order differ by.
    np.testing.assert_allclose(wrong[0], wrong[1], atol=1e-7)
    assert np.abs(wrong[0]).max() < 0.02 and [w.shape[1] for w in once] == [len(c) for c in columns]


def test_products_of_columns_are_the_lower_triangle_of_what_they_sum_to():
    left = np.random.default_rng(0).normal(size=(40, 7))
    rows, columns = np.tril_indices(7)
    np.testing.assert_allclose(
        column_pairs(left).sum(axis=0), (left.T @ left)[rows, columns], rtol=1e-12
    )


@pytest.mark.parametrize("architecture", ["gru", "lstm"])
def test_a_gated_network_is_fitted_step_by_step(architecture):
    rng = np.random.default_rng(7)
    trials = get_task("interval_reproduction").recorded_trials()
    shapes = networks.parameter_shapes(architecture, 8, 2, 1)
    true = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    states, output = networks.run(architecture, true, trials.input)
    activity = states[..., :8]
    cell_state = states[..., 8:] if architecture == "lstm" else None
    found = fit_network(
        activity, output, trials.input, architecture=architecture, cell_state=cell_state
    )
    assert found.architecture == architecture
    assert found.error < 0.02
    # Where nothing was recorded: later Sets, and long silences.
    beyond = np.zeros((4, 300, 2))
    beyond[:, 5:10, 0] = 1
    for row, at in enumerate([60, 90, 120, 200]):
        beyond[row, at : at + 5, 1] = 1
    expected = networks.run(architecture, true, beyond)[1]
    wrong = networks.run(architecture, found.weights, beyond)[1] - expected
    assert np.sqrt(np.mean(wrong**2)) < 0.05 * expected.std()
    order = rng.permutation(8)
    again = fit_network(
        activity[..., order], output, trials.input, architecture=architecture,
        cell_state=None if cell_state is None else cell_state[..., order],
    )  # fmt: skip
    assert again.error == pytest.approx(found.error, abs=0.01)


def test_an_lstm_without_its_cell_state_is_not_fitted_as_one():
    flat = np.zeros((2, 30, 3))
    with pytest.raises(SolspaceError, match="give `cell_state`"):
        fit_network(flat, flat[..., :1], flat[..., :2], architecture="lstm")


def test_the_network_fitted_is_of_the_architecture_recorded():
    rng = np.random.default_rng(2)
    shapes = networks.parameter_shapes("lstm", 6, 2, 1)
    mine = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    ds = record(import_networks("interval_reproduction", "lstm", {"mine": mine}))
    one = extract_features(ds, columns=["fitted_error"]).features
    without = extract_features(ds.drop_vars("cell_state"), columns=["fitted_error"]).features
    assert float(one[0, 0]) < float(without[0, 0])


def test_a_fitted_map_goes_on_round_a_circle():
    angle = np.arange(240) / 8
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)[None]
    start = np.array([np.cos(-1 / 8), np.sin(-1 / 8)])
    fitted = fit_map(circle, start, circle[..., :1], np.zeros((1, 240, 1)))
    states, _ = fitted.run(np.zeros((1, 200, 1)))
    np.testing.assert_allclose(np.linalg.norm(states[0], axis=-1), 1, atol=0.2)


@pytest.mark.parametrize("step", [gru_step, lstm_step], ids=["gru", "lstm"])
def test_derivatives_of_a_gated_step_are_its_differences(step):
    rng = np.random.default_rng(4)
    taken, along = rng.normal(size=(step.gates + 1, 3, 5)), rng.normal(size=(step.gates, 3, 5))

    def moved(by, gate=slice(None, -1), direction=along):
        there = taken.copy()
        there[gate] += by * direction
        return step(there)[0]

    made = step(taken)
    for gate in range(step.gates):
        found = (moved(1e-6, gate, 1.0) - moved(-1e-6, gate, 1.0)) / 2e-6
        np.testing.assert_allclose(made[1 + gate], found, atol=1e-8)
    found = (moved(1e-3) - 2 * moved(0) + moved(-1e-3)) / 1e-6
    bend = step.second_derivative(np.concatenate([taken, along]))
    np.testing.assert_allclose(bend, found, atol=1e-5)


def test_factors_solve_for_another_right_side():
    rng = np.random.default_rng(6)
    n, right = 11, rng.normal(size=(2, 11, LANES))
    left = rng.normal(size=(LANES, n, n))
    matrix = left @ left.swapaxes(1, 2) + np.eye(n)
    a, inverse = np.zeros((n + 1, n, LANES)), np.zeros((n, LANES))
    a[:n] = np.tril(matrix).transpose(1, 2, 0)
    found = np.zeros((2, n, LANES))
    a[n] = right[0]
    factor_and_solve(a, inverse, found[0])
    a[n] = right[1]
    solve_again(a, inverse, found[1])
    expected = np.linalg.solve(matrix, right.transpose(2, 1, 0)).transpose(2, 1, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
