"""One self-contained page about populations: which solutions there are and what they look like."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING

from solspace.errors import SolspaceError, how_to_make
from solspace.population.describe import named_of
from solspace.report.pictures import MARK, Pictures
from solspace.report.recorded import is_recorded, recorded_section
from solspace.report.sections import section
from solspace.report.style import STYLE
from solspace.report.walk import SCRIPT
from solspace.report.words import (
    spoken,
)
from solspace.stages import collection
from solspace.tasks import get_task
from solspace.tasks.needs import lacking

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "write_report",
]

# By this a page is known to be a report's, to be written anew.
_GENERATOR = '<meta name="generator" content="solspace'
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
    force: bool = False,
) -> list[str]:
    """Write a page about populations, and its pictures as files beside it.

    The page holds its pictures inside and asks nothing of the network. ``OUT.html`` has them
    again, as PNG of 300 dpi and as SVG, in the folder ``OUT_files``.

    Parameters
    ----------
    populations : mapping of "task/architecture" to mapping of group name to Dataset
        The groups ``population``, ``training``, ``extrapolation`` and ``graph``, in memory or
        lazily read; only the networks shown are read whole. Of a task whose networks have no
        graphs without the last, and of a recorded population just itself.
    path : path
        The page.
    title : str
    most : int
        Of how many solutions of each population one network is shown.
    force : bool
        Replace a page, and write into a folder of pictures, that no report made.

    Returns
    -------
    list of str
        The files written, the page last. Each is whole or not there.

    Raises
    ------
    SolspaceError
        Where a group or variable is missing; the message names the stage to run. Where something
        lies in the place of the page or its pictures that was not made by a report.

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
    pictures = Pictures(f"{stem}_files")
    unfinished = f"{path}.unfinished"
    for name in (path, unfinished):
        _check_page(name, force)
    _check_folder(pictures.folder, force)
    sections = [
        (recorded_section if is_recorded(groups) else section)(name, groups, most, pictures)
        for name, groups in populations.items()
    ]
    page = _page(title, list(populations), sections, os.path.basename(pictures.folder))
    with open(unfinished, "w", encoding="utf-8") as file:
        file.write(page)
    os.replace(unfinished, path)
    return [*pictures.files, path]


def _check_page(path: str, force: bool) -> None:
    """Refuse to write over a file that is no page of an earlier report."""
    if not os.path.lexists(path):
        return
    if os.path.isfile(path) and not os.path.islink(path):
        with open(path, "rb") as file:
            begins = file.read(1000)
        # One that was killed at once is empty.
        if force or not begins or _GENERATOR.encode() in begins:
            return
    raise SolspaceError(_told_foreign(path, os.path.isfile(path) and not os.path.islink(path)))


def _check_folder(path: str, force: bool) -> None:
    """Refuse to write into a folder that was not made for the pictures of a report."""
    if not os.path.lexists(path):
        return
    folder = os.path.isdir(path)
    # Through a link it is somebody's own folder, empty or not.
    empty = folder and not os.path.islink(path) and not os.listdir(path)
    if folder and (force or empty or os.path.exists(f"{path}/{MARK}")):
        return
    raise SolspaceError(_told_foreign(path, folder))


def _told_foreign(path: str, may_force: bool) -> str:
    return (
        f"{path}: is there already and was not written by `solspace report`; give another name"
        + (", or --force (force=True) to write over it" if may_force else ", or move it away")
    )


def _check(name: str, groups: Mapping[str, xr.Dataset]) -> None:
    if is_recorded(groups):
        return
    needs = dict(_NEEDS)
    task = named_of(groups["population"], "task") if "population" in groups else ""
    if task and lacking(get_task(task), "reduce"):
        del needs["graph"]
    for group, needed in needs.items():
        stage = collection.group_of(group).replace("_", "-")
        if group not in groups:
            raise SolspaceError(f"{name}: no {group} group; {how_to_make(stage)}")
        missing = [n for n in needed if n not in groups[group].variables]
        if missing:
            # Labels, coordinates of every group, count as what they are made by as well.
            makers = collection.stages().values()
            made_by = next((m.verb for m in makers if missing[0] in m.variables(group)), stage)
            raise SolspaceError(
                f"{name}: the {group} group has no {missing[0]!r}; {how_to_make(made_by)}"
            )
    n = groups["population"].sizes["network"]
    if not n:
        raise SolspaceError(f"{name}: no networks; {how_to_make('train')}")
    for group in needs:
        if groups[group].sizes["network"] != n:
            raise SolspaceError(
                f"{name}: {groups[group].sizes['network']} networks in the {group} group, "
                f"{n} in the population; give groups of the same networks"
            )


def _page(title: str, names: list[str], sections: list[str], folder: str) -> str:
    from solspace import __version__

    contents = "".join(
        f'<li><a href="#{escape(name.replace("/", "-"))}">{escape(spoken(name))}</a></li>'
        for name in names
    )
    nav = f'<nav aria-label="Populations"><ul>{contents}</ul></nav>' if len(names) > 1 else ""
    return "\n".join(_lines(title, nav, sections, folder, __version__))


def _lines(title: str, nav: str, sections: list[str], folder: str, version: str) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'{_GENERATOR} {escape(version)}">'
    yield f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
    yield f"<header><h1>{escape(title)}</h1>"
    yield f"<p>Populations of trained recurrent networks, charted with solspace {version}.</p>"
    yield f"{nav}</header><main>"
    yield from sections
    yield "</main><footer><p>The pictures are in the folder "
    yield f"<code>{escape(folder)}</code> beside this page, as PNG and SVG. Graphs, features and "
    yield "trials after Turner, Dabholkar &amp; Barak, “Charting and navigating the space of "
    yield "solutions for recurrent neural networks”, NeurIPS 2021.</p></footer>"
    yield SCRIPT
    yield "</body></html>"
