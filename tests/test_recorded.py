"""Recordings of a user's own: spikes, arrays and NWB files, and what is taken of them."""

from __future__ import annotations

import ast
import json
import shlex
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from hypothesis import given, settings
from hypothesis import strategies as st

import solspace
from solspace import (
    SolspaceError,
    average_trials,
    extract_features,
    import_networks,
    join_recordings,
    record,
    recording_from_arrays,
    recording_from_nwb,
    recording_from_spikes,
    stack_units,
    write_nwb,
)
from solspace.cli import main
from solspace.networks import parameter_shapes
from solspace.recordings.nwb import simulated_spikes
from solspace.stages import collection
from solspace.store.check import check_store

pytestmark = pytest.mark.filterwarnings("ignore:.*left out.*:UserWarning")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
ORACLE = SHARED / "oracles" / "synthetic_rsg.nwb"
RAT = SHARED / "recordings" / "rat_m1_timed_taps" / "derived_endtoend.nwb"
EPOCHS = {"ready_set": ("ready_time", "set_time"), "set_go": ("set_time", "go_time")}


def needs(path: Path) -> Path:
    if not path.exists():
        pytest.skip("needs the folder shared beside the checkout")
    return path


@pytest.fixture(scope="module")
def training():
    rng = np.random.default_rng(1)
    mine = {
        name: rng.normal(0, 0.5, shape)
        for name, shape in parameter_shapes("vanilla", 6, 2, 1).items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was not trained
        return record(import_networks("interval_reproduction", "vanilla", {"mine": mine}))


@pytest.fixture(scope="module")
def nwb(training, tmp_path_factory):
    return write_nwb(training, tmp_path_factory.mktemp("nwb") / "mine.nwb", trials=2, seed=3)


OWN_EPOCHS = {
    name: (f"{name}_start_time", f"{name}_stop_time")
    for name in ("quiet", "ready", "ready_set", "set", "set_go", "go", "after_go")
}


# --------------------------------------------------------------------------- counts


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), width=st.sampled_from([1.0, 5.0, 10.0, 12.5]))
def test_each_spike_is_in_one_bin_the_one_that_begins_at_it(seed, width):
    rng = np.random.default_rng(seed)
    events = np.cumsum(rng.integers(5, 9, 6)) / 10
    # Every spike at the first moment of a bin, by sums that round.
    place = rng.integers(0, 20, 30)
    trial = rng.integers(0, 6, 30)
    spikes = np.sort(events[trial] + place * width / 1e3)
    window = (0, 20 * width)
    ds = recording_from_spikes(
        [spikes], {"go_time": events}, align="go_time", window=window, bin=width, smooth=None
    )
    expected = np.zeros((6, 20))
    for other in range(6):
        after = np.round((spikes - events[other]) * 1e9).astype(np.int64)
        bins = after // int(width * 1e6)
        np.add.at(expected[other], bins[(bins >= 0) & (bins < 20)], 1)
    np.testing.assert_array_equal(ds.activity.values[0, ..., 0], expected)


def test_counts_and_rates_are_those_of_the_peers():
    """Counts of pynapple, rates of elephant: both stored beside the file."""
    path = needs(ORACLE)
    reference = np.load(path.with_name("synthetic_rsg_ref.npz"))
    ds = recording_from_nwb(path, align="set_time", window=(0, 600), smooth=None)
    counts, seen = ds.activity.values[0], np.isfinite(ds.activity.values[0])
    expected = reference["counts_trial_time_unit"]
    np.testing.assert_array_equal(counts[seen], expected[seen])
    np.testing.assert_array_equal(reference["pynapple_counts"][seen], expected[seen])
    # One unit was observed half of the time: those bins are NaN, all others are there.
    gone = ~seen.any(axis=1)
    assert gone.sum() == 12 and gone[:, 5].sum() == 12 and (~seen).sum() == 12 * 60
    assert ds.trials_averaged.values[0, :, 5].sum() == 12
    assert not counts[..., 11].any() and seen[..., 11].all()  # a silent unit is kept
    assert "silent units, which are kept: 1" in ds.exclusions.item()
    # Elephant bins the whole session from 0 on, so events are put on its bins.
    events = np.round(np.arange(2, 60, 0.5), 2)
    import pynwb

    with pynwb.NWBHDF5IO(str(path), "r") as io:
        spikes = io.read().units.get_unit_spike_times(0)
    rate = recording_from_spikes([spikes], {"at": events}, align="at", window=(0, 300)).activity
    first = np.round(events * 100).astype(int)
    theirs = np.stack([reference["elephant_rate_unit0"][i : i + 30] for i in first])
    # In spikes per second; theirs go up to 36, ours are stored as float32.
    np.testing.assert_allclose(rate.values[0, ..., 0], theirs, atol=1e-4)


