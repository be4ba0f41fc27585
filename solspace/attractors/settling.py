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
spiral that closes or opens, however slowly, has moved by then and is followed on. Where the period
is so nearly a fraction (13 steps and a ten-thousandth) that no lag comes round from the other side,
the line is prolonged; a spiral could follow that, so weighted averages over the trajectory (with
the weights of Das, Saiki, Sander & Yorke, Nonlinearity 2017) have to stand still as well.

Whatever else there is at the end is *unsettled* and is called that: it drifts or runs away, or it
wanders for good over a set of states without returning (chaos, quasi-periodicity in two
frequencies), which is told by its coming near where it was before and not being carried on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.networks import (
    Architecture,
    Weights,
    as_float64,
    hidden_size,
    read_out,
    run,
    state_size,
)
from solspace.networks.registry import recurrent_architecture

__all__ = [
    "CYCLE",
    "KINDS",
    "POINT",
    "STEPS",
    "UNSETTLED",
    "Attractor",
    "Attractors",
    "Settling",
    "check_steps",
]

POINT, CYCLE, UNSETTLED = "point", "cycle", "unsettled"
KINDS = (POINT, CYCLE, UNSETTLED)

STEPS = 20_000  # followed at most
WINDOW = 8192  # states kept of each; the longest period is two thirds of it
LAW = 128  # steps over which the linear law is checked
_FIRST, _LARGEST = 256, 2048  # steps of a chunk
_BATCH = 16  # conditions run side by side, which bounds memory

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
_OVERLAPS = 0.2  # difference of mean and covariance of one set that is wandered over
_CYCLES_FROM = 1024  # steps before a cycle is looked for
_SHORTEST_LAG = 200  # over which a return counts: less says little of spirals that close slowly
_STANDS = 1e-3  # change of averages from one third of the states kept to the next
_SHRINKS = 0.9  # from one third to the next: not worth looking at yet
_LASTS = 5e-3  # change of mean and covariance, in some thousand steps, of what lasts
_ROUNDS = 6  # of some thousand steps in which what looks like a cycle is followed on
_ALIKE = 0.02  # difference of mean and covariance of one cycle


@dataclass(frozen=True)
class Attractor:
    """What a network settles to.

    Attributes
    ----------
    kind : {"point", "cycle", "unsettled"}
    states : array (step, state)
        One row for a point; the steps of one turn for a cycle, the first of them after the last
        but for a part of a step; the last state seen where unsettled.
    output : array (step, output)
        What the network puts out along them.
    period : float
        Steps of one turn, in general no whole number; 0 for a point, NaN where unsettled.
    orbit : array (step, state)
        Further states along a cycle, in order, which tell closed curves apart where a turn has
        few steps, or of the set that is wandered over; else as ``states``.
    orbit_output : array (step, output)
        What the network puts out along these.
    """

    kind: str
    states: NDArray[np.float64]
    output: NDArray[np.float64]
    period: float
    orbit: NDArray[np.float64] = field(repr=False)
    orbit_output: NDArray[np.float64] = field(repr=False)

    @property
    def wanders(self) -> bool:
        """Whether it is a set of states that is wandered over for good, without returning."""
        return self.kind == UNSETTLED and len(self.orbit) > 1


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


def check_steps(steps: int) -> None:
    """Refuse fewer steps of silence than it takes to see a cycle.

    Examples
    --------
    >>> check_steps(20_000)
    """
    if not isinstance(steps, (int, np.integer)) or steps < _CYCLES_FROM:
        raise SolspaceError(
            f"steps={steps!r}; give {_CYCLES_FROM} or more steps of silence, fewer show no cycle"
        )


