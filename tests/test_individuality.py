"""Individuality: constructed networks, properties, statistics against others', stage and verbs."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import solspace
from solspace import SolspaceError, add_population, import_networks, measure_individuality
from solspace.cli import main
from solspace.individuality import (
    NEURAL_MEASURES,
    correlation_power,
    individual_of,
    linearise,
    modulation_shares,
    permute_rho,
    predict_held_out,
    slow_mode,
    smallest_correlation,
    split_modulation,
    stratified_ranks,
    stratified_rho,
)
from solspace.individuality.prediction import PENALTIES
from solspace.networks import parameter_shapes, run
from solspace.store.check import check_store
from solspace.tasks import Contexts, check_task, get_task

TASK = get_task("context_integration")
CELLS = ("vanilla", "relu", "leaky", "leaky_rate", "gru", "lstm")


def random_weights(architecture: str, n: int, seed: int, gain: float = 1.0, inputs: int = 4):
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(architecture, n, inputs, 1)
    weights = {name: rng.normal(0, gain / np.sqrt(n), shape) for name, shape in shapes.items()}
    if "alpha" in weights:
        weights["alpha"] = np.array(0.2)
    return weights


@pytest.fixture(scope="module")
def population() -> xr.Dataset:
    """Two networks that were trained for a moment, and two of random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        new = solspace.new_population(
            "context_integration", "leaky", networks=2, hidden_size=[8, 12]
        )
        trained = solspace.train(new)
    networks = {f"trained{i}": solspace.network_weights(trained, i) for i in range(2)}
    networks |= {
        "random": random_weights("leaky", 8, 3, 0.1),
        "other": random_weights("leaky", 8, 5),
    }
    return import_networks("context_integration", "leaky", networks)


@pytest.fixture(scope="module")
def measured(population) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return measure_individuality(population, starts=16)


# --------------------------------------------------------------------------- the split


def rank_one(line: np.ndarray, selection: np.ndarray, decay: float = 0.5) -> np.ndarray:
    """A linear network with one direction in which nothing decays, and its selection vector."""
    n = len(line)
    return decay * np.eye(n) + (1 - decay) * np.outer(line, selection) / (selection @ line)


def test_linear_networks_of_each_pure_type_are_told():
    line, aside, apart = np.eye(3)
    readout = 2 * line
    oblique = line + aside
    cases = {
        # Only the input along the line differs, and what reads it is the same.
        "direct": ((line, line), (line + apart, 0.2 * line + apart)),
        # The input differs across the line alone, from where the dynamics lead it there.
        "indirect": ((oblique, oblique), (aside + apart, -aside + apart)),
        # The same input is read by another selection vector.
        "selection": ((oblique, line - aside), (aside, aside)),
    }
    for k, (pure, (vectors, inputs)) in enumerate(cases.items()):
        modes = [slow_mode(rank_one(line, s), readout) for s in vectors]
        for mode, s in zip(modes, vectors, strict=True):
            assert mode.value == pytest.approx(1) and mode.following == pytest.approx(0.5)
            np.testing.assert_allclose(mode.right, line, atol=1e-9)
            np.testing.assert_allclose(mode.left, s / (s @ line), atol=1e-9)
        found = split_modulation([m.left for m in modes], inputs, modes[0].right)
        shares = modulation_shares(np.stack(found[:3]))
        np.testing.assert_allclose(shares, np.eye(3)[k], atol=1e-9, err_msg=pure)


@settings(max_examples=40)
@given(n=st.integers(2, 9), seed=st.integers(0, 999), factor=st.floats(0.1, 10))
def test_the_split_adds_up_and_does_not_turn_with_the_axes(n, seed, factor):
    rng = np.random.default_rng(seed)
    s, i = rng.normal(size=(2, 2, 3, n))
    line = rng.normal(size=n)
    found = split_modulation(s, i, line)
    np.testing.assert_allclose(sum(found[:3]), found.total, atol=1e-9)
    np.testing.assert_allclose(found.total, ((s * i).sum(-1))[0] - ((s * i).sum(-1))[1])
    turn = np.linalg.qr(rng.normal(size=(n, n)))[0]
    for other in (
        split_modulation(s @ turn, i @ turn, line @ turn),
        split_modulation(s, i, -factor * line),
        # What is scaled up in selection vectors is scaled down in inputs.
        split_modulation(factor * s, i / factor, line),
    ):
        np.testing.assert_allclose(other, found, atol=1e-8)
    # Contexts that change places: every part changes its sign.
    np.testing.assert_allclose(
        split_modulation(s[::-1], i[::-1], line), -np.array(found), atol=1e-9
    )
    for wrong, said in (
        ((s[0], i, line), "first axis of two contexts"),
        ((s, i, 0 * line), "length"),
    ):
        with pytest.raises(SolspaceError, match=said):
            split_modulation(*wrong)
    assert np.isnan(modulation_shares([1.0, -2.0, 0.5])).all()