def test_nwb_in_zarr_is_read_as_in_hdf5(nwb, tmp_path):
    hdmf_zarr = pytest.importorskip("hdmf_zarr")  # beside Zarr 3 from Python 3.12 on
    import pynwb

    folder = tmp_path / "mine.nwb.zarr"
    with pynwb.NWBHDF5IO(nwb, "r") as source, hdmf_zarr.NWBZarrIO(str(folder), mode="w") as out:
        out.export(src_io=source, write_args={"link_data": False})
    how = {"align": "start_time", "window": (0, 1500), "smooth": None}
    assert recording_from_nwb(folder, **how).identical(recording_from_nwb(nwb, **how))


@pytest.mark.slow  # importing it takes seconds
def test_pynapple_opens_the_same_file_and_counts_the_same(nwb):
    nap = pytest.importorskip("pynapple")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = nap.load_file(nwb)
        units, trials = data["units"], data["trials"]
    ds = recording_from_nwb(nwb, align="start_time", window=(0, 1500), smooth=None)
    for trial in (0, 7):
        start = float(trials.start[trial])
        one = units.count(0.01, nap.IntervalSet(start, start + 1.5)).values
        np.testing.assert_array_equal(ds.activity.values[0, trial], one[:150])


def test_networks_come_back_from_nwb_with_the_same_counts(training, nwb):
    ds = recording_from_nwb(
        nwb, align="start_time", window=(0, 1500), smooth=None, task="interval_reproduction",
        epochs=OWN_EPOCHS, parameters={"t_in": "t_in"},
    )  # fmt: skip
    _, counts, order, _, _ = simulated_spikes(
        training, 0, trials=2, units=None, rate=50.0, step_ms=10.0, seed=3
    )
    np.testing.assert_array_equal(ds.activity.values[0], counts)
    np.testing.assert_array_equal(ds.epoch.values[0], training.epoch.values[order])
    np.testing.assert_array_equal(ds.t_in.values[0], training.t_in.values[order])
    assert ds.exclusions.item() == ""
    means = average_trials(ds, "t_in")
    assert (means.trials_averaged == 2).all()
    np.testing.assert_array_equal(means.epoch.values[0], training.epoch.values)
    np.testing.assert_allclose(
        means.activity.values[0, 4], counts[order == 4].mean(axis=0), rtol=1e-6
    )


# --------------------------------------------------------------------------- what is left out


def test_what_is_left_out_is_counted_and_said():
    events = {
        "go_time": [1.0, np.nan, 3.0, 4.0, 5.0],
        "end_time": [1.2, 2.2, np.nan, 4.3, 5.105],
        "bad": [0, 0, 0, 1, 0],
        "value": [1.0, 1, 1, 1, np.nan],
        "many": [[1, 2]] * 5,
    }
    spikes = [np.arange(0, 6, 0.01) + 0.001, np.array([])]
    options = {"align": "go_time", "window": (0, 300), "smooth": None}
    with pytest.warns(UserWarning, match="trials without go_time: 1; trials marked bad: 1"):
        ds = recording_from_spikes(
            spikes, events, drop=["bad"], parameters={"v": "value"},
            epochs={"run": (0, "end_time")}, **options,
        )  # fmt: skip
    assert json.loads(ds.attrs["exclusions"])["recording"] == {
        "columns that are not one number or text a trial": 1,
        "trials without go_time": 1,
        "trials marked bad": 1,
        "trials without value": 1,
        "epochs run without end_time": 1,
        "silent units, which are kept": 1,
    }
    assert ds.aligned_at.values.tolist() == [[1.0, 3.0]] and ds.v.values.tolist() == [[1.0, 1.0]]
    assert (ds.epoch.values[0] == 0).sum(axis=1).tolist() == [20, 0]
    assert ds.end_time.values[0, 0] == 200 and ds.end_time.attrs["units"] == "ms"
    # Unequal trials: to an event, NaN past it.
    ds = recording_from_spikes(spikes, events, align="go_time", window=(0, "end_time"), smooth=None)
    assert np.isfinite(ds.activity.values[0, ..., 0]).sum(axis=1).tolist() == [20, 30, 10]
    with pytest.raises(SolspaceError, match=r"no trial is left: .*trials without value: 1"):
        recording_from_spikes(
            spikes, {n: v[4:] for n, v in events.items()}, parameters={"v": "value"}, **options
        )


