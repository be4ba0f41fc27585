"""Recordings of few units, as spikes, of few trials."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import SolspaceError, add_population, import_networks, observe, record, run_stage
from solspace.cli import main
from solspace.networks import parameter_shapes
from solspace.plots import (
    confusion_matrix,
    importance_bars,
    kappa_by_set,
    recording_size_curves,
    save,
)
from solspace.recordings.simulated import spikes_as_rates
from solspace.recordings.stage import classify_recordings, recording_size_table

GROUP = "delayed_discrimination/vanilla"
FEW = {"units": (3, np.inf), "trials": (20, np.inf), "minimum_class_size": 8, "repeats": 1, "folds": 4}
FEW |= {"set": "speed+output"}


def population_of(count, architecture="vanilla"):
    networks = {}
    for i in range(count):
        rng = np.random.default_rng(i)
        networks[f"n{i}"] = {
            name: rng.normal(0, (0.2, 0.7)[i % 2], shape)
            for name, shape in parameter_shapes(architecture, 5 + i % 3, 2, 1).items()
        }
    ds = import_networks("delayed_discrimination", architecture, networks)
    return ds.assign(solution=("network", (np.arange(count) % 2).astype(np.int16)))


@pytest.fixture(scope="module")
def population():
    return population_of(20)


@pytest.fixture(scope="module")
def training(population):
    return record(population)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), level=st.floats(-1, 1), width=st.integers(1, 8))
def test_rates_are_right_on_average_and_noise_falls_with_trials(seed, level, width):
    activity = np.full((300, 4), level)
    seen = [
        spikes_as_rates(
            activity, trials=n, rate=40, bin_ms=10 * width, rng=np.random.default_rng(seed)
        )
        for n in (100, 10_000)
    ]
    rate = 0.4 * (1 + level) / 2
    for one, n in zip(seen, (100, 10_000), strict=True):
        spread = 2 / 0.4 * np.sqrt(max(rate, 1e-9) / n)
        assert abs(one.mean() - level) <= 6 * spread / np.sqrt(one.size) + 1e-9
        assert one.std() <= 1.5 * spread + 1e-9


def test_a_window_is_centred_and_as_wide_as_said():
    step = np.repeat([-1.0, 1.0], 50)[:, None]
    seen = spikes_as_rates(step, trials=10**7, rate=50, bin_ms=50, rng=np.random.default_rng(0))[
        :, 0
    ]
    # Four steps see both sides of the change, evenly about it.
    np.testing.assert_allclose(seen[46:54], [-1, -1, -0.6, -0.2, 0.2, 0.6, 1, 1], atol=0.01)


def test_units_are_the_networks_own_and_do_not_depend_on_the_others(training):
    seen = observe(training, units=3)
    assert seen.hidden_size.values.tolist() == [3] * 20
    for i in (0, 7):
        own = training.activity.values[i][..., : int(training.hidden_size[i])]
        for unit in range(3):
            column = seen.activity.values[i][..., unit]
            assert any(np.array_equal(column, own[..., k]) for k in range(own.shape[-1]))
    alone = observe(training.isel(network=[7]), units=3, trials=5, seed=2)
    together = observe(training, units=3, trials=5, seed=2)
    np.testing.assert_array_equal(alone.activity.values[0], together.activity.values[7])
    whole = observe(training)
    np.testing.assert_array_equal(np.isnan(whole.activity), np.isnan(training.activity))


def test_of_an_lstm_the_hidden_state_is_seen():
    training = record(population_of(2, "lstm"))
    seen = observe(training, units=4, trials=3)
    assert "cell_state" not in seen and seen.activity.sizes["unit"] == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"units": 0}, "0 units"),
        ({"trials": 0}, "at least one trial"),
        ({"trials": 2, "rate": 0}, "rate"),
    ],
)
def test_what_cannot_be_recorded_is_refused(training, options, words):
    with pytest.raises(SolspaceError, match=words):
        observe(training.isel(network=[0]), **options)


def test_more_is_seen_with_more_and_blocks_change_nothing(population, training):
    whole = classify_recordings(population, training, **FEW)
    assert whole.units.values.tolist() == [3, 0] and whole.trials.values.tolist() == [20, 0]
    assert float(whole.kappa.sel(units=0, trials=0)) > 0.6
    assert (whole.kappa_low <= whole.kappa).all() and (whole.kappa <= whole.kappa_high).all()
    blocks = (training.isel(network=slice(i, i + 7)) for i in range(0, 20, 7))
    parts = classify_recordings(population, blocks, **FEW)
    xr.testing.assert_identical(whole, parts)
    with pytest.raises(SolspaceError, match="no label"):
        classify_recordings(population.drop_vars("solution"), training, **FEW)


@pytest.mark.usefixtures("few_trees")
def test_a_store_keeps_the_surface(population, tmp_path, capsys):
    import zarr

    path = str(tmp_path / "seen.zarr")
    add_population(path, population.drop_vars("solution"))
    run_stage(path, "record")
    zarr.open_group(path, path=GROUP, mode="r+")["solution"][:] = population.solution.values
    typed = ["recording-size", path, "--units", "3", "0", "--trials", "20", "0", "--least", "8"]
    assert main([*typed, "--repeats", "1", "--set", "speed+output", "--quiet"]) == 0
    stored = xr.open_zarr(path, group=f"{GROUP}/recording_size").load()
    assert stored.kappa.shape == (2, 2)
    assert json.loads(stored.attrs["options"])["set"] == "speed+output"
    assert main([*typed, "--set", "nothing"]) == 2
    assert "no set or family" in capsys.readouterr().err


def test_pictures_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    sets = ["published", "activity"]
    scores = {n: ("feature_set", [0.4, 0.7]) for n in ("kappa", "kappa_low", "kappa_high")}
    result = xr.Dataset(
        scores
        | {
            "confusion": (
                ("feature_set", "class", "predicted_class"),
                rng.random((2, 3, 3)),
            ),
            "family_importance": (("feature_set", "family"), rng.normal(size=(2, 2))),
        },
        coords={"feature_set": sets, "class": ["v2:123456", "1", "2"], "family": ["speed", "path"]},
    )
    surface = {n: (("units", "trials"), rng.random((2, 3))) for n in scores}
    recording = xr.Dataset(surface, coords={"units": [5, 0], "trials": [1, 10, 0]})
    for picture in (
        confusion_matrix(result),
        kappa_by_set({"a/b": result}),
        importance_bars(result),
        recording_size_curves(recording, whole=0.4),
    ):
        (file,) = save(picture, tmp_path / "one", formats=["png"])
        assert os.path.getsize(file) > 3000
    with pytest.raises(SolspaceError, match="no set of features 'all'"):
        confusion_matrix(result, "all")
    with pytest.raises(SolspaceError, match="solspace recording-size STORE"):
        recording_size_curves(result.drop_vars("kappa_high"))
