"""Every task's trials against the numbers they are defined by."""

from __future__ import annotations

import numpy as np
import pytest

from solspace import SolspaceError, get_task
from solspace.tasks import check_task, task_names
from solspace.tasks.delayed_discrimination import make_trials as delayed
from solspace.tasks.interval_discrimination import make_trials as intervals
from solspace.tasks.interval_reproduction import make_trials as reproduction


def on(values: np.ndarray) -> list[int]:
    return np.flatnonzero(values).tolist()


def test_interval_reproduction_pulses():
    trials = reproduction([20, 37, 50])
    assert trials.input.shape == (3, 150, 2)
    for i, t_in in enumerate((20, 37, 50)):
        assert on(trials.input[i, :, 0]) == list(range(5, 10))
        assert on(trials.input[i, :, 1]) == list(range(5 + t_in, 10 + t_in))
        assert on(trials.target[i, :, 0]) == list(range(5 + 2 * t_in, 10 + 2 * t_in))
    assert trials.target.max() == 1


def test_delayed_discrimination_pulses():
    trials = delayed([(2, 9, 19), (8, 3, 0)])
    for i, (f1, f2, delay) in enumerate(((2, 9, 19), (8, 3, 0))):
        assert on(trials.input[i, :, 0]) == list(range(5, 10))
        assert trials.input[i, 5, 0] == f1
        assert on(trials.input[i, :, 1]) == list(range(15 + delay, 20 + delay))
        assert trials.input[i, 15 + delay, 1] == f2
        assert on(trials.target[i, :, 0]) == list(range(30 + delay, 35 + delay))
        assert trials.target[i, 30 + delay, 0] == np.sign(f1 - f2)


def test_interval_discrimination_pulses():
    trials = intervals([(10, 30), (25, 12)])
    for i, (t1, t2) in enumerate(((10, 30), (25, 12))):
        assert on(trials.input[i, :, 0]) == [t1, t1 + 1]
        assert on(trials.input[i, :, 1]) == [t1 + t2, t1 + t2 + 1]
        response = 15 + t1 + t2
        assert on(trials.target[i, :, 0]) == [response, response + 1]
        assert trials.target[i, response, 0] == np.sign(t1 - t2)


@pytest.mark.parametrize(
    ("name", "trained", "recorded", "steps"),
    [
        ("interval_reproduction", 128, 31, 150),
        ("delayed_discrimination", 1440, 72, 60),
        ("interval_discrimination", 420, 420, 90),
    ],
)
def test_sets_of_trials(name, trained, recorded, steps):
    task = get_task(name)
    training, records = task.training_trials(np.random.default_rng(0)), task.recorded_trials()
    assert (len(training), len(records)) == (trained, recorded)
    assert training.input.shape[1] == records.input.shape[1] == steps


@pytest.mark.parametrize("name", task_names())
@pytest.mark.parametrize("kind", ["recorded_trials", "extrapolation_trials"])
def test_trials_make_sense_by_themselves(name, kind):
    task = get_task(name)
    trials = getattr(task, kind)()
    n, steps = len(trials), trials.input.shape[1]
    assert trials.input.shape == (n, steps, len(task.inputs))
    assert trials.target.shape == (n, steps, len(task.outputs))
    assert trials.epoch.shape == (n, steps)
    assert set(trials.parameters) == set(task.parameters)
    # Epochs come in their order, one after the other.
    assert (np.diff(trials.epoch.astype(int), axis=1) >= 0).all()
    assert trials.epoch.max() < len(task.epochs)
    asked = np.isin(trials.epoch, [task.epochs.index(e) for e in task.asked or task.epochs])
    assert (np.isfinite(trials.target) == asked[..., None]).all()
    if task.noisy:
        return
    # Inputs change only where an epoch does, and so does the target.
    change = (np.diff(trials.input, axis=1) != 0).any(-1) | (
        np.diff(trials.target, axis=1) != 0
    ).any(-1)
    assert not (change & (np.diff(trials.epoch, axis=1) == 0)).any()


@pytest.mark.parametrize("name", task_names())
def test_extrapolation_goes_well_past_training(name):
    task = get_task(name)
    recorded, beyond = task.recorded_trials(), task.extrapolation_trials()
    for parameter in task.parameters:
        if len(np.unique(recorded.parameters[parameter])) == 2:  # which of two
            continue
        assert beyond.parameters[parameter].max() >= 2 * recorded.parameters[parameter].max()


def test_training_trials_are_fixed_by_the_generator():
    task = get_task("interval_reproduction")
    one, same, other = (task.training_trials(np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.input, same.input)
    assert not np.array_equal(one.input, other.input)
    t_in = one.parameters["t_in"]
    assert (t_in.min(), t_in.max()) >= (20, 40)
    assert t_in.max() <= 50


def test_an_unknown_task_or_recipe_is_named_with_what_there_is():
    with pytest.raises(SolspaceError, match=r"unknown task 'x'; tasks: .*interval_reproduction"):
        get_task("x")
    with pytest.raises(SolspaceError, match="no training recipe for architecture 'planar'"):
        get_task("interval_reproduction").recipe("planar")


def test_a_task_is_one_file_and_no_list(tmp_path, monkeypatch):
    """A file put beside the others is a task; taken away it is none."""
    import solspace.tasks

    (tmp_path / "short_intervals.py").write_text(
        "import dataclasses\n"
        "from solspace.tasks.interval_reproduction import TASK as LONG\n"
        "from solspace.tasks.task import Task\n"
        "TASK: Task = dataclasses.replace(LONG, name='short_intervals', description='short')\n"
    )
    (tmp_path / "no_task.py").write_text("HELPER = 1\n")
    assert "short_intervals" not in task_names()
    monkeypatch.setattr(solspace.tasks, "__path__", [*solspace.tasks.__path__, str(tmp_path)])
    assert "short_intervals" in task_names() and "no_task" not in task_names()
    assert get_task("short_intervals").description == "short"
    assert len(check_task(get_task("short_intervals")).recorded_trials()) == 31
    monkeypatch.undo()
    with pytest.raises(SolspaceError, match="unknown task 'short_intervals'"):
        get_task("short_intervals")


def test_two_files_with_one_task_are_refused(tmp_path, monkeypatch):
    import solspace.tasks

    (tmp_path / "twice.py").write_text("from solspace.tasks.two_neuron import TASK\n")
    monkeypatch.setattr(solspace.tasks, "__path__", [*solspace.tasks.__path__, str(tmp_path)])
    with pytest.raises(SolspaceError, match="two tasks are named 'two_neuron'"):
        task_names()
