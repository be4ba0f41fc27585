"""Train the networks of a population dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from solspace import schema
from solspace.errors import SolspaceError
from solspace.kinds import kind_of, load
from solspace.population import (
    each_network,
    given_parameters,
    pack_weights,
    recipe_of,
    task_of,
    warn_of_failures,
)
from solspace.tasks import Task
from solspace.training.driver import Checkpoint, train_network

__all__ = ["NotTrained", "train"]


class NotTrained(SolspaceError):
    """A network did not reach its target loss; its best weights are kept all the same."""


def train(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> xr.Dataset:
    """Train every network of a population from scratch.

    Parameters
    ----------
    ds : Dataset
        From `solspace.new_population`: sizes, seeds and the recipe.
    task : str or Task, optional
        From the dataset's attrs by default.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.
    stop : callable () -> bool, optional
        Asked between gradient steps; True raises ``KeyboardInterrupt``.

    Returns
    -------
    Dataset
        With final and initial weights, ``loss``, ``gradient_steps``, ``attempts`` and
        ``status_train``: 2 for a network that never got to the recipe's target loss, whose best
        weights are kept and whose reason is in ``message_train``. The same for the same seeds,
        however the population is split. Where the population was made with checkpoints also the
        variables of the learning group, with ``checkpoint_`` before their names.

    Examples
    --------
    >>> from solspace import new_population
    >>> ds = new_population("interval_reproduction", "vanilla", networks=2, hidden_size=20)
    >>> trained = train(ds)                                                # doctest: +SKIP
    >>> trained.loss.max().item() < 1e-4                                   # doctest: +SKIP
    True
    """
    task_of(ds, task)
    how = load(kind_of(ds.attrs["architecture"]).train)
    trained: xr.Dataset = how(ds, task=task, progress=progress, stop=stop)
    return trained


def train_cells(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> xr.Dataset:
    """Train every network of a population of recurrent cells; see `train`."""
    task = task_of(ds, task)
    recipe = recipe_of(ds)
    architecture = ds.attrs["architecture"]
    n = ds.sizes["network"]
    final: list[Any] = [None] * n
    initial: list[Any] = [None] * n
    loss = np.full(n, np.nan)
    steps = np.full(n, -1, np.int64)
    attempts = np.full(n, -1, np.int64)
    kept: list[tuple[Checkpoint, ...]] = [()] * n
    checkpoints = int(ds.attrs.get("checkpoints", 0))

    def compute(i: int) -> None:
        result = train_network(
            task,
            architecture,
            int(ds["hidden_size"].values[i]),
            seed=int(ds["seed"].values[i]),
            recipe=recipe,
            stop=stop,
            checkpoints=checkpoints,
            given=given_parameters(ds, i),
        )
        kept[i] = result.checkpoints
        final[i], initial[i] = result.weights, result.initial_weights
        loss[i], steps[i], attempts[i] = result.loss, result.gradient_steps, result.attempts
        if not result.trained:
            raise NotTrained(result.reason)

    ended = each_network(ds, "train", compute, progress=progress)
    ds = ds.assign(
        pack_weights(final, ds)
        | pack_weights(initial, ds, initial=True)
        | {
            "loss": ("network", loss),
            "gradient_steps": ("network", steps),
            "attempts": ("network", attempts),
        }
        | ended
    )
    if checkpoints:
        ds = _assign_checkpoints(ds, kept, checkpoints)
    warn_of_failures(ds, "train")
    return schema.annotate(ds, "population")


def _assign_checkpoints(
    ds: xr.Dataset, kept: Sequence[tuple[Checkpoint, ...]], checkpoints: int
) -> xr.Dataset:
    """The variables of the learning group, ``checkpoint_...``, on a dim of that name."""
    # A network that raised has none: all of its checkpoints stay at their fill.
    rows = [row or (Checkpoint(np.nan),) * checkpoints for row in kept]
    prefix, dims = schema.prefix("learning"), ("network", "checkpoint")
    out: dict[str, Any] = {
        f"{prefix}loss_level": (dims, np.array([[c.level for c in row] for row in rows])),
        f"{prefix}loss": (dims, np.array([[c.loss for c in row] for row in rows])),
        f"{prefix}gradient_steps": (
            dims,
            np.array([[c.gradient_steps for c in row] for row in rows], np.int64),
        ),
    }
    packed = [pack_weights([row[k].weights for row in rows], ds) for k in range(checkpoints)]
    for name, (own, _) in packed[0].items():
        stacked = np.stack([one[name][1] for one in packed], axis=1)
        out[prefix + name] = ((*dims, *own[1:]), stacked)
    ds = ds.assign(out).assign_coords(checkpoint=np.arange(checkpoints))
    return schema.annotate(ds, "learning")
