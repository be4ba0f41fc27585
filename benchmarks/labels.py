"""What the choice of a label costs, against making graphs: `python benchmarks/labels.py`.

Networks of a shipped population, one core: set OMP_NUM_THREADS=1 before. The baseline is
`solspace.reduce` of the same networks; ratios are of the median of repeated runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import xarray as xr

import solspace

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"


def seconds(call: Callable[[], object], repeats: int) -> float:
    call()  # compile
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--population", default="interval_reproduction/gru")
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    ds = xr.open_zarr(STORE, group=options.population).isel(network=slice(options.networks)).load()
    graphs = solspace.reduce(ds)
    base = seconds(lambda: solspace.reduce(ds), options.repeats)
    print(f"{options.population}, {options.networks} networks; reduce {base:.3f} s")
    for by in ("automaton_key", "graph_key"):
        spent = seconds(lambda by=by: solspace.label(graphs, by=by), options.repeats)  # type: ignore[misc]
        print(f"label by {by}: {spent:.3f} s, {spent / base:.3f} of reduce")


if __name__ == "__main__":
    main()
