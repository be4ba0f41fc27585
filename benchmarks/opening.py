"""How long a store takes to open as a tree, beside xarray's own `open_datatree`.

    python benchmarks/opening.py

The two take turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

import solspace

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time opening a store as a tree.")
    parser.add_argument("--store", default=str(STORE))
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()

    def theirs(chunks: Any) -> Callable[[], object]:
        return lambda: xr.open_datatree(given.store, engine="zarr", chunks=chunks)

    ways: dict[str, Callable[[], object]] = {
        "open_store": lambda: solspace.open_store(given.store),
        "open_datatree(chunks={})": theirs({}),
        "open_store(chunks=None)": lambda: solspace.open_store(given.store, chunks=None),
        "open_datatree(chunks=None)": theirs(None),
    }
    elapsed: dict[str, list[float]] = {name: [] for name in ways}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.repeats):
        for name, way in ways.items():
            began, used = time.perf_counter(), time.process_time()
            way()
            elapsed[name].append(time.perf_counter() - began)
            spent[name].append(time.process_time() - used)
    print(f"{Path(given.store).name}, {given.repeats} times each, in seconds")
    print(f"{'':28s}{'best':>8s}{'median':>8s}{'of a processor':>16s}")
    for name in ways:
        best, median = min(elapsed[name]), statistics.median(elapsed[name])
        print(f"{name:28s}{best:8.2f}{median:8.2f}{min(spent[name]):16.2f}")
    ratio = min(spent["open_datatree(chunks={})"]) / min(spent["open_store"])
    print(f"open_store takes 1/{ratio:.1f} of what open_datatree takes of a processor")


if __name__ == "__main__":
    main()
