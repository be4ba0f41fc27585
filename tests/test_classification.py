"""Predicting solutions from features of activity."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import reference_path
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from solspace import SolspaceError, add_population, import_networks, run_stage
from solspace.classification import (
    classify,
    classify_across,
    cohen_kappa,
    draw_folds,
    form_classes,
    kappa_interval,
    predict_heldout,
)
from solspace.classification.scores import calibration
from solspace.cli import main
from solspace.info import read_for_report
from solspace.networks import parameter_shapes
from solspace.population.variables import LABELS
from solspace.store import Store
from solspace.store.check import check_store

GROUP = "delayed_discrimination/vanilla"
STORE = str(Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr")
QUICK = {"models": ["logistic"], "repeats": 2, "folds": 4, "permutations": 1}
# Turner, Dabholkar & Barak (2021): a random forest on their features and labels, 50 splits.
PUBLISHED = {
    "delayed_discrimination_vanilla": 0.44,
    "interval_discrimination_vanilla": 0.46,
    "interval_reproduction_vanilla": 0.35,
    "interval_reproduction_gru": 0.61,
    "interval_reproduction_lstm": 0.51,
}


def synthetic(sizes=(30, 20, 3), signal=2.0, seed=0):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    order = rng.permutation(len(label))
    label = label[order]
    values = rng.normal(size=(len(label), 4))
    more = rng.normal(size=(len(label), 3))
    values[:, 0] += signal / 2 * label
    more[:, 1] += signal * label
    return xr.Dataset(
        {
            "features": (("network", "feature"), np.concatenate([values, more], axis=1)),
            "solution": ("network", label),
        },
        coords={
            "network": np.arange(len(label)),
            "feature": list("abcdxyz"),
            "feature_family": ("feature", ["published"] * 4 + ["speed", "path", "fitted"]),
        },
    )


# --------------------------------------------------------------------------- the published numbers


@pytest.mark.slow
@pytest.mark.parametrize("population", PUBLISHED)
def test_the_published_features_give_the_published_kappa(population):
    label, features = published(population)
    assert split_kappa(label, features, repeats=5) == pytest.approx(PUBLISHED[population], abs=0.03)


@pytest.mark.slow
def test_the_published_features_give_the_published_kappa_of_one_population():
    label, features = published("interval_reproduction_gru")
    found = split_kappa(label, features, repeats=1)
    assert found == pytest.approx(PUBLISHED["interval_reproduction_gru"], abs=0.05)


def published(population):
    with open(reference_path("populations", f"{population}.csv")) as file:
        rows = np.array([[float(v) for v in row] for row in list(csv.reader(file))[1:]])
    label = rows[:, 2].astype(int)
    return np.where(label == 0, -1, label), rows[:, 3:]  # 0 is "in no class of ten or more"


def split_kappa(label, features, repeats):
    ds = xr.Dataset(
        {"features": (("network", "feature"), features), "solution": ("network", label)},
        coords={
            "feature": [str(i) for i in range(features.shape[1])],
            "feature_family": ("feature", ["published"] * features.shape[1]),
        },
    )
    out = classify(
        ds,
        sets=["published"],
        models=["random_forest"],
        repeats=repeats,
        permutations=0,
        importance=False,
    )
    return float(out.split_kappa.mean())


# --------------------------------------------------------------------------- kernels


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 5), n=st.integers(5, 60))
def test_kappa_is_scikit_learns(seed, classes, n):
    rng = np.random.default_rng(seed)
    true = np.r_[np.arange(classes), rng.integers(0, classes, n)]
    guess = np.where(rng.random(len(true)) < 0.5, true, rng.integers(0, classes, len(true)))
    assert cohen_kappa(true, guess, classes) == pytest.approx(cohen_kappa_score(true, guess))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), sizes=st.lists(st.integers(4, 20), min_size=2, max_size=4))
def test_every_network_is_held_out_once_a_repeat_and_classes_are_spread(seed, sizes):
    label = np.repeat(np.arange(len(sizes)), sizes)
    fold = draw_folds(label, folds=4, repeats=2, seed=seed)
    assert ((fold >= 0) & (fold < 4)).all()
    for row in fold:
        for k, size in enumerate(sizes):
            count = np.bincount(row[label == k], minlength=4)
            assert count.min() >= size // 4 and count.max() <= size // 4 + 1


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_interval_holds_kappa_and_gains_are_paired(seed):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, 120)
    worse, better = (
        np.stack([np.where(rng.random(120) < p, true, rng.integers(0, 3, 120)) for _ in range(2)])
        for p in (0.2, 0.9)
    )
    interval, gain = kappa_interval(true, [worse, better], 3)
    for prediction, (low, high) in zip((worse, better), interval, strict=True):
        assert low <= cohen_kappa(true, prediction, 3).mean() <= high
    assert gain[0].tolist() == [0, 0] and gain[1, 0] > 0


def test_calibration_of_sure_and_right_is_perfect():
    label = np.array([0, 1, 1, 0])
    out = calibration(label, np.eye(2)[label])
    assert out["error"] == 0 and out["count"].sum() == 4
    wrong = calibration(label, np.eye(2)[1 - label])
    assert wrong["error"] == 1


@pytest.mark.usefixtures("few_trees")
def test_nothing_of_a_held_out_network_is_learned_from():
    ds = synthetic()
    label, features = ds.solution.values, ds.features.values
    keep = label < 2
    label, features = label[keep], features[keep].copy()
    fold = draw_folds(label, folds=5, repeats=1, seed=1)
    models = ["logistic", "extra_trees"]
    one = predict_heldout(features, label, fold, models=models, importance=False)
    # A wild value in one held-out network changes no other network's prediction.
    features[7] = 1e6
    other = predict_heldout(features, label, fold, models=models, importance=False)
    same_fold = (fold[0] == fold[0, 7]) & (np.arange(len(label)) != 7)
    np.testing.assert_array_equal(one.probability[same_fold], other.probability[same_fold])


@pytest.mark.slow
def test_processes_change_nothing():
    ds = synthetic()
    keep = ds.solution.values < 2
    label, features = ds.solution.values[keep], ds.features.values[keep]
    fold = draw_folds(label, folds=3, repeats=1, seed=0)
    one, two = (
        predict_heldout(features, label, fold, models=["logistic"], jobs=jobs) for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.probability, two.probability)
    np.testing.assert_array_equal(one.importance, two.importance)


# --------------------------------------------------------------------------- classes and bad input


def test_small_classes_are_left_out_or_pooled_with_their_count():
    ds = synthetic(sizes=(30, 20, 6, 5, 1))
    label, features = ds.solution.values, ds.features.values
    out = form_classes(label, features, minimum_class_size=10)
    assert out.name == ("0", "1")
    assert out.excluded() == {"its class has fewer than 10 networks": 12}
    pooled = form_classes(label, features, minimum_class_size=10, small="pool")
    assert pooled.name == ("0", "1", "other") and pooled.excluded() == {}
    assert (pooled.label == 2).sum() == 12


def test_features_that_are_nan_leave_their_networks_out_with_the_count():
    ds = synthetic()
    ds.features[:4, 6] = np.nan
    options = QUICK | {"importance": False}
    out = classify(ds, **options, minimum_class_size=10)
    left_out = json.loads(out.attrs["networks_excluded"])
    assert left_out["features are not finite"] == 4
    assert (out.exclusion.values[:4] == "features are not finite").all()
    assert (out.prediction.values[..., :4] == -1).all()
    assert np.isnan(out.probability.values[:, :4]).all()
    # What the NaN is in may be left away instead.
    published = classify(ds, **options, sets=["published"])
    assert "features are not finite" not in json.loads(published.attrs["networks_excluded"])


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda ds: ds.drop_vars("features"), {}, "solspace features STORE"),
        (lambda ds: ds.drop_vars("solution"), {}, "solspace label STORE"),
        (lambda ds: ds, {"sets": ["speeed"]}, "families, joined by +: published, speed"),
        (lambda ds: ds, {"models": ["oracle"]}, "random_forest"),
        (lambda ds: ds, {"minimum_class_size": 1}, "at least 2"),
        (lambda ds: ds, {"small": "drop"}, "give one of exclude, pool"),
        (lambda ds: ds, {"repeats": 0}, "repeats=0"),
        (lambda ds: ds.isel(network=ds.solution == 0), {}, "1 class of 10 networks or more"),
        (lambda ds: ds.assign(solution=ds.solution * 0 - 1), {}, "no network has a 'solution'"),
        (
            lambda ds: ds.isel(feature=slice(6)),
            {"sets": ["published", "fitted"]},
            "no set or family",
        ),
        (lambda ds: ds.drop_vars("feature_family"), {}, "ds.assign_coords(feature=[...]"),
        (lambda ds: ds.drop_vars("feature"), {}, "no coordinate 'feature'"),
        (lambda ds: ds.assign_coords(activity_feature=["x"]), {}, "solspace migrate OLD NEW"),
    ],
)
def test_bad_input_says_what_to_do(change, options, words):
    with pytest.raises(SolspaceError) as error:
        classify(change(synthetic()), **(QUICK | options))
    assert words in str(error.value)


def test_what_becomes_of_small_classes_is_one_of_two():
    with pytest.raises(SolspaceError, match="'exclude' or 'pool'"):
        form_classes([0, 1], np.zeros((2, 1)), small="drop")


# --------------------------------------------------------------------------- the stage


def test_what_is_informative_is_found_and_noise_is_not(monkeypatch):
    monkeypatch.setattr("solspace.classification.heldout.FEWER_TREES", 8)
    ds = synthetic(signal=3)
    options = QUICK | {"permutations": 9}
    out = classify(ds, **options)
    kappa = out.kappa.to_series()
    assert kappa["activity"] > kappa["published"]
    assert (out.kappa_low <= out.kappa).all() and (out.kappa <= out.kappa_high).all()
    assert str(out.feature[out.importance.sel(feature_set="all").argmax()].values) == "y"
    assert out.family_importance.sel(feature_set="all", family="path") > 0.3
    assert np.isnan(out.family_importance.sel(feature_set="published", family="path"))
    assert (out.p_value == 0.1).all()  # of nine permutations none reaches it
    used = out.label.values >= 0
    assert out.confusion.sum(("label_class", "predicted_class")).values == pytest.approx(used.sum())
    noise = ds.copy(deep=True)
    rng = np.random.default_rng(3)
    noise.features[:, :4] = rng.normal(size=(ds.sizes["network"], 4))
    blind = classify(noise, **options, sets=["published"])
    assert abs(float(blind.kappa.item())) < 0.35
    assert blind.p_value.item() > 0.1


def test_results_are_the_same_for_the_same_seed():
    ds = synthetic()
    options = QUICK | {"folds": 2, "seed": 3}
    xr.testing.assert_identical(classify(ds, **options), classify(ds, **options))


def test_labels_may_be_strings():
    ds = synthetic()
    names = np.array(["long", "short", ""], dtype=object)[ds.solution.values]
    out = classify(ds.assign(solution_key=("network", names)), **QUICK, label="solution_key")
    assert out.label_class.values.tolist() == ["long", "short"]
    assert json.loads(out.attrs["networks_excluded"]) == {"no label": 3}


def test_across_groups():
    one, other = synthetic(seed=1, signal=4), synthetic(seed=2, signal=4)
    out = classify_across({"a": one, "b": other}, label="solution", folds=4, repeats=1)
    assert (out.kappa > 0.6).all()
    assert out.tested.values.tolist() == [[50, 50], [50, 50]]
    alone = other.isel(network=other.solution.values == 2)
    out = classify_across({"a": one, "b": alone}, label="solution", folds=4, repeats=1)
    assert np.isnan(out.kappa.sel(tested_on="b")).all()
    assert out.testable.sel(trained_on="a", tested_on="b") == 0
    with pytest.raises(SolspaceError, match="other features"):
        classify_across({"a": one, "b": one.isel(feature=slice(2))}, label="solution")


# --------------------------------------------------------------------------- on a store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Sixteen small networks of two kinds, recorded and described by features."""
    path = str(tmp_path_factory.mktemp("classified") / "small.zarr")
    networks = {}
    for i in range(16):
        rng = np.random.default_rng(i)
        networks[f"n{i}"] = {
            name: rng.normal(0, (0.25, 0.6)[i % 2], shape)
            for name, shape in parameter_shapes("vanilla", 6, 2, 1).items()
        }
    population = import_networks("delayed_discrimination", "vanilla", networks)
    add_population(path, population)
    for stage in ("record", "features"):
        run_stage(path, stage)
    return path


