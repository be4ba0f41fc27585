"""Recordings beside what others make of them: one section of docs/validation.md.

Needs the recordings in the folder ``shared`` beside the checkout. None of them is copied here; only
what comes out is written.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace.features.stage import extract_features
from solspace.recordings.building import recording_from_arrays
from solspace.recordings.joining import average_trials, stack_units
from solspace.recordings.nwb import recording_from_nwb

__all__ = ["measure_counts", "measure_mante", "measure_rat", "picture", "section"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
PICTURE = ROOT / "docs" / "images" / "rat.png"
ORACLE = SHARED / "oracles" / "synthetic_rsg.nwb"
RAT = SHARED / "recordings" / "rat_m1_timed_taps" / "derived_endtoend.nwb"
MANTE = SHARED / "recordings" / "mante2013_pfc_ar20"
GROUPS = 5  # of trials, by how long the rat waited
SHUFFLES = 20
FAMILIES = ("speed", "dimensionality", "kinet")
SHOWN = (
    "participation_ratio_all",
    "speed_interval",
    "scaling_interval_speed",
    "scaling_interval_path",
    "kinet_distance_interval_first",
    "kinet_distance_interval_last",
    "kinet_speed_interval",
    "kinet_direction_interval",
)


def measure_counts() -> dict[str, Any]:
    """Our counts and rates of the synthetic recording beside pynapple's and elephant's."""
    import pynwb

    from solspace.recordings.building import recording_from_spikes

    reference = np.load(ORACLE.with_name("synthetic_rsg_ref.npz"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = recording_from_nwb(ORACLE, align="set_time", window=(0, 600), smooth=None)
        counts = ds.activity.values[0]
        seen = np.isfinite(counts)
        with pynwb.NWBHDF5IO(str(ORACLE), "r") as io:
            spikes = io.read().units.get_unit_spike_times(0)
        events = np.round(np.arange(2, 60, 0.5), 2)  # elephant's bins begin at 0
        rate = recording_from_spikes([spikes], {"at": events}, align="at", window=(0, 300))
    first = np.round(events * 100).astype(int)
    theirs = np.stack([reference["elephant_rate_unit0"][i : i + 30] for i in first])
    return {
        "bins": int(seen.sum()),
        "unlike": int((counts[seen] != reference["pynapple_counts"][seen]).sum()),
        "not_observed": int((~seen).sum()),
        "gap": float(np.abs(rate.activity.values[0, ..., 0] - theirs).max()),
        "largest": float(theirs.max()),
    }


def mante_units(files: Sequence[Path]) -> list[xr.Dataset]:
    """Units of Mante et al., averaged over correct trials alike in context and coherences."""
    from scipy.io import loadmat

    units = []
    for file in files:
        unit = loadmat(file, simplify_cells=True)["unit"]
        told = unit["task_variable"]
        columns = {n: np.unique(told[n], return_inverse=True)[1] for n in ("stim_dir", "stim_col")}
        columns |= {"context": told["context"], "wrong": 1 - told["correct"]}
        counts = unit["response"][:, :750].reshape(len(unit["response"]), 15, 50).sum(axis=2)
        units.append(
            recording_from_arrays(
                counts[..., None] / 0.05, columns, bin=50, start=100, drop=["wrong"],
                average=["context", "stim_dir", "stim_col"], name=file.stem,
                epochs={"stimulus": (100, 850)},
            )
        )  # fmt: skip
    return units


def measure_mante() -> dict[str, Any]:
    """Condition averages of prefrontal units beside those that were made with numpy alone."""
    reference = np.load(MANTE / "derived_condavg_correct_50ms.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        units = mante_units(sorted(MANTE.glob("*.mat")))
        together = stack_units(units)
        features = extract_features(together, families=["dimensionality"])
    gap, conditions, miscounted = 0.0, 0, 0
    for unit, own in enumerate(units):
        for i in range(own.sizes["trial"]):
            at = (
                unit,
                0 if own.context.values[0, i] == 1 else 1,
                own.stim_dir.values[0, i],
                own.stim_col.values[0, i],
            )
            off = own.activity.values[0, i, :, 0] - reference["rate_hz"][at]
            gap = max(gap, float(np.abs(off).max()))
            miscounted += int(own.trials_averaged.values[0, i, 0] != reference["n_trials"][at])
            conditions += 1
    return {
        "units": len(units),
        "conditions": conditions,
        "empty": int((reference["n_trials"] == 0).sum()),
        "together": int(together.sizes["trial"]),
        "gap": gap,
        "miscounted": miscounted,
        "ratio": float(features.features.sel(feature="participation_ratio_all").item()),
    }


def grouped_rat() -> tuple[xr.Dataset, NDArray[Any], NDArray[Any]]:
    """The rat's trials, how long it waited in each, and its group, from the shortest."""
    ds = recording_from_nwb(
        RAT, align="tap1_time", window=(0, 1200), parameters={"waited": "interval"},
        epochs={"interval": ("tap1_time", "tap2_time")},
    )  # fmt: skip
    waited = ds.tap2_time.values[0]  # ms after the first tap
    edges = np.quantile(waited, np.linspace(0, 1, GROUPS + 1))
    group = np.clip(np.searchsorted(edges, waited, side="right") - 1, 0, GROUPS - 1)
    return ds, waited, group


