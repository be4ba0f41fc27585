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

A network is trained on one core and stays in its cache. Arrays are laid out (slot, row, trial)
with 32 trials in a block, two vectors of 16 lanes, so that every operation is a whole vector of
trials. The two products that take the time are written as LLVM vectors, register tile by
register tile; LLVM maps them to what the machine has. The rest is plain loops.

The vector code lives in this file with its callers because Numba's cache looks at the caller's
file only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["BLOCK", "adam_steps", "aligned", "gradient", "squared_error", "workspace"]

LANES = 16
VECTORS = 2
BLOCK = LANES * VECTORS  # trials that are worked on at once

# Register tiles: accumulators, operands and a broadcast must fit 32 vector registers.
PRODUCT_ROWS = 12  # x 2 vectors of trials
GRADIENT_ROWS = 5  # x 5
CHUNK = 50  # slots whose errors are kept until the gradient takes them in; fits the L2 cache

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_FLOAT_POINTER = types.CPointer(types.float32)

# --------------------------------------------------------------------------- vectors


@intrinsic
def _address(typingctx: Any, array: Any, index: Any) -> Any:
    """Where an element of an array is."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        indices = cgutils.unpack_tuple(builder, args[1])
        return cgutils.get_item_pointer(
            context, builder, signature.args[0], struct, indices, wraparound=False
        )

    return _FLOAT_POINTER(array, types.UniTuple(types.intp, array.ndim)), codegen


def _load(builder: Any, pointer: Any, offset: Any) -> Any:
    vector = builder.bitcast(builder.gep(pointer, [offset]), _VECTOR.as_pointer())
    return builder.load(vector, align=4)


def _store(builder: Any, value: Any, pointer: Any, offset: Any) -> None:
    vector = builder.bitcast(builder.gep(pointer, [offset]), _VECTOR.as_pointer())
    builder.store(value, vector, align=4)


def _broadcast(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, mask)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
    return builder.call(function, [a, b, c])


def _int(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _for_each_size(builder: Any, size: Any, largest: int, emit: Callable[[int], None]) -> None:
    """A switch with one unrolled body for each tile size up to the largest."""
    after = builder.append_basic_block("after")
    switch = builder.switch(size, after)
    for n in range(1, largest + 1):
        body = builder.append_basic_block(f"size_{n}")
        switch.add_case(_int(n), body)
        builder.position_at_end(body)
        emit(n)
        builder.branch(after)
    builder.position_at_end(after)


@intrinsic
def _product_tile(
    typingctx: Any, rows: Any, weights: Any, stride: Any, depth: Any, source: Any, out: Any
) -> Any:
    """``out[r] = sum over k of weights[k * stride + r] * source[k]``, vectors of trials."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, weights, stride, depth, source, out = args

        def emit(n: int) -> None:
            zero = ir.Constant(_VECTOR, [ir.Constant(ir.FloatType(), 0.0)] * LANES)
            # Stack slots; LLVM makes registers of them.
            total = [
                [cgutils.alloca_once_value(builder, zero) for _ in range(VECTORS)] for _ in range(n)
            ]
            for row in total:
                for slot in row:
                    builder.store(zero, slot)
            with cgutils.for_range(builder, depth) as loop:
                first = builder.mul(loop.index, _int(BLOCK))
                x = [
                    _load(builder, source, builder.add(first, _int(v * LANES)))
                    for v in range(VECTORS)
                ]
                column = builder.gep(weights, [builder.mul(loop.index, stride)])
                for r in range(n):
                    w = _broadcast(builder, builder.load(builder.gep(column, [_int(r)])))
                    for v in range(VECTORS):
                        slot = total[r][v]
                        builder.store(_fma(builder, w, x[v], builder.load(slot)), slot)
            for r in range(n):
                for v in range(VECTORS):
                    _store(builder, builder.load(total[r][v]), out, _int(r * BLOCK + v * LANES))

        _for_each_size(builder, rows, PRODUCT_ROWS, emit)
        return context.get_dummy_value()

    number, pointer = types.intp, _FLOAT_POINTER
    return types.void(number, pointer, number, number, pointer, pointer), codegen


