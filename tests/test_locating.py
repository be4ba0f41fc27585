"""Recordings held against networks seen through their electrodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import solspace
from solspace import SolspaceError, locate
from solspace.cli import main
from solspace.locating.electrodes import Electrodes, Rows, fano_factor, read_rows, see
from solspace.locating.locate import CANNOT_TELL, REASONS, _orders
from solspace.locating.words import location_table
from tests.blocks import ROOT, python_blocks

STORE = ROOT / "stores" / "turner2021.zarr"
EPOCHS = {"ready_set": ("ready_time", "set_time"), "set_go": ("set_time", "go_start_time")}
QUICK = {"draws": 1, "folds": 3, "shuffles": 40, "halves": 3, "measures": ("procrustes", "dsa")}


@pytest.fixture(scope="module")
def networks():
    """Networks of two solutions."""
    ds = solspace.open_population(str(STORE), "interval_reproduction", "lstm")
    key = ds.solution_key.values
    both = [
        np.flatnonzero(key == k)[:16]
        for k in (
            "r1:interval_reproduction1:settled:/>1;0|set/>1",
            "r1:interval_reproduction1:settled:/>1;(1)|set/>1",
        )
    ]
    assert all(len(one) == 16 for one in both)
    return ds.isel(network=np.sort(np.concatenate(both))).load()


@pytest.fixture(scope="module")
def session(networks, tmp_path_factory):
    """The first network as single trials in NWB."""
    path = tmp_path_factory.mktemp("nwb") / "session.nwb"
    solspace.write_nwb(solspace.record(networks.isel(network=[0])), path, trials=8)
    return path


def read(session: Path, **more):
    options = {"task": "interval_reproduction", "align": "ready_time", "window": (0, 1200),
               "epochs": EPOCHS, "parameters": {"t_in": "t_in"}, **more}  # fmt: skip
    return solspace.recording_from_nwb(session, **options)


@pytest.fixture(scope="module")
def recording(session):
    return read(session)


@pytest.fixture(scope="module")
def found(recording, networks):
    return locate(recording, networks.isel(network=slice(1, None)), **QUICK)


# --------------------------------------------------------------------------- what is seen


@settings(max_examples=25)
@given(
    st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 9),
    st.lists(st.integers(1, 12), min_size=1, max_size=4), st.floats(0.2, 3.0),
)  # fmt: skip
def test_a_network_is_seen_at_the_recorded_rates(seed, units, size, lengths, fano):
    """Many trials: the mean rates are those recorded, and the shape is the network's."""
    rng = np.random.default_rng(seed)
    table = np.array([lengths, lengths[::-1]]).reshape(2, -1)
    rates = rng.uniform(1, 40, units)
    trials = np.full(2, 1e6)
    one = Electrodes(tuple(map(str, lengths)), table, trials, rates, fano, 10.0, 0.0)
    steps = 3 * len(lengths)
    bounds = np.stack([[(3 * e, 3 * e + 3) for e in range(len(lengths))]] * 2)
    activity = np.tanh(rng.normal(size=(2, steps, size)))
    seen = see(activity, bounds, one, rng)
    assert seen.shape == (2, one.steps, units)
    inside = one.epoch() >= 0
    assert np.isfinite(seen[inside]).all() and np.isnan(seen[~inside]).all()
    np.testing.assert_allclose(np.sort(seen[inside].mean(axis=0)), np.sort(rates), rtol=0.02)


def test_spread_of_simulated_counts_is_that_of_the_recording():
    rng = np.random.default_rng(0)
    counts = 3 * rng.poisson(2.0, (300, 8, 5)) / 0.01
    rows = Rows(counts, np.zeros(300, int), np.ones(300), np.array([8]), np.array([[8]]))
    assert abs(fano_factor(rows, 10.0, 0.0) - 3) < 0.2
    # Averages say nothing of single trials.
    assert fano_factor(rows.__class__(counts, rows.condition, np.full(300, 9.0), rows.points,
                                      rows.lengths), 10.0, 0.0) == 1.0  # fmt: skip


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_trials_are_averaged_as_they_are_where_all_are_as_long(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(7, 6, 3))
    epoch = np.tile([0, 0, 0, 1, 1, -1], (7, 1))
    condition = np.array([0, 1, 0, 1, 0, 1, 1])
    rows, kept, _ = read_rows(values, epoch, condition, np.ones(7), [0, 1])
    assert kept.all()
    for c in (0, 1):
        np.testing.assert_allclose(
            rows.average()[c], values[condition == c, :5].mean(axis=0), rtol=1e-10
        )
    dealt = rng.permutation(condition)
    np.testing.assert_allclose(
        rows.average(condition=dealt)[1], values[dealt == 1, :5].mean(axis=0), rtol=1e-10
    )


