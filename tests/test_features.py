from __future__ import annotations

import csv
import dataclasses
from collections import defaultdict

import numpy as np
import pytest
from conftest import reference_path
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import networks
from solspace.errors import SolspaceError
from solspace.features import (
    FeatureError,
    compute_features,
    curvature,
    extract_features,
    feature,
    feature_table,
    features_of,
    mean_speed,
    path_length,
    speed_change,
    unregister,
)
from solspace.population import import_networks
from solspace.reduction.support_vector import margin
from solspace.simulation.stage import record
from solspace.tasks import get_task, task_names

TASKS = [name for name in task_names() if get_task(name).feature_epochs is not None]
# Below this, a change from one step to the next is the rounding of float32 itself.
FLOAT32 = float(np.finfo(np.float32).eps)


def recorded(population: str, network: str):
    task_name, architecture = population.split("/")
    task = get_task(task_name)
    path = reference_path("networks", population, network, "weights.pt")
    weights = networks.from_state_dict(
        networks.read_state_dict(str(path)),
        architecture,
        inputs=len(task.inputs),
        outputs=len(task.outputs),
    )
    trials = task.recorded_trials()
    activity, _ = networks.run(architecture, weights, trials.input)
    return task, activity.astype(np.float32), trials


def synthetic(task_name: str, units: int, seed: int):
    """Smooth activity of no network, on the task's recorded trials."""
    task = get_task(task_name)
    trials = task.recorded_trials()
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(*trials.epoch.shape, units)) * 0.05
    return task, np.cumsum(steps, axis=1), trials


def published_of(task):
    return [f.name for f in features_of(task) if f.family == "published"]


def test_features_agree_with_the_published_ones():
    table = reference_path("features.csv")
    expected: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    with open(table) as file:
        for row in csv.DictReader(file):
            if row["population"].split("/")[0] in TASKS and row["feature"] != "validation_mse":
                key = row["population"], f"{row['hidden_size']}_i{row['instance']}"
                expected[key][row["feature"]] = float(row["value"])
    assert expected
    wrong, count = [], 0
    for (population, network), values in expected.items():
        task, activity, trials = recorded(population, network)
        found = compute_features(task, activity, trials.epoch, trials.parameters)
        assert set(found) == set(values)
        for name, value in found.items():
            count += 1
            # The published speed at rest is the rounding noise of their simulation.
            floor = FLOAT32 if name == "speed_end" else 0.0
            if abs(value - values[name]) > 0.01 * abs(values[name]) + floor:
                wrong.append(f"{population}/{network} {name}: {value} for {values[name]}")
    assert len(wrong) <= 0.01 * count, "\n".join(wrong)


def test_table_describes_every_feature():
    for name in TASKS:
        table = feature_table(name)
        published = [n for n, f in zip(table.name, table.family, strict=True) if f == "published"]
        assert published == sorted(published) == table.name[: len(published)]
        assert len(set(table.name)) == len(table.name) == len(table.units)
        assert all(table.units) and all(table.source) and all(table.description)


@pytest.mark.parametrize("task_name", TASKS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_order_of_units_does_not_matter(task_name, seed):
    task, activity, trials = synthetic(task_name, units=6, seed=seed)
    order = np.random.default_rng(seed).permutation(6)
    names = [name for name in published_of(task) if name != "svm"]
    one = compute_features(task, activity, trials.epoch, trials.parameters, names)
    other = compute_features(task, activity[..., order], trials.epoch, trials.parameters, names)
    assert one == pytest.approx(other, rel=1e-7, abs=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), gap=st.floats(0.5, 5.0))
def test_margin_is_symmetric_and_blind_to_units(seed, gap):
    rng = np.random.default_rng(seed)
    these, those = rng.normal(size=(12, 4)), rng.normal(size=(9, 4))
    those[:, 0] += gap
    width = margin(these, those)
    assert width == pytest.approx(margin(those, these), rel=1e-2, abs=1e-6)
    order, scale = rng.permutation(4), rng.uniform(0.1, 10, size=4)
    other = margin(these[:, order] * scale, those[:, order] * scale)
    assert width == pytest.approx(other, rel=1e-2, abs=1e-6)


