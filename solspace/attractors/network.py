"""What one network settles to from the silences of its task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solspace.attractors.settling import STEPS, Attractor, Attractors
from solspace.networks import Architecture, Weights, run, start_of
from solspace.tasks import Silences, Task, get_task, silences_of

__all__ = ["Settled", "settle_network", "silent_states"]


@dataclass(frozen=True)
class Settled:
    """Where one network ends from each silence of its task.

    Attributes
    ----------
    silences : Silences
    index : array, int64, (silence,)
        Into ``found``.
    steps : array, int64, (silence,)
        Steps of silence until settled (see `solspace.attractors.Settling`).
    found : list of Attractor
        In the order of the silences that end there first.
    """

    silences: Silences
    index: NDArray[np.int64]
    steps: NDArray[np.int64]
    found: list[Attractor]


def silent_states(
    architecture: str | Architecture, weights: Weights, silences: Silences
) -> NDArray[np.float64]:
    """The state at the beginning of each silence, (silence, state).

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("lstm", 4, inputs=2, outputs=1)
    >>> weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    >>> silences = silences_of(get_task("interval_reproduction"))
    >>> silent_states("lstm", weights, silences).shape
    (32, 8)
    """
    states, _ = run(architecture, weights, silences.input)
    given = np.maximum(silences.start, 1)
    out = states[np.arange(len(silences)), given - 1] if states.shape[1] else states[:, 0]
    out[silences.start == 0] = start_of(architecture, weights)  # silence from the beginning
    return out


def settle_network(
    task: str | Task, architecture: str | Architecture, weights: Weights, *, steps: int = STEPS
) -> Settled:
    """Leave one network alone from each silence of its task on.

    Parameters
    ----------
    task : str or Task
        With `silences`, or pulses in its recorded trials.
    architecture : str or Architecture
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    steps : int
        For how many steps of silence it is followed at most.

    Raises
    ------
    SolspaceError
        Where the task declares no silences and none can be told from its trials.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> settled = settle_network("interval_reproduction", "vanilla", weights)
    >>> [attractor.kind for attractor in settled.found], len(settled.index)
    (['point'], 32)
    """
    silences = silences_of(get_task(task))
    index, taken = np.zeros((2, len(silences)), np.int64)
    found: list[Attractor] = []
    # What is settled to under one constant input is nothing under another.
    constants, group = np.unique(silences.constant, axis=0, return_inverse=True)
    for g, given in enumerate(constants):
        at = np.flatnonzero(group.ravel() == g)
        attractors = Attractors(architecture, weights, steps=steps, given=given)
        start = silent_states(architecture, attractors.weights, silences)[at]
        settling = attractors.settle(start)
        index[at], taken[at] = settling.index + len(found), settling.steps
        found += attractors.found
    order = list(dict.fromkeys([*index.tolist(), *range(len(found))]))
    return Settled(
        silences, np.array([order.index(i) for i in index]), taken, [found[i] for i in order]
    )
