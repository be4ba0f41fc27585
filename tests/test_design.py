"""Challenges chosen: families, answers, information, and what answers say of a solution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import create_population
from solspace.cli import main
from solspace.design import answers, corrected_information, defining_challenges, design, identify
from solspace.design.choosing import Knowledge
from solspace.design.reading import Answered, answer_table, code_of_text, code_text
from solspace.errors import SolspaceError
from solspace.population import network_weights
from solspace.reduction.probing import NetworkExplorer
from solspace.tasks import Challenge, ChallengeFamily, PlacedPulse, check_task, get_task

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
TASKS = ("interval_reproduction", "interval_discrimination", "delayed_discrimination")


@pytest.fixture(scope="module")
def toy():
    """48 networks of three classes, and answers: three challenges tell, of all others none does."""
    task = get_task("interval_reproduction")
    family = task.challenges()
    names = [one.name for one in family.challenges]
    kind = [one.kind for one in family.challenges]
    shape = (48, len(names), max(len(one.pulses) or 1 for one in family.challenges))
    rng = np.random.default_rng(0)
    label = np.repeat(["v2:a", "v2:b", "v2:c"], 16)
    ending = np.zeros(shape, np.int8)
    for c, one in enumerate(family.challenges):
        ending[:, c, len(one.pulses) or 1 :] = -1
    first, time = np.zeros(shape, np.int8), np.full(shape, np.nan, np.float32)
    telling = {
        "ready 0, set 45": np.repeat([1, 0, 0], 16),  # of those that define graphs
        "set 0": np.repeat([1, 0, 0], 16),
        "set 35": np.repeat([1, 0, 1], 16),
    }
    for name, goes in telling.items():
        c = names.index(name)
        k = len(family.challenges[c].pulses) - 1
        first[:, c, k] = ending[:, c, k] = goes
        time[:, c, k] = np.where(goes, rng.uniform(26, 28, 48), np.nan)
    ds = xr.Dataset(
        coords={"automaton_key": ("network", label), "task": task.name, "architecture": "vanilla"}
    )
    at = ("network", "challenge", "stretch")
    answered = ds.assign(
        first=(at, first),
        time=(at, time),
        ending=(at, ending),
        status_answers=("network", np.full(48, 1, np.uint8)),
    ).assign_coords(challenge=names, kind=("challenge", kind))
    return ds, answered


def test_two_challenges_tell_three_classes_and_a_defining_one_is_never_given(toy):
    ds, answered = toy
    found = design(ds, label="automaton_key", answered=answered, most=3)
    given = found.challenge.values[found.given.values > 0].tolist()
    assert set(given) == {"set 0", "set 35"}
    defining = found.left_out.sel(challenge="ready 0, set 45")
    assert defining and found.information.sel(challenge="ready 0, set 45") > 0.8
    chosen = found.kappa.sel(strategy="chosen")
    assert 0.3 < chosen.sel(trials=1) < 0.7
    assert chosen.sel(trials=2) > 0.99 and chosen.sel(trials=3) > 0.99
    assert (chosen >= found.kappa.sel(strategy="random")).all()
    assert abs(found.kappa.sel(strategy="trained")).max() < 0.1
    assert (found.kappa_low <= found.kappa_high).all()
    assert np.allclose(found.likelihood.sum("answer"), 1)
    assert found.predicted.sel(challenge="set 35", class_name="v2:b") == "none"


def test_identify_tells_a_class_says_when_it_cannot_and_what_to_ask_next(toy):
    ds, answered = toy
    found = design(ds, label="automaton_key", answered=answered)
    before = identify(found, {})
    assert before.verdict.item() == "cannot tell"
    assert before.next_challenge.item() in ("set 0", "set 35")
    after = identify(found, {"set 0": None, "set 35": None})
    assert after.verdict.item() == "v2:b" and after.next_challenge.item() == ""
    assert np.isclose(after.probability.sum(), 1)
    assert identify(found, {"set 0": None}).verdict.item() == "cannot tell"
    # Events and outputs over time say what words do.
    for answer in ("+1 at 22-33", [(27, 1)], np.repeat([0, 1, 0], [32, 5, 363]).astype(np.int8)):
        told = identify(found, {"set 0": answer})
        assert told.verdict.item() == "v2:a"
        xr.testing.assert_identical(told, identify(found, {"set 0": [(26, 1)]}))
    again = identify(found, {"set 0": [(27, 1), (90, 1)]}).probability.values
    assert again[0] > again[1:].max()  # no network goes twice, and those that go are the nearest
    for wrong, words in (([(27, 5)], "of symbol 5"), ([(999, 1)], "at 999 steps"),
                         ([27], r"give \(time, symbol\)"), ([(27, 1), (28, 1)], "lasts 0"),
                         (np.zeros(7), "of shape")):  # fmt: skip
        with pytest.raises(SolspaceError, match=words):
            identify(found, {"set 0": wrong})
    with pytest.raises(SolspaceError, match="unknown challenge 'ready'"):
        identify(found, {"ready": None})
    with pytest.raises(SolspaceError, match="'goes' is no answer"):
        identify(found, {"set 0": "goes"})


def test_where_trials_tell_nothing_there_is_no_verdict(toy):
    ds, answered = toy
    often = np.where(np.arange(48) % 4, "x", "y")  # three quarters, in each class alike
    found = design(ds.assign_coords(mine=("network", often)), label="mine", sure=0.7,
                   answered=answered, most=1)  # fmt: skip
    assert (found.kappa_low <= 0).all() and (found.told == 0).all()
    for told in ({}, {"set 0": None}, {"set 0": [(27, 1)]}):
        assert identify(found, told).verdict.item() == "cannot tell"


def test_what_cannot_be_designed_is_said_in_a_line(toy):
    ds, answered = toy
    one = ds.isel(network=slice(20))
    with pytest.raises(SolspaceError, match="1 class of 10 networks or more"):
        design(one, label="automaton_key", answered=answered.isel(network=slice(20)))
    with pytest.raises(SolspaceError, match="no label 'colour'"):
        design(ds, label="colour", answered=answered)
    with pytest.raises(SolspaceError, match="of other networks or challenges"):
        design(ds.isel(network=slice(40)), label="automaton_key", answered=answered)
    bare = replace(get_task("interval_reproduction"), challenges=None)
    with pytest.raises(SolspaceError, match="declares no challenges"):
        design(ds, label="automaton_key", task=bare)
    with pytest.raises(SolspaceError, match="sure=2"):
        design(ds, label="automaton_key", sure=2)
    small = np.array(["v2:d", *ds.automaton_key.values[1:].tolist()])
    fewer = ds.assign_coords(automaton_key=("network", small))
    found = design(fewer, label="automaton_key", answered=answered, most=1)
    assert found.attrs["excluded"] == '{"its class has fewer than 10 networks": 1}'


@pytest.mark.parametrize("name", TASKS)
def test_families_hold_every_kind_fit_their_task_and_leave_some_to_choose(name):
    task = check_task(get_task(name))
    family = task.challenges()
    assert {"trained", "outside", "missing", "extra", "mistimed", "sequence"} == {
        one.kind for one in family.challenges
    }
    for label in ("automaton_key", "response_key", "attractor_key"):
        left_out = defining_challenges(task, family, label, {"graph_method": "turner2021"})
        assert 0 < left_out.sum() < len(family) / 2, label
    assert not defining_challenges(task, family, "of_my_own", {}).any()


def test_strict_leaves_out_what_begins_like_a_defining_challenge():
    task = get_task("interval_reproduction")
    family = task.challenges()
    names = [one.name for one in family.challenges]
    of = ("automaton_key", {})
    usual, strict = (
        dict(zip(names, defining_challenges(task, family, *of, strict=s), strict=True))
        for s in (False, True)
    )
    assert all(strict[name] for name in names if usual[name])
    for name in ("ready 0, set 100, set 350", "ready 0, ready 150, set 300"):
        assert strict[name] and not usual[name]
    assert strict["ready 0 for 10, set 100"] and not usual["ready 0 for 10, set 100"]
    assert not strict["ready 0, set 10, set 260"] and not strict["set 35"]


@pytest.mark.parametrize("name", TASKS[:2])
def test_what_the_probe_gives_defines_the_published_graphs(name):
    """Each pulse that graphs are made from, at the wait it comes at, is left out."""
    task = get_task(name)
    family = task.challenges()
    given = []

    class Told(NetworkExplorer):
        def extend(self, node, symbol, chain):
            given.append((symbol, node))
            super().extend(node, symbol, chain)

    ds = xr.open_zarr(STORE, group=f"{name}/vanilla").isel(network=[0, 5]).load()
    for i in range(2):
        task.probe(Told(task, "vanilla", network_weights(ds, i)))
    start = len(task.protocol.before)
    firsts = {node for symbol, node in given if symbol in ("set", "pulse1")}
    assert len(firsts) > 1
    for node in firsts:  # node 0 is a step after the root
        pulse = PlacedPulse(start + node + 1, int(name == TASKS[0]), task.protocol.pulses[0].width)
        before = (PlacedPulse(5, 0, 5),) if name == TASKS[0] else ()
        assert family.published(Challenge("probed", "outside", (*before, pulse), pulse.onset + 99))


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from([-1, 1]), st.integers(0, 3)), min_size=1, max_size=4),
       st.integers(0, 2))  # fmt: skip
def test_answers_in_words_say_what_the_code_does(stretches, place):
    code = [
        part for symbol, ending in stretches for part in ((symbol, ending) if ending else (0, 0))
    ]
    code = np.array([*code, place if code[-1] else -1])
    text = code_text(code, (20, 30), ("go",))
    assert code_of_text(text, len(stretches), (20, 30), ("go",)).tolist() == code.tolist()


def test_the_command_line_designs_and_identifies(tmp_path, capsys):
    store, kept = str(tmp_path / "few.zarr"), str(tmp_path / "trials.nc")
    group = "delayed_discrimination/vanilla"
    ds = xr.open_zarr(STORE, group=group).isel(network=slice(0, 24))
    keys = ds.automaton_key.values.copy()
    keys[:12] = "v2:other"  # two classes of twelve, which nothing tells apart
    keys[12:] = "v2:one"
    create_population(store, ds.assign_coords(automaton_key=("network", keys)))
    typed = ["design", store, "--label", "automaton_key", "--most", "1", "--quiet"]
    assert main([*typed, "-o", kept]) == 0
    told = capsys.readouterr().out
    assert "24 networks of 2 solutions" in told and "f1 for" in told and "cannot tell" in told
    assert main([*typed, "-o", kept]) == 2
    assert "is there already" in capsys.readouterr().err
    name = xr.load_dataset(kept).challenge.values[0]
    assert main(["identify", kept, f"{name}=none"]) == 0
    assert "verdict: " in capsys.readouterr().out
    for typed, words in (
        ([kept, "x=none"], "unknown challenge 'x'"),
        ([kept, f"{name}=goes"], "is no answer to"),
        ([kept, "none"], "give CHALLENGE=ANSWER"),
        ([str(tmp_path / "nothing.nc")], "no such file"),
    ):
        assert main(["identify", *typed]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
    for wrong, words in (
        (["--label", "colour"], "no label 'colour'"),
        (["--label", "name"], "0 classes of 10 networks or more"),
        (["--sure", "2"], "sure=2"),
    ):
        assert main(["design", store, "--quiet", *wrong]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    for name in ("stores", "docs"):
        (tmp_path / name).symlink_to(STORE.parents[1] / name)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in python_blocks("docs/which_experiment.md"):
        if "plot_design" not in block:  # looked at below
            exec(block, names)
    assert names["after"].probability.max() > 0.9
    page = (STORE.parents[1] / "docs" / "which_experiment.md").read_text()
    assert f'"{names["first"]}=' in page  # what is typed there is the trial that is chosen
    # What ships is what these networks answer.
    few = names["population"].isel(network=[0, 7])
    some = get_task("interval_reproduction").challenges().challenges[::40]
    again = answers(few, some)
    shipped = names["answered"].isel(network=[0, 7]).sel(challenge=[one.name for one in some])
    k = again.sizes["stretch"]
    assert (again["first"].values == shipped["first"].values[..., :k]).mean() > 0.97


@pytest.mark.slow
def test_the_page_is_drawn_in_both_backends_and_fits_a_page(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ds, answered = toy
    found = design(ds, label="automaton_key", answered=answered, most=2)
    (block,) = python_blocks("docs/which_experiment.md", containing="plot_design")
    exec(block, {"found": found})
    assert (tmp_path / "trials.pdf").stat().st_size > 5000


def test_a_family_that_does_not_fit_is_refused():
    pulses = (PlacedPulse(5, 0, 5), PlacedPulse(2, 1, 5))
    with pytest.raises(SolspaceError, match="'a'"):
        ChallengeFamily((Challenge("a", "extra", pulses, 20),), bins=(10,))
    with pytest.raises(SolspaceError, match="two are named"):
        ChallengeFamily((Challenge("a", "extra", (), 9), Challenge("a", "extra", (), 9)), bins=(3,))
    wrong = ChallengeFamily((Challenge("a", "extra", (PlacedPulse(5, 7, 5),), 20),), bins=(10,))
    task = replace(get_task("interval_reproduction"), challenges=lambda: wrong)
    with pytest.raises(SolspaceError, match="a pulse on input 7 of 2"):
        check_task(task)


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=4, max_size=4), min_size=2, max_size=4),
    st.permutations(range(4)),
)
def test_information_is_bounded_and_knows_no_order(counts, order):
    counts = np.array(counts, float)
    found = corrected_information(counts)
    assert found >= 0
    assert np.isclose(corrected_information(counts[:, order]), found)
    assert np.isclose(corrected_information(counts[::-1]), found)
    n, classes = max(counts.sum(), 1), (counts.sum(axis=1) > 0).sum()
    # What the correction may add.
    slack = 4 / (2 * n * np.log(2))
    assert found <= np.log2(max(min(classes, 4), 1)) + slack


def test_information_of_answers_that_say_nothing_is_near_zero_where_the_plain_one_is_not():
    rng = np.random.default_rng(0)
    counts = np.stack([rng.multinomial(30, np.full(8, 1 / 8), size=200) for _ in range(3)], axis=1)
    share = counts / counts.sum(axis=(1, 2), keepdims=True)
    by = share.sum(axis=1, keepdims=True) * share.sum(axis=2, keepdims=True)
    ratio = np.divide(share, by, out=np.ones_like(share), where=share > 0)
    plain = (share * np.log2(ratio)).sum(axis=(1, 2)).mean()
    assert plain > 0.09
    assert corrected_information(counts).mean() < 0.4 * plain


def test_noise_moves_answers_between_bins_and_not_whether_there_is_one():
    one = Answered(np.array([[1], [0]]), np.array([[32.0], [np.nan]]), np.array([[1], [0]]))
    _, _, exact = answer_table(one, (22, 33, 50), 0.0)
    _, answer, noisy = answer_table(one, (22, 33, 50), 0.1)
    assert exact.tolist() == [[1.0], [1.0]]
    assert np.isclose(noisy.sum(), 2) and 0.5 < noisy[0].max() < 0.7 and noisy[1].max() == 1.0
    assert (answer[0] > 0).all() and (answer[1] > 0).tolist() == [True, False]


def test_answers_of_a_class_that_go_together_are_kept_together():
    # Two kinds of networks in class 0, which answer both challenges alike; class 1 never alike.
    first = np.tile([1, 2], 20)
    second = np.where(np.arange(40) < 20, first, 3 - first)
    answer = np.stack([first, second])[..., None]
    codes = [np.array([[0, 0, -1], [1, 1, 0]])] * 2
    known = Knowledge(answer, np.ones(answer.shape), codes, np.repeat([0, 1], 20), 2)
    one = known.evidence(0, codes[0][0])
    assert known.posterior(one * known.evidence(1, codes[1][0]))[0] > 0.85
    assert np.isclose(known.posterior(one)[0], 0.5)
    # An answer that none gave says something as far as it is like theirs.
    unseen = known.evidence(0, np.array([1, 1, 1]))
    assert unseen[1] > 2 * unseen[0] > 0


def test_shipped_networks_answer_trained_trials_in_time_and_others_apart():
    ds = xr.open_zarr(STORE, group="interval_reproduction/vanilla").isel(network=[0, 1])
    family = get_task("interval_reproduction").challenges()
    names = ("ready 0, set 25", "ready 0, set 45", "set 35")
    few = [one for one in family.challenges if one.name in names]
    found = answers(ds, few)
    usual = found.isel(challenge=slice(2), stretch=1)
    assert (usual["first"] == 1).all()
    assert (abs(usual.time - [25, 45]) <= 3).all()
    assert (found.status_answers == 1).all()
    assert (found.ending.sel(challenge="set 35").isel(stretch=1) == -1).all()
