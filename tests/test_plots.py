from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace.errors import SolspaceError
from solspace.plots import (
    plot_extrapolation,
    plot_graph,
    plot_solutions,
    plot_trajectories,
    save,
    to_svg,
)
from solspace.plots.extrapolation import choose_trials, onsets, trained_values
from solspace.plots.graph import describe_graph
from solspace.plots.layout import COLUMN, RADIUS, ROW, autonomous_path, edge_curves, node_positions
from solspace.plots.style import symbol
from solspace.plots.trajectories import principal_plane, shown_trials
from solspace.population import import_networks
from solspace.simulation.stage import extrapolate, record
from solspace.tasks import get_task, task_names

SYMBOLS = ["autonomous", "pulse1", "pulse2"]


@st.composite
def graphs(draw, most=10):
    """Node outputs, and edges (source, target, symbol) of which each node has one per symbol."""
    n = draw(st.integers(1, most))
    output = [0, *draw(st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=n - 1, max_size=n - 1))]
    nodes = st.integers(0, n - 1)
    keys = st.tuples(nodes, st.integers(0, 2))
    edges = draw(st.dictionaries(keys, nodes, max_size=3 * n))
    return output, [(s, t, i) for (s, i), t in sorted(edges.items())]


def graph_dataset(output, edges, symbols=SYMBOLS, room=3):
    """One network's graph as the store has it, with empty room past the counts."""
    source, target, index = np.array(edges, dtype=int).reshape(-1, 3).T
    pad = {"constant_values": -1, "pad_width": (0, room)}
    return xr.Dataset(
        {
            "n_nodes": ("network", [len(output)]),
            "n_edges": ("network", [len(edges)]),
            "node_output": (("network", "node"), [[*output, *[0] * room]]),
            "edge_source": (("network", "edge"), [np.pad(source, **pad)]),
            "edge_target": (("network", "edge"), [np.pad(target, **pad)]),
            "edge_input": (("network", "edge"), [np.pad(index, **pad)]),
        },
        coords={"input_symbol": symbols, "name": ("network", ["only"])},
    )


def population(task_name, architecture="vanilla"):
    """Two networks that nobody trained, of different size."""
    from solspace.networks import parameter_shapes

    task = get_task(task_name)
    rng = np.random.default_rng(0)
    weights = {}
    for size in (6, 9):
        shapes = parameter_shapes(
            architecture, size, inputs=len(task.inputs), outputs=len(task.outputs)
        )
        weights[f"of{size}"] = {
            key: rng.normal(size=shape) / np.sqrt(size) for key, shape in shapes.items()
        }
    return import_networks(task, architecture, weights)


def texts(picture):
    """Every text that HoloViews labels put into a picture."""
    import holoviews as hv

    return [str(t) for labels in picture.traverse(lambda x: x, [hv.Labels])
            for t in labels.dimension_values("text")]  # fmt: skip


# --------------------------------------------------------------------------- layout


@settings(max_examples=40)
@given(graph=graphs())
def test_nodes_keep_apart_and_the_path_is_a_line(graph):
    output, edges = graph
    source, target, index = np.array(edges, dtype=int).reshape(-1, 3).T
    at = node_positions(len(output), source, target, index == 0, np.array(output))
    again = node_positions(len(output), source, target, index == 0, np.array(output))
    np.testing.assert_array_equal(at, again)
    gaps = np.linalg.norm(at[:, None] - at[None], axis=-1)[~np.eye(len(at), dtype=bool)]
    assert not len(gaps) or gaps.min() >= ROW - 1e-9
    path = autonomous_path(source, target, index == 0)
    np.testing.assert_allclose(at[path, 1], 0)
    np.testing.assert_allclose(at[path, 0], COLUMN * np.arange(len(path)))


