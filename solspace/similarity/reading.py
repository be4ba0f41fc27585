"""Networks to compare, from arrays or datasets: one at a time, without padding."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.similarity.measures import Measure

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike

__all__ = ["Compared", "Networks", "common_samples", "read_networks", "samples_there"]

Array = NDArray[np.float64]
Compared: TypeAlias = (
    "xr.Dataset | xr.DataArray | Mapping[Any, Any] | Sequence[ArrayLike] | NDArray[Any]"
)

ACTIVITY = "(trial, time, unit) or (condition, unit)"


@dataclass
class Networks:
    """Networks of one dataset or list.

    Attributes
    ----------
    labels : list
        What each is called.
    shape : tuple of int
        Trials and time steps, or conditions, of all; empty for weights.
    coords : dict
        Coordinates along ``network``.
    trials : dict of str to array
        What tells the trials: parameters, the input.
    task : str
        Empty where it is not said.
    excluded : list of int
        Networks without any activity or weights.
    """

    labels: list[Any]
    shape: tuple[int, ...]
    source: Any
    coords: dict[str, Any] = field(default_factory=dict)
    trials: dict[str, NDArray[Any]] = field(default_factory=dict)
    inputs: Array | None = None
    task: str = ""
    excluded: list[int] = field(default_factory=list)
    missing: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def load(self, start: int, stop: int, **how: Any) -> list[Any]:
        """Networks from start to stop; arrays (..., unit) without padding, or weights.

        ``how`` tells lazy arrays how to compute, such as ``scheduler="synchronous"`` in a worker.
        """
        return list(self.source.load(start, stop, **how))


@dataclass
class _Activity:
    """Activity of a DataArray (network, ..., unit), loaded some networks at a time."""

    array: xr.DataArray
    sizes: NDArray[np.int64] | None

    def load(self, start: int, stop: int, **how: Any) -> list[Any]:
        values = np.asarray(self.array.isel(network=slice(start, stop)).compute(**how).values)
        out = []
        for i, x in enumerate(values, start):
            if self.sizes is not None:
                out.append(x[..., : self.sizes[i]])
            else:
                out.append(x[..., ~np.isnan(x).all(axis=tuple(range(x.ndim - 1)))])
        return out


@dataclass
class _Weights:
    """Weights of a population, without padding."""

    ds: xr.Dataset

    def load(self, start: int, stop: int, **how: Any) -> list[Any]:
        from solspace.population.describe import architecture_of
        from solspace.population.weights import network_weights

        names = [n for n in self.ds.data_vars if str(n).startswith(("weight", "bias"))]
        some = self.ds[[*names, *(n for n in _given(self.ds) if n not in names)]]
        some = some.isel(network=slice(start, stop)).load(**how)
        gru = architecture_of(self.ds, required=False).startswith("gru")
        return [_by_unit(network_weights(some, i), gru) for i in range(stop - start)]


@dataclass
class _Items:
    """Networks that are in memory, one by one."""

    items: Sequence[Any]

    def load(self, start: int, stop: int, **how: Any) -> list[Any]:
        return list(self.items[start:stop])


def _by_unit(found: dict[str, NDArray[Any]], gru: bool) -> dict[str, NDArray[Any]]:
    """A network's parameters as `prepare_weights` takes them."""
    known = ("weight_hh", "weight_ih", "weight_out", "bias_out")
    out = {name: found.pop(name) for name in known}
    biases = np.stack([found.pop("bias_ih"), found.pop("bias_hh")], axis=-1)
    # Only their sum counts, but in a GRU's new state, where the reset gate comes between.
    summed = len(biases) - 1 if gru else len(biases)
    biases[:summed, :, 0] += biases[:summed, :, 1]
    biases[:summed, :, 1] = 0.0
    out["bias"] = biases
    n = out["weight_hh"].shape[-1]
    # Further ones of an architecture: time constants, start states.
    of_unit = [v.reshape(n, -1) for v in found.values() if v.shape[:1] == (n,)]
    if of_unit:
        out["of_unit"] = np.hstack(of_unit)
    rest = [v.ravel() for v in found.values() if v.shape[:1] != (n,)]
    out["bias_out"] = np.concatenate([out["bias_out"].ravel(), *rest])
    return out


