"""Write the table of docs/stability.md and its picture: python -m docs.make_stability.

Reads what `python -m validation.labels --try` left in the shipped populations.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr

from docs.pages import write_part
from solspace.plots import plot_stability, save
from solspace.store import Store

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
PAGE = ROOT / "docs" / "stability.md"
PICTURE = ROOT / "docs" / "images" / "stability"
DRAWN = "interval_reproduction/gru"
LABELS = (
    "graph_key:method=turner2021",
    "automaton_key:method=automaton",
    "attractor_key",
    "response_key:notch=settled",
)


def measure() -> dict[str, xr.Dataset]:
    """What was tried, by population."""
    return {
        str(population): population.open("stability").load()
        for population in Store(str(STORE)).populations()
        if population.has("stability")
    }


def table(found: dict[str, xr.Dataset]) -> str:
    first = next(iter(found.values()))
    tried = [str(name) for name in first.perturbation.values]
    lines = [
        f"| population | label | {' | '.join(name.replace('_', ' ') for name in tried)} |",
        "|---" * (2 + len(tried)) + "|",
    ]
    for population, ds in found.items():
        shares = ds.share.sel(label=list(LABELS)).reindex(perturbation=tried).values
        for label, row in zip(LABELS, shares, strict=True):
            cells = [format(v, ".2f") if np.isfinite(v) else "not tried" for v in row]
            lines.append(f"| {population} | `{label}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    found = measure() if STORE.exists() else {}
    if not found:
        print("needs stores/turner2021.zarr with the stage stability", file=sys.stderr)
        return 2
    save(plot_stability(found[DRAWN].sel(label=list(LABELS))), PICTURE, formats=["png"])
    write_part(PAGE, __file__, table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
