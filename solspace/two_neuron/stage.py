"""Train populations of two-neuron networks and take their dynamics apart: Dataset to Dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.labels.names import solution_name
from solspace.labels.stage import solutions
from solspace.population.describe import architecture_of
from solspace.population.ranking import rank_solutions
from solspace.population.trained import DIMS, PARAMETER_DIMS, TRAINED
from solspace.population.variables import (
    DONE,
    FAILED,
    PENDING,
    SOLUTION,
    SOLUTION_DESCRIPTION,
    Variable,
    annotate,
    check,
    text_array,
)
from solspace.stages import Layout, stage
from solspace.tasks import get_task
from solspace.two_neuron import flags

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = [
    "faults_of",
    "planar_coordinates",
    "planar_population",
    "read_planar",
    "reduce_planar",
    "representatives",
    "train_planar",
    "weights_of",
]

# Networks between two looks at whether to stop; results do not depend on it.
_CHUNK = 256


def _flags(names: tuple[str, ...]) -> dict[str, Any]:
    return {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}


def _planar(name: str, dims: str, dtype: str, meaning: str, **more: Any) -> Variable:
    return Variable(name, tuple(dims.split()), dtype, meaning, architectures=("planar",), **more)


PLANAR_TRAINED = tuple(v for v in (*DIMS, *TRAINED) if "channel" not in "".join(v.dims))
INDEX = {
    dim: _planar(dim, dim, "int64", f"index of the {dim.replace('_', ' ')}", coordinate=True)
    for dim in ("fixed_point", "limit_cycle")
}
OBJECTS = (
    *(
        _planar(
            f"n_{dim}s", "network", "int8", f"number of {dim.replace('_', ' ')}s; -1 not computed"
        )
        for dim in INDEX
    ),
    _planar(
        "fixed_point_state",
        "network fixed_point unit",
        "float32",
        "state of the fixed point; the origin is the first; NaN past the count",
    ),
    _planar(
        "fixed_point_kind",
        "network fixed_point",
        "int8",
        "kind of the fixed point, by its eigenvalues; -1 past the count",
        attrs=_flags(flags.FIXED_POINTS),
    ),
    _planar(
        "limit_cycle_state",
        "network limit_cycle unit",
        "float32",
        "the state of the limit cycle where x1 is largest; NaN past the count",
    ),
    _planar(
        "limit_cycle_period",
        "network limit_cycle",
        "float32",
        "period of the limit cycle; NaN past the count",
        units="time constants",
    ),
    _planar(
        "limit_cycle_kind",
        "network limit_cycle",
        "int8",
        "stability of the limit cycle; -1 past the count",
        attrs=_flags(flags.LIMIT_CYCLES),
    ),
    _planar(
        "origin",
        "network",
        "int8",
        "dynamics at the origin, by the eigenvalues of W - 1; -1 not computed",
        attrs=_flags(flags.ORIGINS),
    ),
    _planar(
        "ending",
        "network",
        "int8",
        "where the trajectory from (1, 0) ends; -1 not computed",
        attrs=_flags(flags.ENDINGS),
    ),
    _planar(
        "ending_distance",
        "network",
        "float32",
        "distance from the target to the point or cycle where the trajectory ends",
    ),
)


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """Places of fixed points and limit cycles."""
    import xarray as xr

    most = {"fixed_point": flags.MAX_FIXED_POINTS, "limit_cycle": flags.MAX_LIMIT_CYCLES}
    return {"population": Layout(xr.Dataset(coords={d: np.arange(n) for d, n in most.items()}))}


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what the values of a planar population are at odds with themselves, a sentence each."""
    ds = parts["population"]
    status = {name: ds[f"status_{name}"].values for name in ("train", "reduce")}
    names = ds["name"].values
    known = (PENDING, DONE, FAILED)
    for name, values in status.items():
        for i in np.flatnonzero(~np.isin(values, known)):
            yield f"network {names[i]}: status_{name} is {values[i]}, allowed are 0, 1, 2"
    done = status["train"] == DONE
    for name in ("weight_hh", "loss"):
        finite = np.isfinite(ds[name].values).reshape(len(names), -1).all(axis=1)
        for i in np.flatnonzero(done & ~finite):
            yield f"network {names[i]}: called trained, but {name} is not finite"
    done = status["reduce"] == DONE
    for i in np.flatnonzero(done & (ds["solution_key"].values == "")):
        yield f"network {names[i]}: reduce called done, but solution_key is empty"
    if not done.any():  # what reduce fills may not be there yet
        return
    for dim in ("fixed_point", "limit_cycle"):
        counts = ds[f"n_{dim}s"].values
        there = np.isfinite(ds[f"{dim}_state"].values).all(axis=-1).sum(axis=1)
        kinds = (ds[f"{dim}_kind"].values >= 0).sum(axis=1)
        for i in np.flatnonzero(done & ((there != counts) | (kinds != counts))):
            yield f"network {names[i]}: n_{dim}s is {counts[i]}, but {there[i]} are stored"
    for i in np.flatnonzero(done & ((ds["ending"].values < 0) | (ds["origin"].values < 0))):
        yield f"network {names[i]}: reduce called done, but ending or origin is -1"


