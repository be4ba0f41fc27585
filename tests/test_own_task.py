"""The page docs/own_task.md, run as written; and tasks that cannot be used."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from solspace import SolspaceError, check_store, get_task, run_stage
from solspace.tasks import Trials, check_task, epochs_from_starts

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own_task.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    store = str(tmp_path_factory.mktemp("own") / "two_delays.zarr")
    names: dict = {"store": store}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S):
        exec(block.replace('"stores/two_delays.zarr"', repr(store)), names)
    return names


def test_a_task_from_a_notebook_goes_through_every_stage(page):
    ds = page["population"]
    assert ds.status_train.values.tolist() == [1, 1, 1]
    assert (ds.loss < 3e-3).all()
    assert ds.status_reduce.values.tolist() == [1, 1, 1]
    assert all("short>" in key and "long>" in key for key in ds.graph_key.values)
    assert all(key.startswith("v2:") for key in ds.solution_key.values)
    assert all("short, at the start" in words for words in ds.solution_description.values)
    beyond = xr.open_zarr(page["store"], group="two_delays/vanilla/extrapolation")
    assert {"cue", "onset"} <= set(beyond.coords)
    assert np.isfinite(beyond.output.values).all()
    assert check_store(page["store"]) == []


@pytest.mark.slow
def test_a_task_of_ones_own_reaches_the_workers(page):
    import zarr

    group = zarr.open_group(page["store"], path="two_delays/vanilla", mode="r+")
    before = xr.open_zarr(page["store"], group="two_delays/vanilla").automaton_key.values
    group["status_reduce"][:] = np.zeros(3, np.uint8)
    group["automaton_key"][:] = np.array(["", "", ""], dtype=object)
    run_stage(page["store"], "reduce", workers=2)
    after = xr.open_zarr(page["store"], group="two_delays/vanilla").automaton_key.values
    assert after.tolist() == before.tolist()


def test_features_say_what_a_task_lacks(page):
    with pytest.raises(SolspaceError, match="two_delays"):
        run_stage(page["store"], "features")


def test_epochs_that_overlap_are_refused():
    with pytest.raises(
        SolspaceError, match=r"epochs overlap: epoch 2 starts before epoch 1 in trial 1"
    ):
        epochs_from_starts(30, [np.array([[5], [9]]), np.array([[8], [8]])])


def _change(**changes):
    task = get_task("interval_reproduction")
    trials = task.recorded_trials()
    return dataclasses.replace(
        task, name="changed", recorded_trials=lambda: dataclasses.replace(trials, **changes)
    )


def test_all_faults_of_a_task_are_said_at_once():
    trials = get_task("interval_reproduction").recorded_trials()
    backwards = trials.epoch.copy()
    backwards[3, 40:] = 0
    task = dataclasses.replace(
        _change(epoch=backwards, parameters={"interval": trials.parameters["t_in"]}),
        name="my task",
        input_symbols=("set",),
    )
    with pytest.raises(SolspaceError) as caught:
        check_task(task)
    for fault in (
        "the name 'my task' is no group name",
        "input_symbols ('set',) do not begin with 'autonomous'",
        "recorded_trials: epochs overlap",
        "parameters ['interval'], the task names ['t_in']",
    ):
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": np.zeros((31, 150, 3), np.float32)}, r"input has shape \(31, 150, 3\)"),
        ({"target": np.full((31, 150, 1), np.nan, np.float32)}, "NaN or infinity"),
        ({"epoch": np.full((31, 150), 9, np.int8)}, "there are 7 epochs"),
        ({"parameters": {"t_in": np.arange(4)}}, r"'t_in' has shape \(4,\), expected \(31,\)"),
    ],
)
def test_trials_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(SolspaceError, match=message):
        check_task(_change(**changes))


def test_a_task_without_trials_is_refused():
    empty = Trials(
        np.zeros((0, 10, 2), np.float32),
        np.zeros((0, 10, 1), np.float32),
        np.zeros((0, 10), np.int8),
        {"t_in": np.zeros(0, int)},
    )
    task = dataclasses.replace(
        get_task("interval_reproduction"), name="empty", training_trials=lambda rng: empty
    )
    with pytest.raises(SolspaceError, match="training_trials: input has shape"):
        check_task(task)
