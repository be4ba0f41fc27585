"""Reduce the dynamics of every network of a population to a graph, and name the graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.population.sound import done
from solspace.population.trained import RECURRENT
from solspace.population.variables import GRAPH_LABELS, LABELS, Variable, text_array
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

    from solspace.networks import Run
    from solspace.reduction.graph import Graph
    from solspace.tasks import Task

__all__ = ["graph_of", "reduce", "stored_key"]


def can_be_reduced(task: Task) -> None:
    """Networks are explored by the task's probe or with the pulses of its protocol."""
    from solspace.tasks.needs import check_needs

    check_needs(task, "reduce")


def resolved(task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the method that the task's graphs are made by where none is given."""
    from solspace.reduction.methods import method_for

    return {**options, "method": method_for(task, options.get("method"))}


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """Most nodes and edges of a graph, and the windows that only some methods make."""
    import xarray as xr

    timed = resolved(task, options)["method"] == "timed"
    sizes = {
        "node": TIMED_NODES if timed else MAX_NODES,
        "edge": TIMED_EDGES if timed else MAX_EDGES,
    }
    symbols = xr.Dataset(coords={"input_symbol": text_array(task.input_symbols)})
    return {"graph": Layout(symbols, sizes, WINDOWS if timed else ())}


GRAPH_DESCRIPTION = Variable(
    "graph_description",
    ("network",),
    "U512",
    "what the reduced-dynamics graph says, in words; empty where not computed",
    architectures=RECURRENT,
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
        "output of the node (-1, 0, 1; of several outputs the sum of each times 3 to the power of "
        "its position); node 0 is the root; 0 past n_nodes",
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


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what graphs and their keys are at odds, a sentence each."""
    from solspace.reduction.canonical import automaton_key, graph_key

    if "graph" not in parts:  # not reduced yet
        return
    ds, graphs = parts["population"], parts["graph"]
    symbols = tuple(map(str, graphs["input_symbol"].values)) if "input_symbol" in graphs else ()
    # Of graphs that know time the keys are those of others, which are not kept.
    timed = bool({*WINDOWS} & {*graphs.variables})
    labels = [key for key in GRAPH_LABELS if key in ds.variables]
    for i, name in done(ds, "reduce"):
        empty = [key for key in labels if not ds[key].values[i]]
        for key in empty:
            yield f"network {name}: reduce called done, but {key} is empty"
        try:
            graph = graph_of(graphs, i)
            if empty or timed or not symbols:
                continue
            of_graph = stored_key(graph_key(graph, symbols)), automaton_key(graph, symbols)
            own = dict(zip(("graph_key", "automaton_key"), of_graph, strict=True))
            for key in labels:
                if str(ds[key].values[i]) != own[key]:
                    yield f"network {name}: {key} is not that of its graph, {own[key]}"
        except SolspaceError as error:
            yield f"network {name}: {error}"


def notes(task: Task, options: Mapping[str, Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """By which method the graphs were made that the keys are of."""
    from solspace.reduction.methods import untimed

    return {"graph_method": untimed(resolved(task, options)["method"])}


@stage(
    reads=["population"],
    fills=[*(v for v in LABELS if v.name in GRAPH_LABELS), GRAPH_DESCRIPTION, *GRAPH],
    after=["train"],
    groups={"graph": Group("reduced-dynamics graphs")},
    layout=layout,
    faults=faults_of,
    notes=notes,
    resolve=resolved,
    check=can_be_reduced,
    by_default=True,
)
def reduce(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    method: Literal["turner2021", "automaton", "timed"] | None = None,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Compress each network's dynamics into a small directed graph and name the graphs.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        By default the dataset's own.
    method : {"turner2021", "automaton", "timed"}, optional
        How graphs are made, by default by turner2021 where the task has a probe, else by
        automaton: the construction of Turner, Dabholkar & Barak (NeurIPS 2021), one from what the
        network answers to pulses at many moments, or one that also knows time (see
        `solspace.reduction.reduce_network`). Keys know no time: with ``timed`` they are those
        of the graph of ``automaton``. The graphs of ``turner2021`` are of one output.
    device : str, optional
        A torch device, such as ``"cuda"``, to run the trials on that all networks are asked for.
        By default compiled loops on the CPU, one network at a time.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The population with ``graph_key`` (the graph up to the numbers of its nodes),
        ``automaton_key`` (what it allows, see `solspace.reduction.automaton_key`),
        ``graph_description`` and the variables of the graph group (dims network, node, edge). A
        network whose dynamics cannot be reduced has ``status_reduce`` 2, empty keys, and the
        reason in ``message_reduce``. Which of the keys tells solutions is chosen by
        `solspace.label`.

    Examples
    --------
    >>> from solspace import import_networks, reduce
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> ds = reduce(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> ds.graph_key.item(), ds.n_nodes.item()
    ('v1:0|set>0', 1)
    """
    from solspace.networks import explore_together
    from solspace.population import network_weights, stacked_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures
    from solspace.reduction.canonical import automaton_key, graph_key
    from solspace.reduction.methods import (
        graph_description,
        method_for,
        reduce_network,
        untimed,
    )

    task = task_of(ds, task)
    method = cast("Any", method_for(task, method))
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
    graph_keys, keys, descriptions = (np.full(n, "", dtype=object) for _ in range(3))
    symbols = task.input_symbols

    def graphs_of(i: int, run: Run | None = None) -> tuple[Graph, Graph]:
        """The graph that names a network and the one that is kept."""
        weights = network_weights(ds, i)
        named = reduce_network(task, architecture, weights, method=untimed(method), run=run)
        if method != "timed":
            return named, named
        return named, reduce_network(task, architecture, weights, method=method, run=run)

    together: list[Any] = []
    if device is not None:
        together = explore_together(
            graphs_of, architecture, stacked_weights(ds), ds["hidden_size"].values, device
        )

    def compute(i: int) -> None:
        named, graph = together[i].result() if together else graphs_of(i)
        nodes, edges = len(graph.node_output), len(graph.edge_source)
        if nodes > most_nodes or edges > most_edges:
            raise SolspaceError(
                f"a graph of {nodes} nodes and {edges} edges; at most "
                f"{most_nodes} and {most_edges} are stored"
            )
        keys[i] = automaton_key(named, symbols)
        descriptions[i] = graph_description(named, symbols, method, task.outputs)
        graph_keys[i] = stored_key(graph_key(named, symbols))
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
            | {"graph_description": ("network", text_array(descriptions))}
            | ended
        )
        .assign_coords(
            input_symbol=text_array(task.input_symbols),
            graph_key=("network", text_array(graph_keys)),
            automaton_key=("network", text_array(keys)),
        )
    )
    out.attrs |= notes(task, {"method": method}, ds.attrs)
    warn_of_failures(out, "reduce")
    return out


