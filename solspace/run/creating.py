"""The groups that a stage fills: laid before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.variables import PENDING, annotate
from solspace.run.reading import lengths, read_inputs, read_labels
from solspace.stages import collection
from solspace.stages.record import Layout, Stage
from solspace.stages.template import layouts, missing_dims, wanted
from solspace.store import Population, creation
from solspace.store.layout import undeclared
from solspace.tasks import Task

__all__ = ["create_groups", "group_layouts", "of_other_length"]


def create_groups(
    population: Population, stage: Stage, task: Task, options: Mapping[str, Any]
) -> xr.Dataset | None:
    """Create what a stage fills, where it is not there yet.

    The labels of all networks, where they were read for it.
    """
    base: xr.Dataset | None = None
    creation.add_variables(population, [stage.status, stage.message], xr.Dataset())
    attrs = population.attrs
    have = population.open(indexes=False)
    laid = group_layouts(population, stage, task, have, options)
    begun = bool((population.status(stage.name) != PENDING).any())
    for group in dict.fromkeys(["population", *(v.group for v in stage.fills)]):
        if group in stage.groups and not stage.groups[group].present(attrs):
            continue
        own = wanted(stage, population.architecture, laid, group)
        layout = laid.get(group)
        coordinates = layout.coordinates if layout else xr.Dataset()
        sizes = dict(layout.sizes) if layout else {}
        if group == "population":
            outdated = creation.outdated(population, coordinates)
            if outdated:
                if begun:
                    raise SolspaceError(
                        f"{population.path}: {stage.verb} of {population} was begun with another "
                        f"{outdated[0]} coordinate, by another version or with features of your "
                        "own; give --redo to compute all of it again"
                    )
                creation.remove_dims(population, outdated)
            missing_dims(stage, own, lengths(have) | lengths(coordinates) | sizes)
            stale = of_other_length(population, stage, lengths(coordinates) | sizes)
            if stale and begun:
                raise SolspaceError(
                    f"{population.path}: {stage.verb} of {population} was begun with another "
                    f"length of {stale[0]!r}; give --redo to compute all of it again"
                )
            creation.remove_variables(population, stale)
            more = [n for n in map(str, coordinates.variables) if n not in {v.name for v in own}]
            extra = [undeclared(coordinates[n], group) for n in more]
            creation.add_variables(population, [*extra, *own], coordinates, sizes)
            creation.prepare_shards(population, [*own, stage.status, stage.message])
            continue
        if population.has(group):
            there = population.open(group).sizes
            fits = all(there.get(dim, size) == size for dim, size in sizes.items())
            if begun or (fits and not creation.outdated(population, coordinates, group)):
                creation.add_variables(population, own, coordinates, sizes, group)
                creation.prepare_shards(population, own, group)
                continue
            # Nothing is there yet, or nothing any more: it may be made in another way.
            creation.remove_group(population, group)
        base = read_labels(population) if base is None else base
        ds = coordinates.assign_coords(dict(base.coords))
        ds = annotate(ds, own)
        missing_dims(stage, own, lengths(ds) | sizes)
        creation.create_group(population, group, own, ds, sizes)
    return base


def of_other_length(population: Population, stage: Stage, sizes: Mapping[str, int]) -> list[str]:
    """Variables of the population that a stage lays anew, since a dim has another length now.

    Its own, and those of later stages, whose results are computed again as well.

    Raises
    ------
    SolspaceError
        Where another stage's variable has the dim.
    """
    kind = kind_of(population.architecture).name
    later = [
        s for s in collection.stages(kind).values()
        if stage.name in collection.needed_first(s.name, kind)
    ]  # fmt: skip
    mine = [s.variables("population", population.architecture) for s in (stage, *later)]
    dims = {d for v in mine[0].values() for d in v.dims}
    changed = {d: n for d, n in sizes.items() if d in dims}
    return creation.of_other_length(population, [v for own in mine for v in own.values()], changed)


def group_layouts(
    population: Population, stage: Stage, task: Task, have: xr.Dataset, options: Mapping[str, Any]
) -> dict[str, Layout]:
    if stage.layout is not None:
        return layouts(stage, task, have, options)
    # A stage of one's own: its dims are those of what it reads, with their coordinates.
    read = read_inputs(population, stage, all_labels=False)
    out = {}
    for group in dict.fromkeys(v.group for v in stage.fills):
        dims = {d for v in stage.variables(group).values() for d in v.dims} - {"network"}
        coords = {
            str(c): v.load()
            for c, v in read.coords.items()
            if set(map(str, v.dims)) <= dims and v.dims and "network" not in v.dims
        }
        sizes = {d: int(read.sizes[d]) for d in dims if d in read.sizes}
        if group == "population":
            coords = {c: v for c, v in coords.items() if c not in have.variables}
        out[group] = Layout(xr.Dataset(coords=coords), sizes)
    return out
