"""What a task is: trials, epochs, the grid outside training, and how networks are probed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = [
    "Chain",
    "DelayEpochs",
    "Explorer",
    "IntervalEpochs",
    "Pulse",
    "PulseGrammar",
    "PulseSequences",
    "Recipe",
    "Task",
    "Trials",
    "check_task",
    "epoch_stretch",
    "epochs_from_starts",
    "find_trial",
    "rounded_sign",
]


@dataclass(frozen=True)
class Trials:
    """A set of trials of one task.

    Attributes
    ----------
    input : array, float32, (trial, time, input)
    target : array, float32, (trial, time, output)
    epoch : array, int8, (trial, time)
        Index into the task's ``epochs``.
    parameters : mapping of str to array (trial,)
        The parameters that make one trial differ from another, such as ``t_in``.
    """

    input: NDArray[np.float32]
    target: NDArray[np.float32]
    epoch: NDArray[np.int8]
    parameters: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.input)


@dataclass(frozen=True)
class Recipe:
    """How networks of one architecture are trained on a task: data, not code.

    Which solutions a population holds depends on these numbers, so they are stored with it.

    Attributes
    ----------
    target_loss : float
        A network is trained when its mean squared error over the whole training set is below.
    max_steps : int
        Gradient steps of one attempt.
    learning_rate : float
        ``lr = learning_rate * hidden_size ** learning_rate_power`` at the start.
    learning_rate_power : float
    schedule : {"linear", "cosine"}
        How the rate falls from ``decay_start`` to ``decay_stop`` (shares of ``max_steps``) to
        ``final_rate`` (a share of the first rate); it is held before and after.
    decay_start, decay_stop, final_rate : float
    beta1, beta2 : float
        Adam's moments.
    clip : float
        Largest Euclidean norm of the gradient.
    batch_size : int
    init : {"default", "default/sqrt(N)", "orthogonal"}
        ``default`` is torch's, uniform within 1/sqrt(N); ``orthogonal`` changes the recurrent
        weights of that only.
    check_every : int
        Gradient steps between two looks at the loss of the whole training set.
    rollback_ratio, rollback_floor, rollback_armed : float
        A check that finds the loss over ``rollback_ratio`` times the best and over
        ``rollback_floor`` returns to the best weights and moments, once the best was under
        ``rollback_armed``.
    rollback_rate : float
        The learning rate is multiplied by this at each rollback.
    attempts : int
        How many fresh inits a network gets before it is stored as failed.
    plateau_steps, plateau_loss : int, float
        An attempt whose best loss is still over ``plateau_loss`` after ``plateau_steps`` is
        given up; 0 steps turns this off.
    lesson_steps, lesson_loss : int, float
        An attempt may begin with a lesson: easy trials only, at the first learning rate, until
        their loss is under ``lesson_loss``. One that needs more steps is given up; 0 steps
        means no lesson.
    lesson_first, lesson_second, lesson_gap : str, str, float
        Easy are the trials whose parameters of these two names differ by ``lesson_gap`` or more.
    """

    target_loss: float
    max_steps: int
    learning_rate: float
    learning_rate_power: float = -0.5
    schedule: str = "linear"
    decay_start: float = 0.4
    decay_stop: float = 1.0
    final_rate: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.99
    clip: float = 0.03
    batch_size: int = 32
    init: str = "default"
    check_every: int = 50
    rollback_ratio: float = 4.0
    rollback_floor: float = 0.02
    rollback_armed: float = 0.01
    rollback_rate: float = 1.0
    attempts: int = 4
    plateau_steps: int = 0
    plateau_loss: float = np.inf
    lesson_steps: int = 0
    lesson_loss: float = 0.0
    lesson_first: str = ""
    lesson_second: str = ""
    lesson_gap: float = 0.0


class IntervalEpochs(NamedTuple):
    """Stretches of activity the features of an interval task compare.

    Attributes
    ----------
    activity : array (trial, time, unit)
        Everything recorded.
    epoch1 : array (time, unit)
        The first interval of one trial, while it is measured.
    epoch2 : tuple of arrays (time, unit)
        The second interval of one trial each, from the shortest to the longest.
    """

    activity: NDArray[np.float64]
    epoch1: NDArray[np.float64]
    epoch2: tuple[NDArray[np.float64], ...]


class DelayEpochs(NamedTuple):
    """Stretches of activity the features of a delay task compare.

    Attributes
    ----------
    activity : array (trial, time, unit)
        Everything recorded.
    delays : tuple of arrays (time, unit)
        The delay of one trial for each remembered stimulus, in order of the stimulus.
    curved_delay : array (time, unit)
        The one of them whose curvature is measured.
    responses : tuple of two arrays (time, unit)
        The response of a trial that asks for -1, and of one that asks for +1.
    """

    activity: NDArray[np.float64]
    delays: tuple[NDArray[np.float64], ...]
    curved_delay: NDArray[np.float64]
    responses: tuple[NDArray[np.float64], NDArray[np.float64]]


def find_trial(parameters: Mapping[str, NDArray[Any]], **values: float) -> int:
    """Index of the one trial with these parameters.

    Raises
    ------
    SolspaceError
        Where no trial has them.

    Examples
    --------
    >>> find_trial({"t_in": np.arange(20, 51)}, t_in=22)
    2
    """
    asked = ", ".join(f"{name} = {value:g}" for name, value in values.items())
    missing = [name for name in values if name not in parameters]
    if missing:
        raise SolspaceError(
            f"trials have no parameter {missing[0]!r}, only {', '.join(parameters) or 'none'}; "
            f"give trials among which one has {asked}"
        )
    hits = np.flatnonzero(
        np.all([np.asarray(parameters[name]) == value for name, value in values.items()], axis=0)
    )
    if not len(hits):
        raise SolspaceError(f"no trial has {asked}; give the task's recorded trials")
    return int(hits[0])


def epoch_stretch(
    activity: NDArray[Any], epoch: NDArray[np.integer], trial: int, index: int
) -> NDArray[Any]:
    """Activity of one trial during one epoch, (time, unit).

    Raises
    ------
    SolspaceError
        Where the trial has no such epoch.

    Examples
    --------
    >>> activity = np.arange(10.0).reshape(1, 5, 2)
    >>> epoch_stretch(activity, np.array([[0, 1, 1, 2, 2]]), trial=0, index=1)
    array([[2., 3.],
           [4., 5.]])
    """
    steps = np.flatnonzero(epoch[trial] == index)
    if not len(steps):
        raise SolspaceError(
            f"trial {trial} has no step of epoch {index}, only of "
            f"{', '.join(str(e) for e in np.unique(epoch[trial]))}; give the task's recorded trials"
        )
    return activity[trial, steps[0] : steps[-1] + 1]


def epochs_from_starts(steps: int, starts: Iterable[NDArray[np.integer]]) -> NDArray[np.int8]:
    """The epoch of each step, (trial, time): 0 at first, one more from each start on.

    Raises
    ------
    SolspaceError
        Where an epoch starts before the one it follows.

    Examples
    --------
    >>> epochs_from_starts(6, [np.array([[2], [3]]), np.array([[5], [5]])]).tolist()
    [[0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 2]]
    """
    time = np.arange(steps)
    starts = [np.asarray(start) for start in starts]
    for i, (earlier, later) in enumerate(pairwise(starts), start=1):
        if (later < earlier).any():
            trial = int(np.argmax((later < earlier).ravel()))
            raise SolspaceError(
                f"epochs overlap: epoch {i + 1} starts before epoch {i} in trial {trial}; "
                "give starts that do not fall"
            )
    zero = np.zeros((1, steps), np.int8)
    return sum(((time >= start).astype(np.int8) for start in starts), zero)


def rounded_sign(output: NDArray[np.floating]) -> NDArray[np.int8]:
    """Sign of the readout rounded to a whole number: -1, 0 or 1.

    Examples
    --------
    >>> rounded_sign(np.array([-0.9, 0.4, 0.6])).tolist()
    [-1, 0, 1]
    """
    return np.sign(np.round(output)).astype(np.int8)


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
        See `PulseGrammar`.
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
        Where in the grammar it can come, and where that leads; 0 is the root's.
    """

    symbol: int
    channel: int
    width: int
    settled: int
    amplitude: float = 1.0
    place: int = 0
    next_place: int = 0


