"""What the explorer shows, without a browser: maps, neighbours, selections, challenges, code."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import browsing
import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from servers import bucket_server

import solspace
from solspace import explorer
from solspace.cli import main
from solspace.errors import SolspaceError
from solspace.explorer import live, maps
from solspace.explorer.app import Explorer
from solspace.selections.stage import members_of, select
from solspace.similarity.faithfulness import faithfulness
from solspace.tasks.challenges import PlacedPulse, protocol_waits

STORE = Path(solspace.__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
NAME = "interval_reproduction/vanilla"


@pytest.fixture(scope="module")
def populations() -> dict[str, explorer.Explored]:
    return explorer.open_explored(STORE)


@pytest.fixture(scope="module")
def seen(populations: dict[str, explorer.Explored]) -> explorer.Explored:
    return populations[NAME]


@pytest.fixture(scope="module")
def view(populations: dict[str, explorer.Explored]) -> Explorer:
    pytest.importorskip("panel")
    return Explorer(populations, state={"population": NAME})


def untrained(networks: int = 8) -> xr.Dataset:
    rng = np.random.default_rng(1)
    shapes = solspace.networks.parameter_shapes("vanilla", 6, inputs=2, outputs=1)
    mine = {
        f"n{i}": {k: rng.normal(0, 0.4, shape) for k, shape in shapes.items()}
        for i in range(networks)
    }
    return solspace.import_networks("interval_reproduction", "vanilla", mine)


def test_faithfulness_is_that_of_scikit_learn(seen: explorer.Explored) -> None:
    manifold = pytest.importorskip("sklearn.manifold")
    laid = maps.lay_out(seen, "features")
    assert laid.vectors is not None
    plane = laid.places[laid.there]
    far, near = maps._between(laid.vectors), maps._between(plane)
    trust, whole, kept, k = faithfulness(far, near)
    # Distances are summed in another order, so that a few that are nearly equal change places.
    assert trust == pytest.approx(
        manifold.trustworthiness(laid.vectors, plane, n_neighbors=k), abs=1e-3
    )
    assert whole == pytest.approx(
        manifold.trustworthiness(plane, laid.vectors, n_neighbors=k), abs=1e-3
    )
    assert 0 < kept < 1
    assert f"trustworthiness {trust:.2f}" in laid.told


def test_nearest_networks_are_those_of_the_features_not_of_the_plane(
    seen: explorer.Explored,
) -> None:
    laid = maps.lay_out(seen, "features")
    features = seen.features
    scaled = (features - features.mean(axis=0)) / np.where(
        features.std(axis=0) > 0, features.std(axis=0), 1
    )
    far = np.linalg.norm(scaled - scaled[3], axis=1)
    far[3] = np.inf
    assert [i for i, _ in laid.nearest(3, 4)] == np.argsort(far)[:4].tolist()


def test_maps_by_weights_do_not_know_the_order_of_units() -> None:
    ds = untrained()
    order = np.random.default_rng(0).permutation(6)
    turned = ds.assign(
        weight_hh=ds.weight_hh.isel(unit=order, presynaptic_unit=order),
        weight_ih=ds.weight_ih.isel(unit=order), weight_out=ds.weight_out.isel(unit=order),
        bias_hh=ds.bias_hh.isel(unit=order), bias_ih=ds.bias_ih.isel(unit=order),
    )  # fmt: skip
    one, other = (
        maps.weight_summary(explorer.Explored(NAME, {"population": d})) for d in (ds, turned)
    )
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)  # float32 in the store


def test_maps_by_distances_that_are_given(tmp_path: Path) -> None:
    ds = untrained()
    distances = solspace.similarity.pairwise(solspace.record(ds))
    seen = explorer.Explored(NAME, {"population": ds})
    laid = maps.lay_out(seen, "distances", distances)
    assert laid.measure == "procrustes distance"
    assert laid.nearest(0, 1)[0][0] == int(np.argsort(distances.values[0])[1])
    pytest.importorskip("panel")
    view = Explorer({NAME: seen}, distances=distances)
    assert "distances" in view.by.options.values()
    other = Explorer({NAME: seen}, distances=distances.isel(network=slice(7)))
    assert "distances" not in other.by.options.values()
    kept = tmp_path / "pairs.nc"
    distances.to_netcdf(kept, engine="scipy")
    read = explorer.read_distances(str(kept))
    np.testing.assert_allclose(maps.lay_out(seen, "distances", read).places, laid.places)
    with pytest.raises(SolspaceError, match="those of the same networks"):
        maps.lay_out(seen, "distances", read.isel(network=slice(7), network_other=slice(7)))
    for other in (tmp_path / "none.nc", Path(__file__)):
        with pytest.raises(SolspaceError, match="cannot be read as pairs"):
            explorer.read_distances(str(other))
    with pytest.raises(SolspaceError, match="no distances are at hand"):
        maps.lay_out(seen, "distances")


def test_what_is_not_there_is_said_with_what_makes_it() -> None:
    seen = explorer.Explored(NAME, {"population": untrained(3)}, path="few.zarr")
    for wanted, command in (
        (lambda: maps.lay_out(seen), "features"), (lambda: seen.graph(0), "reduce"),
        (lambda: seen.fixed_points(0), "fixed-points"),
    ):  # fmt: skip
        with pytest.raises(SolspaceError, match=f"solspace {command}"):
            wanted()
    with pytest.raises(SolspaceError, match="a map needs 6"):
        maps.lay_out(seen, "weights")
    with pytest.raises(SolspaceError, match="no network 'other'"):
        seen.place("other")
    with pytest.raises(SolspaceError, match="no such store"):
        explorer.open_explored("nowhere.zarr")


def test_what_distinguishes_a_solution(seen: explorer.Explored) -> None:
    inside = seen.column("solution_name") == "waits_late_set_go"
    rows = explorer.distinguish(seen, inside)
    values = seen.column(rows[0].feature)
    assert rows[0].corrected < 1e-6
    assert np.sign(values[inside].mean() - values[~inside].mean()) == np.sign(rows[0].difference)
    assert all(r.corrected >= r.p_value for r in rows)
    with pytest.raises(SolspaceError, match="3 or more are needed"):
        explorer.distinguish(seen, np.arange(seen.networks) < 2)


def test_which_challenges_tell_a_solution(seen: explorer.Explored) -> None:
    """Networks that wait for a late set part from others on it, and not on a trained one."""
    named = seen.column("solution_name")
    inside = named == "waits_late_set_go"
    rows = {r.challenge: r for r in explorer.distinguish_challenges(seen, inside, most=6)}
    assert next(iter(rows.values())).difference == 1
    assert rows["ready 0, set 35"].difference == 0
    with pytest.raises(SolspaceError, match="3 or more are needed"):
        explorer.distinguish_challenges(seen, np.arange(seen.networks) < 2)


def test_stores_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    shutil.copytree(STORE.parent / "learning.zarr", tmp_path / "bucket" / "learning.zarr")
    with bucket_server(tmp_path) as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        far = explorer.open_explored("s3://bucket/learning.zarr")
        near = explorer.open_explored(STORE.parent / "learning.zarr")
        name = next(iter(near))
        assert list(far) == list(near)
        assert far[name].names == near[name].names
        with pytest.raises(SolspaceError, match="on this machine"):
            explorer.serve("s3://bucket/learning.zarr", port=0, save_labels=True)


def test_networks_follow_their_graphs_on_trained_trials(seen: explorer.Explored) -> None:
    """A graph of recall 1 allows what its network does, so the walk is never lost."""

    known = [c for c in live.challenges_at_hand(seen.task).values()
             if c.pulses and protocol_waits(seen.task.protocol, c)]  # fmt: skip
    one = known[0]
    sound = np.flatnonzero(seen.column("graph_recall") > 0.999)[:12]
    walked = [explorer.respond(seen, i, one) for i in sound]
    assert all(w.nodes is not None and (w.nodes[40:] >= 0).mean() > 0.9 for w in walked)
    for w, i in zip(walked, sound, strict=True):
        end = int(np.asarray(seen.task.output_symbol(w.output[-1:]))[0, 0])
        assert seen.graph(i).node_output[w.nodes[-1]] == end


def test_pulses_that_do_not_fit_are_refused(seen: explorer.Explored) -> None:
    for pulses, steps, said in (
        ([PlacedPulse(95, 0, 10)], 100, "does not lie in"),
        ([PlacedPulse(0, 7, 5)], 100, "input 7"),
        ([PlacedPulse(0, 0, 5)] * 9, 100, "up to 8"), ([], 10**9, "give 20 to 1000"),
        ([PlacedPulse(0, 0, 5, float("nan"))], 100, "amplitude"),
    ):  # fmt: skip
        with pytest.raises(SolspaceError, match=said):
            live.check_pulses(seen.task, pulses, steps)


def test_views_from_addresses(populations: dict[str, explorer.Explored], view: Explorer) -> None:
    view._choose("B", 7)
    view._moved(0, 9)
    state = view.state()
    again = Explorer(populations, state=state, maps_made=view.maps_made)
    assert again.state() == state
    assert state["pulses"].startswith("[[9,")
    # Nothing of an address is opened, and what is not there is left out.
    hostile = {
        "population": "/etc/passwd", "map": "../..", "color": "__class__", "A": "<script>",
        "challenge": "x", "pulses": '[[1e999, "a"]]', "steps": "-1", "sizes": "a|b",
    }  # fmt: skip
    plain = Explorer(populations, state=hostile)
    assert plain.state()["population"] == next(iter(populations))
    view.pick["B"].value = ""


def test_challenges_that_a_design_chose_come_first(seen: explorer.Explored) -> None:
    pytest.importorskip("panel")
    names = list(live.challenges_at_hand(seen.task))
    share = np.zeros((len(names), 2))
    share[40, 0], share[9, 1], share[7, 1] = 1, 0.6, 0.4
    of = {"challenge": names, "task": seen.task.name, "architecture": "vanilla"}
    design = xr.Dataset({"order_share": (("challenge", "trials"), share)}, of)
    first = list(Explorer({NAME: seen}, design=design).challenge.options.values())
    assert first[:3] == ["by hand", names[40], names[9]] and len(first) == len(names) + 1
    assert Explorer({NAME: seen}, design=design).challenge.value == names[40]
    other = Explorer({NAME: seen}, design=design.assign_coords(architecture="gru"))
    assert list(other.challenge.options.values())[1:] == names
    with pytest.raises(SolspaceError, match="the design is of interval_reproduction/elman; give"):
        explorer.serve(STORE, port=0, design=design.assign_coords(architecture="elman"))


def test_measures_lay_networks_out_where_there_are_no_features() -> None:
    """And of challenges that are inputs the pulses are at hand."""
    shipped = explorer.open_explored(STORE.parent / "context_integration.zarr")
    (seen,) = shipped.values()
    assert "right_delay_20x" in seen.features_named
    laid = maps.lay_out(seen, "features")
    assert len(laid.there) == seen.networks and "32 features" in laid.told
    assert "cannot have any: its outputs are continuous" in seen.to_make("reduce")
    at_hand = live.challenges_at_hand(seen.task)
    one = at_hand["delay 20, context 2, streams +4 +1"]
    assert [pulse.channel for pulse in one.pulses] == [3, 0, 1]
    assert live.respond(seen, 0, one).output.shape == (one.steps, 1)
    inside = np.arange(seen.networks) < 20
    assert explorer.distinguish_challenges(seen, inside, most=3)[0].inside == 3


def test_code_of_a_view_runs(view: Explorer) -> None:
    view.sizes.value = ["20", "50"]
    view._choose("A", 5)
    names: dict[str, object] = {}
    exec(view.code_text(), names)
    np.testing.assert_allclose(names["places"], view.laid.places)
    assert np.array_equal(names["kept"], view._kept())
    assert names["i"] == 5
    shown = view.outputs["A"].source.data["y0"]
    np.testing.assert_allclose(names["answer"].output[:, 0], shown)
    view.sizes.value = []


def test_lasso_tells_and_exports(view: Explorer, tmp_path: Path) -> None:
    named = view.seen.column("solution_name")
    at = np.flatnonzero(named == "waits_late_set_go")
    view.map_figure.source.selected.indices = [int(i) for i in at]
    assert f"{len(at)} networks selected" in view.selected_text.object
    assert "corrected p" in view.selected_text.object
    with zipfile.ZipFile(io.BytesIO(view._selection_store().read())) as zipped:
        zipped.extractall(tmp_path)
    stored = solspace.open_population(tmp_path / "selection.zarr", *NAME.split("/"))
    assert stored["name"].values.tolist() == [view.seen.names[i] for i in at]
    assert view.svg().count("<svg") == 1
    view.map_figure.source.selected.indices = []


def test_selections_are_a_stage(tmp_path: Path) -> None:
    path = str(tmp_path / "few.zarr")
    shutil.copytree(STORE.parent / "learning.zarr", path)
    populations = explorer.open_explored(path)
    name = next(iter(populations))
    view = Explorer(populations, state={"population": name}, save_labels=True)
    for label, networks in (("first ones", [0, 1, 2]), ("others", [2, 3])):
        view.map_figure.source.selected.indices = networks
        view.selection_name.value = label
        view._save_selection()
    ds = solspace.open_population(path, *name.split("/"))
    names = view.seen.names
    assert members_of(ds) == {"first ones": names[:2], "others": names[2:4]}
    assert "select" in ds.attrs["provenance"]
    assert solspace.check_store(path) == []
    assert view.color.value == "selection"
    view.save_labels = False
    view.map_figure.source.selected.indices = [4]
    view._guarded(view._save_selection)
    assert "--save-labels" in view.said.object
    view.save_labels = True
    hold = "import sys; from solspace.store import Store\nwith Store(sys.argv[1]).lock('run'):\n"
    hold += " print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        view._guarded(view._save_selection)
        other.communicate()
    assert "role='alert'" in view.said.object
    assert "another" in view.said.object


def test_selections_that_do_not_fit_are_refused() -> None:
    ds = untrained(3)
    one = str(ds["name"].values[0])
    for members, said in (
        ([one], "SELECTION=NETWORK"), ([f"a={one}", f"b={one}"], "one selection at most"),
        (["a=nobody"], "no network is named"), ([f"<b>={one}"], "a selection named"),
    ):  # fmt: skip
        with pytest.raises(SolspaceError, match=said):
            select(ds, members=members)


def test_views_of_little() -> None:
    """One network, without features, graphs or fixed points, is shown as far as it goes."""
    pytest.importorskip("panel")
    view = Explorer(explorer.open_explored(untrained(1)))
    assert "No map" in view.trust.object
    assert "solspace reduce" in view.about["A"].object
    assert len(view.outputs["A"].source.data["t"])
    assert view.laid is None


def test_stores_without_recurrent_networks_are_refused() -> None:
    with pytest.raises(SolspaceError, match="planar networks by"):
        explorer.open_explored(STORE.parent / "two_neuron.zarr")


def test_ports_in_use_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("panel")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["explore", str(STORE.parent / "learning.zarr"), "--port", str(port)]) == 2
    assert f"port {port} of 127.0.0.1 is in use" in capsys.readouterr().err


def test_page_runs() -> None:
    names: dict[str, object] = {}
    for block in python_blocks("docs/explorer.md"):
        exec(block, names)


@pytest.mark.skipif(bool(browsing.why_not()), reason=browsing.why_not() or "there is a browser")
def test_in_a_browser() -> None:
    """Opened, clicked, compared, filtered, lassoed, poked, reloaded: nothing fails on the way."""
    with browsing.served(str(STORE)) as address, browsing.browser() as browser:
        page = browsing.Page(browser)
        times = {"first view": [page.open(f"{address}?population={NAME}")]}
        at = browsing.apart(page, 3)
        times["a click"] = [browsing.click(page, i) for i in at]
        names = page.do("return given.map((i) => marks.data_source.data.name[i])", at)
        page.page.wait_for_function("(a) => location.search.includes(a)", arg=f"A={names[-1]}")

        page.page.get_by_text("Click: B", exact=True).click()
        page.page.wait_for_timeout(800)
        page.page.mouse.click(*page.place_of(at[0]))
        page.page.get_by_text(f"B: {names[0]}").wait_for()

        page.page.locator(".noUi-handle").first.focus()
        times["a pulse moved"] = [browsing.press(page, "ArrowRight") for _ in range(3)]
        page.page.get_by_text("by hand").first.wait_for(state="attached")
        page.page.get_by_role("button", name="One network of each solution").click()
        page.page.wait_for_function("() => window.location.search.includes('each=1')")

        page.page.locator(".choices").first.click()
        page.page.keyboard.type("50")
        page.page.keyboard.press("Enter")
        page.page.get_by_text("100 of 400 networks").wait_for()

        left, top, right, bottom = page.do(
            """
            const box = Bokeh.index.find_one(map).canvas_view.el.getBoundingClientRect();
            return [box.left + 30, box.top + 30, box.right - 30, box.bottom - 60];
            """
        )
        page.page.mouse.move(left, top)
        page.page.mouse.down()
        for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
            page.page.mouse.move(x, y, steps=3)
        page.page.mouse.up()
        page.page.get_by_text("networks selected").wait_for()
        assert page.page.get_by_text("corrected p").count()

        shown = page.do(
            "return [marks.data_source.data.name, Array.from(named('output A').data.y0)]"
        )
        page.page.wait_for_timeout(500)  # the address follows the view
        state, requests, faults = page.page.url, page.requests, page.faults
        page.close()
        again = browsing.Page(browser, width=400, dark=True)
        again.open(state + "&theme=dark")
        same = again.do(
            "return [marks.data_source.data.name, Array.from(named('output A').data.y0)]"
        )
        assert same[0] == shown[0]
        np.testing.assert_allclose(same[1], shown[1])
        # Nothing is cut off or to be scrolled sideways.
        assert again.page.evaluate("() => document.documentElement.scrollWidth") <= 400
        faults, requests = faults + again.faults, requests + again.requests
        again.close()
    for name, seconds in times.items():
        print(browsing.told(name, seconds))
    assert faults == []
    assert all(url.startswith((address, "data:", "blob:")) for url in requests)