@settings(max_examples=40)
@given(graph=graphs(most=7))
def test_edges_run_from_rim_to_rim(graph):
    output, edges = graph
    source, target, index = np.array(edges, dtype=int).reshape(-1, 3).T
    at = node_positions(len(output), source, target, index == 0, np.array(output))
    drawn = edge_curves(at, source, target, index == 0, [SYMBOLS[i] if i else "" for i in index])
    shown = {(e.source, e.target, e.autonomous) for e in drawn}
    assert shown == {(s, t, i == 0) for s, t, i in edges}
    assert len(shown) == len(drawn)
    for edge in drawn:
        labels = [SYMBOLS[i] for s, t, i in edges if (s, t) == (edge.source, edge.target) and i]
        assert edge.autonomous or all(name in edge.label for name in labels)
        ends = edge.curve[0] - at[edge.source], edge.head[0] - at[edge.target]
        np.testing.assert_allclose(np.hypot(*np.transpose(ends)), RADIUS, atol=0.08)
        away = np.linalg.norm(edge.curve - at[edge.target], axis=1)
        assert (away[len(away) // 4 :] > RADIUS - 1e-9).all()


def test_published_shapes_are_drawn_without_crossings_or_detours():
    # A cycle of two; a detour that returns; two stimuli, each with two answers.
    for edges in (
        [(0, 1, 0), (1, 0, 0), (0, 0, 1)],
        [(0, 1, 0), (1, 2, 0), (2, 3, 1), (3, 0, 0), (0, 0, 1)],
        [(0, 1, 0), (1, 2, 0), (0, 0, 1), (2, 0, 1)],
    ):
        source, target, index = np.array(edges).T
        at = node_positions(int(target.max()) + 1, source, target, index == 0)
        drawn = edge_curves(at, source, target, index == 0, [""] * len(edges))
        for a in drawn:
            for node in set(range(len(at))) - {a.source, a.target}:
                assert np.linalg.norm(a.curve - at[node], axis=1).min() > RADIUS + 0.05


# --------------------------------------------------------------------------- graphs


def test_drawing_tells_nodes_and_edges_apart():
    import holoviews as hv

    ds = graph_dataset([0, 1, -1], [(0, 1, 0), (1, 0, 0), (0, 2, 2), (2, 2, 0), (1, 1, 1)])
    picture = plot_graph(ds, "only")
    assert {"start", "+1", "−1", "pulse1", "pulse2"} <= set(texts(picture))
    paths = picture.traverse(lambda x: x, [hv.Path])
    styles = [
        hv.Store.lookup_options("matplotlib", p, "style").kwargs.get("linestyle")
        for p in paths
        if type(p) is hv.Path
    ]
    assert "solid" in styles and any(s not in ("solid", None) for s in styles)
    one_sided = graph_dataset([0, 1], [(0, 1, 0)])
    assert "1" in texts(plot_graph(one_sided, 0))


@settings(max_examples=5)
@given(graph=graphs(most=6))
def test_any_small_graph_can_be_drawn(graph):
    svg = to_svg(plot_graph(graph_dataset(*graph), 0), prefix="g-", label='A "graph" & more')
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == 'A "graph" & more'


@settings(max_examples=40)
@given(graph=graphs())
def test_words_tell_every_pulse(graph):
    words = describe_graph(graph_dataset(*graph), 0)
    for s, t, i in graph[1]:
        if i:
            assert f"node {s} to node {t}" in words and SYMBOLS[i] in words


def test_words_tell_where_the_flow_ends():
    told = {
        "is silent, and stays so.": [(0, 0, 0)],
        "is silent, then puts out 1, and so on in a circle.": [(0, 1, 0), (1, 0, 0)],
        "is silent, then puts out 1, and stays so.": [(0, 1, 0), (1, 1, 0)],
        "is silent, then puts out 1.": [(0, 1, 0)],
    }
    for words, edges in told.items():
        found = describe_graph(graph_dataset([0, 1], edges), 0)
        assert found == f"Left alone from the start, the network {words}"


def test_a_graph_too_large_to_draw_says_what_can_be_drawn():
    chain = graph_dataset([0] * 40, [(i, i + 1, 1) for i in range(39)])
    with pytest.raises(SolspaceError, match=r"40 nodes and 39 edges.*--method turner2021"):
        plot_graph(chain, 0)


def test_windows_of_time_stand_on_the_edges():
    ds = graph_dataset([0, 1], [(0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 2)])
    ds["edge_earliest"] = ("network", "edge"), [[20, 30, -1, -1, -1, -1, -1]]
    ds["edge_latest"] = ("network", "edge"), [[45, -1, 12, -1, -1, -1, -1]]
    asked = {"start", "1", "pulse1 20–45", "from 30", "to 12", "pulse2"}
    assert set(texts(plot_graph(ds, 0, windows=True))) == asked
    assert set(texts(plot_graph(ds, 0))) == {"start", "1", "pulse1", "pulse2"}


def test_missing_graphs_name_the_stage():
    ds = graph_dataset([0], [])
    with pytest.raises(SolspaceError, match=r"no 'n_nodes'.*solspace reduce"):
        plot_graph(ds.drop_vars("n_nodes"), 0)
    with pytest.raises(SolspaceError, match=r"no graph.*solspace reduce"):
        plot_graph(ds.assign(n_nodes=("network", [-1])), 0)
    with pytest.raises(SolspaceError, match=r"network 3 of 1; give 0 to 0"):
        plot_graph(ds, 3)
    with pytest.raises(SolspaceError, match=r"no network named 'other'; networks: only"):
        plot_graph(ds, "other")


# --------------------------------------------------------------------------- histogram


@settings(max_examples=10)
@given(
    solution=st.lists(st.integers(-1, 14), min_size=1, max_size=60),
    most=st.integers(1, 12),
    seed=st.integers(0, 100),
)
def test_histogram_counts_every_network_once(solution, most, seed):
    import holoviews as hv

    sizes = np.random.default_rng(seed).choice([20, 30, 50], len(solution))
    ds = xr.Dataset({"solution": ("network", solution)}, {"hidden_size": ("network", sizes)})
    if max(solution) < 0:
        with pytest.raises(SolspaceError, match="solspace label"):
            plot_solutions(ds)
        return
    picture = plot_solutions(ds, most=most)
    heights: dict[int, dict[int, float]] = {}
    for bar in picture.traverse(lambda x: x, [hv.Rectangles]):
        (left,), (right,) = bar.dimension_values("left"), bar.dimension_values("right")
        (row,) = bar.dimension_values("bottom")
        heights.setdefault(int(bar.label), {})[round(row + 0.38)] = right - left
    rows = min(max(solution) + 1, most + 1)
    for size, found in heights.items():
        of_it = np.array([s for s, n in zip(solution, sizes, strict=True) if n == size and s >= 0])
        for i in range(rows):
            assert found.get(rows - 1 - i, 0) == np.sum(np.minimum(of_it, most) == i)
    counted = sum(sum(found.values()) for found in heights.values())
    assert counted == sum(s >= 0 for s in solution)


def test_a_solution_has_one_colour_wherever_it_appears():
    from solspace.plots.style import _KNOWN, solution_colors

    several = [f"solution_{k:04x}" for k in range(9)]
    alone = {name: solution_colors([name])[name] for name in (*several, *_KNOWN)}
    for task in ("go waits", "memory", "late"):
        known = [name for name in _KNOWN if name.split("_")[0] in task.split()]
        together = solution_colors(known)
        assert together == {name: alone[name] for name in known}  # the shipped ones keep theirs
        assert len(set(together.values())) == len(known)
    many = solution_colors([*several, *_KNOWN[:7], ""])
    assert len(set(many.values())) == 17 and many[""] == "#D9D9D9"
    assert many == solution_colors([*several[::-1], *_KNOWN[:7], ""])


# --------------------------------------------------------------------------- extrapolation


@pytest.mark.parametrize(
    "task_name", [name for name in task_names() if "vanilla" in get_task(name).recipes]
)
def test_extrapolation_shows_each_row_of_the_output(task_name):
    import holoviews as hv

    task = get_task(task_name)
    ds = extrapolate(population(task_name))
    picture = plot_extrapolation(ds, 1)
    values = {name: ds[name].values for name in task.parameters}
    rows, held, trials = choose_trials(values, ds.target.values[..., 0], trained_values(task))
    (image,) = picture.traverse(lambda x: x, [hv.Image])
    shown = image.dimension_values(2, flat=False)
    y = image.dimension_values(1, expanded=False)
    for trial in trials:
        row = int(np.flatnonzero(np.isclose(y, values[rows][trial]))[0])
        expected = ds.output.values[1, trial, : shown.shape[1], 0]
        np.testing.assert_allclose(shown[row], expected, rtol=1e-6)
        assert all(values[name][trial] == value for name, value in held.items())
    assert np.isnan(shown).all(axis=1).sum() == len(y) - len(trials)
    given = (ds.input.values[trials] != 0).any(axis=(0, 1))  # one context of two is not
    named = {name for name, there in zip(task.inputs, given, strict=True) if there}
    assert named and {*named, f"{task.outputs[0]} asked for"} <= set(texts(picture))


def test_lines_are_the_onsets_of_inputs_and_target():
    import holoviews as hv

    ds = extrapolate(population("interval_reproduction"))
    picture = plot_extrapolation(ds, 0)
    t_in = ds.t_in.values
    ready, set_, trained = (
        c.dimension_values(0) for c in picture.traverse(lambda x: x, [hv.Curve])
    )
    np.testing.assert_array_equal(ready, 5)
    np.testing.assert_array_equal(set_, 5 + t_in)
    # What was asked for lies under the output, and is a little wider.
    (asked,) = picture.traverse(lambda x: x, [hv.Rectangles])
    left, right = asked.dimension_values("left"), asked.dimension_values("right")
    assert len(left) == len(t_in)
    beside = 5 + 2 * t_in - 0.5 - left
    np.testing.assert_allclose(beside, beside[0])
    assert 0 < beside[0] < 10 and (right > left + 2 * beside[0]).all()
    # Nothing is drawn past what there is, and the output hides no line.
    (image,) = picture.traverse(lambda x: x, [hv.Image])
    end = image.dimension_values(0, expanded=False).max()
    put_out = np.flatnonzero((np.abs(ds.output.values[0, ..., 0]) > 0.1).any(axis=0)).max()
    assert end <= 1.05 * max(put_out, right.max()) + 2
    assert trained[0] > end


@settings(max_examples=50)
@given(first=st.lists(st.integers(0, 9), min_size=1, max_size=8), size=st.floats(-5, 5))
def test_onsets(first, size):
    channel = np.zeros((len(first), 12))
    for i, t in enumerate(first):
        channel[i, t : t + 2] = size
    expected = first if size else [np.nan] * len(first)
    np.testing.assert_array_equal(onsets(channel), expected)


def test_extrapolation_refuses_what_is_not_there():
    ds = extrapolate(population("delayed_discrimination"))
    with pytest.raises(SolspaceError, match=r"no 'output'.*solspace extrapolate"):
        plot_extrapolation(ds.drop_vars("output"), 0)
    with pytest.raises(SolspaceError, match=r"no recorded output.*solspace extrapolate"):
        plot_extrapolation(ds.assign(output=ds.output * np.nan), 0)
    with pytest.raises(SolspaceError, match=r"no trial parameter 'f3'; parameters: f1, f2, delay"):
        plot_extrapolation(ds, 0, rows="f3")
    with pytest.raises(SolspaceError, match=r"no trial has delay = 7; values: 0, 10"):
        plot_extrapolation(ds, 0, at={"delay": 7})
    with pytest.raises(SolspaceError, match="every trial parameter is held"):
        plot_extrapolation(ds, 0, at={"f1": 2, "f2": 8, "delay": 0})
    picture = plot_extrapolation(ds, 0, rows="delay", at={"f1": 2, "f2": 8})
    assert "choice asked for" in texts(picture)


def test_symbols_are_set_in_print():
    assert symbol("after_response") == "after response"
    assert symbol("t1") == r"$t_\mathrm{1}$"


# --------------------------------------------------------------------------- trajectories


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), units=st.integers(1, 7))
def test_plane_holds_the_variance_it_says(seed, units):
    rng = np.random.default_rng(seed)
    activity = rng.normal(size=(4, 30, units)) * rng.uniform(0.1, 3, units)
    plane, share = principal_plane(activity)
    total = activity.reshape(-1, units).var(axis=0).sum()
    found = plane.reshape(-1, 2).var(axis=0)
    np.testing.assert_allclose(found / total, share, rtol=1e-6, atol=1e-9)
    assert share[0] >= share[1] >= 0 and share.sum() <= 1 + 1e-9
    order = rng.permutation(units)
    np.testing.assert_allclose(np.abs(principal_plane(activity[..., order])[0]), np.abs(plane))


