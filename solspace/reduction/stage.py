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
from solspace.kinds import kind_of, load
from solspace.population import each_network, network_weights, task_of, warn_of_failures
from solspace.reduction.canonical import describe_solution, graph_key, solution_key
from solspace.reduction.graph import Graph
from solspace.tasks import Task

__all__ = ["graph_of", "rank_checkpoints", "rank_solutions", "reduce", "solutions"]


def reduce(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    method: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Compress each network's dynamics into a small directed graph and label the solutions.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        From the dataset's attrs by default.
    method : {"turner2021", "automaton", "timed"}, optional
        The construction of Turner, Dabholkar & Barak (NeurIPS 2021), the default, one from what
        the network answers to pulses at many moments, or one that knows time (see
        `solspace.reduction.reduce_network`). Solutions are named without time: with ``timed``
        by the graph of ``automaton``.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The population with ``solution``, ``solution_key`` (what the graph allows, see
        `solspace.reduction.solution_key`), ``solution_description``, ``graph_key`` and the
        variables of the graph group (dims network, node, edge). A network whose dynamics cannot
        be reduced has ``status_reduce`` 2, solution -1, and the reason in ``message_reduce``.
        Where the population has checkpoints, they are labelled too (``checkpoint_solution``,
        ...).

    Raises
    ------
    SolspaceError
        For a task of several outputs.

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
    task_of(ds, task)
    how = load(kind_of(ds.attrs["architecture"]).reduce)
    options = {} if method is None else {"method": method}
    reduced: xr.Dataset = how(ds, task=task, progress=progress, **options)
    return reduced


def reduce_cells(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    method: str = "turner2021",
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Graphs of a population of recurrent cells; see `reduce`."""
    from solspace.reduction import check_one_output, reduce_network

    task = task_of(ds, task)
    check_one_output(task)
    n = ds.sizes["network"]
    sizes, windows = room(method)
    most_nodes, most_edges = sizes["node"], sizes["edge"]
    per_edge = ["edge_source", "edge_target", "edge_input", *windows]
    arrays: dict[str, NDArray] = {
        "n_nodes": np.full(n, -1, np.int16),
        "n_edges": np.full(n, -1, np.int16),
        "node_output": np.zeros((n, most_nodes), np.int8),
        **{name: np.full((n, most_edges), -1, np.int16) for name in per_edge},
    }
    keys, descriptions, graph_keys = (np.full(n, "", dtype=object) for _ in range(3))
    symbols = task.input_symbols
    path = _Path(ds)

    named = "automaton" if method == "timed" else method

    def label(weights: dict[str, NDArray]) -> tuple[Graph, str, str]:
        graph = reduce_network(task, ds.attrs["architecture"], weights, method=named)
        return graph, solution_key(graph, symbols), describe_solution(graph, symbols)

    def compute(i: int) -> None:
        path.label(i, lambda weights: label(weights)[1:])
        graph, *names = label(network_weights(ds, i))
        untimed = graph
        if method == "timed":
            graph = reduce_network(
                task, ds.attrs["architecture"], network_weights(ds, i), method=method
            )
        nodes, edges = len(graph.node_output), len(graph.edge_source)
        if nodes > most_nodes or edges > most_edges:
            raise SolspaceError(
                f"a graph of {nodes} nodes and {edges} edges; the store has room for "
                f"{most_nodes} and {most_edges}"
            )
        keys[i], descriptions[i], graph_keys[i] = *names, graph_key(untimed, symbols)
        path.end(i, *names)
        arrays["n_nodes"][i], arrays["n_edges"][i] = nodes, edges
        arrays["node_output"][i, :nodes] = graph.node_output
        for name in per_edge:
            edge = getattr(graph, "edge_symbol" if name == "edge_input" else name)
            arrays[name][i, :edges] = edge

    ended = each_network(ds, "reduce", compute, after="train", progress=progress)
    declared = schema.variables("graph")
    # Graphs that are there already may have another room.
    roomy = [name for name, variable in declared.items() if {"node", "edge"} & {*variable.dims}]
    out = (
        ds.drop_vars(roomy, errors="ignore")
        .assign(
            {name: (declared[name].dims, values) for name, values in arrays.items()}
            | {
                "solution": ("network", rank_solutions(keys)),
                "solution_key": ("network", keys),
                "solution_description": ("network", descriptions),
                "graph_key": ("network", graph_keys),
            }
            | ended
            | path.variables(keys, ended["message_reduce"][1])
        )
        .assign_coords(input_symbol=np.array(task.input_symbols, dtype=object))
    )
    warn_of_failures(out, "reduce")
    for group in ("population", "graph", "learning"):
        out = schema.annotate(out, group)
    return out


def room(method: str = "turner2021", **_: Any) -> tuple[dict[str, int], tuple[str, ...]]:
    """Most nodes and edges of a graph in a store, and the optional variables it has.

    Examples
    --------
    >>> room("automaton")
    ({'node': 64, 'edge': 192}, ())
    """
    if method == "timed":
        return {"node": schema.TIMED_NODES, "edge": schema.TIMED_EDGES}, schema.WINDOWS
    return {"node": schema.MAX_NODES, "edge": schema.MAX_EDGES}, ()


class _Path:
    """Labels of every network's checkpoints, where the population has some."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds, self._prefix = ds, schema.prefix("learning")
        shape = (ds.sizes["network"], 0)
        if f"{self._prefix}gradient_steps" in ds:
            self._steps = ds[f"{self._prefix}gradient_steps"].values
            shape = self._steps.shape
        self._keys = np.full(shape, "", dtype=object)
        self._descriptions = np.full(shape, "", dtype=object)
        self._messages = np.full(shape, "", dtype=object)

    def label(self, i: int, names_of: Callable[[dict[str, NDArray]], tuple[str, str]]) -> None:
        """All checkpoints but the last; one without a graph is noted and the others go on."""
        for k in range(self._keys.shape[1] - 1):
            if self._steps[i, k] < 0:
                self._messages[i, k] = "the loss never fell so far"
            elif k and self._steps[i, k] == self._steps[i, k - 1]:  # the same weights
                for names in (self._keys, self._descriptions, self._messages):
                    names[i, k] = names[i, k - 1]
            else:
                try:
                    weights = network_weights(self._ds, i, checkpoint=k)
                    self._keys[i, k], self._descriptions[i, k] = names_of(weights)
                except (MemoryError, OSError):
                    raise
                except SolspaceError as error:
                    self._messages[i, k] = str(error)
                except Exception as error:
                    self._messages[i, k] = f"{type(error).__name__}: {error}"

    def end(self, i: int, key: str, description: str) -> None:
        """The last checkpoint is the network as it is."""
        self._keys[i, -1:], self._descriptions[i, -1:] = key, description

    def variables(self, keys: NDArray, why: NDArray) -> dict[str, Any]:
        """Variables of the learning group; ``why`` says of each network why it has no graph."""
        if not self._keys.size:
            return {}
        none = self._keys == ""
        messages = np.where(none & (self._messages == ""), why[:, None], self._messages)
        status = np.where(none, schema.FAILED, schema.DONE).astype(np.uint8)
        named = {
            "solution": rank_checkpoints(keys, self._keys),
            "solution_key": self._keys,
            "solution_description": self._descriptions,
            "status_reduce": status,
            "message_reduce": messages,
        }
        dims = ("network", "checkpoint")
        return {self._prefix + name: (dims, values) for name, values in named.items()}


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


def rank_checkpoints(keys: Sequence[str] | NDArray, on_the_way: NDArray) -> NDArray[np.int16]:
    """Number the keys of checkpoints as those of the networks.

    Parameters
    ----------
    keys : array of str (network,)
    on_the_way : array of str (network, checkpoint)

    Returns
    -------
    array of int16 (network, checkpoint)
        Of keys that a network has, its number by `rank_solutions`; the others follow, most
        common first; -1 where empty.

    Examples
    --------
    >>> rank_checkpoints(["b", "a", "b"], np.array([["c", "b"], ["c", "a"], ["", "b"]])).tolist()
    [[2, 0], [2, 1], [-1, 0]]
    """
    first = rank_solutions(keys)
    number = {str(key): int(i) for key, i in zip(keys, first, strict=True) if i >= 0}
    flat = [str(key) for key in np.ravel(on_the_way)]
    others = ["" if key in number else key for key in flat]
    after = max(number.values(), default=-1) + 1
    more = {key: after + int(i) for key, i in zip(others, rank_solutions(others), strict=True)}
    found = [number[key] if key in number else more[key] if key else -1 for key in flat]
    return np.array(found, dtype=np.int16).reshape(np.shape(on_the_way))


def checkpoint_solutions(ds: xr.Dataset) -> NDArray[np.int16]:
    """The solution of every network of a whole population at each of its checkpoints."""
    keys = ds[f"{schema.prefix('learning')}solution_key"].values
    return rank_checkpoints(ds["solution_key"].values, keys)


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
    # Only graphs that know time have windows.
    windows = {
        name: ds[name].isel(at | {"edge": slice(edges)}).values
        for name in schema.WINDOWS
        if name in ds
    }
    return Graph(
        node_output=ds["node_output"].isel(at | {"node": slice(nodes)}).values,
        edge_source=ds["edge_source"].isel(at | {"edge": slice(edges)}).values,
        edge_target=ds["edge_target"].isel(at | {"edge": slice(edges)}).values,
        edge_symbol=ds["edge_input"].isel(at | {"edge": slice(edges)}).values,
        **windows,
    )
