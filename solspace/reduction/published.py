"""Graphs as the authors of the published method wrote them, to compare ours with.

The files are those of Turner, Dabholkar & Barak, *Charting and navigating the space of solutions
for recurrent neural networks* (NeurIPS 2021); none of them is part of this project.
"""

from __future__ import annotations

import json
import os

from solspace.errors import SolspaceError
from solspace.reduction.graph import Graph

__all__ = ["PUBLISHED_SYMBOLS", "published_graph"]

# What the published files call our input symbols, in their order.
PUBLISHED_SYMBOLS = {
    "interval_reproduction": (0, 2),
    "interval_discrimination": (0, 4, 2),
    "delayed_discrimination": (0, 2, 4, 6, 8, 10),
}


def published_graph(path: str | os.PathLike[str], task: str) -> Graph:
    """The graph in a published file, ``compact_graph.json`` beside a network's weights.

    Parameters
    ----------
    path : path
        JSON: ``root`` (0), ``nodes`` with ``output``, ``edges`` with ``source``, ``target`` and
        ``input``.
    task : str
        One of the published ones: it says what the codes of ``input`` are.

    Raises
    ------
    SolspaceError
        For a task that was not published, or a file that holds no such graph.

    Examples
    --------
    >>> import tempfile
    >>> nodes = [{"output": 0}, {"output": 1}]
    >>> edges = [{"source": 0, "target": 1, "input": 2}, {"source": 1, "target": 0, "input": 0}]
    >>> with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    ...     json.dump({"root": 0, "nodes": nodes, "edges": edges}, file)
    ...     file.flush()
    ...     graph = published_graph(file.name, "interval_reproduction")
    >>> graph == Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    True
    """
    if task not in PUBLISHED_SYMBOLS:
        raise SolspaceError(
            f"no graphs of task {task!r} were published; tasks: {', '.join(PUBLISHED_SYMBOLS)}"
        )
    number = {code: i for i, code in enumerate(PUBLISHED_SYMBOLS[task])}
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    try:
        if found["root"] != 0:
            raise SolspaceError(f"{path}: the root is node {found['root']}, expected 0")
        edges = found["edges"]
        return Graph(
            [node["output"] for node in found["nodes"]],
            [edge["source"] for edge in edges],
            [edge["target"] for edge in edges],
            [number[edge["input"]] for edge in edges],
        )
    except (KeyError, TypeError) as error:
        raise SolspaceError(
            f"{path}: no published graph of {task}: {error} is missing or unknown; give a "
            "compact_graph.json"
        ) from None