class Attractors:
    """The growing catalogue of one network's attractors.

    Parameters
    ----------
    architecture : str or Architecture
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    steps : int
        For how many steps of silence a condition is followed at most.
    given : array (input,), optional
        What is given at every step; by default nothing.

    Attributes
    ----------
    found : list of Attractor
        In the order of the conditions that ended there first. Each set of states that is wandered
        over is an entry; all that drifts or runs away is one entry together.

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
        self,
        architecture: str | Architecture,
        weights: Weights,
        *,
        steps: int = STEPS,
        given: ArrayLike | None = None,
    ) -> None:
        if isinstance(architecture, str):
            architecture = recurrent_architecture(architecture)
        check_steps(steps)
        self.architecture = architecture
        self.weights = as_float64(architecture, weights)  # type: ignore[arg-type]
        self.size = state_size(architecture, hidden_size(self.weights))
        self.steps = int(steps)
        inputs = self.weights["weight_ih"].shape[-1]
        self.given = np.zeros(inputs) if given is None else np.asarray(given, np.float64)
        if self.given.shape != (inputs,) or not np.isfinite(self.given).all():
            raise SolspaceError(
                f"a constant input {np.asarray(given).tolist()}; give {inputs} finite numbers, one "
                "for each input channel"
            )
        self.found: list[Attractor] = []
        self._points: list[_Point] = []
        self._wandering: list[_Wandering] = []
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
        paths = [_Path(state) for state in start]
        output: list[list[NDArray[np.float64]]] = [[] for _ in range(n)]
        active = np.arange(n)
        done, chunk = 0, _FIRST
        while len(active) and done < self.steps:
            chunk = min(chunk, self.steps - done)
            states, put_out = self._run(end[active], chunk)
            done += chunk
            end[active] = states[:, -1]
            for c, walked, row in zip(active.tolist(), states, put_out, strict=True):
                paths[c].go_on(walked)
                output[c].append(row)
            if not self._scale:
                self._scale = float(np.sqrt(np.mean(np.square(states)))) or 1.0
            away = ~(np.abs(end[active]).max(axis=1) < _AWAY * self._scale)
            steps[active[away]] = done
            active = active[~away]
            number = self._attractors_of([paths[c] for c in active], done)
            for c, place in zip(active.tolist(), number.tolist(), strict=True):
                if place >= 0:
                    index[c] = place
                    steps[c] = done - self._steps_there(self.found[place], paths[c])
                    paths[c].forget()
            active = active[number < 0]
            chunk = min(2 * chunk, _LARGEST) if done >= 2 * _FIRST else _FIRST
        for c in np.flatnonzero(index < 0).tolist():
            index[c] = self._drifting(end[c])
        joined = [np.concatenate(rows)[:s] for rows, s in zip(output, steps, strict=True)]
        return Settling(index, steps, joined, end)

    def _run(
        self, start: NDArray[np.float64], steps: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        given = np.broadcast_to(self.given, (len(start), steps, len(self.given)))
        with np.errstate(all="ignore"):  # what runs away is unsettled
            return run(self.architecture, self.weights, given, start)

    def _output(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        units = states[:, : hidden_size(self.weights)]
        return read_out(self.architecture, self.weights, units)

    def _attractors_of(self, paths: list[_Path], done: int) -> NDArray[np.int64]:
        """Where each trajectory ends, by place in the catalogue; -1 where it is not certain yet."""
        number = np.array([self._point_of(path) for path in paths], np.int64)
        speed = np.array([_rms(path.last(2)[1] - path.last(2)[0]) for path in paths])
        size = np.array([self._scale_at(path.last(1)[0]) for path in paths])
        looked = np.flatnonzero((number < 0) & (speed < _SLOW * size))
        for i in looked[np.argsort(speed[looked], kind="stable")].tolist():
            number[i] = self._point_of(paths[i])  # found from another one meanwhile
            if number[i] < 0 and self._look_for_point(paths[i].last(1)[0]):
                number[i] = self._point_of(paths[i])
        for i in np.flatnonzero(number < 0).tolist():
            number[i] = self._known(paths[i])
            # At doubled lengths: in between there is little new to be seen.
            if number[i] < 0 and done >= paths[i].look_at:
                paths[i].look_at = 2 * done
                number[i] = self._look_for_cycle(paths[i])
        return number

    def _scale_at(self, state: NDArray[np.float64]) -> float:
        """Cell states may grow to thousands; what is near is relative to where one is."""
        return max(self._scale, float(_rms(state)))

    def _known(self, path: _Path) -> int:
        """The cycle known, or set known to be wandered over, that a trajectory is on."""
        for place, attractor in enumerate(self.found):
            if attractor.kind == CYCLE and self._is_on(path, attractor):
                return place
        return next((w.place for w in self._wandering if w.has(path)), -1)

    # ------------------------------------------------------------------ points

    def _point_of(self, path: _Path) -> int:
        for point in self._points:
            if self._ends_in(path, point):
                if point.place < 0:
                    state = point.state[None]
                    point.place = self._add(POINT, state, 0.0, state)
                return point.place
        return -1

    def _ends_in(self, path: _Path, point: _Point) -> bool:
        """Whether a trajectory obeys the linear law of a stable fixed point."""
        kept = path.last(LAW + 1)
        now, then = kept[-1] - point.state, kept[0] - point.state
        left, moved, scale = _rms(now), _rms(now - then), self._scale_at(point.state)
        if point.neutral:
            return bool(left < _SAME * scale and moved < 1e-12 * scale)
        if left < _REACHED * scale:
            return True
        return bool(_rms(now - point.law @ then) < 0.1 * min(left, moved))

    def _look_for_point(self, state: NDArray[np.float64]) -> bool:
        """Newton's method from a slow state; whether a stable point was found that was not known.

        It is given up where it does not converge: what is followed on gets nearer. Far from the
        state it started from it may end; the linear law then tells whether the state leads there.
        """
        best, rest = state, self._step(state[None])[0] - state
        for _ in range(20):
            jacobian = self._jacobian(best)
            way = np.linalg.lstsq(np.eye(len(best)) - jacobian, rest, rcond=1e-13)[0]
            if not np.abs(best + way).max() < _AWAY * self._scale:
                return False
            # All the way, or the first of its halves that comes nearer.
            ways = best + way * 0.5 ** np.arange(5)[:, None]
            rests = self._step(ways) - ways
            nearer = np.flatnonzero(_rms(rests) < _rms(rest))
            if not len(nearer):  # converged to rounding, or astray
                break
            best, rest = ways[nearer[0]], rests[nearer[0]]
        before = float(_rms(rest))
        scale = self._scale_at(best)
        if before > 1e-10 * scale:
            return False
        if any(_rms(best - point.state) < _SAME * scale for point in self._points):
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
        h = 1e-5 * np.maximum(np.abs(x), self._scale)
        moved = self._step(np.concatenate([x + np.diag(h), x - np.diag(h)]))
        return np.asarray((moved[: len(x)] - moved[len(x) :]).T / (2 * h))

    # ------------------------------------------------------------------ cycles

    def _is_on(self, path: _Path, cycle: Attractor) -> bool:
        """Whether a trajectory has run along a cycle for a turn and 256 steps at least."""
        turns = max(1, round(_FIRST / cycle.period))
        span = max(_FIRST, round(turns * cycle.period))
        if len(path) < span:
            return False
        kept = path.last(span)
        size = _size(cycle.orbit)
        if not 0.5 * size < _size(kept) < 2 * size:
            return False
        few, many = kept[_scattered(span, 4)], kept[_scattered(span, 60)]
        near = _TUBE * size
        if _distance(few, cycle.orbit).max() < near and _distance(many, cycle.orbit).max() < near:
            return True
        # An orbit of nearly a whole number of steps leaves gaps in its curve.
        turn = round(turns * cycle.period)
        return _alike(kept[-turn:], cycle.orbit[-turn:], _ALIKE)

    def _look_for_cycle(self, path: _Path) -> int:
        """The place in the catalogue of what a trajectory goes round on, or -1.

        A cycle that is found is followed on until it neither gets closer nor changes: what looks
        like one may be the ghost of one, and what approaches one cycle from two sides must lead
        to the same.
        """
        kept = path.last(len(path) - 100)  # without the transient
        found = self._returns(kept)
        if found is None:
            return self._look_for_wandering(kept) if len(path) >= WINDOW else -1
        for _ in range(_ROUNDS):
            turns = round(max(1, round(512 / found[1])) * found[1])
            more = self._run(kept[-1:], min(max(4096, 4 * turns), WINDOW))[0][0]
            again = self._returns(more)
            if again is None:
                return -1
            closer = again[0] > _CLOSED and again[0] < 0.5 * found[0]
            found, kept = again, more
            if not closer and _lasts(more, turns):
                break
        else:
            return -1
        period = found[1]
        turn = max(2, round(period))
        orbit = kept[-max(turn + 2, 1024) :]
        output = self._output(orbit)
        cycle = Attractor(CYCLE, orbit[-turn:], output[-turn:], period, orbit, output)
        for place, other in enumerate(self.found):
            if other.kind == CYCLE and self._is_on(_Path(orbit[0], orbit[1:]), other):
                return place
        self.found.append(cycle)
        return len(self.found) - 1

    def _returns(self, kept: NDArray[np.float64]) -> tuple[float, float] | None:
        """How closely a trajectory returns, relative to its size, and its period; None if not."""
        block = len(kept) // 3
        thirds = [kept[-3 * block : -2 * block], kept[-2 * block : -block], kept[-block:]]
        sizes = [_size(third) for third in thirds]
        size = sizes[-1]
        if size < _STILL * self._scale_at(kept[-1]):
            return None
        if size < _SHRINKS * sizes[1] and sizes[1] < _SHRINKS * sizes[0]:
            return None
        kept = kept - kept[-block:].mean(axis=0)
        at = len(kept) - block + _scattered(block, 64)
        by_lag = _distance_by_lag(kept, at)
        best = _SHORTEST_LAG + np.argsort(by_lag[_SHORTEST_LAG:], kind="stable")[:8]
        pairs = [(int(a), int(b)) for i, a in enumerate(best) for b in best[i + 1 :]]
        inside = _best_line(kept, at, pairs, 0.0, 1.0)
        if _close(inside, size):
            return inside.miss / size, _period(kept, by_lag, inside)
        doubled = [(int(a), 2 * int(a)) for a in best if 2 * a < len(by_lag)]
        beyond = _best_line(kept, at, [*pairs, *doubled], -1.5, 2.5)
        if _close(beyond, size) and _change(*thirds) < _STANDS * size:
            return beyond.miss / size, _period(kept, by_lag, beyond)
        return None

    # ------------------------------------------------------------------ what wanders

    def _look_for_wandering(self, kept: NDArray[np.float64]) -> int:
        """The place in the catalogue of the set that a trajectory wanders over, or -1."""
        if _size(kept[-len(kept) // 3 :]) < _STILL * self._scale_at(kept[-1]):
            return -1
        wandering = _Wandering(kept)
        if not wandering.comes_back:
            return -1
        for other in self._wandering:
            if _alike(kept, other.orbit, _OVERLAPS):
                return other.place
        state = kept[-1:]
        wandering.place = self._add(UNSETTLED, state, float("nan"), wandering.orbit)
        self._wandering.append(wandering)
        return wandering.place

    def _drifting(self, state: NDArray[np.float64]) -> int:
        for place, attractor in enumerate(self.found):
            if attractor.kind == UNSETTLED and not attractor.wanders:
                return place
        return self._add(UNSETTLED, state[None], float("nan"), state[None])

    # ------------------------------------------------------------------ catalogue

    def _add(
        self, kind: str, states: NDArray[np.float64], period: float, orbit: NDArray[np.float64]
    ) -> int:
        ours, further = self._output(states), self._output(orbit)
        self.found.append(Attractor(kind, states, ours, period, orbit, further))
        return len(self.found) - 1

    def _in_order(self, index: NDArray[np.int64], known: int) -> NDArray[np.int64]:
        """Number what is new by the first condition that ends there."""
        new = [i for i in dict.fromkeys(index.tolist()) if i >= known]
        # All that was found has a condition that ends there.
        order = [*range(known), *new]
        place = np.empty(len(self.found), np.int64)
        place[order] = np.arange(len(order))
        self.found = [self.found[i] for i in order]
        ours: list[_Point | _Wandering] = [*self._points, *self._wandering]
        for one in ours:
            if one.place >= 0:
                one.place = int(place[one.place])
        return place[index] if len(index) else index

    def _steps_there(self, attractor: Attractor, path: _Path) -> int:
        """For how many of the last states kept a trajectory has been at what it settles to."""
        kept = path.last(len(path))
        if attractor.kind == UNSETTLED:
            return 0
        if attractor.kind == POINT:
            state = attractor.states[0]
            off = _rms(kept - state) > _THERE * self._scale_at(state)
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


class _Point:
    """A stable fixed point; ``place`` is its own in the catalogue once something ends there."""

    def __init__(self, state: NDArray[np.float64], jacobian: NDArray[np.float64], radius: float):
        self.state = state
        self.law = np.linalg.matrix_power(jacobian, LAW)
        self.neutral = radius > 1 - 1e-9
        self.place = -1


class _Path:
    """The last states of one trajectory."""

    def __init__(self, start: NDArray[np.float64], *walked: NDArray[np.float64]) -> None:
        self._parts = [start[None], *walked]
        self._length = sum(map(len, self._parts))
        self.look_at = _CYCLES_FROM

    def __len__(self) -> int:
        return min(self._length, WINDOW)

    def go_on(self, walked: NDArray[np.float64]) -> None:
        self._parts.append(walked)
        self._length += len(walked)
        while self._length - len(self._parts[0]) >= WINDOW:
            self._length -= len(self._parts.pop(0))

    def last(self, n: int) -> NDArray[np.float64]:
        if n > len(self._parts[-1]):
            self._parts = [np.concatenate(self._parts)]
        return self._parts[-1][-n:]

    def forget(self) -> None:
        self._parts = []


class _Wandering:
    """A set of states that a trajectory wanders over without returning on a curve."""

    def __init__(self, kept: NDArray[np.float64]) -> None:
        self.place = -1
        late = len(kept) // 3
        earlier, later = kept[:-late], kept[-late:]
        self.orbit = earlier[_scattered(len(earlier), 2048)]
        # How near states of the set are to others of it that are no neighbours in time.
        own = self._nearest(later[_scattered(late, 128)])
        other = kept[len(kept) // 3 : -late]
        before = _Wandering._distances(
            other[_scattered(len(other), 128)], kept[: len(kept) // 3][_scattered(late, 1024)]
        )
        self.usual, self.most = float(np.median(own)), float(own.max())
        near = self.usual < 1.5 * np.median(before) and self.most < 2 * before.max()
        # What goes slowly one way, or round in smaller and smaller circles, does not come back.
        walked = float(np.sum(_rms(np.diff(kept, axis=0))))
        sizes = [_size(part) for part in np.array_split(kept, 4)]
        steady = np.diff(sizes) / sizes[-1]
        goes_on = walked > 20 * _size(kept) and not (abs(steady.sum()) > 0.02 and _one_way(steady))
        self.comes_back = near and goes_on

    @staticmethod
    def _distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        square = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
        return np.asarray(np.sqrt(np.maximum(square.min(axis=1), 0) / x.shape[1]))

    def _nearest(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._distances(states, self.orbit)

    def has(self, path: _Path) -> bool:
        if len(path) < _CYCLES_FROM:
            return False
        off = self._nearest(path.last(_CYCLES_FROM)[_scattered(_CYCLES_FROM, 64)])
        return bool(np.median(off) < 1.5 * self.usual and off.max() < 1.5 * self.most)


class _Line(NamedTuple):
    """States compared to the line through those two lags earlier: how far off, and where on it."""

    miss: float
    farthest: float
    first: int
    second: int
    share: float


def _best_line(
    kept: NDArray[np.float64],
    at: NDArray[np.int64],
    pairs: list[tuple[int, int]],
    low: float,
    high: float,
) -> _Line:
    """Of pairs of lags the one whose line comes closest; ``share`` is that of the first lag."""
    best = _Line(np.inf, np.inf, 0, 0, 1.0)
    for first, second in pairs:
        apart = kept[at - first] - kept[at - second]
        rest = kept[at] - kept[at - second]
        norm = np.square(apart).sum()
        share = float(np.clip((apart * rest).sum() / norm, low, high)) if norm > 0 else 1.0
        off = _rms(rest - share * apart)
        miss = float(np.sqrt(np.mean(np.square(off))))
        if miss < best.miss:
            best = _Line(miss, float(off.max()), first, second, share)
    return best


def _close(line: _Line, size: float) -> bool:
    return line.miss < _RETURN * size and line.farthest < _FARTHEST_RETURN * size


def _distance_by_lag(kept: NDArray[np.float64], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Root mean square distance between states and those each lag earlier."""
    longest = int(at[0])
    square = np.square(kept).sum(axis=1)
    product = kept[at] @ kept.T
    total = np.zeros(longest + 1)
    for row, t in zip(product, at.tolist(), strict=True):
        earlier = slice(t - longest, t + 1)
        total += (square[t] + square[earlier] - 2 * row[earlier])[::-1]
    return np.asarray(np.sqrt(np.maximum(total, 0) / (len(at) * kept.shape[1])))


