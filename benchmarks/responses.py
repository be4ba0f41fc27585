"""What asking networks for their responses costs, and how right the answers are.

python benchmarks/responses.py [STORE] [--networks 100] [--population TASK/ARCHITECTURE]

For each population of a store and each notch: milliseconds a network of `explore_responses`
against the baseline, `reduce_network(method="automaton")` of the same networks in the same run (a
ratio over 1 is how many times as fast it is); classes, the share of networks in classes under a
fortieth of all; the share that keep their key when every weight is multiplied by 1 + noise z; and
recall and specificity on sequences of the notch's own kind (medians; `response_scores`).
One core: set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 before.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import xarray as xr

from solspace import SolspaceError, network_weights
from solspace.reduction import reduce_network
from solspace.responses import explore_responses, response_key, response_scores
from solspace.tasks import get_task

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
POPULATIONS = (
    "interval_reproduction/vanilla",
    "interval_reproduction/gru",
    "interval_reproduction/lstm",
    "interval_discrimination/vanilla",
    "delayed_discrimination/vanilla",
)
NOISE = (1e-4, 1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", nargs="?", default=STORE)
    parser.add_argument("--networks", type=int, default=100, help="of each population")
    parser.add_argument("--noisy", type=int, default=40, help="networks that noise is added to")
    parser.add_argument("--sequences", type=int, default=60, help="that machines are tested with")
    parser.add_argument("--population", choices=POPULATIONS, help="only this one")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    head = ("ms", "slowest", "times as fast", "classes", "small", *map(str, NOISE), "recall",
            "95 %", "specificity")  # fmt: skip
    print(f"{'population':33}{'notch':>16}" + "".join(f"{name:>15}" for name in head))
    for population in [options.population] if options.population else POPULATIONS:
        task, architecture = get_task(population.split("/")[0]), population.split("/")[1]
        assert task.protocol is not None
        ds = xr.open_zarr(options.store, group=population)
        every = max(1, ds.sizes["network"] // options.networks)
        ds = ds.isel(network=slice(0, None, every)).isel(network=slice(options.networks)).load()
        n = ds.sizes["network"]
        weights = [network_weights(ds, i) for i in range(n)]
        few = range(0, n, max(1, n // 20))
        reduce_network(task, architecture, weights[0], method="automaton")  # compile
        begun = time.process_time()
        for i in few:
            reduce_network(task, architecture, weights[i], method="automaton")
        baseline = (time.process_time() - begun) / len(few)
        for notch in task.protocol.notches:

            def key(own, notch=notch, task=task, architecture=architecture) -> str:  # type: ignore[no-untyped-def]
                try:
                    return response_key(
                        explore_responses(task, architecture, own, notch), task, notch
                    )
                except SolspaceError:
                    return ""

            key(weights[0])  # compile
            spent, keys = [], []
            for own in weights:
                begun = time.process_time()
                keys.append(key(own))
                spent.append(time.process_time() - begun)
            counts = Counter(keys)
            small = np.mean([counts[k] < n / 40 for k in keys])
            kept = []
            for scale in NOISE:
                rng = np.random.default_rng(1)
                moved = [
                    {k: v * (1 + scale * rng.normal(size=v.shape)) for k, v in own.items()}
                    for own in weights[: options.noisy]
                ]
                kept.append(np.mean([key(m) == k for m, k in zip(moved, keys, strict=False)]))
            scores = response_scores(ds, notch=notch.name, sequences=options.sequences)
            recall = scores.response_recall.values
            times = baseline / np.mean([spent[i] for i in few])
            cells = [f"{1e3 * np.median(spent):.0f}", f"{1e3 * max(spent):.0f}", f"{times:.1f}"]
            cells += [f"{len(counts)}", f"{small:.2f}", *(f"{k:.3f}" for k in kept)]
            cells += [f"{np.nanmedian(recall):.2f}", f"{np.mean(recall >= 0.95):.2f}"]
            cells += [f"{np.nanmedian(scores.response_specificity.values):.2f}"]
            row = "".join(f"{cell:>15}" for cell in cells)
            print(f"{population:33}{notch.name:>16}{row}", flush=True)


if __name__ == "__main__":
    main()
