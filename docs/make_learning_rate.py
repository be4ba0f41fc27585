"""Which solutions GRUs find at which learning rate: labels of three populations, picture, numbers.

python -m docs.make_learning_rate label STORE STORE ...   # labels every checkpoint; minutes
python -m docs.make_learning_rate                         # the picture, the tables of the page

The stores are trained as docs/learning_rate.md says. The labels are kept in
docs/data/learning_rate.zarr, dims (learning_rate, network, checkpoint).
"""

from __future__ import annotations

import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from docs.pages import write_part
from solspace.networks import parameter_names, run
from solspace.population import network_weights
from solspace.population.describe import recipe_of
from solspace.reduction import graph_key, reduce_network
from solspace.tasks import get_task
from solspace.tasks.interval_reproduction import PULSE, READY_ON

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "docs" / "data" / "learning_rate.zarr"
PICTURE = ROOT / "docs" / "images" / "learning_rate"
PAGE = ROOT / "docs" / "learning_rate.md"
TASK = get_task("interval_reproduction")
GROUP = "interval_reproduction/gru"
GO = 0.15  # over which the readout is an output
STEPS, LATE = 4_000, 1_000
MOVES = 1e-4  # smallest speed (rms over units, a step) of what does not rest
# The published classes of GRUs (their 400 networks have 129, 107, 57, 36 and 19), as graphs.
PUBLISHED = {
    "v1:0|>1,set>2;0|set>1;1|>1": "1",
    "v1:0|>1,set>0;1|>0": "2, cycles",
    "v1:0|set>1;1|>0": "3",
    "v1:0|>0,set>1;1|>0": "4",
    "v1:0|>1,set>2;0|set>3;1|>4;0|;0|": "5",
}
CYCLE = "v1:0|>1,set>0;1|>0"
# Of the authors' 100 GRUs of 20 units, as in their label file.
PUBLISHED_CYCLES = 37


def cycles_after_ready(weights: dict[str, NDArray[Any]]) -> tuple[bool, bool]:
    """Whether a network never rests when nothing follows Ready, and puts out Go again and again.

    Looked at are the last 1,000 of 4,000 steps of silence: every step moves, or the readout
    crosses its threshold upwards twice or more.
    """
    given = TASK.recorded_trials().input[:1, : READY_ON + PULSE]
    silence = np.zeros((1, STEPS, given.shape[2]), given.dtype)
    states, output = run("gru", weights, np.concatenate([given, silence], axis=1))
    late, readout = states[0, -LATE:], output[0, -LATE:, 0]
    speed = np.sqrt(np.mean(np.diff(late, axis=0) ** 2, axis=1))
    ups = int(np.sum((readout[1:] > GO) & (readout[:-1] <= GO)))
    return bool(speed.min() > MOVES), ups >= 2


def labels_of(path: str) -> xr.Dataset:
    """Labels of every network of a population at each of its checkpoints."""
    population = xr.open_zarr(path, group=GROUP).load()
    checkpoints = xr.open_zarr(path, group=f"{GROUP}/checkpoints").load()
    names = [f"checkpoint_{name}" for name in parameter_names("gru")]
    both = population.merge(checkpoints[[*names, "checkpoint_gradient_steps"]], compat="override")
    shape = checkpoints["checkpoint_gradient_steps"].shape
    cycles, goes = np.zeros((2, *shape), bool)
    keys = np.full(shape, "", object)
    for i in range(shape[0]):
        for k in range(1, shape[1]):
            if checkpoints["checkpoint_gradient_steps"].values[i, k] < 0:
                continue
            weights = network_weights(both, i, checkpoint=k)
            cycles[i, k], goes[i, k] = cycles_after_ready(weights)
            try:
                graph = reduce_network(TASK, "gru", weights)
                keys[i, k] = graph_key(graph, TASK.input_symbols)
            except ValueError as error:  # no dynamics to reduce, early on
                warnings.warn(f"{path}, network {i}, checkpoint {k}: {error}", stacklevel=1)
    dims = ("network", "checkpoint")
    out = xr.Dataset(
        {
            "cycles": (dims, cycles, {"meaning": "never rests in the silence after Ready"}),
            "goes_on": (dims, goes, {"meaning": "puts out Go again and again there"}),
            "graph_key": (dims, keys.astype("U160"), {"meaning": "the published graph"}),
            "loss_level": (dims, checkpoints["checkpoint_loss_level"].values),
            "loss": (dims, checkpoints["checkpoint_loss"].values),
            "gradient_steps": (dims, checkpoints["checkpoint_gradient_steps"].values),
            "trained": ("network", population["status_train"].values == 1),
            "attempts": ("network", population["attempts"].values),
        },
        coords={
            "network": population["network"].values,
            "seed": ("network", population["seed"].values),
            "learning_rate": recipe_of(population).hold_rate,
        },
    )
    for name in ("loss_level", "loss"):
        out[name].attrs["units"] = "1"
    return out


