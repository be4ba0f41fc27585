"""What a two-neuron network can do: all its fixed points and limit cycles, and where it ends.

Fixed points are found by interval subdivision with Krawczyk's test (Moore, Kearfott & Cloud,
*Introduction to Interval Analysis*, 2009), which leaves no box unexamined.

Limit cycles are found on a section that none can avoid. Where x1 is largest on a closed orbit,
dx1/dt = 0; the curve of all such states is a graph x2 = g(x1) when w12 is not 0, and orbits cross
it transversally but at fixed points. Between two fixed points the first return P to a piece of it
is increasing (orbits in the plane do not cross), so that an interval [a, b] holds no cycle when
P(a) > b or P(b) < a; what this does not exclude is halved until it does or is smaller than
`FINEST` of its piece. There is no cycle at all when w12 w21 >= 0 (the flow is monotone, Hirsch
1982) or when w11 and w22 let the divergence nowhere be positive (Bendixson).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.two_neuron.dynamics import START, TARGET, as_weights

__all__ = [
    "NEAR",
    "DynamicalObjects",
    "FixedPoint",
    "LimitCycle",
    "dynamical_objects",
    "fixed_points",
    "limit_cycles",
    "origin_kind",
]

# An attractor this close to the target (a quarter of its distance from the origin) is at the
# target: a loss of 1e-4 lets the state at T be 0.014 away, and it need not have settled by then.
NEAR = 0.25

FINEST = 2e-3
_COARSE, _FINE = 0.05, 0.01  # steps of the integration, for looking and for the values kept
_LONGEST = 200.0  # without coming back to the section
_SETTLED = 1e-4  # closer to a stable point than this, nothing else is to come
_ENDS_BY = 5000.0

_NUMBA = {"cache": True, "nogil": True, "error_model": "numpy"}


class FixedPoint(NamedTuple):
    """A fixed point; ``kind`` is one of `solspace.two_neuron.flags.FIXED_POINTS`."""

    state: NDArray[np.float64]
    kind: str


class LimitCycle(NamedTuple):
    """A limit cycle by its state of largest x1; ``log_multiplier`` is negative where it attracts.

    ``kind`` is one of `solspace.two_neuron.flags.LIMIT_CYCLES`; ``distance`` is from the target.
    """

    state: NDArray[np.float64]
    period: float
    log_multiplier: float
    kind: str
    distance: float


class DynamicalObjects(NamedTuple):
    """Everything there is in the plane of one network.

    ``origin`` is one of `solspace.two_neuron.flags.ORIGINS`, ``ending`` one of its ``ENDINGS``;
    ``key`` says the ending and the counts, equal where two networks are of one kind.
    """

    fixed_points: list[FixedPoint]
    limit_cycles: list[LimitCycle]
    origin: str
    ending: str
    ending_distance: float
    key: str
    description: str


# --------------------------------------------------------------------------- fixed points


@njit(**_NUMBA)
def _residual(w, x, y):  # type: ignore[no-untyped-def]
    t, u = np.tanh(x), np.tanh(y)
    return w[0] * t + w[1] * u - x, w[2] * t + w[3] * u - y


@njit(**_NUMBA)
def _newton(w, x, y):  # type: ignore[no-untyped-def]
    for _ in range(50):
        t, u = np.tanh(x), np.tanh(y)
        p, q = 1 - t * t, 1 - u * u
        f, g = w[0] * t + w[1] * u - x, w[2] * t + w[3] * u - y
        a, b, c, d = w[0] * p - 1, w[1] * q, w[2] * p, w[3] * q - 1
        det = a * d - b * c
        if det == 0:
            break
        dx, dy = (d * f - b * g) / det, (a * g - c * f) / det
        x, y = x - dx, y - dy
        if abs(dx) + abs(dy) < 1e-14 * (1 + abs(x) + abs(y)):
            break
    return x, y


@njit(**_NUMBA)
def _times(scale, low, high):  # type: ignore[no-untyped-def]
    if scale < 0:
        return scale * high, scale * low
    return scale * low, scale * high


@njit(**_NUMBA)
def _slopes(low, high):  # type: ignore[no-untyped-def]
    """The range of 1 - tanh^2 between two values."""
    a, b = 1 - np.tanh(low) ** 2, 1 - np.tanh(high) ** 2
    return min(a, b), (1.0 if low < 0 < high else max(a, b))


@njit(**_NUMBA)
def _spread(c, low, high, radius):  # type: ignore[no-untyped-def]
    """Largest |c x| r over an interval of x: the reach of an interval factor."""
    return max(abs(c + low), abs(c + high)) * radius


@njit(**_NUMBA)
def _all_roots(w, found):  # type: ignore[no-untyped-def]
    """Fill ``found`` (most, 2); the number of roots, and of boxes that stayed undecided."""
    boxes = np.empty((4096, 4))
    # Off centre, so that halves do not meet in the origin.
    reach, over = abs(w[0]) + abs(w[1]) + 1e-3, abs(w[2]) + abs(w[3]) + 1e-3
    # Boxes are kept this much wider than they must be: in one thinner than rounding, such as where
    # one unit does not depend on the other, a root would be ruled out by its last bits.
    margin = 1e-10 * (1 + reach + over)
    boxes[0] = -1.0313 * reach, 1.0171 * reach, -1.0237 * over, 1.0419 * over
    waiting, n, undecided = 1, 0, 0
    while waiting:
        waiting -= 1
        x0, x1, y0, y1 = boxes[waiting]
        a, b = _times(w[0], np.tanh(x0), np.tanh(x1))
        c, d = _times(w[1], np.tanh(y0), np.tanh(y1))
        if a + c - x1 > 0 or b + d - x0 < 0:
            continue
        a, b = _times(w[2], np.tanh(x0), np.tanh(x1))
        c, d = _times(w[3], np.tanh(y0), np.tanh(y1))
        if a + c - y1 > 0 or b + d - y0 < 0:
            continue
        p0, p1 = _slopes(x0, x1)
        q0, q1 = _slopes(y0, y1)
        # The Jacobian over the box: middles and radii of its four entries.
        p, rp, q, rq = (p0 + p1) / 2, (p1 - p0) / 2, (q0 + q1) / 2, (q1 - q0) / 2
        j11, j12, j21, j22 = w[0] * p - 1, w[1] * q, w[2] * p, w[3] * q - 1
        det = j11 * j22 - j12 * j21
        split = True
        if abs(det) > 1e-12:
            i11, i12, i21, i22 = j22 / det, -j12 / det, -j21 / det, j11 / det
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            rx, ry = (x1 - x0) / 2, (y1 - y0) / 2
            f, g = _residual(w, x, y)
            kx, ky = x - i11 * f - i12 * g, y - i21 * f - i22 * g
            # |1 - inverse * Jacobian| is what the radii leave.
            sx = (abs(i11 * w[0] + i12 * w[2]) * rp) * rx + (abs(i11 * w[1] + i12 * w[3]) * rq) * ry
            sy = (abs(i21 * w[0] + i22 * w[2]) * rp) * rx + (abs(i21 * w[1] + i22 * w[3]) * rq) * ry
            slack = 1e-3 * margin
            if kx - sx > x1 + slack or kx + sx < x0 - slack:
                continue
            if ky - sy > y1 + slack or ky + sy < y0 - slack:
                continue
            if kx - sx > x0 and kx + sx < x1 and ky - sy > y0 and ky + sy < y1:
                x, y = _newton(w, kx, ky)
                known = False
                for k in range(n):
                    known |= abs(found[k, 0] - x) + abs(found[k, 1] - y) < 1e-8
                if not known and n < found.shape[0]:
                    found[n] = x, y
                    n += 1
                continue
            before = (x1 - x0) + (y1 - y0)
            x0, x1 = max(x0, kx - sx - margin), min(x1, kx + sx + margin)
            y0, y1 = max(y0, ky - sy - margin), min(y1, ky + sy + margin)
            split = (x1 - x0) + (y1 - y0) > 0.7 * before
        if max(x1 - x0, y1 - y0) < 1e-7 or waiting + 2 > boxes.shape[0]:
            undecided += 1
            x, y = _newton(w, (x0 + x1) / 2, (y0 + y1) / 2)
            f, g = _residual(w, x, y)
            known = abs(f) + abs(g) > 1e-12
            for k in range(n):
                known |= abs(found[k, 0] - x) + abs(found[k, 1] - y) < 1e-5
            if not known and n < found.shape[0]:
                found[n] = x, y
                n += 1
            continue
        if not split:
            boxes[waiting] = x0, x1, y0, y1
            waiting += 1
        elif x1 - x0 > y1 - y0:
            boxes[waiting] = x0, (x0 + x1) / 2, y0, y1
            boxes[waiting + 1] = (x0 + x1) / 2, x1, y0, y1
            waiting += 2
        else:
            boxes[waiting] = x0, x1, y0, (y0 + y1) / 2
            boxes[waiting + 1] = x0, x1, (y0 + y1) / 2, y1
            waiting += 2
    return n, undecided


def _kind(trace: float, det: float) -> str:
    """Kind of a fixed point from trace and determinant of its Jacobian."""
    if abs(det) < 1e-9 or (det > 0 and abs(trace) < 1e-9):
        return "other"
    if det < 0:
        return "saddle"
    shape = "focus" if trace * trace < 4 * det else "node"
    return f"{'stable' if trace < 0 else 'unstable'}_{shape}"


def _jacobian(w: NDArray[np.float64], state: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(w * (1 - np.tanh(state) ** 2) - np.eye(2))


def fixed_points(weights: ArrayLike) -> list[FixedPoint]:
    """All fixed points of one network, the origin first, then by x1 and x2.

    Parameters
    ----------
    weights : array (2, 2)

    Examples
    --------
    >>> [point.kind for point in fixed_points([[2.0, 0.0], [0.0, 2.0]])].count("stable_node")
    4
    """
    w = as_weights(weights)[0]
    found = np.empty((64, 2))
    n, _ = _all_roots(w.ravel(), found)
    # The origin is exact, and there whatever the boxes say.
    away = [state for state in found[:n] if np.abs(state).max() > 1e-8]
    states = [np.zeros(2), *sorted(away, key=lambda state: (state[0], state[1]))]
    kinds = []
    for state in states:
        j = _jacobian(w, state)
        kinds.append(_kind(float(np.trace(j)), float(j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0])))
    return [FixedPoint(state, kind) for state, kind in zip(states, kinds, strict=True)]


def origin_kind(weights: ArrayLike) -> str:
    """The dynamics near the origin, as the paper counts them.

    Examples
    --------
    >>> origin_kind([[2.0, -1.0], [1.0, 2.0]]), origin_kind([[2.0, 0.0], [0.0, 0.0]])
    ('rotating_unstable', 'unstable_without_rotation')
    """
    values = np.linalg.eigvals(as_weights(weights)[0] - np.eye(2))
    if values.real.max() <= 0:
        return "stable"
    return "rotating_unstable" if abs(values.imag).max() > 0 else "unstable_without_rotation"


# --------------------------------------------------------------------------- limit cycles


@njit(**_NUMBA)
def _slope(w, x, y):  # type: ignore[no-untyped-def]
    t, u = np.tanh(x), np.tanh(y)
    return w[0] * t + w[1] * u - x, w[2] * t + w[3] * u - y


@njit(**_NUMBA)
def _runge_kutta(w, x, y, h):  # type: ignore[no-untyped-def]
    k1, l1 = _slope(w, x, y)
    k2, l2 = _slope(w, x + h / 2 * k1, y + h / 2 * l1)
    k3, l3 = _slope(w, x + h / 2 * k2, y + h / 2 * l2)
    k4, l4 = _slope(w, x + h * k3, y + h * l3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), y + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)


@njit(**_NUMBA)
def _divergence(w, x, y):  # type: ignore[no-untyped-def]
    return w[0] * (1 - np.tanh(x) ** 2) + w[3] * (1 - np.tanh(y) ** 2) - 2


@njit(**_NUMBA)
def _near_point(points, x, y):  # type: ignore[no-untyped-def]
    for k in range(points.shape[0]):
        if abs(points[k, 0] - x) + abs(points[k, 1] - y) < _SETTLED:
            return k
    return -1


@njit(**_NUMBA)
def _next_maximum(w, x, y, h, longest, stable):  # type: ignore[no-untyped-def]
    """The next state of largest x1: whether there is one, it, and the time."""
    time, n = 0.0, 0
    before, _ = _slope(w, x, y)
    # A start on the section itself is no crossing: first leave it.
    before = -1.0 if abs(before) < 1e-9 else before
    while time < longest:
        p, q = _runge_kutta(w, x, y, h)
        after, _ = _slope(w, p, q)
        if before > 0 and after <= 0:
            # Regula falsi with halving (Illinois): the slope is nearly straight over a step.
            low, high, f, g = 0.0, h, before, after
            side = 0
            for _ in range(60):
                middle = high - g * (high - low) / (g - f) if g < f else (low + high) / 2
                p, q = _runge_kutta(w, x, y, middle)
                now, _ = _slope(w, p, q)
                if abs(now) < 1e-14 or high - low < 1e-14:
                    high = middle
                    break
                if now > 0:
                    low, f = middle, now
                    g = g / 2 if side == 1 else g
                    side = 1
                else:
                    high, g = middle, now
                    f = f / 2 if side == -1 else f
                    side = -1
            return True, p, q, time + high
        x, y, before, time = p, q, after, time + h
        n += 1
        if n % 20 == 0 and _near_point(stable, x, y) >= 0:
            break
    return False, x, y, time


@njit(**_NUMBA)
def _log_multiplier(w, x, y, period):  # type: ignore[no-untyped-def]
    """Integral of the divergence along a closed orbit, by Simpson's rule."""
    pairs = int(np.ceil(period / _FINE / 2))
    h = period / (2 * pairs)
    total = _divergence(w, x, y)
    for k in range(1, 2 * pairs + 1):
        x, y = _runge_kutta(w, x, y, h)
        weight = 1.0 if k == 2 * pairs else 4.0 if k % 2 else 2.0
        total += weight * _divergence(w, x, y)
    return total * h / 3


