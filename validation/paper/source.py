"""Networks of a store, and what is run with them on the fly."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import solspace
from solspace import networks
from solspace.errors import SolspaceError, how_to_make
from solspace.population.ranking import rank_solutions
from solspace.reduction.graph import Graph
from solspace.reduction.stage import graph_of
from solspace.tasks import Task, Trials, get_task

__all__ = ["Networks", "open_networks"]


@dataclass(frozen=True)
class Networks:
    """One population of a store, with its graphs, in memory.

    Attributes
    ----------
    name : str
        ``task/architecture``.
    ds : Dataset
        The population group.
    graph : Dataset
        The graph group.
    """

    name: str
    ds: xr.Dataset
    graph: xr.Dataset

    @property
    def task(self) -> Task:
        return get_task(self.name.split("/")[0])

    @property
    def architecture(self) -> str:
        return self.name.split("/")[1]

    def __len__(self) -> int:
        return int(self.ds.sizes["network"])

    @cached_property
    def keys(self) -> NDArray[np.str_]:
        """``graph_key`` of each network; empty where it has no graph."""
        return np.asarray(self.ds["graph_key"].values).astype(str)

    @cached_property
    def common(self) -> list[tuple[str, int]]:
        """Graphs and how many networks have each, commonest first."""
        rank = rank_solutions(self.keys)
        found = []
        for i in range(int(rank.max(initial=-1)) + 1):
            members = np.flatnonzero(rank == i)
            found.append((str(self.keys[members[0]]), len(members)))
        return found

    def members(self, key: str) -> NDArray[np.intp]:
        """Networks that have this graph."""
        return np.flatnonzero(self.keys == key)

    def label(self, i: int) -> str:
        """A network's name."""
        return str(self.ds["name"].values[i])

    def graph_of(self, i: int) -> Graph | None:
        """A network's graph; None where it has none."""
        return graph_of(self.graph, i) if self.graph["n_nodes"].values[i] > 0 else None

    def one(self, i: int) -> xr.Dataset:
        """A population of one."""
        return self.ds.isel(network=[i])

    def beyond(self, members: list[int]) -> xr.Dataset:
        """Output of some networks on trials far beyond training (`solspace.extrapolate`)."""
        return _checked(solspace.extrapolate(self.ds.isel(network=members)), "extrapolate")

    def record(self, i: int, trials: Trials) -> xr.Dataset:
        """Activity and output of one network on trials of one's own (`solspace.record`)."""
        task = replace(self.task, recorded_trials=lambda: trials)
        return _checked(solspace.record(self.one(i), task=task), "record")

    def states(self, i: int, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """Activity of one network in double precision, (trial, time, unit)."""
        weights = solspace.network_weights(self.ds, i)
        states, _ = networks.run(self.architecture, weights, inputs)
        return states[..., : networks.hidden_size(weights)]


def _checked(out: xr.Dataset, stage: str) -> xr.Dataset:
    if (out[f"status_{stage}"].values != 1).any():
        raise SolspaceError(
            f"{out['name'].values[0]}: {stage} failed; {out[f'message_{stage}'].values[0]}"
        )
    return out


def open_networks(store: str | os.PathLike[str], name: str) -> Networks:
    """A population of a store.

    Raises
    ------
    SolspaceError
        Where the store or the population is not there, or it has no graphs.
    """
    task, architecture = name.split("/")
    ds = solspace.open_population(store, task, architecture)
    if "graph_key" not in ds.variables or not (ds["graph_key"].values != "").any():
        raise SolspaceError(f"{os.fspath(store)}: {name} has no graphs; {how_to_make('reduce')}")
    graph = solspace.open_population(store, task, architecture, "graph")
    # Features are read where they are used, and what networks were before training nowhere.
    before = [str(v) for v in ds.data_vars if str(v).startswith("initial_")]
    there = ds.drop_vars([*before, *({"features"} & {*ds.data_vars})]).load()
    if "features" in ds:
        there["features"] = ds["features"]
    return Networks(name, there, graph.load())
