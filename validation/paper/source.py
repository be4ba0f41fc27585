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
from solspace.store import Store
from solspace.tasks import Task, Trials, get_task

__all__ = ["Ends", "Networks", "open_networks"]

POINT, CYCLE, WANDERING, DRIFTING = range(4)  # attractor_kind


@dataclass(frozen=True)
class Ends:
    """What one network settles to in the silences of its task (`solspace.find_attractors`).

    Attributes
    ----------
    after : array of str (silence,)
        What the silence comes after.
    attractor : array of int (silence,)
        Which attractor it ends in.
    kind : array of int (silence,)
        Of that attractor: a point, a cycle, a set wandered over, or nowhere yet.
    period : array (silence,)
        Of that attractor, in steps; NaN where it has none.
    """

    after: NDArray[np.str_]
    attractor: NDArray[np.int64]
    kind: NDArray[np.int64]
    period: NDArray[np.float64]

    def following(self, after: str) -> Ends:
        """Those of the silences that come after something."""
        at = self.after == after
        return Ends(self.after[at], self.attractor[at], self.kind[at], self.period[at])


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
    attractors : Dataset or None
        The attractors group, where the store has one.
    """

    name: str
    ds: xr.Dataset
    graph: xr.Dataset
    attractors: xr.Dataset | None = None

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

    def ends(self, members: list[int]) -> dict[int, Ends]:
        """What networks settle to: as stored, or found now where it is not."""
        found, missing = {}, members
        if self.attractors is not None:
            known = np.all(self.attractors["attractor_index"].values >= 0, axis=1)
            found = {i: _ends(self.attractors, i) for i in members if known[i]}
            missing = [i for i in members if i not in found]
        if missing:
            table = _checked(solspace.find_attractors(self.ds.isel(network=missing)), "attractors")
            found |= {i: _ends(table, k) for k, i in enumerate(missing)}
        return found

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


def _ends(table: xr.Dataset, i: int) -> Ends:
    attractor = table["attractor_index"].values[i].astype(int)
    return Ends(
        after=table["silence_after"].values.astype(str),
        attractor=attractor,
        kind=table["attractor_kind"].values[i][attractor].astype(int),
        period=table["attractor_period"].values[i][attractor],
    )


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
    attractors = None
    if Store(store).populations(task, architecture)[0].has("attractors"):
        attractors = solspace.open_population(store, task, architecture, "attractors").load()
    return Networks(name, there, graph.load(), attractors)
