"""What networks of the discrimination tasks find from which start: labels, picture, numbers.

python -m docs.make_starts label STORE STORE ...   # labels the trained networks of each
python -m docs.make_starts                         # the picture, the tables of the page

Needs the authors' labels in the folder `shared` beside the checkout.
The stores are trained as docs/starts.md says; the population of the recipe's own start is that of
`stores/turner2021.zarr`. The labels are kept in docs/data/starts.zarr, a row a network.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import solspace
from docs.pages import write_part
from solspace.diversity.difference import compare_solutions
from solspace.diversity.labels import count_labels
from solspace.population.describe import recipe_of
from solspace.population.variables import DONE, FAILED
from solspace.store import Store
from validation import authors
from validation.populations import at_least

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "stores" / "turner2021.zarr"
LABELS = ROOT / "docs" / "data" / "starts.zarr"
PICTURE = ROOT / "docs" / "images" / "starts.png"
PAGE = ROOT / "docs" / "starts.md"
TASKS = ("delayed_discrimination", "interval_discrimination")
OWN = "orthogonal"  # the start of both recipes


def start_of(ds: xr.Dataset) -> str:
    """A start in words: the init, and its gain where that is not 1."""
    recipe = recipe_of(ds)
    return recipe.init + ("" if recipe.init_gain == 1 else f" times {recipe.init_gain:g}")


def labels_of(ds: xr.Dataset, task: str) -> xr.Dataset:
    """A row for each network that was trained or given up."""
    ds = ds.isel(network=np.isin(ds["status_train"].values, (DONE, FAILED)))
    trained = ds["status_train"].values == DONE
    keys = np.full(ds.sizes["network"], "", "U160")
    if trained.any():
        keys[trained] = solspace.reduce(ds.isel(network=trained))["graph_key"].values
    return xr.Dataset(
        {
            "graph_key": ("network", keys, {"meaning": "the published graph; empty: not trained"}),
            "trained": ("network", trained),
            "attempts": ("network", ds["attempts"].values, {"meaning": "inits begun"}),
            "gradient_steps": ("network", ds["gradient_steps"].values),
        },
        coords={
            "task_name": ("network", np.full(len(keys), task, "U32")),
            "start": ("network", np.full(len(keys), start_of(ds), "U32")),
            "hidden_size": ("network", ds["hidden_size"].values),
            "seed": ("network", ds["seed"].values),
        },
    )


def label(paths: list[str]) -> None:
    parts = []
    for path in [str(SHIPPED), *paths]:
        for population in Store(path).populations():
            if population.task in TASKS:
                ds = xr.open_zarr(path, group=str(population), consolidated=False).load()
                parts.append(labels_of(ds, population.task))
    ds = xr.concat(parts, "network").assign_coords(
        network=np.arange(sum(part.sizes["network"] for part in parts))
    )
    ds.attrs["description"] = (
        "graphs of vanilla networks of the discrimination tasks by the start they were trained "
        "from (docs/starts.md)"
    )
    ds.to_zarr(LABELS, mode="w")


def arms(ds: xr.Dataset, task: str) -> dict[str, xr.Dataset]:
    """Rows of a task by start, the recipe's own first."""
    of_task = ds.isel(network=ds["task_name"].values == task)
    names = sorted(set(of_task["start"].values.tolist()), key=lambda name: (name != OWN, name))
    return {n: of_task.isel(network=of_task["start"].values == n) for n in names}


def same_sizes(arm: xr.Dataset, own: xr.Dataset) -> xr.Dataset:
    """Those of the own start that have the hidden sizes of an arm, as often as these."""
    sizes, counts = np.unique(arm["hidden_size"].values[arm["trained"].values], return_counts=True)
    share = min(
        int((own["hidden_size"] == n).sum()) / c for n, c in zip(sizes, counts, strict=True)
    )
    kept = [
        np.flatnonzero((own["hidden_size"] == n).values & own["trained"].values)[: int(share * c)]
        for n, c in zip(sizes, counts, strict=True)
    ]
    return own.isel(network=np.sort(np.concatenate(kept)))