@pytest.mark.parametrize("architecture", ["vanilla", "lstm"])
def test_trajectories_join_the_epochs_of_each_trial(architecture):
    import holoviews as hv

    ds = record(population("interval_reproduction", architecture))
    # The smaller network is padded in the dataset.
    picture = plot_trajectories(ds, "of6", trials=3)
    plane, _ = principal_plane(ds.activity.values[0][..., :6])
    pieces = [
        piece[["component 1", "component 2"]].values
        for path in picture.traverse(lambda x: x, [hv.Path])
        for piece in path.split(datatype="dataframe")
    ]
    shown = shown_trials(31, 3)
    assert len(pieces) == 3
    for piece, trial in zip(pieces, shown, strict=True):
        np.testing.assert_allclose(piece, plane[trial])
    marks = [
        np.stack([points.dimension_values(i) for i in range(2)], axis=-1)
        for points in picture.traverse(lambda x: x, [hv.Points])
    ]
    np.testing.assert_allclose(marks[0], plane[shown, -1])
    # A mark stands where each epoch of each trial begins.
    spots = np.concatenate(marks)
    for trial in shown:
        begins = np.flatnonzero(np.diff(ds.epoch.values[trial])) + 1
        for step in begins:
            assert np.abs(spots - plane[trial, step]).sum(axis=1).min() < 1e-6


