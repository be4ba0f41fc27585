"""Interval reproduction (Ready-Set-Go): measure the interval Ready-Set, reproduce it by Go.

Numbers of Turner, Dabholkar & Barak (NeurIPS 2021); the task is that of Jazayeri & Shadlen (2010).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.tasks.challenges import (
    Challenge,
    ChallengeFamily,
    PlacedPulse,
    alternating,
    challenges_of_trials,
    protocol_waits,
)
from solspace.tasks.epochs import IntervalEpochs, epoch_stretch
from solspace.tasks.probing import Chain, Explorer
from solspace.tasks.protocol import NOTCHES, Notch, Pulse, StimulusProtocol
from solspace.tasks.recipe import Recipe
from solspace.tasks.silences import Silences
from solspace.tasks.task import Task
from solspace.tasks.trials import Trials, find_trial

READY_ON = 5
PULSE = 5
STEPS = 150
T_IN = range(20, 51)
TRAINING_TRIALS = 128

EXTRAPOLATION_T_IN = range(5, 151)
# Long enough for t_in = 150 to be reproduced (Go ends at 310) and followed for one more such
# interval, so that a second, unasked output is seen.
EXTRAPOLATION_STEPS = 480

EPOCHS = ("quiet", "ready", "ready_set", "set", "set_go", "go", "after_go")


def make_trials(t_in: Iterable[int], steps: int = STEPS) -> Trials:
    """Trials with these intervals between the onsets of Ready and Set (steps)."""
    intervals = np.asarray(list(t_in), dtype=np.int64)
    time = np.arange(steps)
    set_on = READY_ON + intervals[:, None]
    go_on = READY_ON + 2 * intervals[:, None]
    ready = np.broadcast_to((time >= READY_ON) & (time < READY_ON + PULSE), (len(intervals), steps))
    set_ = (time >= set_on) & (time < set_on + PULSE)
    go = (time >= go_on) & (time < go_on + PULSE)
    starts = (
        np.full_like(set_on, READY_ON),
        np.full_like(set_on, READY_ON + PULSE),
        set_on,
        set_on + PULSE,
        go_on,
        go_on + PULSE,
    )
    epoch = sum(
        ((time >= start).astype(np.int8) for start in starts), np.zeros((1, steps), np.int8)
    )
    return Trials(
        input=np.stack([ready, set_], axis=-1).astype(np.float32),
        target=go[..., None].astype(np.float32),
        epoch=epoch,
        parameters={"t_in": intervals},
    )


def training_trials(rng: np.random.Generator) -> Trials:
    return make_trials(rng.integers(T_IN.start, T_IN.stop, size=TRAINING_TRIALS))


def output_symbol(output: NDArray[np.floating]) -> NDArray[np.int8]:
    """1 where the readout is over 0.15, else 0."""
    return (output > 0.15).astype(np.int8)


def feature_epochs(
    activity: NDArray[Any], epoch: NDArray[np.integer], parameters: Mapping[str, NDArray[Any]]
) -> IntervalEpochs:
    """The longest measured interval, and the reproduced ones between the shortest and longest.

    The first steps after a pulse are left out, they are its transient: 10 after Ready, 5 after Set.
    """
    ready_set, set_go = EPOCHS.index("ready_set"), EPOCHS.index("set_go")
    longest = find_trial(parameters, t_in=T_IN[-1])
    return IntervalEpochs(
        activity=activity,
        epoch1=epoch_stretch(activity, epoch, longest, ready_set)[10:],
        epoch2=tuple(
            epoch_stretch(activity, epoch, find_trial(parameters, t_in=t_in), set_go)[5:]
            for t_in in T_IN[2:-1:2]
        ),
    )


def last_before_output(waiting: Chain) -> int:
    """The last step at which the readout is within its ordinary range.

    Ordinary is up to one and a half times the spread from the 10th to the 80th percentile over
    the 80th.
    """
    size = np.abs(waiting.output)
    low, high = np.percentile(size, [10, 80])
    ordinary = np.flatnonzero(size < high + 1.5 * (high - low))
    return int(ordinary[-1]) if ordinary.size else -1


def protocol() -> StimulusProtocol:
    """Set at any moment, from 15 steps after the end of Ready."""
    return StimulusProtocol(
        before=make_trials([T_IN[-1]]).input[0, : READY_ON + PULSE + 16],
        pulses=(Pulse(symbol=1, channel=1, width=PULSE, settled=2 * PULSE),),
        patience=5 * T_IN[-1],
        notches=(
            *NOTCHES,
            Notch(
                "trained",
                "pulses, each after long silence or 20 steps after the one before or the start",
                waits={0: (20,)},
                within={0: ((10, T_IN[-1] - T_IN[0] - 1),)},
                burst=2,
            ),
            Notch(
                "waits",
                "pulses, each after long silence or 20 or 300 steps after the one before or the "
                "start",
                waits={0: (20, 300)},
                within={0: ((10, T_IN[-1] - T_IN[0] - 1), (250, 350))},
                burst=2,
            ),
        ),
    )


def silences() -> Silences:
    """After Ready, and after Set for each interval trained on."""
    trials = make_trials(T_IN)
    return Silences.joined(
        [
            Silences.following("ready", trials, EPOCHS.index("ready")),
            Silences.following("set", trials, EPOCHS.index("set"), ["t_in"]),
        ]
    )


def _named(kind: str, pulses: Iterable[PlacedPulse], steps: int) -> Challenge:
    """A challenge named by its pulses and their onsets, in steps from that of Ready as trained."""
    pulses = tuple(pulses)
    said = [
        f"{('ready', 'set')[p.channel]} {p.onset - READY_ON}"
        + (f" for {p.width}" if p.width != PULSE else "")
        + (f" at {p.amplitude:g}" if p.amplitude != 1 else "")
        for p in pulses
    ]
    return Challenge(", ".join(said) or "silence", kind, pulses, steps)


def challenges() -> ChallengeFamily:
    """Ready, Set or both once, twice, never or at other times, and random sequences of Sets."""

    def ready(at: int, width: int = PULSE, amplitude: float = 1.0) -> PlacedPulse:
        return PlacedPulse(READY_ON + at, 0, width, amplitude)

    def set_(at: int, width: int = PULSE, amplitude: float = 1.0) -> PlacedPulse:
        return PlacedPulse(READY_ON + at, 1, width, amplitude)

    def name(of: Mapping[str, int]) -> str:
        return f"ready 0, set {of['t_in']}"

    after = 300  # steps that are followed after the last pulse
    outside = (8, 12, 15, 60, 75, 100, 130, 200, 300)
    found = [
        *challenges_of_trials(make_trials(T_IN[::5]), "trained", name),
        *(_named("outside", [ready(0), set_(t)], READY_ON + t + after) for t in outside),
        *(_named("outside", [ready(0, width), set_(35, width)], 200) for width in (1, 2, 10, 20)),
        *(
            _named("outside", [ready(0, width), set_(t)], READY_ON + t + after)
            for width in (2, 10)
            for t in (60, 100, 200)
        ),
        *(
            _named("outside", [ready(0, PULSE, a), set_(35, PULSE, b)], 200)
            for a, b in ((0.5, 1.0), (1.0, 0.5), (0.5, 0.5), (2.0, 1.0), (1.0, 2.0), (2.0, 2.0))
        ),
        _named("missing", [], 400),
        _named("missing", [ready(0)], 400),
        *(_named("missing", [set_(t)], t + 400) for t in (0, 35)),
        *(_named("missing", [set_(0), set_(t)], t + after) for t in (15, 35, 80, 150)),
        *(_named("extra", [ready(0), ready(t)], t + after) for t in (20, 35, 60, 100, 200)),
        *(
            _named("extra", [ready(0), ready(t), set_(t + u)], t + u + after)
            for t in (20, 60, 150)
            for u in (25, 60, 150)
        ),
        *(
            _named("extra", [ready(0), set_(35), ready(35 + t)], 35 + t + after)
            for t in (15, 35, 80, 150)
        ),
        *(_named("mistimed", [ready(0), set_(t)], after) for t in (0, 2, 5)),
        *(_named("mistimed", [set_(0), ready(t)], t + after) for t in (5, 15, 35, 80, 150)),
        *(
            _named("mistimed", [set_(0), ready(t), set_(t + u)], t + u + after)
            for t in (35, 80)
            for u in (25, 60, 150)
        ),
        *(
            _named("extra", [ready(0), set_(t), set_(t + u)], t + u + READY_ON + after)
            for t in (10, 20, 35, 60, 100, 150, 250)
            for u in (12, 20, 35, 45, 60, 100, 150, 250)
        ),
    ]
    rng = np.random.default_rng(0)
    for sets in (2, 3, 4):
        given = alternating(
            rng, 8, first=ready(0), channels=[1] * sets, widths=[PULSE] * sets, longest=150
        )
        found += [_named("sequence", pulses, pulses[-1].onset + after) for pulses in given]
    return ChallengeFamily(
        challenges=tuple({one.name: one for one in reversed(found)}.values())[::-1],
        bins=(15, 22, 33, 50, 75, 110, 160, 240),
        published=_published,
    )


def _published(challenge: Challenge) -> bool:
    """Whether `probe` gives this: nothing after Ready, or one Set from 20 steps after the root on.

    The second Set it gives is just before a network would answer unasked: whenever that is.
    """
    waits = protocol_waits(protocol(), challenge)
    return waits is not None and (not waits or (len(waits) == 1 and waits[0][0] >= 20))


def probe(explorer: Explorer) -> None:
    """Let the network wait after Ready; give Set early on, and just before it answers unasked."""
    trial = explorer.record(make_trials([T_IN[-1]]).input[0])
    waiting = explorer.free_run(trial.states[READY_ON + PULSE + 15])
    explorer.begin(waiting)
    for node in (20, last_before_output(waiting)):
        after_set = explorer.pulse(waiting.at(node), "set", PULSE, 2 * PULSE)
        explorer.extend(node, "set", explorer.free_run(after_set))
    explorer.join()
    explorer.compare(answer="set")


TASK = Task(
    name="interval_reproduction",
    description="Ready-Set-Go: reproduce the interval between Ready and Set by the time of Go",
    inputs=("ready", "set"),
    outputs=("go",),
    epochs=EPOCHS,
    parameters={"t_in": "interval from Ready onset to Set onset"},
    parameter_units={"t_in": "steps"},
    input_symbols=("autonomous", "set"),
    training_trials=training_trials,
    recorded_trials=lambda: make_trials(T_IN),
    extrapolation_trials=lambda: make_trials(EXTRAPOLATION_T_IN, EXTRAPOLATION_STEPS),
    output_symbol=output_symbol,
    probe=probe,
    protocol=protocol(),
    silences=silences,
    challenges=challenges,
    solution_label="response_key",
    feature_epochs=feature_epochs,
    recipes={
        "vanilla": Recipe(
            target_loss=1e-4,
            max_steps=20_000,
            learning_rate=0.0135,
            schedule="linear",
            decay_start=0.4,
            decay_stop=1.0,
            final_rate=0.0,
            beta2=0.99,
            clip=0.03,
            rollback_ratio=4.0,
            rollback_floor=0.02,
            rollback_armed=0.01,
        ),
        # Rectified units leave the plateau where the recurrent matrix is orthogonal at the start.
        "relu": Recipe(
            target_loss=1e-4,
            max_steps=12_000,
            learning_rate=0.0135,
            clip=0.03,
            init="orthogonal",
        ),
        # With the default alpha of 0.2; the slower units need larger steps.
        "leaky": Recipe(
            target_loss=1e-4,
            max_steps=20_000,
            learning_rate=0.06,
            clip=0.1,
        ),
        "leaky_rate": Recipe(
            target_loss=1e-4,
            max_steps=20_000,
            learning_rate=0.03,
            clip=0.1,
            init="orthogonal",
        ),
        # The published gated networks started from torch's default divided by sqrt(N) and were
        # trained at 1e-3: the rate decides which solutions are found (docs/learning_rate.md).
        "gru": Recipe(
            target_loss=5e-5,
            max_steps=12_000,
            learning_rate=0.001,
            learning_rate_power=0.0,
            schedule="linear",
            decay_start=0.0,
            decay_stop=1.0,
            final_rate=0.0,
            beta2=0.99,
            clip=0.1,
            init="default/sqrt(N)",
            hold_rate=0.001,
            hold_steps=20_000,
            rollback_ratio=2.0,
            rollback_floor=0.02,
            rollback_armed=0.016,
        ),
        # The same; raising the rate to 3e-3 once the loss is under 2e-3 saves a seventh of the
        # time and gives 7 of 8 networks another graph.
        "lstm": Recipe(
            target_loss=5e-5,
            max_steps=12_000,
            learning_rate=0.001,
            learning_rate_power=0.0,
            schedule="linear",
            decay_start=0.0,
            decay_stop=1.0,
            final_rate=0.0,
            beta2=0.99,
            clip=0.1,
            init="default/sqrt(N)",
            hold_rate=0.001,
            hold_steps=20_000,
            rollback_ratio=2.0,
            rollback_floor=0.02,
            rollback_armed=0.016,
        ),
    },
)
