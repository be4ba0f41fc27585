"""What was recorded: conditions, epochs and spikes, on a clock that conditions can be dealt on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.recordings.binning import padding, smoothed

__all__ = ["Electrodes", "Rows", "read_rows", "see"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

LEAST_BINS = 2  # of an epoch, to be compared
REPEATED = 3  # trials of each condition from which on their spread is told


@dataclass(frozen=True)
class Electrodes:
    """What is seen of a network, so that it is seen as the recorded animal was.

    Attributes
    ----------
    epochs : tuple of str
        In their order in a trial.
    lengths : array (condition, epoch) of int
        Bins.
    trials : array (condition,)
        That an average is of.
    rates : array (unit,)
        Mean spikes per second.
    fano : float
        Variance of counts over their mean across trials alike.
    bin, kernel_sd : float
        In ms; no kernel where 0.
    """

    epochs: tuple[str, ...]
    lengths: Labels
    trials: Array
    rates: Array
    fano: float
    bin: float
    kernel_sd: float

    @property
    def steps(self) -> int:
        """Bins of the longest condition."""
        return int(self.lengths.sum(axis=1).max())

    def epoch(self) -> NDArray[np.int8]:
        """Position of the epoch of each bin, (condition, time); -1 past the end.

        Examples
        --------
        >>> one = Electrodes(("a", "b"), np.array([[1, 2], [2, 2]]), np.ones(2), np.ones(3), 1.0,
        ...                  10.0, 0.0)
        >>> one.epoch().tolist()
        [[0, 1, 1, -1], [0, 0, 1, 1]]
        """
        out = np.full((len(self.lengths), self.steps), -1, np.int8)
        for c, lengths in enumerate(self.lengths):
            out[c, : lengths.sum()] = np.repeat(np.arange(len(lengths)), lengths)
        return out


@dataclass(frozen=True)
class Rows:
    """Trials, or averages of a condition, on one clock: each epoch has as many points in all.

    Attributes
    ----------
    values : array (row, point, unit)
        Spikes per second.
    condition : array (row,)
    weight : array (row,)
        Trials that a row is of.
    points : array (epoch,)
        Points of each epoch, as many as the longest condition has bins of it.
    lengths : array (condition, epoch)
    left_out : Counter
    """

    values: Array
    condition: Labels
    weight: Array
    points: Labels
    lengths: Labels
    left_out: Counter[str] = field(default_factory=Counter)

    def average(self, condition: Labels | None = None, rows: Labels | None = None) -> Array:
        """Averages over the rows of each condition, (condition, time, unit), NaN past the end.

        Parameters
        ----------
        condition : array (row,), optional
            Dealt anew; by default those there were.
        rows : array of int, optional
            Only these.
        """
        at = self.condition if condition is None else condition
        which = np.arange(len(at)) if rows is None else rows
        share = np.zeros((len(self.lengths), len(at)))
        share[at[which], which] = self.weight[which]
        share /= share.sum(axis=1, keepdims=True)
        flat = self.values.reshape(len(at), -1)
        mean = (share @ flat).reshape(len(share), *self.values.shape[1:])
        return _onto_lengths(mean, self.points, self.lengths)


def _onto_lengths(mean: Array, points: Labels, lengths: Labels) -> Array:
    """From as many points an epoch to the bins that each condition has of it."""
    out = np.full((len(lengths), int(lengths.sum(axis=1).max()), mean.shape[-1]), np.nan)
    starts = np.concatenate([[0], np.cumsum(points)])
    for c, own in enumerate(lengths):
        parts = [_stretched(mean[c, starts[e] : starts[e + 1]], int(n)) for e, n in enumerate(own)]
        out[c, : own.sum()] = np.concatenate(parts)
    return out


def _stretched(values: Array, n: int) -> Array:
    """Values (time, unit) on n bins that last as long as theirs together."""
    have = len(values)
    if have == n:
        return values
    at = np.clip((np.arange(n) + 0.5) / n * have - 0.5, 0, have - 1)
    low = np.minimum(at.astype(np.int64), have - 1)
    high = np.minimum(low + 1, have - 1)
    part = (at - low)[:, None]
    return values[low] * (1 - part) + values[high] * part


def read_rows(
    activity: ArrayLike,
    epoch: ArrayLike,
    condition: ArrayLike,
    weight: ArrayLike,
    flags: ArrayLike,
) -> tuple[Rows, NDArray[np.bool_], NDArray[np.bool_]]:
    """Trials on one clock, epoch by epoch.

    A unit that was not observed in some bin of an epoch is left out of all trials, or the trials
    are, whichever leaves more; trials without all of the epochs are left out.

    Parameters
    ----------
    activity : array (row, time, unit)
        NaN where not observed.
    epoch : array (row, time)
    condition : array (row,)
        From 0 on; -1 for none.
    weight : array (row,)
        Trials that a row is of.
    flags : array (epoch,)
        Values of ``epoch``, in the order of the epochs in a trial.

    Returns
    -------
    rows : Rows
    kept : array of bool (row,)
    units : array of bool (unit,)

    Raises
    ------
    SolspaceError
        Where a condition has no trial left.

    Examples
    --------
    >>> epoch = np.array([[-1, 0, 0, 0, -1], [-1, 0, 0, 0, 0], [0, 0, -1, -1, -1]])
    >>> rows, kept, units = read_rows(np.ones((3, 5, 2)), epoch, [0, 0, 1], np.ones(3), [0])
    >>> rows.lengths.tolist(), rows.points.tolist(), rows.average().shape
    ([[4], [2]], [4], (2, 4, 2))
    """
    values = np.asarray(activity, np.float64)
    where, at = np.asarray(epoch), np.asarray(condition, np.int64)
    left_out: Counter[str] = Counter()
    kept = at >= 0
    if lost := int((~kept).sum()):
        left_out["trials of no condition"] += lost
    bounds = np.zeros((len(values), len(np.asarray(flags)), 2), np.int64)
    for e, flag in enumerate(np.asarray(flags)):
        inside = where == flag
        bounds[:, e, 0] = inside.argmax(axis=1)
        bounds[:, e, 1] = inside.shape[1] - inside[:, ::-1].argmax(axis=1)
        whole = inside.any(axis=1) & (bounds[:, e, 1] - bounds[:, e, 0] == inside.sum(axis=1))
        lost = int((kept & ~whole).sum())
        if lost:
            left_out["trials without all epochs, or with a hole in one"] += lost
        kept &= whole
    used = np.isin(where, np.asarray(flags))
    seen = np.all(np.isfinite(values) | ~used[..., None], axis=1)  # (row, unit)
    units = np.ones(values.shape[-1], bool)
    if not np.all(seen[kept]):
        all_trials = np.asarray(np.all(seen[kept], axis=0), bool)
        all_units = kept & np.asarray(np.all(seen, axis=1), bool)
        if all_trials.sum() * kept.sum() >= all_units.sum() * len(units):
            units = all_trials
            left_out["units not observed in all trials"] += int((~units).sum())
        else:
            left_out["trials not observed by all units"] += int((kept & ~all_units).sum())
            kept = all_units
    conditions = int(at.max(initial=-1)) + 1
    if missing := [c for c in range(conditions) if not (kept & (at == c)).any()]:
        told = "; ".join(f"{why}: {n}" for why, n in left_out.items()) or "it has none"
        raise SolspaceError(f"no trial of condition {missing[0]} is left ({told})")
    if not units.any() or not kept.any():
        told = "; ".join(f"{why}: {n}" for why, n in left_out.items())
        raise SolspaceError(f"no trial or unit is left ({told or 'the recording has none'})")
    size = bounds[..., 1] - bounds[..., 0]
    rows = np.flatnonzero(kept)
    lengths = np.array(
        [np.round(np.median(size[kept & (at == c)], axis=0)) for c in range(conditions)]
    ).astype(np.int64)
    points = lengths.max(axis=0)
    out = np.empty((len(rows), int(points.sum()), int(units.sum())))
    for k, i in enumerate(rows):
        parts = [
            _stretched(values[i, a:b][:, units], int(n))
            for (a, b), n in zip(bounds[i], points, strict=True)
        ]
        out[k] = np.concatenate(parts)
    found = Rows(
        out, at[rows], np.asarray(weight, np.float64)[rows], points, np.maximum(lengths, 1),
        left_out,
    )  # fmt: skip
    return found, kept, units


def fano_factor(rows: Rows, bin: float, kernel_sd: float) -> float:
    """Variance over mean of spike counts across trials of a condition; 1 where it cannot be told.

    Of rates smoothed by a Gaussian, a Poisson process of rate r has the variance
    ``r / (2 sqrt(pi) sd)``; of counts in bins of width w, ``r / w``. The variance measured is
    divided by that. It holds what changes from trial to trial as well.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(2.0, (400, 5, 3)) / 0.01
    >>> rows = Rows(counts, np.zeros(400, int), np.ones(400), np.array([5]), np.array([[5]]))
    >>> abs(fano_factor(rows, 10.0, 0.0) - 1) < 0.1
    True
    """
    spread, mean = 0.0, 0.0
    for c in range(len(rows.lengths)):
        own = rows.values[rows.condition == c]
        if len(own) >= REPEATED and (rows.weight[rows.condition == c] == 1).all():
            spread += float(own.var(axis=0, ddof=1).sum())
            mean += float(own.mean(axis=0).sum())
    if mean <= 0:
        return 1.0
    per = 1e3 / (2 * np.sqrt(np.pi) * kernel_sd) if kernel_sd > 0 else 1e3 / bin
    return float(np.clip(spread / mean / per, 0.2, 20.0))


def see(
    activity: Array,
    bounds: Labels,
    electrodes: Electrodes,
    rng: np.random.Generator,
) -> Array:
    """A network as the electrodes would see it: rates of some units, estimated from spikes.

    Each recorded unit is one of the network, drawn without its being drawn again as long as there
    are others, that fires at the mean rate of a recorded unit drawn likewise: ``r (a - l)`` over
    its mean, a being its activity and l the lowest possible (-1; 0 where none is below 0; the
    lowest there is where activity is not bounded by -1 and 1). Spikes in a bin are Poisson, summed
    over the trials that the average is of, with their variance scaled by the Fano factor.

    Parameters
    ----------
    activity : array (condition, step, unit)
    bounds : array (condition, epoch, 2) of int
        First step of each epoch, and the step after its last.
    electrodes : Electrodes
    rng : numpy.random.Generator

    Returns
    -------
    array (condition, time, unit)
        Spikes per second; NaN past the end of a condition.

    Examples
    --------
    >>> one = Electrodes(("all",), np.array([[30]]), np.array([4000.0]), np.full(2, 20.0), 1.0,
    ...                  10.0, 60.0)
    >>> activity = np.zeros((1, 15, 6))
    >>> seen = see(activity, np.array([[[0, 15]]]), one, np.random.default_rng(0))
    >>> seen.shape, bool(np.abs(seen - 20).max() < 2)
    ((1, 30, 2), True)
    """
    units = len(electrodes.rates)
    size = activity.shape[-1]
    drawn = np.concatenate([rng.permutation(size) for _ in range(-(-units // size))])[:units]
    rates = rng.permutation(electrodes.rates)
    lowest = float(activity.min())
    floor = 0.0 if lowest >= 0 else -1.0 if np.abs(activity).max() <= 1 + 1e-6 else lowest
    pad = padding(electrodes.kernel_sd, electrodes.bin) if electrodes.kernel_sd > 0 else 0
    parts = []
    for c, lengths in enumerate(electrodes.lengths):
        own = activity[c][:, drawn] - floor
        parts.append(
            np.concatenate(
                [_stretched(own[a:b], int(n)) for (a, b), n in zip(bounds[c], lengths, strict=True)]
            )
        )
    mean = np.concatenate(parts).mean(axis=0)
    # A unit that does nothing fires at its rate all the time.
    flat = mean < 1e-3
    out = np.full((len(parts), electrodes.steps, units), np.nan)
    for c, own in enumerate(parts):
        rate = rates * np.where(flat, 1.0, own / np.where(flat, 1.0, mean))
        rate = np.concatenate([np.repeat(rate[:1], pad, 0), rate, np.repeat(rate[-1:], pad, 0)])
        count = electrodes.trials[c] * electrodes.bin / 1e3 / electrodes.fano
        seen = rng.poisson(rate * count) / count
        if pad:
            bins = seen.T * electrodes.bin / 1e3
            smooth = smoothed(bins, np.ones(bins.shape, bool), electrodes.kernel_sd, electrodes.bin)
            seen = smooth.T[pad:-pad]
        out[c, : len(own)] = seen
    return out
