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
from solspace.explorer.comparing import Job, similarities
from solspace.explorer.crowds import Colors
from solspace.explorer.reading import Explored
from solspace.explorer.together import Together, open_explored
from solspace.tasks.challenges import Challenge, PlacedPulse, protocol_waits

if TYPE_CHECKING:
    import panel as pn
    import xarray as xr

    from solspace.explorer.facets import Facets

__all__ = ["Explorer", "explore", "panel"]

MOST_COLORS = 10  # of a label that have a name in the key; the others are grey
SHOWN = 12  # rows of a table
# What is said of a network, as far as it is there.
NUMBERS = (
    "hidden_size", "solution_name", "loss", "graph_recall", "graph_specificity", "stable_points",
    "selection",
)  # fmt: skip
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
    jobs : dict, optional
        Maps that are being made, shared between sessions.
    most_marks : int, optional
        Networks in view that are drawn as marks; more are drawn as a picture of where they lie.
    dark : bool
        Whether the page is dark where the address does not say.
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
        maps_made: dict[tuple[str, str, bool], maps.Map] | None = None,
        jobs: dict[tuple[str, str, bool], Job] | None = None,
        most_marks: int | None = None,
        dark: bool = False,
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
        self.jobs = jobs if jobs is not None else {}
        self._waiting: Job | None = None
        self._polling: Any = None
        self._beside: dict[str, Together] = {}
        self.facets: Facets | None = None
        self.pulses: list[PlacedPulse] = []
        state = dict(state or {})
        self.theme = Theme(state.get("theme", "dark" if dark else "") == "dark")
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
        self.beside = w.Toggle(name="Recordings too", value=True, **sheets)
        self.one_each = w.Toggle(name="One map each", **sheets)
        self.kinds = w.MultiChoice(name="Only architectures", options=[], **wide)
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
        # The sliders name what both planes are made of, which a page has to know from the start.
        for k in BOTH:
            self.planes[k]
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
        self.facet_place = pn.Column(sizing_mode="stretch_width", visible=False)
        self.live_place = pn.FlexBox(
            self.challenge, self.steps, self.add_to, self.width, self.amplitude, self.add,
            self.drop, self.each, align_items="end", gap="8px", sizing_mode="stretch_width",
        )  # fmt: skip
        self.each_place = pn.Column(sizing_mode="stretch_width")
        self.head = pn.pane.HTML("", **html)

    def _start(self, state: dict[str, str]) -> None:
        """The first view, from the address as far as that can be."""
        self._quiet = True
        first = state.get("population", "")
        self.population.value = first if first in self.populations else next(iter(self.populations))
        self.beside.value = state.get("recordings") != "0"
        self._of_population()
        if state.get("map") and state["map"] in self.by.options.values():
            self.by.value = state["map"]
        self._lay_out()
        if state.get("color") in self.color.options:
            self.color.value = state["color"]
        elif state.get("color") in self.seen.features_named:
            self.feature.value = state["color"]
        self.kinds.value = [s for s in _listed(state.get("only")) if s in self.kinds.options]
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
        self.one_each.value = state.get("side") == "1" and self.one_each.visible
        self._show_facets()
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
        on(self.beside, self._change_recordings)
        on(self.one_each, self._show_facets)
        on(self.kinds, self._redraw)
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
        """The population that is shown, with recordings of its task beside it where asked for."""
        chosen = self.populations[self.population.value]
        more = self._recordings_of(chosen)
        if not more or not self.beside.value:
            return chosen
        if chosen.name not in self._beside:
            self._beside[chosen.name] = Together([*_parts(chosen), *more])
        return self._beside[chosen.name]

    def _recordings_of(self, chosen: Explored) -> list[Explored]:
        """Recordings of the task of some networks."""
        if chosen.of_recordings:
            return []
        all_there = [one for one in self.populations.values() if one.of_recordings]
        return [one for one in all_there if one.task_name == chosen.task_name]

    def _of_population(self) -> None:
        self.beside.visible = bool(self._recordings_of(self.populations[self.population.value]))
        seen = self.seen
        colors = seen.colors()
        first = [c for c in ("solution_name", "selection", "hidden_size", "loss") if c in colors]
        self.color.options = [*first, *sorted(set(colors) - set(first))]
        self.color.value = self.color.options[0]
        self.feature.options, self.feature.value = seen.features_named, ""
        own = ~seen.recordings
        sizes = (
            [str(s) for s in np.unique(seen.column("hidden_size")[own].astype(int))]
            if "hidden_size" in colors and own.any()
            else []
        )
        self.sizes.options, self.sizes.value = sizes, []
        kinds = list(dict.fromkeys(self._kind_of_each()[own].tolist()))
        self.kinds.name = f"Only {self._kind}s"
        self.kinds.options, self.kinds.value = kinds if len(kinds) > 1 else [], []
        self.kinds.visible = len(kinds) > 1
        # Maps of one population each show marks; of more networks there is a picture alone.
        self.one_each.visible = len(kinds) > 1 and seen.networks <= self.map_figure.most_marks
        if not self.one_each.visible:
            self.one_each.value = False
        named = (
            [row[0] for row in telling.label_counts(
                seen.column("solution_name")[own], np.ones(int(own.sum()), bool), 40)]
            if "solution_name" in colors else []
        )  # fmt: skip
        self.solutions.options, self.solutions.value = named, []
        methods = {v: k for k, v in maps.METHODS.items()}
        given = self.distances is not None and maps.are_of(self.distances, seen)
        missing = set() if given else {"distances"}
        if not seen.features_named:
            missing |= {"features", "features_tsne"}
        if not seen.has_weights:
            missing |= {"weights"}
        similar = {f"similarity: {m}": f"{maps.SIMILARITY}{m}" for m in similarities(seen)}
        self.by.options = {v: k for v, k in methods.items() if k not in missing} | similar
        # Never one that is computed only when it is asked for.
        first_by = next(iter(self.by.options.values()), None)
        self.by.value = first_by if first_by not in similar.values() else None
        if self.by.value is None:
            self.by.options = {"nothing yet": None, **similar}
        for k in BOTH:
            many = seen.networks > NAMED
            self.pick[k].param.update(
                options=[] if many else seen.names, restrict=not many,
                placeholder=f"its name, or 0 to {seen.networks - 1}, and Enter" if many
                else "name, or click on the map" if k == "A" else "name",
            )  # fmt: skip
            self.outputs.pop(k, None)
        self.live_place.visible = not seen.of_recordings
        if seen.of_recordings:
            self.at_hand = {}
            self.challenge.options, self.challenge.value = {"by hand": "by hand"}, "by hand"
            return
        self._trials_beyond = seen.task.extrapolation_trials()
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

        task, architecture = (
            str(self.design.coords[name].values) for name in ("task", "architecture")
        )
        if task != self.seen.task.name or architecture not in self.seen.architectures:
            return []
        return [name for name in chosen_challenges(self.design) if name in self.at_hand]

    @property
    def _kind(self) -> str:
        """What tells populations apart: their architecture, or their names."""
        return "population" if "population" in self.seen.colors() else "architecture"

    def _kind_of_each(self) -> NDArray[Any]:
        if self._kind in self.seen.colors():
            return self.seen.column(self._kind).astype(str)
        return np.full(self.seen.networks, self.seen.architecture)

    def _change_recordings(self) -> None:
        """Recordings come after the networks, so that what is chosen stays."""
        by, color = self.by.value, self._colored_by()
        kinds, sizes, solutions = self.kinds.value, self.sizes.value, self.solutions.value
        challenge = None if self.populations[self.population.value].of_recordings else self.now()
        self._quiet = True
        try:
            self._of_population()
            if by in self.by.options.values():
                self.by.value = by
            if color in self.color.options:
                self.color.value = color
            elif color in self.seen.features_named:
                self.feature.value = color
            self.kinds.value, self.sizes.value, self.solutions.value = kinds, sizes, solutions
            if challenge is not None:
                self.challenge.value = (
                    challenge.name if challenge.name in self.at_hand else "by hand"
                )
                self._set_challenge(challenge)
            for k in BOTH:
                if self.chosen.get(k, -1) >= self.seen.networks:
                    self.chosen.pop(k)
                    self.pick[k].value = ""
        finally:
            self._quiet = False
        self._lay_out()
        self._redraw()
        for k, index in [*self.chosen.items()] or [("A", 0)]:
            self._choose(k, index)

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
        self._show_facets()
        self._choose("A", 0)
        self._show_each()

    # --------------------------------------------------------------------- map

    def _lay_out(self) -> None:
        key = (str(self.population.value), str(self.by.value), bool(self.beside.value))
        self._stop_waiting()
        if key not in self.maps_made:
            try:
                if self.by.value is None:
                    raise SolspaceError(
                        f"{self.seen.name} has nothing to make a map from; "
                        f"{self.seen.to_make('features')}"
                    )
                if str(self.by.value).startswith(maps.SIMILARITY) and self._served():
                    self._wait_for(key)
                    return
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

    def _served(self) -> bool:
        """Whether a server shows this, which has other pages to answer meanwhile."""
        document = self.map_figure.figure.document or self.pn.state.curdoc
        return document is not None and document.session_context is not None

    def _wait_for(self, key: tuple[str, str, bool]) -> None:
        """A map that takes long: made in a thread, and shown when it is there."""
        seen, by = self.seen.copied(), str(self.by.value)
        job = self.jobs.get(key)
        if job is None or job.cancelled or (job.ended and job.laid is None):
            job = Job(lambda told: maps.lay_out(seen, by, told=told))
            self.jobs[key] = job
        job.waiting.add(id(self))
        self._waiting, self.laid = job, None
        self._tell_waiting()
        document = self.map_figure.figure.document or self.pn.state.curdoc
        if self._polling is None:
            self._polling = document.add_periodic_callback(self._poll, 300)

    def _tell_waiting(self) -> None:
        if self._waiting is not None:
            text = self._waiting.text or "starting"
            self.trust.object = f"<p role='status'>{escape(text)}</p>"

    def _poll(self) -> None:
        """Show how far it is, or what was made."""
        job = self._waiting
        if job is None:
            return
        if not job.ended:
            self._tell_waiting()
            return
        key = (str(self.population.value), str(self.by.value), bool(self.beside.value))
        self._stop_waiting()
        if job.laid is None:
            self.trust.object = f"<p role='alert'>No map: {escape(job.error)}</p>"
            return
        self.maps_made[key] = job.laid
        self.jobs.pop(key, None)
        self._guarded(self._relay)

    def _stop_waiting(self) -> None:
        job, self._waiting = self._waiting, None
        if job is not None:
            job.leave(id(self))
        if self._polling is not None:
            document = self.map_figure.figure.document or self.pn.state.curdoc
            document.remove_periodic_callback(self._polling)
            self._polling = None

    def _show_facets(self) -> None:
        """One map for each population, on the same axes."""
        from solspace.explorer.facets import Facets

        on = bool(self.one_each.value)
        self.map_figure.figure.visible = not on
        self.facet_place.visible = on
        if not on:
            return
        of = self._kind_of_each()
        names = list(dict.fromkeys(of[~self.seen.recordings].tolist()))
        if self.facets is None or self.facets.names != names:
            self.facets = Facets(self.map_figure, names, self._clicked)
            self.facet_place.objects = [self._pane(figure) for figure in self.facets.figures]
        self.facets.show(of, self.seen.recordings)
        self._mark()

    def _mark(self) -> None:
        """Ring the networks that are looked at."""
        if self.laid is None:
            return
        self.map_figure.mark(self.laid, self.chosen)
        if self.facets is not None and self.one_each.value:
            of, recorded = self._kind_of_each(), self.seen.recordings
            self.facets.mark(
                {k: None if recorded[i] else str(of[i]) for k, i in self.chosen.items()}
            )

    def _relay(self) -> None:
        self._lay_out()
        self._redraw()
        self._about_all()

    def _kept(self) -> NDArray[np.bool_]:
        kept = np.ones(self.seen.networks, bool)
        if self.kinds.value:
            kept &= np.isin(self._kind_of_each(), self.kinds.value)
        if self.sizes.value:
            kept &= np.isin(self.seen.column("hidden_size"), [int(s) for s in self.sizes.value])
        if self.solutions.value:
            named, code = telling.coded(self.seen.column("solution_name"))
            kept &= np.isin(named, self.solutions.value)[code]
        # Recordings have a box of their own.
        return kept | (self.seen.recordings & (not self.seen.of_recordings))

    def _conditions(self) -> list[str]:
        out = []
        if self.kinds.value:
            out.append(f"np.isin(seen.column({self._kind!r}), {list(self.kinds.value)!r})")
        if self.sizes.value:
            sizes = [int(s) for s in self.sizes.value]
            out.append(f"np.isin(seen.column('hidden_size'), {sizes!r})")
        if self.solutions.value:
            values = [v if v != "none" else "" for v in self.solutions.value]
            out.append(f"np.isin(seen.column('solution_name').astype(str), {values!r})")
        if out and self.seen.recordings.any():
            out = [f"{condition} | seen.recordings" for condition in out]
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
        recorded = self.seen.recordings
        beside = recorded.any() and not recorded.all()
        key = (
            f" &nbsp; <span style='white-space:nowrap'>&#9670; recordings ({recorded.sum()})</span>"
            if beside else ""
        )  # fmt: skip
        if values.dtype.kind in "iufb" and by != "solution":
            number = values.astype(float)
            known = np.isfinite(number)
            if not known.any():
                self.legend.object = f"<p>No network has a value of {escape(by)}.</p>"
                none = np.zeros(len(number), np.intp)
                return Colors([self.theme.faint], none, lambda at: ["not known"] * len(at))
            low, high = np.percentile(number[known], [2, 98])
            low, high = (low, high) if low < high else (number[known].min(), number[known].max())
            shades = [*ramp(PARAMETER_COLORS, 64), self.theme.faint, self.theme.ink]
            at = np.clip((number - low) / ((high - low) or 1.0), 0, 1)
            code = np.where(known, np.nan_to_num(at * 63).astype(np.intp), 64)
            code[~known & recorded & beside] = 65
            known |= recorded
            bar = ", ".join(PARAMETER_COLORS)
            unknown = f", {int((~known).sum())} not known (grey)" if not known.all() else ""
            self.legend.object = (
                f"<p>{escape(by)}: {low:.3g} <span style='display:inline-block;width:120px;"
                f"height:10px;background:linear-gradient(to right,{bar})'></span> {high:.3g}"
                f"{unknown}{key}</p>"
            )

            def said(at: NDArray[np.intp]) -> list[str]:
                found = [f"{v:.4g}" if np.isfinite(v) else "not known" for v in number[at]]
                return [f"{by} {text}" for text in found]

            return Colors(shades, code, said)
        named, code = telling.coded(values)
        counted = ~recorded if beside else np.ones(len(code), bool)
        rows = telling.label_counts(values[counted], self._kept()[counted], MOST_COLORS)
        palette = self._palette([row[0] for row in rows])
        palette = {k: self.theme.faint if k == "none" else v for k, v in palette.items()}
        more = len(np.unique(code[counted])) - len(rows)
        self.legend.object = "<p>" + " &nbsp; ".join(
            f"<span style='white-space:nowrap'><span class='swatch' "
            f"style='background:{palette[name]}'></span>"
            f"{escape(name[:44].replace('_', ' '))} ({count})</span>"
            for name, count, _ in rows
        ) + (f" &nbsp; and {more} more, grey" if more else "") + key + "</p>"  # fmt: skip
        shades = [*(palette.get(n, self.theme.faint) for n in named.tolist()), self.theme.ink]
        # Recordings without a label of their own are of the colour of ink.
        unlike = np.isin(named, [n for n in palette if n != "none"], invert=True)[code]
        shown = np.where(recorded & beside & unlike, len(named), code)
        return Colors(shades, shown, lambda at: named[code[at]].tolist())

    def _redraw(self) -> None:
        kept = self._kept()
        self._head(int(kept.sum()))
        self._storable(int(kept.sum()))
        if self.laid is None:
            self.map_figure.clear()
            return
        recorded = self.seen.recordings if not self.seen.of_recordings else None
        self.map_figure.show(self.laid, kept, self._colors(), self.seen.names, recorded)
        self._deal()
        self._mark()
        if not self.map_figure.whole:
            self._describe_selection()

    def _deal(self) -> None:
        """The marks of the map on those of each population."""
        if self.facets is not None and self.one_each.value:
            self.facets.show(self._kind_of_each(), self.seen.recordings)

    def _storable(self, networks: int) -> None:
        """A store of so many can be downloaded, or it is said why not."""
        self.as_store.disabled = networks > STORED
        self.as_store.label = (
            f"Selection as a store: up to {STORED:,}"
            if networks > STORED
            else "Selection as a store"
        )

    def _head(self, kept: int) -> None:
        recorded = int(self.seen.recordings.sum())
        many = self.seen.networks
        what = "networks"
        if self.seen.of_recordings:
            what = "recordings"
        elif recorded:
            kept, many, what = kept - recorded, many - recorded, "networks"
        of = f"{kept} of {many}" if kept < many else f"{kept}"
        beside = f" and {recorded} recordings" if recorded and what == "networks" else ""
        store = os.path.basename(self.seen.path.rstrip("/"))
        other = "light" if self.theme.dark else "dark"
        paper = f"<a class='theme' data-theme='{other}' href='?theme={other}'>{other} page</a>"
        self.head.object = (
            f"<h1>{escape(self.seen.name)}</h1><p class='faint'>{of} {what}{beside}"
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
            self._deal()
            return
        self._zoom_waits = True

        def now() -> None:
            self._zoom_waits = False
            self.map_figure.look(*self._view)
            self._deal()

        document.add_timeout_callback(now, REDRAWN)

    def _clicked(self, event: Any, population: str | None = None) -> None:
        """The network under a click is looked at; on the map of one population one of its own."""
        among = None
        if population is not None:
            among = (self._kind_of_each() == population) | self.seen.recordings
        found = self.map_figure.nearest(event.x, event.y, among)
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
        inside, beside = self.selection(), ~self.seen.recordings
        if self.seen.of_recordings:
            beside = self.seen.recordings
        recorded = int((inside & ~beside).sum())
        inside &= beside
        n = int(inside.sum())
        self._storable(n or int(self._kept().sum()))
        can = not self.seen.of_recordings and self.seen.task.challenges is not None
        self.asked.object, self.ask.visible = "", n >= 3 and can
        if n < 2:
            self.selected_text.object = ""
            return
        what = "recordings" if self.seen.of_recordings else "networks"
        more = f", and {recorded} recordings, which are not counted" if recorded else ""
        out = [f"<h2>{n} {what} selected{more}</h2>"]
        if self._kind in self.seen.colors():
            counts = telling.label_counts(self._kind_of_each()[beside], inside[beside])
            out.append(_table([self._kind, "inside", "outside"], counts))
        label = "solution_name" if "solution_name" in self.seen.colors() else "hidden_size"
        if label in self.seen.colors():
            counts = telling.label_counts(self.seen.column(label)[beside], inside[beside])
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
        inside = self.selection()
        if not self.save_labels:  # a button that is disabled can be clicked by a program
            raise SolspaceError("labels are saved where `solspace explore` is given --save-labels")
        recorded = int((inside & self.seen.recordings).sum())
        inside &= ~self.seen.recordings  # the label is one of networks
        if not inside.any():
            gone = f" ({recorded} recordings are, which have no such label)" if recorded else ""
            raise SolspaceError(f"no network is selected{gone}; draw a lasso around some first")
        name = str(self.selection_name.value).strip()
        said: list[str] = []
        for part, at, _ in self.seen.split(np.flatnonzero(inside)):
            try:
                self._save_in(part, name, {part.names[i] for i in at})
            except SolspaceError as error:
                if not said:
                    raise
                # Each population is written as a whole or not at all; all of them together are not.
                raise SolspaceError(
                    f"saved are {' and '.join(said)}; not those of {part.name}: {error}. Save again"
                ) from None
            said.append(f"{len(at)} networks of {part.name}")
        self.color.options = [*dict.fromkeys([*self.color.options, "selection"])]
        self.color.value = "selection"
        self.said.object = (
            f"<p role='status'>{escape(' and '.join(said))} are saved as {escape(name)!r} in the "
            f"label 'selection'.{' Recordings have none.' if recorded else ''}</p>"
        )

    def _save_in(self, part: Explored, name: str, chosen: set[str]) -> None:
        """Keep some networks of a population as a selection."""
        from solspace.run.loop import run_stage
        from solspace.selections.stage import members_of
        from solspace.store import Store

        task, architecture = part.name.split("/")
        # What another session saved meanwhile is kept.
        (population,) = Store(part.path).populations(task, architecture)
        held = {
            k: [m for m in v if m not in chosen] for k, v in members_of(population.open()).items()
        }
        held.pop(name, None)
        members = [f"{k}={m}" for k, v in held.items() for m in v]
        members += [f"{name}={m}" for m in sorted(chosen)]
        run_stage(
            part.path, "select", task=task, architecture=architecture, redo=True,
            options={"members": members},
        )  # fmt: skip
        fresh = open_explored(part.path)[part.name]
        self._beside = {}
        for k, seen in self.populations.items():
            if k == part.name:
                self.populations[k] = fresh
            elif isinstance(seen, Together):
                self.populations[k] = seen.replaced(fresh)

    def _selection_store(self) -> io.BytesIO:
        from solspace.run.populations import add_population, create_population
        from solspace.store.shipped import zip_store

        inside = self.selection() if self.selection().any() else self._kept()
        if inside.sum() > STORED:  # a button that is disabled can be clicked by a program
            raise SolspaceError(f"{int(inside.sum())} networks; up to {STORED} are downloaded")
        parts = self.seen.split(np.flatnonzero(inside))
        of = [(part.task_name, part.architecture) for part, _, _ in parts]
        if len(set(of)) < len(of):
            told = ", ".join(part.name for part, _, _ in parts)
            raise SolspaceError(
                f"a store has one population of a task and architecture, and the selection is of "
                f"{told}; select networks of one of them"
            )
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "selection.zarr")
            for part, at, _ in parts:
                add = add_population if part.of_recordings else create_population
                add(path, part.ds.isel(network=at).load())
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
        for marker, drawn in (("circle", "o"), ("diamond", "D")):
            at = [i for i, m in enumerate(data["marker"]) if m == marker]
            axes.scatter(
                np.asarray(data["x"])[at], np.asarray(data["y"])[at], linewidths=0,
                c=[data["color"][i] for i in at], s=7 if marker == "circle" else 16, marker=drawn,
            )  # fmt: skip
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
        self._mark()
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
        except SolspaceError as error:
            self.planes[k].figure.visible = False
            if seen.recordings[index]:
                self.about[k].object += f"<p role='alert'>{escape(str(error))}</p>"
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
        part, at = seen.part(index)
        rows: list[tuple[str, str]] = []
        if seen is not part and not part.of_recordings:
            rows.append(("population", part.name.rsplit("/", 1)[-1]))
        numbers = ("hidden_size",) if part.of_recordings else NUMBERS
        for name in numbers:
            if name in part.colors():
                value = part.column(name)[at]
                text = f"{value:.3g}" if isinstance(value, np.floating) else str(value)
                text = "not known" if text == "nan" else text
                said = "units" if part.of_recordings else name.replace("_", " ")
                rows.append((said, text.replace("_", " ") or "none"))
        out = [f"<h2>{k}: {escape(seen.names[index])}</h2>", _table(None, rows)]
        if self.laid is not None and index in self.laid.there:
            # Of networks: recordings are near to one another for their noise.
            recorded = seen.recordings if not seen.of_recordings else np.zeros(seen.networks, bool)
            found = self.laid.nearest(index, 4 + int(recorded.sum()))
            near = ", ".join(
                f"{escape(seen.names[i])} ({far:.3g})"
                for i, far in [row for row in found if not recorded[row[0]]][:4]
            )
            out.append(f"<p class='faint'>Nearest by {escape(self.laid.measure)}: {near}</p>")
        if part.of_recordings:
            out.append(
                "<p class='faint'>A recording: its own trials are shown along its principal "
                "components. It has no weights, so there is no output, no graph, no fixed point, "
                "and no challenge can be given to it.</p>"
            )
            if "features" not in part.ds.variables:
                out.append(f"<p class='faint'>No features; {escape(part.to_make('features'))}</p>")
            self.about[k].object = "".join(out)
            return
        for group, what, stage in (
            ("graph", "No graph", "reduce"), ("fixed_points", "No fixed points", "fixed_points")
        ):  # fmt: skip
            if not part.has(group):
                out.append(f"<p class='faint'>{what}; {escape(part.to_make(stage))}</p>")
        self.about[k].object = "".join(out)

    def _more_of(self, k: str) -> None:
        """What takes longer, and is looked at later."""
        self._loss_of(k)
        self._beyond_of(k)

    def _loss_of(self, k: str) -> None:
        """The loss on the way down, where it was kept."""
        curve = self.seen.loss_curve(self.chosen[k])
        self.losses[k].figure.visible = curve is not None
        if curve is not None:
            self.losses[k].show(curve)

    def _beyond_of(self, k: str) -> None:
        """Outputs on the task's trials outside of the trained set, one row each."""
        if self.seen.recordings[self.chosen[k]]:
            self.beyond[k].figure.visible = False
            return
        trials = self._trials_beyond
        take = np.unique(np.linspace(0, len(trials) - 1, 60).round().astype(int))
        try:
            output = self.seen.run(self.chosen[k], trials.input[take])[1]
        except SolspaceError:
            self.beyond[k].figure.visible = False
            return
        self.beyond[k].show(output[..., 0])
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
        self._mark()

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
        self.output_place[k].visible = not seen.recordings[index]
        if seen.recordings[index]:
            self.planes[k].clear()
            self.graph_said[k].object = ""
            return
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
        if self.seen.of_recordings:
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
        if self.beside.visible and not self.beside.value:
            out["recordings"] = "0"
        if self.one_each.value:
            out["side"] = "1"
        if self.kinds.value:
            out["only"] = "|".join(self.kinds.value)
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
        there = self.laid is not None or self._waiting is not None
        return telling.view_code(
            self.seen, by=str(self.by.value) if there else "", color=self._colored_by(),
            kept=self._conditions(),
            network=name, pulses=sorted(self.pulses),
            steps=int(self.steps.value) if self._runs("A") else 0,
        )  # fmt: skip

    def _runs(self, k: str) -> bool:
        """Whether what is looked at is a network, which challenges can be given to."""
        return k in self.chosen and not self.seen.recordings[self.chosen[k]]

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
            self.population, self.beside, self.by, self.color, self.feature, self.one_each,
            self.sizes, self.solutions, self.kinds,
            self.pick["A"], self.pick["B"], self.next_to, self.show_code, self.as_svg,
            self.as_store, self.selection_name, self.keep, sizing_mode="stretch_width",
            styles={"flex": "1 1 190px"}, min_width=180,
        )  # fmt: skip
        shown = pn.Column(
            self._pane(self.map_figure.figure), self.facet_place, self.legend,
            self.trust, self.selected_text, self.ask, self.asked,
            styles={"flex": "3 1 380px"}, **grow,
        )  # fmt: skip
        live_part = pn.Column(
            self.live_place, self.pulse_place,
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


def _parts(seen: Explored) -> list[Explored]:
    return list(seen.parts) if isinstance(seen, Together) else [seen]


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
    recordings: Any = None,
) -> pn.Column:
    """A population in a notebook: its map, its networks on a click, challenges by hand.

    ``solspace explore STORE`` shows the same on a page of its own.

    Parameters
    ----------
    population : Dataset, DataTree, mapping of str to Dataset, or str
        A population, with or without its other groups by name; several populations, each by a name
        of yours; the tree of `solspace.open_store`; or the path or address of a store, which is
        only read. Of a task with several populations these are shown together too.
    distances : DataArray (network, network_other), optional
        What `solspace.similarity.pairwise` returns for the networks by a distance, for a map by it.
    design : Dataset, optional
        What `solspace.design.design` returned for these networks: the challenges that it chose come
        first in the list, and the first of them is given to the networks.
    recordings : Dataset, DataTree, mapping of str to Dataset, or str, optional
        Where recordings are that stand beside networks of their task, as further marks of the map;
        those in ``population`` do anyway.

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
    seen = open_explored(population, recordings=recordings)
    return Explorer(seen, distances=distances, design=design).layout()
