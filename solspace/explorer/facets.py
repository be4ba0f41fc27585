"""A map of several populations as one map each, on the same axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from solspace.explorer.figures import MapFigure

__all__ = ["Facets"]


class Facets:
    """Small maps that show the marks of one map by population.

    They share its data, so that what is selected in one is selected in all, and its ranges.

    Parameters
    ----------
    whole : MapFigure
    names : sequence of str
        Of the populations.
    clicked : callable (event, population) -> None
    """

    def __init__(
        self, whole: MapFigure, names: Sequence[str], clicked: Callable[[Any, str], None]
    ) -> None:
        from bokeh.models import CDSView, HoverTool, IndexFilter, LassoSelectTool

        self.whole, self.names = whole, list(names)
        self.filters = {name: IndexFilter([]) for name in names}
        self.ringed = {name: IndexFilter([]) for name in names}
        self.figures = []
        theme = whole.theme
        for name in names:
            figure = theme.figure(
                name=f"map of {name}", title=name, height=260, tools="pan,wheel_zoom,reset",
                x_range=whole.figure.x_range, y_range=whole.figure.y_range,
            )  # fmt: skip
            figure.grid.grid_line_color = None
            figure.xaxis.ticker = figure.yaxis.ticker = []
            marks = figure.scatter(
                "x", "y", source=whole.source, view=CDSView(filter=self.filters[name]),
                marker="marker", size="size", fill_color="color", line_color=theme.paper,
                line_width=0.5, fill_alpha=0.9, nonselection_fill_alpha=0.16,
                nonselection_line_alpha=0.1, selection_line_color=theme.ink,
            )  # fmt: skip
            figure.scatter(
                "x", "y", source=whole.marked, view=CDSView(filter=self.ringed[name]), size=18,
                fill_color=None, line_color=theme.ink, line_width=2,
            )  # fmt: skip
            figure.text(
                "x", "y", "text", source=whole.marked, view=CDSView(filter=self.ringed[name]),
                x_offset=11, y_offset=-5, text_font_size="13px", text_font_style="bold",
                text_color=theme.ink,
            )  # fmt: skip
            lasso = LassoSelectTool(renderers=[marks])
            figure.add_tools(
                lasso,
                HoverTool(renderers=[marks], tooltips=[("network", "@name"), ("", "@told")]),
            )
            figure.toolbar.active_drag = lasso
            figure.on_event("tap", lambda event, name=name: clicked(event, name))
            self.figures.append(figure)

    def show(self, population: NDArray[Any], always: NDArray[np.bool_]) -> None:
        """Deal the marks that the map shows; some are in all.

        Parameters
        ----------
        population : array of str (network,)
        always : array of bool (network,)
            Such as recordings, to be seen beside each population.
        """
        at = np.asarray(self.whole.source.data["index"], int)
        for name, chosen in self.filters.items():
            here = (population[at] == name) | always[at] if len(at) else np.zeros(0, bool)
            chosen.indices = np.flatnonzero(here).tolist()

    def mark(self, of: Mapping[str, str | None]) -> None:
        """Ring what is looked at in the map of its population; None rings it in all.

        Parameters
        ----------
        of : mapping of str to str or None
            The population, by the mark's letter.
        """
        letters = [str(letter) for letter in self.whole.marked.data["text"]]
        for name, chosen in self.ringed.items():
            chosen.indices = [i for i, k in enumerate(letters) if of.get(k) in (name, None)]
