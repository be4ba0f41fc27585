"""A table with a row a network, and several populations as one."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import solspace
from solspace import SolspaceError, concat, network_table
from solspace.population import rank_solutions

STORES = Path(__file__).resolve().parents[1] / "stores"
PAPER = str(STORES / "turner2021.zarr")
ARCHITECTURES = ("vanilla", "gru", "lstm")


def one(architecture="vanilla", keys=("a", "b"), task="interval_reproduction", gates=1, **attrs):
    n = len(keys)
    return xr.Dataset(
        {
            "loss": ("network", np.linspace(1e-4, 2e-4, n)),
            "weight_hh": (("network", "gate", "unit"), np.zeros((n, gates, 3), np.float32)),
            "bias_out": (("network", "output_channel"), np.full((n, 1), 7.0)),
        },
        coords={
            "network": np.arange(n),
            "gate": [str(i) for i in range(gates)],
            "output_channel": ["go"],
            "name": ("network", [f"20_i{i:03d}" for i in range(n)]),
            "task": task,
            "architecture": architecture,
            "solution": ("network", rank_solutions(list(keys))),
            "solution_key": ("network", np.array(keys, "U8")),
        },
        attrs=attrs,
    )


def quietly(*populations):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return concat(populations)


# --------------------------------------------------------------------------- the table


def test_a_table_has_a_row_a_network_and_nothing_of_other_dims():
    table = network_table(one())
    assert table.index.name == "network" and table.index.tolist() == [0, 1]
    assert list(table) == ["task", "architecture", "name", "solution", "solution_key", "loss"]
    assert table.architecture.tolist() == ["vanilla"] * 2


def test_a_table_of_a_shipped_population_reads_no_weights():
    ds = xr.open_zarr(PAPER, group="interval_reproduction/vanilla")
    table = network_table(ds, features=True)
    assert len(table) == ds.sizes["network"] == 400
    own = {str(n) for n, v in ds.variables.items() if v.dims == ("network",)} - {"network"}
    assert set(table) == own | {"task", "architecture"} | set(ds.feature.values.tolist())
    np.testing.assert_array_equal(table.loss, ds.loss)
    name = str(ds.feature.values[200])
    np.testing.assert_array_equal(table[name], ds.features.sel(feature=name))
    assert not any(v.dims != ("network",) and v.chunks is None and v.ndim > 1
                   for v in ds.variables.values())  # still lazy  # fmt: skip
    assert list(network_table(ds, features=[name]))[-1] == name


def test_a_group_without_an_index_is_numbered():
    table = network_table(one().drop_vars("network").isel(network=[1]))
    assert table.index.tolist() == [0] and table.name.tolist() == ["20_i001"]


def test_what_cannot_be_a_table_is_said():
    with pytest.raises(SolspaceError, match="dims: unit"):
        network_table(xr.Dataset({"x": ("unit", [1])}))
    with pytest.raises(SolspaceError, match="solspace features STORE"):
        network_table(one(), features=True)
    ds = one().assign(features=(("network", "feature"), np.zeros((2, 2))))
    named = ds.assign_coords(feature=["speed", "loss"])
    with pytest.raises(SolspaceError, match="no feature 'sped'; there are speed, loss"):
        network_table(named, features=["sped"])
    with pytest.raises(SolspaceError, match="'loss' has the name of a variable"):
        network_table(named, features=True)
    assert network_table(named, features="speed").speed.tolist() == [0, 0]


# --------------------------------------------------------------------------- several populations


def test_architectures_become_one_with_unique_labels():
    with pytest.warns(UserWarning, match=r"gate \(gate differs\); weight_hh \(gate differs\)$"):
        both = concat([one("vanilla", ("a", "b")), one("gru", ("b", "b", ""), gates=3)])
    assert both.network.values.tolist() == [0, 1, 2, 3, 4]
    assert both.network_label.values.tolist()[1:3] == ["vanilla/20_i001", "gru/20_i000"]
    assert both.name.values.tolist()[1:3] == ["20_i001", "20_i000"]
    assert both.source_network.values.tolist() == [0, 1, 0, 1, 2]
    assert both.architecture.values.tolist() == ["vanilla"] * 2 + ["gru"] * 3
    assert both.population.values.tolist() == both.architecture.values.tolist()
    assert set(both.task.values) == {"interval_reproduction"} and both.task.dims == ("network",)
    assert both.solution.values.tolist() == [1, 0, 0, 0, -1]  # b is the most common of all
    assert "weight_hh" not in both and "gate" not in both.dims
    assert both.bias_out.dims == ("network", "output_channel")
    assert set(both.data_vars) == {"loss", "bias_out"}


def test_what_is_alike_is_kept_whole_and_nothing_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = concat([one(source="x", seed=1), one(source="x", seed=2)])
    assert both.attrs == {"source": "x"}
    assert both.network_label.values.tolist() == [
        "0/vanilla/20_i000", "0/vanilla/20_i001", "1/vanilla/20_i000", "1/vanilla/20_i001",
    ]  # fmt: skip
    assert both.weight_hh.shape == (4, 1, 3)


def test_tasks_and_architectures_are_both_named_where_both_differ():
    three = quietly(one(), one("gru"), one(task="delayed_discrimination"))
    assert three.network_label.values.tolist()[::2] == [
        "interval_reproduction/vanilla/20_i000",
        "interval_reproduction/gru/20_i000",
        "delayed_discrimination/vanilla/20_i000",
    ]


def test_solutions_without_keys_are_left_out_and_said():
    with pytest.warns(UserWarning, match="solution .0 is another solution in each population"):
        both = concat([one(), one("gru").drop_vars("solution_key")])
    assert "solution" not in both.variables and "solution_key" not in both.variables


def test_variables_that_one_population_lacks_are_left_out_and_said():
    with pytest.warns(UserWarning, match=r"loss \(in 1 of 2\)"):
        both = concat([one(), one("gru").drop_vars("loss")])
    assert "loss" not in both


def test_solutions_of_different_methods_are_refused():
    first, second = one(solution_method="m1"), one("gru", solution_method="m2")
    with pytest.raises(SolspaceError, match=r"different methods \(m1; m2\)"):
        concat([first, second])
    labels = ["solution", "solution_key"]
    assert quietly(first.drop_vars(labels), second.drop_vars(labels)).sizes["network"] == 4


def test_what_cannot_be_joined_is_said():
    with pytest.raises(SolspaceError, match="no populations"):
        concat([])
    with pytest.raises(SolspaceError, match="the dim 'network'"):
        concat([xr.Dataset({"x": ("unit", [1])})])
    with pytest.raises(SolspaceError, match="no coordinate 'name'"):
        concat([one().drop_vars("name")])
    with pytest.raises(SolspaceError, match="the same name"):
        concat([one().assign_coords(name=("network", ["a", "a"]))])


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=6),
                min_size=1, max_size=4))  # fmt: skip
def test_joined_numbers_are_those_of_all_keys_together(keys):
    out = quietly(*(one(keys=tuple(k)) for k in keys))
    flat = [key for k in keys for key in k]
    assert out.solution_key.values.tolist() == flat
    assert out.solution.values.tolist() == rank_solutions(flat).tolist()
    assert len(set(out.network_label.values.tolist())) == len(flat) == len(network_table(out))
    again = quietly(out, one("gru"))  # joined once more
    assert again.source_network.values.tolist() == [*out.source_network.values.tolist(), 0, 1]
    assert len(set(again.network_label.values.tolist())) == len(flat) + 2


@pytest.mark.slow
def test_the_papers_architectures_join_lazily():
    opened = [
        xr.open_zarr(PAPER, group=f"interval_reproduction/{a}", chunks="auto")
        for a in ARCHITECTURES
    ]
    with pytest.warns(UserWarning, match="weight_hh .gate differs."):
        everything = solspace.concat(opened)
    assert everything.sizes["network"] == 1200
    assert everything.features.chunks is not None and everything.features.shape == (1200, 259)
    assert len(set(everything.network_label.values.tolist())) == 1200
    for architecture, ds in zip(ARCHITECTURES, opened, strict=True):
        own = everything.isel(network=(everything.architecture == architecture).values)
        np.testing.assert_array_equal(own.solution_key, ds.solution_key)
        np.testing.assert_array_equal(own.loss, ds.loss)
        np.testing.assert_array_equal(own.features, ds.features)
    # one number, one key: joinable
    table = network_table(everything)
    solved = table[table.solution >= 0]
    assert (solved.groupby("solution").solution_key.nunique() == 1).all()
    assert (solved.groupby("solution_key").solution.nunique() == 1).all()
    assert table.architecture.value_counts().tolist() == [400] * 3
