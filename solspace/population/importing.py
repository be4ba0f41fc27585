"""Populations from networks trained elsewhere."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.kinds import kind_of, load
from solspace.networks import (
    START,
    architecture_names,
    check_options,
    compare_forward,
    get_architecture,
    is_module,
    own_architectures,
    read_arrays,
    read_network,
    read_state_dict,
    run_output,
)
from solspace.population.create import population_coordinates
from solspace.population.describe import architecture_of
from solspace.population.each import told_elsewhere
from solspace.population.parameters import parameter_declarations
from solspace.population.trained import TRAINED
from solspace.population.variables import BASE, DONE, annotate
from solspace.population.weights import (
    Weights,
    network_weights,
    pack_starts,
    pack_weights,
    put,
)
from solspace.tasks import Task, Trials, get_task
from solspace.tasks.trials import squared_error

__all__ = [
    "import_networks",
    "network_name",
    "read_networks",
    "said_losses",
    "target_loss",
    "warn_of_losses",
]


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
    readout: str | None = None,
    check_against: Mapping[str, ArrayLike] | ArrayLike | str | None = None,
    **parameters: ArrayLike,
) -> xr.Dataset:
    """A population from torch state dicts or arrays in files, as `import_networks` makes it.

    An ``initial_weights.pt`` beside a ``weights.pt`` fills the initial weights. Options are those
    of `import_networks`.

    Raises
    ------
    SolspaceError
        Where a file cannot be read or does not fit; it is named, with the shapes found.
    """
    given = {"nonlinearity": nonlinearity, "readout": readout, "check_against": check_against}
    options = dict(parameters) | {k: v for k, v in given.items() if v is not None}
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
    readout: str | None = None,
    check_against: Mapping[str, ArrayLike] | ArrayLike | str | None = None,
    **parameters: ArrayLike,
) -> xr.Dataset:
    """Recurrent cells from files; see `read_networks`."""
    task = get_task(task)
    check_options(architecture, nonlinearity, parameters)
    networks: dict[str, Weights] = {}
    initial: dict[str, Weights] = {}
    where: dict[str, str] = {}
    how: Any = {
        "inputs": len(task.inputs), "outputs": len(task.outputs), "parameters": parameters,
        "readout": readout,
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
    return import_networks(
        task, architecture, networks, initial=initial, nonlinearity=nonlinearity,
        check_against=check_against,
    )  # fmt: skip


def import_networks(
    task: str | Task,
    architecture: str,
    networks: Mapping[str, Any],
    *,
    initial: Mapping[str, Any] | None = None,
    nonlinearity: str | None = None,
    readout: str | None = None,
    check_against: Mapping[str, ArrayLike] | ArrayLike | str | None = None,
    **parameters: ArrayLike,
) -> xr.Dataset:
    """A population from networks trained elsewhere.

    Each is run on the task's recorded trials. A warning names those whose loss is over ten times
    the target of the task's recipe, and their losses: most likely they are not what they are
    taken for. A state dict that does the task with another nonlinearity alone is refused, unless
    `nonlinearity` says which it has. A module that can be called gives its own output on the same
    trials, and one that differs is refused.

    Parameters
    ----------
    task : str or Task
    architecture : str
        ``vanilla`` is a tanh network, ``relu`` a rectified one; a state dict cannot say its
        nonlinearity, a module can.
    networks : mapping of name to module, mapping of arrays, or path
        Each a torch module (one ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, or a cell of theirs, and
        one ``nn.Linear``), its state dict (any prefix), the six arrays of `solspace.networks`, or
        a file with one of the last two (``.pt``, ``.npz``, ``.safetensors``).
        A linear encoder before the layer is folded into the input weights. They are run from a
        state of zero, or from a learned one (``h0``) that they have.
    initial : mapping, optional
        The same before training, for all or some of the networks.
    nonlinearity : str, optional
        What the networks are known to have; an error where the architecture has another.
    readout : str, optional
        Name of the linear layer that is the readout, where shapes leave it open.
    check_against : mapping of name to array, array, or path of a .npz, optional
        The networks' own outputs on the task's recorded trials (trial, time, output_channel), to
        be compared; for one network its array alone. See `solspace.get_task` and
        ``recorded_trials().input``.
    **parameters : array_like
        What the architecture has beyond weights and biases and the networks do not say, such as
        ``alpha`` of leaky networks.

    Returns
    -------
    Dataset
        A population with weights, ``loss`` (mean squared error on the task's recorded trials)
        and ``status_train`` 1; ``seed``, ``gradient_steps`` and ``attempts`` are -1, unknown.
        ``start_activity`` where some network starts from a learned state. With ``check_against``
        the attribute ``largest_output_difference``.

    Raises
    ------
    SolspaceError
        Where a network does not fit; it is named, with the shapes found and expected. Where it
        has another nonlinearity than its architecture, or by its loss must have; where it has
        parameters that would be ignored. Where a module's own output differs by more than 10^-4,
        or that of ``check_against`` by 10^-3.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model})
    >>> ds.hidden_size.item(), ds.status_train.item()
    (8, 1)
    """
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
    networks, initial = _read_paths(networks), _read_paths(initial or {})
    if unknown := [name for name in initial if name not in networks]:
        raise SolspaceError(
            f"initial weights of {', '.join(unknown)}, which is none of the networks: "
            f"{', '.join(networks)}"
        )
    how: Any = {
        "inputs": len(task.inputs), "outputs": len(task.outputs), "parameters": parameters,
        "readout": readout,
    }  # fmt: skip
    known = {
        name: read_network(weights, architecture, source=name, **how)
        for name, weights in networks.items()
    }
    before: list[Weights | None] = []
    for name, weights in known.items():
        first = initial.get(name)
        if first is not None:
            first = read_network(first, architecture, source=f"initial {name}", **how)
            if first["weight_hh"].shape != weights["weight_hh"].shape:
                raise SolspaceError(
                    f"initial {name}: recurrent weights {first['weight_hh'].shape}, after "
                    f"training {weights['weight_hh'].shape}; give those of the same network"
                )
            if starts := [n for n in first if n.startswith(START)]:
                raise SolspaceError(
                    f"initial {name}: {', '.join(starts)} before training is not kept; leave "
                    "the network's initial weights out, or what it starts from out of them"
                )
        before.append(first)
    sizes = np.array([w["weight_hh"].shape[-1] for w in known.values()], dtype=np.int64)
    ds = population_coordinates(
        task, architecture, names=list(known), sizes=sizes, seeds=np.full(len(known), -1)
    )
    ds = ds.assign_coords(_known_given(list(known.values()), ds))
    ds = ds.assign_coords(pack_starts(list(known.values()), ds))
    trials = task.recorded_trials()
    theirs = None if check_against is None else _own_outputs(check_against, list(known), trials)
    loss, difference = [], 0.0
    unseen: list[str] = []
    for name, w in known.items():
        output = run_output(architecture, w, trials.input)
        loss.append(squared_error(output, trials.target))
        if is_module(networks[name]):
            unseen += _compare_module(name, networks[name], architecture, trials, output)
        if theirs is not None:
            found = _compare_outputs(name, theirs[name], architecture, output, loss[-1])
            difference = max(difference, found)
    n = len(known)
    ds = ds.assign(
        pack_weights(list(known.values()), ds)
        | pack_weights(before, ds, initial=True)
        | {
            "loss": ("network", np.array(loss)),
            "loss_recorded": ("network", np.array(loss)),
            "gradient_steps": ("network", np.full(n, -1, np.int64)),
            "attempts": ("network", np.full(n, -1, np.int64)),
            "status_train": ("network", np.full(n, DONE, np.uint8)),
            "message_train": ("network", np.full(n, "", "U1")),
        }
    )
    ds.attrs["origin"] = "imported"
    if theirs is not None:
        ds.attrs["largest_output_difference"] = difference
    if unseen and not told_elsewhere():
        warnings.warn(
            "what forward does could not be compared, and these are taken to be their recurrent "
            f"layer and linear readout alone: {'; '.join(unseen)}",
            stacklevel=2,
        )
    if nonlinearity is None:
        _refuse_other(ds, task, [i for i, w in enumerate(networks.values()) if not is_module(w)])
    warn_of_losses(ds, task)
    return annotate(ds, [*BASE, *TRAINED, *parameter_declarations(architecture)])


def _read_paths(networks: Mapping[str, Any]) -> dict[str, Any]:
    """What files hold, in place of their paths."""
    return {
        name: read_state_dict(os.fspath(given)) if isinstance(given, (str, os.PathLike)) else given
        for name, given in networks.items()
    }


MOST_FORWARD = 1e-4  # a module's own output beside ours, both in float64 where it can be
MOST_OUTPUT = 1e-3  # outputs that somebody saved, in float32 and after whatever it was saved with


def _compare_module(
    name: str, module: Any, architecture: str, trials: Trials, output: NDArray[Any]
) -> list[str]:
    """An error where a module's own output is another; why it could not be compared."""
    found = compare_forward(module, trials.input, output)
    if found.difference > MOST_FORWARD * max(1.0, float(np.abs(output).max())):
        raise SolspaceError(
            f"{name}: its forward does something else than a {architecture} network of its parts: "
            f"on the task's recorded trials its output is off by up to {found.difference:.3g}. "
            "Between the parts that were found may be a nonlinearity, noise or a state that is "
            "begun anew; see docs/own_architecture.md for equations of your own"
        )
    return [f"{name}: {found.reason}"] if found.reason else []


