"""Draw the picture of docs/fixed_points.md and print the tables of it.

python -m docs.make_fixed_points [--every N]
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

import solspace
from solspace.fixed_points import fixed_points_table
from solspace.plots import plot_fixed_points, save
from solspace.store import Store

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
NETWORK = 12  # of delayed discrimination
COLUMNS = (
    "population", "networks", "stable", "saddles", "slow", "most unstable directions",
    "with a slow point", "starts that converge", "fewer stable points than `attractors` found",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=8, help="one network in so many (default 8)")
    every = parser.parse_args().every
    drawn = xr.open_zarr(STORE, group="delayed_discrimination/vanilla")
    picture = plot_fixed_points(drawn.isel(network=[NETWORK]).load(), 0)
    save(picture, ROOT / "docs" / "images" / "fixed_points", formats=["png"], dpi=200)
    rows, tables = [COLUMNS, ("---",) * len(COLUMNS)], []
    for population in Store(str(STORE)).populations():
        ds = xr.open_zarr(STORE, group=population.group_path("population"))
        ds = ds.isel(network=slice(0, None, every)).load()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            every_input = solspace.find_fixed_points(ds)
        found = every_input.sel(constant_input="silence")
        stable, slow = found.stable_points.values, found.slow_points.values
        rows.append(
            (
                str(population),
                str(ds.sizes["network"]),
                f"{stable.mean():.1f}",
                f"{found.saddle_points.values.mean():.1f}",
                f"{slow.mean():.1f}",
                str(found.fixed_point_unstable.values.max()),
                str((slow > 0).sum()),
                f"{np.mean(found.starts_converged.values):.0%}".replace("%", " %"),
                str((stable < ds.attractor_points.values).sum()),
            )
        )
        by_key = every_input.sel(constant_input=["silence"])
        tables.append(f"{population}\n{fixed_points_table(by_key, by='attractor_key')}")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows), *tables, sep="\n\n")


if __name__ == "__main__":
    main()
