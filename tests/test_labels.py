"""Labels: found, chosen, described; what an earlier version labelled; one's own."""

from __future__ import annotations

import dataclasses
import shutil
import string
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from blocks import python_blocks
from hypothesis import given, settings
from hypothesis import strategies as st

import solspace
from solspace import SolspaceError, label, label_network, network_weights, reduce, run_stage
from solspace.cli import main
from solspace.info import describe
from solspace.labels import Label, get_label, label_names, register_label, solution_name
from solspace.labels.registry import unregister_label
from solspace.labels.stage import described, solution_descriptions, solution_key
from solspace.networks import parameter_shapes
from solspace.store.check import check_store
from solspace.tasks import get_task

ROOT = Path(__file__).resolve().parents[1]
LEARNING = ROOT / "stores" / "learning.zarr"
TASK, GROUP = "interval_reproduction", "interval_reproduction/vanilla"
OF_GRAPHS = ("automaton_key", "graph_key")


@pytest.fixture(scope="module")
def shipped() -> xr.Dataset:
    """Twelve trained networks, as an earlier version stored and labelled them."""
    ds = xr.open_zarr(LEARNING, group=GROUP).isel(network=slice(12)).load()
    return ds.isel(feature=slice(3)) if "feature" in ds.dims else ds


@pytest.fixture(scope="module")
def reduced(shipped) -> xr.Dataset:
    return reduce(shipped.drop_vars(["solution", "solution_key", "solution_name"]))


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> str:
    """Eight networks of a store of version 2 in which reduce was what named solutions."""
    path = str(tmp_path_factory.mktemp("few") / "few.zarr")
    for group in ("", TASK, GROUP, *(f"{GROUP}/{name}" for name in ("graph", "checkpoints"))):
        old = zarr.open_group(str(LEARNING), path=group, mode="r", use_consolidated=False)
        attributes = {k: v for k, v in old.attrs.items() if k != "solspace_records"}  # not then
        new = zarr.open_group(path, path=group, mode="a", attributes=attributes)
        for name, array in old.arrays():
            dims = array.metadata.dimension_names or ()
            values = np.asarray(array[...])
            values = values[:8] if dims[:1] == ("network",) else values
            new.create_array(
                name, data=values, dimension_names=dims, fill_value=array.fill_value,
                attributes=dict(array.attrs),
            )  # fmt: skip
    return path


@pytest.fixture
def older(few, tmp_path) -> str:
    return shutil.copytree(few, str(tmp_path / "older.zarr"))


def opened(path: str, group: str = "") -> xr.Dataset:
    return xr.open_zarr(path, group=f"{GROUP}/{group}".rstrip("/"), consolidated=False).load()


# --------------------------------------------------------------------------- the registry


def test_labels_are_found_and_say_what_they_are():
    assert set(OF_GRAPHS) <= set(label_names())
    for name in label_names():
        assert get_label(name).name == name and get_label(name).summary
    with pytest.raises(SolspaceError, match=r"unknown label 'colour'; labels: .*automaton_key"):
        get_label("colour")


@pytest.mark.parametrize("name", OF_GRAPHS)
def test_a_label_of_weights_is_the_one_that_is_stored(reduced, name):
    for i in range(0, 12, 3):
        weights = network_weights(reduced, i)
        assert label_network(TASK, "vanilla", weights, name) == reduced[name].values[i]
    assert label_network(TASK, "vanilla", weights, name, method="automaton")
    with pytest.raises(SolspaceError, match="has no option 'depth'; options: method"):
        label_network(TASK, "vanilla", weights, name, depth=3)


def sign(task, architecture, weights):
    """The sign of the sum of readout weights."""
    return "positive" if weights["weight_out"].sum() > 0 else "negative"


@pytest.fixture
def own():
    register_label(sign)
    yield
    unregister_label("sign")


