"""Record and extrapolate: the same forward run, on the training set and outside of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.population.parameters import architecture_variables
from solspace.population.sound import done, unfinished
from solspace.population.trained import DIMS
from solspace.population.variables import BASE, Variable, annotate, text_array
from solspace.stages import Group, Layout, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task, Trials

__all__ = ["extrapolate", "record", "trials_dataset"]

_TRIALS = ("network", "trial", "time")


def trial_variables(group: str) -> tuple[Variable, ...]:
    """What the trials of a group are, before any network has run on them."""
    at = ("trial", "time")
    return (
        Variable("trial", ("trial",), "int64", "index of the trial", group=group, coordinate=True),
        Variable(
            "time",
            ("time",),
            "int64",
            "time; index t holds the state after the input of step t",
            units="steps",
            group=group,
            coordinate=True,
        ),
        *(
            Variable(name, (name,), "U64", f"{name.split('_')[0]} channel", group=group,
                     coordinate=True)
            for name in ("input_channel", "output_channel")
        ),
        Variable(
            "epoch_name", ("epoch_name",), "U64", "name of an epoch", group=group, coordinate=True
        ),
        Variable(
            "epoch_flag",
            ("epoch_name",),
            "int8",
            "value of `epoch` in the epoch of this name: training.epoch == "
            "training.epoch_flag.sel(epoch_name=...)",
            group=group,
            coordinate=True,
            fill=0,
        ),
        Variable("input", (*at, "input_channel"), "float32", "input of the trial", group=group),
        Variable(
            "target",
            (*at, "output_channel"),
            "float32",
            "target output; NaN where nothing is asked for",
            group=group,
        ),
        Variable("epoch", at, "int8", "epoch of the trial", group=group, fill=0),
    )  # fmt: skip


def _output(group: str) -> Variable:
    return Variable(
        "output", (*_TRIALS, "output_channel"), "float32", "output of the network", group=group
    )


def _faults(stage: str, group: str, names: tuple[str, ...]) -> Callable[..., Iterator[str]]:
    def faults(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
        ds = parts["population"]
        for i, name in done(ds, stage):
            for variable in names:
                if unfinished(parts[group], variable, i, int(ds["hidden_size"].values[i])):
                    yield (
                        f"network {name}: {stage} called done, but {group}/{variable} is not finite"
                    )

    return faults


def _layout(group: str) -> Callable[..., dict[str, Layout]]:
    def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
        make = task.recorded_trials if group == "training" else task.extrapolation_trials
        trials = trials_dataset(task, make(), group)
        if group == "training":
            trials = trials.assign_coords(unit=ds["unit"])
        return {group: Layout(trials)}

    return layout


@stage(
    reads=["population"],
    fills=[
        *trial_variables("training"),
        *(dataclasses.replace(d, group="training") for d in DIMS if d.name == "unit"),
        _output("training"),
        Variable(
            "activity",
            (*_TRIALS, "unit"),
            "float32",
            "activity of the units (hidden state); NaN past hidden_size",
            group="training",
        ),
    ],
    after=["train"],
    groups={"training": Group("trials of the training set and each network's activity on them")},
    returns="training",
    layout=_layout("training"),
    further=architecture_variables,
    faults=_faults("record", "training", ("activity", "output")),
    by_default=True,
)
def record(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Record each network's activity and output on the trials of the training set.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        By default the dataset's own.
    device : str, optional
        A torch device, such as ``"cuda"``, to run all networks on at once. By default compiled
        loops on the CPU, one network at a time.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The training group: trials, ``activity`` and ``output``, computed in float64 and stored
        as float32, and for an LSTM ``cell_state``; NaN past each network's size.

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> dict(record(ds).activity.sizes)
    {'network': 1, 'trial': 31, 'time': 150, 'unit': 8}
    """
    from solspace.population.describe import task_of

    task = task_of(ds, task)
    return _simulate(ds, task, "training", task.recorded_trials(), device, progress)


