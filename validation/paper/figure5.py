"""Figure 5 of the paper: the solutions of three architectures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray as xr

from validation.paper import drawing
from validation.paper.figure3 import draw_network
from validation.paper.figure4 import class_counts, compared, shown
from validation.paper.panels import network_panels, typical
from validation.paper.published import CLASSES, NETWORKS
from validation.paper.rules import epochs_apart, paths_of
from validation.paper.source import Networks, open_networks
from validation.paper.verdicts import APART, TOGETHER, Verdict, by_class

__all__ = ["draw", "judge", "make"]

ARCHITECTURES = ("vanilla", "gru", "lstm")
COMMONEST = 6
RARE = 0.05


def make(store: str | os.PathLike[str]) -> xr.DataTree:
    """The commonest graphs over three architectures, and networks that share one.

    Parameters
    ----------
    store : path
        With the vanilla, GRU and LSTM populations of interval reproduction, reduced.

    Returns
    -------
    DataTree
        ``A`` (networks of each graph and architecture, all graphs), ``B`` and ``C`` (``beyond``
        and ``graph`` of a typical network of the second and third commonest, of the architecture
        that has most of it), ``D`` to ``F`` (``activity`` of a vanilla, a GRU and an LSTM network
        of the graph that all three have most of). Without a graph in common there are no D to F.

    Raises
    ------
    SolspaceError
        Where the store lacks a population.
    """
    populations = {
        name: open_networks(store, f"interval_reproduction/{name}") for name in ARCHITECTURES
    }
    graphs = {str(k) for p in populations.values() for k in p.keys if k}
    counts = class_counts(list(populations.values()), len(graphs))
    groups = {"/A": counts}
    keys = [str(g) for g in counts["graph"].values]
    for letter, key in zip("BC", keys[1:3], strict=False):
        most = max(populations.values(), key=lambda p: int((p.keys == key).sum()))
        groups |= _network(most, key, letter, ("beyond", "graph"))
    common = counts["networks"].min("architecture")
    if int(common.max()) > 0:
        key = keys[int(common.values.argmax())]
        for letter, name in zip("DEF", ARCHITECTURES, strict=True):
            groups |= _network(populations[name], key, letter, ("activity",))
    return xr.DataTree.from_dict(groups)


def _network(
    networks: Networks, key: str, letter: str, panels: tuple[str, ...]
) -> dict[str, xr.Dataset]:
    i = typical(networks, key)
    attrs = {
        "population": networks.name,
        "network": networks.label(i),
        "graph_key": key,
        "networks": len(networks.members(key)),
    }
    if "activity" in panels:
        attrs["gap"] = epochs_apart(paths_of(networks, i))
    groups = {f"/{letter}": xr.Dataset(attrs=attrs)}
    made = network_panels(networks, i, panels)
    return groups | {f"/{letter}/{name}": panel for name, panel in made.items()}


def draw(tree: xr.DataTree, folder: Path) -> dict[str, Path]:
    """Plain pictures, by panel."""
    counts = tree["A"].to_dataset()
    made = {"A": drawing.classes_picture(shown(counts, COMMONEST), folder / "figure5_a")}
    for letter in [c for c in tree.children if c != "A"]:
        stem = folder / f"figure5_{letter.lower()}"
        made |= draw_network(tree.children[letter], "interval_reproduction", letter, stem)
    return made


def judge(tree: xr.DataTree) -> list[Verdict]:
    """What of figure 5 agrees, and what does not."""
    counts = tree["A"].to_dataset()
    networks = counts["networks"]
    total = counts["total"].values.astype(int)
    graphs = [str(g) for g in counts["graph"].values]
    near, said = [], []
    for j, name in enumerate(ARCHITECTURES):
        keys = np.repeat(graphs, networks.sel(architecture=name).values).tolist()
        keys += [""] * (int(total[j]) - len(keys))
        theirs, ours = by_class(f"interval_reproduction/{name}", keys)
        words, agrees = compared(theirs, ours, int(total[j]))
        near.append(agrees)
        said.append(f"{drawing.NAMES[name]}: {words}")
    six = networks.isel(graph=slice(COMMONEST)).sum("graph")
    shares = ", ".join(
        f"{int(six.sel(architecture=n))} of {total[j]} {drawing.NAMES[n]}"
        for j, n in enumerate(ARCHITECTURES)
    )
    verdicts = [
        Verdict(
            "A",
            f"The six commonest graphs are those of {shares} networks. " + " ".join(said),
            all(near),
        )
    ]
    gru_first = str(networks.sel(architecture="gru").idxmax("graph").item())
    for letter, k in (("B", 1), ("C", 2)):
        if letter in tree.children:
            verdicts.append(_second_and_third(counts, letter, k, gru_first))
    return [*verdicts, *_shared(tree)]


def _second_and_third(counts: xr.Dataset, letter: str, k: int, gru_first: str) -> Verdict:
    one = counts.isel(graph=k)
    key = str(one["graph"].item())
    share = int(one["networks"].sel(architecture="vanilla")) / int(
        one["total"].sel(architecture="vanilla")
    )
    parts = ", ".join(
        f"{drawing.NAMES[n]} {int(one['networks'].sel(architecture=n))}" + _published(one, n)
        for n in ARCHITECTURES
    )
    rare = share < RARE
    text = f"`{key}`: {parts}. "
    if letter == "B":
        first = key == gru_first
        (theirs,) = CLASSES["interval_reproduction/gru"][0].graphs
        return Verdict(
            letter,
            text
            + f"{'Rare' if rare else 'Not rare'} in vanilla networks ({share:.0%}; rare: under "
            f"{RARE:.0%}), {'the commonest' if first else 'not the commonest'} in GRUs (paper: "
            f"rare, and the commonest); {'the same graph' if key == theirs else 'another graph'} "
            f"{'as' if key == theirs else 'than'} the paper's"
            + ("." if key == theirs else f", which is `{theirs}`."),
            rare and first and key == theirs,
        )
    return Verdict(
        letter,
        text + f"{'Rare' if rare else 'Not rare'} in vanilla networks ({share:.0%}; paper: rare).",
        rare,
    )


def _published(one: xr.Dataset, architecture: str) -> str:
    low, high = (
        int(one[f"published_{end}"].sel(architecture=architecture)) for end in ("least", "most")
    )
    if high < 0:
        return ""
    return f" (paper: {low if low == high else f'{low} to {high}'} of {NETWORKS})"


def _shared(tree: xr.DataTree) -> list[Verdict]:
    there = [tree.children[letter] for letter in "DEF" if letter in tree.children]
    if not there:
        return [Verdict("D, E, F", "No graph is found by all three architectures.", False)]
    key = str(there[0].attrs["graph_key"])
    count = ", ".join(
        f"{drawing.NAMES[a]} {node.attrs['networks']}"
        for a, node in zip(ARCHITECTURES, there, strict=True)
    )
    verdicts = [
        Verdict("D, E, F", f"All three architectures find `{key}` (networks: {count}).", True)
    ]
    for letter, node in zip("DEF", there, strict=True):
        share = np.asarray(node["activity"].to_dataset()["share"])
        gap = float(node.attrs["gap"])
        word = "together" if gap < TOGETHER else "apart" if gap > APART else "near each other"
        verdicts.append(
            Verdict(
                letter,
                f"{node.attrs['population'].split('/')[1]} {node.attrs['network']}: two components "
                f"hold {share.sum():.0%} of the variance; the epochs run {word} ({gap:.2f}).",
                None,
            )
        )
    return verdicts
