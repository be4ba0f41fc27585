"""Dynamical similarity: a linear model of delayed activity for each network, then pairs of models.

The model is HAVOK's: activity and its past side by side (delay coordinates), reduced to the leading
principal directions, and the linear map that takes one moment to the next. It is fitted once for
each network from covariances of activity with itself some steps later, never from the delay
coordinates themselves, which are many times as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import linear_sum_assignment

from solspace.errors import SolspaceError
from solspace.similarity.rotating import best_angles

__all__ = [
    "LinearModel",
    "eigenvalue_distance",
    "fit_havok",
    "joint_distance",
    "responses_to_inputs",
    "row_angular",
    "row_eigenvalues",
    "row_eigenvalues_squared",
    "row_joint",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearModel:
    """A linear model of a network's dynamics.

    Attributes
    ----------
    a : array of float (rank, rank)
        The next state is ``a @ state``, and ``b @ input`` more where inputs were given.
    eigenvalues : array of complex (rank,)
    b : array of float (rank, input) or None
    responses : array of float (rank, column) or None
        What pulses on the inputs leave in the state, see `responses_to_inputs`.
    """

    a: Array
    eigenvalues: NDArray[np.complex128]
    b: Array | None = None
    responses: Array | None = None


def fit_havok(
    x: Array,
    inputs: Array | None = None,
    *,
    delays: int = 10,
    rank: int = 20,
    ridge: float = 0.0,
    center: bool = False,
) -> LinearModel:
    """The linear model of one network's activity in delay coordinates.

    Parameters
    ----------
    x : array of float (trial, time, unit)
    inputs : array of float (trial, time, input), optional
        The input of each step; the activity at a time is that after the input of it.
    delays : int
        Moments side by side.
    rank : int
        Principal directions kept.
    ridge : float
        Added to the squares, against overfitting.
    center : bool
        Take each unit's mean off first. Without it the model depends on where zero is.

    Returns
    -------
    LinearModel

    Raises
    ------
    SolspaceError
        For too few steps or directions.

    Notes
    -----
    HAVOK: Brunton et al. 2017; as in DSA: Ostrow et al. 2023.

    Examples
    --------
    >>> angle = 0.1 * np.arange(60)
    >>> circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)[None]
    >>> model = fit_havok(circle, delays=3, rank=2)
    >>> np.sort(np.angle(model.eigenvalues)).round(6).tolist()
    [-0.1, 0.1]
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 3:
        raise SolspaceError(
            f"dynamics need activity (trial, time, unit); given an array of shape {x.shape}"
        )
    if delays < 1 or rank < 1 or ridge < 0:
        raise SolspaceError(
            f"delays={delays}, rank={rank}, ridge={ridge}; give 1 or more, and no negative ridge"
        )
    trials, time, units = x.shape
    rows = time - delays + 1
    if rows < 2:
        raise SolspaceError(f"{delays} delays of {time} time steps; give {time - 1} or fewer")
    if rank > delays * units:
        raise SolspaceError(
            f"rank={rank} of {delays} delays of {units} units; give {delays * units} or less"
        )
    if center:
        x = x - x.mean(axis=(0, 1))
    v, s = _directions(x, delays, rank)
    if not s[-1] > 1e-10 * s[0]:
        found = int((s > 1e-10 * s[0]).sum())
        raise SolspaceError(
            f"the activity has {found} directions in {delays} delays, of rank={rank} asked for; "
            f"give rank={max(found, 1)} or less"
        )
    before = v[:, :-1].reshape(-1, rank)
    after = v[:, 1:].reshape(-1, rank)
    if inputs is None:
        a = _least_squares(before, after, ridge).T
        return LinearModel(a, np.linalg.eigvals(a).astype(np.complex128))
    u = np.asarray(inputs, np.float64)
    if u.ndim != 3 or u.shape[:2] != (trials, time):
        raise SolspaceError(
            f"inputs of shape {u.shape} beside activity of {trials} trials and {time} steps; give "
            "inputs (trial, time, input) of the same trials"
        )
    driven = u[:, delays:].reshape(-1, u.shape[2])
    if np.linalg.matrix_rank(driven) < u.shape[2]:
        raise SolspaceError(
            "some input never differs from zero or from another after the first "
            f"{delays} steps; leave it out, or give fewer delays"
        )
    both = _least_squares(np.hstack([before, driven]), after, ridge).T
    a, b = np.ascontiguousarray(both[:, :rank]), np.ascontiguousarray(both[:, rank:])
    return LinearModel(a, np.linalg.eigvals(a).astype(np.complex128), b, responses_to_inputs(a, b))


def _least_squares(x: Array, y: Array, ridge: float) -> Array:
    if ridge:
        return np.asarray(np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y))
    q, r = np.linalg.qr(x)
    return np.asarray(np.linalg.solve(r, q.T @ y))


def _directions(x: Array, delays: int, rank: int) -> tuple[Array, Array]:
    """Leading left singular vectors (trial, row, rank) of the delay coordinates, and values.

    The covariance's eigenvectors span them but for rounding, which one step of subspace iteration
    and a small factorisation take off.
    """
    units = x.shape[2]
    rows = x.shape[1] - delays + 1
    covariance = _delay_covariance(x, delays)
    size = delays * units
    extra = min(size, rank + 10)
    _, w = eigh(covariance, subset_by_index=(size - extra, size - 1), driver="evr")
    w = _orthonormal(covariance @ w)
    projected = np.zeros((x.shape[0], rows, extra))
    for d in range(delays):
        projected += x[:, d : d + rows] @ w[d * units : (d + 1) * units]
    u, s, _ = np.linalg.svd(projected.reshape(-1, extra), full_matrices=False)
    u = u[:, :rank] * _signs(u[:, :rank])
    return u.reshape(x.shape[0], rows, rank), s[:rank]


