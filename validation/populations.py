"""The shipped populations beside the authors': one section of docs/validation.md, one picture.

Reads `stores/turner2021.zarr` (ours) and `shared/reference/populations` (the labels the authors
published for 400 networks a population; label 0 is "in no class of ten or more").
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["measure", "picture", "section"]

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
REFERENCE = ROOT.parent / "shared" / "reference"
PICTURE = ROOT / "docs" / "images" / "populations.png"
POPULATIONS = (
    "interval_reproduction/vanilla",
    "interval_reproduction/gru",
    "interval_reproduction/lstm",
    "interval_discrimination/vanilla",
    "delayed_discrimination/vanilla",
)
SMALL = 10  # the authors' smallest class


def published_labels(population: str) -> list[dict[str, str]]:
    """The rows of the authors' label file."""
    path = REFERENCE / "populations" / f"{population.replace('/', '_')}.csv"
    with path.open() as file:
        return list(csv.DictReader(file))


def published_classes(population: str) -> tuple[list[int], int]:
    """Sizes of the authors' classes, largest first, and how many networks are in none."""
    labels = Counter(int(row["label"]) for row in published_labels(population))
    none = labels.pop(0, 0)
    return sorted(labels.values(), reverse=True), none


def classes(keys: np.ndarray) -> tuple[list[int], int]:
    """The same of ours, by a key."""
    counts = sorted(Counter(str(key) for key in keys if key).values(), reverse=True)
    return [c for c in counts if c >= SMALL], sum(c for c in counts if c < SMALL)


def distance(one: tuple[list[int], int], other: tuple[list[int], int]) -> float:
    """Total variation distance of two histograms: classes by rank, and the small ones together."""
    length = max(len(one[0]), len(other[0]))

    def shares(sizes: list[int], rest: int) -> np.ndarray:
        padded = np.array([*sizes, *[0] * (length - len(sizes)), rest], float)
        return np.asarray(padded / padded.sum())

    return float(0.5 * np.abs(shares(*one) - shares(*other)).sum())


def published_solutions(population: str) -> dict[int, str]:
    """The graph of each of the authors' classes that a reference network belongs to.

    Only in interval reproduction do the rows of the label file name the networks.
    """
    if not population.startswith("interval_reproduction"):
        return {}
    from solspace import networks
    from solspace.reduction import graph_key, reduce_network
    from solspace.tasks import get_task

    task, architecture = population.split("/")
    label = {
        f"{row['hidden_size']}_i{row['instance']}": int(row["label"])
        for row in published_labels(population)
    }
    found: dict[int, Counter[str]] = {}
    for folder in sorted((REFERENCE / "networks" / population).iterdir()):
        weights = networks.from_state_dict(
            networks.read_state_dict(str(folder / "weights.pt")), architecture, inputs=2, outputs=1
        )
        key = graph_key(reduce_network(task, architecture, weights), get_task(task).input_symbols)
        found.setdefault(label[folder.name], Counter())[key] += 1
    found.pop(0, None)
    return {value: keys.most_common(1)[0][0] for value, keys in found.items()}


def seconds(ds: xr.Dataset, stage: str) -> float:
    """Wall-clock of a stage over all its runs."""
    notes = json.loads(ds.attrs.get("provenance", "[]"))
    return float(sum(n.get("seconds", 0.0) for n in notes if n["stage"] == stage))


def measure(population: str) -> dict[str, Any]:
    ds = xr.open_zarr(STORE, group=population).load()
    theirs, by_graph = published_classes(population), classes(ds.graph_key.values)
    trained = int((ds.status_train == 1).sum())
    labels = Counter(int(row["label"]) for row in published_labels(population))
    keys = ds.graph_key.values.astype(object)
    return {
        "population": population,
        "networks": ds.sizes["network"],
        "trained": trained,
        "minutes": seconds(ds, "train") / 60,
        "theirs": theirs,
        "graph": by_graph,
        "solution": classes(ds.solution_key.values),
        "distance": distance(theirs, by_graph),
        "matched": [
            (value, labels[value], int((keys == key).sum()), key)
            for value, key in sorted(published_solutions(population).items())
        ],
        "recall": float(ds.graph_recall.median()),
        "specificity": float(ds.graph_specificity.median()),
    }


def top(sizes: tuple[list[int], int]) -> float:
    return sum(sizes[0][:4]) / (sum(sizes[0]) + sizes[1])


def small(sizes: tuple[list[int], int]) -> float:
    return sizes[1] / (sum(sizes[0]) + sizes[1])


