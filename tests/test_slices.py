"""Slices of one store by several processes at once: as a SLURM array writes it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from solspace import SolspaceError
from solspace.cli import main
from solspace.networks import parameter_shapes
from solspace.population import import_networks, new_population
from solspace.run.loop import run_stage
from solspace.run.populations import add_population, create_population
from solspace.store import Population, Store, provenance
from solspace.store.check import check_store
from solspace.store.locks import Slice
from solspace.store.metadata import WRITING
from solspace.tasks import Recipe

GROUP = "interval_reproduction/vanilla"
WHERE = ["--task", "interval_reproduction", "--architecture", "vanilla"]
BY_GRAPH = {"by": "automaton_key"}  # needs reduce alone
RECIPE = Recipe(target_loss=0.2, max_steps=20, learning_rate=0.01, attempts=1, check_every=10)

# One task of an array: makes the store or finds it made, and trains its slice.
TRAIN_SLICE = """
import sys
from solspace import create_population, new_population, run_stage
from solspace.tasks import Recipe
recipe = Recipe(target_loss=0.2, max_steps=20, learning_rate=0.01, attempts=1, check_every=10)
ds = new_population("interval_reproduction", "vanilla", networks=10, hidden_size=[4, 6],
                    recipe=recipe)
create_population(sys.argv[1], ds, shard_size=2, shared=True)
run_stage(sys.argv[1], "train", part=sys.argv[2])
"""


def described(networks: int = 10, recipe: Recipe = RECIPE):
    return new_population(
        "interval_reproduction", "vanilla", networks=networks, hidden_size=[4, 6], recipe=recipe
    )


def arrays(path: str) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    root = zarr.open_group(path, mode="r", use_consolidated=False)
    for name, member in root.members(max_depth=None):
        if isinstance(member, zarr.Array) and f"/{WRITING}/" not in name:
            found[name] = member[...]
    return found


def assert_same(path: str, other: str) -> None:
    these, those = arrays(path), arrays(other)
    assert these.keys() == those.keys()
    for name, array in these.items():
        np.testing.assert_array_equal(array, those[name], err_msg=name)


def noted_in(path: str) -> list[dict]:
    return json.loads(Store(path).populations()[0].attrs["provenance"])


def start(*args: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert (process.returncode, errors.decode()) == (0, "")


def nothing_beside(path: str) -> bool:
    beside = Path(path)
    return [p.name for p in beside.parent.iterdir() if p.name.startswith(beside.name)] == [
        beside.name
    ]


@pytest.mark.slow
def test_slices_at_once_make_the_store_of_one_run(tmp_path):
    whole, split = str(tmp_path / "whole.zarr"), str(tmp_path / "split.zarr")
    create_population(whole, described(), shard_size=2)
    for stage in ("train", "record", "reduce"):
        run_stage(whole, stage)
    run_stage(whole, "label", options=BY_GRAPH)
    # From nothing: each makes the store, or finds another making it.
    end([start("-c", TRAIN_SLICE, split, f"{k}/3") for k in (1, 2, 3)])
    assert len([e for e in noted_in(split) if "finished" in e]) == 3
    by = ("--by", BY_GRAPH["by"])
    # Two stages and several slices, all at once on one store.
    end(
        [
            start("-m", "solspace", stage, split, "--slice", f"{k}/{of}", "--quiet")
            for stage, of in (("record", 2), ("reduce", 1))
            for k in range(1, of + 1)
        ]
    )
    end(
        [
            start("-m", "solspace", "label", split, "--slice", f"{k}/2", "--quiet", *by)
            for k in (1, 2)
        ]
    )
    assert_same(split, whole)
    assert check_store(split) == []
    entries = noted_in(split)
    assert all("finished" in entry for entry in entries)
    assert sorted((e["stage"], e["where"]["slice"]) for e in entries) == [
        *(("label", f"{k}/2") for k in (1, 2)),
        *(("record", f"{k}/2") for k in (1, 2)),
        ("reduce", "1/1"),
        *(("train", f"{k}/3") for k in (1, 2, 3)),
    ]
    assert nothing_beside(split)


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(1)
    shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    networks = {
        f"net{i}": {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
        for i in range(6)
    }
    path = str(tmp_path / "small.zarr")
    ds = import_networks("interval_reproduction", "vanilla", networks)
    add_population(path, ds, shard_size=1)
    return path


HOLD = """
import sys, time
from solspace.store.locks import Slice
from solspace.store import Store
store = Store(sys.argv[1])
population = store.populations()[0]
shards = Slice.parse(sys.argv[3]).part(population.shards())
verb = f"{sys.argv[2]} --slice {sys.argv[3]}"
with store.lock(verb, shared=True), population.claim(sys.argv[2], shards, verb):
    print("held", flush=True)
    time.sleep(200)
