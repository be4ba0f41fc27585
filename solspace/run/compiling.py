"""Says that kernels are being compiled, the first time they are used after an install.

Numba compiles a function for the processor when it is first called, and keeps it beside the
package for every later process.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["told_of_compiling"]


_listening = False


@contextlib.contextmanager
def told_of_compiling() -> Iterator[None]:
    """A line on stderr where kernels of the package have to be compiled, and at the end how long.

    Nothing is said where they are found compiled. What other processes compile is not seen. Of two
    such contexts at once the first tells.

    Examples
    --------
    >>> with told_of_compiling():
    ...     "nothing was compiled"
    'nothing was compiled'
    """
    global _listening
    if _listening:
        yield
        return
    from numba.core import event

    class Listener(event.Listener):
        """Compiling calls for more of it inside; numba does it one function at a time."""

        depth, began, spent = 0, 0.0, 0.0

        def on_start(self, event: Any) -> None:
            if not self.depth:
                self.began = time.perf_counter()
                self.own = _is_kept(event.data["dispatcher"])
                if self.own:
                    _say_once()
            self.depth += 1

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if not self.depth and self.own:
                self.spent += time.perf_counter() - self.began

    listener = Listener()
    event.register("numba:compile", listener)
    _listening = True
    try:
        yield
    finally:
        _listening = False
        event.unregister("numba:compile", listener)
        if listener.spent:
            _say(f"compiled in {listener.spent:.0f} s; from now on that is found")


@functools.cache
def _say_once() -> None:
    """In this process, however many stages it runs."""
    _say("compiling for this processor, once after an install; 5 s a stage, training a minute")


def _is_kept(dispatcher: Any) -> bool:
    """Whether it is a kernel of the package: a user's own is compiled whenever they say."""
    return str(dispatcher.py_func.__module__).startswith("solspace.")


def _say(text: str) -> None:
    line = f"solspace: {text}"
    if "tqdm" in sys.modules:  # over the bar, if there is one
        sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)
