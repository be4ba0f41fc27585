"""From where fixed points are searched, and the constant inputs under which they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.networks import Architecture, Weights, run
from solspace.tasks import Task, get_task

__all__ = ["HELD", "SILENCE", "ConstantInputs", "Starts", "constant_inputs", "starts_of"]

SILENCE = "silence"
HELD = 10
_MOST = 32
_ON, _TRIALS = 1000, 16  # steps for which trials go on, and so many of them
_LONGEST = 20_000  # steps for which they go on where that leads elsewhere
_ELSEWHERE = 1e-3  # relative to the widest side of the box of what has been seen


@dataclass(frozen=True)
class ConstantInputs:
    """Inputs that are held, by name.

    Attributes
    ----------
    names : tuple of str
    values : array (constant_input, input)
    epochs : tuple of str
        Epochs of the task during which each is held, parted by spaces.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    epochs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def constant_inputs(
    task: str | Task, held: int = HELD, own: Mapping[str, ArrayLike] | None = None
) -> ConstantInputs:
    """Silence, and the inputs that a task names, or else those that its recorded trials hold.

    Those that trials hold are named by what they give, such as ``context=1``.

    Parameters
    ----------
    task : str or Task
    held : int
        For how many steps at least, without a change. Those that a task names are taken anyway.
    own : mapping of str to array (input,), optional
        Inputs of one's own by name, instead.

    Raises
    ------
    SolspaceError
        For more than 32, and inputs of one's own that do not fit the task.

    Examples
    --------
    >>> constant_inputs("interval_reproduction").names
    ('silence',)
    >>> constant_inputs("delayed_discrimination", held=5).names[:3]
    ('silence', 'f1=2', 'f1=3')
    """
    task = get_task(task)
    if own is not None:
        return _own(task, own)
    if task.constant_inputs is not None:
        silence: Mapping[str, ArrayLike] = {SILENCE: np.zeros(len(task.inputs))}
        return _own(task, {**silence, **task.constant_inputs()})
    if not isinstance(held, (int, np.integer)) or held < 1:
        raise SolspaceError(f"held={held!r}; give 1 or more steps")
    trials = task.recorded_trials()
    found: dict[bytes, NDArray[np.float64]] = {}
    silent = np.zeros(len(task.inputs))
    found[silent.tobytes()] = silent
    during: dict[bytes, set[int]] = {silent.tobytes(): set()}
    for given, epoch in zip(np.asarray(trials.input, np.float64) + 0.0, trials.epoch, strict=True):
        changes = np.flatnonzero((np.diff(given, axis=0) != 0).any(axis=1)) + 1
        for first, last in pairwise([0, *changes.tolist(), len(given)]):
            value = given[first]
            if last - first >= held and np.isfinite(value).all():
                found.setdefault(value.tobytes(), value)
                during.setdefault(value.tobytes(), set()).update(epoch[first:last].tolist())
    if len(found) > _MOST:
        raise SolspaceError(
            f"{len(found)} inputs are held for {held} steps in recorded trials of {task.name!r}, "
            f"at most {_MOST} are searched; give a larger held"
        )
    # By their first numbers, silence first.
    keys = sorted(found, key=lambda k: (found[k].any(), *_sparse(found[k])))
    return ConstantInputs(
        tuple(_named(task, found[k]) for k in keys),
        np.array([found[k] for k in keys]),
        tuple(" ".join(task.epochs[e] for e in sorted(during[k])) for k in keys),
    )


def _sparse(value: NDArray[np.float64]) -> tuple[tuple[int, float], ...]:
    """Which channels give what, those that give nothing left out."""
    return tuple((int(c), float(value[c])) for c in np.flatnonzero(value))


def _named(task: Task, value: NDArray[np.float64]) -> str:
    given = [f"{task.inputs[channel]}={number:g}" for channel, number in _sparse(value)]
    return ", ".join(given) or SILENCE


def _own(task: Task, own: Mapping[str, ArrayLike]) -> ConstantInputs:
    values = {str(name): np.asarray(value, np.float64) for name, value in own.items()}
    if not values or len(values) > _MOST:
        raise SolspaceError(f"{len(values)} inputs; give 1 to {_MOST}, each by a name")
    for name, value in values.items():
        if value.shape != (len(task.inputs),) or not np.isfinite(value).all():
            raise SolspaceError(
                f"input {name!r} is {value.tolist()}; give {len(task.inputs)} finite numbers, one "
                f"for each input of {task.name!r}: {', '.join(task.inputs)}"
            )
    return ConstantInputs(tuple(values), np.array([*values.values()]), ("",) * len(values))


class Starts(NamedTuple):
    """From where is searched.

    Attributes
    ----------
    states : array (start, state)
    box : array (2, state)
        Lowest and highest of all states that the network passes through; of finite ones alone.
    """

    states: NDArray[np.float64]
    box: NDArray[np.float64]


