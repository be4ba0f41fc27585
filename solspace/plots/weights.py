"""The recurrent weights of one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.style import (
    COLUMN,
    DIVERGING,
    FONT,
    Scale,
    color_scale,
    holoviews,
    of_one,
    place,
    styled,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_weights"]

SORTS = ("output", "cluster")


@styled
def plot_weights(
    population: xr.Dataset,
    network: int | str | None = None,
    *,
    sort: str | Sequence[int] | None = None,
    gate: str | int | None = None,
) -> hv.Overlay:
    """Recurrent weights of one network: a row a unit that receives, a column one that sends.

    Parameters
    ----------
    population : Dataset
        With ``weight_hh``.
    network : int or str, optional
        Position along ``network``, or name; not needed of one network alone.
    sort : {"output", "cluster"} or sequence of int, optional
        The order of units: by their weight onto the first output, by a dendrogram of what they
        receive and send (average linkage of correlations), or as given. By default the network's.
    gate : str or int, optional
        Of a GRU or LSTM, which gate's weights; by default those of its candidate state (n, g).

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there are no weights, or no such order or gate.

    Examples
    --------
    >>> import xarray as xr
    >>> w = np.array([[[[0.0, 1.0], [-1.0, 0.5]]]])
    >>> ds = xr.Dataset({"weight_hh": (("network", "gate", "unit", "presynaptic_unit"), w)})
    >>> type(plot_weights(ds, 0, sort=[1, 0])).__name__
    'Overlay'
    """
    one = of_one(population, network, ("weight_hh",), "train")
    weights = one["weight_hh"].transpose("gate", "unit", "presynaptic_unit").values.astype(float)
    names = [str(g) for g in one["gate"].values] if "gate" in one.variables else ["0"]
    which = _gate(names, gate)
    weights = weights[which]
    size = int(np.isfinite(weights).any(axis=1).sum())
    if not size:
        raise SolspaceError(f"network {network} has no weights, as a recording has none")
    weights = weights[:size, :size]
    order = _order(one, weights, sort)
    shown = weights[np.ix_(order, order)]
    reach = float(np.abs(shown).max()) or 1.0
    scale = Scale("recurrent weight", -reach, reach, DIVERGING)
    hv = holoviews()
    from matplotlib.colors import LinearSegmentedColormap

    image = hv.Image(
        (np.arange(size), np.arange(size), shown), ["sends", "receives"], "weight"
    ).opts(
        cmap=LinearSegmentedColormap.from_list("weights", DIVERGING),
        clim=(-reach, reach),
        backend="matplotlib",
    )
    by = {"output": ", by output weight", "cluster": ", by cluster"}.get(str(sort), "")
    by = by or (", as given" if sort is not None else "")
    wide = 2.15
    picture = hv.Overlay([image]).opts(
        fig_inches=(COLUMN, wide + 0.55),
        xlabel=f"unit that sends{by}",
        ylabel=f"unit that receives{by}",
        title=f"gate {names[which]}" if len(names) > 1 else "",
        invert_yaxis=True,
        fontsize=FONT,
        show_legend=False,
        hooks=[_finish(scale, wide)],
        backend="matplotlib",
    )
    return both(picture, [], [scale])


def _gate(names: list[str], gate: str | int | None) -> int:
    if gate is None:
        return next((names.index(n) for n in ("n", "g") if n in names), 0)
    if isinstance(gate, str) and gate in names:
        return names.index(gate)
    if isinstance(gate, int) and 0 <= gate < len(names):
        return gate
    raise SolspaceError(f"no gate {gate!r}; gates: {', '.join(names)}")


def _order(
    one: xr.Dataset, weights: NDArray[Any], sort: str | Sequence[int] | None
) -> NDArray[np.intp]:
    size = len(weights)
    if sort is None:
        return np.arange(size)
    if isinstance(sort, str):
        if sort not in SORTS:
            raise SolspaceError(
                f"no order {sort!r} of units; orders: {', '.join(SORTS)}, or a list of positions"
            )
        if sort == "output":
            if "weight_out" not in one.variables:
                raise SolspaceError("the dataset has no 'weight_out' to sort units by")
            out = one["weight_out"].transpose("output_channel", "unit").values[0, :size]
            return np.argsort(-out, kind="stable")
        if size < 3:
            return np.arange(size)
        from scipy.cluster.hierarchy import leaves_list, linkage

        # What a unit receives and what it sends, told apart from how much of it.
        rows = np.concatenate([weights, weights.T], axis=1)
        rows = rows - rows.mean(axis=1, keepdims=True)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return np.asarray(leaves_list(linkage(rows, "average", optimal_ordering=True)), np.intp)
    order = np.asarray(sort, np.intp)
    if sorted(order.tolist()) != list(range(size)):
        raise SolspaceError(f"the order of units must hold each of 0 to {size - 1} once")
    return order


def _finish(scale: Scale, wide: float) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        high = wide + 0.55
        place(axes, (0.5 / COLUMN, 0.4 / high, wide / COLUMN, wide / high - 0.05))
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)
        color_scale(axes, scale, (1.04, 0.0, 0.05, 1.0))

    return hook
