"""The stimulus protocol of a task: which pulses its networks can be given, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

__all__ = [
    "LONGEST_WAIT",
    "NOTCHES",
    "SEQUENCE_STEPS",
    "Notch",
    "Pulse",
    "PulseSequences",
    "StimulusProtocol",
]

LONGEST_WAIT = 300  # six times the longest interval of any task
SEQUENCE_STEPS = 600


@dataclass(frozen=True)
class PulseSequences:
    """Sequences of pulses and waits from the root of a task's graphs.

    Attributes
    ----------
    input : array, float32, (sequence, time, input)
    start : int
        The root is the state after this many steps; the output counts from that state on.
    onset : array, int64, (sequence, pulse)
        First step of each pulse, in order; -1 past the last.
    seen_from : array, int64, (sequence, pulse)
        The step from which the output after a pulse counts: what is put out during a pulse and
        right after it is its transient. -1 past the last.
    symbol : array, int64, (sequence, pulse)
        Index into the task's ``input_symbols``; -1 past the last.
    shortest, patience : int
        See `StimulusProtocol`.
    """

    input: NDArray[np.float32]
    start: int
    onset: NDArray[np.int64]
    seen_from: NDArray[np.int64]
    symbol: NDArray[np.int64]
    shortest: int
    patience: int

    def __len__(self) -> int:
        return len(self.input)


@dataclass(frozen=True)
class Pulse:
    """One pulse that can be given to a network under reduction.

    Attributes
    ----------
    symbol : int
        Index into the task's ``input_symbols``.
    channel : int
    amplitude : float
    width : int
        Steps it lasts.
    settled : int
        Steps from its onset after which the output counts again.
    place, next_place : int
        Where in the protocol it can come, and where that leads; 0 is the root's.
    asks : bool
        Whether the task wants an output after it.
    """

    symbol: int
    channel: int
    width: int
    settled: int
    amplitude: float = 1.0
    place: int = 0
    next_place: int = 0
    asks: bool = True


@dataclass(frozen=True)
class Notch:
    """How finely a network's responses are asked about; see `solspace.responses`.

    Attributes
    ----------
    name : str
        Of letters, digits and _; part of every key.
    asks : str
        What is asked, in words.
    depth : int or None
        Pulses of a sequence at most; None where any number may follow.
    waits : mapping of int to tuple of int
        By place, the steps after the transient of the pulse before, or after the root, at which a
        pulse is given as well as after the network has settled.
    within : mapping of int to tuple of (int, int)
        By place, for each of these waits the shortest and the longest for which it stands: the
        range in which machines are tested.
    burst : int
        Pulses that follow each other so at most before the network is left alone again.
    pulses : tuple of int or None
        Which of the protocol's pulses are given, by position; all where None.
    answers : bool
        Whether nothing counts but the first output after each pulse that asks for an answer.

    Examples
    --------
    >>> one = Notch("settled2", "up to two pulses, each after long silence", depth=2)
    >>> one.burst, one.is_whole
    (1, False)
    """

    name: str
    asks: str
    depth: int | None = None
    waits: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    within: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    burst: int = 1
    pulses: tuple[int, ...] | None = None
    answers: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether any number of any pulses is given and all that is put out counts."""
        return self.depth is None and self.pulses is None and not self.answers


NOTCHES = (
    Notch("answers", "the first output after each pulse, each after long silence", answers=True),
    Notch("settled1", "one pulse, after long silence", depth=1),
    Notch("settled2", "up to two pulses, each after long silence", depth=2),
    Notch("settled", "pulses, each after long silence"),
)


@dataclass(frozen=True)
class StimulusProtocol:
    """Which pulses a network can be asked about, and where it is when that begins.

    A protocol is a small machine: in each *place* some pulses can come, each leads to a place.

    Attributes
    ----------
    before : array, float32, (time, input)
        The input that leads from silence to the root; the root is the state after it.
    pulses : tuple of Pulse
    patience : int
        Steps after which a network that goes on with one output is taken to stay there: five
        times the longest interval it was trained on.
    shortest : int
        An output held for fewer steps may be a flicker of the threshold.
    most : int
        Pulses of the longest random sequence.
    notches : tuple of Notch
        How finely responses can be asked about, from coarse to fine.
    usual : str
        The name of the notch that is taken where none is asked for.
    version : int
        Part of every `response_key`: one more where pulses or a notch of a name change.
    """

    before: NDArray[np.float32]
    pulses: tuple[Pulse, ...]
    patience: int
    shortest: int = 3
    most: int = 6
    notches: tuple[Notch, ...] = NOTCHES
    usual: str = "settled"
    version: int = 1

    def notch(self, name: str) -> Notch:
        """The notch of that name, or an error that lists those there are."""
        for one in self.notches:
            if one.name == name:
                return one
        raise SolspaceError(
            f"unknown notch {name!r}; notches, coarse to fine: "
            f"{', '.join(one.name for one in self.notches)}"
        )

    def random_sequences(
        self,
        rng: np.random.Generator,
        n: int,
        *,
        steps: int = SEQUENCE_STEPS,
        longest_wait: int = LONGEST_WAIT,
    ) -> PulseSequences:
        """Random pulses that the protocol has, with random waits.

        The number of pulses is uniform from 1 to ``most``. The wait before each, after the
        transient of the one before, is log-uniform from 1 to ``longest_wait`` steps, the last
        lasts to the end of the sequence; pulses that would come after the end are left out.

        Parameters
        ----------
        rng : Generator
        n : int
            Sequences.
        steps : int
            Steps of each after the root.
        longest_wait : int
            Steps.

        Examples
        --------
        >>> set_ = Pulse(symbol=1, channel=1, width=5, settled=10)
        >>> protocol = StimulusProtocol(np.zeros((25, 2), np.float32), (set_,), patience=200)
        >>> drawn = protocol.random_sequences(np.random.default_rng(0), 200)
        >>> drawn.input.shape, drawn.onset.shape
        ((200, 625, 2), (200, 6))
        """
        start = len(self.before)
        inputs = np.zeros((n, start + steps, self.before.shape[1]), np.float32)
        inputs[:, :start] = self.before
        onset = np.full((n, self.most), -1, np.int64)
        seen_from, symbol = onset.copy(), onset.copy()
        for i in range(n):
            place, time = 0, start
            for k in range(rng.integers(1, self.most + 1)):
                possible = [pulse for pulse in self.pulses if pulse.place == place]
                if not possible:
                    break
                pulse = possible[rng.integers(len(possible))]
                time += int(np.exp(rng.uniform(0, np.log(longest_wait))))
                if time + pulse.settled > start + steps:
                    break
                inputs[i, time : time + pulse.width, pulse.channel] = pulse.amplitude
                onset[i, k], seen_from[i, k] = time, time + pulse.settled
                symbol[i, k] = pulse.symbol
                time += pulse.settled
                place = pulse.next_place
        return PulseSequences(inputs, start, onset, seen_from, symbol, self.shortest, self.patience)
