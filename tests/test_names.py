"""Names of solutions, keys of graphs as a store keeps them, and names of epochs and units."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from solspace import find_responses, import_networks, label, record, reduce
from solspace.labels import solution_name
from solspace.labels.names import CATALOGUE
from solspace.networks import parameter_shapes
from solspace.reduction.stage import stored_key
from solspace.simulation.stage import extrapolate
from solspace.tasks import get_task, task_names

STORES = Path(__file__).resolve().parents[1] / "stores"
RECURRENT = [name for name in task_names() if get_task(name).inputs]


def population(task: str, networks: int = 2, units: int = 6) -> xr.Dataset:
    own = get_task(task)
    weights = {}
    for i in range(networks):
        rng = np.random.default_rng(i)
        shapes = parameter_shapes("vanilla", units, len(own.inputs), len(own.outputs))
        weights[f"net{i}"] = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    return import_networks(task, "vanilla", weights)


# --------------------------------------------------------------------------- solutions


def test_every_name_of_the_catalogue_is_of_one_key_and_says_what_it_is():
    assert len(set(CATALOGUE.values())) == len(CATALOGUE)
    allowed = set(string.ascii_lowercase + string.digits + "_")
    for key, name in CATALOGUE.items():
        assert set(name) <= allowed and 0 < len(name) <= 64 and not name.startswith("solution_")
        assert solution_name(key) == name
    assert solution_name("") == ""


digests = st.text(string.hexdigits.lower()[:16], min_size=16, max_size=16).map("v2:{}".format)
others = st.text(string.ascii_letters + ": ,;0123456789", min_size=1, max_size=40)
all_keys = st.one_of(digests, others, st.sampled_from(sorted(CATALOGUE)))


@given(st.lists(all_keys, unique=True, max_size=30))
def test_two_keys_never_have_one_name(keys):
    names = [solution_name(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(names) and max(map(len, names), default=0) <= 64


@pytest.mark.parametrize(
    ("store", "group"),
    [
        ("turner2021", f"{task}/{architecture}")
        for task, architecture in (
            ("interval_reproduction", "vanilla"),
            ("interval_reproduction", "gru"),
            ("interval_reproduction", "lstm"),
            ("interval_discrimination", "vanilla"),
            ("delayed_discrimination", "vanilla"),
        )
    ]
    + [("two_neuron", "two_neuron/planar")],
)
def test_common_solutions_of_the_shipped_stores_are_in_the_catalogue(store, group):
    ds = xr.open_zarr(STORES / f"{store}.zarr", group=group)
    keys = ds.solution_key.values
    names = ds.solution_name.values
    assert names.tolist() == [solution_name(key) for key in keys]
    found = [key for key in np.unique(keys) if key]
    counts = {key: int((keys == key).sum()) for key in found}
    # The commonest is named, and so is whatever a twentieth of the networks do.
    common = {max(counts, key=lambda key: counts[key])}
    common |= {key for key in found if counts[key] >= len(keys) / 20}
    assert common <= set(CATALOGUE)


def test_names_are_labels_of_every_group():
    labeled = label(
        find_responses(reduce(population("interval_reproduction", networks=3, units=20)))
    )
    assert (labeled.status_label == 1).any()
    keys = labeled.solution_key.values
    assert labeled.solution_name.values.tolist() == [solution_name(key) for key in keys]
    chosen = labeled.isel(network=(labeled.solution == 0).values)
    assert chosen.sizes["network"] and (chosen.solution_name != "").all()
    for group in (record(chosen), extrapolate(chosen)):
        for name in ("solution", "solution_key", "solution_name", "graph_key", "automaton_key"):
            assert name in group.coords
            np.testing.assert_array_equal(group[name].values, chosen[name].values)
        assert (group.solution == 0).all()


@given(st.text(string.ascii_letters + "0123456789|>;,", max_size=400))
def test_a_stored_key_is_the_key_or_a_digest_of_its_own(rest):
    key = f"v1:{rest}"
    kept = stored_key(key)
    assert len(kept) <= 160
    assert kept == key if len(key) <= 160 else kept.startswith("v1#") and len(kept) == 35
    # A key has a colon after its version, a digest none: neither is taken for the other.
    assert (kept == key) == kept.startswith("v1:")


def test_long_keys_that_differ_at_their_end_are_kept_apart():
    long = "v1:" + "0|set>0;" * 60
    assert len({stored_key(long + end) for end in "abc"}) == 3
    assert stored_key(long) == stored_key(long)


# --------------------------------------------------------------------------- epochs and units


@pytest.mark.parametrize("name", RECURRENT)
def test_epochs_are_chosen_by_name(name):
    task = get_task(name)
    training = record(population(name, networks=1))
    assert training.epoch_name.values.tolist() == list(task.epochs)
    assert np.unique(training.epoch_flag.values).tolist() == list(range(len(task.epochs)))
    trials = task.recorded_trials()
    for i, epoch in enumerate(task.epochs):
        chosen = training.epoch == training.epoch_flag.sel(epoch_name=epoch)
        np.testing.assert_array_equal(chosen.values, trials.epoch == i)
        assert chosen.dims == ("trial", "time")
    with pytest.raises(KeyError):
        training.epoch_flag.sel(epoch_name="no such epoch")


def test_mean_activity_by_epoch_needs_no_loop():
    training = record(population("interval_reproduction", networks=1))
    by_epoch = training.activity.where(training.epoch == training.epoch_flag)
    means = by_epoch.mean(("trial", "time"))
    assert means.dims == ("network", "unit", "epoch_name")
    flag = int(training.epoch_flag.sel(epoch_name="ready_set"))
    expected = training.activity.values[0][training.epoch.values == flag].mean(axis=0)
    np.testing.assert_allclose(
        means.sel(epoch_name="ready_set").values[0], expected, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("name", RECURRENT)
def test_parameters_of_trials_have_units_and_a_meaning(name):
    task = get_task(name)
    ds = population(name, networks=1)
    for group in (record(ds), extrapolate(ds)):
        for parameter, meaning in task.parameters.items():
            coordinate = group.coords[parameter]
            assert coordinate.dims == ("trial",)
            assert coordinate.attrs["units"] == task.parameter_units.get(parameter, "1")
            assert coordinate.attrs["long_name"] == meaning
    assert {*task.parameter_units} <= {*task.parameters}
    # Strengths are pure numbers, and so is which context or which streams.
    if name not in ("delayed_discrimination", "context_integration", "context_integral"):
        assert set(task.parameter_units.values()) == {"steps"}
