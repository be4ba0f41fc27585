"""Context-dependent integration: of two noisy streams, the sign of the one that the context names.

The task is that of Mante, Sussillo, Shenoy & Newsome (Nature 2013), with the numbers by which
Dubreuil, Valente, Beiran, Mastrogiuseppe & Ostojic (Nat Neurosci 2022) trained leaky networks on
it. The variant with the integral as target is that of Maheswaranathan, Williams, Golub, Ganguli &
Sussillo (NeurIPS 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.tasks.context_challenges import ContextTrials, context_family
from solspace.tasks.contexts import Contexts
from solspace.tasks.input_challenges import InputChallengeFamily
from solspace.tasks.recipe import Recipe
from solspace.tasks.silences import Silences
from solspace.tasks.task import Task
from solspace.tasks.trials import Trials

MS_PER_STEP = 20  # of networks with alpha 0.2: a time constant of 100 ms
EPOCHS = ("fixation", "context_only", "stimulus", "delay", "decision")
EPOCH_STEPS = (5, 17, 40, 5, 1)
STEPS = sum(EPOCH_STEPS)
INPUTS = ("stream_1", "stream_2", "context_1", "context_2")

STRENGTH = 0.1  # of a stream per unit of coherence, and of the context
NOISE = 0.1  # standard deviation in each stream, at every step
COHERENCES = (-4, -2, -1, 1, 2, 4)
PROBED = (-16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16)
TRAINING_TRIALS = 512

# Seeds of the noise in the trials that networks are recorded on and tested with.
_RECORDED, _EXTRAPOLATION = 1, 2


def make_trials(
    conditions: ArrayLike,
    rng: np.random.Generator | None = None,
    epoch_steps: Sequence[int] = EPOCH_STEPS,
    noise: float = NOISE,
) -> Trials:
    """Trials with these ``(context, coherence_1, coherence_2)``; context 1 asks for stream 1.

    Parameters
    ----------
    conditions : array_like (trial, 3)
    rng : Generator, optional
        Of the noise; none without.
    epoch_steps : sequence of int
        How long each epoch is.
    noise : float
        Standard deviation of the noise in each stream, at every step.
    """
    context, c1, c2 = np.asarray(conditions, dtype=np.float64).reshape(-1, 3).T
    n, epoch = len(context), np.repeat(np.arange(len(EPOCHS)), epoch_steps).astype(np.int8)
    given = np.zeros((n, len(epoch), len(INPUTS)), np.float32)
    if rng is not None:
        given[..., :2] = noise * rng.standard_normal((n, len(epoch), 2), np.float32)
    stimulus = epoch == EPOCHS.index("stimulus")
    given[:, stimulus, :2] += STRENGTH * np.stack([c1, c2], axis=-1)[:, None].astype(np.float32)
    # From the end of fixation to the response.
    on = (epoch > EPOCHS.index("fixation")) & (epoch < EPOCHS.index("decision"))
    for which in (1, 2):
        given[:, on, 1 + which] = STRENGTH * (context == which)[:, None]
    target = np.full((n, len(epoch), 1), np.nan, np.float32)
    target[:, epoch == EPOCHS.index("decision")] = np.sign(np.where(context == 1, c1, c2))[
        :, None, None
    ]
    return Trials(
        input=given,
        target=target,
        epoch=np.tile(epoch, (n, 1)),
        parameters=_parameters(context, c1, c2),
    )


def _parameters(
    context: NDArray[Any], c1: NDArray[Any], c2: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    return {"context": context.astype(np.int64), "coherence_1": c1, "coherence_2": c2}


def combinations(coherences: Sequence[float]) -> list[tuple[int, float, float]]:
    """Every context with every coherence of the one and of the other stream."""
    return list(product((1, 2), coherences, coherences))


def random_conditions(rng: np.random.Generator, trials: int) -> NDArray[np.int64]:
    """As in training: contexts and coherences independent and all alike, (trial, 3)."""
    context = rng.integers(1, 3, trials)
    return np.stack([context, *rng.choice(COHERENCES, (2, trials))], axis=1)


def training_trials(rng: np.random.Generator) -> Trials:
    return make_trials(random_conditions(rng, TRAINING_TRIALS), rng)


def recorded_trials() -> Trials:
    return make_trials(combinations(COHERENCES), np.random.default_rng(_RECORDED))


def extrapolation_trials() -> Trials:
    return make_trials(combinations(PROBED), np.random.default_rng(_EXTRAPOLATION))


def constant_inputs() -> dict[str, list[float]]:
    """Each context by itself, without either stream."""
    return {"context 1": [0, 0, STRENGTH, 0], "context 2": [0, 0, 0, STRENGTH]}


def contexts() -> Contexts:
    """Each context without evidence, and the trained strengths of a stream."""
    neutral = make_trials([(1, 0, 0), (2, 0, 0)])
    return Contexts(
        names=tuple(constant_inputs()),
        streams=INPUTS[:2],
        counts=INPUTS[:2],
        neutral=neutral.input,
        stimulus=neutral.epoch[0] == EPOCHS.index("stimulus"),
        strengths=STRENGTH * np.linspace(COHERENCES[0], COHERENCES[-1], 17),
    )


def silences() -> Silences:
    """After context and delay without noise: what is left of the context, and of the decision.

    The same with the context held, as the delay of a trial goes on: what is left of the decision.
    """
    trials = make_trials(combinations((-4, -1, 1, 4)))
    parameters, delay = list(trials.parameters), EPOCHS.index("delay")
    parts = [
        Silences.following("context", trials, EPOCHS.index("context_only"), ["context"]),
        Silences.following("delay", trials, delay, parameters),
    ]
    for which, constant in ((1, "context 1"), (2, "context 2")):
        one = make_trials([c for c in combinations((-4, -1, 1, 4)) if c[0] == which])
        held = constant_inputs()[constant]
        parts.append(Silences.following(f"in_context_{which}", one, delay, parameters, held))
    return replace(Silences.joined(parts), keyed=("delay", "in_context_1", "in_context_2"))


def challenges() -> InputChallengeFamily:
    """Trials unlike the trained, and what is measured with them; ours."""
    return context_family(ContextTrials(make_trials, EPOCH_STEPS, (NOISE, NOISE, 0, 0), STRENGTH))


_recipe = partial(Recipe, target_loss=0.02, max_steps=6000, beta2=0.999)

TASK = Task(
    name="context_integration",
    description="Of two noisy streams tell the sign of the one that the context names",
    inputs=INPUTS,
    outputs=("choice",),
    epochs=EPOCHS,
    parameters={
        "context": "which stream counts, 1 or 2",
        "coherence_1": "coherence of stream 1, ten times its mean",
        "coherence_2": "coherence of stream 2, ten times its mean",
    },
    training_trials=training_trials,
    recorded_trials=recorded_trials,
    extrapolation_trials=extrapolation_trials,
    silences=silences,
    constant_inputs=constant_inputs,
    contexts=contexts,
    challenges=challenges,
    noisy=True,
    asked=("decision",),
    architecture="leaky",
    solution_label="attractor_key",
    # At a loss of 0.02 some 99 % of fresh trials are answered right in each context; a network
    # blind to the context has 75 % and a loss of 0.5.
    recipes={
        "leaky": _recipe(learning_rate=0.03, clip=1.0, recurrent_noise=0.05),
        "leaky_rate": _recipe(learning_rate=0.03, clip=1.0, recurrent_noise=0.05),
        "gru": _recipe(learning_rate=0.03, clip=1.0),
        "lstm": _recipe(learning_rate=0.03, clip=1.0),
        # Without leak larger steps lose what has been learnt.
        "vanilla": _recipe(learning_rate=0.01, clip=0.1),
        "relu": _recipe(learning_rate=0.01, clip=0.1, init="orthogonal"),
    },
)