def test_what_was_not_observed_is_nan_and_rates_do_not_sink_towards_it():
    spikes = [np.arange(0, 10, 0.01) + 0.005]
    ds = recording_from_spikes(
        spikes, {"go_time": [2.0, 5.0]}, align="go_time", window=(-200, 200),
        observed=[np.array([[0, 5.1]])],
    )  # fmt: skip
    activity = ds.activity.values[0, ..., 0]
    assert np.isfinite(activity).sum(axis=1).tolist() == [40, 30]
    np.testing.assert_allclose(activity[np.isfinite(activity)], 100, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"align": "cue"}, "align: trials have no column 'cue'; columns: go_time, side"),
        ({"window": (0, 105)}, "give a whole number of bins"),
        ({"bin": 0}, "give a bin over 0"),
        ({"epochs": {"run": ("go_time", "side")}, "task": "interval_reproduction"}, "has epochs"),
        ({"epochs": {"a": (0, 60), "b": (50, 90)}}, "epochs 'a' and 'b' overlap in trial 0"),
        ({"average": "day"}, "no such column"),
        ({"pseudo_population": True}, "single trials mean nothing"),
        ({"warp": True, "epochs": {"a": (0, 60)}}, "two columns or more"),
        ({"smooth": 2}, "smooths nothing"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(options, words):
    base = {"align": "go_time", "window": (0, 100)}
    with pytest.raises(SolspaceError, match=words) as error:
        recording_from_spikes([np.ones(1)], {"go_time": [1.0], "side": ["a"]}, **(base | options))
    assert "\n" not in str(error.value)


def test_files_that_are_no_nwb_are_refused_in_one_line(tmp_path):
    import h5py

    how = {"align": "go_time", "window": (0, 100)}
    (tmp_path / "zarr.nwb").mkdir()
    (tmp_path / "text.nwb").write_text("no")
    h5py.File(tmp_path / "empty.nwb", "w").close()
    for name, words in (
        ("zarr", "cannot read it" if find_spec("hdmf_zarr") else "hdmf-zarr 0.14 or newer, which"),
        ("text", "is not in HDF5"),
        ("empty", "pynwb cannot read it"),
    ):
        with pytest.raises(SolspaceError, match=words) as error:
            recording_from_nwb(tmp_path / f"{name}.nwb", **how)
        assert "\n" not in str(error.value)


# --------------------------------------------------------------------------- together


def test_trials_are_warped_to_the_median_one():
    go, end = np.arange(1.0, 10), np.arange(1.0, 10) + np.linspace(0.2, 0.6, 9)
    # A unit that fires in the last fifth of each trial's own interval.
    spikes = [np.linspace(go + 0.8 * (end - go), end, 40).T.ravel()]
    ds = recording_from_spikes(
        spikes, {"go_time": go, "end_time": end}, align="go_time", window=(-100, 500), smooth=5,
        bin=5, epochs={"run": ("go_time", "end_time")}, warp=True,
    )  # fmt: skip
    activity = ds.activity.values[0, ..., 0]
    assert ds.end_time.values.tolist() == [[400.0] * 9]
    assert (ds.epoch.values == ds.epoch.values[:, :1]).all() and (ds.epoch == 0).sum() == 9 * 80
    middle = (activity * ds.time.values).sum(axis=1) / activity.sum(axis=1)
    np.testing.assert_allclose(middle, 360, atol=6)
    with pytest.raises(SolspaceError, match="counts cannot be stretched"):
        recording_from_spikes(
            spikes, {"go_time": go, "end_time": end}, align="go_time", window=(0, 500),
            smooth=None, epochs={"run": ("go_time", "end_time")}, warp=True,
        )  # fmt: skip


def test_recordings_are_joined_and_units_stacked():
    rng = np.random.default_rng(0)

    def one(trials, bins, units, name):
        columns = {"side": rng.permutation(np.arange(trials) % 2), "day": [name] * trials}
        return recording_from_arrays(
            rng.poisson(3, (trials, bins, units)), columns, bin=20, counts=True, name=name,
            epochs={"all": (0, 20 * bins)} if bins == 9 else {"all": (0, 180)},
        )  # fmt: skip

    first, second = one(8, 9, 3, "a"), one(5, 12, 4, "b")
    both = join_recordings([first, second])
    assert dict(both.activity.sizes) == {"network": 2, "trial": 8, "time": 12, "unit": 4}
    np.testing.assert_array_equal(both.activity.values[1, :5], second.activity.values[0])
    assert (
        np.isnan(both.activity.values[0, ..., 3]).all() and (both.epoch.values[0, :, 9:] < 0).all()
    )
    assert both.day.values[1].tolist() == ["b"] * 5 + [""] * 3
    assert np.isnan(both.side.values[1, 5:]).all()
    with pytest.raises(SolspaceError, match="two recordings are named 'a'"):
        join_recordings([first, first])
    with pytest.raises(SolspaceError, match="share no trials"):
        stack_units([first, second])
    means = [average_trials(one(8, 9, 1, n), "side") for n in "abc"]
    stacked = stack_units(means)
    assert stacked.hidden_size.item() == 3 and stacked.pseudo_population.item() == 1
    np.testing.assert_array_equal(
        stacked.activity.values[0, ..., 2], means[2].activity.values[0, ..., 0]
    )
    assert (stacked.trials_averaged == 4).all()


# --------------------------------------------------------------------------- what is taken of them


def test_features_of_a_recording_are_those_of_its_activity(training, nwb):
    """As of the network that it is of, where spikes are left out."""
    task = solspace.get_task("interval_reproduction")
    names = {"quiet": 0, "ready_set": 2, "set_go": 4}
    epoch = training.epoch.values
    columns = {"t_in": training.t_in.values}
    for name, flag in names.items():
        inside = epoch == flag
        columns |= {
            f"{name}_start_time": 10.0 * inside.argmax(axis=1),
            f"{name}_stop_time": 10.0 * (inside.argmax(axis=1) + inside.sum(axis=1)),
        }
    ds = recording_from_arrays(
        training.activity.values[0], columns, bin=10, task=task,
        epochs={n: (f"{n}_start_time", f"{n}_stop_time") for n in names},
        parameters={"t_in": "t_in"},
    )  # fmt: skip
    theirs = extract_features(training).features.isel(network=0)
    with pytest.warns(UserWarning, match="take the output, which was not recorded"):
        ours = extract_features(ds)
    assert ours.status_features.item() == 1 and 80 < ours.sizes["feature"] < theirs.sizes["feature"]
    same = theirs.sel(feature=ours.feature.values)
    np.testing.assert_allclose(ours.features.values[0], same.values, rtol=1e-4, atol=1e-4)
    left_out = json.loads(ours.attrs["features_left_out"])["recording"]
    assert sum(left_out.values()) + ours.sizes["feature"] == theirs.sizes["feature"]
    assert not [f for f in ours.feature.values if "after_go" in f]  # it has no such epoch
    some = recording_from_nwb(nwb, align="start_time", window=(0, 100))
    with pytest.raises(SolspaceError, match="no bin is of an epoch"):
        extract_features(some.isel(network=[0]))
    with pytest.raises(SolspaceError, match="record makes no sense for recordings: they have no"):
        record(ds)


def test_a_unit_or_a_trial_that_was_not_observed_is_left_out_of_features_and_counted():
    rates = np.random.default_rng(0).uniform(0, 9, (6, 60, 5)).cumsum(axis=1)
    rates[:3, :, 4] = np.nan
    epochs = {"early": (0, 300), "late": (300, 600)}
    ds = extract_features(recording_from_arrays(rates, bin=10, epochs=epochs))
    whole = extract_features(recording_from_arrays(rates[..., :4], bin=10, epochs=epochs))
    assert "units not observed on all trials: 1" in ds.features_left_out.item()
    np.testing.assert_allclose(ds.features.values, whole.features.values, rtol=1e-6)
    rates[0, 10:20] = np.nan  # a hole in an epoch that is then none
    holed = extract_features(recording_from_arrays(rates[..., :4], bin=10, epochs=epochs))
    assert "epochs with a hole: 1" in holed.features_left_out.item()


def test_a_store_of_recordings_goes_through_the_commands(nwb, tmp_path, capsys):
    store, copy = str(tmp_path / "mine.zarr"), str(tmp_path / "copy.zarr")
    typed = ["import-recording", store, nwb, "--task", "interval_reproduction", "--align",
             "start_time", "--window", "0", "1500ms", "--average", "t_in", "--parameter",
             "t_in=t_in"]  # fmt: skip
    for name, (start, stop) in OWN_EPOCHS.items():
        typed += ["--epoch", f"{name}={start}:{stop}"]
    assert main(typed) == 0
    said = capsys.readouterr().out
    assert "1 recordings, 31 trials, 150 bins, 6 units" in said
    assert main(["run", store, "--quiet"]) == 0
    assert main(["check", store]) == 0 and main(["pack", store, copy]) == 0
    assert check_store(copy) == []
    capsys.readouterr()
    assert main(["info", copy]) == 0
    said = capsys.readouterr().out
    assert "spikes/s in bins of 10 ms, Gaussian of 60 ms, 0 to 1500 ms" in said
    assert "mine: 31 conditions by t_in" in said and "features    1 done" in said
    ds = xr.open_zarr(copy, group="interval_reproduction/recorded").load()
    assert ds.activity.dims == ("network", "trial", "time", "unit")
    assert ds.t_in.dims == ("network", "trial") and ds.time.attrs["units"] == "ms"
    assert np.isfinite(ds.features.values).all() and ds.status_features.item() == 1
    for verb, words in (
        (["reduce", store], "they have no weights; their stages: features"),
        (typed, "interval_reproduction/recorded has a recording named 'mine' already"),
        ([*typed, "--name", "other", "--bin", "20"], "differ in bin_width (10.0 and 20.0)"),
        (["import-recording", store, nwb, "--task", "none", "--align", "start_time", "--window",
          "0", "100", "--epoch", "a=b"], "'b' is not START:STOP"),
        (["export-nwb", store, str(tmp_path / "x.nwb")], "0 populations of recurrent networks"),
    ):  # fmt: skip
        assert main(verb) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.strip().splitlines()) == 1
    page = tmp_path / "page.html"
    assert main(["report", store, str(page)]) == 0
    assert "31 conditions by t_in" in page.read_text() and "<svg" in page.read_text()
    # Of no task, beside the others.
    none = ["import-recording", store, nwb, "--task", "none", "--align", "start_time", "--window",
            "0", "900", "--smooth", "none", "--epoch", "first=0:200"]  # fmt: skip
    assert main(none) == 0 and check_store(store) == []
    counts = xr.open_zarr(store, group="none/recorded").activity
    assert counts.attrs["units"] == "spikes/bin"