@pytest.mark.usefixtures("own")
def test_a_label_of_ones_own_is_known_and_refused_where_it_is_unfit(reduced):
    assert "sign" in label_names()
    ds = label(reduced, by="sign")
    expected = [sign(None, "", network_weights(reduced, i)) for i in range(12)]
    assert ds.solution_key.values.tolist() == expected
    assert ds.attrs["solution_method"] == "sign"
    with pytest.raises(SolspaceError, match="of the package is named 'graph_key'"):
        register_label(Label("graph_key", "mine", sign))
    with pytest.raises(SolspaceError, match="and a summary"):
        register_label(lambda task, architecture, weights: "a")
    with pytest.raises(SolspaceError, match="give a string"):
        label_network(TASK, "vanilla", {}, Label("none", "nothing", lambda *args: ""))


# --------------------------------------------------------------------------- the stage


@pytest.mark.parametrize("by", [None, *OF_GRAPHS])
def test_solutions_follow_the_label(reduced, by):
    ds = label(reduced, by=by)
    name = by or "automaton_key"
    assert ds.solution_key.values.tolist() == [solution_key(k) for k in reduced[name].values]
    assert ds.solution_name.values.tolist() == [solution_name(k) for k in ds.solution_key.values]
    counts = np.bincount(ds.solution.values)
    assert (np.diff(counts) <= 0).all() and counts.sum() == 12
    assert ds.attrs["solution_method"] == name and ds.attrs["graph_method"] == "turner2021"
    told = dict(zip(ds.solution_key.values, ds.solution_description.values, strict=True))
    pairs = set(zip(ds.solution_key.values, ds.solution_description.values, strict=True))
    assert len(pairs) == len(told) == len(set(told.values()))  # one for one
    for key, words in told.items():
        assert words.startswith(f"{solution_name(key)}. By its graph, of pulses at a few moments.")


keys = st.text(string.ascii_letters + string.digits + "|>,;:", min_size=1, max_size=150)


@settings(max_examples=30)
@given(st.lists(st.tuples(keys, st.text(max_size=600)), max_size=8, unique_by=lambda pair: pair[0]))
def test_two_keys_are_never_described_alike(pairs):
    texts = [described(key, words) for key, words in pairs]
    assert len(set(texts)) == len(texts)
    assert all(len(text) <= 512 for text in texts)
    assert len({solution_key(key) for key, _ in pairs}) == len(pairs)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", "z"])), min_size=1))
def test_one_key_is_described_in_one_way_and_so_it_stays(pairs):
    of, told = [k for k, _ in pairs], [f"{k}. {w}" for k, w in pairs]
    ds = xr.Dataset({"solution_key": ("network", of), "solution_description": ("network", told)})
    once = solution_descriptions(ds)
    assert len(set(zip(of, once.tolist(), strict=True))) == len(set(of))
    again = solution_descriptions(ds.assign(solution_description=("network", once)))
    assert again.tolist() == once.tolist()


def test_a_task_says_by_which_label_its_networks_are_told(reduced):
    assert get_task(TASK).solution_label == "response_key"
    own = dataclasses.replace(get_task(TASK), solution_label="graph_key")
    fresh = reduced.copy()
    del fresh.attrs["solution_method"]
    ds = label(fresh, task=own)
    assert ds.attrs["solution_method"] == "graph_key"
    assert (
        ds.solution_key.values.tolist()
        == label(reduced, by="graph_key").solution_key.values.tolist()
    )
    # Solutions that follow a label already go on to.
    assert label(ds).attrs["solution_method"] == "graph_key"
    with pytest.raises(SolspaceError, match="unknown label 'colour'"):
        label(fresh, task=dataclasses.replace(own, solution_label="colour"))


