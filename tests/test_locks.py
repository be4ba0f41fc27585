"""Who may write: by whatever name a store is reached, and whatever happens to its lock files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from solspace import SolspaceError, import_networks
from solspace.cli import main
from solspace.networks import parameter_shapes
from solspace.population import new_population
from solspace.run import where
from solspace.run.loop import run_stage
from solspace.run.populations import add_population, create_population
from solspace.store import Population, Store, locks

TRAIN = ["--task", "interval_reproduction", "--architecture", "vanilla", "--networks", "2"]

HOLD = """
import sys, time
from solspace.store import Store
with Store(sys.argv[1]).lock(sys.argv[2]):
    print("held", flush=True)
    time.sleep(200)
"""


@pytest.fixture
def store(tmp_path) -> str:
    rng = np.random.default_rng(1)
    shapes = parameter_shapes("vanilla", 6, inputs=2, outputs=1)
    networks = {
        f"net{i}": {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
        for i in range(4)
    }
    path = str(tmp_path / "small.zarr")
    add_population(
        path, import_networks("interval_reproduction", "vanilla", networks), shard_size=1
    )
    return path


@pytest.fixture
def held(store):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, store, "reduce"], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_symbolic_link_is_the_same_store(store, held, tmp_path):
    link = tmp_path / "elsewhere" / "link.zarr"
    link.parent.mkdir()
    link.symlink_to(store)
    with pytest.raises(SolspaceError, match=f"process {held.pid}"):
        run_stage(str(link), "record")
    assert os.listdir(link.parent) == ["link.zarr"]


def test_a_deleted_lock_lets_nobody_in(store, held):
    os.unlink(f"{store}.lock")
    for part in (None, "1/2"):
        with pytest.raises(SolspaceError, match=r"another process.*lock file .* was deleted"):
            run_stage(store, "record", part=part)
    assert not Path(f"{store}.lock").exists()
    held.kill()
    held.wait()
    assert run_stage(store, "record")[0].done == 4


@pytest.mark.parametrize("another", [False, True])
def test_who_loses_the_lock_writes_nothing_more(store, another, monkeypatch, capsys):
    """It is deleted after the first shard, as a user who thinks it was left over would."""
    file = Path(f"{store}.lock")
    write = Population.write_shard

    def then_lose(self, shard, *rest, **token):
        write(self, shard, *rest, **token)
        if shard.start == 0:
            file.unlink()
            if another:  # whose lock it is now stays there
                file.write_text("solspace other")

    monkeypatch.setattr(Population, "write_shard", then_lose)
    monkeypatch.setattr(where, "cores", lambda: 1)  # one thread: shards in order
    assert main(["record", store, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{file}: this lock file was deleted or replaced" in error
    population = Store(store).populations()[0]
    assert population.status("record").tolist() == [1, 0, 0, 0]
    assert file.exists() == another
    if not another:
        monkeypatch.undo()
        assert run_stage(store, "record")[0].computed == 3


def test_a_slice_that_loses_its_claim_writes_nothing_more(store):
    population = Store(store).populations()[0]
    shards = population.shards()[:2]
    nothing = np.zeros(4, np.uint8)
    with (
        Store(store).lock("record --slice 1/2", shared=True),
        population.claim("record", shards, "record --slice 1/2"),
    ):
        population.write_all("status_record", nothing)
        (claim,) = Path(store).parent.glob("*.record.0-2.lock")
        claim.unlink()
        with pytest.raises(SolspaceError, match=r"record\.0-2\.lock: this lock file was deleted"):
            population.write_all("status_record", nothing + 1)
    assert (population.status("record") == 0).all()


@pytest.mark.parametrize("name", [".lock", ".brief.lock"])
@pytest.mark.parametrize("kind", ["link", "file", "hard link", "folder"])
def test_what_is_no_lock_is_refused_and_kept(store, tmp_path, name, kind, capsys):
    place, mine = Path(store + name), tmp_path / "thesis.tex"
    mine.write_text("ten years of work")
    if kind == "link":
        place.symlink_to(mine)
    elif kind == "hard link":
        os.link(mine, place)
    elif kind == "file":
        place.write_text("ten years of work")
    else:
        place.mkdir()
    fresh = tmp_path / "fresh.zarr"
    (tmp_path / f"fresh.zarr{name}").symlink_to(mine)
    for command in (["record", store, "--quiet"], ["train", str(fresh), *TRAIN]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"{command[1]}{name}: is a" in error
        assert "Move it away" in error
    assert not fresh.exists()
    assert mine.read_text() == "ten years of work"
    if kind == "file":
        assert place.read_text() == "ten years of work"
    assert os.path.lexists(place)


def test_a_lock_left_by_a_killed_process_is_taken_over(store):
    Path(f"{store}.lock").write_text("solspace record, process 1 on nowhere, since 2020")
    Path(f"{store}.brief.lock").touch()
    assert run_stage(store, "record")[0].done == 4
    assert sorted(p.name for p in Path(store).parent.iterdir()) == ["small.zarr"]


@pytest.mark.parametrize("workers", ["0", "-2"])
def test_workers_that_cannot_be_make_no_store(tmp_path, capsys, workers):
    path = tmp_path / "mine.zarr"
    assert main(["train", str(path), *TRAIN, f"--workers={workers}"]) == 2
    assert f"{workers} workers; give 1 or more" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written_is_one_line(tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=10M", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        begun = disk / "begun.zarr"
        create_population(
            str(begun), new_population("interval_reproduction", "vanilla", networks=2)
        )
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for command in (
            ["train", str(disk / "new.zarr"), *TRAIN],
            ["train", str(begun)],
            ["run", str(begun)],
        ):
            assert main([*command, "--quiet"]) == 2
            error = capsys.readouterr().err
            assert error.count("\n") == 1, error
            assert str(disk) in error and "Read-only file system" in error
        assert main(["check", str(begun)]) == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_lock_is_missed_only_by_who_holds_it(store):
    locks.check_held(store)
    with Store(store).lock("record"):
        locks.check_held(store)
    locks.check_held(store)
