"""What an xarray user types works on every group of the shipped stores and of a fresh one.

Each line is shown in docs/xarray.md. No warning of xarray, zarr or dask reaches the user.
"""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from conftest import made_once

import solspace
from solspace.store.handle import Store

ROOT = Path(__file__).resolve().parents[1]
STORES = ROOT / "stores"
GROUP = "delayed_discrimination/vanilla"
PARAMETERS = [
    "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_out", "bias_out",
    "initial_weight_ih", "initial_weight_hh", "initial_bias_ih", "initial_bias_hh",
    "initial_weight_out", "initial_bias_out",
    "loss", "gradient_steps", "attempts", "status_train",
]  # fmt: skip
ALL_GROUPS = {
    "population",
    "training",
    "extrapolation",
    "graph",
    "attractors",
    "fixed_points",
    "response",
    "stability",
    "checkpoints",
    "classification",
    "recording_size",
}

pytestmark = pytest.mark.filterwarnings("error")


def shipped() -> list[tuple[str, str]]:
    """Every group of every shipped store."""
    found = []
    for path in sorted(STORES.glob("*.zarr")):
        for population in Store(str(path)).populations():
            found += [(path.name, population.group_path(g)) for g in population.groups()]
    return found


FRESH = [("fresh", f"{GROUP}/{g}".removesuffix("/population")) for g in sorted(ALL_GROUPS)]
EVERY = [*shipped(), *FRESH]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """A store that every stage has just run over: six networks, trained a few steps."""
    return made_once(tmp_path_factory, "fresh", _make_fresh)


