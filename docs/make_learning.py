"""Draw docs/images/learning.png from stores/learning.zarr and print what docs/learning.md says.

python -m docs.make_learning [STORE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr

from solspace.plots import plot_checkpoints, save
from solspace.plots.checkpoints import followed_networks, solution_changes

ROOT = Path(__file__).resolve().parents[1]
GROUP = "interval_reproduction/vanilla"


def main(store: str) -> None:
    checkpoints = xr.open_zarr(store, group=f"{GROUP}/checkpoints").load()
    # A store of an earlier version names the label in the population's own group alone.
    named = xr.open_zarr(store, group=GROUP).attrs["solution_method"]
    checkpoints = checkpoints.assign_attrs(solution_method=named)
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    save(plot_checkpoints(checkpoints), images / "learning", formats=["png"])
    networks = followed_networks(checkpoints)
    solution = checkpoints["checkpoint_solution"].values[networks]
    levels = np.median(checkpoints["checkpoint_loss_level"].values[networks], axis=0)
    texts = checkpoints["checkpoint_solution_description"].values[networks]
    print(f"{len(networks)} of {checkpoints.sizes['network']} networks reached the target")
    print(f"{'loss under':>11} {'final already':>13} {'changed since last':>19} {'solutions':>10}")
    for k, level in enumerate(levels):
        kept = int((solution[:, k:] == solution[:, -1:]).all(axis=1).sum())
        changed = int((solution[:, k] != solution[:, k - 1]).sum()) if k else 0
        kinds = len(np.unique(solution[solution[:, k] >= 0, k]))
        print(f"{level:>11.2g} {kept:>13} {changed:>19} {kinds:>10}")
    print("\nchanges between solutions, most frequent first (loss of the look before)")
    changes = [c for c in solution_changes(solution) if c[1] != c[2] and min(c[1], c[2]) >= 0]
    for k, before, after, count in sorted(changes, key=lambda c: -c[3])[:12]:
        print(f"{before} to {after}: {count} (after {levels[k]:.2g})")
    print()
    for value in np.unique(solution[solution >= 0]):
        print(f"{value}: {texts[solution == value][0]}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "stores" / "learning.zarr"))
