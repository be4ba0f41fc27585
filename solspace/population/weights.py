"""Parameters of the networks of a population: taken out without padding, put in with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.networks import (
    PARAMETERS,
    START,
    get_architecture,
    parameter_names,
    parameter_shapes,
    start_names,
)
from solspace.population.describe import architecture_of
from solspace.population.trained import CHECKPOINT_PREFIX, PARAMETER_DIMS

__all__ = [
    "given_parameters",
    "network_weights",
    "pack_starts",
    "pack_weights",
    "put",
    "stacked_weights",
]

Weights = Mapping[str, NDArray[Any]]


def given_parameters(ds: xr.Dataset, index: int) -> dict[str, NDArray[np.float64]]:
    """What one network has beyond weights and biases and is not trained, without padding.

    Examples
    --------
    >>> from solspace import new_population
    >>> ds = new_population("interval_reproduction", "leaky", networks=2, alpha=[0.1, 0.2])
    >>> given_parameters(ds, 1)["alpha"].item()
    0.2
    """
    record = get_architecture(architecture_of(ds))
    return {p.name: _one(ds, p.name, {"network": index}) for p in record.given}


def _one(ds: xr.Dataset, name: str, at: Mapping[str, int]) -> NDArray[Any]:
    """A variable of one network, without padding."""
    if name not in ds.variables:
        raise SolspaceError(
            f"the dataset has no {name!r}; give a population of "
            f"{architecture_of(ds, required=False)} networks with all their parameters"
        )
    # Variables without their coordinates: to index those of each array of each network would take
    # longer than many an analysis of it.
    n = int(ds.variables["hidden_size"].values[at["network"]])
    variable = ds.variables[name]
    crop: dict[str, Any] = {d: slice(n) for d in ("unit", "presynaptic_unit") if d in variable.dims}
    return np.asarray(variable.isel({d: k for d, k in at.items() if d in variable.dims} | crop))


def network_weights(
    ds: xr.Dataset, index: int, *, initial: bool = False, checkpoint: int | None = None
) -> dict[str, NDArray]:
    """One network's parameters without padding, by position along ``network``.

    Those before training where ``initial``, or those at a checkpoint where one is given. A network
    that starts from a learned state has that too (``start_activity``).

    Examples
    --------
    >>> weights = {"weight_ih": np.ones((1, 3, 2)), "weight_hh": np.ones((1, 3, 3)),
    ...            "bias_ih": np.ones((1, 3)), "bias_hh": np.ones((1, 3)),
    ...            "weight_out": np.ones((1, 3)), "bias_out": np.ones(1)}
    >>> from solspace import import_networks
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": weights})
    >>> network_weights(ds, 0)["weight_hh"].shape
    (1, 3, 3)
    """
    prefix = "initial_" if initial else ""
    at = {"network": index}
    if checkpoint is not None:
        prefix = CHECKPOINT_PREFIX
        at["checkpoint"] = checkpoint
    out = {name: _one(ds, prefix + name, at) for name in PARAMETERS}
    if architecture_of(ds, required=False):
        record = get_architecture(architecture_of(ds))
        out |= {p.name: _one(ds, prefix + p.name, at) for p in record.trained}
        out |= given_parameters(ds, index)
        starts = {} if initial else {n: _one(ds, n, at) for n in start_names(record, ds.variables)}
        # NaN throughout is of a population without, beside one with (`solspace.concat`).
        if any(np.nan_to_num(value).any() for value in starts.values()):
            out |= starts
    return out


def stacked_weights(ds: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """All networks' parameters with a leading network axis, zero past each network's size.

    Examples
    --------
    >>> from solspace import import_networks
    >>> both = {
    ...     str(n): {k: np.ones(s) for k, s in parameter_shapes("vanilla", n, 2, 1).items()}
    ...     for n in (3, 5)
    ... }
    >>> ds = import_networks("interval_reproduction", "vanilla", both)
    >>> stacked_weights(ds)["weight_hh"].sum(axis=(1, 2, 3))
    array([ 9., 25.])
    """
    architecture = architecture_of(ds)
    names = (*parameter_names(architecture), *start_names(architecture, ds.variables))
    return {name: np.nan_to_num(ds[name].values.astype(np.float64)) for name in names}


def put(array: NDArray[Any], i: int, values: NDArray[Any]) -> None:
    """One network's values at the start of each axis of its row."""
    at: tuple[Any, ...] = (i, *map(slice, np.shape(values)))
    array[at] = values


def pack_starts(
    networks: Sequence[Weights], ds: xr.Dataset
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64], dict[str, str]]]:
    """States that networks start from, as coordinates; nothing where all start from zero.

    Examples
    --------
    >>> from solspace import new_population
    >>> ds = new_population("interval_reproduction", "vanilla", networks=1, hidden_size=3)
    >>> pack_starts([{"start_activity": np.ones(3)}], ds)["start_activity"][1]
    array([[1., 1., 1.]])
    """
    record = get_architecture(architecture_of(ds))
    out: dict[str, tuple[tuple[str, ...], NDArray[np.float64], dict[str, str]]] = {}
    for part in record.state:
        name = START + part.name
        if not any(name in weights for weights in networks):
            continue
        array = np.full((len(networks), ds.sizes["unit"]), np.nan)
        for i, (weights, size) in enumerate(zip(networks, ds["hidden_size"].values, strict=True)):
            put(array, i, weights.get(name, np.zeros(size)))
        told = f"{part.meaning} before the first step, learned; NaN past hidden_size"
        out[name] = (("network", "unit"), array, {"long_name": told})
    return out


def pack_weights(
    networks: Sequence[Weights | None], ds: xr.Dataset, *, initial: bool = False
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float32]]]:
    """Parameters of many networks on one network axis, NaN past each network's size.

    Those that are given and not trained are coordinates of ``ds`` and not among them. None stands
    for a network without weights, which stays NaN.
    """
    shapes = parameter_shapes(
        architecture_of(ds), ds.sizes["unit"], ds.sizes["input_channel"], ds.sizes["output_channel"]
    )
    prefix = "initial_" if initial else ""
    record = get_architecture(architecture_of(ds))
    given = {p.name for p in record.given}
    dims = PARAMETER_DIMS | {p.name: p.dims for p in record.parameters}
    packed = {}
    for name, shape in shapes.items():
        if name in given:
            continue
        array = np.full((len(networks), *shape), np.nan, np.float32)
        for i, weights in enumerate(networks):
            if weights is not None:
                put(array, i, weights[name])
        packed[prefix + name] = (("network", *dims[name]), array)
    return packed