def _make_fresh(path: str) -> None:
    recipe = dataclasses.replace(
        solspace.get_task("delayed_discrimination").recipe("vanilla"),
        target_loss=0.15,
        max_steps=60,
        attempts=1,
        check_every=5,
    )
    ds = solspace.new_population(
        "delayed_discrimination",
        "vanilla",
        networks=6,
        hidden_size=[5, 6],
        recipe=recipe,
        checkpoints=3,
    )
    few = {"label": "hidden_size", "minimum_class_size": 2, "repeats": 1, "folds": 2}
    options = {
        "classify": {**few, "models": ["logistic"], "permutations": 1},
        "stability": {
            "labels": ["graph_key"], "noise": [1e-3], "further_steps": 0, "processor": False,
        },
        "fixed_points": {"starts": 4},
        "recording_size": {
            **few, "units": (2, np.inf), "trials": (10, np.inf), "set": "speed",
        },
    }  # fmt: skip
    solspace.create_population(path, ds, shard_size=4)
    stages = (
        "train",
        "record",
        "extrapolate",
        "reduce",
        "attractors",
        "responses",
        "label",
        "verify",
        "features",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for stage in (*stages, *options):
            solspace.run_stage(path, stage, options=options.get(stage))


@pytest.fixture
def opened(request, fresh):
    """A group, opened as a user opens it; once, since no test changes it."""
    store, group = request.param
    return _opened(fresh if store == "fresh" else str(STORES / store), group)


@cache
def _opened(path: str, group: str) -> xr.Dataset:
    return xr.open_zarr(path, group=group)


# Populations that are laid as others are wait for `make test-slow`.
ALIKE = ("interval_reproduction/gru", "interval_reproduction/lstm", "interval_discrimination",
         "delayed_discrimination")  # fmt: skip


def is_alike(store: str, group: str) -> bool:
    if store == "context_integration.zarr":
        return not group.endswith(("challenges", "individuality"))
    if store == "turner2021.zarr":
        return group.startswith(ALIKE)
    # A demo that lies there is laid as the fresh store is, and so are those that learn.
    return store in ("high_rate.zarr", "learning.zarr", "demo.zarr")


every_group = pytest.mark.parametrize(
    "opened",
    [
        pytest.param(
            (s, g),
            id=f"{s.removesuffix('.zarr')}:{g}",
            marks=[pytest.mark.slow] if is_alike(s, g) else [],
        )
        for s, g in EVERY
    ],
    indirect=True,
)


@cache
def path_of(name: str) -> str:
    return str(STORES / name)


def loaded_once(opened: xr.Dataset) -> xr.Dataset:
    """Four networks of a group in memory, which several tests look at."""
    key = str((opened.encoding["source"], opened.task.item(), opened.architecture.item(),
               *opened.data_vars))  # fmt: skip
    if key not in _LOADED:
        _LOADED[key] = opened.isel(network=slice(4)).load()
    return _LOADED[key]


_LOADED: dict[str, xr.Dataset] = {}


def all_text(ds: xr.Dataset) -> list[str]:
    return [str(name) for name, v in ds.variables.items() if v.dtype.kind in "OTU"]


# --------------------------------------------------------------------------- every group


def test_the_fresh_store_has_every_group_and_the_shipped_ones_most(fresh):
    (population,) = Store(fresh).populations()
    assert set(population.groups()) == ALL_GROUPS
    assert {group.rpartition("/")[2] for _, group in shipped()} >= {
        "graph", "classification", "checkpoints", "vanilla", "gru", "lstm", "planar",
    }  # fmt: skip


@every_group
def test_strings_are_strings_and_labels_are_in_every_group(opened):
    assert {opened[name].dtype.kind for name in all_text(opened)} == {"U"}
    assert {"name", "hidden_size", "task", "architecture", "solution", "solution_key",
            "solution_name"} <= set(opened.coords)  # fmt: skip
    assert not [name for name, v in opened.data_vars.items() if name in opened.dims]
    assert opened.solution_name.astype(str).dtype.kind == "U"
    counts = opened.solution_name.to_series().value_counts()
    assert counts.sum() == opened.sizes["network"]


@every_group
def test_boolean_selection_keeps_dtypes_and_where_drop_works(opened):
    chosen = opened.isel(network=(opened.solution == 0).values)
    assert chosen.sizes["network"] == int((opened.solution == 0).sum()) > 0
    assert all(chosen[name].dtype == opened[name].dtype for name in opened.variables)
    small = loaded_once(opened)
    dropped = small.where(small.solution == small.solution[0], drop=True)
    kept = small.isel(network=(small.solution == small.solution[0]).values)
    assert dropped.sizes["network"] == kept.sizes["network"] > 0
    for name, found in dropped.data_vars.items():
        if kept[name].dims[:1] == ("network",) and kept[name].dtype.kind != "U":
            np.testing.assert_array_equal(found, kept[name])


@every_group
def test_reindex_takes_a_missing_network(opened):
    small = loaded_once(opened)
    found = small.reindex(network=[2, 0, 999_999])
    assert found.name.values.tolist()[:2] == small.name.values[[2, 0]].tolist()
    for name, values in found.data_vars.items():
        if values.dtype.kind == "f" and values.dims[:1] == ("network",):
            np.testing.assert_array_equal(values[0], small[name][2])
            assert np.isnan(values[2]).all()


@every_group
def test_chunks_agree_and_blocks_are_mapped(opened):
    n = opened.sizes["network"]
    assert sum(opened.chunks["network"]) == n
    names = [x for x in opened.data_vars if opened[x].dims[:1] == ("network",)]
    part = opened[names[:3]].isel(network=slice(16))
    template = part.reset_coords(drop=True)
    mapped = xr.map_blocks(lambda block: block.reset_coords(drop=True), part, template=template)
    xr.testing.assert_identical(mapped.load(), template.load())
    same = part.map_blocks(lambda block: block)
    assert same.sizes["network"] == min(n, 16) and set(same.data_vars) == set(part.data_vars)


@pytest.mark.parametrize("chunks", [{}, "auto", {"network": 16}, {"network": -1}, None],
                         ids=["stored", "auto", "16", "whole", "none"])  # fmt: skip
@pytest.mark.parametrize("store", ["turner2021.zarr", "learning.zarr", "two_neuron.zarr", "fresh"])
def test_every_way_to_chunk_opens_without_a_warning(store, chunks, fresh):
    path = fresh if store == "fresh" else path_of(store)
    groups = [g for s, g in EVERY if s == store]
    for group in groups[-2:]:
        ds = xr.open_zarr(path, group=group, chunks=_fitting(path, group, chunks))
        if chunks is None:
            assert not ds.chunks
        else:
            assert sum(ds.chunks["network"]) == ds.sizes["network"]
        assert (ds.loss if "loss" in ds else ds.solution).load().size


def _fitting(path: str, group: str, chunks: object) -> object:
    """As docs/xarray.md says, where stored chunks are larger than 16: a multiple of them."""
    stored = int(xr.open_zarr(path, group=group).attrs["chunk_size"])
    return {"network": 2 * stored} if chunks == {"network": 16} and stored > 16 else chunks


@every_group
def test_a_selection_is_written_and_comes_back_whole(opened, tmp_path):
    part = opened.isel(network=slice(1, 4))
    path = str(tmp_path / "part.zarr")
    part.drop_encoding().to_zarr(path, zarr_format=2)
    xr.testing.assert_identical(
        xr.open_zarr(path).load(), loaded_once(opened).isel(network=slice(1, 4))
    )


@every_group
def test_a_group_is_written_as_netcdf(opened, tmp_path):
    pytest.importorskip("h5netcdf")
    part = loaded_once(opened)
    path = str(tmp_path / "part.nc")
    part.to_netcdf(path, engine="h5netcdf")
    with xr.open_dataset(path, engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), part)
        assert back.attrs.keys() >= {"solspace_created"}