@njit(**_NUMBA)
def _on_section(w, s):  # type: ignore[no-untyped-def]
    return np.arctanh((s - w[0] * np.tanh(s)) / w[1])


@njit(**_NUMBA)
def _return(w, s, low, high, h, stable):  # type: ignore[no-untyped-def]
    """First return to the piece ]low, high[ of the section: whether, where, and when."""
    x, y = s, _on_section(w, s)
    time = 0.0
    for _ in range(6):
        there, x, y, took = _next_maximum(w, x, y, h, _LONGEST, stable)
        if not there:
            return False, 0.0, 0.0
        time += took
        if low < x < high:
            return True, x, time
    return False, 0.0, 0.0


@njit(**_NUMBA)
def _close(w, a, b, low, high, stable):  # type: ignore[no-untyped-def]
    """The cycle between a and b, where the return moves up at one and down at the other.

    Halving with long steps, then the secant method with short ones. Whether there is one, where,
    and its period.
    """
    there, to, period = _return(w, a, low, high, _COARSE, stable)
    rising = to < a
    for _ in range(25):
        s = (a + b) / 2
        there, to, period = _return(w, s, low, high, _COARSE, stable)
        if not there:
            return False, s, period
        if (to < s) == rising:
            a = s
        else:
            b = s
    s = (a + b) / 2
    there, to, period = _return(w, s, low, high, _FINE, stable)
    if not there:
        return False, s, period
    before, off_before = s, to - s
    s += 1e-3 * min(s - low, high - s)
    for _ in range(12):
        there, to, period = _return(w, s, low, high, _FINE, stable)
        if not there:
            return False, s, period
        off = to - s
        if abs(off) < 1e-11 or off == off_before:
            break
        following = s - off * (s - before) / (off - off_before)
        before, off_before = s, off
        # Never out of the piece.
        s = min(max(following, (s + low) / 2), (s + high) / 2)
    return abs(off) < 1e-8, s, period