@intrinsic
def _gradient_tile(
    typingctx: Any,
    rows: Any,
    columns: Any,
    slots: Any,
    error: Any,
    error_stride: Any,
    state: Any,
    state_stride: Any,
    total: Any,
    total_stride: Any,
) -> Any:
    """``total[r, c] += sum over slots and trials of error[r] * state[c]``, lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, columns, slots, error, error_stride, state, state_stride, total, total_stride = args

        def emit(n: int, m: int) -> None:
            def place(r: int, c: int) -> Any:
                return builder.add(builder.mul(total_stride, _int(r)), _int(c * LANES))

            sums = [[cgutils.alloca_once(builder, _VECTOR) for c in range(m)] for r in range(n)]
            for r in range(n):
                for c in range(m):
                    builder.store(_load(builder, total, place(r, c)), sums[r][c])
            with cgutils.for_range(builder, slots) as loop:
                e = builder.gep(error, [builder.mul(loop.index, error_stride)])
                s = builder.gep(state, [builder.mul(loop.index, state_stride)])
                for v in range(VECTORS):
                    left = [_load(builder, e, _int(r * BLOCK + v * LANES)) for r in range(n)]
                    for c in range(m):
                        right = _load(builder, s, _int(c * BLOCK + v * LANES))
                        for r in range(n):
                            slot = sums[r][c]
                            builder.store(_fma(builder, left[r], right, builder.load(slot)), slot)
            for r in range(n):
                for c in range(m):
                    _store(builder, builder.load(sums[r][c]), total, place(r, c))

        _for_each_size(
            builder,
            rows,
            GRADIENT_ROWS,
            lambda n: _for_each_size(builder, columns, GRADIENT_ROWS, lambda m: emit(n, m)),
        )
        return context.get_dummy_value()

    number, pointer = types.intp, _FLOAT_POINTER
    return (
        types.void(number, number, number, pointer, number, pointer, number, pointer, number),
        codegen,
    )


# --------------------------------------------------------------------------- products


@njit(cache=True, nogil=True)
def _multiply(weights, rows, source, out):  # type: ignore[no-untyped-def]
    """``out[:rows] = weights[:, :rows].T @ source`` for one block of trials."""
    depth, stride = weights.shape
    tiles = (rows + PRODUCT_ROWS - 1) // PRODUCT_ROWS
    for tile in range(tiles):
        first, last = tile * rows // tiles, (tile + 1) * rows // tiles
        _product_tile(
            last - first,
            _address(weights, (0, first)),
            stride,
            depth,
            _address(source, (0, 0)),
            _address(out, (first, 0)),
        )


@njit(cache=True, nogil=True)
def _add_gradient(error, state, total):  # type: ignore[no-untyped-def]
    """``total += error @ state.T`` summed over slots; each lane keeps its own sum."""
    slots, rows, columns = error.shape[0], error.shape[1], state.shape[1]
    row_tiles = (rows + GRADIENT_ROWS - 1) // GRADIENT_ROWS
    column_tiles = (columns + GRADIENT_ROWS - 1) // GRADIENT_ROWS
    for i in range(row_tiles):
        row, next_row = i * rows // row_tiles, (i + 1) * rows // row_tiles
        for j in range(column_tiles):
            column = j * columns // column_tiles
            next_column = (j + 1) * columns // column_tiles
            _gradient_tile(
                next_row - row,
                next_column - column,
                slots,
                _address(error, (0, row, 0)),
                rows * BLOCK,
                _address(state, (0, column, 0)),
                columns * BLOCK,
                _address(total, (row, column, 0)),
                columns * LANES,
            )


# --------------------------------------------------------------------------- plain loops


# tanh(x) is x P(x^2) / Q(x^2) on [-8, 8], by reweighted least squares: within 5e-7 in float32.
P0, P1, P2, P3 = (
    0.9999998807907104,
    0.12925660610198975,
    0.0029510215390473604,
    1.1428401194280013e-05,
)
Q1, Q2, Q3, Q4 = (
    0.46258875727653503,
    0.023815544322133064,
    0.00023866885749157518,
    2.4592040404058935e-07,
)


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _tanh(x):  # type: ignore[no-untyped-def]
    limit = np.float32(8.0)  # compared so that NaN stays NaN
    x = limit if x > limit else x
    x = -limit if x < -limit else x
    z = x * x
    p = np.float32(P3)
    p = p * z + np.float32(P2)
    p = p * z + np.float32(P1)
    p = p * z + np.float32(P0)
    q = np.float32(Q4)
    q = q * z + np.float32(Q3)
    q = q * z + np.float32(Q2)
    q = q * z + np.float32(Q1)
    q = q * z + np.float32(1.0)
    return x * p / q


# One flat loop each, in NumPy's error model: LLVM leaves a nest of short loops, or a loop that may
# raise on a division by zero, in scalars.


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _activate(drive, hidden, state):  # type: ignore[no-untyped-def]
    source, out = drive.reshape(-1), state.reshape(-1)
    for k in range(hidden * BLOCK):
        out[k] = _tanh(source[k])


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _through_activation(drive, hidden, state, error):  # type: ignore[no-untyped-def]
    """Error before the tanh from that after it."""
    source, h, out = drive.reshape(-1), state.reshape(-1), error.reshape(-1)
    for k in range(hidden * BLOCK):
        out[k] = source[k] * (np.float32(1.0) - h[k] * h[k])


@njit(cache=True, nogil=True)
def _gather(inputs, trials, hidden, state):  # type: ignore[no-untyped-def]
    """Inputs of these trials and the constant 1 into the state; lanes without a trial get 0."""
    steps, channels, _ = inputs.shape
    state[0, :hidden] = np.float32(0.0)
    state[:, hidden:] = np.float32(0.0)
    state[:, hidden + channels] = np.float32(1.0)
    for t in range(steps):
        for i in range(channels):
            for k in range(trials.size):
                state[t, hidden + i, k] = inputs[t, i, trials[k]]


@njit(cache=True, nogil=True)
def _forward(transposed, outputs, state, drive, readout):  # type: ignore[no-untyped-def]
    """Fill ``state`` (slot, row, lane) and ``readout`` (slot, output, lane), one slot late."""
    rows = transposed.shape[1]
    hidden = rows - outputs
    last = state.shape[0] - 1
    for t in range(last + 1):
        _multiply(transposed, rows, state[t], drive)
        if t < last:
            _activate(drive, hidden, state[t + 1])
        readout[t] = drive[hidden:]


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
                _multiply(matrix, hidden, error[following], drive)
                _through_activation(drive, hidden, state[t + 1], error[here])
            error[here, hidden:] = readout_error[t]
            following = here
        _add_gradient(error[: stop - first], state[first:stop], total)


@njit(cache=True, nogil=True)
def _to_error(targets, trials, scale, readout):  # type: ignore[no-untyped-def]
    """Squared error of a block of trials; the readout becomes ``scale`` times its error."""
    steps, outputs, _ = targets.shape
    squares = 0.0
    readout[0] = np.float32(0.0)
    for t in range(steps):
        for o in range(outputs):
            row = readout[t + 1, o]
            for k in range(trials.size):
                row[k] -= targets[t, o, trials[k]]
                squares += row[k] * row[k]
                row[k] *= scale
            row[trials.size :] = np.float32(0.0)
    return squares


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _sum_lanes(total, out):  # type: ignore[no-untyped-def]
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            s = np.float32(0.0)
            for lane in range(LANES):
                s += total[r, c, lane]
            out[r, c] = s


@njit(cache=True, nogil=True)
def gradient(matrix, inputs, targets, trials, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors of a batch, and in ``work[6]`` the mean's gradient by the matrix."""
    transposed, state, drive, readout, error, total, out = work
    outputs = targets.shape[1]
    hidden = matrix.shape[0] - outputs
    transposed[:] = matrix.T
    total[:] = np.float32(0.0)
    scale = np.float32(2.0 / (trials.size * targets.shape[0] * outputs))
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        _gather(inputs, block, hidden, state)
        _forward(transposed, outputs, state, drive, readout)
        squares += _to_error(targets, block, scale, readout)
        _backward(matrix, state, readout, drive, error, total)
    _sum_lanes(total, out)
    return squares


