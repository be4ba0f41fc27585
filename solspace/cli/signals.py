"""Ctrl-C and SIGTERM, whenever they come: one line on stderr, an exit status, no traceback.

Imports next to nothing, since it is Python that answers before this is loaded.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

__all__ = ["Interruptions"]

_TOLD = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_AGAIN = 0.05  # seconds


class Interruptions:
    """What this process does when it is told to stop.

    The first signal raises ``KeyboardInterrupt``, so that locks are released and processes that
    were started end; a second one, or one before anything was begun (`begin`), ends the process
    at once. That is safe: a store is whole at every moment.

    Parameters
    ----------
    lasting : bool
        The process belongs to the command: signals are answered until it is gone.

    Examples
    --------
    >>> signals = Interruptions(lasting=False)
    >>> with signals:
    ...     signals.begin()
    ...     try:
    ...         signal.raise_signal(signal.SIGTERM)
    ...     except KeyboardInterrupt:
    ...         signals.status
    143
    """

    def __init__(self, *, lasting: bool) -> None:
        self.lasting = lasting
        self.number = 0
        self.begun = False
        self._told = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruptions:
        for number in _TOLD:
            before = signal.getsignal(number)
            if before is signal.SIG_IGN:  # by a parent, such as nohup
                continue
            try:
                signal.signal(number, self._answer)
            except ValueError:  # not the main thread: no signal comes here
                break
            self._before[number] = before
        if self.lasting:
            sys.unraisablehook = self._unraisable
            # A process of multiprocessing's own would tell what an end at once leaves to it.
            sys.warnoptions.append("ignore:resource_tracker")
        return self

    def __exit__(self, *_: object) -> None:
        self.begun = False
        if not self.lasting:
            for number, before in self._before.items():
                signal.signal(number, before)

    def begin(self) -> None:
        """From now on something may be under way that has to be ended in order."""
        self.begun = True

    @property
    def status(self) -> int:
        """What the process exits with: 128 and the signal's number."""
        return 128 + (self.number or signal.SIGINT)

    def end(self) -> int:
        """Say that it was stopped; the status, which a process of the command ends with at once.

        Python itself would end by SIGINT whatever the signal was, where it came inside an `eval`.
        """
        self.tell()
        if self.lasting:
            import contextlib

            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):  # nobody listens
                    stream.flush()
            os._exit(self.status)
        return self.status

    def tell(self) -> None:
        """Say that it was stopped, once."""
        if self._told:
            return
        self._told = True
        what = _TOLD.get(signal.Signals(self.number or signal.SIGINT), "interrupted")
        line = f"\nsolspace: {what}; what is stored is whole, type the same command to go on\n"
        try:
            if sys.stderr is sys.__stderr__:
                os.write(2, line.encode())  # in the middle of another write too
            else:
                sys.stderr.write(line)
        except (OSError, ValueError):  # nobody listens
            pass

    def _answer(self, number: int, _: FrameType | None) -> None:
        again = bool(self.number)
        self.number = self.number or number
        if again or not self.begun:
            self.tell()
            if self.lasting:
                os._exit(self.status)
        if self.lasting and "logging" in sys.modules:  # of what ends in disorder now
            sys.modules["logging"].disable()
        raise KeyboardInterrupt

    def _unraisable(self, what: sys.UnraisableHookArgs) -> None:
        """Where Python drops an exception, such as while it frees an object: raise it again."""
        if self.number and issubclass(what.exc_type, KeyboardInterrupt):
            import threading

            number, self.number = self.number, 0
            again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        elif not self.number:  # after a signal, what ends in disorder is of no interest
            sys.__unraisablehook__(what)
