"""How many classes there are, seen and unseen, from how often each was seen.

Counts are of independent draws from one distribution over classes (the multinomial model): the
networks of a population, each trained from a seed of its own. ``f1`` and ``f2`` are how many
classes were seen once and twice; they tell what is still unseen (Good 1953). With n networks and S
classes seen, the formulas are

- classes unseen (Chao 1984; 1987): ``f0 = (n-1)/n f1^2 / (2 f2)``, and without classes seen twice
  the bias-corrected ``(n-1)/n f1 (f1-1) / 2``; a lower bound in expectation;
- sample coverage (Good-Turing; Chao & Jost 2012, Eq. 4a): ``C = 1 - f1/n A`` with
  ``A = (n-1) f1 / ((n-1) f1 + 2 f2)``;
- classes among m networks: below n by Hurlbert (1971), above n
  ``S + f0 (1 - (1 - f1/(n f0 + f1))^(m-n))`` (Colwell et al. 2012, Eq. 9);
- coverage of m networks: Chao & Jost (2012), Eq. 5 below n, ``1 - f1/n A^(m-n+1)`` above (Eq. 12).

References
----------
Chao (1984), Scand. J. Stat. 11:265. Chao (1987), Biometrics 43:783. Chao & Jost (2012), Ecology
93:2533. Chao et al. (2009), Ecology 90:1125. Chao et al. (2014), Ecol. Monogr. 84:45. Colwell et
al. (2012), J. Plant Ecol. 5:3. Esty (1983), Ann. Stat. 11:905. Good (1953), Biometrika 40:237.
Hurlbert (1971), Ecology 52:577.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = [
    "Estimate",
    "checked_counts",
    "checked_sizes",
    "coverage_curve",
    "coverage_interval",
    "estimated_shares",
    "networks_for_classes",
    "networks_for_coverage",
    "quantile",
    "rarefaction_curve",
    "unseen_classes",
]

Counts = NDArray[np.int64]
Curve = NDArray[np.float64]


class Estimate(NamedTuple):
    """An estimate with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def checked_counts(counts: ArrayLike) -> Counts:
    """Networks of each class that was seen; an error where they are no such numbers.

    Examples
    --------
    >>> checked_counts([3, 0, 1]).tolist()
    [3, 1]
    """
    given = np.asarray(counts)
    whole = given.dtype.kind in "iu" or (given.dtype.kind == "f" and (given % 1 == 0).all())
    if given.ndim != 1 or not whole or (given < 0).any():
        raise SolspaceError(
            "counts have to be how many networks each class has, such as [274, 61, 20, 19, 1]; "
            f"given {np.array2string(given, threshold=6)}"
        )
    seen = given[given > 0].astype(np.int64)
    n = int(seen.sum())
    if n < 2:
        raise SolspaceError(
            f"{n} network{'s' * (n != 1)} with a label; at least 2 are needed to say what share of "
            "the classes has been seen"
        )
    return seen


def _rare(counts: Counts) -> tuple[int, int, int, int]:
    """n, S, f1, f2."""
    return (
        int(counts.sum()),
        len(counts),
        int(np.count_nonzero(counts == 1)),
        int(np.count_nonzero(counts == 2)),
    )


def _unseen(n: int, f1: int, f2: int) -> float:
    if f2 > 0:
        return (n - 1) / n * f1**2 / (2 * f2)
    return (n - 1) / n * f1 * (f1 - 1) / 2


def _decay(n: int, f1: int, f2: int) -> float:
    """By what factor each further network makes the share of the unseen smaller (A above)."""
    if f2 > 0:
        return (n - 1) * f1 / ((n - 1) * f1 + 2 * f2)
    if f1 > 1:
        return (n - 1) * (f1 - 1) / ((n - 1) * (f1 - 1) + 2)
    # One class seen once and none twice. The line above would say that nothing is unseen; taken
    # as if one had been seen twice, the coverage is that of Good and Turing, all but 1/n.
    return (n - 1) / (n + 1)


