"""Populations in memory: new ones, imported ones, and the networks in them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from solspace import schema
from solspace.errors import SolspaceError
from solspace.kinds import kind_of, load
from solspace.networks import (
    PARAMETERS,
    check_given,
    check_options,
    get_architecture,
    parameter_shapes,
    read_network,
    read_state_dict,
    recurrent_architecture,
)
from solspace.tasks import Recipe, Task, get_task

__all__ = [
    "each_network",
    "import_networks",
    "network_name",
    "network_weights",
    "new_population",
    "pack_weights",
    "read_networks",
    "recipe_of",
    "task_of",
]

Weights = Mapping[str, NDArray[Any]]


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
        Coordinates only, dims network, gate, unit, presynaptic_unit, input, output.

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
    if not 0 <= seed < 2**63:
        raise SolspaceError(f"seed {seed}; give a whole number from 0 to 2**63 - 1")
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
    ds = _coordinates(task, architecture, names=names, sizes=dealt, seeds=seeds)
    ds = schema.annotate(ds.assign_coords(_given(ds, parameters)), "population")
    ds.attrs |= {"seed": seed, "recipe": json.dumps(dataclasses.asdict(recipe))}
    if checkpoints:
        ds.attrs["checkpoints"] = checkpoints
    return ds


def _given(
    ds: xr.Dataset, parameters: Mapping[str, ArrayLike]
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """What networks have beyond weights and biases and is not trained, as coordinates."""
    architecture = ds.attrs["architecture"]
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


def given_parameters(ds: xr.Dataset, index: int) -> dict[str, NDArray[np.float64]]:
    """What one network has beyond weights and biases and is not trained, without padding.

    Examples
    --------
    >>> ds = new_population("interval_reproduction", "leaky", networks=2, alpha=[0.1, 0.2])
    >>> given_parameters(ds, 1)["alpha"].item()
    0.2
    """
    record = get_architecture(ds.attrs["architecture"])
    return {p.name: _one(ds, p.name, {"network": index}) for p in record.given}


def _one(ds: xr.Dataset, name: str, at: Mapping[str, int]) -> NDArray[Any]:
    """A variable of one network, without padding."""
    if name not in ds.variables:
        raise SolspaceError(
            f"the dataset has no {name!r}; give a population of "
            f"{ds.attrs.get('architecture', 'its')} networks with all their parameters"
        )
    n = int(ds["hidden_size"].values[at["network"]])
    array = ds[name]
    crop: dict[str, Any] = {d: slice(n) for d in ("unit", "presynaptic_unit") if d in array.dims}
    return array.isel({**at, **crop}).values


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


def _coordinates(
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
            "name": ("network", np.array(names, dtype=object)),
            "hidden_size": ("network", sizes),
            "seed": ("network", seeds),
            "unit": np.arange(units),
            "presynaptic_unit": np.arange(units),
            **own,
        },
        attrs={
            "task": task.name,
            "architecture": architecture,
            "description": task.description,
        },
    )
    return schema.annotate(ds, "population")


def cell_coordinates(task: Task, architecture: str) -> dict[str, NDArray[Any]]:
    """Gates, inputs and outputs of recurrent cells."""
    return {
        "gate": np.array(recurrent_architecture(architecture).gates, dtype=object),
        "input": np.array(task.inputs, dtype=object),
        "output": np.array(task.outputs, dtype=object),
    }


def task_of(ds: xr.Dataset, task: str | Task | None = None) -> Task:
    """The task a dataset belongs to, from its attrs where it is not given."""
    if task is None and "task" not in ds.attrs:
        raise SolspaceError("the dataset has no attribute 'task'; give task=NAME")
    return get_task(task if task is not None else ds.attrs["task"])


def recipe_of(ds: xr.Dataset) -> Recipe:
    """The recipe stored with a population."""
    if "recipe" not in ds.attrs:
        return task_of(ds).recipe(ds.attrs["architecture"])
    return Recipe(**json.loads(ds.attrs["recipe"]))


# --------------------------------------------------------------------------- networks in and out


def network_weights(
    ds: xr.Dataset, index: int, *, initial: bool = False, checkpoint: int | None = None
) -> dict[str, NDArray]:
    """One network's parameters without padding, by position along ``network``.

    Those before training where ``initial``, or those at a checkpoint where one is given.

    Examples
    --------
    >>> weights = {"weight_ih": np.ones((1, 3, 2)), "weight_hh": np.ones((1, 3, 3)),
    ...            "bias_ih": np.ones((1, 3)), "bias_hh": np.ones((1, 3)),
    ...            "weight_out": np.ones((1, 3)), "bias_out": np.ones(1)}
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": weights})
    >>> network_weights(ds, 0)["weight_hh"].shape
    (1, 3, 3)
    """
    prefix = "initial_" if initial else ""
    at = {"network": index}
    if checkpoint is not None:
        prefix = schema.prefix("learning")
        at["checkpoint"] = checkpoint
    out = {name: _one(ds, prefix + name, at) for name in PARAMETERS}
    if "architecture" in ds.attrs:
        record = get_architecture(ds.attrs["architecture"])
        out |= {p.name: _one(ds, prefix + p.name, at) for p in record.trained}
        out |= given_parameters(ds, index)
    return out


def _put(array: NDArray[Any], i: int, values: NDArray[Any]) -> None:
    """One network's values at the start of each axis of its row."""
    at: tuple[Any, ...] = (i, *map(slice, np.shape(values)))
    array[at] = values


