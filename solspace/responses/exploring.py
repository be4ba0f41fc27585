"""Ask a network what it answers to pulses, and make the machine that says so.

From the start, and from everything it settles to, the network is given every pulse that can come,
and left alone until it has settled. What goes round is given each at eight moments spread evenly
over a turn, the first where the readout is largest, so that they do not depend on where the turn
was begun to be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.attractors.settling import CYCLE, POINT, Attractors
from solspace.errors import SolspaceError
from solspace.responses.machine import SETTLED, Machine, Pulses, State, Way, smallest_machine
from solspace.responses.words import (
    MOST_OUTPUTS,
    Word,
    first_answer,
    going_on,
    output_runs,
    shortened,
    until_settled,
)
from solspace.tasks.protocol import Notch, Pulse
from solspace.tasks.symbols import read_symbols
from solspace.tasks.task import Task

__all__ = ["MOST_STATES", "PHASES", "explore_responses"]

PHASES = 8
RARE = 2  # answers at so few phases of `PHASES` are left out
MOST_STATES = 64
STEPS = 8192  # of silence; what has not settled then is asked as it is
UNSETTLED_STEPS = 512


@dataclass(frozen=True)
class _Asked:
    """A state right after the transient of pulses, and what led to it."""

    source: int
    pulses: Pulses
    words: tuple[Word, ...]
    state: NDArray[np.float64]
    place: int
    phases: int
    asks: bool  # whether the last pulse does


class _Exploration:
    def __init__(self, task: Task, architecture: str, weights: networks.Weights, notch: Notch):
        assert task.protocol is not None and task.output_symbol is not None
        self.protocol, self.read = task.protocol, partial(read_symbols, task)
        self.notch = notch
        self.attractors = Attractors(architecture, weights, steps=STEPS)
        given = self.protocol.pulses
        self.pulses = given if notch.pulses is None else [given[i] for i in notch.pulses]
        # Of each state of the machine:
        self.states = [State("start")]
        self.moments: list[NDArray[np.float64]] = [np.empty((0, self.attractors.size))]
        self.places = [0]
        self.depths = [0]
        self.ways: list[list[Way]] = [[]]
        self.number: dict[tuple[int, int], int] = {}
        self.known: dict[int, tuple[State, NDArray[np.float64]]] = {}

    def explore(self) -> None:
        states, _ = self.run(self.protocol.before[None].astype(float), None)
        self.follow([_Asked(0, (), (), states[0, -1], 0, PHASES, False)])
        first = 1
        while first < len(self.states):
            level = range(first, len(self.states))
            first = level.stop
            given = [
                (source, pulse, moment)
                for source in level
                if self.left(source) > 0
                for pulse in self.possible(self.places[source])
                for moment in self.moments[source]
            ]
            asked = [
                _Asked(
                    source,
                    ((SETTLED, pulse.symbol),),
                    (),
                    state,
                    pulse.next_place,
                    PHASES // len(self.moments[source]),
                    pulse.asks,
                )
                for (source, pulse, _), state in zip(given, self.after(given), strict=True)
            ]
            self.follow(asked)

    def machine(self) -> Machine:
        ways = [common(own, self.states) for own in self.ways]
        return smallest_machine(self.states, ways, self.notch.depth)

    def left(self, state: int) -> int:
        """Pulses that may still be given in one."""
        depth = self.notch.depth
        return MOST_STATES if depth is None else depth - self.depths[state]

    def possible(self, place: int) -> list[Pulse]:
        return [pulse for pulse in self.pulses if pulse.place == place]

    def run(
        self, inputs: NDArray[Any], start: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        with np.errstate(all="ignore"):
            states, output = networks.run(
                self.attractors.architecture, self.attractors.weights, inputs, start
            )
        return states, self.read(output)

    def after(self, given: Sequence[tuple[Any, Pulse, NDArray[np.float64]]]) -> NDArray[np.float64]:
        """The states at the end of the transients of pulses, each given in one state."""
        if not given:
            return np.empty((0, self.attractors.size))
        longest = max(pulse.settled for _, pulse, _ in given)
        inputs = np.zeros((len(given), longest, self.protocol.before.shape[1]))
        for i, (_, pulse, _) in enumerate(given):
            inputs[i, : pulse.width, pulse.channel] = pulse.amplitude
        states, _ = self.run(inputs, np.stack([state for _, _, state in given]))
        ends = [pulse.settled - 1 for _, pulse, _ in given]
        return states[np.arange(len(given)), ends]

    def follow(self, asked: list[_Asked]) -> None:
        """Leave the network alone until it has settled, and give pulses before it has."""
        while asked:
            self.settle(asked)
            asked = self.hurried(asked)

    def hurried(self, asked: list[_Asked]) -> list[_Asked]:
        """What pulses lead to that come before the network has settled."""
        given: list[tuple[tuple[_Asked, int, Word], Pulse, NDArray[np.float64]]] = []
        for one in asked:
            waits = self.notch.waits.get(one.place, ())
            done = len(one.pulses)
            if not waits or done >= min(self.notch.burst, self.left(one.source)):
                continue
            silence = np.zeros((1, max(waits), self.protocol.before.shape[1]))
            states, symbols = self.run(silence, one.state[None])
            for wait in waits:
                runs = output_runs(symbols[0, :wait], self.protocol.shortest)
                word = first_answer(runs, one.asks) if self.notch.answers else shortened(runs)
                given += [
                    ((one, wait, word), pulse, states[0, wait - 1])
                    for pulse in self.possible(one.place)
                ]
        return [
            _Asked(
                one.source,
                (*one.pulses, (wait, pulse.symbol)),
                (*one.words, word),
                state,
                pulse.next_place,
                one.phases,
                pulse.asks,
            )
            for ((one, wait, word), pulse, _), state in zip(given, self.after(given), strict=True)
        ]

    def settle(self, asked: list[_Asked]) -> None:
        settling = self.attractors.settle(np.stack([one.state for one in asked]))
        for i, one in enumerate(asked):
            index = int(settling.index[i])
            if index not in self.known:
                self.known[index] = self.what_is(index, settling.end[i])
            own, moments = self.known[index]
            symbols = self.read(settling.output[i])
            if self.notch.answers:
                runs = output_runs(symbols, self.protocol.shortest)
                word = first_answer([*runs, *own.output], one.asks)
                own = State(own.kind)
            else:
                word = until_settled(symbols, self.protocol.shortest, own.output, own.repeated)
            if (index, one.place) not in self.number:
                self.number[index, one.place] = len(self.states)
                self.states.append(own)
                self.moments.append(moments)
                self.places.append(one.place)
                self.depths.append(self.depths[one.source] + len(one.pulses))
                self.ways.append([])
                if len(self.states) > MOST_STATES:
                    raise SolspaceError(
                        f"pulses lead this network to more than {MOST_STATES} states that it "
                        "settles to; give a coarser notch"
                    )
            to = self.number[index, one.place]
            self.ways[one.source].append((one.pulses, (*one.words, word), to, one.phases))

    def what_is(self, index: int, end: NDArray[np.float64]) -> tuple[State, NDArray[np.float64]]:
        """What an attractor puts out, and the states in which pulses are given."""
        attractor = self.attractors.found[index]
        if attractor.kind == POINT:
            out = int(self.read(attractor.output[:1])[0])
            return State(POINT, (out,) if out else ()), attractor.states
        states, output = attractor.states, attractor.output
        if attractor.kind != CYCLE:
            silence = np.zeros((1, UNSETTLED_STEPS, self.protocol.before.shape[1]))
            states, output = networks.run(
                self.attractors.architecture, self.attractors.weights, silence, end[None]
            )
            states, output = states[0], output[0]
        own = State(attractor.kind, *going_on(self.read(output), self.protocol.shortest))
        if own.repeated and (attractor.kind != CYCLE or len(own.output) > MOST_OUTPUTS):
            # In no order that could be told.
            own = State(own.kind, tuple(sorted(set(own.output))), True)
        # From where the output that moves most is highest.
        telling = output[:, int(np.argmax(np.ptp(output, axis=0)))]
        moments = int(np.argmax(telling)) + np.arange(PHASES) * len(states) // PHASES
        return own, states[moments % len(states)]


def common(ways: list[Way], states: Sequence[State]) -> list[Way]:
    """Without answers at few phases, unless there are no others."""
    total: dict[Any, int] = {}

    def answer(way: Way) -> Any:
        own = states[way[2]]
        return way[0], way[1], own.output, own.repeated

    for way in ways:
        total[answer(way)] = total.get(answer(way), 0) + way[3]
    most: dict[Any, int] = {}
    for (pulses, *_), n in total.items():
        most[pulses] = max(most.get(pulses, 0), n)
    return [w for w in ways if total[answer(w)] > RARE or most[w[0]] <= RARE]


def explore_responses(
    task: Task, architecture: str, weights: networks.Weights, notch: Notch
) -> Machine:
    exploration = _Exploration(task, architecture, weights, notch)
    exploration.explore()
    return exploration.machine()
