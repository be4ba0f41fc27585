"""The explorer of many networks: pictures of crowds, zoom, clicks and lassos among all of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import browsing
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import bucket_server

import solspace
from solspace import explorer
from solspace.errors import SolspaceError
from solspace.explorer import maps, telling
from solspace.explorer.app import Explorer
from solspace.explorer.crowds import ASIDE, FAINTEST, inside_of, picture
from solspace.reduction.stage import graph_of

STORE = Path(solspace.__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
NAME = "interval_reproduction/vanilla"
TIMES = 75  # the shipped networks, so often: 30,000


@pytest.fixture(scope="module")
def populations() -> dict[str, explorer.Explored]:
    pytest.importorskip("panel")
    return explorer.open_explored(STORE)


@pytest.fixture(scope="module")
def many() -> explorer.Explored:
    """30,000 networks in memory, with the features, labels and weights of those that ship."""
    ds = xr.open_zarr(STORE, group=NAME, chunks=None)
    of = np.arange(400 * TIMES) % 400
    ds = ds.isel(network=of)
    names = np.array([f"{n}_{i}" for i, n in enumerate(ds["name"].values.tolist())])
    ds = ds.assign_coords(network=np.arange(len(of)), name=("network", names))
    return explorer.Explored(NAME, {"population": ds})


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_pictures_hold_every_network_once(networks: int, bins: int, seed: int) -> None:
    """Each spot has the mean colour of its networks, and no spot without any is seen."""
    rng = np.random.default_rng(seed)
    places, rgb = rng.uniform(-0.2, 1.2, (networks, 2)), rng.integers(0, 256, (networks, 3))
    selected = rng.random(networks) < 0.3
    shown = picture(places, rgb, (0, 1, 0, 1), bins).view(np.uint8).reshape(bins, bins, 4)
    chosen = picture(places, rgb, (0, 1, 0, 1), bins, selected).view(np.uint8)
    chosen = chosen.reshape(bins, bins, 4)
    spot = np.floor(places * bins).astype(int)
    for row in range(bins):
        for column in range(bins):
            here = (spot[:, 0] == column) & (spot[:, 1] == row)
            if not here.any():
                assert shown[row, column, 3] == 0
                continue
            # Rounded to whole numbers of 0 to 255.
            np.testing.assert_allclose(shown[row, column, :3], rgb[here].mean(axis=0), atol=0.51)
            assert shown[row, column, 3] >= int(FAINTEST * 255)
            if not selected.any():
                continue
            if (here & selected).any():
                np.testing.assert_allclose(
                    chosen[row, column, :3], rgb[here & selected].mean(axis=0), atol=0.51
                )
            else:
                assert chosen[row, column, 3] <= round(ASIDE * 255)


def test_lassos_hold_what_lies_in_them() -> None:
    x, y = np.meshgrid(np.linspace(0.05, 0.95, 10), np.linspace(0.05, 0.95, 10))
    places = np.column_stack([x.ravel(), y.ravel()])
    box = {"type": "rect", "x0": 0.5, "x1": 0.2, "y0": 0.1, "y1": 0.4}
    inside = inside_of(box, places)
    assert np.array_equal(inside, (x.ravel() > 0.2) & (x.ravel() < 0.5)
                          & (y.ravel() > 0.1) & (y.ravel() < 0.4))  # fmt: skip
    triangle = inside_of({"type": "poly", "x": [0, 0.97, 0], "y": [0, 0, 0.97]}, places)
    assert np.array_equal(triangle, x.ravel() + y.ravel() < 0.97)
    assert not inside_of({"type": "poly", "x": [0, 1], "y": [0, 1]}, places).any()
    assert not inside_of({}, places).any()


def test_more_networks_than_marks(populations: dict[str, explorer.Explored]) -> None:
    """Coloured counts, marks where one zooms in, clicks and lassos for every network."""
    view = Explorer(populations, state={"population": NAME}, most_marks=100)
    shown, laid = view.map_figure, view.laid
    assert laid is not None
    assert len(shown.source.data["x"]) == 0
    first = shown.crowd.data["image"][0]
    assert (first.view(np.uint8)[:, 3::4] > 0).sum() > 100
    for i in (0, 7, 399):
        found = shown.nearest(*laid.places[i])
        assert found is not None
        np.testing.assert_allclose(laid.places[found], laid.places[i])
    view._clicked(SimpleNamespace(x=laid.places[7, 0], y=laid.places[7, 1]))
    assert view.chosen["A"] == shown.nearest(*laid.places[7])

    low, high = np.quantile(laid.places, [0.3, 0.7], axis=0)
    box = {"x0": low[0], "x1": high[0], "y0": low[1], "y1": high[1]}
    inside = ((laid.places >= low) & (laid.places <= high)).all(axis=1)
    view._lassoed(SimpleNamespace(final=False, geometry={"type": "rect", **box}))
    assert not view.selection().any()
    view._lassoed(SimpleNamespace(final=True, geometry={"type": "rect", **box}))
    assert np.array_equal(view.selection(), inside)
    assert f"{inside.sum()} networks selected" in view.selected_text.object
    assert not np.array_equal(shown.crowd.data["image"][0], first)

    near = np.sort(np.abs(laid.places - laid.places[7]).max(axis=1))[20]
    x, y = laid.places[7]
    view._zoomed(SimpleNamespace(x0=x - near, x1=x + near, y0=y - near, y1=y + near))
    at = np.asarray(shown.source.data["index"])
    assert 7 in at
    assert 20 <= len(at) <= 100
    assert not len(shown.crowd.data["image"])
    assert [at[i] for i in shown.source.selected.indices] == at[inside[at]].tolist()
    assert np.array_equal(view.selection(), inside)
    assert view.svg().count("<svg") == 1
    view._unselected(SimpleNamespace())
    assert view.selected_text.object == ""
    view.color.value = "loss"
    assert len(set(shown.source.data["color"])) > 1
    # All are kept on the way back.
    view._zoomed(SimpleNamespace(x0=-99, x1=99, y0=-99, y1=99))
    assert len(shown.crowd.data["image"]) == 1
    assert "<image" in view.svg()


def test_maps_of_many_are_those_of_few(many: explorer.Explored) -> None:
    """Networks that are repeated lie where they lay, and nearest to their own copies."""
    few = maps.lay_out(explorer.open_explored(STORE)[NAME], "features")
    laid = maps.lay_out(many, "features")
    # Single precision, over 250 features.
    span = float(np.ptp(few.places))
    np.testing.assert_allclose(laid.places, np.tile(few.places, (TIMES, 1)), atol=1e-4 * span)
    assert {i % 400 for i, _ in laid.nearest(25, 5)} == {25}
    assert "among 1,000 of 30,000 networks" in laid.told


def test_weights_of_many_are_those_of_some(
    many: explorer.Explored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(maps.LAID_OUT, "weights", 12)
    laid = maps.lay_out(many, "weights")
    assert len(laid.there) == 12
    assert "12 of 30,000 networks are laid out, evenly chosen" in laid.told
    with pytest.raises(SolspaceError, match="not on the map"):
        laid.nearest(1)


def test_thirty_thousand_networks(many: explorer.Explored) -> None:
    """No list of all names is sent; names and positions are typed, and refused in words."""
    pytest.importorskip("panel")
    view = Explorer({NAME: many})
    assert view.pick["A"].options == []
    assert len(view.map_figure.crowd.data["image"]) == 1
    view.pick["A"].value = "29999"
    assert view.chosen["A"] == 29_999
    view.pick["A"].value = many.names[12]
    assert view.chosen["A"] == 12
    for nobody in ("nobody", "30000"):
        view.pick["A"].value = nobody
        assert "has no network" in view.said.object
        assert nobody in view.said.object
        assert view.chosen["A"] == 12
    view._lassoed(SimpleNamespace(final=True, geometry={"type": "rect", "x0": -1e9, "x1": 0.0,
                                                        "y0": -1e9, "y1": 1e9}))  # fmt: skip
    n = int(view.selection().sum())
    assert f"{n} networks selected" in view.selected_text.object
    most = telling.COMPARED
    assert f"of {most:,} and {most:,} networks, evenly chosen" in view.selected_text.object
    assert view.as_store.disabled
    with pytest.raises(SolspaceError, match="up to 5000 are downloaded"):
        view._selection_store()


def test_what_was_looked_at_is_kept(populations: dict[str, explorer.Explored]) -> None:
    """One network's weights, graph and fixed points are those of the whole, and read once."""
    seen = explorer.open_explored(STORE)[NAME]
    seen.look_at(41)
    fresh = populations[NAME]
    for name, value in fresh.weights(41).items():
        assert np.array_equal(seen.weights(41)[name], value)
    assert seen.graph(41) is seen.graph(41)
    assert seen.weights(41) is seen.weights(41)
    stored = graph_of(fresh.group("graph"), 41)
    assert seen.graph(41).node_output.tolist() == stored.node_output.tolist()
    assert seen.graph(41).edge_target.tolist() == stored.edge_target.tolist()
    points, kinds = seen.fixed_points(41)
    kind = fresh.group("fixed_points")["fixed_point_kind"].isel(network=41, constant_input=0)
    assert len(points) == len(kinds) == int((kind.values >= 0).sum())
    for i in range(70):
        seen.graph(i)
    assert seen.graph(41) is seen.graph(41)
    assert len(seen._graphs) <= 64


