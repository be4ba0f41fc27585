"""What is known of all networks together only: results of whole populations, labels, the method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from solspace.kinds import kind_of
from solspace.population.variables import DONE, is_label
from solspace.run.creating import of_other_length
from solspace.run.options import all_options
from solspace.run.reading import lengths, read_labels
from solspace.stages import collection
from solspace.stages.record import Stage
from solspace.store import Population, creation, provenance
from solspace.tasks import get_task

__all__ = ["finish", "replaced_variables", "write_whole", "write_whole_status"]


def replaced_variables(population: Population, stage: Stage, out: xr.Dataset) -> list[str]:
    """What a result of all networks together takes the place of: stored with another length.

    Raises
    ------
    SolspaceError
        Where another stage's variables have a dim of its with another length.
    """
    own = stage.variables("population", population.architecture)
    ds = out[[n for n in out.variables if n in own]]
    return of_other_length(population, stage, lengths(ds))


def write_whole(population: Population, stage: Stage, out: xr.Dataset) -> None:
    """Write what a stage over all networks computed, in place of an earlier result.

    All but its status: `write_whole_status` calls it done when it is noted how it was made.
    """
    with population.briefly():
        for group in dict.fromkeys(v.group for v in stage.fills):
            own = list(stage.variables(group, population.architecture).values())
            if group == "population":
                known = {v.name for v in own}
                ds = out[[n for n in out.variables if n in known]]
                stale = replaced_variables(population, stage, out)
                creation.remove_variables(population, stale)
                creation.add_variables(population, own, ds)
                for name in known & set(out.variables):
                    population.write_all(name, out[name].values)
            else:
                have = read_labels(population)
                # Of what a network has, the labels alone stand in every group.
                more = {str(c) for c, v in out.coords.items() if v.dims == ("network",)}
                more -= {*map(str, have.coords), *(v.name for v in own)}
                ds = out.drop_vars(more).assign_coords(dict(have.coords))
                creation.replace_group(population, group, own, ds)
        creation.add_variables(population, [stage.status, stage.message], xr.Dataset())
    if stage.message.name in out.variables:
        population.write_all(stage.message.name, out[stage.message.name].values)


def write_whole_status(population: Population, stage: Stage, out: xr.Dataset) -> None:
    """Call a stage over all networks done, or failed for some."""
    done = np.full(population.networks, DONE)
    status = out[stage.status.name].values if stage.status.name in out else done
    population.write_all(stage.status.name, status.astype(np.uint8))


def finish(population: Population, stage: Stage) -> None:
    """Write what needs all shards; also where the last run was killed just before this.

    Of several slices the last to end finds all shards there.
    """
    labels = [v.name for v in stage.fills if is_label(v)]
    with population.briefly():
        if not (stage.finish or labels or stage.notes) or population.pending(stage.name):
            return
        ds = population.open() if stage.finish else xr.Dataset()
        for group in dict.fromkeys(path.split("/")[0] for path in stage.finish):
            if group != "population" and population.has(group):
                own = population.open(group)
                ds = ds.assign({n: own[n].variable for n in own.data_vars})
        for path, (function, needs) in stage.finish.items():
            group, name = path.split("/")
            if not population.has(group) or any(n not in ds.variables for n in needs):
                continue
            values = function(ds[list(needs)].load())
            there = population.open(group)[name].values
            if not np.array_equal(values, there):
                population.write_all(name, values, group)
        _spread_labels(population, labels)
        if stage.notes is not None:
            options = all_options(stage, provenance.last_options(population, stage.name) or {})
            notes = stage.notes(get_task(population.task), options, population.attrs)
            for group in dict.fromkeys(["population", *(p.split("/")[0] for p in stage.finish)]):
                if population.has(group):
                    creation.set_attrs(population, notes, group)


def _spread_labels(population: Population, labels: Sequence[str]) -> None:
    """Labels stand in every group with networks: copied there when they are known."""
    if not labels:
        return
    known = collection.labels(kind_of(population.architecture).name)
    groups = [g for g in population.groups()[1:] if "network" in population.members(g)]
    values = {name: own.values for name, own in population.variables(labels).items()}
    other = {}
    for group in groups:
        there = population.variables(values, group)
        missing = [known[name] for name in values if name not in there]
        creation.add_variables(population, missing, xr.Dataset(), group=group)
        for name, value in values.items():
            if name not in there or not np.array_equal(value, there[name].values):
                other[group, name] = value
    if other:
        population.write_together(other)
