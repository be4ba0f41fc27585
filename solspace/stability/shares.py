"""Shares of networks, how sure they are, and the sizes of classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SMALL", "class_sizes", "in_small_classes", "wilson_interval"]

SMALL = 10  # networks; the smallest class the paper counts


def wilson_interval(
    share: ArrayLike, n: ArrayLike, *, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of a share of ``n`` networks.

    ``(p + z^2/2n -+ z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n)``, with ``z`` the normal quantile
    (Wilson, Journal of the American Statistical Association 22:209, 1927). The share need be no
    whole number of networks: where several draws of each were tried it is the mean over networks,
    and counting networks, not draws, is on the safe side.

    Parameters
    ----------
    share : array
        From 0 to 1.
    n : array
        Networks; where 0, the interval is all of 0 to 1.
    confidence : float

    Returns
    -------
    low, high : array

    Examples
    --------
    >>> low, high = wilson_interval(0.9, 40)
    >>> f"{low:.3f} {high:.3f}"
    '0.769 0.960'
    """
    from scipy.special import ndtri

    p, n = np.broadcast_arrays(np.asarray(share, float), np.asarray(n, float))
    known = np.where(n > 0, n, 1.0)
    p = np.where(n > 0, p, 0.5)
    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    middle = p + z2 / (2 * known)
    half = np.sqrt(z2 * (p * (1 - p) / known + z2 / (4 * known**2)))
    low, high = (middle - half) / (1 + z2 / known), (middle + half) / (1 + z2 / known)
    # Rounding may lead past the ends.
    return (
        np.where(n > 0, np.clip(low, 0, p), 0.0),
        np.where(n > 0, np.clip(high, p, 1), 1.0),
    )


def class_sizes(keys: Iterable[Any]) -> list[int]:
    """Networks of each class, largest first; empty keys are no class.

    Examples
    --------
    >>> class_sizes(["a", "b", "a", ""])
    [2, 1]
    """
    return sorted(Counter(str(key) for key in keys if str(key)).values(), reverse=True)


def in_small_classes(keys: Iterable[Any], small: int = SMALL) -> float:
    """The share of labelled networks that are in classes of less than ``small``; NaN of none.

    Examples
    --------
    >>> in_small_classes(["a"] * 15 + ["b"] * 5)
    0.25
    """
    sizes = class_sizes(keys)
    return sum(s for s in sizes if s < small) / sum(sizes) if sizes else float("nan")
