"""What the networks of a stored population answer to challenges, wherever the work runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from solspace.run import where
from solspace.run.own_tasks import know_tasks

if TYPE_CHECKING:
    import xarray as xr

    from solspace.store import Population

__all__ = ["population_answers"]

BLOCK = 20  # networks that are run at once by one worker


def population_answers(
    population: Population,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: Mapping[str, Any] | None = None,
    progress: Callable[[int], Any] | None = None,
) -> xr.Dataset:
    """What `solspace.design.answers` gives, networks dealt out to workers; nothing is written.

    Parameters
    ----------
    population : Population
    workers, scheduler, slurm : optional
        See `solspace.run_stage`.
    progress : callable (int) -> None, optional
        Told how many networks were run.

    Raises
    ------
    SolspaceError
        As `solspace.design.answers`, before any network is run.
    """
    import xarray as xr

    from solspace.design.asking import family_of
    from solspace.tasks import get_task

    know_tasks(population.path)
    family_of(get_task(population.task))
    blocks = [
        (a, min(a + BLOCK, population.networks)) for a in range(0, population.networks, BLOCK)
    ]
    local = workers is None and scheduler is None and slurm is None
    of = (population.path, population.task, population.architecture)
    found: dict[int, xr.Dataset] = {}
    for block, part in where.map_unordered(
        partial(_answer, of, not local),
        blocks,
        workers=workers,
        scheduler=scheduler,
        slurm=slurm,
        name=f"answers {population}",
    ):
        found[block[0]] = part
        if progress is not None:
            progress(block[1] - block[0])
    out = xr.concat([found[block[0]] for block in blocks], "network", combine_attrs="override")
    # Coordinates that are of no network were repeated with each block.
    first = found[0]
    return out.assign_coords({n: v for n, v in first.coords.items() if "network" not in v.dims})


def _answer(of: tuple[str, str, str], elsewhere: bool, block: tuple[int, int]) -> xr.Dataset:
    from solspace.design import answers
    from solspace.population import failures_told_elsewhere
    from solspace.store import Population

    path, task, architecture = of
    if elsewhere:
        know_tasks(path)
    ds = Population(path, task, architecture).open().isel(network=slice(*block))
    with failures_told_elsewhere():
        return answers(ds)