@every_group
def test_grouped_by_label_lazily(opened):
    ds = opened.assign_coords(solution_name=opened.solution_name.load())
    names = [x for x in ds.data_vars if ds[x].dims[:1] == ("network",) and ds[x].dtype.kind == "f"]
    names = sorted(names, key=lambda x: ds[x].size)[:1] or ["hidden_size"]
    found = ds[names[0]].groupby("solution_name").mean("network")
    assert found.chunks is not None or ds[names[0]].chunks is None
    values, label = ds[names[0]].values, ds.solution_name.values
    for name in np.unique(label)[:5]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # mean of nothing but NaN
            expected = np.nanmean(values[label == name].astype(float), axis=0)
            got = found.sel(solution_name=name).transpose(*ds[names[0]].dims[1:]).values
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@every_group
def test_a_table_has_a_row_a_network(opened):
    table = solspace.network_table(opened)
    assert len(table) == opened.sizes["network"]
    assert table.solution_name.tolist() == opened.solution_name.values.tolist()


# --------------------------------------------------------------------------- epochs, channels


@pytest.fixture
def training(fresh):
    return xr.open_zarr(fresh, group=f"{GROUP}/training")


@pytest.fixture(scope="module")
def recorded():
    """Sixteen networks of the paper's, recorded now: the shipped stores leave this out."""
    population = xr.open_zarr(path_of("turner2021.zarr"), group="interval_reproduction/vanilla")
    return solspace.record(population.isel(network=slice(4)).load())


def test_epochs_are_chosen_by_name(recorded):
    ready_set = recorded.epoch == recorded.epoch_flag.sel(epoch_name="ready_set")
    assert ready_set.any() and not ready_set.all()
    one = recorded.activity.where(ready_set & (recorded.t_in == 30)).mean(["trial", "time"])
    inside = ready_set.values & (recorded.t_in.values == 30)[:, None]
    expected = recorded.activity.values[:, inside].mean(axis=1)  # NaN past hidden_size
    np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("group", ["training", "extrapolation"])
def test_channels_are_chosen_by_name_and_means_lose_nothing(fresh, group):
    ds = xr.open_zarr(fresh, group=f"{GROUP}/{group}")
    choice = ds.output.sel(output_channel="choice")
    assert choice.dims == ("network", "trial", "time")
    np.testing.assert_array_equal(choice, ds.output[..., 0])
    mean = ds.mean("trial")
    assert set(mean.data_vars) == set(ds.data_vars) >= {"input", "target", "output", "epoch"}
    np.testing.assert_allclose(mean.output, ds.output.values.mean(axis=1), rtol=1e-4, atol=1e-6)


def test_grouped_by_epoch_lazily(training):
    by_epoch = training.activity.weighted(training.epoch == training.epoch_flag).mean(
        ["trial", "time"]
    )
    assert by_epoch.chunks is not None
    assert by_epoch.dims == ("network", "unit", "epoch_name")
    for name, flag in zip(training.epoch_name.values, training.epoch_flag.values, strict=True):
        inside = training.epoch.values == flag
        if inside.any():
            np.testing.assert_allclose(
                by_epoch.sel(epoch_name=name),
                training.activity.values[:, inside].mean(axis=1),
                rtol=1e-3,
                atol=1e-5,
            )
    # xarray's own groupby takes the flags, once they are loaded
    other = training.activity.groupby(training.epoch.load()).mean()
    assert other.sizes["epoch"] == len(np.unique(training.epoch))


