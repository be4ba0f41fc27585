"""Delayed discrimination: two stimuli with a delay between them; which was stronger?

Numbers of Turner, Dabholkar & Barak (NeurIPS 2021); the task is that of Romo et al. (1999).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.tasks.challenges import (
    Challenge,
    ChallengeFamily,
    PlacedPulse,
    challenges_of_trials,
)
from solspace.tasks.epochs import DelayEpochs, epoch_stretch, epochs_from_starts
from solspace.tasks.probing import Chain, Explorer
from solspace.tasks.protocol import Notch, Pulse, StimulusProtocol
from solspace.tasks.recipe import Recipe
from solspace.tasks.silences import Silences
from solspace.tasks.task import Task, rounded_sign
from solspace.tasks.trials import Trials, find_trial

F1_ON = 5
PULSE = 5
QUIET_GAP = 5  # between the stimuli when the delay is 0
RESPONSE_AFTER = 15
STEPS = 60
AMPLITUDES = range(2, 11)
DELAYS = range(20)

# A cube: amplitudes to twice the largest trained one, delays to five times the longest. Equal
# amplitudes are included (the target is then 0), so that it can be unstacked whole.
EXTRAPOLATION_AMPLITUDES = range(2, 21, 2)
EXTRAPOLATION_DELAYS = range(0, 101, 10)
EXTRAPOLATION_STEPS = 150

EPOCHS = ("quiet", "f1", "delay", "f2", "decision", "response", "after_response")


def make_trials(conditions: Sequence[tuple[int, int, int]], steps: int = STEPS) -> Trials:
    """Trials with these ``(f1, f2, delay)``: two amplitudes, and gap steps after the quiet ones."""
    f1, f2, delay = np.asarray(conditions, dtype=np.int64).reshape(-1, 3).T
    time = np.arange(steps)
    f1_on = np.full_like(delay, F1_ON)[:, None]
    f2_on = f1_on + PULSE + QUIET_GAP + delay[:, None]
    respond_on = f2_on + RESPONSE_AFTER
    first = (time >= f1_on) & (time < f1_on + PULSE)
    second = (time >= f2_on) & (time < f2_on + PULSE)
    respond = (time >= respond_on) & (time < respond_on + PULSE)
    return Trials(
        input=np.stack([first * f1[:, None], second * f2[:, None]], axis=-1).astype(np.float32),
        target=(respond * np.sign(f1 - f2)[:, None])[..., None].astype(np.float32),
        epoch=epochs_from_starts(
            steps,
            (f1_on, f1_on + PULSE, f2_on, f2_on + PULSE, respond_on, respond_on + PULSE),
        ),
        parameters={"f1": f1, "f2": f2, "delay": delay},
    )


def unequal(amplitudes: Iterable[int], delays: Iterable[int]) -> list[tuple[int, int, int]]:
    """All ordered pairs of two different amplitudes, each with all delays.

    Examples
    --------
    >>> unequal([2, 10], [19])
    [(2, 10, 19), (10, 2, 19)]
    """
    amplitudes, delays = list(amplitudes), list(delays)
    return [(f1, f2, d) for f1 in amplitudes for f2 in amplitudes if f1 != f2 for d in delays]


def protocol() -> StimulusProtocol:
    """A first stimulus from the quiet start on, then a second one of another amplitude."""
    pulses = []
    every = (2, 4, 6, 8, 10)
    for i, f1 in enumerate(every, start=1):
        first = Pulse(i, 0, PULSE, 2 * PULSE, amplitude=f1, place=0, next_place=i, asks=False)
        pulses.append(first)
        pulses += [
            Pulse(j, 1, PULSE, 2 * PULSE, amplitude=f2, place=i, next_place=-1)
            for j, f2 in enumerate(every, start=1)
            if f2 != f1
        ]
    return StimulusProtocol(
        before=np.zeros((1, 2), np.float32),
        pulses=tuple(pulses),
        patience=5 * (QUIET_GAP + DELAYS[-1] + 1),
        most=2,
        notches=_notches(tuple(pulses)),
        usual="answers_ends",
    )


def _notches(pulses: tuple[Pulse, ...]) -> tuple[Notch, ...]:
    """By which pairs of stimuli are given.

    Those two that a memory drawn to the middle gets wrong first, those of a middle one as well, or
    all neighbours.
    """

    def given(pairs: Iterable[tuple[int, int]]) -> tuple[int, ...]:
        wanted = set(pairs)
        first = {pulse.next_place: int(pulse.amplitude) for pulse in pulses if pulse.place == 0}
        asked = {(pulse.place, int(pulse.amplitude)): i for i, pulse in enumerate(pulses)}
        of_f1 = [asked[0, f1] for f1 in sorted({f1 for f1, _ in wanted})]
        of_f2 = [i for (at, f2), i in asked.items() if at and (first[at], f2) in wanted]
        return tuple(sorted(of_f1 + of_f2))

    ends = [(2, 4), (10, 8)]
    middle = [*ends, (6, 4), (6, 8)]
    near = [(f1, f2) for f1 in range(2, 11, 2) for f2 in (f1 - 2, f1 + 2)]
    silent = "each after long silence"
    return (
        Notch(
            "answers_ends",
            f"the answer to 2 then 4 and to 10 then 8, {silent}",
            pulses=given(ends),
            answers=True,
        ),
        Notch(
            "answers_middle",
            f"the answer to 2 then 4, 10 then 8 and 6 then 4 or 8, {silent}",
            pulses=given(middle),
            answers=True,
        ),
        Notch(
            "answers",
            f"the answer to stimuli 2 apart, {silent}",
            pulses=given(near),
            answers=True,
        ),
        Notch("settled_ends", f"2 then 4 and 10 then 8, {silent}", pulses=given(ends)),
        Notch("settled", f"stimuli 2 apart, {silent}", pulses=given(near)),
        Notch(
            "trained",
            f"stimuli 2 apart, {silent} or at the trained times",
            pulses=given(near),
            waits={0: (F1_ON - 1,), **dict.fromkeys(range(1, 6), (DELAYS[-1] // 2,))},
            within={0: ((2, 6),), **dict.fromkeys(range(1, 6), ((0, DELAYS[-1]),))},
            burst=2,
        ),
    )


def silences() -> Silences:
    """After each first stimulus (what is remembered), and after each pair at the longest delay.

    The key tells of the first: counts after pairs change with little noise, and outputs are silent.
    """
    trials = make_trials(unequal(AMPLITUDES, DELAYS[-1:]))
    both = Silences.joined(
        [
            Silences.following("f1", trials, EPOCHS.index("f1"), ["f1"]),
            Silences.following("f2", trials, EPOCHS.index("f2"), ["f1", "f2"]),
        ]
    )
    return replace(both, keyed=("f1",), outputs_keyed=False)


def _named(kind: str, pulses: Iterable[PlacedPulse], after: int = 80) -> Challenge:
    """A challenge named by its stimuli, their amplitudes and onsets."""
    pulses = tuple(pulses)
    said = [
        f"f{p.channel + 1} {p.amplitude:g} at {p.onset}"
        + (f" for {p.width}" if p.width != PULSE else "")
        for p in pulses
    ]
    steps = (pulses[-1].onset if pulses else 0) + after
    return Challenge(", ".join(said) or "silence", kind, pulses, steps)


def challenges() -> ChallengeFamily:
    """Stimuli beyond the trained amplitudes and delays, missing, extra and mistimed, and sequences.

    A first stimulus lasts from step 5 to step 10; the longest trained delay ends at step 34.
    """

    def f1(amplitude: float, at: int = F1_ON, width: int = PULSE) -> PlacedPulse:
        return PlacedPulse(at, 0, width, amplitude)

    def f2(amplitude: float, at: int, width: int = PULSE) -> PlacedPulse:
        return PlacedPulse(at, 1, width, amplitude)

    def name(of: Mapping[str, int]) -> str:
        on = F1_ON + PULSE + QUIET_GAP + of["delay"]
        return f"f1 {of['f1']} at {F1_ON}, f2 {of['f2']} at {on}"

    usual = F1_ON + PULSE + QUIET_GAP + DELAYS[-1]
    near = [(a, a + d) for a in (3, 5, 7, 9) for d in (-1, 1)]
    trained = make_trials([(a, b, d) for a, b in near for d in (0, DELAYS[-1])])
    found = [
        *challenges_of_trials(trained, "trained", name),
        *(
            _named("outside", [f1(a), f2(b, usual + late)])
            for late in (30, 100, 200)
            for a, b in [*near, (6, 6)]
        ),
        *(
            _named("outside", [f1(a), f2(b, usual)])
            for a, b in ((1, 2), (2, 1), (12, 11), (11, 12), (16, 20), (20, 16), (0.5, 0.2),
                         (5, 5), (8, 8))
        ),
        *(_named("outside", [f1(5, width=w), f2(b, usual, w)]) for w in (2, 10) for b in (4, 6)),
        _named("missing", [], 200),
        *(_named("missing", [f1(a)], 200) for a in (2, 6, 10)),
        *(_named("missing", [f2(b, usual)]) for b in (2, 6, 10)),
        *(_named("extra", [f1(a), f1(b, 40), f2(6, 75)]) for a, b in ((4, 8), (8, 4), (4, 4))),
        *(
            _named("extra", [f1(a), f2(b, usual), f2(c, usual + 40)])
            for a, b, c in ((6, 8, 4), (6, 4, 8), (6, 5, 7), (6, 7, 5))
        ),
        *(_named("mistimed", [f1(a), f2(b, at)])
          for at in (5, 8, 11) for a, b in ((5, 6), (6, 5))),
        *(_named("mistimed", [f2(b, 5), f1(a, 40)]) for a, b in ((4, 8), (8, 4))),
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    for _ in range(24):
        at = usual + int(rng.integers(60))
        a, b, c, d = rng.integers(1, 13, 4).tolist()
        again = at + 30 + int(rng.integers(60))
        pulses = [f1(a), f2(b, at), f1(c, again), f2(d, again + 20 + int(rng.integers(40)))]
        found.append(_named("sequence", pulses))
    return ChallengeFamily(
        challenges=tuple({one.name: one for one in reversed(found)}.values())[::-1],
        bins=(12, 17, 24, 34, 50),
        published=_published,
    )


def _published(challenge: Challenge) -> bool:
    """Whether `probe` gives this: 4 or 8, silence, and 2 more or less at the longest delay."""
    on = F1_ON + PULSE + QUIET_GAP + DELAYS[-1]
    given = [(p.channel, p.onset, p.width, p.amplitude) for p in challenge.pulses]
    first, second = given[:1], given[1:]
    return (
        len(given) <= 2
        and all(
            (channel, onset, width) == (0, F1_ON, PULSE) and amplitude in (2, 4, 8)
            for channel, onset, width, amplitude in first
        )
        and all(
            (channel, onset, width) == (1, on, PULSE) and abs(amplitude - given[0][3]) in (1, 2, 6)
            for channel, onset, width, amplitude in second
        )
    )


def probe(explorer: Explorer) -> None:
    """Follow recorded trials: two first stimuli through the delay, and two second ones after each.

    The first steps after a stimulus are left out, they are its transient.
    """
    delay = DELAYS[-1]
    f1_off = F1_ON + PULSE
    f2_on = f1_off + QUIET_GAP + delay
    transient = 5

    def trial(f1: int, f2: int) -> Chain:
        return explorer.record(make_trials([(f1, f2, delay)]).input[0])

    explorer.begin(trial(2, 3).part(0, F1_ON))
    start = F1_ON - 1
    for f1 in (4, 8):
        remembered = explorer.stretch(trial(f1, 10), f1_off + transient, f2_on)
        explorer.extend(start, str(f1), remembered)
        end = explorer.end(explorer.led_to(start, str(f1)))
        for f2 in (f1 - 2, f1 + 2):
            answered = explorer.stretch(trial(f1, f2), f2_on + PULSE + transient)
            explorer.extend(end, str(f2), answered)
    # The published rules compare what these two amplitudes lead to, as stimuli of either kind.
    explorer.compare(answer="2", question="4")


def feature_epochs(
    activity: NDArray[Any], epoch: NDArray[np.integer], parameters: Mapping[str, NDArray[Any]]
) -> DelayEpochs:
    """The delay for each first stimulus but the extremes, and the responses to the extremes.

    The first 5 steps of a delay are left out; a response is the last 10 steps of its trial.
    """
    smallest, largest = AMPLITUDES[0], AMPLITUDES[-1]
    delays = {
        f1: epoch_stretch(
            activity, epoch, find_trial(parameters, f1=f1, f2=largest), EPOCHS.index("delay")
        )[5:]
        for f1 in AMPLITUDES[1:-1]
    }
    return DelayEpochs(
        activity=activity,
        delays=tuple(delays.values()),
        curved_delay=delays[8],
        responses=(
            activity[find_trial(parameters, f1=smallest, f2=largest), -10:],
            activity[find_trial(parameters, f1=largest, f2=smallest), -10:],
        ),
    )


TASK = Task(
    name="delayed_discrimination",
    description="Compare two stimuli with a delay between them: is the first the stronger",
    inputs=("f1", "f2"),
    outputs=("choice",),
    epochs=EPOCHS,
    parameters={
        "f1": "amplitude of the first stimulus",
        "f2": "amplitude of the second stimulus",
        "delay": "gap between the stimuli after the 5 quiet steps",
    },
    parameter_units={"delay": "steps"},
    input_symbols=("autonomous", "2", "4", "6", "8", "10"),
    # All conditions are trained on; nothing is left to draw.
    training_trials=lambda rng: make_trials(unequal(AMPLITUDES, DELAYS)),
    recorded_trials=lambda: make_trials(unequal(AMPLITUDES, DELAYS[-1:])),
    extrapolation_trials=lambda: make_trials(
        list(product(EXTRAPOLATION_AMPLITUDES, EXTRAPOLATION_AMPLITUDES, EXTRAPOLATION_DELAYS)),
        EXTRAPOLATION_STEPS,
    ),
    output_symbol=rounded_sign,
    feature_epochs=feature_epochs,
    probe=probe,
    protocol=protocol(),
    silences=silences,
    challenges=challenges,
    solution_label="attractor_key",
    recipes={
        "vanilla": Recipe(
            # The published networks end between 1e-5 and 8e-5; accepted were 2e-4.
            target_loss=5e-5,
            max_steps=12_000,
            learning_rate=0.08,
            learning_rate_power=-1.0,
            schedule="cosine",
            decay_start=0.0,
            decay_stop=0.75,
            final_rate=0.05,
            beta2=0.99,
            clip=0.1,
            init="orthogonal",
            rollback_ratio=3.0,
            rollback_floor=0.03,
            rollback_armed=np.inf,
            rollback_rate=0.7,
            attempts=6,
        ),
    },
)
