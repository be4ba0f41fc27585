"""Options of a stage over a store: other lengths, NumPy's numbers, several choices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import xarray as xr

import solspace
from solspace import SolspaceError, Variable, run_stage, stage
from solspace.networks import parameter_shapes
from solspace.population.variables import DONE, PENDING
from solspace.stages import collection
from solspace.stages.record import Layout, record_of
from solspace.store.check import check_store

GROUP = "interval_reproduction/vanilla"
LOADING = Variable("loading", ("network", "component"), "float32", "loading of a component")

OTHER = Variable("weight", ("network", "component"), "float32", "weight of a component")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(collection, "_OWN", dict(collection._OWN))


@pytest.fixture
def store(tmp_path) -> str:
    rng = np.random.default_rng(0)
    shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    networks = {
        f"n{i}": {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
        for i in range(4)
    }
    path = str(tmp_path / "small.zarr")
    with pytest.warns(UserWarning, match="do not do the task"):
        ds = solspace.import_networks("interval_reproduction", "vanilla", networks)
    solspace.add_population(path, ds, shard_size=2)
    return path


def loadings(ds: xr.Dataset, components: int) -> xr.Dataset:
    values = ds.loss.values[:, None] * np.arange(1, components + 1)
    return ds.assign(loading=(("network", "component"), values.astype("float32")))


def stored(path: str) -> xr.Dataset:
    return xr.open_zarr(path, group=GROUP).load()


def test_of_all_networks_together(store):
    @stage(over="population", reads=["loss"], fills=[LOADING])
    def together(ds, *, components: int = 2):
        """Loadings of components."""
        return loadings(ds, components)

    run_stage(store, together)
    first = stored(store).loading
    assert first.sizes["component"] == 2
    run_stage(store, together, options={"components": 3}, redo=True)
    ds = stored(store)
    assert ds.loading.sizes["component"] == 3 and (ds.status_together == DONE).all()
    np.testing.assert_array_equal(ds.loading[:, :2], first)
    assert check_store(store) == []


def test_of_each_network_by_itself(store):
    def layout(task, ds, options):
        return {"population": Layout(xr.Dataset(), {"component": options.get("components", 2)})}

    @stage(reads=["loss"], fills=[LOADING], layout=layout)
    def each(ds, *, components: int = 2):
        """Loadings of components."""
        return loadings(ds, components)

    run_stage(store, each)
    first = stored(store).loading
    run_stage(store, each, options={"components": 3}, redo=True)
    ds = stored(store)
    assert ds.loading.sizes["component"] == 3 and (ds.status_each == DONE).all()
    np.testing.assert_array_equal(ds.loading[:, :2], first)


@pytest.mark.parametrize("over", ["network", "population"])
def test_a_dim_of_another_stage_with_another_length_is_refused(store, over):
    @stage(over="population", reads=["loss"], fills=[LOADING])
    def together(ds):
        """Loadings of components."""
        return loadings(ds, 2)

    def layout(task, ds, options):
        return {"population": Layout(xr.Dataset(), {"component": 3})}

    @stage(
        over=over,
        reads=["loss"],
        fills=[OTHER],
        layout=layout if over == "network" else None,
    )
    def other(ds):
        """Weights of components."""
        return ds.assign(weight=loadings(ds, 3).loading)

    run_stage(store, together)
    with pytest.raises(SolspaceError, match=r"'component' has length 2 .* another name"):
        run_stage(store, other)
    ds = stored(store)
    assert "weight" not in ds and (ds.status_together == DONE).all()
    assert check_store(store) == []


def test_several_values_of_a_choice(store):
    @stage(
        reads=["loss"],
        fills=[Variable("chosen", ("network",), "float32", "sum of what was chosen")],
    )
    def chosen(ds, *, which: tuple[Literal["rows", "columns"], ...] = ("rows",)):
        """Sum of what was chosen."""
        return ds.assign(chosen=("network", np.full(ds.sizes["network"], len(which), "float32")))

    run_stage(store, chosen, options={"which": ["rows", "columns"]})
    assert (stored(store).chosen == 2).all()
    with pytest.raises(SolspaceError, match=r"which=.*'sides'.*give one of rows, columns"):
        run_stage(store, chosen, options={"which": ["rows", "sides"]}, redo=True)


def test_numbers_of_numpy_are_numbers(store):
    @stage(over="population", reads=["loss"], fills=[LOADING])
    def together(ds, *, components: int = 2, factors: tuple[float, ...] = (1.0,)):
        """Loadings of components."""
        return loadings(ds, components)

    given = {"components": np.int64(3), "factors": np.array([2.0, 1.0])}
    run_stage(store, together, options=given)
    assert stored(store).loading.sizes["component"] == 3
    options = json.loads(stored(store).attrs["provenance"])[-1]["options"]
    assert options == {"components": 3, "factors": [2.0, 1.0]}
    (outcome,) = run_stage(store, together, options=given)  # the same
    assert outcome.computed == 0
    with pytest.raises(SolspaceError, match="--components 3"):
        run_stage(store, together, options=given | {"components": 2})


def test_an_option_that_cannot_be_noted_is_refused_before_anything_is_made(store):
    @stage(reads=["loss"], fills=[Variable("half", ("network",), "float32", "half the loss")])
    def half(ds, *, by: float = 2.0):
        """Half the loss."""
        return ds.assign(half=(ds.loss / 2).astype("float32"))

    before = sorted(map(str, Path(store).rglob("*")))
    with pytest.raises(SolspaceError, match=r"'by' of half .* numbers, text"):
        run_stage(store, half, options={"by": object()})
    assert sorted(map(str, Path(store).rglob("*"))) == before


def test_what_is_needed_first_runs_in_one_process_where_it_has_to(store):
    @stage(over="population", reads=["loss"], fills=[LOADING])
    def together(ds):
        """Loadings of components."""
        return loadings(ds, 2)

    @stage(
        over="population",
        reads=["loading"],
        fills=[Variable("total", ("network",), "float32", "sum of the loadings")],
    )
    def total(ds):
        """Sum of the loadings."""
        return ds.assign(total=ds.loading.sum("component"))

    collection.register(record_of(together))
    (outcome,) = run_stage(store, total, needed=True, workers=1)
    assert outcome.done == 4
    np.testing.assert_allclose(stored(store).total, stored(store).loading.sum("component"))


@pytest.mark.parametrize("later", [True, False])
def test_results_of_others_that_have_the_dim(store, later):
    """Those of later stages are computed again as well; others are in the way."""

    def layout(task, ds, options):
        return {"population": Layout(xr.Dataset(), {"component": options.get("components", 2)})}

    @stage(reads=["loss"], fills=[LOADING], layout=layout)
    def each(ds, *, components: int = 2):
        """Loadings of components."""
        return loadings(ds, components)

    @stage(over="population", reads=["loading" if later else "loss"], fills=[OTHER])
    def other(ds):
        """Weights of components."""
        return ds.assign(weight=ds.loading if later else loadings(ds, 2).loading)

    run_stage(store, each)
    run_stage(store, other)
    if later:
        run_stage(store, each, options={"components": 3}, redo=True)
        assert "weight" not in stored(store) and (stored(store).status_other == PENDING).all()
        assert check_store(store) == []
        run_stage(store, other)
        np.testing.assert_array_equal(stored(store).weight, stored(store).loading)
    else:
        with pytest.raises(SolspaceError, match="'component' has length 2"):
            run_stage(store, each, options={"components": 3}, redo=True)
        ds = stored(store)
        assert (ds.status_each == DONE).all() and (ds.status_other == DONE).all()
    assert check_store(store) == []