def test_margin_of_sets_that_cannot_be_separated_is_zero():
    inside, outside = np.zeros((1, 2)), np.array([[1, 0], [-1, 1], [-1, -1.0]])
    assert margin(inside, outside) == 0


@pytest.mark.parametrize("task_name", TASKS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 100))
def test_scale_changes_speed_and_curvature_only(task_name, seed, scale):
    task, activity, trials = synthetic(task_name, units=5, seed=seed)
    names = [name for name in published_of(task) if name != "svm"]
    one = compute_features(task, activity, trials.epoch, trials.parameters, names)
    other = compute_features(task, activity * scale, trials.epoch, trials.parameters, names)
    for name in names:
        expected = one[name]
        if name == "speed_end":
            expected *= scale
        elif name.startswith("curvature"):
            expected -= np.log10(scale)
        assert other[name] == pytest.approx(expected, rel=1e-7, abs=1e-9), name


@pytest.mark.parametrize("task_name", TASKS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_rotation_and_shift_change_nothing_geometric(task_name, seed):
    task, activity, trials = synthetic(task_name, units=5, seed=seed)
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    # Correlation and margin look at the units one by one, so a rotation may change them.
    names = [name for name in published_of(task) if name not in ("svm", "corr")]
    moved = activity @ turn + rng.normal(size=5)
    one = compute_features(task, activity, trials.epoch, trials.parameters, names)
    other = compute_features(task, moved, trials.epoch, trials.parameters, names)
    assert one == pytest.approx(other, rel=1e-6, abs=1e-9)


@settings(max_examples=50)
@given(radius=st.floats(0.01, 100), units=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_curvature_of_a_circle_is_one_over_its_radius(radius, units, seed):
    turn = np.linspace(0, 3, 400)
    plane, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(units, 2)))
    circle = radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1) @ plane.T
    # The ends have one-sided differences, which are less exact.
    np.testing.assert_allclose(curvature(circle)[2:-2], 1 / radius, rtol=1e-3)


def test_a_rest_has_no_curvature_and_is_left_out():
    turn = np.concatenate([np.linspace(0, 3, 100), np.full(20, 3.0)])
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    assert len(curvature(circle)) == 100
    with pytest.raises(FeatureError, match="does not move"):
        curvature(np.ones((10, 3)))


@settings(max_examples=50)
@given(
    steps=st.integers(2, 40), units=st.integers(1, 6), size=st.floats(1e-3, 1e3), back=st.booleans()
)
def test_steady_motion(steps, units, size, back):
    line = np.arange(steps, dtype=float)[:, None] * np.full(units, size)
    line = line[::-1] if back else line
    assert mean_speed(line) == pytest.approx(size)
    assert path_length(line) == pytest.approx((steps - 1) * size * np.sqrt(units))
    if steps >= 5:
        assert speed_change(line) == pytest.approx(1)


def test_what_cannot_be_computed_says_why():
    task = get_task("interval_reproduction")
    trials = task.recorded_trials()
    still = np.ones((*trials.epoch.shape, 4))
    for name, reason in {
        "angle": "has no direction",
        "corr": "has no direction",
        "aspect_ratio": "length of the last stretch is zero",
        "curvature_max": "does not move",
        "epoch1_speed_ratio": "speed at its start is zero",
        "first_pc": "variance of the activity is zero",
        "speed_ratio": "speed in the second interval is zero",
        "speed_vs_length": "length of the shortest stretch is zero",
    }.items():
        with pytest.raises(FeatureError, match=f"'{name}' cannot be computed.*{reason}"):
            compute_features(task, still, trials.epoch, trials.parameters, [name])
    assert compute_features(task, still, trials.epoch, trials.parameters, ["speed_end"]) == {
        "speed_end": 0.0
    }


