"""How arrays lie in a store: shards, chunks, checksums, strings, and packed arrays laid anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from solspace import SolspaceError, import_networks, new_population, pack
from solspace.networks import parameter_shapes
from solspace.run.loop import run_stage
from solspace.run.populations import add_population, create_population
from solspace.stages import collection
from solspace.store import Store, layout, metadata
from solspace.store.check import check_store
from solspace.store.metadata import WRITING
from solspace.tasks import Recipe

ROOT = Path(__file__).resolve().parents[1]
GROUP = "interval_reproduction/vanilla"
LEFT_OUT = ("/training/", "/extrapolation/", "status_record", "status_extrapolate")
QUICK = Recipe(target_loss=0.2, max_steps=20, learning_rate=0.01, attempts=1, check_every=10)


def random_networks(n: int, units: int, seed: int = 1) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes("vanilla", units, inputs=2, outputs=1)
    return {
        f"net{i}": {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
        for i in range(n)
    }


def arrays(path: str) -> dict[str, zarr.Array]:
    root = zarr.open_group(path, mode="r", use_consolidated=False)
    own = {n: a for n, a in root.members(max_depth=None) if isinstance(a, zarr.Array)}
    return {n: a for n, a in own.items() if f"/{WRITING}/" not in n}


def assert_same(path: str, other: str, but: tuple[str, ...] = ()) -> None:
    these, those = arrays(path), arrays(other)
    # A packed store keeps no message where there is none.
    there = [n for n in those if not n.rpartition("/")[2].startswith("message_")]
    there = [n for n in there if not any(part in n for part in but)]
    assert set(there) <= set(these)
    for name in there:
        np.testing.assert_array_equal(these[name][...], those[name][...], err_msg=name)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """Seven networks in shards of four, their activity in chunks of fewer."""
    path = str(tmp_path_factory.mktemp("layout") / "source.zarr")
    ds = import_networks("interval_reproduction", "vanilla", random_networks(7, 20))
    add_population(path, ds, shard_size=4)
    for stage in ("record", "extrapolate", "reduce", "responses", "label", "verify"):
        run_stage(path, stage)
    return path


# --------------------------------------------------------------------------- chunks, checksums


@pytest.mark.slow
def test_every_group_of_a_fresh_store_has_one_chunking(store, tmp_path):
    trained = str(tmp_path / "trained.zarr")
    ds = new_population(
        "interval_reproduction", "vanilla", networks=5, hidden_size=6, recipe=QUICK, checkpoints=3
    )
    create_population(trained, ds, shard_size=2)
    run_stage(trained, "train")
    for path, groups in ((store, {"training", "graph"}), (trained, {"checkpoints"})):
        population = Store(path).populations()[0]
        assert groups <= set(population.groups())
        for group in population.groups():
            ds = xr.open_zarr(path, group=population.group_path(group))
            # dask, and the store's own: xarray refuses both where they differ.
            assert sum(ds.chunks["network"]) == population.networks
            native = xr.open_zarr(path, group=population.group_path(group), chunks={})
            assert native.chunks["network"]
            own = {
                a.chunks[0]
                for name, a in population.zarr_group(group).arrays()
                # What is along its own dim is read when the group is opened.
                if (a.metadata.dimension_names or ("",))[0] == "network" and name != "network"
            }
            assert len(own) == 1, group
    activity = arrays(store)[f"{GROUP}/training/activity"]
    assert activity.chunks[0] < activity.shards[0] == 4


def test_metadata_read_as_files_are_those_that_zarr_reads(store):
    root = zarr.open_group(store, mode="r", use_consolidated=False)
    groups = ["", *(path for path, own in root.members(None) if isinstance(own, zarr.Group))]
    assert len(groups) > 5
    for path in groups:
        members = dict((root[path] if path else root).members())
        found = metadata.nodes(store, path)
        assert set(found) == set(members), path
        for name, one in found.items():
            own = members[name]
            assert one == metadata.node(store, f"{path}/{name}".lstrip("/"))
            assert one.attrs == dict(own.attrs)
            assert one.is_group == isinstance(own, zarr.Group)
            if not one.is_group:
                assert (one.dims, one.shape) == (own.metadata.dimension_names or (), own.shape)
    assert metadata.node(store, "nowhere/at all") is None
    with pytest.raises(FileNotFoundError):
        metadata.nodes(store, "nowhere")


@pytest.mark.parametrize("damage", ["{", "[]", ""])
def test_damaged_metadata_are_left_to_zarr(tmp_path, damage):
    path = str(tmp_path / "small.zarr")
    zarr.create_group(path).create_array("one", shape=(2,), dtype="int8")
    (tmp_path / "small.zarr" / "one" / "zarr.json").write_text(damage)
    for read in (metadata.node, lambda store, name: metadata.nodes(store)):
        with pytest.raises(Exception) as found:
            read(path, "one")
        with pytest.raises(found.type):
            zarr.open_group(path, mode="r")["one"]


@pytest.mark.parametrize("packed", [False, True])
def test_no_flipped_byte_is_read(tmp_path, packed):
    """Any byte of any file of any array: the array is not read as if nothing was."""
    path = str(tmp_path / "small.zarr")
    ds = import_networks("interval_reproduction", "vanilla", random_networks(3, 4))
    add_population(path, ds, shard_size=2)
    run_stage(path, "reduce")
    if packed:
        pack([path], str(tmp_path / "packed.zarr"))
        path = str(tmp_path / "packed.zarr")
    rng = np.random.default_rng(0)
    flipped = 0
    for name, array in arrays(path).items():
        for file in (Path(path) / name).rglob("*"):
            if not file.is_file() or file.name == "zarr.json":
                continue
            content = file.read_bytes()
            for at in {0, len(content) - 1, int(rng.integers(len(content)))}:
                broken = bytearray(content)
                broken[at] ^= 1 << int(rng.integers(8))
                file.write_bytes(broken)
                with pytest.raises(Exception):  # noqa: B017  what the codec happens to raise
                    array[...]
                flipped += 1
            file.write_bytes(content)
        array[...]
    assert flipped > 45


# --------------------------------------------------------------------------- strings


def test_a_name_too_long_is_refused_and_nothing_made(tmp_path):
    path = str(tmp_path / "long.zarr")
    ds = import_networks("interval_reproduction", "vanilla", random_networks(2, 4))
    long = ds.assign_coords(name=("network", ["short", "n" * 65]))
    with pytest.raises(SolspaceError, match=r"'name' has a string of 65 characters, .* 64"):
        add_population(path, long)
    assert os.listdir(tmp_path) == []
    add_population(path, ds.assign_coords(name=("network", ["short", "n" * 64])))
    assert xr.open_zarr(path, group=GROUP).name.values.tolist() == ["short", "n" * 64]


def test_a_string_too_long_is_never_cut(tmp_path):
    path = str(tmp_path / "text.zarr")
    ds = import_networks("interval_reproduction", "vanilla", random_networks(2, 4))
    population = add_population(path, ds)
    shard = population.shards()[0]
    part = population.open().isel(network=slice(*shard)).load()
    data = {n: part[n] for n in ("loss", "status_train", "message_train")}
    data["message_train"] = xr.DataArray(["m" * 201] * len(part.network), dims="network")
    with pytest.raises(SolspaceError, match="a string of 201 characters, the store keeps 200"):
        population.write_shard(shard, "train", {"population": data})
    assert (population.open().message_train == "").all()


# --------------------------------------------------------------------------- sizes of shards


def test_default_shards(tmp_path):
    def size(networks: int, hidden_size: int) -> int:
        path = str(tmp_path / f"{networks}_{hidden_size}.zarr")
        ds = new_population(
            "interval_reproduction", "vanilla", networks=networks, hidden_size=hidden_size
        )
        return create_population(path, ds).shard_size

    assert size(16, 5) == 1
    assert size(400, 5) == 8  # a fiftieth
    # The activity is the largest array: 31 trials of 150 steps.
    assert size(1000, 1000) == (1 << 28) // (31 * 150 * 1000 * 4) == 14


@pytest.mark.parametrize(("networks", "shard_size"), [(1, 1), (2, 3), (3, 2), (3, 64)])
def test_any_shard_size_fits_any_number_of_networks(tmp_path, networks, shard_size):
    path = str(tmp_path / "any.zarr")
    ds = import_networks("interval_reproduction", "vanilla", random_networks(networks, 20))
    add_population(path, ds, shard_size=shard_size)
    assert run_stage(path, "record")[0].done == networks
    assert check_store(path) == []
    assert xr.open_zarr(path, group=f"{GROUP}/training").chunks


@given(networks=st.integers(1, 10**7), each=st.integers(1, 10**9))
def test_shards_are_few_or_as_large_as_memory_allows(networks, each):
    size = layout.default_shard_size(networks, each)
    assert 1 <= size <= networks
    assert size == 1 or size * each <= layout.MOST_SHARD_BYTES
    allowed = layout.MOST_SHARD_BYTES // each
    assert -(-networks // size) <= 100 or size >= allowed * 7 // 8
    chunk = layout.chunk_size(size, each, networks)
    assert size % chunk == 0
    assert chunk == 1 or chunk * each <= 1 << 25


def test_files_are_as_many_as_shards(store):
    """No stage writes a file a network or a chunk: an array has its metadata and a file a shard."""
    (population,) = Store(store).populations()
    shards = len(population.shards())
    for name in arrays(store):
        files = [f for f in (Path(store) / name).rglob("*") if f.is_file()]
        assert len(files) <= 1 + shards, name


@pytest.mark.slow
def test_laying_takes_memory_for_a_shard_and_not_for_all(tmp_path):
    """Of a population that is read lazily, 400 networks of 24 kB, in ten shards."""
    source = xr.open_zarr(ROOT / "stores" / "turner2021.zarr", group=GROUP, chunks=None)
    train = collection.find("train", "recurrent")
    kept = {train.status.name, *(v.name for v in train.fills)}
    ds = source.drop_vars([n for n in source.data_vars if n not in kept])
    ds = ds.drop_vars([n for n in ds.coords if str(n).endswith("_key") or "solution" in str(n)])
    add_population(str(tmp_path / "first.zarr"), ds.isel(network=slice(4)))  # what loads modules
    weights = sum(v.nbytes for v in ds.data_vars.values())
    tracemalloc.start()
    try:
        population = add_population(str(tmp_path / "all.zarr"), ds, shard_size=40)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert weights > 8e6
    assert peak < weights / 2
    laid = population.open()
    for name in ("weight_hh", "initial_weight_out", "loss", "name"):
        np.testing.assert_array_equal(laid[name].values, source[name].values)


def test_shards_grow_with_what_is_added(tmp_path):
    path = str(tmp_path / "grown.zarr")
    few = import_networks("interval_reproduction", "vanilla", random_networks(3, 4))
    assert add_population(path, few).shard_size == 1
    assert run_stage(path, "extrapolate")[0].computed == 3
    before = xr.open_zarr(path, group=f"{GROUP}/extrapolation").output.load()
    index = np.arange(101)
    more = few.isel(network=index % 3)
    more = more.assign_coords(network=index, name=("network", [f"more{i}" for i in index]))
    assert add_population(path, more).shard_size == 2
    after = xr.open_zarr(path, group=f"{GROUP}/extrapolation").output
    np.testing.assert_array_equal(after[:3], before)
    status = xr.open_zarr(path, group=GROUP).status_extrapolate.values
    assert status.tolist() == [1, 1, 1] + [0] * 101


# --------------------------------------------------------------------------- packed stores


def test_a_large_array_is_packed_shard_by_shard(store, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "MOST_PACKED_BYTES", 8000)  # of five networks' recurrent weights
    path = str(tmp_path / "packed.zarr")
    pack([store], path)
    array = arrays(path)[f"{GROUP}/weight_hh"]
    assert (array.shards or array.chunks)[0] == 4
    assert_same(path, store, but=LEFT_OUT)


@pytest.fixture
def packed(store, tmp_path) -> str:
    path = str(tmp_path / "packed.zarr")
    pack([store], path)
    array = arrays(path)[f"{GROUP}/graph/edge_source"]
    assert (array.shards or array.chunks)[0] >= 7  # one shard for all
    return path


def shards_of_what_reduce_fills(path: str) -> set[int]:
    found = arrays(path)
    names = ["automaton_key", "graph_key", "graph_description", "status_reduce"]
    names += ["graph/n_nodes", "graph/edge_source", "graph/node_output"]
    own = [found[f"{GROUP}/{name}"] for name in names]
    return {(a.shards or a.chunks)[0] for a in own}


@pytest.mark.slow
def test_a_packed_store_reduced_again_is_the_same(store, packed, tmp_path):
    outcome = run_stage(packed, "reduce", redo=True)[0]
    done = int((arrays(store)[f"{GROUP}/status_reduce"][...] == 1).sum())
    assert (outcome.computed, outcome.done) == (7, done)
    # No two shards of networks lie in one shard of an array.
    assert all(4 % shard == 0 for shard in shards_of_what_reduce_fills(packed))
    for stage in ("label", "verify"):
        assert run_stage(packed, stage)[0].computed == 7
    for stage in ("record", "extrapolate"):
        run_stage(packed, stage)
    assert_same(packed, store)
    assert check_store(packed) == []
    ds = xr.open_zarr(packed, group=GROUP)  # by the copy at the root
    for group in ("training", "graph"):
        own = xr.open_zarr(packed, group=f"{GROUP}/{group}")
        assert own.solution.values.tolist() == ds.solution.values.tolist()
        assert own.solution_key.values.tolist() == ds.solution_key.values.tolist()


# Killed when an array was put aside and before the one laid anew took its place.
KILLED = """
import os, sys
from solspace.cli import main
rename = os.rename
def dying(before, after):
    rename(before, after)
    if after.endswith(".relayout.old") and before.endswith(sys.argv[2]):
        os._exit(9)
