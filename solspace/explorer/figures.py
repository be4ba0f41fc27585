"""The explorer's Bokeh figures: made once, then only their data change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.explorer.crowds import Colors, inside_of, picture
from solspace.plots.layout import RADIUS, edge_curves, node_positions
from solspace.plots.style import BLUE, GREY, INK, ORANGE, TARGET, ramp

if TYPE_CHECKING:
    from solspace.explorer.live import Plane
    from solspace.explorer.maps import Map
    from solspace.reduction.graph import Graph
    from solspace.tasks import Task

__all__ = [
    "INPUT_COLORS",
    "BeyondFigure",
    "GraphFigure",
    "LossFigure",
    "MapFigure",
    "OutputFigure",
    "PlaneFigure",
    "Theme",
]

Array = NDArray[np.float64]

# Of pulses, beside outputs: told apart with every common kind of colour vision.
INPUT_COLORS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7")
LINE_COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7")
# Of more networks in view a map is a picture: a browser is slow with more marks.
MOST_MARKS = 20_000
BINS = 300  # of that picture, on either side
BESIDE = 0.2  # of what is seen, that is drawn beyond each edge
NEAR = 0.02  # of the width or height of the map, for a click


class Theme:
    """The colours of paper and ink."""

    def __init__(self, dark: bool) -> None:
        self.dark = dark
        self.paper = "#15181c" if dark else "#ffffff"
        self.ink = "#e8e8e8" if dark else INK
        self.faint = "#8a9099" if dark else GREY
        self.grid = "#2b3138" if dark else "#ececec"
        self.strong = "#7cc4f5" if dark else BLUE

    def figure(self, **options: Any) -> Any:
        """An empty figure in these colours."""
        from bokeh.plotting import figure

        options = {
            "sizing_mode": "stretch_width",
            "background_fill_color": self.paper, "border_fill_color": self.paper,
            "outline_line_color": None, "toolbar_location": "above", "min_border": 4,
        } | options  # fmt: skip
        made = figure(**options)
        made.title.text_color = self.ink
        made.title.text_font_size = "11px"
        made.title.text_font_style = "normal"
        made.toolbar.logo = None
        for axis in made.axis:
            axis.axis_label_text_color = axis.major_label_text_color = self.ink
            axis.axis_label_text_font_style = "normal"
            axis.axis_label_text_font_size = "11px"
            axis.axis_line_color = axis.major_tick_line_color = self.faint
            axis.minor_tick_line_color = None
        made.grid.grid_line_color = self.grid
        return made


def _bare(figure: Any) -> Any:
    figure.grid.grid_line_color = None
    return figure


class MapFigure:
    """Networks on a plane, that can be clicked, lassoed and coloured.

    Up to ``most_marks`` in view are marks; more are drawn as a picture of where they lie, made
    again for what is seen when one zooms. Which network a click or a lasso means is known from all.
    """

    def __init__(self, theme: Theme, most_marks: int = MOST_MARKS) -> None:
        from bokeh.models import (
            BoxSelectTool,
            ColumnDataSource,
            HoverTool,
            LassoSelectTool,
            Range1d,
        )

        self.theme, self.most_marks = theme, most_marks
        self.source = ColumnDataSource(
            {"x": [], "y": [], "color": [], "name": [], "told": [], "index": [], "marker": [],
             "size": []}
        )  # fmt: skip
        self.marked = ColumnDataSource({"x": [], "y": [], "text": []})
        self.crowd = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.crowd.name = "crowd"
        self.figure = _bare(
            theme.figure(
                name="map", height=470, tools="pan,wheel_zoom,reset,save",
                x_range=Range1d(0, 1), y_range=Range1d(0, 1),
            )
        )  # fmt: skip
        self.figure.image_rgba("image", x="x", y="y", dw="dw", dh="dh", source=self.crowd)
        marks = self.figure.scatter(
            "x", "y", source=self.source, marker="marker", size="size", fill_color="color",
            line_color=theme.paper, line_width=0.5, fill_alpha=0.9, nonselection_fill_alpha=0.16,
            nonselection_line_alpha=0.1, name="marks", selection_line_color=theme.ink,
        )  # fmt: skip
        self.figure.scatter(
            "x", "y", source=self.marked, size=18, fill_color=None, line_color=theme.ink,
            line_width=2,
        )  # fmt: skip
        self.figure.text(
            "x", "y", "text", source=self.marked, x_offset=11, y_offset=-5, text_font_size="13px",
            text_font_style="bold", text_color=theme.ink,
        )  # fmt: skip
        lasso = LassoSelectTool(renderers=[marks])
        self.figure.add_tools(
            lasso, BoxSelectTool(renderers=[marks]),
            HoverTool(renderers=[marks], tooltips=[("network", "@name"), ("", "@told")]),
        )  # fmt: skip
        self.figure.toolbar.active_drag = lasso
        self.figure.xaxis.ticker = self.figure.yaxis.ticker = []
        self.places, self.at = np.zeros((0, 2)), np.zeros(0, np.intp)
        self.selected: NDArray[np.bool_] | None = None
        self._recorded = np.zeros(0, bool)
        self._colors: Colors | None = None
        self._names: Sequence[str] = ()

    @property
    def whole(self) -> bool:
        """Whether each network that is kept is a mark, wherever one looks."""
        return len(self.at) <= self.most_marks

    def show(
        self,
        laid: Map,
        kept: NDArray[np.bool_],
        colors: Colors,
        names: Sequence[str],
        recorded: NDArray[np.bool_] | None = None,
    ) -> None:
        """Show these networks, and those of them that are recordings as diamonds."""
        other = self.places is not laid.places
        self.at, self.places = laid.there[kept[laid.there]], laid.places
        self._recorded = np.zeros(len(laid.places), bool) if recorded is None else recorded
        self._colors, self._names, self.selected = colors, names, None
        if other and len(laid.there):
            self._frame(laid.places[laid.there])
        self.draw()
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = laid.axes

    def clear(self) -> None:
        """No networks."""
        self.at, self.places = np.zeros(0, np.intp), np.zeros((0, 2))
        self.source.data = {name: [] for name in self.source.data}
        self.crowd.data = {name: [] for name in self.crowd.data}

    def _frame(self, places: Array) -> None:
        """All of it is seen, now and after a reset."""
        low, high = places.min(axis=0), places.max(axis=0)
        edge = np.where(high > low, (high - low) * 0.06, 1.0)
        for one, start, end in zip(
            (self.figure.x_range, self.figure.y_range), low - edge, high + edge, strict=True
        ):
            one.update(
                start=float(start), end=float(end), reset_start=float(start), reset_end=float(end)
            )

    def _box(self) -> tuple[float, float, float, float]:
        x, y = self.figure.x_range, self.figure.y_range
        return x.start, x.end, y.start, y.end

    def draw(self) -> None:
        """Draw what is seen: marks, or where they are too many a picture."""
        if self._colors is None:
            return
        x0, x1, y0, y1 = self._box()
        # Recordings are few, shown all and above the networks.
        own = self.at[self._recorded[self.at]]
        at = self.at[~self._recorded[self.at]]
        none: dict[str, Any] = {name: [] for name in self.crowd.data}
        crowd = none
        if not self.whole:
            # Beyond the edges too, so that a pan does not run into nothing before it is drawn anew.
            wide, high = (x1 - x0) * BESIDE, (y1 - y0) * BESIDE
            box = (x0 - wide, x1 + wide, y0 - high, y1 + high)
            x, y = self.places[at].T
            at = at[(x >= box[0]) & (x <= box[1]) & (y >= box[2]) & (y <= box[3])]
            if len(at) > self.most_marks:
                inside = None if self.selected is None else self.selected[at]
                image = picture(self.places[at], self._colors.rgb(at), box, BINS, inside)
                crowd = {"image": [image], "x": [box[0]], "y": [box[2]],
                         "dw": [box[1] - box[0]], "dh": [box[3] - box[2]]}  # fmt: skip
                at = at[:0]
        at = np.concatenate([at, own])
        if len(self.crowd.data["image"]) or crowd is not none:
            self.crowd.data = crowd
        if not len(at) and not len(self.source.data["x"]):
            return
        self.source.selected.indices = []
        self.source.data = {
            "x": self.places[at, 0], "y": self.places[at, 1], "color": self._colors.of(at),
            "name": [self._names[i] for i in at.tolist()], "told": self._colors.told(at),
            "index": at,
            "marker": np.where(self._recorded[at], "diamond", "circle").tolist(),
            "size": np.where(self._recorded[at], 17, 8).tolist(),
        }  # fmt: skip
        if self.selected is not None and not self.whole:
            self.source.selected.indices = np.flatnonzero(self.selected[at]).tolist()

    def look(self, x0: float, x1: float, y0: float, y1: float) -> None:
        """What is seen of the map after somebody zoomed or moved it."""
        self.figure.x_range.update(start=x0, end=x1)
        self.figure.y_range.update(start=y0, end=y1)
        if not self.whole:
            self.draw()

    def nearest(self, x: float, y: float, among: NDArray[np.bool_] | None = None) -> int | None:
        """The network nearest to a spot, within a fiftieth of what is seen of the map."""
        x0, x1, y0, y1 = self._box()
        if not len(self.at) or x0 == x1 or y0 == y1:
            return None
        at = self.places[self.at]
        far = np.hypot((at[:, 0] - x) / (x1 - x0), (at[:, 1] - y) / (y1 - y0))
        if among is not None:
            far = np.where(among[self.at], far, np.inf)
        found = int(far.argmin())
        return int(self.at[found]) if far[found] < NEAR else None

    def lasso(self, geometry: Mapping[str, Any]) -> None:
        """Select those that lie in what was drawn, whether they are marks or not."""
        inside = np.zeros(len(self.places), bool)
        inside[self.at[inside_of(geometry, self.places[self.at])]] = True
        self.select(inside if inside.any() else None)

    def select(self, inside: NDArray[np.bool_] | None) -> None:
        """Show which are selected."""
        self.selected = inside
        self.draw()

    def recolor(self, colors: Colors) -> None:
        """Other colours for the networks that are shown."""
        self._colors = colors
        if len(self.crowd.data["image"]):
            self.draw()
            return
        at = np.asarray(self.source.data["index"], np.intp)
        self.source.data = dict(self.source.data) | {
            "color": colors.of(at), "told": colors.told(at)
        }  # fmt: skip

    def mark(self, laid: Map, chosen: dict[str, int]) -> None:
        """Ring the networks that are looked at."""
        found = {k: i for k, i in chosen.items() if np.isfinite(laid.places[i]).all()}
        self.marked.data = {
            "x": [laid.places[i, 0] for i in found.values()],
            "y": [laid.places[i, 1] for i in found.values()], "text": [*found],
        }  # fmt: skip


class OutputFigure:
    """What goes in and what comes out, over the steps of a challenge."""

    def __init__(self, theme: Theme, task: Task) -> None:
        from bokeh.models import ColumnDataSource, Range1d

        self.figure = theme.figure(
            height=190, x_axis_label="step", y_axis_label="output", y_range=Range1d(-1.4, 1.4),
            x_range=Range1d(0, 100), tools="save",
        )  # fmt: skip
        self.pulses = ColumnDataSource(
            {"left": [], "right": [], "bottom": [], "top": [], "color": []}
        )
        self.figure.quad(
            left="left", right="right", bottom="bottom", top="top", color="color", alpha=0.35,
            source=self.pulses,
        )  # fmt: skip
        names = task.outputs or ("output",)
        self.source = ColumnDataSource({"t": [], **{f"y{i}": [] for i in range(len(names))}})
        for i, name in enumerate(names):
            color = theme.strong if i == 0 else LINE_COLORS[i % len(LINE_COLORS)]
            more = {"legend_label": name} if len(names) > 1 else {}
            self.figure.line("t", f"y{i}", source=self.source, color=color, line_width=2, **more)
        self.outputs = len(names)

    def show(self, pulses: Any, steps: int, output: Array) -> None:
        """The answer to a challenge."""
        self.figure.x_range.end = steps
        top = max(1.25, float(np.abs(output).max()) * 1.1)
        self.figure.y_range.start, self.figure.y_range.end = -top, top
        self.pulses.data = {
            "left": [p.onset for p in pulses], "right": [p.onset + p.width for p in pulses],
            "bottom": [-top] * len(pulses), "top": [top] * len(pulses),
            "color": [INPUT_COLORS[p.channel % len(INPUT_COLORS)] for p in pulses],
        }  # fmt: skip
        self.source.data = {
            "t": np.arange(len(output)), **{f"y{i}": output[:, i] for i in range(self.outputs)}
        }  # fmt: skip


# Seen from another side, in the browser: what `PlaneFigure._turned` does here, for all it draws.
_TURN = """
const a = spin.value * Math.PI / 180, e = tilt.value * Math.PI / 180;
const ca = Math.cos(a), sa = Math.sin(a), ce = Math.cos(e), se = Math.sin(e);
if (axes.data.c.length) {
  const r = axes.data.reach[0];
  const seen = (p, q, s) => {
    const w = s * ca - p * sa;
    return [p * ca + s * sa, q * ce + w * se, w * ce - q * se];
  };
  const shade = (d) => Math.max(FAR, Math.min(1, (1 + FAR) / 2 + (1 - FAR) / 2 * d / r));
  for (const source of [lines, path]) {
    const { a0, b0, c0, a1, b1, c1, x0, y0, x1, y1, alpha } = source.data;
    for (let i = 0; i < a0.length; i++) {
      const s = seen(a0[i], b0[i], c0[i]), t = seen(a1[i], b1[i], c1[i]);
      x0[i] = s[0]; y0[i] = s[1]; x1[i] = t[0]; y1[i] = t[1]; alpha[i] = shade((s[2] + t[2]) / 2);
    }
  }
  for (const source of [points, last]) {
    const { a, b, c, x, y, alpha } = source.data;
    for (let i = 0; i < a.length; i++) {
      const s = seen(a[i], b[i], c[i]);
      x[i] = s[0]; y[i] = s[1]; alpha[i] = shade(s[2]);
    }
  }
  const { a: p, b: q, c: s, x0, y0, x1, y1, angle, share, alpha } = axes.data;
  for (let i = 0; i < 3; i++) {
    const t = seen(p[i], q[i], s[i]);
    x1[i] = x0[i] + t[0]; y1[i] = y0[i] + t[1];
    angle[i] = Math.atan2(t[1], t[0]) - Math.PI / 2;
    alpha[i] = shade(t[2] / Math.hypot(p[i], q[i], s[i]) * r);
  }
  xaxis.axis_label = spin.value ? `PC 1 and PC 3, turned ${spin.value}°` : share[0];
  yaxis.axis_label = tilt.value ? `PC 2 and others, turned ${tilt.value}°` : share[1];
  for (const source of [lines, path, points, last, axes]) source.change.emit();
}
"""
# Dragging by a degree every two pixels; both planes follow, as they follow the sliders.
_DRAG_BEGINS = "spin._begun = [spin.value, tilt.value];"
_DRAG = """
if (axes.data.c.length && spin._begun) {
  const [a, e] = spin._begun;
  const turned = Math.round(a + cb_obj.delta_x / 2 + 540) % 360;
  spin.value = (turned < 0 ? turned + 360 : turned) - 180;
  tilt.value = Math.max(-90, Math.min(90, Math.round(e - cb_obj.delta_y / 2)));
}
"""
# As wide as the figure is, in the units of its height: what is turned keeps its shape.
_WIDE = """
if (axes.data.c.length && cb_obj.inner_height > 0) {
  const { x_range, y_range } = cb_obj, middle = (x_range.start + x_range.end) / 2;
  const half = (y_range.end - y_range.start) / 2 * cb_obj.inner_width / cb_obj.inner_height;
  const { a: p, x0, x1 } = axes.data, base = middle - 0.88 * half;
  for (let i = 0; i < 3; i++) { x1[i] += base - x0[i]; x0[i] = base; }
  x_range.setv({ start: middle - half, end: middle + half });
  axes.change.emit();
}
"""
FAR = 0.35  # opacity of what is farthest away


class PlaneFigure:
    """Recorded trials, fixed points and the challenge in three principal components.

    They are seen along the third at first. Dragging, or the sliders, turn them, all planes of a
    page together; the browser does it without asking the server. Of two components nothing turns.

    Parameters
    ----------
    theme : Theme
    tilt, spin : bokeh.models.Slider
        Degrees about the first component, and about the second.
    """

    def __init__(self, theme: Theme, tilt: Any, spin: Any) -> None:
        from bokeh.models import ColumnDataSource, CustomJS, Range1d

        self.theme, self.tilt, self.spin = theme, tilt, spin
        self.figure = theme.figure(
            height=280, tools="wheel_zoom,reset,save", x_range=Range1d(-1, 1),
            y_range=Range1d(-1, 1),
        )  # fmt: skip
        ends = ("a0", "b0", "c0", "a1", "b1", "c1", "x0", "y0", "x1", "y1", "alpha")
        at = ("a", "b", "c", "x", "y", "alpha")
        self.lines, self.path = (
            ColumnDataSource({k: [] for k in (*ends, "color")}) for _ in range(2)
        )
        for source, width in ((self.lines, 1), (self.path, 2.5)):
            self.figure.segment(
                "x0", "y0", "x1", "y1", source=source, color="color", line_width=width,
                line_alpha="alpha", line_cap="butt",
            )  # fmt: skip
        self.points = ColumnDataSource({k: [] for k in (*at, "fill", "marker", "kind")})
        self.figure.scatter(
            "x", "y", source=self.points, size=9, marker="marker", fill_color="fill",
            line_color=TARGET, line_width=1.5, fill_alpha="alpha", line_alpha="alpha",
        )  # fmt: skip
        self.last = ColumnDataSource({k: [] for k in at})
        self.figure.scatter(
            "x", "y", source=self.last, size=9, marker="square", color=theme.ink, alpha="alpha"
        )
        self.axes = ColumnDataSource(
            {k: [] for k in (*at[:3], "x0", "y0", "x1", "y1", "angle", "alpha", "name", "share",
                             "reach")}
        )  # fmt: skip
        self.figure.segment(
            "x0", "y0", "x1", "y1", source=self.axes, color=theme.faint, line_alpha="alpha",
            line_width=1.5,
        )  # fmt: skip
        self.figure.scatter(
            "x1", "y1", source=self.axes, marker="triangle", size=7, angle="angle",
            color=theme.faint, alpha="alpha",
        )  # fmt: skip
        self.figure.text(
            "x1", "y1", "name", source=self.axes, x_offset=5, y_offset=-3, text_font_size="10px",
            text_color=theme.ink, text_alpha="alpha",
        )  # fmt: skip
        models = {
            "lines": self.lines, "path": self.path, "points": self.points, "last": self.last,
            "axes": self.axes, "tilt": tilt, "spin": spin,
            "xaxis": self.figure.xaxis[0], "yaxis": self.figure.yaxis[0],
        }  # fmt: skip
        turn = CustomJS(args=models, code=_TURN.replace("FAR", str(FAR)))
        for slider in (tilt, spin):
            slider.js_on_change("value", turn)
        some = {k: models[k] for k in ("axes", "tilt", "spin")}
        self.figure.js_on_event("panstart", CustomJS(args=some, code=_DRAG_BEGINS))
        self.figure.js_on_event("pan", CustomJS(args=some, code=_DRAG))
        for side in ("inner_width", "inner_height"):
            self.figure.js_on_change(side, CustomJS(args={"axes": self.axes}, code=_WIDE))
        self.shades = ramp(("#7FB3D9", "#0072B2") if not theme.dark else ("#9ED0F5", "#3A86BF"), 6)
        self._plane: Plane | None = None
        self._inner, self._reach = 1.0, 1.0

    def show(self, plane: Plane, points: Array, kinds: list[str]) -> None:
        """Another network."""
        self._plane = plane
        found = [_three(plane.project(points))] if len(points) else []
        shown = [_three(line) for line in plane.lines]
        self._inner = _reach(np.concatenate([*shown, *found]))
        self._fit(self._inner)
        ends = [(line[:-1], line[1:]) for line in shown]
        starts, stops = (np.concatenate(side) for side in zip(*ends, strict=True))
        colors = [c for c, (one, _) in zip(self.shades, ends, strict=False) for _ in one]
        self.lines.data = self._between(starts, stops) | {"color": colors}
        look = {
            "stable": ("circle", TARGET),
            "saddle": ("circle", self.theme.paper),
            "slow": ("x", TARGET),
        }
        self.points.data = self._spots(found[0] if found else np.zeros((0, 3))) | {
            "fill": [look[k][1] for k in kinds], "marker": [look[k][0] for k in kinds],
            "kind": kinds,
        }  # fmt: skip
        empty = np.zeros((0, 3))
        self.path.data = self._between(empty, empty) | {"color": []}
        self.last.data = self._spots(empty)

    def follow(self, states: Array) -> None:
        """The way of a challenge."""
        if self._plane is None:
            return
        at = _three(self._plane.project(states))
        self._fit(max(self._inner, _reach(at)))
        color = [self.theme.ink] * (len(at) - 1)
        self.path.data = self._between(at[:-1], at[1:]) | {"color": color}
        self.last.data = self._spots(at[-1:])

    def clear(self) -> None:
        """No challenge."""
        for source in (self.path, self.last):
            source.data = {name: [] for name in source.data}

    @property
    def flat(self) -> bool:
        """Whether there is nothing to turn."""
        return self._plane is None or len(self._plane.share) < 3

    def _fit(self, reach: float) -> None:
        """All of it is seen, from every side."""
        plane, figure = self._plane, self.figure
        assert plane is not None
        self._reach = reach
        wide = self._wide()
        half = reach * (1.0 if self.flat else wide)
        if (figure.x_range.end, figure.y_range.end) != (half, reach):
            for one, end in ((figure.x_range, half), (figure.y_range, reach)):
                one.update(start=-end, end=end, reset_start=-end, reset_end=end)
        share = [f"PC {i + 1} ({s:.0%})" for i, s in enumerate(plane.share)] + ["PC 2"] * 2
        tilt, spin = (0, 0) if self.flat else (self.tilt.value, self.spin.value)
        figure.xaxis.axis_label = f"PC 1 and PC 3, turned {spin:.0f}°" if spin else share[0]
        figure.yaxis.axis_label = f"PC 2 and others, turned {tilt:.0f}°" if tilt else share[1]
        length = reach * 0.24
        units = np.eye(3)[: 0 if self.flat else 3] * length
        seen = self._turned(units)
        base = np.array([-0.88 * half, -0.7 * reach])
        ends = base + seen[:, :2]
        self.axes.data = {
            **dict(zip("abc", units.T, strict=True)),
            "x0": np.full(len(units), base[0]), "y0": np.full(len(units), base[1]),
            "x1": ends[:, 0], "y1": ends[:, 1],
            "angle": np.arctan2(seen[:, 1], seen[:, 0]) - np.pi / 2,
            "alpha": self._shade(seen[:, 2] / length * reach),
            "name": [f"PC {i + 1}" for i in range(len(units))], "share": share[: len(units)],
            "reach": np.full(len(units), reach),
        }  # fmt: skip

    def _wide(self) -> float:
        """How much wider than high it is, as far as a browser has said so."""
        from bokeh.core.property.descriptors import UnsetValueError

        try:
            wide, high = self.figure.inner_width, self.figure.inner_height
        except UnsetValueError:
            return 2.2
        return float(wide / high) if high else 2.2

    def _turned(self, at: Array) -> Array:
        """Points (point, component) as they are seen: to the right, up, and nearer."""
        tilt, spin = (0.0, 0.0) if self.flat else (self.tilt.value, self.spin.value)
        tilt, spin = np.deg2rad(tilt), np.deg2rad(spin)
        inward = at[:, 2] * np.cos(spin) - at[:, 0] * np.sin(spin)
        return np.column_stack([
            at[:, 0] * np.cos(spin) + at[:, 2] * np.sin(spin),
            at[:, 1] * np.cos(tilt) + inward * np.sin(tilt),
            inward * np.cos(tilt) - at[:, 1] * np.sin(tilt),
        ])  # fmt: skip

    def _shade(self, depth: Array) -> Array:
        """Opacity of what lies so near: what is farther is paler."""
        if self.flat:
            return np.ones(len(depth))
        return np.clip((1 + FAR) / 2 + (1 - FAR) / 2 * depth / self._reach, FAR, 1.0)

    def _between(self, starts: Array, stops: Array) -> dict[str, Any]:
        one, other = self._turned(starts), self._turned(stops)
        columns = dict(zip(("a0", "b0", "c0", "a1", "b1", "c1"), (*starts.T, *stops.T),
                           strict=True))  # fmt: skip
        columns |= {"x0": one[:, 0], "y0": one[:, 1], "x1": other[:, 0], "y1": other[:, 1]}
        columns |= {"alpha": self._shade((one[:, 2] + other[:, 2]) / 2)}
        return {k: np.ascontiguousarray(v, np.float32) for k, v in columns.items()}

    def _spots(self, at: Array) -> dict[str, Any]:
        seen = self._turned(at)
        columns = {"a": at[:, 0], "b": at[:, 1], "c": at[:, 2], "x": seen[:, 0], "y": seen[:, 1]}
        columns |= {"alpha": self._shade(seen[:, 2])}
        return {k: np.ascontiguousarray(v, np.float32) for k, v in columns.items()}


def _three(at: Array) -> Array:
    """Points on up to three components, with zeros on those that there are not."""
    return np.pad(at, ((0, 0), (0, 3 - at.shape[1])))


def _reach(at: Array) -> float:
    """How far from the centre any point lies, with an edge."""
    return float(np.linalg.norm(at, axis=1).max() * 1.08) or 1.0


class GraphFigure:
    """The reduced-dynamics graph, with the nodes that a challenge leads through."""

    def __init__(self, theme: Theme) -> None:
        from bokeh.models import ColumnDataSource

        self.theme = theme
        self.figure = _bare(
            theme.figure(height=260, match_aspect=True, tools="pan,wheel_zoom,reset,save")
        )
        self.figure.axis.visible = False
        self.edges = ColumnDataSource({"xs": [], "ys": [], "color": [], "dash": []})
        self.figure.multi_line(
            "xs", "ys", source=self.edges, color="color", line_width=1.4, line_dash="dash"
        )
        self.heads = ColumnDataSource({"xs": [], "ys": [], "color": []})
        self.figure.patches("xs", "ys", source=self.heads, color="color")
        self.labels = ColumnDataSource({"x": [], "y": [], "text": []})
        self.figure.text(
            "x", "y", "text", source=self.labels, text_font_size="11px", text_align="center",
            text_baseline="middle", text_color=theme.ink,
        )  # fmt: skip
        self.nodes = ColumnDataSource(
            {"x": [], "y": [], "fill": [], "line": [], "width": [], "text": [], "ink": []}
        )
        self.figure.circle(
            "x", "y", source=self.nodes, radius=RADIUS, fill_color="fill", line_color="line",
            line_width="width",
        )  # fmt: skip
        self.figure.text(
            "x", "y", "text", source=self.nodes, text_font_size="10px", text_align="center",
            text_baseline="middle", text_color="ink",
        )  # fmt: skip
        self._drawn: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def clear(self) -> None:
        """No graph."""
        for source in (self.edges, self.heads, self.labels, self.nodes):
            source.data = {name: [] for name in source.data}

    def show(self, graph: Graph, symbols: list[str]) -> None:
        """Another graph; an arrangement that was found once is kept."""
        output, source, target = graph.node_output, graph.edge_source, graph.edge_target
        symbol = graph.edge_symbol
        key = tuple(a.tobytes() for a in (output, source, target, symbol))
        if key not in self._drawn:
            labels = ["" if s == 0 else symbols[s] for s in symbol.tolist()]
            at = node_positions(len(output), source, target, symbol == 0, output)
            self._drawn[key] = at, edge_curves(at, source, target, symbol == 0, labels)
        at, drawn = self._drawn[key]
        color = [self.theme.ink if e.autonomous else TARGET for e in drawn]
        self.edges.data = {
            "xs": [e.curve[:, 0] for e in drawn], "ys": [e.curve[:, 1] for e in drawn],
            "color": color, "dash": ["solid" if e.autonomous else "dashed" for e in drawn],
        }  # fmt: skip
        self.heads.data = {
            "xs": [e.head[:, 0] for e in drawn], "ys": [e.head[:, 1] for e in drawn], "color": color
        }  # fmt: skip
        said = [e for e in drawn if e.label]
        self.labels.data = {
            "x": [e.label_at[0] for e in said], "y": [e.label_at[1] for e in said],
            "text": [e.label for e in said],
        }  # fmt: skip
        silent = output == 0
        inside = "#10202c" if self.theme.dark else "#ffffff"
        fill = [self.theme.paper if quiet else self.theme.strong for quiet in silent]
        self.nodes.data = {
            "x": at[:, 0], "y": at[:, 1], "fill": fill, "line": [self.theme.ink] * len(at),
            "width": [1.2] * len(at),
            "text": [f"{i}" if not o else f"{i}: {o:+d}" for i, o in enumerate(output.tolist())],
            "ink": [self.theme.ink if quiet else inside for quiet in silent],
        }  # fmt: skip

    def follow(self, nodes: NDArray[np.int64] | None) -> None:
        """Mark the nodes that were visited, thickest the one where the trial ends."""
        count = len(self.nodes.data["x"])
        if not count:
            return
        visited = set() if nodes is None else set(nodes[nodes >= 0].tolist())
        last = -1 if nodes is None or not len(nodes) else int(nodes[-1])
        self.nodes.data = dict(self.nodes.data) | {
            "line": [ORANGE if i in visited else self.theme.ink for i in range(count)],
            "width": [6.0 if i == last else 3.5 if i in visited else 1.2 for i in range(count)],
        }  # fmt: skip


class LossFigure:
    """The loss on the way down."""

    def __init__(self, theme: Theme) -> None:
        from bokeh.models import ColumnDataSource

        self.figure = theme.figure(
            height=150, y_axis_type="log", x_axis_label="check", y_axis_label="loss", tools="save"
        )
        self.source = ColumnDataSource({"x": [], "y": []})
        self.figure.line("x", "y", source=self.source, color=theme.strong, line_width=1.5)

    def show(self, curve: Array) -> None:
        """Another network's."""
        there = np.flatnonzero(np.isfinite(curve) & (curve > 0))
        self.source.data = {"x": there, "y": curve[there]}