@pytest.mark.slow
@pytest.mark.skipif(bool(browsing.why_not()), reason=browsing.why_not() or "there is a browser")
def test_a_bucket_turned_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of S3 is opened, clicked, its planes are dragged; and reached by keyboard."""
    pytest.importorskip("obstore")
    shutil.copytree(STORE.parent / "learning.zarr", tmp_path / "bucket" / "learning.zarr")
    with bucket_server(tmp_path) as server:
        for name, value in server.items():
            monkeypatch.setenv(name, value)
        with browsing.served("s3://bucket/learning.zarr") as address, browsing.browser() as driven:
            page = browsing.Page(driven)
            page.page.set_default_timeout(60_000)
            page.open(address)
            (at,) = browsing.apart(page, 1)
            name = page.do("return marks.data_source.data.name[given]", at)
            browsing.click(page, at)
            page.page.get_by_text(f"A: {name}").wait_for()

            x, y, wide, high = page.do(
                """
                const view = Bokeh.index.find_one(named("plane A"));
                view.el.scrollIntoView({ block: "center" });
                const box = view.canvas_view.el.getBoundingClientRect();
                return [box.left, box.top, box.width, box.height];
                """
            )
            page.page.mouse.move(x + wide / 2, y + high / 2)
            page.page.mouse.down()
            page.page.mouse.move(x + wide / 2 + 80, y + high / 2 - 30, steps=4)
            page.page.mouse.up()
            # A degree for two pixels; the address follows.
            page.page.wait_for_function("() => location.search.includes('turn=15%2C40')")
            shown = page.do(
                """
                const data = named("plane A").renderers[0].data_source.data, out = {};
                for (const k of ["a0", "b0", "c0", "x0", "y0"]) out[k] = Array.from(data[k]);
                return out;
                """
            )
            one, two, three = (np.array(shown[k]) for k in ("a0", "b0", "c0"))
            tilt, spin = np.deg2rad([15, 40])
            inward = three * np.cos(spin) - one * np.sin(spin)
            # Single precision on either side.
            far = 1e-5 * np.abs([one, two, three]).max()
            right, up = one * np.cos(spin) + three * np.sin(spin), two * np.cos(tilt)
            np.testing.assert_allclose(shown["x0"], right, atol=far)
            np.testing.assert_allclose(shown["y0"], up + inward * np.sin(tilt), atol=far)

            reached = browsing.by_tab(page)
            faults = page.faults
            page.close()
            # As the system is: drawn again once, and then at once.
            dark = browsing.Page(driven, dark=True)
            for views in (2, 1):
                dark.requests.clear()
                dark.open(address)
                assert dark.page.evaluate("document.documentElement.dataset.theme") == "dark"
                assert len([url for url in dark.requests if url == address]) == views
            faults += dark.faults
            dark.close()
    for wanted in ("Population", "Map by", "Colour by", "or a feature", "Only sizes", "figure",
                   "Network A, by name", "Click: B", "Challenge", "Add pulse",
                   "Turn about PC 1 (degrees); or drag: 15"):  # fmt: skip
        assert wanted in reached
    assert [name for name in reached if name == "null" or name.startswith("?")] == []
    assert faults == []
