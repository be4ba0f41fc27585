"""What graphs are tested with: random sequences of pulses, and other networks' responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.reduction.responses import ResponseSequences, join_all
from solspace.tasks import Task, get_task
from solspace.tasks.needs import check_needs
from solspace.tasks.protocol import PulseSequences

__all__ = [
    "Pool",
    "pool_responses",
    "pool_sequences",
    "verification_sequences",
]

SEQUENCES = 300
SEED = 0
POOL = 2000


def verification_sequences(
    task: str | Task, n: int = SEQUENCES, *, seed: int = SEED
) -> PulseSequences:
    """The random sequences that networks of a task are tested with, the same for all of them.

    Raises
    ------
    SolspaceError
        Where the task does not say which pulses its networks can be given.

    Examples
    --------
    >>> len(verification_sequences("interval_reproduction", 50))
    50
    """
    task = get_task(task)
    check_needs(task, "verify")
    assert task.protocol is not None
    return task.protocol.random_sequences(np.random.default_rng(seed), n)


class Pool(NamedTuple):
    """Response sequences of a whole population, to be forbidden by graphs of other solutions.

    Attributes
    ----------
    responses : ResponseSequences
    network : array, int64, (response,)
        Whose response sequence it is.
    sequence : array, int64, (response,)
        Index of the sequence it answers.
    """

    responses: ResponseSequences
    network: NDArray[np.int64]
    sequence: NDArray[np.int64]


def pool_responses(
    responses: Sequence[ResponseSequences], *, size: int = POOL, seed: int = SEED
) -> Pool:
    """Responses drawn evenly from all networks, so many in all that cost is linear in networks.

    Parameters
    ----------
    responses : sequence of ResponseSequences
        Each network's, on the same sequences.
    size : int
        Most responses of the pool; from each network as many as from any other, at least one.
    seed : int

    Examples
    --------
    >>> from solspace.reduction import join_responses
    >>> quiet = join_responses([np.array([0], np.int16)] * 300)
    >>> len(pool_responses([quiet] * 40).responses)
    2000
    """
    if len({len(own) for own in responses}) != 1 or not len(responses[0]):
        raise SolspaceError(
            "networks were driven with different numbers of sequences; drive all with the same"
        )
    chosen = pool_sequences(len(responses), len(responses[0]), size=size, seed=seed)
    drawn = [own.select(ks) for own, ks in zip(responses, chosen, strict=True)]
    return Pool(
        join_all(drawn),
        np.repeat(np.arange(len(responses)), chosen.shape[1]),
        chosen.ravel(),
    )


def pool_sequences(
    networks: int, sequences: int, *, size: int = POOL, seed: int = SEED
) -> NDArray[np.int64]:
    """Which sequences of each network go into a pool, (network, sequence), in order.

    Examples
    --------
    >>> pool_sequences(400, 300).shape
    (400, 5)
    """
    rng = np.random.default_rng(seed)
    share = min(max(size // max(networks, 1), 1), sequences)
    rows = [np.sort(rng.permutation(sequences)[:share]) for _ in range(networks)]
    return np.array(rows, np.int64).reshape(networks, share)
