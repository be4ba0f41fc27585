"""Who wrote what: late writers are refused, and whatever is not what was written is named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import solspace
from solspace import SolspaceError
from solspace.run.loop import run_stage
from solspace.run.populations import pack
from solspace.run.reading import split_results, written_by_shard
from solspace.stages import collection
from solspace.store import Population, Shard, Store, creation, records
from solspace.store.check import check_store
from solspace.store.whole import whole_or_nothing

GROUP = "interval_reproduction/vanilla"
TRAINING = f"{GROUP}/training"


def files_of(path: str) -> dict[str, bytes]:
    """Every file of a store but what changes with each run: groups' attributes and records."""
    found = {}
    for file in sorted(Path(path).rglob("*")):
        name = file.relative_to(path).as_posix()
        group = name.endswith("zarr.json") and b'"node_type": "group"' in file.read_bytes()
        if file.is_file() and not group and "/writing/" not in name:
            found[name] = file.read_bytes()
    return found


@pytest.fixture(scope="module")
def made(demo_store) -> str:
    return demo_store


@pytest.fixture
def store(made, tmp_path) -> str:
    return shutil.copytree(made, str(tmp_path / "store.zarr"))


def computed(population: Population, stage: str, shard: Shard):
    """What a stage gives for one shard, as a worker computes it."""
    record = collection.find(stage)
    ds = population.open().isel(network=slice(*shard)).load()
    return split_results(record.function(ds), record, population)


def swap(path: str, one: str, other: str) -> None:
    first, second = (os.path.join(path, *f.split("/")) for f in (one, other))
    os.rename(first, first + ".x")
    os.rename(second, first)
    os.rename(first + ".x", second)


# --------------------------------------------------------------------------- damage


def test_what_is_not_what_was_written_is_named_with_its_file(store):
    """Flipped, swapped, cut and deleted, in arrays by shard and in those written whole, at once."""
    assert check_store(store) == []
    base = os.path.join(store, *GROUP.split("/"))
    swap(base, "training/output/c/0/0/0/0", "training/output/c/1/0/0/0")
    damage = {
        "graph/edge_input/c/1/0": lambda b: b[:7],
        "training/epoch/c/0/0": lambda b: bytes([*b[:-9], b[-9] ^ 4, *b[-8:]]),
        "weight_hh/c/0/0/0/0": lambda b: b"",
        "graph/edge_input/zarr.json": lambda b: b.replace(b"int16", b"int8"),
    }
    for name, change in damage.items():
        file = Path(base, name)
        file.write_bytes(change(file.read_bytes()))
    for name in ("graph/edge_target/c/0/0", "name/c/0", "extrapolation/output/zarr.json"):
        os.unlink(os.path.join(base, name))
    found = check_store(store)
    for told in (
        f"{TRAINING}/output: networks 0..1 are not what record wrote",
        f"{TRAINING}/output: networks 2..3 are not what record wrote",
        *damage,
        f"{GROUP}/graph/edge_target: networks 0..1 are missing",
        f"{GROUP}/name: file {GROUP}/name/c/0 is missing",
        f"{GROUP}/extrapolation/output: its metadata are missing",
    ):
        assert any(told in fault for fault in found), (told, found)
    quick = check_store(store, quick=True)  # finds what is missing, and metadata
    assert any("edge_target: networks 0..1 are missing" in fault for fault in quick)
    assert any(f"{GROUP}/graph/edge_input: its metadata" in fault for fault in quick)
    assert not any("training/output" in fault for fault in quick)


def test_labels_that_nobody_has_given_yet_are_noted_as_no_files(tmp_path):
    path = str(tmp_path / "store.zarr")
    mine = {
        f"net{i}": {name: np.full(shape, 0.1 + i) for name, shape in shapes.items()}
        for shapes in [solspace.networks.parameter_shapes("vanilla", 4, 2, 1)]
        for i in range(3)
    }
    ds = solspace.import_networks("interval_reproduction", "vanilla", mine)
    ds = ds.assign_coords(solution=("network", np.full(3, -1, np.int16)))
    population = solspace.add_population(path, ds, shard_size=2)
    run_stage(path, "record")
    files = records.Files.of(population)
    for name, files_there in (("solution", False), ("name", True), ("hidden_size", True)):
        array = population.zarr_group("training")[name]
        keys = [f"training/{name}/{key}" for key in records.shard_files(array, 0, 3)]
        assert keys
        for key in keys:
            assert (files.digests[key] != records.EMPTY) == files_there
            assert (Path(population.folder()) / key).exists() == files_there
        np.testing.assert_array_equal(array[...], ds[name].values)
    assert not check_store(path)
    # What is put there is no label that was given.
    key = Path(population.folder()) / "training/solution/c/0"
    key.parent.mkdir(exist_ok=True)
    shutil.copy(Path(population.folder()) / "training/hidden_size/c/0", key)
    assert any("training/solution" in told for told in check_store(path))


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("zarr.json", "the store: its metadata are missing"),
        ("interval_reproduction/zarr.json", "which hides vanilla"),
        (f"{GROUP}/zarr.json", f"{GROUP}: its metadata are missing"),
        (f"{GROUP}/graph", f"{GROUP}/graph: the group is missing"),
        (f"{GROUP}/writing", "its group writing is missing"),
        (f"{GROUP}/writing/file/c/0", "its first line is gone"),
        (f"{GROUP}/writing/record/token/c/0", "which says whose each shard is"),
        (f"{GROUP}/writing/record/record/c/1/0", "record: networks 2..3 are called done or failed"),
        (f"{GROUP}/status_record/c/1", "record: networks 2..3 are called pending"),
        (f"{GROUP}/loss/zarr.json", f"{GROUP}/loss: its metadata are missing"),
    ],
)
def test_whatever_is_gone_is_named(store, gone, told):
    path = os.path.join(store, *gone.split("/"))
    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    assert any(told in fault for fault in check_store(store, quick=True))


