"""How many solutions have been seen, and how many more training would show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.style import (
    BLUE,
    COLUMN,
    FONT,
    GREY,
    INK,
    ORANGE,
    TARGET,
    Key,
    holoviews,
    legend,
    place,
    styled,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_rarefaction"]

COLORS = (BLUE, ORANGE, "#009E73", TARGET, "#CC79A7", INK, "#56B4E9", GREY)
AXES = {
    "expected_classes": "classes seen",
    "expected_coverage": "coverage",
}


@styled
def plot_rarefaction(
    results: Mapping[str, xr.Dataset], curve: str = "expected_classes", *, band: bool = True
) -> hv.Overlay:
    """Classes seen, or coverage, over the number of networks: a curve a population.

    Up to the networks there are, where a dot stands, the line is rarefied and solid; beyond it is
    extrapolated and dashed. Bands are the confidence intervals.

    Parameters
    ----------
    results : mapping of name to Dataset
        Results of `solspace.solution_coverage`, up to eight, by what the legend calls them.
    curve : {"expected_classes", "expected_coverage"}
    band : bool
        Whether to draw the intervals.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there is nothing to draw, more than can be told apart, or no such curve.

    Examples
    --------
    >>> from solspace import solution_coverage
    >>> found = solution_coverage({"a": 46, "b": 30, "c": 2, "d": 1}, resamples=20)
    >>> type(plot_rarefaction({"vanilla": found})).__name__
    'Overlay'
    """
    if curve not in AXES:
        raise SolspaceError(f"no curve {curve!r}; curves: {', '.join(AXES)}")
    if not 0 < len(results) <= len(COLORS):
        raise SolspaceError(
            f"{len(results)} populations to draw; give 1 to {len(COLORS)}, results of "
            "solspace.solution_coverage(ds) by name"
        )
    for name, ds in results.items():
        if curve not in ds.variables or f"{curve}_low" not in ds.variables:
            raise SolspaceError(
                f"{name!r} has no {curve!r}; give what solspace.solution_coverage(ds) returns"
            )
    hv = holoviews()
    colors = dict(zip(results, COLORS, strict=False))
    parts: list[Any] = []
    if band:
        for name, ds in results.items():
            low, high = (ds[f"{curve}_{end}"].values for end in ("low", "high"))
            parts.append(
                hv.Area((ds["sample_size"].values, low, high), "networks", ["low", "high"]).opts(
                    facecolor=colors[name],
                    edgecolor="none",
                    alpha=0.14,
                    linewidth=0,
                    backend="matplotlib",
                )
            )
    for name, ds in results.items():
        size, value = ds["sample_size"].values, ds[curve].values
        n = int(ds["networks"])
        at = float(np.interp(n, size, value))
        for inside, style in ((size < n, "-"), (size > n, "--")):
            x, y = np.append(size[inside], n), np.append(value[inside], at)
            order = np.argsort(x)
            parts.append(
                hv.Curve((x[order], y[order]), "networks", curve).opts(
                    color=colors[name], linewidth=1.4, linestyle=style, backend="matplotlib"
                )
            )
        parts.append(
            hv.Points([(n, at)], ["networks", curve]).opts(
                color=colors[name], s=16, backend="matplotlib"
            )
        )
    last = max(int(ds["sample_size"].max()) for ds in results.values())
    top = max(float(ds[f"{curve}_high" if band else curve].max()) for ds in results.values())
    keys = _keys(colors, band)
    picture = hv.Overlay(parts).opts(
        fig_inches=(COLUMN, 2.9),
        xlim=(0, last),
        ylim=_range(curve, results, top),
        xlabel="networks trained",
        ylabel=AXES[curve],
        fontsize=FONT,
        show_legend=False,
        hooks=[_finish(keys)],
        backend="matplotlib",
    )
    return both(picture, keys)


def _range(curve: str, results: Mapping[str, xr.Dataset], top: float) -> tuple[float, float]:
    """From 0 for classes; coverage from where it has left its steep beginning."""
    if curve == "expected_classes":
        return 0.0, top * 1.04
    begun = [
        np.interp(int(ds["networks"]) / 20, ds["sample_size"].values, ds[curve].values)
        for ds in results.values()
    ]
    low = float(np.floor(10 * min(begun)) / 10)
    return low, 1 + (1 - low) / 40


def _keys(colors: Mapping[str, str], band: bool) -> list[Key]:
    """Populations by colour, then what lines, dots and bands are."""
    keys = [Key(name, color, line="-", width=1.8) for name, color in colors.items()]
    keys += [
        Key("rarefied, to all", INK, line="-", width=1.2, marker="o", size=3.5),
        Key("extrapolated", INK, line="--", width=1.2),
    ]
    return keys + ([Key("95% interval", GREY, patch=True, alpha=0.3)] if band else [])


def _finish(keys: list[Key]) -> Any:
    """Frame, and one legend below."""

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        foot = 0.18 + 0.06 * int(np.ceil(len(keys) / 2))
        place(axes, (0.13, foot, 0.84, 0.98 - foot))
        axes.spines[["top", "right"]].set_visible(False)
        legend(axes, keys, loc="upper center", bbox_to_anchor=(0.45, -0.22), ncols=2,
               handlelength=1.9, labelspacing=0.35, columnspacing=1.4)  # fmt: skip

    return hook