@njit(**_NUMBA)
def _level(w, value, low, high):  # type: ignore[no-untyped-def]
    """Where s - w11 tanh(s) takes a value, between two places where it is monotone."""
    a = low - w[0] * np.tanh(low) - value
    for _ in range(60):
        middle = (low + high) / 2
        f = middle - w[0] * np.tanh(middle) - value
        if (f > 0) == (a > 0):
            low = middle
        else:
            high = middle
    return (low + high) / 2


@njit(**_NUMBA)
def _pieces(w, points):  # type: ignore[no-untyped-def]
    """Where the section is cut: fixed points, and where it leaves what orbits can reach."""
    reach, over = abs(w[0]) + abs(w[1]), abs(w[2]) + abs(w[3])
    edge = abs(w[1]) * np.tanh(over)
    turn = np.arctanh(np.sqrt(1 - 1 / w[0])) if w[0] > 1 else 0.0
    bends = np.array([-reach, -turn, turn, reach])
    cuts = np.empty(points.shape[0] + 8)
    n = 0
    for k in range(points.shape[0]):
        cuts[n] = points[k, 0]
        n += 1
    cuts[n], cuts[n + 1] = -reach, reach
    n += 2
    for k in range(3):
        a, b = bends[k], bends[k + 1]
        if b <= a:
            continue
        fa, fb = a - w[0] * np.tanh(a), b - w[0] * np.tanh(b)
        for value in (-edge, edge):
            if (fa - value) * (fb - value) < 0 and n < cuts.size:
                cuts[n] = _level(w, value, a, b)
                n += 1
    return np.sort(cuts[:n]), edge


