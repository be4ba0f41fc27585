"""The methods by which a network's dynamics are reduced to a graph."""

from __future__ import annotations

from collections.abc import Sequence

from solspace import networks
from solspace.errors import SolspaceError
from solspace.reduction.canonical import (
    automaton_key,
    behavior,
    describe_solution,
    graph_key,
    minimized,
    solution_key,
)
from solspace.reduction.graph import Graph, ReductionError
from solspace.tasks import Task, get_task
from solspace.tasks.needs import check_needs, reduces_by

__all__ = [
    "Graph",
    "ReductionError",
    "automaton_key",
    "behavior",
    "describe_solution",
    "graph_description",
    "graph_key",
    "method_for",
    "minimized",
    "reduce_network",
    "solution_key",
    "untimed",
]

METHODS = ("turner2021", "automaton", "timed")
# When pulses were given, which is all that a graph can speak of.
_MOMENTS = {
    "turner2021": "at a few moments",
    "automaton": "at some 25 moments of every silence",
    "timed": "at some 25 moments of every silence",
}
_LONGEST = 440  # characters; with a solution's name before them they fit what is stored


def method_for(task: str | Task, method: str | None = None) -> str:
    """The method that was asked for, or that of the task where none was.

    Raises
    ------
    SolspaceError
        Where there is no such method, or the task does not give what it needs.

    Examples
    --------
    >>> method_for("interval_reproduction"), method_for("interval_reproduction", "timed")
    ('turner2021', 'timed')
    """
    task = get_task(task)
    if method is not None and method not in METHODS:
        raise SolspaceError(f"unknown method {method!r}; methods: {', '.join(METHODS)}")
    check_needs(task, "reduce", method)
    return method or reduces_by(task)


def untimed(method: str) -> str:
    """The method by whose graphs networks are named: those of ``timed`` without time.

    Examples
    --------
    >>> untimed("timed"), untimed("turner2021")
    ('automaton', 'turner2021')
    """
    return "automaton" if method == "timed" else method


def graph_description(
    graph: Graph, input_symbols: Sequence[str], method: str, outputs: Sequence[str] = ()
) -> str:
    """What a graph says in words, and from which pulses it was made.

    Parameters
    ----------
    graph : Graph
    input_symbols : sequence of str
        The task's; the first is ``"autonomous"``.
    method : {"turner2021", "automaton", "timed"}
        By which it was made; of ``timed`` graphs those without time.
    outputs : sequence of str
        The task's; needed where there are several.

    Returns
    -------
    str
        At most 440 characters; what does not fit is left out, and three dots say so.

    Examples
    --------
    >>> graph_description(Graph([0], [0], [0], [1]), ("autonomous", "set"), "turner2021")
    'By its graph, of pulses at a few moments. At the start: silence. set, at every node: silence.'
    """
    words = describe_solution(graph, input_symbols, outputs)
    text = f"By its graph, of pulses {_MOMENTS[method]}. {words}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4].rstrip() + " ..."


def reduce_network(
    task: str | Task,
    architecture: str,
    weights: networks.Weights,
    *,
    method: str | None = None,
    run: networks.Run | None = None,
) -> Graph:
    """Compress one network's dynamics into a small directed graph.

    Parameters
    ----------
    task : str or Task
        With an ``output_symbol`` and a ``probe`` (``turner2021``) or a ``protocol``
        (``automaton``, ``timed``).
    architecture : str
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    method : {"turner2021", "automaton", "timed"}
        The construction of Turner, Dabholkar & Barak (NeurIPS 2021), from a few pulses and
        distances in state space; a graph read off what the network puts out after pulses at
        many moments (see `solspace.reduction.automaton`); or one whose edges have windows of
        time (see `solspace.reduction.timed`). By default ``turner2021`` for a task of one output
        with a probe, else ``automaton``.
    run : callable, optional
        What the network is run by, by default `solspace.networks.run`.

    Returns
    -------
    Graph
        Edges carry indices into the task's ``input_symbols``.

    Raises
    ------
    ReductionError
        Where this network cannot be explored as the task's probe asks.
    SolspaceError
        Where the task does not give what the method needs, or the method or the architecture is
        unknown.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> shapes = networks.parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> weights = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> graph = reduce_network("interval_reproduction", "vanilla", weights)
    >>> graph_key(graph, get_task("interval_reproduction").input_symbols)
    'v1:0|set>0'
    """
    from solspace.reduction.compaction import compact
    from solspace.reduction.probing import NetworkExplorer

    task = get_task(task)
    method = method_for(task, method)
    run = run or networks.run
    if method == "automaton":
        from solspace.reduction.automaton import explore

        return explore(task, architecture, weights, run=run)
    if method == "timed":
        from solspace.reduction.timed import explore_timed

        return explore_timed(task, architecture, weights, run=run)
    assert task.probe is not None and task.output_symbol is not None
    explorer = NetworkExplorer(task, architecture, weights, run)
    task.probe(explorer)
    fine = explorer.fine
    if fine is None or explorer.answer is None:
        raise SolspaceError(
            f"the probe of task {task.name!r} must call explorer.begin and explorer.compare"
        )
    return compact(
        fine, task.output_symbol(fine.output), answer=explorer.answer, question=explorer.question
    )
