"""What makes one network of a task with contexts an individual: its vectors, line and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.fixed_points.finding import FixedPoints, fixed_points
from solspace.fixed_points.newton import cell_of, jacobian
from solspace.fixed_points.starting import starts_of
from solspace.individuality.linearised import (
    Linearised,
    SlowMode,
    effective_inputs,
    linearise,
    slow_mode,
)
from solspace.individuality.measures import METHODS, NEURAL_MEASURES
from solspace.individuality.modulation import modulation_shares, split_modulation
from solspace.networks import Weights, as_float64, hidden_size, run

if TYPE_CHECKING:
    from solspace.tasks import Contexts

__all__ = ["Individual", "individual_of"]

SLOW = 0.1  # |lambda - 1| of a point's nearest eigenvalue, at most, for it to count as slow


@dataclass(frozen=True)
class Individual:
    """The vectors, lines and numbers of one network.

    Attributes
    ----------
    selection : array (context, state)
        Selection vector, the mean over the steps of the stimulus.
    effective : array (context, stream, state)
        Effective inputs, likewise.
    kernel : array (context, stream, time)
        What a pulse at each step adds to the choice.
    line : array (context, level, state)
        The line: states before the last step, by the strength of the stream that counts.
    direction : array (context, state)
        Direction of each line, of length 1, towards the positive choice.
    modulation : array (method, stream, 3)
        Direct, indirect and selection part of how differently a stream moves the choice in both
        contexts; NaN of the second method in a context without slow points.
    slow_points : array of int (context,)
        Fixed and slow points whose eigenvalue nearest 1 is real and slow.
    slow_selection : array (context, state)
        Mean of their left eigenvectors; NaN where there are none.
    values : dict of str to float
        `NEURAL_MEASURES` by name.
    """

    selection: NDArray[np.float64]
    effective: NDArray[np.float64]
    kernel: NDArray[np.float64]
    line: NDArray[np.float64]
    direction: NDArray[np.float64]
    modulation: NDArray[np.float64]
    slow_points: NDArray[np.int64]
    slow_selection: NDArray[np.float64]
    values: dict[str, float]


def individual_of(
    architecture: str,
    weights: Weights,
    contexts: Contexts,
    inputs: tuple[str, ...],
    recorded: NDArray[Any],
    *,
    starts: int = 64,
    seed: int = 0,
) -> Individual:
    """The vectors, lines and numbers of one network of a task with two contexts.

    Parameters
    ----------
    architecture : str
        vanilla, leaky, relu, leaky_rate, gru or lstm.
    weights : mapping
        One network's parameters, without padding.
    contexts : Contexts
        Of the task.
    inputs : tuple of str
        The task's inputs.
    recorded : array (trial, time, input)
        Trials by which the spread of states is told.
    starts : int
        From how many states fixed points are searched in each context.
    seed : int
        Of these.

    Returns
    -------
    Individual

    Raises
    ------
    SolspaceError
        For more than two contexts, another architecture, states that are not finite, and a network
        that no stream moves more in the context in which it counts.

    Examples
    --------
    >>> from solspace import get_task
    >>> from solspace.networks import parameter_shapes
    >>> task, rng = get_task("context_integration"), np.random.default_rng(0)
    >>> shapes = parameter_shapes("leaky", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> weights["alpha"] = 0.2
    >>> individual_of("leaky", weights, task.contexts(), task.inputs, task.recorded_trials().input)
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: no modulation: stream_2 moves the choice by ...
    """
    if len(contexts.names) != 2:
        raise SolspaceError(
            f"{len(contexts.names)} contexts; what differs between contexts is told of two"
        )
    own = as_float64(architecture, weights)
    streams = contexts.channels(inputs)
    stimulus = np.asarray(contexts.stimulus, bool)
    each = [
        linearise(architecture, own, trial, streams, contexts.output) for trial in contexts.neutral
    ]
    selection = np.stack([one.selection[stimulus] for one in each])
    effective = np.stack([one.effective[stimulus] for one in each])
    _check_modulation(contexts, each, stimulus)
    line = np.stack(
        [
            run(architecture, own, contexts.trials(c, int(streams[contexts.streams.index(name)])))[
                0
            ][:, -2]
            for c, name in enumerate(contexts.counts)
        ]
    )
    if not np.isfinite(line).all():
        raise SolspaceError("states on trials with evidence are not finite")
    direction = np.stack([_direction(points) for points in line])
    states = np.asarray(run(architecture, own, recorded)[0]).reshape(-1, line.shape[-1])
    readout = np.zeros(line.shape[-1])
    readout[: hidden_size(own)] = own["weight_out"][contexts.output]
    found = [_points(architecture, own, recorded, held, starts, seed) for held in contexts.held]
    slow, slow_selection, slow_line, slow_effective = _slow_points(
        architecture, own, contexts.held, streams, found, readout
    )
    modulation = np.full((len(METHODS), len(streams), 3), np.nan)
    for k, name in enumerate(contexts.streams):
        order = _first_where_it_counts(contexts, name)
        parts = split_modulation(
            selection[order], effective[order][:, :, k], direction.mean(axis=0)
        )
        modulation[0, k] = [np.mean(part) for part in parts[:3]]
        if (slow > 0).all():
            parts = split_modulation(
                slow_selection[order], slow_effective[order][:, k], slow_line.mean(axis=0)
            )
            modulation[1, k] = parts[:3]
    middle = [one.states[np.flatnonzero(stimulus)[stimulus.sum() // 2]] for one in each]
    modes = [
        slow_mode(jacobian(cell_of(architecture, own, held), state), readout)
        for held, state in zip(contexts.held, middle, strict=True)
    ]
    kernel = np.stack([one.kernel.T for one in each])
    values = (
        _weighing(contexts, kernel[:, :, stimulus], modulation[0])
        | _lines(architecture, own, contexts.held, line, direction, readout, states)
        | _vectors(selection.mean(axis=1), effective.mean(axis=1), direction)
        | _slowness(modes, selection.mean(axis=1), architecture, own, contexts.held, middle)
    )
    values["stable_points"] = float(np.mean([(one.kind == 0).sum() for one in found]))
    spectrum = np.linalg.eigvalsh(np.cov(states.T).reshape(len(readout), -1))
    values["dimension"] = float(spectrum.sum() ** 2 / (spectrum**2).sum())
    if wrong := [name for name, value in values.items() if not np.isfinite(value)]:
        raise SolspaceError(f"{', '.join(sorted(wrong))} cannot be computed of this network")
    return Individual(
        selection=selection.mean(axis=1),
        effective=effective.mean(axis=1),
        kernel=kernel,
        line=line,
        direction=direction,
        modulation=modulation,
        slow_points=slow,
        slow_selection=slow_selection,
        values={name: values[name] for name in NEURAL_MEASURES},
    )


def _first_where_it_counts(contexts: Contexts, stream: str) -> list[int]:
    return [0, 1] if contexts.counts[0] == stream else [1, 0]


def _check_modulation(
    contexts: Contexts, each: list[Linearised], stimulus: NDArray[np.bool_]
) -> None:
    """A network for which context changes nothing has no modulation to be split."""
    for k, name in enumerate(contexts.streams):
        here, there = (
            float(each[c].kernel[stimulus, k].mean())
            for c in _first_where_it_counts(contexts, name)
        )
        if not here > there:
            raise SolspaceError(
                f"no modulation: {name} moves the choice by {here:.3g} where it counts and by "
                f"{there:.3g} where it does not"
            )


def _direction(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """First principal axis of the points of a line, towards the last of them."""
    axis = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
    return np.asarray(axis * (-1 if (points[-1] - points[0]) @ axis < 0 else 1), np.float64)


def _points(
    architecture: str,
    weights: Weights,
    recorded: NDArray[Any],
    held: NDArray[np.float64],
    starts: int,
    seed: int,
) -> FixedPoints:
    begun = starts_of(architecture, weights, recorded, held, starts, seed=seed)
    return fixed_points(architecture, weights, begun.states, held, box=begun.box)


def _slow_points(
    architecture: str,
    weights: Weights,
    held: NDArray[np.float64],
    streams: NDArray[np.int64],
    found: list[FixedPoints],
    readout: NDArray[np.float64],
) -> tuple[NDArray[Any], ...]:
    """Number of slow points in each context, and means of their vectors."""
    count = np.zeros(len(held), np.int64)
    left, right = np.full((2, len(held), len(readout)), np.nan)
    effective = np.full((len(held), len(streams), len(readout)), np.nan)
    for c, (given, points) in enumerate(zip(held, found, strict=True)):
        matrices = jacobian(cell_of(architecture, weights, given), points.states)
        modes = [slow_mode(matrix, readout) for matrix in matrices]
        use = [
            k for k, mode in enumerate(modes)
            if np.isfinite(mode.left).all() and abs(mode.value - 1) <= SLOW
        ]  # fmt: skip
        count[c] = len(use)
        if use:
            left[c] = np.mean([modes[k].left for k in use], axis=0)
            right[c] = np.mean([modes[k].right for k in use], axis=0)
            states = points.states[use]
            effective[c] = effective_inputs(
                architecture, weights, states, np.tile(given, (len(use), 1)), streams
            ).mean(axis=0)
    return count, left, right, effective


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Between two vectors, in degrees; exact for small angles too."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))))


def _weighing(
    contexts: Contexts, kernel: NDArray[np.float64], modulation: NDArray[np.float64]
) -> dict[str, float]:
    """Of the kernels (context, stream, step): how much counts, leaks, and when."""
    own = [contexts.streams.index(name) for name in contexts.counts]
    counted = np.stack([kernel[c, k] for c, k in enumerate(own)])
    gain = float(counted.mean())
    others = [np.abs(np.delete(kernel[c].mean(axis=-1), k)).mean() for c, k in enumerate(own)]
    shares = modulation_shares(modulation)
    half = counted.shape[-1] // 2
    weight = np.abs(counted)
    return {
        "gain": gain,
        "leak": float(np.mean(others) / abs(gain)),
        "early_share": float(np.mean(weight[:, :half].sum(axis=1) / weight.sum(axis=1))),
        **{name: float(x) for name, x in zip(("direct", "indirect", "selection"),
                                             shares.mean(axis=0), strict=True)},
        "stream_asymmetry": float(np.linalg.norm(np.ptp(shares, axis=0))),
    }  # fmt: skip


def _lines(
    architecture: str,
    weights: Weights,
    held: NDArray[np.float64],
    line: NDArray[np.float64],
    direction: NDArray[np.float64],
    readout: NDArray[np.float64],
    states: NDArray[np.float64],
) -> dict[str, float]:
    lengths = np.linalg.norm(np.diff(line, axis=1), axis=2).sum(axis=1)
    if not (lengths > 0).all():
        raise SolspaceError("evidence moves no state of the network: its line has no length")
    given = np.repeat(held[:, None], line.shape[1], axis=1).reshape(-1, 1, held.shape[1])
    rows = line.reshape(-1, line.shape[2])
    after = run(architecture, weights, given, rows)[0][:, 0].reshape(line.shape)
    spread = np.sqrt(np.square(states - states.mean(axis=0)).sum(axis=1).mean())
    middles = line[:, line.shape[1] // 2]
    return {
        "line_length": float(lengths.mean()),
        "relative_line_length": float(lengths.mean() / spread),
        "line_straightness": float(
            np.mean(np.linalg.norm(line[:, -1] - line[:, 0], axis=1) / lengths)
        ),
        "line_drift": float(np.mean(np.linalg.norm(after - line, axis=2).mean(axis=1) / lengths)),
        "line_angle": _angle(*direction),
        "line_distance": float(np.linalg.norm(middles[0] - middles[1]) / lengths.mean()),
        "readout_line_angle": float(np.mean([_angle(readout, own) for own in direction])),
    }


def _vectors(
    selection: NDArray[np.float64], effective: NDArray[np.float64], direction: NDArray[np.float64]
) -> dict[str, float]:
    streams = range(effective.shape[1])
    return {
        "selection_angle": _angle(*selection),
        "input_angle": float(np.mean([_angle(*effective[:, k]) for k in streams])),
        "selection_line_angle": float(
            np.mean([_angle(s, own) for s, own in zip(selection, direction, strict=True)])
        ),
    }


def _slowness(
    modes: list[SlowMode],
    selection: NDArray[np.float64],
    architecture: str,
    weights: Weights,
    held: NDArray[np.float64],
    middle: list[NDArray[np.float64]],
) -> dict[str, float]:
    agreement = []
    for mode, own, given, state in zip(modes, selection, held, middle, strict=True):
        plane = [mode.left] if np.isfinite(mode.left).all() else _left_plane(
            jacobian(cell_of(architecture, weights, given), state), mode.value
        )  # fmt: skip
        base = np.linalg.qr(np.stack(plane, axis=1))[0]
        agreement.append(np.linalg.norm(base.T @ own) / np.linalg.norm(own))
    return {
        "slow_rate": float(np.mean([abs(mode.value) - 1 for mode in modes])),
        "slow_turn": float(np.mean([abs(np.degrees(np.angle(mode.value))) for mode in modes])),
        "next_rate": float(np.mean([abs(mode.following) - 1 for mode in modes])),
        "eigenvector_agreement": float(np.mean(agreement)),
    }


def _left_plane(matrix: NDArray[np.float64], value: complex) -> list[NDArray[np.float64]]:
    """Real and imaginary part of the left eigenvector of a complex eigenvalue."""
    values, vectors = np.linalg.eig(matrix.T)
    own = vectors[:, int(np.argmin(np.abs(values - value)))]
    return [own.real, own.imag]
