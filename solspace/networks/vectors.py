"""Vectors of eight float64 in compiled loops: products of matrices, tanh and the logistic function.

Written as LLVM vectors, operation by operation, so that every number goes through the same
operations whichever others stand beside it: a trial's values do not depend on how many trials are
run, nor a unit's on how many units there are, and processors with AVX2 and AVX-512 give the same
bits. LLVM maps eight lanes to what the machine has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from solspace.networks.fused import multiply_add

__all__ = [
    "LANES",
    "ROWS",
    "VECTOR",
    "Vector",
    "add_tile",
    "address",
    "broadcast",
    "elementwise",
    "load",
    "padded",
    "place_of",
    "sigmoid",
    "store",
    "switch",
    "tanh",
]

LANES = 8
# Accumulators of a tile of a product: with the operands they fill the 16 registers of AVX2.
ROWS = 6

_DOUBLE = ir.DoubleType()
VECTOR = ir.VectorType(_DOUBLE, LANES)
_INTS = ir.VectorType(ir.IntType(64), LANES)
_POINTER = types.CPointer(types.float64)


def padded(length: int) -> int:
    """Length of whole vectors that hold so many numbers.

    Examples
    --------
    >>> padded(20), padded(24)
    (24, 24)
    """
    return -(-length // LANES) * LANES


def _int(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


class Vector:
    """Eight numbers while code is made for them: operators write LLVM's instructions.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
    value : llvmlite.ir.Value
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _as_value(self, other: Vector | float) -> Any:
        return other.value if isinstance(other, Vector) else ir.Constant(VECTOR, [other] * LANES)

    def _made(self, value: Any) -> Vector:
        return Vector(self.builder, value)

    def _call(self, name: str, *args: Any) -> Vector:
        kind = ir.FunctionType(VECTOR, [VECTOR] * len(args))
        called = f"llvm.{name}.v{LANES}f64"
        function = cgutils.get_or_insert_function(self.builder.module, kind, called)
        return self._made(self.builder.call(function, args))

    def __add__(self, other: Vector | float) -> Vector:
        return self._made(self.builder.fadd(self.value, self._as_value(other)))

    def __sub__(self, other: Vector | float) -> Vector:
        return self._made(self.builder.fsub(self.value, self._as_value(other)))

    def __rsub__(self, other: float) -> Vector:
        return self._made(self.builder.fsub(self._as_value(other), self.value))

    def __mul__(self, other: Vector | float) -> Vector:
        return self._made(self.builder.fmul(self.value, self._as_value(other)))

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._made(self.builder.fdiv(self.value, self._as_value(other)))

    def __rtruediv__(self, other: float) -> Vector:
        return self._made(self.builder.fdiv(self._as_value(other), self.value))

    def __neg__(self) -> Vector:
        return self._made(self.builder.fneg(self.value))

    def times_plus(self, factor: Vector | float, added: Vector | float) -> Vector:
        """``self * factor + added``, rounded once where the processor can."""
        values = (self.value, self._as_value(factor), self._as_value(added))
        return self._made(multiply_add(self.builder, *values))

    def at_most(self, limit: float) -> Vector:
        """The smaller one; NaN stays NaN."""
        other = self._as_value(limit)
        return self._made(
            self.builder.select(
                self.builder.fcmp_ordered(">", self.value, other), other, self.value
            )
        )

    def at_least(self, limit: float) -> Vector:
        """The larger one; NaN stays NaN."""
        other = self._as_value(limit)
        return self._made(
            self.builder.select(
                self.builder.fcmp_ordered("<", self.value, other), other, self.value
            )
        )

    def size(self) -> Vector:
        """Without its sign."""
        return self._call("fabs", self.value)

    def signed_as(self, other: Vector) -> Vector:
        """With the sign of another."""
        return self._call("copysign", self.value, other.value)


