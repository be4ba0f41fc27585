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
    products = _Products(left, columns)
    found = np.zeros((units, total))
    found[:, edges[2] - 1] = 1.0  # units that remember

    def predict(weights: Array) -> tuple[Array, Array, Array]:
        drives = [weights[:, a:b] @ p.T for p, (a, b) in zip(parts, pairwise(edges), strict=True)]
        value, by = step(drives, now)
        wrong = value - after
        return wrong, np.stack(by), wrong**2 @ times / steps + penalty * (weights**2).mean(axis=1)

    wrong, by, cost = predict(found)
    damping = np.full(units, 0.1)
    normal, down = np.empty((units, total, total)), np.empty((units, total))
    moved = np.arange(units)
    for _ in range(ITERATIONS):
        # Units that have not moved stand where they stood.
        here = by[:, moved]
        by_times = here * (times / steps)
        products.fill(normal, moved, by_times, here)
        for p, (a, b), d in zip(parts, pairwise(edges), by_times, strict=True):
            down[moved, a:b] = (d * wrong[moved]) @ p
        change = _solve(normal, down + penalty / total * found, penalty, damping)
        tried = found - change
        new_wrong, new_by, new_cost = predict(tried)
        better = new_cost < cost
        moved = np.flatnonzero(better)
        found[moved], wrong[moved], cost[moved] = tried[moved], new_wrong[moved], new_cost[moved]
        by[:, moved] = new_by[:, moved]
        damping = np.clip(np.where(better, 0.3 * damping, 5 * damping), 1e-12, 1e6)
    return [found[:, a:b] for a, b in pairwise(edges)]


def _solve(normal: Array, down: Array, penalty: float, damping: Array) -> Array:
    """The damped step of each unit, (unit, column); of ``normal`` the lower triangles are read."""
    from scipy.linalg.lapack import dposv

    total = normal.shape[-1]
    out = np.empty_like(down)
    for u in range(len(out)):
        one = normal[u].copy()
        diagonal = np.einsum("ii->i", one)
        diagonal += (penalty + damping[u] * diagonal.sum()) / total
        # LAPACK counts the other way round: the lower triangle is its upper one.
        _, out[u], failed = dposv(one.T, down[u], lower=0, overwrite_a=1)
        if failed:  # not positive in rounding
            lower = np.tril(normal[u])
            whole = lower + np.tril(lower, -1).T
            whole[np.diag_indices(total)] += (penalty + damping[u] * np.trace(lower)) / total
            out[u] = np.linalg.solve(whole, down[u])
    return out


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
    """Makes normal matrices of columns by gates, (column of a gate, column of a gate).

    Parameters
    ----------
    left : array (step, column)
    columns : sequence of array of int
        The columns of each gate. Gates of few columns come last.
    """

    def __init__(self, left: Array, columns: Sequence[NDArray[np.intp]]) -> None:
        width = left.shape[1]
        self.columns = columns
        self.wide = sum(2 * len(c) > width for c in columns)
        self.pairs = column_pairs(left)
        # By gate, each of its columns with all columns, (step, column of the gate * column).
        self.few = [
            (left[:, c, None] * left[:, None, :]).reshape(len(left), -1)
            for c in columns[self.wide :]
        ]

    def fill(self, normal: Array, units: NDArray[np.intp], by_times: Array, by: Array) -> None:
        """Put the matrices of some units in place, their lower triangles.

        ``by`` and ``by_times`` (gate, unit, step) have those units alone.
        """
        if not len(units):
            return
        starts = np.cumsum([0, *map(len, self.columns)])
        for gate, own in enumerate(self.columns):
            pairs = self.pairs if gate < self.wide else self.few[gate - self.wide]
            # A gate with itself and with all before it.
            both = (by_times[gate] * by[: gate + 1]).reshape(-1, by.shape[-1]) @ pairs
            for other, (made, theirs) in enumerate(
                zip(both.reshape(gate + 1, len(units), -1), self.columns, strict=False)
            ):
                at = normal[:, starts[gate] : starts[gate + 1], starts[other] : starts[other + 1]]
                if gate < self.wide:
                    _unpack(made, units, own, theirs, at)
                else:
                    at[units] = made.reshape(len(units), len(own), -1)[..., theirs]


@njit(cache=True, nogil=True)
def _unpack(packed, units, rows, columns, out):  # type: ignore[no-untyped-def]
    """Blocks of symmetric matrices of which ``packed`` has the lower triangles, row by row."""
    for i in range(units.size):
        for r in range(rows.size):
            a = rows[r]
            for c in range(columns.size):
                b = columns[c]
                at = a * (a + 1) // 2 + b if b <= a else b * (b + 1) // 2 + a
                out[units[i], r, c] = packed[i, at]
