"""Populations as a table with a row a network, and several populations as one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.population.describe import graph_method, label_of
from solspace.population.ranking import rank_solutions
from solspace.population.variables import GRAPH_LABELS, text_array

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["concat", "network_table"]

# What is one value for a population and one for each network of several.
_OF_ALL = ("task", "architecture")
_METHOD = "solution_method"
# What `concat` adds; a dataset that it made may be joined again.
_MADE = ("network_label", "population", "source_network")


def network_table(ds: xr.Dataset, *, features: bool | Sequence[str] = False) -> pd.DataFrame:
    """A table with a row a network: every variable that has one value for each.

    ``ds.to_dataframe()`` has a row for each network, unit, unit, channel and feature together:
    millions. Here weights, activity and whatever else has further dims stay out, and are not read.

    Parameters
    ----------
    ds : Dataset
        A population or another group with the dim ``network``, or what `concat` makes of several;
        also one that is lazily read.
    features : bool or sequence of str
        Add the features as columns: all of them, or these.

    Returns
    -------
    DataFrame
        As many rows as networks, indexed by ``network``. Columns are ``task``, ``architecture``,
        the other coordinates, the variables, and the features.

    Raises
    ------
    SolspaceError
        Where the dataset has no networks, no such features, or a feature has the name of a
        variable.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset(
    ...     {"loss": ("network", [1e-4, 2e-4]), "bias_out": (("network", "unit"), [[0.0], [0.1]])},
    ...     coords={"network": [0, 1], "name": ("network", ["a", "b"]), "task": "two_neuron"},
    ... )
    >>> print(network_table(ds))
                   task name    loss
    network
    0        two_neuron    a  0.0001
    1        two_neuron    b  0.0002
    """
    import pandas as pd

    _check_networks(ds, "network_table")
    n = ds.sizes["network"]
    names = [str(name) for name, v in ds.variables.items() if v.dims == ("network",)]
    names = [name for name in names if name != "network"]
    names.sort(key=lambda name: name not in ds.coords)
    columns: dict[str, Any] = {}
    for name in _OF_ALL:
        if name in ds.variables and not ds[name].dims:
            columns[name] = np.full(n, str(ds[name].item()))
    for name in (*(x for x in _OF_ALL if x in names), *(x for x in names if x not in _OF_ALL)):
        columns[name] = ds[name].values
    if features is not False:
        values = _features(ds, features)
        taken = [name for name in values if name in columns]
        if taken:
            raise SolspaceError(
                f"feature {taken[0]!r} has the name of a variable; give it another, such as with "
                "ds.assign_coords(feature=[...])"
            )
        columns |= values
    index = ds["network"].values if "network" in ds.coords else np.arange(n)
    return pd.DataFrame(columns, index=pd.Index(index, name="network"))


def _features(ds: xr.Dataset, wanted: bool | Sequence[str]) -> dict[str, Any]:
    if "features" not in ds.variables or "feature" not in ds.coords:
        raise SolspaceError(
            f"the dataset has no 'features'; {how_to_make('features')}, or leave out features="
        )
    here = [str(name) for name in ds["feature"].values]
    if isinstance(wanted, str):
        wanted = [wanted]
    names = here if isinstance(wanted, bool) else [str(name) for name in wanted]
    unknown = [name for name in names if name not in here]
    if unknown:
        raise SolspaceError(
            f"no feature {unknown[0]!r}; there are {', '.join(here[:8])}"
            + (f" and {len(here) - 8} more in ds.feature" if len(here) > 8 else "")
        )
    chosen = ds["features"].isel(feature=[here.index(name) for name in names])
    values = chosen.transpose("network", "feature").values
    return {name: values[:, i] for i, name in enumerate(names)}


def concat(populations: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join populations of one or several tasks and architectures along ``network``.

    Parameters
    ----------
    populations : sequence of Dataset
        The same group of each. What is lazily read on dask arrays stays so; nothing but labels is
        loaded.

    Returns
    -------
    Dataset
        With new coordinates along ``network``:

        - ``network``: 0, 1, 2, ..., unique;
        - ``network_label``: what tells the population, and the name, such as ``gru/20_i000``;
          unique;
        - ``population``: what tells the population, such as ``gru``, or ``1/gru`` where two have
          the same task and architecture;
        - ``source_network``: the network's index in its own population;
        - ``task``, ``architecture``: those of each network.

        ``solution`` is numbered anew from ``solution_key`` over all networks, most common first
        (0 was another solution in each population). Attributes that differ are dropped.

    Warns
    -----
    UserWarning
        Names the variables that are left out: those that not every population has, those over a
        dim that differs in size or labels, such as the gates of a GRU and of a vanilla network,
        and those that differ and have no networks.

    Raises
    ------
    SolspaceError
        Where there is no population, one has no networks or no names, or their solutions are of
        different methods, which do not compare.

    Examples
    --------
    >>> import xarray as xr
    >>> def one(architecture, keys):
    ...     names = [f"20_i{i:03d}" for i in range(len(keys))]
    ...     return xr.Dataset(coords={
    ...         "network": range(len(keys)), "name": ("network", names),
    ...         "task": "interval_reproduction", "architecture": architecture,
    ...         "solution": ("network", [0] * len(keys)), "solution_key": ("network", keys),
    ...     })
    >>> both = concat([one("vanilla", ["a"]), one("gru", ["b", "b"])])
    >>> both.network_label.values.tolist()
    ['vanilla/20_i000', 'gru/20_i000', 'gru/20_i001']
    >>> both.solution.values.tolist()
    [1, 0, 0]
    """
    import xarray as xr

    given = list(populations)
    if not given:
        raise SolspaceError("no populations to join; give one or more datasets")
    for ds in given:
        _check_networks(ds, "concat")
        if "name" not in ds.variables:
            raise SolspaceError(
                "a dataset to be joined has no coordinate 'name'; give its networks names, such "
                "as ds.assign_coords(name=('network', [...]))"
            )
    keyed = all("solution_key" in ds.variables for ds in given)
    if keyed:
        methods = sorted({_told_method(ds) for ds in given if _METHOD in ds.attrs})
        if len(methods) > 1:
            raise SolspaceError(
                f"the solutions are of different methods ({'; '.join(methods)}) and do not "
                "compare; label all by one (solspace.label), or join them without: "
                "ds.drop_vars(['solution', 'solution_key', 'solution_name'])"
            )
    left_out = _differing(given)
    graphs = sorted({graph_method(ds.attrs) for ds in given if _says_graphs(ds)})
    if len(graphs) > 1:
        of = [n for n in GRAPH_LABELS if any(n in ds.variables for ds in given)]
        left_out |= {name: f"of graphs of {' and '.join(graphs)}" for name in of}
    if not keyed and any("solution" in ds.variables for ds in given):
        left_out["solution"] = "0 is another solution in each population, and not all have a key"
    labelled = _labelled([ds.drop_vars(left_out, errors="ignore") for ds in given])
    out = xr.concat(
        labelled,
        "network",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="drop_conflicts",
    )
    if keyed and "solution" in out.variables:
        attrs = {**out["solution"].attrs, "long_name": "number of solution_key among these "
                 "networks, most common first; -1 not computed"}  # fmt: skip
        number = rank_solutions(out["solution_key"].values)
        out = out.assign_coords(solution=("network", number, attrs))
    out.attrs.pop("coordinates", None)
    if left_out:
        told = "; ".join(f"{name} ({why})" for name, why in sorted(left_out.items()))
        warnings.warn(f"left out of the joined populations: {told}", UserWarning, stacklevel=2)
    return out


