"""Chains of states: free runs cut where they come to rest or come round.

A chain is a stretch of one trajectory, one state a time step. Where the network runs round a
limit cycle the chain ends in a loop: its last state flows back to an earlier one.

Source of the rules and of every number: Turner, Dabholkar & Barak (NeurIPS 2021), as published
with their networks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.reduction.graph import ReductionError

__all__ = [
    "Chain",
    "autocorrelation_loop",
    "free_chain_loop",
    "prominent_peaks",
    "return_lags",
    "speeds",
    "steps_to_rest",
]

FREE_STEPS = 500
REST_SPEED = 5e-5
LOOP_FROM = 100  # the transient in which no limit cycle is looked for
RETURN_PROMINENCE = 0.1
CORRELATION_PROMINENCE = 0.05


@dataclass(frozen=True)
class Chain:
    """One stretch of a trajectory.

    Attributes
    ----------
    states : array (time, state)
    output : array (time,)
    loop : int
        Index that the last state flows back to; -1 where the chain has an end.
    """

    states: NDArray[np.float64]
    output: NDArray[np.float64]
    loop: int = -1

    def __len__(self) -> int:
        return len(self.states)

    def at(self, index: int) -> NDArray[np.float64]:
        """The state at an index."""
        if not 0 <= index < len(self):
            where = f"step {index}" if index >= 0 else "no step"
            raise ReductionError(
                f"a pulse was to be given at {where} of a stretch of {len(self)} steps"
            )
        return self.states[index]

    def part(self, start: int, stop: int | None = None) -> Chain:
        """The stretch between two indices, without a loop."""
        return Chain(self.states[start:stop], self.output[start:stop])

    def closed(self, loop: tuple[int, int] | None) -> Chain:
        """The chain cut before index ``loop[0]``, which is taken for ``loop[1]``."""
        if loop is None:
            return self
        stop, entry = loop
        return Chain(self.states[:stop], self.output[:stop], entry)


@njit(cache=True, nogil=True)
def speeds(states):  # type: ignore[no-untyped-def]
    """Distance between each state and the next; the last is given the speed of the one before.

    Parameters
    ----------
    states : array (time, state)

    Returns
    -------
    array (time,)

    Examples
    --------
    >>> speeds(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])).tolist()
    [5.0, 1.0, 1.0]
    """
    n, size = states.shape
    speed = np.zeros(n)
    for i in range(n - 1):
        square = 0.0
        for u in range(size):
            square += (states[i + 1, u] - states[i, u]) ** 2
        speed[i] = np.sqrt(square)
    if n > 1:
        speed[n - 1] = speed[n - 2]
    return speed


def steps_to_rest(states: NDArray[np.float64]) -> int:
    """Number of states before the first that moves by less than `REST_SPEED` (rms over units).

    Examples
    --------
    >>> steps_to_rest(0.1 ** np.arange(8.0)[:, None])
    5
    """
    slow = np.flatnonzero(speeds(states) < REST_SPEED * np.sqrt(states.shape[1]))
    return int(slow[0]) if slow.size else len(states)


@njit(cache=True, nogil=True)
def _next_peak(x, prominence, past):  # type: ignore[no-untyped-def]
    """Index of the first local maximum past an index that stands out; -1 where none does."""
    n = x.size
    i = past + 1
    while i < n - 1:
        if x[i - 1] < x[i]:
            ahead = i + 1
            while ahead < n - 1 and x[ahead] == x[i]:
                ahead += 1
            if x[ahead] < x[i]:
                peak = (i + ahead - 1) // 2
                low_left = x[peak]
                k = peak
                while k >= 0 and x[k] <= x[peak]:
                    low_left = min(low_left, x[k])
                    k -= 1
                # The side that has been looked at decides most: most minima are shallow.
                if x[peak] - low_left >= prominence:
                    low_right = x[peak]
                    k = peak
                    while k < n and x[k] <= x[peak]:
                        low_right = min(low_right, x[k])
                        k += 1
                    if x[peak] - max(low_left, low_right) >= prominence:
                        return peak
                i = ahead
        i += 1
    return -1


def prominent_peaks(x: NDArray[np.float64], prominence: float) -> NDArray[np.int64]:
    """Indices of the local maxima that stand out by at least a prominence.

    The same as ``scipy.signal.find_peaks(x, prominence=prominence)[0]``: a flat top counts once,
    at its middle.

    Parameters
    ----------
    x : array (n,)
    prominence : float

    Examples
    --------
    >>> prominent_peaks(np.array([0.0, 2.0, 1.9, 3.0, 3.0, 3.0, 1.0]), 0.5)
    array([4])
    """
    peaks: list[int] = []
    # What follows of a flat top does not rise.
    while (peak := _next_peak(x, prominence, peaks[-1] if peaks else 0)) >= 0:
        peaks.append(peak)
    return np.array(peaks, np.int64)


@njit(cache=True, nogil=True)
def return_lags(states):  # type: ignore[no-untyped-def]
    """For each state the lag of the first later one that comes back near it; 0 where none does.

    A return is a minimum of the distance with a prominence of at least 0.1.

    Parameters
    ----------
    states : array (time, state)

    Returns
    -------
    array (time,), int64
    """
    n, size = states.shape
    by_unit = states.T.copy()  # so that the inner loop runs over time and vectorises
    closeness = np.empty(n)
    lags = np.zeros(n, np.int64)
    for i in range(n - 3):
        ahead = closeness[: n - i - 1]
        ahead[:] = 0.0
        for u in range(size):
            here = by_unit[u, i]
            later = by_unit[u, i + 1 :]
            for j in range(ahead.size):
                step = later[j] - here
                ahead[j] += step * step
        for j in range(ahead.size):
            ahead[j] = -np.sqrt(ahead[j])
        # Past 0, as lags are so far: for that number written here it would be compiled once more.
        lags[i] = _next_peak(ahead, RETURN_PROMINENCE, lags[i]) + 1
    return lags


def free_chain_loop(states: NDArray[np.float64]) -> tuple[int, int] | None:
    """Where a free run comes round: index that is cut and the index it is taken for.

    The commonest lag at which states return is the period, if it is longer than 20 steps and a
    third of the states that can return do so after just that many steps.

    Parameters
    ----------
    states : array (time, state)

    Returns
    -------
    (stop, entry) or None

    Examples
    --------
    >>> phase = 2 * np.pi * np.arange(400) / 40
    >>> free_chain_loop(np.stack([np.cos(phase), np.sin(phase)], axis=1))
    (140, 100)
    """
    late = states[LOOP_FROM:]
    if len(late) < 4:
        return None
    # The published rule for a run of exactly 200 steps.
    shortest = 2 if len(states) == 2 * LOOP_FROM else 20
    lags = return_lags(np.ascontiguousarray(late))
    for lag, count in Counter(lags.tolist()).most_common(10):
        if lag > shortest and count > 10:
            if len(late) - lag > 3 * count:
                return None
            entry = LOOP_FROM + int(np.flatnonzero(lags == lag)[0])
            return entry + lag, entry
    return None


def autocorrelation_loop(states: NDArray[np.float64]) -> tuple[int, int] | None:
    """Where a short stretch of a trial comes round, as `free_chain_loop`.

    Candidate periods are lags between peaks of the autocorrelation of the first principal
    component; a period holds from the first state on whose every later repetition is near it.

    Parameters
    ----------
    states : array (time, state)

    Returns
    -------
    (stop, entry) or None

    Examples
    --------
    >>> phase = 2 * np.pi * np.arange(19) / 6
    >>> autocorrelation_loop(np.stack([np.cos(phase), np.sin(phase)], axis=1))
    (12, 0)
    """
    periods = _autocorrelation_periods(states)
    if periods:
        stop, entry = _first_repetition(
            np.ascontiguousarray(states), speeds(states), np.array(periods)
        )
        if stop >= 0:
            return int(stop), int(entry)
    return None


def _autocorrelation_periods(states: NDArray[np.float64]) -> list[int]:
    centered = states - states.mean(axis=0)
    _, values, axes = np.linalg.svd(centered, full_matrices=False)
    if values[0] == 0:
        return []
    component = centered @ axes[0]
    n = len(component)
    # Lags n-1 down to 0: peaks come in order of falling lag, and lag 0 is no peak.
    correlation = np.correlate(component, component, mode="full")[:n]
    correlation = np.maximum(correlation / correlation.max(), 0.0)
    peaks = prominent_peaks(correlation, CORRELATION_PROMINENCE)
    if not peaks.size:
        return []
    if peaks.size < 6:
        return [int(n - 1 - peaks[0])]
    counts = np.bincount(np.concatenate([np.diff(peaks), np.diff(peaks[::2])]))
    common = np.argsort(counts, kind="stable")[-4:]
    return [int(lag) for lag in common[::-1] if counts[lag] > 1]


@njit(cache=True, nogil=True)
def _first_repetition(states, speed, periods):  # type: ignore[no-untyped-def]
    n = states.shape[0]
    for period in periods:
        if period <= 0:
            continue
        for i in range(max(n - 200, 0), n - period):
            holds = True
            for j in range(i + period, n, period):
                distance = 0.0
                for u in range(states.shape[1]):
                    distance += (states[i, u] - states[j, u]) ** 2
                distance = np.sqrt(distance)
                near = distance < 1 and 2 * distance < speed[i] + speed[j]
                alike = speed[i] < 10 * speed[j] and speed[j] < 10 * speed[i]
                if not (distance < 1e-5 or (near and alike)):
                    holds = False
                    break
            if holds:
                return i + period, i
    return -1, -1
