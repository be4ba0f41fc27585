"""Lines, shapes and letters that drawings of graphs and of machines share."""

from __future__ import annotations

from typing import Any

import numpy as np

from solspace.plots.layout import Array
from solspace.plots.style import holoviews

__all__ = ["INCHES", "PULSE"]

PULSE = "#B03A00"
# One unit of the layout on paper. The same in every drawing, so nodes and letters match in size.
INCHES = 0.85


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


def fill_figure(plot: Any, element: Any) -> None:
    """The drawing takes the whole figure, so that its unit is as long in every drawing."""
    plot.handles["axis"].set_position((0, 0, 1, 1))
