"""Populations of stores compared, network by network, wherever the work runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import xarray as xr

from solspace import __version__
from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.variables import PENDING
from solspace.run import where as compute
from solspace.similarity import Measure, degeneracy, get_measure, pairwise
from solspace.stages.carry import carried, take
from solspace.store import Population, Store, place
from solspace.tasks import get_task
from solspace.tasks.registry import is_known

__all__ = ["compare_networks", "matched_populations", "measure_degeneracy", "read_for"]


@place.one_moment()
def compare_networks(
    path: str,
    measure: str | Measure = "procrustes",
    *,
    other: str | None = None,
    task: str | None = None,
    architecture: str | None = None,
    other_architecture: str | None = None,
    by: Sequence[str] = (),
    block: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: int | Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> dict[str, xr.DataArray]:
    """How alike networks of a store are, or those of two stores on the same trials.

    Networks that the measure cannot take are left NaN and counted in a warning.

    Parameters
    ----------
    path : str
        A store whose activity is recorded; for ``"weights"`` any.
    measure : str or Measure
        See `solspace.similarity.MEASURES`.
    other : str, optional
        A store to compare with. By default networks of each population with one another.
    task, architecture : str, optional
        Only these populations.
    other_architecture : str, optional
        Of ``other``; by default the same as in ``path``, or the only one of the task there.
    by : sequence of str
        Labels that are wanted of the networks: refused at once where one is not there.
    block : int, optional
        Networks in a block, two of which a worker holds; by default what fits in 256 MB.
    workers : int, optional
        Processes of a local dask cluster. By default the workers of the active
        `distributed.Client`, and where there is none threads of this process.
    scheduler : str, optional
        Address of a dask scheduler to send pairs of blocks to; workers read the store themselves.
    slurm : int or mapping, optional
        As for `solspace.run_stage`.
    options : mapping, optional
        Of the measure.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    dict of str to DataArray
        What `solspace.similarity.pairwise` returns, by the names of the populations.

    Raises
    ------
    SolspaceError
        Where a store has no such population or no activity, or networks did other trials.
    ClusterError
        Where a scheduler or a worker died.

    Examples
    --------
    >>> compare_networks("nowhere.zarr")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    record = get_measure(measure)
    record.split(dict(options or {}))
    where = _where(workers, scheduler, slurm)
    found = matched_populations(
        path,
        other,
        task=task,
        architecture=architecture,
        other_architecture=other_architecture,
    )
    # All of them first: an hour's work does not end with what could be said at once.
    read = {
        name: [read_for(record, _sent(population, where)) for population in populations]
        for name, populations in found.items()
    }
    for name, datasets in read.items():
        _check_labels(name, datasets, by)
    out = {}
    for name, datasets in read.items():
        networks = [ds.sizes["network"] for ds in datasets]
        pairs = networks[0] * networks[1] if len(networks) == 2 else _pairs(networks[0])
        with _bar(f"{record.name} {name}", pairs, progress) as bar:
            try:
                out[name] = pairwise(
                    datasets[0],
                    record,
                    other=datasets[1] if len(datasets) == 2 else None,
                    block=block,
                    over=_over(found[name], where),
                    unfit="leave_out",
                    progress=bar.update,
                    **dict(options or {}),
                )
            except SolspaceError as error:
                raise type(error)(f"{path}: {name}: {error}") from None
    return out


def matched_populations(
    path: str,
    other: str | None = None,
    *,
    task: str | None = None,
    architecture: str | None = None,
    other_architecture: str | None = None,
) -> dict[str, list[Population]]:
    """Populations of a store, each alone or with that of another store, by what to call them.

    Raises
    ------
    SolspaceError
        Where a store has none, or no two have a task in common.
    """
    own = Store(path).select(task, architecture)
    if other is None:
        if other_architecture is not None:
            raise SolspaceError("--other-architecture is of another store; give OTHER too")
        return {str(p): [p] for p in own}
    theirs = Store(other).select(task)
    out = {}
    for population in own:
        of_task = [p for p in theirs if p.task == population.task]
        wanted = other_architecture or population.architecture
        match = [p for p in of_task if p.architecture == wanted]
        if not match and other_architecture is None and len(of_task) == 1:
            match = of_task
        for p in match:
            same = p.architecture == population.architecture
            out[str(population) if same else f"{population} and {p}"] = [population, p]
    if not out:
        raise SolspaceError(
            f"{path} has {', '.join(map(str, own))} and {other} has {', '.join(map(str, theirs))}; "
            "give stores with populations of one task, and --other-architecture where theirs is "
            "another"
        )
    return out


def read_for(measure: Measure, population: Population) -> xr.Dataset:
    """What a measure takes of a population, lazily.

    Raises
    ------
    SolspaceError
        Where activity is not recorded; the message says what to type.
    """
    kind = kind_of(population.architecture).name
    if kind not in ("recurrent", "recorded") or (kind == "recorded" and measure.of == "weights"):
        what = "weights between units" if measure.of == "weights" else "activity on trials"
        raise SolspaceError(
            f"{population.path}: {population} ({kind}) has no {what}, which {measure.name!r} "
            "compares; give --task and --architecture of one that has, or another measure"
        )
    if measure.of == "weights":
        return population.open()
    if kind == "recorded":
        ds = population.open()
    else:
        ds = population.open("training", "record")
        waiting = int((population.status("record") == PENDING).sum())
        if waiting or "activity" not in ds.variables:
            raise SolspaceError(
                f"{population.path}: activity is not recorded for {waiting} of "
                f"{population.networks} networks of {population}; type `solspace record "
                f"{population.path}` first"
            )
    wanted = [n for n in ("activity", "input") if n in ds.variables]
    return ds[wanted]


