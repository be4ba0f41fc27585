"""How well all numbers from inside together tell those of behaviour, of networks held out.

Each number of behaviour is predicted by ridge regression from all from inside. Single correlations
may be too small to be seen and yet add up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = ["HeldOut", "predict_held_out"]

PENALTIES = tuple(10.0**k for k in range(-1, 6))


class HeldOut(NamedTuple):
    """How much of each target is told of networks that were held out.

    Attributes
    ----------
    r2 : array (target,)
        1 less the squared error relative to that of the mean; under 0 where the mean is better.
    p : array (target,)
        Share of permutations with as much.
    corrected : array (target,)
        Share of permutations with as much of any target.
    """

    r2: NDArray[np.float64]
    p: NDArray[np.float64]
    corrected: NDArray[np.float64]


def predict_held_out(
    inside: ArrayLike,
    targets: ArrayLike,
    strata: ArrayLike,
    *,
    folds: int = 10,
    permutations: int = 1000,
    seed: int = 0,
) -> HeldOut:
    """Predict columns by ridge regression, networks held out, beside permuted ones.

    The penalty of each target is the one with the least leave-one-out error among the networks that
    are not held out.

    Parameters
    ----------
    inside : array_like (network, measure)
        Of mean 0 in each stratum, as ranks are (`stratified_ranks`).
    targets : array_like (network, target)
        Likewise.
    strata : array_like (network,)
        Networks are permuted within these, and folds have equal shares of each.
    folds, permutations, seed : int

    Returns
    -------
    HeldOut

    Raises
    ------
    SolspaceError
        For columns that do not fit together or are not finite, and fewer networks than folds.

    References
    ----------
    Leave-one-out errors from one decomposition: Golub, Heath & Wahba, Technometrics 1979.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(80, 3))
    >>> y = np.stack([x.sum(axis=1) + rng.normal(size=80), rng.normal(size=80)], axis=1)
    >>> found = predict_held_out(x, y, np.zeros(80), permutations=99)
    >>> found.r2.round(1), found.p < 0.05
    (array([ 0.7, -0. ]), array([ True, False]))
    """
    x, y, groups = np.asarray(inside, float), np.asarray(targets, float), np.asarray(strata)
    if x.ndim != 2 or y.ndim != 2 or not len(x) == len(y) == len(groups):
        raise SolspaceError(
            f"numbers of shape {x.shape} and {y.shape}; give (network, measure) twice"
        )
    if not 2 <= folds <= len(x) or permutations < 1:
        raise SolspaceError(
            f"{folds} folds of {len(x)} networks, {permutations} permutations; give 2 or more "
            "folds and no more than networks, 1 or more permutations"
        )
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise SolspaceError("numbers hold NaN or infinity; leave these networks out first")
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    shuffled = np.concatenate([rng.permutation(own) for own in members])
    fold = np.empty(len(x), np.int64)
    fold[shuffled] = np.arange(len(x)) % folds
    parts = [_Part(x, fold == k) for k in range(folds)]
    r2 = _r2(parts, y)
    as_large, any_as_large = np.zeros(y.shape[1], np.int64), np.zeros(y.shape[1], np.int64)
    step = max(1, 400_000 // y.size)
    for first in range(0, permutations, step):
        count = min(step, permutations - first)
        order = np.empty((count, len(x)), np.int64)
        for own in members:
            order[:, own] = own[np.argsort(rng.random((count, len(own))), axis=1)]
        null = _r2(parts, y[order].transpose(1, 0, 2).reshape(len(x), -1)).reshape(count, -1)
        as_large += (null >= r2 - 1e-12).sum(axis=0)
        any_as_large += (null.max(axis=1)[:, None] >= r2 - 1e-12).sum(axis=0)
    return HeldOut(r2, (1 + as_large) / (1 + permutations), (1 + any_as_large) / (1 + permutations))


class _Part:
    """One fold: what of the regression does not depend on the targets."""

    def __init__(self, x: NDArray[np.float64], out: NDArray[np.bool_]) -> None:
        self.out, self.kept = out, ~out
        mean = x[self.kept].mean(axis=0)
        self.u, s, vt = np.linalg.svd(x[self.kept] - mean, full_matrices=False)
        self.shrink = [s**2 / (s**2 + penalty) for penalty in PENALTIES]
        self.held = [((x[out] - mean) @ vt.T) * (s / (s**2 + penalty)) for penalty in PENALTIES]
        n = int(self.kept.sum())
        # The intercept is fitted too, so that each network counts for 1/n more.
        self.leverage = [(self.u**2 * own).sum(axis=1) + 1 / n for own in self.shrink]

    def predict(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = y[self.kept].mean(axis=0)
        centred = y[self.kept] - mean
        along = self.u.T @ centred
        errors = np.empty((len(PENALTIES), y.shape[1]))
        for k, (own, leverage) in enumerate(zip(self.shrink, self.leverage, strict=True)):
            left = centred - self.u @ (own[:, None] * along)
            errors[k] = np.square(left / (1 - leverage)[:, None]).sum(axis=0)
        best = errors.argmin(axis=0)
        out = np.empty((int(self.out.sum()), y.shape[1]))
        for k, held in enumerate(self.held):
            own = best == k
            out[:, own] = held @ along[:, own] + mean[own]
        return out


def _r2(parts: list[_Part], y: NDArray[np.float64]) -> NDArray[np.float64]:
    wrong, mean_wrong = np.zeros(y.shape[1]), np.zeros(y.shape[1])
    for part in parts:
        wrong += np.square(y[part.out] - part.predict(y)).sum(axis=0)
        mean_wrong += np.square(y[part.out] - y[part.kept].mean(axis=0)).sum(axis=0)
    return np.asarray(1 - wrong / np.where(mean_wrong > 0, mean_wrong, np.inf))
