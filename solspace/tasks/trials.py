"""The trials of a task, and how one is found among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

__all__ = [
    "Trials",
    "find_trial",
    "squared_error",
]


@dataclass(frozen=True)
class Trials:
    """A set of trials of one task.

    Attributes
    ----------
    input : array, float32, (trial, time, input)
    target : array, float32, (trial, time, output)
        NaN where nothing is asked for (see `Task.asked`).
    epoch : array, int8, (trial, time)
        Index into the task's ``epochs``.
    parameters : mapping of str to array (trial,)
        The parameters that make one trial differ from another, such as ``t_in``.
    """

    input: NDArray[np.float32]
    target: NDArray[np.float32]
    epoch: NDArray[np.int8]
    parameters: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.input)


def find_trial(parameters: Mapping[str, NDArray[Any]], **values: float) -> int:
    """Index of the one trial with these parameters.

    Raises
    ------
    SolspaceError
        Where no trial has them.

    Examples
    --------
    >>> find_trial({"t_in": np.arange(20, 51)}, t_in=22)
    2
    """
    asked = ", ".join(f"{name} = {value:g}" for name, value in values.items())
    missing = [name for name in values if name not in parameters]
    if missing:
        raise SolspaceError(
            f"trials have no parameter {missing[0]!r}, only {', '.join(parameters) or 'none'}; "
            f"give trials among which one has {asked}"
        )
    hits = np.flatnonzero(
        np.all([np.asarray(parameters[name]) == value for name, value in values.items()], axis=0)
    )
    if not len(hits):
        raise SolspaceError(f"no trial has {asked}; give the task's recorded trials")
    return int(hits[0])


def squared_error(output: NDArray[Any], target: NDArray[Any]) -> float:
    """Mean squared error over what is asked for: where the target is NaN, nothing is.

    Parameters
    ----------
    output, target : array (trial, time, output)

    Returns
    -------
    float
        In float64; NaN where nothing is asked for at all.

    Examples
    --------
    >>> squared_error(np.array([0.5, 3.0]), np.array([1.0, np.nan]))
    0.25
    """
    asked = ~np.isnan(target)
    if not asked.any():
        return float("nan")
    return float(np.mean((output[asked] - target[asked].astype(np.float64)) ** 2))
