"""Recipes: a rate held until the choice is made, gains of the start, numbers changed as typed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from solspace import new_population
from solspace.cli import main
from solspace.errors import SolspaceError
from solspace.population.describe import recipe_of
from solspace.run.populations import create_population
from solspace.store import Store
from solspace.tasks import Recipe, change_recipe, get_task
from solspace.training import initial_weights, train_network

TASK = get_task("interval_reproduction")
HELD = Recipe(
    target_loss=0.0,
    max_steps=100,
    learning_rate=1e-9,
    attempts=1,
    hold_rate=0.005,
    hold_loss=0.03,  # on any processor it gets there
    hold_steps=1500,
)


def curve_of(recipe: Recipe) -> tuple[np.ndarray, object]:
    result = train_network(TASK, "vanilla", 20, seed=4, recipe=recipe)
    return np.array(result.loss_curve), result


def test_the_rate_is_held_until_the_loss_is_under_and_the_schedule_follows():
    curve, result = curve_of(HELD)
    under = int(np.flatnonzero(curve < HELD.hold_loss)[0])
    assert 1 < under < HELD.hold_steps // HELD.check_every, curve
    # The schedule has all its steps from there; at a rate of next to nothing little moves.
    assert result.gradient_steps == under * HELD.check_every + HELD.max_steps
    assert len(curve) == under + HELD.max_steps // HELD.check_every + 1
    np.testing.assert_allclose(curve[under:], curve[under], rtol=1e-4)
    # Until there it is the run of that rate alone, to the bit: the same batches, the same moments.
    alone = dataclasses.replace(
        HELD,
        hold_steps=0,
        learning_rate=HELD.hold_rate,
        learning_rate_power=0.0,
        max_steps=HELD.hold_steps,
        decay_start=0.99,
    )
    np.testing.assert_array_equal(curve_of(alone)[0][: under + 1], curve[: under + 1])


def test_a_loss_that_is_never_reached_ends_the_hold_after_its_steps():
    curve, result = curve_of(dataclasses.replace(HELD, hold_loss=0.0, hold_steps=150))
    assert result.gradient_steps <= 250 and len(curve) == 6
    np.testing.assert_allclose(curve[4:], curve[4], rtol=0.01)


def test_a_hold_may_end_at_the_target():
    recipe = dataclasses.replace(HELD, target_loss=0.032, hold_loss=0.0)
    result = train_network(TASK, "vanilla", 20, seed=4, recipe=recipe)
    assert result.trained and result.gradient_steps <= HELD.hold_steps
    assert result.loss < 0.032


def test_checkpoints_count_the_steps_of_the_hold():
    recipe = dataclasses.replace(HELD, target_loss=0.031, learning_rate=0.02)
    result = train_network(TASK, "vanilla", 20, seed=4, recipe=recipe, checkpoints=4)
    steps = [c.gradient_steps for c in result.checkpoints]
    assert steps == sorted(steps) and steps[-1] == result.gradient_steps
    *between, last = result.checkpoints[1:]
    for checkpoint in between:
        at = checkpoint.gradient_steps // recipe.check_every
        np.testing.assert_allclose(result.loss_curve[at], checkpoint.loss, rtol=1e-4)
    # What is kept in the end is the best, which need not be the last: that turns on rounding.
    np.testing.assert_allclose(min(result.loss_curve), last.loss, rtol=1e-4)


@pytest.mark.parametrize("steps, rate", [(70, 0.001), (100, 0.0)])
def test_a_hold_that_cannot_be_is_refused(steps, rate):
    recipe = dataclasses.replace(HELD, hold_steps=steps, hold_rate=rate)
    with pytest.raises(SolspaceError, match="multiple of check_every"):
        train_network(TASK, "vanilla", 20, seed=0, recipe=recipe)


@pytest.mark.parametrize("architecture, gates", [("vanilla", 1), ("lstm", 4)])
@pytest.mark.parametrize("init", ["orthogonal", "normal"])
def test_the_gain_is_the_spectral_radius(architecture, gates, init):
    def start(gain: float) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(1)
        return initial_weights(architecture, 30, inputs=2, outputs=1, init=init, rng=rng, gain=gain)

    scaled, plain = start(1.25), start(1.0)
    radius = np.abs(np.linalg.eigvals(scaled["weight_hh"].astype(float))).max(axis=-1)
    np.testing.assert_allclose(radius, [1.25] * gates, rtol=1e-5)
    for name in ("weight_ih", "bias_hh", "weight_out"):
        np.testing.assert_array_equal(scaled[name], plain[name])


def test_a_gain_that_is_none_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(SolspaceError, match="gain 0 of the recurrent weights"):
        initial_weights("vanilla", 5, inputs=2, outputs=1, init="default", rng=rng, gain=0)


def test_numbers_of_a_recipe_are_changed_as_typed():
    changed = change_recipe(HELD, ["max-steps=7", "clip=0.5", "init=normal"])
    assert changed == dataclasses.replace(HELD, max_steps=7, clip=0.5, init="normal")
    for wrong, said in (
        ("rate=3", "names: target_loss, max_steps"),
        ("clip", "give NAME=VALUE"),
        ("max_steps=many", "'many' is not a whole number"),
        ("clip=small", "'small' is not a number; give one, such as clip=0.03"),
    ):
        with pytest.raises(SolspaceError, match=said):
            change_recipe(HELD, [wrong])


def test_a_recipe_is_changed_on_the_command_line_and_stored(tmp_path: Path, capsys):
    path = str(tmp_path / "s.zarr")
    words = ["train", path, "--task", "interval_reproduction", "--architecture", "vanilla"]
    words += ["--networks", "1", "--hidden-size", "10", "--quiet"]
    numbers = ["max_steps=50", "attempts=1", "target_loss=0.5"]
    assert main([*words, "--recipe", *numbers]) == 0
    (population,) = Store(path).populations()
    stored = recipe_of(population.open())
    assert stored == change_recipe(TASK.recipe("vanilla"), numbers)
    # Typed again without them it is another population, and what differs is named.
    assert main(words) == 2
    assert "recipe target_loss: 0.5 stored, 0.0001 given" in capsys.readouterr().err


def test_a_recipe_of_an_older_store_lacks_numbers_that_are_defaults(tmp_path: Path):
    import json

    import zarr

    path = str(tmp_path / "s.zarr")
    recipe = Recipe(target_loss=0.5, max_steps=50, learning_rate=0.01, attempts=1)
    ds = new_population(TASK, "vanilla", networks=1, hidden_size=10, recipe=recipe)
    create_population(path, ds)
    group = zarr.open_group(path, mode="r+")["interval_reproduction/vanilla"]
    older = json.loads(group.attrs["recipe"])
    for name in ("hold_rate", "hold_loss", "hold_steps", "init_gain"):
        del older[name]
    group.attrs["recipe"] = json.dumps(older)
    zarr.consolidate_metadata(path)
    create_population(path, ds)
