"""Every plot in both backends and in print: type that can be read, and no wider than a page."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks

import solspace
from solspace import plots
from solspace.networks import parameter_shapes
from solspace.plots import style
from solspace.plots.style import COLUMN, PAGE, SMALLEST, current

STORE = Path(solspace.__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
GROUP = "interval_reproduction/vanilla"


def opened(group: str = "", networks: slice = slice(0, 3)) -> xr.Dataset:
    return xr.open_zarr(STORE, group=f"{GROUP}{group}").isel(network=networks).load()


@pytest.fixture(scope="module")
def groups() -> dict[str, xr.Dataset]:
    population = opened()
    few = population.isel(network=[0])
    return {
        "population": population,
        "training": solspace.record(few),
        "extrapolation": solspace.extrapolate(few),
        "graph": opened("/graph"),
        "response": opened("/response"),
        "classification": opened("/classification"),
        "stability": opened("/stability").isel(label=slice(0, 8)),
        "features": opened("", slice(0, 24)),
        "trained": xr.open_zarr(STORE, group="interval_reproduction/gru")[
            ["loss_curve", "solution_name"]
        ]
        .isel(network=slice(0, 8))
        .load(),
        "checkpoints": xr.open_zarr(
            STORE.with_name("learning.zarr"), group=f"{GROUP}/checkpoints"
        ).load(),
    }


def designed(population: xr.Dataset) -> xr.Dataset:
    """Three networks, each told apart from the others by what it answers."""
    from solspace.design import answers, design

    named = population.assign_coords(mine=("network", ["a", "b", "a"]))
    answered = answers(population)
    twice = [xr.concat([ds, ds], "network") for ds in (named, answered)]
    return design(twice[0], label="mine", answered=twice[1], most=2, minimum_class_size=2)


def recording_size() -> xr.Dataset:
    kappa = np.add.outer([0.1, 0.3], [0.1, 0.2, 0.3])
    dims = ("recorded_units", "recorded_trials")
    values = {"kappa": kappa, "kappa_low": kappa - 0.05, "kappa_high": kappa + 0.05}
    return xr.Dataset(
        {name: (dims, value) for name, value in values.items()},
        coords={"recorded_units": [5, np.inf], "recorded_trials": [10, 30, np.inf]},
    )


def location() -> xr.Dataset:
    names = ["waits_late_set_go", "go_repeats_set_changes_nothing", "solution_17f165d5a5ba695f"]
    each = [0.85, 0.1, 0.05]
    return xr.Dataset(
        {
            "probability": ("class_name", each),
            "prior": ("class_name", [0.5, 0.3, 0.2]),
            "half_probability": (("split", "half", "class_name"), [[each, each[::-1]]]),
            "verdict": ((), "a"),
            "reason": ((), ""),
            "confidence": ("confidence_bin", [0.5, 0.9]),
            "accuracy": ("confidence_bin", [0.45, 0.95]),
            "count": ("confidence_bin", [40.0, 120.0]),
            "calibration_error": ((), 0.02),
        },
        coords={"class_name": ["a", "b", "c"], "short_name": ("class_name", names)},
        attrs={"sure": 0.8, "draws": 3},
    )


def psychometric() -> xr.Dataset:
    x = np.array([-4.0, -1.0, 0.0, 1.0, 4.0])
    heeds = np.where(np.eye(2, dtype=bool)[..., None], 1 / (1 + np.exp(-2 * x)), 0.5)
    return xr.Dataset(
        {"positive": (("network", "context", "stream", "coherence"), np.stack([heeds] * 3))},
        coords={"context": [1, 2], "stream": [1, 2], "coherence": x},
    )


def axes_of_two() -> dict[str, xr.Dataset]:
    context, one, two = np.array(np.meshgrid([1, 2], [-4, 4], [-4, 4], indexing="ij")).reshape(3, 8)
    way = np.linspace(0, 1, 6)[:, None] * np.ones(4)
    path = (np.where(context == 1, one, two) / 4)[:, None, None] * way
    ds = xr.Dataset(
        {"trajectory": (("network", "trial", "time", "axis"), path[None])},
        coords={"axis": ["choice", "coherence_1", "coherence_2", "context"]}
        | {n: ("trial", v) for n, v in zip(("context", "coherence_1", "coherence_2"),
                                          (context, one, two), strict=True)},
    )  # fmt: skip
    return {"prefrontal units": ds, "network 20_i000": 2 * ds}


def correlations() -> xr.Dataset:
    dims = ("neural_measure", "choice_measure")
    return xr.Dataset(
        {"rho": (dims, [[0.7, 0.1], [-0.4, 0.0]]), "p_corrected": (dims, [[0.01, 1], [0.02, 1]]),
         "r2": (dims[1:], [0.5, -0.1])},
        coords={dims[0]: ["relative_line_length", "gain"], dims[1]: ["capture_16", "bias"]},
    )  # fmt: skip


def modulation() -> xr.Dataset:
    parts = ["direct", "indirect", "selection"]
    dims = ("network", "selection_method", "stream", "modulation_part")
    return xr.Dataset(
        {"modulation": (dims, [[[[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]], [[[4, -4, 1], [0, 0, 1]]]])},
        {"selection_method": ["trial"], "stream": ["a", "b"], "modulation_part": parts},
    )


def of_two_contexts() -> xr.Dataset:
    rng = np.random.default_rng(0)
    shapes = solspace.networks.parameter_shapes("leaky", 8, 4, 1)
    weights = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    weights["alpha"] = np.array(0.2)
    return solspace.import_networks("context_integration", "leaky", {"mine": weights})


def challenged() -> xr.Dataset:
    rng, shapes = np.random.default_rng(0), parameter_shapes("leaky", 8, 4, 1)
    mine = {}
    for name in "abc":
        mine[name] = {n: rng.normal(0, 0.5, shape) for n, shape in shapes.items()}
        mine[name]["alpha"] = np.array(0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solspace.challenge(solspace.import_networks("context_integration", "leaky", mine))


PLOTS = {
    "plot_attractors": lambda g: plots.plot_attractors(g["population"], 0, steps=40),
    "plot_challenges": lambda g: plots.plot_challenges(challenged()),
    "plot_checkpoints": lambda g: plots.plot_checkpoints(g["checkpoints"]),
    "plot_calibration": lambda g: plots.plot_calibration(location()),
    "plot_confusion": lambda g: plots.plot_confusion(g["classification"]),
    "plot_correlations": lambda g: plots.plot_correlations(correlations()),
    "plot_design": lambda g: plots.plot_design(designed(g["population"])),
    "plot_extrapolation": lambda g: plots.plot_extrapolation(g["extrapolation"]),
    "plot_fixed_points": lambda g: plots.plot_fixed_points(g["population"], 0, starts=32),
    "plot_graph": lambda g: plots.plot_graph(g["graph"], 0, windows=True),
    "plot_importance": lambda g: plots.plot_importance(g["classification"]),
    "plot_kappa": lambda g: plots.plot_kappa({GROUP: g["classification"]}),
    "plot_lines": lambda g: plots.plot_lines(of_two_contexts(), 0),
    "plot_kernel": lambda g: plots.plot_kernel(challenged()),
    "plot_linear": lambda g: plots.plot_linear(np.eye(2)[None] + [[0.1, 0.3], [-0.3, 0.2]]),
    "plot_location": lambda g: plots.plot_location(location()),
    "plot_loss": lambda g: plots.plot_loss(g["trained"]),
    "plot_machine": lambda g: plots.plot_machine(g["response"], 0),
    "plot_map": lambda g: plots.plot_map(g["features"], method="pca"),
    "plot_modulation": lambda g: plots.plot_modulation(modulation()),
    "plot_network": lambda g: plots.plot_network(g, 0),
    "plot_phase_portrait": lambda g: plots.plot_phase_portrait([[1.1, 0.5], [-0.7, 1.3]]),
    "plot_psychometric": lambda g: plots.plot_psychometric(psychometric()),
    "plot_psth": lambda g: plots.plot_psth(g["training"], align="set"),
    "plot_rarefaction": lambda g: plots.plot_rarefaction(
        {"few": solspace.solution_coverage({"a": 9, "b": 3, "c": 1}, resamples=5)}
    ),
    "plot_recording_size": lambda g: plots.plot_recording_size(recording_size(), whole=0.4),
    "plot_solutions": lambda g: plots.plot_solutions(g["population"]),
    "plot_stability": lambda g: plots.plot_stability(g["stability"]),
    "plot_task_axes": lambda g: plots.plot_task_axes(axes_of_two()),
    "plot_trajectories": lambda g: plots.plot_trajectories(g["training"]),
    "plot_weights": lambda g: plots.plot_weights(g["population"], 0, sort="cluster"),
}
# What takes minutes to compute is drawn where it is tested: tests/test_two_neuron_plane.py.
ELSEWHERE = {"plot_path", "plot_slice", "plot_two_neuron"}


# Panels or rows side by side; all others fit into one column of a page.
TWO_COLUMNS = {
    "plot_challenges", "plot_checkpoints", "plot_design", "plot_kernel", "plot_network",
    "plot_stability", "plot_task_axes",
}  # fmt: skip


def test_every_plot_is_looked_at():
    assert {n for n in plots.__all__ if n.startswith("plot_")} == {*PLOTS, *ELSEWHERE}


# The others take a second or more each.
QUICK = ("plot_graph", "plot_extrapolation", "plot_trajectories", "plot_solutions", "plot_kappa")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PLOTS]
)
def test_plots_in_both_backends_and_in_print(groups, name):
    """Nothing under 6 pt, nothing wider than two columns, and options of one's own."""
    import matplotlib.pyplot as plt
    from matplotlib.text import Text

    picture = PLOTS[name](groups).opts(title="mine", backend="matplotlib")
    with current("matplotlib") as hv:
        figure = hv.render(picture, backend="matplotlib")
    try:
        figure.canvas.draw()
        shown = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
        assert any(text.get_text() == "mine" for text in shown)
        small = {t.get_text(): t.get_fontsize() for t in shown if t.get_fontsize() < SMALLEST}
        assert not small
        width = figure.get_tightbbox().width
        most = PAGE if name in TWO_COLUMNS else COLUMN
        assert width <= most, f"{25.4 * width:.0f} mm"
    finally:
        plt.close(figure)
    with current("bokeh") as hv:
        model = hv.render(picture, backend="bokeh")
    from bokeh.models import Legend

    named = sorted(
        item.label.value for legend in model.select({"type": Legend}) for item in legend.items
    )
    assert named or name in ("plot_confusion", "plot_importance", "plot_weights"), "no key"


