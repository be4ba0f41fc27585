"""Labels as another kind of processor computes them: in a process that is told it runs on one.

Processors of one instruction set round alike, but libraries choose other loops on other kinds:
wider vectors add up numbers in another order. On a processor of the x86-64 family a process can be
told to do without some of what it has, which gives the bits of a kind without it. Numba and the
libraries read that when they start, so it takes a process of its own.
"""

from __future__ import annotations

import os
import pickle
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.stability.labelling import AskedLabel, Labelled
from solspace.tasks import Task

__all__ = ["OtherProcessor", "other_processor"]

# A kind of processor, what numpy is to leave out, and OpenBLAS's name for it. One with AVX2 and
# without AVX-512, and one without either.
_KINDS = {
    "haswell": ("X86_V4 AVX512_ICL AVX512_SPR", "Haswell"),
    "nehalem": ("X86_V3 X86_V4 AVX512_ICL AVX512_SPR", "Nehalem"),
}
# exp, tanh and others of the C library have a form of their own for processors with FMA.
_LIBRARY = {"nehalem": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F"}}
_NOT_X86 = "another processor can only be tried on one of the x86-64 family"


def other_processor() -> tuple[str, str]:
    """The kind of processor this process runs on, and the one it is compared with.

    ``haswell`` (AVX2) where this one has AVX-512, else ``nehalem`` (neither); two empty strings
    on a machine that is not of the x86-64 family, which cannot be told to be another.

    Examples
    --------
    >>> here, other = other_processor()
    >>> other in ("haswell", "nehalem", "")
    True
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return "", ""
    import llvmlite.binding
    import numba

    told = numba.config.CPU_NAME
    if told:  # as `make test-avx2` does
        return str(told), "haswell" if told != "haswell" else "nehalem"
    wide = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))
    return llvmlite.binding.get_host_cpu_name(), "haswell" if wide else "nehalem"


def _environment(kind: str) -> dict[str, str]:
    """What the process is started with."""
    without, blas = _KINDS[kind]
    # What Numba compiles is kept apart: two processes that write one index may mix it up.
    cache = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"),
        "solspace",
        "numba",
    )
    own = {
        "NUMBA_CPU_NAME": kind,
        "NUMBA_CPU_FEATURES": "",  # empty, or those of this machine come in again
        "NUMBA_CACHE_DIR": os.path.join(cache, kind),
        "NPY_DISABLE_CPU_FEATURES": without,
        "OPENBLAS_CORETYPE": blas,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        **_LIBRARY.get(kind, {}),
    }
    return {
        **os.environ,
        **own,
        **{f"{lib}_NUM_THREADS": "1" for lib in ("OMP", "OPENBLAS", "MKL")},
    }


class OtherProcessor:
    """A process that labels networks as another kind of processor does.

    It starts with the first network, which takes some seconds (the first time ever a minute or
    two, in which Numba compiles), and ends with the ``with`` block.

    Raises
    ------
    SolspaceError
        On a machine that is not of the x86-64 family.

    Examples
    --------
    >>> from solspace.stability.labelling import asked_labels
    >>> from solspace.tasks import get_task
    >>> task, labels = get_task("interval_reproduction"), asked_labels(["graph_key"])
    >>> with OtherProcessor() as other:                                    # doctest: +SKIP
    ...     other.label(task, "vanilla", weights, labels)
    [Labelled(key='v1:0|>1,set>0;1|>2;0|set>0', reason='')]
    """

    def __init__(self) -> None:
        self.here, self.kind = other_processor()
        if not self.kind:
            raise SolspaceError(
                f"{_NOT_X86}, this is {platform.machine()}; leave it out (--no-processor)"
            )
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: Any = None

    def __enter__(self) -> OtherProcessor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if error is not None:
            process.kill()
        process.communicate()  # closes what it waits for, so that it ends
        self._errors.close()

    def label(
        self,
        task: Task,
        architecture: str,
        weights: Mapping[str, NDArray[Any]],
        labels: Sequence[AskedLabel],
    ) -> list[Labelled]:
        """All labels of one network.

        Raises
        ------
        SolspaceError
            Where the process ended, with the last it said.
        """
        from solspace.stages.carry import carried

        if self._process is None:
            self._start(carried(task))
        assert self._process is not None and self._process.stdin and self._process.stdout
        try:
            pickle.dump((task.name, architecture, dict(weights), list(labels)), self._process.stdin)
            self._process.stdin.flush()
            found, error = pickle.load(self._process.stdout)
        except (OSError, EOFError):
            raise SolspaceError(self._told_end()) from None
        if error:
            raise SolspaceError(f"on {self.kind}: {error}")
        return [Labelled(*one) for one in found]

    def _start(self, sent: bytes) -> None:
        # Open for as long as the process is; a pipe that nobody reads could fill up.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "solspace.stability.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(self.kind),
        )
        assert self._process.stdin
        pickle.dump(sent, self._process.stdin)

    def _told_end(self) -> str:
        assert self._process is not None
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = f": {lines[-1]}" if lines else ""
        self._process = None
        return (
            f"the process that labels as on {self.kind} ended (exit status {code}){said}; try "
            "again, or leave it out (--no-processor)"
        )