def test_bad_input_is_refused_by_name():
    task, activity, trials = synthetic("interval_reproduction", units=3, seed=0)
    padded = activity.copy()
    padded[..., -1] = np.nan
    with pytest.raises(FeatureError, match="padding"):
        compute_features(task, padded, trials.epoch, trials.parameters)
    with pytest.raises(SolspaceError, match="no feature 'angel'; features: angle"):
        compute_features(task, activity, trials.epoch, trials.parameters, ["angel"])
    with pytest.raises(SolspaceError, match=r"\(150, 3\).*give \(trial, time, unit\)"):
        compute_features(task, activity[0], trials.epoch, trials.parameters)
    with pytest.raises(SolspaceError, match="no trial has t_in = 50"):
        compute_features(task, activity[:5], trials.epoch[:5], {"t_in": np.arange(20, 25)})
    with pytest.raises(SolspaceError, match="no parameter 't_in'"):
        compute_features(task, activity, trials.epoch, {"t1": np.arange(31)})
    with pytest.raises(SolspaceError, match="has no step of epoch 2"):
        compute_features(task, activity, np.zeros_like(trials.epoch), trials.parameters)
    bare = dataclasses.replace(task, name="bare", feature_epochs=None)
    with pytest.raises(SolspaceError, match="'bare' has no feature_epochs"):
        features_of(bare)


def test_a_feature_of_ones_own():
    @feature(name="range", units="activity", source="here")
    def span(activity):
        """Largest activity minus smallest."""
        return activity.max() - activity.min()

    try:
        task, activity, trials = synthetic("interval_reproduction", units=3, seed=1)
        found = compute_features(task, activity, trials.epoch, trials.parameters)
        assert found["range"] == pytest.approx(np.ptp(activity))
        assert "range" in feature_table(task).name

        @feature(name="range", units="activity", source="here")
        def other(epoch1):
            """Another one of that name."""
            return 0.0

        with pytest.raises(SolspaceError, match=r"two features .* are named 'range'"):
            feature_table(task)
    finally:
        unregister("range")
    with pytest.raises(SolspaceError, match="no feature 'range'"):
        unregister("range")
    with pytest.raises(SolspaceError, match="no docstring"):
        feature(name="mute", units="1", source="here")(lambda activity: 0.0)


@pytest.mark.parametrize("architecture", ("vanilla", "gru", "lstm"))
def test_features_of_a_population(architecture):
    task = get_task("interval_reproduction")
    rng = np.random.default_rng(0)
    sizes = {"a": 12, "b": 10, "still": 5}
    given = {}
    for name, size in sizes.items():
        shapes = networks.parameter_shapes(architecture, size, inputs=2, outputs=1)
        # A gain at which activity does not come to rest, where features would be undefined.
        gain = 0.0 if name == "still" else 3.0
        given[name] = {
            key: (gain * rng.normal(size=shape)).astype("f4") for key, shape in shapes.items()
        }
    recorded = record(import_networks(task, architecture, given))
    with pytest.warns(UserWarning, match="1 of 3 networks failed in features"):
        ds = extract_features(recorded)
    assert ds.features.dims == ("network", "feature")
    assert list(ds.feature.values) == feature_table(task).name
    assert list(ds.feature_family.values) == feature_table(task).family
    assert ds.features.sel(feature="angle").notnull().values.tolist() == [True, True, False]
    assert ds.features.sel(feature="speed_end").values[2] == 0
    assert ds.status_features.values.tolist() == [1, 1, 2]
    assert "'angle' cannot be computed" in ds.message_features.values[2]
    assert "features of the whole recording cannot be" in ds.message_features.values[2]
    states, _ = networks.run(architecture, given["b"], recorded.input.values)
    trials = task.recorded_trials()
    states = states.astype("f4")
    alone = compute_features(
        task, states[..., :10], trials.epoch, trials.parameters,
        cell_state=states[..., 10:] if architecture == "lstm" else None,
    )  # fmt: skip
    published = ds.features.sel(feature=ds.feature_family == "published")
    assert published.values[1] == pytest.approx(list(alone.values()))
    with pytest.raises(SolspaceError, match=r"no 'activity'.*solspace record"):
        extract_features(recorded.drop_vars("activity"))


def test_infinite_values_are_refused():
    @feature(name="endless", units="1", source="here")
    def endless(activity):
        """Infinity."""
        return np.inf

    try:
        task, activity, trials = synthetic("interval_reproduction", units=3, seed=1)
        with pytest.raises(FeatureError, match=r"'endless' .* came out as inf"):
            compute_features(task, activity, trials.epoch, trials.parameters, ["endless"])
    finally:
        unregister("endless")
