"""Labels of the checkpoints of every network, where a population has some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.population.ranking import rank_solutions
from solspace.population.trained import CHECKPOINT_PREFIX
from solspace.population.variables import DONE, FAILED, STATUS_ATTRS, Variable, text_array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CHECKPOINTS", "Path", "rank_checkpoints"]

_AT = ("network", "checkpoint")
CHECKPOINTS = (
    Variable(
        f"{CHECKPOINT_PREFIX}solution",
        _AT,
        "int16",
        "as `solution` of the population; those of no final network follow, most common first; "
        "-1 not computed or no label",
        group="checkpoints",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}solution_key",
        _AT,
        "U96",
        "as `solution_key` of the population; empty where there is no label",
        group="checkpoints",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}solution_description",
        _AT,
        "U512",
        "as `solution_description` of the population; empty where there is no label",
        group="checkpoints",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}status_label",
        _AT,
        "uint8",
        "progress of the stage label",
        group="checkpoints",
        attrs=STATUS_ATTRS,
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}message_label",
        _AT,
        "U200",
        "why the checkpoint has no label; empty where it has",
        group="checkpoints",
    ),
)


def rank_checkpoints(keys: Sequence[str] | NDArray, on_the_way: NDArray) -> NDArray[np.int16]:
    """Number the keys of checkpoints as those of the networks.

    Parameters
    ----------
    keys : array of str (network,)
    on_the_way : array of str (network, checkpoint)

    Returns
    -------
    array of int16 (network, checkpoint)
        Of keys that a network has, its number by `rank_solutions`; the others follow, most
        common first; -1 where empty.

    Examples
    --------
    >>> rank_checkpoints(["b", "a", "b"], np.array([["c", "b"], ["c", "a"], ["", "b"]])).tolist()
    [[2, 0], [2, 1], [-1, 0]]
    """
    first = rank_solutions(keys)
    number = {str(key): int(i) for key, i in zip(keys, first, strict=True) if i >= 0}
    flat = [str(key) for key in np.ravel(on_the_way)]
    others = ["" if key in number else key for key in flat]
    after = max(number.values(), default=-1) + 1
    more = {key: after + int(i) for key, i in zip(others, rank_solutions(others), strict=True)}
    found = [number[key] if key in number else more[key] if key else -1 for key in flat]
    return np.array(found, dtype=np.int16).reshape(np.shape(on_the_way))


class Path:
    """Labels of every network's checkpoints, where the population has some."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds
        shape = (ds.sizes["network"], 0)
        if f"{CHECKPOINT_PREFIX}gradient_steps" in ds:
            self._steps = ds[f"{CHECKPOINT_PREFIX}gradient_steps"].values
            shape = self._steps.shape
        self._keys = np.full(shape, "", dtype=object)
        self._descriptions = np.full(shape, "", dtype=object)
        self._messages = np.full(shape, "", dtype=object)

    def label(self, i: int, names_of: Callable[[dict[str, NDArray]], tuple[str, str]]) -> None:
        """All checkpoints but the last; one without a label is noted and the others go on."""
        from solspace.population import network_weights
        from solspace.population.each import shortened

        for k in range(self._keys.shape[1] - 1):
            if self._steps[i, k] < 0:
                self._messages[i, k] = "the loss never fell so far"
            elif k and self._steps[i, k] == self._steps[i, k - 1]:  # the same weights
                for names in (self._keys, self._descriptions, self._messages):
                    names[i, k] = names[i, k - 1]
            else:
                try:
                    weights = network_weights(self._ds, i, checkpoint=k)
                    self._keys[i, k], self._descriptions[i, k] = names_of(weights)
                except (MemoryError, OSError):
                    raise
                except SolspaceError as error:
                    self._messages[i, k] = shortened(str(error))
                except Exception as error:
                    self._messages[i, k] = shortened(f"{type(error).__name__}: {error}")

    def end(self, i: int, key: str, description: str) -> None:
        """The last checkpoint is the network as it is."""
        self._keys[i, -1:], self._descriptions[i, -1:] = key, description

    def variables(self, keys: NDArray, why: NDArray) -> dict[str, Any]:
        """Variables of the group checkpoints; ``why`` says of each network why it has no label."""
        if not self._keys.size:
            return {}
        none = self._keys == ""
        messages = np.where(none & (self._messages == ""), why[:, None], self._messages)
        status = np.where(none, FAILED, DONE).astype(np.uint8)
        named = {
            "solution": rank_checkpoints(keys, self._keys),
            "solution_key": text_array(self._keys),
            "solution_description": text_array(self._descriptions),
            "status_label": status,
            "message_label": text_array(messages),
        }
        dims = ("network", "checkpoint")
        return {CHECKPOINT_PREFIX + name: (dims, values) for name, values in named.items()}