os.rename = dying
main(["reduce", sys.argv[1], "--redo", "--quiet"])
"""


@pytest.mark.parametrize(
    ("name", "sliced"),
    [
        pytest.param("status_reduce", False, marks=pytest.mark.slow),
        pytest.param("graph_key", True, marks=pytest.mark.slow),
        pytest.param("edge_source", False, marks=pytest.mark.slow),
    ],
)
def test_killed_while_an_array_is_laid_anew(store, packed, tmp_path, name, sliced, monkeypatch):
    folder = os.path.dirname(packed)
    done = subprocess.run([sys.executable, "-c", KILLED, "packed.zarr", name], cwd=folder)
    assert done.returncode == 9
    where = f"{GROUP}/graph/{name}" if name == "edge_source" else f"{GROUP}/{name}"
    assert not os.path.exists(os.path.join(packed, where))
    # By another name and from another folder.
    link = tmp_path / "elsewhere" / "link.zarr"
    link.parent.mkdir()
    link.symlink_to(packed)
    monkeypatch.chdir(tmp_path / "elsewhere")
    if sliced:
        run_stage("link.zarr", "reduce", part="1/1")
    else:
        run_stage("link.zarr", "reduce")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "packed.zarr"]
    for stage in ("label", "verify"):
        run_stage(packed, stage)
    assert_same(packed, store, but=LEFT_OUT)
    assert check_store(packed) == []


# --------------------------------------------------------------------------- options, checks


def test_other_options_are_refused_also_when_nothing_is_pending(store):
    before = {n: a[...] for n, a in arrays(store).items()}
    told = r"reduce of .* was run with no options .--method turner2021.; .* --redo"
    with pytest.raises(SolspaceError, match=told):
        run_stage(store, "reduce", options={"method": "automaton"})
    with pytest.raises(SolspaceError, match="was run with no options"):
        run_stage(store, "record", options={"device": "cpu"})
    assert run_stage(store, "reduce", options={"method": "turner2021"})[0].computed == 0
    for name, array in arrays(store).items():
        np.testing.assert_array_equal(array[...], before[name], err_msg=name)


def test_a_check_names_every_variable_that_is_missing(store, tmp_path):
    path = shutil.copytree(store, str(tmp_path / "holes.zarr"))
    gone = ["weight_hh", "bias_out", "solution_description", "training/activity", "graph/n_edges"]
    for name in gone:
        shutil.rmtree(os.path.join(path, GROUP, name))
    told = "\n".join(check_store(path))
    for name in gone:
        assert f"{name.rpartition('/')[2]!r} is missing" in told
