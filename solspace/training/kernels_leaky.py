"""Many Adam steps of one leaky network in one compiled call; see `solspace.training.kernels`.

The matrix is that of a vanilla network. With ``n = f(pre[t])`` and ``h[t] = h[t-1] + alpha (n -
h[t-1])`` the error of h goes back by two ways: through the matrix, and ``1 - alpha`` of it as it
is, handed from step to step. f is tanh or max(0, .); with ``alpha`` 1 nothing leaks. Noise in the
state is added to h at every step of the forward run of `gradient`; the error passes it by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.training.blocks import (
    BLOCK,
    CHUNK,
    LANES,
    adam,
    add_gradient,
    aligned,
    asked,
    copy,
    gather,
    multiply,
    sum_lanes,
    tanh,
    to_error,
)

__all__ = ["adam_steps", "asked_outputs", "gradient", "noisy", "squared_error", "workspace"]


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _activate(drive, hidden, settings, before, fresh, after):  # type: ignore[no-untyped-def]
    """New activity and the next h from the products; ``before`` and ``after`` hold h."""
    size, alpha, zero = hidden * BLOCK, settings[0], np.float32(0.0)
    x, n = drive.reshape(-1), fresh.reshape(-1)
    h, out = before.reshape(-1), after.reshape(-1)
    if settings[1] > 0:
        for k in range(size):
            n[k] = zero if x[k] < zero else x[k]
    else:
        for k in range(size):
            n[k] = tanh(x[k])
    for k in range(size):
        out[k] = h[k] + alpha * (n[k] - h[k])


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _through_activation(drive, hidden, settings, fresh, carried, error):  # type: ignore[no-untyped-def]
    """Error before f from that of h, which is kept for the step before."""
    size, alpha, one = hidden * BLOCK, settings[0], np.float32(1.0)
    d, n = drive.reshape(-1), fresh.reshape(-1)
    e_h, e = carried.reshape(-1), error.reshape(-1)
    for k in range(size):
        e_h[k] = d[k] + (one - alpha) * e_h[k]
    if settings[1] > 0:
        for k in range(size):
            e[k] = alpha * e_h[k] if n[k] > np.float32(0.0) else np.float32(0.0)
    else:
        for k in range(size):
            e[k] = alpha * e_h[k] * (one - n[k] * n[k])


@njit(cache=True, nogil=True)
def _forward(transposed, outputs, settings, noise, state, fresh, drive, readout):  # type: ignore[no-untyped-def]
    """Fill ``state`` (slot, row, lane) and ``readout`` (slot, output, lane), one slot late."""
    rows = transposed.shape[1]
    hidden = rows - outputs
    last = state.shape[0] - 1
    for t in range(last + 1):
        multiply(transposed, 0, rows, 0, state.shape[1], state[t], drive)
        if t < last:
            _activate(drive, hidden, settings, state[t], fresh[t], state[t + 1])
            if t < noise.shape[0]:
                for r in range(hidden):
                    for k in range(state.shape[2]):
                        state[t + 1, r, k] += noise[t, r, k]
        copy(drive[hidden:], readout[t])


@njit(cache=True, nogil=True)
def _backward(matrix, settings, state, fresh, readout_error, drive, carried, error, total):  # type: ignore[no-untyped-def]
    """Add this block's gradient to ``total`` (row, column, lane)."""
    slots, outputs = readout_error.shape[0], readout_error.shape[1]
    hidden = matrix.shape[0] - outputs
    chunks = (slots + error.shape[0] - 1) // error.shape[0]
    following = 0  # where in `error` the slot after this one is
    carried[:] = np.float32(0.0)
    for chunk in range(chunks - 1, -1, -1):
        first, stop = chunk * slots // chunks, (chunk + 1) * slots // chunks
        for t in range(stop - 1, first - 1, -1):
            here = t - first
            if t == slots - 1:
                error[here, :hidden] = np.float32(0.0)
            else:
                multiply(matrix, 0, hidden, 0, matrix.shape[0], error[following], drive)
                _through_activation(drive, hidden, settings, fresh[t], carried, error[here])
            copy(readout_error[t], error[here, hidden:])
            following = here
        add_gradient(error[: stop - first], state[first:stop], total, 0, matrix.shape[0], 0)