@stage(
    reads=["population"],
    fills=[*trial_variables("extrapolation"), _output("extrapolation")],
    after=["train"],
    groups={
        "extrapolation": Group("trials outside the trained range and each network's output on them")
    },
    returns="extrapolation",
    layout=_layout("extrapolation"),
    faults=_faults("extrapolate", "extrapolation", ("output",)),
    by_default=True,
)
def extrapolate(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Run each network on trials well outside the trained range and keep its output.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        By default the dataset's own; its file says how far its trials go.
    device : str, optional
        A torch device, such as ``"cuda"``, to run all networks on at once. By default compiled
        loops on the CPU, one network at a time.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The extrapolation group: trials and ``output`` (network, trial, time, output).

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> extrapolate(ds).t_in.values[[0, -1]]
    array([  5, 150])
    """
    from solspace.population.describe import task_of

    task = task_of(ds, task)
    return _simulate(ds, task, "extrapolation", task.extrapolation_trials(), device, progress)


def trials_dataset(task: Task, trials: Trials, group: str) -> xr.Dataset:
    """A set of trials as a dataset: what the training and extrapolation groups share."""
    import xarray as xr

    units = task.parameter_units
    ds = xr.Dataset(
        {
            "input": (("trial", "time", "input_channel"), trials.input),
            "target": (("trial", "time", "output_channel"), trials.target),
            "epoch": (("trial", "time"), trials.epoch),
        },
        coords={
            "trial": np.arange(len(trials)),
            "time": np.arange(trials.input.shape[1]),
            "input_channel": text_array(task.inputs),
            "output_channel": text_array(task.outputs),
            "epoch_name": text_array(task.epochs),
            "epoch_flag": ("epoch_name", np.arange(len(task.epochs), dtype=np.int8)),
            "task": task.name,
            **{
                name: (
                    "trial",
                    values,
                    {"long_name": task.parameters.get(name, name), "units": units.get(name, "1")},
                )
                for name, values in trials.parameters.items()
            },
        },
    )
    ds["time"].attrs["step"] = 1
    ds["epoch"].attrs |= {
        "flag_values": list(range(len(task.epochs))),
        "flag_meanings": " ".join(task.epochs),
    }
    return annotate(ds, [*BASE, *trial_variables(group)])


def _simulate(
    ds: xr.Dataset,
    task: Task,
    group: str,
    trials: Trials,
    device: str | None,
    progress: Callable[[int], None] | None,
) -> xr.Dataset:
    from solspace.networks import recurrent_architecture, run
    from solspace.networks.branching import find_branches, run_branches
    from solspace.population import (
        architecture_of,
        each_network,
        network_weights,
        warn_of_failures,
    )

    architecture = architecture_of(ds)
    n, units = ds.sizes["network"], ds.sizes["unit"]
    sizes = ds["hidden_size"].values
    count, steps = trials.input.shape[:2]
    recorded = group == "training"
    output = np.full((n, count, steps, len(task.outputs)), np.nan, np.float32)
    shape = (n, count, steps, units)
    # By part of the state; the activity is the first.
    parts = [part.name for part in recurrent_architecture(architecture).state]
    kept = {name: np.full(shape, np.nan, np.float32) for name in parts if recorded}
    on_device = _run_on_device(ds, trials, device) if device else None
    # Trials are alike up to the first pulse that comes at another time.
    branches = None if recorded or device else find_branches(trials.input)

    def compute(i: int) -> None:
        states: Any = None
        if on_device is not None:
            states, out = (array[i] for array in on_device)
        elif branches is not None:
            out = run_branches(architecture, network_weights(ds, i), branches)
        else:
            states, out = run(architecture, network_weights(ds, i), trials.input)
        if not np.isfinite(out).all():
            raise ValueError("the output is not finite")
        output[i] = out
        size = int(sizes[i])
        # Parts lie one after the other, each as long as the network, or as all where padded.
        length = size if on_device is None else units
        for k, values in enumerate(kept.values()):
            values[i, ..., :size] = states[..., k * length : k * length + size]

    stage = "record" if recorded else "extrapolate"
    ended = each_network(ds, stage, compute, after="train", progress=progress)
    out = trials_dataset(task, trials, group)
    labels = {c: v for c, v in ds.coords.items() if set(v.dims) <= {"network"}}
    out = out.assign_coords(labels)
    dims = ("network", "trial", "time")
    out["output"] = ((*dims, "output_channel"), output)
    if recorded:
        out = out.assign_coords(unit=ds["unit"])
        out = out.assign({name: ((*dims, "unit"), values) for name, values in kept.items()})
    out = out.assign(ended)
    warn_of_failures(out, stage)
    return out


def _run_on_device(ds: xr.Dataset, trials: Trials, device: str) -> tuple[Any, Any]:
    """States and outputs of all networks, at once or in as many parts as the memory asks for."""
    import torch

    from solspace.networks import (
        get_device,
        in_parts,
        run_population,
    )
    from solspace.population import architecture_of, stacked_weights

    architecture = architecture_of(ds)
    get_device(device)
    weights = stacked_weights(ds)
    x = torch.as_tensor(trials.input, dtype=torch.float64, device=device)

    def run(part: slice) -> tuple[Any, Any]:
        own = {name: torch.as_tensor(w[part], device=device) for name, w in weights.items()}
        with torch.no_grad():
            states, output = run_population(architecture, own, x)
        return states.cpu().numpy(), output.cpu().numpy()

    parts = in_parts(run, ds.sizes["network"], f"a {architecture} network with {len(x)} trials")
    states, output = zip(*parts, strict=True)
    return np.concatenate(states), np.concatenate(output)
