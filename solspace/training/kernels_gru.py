"""Many Adam steps of one GRU in one compiled call; see `solspace.training.kernels` for the plan.

The matrix of a GRU, with ``s[t] = (h[t-1], x[t], 1)``:

    ============ ============= ============ ====================== ===============
    matrix       h             x            1                      error
    ============ ============= ============ ====================== ===============
    r            weight_hh[r]  weight_ih[r] bias_ih[r]+bias_hh[r]  d before r
    z            weight_hh[z]  weight_ih[z] bias_ih[z]+bias_hh[z]  d before z
    q[t]         weight_hh[n]  0            bias_hh[n]             d n * r
    y[t-1]       weight_out    0            bias_out               d y
    p[t]         0             weight_ih[n] bias_ih[n]             d before n
    ============ ============= ============ ====================== ===============

``n = tanh(p + r q)`` and ``h[t] = (1 - z) n + z h[t-1]`` (torch's convention). The rows of p are
last, so that the products leave out the block of zeros over h.
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
def _activate(drive, hidden, outputs, before, gates, after):  # type: ignore[no-untyped-def]
    """Gates (r, z, n, q) and the next h from the products; ``before`` and ``after`` hold h."""
    size = hidden * BLOCK
    x, out = drive.reshape(-1), gates.reshape(-1)
    h, new = before.reshape(-1), after.reshape(-1)
    q, p = x[2 * size : 3 * size], x[3 * size + outputs * BLOCK :]
    r, z, n, kept = out[:size], out[size : 2 * size], out[2 * size : 3 * size], out[3 * size :]
    for k in range(2 * size):
        out[k] = sigmoid(x[k])
    for k in range(size):
        n[k] = tanh(fma(r[k], q[k], p[k]))
    for k in range(size):
        kept[k] = q[k]
    for k in range(size):
        new[k] = fma(z[k], h[k] - n[k], n[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _through_activation(delta, hidden, outputs, before, gates, error):  # type: ignore[no-untyped-def]
    """Errors before the gates from that of h, which becomes the part that skips them."""
    size, one = hidden * BLOCK, np.float32(1.0)
    d, h, g, e = delta.reshape(-1), before.reshape(-1), gates.reshape(-1), error.reshape(-1)
    r, z, n, q = g[:size], g[size : 2 * size], g[2 * size : 3 * size], g[3 * size :]
    e_r, e_z, e_q = e[:size], e[size : 2 * size], e[2 * size : 3 * size]
    e_p = e[3 * size + outputs * BLOCK :]
    for k in range(size):
        e_z[k] = d[k] * (h[k] - n[k]) * z[k] * (one - z[k])
    for k in range(size):
        e_p[k] = d[k] * (one - z[k]) * fma(-n[k], n[k], one)
    for k in range(size):
        e_q[k] = e_p[k] * r[k]
    for k in range(size):
        e_r[k] = e_q[k] * q[k] * (one - r[k])
    for k in range(size):
        d[k] *= z[k]


@njit(cache=True, nogil=True)
def _add(source, hidden, out):  # type: ignore[no-untyped-def]
    x, total = source.reshape(-1), out.reshape(-1)
    for k in range(hidden * BLOCK):
        total[k] += x[k]


@njit(cache=True, nogil=True)
def _forward(transposed, hidden, state, gates, drive, readout):  # type: ignore[no-untyped-def]
    """Fill ``state``, ``gates`` and ``readout``, the readout one slot late."""
    outputs, columns, last = readout.shape[1], state.shape[1], state.shape[0] - 1
    main = 3 * hidden + outputs
    for t in range(last + 1):
        multiply(transposed, 0, main, 0, columns, state[t], drive)
        if t < last:
            multiply(transposed, main, main + hidden, hidden, columns, state[t], drive)
            _activate(drive, hidden, outputs, state[t], gates[t], state[t + 1])
        copy(drive[3 * hidden : main], readout[t])


@njit(cache=True, nogil=True)
def _backward(matrix, hidden, state, gates, readout_error, drive, delta, error, total):  # type: ignore[no-untyped-def]
    """Add this block's gradient to ``total`` (row, column, lane)."""
    slots, outputs = readout_error.shape[0], readout_error.shape[1]
    main = 3 * hidden + outputs
    chunks = (slots + error.shape[0] - 1) // error.shape[0]
    following = 0  # where in `error` the slot after this one is
    delta[:] = np.float32(0.0)
    for chunk in range(chunks - 1, -1, -1):
        first, stop = chunk * slots // chunks, (chunk + 1) * slots // chunks
        for t in range(stop - 1, first - 1, -1):
            here = t - first
            if t == slots - 1:
                error[here] = np.float32(0.0)
            else:
                multiply(matrix, 0, hidden, 0, main, error[following], drive)
                _add(drive, hidden, delta)
                _through_activation(delta, hidden, outputs, state[t], gates[t], error[here])
            copy(readout_error[t], error[here, 3 * hidden : main])
            following = here
        done, seen = error[: stop - first], state[first:stop]
        add_gradient(done, seen, total, 0, main, 0)
        add_gradient(done, seen, total, main, main + hidden, hidden)


