"""What networks make of challenges: every measure over a population."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    BLUE,
    FONT,
    INK,
    PAGE,
    Key,
    holoviews,
    legend,
    styled,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["plot_challenges"]

# In inches: of a measure, around the measures of one unit, and where panels begin and end.
_ROW, _AROUND, _LEFT, _RIGHT, _HEAD = 0.155, 0.55, 2.0, 6.7, 0.3
NARROW = 5.0  # times another is as wide in its unit, where one stands apart
_AXES = {"1": "share, or a pure number"}


@styled
def plot_challenges(ds: xr.Dataset, measures: list[str] | None = None) -> hv.Layout:
    """The measures of networks under challenges: a dot a network, a line a measure.

    Measures of one unit stand together. A bar goes from the 10th to the 90th percentile of the
    networks, a tick is their median.

    Parameters
    ----------
    ds : Dataset
        A population with ``challenge_value``, see `solspace.challenge`.
    measures : list of str, optional
        By default all.

    Returns
    -------
    holoviews.Layout
        A panel for each unit.

    Raises
    ------
    SolspaceError
        Where there are no measures, or none of this name.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"challenge_value": (("network", "challenge_measure"), [[0.5], [0.7]])},
    ...                 coords={"challenge_measure": ["right_delay_20x"],
    ...                         "challenge_measure_units": ("challenge_measure", ["1"])})
    >>> len(plot_challenges(ds))
    1
    """
    if "challenge_value" not in ds.variables:
        raise SolspaceError(f"the dataset has no 'challenge_value'; {how_to_make('challenge')}")
    known = ds["challenge_measure"].values.astype(str).tolist()
    wanted = known if measures is None else list(measures)
    if unknown := [name for name in wanted if name not in known]:
        raise SolspaceError(f"unknown measure {unknown[0]!r}; measures: {', '.join(known)}")
    found = ds["challenge_value"].transpose("network", "challenge_measure")
    found = found.sel(challenge_measure=wanted)
    values = found.values[np.isfinite(found.values).all(axis=1)]
    if not values.size:
        raise SolspaceError("no network has measures, or none are asked for")
    units = found["challenge_measure_units"].values.astype(str)
    parts = _together(values, units)
    high = _HEAD + sum(_AROUND + _ROW * len(of) for _, of in parts)
    hv = holoviews()
    panels: list[Any] = []
    top = _HEAD
    keys = [
        Key("a network", BLUE, marker="o", size=3),
        Key("10 to 90% of networks", INK, line="-", width=1.2),
        Key("median", INK, marker="|", size=7),
    ]
    for unit, of in parts:
        tall = _ROW * len(of)
        box = (_LEFT / PAGE, 1 - (top + tall) / high, (_RIGHT - _LEFT) / PAGE, tall / high)
        shown = keys if not panels else []
        panel = _panel(values[:, of], [wanted[i] for i in of], _AXES.get(unit, unit))
        panel.opts(
            fig_inches=(_RIGHT - _LEFT + 1.0, tall + 0.8),
            hooks=[_placed(box, (PAGE, high), shown)],
            fontsize=FONT | {"yticks": 6.5, "xticks": 6.5, "labels": 7},
            show_legend=False,
            backend="matplotlib",
        )
        panels.append(both(panel, shown))
        top += tall + _AROUND
    layout = hv.Layout(panels).cols(1)
    layout.opts(shared_axes=False, backend="bokeh")
    return layout.opts(
        fig_inches=(PAGE, high), sublabel_format="", shared_axes=False, backend="matplotlib"
    )


def _together(
    values: NDArray[np.float64], units: NDArray[np.str_]
) -> list[tuple[str, NDArray[np.intp]]]:
    """Measures by unit; those that would be as one dot beside another stand apart."""
    span = np.ptp(values, axis=0)
    found = []
    for unit in dict.fromkeys(units.tolist()):
        of = np.flatnonzero(units == unit)
        narrow = span[of] < span[of].max() / NARROW if unit != "1" else np.zeros(len(of), bool)
        found += [(unit, part) for part in (of[~narrow], of[narrow]) if len(part)]
    return found


def _panel(values: NDArray[np.float64], names: list[str], unit: str) -> Any:
    hv = holoviews()
    dims = [unit, "measure"]
    rows = np.arange(len(names))[::-1].astype(float)
    n = len(values)
    # Spread by chance that is the same each time, so that like values are seen.
    spread = np.random.default_rng(0).uniform(-0.3, 0.3, values.shape)
    dots = np.stack([values.ravel(), (rows + spread).ravel()], axis=1)
    low, middle, top = np.quantile(values, [0.1, 0.5, 0.9], axis=0)
    bars = [np.array([[a, r], [b, r]]) for a, b, r in zip(low, top, rows, strict=True)]
    ticks = [np.array([[m, r - 0.3], [m, r + 0.3]]) for m, r in zip(middle, rows, strict=True)]
    edge = 0.03 * max(float(np.ptp(values)), 1e-9)
    return hv.Overlay(
        [
            hv.Points(dots, dims).opts(
                color=BLUE, s=2.5, alpha=max(0.12, min(0.8, 40 / n)), backend="matplotlib"
            ),
            hv.Path(bars, dims).opts(color=INK, linewidth=1.2, backend="matplotlib"),
            hv.Path(ticks, dims).opts(color=INK, linewidth=1.6, backend="matplotlib"),
        ]
    ).opts(
        xlim=(float(values.min()) - edge, float(values.max()) + edge),
        ylim=(-0.6, len(names) - 0.4),
        yticks=list(zip(rows.tolist(), names, strict=True)),
        xlabel=unit,
        ylabel="",
        backend="matplotlib",
    )


def _placed(
    box: tuple[float, float, float, float], size: tuple[float, float], keys: list[Key]
) -> Any:
    """A panel at its place in the figure, and what its marks mean above it."""

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.figure.set_size_inches(*size)
        axes.set_aspect("auto")
        axes.set_position(box)
        axes.spines[["top", "right"]].set_visible(False)
        if keys:
            legend(
                axes, keys, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(keys),
                borderaxespad=0.3,
            )  # fmt: skip

    return hook