def _given(ds: xr.Dataset) -> list[str]:
    return [str(n) for n, v in ds.variables.items() if v.dims[:1] == ("network",)]


def read_networks(data: Compared, measure: Measure, inputs: ArrayLike | None = None) -> Networks:
    """Networks of a dataset, a mapping of names to arrays, or a list of arrays.

    Raises
    ------
    SolspaceError
        Where there are none, or arrays do not fit each other or the measure.
    """
    import xarray as xr

    if isinstance(data, xr.Dataset):
        found = _of_dataset(data, measure)
    elif isinstance(data, xr.DataArray):
        if measure.of == "weights":
            raise SolspaceError("'weights' compares weights; give a population with weight_hh")
        found = _of_array(data, None)
    else:
        found = _of_list(data, measure)
    if not len(found):
        raise SolspaceError("no networks to compare; give at least one")
    if inputs is not None:
        found.inputs = np.asarray(inputs, np.float64)
    return found


def _of_dataset(ds: xr.Dataset, measure: Measure) -> Networks:
    from solspace.population.describe import named_of

    if measure.of == "weights":
        if "weight_hh" not in ds.variables or "network" not in ds.dims:
            raise SolspaceError(
                "the dataset has no weight_hh (network, ...); give a population of networks, such "
                "as solspace.open_population(STORE, GROUP)"
            )
        out = Networks(list(ds["network"].values), (), _Weights(ds), _coords(ds))
        bad = np.isnan(ds["weight_hh"].isel(gate=0, unit=0, presynaptic_unit=0).values)
        out.excluded = np.flatnonzero(bad).tolist()
    else:
        if "activity" not in ds.variables:
            raise SolspaceError(
                "the dataset has no activity; give what solspace.record(ds) returns, or a recording"
            )
        out = _of_array(ds["activity"], ds)
    out.task = named_of(ds, "task") or ""
    return out


def _coords(ds: Any) -> dict[str, Any]:
    return {
        str(n): c.variable.load()
        for n, c in ds.coords.items()
        if c.dims == ("network",) and n != "network"
    }


def _of_array(array: xr.DataArray, ds: xr.Dataset | None) -> Networks:
    if "unit" not in array.dims:
        raise SolspaceError(
            f"activity of dims {array.dims}; give (network, trial, time, unit) or (network, "
            "condition, unit)"
        )
    if "network" not in array.dims:
        array = array.expand_dims("network")
    known = [d for d in ("trial", "time") if d in array.dims]
    order = [d for d in array.dims if d not in (*known, "network", "unit")] + known
    if len(order) not in (1, 2):
        raise SolspaceError(
            f"activity of dims {array.dims}; give (network, trial, time, unit) or (network, "
            "condition, unit)"
        )
    array = array.transpose("network", *order, "unit")
    labels = (
        array["network"].values if "network" in array.coords else np.arange(array.sizes["network"])
    )
    sizes = None
    if "hidden_size" in array.coords and array["hidden_size"].dims in ((), ("network",)):
        given = np.broadcast_to(array["hidden_size"].values, (array.sizes["network"],))
        # A recording says 0 or nothing where it is told by the units themselves.
        if (given > 0).all():
            sizes = given.astype(np.int64)
    out = Networks(
        list(labels),
        tuple(array.sizes[d] for d in order),
        _Activity(array.reset_coords(drop=True), sizes),
        _coords(array),
    )
    for name, coordinate in array.coords.items():
        told = "trial" in coordinate.dims and coordinate.dtype.kind in "iuf"
        # When something happened differs between sessions of the same trials.
        if not told or name == "trial" or str(name).endswith("_time"):
            continue
        if coordinate.dims == ("trial",):
            out.trials[str(name)] = coordinate.values
        elif set(coordinate.dims) == {"network", "trial"}:
            rows = coordinate.transpose("network", "trial").values
            if any(not _alike(row, rows[0]) for row in rows):
                raise SolspaceError(_differ(str(name)))
            out.trials[str(name)] = rows[0]
    if ds is not None and "input" in ds.variables and "network" not in ds["input"].dims:
        out.inputs = np.asarray(
            ds["input"].transpose("trial", "time", "input_channel").values, np.float64
        )
        out.trials["input"] = out.inputs
    return out


