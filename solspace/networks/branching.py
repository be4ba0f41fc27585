"""Trials that begin alike are run once as far as they do.

Sequences of pulses share their beginnings: all are silent until the first pulse, and some until a
second one. Of all trials one goes the whole way, others branch off it, further ones off these.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.networks.base import Weights
from solspace.networks.registry import recurrent_architecture
from solspace.networks.running import Runner, check_there, run_output, start_of

__all__ = ["Branches", "find_branches", "run_branches"]

_BESIDE = 6  # trials that compiled loops run at once
_STEPS = 4096  # of all trials of a block, so that their states stay in the cache


class _Block(NamedTuple):
    """Trials that are run at once, each from where it branches off."""

    trials: NDArray[np.int64]
    inputs: NDArray[np.float64]  # (trial, time, input), silence where a trial is over
    # Who branches off them: which trials, off which row of the block, after which step of it.
    others: NDArray[np.int64]
    rows: NDArray[np.int64]
    steps: NDArray[np.int64]


class Branches(NamedTuple):
    """Which of some trials begin alike, and for how long.

    Attributes
    ----------
    inputs : array (trial, time, input)
    source : array (trial,)
        The trial whose beginning each shares; -1 where it is its own.
    begin : array (trial,)
        Steps shared with it.
    blocks : tuple
        Trials to be run at once, none before its source.
    again : array (trial,)
        Trials that are the same as another one.
    """

    inputs: NDArray[Any]
    source: NDArray[np.int64]
    begin: NDArray[np.int64]
    blocks: tuple[_Block, ...]
    again: NDArray[np.int64]


def find_branches(inputs: NDArray[Any]) -> Branches:
    """Where trials part that begin alike.

    Parameters
    ----------
    inputs : array (trial, time, input)

    Examples
    --------
    >>> x = np.zeros((3, 9, 1))
    >>> x[1, 4] = x[2, 4] = x[2, 7] = 1
    >>> found = find_branches(x)
    >>> found.source.tolist(), found.begin.tolist()
    ([-1, 0, 1], [0, 4, 7])
    """
    x = np.ascontiguousarray(inputs, np.float64)
    trials, time = x.shape[:2]
    source, begin, level = _sources(x)
    others: list[list[int]] = [[] for _ in range(trials)]
    for trial in np.flatnonzero((source >= 0) & (begin < time)).tolist():
        others[source[trial]].append(trial)
    blocks = []
    for depth in range(level.max() + 1):
        # Those that are as long beside each other.
        here = np.flatnonzero((level == depth) & (begin < time))
        here = here[np.argsort(begin[here], kind="stable")]
        while len(here):
            many = _BESIDE * max(1, _STEPS // (_BESIDE * int(time - begin[here[0]])))
            part, here = here[:many], here[many:]
            blocks.append(_block(x, part, begin, [others[trial] for trial in part]))
    return Branches(x, source, begin, tuple(blocks), np.flatnonzero(begin == time))


def _sources(x: NDArray[np.float64]) -> tuple[NDArray[np.int64], ...]:
    """Of each trial whose beginning it shares, how many steps, and how many came before it."""
    trials, time = x.shape[:2]
    source, begin, level = np.full(trials, -1), np.zeros(trials, np.int64), np.zeros(trials, int)
    # In the order of their bytes neighbours are those that share most.
    row = x.reshape(trials, -1)
    order = np.argsort(row.view(f"V{row.itemsize * row.shape[1]}").ravel(), kind="stable")
    differs = (x[order[1:]] != x[order[:-1]]).any(axis=2)
    shared = np.where(differs.any(axis=1), differs.argmax(axis=1), time)
    ahead = [int(order[0])]  # each branches off the one before
    for trial, steps in zip(order[1:].tolist(), shared.tolist(), strict=True):
        while ahead and begin[ahead[-1]] >= steps:
            ahead.pop()
        if ahead:
            source[trial], begin[trial], level[trial] = ahead[-1], steps, level[ahead[-1]] + 1
        ahead.append(trial)
    return source, begin, level


def _block(
    x: NDArray[np.float64],
    trials: NDArray[np.int64],
    begin: NDArray[np.int64],
    others: list[list[int]],
) -> _Block:
    """Trials with those that branch off each."""
    time = x.shape[1]
    inputs = np.zeros((len(trials), time - begin[trials[0]], x.shape[2]))
    for row, at in enumerate(begin[trials].tolist()):
        inputs[row, : time - at] = x[trials[row], at:]
    rows = np.repeat(np.arange(len(trials)), [len(own) for own in others])
    off = np.array([trial for own in others for trial in own], np.int64)
    return _Block(trials, inputs, off, rows, begin[off] - begin[trials[rows]] - 1)


def run_branches(architecture: str, weights: Weights, branches: Branches) -> NDArray[np.float64]:
    """What one network puts out on trials that begin alike.

    Parameters
    ----------
    architecture : str
    weights : mapping
        One network's parameters, without padding.
    branches : Branches
        Of the trials, from `find_branches`.

    Returns
    -------
    output : array (trial, time, output)
        As of `solspace.networks.run_output`, but for what adding up in another order rounds.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(0)
    >>> shapes = parameter_shapes("gru", 4, inputs=1, outputs=1)
    >>> weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    >>> x = np.zeros((3, 9, 1))
    >>> x[1, 4] = x[2, 7] = 1
    >>> made = run_branches("gru", weights, find_branches(x))
    >>> np.allclose(made, run_output("gru", weights, x), rtol=0, atol=1e-14)
    True
    """
    record = recurrent_architecture(architecture)
    if record.compiled is None:  # steps are slow, trials are not
        return run_output(architecture, weights, branches.inputs)
    check_there(record, weights)
    runner = Runner(record, weights)
    source, begin = branches.source, branches.begin
    start = np.tile(start_of(record, weights), (len(source), 1))
    output = np.empty((*branches.inputs.shape[:2], len(weights["bias_out"])))
    for block in branches.blocks:
        states = np.empty((*block.inputs.shape[:2], start.shape[1]))
        made = runner.run(block.inputs, start[block.trials], states)
        start[block.others] = states[block.rows, block.steps]
        _join(output, made, block.trials, source, begin)
    for trial in branches.again:
        output[trial] = output[source[trial]]
    return output


@njit(cache=True, nogil=True)
def _join(output, made, trials, source, begin):  # type: ignore[no-untyped-def]
    """What trials put out: up to where they branch off, what the others did."""
    time, channels = output.shape[1:]
    for row in range(trials.size):
        trial = trials[row]
        at = begin[trial]
        for t in range(time):
            for c in range(channels):
                if t < at:
                    output[trial, t, c] = output[source[trial], t, c]
                else:
                    output[trial, t, c] = made[row, t - at, c]
