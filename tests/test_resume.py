"""Killed at any moment and typed again, a command ends with the store of an undisturbed run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr
import zarr

from solspace.population import new_population
from solspace.run.bars import Bar
from solspace.run.loop import longest_first, run_stage
from solspace.run.populations import create_population
from solspace.store import Store
from solspace.store.check import check_store
from solspace.store.metadata import WRITING
from solspace.tasks import Recipe

GROUP = "interval_reproduction/vanilla"

# Some networks get under this loss in 300 steps, some do not: both ends have to be resumed.
RECIPE = Recipe(target_loss=0.03, max_steps=300, learning_rate=0.0135, attempts=1, check_every=50)
MOMENTS = 10


def solspace(*args: str) -> list[str]:
    return [sys.executable, "-m", "solspace", *args, "--quiet"]


def lay(path: str, networks: int = 24) -> str:
    ds = new_population(
        "interval_reproduction",
        "vanilla",
        networks=networks,
        hidden_size=[20, 25],
        seed=3,
        recipe=RECIPE,
    )
    create_population(path, ds, shard_size=2)
    return path


def arrays(path: str) -> dict[str, np.ndarray]:
    """Every array of a store by its path, read with Zarr alone."""
    found = {}

    def walk(group: zarr.Group, prefix: str) -> None:
        for name, array in group.arrays():
            found[prefix + name] = array[...]
        for name, child in group.groups():
            if name != WRITING:  # which run wrote what is another thing in each
                walk(child, f"{prefix}{name}/")

    walk(zarr.open_group(path, mode="r", use_consolidated=False), "")
    return found


def assert_same(path: str, other: str) -> None:
    these, those = arrays(path), arrays(other)
    assert these.keys() == those.keys()
    for name, array in these.items():
        np.testing.assert_array_equal(array, those[name], err_msg=name)


def statuses(store: str, stage: str) -> np.ndarray:
    return xr.open_zarr(store, group=GROUP, consolidated=False)[f"status_{stage}"].values


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["train", "reduce"])
def test_kill_9_at_random_moments(tmp_path, stage):
    begun = lay(str(tmp_path / "begun.zarr"))
    if stage == "reduce":
        run_stage(begun, "train")
        # Failed ones would be skipped by the reduction: call all of them trained.
        Store(begun).populations()[0].write_all("status_train", np.ones(24, np.uint8))
    whole = shutil.copytree(begun, str(tmp_path / "whole.zarr"))
    started = time.monotonic()
    subprocess.run(solspace(stage, whole), check=True)
    seconds = time.monotonic() - started
    assert check_store(whole) == []
    rng = np.random.default_rng(7)
    interrupted = 0
    for moment in range(MOMENTS):
        killed = shutil.copytree(begun, str(tmp_path / f"killed{moment}.zarr"))
        process = subprocess.Popen(solspace(stage, killed))
        if moment % 2:
            # Most of the first seconds are imports: wait for the first shard, and a little.
            while process.poll() is None and not (statuses(killed, stage) > 0).any():
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.3))
        else:
            time.sleep(rng.uniform(0.2, 1.0) * seconds)
        process.kill()
        process.wait()
        done = statuses(killed, stage)
        interrupted += 0 < (done > 0).sum() < len(done)
        subprocess.run(solspace(stage, killed), check=True)
        assert_same(killed, whole)
        assert check_store(killed) == []
        shutil.rmtree(killed)
    assert interrupted >= 2, "no kill came in the middle: the moments test nothing"


@pytest.mark.slow
def test_however_the_work_is_split_the_store_is_the_same(tmp_path):
    """Threads, two worker processes, other shards: the same arrays to the last bit."""
    from distributed import LocalCluster

    stores = {way: lay(str(tmp_path / f"{way}.zarr"), networks=6) for way in ("threads", "workers")}
    stages = ("train", "record", "extrapolate", "reduce", "responses", "label", "features")
    for stage in stages:
        run_stage(stores["threads"], stage)
    run_stage(stores["workers"], stages[0], workers=2)
    # The processes of the other stages are started once.
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        for stage in stages[1:]:
            run_stage(stores["workers"], stage, scheduler=cluster.scheduler_address)
    assert_same(stores["workers"], stores["threads"])
    ds = new_population(
        "interval_reproduction",
        "vanilla",
        networks=6,
        hidden_size=[20, 25],
        seed=3,
        recipe=RECIPE,
    )
    other = str(tmp_path / "other.zarr")
    create_population(other, ds, shard_size=6)
    for stage in stages:
        run_stage(other, stage)
    assert_same(other, stores["threads"])
    status = arrays(other)[f"{GROUP}/status_train"]
    assert {1, 2} <= set(status.tolist()), "both trained and failed networks are wanted here"


def test_the_longest_shards_come_first(tmp_path):
    """So that at the end no core waits for another; of equal cost in their order."""
    path = str(tmp_path / "mixed.zarr")
    ds = new_population(
        "interval_reproduction", "vanilla", networks=6, hidden_size=[20, 50, 30], recipe=RECIPE
    )
    create_population(path, ds, shard_size=1)
    (population,) = Store(path).select()
    order = longest_first(population, dict.fromkeys(population.shards(), 1))
    sizes = population.open()["hidden_size"].values
    assert [int(sizes[shard.start]) for shard in order] == [50, 50, 30, 30, 20, 20]
    assert [shard.start for shard in order] == [1, 4, 2, 5, 0, 3]


def test_a_bar_counts_what_is_under_way():
    with Bar("train", 4, show=False) as bar, ThreadPoolExecutor(2) as pool:
        both = threading.Barrier(2)

        def work(name: str) -> str:
            bar.within(name, 0.25 if name == "a" else 0.75, "loss 1e-03")
            both.wait(10)
            text = bar.text()
            both.wait(10)
            bar(1)
            return text

        texts = set(pool.map(work, "ab"))
        assert texts == {"b loss 1e-03 (75%), a loss 1e-03 (25%)"}
        assert bar.text() == ""
