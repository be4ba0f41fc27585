"""The command line as a user types it: its output and its exit code."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from solspace.cli import main
from solspace.population import new_population
from solspace.run.populations import create_population
from solspace.stages import collection
from solspace.store import Store
from solspace.tasks import Recipe

GROUP = "interval_reproduction/vanilla"
TRAIN = ["--task", "interval_reproduction", "--architecture", "vanilla"]

# Learns nothing much, in a second.
QUICK = Recipe(target_loss=0.2, max_steps=20, learning_rate=0.01, attempts=1, check_every=10)


def solspace(*args: object) -> subprocess.CompletedProcess[str]:
    """A command in this process, which has everything imported."""
    typed = list(map(str, args))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(typed)
        except SystemExit as end:  # argparse
            code = end.code
    return subprocess.CompletedProcess(typed, code, out.getvalue(), err.getvalue())


def in_a_process(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "solspace", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def save_networks(folder, sizes=(4, 6, 5), module=torch.nn.RNN, gain=1.0):
    files = []
    for i, n in enumerate(sizes):
        torch.manual_seed(i)
        path = folder / f"{n}_i{i}" / "weights.pt"
        path.parent.mkdir(parents=True)
        model = torch.nn.ModuleDict({"rnn": module(2, n), "fc": torch.nn.Linear(n, 1)})
        torch.save({k: gain * v for k, v in model.state_dict().items()}, path)
        files.append(path)
    return files


def assert_fails(result: subprocess.CompletedProcess[str], *words: str, status: int = 2) -> None:
    assert result.returncode == status, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("solspace: ")
    for word in words:
        assert word in lines[0]


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "mine.zarr"
    files = save_networks(tmp_path / "nets")
    assert main(["import", str(path), *TRAIN, *map(str, files)]) == 0
    return path


@pytest.mark.slow
def test_from_files_to_features(tmp_path):
    files = save_networks(tmp_path / "nets")
    path = tmp_path / "mine.zarr"
    done = in_a_process("import", path, *TRAIN, *files)
    assert done.returncode == 0
    said = done.stdout.splitlines()
    assert said[0] == f"import {GROUP}: 3 networks"
    assert [line.split(":")[0].strip() for line in said[1:]] == ["4_i0", "6_i1", "5_i2"]
    assert done.stderr.startswith("solspace: WARNING: 3 of 3 networks do not do the task")
    done = in_a_process("record", path, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"record {GROUP}: 3 of 3 networks done\n"
    assert "3/3" in done.stderr  # the bar
    done = solspace("features", path, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = solspace("record", path)
    again = "nothing was pending (--redo computes them again)"
    assert done.stdout == f"record {GROUP}: 3 of 3 networks done, {again}\n"
    text = solspace("info", path).stdout
    assert f"{GROUP}: 3 networks (1 of 4 units, 1 of 5 units, 1 of 6 units)" in text
    assert "3 pending" in text
    assert solspace("check", path).stdout == f"{path}: no faults\n"
    ds = xr.open_zarr(path, group=GROUP).load()
    assert ds.name.values.tolist() == ["4_i0", "6_i1", "5_i2"]
    # An untrained network may rest, and then has no direction to compare: it says so.
    done = ds.status_features == 1
    assert done.any()
    assert np.isfinite(ds.features[done]).all()
    assert all(ds.message_features[~done].values != "")


def test_training_goes_through_every_command(tmp_path):
    path = str(tmp_path / "trained.zarr")
    ds = new_population(
        "interval_reproduction", "vanilla", networks=3, hidden_size=[4, 5], recipe=QUICK
    )
    create_population(path, ds)
    assert main(["run", path, "--task", "interval_reproduction", "--quiet"]) == 0
    done = xr.open_zarr(path, group=GROUP).load()
    assert done.status_train.values.tolist() == [1, 1, 1]
    assert (done.loss < 0.2).all()
    assert (done.gradient_steps > 0).all()
    for i, n in enumerate(done.hidden_size.values):
        final, first = done.weight_hh[i, 0, :n, :n], done.initial_weight_hh[i, 0, :n, :n]
        assert np.isfinite(final).all()
        assert not np.array_equal(final, first)
    assert main(["check", path]) == 0


def test_a_network_that_never_gets_there_is_stored_as_failed(tmp_path, capsys):
    path = str(tmp_path / "hopeless.zarr")
    recipe = Recipe(target_loss=1e-9, max_steps=20, learning_rate=1e-3, attempts=2, check_every=10)
    ds = new_population(
        "interval_reproduction", "vanilla", networks=2, hidden_size=4, recipe=recipe
    )
    create_population(path, ds)
    assert main(["run", path]) == 0
    assert f"train {GROUP}: 0 of 2 networks done, 2 failed" in capsys.readouterr().out
    stored = xr.open_zarr(path, group=GROUP).load()
    assert stored.status_train.values.tolist() == [2, 2]
    assert stored.status_reduce.values.tolist() == [2, 2]
    assert stored.attempts.values.tolist() == [2, 2]
    assert np.isfinite(stored.weight_hh.values).all()
    assert main(["info", path, "--failed"]) == 0
    assert "wanted 1e-09" in capsys.readouterr().out


def test_help_teaches():
    text = in_a_process("--help").stdout
    assert "solspace train demo.zarr" in text
    for verb in ("train", "import", "record", "extrapolate", "reduce", "features", "run", "info"):
        assert "example:" in solspace(verb, "--help").stdout


# --------------------------------------------------------------------------- bad input


def test_unknown_task(tmp_path):
    path = tmp_path / "x.zarr"
    result = in_a_process("train", path, "--task", "ready_set_stop", "--architecture", "vanilla")
    assert_fails(result, "unknown task 'ready_set_stop'", "interval_reproduction")
    result = solspace("train", path, "--task", "interval_reproduction", "--architecture", "rnn")
    assert_fails(result, "unknown architecture 'rnn'", "vanilla", "gru", "lstm")
    assert not path.exists()


def test_hidden_size_zero(tmp_path):
    path = tmp_path / "x.zarr"
    assert_fails(solspace("train", path, *TRAIN, "--hidden-size", 20, 0), "hidden size 0")
    assert not path.exists()


def test_a_state_dict_of_another_architecture_writes_nothing(tmp_path):
    good, bad = (
        save_networks(tmp_path / "a", (4,)),
        save_networks(tmp_path / "b", (6,), torch.nn.GRU),
    )
    path = tmp_path / "x.zarr"
    result = solspace("import", path, *TRAIN, *good, *bad)
    assert_fails(result, str(bad[0]), "weight_ih_l0 is (18, 2)", "expected (6, 2)")
    assert not path.exists()


def test_a_truncated_file_writes_nothing(tmp_path):
    files = save_networks(tmp_path / "nets")
    files[1].write_bytes(files[1].read_bytes()[:500])
    path = tmp_path / "x.zarr"
    assert_fails(solspace("import", path, *TRAIN, *files), str(files[1]), "truncated")
    assert not path.exists()


def test_a_pickle_that_runs_code(tmp_path):
    target = tmp_path / "written"
    file = tmp_path / "bomb.pt"
    code = (
        "import torch\n"
        "class Bomb:\n"
        f"    def __reduce__(self): return (open, ({str(target)!r}, 'w'))\n"
        f"torch.save(Bomb(), {str(file)!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert_fails(solspace("import", tmp_path / "x.zarr", *TRAIN, file), "could run code")
    assert not target.exists()


def test_a_store_of_another_schema_version(store, tmp_path):
    attrs = zarr.open_group(str(store), mode="r+").attrs
    attrs["solspace_schema_version"] = 3
    assert_fails(solspace("record", store), "has schema version 3", "reads version 2", "newer")
    attrs["solspace_schema_version"] = 1
    commands = [
        *([verb, store] for verb in ("train", "record", "reduce", "run", "info", "check")),
        ["import", store, *TRAIN, *save_networks(tmp_path / "more")],
        ["report", store, tmp_path / "x.html"],
        ["pack", store, tmp_path / "copy.zarr"],
    ]
    for command in commands:
        told = f"solspace migrate {store} NEW"
        assert_fails(solspace(*command), "has schema version 1", "reads version 2", told)
    assert not (tmp_path / "x.html").exists() and not (tmp_path / "copy.zarr").exists()


def test_a_store_being_written_by_another_process(store):
    code = (
        "import sys, time\n"
        "from solspace.store import Store\n"
        "with Store(sys.argv[1]).lock('record'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(120)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(store)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        assert_fails(solspace("record", store), "another process", f"process {holder.pid}")
    finally:
        holder.kill()
        holder.communicate()


def test_a_missing_stage(tmp_path, store):
    assert_fails(solspace("reduce", tmp_path / "none.zarr"), "no such store", "solspace train")
    assert_fails(solspace("features", store), "features needs record", "solspace record")
    assert_fails(solspace("report", store, tmp_path / "x.html"), "solspace")
    assert not (tmp_path / "x.html").exists()


@pytest.mark.slow
def test_workers_and_schedulers_that_cannot_be(store):
    assert_fails(solspace("record", store, "--workers", 0), "0 workers")
    assert_fails(
        solspace("record", store, "--workers", 2, "--scheduler", "tcp://127.0.0.1:1"), "not both"
    )
    assert_fails(
        solspace("record", store, "--quiet", "--scheduler", "tcp://127.0.0.1:1"),
        "no dask scheduler answers",
        status=1,
    )
    assert_fails(solspace("record", store, "--workers", 2, "--slurm", 2), "not both")
    assert_fails(solspace("record", store, "--slurm-option", "queue=short"), "--slurm N")


@pytest.mark.slow
def test_a_running_scheduler_does_the_work(store):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        result = solspace("record", store, "--scheduler", cluster.scheduler_address)
    assert result.stdout == f"record {GROUP}: 3 of 3 networks done\n"


def test_a_full_disk(tmp_path):
    """A small tmpfs: one clear line, what is stored stays, and more space lets it go on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=60M", "tmpfs", str(disk)], capture_output=True
        ).returncode
    ):
        pytest.skip("needs the right to mount a tmpfs")
    try:
        files = save_networks(
            tmp_path / "nets", (40, 40, 40), gain=4.0
        )  # chaotic: hardly compresses
        path = disk / "mine.zarr"
        assert solspace("import", path, *TRAIN, *files).returncode == 0
        used = shutil.disk_usage(disk).used
        subprocess.run(
            ["mount", "-o", f"remount,size={used // 1024 + 200}k", str(disk)], check=True
        )
        assert_fails(solspace("record", path, "--quiet"), str(path), "no space left", status=1)
        before = xr.open_zarr(str(path), group=GROUP, consolidated=False).load()
        assert (before.status_train == 1).all()
        assert (before.status_record != 1).any()
        subprocess.run(["mount", "-o", "remount,size=60M", str(disk)], check=True)
        assert solspace("record", path).returncode == 0
        assert solspace("check", path).stdout == f"{path}: no faults\n"
        elsewhere = tmp_path / "same.zarr"
        solspace("import", elsewhere, *TRAIN, *files)
        solspace("record", elsewhere)
        xr.testing.assert_equal(
            xr.open_zarr(str(path), group=f"{GROUP}/training").load(),
            xr.open_zarr(str(elsewhere), group=f"{GROUP}/training").load(),
        )
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --------------------------------------------------------------------------- stages of one's own

