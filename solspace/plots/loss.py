"""How the loss of networks fell while they were trained."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    BLUE,
    COLUMN,
    FONT,
    GREY,
    Key,
    beside_legend,
    holoviews,
    of_one,
    solution_colors,
    solution_words,
    styled,
)
from solspace.population.describe import recipe_of

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_loss"]

_MOST = 6  # solutions that the key names; the others are grey


@styled
def plot_loss(population: xr.Dataset, network: int | str | None = None) -> hv.Overlay:
    """The mean squared error at each look of the training, of one network or of all.

    Of several networks it is the best so far, in the colours of their solutions, the commonest
    named.

    Parameters
    ----------
    population : Dataset
        With ``loss_curve``, which networks have that were trained here.
    network : int or str, optional
        Position along ``network``, or name; all by default.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where no curve was kept, as of imported networks and of stores of version 1.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> ds = xr.Dataset({"loss_curve": (("network", "check"), [[0.5, 0.1, 0.01]])},
    ...                 coords={"check": [0, 50, 100]})
    >>> type(plot_loss(ds, 0)).__name__
    'Overlay'
    """
    if "loss_curve" not in population.variables:
        raise SolspaceError(f"the dataset has no 'loss_curve'; {how_to_make('train')}")
    if network is not None or "network" not in population.dims:
        one = of_one(population, network, ("loss_curve",), "train")
        curves = one["loss_curve"].values[None].astype(float)
        names = [""]
    else:
        curves = population["loss_curve"].values.astype(float)
        named = population["solution_name"].values if "solution_name" in population else None
        names = [str(n) for n in named] if named is not None else [""] * len(curves)
    curves = np.where(curves > 0, curves, np.nan)
    there = np.isfinite(curves).any(axis=1)
    if not there.any():
        who = "the networks have" if network is None else f"network {network} has"
        raise SolspaceError(
            f"{who} no loss curve: it is kept of networks that `solspace train` has trained, "
            "not of imported ones nor of those of an earlier version"
        )
    steps = population["check"].values
    counts = {n: names.count(n) for n in dict.fromkeys(names) if n}
    commonest = sorted(counts, key=lambda n: (-counts[n], n))[:_MOST]
    colors = solution_colors(commonest)
    hv = holoviews()
    several = int(there.sum()) > 1
    parts: list[Any] = []
    # The commonest first, so that rare ones lie on top; of several only what was best so far, as
    # their noise would cover them all.
    groups: dict[str, list[int]] = {}
    for k in np.flatnonzero(there).tolist():
        groups.setdefault(names[k] if names[k] in colors else "", []).append(k)
    for name in sorted(groups, key=lambda n: (n != "", -len(groups[n]), n)):
        lines = []
        for k in groups[name]:
            known = np.isfinite(curves[k])
            values = curves[k][known]
            values = np.minimum.accumulate(values) if several else values
            lines.append(np.stack([steps[known], values], axis=1))
        parts.append(
            hv.Path(lines, ["gradient steps", "loss"]).opts(
                color=colors.get(name, GREY if several else BLUE),
                linewidth=0.5 if several else 0.9,
                alpha=0.6 if several else 1.0,
                backend="matplotlib",
            )
        )
    keys = [Key("\n".join(solution_words(n)), colors[n], line="-", width=1.6) for n in commonest]
    if len(counts) > _MOST or (several and "" in names):
        keys.append(Key("others", GREY, line="-", width=1.6))
    with contextlib.suppress(SolspaceError):
        target = float(recipe_of(population).target_loss)
        parts.append(hv.HLine(target).opts(color="black", linewidth=0.8, linestyle="--",
                                           backend="matplotlib"))  # fmt: skip
        keys.append(Key("target", "black", line="--", width=0.8))
    if not several and not keys:
        keys = [Key("loss", BLUE, line="-", width=1.3)]
    end = float(steps[np.isfinite(curves).any(axis=0)].max())
    low, high = float(np.nanmin(curves)), float(np.nanmax(curves))
    picture = hv.Overlay(parts).opts(
        fig_inches=(COLUMN, 2.3),
        logy=True,
        xlim=(0, end * 1.02),
        ylim=(low * 0.5, high * 1.6),
        xlabel="gradient steps",
        ylabel="mean squared error" + (", best so far" if several else ""),
        fontsize=FONT,
        show_legend=False,
        hooks=[beside_legend(keys, (0.16, 0.18, 0.48, 0.77))],
        backend="matplotlib",
    )
    return both(picture, keys)