def test_the_copy_of_metadata_is_held_against_what_it_is_a_copy_of(store):
    file = Path(store, *GROUP.split("/"), "weight_hh", "zarr.json")
    node = json.loads(file.read_text())
    node["attributes"]["long_name"] = "another"
    file.write_text(json.dumps(node))
    shutil.rmtree(Path(store, *GROUP.split("/"), "response"))
    found = check_store(store, quick=True)
    assert any(f"{GROUP}/weight_hh: the copy of its metadata" in fault for fault in found)
    assert any(f"{GROUP}/response: is gone" in fault for fault in found)


# --------------------------------------------------------------------------- writers


def test_a_late_writer_is_refused_and_changes_nothing(store):
    population = Store(store).populations()[0]
    record, shard = collection.find("record"), Shard(0, 2)
    late = population.take("record", [shard], written_by_shard(population, record))
    data = computed(population, "record", shard)
    population.write_shard(shard, "record", data, token=late)
    solspace.run_stage(store, "record", redo=True)
    before = files_of(store)
    with pytest.raises(SolspaceError, match=r"networks 0\.\.1 of record .* taken over by another"):
        population.write_shard(shard, "record", data, token=late)
    assert files_of(store) == before
    assert check_store(store) == []


@pytest.mark.slow
def test_a_writer_stopped_between_comparing_and_writing_is_named(store, tmp_path):
    """A real process, stopped just after it compared its token, goes on after another run."""
    script = tmp_path / "writer.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            from solspace.store import Population, Shard, handle

            sys.path.insert(0, sys.argv[2])
            from test_records import computed, written_by_shard, collection

            population = Population(sys.argv[1], "interval_reproduction", "vanilla")
            shard = Shard(0, 2)
            data = computed(population, "record", shard)
            data["training"]["output"] = data["training"]["output"] + 1
            arrays = written_by_shard(population, collection.find("record"))
            token = population.take("record", [shard], arrays)
            write = handle.part_values

            def stopping(*args):
                handle.part_values = write
                print("compared", flush=True)
                os.kill(os.getpid(), signal.SIGSTOP)
                return write(*args)

            handle.part_values = stopping
            population.write_shard(shard, "record", data, token=token)
            """
        )
    )
    writer = subprocess.Popen(
        [sys.executable, str(script), store, str(Path(__file__).parent)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout is not None
    first = writer.stdout.readline()
    assert first == "compared\n", writer.stderr.read()
    solspace.run_stage(store, "record", redo=True)
    assert check_store(store) == []
    os.kill(writer.pid, signal.SIGCONT)
    _, told = writer.communicate(timeout=60)
    assert "were taken over by another run" in told
    found = check_store(store)
    assert any("training/output: networks 0..1 are not what record wrote" in f for f in found)
    assert not any("networks 2..3" in fault for fault in found)
    solspace.run_stage(store, "record", redo=True)
    assert check_store(store) == []


@pytest.mark.slow
def test_workers_of_a_dead_client_do_not_write_over_another_run(store, tmp_path):
    """The client is killed and its workers stopped; another run ends; the workers go on."""
    from distributed import Client, LocalCluster

    undisturbed = shutil.copytree(store, str(tmp_path / "undisturbed.zarr"))
    solspace.run_stage(undisturbed, "reduce", options={"method": "turner2021"}, redo=True)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        workers = list(client.run(os.getpid).values())
        # They are stopped within what they compute, whenever that begins.
        first = client.run(_stop_in_shard)
        assert set(first.values()) == {True}
        command = [sys.executable, "-m", "solspace", "reduce", store, "--redo", "--method",
                   "automaton", "--scheduler", cluster.scheduler_address, "--quiet"]  # fmt: skip
        sender = subprocess.Popen(command)
        until = time.monotonic() + 120
        while not all(_stopped(pid) for pid in workers) and time.monotonic() < until:
            time.sleep(0.1)
        assert all(map(_stopped, workers))
        sender.kill()
        sender.wait()
        try:
            solspace.run_stage(store, "reduce", options={"method": "turner2021"}, redo=True)
            assert check_store(store) == []
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        time.sleep(5)
    these, those = files_of(store), files_of(undisturbed)
    found = check_store(store)
    assert these == those or any("not what reduce wrote" in fault for fault in found)
    assert these == those, "they were stopped before they compared"
    assert found == []


def _stop_in_shard() -> bool:
    """In a worker: its first shard stops the process when it is computed, before it is written."""
    from solspace.run import loop

    split = loop.split_results

    def stopping(*args):
        loop.split_results = split
        os.kill(os.getpid(), signal.SIGSTOP)
        return split(*args)

    loop.split_results = stopping
    return True


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_result_of_another_run_is_named(store):
    population = Store(store).populations()[0]
    with population.briefly():
        population.take("record", population.shards()[1:], [], run=12)
    found = check_store(store, quick=True)
    assert len(found) == 1
    assert "record: networks 2..3 are written by another run" in found[0]
    population.release("record")  # as before a redo: nobody may write, what is there is vouched for
    assert check_store(store) == []


def test_data_are_on_the_disk_before_they_are_called_done(store, monkeypatch):
    monkeypatch.setenv("SOLSPACE_FSYNC", "1")
    population = Store(store).populations()[0]
    shard, synced, fsync = Shard(2, 4), [], records._fsync
    data = computed(population, "record", shard)
    population.write_all("status_record", np.zeros(4, np.uint8))

    def noted(path: str) -> None:
        synced.append((os.path.relpath(path, store), population.status("record").tolist()))
        fsync(path)

    monkeypatch.setattr(records, "_fsync", noted)
    population.write_shard(shard, "record", data)
    before = [name for name, status in synced if status == [0, 0, 0, 0]]
    assert {
        f"{TRAINING}/activity/c/1/0/0/0",
        f"{TRAINING}/activity/c/1/0/0",
        f"{TRAINING}/activity",
        f"{GROUP}/writing/record/record/c/1/0",
    } <= set(before)
    assert (f"{GROUP}/status_record/c/1", [0, 0, 1, 1]) in synced


def test_what_is_damaged_is_computed_again_also_in_a_shard_that_is_not_full(made, tmp_path):
    """Zarr reads a chunk before it writes a part of it."""
    ds = Store(made).populations()[0].open().isel(network=slice(3)).load()
    kept = [n for n in ds.data_vars if str(n).startswith(("weight_", "bias_"))]
    ds = ds[[*kept, "loss", "status_train"]].drop_vars(
        [c for c in ds.coords if str(c).startswith("solution") or str(c).endswith("_key")]
    )
    path = str(tmp_path / "three.zarr")
    solspace.add_population(path, ds, shard_size=2)
    solspace.run_stage(path, "record")
    before = files_of(path)
    damaged = Path(path, *TRAINING.split("/"), "output", "c", "1", "0", "0", "0")
    damaged.write_bytes(damaged.read_bytes()[:100])
    (fault,) = check_store(path)
    assert f"{TRAINING}/output: network 2 is not what record wrote" in fault
    solspace.run_stage(path, "record", redo=True)
    assert check_store(path) == [] and files_of(path) == before


# --------------------------------------------------------------------------- who keeps them true


@pytest.mark.slow
def test_records_follow_what_is_packed_laid_anew_and_grown(store, tmp_path):
    packed = str(tmp_path / "packed.zarr")
    pack([store], packed)
    assert check_store(packed) == []
    solspace.run_stage(packed, "record")  # creates groups, lays statuses in shards
    solspace.run_stage(packed, "label", redo=True)  # lays what is there in shards
    assert check_store(packed) == []
    base = os.path.join(packed, *GROUP.split("/"))
    swap(base, "solution_key/c/0", "solution_key/c/1")
    assert any("solution_key" in fault and "not what" in fault for fault in check_store(packed))
    swap(base, "solution_key/c/0", "solution_key/c/1")
    population = Store(packed).populations()[0]
    own = population.open()
    kept = [n for n in own.data_vars if str(n).startswith(("weight_", "bias_"))]
    more = own[[*kept, "loss", "status_train"]].load()
    more = more.drop_vars(
        [c for c in more.coords if str(c).startswith("solution") or str(c).endswith("_key")]
    )
    more = more.assign_coords(name=("network", [f"new{i}" for i in range(4)]))
    with pytest.raises(SolspaceError, match="trained and not imported"):
        solspace.add_population(packed, more)
    for name in (packed,):  # calls them imported, to add to them
        with population.briefly():
            population.before_change()
            zarr.open_group(name, path=GROUP, mode="r+").attrs["origin"] = "imported"
    more.attrs["origin"] = "imported"
    solspace.add_population(packed, more)
    assert check_store(packed) == []
    population = Store(packed).populations()[0]
    assert records.Files.of(population) is not None
    solspace.run_stage(packed, "record")  # for the new ones alone
    assert check_store(packed) == []
    swap(base, "training/output/c/0/0/0/0", "training/output/c/1/0/0/0")
    found = check_store(packed)
    assert any("training/output: networks 0..1 are not what" in fault for fault in found), found


@pytest.mark.slow
def test_a_store_without_records_gets_them_for_what_is_written(store):
    """As those made before there were records."""
    base = os.path.join(store, *GROUP.split("/"))
    shutil.rmtree(os.path.join(base, "writing"))
    group = zarr.open_group(store, path=GROUP, mode="r+", use_consolidated=False)
    del group.attrs[records.RECORDS]
    zarr.consolidate_metadata(store)
    assert check_store(store) == []
    swap(base, "training/output/c/0/0/0/0", "training/output/c/1/0/0/0")
    assert check_store(store) == []  # nobody can tell
    swap(base, "training/output/c/0/0/0/0", "training/output/c/1/0/0/0")
    solspace.run_stage(store, "record", redo=True)
    assert check_store(store) == []
    swap(base, "training/output/c/0/0/0/0", "training/output/c/1/0/0/0")
    assert len(check_store(store)) == 2


def test_a_process_killed_while_it_writes_whole_leaves_a_mark_that_is_mended(store):
    population = Store(store).populations()[0]
    with population.briefly(), pytest.raises(ZeroDivisionError), population.rewriting("solution"):
        raise ZeroDivisionError
    told = f"{population}: solution was being written when a process was killed"
    assert any(told in fault for fault in check_store(store, quick=True))
    solspace.run_stage(store, "label")
    assert check_store(store) == []


# --------------------------------------------------------------------------- half made


def test_an_array_made_and_not_filled_is_made_again(store, monkeypatch):
    """Interrupted between an array and its values, nothing of it is taken for whole."""
    whole = shutil.copytree(store, store.replace("store.zarr", "whole.zarr"))
    solspace.run_stage(whole, "features")
    values_of, calls = creation.whole_values, iter(range(99))

    def stopped(array, values):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return values_of(array, values)

    monkeypatch.setattr(creation, "whole_values", stopped)
    with pytest.raises(KeyboardInterrupt):
        solspace.run_stage(store, "features")
    monkeypatch.undo()
    faults = check_store(store)
    assert faults and all("was being written" in fault for fault in faults)
    solspace.run_stage(store, "features")
    these, those = (xr.open_zarr(path, group=GROUP).load() for path in (store, whole))
    assert set(these.coords) == set(those.coords) > {"feature_family"}
    xr.testing.assert_equal(these, those)
    assert check_store(store) == []


def test_the_copy_of_metadata_never_has_who_wrote_what(store, monkeypatch):
    """Not even between two writes: a copy that is there is not made again."""
    seen = []
    put = records.LocalStore.set

    async def noted(self, key, value):
        if key == "zarr.json":
            seen.append(json.loads(value.to_bytes()))
        await put(self, key, value)

    monkeypatch.setattr(records.LocalStore, "set", noted)
    solspace.run_stage(store, "reduce", redo=True)
    copies = [node["consolidated_metadata"] for node in seen if "consolidated_metadata" in node]
    paths = [path for copy in copies if copy for path in copy["metadata"]]
    assert paths
    assert not [path for path in paths if "writing" in path.split("/")]


def test_a_pack_that_was_taken_away_in_part_is_still_known(store, tmp_path, monkeypatch):
    copy = str(tmp_path / "copy.zarr")
    with whole_or_nothing(copy, "pack"):
        shutil.copytree(f"{copy}.unfinished", tmp_path / "kept")
    os.rename(copy, f"{copy}.unfinished")
    shutil.copytree(tmp_path / "kept", f"{copy}.unfinished", dirs_exist_ok=True)
    (Path(f"{copy}.unfinished") / "interval_reproduction").mkdir()
    remove = shutil.rmtree

    def stopped(path, *args, **more):
        if str(path).endswith(".unfinished"):  # the last one, after all that is in it
            raise KeyboardInterrupt
        remove(path, *args, **more)

    monkeypatch.setattr(shutil, "rmtree", stopped)
    with pytest.raises(KeyboardInterrupt):
        pack([store], copy)
    monkeypatch.undo()
    pack([store], copy)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.zarr", "kept", "store.zarr"]
