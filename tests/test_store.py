"""The store's contract: templates, shards, locks, resuming, and what a check finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import SolspaceError
from solspace.networks import parameter_shapes
from solspace.population import import_networks, network_weights, new_population
from solspace.population.variables import PENDING
from solspace.run.loop import run_stage
from solspace.run.populations import add_population, create_population
from solspace.simulation.stage import record
from solspace.stages import collection
from solspace.store import Shard, Store
from solspace.store.check import check_store

GROUP = "interval_reproduction/vanilla"


def random_networks(sizes=(3, 5, 4, 5, 2), architecture="vanilla", seed=0):
    rng = np.random.default_rng(seed)
    return {
        f"{n}_i{i:03d}": {
            name: rng.normal(size=shape) / np.sqrt(n)
            for name, shape in parameter_shapes(architecture, n, 2, 1).items()
        }
        for i, n in enumerate(sizes)
    }


@pytest.fixture
def population():
    return import_networks("interval_reproduction", "vanilla", random_networks())


@pytest.fixture
def store(tmp_path, population):
    path = str(tmp_path / "small.zarr")
    add_population(path, population, shard_size=2)
    return path


def open_group(path: str, group: str = "") -> xr.Dataset:
    return xr.open_zarr(path, group=f"{GROUP}/{group}".rstrip("/"))


@settings(max_examples=8)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=7),
    shard_size=st.integers(1, 8),
    architecture=st.sampled_from(["vanilla", "gru", "lstm"]),
)
def test_a_population_comes_back_as_it_was_written(
    tmp_path_factory, sizes, shard_size, architecture
):
    ds = import_networks(
        "interval_reproduction", architecture, random_networks(sizes, architecture)
    )
    path = str(tmp_path_factory.mktemp("round") / "trip.zarr")
    add_population(path, ds, shard_size=shard_size)
    back = xr.open_zarr(path, group=f"interval_reproduction/{architecture}").load()
    for name in ds.variables:
        if ds[name].dtype.kind in "OTU":
            assert back[name].values.tolist() == ds[name].values.tolist()
        else:
            np.testing.assert_array_equal(back[name].values, ds[name].values)
            assert back[name].dtype == ds[name].dtype
    for i, weights in enumerate(random_networks(sizes, architecture).values()):
        for name, array in network_weights(back, i).items():
            np.testing.assert_array_equal(array, weights[name].astype(np.float32))


def test_opening_with_plain_xarray_warns_of_nothing(store):
    run_stage(store, "record")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = open_group(store)
        training = open_group(store, "training")
    assert set(ds.coords) >= {"network", "name", "hidden_size", "seed", "gate", "unit"}
    assert training.activity.dims == ("network", "trial", "time", "unit")
    assert training.output.dims == ("network", "trial", "time", "output_channel")
    assert training.epoch.attrs["flag_meanings"].split()[2] == "ready_set"
    assert training.epoch_flag.sel(epoch_name="ready_set").values == 2
    assert training.time.attrs["units"] == "steps"
    assert ds.solution.values.tolist() == [-1] * 5


def test_gathered_metadata_are_those_that_zarr_gathers(store):
    from solspace.store.metadata import WRITING, forget_consolidated

    def gathered() -> dict:
        copy = json.loads((Path(store) / "zarr.json").read_text())["consolidated_metadata"]
        own = copy["metadata"].items()
        return copy | {"metadata": {p: v for p, v in own if p.split("/")[2:3] != [WRITING]}}

    run_stage(store, "record")
    ours = gathered()
    assert forget_consolidated(store) and f"{GROUP}/training/activity" in ours["metadata"]
    with warnings.catch_warnings(action="ignore"):
        zarr.consolidate_metadata(store, path=GROUP, zarr_format=3)  # as another program does
        zarr.consolidate_metadata(store, zarr_format=3)
    theirs = gathered()
    assert theirs == ours and list(theirs["metadata"]) == list(ours["metadata"])
    forget_consolidated(store)
    Store(store).consolidate()
    assert gathered() == ours and not forget_consolidated(store, GROUP)


def test_types_on_disk_are_the_declared_ones(store):
    run_stage(store, "record")
    run_stage(store, "extrapolate")
    for group in ("population", "training", "extrapolation"):
        folder = zarr.open_group(store, path=f"{GROUP}/{group}".replace("/population", ""))
        for name, variable in collection.declared(group, "vanilla").items():
            if name in folder:
                meta = folder[name].metadata.to_dict()
                assert folder[name].dtype == np.dtype(variable.dtype), name
                assert tuple(meta.get("dimension_names") or ()) == variable.dims, name


def test_every_group_makes_sense_by_itself(store):
    run_stage(store, "record")
    run_stage(store, "extrapolate")
    for group in ("training", "extrapolation"):
        ds = open_group(store, group)
        assert ds.name.values.tolist() == open_group(store).name.values.tolist()
        assert ds.t_in.dims == ("trial",)
    tree = xr.open_datatree(store, engine="zarr")
    assert {"training", "extrapolation"} <= set(tree[GROUP].children)


def test_recorded_activity_equals_recording_in_memory_however_it_is_split(tmp_path, population):
    whole = record(population)
    for shard_size in (1, 2, 5):
        path = str(tmp_path / f"{shard_size}.zarr")
        add_population(path, population, shard_size=shard_size)
        run_stage(path, "record")
        stored = open_group(path, "training").load()
        np.testing.assert_array_equal(stored.activity.values, whole.activity.values)
        np.testing.assert_array_equal(stored.output.values, whole.output.values)
    sizes = population.hidden_size.values
    for i, n in enumerate(sizes):
        assert np.isfinite(whole.activity.values[i, ..., :n]).all()
        assert np.isnan(whole.activity.values[i, ..., n:]).all()


def test_a_device_gives_what_the_compiled_loops_give(population):
    np.testing.assert_allclose(
        record(population, device="cpu").activity.values,
        record(population).activity.values,
        atol=1e-6,
    )
    lstm = import_networks("interval_reproduction", "lstm", random_networks((3, 5), "lstm"))
    on_device, compiled = record(lstm, device="cpu"), record(lstm)
    for name in ("activity", "cell_state", "output"):
        np.testing.assert_allclose(on_device[name].values, compiled[name].values, atol=1e-6)


@pytest.mark.parametrize("shard", [Shard(0, 1), Shard(1, 3), Shard(0, 4), Shard(4, 6)])
def test_anything_but_a_whole_shard_is_refused(store, shard):
    population = Store(store).populations()[0]
    ds = population.open().load()
    part = ds.isel(network=slice(*shard))
    data = {name: part[name] for name in ("loss", "status_train", "message_train")}
    with pytest.raises(SolspaceError, match="not one shard"):
        population.write_shard(shard, "train", {"population": data})
    xr.testing.assert_identical(population.open().load(), ds)


def test_a_variable_of_another_shape_writes_no_status(tmp_path, population):
    path = str(tmp_path / "fresh.zarr")
    fresh = population.drop_vars(list(population.data_vars))
    target = create_population(path, fresh, shard_size=2)
    shard = target.shards()[0]
    part = population.isel(network=slice(*shard))
    data = {name: part[name] for name in ("weight_hh", "status_train", "message_train")}
    data["weight_hh"] = data["weight_hh"].isel(unit=slice(1))
    with pytest.raises(ValueError, match="'weight_hh' has shape"):
        target.write_shard(shard, "train", {"population": data})
    assert not target.status("train").any()


@pytest.mark.slow
def test_writing_the_same_shards_from_several_processes_is_safe(tmp_path, population):
    """One writer a shard: eight networks in shards of two, written by two processes."""
    path = str(tmp_path / "shared.zarr")
    ds = import_networks("interval_reproduction", "vanilla", random_networks((3, 5) * 4))
    add_population(path, ds, shard_size=2)
    run_stage(path, "record", workers=2)
    np.testing.assert_array_equal(
        open_group(path, "training").activity.values, record(ds).activity.values
    )


HOLD = """
import sys, time
from solspace.store import Store
with Store(sys.argv[1]).lock("train"):
    print("held", flush=True)
    time.sleep(120)