@dataclass(frozen=True)
class PulseGrammar:
    """Which pulses a network can be asked about, and where it is when that begins.

    A grammar is a small machine: in each *place* some pulses can come, each leads to a place.

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
    """

    before: NDArray[np.float32]
    pulses: tuple[Pulse, ...]
    patience: int
    shortest: int = 3
    most: int = 6

    def random_sequences(
        self,
        rng: np.random.Generator,
        n: int,
        *,
        steps: int = SEQUENCE_STEPS,
        longest_wait: int = LONGEST_WAIT,
    ) -> PulseSequences:
        """Random pulses that the grammar has, with random waits.

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
        >>> grammar = PulseGrammar(np.zeros((25, 2), np.float32), (set_,), patience=200)
        >>> drawn = grammar.random_sequences(np.random.default_rng(0), 200)
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


class Chain(Protocol):
    """One stretch of a trajectory: ``states`` (time, state) and ``output`` (time,)."""

    @property
    def states(self) -> NDArray[np.float64]: ...

    @property
    def output(self) -> NDArray[np.float64]: ...

    @property
    def loop(self) -> int:
        """Index that the last state flows back to; -1 where the stretch has an end."""

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int | None = None) -> Chain:
        """The stretch between two indices."""

    def at(self, index: int) -> NDArray[np.float64]:
        """The state at an index, or an error that says the stretch is shorter."""


class Explorer(Protocol):
    """What a task's ``probe`` may do with a network under reduction (see `solspace.reduction`).

    Run it with `record`, `silence`, `pulse` and `free_run`; lay what it did into one graph, a
    node a time step, with `begin`, `extend` and `join`; look at the graph with `state`, `target`,
    `follow` and `end`; say with `compare` which pulses tell nodes apart.
    """

    def record(self, inputs: ArrayLike, start: NDArray[np.float64] | None = None) -> Chain:
        """Run one trial, (time, input), from rest or from a state."""

    def silence(self, steps: int) -> Chain:
        """Run without input, from rest."""

    def pulse(
        self, state: NDArray[np.float64], channel: str, width: int, steps: int
    ) -> NDArray[np.float64]:
        """The state, ``steps`` after its onset, that a pulse of amplitude 1 leads to."""

    def free_run(self, state: NDArray[np.float64]) -> Chain:
        """What silence leads to: cut where the network rests, closed where it comes round."""

    def stretch(self, recorded: Chain, start: int, stop: int | None = None) -> Chain:
        """A stretch of a recorded trial, closed where it comes round."""

    def begin(self, chain: Chain) -> None:
        """Begin the graph; the root is the chain's first state, node i is its state i."""

    def extend(self, node: int, symbol: str, chain: Chain) -> None:
        """Lead from a node by a pulse to a chain, joined to what it runs together with."""

    def join(self) -> None:
        """Join parts that run together, and those that end at the same place long after."""

    def state(self, node: int) -> NDArray[np.float64]:
        """State at a node."""

    def target(self, node: int, symbol: str) -> int | None:
        """The node that a pulse given at a node leads to; None where none was given."""

    def led_to(self, node: int, symbol: str) -> int:
        """`target`, or an error where the pulse leads to where the network was going anyway."""

    def follow(self, node: int) -> NDArray[np.int64]:
        """The nodes that silence leads through from a node on."""

    def end(self, node: int) -> int:
        """The last node of all that follows a node, by silence or by pulses."""

    def compare(self, answer: str, question: str | None = None) -> None:
        """The pulses whose effects tell two nodes apart: the answered one, the one before it."""