@pytest.mark.parametrize("architecture", CELLS)
def test_kernels_are_what_pulses_do(architecture):
    weights = random_weights(architecture, 5, 1, 1.5)
    trial = np.random.default_rng(0).normal(size=(12, 4))
    found = linearise(architecture, weights, trial, [0, 2])
    for t, k, channel in ((3, 0, 0), (11, 1, 2), (0, 1, 2)):
        moved = np.tile(trial, (2, 1, 1))
        moved[0, t, channel] += 1e-5
        moved[1, t, channel] -= 1e-5
        output = run(architecture, weights, moved)[1][:, -1, 0]
        # Central differences in float64.
        assert found.kernel[t, k] == pytest.approx(
            (output[0] - output[1]) / 2e-5, rel=1e-4, abs=1e-9
        )


def test_on_a_line_attractor_the_carried_back_readout_is_the_left_eigenvector():
    rng = np.random.default_rng(0)
    line, selection = np.abs(rng.normal(size=(2, 6)))
    line /= np.linalg.norm(line)
    weights = random_weights("relu", 6, 2, inputs=4) | {
        "weight_hh": rank_one(line, selection, 0.3)[None], "bias_ih": np.full((1, 6), 0.1),
        "bias_hh": np.zeros((1, 6)),
    }  # fmt: skip
    found = linearise("relu", weights, np.zeros((40, 4)), [0])
    assert (found.states > 0).all()
    mode = slow_mode(weights["weight_hh"][0], weights["weight_out"][0])
    expected = mode.left * (weights["weight_out"][0] @ mode.right)
    np.testing.assert_allclose(found.selection[0], expected, rtol=1e-6)


# --------------------------------------------------------------------------- networks


def test_every_number_is_there_and_the_trained_select(measured):
    status = measured.status_individuality.values.tolist()
    assert status[:2] == [1, 1]
    values = measured.neural_value.isel(network=[0, 1])
    assert np.isfinite(values).all() and values.neural_measure.values.tolist() == [*NEURAL_MEASURES]
    assert (values.sel(neural_measure="gain") > 0).all()
    assert (values.sel(neural_measure="leak") < 0.9).all()
    shares = values.sel(neural_measure=["direct", "indirect", "selection"]).sum("neural_measure")
    np.testing.assert_allclose(shares, 1, atol=1e-9)
    assert (values.sel(neural_measure="line_straightness") <= 1).all()
    # The parts add up to how much more the stream moves the choice where it counts.
    kernel = measured.choice_kernel.isel(network=0).values
    stimulus = TASK.contexts().stimulus
    total = measured.modulation.isel(network=0, selection_method=0).sum("modulation_part").values
    mean = kernel[..., stimulus].mean(axis=-1)
    expected = [mean[0, 0] - mean[1, 0], mean[1, 1] - mean[0, 1]]
    np.testing.assert_allclose(total, expected, rtol=1e-4)  # kernels are stored in float32


def test_a_network_without_modulation_is_failed_and_says_why(measured):
    failed = measured.isel(network=2)
    assert failed.status_individuality.item() == 2
    assert "moves the choice by" in failed.message_individuality.item()
    assert np.isnan(failed.neural_value).all() and (failed.slow_point_count == -1).all()
    assert np.isnan(failed.modulation).all()


def test_a_store_gives_what_the_dataset_gives_and_check_finds_what_is_at_odds(
    tmp_path, population, measured, capsys
):
    path = str(tmp_path / "s.zarr")
    add_population(path, population, shard_size=2)
    assert main(["individuality", path, "--starts", "16"]) in (0, 1, None)
    assert "selection" in capsys.readouterr().out
    group = "context_integration/leaky"
    stored = xr.open_zarr(path, group=group).load()
    np.testing.assert_array_equal(stored.neural_value, measured.neural_value)
    table = xr.open_zarr(path, group=f"{group}/individuality").load()
    for name in ("modulation", "selection_vector", "line_state", "slow_point_count"):
        np.testing.assert_array_equal(table[name].values, measured[name].values)
    assert check_store(path) == []
    for where, at, value, said in (
        (f"{group}/neural_value", (0, 0), np.nan, "some neural_value is not finite"),
        (f"{group}/individuality/line_direction", (0, 0, 0), 9.0, "is not of length 1"),
    ):
        array = zarr.open_group(path, mode="r+")[where]
        kept = array[:]
        array[at] = value
        assert any(said in fault for fault in check_store(path))
        array[:] = kept
    # Four networks are too few to correlate anything.
    assert main(["correlate", path, "--permutations", "9"]) == 2
    assert "give 10 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_a_store_is_correlated_and_kept_as_netcdf(tmp_path, population, capsys):
    """Copies of one network, each moved a little."""
    rng, own = np.random.default_rng(0), solspace.network_weights(population, 0)
    networks = {
        f"n{k}": {n: w + 0.02 * rng.normal(size=np.shape(w)) if n != "alpha" else w
                  for n, w in own.items()}
        for k in range(12)
    }  # fmt: skip
    path, out = str(tmp_path / "s.zarr"), str(tmp_path / "c.nc")
    add_population(path, import_networks("context_integration", "leaky", networks))
    assert main(["correlate", path]) == 2
    assert f"type `solspace individuality {path}` first" in capsys.readouterr().err
    assert main(["individuality", path, "--starts", "8"]) == 0
    assert main(["correlate", path, "--permutations", "99", "-o", out]) == 0
    told = capsys.readouterr().out
    assert "networks held out, all numbers from inside together tell" in told
    found = xr.open_dataset(out, engine="scipy")
    assert found.attrs["networks"] == 12 and found.attrs["permutations"] == 99
    assert np.isfinite(found.rho).all() and (abs(found.reliability) <= 1).all()
    assert main(["correlate", path, "-o", out]) == 2
    assert "is there already" in capsys.readouterr().err


