"""Recordings of few units, as spikes, of few trials."""

from __future__ import annotations

import json
import os

import holoviews as hv
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import SolspaceError, add_population, import_networks, observe, record, run_stage
from solspace.cli import main
from solspace.networks import parameter_shapes
from solspace.plots import (
    plot_confusion,
    plot_importance,
    plot_kappa,
    plot_recording_size,
    save,
)
from solspace.population.ranking import rank_solutions
from solspace.recordings.simulated import spikes_as_rates
from solspace.recordings.stage import classify_recordings, recording_size_table
from solspace.store import Store
from solspace.store.check import check_store

GROUP = "delayed_discrimination/vanilla"
FEW = {
    "units": (3, np.inf),
    "trials": (20, np.inf),
    "minimum_class_size": 8,
    "repeats": 1,
    "folds": 4,
}
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
    return ds.assign_coords(solution=("network", (np.arange(count) % 2).astype(np.int16)))


@pytest.fixture(scope="module")
def population():
    return population_of(20)


@pytest.fixture(scope="module")
def training(population):
    return record(population)


@settings(max_examples=20)
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


def test_more_is_seen_with_more_and_blocks_change_nothing(training, monkeypatch):
    whole = classify_recordings(training, **FEW)
    assert whole.recorded_units.values.tolist() == [3, np.inf]
    assert whole.recorded_trials.values.tolist() == [20, np.inf]
    assert float(whole.kappa.sel(recorded_units=np.inf, recorded_trials=np.inf)) > 0.6
    assert (whole.kappa_low <= whole.kappa).all() and (whole.kappa <= whole.kappa_high).all()
    monkeypatch.setattr("solspace.recordings.stage._BLOCK", 7)
    parts = classify_recordings(training.chunk(network=7), **FEW)  # read block by block
    xr.testing.assert_identical(whole, parts.load())
    lines = recording_size_table(whole).splitlines()
    assert lines[0].split() == ["units", "20", "trials", "no", "spikes"]
    assert [line.split()[0] for line in lines[1:]] == ["3", "all"]
    with pytest.raises(SolspaceError, match="no label"):
        classify_recordings(training.drop_vars("solution"), **FEW)
    with pytest.raises(
        SolspaceError, match="0 units; give whole numbers of 1 or more, inf for all"
    ):
        classify_recordings(training, **(FEW | {"units": (3, 0)}))


@pytest.mark.slow
@pytest.mark.usefixtures("few_trees")
def test_a_store_keeps_the_surface(population, tmp_path, capsys):
    path = str(tmp_path / "seen.zarr")
    add_population(path, population.drop_vars("solution"))
    for stage in ("record", "reduce"):
        run_stage(path, stage)
    run_stage(path, "label", options={"by": "automaton_key"})
    (own,) = Store(path).populations()
    solutions = population.solution.values
    keys = np.array([f"v1:{number}" for number in solutions])
    for group in own.groups():
        own.write_all("solution", rank_solutions(keys), group)
        for name in ("solution_key", "automaton_key"):
            own.write_all(name, keys, group)

    def surface():
        return xr.open_zarr(path, group=f"{GROUP}/recording_size").load()

    typed = ["recording-size", path, "--units", "3", "inf", "--trials", "20", "inf"]
    typed += ["--minimum-class-size", "8", "--repeats", "1"]
    assert main([*typed, "--set", "speed+output", "--quiet"]) == 0
    stored = surface()
    assert stored.kappa.dims == ("recorded_units", "recorded_trials")
    assert stored.kappa.shape == (2, 2)
    assert stored.recorded_units.values.tolist() == [3, np.inf]
    assert stored.label_class.values.tolist() == ["0", "1"]
    assert json.loads(stored.attrs["options"])["set"] == "speed+output"
    ds = xr.open_zarr(path, group=GROUP)
    assert ds.status_recording_size.values.tolist() == [1] * 20
    entry = json.loads(ds.attrs["provenance"])[-1]
    assert entry["stage"] == "recording_size" and entry["options"]["units"] == [3, np.inf]
    assert main([*typed, "--set", "speed+output"]) == 0
    assert "nothing was pending" in capsys.readouterr().out
    assert main([*typed, "--set", "nothing"]) == 2
    error = capsys.readouterr().err
    assert "--set speed+output" in error and "--units 3.0 inf --trials 20.0 inf" in error
    assert main([*typed, "--set", "nothing", "--redo"]) == 2
    assert "no set or family" in capsys.readouterr().err
    xr.testing.assert_identical(surface(), stored)
    assert main([*typed, "--set", "speed", "--redo"]) == 0
    assert "no spikes" in capsys.readouterr().out
    assert json.loads(surface().attrs["options"])["set"] == "speed"
    with pytest.raises(SystemExit):
        main([*typed, "--slice", "1/2"])
    # But for the keys, which are made up.
    assert all("automaton_key is not that of its graph" in fault for fault in check_store(path))


def test_a_population_without_messages_is_stored(population, tmp_path):
    """As one read from a packed store: messages are there only where something failed."""
    path = str(tmp_path / "told.zarr")
    add_population(path, population.drop_vars(["solution", "message_train"]))
    ds = xr.open_zarr(path, group=GROUP)
    assert ds.status_train.values.tolist() == [1] * 20
    assert ds.message_train.values.tolist() == [""] * 20
    assert check_store(path) == []


def test_pictures_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    sets = ["published", "activity"]
    scores = {n: ("feature_set", [0.4, 0.7]) for n in ("kappa", "kappa_low", "kappa_high")}
    result = xr.Dataset(
        scores
        | {
            "confusion": (
                ("feature_set", "label_class", "predicted_class"),
                rng.random((2, 3, 3)),
            ),
            "family_importance": (("feature_set", "family"), rng.normal(size=(2, 2))),
        },
        coords={
            "feature_set": sets,
            "label_class": ["v2:123456", "1", "2"],
            "family": ["speed", "path"],
        },
    )
    dims = ("recorded_units", "recorded_trials")
    surface = {n: (dims, rng.random((2, 3))) for n in scores}
    recording = xr.Dataset(
        surface, coords={"recorded_units": [5, np.inf], "recorded_trials": [1, 10, np.inf]}
    )
    for picture in (
        plot_confusion(result),
        plot_kappa({"a/b": result}),
        plot_importance(result),
        plot_recording_size(recording, whole=0.4),
    ):
        (file,) = save(picture, tmp_path / "one", formats=["png"])
        assert os.path.getsize(file) > 3000
    curves = plot_recording_size(recording)
    shown = hv.Store.lookup_options("matplotlib", curves, "plot").kwargs
    assert shown["xticks"] == [(0, "5"), (1, "all")]
    named = hv.renderer("matplotlib").get_plot(curves).handles["axis"].get_legend().get_texts()
    assert [text.get_text() for text in named] == [
        "no spikes",
        "10 trials",
        "1 trial",
        "95% interval",
    ]
    with pytest.raises(SolspaceError, match="no set of features 'all'"):
        plot_confusion(result, "all")
    with pytest.raises(SolspaceError, match="solspace recording-size STORE"):
        plot_recording_size(result.drop_vars("kappa_high"))
