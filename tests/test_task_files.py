"""Tasks in files and in installed packages: at the command line, and found again by a store."""

from __future__ import annotations

import json
import os
import sys

import pytest
import xarray as xr

import solspace
from solspace import SolspaceError, get_task, load_tasks, run_stage
from solspace.cli import main
from solspace.tasks import files, registry

SOURCE = """
import numpy as np
from solspace import Recipe, Task, Trials
from solspace.tasks import epochs_from_starts

def make_trials(onsets):
    on = np.array(onsets)[:, None]
    given = (np.arange(20) >= on) & (np.arange(20) < on + 2)
    return Trials(
        input=given[..., None].astype(np.float32),
        target=np.roll(given, 3, axis=1)[..., None].astype(np.float32),
        epoch=epochs_from_starts(20, [on, on + 2]),
        parameters={"onset": on[:, 0]},
    )

ECHO = Task(
    name="echo",
    inputs=("cue",),
    outputs=("answer",),
    epochs=("quiet", "cue", "after"),
    parameters={"onset": "step at which the cue begins"},
    training_trials=lambda rng: make_trials([3, 5, 7]),
    recorded_trials=lambda: make_trials([3, 5, 7]),
    extrapolation_trials=lambda: make_trials([3, 9]),
    recipes={"vanilla": Recipe(9.0, 20, learning_rate=0.01, check_every=5, attempts=1)},
)
"""


def _forget():
    """As in a new process."""
    registry.restore({})
    registry._reasons.clear()


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = registry.registered()
    _forget()
    yield tmp_path / "state" / "solspace" / "task_files.json"
    registry.restore(before)
    registry._reasons.clear()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_task.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def store(file, tmp_path):
    store = str(tmp_path / "echo.zarr")
    begun = "--task echo --architecture vanilla --networks 2 --hidden-size 3 --quiet"
    assert main(["train", store, "--task-file", str(file), *begun.split()]) == 0
    _forget()
    return store


def _said(capsys, *argv):
    capsys.readouterr()
    return main(list(argv)), capsys.readouterr().err


def test_every_verb_finds_the_file_again(store, file, tmp_path, capsys):
    for verb in (["record"], ["info"], ["check"]):
        code, said = _said(capsys, *verb, store)
        assert (code, said.count("WARNING")) == (0, 0), said
        _forget()
    (outcome,) = run_stage(store, "extrapolate")
    assert outcome.done == 2
    _forget()
    ds = xr.open_zarr(store, group="echo/vanilla")
    assert solspace.record(ds.load()).sizes["trial"] == 3
    stored = json.loads(ds.attrs["task_source"])
    assert stored["file"] == "my_task.py" and stored["text"] == SOURCE
    assert str(tmp_path) not in ds.attrs["task_source"]


def test_a_file_that_has_changed_or_is_gone_is_said_to_be(store, file, capsys):
    file.write_text(SOURCE + "\n# now with a remark\n")
    code, said = _said(capsys, "record", store, "--quiet")
    assert code == 2 and "task 'echo' was made from my_task.py (sha256 " in said
    assert f"{file} has changed since" in said and "--task-file my_task.py" in said
    code, said = _said(capsys, "record", store, "--quiet", "--task-file", str(file))
    assert code == 0 and said.count("is from my_task.py (sha256") == 1
    _forget()
    ds = xr.open_zarr(store, group="echo/vanilla")
    trained, recorded = (entry["task"] for entry in json.loads(ds.attrs["provenance"]))
    assert trained["file"] == recorded["file"] and trained["sha256"] != recorded["sha256"]
    # Noted when it was written, so it is the file as it is now that the store asks for.
    assert main(["record", store, "--quiet"]) == 0
    _forget()
    file.unlink()
    code, said = _said(capsys, "extrapolate", store, "--quiet")
    assert code == 2 and f"is not at {file} any more" in said
    assert main(["info", store]) == 0 and main(["check", store]) == 0


