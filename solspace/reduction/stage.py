"""Reduce the dynamics of every network of a population to a graph, and name the solutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.population.ranking import rank_solutions
from solspace.population.sound import done
from solspace.population.trained import CHECKPOINT_PREFIX
from solspace.population.variables import DONE, FAILED, LABELS, STATUS_ATTRS, Variable, text_array
from solspace.reduction.bounds import (
    MAX_EDGES,
    MAX_NODES,
    TIMED_EDGES,
    TIMED_NODES,
    WINDOWS,
)
from solspace.stages import Group, Layout, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.reduction.graph import Graph
    from solspace.tasks import Task

__all__ = ["graph_of", "rank_checkpoints", "reduce", "solutions"]


def one_output(task: Task) -> None:
    """Graphs are made of one output."""
    from solspace.reduction.methods import check_one_output

    check_one_output(task)


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """Most nodes and edges of a graph, and the windows that only some methods make."""
    import xarray as xr

    timed = options.get("method") == "timed"
    sizes = {
        "node": TIMED_NODES if timed else MAX_NODES,
        "edge": TIMED_EDGES if timed else MAX_EDGES,
    }
    symbols = xr.Dataset(coords={"input_symbol": text_array(task.input_symbols)})
    return {"graph": Layout(symbols, sizes, WINDOWS if timed else ())}


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


def solutions(ds: xr.Dataset) -> NDArray[np.int16]:
    """The solution of every network of a whole population, from ``solution_key``."""
    return rank_solutions(ds["solution_key"].values)


def checkpoint_solutions(ds: xr.Dataset) -> NDArray[np.int16]:
    """The solution of every network of a whole population at each of its checkpoints."""
    keys = ds[f"{CHECKPOINT_PREFIX}solution_key"].values
    return rank_checkpoints(ds["solution_key"].values, keys)


SOLUTION_DESCRIPTION = Variable(
    "solution_description", ("network",), "U512", "what the reduced-dynamics graph says, in words"
)


def _edge(name: str, meaning: str, **more: Any) -> Variable:
    return Variable(name, ("network", "edge"), "int16", meaning, group="graph", **more)


GRAPH = (
    Variable(
        "input_symbol",
        ("input_symbol",),
        "U64",
        "what an edge carries; 0 is always autonomous flow",
        group="graph",
        coordinate=True,
    ),
    Variable("n_nodes", ("network",), "int16", "number of nodes; -1 not computed", group="graph"),
    Variable("n_edges", ("network",), "int16", "number of edges; -1 not computed", group="graph"),
    Variable(
        "node_output",
        ("network", "node"),
        "int8",
        "output of the node (-1, 0, 1); node 0 is the root; 0 past n_nodes",
        group="graph",
        fill=0,
    ),
    _edge("edge_source", "node that is the source of the edge; -1 past n_edges"),
    _edge("edge_target", "node that is the target of the edge; -1 past n_edges"),
    _edge("edge_input", "index into input_symbol of what the edge carries; -1 past n_edges"),
    *(
        _edge(
            name,
            f"{end} step at which the edge can be taken, from the end of the transient of the "
            "last pulse or from the root; -1 is no bound; only with method timed",
            units="steps",
            optional=True,
        )
        for name, end in zip(WINDOWS, ("first", "last"), strict=True)
    ),
)

_AT = ("network", "checkpoint")
CHECKPOINTS = (
    Variable(
        f"{CHECKPOINT_PREFIX}solution",
        _AT,
        "int16",
        "as `solution` of the population; those of no final network follow, most common first; "
        "-1 not computed or no graph",
        group="checkpoints",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}solution_key",
        _AT,
        "U96",
        "as `solution_key` of the population; empty where there is no graph",
        group="checkpoints",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}solution_description",
        _AT,
        "U512",
        "as `solution_description` of the population; empty where there is no graph",
        group="checkpoints",
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}status_reduce",
        _AT,
        "uint8",
        "progress of the stage reduce",
        group="checkpoints",
        attrs=STATUS_ATTRS,
    ),
    Variable(
        f"{CHECKPOINT_PREFIX}message_reduce",
        _AT,
        "U200",
        "why the checkpoint has no graph; empty where it has",
        group="checkpoints",
    ),
)
_CHECKPOINT_GROUP = Group(
    "each network at losses on its way down, where it was trained with checkpoints",
    present=lambda attrs: bool(attrs.get("checkpoints")),
)


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what graphs and labels are at odds, a sentence each."""
    ds = parts["population"]
    for i, name in done(ds, "reduce"):
        if not ds["solution_key"].values[i]:
            yield f"network {name}: reduce called done, but solution_key is empty"
        try:
            graph_of(parts["graph"], i)
        except SolspaceError as error:
            yield f"network {name}: {error}"


