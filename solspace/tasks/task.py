"""What a task is, and whether its parts fit together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks.protocol import StimulusProtocol
from solspace.tasks.recipe import Recipe
from solspace.tasks.silences import Silences, silences_of
from solspace.tasks.trials import Trials

__all__ = [
    "Task",
    "check_task",
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
        The trials one network learns from.
    recorded_trials, extrapolation_trials : callable () -> Trials
        The trials activity is recorded on, and those outside the trained range.
    recipes : mapping of str to Recipe
        By architecture.
    probe : callable or None
        The published way to explore a network's dynamics; None where the task has none.
    output_symbol : callable (array) -> array of int8
        Turns readout values into -1, 0 or 1.
    protocol : StimulusProtocol or None
        The pulses that graphs are made from and tested with; None where the task has none.
    silences : callable () -> Silences, or None
        The moments from which networks are left alone to see what they settle to; where None,
        those after each pulse of the recorded trials (see `solspace.tasks.silences_of`).
    feature_epochs : callable or None
        ``(activity, epoch, parameters)`` to a named tuple of the stretches of activity that the
        features compare, such as `IntervalEpochs`; a feature applies to the task where the tuple
        has every stretch that the feature's own arguments name.
    solution_label : str
        The label by which networks of this task are told apart, unless another is asked for (see
        `solspace.label`).
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
    feature_epochs: Callable[..., Any] | None = None
    description: str = ""
    parameter_units: Mapping[str, str] = field(default_factory=dict)
    solution_label: str = "automaton_key"

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
    if task.silences is not None:
        try:
            silences_of(task)
        except SolspaceError as error:
            found.append(str(error))
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


def rounded_sign(output: NDArray[np.floating]) -> NDArray[np.int8]:
    """Sign of the readout rounded to a whole number: -1, 0 or 1.

    Examples
    --------
    >>> rounded_sign(np.array([-0.9, 0.4, 0.6])).tolist()
    [-1, 0, 1]
    """
    return np.sign(np.round(output)).astype(np.int8)
