"""What a dataset says of itself: its task, its architecture, its recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.tasks import Recipe, Task, get_task
from solspace.tasks.files import find_tasks, read_source
from solspace.tasks.registry import is_known

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["architecture_of", "graph_method", "label_of", "named_of", "recipe_of", "task_of"]


def named_of(ds: xr.Dataset, name: str) -> str | None:
    """The one value of a coordinate such as ``task``; None where there is none.

    Raises
    ------
    SolspaceError
        Where networks of several are in one dataset.
    """
    if name not in ds.variables:
        found: Any = ds.attrs.get(name)  # a dataset of one's own
        return None if found is None else str(found)
    # Without its coordinates, which take longer: every network of a stage asks.
    values = np.unique(np.asarray(ds.variables[name].values).astype(str))
    if len(values) == 1:
        return str(values[0])
    if not len(values):
        return None
    raise SolspaceError(
        f"the dataset has networks of several {name}s ({', '.join(values)}); give those of one, "
        f"such as ds.where(ds.{name} == {str(values[0])!r}, drop=True)"
    )


def task_of(ds: xr.Dataset, task: str | Task | None = None) -> Task:
    """The task a dataset belongs to, by its coordinate ``task`` where it is not given.

    Raises
    ------
    SolspaceError
        Where the dataset does not say, has networks of several, or has networks whose inputs or
        outputs are not as many as the task's.
    """
    if task is None:
        task = named_of(ds, "task")
        if task is None:
            raise SolspaceError("the dataset has no coordinate 'task'; give task=NAME")
        if not is_known(task) and (source := read_source(ds.attrs)) is not None:
            find_tasks(task, source, "the dataset")
    task = get_task(task)
    for dim, channels in (("input_channel", task.inputs), ("output_channel", task.outputs)):
        if ds.sizes.get(dim, len(channels)) != len(channels):
            kind = dim.split("_")[0]
            own = f": {', '.join(map(str, ds[dim].values))}" if dim in ds.coords else ""
            raise SolspaceError(
                f"the networks have {ds.sizes[dim]} {kind}s{own}; task {task.name!r} has "
                f"{len(channels)}: {', '.join(channels)}; give the task that they are of"
            )
    return task


def architecture_of(ds: xr.Dataset, *, required: bool = True) -> str:
    """The architecture of a dataset's networks, by its coordinate ``architecture``.

    Raises
    ------
    SolspaceError
        Where the dataset does not say (and it is required), or has networks of several.

    Examples
    --------
    >>> import xarray as xr
    >>> architecture_of(xr.Dataset(coords={"architecture": "gru"}))
    'gru'
    """
    found = named_of(ds, "architecture")
    if found is None:
        if not required:
            return ""
        raise SolspaceError(
            "the dataset has no coordinate 'architecture'; give it one, such as "
            "ds.assign_coords(architecture='vanilla')"
        )
    return found


def recipe_of(ds: xr.Dataset) -> Recipe:
    """The recipe stored with a population."""
    if "recipe" not in ds.attrs:
        return task_of(ds).recipe(architecture_of(ds))
    return Recipe(**json.loads(ds.attrs["recipe"]))


def label_of(attrs: Mapping[str, Any]) -> str:
    """The label that a population's solutions follow; empty where it does not say.

    Examples
    --------
    >>> label_of({"solution_method": "graph_key"})
    'graph_key'

    Before there were several it said how graphs were made as well.

    >>> label_of({"solution_method": "automaton_key of turner2021 graphs"})
    'automaton_key'
    """
    return str(attrs.get("solution_method", "")).partition(" ")[0]


def graph_method(attrs: Mapping[str, Any]) -> str:
    """The method by which a population's graphs were made, without time.

    Examples
    --------
    >>> graph_method({"graph_method": "automaton"}), graph_method({})
    ('automaton', 'turner2021')
    >>> graph_method({"solution_method": "automaton_key of automaton graphs"})
    'automaton'
    """
    before = str(attrs.get("solution_method", "")).partition(" of ")[2].removesuffix(" graphs")
    return str(attrs.get("graph_method") or before or "turner2021")