def test_recordings_are_added_to_those_there(tmp_path):
    def recorded(name, trials, bins, units, **columns):
        rates = np.random.default_rng(units).uniform(0, 9, (trials, bins, units)).cumsum(axis=1)
        told = {"side": [str(i % 2) for i in range(trials)], "k": np.arange(trials), **columns}
        return recording_from_arrays(
            rates, told, bin=10, name=name, epochs={"early": (0, 200), "late": (200, 400)}
        )

    path, group = str(tmp_path / "mine.zarr"), "none/recorded"
    first = recorded("monday", 6, 50, 4, extra=np.arange(6))
    second = recorded("the tuesday after it", 8, 60, 7)
    solspace.add_population(path, first)
    solspace.run_stage(path, "features")
    alone = xr.open_zarr(path, group=group).load()
    solspace.add_population(path, second)
    both = xr.open_zarr(path, group=group).load()
    assert check_store(path) == [] and "extra" not in both
    assert dict(both.activity.sizes) == {"network": 2, "trial": 8, "time": 60, "unit": 7}
    for i, one in enumerate((first, second)):
        n = one.sizes
        part = both.isel(network=i, trial=slice(n["trial"]), time=slice(n["time"]))
        part = part.isel(unit=slice(n["unit"]))
        np.testing.assert_array_equal(part.activity, one.activity[0])
        np.testing.assert_array_equal(part.epoch, one.epoch[0])
        assert part.side.values.tolist() == one.side.values[0].tolist()
        assert np.isnan(both.activity[i, :, :, n["unit"] :]).all()
    assert both.exclusions.values.tolist() == ["columns that not every recording has: 1", ""]
    # Features are those that all have, so they wait; the ones there were stay until then.
    assert both.status_features.values.tolist() == [0, 0]
    np.testing.assert_array_equal(both.features[0], alone.features[0])
    solspace.run_stage(path, "features")
    features = xr.open_zarr(path, group=group).features.load()
    np.testing.assert_allclose(features[0], alone.features.sel(feature=features.feature)[0])
    assert check_store(path) == []
    with pytest.raises(SolspaceError, match="differ in bin_width"):
        solspace.add_population(path, recording_from_arrays(np.ones((3, 40, 2)), bin=20, name="w"))
    assert xr.open_zarr(path, group=group).name.values.tolist() == ["monday", second.name.item()]


