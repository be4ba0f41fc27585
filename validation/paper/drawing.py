"""Plain pictures of panels, a file each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from solspace.plots import plot_confusion, plot_extrapolation, plot_graph, save
from solspace.plots.style import (
    BLUE,
    COLUMN,
    DIVERGING,
    FONT,
    GREY,
    INK,
    LEGEND_BESIDE,
    ORANGE,
    RC,
    TARGET,
    symbol,
)
from solspace.tasks import get_task

__all__ = [
    "activity_picture",
    "beyond_picture",
    "classes_picture",
    "confusion_picture",
    "cube_picture",
    "graph_picture",
    "map_picture",
    "rows_picture",
    "trial_picture",
]

DPI = 150
# Dark enough on white, in order also in grey.
ORDERED = ("#E69F00", "#C45A64", "#8A3A8C", "#4B2E83", "#1B1444")
ARCHITECTURES = {"vanilla": BLUE, "gru": ORANGE, "lstm": "#009E73"}
NAMES = {"vanilla": "vanilla", "gru": "GRU", "lstm": "LSTM"}
LABEL = 9  # at which subscripts are over 6 pt
SLICES = (0, 20, 60, 100)  # delays of the cube that are drawn


def _axes(width: float, height: float, rows: int = 1, columns: int = 1, **more: Any) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **more)
    for one in axes.flat:
        one.tick_params(labelsize=FONT["ticks"])
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _labels(axes: Any, x: str = "", y: str = "", title: str = "") -> None:
    axes.set_xlabel(x, fontsize=LABEL)
    axes.set_ylabel(y, fontsize=LABEL)
    if title:
        axes.set_title(title, fontsize=FONT["title"])


def _keep(figure: Any, path: Path, *beside: Any) -> Path:
    import matplotlib.pyplot as plt

    path = path.with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(
        path, dpi=DPI, bbox_inches="tight", pad_inches=0.03, metadata={"Software": None},
        bbox_extra_artists=[*figure.get_default_bbox_extra_artists(), *beside],
    )  # fmt: skip
    plt.close(figure)
    return path


def _drawn(make: Any) -> Any:
    """Pictures are drawn with the type and lines of all others."""
    from functools import wraps

    @wraps(make)
    def draw(*args: Any, **options: Any) -> Path:
        import matplotlib

        with matplotlib.rc_context(RC):
            return Path(make(*args, **options))

    return draw


def _words(variable: xr.DataArray) -> str:
    """A parameter as an axis is labelled: symbol and unit."""
    unit = str(variable.attrs.get("units", "1"))
    return symbol(str(variable.name)) + ("" if unit == "1" else f" ({unit})")


def _channel(name: str) -> str:
    """An input as it is written in a picture."""
    return symbol(name) if "$" in symbol(name) else re.sub(r"(?<=[a-z]{2})(?=\d)", " ", name)


def _signed() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("output", DIVERGING)


def ordered(count: int) -> list[Any]:
    """So many colours that are read in order."""
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list("ordered", ORDERED)
    return [scale(x) for x in np.linspace(0, 1, count)]


# --------------------------------------------------------------------------- what is asked


@_drawn
def trial_picture(trial: xr.Dataset, path: Path) -> Path:
    """Inputs and target of one trial over time."""
    channels = [str(c) for c in trial["input_channel"].values]
    figure, axes = _axes(COLUMN, 1.7, 2, 1, sharex=True, gridspec_kw={"height_ratios": [1.2, 1]})
    colors = (INK, TARGET)
    for channel, color in zip(channels, colors, strict=True):
        line = trial["input"].sel(input_channel=channel)
        axes[0, 0].plot(trial["time"], line, drawstyle="steps-mid", color=color, linewidth=1.2)
        middle = float(trial["time"].values[line.values > 0].mean())
        word = _channel(channel)
        axes[0, 0].text(
            middle, float(line.max()) * 1.06, word, color=color, ha="center", va="bottom",
            fontsize=LABEL if "$" in word else FONT["ticks"],
        )  # fmt: skip
    axes[0, 0].set_ylim(0, float(trial["input"].max()) * 1.45)
    target = trial["target"].isel(output_channel=0)
    axes[1, 0].plot(trial["time"], target, drawstyle="steps-mid", color=BLUE, linewidth=1.2)
    axes[1, 0].set_ylim(min(-0.15, 1.2 * float(target.min())), max(0.3, 1.2 * float(target.max())))
    _labels(axes[0, 0], y="input")
    _labels(axes[1, 0], "time (steps)", "target")
    figure.align_ylabels()
    return _keep(figure, path)


@_drawn
def rows_picture(asked: xr.Dataset, path: Path) -> Path:
    """Trials of interval reproduction as rows: when Ready, Set and Go come."""
    figure, axes = _axes(COLUMN, 2.1)
    ax = axes[0, 0]
    for name, color, word in (("ready", INK, "Ready"), ("set", ORANGE, "Set"), ("go", BLUE, "Go")):
        on, width = asked[f"{name}_on"].values, int(asked[f"{name}_on"].attrs["width"])
        ax.barh(asked["t_in"], width, left=on - 0.5, height=1.0, color=color, linewidth=0)
        ax.text(
            on[-1] + width / 2, float(asked["t_in"][-1]) + 1.3, word, color=color,
            fontsize=FONT["ticks"], ha="center", va="bottom", weight="bold",
        )  # fmt: skip
    ax.set_ylim(float(asked["t_in"][0]) - 0.5, float(asked["t_in"][-1]) + 1.0)
    _labels(ax, "time since Ready (steps)", _words(asked["t_in"]))
    return _keep(figure, path)


def _field(ax: Any, values: xr.DataArray, x: str, y: str) -> Any:
    grid = values.transpose(y, x)
    return ax.pcolormesh(
        grid[x], grid[y], grid, cmap=_signed(), vmin=-1, vmax=1, shading="nearest",
        rasterized=True,
    )  # fmt: skip


def _trained(ax: Any, box: Mapping[str, tuple[int, int]], x: str, y: str) -> None:
    from matplotlib.patches import Rectangle

    if x in box and y in box:
        (left, right), (low, high) = box[x], box[y]
        ax.add_patch(
            Rectangle(
                (left, low), right - left, high - low, fill=False, edgecolor=INK, linewidth=1.0,
                linestyle=(0, (3, 1.5)),
            )
        )  # fmt: skip


def _scale(figure: Any, image: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, ticks=(-1, 0, 1), fraction=0.05, pad=0.03)
    bar.ax.tick_params(labelsize=FONT["ticks"])
    bar.set_label(label, fontsize=LABEL)
    bar.outline.set_linewidth(0.6)


@_drawn
def map_picture(
    values: xr.DataArray, path: Path, label: str, trained: Mapping[str, tuple[int, int]]
) -> Path:
    """A signed number over two parameters; what is trained in a dashed frame."""
    x, y = (str(d) for d in values.dims)
    figure, axes = _axes(2.75, 2.2)
    ax = axes[0, 0]
    image = _field(ax, values, x, y)
    _trained(ax, trained, x, y)
    ax.set_aspect("equal")
    _labels(ax, _words(values[x]), _words(values[y]))
    _scale(figure, image, ax, label)
    return _keep(figure, path)


@_drawn
def cube_picture(
    values: xr.DataArray,
    path: Path,
    label: str,
    trained: Mapping[str, tuple[int, int]],
    slices: Sequence[int] = SLICES,
) -> Path:
    """A signed number over three parameters: slices at some values of the third."""
    x, y, z = (str(d) for d in values.dims)
    figure, axes = _axes(COLUMN, 2.9, 2, 2, sharex=True, sharey=True, layout="constrained")
    image = None
    for ax, at in zip(axes.flat, slices, strict=True):
        image = _field(ax, values.sel({z: at}), x, y)
        if z not in trained or trained[z][0] <= at <= trained[z][1]:
            _trained(ax, trained, x, y)
        ax.set_aspect("equal")
        unit = str(values[z].attrs.get("units", "1"))
        _labels(ax, title=f"{symbol(z)} {at:g}" + ("" if unit == "1" else f" {unit}"))
    for ax in axes[-1]:
        ax.set_xlabel(_words(values[x]), fontsize=LABEL)
    for ax in axes[:, 0]:
        ax.set_ylabel(_words(values[y]), fontsize=LABEL)
    _scale(figure, image, axes, label)
    return _keep(figure, path)


# --------------------------------------------------------------------------- one network


# Of each task's epochs: what begins the first and the second, and how the lines are called.
BEGINNINGS = {
    "ready_set": ("Ready", "Ready to Set"),
    "set_go": ("Set", "Set to Go"),
    "first_interval": ("trial start", "first interval"),
    "second_interval": ("pulse 1", "second interval"),
    "delay": ("delay begins", "delay"),
}


@_drawn
def activity_picture(panel: xr.Dataset, path: Path) -> Path:
    """Activity on two principal components: the first epoch black, the second by its parameter."""
    from matplotlib.lines import Line2D

    parameter = str(panel.attrs["parameter"])
    epochs = [str(e) for e in panel["epoch"].values]
    second = [k for k, e in enumerate(epochs) if e == epochs[-1]]
    colors = dict(zip(second, ordered(len(second)), strict=True))
    figure, axes = _axes(COLUMN, 2.3)
    ax = axes[0, 0]
    handles: list[Any] = []
    for k, epoch in enumerate(epochs):
        points, trained = panel["plane"].values[k], panel["trained"].values[k] == 1
        color = colors.get(k, INK)
        if (~trained & np.isfinite(points[:, 0])).any():
            # From the last step of the epoch on.
            after = points[max(int(trained.sum()) - 1, 0) :]
            ax.plot(*after.T, color=color, linewidth=0.5, zorder=1)
        within = points[trained]
        ax.plot(*within.T, color=color, linewidth=1.4 if k in colors else 1.8, zorder=2)
        start = {"color": TARGET} if k not in colors else {"color": "#F0E442"}
        ax.plot(
            *within[0], marker="o", markersize=4.5, markeredgecolor=INK, markeredgewidth=0.6,
            linestyle="", zorder=4, **start,
        )  # fmt: skip
        if k not in colors:
            handles.append(Line2D([], [], color=INK, linewidth=1.8, label=BEGINNINGS[epoch][1]))
            handles.append(_dot(BEGINNINGS[epoch][0], TARGET))
    handles.append(_dot(BEGINNINGS[epochs[-1]][0], "#F0E442"))
    handles.append(Line2D([], [], color=INK, linewidth=0.5, label="thin: silence\ngoes on"))
    lines = [
        Line2D([], [], color=colors[k], linewidth=1.4, label=f"{panel[parameter].values[k]:g}")
        for k in second
    ]
    # The parameter's symbol stands once, large enough for its subscript.
    beside = LEGEND_BESIDE | {"title_fontsize": LABEL, "alignment": "left"}
    upper = beside | {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0)}
    lower = beside | {"loc": "lower left", "bbox_to_anchor": (1.02, 0.0)}
    marks = ax.legend(handles=handles, **upper)
    ax.add_artist(marks)
    ax.legend(handles=lines, title=_words(panel[parameter]), **lower)
    share = panel["share"].values
    _labels(ax, f"PC 1 ({share[0]:.0%} of variance)", f"PC 2 ({share[1]:.0%} of variance)")
    ax.margins(0.06)
    return _keep(figure, path, marks)


def _dot(label: str, color: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], marker="o", markersize=4.5, color=color, markeredgecolor=INK,
        markeredgewidth=0.6, linestyle="", label=label,
    )  # fmt: skip


def beyond_picture(
    panel: xr.Dataset, task: str, path: Path, trained: Mapping[str, tuple[int, int]]
) -> Path:
    """Output far beyond training: over time for interval reproduction, else what is answered."""
    if task == "interval_reproduction":
        picture = plot_extrapolation(panel, 0, task=task)
        return _saved(picture.opts(fontsize=FONT | {"labels": LABEL}, backend="matplotlib"), path)
    names = list(get_task(task).parameters)
    label = "output at the answer"
    values = as_grid(panel["response"].isel(network=0), names)
    if len(names) == 2:
        return Path(map_picture(values, path, label, trained))
    return Path(cube_picture(values, path, label, trained))


def as_grid(values: xr.DataArray, names: Sequence[str]) -> xr.DataArray:
    """Trials laid out along their parameters."""
    attrs = {name: values[name].attrs for name in names}
    kept = values.drop_vars([c for c in values.coords if c not in names])
    grid = kept.set_index(trial=list(names)).unstack("trial").transpose(*names)
    for name in names:
        grid[name].attrs = attrs[name]
    return grid


def graph_picture(panel: xr.Dataset, path: Path) -> Path:
    """The reduced-dynamics graph of the one network of a panel."""
    return _saved(plot_graph(panel, 0), path)


def _saved(picture: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (written,) = save(picture, path, formats=["png"], dpi=DPI)
    return Path(written)


# --------------------------------------------------------------------------- many networks


@_drawn
def classes_picture(counts: xr.Dataset, path: Path) -> Path:
    """Networks of each graph, stacked by architecture where there are several; the paper's beside.

    ``counts`` has ``networks`` (graph_class, architecture) and, where the paper's are known,
    ``published`` (graph_class, architecture) with NaN where they are not.
    """
    from matplotlib.patches import Patch

    names = [str(n) for n in counts["graph_class"].values]
    architectures = [str(a) for a in counts["architecture"].values]
    figure, axes = _axes(max(2.2, 0.5 * len(names) + 1.0), 2.1)
    ax = axes[0, 0]
    x = np.arange(len(names))
    sides = (("networks", -0.2, 1.0), ("published", 0.2, 0.45)) if "published" in counts else (
        ("networks", 0.0, 1.0),
    )  # fmt: skip
    width = 0.36 if len(sides) == 2 else 0.7
    top = 0.0
    for variable, shift, alpha in sides:
        foot = np.zeros(len(names))
        for architecture in architectures:
            heights = counts[variable].sel(architecture=architecture).values.astype(float)
            shown = np.nan_to_num(heights)
            ax.bar(
                x + shift, shown, width, bottom=foot, color=ARCHITECTURES[architecture],
                alpha=alpha, edgecolor=INK if variable == "published" else "white", linewidth=0.5,
                hatch="////" if variable == "published" else None,
            )  # fmt: skip
            foot += shown
        known = np.isfinite(counts[variable].values).any(axis=1)
        for at, height, there in zip(x + shift, foot, known, strict=True):
            ax.text(
                at, height, f"{height:.0f}" if there else "?", ha="center", va="bottom",
                fontsize=6.5, color=INK,
            )  # fmt: skip
        top = max(top, foot.max())
    ax.set_xticks(x, names)
    ax.tick_params(axis="x", length=0)
    ax.set_ylim(0, top * 1.15)
    ax.yaxis.get_major_locator().set_params(integer=True)
    patches = []
    if len(architectures) > 1:
        patches += [
            Patch(facecolor=ARCHITECTURES[a], label=NAMES[a]) for a in reversed(architectures)
        ]
    if len(sides) == 2:
        grey: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.5}
        one = ARCHITECTURES[architectures[0]] if len(architectures) == 1 else GREY
        patches += [
            Patch(facecolor=one, label="ours"),
            Patch(facecolor=one, alpha=0.45, hatch="////", label="the paper's", **grey),
        ]
    if patches:
        ax.legend(
            handles=patches, fontsize=FONT["legend"], frameon=False, loc="upper right",
            handlelength=1.2, labelspacing=0.3, borderaxespad=0.0,
        )  # fmt: skip
    _labels(ax, "graph, commonest first", "networks")
    return _keep(figure, path)


def confusion_picture(classification: xr.Dataset, path: Path) -> Path:
    """Shares of the classes that held-out networks are taken for."""
    return _saved(plot_confusion(classification, "published"), path)
