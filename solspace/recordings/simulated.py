"""Simulated recordings of a network: some of its units, as spikes, on some trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["STEP_MS", "observe", "recorded_units", "spike_counts", "spikes_as_rates"]

Array = NDArray[np.float64]

STEP_MS = 10.0  # a step of the tasks, so that intervals of 20 to 50 steps last 200 to 500 ms


def spikes_as_rates(
    activity: NDArray[Any],
    *,
    trials: int,
    rate: float,
    bin_ms: float,
    step_ms: float = STEP_MS,
    rng: np.random.Generator,
) -> Array:
    """Activity as it is estimated from spikes of several trials of each condition.

    A unit fires Poisson spikes at ``rate * (1 + activity) / 2``. They are counted over trials in
    a window that slides step by step, and scaled back, so that many trials in a short window give
    the activity itself.

    Parameters
    ----------
    activity : array (..., time, unit)
        Between -1 and 1.
    trials : int
        Trials of each condition.
    rate : float
        Spikes per second of a unit at 1.
    bin_ms, step_ms : float
        Width of the window, and of one step of the recording, in milliseconds.
    rng : numpy.random.Generator

    Returns
    -------
    array like ``activity``

    Examples
    --------
    >>> activity = np.tile([0.5, -0.5], (40, 1))
    >>> seen = spikes_as_rates(activity, trials=10_000, rate=50, bin_ms=50,
    ...                        rng=np.random.default_rng(0))
    >>> bool(np.abs(seen - activity).max() < 0.05)
    True
    """
    if trials < 1 or rate <= 0 or bin_ms <= 0 or step_ms <= 0:
        raise SolspaceError(
            f"trials={trials}, rate={rate:g}, bin_ms={bin_ms:g}, step_ms={step_ms:g}; give at "
            "least one trial, and a rate, bin and step over 0"
        )
    per_step = rate * step_ms / 1000
    # A sum of Poisson counts over trials is a Poisson count.
    counts = spike_counts(activity, per_step=trials * per_step, rng=rng).astype(np.float64)
    width = max(round(bin_ms / step_ms), 1)
    total = _sliding_mean(counts, width)
    return 2 * total / (trials * per_step) - 1


def spike_counts(
    activity: NDArray[Any], *, per_step: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Poisson spikes in each step, ``per_step * (1 + activity) / 2`` on average.

    Parameters
    ----------
    activity : array
        Between -1 and 1.
    per_step : float
        Spikes in a step of a unit at 1.
    rng : numpy.random.Generator

    Raises
    ------
    SolspaceError
        For activity beyond -1 and 1.

    Examples
    --------
    >>> spike_counts(np.array([-1.0]), per_step=3, rng=np.random.default_rng(0)).tolist()
    [0]
    """
    most = float(np.nanmax(np.abs(activity)))
    if most > 1 + 1e-6:
        raise SolspaceError(
            f"activity up to {most:.3g}; rates are made of activity between -1 and 1"
        )
    return rng.poisson(per_step * np.clip((1 + activity) / 2, 0, 1))


def recorded_units(size: int, units: int | None, rng: np.random.Generator) -> NDArray[np.intp]:
    """So many units of a network, drawn; all where it has fewer or None are asked for.

    Examples
    --------
    >>> recorded_units(3, 5, np.random.default_rng(0)).tolist()
    [0, 1, 2]
    """
    return np.sort(rng.permutation(size)[: size if units is None else units])


def _sliding_mean(values: Array, width: int) -> Array:
    """Mean over a window around each step, (..., time, unit); shorter at the ends."""
    time = values.shape[-2]
    before, after = (width - 1) // 2, width // 2
    summed = np.concatenate(
        [np.zeros((*values.shape[:-2], 1, values.shape[-1])), np.cumsum(values, axis=-2)], axis=-2
    )
    stop = np.minimum(np.arange(time) + after + 1, time)
    start = np.maximum(np.arange(time) - before, 0)
    return (summed[..., stop, :] - summed[..., start, :]) / (stop - start)[:, None]


def observe(
    training: xr.Dataset,
    *,
    units: int | None = None,
    trials: int | None = None,
    rate: float = 50.0,
    bin_ms: float = 50.0,
    step_ms: float = STEP_MS,
    seed: int = 0,
) -> xr.Dataset:
    """A simulated recording of each network.

    Parameters
    ----------
    training : Dataset
        A training group: ``activity`` and ``hidden_size``. Of an LSTM the hidden state is seen.
    units : int, optional
        Units recorded, drawn anew for each network (all of a network that has fewer); all by
        default.
    trials : int, optional
        Trials of each condition; by default the activity itself, without spikes.
    rate, bin_ms, step_ms : float
        See `spikes_as_rates`.
    seed : int
        What a network shows does not depend on which others are there: it is drawn from this and
        from its index ``network``.

    Returns
    -------
    Dataset
        With ``activity`` of those units, ``hidden_size`` their number. ``cell_state`` is left
        out; output, trials and epochs are kept.

    Examples
    --------
    >>> from solspace import import_networks, record
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("vanilla", 12, inputs=2, outputs=1)
    >>> mine = {name: np.full(shape, 0.1) for name, shape in shapes.items()}
    >>> training = record(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> observe(training, units=5, trials=10).activity.sizes["unit"]
    5
    """
    if units is not None and units < 1:
        raise SolspaceError(f"{units} units; give 1 or more, or None for all")
    if "activity" not in training.variables:
        raise SolspaceError(f"the dataset has no 'activity'; {how_to_make('record')}")
    sizes = training["hidden_size"].values.astype(int)
    seen = np.minimum(sizes, units or int(sizes.max()))
    activity = training["activity"].values
    out = np.full((*activity.shape[:-1], int(seen.max())), np.nan, np.float32)
    for i, (size, count) in enumerate(zip(sizes, seen, strict=True)):
        rng = np.random.default_rng([seed, int(training["network"].values[i])])
        chosen = recorded_units(int(size), int(count), rng)
        one = activity[i][..., chosen].astype(np.float64)
        if trials is not None and np.isfinite(one).all():
            one = spikes_as_rates(
                one, trials=trials, rate=rate, bin_ms=bin_ms, step_ms=step_ms, rng=rng
            )
        out[i, ..., :count] = one
    ds = training.drop_vars([n for n in ("activity", "cell_state", "unit") if n in training])
    ds = ds.assign_coords(hidden_size=("network", seen))
    ds["activity"] = (training["activity"].dims, out)
    return ds