def _own_outputs(
    given: Mapping[str, ArrayLike] | ArrayLike | str, names: Sequence[str], trials: Trials
) -> dict[str, NDArray[np.float64]]:
    """Outputs to compare with, by name of the network."""
    source = "check_against"
    found: Mapping[str, Any]
    if isinstance(given, (str, os.PathLike)):
        source = os.fspath(given)
        found = read_arrays(source)
        if len(found) == len(names) == 1:  # whatever it is called
            found = dict(zip(names, found.values(), strict=True))
    elif isinstance(given, Mapping):
        found = given
    elif len(names) == 1:
        found = {names[0]: given}
    else:
        raise SolspaceError(
            f"{source}: one array for {len(names)} networks; give a mapping of their names "
            f"({_listed(names)}) to arrays"
        )
    missing = [n for n in names if n not in found]
    unknown = [str(n) for n in found if n not in names]
    if missing or unknown:
        raise SolspaceError(
            f"{source}: outputs of {_listed([str(n) for n in found])}, expected one array for each "
            f"of the networks {_listed(names)}"
        )
    out = {}
    for name in names:
        value = found[name]
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if array.dtype.kind not in "fiu" or array.shape != trials.target.shape:
            raise SolspaceError(
                f"{source}: output of {name} is {array.dtype} {array.shape}, expected numbers "
                f"(trial, time, output_channel) {trials.target.shape}, the output on "
                "get_task(...).recorded_trials().input"
            )
        if not np.isfinite(array).all():
            raise SolspaceError(f"{source}: output of {name} holds NaN or infinity")
        out[name] = array.astype(np.float64)
    return out


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more if names else "none"


