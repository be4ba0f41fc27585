"""Several populations, recordings and similarity on the explorer's map."""

from __future__ import annotations

import io
import threading
import warnings
import zipfile
from pathlib import Path

import browsing
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import solspace
from solspace import explorer
from solspace.errors import SolspaceError
from solspace.explorer import comparing, live, maps
from solspace.explorer.app import Explorer
from solspace.networks import parameter_shapes
from solspace.run.loop import run_stage
from solspace.selections.stage import members_of
from solspace.tasks.challenges import PlacedPulse

STORES = Path(solspace.__file__).resolve().parents[1] / "stores"
TASK = "interval_reproduction"
NAME = f"{TASK}/vanilla"
TOGETHER = f"{TASK} (together)"
RECORDED = f"{TASK}/recorded"


def imported(architecture: str, networks: int = 8, units: int = 6) -> xr.Dataset:
    rng = np.random.default_rng(1)
    shapes = parameter_shapes(architecture, units, inputs=2, outputs=1)
    mine = {
        f"n{i}": {k: rng.normal(0, 0.5, shape) for k, shape in shapes.items()}
        for i in range(networks)
    }
    return solspace.import_networks(TASK, architecture, mine)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of two recordings, of networks that are among those that ship."""
    pytest.importorskip("pynwb")
    folder = tmp_path_factory.mktemp("recordings")
    lstm = solspace.open_population(STORES / "turner2021.zarr", TASK, "lstm")
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in (3, 222):
            of_one = solspace.record(lstm.isel(network=[i]).load())
            file = solspace.write_nwb(of_one, folder / f"session{i}.nwb", trials=10)
            found.append(solspace.recording_from_nwb(
                file, task=TASK, align="ready_time", window=(0, 1200), average="t_in",
                epochs={"ready_set": ("ready_time", "set_time"),
                        "set_go": ("set_time", "go_start_time")}, parameters={"t_in": "t_in"},
            ))  # fmt: skip
        path = str(folder / "mine.zarr")
        solspace.add_population(path, solspace.join_recordings(found))
        run_stage(path, "features")
    return path


@pytest.fixture(scope="module")
def populations(recordings: str) -> dict[str, explorer.Explored]:
    return explorer.open_explored(STORES / "turner2021.zarr", recordings=recordings)


@pytest.fixture(scope="module")
def both(populations: dict[str, explorer.Explored]) -> explorer.Together:
    seen = populations[TOGETHER]
    assert isinstance(seen, explorer.Together)
    return seen


# --------------------------------------------------------------------------- populations


def test_what_is_of_one_network_is_asked_of_its_population(both: explorer.Together) -> None:
    assert both.networks == 1200 and len(set(both.names)) == 1200
    for name in ("gru/20_i000", "lstm/50_i099", "vanilla/20_i003"):
        index = both.place(name)
        part, at = both.part(index)
        assert name == f"{part.architecture}/{part.names[at]}"
        assert both.column("architecture")[index] == part.architecture
        assert both.column("solution_name")[index] == part.column("solution_name")[at]
        graph, own = both.graph(index), part.graph(at)
        assert np.array_equal(graph.edge_target, own.edge_target)
        challenge = live.check_pulses(both.task, [PlacedPulse(5, 0, 5)], 60)
        np.testing.assert_allclose(
            live.respond(both, name, challenge).output, live.respond(part, at, challenge).output
        )
    # What a population lacks is not known of its networks.
    known = np.isfinite(both.column("loss_recorded"))
    assert dict(zip(*np.unique(both.column("architecture")[known], return_counts=True),
                    strict=True)) == {"gru": 400, "lstm": 400}  # fmt: skip
    # Numbers of solutions are each population's own.
    assert "solution" not in both.colors() and "solution" in both.parts[0].colors()
    with pytest.raises(SolspaceError, match=r"is 3 populations; take one: seen\.parts"):
        _ = both.ds


@given(st.lists(st.integers(0, 1199), min_size=1, max_size=20))
@settings(max_examples=20, deadline=None)
def test_parts_of_a_selection_are_all_of_it(both: explorer.Together, at: list[int]) -> None:
    back = np.full(len(at), "", dtype=object)
    for part, own, places in both.split(at):
        back[places] = [f"{part.architecture}/{part.names[i]}" for i in own]
    assert back.tolist() == [both.names[i] for i in at]


def test_features_together_are_those_that_all_have(both: explorer.Together) -> None:
    assert set(both.features_named) == set.intersection(
        *(set(part.features_named) for part in both.parts)
    )
    part, own, places = both.split([5, 700])[1]
    for name in both.features_named[::40]:
        np.testing.assert_allclose(both.column(name)[700], part.column(name)[own[0]])
    assert places.tolist() == [1]
    assert len(maps.lay_out(both).there) == 1200


def test_populations_in_memory_are_joined_by_task() -> None:
    given = {"early": imported("vanilla"), "late": imported("vanilla"), "gru": imported("gru")}
    found = explorer.open_explored(given)
    both = found[TOGETHER]
    assert [*found] == [f"{TASK}/early", f"{TASK}/late", f"{TASK}/gru", TOGETHER]
    # Two of one architecture are told apart by name, and weights of unlike gates are not compared.
    assert both.column("population")[[0, 8, 16]].tolist() == ["early", "late", "gru"]
    with pytest.raises(SolspaceError, match="weights"):
        maps.lay_out(both, "weights")
    same = explorer.Together([found[f"{TASK}/early"], found[f"{TASK}/late"]])
    laid = maps.lay_out(same, "weights")
    np.testing.assert_allclose(laid.places[:8], laid.places[8:])  # the same networks twice
    with pytest.raises(SolspaceError, match="populations of 2 tasks"):
        other = solspace.new_population(
            "delayed_discrimination", "vanilla", networks=2, hidden_size=5
        )
        explorer.Together([both, *explorer.open_explored(other).values()])
    with pytest.raises(SolspaceError, match="'mine' is no population"):
        explorer.open_explored({"mine": {"graph": given["gru"]}})
    tree = xr.DataTree.from_dict({f"/{TASK}/vanilla": given["early"], f"/{TASK}/gru": given["gru"]})
    assert TOGETHER in explorer.open_explored(tree)


def test_what_distinguishes_is_asked_of_every_part(both: explorer.Together) -> None:
    inside = both.column("architecture") == "gru"
    rows = explorer.distinguish(both, inside)
    values = both.column(rows[0].feature)
    assert rows[0].corrected < 1e-9
    assert np.sign(values[inside].mean() - values[~inside].mean()) == np.sign(rows[0].difference)
    late = both.column("solution_name") == "waits_late_set_go"
    told = {r.challenge: r for r in explorer.distinguish_challenges(both, late, most=4)}
    assert next(iter(told.values())).inside == 4
    assert told["ready 0, set 35"].difference == 0


# ------------------------------------------------------------------------------- the page


def test_a_joined_view(populations: dict[str, explorer.Explored], tmp_path: Path) -> None:
    pytest.importorskip("panel")
    view = Explorer(populations, state={"population": TOGETHER, "recordings": "0"})
    assert view.seen.networks == 1200 and "solution" not in view.color.options
    view.kinds.value = ["gru", "lstm"]
    view.sizes.value = ["50"]
    assert view._kept().sum() == 200
    view._choose("A", view.seen.place("lstm/50_i003"))
    view._choose("B", view.seen.place("gru/50_i003"))
    # The three maps show what the one does.
    view.one_each.value = True
    assert view.facets is not None and not view.map_figure.figure.visible
    dealt = {k: f.indices for k, f in view.facets.filters.items()}
    assert {k: len(v) for k, v in dealt.items()} == {"gru": 100, "lstm": 100, "vanilla": 0}
    shown = np.array(view.map_figure.source.data["name"])
    assert all(name.startswith("lstm/") for name in shown[dealt["lstm"]])
    assert [view.facets.ringed[k].indices for k in ("lstm", "gru")] == [[0], [1]]
    state = view.state()
    again = Explorer(populations, state=state, maps_made=view.maps_made)
    assert again.state() == state and again.one_each.value
    names: dict[str, object] = {}
    exec(view.code_text(), names)
    np.testing.assert_allclose(names["places"], view.laid.places)
    assert np.array_equal(names["kept"], view._kept())
    np.testing.assert_allclose(names["answer"].output[:, 0], view.outputs["A"].source.data["y0"])
    # A selection is of each population.
    at = [dealt["gru"][0], *dealt["lstm"][:2]]
    view.map_figure.source.selected.indices = at
    assert "3 networks selected" in view.selected_text.object
    with zipfile.ZipFile(io.BytesIO(view._selection_store().read())) as zipped:
        zipped.extractall(tmp_path)
    stored = [
        f"{name}/{one}" for name in ("gru", "lstm")
        for one in solspace.open_population(tmp_path / "selection.zarr", TASK, name)["name"].values
    ]  # fmt: skip
    assert stored == shown[at].tolist()


def test_labels_are_saved_in_each_population(tmp_path: Path) -> None:
    pytest.importorskip("panel")
    path = str(tmp_path / "mine.zarr")
    for architecture in ("vanilla", "gru"):
        solspace.add_population(path, imported(architecture))
    found = explorer.open_explored(path)
    view = Explorer(found, state={"population": TOGETHER}, save_labels=True)
    view.map_figure.source.data = {
        k: list(range(16)) if k == "index" else [0] * 16 for k in view.map_figure.source.data
    }
    view.map_figure.source.selected.indices = [1, 2, 9]
    view.selection_name.value = "odd ones"
    view._save_selection()
    held = {a: members_of(solspace.open_population(path, TASK, a)) for a in ("vanilla", "gru")}
    assert sum(len(m["odd ones"]) for m in held.values()) == 3 and all(held.values())
    chosen = view.seen.column("selection") == "odd ones"
    assert np.flatnonzero(chosen).tolist() == [1, 2, 9]
    assert solspace.check_store(path) == []


# ------------------------------------------------------------------------------ recordings


def test_recordings_stand_beside_networks(
    populations: dict[str, explorer.Explored], tmp_path: Path
) -> None:
    pytest.importorskip("panel")
    view = Explorer(populations, state={"population": NAME})
    seen, alone = view.seen, populations[NAME]
    assert isinstance(seen, explorer.Together) and seen.names[:400] == alone.names
    assert seen.names[400:] == ["recorded/session3", "recorded/session222"]
    marks = view.map_figure.source.data
    assert np.array(marks["marker"])[np.array(marks["index"]) >= 400].tolist() == ["diamond"] * 2
    assert marks["marker"].count("circle") == 400
    assert "recordings (2)" in view.legend.object
    # Features that both have, and in the same units.
    units = alone.feature_units
    assert set(seen.features_named) <= set(populations[RECORDED].features_named)
    assert "first_pc" in seen.features_named and "scale" not in seen.features_named
    assert not any("step" in units[name] for name in seen.features_named)
    # They do not move the networks: the map is of networks, and they are projected.
    values = alone.features[:, [alone.features_named.index(n) for n in seen.features_named]]
    used = values.std(axis=0) > 1e-12
    assert f"Made from {used.sum()} features" in view.trust.object
    values, beside = values[:, used], seen.features[400:, used]
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    first = np.linalg.svd(scaled, full_matrices=False)[2][0]
    theirs = (beside - values.mean(axis=0)) / values.std(axis=0)
    turn = np.sign(view.laid.places[0, 0] * (scaled[0] @ first))
    np.testing.assert_allclose(view.laid.places[:400, 0], turn * (scaled @ first), atol=1e-6)
    np.testing.assert_allclose(view.laid.places[400:, 0], turn * (theirs @ first), atol=1e-6)
    # Looked at, one shows its trials and says what it does not have.
    view._choose("B", 401)
    assert "no challenge can be given" in view.about["B"].object
    assert view.planes["B"].figure.visible and len(view.planes["B"].lines.data["x0"])
    assert not view.output_place["B"].visible and not view.graphs["B"].figure.visible
    assert "recorded/" not in view.about["B"].object.split("Nearest")[1].split("</p>")[0]
    state = view.state()
    assert Explorer(populations, state=state, maps_made=view.maps_made).state() == state
    view._choose("A", 401)
    names: dict[str, object] = {}
    exec(view.code_text(), names)
    np.testing.assert_allclose(names["places"], view.laid.places)
    # Filters are of networks; the box takes recordings away.
    view.sizes.value = ["50"]
    assert view._kept().sum() == 102
    view.map_figure.source.selected.indices = list(range(102))
    assert "and 2 recordings, which are not counted" in view.selected_text.object
    view.map_figure.source.selected.indices = [0, 101]
    with zipfile.ZipFile(io.BytesIO(view._selection_store().read())) as zipped:
        zipped.extractall(tmp_path)
    kept = solspace.open_population(tmp_path / "selection.zarr", TASK, "recorded")
    assert kept["name"].values.tolist() == ["session222"]
    view.beside.value = False
    assert view.seen is alone and view.state()["recordings"] == "0"
    assert view._kept().sum() == 100 and "B" not in view.chosen
    assert set(view.map_figure.source.data["marker"]) == {"circle"}


def test_distances_that_are_given_are_of_the_networks_beside_recordings(
    populations: dict[str, explorer.Explored],
) -> None:
    seen = explorer.Together([populations[NAME], populations[RECORDED]])
    far = np.abs(np.subtract.outer(np.arange(400.0), np.arange(400.0)))
    pairs = xr.DataArray(far, dims=("network", "network_other"), attrs={"measure": "own"})
    assert maps.are_of(pairs, seen)
    laid = maps.lay_out(seen, "distances", pairs)
    assert laid.places.shape == (402, 2) and np.isnan(laid.places[400:]).all()
    assert laid.nearest(7, 2) in ([(6, 1.0), (8, 1.0)], [(8, 1.0), (6, 1.0)])


def test_stores_of_recordings_alone(recordings: str) -> None:
    pytest.importorskip("panel")
    view = Explorer(explorer.open_explored(recordings))
    assert "2 recordings" in view.head.object and "a map needs 6" in view.trust.object
    assert view.planes["A"].figure.visible and not view.live_place.visible
    names: dict[str, object] = {}
    exec(view.code_text(), names)
    assert names["seen"].names == view.seen.names
    with pytest.raises(SolspaceError, match="has no recordings; import some"):
        explorer.open_explored(recordings, recordings=str(STORES / "learning.zarr"))


# ------------------------------------------------------------------------------ similarity


def test_maps_by_similarity(recordings: str) -> None:
    pytest.importorskip("panel")
    store = STORES / "turner2021.zarr"
    lstm = solspace.open_population(store, TASK, "lstm")
    few = {
        "lstm": lstm.isel(network=[3, 50, 100, 222, 300, 350]).load(),
        "gru": solspace.open_population(store, TASK, "gru").isel(network=slice(0, 400, 100)).load(),
    }
    found = explorer.open_explored(few, recordings=recordings)
    view = Explorer(found, state={"population": TOGETHER, "map": "similarity/procrustes"})
    laid, seen = view.laid, view.seen
    assert laid is not None and laid.there.tolist() == list(range(12))
    assert "2 recordings, by their distances to the networks seen" in laid.told
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = solspace.similarity.pairwise(solspace.record(few["lstm"]), "procrustes").values
    np.testing.assert_allclose(laid.distances[:6, :6], alone, atol=1e-5)  # float32 activity
    # A simulated recording is near to the network that it is of.
    for session, name in ((3, few["lstm"]["name"].values[0]), (222, few["lstm"]["name"].values[3])):
        near = laid.nearest(seen.place(f"recorded/session{session}"), 3)
        assert f"lstm/{name}" in [seen.names[i] for i, _ in near]
    # Theirs are spikes per second: where a measure sees scale they are left out, and it is said.
    told = maps.lay_out(seen, "similarity/procrustes_euclidean").told
    assert "Recordings are not on it: procrustes_euclidean sees how large" in told
    names: dict[str, object] = {"given": few}
    code = view.code_text()
    assert (
        f"open_explored(given, recordings={recordings!r})" in code
        and "similarity.pairwise(activity" in code
    )
    exec(code, names)
    np.testing.assert_allclose(names["places"], laid.places, atol=1e-5)


@pytest.mark.parametrize("measure", ["weights", "dsa_inputs", "rsa_bures"])
def test_code_of_maps_by_other_measures_runs(measure: str) -> None:
    pytest.importorskip("panel")
    ds = imported("vanilla", units=12)
    by = f"similarity/{measure}"
    view = Explorer(explorer.open_explored(ds), state={"map": by})
    names: dict[str, object] = {"given": ds}
    exec(view.code_text(), names)
    assert view.laid is not None and view.by.value == by
    np.testing.assert_allclose(names["places"], view.laid.places, atol=1e-5)


def test_measures_that_cannot_be_are_said(both: explorer.Together) -> None:
    assert "weights" not in comparing.similarities(both) and "cka" not in comparing.similarities(
        both
    )
    for by, said in (
        ("similarity/weights", "give one of the distances procrustes"),
        ("similarity/cka", "give one of the distances"), ("other", "or similarity/MEASURE"),
    ):  # fmt: skip
        with pytest.raises(SolspaceError, match=said):
            maps.lay_out(both, by)
    wrong = xr.DataArray(np.zeros((2, 2)), dims=("network", "network_other"),
                         coords={"network": ["me", "you"]})  # fmt: skip
    with pytest.raises(SolspaceError, match="distances of 'me', which"):
        maps.lay_out(both, "similarity/procrustes", wrong)
    taken = comparing.evenly(both, 7)
    assert taken[[0, -1]].tolist() == [0, 1199] and len(taken) == 7


def test_jobs_say_how_far_they_are_and_end_when_nobody_waits() -> None:
    seen = next(iter(explorer.open_explored(imported("vanilla")).values()))
    said: list[str] = []

    def make(told):
        return maps.lay_out(seen, "similarity/procrustes", told=lambda t: (said.append(t), told(t)))

    job = comparing.Job(make)
    job.waiting.add(1)
    job.wait(30)
    assert job.laid is not None and job.error == ""
    assert said[0] == "networks run: 1 of 8" and "procrustes: 100 % of pairs" in said
    begun, go = threading.Event(), threading.Event()

    def slow(told):
        begun.set()
        go.wait(30)
        told("on")
        return make(told)

    left = comparing.Job(slow)
    left.waiting |= {1, 2}
    begun.wait(30)
    left.leave(1)
    assert not left.cancelled
    left.leave(2)
    go.set()
    left.wait(30)
    assert left.laid is None and left.error == "cancelled"
    failed = comparing.Job(lambda told: maps.lay_out(seen, "similarity/cka", told=told))
    failed.wait(30)
    assert "give one of the distances" in failed.error


@given(
    st.integers(0, 2**31), st.floats(0, 2), st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
)
@settings(max_examples=25, deadline=None)
def test_points_are_placed_where_their_distances_say(
    seed: int, noise: float, at: tuple[float, float]
) -> None:
    """Whatever noise adds to all of them."""
    plane = np.random.default_rng(seed).uniform(-1, 1, (40, 2))
    far = np.linalg.norm(plane - np.array(at), axis=1) + noise
    np.testing.assert_allclose(maps._placed(plane, far), at, atol=0.1)


@pytest.mark.slow
@pytest.mark.skipif(bool(browsing.why_not()), reason=browsing.why_not() or "there is a browser")
def test_in_a_browser(recordings: str) -> None:
    """One map each, drawn around in one of them, then a map that is computed meanwhile."""
    store = str(STORES / "turner2021.zarr")
    view = f"?population={TASK}+(together)&side=1&color=architecture&sizes=20"
    with (
        browsing.served(store, "--recordings", recordings) as address,
        browsing.browser() as browser,
    ):
        page = browsing.Page(browser)
        page.open(address + view)
        page.page.get_by_text("recordings (2)").wait_for()
        shown = page.do(
            "return all.filter((m) => m.inner_width > 0 && /^map/.test(m.name)).map((m) => m.name)"
        )
        assert sorted(shown) == ["map of gru", "map of lstm", "map of vanilla"]
        left, top, right, bottom = page.do(
            """
            const one = Bokeh.index.find_one(named("map of lstm"));
            const box = one.canvas_view.el.getBoundingClientRect();
            return [box.left + 10, box.top + 40, box.right - 12, box.bottom - 8];
            """
        )
        page.page.mouse.move(left, top)
        page.page.mouse.down()
        for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
            page.page.mouse.move(x, y, steps=3)
        page.page.mouse.up()
        page.page.get_by_text("100 networks selected, and 2 recordings").wait_for()
        chosen = page.do(
            """
            const source = marks.data_source;
            return source.selected.indices.map((i) => source.data.name[i].split("/")[0]);
            """
        )
        assert set(chosen) == {"lstm", "recorded"}

        page.page.get_by_role("button", name="One map each").click()
        page.page.wait_for_function("() => !location.search.includes('side')")
        page.page.get_by_role("button", name="Recordings too").click()
        page.page.wait_for_function("() => location.search.includes('recordings=0')")
        faults = page.faults
        page.close()
        page = browsing.Page(browser)
        page.open(f"{address}?population={NAME}&recordings=0")
        page.page.get_by_label("Map by").select_option(label="similarity: rsa_bures")
        page.page.get_by_role("status").wait_for()
        page.page.locator(".noUi-handle").first.focus()
        browsing.press(page, "ArrowRight")  # answered while networks are compared
        page.page.get_by_text("150 of 400 networks, evenly spread").wait_for(timeout=60_000)
        many = f"() => {{ {browsing.MODELS} return marks.data_source.data.x.length === 150 }}"
        page.page.wait_for_function(many)
        assert "map=similarity%2Frsa_bures" in page.page.url
        faults += page.faults
        page.close()
        narrow = browsing.Page(browser, width=400, dark=True)
        narrow.open(address + view + "&theme=dark")
        assert narrow.page.evaluate("() => document.documentElement.scrollWidth") <= 400
        faults += narrow.faults
        narrow.close()
    assert faults == []
