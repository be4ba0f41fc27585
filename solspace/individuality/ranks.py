"""Rank correlations within strata, with permutations for all pairs at once.

Numbers of networks are ranked within strata, such as networks of one size, so that what size does
to both is no correlation of theirs. Ranks of each stratum have mean 0 and variance 1; the mean
product of two columns is then the mean of Spearman's rho over strata, weighted by their networks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = ["PermutedRho", "bootstrap_rho", "permute_rho", "stratified_ranks", "stratified_rho"]

_AT_ONCE = 4_000_000  # numbers of permuted ranks held at a time
_ROUNDING = 1e-12  # differences of rho that are rounding


def stratified_ranks(values: ArrayLike, strata: ArrayLike) -> NDArray[np.float64]:
    """Ranks within strata, of mean 0 and variance 1 in each; ties share their mean rank.

    Parameters
    ----------
    values : array_like (network, measure)
    strata : array_like (network,)

    Returns
    -------
    array (network, measure)
        Zero where all of a stratum have one value.

    Examples
    --------
    >>> stratified_ranks([[3.0], [1.0], [50.0], [90.0]], [0, 0, 1, 1]).ravel()
    array([ 1., -1., -1.,  1.])
    """
    from scipy.stats import rankdata

    x, groups = np.asarray(values, np.float64), np.asarray(strata)
    out = np.empty_like(x)
    for group in np.unique(groups):
        own = groups == group
        ranks = rankdata(x[own], axis=0)
        ranks -= ranks.mean(axis=0)
        spread = np.sqrt(np.square(ranks).mean(axis=0))
        out[own] = ranks / np.where(spread > 0, spread, 1)
    return out


def stratified_rho(one: ArrayLike, other: ArrayLike, strata: ArrayLike) -> NDArray[np.float64]:
    """Spearman's rho of all pairs of columns, the mean over strata, (measure, other measure).

    Parameters
    ----------
    one : array_like (network, measure)
    other : array_like (network, other measure)
    strata : array_like (network,)

    Examples
    --------
    >>> stratified_rho([[1.0], [2.0], [3.0]], [[5.0], [6.0], [9.0]], [0, 0, 0]).round(3)
    array([[1.]])
    """
    a, b = stratified_ranks(one, strata), stratified_ranks(other, strata)
    return np.asarray(a.T @ b / len(a))


class PermutedRho(NamedTuple):
    """Correlations beside those of networks that are permuted.

    Attributes
    ----------
    rho : array (measure, other measure)
    p : array (measure, other measure)
        Share of permutations in which the pair is correlated as much, two-sided.
    corrected : array (measure, other measure)
        Share of permutations in which any pair is (Westfall & Young 1993, single step).
    threshold : float
        Correlation that 5 % of permutations reach in any pair.
    """

    rho: NDArray[np.float64]
    p: NDArray[np.float64]
    corrected: NDArray[np.float64]
    threshold: float


def permute_rho(
    one: ArrayLike, other: ArrayLike, strata: ArrayLike, permutations: int = 10_000, seed: int = 0
) -> PermutedRho:
    """Correlate all pairs of columns, and as many times networks permuted within strata.

    Parameters
    ----------
    one : array_like (network, measure)
    other : array_like (network, other measure)
    strata : array_like (network,)
    permutations : int
    seed : int

    Returns
    -------
    PermutedRho

    Raises
    ------
    SolspaceError
        For columns that do not fit together or are not finite, and less than one permutation.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 2))
    >>> found = permute_rho(x, x[:, :1] + rng.normal(size=(60, 1)), np.repeat([0, 1], 30), 500)
    >>> found.corrected.ravel() < 0.05
    array([ True, False])
    """
    x, y, groups = _checked(one, other, strata)
    if permutations < 1 or seed < 0:
        raise SolspaceError(
            f"{permutations} permutations, seed {seed}; give 1 or more, a seed from 0 on"
        )
    a, b = stratified_ranks(x, groups), stratified_ranks(y, groups)
    n = len(a)
    rho = a.T @ b / n
    size = np.abs(rho)
    as_large, any_as_large = np.zeros(rho.shape, np.int64), np.zeros(rho.shape, np.int64)
    largest = np.empty(permutations)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    step = max(1, _AT_ONCE // b.size)
    for first in range(0, permutations, step):
        count = min(step, permutations - first)
        order = np.empty((count, n), np.int64)
        for own in members:
            order[:, own] = own[np.argsort(rng.random((count, len(own))), axis=1)]
        # One product for all: (measure, network) by (network, permutation * other measure).
        permuted = b[order].transpose(1, 0, 2).reshape(n, -1)
        null = np.abs(a.T @ permuted / n).reshape(len(rho), count, -1)
        as_large += (null >= size[:, None] - _ROUNDING).sum(axis=1)
        top = null.max(axis=(0, 2))
        largest[first : first + count] = top
        any_as_large += (top >= size[..., None] - _ROUNDING).sum(axis=-1)
    return PermutedRho(
        rho,
        (1 + as_large) / (1 + permutations),
        (1 + any_as_large) / (1 + permutations),
        float(np.quantile(largest, 0.95)),
    )


def bootstrap_rho(
    one: ArrayLike,
    other: ArrayLike,
    strata: ArrayLike,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intervals of all correlations by drawing networks again, within strata.

    Parameters
    ----------
    one : array_like (network, measure)
    other : array_like (network, other measure)
    strata : array_like (network,)
    draws, seed : int
    level : float

    Returns
    -------
    low, high : array (measure, other measure)
        Percentiles.

    Examples
    --------
    >>> x = np.arange(40.0)[:, None]
    >>> low, high = bootstrap_rho(x, x + 5 * (x % 7), np.zeros(40), draws=200)
    >>> bool(low.item() > 0.6), bool(high.item() <= 1)
    (True, True)
    """
    x, y, groups = _checked(one, other, strata)
    both, k = np.concatenate([x, y], axis=1), x.shape[1]
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = np.empty((draws, k, y.shape[1]))
    for d in range(draws):
        drawn = np.concatenate([own[rng.integers(len(own), size=len(own))] for own in members])
        ranks = stratified_ranks(both[drawn], groups[drawn])
        found[d] = ranks[:, :k].T @ ranks[:, k:] / len(ranks)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _checked(
    one: ArrayLike, other: ArrayLike, strata: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.generic]]:
    x, y, groups = np.asarray(one, np.float64), np.asarray(other, np.float64), np.asarray(strata)
    if (
        x.ndim != 2
        or y.ndim != 2
        or not len(x) == len(y) == len(groups)
        or not x.size
        or not y.size
    ):
        raise SolspaceError(
            f"numbers of shape {x.shape} and {y.shape}, strata {groups.shape}; give (network, "
            "measure) twice, of the same networks, and (network,)"
        )
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise SolspaceError("numbers hold NaN or infinity; leave these networks out first")
    return x, y, groups
