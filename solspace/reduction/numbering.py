"""An order of a graph's nodes that does not depend on how they were numbered.

The root is known and most edges are the only one of their symbol, so that numbering nodes as a
breadth-first search from the root meets them, symbol by symbol, settles ordinary graphs at linear
cost. What that leaves undecided (nodes the root does not lead to, two edges of one symbol) is told
apart by colour refinement, and symmetric remains by trying each of them first; parts that do not
touch are settled one by one, so that twins cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solspace.reduction.graph import Graph

__all__ = ["canonical_form", "canonical_order"]

Form = tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]


class _Labeling:
    """A graph as adjacency lists of (symbol, neighbour) while its nodes are put in order."""

    def __init__(self, graph: Graph) -> None:
        self.output: list[int] = graph.node_output.tolist()
        self.out: list[list[tuple[int, int]]] = [[] for _ in self.output]
        self.into: list[list[tuple[int, int]]] = [[] for _ in self.output]
        for source, target, symbol in zip(
            graph.edge_source.tolist(),
            graph.edge_target.tolist(),
            graph.edge_symbol.tolist(),
            strict=True,
        ):
            self.out[source].append((symbol, target))
            self.into[target].append((symbol, source))

    def order(self) -> list[int]:
        numbered = self._breadth_first()
        if len(numbered) == len(self.output):
            return numbered
        number = {node: i for i, node in enumerate(numbered)}
        # Outputs come after all numbers.
        past = len(numbered) + max(1, -min(self.output))
        color = [number.get(v, past + out) for v, out in enumerate(self.output)]
        color = self._refined(color)
        cells = _cells(range(len(color)), color)
        fixed = sorted((v for cell in cells for v in cell if len(cell) == 1), key=color.__getitem__)
        undecided = [v for cell in cells if len(cell) > 1 for v in cell]
        return fixed + self._ordered_parts(undecided, color)

    def _breadth_first(self) -> list[int]:
        found = [0]
        seen = {0}
        for node in found:
            by_symbol: dict[int, set[int]] = {}
            for symbol, target in self.out[node]:
                by_symbol.setdefault(symbol, set()).add(target)
            for symbol in sorted(by_symbol):
                new = by_symbol[symbol] - seen
                if len(new) == 1:
                    found.extend(new)
                    seen |= new
        return found

    def _refined(self, color: list[int]) -> list[int]:
        """Colours split until nodes of one colour have the same coloured neighbours."""
        count = len(set(color))
        while True:
            signature = [
                (
                    color[v],
                    sorted((symbol, color[u]) for symbol, u in self.out[v]),
                    sorted((symbol, color[u]) for symbol, u in self.into[v]),
                )
                for v in range(len(color))
            ]
            color = _ranked(signature)
            if len(set(color)) == count:
                return color
            count = len(set(color))

    def _ordered_parts(self, nodes: Iterable[int], color: list[int]) -> list[int]:
        """Nodes that colours leave undecided, in canonical order, part by connected part."""
        parts = [self._ordered_part(part, color) for part in self._parts(set(nodes))]
        parts.sort(key=lambda part: self._encoded(part, color))
        return [node for part in parts for node in part]

    def _parts(self, nodes: set[int]) -> list[list[int]]:
        parts = []
        while nodes:
            part = [nodes.pop()]
            for node in part:
                near = {u for _, u in self.out[node] + self.into[node]} & nodes
                nodes -= near
                part.extend(near)
            parts.append(part)
        return parts

    def _ordered_part(self, part: list[int], color: list[int]) -> list[int]:
        """The order of one part with the least code, over its first node's choices."""
        cells = _cells(part, color)
        # The cell is chosen by what every renumbering of the graph has in common.
        first_cell = min(cells, key=lambda cell: (len(cell), color[cell[0]]))
        best: tuple[Any, list[int]] | None = None
        for first in first_cell:
            single = [2 * c for c in color]
            single[first] -= 1
            split = self._refined(_ranked(single))
            inner = _cells(part, split)
            fixed = sorted(
                (v for cell in inner for v in cell if len(cell) == 1), key=split.__getitem__
            )
            undecided = [v for cell in inner if len(cell) > 1 for v in cell]
            order = fixed + self._ordered_parts(undecided, split)
            code = self._encoded(order, color)
            if best is None or code < best[0]:
                best = code, order
        assert best is not None
        return best[1]

    def _encoded(self, part: list[int], color: list[int]) -> list[Any]:
        """All edges at the nodes of a part: to inside by position, to outside by colour."""
        position = {node: i for i, node in enumerate(part)}

        def place(node: int) -> tuple[int, int]:
            inside = node in position
            return int(inside), position[node] if inside else color[node]

        return [
            (
                color[node],
                sorted((symbol, place(u)) for symbol, u in self.out[node]),
                sorted((symbol, place(u)) for symbol, u in self.into[node]),
            )
            for node in part
        ]


def _ranked(values: Sequence[Any]) -> list[int]:
    rank: dict[str, int] = {}
    ordered = sorted(values)
    for value in ordered:
        rank.setdefault(repr(value), len(rank))
    return [rank[repr(value)] for value in values]


def _cells(nodes: Iterable[int], color: list[int]) -> list[list[int]]:
    cells: dict[int, list[int]] = {}
    for node in nodes:
        cells.setdefault(color[node], []).append(node)
    return list(cells.values())


def canonical_order(graph: Graph) -> list[int]:
    """The nodes in an order that does not depend on how they were numbered; the root first.

    Examples
    --------
    >>> from solspace.reduction import Graph
    >>> canonical_order(Graph([0, 1, 0], [0, 2], [2, 1], [0, 0]))
    [0, 2, 1]
    """
    return _Labeling(graph).order()


def canonical_form(graph: Graph) -> Form:
    """Outputs and sorted edges (source, symbol, target) in canonical numbering.

    Two graphs have the same form exactly where one is the other with nodes renumbered.

    Examples
    --------
    >>> from solspace.reduction import Graph
    >>> canonical_form(Graph([0, 1, 0], [0, 2], [2, 1], [0, 0]))
    ((0, 0, 1), ((0, 0, 1), (1, 0, 2)))
    """
    order = canonical_order(graph)
    number = {node: i for i, node in enumerate(order)}
    edges = sorted(
        (number[source], symbol, number[target])
        for source, target, symbol in zip(
            graph.edge_source.tolist(),
            graph.edge_target.tolist(),
            graph.edge_symbol.tolist(),
            strict=True,
        )
    )
    return tuple(graph.node_output[order].tolist()), tuple(edges)
