"""What a plot says to matplotlib, said to Bokeh as well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from solspace.plots.style import Key, Scale, holoviews

__all__: list[str] = []

# Pixels of the screen that an inch of paper has.
_PIXELS = 130
_BESIDE = 60  # more for a legend or a scale, which stand outside of what inches measure
_MARKERS = {
    "o": "circle", "s": "square", "^": "triangle", "v": "inverted_triangle", "D": "diamond",
    "X": "x", "P": "cross", "*": "star", "<": "triangle", ">": "triangle", ".": "circle",
    "p": "square_pin", "h": "hex", "d": "diamond",
}  # fmt: skip
_DASHES = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "dashdot"}
_BASELINES = {"center": "middle", "top": "top", "bottom": "bottom", "baseline": "alphabetic"}
_KEPT = ("xlim", "ylim", "xticks", "yticks", "xaxis", "yaxis", "clim", "colorbar", "padding")


def plain(text: str) -> str:
    r"""Words without the commands of mathematical type, which Bokeh does not set.

    Examples
    --------
    >>> plain(r"$t_\mathrm{in}$ (steps)")
    't_in (steps)'
    """
    text = text.replace("{{", "{").replace("}}", "}")
    text = re.sub(r"\\mathrm\{([^}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:dot|mathbf)\{([^}]*)\}", r"\1", text).replace(r"\tanh", "tanh")
    if "$" in text:
        text = re.sub(r"[{}$\\]", "", text)
    return text


def both(picture: Any, keys: Sequence[Key] = (), scales: Sequence[Scale] = ()) -> Any:
    """Give a plot that is styled for matplotlib the same look in Bokeh, and the same keys.

    Parameters
    ----------
    picture : HoloViews Overlay
    keys, scales : sequence
        What its legend and its bars of colours say.

    Returns
    -------
    The same plot.
    """
    hv = holoviews()
    for element in picture.traverse(lambda x: x, [hv.Element]):
        options = {**_style(element), **_element_plot(element)}
        if options:
            element.opts(backend="bokeh", **options)
    found = hv.Store.lookup_options("matplotlib", picture, "plot").kwargs
    inches = found.get("fig_inches") or (3.5, 2.4)
    inches = inches if isinstance(inches, tuple) else (inches, inches)
    options = {name: found[name] for name in _KEPT if name in found and name != "colorbar"}
    options |= {
        name: plain(found[name])
        for name in ("xlabel", "ylabel", "title")
        if found.get(name) is not None
    }
    beside = _BESIDE * (bool(keys) + bool(scales))
    options |= {
        "width": int(inches[0] * _PIXELS) + beside,
        "height": int(inches[1] * _PIXELS),
        "show_legend": False,
        "toolbar": "above",
        "hooks": [_hook(tuple(keys), tuple(scales))],
    }
    if found.get("aspect") in ("equal", "square"):
        options["data_aspect"] = 1
    if found.get("show_frame") is not None:
        options["show_frame"] = found["show_frame"]
    return picture.opts(backend="bokeh", **options)


def _style(element: Any) -> dict[str, Any]:
    """Colours and sizes of an element by Bokeh's names."""
    hv = holoviews()
    own: Mapping[str, Any] = hv.Store.lookup_options("matplotlib", element, "style").kwargs
    kind = type(element).__name__
    style: dict[str, Any] = {}
    color = own.get("facecolor", own.get("color"))
    edge = own.get("edgecolor")
    if kind in ("Curve", "Path", "HLine", "VLine", "Contours"):
        style["color"] = own.get("color")
        style["line_width"] = own.get("linewidth")
        style["line_dash"] = _dash(own.get("linestyle"))
    elif kind in ("Polygons", "Rectangles", "Area"):
        style["fill_color"] = color
        style["line_color"] = None if edge in (None, "none") else edge
        style["line_width"] = own.get("linewidth")
        style["fill_alpha"] = own.get("alpha")
        if style["line_color"] is None:
            style["line_alpha"] = 0.0
            del style["line_color"]
    elif kind in ("Points", "Scatter"):
        style["fill_color"] = own.get("color")
        style["line_color"] = edge if edge not in (None, "none") else own.get("color")
        style["line_width"] = own.get("linewidth")
        style["marker"] = _MARKERS.get(own.get("marker", "o"), "circle")
        style["size"] = 1.4 * float(np.sqrt(own.get("s", 20)))
        style["cmap"] = own.get("cmap")
    elif kind == "Labels":
        style["text_color"] = own.get("color")
        style["text_font_size"] = f"{own.get('size', 8) * 1.25:g}pt"
        style["text_align"] = own.get("horizontalalignment", "center")
        style["text_baseline"] = _BASELINES[own.get("verticalalignment", "center")]
        style["angle"] = own.get("rotation")
    elif kind in ("Image", "HeatMap", "QuadMesh"):
        style["cmap"] = _palette(own.get("cmap"))
    if kind not in ("Polygons", "Rectangles", "Area", "Image", "HeatMap", "RGB"):
        style["alpha"] = own.get("alpha")
    return {name: value for name, value in style.items() if value is not None}