# exp(r) - 1 is r + r^2 P(r) for |r| up to ln(2) / 2, by interpolation at Chebyshev's points, within
# 4e-17 of itself; exp(x) is 2^k exp(r) with x = k ln(2) + r (Tang, ACM Trans Math Softw 1989).
_P = (
    0.5000000000000001, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062,
    0.0013888888917213717, 0.00019841269863053618, 2.4801521295954376e-05,
    2.7557268459997064e-06, 2.7620088445409746e-07, 2.510038549551032e-08,
)  # fmt: skip
# ln(2), the first part of so few bits that k of them are exact.
_LN2, _LN2_REST = 0.6931471803691238, 1.9082149292705877e-10
_PER_LN2 = 1.4426950408889634
_TO_INTEGER = 1.5 * 2.0**52  # added, the last bits are the integer


def _exponential(x: Vector) -> tuple[Vector, Vector]:
    """``2^k`` and ``exp(r) - 1`` of ``exp(x)``."""
    builder = x.builder
    shifted = x.times_plus(_PER_LN2, _TO_INTEGER)
    k = shifted - _TO_INTEGER
    r = (-k).times_plus(_LN2, x)
    r = (-k).times_plus(_LN2_REST, r)
    p = r.times_plus(_P[-1], _P[-2])
    for coefficient in _P[-3::-1]:
        p = p.times_plus(r, coefficient)
    bits = builder.shl(builder.bitcast(shifted.value, _INTS), ir.Constant(_INTS, [52] * LANES))
    one = ir.Constant(_INTS, [0x3FF0000000000000] * LANES)
    scale = Vector(builder, builder.bitcast(builder.add(bits, one), VECTOR))
    return scale, (r * r).times_plus(p, r)


def tanh(x: Vector) -> Vector:
    """``expm1(2 |x|) / (expm1(2 |x|) + 2)`` signed as x, within 2 units of the last place."""
    scale, rest = _exponential((x.size() * 2.0).at_most(44.0))
    grown = scale.times_plus(rest, scale - 1.0)
    return (grown / (grown + 2.0)).signed_as(x)


def sigmoid(x: Vector) -> Vector:
    """``1 / (1 + exp(-x))``, within 2 units of the last place."""
    scale, rest = _exponential((-x).at_most(708.0).at_least(-708.0))
    return 1.0 / (scale.times_plus(rest, scale) + 1.0)


# --------------------------------------------------------------------------- in compiled loops


