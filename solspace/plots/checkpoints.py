"""Solutions turning into one another as the loss falls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    COLUMN,
    FONT,
    INK,
    PAGE,
    Key,
    holoviews,
    legend,
    place,
    solution_colors,
    solution_names,
    solution_words,
    styled,
)
from solspace.population.describe import label_of

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["followed_networks", "plot_checkpoints", "solution_changes"]

_MOST = 12  # solutions that can still be told apart
OTHER, NONE = "#9A9A9A", "#E9E9E9"
_BAR = 0.19  # half of a bar's width; one from checkpoint to checkpoint


def followed_networks(checkpoints: xr.Dataset) -> NDArray[np.int64]:
    """Networks that passed every loss level, by position along ``network``.

    Parameters
    ----------
    checkpoints : Dataset
        The group checkpoints, reduced.

    Raises
    ------
    SolspaceError
        Where the checkpoints have not been reduced, or no network passed all.

    Examples
    --------
    >>> import xarray as xr
    >>> dims = ("network", "checkpoint")
    >>> ds = xr.Dataset({"checkpoint_gradient_steps": (dims, [[0, 9], [0, -1]]),
    ...                  "checkpoint_solution": (dims, [[-1, 0], [-1, -1]])})
    >>> followed_networks(ds).tolist()
    [0]
    """
    if (
        "checkpoint_solution" not in checkpoints.variables
        or not (checkpoints["checkpoint_solution"].values >= 0).any()
    ):
        raise SolspaceError(f"no checkpoint has a solution; {how_to_make('label')}")
    passed = (checkpoints["checkpoint_gradient_steps"].values >= 0).all(axis=1)
    if not passed.any():
        raise SolspaceError("no network reached its target loss; there is no way to follow")
    return np.flatnonzero(passed)


def solution_changes(solution: NDArray[Any]) -> list[tuple[int, int, int, int]]:
    """How often one solution is another at the next checkpoint.

    Parameters
    ----------
    solution : array of int (network, checkpoint)
        -1 where there is no graph.

    Returns
    -------
    list of (checkpoint, solution there, solution at the next, networks)
        Also where it stays the same; in order of checkpoint and solution.

    Examples
    --------
    >>> solution_changes(np.array([[-1, 0, 1], [-1, 0, 0], [-1, 0, 1]]))
    [(0, -1, 0, 3), (1, 0, 0, 1), (1, 0, 1, 2)]
    """
    found: Counter[tuple[int, int, int]] = Counter()
    for k in range(solution.shape[1] - 1):
        pairs = zip(solution[:, k].tolist(), solution[:, k + 1].tolist(), strict=True)
        found.update((k, a, b) for a, b in pairs)
    return [(*key, found[key]) for key in sorted(found)]


@styled
def plot_checkpoints(checkpoints: xr.Dataset, *, most: int = 6) -> hv.Overlay:
    """Networks per solution at each loss, and which solution turned into which between.

    A bar for each checkpoint, from the initial weights on the left to the final ones on the right,
    stacked by solution; bands lead each solution's networks to the solution they have at the next.
    Networks that did not pass every level are left out.

    Parameters
    ----------
    checkpoints : Dataset
        The group checkpoints, reduced.
    most : int
        Solutions with a colour of their own, those seen most often over all checkpoints; the
        others share one.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where the checkpoints have not been reduced, or no network passed every level.

    Examples
    --------
    >>> import xarray as xr
    >>> dims = ("network", "checkpoint")
    >>> ds = xr.Dataset({"checkpoint_gradient_steps": (dims, [[0, 50, 90]] * 2),
    ...                  "checkpoint_loss_level": (dims, [[np.inf, 1e-2, 1e-4]] * 2),
    ...                  "checkpoint_solution": (dims, [[-1, 0, 1], [-1, 0, 0]])})
    >>> type(plot_checkpoints(ds)).__name__
    'Overlay'
    """
    if not 1 <= most <= _MOST:
        raise SolspaceError(f"most={most} solutions with a colour; give 1 to {_MOST}")
    networks = followed_networks(checkpoints)
    hv = holoviews()
    solution = checkpoints["checkpoint_solution"].values[networks]
    seen = Counter(solution[solution >= 0].tolist())
    shown = sorted(sorted(seen, key=lambda s: (-seen[s], s))[:most])
    # Places in the stack: the solutions shown, then all others, then no label.
    place: NDArray[np.int64] = np.full(solution.shape, len(shown))
    for i, value in enumerate(shown):
        place[solution == value] = i
    place[solution < 0] = len(shown) + 1
    named = _names(checkpoints)
    names = [*map(str, shown), "other", "no label"]
    colors_of = solution_colors(named[s] for s in shown)
    colors = [*(colors_of[named[s]] for s in shown), OTHER, NONE]
    # With the number that stands in the bars.
    words = [f"{s} {_line(named[s])}" for s in shown] + ["other", "no label"]
    total, count = len(place), place.shape[-1]
    heights = (place[..., None] == np.arange(len(names))).sum(axis=0)  # (checkpoint, place)
    feet = np.concatenate([np.zeros((count, 1), int), np.cumsum(heights, axis=1)], axis=1)

    layers = []
    for p, bands in _bands(place, feet, len(names)).items():
        layers.append(
            hv.Polygons(bands).opts(
                facecolor=colors[p], edgecolor="none", alpha=0.45, backend="matplotlib"
            )
        )
    texts = []
    for p, color in enumerate(colors):
        bars = [
            (k - _BAR, feet[k, p], k + _BAR, feet[k, p + 1]) for k in range(count) if heights[k, p]
        ]
        if bars:
            layers.append(
                hv.Rectangles(bars, kdims=["left", "bottom", "right", "top"]).opts(
                    facecolor=color, edgecolor="white", linewidth=0.5, backend="matplotlib"
                )
            )
        if p < len(shown):
            texts += [
                (k, (feet[k, p] + feet[k, p + 1]) / 2, names[p], _ink(color))
                for k in range(count)
                if heights[k, p] >= 0.055 * total
            ]
    for ink in sorted({text[3] for text in texts}):
        chosen = [text[:3] for text in texts if text[3] == ink]
        layers.append(
            hv.Labels(chosen, ["x", "y"], "text").opts(
                size=FONT["ticks"], color=ink, backend="matplotlib"
            )
        )
    levels = np.median(checkpoints["checkpoint_loss_level"].values[networks], axis=0)
    ticks = [(k, "initial" if np.isinf(v) else f"{v:.2g}") for k, v in enumerate(levels)]
    width = float(np.clip(0.5 * count + 2.0, COLUMN, PAGE))
    used = [p for p in range(len(names)) if heights[:, p].any()]
    by = label_of(checkpoints.attrs)
    # In the order of the stack, the topmost first.
    keys = [Key(words[p], colors[p], patch=True) for p in used][::-1]
    picture = hv.Overlay(layers).opts(
        fig_inches=(width, 2.6),
        xlim=(-0.35, count - 0.65),
        ylim=(0, total),
        xticks=ticks,
        xlabel="first look with a mean squared error under",
        ylabel="networks",
        fontsize=FONT,
        show_legend=False,
        hooks=[_finish(keys, width, f"solution by {by}" if by else "solution")],
        backend="matplotlib",
    )
    return both(picture, keys)


def _names(checkpoints: xr.Dataset) -> dict[int, str]:
    """The name of each solution of any checkpoint, by its number."""
    named: dict[int, str] = {}
    if "checkpoint_solution_key" in checkpoints.variables:
        numbers = checkpoints["checkpoint_solution"].values.ravel().tolist()
        keys = checkpoints["checkpoint_solution_key"].values.ravel().tolist()
        named = {
            i: "solution_" + str(k).rpartition(":")[2][:16]
            for i, k in zip(numbers, keys, strict=True)
        }
    else:
        named = {i: str(i) for i in checkpoints["checkpoint_solution"].values.ravel().tolist()}
    return named | solution_names(checkpoints)


def _line(name: str) -> str:
    """A name in one line of the legend; nothing where it is the number alone."""
    return "" if name.isdigit() else "\n".join(solution_words(name))


def _bands(
    place: NDArray[np.int64], feet: NDArray[np.int64], places: int
) -> dict[int, list[dict[str, NDArray]]]:
    """Outlines of the bands between bars, by the place they leave from."""
    t = np.linspace(0, 1, 25)
    ease = t**2 * (3 - 2 * t)  # level where it leaves and where it arrives
    bands: dict[int, list[dict[str, NDArray]]] = {}
    for k in range(place.shape[1] - 1):
        leaves, arrives = feet[k, :-1].astype(float), feet[k + 1, :-1].astype(float)
        counts = np.zeros((places, places), int)
        np.add.at(counts, (place[:, k], place[:, k + 1]), 1)
        x = k + _BAR + t * (1 - 2 * _BAR)
        for a, b in zip(*np.nonzero(counts), strict=True):
            n = counts[a, b]
            low = leaves[a] + ease * (arrives[b] - leaves[a])
            outline = {"x": np.r_[x, x[::-1]], "y": np.r_[low, (low + n)[::-1]]}
            bands.setdefault(int(a), []).append(outline)
            leaves[a] += n
            arrives[b] += n
    return bands


def _ink(color: str) -> str:
    """White on dark colours, dark on light ones."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else INK


def _finish(keys: list[Key], width: float, title: str) -> Any:
    """Frame and legend, which HoloViews does not make for rectangles."""

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        beside = 1.35
        place(axes, (0.5 / width, 0.19, 1 - (0.55 + beside) / width, 0.78))
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.yaxis.get_major_locator().set_params(integer=True)
        legend(axes, keys, title=title, title_fontsize=FONT["legend_title"], handlelength=1.0,
               labelspacing=0.5, alignment="left")  # fmt: skip

    return hook