"""


@pytest.mark.slow
def test_what_another_process_writes_is_refused_and_nothing_else(store):
    holder = start("-c", HOLD, store, "record", "1/3")
    try:
        assert holder.stdout.readline() == b"held\n"
        told = f"record --slice 1/3, process {holder.pid}"
        for part in ("1/3", "1/6", "1/2", "1/1"):
            with pytest.raises(SolspaceError, match=told):
                run_stage(store, "record", part=part)
        with pytest.raises(SolspaceError, match=told):  # all of the store
            run_stage(store, "record")
        with pytest.raises(SolspaceError, match=told):
            run_stage(store, "reduce")
        assert run_stage(store, "record", part="2/3")[0].computed == 2
        assert run_stage(store, "record", part="6/6")[0].computed == 1
        assert run_stage(store, "reduce", part="1/3")[0].computed == 2
        with pytest.raises(SolspaceError, match="was run with no options"):
            run_stage(store, "record", part="5/6", options={"device": "cpu"})
    finally:
        holder.kill()
        holder.communicate()
    # The claims of a dead process are none.
    assert run_stage(store, "record", part="1/3")[0].computed == 2
    assert nothing_beside(store)


def test_slices_begun_at_once_have_the_same_options(store):
    """Nothing is computed yet, but another slice is at it: it may not be given other options."""
    store_ = Store(store)
    population = store_.populations()[0]
    with store_.lock("record", shared=True):
        with population.claim("record", population.shards()[:3], "record --slice 1/2"):
            with provenance.noted(population, "record"):
                pass
            with pytest.raises(SolspaceError, match="was run with no options"):
                run_stage(store, "record", part="2/2", options={"device": "cpu"})
        # Alone again, and still nothing computed: the options are free.
        assert run_stage(store, "record", part="2/2", options={"device": "cpu"})[0].computed == 3


def test_a_slice_needs_earlier_stages_of_its_own_networks_only(tmp_path):
    path = str(tmp_path / "begun.zarr")
    create_population(path, described(6), shard_size=1)
    run_stage(path, "train", part="1/2")
    assert run_stage(path, "reduce", part="1/2")[0].computed == 3
    with pytest.raises(SolspaceError, match=r"3 of 3 networks of .* are pending"):
        run_stage(path, "record", part="2/2")
    with pytest.raises(SolspaceError, match=r"verify needs reduce .* 3 of 6 networks"):
        run_stage(path, "verify", part="1/2")


def test_solutions_are_numbered_when_all_slices_have_ended(store):
    group = zarr.open_group(store, path=GROUP, mode="r")
    run_stage(store, "reduce")
    run_stage(store, "label", options=BY_GRAPH, part="2/2")
    assert (group["solution_key"][3:] != "").any()
    assert (group["solution"][:] == -1).all()
    run_stage(store, "label", options=BY_GRAPH, part="1/2")
    assert ((group["solution"][:] >= 0) == (group["solution_key"][:] != "")).all()


@pytest.mark.parametrize("bad", ["0/8", "9/8", "x", "3", "1/0", "-1/8", "1/2/3", "1.5/2", ""])
def test_a_slice_that_is_none_is_one_error_and_makes_nothing(tmp_path, capsys, bad):
    path = tmp_path / "none.zarr"
    code = main(["train", str(path), *WHERE, "--networks", "4", f"--slice={bad}"])
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith(f"solspace: slice {bad!r}; give K/N") and error.count("\n") == 1
    assert not path.exists()


def test_redo_and_slice_exclude_each_other(store, capsys):
    run_stage(store, "record")
    assert main(["record", store, "--redo", "--slice", "1/2"]) == 2
    assert "give it without --slice" in capsys.readouterr().err
    assert (Store(store).populations()[0].status("record") == 1).all()


@pytest.mark.slow
def test_more_slices_than_shards(store, capsys):
    computed = [run_stage(store, "record", part=f"{k}/10")[0].computed for k in range(1, 11)]
    assert sorted(computed) == [0] * 4 + [1] * 6
    assert main(["record", store, "--slice", "1/10"]) == 0
    assert "0 by slice 1/10 now" in capsys.readouterr().out


@given(shards=st.integers(0, 40), of=st.integers(1, 50))
def test_slices_are_consecutive_and_share_the_work_evenly(shards, of):
    items = list(range(shards))
    parts = [Slice(k, of).part(items) for k in range(1, of + 1)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.slow
def test_a_slice_killed_and_typed_again_ends_the_same(tmp_path):
    slow = dataclasses.replace(RECIPE, target_loss=1e-9, max_steps=2000)
    whole, killed = str(tmp_path / "whole.zarr"), str(tmp_path / "killed.zarr")
    for path in (whole, killed):
        create_population(path, described(8, slow), shard_size=1)
    run_stage(whole, "train")
    command = ["-m", "solspace", "train", killed, "--quiet", "--slice"]
    first, second = start(*command, "1/2"), start(*command, "2/2")
    population = Population(killed, "interval_reproduction", "vanilla")
    while not population.status("train")[:4].any():
        assert first.poll() is None, "the slice ended before it was killed"
        time.sleep(0.02)
    first.kill()
    first.communicate()
    assert not population.status("train")[:4].all()
    end([second])
    end([start(*command, "1/2")])
    assert_same(killed, whole)
    assert nothing_beside(killed)


NOTE = """
import sys
from solspace.store import Store, provenance
population = Store(sys.argv[1]).populations()[0]
for i in range(15):
    with provenance.noted(population, f"by {sys.argv[2]}, {i}"):
        pass
"""


def test_no_provenance_is_lost_however_many_write_it(store):
    end([start("-c", NOTE, store, str(k)) for k in range(3)])
    entries = noted_in(store)
    assert len(entries) == 1 + 3 * 15
    assert len({entry["stage"] for entry in entries}) == 1 + 3 * 15
    assert all("finished" in entry for entry in entries)
