"""What training says about the way down: the loss at each look, and the loss as recorded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from solspace import network_weights, new_population, record, run_stage, train
from solspace.run.populations import create_population
from solspace.tasks import get_task
from solspace.training import mean_squared_error, train_network, training_trials
from solspace.training.driver import (
    _BATCHES,
    _alone,
    _descend,
    _Drawn,
    _silence,
    batches,
    learning_rates,
)
from solspace.training.steps import make_steps

TASK = get_task("interval_reproduction")
RECIPE = dataclasses.replace(TASK.recipe("vanilla"), target_loss=0.025, max_steps=1030, attempts=2)
GROUP = "interval_reproduction/vanilla"


def described(networks: int = 3, **changes) -> xr.Dataset:
    recipe = dataclasses.replace(RECIPE, **changes)
    return new_population(
        "interval_reproduction",
        "vanilla",
        networks=networks,
        hidden_size=[20, 24],
        seed=5,
        recipe=recipe,
    )


@pytest.fixture(scope="module")
def trained() -> xr.Dataset:
    return train(described())


def test_a_curve_goes_from_the_initial_weights_to_where_the_attempt_ended(trained):
    assert trained.loss_curve.dims == ("network", "check")
    # The last look is the recipe's last step, also where it is no multiple of the others.
    looks = [*range(0, RECIPE.max_steps, RECIPE.check_every), RECIPE.max_steps]
    assert trained.check.values.tolist() == looks
    for i in range(trained.sizes["network"]):
        curve = trained.loss_curve.values[i]
        trials = training_trials(TASK, int(trained.seed.values[i]))
        before = mean_squared_error("vanilla", network_weights(trained, i, initial=True), trials)
        np.testing.assert_allclose(curve[0], before, rtol=1e-4)
        ended = int(np.searchsorted(looks, trained.gradient_steps.values[i]))
        assert np.isfinite(curve[: ended + 1]).all() and np.isnan(curve[ended + 1 :]).all()
        # What is kept is the best of all looks: the last where the target was reached.
        np.testing.assert_allclose(np.nanmin(curve), trained.loss.values[i], rtol=1e-4)
        if trained.status_train.values[i] == 1:
            np.testing.assert_allclose(curve[ended], trained.loss.values[i], rtol=1e-4)
            assert (curve[:ended] > RECIPE.target_loss * (1 - 1e-4)).all()
    assert 1 in trained.status_train.values


def test_the_first_looks_are_the_losses_of_the_kernel():
    """Against the first steps by hand, that keep no curve."""
    recipe = dataclasses.replace(RECIPE, attempts=1, max_steps=100)
    result = train_network(TASK, "vanilla", 20, seed=3, recipe=recipe)
    trials = training_trials(TASK, 3)
    steps = make_steps("vanilla", result.initial_weights, trials, recipe, None)
    losses = [steps.loss()]
    rates = learning_rates(recipe, 20)
    drawn = batches(len(trials), recipe.max_steps, recipe, np.random.default_rng([3, 0, _BATCHES]))
    for k, batch in enumerate(drawn):
        steps.advance(batch, rates[k * recipe.check_every :][: len(batch)])
        losses.append(steps.loss())
    assert list(result.loss_curve) == losses


def _never(loss: float):
    """No loss is low enough, and nothing is asked to know it."""
    yield from ()
    return False


def test_a_descent_with_a_curve_takes_the_same_steps():
    """The loss is looked at where it was looked at before, and nothing else is drawn or run."""
    trials = training_trials(TASK, 3)
    start = train_network(
        TASK, "vanilla", 20, seed=3, recipe=dataclasses.replace(RECIPE, max_steps=50, attempts=1)
    ).initial_weights
    recipe = dataclasses.replace(RECIPE, max_steps=300, target_loss=1e-9)
    rates = learning_rates(recipe, 20)
    kept = make_steps("vanilla", start, trials, recipe, None)
    descent = _alone(
        _descend(
            kept,
            _Drawn(len(trials), recipe.max_steps, recipe, np.random.default_rng(7)),
            rates,
            recipe,
            _silence(trials),
            _never,
            None,
        )
    )
    plain = make_steps("vanilla", start, trials, recipe, None)
    best, least, done = plain.snapshot(), plain.loss(), 0
    for batch in batches(len(trials), recipe.max_steps, recipe, np.random.default_rng(7)):
        plain.advance(batch, rates[done : done + len(batch)])
        done += len(batch)
        if plain.loss() < least:
            best, least = plain.snapshot(), plain.loss()
    plain.restore(best)
    assert len(descent.losses) == 1 + 300 // recipe.check_every and min(descent.losses) == least
    for name, array in plain.weights().items():
        np.testing.assert_array_equal(array, kept.weights()[name])


def test_a_curriculum_is_not_in_the_curve():
    task = get_task("interval_discrimination")
    recipe = dataclasses.replace(
        task.recipe("vanilla"), attempts=1, curriculum_loss=1.0, max_steps=100, target_loss=1e-3
    )
    result = train_network(task, "vanilla", 20, seed=0, recipe=recipe)
    assert result.gradient_steps > 100  # the easy trials count as steps
    assert len(result.loss_curve) == 1 + 100 // recipe.check_every
    unlearnt = dataclasses.replace(recipe, curriculum_loss=0.0, curriculum_steps=50)
    assert train_network(task, "vanilla", 20, seed=0, recipe=unlearnt).loss_curve == ()


def test_recorded_loss_is_that_of_the_recorded_trials(trained):
    done = trained.status_train.values == 1  # others are not recorded, their loss is known
    training = record(trained.isel(network=done))
    squares = (training.output - training.target).values.astype(np.float64) ** 2
    np.testing.assert_allclose(trained.loss_recorded[done], squares.mean(axis=(1, 2, 3)), rtol=1e-4)
    for i in range(trained.sizes["network"]):
        weights = network_weights(trained, i)
        exact = mean_squared_error("vanilla", weights, TASK.recorded_trials())
        assert trained.loss_recorded.values[i] == exact


def test_curves_of_a_store_are_those_in_memory(trained, tmp_path):
    path = str(tmp_path / "curves.zarr")
    create_population(path, described(), shard_size=2)
    run_stage(path, "train")
    stored = xr.open_zarr(path, group=GROUP).load()
    for name in ("loss_curve", "loss_recorded", "check", "loss", "weight_hh", "gradient_steps"):
        np.testing.assert_array_equal(stored[name].values, trained[name].values, err_msg=name)
    assert stored.check.attrs["units"] == "steps"