def test_a_stage_of_ones_own_takes_recordings_and_check_finds_what_is_at_odds(tmp_path):
    import zarr

    path = str(tmp_path / "mine.zarr")
    rates = np.random.default_rng(0).uniform(0, 9, (6, 60, 5)).cumsum(axis=1)
    columns = {"trial_number": [9, 8, 7, 6, 5, 4], "bad": [1] + [0] * 5, "x": [None] + [1] * 5}
    one = recording_from_arrays(
        rates, columns, bin=10, drop="bad", epochs={"early": (0, 300)},
    )  # fmt: skip
    assert one.trial_number.values.tolist() == [[8, 7, 6, 5, 4]] and one.x.dtype == float
    np.testing.assert_allclose(one.activity.values[0], rates[1:], rtol=1e-6)
    solspace.add_population(path, extract_features(one))

    @solspace.stage(
        kind="recorded", reads=["activity"],
        fills=[solspace.Variable("largest_rate", ("network",), "float32", "largest rate")],
    )  # fmt: skip
    def largest_rate(ds):
        """Largest rate of any unit."""
        return ds.assign(largest_rate=ds.activity.max(("trial", "time", "unit")))

    try:
        (outcome,) = solspace.run_stage(path, largest_rate)
    finally:
        collection._OWN.pop(("recorded", "largest_rate"), None)
    assert outcome.done == 1
    stored = xr.open_zarr(path, group="none/recorded").load()
    assert stored.largest_rate.item() == pytest.approx(rates[1:].max(), rel=1e-6)
    assert stored.features.sizes["feature"] > 20
    assert check_store(path) == []
    zarr.open_group(path, path="none/recorded", mode="r+")["trials_averaged"][0, 0, 0] = 0
    changed, at_odds = check_store(path)
    assert "none/recorded/trials_averaged: is not what was written" in changed
    assert at_odds == (
        "none/recorded: recording recording: trials_averaged is at odds with activity 1 times"
    )


