"""Write the tables of docs/similarity.md and its picture: python -m docs.make_similarity.

Compares the first hundred networks of each population that ships; some minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import xarray as xr

import solspace
from docs.pages import write_part
from solspace.plots import plot_map, save
from solspace.similarity import degeneracy, get_measure, pairwise, separation
from solspace.store import Store

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
PAGE = ROOT / "docs" / "similarity.md"
PICTURE = ROOT / "docs" / "images" / "similarity"
NETWORKS = 100
MAPPED = "interval_reproduction/vanilla"
TOLD = ("procrustes", "cca", "permutation", "cka", "rsa", "dsa", "dsa_inputs")


def telling(training: xr.Dataset) -> list[str]:
    """How well each measure tells the solution, and the picture by Procrustes."""
    lines = [
        "| measure | within | between | AUC | nearest is of its class | by chance |",
        "|---|---|---|---|---|---|",
    ]
    for name in TOLD:
        pairs = pairwise(training, name)
        s = separation(pairs, "solution_name")
        lines.append(
            f"| `{name}` | {s.within.item():.3f} | {s.between.item():.3f} | {s.auc.item():.2f} | "
            f"{s.neighbour_share.item():.0%} | {s.chance_low.item():.0%} to "
            f"{s.chance_high.item():.0%} |"
        )
        if name == "procrustes":
            save(plot_map(training, distances=pairs), PICTURE, formats=["png"])
    return lines


def levels(found: dict[str, xr.Dataset]) -> list[str]:
    lines = ["| population | behaviour | its loss, sd | dynamics | weights |", "|---" * 5 + "|"]
    for population, ds in found.items():
        cells = [
            f"{one.distance.item():.3g} ({one.distance_low.item():.3g} to "
            f"{one.distance_high.item():.3g})"
            for one in (ds.sel(level=level) for level in ("behaviour", "dynamics", "weights"))
        ]
        loss = f"{ds.loss_spread.item():.2g} ({ds.loss_spread_low.item():.2g} to "
        cells.insert(1, f"{loss}{ds.loss_spread_high.item():.2g})")
        lines.append(f"| {population} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    if not STORE.exists():
        print("needs stores/turner2021.zarr", file=sys.stderr)
        return 2
    found, told = {}, []
    for population in Store(str(STORE)).populations():
        ds = population.open().isel(network=slice(NETWORKS)).load()
        training = solspace.record(ds)
        if str(population) == MAPPED:
            told = telling(training)
        found[str(population)] = degeneracy(
            ds, training=training, extrapolation=solspace.extrapolate(ds)
        )
    weights = get_measure("weights")
    drawn = int(next(iter(found.values())).networks.sel(level="weights"))
    text = [
        f"The first {NETWORKS} networks of {MAPPED}, by `solution_name`:",
        "",
        *told,
        "",
        f"Degeneracy of the first {NETWORKS} networks of each population that ships, with 95 % "
        f"intervals over networks; weights ({weights.meaning}) of {drawn} of them, drawn:",
        "",
        *levels(found),
    ]
    write_part(PAGE, __file__, "\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
