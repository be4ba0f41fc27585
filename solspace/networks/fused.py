"""``a b + c`` with one rounding where the processor has an instruction for it, else with two.

Numba compiles a function by itself and once more within each that calls it. Which of these copies
runs turns on what a process compiled and what it found in the cache, so all have to round alike.
Left to the compiler (``fastmath={"contract"}``) products are fused into sums here and not there.
So kernels write out what is fused, or, where they leave it to the compiler, are compiled into what
calls them (``forceinline=True``) and have no second copy. `tests/test_processors.py` asks for it.
What is written out is also the same on all processors that have the instruction.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

__all__ = ["fma", "has_fma", "multiply_add", "slow_processor"]

_ASKED = """
target triple = "{triple}"
declare float @llvm.fma.f32(float, float, float)
define float @asked(float %a, float %b, float %c) {{
  %d = call float @llvm.fma.f32(float %a, float %b, float %c)
  ret float %d
}}
"""


@cache
def has_fma() -> bool:
    """Whether the processor that Numba compiles for multiplies and adds in one instruction.

    Every x86-64 processor with AVX2 and every ARM one of 64 bits does. Without, LLVM calls a
    function of the C library for each element, and a gradient step takes hundreds of times as long.

    Examples
    --------
    >>> has_fma() in (True, False)
    True
    """
    # As Numba chooses; both are None unless the environment names a processor.
    name, features = numba.config.CPU_NAME, numba.config.CPU_FEATURES
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = llvm.get_process_triple()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=llvm.get_host_cpu_name() if name is None else name,
        features=get_host_cpu_features() if features is None else features,
    )
    return "fmaf" not in machine.emit_assembly(llvm.parse_assembly(_ASKED.format(triple=triple)))


def slow_processor() -> str:
    """What is to be said of training on this processor; empty where it has what it takes.

    Examples
    --------
    >>> slow_processor() == "" or "training works, and is slower" in slow_processor()
    True
    """
    if has_fma():
        return ""
    name = numba.config.CPU_NAME or llvm.get_host_cpu_name()
    return (
        f"this processor ({name}) does not multiply and add in one instruction (AVX2 with FMA); "
        "training works, and is slower (docs/performance.md)"
    )


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """LLVM's ``a b + c`` of floats or vectors of floats."""
    if not has_fma():
        return builder.fadd(builder.fmul(a, b), c)
    vector = isinstance(a.type, ir.VectorType)
    bits = "f32" if isinstance(a.type.element if vector else a.type, ir.FloatType) else "f64"
    name = f"llvm.fma.v{a.type.count}{bits}" if vector else f"llvm.fma.{bits}"
    kind = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a b + c`` of floats of one kind, for use in compiled functions."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return multiply_add(builder, *args)

    return a(a, a, a), codegen
