"""Where one network goes when it is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
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
    ramp,
    styled,
)
from solspace.plots.style import symbol as set_in_print
from solspace.plots.trajectories import shades_of

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

    from solspace.tasks import Silences, Task

__all__ = ["plot_attractors", "shown_silences"]

# Light ones would be lost as thin lines on white.
_COLORS = ("#9ECAE1", "#3A86BF", "#062C52")
_STEPS = 400
_LONGEST_LABEL = 12
_SLOW = 8  # steps of a turn from which on a cycle is a line to the eye, and no cloud


def shown_silences(silences: Silences, after: str | None = None) -> tuple[str, NDArray[np.intp]]:
    """The silences of one name that are shown: by default the first that there are several of.

    Raises
    ------
    SolspaceError
        Where none has that name; those there are are listed.

    Examples
    --------
    >>> from solspace.tasks import get_task, silences_of
    >>> name, places = shown_silences(silences_of(get_task("interval_reproduction")))
    >>> name, len(places)
    ('set', 31)
    """
    names = list(dict.fromkeys(silences.after))
    if after is None:
        several = [name for name in names if silences.after.count(name) > 1]
        after = (several or names)[0]
    if after not in names:
        raise SolspaceError(f"no silences after {after!r}; there are some after {', '.join(names)}")
    return after, np.flatnonzero(np.asarray(silences.after) == after)


@styled
def plot_attractors(
    population: xr.Dataset,
    network: int | str,
    *,
    after: str | None = None,
    by: str | None = None,
    steps: int = _STEPS,
    task: str | Task | None = None,
) -> hv.Overlay:
    """The states of one network in silence, on two principal components, and where they end.

    A line for each silence of one name (after each first stimulus, after each Set), light to dark
    by its first parameter; a point that some end in is a filled circle, a cycle a closed line, what
    is wandered over (or goes round in less than 8 steps) a cloud. The components are those of
    the lines.

    Parameters
    ----------
    population : Dataset
        With weights.
    network : int or str
        Position along ``network``, or name.
    after : str, optional
        Which silences of the task; by default the first name that there are several of.
    by : str, optional
        The parameter of silences that lines are light to dark by; by default the first that they
        differ in.
    steps : int
        Steps of silence drawn at most.
    task : str or Task, optional
        By default the dataset's own.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there are no weights, no such network or silences, or less than two steps are asked.

    Examples
    --------
    >>> import solspace
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> ds = solspace.import_networks("delayed_discrimination", "vanilla", {"mine": mine})
    >>> type(plot_attractors(ds, "mine")).__name__
    'Overlay'
    """
    from solspace.attractors.network import settle_network, silent_states
    from solspace.networks import hidden_size, run
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of

    if steps < 2:
        raise SolspaceError(f"{steps} steps; give 2 or more")
    i = pick(population, network, ("weight_hh",), "train")
    task, architecture = task_of(population, task), architecture_of(population)
    weights = network_weights(population, i)
    settled = settle_network(task, architecture, weights)
    name, places = shown_silences(settled.silences, after)
    start = silent_states(architecture, weights, settled.silences)[places]
    shown = int(min(max(settled.steps[places].max(), 20), steps))
    constant = settled.silences.constant[places]
    given = np.repeat(constant[:, None], shown, axis=1)
    units = hidden_size(weights)
    walked = run(architecture, weights, given, start)[0]
    lines = np.concatenate([start[:, None], walked], axis=1)[..., :units]
    centre, axes, share = on_two_axes(lines)

    def on_plane(states: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray((states[..., :units] - centre) @ axes)

    hv = holoviews()
    dims = ["component 1", "component 2"]
    told = _parameter(settled.silences, places, by)
    values = settled.silences.parameters[told][places] if told else None
    colors = shades_of(values, _COLORS) if values is not None else ramp(_COLORS[:1], len(places))
    parts: list[Any] = [
        hv.Path([on_plane(line)], dims).opts(
            color=color, linewidth=0.8, alpha=0.9, backend="matplotlib"
        )
        for line, color in zip(lines, colors, strict=True)
    ]
    kinds = set()
    for k in dict.fromkeys(settled.index[places].tolist()):
        one = settled.found[k]
        if one.kind == "point":
            kinds.add("point")
            parts.append(
                hv.Points(on_plane(one.states), dims).opts(
                    color=TARGET, edgecolor="white", linewidth=0.6, s=38, backend="matplotlib"
                )
            )
        elif one.kind == "cycle" and one.period >= _SLOW:
            kinds.add("cycle")
            around = on_plane(np.concatenate([one.states, one.states[:1]]))
            parts.append(
                hv.Path([around], dims).opts(color=TARGET, linewidth=2.2, backend="matplotlib")
            )
        else:
            kinds.add("quick cycle" if one.kind == "cycle" else "wandering")
            parts.append(
                hv.Points(on_plane(one.orbit), dims).opts(
                    color=TARGET, linewidth=0, s=1.5, alpha=0.6, backend="matplotlib"
                )
            )
    starts = hv.Points(on_plane(start), dims).opts(
        color="white", edgecolor=INK, marker="o", s=16, linewidth=0.8, backend="matplotlib"
    )
    keys, scale = _keys(name, told, values, kinds, bool(constant.any()))
    picture = hv.Overlay([*parts, starts]).opts(
        fig_inches=(COLUMN, 2.45),
        xlabel=f"PC 1 ({share[0]:.0%} of variance)",
        ylabel=f"PC 2 ({share[1]:.0%} of variance)",
        fontsize=FONT,
        padding=0.06,
        show_legend=False,
        hooks=[beside_scale(keys, scale, 0.5, 0.48, 0.4)],
        backend="matplotlib",
    )
    return both(picture, keys, [scale] if scale else [])


def on_two_axes(
    lines: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, first two axes (unit, 2) and their shares of the variance."""
    points = lines.reshape(-1, lines.shape[-1])
    centre = points.mean(axis=0)
    variances, axes = np.linalg.eigh((points - centre).T @ (points - centre))
    if variances.sum() <= 0:
        raise SolspaceError("the states do not change, so they have no principal components")
    two = np.zeros((lines.shape[-1], 2))
    two[:, : min(2, len(axes))] = axes[:, ::-1][:, :2]
    two = two * np.sign(two[np.abs(two).argmax(axis=0), [0, 1]] + 0.0)
    share = np.zeros(2)
    share[: min(2, len(axes))] = variances[::-1][:2] / variances.sum()
    return centre, two, np.clip(share, 0, 1)


