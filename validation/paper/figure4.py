"""Figure 4 of the paper, and its supplement: the solutions of each task's vanilla networks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from validation.paper import drawing
from validation.paper.figure3 import draw_network
from validation.paper.panels import network_panels, typical
from validation.paper.published import CLASSES, KAPPA, NETWORKS
from validation.paper.source import Networks, open_networks
from validation.paper.verdicts import Verdict, alike, apart, by_class, by_rank

__all__ = ["SECTIONS", "class_counts", "draw", "judge", "make"]

# The figure, and its supplement (S8 and S9 of the paper).
SECTIONS = {
    "figure4": "interval_reproduction/vanilla",
    "figureS8": "interval_discrimination/vanilla",
    "figureS9": "delayed_discrimination/vanilla",
}
LETTERS = "ABCD"
SMALLEST = 10  # the paper's smallest class


def make(store: str | os.PathLike[str], sections: Sequence[str] = tuple(SECTIONS)) -> xr.DataTree:
    """The four commonest graphs of each task, how many networks have each, and who is told apart.

    Parameters
    ----------
    store : path
        With the vanilla populations of the three tasks, reduced and with features.
    sections : sequence of {"figure4", "figureS8", "figureS9"}
        By default all; each needs the population of its task alone.

    Returns
    -------
    DataTree
        ``figure4``, ``figureS8`` and ``figureS9``, each with A to D (``beyond``, ``graph`` of a
        typical network; see `validation.paper.panels`), ``E`` (networks of every graph, and of
        the paper's) and ``F`` (what `solspace.classify` gives for the paper's features, classes
        named by their letters).

    Raises
    ------
    SolspaceError
        Where the store lacks a population.
    """
    groups: dict[str, xr.Dataset] = {}
    for section in sections:
        name = SECTIONS[section]
        networks = open_networks(store, name)
        for letter, (key, count) in zip(LETTERS, networks.common, strict=False):
            i = typical(networks, key)
            groups[f"/{section}/{letter}"] = xr.Dataset(
                attrs={
                    "population": name,
                    "network": networks.label(i),
                    "graph_key": key,
                    "networks": count,
                }
            )
            panels = network_panels(networks, i, ("beyond", "graph"))
            groups |= {f"/{section}/{letter}/{panel}": ds for panel, ds in panels.items()}
        groups[f"/{section}/E"] = class_counts([networks], len(networks.common))
        confusion = predicted(networks)
        if confusion is not None:
            groups[f"/{section}/F"] = confusion
    return xr.DataTree.from_dict(groups)


def class_counts(populations: list[Networks], most: int) -> xr.Dataset:
    """Networks of each graph, commonest over all first, by architecture, and the paper's.

    Returns
    -------
    Dataset
        ``networks``, ``published_least`` and ``published_most`` (graph, architecture). The last
        two differ where a class of the paper is of two graphs; -1 where the paper's graphs are
        not known. ``total`` (architecture), the networks with and without a graph.
    """
    architectures = [p.architecture for p in populations]
    keys = [str(k) for p in populations for k in p.keys if k]
    found, count = np.unique(keys, return_counts=True)
    order = sorted(range(len(found)), key=lambda k: (-int(count[k]), str(found[k])))[:most]
    graphs = [str(found[k]) for k in order]
    ours = np.array([[int((p.keys == g).sum()) for p in populations] for g in graphs])
    least, highest = np.full(ours.shape, -1), np.full(ours.shape, -1)
    for j, p in enumerate(populations):
        classes = CLASSES.get(p.name, ())
        known = bool(classes) and all(c.graphs for c in classes)
        for k, graph in enumerate(graphs):
            having = [c for c in classes if graph in c.graphs]
            if having or known:
                least[k, j] = sum(c.size for c in having if len(c.graphs) == 1)
                highest[k, j] = sum(c.size for c in having)
    at = ("graph", "architecture")
    words = "networks that the authors have in classes of this graph"
    return xr.Dataset(
        {
            "networks": (at, ours, {"long_name": "networks of this graph", "units": "1"}),
            "published_least": (
                at,
                least,
                {
                    "long_name": f"{words}, in those of this graph alone; -1 unknown, 0 where it "
                    "is in no class of ten or more",
                    "units": "1",
                },
            ),
            "published_most": (
                at,
                highest,
                {"long_name": f"{words}, or of this or another; -1 unknown", "units": "1"},
            ),
            "total": (
                "architecture",
                [len(p) for p in populations],
                {"long_name": "networks of the population", "units": "1"},
            ),
        },
        coords={
            "graph": ("graph", graphs, {"long_name": "graph_key"}),
            "architecture": architectures,
        },
        attrs={
            "task": populations[0].task.name,
        },
    )


def predicted(networks: Networks) -> xr.Dataset | None:
    """How well the paper's features tell the graphs of ten networks or more; classes by letter.

    None where the store has no features, or fewer than two such graphs.
    """
    import solspace

    large = [key for key, n in networks.common if n >= SMALLEST]
    if len(large) < 2 or "features" not in networks.ds.variables:
        return None
    names = {key: letter_of(k) for k, key in enumerate(large)}
    label = np.array([names.get(str(key), "") for key in networks.keys])
    ds = networks.ds.assign_coords(figure_class=("network", label))
    out = solspace.classify(
        ds,
        label="figure_class",
        sets=["published"],
        models=["random_forest"],
        minimum_class_size=SMALLEST,
        permutations=0,
        importance=False,
    )
    kept = ["confusion", "kappa", "kappa_low", "kappa_high", "balanced_accuracy"]
    one = out[kept].assign_coords(graph_key=("label_class", large))
    one.attrs = {
        "description": "graphs predicted from the paper's features, networks held out",
        "networks": int(out.attrs["networks_used"]),
    }
    return one


def letter_of(k: int) -> str:
    """A, B, ... Z, then numbers.

    Examples
    --------
    >>> letter_of(0), letter_of(26)
    ('A', '27')
    """
    return chr(ord("A") + k) if k < 26 else str(k + 1)


def draw(tree: xr.DataTree, folder: Path) -> dict[str, Path]:
    """Plain pictures, by panel."""
    made: dict[str, Path] = {}
    for section, node in tree.children.items():
        for letter in [c for c in node.children if c in LETTERS]:
            task = str(node[letter].attrs["population"]).split("/")[0]
            stem = folder / f"{section}_{letter.lower()}"
            made |= draw_network(node.children[letter], task, f"{section} {letter}", stem)
        counts = node["E"].to_dataset()
        made[f"{section} E"] = drawing.classes_picture(
            shown(counts, shown_classes(counts)), folder / f"{section}_e"
        )
        if "F" in node.children:
            made[f"{section} F"] = drawing.confusion_picture(
                node["F"].to_dataset(), folder / f"{section}_f"
            )
    return made


def shown_classes(counts: xr.Dataset) -> int:
    """Graphs with a bar: those of ten networks or more, at least four and no more than eight."""
    large = int((counts["networks"].sum("architecture") >= SMALLEST).sum())
    return min(int(np.clip(large, 4, 8)), counts.sizes["graph"])


def shown(counts: xr.Dataset, most: int) -> xr.Dataset:
    """The first graphs named by letters, and the paper's beside where they are known."""
    first = counts.isel(graph=slice(most))
    names = [letter_of(k) for k in range(first.sizes["graph"])]
    at = ("graph_class", "architecture")
    out = xr.Dataset(
        {"networks": (at, first["networks"].values)},
        coords={"graph_class": names, "architecture": first["architecture"].values},
    )
    low, high = first["published_least"].values, first["published_most"].values
    if (high >= 0).any():
        middle = np.where(high >= 0, (low + high) / 2, np.nan)
        out["published"] = (at, middle)
    return out