def test_lazily_it_is_what_it_is_in_memory(shipped):
    ds = shipped.drop_vars(["solution", "solution_key", "solution_name", "solution_description"])
    here = label(reduce(ds))
    lazy = label(reduce(ds.chunk(network=5)))
    assert lazy.solution_key.variable._in_memory is False
    assert lazy.attrs["solution_method"] == "automaton_key"
    for name in ("solution", "solution_key", "solution_name", "solution_description"):
        np.testing.assert_array_equal(lazy[name].values, here[name].values, err_msg=name)


def test_what_is_not_there_names_the_stage_to_run(reduced):
    bare = reduced.drop_vars(["automaton_key", "graph_key"])
    bare.attrs.clear()
    with pytest.raises(SolspaceError, match=r"no 'response_key'; call solspace\.find_responses"):
        label(bare)
    with pytest.raises(SolspaceError, match=r"no 'automaton_key'; call solspace\.reduce"):
        label(bare, by="automaton_key")
    waiting = reduced.assign(status_reduce=reduced.status_reduce * 0)
    with pytest.raises(SolspaceError, match="reduce is pending for 12 of 12"):
        label(waiting)
    hole = reduced.copy(deep=True)
    hole["automaton_key"][2] = ""
    hole["status_reduce"][3] = 2
    with pytest.warns(UserWarning, match="2 of 12 networks failed in label"):
        ds = label(hole)
    assert ds.status_label.values.tolist() == [1, 1, 2, 2, *[1] * 8]
    assert "solspace reduce STORE --redo" in ds.message_label.values[2]
    assert "reduce did not succeed" in ds.message_label.values[3]
    assert ds.solution.values[[2, 3]].tolist() == [-1, -1]


def test_populations_of_other_labels_or_graphs_are_not_joined_in_silence(reduced):
    one, other = label(reduced), label(reduced, by="graph_key")
    with pytest.raises(SolspaceError, match="of different methods"):
        solspace.concat([one, other])
    both = solspace.concat([one, one])
    assert {"automaton_key", "graph_key"} <= set(both.coords)
    assert {"automaton_key", "solution_key"} <= set(solspace.network_table(one))
    automaton = label(reduce(reduced.isel(network=slice(2)), method="automaton"))
    with pytest.raises(SolspaceError, match="automaton_key of automaton graphs"):
        solspace.concat([one, automaton])
    kept = [ds.drop_vars(["solution", "solution_key", "solution_name"]) for ds in (one, automaton)]
    with pytest.warns(UserWarning, match="automaton_key .of graphs of automaton and turner2021"):
        assert "automaton_key" not in solspace.concat(kept).variables


def test_graphs_of_an_earlier_version_are_verified_by_its_solution_key(shipped):
    graphs = xr.open_zarr(LEARNING, group=f"{GROUP}/graph").isel(network=slice(12)).load()
    few = shipped.merge(graphs.drop_vars(["status_reduce"], errors="ignore")).isel(
        network=[0, 3, 5]
    )
    few.attrs = shipped.attrs
    found = solspace.verify(few)
    now = solspace.verify(reduce(few))
    for name in ("graph_recall", "graph_specificity"):
        np.testing.assert_array_equal(found[name].values, now[name].values)
    few.attrs = {}
    with pytest.raises(SolspaceError, match="no 'automaton_key'"):
        solspace.verify(few)


# --------------------------------------------------------------------------- over a store