def weights_of(ds: xr.Dataset, *, initial: bool = False) -> NDArray[np.float64]:
    """Connectivity of a planar population, (network, 2, 2).

    Raises
    ------
    SolspaceError
        Where the dataset is another kind of population.

    Examples
    --------
    >>> weights_of(planar_population(np.eye(2))).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    """
    found = architecture_of(ds, required=False)
    if found != "planar":
        raise SolspaceError(
            f"the dataset is of architecture {found!r}; give a planar "
            "population, such as solspace.new_population('two_neuron', 'planar', networks=8)"
        )
    name = "initial_weight_hh" if initial else "weight_hh"
    check(ds, "population", [], required=[name])
    return np.asarray(ds[name].values[:, 0], dtype=np.float64)


def planar_population(
    weights: ArrayLike,
    *,
    initial: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    task: str | Task = "two_neuron",
) -> xr.Dataset:
    """A population from weights trained elsewhere, as `solspace.add_population` takes it.

    Parameters
    ----------
    weights : array (network, 2, 2)
        Row i is what neuron i receives. Kept in float32, like all weights.
    initial : array, optional
        The same before training.
    names : sequence of str, optional
    task : str or Task

    Returns
    -------
    Dataset
        With ``weight_hh``, ``loss``, and ``status_train`` 1.

    Raises
    ------
    SolspaceError
        For weights of another shape, or not finite.

    Examples
    --------
    >>> planar_population([[[1.07, 0.48], [-0.66, 1.31]]]).loss.item() < 1e-3
    True
    """
    from solspace.population import new_population
    from solspace.two_neuron.dynamics import as_weights, loss_of

    after = as_weights(weights).astype(np.float32)
    n = len(after)
    before = np.full_like(after, np.nan)
    if initial is not None:
        before = as_weights(initial).astype(np.float32)
        if before.shape != after.shape:
            raise SolspaceError(
                f"{len(before)} networks before training, {n} after; give the same ones"
            )
    ds = new_population(task, "planar", networks=n)
    ds = ds.assign_coords(seed=("network", np.full(n, -1, np.int64)))
    if names is not None:
        ds = ds.assign_coords(name=("network", text_array(list(names))))
    ds = ds.assign(
        _packed(after, before)
        | {
            "loss": ("network", loss_of(after)),
            "gradient_steps": ("network", np.full(n, -1, np.int64)),
            "attempts": ("network", np.full(n, -1, np.int64)),
        }
        | _ended("train", np.full(n, DONE, np.uint8), np.full(n, ""))
    )
    del ds.attrs["seed"], ds.attrs["recipe"]
    ds.attrs["origin"] = "imported"
    return annotate(ds, PLANAR_TRAINED)


def planar_coordinates(task: Task, architecture: str) -> dict[str, NDArray[Any]]:
    """The one gate, and the places of fixed points and limit cycles."""
    return {
        "gate": text_array(["h"]),
        "fixed_point": np.arange(flags.MAX_FIXED_POINTS),
        "limit_cycle": np.arange(flags.MAX_LIMIT_CYCLES),
    }