def test_units_are_averaged_by_condition(groups):
    ds = groups["training"]
    halved = xr.concat([ds, ds], "trial", data_vars="minimal", coords="minimal")
    halved["activity"] = xr.concat([ds.activity + 0.1, ds.activity - 0.1], "trial")
    picture = plots.plot_psth(halved, units=[3], by="t_in")
    lines = [element for element in picture if type(element).__name__ == "Curve"][:-1]
    values = np.unique(ds.t_in.values)[np.linspace(0, 30, 12).round().astype(int)]
    mean = ds.activity.isel(network=0, unit=3).swap_dims(trial="t_in").sel(t_in=values).values
    for line, expected in zip(lines, mean - mean.min(), strict=True):
        np.testing.assert_allclose(line.dimension_values(1), expected, atol=1e-6)
    for wrong, words in (
        ({"units": [99]}, "no unit 99; units: 0 to 19"),
        ({"align": "pause"}, "no epoch 'pause'; epochs: quiet, ready"),
        ({"by": "f1"}, "no parameter 'f1'.*parameters: t_in"),
    ):
        with pytest.raises(solspace.SolspaceError, match=words):
            plots.plot_psth(ds, **wrong)


def test_maps_say_what_is_to_be_trusted(groups):
    from sklearn.manifold import trustworthiness

    ds = groups["features"]
    features = ds.features.values
    plane, trust, neighbors, used = plots.map_population(features, "tsne")
    kept = features[:, (features.std(axis=0) > 1e-12) & np.isfinite(features).all(axis=0)]
    scaled = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    assert used == kept.shape[1] and neighbors == 11
    assert trust == pytest.approx(trustworthiness(scaled, plane, n_neighbors=neighbors))
    # Neighbours that are dealt out anew are not to be trusted.
    dealt = np.random.default_rng(0).permutation(plane)
    assert trust > trustworthiness(scaled, dealt, n_neighbors=neighbors) + 0.2
    for by in ("hidden_size", "solution", str(ds.feature.values[3])):
        picture = plots.plot_map(ds, by, method="pca")
        assert sum(len(points) for points in picture) == ds.sizes["network"]
    with pytest.raises(solspace.SolspaceError, match="nothing of each network is named 'colour'"):
        plots.plot_map(ds, "colour", method="pca")
    with pytest.raises(solspace.SolspaceError, match=r"5 networks.*needs 6"):
        plots.plot_map(ds.isel(network=slice(0, 5)))


