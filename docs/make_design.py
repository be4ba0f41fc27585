"""Draw the picture of docs/which_experiment.md; with `answers`, run the networks for it before.

    python -m docs.make_design [answers]

Answers of 400 networks take two minutes, and lie in docs/data/answers.zarr, so that the page runs
at once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import xarray as xr

from solspace.design import answers, design
from solspace.plots import plot_design, save

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
GROUP = "interval_reproduction/vanilla"
ANSWERS = ROOT / "docs" / "data" / "answers.zarr"
PICTURE = ROOT / "docs" / "images" / "design.png"


def write_answers() -> None:
    """What every network of the population answers to every challenge."""
    found = answers(xr.open_zarr(STORE, group=GROUP)).load()
    kept = found[["first", "time", "ending", "status_answers"]]
    kept = kept.drop_vars(list(kept.coords)).assign_coords(
        challenge=found.challenge.values.astype(object),
        task=str(found.task.values),
        architecture=str(found.architecture.values),
    )
    kept.attrs = {"description": f"answers of {GROUP} of stores/turner2021.zarr to challenges"}
    whole_steps = {"time": {"dtype": "int16", "_FillValue": -1}}
    kept.drop_encoding().to_zarr(ANSWERS, mode="w", encoding=whole_steps)


def main() -> None:
    if sys.argv[1:] == ["answers"]:
        write_answers()
    found = design(
        xr.open_zarr(STORE, group=GROUP),
        label="automaton_key",
        answered=xr.open_zarr(ANSWERS).load(),
    )
    save(plot_design(found), PICTURE, dpi=130)


if __name__ == "__main__":
    main()
