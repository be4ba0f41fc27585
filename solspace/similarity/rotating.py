"""The rotation that brings one linear map closest to another, searched for.

Finding the best orthogonal C for ``a`` and ``C b C'`` has no closed solution. What is found is an
upper bound of the distance, by searches from several rotations of which the best counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_angles"]

Array = NDArray[np.float64]

STILL = 1e-14  # of the inner product of maps of norm 1: a search that gains less has ended
STILL_STEPS = 20


def best_angles(
    a: Array, others: Array, *, iterations: int, restarts: int, seed: int
) -> tuple[Array, Array]:
    """Smallest angle found for each pair, and the rotation that gives it.

    Parameters
    ----------
    a : array of float (rank, rank)
    others : array of float (pair, rank, rank)
    iterations : int
        Steps of a search at most.
    restarts : int
        Random rotations to begin from, beside none and that of the symmetric parts.
    seed : int

    Returns
    -------
    angle : array of float (pair,)
        In radians.
    rotation : array of float (pair, rank, rank)
        C of ``C b C'``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, q = rng.normal(size=(5, 5)), np.linalg.qr(rng.normal(size=(5, 5)))[0]
    >>> best_angles(a, (q @ a @ q.T)[None], iterations=500, restarts=2, seed=0)[0].round(6)
    array([0.])
    """
    rank, pairs = len(a), len(others)
    # A pair is always searched in one direction, so that both orders give the same to the bit.
    swapped = np.array([_before(b, a) for b in others])
    first = np.where(swapped[:, None, None], others, a)
    second = np.where(swapped[:, None, None], a, others)
    first, second = _normalised(first), _normalised(second)
    starts = [np.broadcast_to(np.eye(rank), (pairs, rank, rank)), _by_symmetric(first, second)]
    rng = np.random.default_rng(seed)
    for _ in range(restarts):
        q, r = np.linalg.qr(rng.normal(size=(rank, rank)))
        starts.append(np.broadcast_to(q * np.sign(np.diag(r)), (pairs, rank, rank)))
    many = len(starts)
    found = _ascend(
        np.tile(first, (many, 1, 1)),
        np.tile(second, (many, 1, 1)),
        np.concatenate(starts),
        iterations,
    ).reshape(many, pairs, rank, rank)
    apart = np.linalg.norm(first - found @ second @ _t(found), axis=(-2, -1))
    best = apart.argmin(axis=0)
    at = np.arange(pairs)
    # By the chord and not the arc cosine, which has lost half of its digits near 0.
    angles = 2 * np.arcsin(np.clip(apart[best, at] / 2, 0.0, 1.0))
    rotations = found[best, at]
    return angles, np.where(swapped[:, None, None], _t(rotations), rotations)


def _before(one: Array, other: Array) -> bool:
    """Which of two maps comes first, by value: rounding changes it of next to none."""
    at = np.flatnonzero(one.ravel() != other.ravel())
    return bool(len(at) and one.ravel()[at[0]] < other.ravel()[at[0]])


def _t(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


def _normalised(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=(-2, -1), keepdims=True))


def _by_symmetric(a: Array, b: Array) -> Array:
    """The rotation between eigenvectors of the symmetric parts, with signs by the rest.

    It is exact for two maps that are rotations of one another and whose symmetric part has no
    eigenvalue twice. Signs are those of the leading eigenvector of what the antisymmetric parts
    gain by them.
    """
    v, w = (np.linalg.eigh(x + _t(x))[1] for x in (a, b))
    rests = [_t(q) @ (x - _t(x)) @ q for x, q in ((a, v), (b, w))]
    signs = np.sign(np.linalg.eigh(rests[0] * rests[1])[1][..., -1])
    signs[signs == 0] = 1.0
    return np.asarray((v * signs[..., None, :]) @ _t(w))


def _ascend(a: Array, b: Array, c: Array, iterations: int) -> Array:
    """Rotations from which no step leads up, from those given.

    A step takes the orthogonal factor of the gradient of the inner product of a and ``c b c'``,
    with a multiple of c added. With enough of c it leads up (the sum is convex in c, Journee et
    al. 2010); enough is found for each search by itself. What maps have of the identity no rotation
    changes, so it is left out.
    """
    eye = np.eye(a.shape[-1]) / a.shape[-1]
    a = a - np.trace(a, axis1=-2, axis2=-1)[:, None, None] * eye
    b = b - np.trace(b, axis1=-2, axis2=-1)[:, None, None] * eye
    c = np.array(c, np.float64)
    scale = np.linalg.norm(a, 2, axis=(-2, -1)) * np.linalg.norm(b, 2, axis=(-2, -1))
    shift = np.zeros(len(a))
    still = np.zeros(len(a), int)
    value = _inner(a, b, c)
    going = np.flatnonzero(scale > 0)
    for _ in range(iterations):
        if not len(going):
            break
        x, y, now = a[going], b[going], c[going]
        gradient = x @ now @ _t(y) + _t(x) @ now @ y + shift[going, None, None] * now
        u, _, vh = np.linalg.svd(gradient)
        step = u @ vh
        after = _inner(x, y, step)
        gain = after - value[going]
        up = gain >= 0
        c[going[up]], value[going[up]] = step[up], after[up]
        shift[going] = np.where(
            up, 0.8 * shift[going], np.maximum(2 * shift[going], 0.05 * scale[going])
        )
        # A step down says that the shift was too small, or that rounding is all there is to gain.
        stuck = up & (gain <= STILL) | ~up & (shift[going] > 8 * scale[going])
        still[going] = np.where(stuck, still[going] + 1, 0)
        going = going[still[going] < STILL_STEPS]
    return c


def _inner(a: Array, b: Array, c: Array) -> Array:
    return np.asarray(np.sum(a * (c @ b @ _t(c)), axis=(-2, -1)))
