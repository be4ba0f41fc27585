"""How right graphs are: recall and specificity.

*Recall* is the share of a network's own response sequences that its graph allows, *specificity*
the share of those of networks with another solution, where the network itself answers otherwise,
that it forbids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.reduction.acceptance import allowed, graph_recall
from solspace.reduction.graph import Graph
from solspace.reduction.responses import ResponseSequences
from solspace.verification.sequences import POOL, SEED, Pool, pool_responses

__all__ = [
    "Verification",
    "graph_specificity",
    "verify_graphs",
]


def graph_specificity(
    graph: Graph,
    own: ResponseSequences,
    pool: Pool,
    other: NDArray[np.bool_],
    *,
    missing: str = "forbid",
) -> float:
    """Share of other solutions' responses that a graph forbids, where its network does otherwise.

    A response that the graph's own network gives on the same sequence has to be allowed and says
    nothing; it is left out.

    Parameters
    ----------
    graph : Graph
    own : ResponseSequences
        What the graph's network puts out on the sequences.
    pool : Pool
    other : array (network,), bool
        Which networks have another solution.
    missing : {"forbid", "stay"}
        See `allowed`.

    Returns
    -------
    float
        NaN where no network with another solution has answered otherwise: there is nothing that
        could be forbidden.

    Examples
    --------
    >>> from solspace.reduction import join_responses
    >>> responses = [join_responses([np.array(w, np.int16)]) for w in ([0, 101, 1], [0, 101, 0])]
    >>> go = Graph([0, 1], edge_source=[0], edge_target=[1], edge_symbol=[1])
    >>> graph_specificity(go, responses[0], pool_responses(responses), np.array([False, True]))
    1.0
    """
    candidates = np.flatnonzero(np.asarray(other, bool)[pool.network])
    theirs = pool.responses.select(candidates)
    told, mine = theirs.all_certain(), own.all_certain()
    same = _same(told.items, told.ends, mine.items, mine.ends, pool.sequence[candidates])
    telling = np.flatnonzero(~same)
    if not len(telling):
        return float("nan")
    return float(1 - allowed(graph, theirs.select(telling), missing=missing).mean())


@njit(cache=True, nogil=True)
def _same(items, ends, other_items, other_ends, others):  # type: ignore[no-untyped-def]
    """Whether each response sequence is the one of others that it is compared with."""
    same = np.ones(ends.size, np.bool_)
    for i in range(ends.size):
        k = others[i]
        begin = ends[i - 1] if i > 0 else 0
        other = other_ends[k - 1] if k > 0 else 0
        length = ends[i] - begin
        same[i] = other_ends[k] - other == length
        if same[i]:
            for j in range(length):
                if items[begin + j] != other_items[other + j]:
                    same[i] = False
                    break
    return same


class Verification(NamedTuple):
    """How right the graphs of a population are.

    Attributes
    ----------
    recall : array (network,)
        Share of a network's own sequences that its graph allows.
    specificity : array (network,)
        Share of sequences that networks with another solution answer otherwise, and that the
        graph forbids; NaN where there are none.
    """

    recall: NDArray[np.float64]
    specificity: NDArray[np.float64]


def verify_graphs(
    responses: Sequence[ResponseSequences],
    graphs: Sequence[Graph],
    keys: Sequence[str],
    *,
    missing: str = "forbid",
    pool: int = POOL,
    seed: int = SEED,
) -> Verification:
    """Recall and specificity of every graph of a population.

    Parameters
    ----------
    responses : sequence of ResponseSequences
        Each network's, on the same sequences (see `read_responses`).
    graphs : sequence of Graph
    keys : sequence of str
        Each network's solution.
    missing : {"forbid", "stay"}
        See `allowed`.
    pool : int
        How many of all networks' response sequences each graph is shown.
    seed : int
        Which of them these are.

    Examples
    --------
    >>> from solspace.reduction import join_responses
    >>> responses = [join_responses([np.array(w, np.int16)]) for w in ([0, 101, 1], [0, 101, 0])]
    >>> go = Graph([0, 1], edge_source=[0], edge_target=[1], edge_symbol=[1])
    >>> rest = Graph([0], edge_source=[0], edge_target=[0], edge_symbol=[1])
    >>> verify_graphs(responses, [go, rest], ["go", "rest"]).recall.tolist()
    [1.0, 1.0]
    """
    if not len(responses) == len(graphs) == len(keys):
        raise SolspaceError(
            f"{len(responses)} networks' response sequences, {len(graphs)} graphs and {len(keys)} "
            "keys; give one of each a network"
        )
    drawn = pool_responses(responses, size=pool, seed=seed)
    names = np.array([str(key) for key in keys])
    recall = [graph_recall(g, w, missing=missing) for g, w in zip(graphs, responses, strict=True)]
    specificity = [
        graph_specificity(graph, own, drawn, names != name, missing=missing)
        for graph, own, name in zip(graphs, responses, names, strict=True)
    ]
    return Verification(np.array(recall), np.array(specificity))
