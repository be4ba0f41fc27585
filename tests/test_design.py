"""Challenges chosen: families, answers, information, and what answers say of a solution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace.design import answers, corrected_information, defining_challenges, design, identify
from solspace.design.choosing import Knowledge
from solspace.design.reading import Answered, answer_table
from solspace.errors import SolspaceError
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
    with pytest.raises(SolspaceError, match="unknown challenge 'ready'"):
        identify(found, {"ready": None})
    with pytest.raises(SolspaceError, match="'goes' is no answer"):
        identify(found, {"set 0": "goes"})


def test_what_cannot_be_designed_is_said_in_a_line(toy):
    ds, answered = toy
    one = ds.isel(network=slice(20))
    with pytest.raises(SolspaceError, match="1 class of 10 networks or more"):
        design(one, label="automaton_key", answered=answered.isel(network=slice(20)))
    with pytest.raises(SolspaceError, match="no label 'colour'"):
        design(ds, label="colour", answered=answered)
    with pytest.raises(SolspaceError, match="of other networks or challenges"):
        design(one, label="automaton_key", answered=answered)
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
    _, exact = answer_table(one, (22, 33, 50), 0.0)
    _, noisy = answer_table(one, (22, 33, 50), 0.1)
    assert sorted(exact[0]) == [0.0, 1.0]
    assert np.isclose(noisy.sum(), 2) and 0.5 < noisy[0].max() < 0.7 and noisy[1].max() == 1.0


def test_answers_of_a_class_that_go_together_are_kept_together():
    # Two kinds of networks in class 0, which answer both challenges alike; class 1 never alike.
    sure = np.zeros((2, 40, 3))
    first = np.tile([1, 2], 20)
    second = np.where(np.arange(40) < 20, first, 3 - first)
    sure[0, np.arange(40), first] = sure[1, np.arange(40), second] = 1
    known = Knowledge.of(sure, np.repeat([0, 1], 20), 2)
    assert known.posterior(known.weights([(0, 1), (1, 1)]))[0] > 0.85
    assert np.isclose(known.posterior(known.weights([(0, 1)]))[0], 0.5)


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
