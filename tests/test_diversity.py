"""How much of the space of solutions has been seen, and how far populations are apart."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom
from test_cli import assert_fails, solspace

from solspace import SolspaceError, compare_solutions, solution_coverage
from solspace.diversity import richness
from solspace.diversity.coverage import coverage_table
from solspace.diversity.distance import total_variation
from solspace.diversity.labels import count_labels, label_variables
from solspace.plots import plot_rarefaction, save

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
GRU, VANILLA = "interval_reproduction/gru", "interval_reproduction/vanilla"

# Spiders in two treatments of hemlock trees (Ellison et al. 2010), the example of the R package
# iNEXT (Hsieh, Ma & Chao 2016) and of Chao et al. (2014); figures below are of iNEXT's vignette
# "A Quick Introduction to iNEXT via Examples".
GIRDLED = [46, 22, 17, 15, 15, 9, 8, 6, 6, 4, *[2] * 4, *[1] * 12]
LOGGED = [88, 22, 16, 15, 13, 10, 8, 8, 7, 7, 7, 5, *[4] * 3, *[3] * 4, *[2] * 4, *[1] * 14]


def population(name: str) -> xr.Dataset:
    return xr.open_zarr(STORE, group=name)


counts = st.lists(st.integers(1, 40), min_size=1, max_size=25).filter(lambda c: sum(c) >= 2)
histograms = st.integers(1, 12).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 60), min_size=k, max_size=k)] * 2).filter(
        lambda pair: sum(pair[0]) > 0 and sum(pair[1]) > 0
    )
)


# --------------------------------------------------------------------------- published figures


@pytest.mark.parametrize(
    ("sample", "n", "seen", "coverage", "chao1"),
    [
        (GIRDLED, 168, 26, 0.9289, (43.893, 30.511, 96.971)),
        (LOGGED, 252, 37, 0.9446, (61.403, 43.502, 128.583)),
    ],
)
def test_published_estimates(sample, n, seen, coverage, chao1):
    assert (sum(sample), len(sample)) == (n, seen)
    assert richness.coverage_interval(sample).value == pytest.approx(coverage, abs=5e-5)
    unseen = richness.unseen_classes(sample)
    assert [seen + x for x in unseen] == pytest.approx(chao1, abs=5e-4)


def test_published_curves():
    at = [1, 10, 19, 168, 327, 336]
    classes = [1, 6.479, 9.450, 26, 34.396, 34.731]
    coverage = [0.122, 0.597, 0.738, 0.929, 0.962, 0.964]
    assert richness.rarefaction_curve(GIRDLED, at) == pytest.approx(classes, abs=5e-4)
    assert richness.coverage_curve(GIRDLED, at) == pytest.approx(coverage, abs=5e-4)


def test_intervals_of_the_curves_are_as_wide_as_published():
    """iNEXT draws anew each time: 21.298 to 30.702 at 168, 26.419 to 43.042 at 336."""
    found = solution_coverage(dict(enumerate(GIRDLED)), sizes=[168, 336], resamples=400)
    assert found.expected_classes_low.values == pytest.approx([21.298, 26.419], abs=1.5)
    assert found.expected_classes_high.values == pytest.approx([30.702, 43.042], abs=1.5)
    assert found.expected_coverage_low.values[0] == pytest.approx(0.898, abs=0.01)


def test_networks_for_classes_are_those_of_chao_2009():
    """Their Eq. 12 is an approximation: n f1 / (2 f2) log(f0 / ((1 - g) S))."""
    n, f1, f2, f0 = 168, 12, 4, 17.893
    more = n * f1 / (2 * f2) * np.log(f0 / (0.05 * (26 + f0)))
    assert richness.networks_for_classes(GIRDLED, 0.95) == pytest.approx(n + more, rel=0.02)


# --------------------------------------------------------------------------- kernels


@given(counts)
@settings(max_examples=60)
def test_curves_are_expectations_that_rise(sample):
    n = sum(sample)
    at = np.arange(1, 2 * n + 2)
    classes, coverage = (
        f(sample, at) for f in (richness.rarefaction_curve, richness.coverage_curve)
    )
    exact = [sum(1 - hypergeom.pmf(0, n, c, m) for c in sample) for m in (1, (n + 1) // 2, n)]
    assert classes[[0, (n + 1) // 2 - 1, n - 1]] == pytest.approx(exact)
    for curve in (classes, coverage):
        assert np.isfinite(curve).all()
        assert (np.diff(curve) > -1e-9).all()
    assert ((coverage >= -1e-12) & (coverage <= 1 + 1e-12)).all()
    unseen = richness.unseen_classes(sample)
    assert classes[-1] <= len(sample) + unseen.value + 1e-9


@given(counts)
@settings(max_examples=60)
def test_estimates_lie_in_their_intervals(sample):
    coverage, unseen = richness.coverage_interval(sample), richness.unseen_classes(sample)
    for value, low, high in (coverage, unseen):
        assert 0 <= low <= high and np.isfinite([value, low, high]).all()
    assert coverage.low <= coverage.value <= coverage.high <= 1
    assert coverage.low < 1  # also where nothing was seen once
    assert unseen.low - 1e-9 <= unseen.value <= unseen.high + 1e-9 or unseen.value == 0


@given(counts)
@settings(max_examples=60)
def test_shares_give_back_the_coverage(sample):
    shares = richness.estimated_shares(sample)
    assert (shares >= 0).all() and shares.sum() == pytest.approx(1)
    seen = shares[: len(sample)].sum()
    assert seen == pytest.approx(richness.coverage_interval(sample).value)


@given(counts, st.sampled_from([0.5, 0.9, 0.99]))
@settings(max_examples=60)
def test_networks_needed_are_the_fewest(sample, target):
    m = richness.networks_for_coverage(sample, target)
    sizes = [max(m - 1, 1), m]
    before, there = richness.coverage_curve(sample, sizes)
    assert there >= target - 1e-9 and (before < target + 1e-9 or m == 1)
    m = richness.networks_for_classes(sample, target)
    everything = len(sample) + richness.unseen_classes(sample).value
    before, there = richness.rarefaction_curve(sample, [max(m - 1, 1), m])
    assert there >= target * everything - 1e-9 and (before < target * everything + 1e-9 or m == 1)


@given(histograms)
@settings(max_examples=40)
def test_distance_is_total_variation(pair):
    one, other = map(np.array, pair)
    found = total_variation(one, other, resamples=20)
    exact = 0.5 * np.abs(one / one.sum() - other / other.sum()).sum()
    assert found.counted == pytest.approx(exact)
    assert total_variation(other, one, resamples=20).counted == pytest.approx(found.counted)
    assert 0 <= found.low <= found.high <= 1 + 1e-9
    assert found.low <= found.estimate + 1e-9 and 0 < found.p_value <= 1
    assert 0 <= found.floor <= found.floor_high + 1e-9
    # Taking samples anew does not depend on how many classes no network has.
    padded = total_variation(np.append(one, 0), np.append(other, 0), resamples=20)
    assert padded == found


# --------------------------------------------------------------------------- known distributions

# A few large classes and a tail, as populations of networks have them.
SKEWED = np.concatenate([[0.4, 0.25, 0.12, 0.08], np.full(30, 0.15 / 30)])


def test_intervals_of_the_coverage_hold_what_they_say():
    rng = np.random.default_rng(0)
    for shares, n in ((SKEWED, 100), (SKEWED, 400), (np.full(50, 0.02), 100)):
        inside = []
        for sample in rng.multinomial(n, shares, size=400):
            truth = shares[sample > 0].sum()
            _, low, high = richness.coverage_interval(sample)
            inside.append(low - 1e-12 <= truth <= high + 1e-12)
        assert np.mean(inside) >= 0.93


def test_intervals_of_the_unseen_hold_where_rare_classes_are_alike():
    rng = np.random.default_rng(1)
    inside = []
    for sample in rng.multinomial(300, SKEWED, size=400):
        _, low, high = richness.unseen_classes(sample)
        inside.append(np.floor(low) <= (sample == 0).sum() <= np.ceil(high))
    assert np.mean(inside) >= 0.9


def test_intervals_of_the_curves_hold_what_they_say():
    rng = np.random.default_rng(2)
    n, at = 200, np.array([50, 200, 300])
    truth = (1 - (1 - SKEWED[None]) ** at[:, None]).sum(axis=1)
    inside = []
    for sample in rng.multinomial(n, SKEWED, size=60):
        found = solution_coverage(
            dict(enumerate(sample)), sizes=at.tolist(), resamples=60, seed=int(rng.integers(99))
        )
        low, high = found.expected_classes_low.values, found.expected_classes_high.values
        inside.append((low <= truth) & (truth <= high))
    assert (np.mean(inside, axis=0) >= 0.88).all()


@pytest.mark.parametrize("apart", [0.0, 0.15])
def test_intervals_of_the_distance_hold_what_they_say(apart):
    rng = np.random.default_rng(3)
    theirs = np.array([129, 107, 57, 36, 19, 52]) / 400  # the authors' GRUs
    ours = theirs + apart * np.array([-1, 0.5, 0.5, 0, 0, 0])
    found = [
        total_variation(*(rng.multinomial(400, p) for p in (theirs, ours)), resamples=100, seed=i)
        for i in range(60)
    ]
    inside = [d.low - 1e-12 <= apart <= d.high for d in found]
    assert np.mean(inside) >= 0.85
    # As counted it is too large, which the estimate is not.
    assert np.mean([d.counted for d in found]) > apart + 0.005
    assert np.mean([d.estimate for d in found]) == pytest.approx(apart, abs=0.035)
    # "Two samples of 400 from one distribution differ by .06 on average, .10 in one of twenty."
    assert np.mean([d.floor for d in found]) == pytest.approx(0.06, abs=0.01)
    assert np.mean([d.floor_high for d in found]) == pytest.approx(0.10, abs=0.012)
    rejected = np.mean([d.p_value <= 0.05 for d in found])
    assert rejected <= 0.15 if apart == 0 else rejected >= 0.9


# --------------------------------------------------------------------------- small samples


@pytest.mark.parametrize(
    ("sample", "words", "unseen"),
    [
        ([400], "of one class", 0),
        ([300, 100], "No class was seen only once", 0),
        ([300, 98, 2], "No class was seen only once", 0),
        ([300, 99, 1], "No class was seen twice", 0),
        ([300, 97, 1, 1, 1], "No class was seen twice", 3 * 399 / 400),
        ([1] * 10, "of a class of its own", 9 / 10 * 45),
        ([1, 1], "of a class of its own", 0.5),
        ([2], "of one class", 0),
    ],
)
def test_what_a_sample_cannot_tell_is_said(sample, words, unseen):
    found = solution_coverage(dict(enumerate(sample)), resamples=20)
    assert words in found.attrs["note"]
    assert found.classes_unseen.item() == pytest.approx(unseen, abs=0.01)
    for name, variable in found.variables.items():
        assert np.isfinite(variable.values).all(), name
        assert variable.attrs["units"] and variable.attrs["long_name"]
    assert 0 <= found.coverage_low.item() < 1
    assert "nan" not in " ".join(coverage_table([found]))


def test_without_classes_seen_once_a_share_may_still_be_unseen():
    found = solution_coverage({"a": 300, "b": 100}, resamples=20)
    assert found.coverage.item() == 1
    # The rule of three, for two sides: 3.7 in 400.
    assert found.coverage_low.item() == pytest.approx(1 - 3.69 / 400, abs=1e-4)


# --------------------------------------------------------------------------- real populations


def test_a_shipped_population():
    ds = population(GRU)
    found = solution_coverage(ds, "graph_key", resamples=50)
    keys, number = np.unique(ds.graph_key.values, return_counts=True)
    assert found.networks.item() == 400 and found.unlabelled.item() == 0
    assert found.classes_seen.item() == len(keys)
    assert found.classes_seen_once.item() == (number == 1).sum()
    assert found.expected_classes.sel(sample_size=400).item() == len(keys)
    assert found.sample_size.values[[0, -1]].tolist() == [1, 800]
    assert found.attrs["label"] == "graph_key" and found.architecture.item() == "gru"
    # Labels, an array of them, numbers and counts say the same.
    numbered = np.unique(ds.graph_key.values, return_inverse=True)[1]
    for labels in (ds.graph_key, ds.graph_key.values, numbered, count_labels(ds, "graph_key")[0]):
        same = solution_coverage(labels, "graph_key", resamples=50)
        whose = ("task", "architecture")
        xr.testing.assert_equal(*(x.drop_vars(whose, errors="ignore") for x in (same, found)))
    assert solution_coverage(ds, "solution").classes_seen == solution_coverage(ds).classes_seen


def test_networks_without_a_label_are_left_out_and_counted():
    ds = population(VANILLA)
    none = int((ds.graph_key == "").sum())
    found = solution_coverage(ds, "graph_key", resamples=20)
    assert none == 1 and found.unlabelled.item() == none and found.networks.item() == 399
    assert "1 network without it" in coverage_table([found])[-1]


@pytest.mark.slow
def test_labels_are_the_keys_there_are():
    ds = population(GRU).load()
    every = ["attractor_key", "automaton_key", "graph_key", "response_key"]
    # What solutions follow says the same as they do: one is enough.
    assert label_variables(ds) == every
    assert label_variables(ds.assign_coords(solution_key=ds.graph_key)) == every
    other = ds.assign_coords(solution_key=ds.name)
    assert label_variables(other) == [*every, "solution_key"]


def test_populations_are_compared_class_by_class():
    one, other = population(GRU), population("interval_reproduction/lstm")
    found = compare_solutions(one, other, "graph_key", resamples=100)
    shares = [one.graph_key.to_series().value_counts(normalize=True)]
    shares.append(other.graph_key.to_series().value_counts(normalize=True))
    exact = 0.5 * shares[0].sub(shares[1], fill_value=0).abs().sum()
    assert found.distance.item() == pytest.approx(exact)
    assert found.distance_low < found.distance_estimate < found.distance_high
    assert found.p_value < 0.02 and found.floor < found.floor_high < found.distance_low
    assert found["count"].sum("label_class").values.tolist() == [400, 400]
    assert all(found[name].attrs["units"] for name in found.data_vars)
    # By rank they would be close: the classes are not the same.
    ranks = [np.sort(found.share.sel(sample=s).values)[::-1] for s in ("one", "other")]
    assert 0.5 * np.abs(ranks[0] - ranks[1]).sum() < 0.2 < found.distance_low
    halves = [one.isel(network=slice(i, None, 2)) for i in (0, 1)]
    assert compare_solutions(*halves, "graph_key", resamples=100).distance_low == 0


def test_a_class_can_be_several_graphs():
    ds = population(GRU)
    first, second, third = list(count_labels(ds, "graph_key")[0].items())[:3]
    classes = {"1": [first[0], third[0]], "2": [second[0]], "3": ["no such graph"]}
    theirs = {"1": 200, "2": 100, "3": 60, "other": 40}
    found = compare_solutions(ds, theirs, "graph_key", classes=classes, resamples=50)
    assert found.label_class.values.tolist() == ["1", "2", "3", "other"]
    ours = found["count"].sel(sample="one").values
    assert ours.tolist() == [first[1] + third[1], second[1], 0, 400 - sum((*ours[:2],))]
    assert found["count"].sel(sample="other").values.tolist() == [200, 100, 60, 40]


# --------------------------------------------------------------------------- commands


def test_the_command_says_what_the_function_does():
    done = solspace("coverage", STORE, "--task", "interval_reproduction", "--by", "graph_key")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    row = lines[lines.index(GRU) + 2].split()
    found = solution_coverage(population(GRU), "graph_key")
    assert row[:5] == ["graph_key", "400", *(str(found[n].item()) for n in NAMES)]
    assert f"{found.coverage.item():.3f} ({found.coverage_low.item():.3f} to" in done.stdout
    assert done.stdout.count("graph_key") >= 3 and "solution_key" not in done.stdout


NAMES = ("classes_seen", "classes_seen_once", "classes_seen_twice")


def test_two_stores_are_compared():
    learning = ROOT / "stores" / "learning.zarr"
    done = solspace("compare", STORE, learning, "--by", "graph_key", "attractor_key")
    assert done.returncode == 0, done.stderr
    row = next(x for x in done.stdout.splitlines() if x.strip().startswith("graph_key")).split()
    found = compare_solutions(
        population(VANILLA), xr.open_zarr(learning, group=VANILLA), "graph_key"
    )
    assert row[1:3] == ["399", "50"] and row[4] == f"{found.distance.item():.3f}"
    assert "no attractor_key in both" in done.stdout


def test_commands_say_what_is_wrong():
    learning, planar = (ROOT / "stores" / f"{n}.zarr" for n in ("learning", "two_neuron"))
    assert_fails(solspace("coverage", learning, "--by", "colour"), "'colour'"[1:-1], "graph_key")
    assert_fails(solspace("coverage", learning, "--target", "1"), "target=1.0", "between 0 and 1")
    assert_fails(solspace("coverage", learning, "--task", "chess"), "chess", VANILLA)
    assert_fails(solspace("compare", learning, planar), VANILLA, "two_neuron/planar")
    assert_fails(solspace("compare", learning, learning, "--by", "colour"), "colour", "graph_key")
    assert_fails(solspace("compare", learning, "nowhere.zarr"), "nowhere.zarr", "no such store")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: solution_coverage(population(GRU), "colour"), ("'colour'", "graph_key")),
        (lambda: solution_coverage(population(GRU), "weight_hh"), ("weight_hh", "graph_key")),
        (lambda: solution_coverage(["a"]), ("1 network with", "at least 2")),
        (lambda: solution_coverage(["", ""]), ("2 of 2 networks have no 'solution_key'", "run")),
        (lambda: solution_coverage([-1, 0, -1]), ("2 of 3 networks have no",)),
        (lambda: solution_coverage({}), ("0 networks with a label",)),
        (lambda: solution_coverage({"a": 2.5}), ("'a'", "2.5")),
        (lambda: solution_coverage({"a": -1}), ("-1",)),
        (lambda: solution_coverage(np.ones((2, 2), int)), ("(2, 2)",)),
        (lambda: solution_coverage([0.5, np.nan]), ("float64",)),
        (lambda: solution_coverage(["a", "b"], sizes=[0, 1]), ("sizes", "from 1")),
        (lambda: solution_coverage(["a", "b"], target=0), ("target=0",)),
        (lambda: solution_coverage(["a", "b"], confidence=95), ("confidence=95",)),
        (lambda: solution_coverage(["a", "b"], resamples=1), ("resamples=1",)),
        (lambda: compare_solutions(["a"], [""]), ("'other'", "solution_key")),
        (lambda: compare_solutions(["a"], {}), ("'other'",)),
        (
            lambda: compare_solutions(population(GRU), population(GRU), "solution"),
            ("another solution", "solution_key"),
        ),
        (
            lambda: compare_solutions(
                population(GRU), population(GRU).assign_attrs(solution_method="best")
            ),
            ("different methods", "response_key", "best"),
        ),
        (
            lambda: compare_solutions(
                population(GRU), population(GRU).assign_attrs(graph_method="automaton"), "graph_key"
            ),
            ("different methods", "graph_key of turner2021 graphs", "graph_key of automaton"),
        ),
        (
            lambda: compare_solutions(["a"], ["b"], classes={"1": ["a"], "2": ["a"]}),
            ("'a'", "'1'", "'2'"),
        ),
        (lambda: compare_solutions(["a"], ["b"], classes={"other": ["a"]}), ("'other'",)),
        (lambda: compare_solutions(["a"], ["b"], classes={"1": "a"}), ("['a']",)),
        (lambda: compare_solutions(["a"], ["b"], resamples=1), ("resamples=1",)),
        (lambda: compare_solutions(["a"], ["b"], confidence=1), ("confidence=1",)),
        (lambda: total_variation([1, 2], [1]), ("2 and 1",)),
        (lambda: total_variation([0, 0], [1, 1]), ("without networks",)),
        (lambda: total_variation([0.5], [1]), ("0.5",)),
        (lambda: plot_rarefaction({}), ("0 populations",)),
        (lambda: plot_rarefaction({"a": xr.Dataset()}), ("'a'", "solution_coverage")),
        (lambda: plot_rarefaction({"a": xr.Dataset()}, "colour"), ("'colour'", "expected_classes")),
    ],
)
def test_bad_input_is_said(call, words):
    with pytest.raises(SolspaceError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


# --------------------------------------------------------------------------- picture and page


def test_the_picture_parts_what_was_drawn_from_what_is_extrapolated(tmp_path):
    import holoviews as hv

    found = {
        name: solution_coverage({"a": 60, "b": 30, "c": 2, "d": 1, "e": k}, resamples=20)
        for name, k in (("one", 1), ("other", 7))
    }
    picture = plot_rarefaction(found)
    bands = [x for x in picture if isinstance(x, hv.Area)]
    lines = [x for x in picture if isinstance(x, hv.Curve) and not isinstance(x, hv.Area)]
    assert len(lines) == 4 and len(bands) == 2
    ends = [line.dimension_values("networks") for line in lines]
    assert [e[-1] for e in ends[::2]] == [94, 100] == [e[0] for e in ends[1::2]]
    assert len(list(plot_rarefaction(found, "expected_coverage", band=False))) == 6
    assert [os.path.basename(f) for f in save(picture, tmp_path / "x", formats=["png"])] == [
        "x.png"
    ]


def test_the_page_runs_and_is_of_the_store(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "coverage.md").read_text()
    (tmp_path / "stores").symlink_to(ROOT / "stores")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in python_blocks("docs/coverage.md"):
        exec(block, names)
    assert "sample_size" in capsys.readouterr().out
    assert (tmp_path / "coverage.png").exists()
    from docs import make_coverage

    assert make_coverage.table(make_coverage.measure()) in page