@pytest.mark.slow
def test_trials_are_coloured_by_their_parameter_light_and_dark():
    import holoviews as hv

    ds = record(population("delayed_discrimination"))
    colors = {}
    for by in (None, "f1", "f2"):
        picture = plot_trajectories(ds, 0, trials=8, by=by)
        colors[by] = [
            hv.Store.lookup_options("matplotlib", path, "style").kwargs["color"]
            for path in picture.traverse(lambda x: x, [hv.Path])
        ]
        values = ds[by or "f1"].values[shown_trials(ds.sizes["trial"], 8)]
        pairs = {(v, c) for v, c in zip(values.tolist(), colors[by], strict=True)}
        assert len(pairs) == len({v for v, _ in pairs}) == len({c for _, c in pairs})
    assert colors[None] == colors["f1"] != colors["f2"]
    with pytest.raises(SolspaceError, match=r"no parameter 'f3'.*parameters: f1, f2"):
        plot_trajectories(ds, 0, by="f3")
    # One network that was chosen before needs no second choice, and several need one.
    assert len(plot_trajectories(ds.sel(network=1))) == len(plot_trajectories(ds, 1))
    with pytest.raises(SolspaceError, match="2 networks; say which"):
        plot_trajectories(ds)
    with pytest.raises(SolspaceError, match=r"'of6' was asked for.*one alone, 'of9'"):
        plot_trajectories(ds.sel(network=1), "of6")


