"""Shapes of activity: Procrustes, canonical correlation, matched units, linear CKA.

Each measure is in two stages. ``prepare`` is what can be done of one network alone (centring,
norms, whitening), ``row`` one prepared network against many. All work on samples by units;
networks of fewer units count as having further ones that are silent, which no measure here sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from solspace.errors import SolspaceError

__all__ = [
    "Shape",
    "centred",
    "prepare_cka",
    "prepare_shape",
    "prepare_unit_norm",
    "row_cka",
    "row_cka_angular",
    "row_permutation",
    "row_permutation_euclidean",
    "row_procrustes",
    "row_procrustes_euclidean",
]

Array = NDArray[np.float64]

# Directions whose variance is below this share of the largest are rounding, and are not whitened.
RANK_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Shape:
    """One network's activity, ready to be compared.

    Attributes
    ----------
    x : array of float (sample, unit)
        Centred, and whitened or of norm 1 where the measure asks for it.
    norm : float
        What the measure divides by, or the Frobenius norm.
    """

    x: Array
    norm: float


def centred(x: Array) -> Array:
    """Activity (sample, unit) without each unit's mean.

    Raises
    ------
    SolspaceError
        Where nothing varies: no shape is left.
    """
    out = np.asarray(x, np.float64)
    out = out - out.mean(axis=0)
    scale = float(np.abs(x).max(initial=0.0))
    if not np.abs(out).max(initial=0.0) > 1e-12 * max(scale, np.finfo(np.float64).tiny):
        raise SolspaceError("the activity does not vary: no unit differs between samples")
    return out


def prepare_shape(x: Array, *, alpha: float = 1.0) -> Shape:
    """Centre, whiten in part, keep the norm.

    Each principal direction of standard deviation s (times the root of the number of samples) is
    multiplied by ``alpha + (1 - alpha) / s``, and the whole by what keeps the variance: 1 leaves
    the activity as it is (Procrustes), 0 makes all directions count alike (canonical correlation).

    Examples
    --------
    >>> x = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0], [4.0, 1.0]])
    >>> np.ptp(prepare_shape(x, alpha=0).x, axis=0).round(3).tolist()
    [2.915, 2.915]
    """
    if not 0 <= alpha <= 1:
        raise SolspaceError(
            f"alpha={alpha}; give 1 (Procrustes), 0 (canonical correlation) or a number between"
        )
    out = centred(x)
    if alpha < 1:
        u, s, vh = np.linalg.svd(out, full_matrices=False)
        kept = s > np.sqrt(RANK_TOLERANCE) * s[0]
        scaled = alpha * s[kept] + (1 - alpha)
        scaled *= np.linalg.norm(s) / np.linalg.norm(scaled)
        out = (u[:, kept] * scaled) @ vh[kept]
    return Shape(out, float(np.linalg.norm(out)))


def prepare_unit_norm(x: Array, *, alpha: float = 1.0) -> Shape:
    """As `prepare_shape`, divided by the norm: for angles, which know no scale."""
    shape = prepare_shape(x, alpha=alpha)
    return Shape(shape.x / shape.norm, 1.0)


def _products(a: Array, b: Array) -> Array:
    return a.T @ b


def _angle(cosine: Array) -> Array:
    return np.arccos(np.clip(cosine, -1.0, 1.0))


def _nuclear(a: Shape, others: Sequence[Shape]) -> Array:
    """Sum of the singular values of a'b, which the best rotation turns a'b's trace into."""
    sizes = {b.x.shape[1] for b in others}
    out = np.empty(len(others))
    for size in sizes:
        at = [i for i, b in enumerate(others) if b.x.shape[1] == size]
        stacked = np.stack([_products(a.x, others[i].x) for i in at])
        out[at] = np.linalg.svd(stacked, compute_uv=False).sum(axis=-1)
    return out


def _same(a: Shape, others: Sequence[Shape]) -> NDArray[np.bool_]:
    """Which others are the same numbers: an arc cosine near 1 has lost half of its digits."""
    return np.array(
        [a is b or (a.x.shape == b.x.shape and np.array_equal(a.x, b.x)) for b in others], bool
    )


def row_procrustes(a: Shape, others: Sequence[Shape]) -> Array:
    """Angle in radians between one network's activity and others' after the best rotation.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(30, 3))
    >>> rotated = x @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]) * 3 + 1
    >>> row_procrustes(prepare_unit_norm(x), [prepare_unit_norm(rotated)]).round(6).tolist()
    [0.0]
    """
    out = _angle(_nuclear(a, others))
    out[_same(a, others)] = 0.0
    return out


def row_procrustes_euclidean(a: Shape, others: Sequence[Shape]) -> Array:
    """Frobenius norm of the difference after the best rotation."""
    norms = np.array([b.norm for b in others])
    out = np.sqrt(np.maximum(a.norm**2 + norms**2 - 2 * _nuclear(a, others), 0.0))
    out[_same(a, others)] = 0.0
    return np.asarray(out)


def _matched(a: Shape, others: Sequence[Shape]) -> Array:
    """Trace of a'b with the units of b in the best order (Hungarian algorithm)."""
    out = np.empty(len(others))
    for i, b in enumerate(others):
        products = _products(a.x, b.x)
        # Of networks of unlike sizes a unit may stay alone: that is better than a negative match.
        size = max(products.shape)
        padded = np.zeros((size, size))
        padded[: products.shape[0], : products.shape[1]] = products
        out[i] = padded[linear_sum_assignment(padded, maximize=True)].sum()
    return out


def row_permutation(a: Shape, others: Sequence[Shape]) -> Array:
    """Angle in radians after the best one-to-one matching of units, which is found exactly.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(30, 3))
    >>> row_permutation(prepare_unit_norm(x), [prepare_unit_norm(x[:, [2, 0, 1]])]).round(6)
    array([0.])
    """
    out = _angle(_matched(a, others))
    out[_same(a, others)] = 0.0
    return out


def row_permutation_euclidean(a: Shape, others: Sequence[Shape]) -> Array:
    """Frobenius norm of the difference after the best one-to-one matching of units."""
    norms = np.array([b.norm for b in others])
    out = np.sqrt(np.maximum(a.norm**2 + norms**2 - 2 * _matched(a, others), 0.0))
    out[_same(a, others)] = 0.0
    return np.asarray(out)


def prepare_cka(x: Array) -> Shape:
    """Centre, and keep the norm of the covariance of the units."""
    out = centred(x)
    out /= np.linalg.norm(out)
    return Shape(out, float(np.linalg.norm(out.T @ out)))


def row_cka(a: Shape, others: Sequence[Shape]) -> Array:
    """Linear centred kernel alignment, 1 for the same up to rotation and scale.

    In units by units, which is the same number as with kernels of samples by samples.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(30, 3))
    >>> row_cka(prepare_cka(x), [prepare_cka(2 * x[:, ::-1])]).round(12).tolist()
    [1.0]
    """
    out = np.array([np.linalg.norm(_products(a.x, b.x)) ** 2 / (a.norm * b.norm) for b in others])
    out[_same(a, others)] = 1.0
    return np.clip(out, 0.0, 1.0)


def row_cka_angular(a: Shape, others: Sequence[Shape]) -> Array:
    """Angle in radians whose cosine linear CKA is."""
    return _angle(row_cka(a, others))
