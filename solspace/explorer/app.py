"""The explorer as a page: widgets, figures, and what one does to the others."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.explorer import live, maps, telling
from solspace.explorer.crowds import Colors
from solspace.explorer.reading import Explored, open_explored
from solspace.tasks.challenges import Challenge, PlacedPulse, protocol_waits

if TYPE_CHECKING:
    import panel as pn
    import xarray as xr

__all__ = ["Explorer", "explore", "panel"]

MOST_COLORS = 10  # of a label that have a name in the key; the others are grey
SHOWN = 12  # rows of a table
# Names are offered while they are typed of so many networks; of more they are megabytes.
NAMED = 5_000
STORED = 5_000  # networks of a selection that is downloaded: each is some 20 kB
REDRAWN = 120  # ms from a move of the map until it is drawn anew
BOTH = ("A", "B")

STYLE = """
:root { --paper: #ffffff; --ink: #222222; --faint: #5c636b; --line: #d5d9de; }
:root[data-theme=dark] { --paper: #15181c; --ink: #e8e8e8; --faint: #a7aeb6; --line: #3a424a;
  color-scheme: dark; }
html, body { background: var(--paper); color: var(--ink); margin: 0;
  font-family: system-ui, sans-serif; font-size: 14px; }
.explorer { max-width: 1700px; margin: 0 auto; padding: 0 12px 24px; box-sizing: border-box; }
"""

# Within each widget's and text's own shadow root, where the page's style does not reach. In a
# notebook there is no such page: then these are the colours.
WIDGET = """
:host { color: var(--ink, #222222); --design-background-text-color: var(--ink, #222222); }
label, .bk-input-group > label, .bk-slider-title { color: var(--ink, #222222) !important; }
.bk-input, .bk-btn, select, .choices__inner, .choices__list--dropdown {
  background-color: var(--paper, #ffffff) !important; color: var(--ink, #222222) !important;
  border: 1px solid var(--line, #d5d9de) !important; }
select { appearance: auto !important; background-image: none !important;
  padding: 2px 6px !important; }
.bk-btn.bk-active { font-weight: 700; border-color: var(--ink, #222222) !important; }
.bk-btn:focus-visible, .bk-input:focus-visible { outline: 2px solid #3A86BF; outline-offset: 1px; }
table { border-collapse: collapse; font-size: 12.5px; }
td, th { padding: 1px 10px 1px 0; text-align: left; vertical-align: top; font-weight: normal; }
th { color: var(--faint, #5c636b); }
h1 { font-size: 19px; margin: 10px 0 2px; } h2 { font-size: 15px; margin: 6px 0 2px; }
p { margin: 3px 0; } .faint { color: var(--faint, #5c636b); }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 5px; }
pre { background: color-mix(in srgb, var(--ink, #222222) 7%, transparent); padding: 8px;
  overflow: auto; font-size: 12px; }
a { color: inherit; }
"""

PLANE_KEY = (
    "<p class='faint'>Thick: the challenge, a square where it ends. Thin: recorded trials. "
    "Circles: fixed points, filled where stable, open at saddles; a cross where slow.</p>"
)


def panel() -> Any:
    """Panel, or an error that says how to install it."""
    try:
        import panel as pn
    except ImportError as error:
        raise SolspaceError(
            f"the explorer needs {error.name}, which is not installed; "
            "type `pip install 'solspace[explorer]'`"
        ) from None
    return pn


class Explorer:
    """One session: a view of the populations of one store.

    Parameters
    ----------
    populations : mapping of str to Explored
        Shared between sessions, which only read it.
    distances : DataArray, optional
        For maps by distance, see `solspace.explorer.lay_out`.
    design : Dataset, optional
        What `solspace.design.design` returned, whose chosen challenges come first.
    state : mapping of str to str
        Of the page's address; what does not fit is left out.
    save_labels : bool
        Whether selections may be kept in the store.
    addressed : bool
        Whether the page's address follows the view.
    maps_made : dict, optional
        Maps that were laid out, shared between sessions.
    most_marks : int, optional
        Networks in view that are drawn as marks; more are drawn as a picture of where they lie.
    """

    def __init__(
        self,
        populations: Mapping[str, Explored],
        *,
        distances: xr.DataArray | None = None,
        design: xr.Dataset | None = None,
        state: Mapping[str, str] | None = None,
        save_labels: bool = False,
        addressed: bool = False,
        maps_made: dict[tuple[str, str], maps.Map] | None = None,
        most_marks: int | None = None,
    ) -> None:
        from solspace.explorer.figures import (
            MOST_MARKS,
            BeyondFigure,
            GraphFigure,
            LossFigure,
            MapFigure,
            PlaneFigure,
            Theme,
        )

        self.pn = panel()
        self.populations = dict(populations)
        self.distances, self.save_labels = distances, save_labels
        self.design = design
        self.maps_made = maps_made if maps_made is not None else {}
        state = dict(state or {})
        self.theme = Theme(state.get("theme") == "dark")
        self.address = self._address() if addressed else None
        self._quiet = False
        self._state_of_theme = (
            {"theme": state["theme"]} if state.get("theme") in ("dark", "light") else {}
        )
        self.map_figure = MapFigure(self.theme, most_marks or MOST_MARKS)
        self._zoom_waits = self._turn_waits = False
        self.planes = _Made(lambda: PlaneFigure(self.theme, self.turn, self.spin))
        self.graphs = _Made(lambda: GraphFigure(self.theme))
        self.beyond = _Made(lambda: BeyondFigure(self.theme))
        self.losses = _Made(lambda: LossFigure(self.theme))
        self.chosen: dict[str, int] = {}
        self.laid: maps.Map | None = None
        self._widgets()
        self._start(state)

    # ------------------------------------------------------------------ making

    def _widgets(self) -> None:
        pn, w = self.pn, self.pn.widgets
        sheets = {"stylesheets": [WIDGET]}
        wide = {"sizing_mode": "stretch_width", **sheets}
        self.population = w.Select(name="Population", options=[*self.populations], **wide)
        self.by = w.Select(name="Map by", options={v: k for k, v in maps.METHODS.items()}, **wide)
        self.color = w.Select(name="Colour by", options=["hidden_size"], **wide)
        self.feature = w.AutocompleteInput(
            name="or a feature", options=[], case_sensitive=False, min_characters=1,
            search_strategy="includes", restrict=True,
            placeholder="type a part of its name", **wide,
        )  # fmt: skip
        self.sizes = w.MultiChoice(name="Only sizes", options=[], **wide)
        self.solutions = w.MultiChoice(name="Only solutions", options=[], **wide)
        self.pick = {
            k: w.AutocompleteInput(
                name=f"Network {k}" + (", by name" if k == "A" else ", to compare"), options=[],
                case_sensitive=False, min_characters=1, search_strategy="includes", restrict=True,
                placeholder="name, or click on the map" if k == "A" else "name", **wide,
            )
            for k in BOTH
        }  # fmt: skip
        html = {"sizing_mode": "stretch_width", **sheets}
        self.next_to = w.RadioButtonGroup(
            name="A click chooses", options={"Click: A": "A", "Click: B": "B"}, value="A", **sheets
        )
        self.challenge = w.Select(name="Challenge", options=["by hand"], **wide)
        self.steps = w.IntInput(
            name="Steps of the trial", value=150, start=live.LEAST, end=live.MOST, step=10,
            width=130, **sheets,
        )  # fmt: skip
        self.add_to = w.Select(name="Add a pulse of", options=[], width=150, **sheets)
        self.width = w.IntInput(name="Its steps", value=5, start=1, end=500, width=80, **sheets)
        self.amplitude = w.FloatInput(
            name="Its amplitude", value=1.0, start=-10.0, end=10.0, step=0.1, width=100, **sheets
        )
        self.add = w.Button(name="Add pulse", **sheets)
        self.drop = w.Button(name="Remove last", **sheets)
        self.each = w.Toggle(name="One network of each solution", **sheets)
        # Of Bokeh's own, which scripts in the page can know.
        from bokeh.models import Slider

        self.turn = Slider(
            title="Turn about PC 1 (degrees); or drag", start=-90, end=90, step=1, value=0, **wide
        )
        self.spin = Slider(
            title="Turn about PC 2 (degrees)", start=-180, end=180, step=1, value=0, **wide
        )
        self.selection_name = w.TextInput(
            name="Name of the selection", placeholder="such as far_left", **wide
        )
        self.ask = w.Button(name="Which challenges tell it?", visible=False, **sheets)
        self.asked = pn.pane.HTML("", **html)
        self.keep = w.Button(name="Save label", disabled=not self.save_labels, **sheets)
        self.as_store = w.FileDownload(
            callback=self._selection_store, filename="selection.zarr.zip",
            label="Selection as a store",
            **sheets,
        )  # fmt: skip
        self.as_svg = w.FileDownload(
            callback=self._map_svg, filename="map.svg", label="Map as SVG", **sheets
        )
        self.show_code = w.Toggle(name="Code of this view", **sheets)
        self.legend, self.trust, self.said = (pn.pane.HTML("", **html) for _ in range(3))
        self.selected_text, self.code = pn.pane.HTML("", **html), pn.pane.HTML("", **html)
        self.about = {k: pn.pane.HTML("", **html) for k in BOTH}
        self.graph_said = {k: pn.pane.HTML("", **html) for k in BOTH}
        self.outputs: dict[str, Any] = {}
        self.output_place = {k: pn.Column(sizing_mode="stretch_width") for k in BOTH}
        self.pulse_place = pn.FlexBox(sizing_mode="stretch_width")
        self.each_place = pn.Column(sizing_mode="stretch_width")
        self.head = pn.pane.HTML("", **html)

    def _start(self, state: dict[str, str]) -> None:
        """The first view, from the address as far as that can be."""
        self._quiet = True
        first = state.get("population", "")
        self.population.value = first if first in self.populations else next(iter(self.populations))
        self._of_population()
        if state.get("map") in self.by.options.values():
            self.by.value = state["map"]
        self._lay_out()
        if state.get("color") in self.color.options:
            self.color.value = state["color"]
        elif state.get("color") in self.seen.features_named:
            self.feature.value = state["color"]
        self.sizes.value = [s for s in _listed(state.get("sizes")) if s in self.sizes.options]
        self.solutions.value = [
            s for s in _listed(state.get("solutions")) if s in self.solutions.options
        ]
        if challenge := self._challenge_in(state):
            self._set_challenge(challenge)
        with contextlib.suppress(ValueError, OverflowError):
            turned = [int(t) for t in state.get("turn", "").split(",")]
            for slider, degrees in zip((self.turn, self.spin), turned, strict=True):
                slider.value = min(max(degrees, slider.start), slider.end)
        self._redraw()
        for k in BOTH:
            if state.get(k) in self.seen.names:
                self._choose(k, self.seen.names.index(state[k]))
        if not self.chosen:
            self._choose("A", int(self._kept().argmax()))
        self.each.value = state.get("each") == "1"
        self._show_each()
        self._quiet = False
        self._wire()
        self._tell()

    def _wire(self) -> None:
        def on(widget: Any, act: Callable[[], None], what: str = "value") -> None:
            def called(event: Any) -> None:
                if not self._quiet:
                    self._guarded(act)
                    self._tell()

            widget.param.watch(called, what)

        on(self.population, self._change_population)
        on(self.by, self._relay)
        on(self.color, self._color_changed)
        on(self.feature, self._recolor)
        on(self.sizes, self._redraw)
        on(self.solutions, self._redraw)
        for k in BOTH:
            on(self.pick[k], functools.partial(self._picked, k))
        on(self.challenge, self._challenge_changed)
        on(self.steps, self._answer)
        on(self.add, self._add_pulse, "clicks")
        on(self.drop, self._drop_pulse, "clicks")
        on(self.each, self._show_each)
        for slider in (self.turn, self.spin):
            slider.on_change("value", self._turned)
        on(self.keep, self._save_selection, "clicks")
        on(self.ask, self._ask_challenges, "clicks")
        on(self.show_code, lambda: None)
        self.map_figure.source.selected.on_change("indices", self._selected)
        self.map_figure.figure.on_event("tap", self._clicked)
        self.map_figure.figure.on_event("selectiongeometry", self._lassoed)
        self.map_figure.figure.on_event("rangesupdate", self._zoomed)
        self.map_figure.figure.on_event("reset", self._unselected)

    def _guarded(self, act: Callable[[], Any]) -> None:
        """Do it; where it cannot be done say why, and leave the rest as it is."""
        try:
            act()
        except SolspaceError as error:
            self.said.object = f"<p role='alert'>{escape(str(error))}</p>"
        else:
            if "role='alert'" in self.said.object:
                self.said.object = ""

    def _address(self) -> Any:
        """What puts its text into the browser's line of address, which then shows this view."""
        from bokeh.models import CustomJS, Div

        made = Div(visible=False, name="address")
        code = "window.history.replaceState(null, '', cb_obj.text)"
        made.js_on_change("text", CustomJS(code=code))
        return made

    # ------------------------------------------------------------- populations

    @property
    def seen(self) -> Explored:
        """The population that is shown."""
        return self.populations[self.population.value]

    def _of_population(self) -> None:
        seen = self.seen
        colors = seen.colors()
        first = [c for c in ("solution_name", "selection", "hidden_size", "loss") if c in colors]
        self.color.options = [*first, *sorted(set(colors) - set(first))]
        self.color.value = self.color.options[0]
        self.feature.options, self.feature.value = seen.features_named, ""
        sizes = (
            [str(s) for s in np.unique(seen.column("hidden_size"))]
            if "hidden_size" in colors
            else []
        )
        self.sizes.options, self.sizes.value = sizes, []
        named = (
            [row[0] for row in telling.label_counts(
                seen.column("solution_name"), np.ones(seen.networks, bool), 40)]
            if "solution_name" in colors else []
        )  # fmt: skip
        self.solutions.options, self.solutions.value = named, []
        methods = {v: k for k, v in maps.METHODS.items()}
        given = self.distances is not None and maps.are_of(self.distances, seen)
        missing = set() if given else {"distances"}
        if not seen.features_named:
            missing |= {"features", "features_tsne"}
        if "weight_hh" not in seen.ds.variables:
            missing |= {"weights"}
        self.by.options = {v: k for v, k in methods.items() if k not in missing}
        self.by.value = next(iter(self.by.options.values()), None)
        self._trials_beyond = seen.task.extrapolation_trials()
        for k in BOTH:
            many = seen.networks > NAMED
            self.pick[k].param.update(
                options=[] if many else seen.names, restrict=not many,
                placeholder=f"its name, or 0 to {seen.networks - 1}, and Enter" if many
                else "name, or click on the map" if k == "A" else "name",
            )  # fmt: skip
            self.outputs.pop(k, None)
        self.at_hand = live.challenges_at_hand(seen.task)
        chosen = self._chosen()
        told = {f"{i}. to tell solutions apart: {n}": n for i, n in enumerate(chosen, 1)}
        others = {name: name for name in self.at_hand if name not in chosen}
        self.challenge.options = {"by hand": "by hand", **told, **others}
        self.add_to.options = list(seen.task.inputs)
        self.add_to.value = self.add_to.options[0]
        # The first that graphs know, so that the place on the graph is seen from the start.
        known = [
            one
            for one in self.at_hand.values()
            if one.pulses and seen.task.protocol and protocol_waits(seen.task.protocol, one)
        ]
        first_of = (known or list(self.at_hand.values()))[0]
        if chosen:
            first_of = self.at_hand[chosen[0]]
        self.challenge.value = first_of.name
        self._set_challenge(first_of)

    def _chosen(self) -> list[str]:
        """Challenges that the design chose, where it is of this task and architecture."""
        if self.design is None:
            return []
        from solspace.design.identifying import chosen_challenges

        of = tuple(str(self.design.coords[name].values) for name in ("task", "architecture"))
        if of != (self.seen.task.name, self.seen.architecture):
            return []
        return [name for name in chosen_challenges(self.design) if name in self.at_hand]

    def _change_population(self) -> None:
        self.chosen = {}
        self._quiet = True
        try:
            self._of_population()
            for k in BOTH:
                self.pick[k].value = ""
        finally:
            self._quiet = False
        self._lay_out()
        self._redraw()
        self._choose("A", 0)
        self._show_each()

    # --------------------------------------------------------------------- map

    def _lay_out(self) -> None:
        key = (self.population.value, str(self.by.value))
        if key not in self.maps_made:
            try:
                if self.by.value is None:
                    raise SolspaceError(
                        f"{self.seen.name} has nothing to make a map from; "
                        f"{self.seen.to_make('features')}"
                    )
                self.maps_made[key] = maps.lay_out(self.seen, self.by.value, self.distances)
            except SolspaceError as error:
                self.laid = None
                self.trust.object = f"<p role='alert'>No map: {escape(str(error))}</p>"
                return
        self.laid = self.maps_made[key]
        told = f"Made from {self.laid.told}."
        if not self.seen.features_named:
            told += f" There are no features; {self.seen.to_make('features')}."
        self.trust.object = f"<p class='faint'>{escape(told)}</p>"

    def _relay(self) -> None:
        self._lay_out()
        self._redraw()
        self._about_all()

    def _kept(self) -> NDArray[np.bool_]:
        kept = np.ones(self.seen.networks, bool)
        if self.sizes.value:
            kept &= np.isin(self.seen.column("hidden_size").astype(str), self.sizes.value)
        if self.solutions.value:
            named, code = telling.coded(self.seen.column("solution_name"))
            kept &= np.isin(named, self.solutions.value)[code]
        return kept

    def _conditions(self) -> list[str]:
        out = []
        if self.sizes.value:
            out.append(
                f"np.isin(seen.column('hidden_size').astype(str), {list(self.sizes.value)!r})"
            )
        if self.solutions.value:
            values = [v if v != "none" else "" for v in self.solutions.value]
            out.append(f"np.isin(seen.column('solution_name').astype(str), {values!r})")
        return out

    def _palette(self, names: list[str]) -> dict[str, str]:
        """The colours that solutions have in every picture, lighter on a dark page."""
        from solspace.plots.style import shaded, solution_colors

        found = solution_colors(names)
        return {k: shaded(v, 0.3) if self.theme.dark else v for k, v in found.items()}

    def _colored_by(self) -> str:
        return str(self.feature.value or self.color.value)

    def _colors(self) -> Colors:
        """The colour of each network and what is said of it; the legend is shown."""
        from solspace.plots.style import PARAMETER_COLORS, ramp

        by = self._colored_by()
        values = self.seen.column(by)
        if values.dtype.kind in "iufb" and by != "solution":
            number = values.astype(float)
            known = np.isfinite(number)
            if not known.any():
                self.legend.object = f"<p>No network has a value of {escape(by)}.</p>"
                none = np.zeros(len(number), np.intp)
                return Colors([self.theme.faint], none, lambda at: ["not known"] * len(at))
            low, high = np.percentile(number[known], [2, 98])
            low, high = (low, high) if low < high else (number[known].min(), number[known].max())
            shades = [*ramp(PARAMETER_COLORS, 64), self.theme.faint]
            at = np.clip((number - low) / ((high - low) or 1.0), 0, 1)
            code = np.where(known, np.nan_to_num(at * 63).astype(np.intp), 64)
            bar = ", ".join(PARAMETER_COLORS)
            unknown = f", {int((~known).sum())} not known (grey)" if not known.all() else ""
            self.legend.object = (
                f"<p>{escape(by)}: {low:.3g} <span style='display:inline-block;width:120px;"
                f"height:10px;background:linear-gradient(to right,{bar})'></span> {high:.3g}"
                f"{unknown}</p>"
            )
            return Colors(shades, code, lambda at: [f"{by} {v:.4g}" for v in number[at]])
        named, code = telling.coded(values)
        rows = telling.label_counts(values, self._kept(), MOST_COLORS)
        palette = self._palette([row[0] for row in rows])
        palette = {k: self.theme.faint if k == "none" else v for k, v in palette.items()}
        more = len(named) - len(rows)
        self.legend.object = "<p>" + " &nbsp; ".join(
            f"<span style='white-space:nowrap'><span class='swatch' "
            f"style='background:{palette[name]}'></span>"
            f"{escape(name[:44].replace('_', ' '))} ({count})</span>"
            for name, count, _ in rows
        ) + (f" &nbsp; and {more} more, grey" if more else "") + "</p>"  # fmt: skip
        shades = [palette.get(n, self.theme.faint) for n in named.tolist()]
        return Colors(shades, code, lambda at: named[code[at]].tolist())

    def _redraw(self) -> None:
        kept = self._kept()
        self._head(int(kept.sum()))
        self._storable(int(kept.sum()))
        if self.laid is None:
            self.map_figure.clear()
            return
        self.map_figure.show(self.laid, kept, self._colors(), self.seen.names)
        self.map_figure.mark(self.laid, self.chosen)
        if not self.map_figure.whole:
            self._describe_selection()

    def _storable(self, networks: int) -> None:
        """A store of so many can be downloaded, or it is said why not."""
        self.as_store.disabled = networks > STORED
        self.as_store.label = (
            f"Selection as a store: up to {STORED:,}"
            if networks > STORED
            else "Selection as a store"
        )

    def _head(self, kept: int) -> None:
        of = f"{kept} of {self.seen.networks}" if kept < self.seen.networks else f"{kept}"
        store = os.path.basename(self.seen.path.rstrip("/"))
        other = "light" if self.theme.dark else "dark"
        paper = f"<a class='theme' data-theme='{other}' href='?theme={other}'>{other} page</a>"
        self.head.object = (
            f"<h1>{escape(self.seen.name)}</h1><p class='faint'>{of} networks"
            f"{' of ' + escape(store) if store else ''} &nbsp; "
            f"{paper if self.address is not None else ''}</p>"
        )

    def _color_changed(self) -> None:
        self._quiet = True
        self.feature.value = ""
        self._quiet = False
        self._recolor()

    def _recolor(self) -> None:
        if self.laid is not None:
            self.map_figure.recolor(self._colors())

    # --------------------------------------------------------------- selection

    def _selected(self, attr: str, old: Any, new: list[int]) -> None:
        if self.map_figure.whole:  # otherwise the lasso says it itself
            self._guarded(self._describe_selection)

    def _lassoed(self, event: Any) -> None:
        """Of more networks than there are marks, those within what was drawn."""
        if event.final and not self.map_figure.whole:
            self.map_figure.lasso(event.geometry or {})
            self._guarded(self._describe_selection)

    def _unselected(self, event: Any) -> None:
        if not self.map_figure.whole and self.map_figure.selected is not None:
            self.map_figure.select(None)
            self._guarded(self._describe_selection)

    def _zoomed(self, event: Any) -> None:
        """Draw what is seen now, once for the moves of a moment."""
        self._view = (event.x0, event.x1, event.y0, event.y1)
        if self._zoom_waits or self.map_figure.whole:
            return
        document = self.map_figure.figure.document
        if document is None or document.session_context is None:
            self.map_figure.look(*self._view)
            return
        self._zoom_waits = True

        def now() -> None:
            self._zoom_waits = False
            self.map_figure.look(*self._view)

        document.add_timeout_callback(now, REDRAWN)

    def _clicked(self, event: Any) -> None:
        """The network under a click is looked at."""
        found = self.map_figure.nearest(event.x, event.y)
        if found is not None:
            self._guarded(lambda: self._choose(self.next_to.value, found))
            self._tell()

    def selection(self) -> NDArray[np.bool_]:
        """Which networks are in the lasso."""
        inside = np.zeros(self.seen.networks, bool)
        if not self.map_figure.whole:
            chosen = self.map_figure.selected
            return inside if chosen is None else chosen
        at = self.map_figure.source.data["index"]
        inside[[int(at[i]) for i in self.map_figure.source.selected.indices]] = True
        return inside

    def _describe_selection(self) -> None:
        inside = self.selection()
        n = int(inside.sum())
        self._storable(n or int(self._kept().sum()))
        self.asked.object, self.ask.visible = "", n >= 3 and self.seen.task.challenges is not None
        if n < 2:
            self.selected_text.object = ""
            return
        out = [f"<h2>{n} networks selected</h2>"]
        label = "solution_name" if "solution_name" in self.seen.colors() else "hidden_size"
        counts = telling.label_counts(self.seen.column(label), inside)
        out.append(_table(
            [label.replace("_", " "), "inside", "outside"],
            [(name.replace("_", " ")[:48], i, o) for name, i, o in counts if i],
        ))  # fmt: skip
        try:
            rows = telling.distinguish(self.seen, inside)[:SHOWN]
            out.append("<p>Features that differ most from the others (difference of means in "
                       "standard "
                       "deviations; Mann-Whitney, corrected over all features"
                       f"{self._compared(n)}):</p>")  # fmt: skip
            out.append(_table(
                ["feature", "difference", "corrected p"],
                [(r.feature, f"{r.difference:+.2f}", f"{r.corrected:.2g}") for r in rows],
            ))  # fmt: skip
        except SolspaceError as error:
            out.append(f"<p>{escape(str(error))}</p>")
        self.selected_text.object = "".join(out)

    def _compared(self, inside: int) -> str:
        """Where not all networks are compared, how many are."""
        most = telling.COMPARED
        sides = [min(n, most) for n in (inside, self.seen.networks - inside)]
        some = max(inside, self.seen.networks - inside) > most
        return f"; of {sides[0]:,} and {sides[1]:,} networks, evenly chosen" if some else ""

    def _ask_challenges(self) -> None:
        """Give the challenges of the task to networks of the selection and to others."""
        rows = telling.distinguish_challenges(self.seen, self.selection())
        self.asked.object = (
            f"<p>Challenges by how differently {rows[0].inside} networks of the selection and "
            f"{rows[0].outside} others answer (0 alike, 1 none alike):</p>"
        ) + _table(
            ["challenge", "difference"], [(r.challenge, f"{r.difference:.2f}") for r in rows[:6]]
        )
        # The first is one click away: it is what the networks that are looked at are given.
        if rows[0].challenge in self.at_hand:
            self.challenge.value = rows[0].challenge

    def _save_selection(self) -> None:
        from solspace.run.loop import run_stage
        from solspace.selections.stage import members_of
        from solspace.store import Store

        seen, inside = self.seen, self.selection()
        if not self.save_labels:  # a button that is disabled can be clicked by a program
            raise SolspaceError("labels are saved where `solspace explore` is given --save-labels")
        if not inside.any():
            raise SolspaceError("no network is selected; draw a lasso around some first")
        name = str(self.selection_name.value).strip()
        chosen = {seen.names[i] for i in np.flatnonzero(inside)}
        task, architecture = seen.name.split("/")
        # What another session saved meanwhile is kept.
        (population,) = Store(seen.path).populations(task, architecture)
        held = {
            k: [m for m in v if m not in chosen] for k, v in members_of(population.open()).items()
        }
        held.pop(name, None)
        members = [f"{k}={m}" for k, v in held.items() for m in v]
        members += [f"{name}={m}" for m in sorted(chosen)]
        run_stage(
            seen.path, "select", task=task, architecture=architecture, redo=True,
            options={"members": members},
        )  # fmt: skip
        fresh = open_explored(seen.path)[seen.name]
        self.populations[seen.name] = fresh
        self.color.options = [*dict.fromkeys([*self.color.options, "selection"])]
        self.color.value = "selection"
        self.said.object = (
            f"<p role='status'>{len(chosen)} networks are saved as {escape(name)!r} in the label "
            f"'selection' of {escape(seen.name)}.</p>"
        )

    def _selection_store(self) -> io.BytesIO:
        from solspace.run.populations import create_population
        from solspace.store.shipped import zip_store

        inside = self.selection() if self.selection().any() else self._kept()
        if inside.sum() > STORED:  # a button that is disabled can be clicked by a program
            raise SolspaceError(f"{int(inside.sum())} networks; up to {STORED} are downloaded")
        ds = self.seen.ds.isel(network=np.flatnonzero(inside)).load()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "selection.zarr")
            create_population(path, ds)
            zip_store(path, path + ".zip")
            with open(path + ".zip", "rb") as file:
                return io.BytesIO(file.read())

    def _map_svg(self) -> io.StringIO:
        return io.StringIO(self.svg())

    def svg(self) -> str:
        """The map as it is, drawn for print."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.5, 3.2))
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        data, crowd = self.map_figure.source.data, self.map_figure.crowd.data
        for image, x, y, dw, dh in zip(*(crowd[k] for k in ("image", "x", "y", "dw", "dh")),
                                       strict=True):  # fmt: skip
            shades = image.view(np.uint8).reshape(*image.shape, 4)
            axes.imshow(shades, origin="lower", extent=(x, x + dw, y, y + dh), aspect="auto")
        if len(data["x"]):
            axes.scatter(data["x"], data["y"], c=list(data["color"]), s=7, linewidths=0)
        axes.set_xticks([])
        axes.set_yticks([])
        if self.laid is not None:
            axes.set_xlabel(self.laid.axes[0], fontsize=8)
            axes.set_ylabel(self.laid.axes[1], fontsize=8)
        axes.set_title(f"{self.seen.name}, by {self._colored_by()}", fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", bbox_inches="tight")
        return out.getvalue()

    # ---------------------------------------------------------------- networks

    def _picked(self, k: str) -> None:
        wanted = str(self.pick[k].value).strip()
        if wanted and not self.pick[k].options:  # not offered, so that anything may be typed
            digits = wanted.isdecimal() and wanted not in self.seen.names
            self._choose(k, self.seen.place(int(wanted) if digits else wanted))
        elif wanted in self.seen.names:
            self._choose(k, self.seen.names.index(wanted))
        elif k == "B":
            self.chosen.pop("B", None)
            self._shown_pair()

    def _choose(self, k: str, index: int) -> None:
        """Look at a network."""
        from solspace.explorer.figures import OutputFigure

        self.chosen[k] = index
        if k not in self.outputs:  # as many lines as the task has outputs
            self.outputs[k] = OutputFigure(self.theme, self.seen.task)
            self.outputs[k].source.name = f"output {k}"
            self.output_place[k].objects = [self._pane(self.outputs[k].figure)]
        before, self._quiet = self._quiet, True
        self.pick[k].value = self.seen.names[index]
        self._quiet = before
        if self.laid is not None:
            self.map_figure.mark(self.laid, self.chosen)
        seen = self.seen
        seen.look_at(index)
        self._about(k)
        try:
            plane = live.plane_of(seen, index)
            try:
                points, kinds = seen.fixed_points(index)
            except SolspaceError:
                points, kinds = np.zeros((0, 1)), []
            self.planes[k].show(plane, points, kinds)
        except SolspaceError:
            self.planes[k].figure.visible = False
        else:
            self.planes[k].figure.visible = True
        try:
            graph = seen.graph(index)
            self.graphs[k].show(graph, list(seen.task.input_symbols))
            self.graphs[k].figure.visible = True
        except SolspaceError:
            self.graphs[k].clear()
            self.graphs[k].figure.visible = False
        self._answer_of(k)
        self._shown_pair()
        self._later(functools.partial(self._more_of, k))

    def _about_all(self) -> None:
        for k in self.chosen:
            self._about(k)

    def _about(self, k: str) -> None:
        seen, index = self.seen, self.chosen[k]
        rows: list[tuple[str, str]] = []
        for name in ("hidden_size", "solution_name", "loss", "graph_recall", "graph_specificity",
                     "stable_points", "selection"):  # fmt: skip
            if name in seen.colors():
                value = seen.column(name)[index]
                text = f"{value:.3g}" if isinstance(value, np.floating) else str(value)
                text = "not known" if text == "nan" else text
                rows.append((name.replace("_", " "), text.replace("_", " ") or "none"))
        out = [f"<h2>{k}: {escape(seen.names[index])}</h2>", _table(None, rows)]
        if self.laid is not None and index in self.laid.there:
            near = ", ".join(
                f"{escape(seen.names[i])} ({far:.3g})" for i, far in self.laid.nearest(index, 4)
            )
            out.append(f"<p class='faint'>Nearest by {escape(self.laid.measure)}: {near}</p>")
        for group, what, stage in (
            ("graph", "No graph", "reduce"), ("fixed_points", "No fixed points", "fixed_points")
        ):  # fmt: skip
            if not seen.has(group):
                out.append(f"<p class='faint'>{what}; {escape(seen.to_make(stage))}</p>")
        self.about[k].object = "".join(out)

    def _more_of(self, k: str) -> None:
        """What takes longer, and is looked at later."""
        self._loss_of(k)
        self._beyond_of(k)

    def _loss_of(self, k: str) -> None:
        """The loss on the way down, where it was kept."""
        ds, index = self.seen.ds, self.chosen[k]
        self.losses[k].figure.visible = "loss_curve" in ds.variables
        if "loss_curve" not in ds.variables:
            return
        curve = np.asarray(ds["loss_curve"].isel(network=index).values, float)
        self.losses[k].show(curve)

    def _beyond_of(self, k: str) -> None:
        """Outputs on the task's trials outside of the trained set, one row each."""
        from solspace import networks

        seen = self.seen
        trials = self._trials_beyond
        take = np.unique(np.linspace(0, len(trials) - 1, 60).round().astype(int))
        try:
            weights = seen.weights(self.chosen[k])
        except SolspaceError:
            self.beyond[k].figure.visible = False
            return
        self.beyond[k].show(networks.run(seen.architecture, weights, trials.input[take])[1][..., 0])
        self.beyond[k].figure.visible = True

    def _shown_pair(self) -> None:
        """Show the figures of the networks that are looked at, and make no others."""
        for k, card in self.cards.items():
            card.visible = k in self.chosen
            if k in self.chosen and not len(card):
                self.planes[k].figure.name = f"plane {k}"
                card.objects = [
                    self.about[k],
                    self.output_place[k],
                    self._pane(self.planes[k].figure),
                    self.pn.pane.HTML(PLANE_KEY, stylesheets=[WIDGET]),
                    self._pane(self.graphs[k].figure),
                    self.graph_said[k],
                    self._pane(self.beyond[k].figure),
                    self._pane(self.losses[k].figure),
                ]
        if self.laid is not None:
            self.map_figure.mark(self.laid, self.chosen)

    def _later(self, act: Callable[[], Any]) -> None:
        """After what was drawn so far is sent; at once where there is no page yet."""
        document = self.map_figure.figure.document
        if document is None or self._quiet or document.session_context is None:
            act()
        else:
            document.add_next_tick_callback(act)

    def _pane(self, figure: Any) -> Any:
        return self.pn.pane.Bokeh(figure, sizing_mode="stretch_width")

    def _turned(self, attr: str, old: Any, new: Any) -> None:
        """The browser has turned the planes; the address follows."""
        document = self.map_figure.figure.document
        if document is None or document.session_context is None:
            self._tell()
        elif not self._turn_waits:
            self._turn_waits = True

            def now() -> None:
                self._turn_waits = False
                self._tell()

            document.add_timeout_callback(now, REDRAWN)

    # --------------------------------------------------------------- challenge

    def _challenge_in(self, state: Mapping[str, str]) -> Challenge | None:
        """The challenge of an address: by name, or its pulses."""
        if state.get("challenge") in self.at_hand:
            self.challenge.value = state["challenge"]
            return self.at_hand[state["challenge"]]
        try:
            given = json.loads(state.get("pulses", ""))
            pulses = [PlacedPulse(int(o), int(c), int(w), float(a)) for o, c, w, a in given]
            made = live.check_pulses(self.seen.task, pulses, int(state.get("steps", 0)))
        except (ValueError, TypeError, OverflowError):  # SolspaceError among them
            return None
        self.challenge.value = "by hand"
        return made

    def _set_challenge(self, challenge: Challenge) -> None:
        """Sliders for the pulses of a challenge."""
        before, self._quiet = self._quiet, True
        self.pulses = list(challenge.pulses)
        self.steps.value = challenge.steps
        self._quiet = before
        self._place_sliders()

    def _place_sliders(self) -> None:
        names = self.seen.task.inputs
        from solspace.explorer.figures import INPUT_COLORS

        made = []
        for i, pulse in enumerate(self.pulses):
            slider = self.pn.widgets.IntSlider(
                name=f"{names[pulse.channel]}, pulse {i + 1} begins at step", start=0,
                end=max(self.steps.value - pulse.width, 1), value=pulse.onset, width=250,
                bar_color=INPUT_COLORS[pulse.channel % len(INPUT_COLORS)], stylesheets=[WIDGET],
            )  # fmt: skip
            slider.param.watch(lambda event, i=i: self._moved(i, event.new), "value")
            made.append(slider)
        self.pulse_place.objects = made

    def _moved(self, i: int, onset: int) -> None:
        if self._quiet or i >= len(self.pulses):
            return
        self.pulses[i] = self.pulses[i]._replace(onset=int(onset))
        self._by_hand()

    def _by_hand(self) -> None:
        before, self._quiet = self._quiet, True
        self.challenge.value = "by hand"
        self._quiet = before
        self._guarded(self._answer)
        self._tell()

    def _challenge_changed(self) -> None:
        if self.challenge.value in self.at_hand:
            self._set_challenge(self.at_hand[self.challenge.value])
        self._answer()

    def _add_pulse(self) -> None:
        if len(self.pulses) >= live.PULSES:
            raise SolspaceError(f"{len(self.pulses)} pulses; up to {live.PULSES} can be given")
        channel = self.add_to.options.index(self.add_to.value)
        like = PlacedPulse(0, channel, int(self.width.value), float(self.amplitude.value))
        last = max((p.onset + p.width for p in self.pulses), default=0)
        onset = max(0, min(last + 20, self.steps.value - like.width))
        live.check_pulses(self.seen.task, [like._replace(onset=onset)], int(self.steps.value))
        self.pulses.append(like._replace(onset=onset))
        self._place_sliders()
        self._by_hand()

    def _drop_pulse(self) -> None:
        if self.pulses:
            self.pulses.pop()
            self._place_sliders()
            self._by_hand()

    def now(self) -> Challenge:
        """The challenge on the time line."""
        if self.challenge.value in self.at_hand:
            named = self.at_hand[self.challenge.value]
            if named.pulses == tuple(self.pulses) and named.steps == self.steps.value:
                return named
        return live.check_pulses(self.seen.task, self.pulses, int(self.steps.value))

    def _answer(self) -> None:
        for k in self.chosen:
            self._answer_of(k)
        self._show_each()

    def _answer_of(self, k: str) -> None:
        seen, index = self.seen, self.chosen[k]
        challenge = self.now()
        try:
            answer = live.respond(seen, index, challenge)
        except SolspaceError as error:
            self.about[k].object += f"<p role='alert'>{escape(str(error))}</p>"
            return
        self.outputs[k].show(challenge.pulses, challenge.steps, answer.output)
        self.planes[k].follow(answer.states)
        self.graphs[k].follow(answer.nodes)
        if answer.nodes is None:
            said = f"No place on the graph: {answer.said}."
        else:
            last = int(answer.nodes[-1])
            said = f"Ends in node {last}." if last >= 0 else "Leaves what the graph allows."
            said = f"On the graph, orange where the challenge leads. {said}"
        self.graph_said[k].object = f"<p class='faint'>{escape(said)}</p>"

    def _show_each(self) -> None:
        """Outputs of one network of each solution, one above the other."""
        if not self.each.value:
            self.each_place.objects = []
            return
        found = live.one_of_each(self.seen)
        challenge = self.now()
        palette = self._palette([name for name, _ in found])
        if not self.each_place.objects or self._each_of != (self.seen.name, len(found)):
            from bokeh.models import ColumnDataSource

            figure = self.theme.figure(
                height=60 + 58 * len(found), x_axis_label="step", tools="save"
            )
            figure.yaxis.visible = False
            self._each_lines = ColumnDataSource({"xs": [], "ys": [], "color": []})
            self._each_pulses = ColumnDataSource({"left": [], "right": [], "top": [], "color": []})
            figure.quad(
                left="left", right="right", bottom=-1.2, top="top", color="color", alpha=0.3,
                source=self._each_pulses,
            )  # fmt: skip
            figure.multi_line("xs", "ys", color="color", source=self._each_lines, line_width=2)
            said = [f"{name.replace('_', ' ')[:34]}: {self.seen.names[j]}" for name, j in found]
            figure.text(
                x=1, y=[2.6 * i + 0.25 for i in range(len(found))], text=said,
                text_font_size="11px", text_color=self.theme.ink,
            )  # fmt: skip
            self.each_place.objects = [self._pane(figure)]
            self._each_of = (self.seen.name, len(found))
        ys = [live.respond(self.seen, j, challenge).output[:, 0] for _, j in found]
        self._each_lines.data = {
            "xs": [np.arange(len(y)) for y in ys], "ys": [y + 2.6 * i for i, y in enumerate(ys)],
            "color": [palette[name] for name, _ in found],
        }  # fmt: skip
        from solspace.explorer.figures import INPUT_COLORS

        self._each_pulses.data = {
            "left": [p.onset for p in challenge.pulses],
            "right": [p.onset + p.width for p in challenge.pulses],
            "top": [2.6 * len(found) - 1.2] * len(challenge.pulses),
            "color": [INPUT_COLORS[p.channel % len(INPUT_COLORS)] for p in challenge.pulses],
        }  # fmt: skip

    _each_of: tuple[str, int] = ("", 0)

    # ------------------------------------------------------------------- state

    def state(self) -> dict[str, str]:
        """What an address holds to show this again."""
        out = {"population": str(self.population.value), "map": str(self.by.value or "")}
        out["color"] = self._colored_by()
        if self.sizes.value:
            out["sizes"] = "|".join(self.sizes.value)
        if self.solutions.value:
            out["solutions"] = "|".join(self.solutions.value)
        out |= {k: self.seen.names[i] for k, i in self.chosen.items()}
        if self.challenge.value in self.at_hand:
            out["challenge"] = str(self.challenge.value)
        else:
            out["pulses"] = json.dumps([list(p) for p in self.pulses], separators=(",", ":"))
            out["steps"] = str(self.steps.value)
        if self.each.value:
            out["each"] = "1"
        if self.turn.value or self.spin.value:
            out["turn"] = f"{self.turn.value:.0f},{self.spin.value:.0f}"
        return out | self._state_of_theme

    def code_text(self) -> str:
        """The lines that give what is shown."""
        name = self.seen.names[self.chosen["A"]] if "A" in self.chosen else None
        return telling.view_code(
            self.seen, by=str(self.by.value), color=self._colored_by(), kept=self._conditions(),
            network=name, pulses=sorted(self.pulses),
            steps=int(self.steps.value),
        )  # fmt: skip

    def _tell(self) -> None:
        if self.show_code.value:
            self.code.object = f"<pre tabindex='0'>{escape(self.code_text())}</pre>"
        self.code.visible = bool(self.show_code.value)
        if self.address is not None:
            self.address.text = "?" + urlencode(self.state())

    # -------------------------------------------------------------------- page

    @property
    def cards(self) -> dict[str, Any]:
        """What is shown of each network."""
        if not hasattr(self, "_cards"):
            self._cards = {
                k: self.pn.Column(
                    sizing_mode="stretch_width", min_width=230, styles={"flex": "1 1 250px"}
                )
                for k in BOTH
            }
        return self._cards

    def layout(self) -> Any:
        """The whole page."""
        pn = self.pn
        grow = {"sizing_mode": "stretch_width", "min_width": 300}
        choose = pn.Column(
            self.population, self.by, self.color, self.feature, self.sizes, self.solutions,
            self.pick["A"], self.pick["B"], self.next_to, self.show_code, self.as_svg,
            self.as_store, self.selection_name, self.keep, sizing_mode="stretch_width",
            styles={"flex": "1 1 190px"}, min_width=180,
        )  # fmt: skip
        shown = pn.Column(
            self._pane(self.map_figure.figure), self.legend,
            self.trust, self.selected_text, self.ask, self.asked,
            styles={"flex": "3 1 380px"}, **grow,
        )  # fmt: skip
        live_part = pn.Column(
            pn.FlexBox(self.challenge, self.steps, self.add_to, self.width,
                       self.amplitude, self.add, self.drop, self.each,
                       align_items="end", gap="8px", sizing_mode="stretch_width"),
            self.pulse_place,
            pn.FlexBox(
                *(pn.Column(self._pane(one), styles={"flex": "1 1 200px"}, margin=0)
                  for one in (self.turn, self.spin)), gap="16px", sizing_mode="stretch_width"),
            pn.FlexBox(self.cards["A"], self.cards["B"], gap="16px", sizing_mode="stretch_width"),
            self.each_place, styles={"flex": "5 1 540px"}, **grow,
        )  # fmt: skip
        return pn.Column(
            self.head, self.said, self.code, *([self._pane(self.address)] if self.address else []),
            pn.FlexBox(choose, shown, live_part, gap="16px", sizing_mode="stretch_width"),
            sizing_mode="stretch_width", css_classes=["explorer"],
        )  # fmt: skip


class _Made(dict[str, Any]):
    """Figures by side, each made when it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, k: str) -> Any:
        self[k] = self.make()
        return self[k]


def _listed(text: str | None) -> list[str]:
    return (text or "").split("|") if text else []


def _table(head: list[str] | None, rows: list[tuple[Any, ...]]) -> str:
    out = ["<table>"]
    if head:
        out.append("<tr>" + "".join(f"<th scope='col'>{escape(h)}</th>" for h in head) + "</tr>")
    for row in rows:
        first, *rest = (escape(str(cell)) for cell in row)
        out.append(f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{c}</td>' for c in rest)}</tr>")
    return "".join([*out, "</table>"])


def explore(
    population: Any,
    *,
    distances: xr.DataArray | None = None,
    design: xr.Dataset | None = None,
) -> pn.Column:
    """A population in a notebook: its map, its networks on a click, challenges by hand.

    ``solspace explore STORE`` shows the same on a page of its own.

    Parameters
    ----------
    population : Dataset, DataTree, mapping of str to Dataset, or str
        A population, with or without its other groups by name; the tree of `solspace.open_store`;
        or the path or address of a store, which is only read.
    distances : DataArray (network, network_other), optional
        What `solspace.similarity.pairwise` returns for the networks by a distance, for a map by it.
    design : Dataset, optional
        What `solspace.design.design` returned for these networks: the challenges that it chose come
        first in the list, and the first of them is given to the networks.

    Returns
    -------
    panel.Column
        Shown where it is the last line of a cell, after ``panel.extension()``.

    Raises
    ------
    SolspaceError
        Where Panel is not installed, or there are no networks.

    Examples
    --------
    >>> import solspace
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> mine = {f"n{i}": {k: rng.normal(0, 0.4, s) for k, s in shapes.items()} for i in range(8)}
    >>> ds = solspace.import_networks("interval_reproduction", "vanilla", mine)
    >>> type(solspace.explore(ds)).__name__
    'Column'
    """
    panel()
    seen = open_explored(population)
    return Explorer(seen, distances=distances, design=design).layout()
