"""How networks select what counts: the triangle of modulation, lines, and what goes with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    BLUE,
    COLUMN,
    DIVERGING,
    FONT,
    GREY,
    INK,
    ORANGE,
    PAGE,
    PARAMETER_COLORS,
    SIZE_COLORS,
    Key,
    Scale,
    color_scale,
    holoviews,
    legend,
    pick,
    place,
    ramp,
    styled,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["plot_correlations", "plot_lines", "plot_modulation"]

# Corners: direct, indirect, selection.
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
_SHADES = 12  # of a number that colours dots
_MARKS = ("o", "^", "s", "D")
_FRAME = ((-0.22, 1.22), (-0.12, 1.2))  # where dots are shown; words stand beyond


@styled
def plot_modulation(
    ds: xr.Dataset, by: str | xr.DataArray | None = None, *, method: str = "trial"
) -> hv.Overlay:
    """The triangle of modulation: direct, indirect and selection-vector shares of each network.

    A dot for each network and stream; nearer a corner, more of that part. Where a part works
    against the others, its share is under 0 and the dot lies outside.

    Parameters
    ----------
    ds : Dataset
        The group individuality, or what `solspace.measure_individuality` returns.
    by : str or DataArray (network,), optional
        A coordinate or numbers that colour the dots; otherwise their stream does.
    method : str
        How selection vectors were had, ``trial`` or ``slow_points``.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there is no modulation, no such method, and nothing of that name of each network.

    Examples
    --------
    >>> import xarray as xr
    >>> dims = ("network", "selection_method", "stream", "modulation_part")
    >>> ds = xr.Dataset(
    ...     {"modulation": (dims, [[[[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]]])},
    ...     {"selection_method": ["trial"], "stream": ["stream_1", "stream_2"],
    ...      "modulation_part": ["direct", "indirect", "selection"]},
    ... )
    >>> type(plot_modulation(ds)).__name__
    'Overlay'
    """
    from solspace.individuality.modulation import PARTS, modulation_shares

    if "modulation" not in ds.variables:
        raise SolspaceError(f"the dataset has no 'modulation'; {how_to_make('individuality')}")
    methods = ds["selection_method"].values.astype(str).tolist()
    if method not in methods:
        raise SolspaceError(f"no method {method!r}; methods: {', '.join(methods)}")
    own = ds["modulation"].isel(selection_method=methods.index(method))
    own = own.sel(modulation_part=list(PARTS)).transpose("network", "stream", "modulation_part")
    at = modulation_shares(own.values) @ _CORNERS
    streams = ds["stream"].values.astype(str)
    there = np.isfinite(at).all(axis=2)
    if not there.any():
        raise SolspaceError(f"no network has modulation by {method}; were all marked failed?")
    inside = there.copy()
    for axis, (low, high) in enumerate(_FRAME):
        inside &= (at[..., axis] >= low) & (at[..., axis] <= high)
    groups, keys, scale = _coloured(ds, by, streams)

    hv = holoviews()
    dims = ["x", "y"]
    grid = [
        np.stack([_mix(k, share), _mix(k, share, other=True)])
        for k in range(3)
        for share in (0.25, 0.5, 0.75)
    ]
    parts: list[Any] = [
        hv.Path(grid, dims).opts(color="#D9D9D9", linewidth=0.5, backend="matplotlib"),
        hv.Path([_CORNERS[[0, 1, 2, 0]]], dims).opts(
            color=INK, linewidth=0.8, backend="matplotlib"
        ),
    ]
    size = 14 if there.sum() < 200 else 6
    for color, mask in groups:
        for k in range(len(streams)):
            use = mask[:, k] & inside[:, k]
            if use.any():
                parts.append(
                    hv.Points(at[use, k], dims).opts(
                        color=color, marker=_MARKS[k % 4], s=size, alpha=0.7, linewidth=0,
                        backend="matplotlib",
                    )
                )  # fmt: skip
    words = (
        "direct input\nmodulation",
        "indirect input\nmodulation",
        "selection-vector modulation",
    )
    places = [(0.0, -0.26), (1.0, -0.26), (0.5, 1.3)]
    labels = [(x, y, w) for (x, y), w in zip(places, words, strict=True)]
    parts.append(
        hv.Labels(labels, dims, "text").opts(size=FONT["labels"], color=INK, backend="matplotlib")
    )
    if outside := int((there & ~inside).sum()):
        keys = [*keys, Key(f"{outside} of {int(there.sum())}\nlie further out", "white")]
    picture = hv.Overlay(parts).opts(
        fig_inches=(COLUMN, 2.6),
        xlim=(-0.34, 1.34),
        ylim=(-0.38, 1.38),
        xaxis=None,
        yaxis=None,
        fontsize=FONT,
        show_legend=False,
        hooks=[_triangle(keys, scale)],
        backend="matplotlib",
    )
    return both(picture, keys, [scale] if scale else [])


def _mix(corner: int, share: float, other: bool = False) -> NDArray[np.float64]:
    """Where a line of equal share of one part meets a side of the triangle."""
    rest = _CORNERS[(corner + (2 if other else 1)) % 3]
    return np.asarray(share * _CORNERS[corner] + (1 - share) * rest)


def _triangle(keys: list[Key], scale: Scale | None) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("equal")
        place(axes, (0.01, 0.02, 0.66, 0.9))
        axes.axis("off")
        if scale is not None:
            color_scale(axes, scale, (1.04, 0.4, 0.04, 0.45))
            legend(axes, keys, loc="upper left", bbox_to_anchor=(0.99, 0.33))
        else:
            legend(axes, keys)

    return hook


def _coloured(
    ds: xr.Dataset, by: str | xr.DataArray | None, streams: NDArray[Any]
) -> tuple[list[tuple[str, NDArray[np.bool_]]], list[Key], Scale | None]:
    """Colours with the dots (network, stream) that have them, the key, and the scale of numbers."""
    n = ds.sizes["network"]
    marks = [
        Key(str(name).replace("_", " "), GREY, marker=_MARKS[k % 4], size=4)
        for k, name in enumerate(streams)
    ]
    if by is None:
        colors = [BLUE, ORANGE, INK, GREY]
        groups = []
        for k in range(len(streams)):
            mask = np.zeros((n, len(streams)), bool)
            mask[:, k] = True
            groups.append((colors[k % 4], mask))
        keys = [
            Key(key.label, colors[k % 4], marker=key.marker, size=4) for k, key in enumerate(marks)
        ]
        return groups, keys, None
    if isinstance(by, str):
        if by not in ds.variables or ds[by].dims != ("network",):
            own = [str(c) for c in ds.variables if ds[c].dims == ("network",)]
            raise SolspaceError(
                f"nothing of each network is named {by!r}; there are {', '.join(own)}"
            )
        values, name = ds[by].values, by
    else:
        values, name = np.asarray(by.values), str(by.name or "value")
        if values.shape != (n,):
            raise SolspaceError(
                f"by has shape {values.shape}; give ({n},), a value for each network"
            )
    name = name.replace("_", " ")
    each = np.repeat(np.asarray(values)[:, None], len(streams), axis=1)
    kinds = np.unique(values.astype(str) if values.dtype.kind in "OUS" else values)
    if values.dtype.kind == "f" and len(kinds) > len(SIZE_COLORS):
        known = values[np.isfinite(values)]
        low, high = (float(x) for x in np.percentile(known, [2, 98]))
        if not high > low:
            low, high = float(known.min()), float(known.max()) + 1e-9
        shades = ramp(PARAMETER_COLORS, _SHADES)
        level = np.clip((each - low) / (high - low) * _SHADES, 0, _SHADES - 1)
        own_level = np.where(np.isfinite(each), level, -1).astype(int)
        groups = [(shades[k], own_level == k) for k in range(_SHADES)]
        return groups, marks, Scale(name, low, high, PARAMETER_COLORS)
    if len(kinds) > 12:
        raise SolspaceError(
            f"{name} has {len(kinds)} values; colour by one of 12 or fewer, or numbers"
        )
    shades = ramp(SIZE_COLORS if values.dtype.kind in "iuf" else PARAMETER_COLORS, len(kinds))
    groups = [(shades[k], each == kind) for k, kind in enumerate(kinds.tolist())]
    keys = [Key(f"{name} {kind}", shades[k], patch=True) for k, kind in enumerate(kinds.tolist())]
    return groups, [*marks, *keys], None


@styled
def plot_correlations(found: xr.Dataset) -> hv.Overlay:
    """Correlations of numbers from inside networks (rows) with those of behaviour (columns).

    A dot marks what is significant after correction for all pairs. Below each column stands how
    much of that number all rows together tell of networks held out, R2.

    Parameters
    ----------
    found : Dataset
        What `solspace.correlate_measures` returns.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there are no correlations.

    Examples
    --------
    >>> import xarray as xr
    >>> dims = ("neural_measure", "choice_measure")
    >>> ds = xr.Dataset({"rho": (dims, [[0.5, 0.1]]), "p_corrected": (dims, [[0.01, 0.9]]),
    ...                  "r2": (dims[1:], [0.3, 0.0])},
    ...                 {dims[0]: ["gain"], dims[1]: ["capture", "bias"]})
    >>> type(plot_correlations(ds)).__name__
    'Overlay'
    """
    if "rho" not in found.variables:
        raise SolspaceError(
            "the dataset has no 'rho'; give what solspace.correlate_measures(...) returns"
        )
    dims = [str(d) for d in found["rho"].dims]
    rho, p = found["rho"].values, found["p_corrected"].values
    # What is correlated most comes first.
    rows = np.argsort(-np.abs(rho).max(axis=1), kind="stable")
    columns = np.argsort(-np.abs(rho).max(axis=0), kind="stable")
    rho, p = rho[np.ix_(rows, columns)], p[np.ix_(rows, columns)]
    names = [str(found[dims[0]].values[k]).replace("_", " ") for k in rows]
    heads = [str(found[dims[1]].values[k]).replace("_", " ") for k in columns]
    r2 = found["r2"].values[columns]
    heads = [f"{name}  {max(x, 0):.2f}" for name, x in zip(heads, r2, strict=True)]
    height, width = rho.shape
    hv = holoviews()
    cells = [(j, height - 1 - i, rho[i, j]) for i in range(height) for j in range(width)]
    parts: list[Any] = [
        hv.HeatMap(cells, ["behaviour", "inside"], "rho").opts(
            cmap=list(ramp(DIVERGING, 64)),
            clim=(-1, 1),
            colorbar=False,
            show_values=False,
            backend="matplotlib",
        )
    ]
    marks = [(j, height - 1 - i) for i, j in zip(*np.nonzero(p < 0.05), strict=True)]
    for color, dark in ((INK, False), ("white", True)):
        own = [at for at in marks if (abs(rho[height - 1 - at[1], at[0]]) > 0.5) == dark]
        if own:
            parts.append(
                hv.Points(own, ["behaviour", "inside"]).opts(
                    color=color, marker="o", s=7, linewidth=0, backend="matplotlib"
                )
            )
    left = 0.16 + 0.057 * max(map(len, names))
    below = 0.12 + 0.057 * max(map(len, heads))
    right = 0.55
    cell = float(np.clip((PAGE - left - right) / width, 0.12, 0.17))
    tall = 0.14 * height
    inches = (left + cell * width + right, below + tall + 0.28)
    box = (left / inches[0], below / inches[1], cell * width / inches[0], tall / inches[1])
    scale = Scale("rho", -1, 1, DIVERGING, (-1, 0, 1))
    picture = hv.Overlay(parts).opts(
        fig_inches=inches,
        xticks=list(enumerate(heads)),
        yticks=[(height - 1 - i, name) for i, name in enumerate(names)],
        xlabel="",
        ylabel="",
        fontsize=FONT,
        show_legend=False,
        hooks=[_correlated(rho.shape, box, scale)],
        backend="matplotlib",
    )
    key = Key("p < 0.05, corrected", INK, marker="o", size=3)
    return both(picture, [key], [scale])


def _correlated(shape: tuple[int, ...], box: tuple[float, ...], scale: Scale) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, box)
        axes.set_xlim(-0.5, shape[1] - 0.5)
        axes.set_ylim(-0.5, shape[0] - 0.5)
        axes.tick_params(length=0, labelsize=6.5)
        for text in axes.get_xticklabels():
            text.set_rotation(90)
        axes.set_xlabel("")
        axes.set_ylabel("")
        share = min(1.0, 1.0 / (0.14 * shape[0]))
        bar = color_scale(axes, scale, (1 + 0.12 / (box[2] * axes.figure.get_figwidth()),
                                        1 - share, 0.08 / (box[2] * axes.figure.get_figwidth()),
                                        share))  # fmt: skip
        bar.ax.tick_params(labelsize=6.5)

    return hook


@styled
def plot_lines(
    population: xr.Dataset, network: int | str, *, task: str | Task | None = None
) -> hv.Overlay:
    """The line of one network in each context, with trajectories and selection vectors.

    Across is the mean direction of both lines, upwards the direction in which their middles lie
    apart. Dots are where trials end, by the strength of the stream that counts; thin lines lead
    there. An arrow is the part of the selection vector that lies in this plane, its length that of
    the whole vector where none is hidden.

    Parameters
    ----------
    population : Dataset
        With weights, of a task with two contexts.
    network : int or str
        Position along ``network``, or name.
    task : str or Task, optional
        By default the dataset's own.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        For a task without contexts, no such network, and one whose lines have no length.

    Examples
    --------
    >>> import solspace
    >>> from solspace.networks import parameter_shapes
    >>> rng, shapes = np.random.default_rng(0), parameter_shapes("leaky", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    >>> weights["alpha"] = 0.2
    >>> ds = solspace.import_networks("context_integration", "leaky", {"mine": weights})
    >>> type(plot_lines(ds, "mine")).__name__
    'Overlay'
    """
    from solspace.individuality.linearised import linearise
    from solspace.individuality.stage import needs_contexts
    from solspace.networks import run
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of

    i = pick(population, network, ("weight_hh",), "train")
    task, architecture = task_of(population, task), architecture_of(population)
    needs_contexts(task)
    assert task.contexts is not None
    contexts, weights = task.contexts(), network_weights(population, i)
    streams = contexts.channels(task.inputs)
    stimulus = np.asarray(contexts.stimulus, bool)
    own = [contexts.streams.index(name) for name in contexts.counts]
    shown = [
        np.asarray(run(architecture, weights, contexts.trials(c, int(streams[k])))[0])
        for c, k in enumerate(own)
    ]
    vectors = [
        linearise(architecture, weights, trial, streams, contexts.output)
        .selection[stimulus]
        .mean(axis=0)
        for trial in contexts.neutral
    ]
    lines = [states[:, -2] for states in shown]
    middle = lines[0].shape[0] // 2
    across = np.sum([line[-1] - line[0] for line in lines], axis=0)
    up = lines[0][middle] - lines[1][middle]
    if not (np.linalg.norm(across) > 0 and np.linalg.norm(up) > 0):
        raise SolspaceError("evidence or contexts move no state of the network; it has no lines")
    across = across / np.linalg.norm(across)
    up = up - (up @ across) * across
    up = up / max(np.linalg.norm(up), 1e-12)
    plane, centre = np.stack([across, up], axis=1), (lines[0][middle] + lines[1][middle]) / 2
    width = max(float(np.ptp((line - centre) @ across)) for line in lines)

    hv = holoviews()
    dims = ["along the lines", "between the contexts"]
    parts: list[Any] = []
    keys = []
    first = int(np.argmax(stimulus))
    for c, (color, name) in enumerate(zip((BLUE, ORANGE), contexts.names, strict=True)):
        paths = [(states[first:-1] - centre) @ plane for states in shown[c][::4]]
        line = (lines[c] - centre) @ plane
        arrow = vectors[c] / np.linalg.norm(vectors[c]) @ plane * 0.3 * width
        parts += [
            hv.Path(paths, dims).opts(color=color, linewidth=0.5, alpha=0.5, backend="matplotlib"),
            hv.Path([line], dims).opts(color=color, linewidth=1.4, backend="matplotlib"),
            hv.Points(line, dims).opts(
                color=color, marker="o", s=9, linewidth=0, backend="matplotlib"
            ),
            hv.Path([np.stack([line[middle], line[middle] + arrow])], dims).opts(
                color=INK, linewidth=1.2, linestyle="-" if c == 0 else "--", backend="matplotlib"
            ),
        ]
        keys.append(Key(f"line in {name}", color, line="-", marker="o", size=3))
        keys.append(
            Key(f"selection vector\nin {name}", INK, line="-" if c == 0 else "--", width=1.2)
        )
    picture = hv.Overlay(parts).opts(
        fig_inches=(COLUMN, 2.3),
        fontsize=FONT,
        padding=0.06,
        show_legend=False,
        hooks=[_beside(keys)],
        backend="matplotlib",
    )
    return both(picture, keys)


def _beside(keys: list[Key]) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, (0.13, 0.17, 0.5, 0.77))
        axes.spines[["top", "right"]].set_visible(False)
        legend(axes, keys)

    return hook
