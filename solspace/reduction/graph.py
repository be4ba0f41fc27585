"""The reduced-dynamics graph as a few small arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.reduction.numbering import canonical_form, canonical_order
from solspace.tasks.symbols import HIGHEST_SYMBOL

if TYPE_CHECKING:
    import networkx

__all__ = ["Graph", "ReductionError"]


class ReductionError(SolspaceError):
    """A network whose dynamics cannot be explored or compressed as the task's probe asks.

    Examples
    --------
    >>> raise ReductionError("the free run from the root is at rest after 3 steps")
    Traceback (most recent call last):
        ...
    solspace.reduction.graph.ReductionError: the free run from the root is at rest after 3 steps
    """


@dataclass(frozen=True, eq=False)
class Graph:
    """A rooted directed graph: regions of state space, and what leads from one to another.

    Two graphs compare equal where they are the same up to the numbering of the nodes: root,
    outputs, what the edges carry and their windows are kept. (So a graph cannot be hashed; its
    `solspace.reduction.graph_key` can.)

    Parameters
    ----------
    node_output : array (node,)
        -1, 0 or 1; of several outputs together the number that
        `solspace.tasks.symbols.read_symbols` gives. Node 0 is the root.
    edge_source, edge_target : array (edge,)
        Nodes.
    edge_symbol : array (edge,)
        What the edge carries: 0 is autonomous flow, others index the task's ``input_symbols``.
    edge_earliest, edge_latest : array (edge,), optional
        Steps, since the transient of the last pulse ended or since the root, between which the
        edge can be taken; -1, as by default, is no bound.

    Raises
    ------
    SolspaceError
        Where there is no root, an edge meets a node that is not there, a symbol is negative,
        an output is no such number, or a window ends before it begins.

    Examples
    --------
    >>> graph = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    >>> graph == Graph([0, 1], [1, 0], [0, 1], [0, 1])
    True
    """

    node_output: NDArray[np.int8]
    edge_source: NDArray[np.int16]
    edge_target: NDArray[np.int16]
    edge_symbol: NDArray[np.int16]
    edge_earliest: NDArray[np.int16]
    edge_latest: NDArray[np.int16]

    def __init__(
        self,
        node_output: ArrayLike,
        edge_source: ArrayLike,
        edge_target: ArrayLike,
        edge_symbol: ArrayLike,
        edge_earliest: ArrayLike | None = None,
        edge_latest: ArrayLike | None = None,
    ) -> None:
        no_bound = np.full(np.shape(edge_source), -1, np.int16)
        given = {
            "node_output": np.asarray(node_output),
            "edge_source": np.asarray(edge_source),
            "edge_target": np.asarray(edge_target),
            "edge_symbol": np.asarray(edge_symbol),
            "edge_earliest": np.asarray(no_bound if edge_earliest is None else edge_earliest),
            "edge_latest": np.asarray(no_bound if edge_latest is None else edge_latest),
        }
        for name, array in given.items():
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
                raise SolspaceError(
                    f"graph: {name} has shape {array.shape} and dtype {array.dtype}; "
                    "give integers along one axis"
                )
        output, source, target, symbol, earliest, latest = given.values()
        nodes = len(output)
        if not nodes:
            raise SolspaceError("graph: no nodes; give at least the root")
        if np.abs(output.astype(np.int64)).max() > HIGHEST_SYMBOL:
            wrong = output[np.abs(output.astype(np.int64)) > HIGHEST_SYMBOL][0]
            raise SolspaceError(
                f"graph: a node has output {wrong}; allowed: -1, 0, 1, and of several outputs "
                f"together up to {HIGHEST_SYMBOL}"
            )
        if not len(source) == len(target) == len(symbol):
            raise SolspaceError(
                f"graph: {len(source)} sources, {len(target)} targets and {len(symbol)} symbols "
                "of edges; give one of each per edge"
            )
        if not len(earliest) == len(latest) == len(source):
            raise SolspaceError(
                f"graph: {len(earliest)} and {len(latest)} bounds of windows for {len(source)} "
                "edges; give two per edge, -1 for none"
            )
        never = np.flatnonzero((latest >= 0) & (latest < earliest))
        if min(earliest.min(initial=0), latest.min(initial=0)) < -1 or never.size:
            wrong = int(never[0]) if never.size else int(np.argmin(np.minimum(earliest, latest)))
            raise SolspaceError(
                f"graph: edge {wrong} can be taken from step {earliest[wrong]} to "
                f"{latest[wrong]}; give steps in order, -1 for no bound"
            )
        for ends in (source, target):
            if ends.size and not (ends.min() >= 0 and ends.max() < nodes):
                wrong = ends[(ends < 0) | (ends >= nodes)][0]
                raise SolspaceError(
                    f"graph: an edge meets node {wrong}, which is not there; "
                    f"its nodes are 0 to {nodes - 1}"
                )
        if symbol.size and symbol.min() < 0:
            raise SolspaceError(
                f"graph: an edge carries symbol {symbol.min()}; give 0 (autonomous) or an index "
                "into the task's input_symbols"
            )
        for name, array in given.items():
            frozen = array.astype(np.int8 if name == "node_output" else np.int16)
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        # The numbering does not look at windows: of symmetric nodes it may take another first.
        return canonical_form(self) == canonical_form(other) and self._windows() == other._windows()

    def _windows(self) -> list[tuple[int, ...]]:
        """Edges that have a window, in canonical numbering."""
        if not self.timed:
            return []
        number = {node: i for i, node in enumerate(canonical_order(self))}
        rows = zip(
            self.edge_source.tolist(),
            self.edge_target.tolist(),
            self.edge_symbol.tolist(),
            self.edge_earliest.tolist(),
            self.edge_latest.tolist(),
            strict=True,
        )
        return sorted((number[s], number[t], *rest) for s, t, *rest in rows)

    @property
    def timed(self) -> bool:
        """Whether any edge has a window.

        Examples
        --------
        >>> Graph([0, 1], [0], [1], [1]).timed, Graph([0, 1], [0], [1], [1], [20], [-1]).timed
        (False, True)
        """
        return bool((self.edge_earliest >= 0).any() or (self.edge_latest >= 0).any())

    def without_windows(self) -> Graph:
        """The same nodes and edges at any time; of edges that are then the same, one.

        Examples
        --------
        >>> Graph([0, 1], [0, 0], [1, 1], [1, 1], [-1, 50], [20, -1]).without_windows().n_edges
        1
        """
        edges = np.stack([self.edge_source, self.edge_target, self.edge_symbol], axis=1)
        return Graph(self.node_output, *np.unique(edges, axis=0).T)

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.node_output)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.edge_source)

    def to_networkx(self) -> networkx.MultiDiGraph:
        """The graph in networkx: nodes with ``output`` and ``root``, edges with ``symbol``.

        Examples
        --------
        >>> Graph([0, 1], [0, 1], [1, 0], [1, 0]).to_networkx().edges(data="symbol")
        OutMultiEdgeDataView([(0, 1, 1), (1, 0, 0)])
        """
        import networkx as nx

        out = nx.MultiDiGraph()
        for node, output in enumerate(self.node_output.tolist()):
            out.add_node(node, output=output, root=node == 0)
        for source, target, symbol in zip(
            self.edge_source.tolist(),
            self.edge_target.tolist(),
            self.edge_symbol.tolist(),
            strict=True,
        ):
            out.add_edge(source, target, symbol=symbol)
        return out

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph, root: Any = None) -> Graph:
        """A graph from networkx: nodes with ``output``, edges with ``symbol``.

        Parameters
        ----------
        graph : networkx DiGraph or MultiDiGraph
        root : node, optional
            By default the node with a true ``root``, else the first.

        Raises
        ------
        SolspaceError
            Where the root is not there, or a node has no output or an edge no symbol.

        Examples
        --------
        >>> import networkx as nx
        >>> chain = nx.DiGraph()
        >>> chain.add_node("rest", output=0)
        >>> chain.add_node("go", output=1)
        >>> chain.add_edge("rest", "go", symbol=1)
        >>> Graph.from_networkx(chain).node_output
        array([0, 1], dtype=int8)
        """
        nodes = list(graph.nodes)
        if root is None:
            marked = [node for node in nodes if graph.nodes[node].get("root")]
            root = next(iter(marked or nodes), None)
        if root not in graph:
            raise SolspaceError(f"graph: the root {root!r} is not among its {len(nodes)} nodes")
        nodes.sort(key=lambda node: node != root)
        number = {node: i for i, node in enumerate(nodes)}
        try:
            output = [graph.nodes[node]["output"] for node in nodes]
            edges = [
                (number[s], number[t], data["symbol"]) for s, t, data in graph.edges(data=True)
            ]
        except KeyError as error:
            raise SolspaceError(
                f"graph: a node or an edge has no {error.args[0]!r}; "
                "give every node an 'output' and every edge a 'symbol'"
            ) from None
        source, target, symbol = zip(*edges, strict=True) if edges else ((), (), ())
        return cls(output, source, target, symbol)
