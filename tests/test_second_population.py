"""A store that is finished and then gets more: nothing stale hides what was laid."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from solspace import new_population
from solspace.run.loop import run_stage
from solspace.run.populations import create_population
from solspace.store import Store, creation, provenance
from solspace.store.check import check_store
from solspace.tasks import Recipe

QUICK = Recipe(target_loss=0.2, max_steps=20, learning_rate=0.01, attempts=1, check_every=10)
TASK = "interval_reproduction"


def lay(path: str, architecture: str) -> None:
    ds = new_population(TASK, architecture, networks=2, hidden_size=[4, 5], recipe=QUICK)
    create_population(path, ds)


def consolidated(path: str) -> list[str]:
    """The groups that hold a copy of the metadata below them."""
    return sorted(
        str(file.parent.relative_to(path))
        for file in Path(path).rglob("zarr.json")
        if '"consolidated_metadata"' in file.read_text()
    )


@pytest.fixture
def store(tmp_path) -> str:
    path = str(tmp_path / "finished.zarr")
    lay(path, "vanilla")
    run_stage(path, "train")
    return path


def nest_copies(path: str) -> None:
    """Copies in every group, as earlier versions left them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for group in (f"{TASK}/vanilla", TASK, ""):
            zarr.consolidate_metadata(path, path=group or None, zarr_format=3)


@pytest.mark.parametrize("nested", [False, True])
def test_a_second_architecture_is_trained_into_a_finished_store(store, nested):
    if nested:
        nest_copies(store)
    lay(store, "gru")
    assert [str(p) for p in Store(store).populations()] == [f"{TASK}/gru", f"{TASK}/vanilla"]
    outcomes = run_stage(store, "train")
    assert [(str(o.population), o.computed) for o in outcomes] == [
        (f"{TASK}/gru", 2),
        (f"{TASK}/vanilla", 0),
    ]
    run_stage(store, "record")
    assert consolidated(store) == ["."]
    assert check_store(store) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for architecture in ("gru", "vanilla"):
            one = xr.open_zarr(store, group=f"{TASK}/{architecture}")
            assert (one.status_record == 1).all()
            training = xr.open_zarr(store, group=f"{TASK}/{architecture}/training")
            assert training.activity.sizes["network"] == 2
        tree = xr.open_datatree(store, engine="zarr")
    assert set(tree[TASK].children) == {"gru", "vanilla"}
    assert set(tree[f"{TASK}/gru"].children) == {"training"}


@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated metadata")
def test_while_a_store_is_filled_nobody_is_shown_an_older_state(store):
    """As xarray and zarr open it by default, that is by the copy at the root where there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_zarr(store, group=f"{TASK}/vanilla")
    lay(store, "lstm")
    assert xr.open_zarr(store, group=f"{TASK}/lstm").sizes["network"] == 2
    assert set(zarr.open_group(store, path=TASK, mode="r").group_keys()) == {"lstm", "vanilla"}
    run_stage(store, "train")
    assert consolidated(store) == ["."]
    population = Store(store).select(TASK, "lstm")[0]
    with provenance.noted(population, "record"):
        shown = xr.open_zarr(store, group=f"{TASK}/lstm").attrs["provenance"]
        assert '"record"' in shown
        ds = population.open()[["name", "hidden_size"]].load()
        creation.create_group(
            population, "checkpoints", [], ds.assign_coords(checkpoint=np.arange(2)), {}
        )
        assert "checkpoints" in zarr.open_group(store, path=f"{TASK}/lstm", mode="r")
        Store(store).consolidate()  # as another process does, of another slice
        creation.remove_group(population, "checkpoints")
        assert "checkpoints" not in zarr.open_group(store, mode="r")[f"{TASK}/lstm"]


def test_what_is_there_already_is_not_gathered_anew(store):
    file = Path(store) / "zarr.json"
    before = file.stat()
    assert run_stage(store, "train")[0].computed == 0
    after = file.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_what_was_gathered_is_so_again_after_an_error(store):
    population = Store(store).populations()[0]
    with (
        pytest.raises(RuntimeError),
        Store(store).lock("record"),
        provenance.noted(population, "record"),
    ):
        assert consolidated(store) == []
        raise RuntimeError
    assert consolidated(store) == ["."]
    lay(store, "gru")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        entries = xr.open_zarr(store, group=f"{TASK}/vanilla").attrs["provenance"]
        assert xr.open_zarr(store, group=f"{TASK}/gru").sizes["network"] == 2
    assert '"record"' in entries