@njit(cache=True, nogil=True)
def gradient(matrix, inputs, targets, trials, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors of a batch, and in the last buffer the gradient of the mean."""
    transposed, state, gates, drive, readout, delta, error, total, out = work
    hidden = delta.shape[0]
    copy(matrix.T, transposed)
    total[:] = np.float32(0.0)
    scale = np.float32(2.0 / max(1, asked(targets, trials)))
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        gather(inputs, block, hidden, state)
        _forward(transposed, hidden, state, gates, drive, readout)
        squares += to_error(targets, block, scale, readout)
        _backward(matrix, hidden, state, gates, readout, drive, delta, error, total)
    sum_lanes(total, out)
    return squares


@njit(cache=True, nogil=True)
def squared_error(matrix, inputs, targets, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors over all trials (no gradient)."""
    transposed, state, gates, drive, readout, delta = work[:6]
    hidden = delta.shape[0]
    copy(matrix.T, transposed)
    trials = np.arange(inputs.shape[2])
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        gather(inputs, block, hidden, state)
        _forward(transposed, hidden, state, gates, drive, readout)
        squares += to_error(targets, block, np.float32(1.0), readout)
    return squares


@njit(cache=True, nogil=True)
def asked_outputs(matrix, inputs, first, last, work, out):  # type: ignore[no-untyped-def]
    """Mean output in the steps from ``first`` to before ``last`` of each trial, (trial, output)."""
    transposed, state, gates, drive, readout, delta = work[:6]
    copy(matrix.T, transposed)
    trials = np.arange(inputs.shape[2])
    for start in range(0, trials.size, BLOCK):
        block = trials[start : start + BLOCK]
        gather(inputs, block, delta.shape[0], state)
        _forward(transposed, delta.shape[0], state, gates, drive, readout)
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
    """Buffers of one network: transposed matrix, state, gates, drive, readout, delta, error,
    sums, gradient.

    Examples
    --------
    >>> *own, sums, gradient = workspace(20, inputs=2, outputs=1, steps=150)
    >>> [buffer.shape for buffer in own]
    [(23, 81), (151, 23, 32), (150, 80, 32), (81, 32), (151, 1, 32), (20, 32), (50, 81, 32)]
    >>> sums.shape[:2] == gradient.shape == (81, 23)
    True
    """
    rows, columns, slots = 4 * hidden + outputs, hidden + inputs + 1, steps + 1
    return (
        aligned(columns, rows),
        aligned(slots, columns, BLOCK),
        aligned(steps, 4 * hidden, BLOCK),
        aligned(rows, BLOCK),
        aligned(slots, outputs, BLOCK),
        aligned(hidden, BLOCK),
        aligned(min(CHUNK, slots), rows, BLOCK),
        aligned(rows, columns, LANES),
        aligned(rows, columns),
    )
