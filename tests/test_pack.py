"""A packed store: small, whole or not there, and brought back to the last bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from solspace import SolspaceError, import_networks, new_population, pack
from solspace.cli import main
from solspace.info import size_on_disk
from solspace.networks import parameter_shapes
from solspace.run.loop import run_stage
from solspace.run.populations import add_population, create_population
from solspace.stages import collection
from solspace.store import Store
from solspace.store.check import check_store
from solspace.store.metadata import WRITING
from solspace.tasks import Recipe

GROUP = "interval_reproduction/vanilla"
STAGES = [
    name for name, stage in collection.stages().items() if stage.by_default and name != "train"
]
QUICK = Recipe(target_loss=0.2, max_steps=20, learning_rate=0.01, attempts=1, check_every=10)


def arrays(path: str) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    root = zarr.open_group(path, mode="r", use_consolidated=False)
    for name, member in root.members(max_depth=None):
        if isinstance(member, zarr.Array) and f"/{WRITING}/" not in name:
            found[name] = member[...]
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """Eight networks, so that the copy has more than one shard, of two sizes, every stage done."""
    rng = np.random.default_rng(1)
    networks = {}
    for i in range(8):
        shapes = parameter_shapes("vanilla", 12 + i % 2, inputs=2, outputs=1)
        networks[f"net{i}"] = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    path = str(tmp_path_factory.mktemp("pack") / "source.zarr")
    ds = import_networks("interval_reproduction", "vanilla", networks)
    add_population(path, ds, shard_size=4)
    for stage in STAGES:
        run_stage(path, stage)
    return path


@pytest.fixture(scope="module")
def learning_store(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("pack") / "learning.zarr")
    ds = new_population(
        "interval_reproduction",
        "gru",
        networks=3,
        hidden_size=[5, 6],
        recipe=QUICK,
        checkpoints=3,
    )
    create_population(path, ds, shard_size=3)
    for stage in ("train", "reduce", "responses", "label"):
        run_stage(path, stage)
    return path


@pytest.mark.slow
def test_what_was_left_out_comes_back_to_the_last_bit(store, tmp_path):
    copy = str(tmp_path / "copy.zarr")
    pack([store], copy)
    assert check_store(copy) == []
    population = Store(copy).populations()[0]
    assert not population.has("training") and not population.has("extrapolation")
    assert len(population.shards()) == 2
    assert population.shards() == Store(store).populations()[0].shards()
    left_out = ("/training/", "/extrapolation/", "_record", "_extrapolate")
    before, packed = arrays(store), arrays(copy)
    empty = {n for n, a in before.items() if "/message_" in n and not (a != "").any()}
    assert packed.keys() == {n for n in before if not any(x in n for x in left_out[:2])} - empty
    for name, array in packed.items():
        if not name.endswith(left_out[2:]):
            np.testing.assert_array_equal(array, before[name], err_msg=name)
    # What is there is not asked for again, though what it was made from is not there.
    assert run_stage(copy, "features")[0].computed == 0
    with pytest.raises(SolspaceError, match="features needs record"):
        run_stage(copy, "features", redo=True)
    for stage in STAGES:  # by no other order than any store
        outcome = run_stage(copy, stage)[0]
        assert outcome.computed == (8 if stage in ("record", "extrapolate") else 0), stage
    after = arrays(copy)
    # A message that nothing needed stays away.
    assert before.keys() - after.keys() <= empty and after.keys() <= before.keys()
    for name, array in [(n, before[n]) for n in after]:
        np.testing.assert_array_equal(after[name], array, err_msg=name)
    assert check_store(copy) == []


def test_what_was_left_out_is_pending_without_a_file_that_says_so(learning_store, tmp_path):
    run_stage(learning_store, "record")
    copy = str(tmp_path / "copy.zarr")
    pack([learning_store], copy)
    status = zarr.open_array(copy, path="interval_reproduction/gru/status_record", mode="r")
    # Were one lost, nothing would be called done that is not there.
    assert not status[...].any() and status.fill_value == 0 and status.nchunks_initialized == 0
    assert check_store(copy) == []


def test_several_stores_become_one_with_checkpoints_and_provenance(store, learning_store, tmp_path):
    copy = str(tmp_path / "both.zarr")
    assert [str(p) for p in pack([store, learning_store], copy)] == [
        "interval_reproduction/gru",
        GROUP,
    ]
    assert check_store(copy) == []
    for path, group in ((learning_store, "interval_reproduction/gru"), (store, GROUP)):
        source = xr.open_zarr(path, group=group).load()
        there = xr.open_zarr(copy, group=group).load()
        assert there.attrs["provenance"][:-1].startswith(source.attrs["provenance"][:-1])
        assert there.attrs.get("recipe") == source.attrs.get("recipe")
        xr.testing.assert_equal(
            there.drop_vars([n for n in there if "record" in n or "extrapolate" in n]),
            source.drop_vars(
                [n for n in source if "record" in n or "extrapolate" in n]
                + [n for n in source if n.startswith("message_") and not source[n].any()],
                errors="ignore",
            ),
        )
        assert there.weight_hh.attrs == source.weight_hh.attrs
    group = "interval_reproduction/gru/checkpoints"
    xr.testing.assert_identical(
        xr.open_zarr(copy, group=group).load().drop_attrs(deep=False),
        xr.open_zarr(learning_store, group=group).load().drop_attrs(deep=False),
    )
    kept = sum(
        size_on_disk(source) - sum(size_on_disk(f"{source}/{group}/{part}") for part in left_out)
        for source, group, left_out in (
            (store, GROUP, ("training", "extrapolation")),
            (learning_store, "interval_reproduction/gru", ()),
        )
    )
    # The copy's one consolidated copy of all metadata is of more groups.
    assert size_on_disk(copy) < 1.03 * kept


def test_only_what_is_asked_for(store, learning_store, tmp_path, capsys):
    copy = str(tmp_path / "one.zarr")
    assert main(["pack", learning_store, copy, "--architecture", "gru"]) == 0
    assert "pack interval_reproduction/gru: 3 networks" in capsys.readouterr().out
    assert main(["pack", store, str(tmp_path / "x.zarr"), "--architecture", "gru"]) == 2
    assert "has no networks of gru" in capsys.readouterr().err
    assert not (tmp_path / "x.zarr").exists()


def test_nothing_is_overwritten_and_nothing_left_by_a_refusal(store, learning_store, tmp_path):
    there = tmp_path / "there.zarr"
    there.mkdir()
    (there / "notes.txt").write_text("mine")
    for destination in (str(there), store):
        with pytest.raises(SolspaceError, match="is there already"):
            pack([store], destination)
    assert (there / "notes.txt").read_text() == "mine"
    with pytest.raises(SolspaceError, match="both hold interval_reproduction/vanilla"):
        pack([store, store], str(tmp_path / "twice.zarr"))
    begun = str(tmp_path / "begun.zarr")
    create_population(begun, new_population("interval_reproduction", "lstm", networks=2))
    with pytest.raises(SolspaceError, match="lstm is not trained yet"):
        pack([learning_store, begun], str(tmp_path / "half.zarr"))
    with Store(store).lock("record"), pytest.raises(SolspaceError, match="another process"):
        pack([store], str(tmp_path / "busy.zarr"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["begun.zarr", "there.zarr"]


PACK_SLOWLY = """
import sys, time
import solspace.store.pack as store
from solspace import pack
copy = store.copy_packed
def slowly(array, *more):
    copy(array, *more)
    if array.basename == "loss":
        print("under way", flush=True)
        time.sleep(100)
