"""What the reduced-dynamics graph allows, as the smallest automaton."""

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
    from solspace.reduction import automaton_key, graph_description, reduce_network
    from solspace.reduction.methods import method_for, untimed

    method = method_for(task, method)
    graph = reduce_network(task, architecture, weights, method=untimed(method))
    symbols = task.input_symbols
    return automaton_key(graph, symbols), graph_description(graph, symbols, method, task.outputs)


LABEL = Label(
    name="automaton_key",
    summary="which response sequences the reduced-dynamics graph allows",
    compute=_of,
    stage="reduce",
    words="graph_description",
    options=lambda attrs: {"method": graph_method(attrs)},
)
