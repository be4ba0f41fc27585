"""What one network puts out on trials outside of those it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    COLUMN,
    DIVERGING,
    FONT,
    INK,
    SEQUENTIAL,
    Key,
    Scale,
    color_scale,
    holoviews,
    of_one,
    place,
    styled,
    symbol,
)
from solspace.population.describe import task_of
from solspace.tasks import Task

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["choose_trials", "onsets", "plot_extrapolation", "trained_values"]

_NEEDS = ("output", "input", "target")
_DASHES = ((0, (1, 1.6)), (0, (4, 2)), (0, (4, 1.5, 1, 1.5)))
NO_TRIAL = "#E4E4E4"
# Neither of the blues nor of the ambers that outputs have, also in grey.
TARGET_BAND, TARGET_INK = "#EBA6C9", "#A8447E"
_SOMETHING = 0.1  # output that counts
# Share of the height kept free above the image for the names of the lines.
_HEADROOM = 0.09


def onsets(channel: NDArray[Any]) -> NDArray[np.float64]:
    """First step of each trial at which a channel is not zero; NaN where it is throughout.

    Parameters
    ----------
    channel : array (trial, time)

    Returns
    -------
    array (trial,)

    Examples
    --------
    >>> onsets(np.array([[0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]))
    array([ 2., nan])
    """
    active = np.asarray(channel) != 0
    return np.where(active.any(axis=1), active.argmax(axis=1), np.nan)


def trained_values(task: Task) -> dict[str, NDArray[Any]]:
    """The values of each trial parameter in a training set and the recorded trials together.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> values = trained_values(get_task("delayed_discrimination"))["delay"]
    >>> values.min().item(), values.max().item()
    (0, 19)
    """
    sets = task.training_trials(np.random.default_rng(0)), task.recorded_trials()
    return {
        name: np.concatenate([np.asarray(trials.parameters[name]) for trials in sets])
        for name in task.parameters
    }


def choose_trials(
    values: Mapping[str, NDArray[Any]],
    target: NDArray[Any],
    trained: Mapping[str, NDArray[Any]],
    rows: str | None = None,
    at: Mapping[str, float] | None = None,
) -> tuple[str, dict[str, float], NDArray[np.intp]]:
    """Which parameter runs up the picture, where the others are held, and the trials in order.

    By default the parameter along which the target takes the most courses, the last of those
    where several are equal; the others at the value nearest the middle of the trained ones.

    Parameters
    ----------
    values : mapping of str to array (trial,)
    target : array (trial, time)
    trained : mapping of str to array
    rows : str, optional
    at : mapping of str to float, optional

    Examples
    --------
    >>> t1, t2 = np.array([10, 10, 20, 20, 20]), np.array([20, 30, 10, 30, 40])
    >>> values = {"t1": t1, "t2": t2}
    >>> choose_trials(values, np.stack([t1, t2], axis=1), values)
    ('t2', {'t1': 20}, array([2, 3, 4]))
    """
    if rows is not None:
        if rows not in values:
            raise SolspaceError(f"no trial parameter {rows!r}; parameters: {', '.join(values)}")
        return (rows, *_along(rows, values, trained, at or {}))
    options = []
    for number, name in enumerate(values):
        if name in (at or {}):
            continue
        held, trials = _along(name, values, trained, at or {})
        options.append((len(np.unique(target[trials], axis=0)), number, name, held, trials))
    if not options:
        raise SolspaceError("every trial parameter is held by at={...}; leave one out")
    return max(options, key=lambda option: option[:2])[2:]


def _along(
    rows: str,
    values: Mapping[str, NDArray[Any]],
    trained: Mapping[str, NDArray[Any]],
    at: Mapping[str, float],
) -> tuple[dict[str, float], NDArray[np.intp]]:
    """The values of all other parameters, and the trials that have them, in order of the rows."""
    chosen = np.ones(len(values[rows]), bool)
    held: dict[str, float] = {}
    for name, value in values.items():
        if name == rows:
            continue
        known = np.unique(value[chosen])
        wanted = at.get(name, np.median(trained[name]) if name in trained else known[0])
        held[name] = known[np.argmin(np.abs(known - wanted))].item()
        if name in at and held[name] != at[name]:
            raise SolspaceError(
                f"no trial has {name} = {at[name]}; values: {', '.join(map(str, known))}"
            )
        chosen &= value == held[name]
    order = np.flatnonzero(chosen)
    return held, order[np.argsort(values[rows][order], kind="stable")]


@styled
def plot_extrapolation(
    extrapolation: xr.Dataset,
    network: int | str | None = None,
    *,
    task: str | Task | None = None,
    rows: str | None = None,
    at: Mapping[str, float] | None = None,
    channel: int = 0,
) -> hv.Overlay:
    """One network's output over time, a row for each trial, with what came in and was asked for.

    Black lines are the onsets of the inputs; what was asked for is a band under the output, which
    shows through wherever the network does not answer. Time ends after the last output and the last
    target. The bar on the right marks the rows within the trained range; a grey row is one that no
    trial stands for.

    Parameters
    ----------
    extrapolation : Dataset
        The extrapolation group.
    network : int or str, optional
        Position along ``network``, or name; not needed of one network alone.
    task : str or Task, optional
        By default the dataset's own.
    rows : str, optional
        The trial parameter that runs upwards. By default that along which the target differs
        most.
    at : mapping of str to float, optional
        Where the other parameters are held. By default near the middle of the trained values.
    channel : int
        Which output.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there is no recorded output, or no such trial.

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> from solspace.simulation.stage import extrapolate
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> picture = plot_extrapolation(extrapolate(ds), "mine")
    >>> type(picture).__name__
    'Overlay'
    """
    one = of_one(extrapolation, network, _NEEDS, "extrapolate")
    task = task_of(extrapolation, task)
    values = {n: one[n].values for n in task.parameters if n in one.variables}
    if not values:
        raise SolspaceError(
            f"the dataset has no parameter of {task.name} on its trials "
            f"({', '.join(task.parameters)}); {how_to_make('extrapolate')}"
        )
    trained = trained_values(task)
    wanted = np.nan_to_num(one["target"].isel(output_channel=channel).values)
    rows, held, trials = choose_trials(values, wanted, trained, rows, at)
    output = one["output"].isel(trial=trials, output_channel=channel).values
    if np.isnan(output).all():
        raise SolspaceError(
            f"network {network} has no recorded output; {how_to_make('extrapolate')}"
        )
    y, image = _evenly(values[rows][trials], output.astype(float))
    inputs = one["input"].isel(trial=trials).values
    target = wanted[trials]
    at_row = values[rows][trials]
    signed = bool((target < 0).any())
    steps = _last_step(output, target)
    image = image[:, :steps]
    lines: list[tuple[str, NDArray[Any], Any]] = [
        (name, onsets(inputs[..., c]), _DASHES[c % len(_DASHES)])
        for c, name in enumerate(task.inputs)
    ]
    hv = holoviews()
    half = (y[1] - y[0]) / 2 if len(y) > 1 else 0.5
    low, high = y[0] - half, y[-1] + half
    top = high + _HEADROOM * (high - low)
    dims = ["time", rows]
    asked_for = f"{task.outputs[channel]} asked for"
    parts: list[Any] = []
    bands = _bands(target[:, :steps], at_row, half, 0.012 * steps)
    if bands:
        parts.append(
            hv.Rectangles(bands, kdims=["left", "bottom", "right", "top"]).opts(
                facecolor=TARGET_BAND, edgecolor="none", linewidth=0, backend="matplotlib"
            )
        )
    parts.append(
        hv.Image((np.arange(steps), y, image), kdims=dims, vdims=["output value"]).opts(
            cmap=_colormap(signed),
            clim=(-1, 1) if signed else (0, 1),
            clipping_colors={"NaN": NO_TRIAL},
            backend="matplotlib",
        )
    )
    names = []
    for name, onset, style in lines:
        there = ~np.isnan(onset) & (onset < steps)
        if not there.any():
            continue
        parts.append(
            hv.Curve((onset[there], at_row[there]), "time", rows).opts(
                color=INK, linestyle=style, linewidth=1.0, backend="matplotlib"
            )
        )
        names.append((onset[there][-1], high + 0.02 * (high - low), name, INK))
    first = onsets(target)
    there = ~np.isnan(first) & (first < steps)
    if there.any():
        names.append((first[there][-1], high + 0.02 * (high - low), asked_for, TARGET_INK))
    right = steps * 1.05
    parts += [
        hv.Labels([(x, at_y, name)], dims, "text").opts(
            color=color,
            size=FONT["ticks"],
            verticalalignment="bottom",
            horizontalalignment="left" if x < 0.08 * steps else "center",
            backend="matplotlib",
        )
        for x, at_y, name, color in _apart(names, steps)
    ]
    if rows in trained:
        span = max(float(trained[rows].min()), low), min(float(trained[rows].max()), high)
        parts += [
            hv.Curve(([steps * 1.02] * 2, span), "time", rows).opts(
                color=INK, linewidth=2.5, backend="matplotlib"
            ),
            hv.Labels([(steps * 1.035, sum(span) / 2, "trained")], dims, "text").opts(
                color=INK,
                size=FONT["ticks"],
                rotation=90,
                horizontalalignment="left",
                verticalalignment="center",
                backend="matplotlib",
            ),
        ]
        right = steps * 1.1
    title = ", ".join(f"{symbol(name)} = {value:g}" for name, value in held.items())
    title = title.replace("{", "{{").replace("}", "}}")  # HoloViews fills in braces
    scale = Scale(
        "output",
        -1 if signed else 0,
        1,
        DIVERGING if signed else SEQUENTIAL,
        (-1, 0, 1) if signed else (0, 0.5, 1),
    )
    picture = hv.Overlay(parts).opts(
        title=title,
        fig_inches=(COLUMN, 2.45),
        xlim=(-0.5, right),
        ylim=(low, top),
        xlabel="time (steps)",
        ylabel=symbol(rows) + _unit(task, rows),
        fontsize=FONT,
        show_legend=False,
        hooks=[_frame(high, steps, right, scale)],
        backend="matplotlib",
    )
    return both(picture, [Key(asked_for, TARGET_BAND, patch=True)], [scale])


def _last_step(output: NDArray[Any], target: NDArray[Any]) -> int:
    """Where time ends: a little after all that is put out and all that is asked for."""
    there = (np.abs(np.nan_to_num(output)) > _SOMETHING).any(axis=0) | (target != 0).any(axis=0)
    used = np.flatnonzero(there)
    return min(output.shape[1], int(1.04 * (used[-1] + 1)) + 1) if len(used) else output.shape[1]


def _bands(
    target: NDArray[Any], rows: NDArray[Any], half: float, beside: float
) -> list[tuple[float, float, float, float]]:
    """Where something is asked for, a rectangle for each stretch of each row, a little wider."""
    found = []
    for row, wanted in zip(rows, target, strict=True):
        edges = np.flatnonzero(np.diff((wanted != 0).astype(np.int8), prepend=0, append=0))
        found += [
            (float(first - 0.5 - beside), float(row - half), float(last - 0.5 + beside),
             float(row + half))
            for first, last in zip(edges[::2], edges[1::2], strict=True)
        ]  # fmt: skip
    return found


def _evenly(
    values: NDArray[Any], rows: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rows on an even grid, NaN where no trial has the value."""
    if len(values) < 2:
        return values.astype(float), rows
    step = np.diff(values).min()
    if step <= 0:
        raise SolspaceError("two trials have the same parameters; hold the others by at={...}")
    grid = np.arange(values[0], values[-1] + step / 2, step)
    image = np.full((len(grid), rows.shape[1]), np.nan)
    image[np.rint((values - values[0]) / step).astype(int)] = rows
    return grid.astype(float), image


def _unit(task: Task, parameter: str) -> str:
    """The unit of a parameter in brackets; nothing for a pure number."""
    unit = task.parameter_units.get(parameter, "1")
    return "" if unit == "1" else f" ({unit})"


def _colormap(signed: bool) -> Any:
    """White is left clear, so that what was asked for shows through where nothing is put out."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    colors = DIVERGING if signed else SEQUENTIAL
    clear = [to_rgba(c, 0.0 if c == "#FFFFFF" else 1.0) for c in colors]
    return LinearSegmentedColormap.from_list("output", clear)


def _apart(
    names: list[tuple[float, float, str, str]], steps: int
) -> list[tuple[float, float, str, str]]:
    """Names of the lines moved along where they would run into each other."""
    placed: list[tuple[float, float, str, str]] = []
    right = -np.inf
    for x, y, name, color in sorted(names):
        half = 0.0125 * steps * len(name)
        x = max(x, right + half + 0.02 * steps) if placed else x
        right = x + (2 * half if not placed and x < 0.08 * steps else half)
        placed.append((x, y, name, color))
    return placed


def _frame(high: float, steps: int, right: float, scale: Scale) -> Any:
    """Frame around the image only, and the scale of its colours."""

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, (0.15, 0.17, 0.68, 0.7))
        low = axes.get_ylim()[0]
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines["left"].set_bounds(low, high)
        axes.spines["bottom"].set_bounds(axes.get_xlim()[0], steps)
        axes.set_yticks([t for t in axes.get_yticks() if low <= t <= high])
        axes.set_xticks([t for t in axes.get_xticks() if 0 <= t <= steps])
        axes.set_xlim(-0.5, right)
        color_scale(axes, scale, (1.02, 0.0, 0.035, 1 / (1 + _HEADROOM)))

    return hook
