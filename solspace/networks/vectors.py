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
    "HALF",
    "LANES",
    "ROWS",
    "VECTOR",
    "Vector",
    "add_half_tile",
    "add_tile",
    "address",
    "broadcast",
    "copy",
    "elementwise",
    "load",
    "padded",
    "place_of",
    "sigmoid",
    "sigmoid_parts",
    "store",
    "switch",
    "tanh",
    "tanh_parts",
]

LANES = 8
HALF = LANES // 2  # units come in halves of vectors
# Accumulators of a tile of a product: with the operands they fill the 16 registers of AVX2.
ROWS = 6

_DOUBLE = ir.DoubleType()
VECTOR = ir.VectorType(_DOUBLE, LANES)
_POINTER = types.CPointer(types.float64)


def padded(length: int, lanes: int = LANES) -> int:
    """Length of whole vectors, or of halves, that hold so many numbers.

    Examples
    --------
    >>> padded(20), padded(20, HALF)
    (24, 20)
    """
    return -(-length // lanes) * lanes


def _int(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _has(builder: Any, count: Any, bit: int) -> Any:
    """Whether a power of two is part of a number."""
    return builder.icmp_unsigned("!=", builder.and_(count, _int(bit)), _int(0))


class Vector:
    """Eight numbers, or four, while code is made for them: operators write LLVM's instructions.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
    value : llvmlite.ir.Value
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    @property
    def _kind(self) -> Any:
        return self.value.type

    def _as_value(self, other: Vector | float) -> Any:
        if isinstance(other, Vector):
            return other.value
        return ir.Constant(self._kind, [other] * self._kind.count)

    def _made(self, value: Any) -> Vector:
        return Vector(self.builder, value)

    def _call(self, name: str, *args: Any) -> Vector:
        kind = ir.FunctionType(self._kind, [self._kind] * len(args))
        called = f"llvm.{name}.v{self._kind.count}f64"
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

    def power_of_two(self) -> Vector:
        """2 to the power of the integer that the last bits are."""
        ints = ir.VectorType(ir.IntType(64), self._kind.count)
        count = self._kind.count
        shift, one = (ir.Constant(ints, [n] * count) for n in (52, 0x3FF0000000000000))
        bits = self.builder.shl(self.builder.bitcast(self.value, ints), shift)
        return self._made(self.builder.bitcast(self.builder.add(bits, one), self._kind))


# exp(2 s) is (Q + P) / (Q - P) with P = s p(s^2) and Q = q(s^2) for |s| up to ln(2) / 4, within
# 2e-17 of itself (Cephes' exp, Moshier 1989; here of s and not of 2 s, so that its coefficients are
# multiplied by powers of 2); exp(x) is 2^k exp(2 s) with x / 2 = k ln(2) / 2 + s.
_P = (1.26177193074810590878e-4 * 2**5, 3.02994407707441961300e-2 * 2**3, 2.0)
_Q = (
    3.00198505138664455042e-6 * 2**6, 2.52448340349684104192e-3 * 2**4,
    2.27265548208155028766e-1 * 2**2, 2.0,
)  # fmt: skip
# ln(2) / 2, the first part of so few bits that k of them are exact.
_HALF_LN2, _HALF_LN2_REST = 0.6931471803691238 / 2, 1.9082149292705877e-10 / 2
_PER_HALF_LN2 = 2 * 1.4426950408889634
_TO_INTEGER = 1.5 * 2.0**52  # added, the last bits are the integer


def _exponential(half: Vector) -> tuple[Vector, Vector, Vector]:
    """``2^k``, P and Q of the exponential function of twice a number."""
    shifted = half.times_plus(_PER_HALF_LN2, _TO_INTEGER)
    k = shifted - _TO_INTEGER
    s = (-k).times_plus(_HALF_LN2, half)
    s = (-k).times_plus(_HALF_LN2_REST, s)
    square = s * s
    p = s * square.times_plus(_P[0], _P[1]).times_plus(square, _P[2])
    q = square.times_plus(_Q[0], _Q[1]).times_plus(square, _Q[2]).times_plus(square, _Q[3])
    return shifted.power_of_two(), p, q


def tanh_parts(x: Vector) -> tuple[Vector, Vector]:
    """What divided by one another is tanh; up to 2^67."""
    scale, p, q = _exponential(x.size().at_most(22.0))
    less, more = scale - 1.0, scale + 1.0
    return less.times_plus(q, more * p).signed_as(x), more.times_plus(q, less * p)


def sigmoid_parts(x: Vector, limit: float = 250.0) -> tuple[Vector, Vector, Vector]:
    """What divided by the last is the logistic function, and what divided by it is the rest to one.

    Of x no further from zero than the limit. The last is up to ``4 exp(limit)``: two of them, one
    of `tanh_parts` and a state can be multiplied.
    """
    scale, p, q = _exponential((x * -0.5).at_most(limit / 2).at_least(-limit / 2))
    part, rest = q - p, scale * (q + p)
    return part, rest, part + rest


def tanh(x: Vector) -> Vector:
    """``(exp(2 x) - 1) / (exp(2 x) + 1)``, within 3 units of the last place."""
    above, below = tanh_parts(x)
    return above / below


def sigmoid(x: Vector) -> Vector:
    """``1 / (1 + exp(-x))``, within 3 units of the last place."""
    part, _, whole = sigmoid_parts(x, limit=708.0)
    return part / whole


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


def _adds_tile(kind: Any, most: int) -> Any:
    """What adds products for a tile of up to `ROWS` rows and so many vectors of a kind."""
    lanes = kind.count

    def add_tile(
        typingctx: Any, rows: Any, vectors: Any, depth: Any, left: Any, left_stride: Any,
        right: Any, right_stride: Any, added: Any, added_stride: Any, out: Any, out_stride: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows, vectors, depth, left, left_stride, right, right_stride, *ends = args
            added, added_stride, out, out_stride = ends

            def emit(n: int, m: int) -> None:
                def place(stride: Any, r: int, v: int) -> Any:
                    return builder.add(builder.mul(stride, _int(r)), _int(v * lanes))

                # Stack slots; LLVM makes registers of them.
                total = [[cgutils.alloca_once(builder, kind) for _ in range(m)] for _ in range(n)]
                for r in range(n):
                    for v in range(m):
                        first = load(builder, added, place(added_stride, r, v), kind)
                        builder.store(first, total[r][v])
                starts = [builder.gep(left, [builder.mul(left_stride, _int(r))]) for r in range(n)]
                with cgutils.for_range(builder, depth) as loop:
                    row = builder.gep(right, [builder.mul(loop.index, right_stride)])
                    w = [load(builder, row, _int(v * lanes), kind) for v in range(m)]
                    for r in range(n):
                        scalar = builder.load(builder.gep(starts[r], [loop.index]))
                        x = Vector(builder, broadcast(builder, scalar, kind))
                        for v in range(m):
                            sum_ = Vector(builder, builder.load(total[r][v]))
                            more = x.times_plus(Vector(builder, w[v]), sum_)
                            builder.store(more.value, total[r][v])
                for r in range(n):
                    for v in range(m):
                        store(builder, builder.load(total[r][v]), out, place(out_stride, r, v))

            def emit_rows(n: int) -> None:
                switch(builder, vectors, range(1, max(most // n, 1) + 1), lambda m: emit(n, m))

            switch(builder, rows, range(1, ROWS + 1), emit_rows)
            return context.get_dummy_value()

        number = types.intp
        return (
            types.void(
                number, number, number, _POINTER, number, _POINTER, number, _POINTER, number,
                _POINTER, number,
            ),
            codegen,
        )  # fmt: skip

    add_tile.__name__ = f"add_tile_{lanes}"
    add_tile.__doc__ = """``out[r] = added[r] + sum over k of left[r, k] * right[k]``, k upwards.

    Of ``vectors`` vectors of units, as many as there are accumulators left: ``ROWS // rows``, of
    halves one. One after the other, whatever the tile, so that its shape does not show in the
    result.
    """
    return intrinsic(add_tile)


add_tile = _adds_tile(VECTOR, ROWS)
add_half_tile = _adds_tile(ir.VectorType(_DOUBLE, HALF), 1)


@intrinsic
def copy(typingctx: Any, count: Any, source: Any, out: Any) -> Any:
    """Put so many numbers elsewhere, a vector at a time: a loop of Numba's looks first at both."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, source, out = args
        with cgutils.for_range(builder, builder.udiv(count, _int(LANES))) as loop:
            at = builder.mul(loop.index, _int(LANES))
            store(builder, load(builder, source, at), out, at)
        lanes = LANES // 2
        while lanes:
            kind = ir.VectorType(_DOUBLE, lanes)
            with builder.if_then(
                builder.icmp_unsigned("!=", builder.and_(count, _int(lanes)), _int(0))
            ):
                at = builder.and_(count, _int(-2 * lanes))
                store(builder, load(builder, source, at, kind), out, at)
            lanes //= 2
        return context.get_dummy_value()

    return types.void(types.intp, _POINTER, _POINTER), codegen


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
    intrinsic (source, source_stride, out, out_stride, settings, count)
        Pointers to the first number of the first that is taken and of the first that is given,
        and how far the next one is; numbers to go through, in whole halves of vectors. Results may
        be put in place of what was taken.
    """

    def apply(
        typingctx: Any, source: Any, source_stride: Any, out: Any, out_stride: Any, fixed: Any,
        count: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, source_stride, out, out_stride, fixed, count = args

            def emit(first: Any, kind: Any) -> None:
                values = [
                    load(
                        builder,
                        source,
                        builder.add(first, builder.mul(source_stride, _int(i))),
                        kind,
                    )
                    for i in range(taken)
                ]
                values += [
                    broadcast(builder, builder.load(builder.gep(fixed, [_int(i)])), kind)
                    for i in range(settings)
                ]
                made = function(*(Vector(builder, value) for value in values))
                made = made if isinstance(made, tuple) else (made,)
                assert len(made) == given
                for i, vector in enumerate(made):
                    offset = builder.add(first, builder.mul(out_stride, _int(i)))
                    store(builder, vector.value, out, offset)

            with cgutils.for_range(builder, builder.udiv(count, _int(LANES))) as loop:
                emit(builder.mul(loop.index, _int(LANES)), VECTOR)
            with builder.if_then(_has(builder, count, HALF)):
                emit(builder.and_(count, _int(-LANES)), ir.VectorType(_DOUBLE, HALF))
            return context.get_dummy_value()

        number = types.intp
        return types.void(_POINTER, number, _POINTER, number, _POINTER, number), codegen

    # A compiled loop that is given this is known by its name to what links it: two of one name,
    # compiled by two processes, would be taken for one another.
    apply.__name__ = f"{function.__module__}_{function.__qualname__}".replace(".", "_")
    return intrinsic(apply)