@stage(
    reads=["population", "checkpoints"],
    fills=[*LABELS, SOLUTION_DESCRIPTION, *GRAPH, *CHECKPOINTS],
    after=["train"],
    groups={"graph": Group("reduced-dynamics graphs"), "checkpoints": _CHECKPOINT_GROUP},
    layout=layout,
    faults=faults_of,
    finish={
        "population/solution": (solutions, ("solution_key",)),
        f"checkpoints/{CHECKPOINT_PREFIX}solution": (
            checkpoint_solutions,
            ("solution_key", f"{CHECKPOINT_PREFIX}solution_key"),
        ),
    },
    check=one_output,
    by_default=True,
)
def reduce(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    method: Literal["turner2021", "automaton", "timed"] = "turner2021",
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Compress each network's dynamics into a small directed graph and label the solutions.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        By default the dataset's own.
    method : {"turner2021", "automaton", "timed"}, optional
        How graphs are made: the construction of Turner, Dabholkar & Barak (NeurIPS 2021), one
        from what the network answers to pulses at many moments, or one that also knows time (see
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
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures
    from solspace.reduction.canonical import (
        describe_solution,
        graph_key,
        solution_key,
    )
    from solspace.reduction.methods import check_one_output, reduce_network
    from solspace.reduction.names import solution_name

    task = task_of(ds, task)
    check_one_output(task)
    architecture = architecture_of(ds)
    n = ds.sizes["network"]
    its_layout = layout(task, ds, {"method": method})["graph"]
    sizes, windows = its_layout.sizes, its_layout.optional
    most_nodes, most_edges = sizes["node"], sizes["edge"]
    per_edge = ["edge_source", "edge_target", "edge_input", *windows]
    arrays: dict[str, NDArray] = {
        "n_nodes": np.full(n, -1, np.int16),
        "n_edges": np.full(n, -1, np.int16),
        "node_output": np.zeros((n, most_nodes), np.int8),
        **{name: np.full((n, most_edges), -1, np.int16) for name in per_edge},
    }
    keys, descriptions, graph_keys, names_ = (np.full(n, "", dtype=object) for _ in range(4))
    symbols = task.input_symbols
    path = _Path(ds)

    named = "automaton" if method == "timed" else method

    def label(weights: dict[str, NDArray]) -> tuple[Graph, str, str]:
        graph = reduce_network(task, architecture, weights, method=named)
        return graph, solution_key(graph, symbols), describe_solution(graph, symbols)

    def compute(i: int) -> None:
        path.label(i, lambda weights: label(weights)[1:])
        graph, *names = label(network_weights(ds, i))
        untimed = graph
        if method == "timed":
            graph = reduce_network(task, architecture, network_weights(ds, i), method=method)
        nodes, edges = len(graph.node_output), len(graph.edge_source)
        if nodes > most_nodes or edges > most_edges:
            raise SolspaceError(
                f"a graph of {nodes} nodes and {edges} edges; at most "
                f"{most_nodes} and {most_edges} are stored"
            )
        keys[i], descriptions[i] = names
        names_[i] = solution_name(names[0])
        graph_keys[i] = stored_key(graph_key(untimed, symbols))
        path.end(i, *names)
        arrays["n_nodes"][i], arrays["n_edges"][i] = nodes, edges
        arrays["node_output"][i, :nodes] = graph.node_output
        for name in per_edge:
            edge = getattr(graph, "edge_symbol" if name == "edge_input" else name)
            arrays[name][i, :edges] = edge

    ended = each_network(ds, "reduce", compute, after="train", progress=progress)
    dims = {v.name: v.dims for v in GRAPH}
    # Graphs that are there already may have other bounds.
    bounded = [name for name, own in dims.items() if {"node", "edge"} & {*own}]
    out = (
        ds.drop_vars(bounded, errors="ignore")
        .assign(
            {name: (dims[name], values) for name, values in arrays.items()}
            | {"solution_description": ("network", descriptions)}
            | ended
            | path.variables(keys, ended["message_reduce"][1])
        )
        .assign_coords(
            input_symbol=text_array(task.input_symbols),
            solution=("network", rank_solutions(keys)),
            solution_key=("network", keys),
            solution_name=("network", names_),
            graph_key=("network", graph_keys),
        )
    )
    out.attrs["solution_method"] = f"automaton_key of {named} graphs"
    warn_of_failures(out, "reduce")
    return out


def stored_key(key: str) -> str:
    """A graph's key as a store keeps it: one too long is a digest.

    Examples
    --------
    >>> stored_key("v1:0|set>0"), len(stored_key("v1:" + "0|" * 200))
    ('v1:0|set>0', 35)
    """
    import hashlib

    if len(key) <= 160:
        return key
    return f"{key.partition(':')[0]}#{hashlib.sha256(key.encode()).hexdigest()[:32]}"


class _Path:
    """Labels of every network's checkpoints, where the population has some."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds
        shape = (ds.sizes["network"], 0)
        if f"{CHECKPOINT_PREFIX}gradient_steps" in ds:
            self._steps = ds[f"{CHECKPOINT_PREFIX}gradient_steps"].values
            shape = self._steps.shape
        self._keys = np.full(shape, "", dtype=object)
        self._descriptions = np.full(shape, "", dtype=object)
        self._messages = np.full(shape, "", dtype=object)

    def label(self, i: int, names_of: Callable[[dict[str, NDArray]], tuple[str, str]]) -> None:
        """All checkpoints but the last; one without a graph is noted and the others go on."""
        from solspace.population import network_weights
        from solspace.population.each import shortened

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
                    self._messages[i, k] = shortened(str(error))
                except Exception as error:
                    self._messages[i, k] = shortened(f"{type(error).__name__}: {error}")

    def end(self, i: int, key: str, description: str) -> None:
        """The last checkpoint is the network as it is."""
        self._keys[i, -1:], self._descriptions[i, -1:] = key, description

    def variables(self, keys: NDArray, why: NDArray) -> dict[str, Any]:
        """Variables of the group checkpoints; ``why`` says of each network why it has no graph."""
        if not self._keys.size:
            return {}
        none = self._keys == ""
        messages = np.where(none & (self._messages == ""), why[:, None], self._messages)
        status = np.where(none, FAILED, DONE).astype(np.uint8)
        named = {
            "solution": rank_checkpoints(keys, self._keys),
            "solution_key": text_array(self._keys),
            "solution_description": text_array(self._descriptions),
            "status_reduce": status,
            "message_reduce": text_array(messages),
        }
        dims = ("network", "checkpoint")
        return {CHECKPOINT_PREFIX + name: (dims, values) for name, values in named.items()}


def graph_of(ds: xr.Dataset, index: int) -> Graph:
    """One network's graph from a dataset with the variables of the graph group.

    Raises
    ------
    SolspaceError
        Where there is none, or it has an edge to a node that is not there.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"n_nodes": ("network", [2]), "n_edges": ("network", [1]),
    ...                  "node_output": (("network", "node"), [[0, 1]]),
    ...                  "edge_source": (("network", "edge"), [[0]]),
    ...                  "edge_target": (("network", "edge"), [[1]]),
    ...                  "edge_input": (("network", "edge"), [[0]])})
    >>> graph_of(ds, 0).node_output.tolist()
    [0, 1]
    """
    from solspace.reduction.graph import Graph

    needed = ("n_nodes", "n_edges", "node_output", "edge_source", "edge_target", "edge_input")
    if missing := [name for name in needed if name not in ds.variables]:
        raise SolspaceError(
            f"the dataset has no {missing[0]!r}; give the group TASK/ARCHITECTURE/graph of a "
            "store, or what solspace.reduce(ds) returns"
        )
    nodes, edges = int(ds["n_nodes"].values[index]), int(ds["n_edges"].values[index])
    if nodes < 0:
        raise SolspaceError(f"network {index} has no graph; {how_to_make('reduce')}")
    at: dict[str, Any] = {"network": index}
    # Only graphs that know time have windows.
    windows = {
        name: ds[name].isel(at | {"edge": slice(edges)}).values for name in WINDOWS if name in ds
    }
    return Graph(
        node_output=ds["node_output"].isel(at | {"node": slice(nodes)}).values,
        edge_source=ds["edge_source"].isel(at | {"edge": slice(edges)}).values,
        edge_target=ds["edge_target"].isel(at | {"edge": slice(edges)}).values,
        edge_symbol=ds["edge_input"].isel(at | {"edge": slice(edges)}).values,
        **windows,
    )
