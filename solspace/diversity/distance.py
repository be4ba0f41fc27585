"""How far two histograms over the same classes are apart, and how far chance takes them.

Total variation is half the sum of the differences of shares: the share of networks that would have
to be of another class to make the histograms alike. Between two samples it is too large on average,
the more so the more classes there are and the smaller the samples: chance differences have no sign.
What is said here of the distance itself is therefore by what samples of known distributions give.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = ["Distance", "total_variation"]

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]

# Steps between one distribution and the two that were counted, and beyond these.
BETWEEN, BEYOND = 24, 8
FARTHEST = 1.6


class Distance(NamedTuple):
    """Total variation between two samples and the distributions they come from.

    Attributes
    ----------
    counted : float
        Between the samples as they are.
    estimate, low, high : float
        Between the distributions: without the bias, and the ends of an interval. ``low`` is 0
        where both may be one distribution.
    floor, floor_high : float
        Between two samples of these sizes from one distribution: mean, and 95th percentile.
    p_value : float
        How often samples from one distribution are at least as far apart.
    """

    counted: float
    estimate: float
    low: float
    high: float
    floor: float
    floor_high: float
    p_value: float


def total_variation(
    one: ArrayLike,
    other: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Distance:
    """Total variation distance of two histograms over the same classes, with its sampling error.

    Chance is dealt out twice. *One distribution*: the networks of both are dealt anew into samples
    of these sizes (a permutation test), which gives the floor and the p value. *Two*: pairs of
    distributions from equal to farther apart than counted, on the way of which differences go first
    that chance explains best (each is made smaller by the same number of its standard errors);
    the interval is of those under which a distance as counted is neither among the smallest nor
    among the largest samples give, and the estimate the one under which it is the median.

    Parameters
    ----------
    one, other : array of int (class,)
        Networks of each class, the classes in the same order.
    confidence : float
        Of the interval.
    resamples : int
        Samples drawn for each of the two, and for each pair of distributions.
    seed : int
        Of these draws.

    Returns
    -------
    Distance

    Raises
    ------
    SolspaceError
        For other than two rows of as many counts, or a sample without networks.

    Examples
    --------
    >>> same = total_variation([200, 150, 50], [204, 143, 53])
    >>> f"{same.counted:.4f}", same.low, same.p_value > 0.5
    ('0.0175', 0.0, True)
    >>> apart = total_variation([300, 100], [150, 250])
    >>> round(apart.counted, 3), 0.25 < apart.low < 0.375 < apart.high < 0.5
    (0.375, True)
    """
    a, b = _checked(one, other)
    if not 0 < confidence < 1:
        raise SolspaceError(
            f"confidence={confidence}; give a share between 0 and 1, such as confidence=0.95"
        )
    if resamples < 20:
        raise SolspaceError(f"resamples={resamples}; give 20 or more, such as 1000")
    some = (a + b) > 0
    a, b = a[some], b[some]
    rng = np.random.default_rng(seed)
    n, m = int(a.sum()), int(b.sum())
    counted = _gap(a[None], b[None])[0]
    dealt = rng.multivariate_hypergeometric(a + b, n, size=resamples, method="marginals")
    chance = _gap(dealt, a + b - dealt)
    scale = 1 / (2 * n * m)
    tail = (1 - confidence) / 2
    tails = (tail, 0.5, 1 - tail)
    pairs = _between(a, b)
    quantiles = np.empty((len(tails), len(pairs)))
    for i, (p, q) in enumerate(pairs):
        gaps = _gap(rng.multinomial(n, p, size=resamples), rng.multinomial(m, q, size=resamples))
        quantiles[:, i] = np.quantile(gaps, tails)
    apart = np.array([0.5 * np.abs(p - q).sum() for p, q in pairs])
    order = np.argsort(apart, kind="stable")
    # How far apart distributions are for which each of the three is what was counted.
    high, estimate, low = (
        float(np.interp(counted, rising, apart[order])) if counted > rising[0] else 0.0
        for rising in np.maximum.accumulate(quantiles[:, order], axis=1)
    )

    floor = float(chance.mean() * scale)
    return Distance(
        counted=float(counted * scale),
        estimate=estimate,
        low=low,
        # Samples do not show distributions to be closer than chance takes samples apart.
        high=max(high, floor),
        floor=floor,
        floor_high=float(np.quantile(chance, 0.95) * scale),
        p_value=float((1 + (chance >= counted).sum()) / (1 + resamples)),
    )


def _gap(one: Counts, other: Counts) -> NDArray[np.int64]:
    """Distance times 2 n m of rows of counts: whole numbers, so that equal ones are equal."""
    n, m = int(one[0].sum()), int(other[0].sum())
    return np.asarray(np.abs(one * m - other * n).sum(axis=1))


def _between(one: Counts, other: Counts) -> list[tuple[Shares, Shares]]:
    """Pairs of distributions from equal over those counted to farther apart."""
    n, m = int(one.sum()), int(other.sum())
    pooled = (one + other) / (n + m)
    difference = one / n - other / m
    error = np.sqrt(pooled * (1 / n + 1 / m))
    size = np.abs(difference)
    gaps = [
        _balanced(np.sign(difference) * np.maximum(size - errors * error, 0))
        for errors in np.linspace((size / error).max(), 0, BETWEEN)
    ]
    gaps += [difference * factor for factor in np.linspace(1, FARTHEST, BEYOND + 1)[1:]]
    out = []
    for gap in gaps:
        p = np.maximum(pooled + gap * m / (n + m), 0)
        q = np.maximum(pooled - gap * n / (n + m), 0)
        out.append((p / p.sum(), q / q.sum()))
    return out


def _balanced(difference: Shares) -> Shares:
    """Differences of shares that sum to 0, the larger side made smaller."""
    up, down = np.maximum(difference, 0), np.maximum(-difference, 0)
    total = min(up.sum(), down.sum())
    if total <= 0:
        return np.zeros_like(difference)
    return np.asarray(up * (total / up.sum()) - down * (total / down.sum()))


def _checked(one: ArrayLike, other: ArrayLike) -> tuple[Counts, Counts]:
    a, b = np.asarray(one), np.asarray(other)
    for counts in (a, b):
        if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any():
            raise SolspaceError(
                "a histogram is how many networks each class has, such as [274, 61, 0, 19]; given "
                f"{np.array2string(counts, threshold=6)}"
            )
        if not counts.sum():
            raise SolspaceError("a histogram without networks has no distance to another")
    if len(a) != len(b):
        raise SolspaceError(
            f"histograms of {len(a)} and {len(b)} classes; give both over the same classes, with 0 "
            "where there is no network"
        )
    return a.astype(np.int64), b.astype(np.int64)