OWN = '''
"""Analyses of mine."""
import solspace


@solspace.stage(
    reads=["training/activity"],
    fills=[solspace.Variable("largest", ("network",), "float32", "largest absolute activity")],
)
def largest(ds, *, skip: int = 0, units: list[int] = (0, 1)):
    """Largest absolute activity of some units.

    Parameters
    ----------
    skip : int
        Steps left out first.
    units : list of int
        Which units.
    """
    activity = abs(ds.activity.isel(time=slice(skip, None), unit=list(units)))
    return ds.assign(largest=activity.max(("trial", "time", "unit")))
'''


def test_a_stage_of_ones_own_with_those_it_needs(store, tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "_OWN", {})  # known in this test only
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    stage = ["run", store, "--stage", f"{file}:largest"]
    result = solspace(*stage, "--option", "skip=3", "--option", "units=2,3")
    assert result.returncode == 0, result.stderr
    assert f"largest {GROUP}: 3 of 3 networks done" in result.stdout
    ds = xr.open_zarr(store, group=GROUP).load()
    activity = xr.open_zarr(store, group=f"{GROUP}/training").activity[:, :, 3:, [2, 3]]
    np.testing.assert_array_equal(ds.largest, abs(activity).max(("trial", "time", "unit")))
    assert ds.status_record.values.tolist() == [1, 1, 1]  # it was needed first
    assert_fails(solspace(*stage, "--option", "skip=4"), "was run with", "--skip 3", "--redo")
    assert_fails(solspace(*stage, "--option", "skips=4"), "--option 'skips=4'", "skip, units")
    assert_fails(solspace(*stage, "--option", "skip=x"), "'x' is no int")
    assert solspace(*stage, "--option", "skip=4", "--redo").returncode == 0
    drawn = solspace("stages", f"{file}:largest")
    assert drawn.returncode == 0, drawn.stderr
    lines = drawn.stdout.splitlines()
    assert lines[0].startswith("train: ")
    (own,) = (line for line in lines if "largest: " in line)
    assert own.startswith("    largest") and str(file) in own  # below record
    assert "  largest     3 done\n" in solspace("info", store).stdout


