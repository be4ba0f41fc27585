"""How many networks found which solution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    COLUMN,
    FONT,
    GREY,
    INK,
    Key,
    holoviews,
    legend,
    place,
    shaded,
    solution_colors,
    solution_names,
    solution_words,
    styled,
)
from solspace.population.describe import label_of

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_solutions"]

# How far towards white the smallest networks' part of a bar is; the largest have full colour.
_PALEST = 0.7
_ROW = 0.27  # of one bar, in inches


@styled
def plot_solutions(population: xr.Dataset, *, most: int = 10) -> hv.Overlay:
    """Networks per solution, most common on top, in the colour of each, segments by hidden size.

    A solution has its colour by its ``solution_name``, the same in every plot. The darker a
    segment, the larger its networks.

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
    named = solution_names(population)
    own = list(range(min(count, most)))
    colors_of = solution_colors(named.get(i, str(i)) for i in own)
    colors = [colors_of[named.get(i, str(i))] for i in own]
    bars = ["\n".join(solution_words(named.get(i, f"solution {i}"))) for i in own]
    place = np.minimum(solution, most)
    if count > most:
        rest = count - most
        bars.append(f"{rest} other" + ("s" if rest > 1 else ""))
        colors.append(GREY)
    table = np.array(
        [[np.sum((place == i) & (sizes == s)) for s in known] for i in range(len(bars))]
    )
    foot = np.concatenate([np.zeros((len(bars), 1), int), np.cumsum(table, axis=1)], axis=1)
    pale = np.linspace(_PALEST, 0, len(known)) if len(known) > 1 else [0.0]
    rows = len(bars) - 1 - np.arange(len(bars))
    parts: list[Any] = [
        hv.Rectangles(
            [(foot[i, j], rows[i] - 0.38, foot[i, j + 1], rows[i] + 0.38)],
            kdims=["left", "bottom", "right", "top"],
            group="Units",
            label=str(int(size)),
        ).opts(
            facecolor=shaded(colors[i], float(pale[j])),
            edgecolor="white",
            linewidth=0.4,
            backend="matplotlib",
        )
        for j, size in enumerate(known)
        for i in range(len(bars))
        if table[i, j]
    ]
    end = foot[:, -1]
    parts.append(
        hv.Labels(
            [
                (float(n + end.max() * 0.015), float(rows[i]), f"{n}  {_percent(n / total)}")
                for i, n in enumerate(end)
            ],
            ["x", "y"],
            "text",
        ).opts(
            size=FONT["ticks"],
            color=INK,
            horizontalalignment="left",
            verticalalignment="center",
            backend="matplotlib",
        )
    )
    told = label_of(population.attrs)
    high = _ROW * max(len(bars), 4) + 0.55
    keys = [
        Key(f"{s} units", shaded(GREY, float(p)), patch=True)
        for s, p in zip(known.tolist(), pale, strict=True)
    ]
    longest = max(len(line) for bar in bars for line in bar.split("\n"))
    picture = hv.Overlay(parts).opts(
        fig_inches=(COLUMN, high),
        xlim=(0, end.max() * 1.25),
        ylim=(len(bars) - max(len(bars), 4) - 0.6, len(bars) - 0.4),
        yticks=list(zip(rows.tolist(), bars, strict=True)),
        xlabel=f"networks, of each solution{f' by {told}' if told else ''}",
        ylabel="",
        fontsize=FONT | {"yticks": 6.5},
        show_legend=False,
        hooks=[_finish(keys, longest, high)],
        backend="matplotlib",
    )
    return both(picture, keys)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 or share == 0 else "<1%"


def _finish(keys: list[Key], longest: int, high: float) -> Any:
    """Frame, and one legend where bars are short."""

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        left = min((0.054 * longest + 0.12) / COLUMN, 0.55)
        place(axes, (left, 0.42 / high, 0.985 - left, 1 - 0.45 / high))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        for text in axes.get_yticklabels():
            text.set_linespacing(0.95)
        legend(axes, keys, loc="lower right", bbox_to_anchor=(1.0, 0.03), handlelength=1.0,
               labelspacing=0.3)  # fmt: skip

    return hook
