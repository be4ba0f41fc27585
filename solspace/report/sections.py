"""The section of a report about one population."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from solspace.errors import SolspaceError
from solspace.labels import get_label, label_names
from solspace.population.describe import label_of, named_of
from solspace.population.variables import DONE, GRAPH_LABELS, PENDING
from solspace.reduction.stage import graph_of
from solspace.report.measures import features_section, trust_section
from solspace.report.pictures import Pictures
from solspace.report.tables import failures, figure, provenance, solution_table
from solspace.report.walk import walk
from solspace.report.words import (
    capital,
    count_of,
    extrapolation_words,
    learning_words,
    share_of,
    spoken,
    told_networks,
    trajectory_words,
)
from solspace.tasks import Task, get_task

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "learning",
    "representative",
    "section",
]


def section(name: str, groups: Mapping[str, xr.Dataset], most: int, pictures: Pictures) -> str:
    from solspace.info import label_told, solutions_table, trust_in_graphs
    from solspace.plots import plot_solutions

    population = groups["population"]
    task = get_task(named_of(population, "task") or name.split("/")[0])
    anchor = name.replace("/", "-")
    n = population.sizes["network"]
    found = int((population["solution"].values >= 0).sum())
    table = solutions_table(population)
    out = [
        f'<section id="{escape(anchor)}">',
        f"<h2>{escape(spoken(name))}</h2>",
        f"<p>{escape(capital(task.description))}{'' if task.description.endswith('?') else '.'} "
        f"{told_networks(population)}</p>",
        failures(population),
        "<h3>Solutions</h3>",
    ]
    if not table:
        out += ["<p>No network has a solution.</p>", provenance(population), "</section>"]
        return "\n".join(out)
    commonest, told = table[0].networks, label_told(population)
    by = label_of(population.attrs)
    meaning = "Two networks have the same solution where that label of theirs is the same"
    meaning += f": {get_label(by).summary}." if by in label_names() else "."
    if by in GRAPH_LABELS:
        meaning += f" {capital(trust_in_graphs(population))}."
    out += [
        f"<p>{count_of(found, 'network')} found {count_of(len(table), 'solution')} by "
        f"<code>{escape(told)}</code>; the commonest is that of {commonest} "
        f"({share_of(commonest, found)}). {escape(meaning)}</p>",
        solution_table(table, population, found, told),
        figure(
            pictures.add(
                plot_solutions(population),
                f"{anchor}-solutions",
                f"Bars of the number of networks per solution: "
                f"{', '.join(f'{row.solution}: {row.networks}' for row in table[:10])}.",
            ),
            f"Networks per solution by {told}, the commonest first, each in its colour, darker "
            f"the larger ({found} of {n} networks have a solution).",
        ),
    ]
    out.append(_losses(population, anchor, pictures))
    if "graph" in groups:
        out.append(trust_section(population))
    out.append(features_section(population))
    if "checkpoints" in groups:
        of = {"solution_method": population.attrs.get("solution_method", "")}
        out += learning(groups["checkpoints"].assign_attrs(of), anchor, pictures)
    shown, graphs = table[:most], _GRAPHS if "graph" in groups else ""
    out += [
        f"<h3>The commonest {'solution' if len(shown) == 1 else f'{len(shown)} solutions'}</h3>",
        f"<p>Each is shown by its network of lowest loss.{graphs}</p>",
    ]
    for row in shown:
        out.append(_solution(row.solution, row.networks, found, task, groups, anchor, pictures))
    out += [provenance(population), "</section>"]
    return "\n".join(out)


def _losses(population: xr.Dataset, anchor: str, pictures: Pictures) -> str:
    """How the loss fell, of networks that were trained here."""
    from solspace.plots import plot_loss

    curves = population.variables.get("loss_curve")
    if curves is None or not np.isfinite(curves.values).any():
        return ""
    taken: list[int] = []
    if "gradient_steps" in population.variables:
        taken = [s for s in population["gradient_steps"].values.tolist() if s >= 0]
    words = "The best mean squared error so far, by gradient step, each network in the colour of "
    words += "its solution"
    if taken:
        words += f"; {min(taken)} to {max(taken)} steps, {np.median(taken):.0f} by the median"
    picture = pictures.add(plot_loss(population), f"{anchor}-loss", f"Curves. {words}.")
    return "<h3>How the loss fell</h3>" + figure(picture, f"{words}.")


_GRAPHS = (
    " Graphs: open circles are silent, filled nodes put out the number they carry; the arrow from "
    "outside leads to where the trajectory starts; solid arrows are what the network does by "
    "itself, dashed ones follow the input named on them."
)


def _solution(
    solution: int,
    count: int,
    found: int,
    task: Task,
    groups: Mapping[str, xr.Dataset],
    anchor: str,
    pictures: Pictures,
) -> str:
    from solspace.plots import plot_extrapolation, plot_trajectories

    population = groups["population"]
    head = f"<h4>Solution {solution}: {count_of(count, 'network')} ({share_of(count, found)})</h4>"
    i = representative(population, solution)
    if i is None:
        return head + "\n<p>A stage failed for each of its networks; none can be shown.</p>"
    who = str(population["name"].values[i]) if "name" in population.variables else f"network {i}"
    units = int(population["hidden_size"].values[i])
    stem = f"{anchor}-solution{solution}"
    seen = extrapolation_words(groups["extrapolation"], i, task)
    several = len(task.outputs) > 1
    about, share = trajectory_words(groups["training"], i, task)
    drawn: list[str] = []
    if "graph" in groups:
        size = f"{who} ({units} units)"
        head, drawn = _graph(groups["graph"], i, size, task, head, stem, pictures)
    figures = [
        *drawn,
        *(
            figure(
                pictures.add(
                    plot_extrapolation(groups["extrapolation"], i, task=task, channel=c),
                    f"{stem}-extrapolation" + (f"-{output}" if several else ""),
                    f"Output{f' {output}' if several else ''} over time, a row for each trial. "
                    f"{seen}",
                ),
                f"Output{f' {output}' if several else ''} of {who} in and outside the trained "
                f"range. {seen}",
            )
            for c, output in enumerate(task.outputs)
        ),
        figure(
            pictures.add(
                plot_trajectories(groups["training"], i),
                f"{stem}-trajectories",
                f"Trajectories in the plane of two principal components. {about}",
            ),
            f"Activity of {who} on its first two principal components, {share} of its variance. "
            f"{about}",
        ),
    ]
    return "\n".join([head, '<div class="row">', *figures, "</div>"])


def _graph(
    graphs: xr.Dataset, i: int, who: str, task: Task, head: str, stem: str, pictures: Pictures
) -> tuple[str, list[str]]:
    """The head, and the drawing of a network's graph where it is not too large."""
    from solspace.plots import plot_graph
    from solspace.plots.graph import describe_graph, too_large

    nodes, edges = (int(graphs[v].values[i]) for v in ("n_nodes", "n_edges"))
    size = f"Reduced dynamics of {who}: {count_of(nodes, 'node')}, {count_of(edges, 'edge')}"
    if too_large(nodes, edges):
        return f"{head}\n<p>{escape(size)}, which is too large to be drawn.</p>", []
    words = describe_graph(graphs, i)
    return head, [
        figure(
            pictures.add(plot_graph(graphs, i), f"{stem}-graph", f"Graph. {words}"),
            f"{size}. {words.split('. ')[0].rstrip('.')}.",
            wide=False,
            below=walk(graph_of(graphs, i), task.input_symbols, task.outputs, who),
        )
    ]


