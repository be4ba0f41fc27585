"""The one exception a user is meant to read."""

from __future__ import annotations

__all__ = ["ClusterError", "SolspaceError", "how_to_make"]

# Functions of stages, where they are not named as their stage.
_FUNCTIONS = {
    "features": "extract_features",
    "recording_size": "classify_recordings",
    "attractors": "find_attractors",
    "fixed_points": "find_fixed_points",
    "individuality": "measure_individuality",
    "responses": "find_responses",
    "stability": "label_stability",
}


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


class ClusterError(SolspaceError):
    """A scheduler, a worker, a server or the way to them failed, and what was typed was right.

    What is stored is whole: the same command goes on. The command line exits with 1.
    """


def how_to_make(stage: str) -> str:
    """What to call on a dataset in memory, or to type for a store, so that a stage is done.

    Examples
    --------
    >>> how_to_make("record")
    'call solspace.record(ds), or type `solspace record STORE`, first'
    """
    name = stage.replace("-", "_")
    verb = stage.replace("_", "-")
    return f"call solspace.{_FUNCTIONS.get(name, name)}(ds), or type `solspace {verb} STORE`, first"
