"""The stage that tests graphs, on a dataset and on a store."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
import zarr
from threadpoolctl import threadpool_limits

from solspace import (
    SolspaceError,
    add_population,
    import_networks,
    label,
    reduce,
    run_stage,
    verify,
)
from solspace.networks import parameter_shapes
from solspace.reduction.bounds import MAX_EDGES, WINDOWS
from solspace.reduction.stage import graph_of
from solspace.store.check import check_store

GROUP = "interval_reproduction/vanilla"


@pytest.fixture(scope="module")
def population():
    networks = {}
    for i, gain in enumerate((0.2, 0.3, 0.35, 0.4, 0.45)):
        rng = np.random.default_rng(i)
        networks[f"20_i{i}"] = {
            name: rng.normal(0, gain, shape)
            for name, shape in parameter_shapes("vanilla", 20, 2, 1).items()
        }
    return import_networks("interval_reproduction", "vanilla", networks)


@pytest.fixture(scope="module")
def labeled(population):
    return reduce(population)


def test_shares_are_shares_and_what_cannot_be_tested_says_so(labeled):
    ds = verify(labeled)
    reduced = labeled.status_reduce.values == 1
    assert reduced.any()
    np.testing.assert_array_equal(ds.status_verify.values == 1, reduced)
    assert ((ds.graph_recall[reduced] >= 0) & (ds.graph_recall[reduced] <= 1)).all()
    assert np.isnan(ds.graph_recall[~reduced]).all()
    # Where all have one solution there is nothing to forbid.
    alone = verify(labeled.isel(network=[int(np.flatnonzero(reduced)[0])]))
    assert np.isnan(alone.graph_specificity.values).all()


@pytest.mark.slow
def test_a_store_gives_what_the_dataset_gives_however_it_is_split(tmp_path, population, labeled):
    whole = verify(labeled)
    for shard_size, where in ((1, {}), (2, {"workers": 2}), (5, {})):
        path = str(tmp_path / f"{shard_size}.zarr")
        add_population(path, population, shard_size=shard_size)
        run_stage(path, "reduce")
        run_stage(path, "verify", **where)
        stored = xr.open_zarr(path, group=GROUP).load()
        for name in ("graph_recall", "graph_specificity"):
            np.testing.assert_array_equal(stored[name].values, whole[name].values)


@pytest.mark.slow
def test_windows_are_stored_and_read_also_where_the_store_had_none(
    tmp_path, population, monkeypatch
):
    # A coarse graph is enough here.
    for name, value in (("SAMPLES", 60), ("MOMENTS", 12), ("HELD_BACK", 60)):
        monkeypatch.setattr(f"solspace.reduction.timed.{name}", value)
    path = str(tmp_path / "timed.zarr")
    add_population(path, population)
    run_stage(path, "reduce")
    untimed = reduce(population, method="automaton")
    before = xr.open_zarr(path, group=f"{GROUP}/graph").load()
    assert not set(WINDOWS) & set(before.variables)
    assert before.sizes["edge"] == MAX_EDGES
    run_stage(path, "reduce", redo=True, options={"method": "timed"})
    run_stage(path, "verify")
    assert check_store(path) == []
    # Over a store BLAS has one thread. More round products otherwise on some processors, and of
    # two samples about as near to an answer the other is then the nearest: other windows.
    with threadpool_limits(1, user_api="blas"):
        timed = verify(reduce(untimed, method="timed"))
    stored = xr.open_zarr(path, group=GROUP).load()
    graphs = xr.open_zarr(path, group=f"{GROUP}/graph").load()
    for name in WINDOWS:
        np.testing.assert_array_equal(graphs[name].values, timed[name].values)
    assert (timed.edge_latest.values >= 0).any()
    np.testing.assert_array_equal(stored.graph_recall.values, timed.graph_recall.values)
    # Time names no solutions.
    assert timed.automaton_key.values.tolist() == untimed.automaton_key.values.tolist()
    assert graph_of(timed, 0) == graph_of(graphs, 0)
    # And back again: nothing of the windows stays behind.
    run_stage(path, "reduce", redo=True)
    after = xr.open_zarr(path, group=f"{GROUP}/graph").load()
    xr.testing.assert_equal(before, after)


@pytest.mark.slow
def test_a_store_from_before_the_stage_gets_its_variables(tmp_path, population):
    path = str(tmp_path / "old.zarr")
    add_population(path, population)
    with pytest.raises(SolspaceError, match="verify needs reduce"):
        run_stage(path, "verify")
    run_stage(path, "reduce")
    group = zarr.open_group(path, path=GROUP, mode="r+")
    for name in ("status_verify", "message_verify", "graph_recall", "graph_specificity"):
        del group[name]
    outcome = run_stage(path, "verify")[0]
    assert outcome.computed == 5
    assert "graph_recall" in xr.open_zarr(path, group=GROUP)


@pytest.mark.slow
def test_doing_a_stage_again_calls_what_was_made_of_it_pending(tmp_path, population):
    path = str(tmp_path / "again.zarr")
    add_population(path, population)
    for stage in ("record", "reduce", "verify", "features"):
        run_stage(path, stage)
    run_stage(path, "reduce", redo=True, options={"method": "automaton"})
    stored = xr.open_zarr(path, group=GROUP).load()
    assert not stored.status_verify.any()
    assert stored.status_features.all()  # made of the recording, not of the graphs
    run_stage(path, "verify")
    expected = verify(reduce(population, method="automaton"))
    stored = xr.open_zarr(path, group=GROUP).load()
    np.testing.assert_array_equal(stored.graph_recall.values, expected.graph_recall.values)


def test_solutions_are_numbered_after_a_kill_just_before_that(tmp_path, population, labeled):
    path = str(tmp_path / "killed.zarr")
    add_population(path, population)
    run_stage(path, "reduce")
    run_stage(path, "label", options={"by": "automaton_key"})
    # As the last shard leaves it.
    zarr.open_group(path, path=GROUP, mode="r+")["solution"][:] = np.full(5, -1, np.int16)
    assert run_stage(path, "label", options={"by": "automaton_key"})[0].computed == 0
    stored = xr.open_zarr(path, group=GROUP).load()
    np.testing.assert_array_equal(
        stored.solution.values, label(labeled, by="automaton_key").solution.values
    )
