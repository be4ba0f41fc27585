"""Where the nodes and edges of a small directed graph go on the page: pure arrays.

The root's autonomous path lies on a line from left to right, everything else beside it; where
the root flows nowhere, the graph stands in columns by the distance from it. The same graph is
always drawn the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, permutations, product
from math import factorial

import numpy as np
from numpy.typing import NDArray

__all__ = ["Edge", "autonomous_path", "edge_curves", "node_positions"]

Array = NDArray[np.float64]
Slot = tuple[float, float]
Cost = Callable[[Array], float]

RADIUS = 0.19
COLUMN, ROW = 1.3, 1.15
# Up to so many nodes are moved about for a clearer drawing; larger graphs stay where they are put.
SEARCHED = 12


@dataclass(frozen=True)
class Edge:
    """One drawn edge.

    Attributes
    ----------
    source, target : int
    autonomous : bool
    label : str
    curve : array (point, 2)
        From the rim of the source to the foot of the arrowhead.
    head : array (3, 2)
        The arrowhead, its tip first.
    label_at : array (2,)
    """

    source: int
    target: int
    autonomous: bool
    label: str
    curve: Array
    head: Array
    label_at: Array


def autonomous_path(
    source: NDArray[np.integer], target: NDArray[np.integer], autonomous: NDArray[np.bool_]
) -> list[int]:
    """Nodes in the order the autonomous flow from the root, node 0, visits them.

    Examples
    --------
    >>> autonomous_path(np.array([0, 0, 2]), np.array([1, 2, 0]), np.array([False, True, True]))
    [0, 2]
    """
    following = {int(s): int(t) for s, t, a in zip(source, target, autonomous, strict=True) if a}
    path = [0]
    while path[-1] in following and following[path[-1]] not in path:
        path.append(following[path[-1]])
    return path


def node_positions(
    nodes: int,
    source: NDArray[np.integer],
    target: NDArray[np.integer],
    autonomous: NDArray[np.bool_],
    output: NDArray[np.integer] | None = None,
    column: float = COLUMN,
) -> Array:
    """Place the nodes.

    Parameters
    ----------
    nodes : int
    source, target : array of int (edge,)
    autonomous : array of bool (edge,)
    output : array of int (node,), optional
        Nodes of output 1 go above those of output -1 where nothing else matters.
    column : float
        From one node of the path to the next.

    Returns
    -------
    array (node, 2)
        No two closer than `ROW`.

    Examples
    --------
    >>> node_positions(2, np.array([0, 1]), np.array([1, 0]), np.array([True, True])).tolist()
    [[0.0, 0.0], [1.3, 0.0]]
    """
    from solspace.plots.clutter import clutter

    sign = np.zeros(nodes) if output is None else np.asarray(output, np.float64)
    path = autonomous_path(source, target, autonomous)
    depth = _depths(nodes, source, target, path)
    links = sorted(
        {(min(s, t), max(s, t)) for s, t in zip(source.tolist(), target.tolist(), strict=True)}
        - {(i, i) for i in range(nodes)}
    )
    ways = sorted({(s, t) for s, t in zip(source.tolist(), target.tolist(), strict=True) if s != t})
    at = np.full((nodes, 2), np.nan)
    for x, node in enumerate(path):
        at[node] = x, 0
    free = sorted((n for n in range(nodes) if n not in path), key=lambda n: (depth[n], n))

    pairs = np.array(links, np.int64).reshape(-1, 2), np.array(ways, np.int64).reshape(-1, 2)
    away = depth.astype(np.float64)

    def cost(positions: Array) -> float:
        return float(clutter(positions, *pairs, sign, away))

    if len(path) == 1:
        return _layers(depth, cost) * (column, 1.35 * ROW)
    columns = max(len(path), int(depth.max(initial=0)) + 1)
    rows = 2 + nodes // 4  # so many that every node finds a place
    slots = [
        (x / 2, float(y))
        for y in range(-rows, rows + 1)
        for x in range(2 * columns - 1)
        if y or x / 2 >= len(path)
    ]
    for node in free:
        at[node] = min(
            (slot for slot in slots if _is_clear(at, node, slot)),
            key=lambda slot: (round(_with(at, node, slot, cost), 9), slot),
        )
    if nodes <= SEARCHED:
        at = _improve(at, free, slots, cost)
    return at * (column, ROW)


def _depths(
    nodes: int, source: NDArray[np.integer], target: NDArray[np.integer], path: list[int]
) -> NDArray[np.int64]:
    """Edges from the root, nodes of the path counted along it."""
    depth = np.full(nodes, -1)
    depth[path] = np.arange(len(path))
    queue = list(path)
    for node in queue:
        for s, t in zip(source.tolist(), target.tolist(), strict=True):
            if s == node and depth[t] < 0:
                depth[t] = depth[node] + 1
                queue.append(t)
    depth[depth < 0] = depth.max() + 1
    return depth


def _layers(depth: NDArray[np.int64], cost: Cost) -> Array:
    """Where the root flows nowhere: one column for each distance from it, evenly up and down."""
    at = np.zeros((len(depth), 2))
    at[:, 0] = depth
    columns = [np.flatnonzero(depth == d) for d in np.unique(depth)]
    for here in columns:
        at[here, 1] = (len(here) - 1) / 2 - np.arange(len(here))
    if len(depth) > SEARCHED:
        return at
    if np.prod([factorial(len(c)) for c in columns]) <= 300:
        options = product(*([list(p) for p in permutations(c.tolist())] for c in columns))
        arranged: list[tuple[float, int, Array]] = []
        for option in options:
            one = at.copy()
            for column, order in zip(columns, option, strict=True):
                one[order] = at[column]
            arranged.append((round(cost(one), 9), len(arranged), one))
        return min(arranged, key=lambda a: a[:2])[2]
    pairs = [p for p in combinations(range(len(depth)), 2) if depth[p[0]] == depth[p[1]]]
    best = cost(at)
    for _ in range(8):
        before = best
        for a, b in pairs:
            swapped = at.copy()
            swapped[[a, b]] = at[[b, a]]
            value = cost(swapped)
            if value < best - 1e-9:
                at, best = swapped, value
        if best == before:
            break
    return at


def _is_clear(at: Array, node: int, slot: Slot) -> bool:
    gap = np.abs(at - slot)
    gap[node] = np.inf
    near = (gap[:, 0] < 1) & (gap[:, 1] < 1)
    return not near.any()


def _with(at: Array, node: int, slot: Slot, cost: Cost) -> float:
    moved = at.copy()
    moved[node] = slot
    return float(cost(moved))


def _improve(at: Array, free: list[int], slots: list[Slot], cost: Cost) -> Array:
    """Move and exchange nodes for as long as that makes the drawing clearer."""
    best = cost(at)
    for _ in range(8):
        before = best
        for node in free:
            for slot in slots:
                if _is_clear(at, node, slot):
                    value = _with(at, node, slot, cost)
                    if value < best - 1e-9:
                        at, best = at.copy(), value
                        at[node] = slot
        for a, b in combinations(free, 2):
            swapped = at.copy()
            swapped[[a, b]] = at[[b, a]]
            value = cost(swapped)
            if value < best - 1e-9:
                at, best = swapped, value
        if best == before:
            break
    return at


# --------------------------------------------------------------------------- edges


def edge_curves(
    at: Array,
    source: NDArray[np.integer],
    target: NDArray[np.integer],
    autonomous: NDArray[np.bool_],
    labels: list[str],
) -> list[Edge]:
    """Draw the edges between placed nodes.

    Pulses from one node to another share an edge, and their labels. Two edges between the same
    nodes bend apart; an edge that would run through a node bends around it.

    Parameters
    ----------
    at : array (node, 2)
    source, target : array of int (edge,)
    autonomous : array of bool (edge,)
    labels : list of str (edge,)

    Examples
    --------
    >>> at = np.array([[0.0, 0.0], [1.0, 0.0]])
    >>> edges = edge_curves(at, np.array([0, 0, 1]), np.array([1, 1, 1]),
    ...                     np.array([True, False, False]), ["", "set", "set"])
    >>> [(e.source, e.target, e.label) for e in edges]
    [(0, 1, ''), (0, 1, 'set'), (1, 1, 'set')]
    """
    groups: dict[tuple[int, int, bool], list[str]] = {}
    rows = zip(source.tolist(), target.tolist(), autonomous.tolist(), labels, strict=True)
    for s, t, a, label in rows:
        groups.setdefault((s, t, a), []).append(label)
    between: dict[tuple[int, int], list[tuple[int, int, bool]]] = {}
    for key in sorted(groups, key=lambda k: (k[0], k[1], not k[2])):
        between.setdefault((min(key[:2]), max(key[:2])), []).append(key)
    curves: dict[tuple[int, int, bool], Array] = {}
    single = [keys[0] for pair, keys in between.items() if len(keys) == 1 and pair[0] != pair[1]]
    several = [keys for pair, keys in between.items() if len(keys) > 1 and pair[0] != pair[1]]
    # Short edges first: the longer ones bend around them.
    single.sort(key=lambda k: (round(float(np.hypot(*(at[k[0]] - at[k[1]]))), 6), k))
    for keys in several:
        _bend_apart(at, keys, curves)
    for key in single:
        curves[key] = _clearest(at, key, curves)
    loops = [key for key in groups if key[0] == key[1]]
    angles = _departures(at, curves)
    for key in sorted(loops, key=lambda k: (k[0], not k[2])):
        curves[key] = _loop(at, key[0], angles)
    ordered = sorted(groups, key=lambda k: (k[0], k[1], not k[2]))
    arrows = {key: _arrow(curves[key], at[key[1]]) for key in ordered}
    edges = []
    taken = [(p, RADIUS, RADIUS) for p in at]
    taken += [(head.mean(axis=0), 0.07, 0.07) for _, head in arrows.values()]
    for key in ordered:
        curve, head = arrows[key]
        text = _joined([label for label in groups[key] if label])
        others = [c for other, c in curves.items() if other != key]
        if key[0] == key[1]:
            where = _beyond(curves[key], at[key[0]], text)
        else:
            where = _label_place(curves[key], taken, others, text)
        if text:
            taken.append((where, *half_size(text)))
        edges.append(Edge(key[0], key[1], key[2], text, curve, head, where))
    return edges


def _bezier(*points: Array, steps: int = 41) -> Array:
    t = np.linspace(0, 1, steps)[:, None]
    if len(points) == 3:
        a, b, c = points
        return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    a, b, c, d = points
    return (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d


def _bent(at: Array, key: tuple[int, int, bool], bend: float) -> Array:
    """From the one node's middle to the other's, to its own left for a positive bend."""
    a, b = at[key[0]], at[key[1]]
    step = b - a
    left = np.array([-step[1], step[0]]) / np.hypot(*step)
    return _bezier(a, (a + b) / 2 + 2 * bend * left, b)


def _bend_apart(
    at: Array, keys: list[tuple[int, int, bool]], curves: dict[tuple[int, int, bool], Array]
) -> None:
    first = keys[0]
    forward = [k for k in keys if k[:2] == first[:2]]
    back = [k for k in keys if k[:2] != first[:2]]
    for i, key in enumerate(forward):
        # Two edges of one direction and none back stand on either side of the line.
        curves[key] = _bent(
            at, key, (0.2 if back else 0.0) + (0.22 * i if back else 0.17 - 0.34 * i)
        )
    for i, key in enumerate(back):
        curves[key] = _bent(at, key, 0.2 + 0.22 * i)


def _clearest(
    at: Array, key: tuple[int, int, bool], curves: dict[tuple[int, int, bool], Array]
) -> Array:
    """The least bent curve that keeps clear of nodes and, where it can, of other edges."""
    from solspace.plots.clutter import crossings

    others = np.delete(at, list(key[:2]), axis=0)
    best, best_cost = _bent(at, key, 0.0), np.inf
    for size in (0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.25):
        if best_cost <= 0.6 * size:  # no curve that is bent more can be better
            break
        for bend in (size, -size) if size else (0.0,):
            curve = _bent(at, key, bend)
            gap = np.inf
            if len(others):
                gap = np.linalg.norm(curve[:, None] - others[None], axis=-1).min()
            cost = 0.6 * size + 50 * max(0.0, RADIUS + 0.14 - gap)
            cost += 0.5 * sum(crossings(curve, other) for other in curves.values())
            if cost < best_cost - 1e-9:
                best, best_cost = curve, cost
    return best


def _departures(at: Array, curves: dict[tuple[int, int, bool], Array]) -> dict[int, list[float]]:
    """Angles at which edges meet each node; at the root also that of the start mark."""
    angles: dict[int, list[float]] = {n: [] for n in range(len(at))}
    angles[0].append(np.pi)
    for (s, t, _), curve in curves.items():
        for node, toward in ((s, curve[8] - curve[0]), (t, curve[-9] - curve[-1])):
            angles[node].append(float(np.arctan2(toward[1], toward[0])))
    return angles


def _loop(at: Array, node: int, angles: dict[int, list[float]]) -> Array:
    """A loop where there is most space, up or down where it can."""
    used = np.array(angles[node] or [-np.pi / 2])
    for other in np.delete(at, node, axis=0):
        if np.hypot(*(other - at[node])) < 1.2:
            toward = other - at[node]
            used = np.append(used, np.arctan2(toward[1], toward[0]))
    candidates = np.pi / 2 + np.pi / 8 * np.array(
        [0, 8, 1, -1, 7, 9, 2, -2, 6, 10, 3, -3, 5, 11, 4, -4]
    )
    away = np.abs((candidates[:, None] - used[None] + np.pi) % (2 * np.pi) - np.pi).min(axis=1)
    # Space beyond 60 degrees is enough; then the order of the candidates decides.
    angle = candidates[np.argmax(np.minimum(away, np.pi / 3))]
    angles[node].append(float(angle))
    half, reach = 0.6, 4.6 * RADIUS

    def along(a: float, r: float) -> Array:
        return at[node] + r * np.array([np.cos(a), np.sin(a)])

    return _bezier(at[node], along(angle + half, reach), along(angle - half, reach), at[node])


def _arrow(curve: Array, tip_node: Array, size: float = 0.13) -> tuple[Array, Array]:
    """The curve cut at the rims of its nodes, and the arrowhead at its end."""
    fine = np.column_stack(
        [np.interp(np.linspace(0, 1, 801), np.linspace(0, 1, len(curve)), c) for c in curve.T]
    )
    rim = RADIUS + 0.03
    outside = np.flatnonzero(np.linalg.norm(fine - fine[0], axis=1) >= rim)
    start = outside[0]
    inside = np.flatnonzero(np.linalg.norm(fine - tip_node, axis=1) >= rim)
    end = inside[-1]
    tip = fine[end]
    body = np.flatnonzero(np.linalg.norm(fine - tip, axis=1) >= size)
    foot = body[body < end][-1]
    direction = (tip - fine[foot]) / np.hypot(*(tip - fine[foot]))
    across = np.array([-direction[1], direction[0]]) * size * 0.42
    base = tip - direction * size
    line = np.concatenate([fine[start:foot:8], [base + direction * 0.02]])
    return line, np.array([tip, base + across, base - across])


def _joined(labels: list[str]) -> str:
    """Labels of one edge, one below the other where they would not fit beside each other."""
    line = ", ".join(labels)
    return line if len(line) <= 9 else ",\n".join(labels)


def half_size(text: str) -> tuple[float, float]:
    """Half the width and half the height of a label, in units of the layout."""
    lines = text.split("\n")
    return 0.05 * max(*map(len, lines), 2), 0.09 * len(lines)


def _beyond(loop: Array, node: Array, text: str) -> Array:
    """A place outside the far end of a loop."""
    end = loop[len(loop) // 2]
    outward = (end - node) / np.hypot(*(end - node))
    # Its nearest side or corner is at the end.
    return end + 0.04 * outward + outward / np.abs(outward).max() * half_size(text)


def _label_place(
    curve: Array, taken: list[tuple[Array, float, float]], others: list[Array], text: str
) -> Array:
    """A place on the curve where a label is clear of nodes, labels and other edges."""
    wide, high = half_size(text)
    best, best_cost = curve[len(curve) // 2], np.inf
    for share in (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.27, 0.73):
        here = curve[round(share * (len(curve) - 1))]
        cost = 0.5 * abs(share - 0.5)
        for point, its_wide, its_high in taken:
            gap = np.abs(here - point) - (wide + its_wide + 0.04, high + its_high + 0.03)
            cost += 4 * max(0.0, -float(gap.max()))
        for other in others:
            near = np.abs(other - here) - (wide + 0.05, high + 0.04)
            cost += 3 * max(0.0, -float(near.max(axis=1).min()))
        if cost < best_cost - 1e-9:
            best, best_cost = here, cost
    return best