def learning(checkpoints: xr.Dataset, anchor: str, pictures: Pictures) -> list[str]:
    """How solutions turned into one another on the way down the loss."""
    from solspace.plots import plot_checkpoints

    head = "<h3>On the way down the loss</h3>"
    try:
        picture = plot_checkpoints(checkpoints)
    except SolspaceError as error:
        return [head, f"<p>{escape(capital(str(error)))}.</p>"]
    words = learning_words(checkpoints)
    name = f"{anchor}-learning"
    caption = (
        "A bar for each checkpoint, the first look with a loss under the number below it, from the "
        "initial weights to the final ones, stacked by solution; bands lead to the solution that "
        f"the same networks have at the next. {words}"
    )
    return [head, figure(pictures.add(picture, name, words), caption)]


def representative(population: xr.Dataset, solution: int) -> int | None:
    """The network that stands for a solution: of those done in every stage the lowest loss.

    Parameters
    ----------
    population : Dataset
    solution : int

    Returns
    -------
    int or None
        Position along ``network``, the first of equal ones; None where a stage failed for all.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"solution": ("network", [0, 1, 0]),
    ...                  "loss": ("network", [3e-5, 1e-5, 2e-5])})
    >>> representative(ds, 0)
    2
    """
    fit = population["solution"].values == solution
    for stage in ("train", "record", "extrapolate", "reduce"):
        if f"status_{stage}" in population.variables:
            status = population[f"status_{stage}"].values
            # What a task cannot go through is pending for all.
            fit &= (status == DONE) | (status == PENDING).all()
    if not fit.any():
        return None
    loss = np.where(fit & ~np.isnan(population["loss"].values), population["loss"].values, np.inf)
    return int(np.flatnonzero(fit)[np.argmin(loss[fit])])
