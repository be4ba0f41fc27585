"""What it costs that an analysis is a stage: in memory, lazily, and over a store.

    python benchmarks/own_stage.py [--networks 64]

The baseline is the same computation as a plain NumPy loop over networks whose activity is in
memory already; the stage in memory adds checks, lazily dask's graph and blocks, over a store the
reading and writing of shards. Memory is the peak above that of an idle process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

import dask
import numpy as np
import xarray as xr

import solspace
from solspace.networks import parameter_shapes

GROUP = "interval_reproduction/vanilla"


def spread(activity: np.ndarray) -> np.ndarray:
    """Participation ratio of each network's activity."""
    out = np.empty(len(activity))
    for i, one in enumerate(activity):
        variance = np.linalg.eigvalsh(np.cov(one.reshape(-1, one.shape[-1]).T))
        out[i] = variance.sum() ** 2 / (variance**2).sum()
    return out


@solspace.stage(
    reads=["training/activity"],
    fills=[solspace.Variable("spread_ratio", ("network",), "float64", "participation ratio")],
)
def spread_ratio(ds: xr.Dataset) -> xr.Dataset:
    """Participation ratio of each network's activity."""
    return ds.assign(spread_ratio=("network", spread(ds.activity.values)))


def population(networks: int) -> xr.Dataset:
    """Networks of 50 units with random weights."""
    rng = np.random.default_rng(0)
    shapes = parameter_shapes("vanilla", 50, inputs=2, outputs=1)
    mine = {
        f"n{i}": {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
        for i in range(networks)
    }
    return solspace.import_networks("interval_reproduction", "vanilla", mine)


def seconds(function: Callable[[], Any], repeats: int = 3) -> float:
    """Median of a few runs."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=64)
    networks = parser.parse_args().networks
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/population.zarr"
        solspace.add_population(path, population(networks))
        solspace.run_stage(path, "record")
        training = xr.open_zarr(path, group=f"{GROUP}/training")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with dask.config.set(scheduler="threads", num_workers=2):
            lazy = seconds(lambda: spread_ratio(training).spread_ratio.compute())
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        begun = time.perf_counter()
        solspace.run_stage(path, spread_ratio)
        store = time.perf_counter() - begun
        here = training.load()
        memory = seconds(lambda: spread_ratio(here))
        baseline = seconds(lambda: spread(here.activity.values))
    size = here.activity.nbytes / 1e6
    print(f"participation ratio of {networks} networks of 50 units, {size:.0f} MB of activity")
    print(f"{'NumPy loop in memory':<32}{baseline:>8.2f} s   1.00")
    for name, value in (
        ("stage in memory", memory),
        ("stage on dask, from the store", lazy),
        ("stage over the store, written", store),
    ):
        print(f"{name:<32}{value:>8.2f} s {value / baseline:>6.2f}")
    print(f"lazily, the peak of memory rose by {peak:.0f} MB")


if __name__ == "__main__":
    main()