def _says_graphs(ds: xr.Dataset) -> bool:
    """Whether it says by which method its graphs were made."""
    return "graph_method" in ds.attrs or " of " in str(ds.attrs.get(_METHOD, ""))


def _told_method(ds: xr.Dataset) -> str:
    """What solutions are told by: the label, and the graphs that it is of."""
    by = label_of(ds.attrs)
    return f"{by} of {graph_method(ds.attrs)} graphs" if by in GRAPH_LABELS else by


def _check_networks(ds: xr.Dataset, what: str) -> None:
    if not hasattr(ds, "data_vars"):
        raise SolspaceError(
            f"{what} was given a {type(ds).__name__}; give a dataset, such as "
            "xarray.open_zarr(STORE, group='TASK/ARCHITECTURE')"
        )
    if "network" not in ds.dims:
        dims = ", ".join(map(str, ds.dims)) or "none"
        raise SolspaceError(
            f"{what} is for datasets with the dim 'network'; this one's dims: {dims}"
        )


def _differing(given: Sequence[xr.Dataset]) -> dict[str, str]:
    """Variables that cannot be joined, and why."""
    names = dict.fromkeys(str(name) for ds in given for name in ds.variables)
    dims = dict.fromkeys(str(dim) for ds in given for dim in ds.dims if dim != "network")
    unlike = [dim for dim in dims if not _same_along([ds for ds in given if dim in ds.dims], dim)]
    out = {}
    for name in names:
        if name == "network" or name in (*_OF_ALL, *_MADE):
            continue
        having = [ds[name] for ds in given if name in ds.variables]
        over = {str(dim) for array in having for dim in array.dims}
        differ = [dim for dim in unlike if dim in over]
        if differ:
            out[name] = f"{differ[0]} differs"
        elif len(having) < len(given):
            out[name] = f"in {len(having)} of {len(given)}"
        elif len({array.dims for array in having}) > 1:
            out[name] = "dims differ"
        elif "network" not in over and not all(
            having[0].variable.equals(array.variable) for array in having[1:]
        ):
            out[name] = "differs"
    return out