@dataclass(frozen=True)
class Task:
    """One task: its numbers, its trials and how its networks are probed.

    Attributes
    ----------
    name : str
        The store's group name.
    inputs, outputs : tuple of str
        Channel names.
    epochs : tuple of str
        What the values of ``epoch`` mean, in order.
    parameters : mapping of str to str
        Trial parameters and what each means (with its unit).
    input_symbols : tuple of str
        What an edge of a reduced-dynamics graph can carry; the first is ``"autonomous"``.
    training_trials : callable (Generator) -> Trials
        The trials one network learns from.
    recorded_trials, extrapolation_trials : callable () -> Trials
        The trials activity is recorded on, and those outside the trained range.
    recipes : mapping of str to Recipe
        By architecture.
    probe : callable or None
        The published way to explore a network's dynamics; None where the task has none.
    output_symbol : callable (array) -> array of int8
        Turns readout values into -1, 0 or 1.
    grammar : PulseGrammar or None
        The pulses that graphs are made from and tested with; None where the task has none.
    feature_epochs : callable or None
        ``(activity, epoch, parameters)`` to a named tuple of the stretches of activity that the
        features compare, such as `IntervalEpochs`; a feature applies to the task where the tuple
        has every stretch that the feature's own arguments name.
    description : str
        One line, stored with the population.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    epochs: tuple[str, ...]
    parameters: Mapping[str, str]
    training_trials: Callable[[np.random.Generator], Trials]
    recorded_trials: Callable[[], Trials]
    extrapolation_trials: Callable[[], Trials]
    recipes: Mapping[str, Recipe]
    input_symbols: tuple[str, ...] = ("autonomous",)
    probe: Callable[[Any], None] | None = None
    output_symbol: Callable[[NDArray[Any]], NDArray[np.int8]] | None = None
    grammar: PulseGrammar | None = None
    feature_epochs: Callable[..., Any] | None = None
    description: str = ""

    def recipe(self, architecture: str) -> Recipe:
        """The recipe for one architecture, or an error that names those there are.

        Examples
        --------
        >>> from solspace.tasks import get_task
        >>> get_task("interval_reproduction").recipe("vanilla").target_loss
        0.0001
        """
        try:
            return self.recipes[architecture]
        except KeyError:
            known = ", ".join(self.recipes) or "none"
            raise SolspaceError(
                f"task {self.name!r} has no training recipe for architecture {architecture!r}; "
                f"recipes: {known}; give one of your own, "
                "solspace.new_population(..., recipe=solspace.Recipe(...))"
            ) from None


def check_task(task: Task) -> Task:
    """The task as it is, or one error that lists all that is wrong with it.

    Its trials are made and looked at: shapes, epochs, and the channels they have.

    Raises
    ------
    SolspaceError

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> check_task(get_task("interval_reproduction")).name
    'interval_reproduction'
    """
    found = []
    if not re.fullmatch(r"[A-Za-z0-9_]+", task.name):
        found.append(f"the name {task.name!r} is no group name; use letters, digits and _")
    if task.input_symbols[:1] != ("autonomous",):
        found.append(f"input_symbols {task.input_symbols} do not begin with 'autonomous'")
    sets = {
        "training_trials": lambda: task.training_trials(np.random.default_rng(0)),
        "recorded_trials": task.recorded_trials,
        "extrapolation_trials": task.extrapolation_trials,
    }
    for name, make in sets.items():
        found += [f"{name}: {fault}" for fault in _trial_faults(task, make())]
    if found:
        raise SolspaceError(f"task {task.name!r} cannot be used: {'; '.join(found)}")
    return task


def _trial_faults(task: Task, trials: Trials) -> list[str]:
    if not len(trials) or trials.input.ndim != 3:
        return [f"input has shape {trials.input.shape}; give at least one (trial, time, input)"]
    n, steps = trials.input.shape[:2]
    expected = {
        "input": (n, steps, len(task.inputs)),
        "target": (n, steps, len(task.outputs)),
        "epoch": (n, steps),
    }
    found = [
        f"{name} has shape {getattr(trials, name).shape}, expected {shape}"
        for name, shape in expected.items()
        if getattr(trials, name).shape != shape
    ]
    if found:
        return found
    if not (np.isfinite(trials.input).all() and np.isfinite(trials.target).all()):
        found.append("input or target holds NaN or infinity")
    if (np.diff(trials.epoch.astype(int), axis=1) < 0).any():
        found.append("epochs overlap: a trial goes back to an earlier epoch")
    if trials.epoch.min() < 0 or trials.epoch.max() >= len(task.epochs):
        found.append(
            f"epoch runs from {trials.epoch.min()} to {trials.epoch.max()}, "
            f"there are {len(task.epochs)} epochs: {', '.join(task.epochs)}"
        )
    found += [
        f"parameter {name!r} has shape {np.shape(values)}, expected ({n},)"
        for name, values in trials.parameters.items()
        if np.shape(values) != (n,)
    ]
    if set(trials.parameters) != set(task.parameters):
        found.append(
            f"parameters {sorted(trials.parameters)}, the task names {sorted(task.parameters)}"
        )
    return found
