"""The section of a report about recordings: how they were made, what was left out, their paths."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from solspace.errors import SolspaceError
from solspace.population.describe import named_of
from solspace.report.pictures import Pictures
from solspace.report.tables import failures, figure, provenance
from solspace.report.words import capital, count_of, spoken

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["is_recorded", "recorded_section"]


def is_recorded(groups: Mapping[str, xr.Dataset]) -> bool:
    """Whether a population is one of recordings."""
    return "population" in groups and named_of(groups["population"], "architecture") == "recorded"


def recorded_section(
    name: str, groups: Mapping[str, xr.Dataset], most: int, pictures: Pictures
) -> str:
    from solspace.info import recording_lines

    ds = groups["population"]
    anchor = name.replace("/", "-")
    how, epochs, *each = (line.split(None, 1) for line in recording_lines(ds))
    shown = range(min(ds.sizes["network"], most))
    out = [
        f'<section id="{escape(anchor)}">',
        f"<h2>{escape(spoken(name))}</h2>",
        f"<p>{count_of(ds.sizes['network'], 'recording')}, without weights: "
        f"{escape(how[1])}. Epochs: {escape(epochs[1])}.</p>",
        failures(ds),
        "<ul>",
        *(f"<li>{escape(' '.join(words))}</li>" for words in each),
        "</ul>",
    ]
    if "features_left_out" in ds.variables:
        out.append(f"<p>{ds.sizes['feature']} features of activity.</p>")
        out += [
            f"<p>Left out of {escape(str(who))}: {escape(str(told))}.</p>"
            for who, told in zip(ds["name"].values, ds["features_left_out"].values, strict=True)
            if told
        ]
    out.append('<div class="row">')
    out += [_trajectories(ds, i, anchor, pictures) for i in shown]
    return "\n".join([*out, "</div>", provenance(ds), "</section>"])


def _trajectories(ds: xr.Dataset, i: int, anchor: str, pictures: Pictures) -> str:
    from solspace.plots import plot_trajectories

    who = str(ds["name"].values[i])
    words = "Some of its trials, coloured by their parameter, from the open circle to the squares."
    try:
        picture = plot_trajectories(ds, i)
    except SolspaceError as error:
        return f"<p>{escape(capital(f'{who} is not drawn: {error}'))}.</p>"
    label = f"Trajectories of {who} in the plane of two principal components. {words}"
    return figure(
        pictures.add(picture, f"{anchor}-recording{i}", label),
        f"Activity of {who} on its first two principal components. {words}",
    )
