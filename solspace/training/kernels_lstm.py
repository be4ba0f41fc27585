"""Many Adam steps of one LSTM in one compiled call; see `solspace.training.kernels` for the plan.

The matrix of an LSTM has the rows of its gates i, f, g, o and then those of the readout. With
``c[t] = f c[t-1] + i g`` and ``h[t] = o tanh(c[t])`` the cell state never meets the matrix; its
error is handed from step to step.
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
    sigmoid,
    sum_lanes,
    tanh,
    to_error,
)

__all__ = ["adam_steps", "asked_outputs", "gradient", "squared_error", "workspace"]


@njit(cache=True, nogil=True, error_model="numpy")
def _activate(drive, hidden, before, gates, after, state):  # type: ignore[no-untyped-def]
    """Gates (i, f, g, o, tanh c), the next c and the next h from the products."""
    size = hidden * BLOCK
    x, out, h = drive.reshape(-1), gates.reshape(-1), state.reshape(-1)
    old, c = before.reshape(-1), after.reshape(-1)
    i, f, g = out[:size], out[size : 2 * size], out[2 * size : 3 * size]
    o, squashed = out[3 * size : 4 * size], out[4 * size :]
    x_g, x_o = x[2 * size : 3 * size], x[3 * size : 4 * size]
    for k in range(2 * size):
        out[k] = sigmoid(x[k])
    for k in range(size):
        g[k] = tanh(x_g[k])
    for k in range(size):
        o[k] = sigmoid(x_o[k])
    for k in range(size):
        c[k] = fma(f[k], old[k], i[k] * g[k])
    for k in range(size):
        squashed[k] = tanh(c[k])
    for k in range(size):
        h[k] = o[k] * squashed[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _through_activation(drive, hidden, before, gates, carried, error):  # type: ignore[no-untyped-def]
    """Errors before the gates from that of h and that of c, which is taken one step back."""
    size, one = hidden * BLOCK, np.float32(1.0)
    d, e, e_c = drive.reshape(-1), error.reshape(-1), carried.reshape(-1)
    out, old = gates.reshape(-1), before.reshape(-1)
    i, f, g = out[:size], out[size : 2 * size], out[2 * size : 3 * size]
    o, squashed = out[3 * size : 4 * size], out[4 * size :]
    e_i, e_f, e_g = e[:size], e[size : 2 * size], e[2 * size : 3 * size]
    e_o = e[3 * size : 4 * size]
    for k in range(size):
        e_o[k] = d[k] * squashed[k] * o[k] * (one - o[k])
    for k in range(size):
        e_c[k] = fma(d[k] * o[k], fma(-squashed[k], squashed[k], one), e_c[k])
    for k in range(size):
        e_i[k] = e_c[k] * g[k] * i[k] * (one - i[k])
    for k in range(size):
        e_f[k] = e_c[k] * old[k] * f[k] * (one - f[k])
    for k in range(size):
        e_g[k] = e_c[k] * i[k] * fma(-g[k], g[k], one)
    for k in range(size):
        e_c[k] *= f[k]


@njit(cache=True, nogil=True)
def _forward(transposed, hidden, state, cell, gates, drive, readout):  # type: ignore[no-untyped-def]
    """Fill ``state``, ``cell``, ``gates`` and ``readout``, the readout one slot late."""
    rows, columns, last = transposed.shape[1], state.shape[1], state.shape[0] - 1
    cell[0] = np.float32(0.0)
    for t in range(last + 1):
        multiply(transposed, 0, rows, 0, columns, state[t], drive)
        if t < last:
            _activate(drive, hidden, cell[t], gates[t], cell[t + 1], state[t + 1])
        copy(drive[4 * hidden :], readout[t])


@njit(cache=True, nogil=True)
def _backward(matrix, hidden, cell, state, gates, readout_error, drive, carried, error, total):  # type: ignore[no-untyped-def]
    """Add this block's gradient to ``total`` (row, column, lane)."""
    slots, rows = readout_error.shape[0], matrix.shape[0]
    chunks = (slots + error.shape[0] - 1) // error.shape[0]
    following = 0  # where in `error` the slot after this one is
    carried[:] = np.float32(0.0)
    for chunk in range(chunks - 1, -1, -1):
        first, stop = chunk * slots // chunks, (chunk + 1) * slots // chunks
        for t in range(stop - 1, first - 1, -1):
            here = t - first
            if t == slots - 1:
                error[here] = np.float32(0.0)
            else:
                multiply(matrix, 0, hidden, 0, rows, error[following], drive)
                _through_activation(drive, hidden, cell[t], gates[t], carried, error[here])
            copy(readout_error[t], error[here, 4 * hidden :])
            following = here
        add_gradient(error[: stop - first], state[first:stop], total, 0, rows, 0)


@njit(cache=True, nogil=True)
def gradient(matrix, inputs, targets, trials, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors of a batch, and in the last buffer the gradient of the mean."""
    transposed, state, cell, gates, drive, readout, carried, error, total, out = work
    hidden = carried.shape[0]
    copy(matrix.T, transposed)
    total[:] = np.float32(0.0)
    scale = np.float32(2.0 / max(1, asked(targets, trials)))
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        gather(inputs, block, hidden, state)
        _forward(transposed, hidden, state, cell, gates, drive, readout)
        squares += to_error(targets, block, scale, readout)
        _backward(matrix, hidden, cell, state, gates, readout, drive, carried, error, total)
    sum_lanes(total, out)
    return squares


@njit(cache=True, nogil=True)
def squared_error(matrix, inputs, targets, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors over all trials (no gradient)."""
    transposed, state, cell, gates, drive, readout, carried = work[:7]
    hidden = carried.shape[0]
    copy(matrix.T, transposed)
    trials = np.arange(inputs.shape[2])
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        gather(inputs, block, hidden, state)
        _forward(transposed, hidden, state, cell, gates, drive, readout)
        squares += to_error(targets, block, np.float32(1.0), readout)
    return squares


@njit(cache=True, nogil=True)
def asked_outputs(matrix, inputs, first, last, work, out):  # type: ignore[no-untyped-def]
    """Mean output in the steps from ``first`` to before ``last`` of each trial, (trial, output)."""
    transposed, state, cell, gates, drive, readout, carried = work[:7]
    copy(matrix.T, transposed)
    trials = np.arange(inputs.shape[2])
    for start in range(0, trials.size, BLOCK):
        block = trials[start : start + BLOCK]
        gather(inputs, block, carried.shape[0], state)
        _forward(transposed, carried.shape[0], state, cell, gates, drive, readout)
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
    """Buffers of one network: transposed matrix, state, cell, gates, drive, readout, carried
    error of the cell, error, sums, gradient.

    Examples
    --------
    >>> *_, sums, gradient = workspace(20, inputs=2, outputs=1, steps=150)
    >>> sums.shape[:2] == gradient.shape == (81, 23)
    True
    """
    rows, columns, slots = 4 * hidden + outputs, hidden + inputs + 1, steps + 1
    return (
        aligned(columns, rows),
        aligned(slots, columns, BLOCK),
        aligned(slots, hidden, BLOCK),
        aligned(steps, 5 * hidden, BLOCK),
        aligned(rows, BLOCK),
        aligned(slots, outputs, BLOCK),
        aligned(hidden, BLOCK),
        aligned(min(CHUNK, slots), rows, BLOCK),
        aligned(rows, columns, LANES),
        aligned(rows, columns),
    )