def measure_rat() -> dict[str, Any]:
    """Features of the rat's motor cortex between two taps, compared by how long it waited."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds, waited, group = grouped_rat()
        rng = np.random.default_rng(0)
        own = _compared(ds, group)
        chance = [_compared(ds, rng.permutation(group)) for _ in range(SHUFFLES)]
    names = [n for n in SHOWN if n in own and all(n in one for one in chance)]
    return {
        "trials": int(ds.sizes["trial"]),
        "units": int(ds.hidden_size.item()),
        "exclusions": ds.exclusions.item(),
        "waited": [float(np.median(waited[group == k])) for k in range(GROUPS)],
        "counts": [int((group == k).sum()) for k in range(GROUPS)],
        "own": {n: own[n] for n in names},
        "chance": {n: np.array([one[n] for one in chance]) for n in names},
        "features": len(own),
    }


def _averaged(ds: xr.Dataset, group: NDArray[Any]) -> xr.Dataset:
    told = ds.assign_coords(waited=(("network", "trial"), group[None].astype(float)))
    return average_trials(told, "waited")


def _compared(ds: xr.Dataset, group: NDArray[Any]) -> dict[str, float]:
    """Features of the averages over groups of trials, numbered from the shortest."""
    out = extract_features(_averaged(ds, group), families=FAMILIES)
    return dict(zip(out.feature.values.astype(str), out.features.values[0].tolist(), strict=True))


def picture() -> None:
    """The rat's activity in the plane of two principal components, a path for each group."""
    from solspace import plots

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds, waited, group = grouped_rat()
        averaged = _averaged(ds, group)
        medians = [[float(np.median(waited[group == k])) for k in range(GROUPS)]]
        # Coloured by how long it waited, not by the number of the group.
        told = (("network", "trial"), medians, {"units": "ms", "long_name": "waited"})
        shown = plots.plot_trajectories(averaged.assign_coords(waited=told), 0)
        plots.save(shown, PICTURE.with_suffix(""), formats=["png"])


def section() -> str:
    """The section of the page, in Markdown."""
    if not (ORACLE.exists() and RAT.exists()):
        return ""
    counts, rat = measure_counts(), measure_rat()
    waited = ", ".join(f"{w:.0f}" for w in rat["waited"])
    mante = measure_mante() if MANTE.exists() else None
    first = (
        "**Counts and rates.** On a synthetic session of Ready-Set-Go in NWB (24 trials, 12 units; "
        "one unit silent, one observed half of the time, one trial without Go) "
        f"{counts['bins'] - counts['unlike']:,} of {counts['bins']:,} observed bins of 10 ms hold "
        f"as many spikes as pynapple counts; {counts['not_observed']} bins were not observed and "
        f"are NaN here, where pynapple counts on. Rates by a Gaussian of 60 ms are within "
        f"{counts['gap']:.1g} spikes/s of elephant's, which go up to {counts['largest']:.0f}."
    )
    second = (
        f"**A rat's motor cortex.** {rat['units']} units, {rat['trials']:,} trials of two taps "
        f"(Dhawale & Ölveczky, by way of Williams et al. 2020), read from NWB; left out: "
        f"{rat['exclusions'] or 'nothing'}. Trials in {GROUPS} groups of "
        f"{min(rat['counts'])} to {max(rat['counts'])} by how long the rat waited (medians "
        f"{waited} ms), averaged, from the first tap to the median second one; "
        f"{rat['features']} features of the families {', '.join(FAMILIES)}. Beside them what comes "
        f"of groups dealt at random, {SHUFFLES} times: mean and range. Activity runs slower where "
        "the rat waits longer: for a step along one group's path the next group takes as many as "
        "`kinet_speed_interval` says."
    )
    rows = ["| feature | by how long it waited | at random |", "|---|---|---|"]
    for name, value in rat["own"].items():
        chance = rat["chance"][name]
        rows.append(
            f"| `{name}` | {value:.2f} | {chance.mean():.2f} "
            f"({chance.min():.2f} to {chance.max():.2f}) |"
        )
    third = mante and (
        f"**A pseudo-population.** {mante['units']} prefrontal units recorded one after another "
        f"(Mante et al. 2013), averaged over correct trials by context and the two coherences: "
        f"{mante['conditions']:,} averages of a unit are those made with numpy alone (largest "
        f"difference {mante['gap']:.1g} spikes/s, {mante['miscounted']} with another count of "
        f"trials; {mante['empty']} has no trial). {mante['together']} conditions are in all units; "
        f"there their participation ratio is {mante['ratio']:.1f}."
    )
    paragraphs = [
        textwrap.fill(p, 100, break_long_words=False) for p in (first, third, second) if p
    ]
    picture()
    shown = f"![A path for each of {GROUPS} groups, from the first tap on](images/{PICTURE.name})"
    return "\n\n".join(["## Recordings", *paragraphs, "\n".join(rows), shown]) + "\n"


if __name__ == "__main__":
    print(section())
