"""Systems of equations of eight units at once, by Cholesky's factors, a unit a lane.

LAPACK factors one matrix of a hundred rows at a fifth of what the processor can do. With a unit in
each lane of a vector every operation is whole vectors, whatever the size. Numba's cache looks at
the file of the function that is called from Python only: after a change of
``solspace.networks.vectors`` delete ``__pycache__``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from solspace.networks.vectors import LANES, VECTOR, Vector, address, load, store, switch

__all__ = ["factor_and_solve", "solve_again"]

ROWS, COLUMNS = 3, 2  # of a tile: six sums and what is added to them fill the registers of AVX2


@intrinsic
def _tile(
    typingctx: Any, rows: Any, columns: Any, depth: Any, left: Any, right: Any, stride: Any,
    inverse: Any,
) -> Any:  # fmt: skip
    """Next columns of some rows of Cholesky's factor, of vectors of units.

    ``left[r, depth + c] = (left[r, depth + c] - sum over k < depth + c of left[r, k] right[c, k])
    inverse[c]``.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, columns, depth, left, right, stride, inverse = args

        def at(pointer: Any, row: int) -> Any:
            offset = builder.mul(stride, ir.Constant(ir.IntType(64), row))
            return builder.gep(pointer, [offset])

        def place(index: Any, more: int = 0) -> Any:
            index = builder.add(index, ir.Constant(ir.IntType(64), more))
            return builder.mul(index, ir.Constant(ir.IntType(64), LANES))

        def emit(n: int, m: int) -> None:
            zero = ir.Constant(VECTOR, [ir.Constant(ir.DoubleType(), 0.0)] * LANES)
            sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(m)] for _ in range(n)]
            for row in sums:
                for slot in row:
                    builder.store(zero, slot)
            ours, theirs = [at(left, r) for r in range(n)], [at(right, c) for c in range(m)]
            with cgutils.for_range(builder, depth) as loop:
                k = place(loop.index)
                a = [Vector(builder, load(builder, p, k)) for p in ours]
                b = [Vector(builder, load(builder, p, k)) for p in theirs]
                for r in range(n):
                    for c in range(m):
                        slot = sums[r][c]
                        more = a[r].times_plus(b[c], Vector(builder, builder.load(slot)))
                        builder.store(more.value, slot)
            for r in range(n):
                made: list[Vector] = []
                for c in range(m):
                    here = place(depth, c)
                    value = Vector(builder, load(builder, ours[r], here))
                    value = value - Vector(builder, builder.load(sums[r][c]))
                    for before, known in enumerate(made):
                        factor = Vector(builder, load(builder, theirs[c], place(depth, before)))
                        value = value - known * factor
                    scale = Vector(
                        builder, load(builder, inverse, ir.Constant(ir.IntType(64), c * LANES))
                    )
                    made.append(value * scale)
                    store(builder, made[-1].value, ours[r], here)

        def emit_rows(n: int) -> None:
            switch(builder, columns, range(1, COLUMNS + 1), lambda m: emit(n, m))

        switch(builder, rows, range(1, ROWS + 1), emit_rows)
        return context.get_dummy_value()

    number, pointer = types.intp, types.CPointer(types.float64)
    return types.void(number, number, number, pointer, pointer, number, pointer), codegen


@njit(nogil=True)
def factor_and_solve(a, inverse, out):  # type: ignore[no-untyped-def]
    """Solve ``matrix x = b`` of eight units, in place.

    ``a`` (row, column, lane) has the lower triangles and as its last row b; ``inverse``
    (row, lane) is for the inverses of the diagonal, not above zero where a matrix is not positive.
    """
    n = a.shape[1]
    stride = n * LANES
    ones = np.ones(LANES)
    for first in range(0, n + 1, ROWS):
        rows = min(ROWS, n + 1 - first)
        for j in range(0, first, COLUMNS):
            _tile(
                rows, min(COLUMNS, first - j), j, address(a, (first, 0, 0)), address(a, (j, 0, 0)),
                stride, address(inverse, (j, 0)),
            )  # fmt: skip
        for i in range(first, first + rows):
            here = address(a, (i, 0, 0))
            for j in range(first, min(i, n)):
                _tile(1, 1, j, here, address(a, (j, 0, 0)), stride, address(inverse, (j, 0)))
            if i < n:
                _tile(1, 1, i, here, here, stride, address(ones, (0,)))
                for u in range(LANES):
                    pivot = a[i, i, u]
                    inverse[i, u] = 1 / np.sqrt(pivot) if pivot > 0 else 0.0
    _back(a, inverse, out)


@njit(nogil=True)
def solve_again(a, inverse, out):  # type: ignore[no-untyped-def]
    """The same for another b, the last row of ``a``, whose other rows are factors by now."""
    n = a.shape[1]
    for j in range(0, n, COLUMNS):
        _tile(
            1, min(COLUMNS, n - j), j, address(a, (n, 0, 0)), address(a, (j, 0, 0)), n * LANES,
            address(inverse, (j, 0)),
        )  # fmt: skip
    _back(a, inverse, out)


@njit(nogil=True)
def _back(a, inverse, out):  # type: ignore[no-untyped-def]
    n = a.shape[1]
    left = a[n]  # what is left of the right side, from the last unknown backwards
    for i in range(n - 1, -1, -1):
        row = a[i]
        for u in range(LANES):
            out[i, u] = left[i, u] * inverse[i, u]
        for k in range(i):
            for u in range(LANES):
                left[k, u] -= row[k, u] * out[i, u]
