"""More networks than a browser can draw: as a picture of where they lie, and which are inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Colors", "inside_of", "picture"]

Array = NDArray[np.float64]

FAINTEST = 0.45  # opacity of a spot with one network
ASIDE = 0.16  # what opacity of it is left outside of a selection, as of marks


@dataclass(frozen=True)
class Colors:
    """The colour of each network, and what is said of it.

    Attributes
    ----------
    palette : list of str
        Each as ``#rrggbb``.
    codes : array of int (network,)
        Places in the palette.
    told : callable (array of int) -> list of str
        Of the networks at these positions: words are made for those that are drawn alone.
    """

    palette: list[str]
    codes: NDArray[np.intp]
    told: Callable[[NDArray[np.intp]], list[str]]

    def of(self, at: NDArray[np.intp]) -> list[str]:
        """Of the networks at these positions."""
        return [self.palette[code] for code in self.codes[at].tolist()]

    def rgb(self, at: NDArray[np.intp]) -> Array:
        """The same, (network, 3) in 0 to 255."""
        shades = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in self.palette]
        return np.array(shades, float)[self.codes[at]]


def picture(
    places: Array,
    rgb: Array,
    box: tuple[float, float, float, float],
    bins: int,
    selected: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint32]:
    """Networks shared out in a grid of spots: of each the mean colour of those that lie in it.

    The opacity grows with the logarithm of how many they are, so that one network is seen beside
    thousands, as in datashader (``eq_hist`` apart).

    Parameters
    ----------
    places : array (network, 2)
    rgb : array (network, 3)
        In 0 to 255.
    box : (x0, x1, y0, y1)
        What is seen; networks outside are left out.
    bins : int
        On either side.
    selected : array of bool (network,), optional
        Spots with some of these have their colour, and all others fade.

    Returns
    -------
    array of uint32 (bins, bins)
        RGBA as Bokeh's ``image_rgba`` takes it; the first row is the lowest.

    Examples
    --------
    >>> two = picture(np.array([[0.1, 0.1], [0.9, 0.9]]), np.full((2, 3), 255.0), (0, 1, 0, 1), 2)
    >>> two.view(np.uint8).reshape(2, 2, 4)[..., 3].tolist()
    [[255, 0], [0, 255]]
    """
    x0, x1, y0, y1 = box
    column = np.floor((places[:, 0] - x0) / (x1 - x0) * bins)
    row = np.floor((places[:, 1] - y0) / (y1 - y0) * bins)
    there = (column >= 0) & (column < bins) & (row >= 0) & (row < bins)
    spot = (row[there] * bins + column[there]).astype(np.intp)
    out = _shaded(spot, rgb[there], bins)
    if selected is not None and selected.any():
        chosen = selected[there]
        out[:, 3] *= ASIDE
        strong = _shaded(spot[chosen], rgb[there][chosen], bins)
        out = np.where(strong[:, 3:] > 0, strong, out)
    out[:, 3] *= 255
    return np.ascontiguousarray(out.round().astype(np.uint8)).view(np.uint32).reshape(bins, bins)


def _shaded(spot: NDArray[np.intp], rgb: Array, bins: int) -> Array:
    """Mean colour and opacity of each spot, (spot, 4)."""
    count = np.bincount(spot, minlength=bins * bins)
    out = np.zeros((bins * bins, 4))
    if not len(spot):
        return out
    for i in range(3):
        out[:, i] = np.bincount(spot, rgb[:, i], bins * bins) / np.maximum(count, 1)
    shade = np.log(np.maximum(count, 1)) / max(np.log(count.max()), 1e-9)
    # Where each spot holds as many as any other, all are seen fully.
    shade = np.where(count == count.max(), 1.0, shade)
    out[:, 3] = np.where(count > 0, FAINTEST + (1 - FAINTEST) * shade, 0)
    return out


def inside_of(geometry: Mapping[str, Any], places: Array) -> NDArray[np.bool_]:
    """Which networks a lasso or a box that was drawn in a browser holds.

    Parameters
    ----------
    geometry : mapping
        Of Bokeh's ``SelectionGeometry``: of type ``rect`` with ``x0``, ``x1``, ``y0`` and ``y1``,
        or of type ``poly`` with ``x`` and ``y``.
    places : array (network, 2)

    Examples
    --------
    >>> lasso = {"type": "poly", "x": [0, 2, 2, 0], "y": [0, 0, 2, 2]}
    >>> inside_of(lasso, np.array([[1.0, 1.0], [3.0, 1.0]])).tolist()
    [True, False]
    """
    x, y = places[:, 0], places[:, 1]
    if geometry.get("type") == "rect":
        x0, x1 = sorted((float(geometry["x0"]), float(geometry["x1"])))
        y0, y1 = sorted((float(geometry["y0"]), float(geometry["y1"])))
        return np.asarray((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
    corners = [np.asarray(geometry.get(k, ()), float) for k in ("x", "y")]
    if geometry.get("type") != "poly" or len(corners[0]) < 3:
        return np.zeros(len(places), bool)
    from matplotlib.path import Path

    # Without the last corner, which is given again, the way is closed by itself.
    found = Path(np.column_stack(corners)).contains_points(places)
    return np.asarray(found, bool)