def unseen_classes(counts: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """How many classes have not been seen, by Chao1; a lower bound in expectation.

    Parameters
    ----------
    counts : array of int (class,)
        Networks of each class.
    confidence : float
        Of the interval, which is log-normal above the classes seen (Chao 1987).

    Returns
    -------
    Estimate
        In classes. Without a class seen once the estimate is 0, and the interval is that of Chao
        (1987) for a complete census. It is an interval for the bound: classes that are all much
        rarer than one in n leave no trace in a sample.

    Examples
    --------
    Spiders of Ellison et al. (2010), where iNEXT reports 43.893 species (30.511 to 96.971), 26 of
    them seen:

    >>> girdled = [46, 22, 17, 15, 15, 9, 8, 6, 6, 4] + [2] * 4 + [1] * 12
    >>> [round(26 + x, 3) for x in unseen_classes(girdled)]
    [43.893, 30.511, 96.971]
    """
    seen = checked_counts(counts)
    z = quantile(confidence)
    n, s, f1, f2 = _rare(seen)
    f0, k = _unseen(n, f1, f2), (n - 1) / n
    if f2 > 0 and f1 > 0:
        r = f1 / f2
        variance = f2 * (k * r**2 / 2 + k**2 * r**3 + k**2 * r**4 / 4)
    elif f1 > 1:
        variance = (
            k * f1 * (f1 - 1) / 2
            + k**2 * f1 * (2 * f1 - 1) ** 2 / 4
            - k**2 * f1**4 / (4 * (s + f0))
        )
    else:
        # Nothing to extrapolate from: how often would classes as rare as these have been missed?
        values, times = np.unique(seen, return_counts=True)
        missed = float((times * np.exp(-values)).sum()) / s
        spread = (times * (np.exp(-values) - np.exp(-2.0 * values))).sum()
        spread -= (values * np.exp(-values) * times).sum() ** 2 / n
        width = z * np.sqrt(max(float(spread), 0.0))
        return Estimate(
            0.0,
            max(0.0, (s - width) / (1 - missed) - s),
            (s + width) / (1 - missed) - s,
        )
    factor = float(np.exp(z * np.sqrt(np.log1p(variance / f0**2))))
    return Estimate(f0, f0 / factor, f0 * factor)


def coverage_interval(counts: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """What share of all networks is of a class already seen (sample coverage).

    Parameters
    ----------
    counts : array of int (class,)
        Networks of each class.
    confidence : float
        Of the interval. Its upper end is by the variance of Esty (1983). Its lower end takes the
        classes seen once for a Poisson count, as widely spread as that variance says, so that it
        is below 1 also where there are none: 1 - 3.7/n at a confidence of 0.95.

    Returns
    -------
    Estimate
        From 0 to 1: the probability that a further network is of a class that was seen.

    Examples
    --------
    >>> girdled = [46, 22, 17, 15, 15, 9, 8, 6, 6, 4] + [2] * 4 + [1] * 12
    >>> [round(x, 4) for x in coverage_interval(girdled)]
    [0.9289, 0.8558, 0.9799]
    >>> [round(x, 4) for x in coverage_interval([200, 200])]
    [1.0, 0.9908, 1.0]
    """
    from scipy.special import gammaincinv

    seen = checked_counts(counts)
    n, _, f1, f2 = _rare(seen)
    z, tail = quantile(confidence), (1 + confidence) / 2
    missing = f1 / n * _decay(n, f1, f2)
    least = missing - z * np.sqrt(f1 * (1 - f1 / n) + 2 * f2) / n
    spread = (f1 + 2 * f2 + 1) / (f1 + 1)
    # A quantile of chi squared with 2 f1 / spread + 2 degrees of freedom, halved.
    most = gammaincinv(f1 / spread + 1, tail) * spread / n
    return Estimate(1 - missing, max(0.0, 1 - float(most)), min(1.0, 1 - float(least)))


def rarefaction_curve(counts: ArrayLike, sizes: ArrayLike) -> Curve:
    """How many classes a sample of so many networks has, on average.

    Parameters
    ----------
    counts : array of int (class,)
        Networks of each class.
    sizes : array of int (size,)
        Sizes of samples, from 1. Those below the number of networks are drawn from these
        (rarefaction), those above are extrapolated; beyond twice as many that is rough.

    Returns
    -------
    array (size,)
        Classes.

    Examples
    --------
    iNEXT's figures are 6.479 and 34.731:

    >>> girdled = [46, 22, 17, 15, 15, 9, 8, 6, 6, 4] + [2] * 4 + [1] * 12
    >>> rarefaction_curve(girdled, [1, 10, 168, 336]).round(3).tolist()
    [1.0, 6.479, 26.0, 34.731]
    """
    seen, at = checked_counts(counts), checked_sizes(sizes)
    n, s, f1, f2 = _rare(seen)
    values, times = np.unique(seen, return_counts=True)
    out = np.full(len(at), float(s))
    within = at < n
    m = at[within][:, None]
    out[within] = s - (times * _ratio(n - values, n, m)).sum(axis=1)
    f0 = _unseen(n, f1, f2)
    if f0 > 0:
        beyond = at > n
        rate = np.log1p(-f1 / (n * f0 + f1))
        out[beyond] = s - f0 * np.expm1((at[beyond] - n) * rate)
    return out


def coverage_curve(counts: ArrayLike, sizes: ArrayLike) -> Curve:
    """What share of all networks is of a class that a sample of so many has, on average.

    Parameters
    ----------
    counts : array of int (class,)
        Networks of each class.
    sizes : array of int (size,)
        As for `rarefaction_curve`.

    Returns
    -------
    array (size,)
        From 0 to 1.

    Examples
    --------
    iNEXT's figures are 0.122, 0.597, 0.929 and 0.964:

    >>> girdled = [46, 22, 17, 15, 15, 9, 8, 6, 6, 4] + [2] * 4 + [1] * 12
    >>> coverage_curve(girdled, [1, 10, 168, 336]).round(3).tolist()
    [0.122, 0.597, 0.929, 0.964]
    """
    seen, at = checked_counts(counts), checked_sizes(sizes)
    n, _, f1, f2 = _rare(seen)
    values, times = np.unique(seen, return_counts=True)
    out = np.empty(len(at))
    within = at < n
    m = at[within][:, None]
    out[within] = 1 - (times * values / n * _ratio(n - values, n - 1, m)).sum(axis=1)
    out[~within] = 1 - f1 / n * _decay(n, f1, f2) ** (at[~within] - n + 1.0)
    return out


def networks_for_coverage(counts: ArrayLike, target: float = 0.99) -> int:
    """How many networks have to be trained for a sample of this coverage, on average.

    Parameters
    ----------
    counts : array of int (class,)
        Networks of each class.
    target : float
        Coverage, below 1.

    Returns
    -------
    int
        All networks, with those there are; fewer than these where they were enough.

    Examples
    --------
    >>> networks_for_coverage([46, 22, 17, 15, 15, 9, 8, 6, 6, 4] + [2] * 4 + [1] * 12, 0.95)
    257
    """
    seen = checked_counts(counts)
    _check_share("target", target)
    n, _, f1, f2 = _rare(seen)
    decay = _decay(n, f1, f2)
    if f1 == 0 or 1 - f1 / n * decay >= target:
        return _smallest(lambda m: float(coverage_curve(seen, [m])[0]), target, n)
    more = np.log(n * (1 - target) / f1) / np.log(decay) - 1
    return n + int(np.ceil(more))


def networks_for_classes(counts: ArrayLike, share: float = 0.99) -> int:
    """How many networks have to be trained to see this share of all classes, on average.

    All classes are those that Chao1 estimates, so this is a lower bound as well. It is the size at
    which the extrapolated curve gets there, which Chao et al. (2009) approximate.

    Parameters
    ----------
    counts : array of int (class,)
        Networks of each class.
    share : float
        Of the classes, below 1.

    Returns
    -------
    int
        All networks, with those there are; fewer than these where they were enough.

    Examples
    --------
    >>> networks_for_classes([46, 22, 17, 15, 15, 9, 8, 6, 6, 4] + [2] * 4 + [1] * 12, 0.9)
    521
    """
    seen = checked_counts(counts)
    _check_share("share", share)
    n, s, f1, f2 = _rare(seen)
    f0 = _unseen(n, f1, f2)
    wanted = share * (s + f0)
    if s >= wanted:
        return _smallest(lambda m: float(rarefaction_curve(seen, [m])[0]), wanted, n)
    more = np.log1p(-(wanted - s) / f0) / np.log1p(-f1 / (n * f0 + f1))
    return n + int(np.ceil(more))


def estimated_shares(counts: ArrayLike) -> Curve:
    """Shares of all classes, the unseen ones with them, as these counts let them be estimated.

    What a bootstrap draws from (Chao et al. 2014, Appendix G): shares of rare classes are made
    smaller until the coverage is that of `coverage_interval`, and what is left goes to the unseen
    classes in equal parts.

    Parameters
    ----------
    counts : array of int (class,)
        Networks of each class.

    Returns
    -------
    array (class,)
        They sum to 1; classes seen first, in the order given, without those of no network.

    Examples
    --------
    >>> estimated_shares([8, 1, 1]).round(3).tolist()
    [0.8, 0.018, 0.018, 0.164]
    """
    seen = checked_counts(counts)
    n, _, f1, f2 = _rare(seen)
    # As many as the estimate, and at least one where some share is left for them.
    hidden = max(int(np.ceil(_unseen(n, f1, f2) - 1e-9)), 1) if f1 else 0
    observed = seen / n
    if not hidden:
        return observed
    missing = f1 / n * _decay(n, f1, f2)
    never = (1 - observed) ** n
    out = observed * (1 - missing / float((observed * never).sum()) * never)
    # Where nearly all were seen once the correction would take more than there is.
    out = np.maximum(out, 0)
    out *= (1 - missing) / out.sum()
    return np.concatenate([out, np.full(hidden, missing / hidden)])


# --------------------------------------------------------------------------- helpers


def _ratio(left: NDArray[np.int64], whole: int, m: NDArray[np.int64]) -> Curve:
    """C(left, m) / C(whole, m): chance that m of the whole are all among those left."""
    from scipy.special import gammaln

    enough = left >= m
    safe = np.where(enough, left, m)
    log = gammaln(safe + 1) - gammaln(safe - m + 1) - gammaln(whole + 1) + gammaln(whole - m + 1)
    return np.where(enough, np.exp(log), 0.0)


def _smallest(curve: Callable[[int], float], wanted: float, n: int) -> int:
    """The smallest sample that a rising curve says is enough; n is known to be."""
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if curve(middle) >= wanted else (middle, high)
    return high


def quantile(confidence: float) -> float:
    """How many standard deviations an interval of this confidence reaches to either side.

    Examples
    --------
    >>> round(quantile(0.95), 2)
    1.96
    """
    from scipy.special import ndtri

    _check_share("confidence", confidence)
    return float(ndtri((1 + confidence) / 2))


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise SolspaceError(f"{name}={value}; give a share between 0 and 1, such as {name}=0.95")


def checked_sizes(sizes: ArrayLike) -> NDArray[np.int64]:
    """Sizes of samples; an error where they are none.

    Examples
    --------
    >>> checked_sizes([1, 400]).tolist()
    [1, 400]
    """
    given = np.atleast_1d(np.asarray(sizes))
    if given.ndim != 1 or given.dtype.kind not in "iu" or (given < 1).any():
        raise SolspaceError(
            "sizes have to be numbers of networks from 1, such as [1, 100, 400, 800]; given "
            f"{np.array2string(given, threshold=6)}"
        )
    return given.astype(np.int64)
