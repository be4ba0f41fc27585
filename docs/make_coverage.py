"""Write the table of docs/coverage.md and its picture from the shipped populations.

python -m docs.make_coverage
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr

from docs.pages import write_part
from solspace import solution_coverage
from solspace.diversity.labels import label_variables
from solspace.plots import plot_rarefaction, save
from solspace.store import Store

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
PAGE = ROOT / "docs" / "coverage.md"
PICTURE = ROOT / "docs" / "images" / "coverage"
DRAWN = "graph_key"

Results = dict[str, dict[str, xr.Dataset]]


def measure() -> Results:
    """Coverage by population and label."""
    found: Results = {}
    for population in Store(str(STORE)).populations():
        ds = population.open()
        found[str(population)] = {
            label: solution_coverage(ds, label) for label in label_variables(ds)
        }
    return found


def table(results: Results) -> str:
    lines = [
        "| population | label | networks | classes | once | twice | coverage (95 %) "
        "| unseen (95 %) | networks for a coverage of 0.99 (95 %) | for 0.99 of the classes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {population} | `{label}` | {_n(one, 'networks')} | {_n(one, 'classes_seen')} "
        f"| {_n(one, 'classes_seen_once')} | {_n(one, 'classes_seen_twice')} "
        f"| {_span(one, 'coverage', '.3f')} | {_span(one, 'classes_unseen', '.0f')} "
        f"| {_rounded(one)} | {_two(one['networks_for_classes'].item())} |"
        for population, by_label in results.items()
        for label, one in by_label.items()
    ]
    return "\n".join(lines)


def _n(one: xr.Dataset, name: str) -> str:
    return str(one[name].item())


def _span(one: xr.Dataset, name: str, form: str) -> str:
    value, low, high = (one[n].item() for n in (name, f"{name}_low", f"{name}_high"))
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def _rounded(one: xr.Dataset) -> str:
    value, low, high = (
        _two(one[f"networks_for_coverage{end}"].item()) for end in ("", "_low", "_high")
    )
    return f"{value} ({low} to {high})"


def _two(number: float) -> str:
    """Two digits: more are not known."""
    digits = max(int(np.floor(np.log10(max(number, 1)))) - 1, 0)
    return f"{round(number, -digits):,.0f}"


def picture(results: Results) -> None:
    drawn = {
        _told(name): by_label[DRAWN] for name, by_label in results.items() if DRAWN in by_label
    }
    save(plot_rarefaction(drawn), PICTURE, formats=["png"])


def _told(name: str) -> str:
    task, architecture = name.replace("_", " ").split("/")
    return f"{task}, {architecture.upper() if architecture in ('gru', 'lstm') else architecture}"


def main() -> int:
    if not STORE.exists():
        print("needs stores/turner2021.zarr", file=sys.stderr)
        return 2
    results = measure()
    picture(results)
    write_part(PAGE, __file__, table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
