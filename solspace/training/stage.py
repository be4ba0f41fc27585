"""Train the networks of a population dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.population.describe import architecture_of
from solspace.population.parameters import parameter_declarations
from solspace.population.sound import done, unfinished
from solspace.population.trained import (
    CHECKPOINT_PREFIX,
    DIMS,
    PARAMETER_DIMS,
    RECURRENT,
    TRAINED,
    parameter_variables,
)
from solspace.population.variables import Variable
from solspace.stages import Group, Layout, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task
    from solspace.training.driver import Checkpoint

__all__ = ["NotTrained", "train"]


class NotTrained(SolspaceError):
    """A network did not reach its target loss; its best weights are kept all the same."""


def layout(task: Task, ds: xr.Dataset, options: Any) -> dict[str, Layout]:
    """The looks at the loss, and the checkpoints where some are kept."""
    import xarray as xr

    from solspace.population.describe import architecture_of, recipe_of

    imported = ds.attrs.get("origin") == "imported" and "recipe" not in ds.attrs
    if imported and architecture_of(ds) not in task.recipes:
        return {}  # of an architecture that no recipe trains
    recipe = recipe_of(ds)
    last = recipe.hold_steps + recipe.max_steps
    looks = np.arange(0, last + recipe.check_every, recipe.check_every, dtype=np.int64)
    looks = np.minimum(looks, last)
    out = {"population": Layout(xr.Dataset(coords={"check": looks}))}
    count = int(ds.attrs.get("checkpoints", 0))
    if count:
        shared = {d.name: ds[d.name] for d in DIMS if d.name in ds.dims}
        coords = {"checkpoint": np.arange(count)} | shared
        out["checkpoints"] = Layout(xr.Dataset(coords=coords))
    return out


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what trained networks are at odds with themselves, a sentence each."""
    ds = parts["population"]
    sizes = [int(size) for size in ds["hidden_size"].values]
    wrong = [size < 1 or size > ds.sizes["unit"] for size in sizes]
    for i in np.flatnonzero(wrong).tolist():
        yield (
            f"network {ds['name'].values[i]}: hidden_size {sizes[i]}, the arrays have "
            f"{ds.sizes['unit']} units"
        )
    own = parameter_declarations(architecture_of(ds))
    names = [*PARAMETER_DIMS, *(v.name for v in own if v.group == "population")]
    names = [n for n in names if not n.startswith("initial_")]
    for i, name in done(ds, "train"):
        if wrong[i]:
            continue
        for parameter in names:
            if unfinished(ds, parameter, i, sizes[i]):
                yield f"network {name}: called trained, but {parameter} is not finite"
        if "checkpoints" in parts:
            losses = parts["checkpoints"][f"{CHECKPOINT_PREFIX}loss"].values[i]
            if not np.isfinite(losses[[0, -1]]).all():
                yield f"network {name}: called trained, but its first or last checkpoint is empty"
            elif losses[-1] != ds["loss"].values[i]:
                yield f"network {name}: the loss of its last checkpoint is not its own"


_AT = ("network", "checkpoint")
CHECK = Variable(
    "check",
    ("check",),
    "int64",
    "gradient step of a look at the loss of all training trials, from the end of the curriculum",
    units="steps",
    coordinate=True,
)
LOSS_CURVE = Variable(
    "loss_curve",
    ("network", "check"),
    "float32",
    "mean squared error over the training trials at each look of the attempt that is kept; NaN "
    "after its end",
    architectures=RECURRENT,
)
CHECKPOINTS = (
    Variable(
        "checkpoint",
        ("checkpoint",),
        "int64",
        "index of the checkpoint: the first is the initial weights, the last the final ones",
        group="checkpoints",
        coordinate=True,
    ),
    *(dataclasses.replace(v, group="checkpoints") for v in DIMS if v.name != "seed"),
    *parameter_variables(
        _AT,
        prefix=CHECKPOINT_PREFIX,
        group="checkpoints",
        told=" at the checkpoint",
        unknown="NaN past hidden_size, and where the loss never fell so far",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}loss_level",
        _AT,
        "float64",
        "what the checkpoint's loss is the first to be under: infinity, levels evenly spaced in "
        "the logarithm from the loss of silence, the recipe's target loss",
        group="checkpoints",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}loss",
        _AT,
        "float64",
        "mean squared error over the training set; NaN where the loss never fell so far",
        group="checkpoints",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}gradient_steps",
        _AT,
        "int64",
        "gradient steps that led there; -1 where the loss never fell so far",
        units="steps",
        group="checkpoints",
    ),
)


