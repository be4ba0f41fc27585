"""What the compiled kernels of the three cells share: vectors, products, batches, Adam.

A network is trained on one core and stays in its cache. Arrays have the order (slot, row, trial)
with 32 trials in a block, so that every operation is a whole vector of trials: two of 16 lanes with
AVX-512, four of 8 with AVX2, eight of 4 elsewhere. The two products that take the time are written
as LLVM vectors, register tile by register tile (see `vectors`). The rest is plain loops.

Numba's cache looks at the file of the function that is called from Python only: after a change
here, delete ``__pycache__``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numpy.typing import NDArray

from solspace.networks.fused import fma, multiply_add
from solspace.networks.vectors import broadcast, load, place_of, store, switch
from solspace.training.vectors import BLOCK, tiles

__all__ = [
    "BLOCK",
    "CHUNK",
    "LANES",
    "adam",
    "add_gradient",
    "aligned",
    "asked",
    "copy",
    "gather",
    "multiply",
    "sigmoid",
    "sum_lanes",
    "tanh",
    "to_error",
]

_TILES = tiles()
LANES = _TILES.lanes
VECTORS = BLOCK // LANES
PRODUCT_ROWS, PRODUCT_VECTORS = _TILES.product_rows, _TILES.product_vectors
GRADIENT_ROWS, GRADIENT_COLUMNS = _TILES.gradient_rows, _TILES.gradient_columns
PRODUCT_TRIALS = PRODUCT_VECTORS * LANES  # of the block, in one tile
CACHE_LINE = 16  # float32
CHUNK = 50  # slots whose errors are kept until the gradient takes them in; fits the L2 cache

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_FLOAT_POINTER = types.CPointer(types.float32)
_load, _broadcast = partial(load, kind=_VECTOR), partial(broadcast, kind=_VECTOR)

# --------------------------------------------------------------------------- vectors


@intrinsic
def _address(typingctx: Any, array: Any, index: Any) -> Any:
    """Where an element of an array of float32 is."""

    if array.dtype != types.float32:
        raise TypingError(f"an array of {array.dtype}; give float32")
    return _FLOAT_POINTER(array, types.UniTuple(types.intp, array.ndim)), place_of


@intrinsic
def _sum_vector(typingctx: Any, pointer: Any) -> Any:
    """The sum of one vector, its halves added until one element is left."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, left = _load(builder, args[0], _int(0)), LANES
        while left > 1:
            left //= 2
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), left), list(range(k, k + left)))
                for k in (0, left)
            )
            undefined = ir.Constant(vector.type, ir.Undefined)
            vector = builder.fadd(
                builder.shuffle_vector(vector, undefined, low),
                builder.shuffle_vector(vector, undefined, high),
            )
        return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    return types.float32(pointer), codegen