def test_tasks_say_what_their_contexts_are(population):
    own = TASK.contexts()
    with pytest.raises(SolspaceError, match="it has no contexts; give it `contexts`"):
        measure_individuality(population, task=dataclasses.replace(TASK, contexts=None))
    with pytest.raises(SolspaceError, match="'elsewhere' is no input"):
        check_task(
            dataclasses.replace(
                TASK,
                contexts=lambda: dataclasses.replace(
                    own, streams=("stream_1", "elsewhere"), counts=("stream_1", "elsewhere")
                ),
            )
        )
    with pytest.raises(SolspaceError, match="2 contexts, 1 streams that count"):
        dataclasses.replace(own, counts=("stream_1",))
    with pytest.raises(SolspaceError, match="neutral changes during the stimulus"):
        dataclasses.replace(own, stimulus=np.ones(len(own.stimulus), bool))
    # Channels in another order, by a task of one's own: the same numbers.
    order = [2, 0, 3, 1]
    task = dataclasses.replace(
        TASK,
        name="shuffled_contexts",
        inputs=tuple(TASK.inputs[k] for k in order),
        contexts=lambda: dataclasses.replace(own, neutral=np.asarray(own.neutral)[..., order]),
    )
    weights = solspace.network_weights(population, 0)
    turned = dict(weights) | {"weight_ih": np.asarray(weights["weight_ih"])[..., order]}
    trials = TASK.recorded_trials().input
    assert isinstance(task.contexts(), Contexts)
    one = individual_of("leaky", weights, own, TASK.inputs, trials, starts=8)
    other = individual_of(
        "leaky", turned, task.contexts(), task.inputs, trials[..., order], starts=8
    )
    # The order of sums differs, and starts of searches with it.
    for name in ("gain", "direct", "line_length", "line_angle", "slow_rate"):
        assert one.values[name] == pytest.approx(other.values[name], rel=1e-5, abs=1e-7)


# --------------------------------------------------------------------------- statistics


def test_correlations_are_those_of_scipy_within_strata():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    strata = np.repeat([20, 30], [30, 20])
    # Size moves both, and that is no correlation of theirs.
    x = rng.normal(size=(50, 2)) + strata[:, None]
    y = rng.normal(size=(50, 3)) + strata[:, None]
    rho = stratified_rho(x, y, strata)
    own = [spearmanr(x[strata == s, 0], y[strata == s, 1]).statistic for s in (20, 30)]
    assert rho[0, 1] == pytest.approx(np.average(own, weights=[30, 20]))
    assert np.abs(rho).max() < 0.45 < spearmanr(x[:, 0], y[:, 0]).statistic
    found = permute_rho(x, y, strata, 400, seed=1)
    np.testing.assert_allclose(found.rho, rho)
    assert (found.corrected >= found.p).all()
    again = permute_rho(x, y, strata, 400, seed=1)
    np.testing.assert_array_equal(found.corrected, again.corrected)
    with pytest.raises(SolspaceError, match="hold NaN"):
        permute_rho(np.full((50, 1), np.nan), y, strata, 5)


def test_corrected_tests_of_independent_numbers_are_significant_in_one_of_twenty():
    rng = np.random.default_rng(0)
    strata = np.repeat([0, 1], 20)
    runs, hits = 300, 0
    for k in range(runs):
        # Numbers of one side go together, as real ones do.
        x = rng.normal(size=(40, 3)) + rng.normal(size=(40, 1))
        found = permute_rho(x, rng.normal(size=(40, 4)), strata, 99, seed=k)
        hits += (found.corrected < 0.05 + 1e-9).any()
    assert 0.02 < hits / runs < 0.09  # 99 % of such runs


