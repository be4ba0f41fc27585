"""How two contexts come to weigh one stream differently: the split of Pagan et al.

A stream moves the choice by ``s . i``: the selection vector ``s`` times the effective input ``i``.
Between two contexts this differs by::

    d(s . i) = mean(s) . d(i) + d(s) . mean(i)

and the first of these by what of ``d(i)`` lies along the line attractor, which moves the choice at
once, and what does not, which gets there through the dynamics. That makes direct input modulation,
indirect input modulation and selection-vector modulation (Pagan, Tang, Aoi, Pillow, Mante,
Sussillo & Brody, Nature 2025).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = ["PARTS", "Modulation", "modulation_shares", "split_modulation"]

PARTS = ("direct", "indirect", "selection")


class Modulation(NamedTuple):
    """What the difference between two contexts is made of; the parts add up to the total.

    Attributes
    ----------
    direct : array (...)
        Through the change of the effective input along the line.
    indirect : array (...)
        Through the rest of its change.
    selection : array (...)
        Through the change of the selection vector.
    total : array (...)
        ``s . i`` of the first context less that of the second.
    """

    direct: NDArray[np.float64]
    indirect: NDArray[np.float64]
    selection: NDArray[np.float64]
    total: NDArray[np.float64]


def split_modulation(selection: ArrayLike, effective: ArrayLike, line: ArrayLike) -> Modulation:
    """Split how differently a stream moves the choice in two contexts.

    Parameters
    ----------
    selection : array_like (2, ..., unit)
        Selection vector in the context in which the stream counts, and in the other.
    effective : array_like (2, ..., unit)
        Effective input of the stream in each.
    line : array_like (unit,) or (..., unit)
        Direction of the line attractor, of any length and sign.

    Returns
    -------
    Modulation

    Raises
    ------
    SolspaceError
        For vectors that do not fit together, are not finite, and a line of no length.

    Notes
    -----
    The part of ``d(i)`` along the line is its orthogonal projection. Where the lines of both
    contexts are not parallel, give the mean of their directions. The split does not change under
    rotations of the state space.

    Examples
    --------
    The same selection vector reads an input that is turned onto the line: direct.

    >>> s, line = [[1.0, 0.0], [1.0, 0.0]], [1.0, 0.0]
    >>> [float(x) for x in split_modulation(s, [[1.0, 0.0], [0.0, 0.0]], line)]
    [1.0, 0.0, 0.0, 1.0]
    """
    s, i, rho = (np.asarray(x, np.float64) for x in (selection, effective, line))
    if s.ndim < 2 or len(s) != 2 or s.shape != i.shape or rho.shape[-1:] != s.shape[-1:]:
        raise SolspaceError(
            f"selection of shape {s.shape}, effective {i.shape}, line {rho.shape}; give "
            "(2, ..., unit) twice, the first axis of two contexts, and (unit,)"
        )
    length = np.linalg.norm(rho, axis=-1, keepdims=True)
    if not all(np.isfinite(x).all() for x in (s, i, rho)) or not (length > 0).all():
        raise SolspaceError("vectors are not finite or the line has no length; give finite ones")
    rho = rho / length
    mean_s, mean_i, change_s, change_i = s.mean(axis=0), i.mean(axis=0), s[0] - s[1], i[0] - i[1]
    direct = (mean_s * rho).sum(axis=-1) * (rho * change_i).sum(axis=-1)
    through_input = (mean_s * change_i).sum(axis=-1)
    products = (s * i).sum(axis=-1)
    return Modulation(
        np.asarray(direct),
        np.asarray(through_input - direct),
        np.asarray((change_s * mean_i).sum(axis=-1)),
        np.asarray(products[0] - products[1]),
    )


def modulation_shares(parts: ArrayLike) -> NDArray[np.float64]:
    """Shares of the total, which add up to 1: where a network lies in the triangle.

    A share is under 0 where a part works against the total.

    Parameters
    ----------
    parts : array_like (..., 3)
        Direct, indirect and selection.

    Returns
    -------
    array (..., 3)
        NaN where the total is not over 0, so that the context selects nothing.

    Examples
    --------
    >>> modulation_shares([1.0, 2.0, 1.0]).tolist()
    [0.25, 0.5, 0.25]
    """
    own = np.asarray(parts, np.float64)
    total = own.sum(axis=-1, keepdims=True)
    shares = np.full(own.shape, np.nan)
    np.divide(own, total, out=shares, where=total > 0)
    return shares
