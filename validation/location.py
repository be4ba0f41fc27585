"""How often a recording's solution is told, and told rightly: a part of docs/which_solution.md.

    python -m validation.location measure [POPULATION ...]   # docs/data/location
    python -m validation.location                            # the part of the page, and pictures

The first takes some ten minutes a population on one core: a fifth of the networks are kept aside
and recorded in simulation, single trials as spikes, and held against the others. The rat's
recording is read from the folder ``shared`` beside the checkout, where it is there.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from docs.pages import write_part
from solspace import SolspaceError, locate, plots, record, recording_from_arrays, recording_from_nwb
from solspace.locating.electrodes import Rows
from solspace.locating.locate import Prepared, prepare, read_recording, tell
from solspace.recordings.simulated import recorded_units
from solspace.store import Store
from solspace.tasks import Task, get_task

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
PAGE = ROOT / "docs" / "which_solution.md"
DATA = ROOT / "docs" / "data" / "location"
IMAGES = ROOT / "docs" / "images"
RAT = ROOT.parent / "shared" / "recordings" / "rat_m1_timed_taps" / "derived_endtoend.nwb"

UNITS, TRIALS, RATE, BIN, STEP, SD = 30, 40, 10.0, 10.0, 20.0, 60.0
ASIDE = 80  # networks kept aside and recorded
SHUFFLES, HALVES, SURE = 60, 5, 0.8
# Epochs between events that an experimenter sees, and conditions.
EPOCHS = {
    "interval_reproduction": (("ready_set", "set_go"), 5),
    "interval_discrimination": (("first_interval", "second_interval", "decision"), 9),
    "delayed_discrimination": (("f1", "delay", "f2", "decision"), 9),
}
POPULATIONS = (
    "interval_reproduction/vanilla",
    "interval_reproduction/gru",
    "interval_reproduction/lstm",
    "interval_discrimination/vanilla",
    "delayed_discrimination/vanilla",
)


def conditions_of(task: Task) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Trials evenly over the task's, each of other parameters."""
    count = EPOCHS[task.name][1]
    return np.linspace(0, len(task.recorded_trials()) - 1, count).round().astype(np.int64)


