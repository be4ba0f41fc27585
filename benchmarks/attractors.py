"""How long it takes to say what networks settle to: `python benchmarks/attractors.py [STORE]`.

Of networks of a store the milliseconds each in which `solspace.attractors.settle_network` tells
where they end, against the baseline: running them for as many steps from every silence and looking
at nothing (`solspace.networks.run`, 20,000 steps). A ratio over 1 is what stopping early saves.
One core: set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 before.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import xarray as xr

from solspace import network_weights, networks
from solspace.attractors import settle_network, silent_states
from solspace.attractors.settling import STEPS
from solspace.tasks import get_task, silences_of

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
POPULATIONS = (
    "interval_reproduction/vanilla",
    "interval_reproduction/gru",
    "interval_reproduction/lstm",
    "interval_discrimination/vanilla",
    "delayed_discrimination/vanilla",
)
SHARE = 100  # the baseline runs a hundredth of the steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", nargs="?", default=STORE)
    parser.add_argument("--every", type=int, default=20, help="one network in so many (default 20)")
    options = parser.parse_args()
    columns = ("median", "mean", "max", "running alone", "ratio of means")
    print(f"{'population, ms a network':33}" + "".join(f"{name:>16}" for name in columns))
    for population in POPULATIONS:
        task, architecture = population.split("/")
        ds = xr.open_zarr(options.store, group=population)
        ds = ds.isel(network=slice(0, None, options.every)).load()
        silences = silences_of(get_task(task))
        spent, alone = [], []
        settle_network(task, architecture, network_weights(ds, 0))  # compile
        for i in range(ds.sizes["network"]):
            weights = networks.as_float64(architecture, network_weights(ds, i))
            start = time.process_time()
            settle_network(task, architecture, weights)
            spent.append(time.process_time() - start)
            states = silent_states(architecture, weights, silences)
            nothing = np.zeros((len(silences), STEPS // SHARE, silences.input.shape[2]))
            start = time.process_time()
            networks.run(architecture, weights, nothing, states)
            alone.append(SHARE * (time.process_time() - start))
        values = (np.median(spent), np.mean(spent), np.max(spent), np.mean(alone))
        cells = "".join(f"{1e3 * value:16.0f}" for value in values)
        print(f"{population:33}{cells}{np.mean(alone) / np.mean(spent):16.1f}")


if __name__ == "__main__":
    main()
