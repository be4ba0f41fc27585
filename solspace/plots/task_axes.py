"""How activity moves along the axes of a task, of recordings and networks side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.style import (
    FONT,
    GREY,
    INK,
    PAGE,
    PARAMETER_COLORS,
    Key,
    Scale,
    color_scale,
    holoviews,
    legend,
    styled,
)
from solspace.plots.trajectories import shades_of

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_task_axes"]

MOST = 4  # panels side by side
# In inches: before the first panel, between panels, beside the last, above, between rows, below.
_LEFT, _GAP, _RIGHT, _TOP, _BETWEEN, _BELOW = 0.62, 0.36, 1.3, 0.3, 0.3, 0.42
_HIGH = 1.3


class _Row(NamedTuple):
    """What a row of panels shows."""

    axis: str
    context: float | None
    words: str


@styled
def plot_task_axes(found: xr.Dataset | Mapping[str, xr.Dataset]) -> hv.Layout:
    """Trajectories on the axes of the choice and of the input that counts, in each context.

    A column for each recording or network, a row for each context. A line is the mean over the
    conditions of one coherence of the input that counts, coloured by it; it begins at the circle.
    Where trials have no context there is one row, of the first two axes.

    Parameters
    ----------
    found : Dataset, or mapping of str to Dataset
        What `solspace.task_axes` returns of one network or recording each; up to four by name.

    Returns
    -------
    holoviews.Layout
        As wide as a page.

    Raises
    ------
    SolspaceError
        Where a dataset is none of those or of several networks, has less than two axes, or there
        are more than four.

    References
    ----------
    Mante, Sussillo, Shenoy & Newsome, Nature 2013, Figures 2 and 5.

    Examples
    --------
    >>> import xarray as xr
    >>> path = np.random.default_rng(0).normal(size=(1, 4, 5, 2)).cumsum(axis=2)
    >>> ds = xr.Dataset({"trajectory": (("network", "trial", "time", "axis"), path)},
    ...                 {"axis": ["choice", "side"], "side": ("trial", [-1, -1, 1, 1])})
    >>> len(plot_task_axes(ds))
    1
    """
    import xarray as xr

    given = {"": found} if isinstance(found, xr.Dataset) else dict(found)
    if not 0 < len(given) <= MOST:
        raise SolspaceError(f"{len(given)} recordings and networks; give 1 to {MOST}")
    ones = {name: _one(ds) for name, ds in given.items()}
    first = next(iter(ones.values()))
    rows = _rows(first)
    wide = (PAGE - _LEFT - _RIGHT - _GAP * (len(ones) - 1)) / len(ones)
    wide = min(wide, 2.2)
    size = (PAGE, _TOP + len(rows) * _HIGH + (len(rows) - 1) * _BETWEEN + _BELOW)
    keys = [
        Key("first bin", INK, marker="o", face="white", size=4),
        Key("last bin", INK, marker="s", size=3),
    ]
    panels = []
    for r, row in enumerate(rows):
        for c, (name, one) in enumerate(ones.items()):
            box = (
                _LEFT + c * (wide + _GAP),
                _TOP + r * (_HIGH + _BETWEEN),
                wide,
                _HIGH,
            )
            last = c == len(ones) - 1
            panel, scale = _panel(one, row, rows)
            own = keys if last and r == 0 else []
            panel.opts(
                fig_inches=(wide + 1.0, _HIGH + 0.8),
                title=name if r == 0 else "",
                xlabel=f"{_words(str(one.axis.values[0]))} axis" if r == len(rows) - 1 else "",
                ylabel=row.words if c == 0 else "",
                fontsize=FONT | {"title": 7, "labels": 7, "ticks": 6.5},
                show_legend=False,
                hooks=[_placed(box, size, own, scale if last and r == 0 else None)],
                backend="matplotlib",
            )
            panels.append(both(panel, keys, [scale]))
    hv = holoviews()
    layout = hv.Layout(panels).cols(len(ones))
    layout.opts(shared_axes=False, backend="bokeh")
    return layout.opts(
        fig_inches=size, sublabel_format="", shared_axes=False, fontsize={"title": 9},
        backend="matplotlib",
    )  # fmt: skip


def _one(ds: xr.Dataset) -> xr.Dataset:
    if "trajectory" not in ds.variables:
        raise SolspaceError(
            "the dataset has no trajectory on axes; give what solspace.task_axes(ds) returns"
        )
    if "network" in ds["trajectory"].dims:
        if ds.sizes["network"] != 1:
            raise SolspaceError(
                f"{ds.sizes['network']} networks; give one each: found.isel(network=[0])"
            )
        ds = ds.isel(network=0)
    if ds.sizes["axis"] < 2:
        raise SolspaceError(f"{ds.sizes['axis']} axis; give two or more")
    if not np.isfinite(ds["trajectory"].values).any():
        raise SolspaceError(f"there are no axes: {ds['fault'].item() if 'fault' in ds else ''}")
    return ds


def _words(name: str) -> str:
    return name.replace("coherence_", "stream ").replace("_", " ")


def _rows(one: xr.Dataset) -> list[_Row]:
    """The input that counts in each context; the second axis where there are none."""
    axes = one["axis"].values.astype(str).tolist()
    streams = [a for a in axes if a.startswith("coherence_")]
    if "context" in one.coords and len(streams) > 1:
        return [
            _Row(stream, float(k), f"{_words(stream)} axis\n(context {k})")
            for k, stream in enumerate(sorted(streams), 1)
        ]
    return [_Row(axes[1], None, f"{_words(axes[1])} axis")]


def _lines(one: xr.Dataset, row: _Row) -> tuple[NDArray[Any], NDArray[Any]]:
    """Means over conditions of one value (line, time, axis), and the values."""
    path = one["trajectory"].transpose("trial", "time", "axis").values
    kept = np.isfinite(path).all(axis=(1, 2))
    if row.context is not None:
        kept &= one["context"].values == row.context
    known = one[row.axis].values if row.axis in one.coords else np.arange(len(path))
    values = np.unique(known[kept])
    lines = [path[kept & (known == v)].mean(axis=0) for v in values]
    return np.stack(lines), values.astype(float)


def _panel(one: xr.Dataset, row: _Row, rows: list[_Row]) -> tuple[Any, Scale]:
    hv = holoviews()
    axes = one["axis"].values.astype(str).tolist()
    across = [0, axes.index(row.axis)]
    lines, values = _lines(one, row)
    dims = ["along the first", "along the other"]
    # Of one recording or network both rows have the same scale.
    parts = [_lines(one, r)[0][..., [0, axes.index(r.axis)]] for r in rows]
    most = [1.12 * max(float(np.abs(p[..., k]).max()) for p in parts) for k in (0, 1)]
    colors = shades_of(values)
    layers: list[Any] = [
        hv.Path([np.array([[-most[0], 0], [most[0], 0]]), np.array([[0, -most[1]], [0, most[1]]])],
                dims).opts(color=GREY, linewidth=0.4, alpha=0.6, backend="matplotlib")
    ]  # fmt: skip
    for line, color in zip(lines, colors, strict=True):
        own = line[:, across]
        layers += [
            hv.Path([own], dims).opts(color=color, linewidth=1.2, backend="matplotlib"),
            hv.Points([tuple(own[-1])], dims).opts(
                color=color, edgecolor=color, marker="s", s=9, backend="matplotlib"
            ),
            hv.Points([tuple(own[0])], dims).opts(
                color="white", edgecolor=color, marker="o", s=12, linewidth=0.8,
                backend="matplotlib",
            ),
        ]  # fmt: skip
    label = "coherence of the\nstream that counts" if row.context is not None else _words(row.axis)
    scale = Scale(label, float(values[0]), float(values[-1]), PARAMETER_COLORS)
    picture = hv.Overlay(layers).opts(
        xlim=(-most[0], most[0]), ylim=(-most[1], most[1]), backend="matplotlib"
    )
    return picture, scale


def _placed(
    box: tuple[float, float, float, float], size: tuple[float, float], keys: list[Key],
    scale: Scale | None,
) -> Any:  # fmt: skip
    left, top, across, tall = box
    wide, high = size

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.figure.set_size_inches(*size)
        axes.set_aspect("auto")
        axes.set_position((left / wide, 1 - (top + tall) / high, across / wide, tall / high))
        axes.spines[["top", "right"]].set_visible(False)
        axes.locator_params(nbins=4)
        axes.xaxis.labelpad = 2
        if scale is not None:
            color_scale(axes, scale, (1.0 + 0.15 / across, 0.3, 0.08 / across, 0.7))
        if keys:
            legend(axes, keys, loc="upper left", bbox_to_anchor=(1.0 + 0.05 / across, 0.2),
                   labelspacing=0.3)  # fmt: skip

    return hook
