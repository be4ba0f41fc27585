"""A map over the networks of a population in which one that fails does not stop the others."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.population.variables import DONE, FAILED, MESSAGE_LENGTH, text_array

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "each_network",
    "failures_told_elsewhere",
    "shortened",
    "told_elsewhere",
    "warn_of_failures",
]


def each_network(
    ds: xr.Dataset,
    stage: str,
    compute: Callable[[int], None],
    *,
    after: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, tuple[str, NDArray[Any]]]:
    """Call a function for each network; one that fails is noted and the others go on.

    Parameters
    ----------
    ds : Dataset
    stage : str
        Names the status variables.
    compute : callable (int) -> None
        Given a position along ``network``; an exception marks that network as failed.
    after : str, optional
        A stage the network has to have passed, where the dataset has its status.
    progress : callable (int) -> None, optional
        Told after each network.

    Returns
    -------
    dict
        ``status_<stage>`` and ``message_<stage>``, to be assigned to a dataset.
    """
    n = ds.sizes["network"]
    status = np.full(n, FAILED, np.uint8)
    messages = np.full(n, "", dtype=object)
    earlier = None if after is None else ds.variables.get(f"status_{after}")
    ready = np.full(n, True) if earlier is None else earlier.values == DONE
    for i in range(n):
        if not ready[i]:
            messages[i] = f"{after} did not succeed for this network"
        else:
            try:
                compute(i)
                status[i] = DONE
            except (MemoryError, OSError):
                raise
            except SolspaceError as error:
                messages[i] = shortened(str(error))
            except Exception as error:
                messages[i] = shortened(f"{type(error).__name__}: {error}")
        if progress:
            progress(1)
    return {
        f"status_{stage}": ("network", status),
        f"message_{stage}": ("network", text_array(messages)),
    }


def shortened(message: str) -> str:
    """A reason as long as a store keeps it."""
    return message if len(message) <= MESSAGE_LENGTH else message[: MESSAGE_LENGTH - 3] + "..."


_told_elsewhere: ContextVar[bool] = ContextVar("told_elsewhere", default=False)


def told_elsewhere() -> bool:
    """Whether somebody else tells what went wrong."""
    return _told_elsewhere.get()


@contextlib.contextmanager
def failures_told_elsewhere() -> Iterator[None]:
    """No warnings about networks that failed or do not do the task: the caller says so itself."""
    token = _told_elsewhere.set(True)
    try:
        yield
    finally:
        _told_elsewhere.reset(token)


def warn_of_failures(ds: xr.Dataset, stage: str) -> None:
    """Warn where networks failed, so that no fill value is taken for a result."""
    if _told_elsewhere.get():
        return
    failed = int((ds[f"status_{stage}"] == FAILED).sum())
    if failed:
        warnings.warn(
            f"{failed} of {ds.sizes['network']} networks failed in {stage}; "
            f"reasons are in message_{stage}",
            stacklevel=5,  # past the stage and its wrapper, where the user called it
        )
