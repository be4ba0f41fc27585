"""New populations: which networks there will be, and from which seeds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.kinds import kind_of, load
from solspace.networks import (
    check_given,
    check_options,
    get_architecture,
    recurrent_architecture,
)
from solspace.population.describe import architecture_of
from solspace.population.parameters import parameter_declarations
from solspace.population.trained import DIMS
from solspace.population.variables import BASE, annotate, text_array
from solspace.tasks import Recipe, Task, get_task

__all__ = ["cell_coordinates", "new_population", "population_coordinates"]


def new_population(
    task: str | Task,
    architecture: str,
    *,
    networks: int,
    hidden_size: int | Sequence[int] | None = None,
    seed: int = 0,
    recipe: Recipe | None = None,
    checkpoints: int = 0,
    **parameters: ArrayLike,
) -> xr.Dataset:
    """An untrained population: which networks there will be, and from which seeds.

    Parameters
    ----------
    task : str or Task
    architecture : str
        Such as ``vanilla``, ``gru``, ``leaky`` or ``planar``.
    networks : int
        How many.
    hidden_size : int or sequence of int, optional
        Sizes are dealt out in turn, so every size gets the same share; 50 by default. A planar
        network has 2 units.
    seed : int
        Each network gets a seed of its own from this one and its index; a network is the same
        however many others are trained with it.
    recipe : Recipe, optional
        The task's recipe for the architecture by default.
    checkpoints : int
        Keep each network's weights at so many losses on its way down, see
        `solspace.training.loss_levels`.
    **parameters : array_like
        What the architecture has beyond weights and biases and is not trained, such as ``alpha``
        of leaky networks: one for all networks, or with a first axis of their number. Its
        default by default.

    Returns
    -------
    Dataset
        Coordinates only, dims network, gate, unit, presynaptic_unit, input_channel, output_channel.

    Raises
    ------
    SolspaceError
        For an unknown task or architecture, no networks, a size under 1, or one checkpoint.

    Examples
    --------
    >>> ds = new_population("interval_reproduction", "vanilla", networks=4, hidden_size=[20, 30])
    >>> ds.name.values.tolist()
    ['20_i000', '30_i000', '20_i001', '30_i001']
    """
    task = get_task(task)
    record = get_architecture(architecture)
    if not record.trainable:
        raise SolspaceError(
            f"{architecture} networks are not trained here; train them elsewhere and import them: "
            "`solspace import`, solspace.import_networks"
        )
    recipe = recipe or task.recipe(architecture)
    if hidden_size is None:
        hidden_size = record.hidden_size
    sizes = [hidden_size] if isinstance(hidden_size, (int, np.integer)) else list(hidden_size)
    if networks < 1:
        raise SolspaceError(f"{networks} networks; give 1 or more")
    if not sizes or min(sizes) < 1:
        raise SolspaceError(f"hidden size {min(sizes, default='missing')}; give sizes of 1 or more")
    if not record.any_size and set(sizes) != {record.hidden_size}:
        raise SolspaceError(
            f"hidden size {sizes[0]}; a {architecture} network has {record.hidden_size} units, "
            "leave it out"
        )
    if not 0 <= seed < 2**53:
        raise SolspaceError(f"seed {seed}; give a whole number from 0 to 2**53 - 1")
    if checkpoints:
        check_checkpoints(checkpoints)
    if checkpoints and not record.checkpoints:
        raise SolspaceError(f"a {architecture} network keeps no checkpoints; leave them out")
    dealt = np.array([sizes[i % len(sizes)] for i in range(networks)], dtype=np.int64)
    seen: dict[int, int] = {}
    names = []
    for size in dealt.tolist():
        names.append(f"{size}_i{seen.get(size, 0):03d}")
        seen[size] = seen.get(size, 0) + 1
    seeds = np.array([_network_seed(seed, i) for i in range(networks)], dtype=np.int64)
    ds = population_coordinates(task, architecture, names=names, sizes=dealt, seeds=seeds)
    ds = annotate(ds.assign_coords(_given(ds, parameters)), parameter_declarations(architecture))
    ds.attrs |= {"seed": seed, "recipe": json.dumps(dataclasses.asdict(recipe))}
    if checkpoints:
        ds.attrs["checkpoints"] = checkpoints
    return ds


def _given(
    ds: xr.Dataset, parameters: Mapping[str, ArrayLike]
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """What networks have beyond weights and biases and is not trained, as coordinates."""
    architecture = architecture_of(ds)
    record = get_architecture(architecture)
    if parameters and record.kind != "recurrent":
        raise SolspaceError(
            f"{architecture} networks have no {', '.join(parameters)}; leave it out"
        )
    if parameters:
        check_options(architecture, None, parameters)
    out = {}
    for p in record.parameters:
        if p.trained:
            if p.name in parameters or p.default is None:
                raise SolspaceError(
                    f"{p.name} of {architecture} networks is trained, from its default; "
                    f"{'leave it out' if p.name in parameters else 'give the record a default'}"
                )
            continue
        value = parameters.get(p.name, p.default)
        if value is None:
            raise SolspaceError(
                f"{architecture} networks need {p.name} ({p.meaning}); give {p.name}=VALUE"
            )
        array = check_given(architecture, p, value)
        shape = (ds.sizes["network"], *(ds.sizes[dim] for dim in p.dims))
        if array.shape not in ((), shape[:1], shape):
            allowed = " or ".join(map(str, dict.fromkeys((shape[:1], shape))))
            raise SolspaceError(
                f"{p.name} of shape {array.shape} for {shape[0]} networks; give one number, or "
                f"an array of shape {allowed}"
            )
        array = array.reshape(*array.shape, *[1] * (len(shape) - array.ndim))
        array = np.broadcast_to(array, shape)
        out[p.name] = (("network", *p.dims), _past_size(array, ds, p.dims))
    return out


def _past_size(array: NDArray[Any], ds: xr.Dataset, dims: Sequence[str]) -> NDArray[np.float64]:
    """NaN past each network's size."""
    array = np.array(array, np.float64)
    for i, size in enumerate(ds["hidden_size"].values.tolist()):
        for axis, dim in enumerate(dims):
            if dim in ("unit", "presynaptic_unit"):
                past: tuple[Any, ...] = (i, *[slice(None)] * axis, slice(size, None))
                array[past] = np.nan
    return array