def tables(ds: xr.Dataset) -> str:
    lines: list[str] = []
    for task in TASKS:
        own = arms(ds, task)[OWN]
        lines += [
            f"**{task.replace('_', ' ').capitalize()}**",
            "",
            "| start | sizes | inits that reach 5e-5 | networks | graphs | commonest of the own "
            "start | distance from it | without bias (95 %) | by chance | p | from the authors' |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        first = max(count_labels(own, "graph_key")[0].items(), key=lambda one: one[1])[0]
        for name, arm in arms(ds, task).items():
            keys = arm["graph_key"].values[arm["trained"].values]
            begun, reached = int(arm["attempts"].sum()), int(arm["trained"].sum())
            sizes = sorted(set(arm["hidden_size"].values.tolist()))
            cells = [
                name,
                ", ".join(map(str, sizes)),
                f"{reached} of {begun} ({reached / begun:.0%})",
                str(reached),
                str(len(set(keys.tolist()))),
                f"{np.mean(keys == first):.0%}",
            ]
            if name == OWN:
                cells += [""] * 4
            else:
                found = compare_solutions(keys, same_sizes(arm, own), "graph_key")
                low, high = found.distance_low.item(), found.distance_high.item()
                cells += [
                    f"{found.distance.item():.2f}",
                    f"{found.distance_estimate.item():.2f} ({low:.2f} to {high:.2f})",
                    f"{found.floor.item():.2f}, 95th percentile {found.floor_high.item():.2f}",
                    f"{found.p_value.item():.2g}",
                ]
            counts = list(count_labels(arm, "graph_key")[0].values())
            cells.append(f"at least {at_least(authors.class_sizes(f'{task}/vanilla'), counts):.2f}")
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def picture(ds: xr.Dataset) -> None:
    """Shares of the graphs by start; a colour is one graph within a task."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from solspace.plots.style import RC

    colors = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
    with matplotlib.rc_context(RC | {"font.size": 7}):
        figure, axes = plt.subplots(figsize=(6.9, 2.7))
        y, ticks, names = 0.0, [], []
        for task in TASKS:
            known = arms(ds, task)
            common = dict(
                sorted(count_labels(known[OWN], "graph_key")[0].items(), key=lambda one: -one[1])
            )
            kept: list[Any] = list(common)[: len(colors)]
            for name, arm in known.items():
                keys = arm["graph_key"].values[arm["trained"].values]
                left = 0.0
                for key, color in zip(kept, colors, strict=False):
                    share = float(np.mean(keys == key))
                    axes.barh(y, share, left=left, height=0.85, color=color, edgecolor="white",
                              linewidth=0.4)  # fmt: skip
                    if share > 0.05:
                        axes.text(left + share / 2, y, f"{share:.0%}", ha="center", va="center",
                                  fontsize=6, color="white")  # fmt: skip
                    left += share
                axes.barh(y, 1 - left, left=left, height=0.85, color="none", edgecolor="#767676",
                          hatch="////", linewidth=0.4)  # fmt: skip
                ticks.append(y)
                start = name if name != OWN else f"{task.replace('_', ' ')}: {name}"
                names.append(f"{start}, {len(keys)} networks")
                y -= 1
            y -= 0.6
        axes.set_yticks(ticks, names)
        axes.set(
            xlim=(0, 1),
            xlabel="share of the trained networks (within a task a colour is one graph; hatched: "
            "all other graphs)",
        )
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        figure.savefig(PICTURE, dpi=200, bbox_inches="tight", pad_inches=0.03)
        plt.close(figure)


def main(words: list[str]) -> None:
    if words[:1] == ["label"]:
        label(words[1:])
    ds = xr.open_zarr(LABELS).load()
    picture(ds)
    write_part(PAGE, __file__, tables(ds))


if __name__ == "__main__":
    main(sys.argv[1:])