def test_a_map_by_distances_says_how_faithful_it_is(groups):
    import matplotlib.pyplot as plt

    few = groups["features"].isel(network=slice(2, 10))
    distances = solspace.similarity.pairwise(solspace.record(few).isel(time=slice(80)))
    found = solspace.similarity.embed(distances)
    # The population may have further networks.
    picture = plots.plot_map(groups["features"], "hidden_size", distances=distances)
    spots = np.vstack([points.array() for points in picture])
    assert sorted(map(tuple, spots)) == sorted(map(tuple, found.position.values))
    with current("matplotlib") as hv:
        told = hv.Store.lookup_options("matplotlib", picture, "plot").kwargs["title"]
        figure = hv.render(picture, backend="matplotlib")
    assert told.startswith(f"procrustes: stress {found.stress.item():.2f}, trustworthiness")
    (axes, *_) = figure.axes
    box = axes.get_window_extent()
    across, up = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
    assert across / up == pytest.approx(box.width / box.height, rel=1e-3)  # one scale
    plt.close(figure)
    with current("bokeh") as hv:
        assert hv.render(picture, backend="bokeh").title.text == told
    others = distances.assign_coords(network=distances.network + 100)
    with pytest.raises(solspace.SolspaceError, match=r"8 networks .* not in the population"):
        plots.plot_map(groups["features"], "hidden_size", distances=others)