def test_nothing_that_a_store_names_is_run_by_itself(store, file, memory, capsys):
    memory.unlink()
    proof = file.with_name("ran")
    file.write_text(SOURCE + f"\nopen({str(proof)!r}, 'w')\n")
    code, said = _said(capsys, "record", store, "--quiet")
    assert code == 2 and "code that a store names is never run by itself" in said
    ds = xr.open_zarr(store, group="echo/vanilla")
    with pytest.raises(SolspaceError, match="this machine has not been given"):
        solspace.record(ds)
    assert not proof.exists()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_a_memory_that_others_can_write_is_not_believed(store, memory, capsys):
    memory.chmod(0o666)
    code, said = _said(capsys, "record", store, "--quiet")
    assert code == 2 and "this machine has not been given" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "has no task"),
        ("x = (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("from solspace.tasks.interval_reproduction import TASK", "has no task"),
        (SOURCE.replace('"echo"', '"two_neuron"'), "as one of the package is"),
        (SOURCE + "\nfrom dataclasses import replace\nB = replace(ECHO)", "two tasks named 'echo'"),
        (SOURCE.replace("inputs=(", "inputs=('x', "), r"input has shape \(3, 20, 1\)"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_nothing_behind(file, memory, text, message):
    file.write_text(text)
    before = set(files.own_modules())
    with pytest.raises(SolspaceError, match=message):
        load_tasks(file)
    assert registry.registered() == {} and not memory.exists()
    assert set(files.own_modules()) == before


def test_a_file_may_register_its_tasks(file):
    own = "from solspace import register_task\n\ndef make():\n    return Task"
    file.write_text(SOURCE.replace("ECHO = Task", own))
    with pytest.raises(SolspaceError, match="has no task"):
        load_tasks(file)
    file.write_text(file.read_text() + "register_task(make())\n")
    assert [task.name for task in load_tasks(file)] == ["echo"]
    assert get_task("echo").inputs == ("cue",)


TOWER = """
import torch
from solspace import register_architecture
from solspace.networks import stepped_architecture

class Tower(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = torch.nn.GRUCell(2, 4), torch.nn.Linear(4, 1)

    def step(self, state, input):
        return self.cell(input, state)

    def readout(self, state):
        return self.out(state).tanh()

register_architecture(stepped_architecture("tower", Tower(), units=4))
"""


def test_a_file_may_register_architectures(tmp_path, monkeypatch, capsys):
    import torch

    from solspace.networks import registry as architectures

    monkeypatch.setattr(architectures, "_own", {})
    file, store = tmp_path / "my_tower.py", str(tmp_path / "x.zarr")
    file.write_text(TOWER)
    cell, out = torch.nn.GRUCell(2, 4), torch.nn.Linear(4, 1)
    torch.save(torch.nn.ModuleDict({"cell": cell, "out": out}).state_dict(), tmp_path / "a.pt")
    given = ["--task", "interval_reproduction", "--architecture", "tower", str(tmp_path / "a.pt")]
    code, said = _said(capsys, "import", store, *given)
    assert code == 2 and "unknown architecture 'tower'" in said and "--task-file FILE.py" in said
    code, said = _said(capsys, "import", store, *given, "--task-file", str(file))
    assert code == 0, said
    assert main(["record", store, "--quiet", "--task-file", str(file)]) == 0
    assert main(["check", store]) == 0
    architectures._own.clear()
    assert main(["info", store]) == 0
    code, said = _said(capsys, "extrapolate", store, "--quiet")
    assert code == 2 and "tower" in said and "--task-file FILE.py" in said
    file.write_text("x = 1")
    code, said = _said(capsys, "info", store, "--task-file", str(file))
    assert code == 2 and "has no task and registers no architecture" in said


def test_a_task_of_an_installed_package(file, tmp_path, monkeypatch):
    where = tmp_path / "site"
    (where / "echoes-1.2.dist-info").mkdir(parents=True)
    (where / "echoes.py").write_text(SOURCE)
    (where / "echoes-1.2.dist-info" / "METADATA").write_text("Name: echoes\nVersion: 1.2\n")
    points = where / "echoes-1.2.dist-info" / "entry_points.txt"
    points.write_text("[solspace.tasks]\necho = echoes:ECHO\nother = echoes:ECHO\n")
    monkeypatch.syspath_prepend(str(where))
    registry._entry_points.cache_clear()
    try:
        assert {"echo", "other"} <= set(registry.task_names())
        assert get_task("echo").outputs == ("answer",)
        assert registry.source_of("echo") == {"entry_point": "echoes:ECHO", "package": "echoes 1.2"}
        with pytest.raises(SolspaceError, match=r"echoes 1\.2 is the task 'echo'"):
            get_task("other")
    finally:
        registry._entry_points.cache_clear()
        sys.modules.pop("echoes", None)


@pytest.mark.slow
def test_workers_are_sent_the_task_of_a_file(store, capsys):
    code, said = _said(capsys, "record", store, "--workers", "2", "--quiet")
    assert code == 0, said
