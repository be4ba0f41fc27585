"""Figure 2 of the paper: the three tasks. Needs no store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from solspace.simulation.stage import trials_dataset
from solspace.tasks import (
    Trials,
    delayed_discrimination,
    get_task,
    interval_discrimination,
    interval_reproduction,
)
from validation.paper import drawing
from validation.paper.panels import trained_span
from validation.paper.verdicts import Verdict

__all__ = ["draw", "judge", "make"]

LETTERS = {
    "A": "delayed_discrimination",
    "B": "interval_discrimination",
    "C": "interval_reproduction",
}


def _example(task: str) -> Trials:
    """One trial of the middle of what is trained."""
    if task == "delayed_discrimination":
        return delayed_discrimination.make_trials([(8, 4, 10)])
    if task == "interval_discrimination":
        return interval_discrimination.make_trials([(25, 15)])
    return interval_reproduction.make_trials([35])


def make(store: object = None) -> xr.DataTree:
    """Trials of the tasks, and what is asked over their parameters.

    Parameters
    ----------
    store : ignored
        The tasks are no networks; here so that all figures are made alike.

    Returns
    -------
    DataTree
        For each of A, B and C the groups ``trial`` (one trial: ``input``, ``target``, ``epoch``)
        and ``asked``: ``sign`` over f1, f2 and delay, over t1 and t2, and for interval
        reproduction ``ready_on``, ``set_on`` and ``go_on`` over t_in.

    Examples
    --------
    >>> int(make()["A/asked"].sign.sel(f1=8, f2=4, delay=10))
    1
    """
    groups: dict[str, xr.Dataset] = {}
    for letter, name in LETTERS.items():
        task = get_task(name)
        groups[f"/{letter}/trial"] = trials_dataset(task, _example(name), "training").isel(trial=0)
        groups[f"/{letter}/asked"] = _asked(name)
    tree = xr.DataTree.from_dict(groups)
    for letter, name in LETTERS.items():
        tree[letter].attrs = {"task": name}
    return tree


def _asked(name: str) -> xr.Dataset:
    """What is asked in each of the trained trials, read from the trials themselves."""
    task = get_task(name)
    trials = trials_dataset(task, task.training_trials(np.random.default_rng(0)), "training")
    target = trials["target"].isel(output_channel=0, drop=True)
    if name == "interval_reproduction":
        trials = trials_dataset(task, task.recorded_trials(), "training")
        ready_on = trials["input"].sel(input_channel="ready", drop=True).argmax("time")
        signals = {
            "ready": trials["input"].sel(input_channel="ready", drop=True),
            "set": trials["input"].sel(input_channel="set", drop=True),
            "go": trials["target"].isel(output_channel=0, drop=True),
        }
        return xr.Dataset(
            {
                f"{signal}_on": (
                    "t_in",
                    (values.argmax("time") - ready_on).values,
                    {
                        "long_name": f"onset of {signal.capitalize()} since that of Ready",
                        "units": "steps",
                        "width": int(values.isel(trial=0).sum()),
                    },
                )
                for signal, values in signals.items()
            },
            coords={"t_in": ("t_in", trials["t_in"].values, trials["t_in"].attrs)},
        )
    sign = target.where(target != 0).mean("time")
    grid = drawing.as_grid(sign, list(task.parameters))
    grid.attrs = {"long_name": "answer that is asked for; NaN where nothing is", "units": "1"}
    return grid.to_dataset(name="sign")


def judge(tree: xr.DataTree) -> list[Verdict]:
    """What of figure 2 agrees, and what does not."""
    cube = tree["A/asked"]["sign"]
    right = cube == np.sign(cube["f1"] - cube["f2"])
    low, high = trained_span("delayed_discrimination", "delay")
    quiet = delayed_discrimination.QUIET_GAP
    plane = tree["B/asked"]["sign"]
    rows = tree["C/asked"]
    slopes = {
        name: float(np.polyfit(rows[f"{name}_on"], rows["t_in"], 1)[0]) for name in ("set", "go")
    }
    first = bool((right | cube.isnull()).all()) and (low + quiet, high + quiet) == (5, 24)
    same = bool(((plane == np.sign(plane["t1"] - plane["t2"])) | plane.isnull()).all())
    return [
        Verdict(
            "A",
            f"Delayed discrimination asks for sign(f1 − f2) over {int(cube.notnull().sum()):,} "
            f"trials, silence between the stimuli of {low + quiet} to {high + quiet} steps, as the "
            "paper's text has it (the parameter `delay` counts what goes beyond the 5 that are "
            "always there).",
            first,
        ),
        Verdict(
            "B",
            f"Interval discrimination asks for sign(t1 − t2) over {int(plane.notnull().sum())} "
            "pairs. So were the networks that the authors published trained; the paper's text has "
            "sign(t2 − t1), so our colours are those of its text exchanged.",
            not same,
        ),
        Verdict(
            "C",
            f"Interval reproduction: {rows.sizes['t_in']} intervals; over time, Set lies on a line "
            f"of slope {slopes['set']:.2f} and Go on one of slope {slopes['go']:.2f} (paper: 1 and "
            "1/2).",
            bool(np.allclose([slopes["set"], slopes["go"]], [1, 0.5], atol=1e-6)),
        ),
    ]


def draw(tree: xr.DataTree, folder: Path) -> dict[str, Path]:
    """Plain pictures, by panel."""
    made: dict[str, Path] = {}
    for letter in LETTERS:
        stem = f"figure2_{letter.lower()}"
        trial = tree[f"{letter}/trial"].to_dataset()
        asked = tree[f"{letter}/asked"].to_dataset()
        made[f"{letter} trial"] = drawing.trial_picture(trial, folder / f"{stem}_trial")
        at, label = folder / f"{stem}_asked", "answer asked for"
        if letter == "C":
            made[f"{letter} asked"] = drawing.rows_picture(asked, at)
        elif letter == "B":
            made[f"{letter} asked"] = drawing.map_picture(asked["sign"], at, label, {})
        else:
            made[f"{letter} asked"] = drawing.cube_picture(
                asked["sign"], at, label, {}, slices=(0, 6, 12, 19)
            )
    return made
