"""Draw the pictures of docs/responses.md: `python docs/make_responses.py [STORE]`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import xarray as xr

import solspace
from solspace.plots import machine_drawing, save

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {
    "responses_lstm": ("interval_reproduction/lstm", 48, "settled"),
    "responses_phases": ("interval_discrimination/vanilla", 56, "settled"),
    "responses_delayed": ("delayed_discrimination/vanilla", 0, "answers"),
}


def main(store: str) -> None:
    warnings.simplefilter("ignore")
    for name, (population, network, notch) in PICTURES.items():
        ds = xr.open_zarr(store, group=population).isel(network=[network]).load()
        picture = machine_drawing(solspace.find_responses(ds, notch=notch), 0)
        save(picture, ROOT / "docs" / "images" / name, formats=["png"])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "stores" / "turner2021.zarr"))
