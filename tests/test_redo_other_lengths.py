"""A stage computed again with options that give its result another length."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import xarray as xr

import solspace
from solspace import SolspaceError, Variable, run_stage, stage
from solspace.networks import parameter_shapes
from solspace.population.variables import DONE
from solspace.stages import collection
from solspace.stages.record import Layout
from solspace.store.check import check_store

GROUP = "interval_reproduction/vanilla"
LOADING = Variable("loading", ("network", "component"), "float32", "loading of a component")


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
        fills=[Variable("weight", ("network", "component"), "float32", "weight of a component")],
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
