"""Challenges: trials outside the trained set, on which solutions may answer differently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks.protocol import StimulusProtocol

if TYPE_CHECKING:
    from solspace.tasks.trials import Trials

__all__ = [
    "KINDS",
    "LONG_WAIT",
    "Challenge",
    "ChallengeFamily",
    "PlacedPulse",
    "Stretch",
    "challenges_of_trials",
    "protocol_waits",
]

KINDS = ("trained", "outside", "missing", "extra", "mistimed", "sequence")
LONG_WAIT = 150  # steps after which a network may have settled; labels call it so from 300 on


class PlacedPulse(NamedTuple):
    """One pulse of a challenge: its first step, input channel, steps it lasts, and amplitude."""

    onset: int
    channel: int
    width: int
    amplitude: float = 1.0


class Stretch(NamedTuple):
    """Steps in which an answer counts: from ``start`` to before ``stop``, timed from ``origin``."""

    origin: int
    start: int
    stop: int


@dataclass(frozen=True)
class Challenge:
    """One trial made of pulses and waits.

    Attributes
    ----------
    name : str
        In a family one of its own, such as ``"ready 0, set 60"``.
    kind : str
        One of `KINDS`: of the trained set; parameters outside the trained range; a pulse that is
        missing, extra or mistimed; a random sequence of pulses and waits.
    pulses : tuple of PlacedPulse
        In order of onset; none for silence.
    steps : int
        Length of the trial.

    Examples
    --------
    >>> one = Challenge("late", "outside", (PlacedPulse(5, 0, 5), PlacedPulse(65, 1, 5)), 200)
    >>> one.input(2).shape, int(one.input(2)[65, 1])
    ((200, 2), 1)
    >>> one.stretches(5)
    (Stretch(origin=5, start=15, stop=65), Stretch(origin=65, start=75, stop=200))
    """

    name: str
    kind: str
    pulses: tuple[PlacedPulse, ...]
    steps: int

    def input(self, channels: int) -> NDArray[np.float32]:
        """The stimulus, (time, input)."""
        out = np.zeros((self.steps, channels), np.float32)
        for pulse in self.pulses:
            out[pulse.onset : pulse.onset + pulse.width, pulse.channel] = pulse.amplitude
        return out

    def stretches(self, transient: int) -> tuple[Stretch, ...]:
        """After each pulse, up to the next, without the first steps; of silence the whole trial."""
        if not self.pulses:
            return (Stretch(0, 0, self.steps),)
        ends = [*(pulse.onset for pulse in self.pulses[1:]), self.steps]
        return tuple(
            Stretch(p.onset, min(p.onset + p.width + transient, end), end)
            for p, end in zip(self.pulses, ends, strict=True)
        )


@dataclass(frozen=True)
class ChallengeFamily:
    """The challenges of a task, how their answers are read, and which of them define a label.

    Attributes
    ----------
    challenges : tuple of Challenge
        Each of a name of its own.
    bins : tuple of int
        Times at which an answer's time falls into another bin, in steps from the onset of the
        pulse that it follows; rising.
    transient : int
        Steps after the end of a pulse in which no output counts.
    shortest : int
        An output of fewer steps is a flicker, and no answer.
    held : int
        An output of so many steps is held on.
    published : callable (Challenge) -> bool
        Whether graphs made by the task's ``probe`` come from this challenge.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> family = get_task("interval_reproduction").challenges()
    >>> sorted({one.kind for one in family.challenges}) == sorted(KINDS)
    True
    """

    challenges: tuple[Challenge, ...]
    bins: tuple[int, ...]
    transient: int = 5
    shortest: int = 3
    held: int = 25
    published: Callable[[Challenge], bool] = field(default=lambda challenge: False)

    def __post_init__(self) -> None:
        faults = []
        names = [one.name for one in self.challenges]
        if not names:
            faults.append("there are none; give at least one")
        if twice := next((name for name in names if names.count(name) > 1), None):
            faults.append(f"two are named {twice!r}")
        if list(self.bins) != sorted(set(self.bins)) or any(edge <= 0 for edge in self.bins):
            faults.append(f"bins {self.bins}; give rising times from 1 on")
        for one in self.challenges:
            onsets = [pulse.onset for pulse in one.pulses]
            last = max((p.onset + p.width for p in one.pulses), default=0)
            if one.kind not in KINDS:
                faults.append(f"{one.name!r} is of kind {one.kind!r}; kinds: {', '.join(KINDS)}")
            if onsets != sorted(onsets) or min(onsets, default=0) < 0 or last > one.steps:
                faults.append(f"the pulses of {one.name!r} do not lie in order in its trial")
            if any(pulse.width < 1 for pulse in one.pulses) or one.steps < 1:
                faults.append(f"{one.name!r} has a pulse or trial of no steps")
        if faults:
            raise SolspaceError(f"challenges do not fit together: {'; '.join(faults[:5])}")

    def __len__(self) -> int:
        return len(self.challenges)


def challenges_of_trials(
    trials: Trials, kind: str, name: Callable[[Mapping[str, int]], str]
) -> list[Challenge]:
    """Trials as challenges: what is on in a channel from one step on to another is a pulse.

    Parameters
    ----------
    trials : Trials
    kind : str
    name : callable (mapping of parameter to value) -> str

    Examples
    --------
    >>> from solspace.tasks.interval_reproduction import make_trials
    >>> one, = challenges_of_trials(make_trials([20]), "trained", lambda p: f"set {p['t_in']}")
    >>> one.name, one.pulses[1]
    ('set 20', PlacedPulse(onset=25, channel=1, width=5, amplitude=1.0))
    """
    found = []
    for i in range(len(trials)):
        pulses = []
        for channel in range(trials.input.shape[2]):
            values = trials.input[i, :, channel]
            edges = np.flatnonzero(np.diff(values, prepend=0, append=0))
            pulses += [
                PlacedPulse(int(on), channel, int(off - on), float(values[on]))
                for on, off in pairwise(edges)
                if values[on] != 0
            ]
        of = {key: int(values[i]) for key, values in trials.parameters.items()}
        found.append(Challenge(name(of), kind, tuple(sorted(pulses)), trials.input.shape[1]))
    return found


def protocol_waits(
    protocol: StimulusProtocol, challenge: Challenge
) -> tuple[tuple[int, int], ...] | None:
    """The pulses after the root, as (wait, position in the protocol), of what a protocol can give.

    The wait is counted from the root, or from the end of the transient of the pulse before; none
    is below zero. None where the protocol cannot give the challenge.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> task = get_task("interval_reproduction")
    >>> pulses = PlacedPulse(5, 0, 5), PlacedPulse(46, 1, 5)
    >>> protocol_waits(task.protocol, Challenge("one", "trained", pulses, 150))
    ((20, 0),)
    >>> protocol_waits(task.protocol, Challenge("no ready", "missing", pulses[1:], 150))
    """
    before = np.asarray(protocol.before)
    start, channels = before.shape
    given = challenge.input(channels)
    if len(given) < start or not np.array_equal(given[:start], before):
        return None
    found: list[tuple[int, int]] = []
    place, time = 0, start
    for pulse in challenge.pulses:
        if pulse.onset < start:
            continue  # of `before`, which was compared
        fits = _fitting(protocol, place, pulse)
        if fits is None or pulse.onset < time:
            return None
        found.append((pulse.onset - time, fits))
        known = protocol.pulses[fits]
        place, time = known.next_place, pulse.onset + known.settled
    return tuple(found)


def _fitting(protocol: StimulusProtocol, place: int, pulse: PlacedPulse) -> int | None:
    for i, one in enumerate(protocol.pulses):
        same = (one.place, one.channel, one.width) == (place, pulse.channel, pulse.width)
        if same and abs(one.amplitude - pulse.amplitude) < 1e-9:
            return i
    return None


def alternating(
    rng: np.random.Generator,
    n: int,
    *,
    first: PlacedPulse,
    channels: Iterable[int],
    widths: Iterable[int],
    longest: int,
) -> list[tuple[PlacedPulse, ...]]:
    """Random sequences: a first pulse, then one in each channel in turn, at log-uniform waits.

    Waits are between onsets, from 8 steps to ``longest``.
    """
    channels, widths = tuple(channels), tuple(widths)
    out = []
    for _ in range(n):
        pulses = [first]
        for channel, width in zip(channels, widths, strict=True):
            wait = round(float(np.exp(rng.uniform(np.log(8), np.log(longest)))))
            pulses.append(PlacedPulse(pulses[-1].onset + wait, channel, width))
        out.append(tuple(pulses))
    return out