def test_trajectories_refuse_what_is_not_there():
    ds = record(population("interval_reproduction"))
    with pytest.raises(SolspaceError, match=r"no 'activity'.*solspace record"):
        plot_trajectories(ds.drop_vars("activity"), 0)
    with pytest.raises(SolspaceError, match=r"no recorded activity.*solspace record"):
        plot_trajectories(ds.assign(activity=ds.activity * np.nan), 0)
    with pytest.raises(SolspaceError, match=r"trials \[31\] of 31; give some of 0 to 30"):
        plot_trajectories(ds, 0, trials=[31])
    with pytest.raises(SolspaceError, match="does not change"):
        plot_trajectories(ds.assign(activity=ds.activity * 0), 0)


# --------------------------------------------------------------------------- files


def test_pictures_are_saved_whole_and_the_same_each_time(tmp_path):
    from PIL import Image

    ds = record(population("interval_reproduction"))
    first = save(plot_trajectories(ds, 0), tmp_path / "one")
    second = save(plot_trajectories(ds, 0), tmp_path / "two")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "one.png",
        "one.svg",
        "two.png",
        "two.svg",
    ]
    for a, b in zip(first, second, strict=True):
        with open(a, "rb") as one, open(b, "rb") as two:
            assert one.read() == two.read()
    with Image.open(first[0]) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=1)
        assert len(np.unique(np.asarray(image))) > 10
    with pytest.raises(SolspaceError, match="unknown format 'gif'; formats: png, svg, pdf"):
        save(plot_trajectories(ds, 0), tmp_path / "three", formats=["gif"])