def stored_key(key: str, most: int = 160) -> str:
    """A key as a store keeps it: one of more than so many characters is a digest.

    Examples
    --------
    >>> stored_key("v1:0|set>0"), len(stored_key("v1:" + "0|" * 200))
    ('v1:0|set>0', 35)
    """
    import hashlib

    if len(key) <= most:
        return key
    return f"{key.partition(':')[0]}#{hashlib.sha256(key.encode()).hexdigest()[:32]}"


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
    nodes, edges = (int(ds.variables[n].values[index]) for n in ("n_nodes", "n_edges"))
    if nodes < 0:
        raise SolspaceError(f"network {index} has no graph; {how_to_make('reduce')}")
    at: dict[str, Any] = {"network": index}
    # Only graphs that know time have windows.
    windows = {
        name: ds.variables[name].isel(at | {"edge": slice(edges)}).values
        for name in WINDOWS
        if name in ds
    }
    return Graph(
        node_output=ds.variables["node_output"].isel(at | {"node": slice(nodes)}).values,
        edge_source=ds.variables["edge_source"].isel(at | {"edge": slice(edges)}).values,
        edge_target=ds.variables["edge_target"].isel(at | {"edge": slice(edges)}).values,
        edge_symbol=ds.variables["edge_input"].isel(at | {"edge": slice(edges)}).values,
        **windows,
    )
