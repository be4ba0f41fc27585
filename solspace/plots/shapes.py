"""Lines, shapes and letters that drawings of graphs and of machines share."""

from __future__ import annotations

from typing import Any

import numpy as np

from solspace.plots.layout import Array
from solspace.plots.style import COLUMN, FONT, PAGE, SMALLEST, Key, holoviews, place

__all__ = ["INCHES", "PULSE"]

PULSE = "#B03A00"
# One unit of the layout on paper. The same in every drawing, so nodes and letters match in size.
INCHES = 0.85
_KEY = 1.05  # of one entry of the key, in inches


def lines(curves: list[Array], color: str, style: Any) -> Any:
    hv = holoviews()
    if not curves:
        return None
    return hv.Path(curves).opts(color=color, linewidth=1.1, linestyle=style, backend="matplotlib")


def polygons(shapes: list[Array], fill: str, *, edge: str = "", width: float = 1.1) -> Any:
    hv = holoviews()
    if not shapes:
        return None
    return hv.Polygons(shapes).opts(
        facecolor=fill,
        edgecolor=edge or fill,
        linewidth=width if edge else 0.2,
        backend="matplotlib",
    )


def texts(rows: list[tuple[Any, ...]], color: str, **options: Any) -> Any:
    hv = holoviews()
    if not rows:
        return None
    weight = options.pop("weight", None)
    hooks = options.pop("hooks", []) + ([_bold] if weight else [])
    options = {"horizontalalignment": options.pop("halign", "center")} | options
    return hv.Labels(rows, ["x", "y"], "text").opts(
        color=color,
        size=8,
        verticalalignment="center",
        hooks=hooks,
        backend="matplotlib",
        **options,
    )


def circle(middle: Array, radius: float) -> Array:
    turn = np.linspace(0, 2 * np.pi, 61)
    return middle + radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1)


def square(middle: Array, radius: float) -> Array:
    half = radius * 0.92
    return middle + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]], float)


def head(tip: Array) -> Array:
    return tip + np.array([[0, 0], [-0.13, 0.055], [-0.13, -0.055]])


def _drawn_texts(plot: Any) -> list[Any]:
    artist = plot.handles.get("artist")
    return list(artist) if isinstance(artist, (list, tuple)) else [artist]


def _bold(plot: Any, element: Any) -> None:
    for text in _drawn_texts(plot):
        text.set_fontweight("bold")


def on_paper(plot: Any, element: Any) -> None:
    """White under a label, so that the edge it stands on does not run through it."""
    for text in _drawn_texts(plot):
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})


def on_figure(parts: list[Any], low: Array, high: Array, keys: list[Key]) -> Any:
    """A drawing on a figure of its size, with its keys below.

    Drawings that are wider than two columns are made smaller, and their letters with them, down to
    the smallest that print allows.
    """
    hv = holoviews()
    inches = [float(x) * INCHES for x in high - low]
    scale = min(1.0, PAGE / inches[0])
    wide, tall = inches[0] * scale, inches[1] * scale
    across = max(wide, min(_KEY * len(keys), COLUMN) if keys else 0.0)
    rows = -(-len(keys) // max(1, int(across / _KEY))) if keys else 0
    below = 0.17 * rows + 0.1 if keys else 0.0
    size = (across, tall + below)
    rectangle = ((across - wide) / 2 / across, below / size[1], wide / across, tall / size[1])
    return hv.Overlay(parts).opts(
        xlim=(low[0], high[0]),
        ylim=(low[1], high[1]),
        xaxis=None,
        yaxis=None,
        show_frame=False,
        show_legend=False,
        fig_inches=size,
        aspect="equal",
        hooks=[_placed(rectangle, keys, rows, scale)],
        backend="matplotlib",
    )


def _placed(rectangle: tuple[float, ...], keys: list[Key], rows: int, scale: float) -> Any:
    """The unit of the layout is as long in every drawing, so nodes and letters match in size."""

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        place(axes, rectangle)
        if scale < 1:
            for text in axes.texts:
                text.set_fontsize(max(SMALLEST, text.get_fontsize() * scale))
        if keys:
            x, y = (0.5 - rectangle[0]) / rectangle[2], -rectangle[1] / rectangle[3]
            axes.legend(
                handles=[key.handle() for key in keys],
                loc="lower center",
                bbox_to_anchor=(x, y),
                ncols=-(-len(keys) // rows),
                fontsize=FONT["legend"],
                frameon=False,
                handlelength=1.6,
                handletextpad=0.4,
                columnspacing=1.1,
                labelspacing=0.3,
                borderaxespad=0.1,
            )

    return hook