def test_weights_are_those_of_the_network_in_the_order_asked_for(groups):
    ds = groups["population"]
    size = int(ds.hidden_size[0])
    own = ds.weight_hh.values[0, 0, :size, :size]
    out = ds.weight_out.values[0, 0, :size]
    for sort, order in ((None, np.arange(size)), ("output", np.argsort(-out, kind="stable"))):
        (image,) = plots.plot_weights(ds, 0, sort=sort)
        shown = image.dimension_values(2, flat=False)
        np.testing.assert_allclose(shown, own[np.ix_(order, order)])
    (image,) = plots.plot_weights(ds, 0, sort="cluster")
    np.testing.assert_allclose(np.sort(image.dimension_values(2)), np.sort(own.ravel()))
    with pytest.raises(solspace.SolspaceError, match="no order 'size' of units; orders: output"):
        plots.plot_weights(ds, 0, sort="size")
    with pytest.raises(solspace.SolspaceError, match="each of 0 to 19 once"):
        plots.plot_weights(ds, 0, sort=[0, 1])


def test_losses_are_those_that_were_kept(groups):
    ds = groups["trained"]
    (path, *_) = plots.plot_loss(ds, 2)
    shown = path.split(datatype="array")[0]
    curve = ds.loss_curve.values[2]
    known = np.isfinite(curve)
    np.testing.assert_allclose(shown, np.stack([ds.check.values[known], curve[known]], axis=1))
    several = plots.plot_loss(ds)
    lines = [line for path in several if type(path).__name__ == "Path" for line in path.split()]
    assert len(lines) == ds.sizes["network"]
    with pytest.raises(solspace.SolspaceError, match=r"no 'loss_curve'.*solspace train"):
        plots.plot_loss(groups["population"], 0)


def test_the_page_runs(tmp_path, monkeypatch):
    """docs/plots.md from top to bottom, which names every plot."""
    (tmp_path / "stores").symlink_to(STORE.parent)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in python_blocks("docs/plots.md"):
        exec(compile(block, "docs/plots.md", "exec"), names)
    for file in ("network.png", "map.png", "psth.png", "solutions.pdf"):
        assert (tmp_path / file).stat().st_size > 3000
    page = (STORE.parents[1] / "docs" / "plots.md").read_text()
    assert {*PLOTS, *ELSEWHERE} <= {name for name in plots.__all__ if f"`{name}`" in page}


# Machado, Oliveira & Fernandes (IEEE TVCG 2009), table 1, severity 1: linear RGB as it is seen.
SEEN_AS = {
    "all colours": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]  # of sRGB, D65


def least_difference(colors, seen_as) -> float:
    """The smallest distance of two of these colours in CIELAB."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(seen_as), 0, 1)
    xyz = linear @ np.transpose(XYZ) / [0.9505, 1, 1.0888]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    return float(apart[np.triu_indices(len(colors), 1)].min())


@pytest.mark.parametrize("vision", SEEN_AS)
def test_colours_are_told_apart_with_every_common_kind_of_colour_vision(vision):
    """A distance of 2 is just seen side by side; 10 is plain across a page."""
    palettes = [
        style._HUES,
        style.SIZE_COLORS,
        style.PARAMETER_COLORS,
        style.SEQUENTIAL,
        style.DIVERGING,
        (style.BLUE, style.ORANGE, style.GREY, style.INK),
    ]
    assert min(least_difference(colors, SEEN_AS[vision]) for colors in palettes) > 15
