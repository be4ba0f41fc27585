"""The reduced-dynamics graph itself, up to the numbers of its nodes: what the paper counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solspace.labels.registry import Label
from solspace.population.describe import graph_method

if TYPE_CHECKING:
    from solspace.networks import Weights
    from solspace.tasks import Task

__all__ = ["LABEL"]


def _of(
    task: Task, architecture: str, weights: Weights, *, method: str | None = None
) -> tuple[str, str]:
    from solspace.reduction import graph_description, graph_key, reduce_network
    from solspace.reduction.methods import method_for, untimed
    from solspace.reduction.stage import stored_key

    method = method_for(task, method)
    graph = reduce_network(task, architecture, weights, method=untimed(method))
    symbols = task.input_symbols
    return stored_key(graph_key(graph, symbols)), graph_description(
        graph, symbols, method, task.outputs
    )


LABEL = Label(
    name="graph_key",
    summary="the reduced-dynamics graph up to the numbers of its nodes",
    compute=_of,
    stage="reduce",
    words="graph_description",
    options=lambda attrs: {"method": graph_method(attrs)},
)
