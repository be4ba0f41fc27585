"""What a network settles to in silence: points, closed curves, or nothing yet.

Conditions (states that silence follows) are run until it is certain where they end.

A *point* is certain where a fixed point found by Newton's method is stable by the eigenvalues of
its Jacobian and the trajectory already obeys the linear law around it: over `LAW` steps the
distance vector ``d`` goes to ``J^LAW d``, up to a tenth of what is left and of what was moved. A
trajectory that is merely slow (the ghost of a saddle-node, the neighbourhood of a saddle) does not,
and is followed on.

A *cycle* is a closed curve on which a trajectory returns over many turns. Periods are no whole
numbers of steps, so no state returns exactly; but by Dirichlet's theorem some lags among a few
hundred nearly are whole numbers of turns. The two lags that return best are taken, and each state
of the last stretch is compared to the straight line between the states these two lags earlier. A
spiral that closes or opens, however slowly, has moved by then and is followed on.

Whatever has not come to rest after all steps is *unsettled* (drifting, chaotic, quasi-periodic in
two frequencies, running away) and is called that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.networks import Architecture, Weights, as_float64, hidden_size, run, state_size
from solspace.networks.registry import recurrent_architecture

__all__ = ["CYCLE", "KINDS", "POINT", "UNSETTLED", "Attractor", "Attractors", "Settling"]

POINT, CYCLE, UNSETTLED = "point", "cycle", "unsettled"
KINDS = (POINT, CYCLE, UNSETTLED)

STEPS = 20_000  # followed at most
WINDOW = 8192  # states kept of each; the longest period is two thirds of it
LAW = 128  # steps over which the linear law is checked
_FIRST, _LARGEST = 256, 2048  # steps of a chunk
_BATCH = 32  # conditions run side by side, which bounds memory

# Relative to the root mean square of states.
_SLOW = 1e-3  # speed under which a fixed point is looked for
_REACHED = 1e-9  # distance at which rounding hides the linear law
_SAME = 1e-6  # distance under which fixed points are one
_THERE = 1e-3  # distance from which on a state counts as settled
_STILL = 1e-6  # motion under which nothing is called a cycle
_AWAY = 1e6

# Relative to the size of a cycle.
_RETURN, _FARTHEST_RETURN = 2e-3, 5e-2  # of all states, of the farthest one
_CLOSED = 1e-5  # return at which there is nothing to be gained from following a cycle on
_TUBE = 0.02  # distance from a cycle within which a trajectory is on it
_CYCLES_FROM = 1024  # steps before a cycle is looked for
_SHORTEST_LAG = 200  # over which a return counts: less says little of spirals that close slowly


@dataclass(frozen=True)
class Attractor:
    """What a network settles to.

    Attributes
    ----------
    kind : {"point", "cycle", "unsettled"}
    states : array (step, state)
        One row for a point; the steps of one turn for a cycle, the first of them after the last
        but for a part of a step; the last state seen of what is unsettled.
    output : array (step, output)
        What the network puts out along them.
    period : float
        Steps of one turn, in general no whole number; 0 for a point, NaN where unsettled.
    orbit : array (step, state)
        Of a cycle further states along it, which tell closed curves apart where a turn has few
        steps; else as ``states``.
    """

    kind: str
    states: NDArray[np.float64]
    output: NDArray[np.float64]
    period: float
    orbit: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class Settling:
    """Where conditions end.

    Attributes
    ----------
    index : array, int64, (condition,)
        Into ``found`` of the `Attractors`.
    steps : array, int64, (condition,)
        Steps of silence until settled: from then on the state is within a thousandth of the size
        of states of a point, or within a fiftieth of its size of a cycle. Where a point is
        approached so slowly that it is not so near yet, the steps until it was certain; where
        unsettled all steps that it was followed for.
    output : list of array (time, output)
        Of each condition, what the network puts out in these steps.
    end : array (condition, state)
        The last state each was followed to.
    """

    index: NDArray[np.int64]
    steps: NDArray[np.int64]
    output: list[NDArray[np.float64]]
    end: NDArray[np.float64]


class _Point:
    """A stable fixed point; ``number`` is its place in the catalogue once something ends there."""

    def __init__(self, state: NDArray[np.float64], jacobian: NDArray[np.float64], radius: float):
        self.state = state
        self.law = np.linalg.matrix_power(jacobian, LAW)
        self.neutral = radius > 1 - 1e-9
        self.number = -1


class Attractors:
    """The growing catalogue of one network's attractors.

    Parameters
    ----------
    architecture : str or Architecture
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    steps : int
        For how many steps of silence a condition is followed at most.

    Attributes
    ----------
    found : list of Attractor
        In the order of the conditions that ended there first. All that is unsettled is one entry.

    Examples
    --------
    A unit that excites itself remembers the sign it was left with.

    >>> weights = {"weight_ih": np.ones((1, 1, 1)), "weight_hh": np.full((1, 1, 1), 2.0),
    ...            "bias_ih": np.zeros((1, 1)), "bias_hh": np.zeros((1, 1)),
    ...            "weight_out": np.ones((1, 1)), "bias_out": np.zeros(1)}
    >>> attractors = Attractors("vanilla", weights)
    >>> attractors.settle(np.array([[0.1], [0.9], [-0.1]])).index
    array([0, 0, 1])
    >>> [(one.kind, round(one.output.item(), 3)) for one in attractors.found]
    [('point', 0.958), ('point', -0.958)]
    """

    def __init__(
        self, architecture: str | Architecture, weights: Weights, *, steps: int = STEPS
    ) -> None:
        if isinstance(architecture, str):
            architecture = recurrent_architecture(architecture)
        if steps < _CYCLES_FROM:
            raise SolspaceError(
                f"steps={steps}; attractors need {_CYCLES_FROM} or more steps of silence"
            )
        self.architecture = architecture
        self.weights = as_float64(architecture, weights)  # type: ignore[arg-type]
        self.size = state_size(architecture, hidden_size(self.weights))
        self.steps = int(steps)
        self.found: list[Attractor] = []
        self._points: list[_Point] = []
        self._scale = 0.0

    def settle(self, states: ArrayLike) -> Settling:
        """Leave the network alone from each of these states on, and say where it ends.

        Parameters
        ----------
        states : array (condition, state)
            Full states: for an LSTM hidden state, then cell state.

        Returns
        -------
        Settling

        Raises
        ------
        SolspaceError
            For states of another size, or not finite ones.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> from solspace.networks import parameter_shapes
        >>> shapes = parameter_shapes("gru", 6, inputs=1, outputs=1)
        >>> weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        >>> settling = Attractors("gru", weights).settle(rng.normal(size=(3, 6)))
        >>> settling.index.shape, settling.end.shape
        ((3,), (3, 6))
        """
        start = np.ascontiguousarray(states, np.float64)
        if start.ndim != 2 or start.shape[1] != self.size:
            raise SolspaceError(
                f"states of shape {start.shape}; give (condition, {self.size}) for this "
                f"{self.architecture.name} network"
            )
        if not np.isfinite(start).all():
            raise SolspaceError("states hold NaN or infinity; give finite ones")
        known = len(self.found)
        parts = [
            self._settle(start[first : first + _BATCH]) for first in range(0, len(start), _BATCH)
        ]
        index = np.array([i for part in parts for i in part.index], np.int64)
        return Settling(
            self._in_order(index, known),
            np.array([s for part in parts for s in part.steps], np.int64),
            [o for part in parts for o in part.output],
            np.concatenate([part.end for part in parts]) if parts else start,
        )

    # ------------------------------------------------------------------ following

    def _settle(self, start: NDArray[np.float64]) -> Settling:
        n = len(start)
        index = np.full(n, -1, np.int64)
        steps = np.full(n, self.steps, np.int64)
        end = start.copy()
        output: list[list[NDArray[np.float64]]] = [[] for _ in range(n)]
        active = np.arange(n)
        window = start[:, None]  # the states kept of what is active, from the first condition on
        done, chunk = 0, _FIRST
        while len(active) and done < self.steps:
            chunk = min(chunk, self.steps - done)
            states, put_out = self._run(end[active], chunk)
            if not self._scale:
                self._scale = float(np.sqrt(np.mean(np.square(states)))) or 1.0
            done += chunk
            end[active] = states[:, -1]
            for c, row in zip(active, put_out, strict=True):
                output[c].append(row)
            window = np.concatenate([window, states], axis=1)[:, -WINDOW:]
            away = ~(np.abs(end[active]).max(axis=1) < _AWAY * self._scale)
            settled = self._attractors_of(window, done, ~away)
            for c, number, kept in zip(active, settled, window, strict=True):
                if number >= 0:
                    index[c] = number
                    steps[c] = done - self._steps_there(self.found[number], kept)
            steps[active[away]] = done
            staying = (settled < 0) & ~away
            active, window = active[staying], window[staying]
            chunk = min(2 * chunk, _LARGEST) if done >= 2 * _FIRST else _FIRST
        for c in np.flatnonzero(index < 0):
            index[c] = self._unsettled(end[c])
        joined = [np.concatenate(rows)[:s] for rows, s in zip(output, steps, strict=True)]
        return Settling(index, steps, joined, end)

    def _run(
        self, start: NDArray[np.float64], steps: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        silence = np.zeros((len(start), steps, self.weights["weight_ih"].shape[-1]))
        with np.errstate(all="ignore"):  # what runs away is unsettled
            return run(self.architecture, self.weights, silence, start)

    def _output(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        units = states[:, : hidden_size(self.weights)]
        return np.asarray(units @ self.weights["weight_out"].T + self.weights["bias_out"])

    def _attractors_of(
        self, window: NDArray[np.float64], done: int, within: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Where each trajectory ends, by place in the catalogue; -1 where it is not certain yet."""
        number = np.full(len(window), -1, np.int64)
        for i, kept in enumerate(window):
            if within[i]:
                number[i] = self._known(kept, done)
        speed = _rms(window[:, -1] - window[:, -2])
        looked = np.flatnonzero(within & (number < 0) & (speed < _SLOW * self._scale))
        for i in looked[np.argsort(speed[looked], kind="stable")]:
            number[i] = self._known(window[i], done)  # found from another one meanwhile
            if number[i] < 0 and self._look_for_point(window[i, -1]):
                number[i] = self._known(window[i], done)
        if done >= _CYCLES_FROM:
            for i in np.flatnonzero(within & (number < 0)):
                number[i] = self._known(window[i], done)
                if number[i] < 0:
                    number[i] = self._look_for_cycle(window[i], done)
        return number

    def _known(self, kept: NDArray[np.float64], done: int) -> int:
        for point in self._points:
            if self._ends_in(kept, point):
                if point.number < 0:
                    state = point.state[None]
                    point.number = self._add(POINT, state, 0.0, state)
                return point.number
        for number, attractor in enumerate(self.found):
            if attractor.kind == CYCLE and self._is_on(kept, attractor):
                return number
        return -1

    # ------------------------------------------------------------------ points

    def _ends_in(self, kept: NDArray[np.float64], point: _Point) -> bool:
        """Whether a trajectory obeys the linear law of a stable fixed point."""
        if len(kept) <= LAW:
            return False
        now = kept[-1] - point.state
        then = kept[-1 - LAW] - point.state
        left, moved = _rms(now), _rms(now - then)
        if point.neutral:
            return bool(left < _SAME * self._scale and moved < 1e-12 * self._scale)
        if left < _REACHED * self._scale:
            return True
        return bool(_rms(now - point.law @ then) < 0.1 * min(left, moved))

    def _look_for_point(self, state: NDArray[np.float64]) -> bool:
        """Newton's method from a slow state; whether a stable point was found that was not known.

        It is given up where it leads away or does not converge: what is followed on gets nearer.
        """
        x = state.copy()
        before = np.inf
        for _ in range(12):
            rest = self._step(x[None])[0] - x
            size = _rms(rest)
            if not size < before:  # converged to rounding, or going astray
                break
            before = size
            best = x
            jacobian = self._jacobian(x)
            x = x + np.linalg.lstsq(np.eye(len(x)) - jacobian, rest, rcond=1e-13)[0]
            if not _rms(x - state) < self._scale:
                return False
        if before > 1e-10 * self._scale:
            return False
        if any(_rms(best - point.state) < _SAME * self._scale for point in self._points):
            return False
        jacobian = self._jacobian(best)
        radius = float(np.abs(np.linalg.eigvals(jacobian)).max())
        if radius > 1 + 1e-7:
            return False
        self._points.append(_Point(best, jacobian, radius))
        return True

    def _step(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._run(states, 1)[0][:, 0]

    def _jacobian(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of one step in silence, by central differences: the same for every architecture."""
        h = 1e-5 * self._scale
        moved = self._step(np.concatenate([x + h * np.eye(len(x)), x - h * np.eye(len(x))]))
        return np.asarray((moved[: len(x)] - moved[len(x) :]).T / (2 * h))

    # ------------------------------------------------------------------ cycles

    def _is_on(self, kept: NDArray[np.float64], cycle: Attractor) -> bool:
        """Whether a trajectory has run along a cycle for a turn and 256 steps at least."""
        span = max(256, int(np.ceil(cycle.period)) + 1)
        if len(kept) < span:
            return False
        size = _size(cycle.orbit)
        picked = kept[-span:][_scattered(span)]
        if not 0.5 * size < _size(picked) < 2 * size:
            return False
        return bool(_distance(picked, cycle.orbit).max() < _TUBE * size)

    def _look_for_cycle(self, kept: NDArray[np.float64], done: int) -> int:
        """The place in the catalogue of the cycle that a trajectory is on, or -1.

        One that is found is followed on until its returns get no closer, so that trajectories
        that approach it from two sides lead to the same.
        """
        kept = kept[-min(len(kept), done - 100) :]
        found = self._returns(kept)
        if found is None:
            return -1
        for _ in range(10):
            if found[0] < _CLOSED:
                break
            more = self._run(kept[-1:], len(kept))[0][0]
            again = self._returns(more)
            if again is None:
                return -1
            closer = again[0] < 0.5 * found[0]
            found, kept = again, more
            if not closer:
                break
        period = found[1]
        turn = max(1, round(period))
        orbit = kept[-max(turn + 2, 1024) :]
        cycle = Attractor(CYCLE, orbit[-turn:], self._output(orbit[-turn:]), period, orbit)
        for number, other in enumerate(self.found):
            if other.kind == CYCLE and self._is_on(kept, other):
                return number
        self.found.append(cycle)
        return len(self.found) - 1

    def _returns(self, kept: NDArray[np.float64]) -> tuple[float, float] | None:
        """How closely a trajectory returns, relative to its size, and its period; None if not."""
        block = len(kept) // 3
        kept = kept - kept[-block:].mean(axis=0)
        size = _size(kept[-block:])
        if size < _STILL * self._scale:
            return None
        longest = len(kept) - block
        at = len(kept) - block + _scattered(block)
        lags = np.arange(longest + 1)
        square = np.square(kept).sum(axis=1)
        product = kept[at] @ kept.T
        earlier = at[:, None] - lags
        product = product[np.arange(len(at))[:, None], earlier]
        distance = square[at, None] + square[earlier] - 2 * product
        by_lag = np.sqrt(np.maximum(distance.mean(axis=0), 0) / kept.shape[1])
        best = _SHORTEST_LAG + np.argsort(by_lag[_SHORTEST_LAG:], kind="stable")[:8]
        least, first, second, share = np.inf, 0, 0, 1.0
        for a, b in _pairs(best):
            apart = kept[at - a] - kept[at - b]
            rest = kept[at] - kept[at - b]
            norm = np.square(apart).sum()
            w = float(np.clip((apart * rest).sum() / norm, 0, 1)) if norm > 0 else 1.0
            off = _rms(rest - w * apart)
            miss = float(np.sqrt(np.mean(np.square(off))))
            if miss < least:
                least, first, second, share, farthest = miss, a, b, w, off.max()
        if not (least < _RETURN * size and farthest < _FARTHEST_RETURN * size):
            return None
        return least / size, _period(by_lag, first, second, share)

    # ------------------------------------------------------------------ catalogue

    def _add(
        self, kind: str, states: NDArray[np.float64], period: float, orbit: NDArray[np.float64]
    ) -> int:
        self.found.append(Attractor(kind, states, self._output(states), period, orbit))
        return len(self.found) - 1

    def _unsettled(self, state: NDArray[np.float64]) -> int:
        for number, attractor in enumerate(self.found):
            if attractor.kind == UNSETTLED:
                return number
        return self._add(UNSETTLED, state[None], float("nan"), state[None])

    def _in_order(self, index: NDArray[np.int64], known: int) -> NDArray[np.int64]:
        """Number what is new by the first condition that ends there."""
        new = [i for i in dict.fromkeys(index.tolist()) if i >= known]
        # All that was found has a condition that ends there.
        order = [*range(known), *new]
        place = np.empty(len(self.found), np.int64)
        place[order] = np.arange(len(order))
        self.found = [self.found[i] for i in order]
        for point in self._points:
            if point.number >= 0:
                point.number = int(place[point.number])
        return place[index] if len(index) else index

    def _steps_there(self, attractor: Attractor, kept: NDArray[np.float64]) -> int:
        """For how many of the last states kept a trajectory has been at what it settles to."""
        if attractor.kind == POINT:
            off = _rms(kept - attractor.states[0]) > _THERE * self._scale
            return int(np.argmax(off[::-1])) if off.any() else len(kept) - 1
        near = _TUBE * _size(attractor.orbit)
        stride = 16
        coarse = _distance(kept[::-stride], attractor.orbit) > near
        if not coarse.any():
            return len(kept) - 1
        last = int(np.argmax(coarse))  # strides before the end
        if last == 0:
            return 0
        fine = kept[::-1][(last - 1) * stride : last * stride + 1]
        return (last - 1) * stride + int(np.argmax(_distance(fine, attractor.orbit) > near))


def _pairs(items: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    for i, a in enumerate(items.tolist()):
        for b in items[i + 1 :].tolist():
            yield a, b


def _scattered(n: int) -> NDArray[np.int64]:
    """At most 128 of n places, evenly but with no period of their own."""
    golden = np.arange(1, 129) * ((np.sqrt(5) - 1) / 2) % 1
    return np.unique((golden * n).astype(np.int64))


def _rms(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square over the state."""
    return np.asarray(np.sqrt(np.mean(np.square(x), axis=-1)))


def _size(states: NDArray[np.float64]) -> float:
    """Root mean square deviation of states from their mean."""
    return float(np.sqrt(np.mean(np.square(states - states.mean(axis=0)))))


def _distance(states: NDArray[np.float64], orbit: NDArray[np.float64]) -> NDArray[np.float64]:
    """From states to an orbit: to the nearest of its states, or to the lines before and after."""
    centre = orbit.mean(axis=0)
    x, y = states - centre, orbit - centre
    square = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    nearest = square.argmin(axis=1)
    best = _rms(x - y[nearest])
    for neighbour in (np.maximum(nearest - 1, 0), np.minimum(nearest + 1, len(y) - 1)):
        along = y[neighbour] - y[nearest]
        norm = np.square(along).sum(1)
        share = ((x - y[nearest]) * along).sum(1) / np.where(norm > 0, norm, 1)
        on = y[nearest] + np.clip(share, 0, 1)[:, None] * along
        best = np.minimum(best, _rms(x - on))
    return np.asarray(best)


def _period(by_lag: NDArray[np.float64], first: int, second: int, share: float) -> float:
    """Steps of one turn, from how far states are from those each lag earlier.

    Two lags are nearly whole numbers of turns. The shortest period is taken all whole multiples
    of which return as closely as half a step lets them.
    """
    near = 0.65 * by_lag[1]
    late = first if share >= 0.5 else second
    for k in range(2, min(first, second)):
        if not (by_lag[k] <= near and by_lag[k] <= by_lag[k - 1] and by_lag[k] <= by_lag[k + 1]):
            continue
        period = _tracked(by_lag, float(k), late, near)
        if period is None:
            continue
        a, b = round(first / period), round(second / period)
        turns = share * a + (1 - share) * b
        return (share * first + (1 - share) * second) / turns
    return share * first + (1 - share) * second


def _tracked(by_lag: NDArray[np.float64], period: float, late: int, near: float) -> float | None:
    """A period made more precise turn by turn, up to a lag; None where some turn does not return."""
    turn = 1
    while (turn + 1) * period <= late + 0.5 * period and (turn + 1) * period < len(by_lag) - 1:
        turn += 1
        around = int(turn * period)
        lags = np.arange(max(around - 1, 2), min(around + 3, len(by_lag)))
        lag = int(lags[np.argmin(by_lag[lags])])
        if by_lag[lag] > near:
            return None
        period = lag / turn
    return period