def read_planar(
    task: str | Task, architecture: str, paths: Sequence[str | os.PathLike[str]]
) -> xr.Dataset:
    """A population from files of NumPy arrays, ``.npy`` or ``.npz`` with one array ``W``.

    Raises
    ------
    SolspaceError
        Where a file cannot be read or holds something else; it is named.
    """
    from solspace.population import warn_of_losses
    from solspace.two_neuron.dynamics import as_weights

    if architecture not in get_task(task).recipes:
        raise SolspaceError(f"task {get_task(task).name!r} is not for {architecture} networks")
    found, names = [], []
    for path in [os.fspath(path) for path in paths]:
        try:
            loaded = np.load(path, allow_pickle=False)
        except (OSError, ValueError):
            raise SolspaceError(
                f"{path}: no file of NumPy arrays; give a .npy, or a .npz with "
                "an array W, of shape (network, 2, 2)"
            ) from None
        if isinstance(loaded, np.lib.npyio.NpzFile):
            if "W" not in loaded.files:
                raise SolspaceError(
                    f"{path}: has no array 'W', only {', '.join(loaded.files) or 'none'}"
                )
            loaded = loaded["W"]
        try:
            found.append(as_weights(loaded))
        except SolspaceError as error:
            raise SolspaceError(f"{path}: {error}") from None
        stem = os.path.splitext(os.path.basename(path))[0]
        names += [f"{stem}_{i:05d}" for i in range(len(found[-1]))]
    ds = planar_population(np.concatenate(found), names=names, task=task)
    warn_of_losses(ds, task)
    return ds


