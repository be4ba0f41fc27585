"""Train one network by its task's recipe: batches, learning rates, checks, rollbacks, attempts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.tasks import get_task
from solspace.tasks.recipe import Recipe
from solspace.tasks.task import Task, number_faults
from solspace.tasks.trials import Trials, squared_error
from solspace.training.steps import Steps, Weights, make_steps

__all__ = [
    "INITS",
    "Attempt",
    "Checkpoint",
    "ExactLoss",
    "Look",
    "Request",
    "Training",
    "TrainingResult",
    "batches",
    "initial_weights",
    "learning_rates",
    "loss_levels",
    "rolls_back",
    "train_network",
    "training_trials",
]

INITS = ("default", "default/sqrt(N)", "orthogonal", "normal")

# Random streams of a network; the generator's seed is (seed, attempt, stream). The fourth is that
# of further training.
_DATA, _INIT, _BATCHES, _, _FRESH, _NOISE = range(6)

# A loss this many times that of silence (a readout of zero) will not come back.
_DIVERGED = 100.0


@dataclass(frozen=True)
class Checkpoint:
    """A network at one loss on its way down.

    Attributes
    ----------
    level : float
        The loss it is the first under, infinity for the initial weights.
    weights : dict of str to array, float32, or None
        None where the loss never fell under ``level``.
    loss : float
        Mean squared error of ``weights`` over the training trials; NaN where there are none.
    gradient_steps : int
        How many led there, -1 where none did.
    """

    level: float
    weights: Weights | None = None
    loss: float = np.nan
    gradient_steps: int = -1


@dataclass(frozen=True)
class TrainingResult:
    """One trained network, or one that failed and why.

    Attributes
    ----------
    weights, initial_weights : dict of str to array
        Shaped as `solspace.networks.parameter_shapes`. Of a network that failed, the attempt
        that came closest.
    loss : float
        Mean squared error of ``weights`` over the training trials, forward pass in float64.
    gradient_steps : int
        Of the attempt that is kept.
    attempts : int
        How many were begun.
    trained : bool
        Whether ``loss`` is under the recipe's target.
    reason : str
        Why the network failed; empty where it is trained.
    checkpoints : tuple of Checkpoint
        Of the attempt that is kept, where they were asked for.
    loss_curve : tuple of float
        Of the attempt that is kept: the loss over the training trials before its first step and
        at each look, every ``check_every`` steps, curriculum apart.
    """

    weights: Weights
    initial_weights: Weights
    loss: float
    gradient_steps: int
    attempts: int
    trained: bool
    reason: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()
    loss_curve: tuple[float, ...] = ()


def initial_weights(
    architecture: str,
    hidden_size: int,
    *,
    inputs: int,
    outputs: int,
    init: str,
    rng: np.random.Generator,
    gain: float = 1.0,
    given: Mapping[str, NDArray[Any]] | None = None,
) -> Weights:
    """Fresh weights of one network.

    Parameters
    ----------
    architecture : str
    hidden_size : int
    inputs, outputs : int
        The task's channels.
    init : {"default", "default/sqrt(N)", "orthogonal", "normal"}
        ``default`` is torch's, uniform within 1/sqrt(N); ``default/sqrt(N)`` divides that by
        sqrt(N); ``orthogonal`` replaces the recurrent matrix of each gate by a random
        orthogonal one, ``normal`` by one of independent normal numbers, scaled to a spectral
        radius of 1.
    rng : Generator
    gain : float
        The recurrent weights are multiplied by this.
    given : mapping, optional
        What the architecture has beyond weights and biases and is not trained, such as ``alpha``;
        its defaults by default. What is trained beyond them begins at its default.

    Returns
    -------
    dict of arrays
        float32; float64 what is given.

    Raises
    ------
    SolspaceError
        For an unknown architecture or init, a hidden size under 1, or a gain that is not over 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> start = initial_weights("gru", 16, inputs=2, outputs=1, init="default", rng=rng)
    >>> start["weight_hh"].shape, bool(abs(start["weight_hh"]).max() <= 1 / 4)
    ((3, 16, 16), True)
    """
    if init not in INITS:
        raise SolspaceError(f"unknown init {init!r}; inits: {', '.join(INITS)}")
    if hidden_size < 1:
        raise SolspaceError(f"hidden size {hidden_size}; give 1 or more units")
    if not 0 < gain < np.inf:
        raise SolspaceError(f"gain {gain:g} of the recurrent weights; give a finite one over 0")
    record = networks.recurrent_architecture(architecture)
    shapes = networks.parameter_shapes(architecture, hidden_size, inputs, outputs)
    bound = hidden_size ** (-1.0 if init == "default/sqrt(N)" else -0.5)
    weights: Weights = {
        name: rng.uniform(-bound, bound, size=shape).astype(np.float32)
        for name, shape in shapes.items()
        if name in networks.PARAMETERS
    }
    for p in record.parameters:
        value = (given or {}).get(p.name, p.default)
        if value is None:
            raise SolspaceError(
                f"{architecture} networks need {p.name} ({p.meaning}), which has no default; "
                f"give it"
            )
        dtype = np.float32 if p.trained else np.float64
        weights[p.name] = np.broadcast_to(np.asarray(value, dtype), shapes[p.name]).copy()
    if init == "orthogonal":
        q, r = np.linalg.qr(rng.standard_normal(shapes["weight_hh"]))
        # Signs of R's diagonal make Q uniform over the orthogonal group (Mezzadri 2007).
        signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
        weights["weight_hh"] = (q * signs[:, None, :]).astype(np.float32)
    elif init == "normal":
        drawn = rng.standard_normal(shapes["weight_hh"])
        radius = np.abs(np.linalg.eigvals(drawn)).max(axis=-1)
        weights["weight_hh"] = (drawn / radius[:, None, None]).astype(np.float32)
    weights["weight_hh"] *= np.float32(gain)
    return weights


def learning_rates(recipe: Recipe, hidden_size: int) -> NDArray[np.float64]:
    """The learning rate of each gradient step of an attempt.

    Examples
    --------
    >>> recipe = Recipe(target_loss=1e-4, max_steps=5, learning_rate=1.0, decay_start=0.5)
    >>> learning_rates(recipe, 4)
    array([0.5, 0.5, 0.5, 0.4, 0.2])
    """
    share = np.arange(recipe.max_steps) / recipe.max_steps
    fall = np.clip(
        (share - recipe.decay_start) / (recipe.decay_stop - recipe.decay_start), 0.0, 1.0
    )
    if recipe.schedule == "cosine":
        fall = (1 - np.cos(np.pi * fall)) / 2
    elif recipe.schedule != "linear":
        raise SolspaceError(f"unknown schedule {recipe.schedule!r}; schedules: linear, cosine")
    first = recipe.learning_rate * hidden_size**recipe.learning_rate_power
    return np.asarray(first * (1 + (recipe.final_rate - 1) * fall))


def loss_levels(silence: float, target: float, checkpoints: int) -> NDArray[np.float64]:
    """Losses at which weights are kept on the way from silence to the target.

    Parameters
    ----------
    silence : float
        Loss of a readout of zero.
    target : float
        The recipe's target loss.
    checkpoints : int
        2 or more.

    Returns
    -------
    array (checkpoint,)
        Infinity, so that the first checkpoint is the initial weights; then levels evenly spaced
        in the logarithm between ``silence`` and ``target``, without the former; the last is
        ``target``.

    Examples
    --------
    >>> np.round(loss_levels(0.1, 1e-4, 4), 6).tolist()
    [inf, 0.01, 0.001, 0.0001]
    """
    if checkpoints < 2:
        raise SolspaceError(
            f"{checkpoints} checkpoints; give 2 or more (the initial and the final weights), or "
            "leave it out for none"
        )
    between = np.geomspace(max(silence, target), target, checkpoints)
    return np.concatenate([[np.inf], between[1:]])


def training_trials(task: str | Task, seed: int) -> Trials:
    """The trials the network of this seed learns from: the same at every attempt.

    Of a noisy task those at which its loss is looked at; it learns from others like them, each of
    which it sees once.

    Examples
    --------
    >>> len(training_trials("interval_reproduction", 7))
    128
    """
    return get_task(task).training_trials(np.random.default_rng([seed, 0, _DATA]))


def train_network(
    task: str | Task,
    architecture: str,
    hidden_size: int,
    *,
    seed: int,
    recipe: Recipe | None = None,
    stop: Callable[[], bool] | None = None,
    device: str | None = None,
    checkpoints: int = 0,
    given: Mapping[str, NDArray[Any]] | None = None,
    told: Callable[[float, int, int], None] | None = None,
) -> TrainingResult:
    """Train one network on one thread.

    The result depends on the seed alone: training trials, initial weights and batches each have
    a random stream of their own, (seed, attempt, stream). The compiled kernel holds no lock of
    the interpreter, so a pool of threads trains one network per core.

    Parameters
    ----------
    task : str or Task
    architecture : str
    hidden_size : int
    seed : int
        Not negative.
    recipe : Recipe, optional
        The task's own by default.
    stop : callable () -> bool, optional
        Asked at each check of the loss; True raises ``KeyboardInterrupt``, since a network half
        trained is neither trained nor failed.
    device : str, optional
        Train in torch on this device (``"cuda"``) instead.
    checkpoints : int
        Keep the weights at so many losses on the way (see `loss_levels`): the initial ones, those
        of the first look at which the best loss is under each level, and the final ones. The
        network that is trained is the same, bit for bit, with and without.
    given : mapping, optional
        See `initial_weights`.
    told : callable (float, int, int) -> None, optional
        Told at each check the loss, the gradient steps so far of this attempt, and how many it has
        at most.

    Returns
    -------
    TrainingResult
        A network that fails comes with its best weights and the reason.

    Raises
    ------
    SolspaceError
        For an unknown task, architecture, init or schedule, or a task without a recipe for the
        architecture.

    Examples
    --------
    >>> import dataclasses
    >>> from solspace.tasks import get_task
    >>> recipe = get_task("interval_reproduction").recipe("vanilla")
    >>> short = dataclasses.replace(recipe, max_steps=200, attempts=1)
    >>> result = train_network("interval_reproduction", "vanilla", 20, seed=1, recipe=short)
    >>> result.trained, result.gradient_steps
    (False, 200)
    >>> result.reason  # doctest: +ELLIPSIS
    'loss 0.03... after 1 attempt of 200 steps, wanted 0.0001'
    """
    training = Training(
        task, architecture, hidden_size, seed=seed, recipe=recipe, stop=stop,
        checkpoints=checkpoints, given=given, told=told,
    )  # fmt: skip

    make = partial(make_steps, device=device)
    attempts: list[Attempt] = []
    while training.goes_on(attempts):
        attempts.append(_alone(training.attempt(len(attempts), make)))
    return training.result(attempts)


class Request(Protocol):
    """What an attempt waits for, a number."""

    def alone(self) -> float:
        """Compute it for this network alone, on the calling thread."""


@dataclass(frozen=True)
class Look:
    """Gradient steps, if any, and then the loss over the whole training set.

    Attributes
    ----------
    steps : Steps
    batches : array (step, batch) or None
        Trial indices of each gradient step.
    rates : array (step,) or None
    """

    steps: Steps
    batches: NDArray[np.int64] | None = None
    rates: NDArray[np.float64] | None = None

    def alone(self) -> float:
        if self.batches is not None and self.rates is not None:
            self.steps.advance(self.batches, self.rates)
        return self.steps.loss()


@dataclass(frozen=True)
class ExactLoss:
    """The loss of these weights in float64, see `mean_squared_error`."""

    architecture: str
    weights: Weights
    trials: Trials

    def alone(self) -> float:
        return mean_squared_error(self.architecture, self.weights, self.trials)


Result = TypeVar("Result")
# Yields what it waits for, is sent the number, and returns its result.
Program = Generator[Request, float, Result]


def _alone(program: Program[Result]) -> Result:
    """Run one attempt to its end."""
    try:
        request = next(program)
        while True:
            request = program.send(request.alone())
    except StopIteration as end:
        return end.value


class Training:
    """The training of one network, as attempts that whoever runs them may run side by side.

    An attempt is a generator: it yields what it waits for (`Look`, `ExactLoss`), is sent the
    number, and returns an `Attempt`. All that is decided about a network is decided here, wherever
    the gradient steps are computed.

    Parameters are those of `train_network`, which has the errors too.

    Examples
    --------
    >>> training = Training("interval_reproduction", "vanilla", 20, seed=1)
    >>> first = next(training.attempt(0, make_steps))
    >>> type(first).__name__, first.batches is None, 0.02 < first.alone() < 1
    ('Look', True, True)
    """

    def __init__(
        self,
        task: str | Task,
        architecture: str,
        hidden_size: int,
        *,
        seed: int,
        recipe: Recipe | None = None,
        stop: Callable[[], bool] | None = None,
        checkpoints: int = 0,
        given: Mapping[str, NDArray[Any]] | None = None,
        told: Callable[[float, int, int], None] | None = None,
    ) -> None:
        task = get_task(task)
        networks.check_architecture(architecture)
        recipe = recipe or task.recipe(architecture)
        if seed < 0 or recipe.attempts < 1:
            raise SolspaceError(
                f"seed {seed}, {recipe.attempts} attempts; give a seed of 0 or more, 1 or more "
                "attempts"
            )
        if recipe.hold_steps and (recipe.hold_steps % recipe.check_every or recipe.hold_rate <= 0):
            raise SolspaceError(
                f"hold_steps {recipe.hold_steps} at hold_rate {recipe.hold_rate:g}; give a "
                f"multiple of check_every ({recipe.check_every}) and a rate over 0, or 0 steps"
            )
        trials = training_trials(task, seed)
        if not trials.input.size:
            raise SolspaceError(
                f"task {task.name!r} gives no training trials (input {trials.input.shape}: "
                "trials, steps, channels); give one or more"
            )
        if fault := number_faults(task, trials):
            raise SolspaceError(
                f"the training trials of task {task.name!r} hold NaN or infinity: {fault}; give "
                "finite numbers"
            )
        self.task, self.architecture, self.hidden_size = task, architecture, hidden_size
        self.seed, self.recipe, self.trials = seed, recipe, trials
        self._stop, self._given, self._told = stop, given, told
        self._rates = learning_rates(recipe, hidden_size)
        self._levels = np.empty(0)
        if checkpoints:
            self._levels = loss_levels(_silence(trials), recipe.target_loss, checkpoints)

    def goes_on(self, attempts: Sequence[Attempt]) -> bool:
        """Whether another attempt is made after these."""
        return len(attempts) < self.recipe.attempts and not (attempts and attempts[-1].trained)

    def attempt(self, attempt: int, make: Callable[..., Steps]) -> Program[Attempt]:
        """One attempt; ``make`` is `make_steps`, or gives what computes the steps instead."""
        task, seed, recipe = self.task, self.seed, self.recipe
        start = initial_weights(
            self.architecture,
            self.hidden_size,
            inputs=len(task.inputs),
            outputs=len(task.outputs),
            init=recipe.init,
            rng=np.random.default_rng([seed, attempt, _INIT]),
            gain=recipe.init_gain,
            given=self._given,
        )
        rng = np.random.default_rng([seed, attempt, _BATCHES])
        fresh = np.random.default_rng([seed, attempt, _FRESH])
        draw = partial(task.training_trials, fresh) if task.noisy else None
        noise = np.random.default_rng([seed, attempt, _NOISE])
        return (
            yield from _attempt(
                self.architecture, start, self.trials, self._rates, recipe, rng, self._stop, make,
                self._levels, draw, noise, self._told,
            )
        )  # fmt: skip

    def result(self, attempts: Sequence[Attempt]) -> TrainingResult:
        """What comes of the attempts, all that were made."""
        recipe, best = self.recipe, attempts[0]
        for this in attempts[1:]:
            if this.loss < best.loss:
                best = this
        reason = ""
        if not best.trained:
            reason = (
                f"loss {best.loss:.2g} after {len(attempts)} attempt"
                f"{'s' if len(attempts) > 1 else ''} of "
                f"{recipe.hold_steps + recipe.max_steps:,} steps, "
                f"wanted {recipe.target_loss:.2g}"
            )
            early = [f"attempt {k + 1} {a.ended}" for k, a in enumerate(attempts) if a.ended]
            reason = "; ".join([reason, *early])
        return TrainingResult(
            weights=best.weights,
            initial_weights=best.start,
            loss=best.loss,
            gradient_steps=best.steps,
            attempts=len(attempts),
            trained=best.trained,
            reason=reason,
            checkpoints=_checkpoints(self.architecture, best, self._levels, self.trials),
            loss_curve=tuple(best.curve),
        )


def _checkpoints(
    architecture: str, attempt: Attempt, levels: NDArray[np.float64], trials: Trials
) -> tuple[Checkpoint, ...]:
    """The kept weights with their losses; the same where one look passed several levels."""
    if not len(levels):
        return ()
    kept = [(attempt.start, 0), *attempt.passed]
    out: list[Checkpoint] = []
    for level, (weights, steps) in zip(levels[:-1], kept, strict=False):
        if out and out[-1].gradient_steps == steps:
            out.append(dataclasses.replace(out[-1], level=float(level)))
            continue
        loss = mean_squared_error(architecture, weights, trials)
        out.append(Checkpoint(float(level), weights, loss, steps))
    out += [Checkpoint(float(level)) for level in levels[len(out) : -1]]
    final = Checkpoint(float(levels[-1]), attempt.weights, attempt.loss, attempt.steps)
    return (*out, final)


def mean_squared_error(
    architecture: str, weights: Mapping[str, NDArray[np.float32]], trials: Trials
) -> float:
    """Mean squared error over what trials ask for, forward pass in float64.

    Examples
    --------
    >>> trials = training_trials("interval_reproduction", 7)
    >>> shapes = networks.parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> silent = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    >>> mean_squared_error("vanilla", silent, trials), np.mean(trials.target**2, dtype=float)
    (0.03..., np.float64(0.03...))
    """
    _, output = networks.run(architecture, weights, trials.input, dtype=np.float64)
    return squared_error(output, trials.target)


@dataclass(frozen=True)
class Attempt:
    """How one attempt ended, with the best weights it found."""

    start: Weights
    weights: Weights
    loss: float
    steps: int
    trained: bool = False
    ended: str = ""  # why before max_steps
    passed: list[tuple[Weights, int]] = field(default_factory=list)  # at each level passed
    curve: list[float] = field(default_factory=list)  # loss at each look


def batches(
    trials: int, steps: int, recipe: Recipe, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Trial indices of each check interval, (step, batch); every epoch is a new shuffle.

    Examples
    --------
    >>> recipe = Recipe(target_loss=1e-4, max_steps=4, learning_rate=0.01, batch_size=2)
    >>> [rows.shape for rows in batches(3, 4, recipe, np.random.default_rng(0))]
    [(4, 2)]
    """
    queue = np.empty(0, np.int64)
    for first in range(0, steps, recipe.check_every):
        rows = min(recipe.check_every, steps - first)
        wanted = rows * recipe.batch_size
        epochs = -(-max(0, wanted - len(queue)) // trials)
        queue = np.concatenate([queue, *(rng.permutation(trials) for _ in range(epochs))])
        yield queue[:wanted].reshape(rows, recipe.batch_size)
        queue = queue[wanted:]


def rolls_back(recipe: Recipe, loss: float, best: float) -> bool:
    """Whether a look that finds this loss returns to the best weights.

    Examples
    --------
    >>> recipe = Recipe(target_loss=1e-4, max_steps=4, learning_rate=0.01)
    >>> rolls_back(recipe, 0.03, best=0.005), rolls_back(recipe, 0.03, best=0.02)
    (True, False)
    """
    return (
        best < recipe.rollback_armed
        and loss > recipe.rollback_floor
        and loss > recipe.rollback_ratio * best
    )


def _easy_trials(trials: Trials, recipe: Recipe) -> Trials:
    """The trials of the recipe's curriculum."""
    names = (recipe.curriculum_first, recipe.curriculum_second)
    missing = [name for name in names if name not in trials.parameters]
    if missing:
        raise SolspaceError(
            f"the recipe's curriculum compares {names[0]!r} and {names[1]!r}, but the trials' "
            f"parameters are {', '.join(trials.parameters) or 'none'}"
        )
    first, second = (np.asarray(trials.parameters[name]) for name in names)
    easy = np.flatnonzero(np.abs(first - second) >= recipe.curriculum_gap)
    if not len(easy):
        raise SolspaceError(
            f"no training trial has {names[0]} and {names[1]} {recipe.curriculum_gap:g} apart; "
            "give a smaller curriculum_gap"
        )
    return Trials(
        input=trials.input[easy],
        target=trials.target[easy],
        epoch=trials.epoch[easy],
        parameters={name: values[easy] for name, values in trials.parameters.items()},
    )


def _attempt(
    architecture: str,
    start: Weights,
    trials: Trials,
    rates: NDArray[np.float64],
    recipe: Recipe,
    rng: np.random.Generator,
    stop: Callable[[], bool] | None,
    make: Callable[..., Steps],
    levels: NDArray[np.float64],
    draw: Callable[[], Trials] | None = None,
    noise: np.random.Generator | None = None,
    told: Callable[[float, int, int], None] | None = None,
) -> Program[Attempt]:
    """Train from one set of initial weights until the target, the last step or no hope."""

    def exact_loss() -> ExactLoss:
        return ExactLoss(architecture, steps.weights(), trials)

    def under_in_float64(level: float) -> Callable[[float], Program[bool]]:
        def reached(loss: float) -> Program[bool]:
            # The verdict is float64's; it is asked only where float32 says so.
            return loss < level and (yield exact_loss()) < level

        return reached

    def easy_enough(loss: float) -> Program[bool]:
        yield from ()
        return loss < recipe.curriculum_loss

    steps = make(architecture, start, trials, recipe, draw=draw, noise=noise)
    between, passed = levels[1:-1], list[tuple[Weights, int]]()

    before = 0  # steps of the parts that have ended
    most = recipe.curriculum_steps + recipe.hold_steps + len(rates)

    def tell(loss: float, done: int) -> None:
        if told is not None:
            told(loss, before + done, most)

    def look(loss: float, done: int) -> None:
        while len(passed) < len(between) and loss < between[len(passed)]:
            weights = {name: array.copy() for name, array in steps.weights().items()}
            passed.append((weights, before + done))

    curriculum = _Descent()
    if recipe.curriculum_steps:
        easy = _easy_trials(trials, recipe)
        curriculum_steps = make(architecture, start, easy, recipe, noise=noise)
        curriculum = yield from _descend(
            curriculum_steps,
            batches(len(easy), recipe.curriculum_steps, recipe, rng),
            np.full(recipe.curriculum_steps, rates[0]),
            recipe,
            _silence(easy),
            easy_enough,
            stop,
            told=tell,
        )
        if not (curriculum.ended or curriculum.reached):
            curriculum.ended = f"ended at step {curriculum.done:,}: curriculum not learnt"
        steps.restore(curriculum_steps.snapshot())
    before = curriculum.done
    ended = curriculum.ended
    curve: list[float] = []
    for part, under in (
        (np.full(recipe.hold_steps, recipe.hold_rate), max(recipe.hold_loss, recipe.target_loss)),
        (rates, recipe.target_loss),
    ):
        if ended or not len(part):
            continue
        descent = yield from _descend(
            steps,
            batches(len(trials), len(part), recipe, rng),
            part,
            recipe,
            _silence(trials),
            under_in_float64(under),
            stop,
            look,
            tell,
        )
        # Where a part begins is where the one before ended.
        curve += descent.losses[1 if curve else 0 :]
        before += descent.done
        ended = descent.ended
    loss = yield exact_loss()
    trained = loss < recipe.target_loss
    return Attempt(start, steps.weights(), loss, before, trained, ended, passed, curve)


def _silence(trials: Trials) -> float:
    """Loss of a network whose readout is always zero."""
    return squared_error(np.zeros_like(trials.target), trials.target)


@dataclass
class _Descent:
    done: int = 0  # gradient steps
    reached: bool = False
    ended: str = ""  # why before the last step
    losses: list[float] = field(default_factory=list)  # before the first step, and at each look


def _descend(
    steps: Steps,
    batches: Iterator[NDArray[np.int64]],
    rates: NDArray[np.float64],
    recipe: Recipe,
    silence: float,
    reached: Callable[[float], Program[bool]],
    stop: Callable[[], bool] | None,
    look: Callable[[float, int], None] | None = None,
    told: Callable[[float, int], None] | None = None,
) -> Program[_Descent]:
    """Gradient steps with checks and rollbacks; the best weights are left in ``steps``.

    ``look`` is told each best loss and at which step, while ``steps`` has its weights; ``told``
    every loss.
    """
    result = _Descent()
    best, best_loss, factor = steps.snapshot(), (yield Look(steps)), 1.0
    result.losses.append(best_loss)
    if look is not None:
        look(best_loss, 0)
    for batch in batches:
        if stop is not None and stop():
            raise KeyboardInterrupt(f"training was stopped at step {result.done:,}")
        rows = rates[result.done : result.done + len(batch)]
        loss = yield Look(steps, batch, factor * rows)
        result.done += len(batch)
        result.losses.append(loss)
        if told is not None:
            told(loss, result.done)
        at = f"ended at step {result.done:,}"
        if not np.isfinite(loss):
            result.ended = f"{at}: loss became {'NaN' if np.isnan(loss) else 'infinite'}"
            break
        if loss > _DIVERGED * silence:
            result.ended = f"{at}: loss diverged to {loss:.2g}"
            break
        if loss < best_loss:
            best, best_loss = steps.snapshot(), loss
            if look is not None:
                look(loss, result.done)
            if (yield from reached(loss)):
                result.reached = True
                break
        elif rolls_back(recipe, loss, best_loss):
            steps.restore(best)
            factor *= recipe.rollback_rate
        plateau_ends = 0 < recipe.plateau_steps <= result.done < recipe.plateau_steps + len(batch)
        if plateau_ends and best_loss > recipe.plateau_loss:
            result.ended = f"{at}: loss still {best_loss:.2g}"
            break
    steps.restore(best)
    return result
