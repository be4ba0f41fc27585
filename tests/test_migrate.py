"""Stores of version 1 become stores of version 2, with every value to the bit."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import solspace
from solspace import SolspaceError
from solspace.cli import main
from solspace.population.variables import Variable
from solspace.store.layout import packed_variable
from validation.versions import compare

ROOT = Path(__file__).resolve().parents[1]
GROUP = "tiny/vanilla"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A store that the solspace before version 2 wrote: twelve networks, every group."""
    path = tmp_path_factory.mktemp("version1") / "old.zarr"
    with zipfile.ZipFile(ROOT / "tests" / "data" / "version1.zip") as file:
        file.extractall(path)
    return str(path)


@pytest.fixture(scope="module")
def new(old, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("version2") / "new.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of zarr's notes reach a user
        (population,) = solspace.migrate(old, path)
    assert str(population) == GROUP and population.networks == 12
    return path


def test_every_value_is_there_to_the_bit(old, new):
    count, faults = compare(old, new)
    assert faults == []
    assert count > 20_000


def test_the_comparison_sees_one_changed_value(old, new, tmp_path):
    import shutil

    copy = str(tmp_path / "copy.zarr")
    shutil.copytree(new, copy)
    array = zarr.open_group(copy, mode="r+", use_consolidated=False)[f"{GROUP}/weight_hh"]
    array[3, 0, 1, 1] = np.nextafter(array[3, 0, 1, 1], np.float32(9))
    assert compare(old, copy)[1] == [
        f"{GROUP}/weight_hh: values differ from those of {GROUP}/weight_hh"
    ]


def test_the_new_store_is_sound_and_goes_on(new):
    assert solspace.check_store(new) == []
    assert "schema version 2" in solspace.describe(new)


def test_what_is_constant_or_told_above_has_no_file(old, new):
    files = [p for p in Path(new).rglob("*") if p.is_file()]
    assert len(files) < len([p for p in Path(old).rglob("*") if p.is_file()])
    root = zarr.open_group(new, mode="r", use_consolidated=False)
    with_file = 0
    for path, array in root.members(max_depth=None, use_consolidated_for_children=False):
        if not isinstance(array, zarr.Array) or not array.size:
            continue
        flat = np.asarray(array[...]).ravel()
        constant = (flat == flat[0]).all()
        assert not (constant and array.nchunks_initialized), path
        with_file += not constant
    assert with_file > 40
    seeds = [path for path, _ in root.members(max_depth=None) if path.endswith("/seed")]
    assert seeds == [f"{GROUP}/seed"]


def test_constants_of_floats_keep_their_bits():
    loss = Variable("loss", ("network",), "float64", "loss")
    assert packed_variable(loss, np.array([0.5, 0.5])).fill == 0.5
    for values in ([0.0, -0.0], [np.nan, 0.5], [0.5, 0.6]):
        assert np.isnan(packed_variable(loss, np.array(values)).fill)
    assert np.signbit(packed_variable(loss, np.array([-0.0, -0.0])).fill)


def test_the_old_store_is_left_as_it_was(old, new):
    root = zarr.open_group(old, mode="r", use_consolidated=False)
    assert root.attrs["solspace_schema_version"] == 1
    assert root[GROUP].attrs["solspace_laid"] is True


def test_what_the_new_names_are(new):
    ds = xr.open_zarr(new, group=GROUP)
    assert ds.task.item() == "tiny" and ds.architecture.item() == "vanilla"
    assert ds.weight_out.dims == ("network", "output_channel", "unit")
    assert {"feature_family", "feature_units", "feature_source", "feature_description"} <= {
        *ds.coords
    }
    assert ds.features.sizes["feature"] == ds.sizes["feature"]
    assert len(set(ds.feature.values.tolist())) == ds.sizes["feature"]
    assert ds.solution_name.dtype.kind == "U" and (ds.solution_name != "").all()
    # What reduce did then is done by two stages now, and neither is pending.
    np.testing.assert_array_equal(ds.automaton_key, ds.solution_key)
    np.testing.assert_array_equal(ds.status_label, ds.status_reduce)
    np.testing.assert_array_equal(ds.graph_description, ds.solution_description)
    assert (ds.attrs["solution_method"], ds.attrs["graph_method"]) == (
        "automaton_key", "turner2021",
    )  # fmt: skip
    training = xr.open_zarr(new, group=f"{GROUP}/training")
    assert training.output.dims == ("network", "trial", "time", "output_channel")
    waits = training.epoch == training.epoch_flag.sel(epoch_name="wait")
    assert waits.any() and not waits.all()
    np.testing.assert_array_equal(training.solution, ds.solution)
    np.testing.assert_array_equal(training.automaton_key, ds.automaton_key)
    size = xr.open_zarr(new, group=f"{GROUP}/recording_size")
    assert size.recorded_units.values.tolist() == [2, np.inf]
    checkpoints = xr.open_zarr(new, group=f"{GROUP}/checkpoints")
    assert {"checkpoint_status_label", "checkpoint_solution_key"} <= {*checkpoints.data_vars}
    assert checkpoints.checkpoint_weight_hh.dims[:2] == ("network", "checkpoint")
    assert "loss_curve" not in ds  # was never stored


def test_no_attribute_is_a_boolean_a_long_number_or_a_list(new):
    root = zarr.open_group(new, mode="r", use_consolidated=False)
    members = dict(root.members(max_depth=None, use_consolidated_for_children=False))
    for path, member in {"": root, **members}.items():
        for name, value in member.attrs.items():
            assert not isinstance(value, bool), (path, name)
            assert not isinstance(value, int) or abs(value) < 2**53, (path, name)
            assert not isinstance(value, list) or name == "flag_values", (path, name)
    assert json.loads(root[GROUP].attrs["recipe"])["target_loss"] == 0.06


@pytest.mark.parametrize("verb", ["record", "info", "check", "run", "classify"])
def test_version_1_given_to_a_verb_says_migrate(old, verb, capsys):
    before = sorted(str(p) for p in Path(old).rglob("*"))
    assert main([verb, old]) == 2
    assert f"type `solspace migrate {old} NEW`" in capsys.readouterr().err
    assert sorted(str(p) for p in Path(old).rglob("*")) == before


def test_bad_input_is_said(old, new, tmp_path):
    with pytest.raises(SolspaceError, match="no such store"):
        solspace.migrate(str(tmp_path / "nowhere.zarr"), str(tmp_path / "x.zarr"))
    with pytest.raises(SolspaceError, match="is of this version already"):
        solspace.migrate(new, str(tmp_path / "x.zarr"))
    with pytest.raises(SolspaceError, match="is there already"):
        solspace.migrate(old, new)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SolspaceError, match="no solspace store"):
        solspace.migrate(str(tmp_path / "empty"), str(tmp_path / "x.zarr"))
    assert not (tmp_path / "x.zarr").exists()


def test_a_migration_that_is_killed_leaves_nothing(old, tmp_path, monkeypatch):
    from solspace.store import migrate

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(migrate, "_merge_features", stop)
    with pytest.raises(KeyboardInterrupt):
        migrate.migrate(old, str(tmp_path / "x.zarr"))
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_classification_have_their_names_of_now(new):
    from solspace.store import Store, provenance

    (population,) = Store(new).populations()
    assert provenance.last_options(population, "classify", finished=True) == {
        "label": "solution", "minimum_class_size": 2, "repeats": 1, "permutations": 2,
        "sets": ["published", "activity"],
    }  # fmt: skip
    sizes = provenance.last_options(population, "recording_size", finished=True)
    assert sizes["units"] == [2, np.inf] and sizes["trials"] == [3, np.inf]
    for group in ("classification", "recording_size"):
        attrs = xr.open_zarr(new, group=f"{GROUP}/{group}").attrs
        assert json.loads(attrs["options"])["minimum_class_size"] == 2
