"""Challenges given by their input: trials of any kind that are answered by one choice.

Beside the challenges that are made of pulses alone (`solspace.tasks.challenges`), for tasks with
inputs that last and noise, which ask for an answer at a given moment.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks.challenges import PlacedPulse

__all__ = ["ChallengeMeasure", "InputChallenge", "InputChallengeFamily"]

LEAST_CHOICE = 0.1


@dataclass(frozen=True, eq=False)
class InputChallenge:
    """One trial, given by its input, and when it is to be answered.

    Attributes
    ----------
    name : str
        In a family one of its own, such as ``"delay 100, context 1, streams +1 -2"``.
    kind : str
        What it tries, such as ``"delay"``; ``"trained"`` where trained trials are like it.
    given : array (time, input)
        The input without noise.
    asked : tuple of int
        First step in which the answer is asked for, and the step after the last.
    noise : tuple of float
        Standard deviation of the noise in each input channel, at every step; empty where none.
    repeats : int
        How often it is given, with noise that is drawn anew; 1 where it has none.
    target : int
        The right choice, -1 or 1; 0 where there is none.
    parameters : mapping of str to float or str
        Of the trial, such as its context or the length of its delay.

    Examples
    --------
    >>> one = InputChallenge("pulse", "pulse", np.eye(4, 2), (3, 4), noise=(0.1, 0), repeats=5)
    >>> one.steps, one.inputs(seed=0).shape, bool((one.inputs(0) == one.inputs(0)).all())
    (4, (5, 4, 2), True)
    >>> one.pulses[0]
    PlacedPulse(onset=0, channel=0, width=1, amplitude=1.0)
    """

    name: str
    kind: str
    given: NDArray[Any]
    asked: tuple[int, int]
    noise: tuple[float, ...] = ()
    repeats: int = 1
    target: int = 0
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Length of the trial."""
        return len(self.given)

    @property
    def pulses(self) -> tuple[PlacedPulse, ...]:
        """Stretches in which a channel stays the same and is not zero, in order of onset."""
        found = []
        for channel, values in enumerate(np.asarray(self.given).T):
            edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
            found += [
                PlacedPulse(on, channel, off - on, float(values[on]))
                for on, off in pairwise(edges)
                if values[on] != 0
            ]
        return tuple(sorted(found))

    def input(self, channels: int) -> NDArray[np.float32]:
        """The input without noise, (time, input)."""
        return np.asarray(self.given, np.float32)

    def inputs(self, seed: int) -> NDArray[np.float32]:
        """The input of each repeat, (repeat, time, input); noise is of the seed and the name."""
        out = np.repeat(np.asarray(self.given, np.float32)[None], self.repeats, axis=0)
        if any(self.noise):
            rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
            noisy = np.flatnonzero(self.noise)
            drawn = rng.standard_normal((*out.shape[:2], len(noisy)), np.float32)
            out[..., noisy] += drawn * np.asarray(self.noise, np.float32)[noisy]
        return out


@dataclass(frozen=True)
class ChallengeMeasure:
    """One number of a network, from its outputs to some challenges.

    Attributes
    ----------
    name : str
        In a family one of its own, such as ``"right_delay_20x"``.
    units : str
        ``"1"`` of a pure number.
    meaning : str
        One line.
    challenges : tuple of str
        Names of those it is made from.
    of : callable (array (..., challenge, repeat)) -> array (...)
        From the outputs to these challenges, in their order; NaN past the repeats of a challenge.
        It has to be finite: where something is out of range, give the end of the range and say so
        in ``meaning``.

    Examples
    --------
    >>> right = ChallengeMeasure("right", "1", "share right", ("a",),
    ...                          lambda output: (output > 0).mean(axis=(-2, -1)))
    >>> float(right.of(np.array([[1.0, -1.0, 1.0, 1.0]])))
    0.75
    """

    name: str
    units: str
    meaning: str
    challenges: tuple[str, ...]
    of: Callable[[NDArray[Any]], Any]


