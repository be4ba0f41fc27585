"""Write the table of docs/responses.md and its pictures: python -m docs.make_responses.

Reads the shipped populations; drives 100 networks of each, which takes a few minutes.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

import solspace
from docs.pages import write_part
from solspace.plots import plot_machine, save
from solspace.responses import response_scores
from solspace.stability import class_sizes, in_small_classes
from solspace.store import Store

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
PAGE = ROOT / "docs" / "responses.md"
PICTURES = {
    "responses_lstm": ("interval_reproduction/lstm", 82, "settled"),
    "responses_phases": ("interval_discrimination/vanilla", 56, "settled"),
    "responses_delayed": ("delayed_discrimination/vanilla", 0, "answers"),
}
TESTED = 100


def draw() -> None:
    for name, (population, network, notch) in PICTURES.items():
        ds = xr.open_zarr(STORE, group=population).isel(network=[network]).load()
        picture = plot_machine(solspace.find_responses(ds, notch=notch), 0)
        save(picture, ROOT / "docs" / "images" / name, formats=["png"])


def table() -> str:
    """How many classes the machines of each population make, and how right and lasting they are."""
    lines = [
        "| population | notch | classes of 400 | networks in classes under ten | recall, median "
        "| 0.95 or more | specificity, median | kept at 1e-3 weight noise |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for population in Store(str(STORE)).populations():
        ds = population.open()
        notch = str(ds.attrs["response_notch"])
        keys = [str(key) for key in ds.response_key.values if str(key)]
        found = response_scores(ds.isel(network=slice(TESTED)).load(), notch=notch)
        recall = found.response_recall.values
        share = np.nan
        if population.has("stability"):
            stability = population.open("stability")
            share = float(
                stability.share.sel(label=f"response_key:notch={notch}", perturbation="noise_1e-3")
            )
        lines.append(
            f"| {population} | `{notch}` | {len(class_sizes(keys))} | {in_small_classes(keys):.0%} "
            f"| {np.nanmedian(recall):.2f} | {np.nanmean(recall >= 0.95):.0%} "
            f"| {np.nanmedian(found.response_specificity):.2f} "
            f"| {format(share, '.0%') if np.isfinite(share) else 'not tried'} |"
        )
    return "\n".join(lines)


def main() -> int:
    if not STORE.exists():
        print("needs stores/turner2021.zarr", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    draw()
    write_part(PAGE, __file__, table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
