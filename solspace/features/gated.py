"""Damped Gauss-Newton steps for the gates of many units side by side.

The normal matrices of all units are one product: of the derivatives of units by pairs of gates,
(unit * pair, step), and of pairs of columns, (step, pair of columns). Steps follow the curve of
what is fitted, not its tangent alone ("geodesic acceleration", Transtrum & Sethna,
arXiv:1201.5885): half as many come as far. Large columns are fitted first, alone. A unit whose last
step was taken back keeps its matrix, and one that is followed closely, or that a step hardly
helped, is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.features.cholesky import factor_and_solve, solve_again
from solspace.networks.vectors import LANES, Vector, address, elementwise, padded, sigmoid, tanh

__all__ = ["GatedStep", "column_pairs", "fit_gates", "gru_step", "lstm_step"]

Array = NDArray[np.float64]

# Steps, and share of the largest column under which columns are left out in them.
LEVELS = ((3, 0.1), (3, 0.03), (3, 0.01), (3, 0.003), (5, 0.0))
# In float32 normal matrices take half the time, and where a fit ends then turns on their rounding:
# weights differed by a tenth from one processor to another, and by 5e-9 in float64.
LEAST_DAMPING = 1e-8
GAIN = 1e-3  # share of the cost under which a step that helps is the last one
CLOSE = 3e-10  # of a unit's mean square: what is closer to it than that is followed closely
BENT = 1.5  # of its length: what a step may be bent by along the curve


def _gru(reset: Vector, update: Vector, recurrent: Vector, given: Vector, now: Vector) -> object:
    r, z = sigmoid(reset), sigmoid(update)
    new = tanh(r.times_plus(recurrent, given))
    slope = (1.0 - z) * (1.0 - new * new)
    by_recurrent = slope * r
    return (
        z.times_plus(now - new, new),
        by_recurrent * (1.0 - r) * recurrent,
        (now - new) * z * (1.0 - z),
        by_recurrent,
        slope,
    )


def _gru_bend(
    reset: Vector, update: Vector, recurrent: Vector, given: Vector, now: Vector,
    to_reset: Vector, to_update: Vector, to_recurrent: Vector, to_given: Vector,
) -> Vector:  # fmt: skip
    r, z = sigmoid(reset), sigmoid(update)
    r1, z1 = r * (1.0 - r) * to_reset, z * (1.0 - z) * to_update
    r2, z2 = r1 * (1.0 - r * 2.0) * to_reset, z1 * (1.0 - z * 2.0) * to_update
    new = tanh(r.times_plus(recurrent, given))
    inner1 = r1.times_plus(recurrent, r.times_plus(to_recurrent, to_given))
    inner2 = r2 * recurrent + r1 * to_recurrent * 2.0
    slope = 1.0 - new * new
    new1 = slope * inner1
    new2 = slope * inner2 - new * new1 * inner1 * 2.0
    return z2 * (now - new) - z1 * new1 * 2.0 + (1.0 - z) * new2


def _lstm(enter: Vector, forget: Vector, candidate: Vector, now: Vector) -> object:
    i, f, g = sigmoid(enter), sigmoid(forget), tanh(candidate)
    return (
        f.times_plus(now, i * g),
        g * i * (1.0 - i),
        now * f * (1.0 - f),
        i * (1.0 - g * g),
    )


def _lstm_bend(
    enter: Vector, forget: Vector, candidate: Vector, now: Vector,
    to_enter: Vector, to_forget: Vector, to_candidate: Vector,
) -> Vector:  # fmt: skip
    i, f, g = sigmoid(enter), sigmoid(forget), tanh(candidate)
    i1, f1, g1 = i * (1.0 - i) * to_enter, f * (1.0 - f) * to_forget, (1.0 - g * g) * to_candidate
    i2, f2 = i1 * (1.0 - i * 2.0) * to_enter, f1 * (1.0 - f * 2.0) * to_forget
    g2 = g * g1 * to_candidate * -2.0
    return f2 * now + i2 * g + i1 * g1 * 2.0 + i * g2


_gru_vectors = elementwise(_gru, taken=5, given=5)
_gru_bend_vectors = elementwise(_gru_bend, taken=9, given=1)
_lstm_vectors = elementwise(_lstm, taken=4, given=4)
_lstm_bend_vectors = elementwise(_lstm_bend, taken=7, given=1)


# Inlined before it is compiled, so that each loop is compiled with its own vectors alone.
@njit(nogil=True, inline="always")
def _through(taken, made, none, vectors):  # type: ignore[no-untyped-def]
    source, out, size = address(taken, (0, 0)), address(made, (0, 0)), taken.shape[1]
    vectors(source, size, out, size, address(none, (0,)), size)


@njit(cache=True, nogil=True)
def _run_gru(taken, made, none):  # type: ignore[no-untyped-def]
    _through(taken, made, none, _gru_vectors)


@njit(cache=True, nogil=True)
def _bend_gru(taken, made, none):  # type: ignore[no-untyped-def]
    _through(taken, made, none, _gru_bend_vectors)


@njit(cache=True, nogil=True)
def _run_lstm(taken, made, none):  # type: ignore[no-untyped-def]
    _through(taken, made, none, _lstm_vectors)


@njit(cache=True, nogil=True)
def _bend_lstm(taken, made, none):  # type: ignore[no-untyped-def]
    _through(taken, made, none, _lstm_bend_vectors)


class GatedStep(NamedTuple):
    """One step of a unit as a function of the drives of its gates.

    Attributes
    ----------
    gates : int
        How many drives.
    compiled, bend : callable
        Compiled loops over numbers side by side.
    """

    gates: int
    compiled: Callable[..., None]
    bend: Callable[..., None]

    def __call__(self, taken: Array) -> Array:
        """Next state and its derivative by each drive, (1 + gate, unit, step).

        Parameters
        ----------
        taken : array (gate + 1, unit, step)
            The drives of the gates, and then the state.

        Examples
        --------
        >>> lstm_step(np.zeros((4, 1, 1)) + [[[0]], [[0]], [[1]], [[2]]])[:, 0, 0].round(2).tolist()
        [1.38, 0.19, 0.5, 0.21]
        """
        return self._made(self.compiled, taken, self.gates + 1)

    def second_derivative(self, taken: Array) -> Array:
        """Of the next state along a line of drives, (unit, step).

        Parameters
        ----------
        taken : array (gate + 1 + gate, unit, step)
            As a call takes it, and then how each drive changes along the line.
        """
        return self._made(self.bend, taken, 1)[0]

    @staticmethod
    def _made(compiled: Callable[..., None], taken: Array, given: int) -> Array:
        flat = np.ascontiguousarray(taken, np.float64).reshape(len(taken), -1)
        size = flat.shape[1]
        if size % LANES:
            flat = np.pad(flat, ((0, 0), (0, padded(size) - size)))
        made = np.empty((given, flat.shape[1]))
        compiled(flat, made, _NONE)
        return made[:, :size].reshape(given, *taken.shape[1:])


_NONE = np.zeros(1)

# A GRU's next activity by the drives of the reset gate, the update gate, and the recurrent and the
# given part of its candidate; an LSTM's next cell state by those of the input gate, the forget gate
# and its candidate.
gru_step = GatedStep(4, _run_gru, _bend_gru)
lstm_step = GatedStep(3, _run_lstm, _bend_lstm)


def fit_gates(
    left: Array,
    times: Array,
    columns: Sequence[NDArray[np.intp]],
    step: GatedStep,
    now: Array,
    after: Array,
    *,
    penalty: float,
    size: Array | None = None,
) -> list[Array]:
    """Weights (unit, column) of each gate, from zero, all units side by side.

    Damping goes down by a factor of 0.2 where a step helps and up by 5 where it does not and is
    taken back, unit by unit (Levenberg 1944).

    Parameters
    ----------
    left : array (step, column)
        What gates are linear in.
    times : array (step,)
        How often each step counts.
    columns : sequence of array of int
        The columns of each gate.
    step : GatedStep
        `gru_step` or `lstm_step`.
    now, after : array (unit, step)
        The state of each unit before and after.
    penalty : float
        On the squares of the weights.
    size : array (column,), optional
        Of the columns. Large ones are fitted first and smaller ones come in as damping goes down:
        it would hardly let them move before, and few columns make small matrices. Without it all
        are there from the start.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> left, now = rng.normal(size=(300, 3)), rng.normal(size=(1, 300))
    >>> true = rng.normal(size=(3, 3))
    >>> after = lstm_step(np.stack([*(left @ true.T).T[:, None], now]))[0]
    >>> every = [np.arange(3)] * 3
    >>> found = fit_gates(left, np.ones(300), every, lstm_step, now, after, penalty=1e-12)
    >>> bool(np.allclose(np.concatenate(found), true, atol=1e-3))
    True
    """
    many = padded(len(left)) - len(left)  # whole vectors of steps; those added do not count
    left = np.pad(left, ((0, many), (0, 0)))
    share = np.pad(times / times.sum(), (0, many))
    now, after = (np.pad(a, ((0, 0), (0, many))) for a in (now, after))
    found = [np.zeros((len(now), len(c))) for c in columns]
    found[1][:, -1] = 1.0  # units that remember
    damping = np.full(len(now), 0.1)
    size = np.ones(left.shape[1]) if size is None else size / size.max()
    levels = [(size > least, steps) for steps, least in LEVELS]
    for _, alike in groupby(levels, key=lambda level: level[0].tobytes()):
        (kept, *_), steps = zip(*alike, strict=True)
        place = np.cumsum(kept) - 1
        level = _Level(
            left[:, kept], share, [place[c[kept[c]]] for c in columns], step, now, after, penalty
        )
        weights = np.concatenate(
            [w[:, kept[c]] for w, c in zip(found, columns, strict=True)], axis=1
        )
        level.fit(weights, damping, sum(steps))
        for whole, c, gate in zip(found, columns, level.gates, strict=True):
            whole[:, kept[c]] = weights[:, gate]
    return found


class _Level:
    """A fit of all units on some of the columns."""

    def __init__(
        self, left: Array, share: Array, columns: Sequence[NDArray[np.intp]], step: GatedStep,
        now: Array, after: Array, penalty: float,
    ) -> None:  # fmt: skip
        self.share, self.step, self.now, self.after = share, step, now, after
        self.penalty = penalty
        edges = np.cumsum([0, *(len(c) for c in columns)])
        self.gates = [slice(a, b) for a, b in pairwise(edges.tolist())]
        self.parts = [np.ascontiguousarray(left[:, c].T) for c in columns]
        self.products = _Products(left, columns, len(now))
        self.close = CLOSE * (after**2 @ share)

    def drive(self, weights: Array, out: Array) -> None:
        for gate, part, own in zip(self.gates, self.parts, out, strict=True):
            np.matmul(weights[:, gate], part, out=own)

    def back(self, by: Array, units: NDArray[np.intp], wrong: Array) -> Array:
        """Sums over steps of errors of some units times derivatives by weights, (unit, column)."""
        weighed = np.empty((len(by), *wrong.shape))
        _weigh(by, units, wrong, self.share, weighed)
        return np.concatenate(
            [one @ part.T for one, part in zip(weighed, self.parts, strict=True)], axis=1
        )

    def predict(self, weights: Array, some: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        taken = np.empty((self.step.gates + 1, len(some), self.now.shape[1]))
        self.drive(weights, taken[:-1])
        taken[-1] = self.now[some]
        made = self.step(taken)
        made[0] -= self.after[some]
        cost = made[0] ** 2 @ self.share + self.penalty * (weights**2).mean(axis=1)
        return taken, made, cost

    def fit(self, found: Array, damping: Array, iterations: int) -> None:
        """Make weights (unit, column) better, and damping (unit,) what comes next, in place."""
        step, penalty, share, products = self.step, self.penalty, self.share, self.products
        units, total = found.shape
        # Of all units, where they stand: drives, state, and how drives change along a step; errors
        # and derivatives; the gradient.
        at = np.empty((2 * step.gates + 1, *self.now.shape))
        there = np.empty((step.gates + 1, *self.now.shape))
        slope = np.empty((units, total))
        at[: step.gates + 1], there[:], cost = self.predict(found, np.arange(units))
        # A unit that was done may go on with more columns, but not one that is followed closely.
        live = moved = np.flatnonzero(cost > self.close)
        for _ in range(iterations):
            if not len(live):
                break
            # Units that have not moved stand where they stood.
            products.fill(moved, there[1:], share)
            slope[moved] = self.back(there[1:], moved, there[0, moved])
            slope[moved] += penalty / total * found[moved]
            ahead = -products.solve(live, slope[live], penalty, damping[live])
            line = _of(at, live)
            self.drive(ahead, line[step.gates + 1 :])
            bend = -products.solve_again(self.back(there[1:], live, step.second_derivative(line)))
            bent = 2 * np.linalg.norm(bend, axis=1) < BENT * np.linalg.norm(ahead, axis=1)
            tried = found[live] + ahead + np.where(bent, 0.5, 0.0)[:, None] * bend
            taken, made, new_cost = self.predict(tried, live)
            old_cost = cost[live]
            better = new_cost < old_cost
            going = better & (new_cost < (1 - GAIN) * old_cost) & (new_cost > self.close[live])
            found[live[better]], cost[live[better]] = tried[better], new_cost[better]
            damping[live] = np.clip(np.where(better, 0.2, 5) * damping[live], LEAST_DAMPING, 1e6)
            moved = live[going]
            _keep(taken, going, live, at)
            _keep(made, going, live, there)
            live = live[going | ~better]


def _of(array: Array, units: NDArray[np.intp]) -> Array:
    """Of some units, (..., unit, step); without a copy where it is all."""
    return array if len(units) == array.shape[1] else array[:, units]


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
    _multiply_columns(np.ascontiguousarray(left), out)
    return out


@njit(cache=True, nogil=True)
def _multiply_columns(left, out):  # type: ignore[no-untyped-def]
    for s in range(left.shape[0]):
        row, into, first = left[s], out[s], 0
        for c in range(row.size):
            for other in range(c + 1):
                into[first + other] = row[c] * row[other]
            first += c + 1


class _Products:
    """Normal matrices of columns by gates, (column of a gate, column of a gate), of all units.

    Parameters
    ----------
    left : array (step, column)
    columns : sequence of array of int
        The columns of each gate. That of the last may be few.
    units : int
    """

    def __init__(self, left: Array, columns: Sequence[NDArray[np.intp]], units: int) -> None:
        width, self.gates = left.shape[1], len(columns)
        self.wide = self.gates - (2 * len(columns[-1]) <= width)
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
        # Factors of eight units at a time, kept until the next are made.
        n, groups = int(self.edges[-1]), -(-units // LANES)
        self.factors = np.zeros((groups, n + 1, n, LANES))
        self.inverse = np.zeros((groups, n, LANES))

    def fill(self, units: NDArray[np.intp], by: Array, share: Array) -> None:
        """Note the matrices of some units from derivatives (gate, unit, step) of all."""
        if not len(units):
            return
        self.packed[:, units] = self._sums(by, units, share, self.first, self.second, self.pairs)
        if self.few.shape[1]:
            gates = np.arange(self.gates)
            last = np.full(self.gates, self.gates - 1)
            self.packed_few[:, units] = self._sums(by, units, share, last, gates, self.few)

    @staticmethod
    def _sums(
        by: Array, units: NDArray[np.intp], share: Array, first: NDArray[np.intp],
        second: NDArray[np.intp], columns: Array,
    ) -> Array:  # fmt: skip
        products = np.empty((len(first), len(units), len(share)))
        _multiply(by, units, share, first, second, products)
        whole = products.reshape(-1, products.shape[-1]) @ columns  # one product of matrices
        return whole.reshape(len(first), -1, columns.shape[1])

    def solve(self, units: NDArray[np.intp], down: Array, penalty: float, damping: Array) -> Array:
        """The damped step of some units, (unit, column); NaN where rounding leaves none."""
        out = np.empty_like(down)
        _solve(
            self.packed, self.packed_few, self.first, self.second, self.wide, self.edges,
            self.columns, self.factors, self.inverse, units, down, penalty, damping, out,
        )  # fmt: skip
        return out

    def solve_again(self, down: Array) -> Array:
        """The same for another gradient of the same units, from the same factors."""
        out = np.empty_like(down)
        _solve_again(self.factors, self.inverse, down, out)
        return out


@njit(cache=True, nogil=True)
def _multiply(by, units, share, first, second, out):  # type: ignore[no-untyped-def]
    """Products of derivatives by pairs of gates, by how much each step counts."""
    for p in range(first.size):
        for u in range(units.size):
            one, other, into = by[first[p], units[u]], by[second[p], units[u]], out[p, u]
            for s in range(share.size):
                into[s] = one[s] * other[s] * share[s]


@njit(cache=True, nogil=True)
def _weigh(by, units, wrong, share, out):  # type: ignore[no-untyped-def]
    for gate in range(by.shape[0]):
        for u in range(units.size):
            one, other, into = by[gate, units[u]], wrong[u], out[gate, u]
            for s in range(share.size):
                into[s] = one[s] * other[s] * share[s]


@njit(cache=True, nogil=True)
def _keep(tried, kept, units, out):  # type: ignore[no-untyped-def]
    """Put what some units tried, (plane, some, step), in its place, (plane, unit, step)."""
    for plane in range(tried.shape[0]):
        for u in range(units.size):
            if kept[u]:
                out[plane, units[u]] = tried[plane, u]


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
    packed, packed_few, first, second, wide, edges, columns, factors, inverses, some, right,
    penalty, damping, out,
):  # fmt: skip
    units, n = right.shape
    found = np.zeros((n, LANES))
    for unit in range(0, units, LANES):
        count = min(LANES, units - unit)
        lanes = some[unit : unit + count]
        a, inverse = factors[unit // LANES], inverses[unit // LANES]
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
        _put(found, inverse, out, unit, count)


@njit(cache=True, nogil=True)
def _solve_again(factors, inverses, right, out):  # type: ignore[no-untyped-def]
    units, n = right.shape
    found = np.zeros((n, LANES))
    for unit in range(0, units, LANES):
        count = min(LANES, units - unit)
        a, inverse = factors[unit // LANES], inverses[unit // LANES]
        for i in range(n):
            for u in range(count):
                a[n, i, u] = right[unit + u, i]
        solve_again(a, inverse, found)
        _put(found, inverse, out, unit, count)


@njit(nogil=True)
def _put(found, inverse, out, unit, count):  # type: ignore[no-untyped-def]
    for u in range(count):
        positive = True
        for i in range(inverse.shape[0]):
            positive &= inverse[i, u] > 0
        for i in range(inverse.shape[0]):
            out[unit + u, i] = found[i, u] if positive else np.nan