# --------------------------------------------------------------------------- what agrees


def judge(tree: xr.DataTree) -> dict[str, list[Verdict]]:
    """What of each section agrees, and what does not."""
    return {section: _judge(SECTIONS[section], node) for section, node in tree.children.items()}


def _judge(population: str, node: xr.DataTree) -> list[Verdict]:
    counts = node["E"].to_dataset()
    total = int(counts["total"].sum())
    ours = counts["networks"].sum("architecture").values.astype(int)
    classes = CLASSES[population]
    verdicts = []
    for k, letter in enumerate(c for c in node.children if c in LETTERS):
        key = str(node[letter].attrs["graph_key"])
        said = f"`{key}`: {ours[k]} of {total}; "
        same = [(i, c.size) for i, c in enumerate(classes) if key in c.graphs]
        if same:
            rank, size = same[0]
            said += f"{size} of {NETWORKS} of the paper's, its number {rank + 1}."
            agrees = rank == k and alike(ours[k], size, total)
        elif k < len(classes) and not classes[k].graphs:
            size = classes[k].size
            said += (
                f"the paper's number {k + 1} has {size} of {NETWORKS} (which graph that is, is not "
                "known here)."
            )
            agrees = alike(ours[k], size, total)
        else:
            said += "of none of the paper's classes whose graphs are known."
            agrees = False
        verdicts.append(Verdict(letter, said, agrees))
    graphs = [str(g) for g in counts["graph"].values]
    verdicts.append(_histogram(population, graphs, ours.tolist(), total))
    verdicts.append(_told(population, node, ours))
    return verdicts


