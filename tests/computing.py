"""What compiled kernels compute, into a file: python tests/computing.py OUT PART..."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

import solspace
from solspace import networks
from solspace.population import network_weights
from solspace.tasks import Recipe, get_task
from solspace.training import train_network
from solspace.training.outputs import AskedTrials
from solspace.two_neuron.dynamics import final_states, loss_and_gradient
from solspace.two_neuron.objects import dynamical_objects
from solspace.two_neuron.training import descend, initial_weights

SHIPPED = "stores/turner2021.zarr"
SHORT = Recipe(target_loss=1e-9, max_steps=40, learning_rate=5e-3, check_every=20, attempts=1)
Values = dict[str, Any]


START = np.array([initial_weights(seed) for seed in range(40)])


def planar() -> Values:
    return dict(zip(("loss", "gradient"), loss_and_gradient(START), strict=True))


def flow() -> Values:
    return {"end": final_states(START)}


def descent() -> Values:
    return descend(START, learning_rate=0.035, target_loss=1e-4, max_steps=150)._asdict()


def plane() -> Values:
    found = [dynamical_objects(initial_weights(seed)) for seed in range(8)]
    return {
        "points": np.concatenate([p.state for one in found for p in one.fixed_points]),
        "ending": np.array([one.ending_distance for one in found]),
    }


def training(architecture: str) -> Values:
    task = "context_integration" if architecture == "leaky" else "interval_reproduction"
    found = train_network(task, architecture, 20, seed=1, recipe=SHORT)
    given = get_task(task).recorded_trials().input
    ran = {f"run_{t}": networks.run(architecture, found.weights, given, dtype=t)[0] for t in "fd"}
    asked = AskedTrials(given, (3, 9)).outputs(architecture, found.weights)
    return {**found.weights, **ran, "loss": np.array(found.loss_curve), "asked": asked}


def bare(population: str, n: int = 2) -> xr.Dataset:
    store = "stores/context_integration.zarr" if "context" in population else SHIPPED
    ds = xr.open_zarr(store, group=population, chunks=None).isel(network=slice(n))
    kept = [k for k in ds.data_vars if str(k).startswith(("weight_", "bias_", "alpha"))]
    return ds[kept].drop_vars([c for c in ds.coords if "key" in str(c) or "sol" in str(c)]).load()


def stage(name: str, population: str, **options: Any) -> Values:
    ds = bare(population)
    for one in name.split():
        ds = getattr(solspace, one)(ds, **options)
    return {str(k): v.values for k, v in ds.variables.items()}


def states() -> Values:
    weights = network_weights(bare("interval_reproduction/vanilla"), 0)
    given = get_task("interval_reproduction").recorded_trials().input[:6]
    return {"states": networks.run("vanilla", weights, given)[0]}


def fixed(population: str) -> Values:
    return stage("find_fixed_points", population, starts=12)


TASKS = ("interval_reproduction", "delayed_discrimination")
POPULATIONS = (
    *(f"{task}/vanilla" for task in TASKS),
    *(f"{TASKS[0]}/{a}" for a in ("gru", "lstm")),
)
CONTEXT = "context_integration/leaky"
PARTS: dict[str, Callable[[], Values]] = {
    "planar": planar,
    "flow": flow,
    "descent": descent,
    "states": states,
    "plane": plane,
    **{f"training {a}": partial(training, a) for a in ("vanilla", "gru", "lstm", "leaky", "relu")},
    **{
        f"{name} {p}": partial(stage, name, p)
        for p in POPULATIONS
        for name in ("extrapolate", "record extract_features", "reduce verify", "find_responses")
    },
    **{
        f"{method} {p}": partial(stage, "reduce", p, method=method)
        for p in POPULATIONS
        for method in ("automaton", "timed")
    },
    **{f"settling {p}": partial(stage, "find_attractors", p, steps=3000) for p in POPULATIONS},
    **{f"fixed points {p}": partial(fixed, p) for p in (*POPULATIONS, CONTEXT)},
    "challenge": partial(stage, "challenge", CONTEXT),
    "individuality": partial(stage, "measure_individuality", CONTEXT, starts=4),
}


def values(names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    for name in names:
        for key, array in PARTS[name]().items():
            array = np.asarray(array)
            if array.dtype.kind in "OTU":
                array = np.array([str(v) for v in array.ravel().tolist()], dtype=str)
            yield f"{name}: {key}", array


if __name__ == "__main__":
    np.savez(sys.argv[1], **dict(values(sys.argv[2:])))
