"""Challenges given by their input: a family's faults, the stage, measures, kernels, design."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import solspace
from solspace import SolspaceError, run_stage
from solspace.challenging import challenge_table, psychophysical_kernels
from solspace.challenging.stage import challenge_family
from solspace.cli import main
from solspace.design import answers, design, identify
from solspace.design.defining import defining_challenges, named_challenges
from solspace.networks import parameter_shapes, run
from solspace.population import network_weights
from solspace.store.check import check_store
from solspace.tasks import (
    ChallengeMeasure,
    InputChallenge,
    InputChallengeFamily,
    check_task,
    get_task,
    missing,
)
from solspace.tasks.context_challenges import crossing, kernels
from solspace.training.outputs import AskedTrials

TASK = get_task("context_integration")
FAMILY = TASK.challenges()
HEEDS, BLIND = "heeds", "blind"


def gated(blind: bool) -> dict[str, np.ndarray]:
    """One unit a stream, pushed into saturation by the context that does not name it."""
    gate = 0.0 if blind else -60.0
    # What a saturated unit puts out when it is asked, a step after the context.
    shut = 0.0 if blind else 0.8 + 0.2 * np.tanh(0.9)
    return {
        "weight_hh": np.diag([1.0, 1.0])[None] * 0.9,
        "weight_ih": np.array([[[0.5, 0, 0, gate], [0, 0.5, gate, 0]]]),
        "bias_hh": np.zeros((1, 2)),
        "bias_ih": np.zeros((1, 2)),
        "weight_out": np.ones((1, 2)),
        "bias_out": np.array([shut]),
        "alpha": np.array(0.2),
    }


def population(count: int = 6) -> xr.Dataset:
    """Networks with random weights, untrained."""
    rng, mine = np.random.default_rng(0), {}
    for k in range(count):
        shapes = parameter_shapes("leaky", 5 + k, 4, 1)
        mine[f"network_{k}"] = {n: rng.normal(0, 0.4, s) for n, s in shapes.items()} | {
            "alpha": np.array(0.2)
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solspace.import_networks(TASK, "leaky", mine)


@pytest.fixture(scope="module")
def challenged() -> xr.Dataset:
    return solspace.challenge(population())


# --------------------------------------------------------------------------- runs


@pytest.mark.parametrize("architecture", ["vanilla", "relu", "leaky", "leaky_rate", "gru", "lstm"])
def test_outputs_when_asked_are_those_of_the_exact_run(architecture):
    rng, shapes = np.random.default_rng(1), parameter_shapes(architecture, 9, 3, 2)
    weights = {n: rng.normal(0, 0.3, s) for n, s in shapes.items()}
    if "alpha" in weights:
        weights["alpha"] = np.array(0.3)
    trials = rng.normal(size=(37, 30, 3))
    exact = run(architecture, weights, trials)[1][:, 12:15].mean(axis=1)
    # float32, and tanh within 5e-7 at each step.
    found = AskedTrials(trials, (12, 15)).outputs(architecture, weights)
    np.testing.assert_allclose(found, exact, atol=2e-5)
    begun = weights | {"start_activity": np.full(9, 0.5)}
    exact = run(architecture, begun, trials)[1][:, 12:15].mean(axis=1)
    found = AskedTrials(trials, (12, 15)).outputs(architecture, begun)
    np.testing.assert_allclose(found, exact, atol=2e-5)


# --------------------------------------------------------------------------- the stage


def test_outputs_and_measures_are_those_of_the_family(challenged):
    assert (challenged.status_challenge == 1).all()
    assert challenged.challenge_measure.values.tolist() == [m.name for m in FAMILY.measures]
    assert np.isfinite(challenged.challenge_value.values).all()
    assert challenged.attrs["challenge_seed"] == 0
    some = challenged.challenge_output.isel(network=2)
    for k in range(0, len(FAMILY), 60):
        one = FAMILY.challenges[k]
        exact = run("leaky", network_weights(challenged, 2), one.inputs(0))[1]
        exact = exact[:, slice(*one.asked), 0].mean(axis=1)
        np.testing.assert_allclose(some[k, : one.repeats], exact, atol=2e-5)
        assert np.isnan(some[k, one.repeats :]).all()
    table = challenge_table(challenged)
    assert len(table.splitlines()) == 1 + len(FAMILY.measures) and "right_delay_20x" in table


def test_another_seed_is_other_noise_and_no_noise_is_the_same(challenged):
    few = population().isel(network=[1, 4])
    again = solspace.challenge(few)
    np.testing.assert_array_equal(
        again.challenge_output, challenged.challenge_output.isel(network=[1, 4])
    )
    other = solspace.challenge(few, seed=3)
    apart = abs(other.challenge_output - again.challenge_output).max(("network", "repeat"))
    quiet = np.array([not any(one.noise) for one in FAMILY.challenges])
    assert (apart.values[quiet] == 0).all() and (apart.values[~quiet] > 0).all()


def test_a_network_that_heeds_the_context_is_told_from_one_that_does_not():
    with pytest.warns(UserWarning, match="do not do the task"):
        ds = solspace.import_networks(TASK, "leaky", {HEEDS: gated(False), BLIND: gated(True)})
    found = solspace.challenge(ds).challenge_value.to_pandas()
    heeds, blind = found.iloc[0], found.iloc[1]
    assert heeds["right_delay_0x"] > 0.9 and blind["right_delay_0x"] < 0.6
    assert heeds["conflict_cost"] < 0.1 and blind["conflict_cost"] > 0.9
    assert blind["capture"] == pytest.approx(1, abs=1e-3) and heeds["capture"] == 32
    assert blind["kernel_other"] == pytest.approx(0.5, abs=1e-3) and heeds["kernel_other"] < 0.1
    # The memory leaks, so late evidence counts more; it knows no sign.
    assert heeds["kernel_recency"] > 0 and heeds["kernel_centre"] > 20
    assert abs(found["threshold_asymmetry"]).max() < 0.3


def test_a_network_that_blows_up_is_marked_and_not_measured():
    ds = population(3)
    ds["weight_out"].values[1] = np.inf
    with pytest.warns(UserWarning, match="challenge"):
        found = solspace.challenge(ds)
    assert found.status_challenge.values.tolist() == [1, 2, 1]
    assert "holds NaN or infinity" in found.message_challenge.values[1]
    assert np.isnan(found.challenge_value.values[1]).all()
    with pytest.raises(SolspaceError, match="the output is not finite"):
        FAMILY.values(found.challenge_output.values[1])


def test_a_store_is_resumed_and_checked(tmp_path, challenged, capsys):
    store = str(tmp_path / "mine.zarr")
    solspace.add_population(store, population())
    path = "context_integration/leaky"
    run_stage(store, "challenge")
    group = zarr.open(store)[path]
    group["status_challenge"][2:] = 0
    group["challenge_value"][2:] = np.nan
    assert main(["challenge", store, "--quiet"]) == 0
    found = xr.open_zarr(store, group=path).load()
    np.testing.assert_array_equal(found.challenge_value, challenged.challenge_value)
    stored = xr.open_zarr(store, group=f"{path}/challenges").load()
    np.testing.assert_array_equal(stored.challenge_output, challenged.challenge_output)
    assert stored.challenge_context.sel(challenge="coherence 0, context 2, streams +0 +0") == 2
    np.testing.assert_allclose(psychophysical_kernels(stored), psychophysical_kernels(challenged))
    assert check_store(store) == []
    zarr.open(store)[f"{path}/challenges/challenge_output"][0, 0, 0] = np.nan
    assert any("an output is not finite" in fault for fault in check_store(store))
    assert main(["classify", store, "--quiet"]) == 2
    assert "cannot have" in capsys.readouterr().err


def test_tasks_with_pulses_or_none_are_sent_elsewhere():
    with pytest.raises(SolspaceError, match=r"made of pulses.* type `solspace design STORE`"):
        challenge_family(get_task("interval_reproduction"))
    none = dataclasses.replace(TASK, challenges=None)
    with pytest.raises(SolspaceError, match="declares no challenges"):
        solspace.challenge(population(1), task=none)
    with pytest.raises(SolspaceError, match="seed=-1"):
        solspace.challenge(population(1), seed=-1)
    assert "challenge" in missing(none) and "design" in missing(none)
    assert not {"challenge", "design"} & set(missing(TASK))


# --------------------------------------------------------------------------- a family


ONE = InputChallenge("one", "kind", np.ones((9, 4)), (8, 9), noise=(0.1, 0, 0, 0), repeats=3)


def measured(of: Any) -> tuple[ChallengeMeasure, ...]:
    return (ChallengeMeasure("m", "1", "what", ("one",), of),)


@pytest.mark.parametrize(
    ("challenges", "more", "message"),
    [
        ((), {}, "there are none; give at least one"),
        ((ONE, ONE), {}, "two are named 'one'"),
        ((dataclasses.replace(ONE, asked=(8, 10)),), {}, r"asked in steps \(8, 10\)"),
        ((dataclasses.replace(ONE, noise=(0.1,)),), {}, "deviation for each of 4 channels"),
        ((dataclasses.replace(ONE, noise=()),), {}, "given 3 times; give 1"),
        ((dataclasses.replace(ONE, given=np.full((9, 4), np.nan)),), {}, "not finite"),
        ((dataclasses.replace(ONE, given=np.ones(9)),), {}, r"shape \(9,\)"),
        ((dataclasses.replace(ONE, target=2),), {}, "target 2"),
        ((ONE,), {"threshold": -1}, "threshold -1"),
        ((ONE,), {"measures": (ChallengeMeasure("m", "1", "w", ("x",), np.mean),)}, "from 'x'"),
        ((ONE,), {"measures": measured(np.mean) * 2}, "two measures are named 'm'"),
        ((ONE,), {"measures": (ChallengeMeasure("m", "", "w", ("one",), np.mean),)}, "has no name"),
    ],
)  # fmt: skip
def test_a_family_says_what_does_not_fit(challenges, more, message):
    with pytest.raises(SolspaceError, match=message):
        InputChallengeFamily(challenges, **more)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InputChallengeFamily((dataclasses.replace(
            ONE, given=np.ones((9, 2)), noise=(), repeats=1),)), "has 2 inputs, the task 4"),
        (lambda: InputChallengeFamily((ONE,), output=1), "output 1 is read, of 1"),
        (lambda: InputChallengeFamily((dataclasses.replace(
            ONE, given=np.random.default_rng().normal(size=(9, 4))),)), "calls differ in 'one'"),
        (lambda: InputChallengeFamily((ONE,), measured(lambda o: o.mean((-2, -1)) / 0)),
         "measure 'm' is not finite"),
        (lambda: InputChallengeFamily((ONE,), measured(lambda o: o.no)), "no attribute 'no'"),
    ],
)  # fmt: skip
def test_a_task_says_what_of_its_family_does_not_fit(make, message):
    with np.errstate(all="ignore"), pytest.raises(SolspaceError, match=message):
        check_task(dataclasses.replace(TASK, name="mine", challenges=make))


def test_a_task_of_ones_own_has_challenges(challenged):
    mean = measured(lambda output: output.mean(axis=(-2, -1)))
    family = InputChallengeFamily((ONE,), mean)
    mine = check_task(dataclasses.replace(TASK, challenges=lambda: family))
    found = solspace.challenge(challenged, task=mine)
    assert dict(found.challenge_output.sizes) == {"network": 6, "challenge": 1, "repeat": 3}
    np.testing.assert_allclose(
        found.challenge_value[:, 0], found.challenge_output.mean(("challenge", "repeat")), rtol=1e-5
    )


# --------------------------------------------------------------------------- measures


@given(st.integers(1, 2**31), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_kernels_are_odd_and_scale(seed, factor):
    effect = np.random.default_rng(seed).normal(size=(2, 2, 5))
    outputs = np.stack([0.3 - effect, 0.3 + effect], axis=-1).reshape(-1)
    np.testing.assert_allclose(kernels(outputs), effect, atol=1e-12)
    np.testing.assert_allclose(kernels(factor * outputs), factor * effect, atol=1e-10)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(-4, 4))
@settings(max_examples=50, deadline=None)
def test_a_crossing_is_within_the_range_and_on_the_line(y, level):
    x = np.arange(len(y), dtype=float)
    found = float(crossing(x, np.array(y), level))
    assert 0 <= found <= x[-1]
    if min(y) > level:
        assert found == x[-1]
    elif y[0] > level:
        np.testing.assert_allclose(np.interp(found, x, y), level, atol=1e-9)


@given(st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_measures_are_finite_and_shares_are_shares_whatever_is_put_out(seed):
    rng = np.random.default_rng(seed)
    output = rng.normal(size=(len(FAMILY), FAMILY.most_repeats)) * 10 ** rng.uniform(-6, 3)
    values = dict(zip([m.name for m in FAMILY.measures], FAMILY.values(output), strict=True))
    for name, value in values.items():
        if name.startswith(("right", "after", "stream", "positive", "kernel_other")):
            assert 0 <= value <= 1
    assert 0 <= values["capture"] <= 32 and -1 <= values["kernel_recency"] <= 1
    assert 0 <= values["threshold_context_1"] <= 1 and 1 <= values["kernel_centre"] <= 39


# --------------------------------------------------------------------------- design


@pytest.fixture(scope="module")
def designed() -> xr.Dataset:
    """Ten networks that add both streams up, and ten that see stream 1 alone."""
    rng = np.random.default_rng(0)
    mine = {}
    for k in range(20):
        one = gated(True)
        one["weight_ih"] = one["weight_ih"] * rng.uniform(0.8, 1.2)
        if k % 2:
            one["weight_ih"][0, 1] = 0
        mine[f"network_{k}"] = one
    with pytest.warns(UserWarning, match="do not do the task"):
        ds = solspace.import_networks(TASK, "leaky", mine)
    ds = ds.assign(streams=("network", np.array(["both", "one"] * 10)))
    return design(ds, label="streams", most=2, folds=2, without=["capture"])


def test_trials_are_designed_by_choices(designed, tmp_path, capsys):
    assert designed.kappa.sel(strategy="chosen")[0] > 0.8
    left_out = named_challenges(FAMILY, ["capture"])
    assert left_out.sum() == 60 and (designed.left_out.values == left_out).all()
    first = identify(designed, {}).next_challenge.item()
    k = designed.challenge.values.tolist().index(first)
    words = dict(zip(designed.class_name.values, designed.predicted.values[k], strict=True))
    assert words["both"] != words["one"] and set(words.values()) <= {"+1", "-1", "none"}
    one = FAMILY.challenges[k]
    for name, said in words.items():
        assert identify(designed, {first: said}).verdict.item() == name
        value = {"+1": 1, "-1": -1, "none": 0}[said]
        assert identify(designed, {first: value}).verdict.item() == name
        outputs = np.full((one.steps, 1), float(value))
        assert identify(designed, {first: outputs}).verdict.item() == name
    for wrong in ("go", 2, [(5, 1)], np.zeros(3)):
        with pytest.raises(SolspaceError, match="answer to"):
            identify(designed, {first: wrong})
    path = str(tmp_path / "trials.nc")
    designed.to_netcdf(path, engine="scipy")
    assert main(["identify", path, f"{first}={words['both']}"]) == 0
    assert "verdict: both" in capsys.readouterr().out


def test_what_defines_the_label_is_left_out(challenged):
    out = defining_challenges(TASK, FAMILY, "attractor_key", {})
    names = {one.name for one, left in zip(FAMILY.challenges, out, strict=True) if left}
    assert "trained, context 1, streams -1 -4" in names and len(names) < 60
    assert not defining_challenges(TASK, FAMILY, "hidden_size", {}).any()
    with pytest.raises(SolspaceError, match="no challenge and no measure"):
        named_challenges(FAMILY, ["right"])
    one = challenged.assign(alike=("network", np.array(["same"] * 6)))
    with pytest.raises(SolspaceError, match="two are needed"):
        design(one, label="alike")


def test_answers_are_shares_of_choices(challenged):
    some = FAMILY.challenges[::50]
    found = answers(challenged, some)
    assert dict(found.choice_share.sizes) == {"network": 6, "challenge": len(some), "choice": 3}
    np.testing.assert_allclose(found.choice_share.sum("choice"), 1)
    stored = challenged.challenge_output.sel(challenge=[one.name for one in some])
    positive = (stored >= FAMILY.threshold).sum("repeat") / np.isfinite(stored).sum("repeat")
    np.testing.assert_allclose(found.choice_share.sel(choice=1), positive, atol=1e-12)
    with pytest.raises(SolspaceError, match=r"not of solspace.tasks.InputChallenge"):
        answers(challenged, get_task("interval_reproduction").challenges().challenges)