def _signs(u: Array) -> Array:
    """Of either sign of a direction, that in which the cubes sum to more than 0.

    A factorisation leaves signs open. With a rule the same activity in other units gives the same
    numbers, and a search over models begins at the same place.
    """
    return np.where((u * u * u).sum(axis=0) < 0, -1.0, 1.0)


def _orthonormal(w: Array) -> Array:
    return np.asarray(np.linalg.qr(w)[0])


def _delay_covariance(x: Array, delays: int) -> Array:
    """Products of the delay coordinates (delay * unit, delay * unit).

    The product of x at d + 1 and x at e + 1 has the terms of that at d and e, but for one moment at
    each end: only those of delay 0 are sums over all.
    """
    units = x.shape[2]
    rows = x.shape[1] - delays + 1
    out = np.empty((delays, units, delays, units))
    first = x[:, :rows].reshape(-1, units)
    for lag in range(delays):
        block = first.T @ x[:, lag : lag + rows].reshape(-1, units)
        for d in range(delays - lag):
            e = d + lag
            if d:
                block = (
                    block - x[:, d - 1].T @ x[:, e - 1] + x[:, d - 1 + rows].T @ x[:, e - 1 + rows]
                )
            out[d, :, e] = block
            out[e, :, d] = block.T
    return out.reshape(delays * units, delays * units)


# ------------------------------------------------------------------------------ pairs of models


def eigenvalue_distance(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> float:
    """Wasserstein distance (2-) of two sets of as many eigenvalues, each of equal weight.

    Examples
    --------
    >>> eigenvalue_distance(np.array([1 + 0j, 0]), np.array([0j, 1 + 1j])).__round__(6)
    0.707107
    """
    _check_sizes(len(a), len(b))
    costs = np.abs(a[:, None] - b[None]) ** 2
    return float(np.sqrt(costs[linear_sum_assignment(costs)].mean()))


def _check_sizes(one: int, other: int) -> None:
    if one != other:
        raise SolspaceError(f"models of ranks {one} and {other}; fit all with one rank")


def row_eigenvalues(a: LinearModel, others: Sequence[LinearModel]) -> Array:
    """Wasserstein distances between the eigenvalues of one model and others'."""
    return np.array([eigenvalue_distance(a.eigenvalues, b.eigenvalues) for b in others])


def row_eigenvalues_squared(a: LinearModel, others: Sequence[LinearModel]) -> Array:
    """Their squares, which break the triangle inequality."""
    return row_eigenvalues(a, others) ** 2


def row_angular(
    a: LinearModel,
    others: Sequence[LinearModel],
    *,
    iterations: int = 1500,
    restarts: int = 2,
    seed: int = 0,
) -> Array:
    """Smallest angles found between one model's map and others', in the best orthogonal basis.

    The minimum over orthogonal C of the angle between ``a`` and ``C b C'`` is searched from several
    rotations, see `solspace.similarity.rotating`; ``restarts`` of them are random.
    """
    for b in others:
        _check_sizes(len(a.a), len(b.a))
    stacked = np.stack([b.a for b in others])
    return best_angles(a.a, stacked, iterations=iterations, restarts=restarts, seed=seed)[0]


# --------------------------------------------------------------------------------- with inputs


def responses_to_inputs(a: Array, b: Array) -> Array:
    """What pulses on the inputs leave in the state (rank, column).

    Columns are ``b``, ``a b``, ``a' b``, ``a a b``, ``a' a' b``, ...: the controllability matrix,
    and that of the transposed map. With both a rotation that aligns them aligns map and inputs.

    Examples
    --------
    >>> responses_to_inputs(np.array([[0.0, 1], [0, 0]]), np.array([[0.0], [1]])).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    blocks, forward, backward = [b], b, b
    for _ in range(len(a) - 1):
        forward, backward = a @ forward, a.T @ backward
        blocks += [forward, backward]
    return np.hstack(blocks)


def joint_distance(one: Array, other: Array, *, angular: bool = True) -> float:
    """How far two networks' responses to inputs are apart after the best rotation of the states.

    Closed: orthogonal Procrustes of the two (`responses_to_inputs`). In radians, or the Frobenius
    norm of the difference.
    """
    if one.shape != other.shape:
        raise SolspaceError(
            f"responses to inputs of shapes {one.shape} and {other.shape}; fit all with one rank "
            "on the same inputs"
        )
    if np.array_equal(one, other):
        return 0.0
    nuclear = float(np.linalg.svd(one @ other.T, compute_uv=False).sum())
    n, m = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if angular:
        return float(np.arccos(np.clip(nuclear / (n * m), -1.0, 1.0)))
    return float(np.sqrt(max(n**2 + m**2 - 2 * nuclear, 0.0)))


def row_joint(a: LinearModel, others: Sequence[LinearModel]) -> Array:
    """Angles in radians between one network's responses to inputs and others'."""
    return np.array([joint_distance(_responses(a), _responses(b)) for b in others])


def _responses(model: LinearModel) -> Array:
    if model.responses is None:
        raise SolspaceError("the model has no inputs; fit it with inputs=(trial, time, input)")
    return model.responses
