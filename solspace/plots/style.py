"""Colours, type and small helpers that all pictures share."""

from __future__ import annotations

import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["BLUE", "EPOCH_COLORS", "FONT", "GREY", "INK", "ORANGE", "TARGET", "holoviews", "symbol"]

# Okabe & Ito's palette, told apart with every common kind of colour vision and in grey.
BLUE, ORANGE, INK, GREY = "#0072B2", "#E69F00", "#222222", "#767676"
TARGET = "#D55E00"
EPOCH_COLORS = ("#999999", "#E69F00", "#56B4E9", "#D55E00", "#0072B2", "#009E73", "#CC79A7")
# Light to dark, read in order also in grey.
SIZE_COLORS = ("#C6DBEF", "#7FB3D9", "#3A86BF", "#0B4F8A", "#062C52")
SEQUENTIAL = ("#FFFFFF", "#B9D7EC", "#5A9FCF", BLUE, "#003A5C")
DIVERGING = ("#7A4A00", "#C77F00", "#F2C66D", "#FFFFFF", "#8EC1E3", BLUE, "#003A5C")

FONT = {"title": 8, "labels": 8, "ticks": 7, "legend": 7, "legend_title": 7}
LEGEND_BESIDE: dict[str, Any] = {
    "loc": "center left",
    "bbox_to_anchor": (1.02, 0.5),
    "fontsize": FONT["legend"],
    "frameon": False,
    "handlelength": 1.3,
    "labelspacing": 0.45,
    "borderaxespad": 0.0,
}
# Column width of most journals, in inches.
COLUMN = 3.35

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "solspace",
}


def holoviews() -> ModuleType:
    """HoloViews with its matplotlib backend registered; the user's own choice stays current."""
    try:
        import holoviews
        import holoviews.plotting.mpl  # registers the backend
    except ImportError as error:
        raise SolspaceError(
            f"pictures need {error.name}, which is not installed; "
            "type `pip install 'solspace[plots]'`"
        ) from None
    if not holoviews.Store.current_backend:
        holoviews.Store.set_current_backend("matplotlib")
    return holoviews


def symbol(name: str) -> str:
    """A parameter's name as it is set in print, the part after an underscore or a digit lowered.

    Examples
    --------
    >>> symbol("t_in"), symbol("f1"), symbol("delay")
    ('$t_\\\\mathrm{in}$', '$f_\\\\mathrm{1}$', 'delay')
    """
    match = re.fullmatch(r"([a-zA-Z])_?(\d+|(?<=_)\w+)", name)
    return rf"${match[1]}_\mathrm{{{match[2]}}}$" if match else name.replace("_", " ")


def ramp(colors: tuple[str, ...], count: int) -> list[str]:
    """So many colours, evenly from the first to the last."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    scale = LinearSegmentedColormap.from_list("ramp", colors)
    return [to_hex(scale(x)) for x in (np.linspace(0, 1, count) if count > 1 else [0.65])]


def pick(ds: xr.Dataset, network: int | str, needs: tuple[str, ...], stage: str) -> int:
    """Position of one network along ``network``, by its position or its name.

    Raises
    ------
    SolspaceError
        Where a variable is missing (the stage that makes it is named) or there is no such network.
    """
    if missing := [name for name in needs if name not in ds.variables]:
        raise SolspaceError(f"the dataset has no {missing[0]!r}; {how_to_make(stage)}")
    n = ds.sizes["network"]
    if isinstance(network, str):
        names = [str(x) for x in ds["name"].values] if "name" in ds.variables else []
        if network not in names:
            shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            raise SolspaceError(f"no network named {network!r}; networks: {shown or 'unnamed'}")
        return names.index(network)
    if not 0 <= network < n:
        raise SolspaceError(f"network {network} of {n}; give 0 to {n - 1}, or a name")
    return int(network)
