"""Numbers of solutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rank_solutions"]


def rank_solutions(keys: Sequence[str] | NDArray[Any]) -> NDArray[np.int16]:
    """Number the keys, most common first, ties in the order of the keys; -1 where empty.

    Examples
    --------
    >>> rank_solutions(["b", "a", "b", ""]).tolist()
    [0, 1, 0, -1]
    """
    counts = Counter(str(key) for key in keys if key)
    order = sorted(counts, key=lambda key: (-counts[key], key))
    number = {key: i for i, key in enumerate(order)}
    return np.array([number.get(str(key), -1) for key in keys], dtype=np.int16)
