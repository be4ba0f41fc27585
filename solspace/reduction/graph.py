"""The reduced-dynamics graph as four small arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

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
    outputs and what the edges carry are kept. (So a graph cannot be hashed; its
    `solspace.reduction.graph_key` can.)

    Parameters
    ----------
    node_output : array (node,)
        -1, 0 or 1. Node 0 is the root.
    edge_source, edge_target : array (edge,)
        Nodes.
    edge_symbol : array (edge,)
        What the edge carries: 0 is autonomous flow, others index the task's ``input_symbols``.

    Raises
    ------
    SolspaceError
        Where there is no root, an edge meets a node that is not there, a symbol is negative or
        an output is not -1, 0 or 1.

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

    def __init__(
        self,
        node_output: ArrayLike,
        edge_source: ArrayLike,
        edge_target: ArrayLike,
        edge_symbol: ArrayLike,
    ) -> None:
        given = {
            "node_output": np.asarray(node_output),
            "edge_source": np.asarray(edge_source),
            "edge_target": np.asarray(edge_target),
            "edge_symbol": np.asarray(edge_symbol),
        }
        for name, array in given.items():
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
                raise SolspaceError(
                    f"graph: {name} has shape {array.shape} and dtype {array.dtype}; "
                    "give integers along one axis"
                )
        output, source, target, symbol = given.values()
        nodes = len(output)
        if not nodes:
            raise SolspaceError("graph: no nodes; give at least the root")
        if not np.isin(output, (-1, 0, 1)).all():
            wrong = output[~np.isin(output, (-1, 0, 1))][0]
            raise SolspaceError(f"graph: a node has output {wrong}; allowed: -1, 0, 1")
        if not len(source) == len(target) == len(symbol):
            raise SolspaceError(
                f"graph: {len(source)} sources, {len(target)} targets and {len(symbol)} symbols "
                "of edges; give one of each per edge"
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
        from solspace.reduction.canonical import canonical_form

        return canonical_form(self) == canonical_form(other)

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