@njit(cache=True, nogil=True)
def gradient(matrix, inputs, targets, trials, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors of a batch, and in the last buffer the gradient of the mean."""
    transposed, state, fresh, drive, readout, carried, error, total, settings, noise, out = work
    outputs = targets.shape[1]
    hidden = matrix.shape[0] - outputs
    copy(matrix.T, transposed)
    total[:] = np.float32(0.0)
    scale = np.float32(2.0 / max(1, asked(targets, trials)))
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        gather(inputs, block, hidden, state)
        added = noise[min(first // BLOCK, noise.shape[0] - 1)]
        _forward(transposed, outputs, settings, added, state, fresh, drive, readout)
        squares += to_error(targets, block, scale, readout)
        _backward(matrix, settings, state, fresh, readout, drive, carried, error, total)
    sum_lanes(total, out)
    return squares


@njit(cache=True, nogil=True)
def squared_error(matrix, inputs, targets, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors over all trials (no gradient)."""
    transposed, state, fresh, drive, readout = work[:5]
    settings = work[8]
    outputs = targets.shape[1]
    hidden = matrix.shape[0] - outputs
    copy(matrix.T, transposed)
    trials = np.arange(inputs.shape[2])
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        gather(inputs, block, hidden, state)
        _forward(transposed, outputs, settings, work[9][0, :0], state, fresh, drive, readout)
        squares += to_error(targets, block, np.float32(1.0), readout)
    return squares


@njit(cache=True, nogil=True)
def asked_outputs(matrix, inputs, first, last, work, out):  # type: ignore[no-untyped-def]
    """Mean output in the steps from ``first`` to before ``last`` of each trial, (trial, output)."""
    transposed, state, fresh, drive, readout = work[:5]
    made, settings = readout.shape[1], work[8]
    copy(matrix.T, transposed)
    trials = np.arange(inputs.shape[2])
    for start in range(0, trials.size, BLOCK):
        block = trials[start : start + BLOCK]
        gather(inputs, block, matrix.shape[0] - made, state)
        _forward(transposed, made, settings, work[9][0, :0], state, fresh, drive, readout)
        # Of a step the output stands one slot late.
        for k in range(block.size):
            for o in range(readout.shape[1]):
                total = 0.0
                for t in range(first, last):
                    total += readout[t + 1, o, k]
                out[block[k], o] = total / (last - first)


@njit(cache=True, nogil=True)
def adam_steps(  # type: ignore[no-untyped-def]
    matrix,
    moments,
    copies,
    done,
    inputs,
    targets,
    batches,
    rates,
    beta1,
    beta2,
    epsilon,
    clip,
    work,
):
    """One Adam step for each row of ``batches`` after ``done`` such steps (see `blocks.adam`)."""
    for step in range(len(batches)):
        gradient(matrix, inputs, targets, batches[step], work)
        adam(
            matrix,
            moments,
            copies,
            work[-1],
            done + step + 1,
            rates[step],
            beta1,
            beta2,
            epsilon,
            clip,
        )


def workspace(
    hidden: int, inputs: int, outputs: int, steps: int, alpha: float, rectified: float
) -> tuple[NDArray[Any], ...]:
    """Buffers of one network: transposed matrix, state, new activity, drive, readout, carried
    error, error, sums, settings, noise (none, see `noisy`), gradient.

    Examples
    --------
    >>> buffers = workspace(20, inputs=2, outputs=1, steps=150, alpha=0.2, rectified=0.0)
    >>> buffers[8], buffers[-1].shape
    (array([0.2, 0. ], dtype=float32), (21, 23))
    """
    rows, columns, slots = hidden + outputs, hidden + inputs + 1, steps + 1
    return (
        aligned(columns, rows),
        aligned(slots, columns, BLOCK),
        aligned(steps, hidden, BLOCK),
        aligned(rows, BLOCK),
        aligned(slots, outputs, BLOCK),
        aligned(hidden, BLOCK),
        aligned(min(CHUNK, slots), rows, BLOCK),
        aligned(rows, columns, LANES),
        np.array([alpha, rectified], np.float32),
        aligned(1, 0, hidden, BLOCK),
        aligned(rows, columns),
    )


def noisy(work: tuple[NDArray[Any], ...], trials: int) -> tuple[NDArray[Any], ...]:
    """The same buffers with one for the noise of a batch, (block, time, unit, lane).

    It is to be filled before each gradient step.

    Examples
    --------
    >>> buffers = workspace(20, inputs=2, outputs=1, steps=150, alpha=0.2, rectified=0.0)
    >>> noisy(buffers, 33)[9].shape
    (2, 150, 20, 32)
    """
    return (*work[:9], aligned(-(-trials // BLOCK), *work[2].shape), work[-1])