def _int(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


@intrinsic
def _product_tile(
    typingctx: Any, rows: Any, weights: Any, stride: Any, depth: Any, source: Any, out: Any
) -> Any:
    """``out[r] = sum over k of weights[k * stride + r] * source[k]``, some vectors of trials."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, weights, stride, depth, source, out = args

        def emit(n: int) -> None:
            zero = ir.Constant(_VECTOR, [ir.Constant(ir.FloatType(), 0.0)] * LANES)
            # Stack slots; LLVM makes registers of them.
            total = [
                [cgutils.alloca_once_value(builder, zero) for _ in range(PRODUCT_VECTORS)]
                for _ in range(n)
            ]
            for row in total:
                for slot in row:
                    builder.store(zero, slot)
            with cgutils.for_range(builder, depth) as loop:
                first = builder.mul(loop.index, _int(BLOCK))
                x = [
                    _load(builder, source, builder.add(first, _int(v * LANES)))
                    for v in range(PRODUCT_VECTORS)
                ]
                column = builder.gep(weights, [builder.mul(loop.index, stride)])
                for r in range(n):
                    w = _broadcast(builder, builder.load(builder.gep(column, [_int(r)])))
                    for v in range(PRODUCT_VECTORS):
                        slot = total[r][v]
                        builder.store(multiply_add(builder, w, x[v], builder.load(slot)), slot)
            for r in range(n):
                for v in range(PRODUCT_VECTORS):
                    store(builder, builder.load(total[r][v]), out, _int(r * BLOCK + v * LANES))

        switch(builder, rows, range(1, PRODUCT_ROWS + 1), emit)
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
                            builder.store(
                                multiply_add(builder, left[r], right, builder.load(slot)), slot
                            )
            for r in range(n):
                for c in range(m):
                    store(builder, builder.load(sums[r][c]), total, place(r, c))

        def emit_rows(n: int) -> None:
            sizes = range(1, GRADIENT_COLUMNS + 1)
            switch(builder, columns, sizes, lambda m: emit(n, m))

        switch(builder, rows, range(1, GRADIENT_ROWS + 1), emit_rows)
        return context.get_dummy_value()

    number, pointer = types.intp, _FLOAT_POINTER
    return (
        types.void(number, number, number, pointer, number, pointer, number, pointer, number),
        codegen,
    )


# --------------------------------------------------------------------------- products


@njit(cache=True, nogil=True)
def multiply(weights, first_row, last_row, first_k, last_k, source, out):  # type: ignore[no-untyped-def]
    """``out[r] = sum of weights[k, r] * source[k]`` for a range of rows r and a range of k."""
    rows, stride = last_row - first_row, weights.shape[1]
    tiles = (rows + PRODUCT_ROWS - 1) // PRODUCT_ROWS
    for tile in range(tiles):
        first = first_row + tile * rows // tiles
        last = first_row + (tile + 1) * rows // tiles
        for trial in range(0, BLOCK, PRODUCT_TRIALS):
            _product_tile(
                last - first,
                _address(weights, (first_k, first)),
                stride,
                last_k - first_k,
                _address(source, (first_k, trial)),
                _address(out, (first, trial)),
            )


@njit(cache=True, nogil=True)
def add_gradient(error, state, total, first_row, last_row, first_column):  # type: ignore[no-untyped-def]
    """``total += error @ state.T`` summed over slots, for some rows and from some column on.

    Each lane keeps its own sum.
    """
    slots, rows, columns = error.shape[0], last_row - first_row, state.shape[1] - first_column
    row_tiles = (rows + GRADIENT_ROWS - 1) // GRADIENT_ROWS
    column_tiles = (columns + GRADIENT_COLUMNS - 1) // GRADIENT_COLUMNS
    for i in range(row_tiles):
        row = first_row + i * rows // row_tiles
        next_row = first_row + (i + 1) * rows // row_tiles
        for j in range(column_tiles):
            column = first_column + j * columns // column_tiles
            next_column = first_column + (j + 1) * columns // column_tiles
            _gradient_tile(
                next_row - row,
                next_column - column,
                slots,
                _address(error, (0, row, 0)),
                error.shape[1] * BLOCK,
                _address(state, (0, column, 0)),
                state.shape[1] * BLOCK,
                _address(total, (row, column, 0)),
                total.shape[1] * LANES,
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


@njit(cache=True, nogil=True, error_model="numpy")
def tanh(x):  # type: ignore[no-untyped-def]
    limit = np.float32(8.0)  # compared so that NaN stays NaN
    x = limit if x > limit else x
    x = -limit if x < -limit else x
    z = x * x
    p = np.float32(P3)
    p = fma(p, z, np.float32(P2))
    p = fma(p, z, np.float32(P1))
    p = fma(p, z, np.float32(P0))
    q = np.float32(Q4)
    q = fma(q, z, np.float32(Q3))
    q = fma(q, z, np.float32(Q2))
    q = fma(q, z, np.float32(Q1))
    q = fma(q, z, np.float32(1.0))
    return x * p / q


@njit(cache=True, nogil=True, error_model="numpy")
def sigmoid(x):  # type: ignore[no-untyped-def]
    half = np.float32(0.5)
    return fma(half, tanh(half * x), half)


@njit(cache=True, nogil=True)
def copy(source, out):  # type: ignore[no-untyped-def]
    """``out[:] = source`` of the same shape, compiled without Numba's message on other shapes."""
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[r, c] = source[r, c]


@njit(cache=True, nogil=True)
def gather(inputs, trials, hidden, state):  # type: ignore[no-untyped-def]
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
def asked(targets, trials):  # type: ignore[no-untyped-def]
    """How many outputs are asked for in these trials: those whose target is no NaN."""
    steps, outputs, _ = targets.shape
    found = 0
    for t in range(steps):
        for o in range(outputs):
            for k in range(trials.size):
                target = targets[t, o, trials[k]]
                found += target == target
    return found


@njit(cache=True, nogil=True)
def to_error(targets, trials, scale, readout):  # type: ignore[no-untyped-def]
    """Squared error of a block of trials; the readout becomes ``scale`` times its error.

    Where the target is NaN nothing is asked for, and the error is zero.
    """
    steps, outputs, _ = targets.shape
    squares = 0.0
    readout[0] = np.float32(0.0)
    for t in range(steps):
        for o in range(outputs):
            row = readout[t + 1, o]
            for k in range(trials.size):
                target = targets[t, o, trials[k]]
                row[k] = row[k] - target if target == target else np.float32(0.0)
                squares += row[k] * row[k]
                row[k] *= scale
            row[trials.size :] = np.float32(0.0)
    return squares


@njit(cache=True, nogil=True)
def sum_lanes(total, out):  # type: ignore[no-untyped-def]
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[r, c] = _sum_vector(_address(total, (r, c, 0)))


@njit(cache=True, nogil=True, error_model="numpy")
def adam(matrix, moments, copies, grad, done, rate, beta1, beta2, epsilon, clip):  # type: ignore[no-untyped-def]
    """One step of torch's Adam (Kingma & Ba 2015), the gradient clipped by its norm before.

    ``copies`` says how many of torch's parameters an element of the matrix stands for: 0 where
    the matrix is always zero, 2 for a sum of two biases, else 1. ``done`` counts this step too.
    """
    norm = 0.0
    for r in range(matrix.shape[0]):
        for c in range(matrix.shape[1]):
            norm += copies[r, c] * grad[r, c] * grad[r, c]
    scale = np.float32(min(1.0, clip / (np.sqrt(norm) + 1e-6)))
    rate = np.float32(rate / (1.0 - beta1**done))
    correction = np.float32(1.0 / np.sqrt(1.0 - beta2**done))
    keep1, keep2 = np.float32(beta1), np.float32(beta2)
    add1, add2 = np.float32(1.0 - beta1), np.float32(1.0 - beta2)
    eps = np.float32(epsilon)
    for r in range(matrix.shape[0]):
        for c in range(matrix.shape[1]):
            g = grad[r, c] * scale
            m = keep1 * moments[0, r, c] + add1 * g
            v = keep2 * moments[1, r, c] + add2 * g * g
            moments[0, r, c] = m
            moments[1, r, c] = v
            matrix[r, c] -= copies[r, c] * rate * m / (np.sqrt(v) * correction + eps)


# --------------------------------------------------------------------------- from NumPy


def aligned(*shape: int) -> NDArray[np.float32]:
    """Zeros that start at a cache line, so that no vector straddles two.

    Examples
    --------
    >>> aligned(3, 5).ctypes.data % 64
    0
    """
    raw = np.zeros(int(np.prod(shape)) + CACHE_LINE, np.float32)
    skip = (-raw.ctypes.data // raw.itemsize) % CACHE_LINE
    return raw[skip : skip + int(np.prod(shape))].reshape(shape)