def test_networks_are_exported_from_a_store(training, tmp_path, capsys):
    path = str(tmp_path / "nets.zarr")
    rng = np.random.default_rng(0)
    shapes = parameter_shapes("vanilla", 3, 2, 1)
    mine = {f"n{i}": {n: rng.normal(size=s) for n, s in shapes.items()} for i in range(2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solspace.add_population(path, import_networks("delayed_discrimination", "vanilla", mine))
    out = str(tmp_path / "one.nwb")
    assert main(["export-nwb", path, out]) == 2
    assert "solspace record" in capsys.readouterr().err
    assert main(["record", path, "--quiet"]) == 0
    assert main(["export-nwb", path, out]) == 2
    assert "choose one with --network" in capsys.readouterr().err
    assert main(["export-nwb", path, out, "--network", "n1", "--trials", "1"]) == 0
    assert main(["export-nwb", path, out, "--network", "n1"]) == 2
    assert "is there already" in capsys.readouterr().err
    ds = recording_from_nwb(out, align="f1_time", window=(-50, 100), task="delayed_discrimination")
    assert dict(ds.activity.sizes) == {"network": 1, "trial": 72, "time": 15, "unit": 3}


@pytest.mark.usefixtures("few_trees")
@pytest.mark.filterwarnings("ignore:features left out")
def test_recordings_are_classified_by_a_label_of_ones_own(tmp_path, capsys):
    rng = np.random.default_rng(0)
    animals = ["quick" if i % 2 else "slow" for i in range(24)]
    condition, recordings = np.arange(4), []
    for i, animal in enumerate(animals):
        turns = np.arange(60)[:, None] / (2 if animal == "quick" else 8) + rng.uniform(0, 6, 9)
        rates = 10 + np.sin(turns) + condition[:, None, None] * rng.normal(size=9)
        recordings.append(
            recording_from_arrays(
                rates + 0.1 * rng.normal(size=rates.shape), {"level": condition}, bin=10,
                name=f"r{i}", epochs={"early": (0, 300), "late": (300, 600)},
                parameters={"level": "level"},
            )
        )  # fmt: skip
    path = str(tmp_path / "x.zarr")
    both = join_recordings(recordings).assign_coords(animal=("network", animals))
    with pytest.raises(SolspaceError, match=r"no label '': .*|have no label ''; .*animal"):
        solspace.classify(extract_features(both))
    solspace.add_population(path, both)
    assert main(["run", path, "--quiet"]) == 0
    few = ["--folds", "4", "--repeats", "1", "--permutations", "3", "--label", "animal"]
    assert main(["classify", path, *few, "--models", "extra_trees"]) == 0
    out = xr.open_zarr(path, group="none/recorded/classification").load()
    assert out.kappa.item() > 0.8 and out.label_class.values.tolist() == ["quick", "slow"]
    assert out.feature_set.values.tolist() == ["activity"]
    assert check_store(path) == []
    capsys.readouterr()
    assert main(["classify", path, "--redo", "--label", "species"]) == 2
    assert "recordings have no label 'species'; give one that is there" in capsys.readouterr().err


# --------------------------------------------------------------------------- what the pages show


@pytest.fixture
def session(training, tmp_path, monkeypatch):
    """A folder with the file that pages read."""
    write_nwb(training, tmp_path / "session.nwb", trials=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_runs_as_written(session, capsys):
    names: dict = {}
    for block in python_blocks("docs/recordings.md"):
        exec(block, names)
    assert (session / "session.png").stat().st_size > 3000
    assert names["recording"].sizes["trial"] == 31 and names["by_side"].sizes["trial"] == 2
    assert "take the output, which was not recorded" in capsys.readouterr().out
    shell = (ROOT / "docs/recordings.md").read_text().split("```sh\n")[1].split("```")[0]
    typed = shell.replace("\\\n", " ").splitlines()[0]
    assert main(shlex.split(typed)[1:]) == 0  # the same at the command line
    stored = xr.open_zarr("mine.zarr", group="interval_reproduction/recorded").load()
    np.testing.assert_array_equal(stored.activity, names["recording"].activity)
    np.testing.assert_array_equal(stored.epoch, names["recording"].epoch)


def test_the_readme_goes_from_nwb_to_a_picture_in_five_lines(session):
    (block,) = python_blocks("README.md", containing="recording_from_nwb")
    lines = ast.parse(block).body
    assert len(lines) - isinstance(lines[0], ast.Import) <= 5
    names: dict = {}
    exec(block, names)
    assert names["features"].status_features.item() == 1
    assert (session / "session.svg").exists()


# --------------------------------------------------------------------------- real recordings


@pytest.mark.filterwarnings("ignore:pseudo_population")
def test_the_pseudo_population_of_mante_is_that_of_its_condition_averages():
    from validation.recordings import mante_units

    folder = needs(SHARED / "recordings" / "mante2013_pfc_ar20")
    reference = np.load(folder / "derived_condavg_correct_50ms.npz")
    units = mante_units(sorted(folder.glob("*.mat"))[:3])
    both = stack_units(units)
    assert both.pseudo_population.item() == 1 and both.hidden_size.item() == 3
    rates, trials = reference["rate_hz"][:3], reference["n_trials"][:3]
    for unit in range(3):
        own = units[unit]
        for i in range(own.sizes["trial"]):
            # Theirs has motion first: context 1.
            c = 0 if own.context.values[0, i] == 1 else 1
            at = (unit, c, own.stim_dir.values[0, i], own.stim_col.values[0, i])
            np.testing.assert_allclose(own.activity.values[0, i, :, 0], rates[at], rtol=1e-5)
            assert own.trials_averaged.values[0, i, 0] == trials[at]


def test_the_rat_is_read_from_nwb_as_from_arrays():
    path = needs(RAT)
    arrays = np.load(path.with_name("motor_ctx_data.npz"))
    ds = recording_from_nwb(
        path, align="tap1_time", window=(-500, "tap2_time"), smooth=None, bin=20,
        epochs={"interval": ("tap1_time", "tap2_time")}, units=[0, 7],
    )  # fmt: skip
    assert dict(ds.activity.sizes)["trial"] == 1266 and ds.tap2_time.values.max() > 1100
    unit = arrays["neuron_ids"] == np.unique(arrays["neuron_ids"])[7]
    trial, times = arrays["trial_ids"][unit], arrays["spiketimes"][unit]
    for k in (0, 600, 1265):
        bins = int(ds.tap2_time.values[0, k] + 500) // 20
        expected = np.histogram(times[trial == k], np.arange(bins + 1) * 20)[0]
        counts = ds.activity.values[0, k, :, 1]
        assert np.isfinite(counts).sum() == bins
        assert abs(counts[:bins] - expected).sum() <= 2  # whole ms lie on edges of bins


@pytest.mark.slow
def test_what_the_validation_page_says_of_recordings(tmp_path, monkeypatch):
    from validation import recordings

    monkeypatch.setattr(recordings, "PICTURE", tmp_path / "rat.png")

    needs(RAT)
    needs(ORACLE)
    counts, rat = recordings.measure_counts(), recordings.measure_rat()
    mante = recordings.measure_mante()
    assert (mante["conditions"], mante["empty"], mante["miscounted"]) == (1439, 1, 0)
    assert mante["gap"] < 1e-4
    assert recordings.section().strip() in (ROOT / "docs" / "validation.md").read_text()
    assert counts["unlike"] == 0 and counts["not_observed"] == 720 and counts["gap"] < 1e-4
    assert rat["trials"] == 1266 and sum(rat["counts"]) == 1266
    # Activity is slower where the rat waits longer; in groups dealt at random it is not.
    assert rat["own"]["kinet_speed_interval"] > rat["chance"]["kinet_speed_interval"].max() > 0.95
    text = recordings.section()
    assert "| `kinet_speed_interval` |" in text and "16,560 of 16,560" in text


@pytest.mark.filterwarnings("ignore:features left out")
def test_two_sessions_of_counts_are_joined_and_features_are_of_them():
    """Golub et al. 2018: primary motor cortex before and after learning, 8 targets, by target."""
    from scipy.io import loadmat

    folder = needs(SHARED / "recordings" / "golub2018_bci_m1")
    data = loadmat(folder / "exampleData.mat", simplify_cells=True)
    both = join_recordings(
        [
            recording_from_arrays(
                [spikes.T for spikes in data[when]["clouds"]["spikes"]],
                {"angle": data[when]["clouds"]["angles"]},
                bin=45, counts=True, epochs={"control": (0, 69 * 45)}, name=when,
                parameters={"target": "angle"},
            )
            for when in ("beforeLearning", "afterLearning")
        ]
    )  # fmt: skip
    assert dict(both.activity.sizes) == {"network": 2, "trial": 8, "time": 69, "unit": 86}
    assert both.angle.values[0].tolist() == [0, 45, 90, 135, 180, 225, 270, 315]
    after = data["afterLearning"]["clouds"]["spikes"]
    np.testing.assert_array_equal(both.activity.values[1, 3], after[3].T)
    found = extract_features(both, families=["dimensionality"])
    for i, when in enumerate(("beforeLearning", "afterLearning")):
        rows = np.concatenate([s.T for s in data[when]["clouds"]["spikes"]]).astype(float)
        for name in ("all", "control"):  # of all 86 components, one trial a target
            ratio = found.features.sel(feature=f"participation_ratio_{name}")[i]
            _is_participation_ratio(ratio, rows)
        assert "% of the variance, beyond the first 12" in found.features_left_out.values[i]
        assert "stand for" not in found.features_left_out.values[i]


@pytest.mark.filterwarnings("ignore:features left out")
def test_residuals_of_a_visual_area_are_a_recording_too():
    """Semedo et al. 2019: V1, 400 trials of 10 bins, what is left of the mean response."""
    from scipy.io import loadmat

    folder = needs(SHARED / "recordings" / "semedo2019_v1v2")
    rows = loadmat(folder / "sample_data.mat")["X"]
    ds = recording_from_arrays(
        rows.reshape(400, 10, 79), bin=100, epochs={"grating": (0, 1000)}, name="v1"
    )
    found = extract_features(ds, families=["dimensionality"])
    _is_participation_ratio(found.features.sel(feature="participation_ratio_all")[0], rows)
    assert "stand for (average over trials): 399" in found.features_left_out.item()


def _is_participation_ratio(feature, rows):
    """(sum of variances)^2 / sum of their squares, along principal components."""
    variances = np.linalg.eigvalsh(np.cov(rows.T))
    expected = variances.sum() ** 2 / (variances**2).sum()
    np.testing.assert_allclose(feature, expected, rtol=1e-4)