def _histogram(population: str, graphs: list[str], ours: list[int], total: int) -> Verdict:
    classes = CLASSES[population]
    their_four = sum(c.size for c in classes[:4])
    text = (
        f"The four commonest graphs are those of {_joined(ours[:4])} networks, "
        f"{sum(ours[:4]) / total:.1%} (paper: {_joined([c.size for c in classes[:4]])}, "
        f"{their_four / NETWORKS:.1%}). "
    )
    none = total - sum(ours)
    if all(c.graphs for c in classes):
        keys = [g for g, n in zip(graphs, ours, strict=True) for _ in range(n)] + [""] * none
        words, near = compared(*by_class(population, keys), total)
        text += words
    else:
        counts = dict(zip(graphs, ours, strict=True)) | {"": none}
        words, near = apart(*by_rank(population, counts))
        text += f"Distance from the paper's classes, by rank: {words}."
    return Verdict("E", text, near)


def compared(theirs: list[int], ours: list[int], total: int) -> tuple[str, bool]:
    """The paper's classes and the same graphs among ours, in words, and whether they agree."""
    words, near = apart(theirs, ours)
    text = (
        f"Of the graphs of the paper's classes there are {_joined(ours[:-1])} of {total} here, and "
        f"{ours[-1]} of none of these (paper: {_joined(theirs[:-1])}, and {theirs[-1]}): a "
        f"distance, graph by graph, of {words}."
    )
    return text, near


def _joined(counts: list[int]) -> str:
    *most, last = map(str, counts)
    return f"{', '.join(most)} and {last}" if most else last


def _told(population: str, node: xr.DataTree, ours: Any) -> Verdict:
    if "F" not in node.children:
        return Verdict("F", "Fewer than two graphs of ten networks, or no features.", False)
    out = node["F"].to_dataset().isel(feature_set=0)
    kappa, low, high = (float(out[n]) for n in ("kappa", "kappa_low", "kappa_high"))
    paper = KAPPA[population]
    said = (
        f"Kappa {kappa:.2f} (95 %: {low:.2f} to {high:.2f}) from the paper's features, over "
        f"{out.attrs['networks']} networks in {out.sizes['label_class']} classes (paper: "
        f"{paper:.2f})"
    )
    within = low <= paper <= high
    if population != SECTIONS["figure4"]:
        return Verdict("F", f"{said}.", within)
    counts = out["confusion"].values
    pairs = {
        (i, j): (counts[i, j] + counts[j, i]) / (counts[i].sum() + counts[j].sum())
        for i in range(len(counts))
        for j in range(i)
    }
    worst = max(pairs, key=lambda pair: pairs[pair])
    names = sorted(str(out["label_class"].values[k]) for k in worst)
    keys = {
        str(n): str(k)
        for n, k in zip(out["label_class"].values, out["graph_key"].values, strict=True)
    }
    only = after_go_only(*(keys[name] for name in names))
    return Verdict(
        "F",
        f"{said}. Most confused are {names[0]} and {names[1]} ({pairs[worst]:.0%} of the networks "
        "of the two are taken for the other), whose graphs "
        + ("differ after Go only" if only else "differ before Go already")
        + " (paper: the first two, which differ after Go only).",
        within and names == ["A", "B"] and only,
    )


def after_go_only(one: str, other: str) -> bool:
    """Whether two graphs answer alike until they have put something out.

    Compared are all nodes that are reached from the root without passing an output, with the
    output of what they lead to.

    Examples
    --------
    >>> after_go_only("v1:0|>1,set>0;1|>2;0|set>0", "v1:0|>1,set>0;1|>2;0|set>2")
    True
    >>> after_go_only("v1:0|>1,set>0;1|>0", "v1:0|set>1;1|>0")
    False
    """
    first, second = _nodes(one), _nodes(other)
    seen: set[tuple[int, int]] = set()
    ahead = [(0, 0)]
    while ahead:
        a, b = ahead.pop()
        if (a, b) in seen:
            continue
        seen.add((a, b))
        (put_out, edges), (other_out, other_edges) = first[a], second[b]
        if put_out != other_out:
            return False
        if put_out:
            continue
        if edges.keys() != other_edges.keys():
            return False
        ahead += [(edges[symbol], other_edges[symbol]) for symbol in edges]
    return True


def _nodes(key: str) -> list[tuple[int, dict[str, int]]]:
    """Output and edges of each node of a ``graph_key``."""
    nodes = []
    for item in key.split(":", 1)[1].split(";"):
        output, _, edges = item.partition("|")
        to = dict(edge.rsplit(">", 1) for edge in edges.split(",") if edge)
        nodes.append((int(output), {symbol: int(node) for symbol, node in to.items()}))
    return nodes