def _same_along(having: Sequence[xr.Dataset], dim: str) -> bool:
    if len({ds.sizes[dim] for ds in having}) > 1:
        return False
    labels = [ds[dim].values.tolist() for ds in having if dim in ds.coords]
    return all(one == labels[0] for one in labels)


def _labelled(given: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """With indices and labels that are unique among all of them."""
    told = [
        {x: str(ds[x].item()) for x in _OF_ALL if x in ds.variables and not ds[x].dims}
        for ds in given
    ]
    parts = [x for x in _OF_ALL if len({one.get(x) for one in told}) > 1] or ["architecture"]
    names = ["/".join(one[x] for x in parts if x in one) for one in told]
    if len(set(names)) < len(names):
        names = [f"{i}/{name}" if name else str(i) for i, name in enumerate(names)]
    out, start, used = [], 0, set[str]()
    for ds, one, population in zip(given, told, names, strict=True):
        n = ds.sizes["network"]
        again = "network_label" in ds.coords
        label = [_path(population, x) for x in ds["network_label" if again else "name"].values]
        source = [_path(population, x) for x in (ds["population"].values if again else [""] * n)]
        used |= set(label)
        own = "source_network" if again else "network"
        index = ds[own].values if own in ds.coords else np.arange(n)
        coords: dict[str, Any] = {
            "network": np.arange(start, start + n),
            "network_label": ("network", text_array(label), {"long_name": "label, unique here"}),
            "population": ("network", text_array(source)),
            "source_network": ("network", index, {"long_name": "index in its own population"}),
        }
        coords |= {name: ("network", np.full(n, value)) for name, value in one.items()}
        out.append(ds.drop_vars(_MADE, errors="ignore").assign_coords(coords))
        start += n
    if len(used) < start:
        raise SolspaceError(
            "networks of one population have the same name; give them others with "
            "ds.assign_coords(name=('network', [...]))"
        )
    return out


def _path(*parts: object) -> str:
    return "/".join(str(part) for part in parts if str(part))