def check_checkpoints(checkpoints: int) -> None:
    """An error where there would be fewer than the first and the last."""
    if checkpoints < 2:
        raise SolspaceError(
            f"{checkpoints} checkpoints; give 2 or more (the initial and the final weights), or "
            "leave it out for none"
        )


def _network_seed(seed: int, index: int) -> int:
    words = np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def population_coordinates(
    task: Task,
    architecture: str,
    *,
    names: Sequence[str],
    sizes: NDArray[np.int64],
    seeds: NDArray[np.int64],
) -> xr.Dataset:
    units = int(sizes.max())
    own = load(kind_of(architecture).coordinates)(task, architecture)
    ds = xr.Dataset(
        coords={
            "network": np.arange(len(names)),
            "name": ("network", text_array(names)),
            "hidden_size": ("network", sizes),
            "seed": ("network", seeds),
            "unit": np.arange(units),
            "presynaptic_unit": np.arange(units),
            "task": task.name,
            "architecture": architecture,
            **own,
        },
        attrs={"description": task.description},
    )
    return annotate(ds, [*BASE, *DIMS])


def cell_coordinates(task: Task, architecture: str) -> dict[str, NDArray[Any]]:
    """Gates, inputs and outputs of recurrent cells."""
    return {
        "gate": text_array(recurrent_architecture(architecture).gates),
        "input_channel": text_array(task.inputs),
        "output_channel": text_array(task.outputs),
    }