def test_what_was_not_observed_is_left_out_and_counted():
    values = np.ones((6, 4, 3))
    values[0, 1, 2] = np.nan
    epoch = np.zeros((6, 4), int)
    epoch[5] = -1
    rows, kept, units = read_rows(values, epoch, [0, 0, 1, 1, -1, 1], np.ones(6), [0])
    assert kept.tolist() == [False, True, True, True, False, False] and units.all()
    assert dict(rows.left_out) == {
        "trials of no condition": 1, "trials without all epochs, or with a hole in one": 1,
        "trials not observed by all units": 1,
    }  # fmt: skip
    with pytest.raises(SolspaceError, match=r"no trial of condition 0 is left \(trials without"):
        read_rows(values, np.where(np.arange(6)[:, None] < 2, -1, 0), [0, 0, 1, 1, 1, 1],
                  np.ones(6), [0])  # fmt: skip


# --------------------------------------------------------------------------- the verdict


def test_a_recording_of_a_network_is_held_against_the_others(found, networks):
    assert found.probability.sum().item() == pytest.approx(1)
    assert found.sizes["condition"] == 5 and found.trials.sum() == 8 * 31
    assert found.attrs["notes"] == "trials in 5 groups by t_in" and found.attrs["units"] == 20
    assert abs(found.attrs["fano"] - 1) < 0.1  # as it was drawn
    np.testing.assert_array_equal(found.t_in, found.recorded_t_in)
    # Conditions count: no shuffle is as near to networks as the recording.
    assert found.p_value.item() == pytest.approx(1 / 41)
    assert (found.null_distance > found.distance).all()
    assert found.reliability > 0.7 and found.typicality > 0.05
    assert found.nearest_network.shape == (2, 5) and found.direction.values.tolist() == [
        "distance", "distance"]  # fmt: skip
    assert (np.diff(found.nearest_value.values, axis=1) >= 0).all()
    # These two solutions can be told by activity, if not well.
    assert 0.1 < found.kappa_low < found.kappa < found.kappa_high
    best, share = found.probability.max().item(), found.prior[found.probability.argmax()].item()
    assert found.evidence.item() == pytest.approx(best / (1 - best) * (1 - share) / share)
    told = found.verdict.item()
    assert (told == CANNOT_TELL) == bool(found.reason.item())
    text = location_table(found)
    assert "held against 31 networks" in text and "verdict: " in text and "p = 0.024" in text


@pytest.mark.slow
def test_the_same_seed_gives_the_same(found, recording, networks):
    again = locate(recording, networks.isel(network=slice(1, None)), **QUICK)
    xr.testing.assert_allclose(again.drop_vars("nearest_network"),
                               found.drop_vars("nearest_network"))  # fmt: skip


@pytest.mark.slow
def test_with_conditions_shuffled_there_is_no_verdict(recording, networks):
    """Among recordings without structure at most 5 % have one: of eight, most likely none."""
    rng = np.random.default_rng(5)
    few = {**QUICK, "measures": (), "sure": 0.5}
    verdicts, p_values = [], []
    for _ in range(4):
        dealt = recording.assign_coords(
            t_in=(("network", "trial"), rng.permutation(recording.t_in.values[0])[None])
        )
        out = locate(dealt, networks.isel(network=slice(1, None)), **few)
        p_values.append(out.p_value.item())
        verdicts.append(out.verdict.item())
    assert verdicts.count(CANNOT_TELL) >= 3 and max(p_values) > 0.2


def test_averages_have_no_halves_and_say_so(session, networks):
    averaged = read(session, average="t_in")
    few = averaged.isel(trial=[0, 10, 20, 30])
    out = locate(few, networks, **QUICK)
    assert "half_probability" not in out and "agreement" not in out
    assert "no halves can be made" in out.attrs["notes"]
    assert out.p_value >= 1 / 24  # four conditions have as many orders
    assert out.recorded_t_in.values.tolist() == [20, 30, 40, 50]


def test_values_of_other_units_are_stretched_or_named(session, networks):
    averaged = read(session, average="t_in").isel(trial=[0, 15, 30])
    in_ms = averaged.assign_coords(t_in=averaged.t_in * 17.0)
    out = locate(in_ms, networks, **QUICK)
    assert out.t_in.values.tolist() == [20, 35, 50]
    assert out.recorded_t_in.values.tolist() == [340, 595, 850]
    named = locate(in_ms, networks, values={"t_in": {340: 21, 595: 30, 850: 49}}, **QUICK)
    assert named.t_in.values.tolist() == [21, 30, 49]
    with pytest.raises(SolspaceError, match="say nothing of 850"):
        locate(in_ms, networks, values={"t_in": {340: 20, 595: 30}}, **QUICK)
    with pytest.raises(SolspaceError, match="would both be the task's trial t_in 30"):
        locate(in_ms, networks, values={"t_in": {340: 30, 595: 30, 850: 49}}, **QUICK)