def _check_labels(name: str, datasets: Sequence[xr.Dataset], by: Sequence[str]) -> None:
    for label in by:
        for ds in datasets:
            there = [str(n) for n, c in ds.coords.items() if c.dims == ("network",)]
            if label not in there or not any(str(v) for v in ds[label].values.tolist()):
                known = [n for n in there if n != "network" and any(str(v) for v in ds[n].values)]
                raise SolspaceError(
                    f"{name}: no network has the label {label!r}; there are: {', '.join(known)}"
                )


@place.one_moment()
def measure_degeneracy(
    path: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
    dynamics: str = "dsa",
    networks: int = 30,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: int | Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, xr.Dataset]:
    """How much networks of each population of a store differ, at three levels.

    Parameters
    ----------
    path : str
    task, architecture : str, optional
        Only these populations.
    dynamics, networks, options
        See `solspace.similarity.degeneracy`.
    workers, scheduler, slurm
        See `compare_networks`.

    Returns
    -------
    dict of str to Dataset
        What `solspace.similarity.degeneracy` returns, by population; its attribute ``missing``
        says which levels are not there, and what to type for them.

    Raises
    ------
    SolspaceError
        Where there are no networks.

    Examples
    --------
    >>> measure_degeneracy("nowhere.zarr")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    measure = get_measure(dynamics)
    measure.split(dict(options or {}))
    where = _where(workers, scheduler, slurm)
    out = {}
    for population in (_sent(p, where) for p in _recurrent(path, task, architecture)):
        groups: dict[str, xr.Dataset] = {}
        missing = []
        for level, group, stage in (
            ("dynamics", "training", "record"),
            ("behaviour", "extrapolation", "extrapolate"),
        ):
            if not population.has(group) or (population.status(stage) == PENDING).any():
                missing.append(f"{level}: type `solspace {stage} {path}` first")
            else:
                groups[group] = population.open(group)
        if "training" in groups:
            groups["training"] = read_for(measure, population)
        try:
            found = degeneracy(
                population.open(),
                training=groups.get("training"),
                extrapolation=groups.get("extrapolation"),
                dynamics=dynamics,
                networks=networks,
                over=_over([population], where),
                **(dict(options or {}) if "training" in groups else {}),
            )
        except SolspaceError as error:
            raise type(error)(f"{path}: {population}: {error}") from None
        found.attrs["missing"] = "; ".join(missing)
        out[str(population)] = found
    return out


def _recurrent(path: str, task: str | None, architecture: str | None) -> list[Population]:
    """Populations of networks with weights."""
    found = Store(path).select(task, architecture)
    out = [p for p in found if kind_of(p.architecture).name == "recurrent"]
    if not out:
        raise SolspaceError(
            f"{path}: {', '.join(map(str, found))} have no weights between units and no answers on "
            "trials; give a store of recurrent networks"
        )
    return out


def _pairs(n: int) -> int:
    return n * (n + 1) // 2


def _where(
    workers: int | None, scheduler: str | None, slurm: int | Mapping[str, Any] | None
) -> dict[str, Any]:
    """Where work goes, as `solspace.run.where.map_unordered` takes it; empty for threads here."""
    if isinstance(slurm, int):
        slurm = {"workers": slurm}
    compute.check_where(workers, scheduler, slurm)
    if workers is scheduler is slurm is None:
        scheduler = compute.active_scheduler()
    given = {"workers": workers, "scheduler": scheduler, "slurm": slurm}
    return {name: value for name, value in given.items() if value is not None}


def _sent(population: Population, where: Mapping[str, Any]) -> Population:
    """A population as a worker in another folder finds it."""
    return replace(population, path=compute.real_path(population.path)) if where else population


def _over(populations: Sequence[Population], where: Mapping[str, Any]) -> Callable[..., Any] | None:
    """How pairs of blocks are sent to workers that know what this process knows."""
    if not where:
        return None
    name = populations[0].task
    sent = carried(get_task(name) if is_known(name) else None)
    paths = tuple(_sent(p, where).path for p in populations)

    def over(function: Callable[[Any], Any], items: Sequence[Any]) -> Any:
        there = partial(_There(paths, sent, __version__), function)
        return compute.map_unordered(there, items, name="compare", **where)

    return over


@dataclass(frozen=True)
class _There:
    """In a worker: look whether the store is there, know the user's own, and do the work."""

    paths: tuple[str, ...]
    sent: bytes
    version: str

    def __call__(self, function: Callable[[Any], Any], item: Any) -> Any:
        for path in self.paths:
            compute.check_worker(path, self.version)
        take(self.sent)
        return function(item)


def _bar(name: str, pairs: int, show: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=pairs, unit="pair", desc=name, disable=not show, dynamic_ncols=True)