def _change(*thirds: NDArray[np.float64]) -> float:
    """How much the weighted mean and size of states change from third to third."""
    t = (np.arange(len(thirds[0])) + 0.5) / len(thirds[0])
    weight = np.exp(-1 / (t * (1 - t)))
    weight /= weight.sum()
    centre = thirds[-1].mean(axis=0)
    means = [weight @ (third - centre) for third in thirds]
    sizes = [np.sqrt(weight @ np.mean(np.square(third - centre), axis=1)) for third in thirds]
    return float(
        max(
            *(_rms(b - a) for a, b in pairwise(means)),
            *(abs(b - a) for a, b in pairwise(sizes)),
        )
    )


def _alike(a: NDArray[np.float64], b: NDArray[np.float64], tolerance: float) -> bool:
    """Whether two stretches of whole turns have one mean and one covariance."""
    size = _size(b)
    if _rms(a.mean(axis=0) - b.mean(axis=0)) > tolerance * size:
        return False
    own, other = np.cov(a.T, bias=True), np.cov(b.T, bias=True)
    return bool(np.linalg.norm(own - other) < tolerance * np.linalg.norm(other))


def _lasts(states: NDArray[np.float64], turns: int) -> bool:
    """Whether the first turns of a trajectory and its last are those of one curve."""
    if _alike(states[-turns:], states[:turns], _LASTS):
        return True
    # Where a turn is nearly a whole number of steps, a few are not yet the whole curve: weighted
    # averages over more of them tell, or, where turns are long, the distance from the curve.
    third = len(states) // 3
    if _change(*np.split(states[-3 * third :], 3)) < _STANDS * _size(states):
        return True
    near = _TUBE * _size(states)
    first, last = states[:third][_scattered(third, 64)], states[-third:][_scattered(third, 64)]
    return bool(
        _distance(first, states[third:]).max() < near
        and _distance(last, states[:-third]).max() < near
    )


