"""Damped Gauss-Newton steps for the gates of many units side by side.

The normal matrices of all units are one product: of the derivatives of units by pairs of gates,
(unit * pair, step), and of pairs of columns, (step, pair of columns). A unit whose last step was
taken back keeps its own, and one that a step hardly helped is done.
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
# Normal matrices are of half the digits, which takes half the time: they say where to step, while
# what is minimized has all digits. Less damping than their rounding would be lost in it.
KIND, LEAST_DAMPING = np.float32, 1e-8
GAIN = 1e-5  # share of the cost under which a step that helps is the last one


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

    def predict(weights: Array, some: NDArray[np.intp]) -> tuple[Array, list[Array], Array]:
        drives = [weights[:, a:b] @ p.T for p, (a, b) in zip(parts, pairwise(edges), strict=True)]
        value, by = step(drives, now[some])
        wrong = value - after[some]
        return wrong, by, wrong**2 @ times / steps + penalty * (weights**2).mean(axis=1)

    live = moved = np.arange(units)
    wrong, by, cost = predict(found, live)
    damping = np.full(units, 0.1)
    down = np.empty((units, total))
    for _ in range(ITERATIONS):
        # Units that have not moved stand where they stood.
        by_times = [d * (times / steps) for d in by]
        products.fill(moved, by_times, by)
        for p, (a, b), d in zip(parts, pairwise(edges), by_times, strict=True):
            down[moved, a:b] = (d * wrong) @ p
        slope = down[live] + penalty / total * found[live]
        tried = found[live] - products.solve(live, slope, penalty, damping[live])
        wrong, by, new_cost = predict(tried, live)
        old_cost = cost[live]
        better = new_cost < old_cost
        going = better & (new_cost < (1 - GAIN) * old_cost)
        found[live[better]], cost[live[better]] = tried[better], new_cost[better]
        damping[live] = np.clip(np.where(better, 0.3, 5) * damping[live], LEAST_DAMPING, 1e6)
        moved, wrong, by = live[going], wrong[going], [d[going] for d in by]
        live = live[going | ~better]
        if not len(live):
            break
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
    out = np.empty((len(left), width * (width + 1) // 2), left.dtype)
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
        left = left.astype(KIND)
        self.pairs = column_pairs(left)
        # A gate with itself and with all before it.
        self.first, self.second = np.tril_indices(self.wide)
        self.packed = np.empty((len(self.first), units, self.pairs.shape[1]), KIND)
        # Of one of few columns each of these with all columns, (step, its column * column).
        few = columns[-1] if self.gates > self.wide else np.empty(0, np.intp)
        self.few = (left[:, few, None] * left[:, None, :]).reshape(len(left), -1)
        self.packed_few = np.empty((self.gates, units, self.few.shape[1]), KIND)
        self.work = np.zeros((self.edges[-1] + 1, self.edges[-1], LANES))

    def fill(self, units: NDArray[np.intp], by_times: list[Array], by: list[Array]) -> None:
        """Note the matrices of some units; derivatives (unit, step) are of those alone."""
        if not len(units):
            return
        self.packed[:, units] = self._sums(
            [by_times[i] * by[j] for i, j in zip(self.first, self.second, strict=True)], self.pairs
        )
        if self.few.shape[1]:
            self.packed_few[:, units] = self._sums([by_times[-1] * d for d in by], self.few)

    @staticmethod
    def _sums(products: list[Array], columns: Array) -> Array:
        whole = np.concatenate(products, dtype=columns.dtype)  # one product of matrices
        return (whole @ columns).reshape(len(products), -1, columns.shape[1])

    def solve(self, units: NDArray[np.intp], down: Array, penalty: float, damping: Array) -> Array:
        """The damped step of some units, (unit, column); NaN where rounding leaves none."""
        out = np.empty_like(down)
        _solve(
            self.packed, self.packed_few, self.first, self.second, self.wide, self.edges,
            self.columns, self.work, units, down, penalty, damping, out,
        )  # fmt: skip
        return out


@njit(cache=True, nogil=True)
def _unpack(packed, packed_few, first, second, wide, edges, columns, a, units):  # type: ignore[no-untyped-def]
    """Lower triangles of the matrices of some units, a lane each."""
    for p in range(first.size):
        i, j = first[p], second[p]
        for row in range(edges[i], edges[i + 1]):
            x = columns[row]
            last = row + 1 if i == j else edges[j + 1]
            for column in range(edges[j], last):
                y = columns[column]
                at = x * (x + 1) // 2 + y if y <= x else y * (y + 1) // 2 + x
                for u in range(units.size):
                    a[row, column, u] = packed[p, units[u], at]
    for j in range(edges.size - 1 if edges.size - 1 > wide else 0):
        width = packed_few.shape[2] // (edges[-1] - edges[wide])
        for row in range(edges[wide], edges[-1]):
            for column in range(edges[j], min(row + 1, edges[j + 1])):
                at = (row - edges[wide]) * width + columns[column]
                for u in range(units.size):
                    a[row, column, u] = packed_few[j, units[u], at]


@njit(cache=True, nogil=True)
def _solve(  # type: ignore[no-untyped-def]
    packed, packed_few, first, second, wide, edges, columns, a, some, right, penalty, damping, out
):
    units, n = right.shape
    inverse, found = np.zeros((n, LANES)), np.zeros((n, LANES))
    for unit in range(0, units, LANES):
        count = min(LANES, units - unit)
        lanes = some[unit : unit + count]
        _unpack(packed, packed_few, first, second, wide, edges, columns, a, lanes)
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
