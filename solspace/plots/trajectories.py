"""How one network's activity moves through its state space."""

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
    INK,
    PARAMETER_COLORS,
    Key,
    Scale,
    color_scale,
    holoviews,
    legend,
    of_one,
    place,
    styled,
    symbol,
    varying,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_trajectories", "principal_plane"]

# Where epochs begin, in their order.
_MARKERS = ("^", "D", "v", "p", "P", "X", "*", "<")


def principal_plane(
    activity: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Activity in the plane of its first two principal components.

    Parameters
    ----------
    activity : array (trial, time, unit)

    Returns
    -------
    plane : array (trial, time, 2)
        Of either sign of a component, that in which its largest loading is positive.
    share : array (2,)
        Share of the variance along each.

    Examples
    --------
    >>> line = np.linspace(0, 1, 12).reshape(2, 6, 1) * [3.0, 4.0]
    >>> plane, share = principal_plane(line)
    >>> plane.shape, share.round(6).tolist()
    ((2, 6, 2), [1.0, 0.0])
    """
    points = activity.reshape(-1, activity.shape[-1]).astype(np.float64)
    there = np.isfinite(points).all(axis=1)
    if there.any() and not there.all():  # a recorded trial that ends before others
        short, share = principal_plane(points[there][None])
        plane = np.full((len(points), 2), np.nan)
        plane[there] = short[0]
        return plane.reshape(*activity.shape[:2], 2), share
    points = points - points.mean(axis=0)
    variances, axes = np.linalg.eigh(points.T @ points)
    if variances.sum() <= 0:
        raise SolspaceError("the activity does not change, so it has no principal components")
    two = axes[:, ::-1][:, :2]
    two = two * np.sign(two[np.abs(two).argmax(axis=0), np.arange(two.shape[1])])
    plane = np.zeros((len(points), 2))
    plane[:, : two.shape[1]] = points @ two
    share = np.zeros(2)
    share[: two.shape[1]] = variances[::-1][:2] / variances.sum()
    return plane.reshape(*activity.shape[:2], 2), np.clip(share, 0, 1)


def shown_trials(count: int, wanted: int) -> NDArray[np.intp]:
    """So many of the trials, evenly from the first to the last.

    Examples
    --------
    >>> shown_trials(31, 6)
    array([ 0,  6, 12, 18, 24, 30])
    """
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(np.intp))


@styled
def plot_trajectories(
    training: xr.Dataset,
    network: int | str | None = None,
    *,
    trials: Sequence[int] | int = 6,
    by: str | None = None,
) -> hv.Overlay:
    """Several trials of one network in the plane of its first two principal components.

    A line for each trial, coloured by a parameter of the trials; a mark where each epoch begins.
    The components are those of all recorded trials; for an LSTM, of the hidden state. Of a
    recording they are of the trials and units that were observed throughout, in spikes per second,
    and ``trials`` counts those.

    Parameters
    ----------
    training : Dataset
        The training group, or a recorded population.
    network : int or str, optional
        Position along ``network``, or name; not needed of one network alone.
    trials : int or sequence of int
        Which trials by position, or how many of them, evenly from the first to the last.
    by : str, optional
        The parameter of the trials that colours them; by default the first that differs.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there is no recorded activity, or no such trial or parameter.

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> from solspace.simulation.stage import record
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> type(plot_trajectories(record(ds), "mine", by="t_in")).__name__
    'Overlay'
    """
    one = of_one(training, network, ("activity", "epoch"), "record")
    activity, epoch, kept = observed(one)
    if not activity.shape[-1]:
        raise SolspaceError(f"network {network} has no recorded activity; {how_to_make('record')}")
    count = len(activity)
    if isinstance(trials, int):
        if trials < 1:
            raise SolspaceError(f"{trials} trials; give 1 or more")
        shown = shown_trials(count, trials)
    else:
        shown = np.asarray(trials, dtype=int)
        if not len(shown) or shown.min() < 0 or shown.max() >= count:
            raise SolspaceError(f"trials {list(trials)} of {count}; give some of 0 to {count - 1}")
    plane, share = principal_plane(activity)
    parameter, values = colored_by(one, kept[shown], by)
    colors = shades_of(values)
    meanings = str(one["epoch"].attrs.get("flag_meanings", "")).split()
    known = [int(e) for e in np.unique(epoch[shown][np.isfinite(plane[shown, :, 0])])]
    names = {e: meanings[e] if e < len(meanings) else f"epoch {e}" for e in known}
    first, last = _ends(plane[shown])
    hv = holoviews()
    axes = ["component 1", "component 2"]
    parts = [
        hv.Path([plane[trial][np.isfinite(plane[trial, :, 0])]], axes).opts(
            color=color, linewidth=1.3, backend="matplotlib"
        )
        for trial, color in zip(shown, colors, strict=True)
    ]
    keys = []
    ends = hv.Points(last, axes).opts(color=INK, marker="s", s=11, backend="matplotlib")
    parts.append(ends)
    marked = [e for e in known if e >= 0]
    begun = 0
    for e in marked:
        found = [(k, _begins(epoch[trial], e)) for k, trial in enumerate(shown)]
        at = [(k, step) for k, step in found if step > 0 and np.isfinite(plane[shown[k], step, 0])]
        if not at:
            continue
        marker = _MARKERS[begun % len(_MARKERS)]
        begun += 1
        spots = np.array([plane[shown[k], step] for k, step in at])
        same = len(np.unique(spots.round(9), axis=0)) == 1
        for spot, (k, _) in list(zip(spots, at, strict=True))[: 1 if same else None]:
            parts.append(
                hv.Points([tuple(spot)], axes).opts(
                    color="white" if same else colors[k],
                    edgecolor=INK,
                    marker=marker,
                    s=20,
                    linewidth=0.6,
                    backend="matplotlib",
                )
            )
        keys.append(
            Key(f"{names[e].replace('_', ' ')} begins", INK, marker=marker, face="white", size=4.2)
        )
    starts = hv.Points(np.unique(first.round(9), axis=0), axes).opts(
        color="white", edgecolor=INK, marker="o", s=28, linewidth=1.1, backend="matplotlib"
    )
    keys = [
        Key("first step", INK, marker="o", face="white", size=5.2),
        *keys,
        Key("last step", INK, marker="s", size=3.3),
    ]
    scale = scale_of(one, parameter, values)
    picture = hv.Overlay([*parts, starts]).opts(
        fig_inches=(COLUMN, 2.6),
        xlabel=f"PC 1 ({share[0]:.0%} of variance)",
        ylabel=f"PC 2 ({share[1]:.0%} of variance)",
        fontsize=FONT,
        padding=0.06,
        show_legend=False,
        hooks=[_legend(keys, scale)],
        backend="matplotlib",
    )
    return both(picture, keys, [scale] if scale else [])


def observed(one: xr.Dataset) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
    """Activity and epochs of one network, without padding, and which trials these are of.

    Of a recording the trials and units that were observed throughout.
    """
    from solspace.plots.style import is_recorded

    activity, epoch = one["activity"].values, one["epoch"].values
    activity = activity[..., ~np.isnan(activity).all(axis=(0, 1))]
    kept = np.arange(len(activity))
    if is_recorded(one):
        from solspace.features.recorded import complete_part

        part = complete_part(activity, epoch)
        return part.activity, part.epoch, kept[part.trials]
    return activity, epoch, kept


def colored_by(
    one: xr.Dataset, trials: NDArray[np.intp], by: str | None
) -> tuple[str, NDArray[np.float64]]:
    """The parameter that colours these trials, and its value for each; their number without one."""
    names = varying(one)
    if by is None:
        by = next(iter(varying(one, trials) or names), "")
    if not by:
        return "trial", trials.astype(float)
    if by not in names:
        raise SolspaceError(
            f"no parameter {by!r} that differs between trials; parameters: "
            f"{', '.join(names) or 'none'}"
        )
    return by, one[by].values[trials].astype(float)


def shades_of(values: NDArray[np.float64], colors: tuple[str, ...] = PARAMETER_COLORS) -> list[str]:
    """The colour of each value on the scale from the smallest to the largest."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    shades = LinearSegmentedColormap.from_list("shades", colors)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    span = high - low or 1.0
    return [to_hex(shades((value - low) / span)) for value in values]


def scale_of(one: xr.Dataset, parameter: str, values: NDArray[np.float64]) -> Scale | None:
    """The bar of colours beside, where there is more than one value."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low == high:
        return None
    unit = str(one[parameter].attrs.get("units", "")) if parameter in one.variables else ""
    label = symbol(parameter) + (f" ({unit})" if unit not in ("", "1") else "")
    return Scale(label, low, high, PARAMETER_COLORS)


def _begins(epoch: NDArray[Any], flag: int) -> int:
    """The first step of an epoch in a trial; -1 where it has none."""
    inside = np.flatnonzero(epoch == flag)
    return int(inside[0]) if len(inside) else -1


def _ends(plane: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first and the last point of each trial."""
    there = np.isfinite(plane[..., 0])
    row = np.arange(len(plane))
    last = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    return plane[row, there.argmax(axis=1)], plane[row, last]


def _legend(keys: list[Key], scale: Scale | None) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, (0.13, 0.16, 0.55, 0.78))
        axes.spines[["top", "right"]].set_visible(False)
        if scale is None:
            legend(axes, keys)
            return
        color_scale(axes, scale, (1.08, 0.6, 0.05, 0.38))
        legend(axes, keys, loc="upper left", bbox_to_anchor=(1.02, 0.52))

    return hook
