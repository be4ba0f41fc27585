"""What it costs to try a network's labels, beside labelling it once.

    python benchmarks/stability.py [--networks 8] [--store stores/turner2021.zarr]

The baseline is every label of each network computed once, in memory. Beside it, in the same run:
weight noise alone (each draw labels a network once more, and runs the recorded trials for its
loss), further training alone, another processor alone (with the start of its process), and all
together. A ratio over the number of labellings is what the stage adds. One core: set
OMP_NUM_THREADS=1 before.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import xarray as xr

from solspace import label_stability, network_weights
from solspace.labels import label_network
from solspace.stability import other_processor
from solspace.stability.labelling import asked_labels
from solspace.tasks import get_task

POPULATIONS = (
    "interval_reproduction/vanilla",
    "interval_reproduction/gru",
    "interval_reproduction/lstm",
    "interval_discrimination/vanilla",
    "delayed_discrimination/vanilla",
)
NONE: dict[str, Any] = {"noise": (), "further_steps": 0, "processor": False}
WAYS: dict[str, dict[str, Any]] = {
    "weight noise, 3 sizes of 3 draws": NONE | {"noise": (1e-5, 1e-4, 1e-3), "draws": 3},
    "400 further steps": NONE | {"further_steps": 400},
    "another processor": NONE | {"processor": True},
    "all": {},
}
LABELLINGS = {"weight noise, 3 sizes of 3 draws": 10, "400 further steps": 2,
              "another processor": 2, "all": 12}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=8, help="of each population (default: 8)")
    parser.add_argument("--store", default="stores/turner2021.zarr")
    parser.add_argument("--labels", nargs="+", help="by default all")
    options = parser.parse_args()
    ways = {n: w for n, w in WAYS.items() if n != "another processor" or other_processor()[1]}
    for population in POPULATIONS:
        task, architecture = population.split("/")
        ds = xr.open_zarr(options.store, group=population)
        ds = ds.isel(network=slice(options.networks)).load()
        labels = asked_labels(options.labels, ds.attrs)

        def plain(
            ds: xr.Dataset = ds, task: str = task, architecture: str = architecture,
            labels: Any = labels,
        ) -> None:  # fmt: skip
            for i in range(ds.sizes["network"]):
                weights = network_weights(ds, i)
                for one in labels:
                    label_network(get_task(task), architecture, weights, one.name, **one.options)

        plain()  # compiles
        label_stability(ds.isel(network=[0]), labels=options.labels)
        began = time.perf_counter()
        plain()
        baseline = (time.perf_counter() - began) / options.networks
        print(f"{population}: {', '.join(one.spelled for one in labels)}")
        print(f"  {'every label once':<36}{1e3 * baseline:>9.1f} ms a network    1.0")
        for name, way in ways.items():
            began = time.perf_counter()
            label_stability(ds, labels=options.labels, **way)
            seconds = (time.perf_counter() - began) / options.networks
            print(
                f"  {name:<36}{1e3 * seconds:>9.1f} ms a network {seconds / baseline:>6.1f} "
                f"({LABELLINGS[name]} labellings)"
            )


if __name__ == "__main__":
    main()