@njit(cache=True, nogil=True)
def squared_error(matrix, inputs, targets, work):  # type: ignore[no-untyped-def]
    """Sum of squared errors over all trials (no gradient)."""
    transposed, state, drive, readout = work[:4]
    outputs = targets.shape[1]
    hidden = matrix.shape[0] - outputs
    transposed[:] = matrix.T
    trials = np.arange(inputs.shape[2])
    squares = 0.0
    for first in range(0, trials.size, BLOCK):
        block = trials[first : first + BLOCK]
        _gather(inputs, block, hidden, state)
        _forward(transposed, outputs, state, drive, readout)
        squares += _to_error(targets, block, np.float32(1.0), readout)
    return squares


@njit(cache=True, nogil=True, error_model="numpy")
def adam_steps(  # type: ignore[no-untyped-def]
    matrix,
    first_moment,
    second_moment,
    steps_before,
    copies,
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
    """One Adam step for each row of ``batches``; returns the batch losses.

    Clipping is by the norm of the whole gradient and Adam is torch's (Kingma & Ba 2015).
    ``copies`` says how many of torch's parameters an element of the matrix stands for: 0 where
    the matrix is always zero, 2 for the sum of the two biases, else 1.
    """
    grad = work[6]
    losses = np.empty(len(batches))
    size = batches.shape[1] * targets.shape[0] * targets.shape[1]
    for step in range(len(batches)):
        squares = gradient(matrix, inputs, targets, batches[step], work)
        losses[step] = squares / size
        norm = 0.0
        for r in range(matrix.shape[0]):
            for c in range(matrix.shape[1]):
                norm += copies[r, c] * grad[r, c] * grad[r, c]
        scale = np.float32(min(1.0, clip / (np.sqrt(norm) + 1e-6)))
        done = steps_before + step + 1
        rate = np.float32(rates[step] / (1.0 - beta1**done))
        correction = np.float32(1.0 / np.sqrt(1.0 - beta2**done))
        keep1, keep2 = np.float32(beta1), np.float32(beta2)
        add1, add2 = np.float32(1.0 - beta1), np.float32(1.0 - beta2)
        eps = np.float32(epsilon)
        for r in range(matrix.shape[0]):
            for c in range(matrix.shape[1]):
                g = grad[r, c] * scale
                m = keep1 * first_moment[r, c] + add1 * g
                v = keep2 * second_moment[r, c] + add2 * g * g
                first_moment[r, c] = m
                second_moment[r, c] = v
                matrix[r, c] -= copies[r, c] * rate * m / (np.sqrt(v) * correction + eps)
    return losses


# --------------------------------------------------------------------------- from NumPy


def aligned(*shape: int) -> NDArray[np.float32]:
    """Zeros that start at a cache line, so that no vector straddles two.

    Examples
    --------
    >>> aligned(3, 5).ctypes.data % 64
    0
    """
    raw = np.zeros(int(np.prod(shape)) + LANES, np.float32)
    skip = (-raw.ctypes.data // raw.itemsize) % LANES
    return raw[skip : skip + int(np.prod(shape))].reshape(shape)


def workspace(hidden: int, inputs: int, outputs: int, steps: int) -> tuple[NDArray[Any], ...]:
    """Buffers of one network: transposed matrix, state, drive, readout, error, sums, gradient.

    Examples
    --------
    >>> [buffer.shape for buffer in workspace(20, inputs=2, outputs=1, steps=150)]
    [(23, 21), (151, 23, 32), (21, 32), (151, 1, 32), (50, 21, 32), (21, 23, 16), (21, 23)]
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