store.copy_packed = slowly
pack([sys.argv[1]], sys.argv[2])
"""


def test_killed_it_leaves_no_store_and_typed_again_it_works(store, tmp_path):
    copy = str(tmp_path / "copy.zarr")
    process = subprocess.Popen(
        [sys.executable, "-c", PACK_SLOWLY, store, copy], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"under way\n"
    time.sleep(0.1)
    process.kill()
    process.communicate()
    assert not os.path.exists(copy)
    pack([store], copy)
    assert check_store(copy) == []
    assert [p.name for p in Path(tmp_path).iterdir()] == ["copy.zarr"]


def test_a_copy_does_not_say_where_on_a_machine_its_source_was(store, tmp_path, monkeypatch):
    path = str(tmp_path / "named.zarr")
    shutil.copytree(store, path)
    monkeypatch.setattr(sys, "argv", ["/opt/bin/solspace", "reduce", path, "--redo"])
    run_stage(path, "reduce", redo=True)
    copy = str(tmp_path / "copy.zarr")
    pack([path], copy)
    commands = [
        entry["command"]
        for entry in json.loads(xr.open_zarr(copy, group=GROUP).attrs["provenance"])
        if entry["stage"] == "reduce"
    ]
    assert commands[-1] == "solspace reduce named.zarr --redo"
    # Nor does the note of the copying itself, which has the source's path in its command.
    for noted in (copy, path):
        assert str(tmp_path) not in xr.open_zarr(noted, group=GROUP).attrs["provenance"]


def test_packing_says_nothing_of_zarr(store, tmp_path, recwarn):
    pack([store], str(tmp_path / "copy.zarr"))
    assert [str(w.message) for w in recwarn] == []
