"""What is in a store, whether it is sound, and what a report needs of it."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from solspace import schema
from solspace.errors import SolspaceError
from solspace.kinds import kind_of, load
from solspace.networks import parameter_names
from solspace.store import Population, Store

__all__ = ["SolutionRow", "check_store", "describe", "read_for_report", "solutions_table"]

# A description, not a dump: the store itself has all solutions.
_LISTED = 12
_DESCRIBED = 4


class SolutionRow(NamedTuple):
    """One solution: its number and key, what it does, and how many networks found it."""

    solution: int
    key: str
    description: str
    networks: int
    by_size: dict[int, int]


def solutions_table(ds: xr.Dataset) -> list[SolutionRow]:
    """Solutions of a population, most common first.

    Parameters
    ----------
    ds : Dataset
        A population with ``solution``, ``solution_key``, ``hidden_size`` and, where the store
        has it, ``solution_description``.

    Returns
    -------
    list of SolutionRow
        Graphs of one solution allow the same, but may be worded differently; the commonest
        wording is given.

    Examples
    --------
    >>> ds = xr.Dataset({"solution": ("network", [0, 1, 0]),
    ...                  "solution_key": ("network", ["a", "b", "a"])},
    ...                 coords={"hidden_size": ("network", [20, 20, 30])})
    >>> solutions_table(ds)[0]
    SolutionRow(solution=0, key='a', description='', networks=2, by_size={20: 1, 30: 1})
    """
    solution = ds["solution"].values
    keys, sizes = ds["solution_key"].values, ds["hidden_size"].values
    descriptions = (
        ds["solution_description"].values
        if "solution_description" in ds
        else np.full(len(keys), "", dtype=object)
    )
    rows = []
    for value in range(int(solution.max(initial=-1)) + 1):
        of_it = solution == value
        by_size, counts = np.unique(sizes[of_it], return_counts=True)
        wordings = Counter(map(str, descriptions[of_it]))
        rows.append(
            SolutionRow(
                value,
                str(keys[of_it][0]),
                min(wordings, key=lambda words: (-wordings[words], words)),
                int(of_it.sum()),
                dict(zip(by_size.tolist(), counts.tolist(), strict=True)),
            )
        )
    return rows


def describe(
    path: str, task: str | None = None, architecture: str | None = None, *, failed: bool = False
) -> str:
    """Text about a store: populations, networks by size, stages, and the solutions.

    Examples
    --------
    >>> import tempfile
    >>> from solspace.store import Store
    >>> store = Store(tempfile.mkdtemp() + "/small.zarr", create=True)
    >>> describe(store.path).endswith("small.zarr: schema version 1, no populations")
    True
    """
    populations = Store(path).populations(task, architecture)
    if not populations:
        return f"{path}: schema version {schema.SCHEMA_VERSION}, no populations"
    lines = [f"{path}: schema version {schema.SCHEMA_VERSION}"]
    for population in populations:
        ds = population.open()
        sizes, counts = np.unique(ds["hidden_size"].values, return_counts=True)
        by_size = ", ".join(f"{c} of {s} units" for s, c in zip(sizes, counts, strict=True))
        lines += ["", f"{population}: {ds.sizes['network']} networks ({by_size})"]
        lines += [f"  {line}" for line in _stage_lines(ds)]
        if population.has("learning"):
            lines.append(f"  {_learning_line(population.open('learning'))}")
        if failed:
            lines += [f"  {line}" for line in _failure_lines(ds)]
        elif (ds["solution"].values >= 0).any():
            lines += ["", *(f"  {line}" for line in _solution_lines(ds, sizes.tolist()))]
    return "\n".join(lines)


def size_on_disk(path: str) -> int:
    """Bytes of all files of a store."""
    return sum(
        os.path.getsize(os.path.join(folder, file))
        for folder, _, files in os.walk(path)
        for file in files
    )


def _stage_lines(ds: xr.Dataset) -> Iterator[str]:
    for stage in kind_of(ds.attrs.get("architecture")).stages:
        status = ds[f"status_{stage}"].values
        done, failed = (int((status == s).sum()) for s in (schema.DONE, schema.FAILED))
        pending = len(status) - done - failed
        parts = [f"{done} done"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{pending} pending"] if pending else []
        yield f"{stage:<12}{', '.join(parts)}"
    loss = ds["loss"].values[ds["status_train"].values == schema.DONE]
    if len(loss):
        yield f"{'loss':<12}median {np.median(loss):.2g}, largest {loss.max():.2g}"


def _learning_line(ds: xr.Dataset) -> str:
    """How many checkpoints there are, and of how many networks one has no graph."""
    reached = ds["gradient_steps"].values >= 0
    line = f"{'learning':<12}{ds.sizes['checkpoint']} checkpoints"
    if (ds["status_reduce"].values != schema.PENDING).any():
        none = int((reached & (ds["status_reduce"].values == schema.FAILED)).sum())
        line += f", {none} of {reached.sum()} without a graph"
    return line


def _failure_lines(ds: xr.Dataset) -> Iterator[str]:
    for stage in kind_of(ds.attrs.get("architecture")).stages:
        for i in np.flatnonzero(ds[f"status_{stage}"].values == schema.FAILED):
            message = ds[f"message_{stage}"].values[i]
            yield f"{stage} failed for {ds['name'].values[i]}: {message}"


def _solution_lines(ds: xr.Dataset, sizes: list[int]) -> Iterator[str]:
    rows = solutions_table(ds)
    total = sum(row.networks for row in rows)
    head = "".join(f"{f'N={s}':>7}" for s in sizes)
    yield f"solution  networks   share{head}   key"
    for row in rows[:_LISTED]:
        cells = "".join(f"{row.by_size.get(s, 0):>7}" for s in sizes)
        share = row.networks / total
        yield f"{row.solution:>8}  {row.networks:>8}  {share:>5.0%}{cells}   {row.key}"
    if len(rows) > _LISTED:
        rest = sum(row.networks for row in rows[_LISTED:])
        yield f"and {len(rows) - _LISTED} more solutions of {rest} networks"
    small = sum(row.networks for row in rows if row.networks < 10)
    if small and total > 100:
        yield f"{small / total:.0%} of the networks are in solutions of fewer than ten"
    yield ""
    for row in rows[:_DESCRIBED]:
        text = row.description or "not described; run reduce again"
        yield from textwrap.wrap(
            f"{row.solution}: {text}", 96, initial_indent="", subsequent_indent="   "
        )


# --------------------------------------------------------------------------- check


def check_store(path: str, task: str | None = None, architecture: str | None = None) -> list[str]:
    """All faults of a store on disk, a sentence each; an empty list where it is sound.

    Arrays are read shard by shard, so memory does not grow with the population.

    Examples
    --------
    >>> import tempfile
    >>> from solspace.store import Store
    >>> check_store(Store(tempfile.mkdtemp() + "/small.zarr", create=True).path)
    []
    """
    populations = Store(path).populations(task, architecture)
    return [fault for population in populations for fault in _check(population)]


def _check(population: Population) -> Iterator[str]:
    try:
        kind = kind_of(population.architecture)
    except SolspaceError as error:
        yield f"{population}: {error}"
        return
    groups = [group for group in schema.GROUPS if population.has(group)]
    sound = True
    for group in groups:
        ds = population.open(group)
        declared = schema.variables(group, population.architecture)
        late = {"features": "feature", "activity_features": "activity_feature"}
        absent = {n for pair in late.items() if pair[0] not in ds.variables for n in pair}
        absent |= {n for n, v in declared.items() if v.optional} - set(ds.variables)
        required = [n for n in declared if n not in absent]
        where = str(population) if group == "population" else f"{population}/{group}"
        found = schema.faults(ds, group, required=required, where=where)
        sound = sound and not found
        yield from found
        if "network" in ds.sizes and ds.sizes["network"] != population.networks:
            sound = False
            yield (
                f"{where}: {ds.sizes['network']} networks, the population has {population.networks}"
            )
    for stage, group in (
        ("record", "training"),
        ("extrapolate", "extrapolation"),
        ("reduce", "graph"),
    ):
        if stage not in kind.stages or (group == "graph" and not kind.graph):
            continue
        if sound and group not in groups and (population.status(stage) != schema.PENDING).any():
            sound = False
            yield f"{population}: networks have ended {stage}, but there is no {group} group"
    if sound:  # values are looked at only where names and shapes can be relied on
        yield from _check_names(population, groups)
        for shard in population.shards():
            parts = {group: population.read(group, shard) for group in ("population", *groups)}
            yield from (f"{population}: {fault}" for fault in load(kind.faults)(parts))


def _check_names(population: Population, groups: list[str]) -> Iterator[str]:
    own = population.open()
    names = own["name"].values.tolist()
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        yield f"{population}: names are not unique: {', '.join(twice)}"
    for group in groups:
        ds = population.open(group)
        for coordinate in ("network", "name", "hidden_size"):
            if not np.array_equal(ds[coordinate].values, own[coordinate].values):
                yield f"{population}/{group}: {coordinate!r} is not that of the population"
    keys, solution = own["solution_key"].values, own["solution"].values
    of_key: dict[str, set[int]] = {}
    for key, value in zip(keys.tolist(), solution.tolist(), strict=True):
        of_key.setdefault(key, set()).add(value)
    if any(len(values) > 1 for values in of_key.values()):
        yield f"{population}: networks of one solution_key have different solutions"


def faults_of_cells(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what the values of a shard of recurrent cells are at odds, a sentence each."""
    ds = parts["population"]
    for i in range(ds.sizes["network"]):
        name, size = str(ds["name"].values[i]), int(ds["hidden_size"].values[i])
        where = f"network {name}"
        status = {stage: int(ds[f"status_{stage}"].values[i]) for stage in schema.STAGES}
        for stage, value in status.items():
            if value not in (schema.PENDING, schema.DONE, schema.FAILED):
                yield f"{where}: status_{stage} is {value}, allowed are 0, 1, 2"
        if size < 1 or size > ds.sizes["unit"]:
            yield f"{where}: hidden_size {size}, the arrays have {ds.sizes['unit']} units"
            continue
        if status["train"] == schema.DONE:
            for parameter in parameter_names(ds.attrs["architecture"]):
                one = ds[parameter].isel(network=i)
                crop = {d: slice(size) for d in ("unit", "presynaptic_unit") if d in one.dims}
                if not np.isfinite(one.isel(crop).values).all():
                    yield f"{where}: called trained, but {parameter} is not finite"
        for stage, group, variable in (
            ("record", "training", "activity"),
            ("record", "training", "output"),
            ("extrapolate", "extrapolation", "output"),
        ):
            if status[stage] == schema.DONE:
                one = parts[group][variable].isel(network=i)
                if "unit" in one.dims:
                    one = one.isel(unit=slice(size))
                if not np.isfinite(one.values).all():
                    yield f"{where}: {stage} called done, but {group}/{variable} is not finite"
        if status["train"] == schema.DONE and "learning" in parts:
            losses = parts["learning"]["loss"].values[i]
            if not np.isfinite(losses[[0, -1]]).all():
                yield f"{where}: called trained, but its first or last checkpoint is empty"
            elif losses[-1] != ds["loss"].values[i]:
                yield f"{where}: the loss of its last checkpoint is not its own"
        if status["features"] == schema.DONE and not np.isfinite(ds["features"].values[i]).all():
            yield f"{where}: features called done, but one is not finite"
        if status["reduce"] == schema.DONE:
            if not ds["solution_key"].values[i]:
                yield f"{where}: reduce called done, but solution_key is empty"
            yield from _check_graph(parts["graph"], i, where)