@njit(**_NUMBA)
def _all_cycles(w, points, stable, found):  # type: ignore[no-untyped-def]
    """Fill ``found`` (most, 4): x1 and x2 where x1 is largest, period, log multiplier."""
    n = 0
    if w[1] * w[2] >= 0 or max(w[0], 0.0) + max(w[3], 0.0) <= 2:
        return n
    cuts, edge = _pieces(w, points)
    starts = np.array([1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
    waiting = np.empty((512, 6))
    for piece in range(cuts.size - 1):
        low, high = cuts[piece], cuts[piece + 1]
        if high - low < 1e-9:
            continue
        middle = (low + high) / 2
        if abs(middle - w[0] * np.tanh(middle)) >= edge:
            continue
        if w[1] * _slope(w, middle, _on_section(w, middle))[1] >= 0:  # x1 is smallest here
            continue
        size, depth = high - low, 0
        count = 2 * starts.size - 1
        last_s, last_there, last_to = 0.0, 0.0, 0.0
        for k in range(count):
            share = starts[k] if k < starts.size else 1 - starts[count - 1 - k]
            s = low + share * size
            there, to, _ = _return(w, s, low, high, _COARSE, stable)
            if k:
                waiting[depth] = last_s, s, last_there, 1.0 * there, last_to, to
                depth += 1
            last_s, last_there, last_to = s, 1.0 * there, to
        while depth:
            depth -= 1
            a, b, there_a, there_b, to_a, to_b = waiting[depth]
            if there_a == 0 and there_b == 0:
                continue
            if there_a == 1 and there_b == 1 and (to_a > b or to_b < a):
                continue
            if b - a > FINEST * size and b - a > 1e-6 and depth + 2 <= waiting.shape[0]:
                s = (a + b) / 2
                there, to, _ = _return(w, s, low, high, _COARSE, stable)
                waiting[depth] = a, s, there_a, 1.0 * there, to_a, to
                waiting[depth + 1] = s, b, 1.0 * there, there_b, to, to_b
                depth += 2
                continue
            if not (there_a == 1 and there_b == 1 and (to_a - a) * (to_b - b) <= 0):
                continue
            there, s, period = _close(w, a, b, low, high, stable)
            if not there:
                continue
            x, y = s, _on_section(w, s)
            # Another maximum on the same orbit may be larger.
            time, p, q = 0.0, x, y
            while time < period - 1e-6:
                there, p, q, took = _next_maximum(w, p, q, _FINE, _LONGEST, stable)
                if not there:
                    break
                time += took
                if p > x + 1e-7:
                    x, y = p, q
            known = False
            for k in range(n):
                known |= abs(found[k, 0] - x) + abs(found[k, 1] - y) < 1e-5
            if not known and n < found.shape[0]:
                found[n] = x, y, period, _log_multiplier(w, x, y, period)
                n += 1
    return n


@njit(**_NUMBA)
def _closest(w, x, y, duration, p, q):  # type: ignore[no-untyped-def]
    """Least distance of an orbit from a state."""
    steps = int(np.ceil(duration / _FINE))
    h = duration / steps
    least = np.inf
    for _ in range(steps):
        m, o = _runge_kutta(w, x, y, h)
        dx, dy = m - x, o - y
        length = dx * dx + dy * dy
        along = 0.0
        if length > 0:
            along = min(max(((p - x) * dx + (q - y) * dy) / length, 0.0), 1.0)
        least = min(least, np.hypot(x + along * dx - p, y + along * dy - q))
        x, y = m, o
    return least


@njit(**_NUMBA)
def _ending(w, x, y, stable, cycles):  # type: ignore[no-untyped-def]
    """Which stable point (0, k), which stable cycle (1, k), or neither (-1, -1)."""
    time, n = 0.0, 0
    before, _ = _slope(w, x, y)
    while time < _ENDS_BY:
        p, q = _runge_kutta(w, x, y, _COARSE)
        after, _ = _slope(w, p, q)
        if cycles.shape[0] and before > 0 and after <= 0:
            there, m, o, _ = _next_maximum(w, x, y, _COARSE, 2 * _COARSE, stable)
            for k in range(cycles.shape[0]):
                if there and abs(cycles[k, 0] - m) + abs(cycles[k, 1] - o) < 1e-3:
                    return 1, k
        x, y, before, time = p, q, after, time + _COARSE
        n += 1
        if n % 20 == 0:
            k = _near_point(stable, x, y)
            if k >= 0:
                return 0, k
    return -1, -1


def _objects(w: NDArray[np.float64]) -> tuple[list[FixedPoint], list[LimitCycle]]:
    flat = w.ravel()
    points = fixed_points(w)
    states = np.array([point.state for point in points])
    stable = states[[point.kind.startswith("stable") for point in points]]
    found = np.empty((16, 4))
    n = _all_cycles(flat, states, stable, found)
    cycles = []
    for x, y, period, total in found[np.argsort(-found[:n, 0])]:
        kind = "other" if abs(total) < 1e-6 else "stable" if total < 0 else "unstable"
        distance = _closest(flat, x, y, period, *TARGET)
        cycles.append(LimitCycle(np.array([x, y]), float(period), float(total), kind, distance))
    return points, cycles


def limit_cycles(weights: ArrayLike) -> list[LimitCycle]:
    """All limit cycles of one network, the one that reaches farthest in x1 first.

    Parameters
    ----------
    weights : array (2, 2)

    Examples
    --------
    >>> (cycle,) = limit_cycles([[2.0, -1.0], [1.0, 2.0]])
    >>> cycle.kind, round(cycle.period, 2)
    ('stable', 15.99)
    """
    return _objects(as_weights(weights)[0])[1]


def dynamical_objects(weights: ArrayLike) -> DynamicalObjects:
    """Everything in the plane of one network, and where its trajectory from (1, 0) ends.

    Parameters
    ----------
    weights : array (2, 2)

    Raises
    ------
    SolspaceError
        Where a weight is not finite.

    Examples
    --------
    >>> dynamical_objects([[0.5, 0.0], [0.0, 0.5]]).key
    'decay_to_origin: 1 stable'
    """
    found = as_weights(weights)
    if len(found) != 1:
        raise SolspaceError(f"{len(found)} networks; give one matrix (2, 2)")
    w = found[0]
    points, cycles = _objects(w)
    stable = [point for point in points if point.kind.startswith("stable")]
    attracting = [cycle for cycle in cycles if cycle.kind == "stable"]
    what, which = _ending(
        w.ravel(),
        *START,
        np.array([point.state for point in stable]).reshape(-1, 2),
        np.array([cycle.state for cycle in attracting]).reshape(-1, 2),
    )
    ending, distance = "undecided", float("nan")
    if what == 0:
        state = stable[which].state
        distance = float(np.hypot(*(state - TARGET)))
        ending = "point_near_target" if distance < NEAR else "point_elsewhere"
        if not state.any():
            ending = "decay_to_origin"
    elif what == 1:
        distance = float(attracting[which].distance)
        ending = "cycle_through_target" if distance < NEAR else "cycle_elsewhere"
    return DynamicalObjects(
        points,
        cycles,
        origin_kind(w),
        ending,
        distance,
        *_words(ending, [p.kind for p in points], [c.kind for c in cycles]),
    )


_ENDINGS = {
    "point_near_target": "Comes to rest near the target",
    "cycle_through_target": "Goes round on a cycle through the target",
    "decay_to_origin": "Passes the target and decays to the origin",
    "point_elsewhere": "Comes to rest away from the target",
    "cycle_elsewhere": "Goes round on a cycle away from the target",
    "undecided": "Has not ended anywhere known",
}


def _words(ending: str, points: list[str], cycles: list[str]) -> tuple[str, str]:
    """Key and description: nodes and foci are one kind, as a flow can turn one into the other."""
    stems = [kind.split("_")[0] for kind in points]
    counts = [(stems.count(k), k) for k in ("stable", "saddle", "unstable", "other")]
    rings = [(cycles.count(k), k) for k in ("stable", "unstable", "other")]
    parts = [f"{n} {k}" for n, k in counts if n]
    parts += [f"{n} {k} cycle{'s' * (n > 1)}" for n, k in rings if n]
    words = ", ".join(f"{n} {k}" for n, k in counts if n)
    n = len(points)
    text = f"{_ENDINGS[ending]}; {n} fixed point{'s' * (n > 1)} ({words})"
    round_about = ", ".join(f"{n} {k}" for n, k in rings if n)
    text += (
        f", {len(cycles)} limit cycle{'s' * (len(cycles) > 1)} ({round_about})" if cycles else ""
    )
    return f"{ending}: {', '.join(parts)}", f"{text}."