class BeyondFigure:
    """Outputs on trials beyond training, one row each."""

    def __init__(self, theme: Theme) -> None:
        from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper, Range1d

        from solspace.plots.style import DIVERGING

        self.figure = theme.figure(
            height=170, x_axis_label="step", y_axis_label="trial", tools="save",
            title="output on trials beyond training", x_range=Range1d(0, 1), y_range=Range1d(0, 1),
        )  # fmt: skip
        self.source = ColumnDataSource({"image": [], "dw": [], "dh": []})
        # Nothing put out is the colour of the paper.
        shades = [theme.paper if c == "#FFFFFF" else c for c in DIVERGING]
        colors = LinearColorMapper(palette=ramp(tuple(shades), 65), low=-1.2, high=1.2)
        self.figure.image(
            "image", x=0, y=0, dw="dw", dh="dh", source=self.source, color_mapper=colors
        )
        bar = ColorBar(
            color_mapper=colors, width=8, background_fill_color=theme.paper,
            major_label_text_color=theme.ink,
        )  # fmt: skip
        self.figure.add_layout(bar, "right")

    def show(self, output: Array) -> None:
        """Another network's, (trial, time)."""
        trials, steps = output.shape
        self.figure.x_range.end, self.figure.y_range.end = steps, trials
        self.source.data = {"image": [output.astype(np.float32)], "dw": [steps], "dh": [trials]}