def pack_weights(
    networks: Sequence[Weights | None], ds: xr.Dataset, *, initial: bool = False
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float32]]]:
    """Parameters of many networks on one network axis, NaN past each network's size.

    Those that are given and not trained are coordinates of ``ds`` and not among them. None stands
    for a network without weights, which stays NaN.
    """
    shapes = parameter_shapes(
        ds.attrs["architecture"], ds.sizes["unit"], ds.sizes["input"], ds.sizes["output"]
    )
    prefix = "initial_" if initial else ""
    declared = schema.variables("population", ds.attrs["architecture"])
    given = {p.name for p in get_architecture(ds.attrs["architecture"]).given}
    packed = {}
    for name, shape in shapes.items():
        if name in given:
            continue
        array = np.full((len(networks), *shape), np.nan, np.float32)
        for i, weights in enumerate(networks):
            if weights is not None:
                _put(array, i, weights[name])
        packed[prefix + name] = (declared[prefix + name].dims, array)
    return packed


def network_name(path: str | os.PathLike[str]) -> str:
    """A network's name: its folder's where the file is called ``weights.pt``, else its stem.

    Examples
    --------
    >>> network_name("trained/20_i100/weights.pt"), network_name("trained/best.pt")
    ('20_i100', 'best')
    """
    path = os.path.abspath(os.fspath(path))
    folder, file = os.path.split(path)
    return os.path.basename(folder) if file == "weights.pt" else os.path.splitext(file)[0]


def read_networks(
    paths: Sequence[str | os.PathLike[str]],
    task: str | Task,
    architecture: str,
    *,
    nonlinearity: str | None = None,
    **parameters: ArrayLike,
) -> xr.Dataset:
    """A population from torch state dicts in files, as `import_networks` makes it.

    An ``initial_weights.pt`` beside a ``weights.pt`` fills the initial weights. Options are those
    of `import_networks`.

    Raises
    ------
    SolspaceError
        Where a file cannot be read or does not fit; it is named, with the shapes found.
    """
    options = dict(parameters) | ({} if nonlinearity is None else {"nonlinearity": nonlinearity})
    kind = kind_of(architecture)
    if options and kind.name != "recurrent":
        raise SolspaceError(f"{architecture} networks have no {', '.join(options)}; leave it out")
    population: xr.Dataset = load(kind.read)(task, architecture, paths, **options)
    return population


def read_cells(
    task: str | Task,
    architecture: str,
    paths: Sequence[str | os.PathLike[str]],
    *,
    nonlinearity: str | None = None,
    **parameters: ArrayLike,
) -> xr.Dataset:
    """Recurrent cells from torch state dicts; see `read_networks`."""
    task = get_task(task)
    check_options(architecture, nonlinearity, parameters)
    networks: dict[str, Weights] = {}
    initial: dict[str, Weights] = {}
    where: dict[str, str] = {}
    how: Any = {
        "inputs": len(task.inputs), "outputs": len(task.outputs), "parameters": parameters,
    }  # fmt: skip
    for path in [os.fspath(p) for p in paths]:
        name = network_name(path)
        if name in where:
            raise SolspaceError(
                f"{path} and {where[name]} would both be named {name!r}; rename one file "
                "(a network is named after its folder where the file is called weights.pt, "
                "else after the file)"
            )
        where[name] = path
        networks[name] = read_network(read_state_dict(path), architecture, source=path, **how)
        beside = os.path.join(os.path.dirname(path), "initial_weights.pt")
        if os.path.basename(path) == "weights.pt" and os.path.exists(beside):
            initial[name] = read_network(
                read_state_dict(beside), architecture, source=beside, **how
            )
    return import_networks(task, architecture, networks, initial=initial)


