"""The one exception a user is meant to read."""

from __future__ import annotations

__all__ = ["SolspaceError"]


class SolspaceError(ValueError):
    """What was given, what is allowed, and what to type instead, in one line.

    Raised for input a user can mend: an unknown task, a file that does not fit, a store of
    another schema version. The command line prints it on one line of stderr and exits with 2.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> get_task("ready_set_stop")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: unknown task 'ready_set_stop'; ...
    """
