"""The fixed points of one network under one constant input, of what all starts come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.fixed_points.newton import NOT_FINITE, POINT, SLOW, Cell, cell_of, follow, jacobian
from solspace.networks import Architecture, Weights, hidden_size, read_out, run

__all__ = ["KINDS", "UNIQUE", "FixedPoints", "fixed_points"]

# What points are called, by how they lie.
KINDS = ("stable", "saddle", "slow")
UNIQUE = 1e-3  # distance under which two are one
SLOW_Q = 1e-4
MARGIN = 0.1
_NEUTRAL = 1e-9  # |lambda| may be over 1 by so much through rounding
_TWICE = 1e-6  # distance of two searches that end in one point
# Searches from between known points: of so many at most, from so many pairs, so often.
_FEW, _PAIRS, _ROUNDS = 64, 512, 3


@dataclass(frozen=True)
class FixedPoints:
    """The fixed and slow points of one network under one constant input.

    Stable points come first, then saddles by their number of unstable directions, then slow
    points; of one sort by their states.

    Attributes
    ----------
    states : array (point, state)
        For an LSTM hidden state, then cell state.
    kind : array, int8, (point,)
        Positions in `KINDS`. A saddle is any fixed point with an unstable direction, one that is
        unstable in all directions among them; a slow point is a minimum of q where q is not zero.
    q : array (point,)
        ``1/2 |x - F(x)|^2``.
    residual : array (point,)
        Largest ``|x - F(x)|`` of any unit.
    eigenvalues : array, complex, (point, state)
        Of the Jacobian of one step, by falling absolute value.
    right, left : array, complex, (point, state, mode)
        Right eigenvectors of length 1, the first of their largest numbers real and positive, and
        left ones with ``left.T @ right = 1``; NaN of left ones where an eigenvalue is
        defective.
    unstable : array, int64, (point,)
        Number of eigenvalues with ``|lambda| > 1``.
    output : array (point, output)
    starts : array, int64, (point,)
        Number of starts whose search ended there; 0 where it was found from half-way between
        others alone.
    searched : int
        Number of starts.
    converged : float
        Share of them that came to a fixed point, within the box or not.
    outside : int
        Fixed and slow points outside of the box, which are not given.
    stuck : int
        Starts that came to no minimum of q, or to one where q is larger than is slow.
    not_finite : int
        Starts that are NaN or infinite, or from which one step is.
    """

    states: NDArray[np.float64]
    kind: NDArray[np.int8]
    q: NDArray[np.float64]
    residual: NDArray[np.float64]
    eigenvalues: NDArray[np.complex128]
    right: NDArray[np.complex128]
    left: NDArray[np.complex128]
    unstable: NDArray[np.int64]
    output: NDArray[np.float64]
    starts: NDArray[np.int64]
    searched: int
    converged: float
    outside: int
    stuck: int
    not_finite: int

    def __len__(self) -> int:
        return len(self.states)


def fixed_points(
    architecture: str | Architecture,
    weights: Weights,
    starts: ArrayLike,
    given: ArrayLike | None = None,
    *,
    box: ArrayLike | None = None,
    unique: float = UNIQUE,
    slow_q: float = SLOW_Q,
    margin: float = MARGIN,
) -> FixedPoints:
    """The points of one network at which one step under a constant input changes nothing.

    From each start Newton's method is followed, see `solspace.fixed_points.newton`. Ends closer
    than ``unique`` are one point, unless they differ in their number of unstable directions. A
    slow point that close to a fixed point is that point. Then it is searched from half-way between
    points found, the nearest pairs first, until nothing is new: few trajectories come near saddles
    of many unstable directions.

    Parameters
    ----------
    architecture : str or Architecture
        vanilla, leaky, relu, leaky_rate, gru or lstm.
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    starts : array (start, state)
        States from which is searched. Those that are not finite are counted and left out.
    given : array (input,), optional
        What is given at every step; by default nothing.
    box : array (2, state), optional
        Lowest and highest of the states seen; by default of the starts. Points outside by more
        than ``margin`` of its widest side are counted and left out.
    unique : float
        Distance under which two points are one.
    slow_q : float
        Largest q of a slow point.
    margin : float

    Returns
    -------
    FixedPoints

    Raises
    ------
    SolspaceError
        For another architecture, no finite start, and what has another shape.

    Examples
    --------
    A unit that excites itself rests in one of two states; between them there is a saddle.

    >>> weights = {"weight_ih": np.ones((1, 1, 1)), "weight_hh": np.full((1, 1, 1), 2.0),
    ...            "bias_ih": np.zeros((1, 1)), "bias_hh": np.zeros((1, 1)),
    ...            "weight_out": np.ones((1, 1)), "bias_out": np.zeros(1)}
    >>> found = fixed_points("vanilla", weights, [[-0.9], [-0.01], [0.9]])
    >>> found.states.ravel().round(3) + 0, [KINDS[k] for k in found.kind]
    (array([-0.958,  0.958,  0.   ]), ['stable', 'stable', 'saddle'])
    >>> found.eigenvalues.real.ravel().round(3), found.unstable
    (array([0.166, 0.166, 2.   ]), array([0, 0, 1]))
    """
    cell = cell_of(architecture, weights, None if given is None else np.asarray(given, float))
    x = np.asarray(starts, np.float64)
    if x.ndim != 2 or x.shape[1] != cell.size:
        raise SolspaceError(f"starts of shape {x.shape}; give (start, {cell.size})")
    finite = np.isfinite(x).all(axis=1)
    if not finite.any():
        raise SolspaceError(
            f"none of {len(x)} starts is finite; give states that the network passes through"
        )
    low, high = _box(x[finite], box, margin)
    ended, ends, q, _ = follow(cell, x)
    ends = np.where(finite, ends, NOT_FINITE)
    is_point, is_slow = ends == POINT, (ends == SLOW) & (q <= slow_q)
    stuck = int((~is_point & ~is_slow & (ends != NOT_FINITE)).sum())
    not_finite, converged = int((ends == NOT_FINITE).sum()), float(is_point.mean())
    between, q_between = _between(cell, ended[is_point], q[is_point], unique, low, high)
    ended, q = np.concatenate([ended, between]), np.concatenate([q, q_between])
    is_point = np.concatenate([is_point, np.ones(len(between), bool)])
    is_slow = np.concatenate([is_slow, np.zeros(len(between), bool)])

    places, owner = _distinct(ended, q, is_point, _TWICE)
    unstable = _unstable(np.linalg.eigvals(jacobian(cell, ended[places])))
    chosen: list[int] = []
    count: list[int] = []
    own = np.bincount(owner[np.flatnonzero(is_point) < len(x)], minlength=len(places))
    for number in np.unique(unstable).tolist():
        among = np.flatnonzero(unstable == number)
        came = np.full(len(ended), -1, np.int64)
        came[places[among]] = own[among]
        kept, of = _distinct(ended, q, came >= 0, unique)
        chosen += kept.tolist()
        total = np.zeros(len(kept), np.int64)
        np.add.at(total, of, came[came >= 0])
        count += total.tolist()
    fixed = len(chosen)
    slow, of = _distinct(ended, q, is_slow, unique)
    many = np.bincount(of, minlength=len(slow))
    for place, number in zip(slow.tolist(), many.tolist(), strict=True):
        apart = np.linalg.norm(ended[chosen[:fixed]] - ended[place], axis=1)
        if fixed and apart.min() < unique:
            count[int(apart.argmin())] += number
        else:
            chosen.append(place)
            count.append(number)
    states = ended[chosen]
    inside = _inside(states, low, high)
    slowness = (np.arange(len(chosen)) >= fixed)[inside]
    states, counted, own_q = states[inside], np.array(count, np.int64)[inside], q[chosen][inside]
    values, right, left = _modes(jacobian(cell, states))
    directions = _unstable(values)
    kind = np.where(slowness, 2, np.minimum(directions, 1)).astype(np.int8)
    order = np.lexsort((*np.round(states, 6).T[::-1], directions, slowness))
    states = states[order]
    steady = np.zeros((len(states), 1, weights["weight_ih"].shape[-1]))
    if given is not None:
        steady[:] = np.asarray(given, float)
    after = run(architecture, weights, steady, states)[0][:, 0]
    return FixedPoints(
        states=states,
        kind=kind[order],
        q=own_q[order],
        residual=np.abs(after - states).max(axis=1, initial=0.0),
        eigenvalues=values[order],
        right=right[order],
        left=left[order],
        unstable=directions[order],
        output=np.asarray(
            read_out(architecture, weights, states[:, : hidden_size(weights)]), np.float64
        ),
        starts=counted[order],
        searched=len(x),
        converged=converged,
        outside=int((~inside).sum()),
        stuck=stuck,
        not_finite=not_finite,
    )


def _box(
    x: NDArray[np.float64], box: ArrayLike | None, margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sides = np.array([x.min(axis=0), x.max(axis=0)]) if box is None else np.asarray(box, float)
    if sides.shape != (2, x.shape[1]) or not (sides[0] <= sides[1]).all():
        raise SolspaceError(
            f"a box of shape {sides.shape}; give (2, {x.shape[1]}), the lowest of the states "
            "seen and the highest"
        )
    room = margin * float((sides[1] - sides[0]).max())
    return sides[0] - room, sides[1] + room


def _inside(
    states: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.bool_]:
    return np.asarray(((states >= low) & (states <= high)).all(axis=1), bool)


def _between(
    cell: Cell,
    states: NDArray[np.float64],
    q: NDArray[np.float64],
    unique: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fixed points that searches from half-way between two known ones find, and their q.

    Few trajectories come near saddles of many unstable directions, and such lie between others.
    """
    places, _ = _distinct(states, q, _inside(states, low, high), unique)
    known = states[places][np.lexsort(states[places].T[::-1])]
    begun, tried, found_q = len(known), 0, np.empty(0)
    for _ in range(_ROUNDS):
        if not 2 <= len(known) <= _FEW:
            break
        first, second = np.triu_indices(len(known), 1)
        fresh = second >= tried
        first, second = first[fresh], second[fresh]
        order = np.argsort(np.linalg.norm(known[first] - known[second], axis=1), kind="stable")
        pairs = order[:_PAIRS]
        ended, ends, own, _ = follow(cell, (known[first[pairs]] + known[second[pairs]]) / 2)
        apart = np.linalg.norm(ended[:, None] - known, axis=2).min(axis=1) >= unique
        new = (ends == POINT) & apart & _inside(ended, low, high)
        places, _ = _distinct(ended, own, new, unique)
        if not len(places):
            break
        tried = len(known)
        known = np.concatenate([known, ended[places]])
        found_q = np.concatenate([found_q, own[places]])
    return known[begun:], found_q


