"""The fixed points of one network on its trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.plots.attractors import on_two_axes
from solspace.plots.backends import both
from solspace.plots.style import (
    COLUMN,
    FONT,
    INK,
    TARGET,
    Key,
    Scale,
    beside_scale,
    holoviews,
    pick,
    styled,
)
from solspace.plots.style import symbol as set_in_print
from solspace.plots.trajectories import shades_of, shown_trials

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["plot_fixed_points"]

_COLORS = ("#9ECAE1", "#3A86BF", "#062C52")


@styled
def plot_fixed_points(
    population: xr.Dataset,
    network: int | str,
    *,
    under: str = "silence",
    trials: int = 6,
    starts: int = 256,
    task: str | Task | None = None,
) -> hv.Overlay:
    """The fixed points of one network under a constant input, on its trajectories.

    A line for each of some recorded trials, light to dark by the first parameter that differs; a
    filled circle for a stable point, an open one for a saddle, a cross for a slow point. The plane
    is that of the first two principal components of all recorded trials.

    Parameters
    ----------
    population : Dataset
        With weights.
    network : int or str
        Position along ``network``, or name.
    under : str
        The constant input, by name, see `solspace.fixed_points.constant_inputs`.
    trials : int
        How many trials are drawn, evenly from the first to the last.
    starts : int
        From how many states is searched.
    task : str or Task, optional
        By default the dataset's own.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there are no weights, no such network or input, or no trials are asked for.

    Examples
    --------
    >>> import solspace
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> ds = solspace.import_networks("delayed_discrimination", "vanilla", {"mine": mine})
    >>> type(plot_fixed_points(ds, "mine", starts=16)).__name__
    'Overlay'
    """
    from solspace.fixed_points.finding import KINDS, fixed_points
    from solspace.fixed_points.starting import constant_inputs, starts_of
    from solspace.networks import hidden_size, run
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of

    if trials < 1:
        raise SolspaceError(f"{trials} trials; give 1 or more")
    i = pick(population, network, ("weight_hh",), "train")
    task, architecture = task_of(population, task), architecture_of(population)
    inputs = constant_inputs(task)
    if under not in inputs.names:
        raise SolspaceError(f"no input {under!r} is held; there are {', '.join(inputs.names)}")
    weights = network_weights(population, i)
    recorded = task.recorded_trials()
    value = inputs.values[inputs.names.index(under)]
    begun = starts_of(architecture, weights, recorded.input, value, starts)
    found = fixed_points(architecture, weights, begun.states, value, box=begun.box)
    units = hidden_size(weights)
    activity = run(architecture, weights, recorded.input)[0][..., :units]
    centre, axes, share = on_two_axes(activity)
    lines, points = (activity - centre) @ axes, (found.states[:, :units] - centre) @ axes

    hv = holoviews()
    dims = ["component 1", "component 2"]
    shown = shown_trials(len(lines), trials)
    differing = [
        name
        for name in task.parameters
        if len(np.unique(np.asarray(recorded.parameters[name], float)[shown])) > 1
    ]
    named = differing[0] if differing else ""
    values = np.asarray(recorded.parameters[named], float)[shown] if named else np.zeros(len(shown))
    parts: list[Any] = [
        hv.Path([lines[trial]], dims).opts(
            color=color, linewidth=0.7, alpha=0.8, backend="matplotlib"
        )
        for trial, color in zip(shown, shades_of(values, _COLORS), strict=True)
    ]
    marks = {
        "slow": ("slow point", {"color": INK, "marker": "X", "s": 38, "edgecolor": "white"}),
        "saddle": ("saddle", {"color": "white", "marker": "o", "s": 30, "edgecolor": TARGET}),
        "stable": ("stable point", {"color": TARGET, "marker": "o", "s": 34,
                                    "edgecolor": "white"}),
    }  # fmt: skip
    keys = []
    for kind, (label, look) in marks.items():
        own = points[found.kind == KINDS.index(kind)]
        if not len(own):
            continue
        parts.append(hv.Points(own, dims).opts(linewidth=0.9, backend="matplotlib", **look))
        edge = TARGET if kind == "saddle" else str(look["color"])
        face = str(look["color"])
        keys.append(Key(label, edge, marker=str(look["marker"]), face=face, size=5))
    scale = None
    if named:
        unit = task.parameter_units.get(named, "1")
        label = set_in_print(named) + (f" ({unit})" if unit not in ("", "1") else "")
        scale = Scale(label, float(values.min()), float(values.max()), _COLORS)
    keys = [Key("trial", _COLORS[1], line="-", width=1.2), *keys[::-1]]
    picture = hv.Overlay(parts).opts(
        fig_inches=(COLUMN, 2.45),
        xlabel=f"PC 1 ({share[0]:.0%} of variance)",
        ylabel=f"PC 2 ({share[1]:.0%} of variance)",
        fontsize=FONT,
        padding=0.06,
        show_legend=False,
        hooks=[beside_scale(keys, scale, 0.55, 0.43, 0.45)],
        backend="matplotlib",
    )
    return both(picture, keys, [scale] if scale else [])
