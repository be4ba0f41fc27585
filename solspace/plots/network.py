"""Everything about one network in one plot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.extrapolation import plot_extrapolation
from solspace.plots.graph import plot_graph, too_large
from solspace.plots.loss import plot_loss
from solspace.plots.style import PAGE, holoviews, of_one, styled
from solspace.plots.trajectories import plot_trajectories
from solspace.plots.weights import plot_weights

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_network"]

_HIGH = 2.45  # of a row of panels, in inches


@styled
def plot_network(
    population: xr.Dataset | xr.DataTree | Mapping[str, xr.Dataset],
    network: int | str | None = None,
) -> hv.Layout:
    """One network in one plot: graph, output, trajectories, and its loss or its weights.

    What the store has is read; activity, output and the graph of this one network are computed
    where they are not there, which takes a second or less.

    Parameters
    ----------
    population : Dataset, DataTree or mapping of str to Dataset
        A population with weights; or its tree, such as ``tree["interval_reproduction/vanilla"]``
        of an opened store; or its groups by name (``population``, ``training``,
        ``extrapolation``, ``graph``), as far as there are.
    network : int or str, optional
        Position along ``network``, or name; not needed of one network alone.

    Returns
    -------
    holoviews.Layout
        Two panels a row.

    Raises
    ------
    SolspaceError
        Where there is no such network, or it has no weights.

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> type(plot_network(ds, "mine")).__name__
    'Layout'
    """
    import solspace

    groups = _groups(population)
    if "population" not in groups:
        raise SolspaceError("no group 'population' was given, which has the weights")
    whole = groups["population"]
    one = of_one(whole, network, ("weight_hh",), "train").load()
    if not np.isfinite(one["weight_hh"].values).any():
        raise SolspaceError(f"network {network} has no weights; {how_to_make('train')}")
    alone = one.expand_dims("network") if "network" not in whole.dims else _alone(whole, network)
    training = _found(groups, "training", network, "activity")
    training = solspace.record(alone) if training is None else training
    beyond = _found(groups, "extrapolation", network, "output")
    beyond = solspace.extrapolate(alone) if beyond is None else beyond
    graph = _found(groups, "graph", network, "n_nodes")
    graph = solspace.reduce(alone, method="turner2021") if graph is None else graph
    first = of_one(graph, None, ("n_nodes", "n_edges"), "reduce")
    panels: list[Any] = []
    if not too_large(int(first["n_nodes"]), int(first["n_edges"])) and int(first["n_nodes"]) > 0:
        panels.append(plot_graph(graph))
    panels += [plot_extrapolation(beyond), plot_trajectories(training)]
    if "loss_curve" in one.variables and np.isfinite(one["loss_curve"].values).any():
        panels.append(plot_loss(one.assign_attrs(whole.attrs)))
    if len(panels) < 4:
        panels.append(plot_weights(one, sort="cluster"))
    rows = -(-len(panels) // 2)
    hv = holoviews()
    for panel in panels:
        own = hv.Store.lookup_options("matplotlib", panel, "plot").kwargs
        panel.opts(hooks=[*own.get("hooks", []), _sized(rows)], backend="matplotlib")
    name = str(one["name"].values) if "name" in one.variables else f"network {network}"
    named = str(one["solution_name"].values) if "solution_name" in one.variables else ""
    title = f"{name}, {int(one['hidden_size'])} units" + (
        f", {named.replace('_', ' ')}" if named else ""
    )
    layout = hv.Layout(panels).cols(2)
    layout.opts(title=title, shared_axes=False, backend="bokeh")
    return layout.opts(
        title=title,
        fontsize={"title": 9},
        fig_inches=(PAGE, _HIGH * rows),
        sublabel_format="",
        shared_axes=False,
        backend="matplotlib",
    )


def _groups(population: Any) -> dict[str, xr.Dataset]:
    """The groups of a population by name."""
    import xarray as xr

    if isinstance(population, xr.Dataset):
        return {"population": population}
    if isinstance(population, xr.DataTree):
        if "weight_hh" not in population.to_dataset().variables:
            raise SolspaceError(
                "the tree is not of one population; give one of its nodes, such as "
                "tree['interval_reproduction/vanilla']"
            )
        return {"population": population.to_dataset()} | {
            str(name): child.to_dataset() for name, child in population.children.items()
        }
    return dict(population)


def _alone(ds: xr.Dataset, network: int | str | None) -> xr.Dataset:
    """One network of a dataset, with the dim ``network``."""
    from solspace.plots.style import pick

    i = 0 if network is None else pick(ds, network, (), "train")
    return ds.isel(network=[i]).load()


def _found(
    groups: Mapping[str, xr.Dataset], name: str, network: int | str | None, needs: str
) -> xr.Dataset | None:
    """This network's part of a group; None where it is not there."""
    if name not in groups or needs not in groups[name].variables:
        return None
    found = _alone(groups[name], network)
    values = found[needs].values
    there = np.isfinite(values).any() if values.dtype.kind == "f" else (values >= 0).any()
    return found if there else None


def _sized(rows: int) -> Any:
    """HoloViews makes rows as high as they are wide; these have the height their panels need."""

    def hook(plot: Any, element: Any) -> None:
        plot.handles["axis"].figure.set_size_inches(PAGE, _HIGH * rows)

    return hook