def _check_graph(ds: xr.Dataset, index: int, where: str) -> Iterator[str]:
    from solspace.reduction.stage import graph_of

    try:
        graph_of(ds, index)
    except SolspaceError as error:
        yield f"{where}: {error}"


# --------------------------------------------------------------------------- report


def read_for_report(
    path: str, task: str | None = None, architecture: str | None = None
) -> dict[str, dict[str, xr.Dataset]]:
    """The groups of each population, lazily read, as `solspace.report.write_report` takes them.

    Raises
    ------
    SolspaceError
        Where there is no population, or a stage has not been run; it is named.
    """
    found = Store(path).populations(task, architecture)
    populations = [p for p in found if kind_of(p.architecture).graph]
    if found and not populations:
        raise SolspaceError(
            f"{path}: a report is about graphs, which {', '.join(map(str, found))} has none of; "
            "its pictures are made as docs/two_neuron.md says"
        )
    if not populations:
        raise SolspaceError(
            f"{path}: no networks to report on; make some with `solspace train {path} ...`"
        )
    out = {}
    for population in populations:
        optional = ("learning", "classification", "recording_size")
        groups = [g for g in schema.GROUPS if g not in optional or population.has(g)]
        out[str(population)] = {group: population.open(group) for group in groups}
        waiting = int((population.status("reduce") == schema.PENDING).sum())
        if waiting:
            raise SolspaceError(
                f"{path}: reduce is pending for {waiting} networks of {population}; type "
                f"`solspace run {path}` first"
            )
    return out