def _parameter(silences: Silences, places: NDArray[np.intp], by: str | None) -> str:
    """The parameter that colours lines; empty where none differs."""
    differ = [p for p, values in silences.parameters.items() if _tells(values[places])]
    if by is not None and by not in differ:
        raise SolspaceError(
            f"silences shown do not differ in {by!r}; they differ in "
            f"{', '.join(differ) or 'no parameter'}"
        )
    return by if by is not None else (differ or [""])[0]


def _tells(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all() and len(np.unique(values)) > 1)


def _keys(
    after: str,
    parameter: str,
    values: NDArray[np.float64] | None,
    kinds: set[str],
    held: bool,
) -> tuple[list[Key], Scale | None]:
    """What lines and marks mean, and the scale of the lines' colours."""
    scale = None
    keys = []
    if values is None:
        keys.append(Key(f"after {after}", _COLORS[0], line="-", width=1.4))
    else:
        low, high = float(values.min()), float(values.max())
        label = set_in_print(parameter)
        # A longer one would not fit beside the plot.
        if len(parameter) + len(after) <= _LONGEST_LABEL:
            label += f", after {after}"
        scale = Scale(label, low, high, _COLORS)
    begins = "input held from here" if held else "silence begins"
    keys.append(Key(begins, INK, marker="o", face="white", size=4))
    known = {
        "point": Key("point", TARGET, marker="o", size=5.5),
        "cycle": Key("cycle", TARGET, line="-", width=2.2),
        "quick cycle": Key("quick cycle", TARGET, marker=".", size=3),
        "wandering": Key("wandered over", TARGET, marker=".", size=3),
    }
    return keys + [key for kind, key in known.items() if kind in kinds], scale