@stage(
    reads=["population"],
    fills=[*DIMS, *TRAINED, CHECK, LOSS_CURVE, *CHECKPOINTS],
    after=[],
    groups={
        "checkpoints": Group(
            "each network at losses on its way down, where it was trained with checkpoints",
            present=lambda attrs: bool(attrs.get("checkpoints")),
        )
    },
    layout=layout,
    further=parameter_declarations,
    faults=faults_of,
    by_default=True,
)
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
        By default the dataset's own.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called. Where it has a method ``within``, that
        is told at each check a network's name, which share of its steps it has made, and its loss.
    stop : callable () -> bool, optional
        Asked between gradient steps; True raises ``KeyboardInterrupt``.

    Returns
    -------
    Dataset
        With final and initial weights, ``loss``, ``loss_recorded``, ``loss_curve``,
        ``gradient_steps``, ``attempts`` and ``status_train``: 2 for a network that never got to
        the recipe's target loss, whose best weights are kept and whose reason is in
        ``message_train``. The same for the same seeds, however the population is split. Where the
        population was made with checkpoints also the variables of the group checkpoints, with
        ``checkpoint_`` before their names.

    Examples
    --------
    >>> from solspace import new_population
    >>> ds = new_population("interval_reproduction", "vanilla", networks=2, hidden_size=20)
    >>> trained = train(ds)                                                # doctest: +SKIP
    >>> trained.loss.max().item() < 1e-4                                   # doctest: +SKIP
    True
    """
    from solspace.population.describe import recipe_of, task_of
    from solspace.population.each import each_network, warn_of_failures
    from solspace.population.weights import given_parameters, pack_weights
    from solspace.training.driver import mean_squared_error, train_network

    task = task_of(ds, task)
    recipe = recipe_of(ds)
    architecture = architecture_of(ds)
    n = ds.sizes["network"]
    final: list[Any] = [None] * n
    initial: list[Any] = [None] * n
    loss = np.full(n, np.nan)
    steps = np.full(n, -1, np.int64)
    attempts = np.full(n, -1, np.int64)
    recorded = np.full(n, np.nan)
    looks = layout(task, ds, {})["population"].coordinates["check"]
    curves = np.full((n, len(looks)), np.nan, np.float32)
    trials = task.recorded_trials()
    kept: list[tuple[Checkpoint, ...]] = [()] * n
    checkpoints = int(ds.attrs.get("checkpoints", 0))

    within = getattr(progress, "within", None)

    def teller(i: int) -> Callable[[float, int, int], None] | None:
        if within is None:
            return None
        name, attempt, before = str(ds["name"].values[i]), 1, 0

        def told(loss: float, done: int, most: int) -> None:
            nonlocal attempt, before
            attempt += done < before
            before = done
            again = f"attempt {attempt}, " if attempt > 1 else ""
            within(name, done / most, f"{again}loss {loss:.1e}")

        return told

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
            told=teller(i),
        )
        kept[i] = result.checkpoints
        curves[i, : len(result.loss_curve)] = result.loss_curve
        recorded[i] = mean_squared_error(architecture, result.weights, trials)
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
            "loss_recorded": ("network", recorded),
            "loss_curve": (("network", "check"), curves),
            "gradient_steps": ("network", steps),
            "attempts": ("network", attempts),
        }
        | ended
    ).assign_coords(check=looks)
    if checkpoints:
        ds = _assign_checkpoints(ds, kept, checkpoints)
    warn_of_failures(ds, "train")
    return ds


def _assign_checkpoints(
    ds: xr.Dataset, kept: Sequence[tuple[Checkpoint, ...]], checkpoints: int
) -> xr.Dataset:
    """The variables of the group checkpoints, ``checkpoint_...``, on a dim of that name."""
    from solspace.population import pack_weights
    from solspace.training.driver import Checkpoint

    # A network that raised has none: all of its checkpoints stay at their fill.
    rows = [row or (Checkpoint(np.nan),) * checkpoints for row in kept]
    prefix, dims = CHECKPOINT_PREFIX, ("network", "checkpoint")
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
    return ds.assign(out).assign_coords(checkpoint=np.arange(checkpoints))
