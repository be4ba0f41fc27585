"""The page docs/own_task.md, run as written; and tasks that cannot be used."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks

from solspace import (
    Recipe,
    SolspaceError,
    check_store,
    create_population,
    get_task,
    new_population,
    register_task,
    run_stage,
)
from solspace.cli import main
from solspace.stages.collection import stages
from solspace.tasks import Trials, check_task, epochs_from_starts, missing, registry
from solspace.tasks.needs import NEEDS, needs_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own_task.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    store = str(tmp_path_factory.mktemp("own") / "two_delays.zarr")
    names: dict = {"store": store}
    for block in python_blocks("docs/own_task.md"):
        exec(block.replace('"stores/two_delays.zarr"', repr(store)), names)
    return names


def test_a_task_from_a_notebook_goes_through_every_stage(page):
    ds = page["population"]
    assert ds.status_train.values.tolist() == [1, 1, 1]
    assert (ds.loss < 3e-3).all()
    assert ds.status_reduce.values.tolist() == [1, 1, 1]
    # Which pulses lead elsewhere turns on the network: what it does unasked needs no pulse.
    assert all("short>" in key or "long>" in key for key in ds.graph_key.values)
    assert all(key.startswith("v2:") for key in ds.solution_key.values)
    assert all(", at the start" in words for words in ds.solution_description.values)
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


def test_the_table_of_what_a_task_must_give_is_made_from_the_code():
    text = PAGE.read_text()
    assert f"{needs_table()}\n\n<!-- end -->" in text
    shown = {need.stage for need in NEEDS}
    checked = {name for name, stage in stages("recurrent").items() if stage.check is not None}
    assert checked <= shown <= {*stages("recurrent"), "design"}


def test_what_is_missing_is_said_before_anything_is_trained(page):
    with pytest.warns(UserWarning) as said:
        register_task(page["TWO_DELAYS"])
    (told,) = (str(one.message) for one in said)
    assert "verify, responses: it does not say which pulses" in told
    assert "features: it has no feature_epochs" in told and "reduce" not in told


def _no_compare(explorer):
    waiting = explorer.free_run(explorer.silence(5).states[-1])
    explorer.begin(waiting)
    explorer.join()


def _misspelt(explorer):
    explorer.begin(explorer.free_run(explorer.silence(5).states[-1]))
    explorer.compare(answer="lnog")


@pytest.mark.parametrize(
    ("changes", "stage", "message"),
    [
        ({"probe": _no_compare}, "reduce", "never calls explorer.compare"),
        ({"probe": _misspelt}, "reduce", "fails on a random network .ValueError"),
        ({"probe": None}, "reduce", "give it a `protocol`, or a `probe`"),
        ({"recipes": {}}, "train", "give `recipes`"),
    ],
)
def test_a_stage_that_cannot_take_a_task_is_named(page, changes, stage, message):
    lacks = missing(dataclasses.replace(page["TWO_DELAYS"], **changes))
    assert re.search(message, lacks[stage])


def test_recorded_trials_that_differ_are_refused_and_noise_in_training_is_not():
    rng = np.random.default_rng(0)
    one = get_task("interval_reproduction")

    def noisy(draw, trials):
        noise = draw.normal(0, 0.1, trials.input.shape).astype(np.float32)
        return dataclasses.replace(trials, input=trials.input + noise)

    task = dataclasses.replace(
        one, name="noisy", training_trials=lambda draw: noisy(draw, one.training_trials(draw))
    )
    assert check_task(task) is task
    trials = one.recorded_trials()
    task = dataclasses.replace(task, recorded_trials=lambda: noisy(rng, trials))
    with pytest.raises(SolspaceError, match=r"calls differ in input at trial 0, step 0, ch.*\("):
        check_task(task)


def test_continuous_outputs_go_where_they_can_and_are_refused_elsewhere(tmp_path, capsys):
    """All by one command; what is refused is said, and no stage fails in silence."""
    one = get_task("interval_reproduction")
    recipe = Recipe(target_loss=9.0, max_steps=5, learning_rate=0.01, attempts=1, check_every=5)
    with pytest.warns(UserWarning, match="reduce, verify, responses, design: its outputs"):
        task = register_task(
            dataclasses.replace(
                one,
                name="ramp",
                output_symbol=None,
                solution_label="automaton_key",
                recipes={"vanilla": recipe},
                extrapolation_trials=one.recorded_trials,
            )
        )
    try:
        store = str(tmp_path / "ramp.zarr")
        create_population(store, new_population(task, "vanilla", networks=2, hidden_size=4))
        capsys.readouterr()
        assert main(["run", store]) == 0
        told = capsys.readouterr().out
        for stage in ("reduce", "responses"):
            assert f"{stage} ramp/vanilla: left out: {stage} cannot take task 'ramp': its" in told
        assert "verify ramp/vanilla: left out: it needs reduce" in told
        ds = xr.open_zarr(store, group="ramp/vanilla").load()
        for stage in ("train", "record", "extrapolate", "attractors", "label"):
            assert ds[f"status_{stage}"].values.tolist() == [1, 1], stage
        # Some feature may not be defined of a network that is hardly trained; then it says so.
        for status, message in zip(ds.status_features, ds.message_features, strict=True):
            assert status == 1 or (status == 2 and str(message.item()))
        assert ds.attrs["solution_method"] == "attractor_key"
        assert (ds.solution_key == ds.attractor_key).all()
        for stage in ("reduce", "verify", "responses"):
            with pytest.raises(SolspaceError, match="its outputs are continuous, and here they"):
                run_stage(store, stage)
            assert ds[f"status_{stage}"].values.tolist() == [0, 0]
        assert main(["report", store, str(tmp_path / "page.html")]) == 0
        page = (tmp_path / "page.html").read_text()
        assert re.search(r"Root mean squared error within the trained range 0\.\d+", page)
        assert "Left out: reduce, responses, verify. Of the task: its outputs are" in page
        assert "put out there" not in page and "pending" not in page
        assert main(["info", store]) == 0
        assert "verify      not for this task" in capsys.readouterr().out
        assert "Trajectories in the plane" in page and "Graph" not in page.split("<footer>")[0]
        assert check_store(store) == []
    finally:
        registry.restore({k: v for k, v in registry.registered().items() if k != "ramp"})


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