def picture(rows: list[dict[str, Any]]) -> None:
    """Shares of the classes, theirs above ours, by rank; the small classes together in white."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from solspace.plots.style import BLUE, ORANGE, RC, ramp

    with matplotlib.rc_context(RC | {"font.size": 7}):
        figure, axes = plt.subplots(figsize=(6.9, 3.1))
        ticks, names = [], []
        for i, row in enumerate(rows):
            for j, (who, color) in enumerate((("theirs", ORANGE), ("graph", BLUE))):
                y = -(2.6 * i + j)
                sizes, rest = row[who]
                total = sum(sizes) + rest
                left = 0.0
                shades = ramp(("#FFFFFF", color), len(sizes) + 2)[:1:-1]
                for rank, (size, shade) in enumerate(zip(sizes, shades, strict=False)):
                    share = size / total
                    axes.barh(y, share, left=left, color=shade, edgecolor="white", height=0.9)
                    if share > 0.045:
                        ink = "white" if rank == 0 and color == BLUE else "#222222"
                        axes.text(
                            left + share / 2, y, size, color=ink, ha="center", va="center",
                            fontsize=6,
                        )  # fmt: skip
                    left += share
                axes.barh(
                    y, 1 - left, left=left, color="none", edgecolor="#767676", height=0.9,
                    hatch="////", linewidth=0.4,
                )  # fmt: skip
                ticks.append(y)
                names.append(
                    f"{row['population'].replace('_', ' ').replace('/', ', ')}, authors"
                    if who == "theirs"
                    else "ours"
                )
        axes.set_yticks(ticks, names)
        axes.set(xlim=(0, 1), xlabel="share of the networks (hatched: classes under ten)")
        axes.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        PICTURE.parent.mkdir(exist_ok=True)
        figure.savefig(PICTURE, dpi=200, bbox_inches="tight", pad_inches=0.03)
        plt.close(figure)


# From small samples trained for the comparison alone; sizes 20 to 50 mixed, one init each.
WHY = """\
Where they differ, and what was found:

- **Delayed discrimination.** Our commonest class is nearly twice as common. The loss at which
  networks are accepted is not the reason: of 80 networks each, 40 are in the commonest class at
  2e-4 and 39 at 5e-5. The start may well be: from torch's default 17 of 27 trained networks are of
  that class; from torch's default divided by sqrt(N) at a constant rate of 1e-3, as published, 9 of
  28 inits were trained, and these are of 8 classes. Such a start leads to many solutions, and
  trains a third of the inits; the store's is orthogonal.
- **Gated networks.** A lower learning rate brings them nearer to the authors'. At 0.01, as in the
  store, 9, 0, 17 and 2 of 40 GRUs are of the authors' classes 1, 2, 3 and 5; at 0.003 it is 18, 5,
  7 and 2. The published rate is 0.001. By rank the distance is small, but the classes are not the
  authors': the table above says which. Class 2 are limit cycles, and it is the
  learning rate that decides about them: of GRUs of 20 units (of theirs 37 in 100, of the store's
  2) the published recipe finds them in 4 of 12 at 0.001 and in 0 of 21 at 0.01, ours held at 0.001
  in 4 of 13. Clipping, beta2, rolling back and the loss accepted are not the reason. Of 32 LSTMs at
  0.003, 2 are such limit cycles.
- **Interval reproduction, vanilla, and interval discrimination** have the authors' classes in the
  authors' proportions, but for limit cycles after Ready: 20 of theirs have that graph, and none of
  ours has. Run for longer than the 500 steps that graphs are made from, 10 of our 400 vanilla
  networks (and 28 of the LSTMs) do put out Go again and again.
- **By graph, not by rank**, the gated populations are much further from the authors'. Over the
  classes of the table above, all others taken together, the distance is 0.05 for vanilla networks,
  0.35 for GRUs and at least 0.39 for LSTMs (0.07, 0.12 and 0.17 by rank).
- **Graphs of GRUs are not always what the networks do.** About 46 % of the 119 networks of
  `v1:0|>1,set>2;0|set>1;1|>1` answer a late Set which that graph says is ignored.
"""


def section() -> str:
    """The text; empty where the store is not there."""
    if not STORE.exists():
        return ""
    rows = [measure(population) for population in POPULATIONS]
    picture(rows)
    lines = [
        "## The populations, beside the authors'",
        "",
        "`stores/turner2021.zarr` holds 400 networks a population (100 of 20, 30, 40 and 50 "
        "units), trained by the recipes of [recipes.md](recipes.md). The authors' labels for their "
        "400 are compared by the sizes of the classes, largest first, classes under ten taken "
        "together: graphs up to the numbering of their nodes, as they count (`graph_key`). The "
        "distance is total variation between the two histograms, by rank, and says nothing about "
        "whether classes of one rank are the same graph. The table and the picture count by "
        "`graph_key`, but for the column *by `solution_key`*; `solspace info` and the report count "
        "by `solution_key`, which takes graphs that allow the same together. *Trained* is on the "
        "trials that each network was trained on (see [recipes.md](recipes.md)). Training ran on "
        "two cores on which other work ran as well.",
        "",
        "| population | trained | training, min | classes, theirs | ours | four commonest, theirs "
        "| ours | in classes under ten, theirs | ours | by `solution_key` | distance |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['population']} | {r['trained']} of {r['networks']} | {r['minutes']:.0f} "
        f"| {', '.join(map(str, r['theirs'][0]))} | {', '.join(map(str, r['graph'][0]))} "
        f"| {top(r['theirs']):.0%} | {top(r['graph']):.0%} | {small(r['theirs']):.0%} "
        f"| {small(r['graph']):.0%} | {small(r['solution']):.0%} | {r['distance']:.2f} |"
        for r in rows
    ]
    lines += ["", "![Shares of the classes](images/populations.png)", ""]
    matched = [(r["population"], *m) for r in rows for m in r["matched"]]
    if matched:
        lines += [
            "Where the reference networks tell which graph a class of theirs is (interval "
            "reproduction only), the same graph in ours:",
            "",
            "| population | their class | their networks | ours | graph |",
            "|---|---|---|---|---|",
        ]
        escaped = "\\|"  # a bar would end the cell, also within code
        lines += [
            f"| {p} | {v} | {t} | {o} | `{k.replace('|', escaped)}` |" for p, v, t, o, k in matched
        ]
        lines.append("")
    lines.append(WHY)
    return "\n".join(lines)