def test_a_suffix_says_which_file_is_written(tmp_path):
    import holoviews as hv

    picture = hv.Curve([1, 2, 3])
    for name in ("t.pdf", "u.SVG", "v0.5.png"):
        assert save(picture, tmp_path / name) == [str(tmp_path / name)]
    assert (tmp_path / "t.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.pdf", "u.SVG", "v0.5.png"]
    named = save(picture, tmp_path / "noise_1.5", formats=["svg"])  # a dot that is no suffix
    assert named == [str(tmp_path / "noise_1.5.svg")]
    with pytest.raises(SolspaceError, match=r"'t.pdf' is a pdf and formats=\['png'\]"):
        save(picture, "t.pdf", formats=["png"])
    with pytest.raises(SolspaceError, match="unknown format 'jpg'; formats: png, svg, pdf"):
        save(picture, "t.jpg")


def test_importing_the_pictures_does_not_choose_a_backend():
    import subprocess
    import sys

    code = (
        "import sys, solspace.plots;"
        "assert not {'holoviews', 'matplotlib', 'torch'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_file_is_a_picture(tmp_path, monkeypatch):
    """One new file in the folder, and no list: its function is there."""
    import sys

    import solspace.plots

    (tmp_path / "dots.py").write_text(
        "from solspace.plots.style import holoviews\n"
        "__all__ = ['loss_dots']\n"
        "def loss_dots(ds):\n"
        "    return holoviews().Scatter((ds.network.values, ds.loss.values))\n"
    )
    monkeypatch.setattr(solspace.plots, "__path__", [*solspace.plots.__path__, str(tmp_path)])
    ds = xr.Dataset({"loss": ("network", [1e-4, 2e-4])}, coords={"network": [0, 1]})
    try:
        from solspace.plots import loss_dots, save

        picture = loss_dots(ds)
        assert len(picture) == 2
        written = save(picture, str(tmp_path / "picture"), formats=["png"])
        assert all(Path(file).stat().st_size > 1000 for file in written)
    finally:
        for name in ("loss_dots",):
            vars(solspace.plots).pop(name, None)
            solspace.plots.__all__.remove(name)
        solspace.plots._looked_at.discard("dots")
        sys.modules.pop("solspace.plots.dots", None)
