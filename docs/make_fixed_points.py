"""Draw the picture of docs/fixed_points.md: python -m docs.make_fixed_points."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from solspace.plots import plot_fixed_points, save

ROOT = Path(__file__).resolve().parents[1]
NETWORK = 12


def main() -> None:
    drawn = xr.open_zarr(
        ROOT / "stores" / "turner2021.zarr", group="delayed_discrimination/vanilla"
    )
    picture = plot_fixed_points(drawn.isel(network=[NETWORK]).load(), 0)
    save(picture, ROOT / "docs" / "images" / "fixed_points", formats=["png"], dpi=200)


if __name__ == "__main__":
    main()