@dataclass(frozen=True)
class InputChallengeFamily:
    """Challenges given by their input, how they are answered, and the measures made of answers.

    An answer is the mean output in the steps that a challenge asks for, and the choice is its sign.

    Attributes
    ----------
    challenges : tuple of InputChallenge
        Each of a name of its own.
    measures : tuple of ChallengeMeasure
        Each of a name of its own.
    output : int
        The output channel that is read.
    threshold : float
        Where the output is smaller than this, of either sign, there is no choice.

    Examples
    --------
    >>> one = InputChallenge("pulse", "pulse", np.eye(4, 2), (3, 4))
    >>> more = ChallengeMeasure("output", "1", "the output", ("pulse",),
    ...                         lambda output: output[..., 0, 0])
    >>> family = InputChallengeFamily((one,), (more,), threshold=0.2)
    >>> family.choices(np.array([0.5, 0.1, -0.5])).tolist()
    [1, 0, -1]
    >>> family.values(np.array([[0.5]])).tolist()
    [0.5]
    """

    challenges: tuple[InputChallenge, ...]
    measures: tuple[ChallengeMeasure, ...] = ()
    output: int = 0
    threshold: float = LEAST_CHOICE

    def __post_init__(self) -> None:
        faults = []
        if not self.challenges:
            faults.append("there are none; give at least one")
        names = [one.name for one in self.challenges]
        for what, named in (("", names), ("measures ", [m.name for m in self.measures])):
            seen: set[str] = set()
            for name in named:
                if name in seen:
                    faults.append(f"two {what}are named {name!r}")
                    break
                seen.add(name)
        if not np.isfinite(self.threshold) or self.threshold < 0:
            faults.append(f"threshold {self.threshold}; give the smallest output that is a choice")
        if self.output < 0:
            faults.append(f"output {self.output}; give the output channel that is read, from 0")
        for one in self.challenges:
            faults += [f"{one.name!r} {fault}" for fault in _faults(one)]
        for measure in self.measures:
            if unknown := [name for name in measure.challenges if name not in set(names)]:
                faults.append(
                    f"measure {measure.name!r} is made from {unknown[0]!r}, which is no challenge"
                )
            if not (measure.name and measure.units and measure.meaning and measure.challenges):
                faults.append(
                    f"measure {measure.name!r} has no name, units, meaning or challenges; give all"
                )
        if faults:
            raise SolspaceError(f"challenges do not fit together: {'; '.join(faults[:5])}")

    def __len__(self) -> int:
        return len(self.challenges)

    @property
    def most_repeats(self) -> int:
        """Repeats of the challenge that is given most often."""
        return max(one.repeats for one in self.challenges)

    def measure(self, name: str) -> ChallengeMeasure:
        """A measure by its name.

        Raises
        ------
        SolspaceError
            For an unknown one.
        """
        for one in self.measures:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.measures) or "none"
        raise SolspaceError(f"unknown measure {name!r}; measures: {known}")

    def choices(self, output: NDArray[Any]) -> NDArray[np.int8]:
        """The choice of each output: its sign, and 0 below the threshold."""
        return np.where(np.abs(output) >= self.threshold, np.sign(output), 0).astype(np.int8)

    def values(self, output: NDArray[Any]) -> NDArray[np.float64]:
        """The measures of outputs, (..., challenge, repeat) to (..., measure).

        Parameters
        ----------
        output : array (..., challenge, repeat)
            Of all challenges of the family; NaN past the repeats of a challenge.

        Raises
        ------
        SolspaceError
            Where an output or a measure is not finite.
        """
        output = np.asarray(output, np.float64)
        place = {one.name: k for k, one in enumerate(self.challenges)}
        repeats = np.array([one.repeats for one in self.challenges])
        there = np.arange(output.shape[-1]) < repeats[:, None]
        if not np.isfinite(output[..., there]).all():
            raise SolspaceError("the output is not finite")
        out = np.empty((*output.shape[:-2], len(self.measures)))
        for m, one in enumerate(self.measures):
            of = [place[name] for name in one.challenges]
            # As many repeats as they have, so that a measure over one kind meets no NaN.
            out[..., m] = one.of(output[..., of, : repeats[of].max()])
            if not np.isfinite(out[..., m]).all():
                raise SolspaceError(
                    f"measure {one.name!r} is not finite; let it give the end of its range where "
                    "it has no value"
                )
        return out


def _faults(one: InputChallenge) -> list[str]:
    given = np.asarray(one.given)
    if given.ndim != 2 or not given.size:
        return [f"has an input of shape {given.shape}; give (time, input)"]
    steps, channels = given.shape
    found = []
    if not np.isfinite(given).all():
        found.append("has an input that is not finite")
    if not 0 <= one.asked[0] < one.asked[1] <= steps:
        found.append(f"is asked in steps {one.asked}; give (first, after the last) within {steps}")
    if len(one.noise) not in (0, channels) or not all(0 <= sd < np.inf for sd in one.noise):
        found.append(
            f"has noise {one.noise}; give a standard deviation for each of {channels} channels"
        )
    if one.repeats < 1 or (one.repeats > 1 and not any(one.noise)):
        found.append(f"is given {one.repeats} times; give 1, or more of one with noise")
    if one.target not in (-1, 0, 1):
        found.append(f"has target {one.target}; give -1, 1, or 0 for none")
    if not (one.name and one.kind):
        found.append("has no name or no kind")
    return found


def family_faults(
    family: InputChallengeFamily, again: InputChallengeFamily, inputs: Sequence[str],
    outputs: Sequence[str],
) -> list[str]:  # fmt: skip
    """What of a family does not fit its task; ``again`` is of a second call.

    Measures are tried on outputs as of an untrained network: small, of either sign, and alike.
    """
    found = []
    for one in family.challenges:
        channels = np.asarray(one.given).shape[1]
        if channels != len(inputs):
            found.append(f"challenges: {one.name!r} has {channels} inputs, the task {len(inputs)}")
            break
    if family.output >= len(outputs):
        found.append(f"challenges: output {family.output} is read, of {len(outputs)}")
    for a, b in zip(family.challenges, again.challenges, strict=False):
        if a.name != b.name or not np.array_equal(a.inputs(0), b.inputs(0)):
            found.append(
                f"challenges: two calls differ in {a.name!r}; make them without chance, noise is "
                "drawn from the seed"
            )
            break
    if len(family) != len(again):
        found.append(f"challenges: one call gives {len(family)}, another {len(again)}")
    shape = len(family), family.most_repeats
    rng = np.random.default_rng(0)
    for what, output in (
        ("small outputs of either sign", 0.01 * rng.standard_normal(shape)),
        ("outputs that are all alike", np.full(shape, 0.01)),
    ):
        try:
            family.values(output)
        except Exception as error:
            found.append(f"challenges: of {what}: {error}")
    return found
