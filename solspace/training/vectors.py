"""Which vectors the processor has that kernels are compiled for, and register tiles that fit it."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["BLOCK", "Tiles", "tiles", "tiles_of"]

BLOCK = 32  # trials that are worked on at once


class Tiles(NamedTuple):
    """How products are cut so that all sums stay in registers.

    Attributes
    ----------
    lanes : int
        float32 in a vector.
    fused : bool
        Whether the processor multiplies and adds in one instruction.
    product_rows, product_vectors : int
        Sums of the product of weights and states, in registers with that many vectors of states and
        one weight.
    gradient_rows, gradient_columns : int
        Sums of the product of errors and states, in registers with as many vectors of errors as
        there are rows and one of states.
    """

    lanes: int
    fused: bool
    product_rows: int
    product_vectors: int
    gradient_rows: int
    gradient_columns: int


def tiles_of(lanes: int, registers: int, fused: bool = True) -> Tiles:
    """Tiles for so many vector registers.

    Examples
    --------
    >>> tiles_of(16, 32)
    Tiles(lanes=16, fused=True, product_rows=12, product_vectors=2, gradient_rows=5, \
gradient_columns=5)
    >>> tiles_of(8, 16)[2:]
    (6, 2, 3, 4)
    """
    if registers >= 32:
        return Tiles(lanes, fused, 12, 2, 5, 5)
    return Tiles(lanes, fused, 6, 2, 3, 4)


def tiles() -> Tiles:
    """Tiles for the processor that Numba compiles for, which need not be the one at hand.

    LLVM is asked what it makes of a product of 16 numbers.
    """
    import llvmlite.binding as llvm
    from numba.core import config
    from numba.core.codegen import get_host_cpu_features

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name = config.CPU_NAME or llvm.get_host_cpu_name()
    features = config.CPU_FEATURES
    if features is None:  # as Numba does
        features = get_host_cpu_features()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu=name, features=features, opt=3)
    written = machine.emit_assembly(llvm.parse_assembly(_PRODUCT))
    fused = bool(re.search(r"\bv?fn?m(add|la)", written))
    if "%zmm" in written:
        return tiles_of(16, 32, fused)
    if "%ymm" in written:
        return tiles_of(8, 16, fused)
    if "%xmm" in written:
        return tiles_of(4, 16, fused)
    return tiles_of(4, 32, fused)  # 128-bit vectors, as of arm64


_PRODUCT = """
declare <16 x float> @llvm.fmuladd.v16f32(<16 x float>, <16 x float>, <16 x float>)
define void @product(ptr %a, ptr %b, ptr %c) {
  %x = load <16 x float>, ptr %a
  %y = load <16 x float>, ptr %b
  %z = load <16 x float>, ptr %c
  %s = call <16 x float> @llvm.fmuladd.v16f32(<16 x float> %x, <16 x float> %y, <16 x float> %z)
  store <16 x float> %s, ptr %c
  ret void
}
"""