def import_networks(
    task: str | Task,
    architecture: str,
    networks: Mapping[str, Any],
    *,
    initial: Mapping[str, Any] | None = None,
    nonlinearity: str | None = None,
    **parameters: ArrayLike,
) -> xr.Dataset:
    """A population from networks trained elsewhere.

    Each is run on the task's recorded trials. A warning names those whose loss is over ten times
    the target of the task's recipe, and their losses: most likely they are not what they are
    taken for.

    Parameters
    ----------
    task : str or Task
    architecture : str
        ``vanilla`` is a tanh network, ``relu`` a rectified one; a state dict cannot say its
        nonlinearity, a module can.
    networks : mapping of name to module or mapping of arrays
        Each a torch module (one ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` and one ``nn.Linear``), its
        state dict (any prefix) or the six arrays of `solspace.networks`. All are run from a
        state of zero.
    initial : mapping, optional
        The same before training, for all or some of the networks.
    nonlinearity : str, optional
        What the networks are known to have; an error where the architecture has another.
    **parameters : array_like
        What the architecture has beyond weights and biases and the networks do not say, such as
        ``alpha`` of leaky networks.

    Returns
    -------
    Dataset
        A population with weights, ``loss`` (mean squared error on the task's recorded trials)
        and ``status_train`` 1; ``seed``, ``gradient_steps`` and ``attempts`` are -1, unknown.

    Raises
    ------
    SolspaceError
        Where a network does not fit; it is named, with the shapes found and expected. Where it
        has another nonlinearity than its architecture, or parameters that would be ignored.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model})
    >>> ds.hidden_size.item(), ds.status_train.item()
    (8, 1)
    """
    from solspace.networks import run

    task = get_task(task)
    check_options(architecture, nonlinearity, parameters)
    for given in (networks, initial or {}):
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise SolspaceError(
                "networks are given by name, such as {'mine': model.state_dict()}; got "
                + (
                    f"names {', '.join(map(repr, given))}"
                    if isinstance(given, Mapping)
                    else f"a {type(given).__name__}"
                )
            )
    if not networks:
        raise SolspaceError("no networks to import; give a mapping of name to state dict")
    if unknown := [name for name in initial or {} if name not in networks]:
        raise SolspaceError(
            f"initial weights of {', '.join(unknown)}, which is none of the networks: "
            f"{', '.join(networks)}"
        )
    how: Any = {
        "inputs": len(task.inputs), "outputs": len(task.outputs), "parameters": parameters,
    }  # fmt: skip
    known = {
        name: read_network(weights, architecture, source=name, **how)
        for name, weights in networks.items()
    }
    before: list[Weights | None] = []
    for name, weights in known.items():
        first = (initial or {}).get(name)
        if first is not None:
            first = read_network(first, architecture, source=f"initial {name}", **how)
            if first["weight_hh"].shape != weights["weight_hh"].shape:
                raise SolspaceError(
                    f"initial {name}: recurrent weights {first['weight_hh'].shape}, after "
                    f"training {weights['weight_hh'].shape}; give those of the same network"
                )
        before.append(first)
    sizes = np.array([w["weight_hh"].shape[-1] for w in known.values()], dtype=np.int64)
    ds = _coordinates(
        task, architecture, names=list(known), sizes=sizes, seeds=np.full(len(known), -1)
    )
    ds = ds.assign_coords(_known_given(list(known.values()), ds))
    trials = task.recorded_trials()
    loss = [
        float(np.mean((run(architecture, w, trials.input)[1] - trials.target) ** 2))
        for w in known.values()
    ]
    n = len(known)
    ds = ds.assign(
        pack_weights(list(known.values()), ds)
        | pack_weights(before, ds, initial=True)
        | {
            "loss": ("network", np.array(loss)),
            "gradient_steps": ("network", np.full(n, -1, np.int64)),
            "attempts": ("network", np.full(n, -1, np.int64)),
            "status_train": ("network", np.full(n, schema.DONE, np.uint8)),
            "message_train": ("network", np.full(n, "", dtype=object)),
        }
    )
    ds.attrs["origin"] = "imported"
    warn_of_losses(ds, task)
    return schema.annotate(ds, "population")


