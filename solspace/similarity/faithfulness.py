"""How faithful a plane is to the distances that it was made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEIGHBORS", "faithfulness"]

Array = NDArray[np.float64]

NEIGHBORS = 12  # that are looked at, where there are so many networks


def faithfulness(
    far: Array, near: Array, neighbors: int = NEIGHBORS
) -> tuple[float, float, float, int]:
    """How faithful a plane is to the distances it was made from.

    Parameters
    ----------
    far : array (network, network)
        Distances that were laid out.
    near : array (network, network)
        Distances in the plane.
    neighbors : int

    Returns
    -------
    trustworthiness, continuity, kept : float
        1 where the plane invents no neighbour; 1 where it tears none apart (Venna & Kaski 2001);
        and the share of nearest neighbours that are so in the plane.
    neighbors : int
        So many were looked at.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(30, 2))
    >>> d = np.linalg.norm(x[:, None] - x, axis=-1)
    >>> faithfulness(d, 2 * d)
    (1.0, 1.0, 1.0, 12)
    """
    n = len(far)
    k = max(1, min(neighbors, (n - 1) // 2))
    ranks = []
    for values in (far, near):
        values = values.copy()
        np.fill_diagonal(values, -1.0)
        ranks.append(np.argsort(np.argsort(values, axis=1, kind="stable"), axis=1))
    inside = [(rank <= k) & (rank > 0) for rank in ranks]
    scale = 2 / (n * k * (2 * n - 3 * k - 1))
    trust = 1 - scale * np.maximum(ranks[0] - k, 0)[inside[1]].sum()
    whole = 1 - scale * np.maximum(ranks[1] - k, 0)[inside[0]].sum()
    kept = (inside[0] & inside[1]).sum() / inside[0].sum()
    return float(trust), float(whole), float(kept), k
