"""How one network's activity moves through its state space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.style import COLUMN, EPOCH_COLORS, FONT, INK, LEGEND_BESIDE, holoviews, pick
from solspace.population.describe import named_of
from solspace.tasks import get_task
from solspace.tasks.registry import is_known

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_trajectories", "principal_plane"]

_NO_EPOCH = "#D9D9D9"


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


def plot_trajectories(
    training: xr.Dataset, network: int | str, *, trials: Sequence[int] | int = 6
) -> hv.Overlay:
    """Several trials of one network in the plane of its first two principal components.

    The components are those of all recorded trials; for an LSTM, of the hidden state. Of a
    recording they are of the trials and units that were observed throughout, in spikes per second,
    and ``trials`` counts those.

    Parameters
    ----------
    training : Dataset
        The training group, or a recorded population.
    network : int or str
        Position along ``network``, or name.
    trials : int or sequence of int
        Which trials by position, or how many of them, evenly from the first to the last.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there is no recorded activity, or no such trial.

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> from solspace.simulation.stage import record
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> type(plot_trajectories(record(ds), "mine")).__name__
    'Overlay'
    """
    i = pick(training, network, ("activity", "epoch"), "record")
    activity = training["activity"].isel(network=i).values
    activity = activity[..., ~np.isnan(activity).all(axis=(0, 1))]
    epoch = training["epoch"].values
    recorded = "network" in training["epoch"].dims
    if recorded:
        from solspace.features.recorded import complete_part

        activity, epoch = complete_part(activity, epoch[i])[:2]
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
    meanings = str(training["epoch"].attrs.get("flag_meanings", "")).split()
    known = [int(e) for e in np.unique(epoch[shown][np.isfinite(plane[shown, :, 0])])]
    names = {e: meanings[e] if e < len(meanings) else f"epoch {e}" for e in known}
    at = {e: _place(training, names[e], e) if recorded else e for e in known}
    colors = {e: EPOCH_COLORS[at[e] % len(EPOCH_COLORS)] if e >= 0 else _NO_EPOCH for e in known}
    names |= {-1: "no epoch"}
    first, last = _ends(plane[shown])
    hv = holoviews()
    axes = ["component 1", "component 2"]
    parts = [
        hv.Path(
            [piece for trial in shown for piece in _pieces(plane[trial], epoch[trial], e)], axes
        ).opts(color=colors[e], linewidth=1.3, alpha=0.9, backend="matplotlib")
        for e in known
    ]
    starts = hv.Points(np.unique(first.round(9), axis=0), axes).opts(
        color="white", edgecolor=INK, marker="o", s=28, linewidth=1.1, backend="matplotlib"
    )
    ends = hv.Points(last, axes).opts(color=INK, marker="s", s=9, backend="matplotlib")
    return hv.Overlay([*parts, ends, starts]).opts(
        fig_inches=(COLUMN, 2.45),
        xlabel=f"PC 1 ({share[0]:.0%} of variance)",
        ylabel=f"PC 2 ({share[1]:.0%} of variance)",
        fontsize=FONT,
        padding=0.06,
        show_legend=False,
        hooks=[_legend({names[e].replace("_", " "): colors[e] for e in known})],
        backend="matplotlib",
    )


def _pieces(points: NDArray[Any], epoch: NDArray[Any], index: int) -> list[NDArray[Any]]:
    """The stretches of one epoch, each from the last point of the stretch before."""
    # Past its end a recorded trial is nowhere.
    inside = np.flatnonzero((epoch == index) & np.isfinite(points[:, 0]))
    if not len(inside):
        return []
    parts = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
    pieces = [points[max(part[0] - 1, 0) : part[-1] + 1] for part in parts]
    return [piece[np.isfinite(piece[:, 0])] for piece in pieces]


def _place(ds: xr.Dataset, name: str, flag: int) -> int:
    """Which of the colours an epoch of a recording has: that of the task's own epoch.

    Of no task the first colour, which says that nothing happens yet, is left out.
    """
    task = named_of(ds, "task")
    epochs = get_task(task).epochs if task and is_known(task) else ()
    return epochs.index(name) if name in epochs else flag + 1


def _ends(plane: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first and the last point of each trial."""
    there = np.isfinite(plane[..., 0])
    row = np.arange(len(plane))
    last = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    return plane[row, there.argmax(axis=1)], plane[row, last]


def _legend(colors: dict[str, str]) -> Any:
    def hook(plot: Any, element: Any) -> None:
        from matplotlib.lines import Line2D

        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        axes.set_position((0.13, 0.17, 0.56, 0.76))
        axes.spines[["top", "right"]].set_visible(False)
        lines = [Line2D([], [], color=c, linewidth=1.8, label=n) for n, c in colors.items()]
        marks = [
            Line2D(
                [], [], linestyle="", marker="o", markersize=5, markerfacecolor="white",
                markeredgecolor=INK, label="first step",
            ),
            Line2D([], [], linestyle="", marker="s", markersize=3, color=INK, label="last step"),
        ]  # fmt: skip
        axes.legend(handles=lines + marks, **LEGEND_BESIDE)

    return hook
