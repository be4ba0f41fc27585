"""The compiled steps of networks with their Jacobians, and the search from each start.

A fixed point under a constant input is a state ``x`` with ``F(x) = x``, where ``F`` is one step of
the network. From each start Newton's method is followed, ``(I - J) d = F(x) - x`` with the Jacobian
``J`` of ``F``; of a step as much is taken as makes ``q = 1/2 |x - F(x)|^2`` smaller (backtracking;
Dennis & Schnabel 1996, chapter 6). Where no part of it does, or ``I - J`` cannot be solved, ``q``
is minimised on by the Levenberg-Marquardt method. That ends in a fixed point too, or where the
gradient of ``q`` vanishes and ``q`` does not: at a slow point (Sussillo & Barak, Neural Comput
2013).

All is in float64, and each start is followed by itself: nothing depends on the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.networks import Architecture, Weights, as_float64, hidden_size, state_size
from solspace.networks.registry import recurrent_architecture

__all__ = ["ENDS", "Cell", "cell_of", "follow", "jacobian"]

# How the search from a start ends.
ENDS = ("point", "slow", "stuck", "not_finite")
POINT, SLOW, STUCK, NOT_FINITE = range(4)

_TANH, _RELU, _GRU, _LSTM = range(4)
_KINDS = {
    "vanilla": _TANH,
    "leaky": _TANH,
    "relu": _RELU,
    "leaky_rate": _RELU,
    "gru": _GRU,
    "lstm": _LSTM,
}

_NEWTON, _MARQUARDT = 60, 100  # steps at most
# Largest |F(x) - x| of any unit, relative to the largest of the state or to 1.
_EXACT = 1e-14  # nothing more is gained
_IS_POINT = 1e-11  # counts as a fixed point once nothing more is gained
_FLAT = 1e-5  # gradient of q over |F(x) - x| at a slow point


class Cell(NamedTuple):
    """One network's step under one constant input, as the compiled functions take it.

    Attributes
    ----------
    kind : int
        Which equations.
    weights : array (gate * unit, unit)
        Recurrent weights.
    drive : array (gate * unit,)
        What the input gives, ``weight_ih x + bias_ih``.
    bias : array (gate * unit,)
        The recurrent bias.
    alpha : float
        Share of the way that one step goes; 1 where nothing leaks.
    size : int
        Length of the state.
    """

    kind: int
    weights: NDArray[np.float64]
    drive: NDArray[np.float64]
    bias: NDArray[np.float64]
    alpha: float
    size: int


def cell_of(
    architecture: str | Architecture, weights: Weights, given: NDArray[Any] | None = None
) -> Cell:
    """One network's step under a constant input.

    Parameters
    ----------
    architecture : str or Architecture
        vanilla, leaky, relu, leaky_rate, gru or lstm.
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    given : array (input,), optional
        What is given at every step; by default nothing.

    Raises
    ------
    SolspaceError
        For another architecture, and an input of another length or not finite.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("gru", 4, inputs=2, outputs=1)
    >>> cell_of("gru", {name: np.zeros(shape) for name, shape in shapes.items()}).size
    4
    """
    record = recurrent_architecture(architecture) if isinstance(architecture, str) else architecture
    if record.name not in _KINDS or record.compiled is None:
        raise SolspaceError(
            f"fixed points of {record.name} networks are not computed, the Jacobian of their step "
            f"is not known here; give networks of {', '.join(_KINDS)}"
        )
    own = as_float64(record, weights)  # type: ignore[arg-type]
    inputs = own["weight_ih"].shape[-1]
    x = np.zeros(inputs) if given is None else np.asarray(given, np.float64)
    if x.shape != (inputs,) or not np.isfinite(x).all():
        raise SolspaceError(
            f"a constant input {np.asarray(given).tolist()}; give {inputs} finite numbers, one for "
            "each input channel"
        )
    n = hidden_size(own)
    return Cell(
        _KINDS[record.name],
        np.ascontiguousarray(own["weight_hh"].reshape(-1, n)),
        (own["weight_ih"] @ x + own["bias_ih"]).reshape(-1),
        np.ascontiguousarray(own["bias_hh"].reshape(-1)),
        float(own["alpha"]) if "alpha" in own else 1.0,
        state_size(record, n),
    )


# What rounds as the compiler likes is compiled into what calls it (see `solspace.networks.fused`).
@njit(cache=True, nogil=True, forceinline=True, fastmath={"contract", "reassoc"})
def _times(w, x, out):  # type: ignore[no-untyped-def]
    """``out = w x``, of the first numbers of x."""
    for u in range(w.shape[0]):
        total = 0.0
        for k in range(w.shape[1]):
            total += w[u, k] * x[k]
        out[u] = total


@njit(cache=True, nogil=True, forceinline=True, fastmath={"contract"})
def _step(kind, w, drive, bias, alpha, x, rec, after, jac, with_jac):  # type: ignore[no-untyped-def]
    """``after = F(x)``, and the Jacobian of F at x where it is wanted."""
    n = w.shape[1]
    _times(w, x, rec)
    for u in range(rec.size):
        rec[u] += bias[u]
    if kind <= 1:
        for u in range(n):
            a = drive[u] + rec[u]
            if kind == 0:
                f = np.tanh(a)
                slope = 1.0 - f * f
            else:
                # Written so that NaN stays NaN.
                f = 0.0 if a < 0.0 else a
                slope = 0.0 if a < 0.0 else 1.0
            after[u] = (1.0 - alpha) * x[u] + alpha * f
            if with_jac:
                for k in range(n):
                    jac[u, k] = alpha * slope * w[u, k]
                jac[u, u] += 1.0 - alpha
    elif kind == 2:
        for u in range(n):
            r = 1.0 / (1.0 + np.exp(-(drive[u] + rec[u])))
            z = 1.0 / (1.0 + np.exp(-(drive[n + u] + rec[n + u])))
            new = np.tanh(drive[2 * n + u] + r * rec[2 * n + u])
            after[u] = (1.0 - z) * new + z * x[u]
            if with_jac:
                by_new = (1.0 - z) * (1.0 - new * new)
                by_r = by_new * rec[2 * n + u] * r * (1.0 - r)
                by_z = z * (1.0 - z) * (x[u] - new)
                by_n = by_new * r
                for k in range(n):
                    jac[u, k] = by_r * w[u, k] + by_z * w[n + u, k] + by_n * w[2 * n + u, k]
                jac[u, u] += z
    else:
        for u in range(n):
            i = 1.0 / (1.0 + np.exp(-(drive[u] + rec[u])))
            f = 1.0 / (1.0 + np.exp(-(drive[n + u] + rec[n + u])))
            g = np.tanh(drive[2 * n + u] + rec[2 * n + u])
            o = 1.0 / (1.0 + np.exp(-(drive[3 * n + u] + rec[3 * n + u])))
            c = f * x[n + u] + i * g
            out = np.tanh(c)
            after[u] = o * out
            after[n + u] = c
            if with_jac:
                by_i = i * (1.0 - i) * g
                by_f = f * (1.0 - f) * x[n + u]
                by_g = i * (1.0 - g * g)
                by_o = o * (1.0 - o) * out
                by_c = o * (1.0 - out * out)
                for k in range(n):
                    down = by_i * w[u, k] + by_f * w[n + u, k] + by_g * w[2 * n + u, k]
                    jac[n + u, k] = down
                    jac[u, k] = by_o * w[3 * n + u, k] + by_c * down
                    jac[n + u, n + k] = 0.0
                    jac[u, n + k] = 0.0
                jac[n + u, n + u] = f
                jac[u, n + u] = by_c * f


@njit(cache=True, nogil=True, forceinline=True, fastmath={"contract"})
def _solve(a, b):  # type: ignore[no-untyped-def]
    """Solve ``a x = b`` in place by elimination with pivots; False where it cannot be done."""
    n = b.size
    for k in range(n):
        best, largest = k, abs(a[k, k])
        for i in range(k + 1, n):
            if abs(a[i, k]) > largest:
                best, largest = i, abs(a[i, k])
        if not largest > 1e-300:
            return False
        if best != k:
            for j in range(k, n):
                kept = a[k, j]
                a[k, j] = a[best, j]
                a[best, j] = kept
            kept = b[k]
            b[k] = b[best]
            b[best] = kept
        for i in range(k + 1, n):
            share = a[i, k] / a[k, k]
            if share != 0.0:
                for j in range(k + 1, n):
                    a[i, j] -= share * a[k, j]
                b[i] -= share * b[k]
    for k in range(n - 1, -1, -1):
        total = b[k]
        for j in range(k + 1, n):
            total -= a[k, j] * b[j]
        b[k] = total / a[k, k]
        if not np.isfinite(b[k]):
            return False
    return True


@njit(cache=True, nogil=True)
def _q(after, x):  # type: ignore[no-untyped-def]
    total = 0.0
    for u in range(x.size):
        total += (after[u] - x[u]) ** 2
    return 0.5 * total


@njit(cache=True, nogil=True)
def _off(after, x):  # type: ignore[no-untyped-def]
    """Largest change of any unit, relative to the largest of the state or to 1."""
    most, size = 0.0, 1.0
    for u in range(x.size):
        most = max(most, abs(after[u] - x[u]))
        size = max(size, abs(x[u]))
    return most / size


@njit(cache=True, nogil=True)
def _follow(kind, w, drive, bias, alpha, x, newton, marquardt, ends, q, steps):  # type: ignore[no-untyped-def]
    """Take each row of x to where its search ends."""
    d = x.shape[1]
    rec = np.empty(w.shape[0])
    after, ahead, way, there = np.empty(d), np.empty(d), np.empty(d), np.empty(d)
    jac, a, normal = np.empty((d, d)), np.empty((d, d)), np.empty((d, d))
    for s in range(x.shape[0]):
        own = x[s]
        _step(kind, w, drive, bias, alpha, own, rec, after, jac, True)
        now = _q(after, own)
        taken = 0
        if not np.isfinite(now):
            ends[s], q[s], steps[s] = 3, np.nan, 0
            continue
        # Newton's method, of each step the first of its halves that comes nearer.
        moved = True
        while moved and taken < newton and _off(after, own) > _EXACT:
            for u in range(d):
                for k in range(d):
                    a[u, k] = -jac[u, k]
                a[u, u] += 1.0
                way[u] = after[u] - own[u]
            moved = False
            if _solve(a, way):
                share = 1.0
                for _ in range(12):
                    for u in range(d):
                        there[u] = own[u] + share * way[u]
                    _step(kind, w, drive, bias, alpha, there, rec, ahead, jac, False)
                    then = _q(ahead, there)
                    if then <= (1.0 - 2e-4 * share) * now:
                        moved = True
                        break
                    share *= 0.5
            if moved:
                taken += 1
                own[:] = there
                now = then
                _step(kind, w, drive, bias, alpha, own, rec, after, jac, True)
        # Levenberg and Marquardt's method where that led to no point.
        damping, flat, more = 1e-3, False, 0
        while _off(after, own) > _IS_POINT and not flat and more < marquardt and damping < 1e12:
            for u in range(d):
                for k in range(d):
                    a[u, k] = -jac[u, k]
                a[u, u] += 1.0
            steepest = 0.0
            for u in range(d):
                total = 0.0
                for k in range(d):
                    total += a[k, u] * (after[k] - own[k])
                way[u] = total
                steepest = max(steepest, abs(total))
            if steepest <= _FLAT * np.sqrt(2.0 * now):
                flat = True
                break
            for u in range(d):
                for k in range(d):
                    normal[u, k] = 0.0
            for m in range(d):
                for u in range(d):
                    scale = a[m, u]
                    if scale != 0.0:
                        for k in range(d):
                            normal[u, k] += scale * a[m, k]
            for u in range(d):
                normal[u, u] += damping
            more += 1
            closer = False
            if _solve(normal, way):
                for u in range(d):
                    there[u] = own[u] + way[u]
                _step(kind, w, drive, bias, alpha, there, rec, ahead, jac, False)
                then = _q(ahead, there)
                closer = then < now
            if closer:
                own[:] = there
                now = then
                damping = max(damping / 5.0, 1e-14)
                _step(kind, w, drive, bias, alpha, own, rec, after, jac, True)
            else:
                damping *= 4.0
        q[s], steps[s] = now, taken + more
        if _off(after, own) <= _IS_POINT:
            ends[s] = 0
        elif flat:
            ends[s] = 1
        else:
            ends[s] = 2


def follow(
    cell: Cell, starts: NDArray[np.float64], *, newton: int = _NEWTON, marquardt: int = _MARQUARDT
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64], NDArray[np.int32]]:
    """Where the search from each start ends.

    Parameters
    ----------
    cell : Cell
    starts : array (start, state)
    newton, marquardt : int
        Steps of either method at most.

    Returns
    -------
    states : array (start, state)
    ends : array, int8, (start,)
        Positions in `ENDS`: a fixed point, a minimum of q that is none, neither in as many steps,
        or a start from which one step leads to NaN or infinity.
    q : array (start,)
        Half the squared length of one step there.
    steps : array, int32, (start,)
        Steps that it took.

    Examples
    --------
    >>> cell = Cell(0, np.full((1, 1), 2.0), np.zeros(1), np.zeros(1), 1.0, 1)
    >>> states, ends, q, _ = follow(cell, np.array([[0.9], [0.01], [np.nan]]))
    >>> states[:2].round(3).ravel() + 0, [ENDS[end] for end in ends]
    (array([0.958, 0.   ]), ['point', 'point', 'not_finite'])
    """
    x = np.array(starts, np.float64, order="C")
    if x.ndim != 2 or x.shape[1] != cell.size:
        raise SolspaceError(f"starts of shape {x.shape}; give (start, {cell.size})")
    ends, q, steps = np.empty(len(x), np.int8), np.empty(len(x)), np.empty(len(x), np.int32)
    _follow(*cell[:5], x, newton, marquardt, ends, q, steps)
    return x, ends, q, steps


def jacobian(cell: Cell, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Jacobian of one step at each state, (..., state) to (..., state, state).

    Examples
    --------
    >>> cell = Cell(0, np.full((1, 1), 2.0), np.zeros(1), np.zeros(1), 1.0, 1)
    >>> jacobian(cell, np.zeros(1))
    array([[2.]])
    """
    x = np.asarray(states, np.float64)
    rows = np.ascontiguousarray(x.reshape(-1, cell.size))
    out = np.empty((len(rows), cell.size, cell.size))
    rec, after = np.empty(len(cell.bias)), np.empty(cell.size)
    for row, own in zip(rows, out, strict=True):
        _step(*cell[:5], row, rec, after, own, True)
    return out.reshape(*x.shape, cell.size)