@stage(
    name="train",
    kind="planar",
    reads=["population"],
    fills=PLANAR_TRAINED,
    after=[],
    faults=faults_of,
    by_default=True,
)
def train_planar(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> xr.Dataset:
    """Train every network of a planar population; see `solspace.train`.

    A network is the same whatever others are trained beside it.

    Examples
    --------
    >>> from solspace import new_population
    >>> ds = train_planar(new_population("two_neuron", "planar", networks=20))
    >>> bool((ds.loss < 1e-4).mean() > 0.5)
    True
    """
    from solspace.population import recipe_of, warn_of_failures
    from solspace.two_neuron.training import descend, initial_weights

    recipe = recipe_of(ds)
    n = ds.sizes["network"]
    before = np.array([initial_weights(int(seed)) for seed in ds["seed"].values])
    after = np.empty_like(before)
    loss, steps = np.empty(n), np.empty(n, np.int64)
    for first in range(0, n, _CHUNK):
        if stop is not None and stop():
            raise KeyboardInterrupt("training was stopped")
        part = slice(first, min(first + _CHUNK, n))
        after[part], loss[part], steps[part] = descend(
            before[part],
            learning_rate=recipe.learning_rate,
            target_loss=recipe.target_loss,
            max_steps=recipe.max_steps,
            beta1=recipe.beta1,
            beta2=recipe.beta2,
        )
        if progress:
            progress(part.stop - part.start)
    trained = loss < recipe.target_loss
    why = [
        "" if ok else f"loss {x:.2g} after {k} steps, wanted {recipe.target_loss:.2g}"
        for ok, x, k in zip(trained, loss, steps, strict=True)
    ]
    status = np.where(trained, DONE, FAILED).astype(np.uint8)
    ds = ds.assign(
        _packed(after, before)
        | {
            "loss": ("network", loss),
            "gradient_steps": ("network", steps),
            "attempts": ("network", np.ones(n, np.int64)),
        }
        | _ended("train", status, text_array(why))
    )
    warn_of_failures(ds, "train")
    return ds


@stage(
    name="reduce",
    kind="planar",
    reads=["population"],
    fills=[
        *SOLUTION,
        SOLUTION_DESCRIPTION,
        *INDEX.values(),
        *OBJECTS,
    ],
    after=["train"],
    layout=layout,
    finish={"population/solution": (solutions, ("solution_key",))},
    notes=lambda task, options, attrs: {"solution_method": "dynamical_objects"},
    by_default=True,
)
def reduce_planar(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Find the fixed points, limit cycles and endings of a planar population.

    Every network with finite weights is taken apart, also one whose loss stayed high: its
    dynamics are what they are, and ``status_train`` says whether it solves the task.

    Examples
    --------
    >>> ds = reduce_planar(planar_population([[[2.0, 0.0], [0.0, 0.5]]]))
    >>> ds.n_fixed_points.item(), ds.n_limit_cycles.item(), ds.solution_key.item()
    (3, 0, 'point_elsewhere: 2 stable, 1 saddle')
    """
    from solspace.population import each_network, warn_of_failures
    from solspace.two_neuron.objects import dynamical_objects

    weights = weights_of(ds)
    n = len(weights)
    sizes = {
        "network": n,
        "unit": 2,
        "fixed_point": flags.MAX_FIXED_POINTS,
        "limit_cycle": flags.MAX_LIMIT_CYCLES,
    }
    declared = {
        v.name: v for v in (*OBJECTS, *SOLUTION, SOLUTION_DESCRIPTION) if v.name not in INDEX
    }
    arrays = {
        name: np.full([sizes[d] for d in v.dims], v.fill, object if v.text else v.dtype)
        for name, v in declared.items()
    }

    def compute(i: int) -> None:
        found = dynamical_objects(weights[i])
        points, cycles = len(found.fixed_points), len(found.limit_cycles)
        if points > flags.MAX_FIXED_POINTS or cycles > flags.MAX_LIMIT_CYCLES:
            raise SolspaceError(
                f"{points} fixed points and {cycles} limit cycles; the bounds of the store are "
                f"{flags.MAX_FIXED_POINTS} and {flags.MAX_LIMIT_CYCLES}"
            )
        arrays["n_fixed_points"][i], arrays["n_limit_cycles"][i] = points, cycles
        for j, point in enumerate(found.fixed_points):
            arrays["fixed_point_state"][i, j] = point.state
            arrays["fixed_point_kind"][i, j] = flags.FIXED_POINTS.index(point.kind)
        for j, cycle in enumerate(found.limit_cycles):
            arrays["limit_cycle_state"][i, j] = cycle.state
            arrays["limit_cycle_period"][i, j] = cycle.period
            arrays["limit_cycle_kind"][i, j] = flags.LIMIT_CYCLES.index(cycle.kind)
        arrays["origin"][i] = flags.ORIGINS.index(found.origin)
        arrays["ending"][i] = flags.ENDINGS.index(found.ending)
        arrays["ending_distance"][i] = found.ending_distance
        arrays["solution_key"][i] = found.key
        arrays["solution_description"][i] = found.description
        arrays["solution_name"][i] = solution_name(found.key)

    ended = each_network(ds, "reduce", compute, progress=progress)
    arrays["solution"] = rank_solutions(arrays["solution_key"])
    own = {name: (declared[name].dims, values) for name, values in arrays.items()}
    out = ds.assign({name: value for name, value in own.items() if not declared[name].coordinate})
    out = out.assign_coords({name: v for name, v in own.items() if declared[name].coordinate})
    out = out.assign(ended)
    out.attrs["solution_method"] = "dynamical_objects"
    warn_of_failures(out, "reduce")
    return out


def representatives(
    ds: xr.Dataset,
    *,
    endings: Sequence[str] = ("point_near_target", "cycle_through_target", "decay_to_origin"),
    target_loss: float = 1e-4,
) -> xr.Dataset:
    """One network of each kind: that whose weights are closest to the mean of its kind.

    Parameters
    ----------
    ds : Dataset
        A planar population after `reduce`.
    endings : sequence of str
        Of `solspace.two_neuron.flags.ENDINGS`.
    target_loss : float
        Networks whose loss is not below are left out.

    Returns
    -------
    Dataset
        One network for each ending, in their order.

    Raises
    ------
    SolspaceError
        Where no network that learned the task has one of the endings.

    Examples
    --------
    >>> ds = reduce_planar(planar_population([[[1.066, 0.482], [-0.659, 1.314]]]))
    >>> representatives(ds, endings=["cycle_through_target"], target_loss=1e-3).network.values
    array([0])
    """
    check(ds, "population", [], required=["weight_hh", "loss", "ending"])
    weights = weights_of(ds).reshape(-1, 4)
    chosen = []
    for name in endings:
        if name not in flags.ENDINGS:
            raise SolspaceError(f"unknown ending {name!r}; endings: {', '.join(flags.ENDINGS)}")
        of_it = (ds["ending"].values == flags.ENDINGS.index(name)) & (
            ds["loss"].values < target_loss
        )
        there = np.flatnonzero(of_it)
        if not len(there):
            raise SolspaceError(
                f"no network under a loss of {target_loss:g} has the ending {name}; give a larger "
                "population, or other endings"
            )
        apart = np.linalg.norm(weights[there] - weights[there].mean(axis=0), axis=1)
        chosen.append(int(there[apart.argmin()]))
    return ds.isel(network=chosen)


def _packed(after: NDArray[np.float32], before: NDArray[np.float32]) -> dict[str, Any]:
    dims = ("network", *PARAMETER_DIMS["weight_hh"])
    return {"weight_hh": (dims, after[:, None]), "initial_weight_hh": (dims, before[:, None])}


def _ended(stage: str, status: NDArray[Any], messages: NDArray[Any]) -> dict[str, Any]:
    return {f"status_{stage}": ("network", status), f"message_{stage}": ("network", messages)}
