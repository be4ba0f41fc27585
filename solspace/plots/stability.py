"""How many networks keep each label when they are hardly changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import COLUMN, FONT, INK, PAGE, Key, holoviews, legend, place, styled

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_stability"]

# Okabe & Ito's palette in an order that keeps neighbours apart, also in grey.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#222222", "#9A9A9A")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_WIDTH = 0.7  # of the place that one perturbation has


@styled
def plot_stability(stability: xr.Dataset) -> hv.Overlay:
    """Shares of networks that keep a label, with their intervals, for all that was tried.

    Parameters
    ----------
    stability : Dataset
        The stability group of a store, or what `solspace.label_stability` returns.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where nothing was tried yet, or more labels than there are colours; select some with
        ``stability.sel(label=[...])``.

    Examples
    --------
    >>> import xarray as xr
    >>> by = ("label", "perturbation")
    >>> ds = xr.Dataset({"share": (by, [[1.0, 0.9]]), "share_low": (by, [[0.9, 0.8]]),
    ...                  "share_high": (by, [[1.0, 0.95]])},
    ...                 coords={"label": ["graph_key"],
    ...                         "perturbation": ["noise_1e-4", "noise_1e-3"]})
    >>> type(plot_stability(ds)).__name__
    'Overlay'
    """
    if "share" not in stability.variables:
        raise SolspaceError(f"the dataset has no 'share'; {how_to_make('stability')}")
    share = stability["share"].transpose("label", "perturbation").values
    if not np.isfinite(share).any():
        raise SolspaceError(f"no share of networks is known yet; {how_to_make('stability')}")
    labels = [str(v) for v in stability["label"].values]
    if len(labels) > len(COLORS):
        raise SolspaceError(
            f"{len(labels)} labels, and colours for {len(COLORS)}; give fewer, "
            "stability.sel(label=[...])"
        )
    low, high = (
        stability[name].transpose("label", "perturbation").values
        for name in ("share_low", "share_high")
    )
    hv = holoviews()
    tried = np.flatnonzero(np.isfinite(share).any(axis=0))
    offsets = (np.arange(len(labels)) - (len(labels) - 1) / 2) * _WIDTH / len(labels)
    layers: list[Any] = []
    for k, offset in enumerate(offsets):
        known = [j for j in tried if np.isfinite(share[k, j])]
        x = {j: i + offset for i, j in enumerate(tried)}
        bounds = [np.array([[x[j], low[k, j]], [x[j], high[k, j]]]) for j in known]
        layers.append(
            hv.Path(bounds, ["tried", "share"]).opts(
                color=COLORS[k], linewidth=1.2, backend="matplotlib"
            )
        )
        layers.append(
            hv.Points([(x[j], share[k, j]) for j in known], ["tried", "share"]).opts(
                color=COLORS[k], marker=MARKERS[k], s=18, backend="matplotlib"
            )
        )
    names = [_worded(str(stability["perturbation"].values[j])) for j in tried]
    bottom = min(0.9, float(np.nanmin(low)))
    width = min(max(COLUMN, 0.75 * len(tried) + 0.7), PAGE)
    keys = [
        Key(name, color, line="-", width=1.2, marker=marker, size=4)
        for color, marker, name in zip(COLORS, MARKERS, labels, strict=False)
    ]
    keys.append(Key("95% interval", INK, marker="|", size=8))
    picture = hv.Overlay(layers).opts(
        fig_inches=(width, 2.4),
        xlim=(-0.5, len(tried) - 0.5),
        ylim=(bottom - 0.02, 1.02),
        xticks=list(enumerate(names)),
        xlabel="",
        ylabel="share that keep the label",
        fontsize=FONT,
        show_legend=False,
        hooks=[_finish(keys, width)],
        backend="matplotlib",
    )
    return both(picture, keys)


def _worded(name: str) -> str:
    kind, _, amount = name.partition("_")
    return {
        "noise": f"weight noise\n{amount}",
        "training": f"{amount} further\nsteps",
        "processor": "another\nprocessor",
    }.get(kind, name)


def _finish(keys: list[Key], width: float) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        rows = -(-len(keys) // 2)
        place(axes, (0.5 / width, 0.17, 1 - 0.55 / width, 0.79 - 0.065 * rows))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        legend(axes, keys, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2,
               handlelength=1.4, columnspacing=1.2, labelspacing=0.3,
               borderaxespad=0.2)  # fmt: skip

    return hook