def test_trials_are_chosen_by_their_parameters(recorded, tmp_path):
    by_interval = recorded.swap_dims(trial="t_in")
    assert by_interval.activity.dims == ("network", "t_in", "time", "unit")
    longest = by_interval.output.sel(t_in=recorded.t_in.max(), output_channel="go")
    np.testing.assert_array_equal(longest, recorded.output[:, -1, :, 0])


@pytest.mark.parametrize("group", ["training", "extrapolation"])
def test_one_trial_and_a_whole_group_are_written(fresh, group, tmp_path):
    ds = xr.open_zarr(fresh, group=f"{GROUP}/{group}")
    for i, part in enumerate((ds.isel(trial=slice(3, 4)), ds)):
        path = str(tmp_path / f"{i}.zarr")
        part.drop_encoding().to_zarr(path, zarr_format=2)
        xr.testing.assert_identical(xr.open_zarr(path).load(), part.load())


def test_the_output_is_drawn(training):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of imports
        hvplot = pytest.importorskip("hvplot.xarray")
    assert hvplot
    drawn = training.output.isel(network=0).sel(output_channel="choice").load()
    picture = drawn.hvplot.quadmesh(x="time", y="trial")
    assert type(picture).__name__ == "QuadMesh"
    assert [d.name for d in picture.kdims] == ["time", "trial"]


def test_a_function_streams_over_lazy_activity(training):
    speed = xr.apply_ufunc(
        lambda x: np.sqrt(np.nansum(np.diff(x, axis=-2) ** 2, axis=-1)).mean(-1),
        training.activity,
        input_core_dims=[["time", "unit"]],
        dask="parallelized",
        output_dtypes=[float],
    )
    assert speed.chunks is not None and speed.load().dims == ("network", "trial")


# --------------------------------------------------------------------------- whole stores


@pytest.mark.parametrize(
    "store",
    [
        pytest.param("turner2021.zarr", marks=pytest.mark.slow),
        "learning.zarr",
        "two_neuron.zarr",
        "fresh",
    ],
)
def test_a_store_opens_as_a_tree(store, fresh):
    path = fresh if store == "fresh" else path_of(store)
    tree = xr.open_datatree(path, engine="zarr", chunks="auto")
    groups = [g for s, g in EVERY if s == store]
    for group in groups:
        ds = xr.open_zarr(path, group=group, chunks=None)
        assert dict(tree[group].sizes).items() >= dict(ds.sizes).items()
        assert set(tree[group].data_vars) == set(ds.data_vars)
        np.testing.assert_array_equal(tree[group].solution_name, ds.solution_name)


def test_architectures_are_joined():
    groups = [f"interval_reproduction/{a}" for a in ("vanilla", "gru")]
    both = [xr.open_zarr(path_of("turner2021.zarr"), group=g) for g in groups]
    joined = xr.concat(
        [ds[["loss", "features"]] for ds in both],
        "network",
        coords="all",
        compat="override",
        join="outer",
    )
    assert joined.architecture.values.tolist() == ["vanilla"] * 400 + ["gru"] * 400
    assert set(joined.task.values.tolist()) == {"interval_reproduction"}
    with pytest.warns(UserWarning, match="weight_hh"):
        everything = solspace.concat(both)
    np.testing.assert_array_equal(everything.loss, joined.loss)
    assert everything.indexes["network"].is_unique
    labelled = everything.swap_dims(network="network_label").drop_vars("network")
    name = both[1].name.values[0]
    assert labelled.loss.sel(network_label=f"gru/{name}") == both[1].loss[0]


# --------------------------------------------------------------------------- the page


def test_every_line_of_the_page_runs(demo_store, tmp_path, monkeypatch):
    """docs/xarray.md from top to bottom, where its `demo.zarr` is a small recorded store."""
    shutil.copytree(demo_store, tmp_path / "stores" / "demo.zarr")
    (tmp_path / "stores" / "turner2021.zarr").symlink_to(STORES / "turner2021.zarr")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = python_blocks("docs/xarray.md")
    assert len(blocks) > 8
    for block in blocks:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if "import hvplot" in block:
                pytest.importorskip("hvplot")
                warnings.simplefilter("ignore")
            if "concat(" in block:
                warnings.simplefilter("ignore", UserWarning)
            exec(compile(block, "docs/xarray.md", "exec"), names)
