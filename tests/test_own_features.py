"""Features of one's own: one file, or one function; workers; what is wrong with them."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from threadpoolctl import threadpool_limits

import solspace.features
from solspace import (
    SolspaceError,
    add_population,
    import_networks,
    open_population,
    record,
    run_stage,
)
from solspace import extract_features as extract
from solspace.features import (
    FeatureError,
    compute_features,
    feature,
    feature_table,
    registry,
    unregister,
)
from solspace.features.workers import own_features
from solspace.networks import parameter_shapes
from solspace.tasks import get_task

TASK, GROUP = "delayed_discrimination", "delayed_discrimination/vanilla"
STORE = str(Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr")
FACTOR = 2.0  # a global of this file, which workers do not import


@pytest.fixture(scope="module")
def population():
    networks = {}
    for i in range(4):
        rng = np.random.default_rng(i)
        networks[f"n{i}"] = {
            name: rng.normal(0, 1.5, shape)  # large enough for most not to come to rest
            for name, shape in parameter_shapes("vanilla", 5, 2, 1).items()
        }
    return import_networks(TASK, "vanilla", networks)


@pytest.fixture(scope="module")
def store(population, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("own") / "small.zarr")
    add_population(path, population, shard_size=1)
    run_stage(path, "record")
    return path


@pytest.fixture
def own():
    """Forgets what a test registers."""
    before = registry.all_features()
    yield
    registry._FEATURES[:] = before


def made_up():
    trials = get_task(TASK).recorded_trials()
    activity = np.random.default_rng(0).normal(size=(*trials.epoch.shape, 4)).cumsum(axis=1)
    return activity, trials


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("interval_reproduction", "vanilla"),
        ("interval_reproduction", "gru"),
        ("interval_reproduction", "lstm"),
        ("delayed_discrimination", "vanilla"),
        ("interval_discrimination", "vanilla"),
    ],
)
def test_features_are_those_of_the_shipped_store(name, architecture):
    stored = open_population(STORE, name, architecture)
    few = stored.isel(network=[3, 250]).load()
    with threadpool_limits(1, user_api="blas"):  # as a worker
        ds = extract(record(few))
    for along in ("", "_family", "_units", "_source", "_description"):
        coordinate = f"feature{along}"
        assert ds[coordinate].values.tolist() == few[coordinate].values.tolist()
    shipped, found = few.features, ds.features
    # The fit of a network runs through long sums, and its graph may turn on the last bit.
    family = ds.feature_family.values
    close = np.isclose(found, shipped, rtol=1e-4, atol=1e-4)
    # Kinet looks for the nearest state of another trial: of two almost as near the last bit picks
    # one, and the speed there is a little another.
    assert close[:, ~np.isin(family, ["fitted", "kinet"])].all()
    kinet = family == "kinet"
    assert np.isclose(found[:, kinet], shipped[:, kinet], rtol=1e-2, atol=1e-2).all()
    assert close.mean() > 0.98


def test_a_feature_is_one_file_that_is_found_by_itself(own, population, tmp_path, monkeypatch):
    (tmp_path / "asymmetry.py").write_text(
        '"""Of units that are mostly on one side."""\n'
        "import numpy as np\n"
        "from solspace.features import feature\n\n\n"
        '@feature(name="skew", family="asymmetry", units="1", source="ours")\n'
        "def skew(activity):\n"
        '    """Mean over median of the absolute activity."""\n'
        "    return np.abs(activity).mean() / np.median(np.abs(activity))\n"
    )
    monkeypatch.setattr(solspace.features, "__path__", [*solspace.features.__path__, str(tmp_path)])
    try:
        table = feature_table(TASK)
        assert table.name[-1] == "skew" and table.family[-1] == "asymmetry"
        assert table.description[-1] == "Mean over median of the absolute activity."
        recorded = record(population)
        ds = extract(recorded, families=["asymmetry"])
        assert ds.features.sizes == {"network": 4, "feature": 1}
        states = np.abs(recorded.activity.values[1])
        assert float(ds.features[1, 0]) == pytest.approx(states.mean() / np.median(states))
    finally:
        sys.modules.pop("solspace.features.asymmetry", None)


@pytest.mark.slow
def test_a_function_of_this_file_reaches_the_workers(own, store, tmp_path):
    path = str(tmp_path / "workers.zarr")
    shutil.copytree(store, path)
    run_stage(path, "features")
    before = xr.open_zarr(path, group=GROUP).load()
    assert set(before.coords) >= {f"feature_{n}" for n in ("family", "units", "source")}

    @feature(name="farthest", units="SD", source="ours")
    def farthest(recording):
        """Largest distance from the mean, by epoch."""
        return {
            name: FACTOR * max(np.linalg.norm(points, axis=-1).max() for points in parts)
            for name, parts in recording.long_epochs.items()
        }

    with pytest.raises(SolspaceError, match="--redo"):
        import zarr

        zarr.open_group(path, path=GROUP, mode="r+")["status_features"][:1] = 0
        run_stage(path, "features")
    run_stage(path, "features", redo=True, workers=2)
    after = xr.open_zarr(path, group=GROUP).load()
    assert after.status_features.values.tolist() == before.status_features.values.tolist()
    mine = after.features.sel(feature=after.feature_family == "own")
    assert mine.sizes["feature"] >= 1 and (mine > 0).all()
    assert all(name.startswith("farthest_") for name in mine.feature.values)
    with pytest.warns(UserWarning, match="failed in features"):
        here = extract(xr.open_zarr(path, group=f"{GROUP}/training").load(), task=TASK)
    np.testing.assert_allclose(here.features.values, after.features.values, rtol=1e-6, atol=1e-6)
    rest = after.features.sel(feature=before.feature.values)
    np.testing.assert_allclose(rest.values, before.features.values, rtol=1e-6, atol=1e-6)


def test_blocks_of_lazy_data_are_lazy_and_equal_memory(own, population):
    import dask

    @feature(name="farthest", units="SD", source="ours")
    def farthest(recording):
        """Largest distance from the mean, by epoch."""
        return {
            name: FACTOR * max(np.linalg.norm(points, axis=-1).max() for points in parts)
            for name, parts in recording.long_epochs.items()
        }

    training = record(population)
    calls = []
    with dask.callbacks.Callback(pretask=lambda key, *_: calls.append(key)):
        lazy = extract(training.chunk(network=2))
    assert not calls, "something was computed"
    assert lazy.features.chunks[0] == (2, 2)
    with pytest.warns(UserWarning, match="failed in features"):
        here = extract(training)
    done = lazy.compute(scheduler="threads")
    assert set(done.variables) == set(here.variables) and set(done.coords) == set(here.coords)
    for name in here.variables:
        assert lazy[name].dims == here[name].dims, name
        assert lazy[name].dtype.kind == here[name].dtype.kind, name
    xr.testing.assert_equal(done, here)
    assert done.feature_family.values.tolist() == here.feature_family.values.tolist()
    few = extract(training.chunk(network=1), families=["own", "speed"])
    assert set(few.feature_family.values) == {"own", "speed"}
    picked = here.features.sel(feature=few.feature)
    np.testing.assert_allclose(few.features.compute(), picked, rtol=1e-10)
    # A cell that is run again is another function: nothing of the old one is taken.
    before = extract(training.chunk(network=2), columns=["farthest_delay"]).features
    again = feature(name="farthest", units="SD", source="ours")(_farthest_of(3.0, farthest))
    assert again is not farthest
    after = extract(training.chunk(network=2), columns=["farthest_delay"]).features
    assert before.data.name != after.data.name


def _farthest_of(factor, like):
    def farthest(recording):
        """Largest distance from the mean, by epoch."""
        return dict.fromkeys(recording.long_epochs, factor)

    farthest.__qualname__, farthest.__module__ = like.__qualname__, like.__module__
    return farthest


@pytest.mark.slow
def test_functions_of_this_file_reach_lazy_blocks_in_other_processes(own, population):
    distributed = pytest.importorskip("distributed")

    @feature(name="farthest", units="SD", source="ours")
    def farthest(recording):
        """Largest distance from the mean, by epoch."""
        return {
            name: FACTOR * max(np.linalg.norm(points, axis=-1).max() for points in parts)
            for name, parts in recording.long_epochs.items()
        }

    training = record(population)
    here = extract(training, families=["own"]).features
    assert here.sizes["feature"] >= 1 and (here > 0).all()
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        lazy = extract(training.chunk(network=1), families=["own"]).features
        np.testing.assert_allclose(lazy.compute(), here, rtol=1e-10)


def test_functions_of_a_file_are_sent_by_value(own, tmp_path, monkeypatch):
    (tmp_path / "my_analysis.py").write_text(
        "from solspace.features import feature\n\nLEVEL = 3.0\n\n\n"
        "def helper():\n"
        "    return LEVEL\n\n\n"
        '@feature(name="level", units="1", source="ours")\n'
        "def level(activity):\n"
        '    """A global of the file, through a function of it."""\n'
        "    return helper()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("my_analysis")
    # A process that cannot import the file, and has a feature of another run.
    asked = (
        "import sys; from solspace.features.workers import take_own_features\n"
        "from solspace.features import feature, feature_table, registry\n"
        "def old(activity): 'Left over.'; return 0.0\n"
        "feature(name='old', units='1', source='x')(old)\n"
        "take_own_features(sys.stdin.buffer.read())\n"
        f"print(feature_table({TASK!r}).name[-1], registry.all_features()[-1].compute(None))\n"
    )
    sent = own_features()
    monkeypatch.undo()
    try:
        done = subprocess.run(
            [sys.executable, "-c", asked], input=sent, capture_output=True, check=False
        )
        assert done.stdout.decode().strip() == "level 3.0", done.stderr.decode()
    finally:
        sys.modules.pop("my_analysis")


def test_what_cannot_be_sent_to_workers_is_said_before_anything_is_computed(own, store, tmp_path):
    import threading

    path = str(tmp_path / "unsent.zarr")
    shutil.copytree(store, path)
    lock = threading.Lock()

    @feature(name="locked", units="1", source="ours")
    def locked(activity):
        """Takes a lock along."""
        with lock:
            return 1.0

    with pytest.raises(SolspaceError, match=r"\(locked\) cannot be sent to workers"):
        run_stage(path, "features", workers=2)
    ds = xr.open_zarr(path, group=GROUP)
    assert not ds.status_features.values.any() and "features" not in ds
    (outcome,) = run_stage(path, "features")  # threads take it
    assert outcome.computed == 4
    found = xr.open_zarr(path, group=GROUP).features.sel(feature="locked")
    assert found.values.tolist() == [1.0] * 4

    @feature(name="misspelt", units="1", source="ours")
    def misspelt(delay):
        """Asks for what no task has."""
        return 1.0

    for wrong in ({}, {"workers": 2}):  # what is there stays
        with pytest.raises(SolspaceError, match="'misspelt' takes delay"):
            run_stage(path, "features", redo=True, **wrong)
    assert xr.open_zarr(path, group=GROUP).status_features.values.all()


def test_the_page_shows_a_feature_that_works(own, population):
    (block,) = python_blocks("docs/classification.md", containing="def farthest")
    exec(block, {})
    ds = extract(record(population), families=["own"])
    assert ds.feature.values[0].startswith("farthest_") and (ds.features > 0).all()
    assert ds.feature_description.values[0].startswith("Largest distance from the mean")


def test_a_name_of_a_published_feature_is_told_apart_by_its_family(own):
    @feature(name="svm", family="mine", units="1", source="ours")
    def other(activity):
        """Another of that name."""
        return 1.0

    names = feature_table(TASK).name
    assert names.count("svm") == 1 and names[-1] == "mine.svm"
    activity, trials = made_up()
    found = compute_features(TASK, activity, trials.epoch, trials.parameters, ["mine.svm", "svm"])
    assert found["mine.svm"] == 1.0 != found["svm"]


def test_a_cell_that_is_run_again_puts_the_function_in_its_old_place(own):
    def cell(value):
        @feature(name="cell", units="1", source="ours")
        def cell(activity):
            """A cell of a notebook."""
            return value

    for value in (1.0, 2.0):
        cell(value)
    activity, trials = made_up()
    found = compute_features(TASK, activity, trials.epoch, trials.parameters, ["cell"])
    assert found == {"cell": 2.0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": ""}, "name=''"),
        ({"units": " "}, "units=' '"),
        ({"family": "all"}, "names of sets"),
        ({"family": "speed+path"}, r"\+ joins families"),
        ({"family": "published"}, "the paper's features"),
    ],
)
def test_labels_that_mean_something_else_are_refused(own, options, words):
    with pytest.raises(SolspaceError, match=words):

        @feature(**({"name": "one", "units": "1", "source": "ours"} | options))
        def one(activity):
            """One."""
            return 1.0


def test_what_no_feature_is_given_is_refused(own):
    decorate = feature(name="loose", units="1", source="ours")
    for function in (lambda: 1.0, lambda *stretches: 1.0, lambda **stretches: 1.0):
        function.__doc__ = "Takes nothing by name."
        with pytest.raises(SolspaceError, match=r"'loose' takes .*`recording`"):
            decorate(function)
    with pytest.raises(SolspaceError, match="'loose' has no docstring"):
        decorate(lambda activity: 1.0)

    @decorate
    def loose(epok1):
        """Misspelt."""
        return 1.0

    with pytest.raises(SolspaceError, match=r"takes epok1, and no task has.*epoch1, epoch2"):
        feature_table("interval_reproduction")
    unregister("loose")
    with pytest.raises(SolspaceError, match=r"no feature 'svm' to forget; .*none"):
        unregister("svm")  # the package's own stay
    assert "svm" in feature_table(TASK).name


def test_two_of_one_name_are_refused(own):
    for stretch in ("delays", "recording"):
        made = {}
        exec(f"def f_{stretch}({stretch}):\n    'One.'\n    return 1.0", made)
        feature(name="twin", units="1", source="ours")(made[f"f_{stretch}"])
    with pytest.raises(SolspaceError, match=r"two features of task .* are named 'twin'"):
        feature_table(TASK)
    assert feature_table("interval_reproduction").name.count("twin") == 1  # which has no delays


def test_results_that_are_no_numbers_are_refused(own, population):
    result = {"value": np.zeros(3)}

    @feature(name="odd", units="1", source="ours")
    def odd(activity):
        """Whatever is asked for."""
        return result["value"]

    with pytest.raises(SolspaceError, match=r"'odd' gives ndarray of shape \(3,\)"):
        feature_table(TASK)
    result["value"] = {"a": 1.0, "b": 2.0}
    assert feature_table(TASK).name[-2:] == ["odd_a", "odd_b"]
    activity, trials = made_up()
    given = (TASK, activity, trials.epoch, trials.parameters, ["odd_a"])
    result["value"] = {"a": 1.0}
    with pytest.raises(SolspaceError, match=r"'odd' gives 1 numbers for 2 columns.*'b'"):
        compute_features(*given)
    result["value"] = {"a": np.nan, "b": 2.0}
    with pytest.raises(FeatureError, match="'odd_a' cannot be computed: it came out as nan"):
        compute_features(*given)
    recorded = record(population)
    with pytest.warns(UserWarning, match="4 of 4 networks failed in features"):
        ds = extract(recorded, families=["own", "speed"])
    assert "'odd_a' cannot be computed" in ds.message_features.values[0]
    assert np.isnan(ds.features.sel(feature="odd_a")).all()
    assert (ds.features.sel(feature="odd_b") == 2).all()
    assert np.isfinite(ds.features.sel(feature="scale")).all()


def test_a_function_that_stops_is_said_by_name(own, population):
    stop = {"now": True}

    @feature(name="broken", units="1", source="ours")
    def broken(activity):
        """Stops."""
        return 1 / 0 if stop["now"] else 1.0

    with pytest.raises(SolspaceError, match=r"'broken' stops on .*ZeroDivisionError"):
        feature_table(TASK)
    stop["now"] = False
    feature_table(TASK)
    stop["now"] = True
    with pytest.warns(UserWarning, match="4 of 4 networks failed"):
        ds = extract(record(population), columns=["svm", "broken"])
    assert "'broken' stopped with ZeroDivisionError" in ds.message_features.values[0]
    assert np.isfinite(ds.features.sel(feature="svm")).all()


def test_columns_that_are_not_there_are_refused(population):
    recorded = record(population)
    with pytest.raises(SolspaceError, match="no feature 'spedd_go'; features: speed_"):
        extract(recorded, columns=["spedd_go"])
    with pytest.raises(SolspaceError, match="no family of features 'sped'; families: published"):
        extract(recorded, families=["sped"])
    with pytest.raises(SolspaceError, match="not both"):
        extract(recorded, columns=["svm"], families=["speed"])
    with pytest.raises(SolspaceError, match="give a list"):
        extract(recorded, families="speed")
    with pytest.raises(SolspaceError, match="asked for twice"):
        extract(recorded, columns=["svm", "svm"])
    activity, trials = made_up()
    with pytest.raises(SolspaceError, match="'scale' takes the whole recording; give output="):
        compute_features(TASK, activity, trials.epoch, trials.parameters, ["scale"])
