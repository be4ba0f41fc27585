"""Many Adam steps of one vanilla network in one compiled call.

Everything of a network is one matrix. With the state augmented to ``s[t] = (h[t-1], x[t], 1)``
and the error to ``e[t] = (d_pre[t], d_y[t-1])``, each row of

    ============ ============= =========== ==================
    matrix       h             x           1
    ============ ============= =========== ==================
    pre[t]       weight_hh     weight_ih   bias_ih + bias_hh
    y[t-1]       weight_out    0           bias_out
    ============ ============= =========== ==================

is one linear unit, and three products are all there is: forward ``matrix @ s[t]``, backward
``matrix.T @ e[t]``, and the gradient, the sum over time of ``e[t] @ s[t].T``. Slots t run from 0
to the number of steps, since the last readout is one slot after the last step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.networks.fused import fma
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

__all__ = ["adam_steps", "asked_outputs", "gradient", "squared_error", "workspace"]


# One flat loop each, in NumPy's error model: LLVM leaves a nest of short loops, or a loop that may
# raise on a division by zero, in scalars.


@njit(cache=True, nogil=True, error_model="numpy")
def _activate(drive, hidden, state):  # type: ignore[no-untyped-def]
    source, out = drive.reshape(-1), state.reshape(-1)
    for k in range(hidden * BLOCK):
        out[k] = tanh(source[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _through_activation(drive, hidden, state, error):  # type: ignore[no-untyped-def]
    """Error before the tanh from that after it."""
    source, h, out = drive.reshape(-1), state.reshape(-1), error.reshape(-1)
    for k in range(hidden * BLOCK):
        out[k] = source[k] * fma(-h[k], h[k], np.float32(1.0))


@njit(cache=True, nogil=True)
def _forward(transposed, outputs, state, drive, readout):  # type: ignore[no-untyped-def]
    """Fill ``state`` (slot, row, lane) and ``readout`` (slot, output, lane), one slot late."""
    rows = transposed.shape[1]
    hidden = rows - outputs
    last = state.shape[0] - 1
    for t in range(last + 1):
        multiply(transposed, 0, rows, 0, state.shape[1], state[t], drive)
        if t < last:
            _activate(drive, hidden, state[t + 1])
        copy(drive[hidden:], readout[t])


@njit(cache=True, nogil=True)
def _backward(matrix, state, readout_error, drive, error, total):  # type: ignore[no-untyped-def]
    """Add this block's gradient to ``total`` (row, column, lane)."""
    slots, outputs = readout_error.shape[0], readout_error.shape[1]
    hidden = matrix.shape[0] - outputs
    chunks = (slots + error.shape[0] - 1) // error.shape[0]
    following = 0  # where in `error` the slot after this one is
    for chunk in range(chunks - 1, -1, -1):
        first, stop = chunk * slots // chunks, (chunk + 1) * slots // chunks
        for t in range(stop - 1, first - 1, -1):
            here = t - first
            if t == slots - 1:
                error[here, :hidden] = np.float32(0.0)
            else:
                multiply(matrix, 0, hidden, 0, matrix.shape[0], error[following], drive)
                _through_activation(drive, hidden, state[t + 1], error[here])
            copy(readout_error[t], error[here, hidden:])
            following = here
        add_gradient(error[: stop - first], state[first:stop], total, 0, matrix.shape[0], 0)


@njit(cache=True, nogil=True)
def gradient(matrix, inputs, targets, trials, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors of a batch, and in the last buffer the gradient of the mean."""
    transposed, state, drive, readout, error, total, out = work
    outputs = targets.shape[1]
    hidden = matrix.shape[0] - outputs
    copy(matrix.T, transposed)
    total[:] = np.float32(0.0)
    scale = np.float32(2.0 / max(1, asked(targets, trials)))
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        gather(inputs, block, hidden, state)
        _forward(transposed, outputs, state, drive, readout)
        squares += to_error(targets, block, scale, readout)
        _backward(matrix, state, readout, drive, error, total)
    sum_lanes(total, out)
    return squares


@njit(cache=True, nogil=True)
def squared_error(matrix, inputs, targets, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors over all trials (no gradient)."""
    transposed, state, drive, readout = work[:4]
    outputs = targets.shape[1]
    hidden = matrix.shape[0] - outputs
    copy(matrix.T, transposed)
    trials = np.arange(inputs.shape[2])
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        gather(inputs, block, hidden, state)
        _forward(transposed, outputs, state, drive, readout)
        squares += to_error(targets, block, np.float32(1.0), readout)
    return squares


@njit(cache=True, nogil=True)
def asked_outputs(matrix, inputs, first, last, work, out):  # type: ignore[no-untyped-def]
    """Mean output in the steps from ``first`` to before ``last`` of each trial, (trial, output)."""
    transposed, state, drive, readout = work[:4]
    made = readout.shape[1]
    copy(matrix.T, transposed)
    trials = np.arange(inputs.shape[2])
    for start in range(0, trials.size, BLOCK):
        block = trials[start : start + BLOCK]
        gather(inputs, block, matrix.shape[0] - made, state)
        _forward(transposed, made, state, drive, readout)
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


def workspace(hidden: int, inputs: int, outputs: int, steps: int) -> tuple[NDArray[Any], ...]:
    """Buffers of one network: transposed matrix, state, drive, readout, error, sums, gradient.

    Examples
    --------
    >>> *own, sums, gradient = workspace(20, inputs=2, outputs=1, steps=150)
    >>> [buffer.shape for buffer in own]
    [(23, 21), (151, 23, 32), (21, 32), (151, 1, 32), (50, 21, 32)]
    >>> sums.shape[:2] == gradient.shape == (21, 23)
    True
    """
    rows, columns, slots = hidden + outputs, hidden + inputs + 1, steps + 1
    return (
        aligned(columns, rows),
        aligned(slots, columns, BLOCK),
        aligned(rows, BLOCK),
        aligned(slots, outputs, BLOCK),
        aligned(min(CHUNK, slots), rows, BLOCK),
        aligned(rows, columns, LANES),
        aligned(rows, columns),
    )