"""


def test_a_store_being_written_by_another_process_is_refused(store):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, store], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SolspaceError, match=f"solspace train, process {holder.pid}"):
            run_stage(store, "record")
    finally:
        holder.kill()
        holder.communicate()
    # The lock of a dead process is no lock.
    assert run_stage(store, "record")[0].done == 5
    assert not Path(store + ".lock").exists()


def test_a_store_of_another_schema_version_is_refused(store):
    zarr.open_group(store, mode="r+").attrs["solspace_schema_version"] = 99
    told = r"has schema version 99, this solspace reads version 2; .* newer"
    with pytest.raises(SolspaceError, match=told):
        Store(store)


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SolspaceError, match="no solspace store"):
        Store(str(tmp_path), create=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_group_half_laid_is_laid_again(store):
    run_stage(store, "record")
    population = Store(store).populations()[0]
    group = zarr.open_group(store, path=f"{GROUP}/training", mode="r+")
    expected = open_group(store, "training").load()
    # As if killed between laying the group and calling it laid.
    del group.attrs["solspace_created"]
    del group["activity"]
    population.write_all("status_record", np.zeros(5, np.uint8))
    run_stage(store, "record")
    xr.testing.assert_equal(open_group(store, "training").load(), expected)


def test_only_pending_shards_are_computed_again(store):
    run_stage(store, "record")
    population = Store(store).populations()[0]
    status = population.status("record")
    status[2:4] = PENDING
    population.write_all("status_record", status)
    activity = zarr.open_group(store, path=f"{GROUP}/training", mode="r+")["activity"]
    activity[0] = 7.0  # a mark on what is done
    outcome = run_stage(store, "record")[0]
    assert (outcome.computed, outcome.done) == (2, 5)
    assert (open_group(store, "training").activity[0] == 7.0).all()


def test_a_stage_says_which_stage_has_to_come_before(store, tmp_path):
    with pytest.raises(SolspaceError, match="features needs record to have ended"):
        run_stage(store, "features")
    empty = Store(str(tmp_path / "empty.zarr"), create=True)
    with pytest.raises(SolspaceError, match="has no networks of any task"):
        run_stage(empty.path, "reduce")
    with pytest.raises(SolspaceError, match="has no networks of interval_reproduction/gru"):
        run_stage(store, "reduce", task="interval_reproduction", architecture="gru")


def test_another_population_under_the_same_name_is_refused(store, population, tmp_path):
    with pytest.raises(SolspaceError, match=r"has networks named .* already; rename"):
        add_population(store, population)
    path = str(tmp_path / "new.zarr")
    begun = {"networks": 4, "hidden_size": [5, 6], "seed": 1}
    create_population(path, new_population("interval_reproduction", "vanilla", **begun))
    for change in ({"networks": 6}, {"hidden_size": [5, 7]}, {"seed": 2}):
        other = new_population("interval_reproduction", "vanilla", **(begun | change))
        with pytest.raises(SolspaceError, match="already has another population"):
            create_population(path, other)


def test_a_failing_network_is_noted_and_the_others_go_on(tmp_path):
    networks = random_networks((3, 4, 5))
    networks["4_i001"]["weight_out"][:] = 1e38  # finite weights, an output that is not
    networks["4_i001"]["bias_out"][:] = 3e38
    with np.errstate(over="ignore"):
        ds = import_networks("interval_reproduction", "vanilla", networks)
    ds["weight_out"][1] = np.inf
    path = str(tmp_path / "failing.zarr")
    add_population(path, ds)
    outcome = run_stage(path, "record")[0]
    assert (outcome.done, outcome.failed) == (2, 1)
    stored = open_group(path).load()
    assert stored.status_record.values.tolist() == [1, 2, 1]
    assert "not finite" in str(stored.message_record.values[1])
    with pytest.warns(UserWarning, match="1 of 3 networks failed in record"):
        record(ds)


def test_provenance_says_what_was_run_with_which_versions(store):
    run_stage(store, "record")
    entries = json.loads(open_group(store).attrs["provenance"])
    assert [entry["stage"] for entry in entries] == ["import", "record"]
    assert {"numpy", "zarr", "solspace"} <= set(entries[1]["versions"])
    assert entries[1]["finished"] >= entries[1]["started"]


def test_one_population_is_not_computed_in_two_ways(store):
    run_stage(store, "record")
    population = Store(store).populations()[0]
    before = open_group(store, "training").load()
    status = population.status("record")
    status[:2] = PENDING
    population.write_all("status_record", status)
    with pytest.raises(SolspaceError, match=r"record of .* was run with no options"):
        run_stage(store, "record", options={"device": "cpu"})
    outcome = run_stage(store, "record", options={"device": "cpu"}, redo=True)[0]
    assert (outcome.computed, outcome.done) == (5, 5)
    after = open_group(store, "training").load()
    np.testing.assert_allclose(after.output.values, before.output.values, atol=1e-6)


def test_a_check_says_all_faults_in_one_go(store):
    run_stage(store, "record")
    assert check_store(store) == []
    group = zarr.open_group(store, path=GROUP, mode="r+")
    group["weight_hh"][1] = np.nan
    group["status_record"][:] = [1, 1, 9, 1, 1]
    group["name"][:2] = np.array(["same", "same"])
    zarr.open_group(store, path=f"{GROUP}/training", mode="r+")["activity"][0, 3, 2, 0] = np.nan
    found = "\n".join(check_store(store))
    for fault in (
        "names are not unique: same",
        "'name' is not that of the population",
        "called trained, but weight_hh is not finite",
        "status_record is 9",
        "record called done, but training/activity is not finite",
    ):
        assert fault in found
    del group["bias_out"]
    assert "'bias_out' is missing" in "\n".join(check_store(store))


def test_seeds_make_a_network_the_same_in_any_population():
    small = new_population("interval_reproduction", "vanilla", networks=3, hidden_size=5, seed=4)
    large = new_population("interval_reproduction", "vanilla", networks=9, hidden_size=5, seed=4)
    np.testing.assert_array_equal(small.seed.values, large.seed.values[:3])
    assert len(set(large.seed.values.tolist())) == 9
    other = new_population("interval_reproduction", "vanilla", networks=9, hidden_size=5, seed=5)
    assert not set(large.seed.values.tolist()) & set(other.seed.values.tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": 0}, "0 networks; give 1 or more"),
        ({"hidden_size": 0}, "hidden size 0; give sizes of 1 or more"),
        ({"hidden_size": [20, -3]}, "hidden size -3"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_a_population_that_cannot_be_is_refused(change, message):
    given_ = {"networks": 2, "hidden_size": 5, "seed": 0} | change
    with pytest.raises(SolspaceError, match=message):
        new_population("interval_reproduction", "vanilla", **given_)


@pytest.mark.parametrize("there", [True, False])
def test_a_store_is_made_where_a_symbolic_link_points(tmp_path, there):
    """As to a large disk: to an empty folder there, or to a name that nothing has yet."""
    place = tmp_path / "large_disk" / "my.zarr"
    place.parent.mkdir()
    if there:
        place.mkdir()
    link = tmp_path / "my.zarr"
    link.symlink_to(place)
    assert Store(link, create=True).populations() == []
    assert link.is_symlink() and Store(place).populations() == []
    assert sorted(os.listdir(place.parent)) == ["my.zarr"]
