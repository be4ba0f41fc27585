"""How many networks found which solution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.style import COLUMN, FONT, INK, SIZE_COLORS, holoviews, ramp
from solspace.population.describe import label_of

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_solutions"]


def plot_solutions(population: xr.Dataset, *, most: int = 10) -> hv.Overlay:
    """Networks per solution, most common first, segments by hidden size.

    Parameters
    ----------
    population : Dataset
        With ``solution`` and ``hidden_size``; its attribute ``solution_method`` names the label
        that is counted by. Networks without a solution (-1) are left out.
    most : int
        Solutions with a bar of their own; the rest share the last bar.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where no network has a solution.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"solution": ("network", [0, 0, 1])},
    ...                 coords={"hidden_size": ("network", [20, 30, 30])})
    >>> type(plot_solutions(ds)).__name__
    'Overlay'
    """
    if "solution" not in population.variables or not (population["solution"].values >= 0).any():
        raise SolspaceError(f"no network has a solution; {how_to_make('label')}")
    if most < 1:
        raise SolspaceError(f"most={most} bars; give 1 or more")
    hv = holoviews()
    solution = population["solution"].values
    sizes = population["hidden_size"].values[solution >= 0]
    solution = solution[solution >= 0]
    known = np.unique(sizes)
    total, count = len(solution), int(solution.max()) + 1
    bars = [str(i) for i in range(min(count, most))]
    place = np.minimum(solution, most)
    if count > most:
        rest = count - most
        bars.append(f"{rest} other" + ("s" if rest > 1 else ""))
    table = np.array(
        [[np.sum((place == i) & (sizes == s)) for s in known] for i in range(len(bars))]
    )
    foot = np.concatenate([np.zeros((len(bars), 1), int), np.cumsum(table, axis=1)], axis=1)
    segments = hv.NdOverlay(
        {
            int(size): hv.Rectangles(
                [(i - 0.38, foot[i, j], i + 0.38, foot[i, j + 1]) for i in range(len(bars))],
                kdims=["left", "bottom", "right", "top"],
            ).opts(color=color, edgecolor="white", linewidth=0.5, backend="matplotlib")
            for j, (size, color) in enumerate(
                zip(known, ramp(SIZE_COLORS, len(known)), strict=True)
            )
        },
        kdims=["units"],
    )
    top = foot[:, -1]
    lift = top.max() * 0.015
    labels = hv.Labels(
        [(i, float(n + lift), f"{n}\n{_percent(n / total)}") for i, n in enumerate(top)],
        ["x", "y"],
        "text",
    ).opts(
        size=FONT["ticks"],
        color=INK,
        verticalalignment="bottom",
        backend="matplotlib",
    )
    told = label_of(population.attrs)
    width = max(COLUMN, 0.42 * len(bars) + 0.6)
    ticks = list(enumerate(bars))
    return (segments * labels).opts(
        fig_inches=(width, 2.3),
        xlim=(-0.6, max(len(bars), 5) - 0.4),
        ylim=(0, top.max() * 1.22),
        xticks=ticks,
        xlabel=f"solution{f' by {told}' if told else ''}, most common first",
        ylabel="networks",
        fontsize=FONT,
        show_legend=False,
        hooks=[_finish(known.tolist(), ramp(SIZE_COLORS, len(known)), width)],
        backend="matplotlib",
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 or share == 0 else "<1%"


def _finish(sizes: list[int], colors: list[str], width: float) -> Any:
    """Frame and legend, which HoloViews does not make for rectangles."""

    def hook(plot: Any, element: Any) -> None:
        from matplotlib.patches import Patch

        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        axes.set_position((0.4 / width, 0.17, 1 - 0.45 / width, 0.8))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.yaxis.get_major_locator().set_params(integer=True)
        # In the order of the stack, the topmost first.
        handles = [Patch(facecolor=c, label=str(s)) for s, c in zip(sizes, colors, strict=True)][
            ::-1
        ]
        axes.legend(
            handles=handles,
            title="units",
            loc="upper right",
            fontsize=FONT["legend"],
            title_fontsize=FONT["legend_title"],
            frameon=False,
            handlelength=1.0,
            handleheight=1.0,
            borderaxespad=0.0,
            labelspacing=0.3,
        )

    return hook