def _compare_outputs(
    name: str, theirs: NDArray[np.float64], architecture: str, output: NDArray[Any], loss: float
) -> float:
    """The largest difference, or an error where it is over `MOST_OUTPUT`."""
    off = np.abs(theirs - output)
    largest = float(off.max())
    if not largest <= MOST_OUTPUT:
        trial, time, channel = np.unravel_index(int(off.argmax()), off.shape)
        raise SolspaceError(
            f"{name}: run as a {architecture} network its output is off by up to {largest:.3g} "
            f"from the one given (trial {trial}, time {time}, output {channel}: "
            f"{output[trial, time, channel]:.4g}, given {theirs[trial, time, channel]:.4g}; its "
            f"loss is {loss:.3g}), expected {MOST_OUTPUT:g} at most; nothing is stored. Are the "
            "outputs on the task's recorded trials, in order, and is it of this architecture?"
        )
    return largest


def _known_given(
    networks: Sequence[Weights], ds: xr.Dataset
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """What imported networks have beyond weights and biases and is not trained."""
    out = {}
    for p in get_architecture(architecture_of(ds)).given:
        shape = [ds.sizes[dim] for dim in p.dims] if p.size is None else [p.size]
        array = np.full((len(networks), *shape), np.nan)
        for i, weights in enumerate(networks):
            put(array, i, weights[p.name])
        out[p.name] = (("network", *p.dims), array)
    return out


FAR_OFF = 10.0  # times the target loss; a network trained on the task is not so far off


def target_loss(task: str | Task, architecture: str) -> float:
    """What the task's recipe asks of networks of an architecture.

    Where the task has no recipe for them, the largest of what it asks of others; NaN where it has
    none at all.

    Examples
    --------
    >>> target_loss("interval_reproduction", "vanilla")
    0.0001
    >>> target_loss("delayed_discrimination", "relu")
    5e-05
    """
    recipes = get_task(task).recipes
    if architecture in recipes:
        return recipes[architecture].target_loss
    return max((r.target_loss for r in recipes.values()), default=float("nan"))


def far_off(ds: xr.Dataset, task: str | Task) -> NDArray[np.intp]:
    """Which networks have a loss over `FAR_OFF` times the target of the task's recipe."""
    target = target_loss(task, architecture_of(ds))
    loss = ds["loss"].values
    return np.flatnonzero((loss > FAR_OFF * target) | ~np.isfinite(loss))


def said_losses(ds: xr.Dataset, task: str | Task) -> str:
    """Which networks do not do the task, with their losses; empty where all may.

    Examples
    --------
    >>> ds = xr.Dataset({"loss": ("network", [8e-5, 0.7])},
    ...                 coords={"name": ("network", ["good", "bad"]), "architecture": "vanilla"})
    >>> said_losses(ds, "interval_reproduction").split(". ")[0]
    "1 of 2 networks do not do the task interval_reproduction, their loss is over 10 times the \
recipe's target 0.0001: bad 0.7"
    """
    wrong = far_off(ds, task)
    if not len(wrong):
        return ""
    names, loss = ds["name"].values, ds["loss"].values
    said = []
    for i in map(int, wrong[:20]):
        better = _better_as(ds, i, task)
        as_other = f" (as {better[0]} its loss is {better[1]:.2g})" if better else ""
        said.append(f"{names[i]} {loss[i]:.3g}{as_other}")
    if len(wrong) > len(said):
        said.append(f"and {len(wrong) - len(said)} more")
    target = target_loss(task, architecture_of(ds))
    return (
        f"{len(wrong)} of {len(names)} networks do not do the task {get_task(task).name}, their "
        f"loss is over {FAR_OFF:g} times the recipe's target {target:g}: {', '.join(said)}. Are "
        "they of this task and architecture, with its nonlinearity, its order of inputs and "
        "outputs, and what they start from?"
    )


def _refuse_other(ds: xr.Dataset, task: Task, of: Sequence[int]) -> None:
    """An error where a state dict does the task with another nonlinearity than it is run with."""
    own, most = (
        get_architecture(architecture_of(ds)),
        FAR_OFF * target_loss(task, architecture_of(ds)),
    )
    found = [
        (str(ds["name"].values[i]), float(ds["loss"].values[i]), *better)
        for i in map(int, far_off(ds, task))
        if i in of and (better := _better_as(ds, i, task)) and better[1] <= most
    ]
    if not found:
        return
    said = ", ".join(
        f"{n} {loss:.3g} (as {other} {less:.2g})" for n, loss, other, less in found[:20]
    )
    raise SolspaceError(
        f"a state dict does not say its nonlinearity: as {own.name} networks ({own.nonlinearity}) "
        f"{len(found)} of {ds.sizes['network']} do not do the task {task.name}, with another they "
        f"do; losses: {said}{' and more' * (len(found) > 20)}. Give --architecture {found[0][2]}, "
        f"or, where it is so, --nonlinearity {own.nonlinearity} (in Python nonlinearity="
        f"{own.nonlinearity!r})"
    )


def _better_as(ds: xr.Dataset, i: int, task: str | Task) -> tuple[str, float] | None:
    """The architecture of another nonlinearity with which a network's loss is far lower."""
    own = get_architecture(architecture_of(ds))
    if own.kind != "recurrent" or "weight_hh" not in ds.variables:
        return None
    weights, trials = network_weights(ds, i), get_task(task).recorded_trials()
    least, found = float(ds["loss"].values[i]) / FAR_OFF, None
    for other in map(get_architecture, architecture_names("recurrent")):
        same = (other.gates, other.state, other.parameters) == (
            own.gates, own.state, own.parameters
        )  # fmt: skip
        if not same or other.nonlinearity == own.nonlinearity or other in own_architectures():
            continue
        output = run_output(other, weights, trials.input)
        loss = squared_error(output, trials.target)
        if loss < least:
            least, found = loss, (other.name, loss)
    return found


def warn_of_losses(ds: xr.Dataset, task: str | Task) -> None:
    """Warn of imported networks that do not do the task."""
    said = said_losses(ds, task)
    if said and not told_elsewhere():
        warnings.warn(said, stacklevel=3)
