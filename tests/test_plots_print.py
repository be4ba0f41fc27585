"""Every plot in both backends and in print: type that can be read, and no wider than a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import solspace
from solspace import plots
from solspace.plots.style import PAGE, SMALLEST, current

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
        "checkpoints": xr.open_zarr(
            STORE.with_name("learning.zarr"), group=f"{GROUP}/checkpoints"
        ).load(),
    }


def recording_size() -> xr.Dataset:
    kappa = np.add.outer([0.1, 0.3], [0.1, 0.2, 0.3])
    dims = ("recorded_units", "recorded_trials")
    values = {"kappa": kappa, "kappa_low": kappa - 0.05, "kappa_high": kappa + 0.05}
    return xr.Dataset(
        {name: (dims, value) for name, value in values.items()},
        coords={"recorded_units": [5, np.inf], "recorded_trials": [10, 30, np.inf]},
    )


PLOTS = {
    "plot_attractors": lambda g: plots.plot_attractors(g["population"], 0, steps=40),
    "plot_checkpoints": lambda g: plots.plot_checkpoints(g["checkpoints"]),
    "plot_confusion": lambda g: plots.plot_confusion(g["classification"]),
    "plot_extrapolation": lambda g: plots.plot_extrapolation(g["extrapolation"]),
    "plot_graph": lambda g: plots.plot_graph(g["graph"], 0, windows=True),
    "plot_importance": lambda g: plots.plot_importance(g["classification"]),
    "plot_kappa": lambda g: plots.plot_kappa({GROUP: g["classification"]}),
    "plot_linear": lambda g: plots.plot_linear(np.eye(2)[None] + [[0.1, 0.3], [-0.3, 0.2]]),
    "plot_machine": lambda g: plots.plot_machine(g["response"], 0),
    "plot_phase_portrait": lambda g: plots.plot_phase_portrait([[1.1, 0.5], [-0.7, 1.3]]),
    "plot_rarefaction": lambda g: plots.plot_rarefaction(
        {"few": solspace.solution_coverage({"a": 9, "b": 3, "c": 1}, resamples=5)}
    ),
    "plot_recording_size": lambda g: plots.plot_recording_size(recording_size(), whole=0.4),
    "plot_solutions": lambda g: plots.plot_solutions(g["population"]),
    "plot_stability": lambda g: plots.plot_stability(g["stability"]),
    "plot_trajectories": lambda g: plots.plot_trajectories(g["training"]),
}
# What takes minutes to compute is drawn where it is tested: tests/test_two_neuron_plane.py.
ELSEWHERE = {"plot_path", "plot_slice", "plot_two_neuron"}


def test_every_plot_is_looked_at():
    assert {n for n in plots.__all__ if n.startswith("plot_")} == {*PLOTS, *ELSEWHERE}


@pytest.mark.parametrize("name", PLOTS)
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
        assert width <= PAGE, f"{25.4 * width:.0f} mm"
    finally:
        plt.close(figure)
    with current("bokeh") as hv:
        model = hv.render(picture, backend="bokeh")
    from bokeh.models import Legend

    named = sorted(
        item.label.value for legend in model.select({"type": Legend}) for item in legend.items
    )
    assert named or name in ("plot_confusion", "plot_importance"), "no key"