def wilson(found: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(found, of).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def paired(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int, float]:
    """How many have it in the first only, in the second only, and the exact McNemar test."""
    from scipy.stats import binomtest

    first, second = int((one & ~other).sum()), int((~one & other).sum())
    p = binomtest(first, first + second).pvalue if first + second else 1.0
    return first, second, float(p)


def compared(ds: xr.Dataset) -> xr.DataArray:
    """Networks whose attempt that was kept is the first at every rate: the same start, trials."""
    return (ds["attempts"] == 1).all("learning_rate") & ds["trained"].all("learning_rate")


def tables(ds: xr.Dataset) -> str:
    """The tables of docs/learning_rate.md."""
    lines = []
    last = ds.isel(checkpoint=-1)
    rates = ds["learning_rate"].values.tolist()
    lines += [
        "| rate | trained | median steps | Go goes on, simulated | of that graph | never rests |",
        "|---|---|---|---|---|---|",
    ]
    for rate in rates:
        one = last.sel(learning_rate=rate)
        kept = one["trained"].values
        n = int(kept.sum())
        cells = [f"{rate:g}", f"{n} of {len(kept)}"]
        cells.append(f"{np.median(one['gradient_steps'].values[kept]):,.0f}")
        for found in (
            one["goes_on"].values,
            one["graph_key"].values == CYCLE,
            one["cycles"].values,
        ):
            count = int(found[kept].sum())
            low, high = wilson(count, n)
            cells.append(f"{count} ({100 * low:.0f} to {100 * high:.0f} %)")
        lines.append(f"| {' | '.join(cells)} |")
    pairs = ds.sel(network=compared(ds))
    lines += [
        "",
        f"Pairs: {pairs.sizes['network']} networks that every rate trained from their first start.",
    ]
    lines += [
        "",
        "| rates | Go goes on at the first only | at the second only | p |",
        "|---|---|---|---|",
    ]
    end = pairs.isel(checkpoint=-1)
    for a, b in pairwise(rates):
        first, second, p = paired(
            end["goes_on"].sel(learning_rate=a).values, end["goes_on"].sel(learning_rate=b).values
        )
        lines.append(f"| {a:g}, {b:g} | {first} | {second} | {p:.2g} |")
    a, b = rates[0], rates[-1]
    first, second, p = paired(
        end["goes_on"].sel(learning_rate=a).values, end["goes_on"].sel(learning_rate=b).values
    )
    lines.append(f"| {a:g}, {b:g} | {first} | {second} | {p:.2g} |")
    lines += ["", "| class of the paper | " + " | ".join(f"{rate:g}" for rate in rates) + " |"]
    lines.append("|---|" + "---|" * len(rates))
    for key, name in [*PUBLISHED.items(), ("", "none of these")]:
        row = []
        for rate in rates:
            one = last.sel(learning_rate=rate)
            keys = one["graph_key"].values[one["trained"].values]
            row.append(
                str(int(np.sum(~np.isin(keys, list(PUBLISHED)) if not key else keys == key)))
            )
        graph = f" `{key}`".replace("|", "\\|") if key else ""
        lines.append(f"| {name}{graph} | {' | '.join(row)} |")
    lines += [
        "",
        "Networks with the label that they end with, from this loss on:",
        "",
        "| loss under | " + " | ".join(f"{r:g}: Go or not | {r:g}: graph" for r in rates) + " |",
        "|---|" + "---|---|" * len(rates),
    ]
    levels = np.nanmedian(ds["loss_level"].values, axis=(0, 1))
    for k in range(1, ds.sizes["checkpoint"]):
        row = []
        for rate in rates:
            one = ds.sel(learning_rate=rate)
            one = one.isel(network=np.flatnonzero(one["trained"].values))
            row += [
                str(int(settled(one[name].values)[:, k].sum())) for name in ("goes_on", "graph_key")
            ]
        lines.append(f"| {levels[k]:.2g} | {' | '.join(row)} |")
    return "\n".join(lines)


def settled(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a label (network, checkpoint) is the last one from a checkpoint on."""
    same = labels == labels[:, -1:]
    return np.asarray(np.logical_and.accumulate(same[:, ::-1], axis=1)[:, ::-1])


def picture(ds: xr.Dataset) -> None:
    """Shares of limit cycles by rate, and along the loss."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from solspace.plots.style import BLUE, ORANGE, RC

    rates = ds["learning_rate"].values.tolist()
    colors = (BLUE, "#555555", ORANGE)
    with matplotlib.rc_context(RC | {"font.size": 7}):
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(7.2, 2.5), layout="constrained", width_ratios=(1, 1.3, 1.3)
        )
        last = ds.isel(checkpoint=-1)
        for j, (what, marker, name) in enumerate(
            (("simulated", "o", "simulated"), ("key", "s", "by graph"))
        ):
            for i, rate in enumerate(rates):
                one = last.sel(learning_rate=rate)
                kept = one["trained"].values
                found = (
                    one["goes_on"].values
                    if what == "simulated"
                    else one["graph_key"].values == CYCLE
                )
                count, n = int(found[kept].sum()), int(kept.sum())
                low, high = wilson(count, n)
                share = 100 * count / n
                left.errorbar(
                    i + 0.16 * (j - 0.5), share,
                    [[share - 100 * low], [100 * high - share]],
                    fmt=marker, color=colors[i], markersize=4, capsize=2, linewidth=1,
                    markerfacecolor=colors[i] if j == 0 else "white",
                    label=name if i == 1 else None,
                )  # fmt: skip
        left.axhline(PUBLISHED_CYCLES, color="black", linewidth=0.8, linestyle=":")
        left.text(
            len(rates) - 0.6,
            PUBLISHED_CYCLES + 0.5,
            "published\n(rate 0.001)",
            ha="right",
            va="bottom",
        )
        left.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
        left.set_xlim(-0.5, len(rates) - 0.5)
        left.set_ylim(0, 62)
        left.set_xlabel("learning rate")
        left.set_ylabel("Go again and again after Ready\n(% of networks)")
        left.legend(
            frameon=False,
            loc="upper left",
            ncols=2,
            columnspacing=0.8,
            handletextpad=0.2,
            handlelength=1,
        )
        levels = np.nanmedian(ds["loss_level"].values, axis=(0, 1))
        for i, rate in enumerate(rates):
            one = ds.sel(learning_rate=rate)
            one = one.isel(network=np.flatnonzero(one["trained"].values))
            share = 100 * one["goes_on"].values.mean(axis=0)
            middle.plot(
                levels[1:], share[1:], "o-", markersize=3, color=colors[i], label=f"{rate:g}"
            )
            kept = 100 * settled(one["graph_key"].values).mean(axis=0)
            right.plot(levels[1:], kept[1:], "o-", markersize=3, color=colors[i])
            kept = 100 * settled(one["goes_on"].values).mean(axis=0)
            right.plot(
                levels[1:], kept[1:], "o--", markersize=3, color=colors[i], markerfacecolor="white"
            )
        for axes in (middle, right):
            axes.set_xscale("log")
            axes.invert_xaxis()
            axes.set_xlabel("loss fallen under")
        middle.set_ylabel("Go again and again after Ready\n(% of networks)")
        middle.set_ylim(bottom=0)
        middle.legend(frameon=False, title="learning rate")
        right.set_ylabel("have their final label\n(% of networks)")
        right.set_ylim(0, 103)
        right.plot(
            [],
            [],
            "o--",
            markersize=3,
            color="#333333",
            markerfacecolor="white",
            label="Go goes on or not",
        )
        right.plot([], [], "o-", markersize=3, color="#333333", label="graph")
        right.legend(frameon=False, loc="lower right")
        figure.savefig(PICTURE.with_suffix(".png"), dpi=300)
        plt.close(figure)


def main(words: list[str]) -> None:
    if words[:1] == ["label"]:
        parts = [labels_of(path) for path in words[1:]]
        parts.sort(key=lambda d: float(d["learning_rate"]))
        ds = xr.concat(parts, "learning_rate")
        ds.attrs["description"] = (
            "labels of GRUs of 20 units of interval reproduction at losses on their way down, by "
            "the rate at which they were trained; the same seeds at each rate "
            "(docs/learning_rate.md)"
        )
        ds.to_zarr(STORE, mode="w")
    ds = xr.open_zarr(STORE).load()
    picture(ds)
    write_part(PAGE, __file__, tables(ds))


if __name__ == "__main__":
    main(sys.argv[1:])
