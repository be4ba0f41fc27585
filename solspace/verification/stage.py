"""Verify the graphs of a population against what its networks do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.machine import cores
from solspace.population.describe import label_of
from solspace.population.trained import RECURRENT
from solspace.population.variables import Variable
from solspace.stages import stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.networks.branching import Branches
    from solspace.reduction.responses import ResponseSequences
    from solspace.tasks import Task
    from solspace.tasks.protocol import PulseSequences
    from solspace.verification.sequences import Pool

__all__ = ["Others", "draw_others", "verify"]


def can_be_tested(task: Task) -> None:
    """Graphs are tested with the pulses of the task's protocol."""
    from solspace.tasks.needs import check_needs

    check_needs(task, "verify")


_BLOCK = 64  # networks whose weights are read at once


class Others(NamedTuple):
    """A sample of what the networks of a whole population do, and what the graph of each allows.

    Attributes
    ----------
    pool : Pool
        Response sequences of networks by their position in the population.
    keys : array of str, (network,)
    sequences : PulseSequences
        What all networks are driven with.
    branches : Branches
        Which of these sequences begin alike.
    """

    pool: Pool
    keys: NDArray[np.object_]
    sequences: PulseSequences
    branches: Branches


def graph_solutions(ds: xr.Dataset) -> NDArray[np.object_]:
    """What the graph of each network allows, empty where it has none: ``automaton_key``.

    In stores of an earlier version that is ``solution_key``.

    Raises
    ------
    SolspaceError
        Where the dataset has neither.
    """
    from solspace.errors import SolspaceError

    if "automaton_key" in ds.variables:
        return ds["automaton_key"].values.astype(object)
    if "solution_key" in ds.variables and label_of(ds.attrs) == "automaton_key":
        return ds["solution_key"].values.astype(object)
    raise SolspaceError(
        "verify: the dataset has no 'automaton_key'; give what solspace.reduce(ds) returns, a "
        "population with its graphs, or type `solspace verify STORE`"
    )


def draw_others(ds: xr.Dataset, *, task: str | Task | None = None) -> Others:
    """Response sequences of all networks of a population that have a graph, as many from each.

    Their number is bounded, so that looking at them costs each network the same however many
    networks there are.

    Parameters
    ----------
    ds : Dataset
        A population with weights and ``automaton_key``; its arrays may be lazily read.
    """
    from solspace.networks import parameter_names, start_names
    from solspace.networks.branching import find_branches
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.reduction.responses import join_all, read_responses
    from solspace.verification.sequences import Pool, pool_sequences, verification_sequences

    task = task_of(ds, task)
    can_be_tested(task)
    architecture = architecture_of(ds)
    sequences = verification_sequences(task)
    keys = graph_solutions(ds)
    chosen = np.flatnonzero(keys != "")
    picked = pool_sequences(len(chosen), len(sequences))
    starts = start_names(architecture, ds.variables)
    needed = [*parameter_names(architecture), *starts, "hidden_size"]

    def drawn(first: int) -> list[ResponseSequences]:
        block = slice(first, first + _BLOCK)
        part = ds[needed].isel(network=chosen[block]).load()
        return [
            read_responses(task, architecture, network_weights(part, i), _some(sequences, rows))
            for i, rows in enumerate(picked[block])
        ]

    # Before the shards, so that no other thread is at work yet; networks run without the GIL.
    with ThreadPoolExecutor(cores()) as threads:
        blocks = list(threads.map(drawn, range(0, len(chosen), _BLOCK)))
    responses = [own for block in blocks for own in block]
    network = np.repeat(chosen, picked.shape[1])
    pool = Pool(join_all(responses), network, picked.ravel())
    return Others(pool, keys, sequences, find_branches(sequences.input))


def _some(sequences: PulseSequences, picked: NDArray[np.int64]) -> PulseSequences:
    return dataclasses.replace(
        sequences,
        input=sequences.input[picked],
        onset=sequences.onset[picked],
        seen_from=sequences.seen_from[picked],
        symbol=sequences.symbol[picked],
    )


@stage(
    reads=["population", "graph"],
    fills=[
        Variable(
            "graph_recall",
            ("network",),
            "float64",
            "share of the network's own random sequences that its graph allows",
            architectures=RECURRENT,
        ),
        Variable(
            "graph_specificity",
            ("network",),
            "float64",
            "share of sequences of networks with another automaton_key, where this network does "
            "otherwise, that its graph forbids; NaN where there are none",
            architectures=RECURRENT,
        ),
    ],
    after=["reduce"],
    prepare={"others": draw_others},
    check=can_be_tested,
    by_default=True,
)
def verify(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    others: Others | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Test each network's graph: does it allow what the network does, and forbid what others do?

    Every network is driven from the root of its graph with the same few hundred random sequences
    of pulses and waits (see `solspace.verification`).

    Parameters
    ----------
    ds : Dataset
        A population with weights, graphs and ``automaton_key``, as `solspace.reduce` returns it.
    task : str or Task, optional
        By default the dataset's own.
    others : Others, optional
        From `draw_others` on the population this dataset is a part of; by default it is a whole.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        With ``graph_recall`` (share of its own sequences that a network's graph allows) and
        ``graph_specificity`` (share of the sequences of networks with another ``automaton_key``
        that it forbids; of those only on which its own network does otherwise, and NaN where there
        are none).

    Raises
    ------
    SolspaceError
        For a task that does not say which pulses its networks can be given, or has continuous
        outputs.

    Examples
    --------
    >>> from solspace import import_networks, reduce
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> ds = reduce(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> 0 <= verify(ds).graph_recall.item() <= 1
    True
    """
    from solspace.errors import SolspaceError
    from solspace.networks.branching import run_branches
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures
    from solspace.reduction.acceptance import graph_recall
    from solspace.reduction.responses import output_responses
    from solspace.reduction.stage import graph_of
    from solspace.tasks.symbols import read_symbols
    from solspace.verification.scores import graph_specificity

    task = task_of(ds, task)
    can_be_tested(task)
    architecture = architecture_of(ds)
    keys = graph_solutions(ds)
    if "n_nodes" not in ds.variables:
        raise SolspaceError(
            "verify: the dataset has no 'n_nodes'; give what solspace.reduce(ds) returns, a "
            "population with its graphs, or type `solspace verify STORE`"
        )
    if others is None:
        others = draw_others(ds, task=task)
    pool, sequences = others.pool, others.sequences
    n = ds.sizes["network"]
    recall, specificity = np.full((2, n), np.nan)

    def compute(i: int) -> None:
        graph = graph_of(ds, i)
        output = run_branches(architecture, network_weights(ds, i), others.branches)
        own = output_responses(read_symbols(task, output), sequences)
        recall[i] = graph_recall(graph, own)
        specificity[i] = graph_specificity(graph, own, pool, others.keys != keys[i])

    ended = each_network(ds, "verify", compute, after="reduce", progress=progress)
    out = ds.assign(
        {"graph_recall": ("network", recall), "graph_specificity": ("network", specificity)} | ended
    )
    warn_of_failures(out, "verify")
    return out
