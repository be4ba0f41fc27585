"""docs/paper.md: the figures, how their networks were chosen, and what agrees with the paper."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from solspace.errors import SolspaceError
from validation.machine import written
from validation.paper import figure2, figure3, figure4, figure5
from validation.paper.verdicts import RULES, Verdict

__all__ = ["FIGURES", "make_figure", "make_section", "tally", "write_page"]

FIGURES = ("2", "3", "4", "5")
ROOT = Path(__file__).resolve().parents[2]

HEAD = """\
# The paper's figures, from our populations

Written by `make paper` (`python -m validation.paper`); one figure anew: `python -m validation.paper
3`. Figures 2 to 5 of Turner, Dabholkar & Barak (NeurIPS 2021) and their supplement S8 and S9, drawn
plainly from networks that we trained; solutions are counted as there, by `graph_key`. Figure 1 is
in [two_neuron.md](two_neuron.md). Activity and output far beyond training are computed anew for the
networks that are shown. `--data FOLDER` keeps the data of each figure as a Zarr store that
`xarray.open_datatree` reads.

A panel agrees with the paper, or does not, by these rules:

{rules}
{tally}
"""

TITLES = {
    "2": "Figure 2: the tasks",
    "3": "Figure 3: six networks, two a task",
    "4": "Figure 4 and its supplement: the solutions of vanilla networks",
    "5": "Figure 5: three architectures",
}
PARTS = {
    "figure4": "Interval reproduction (figure 4)",
    "figureS8": "Interval discrimination (S8)",
    "figureS9": "Delayed discrimination (S9)",
}


def make_figure(number: str, store: str | os.PathLike[str]) -> xr.DataTree:
    """The data of a figure.

    Parameters
    ----------
    number : {"2", "3", "4", "5"}
    store : path

    Raises
    ------
    SolspaceError
        For another number, or where the store lacks what the figure shows.
    """
    check_number(number)
    make = {"2": figure2.make, "3": figure3.make, "4": figure4.make, "5": figure5.make}
    return make[number](store)


def check_number(number: str) -> None:
    """Whether there is such a figure."""
    if number not in FIGURES:
        raise SolspaceError(f"no figure {number!r} here; figures: {', '.join(FIGURES)}")


def make_section(number: str, tree: xr.DataTree, images: Path, page: Path, source: str) -> str:
    """Draw a figure and write its section: pictures, choices, and what agrees."""
    draw = {"2": figure2.draw, "3": figure3.draw, "4": figure4.draw, "5": figure5.draw}
    made = {
        name: Path(os.path.relpath(path, page.parent)).as_posix()
        for name, path in draw[number](tree, images).items()
    }
    write = {"2": _two, "3": _three, "4": _four, "5": _five}
    lines = [f"## {TITLES[number]}", "", source, "", *write[number](tree, made)]
    return "\n".join(lines).rstrip() + "\n"


def source_line(store: str | os.PathLike[str]) -> str:
    """What a section was made from, when and on what."""
    path = Path(store).resolve()
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    return f"Made from `{name}`, {written()}."


# --------------------------------------------------------------------------- sections


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _image(made: dict[str, str], name: str, figure: str) -> str:
    words = name.split(" ", 1)[1] if name.startswith("figure") else name
    return f"![{figure}, {words}]({made[name]})" if name in made else "none"


def _said(verdicts: Sequence[Verdict]) -> list[str]:
    return [*map(str, verdicts), ""]


def _two(tree: xr.DataTree, made: dict[str, str]) -> list[str]:
    rows = [
        [
            f"**{letter}** {str(node.attrs['task']).replace('_', ' ')}",
            *(_image(made, f"{letter} {part}", "Figure 2") for part in ("trial", "asked")),
        ]
        for letter, node in tree.children.items()
    ]
    table = _table(["", "one trial", "what is asked"], rows)
    return [*table, *_said(figure2.judge(tree))]


def _three(tree: xr.DataTree, made: dict[str, str]) -> list[str]:
    rows = [
        [
            f"**{letter}**",
            *(
                _image(made, f"{letter} {part}", "Figure 3")
                for part in ("activity", "beyond", "graph")
            ),
        ]
        for letter, node in tree.children.items()
    ]
    lines = [
        "Each row is the clearest network of its kind by a rule: that a panel agrees says that "
        "there is such a network, the list below the pictures how many there are. "
        "Left: activity on the two first principal components of the epochs that are trained, thin "
        "what silence leads on to. Middle: output far beyond training (trained: the bar, or the "
        "dashed frame); for delayed discrimination slices of the cube. Right: reduced dynamics.",
        "",
        *_table(["", "activity", "far beyond training", "graph"], rows),
        "How the networks were chosen:",
        "",
    ]
    for letter, node in tree.children.items():
        attrs = node.attrs
        task = str(attrs["population"]).split("/")[0].replace("_", " ")
        shown = f"network {attrs['network']}" if "network" in attrs else "no network"
        lines.append(
            f"- **{letter}** {attrs['shows']} ({task}), {shown}: {'; '.join(attrs['rule'])}."
        )
    return [*lines, "", "What agrees:", "", *_said(figure3.judge(tree))]


def _four(tree: xr.DataTree, made: dict[str, str]) -> list[str]:
    lines = [
        "A to D: the four commonest graphs, each by the network that answers far beyond training "
        "most like the others of its graph (of the first 24). E: networks of each graph; hatched "
        "the paper's networks of the same graph (? where that is not known). F: the graph "
        "predicted from the paper's features, networks held out, graphs of ten networks or more.",
        "",
    ]
    verdicts = figure4.judge(tree)
    for section, node in tree.children.items():
        letters = [c for c in node.children if c in figure4.LETTERS]
        rows = [
            [
                f"**{letter}** network {node[letter].attrs['network']}",
                *(
                    _image(made, f"{section} {letter} {part}", PARTS[section])
                    for part in ("beyond", "graph")
                ),
            ]
            for letter in letters
        ]
        lines += [
            f"### {PARTS[section]}",
            "",
            *_table(["", "far beyond training", "graph"], rows),
            *_table(
                ["**E** networks", "**F** predicted"],
                [[_image(made, f"{section} {letter}", PARTS[section]) for letter in "EF"]],
            ),
            *_said(verdicts[section]),
        ]
    return lines


def _five(tree: xr.DataTree, made: dict[str, str]) -> list[str]:
    beyond = [
        [
            f"**{letter}** {_who(tree, letter)}",
            *(_image(made, f"{letter} {part}", "Figure 5") for part in ("beyond", "graph")),
        ]
        for letter in "BC"
        if letter in tree.children
    ]
    shared = [letter for letter in "DEF" if letter in tree.children]
    lines = [
        "A: the six commonest graphs; hatched the paper's networks of the same graph (where a "
        "class of the paper's may be of two graphs, half of it). B, C: the second and the third, "
        "each by a typical network of the architecture that has most of it. D, E, F: the graph "
        "whose rarest architecture has most of it, a typical network of each.",
        "",
        _image(made, "A", "Figure 5"),
        "",
        *_table(["", "far beyond training", "graph"], beyond),
    ]
    if shared:
        lines += _table(
            [f"**{letter}** {_who(tree, letter)}" for letter in shared],
            [[_image(made, f"{letter} activity", "Figure 5") for letter in shared]],
        )
    return [*lines, *_said(figure5.judge(tree))]


def _who(tree: xr.DataTree, letter: str) -> str:
    attrs = tree[letter].attrs
    return f"{str(attrs['population']).split('/')[1]} {attrs['network']}"


# --------------------------------------------------------------------------- the page


def write_page(page: Path, sections: dict[str, str]) -> None:
    """Put sections into a page; those it has of other figures stay."""
    kept: dict[str, str] = {}
    if page.exists():
        marks = r"<!-- figure (.+?) -->\n(.*?)<!-- end of figure \1 -->"
        kept = dict(re.findall(marks, page.read_text(), flags=re.S))
    kept = {**kept, **sections}
    ordered = [
        f"<!-- figure {number} -->\n{kept[number]}<!-- end of figure {number} -->\n"
        for number in FIGURES
        if number in kept
    ]
    body = "\n".join(ordered)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"{HEAD.format(rules=RULES, tally=tally(body))}\n{body}")


def tally(text: str) -> str:
    """How many statements of the paper agree, of those there are on a page.

    Examples
    --------
    >>> tally("- A *Agrees.* - B *Does not agree.*")
    'Of 2 statements of the paper that are held against ours below, 1 agrees and 1 does not.'
    """
    yes, no = text.count("*Agrees.*"), text.count("*Does not agree.*")
    return (
        f"Of {yes + no} statements of the paper that are held against ours below, {yes} "
        f"agree{'s' if yes == 1 else ''} and {no} do{'es' if no == 1 else ''} not."
    )
