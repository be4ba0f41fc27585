"""A recording of one network, in its own principal components and standard deviations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.features.kernels import (
    Array,
    FeatureError,
    covariance,
    distances,
    lengths_along,
    turns_along,
)
from solspace.tasks import Task, get_task

__all__ = ["Recording", "make_recording"]

COMPONENTS = 12  # of the network's activity; over 99 % of its variance in trained networks
SHORTEST = 6  # steps an epoch has to last for its trajectory to be looked at
MOST_VALUES = 9  # trajectories compared in one epoch
_OPTIONAL = ("output", "input", "target")  # what a recording may not have


@dataclass(frozen=True)
class Recording:
    """Activity of one network on a task's trials.

    Attributes
    ----------
    states : array (trial, time, component)
        Activity in the network's own principal components, in standard deviations: the variance
        over all components, trials and steps is 1.
    variance : array (component,)
        Share of the variance along each component, largest first; of a recording, along all.
    scale : float
        Standard deviation of the activity, root mean square over units.
    before : array (component,)
        The state before the first step, all units at zero.
    activity : array (trial, time, unit)
        As recorded, without padding.
    output : array (trial, time, channel)
    input, target : array (trial, time, channel)
        Where one was not recorded, to ask for it is a `FeatureError`.
    epoch : array (trial, time)
        Its place in ``epochs``; -1 where a recording's step is in none.
    epochs : tuple of str
    value : array (trial,)
        The task's first parameter; 0 throughout where it was not recorded.
    task : Task
    architecture : str
    cell_state : array (trial, time, unit), optional
        Of an LSTM.
    recorded : bool
        Whether it is of units that were recorded: a dozen components hold less of those.
    """

    states: Array
    variance: Array
    scale: float
    before: Array
    activity: Array
    output: Array
    input: Array
    target: Array
    epoch: NDArray[np.integer]
    epochs: tuple[str, ...]
    value: Array
    task: Task
    architecture: str = "vanilla"
    cell_state: Array | None = None
    recorded: bool = False

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # of what was left out
            if name in _OPTIONAL:
                raise FeatureError(f"it takes the {name}, which was not recorded")
            raise AttributeError(f"a recording has no {name!r}")

    @cached_property
    def spans(self) -> dict[str, list[tuple[int, int, int]]]:
        """By epoch: trial, first step, and the step after the last; in order of the value."""
        out: dict[str, list[tuple[int, int, int]]] = {}
        for index, name in enumerate(self.epochs):
            inside = self.epoch == index
            steps, start = inside.sum(axis=1), inside.argmax(axis=1)
            values = np.unique(self.value[steps > 0])
            picked = np.unique(np.linspace(0, len(values) - 1, MOST_VALUES).round().astype(int))
            rows = []
            for value in values[picked] if len(values) else ():
                trial = int(np.where(self.value == value, steps, -1).argmax())
                rows.append((trial, int(start[trial]), int(start[trial] + steps[trial])))
            out[name] = rows
        return out

    @cached_property
    def long_epochs(self) -> dict[str, list[Array]]:
        """Trajectories (time, component) of each epoch that lasts, in order of the value."""
        out = {}
        for name, rows in self.spans.items():
            kept = [
                self.states[trial, start:stop]
                for trial, start, stop in rows
                if stop - start >= SHORTEST
            ]
            if kept:
                out[name] = kept
        return out

    @cached_property
    def pooled(self) -> dict[str, Array]:
        """States of all trajectories of each of the `long_epochs`, one after another."""
        return {name: np.concatenate(parts) for name, parts in self.long_epochs.items()}

    @cached_property
    def covariances(self) -> dict[str, Array]:
        """Covariance of the states in each of the `long_epochs`."""
        return {name: covariance(points) for name, points in self.pooled.items()}

    @cached_property
    def step_lengths(self) -> dict[str, list[Array]]:
        """Distance from each state to the next, (time - 1,), along the `long_epochs`."""
        return {name: lengths_along(parts) for name, parts in self.long_epochs.items()}

    @cached_property
    def turns(self) -> dict[str, list[Array]]:
        """Angle between successive steps, (time - 2,), along the `long_epochs`."""
        return {name: turns_along(parts) for name, parts in self.long_epochs.items()}

    @cached_property
    def apart(self) -> dict[str, list[Array]]:
        """In `compared_epochs`, distances of all states of a trajectory to all of the next one."""
        return {
            name: [distances(one, other) for one, other in pairwise(parts)]
            for name, parts in self.compared_epochs.items()
        }

    def epoch_covariance(self, name: str) -> Array:
        """Covariance of the activity in one of the `long_epochs`.

        Of its first components; of a recording, of all units.
        """
        if not self.recorded:
            return self.covariances[name]
        parts = [self.activity[t, a:b] for t, a, b in self.spans[name] if b - a >= SHORTEST]
        return covariance(np.concatenate(parts))

    @property
    def compared_epochs(self) -> dict[str, list[Array]]:
        """Those of `long_epochs` that more than one value has."""
        return {name: parts for name, parts in self.long_epochs.items() if len(parts) > 1}

    def by_epoch(
        self, function: Callable[..., Any], *given: Mapping[str, Sequence[Array]]
    ) -> dict[str, Any]:
        """Mean over an epoch's trajectories, and that of a low and a high value (the quartiles).

        Parameters
        ----------
        function : callable (array, ...) -> float
        *given : mapping of str to sequence of array
            What the function is given of each trajectory, by epoch: `step_lengths`, `turns`; by
            default its states (time, component), the `long_epochs`.

        Returns
        -------
        dict of str to float
            By epoch; with ``_low`` and ``_high`` for those of five values or more.
        """
        out = {}
        for name in self.long_epochs:
            of_each = [values[name] for values in given or (self.long_epochs,)]
            values = np.array([function(*some) for some in zip(*of_each, strict=True)])
            out[name] = values.mean(axis=0)
            if len(values) >= 5:
                quarter = round((len(values) - 1) / 4)
                out[f"{name}_low"], out[f"{name}_high"] = values[quarter], values[-1 - quarter]
        return out

    @cached_property
    def shown(self) -> NDArray[np.intp]:
        """A dozen trials, evenly from the first to the last."""
        return np.unique(np.linspace(0, len(self.epoch) - 1, 12).round().astype(np.intp))

    @cached_property
    def ends(self) -> Array:
        """Last states of these trials, (trial, component)."""
        # A recorded trial may end before the longest does.
        last = np.isfinite(self.states[self.shown, ::-1, 0]).argmax(axis=1)
        return self.states[self.shown, self.states.shape[1] - 1 - last]

    @cached_property
    def answers(self) -> NDArray[np.int8]:
        """-1 or 1 by what a trial asks for, (trial,); 0 for nothing, or where it is not known."""
        if "target" not in vars(self):
            return np.zeros(len(self.epoch), np.int8)
        total = np.nansum(self.target, axis=(1, 2))
        return np.sign(total).astype(np.int8)


def make_recording(
    task: str | Task,
    activity: ArrayLike,
    output: ArrayLike | None,
    input: ArrayLike | None,
    target: ArrayLike | None,
    epoch: ArrayLike,
    parameters: Mapping[str, Any],
    *,
    architecture: str = "vanilla",
    cell_state: ArrayLike | None = None,
    epochs: Sequence[str] | None = None,
) -> Recording:
    """A `Recording` from arrays.

    Parameters
    ----------
    task : str or Task
    activity : array (trial, time, unit)
        Of one network, without padding.
    output : array (trial, time, channel), or None
        None, here and for the next two, where it was not recorded.
    input, target : array (trial, time, channel), or None
    epoch : array (trial, time)
    parameters : mapping of str to array (trial,)
    architecture : str
        Of the network, if it is such; that of the network that is fitted to the activity.
    cell_state : array (trial, time, unit), optional
        Of an LSTM, if it was recorded.
    epochs : sequence of str, optional
        Of a recording whose epochs are not all of the task's, or not on all steps (-1), and whose
        activity may hold NaN for all units of a step.

    Raises
    ------
    SolspaceError
        For arrays that do not fit together, epochs the task does not have, or missing parameters.
    FeatureError
        Where the activity does not move, so that it has no components.

    Examples
    --------
    >>> trials = get_task("interval_reproduction").recorded_trials()
    >>> activity = np.random.default_rng(0).normal(size=(31, 150, 8)).cumsum(axis=1)
    >>> recording = make_recording("interval_reproduction", activity, np.zeros((31, 150, 1)),
    ...     trials.input, trials.target, trials.epoch, trials.parameters)
    >>> recording.states.shape, list(recording.long_epochs)[:2]
    ((31, 150, 12), ['ready_set', 'set_go'])
    """
    task = get_task(task)
    epoch = np.asarray(epoch)
    shape = np.shape(activity)
    if epoch.ndim != 2 or len(shape) != 3 or shape[:2] != epoch.shape:
        raise SolspaceError(
            f"activity of shape {shape} with epoch of shape {epoch.shape}; give "
            "(trial, time, unit) and (trial, time)"
        )
    for name, values in (("output", output), ("input", input), ("target", target)):
        if values is not None and (np.ndim(values) != 3 or np.shape(values)[:2] != epoch.shape):
            raise SolspaceError(
                f"{name} of shape {np.shape(values)} with epoch of shape {epoch.shape}; give "
                "(trial, time, channel) and (trial, time)"
            )
    known = tuple(task.epochs if epochs is None else epochs)
    if epoch.min() < (0 if epochs is None else -1) or epoch.max() >= max(len(known), 1):
        raise SolspaceError(
            f"epochs {epoch.min()} to {epoch.max()} in a recording of {task.name}, which has "
            f"epochs 0 to {len(known) - 1} ({', '.join(known)}); give a recording of "
            "this task"
        )
    first = next(iter(task.parameters), "")
    if first not in parameters and epochs is None:
        raise SolspaceError(
            f"trials have no parameter {first!r}, only {', '.join(parameters) or 'none'}; "
            f"trajectories of {task.name} are compared across it"
        )
    states = np.asarray(activity, dtype=np.float64)
    if epochs is None and not np.isfinite(states).all():
        raise FeatureError("the activity is not finite, so it has no principal components")
    shared = {"output": output, "input": input, "target": target}
    if not task.parameters:  # of a recording of no task
        first = next(iter(parameters), "")
    # Of trials without a value none is told from the others.
    value = parameters.get(first, np.zeros(len(epoch)))
    given = {
        name: np.asarray(np.nan if values is None else values, np.float64)
        for name, values in shared.items()
    }
    made = Recording(
        *_principal_components(states, all_shares=epochs is not None),
        states,
        given["output"],
        given["input"],
        given["target"],
        epoch,
        known,
        np.asarray(value, np.float64),
        task,
        architecture,
        None if cell_state is None else np.asarray(cell_state, np.float64),
        epochs is not None,
    )
    for name in (name for name, values in shared.items() if values is None):
        object.__delattr__(made, name)
    return made


def _principal_components(
    activity: Array, *, all_shares: bool = False
) -> tuple[Array, Array, float, Array]:
    """States, shares of variance, standard deviation and the state of no activity.

    A component's sign is that in which its values are skewed to the positive side, which does not
    depend on the order of the units.
    """
    points = activity.reshape(-1, activity.shape[-1])
    mean = points.mean(axis=0)
    there = np.isfinite(points).all(axis=1) if not np.isfinite(mean).all() else np.ones(1, bool)
    if there.any() and not there.all():  # steps of a recording past a trial's end
        states = np.full((len(points), COMPONENTS), np.nan)
        found, share, scale, before = _principal_components(
            points[there][None], all_shares=all_shares
        )
        states[there] = found[0]
        return states.reshape(*activity.shape[:2], COMPONENTS), share, scale, before
    points = points - mean
    values, axes = np.linalg.eigh(points.T @ points / len(points))
    total = float(values.sum())
    states, share, before = np.zeros((len(points), COMPONENTS)), *np.zeros((2, COMPONENTS))
    if not np.isfinite(total) or total <= (10 * np.finfo(np.float32).eps) ** 2:
        raise FeatureError("the activity does not move, so it has no principal components")
    kept = min(COMPONENTS, len(values))
    axes = axes[:, ::-1][:, :kept] / np.sqrt(total)
    along_axes = points @ axes
    cubes = along_axes * along_axes * along_axes
    sign = np.where(cubes.sum(axis=0) < 0, -1.0, 1.0)
    states[:, :kept], before[:kept] = along_axes * sign, -mean @ (axes * sign)
    along = np.clip(values[::-1], 0, None) / total
    share[:kept] = along[:kept]
    if all_shares and len(along) > COMPONENTS:
        share = along
    scale = float(np.sqrt(total / activity.shape[-1]))
    return states.reshape(*activity.shape[:2], COMPONENTS), share, scale, before