def faults(path):
    """Those of a store but for the labels that `relabel` put there."""
    return [fault for fault in check_store(path) if "is not that of its graph" not in fault]


def relabel(path):
    """Put a label of two classes in place of the graphs', which are all different here."""
    (population,) = Store(path).populations()
    labels = {"solution": (np.arange(16) % 2).astype(np.int16)}
    labels |= dict.fromkeys(("solution_key", "automaton_key"), np.array(["a", "b"] * 8))
    for group in population.groups():
        there = population.open(group).variables
        for name in labels if "solution" in there else ():
            population.write_all(name, labels[name], group)


@pytest.fixture(scope="module")
def reduced(store, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("reduced") / "small.zarr")
    shutil.copytree(store, path)
    for stage in ("extrapolate", "reduce"):
        run_stage(path, stage)
    run_stage(path, "label", options={"by": "automaton_key"})
    relabel(path)
    return path


def classification(path):
    return xr.open_zarr(path, group=f"{GROUP}/classification").load()


@pytest.mark.slow
def test_only_features_and_label_are_read(reduced, tmp_path):
    whole, bare = (str(tmp_path / f"{name}.zarr") for name in ("whole", "bare"))
    for path in (whole, bare):
        shutil.copytree(reduced, path)
    for group in ("extrapolation", "graph"):
        shutil.rmtree(f"{bare}/{GROUP}/{group}")
    options = QUICK | {"minimum_class_size": 8}
    for path in (whole, bare):
        run_stage(path, "classify", options=options)
    assert not {"extrapolation", "graph"} & set(os.listdir(f"{bare}/{GROUP}"))
    found = [classification(path) for path in (whole, bare)]
    xr.testing.assert_identical(found[0], found[1])
    # The two kinds differ in what they do, and 16 networks are few.
    assert float(found[0].kappa.sel(feature_set="published")) > 0.5
    # In memory it is the same.
    ds = xr.open_zarr(whole, group=GROUP).load()
    here = classify(ds, **options)
    for name in ("prediction", "probability", "importance", "kappa", "null_kappa", "label"):
        np.testing.assert_array_equal(here[name].values, found[0][name].values)
    # And features come from the training group alone.
    again = str(tmp_path / "again.zarr")
    shutil.copytree(bare, again)
    run_stage(again, "features", redo=True)
    old, new = (xr.open_zarr(p, group=GROUP).load() for p in (whole, again))
    np.testing.assert_array_equal(old.features.values, new.features.values)
    # Of other features, it would be another classification.
    assert (old.status_classify == 1).all() and (new.status_classify == 0).all()


