"""Spikes about events: counted in half-open bins, smoothed, observed or not. Times in ms but where
said.

All times about an event are rounded to the nanosecond: 2.01 s after 2.00 s is 10 ms, not
9.99999999999979, and so in the bin that begins there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "bin_edges",
    "count_spikes",
    "epochs_of",
    "observed_bins",
    "own_times",
    "padding",
    "smoothed",
    "warped",
]

Array = NDArray[np.float64]

_DIGITS = 6  # of ms, a nanosecond
_REACH = 5.0  # standard deviations of the kernel


def bin_edges(start: float, bins: int, width: float) -> Array:
    """Edges of bins of one width.

    Examples
    --------
    >>> bin_edges(-0.2, 3, 0.1).tolist()
    [-0.2, -0.1, 0.0, 0.1]
    """
    return np.round(start + width * np.arange(bins + 1), _DIGITS) + 0.0


def count_spikes(times: ArrayLike, events: ArrayLike, edges: Array) -> Array:
    """Spikes of one unit in bins about events; a bin holds its first moment and not its last.

    Parameters
    ----------
    times : array (spike,)
        In seconds, sorted.
    events : array (trial,)
        In seconds.
    edges : array (bin + 1,)
        In ms after the event.

    Returns
    -------
    array (trial, bin)

    Examples
    --------
    >>> count_spikes([2.0, 2.01, 2.0299], [2.0], bin_edges(0, 3, 10)).tolist()
    [[1.0, 1.0, 1.0]]
    """
    times, events = np.asarray(times, np.float64), np.asarray(events, np.float64)
    out = np.zeros((len(events), len(edges) - 1))
    # A little more than the window, so that rounding decides and not this.
    first = np.searchsorted(times, events + edges[0] / 1e3 - 1e-6)
    last = np.searchsorted(times, events + edges[-1] / 1e3 + 1e-6)
    for i, (a, b) in enumerate(zip(first, last, strict=True)):
        after = np.round((times[a:b] - events[i]) * 1e3, _DIGITS)
        place = np.searchsorted(edges, after, side="right") - 1
        inside = (place >= 0) & (place < out.shape[1])
        out[i] = np.bincount(place[inside], minlength=out.shape[1])
    return out


def observed_bins(intervals: ArrayLike, events: ArrayLike, edges: Array) -> NDArray[np.bool_]:
    """Bins about events that lie in an observed interval as a whole, (trial, bin).

    Parameters
    ----------
    intervals : array (interval, 2)
        Start and stop in seconds. Those that touch count as one.
    events : array (trial,)
        In seconds.
    edges : array (bin + 1,)
        In ms after the event.

    Examples
    --------
    >>> observed_bins([[0, 2.015]], [2.0], bin_edges(-10, 3, 10)).tolist()
    [[True, True, False]]
    """
    spans = np.asarray(intervals, np.float64).reshape(-1, 2)
    events = np.asarray(events, np.float64)
    out = np.zeros((len(events), len(edges) - 1), bool)
    joined: list[list[float]] = []
    for start, stop in spans[np.argsort(spans[:, 0], kind="stable")].tolist():
        if joined and start <= joined[-1][1] + 1e-9:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    spans = np.array(joined).reshape(-1, 2)
    for i, event in enumerate(events):
        near = (spans[:, 1] > event + edges[0] / 1e3) & (spans[:, 0] < event + edges[-1] / 1e3)
        for start, stop in np.round((spans[near] - event) * 1e3, _DIGITS):
            out[i] |= (edges[:-1] >= start) & (edges[1:] <= stop)
    return out


def smoothed(counts: Array, observed: NDArray[np.bool_], sd: float, width: float) -> Array:
    """Spikes per second by a Gaussian kernel, of what was observed alone.

    The kernel is sampled at the middles of bins and cut at five standard deviations. Where a part
    of it lies on bins that were not observed it is divided by the rest of its sum, so that rates
    do not sink towards them.

    Parameters
    ----------
    counts : array (trial, bin)
    observed : bool array (trial, bin)
    sd, width : float
        Of the kernel, and of a bin, in ms; an sd of 0 leaves the counts unsmoothed.

    Returns
    -------
    array (trial, bin)
        NaN where not observed.

    Examples
    --------
    >>> even = smoothed(np.ones((1, 30)), np.ones((1, 30), bool), sd=30, width=10)
    >>> bool(np.allclose(even, 100))
    True
    """
    from scipy.ndimage import convolve1d

    seen = observed.astype(np.float64)
    spikes = np.where(observed, counts, 0.0)
    if sd > 0:
        reach = int(np.ceil(_REACH * sd / width))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * width / sd) ** 2)
        kernel /= kernel.sum()
        spikes, seen = (
            convolve1d(a, kernel, axis=1, mode="constant", cval=0.0) for a in (spikes, seen)
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = spikes / seen / width * 1e3
    return np.where(observed, rate, np.nan)


def padding(sd: float, width: float) -> int:
    """Bins before and after a window that the kernel reaches.

    Examples
    --------
    >>> padding(60, 10), padding(0, 10)
    (30, 0)
    """
    return int(np.ceil(_REACH * sd / width)) if sd > 0 else 0


def epochs_of(
    centres: Array, starts: NDArray[np.float64], stops: NDArray[np.float64], flags: ArrayLike
) -> NDArray[np.int8]:
    """The epoch that the middle of each bin lies in, (trial, time); -1 in none.

    Parameters
    ----------
    centres : array (time,)
    starts, stops : array (epoch, trial)
        An epoch holds its first moment and not its last; one with NaN is not there.
    flags : array (epoch,)
        The value of each.

    Raises
    ------
    ValueError
        Where two epochs of a trial overlap; the message says which, by position.

    Examples
    --------
    >>> epochs_of(np.arange(4.0), np.array([[0.0], [2.0]]), np.array([[2.0], [np.nan]]), [5, 6])
    array([[ 5,  5, -1, -1]], dtype=int8)
    """
    values = np.asarray(flags, np.int8)
    inside = (centres >= starts[..., None]) & (centres < stops[..., None])
    twice = inside.sum(axis=0) > 1
    if twice.any():
        trial, step = np.argwhere(twice)[0]
        one, other = np.flatnonzero(inside[:, trial, step])[:2]
        raise ValueError(f"{one} {other} {trial}")
    out = np.full(inside.shape[1:], -1, np.int8)
    for flag, here in zip(values, inside, strict=True):
        out[here] = flag
    return out


def own_times(wanted: Array, common: Array, events: Array) -> Array:
    """Times of a trial at times of the common clock, which has its events at ``common``.

    Examples
    --------
    >>> own_times(np.array([-1.0, 2.0, 5.0]), np.array([0.0, 4.0]), np.array([1.0, 9.0]))
    array([ 0.,  5., 10.])
    """
    before, after = wanted < common[0], wanted > common[-1]
    at = np.interp(wanted, common, events)
    at[before] = wanted[before] - common[0] + events[0]
    at[after] = wanted[after] - common[-1] + events[-1]
    return at


def warped(values: Array, centres: Array, own: Array, common: Array, wanted: Array) -> Array:
    """Trials on a common clock: linear between events, and as it was before the first and after
    the last.

    Parameters
    ----------
    values : array (trial, time, unit)
    centres : array (time,)
        Times of the values.
    own : array (trial, event)
        When events were in each trial, rising.
    common : array (event,)
        When they are to be.
    wanted : array (time,)
        Times of the result.

    Returns
    -------
    array (trial, wanted time, unit)
        Values between bins by a straight line; NaN where there are none.

    Examples
    --------
    >>> line = np.arange(10.0).reshape(1, 10, 1)
    >>> at = np.arange(10.0)
    >>> warped(line, at, np.array([[0.0, 8.0]]), np.array([0.0, 4.0]), np.arange(4.0))[0, :, 0]
    array([0., 2., 4., 6.])
    """
    out = np.full((len(values), len(wanted), values.shape[-1]), np.nan)
    for i, events in enumerate(own):
        at = own_times(wanted, common, events)
        place = np.clip(np.searchsorted(centres, at, side="right") - 1, 0, len(centres) - 2)
        share = (at - centres[place]) / (centres[place + 1] - centres[place])
        inside = (share >= -1e-9) & (share <= 1 + 1e-9)
        low, high = values[i, place], values[i, place + 1]
        mixed = low + share[:, None] * (high - low)
        # At a bin itself its neighbour, which may not be observed, says nothing.
        mixed = np.where(np.abs(share[:, None]) < 1e-9, low, mixed)
        mixed = np.where(np.abs(share[:, None] - 1) < 1e-9, high, mixed)
        out[i, inside] = mixed[inside]
    return out