def _of_list(data: Any, measure: Measure) -> Networks:
    if isinstance(data, Mapping):
        if measure.of == "weights" and "weight_hh" in data:
            raise SolspaceError("give networks as a list of such mappings, or by name")
        labels, items = list(data), list(data.values())
    elif isinstance(data, np.ndarray) and data.ndim != 4:
        raise SolspaceError(
            f"an array of shape {data.shape}; give a list of one array a network, {ACTIVITY}"
        )
    else:
        items = list(data)
        labels = list(range(len(items)))
    if measure.of == "weights":
        if not all(isinstance(item, Mapping) for item in items):
            raise SolspaceError("'weights' compares mappings with weight_hh; give one a network")
        return Networks(labels, (), _Items(items))
    arrays: list[Array] = []
    for label, item in zip(labels, items, strict=True):
        try:
            x = np.asarray(item, np.float64)
        except (TypeError, ValueError):
            raise SolspaceError(
                f"network {label!r} is no array of numbers; give {ACTIVITY}"
            ) from None
        if x.ndim not in (2, 3) or not x.size:
            raise SolspaceError(f"network {label!r} is of shape {x.shape}; give {ACTIVITY}")
        if arrays and x.shape[:-1] != arrays[0].shape[:-1]:
            raise SolspaceError(
                f"networks {labels[0]!r} and {label!r} have activity of shapes {arrays[0].shape} "
                f"and {x.shape}; record both on the same trials"
            )
        arrays.append(x[..., ~np.isnan(x).all(axis=tuple(range(x.ndim - 1)))])
    return Networks(labels, arrays[0].shape[:-1] if arrays else (), _Items(arrays))


def check_same_trials(one: Networks, other: Networks) -> None:
    """Refuse networks that did other trials.

    Raises
    ------
    SolspaceError
        For other tasks, numbers of trials or steps, trial parameters or inputs.
    """
    if one.task and other.task and one.task != other.task and "none" not in (one.task, other.task):
        raise SolspaceError(
            f"networks of {one.task!r} and of {other.task!r} do other trials; compare networks of "
            "one task"
        )
    if one.shape != other.shape:
        raise SolspaceError(
            f"activity on {_told(one.shape)} and on {_told(other.shape)}; record both on the same "
            "trials, such as solspace.record(ds), or select with ds.sel(...)"
        )
    for name in one.trials.keys() & other.trials.keys():
        if not _alike(one.trials[name], other.trials[name]):
            raise SolspaceError(_differ(name))


def _alike(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True))


def _differ(name: str) -> str:
    return (
        f"trials differ in {name!r} between networks; select and order them alike, such as "
        f"ds.sortby('t_in'), or leave out what does not tell trials: ds.drop_vars({name!r})"
    )


def _told(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return f"{shape[0]} trials of {shape[1]} steps"
    return f"{' x '.join(map(str, shape))} conditions"


def samples_there(group: Networks, start: int, stop: int) -> tuple[list[int], NDArray[np.bool_]]:
    """Networks from start to stop without any activity, and the samples all others have."""
    kept, without = np.ones(group.shape, bool), []
    for i, x in enumerate(group.load(start, stop, scheduler="synchronous"), start):
        finite = np.isfinite(x)
        if not x.shape[-1] or not finite.any():
            without.append(i)
        elif not finite.all():
            kept &= finite.all(axis=-1)
    return without, kept


def common_samples(
    groups: Sequence[Networks],
    looked: Iterable[tuple[tuple[int, int, int], tuple[list[int], NDArray[np.bool_]]]],
) -> NDArray[np.bool_] | None:
    """Which samples all networks have, (trial, time) or (condition,); None where all have all.

    Networks without any activity are noted as excluded. ``looked`` has what `samples_there` found
    of blocks (group, start, stop).
    """
    kept = np.ones(groups[0].shape, bool)
    for (g, _, _), (without, there) in looked:
        groups[g].excluded += without
        kept &= there
    for group in groups:
        group.excluded.sort()
    return None if kept.all() else kept


def warn_excluded(groups: Sequence[Networks]) -> None:
    """Say which networks have nothing to compare."""
    names = [str(group.labels[i]) for group in groups for i in group.excluded]
    if names:
        told = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        warnings.warn(
            f"{len(names)} networks without activity or weights are left NaN: {told}",
            stacklevel=3,
        )
