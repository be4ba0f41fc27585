"""What a task is: trials, epochs, the grid outside training, and how networks are probed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = [
    "Chain",
    "DelayEpochs",
    "Explorer",
    "IntervalEpochs",
    "Recipe",
    "Task",
    "Trials",
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

    Examples
    --------
    >>> epochs_from_starts(6, [np.array([[2], [3]]), np.array([[5], [5]])]).tolist()
    [[0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 2]]
    """
    time = np.arange(steps)
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
    feature_epochs: Callable[..., Any] | None = None
    description: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)

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
                f"recipes: {known}"
            ) from None
