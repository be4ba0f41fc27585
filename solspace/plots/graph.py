"""The reduced-dynamics graph of one network as a drawing."""

from __future__ import annotations

import contextlib
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.layout import (
    COLUMN,
    RADIUS,
    autonomous_path,
    edge_curves,
    half_size,
    node_positions,
)
from solspace.plots.shapes import (
    PULSE,
    circle,
    head,
    lines,
    on_figure,
    on_paper,
    polygons,
    square,
    texts,
)
from solspace.plots.style import BLUE, INK, ORANGE, Key, of_one, styled
from solspace.population.describe import task_of
from solspace.tasks.symbols import symbol_text

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["describe_graph", "plot_graph", "too_large"]

# Larger graphs are no drawing any more.
MOST_NODES, MOST_EDGES = 32, 128
_NEEDS = (
    "n_nodes",
    "n_edges",
    "node_output",
    "edge_source",
    "edge_target",
    "edge_input",
    "input_symbol",
)


@styled
def plot_graph(
    graph: xr.Dataset,
    network: int | str | None = None,
    *,
    windows: bool = False,
    key: bool = True,
) -> hv.Overlay:
    """Draw one network's reduced-dynamics graph.

    Of several outputs nodes carry a sign for each, and all that put something out are blue circles.
    Silent nodes are open circles; output nodes are filled and carry their output, +1 a circle
    and -1 a square. The arrow "start" leads to the root. Autonomous edges are solid, pulse edges
    dashed and labelled with the pulse.

    Parameters
    ----------
    graph : Dataset
        The graph group.
    network : int or str, optional
        Position along ``network``, or name; not needed of one network alone.
    windows : bool
        Whether edges that can be taken in some steps only carry the first and the last of these.
    key : bool
        Whether to say below what the marks mean.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where the network has no graph, or one of more than 32 nodes or 128 edges.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset(
    ...     {"n_nodes": ("network", [2]), "n_edges": ("network", [2]),
    ...      "node_output": (("network", "node"), [[0, 1]]),
    ...      "edge_source": (("network", "edge"), [[0, 1]]),
    ...      "edge_target": (("network", "edge"), [[1, 0]]),
    ...      "edge_input": (("network", "edge"), [[1, 0]])},
    ...     coords={"input_symbol": ["autonomous", "set"]})
    >>> type(plot_graph(ds, 0)).__name__
    'Overlay'
    """
    output, source, target, symbol, names = _arrays(graph, network)
    nodes = len(output)
    if too_large(nodes, len(source)):
        raise SolspaceError(
            f"network {network} has a graph of {nodes} nodes and {len(source)} edges; up to "
            f"{MOST_NODES} and {MOST_EDGES} are drawn, such as those of solspace.reduce(ds, "
            "method='turner2021'), or `solspace reduce STORE --method turner2021`"
        )
    autonomous = symbol == 0
    spans = _windows(graph, network, len(source)) if windows else [""] * len(source)
    labels = [
        " ".join(word for word in ("" if s == 0 else names[s], window) if word)
        for s, window in zip(symbol, spans, strict=True)
    ]
    longest = max(map(len, labels), default=0)
    column = COLUMN + min(0.09 * max(longest - 4, 0), 0.6)
    at = node_positions(nodes, source, target, autonomous, output, column)
    drawn = edge_curves(at, source, target, autonomous, labels)
    flow = [e for e in drawn if e.autonomous]
    pulse = [e for e in drawn if not e.autonomous]
    start = at[0] + np.array([[-RADIUS - 0.36, 0.0], [-RADIUS - 0.2, 0.0], [-RADIUS - 0.07, 0.0]])
    channels = _channels(graph, output)
    signed = bool((output < 0).any())
    # Signs of several outputs tell nodes apart, and no color could.
    up, down = (output > 0, output < 0) if channels == 1 else (output != 0, output == np.inf)
    told = [_told(v, channels, signed) for v in output.tolist()]
    parts = [
        lines([e.curve for e in flow], INK, "solid"),
        lines([e.curve for e in pulse], PULSE, (0, (3.2, 1.8))),
        polygons([e.head for e in flow], INK),
        polygons([e.head for e in pulse], PULSE),
        lines([start[:2]], INK, "solid"),
        polygons([head(start[2])], INK),
        texts([(start[0, 0] - 0.03, start[0, 1], "start")], INK, halign="right"),
        polygons([circle(p, RADIUS) for p in at[output == 0]], "white", edge=INK),
        polygons([circle(p, RADIUS) for p in at[up]], BLUE, edge=INK),
        polygons([square(p, RADIUS) for p in at[down]], ORANGE, edge=INK),
        texts([(*at[v], told[v]) for v in np.flatnonzero(up)], "white", weight="bold"),
        texts([(*at[v], told[v]) for v in np.flatnonzero(down)], INK, weight="bold"),
        texts([(*e.label_at, e.label) for e in pulse if e.label], PULSE, hooks=[on_paper]),
        texts([(*e.label_at, e.label) for e in flow if e.label], INK, hooks=[on_paper]),
    ]
    corners = np.concatenate(
        [at - RADIUS, at + RADIUS, start - np.array([0.36, 0]), *(e.curve for e in drawn)]
        + [
            e.label_at[None] + side * np.array(half_size(e.label))
            for e in drawn
            if e.label
            for side in (-1, 1)
        ]
    )
    low, high = corners.min(axis=0) - 0.13, corners.max(axis=0) + 0.13
    keys = _keys(output, up, down, bool(flow), bool(pulse)) if key else []
    picture = on_figure([part for part in parts if part is not None], low, high, keys)
    return both(picture, keys)


