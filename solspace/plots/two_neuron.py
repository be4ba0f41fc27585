"""Figure 1 of the paper for two neurons: architecture, task, slice, phase portraits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.style import (
    BLUE,
    FONT,
    GREY,
    INK,
    ORANGE,
    TARGET,
    Key,
    holoviews,
    legend,
    styled,
)
from solspace.two_neuron.dynamics import DURATION, START, as_weights, speed, trajectories
from solspace.two_neuron.dynamics import TARGET as TARGET_STATE
from solspace.two_neuron.objects import dynamical_objects
from solspace.two_neuron.plane import BIFURCATIONS

__all__ = [
    "architecture_drawing",
    "plot_linear",
    "plot_path",
    "plot_phase_portrait",
    "plot_slice",
    "plot_two_neuron",
    "task_picture",
]

# Of one panel, in inches; a figure of three is two columns wide.
PANEL = 2.2
GREEN = "#009E73"
CURVES = {
    "hopf": (ORANGE, "solid"),
    "pitchfork": ("#CC79A7", "dashed"),
    "saddle_node": (GREEN, "solid"),
}
MARKS = ("o", "s", "^")
KIND_COLORS = {
    "not_learned": "#BBBBBB",
    "point_near_target": BLUE,
    "cycle_through_target": ORANGE,
    "decay_to_origin": GREEN,
    "point_elsewhere": "#56B4E9",
    "cycle_elsewhere": "#F0C75E",
    "undecided": "#CC79A7",
}
_MPL = {"backend": "matplotlib"}


def _square(title: str, **options: Any) -> dict[str, Any]:
    return {
        "title": title,
        "fontsize": FONT,
        "aspect": "square",
        "fig_inches": (PANEL, PANEL),
        "show_legend": False,
        **_MPL,
        **options,
    }


@styled
def architecture_drawing(*, title: str = "Network") -> Any:
    """Two neurons and their four weights.

    Examples
    --------
    >>> type(architecture_drawing()).__name__
    'Overlay'
    """
    hv = holoviews()
    axes = ["x", "y"]
    turn = np.linspace(0, 2 * np.pi, 80)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    left, right, radius = np.array([-1.0, 0.0]), np.array([1.0, 0.0]), 0.42

    def arc(sign: float) -> NDArray[np.float64]:
        t = np.linspace(0, 1, 40)
        x = sign * (1 - 2 * t) * 0.66
        return np.stack([x, sign * (0.26 + 0.32 * np.sin(np.pi * t))], axis=1)

    def loop(sign: float) -> NDArray[np.float64]:
        t = np.linspace(np.radians(60), np.radians(300), 60)
        center = sign * 1.6
        return np.stack([center - sign * 0.34 * np.cos(t), 0.34 * np.sin(t)], axis=1)

    lines = [arc(1.0), arc(-1.0), loop(1.0), loop(-1.0)]
    heads = [(line[-1], line[-1] - line[-4]) for line in lines]
    arrows = []
    for tip, way in heads:
        way = way / np.linalg.norm(way)
        side = np.array([-way[1], way[0]])
        arrows.append(np.stack([tip + 0.04 * way, tip - 0.16 * way + 0.09 * side,
                                tip - 0.16 * way - 0.09 * side]))  # fmt: skip
    names = [
        (-1, 0, "$x_1$"),
        (1, 0, "$x_2$"),
        (0, 0.8, "$w_{12}$"),
        (0, -0.8, "$w_{21}$"),
        (-1.72, 0.58, "$w_{11}$"),
        (1.72, 0.58, "$w_{22}$"),
        (0, -1.45, r"$\dot{x} = -x + W\tanh(x)$"),
    ]
    parts = [
        hv.Path(lines, axes).opts(color=INK, linewidth=1.0, **_MPL),
        hv.Polygons(arrows, axes).opts(facecolor=INK, edgecolor=INK, linewidth=0.1, **_MPL),
        hv.Polygons([left + radius * circle, right + radius * circle], axes).opts(
            facecolor="white", edgecolor=INK, linewidth=1.2, **_MPL
        ),
        hv.Labels(names, axes, "text").opts(size=FONT["labels"], color=INK, **_MPL),
    ]
    picture = hv.Overlay(parts).opts(
        **_square(title, xaxis=None, yaxis=None, xlim=(-2.2, 2.2), ylim=(-2.2, 2.2)),
        show_frame=False,
    )
    return both(picture)


@styled
def task_picture(weights: ArrayLike, *, title: str = "Task") -> Any:
    """States of one network during the task, from (1, 0) to the target (0, 1).

    Examples
    --------
    >>> type(task_picture([[1.1, 0.5], [-0.7, 1.3]])).__name__
    'Overlay'
    """
    hv = holoviews()
    path = trajectories(as_weights(weights)[:1])[0]
    time = np.linspace(0, DURATION, len(path))
    axes = ("time", "state")
    parts = []
    for i, (color, name) in enumerate(((BLUE, "$x_1$"), (ORANGE, "$x_2$"))):
        parts += [
            hv.Curve((time, path[:, i]), *axes).opts(color=color, linewidth=1.4, **_MPL),
            hv.Scatter([(0, START[i])], *axes).opts(
                color="white", edgecolor=color, s=26, linewidth=1.1, **_MPL
            ),
            hv.Scatter([(DURATION, TARGET_STATE[i])], *axes).opts(
                color=color, marker="X", s=40, edgecolor="white", linewidth=0.4, **_MPL
            ),
            hv.Labels([(10.45, TARGET_STATE[i], name)], list(axes), "text").opts(
                color=color, size=FONT["labels"], horizontalalignment="left", **_MPL
            ),
        ]
    picture = hv.Overlay(parts).opts(
        **_square(
            title,
            xlabel="time (time constants)",
            ylabel="state",
            xlim=(-0.5, 12.2),
            xticks=[0, 5, 10],
        ),
        hooks=[_open_frame],
    )
    return both(picture)


@styled
def plot_slice(ds: xr.Dataset, *, title: str = "Slice of weights") -> Any:
    """Loss over a plane of weights, with bifurcation curves, networks, and linear solutions.

    Parameters
    ----------
    ds : Dataset
        From `solspace.two_neuron.plane.slice_of`.
    title : str

    Raises
    ------
    SolspaceError
        Where the dataset is no slice.
    """
    if missing := [name for name in ("loss", "bifurcation_a", "linear_a") if name not in ds]:
        raise SolspaceError(
            f"the dataset has no {missing[0]!r}; give one from solspace.two_neuron.plane.slice_of"
        )
    hv = holoviews()
    a, b = ds["a"].values, ds["b"].values
    loss = np.log10(np.clip(ds["loss"].values, 1e-6, None))
    image = hv.Image((a, b, loss), ["a", "b"], "loss").opts(
        cmap="Greys_r",
        clim=(-5, 0.5),
        colorbar=True,
        cbar_ticks=[(-4, "$10^{-4}$"), (-2, "$10^{-2}$"), (0, "1")],
        clabel="loss",
        cbar_width=0.04,
        cbar_padding=0.03,
        interpolation="bilinear",
        **_MPL,
    )
    parts = [image]
    names = str(ds["bifurcation_kind"].attrs["flag_meanings"]).split()
    for i, kind in enumerate(ds["bifurcation_kind"].values):
        color, style = CURVES[names[int(kind)]]
        line = np.stack([ds["bifurcation_a"].values[i], ds["bifurcation_b"].values[i]], axis=1)
        line = line[np.isfinite(line).all(axis=1)]
        parts.append(
            hv.Path([line], ["a", "b"]).opts(color=color, linestyle=style, linewidth=1.4, **_MPL)
        )
    linear = np.stack([ds["linear_a"].values, ds["linear_b"].values], axis=1)
    parts.append(
        hv.Points(linear, ["a", "b"]).opts(color=TARGET, marker="X", s=26, linewidth=0, **_MPL)
    )
    for k in range(ds.sizes["representative"]):
        place = [(float(ds["representative_a"][k]), float(ds["representative_b"][k]))]
        parts.append(
            hv.Points(place, ["a", "b"]).opts(
                color=BLUE, edgecolor="white", marker=MARKS[k % 3], s=48, linewidth=0.8, **_MPL
            )
        )
    keys = _slice_keys(ds, len(linear) > 0)
    picture = hv.Overlay(parts).opts(
        **_square(
            title,
            xlabel="first direction $a$",
            ylabel="second direction $b$",
            xlim=(float(a[0]), float(a[-1])),
            ylim=(float(b[0]), float(b[-1])),
        ),
        hooks=[_legend_below(keys, -0.32)],
    )
    return both(picture, keys)


@styled
def plot_phase_portrait(
    weights: ArrayLike, *, title: str = "", after: float = 40.0, key: bool = True
) -> Any:
    """Flow of one network: speed, fixed points, cycles, and the trajectory during and after.

    Parameters
    ----------
    weights : array (2, 2)
    title : str
    after : float
        Time shown after the task's end.
    key : bool
        Whether to say below what the marks mean.

    Examples
    --------
    >>> type(plot_phase_portrait([[1.1, 0.5], [-0.7, 1.3]])).__name__
    'Overlay'
    """
    hv = holoviews()
    w = as_weights(weights)[0]
    found = dynamical_objects(w)
    during = trajectories(w, points=201)[0]
    later = trajectories(w, start=during[-1], duration=after, points=801)[0]
    everything = [during, later, [point.state for point in found.fixed_points]]
    reach = float(np.ceil(2 * max(1.4, 1.12 * np.abs(np.concatenate(everything)).max())) / 2)
    axes = ["x1", "x2"]
    side = np.linspace(-reach, reach, 181)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    q = np.log10(np.maximum(speed(w, grid), 1e-4))
    image = hv.Image((side, side, q), axes, "q").opts(
        cmap="Blues_r",
        clim=(-3, 1),
        colorbar=True,
        cbar_ticks=[(-3, "$10^{-3}$"), (-1, "$10^{-1}$"), (1, "10")],
        clabel=r"speed $q$",
        cbar_width=0.04,
        cbar_padding=0.03,
        interpolation="bilinear",
        **_MPL,
    )
    parts = [image]
    keys = [
        Key("start", ORANGE, marker="s", face="white", size=4.5),
        Key("target", TARGET, marker="X", size=5.5),
        Key("during the task", ORANGE, line="-", width=1.9),
        Key("after it", INK, line="--", width=0.8),
    ]
    for cycle in found.limit_cycles:
        ring = trajectories(w, start=cycle.state, duration=cycle.period, points=301)[0]
        style = "solid" if cycle.kind == "stable" else "dotted"
        parts.append(
            hv.Path([ring], axes).opts(color="#F7E6A6", linewidth=3.2, linestyle=style, **_MPL)
        )
    for kind in dict.fromkeys(cycle.kind for cycle in found.limit_cycles):
        line = "-" if kind == "stable" else ":"
        keys.append(Key(f"{kind} cycle", "#E3C75B", line=line, width=3.2))
    parts += [
        hv.Path([later], axes).opts(color=INK, linewidth=0.8, linestyle="dashed", **_MPL),
        hv.Path([during], axes).opts(color=ORANGE, linewidth=1.9, **_MPL),
    ]
    for prefix, face, told in (
        ("stable", INK, "stable point"),
        ("saddle", GREY, "saddle"),
        ("unstable", "white", "unstable point"),
        ("other", TARGET, "other point"),
    ):
        states = [p.state for p in found.fixed_points if p.kind.split("_")[0] == prefix]
        if states:
            keys.append(Key(told, INK, marker="o", face=face, size=4.5))
            parts.append(
                hv.Points(np.array(states), axes).opts(
                    color=face, edgecolor=INK, s=22, linewidth=0.9, **_MPL
                )
            )
    parts += [
        hv.Points([START], axes).opts(
            color="white", edgecolor=ORANGE, marker="s", s=24, linewidth=1.3, **_MPL
        ),
        hv.Points([TARGET_STATE], axes).opts(
            color=TARGET, marker="X", s=46, edgecolor="white", linewidth=0.5, **_MPL
        ),
    ]
    picture = hv.Overlay(parts).opts(
        **_square(
            title or found.ending.replace("_", " "),
            xlabel="$x_1$",
            ylabel="$x_2$",
            xlim=(-reach, reach),
            ylim=(-reach, reach),
        ),
        hooks=[_even_ticks, *([_legend_below(keys, -0.3)] if key else [])],
    )
    return both(picture, keys)


@styled
def plot_two_neuron(
    weights: ArrayLike, ds: xr.Dataset, *, titles: Sequence[str] | None = None
) -> Any:
    """Figure 1, A to F: network, task, slice of weights, and a phase portrait of each network.

    Parameters
    ----------
    weights : array (3, 2, 2)
        The three networks that the slice goes through.
    ds : Dataset
        From `solspace.two_neuron.plane.slice_of`.
    titles : sequence of 3 str, optional
        Of the portraits; by default where each network ends.

    Raises
    ------
    SolspaceError
        Where there are not three networks, or the dataset is no slice.
    """
    hv = holoviews()
    w = as_weights(weights)
    if len(w) != 3:
        raise SolspaceError(f"{len(w)} networks; give the three that the slice goes through")
    titles = titles or ["", "", ""]
    signs = ("●", "■", "▲")
    portraits = []
    for one, title, sign in zip(w, titles, signs, strict=True):
        name = title or dynamical_objects(one).ending.replace("_", " ")
        portraits.append(plot_phase_portrait(one, title=f"{sign} {name}"))
    panels = [architecture_drawing(), task_picture(w[0]), plot_slice(ds), *portraits]
    return (
        hv.Layout(panels)
        .cols(3)
        .opts(
            sublabel_format="{Alpha}",
            sublabel_size=10,
            sublabel_position=(-0.3, 1.02),
            fig_inches=PANEL,
            hspace=1.0,
            vspace=0.9,
            shared_axes=False,
            **_MPL,
        )
    )


@styled
def plot_linear(
    weights: ArrayLike, kinds: Sequence[str] | None = None, *, title: str = "Linear solutions"
) -> Any:
    """The linear network's solutions by their eigenvalues, with trained networks among them.

    Each place is one linear network that solves the task (`solspace.two_neuron.linear`): the
    sheets between dashed lines are the discrete set, places on a sheet the continuous one. The
    darker, the larger its weights.

    Parameters
    ----------
    weights : array (network, 2, 2)
        Trained networks, placed by the eigenvalues of W - 1, their dynamics at the origin.
    kinds : sequence of str, optional
        Ending of each network, which colours it.
    title : str
    """
    from solspace.two_neuron.linear import linear_solution

    hv = holoviews()
    w = as_weights(weights)
    growth, turns = np.linspace(-1.5, 1.6, 240), np.linspace(-6, 5.5, 360)
    solutions = linear_solution(growth[None, :], turns[:, None])
    norm = np.log10(np.linalg.norm(solutions, axis=(-2, -1)))
    image = hv.Image((growth, turns, norm), ["growth", "half turns"], "norm").opts(
        cmap="Greys",
        clim=(0, 2.5),
        clipping_colors={"max": INK},
        **_MPL,
    )
    values = np.linalg.eigvals(w - np.eye(2))
    middle = values.real.mean(axis=1)
    split = np.abs(values.real[:, 0] - values.real[:, 1]) / 2
    half = np.abs(values.imag[:, 0]) - split
    place = np.stack([middle, half * DURATION / np.pi], axis=1)
    names = np.array(["networks"] * len(w) if kinds is None else list(kinds), dtype=object)
    parts = [image]
    edges = [np.array([[growth[0], n], [growth[-1], n]]) for n in range(1, 6)]
    parts.append(
        hv.Path(edges, ["growth", "half turns"]).opts(
            color=GREY, linestyle="dashed", linewidth=0.7, **_MPL
        )
    )
    parts += [
        hv.Points(place[names == name], ["growth", "half turns"]).opts(
            color=KIND_COLORS.get(str(name), BLUE), s=5, linewidth=0, alpha=0.8, **_MPL
        )
        for name in dict.fromkeys(names)
    ]
    keys = [_kind_key(str(n)) for n in dict.fromkeys(names)]
    keys.append(Key("between sheets", GREY, line="--", width=0.7))
    picture = hv.Overlay(parts).opts(
        title=title,
        fontsize=FONT,
        aspect="square",
        fig_inches=(3.3, 3.3),
        show_legend=False,
        xlabel=r"growth rate, mean real part of eigenvalues",
        ylabel="half turns during the task  |  split of real pair",
        xlim=(growth[0], growth[-1]),
        ylim=(turns[0], turns[-1]),
        hooks=[_legend_below(keys, -0.17)],
        **_MPL,
    )
    return both(picture, keys)


@styled
def plot_path(ds: xr.Dataset, *, title: str = "Where starts lead") -> Any:
    """Map of the commonest kind that starts in each bin led to; paler where kinds are mixed.

    Parameters
    ----------
    ds : Dataset
        From `solspace.two_neuron.prediction.path_to_kind`.
    title : str
    """
    from matplotlib.colors import to_rgb

    hv = holoviews()
    share = ds["share"].transpose("trace", "rotation", "kind").values
    empty = ds["count"].transpose("trace", "rotation").values == 0
    filled = np.nan_to_num(share)
    best = filled.argmax(axis=-1)
    top = filled.max(axis=-1)[..., None]
    colors = np.array([to_rgb(KIND_COLORS[str(k)]) for k in ds["kind"].values])
    # From white where no kind has more than a third to full colour where all are of one.
    weight = np.clip((top - 0.33) / 0.67, 0, 1) ** 0.8
    rgb = weight * colors[best] + (1 - weight)
    rgb[empty] = 1.0
    x, y = ds["rotation"].values, ds["trace"].values
    image = hv.RGB((x, y, *np.moveaxis(rgb, -1, 0)), ["rotation", "trace"])
    there = [str(ds["kind"].values[i]) for i in np.unique(best[~empty])]
    accuracy = float(ds["accuracy"].mean())
    keys = [_kind_key(kind) for kind in there]
    picture = hv.Overlay([image]).opts(
        title=f"{title}\nkind predicted from the start: {accuracy:.0%} right",
        fontsize=FONT,
        aspect="square",
        fig_inches=(3.3, 3.3),
        xlabel="initial $w_{21} - w_{12}$",
        ylabel="initial $w_{11} + w_{22}$",
        hooks=[_legend_below(keys, -0.17)],
        **_MPL,
    )
    return both(picture, keys)


# --------------------------------------------------------------------------- hooks


def _open_frame(plot: Any, element: Any) -> None:
    plot.handles["axis"].spines[["top", "right"]].set_visible(False)


def _even_ticks(plot: Any, element: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = plot.handles["axis"]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))


def _kind_key(kind: str) -> Key:
    return Key(kind.replace("_", " "), KIND_COLORS.get(kind, BLUE), marker="o", size=4)


def _slice_keys(ds: xr.Dataset, linear: bool) -> list[Key]:
    """Bifurcations by their line, networks by their mark, and linear solutions where there are."""
    keys = [
        Key(
            kind.replace("_", "-").replace("hopf", "Hopf"),
            CURVES[kind][0],
            line="-" if CURVES[kind][1] == "solid" else "--",
            width=1.4,
        )
        for kind in BIFURCATIONS
    ]
    if ds.sizes["representative"]:
        keys.append(Key("networks", BLUE, marker="o", size=4.5))
    return keys + ([Key("linear", TARGET, marker="X", size=5)] if linear else [])


def _legend_below(keys: list[Key], low: float) -> Any:
    def hook(plot: Any, element: Any) -> None:
        legend(plot.handles["axis"], keys, loc="upper center", bbox_to_anchor=(0.5, low), ncols=2,
               handlelength=1.4, handletextpad=0.5, labelspacing=0.3,
               columnspacing=0.9)  # fmt: skip

    return hook
