"""Reduce the dynamics of every network of a population to a graph, and name the solutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace import schema
from solspace.errors import SolspaceError
from solspace.population import each_network, network_weights, task_of, warn_of_failures
from solspace.reduction.canonical import describe_solution, graph_key, solution_key
from solspace.reduction.graph import Graph
from solspace.tasks import Task

__all__ = ["graph_of", "rank_solutions", "reduce", "solutions"]


def reduce(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    method: str = "turner2021",
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Compress each network's dynamics into a small directed graph and label the solutions.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        From the dataset's attrs by default.
    method : {"turner2021", "automaton"}
        The construction of Turner, Dabholkar & Barak (NeurIPS 2021), or one from what the
        network answers to pulses at many moments (see `solspace.reduction.reduce_network`).
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The population with ``solution``, ``solution_key`` (what the graph allows, see
        `solspace.reduction.solution_key`), ``solution_description``, ``graph_key`` and the
        variables of the graph group (dims network, node, edge). A network whose dynamics cannot
        be reduced has ``status_reduce`` 2, solution -1, and the reason in ``message_reduce``.

    Examples
    --------
    >>> from solspace import import_networks, reduce
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> ds = reduce(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> ds.solution.item(), ds.n_nodes.item()
    (0, 1)
    """
    from solspace.reduction import reduce_network

    task = task_of(ds, task)
    n = ds.sizes["network"]
    arrays: dict[str, NDArray] = {
        "n_nodes": np.full(n, -1, np.int16),
        "n_edges": np.full(n, -1, np.int16),
        "node_output": np.zeros((n, schema.MAX_NODES), np.int8),
        "edge_source": np.full((n, schema.MAX_EDGES), -1, np.int16),
        "edge_target": np.full((n, schema.MAX_EDGES), -1, np.int16),
        "edge_input": np.full((n, schema.MAX_EDGES), -1, np.int16),
    }
    keys, descriptions, graph_keys = (np.full(n, "", dtype=object) for _ in range(3))

    def compute(i: int) -> None:
        graph = reduce_network(
            task, ds.attrs["architecture"], network_weights(ds, i), method=method
        )
        nodes, edges = len(graph.node_output), len(graph.edge_source)
        if nodes > schema.MAX_NODES or edges > schema.MAX_EDGES:
            raise SolspaceError(
                f"a graph of {nodes} nodes and {edges} edges; the store has room for "
                f"{schema.MAX_NODES} and {schema.MAX_EDGES}"
            )
        symbols = task.input_symbols
        keys[i], graph_keys[i] = solution_key(graph, symbols), graph_key(graph, symbols)
        descriptions[i] = describe_solution(graph, symbols)
        arrays["n_nodes"][i], arrays["n_edges"][i] = nodes, edges
        arrays["node_output"][i, :nodes] = graph.node_output
        arrays["edge_source"][i, :edges] = graph.edge_source
        arrays["edge_target"][i, :edges] = graph.edge_target
        arrays["edge_input"][i, :edges] = graph.edge_symbol

    ended = each_network(ds, "reduce", compute, after="train", progress=progress)
    declared = schema.variables("graph")
    out = ds.assign(
        {name: (declared[name].dims, values) for name, values in arrays.items()}
        | {
            "solution": ("network", rank_solutions(keys)),
            "solution_key": ("network", keys),
            "solution_description": ("network", descriptions),
            "graph_key": ("network", graph_keys),
        }
        | ended
    ).assign_coords(input_symbol=np.array(task.input_symbols, dtype=object))
    warn_of_failures(out, "reduce")
    return schema.annotate(schema.annotate(out, "population"), "graph")


def rank_solutions(keys: Sequence[str] | NDArray) -> NDArray[np.int16]:
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


def solutions(ds: xr.Dataset) -> NDArray[np.int16]:
    """The solution of every network of a whole population, from ``solution_key``."""
    return rank_solutions(ds["solution_key"].values)


def graph_of(ds: xr.Dataset, index: int) -> Graph:
    """One network's graph from a dataset with the variables of the graph group.

    Raises
    ------
    SolspaceError
        Where there is none, or it has an edge to a node that is not there.

    Examples
    --------
    >>> ds = xr.Dataset({"n_nodes": ("network", [2]), "n_edges": ("network", [1]),
    ...                  "node_output": (("network", "node"), [[0, 1]]),
    ...                  "edge_source": (("network", "edge"), [[0]]),
    ...                  "edge_target": (("network", "edge"), [[1]]),
    ...                  "edge_input": (("network", "edge"), [[0]])})
    >>> graph_of(ds, 0).node_output.tolist()
    [0, 1]
    """
    nodes, edges = int(ds["n_nodes"].values[index]), int(ds["n_edges"].values[index])
    if nodes < 0:
        raise SolspaceError(f"network {index} has no graph; type `solspace reduce STORE`")
    at: dict[str, Any] = {"network": index}
    return Graph(
        node_output=ds["node_output"].isel(at | {"node": slice(nodes)}).values,
        edge_source=ds["edge_source"].isel(at | {"edge": slice(edges)}).values,
        edge_target=ds["edge_target"].isel(at | {"edge": slice(edges)}).values,
        edge_symbol=ds["edge_input"].isel(at | {"edge": slice(edges)}).values,
    )