def test_run_names_one_stage(store):
    assert solspace("run", store, "--stage", "record").returncode == 0
    assert_fails(solspace("run", store, "--stage", "recrod"), "unknown stage 'recrod'", "record")
    assert_fails(solspace("run", store, "--redo"), "give --stage")
    done = solspace("run", store, "--stage", "reduce", "--option", "method=automaton")
    assert done.returncode == 0, done.stderr
    wrong = solspace("run", store, "--stage", "reduce", "--option", "method=best")
    assert_fails(wrong, "method='best'", "turner2021")


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(tmp_path):
    path = Store(tmp_path / "small.zarr", create=True).path
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "solspace", "info", path]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_needs_no_heavy_package():
    code = (
        "import sys\nfrom solspace.cli import main\ntry:\n    main(['--help'])\n"
        "except SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "extrapolate" in done.stdout
    heavy = {"xarray", "zarr", "dask", "numba", "torch", "scipy", "pandas", "sklearn"}
    assert not heavy & set(done.stderr.split())


def test_what_is_compiled_is_told_once_with_how_long_and_not_when_it_is_found(tmp_path):
    script = (
        "import numpy as np; from solspace.run.compiling import told_of_compiling;"
        "from solspace.verification.scores import _same; none = np.zeros(0, np.int64);"
        "context = told_of_compiling(); context.__enter__(); _same(none, none, none, none, none);"
        "_same(np.zeros(0, np.int16), none, none, none, none); context.__exit__(None, None, None)"
    )
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
        for _ in range(2)
    )
    assert first.returncode == second.returncode == 0
    begun, ended = first.stderr.splitlines()
    assert begun.startswith("solspace: compiling for this processor, once after an install")
    assert re.fullmatch(r"solspace: compiled in \d+ s; from now on that is found", ended)
    assert second.stderr == ""
