"""What is in a store, whether it is sound, and what a report needs of it."""

from __future__ import annotations

import itertools
import json
import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace.diversity.coverage import coverage_table, solution_coverage
from solspace.diversity.difference import compare_solutions, difference_table
from solspace.diversity.labels import label_variables
from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.labels.names import solution_name
from solspace.networks import architecture_names
from solspace.population.describe import graph_method, label_of, named_of
from solspace.population.trained import CHECKPOINT_PREFIX
from solspace.population.variables import DONE, FAILED, GRAPH_LABELS, PENDING
from solspace.stages import collection
from solspace.store import Store, place
from solspace.store.metadata import SCHEMA_VERSION
from solspace.tasks import get_task
from solspace.tasks.needs import lacking
from solspace.tasks.registry import is_known

__all__ = [
    "SolutionRow",
    "describe",
    "describe_coverage",
    "describe_differences",
    "label_told",
    "read_for_report",
    "recording_lines",
    "solutions_table",
    "trust_in_graphs",
]

# A description, not a dump: the store itself has all solutions.
_LISTED = 12
_DESCRIBED = 4
_ASKED = (
    1000  # networks of a solution of which descriptions are read, the longest strings there are
)


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
        Where networks of one solution are worded differently (as an earlier version did), the
        commonest wording is given.

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
    # Sorted once: solutions may be thousands, and networks many more.
    order = np.argsort(solution, kind="stable")
    edges = np.searchsorted(solution[order], np.arange(int(solution.max(initial=-1)) + 2))
    for value, (start, stop) in enumerate(itertools.pairwise(edges.tolist())):
        of_it = order[start:stop]
        by_size, counts = np.unique(sizes[of_it], return_counts=True)
        rows.append(
            SolutionRow(
                value,
                str(keys[of_it[0]]),
                _commonest(descriptions[of_it]),
                len(of_it),
                dict(zip(by_size.tolist(), counts.tolist(), strict=True)),
            )
        )
    return rows


def _commonest(wordings: NDArray[Any]) -> str:
    counts = Counter(map(str, wordings))
    return min(counts, key=lambda words: (-counts[words], words))


def _described(ds: xr.Dataset, solution: int) -> str:
    """How one solution is described, without reading the descriptions of all networks."""
    if "solution_description" not in ds:
        return ""
    of_it = np.flatnonzero(ds["solution"].values == solution)[:_ASKED]
    return _commonest(ds["solution_description"].isel(network=of_it).values)


def label_told(ds: xr.Dataset) -> str:
    """By which label the solutions of a population are counted, and of which graphs it is.

    Examples
    --------
    >>> label_told(xr.Dataset(attrs={"solution_method": "graph_key"}))
    'graph_key of turner2021 graphs'
    """
    by = label_of(ds.attrs) or "solution_key"
    return f"{by} of {graph_method(ds.attrs)} graphs" if by in GRAPH_LABELS else by


def trust_in_graphs(ds: xr.Dataset) -> str:
    """How far the graphs of a population are to be trusted, a sentence without its stop.

    Examples
    --------
    >>> trust_in_graphs(xr.Dataset({"graph_recall": ("network", [0.25, 0.75, np.nan])}))
    'graphs allow 50 % of what their networks do (median recall of 2 networks)'
    """
    recall = ds["graph_recall"].values if "graph_recall" in ds.variables else np.array([])
    recall = recall[np.isfinite(recall)]
    if not len(recall):
        return "how right the graphs are is not known before `solspace verify`"
    median = np.median(recall)
    return (
        f"graphs allow {100 * median:.0f} % of what their networks do (median recall of "
        f"{len(recall)} network{'s' * (len(recall) != 1)})"
    )


@place.one_moment()
def describe(
    path: str, task: str | None = None, architecture: str | None = None, *, failed: bool = False
) -> str:
    """Text about a store: populations, networks by size, stages, and the solutions.

    Examples
    --------
    >>> import tempfile
    >>> from solspace.store import Store, place
    >>> store = Store(tempfile.mkdtemp() + "/small.zarr", create=True)
    >>> describe(store.path).endswith("small.zarr: schema version 2, no populations")
    True
    """
    populations = Store(path).populations(task, architecture)
    if not populations:
        return f"{path}: schema version {SCHEMA_VERSION}, no populations"
    lines = [f"{path}: schema version {SCHEMA_VERSION}"]
    for population in populations:
        ds = population.open()
        sizes, counts = np.unique(ds["hidden_size"].values, return_counts=True)
        by_size = ", ".join(f"{c} of {s} units" for s, c in zip(sizes, counts, strict=True))
        recorded = _kind(population.architecture) == "recorded"
        what = "recordings" if recorded else "networks"
        lines += ["", f"{population}: {ds.sizes['network']} {what} ({by_size})"]
        lines += [f"  {line}" for line in (recording_lines(ds) if recorded else ())]
        lines += [f"  {line}" for line in _stage_lines(ds)]
        if population.has("checkpoints"):
            lines.append(f"  {_checkpoints_line(population.open('checkpoints'))}")
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


