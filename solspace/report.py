"""One self-contained page about a population: which solutions there are and what they look like."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace import schema
from solspace.errors import SolspaceError
from solspace.tasks import Task, get_task

if TYPE_CHECKING:
    import xarray as xr

    from solspace.info import SolutionRow

__all__ = ["answered_rows", "representative", "write_report"]

# The store has all solutions; a table longer than this is not read.
_LISTED = 20
_NEEDS = {
    "population": ("solution", "solution_key", "hidden_size", "loss"),
    "training": ("activity", "epoch"),
    "extrapolation": ("output", "input", "target"),
    "graph": ("n_nodes", "edge_input"),
}


def write_report(
    populations: Mapping[str, Mapping[str, xr.Dataset]],
    path: str | os.PathLike[str],
    *,
    title: str = "The space of solutions",
    most: int = 4,
) -> list[str]:
    """Write a page about populations, and its pictures as files beside it.

    The page holds its pictures inside and asks nothing of the network. ``OUT.html`` has them
    again, as PNG of 200 dpi and as SVG, in the folder ``OUT_files``.

    Parameters
    ----------
    populations : mapping of "task/architecture" to mapping of group name to Dataset
        The groups ``population``, ``training``, ``extrapolation`` and ``graph``, in memory or
        lazily read; only the networks shown are read whole.
    path : path
        The page.
    title : str
    most : int
        Of how many solutions of each population one network is shown.

    Returns
    -------
    list of str
        The files written, the page last. Each is whole or not there.

    Raises
    ------
    SolspaceError
        Where a group or variable is missing; the message names the stage to run.

    Examples
    --------
    >>> import tempfile, torch
    >>> from solspace.population import import_networks
    >>> write_report({"interval_reproduction/vanilla": {}}, "page.html")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: interval_reproduction/vanilla: no population group; ...
    """
    if not populations:
        raise SolspaceError("no populations to report on; give {'task/architecture': groups}")
    if most < 1:
        raise SolspaceError(f"most={most} solutions; give 1 or more")
    for name, groups in populations.items():
        _check(name, groups)
    path = os.fspath(path)
    stem, suffix = os.path.splitext(path)
    folder = os.path.dirname(os.path.abspath(path))
    if suffix not in (".html", ".htm"):
        raise SolspaceError(f"{path}: the page is HTML; give a name that ends in .html")
    if not os.path.isdir(folder):
        raise SolspaceError(f"{folder}: no such folder to write the page into; make it first")
    pictures = _Pictures(f"{stem}_files")
    sections = [_section(name, groups, most, pictures) for name, groups in populations.items()]
    page = _page(title, list(populations), sections, os.path.basename(pictures.folder))
    unfinished = f"{path}.unfinished"
    with open(unfinished, "w", encoding="utf-8") as file:
        file.write(page)
    os.replace(unfinished, path)
    return [*pictures.files, path]


def _check(name: str, groups: Mapping[str, xr.Dataset]) -> None:
    for group, needed in _NEEDS.items():
        stage = schema.stage_of(group)
        if group not in groups:
            raise SolspaceError(f"{name}: no {group} group; type `solspace {stage} STORE` first")
        missing = [n for n in needed if n not in groups[group].variables]
        if missing:
            made_by = schema.variables(group)[missing[0]].stage or stage
            raise SolspaceError(
                f"{name}: the {group} group has no {missing[0]!r}; "
                f"type `solspace {made_by} STORE` first"
            )
    n = groups["population"].sizes["network"]
    if not n:
        raise SolspaceError(f"{name}: no networks; type `solspace train STORE ...` first")
    for group in _NEEDS:
        if groups[group].sizes["network"] != n:
            raise SolspaceError(
                f"{name}: {groups[group].sizes['network']} networks in the {group} group, "
                f"{n} in the population; give groups of the same networks"
            )


# --------------------------------------------------------------------------- what is shown


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
            fit &= population[f"status_{stage}"].values == schema.DONE
    if not fit.any():
        return None
    loss = np.where(fit & ~np.isnan(population["loss"].values), population["loss"].values, np.inf)
    return int(np.flatnonzero(fit)[np.argmin(loss[fit])])


def answered_rows(
    output: NDArray[Any], target: NDArray[Any], inputs: NDArray[Any]
) -> NDArray[np.bool_]:
    """Trials in which the first output after the last input is the one that was asked for.

    Parameters
    ----------
    output, target : array (trial, time)
        Symbols: -1, 0 or 1.
    inputs : array (trial, time, input)

    Returns
    -------
    array of bool (trial,)
        True where the output has the target's sign and begins not further from the target's
        beginning than the target is long.

    Examples
    --------
    >>> inputs = np.array([[[1], [0], [0], [0], [0]]] * 2)
    >>> target = np.array([[0, 0, 1, 0, 0]] * 2)
    >>> answered_rows(np.array([[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]), target, inputs)
    array([ True, False])
    """
    right = np.zeros(len(output), bool)
    for i in range(len(output)):
        asked = np.flatnonzero(target[i])
        arrived = np.flatnonzero((inputs[i] != 0).any(axis=-1))
        if not len(asked):
            continue
        # From the last pulse's onset: a network may answer while the pulse is still on.
        begins = (
            arrived[np.flatnonzero(np.diff(arrived, prepend=-2) > 1)[-1]] if len(arrived) else 0
        )
        given = begins + np.flatnonzero(output[i, begins:])
        if len(given):
            near = abs(given[0] - asked[0]) <= len(asked)
            right[i] = near and output[i, given[0]] == target[i, asked[0]]
    return right


@dataclass
class _Pictures:
    """Writes pictures into the folder beside the page and returns them as elements."""

    folder: str

    def __post_init__(self) -> None:
        self.files: list[str] = []

    def add(self, picture: Any, name: str, label: str) -> str:
        from solspace.plots.saving import inline, save

        os.makedirs(self.folder, exist_ok=True)
        written = save(picture, os.path.join(self.folder, name))
        self.files += written
        with open(next(f for f in written if f.endswith(".svg")), encoding="utf-8") as file:
            return inline(file.read(), prefix=f"{name}-", label=label)


def _section(name: str, groups: Mapping[str, xr.Dataset], most: int, pictures: _Pictures) -> str:
    from solspace.info import solutions_table
    from solspace.plots import solution_histogram

    population = groups["population"]
    task = get_task(str(population.attrs.get("task", name.split("/")[0])))
    anchor = name.replace("/", "-")
    n = population.sizes["network"]
    found = int((population["solution"].values >= 0).sum())
    table = solutions_table(population)
    out = [
        f'<section id="{escape(anchor)}">',
        f"<h2>{escape(_spoken(name))}</h2>",
        f"<p>{escape(_capital(task.description))}{'' if task.description.endswith('?') else '.'} "
        f"{_told_networks(population)}</p>",
        _failures(population),
        "<h3>Solutions</h3>",
    ]
    if not table:
        out += ["<p>No network has a solution.</p>", _provenance(population), "</section>"]
        return "\n".join(out)
    commonest = table[0].networks
    out += [
        f"<p>{_count(found, 'network')} found {_count(len(table), 'solution')}; the commonest "
        f"is that of {commonest} ({_share(commonest, found)}). Two networks have the same "
        "solution where their reduced-dynamics graphs are the same.</p>",
        _solution_table(table, population, found),
        _figure(
            pictures.add(
                solution_histogram(population),
                f"{anchor}-solutions",
                f"Bars of the number of networks per solution: "
                f"{', '.join(f'{row.solution}: {row.networks}' for row in table[:10])}.",
            ),
            "Networks per solution, the commonest first, coloured by hidden size "
            f"({found} of {n} networks have a solution).",
        ),
    ]
    if "learning" in groups:
        out += _learning(groups["learning"], anchor, pictures)
    shown = table[:most]
    out += [
        f"<h3>The commonest {'solution' if len(shown) == 1 else f'{len(shown)} solutions'}</h3>",
        "<p>Each is shown by its network of lowest loss. Graphs: open circles are silent, filled "
        "nodes put out the number they carry; the double ring is where the trajectory starts; "
        "solid arrows are what the network does by itself, dashed ones follow the input named "
        "on them.</p>",
    ]
    for row in shown:
        out.append(_solution(row.solution, row.networks, found, task, groups, anchor, pictures))
    out += [_provenance(population), "</section>"]
    return "\n".join(out)


def _solution(
    solution: int,
    count: int,
    found: int,
    task: Task,
    groups: Mapping[str, xr.Dataset],
    anchor: str,
    pictures: _Pictures,
) -> str:
    from solspace.plots import extrapolation_picture, graph_drawing, trajectories
    from solspace.plots.graph import describe_graph, too_large

    population = groups["population"]
    head = f"<h4>Solution {solution}: {_count(count, 'network')} ({_share(count, found)})</h4>"
    i = representative(population, solution)
    if i is None:
        return head + "\n<p>A stage failed for each of its networks; none can be shown.</p>"
    who = str(population["name"].values[i]) if "name" in population.variables else f"network {i}"
    units = int(population["hidden_size"].values[i])
    nodes, edges = (int(groups["graph"][v].values[i]) for v in ("n_nodes", "n_edges"))
    stem = f"{anchor}-solution{solution}"
    seen = _extrapolation_words(groups["extrapolation"], i, task)
    about, share = _trajectory_words(groups["training"], i, task)
    size = f"Reduced dynamics of {who} ({units} units): {_count(nodes, 'node')}, "
    size += f"{_count(edges, 'edge')}"
    if too_large(nodes, edges):
        head += f"\n<p>{escape(size)}, which is too large to be drawn.</p>"
        drawn = []
    else:
        words = describe_graph(groups["graph"], i)
        drawn = [
            _figure(
                pictures.add(graph_drawing(groups["graph"], i), f"{stem}-graph", f"Graph. {words}"),
                f"{size}. {words.split('. ')[0].rstrip('.')}.",
                wide=False,
            )
        ]
    figures = [
        *drawn,
        _figure(
            pictures.add(
                extrapolation_picture(groups["extrapolation"], i, task),
                f"{stem}-extrapolation",
                f"Output over time, a row for each trial. {seen}",
            ),
            f"Output of {who} in and outside the trained range. {seen}",
        ),
        _figure(
            pictures.add(
                trajectories(groups["training"], i),
                f"{stem}-trajectories",
                f"Trajectories in the plane of two principal components. {about}",
            ),
            f"Activity of {who} on its first two principal components, {share} of its variance. "
            f"{about}",
        ),
    ]
    return "\n".join([head, '<div class="row">', *figures, "</div>"])


def _learning(learning: xr.Dataset, anchor: str, pictures: _Pictures) -> list[str]:
    """How solutions turned into one another on the way down the loss."""
    from solspace.plots import learning_flow

    head = "<h3>On the way down the loss</h3>"
    try:
        picture = learning_flow(learning)
    except SolspaceError as error:
        return [head, f"<p>{escape(_capital(str(error)))}.</p>"]
    words = _learning_words(learning)
    name = f"{anchor}-learning"
    caption = (
        "A bar for each checkpoint, the first look with a loss under the number below it, from the "
        "initial weights to the final ones, stacked by solution; bands lead to the solution that "
        f"the same networks have at the next. {words}"
    )
    return [head, _figure(pictures.add(picture, name, words), caption)]


def _learning_words(learning: xr.Dataset) -> str:
    from solspace.plots.learning import followed_networks, solution_changes

    solution = learning["solution"].values[followed_networks(learning)]
    same = solution == solution[:, -1:]
    since = np.logical_and.accumulate(same[:, ::-1], axis=1).sum(axis=1)
    levels = np.median(learning["loss_level"].values, axis=0)
    first = int((since >= len(levels) - 1).sum())
    words = (
        f"{first} of {_count(len(solution), 'network')} had their final solution at "
        f"every look from a loss of {levels[1]:.2g} on"
    )
    changes: Counter[tuple[int, int]] = Counter()
    for _, before, after, networks in solution_changes(solution):
        if before != after and min(before, after) >= 0:
            changes[before, after] += networks
    if not changes:
        return f"{words}; none changed from one solution to another."
    told = ", ".join(f"{a} to {b} ({n})" for (a, b), n in changes.most_common(3))
    return f"{words}. The most frequent changes: {told}."


def _extrapolation_words(ds: xr.Dataset, i: int, task: Task) -> str:
    """Which rows of the picture are answered as asked, counted."""
    from solspace.plots.extrapolation import choose_trials, trained_values

    values = {n: ds[n].values for n in task.parameters if n in ds.variables}
    trained = trained_values(task)
    wanted = ds["target"].isel(output=0).values
    rows, held, trials = choose_trials(values, wanted, trained)
    output = ds["output"].isel(network=i, trial=trials, output=0).values
    target = wanted[trials]
    inputs = ds["input"].isel(trial=trials).values
    symbols = task.output_symbol(output) if task.output_symbol else np.rint(np.clip(output, -1, 1))
    asked = (target != 0).any(axis=1)
    right = answered_rows(symbols, np.sign(target), inputs)[asked]
    at = values[rows][trials][asked]
    inside = (at >= trained[rows].min()) & (at <= trained[rows].max())
    fixed = f" at {_listed(held)}" if held else ""
    words = (
        f"Rows are {rows} from {at[0]:g} to {at[-1]:g}{fixed}, trained from "
        f"{trained[rows].min():g} to {trained[rows].max():g}. "
    )
    if not right.any():
        return words + "No row is answered as asked for."
    if not right[inside].all():
        return (
            words + f"Answered as asked for: {right[inside].sum()} of {inside.sum()} rows within "
            f"the trained range, {right[~inside].sum()} of {(~inside).sum()} outside."
        )
    first, last = np.flatnonzero(inside)[[0, -1]]
    while first > 0 and right[first - 1]:
        first -= 1
    while last < len(right) - 1 and right[last + 1]:
        last += 1
    if last - first + 1 == len(right):
        return words + "Every row is answered as asked for."
    return words + f"Answered as asked for without a gap from {at[first]:g} to {at[last]:g}."


def _trajectory_words(ds: xr.Dataset, i: int, task: Task) -> tuple[str, str]:
    from solspace.plots.trajectories import principal_plane, shown_trials

    activity = ds["activity"].isel(network=i).values
    activity = activity[..., ~np.isnan(activity).all(axis=(0, 1))]
    _, share = principal_plane(activity)
    shown = shown_trials(len(activity), 6)
    names = [n for n in task.parameters if n in ds.variables and len(np.unique(ds[n].values)) > 1]
    told = ", ".join(_tuple([f"{ds[n].values[t]:g}" for n in names]) for t in shown)
    return (
        f"{len(shown)} of {len(activity)} trials, {_tuple(names)} = {told}; coloured by epoch, "
        "from the open circle to the squares.",
        f"{share.sum():.0%}",
    )


# --------------------------------------------------------------------------- words and tables


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    share = part / whole
    return f"{share:.0%}" if share >= 0.01 else "under 1%"


def _tuple(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def _listed(held: Mapping[str, float]) -> str:
    return " and ".join(f"{name} = {value:g}" for name, value in held.items())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _spoken(name: str) -> str:
    from solspace.networks import architecture_names, get_architecture

    task, _, architecture = name.partition("/")
    task = _capital(task.replace("_", " "))
    known = architecture in architecture_names()
    shown = get_architecture(architecture).title if known else architecture
    return f"{task}, {shown}" if shown else task


def _told_networks(population: xr.Dataset) -> str:
    sizes, counts = np.unique(population["hidden_size"].values, return_counts=True)
    by_size = ", ".join(f"{c} of {s} units" for s, c in zip(sizes, counts, strict=True))
    loss = population["loss"].values
    loss = loss[~np.isnan(loss)]
    words = f"{_count(population.sizes['network'], 'network')}: {by_size}."
    if len(loss):
        words += f" Median loss {np.median(loss):.2g}, largest {loss.max():.2g}."
    return escape(words)


def _failures(population: xr.Dataset) -> str:
    """How many networks failed in which stage, and why; each is counted where it first failed."""
    first: dict[int, str] = {}
    pending = []
    for stage in schema.STAGES:
        if f"status_{stage}" not in population.variables:
            continue
        status = population[f"status_{stage}"].values
        waiting = int((status == schema.PENDING).sum())
        if waiting:
            pending.append(f"{stage} of {waiting}")
        for i in np.flatnonzero(status == schema.FAILED):
            first.setdefault(int(i), stage)
    words = []
    if not first:
        words.append("<p>No network failed.</p>")
    else:
        told = "; ".join(f"{c} in {s}" for s, c in Counter(first.values()).items())
        words.append(f"<p><strong>{_count(len(first), 'network')} failed</strong>: {told}.</p>")
        reasons = Counter(
            f"{stage}: {population[f'message_{stage}'].values[i]}"
            for i, stage in first.items()
            if f"message_{stage}" in population.variables
        )
        rows = "".join(f"<li>{escape(r)} ({c})</li>" for r, c in reasons.most_common(8))
        words.append(f"<ul>{rows}</ul>" if rows else "")
    if pending:
        words.append(f"<p>Still pending: {', '.join(pending)} networks.</p>")
    return "\n".join(w for w in words if w)


def _solution_table(table: list[SolutionRow], population: xr.Dataset, found: int) -> str:
    sizes = np.unique(population["hidden_size"].values).tolist()
    head = "".join(f'<th scope="col" class="number">{s}</th>' for s in sizes)
    body = []
    for row in table[:_LISTED]:
        cells = "".join(f'<td class="number">{row.by_size.get(s, 0)}</td>' for s in sizes)
        share = _share(row.networks, found)
        body.append(
            f'<tr><th scope="row" class="number">{row.solution}</th>'
            f'<td class="number">{row.networks}</td><td class="number">{share}</td>'
            f"{cells}<td>{escape(row.description)} <code>{escape(row.key)}</code></td></tr>"
        )
    rest = table[_LISTED:]
    note = ""
    if rest:
        networks = sum(row.networks for row in rest)
        note = f"<p>And {_count(len(rest), 'solution')} of {_count(networks, 'network')}.</p>"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of solutions"><table>'
        "<caption>Solutions, the commonest first; the key is equal for the same solution in any "
        'store.</caption><thead><tr><th scope="col" rowspan="2">Solution</th>'
        '<th scope="col" rowspan="2" class="number">Networks</th>'
        '<th scope="col" rowspan="2" class="number">Share</th>'
        f'<th scope="colgroup" colspan="{len(sizes)}">Networks of so many units</th>'
        f'<th scope="col" rowspan="2">What it does, and its key</th></tr><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{note}"
    )


def _provenance(population: xr.Dataset) -> str:
    """What the attributes say about how this came about."""
    attrs = population.attrs
    rows = [
        (label, str(attrs[key]))
        for label, key in (("Seed", "seed"), ("Origin", "origin"), ("Task", "task"))
        if key in attrs
    ]
    if isinstance(recipe := _json(attrs.get("recipe")), dict):
        rows.append(("Training recipe", ", ".join(f"{k} {v}" for k, v in recipe.items())))
    entries = _json(attrs.get("provenance"))
    if isinstance(entries, list):
        rows += [(f"Stage {entry.get('stage', '?')}", _told_entry(entry)) for entry in entries]
    if not rows:
        return ""
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(value)}</td></tr>'
        for label, value in rows
    )
    return (
        '<h3>Provenance</h3><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Table of provenance"><table class="facts"><tbody>{body}</tbody></table></div>'
    )


def _told_entry(entry: Mapping[str, Any]) -> str:
    parts = [str(entry["started"])] if "started" in entry else []
    if "seconds" in entry:
        parts.append(f"{entry['seconds']:g} s")
    options = {k: v for k, v in dict(entry.get("options") or {}).items() if v is not None}
    if options:
        parts.append(", ".join(f"{k} {v}" for k, v in options.items()))
    versions = dict(entry.get("versions") or {})
    if versions:
        parts.append(", ".join(f"{k} {v}" for k, v in versions.items()))
    return "; ".join(parts)


def _json(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except json.JSONDecodeError:
        return None


def _figure(picture: str, caption: str, *, wide: bool = True) -> str:
    """A picture with its caption; a graph keeps its size, so that its nodes are alike in all."""
    start = '<figure class="wide">' if wide else "<figure>"
    return f"{start}{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _page(title: str, names: list[str], sections: list[str], folder: str) -> str:
    from solspace import __version__

    contents = "".join(
        f'<li><a href="#{escape(name.replace("/", "-"))}">{escape(_spoken(name))}</a></li>'
        for name in names
    )
    nav = f'<nav aria-label="Populations"><ul>{contents}</ul></nav>' if len(names) > 1 else ""
    return "\n".join(_lines(title, nav, sections, folder, __version__))


def _lines(title: str, nav: str, sections: list[str], folder: str, version: str) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
    yield f"<header><h1>{escape(title)}</h1>"
    yield f"<p>Populations of trained recurrent networks, charted with solspace {version}.</p>"
    yield f"{nav}</header><main>"
    yield from sections
    yield "</main><footer><p>The pictures are in the folder "
    yield f"<code>{escape(folder)}</code> beside this page, as PNG and SVG. Graphs, features and "
    yield "trials after Turner, Dabholkar &amp; Barak, “Charting and navigating the space of "
    yield "solutions for recurrent neural networks”, NeurIPS 2021.</p></footer></body></html>"


_STYLE = """
:root { color-scheme: light; --ink: #222; --soft: #5a5a5a; --line: #d5d5d5; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 72rem; color: var(--ink); background: #fff;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0; }
h2 { font-size: 1.35rem; margin: 2.4rem 0 .5rem; padding-top: 1rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
h4 { font-size: 1rem; margin: 1.5rem 0 .3rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
header p, footer p { color: var(--soft); font-size: .9rem; }
nav ul { padding-left: 1.2rem; columns: 16rem; }
a { color: #00558a; }
figure { margin: .8rem 0; min-width: 0; }
figure svg { display: block; max-width: 100%; height: auto; }
figure.wide svg { width: 100%; max-width: 27rem; }
figcaption { font-size: .82rem; line-height: 1.4; color: var(--soft); margin-top: .4rem;
  max-width: 34rem; }
.row { display: grid; gap: .6rem 1.6rem; align-items: end;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.row figure { display: grid; grid-template-rows: subgrid; grid-row: span 2; align-items: center; }
.row figcaption { align-self: start; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; margin: .6rem 0; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: normal; }
thead th { font-weight: 600; vertical-align: bottom; }
tbody th { white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: .8rem; overflow-wrap: anywhere; }
.facts td { max-width: 52rem; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); }
@media print {
  @page { margin: 1.4cm; }
  body { padding: 0; max-width: none; font-size: 9.5pt; }
  h2 { break-before: page; } section:first-child h2 { break-before: auto; }
  h3, h4 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .row { grid-template-columns: repeat(2, 1fr); gap: .3rem 1rem; break-inside: avoid; }
  .row figure:first-child { grid-column: 1 / -1; }
  figure.wide svg { max-width: 6.4cm; }
  h4 { margin-top: .6rem; } figure { margin: .4rem 0; }
  .scroll { overflow: visible; }
  a { color: inherit; text-decoration: none; }
}
"""
