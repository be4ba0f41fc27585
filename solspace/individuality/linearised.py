"""How far the choice of a network moves with its state and with its inputs, step by step.

Along a trial, ``selection[t]`` is the gradient of the choice with respect to the state after step
``t``: the readout carried back through the Jacobians of all later steps. ``effective[t]`` is the
derivative of that state with respect to what a stream gives at step ``t``. Their product is what a
pulse of the stream at that step adds to the choice.

On a line attractor whose other directions have died out, the selection vector of every step is the
left eigenvector whose eigenvalue is nearest 1, but for a factor (Mante et al., Nature 2013). Unlike
that eigenvector it is also there where trials end before the network is near any point.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.fixed_points.newton import cell_of, jacobian
from solspace.networks import Weights, as_float64, hidden_size, run, start_of

__all__ = ["Linearised", "SlowMode", "effective_inputs", "linearise", "slow_mode"]

_STEP = 1e-5  # of central differences, whose error is of its square


class Linearised(NamedTuple):
    """A trial of a network, and what moves its choice.

    Attributes
    ----------
    states : array (time, state)
    selection : array (time, state)
        Gradient of the choice at the last step with respect to each state.
    effective : array (time, stream, state)
        Derivative of each state with respect to what each stream gives at that step.
    kernel : array (time, stream)
        Their products.
    """

    states: NDArray[np.float64]
    selection: NDArray[np.float64]
    effective: NDArray[np.float64]
    kernel: NDArray[np.float64]


def effective_inputs(
    architecture: str,
    weights: Weights,
    states: NDArray[np.float64],
    given: NDArray[np.float64],
    streams: ArrayLike,
) -> NDArray[np.float64]:
    """Derivative of one step with respect to what is given by some inputs, at each state.

    Parameters
    ----------
    architecture : str
    weights : mapping
        One network's parameters, without padding.
    states : array (point, state)
    given : array (point, input)
    streams : array_like of int (stream,)

    Returns
    -------
    array (point, stream, state)

    Examples
    --------
    >>> weights = {"weight_ih": np.full((1, 1, 1), 3.0), "weight_hh": np.zeros((1, 1, 1)),
    ...            "bias_ih": np.zeros((1, 1)), "bias_hh": np.zeros((1, 1)),
    ...            "weight_out": np.ones((1, 1)), "bias_out": np.zeros(1)}
    >>> effective_inputs("vanilla", weights, np.zeros((1, 1)), np.zeros((1, 1)), [0]).round(6)
    array([[[3.]]])
    """
    own = as_float64(architecture, weights)
    points, channels = len(states), np.asarray(streams)
    moved = np.repeat(np.asarray(given, np.float64)[None], 2 * len(channels), axis=0)
    for k, channel in enumerate(channels.tolist()):
        moved[2 * k, :, channel] += _STEP
        moved[2 * k + 1, :, channel] -= _STEP
    after = run(
        architecture, own, moved.reshape(-1, 1, moved.shape[-1]), np.tile(states, (len(moved), 1))
    )[0].reshape(len(channels), 2, points, -1)
    return np.asarray((after[:, 0] - after[:, 1]).transpose(1, 0, 2) / (2 * _STEP), np.float64)


def linearise(
    architecture: str, weights: Weights, trial: ArrayLike, streams: ArrayLike, output: int = 0
) -> Linearised:
    """What moves the choice of one network at the end of one trial.

    Parameters
    ----------
    architecture : str
        vanilla, leaky, relu, leaky_rate, gru or lstm.
    weights : mapping
        One network's parameters, without padding.
    trial : array_like (time, input)
    streams : array_like of int (stream,)
        Inputs of which the effective input is told.
    output : int
        Which output is the choice.

    Raises
    ------
    SolspaceError
        For another architecture, and states that are not finite.

    Examples
    --------
    A unit that adds up: each pulse counts alike.

    >>> weights = {"weight_ih": np.ones((1, 1, 1)), "weight_hh": np.ones((1, 1, 1)),
    ...            "bias_ih": np.ones((1, 1)), "bias_hh": np.zeros((1, 1)),
    ...            "weight_out": np.ones((1, 1)), "bias_out": np.zeros(1)}
    >>> linearise("relu", weights, np.zeros((3, 1)), [0]).kernel.ravel().round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    own = as_float64(architecture, weights)
    given = np.asarray(trial, np.float64)
    start = start_of(architecture, own)
    with np.errstate(all="ignore"):
        states = np.asarray(run(architecture, own, given[None], start[None])[0][0], np.float64)
    if not np.isfinite(states).all():
        raise SolspaceError("states on trials without evidence are not finite")
    before = np.concatenate([start[None], states[:-1]])
    jacobians = np.empty((len(given), len(start), len(start)))
    rows: dict[bytes, list[int]] = {}
    for t, row in enumerate(given):
        rows.setdefault(row.tobytes(), []).append(t)
    for at in rows.values():
        jacobians[at] = jacobian(cell_of(architecture, own, given[at[0]]), before[at])
    selection = np.zeros_like(states)
    selection[-1, : hidden_size(own)] = own["weight_out"][output]
    for t in range(len(given) - 1, 0, -1):
        selection[t - 1] = selection[t] @ jacobians[t]
    effective = effective_inputs(architecture, own, before, given, streams)
    return Linearised(states, selection, effective, np.einsum("ts,tks->tk", selection, effective))


class SlowMode(NamedTuple):
    """The mode of a point whose eigenvalue is nearest 1.

    Attributes
    ----------
    value, following : complex
        That eigenvalue, and the next nearest that is not its conjugate.
    right, left : array (state,)
        Right eigenvector of length 1 and the left one whose product with it is 1, both signed so
        that the right one raises the choice; NaN where the eigenvalue is not real.
    """

    value: complex
    following: complex
    right: NDArray[np.float64]
    left: NDArray[np.float64]


def slow_mode(matrix: NDArray[Any], readout: NDArray[Any]) -> SlowMode:
    """The mode of a Jacobian whose eigenvalue is nearest 1.

    Parameters
    ----------
    matrix : array (state, state)
        The Jacobian of one step.
    readout : array (state,)
        What each part of the state adds to the choice.

    Examples
    --------
    >>> mode = slow_mode(np.array([[1.0, 0.5], [0.0, 0.5]]), np.array([2.0, 0.0]))
    >>> mode.value, mode.following, mode.right + 0, mode.left
    ((1+0j), (0.5+0j), array([1., 0.]), array([1., 1.]))
    """
    from scipy.linalg import eig

    values, to_left, to_right = eig(matrix, left=True, right=True)
    order = np.argsort(np.abs(values - 1), kind="stable")
    value = complex(values[order[0]])
    others = [k for k in order[1:] if abs(values[k] - value.conjugate()) > 1e-12]
    following = complex(values[others[0]]) if others and len(values) > 1 else complex(0)
    right, left = (np.full(len(matrix), np.nan) for _ in range(2))
    if abs(value.imag) < 1e-9:
        right, left = to_right[:, order[0]].real, to_left[:, order[0]].real
        right = right / np.linalg.norm(right) * (-1 if right @ readout < 0 else 1)
        product = left @ right
        left = left / product if abs(product) > 1e-9 else np.full(len(matrix), np.nan)
    return SlowMode(value, following, right, left)