def _unstable(eigenvalues: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray((np.abs(eigenvalues) > 1 + _NEUTRAL).sum(axis=-1), np.int64)


def _distinct(
    states: NDArray[np.float64], q: NDArray[np.float64], mask: NDArray[np.bool_], near: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of states that are apart, and of each state of the mask which of these it is near.

    Taken by rising q, then by their numbers, so that their order does not matter.
    """
    held = np.flatnonzero(mask)
    rows = np.ascontiguousarray(states[held])
    order = np.lexsort((*rows.T[::-1], q[held]))
    leaders, owner = np.empty(len(held), np.int64), np.empty(len(held), np.int64)
    count = _lead(rows, order, near, leaders, owner)
    return held[leaders[:count]], owner


@njit(cache=True, nogil=True)
def _lead(rows, order, near, leaders, owner):  # type: ignore[no-untyped-def]
    count = 0
    for i in order:
        best = -1
        for j in range(count):
            total = 0.0
            for k in range(rows.shape[1]):
                total += (rows[i, k] - rows[leaders[j], k]) ** 2
                if total >= near * near:
                    break
            if total < near * near:
                best = j
                break
        if best < 0:
            best = count
            leaders[count] = i
            count += 1
        owner[i] = best
    return count


def _modes(
    jacobians: NDArray[np.float64],
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
    """Eigenvalues by falling absolute value, with right and left eigenvectors as columns."""
    from scipy.linalg import eig

    n = jacobians.shape[-1]
    values = np.empty((len(jacobians), n), complex)
    right, left = np.empty((2, len(jacobians), n, n), complex)
    for p, matrix in enumerate(jacobians):
        own, to_left, to_right = eig(matrix, left=True, right=True)
        order = np.lexsort((-own.imag, -own.real, -np.round(np.abs(own), 12)))
        own, to_left, to_right = own[order], to_left[:, order].conj(), to_right[:, order]
        largest = np.argmax(np.round(np.abs(to_right), 9), axis=0)
        turn = to_right[largest, np.arange(n)]
        to_right = to_right * (np.abs(turn) / turn)
        product = (to_left * to_right).sum(axis=0)
        product[np.abs(product) < 1e-12] = np.nan
        values[p], right[p], left[p] = own, to_right, to_left / product
    return values, right, left