def _scattered(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of n places, spread evenly but with no period of their own."""
    golden = np.arange(1, most + 1) * ((np.sqrt(5) - 1) / 2) % 1
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
    square = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
    nearest = square.argmin(axis=1)
    off = x - y[nearest]
    best = _rms(off)
    for neighbour in (np.maximum(nearest - 1, 0), np.minimum(nearest + 1, len(y) - 1)):
        along = y[neighbour] - y[nearest]
        norm = np.square(along).sum(1)
        share = np.clip((off * along).sum(1) / np.where(norm > 0, norm, 1), 0, 1)
        best = np.minimum(best, _rms(off - share[:, None] * along))
    return np.asarray(best)


def _one_way(changes: NDArray[np.float64]) -> bool:
    return bool((changes > 0).all() or (changes < 0).all())


def _period(kept: NDArray[np.float64], by_lag: NDArray[np.float64], line: _Line) -> float:
    """Steps of one turn of a trajectory that returns, made precise by the lags of its return."""
    first, second, share = line.first, line.second, line.share
    late = first if share >= 0.5 else second
    quick = by_lag[1] > 0.5 * by_lag.max()
    period = _period_of_lines(kept) if quick else _period_of_lags(by_lag, late)
    if not 0 <= share <= 1:  # a prolonged line says nothing of where a turn ends
        return first if period is None else first / max(1, round(first / period))
    lag = share * first + (1 - share) * second
    if period is None:
        return lag
    turns = share * round(first / period) + (1 - share) * round(second / period)
    return lag / turns if turns else lag


def _period_of_lags(by_lag: NDArray[np.float64], late: int) -> float | None:
    """The shortest period all whole multiples of which return as closely as half a step lets them.

    Turn by turn it is made more precise, up to a lag that returns.
    """
    near = 0.65 * by_lag[1]
    lags = np.arange(2, late + 1)
    here = by_lag[lags]
    after = by_lag[np.minimum(lags + 1, len(by_lag) - 1)]
    for lag in lags[(here <= near) & (here <= by_lag[lags - 1]) & (here <= after)].tolist():
        period, turn = float(lag), 1
        while (turn + 1) * period <= late + 0.5 * period and (turn + 1) * period < len(by_lag) - 1:
            turn += 1
            around = int(turn * period)
            beside = np.arange(max(around - 1, 2), min(around + 3, len(by_lag)))
            best = int(beside[np.argmin(by_lag[beside])])
            if by_lag[best] > near:
                break
            period = best / turn
        else:
            return period
    return None


def _period_of_lines(kept: NDArray[np.float64]) -> float | None:
    """The period of a rotation of a few steps a turn, from the lines of its spectrum.

    A closed curve turned by ``r`` of a turn a step has lines at whole multiples of ``r``, folded
    to half a turn a step. Of its strong lines one is ``r``: that of which all are the lowest
    multiples.
    """
    n = len(kept)
    window = np.hanning(n)[:, None]
    power = np.square(np.abs(np.fft.rfft((kept - kept.mean(axis=0)) * window, axis=0))).sum(axis=1)
    inner = power[1:-1]
    peaks = 1 + np.flatnonzero(
        (inner >= power[:-2]) & (inner > power[2:]) & (inner > 1e-6 * inner.max())
    )
    if power[-1] > max(power[-2], 1e-6 * power.max()):  # every second step the same
        peaks = np.append(peaks, len(power) - 1)
    peaks = peaks[np.argsort(-power[peaks], kind="stable")][:10]
    if not len(peaks):
        return None
    at = np.array([_top(power, k) for k in peaks.tolist()]) / n
    multiples = np.arange(1, 65)
    # Where the curve is in several pieces not all are: then it is the strongest.
    best, least = at[0], np.inf
    for line in at:
        folded = np.abs((multiples * line + 0.5) % 1 - 0.5)
        off = np.abs(folded[:, None] - at) < 1.0 / n
        if off.any(axis=0).all():
            orders = float(np.argmax(off, axis=0).sum())
            if orders < least:
                best, least = line, orders
    return float(1 / best)


def _top(power: NDArray[np.float64], k: int) -> float:
    """Place of a peak between bins, by the parabola through three logarithms."""
    if not 0 < k < len(power) - 1 or min(power[k - 1 : k + 2]) <= 0:
        return float(k)
    a, b, c = np.log(power[k - 1 : k + 2])
    return float(k + 0.5 * (a - c) / (a - 2 * b + c)) if a - 2 * b + c < 0 else float(k)
