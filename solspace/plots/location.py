"""Which solution a recording is most like, and how far its probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.stability import COLORS, MARKERS
from solspace.plots.style import (
    BLUE,
    COLUMN,
    FONT,
    GREY,
    INK,
    ORANGE,
    Key,
    holoviews,
    legend,
    place,
    solution_words,
    styled,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_calibration", "plot_location"]

DRAWS = 3  # of each network, where a dataset does not say
FEWEST = 10  # networks held out, of which a point of a calibration curve is drawn


def _check(found: xr.Dataset, name: str = "probability") -> None:
    if name not in found.variables:
        raise SolspaceError(
            "the dataset says nothing of where a recording lies; call solspace.locate(recording, "
            "population), or read what `solspace locate ... --out FILE.nc` wrote"
        )


@styled
def plot_location(found: xr.Dataset) -> hv.Overlay:
    """The probability of each solution, beside its share of the networks and what halves say.

    Parameters
    ----------
    found : Dataset
        What `solspace.locate` returns.

    Returns
    -------
    holoviews.Overlay
        A row a class, the likeliest above; the verdict stands above.

    Raises
    ------
    SolspaceError
        Where the dataset is none of those.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"probability": ("class_name", [0.9, 0.1]),
    ...                  "prior": ("class_name", [0.5, 0.5]), "verdict": ((), "a"),
    ...                  "reason": ((), ""), "p_value": ((), 0.005)},
    ...                 coords={"class_name": ["a", "b"],
    ...                         "short_name": ("class_name", ["a", "b"])}, attrs={"sure": 0.8})
    >>> type(plot_location(ds)).__name__
    'Overlay'
    """
    _check(found)
    hv = holoviews()
    order = found["probability"].values.argsort()[::-1]
    names = [str(found["short_name"].values[k]) for k in order]
    rows = np.arange(len(order))[::-1]
    dims = ["probability", "class"]
    sure = float(found.attrs["sure"])
    layers: list[Any] = [
        hv.Path([np.array([[sure, -0.5], [sure, len(order) - 0.5]])], dims).opts(
            color=GREY, linestyle="--", linewidth=0.8, backend="matplotlib"
        )
    ]
    keys = [
        Key("the recording", BLUE, marker="o", size=6),
        Key("share of networks", INK, marker="|", size=9),
        Key(f"sure enough, {sure:g}", GREY, line="--", width=0.8),
    ]
    if "half_probability" in found.variables:
        halves = found["half_probability"].values.reshape(-1, len(order))[:, order]
        points = [(p, y - 0.22) for half in halves for p, y in zip(half, rows, strict=True)]
        layers.append(
            hv.Points(points, dims).opts(color=ORANGE, marker="o", s=6, backend="matplotlib")
        )
        keys.insert(1, Key("halves of its trials", ORANGE, marker="o", size=3))
    shares = zip(found["prior"].values[order], rows, strict=True)
    layers.append(
        hv.Path([np.array([[x, y - 0.2], [x, y + 0.2]]) for x, y in shares], dims).opts(
            color=INK, linewidth=1.8, backend="matplotlib"
        )
    )
    values = found["probability"].values[order]
    layers.append(
        hv.Points(list(zip(values, rows, strict=True)), dims).opts(
            color=BLUE, marker="o", s=34, backend="matplotlib"
        )
    )
    words = ["\n".join(solution_words(name)) for name in names]
    lines = sum(text.count("\n") + 1 for text in words)
    high = 0.95 + 0.13 * lines + 0.1 * len(words)
    verdict = str(found["verdict"].item())
    known = dict(zip(found["class_name"].values.tolist(), found["short_name"].values, strict=True))
    title = f"verdict: {known.get(verdict, verdict).replace('_', ' ')}"
    picture = hv.Overlay(layers).opts(
        fig_inches=(COLUMN, high),
        xlim=(-0.02, 1.02),
        ylim=(-0.5, len(order) - 0.5),
        yticks=list(zip(rows.tolist(), words, strict=True)),
        xlabel="probability",
        ylabel="",
        title=title,
        fontsize=FONT,
        show_legend=False,
        hooks=[_finish(keys, high, 1.45)],
        backend="matplotlib",
    )
    return both(picture, keys)


@styled
def plot_calibration(found: xr.Dataset | Mapping[str, xr.Dataset]) -> hv.Overlay:
    """How often networks that are given a probability are of that class.

    Parameters
    ----------
    found : Dataset, or mapping of str to Dataset
        What `solspace.locate` returns; several by name, up to eight.

    Returns
    -------
    holoviews.Overlay
        A point for each tenth of confidence that ten networks held out or more have, with a 95 %
        interval (Wilson's); of one dataset larger where more do.

    Raises
    ------
    SolspaceError
        Where a dataset is none of those, there is none, or more than there are colours.

    Examples
    --------
    >>> import xarray as xr
    >>> at = "confidence_bin"
    >>> ds = xr.Dataset({"count": (at, [20.0, 50.0]), "confidence": (at, [0.55, 0.9]),
    ...                  "accuracy": (at, [0.5, 0.92]), "calibration_error": ((), 0.03)})
    >>> type(plot_calibration({"mine": ds})).__name__
    'Overlay'
    """
    import xarray as xr

    several = not isinstance(found, xr.Dataset)
    given = {"networks held out": found} if isinstance(found, xr.Dataset) else dict(found)
    if not 0 < len(given) <= len(COLORS):
        raise SolspaceError(f"{len(given)} curves; give 1 to {len(COLORS)}")
    for ds in given.values():
        _check(ds, "confidence")
    hv = holoviews()
    dims = ["confidence", "share"]
    layers: list[Any] = [
        hv.Path([np.array([[0, 0], [1, 1]])], dims).opts(
            color=GREY, linestyle="--", linewidth=0.8, backend="matplotlib"
        )
    ]
    keys = []
    for k, (name, ds) in enumerate(given.items()):
        count = ds["count"].values
        good = count >= FEWEST
        x, y, n = ds["confidence"].values[good], ds["accuracy"].values[good], count[good]
        # Draws of one network are not several networks.
        low, high = _wilson(y, n / float(ds.attrs.get("draws", DRAWS)))
        bars = [np.array([[a, b], [a, c]]) for a, b, c in zip(x, low, high, strict=True)]
        color, marker = COLORS[k], MARKERS[k]
        layers.append(hv.Path(bars, dims).opts(color=color, linewidth=1.0, backend="matplotlib"))
        if several:
            line = hv.Path([np.column_stack([x, y])], dims)
            layers.append(line.opts(color=color, linewidth=1.0, backend="matplotlib"))
        layers += [
            hv.Points([(a, b)], dims).opts(
                color=color,
                marker=marker,
                s=20.0 if several else float(12 + 60 * c / n.sum()),
                backend="matplotlib",
            )
            for a, b, c in zip(x, y, n, strict=True)
        ]
        keys.append(Key(name, color, line="-", width=1.0, marker=marker, size=5))
    keys.append(Key("as often as said", GREY, line="--", width=0.8))
    title = (
        "" if several else f"mean gap {given['networks held out']['calibration_error'].item():.3f}"
    )
    tall = 2.9 + 0.16 * (len(keys) - 2 if several else 0)
    picture = hv.Overlay(layers).opts(
        fig_inches=(COLUMN, tall),
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        xlabel="highest probability of a solution",
        ylabel="share of networks of that solution",
        title=title,
        fontsize=FONT,
        show_legend=False,
        hooks=[_finish(keys, tall, 0.55, 1 if several else 2)],
        backend="matplotlib",
    )
    return both(picture, keys)


def _wilson(share: Any, n: Any) -> tuple[Any, Any]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    wide = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - wide, middle + wide


def _finish(keys: list[Key], high: float, left: float, columns: int = 2) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        rows = -(-len(keys) // columns)
        below = 0.42
        above = 0.3 + 0.16 * rows
        place(
            axes,
            (left / COLUMN, below / high, (COLUMN - left - 0.12) / COLUMN,
             (high - below - above) / high),
        )  # fmt: skip
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(axes.get_title(), fontsize=FONT["title"], pad=6 + 12 * rows)
        if left > 1:
            axes.tick_params(axis="y", length=0)
        legend(axes, keys, loc="lower center", bbox_to_anchor=(0.5 if left < 1 else 0.3, 1.0),
               ncols=columns, handlelength=1.4, columnspacing=1.2, labelspacing=0.3,
               borderaxespad=0.2)  # fmt: skip

    return hook