def place_of(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Where an element of an array is, given the array and a tuple of indices."""
    struct = context.make_array(signature.args[0])(context, builder, args[0])
    indices = cgutils.unpack_tuple(builder, args[1])
    return cgutils.get_item_pointer(
        context, builder, signature.args[0], struct, indices, wraparound=False
    )


@intrinsic
def address(typingctx: Any, array: Any, index: Any) -> Any:
    """Where an element of an array of float64 is."""

    if array.dtype != types.float64:
        raise TypingError(f"an array of {array.dtype}; give float64")
    return _POINTER(array, types.UniTuple(types.intp, array.ndim)), place_of


def load(builder: Any, pointer: Any, offset: Any, kind: Any = VECTOR) -> Any:
    """The vector so many numbers past a pointer, as an LLVM value."""
    vector = builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer())
    return builder.load(vector, align=_bytes(kind))


def store(builder: Any, value: Any, pointer: Any, offset: Any) -> None:
    """Put a vector, an LLVM value, so many numbers past a pointer."""
    vector = builder.bitcast(builder.gep(pointer, [offset]), value.type.as_pointer())
    builder.store(value, vector, align=_bytes(value.type))


def _bytes(kind: Any) -> int:
    """Of one number of a vector: nothing more is asked of where it begins."""
    return 8 if isinstance(kind.element, ir.DoubleType) else 4


def broadcast(builder: Any, scalar: Any, kind: Any = VECTOR) -> Any:
    """A vector of the same number in all places."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, mask)


def switch(builder: Any, size: Any, sizes: Sequence[int], emit: Callable[[int], None]) -> None:
    """One unrolled body for each size."""
    after = builder.append_basic_block("after")
    switch = builder.switch(size, after)
    for n in sizes:
        body = builder.append_basic_block(f"size_{n}")
        switch.add_case(_int(n), body)
        builder.position_at_end(body)
        emit(n)
        builder.branch(after)
    builder.position_at_end(after)


@intrinsic
def add_tile(
    typingctx: Any, rows: Any, vectors: Any, depth: Any, left: Any, left_stride: Any, right: Any,
    right_stride: Any, out: Any, out_stride: Any,
) -> Any:  # fmt: skip
    """``out[r] += sum over k of left[r, k] * right[k]``, of vectors of units, k upwards.

    Up to `ROWS` rows, and as many vectors as there are accumulators left: ``ROWS // rows``. One
    after the other, whatever the tile, so that its shape does not show in the result.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, vectors, depth, left, left_stride, right, right_stride, out, out_stride = args

        def emit(n: int, m: int) -> None:
            def place(r: int, v: int) -> Any:
                return builder.add(builder.mul(out_stride, _int(r)), _int(v * LANES))

            # Stack slots; LLVM makes registers of them.
            total = [[cgutils.alloca_once(builder, VECTOR) for _ in range(m)] for _ in range(n)]
            for r in range(n):
                for v in range(m):
                    builder.store(load(builder, out, place(r, v)), total[r][v])
            starts = [builder.gep(left, [builder.mul(left_stride, _int(r))]) for r in range(n)]
            with cgutils.for_range(builder, depth) as loop:
                row = builder.gep(right, [builder.mul(loop.index, right_stride)])
                w = [load(builder, row, _int(v * LANES)) for v in range(m)]
                for r in range(n):
                    scalar = builder.load(builder.gep(starts[r], [loop.index]))
                    x = Vector(builder, broadcast(builder, scalar))
                    for v in range(m):
                        sum_ = Vector(builder, builder.load(total[r][v]))
                        added = x.times_plus(Vector(builder, w[v]), sum_)
                        builder.store(added.value, total[r][v])
            for r in range(n):
                for v in range(m):
                    store(builder, builder.load(total[r][v]), out, place(r, v))

        def emit_rows(n: int) -> None:
            switch(builder, vectors, range(1, ROWS // n + 1), lambda m: emit(n, m))

        switch(builder, rows, range(1, ROWS + 1), emit_rows)
        return context.get_dummy_value()

    number = types.intp
    return (
        types.void(number, number, number, _POINTER, number, _POINTER, number, _POINTER, number),
        codegen,
    )


def elementwise(function: Callable[..., Any], taken: int, given: int, settings: int = 0) -> Any:
    """What puts a function of vectors in place of numbers, to be called in compiled loops.

    Parameters
    ----------
    function : callable (Vector, ...) -> Vector, or tuple of them
        Of the numbers taken, and after them the settings. By a name of its own in its module.
    taken, given : int
        How many it takes and gives.
    settings : int
        How many more it takes that are the same for all places.

    Returns
    -------
    intrinsic (source, source_stride, out, out_stride, settings, vectors)
        Pointers to the first number of the first that is taken and of the first that is given,
        and how far the next one is; vectors to go through. Results may be put in place of what
        was taken.
    """

    def apply(
        typingctx: Any, source: Any, source_stride: Any, out: Any, out_stride: Any, fixed: Any,
        vectors: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, source_stride, out, out_stride, fixed, vectors = args
            same = [
                Vector(builder, broadcast(builder, builder.load(builder.gep(fixed, [_int(i)]))))
                for i in range(settings)
            ]
            with cgutils.for_range(builder, vectors) as loop:
                first = builder.mul(loop.index, _int(LANES))
                values = [
                    Vector(builder, load(builder, source, builder.add(
                        first, builder.mul(source_stride, _int(i))
                    )))
                    for i in range(taken)
                ]  # fmt: skip
                made = function(*values, *same)
                made = made if isinstance(made, tuple) else (made,)
                assert len(made) == given
                for i, vector in enumerate(made):
                    offset = builder.add(first, builder.mul(out_stride, _int(i)))
                    store(builder, vector.value, out, offset)
            return context.get_dummy_value()

        number = types.intp
        return types.void(_POINTER, number, _POINTER, number, _POINTER, number), codegen

    # A compiled loop that is given this is known by its name to what links it: two of one name,
    # compiled by two processes, would be taken for one another.
    apply.__name__ = f"{function.__module__}_{function.__qualname__}".replace(".", "_")
    return intrinsic(apply)