def test_the_power_is_what_draws_show():
    from scipy.stats import norm, rankdata

    assert smallest_correlation(400) == pytest.approx(0.15, abs=0.01)
    for rho, n, tests in ((0.25, 100, 1), (0.35, 100, 20)):
        rng = np.random.default_rng(0)
        latent = 2 * np.sin(np.pi * rho / 6)  # of normal numbers with this Spearman's rho
        a, b = rng.normal(size=(2, 4000, n))
        one, other = (rankdata(z, axis=1) for z in (a, latent * a + np.sqrt(1 - latent**2) * b))
        one, other = one - one.mean(), other - other.mean()
        spread = np.square(one[0]).sum()
        # The level of the test by draws that are independent, not by a formula.
        null = np.abs((one * np.roll(other, 1, axis=0)).sum(axis=1)) / spread
        level = 0.05 / tests
        assert (null > np.tanh(norm.isf(level / 2) * np.sqrt(1.06 / (n - 3)))).mean() < 2 * level
        found = np.abs((one * other).sum(axis=1)) / spread
        shown = np.arctanh(found) / np.sqrt(1.06 / (n - 3)) > norm.isf(level / 2)
        assert shown.mean() == pytest.approx(correlation_power(rho, n, tests), abs=0.03)
    power = correlation_power(smallest_correlation(80, 10, 0.7), 80, 10)
    assert power == pytest.approx(0.7, abs=1e-3)
    with pytest.raises(SolspaceError, match="over 3 networks in each stratum"):
        correlation_power(0.2, 12, strata=4)


def test_held_out_predictions_are_those_of_scikit_learn():
    from sklearn.linear_model import RidgeCV

    rng = np.random.default_rng(0)
    x, strata = rng.normal(size=(60, 4)), np.repeat([0, 1, 2], 20)
    y = np.stack([x[:, 0] + rng.normal(size=60), rng.normal(size=60)], axis=1)
    found = predict_held_out(x, y, strata, folds=5, permutations=99, seed=3)
    draw = np.random.default_rng(3)
    order = np.concatenate([draw.permutation(np.flatnonzero(strata == s)) for s in range(3)])
    fold = np.empty(60, int)
    fold[order] = np.arange(60) % 5
    wrong, mean_wrong = np.zeros(2), np.zeros(2)
    for k in range(5):
        kept, out = fold != k, fold == k
        for m in range(2):
            model = RidgeCV(PENALTIES).fit(x[kept], y[kept, m])
            wrong[m] += ((y[out, m] - model.predict(x[out])) ** 2).sum()
            mean_wrong[m] += ((y[out, m] - y[kept, m].mean()) ** 2).sum()
    np.testing.assert_allclose(found.r2, 1 - wrong / mean_wrong, rtol=1e-6)
    assert found.corrected[0] < 0.05 < found.corrected[1]


def test_networks_and_measures_that_lack_numbers_are_counted_and_named():
    rng = np.random.default_rng(0)
    size = np.repeat([20, 30], 20)
    coords = {"hidden_size": ("network", size)}
    x = xr.DataArray(rng.normal(size=(40, 3)), dims=("network", "inside"), coords=coords)
    x = x.assign_coords(inside=["a", "b", "c"])
    y = xr.DataArray(rng.normal(size=(40, 2)), dims=("network", "behaviour"))
    y = y.assign_coords(behaviour=["d", "same"])
    y[:, 1] = 1.0
    x[:2] = np.nan  # failed
    x[5, 0] = np.nan
    x[10:30, 2] = np.nan
    found = solspace.correlate_measures(x, y, permutations=99, draws=20, again=y + 0.0)
    assert found.attrs["networks"] == 37 and found.attrs["networks_dropped"] == 3
    assert found.attrs["left_out"] == "c, same" and found.rho.shape == (2, 1)
    assert found.reliability.item() == pytest.approx(1)
    assert (found.rho_low < found.rho).all() and (found.rho < found.rho_high).all()
    assert stratified_ranks(x.values[2:, 1:2], size[2:]).std() == pytest.approx(1)
    for wrong, said in (
        ({"by": "no"}, "there is no coordinate 'no' along network"),
        ({"again": y[:, :1]}, "again has other measures"),
        ({"missing": 2.0}, "missing=2; give a share"),
    ):
        with pytest.raises(SolspaceError, match=said):
            solspace.correlate_measures(x, y, **wrong)
    with pytest.raises(SolspaceError, match="of 10 networks, neural of 40"):
        solspace.correlate_measures(x, y[:10])
    with pytest.raises(SolspaceError, match="both have a dim 'inside'"):
        solspace.correlate_measures(x, y.rename(behaviour="inside"))
    with pytest.raises(SolspaceError, match="give 10 or more"):
        solspace.correlate_measures(x[:8], y[:8, :1])
