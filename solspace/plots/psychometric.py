"""Choices of networks against the coherence of what they were shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.style import (
    BLUE,
    COLUMN,
    FONT,
    ORANGE,
    Key,
    beside_legend,
    holoviews,
    styled,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_psychometric"]


@styled
def plot_psychometric(curves: xr.Dataset) -> hv.Overlay:
    """The share of positive choices against the stream that counts, and against the other.

    A thin line for each network and context, a thick one for their mean.

    Parameters
    ----------
    curves : Dataset
        What `solspace.psychometric_curves` returns.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there are no curves.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> dims = ("network", "context", "stream", "coherence")
    >>> ds = xr.Dataset(
    ...     {"positive": (dims, np.full((1, 2, 2, 3), 0.5))},
    ...     coords={"context": [1, 2], "stream": [1, 2], "coherence": [-1, 0, 1]},
    ... )
    >>> type(plot_psychometric(ds)).__name__
    'Overlay'
    """
    if "positive" not in curves.variables:
        raise SolspaceError(
            "the dataset has no 'positive'; give what solspace.psychometric_curves(ds) returns"
        )
    found = curves["positive"]
    if "network" not in found.dims:
        found = found.expand_dims("network")
    found = found.transpose("network", "context", "stream", "coherence")
    found = found[np.isfinite(found.values).all(axis=(1, 2, 3))]
    if not found.sizes["network"]:
        raise SolspaceError("no network has a curve: none has weights")
    hv = holoviews()
    x = found["coherence"].values.astype(float)
    same = found["context"].values[:, None] == found["stream"].values
    keys = [
        Key("the stream that\nthe context names", BLUE, line="-"),
        Key("the other stream", ORANGE, line="-"),
    ]
    dims = ["coherence", "share of positive choices"]
    thin: list[Any] = []
    thick: list[Any] = []
    # What is looked for lies on top.
    for key, which in ((keys[1], ~same), (keys[0], same)):
        rows = found.values[:, which].reshape(-1, len(x))
        thin.append(
            hv.Path([np.stack([x, row], axis=1) for row in rows], dims).opts(
                color=key.color, linewidth=0.4, alpha=max(0.05, min(0.5, 10 / len(rows))),
                backend="matplotlib",
            )
        )  # fmt: skip
        thick.append(
            hv.Curve((x, rows.mean(axis=0)), *dims).opts(
                color=key.color, linewidth=1.8, backend="matplotlib"
            )
        )
    picture = hv.Overlay(thin + thick).opts(
        fig_inches=(COLUMN, 2.1),
        xlim=(float(x.min()) - 0.5, float(x.max()) + 0.5),
        ylim=(-0.03, 1.03),
        xlabel="coherence of a stream",
        ylabel="share of positive choices",
        fontsize=FONT,
        show_legend=False,
        hooks=[beside_legend(keys, (0.15, 0.2, 0.5, 0.75))],
        backend="matplotlib",
    )
    return both(picture, keys)
