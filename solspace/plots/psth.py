"""Activity of single units over time, averaged by condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    COLUMN,
    FONT,
    GREY,
    INK,
    Key,
    Scale,
    color_scale,
    holoviews,
    is_recorded,
    legend,
    of_one,
    place,
    styled,
)
from solspace.plots.trajectories import colored_by, scale_of, shades_of

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_psth"]

_MOST = 12  # conditions; of more, evenly from the lowest to the highest
_GAP = 0.25  # between two units, in shares of the range of one


@styled
def plot_psth(
    training: xr.Dataset,
    network: int | str | None = None,
    *,
    units: Sequence[int] | int = 4,
    by: str | None = None,
    align: str | None = None,
) -> hv.Overlay:
    """Activity of units over time, averaged over the trials of each condition.

    Units stand one above the other on one scale, a line for each value of the parameter that tells
    conditions. Of a recording these are rates, and what was not observed is left out of averages.

    Parameters
    ----------
    training : Dataset
        The training group, or a recorded population.
    network : int or str, optional
        Position along ``network``, or name; not needed of one network alone.
    units : int or sequence of int
        Which units by position along ``unit``, or how many: those whose activity differs most over
        time and conditions.
    by : str, optional
        The parameter of the trials that tells conditions; by default the first that differs.
    align : str, optional
        The epoch at whose first step time is 0; by default time is the dataset's own.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there is no recorded activity, or no such unit, parameter or epoch.

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> from solspace.simulation.stage import record
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> type(plot_psth(record(ds), "mine", align="set")).__name__
    'Overlay'
    """
    one = of_one(training, network, ("activity", "epoch"), "record")
    activity = one["activity"].values.astype(float)
    seen = np.isfinite(activity).any(axis=(0, 1))
    if not seen.any():
        raise SolspaceError(f"network {network} has no recorded activity; {how_to_make('record')}")
    kept = np.flatnonzero(np.isfinite(activity).any(axis=(1, 2)))
    parameter, values = colored_by(one, kept, by)
    activity = activity[kept]
    time = one["time"].values.astype(float) if "time" in one.variables else np.arange(
        activity.shape[1], dtype=float
    )  # fmt: skip
    if align is not None:
        activity, time = _aligned(one, activity, one["epoch"].values[kept], time, align)
    known = np.unique(values[np.isfinite(values)])
    if len(known) > _MOST:
        known = known[np.unique(np.linspace(0, len(known) - 1, _MOST).round().astype(int))]
    mean = np.stack([_mean(activity[values == value]) for value in known])
    chosen = _units(units, mean, seen)
    mean = mean[..., chosen]
    inside = np.isfinite(mean).any(axis=(0, 2))
    mean, time = mean[:, inside], time[inside]
    step = (1 + _GAP) * float(np.nanmax(np.nanmax(mean, (0, 1)) - np.nanmin(mean, (0, 1)))) or 1.0
    hv = holoviews()
    colors = shades_of(known)
    parts: list[Any] = []
    ticks = []
    for row, unit in enumerate(chosen):
        foot = (len(chosen) - 1 - row) * step
        base = float(np.nanmin(mean[..., row]))
        ticks.append((foot + 0.3 * step, f"unit {unit}"))
        for k, color in enumerate(colors):
            there = np.isfinite(mean[k, :, row])
            parts.append(
                hv.Curve((time[there], mean[k, there, row] - base + foot), "time", "activity").opts(
                    color=color, linewidth=1.1, backend="matplotlib"
                )
            )
    bar = _round(0.5 * step / (1 + _GAP))
    span = float(time[-1] - time[0])
    at = float(time[-1] + 0.03 * span)
    parts.append(
        hv.Curve(([at, at], [0.0, bar]), "time", "activity").opts(
            color=INK, linewidth=2.0, backend="matplotlib"
        )
    )
    if align is not None:
        parts.append(hv.VLine(0).opts(color=GREY, linewidth=0.8, linestyle="--",
                                      backend="matplotlib"))  # fmt: skip
    unit_of = "spikes/s" if is_recorded(one) else "(activity)"
    keys = [Key(f"{bar:g} {unit_of}", INK, marker="|", size=9)]
    if align is not None:
        keys.append(Key(f"{align.replace('_', ' ')} begins", GREY, line="--", width=0.8))
    scale = scale_of(one, parameter, known)
    in_steps = not is_recorded(one)
    unit_t = "steps" if in_steps else str(one["time"].attrs.get("units", "ms"))
    picture = hv.Overlay(parts).opts(
        fig_inches=(COLUMN, 0.5 * len(chosen) + 0.75),
        xlim=(float(time[0]), at + 0.02 * span),
        ylim=(-0.05 * step, len(chosen) * step - 0.1 * step),
        yticks=ticks,
        xlabel=f"time ({unit_t})",
        ylabel="",
        fontsize=FONT,
        show_legend=False,
        hooks=[_finish(keys, scale, 0.5 * len(chosen) + 0.75)],
        backend="matplotlib",
    )
    return both(picture, keys, [scale] if scale else [])


def _mean(trials: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over what was observed; NaN where nothing was."""
    there = np.isfinite(trials)
    count = there.sum(axis=0)
    total = np.where(there, trials, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _aligned(
    one: xr.Dataset,
    activity: NDArray[Any],
    epoch: NDArray[Any],
    time: NDArray[np.float64],
    align: str,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Trials moved so that an epoch begins at the same step, and time from there."""
    meanings = str(one["epoch"].attrs.get("flag_meanings", "")).split()
    if align not in meanings:
        raise SolspaceError(f"no epoch {align!r}; epochs: {', '.join(meanings)}")
    inside = epoch == meanings.index(align)
    if not inside.any():
        raise SolspaceError(f"no trial has the epoch {align!r}")
    first = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
    latest, steps = int(first.max()), activity.shape[1]
    moved = np.full((len(activity), 2 * steps, activity.shape[2]), np.nan)
    for k, begin in enumerate(first):
        if begin >= 0:
            moved[k, latest - begin : latest - begin + steps] = activity[k]
    width = float(time[1] - time[0]) if len(time) > 1 else 1.0
    return moved, (np.arange(2 * steps) - latest) * width


def _units(units: Sequence[int] | int, mean: NDArray[Any], seen: NDArray[np.bool_]) -> list[int]:
    """The units asked for, or so many of those that differ most."""
    there = np.flatnonzero(seen)
    if isinstance(units, int):
        if units < 1:
            raise SolspaceError(f"{units} units; give 1 or more")
        spread = np.nanstd(mean[..., there].reshape(-1, len(there)), axis=0)
        return sorted(there[np.argsort(-spread, kind="stable")[:units]].tolist())
    if wrong := [u for u in units if u not in there]:
        raise SolspaceError(f"no unit {wrong[0]}; units: {there[0]} to {there[-1]}")
    if not len(units):
        raise SolspaceError("no units; give one or more")
    return [int(u) for u in units]


def _round(value: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten below."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(k for k in (1, 2, 5) if k * power <= value * (1 + 1e-9)))


def _finish(keys: list[Key], scale: Scale | None, high: float) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, (0.15, 0.42 / high, 0.56, 1 - 0.5 / high))
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        if scale is not None:
            color_scale(axes, scale, (1.06, 0.5, 0.05, 0.48))
            legend(axes, keys, loc="upper left", bbox_to_anchor=(1.02, 0.4))
        else:
            legend(axes, keys)

    return hook