@pytest.mark.usefixtures("few_trees")
@pytest.mark.slow
def test_a_store_keeps_the_result_with_its_provenance(reduced, tmp_path, capsys):
    path = str(tmp_path / "kept.zarr")
    shutil.copytree(reduced, path)
    typed = ["classify", path, "--minimum-class-size", "8", "--repeats", "1"]
    typed += ["--permutations", "0"]
    first = [*typed, "--sets", "published", "speed+path"]
    assert main([*first, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    stored = classification(path)
    assert stored.feature_set.values.tolist() == ["published", "speed+path"]
    assert set(stored.feature_family.values) >= {"published", "speed", "path"}
    assert json.loads(stored.attrs["options"])["minimum_class_size"] == 8
    ds = xr.open_zarr(path, group=GROUP).load()
    entries = json.loads(ds.attrs["provenance"])
    assert entries[-1]["stage"] == "classify" and entries[-1]["options"]["repeats"] == 1
    assert entries[-1]["options"]["minimum_class_size"] == 8 and "finished" in entries[-1]
    assert ds.status_classify.values.tolist() == [1] * 16
    assert faults(path) == []
    assert "classification" in read_for_report(path)[GROUP]
    # Typed again it is there; otherwise, it has to be asked for.
    assert main(first) == 0
    assert "nothing was pending" in capsys.readouterr().out
    assert main([*typed, "--sets", "published"]) == 2
    error = capsys.readouterr().err
    assert "--minimum-class-size 8" in error and "--redo" in error
    xr.testing.assert_identical(classification(path), stored)
    # One that fails leaves it, and that it is there.
    assert main([*typed, "--label", "nothing", "--redo"]) == 2
    assert "no label 'nothing'" in capsys.readouterr().err
    xr.testing.assert_identical(classification(path), stored)
    assert (xr.open_zarr(path, group=GROUP).status_classify == 1).all()
    assert main(first) == 0
    assert "nothing was pending" in capsys.readouterr().out
    # Another run takes its place.
    assert main([*typed, "--sets", "published", "--redo"]) == 0
    assert "kappa" in capsys.readouterr().out
    assert classification(path).sizes["feature_set"] == 1
    assert faults(path) == []


def test_it_is_not_shared_out(reduced, tmp_path, capsys):
    path = str(tmp_path / "whole.zarr")
    shutil.copytree(reduced, path)
    with pytest.raises(SolspaceError, match=r"classify looks at all networks.*without --slice"):
        run_stage(path, "classify", part="1/2")
    with pytest.raises(SolspaceError, match=r"recording-size looks at all networks.*--workers"):
        run_stage(path, "recording_size", workers=2)
    assert main(["run", path, "--stage", "classify", "--slice", "1/2"]) == 2
    assert "without --slice" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["classify", path, "--slice", "1/2"])
    assert "--slice" in capsys.readouterr().err
    assert "status_classify" not in xr.open_zarr(path, group=GROUP)


@pytest.mark.slow
@pytest.mark.usefixtures("few_trees")
def test_one_that_is_killed_leaves_the_one_before(reduced, tmp_path):
    path = str(tmp_path / "killed.zarr")
    shutil.copytree(reduced, path)
    options = QUICK | {"minimum_class_size": 8, "sets": ["published"]}
    run_stage(path, "classify", options=options)
    before = classification(path)
    command = [sys.executable, "-m", "solspace", "classify", path, "--redo", "--quiet"]
    command += ["--permutations", "1000000", "--minimum-class-size", "8"]
    process = subprocess.Popen(command, start_new_session=True)

    def notes():
        return json.loads(xr.open_zarr(path, group=GROUP, consolidated=False).attrs["provenance"])

    try:
        for _ in range(600):
            if "permutations" in notes()[-1]["options"] and "finished" not in notes()[-1]:
                break
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        process.kill()
        process.wait()
    assert notes()[-1]["options"]["permutations"] == 1000000
    xr.testing.assert_identical(classification(path), before)
    assert (xr.open_zarr(path, group=GROUP, consolidated=False).status_classify == 1).all()
    # The options it was made with are those that the store goes by.
    (outcome,) = run_stage(path, "classify", options=options)
    assert outcome.computed == 0 and outcome.done == 16
    with pytest.raises(SolspaceError, match="--redo"):
        run_stage(path, "classify", options={"minimum_class_size": 8})
    # Killed between putting the one before aside and the new one in its place.
    folder = f"{path}/{GROUP}/classification"
    os.rename(folder, f"{folder}.old")
    run_stage(path, "classify", options=options | {"seed": 1}, redo=True)
    assert json.loads(classification(path).attrs["options"])["seed"] == 1
    assert not os.path.exists(f"{folder}.old")
    assert faults(path) == []


# --------------------------------------------------------------------------- what ships


@pytest.fixture(scope="module")
def fresh(reduced, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("fresh") / "small.zarr")
    shutil.copytree(reduced, path)
    run_stage(path, "classify", options=QUICK | {"minimum_class_size": 8, "importance": False})
    # Not loaded: a single string in memory is as short as it can be.
    return xr.open_zarr(path, group=f"{GROUP}/classification")


@pytest.mark.parametrize("population", PUBLISHED)
def test_the_shipped_classification_is_what_would_be_written_now(population, fresh):
    task, _, architecture = population.rpartition("_")
    shipped = xr.open_zarr(STORE, group=f"{task}/{architecture}/classification")
    assert set(shipped.data_vars) == set(fresh.data_vars)
    # The population that ships has more labels; seeds were once repeated in every group.
    further = {"attractor_key", "response_key", "seed"}
    assert set(shipped.coords) - further == set(fresh.coords)
    assert set(shipped.dims) == set(fresh.dims)
    for name, variable in fresh.variables.items():
        assert shipped[name].dims == variable.dims, name
        assert shipped[name].dtype == variable.dtype, name
        if name not in {v.name for v in LABELS}:  # worded as when they were copied
            assert shipped[name].attrs == variable.attrs, name
    assert set(shipped.attrs) == set(fresh.attrs)


def test_predictions_are_those_that_ship():
    """The first folds of the store, with its options and seed: dealt out and predicted the same."""
    population = "interval_reproduction/gru"
    stored = xr.open_zarr(STORE, group=f"{population}/classification").load()
    options = json.loads(stored.attrs["options"])
    ds = xr.open_zarr(STORE, group=population)
    few = {"sets": ["published"], "repeats": 1, "permutations": 0, "importance": False}
    options = {n: options[n] for n in ("label", "small", "models", "folds", "seed")} | few
    found = classify(ds, **options)
    used = stored.label.values >= 0
    assert used.sum() > 300
    assert found.label_class.values.tolist() == stored.label_class.values.tolist()
    np.testing.assert_array_equal(found.label.values, stored.label.values)
    np.testing.assert_array_equal(found.exclusion.values, stored.exclusion.values)
    np.testing.assert_array_equal(found.held_out_in.values[0], stored.held_out_in.values[0])
    one, other = (d.sel(feature_set="published").isel(repeat=0) for d in (found, stored))
    assert one.model.values.tolist() == other.model.values.tolist()
    np.testing.assert_array_equal(one.prediction.values, other.prediction.values)
    np.testing.assert_allclose(one.split_kappa.values, other.split_kappa.values, atol=1e-12)
