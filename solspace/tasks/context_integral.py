"""The integral of one of two streams of white noise, the one that a static context names.

The task is that of Maheswaranathan, Williams, Golub, Ganguli & Sussillo (NeurIPS 2019), the variant
of `solspace.tasks.context_integration` in which the integral itself is asked for, at every step,
and nothing is decided. Strengths and lengths are ours.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.tasks.contexts import Contexts
from solspace.tasks.recipe import Recipe
from solspace.tasks.silences import Silences
from solspace.tasks.task import Task
from solspace.tasks.trials import Trials

STEPS = 60
NOISE = 0.1  # standard deviation of each stream, at every step
CONTEXT = 1.0
TRAINING_TRIALS = 512
RECORDED = range(36)  # pairs of streams, each shown in both contexts
EXTRAPOLATION = range(36, 72)
EXTRAPOLATION_STEPS = 4 * STEPS


def make_trials(context: ArrayLike, streams: NDArray[np.float32], which: ArrayLike) -> Trials:
    """Trials with these contexts, 1 or 2, and streams of white noise (trial, time, 2).

    The target is the integral of the stream, in units of its standard deviation at the end of a
    trained trial.
    """
    context = np.asarray(context, np.int64)
    n, steps = streams.shape[:2]
    one_hot = np.stack([context == 1, context == 2], axis=-1).astype(np.float32)
    relevant = np.where(context[:, None] == 1, streams[..., 0], streams[..., 1])
    integral = relevant.cumsum(axis=1, dtype=np.float64) / (NOISE * np.sqrt(STEPS))
    return Trials(
        input=np.concatenate(
            [streams, np.broadcast_to(CONTEXT * one_hot[:, None], streams.shape)], axis=-1
        ).astype(np.float32),
        target=integral[..., None].astype(np.float32),
        epoch=np.zeros((n, steps), np.int8),
        parameters={"context": context, "streams": np.asarray(which, np.int64)},
    )


def training_trials(rng: np.random.Generator) -> Trials:
    context = rng.integers(1, 3, TRAINING_TRIALS)
    streams = NOISE * rng.standard_normal((TRAINING_TRIALS, STEPS, 2), np.float32)
    return make_trials(context, streams, np.arange(TRAINING_TRIALS))


def both_contexts(which: range, steps: int = STEPS) -> Trials:
    """Each of these pairs of streams in both contexts; a pair is the same wherever it is shown."""
    drawn = [
        NOISE * np.random.default_rng([1, k]).standard_normal((steps, 2), np.float32) for k in which
    ]
    context = np.repeat((1, 2), len(which))
    return make_trials(context, np.tile(drawn, (2, 1, 1)), np.tile(which, 2))


def silences() -> Silences:
    """After the trial: what is left of the integral when streams and context end."""
    return Silences.following("streams", both_contexts(range(16)), 0, ["context", "streams"])


def constant_inputs() -> dict[str, list[float]]:
    """Each context by itself, without either stream."""
    return {"context 1": [0, 0, CONTEXT, 0], "context 2": [0, 0, 0, CONTEXT]}


def contexts() -> Contexts:
    """Each context without noise; constant streams whose integral is within what was trained."""
    neutral = make_trials([1, 2], np.zeros((2, STEPS, 2), np.float32), [0, 1]).input
    return Contexts(
        names=tuple(constant_inputs()),
        streams=("stream_1", "stream_2"),
        counts=("stream_1", "stream_2"),
        neutral=neutral,
        stimulus=np.ones(STEPS, bool),
        strengths=2 * NOISE / np.sqrt(STEPS) * np.linspace(-1, 1, 17),
    )


_recipe = partial(Recipe, target_loss=0.01, max_steps=12_000, beta2=0.999)

TASK = Task(
    name="context_integral",
    description="Integrate the one of two streams of white noise that the context names",
    inputs=("stream_1", "stream_2", "context_1", "context_2"),
    outputs=("integral",),
    epochs=("integration",),
    parameters={
        "context": "which stream counts, 1 or 2",
        "streams": "which pair of streams is shown",
    },
    training_trials=training_trials,
    recorded_trials=partial(both_contexts, RECORDED),
    extrapolation_trials=partial(both_contexts, EXTRAPOLATION, EXTRAPOLATION_STEPS),
    silences=silences,
    constant_inputs=constant_inputs,
    contexts=contexts,
    noisy=True,
    architecture="leaky",
    solution_label="attractor_key",
    recipes={
        # They stay blind to the context for some 2,000 steps; of 8 first inits 7 reach the target.
        "leaky": _recipe(learning_rate=0.12, learning_rate_power=-1.0, clip=1.0),
        "gru": _recipe(learning_rate=0.03, clip=1.0),
        "lstm": _recipe(learning_rate=0.03, clip=1.0),
    },
)
