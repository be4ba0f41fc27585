"""How hard to read a small directed graph would be, thousands of times for one drawing."""

from __future__ import annotations

from math import hypot

import numpy as np
from numba import njit

__all__ = ["clutter", "crossings"]


@njit(cache=True, error_model="numpy")
def clutter(at, links, ways, sign, depth):  # type: ignore[no-untyped-def]
    """Of straight edges; nodes not placed yet, which are NaN, do not count.

    Parameters
    ----------
    at : array (node, 2)
    links : array of int (link, 2)
        Nodes that an edge joins, either way, each pair once, the smaller first.
    ways : array of int (way, 2)
        Source and target of the edges.
    sign : array (node,)
        1 where a node is better above the path, -1 below.
    depth : array (node,)
        Edges from the root.

    Examples
    --------
    >>> at, link = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), np.array([[0, 2]])
    >>> clutter(at, link, link, np.zeros(3), np.arange(3.0))  # runs through a node
    2.4
    """
    total = 0.0
    for n in range(len(at)):
        if not np.isnan(at[n, 0]):
            total += 0.2 * abs(at[n, 1]) + 0.2 * abs(at[n, 0] - depth[n])
            total += 0.05 * (at[n, 0] % 1 != 0) - 0.12 * sign[n] * np.sign(at[n, 1])
    for i in range(len(links)):
        a, b = links[i]
        if np.isnan(at[a, 0]) or np.isnan(at[b, 0]):
            continue
        across, up = at[b, 0] - at[a, 0], at[b, 1] - at[a, 1]
        length = hypot(across, up)
        total += 0.4 * (length - 1)
        for n in range(len(at)):
            if n in (a, b) or np.isnan(at[n, 0]):
                continue
            along = (at[n, 0] - at[a, 0]) * across + (at[n, 1] - at[a, 1]) * up
            along = min(max(along / length**2, 0.0), 1.0)
            near = hypot(at[a, 0] + along * across - at[n, 0], at[a, 1] + along * up - at[n, 1])
            if near < 0.42:
                total += 2.0
        for j in range(i):
            c, d = links[j]
            if a in (c, d) or b in (c, d) or np.isnan(at[c, 0]) or np.isnan(at[d, 0]):
                continue
            if _sides(at, a, b, c, d) < 0 and _sides(at, c, d, a, b) < 0:  # they cross
                total += 1.2
    for i in range(len(ways)):
        s, t = ways[i]
        if at[t, 0] < at[s, 0]:
            total += 0.05
    return total


@njit
def _sides(at, a, b, c, d):  # type: ignore[no-untyped-def]
    """Below zero where two nodes lie on either side of the line through two others."""
    across, up = at[b, 0] - at[a, 0], at[b, 1] - at[a, 1]
    one = across * (at[c, 1] - at[a, 1]) - up * (at[c, 0] - at[a, 0])
    other = across * (at[d, 1] - at[a, 1]) - up * (at[d, 0] - at[a, 0])
    return one * other


@njit(cache=True)
def crossings(one, other):  # type: ignore[no-untyped-def]
    """How often two curves (point, 2) cross, away from their ends, which nodes may share.

    Every other point is looked at.

    Examples
    --------
    >>> up = np.linspace(0, 1, 20)
    >>> crossings(np.stack([up, up], axis=1), np.stack([up, 1.01 - up], axis=1))
    1
    """
    count = 0
    for i in range(2, len(one) - 4, 2):
        across, up = one[i + 2, 0] - one[i, 0], one[i + 2, 1] - one[i, 1]
        for j in range(2, len(other) - 4, 2):
            over, above = other[j + 2, 0] - other[j, 0], other[j + 2, 1] - other[j, 1]
            between = other[j, 0] - one[i, 0], other[j, 1] - one[i, 1]
            turned = across * above - up * over
            if turned == 0:
                continue
            t = (between[0] * above - between[1] * over) / turned
            s = (between[0] * up - between[1] * across) / turned
            count += (0 <= t < 1) & (0 <= s < 1)
    return count
