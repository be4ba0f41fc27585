"""Stores in buckets, written through real servers: one that keeps to conditions, one that not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from servers import bucket_server, conditional_server

import solspace
from solspace import SolspaceError
from solspace.cli import main
from solspace.networks import PARAMETERS
from solspace.population.variables import PENDING
from solspace.run.loop import run_stage
from solspace.run.populations import add_population
from solspace.stages import collection
from solspace.store import Population, Store, creation, lease, place
from solspace.store.check import check_store

obstore = pytest.importorskip("obstore")

GROUP = "interval_reproduction/vanilla"


@pytest.fixture(scope="module")
def server():
    with conditional_server() as settings:
        yield settings


@pytest.fixture
def bucket(server, monkeypatch) -> str:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return "s3://bucket"


def trained(networks: int = 4) -> xr.Dataset:
    """Of the shipped networks, as trained elsewhere."""
    shipped = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
    ds = xr.open_zarr(shipped, group=GROUP)
    kept = [n for n in ds.data_vars if str(n).removeprefix("initial_") in PARAMETERS]
    kept += ["loss", "gradient_steps", "attempts", "status_train"]
    small = ds[kept].isel(network=slice(networks)).load()
    small.attrs.clear()
    return small.drop_vars([c for c in small.coords if c in collection.labels("recurrent")])


def arrays(path: str) -> dict[str, np.ndarray]:
    root = zarr.open_group(place.opened(path, copy=False), mode="r", use_consolidated=False)
    return {
        name: member[...]
        for name, member in root.members(max_depth=None)
        if isinstance(member, zarr.Array) and "/writing/" not in name
    }


def objects(url: str) -> list[str]:
    client, _ = place.beside(url)
    return sorted(o["path"] for o in obstore.list_with_delimiter(client)["objects"])


@pytest.mark.slow
def test_two_workers_write_the_same_in_a_bucket_as_here(bucket, tmp_path):
    here, there = str(tmp_path / "one.zarr"), f"{bucket}/many/one.zarr"
    for path, where in ((here, {}), (there, {"workers": 2})):
        add_population(path, trained(), shard_size=1)
        run_stage(path, "record", **where)
        for stage in ("extrapolate", "reduce"):
            run_stage(path, stage)
    these, those = arrays(here), arrays(there)
    assert these.keys() == those.keys()
    for name, array in these.items():
        np.testing.assert_array_equal(array, those[name], err_msg=name)
    assert check_store(there) == [] and check_store(there, quick=True) == []
    assert objects(there) == []  # no lock is left beside it
    # Parts of a shard come by ranges here.
    source = place.opened(there)
    part = zarr.open_group(source, path=f"{GROUP}/training", mode="r")["activity"][1, 2:4, ::9]
    np.testing.assert_array_equal(part, these[f"{GROUP}/training/activity"][1, 2:4, ::9])
    assert not source.whole
    # Finished: nothing is computed again, and the copy of the metadata is at the root.
    (outcome,) = run_stage(there, "reduce")
    assert outcome.computed == 0
    assert json.loads(place._look(there).raw)["consolidated_metadata"]


HOLD = """
import sys, time
from solspace.store import lease
with lease.hold(sys.argv[1], "record"):
    print("held", flush=True)
    time.sleep(200)
"""


@pytest.mark.slow
def test_one_run_at_a_time_and_the_lock_of_a_dead_one(bucket, monkeypatch, capsys):
    path = f"{bucket}/held.zarr"
    add_population(path, trained(2), shard_size=1)
    other = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        assert main(["record", path]) == 2
        said = capsys.readouterr().err
        assert f"solspace record, process {other.pid}" in said and said.count("\n") == 1
        with pytest.raises(SolspaceError, match="being written"):
            solspace.pack([path], "small.zarr")
    finally:
        other.kill()
        other.wait()
    assert objects(path) == ["held.zarr.lock"]
    assert main(["record", path]) == 2  # it may be alive
    assert "10 min after it was last heard of" in capsys.readouterr().err
    monkeypatch.setattr(lease, "STALE", -1.0)
    run_stage(path, "record")
    assert (Store(path).populations()[0].status("record") != PENDING).all()
    assert objects(path) == []


@pytest.mark.slow
def test_a_run_that_lost_its_lock_writes_nothing_more(bucket, monkeypatch):
    path = f"{bucket}/lost.zarr"
    add_population(path, trained(2), shard_size=1)
    population = Population(path, *GROUP.split("/"))
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    with lease.hold(path, "record"):
        first = lease._held[path].tag
        time.sleep(1.0)
        lease.check(path)
        assert lease._held[path].tag != first  # renewed meanwhile
        client, name = place.beside(path)
        obstore.delete(client, f"{name}.lock")
        time.sleep(0.5)
        with pytest.raises(SolspaceError, match="taken over or deleted"):
            population.before_change()


@pytest.mark.slow
def test_a_group_replaced_in_place_is_whole_or_not_there(bucket):
    path = f"{bucket}/whole.zarr"
    add_population(path, trained(2), shard_size=1)
    run_stage(path, "record")
    population = Population(path, *GROUP.split("/"))
    with Store(path).lock("classify"):
        ds = xr.Dataset({"accuracy": ("model", [0.5, 0.25])}, coords={"model": ["a", "b"]})
        for values in ([0.5, 0.25], [1.0, 0.75]):
            creation.replace_group(population, "own", [], ds.assign(accuracy=("model", values)))
            assert population.open("own").accuracy.values.tolist() == values
        del population.zarr_group("own", "r+").attrs["solspace_created"]  # as a kill leaves it
        assert not population.has("own")
        creation.replace_group(population, "own", [], ds)
        assert population.open("own").accuracy.values.tolist() == [0.5, 0.25]


@pytest.mark.slow
def test_what_a_bucket_cannot_is_refused(bucket, tmp_path, capsys):
    def said(*command: str) -> str:
        assert main(list(command)) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    path = f"{bucket}/asked.zarr"
    ds = trained(2).assign_attrs(origin="imported")
    add_population(path, ds, shard_size=1)
    before = arrays(path)
    assert "--workers" in said("record", path, "--slice", "1/2")
    with pytest.raises(SolspaceError, match="copy it back"):
        add_population(path, ds.assign_coords(name=("network", ["c", "d"])))
    assert "whole bucket" in said("train", bucket, "--task", "interval_reproduction",
                                  "--architecture", "vanilla", "--networks", "2")  # fmt: skip
    client, _ = place.beside(path)
    obstore.put(client, "mine/notes.txt", b"mine")
    where = ["--task", "interval_reproduction", "--architecture", "vanilla", "--networks", "2"]
    assert "holds objects and is no" in said("train", f"{bucket}/mine", *where)
    after = arrays(path)
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


def test_a_server_that_ignores_conditions_is_not_written_to(tmp_path, monkeypatch, capsys):
    (tmp_path / "bucket").mkdir()
    with bucket_server(tmp_path) as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        where = ["--task", "interval_reproduction", "--architecture", "vanilla", "--networks", "2"]
        assert main(["train", "s3://bucket/new.zarr", *where]) == 2
        assert "If-None-Match" in capsys.readouterr().err
    assert not list((tmp_path / "bucket").iterdir())
