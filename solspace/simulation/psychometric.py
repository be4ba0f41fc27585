"""Choices of networks against the coherence of what they were shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task, Trials

__all__ = ["psychometric_curves", "share_correct"]

NETWORKS = 64  # whose weights are in memory at once


def share_correct(
    ds: xr.Dataset, *, task: str | Task | None = None, trials: int = 2000, seed: int = 0
) -> xr.DataArray:
    """How often each network chooses rightly in each context, on fresh trials like the trained.

    A network that does not heed the context is right in 75 % of trials: in the half of them in
    which both streams have one sign, and in half of the others.

    Parameters
    ----------
    ds : Dataset
        A population with weights, of a task of two streams and two contexts.
    task : str or Task, optional
        By default the dataset's own.
    trials : int
        In each context.
    seed : int
        Of the trials.

    Returns
    -------
    DataArray (network, context)
        Share of trials in which the output at the decision has the sign that is asked for; NaN
        for a network without weights.

    Raises
    ------
    SolspaceError
        For a task without contexts and a choice, or less than one trial.

    Examples
    --------
    >>> import numpy as np
    >>> from solspace.networks import parameter_shapes
    >>> from solspace.population import import_networks
    >>> rng, shapes = np.random.default_rng(0), parameter_shapes("leaky", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> weights["alpha"] = 0.2
    >>> ds = import_networks("context_integration", "leaky", {"untrained": weights})
    >>> share = share_correct(ds, trials=100)
    >>> share.dims, bool(share.max() < 0.9)
    (('network', 'context'), True)
    """
    import xarray as xr

    _check_task(ds, task)
    rng = np.random.default_rng(seed)
    if trials < 1:
        raise SolspaceError(f"{trials} trials; give 1 or more in each context")
    conditions = np.concatenate([_random(rng, trials, context) for context in (1, 2)])
    shown = _make(conditions, rng)
    right = np.full((ds.sizes["network"], 2), np.nan)
    wanted = shown.target[:, -1, 0]
    for i, choice in _choices(ds, shown):
        right[i] = (choice == wanted).reshape(2, trials).mean(axis=1)
    return xr.DataArray(
        right,
        dims=("network", "context"),
        coords={"context": [1, 2]} | _labels(ds),
        name="share_correct",
        attrs={"long_name": "share of trials answered rightly", "units": "1"},
    )


def psychometric_curves(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    coherences: Sequence[float] | None = None,
    repeats: int = 10,
    seed: int = 0,
) -> xr.Dataset:
    """The share of positive choices against the coherence of each stream, in each context.

    Every coherence of the one stream is shown with every trained coherence of the other, in both
    contexts, with noise that is drawn anew. A network that heeds the context chooses by the stream
    that it names, and its curve against the other stream is flat.

    Parameters
    ----------
    ds : Dataset
        A population with weights, of a task of two streams and two contexts.
    task : str or Task, optional
        By default the dataset's own.
    coherences : sequence of float, optional
        Those against which choices are told, of either stream; 0, 1, 2, 4, 8 and 16 of both signs
        by default.
    repeats : int
        Trials of each combination.
    seed : int
        Of the noise.

    Returns
    -------
    Dataset
        ``positive`` (network, context, stream, coherence), the share of trials in which the output
        at the decision is over zero, over the trained coherences of the other stream; NaN for a
        network without weights. ``trials``, how many each share is of.

    Raises
    ------
    SolspaceError
        For a task without contexts and a choice, no coherence, or less than one repeat.

    References
    ----------
    Mante, Sussillo, Shenoy & Newsome, Nature 2013, Figure 1.

    Examples
    --------
    >>> import numpy as np
    >>> from solspace.networks import parameter_shapes
    >>> from solspace.population import import_networks
    >>> rng, shapes = np.random.default_rng(0), parameter_shapes("leaky", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> weights["alpha"] = 0.2
    >>> ds = import_networks("context_integration", "leaky", {"untrained": weights})
    >>> curves = psychometric_curves(ds, coherences=[-4, 0, 4], repeats=5)
    >>> dict(curves.positive.sizes), curves.trials.item()
    ({'network': 1, 'context': 2, 'stream': 2, 'coherence': 3}, 30)
    """
    import xarray as xr

    from solspace.tasks.context_integration import COHERENCES, PROBED

    _check_task(ds, task)
    rng = np.random.default_rng(seed)
    shown_at = np.unique(np.asarray(PROBED if coherences is None else coherences, np.float64))
    if not len(shown_at) or not np.isfinite(shown_at).all() or repeats < 1:
        raise SolspaceError(
            f"{len(shown_at)} coherences, {repeats} repeats; give 1 or more finite ones, 1 or more "
            "repeats"
        )
    k, each = len(shown_at), len(COHERENCES) * repeats
    conditions = np.array(
        [
            (context, own, other) if stream == 1 else (context, other, own)
            for context, stream, own in product((1, 2), (1, 2), shown_at.tolist())
            for other in COHERENCES * repeats
        ]
    )
    positive = np.full((ds.sizes["network"], 2, 2, k), np.nan)
    for i, choice in _choices(ds, _make(conditions, rng)):
        positive[i] = (choice > 0).reshape(2, 2, k, each).mean(axis=-1)
    return xr.Dataset(
        {
            "positive": (
                ("network", "context", "stream", "coherence"),
                positive,
                {"long_name": "share of positive choices", "units": "1"},
            ),
            "trials": ((), each, {"long_name": "trials that each share is of"}),
        },
        coords={"context": [1, 2], "stream": [1, 2], "coherence": shown_at} | _labels(ds),
    )


def _check_task(ds: xr.Dataset, task: str | Task | None) -> None:
    from solspace.population.describe import task_of
    from solspace.tasks.context_integration import INPUTS, TASK

    task = task_of(ds, task)
    if task.inputs != INPUTS or task.outputs != TASK.outputs:
        raise SolspaceError(
            f"networks of task {task.name!r} make no choice between two streams; give a population "
            f"of {TASK.name!r}, or of a task with its inputs and outputs"
        )


def _random(rng: np.random.Generator, trials: int, context: int) -> NDArray[Any]:
    from solspace.tasks.context_integration import random_conditions

    conditions = random_conditions(rng, trials)
    conditions[:, 0] = context
    return conditions


def _make(conditions: NDArray[Any], rng: np.random.Generator) -> Trials:
    from solspace.tasks.context_integration import make_trials

    return make_trials(conditions, rng)


def _labels(ds: xr.Dataset) -> dict[str, Any]:
    return {str(name): c for name, c in ds.coords.items() if set(c.dims) == {"network"}}


def _choices(ds: xr.Dataset, trials: Trials) -> Iterator[tuple[int, NDArray[Any]]]:
    """The sign of each trial's last output, for each network that has weights.

    Networks are dealt out to threads; the compiled runs hold no lock.
    """
    from concurrent.futures import ThreadPoolExecutor

    from solspace.networks import parameter_names, start_names
    from solspace.population import architecture_of, network_weights
    from solspace.training.outputs import AskedTrials

    architecture = architecture_of(ds)
    names = [*parameter_names(architecture), *start_names(architecture, ds.variables)]
    kept = ds[[*names, "hidden_size"]]
    steps = trials.input.shape[1]
    asked = AskedTrials(trials.input, (steps - 1, steps))
    with ThreadPoolExecutor() as pool:
        for first in range(0, ds.sizes["network"], NETWORKS):
            block = kept.isel(network=slice(first, first + NETWORKS)).load()
            there = np.isfinite(block["weight_out"].values[..., 0]).all(axis=1)
            weights = [network_weights(block, i) for i in np.flatnonzero(there).tolist()]
            found = pool.map(lambda one: asked.outputs(architecture, one)[:, 0], weights)
            for i, output in zip(np.flatnonzero(there).tolist(), found, strict=True):
                yield first + i, np.sign(output)
