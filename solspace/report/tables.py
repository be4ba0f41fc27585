"""Tables, figures and lists of a report, as HTML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.population.describe import named_of
from solspace.population.variables import FAILED, PENDING
from solspace.report.words import (
    count_of,
    share_of,
)
from solspace.stages import collection

if TYPE_CHECKING:
    import xarray as xr

    from solspace.info import SolutionRow

__all__ = [
    "failures",
    "figure",
    "provenance",
    "solution_table",
]

# The store has all solutions; a table longer than this is not read.
_LISTED = 20


def failures(population: xr.Dataset) -> str:
    """How many networks failed in which stage, and why; each is counted where it first failed."""
    from solspace.info import not_for_task

    first: dict[int, str] = {}
    pending = []
    left_out: dict[str, list[str]] = {}
    for stage in collection.stages():
        if f"status_{stage}" not in population.variables:
            continue
        status = population[f"status_{stage}"].values
        waiting = int((status == PENDING).sum())
        if waiting == len(status) and (why := not_for_task(population, stage)):
            left_out.setdefault(why, []).append(stage)
        elif waiting:
            pending.append(f"{stage} of {waiting}")
        for i in np.flatnonzero(status == FAILED):
            first.setdefault(int(i), stage)
    words = []
    one = "recording" if named_of(population, "architecture") == "recorded" else "network"
    if not first:
        words.append(f"<p>No {one} failed.</p>")
    else:
        told = "; ".join(f"{c} in {s}" for s, c in Counter(first.values()).items())
        words.append(f"<p><strong>{count_of(len(first), one)} failed</strong>: {told}.</p>")
        reasons = Counter(
            f"{stage}: {population[f'message_{stage}'].values[i]}"
            for i, stage in first.items()
            if f"message_{stage}" in population.variables
        )
        rows = "".join(f"<li>{escape(r)} ({c})</li>" for r, c in reasons.most_common(8))
        words.append(f"<ul>{rows}</ul>" if rows else "")
    words += [
        f"<p>Left out: {', '.join(stages)}. Of the task: {escape(why)}.</p>"
        for why, stages in left_out.items()
    ]
    if pending:
        words.append(f"<p>Still pending: {', '.join(pending)} {one}s.</p>")
    return "\n".join(w for w in words if w)


def solution_table(table: list[SolutionRow], population: xr.Dataset, found: int, told: str) -> str:
    sizes = np.unique(population["hidden_size"].values).tolist()
    head = "".join(f'<th scope="col" class="number">{s}</th>' for s in sizes)
    body = []
    for row in table[:_LISTED]:
        cells = "".join(
            f'<td class="number" data-head="of {s} units">{row.by_size.get(s, 0)}</td>'
            for s in sizes
        )
        share = share_of(row.networks, found)
        body.append(
            f'<tr><th scope="row" class="number" data-head="solution">{row.solution}</th>'
            f'<td class="number" data-head="networks">{row.networks}</td>'
            f'<td class="number">{share}</td>'
            f'{cells}<td class="wide">'
            f"{escape(row.description)} <code>{escape(row.key)}</code></td></tr>"
        )
    rest = table[_LISTED:]
    note = ""
    if rest:
        networks = sum(row.networks for row in rest)
        note = f"<p>And {count_of(len(rest), 'solution')} of {count_of(networks, 'network')}.</p>"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of solutions">'
        '<table class="cards">'
        f"<caption>Solutions by {escape(told)}, the commonest first; the key is equal for the same "
        'solution in any store.</caption><thead><tr><th scope="col" rowspan="2">Solution</th>'
        '<th scope="col" rowspan="2" class="number">Networks</th>'
        '<th scope="col" rowspan="2" class="number">Share</th>'
        f'<th scope="colgroup" colspan="{len(sizes)}">Networks of so many units</th>'
        f'<th scope="col" rowspan="2" class="wide">What it does, and its key</th></tr>'
        f"<tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>{note}"
    )


def provenance(population: xr.Dataset) -> str:
    """What the attributes say about how this came about."""
    attrs = population.attrs
    rows = [
        (label, str(attrs[key]))
        for label, key in (("Seed", "seed"), ("Origin", "origin"))
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


def figure(picture: str, caption: str, *, wide: bool = True, below: str = "") -> str:
    """A picture with its caption; a graph keeps its size, so that its nodes are alike in all."""
    start = '<figure class="wide">' if wide else "<figure>"
    return f"{start}{picture}<figcaption>{escape(caption)}{below}</figcaption></figure>"