@pytest.mark.slow
def test_an_older_store_is_read_as_it_is_and_brought_up_to_this(older, capsys):
    before, way = opened(older), opened(older, "checkpoints")
    assert "automaton_key" not in before and "status_label" not in before
    assert check_store(older) == []
    assert "solutions by automaton_key of turner2021 graphs" in describe(older)
    # Any other label would lose the only key there is.
    with pytest.raises(SolspaceError, match="type `solspace reduce STORE --redo`, first"):
        run_stage(older, "label", options={"by": "graph_key"})
    assert not opened(older).get("status_label", xr.DataArray(0)).values.any()
    # Pending is the label alone; by the same key, told with what its words are from.
    assert run_stage(older, "label")[0].done == 8
    after, then = opened(older), opened(older, "checkpoints")
    for name in ("solution", "solution_key", "solution_name"):
        if name != "solution":  # these are eight of fifty
            np.testing.assert_array_equal(after[name].values, before[name].values)
    known = "checkpoint_solution_key"
    np.testing.assert_array_equal(then[known].values, way[known].values)
    assert after.attrs["solution_method"] == "automaton_key"
    assert after.attrs["graph_method"] == "turner2021"
    assert all(". By its graph, of pulses" in words for words in after.solution_description.values)
    assert check_store(older) == []
    # And by what reduce fills now.
    assert main(["reduce", older, "--redo", "--quiet"]) == 0
    assert not opened(older).status_label.values.any()
    assert main(["label", older, "--quiet"]) == 0
    again = opened(older)
    np.testing.assert_array_equal(again.automaton_key.values, before.solution_key.values)
    np.testing.assert_array_equal(again.solution_key.values, before.solution_key.values)
    assert main(["label", older, "--by", "graph_key", "--quiet"]) == 2
    assert "was run with no options" in capsys.readouterr().err
    assert main(["label", older, "--by", "graph_key", "--redo", "--quiet"]) == 0
    assert check_store(older) == []
    ds, graphs, way = opened(older), opened(older, "graph"), opened(older, "checkpoints")
    for group in (ds, graphs, way):
        np.testing.assert_array_equal(group.solution_key.values, before.graph_key.values)
        np.testing.assert_array_equal(group.automaton_key.values, again.automaton_key.values)
    for i, k in ((0, 1), (7, 3), (5, 5)):
        weights = network_weights(way, i, checkpoint=k)
        found = way.checkpoint_solution_key.values[i, k]
        assert found == solution_key(label_network(TASK, "vanilla", weights, "graph_key"))
    assert "solutions by graph_key" in describe(older)
    # A label that is wrong is a fault.
    group = zarr.open_group(older, path=GROUP, mode="r+")
    keys = group["solution_key"][:]
    keys[0] = "v1:0|"
    group["solution_key"][:] = keys
    assert any("is not its graph_key" in fault for fault in check_store(older))


@pytest.mark.slow
@pytest.mark.usefixtures("own")
def test_a_store_is_labelled_by_ones_own_in_workers_and_refuses_what_has_not_run(tmp_path):
    rng = np.random.default_rng(1)
    shapes = parameter_shapes("vanilla", 8, inputs=2, outputs=1)
    mine = {str(i): {n: rng.normal(0, 0.3, s) for n, s in shapes.items()} for i in range(4)}
    path = str(tmp_path / "x.zarr")
    solspace.add_population(path, solspace.import_networks(TASK, "vanilla", mine), shard_size=2)
    with pytest.raises(SolspaceError, match="label needs reduce to have ended"):
        run_stage(path, "label")
    run_stage(path, "reduce")
    unmade = Label("nothing_key", "nothing", sign, stage="responses")
    register_label(unmade)
    try:
        with pytest.raises(SolspaceError, match=r"no 'nothing_key'; .*`solspace responses STORE`"):
            run_stage(path, "label", options={"by": "nothing_key"})
    finally:
        unregister_label("nothing_key")
    run_stage(path, "label", options={"by": "sign"}, workers=2)
    ds = opened(path)
    assert ds.solution_key.values.tolist() == [
        sign(None, "", network_weights(ds, i)) for i in range(4)
    ]
    assert "solutions by sign" in describe(path) and check_store(path) == []


def test_the_page_runs(monkeypatch, capsys):
    """docs/solutions.md from top to bottom."""
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    try:
        for block in python_blocks("docs/solutions.md"):
            exec(compile(block, "docs/solutions.md", "exec"), names)
    finally:
        unregister_label("readout_sign")
    printed = capsys.readouterr().out
    assert "By its graph" in printed and "positive" in printed