def simulated(task: Task, activity: Any, seed: int) -> xr.Dataset:
    """Single trials of some units of one network (condition, step, unit), as spikes."""
    trials, rows = task.recorded_trials(), conditions_of(task)
    names, wanted = list(task.epochs), EPOCHS[task.name][0]
    rng = np.random.default_rng([7, seed])
    chosen = recorded_units(activity.shape[-1], UNITS, rng)
    rates = rng.lognormal(np.log(RATE), 0.8, len(chosen))
    flags = [names.index(n) for n in wanted]
    seen = np.isin(trials.epoch[rows], flags)
    mean = np.maximum((1 + activity[..., chosen])[seen].mean(axis=0), 0.05)
    values: list[Any] = []
    columns: dict[str, list[float]] = {p: [] for p in trials.parameters}
    for name in wanted:
        columns |= {f"{name}_start_time": [], f"{name}_stop_time": []}
    per = round(STEP / BIN)
    for c, row in enumerate(rows):
        at = np.flatnonzero(seen[c])
        rate = np.repeat(rates * (1 + activity[c, at[0] : at[-1] + 1][:, chosen]) / mean, per, 0)
        for _ in range(TRIALS):
            values.append(rng.poisson(rate * BIN / 1e3))
            for p, own in trials.parameters.items():
                columns[p].append(float(own[row]))
            for name, flag in zip(wanted, flags, strict=True):
                here = np.flatnonzero(trials.epoch[row] == flag) - at[0]
                columns[f"{name}_start_time"].append(STEP * here[0])
                columns[f"{name}_stop_time"].append(STEP * (here[-1] + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns and epochs, which are known here
        return recording_from_arrays(
            values, columns, bin=BIN, counts=True, smooth=SD, task=task,
            parameters={p: p for p in trials.parameters},
            epochs={n: (f"{n}_start_time", f"{n}_stop_time") for n in wanted},
        )  # fmt: skip


def _prepared(recording: xr.Dataset, population: xr.Dataset) -> Prepared:
    return prepare(
        recording, population, label="solution", by=None, values=None, groups=5, measures=(),
        draws=3, folds=10, minimum_class_size=10, seed=0, task=None, progress=None,
    )  # fmt: skip


def measure(name: str) -> xr.Dataset:
    """Recordings of networks kept aside, held against the others, and with conditions shuffled."""
    from solspace.classification.scores import calibration, cohen_kappa, kappa_interval

    task = get_task(name.split("/")[0])
    ds = Store(str(STORE)).select(*name.split("/"))[0].open().load()
    order = np.random.default_rng(3).permutation(ds.sizes["network"])
    aside, others = np.sort(order[:ASIDE]), np.sort(order[ASIDE:])
    rows = conditions_of(task)
    found: Prepared | None = None
    cases: list[tuple[str, str, float, str, float, str]] = []
    for i in aside:
        training = record(ds.isel(network=[i]))
        size = int(training["hidden_size"].values[0])
        activity = training["activity"].isel(network=0, trial=rows, unit=slice(size)).values
        one = simulated(task, activity.astype(np.float64), int(i))
        if found is None:
            found = _prepared(one, ds.isel(network=others))
        own = read_recording(one, task, None, None, 5).rows
        truth = str(ds["solution_key"].values[i])
        if truth not in found.classes.name:
            continue
        rng = np.random.default_rng([8, int(i)])
        dealt = Rows(
            own.values, rng.permutation(own.condition), own.weight, own.points, own.lengths
        )
        both = [
            tell(found, r, shuffles=SHUFFLES, halves=HALVES, sure=SURE, seed=int(i))
            for r in (own, dealt)
        ]
        guess = [found.classes.name[t.best] for t in both]
        verdict = ["" if t.reasons else g for t, g in zip(both, guess, strict=True)]
        cases.append((truth, guess[0], float(both[0].probability.max()), verdict[0],
                      float(both[1].p_value), verdict[1]))  # fmt: skip
        print(name, len(cases), cases[-1][1:], flush=True)
    assert found is not None
    used = found.classes.used
    label, held = found.classes.label[used], found.teller.held_out
    count = len(found.classes.name)
    guess_held = held.argmax(axis=-1)
    interval, _ = kappa_interval(label, [guess_held], count)
    curve = calibration(np.tile(label, len(held)), held.reshape(-1, count))
    sure = held.max(axis=-1) >= SURE
    truths, guessed, _, told, null, shuffled = (list(v) for v in zip(*cases, strict=True))
    codes = {n: k for k, n in enumerate(found.classes.name)}
    y, g = (np.array([codes[v] for v in values]) for values in (truths, guessed))
    right = np.array([t == v for t, v in zip(truths, told, strict=True)])
    verdicts = np.array([bool(v) for v in told])
    return xr.Dataset(
        {
            "kappa": cohen_kappa(label, guess_held, count).mean(),
            "kappa_low": interval[0, 0],
            "kappa_high": interval[0, 1],
            "told": sure.mean(),
            "right": (guess_held == label)[sure].mean() if sure.any() else np.nan,
            "confidence": ("confidence_bin", curve["confidence"]),
            "accuracy": ("confidence_bin", curve["accuracy"]),
            "count": ("confidence_bin", curve["count"]),
            "calibration_error": curve["error"],
            "recordings": len(cases),
            "recorded_kappa": cohen_kappa(y, g, count),
            "verdicts": verdicts.sum(),
            "verdicts_right": (verdicts & right).sum(),
            "shuffled_verdicts": sum(bool(v) for v in shuffled),
            "shuffled_p": ("recording", np.array(null)),
            "networks": int(used.sum()),
            "classes": count,
        }
    )


def measure_rat() -> xr.Dataset:
    """The rat's interval between taps held against all networks that reproduce intervals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rat = recording_from_nwb(
            RAT, align="tap1_time", window=(0, 1200), task="interval_reproduction",
            epochs={"set_go": ("tap1_time", "tap2_time")}, parameters={"t_in": "interval"},
        )  # fmt: skip
        populations = [p.open() for p in Store(str(STORE)).select("interval_reproduction")]
        return locate(rat, populations)


def main(given: list[str]) -> None:
    if given[:1] == ["measure"]:
        names = given[1:] or [*POPULATIONS, "rat"]
        if unknown := [n for n in names if n not in (*POPULATIONS, "rat")]:
            raise SolspaceError(f"{unknown[0]!r} is none of {', '.join(POPULATIONS)}, rat")
        for name in names:
            ds = measure_rat() if name == "rat" else measure(name)
            ds.to_netcdf(_file(name))
        return
    write_part(PAGE, __file__, section())


def _file(name: str) -> Path:
    DATA.mkdir(exist_ok=True)
    return DATA / f"{name.replace('/', '_')}.nc"


def section() -> str:
    rows = [
        "| population | networks, solutions | kappa held out | sure, of these right | gap "
        "| recordings | verdicts, of these right | verdicts when shuffled |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in POPULATIONS:
        if not _file(name).exists():
            continue
        ds = xr.load_dataset(_file(name))
        v = {k: ds[k].item() for k in ds.data_vars if ds[k].ndim == 0}
        right = "" if not np.isfinite(v["right"]) else f", {v['right']:.0%}"
        told = f", {v['verdicts_right']:.0f}" if v["verdicts"] else ""
        rows.append(
            f"| `{name}` | {v['networks']}, {v['classes']} | {v['kappa']:.2f} "
            f"({v['kappa_low']:.2f} to {v['kappa_high']:.2f}) | {v['told']:.0%}{right} "
            f"| {v['calibration_error']:.3f} "
            f"| {v['recordings']} | {v['verdicts']:.0f}{told} | {v['shuffled_verdicts']:.0f} |"
        )
    parts = ["\n".join(rows)]
    there = {n: xr.load_dataset(_file(n)) for n in POPULATIONS if _file(n).exists()}
    plots.save(plots.plot_calibration(there), IMAGES / "location_calibration", formats=["png"])
    if _file("rat").exists():
        rat = xr.load_dataset(_file("rat"))
        plots.save(plots.plot_location(rat), IMAGES / "location_rat", formats=["png"])
        parts.append(_of_rat(rat))
    return "\n\n".join(parts)


def _of_rat(rat: xr.Dataset) -> str:
    from solspace.locating.words import location_table

    return (
        "The rat's motor cortex (30 units, 1,266 trials of two taps; Dhawale & Ölveczky, by way of "
        "Williams et al. 2020), the interval between its taps held against `set_go` of all "
        f"networks that reproduce intervals:\n\n```text\n{location_table(rat)}\n```"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SolspaceError as error:
        sys.exit(f"{error}")
