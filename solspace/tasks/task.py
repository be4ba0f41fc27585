"""What a task is, and whether its parts fit together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks.challenges import ChallengeFamily
from solspace.tasks.contexts import Contexts
from solspace.tasks.input_challenges import InputChallengeFamily, family_faults
from solspace.tasks.protocol import StimulusProtocol
from solspace.tasks.recipe import Recipe
from solspace.tasks.silences import Silences, silences_of
from solspace.tasks.trials import Trials

__all__ = [
    "Task",
    "check_task",
    "number_faults",
    "rounded_sign",
]


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
        Trial parameters and what each means.
    parameter_units : mapping of str to str
        Their units; ``1``, a pure number, where none is given.
    input_symbols : tuple of str
        What an edge of a reduced-dynamics graph can carry; the first is ``"autonomous"``.
    training_trials : callable (Generator) -> Trials
        The trials one network learns from, drawn from the generator alone. They are drawn once for
        each network, or over and over where the task is ``noisy``.
    recorded_trials, extrapolation_trials : callable () -> Trials
        The trials activity is recorded on, and those outside the trained range; the same at each
        call. Noise in them is drawn from a fixed seed, and stored with the trials.
    recipes : mapping of str to Recipe
        By architecture.
    probe : callable or None
        The published way to explore a network's dynamics; None where the task has none.
    output_symbol : callable (array) -> array of int8, or None
        Turns readout values into -1, 0 or 1, each by itself; given those of one output at a time.
        None where outputs are continuous.
    protocol : StimulusProtocol or None
        The pulses that graphs are made from and tested with; None where the task has none.
    silences : callable () -> Silences, or None
        The moments from which networks are left alone to see what they settle to; where None,
        those after each pulse of the recorded trials (see `solspace.tasks.silences_of`).
    constant_inputs : callable () -> mapping of str to array (input,), or None
        Inputs by name, beside silence, under which fixed points are searched; where None those that
        recorded trials hold (see `solspace.fixed_points.constant_inputs`). A task whose trials are
        noisy at every step has to say so itself.
    contexts : callable () -> Contexts, or None
        Which stream of evidence counts in which context, for `solspace.measure_individuality`; None
        where the task has no contexts.
    challenges : callable () -> ChallengeFamily or InputChallengeFamily, or None
        The trials outside the trained set from which `solspace.design` chooses those that tell
        solutions apart; None where the task has none. Made of pulses, or given by their input,
        with measures that `solspace.challenge` stores.
    feature_epochs : callable or None
        ``(activity, epoch, parameters)`` to a named tuple of the stretches of activity that the
        features compare, such as `IntervalEpochs`; a feature applies to the task where the tuple
        has every stretch that the feature's own arguments name.
    solution_label : str
        The label by which networks of this task are told apart, unless another is asked for (see
        `solspace.label`). Where it is ``automaton_key``, as by default, and the task does not give
        what graphs need, attractor_key takes its place.
    noisy : bool
        Whether trials carry noise. Networks then learn from trials that are drawn anew, each seen
        once, and their loss is that over a set of ``training_trials`` that they do not learn from.
    asked : tuple of str
        Epochs in which an output is asked for: in all others targets are NaN, and whatever is put
        out counts for nothing. Where empty, something is asked for at every step.
    architecture : str
        The architecture that is taken where none is asked for; empty where it has to be said.
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
    protocol: StimulusProtocol | None = None
    silences: Callable[[], Silences] | None = None
    constant_inputs: Callable[[], Mapping[str, Any]] | None = None
    contexts: Callable[[], Contexts] | None = None
    feature_epochs: Callable[..., Any] | None = None
    challenges: Callable[[], ChallengeFamily | InputChallengeFamily] | None = None
    description: str = ""
    parameter_units: Mapping[str, str] = field(default_factory=dict)
    solution_label: str = "automaton_key"
    noisy: bool = False
    asked: tuple[str, ...] = ()
    architecture: str = ""

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

    Its trials are made and looked at: shapes, epochs, and the channels they have. Those that
    activity is recorded on are made twice, as they have to be the same each time; training trials
    may be noisy, and are then drawn from one seed twice.

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
        trials = make()
        found += [f"{name}: {fault}" for fault in _trial_faults(task, trials)]
        if name == "training_trials":
            if task.noisy and (where := _differ(trials, make())):
                found.append(
                    f"{name}: two calls with generators of one seed differ in {where}; draw from "
                    "the generator that is given and from nothing else"
                )
        elif where := _differ(trials, make()):
            found.append(
                f"{name}: two calls differ in {where}; activity is recorded, and compared, on one "
                "set of trials, so draw noise from a fixed seed, such as np.random.default_rng(0)"
            )
    found += [f"asked names {name!r}, and epochs are {', '.join(task.epochs)}"
              for name in task.asked if name not in task.epochs]  # fmt: skip
    if task.architecture and task.architecture not in task.recipes:
        found.append(f"no recipe for its architecture {task.architecture!r}")
    found += [*_symbol_faults(task), *_protocol_faults(task)]
    if task.silences is not None:
        try:
            silences_of(task)
        except SolspaceError as error:
            found.append(str(error))
    if task.contexts is not None:
        try:
            task.contexts().channels(task.inputs)
        except SolspaceError as error:
            found.append(str(error))
    if task.challenges is not None:
        found += _challenge_faults(task)
    if found:
        raise SolspaceError(f"task {task.name!r} cannot be used: {'; '.join(found)}")
    return task


def _differ(one: Trials, other: Trials) -> str:
    """Where two sets of trials first differ; empty where nowhere."""
    arrays = {name: (getattr(one, name), getattr(other, name)) for name in _ARRAYS}
    arrays |= {
        f"parameter {name!r}": (one.parameters[name], other.parameters[name])
        for name in one.parameters
        if name in other.parameters
    }
    for name, (a, b) in arrays.items():
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return f"{name}, of shape {a.shape} and then {b.shape}"
        nan = a.dtype.kind == b.dtype.kind == "f"
        apart = np.argwhere((a != b) & ~(np.isnan(a) & np.isnan(b)) if nan else a != b)
        if len(apart):
            at = tuple(apart[0].tolist())
            where = ", ".join(f"{d} {i}" for d, i in zip(("trial", "step", "channel"), at))  # noqa: B905
            return f"{name} at {where} ({a[at]:g} and then {b[at]:g})"
    return ""


def _symbol_faults(task: Task) -> list[str]:
    """What is wrong with the symbols of outputs, tried on values between -2 and 2."""
    if task.output_symbol is None:
        return []
    values = np.linspace(-2, 2, 81).reshape(9, 9)
    symbols = np.asarray(task.output_symbol(values.copy()))
    if symbols.shape != values.shape:
        return [
            f"output_symbol makes an array of shape {symbols.shape} of one of shape "
            f"{values.shape}; let it give a symbol for each value"
        ]
    wrong = ~np.isin(symbols, (-1, 0, 1))
    if wrong.any():
        return [
            f"output_symbol gives {symbols[wrong][0]} for {values[wrong][0]:.4g}; let it give -1, "
            "0 or 1, or leave it out where outputs are continuous"
        ]
    return []


def _protocol_faults(task: Task) -> list[str]:
    """In what the pulses of a task do not fit its inputs and symbols."""
    if task.protocol is None:
        return []
    found = []
    before = np.shape(task.protocol.before)
    if len(before) != 2 or before[1] != len(task.inputs) or not before[0]:
        found.append(
            f"protocol: before has shape {before}, expected (steps, {len(task.inputs)}) with at "
            "least one step"
        )
    for i, pulse in enumerate(task.protocol.pulses):
        if not 0 <= pulse.channel < len(task.inputs):
            found.append(f"protocol: pulse {i} is on input {pulse.channel} of {len(task.inputs)}")
        if not 0 < pulse.symbol < len(task.input_symbols):
            found.append(
                f"protocol: pulse {i} is of symbol {pulse.symbol}; symbols of pulses are 1 to "
                f"{len(task.input_symbols) - 1}, of input_symbols {task.input_symbols}"
            )
        if not 1 <= pulse.width <= pulse.settled:
            found.append(
                f"protocol: pulse {i} lasts {pulse.width} steps and is over after {pulse.settled}"
            )
    return found


def _challenge_faults(task: Task) -> list[str]:
    assert task.challenges is not None
    try:
        family = task.challenges()
        if isinstance(family, InputChallengeFamily):
            again = task.challenges()
            assert isinstance(again, InputChallengeFamily)
            return family_faults(family, again, task.inputs, task.outputs)
    except SolspaceError as error:
        return [str(error)]
    return [
        f"challenges: {one.name!r} has a pulse on input {pulse.channel} of {len(task.inputs)}"
        for one in family.challenges
        for pulse in one.pulses
        if not 0 <= pulse.channel < len(task.inputs)
    ][:1]


_ARRAYS = ("input", "target", "epoch")


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
    if fault := number_faults(task, trials):
        found.append(f"NaN or infinity: {fault}")
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


def number_faults(task: Task, trials: Trials) -> str:
    """Which numbers of trials should be finite and are not; empty where none.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> task = get_task("interval_reproduction")
    >>> number_faults(task, task.recorded_trials())
    ''
    """
    if not np.isfinite(trials.input).all():
        return "input is not finite"
    if not task.asked:
        return "" if np.isfinite(trials.target).all() else "target is not finite"
    asked = np.isin(trials.epoch, [i for i, e in enumerate(task.epochs) if e in task.asked])
    if not np.isfinite(trials.target[asked]).all():
        return f"target is not finite in {', '.join(task.asked)}, where an output is asked for"
    if not np.isnan(trials.target[~asked]).all():
        return f"target is no NaN outside {', '.join(task.asked)}, where nothing is asked for"
    return "" if asked.any() else f"no step is of {', '.join(task.asked)}"


def rounded_sign(output: NDArray[np.floating]) -> NDArray[np.int8]:
    """Sign of the readout rounded to a whole number: -1, 0 or 1.

    Examples
    --------
    >>> rounded_sign(np.array([-0.9, 0.4, 0.6])).tolist()
    [-1, 0, 1]
    """
    return np.sign(np.round(output)).astype(np.int8)
