"""Threads or processes, where nobody has said which."""

from __future__ import annotations

from collections.abc import Sequence

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.run.own_tasks import refusal
from solspace.run.where import most_workers
from solspace.stages import collection
from solspace.stages.carry import carried
from solspace.store import Population
from solspace.tasks import get_task

__all__ = ["worthwhile_processes"]

FEWEST = 200  # networks for which processes are started
EACH = 25  # networks that a process is worth, which takes some seconds to start
ROOM = 1 << 30  # bytes of memory for each


def worthwhile_processes(populations: Sequence[Population]) -> int | None:
    """How many processes the analysis of some populations is worth; None where threads do.

    Threads wait for one another wherever it is Python that runs. Training does not, so that it
    is not counted.

    Parameters
    ----------
    populations : sequence of Population

    Returns
    -------
    int or None
        At most one a core, and one for each gigabyte of memory. None where fewer than 200
        networks are pending, where dask's cluster is not installed, or where a task or something
        else of a user's own cannot be sent to another process.

    Examples
    --------
    >>> worthwhile_processes([]) is None
    True
    """
    waiting = [p for p in populations if _waits(p)]
    networks = sum(p.networks for p in waiting)
    if networks < FEWEST or (processes := min(most_workers(ROOM), networks // EACH)) < 2:
        return None
    try:
        for task in {p.task for p in waiting}:
            carried(get_task(task))
    except SolspaceError:
        return None
    return processes


def _waits(population: Population) -> bool:
    """Whether an analysis is pending that the population can have."""
    kind = kind_of(population.architecture).name
    for name, stage in collection.stages(kind).items():
        if not stage.by_default or stage.over != "network" or name == "train":
            continue
        needed = (*collection.needed_first(name, kind), name)
        if population.pending(name) and not any(refusal(population, n) for n in needed):
            return True
    return False
