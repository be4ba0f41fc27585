"""Labels of one network, each with the reason where there is none."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks import Task

__all__ = ["Labelled", "known_labels", "label_one"]


class Labelled(NamedTuple):
    """A network's value of one label, or why it has none."""

    key: str
    reason: str = ""


def known_labels(labels: Sequence[str] | None = None) -> tuple[str, ...]:
    """The labels asked for, all there are where none.

    Raises
    ------
    SolspaceError
        For one that is not known, or given twice.

    Examples
    --------
    >>> "graph_key" in known_labels()
    True
    """
    known = tuple(_registry().label_names())
    if labels is None:
        return known
    if unknown := [name for name in labels if name not in known]:
        raise SolspaceError(f"unknown label {unknown[0]!r}; labels: {', '.join(known)}")
    if not labels or len(set(labels)) < len(labels):
        raise SolspaceError(
            f"labels {', '.join(labels) or '(none)'}; give one or more, each once, or leave it "
            "out for all"
        )
    return tuple(labels)


def label_one(
    task: Task, architecture: str, weights: Mapping[str, NDArray[Any]], labels: Sequence[str]
) -> list[Labelled]:
    """All labels of one network; one that it cannot be given does not stop the others."""
    give = _registry().label_network
    out = []
    for label in labels:
        try:
            out.append(Labelled(str(give(task, architecture, weights, label))))
        except SolspaceError as error:
            out.append(Labelled("", str(error)))
    return out


def _registry() -> Any:
    try:
        return importlib.import_module("solspace.labels")
    except ModuleNotFoundError:
        return _Until


class _Until:
    """Until there is a registry of labels."""

    @staticmethod
    def label_names() -> tuple[str, ...]:
        return ("graph_key", "automaton_key", "answers_key")

    @staticmethod
    def label_network(task: Any, architecture: str, weights: Any, label: str) -> str:
        from solspace.reduction import graph_key, reduce_network, solution_key

        method = "automaton" if label == "answers_key" else "turner2021"
        graph = reduce_network(task, architecture, weights, method=method)
        key = graph_key if label == "graph_key" else solution_key
        return key(graph, task.input_symbols)
