"""The challenges of context-dependent integration, and what is measured with them.

Trials unlike the trained: longer, shorter, stronger, noisier, with both contexts or none, with a
context that changes or comes late, and single pulses. Challenges and measures are ours; pulses
against time are the psychophysical kernel of Neri & Heeger (Nat Neurosci 2002) and of Nienborg &
Cumming (Nature 2009), here of a network and without noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.tasks.input_challenges import (
    ChallengeMeasure,
    InputChallenge,
    InputChallengeFamily,
)

__all__ = ["ContextTrials", "context_family"]

# Of a challenge; more where networks are much alike, so that noise would hide what sets them apart.
REPEATS, MORE, MOST = 24, 48, 128
EACH = tuple(product((1, 2), (-1, 1)))  # contexts and signs of what counts
CAPTURING = (0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32)  # coherences against 1
WEAK = (0.125, 0.25, 0.5, 1.0)  # coherences of psychometric curves
PULSE_STEPS = 2
PULSE_COHERENCE = 8.0
THRESHOLD_SHARE = 0.75

Outputs = NDArray[Any]


@dataclass
class ContextTrials:
    """How trials of a task with two streams and two contexts are made, and challenges of them.

    Attributes
    ----------
    make : callable (conditions, epoch_steps=) -> Trials
        Trials without noise of ``(context, coherence_1, coherence_2)``.
    lengths : tuple of int
        Steps of fixation, context alone, stimulus, delay and decision.
    noise : tuple of float
        Standard deviation of the noise of each input, at every step.
    strength : float
        Of a stream per unit of coherence, and of the context.
    """

    make: Callable[..., Any]
    lengths: tuple[int, int, int, int, int]
    noise: tuple[float, ...]
    strength: float
    found: dict[str, InputChallenge] = field(default_factory=dict)

    def add(
        self,
        kind: str,
        words: str,
        context: int,
        streams: tuple[float, float],
        *,
        stimulus: int | None = None,
        delay: int | None = None,
        noise: float = 1.0,
        repeats: int = REPEATS,
        edit: Callable[[NDArray[np.float32], int, int, int], None] | None = None,
        target: int | None = None,
        named: str | None = None,
        **parameters: float | str,
    ) -> str:
        """Add a challenge that is not there yet; its name.

        ``edit`` changes the input, given the first step of the stimulus, the step after its last,
        and that of the decision.
        """
        fixation, alone, usual, usual_delay, decision = self.lengths
        stimulus = usual if stimulus is None else stimulus
        delay = usual_delay if delay is None else delay
        lengths = (fixation, alone, stimulus, delay, decision)
        name = named or f"{words}, context {context}, streams {streams[0]:+g} {streams[1]:+g}"
        if name in self.found:
            return name
        given = self.make([(context, *streams)], epoch_steps=lengths).input[0]
        begin = fixation + alone
        if edit is not None:
            edit(given, begin, begin + stimulus, begin + stimulus + delay)
        if target is None:
            target = int(np.sign(streams[context - 1])) if context in (1, 2) else 0
        at = sum(lengths[:4])
        self.found[name] = InputChallenge(
            name,
            kind,
            given,
            (at, at + decision),
            noise=tuple(noise * sd for sd in self.noise) if noise else (),
            repeats=repeats if noise else 1,
            target=target,
            parameters={
                "context": context,
                "coherence_1": streams[0],
                "coherence_2": streams[1],
                "stimulus_steps": stimulus,
                "delay_steps": delay,
                "noise": noise,
            }
            | parameters,
        )
        return name


def _streams(context: int, named: float, other: float) -> tuple[float, float]:
    """Coherences of stream 1 and 2, of that which the context names and of the other."""
    return (named, other) if context == 1 else (other, named)


def _right(names: Sequence[str], of: ContextTrials, output: Outputs) -> Any:
    """Share of trials in which the output has the sign that is right."""
    target = np.array([of.found[name].target for name in names])
    return (output * target[:, None] > 0).mean(axis=(-2, -1))


def _share(signs: NDArray[Any], output: Outputs) -> Any:
    return (output * signs[:, None] > 0).mean(axis=(-2, -1))


def _difference(names: Sequence[str], of: ContextTrials, output: Outputs) -> Any:
    """Share right in the first half of the challenges less that in the second."""
    half = len(names) // 2
    first = _right(names[:half], of, output[..., :half, :])
    return first - _right(names[half:], of, output[..., half:, :])


def crossing(x: NDArray[Any], y: NDArray[Any], level: float) -> NDArray[np.float64]:
    """Where y (..., x) first comes to ``level`` or below it, by straight lines; else the last x.

    Examples
    --------
    >>> crossing(np.array([0.0, 1.0, 2.0]), np.array([[1.0, 0.5, -0.5], [1.0, 1.0, 1.0]]), 0.0)
    array([1.5, 2. ])
    """
    below = y <= level
    k = np.where(below.any(axis=-1), below.argmax(axis=-1), len(x) - 1)
    before = np.maximum(k - 1, 0)
    high = np.take_along_axis(y, before[..., None], axis=-1)[..., 0]
    low = np.take_along_axis(y, k[..., None], axis=-1)[..., 0]
    fall = high - low
    part = np.where(fall > 0, (high - level) / np.where(fall > 0, fall, 1.0), 1.0)
    part = np.clip(part, 0.0, 1.0)
    return np.asarray(np.where(below.any(axis=-1), x[before] + part * (x[k] - x[before]), x[-1]))


def _capture(x: NDArray[Any], signs: NDArray[Any], output: Outputs) -> Any:
    """Coherence of the other stream at which the output turns, mean over contexts and signs."""
    rows = output[..., 0].reshape(*output.shape[:-2], len(signs), len(x))
    return crossing(x, rows * signs[:, None], 0.0).mean(axis=-1)


def _threshold(x: NDArray[Any], signs: NDArray[Any], output: Outputs) -> Any:
    """Coherence at which so many trials are right, from shares made to rise with it."""
    right = (output * signs[:, None] > 0).mean(axis=-1)
    right = right.reshape(*right.shape[:-1], len(x), -1).mean(axis=-1)
    # Half are right of no coherence. Shares that fall by chance are held.
    x, right = np.append(0.0, x), np.maximum.accumulate(right, axis=-1)
    start = np.full((*right.shape[:-1], 1), 0.5)
    return crossing(x, -np.concatenate([start, right], axis=-1), -THRESHOLD_SHARE)


def kernels(output: Outputs) -> NDArray[np.float64]:
    """The effect of a pulse at each moment, from outputs to pulses of both signs.

    Parameters
    ----------
    output : array (..., context * stream * moment * 2)
        The stream that the context names before the other; of each moment the answer to the
        negative pulse before that to the positive.

    Returns
    -------
    array (..., context, stream, moment)
        Half the difference of the two answers.

    Examples
    --------
    >>> kernels(np.tile([-0.5, 0.5], 12)).shape
    (2, 2, 3)
    """
    pairs = np.asarray(output, np.float64).reshape(*np.shape(output)[:-1], 2, 2, -1, 2)
    return (pairs[..., 1] - pairs[..., 0]) / 2


def _kernel_sizes(output: Outputs) -> NDArray[np.float64]:
    """Absolute kernels, mean over contexts, (..., stream, moment), kept from zero."""
    return np.abs(kernels(output[..., 0])).mean(axis=-3) + 1e-12


def _kernel_centre(at: NDArray[Any], output: Outputs) -> Any:
    size = _kernel_sizes(output)[..., 0, :]
    return (size * at).sum(axis=-1) / size.sum(axis=-1)


def _kernel_recency(output: Outputs) -> Any:
    size = _kernel_sizes(output)[..., 0, :]
    half = size.shape[-1] // 2
    early, late = size[..., :half].sum(axis=-1), size[..., -half:].sum(axis=-1)
    return (late - early) / (late + early)


def _kernel_other(output: Outputs) -> Any:
    size = _kernel_sizes(output).sum(axis=-1)
    return size[..., 1] / size.sum(axis=-1)


def _kernel_height(output: Outputs) -> Any:
    return _kernel_sizes(output)[..., 0, :].mean(axis=-1)


def _beyond(signs: NDArray[Any], output: Outputs) -> Any:
    """Output at the strongest coherence less that at the strongest trained, signed."""
    signed = output[..., 0] * signs
    half = len(signs) // 2
    return (signed[..., half:] - signed[..., :half]).mean(axis=-1)


def _difference_of(
    first: Callable[[Outputs], Any], second: Callable[[Outputs], Any], split: int, output: Outputs
) -> Any:
    return first(output[..., :split, :]) - second(output[..., split:, :])


def context_family(of: ContextTrials) -> InputChallengeFamily:
    """All challenges of a task with two streams and two contexts, and their measures."""
    measures: list[ChallengeMeasure] = []

    def measure(name: str, units: str, meaning: str, names: Sequence[str], how: Any) -> None:
        measures.append(ChallengeMeasure(name, units, meaning, tuple(names), how))

    def right(name: str, meaning: str, names: Sequence[str]) -> None:
        measure(name, "1", meaning, names, partial(_right, tuple(names), of))

    def both_others(kind: str, words: str, strong: float, other: float, **how: Any) -> list[str]:
        """Both contexts and signs, with the other stream of both signs."""
        return [
            of.add(kind, words, c, _streams(c, strong * s, other * s * o), **how)
            for c, s in EACH
            for o in (-1, 1)
        ]

    against = "coherence 1 beside 4 of the other stream, of either sign"
    stimulus, delay = of.lengths[2], of.lengths[3]
    for words, factor in (("quarter", 0.25), ("half", 0.5), ("2x", 2), ("4x", 4)):
        steps = round(stimulus * factor)
        names = both_others("stimulus", f"stimulus {steps}", 1, 4, stimulus=steps)
        right(
            f"right_stimulus_{words}", f"share right, stimulus of {steps} steps: {against}", names
        )
    for words, factor in (("0x", 0), ("4x", 4), ("20x", 20)):
        steps = delay * factor
        names = both_others("delay", f"delay {steps}", 1, 4, delay=steps)
        right(f"right_delay_{words}", f"share right, delay of {steps} steps: {against}", names)
    for factor in (2, 4):
        names = both_others(
            "noise", f"noise {factor}x", 1, 4, noise=factor, repeats=MORE if factor == 2 else MOST
        )
        right(f"right_noise_{factor}x", f"share right, noise {factor} times as strong: {against}",
              names)  # fmt: skip
    for strength in (8, 16):
        names = [
            of.add("conflict", f"conflict {strength}", c, _streams(c, s, -s * strength))
            for c, s in EACH
        ]
        right(
            f"right_against_{strength}",
            f"share right, coherence 1 against {strength} of the other stream",
            names,
        )
    split = [
        [of.add("trained", "trained", c, _streams(c, s, o * s * 4), repeats=MORE) for c, s in EACH]
        for o in (1, -1)
    ]
    measure(
        "conflict_cost",
        "1",
        "share right, coherence 1 beside 4 of the other stream of one sign, less that against it",
        [*split[0], *split[1]],
        partial(_difference, (*split[0], *split[1]), of),
    )
    signs = np.array([s for _, s in EACH])
    names = [
        of.add(
            "capture",
            f"without noise, conflict {x:g}",
            c,
            _streams(c, s, -s * x),
            noise=0,
        )
        for c, s in EACH
        for x in CAPTURING
    ]
    measure(
        "capture",
        "coherence",
        "coherence of the other stream that turns the choice against coherence 1, without noise; "
        f"{CAPTURING[-1]} where none does up to it",
        names,
        partial(_capture, np.array(CAPTURING, float), signs),
    )
    names = [
        of.add("strength", f"without noise, strength {x}", c, _streams(c, x * s, 0), noise=0)
        for x in (4, 16)
        for c, s in EACH
    ]
    measure(
        "output_beyond",
        "1",
        "output at coherence 16 less that at 4, in the direction of the stream",
        names,
        partial(_beyond, np.tile(signs, 2)),
    )
    _contexts(of, measure, right)
    _curves(of, measure)
    _pulses(of, measure)
    return InputChallengeFamily(tuple(of.found.values()), tuple(measures))


def _contexts(of: ContextTrials, measure: Any, right: Any) -> None:
    """Both contexts or none, half of one, one that changes, one that comes late."""
    on = of.strength

    def held(value_1: float, value_2: float) -> Any:
        def edit(given: NDArray[Any], begin: int, end: int, decision: int) -> None:
            there = (given[:, 2:] != 0).any(axis=1)
            given[there, 2], given[there, 3] = value_1, value_2

        return edit

    signs = np.array([-1, 1])
    for words, name, values in (
        ("both contexts", "both_contexts", (on, on)),
        ("no context", "no_context", (0.0, 0.0)),
    ):
        names = [
            of.add(
                "context", words, 1, (2 * s, -2 * s), edit=held(*values), target=0,
                named=f"{words}, streams {2 * s:+g} {-2 * s:+g}",
            )
            for s in (-1, 1)
        ]  # fmt: skip
        measure(
            f"stream_1_{name}",
            "1",
            f"share of choices by stream 1, {words}, coherences 2 against each other",
            names,
            partial(_share, signs),
        )
    for words, name, part in (
        ("half a context", "half", 0.5),
        ("a quarter context", "quarter", 0.25),
    ):
        names = [
            of.add(
                "context", words, c, _streams(c, 2 * s, -2 * s),
                edit=held(*((on * part, 0.0) if c == 1 else (0.0, on * part))),
            )
            for c, s in EACH
        ]  # fmt: skip
        right(
            f"right_context_{name}",
            f"share right, {words} as strong, coherences 2 against each other",
            names,
        )
    for words, name, part in (
        ("a quarter", "quarter", 0.25),
        ("half", "half", 0.5),
        ("three quarters", "three_quarters", 0.75),
    ):

        def switched(
            given: NDArray[Any], begin: int, end: int, decision: int, part: float = part
        ) -> None:
            at = begin + round(part * (end - begin))
            given[at:, 2:] = given[at:, 3:1:-1].copy()

        names = [
            of.add(
                "switch", f"context switched after {words}", c, _streams(c, 2 * s, -2 * s),
                edit=switched, target=-s, switch_at=part,
            )
            for c, s in EACH
        ]  # fmt: skip
        right(
            f"after_switch_{name}",
            f"share of choices by the context after the switch, {words} into the stimulus, "
            "coherences 2 against each other",
            names,
        )
    for words, name, part in (("half the stimulus", "late", 0.5), ("the stimulus", "after", 1.0)):

        def late(
            given: NDArray[Any], begin: int, end: int, decision: int, part: float = part
        ) -> None:
            given[: begin + round(part * (end - begin)), 2:] = 0

        names = [
            of.add(
                "late context", f"context after {words}", c, _streams(c, 2 * s, -2 * s),
                edit=late, repeats=REPEATS if part < 1 else MOST, context_from=part,
            )
            for c, s in EACH
        ]  # fmt: skip
        right(
            f"right_context_{name}",
            f"share right, context only after {words}, coherences 2 against each other; half where "
            "nothing of the evidence is told apart",
            names,
        )


def _curves(of: ContextTrials, measure: Any) -> None:
    """Weak coherences and none: thresholds, and which way a network leans."""
    found: dict[int, list[str]] = {}
    signs = np.array([s for _ in WEAK for s in (-1, 1) for _ in (-1, 1)])
    for c in (1, 2):
        found[c] = [
            of.add("weak", f"coherence {x:g}", c, _streams(c, s * x, 2 * o))
            for x in WEAK
            for s in (-1, 1)
            for o in (-1, 1)
        ]
        each = partial(_threshold, np.array(WEAK), signs)
        measure(
            f"threshold_context_{c}",
            "coherence",
            f"coherence with {THRESHOLD_SHARE:.0%} right in context {c}, beside 2 of the other "
            f"stream; {WEAK[-1]:g} where it is not reached",
            found[c],
            each,
        )
    measure(
        "threshold_asymmetry",
        "coherence",
        "threshold in context 1 less that in context 2",
        [*found[1], *found[2]],
        partial(_difference_of, each, each, len(found[1])),
    )
    for c in (1, 2):
        names = [of.add("weak", "coherence 0", c, _streams(c, 0, 0), target=0)]
        measure(
            f"positive_context_{c}",
            "1",
            f"share of positive choices in context {c} where both coherences are 0",
            names,
            partial(_share, np.array([1])),
        )


def _pulses(of: ContextTrials, measure: Any) -> None:
    """One pulse at each moment of the stimulus, in one stream, without noise."""
    stimulus = of.lengths[2]
    moments = range(0, stimulus - PULSE_STEPS + 1, PULSE_STEPS)
    names = []
    for c, named, at, s in product((1, 2), (True, False), moments, (-1, 1)):
        channel = c - 1 if named else 2 - c

        def pulse(
            given: NDArray[Any],
            begin: int,
            end: int,
            decision: int,
            at: int = at,
            channel: int = channel,
            s: int = s,
        ) -> None:
            place = slice(begin + at, begin + at + PULSE_STEPS)
            given[place, channel] = s * PULSE_COHERENCE * of.strength

        names.append(
            of.add(
                "pulse", "pulse", c, (0.0, 0.0), noise=0, edit=pulse, target=s if named else 0,
                named=f"pulse {s:+d} of stream {channel + 1} at {at}, context {c}",
                pulse_stream=channel + 1, pulse_at=at, pulse_sign=s,
            )
        )  # fmt: skip
    centres = np.array(moments) + PULSE_STEPS / 2
    measure("kernel_height", "1", "mean effect on the output of a pulse of "
            f"{PULSE_STEPS} steps of coherence {PULSE_COHERENCE:g} in the stream that counts",
            names, _kernel_height)  # fmt: skip
    measure("kernel_centre", "steps", "mean moment of the stimulus, weighted by the effect of a "
            "pulse there", names, partial(_kernel_centre, centres))  # fmt: skip
    measure("kernel_recency", "1", "effect of pulses in the second half of the stimulus less that "
            "in the first, over their sum: below 0 early evidence counts more, above 0 late",
            names, _kernel_recency)  # fmt: skip
    measure("kernel_other", "1", "effect of pulses of the other stream over that of both streams",
            names, _kernel_other)  # fmt: skip
