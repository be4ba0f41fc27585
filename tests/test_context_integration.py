"""Context-dependent integration: its trials, and networks that heed the context or do not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks

from solspace import SolspaceError, get_task, psychometric_curves, share_correct
from solspace.population import import_networks, new_population
from solspace.tasks import check_task, missing
from solspace.tasks.context_integral import TASK as INTEGRAL
from solspace.tasks.context_integration import combinations, make_trials, random_conditions
from solspace.tasks.registry import default_architecture
from solspace.training.stage import train

TASK = get_task("context_integration")


def test_trials_have_the_published_numbers():
    trials = make_trials([(1, 4, -2), (2, 4, -2), (2, -1, 0)])
    assert trials.input.shape == (3, 68, 4)
    steps = [(trials.epoch[0] == e).sum() for e in range(len(TASK.epochs))]
    assert steps == [5, 17, 40, 5, 1]
    shown = trials.epoch[0] == TASK.epochs.index("stimulus")
    np.testing.assert_allclose(trials.input[0, shown, :2], [[0.4, -0.2]] * 40, rtol=1e-6)
    assert not trials.input[0, ~shown, :2].any()
    np.testing.assert_allclose(trials.input[0, :, 2], [0.0] * 5 + [0.1] * 62 + [0.0])
    np.testing.assert_allclose(trials.input[1, :, 3], trials.input[0, :, 2])
    assert not trials.input[0, :, 3].any() and not trials.input[1, :, 2].any()
    assert np.isnan(trials.target[:, :-1]).all()
    assert trials.target[:, -1, 0].tolist() == [1, -1, 0]


def test_noise_is_there_at_every_step_and_drawn_from_the_seed():
    conditions = random_conditions(np.random.default_rng(0), 2000)
    for column, values in zip(conditions.T, ((1, 2), *[(-4, -2, -1, 1, 2, 4)] * 2), strict=True):
        found, counts = np.unique(column, return_counts=True)
        assert found.tolist() == list(values)
        assert counts.min() > 0.8 * 2000 / len(values)
    noise = make_trials(conditions, np.random.default_rng(1)).input - make_trials(conditions).input
    assert not noise[..., 2:].any()
    assert abs(noise[..., :2].mean()) < 0.001
    np.testing.assert_allclose(noise[..., :2].std(axis=(0, 2)), 0.1, rtol=0.1)
    one, other = (TASK.training_trials(np.random.default_rng(s)).input for s in (1, 2))
    assert not np.array_equal(one, other)
    assert not np.array_equal(TASK.recorded_trials().input, TASK.recorded_trials().input[::-1])


def test_the_task_is_sound_and_says_which_stages_cannot_take_it():
    check_task(TASK)
    assert default_architecture(TASK) == "leaky" and TASK.recipe("leaky").recurrent_noise == 0.05
    assert set(missing(TASK)) == {"reduce", "verify", "responses", "features"}
    for change, message in (
        ({"asked": ("answer",)}, "asked names 'answer', and epochs are fixation"),
        ({"asked": ("delay", "decision")}, "not finite in delay, decision, where an output is"),
        ({"asked": ("delay",)}, "target is not finite in delay"),
        ({"asked": ()}, "target is not finite"),
        ({"architecture": "planar"}, "no recipe for its architecture 'planar'"),
        ({"training_trials": lambda rng: make_trials([(1, 1, 1)], np.random.default_rng())},
         "generators of one seed differ in input"),
    ):  # fmt: skip
        with pytest.raises(SolspaceError, match=message):
            check_task(dataclasses.replace(TASK, **change))


def hand_made() -> xr.Dataset:
    """One that adds up both streams whatever the context, and one that sees stream 1 alone."""
    zero = np.zeros((1, 1))
    blind = {
        "weight_hh": np.ones((1, 1, 1)),  # what is added up neither leaks nor grows
        "weight_ih": np.array([[[0.01, 0.01, 0, 0]]]),
        "bias_hh": zero,
        "bias_ih": zero,
        "weight_out": np.ones((1, 1)),
        "bias_out": np.zeros(1),
        "alpha": np.array(0.2),
    }
    one = blind | {"weight_ih": np.array([[[0.01, 0, 0, 0]]])}
    with pytest.warns(UserWarning, match="do not do the task"):
        return import_networks(TASK, "leaky", {"blind": blind, "one_stream": one})


def test_choices_of_networks_that_do_not_heed_the_context():
    ds = hand_made()
    share = share_correct(ds, trials=2000)
    # It is right where both streams agree, and in half of the other trials.
    assert abs(share.values[0] - 0.75).max() < 0.04
    assert share.values[1, 0] > 0.99
    assert abs(share.values[1, 1] - 0.5) < 0.04
    curves = psychometric_curves(ds, coherences=[-4, -1, 0, 1, 4], repeats=20)
    assert curves.trials == 120
    one = curves.positive.isel(network=1)
    rising = one.sel(stream=1)
    assert (rising.sel(coherence=[-4, -1]) < 0.02).all() and (rising.sel(coherence=4) > 0.98).all()
    assert (abs(rising.sel(coherence=0) - 0.5) < 0.2).all()
    assert (abs(one.sel(stream=2) - 0.5) < 0.2).all()
    with pytest.raises(SolspaceError, match="0 repeats; give 1 or more"):
        psychometric_curves(ds, repeats=0)
    with pytest.raises(SolspaceError, match=r"have 4 inputs: stream_1.* has 2: ready, set"):
        share_correct(ds, task="interval_reproduction")


def test_networks_of_the_page_heed_the_context():
    names: dict[str, Any] = {}
    for block in python_blocks("docs/context_integration.md"):
        exec(block, names)
    assert (names["ds"].status_train == 1).all() and (names["ds"].attempts == 1).all()
    assert (names["share"] > 0.95).all()
    positive = names["curves"].positive.sel(coherence=[-4, -2, -1, 1, 2, 4])
    for context, stream in ((1, 1), (2, 2)):
        by_named = positive.sel(context=context, stream=stream)
        assert (by_named[:, :3] < 0.1).all() and (by_named[:, 3:] > 0.9).all()
        assert (abs(positive.sel(context=context, stream=3 - stream) - 0.5) < 0.15).all()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [a for a in TASK.recipes if a != "leaky"])
def test_other_recipes_train_networks_that_heed_the_context(architecture):
    ds = train(new_population(TASK, architecture, networks=2, hidden_size=[20, 50]))
    assert (ds.status_train == 1).all()
    assert (share_correct(ds, trials=500) > 0.95).all()


def test_the_integral_is_that_of_the_stream_the_context_names():
    recorded, beyond = check_task(INTEGRAL).recorded_trials(), INTEGRAL.extrapolation_trials()
    assert beyond.input.shape[1] == 4 * recorded.input.shape[1] == 240
    first, second = recorded.input[:36], recorded.input[36:]
    np.testing.assert_array_equal(first[..., :2], second[..., :2])
    assert (first[..., 2:] == [1, 0]).all() and (second[..., 2:] == [0, 1]).all()
    for half, stream in ((recorded.target[:36], 0), (recorded.target[36:], 1)):
        steps = np.diff(half[..., 0], axis=1)
        np.testing.assert_allclose(steps * 0.1 * 60**0.5, first[:, 1:, stream], atol=1e-5)
    trained = INTEGRAL.training_trials(np.random.default_rng(0)).target[:, -1]
    assert abs(trained.std() - 1) < 0.1


def test_every_combination_is_recorded_once():
    recorded = TASK.recorded_trials()
    found = np.stack([recorded.parameters[p] for p in TASK.parameters], axis=1).tolist()
    assert found == [list(c) for c in combinations((-4, -2, -1, 1, 2, 4))]
