"""When and where a page was written: last bits differ from processor to processor."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["processor", "written"]

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "amx_bf16")


def processor() -> str:
    """The processor's name, and which vector instructions it says it has.

    Examples
    --------
    >>> len(processor()) > 0
    True
    """
    found: dict[str, str] = {}
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    name = found.get("model name") or platform.processor() or platform.machine()
    has = found.get("flags", "").split()
    flags = [flag for flag in FLAGS if flag in has]
    return f"{name} ({', '.join(flags) or 'vector instructions not known'})"


def written() -> str:
    """Date and processor, as a sentence takes them.

    Examples
    --------
    >>> written().split()[1]
    'on'
    """
    return f"{datetime.now(UTC):%Y-%m-%d} on {processor()}"