def starts_of(
    architecture: str | Architecture,
    weights: Weights,
    inputs: NDArray[Any],
    given: ArrayLike | None = None,
    count: int = 256,
    noise: float = 0.1,
    seed: int = 0,
) -> Starts:
    """States along a network's trajectories, every second one moved by noise.

    Trials end before slow networks are anywhere near what they settle to, so under an input they
    go on for 1,000 steps of it: from the ends of 8 trials, and from 8 moments before. The box is
    that of all they come through, followed for up to 20,000 steps as long as it grows.

    Parameters
    ----------
    architecture : str or Architecture
    weights : mapping
        One network's parameters, without padding.
    inputs : array (trial, time, input)
        Trials that it is run on.
    given : array (input,), optional
        What is given at every step after the trials; by default they end there.
    count : int
        Of states, drawn from all steps without repeating any while there are others. After the
        trials only so many steps are drawn from that they are no more than those before.
    noise : float
        Standard deviation of the noise, relative to the root mean square deviation of states from
        their mean.
    seed : int
        Of what is drawn; the same for every network.

    Returns
    -------
    Starts

    Raises
    ------
    SolspaceError
        For less than one start, noise that is negative, and states that all are not finite.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("lstm", 4, inputs=2, outputs=1)
    >>> weights = {name: np.ones(shape) for name, shape in shapes.items()}
    >>> starts_of("lstm", weights, np.ones((3, 7, 2)), count=9).states.shape
    (9, 8)
    """
    if count < 1 or not noise >= 0:
        raise SolspaceError(f"{count} starts with noise {noise:g}; give 1 or more, and 0 or more")
    with np.errstate(all="ignore"):  # states that run away are counted
        states = run(architecture, weights, inputs)[0]
        later, sides = _going_on(architecture, weights, states, given)
    rows = states.reshape(-1, states.shape[-1])
    both = np.concatenate([rows, later])
    seen = both[np.isfinite(both).all(axis=1)]
    if not len(seen):
        raise SolspaceError(
            f"none of {len(both)} states on recorded trials is finite; there is nothing to "
            "search from"
        )
    rows = np.concatenate([rows, later[:: max(1, -(-len(later) // len(rows)))]])
    rng = np.random.default_rng(seed)
    picked = rng.permutation(len(rows))[:count]
    if len(picked) < count:
        picked = np.concatenate([picked, rng.integers(len(rows), size=count - len(picked))])
    starts = rows[picked].copy()
    with np.errstate(all="ignore"):
        spread = float(np.sqrt(np.mean(np.square(seen - seen.mean(axis=0)))))
        starts[1::2] += noise * spread * rng.normal(size=starts[1::2].shape)
    low, high = seen.min(axis=0), seen.max(axis=0)
    if sides is not None:
        low, high = np.minimum(low, sides[0]), np.maximum(high, sides[1])
    return Starts(starts, np.array([low, high]))


def _going_on(
    architecture: str | Architecture,
    weights: Weights,
    states: NDArray[np.float64],
    given: ArrayLike | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """States after some moments of trials (trial, time, state) under a constant input.

    Those of the first 1,000 steps, (step, state), and the lowest and highest of all further ones.
    """
    if given is None:
        return states[:0, 0], None
    half = _TRIALS // 2
    ends = states[np.unique(np.linspace(0, len(states) - 1, half).round().astype(int)), -1]
    rows = states.reshape(-1, states.shape[-1])
    moments = rows[np.linspace(0, len(rows) - 1, half + 2).round().astype(int)[1:-1]]
    own = np.concatenate([ends, moments])
    own = own[np.isfinite(own).all(axis=1)]

    def go_on(states: NDArray[np.float64]) -> NDArray[np.float64]:
        held = np.broadcast_to(np.asarray(given, np.float64), (len(states), _ON, np.size(given)))
        return run(architecture, weights, held, states)[0]

    if not len(own):
        return own, None
    first = go_on(own)
    later = first.reshape(-1, first.shape[-1])
    box, own, done = _grown(None, np.concatenate([rows, later])), first[:, -1], _ON
    while done < _LONGEST:
        own = own[np.isfinite(own).all(axis=1)]
        if not len(own):
            break
        walked = go_on(own)
        own, done = walked[:, -1], done + _ON
        wider = _grown(box, walked.reshape(-1, walked.shape[-1]))
        grown = float(np.abs(wider - box).max()) > _ELSEWHERE * float((box[1] - box[0]).max())
        box = wider
        if not grown:
            break
    return later, box


def _grown(box: NDArray[np.float64] | None, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """The box of these states and of an earlier one, of finite ones alone."""
    seen = states[np.isfinite(states).all(axis=1)]
    if not len(seen):
        return np.zeros((2, states.shape[1])) if box is None else box
    own = np.array([seen.min(axis=0), seen.max(axis=0)])
    if box is None:
        return own
    return np.array([np.minimum(box[0], own[0]), np.maximum(box[1], own[1])])
