"""How well solutions are predicted from activity: confusion, gain, importance, recording size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    BLUE,
    COLUMN,
    FONT,
    GREY,
    INK,
    ORANGE,
    PAGE,
    SEQUENTIAL,
    SIZE_COLORS,
    Key,
    beside_legend,
    holoviews,
    legend,
    place,
    ramp,
    solution_names,
    solution_words,
    styled,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_confusion", "plot_importance", "plot_kappa", "plot_recording_size"]

SET_COLORS = {"published": GREY, "activity": BLUE, "all": ORANGE}
INTERVAL = "95% interval"
# A hue and a mark for each number of trials: lines that cross stay apart, also in grey.
_CURVES = (
    ("#56B4E9", "o"), ("#0072B2", "s"), ("#332288", "^"), ("#009E73", "D"), ("#CC79A7", "v"),
    ("#882255", "P"),
)  # fmt: skip


def _needs(ds: xr.Dataset, name: str, verb: str) -> None:
    if name not in ds.variables:
        raise SolspaceError(f"the dataset has no {name!r}; {how_to_make(verb)}")


def _picked(ds: xr.Dataset, feature_set: str | None) -> str:
    known = [str(n) for n in ds["feature_set"].values]
    if feature_set is None:
        return known[-1]
    if feature_set not in known:
        raise SolspaceError(f"no set of features {feature_set!r}; sets: {', '.join(known)}")
    return feature_set


def _short(name: str) -> str:
    """A class by its number, or the first letters of a key."""
    return name if len(name) <= 6 else name.split(":")[-1][:4]


def _class_words(name: str, named: Mapping[int, str]) -> str:
    """A class by its number and, where it is a solution, its name."""
    if not name.isdigit() or int(name) not in named:
        return ""
    return "\n".join(solution_words(named[int(name)]))


@styled
def plot_confusion(
    classification: xr.Dataset, feature_set: str | None = None, *, title: bool = True
) -> hv.Overlay:
    """Confusion matrix of held-out networks, a row a class, shares of the row.

    Parameters
    ----------
    classification : Dataset
        The classification group.
    feature_set : str, optional
        The last one by default.
    title : bool
        Whether to say the set and its kappa above.

    Returns
    -------
    holoviews.Overlay

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"confusion": (("feature_set", "label_class", "predicted_class"),
    ...                                [[[9.0, 1.0], [2.0, 8.0]]]),
    ...                  "kappa": ("feature_set", [0.7])},
    ...                 coords={"feature_set": ["all"], "label_class": ["0", "1"]})
    >>> type(plot_confusion(ds)).__name__
    'Overlay'
    """
    _needs(classification, "confusion", "classify")
    which = _picked(classification, feature_set)
    one = classification.isel(
        feature_set=classification["feature_set"].values.tolist().index(which)
    )
    counts = one["confusion"].values
    names = [_short(str(n)) for n in one["label_class"].values]
    total = counts.sum(axis=1)
    share = counts / np.maximum(total, 1)[:, None]
    n = len(names)
    hv = holoviews()
    # Rows from the top: class 0 first, as in a table.
    cells = [(j, n - 1 - i, share[i, j]) for i in range(n) for j in range(n)]
    heat = hv.HeatMap(cells, ["predicted", "class"], "share").opts(
        cmap=list(ramp(SEQUENTIAL, 64)),
        clim=(0, 1),
        colorbar=True,
        show_values=False,
        clabel="share of the class (cells: %)",
        backend="matplotlib",
    )
    words = [
        hv.Labels(
            [(j, n - 1 - i, f"{100 * share[i, j]:.0f}") for i, j in places],
            ["predicted", "class"],
            "text",
        ).opts(size=FONT["ticks"] if n <= 8 else 6, color=color, backend="matplotlib")
        for color, places in (
            (INK, [(i, j) for i in range(n) for j in range(n) if 0.005 <= share[i, j] < 0.55]),
            ("white", [(i, j) for i in range(n) for j in range(n) if share[i, j] >= 0.55]),
        )
        if places
    ]
    label = str(classification.attrs.get("label", "solution"))
    named = solution_names(classification) if label == "solution" else {}
    full = [_class_words(str(name), named) for name in one["label_class"].values]
    rows = [
        f"{told} ({names[i]}, {total[i]:.0f})" if told else f"{name} ({total[i]:.0f})"
        for i, (name, told) in enumerate(zip(names, full, strict=True))
    ]
    longest = max(len(line) for row in rows for line in row.split("\n"))
    cell = 0.3 if n <= 8 else 0.21
    wide = max(cell * n, 1.1)
    left, right = 0.3 + 0.056 * longest, 0.62
    inches = (left + wide + right, wide + 0.75)
    picture = hv.Overlay([heat, *words]).opts(
        fig_inches=inches,
        xticks=list(enumerate(names)),
        yticks=[(n - 1 - i, row) for i, row in enumerate(rows)],
        xlabel="predicted solution",
        ylabel="solution (number, networks)" if any(full) else "solution (networks)",
        title=f"{which}: kappa {float(one['kappa']):.2f}" if title else "",
        fontsize=FONT | ({"yticks": 6.5} if any(full) else {}),
        show_legend=False,
        hooks=[
            _matrix(n, (left / inches[0], 0.42 / inches[1], wide / inches[0], wide / inches[1]))
        ],
        backend="matplotlib",
    )
    return both(picture)


def _matrix(n: int, at: tuple[float, float, float, float]) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, at)
        axes.set_xlim(-0.5, n - 0.5)
        axes.set_ylim(-0.5, n - 0.5)
        axes.tick_params(length=0)
        for label in axes.get_xticklabels():
            label.set_rotation(0)
        for other in axes.figure.axes:
            if other is not axes:
                other.set_axes_locator(None)
                other.set_position((at[0] + at[2] * 1.05, at[1], at[2] * 0.06,
                                    at[3]))  # fmt: skip
                other.tick_params(labelsize=FONT["ticks"], width=0.6)
                other.yaxis.label.set_size(FONT["labels"])
                for spine in other.spines.values():
                    spine.set_linewidth(0.6)

    return hook


@styled
def plot_kappa(results: Mapping[str, xr.Dataset]) -> hv.Overlay:
    """Kappa of each set of features in each population, with 95 % intervals.

    Parameters
    ----------
    results : mapping of name to Dataset
        Classification groups, by the population's name.

    Returns
    -------
    holoviews.Overlay

    Examples
    --------
    >>> import xarray as xr
    >>> one = xr.Dataset({"kappa": ("feature_set", [0.4, 0.6]),
    ...                   "kappa_low": ("feature_set", [0.3, 0.5]),
    ...                   "kappa_high": ("feature_set", [0.5, 0.7])},
    ...                  coords={"feature_set": ["published", "all"]})
    >>> type(plot_kappa({"interval_reproduction/gru": one})).__name__
    'Overlay'
    """
    if not results:
        raise SolspaceError(f"no results to draw; {how_to_make('classify')}")
    hv = holoviews()
    sets = list(dict.fromkeys(str(s) for ds in results.values() for s in ds["feature_set"].values))
    spare = iter(ramp(SIZE_COLORS, max(len(sets), 2)))
    colors = {s: SET_COLORS.get(s) or next(spare) for s in sets}
    width = 0.8 / len(sets)
    parts: list[Any] = [hv.HLine(0).opts(color=INK, linewidth=0.6, backend="matplotlib")]
    for k, name in enumerate(sets):
        bars, bounds = [], []
        for i, ds in enumerate(results.values()):
            known = [str(s) for s in ds["feature_set"].values]
            if name not in known:
                continue
            one = ds.isel(feature_set=known.index(name))
            left = i - 0.4 + k * width
            bars.append((left + 0.03, 0, left + width - 0.03, float(one["kappa"])))
            middle, low, high = left + width / 2, float(one["kappa_low"]), float(one["kappa_high"])
            bounds.append(np.array([[middle, low], [middle, high]]))
        parts.append(
            hv.Rectangles(bars, kdims=["left", "bottom", "right", "top"]).opts(
                color=colors[name], edgecolor="none", backend="matplotlib"
            )
        )
        parts.append(hv.Path(bounds).opts(color=INK, linewidth=0.9, backend="matplotlib"))
    count = len(results)
    inches = min(max(COLUMN, 0.95 * count + 0.7), PAGE)
    ticks = [(i, name.replace("/", "\n").replace("_", "\n")) for i, name in enumerate(results)]
    keys = [Key(name, color, patch=True) for name, color in colors.items()]
    keys.append(Key(INTERVAL, INK, line="-", width=0.9))
    picture = hv.Overlay(parts).opts(
        fig_inches=(inches, 2.3),
        xlim=(-0.55, count - 0.45),
        ylim=(0, 1.05),
        xticks=ticks,
        xlabel="",
        ylabel="kappa, networks held out",
        fontsize=FONT,
        show_legend=False,
        hooks=[_bars(keys, inches)],
        backend="matplotlib",
    )
    return both(picture, keys)


def _bars(keys: list[Key], inches: float) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, (0.5 / inches, 0.26, 1 - 0.55 / inches, 0.64))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        legend(axes, keys, loc="lower center", bbox_to_anchor=(0.46, 1.0), ncols=min(len(keys), 4),
               handlelength=1.0, columnspacing=1.0, borderaxespad=0.2)  # fmt: skip

    return hook


@styled
def plot_importance(
    classification: xr.Dataset,
    feature_set: str | None = None,
    *,
    families: bool = True,
    most: int = 12,
) -> hv.Overlay:
    """Which features carry a prediction: the fall of kappa when they are dealt out anew.

    With 95 % intervals over networks where the classification has them; those of earlier versions
    have none.

    Parameters
    ----------
    classification : Dataset
        The classification group.
    feature_set : str, optional
        The last one by default.
    families : bool
        Families of features, or single ones.
    most : int
        How many, the most important first.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"family_importance": (("feature_set", "family"), [[0.2, 0.1]])},
    ...                 coords={"feature_set": ["all"], "family": ["speed", "path"]})
    >>> type(plot_importance(ds)).__name__
    'Overlay'
    """
    variable, dim = ("family_importance", "family") if families else ("importance", "feature")
    _needs(classification, variable, "classify")
    if most < 1:
        raise SolspaceError(f"most={most} bars; give 1 or more")
    which = _picked(classification, feature_set)
    place = classification["feature_set"].values.tolist().index(which)
    values = classification[variable].values[place]
    if not np.isfinite(values).any():
        raise SolspaceError(
            "importance was not computed for this classification; classify again with it"
        )
    names = [str(n).replace("_", " ") for n in classification[dim].values]
    order = [i for i in np.argsort(-np.nan_to_num(values, nan=-np.inf)) if np.isfinite(values[i])]
    order = order[:most]
    hv = holoviews()
    n = len(order)
    bars = [
        (min(float(values[k]), 0.0), n - 1 - i - 0.36, max(float(values[k]), 0.0), n - 1 - i + 0.36)
        for i, k in enumerate(order)
    ]
    picture = hv.Rectangles(bars, kdims=["left", "bottom", "right", "top"]).opts(
        color=BLUE, edgecolor="none", backend="matplotlib"
    ) * hv.VLine(0).opts(color=INK, linewidth=0.6, backend="matplotlib")
    longest = max(len(names[k]) for k in order)
    ends = [b[0] for b in bars] + [b[2] for b in bars]
    keys: list[Key] = []
    if f"{variable}_low" in classification:
        bounds = [classification[f"{variable}_{end}"].values[place] for end in ("low", "high")]
        lines = [
            np.array([[float(bound[k]), n - 1 - i] for bound in bounds])
            for i, k in enumerate(order)
        ]
        ends += [float(line[j, 0]) for line in lines for j in (0, 1)]
        picture = picture * hv.Path(lines).opts(color=INK, linewidth=0.9, backend="matplotlib")
        keys = [Key(INTERVAL, INK, line="-", width=0.9)]
    low, high = min(0.0, *ends), max(ends)
    picture = picture.opts(
        fig_inches=(COLUMN, 0.19 * n + 0.75),
        xlim=(low * 1.1, max(high * 1.08, 0.02)),
        ylim=(-0.6, n - 0.4),
        yticks=[(n - 1 - i, names[k]) for i, k in enumerate(order)],
        xlabel="fall of kappa, networks held out",
        ylabel="",
        fontsize=FONT,
        show_legend=False,
        hooks=[_lying(n, longest, keys)],
        backend="matplotlib",
    )
    return both(picture, keys)


def _lying(n: int, longest: int, keys: list[Key]) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        high = 0.19 * n + 0.75
        left = min((0.062 * longest + 0.1) / COLUMN, 0.6)
        place(axes, (left, 0.5 / high, 0.97 - left, 1 - 0.55 / high))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        if keys:
            legend(axes, keys, loc="lower right")

    return hook


@styled
def plot_recording_size(recording: xr.Dataset, *, whole: float | None = None) -> hv.Overlay:
    """Kappa over the number of units recorded, a curve a number of trials, with 95 % intervals.

    Parameters
    ----------
    recording : Dataset
        The recording_size group.
    whole : float, optional
        Kappa to compare with, such as that of the published features; a dashed line.

    Examples
    --------
    >>> import xarray as xr
    >>> surface = np.array([[0.1, 0.2], [0.2, 0.4]])
    >>> dims = ("recorded_units", "recorded_trials")
    >>> ds = xr.Dataset({n: (dims, surface) for n in ("kappa", "kappa_low", "kappa_high")},
    ...     coords={"recorded_units": [5, np.inf], "recorded_trials": [10, np.inf]})
    >>> type(plot_recording_size(ds)).__name__
    'Overlay'
    """
    _needs(recording, "kappa_high", "recording-size")
    hv = holoviews()
    units = recording["recorded_units"].values.tolist()
    trials = recording["recorded_trials"].values.tolist()
    spiking = [n for n in trials if np.isfinite(n)]
    if len(spiking) > len(_CURVES):
        raise SolspaceError(
            f"{len(spiking)} numbers of trials, and {len(_CURVES)} can be told apart; give fewer, "
            "recording.sel(recorded_trials=[...])"
        )
    shades = {n: color for n, (color, _) in zip(spiking, _CURVES, strict=False)}
    marks = {n: mark for n, (_, mark) in zip(spiking, _CURVES, strict=False)}
    shades[np.inf], marks[np.inf] = ORANGE, "*"
    parts: list[Any] = []
    if whole is not None:
        parts.append(
            hv.HLine(whole).opts(color=GREY, linewidth=0.9, linestyle="--", backend="matplotlib")
        )
    step = 0.06
    for j, count in enumerate(trials):
        shift = (j - (len(trials) - 1) / 2) * step
        x = np.arange(len(units)) + shift
        y, low, high = (recording[n].values[:, j] for n in ("kappa", "kappa_low", "kappa_high"))
        bounds = [np.array([[a, b], [a, c]]) for a, b, c in zip(x, low, high, strict=True)]
        parts += [
            hv.Path(bounds).opts(color=shades[count], linewidth=0.8, backend="matplotlib"),
            hv.Curve((x, y), "units", "kappa").opts(
                color=shades[count], linewidth=1.3, backend="matplotlib"
            ),
            hv.Points((x, y), ["units", "kappa"]).opts(
                color=shades[count],
                marker=marks[count],
                s=34 if count == np.inf else 15,
                backend="matplotlib",
            ),
        ]
    words = {n: f"{n:g} trial{'s' * (n > 1)}" if n < np.inf else "no spikes" for n in trials}
    top = float(np.nanmax(recording["kappa_high"].values))
    bottom = min(0.0, float(np.nanmin(recording["kappa_low"].values)))
    keys = [
        Key(words[n], shades[n], line="-", width=1.3, marker=marks[n],
            size=5.5 if n == np.inf else 3.5)
        for n in trials[::-1]
    ]  # fmt: skip
    keys.append(Key(INTERVAL, INK, marker="|", size=8))
    if whole is not None:
        keys.append(Key("published\nfeatures", GREY, line="--", width=1.0))
    picture = hv.Overlay(parts).opts(
        fig_inches=(COLUMN, 2.3),
        xlim=(-0.35, len(units) - 0.65),
        ylim=(bottom - 0.02, min(1.02, max(top, whole or 0) * 1.08)),
        xticks=[(i, f"{k:g}" if k < np.inf else "all") for i, k in enumerate(units)],
        xlabel="units recorded",
        ylabel="kappa, networks held out",
        fontsize=FONT,
        show_legend=False,
        hooks=[beside_legend(keys, (0.13, 0.17, 0.56, 0.76))],
        backend="matplotlib",
    )
    return both(picture, keys)
