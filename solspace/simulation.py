"""Record and extrapolate: the same forward run, on the training set and outside of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from solspace import schema
from solspace.networks import parameter_names, recurrent_architecture, run, run_population
from solspace.population import each_network, network_weights, task_of, warn_of_failures
from solspace.tasks import Task, Trials

__all__ = ["extrapolate", "record", "trials_dataset"]


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
        From the dataset's attrs by default.
    device : str, optional
        A torch device, such as ``"cuda"``, to run all networks on at once. By default compiled
        loops on the CPU, one network at a time.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The training group: trials, ``activity`` and ``output``, computed in float64 and stored
        as float32, and for an LSTM ``cell_state`` (any further part of the state of an
        architecture of one's own goes by its name); NaN past each network's size.

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> dict(record(ds).activity.sizes)
    {'network': 1, 'trial': 31, 'time': 150, 'unit': 8}
    """
    task = task_of(ds, task)
    return _simulate(ds, task, "training", task.recorded_trials(), device, progress)


def extrapolate(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Run each network on trials well outside the trained range and keep its output.

    Parameters are those of `record`; the task's file says how far its trials go.

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
    task = task_of(ds, task)
    return _simulate(ds, task, "extrapolation", task.extrapolation_trials(), device, progress)


def trials_dataset(task: Task, trials: Trials, group: str) -> xr.Dataset:
    """A set of trials as a dataset: what the training and extrapolation groups share."""
    ds = xr.Dataset(
        {
            "input": (("trial", "time", "input"), trials.input),
            "target": (("trial", "time", "output"), trials.target),
            "epoch": (("trial", "time"), trials.epoch),
        },
        coords={
            "trial": np.arange(len(trials)),
            "time": np.arange(trials.input.shape[1]),
            **{
                name: ("trial", values, {"long_name": task.parameters.get(name, name)})
                for name, values in trials.parameters.items()
            },
        },
        attrs={"task": task.name},
    )
    ds["input"].attrs["channels"] = list(task.inputs)
    ds["target"].attrs["channels"] = list(task.outputs)
    ds["epoch"].attrs |= {
        "flag_values": list(range(len(task.epochs))),
        "flag_meanings": " ".join(task.epochs),
    }
    return schema.annotate(ds, group)


def _simulate(
    ds: xr.Dataset,
    task: Task,
    group: str,
    trials: Trials,
    device: str | None,
    progress: Callable[[int], None] | None,
) -> xr.Dataset:
    architecture = ds.attrs["architecture"]
    n, units = ds.sizes["network"], ds.sizes["unit"]
    count, steps = trials.input.shape[:2]
    recorded = group == "training"
    output = np.full((n, count, steps, len(task.outputs)), np.nan, np.float32)
    shape = (n, count, steps, units)
    # By part of the state; the activity is the first.
    parts = [part.name for part in recurrent_architecture(architecture).state]
    kept = {name: np.full(shape, np.nan, np.float32) for name in parts if recorded}
    on_device = _run_on_device(ds, trials, device) if device else None

    def compute(i: int) -> None:
        if on_device is None:
            states, out = run(architecture, network_weights(ds, i), trials.input)
        else:
            states, out = (array[i] for array in on_device)
        if not np.isfinite(out).all():
            raise ValueError("the output is not finite")
        output[i] = out
        size = int(ds["hidden_size"].values[i])
        # Parts lie one after the other, each as long as the network, or as all where padded.
        length = size if on_device is None else units
        for k, values in enumerate(kept.values()):
            values[i, ..., :size] = states[..., k * length : k * length + size]

    stage = schema.stage_of(group)
    ended = each_network(ds, stage, compute, after="train", progress=progress)
    out = trials_dataset(task, trials, group).assign_coords(network=ds["network"])
    labels = [c for c in ("name", "hidden_size") if c in ds.coords]
    out = out.assign_coords({c: ds[c] for c in labels})
    dims = ("network", "trial", "time")
    out["output"] = ((*dims, "output"), output, {"channels": list(task.outputs)})
    if recorded:
        out = out.assign_coords(unit=ds["unit"])
        out = out.assign({name: ((*dims, "unit"), values) for name, values in kept.items()})
    out.attrs["architecture"] = architecture
    out = schema.annotate(out.assign(ended), group)
    warn_of_failures(out, stage)
    return out


def _run_on_device(ds: xr.Dataset, trials: Trials, device: str) -> tuple[Any, Any]:
    import torch

    weights = {
        name: torch.nan_to_num(torch.as_tensor(ds[name].values, dtype=torch.float64)).to(device)
        for name in parameter_names(ds.attrs["architecture"])
    }
    x = torch.as_tensor(trials.input, dtype=torch.float64, device=device)
    with torch.no_grad():
        states, output = run_population(ds.attrs["architecture"], weights, x)
    return states.cpu().numpy(), output.cpu().numpy()