def _known_given(
    networks: Sequence[Weights], ds: xr.Dataset
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """What imported networks have beyond weights and biases and is not trained."""
    out = {}
    for p in get_architecture(ds.attrs["architecture"]).given:
        array = np.full((len(networks), *(ds.sizes[dim] for dim in p.dims)), np.nan)
        for i, weights in enumerate(networks):
            _put(array, i, weights[p.name])
        out[p.name] = (("network", *p.dims), array)
    return out


FAR_OFF = 10.0  # times the target loss; a network trained on the task is not so far off


def target_loss(task: str | Task, architecture: str) -> float:
    """What the task's recipe asks of networks of an architecture; NaN where it has no recipe.

    Examples
    --------
    >>> target_loss("interval_reproduction", "vanilla")
    0.0001
    """
    recipe = get_task(task).recipes.get(architecture)
    return float("nan") if recipe is None else recipe.target_loss


def far_off(ds: xr.Dataset, task: str | Task) -> NDArray[np.intp]:
    """Which networks have a loss over `FAR_OFF` times the target of the task's recipe."""
    target = target_loss(task, ds.attrs["architecture"])
    loss = ds["loss"].values
    return np.flatnonzero((loss > FAR_OFF * target) | ~np.isfinite(loss))


def said_losses(ds: xr.Dataset, task: str | Task) -> str:
    """Which networks do not do the task, with their losses; empty where all may.

    Examples
    --------
    >>> ds = xr.Dataset({"loss": ("network", [8e-5, 0.7])},
    ...                 coords={"name": ("network", ["good", "bad"])},
    ...                 attrs={"architecture": "vanilla"})
    >>> said_losses(ds, "interval_reproduction").split(". ")[0]
    "1 of 2 networks do not do the task interval_reproduction, their loss is over 10 times the \
recipe's target 0.0001: bad 0.7"
    """
    wrong = far_off(ds, task)
    if not len(wrong):
        return ""
    names, loss = ds["name"].values, ds["loss"].values
    said = [f"{names[i]} {loss[i]:.3g}" for i in wrong[:20]]
    if len(wrong) > len(said):
        said.append(f"and {len(wrong) - len(said)} more")
    target = target_loss(task, ds.attrs["architecture"])
    return (
        f"{len(wrong)} of {len(names)} networks do not do the task {get_task(task).name}, their "
        f"loss is over {FAR_OFF:g} times the recipe's target {target:g}: {', '.join(said)}. Are "
        "they of this task and architecture, with its nonlinearity, its order of inputs and "
        "outputs, and run from a state of zero?"
    )


def warn_of_losses(ds: xr.Dataset, task: str | Task) -> None:
    """Warn of imported networks that do not do the task."""
    said = said_losses(ds, task)
    if said and not _told_elsewhere.get():
        warnings.warn(said, stacklevel=3)


# --------------------------------------------------------------------------- one by one


def each_network(
    ds: xr.Dataset,
    stage: str,
    compute: Callable[[int], None],
    *,
    after: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, tuple[str, NDArray[Any]]]:
    """Call a function for each network; one that fails is noted and the others go on.

    Parameters
    ----------
    ds : Dataset
    stage : str
        Names the status variables.
    compute : callable (int) -> None
        Given a position along ``network``; an exception marks that network as failed.
    after : str, optional
        A stage the network has to have passed, where the dataset has its status.
    progress : callable (int) -> None, optional
        Told after each network.

    Returns
    -------
    dict
        ``status_<stage>`` and ``message_<stage>``, to be assigned to a dataset.
    """
    n = ds.sizes["network"]
    status = np.full(n, schema.FAILED, np.uint8)
    messages = np.full(n, "", dtype=object)
    for i in range(n):
        if after and f"status_{after}" in ds and ds[f"status_{after}"].values[i] != schema.DONE:
            messages[i] = f"{after} did not succeed for this network"
        else:
            try:
                compute(i)
                status[i] = schema.DONE
            except (MemoryError, OSError):
                raise
            except SolspaceError as error:
                messages[i] = str(error)
            except Exception as error:
                messages[i] = f"{type(error).__name__}: {error}"
        if progress:
            progress(1)
    return {
        f"status_{stage}": ("network", status),
        f"message_{stage}": ("network", messages),
    }


_told_elsewhere: ContextVar[bool] = ContextVar("told_elsewhere", default=False)


@contextlib.contextmanager
def failures_told_elsewhere() -> Iterator[None]:
    """No warnings about networks that failed or do not do the task: the caller says so itself."""
    token = _told_elsewhere.set(True)
    try:
        yield
    finally:
        _told_elsewhere.reset(token)


def warn_of_failures(ds: xr.Dataset, stage: str) -> None:
    """Warn where networks failed, so that no fill value is taken for a result."""
    if _told_elsewhere.get():
        return
    failed = int((ds[f"status_{stage}"] == schema.FAILED).sum())
    if failed:
        warnings.warn(
            f"{failed} of {ds.sizes['network']} networks failed in {stage}; "
            f"reasons are in message_{stage}",
            stacklevel=3,
        )