def test_populations_together_and_networks_left_out_are_counted(recording, networks):
    first, second = networks.isel(network=slice(1, 16)), networks.isel(network=slice(16, None))
    broken = second.copy(deep=True)
    broken["weight_hh"][0] = np.nan
    broken["solution_key"][1] = ""
    out = locate(recording, [first, broken], **QUICK)
    excluded = json.loads(out.attrs["excluded"])
    assert excluded == {"its activity is not there or does not move": 1, "no label": 1}
    assert out.attrs["networks"] == 29 == out.networks.sum()


# --------------------------------------------------------------------------- bad input


def test_bad_input_is_said(recording, networks, session):
    def refused(match, one=recording, population=networks, **options):
        with pytest.raises(SolspaceError, match=match):
            locate(one, population, **{**QUICK, **options})

    refused("shuffles=5; give 20 or more", shuffles=5)
    refused("no population to hold the recording against", population=[])
    refused("'weights' takes weights or inputs", measures=("weights",))
    refused("no label 'species'", label="species")
    refused("'pitch' is no parameter of task", by="pitch")
    refused("two are needed", minimum_class_size=40)
    refused("no dimension network", population=networks.isel(network=0))
    refused("is no recording", one=networks)
    both = solspace.join_recordings([recording, recording.assign_coords(name=("network", ["b"]))])
    refused("2 recordings; locate one at a time", one=both)
    refused("epochs: .*ready_set", one=read(session, epochs={}))
    refused("has no parameter of task 'interval_reproduction'", one=recording.drop_vars("t_in"))
    refused("all trials are of one condition", one=recording.where(recording.t_in == 30, drop=True))
    refused("activity below 0", one=recording.assign(activity=-recording.activity))
    refused("silent", one=recording.assign(activity=0 * recording.activity))
    refused(
        "networks are of 'interval_discrimination'",
        population=networks.assign_coords(task="interval_discrimination"),
    )
    refused("of no task that is known", one=read(session, task=None))
    assert len(set(REASONS)) == 5


# --------------------------------------------------------------------------- command line, page


def test_at_the_command_line(session, networks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    solspace.add_population("networks.zarr", networks)
    solspace.add_population("mine.zarr", read(session))
    typed = [
        "locate",
        "mine.zarr",
        "networks.zarr",
        "--shuffles",
        "20",
        "--quiet",
        "-o",
        "found.nc",
    ]
    assert main([*typed, "--measure", "cka"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("session\n  seen: 20 units") and "cka (larger is nearer)" in said
    assert xr.open_dataset("found.nc").verdict.item()
    for words, told in (
        (typed, "found.nc: is there already"),
        (["locate", "networks.zarr"], "networks.zarr: has no recordings"),
        (["locate", "mine.zarr"], "mine.zarr: has no networks of interval_reproduction"),
        (["locate", "mine.zarr", "networks.zarr", "--recording", "x"], "has no recording 'x'"),
        (["locate", "mine.zarr", "networks.zarr", "--architecture", "gru"], "has no networks of"),
    ):
        assert main(words) == 2
        assert told in capsys.readouterr().err


def test_the_page_runs_as_written(tmp_path, monkeypatch, capsys):
    """On fewer networks, seen once."""
    (tmp_path / "stores").symlink_to(ROOT / "stores")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    quick = (
        "locate(recording, others.isel(network=slice(30)), draws=1, folds=3, shuffles=20, "
        "halves=3, measures=['cka'], minimum_class_size=5)"
    )
    for block in python_blocks("docs/which_solution.md"):
        exec(block.replace("locate(recording, others)", quick), names)
    assert names["others"].sizes["network"] == 399
    assert (tmp_path / "location.png").exists() and (tmp_path / "calibration.png").exists()
    assert capsys.readouterr().out.strip()


def test_averages_are_shuffled_among_those_of_about_as_many_trials():
    rng = np.random.default_rng(0)
    weight = rng.permutation(np.repeat([2.0, 9.0, 40.0], 12))
    rows = Rows(np.ones((36, 3, 2)), np.arange(36), weight, np.array([3]), np.full((36, 1), 3))
    for order in _orders(rows, 20, rng):
        assert sorted(order) == list(range(36)) and order.tolist() != list(range(36))
        np.testing.assert_array_equal(weight[order], weight)
    # Of as many trials all are dealt among all, as single trials are.
    even = Rows(rows.values, rows.condition, np.full(36, 9.0), rows.points, rows.lengths)
    moved = np.stack(list(_orders(even, 20, rng)))
    assert (weight[moved] != weight).any()
