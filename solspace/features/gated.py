"""Damped Gauss-Newton steps for the gates of many units side by side.

The normal matrices of all units are one product: of the derivatives of units by pairs of gates,
(unit * pair, step), and of pairs of columns, (step, pair of columns). A unit whose last step was
taken back keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.features.cholesky import factor_and_solve
from solspace.networks.vectors import LANES

__all__ = ["column_pairs", "fit_gates", "gru_step", "lstm_step"]

Array = NDArray[np.float64]

ITERATIONS = 25


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


Step = Callable[[list[Array], Array], tuple[Array, list[Array]]]


def gru_step(drives: list[Array], now: Array) -> tuple[Array, list[Array]]:
    """Next activity, and its derivative by each drive; all (unit, step)."""
    reset, update = _sigmoid(drives[0]), _sigmoid(drives[1])
    candidate = np.tanh(drives[3] + reset * drives[2])
    slope = (1 - update) * (1 - candidate**2)
    by = [
        slope * drives[2] * reset * (1 - reset),
        (now - candidate) * update * (1 - update),
        slope * reset,
        slope,
    ]
    return (1 - update) * candidate + update * now, by


def lstm_step(drives: list[Array], now: Array) -> tuple[Array, list[Array]]:
    """Next cell state, and its derivative by each drive; all (unit, step)."""
    enter, forget, candidate = _sigmoid(drives[0]), _sigmoid(drives[1]), np.tanh(drives[2])
    by = [
        candidate * enter * (1 - enter),
        now * forget * (1 - forget),
        enter * (1 - candidate**2),
    ]
    return forget * now + enter * candidate, by


def fit_gates(
    left: Array,
    times: Array,
    columns: Sequence[NDArray[np.intp]],
    step: Step,
    now: Array,
    after: Array,
    *,
    penalty: float,
) -> list[Array]:
    """Weights (unit, column) of each gate, from zero, all units side by side.

    Damping goes down by a factor of 0.3 where a step helps and up by 5 where it does not and is
    taken back, unit by unit (Levenberg 1944).

    Parameters
    ----------
    left : array (step, column)
        What gates are linear in.
    times : array (step,)
        How often each step counts.
    columns : sequence of array of int
        The columns of each gate.
    step : callable
        `gru_step` or `lstm_step`.
    now, after : array (unit, step)
        The state of each unit before and after.
    penalty : float
        On the squares of the weights.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> left, now = rng.normal(size=(300, 3)), rng.normal(size=(1, 300))
    >>> true = rng.normal(size=(3, 3))
    >>> after, _ = lstm_step([(left @ gate)[None] for gate in true], now)
    >>> every = [np.arange(3)] * 3
    >>> found = fit_gates(left, np.ones(300), every, lstm_step, now, after, penalty=1e-12)
    >>> bool(np.allclose(np.concatenate(found), true, atol=1e-3))
    True
    """
    parts = [left[:, c] for c in columns]
    edges = np.cumsum([0, *(len(c) for c in columns)])
    units, total, steps = len(now), int(edges[-1]), times.sum()
    products = _Products(left, columns, units)
    found = np.zeros((units, total))
    found[:, edges[2] - 1] = 1.0  # units that remember

    def predict(weights: Array) -> tuple[Array, Array, Array]:
        drives = [weights[:, a:b] @ p.T for p, (a, b) in zip(parts, pairwise(edges), strict=True)]
        value, by = step(drives, now)
        wrong = value - after
        return wrong, np.stack(by), wrong**2 @ times / steps + penalty * (weights**2).mean(axis=1)

    wrong, by, cost = predict(found)
    damping = np.full(units, 0.1)
    down = np.empty((units, total))
    moved = np.arange(units)
    for _ in range(ITERATIONS):
        # Units that have not moved stand where they stood.
        here = by[:, moved]
        by_times = here * (times / steps)
        products.fill(moved, by_times, here)
        for p, (a, b), d in zip(parts, pairwise(edges), by_times, strict=True):
            down[moved, a:b] = (d * wrong[moved]) @ p
        tried = found - products.solve(down + penalty / total * found, penalty, damping)
        new_wrong, new_by, new_cost = predict(tried)
        better = new_cost < cost
        moved = np.flatnonzero(better)
        found[moved], wrong[moved], cost[moved] = tried[moved], new_wrong[moved], new_cost[moved]
        by[:, moved] = new_by[:, moved]
        damping = np.clip(np.where(better, 0.3 * damping, 5 * damping), 1e-12, 1e6)
    return [found[:, a:b] for a, b in pairwise(edges)]


def column_pairs(left: Array) -> Array:
    """Products of columns with themselves and those before, (step, column) to (step, pair).

    A symmetric matrix of sums over steps is a sum of these, its lower triangle row by row.

    Examples
    --------
    >>> column_pairs(np.array([[2.0, 3.0]])).tolist()
    [[4.0, 6.0, 9.0]]
    """
    width = left.shape[1]
    out = np.empty((len(left), width * (width + 1) // 2))
    for c in range(width):
        first = c * (c + 1) // 2
        np.multiply(left[:, c, None], left[:, : c + 1], out=out[:, first : first + c + 1])
    return out


class _Products:
    """Normal matrices of columns by gates, (column of a gate, column of a gate), of all units.

    Parameters
    ----------
    left : array (step, column)
    columns : sequence of array of int
        The columns of each gate. One of few columns comes last.
    units : int
    """

    def __init__(self, left: Array, columns: Sequence[NDArray[np.intp]], units: int) -> None:
        width, self.gates = left.shape[1], len(columns)
        self.wide = sum(2 * len(c) > width for c in columns)
        if self.gates > self.wide + 1:
            raise ValueError("more than one gate of few columns")
        self.edges = np.cumsum([0, *map(len, columns)])
        self.columns = np.concatenate(columns)
        self.pairs = column_pairs(left)
        # A gate with itself and with all before it.
        self.first, self.second = np.tril_indices(self.wide)
        self.packed = np.empty((len(self.first), units, self.pairs.shape[1]))
        # Of one of few columns each of these with all columns, (step, its column * column).
        few = columns[-1] if self.gates > self.wide else np.empty(0, np.intp)
        self.few = (left[:, few, None] * left[:, None, :]).reshape(len(left), -1)
        self.packed_few = np.empty((self.gates, units, self.few.shape[1]))
        self.work = np.zeros((self.edges[-1] + 1, self.edges[-1], LANES))

    def fill(self, units: NDArray[np.intp], by_times: Array, by: Array) -> None:
        """Note the matrices of some units; ``by`` (gate, unit, step) has those alone."""
        if len(units):
            both = by_times[self.first] * by[self.second]
            made = both.reshape(-1, by.shape[-1]) @ self.pairs
            self.packed[:, units] = made.reshape(len(self.first), len(units), -1)
        if len(units) and self.few.shape[1]:
            made = (by_times[-1] * by).reshape(-1, by.shape[-1]) @ self.few
            self.packed_few[:, units] = made.reshape(self.gates, len(units), -1)

    def solve(self, down: Array, penalty: float, damping: Array) -> Array:
        """The damped step of each unit, (unit, column)."""
        out = np.empty_like(down)
        _solve(
            self.packed, self.packed_few, self.first, self.second, self.wide, self.edges,
            self.columns, self.work, down, penalty, damping, out,
        )  # fmt: skip
        for u in np.flatnonzero(np.isnan(out[:, 0])):  # not positive in rounding
            out[u] = self._solve_one(int(u), down[u], penalty, damping[u])
        return out

    def _solve_one(self, unit: int, down: Array, penalty: float, damping: float) -> Array:
        """As `solve`, by elimination."""
        total = len(down)
        _unpack(
            self.packed, self.packed_few, self.first, self.second, self.wide, self.edges,
            self.columns, self.work, unit, 1,
        )  # fmt: skip
        lower = np.tril(self.work[:-1, :, 0])
        whole = lower + np.tril(lower, -1).T
        whole[np.diag_indices(total)] += (penalty + damping * np.trace(lower)) / total
        return np.linalg.solve(whole, down)


@njit(cache=True, nogil=True)
def _unpack(packed, packed_few, first, second, wide, edges, columns, a, unit, count):  # type: ignore[no-untyped-def]
    """Lower triangles of the matrices of some units from one on, a lane each."""
    for p in range(first.size):
        i, j = first[p], second[p]
        for row in range(edges[i], edges[i + 1]):
            x = columns[row]
            last = row + 1 if i == j else edges[j + 1]
            for column in range(edges[j], last):
                y = columns[column]
                at = x * (x + 1) // 2 + y if y <= x else y * (y + 1) // 2 + x
                for u in range(count):
                    a[row, column, u] = packed[p, unit + u, at]
    for j in range(edges.size - 1 if edges.size - 1 > wide else 0):
        width = packed_few.shape[2] // (edges[-1] - edges[wide])
        for row in range(edges[wide], edges[-1]):
            for column in range(edges[j], min(row + 1, edges[j + 1])):
                at = (row - edges[wide]) * width + columns[column]
                for u in range(count):
                    a[row, column, u] = packed_few[j, unit + u, at]


@njit(cache=True, nogil=True)
def _solve(  # type: ignore[no-untyped-def]
    packed, packed_few, first, second, wide, edges, columns, a, right, penalty, damping, out
):
    units, n = right.shape
    inverse, found = np.zeros((n, LANES)), np.zeros((n, LANES))
    for unit in range(0, units, LANES):
        count = min(LANES, units - unit)
        _unpack(packed, packed_few, first, second, wide, edges, columns, a, unit, count)
        for u in range(count):
            trace = 0.0
            for i in range(n):
                trace += a[i, i, u]
            more = (penalty + damping[unit + u] * trace) / n
            for i in range(n):
                a[i, i, u] += more
                a[n, i, u] = right[unit + u, i]
        factor_and_solve(a, inverse, found)
        for u in range(count):
            positive = True
            for i in range(n):
                positive &= inverse[i, u] > 0
            for i in range(n):
                out[unit + u, i] = found[i, u] if positive else np.nan
