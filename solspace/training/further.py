"""Training that goes on from the weights it ended with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.tasks import get_task
from solspace.tasks.recipe import Recipe
from solspace.tasks.task import Task
from solspace.training.driver import batches, learning_rates, rolls_back, training_trials
from solspace.training.steps import Weights, make_steps

__all__ = ["rate_at_end", "train_further"]

# Beside the streams that training draws from (`solspace.training.driver`).
_FURTHER = 3


def rate_at_end(
    recipe: Recipe,
    hidden_size: int,
    gradient_steps: int,
    loss_curve: Sequence[float] | NDArray[Any] = (),
) -> float:
    """The learning rate that was in force when the training of a network ended.

    Parameters
    ----------
    recipe : Recipe
    hidden_size : int
    gradient_steps : int
        That led to the network; negative where unknown, as of a network trained elsewhere. The
        recipe's first rate is given then.
    loss_curve : array (check,), optional
        Its losses at each look, NaN after the end. It tells the steps of a curriculum and those
        at ``hold_rate`` from those of the schedule; without it the former count as the
        schedule's, and a recipe that holds a rate is taken to have ended at it.

    Returns
    -------
    float

    Examples
    --------
    >>> recipe = Recipe(target_loss=1e-4, max_steps=100, learning_rate=1.0, check_every=10,
    ...                 learning_rate_power=0, decay_start=0.5)
    >>> rate_at_end(recipe, 20, 40), rate_at_end(recipe, 20, 75), rate_at_end(recipe, 20, -1)
    (1.0, 0.5, 1.0)
    """
    rates = learning_rates(recipe, hidden_size)
    curve = np.asarray(loss_curve, np.float64)
    curve = curve[np.isfinite(curve)]
    if len(curve):
        done = (len(curve) - 1) * recipe.check_every
        if recipe.hold_steps:
            under = np.flatnonzero(curve < max(recipe.hold_loss, recipe.target_loss))
            first = int(under[0]) * recipe.check_every if len(under) else recipe.hold_steps
            done -= min(first, recipe.hold_steps)
            if done <= 0:
                return recipe.hold_rate
    elif recipe.hold_steps:
        return recipe.hold_rate
    else:
        done = max(gradient_steps, 0)
    return float(rates[min(done, len(rates) - 1)])


def train_further(
    task: str | Task,
    architecture: str,
    weights: Mapping[str, NDArray[Any]],
    *,
    seed: int,
    steps: int,
    rate: float,
    recipe: Recipe | None = None,
    stop: Callable[[], bool] | None = None,
    device: str | None = None,
) -> Weights:
    """A network after further gradient steps on its own training trials.

    Training goes on as it went but for its end: the loss over all trials is looked at every
    ``check_every`` steps, where it rises too far training goes back to the best weights and moments
    as the recipe says, and the weights of the lowest loss are kept; those it began with are not
    among them. Adam's moments, which nobody keeps, begin at zero.

    Parameters
    ----------
    task : str or Task
    architecture : str
    weights : mapping
        Without padding (see `solspace.networks`).
    seed : int
        The network's own, from which its training trials follow. Not negative.
    steps : int
    rate : float
        Of every step; rollbacks lower it where the recipe says so.
    recipe : Recipe, optional
        The task's own by default.
    stop : callable () -> bool, optional
        Asked every ``check_every`` steps; True raises ``KeyboardInterrupt``.
    device : str, optional
        Train in torch on this device instead.

    Returns
    -------
    dict of str to array

    Raises
    ------
    SolspaceError
        For a negative seed, less than one step, or a rate that is not over 0; and where no look
        finds a finite loss.

    Examples
    --------
    >>> from solspace.training import initial_weights
    >>> rng = np.random.default_rng(0)
    >>> start = initial_weights("vanilla", 20, inputs=2, outputs=1, init="default", rng=rng)
    >>> after = train_further("interval_reproduction", "vanilla", start, seed=1, steps=5,
    ...                       rate=1e-3)
    >>> bool(0 < abs(after["weight_hh"] - start["weight_hh"]).max() < 0.01)
    True
    """
    task = get_task(task)
    networks.check_architecture(architecture)
    recipe = recipe or task.recipe(architecture)
    if seed < 0 or steps < 1 or not 0 < rate < np.inf:
        raise SolspaceError(
            f"seed {seed}, {steps} further steps at a rate of {rate:g}; give a seed of 0 or more, "
            "1 or more steps, and a finite rate over 0"
        )
    trials = training_trials(task, seed)
    given = {p.name for p in networks.recurrent_architecture(architecture).given}
    start = {n: np.asarray(v) if n in given else np.asarray(v, np.float32)
             for n, v in weights.items()}  # fmt: skip
    fresh = np.random.default_rng([seed, 0, _FURTHER, 1])
    draw = partial(task.training_trials, fresh) if task.noisy else None
    noise = np.random.default_rng([seed, 0, _FURTHER, 2])
    runner = make_steps(architecture, start, trials, recipe, device, draw, noise)
    rng = np.random.default_rng([seed, 0, _FURTHER])
    least, best = np.inf, None
    factor, back, back_to = 1.0, runner.loss(), runner.snapshot()
    for batch in batches(len(trials), steps, recipe, rng):
        if stop is not None and stop():
            raise KeyboardInterrupt("further training was stopped")
        runner.advance(batch, np.full(len(batch), factor * rate))
        loss = runner.loss()
        if loss < least:
            least, best = loss, runner.snapshot()
        if loss < back:
            back, back_to = loss, runner.snapshot()
        elif rolls_back(recipe, loss, back):
            runner.restore(back_to)
            factor *= recipe.rollback_rate
    if best is None:
        raise SolspaceError(
            f"{steps} further steps at a rate of {rate:g} lead to weights that are not finite; "
            "give a lower rate"
        )
    runner.restore(best)
    return runner.weights()
