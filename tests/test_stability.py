"""Do labels stay when networks are hardly changed: what is done to them, shares, the rule."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from hypothesis import given
from hypothesis import strategies as st

import solspace
from solspace import SolspaceError, label_stability, network_weights
from solspace.cli import main
from solspace.labels import label_network, register_label
from solspace.labels.registry import unregister_label
from solspace.plots import plot_stability
from solspace.population.describe import recipe_of
from solspace.stability import (
    LabelScores,
    OtherProcessor,
    Rule,
    choose_label,
    in_small_classes,
    other_processor,
    perturbation_names,
    sentence,
    wilson_interval,
    with_noise,
)
from solspace.stability.labelling import asked_labels
from solspace.stability.stage import draw_networks, stability_table
from solspace.store.check import check_store
from solspace.tasks import get_task
from solspace.training import (
    initial_weights,
    learning_rates,
    mean_squared_error,
    rate_at_end,
    train_further,
    train_network,
    training_trials,
)
from validation import labels

ROOT = Path(__file__).resolve().parents[1]
STORE = str(ROOT / "stores" / "turner2021.zarr")
GROUP = "interval_reproduction/vanilla"
TASK = get_task("interval_reproduction")
QUICK = {"labels": ["graph_key"], "noise": [1e-4], "draws": 2, "further_steps": 50}
X86 = platform.machine().lower() in ("x86_64", "amd64")


@pytest.fixture(scope="module")
def population():
    """Three trained networks, with what training and an import leave of each."""
    ds = xr.open_zarr(STORE, group=GROUP).isel(network=slice(3)).load()
    kept = [n for n in ds.data_vars if n.startswith(("weight", "bias")) or n == "gradient_steps"]
    attrs = {"recipe": ds.attrs["recipe"]}
    return ds[[*kept, "loss", "status_train"]].drop_attrs(deep=False).assign_attrs(attrs)


@pytest.fixture(scope="module")
def tried(population):
    return label_stability(population, **QUICK, processor=False)


@pytest.fixture
def own_label():
    """Labels of which it is known when they change."""

    @register_label
    def all_weights(task, architecture, weights):
        """Every weight to the last bit."""
        import hashlib

        joined = b"".join(weights[name].tobytes() for name in sorted(weights))
        return hashlib.sha256(joined).hexdigest()

    @register_label
    def size(task, architecture, weights):
        """The number of units."""
        return str(weights["weight_hh"].shape[-1])

    @register_label
    def never(task, architecture, weights):
        """None has it."""
        raise SolspaceError("this network has none")

    yield
    for name in ("all_weights", "size", "never"):
        unregister_label(name)


# --------------------------------------------------------------------------- noise


shapes = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)


@given(st.dictionaries(st.text("abc", min_size=1), shapes, min_size=1), st.integers(0, 9))
def test_noise_is_relative_and_of_one_direction(shapes, seed):
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    fixed = [min(weights)]
    small, large = (
        with_noise(weights, noise, np.random.default_rng(seed), fixed=fixed)
        for noise in (1e-3, 0.1)
    )
    backwards = dict(reversed(weights.items()))
    again = with_noise(backwards, 0.1, np.random.default_rng(seed), fixed=fixed)
    for name, before in weights.items():
        assert small[name].dtype == before.dtype and small[name].shape == before.shape
        np.testing.assert_array_equal(large[name], again[name])
        if name in fixed:
            np.testing.assert_array_equal(large[name], before)
            continue
        # A hundred times the noise moves a hundred times as far, but for float32's rounding.
        moved = (large[name] - before) / 0.1, (small[name] - before) / 1e-3
        np.testing.assert_allclose(moved[0], moved[1], atol=2e-4 * np.abs(before).max(initial=1))


def test_noise_is_standard_normal():
    weights = {"weight_hh": np.full((1, 200, 200), -2.0, np.float32)}
    z = (with_noise(weights, 0.1, np.random.default_rng(0))["weight_hh"] / -2 - 1) / 0.1
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (([0.0], 0, True), "noise 0"),
        (([np.inf], 0, True), "noise inf"),
        (([1e-3, 0.001], 0, True), "noise_1e-3 is given twice"),
        (([], -1, True), "-1 further steps"),
        (([], 0, False), "nothing to try"),
    ],
)
def test_perturbations_that_cannot_be_are_refused(what, said):
    with pytest.raises(SolspaceError, match=said):
        perturbation_names(*what)


# --------------------------------------------------------------------------- shares


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_scipys(counts):
    from scipy.stats import binomtest

    kept, n = counts
    expected = binomtest(kept, n).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(kept / n, n)
    np.testing.assert_allclose([low, high], [expected.low, expected.high], atol=1e-12)
    assert 0 <= low <= kept / n <= high <= 1


def test_of_no_network_nothing_is_known():
    low, high = wilson_interval([np.nan, 0.5], [0, 10])
    np.testing.assert_allclose([low[0], high[0]], [0, 1])
    assert np.isfinite([low, high]).all()
    assert np.isnan(in_small_classes(["", ""]))


# --------------------------------------------------------------------------- further training


def test_training_goes_on_from_where_it_was(population):
    weights, seed = network_weights(population, 0), int(population.seed[0])
    trials = training_trials(TASK, seed)
    recipe = recipe_of(population)
    more = {"seed": seed, "rate": 2e-4, "recipe": recipe}  # low enough to go down
    after = train_further(TASK, "vanilla", weights, steps=150, **more)
    before, then = (mean_squared_error("vanilla", w, trials) for w in (weights, after))
    assert then < before < recipe.target_loss
    again = train_further(TASK, "vanilla", weights, steps=150, **more)
    assert all(np.array_equal(again[name], after[name]) for name in after)
    # At a rate that shakes it, the best look is kept. At 5e-3 some come back and some do not, and
    # which do turns on the processor's rounding.
    wild = train_further(TASK, "vanilla", weights, steps=150, seed=seed, rate=3e-3, recipe=recipe)
    assert mean_squared_error("vanilla", wild, trials) < 0.01  # silence has 0.03
    # Torch rounds otherwise, in float32; 20 steps apart it is the same network.
    kernel, torch = (
        train_further(TASK, "vanilla", weights, steps=20, device=device, **more)
        for device in (None, "cpu")
    )
    for name, values in kernel.items():
        np.testing.assert_allclose(torch[name], values, atol=1e-4)


def test_the_rate_is_the_one_that_training_ended_at():
    recipe = dataclasses.replace(
        TASK.recipe("vanilla"), max_steps=1000, hold_rate=0.5, hold_loss=0.1, hold_steps=200
    )
    rates = learning_rates(recipe, 30)

    def curve(looks: int, under: int) -> np.ndarray:
        out = np.full(50, np.nan)
        out[: looks + 1] = 0.2
        out[under : looks + 1] = 0.05
        return out

    # Under the loss at the third look, and then ten looks of the schedule.
    assert rate_at_end(recipe, 30, -1, curve(13, 3)) == pytest.approx(rates[500])
    # Never under it: all that may be held, then six looks.
    assert rate_at_end(recipe, 30, -1, curve(10, 50)) == pytest.approx(rates[300])
    assert rate_at_end(recipe, 30, -1, curve(2, 50)) == rate_at_end(recipe, 30, 100) == 0.5
    free = dataclasses.replace(recipe, hold_steps=0)
    assert rate_at_end(free, 30, 9999) == pytest.approx(rates[-1])
    assert rate_at_end(free, 30, -1) == pytest.approx(rates[0])


def test_the_rate_of_a_network_trained_here():
    """The parts of a recipe, told apart by the loss curve that training left."""
    recipe = dataclasses.replace(
        TASK.recipe("vanilla"), max_steps=300, target_loss=1e-9, attempts=1, decay_start=0.0,
        hold_rate=2e-3, hold_loss=0.04, hold_steps=400,
    )  # fmt: skip
    result = train_network(TASK, "vanilla", 10, seed=3, recipe=recipe)
    held = result.gradient_steps - 300
    assert 0 <= held < 400  # the loss was reached: the rest are the schedule's
    found = rate_at_end(recipe, 10, result.gradient_steps, result.loss_curve)
    assert found == pytest.approx(learning_rates(recipe, 10)[-1])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seed": -1}, "seed -1"),
        ({"steps": 0}, "0 further steps"),
        ({"rate": 0.0}, "rate of 0"),
        ({"rate": np.nan}, "rate of nan"),
    ],
)
def test_further_training_that_cannot_be_is_refused(wrong, said):
    start = initial_weights(
        "vanilla", 4, inputs=2, outputs=1, init="default", rng=np.random.default_rng(0)
    )
    with pytest.raises(SolspaceError, match=said):
        train_further(TASK, "vanilla", start, **{"seed": 1, "steps": 5, "rate": 1e-3, **wrong})


# --------------------------------------------------------------------------- networks


def test_labels_are_those_of_the_perturbed_weights(population, tried):
    for i in range(population.sizes["network"]):
        weights = network_weights(population, i)
        own = label_network(TASK, "vanilla", weights, "graph_key")
        assert tried.label_key.values[i].tolist() == [own]
        noisy = [
            with_noise(weights, 1e-4, np.random.default_rng([0, i, draw])) for draw in range(2)
        ]
        same = [label_network(TASK, "vanilla", w, "graph_key") == own for w in noisy]
        found = tried.unchanged.sel(label="graph_key", perturbation="noise_1e-4").values[i]
        assert found == pytest.approx(np.mean(same))
    assert tried.perturbation.values.tolist() == ["noise_1e-4", "training_50"]
    assert tried.draws.values.tolist() == [2, 1]
    np.testing.assert_allclose(tried.share, tried.unchanged.mean("network"))
    assert (tried.share_low <= tried.share).all() and (tried.share <= tried.share_high).all()
    recorded = TASK.recorded_trials()
    losses = [
        mean_squared_error("vanilla", network_weights(population, i), recorded) for i in range(3)
    ]
    np.testing.assert_allclose(tried.perturbed_loss[:, 0], losses, rtol=0.05)


def test_what_changes_is_seen_and_what_does_not_is_not(population, own_label):
    names = ["all_weights", "size", "never"]
    with pytest.warns(UserWarning, match="2 of 2 networks failed in stability"):
        ds = label_stability(
            population.isel(network=slice(2)), labels=names, noise=[1e-3], draws=2,
            further_steps=1, processor=False,
        )  # fmt: skip
    np.testing.assert_array_equal(ds.share.sel(label="all_weights"), 0)
    np.testing.assert_array_equal(ds.share.sel(label="size"), 1)
    # One that cannot be given is said, and does not stop the others.
    assert np.isnan(ds.share.sel(label="never")).all() and (ds.status_stability == 2).all()
    assert ds.message_stability.values[0] == "never: this network has none"


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="needs a processor of the x86-64 family")
def test_another_processor_knows_ones_own_labels_and_keeps_bits_of_weights(population, own_label):
    ds = label_stability(
        population.isel(network=slice(2)), labels=["all_weights", "graph_key"], noise=[],
        further_steps=0,
    )  # fmt: skip
    assert ds.perturbation.values.tolist() == ["processor"]
    np.testing.assert_array_equal(ds.share.sel(label="all_weights"), 1)
    here, other = other_processor()
    assert set(ds.processors.values) == {f"{here} as {other}"} and here != other
    # Graphs do not depend on the last bits in most networks; that they may is what is asked.
    assert np.isfinite(ds.share.sel(label="graph_key")).all()


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="needs a processor of the x86-64 family")
def test_a_process_that_ends_is_said_and_begun_again(population):
    weights, labels = network_weights(population, 0), asked_labels(["graph_key"])
    with OtherProcessor() as other:
        first = other.label(TASK, "vanilla", weights, labels)
        other._process.kill()
        other._process.wait()
        with pytest.raises(SolspaceError, match=r"ended \(exit status -9\)"):
            other.label(TASK, "vanilla", weights, labels)
        assert other.label(TASK, "vanilla", weights, labels) == first
        process = other._process
    assert process.poll() == 0


def test_where_there_is_no_other_processor_it_says_so(population, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.warns(UserWarning, match="not tried on another processor.*arm64"):
        ds = label_stability(
            population.isel(network=[0]), labels=["graph_key"], noise=[1e-4], further_steps=0
        )
    assert np.isnan(ds.unchanged.sel(perturbation="processor")).all()
    assert np.isfinite(ds.unchanged.sel(perturbation="noise_1e-4")).all()
    assert stability_table(ds).endswith("`processor` takes a machine of the x86-64 family")
    with pytest.raises(SolspaceError, match="this is arm64"):
        OtherProcessor()


def test_a_task_without_a_recipe_has_no_further_steps(population):
    ds = population.drop_attrs(deep=False).assign_coords(architecture="leaky")
    ds = ds.assign_coords(alpha=("network", np.full(3, 0.5)))
    with pytest.raises(SolspaceError, match="further_steps=0"):
        label_stability(ds, task="delayed_discrimination", labels=["graph_key"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"labels": ["colour"]}, "unknown label 'colour'; labels: "),
        ({"labels": ["graph_key:depth=3"]}, "no option of graph_key; .*options: method"),
        ({"labels": ["graph_key", "graph_key"]}, "each once"),
        ({"draws": 0}, "draws=0"),
        ({"networks": 0}, "networks=0"),
        ({"further_rate": -1.0}, "further_rate=-1"),
        ({"noise": [-1e-3]}, "noise -0.001"),
    ],
)
def test_options_that_cannot_be_are_refused(population, wrong, said):
    with pytest.raises(SolspaceError, match=said):
        label_stability(population, **wrong)


# --------------------------------------------------------------------------- over a store


@pytest.mark.slow
def test_a_store_gives_what_the_dataset_gives_however_it_is_split(tmp_path, population, tried):
    names = ("unchanged", "share", "share_low", "share_high", "label_key", "further_rate")
    for shard_size, parts in ((2, ["1/2", "2/2"]), (3, [None])):
        path = str(tmp_path / f"{shard_size}.zarr")
        solspace.add_population(path, population, shard_size=shard_size)
        for part in parts:
            options = {**QUICK, "processor": False}
            solspace.run_stage(path, "stability", options=options, part=part)
        stored = xr.open_zarr(path, group=f"{GROUP}/stability").load()
        for name in names:
            np.testing.assert_array_equal(stored[name], tried[name])
        assert stored.label.values.tolist() == ["graph_key"]
        assert check_store(path) == []


def test_lazily_it_is_the_same(population, tried):
    lazy = label_stability(population.chunk(network=2), **QUICK, processor=False)
    assert hasattr(lazy.share.data, "dask")
    xr.testing.assert_equal(lazy.share.compute().drop_vars("draws", errors="ignore"),
                            tried.share.drop_vars("draws"))  # fmt: skip


def test_a_sample_is_the_same_networks_in_a_store_as_in_memory(tmp_path, population, capsys):
    some = label_stability(
        population, labels=["graph_key"], noise=[1e-4], draws=1, further_steps=0,
        processor=False, networks=2,
    )  # fmt: skip
    known = np.isfinite(some.unchanged).any(("label", "perturbation"))
    assert int(known.sum()) == 2 and (some.status_stability == 1).all()
    assert (some.label_key != "").all()  # so that classes can be counted
    places = draw_networks(population)
    assert {int(n) for n in some.network[known.values]} == {n for n, at in places.items() if at < 2}
    path = str(tmp_path / "some.zarr")
    solspace.add_population(path, population, shard_size=2)
    typed = ["stability", path, "--networks", "2", "--label", "graph_key", "--noise", "0.0001"]
    typed += ["--draws", "1", "--further-steps", "0", "--no-processor"]
    assert main(typed) == 0
    shown = capsys.readouterr().out
    assert "3 of 3 networks done" in shown and shown.splitlines()[1:] == (
        stability_table(some).splitlines()
    )
    stored = xr.open_zarr(path, group=f"{GROUP}/stability").load()
    np.testing.assert_array_equal(stored.unchanged, some.unchanged)
    # Other options take --redo, and lay the group anew.
    assert main([*typed[:2], "--label", "automaton_key"]) == 2
    assert "--redo" in capsys.readouterr().err
    assert main([*typed, "--redo", "--label", "graph_key", "automaton_key", "--quiet"]) == 0
    again = xr.open_zarr(path, group=f"{GROUP}/stability")
    assert again.sizes["label"] == 2 and check_store(path) == []


# --------------------------------------------------------------------------- the page, pictures


def test_every_line_of_the_page_runs(tmp_path, monkeypatch, capsys):
    """docs/stability.md from top to bottom; without further training, which is tried above."""
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "turner2021.zarr").symlink_to(STORE)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = python_blocks("docs/stability.md")
    for block in blocks:
        block = block.replace("slice(4)", "slice(1)").replace(
            "further_steps=100", "further_steps=5"
        )
        exec(compile(block, "docs/stability.md", "exec"), names)
    assert len(blocks) == 5
    shown = capsys.readouterr().out
    assert "graph_key" in shown and "`fine` is the coarsest label" in shown
    assert (tmp_path / "stability.png").stat().st_size > 5_000


def test_a_picture_of_nothing_is_refused(tried):
    with pytest.raises(SolspaceError, match="no 'share'"):
        plot_stability(tried.drop_vars("share"))
    with pytest.raises(SolspaceError, match="no share of networks is known"):
        plot_stability(tried.assign(share=tried.share * np.nan))
    many = xr.concat([tried.share.to_dataset()] * 9, "label")
    with pytest.raises(SolspaceError, match="9 labels"):
        plot_stability(many)


@pytest.mark.slow
def test_labels_are_compared_from_the_store(tmp_path, population, capsys, monkeypatch):
    """What docs/validation.md says of labels, of a store with a few networks."""
    monkeypatch.setattr(labels, "SAMPLED", 2)
    path = str(tmp_path / "few.zarr")
    solspace.add_population(path, population)
    assert labels.main([str(tmp_path / "none.zarr")]) == 2
    assert labels.main([path]) == 2
    assert "type `solspace stability" in capsys.readouterr().err
    for stage in ("reduce", "verify"):
        solspace.run_stage(path, stage)
    own = ["graph_key", "automaton_key", "automaton_key:method=automaton", "attractor_key"]
    own.append("response_key:notch=settled1")
    options = {"labels": own, "noise": [1e-3], "draws": 1, "further_steps": 0, "processor": False}
    solspace.run_stage(path, "stability", options=options)
    rows = {row.scores.label: row for row in labels.measure(path, GROUP)}
    ds = xr.open_zarr(path, group=GROUP).load()
    assert set(rows) == set(own)
    graph = rows["graph_key"]
    assert graph.scores.classes == len(set(ds.graph_key.values)) and graph.tested == 3
    assert graph.scores.recall == pytest.approx(float(ds.graph_recall.median()))
    # Graphs of another method than the store's are made and tested anew, of a sample.
    assert rows[own[2]].tested == 2 and rows[own[2]].scores.recall > 0.9
    answers = rows["response_key:notch=settled1"]
    assert answers.tested == 2 and answers.scores.recall > 0.9
    assert rows["attractor_key"].scores.recall is None  # it says nothing about pulses
    # What is asked of one pulse alone is no label of all that a network does.
    assert not answers.whole and graph.whole
    assert labels.main([path]) == 0
    shown = capsys.readouterr().out
    assert shown.count(f"| {GROUP} |") == 5 and f"- {GROUP}: no label meets the rule" in shown
    assert (tmp_path / "labels.png").stat().st_size > 5_000


# --------------------------------------------------------------------------- the rule


scores = st.builds(
    LabelScores,
    label=st.text("abc", min_size=1, max_size=4),
    networks=st.just(400),
    classes=st.integers(1, 400),
    small=st.one_of(st.none(), st.floats(0, 1)),
    recall=st.one_of(st.none(), st.floats(0, 1)),
    specificity=st.one_of(st.none(), st.floats(0, 1)),
    stability=st.floats(0, 1),
)


@given(st.lists(scores, min_size=1, unique_by=lambda one: one.label))
def test_the_rule_takes_the_coarsest_that_meets_it_or_the_nearest(table):
    rule, choice = Rule(), choose_label(table)
    judged = [one for one in table if not rule.unknown(one)]
    assert set(choice.unjudged) == {one.label for one in table} - {one.label for one in judged}
    good = [
        one for one in judged
        if one.recall >= 0.95 and one.specificity >= 0.8 and one.stability >= 0.95
        and one.small <= 0.1
    ]  # fmt: skip
    told = sentence("here", choice)
    if good:
        assert choice.meets and choice.scores.classes == min(one.classes for one in good)
        assert "coarsest label that meets" in told
    elif judged:
        assert not choice.meets and choice.misses
        least = min(sum(rule.misses(one).values()) for one in judged)
        assert sum(choice.misses.values()) == pytest.approx(least)
        assert "no label meets the rule" in told and choice.scores.label in told
    else:
        assert choice.scores is None and "no label can be judged" in told
    assert all(f"`{label}`" in told for label in choice.unjudged)


def test_a_rule_says_what_it_has_to_know():
    with pytest.raises(SolspaceError, match="recall is not known"):
        Rule().misses(LabelScores("mine", 10, 2, 0.1))
    with pytest.raises(SolspaceError, match="no labels"):
        choose_label([])


@pytest.mark.parametrize("task", ["interval_reproduction", "delayed_discrimination"])
def test_every_label_is_asked_at_every_notch(task):
    spelled = labels.every_label(task)
    asked = solspace.stability.labelling.asked_labels(spelled)
    notches = {one.options["notch"] for one in asked if one.name == "response_key"}
    assert notches == {notch.name for notch in solspace.get_task(task).protocol.notches}
    assert {one.name for one in asked} == set(solspace.labels.label_names())
    ds = xr.Dataset(coords={"task": task})
    whole = {one.spelled for one in asked if labels.is_whole(ds, one)}
    assert "graph_key:method=turner2021" in whole
    assert ("response_key:notch=settled" in whole) == (task == "interval_reproduction")
    assert "response_key:notch=answers" not in whole


def test_labels_that_say_a_part_are_named_and_not_chosen():
    def row(label, classes, whole):
        return labels.Row(LabelScores(label, 400, classes, 0.02, 1, 1, 1), {}, 100, 400, whole)

    own = [row("answers", 2, False), row("settled", 5, True), row("trained", 9, True),
           row("waits", 7, False)]  # fmt: skip
    choice = labels.choices({"here": own})["here"]
    assert choice.scores.label == "settled"
    assert labels.coarser(own, choice) == ["answers"]