def not_for_task(ds: xr.Dataset, stage: str) -> str:
    """Why the task of a population cannot go through a stage; empty where it can.

    Examples
    --------
    >>> not_for_task(xr.Dataset(coords={"task": "interval_reproduction"}), "reduce")
    ''
    """
    task = named_of(ds, "task")
    return lacking(get_task(task), stage) if task and is_known(task) else ""


def _stage_lines(ds: xr.Dataset) -> Iterator[str]:
    for stage in _stages_of(ds):
        status = ds[f"status_{stage}"].values
        done, failed = (int((status == s).sum()) for s in (DONE, FAILED))
        pending = len(status) - done - failed
        parts = [f"{done} done"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{pending} pending"] if pending else []
        if pending == len(status) and not_for_task(ds, stage):
            parts = ["not for this task"]
        yield f"{stage:<11} {', '.join(parts)}"
    if "loss" not in ds.variables:
        return
    loss = ds["loss"].values[ds["status_train"].values == DONE]
    if len(loss):
        yield f"{'loss':<12}median {np.median(loss):.2g}, largest {loss.max():.2g}"


def recording_lines(ds: xr.Dataset) -> Iterator[str]:
    """How recordings were made, their epochs, and of each its trials and what was left out.

    Examples
    --------
    >>> from solspace import recording_from_arrays
    >>> for line in recording_lines(recording_from_arrays(np.ones((2, 30, 4)), bin=10)):
    ...     print(line)
    activity    spikes/s in bins of 10 ms, not smoothed, 0 to 300 ms
    epochs      none
    recording: 2 trials
    """
    width, sd = float(ds["bin_width"].values[0]), float(ds["kernel_sd"].values[0])
    how = f"{ds['activity'].attrs['units']} in bins of {width:g} ms"
    how += f", Gaussian of {sd:g} ms" if sd else ", not smoothed"
    first, last = (float(ds["time"].values[i]) for i in (0, -1))
    yield f"{'activity':<12}{how}, {first - width / 2:g} to {last + width / 2:g} ms"
    epochs = json.loads(ds.attrs.get("epochs", "{}"))
    yield f"{'epochs':<12}{', '.join(epochs) or 'none'}"
    counts = ds["trials_averaged"].values
    for i, name in enumerate(ds["name"].values.astype(str)):
        trials = int((counts[i] > 0).any(axis=-1).sum())
        averaged = "averaged_by" in ds.attrs
        kind = f"conditions by {ds.attrs['averaged_by']}" if averaged else "trials"
        said = str(ds["exclusions"].values[i])
        units = "units recorded one after another, " if ds["pseudo_population"].values[i] else ""
        yield f"{name}: {units}{trials} {kind}" + (f"; {said}" if said else "")


def _stages_of(ds: xr.Dataset) -> list[str]:
    """Stages with a status in the store: those of the package, and one's own."""
    known = collection.stages(None)
    own = [str(n).removeprefix("status_") for n in ds.data_vars if str(n).startswith("status_")]
    return [n for n in known if n in own] + sorted(n for n in own if n not in known)


def _kind(architecture: str) -> str:
    """The kind of networks; an architecture that is not known here is one of a user's own."""
    known = architecture_names()
    return kind_of(architecture).name if architecture in known else "recurrent"


def _checkpoints_line(ds: xr.Dataset) -> str:
    """How many checkpoints there are, and how many of them have no label."""
    reached = ds[f"{CHECKPOINT_PREFIX}gradient_steps"].values >= 0
    line = f"{'kept':<12}{ds.sizes['checkpoint']} checkpoints"
    # Before there was the stage label, reduce labelled checkpoints.
    for stage in ("label", "reduce"):
        status = ds.get(f"{CHECKPOINT_PREFIX}status_{stage}")
        if status is not None and (status.values != PENDING).any():
            none = int((reached & (status.values == FAILED)).sum())
            return f"{line}, {none} of {reached.sum()} without a label"
    return line


def _failure_lines(ds: xr.Dataset) -> Iterator[str]:
    for stage in _stages_of(ds):
        for i in np.flatnonzero(ds[f"status_{stage}"].values == FAILED):
            message = ds[f"message_{stage}"].values[i]
            yield f"{stage} failed for {ds['name'].values[i]}: {message}"


def _solution_lines(ds: xr.Dataset, sizes: list[int]) -> Iterator[str]:
    rows = solutions_table(ds.drop_vars("solution_description", errors="ignore"))
    total = sum(row.networks for row in rows)
    head = "".join(f"{f'N={s}':>7}" for s in sizes)
    width = max(len(solution_name(row.key)) for row in rows[:_LISTED])
    yield f"solutions by {label_told(ds)}: {len(rows)} in {total} networks"
    if label_of(ds.attrs) in GRAPH_LABELS:
        yield trust_in_graphs(ds)
    yield f"solution  networks   share{head}   {'name':<{width}}  key"
    for row in rows[:_LISTED]:
        cells = "".join(f"{row.by_size.get(s, 0):>7}" for s in sizes)
        share = row.networks / total
        named = f"{solution_name(row.key):<{width}}  {row.key}"
        yield f"{row.solution:>8}  {row.networks:>8}  {share:>5.0%}{cells}   {named}"
    if len(rows) > _LISTED:
        rest = sum(row.networks for row in rows[_LISTED:])
        yield f"and {len(rows) - _LISTED} more solutions of {rest} networks"
    small = sum(row.networks for row in rows if row.networks < 10)
    if small and total > 100:
        yield f"{small / total:.0%} of the networks are in solutions of fewer than ten"
    yield ""
    for row in rows[:_DESCRIBED]:
        text = _described(ds, row.solution) or "not described; run label again"
        yield from textwrap.wrap(
            f"{row.solution}: {text}", 96, initial_indent="", subsequent_indent="   "
        )


# --------------------------------------------------------------------------- diversity


@place.one_moment()
def describe_coverage(
    path: str,
    task: str | None = None,
    architecture: str | None = None,
    *,
    by: Sequence[str] = (),
    target: float = 0.99,
) -> str:
    """Text: how much of the space of solutions each population of a store has seen.

    Parameters
    ----------
    path : str
        The store.
    task, architecture : str, optional
        Only these populations.
    by : sequence of str
        Labels; by default every one a population has.
    target : float
        See `solspace.solution_coverage`.

    Raises
    ------
    SolspaceError
        Where there is no population, or none has such a label.

    Examples
    --------
    >>> describe_coverage("nowhere.zarr")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    lines = [f"{path}: what share of the solutions has been seen"]
    found = False
    for population in Store(path).select(task, architecture):
        ds = population.open()
        there = label_variables(ds)
        results = [
            solution_coverage(ds, label, target=target) for label in by or there if label in there
        ]
        lines += ["", str(population)]
        lines += [f"  {line}" for line in (coverage_table(results) if results else ())]
        lines += [f"  no {label}: not computed" for label in by if label not in there]
        found |= bool(results)
    if not found:
        raise SolspaceError(f"{path}: {_no_labels(by, Store(path), task, architecture)}")
    return "\n".join(lines)


@place.one_moment()
def describe_differences(
    one: str,
    other: str,
    task: str | None = None,
    architecture: str | None = None,
    *,
    by: Sequence[str] = (),
) -> str:
    """Text: how far populations of two stores are apart, those of one task and architecture.

    Parameters
    ----------
    one, other : str
        The stores.
    task, architecture : str, optional
        Only these populations.
    by : sequence of str
        Labels; by default every one that both populations have.

    Raises
    ------
    SolspaceError
        Where the stores have no population in common, or none has such a label in both.

    Examples
    --------
    >>> describe_differences("nowhere.zarr", "elsewhere.zarr")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    first, second = (
        {str(p): p for p in Store(path).select(task, architecture)} for path in (one, other)
    )
    shared = [name for name in first if name in second]
    if not shared:
        raise SolspaceError(
            f"{one} has {', '.join(first)} and {other} has {', '.join(second)}; give stores with "
            "populations of one task and architecture"
        )
    lines = [f"one: {one}", f"other: {other}"]
    found = False
    for name in shared:
        pair = first[name].open(), second[name].open()
        there = [n for n in label_variables(pair[0]) if n in label_variables(pair[1])]
        results = {n: compare_solutions(*pair, n) for n in by or there if n in there}
        lines += ["", name, *(f"  {x}" for x in (difference_table(results) if results else ()))]
        lines += [f"  no {label} in both: not computed" for label in by if label not in there]
        found |= bool(results)
    if not found:
        raise SolspaceError(f"{one}: {_no_labels(by, Store(one), task, architecture)}")
    return "\n".join(lines)


def _no_labels(by: Sequence[str], store: Store, *which: str | None) -> str:
    """What there is instead of labels asked for, and what to type."""
    there = dict.fromkeys(
        label for population in store.select(*which) for label in label_variables(population.open())
    )
    wanted = f"no network has the label {' or '.join(by)}" if by else "no network has a label"
    known = ", ".join(there) or "none"
    return f"{wanted} (there are: {known}); type `solspace run {store.path}` first"


# --------------------------------------------------------------------------- report


@place.one_moment()
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
    populations = [p for p in found if _kind(p.architecture) in ("recurrent", "recorded")]
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
        if _kind(population.architecture) == "recorded":
            out[str(population)] = {"population": population.open()}
            continue
        optional = ("checkpoints", "classification", "recording_size")
        groups = ["population", "training", "extrapolation"]
        # Networks with continuous outputs, for one, have no graphs.
        graphs = not (is_known(population.task) and lacking(get_task(population.task), "reduce"))
        groups += ["graph"] if graphs else []
        groups += [g for g in optional if population.has(g)]
        out[str(population)] = {
            group: population.open(group, collection.group_of(group)) for group in groups
        }
        # In a store of an earlier version reduce was what named the solutions.
        named = "status_label" in out[str(population)]["population"].variables
        for stage in [*(["reduce"] if graphs else []), *(["label"] if named else [])]:
            waiting = int((population.status(stage) == PENDING).sum())
            if waiting:
                raise SolspaceError(
                    f"{path}: {stage} is pending for {waiting} networks of {population}; type "
                    f"`solspace run {path}` first"
                )
    return out