def _keys(
    output: NDArray[Any], up: NDArray[Any], down: NDArray[Any], flow: bool, pulse: bool
) -> list[Key]:
    """What the marks that a drawing has mean."""
    found = []
    if (output == 0).any():
        found.append(Key("silent", INK, marker="o", face="white", size=7))
    if up.any():
        found.append(Key("puts out", INK, marker="o", face=BLUE, size=7))
    if down.any():
        found.append(Key("puts out below 0", INK, marker="s", face=ORANGE, size=6.5))
    if flow:
        found.append(Key("left alone", INK, line="-", width=1.1))
    if pulse:
        found.append(Key("after a pulse", PULSE, line=(0, (3.2, 1.8)), width=1.1))
    return found


def _arrays(
    graph: xr.Dataset, network: int | str | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], list[str]]:
    """Output of each node; source, target and symbol of each edge; names of the symbols."""
    graph = of_one(graph, network, _NEEDS, "reduce")
    nodes, edges = int(graph["n_nodes"].values), int(graph["n_edges"].values)
    if nodes < 1:
        raise SolspaceError(f"network {network} has no graph; {how_to_make('reduce')}")
    output = graph["node_output"].isel(node=slice(nodes)).values.astype(int)
    source, target, symbol = (
        graph[name].isel(edge=slice(edges)).values.astype(int)
        for name in ("edge_source", "edge_target", "edge_input")
    )
    return output, source, target, symbol, [str(x) for x in graph["input_symbol"].values]


def too_large(nodes: int, edges: int) -> bool:
    """Whether a graph is too large to be drawn.

    Examples
    --------
    >>> too_large(5, 9), too_large(120, 1000)
    (False, True)
    """
    return nodes > MOST_NODES or edges > MOST_EDGES


def _windows(graph: xr.Dataset, network: int | str | None, edges: int) -> list[str]:
    """First and last step at which each edge can be taken, empty where it can at any."""
    if "edge_earliest" not in graph or "edge_latest" not in graph:
        return [""] * edges
    graph = of_one(graph, network, _NEEDS, "reduce")
    bounds = (
        graph[name].isel(edge=slice(edges)).values.tolist()
        for name in ("edge_earliest", "edge_latest")
    )
    return [
        f"{first}\N{EN DASH}{last}"
        if first >= 0 and last >= 0
        else f"from {first}"
        if first >= 0
        else f"to {last}"
        if last >= 0
        else ""
        for first, last in zip(*bounds, strict=True)
    ]


def describe_graph(graph: xr.Dataset, network: int | str | None = None) -> str:
    """What a drawing shows, in words: the flow from the start, then every pulse.

    Nodes are numbered as in the store, the root being 0.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset(
    ...     {"n_nodes": ("network", [2]), "n_edges": ("network", [3]),
    ...      "node_output": (("network", "node"), [[0, 1]]),
    ...      "edge_source": (("network", "edge"), [[0, 1, 0]]),
    ...      "edge_target": (("network", "edge"), [[1, 0, 0]]),
    ...      "edge_input": (("network", "edge"), [[0, 0, 1]])},
    ...     coords={"input_symbol": ["autonomous", "set"]})
    >>> describe_graph(ds, 0)
    'Left alone from the start, the network is silent, then puts out 1, and so on in a circle. \
A set pulse leads from node 0 to node 0.'
    """
    output, source, target, symbol, names = _arrays(graph, network)
    path = autonomous_path(source, target, symbol == 0)
    channels = _channels(graph, output)
    told = ", then ".join(
        f"puts out {_number(v, channels)}" if v else "is silent"
        for v, _ in groupby(output[path].tolist())
    )
    following = {int(s): int(t) for s, t, i in zip(source, target, symbol, strict=True) if i == 0}
    last = following.get(path[-1])
    if last == path[-1]:
        end = ", and stays so"
    elif last is None:
        end = ""
    elif last == path[0]:
        end = ", and so on in a circle"
    else:
        end = f", and goes on in a circle through the last {len(path) - path.index(last)} of these"
    sentences = [f"Left alone from the start, the network {told}{end}."]
    for i, name in enumerate(names):
        ways = [f"node {s} to node {t}" for s, t, j in zip(source, target, symbol, strict=True)
                if j == i and i]  # fmt: skip
        if ways:
            sentences.append(f"A {name} pulse leads from {_listed(ways)}.")
    loose = [
        f"node {s} to node {t}"
        for s, t, j in zip(source, target, symbol, strict=True)
        if j == 0 and s not in path
    ]
    if loose:
        sentences.append(f"Elsewhere it flows from {_listed(loose)}.")
    return " ".join(sentences)


def _number(value: int, channels: int) -> str:
    return symbol_text(value, channels).replace("-", "\N{MINUS SIGN}")


def _told(value: int, channels: int, signed: bool) -> str:
    return ("+" if signed and channels == 1 and value > 0 else "") + _number(value, channels)


def _channels(graph: xr.Dataset, output: NDArray[Any]) -> int:
    """How many outputs there are; as few as there can be where the dataset names no known task."""
    with contextlib.suppress(SolspaceError):
        return len(task_of(graph).outputs)
    few = 1
    while (3**few - 1) // 2 < np.abs(output).max(initial=0):
        few += 1
    return few


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