def _element_plot(element: Any) -> dict[str, Any]:
    hv = holoviews()
    found = hv.Store.lookup_options("matplotlib", element, "plot").kwargs
    kind = type(element).__name__
    options = {
        name: found[name] for name in ("clim", "colorbar", "clipping_colors") if name in found
    }
    if kind not in ("Image", "HeatMap", "QuadMesh", "Points", "Scatter"):
        options = {}
    if "clabel" in found and options.get("colorbar"):
        options["clabel"] = plain(found["clabel"])
    if kind == "Labels":
        options["hooks"] = [_plain_labels]
    return options


def _dash(style: Any) -> Any:
    if style is None or style == "solid":
        return None
    if isinstance(style, tuple):  # lengths in widths of the line
        return " ".join(str(max(1, round(2 * part))) for part in style[1])
    return _DASHES.get(style, style)


def _palette(cmap: Any) -> Any:
    """A list of colours; Bokeh knows no colour map of matplotlib's."""
    if cmap is None or isinstance(cmap, str | list | tuple):
        return list(cmap) if isinstance(cmap, tuple) else cmap
    from matplotlib.colors import to_hex

    return [to_hex(cmap(x), keep_alpha=True) for x in np.linspace(0, 1, 128)]


def _plain_labels(plot: Any, element: Any) -> None:
    source = plot.handles["source"]
    name = next(n for n in ("text", *source.data) if n in source.data)
    source.data[name] = [plain(str(text)) for text in source.data[name]]


def _hook(keys: tuple[Key, ...], scales: tuple[Scale, ...]) -> Any:
    def hook(plot: Any, element: Any) -> None:
        from bokeh.models import ColorBar, Legend, LegendItem, LinearColorMapper
        from matplotlib.colors import LinearSegmentedColormap

        figure = plot.state
        figure.outline_line_color = None
        figure.grid.grid_line_color = None
        if figure.select({"name": "solspace key"}):
            return
        nowhere = {"x": [np.nan], "y": [np.nan]}
        items = []
        for key in keys:
            drawn = []
            if key.patch:
                drawn.append(
                    figure.scatter(
                        **nowhere, marker="square", size=11, fill_color=key.color,
                        line_color=None, fill_alpha=key.alpha,
                    )
                )  # fmt: skip
            if key.line is not None:
                drawn.append(
                    figure.line(
                        **nowhere, color=key.color, line_width=key.width,
                        line_dash=_dash(key.line) or "solid",
                    )
                )  # fmt: skip
            if key.marker:
                drawn.append(
                    figure.scatter(
                        **nowhere, marker=_MARKERS.get(key.marker, "circle"),
                        size=1.4 * key.size, fill_color=key.face or key.color,
                        line_color=key.color,
                    )
                )  # fmt: skip
            items.append(LegendItem(label=plain(key.label).replace("\n", " "), renderers=drawn))
        if items:
            legend = Legend(
                items=items, name="solspace key", border_line_color=None,
                label_text_font_size="9pt", spacing=1,
            )  # fmt: skip
            figure.add_layout(legend, "right")
        for scale in scales:
            shades = LinearSegmentedColormap.from_list("scale", scale.colors)
            mapper = LinearColorMapper(palette=_palette(shades), low=scale.low, high=scale.high)
            bar = ColorBar(color_mapper=mapper, title=plain(scale.label), width=12)
            figure.add_layout(bar, "right")

    return hook
