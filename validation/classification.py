"""How well activity tells the solution: one section of docs/validation.md, and its pictures.

Reads `shared/reference/populations` (the features and labels the authors published for 400 networks
a population; label 0 is "in no class of ten or more") and the results that `solspace classify` left
in `stores/turner2021.zarr`.

    python -m validation.classification labels     # docs/data/classification.zarr
    python -m validation.classification [STORE]    # docs/recording_size.md

The first predicts further labels than the one that solutions follow: some minutes a population.
The second says how much to record and what transfers between groups, for which it brings recordings
back in a copy: half an hour or more. A store that has its recordings already can be given after it.
"""

from __future__ import annotations

import csv
import datetime
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from solspace import SolspaceError
from solspace.classification import classify, classify_across
from solspace.run.loop import run_stage
from solspace.store import Population, Store

__all__ = ["main", "recording_size", "section"]

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
REFERENCE = ROOT.parent / "shared" / "reference" / "populations"
IMAGES = ROOT / "docs" / "images"
# Kappa by the authors' own code on their features: 50 stratified splits of a random forest.
PUBLISHED = {
    "delayed_discrimination/vanilla": 0.44,
    "interval_discrimination/vanilla": 0.46,
    "interval_reproduction/vanilla": 0.35,
    "interval_reproduction/gru": 0.61,
    "interval_reproduction/lstm": 0.51,
}
SETS = ("published", "activity", "all")
LABELS = ("graph_key", "attractor_key")  # beside that of the solutions
BY_LABEL = ROOT / "docs" / "data" / "classification.zarr"
SPANS = ("kappa", "kappa_low", "kappa_high", "kappa_gain", "kappa_gain_low", "kappa_gain_high")
# Surfaces, which take a feature table a point: population, set of features, units and trials.
SURFACES = (
    ("interval_reproduction/vanilla", "activity", (5, 10, 20, np.inf), (1, 10, 100, np.inf)),
    ("interval_reproduction/vanilla", "all", (5, 20, np.inf), (10, 100, 1000, np.inf)),
    ("interval_reproduction/gru", "activity", (5, 20, np.inf), (10, 100, np.inf)),
    ("delayed_discrimination/vanilla", "all", (5, 20, np.inf), (10, 100, 1000, np.inf)),
)

HEAD = """\
## Does activity tell the solution?

Section 5.5 of the paper predicts the class of a network from features of its activity on trained
trials. [classification.md](classification.md) says how it is done here.

The same code on the authors' own features and labels, a random forest in 50 stratified splits of
90/10 (5 times 10 folds; scaled within the folds, where the authors scaled before):

{reference}
"""

OURS = """\
On our populations, the paper's features beside ours, on the same networks and folds, with 95 %
intervals over networks. *published* are the paper's features; *activity* these and the further
ones of `solspace.features.activity`; *all* adds what a network fitted to the activity does on
trials that were not recorded. For a noiseless recording of all units that fit is all but the
network itself, so *all* says that the recording determines the solution, not that a recording of
neurons would: [recording_size.md](recording_size.md) says what is left of it with few units and
spikes. Classes of fewer than ten networks are left out.

{table}

{by_label}

![Kappa by set of features](images/classification.png)

Pairs of classes that *activity* confuses most (share of the networks of the two that are taken for
the other), and what they do:

{pairs}

In the interval tasks they differ in what follows pulses that no trained trial has: none at all, or
a Set long after the response. Nothing in the recorded trials is the answer to these, so a
description of the recorded trials can tell such classes apart only as far as they tend to move
differently. A network fitted to the recording can be given these pulses. In delayed discrimination
they differ in what a memory is held by after far longer delays than the trained ones, which the
fitted networks tell no better.

Confusion matrices, of *activity* (left) and *all*:

{pictures}

Which families of features carry *activity*: how far kappa falls when all features of a family are
dealt out anew among the held-out networks. Families that say the same hide each other.

{importance}

![Fall of kappa by family, {important}](images/classification_importance.png)
"""

WITH_LABELS = """\
By graphs, as the paper counts, and by attractors, in the same way (`python -m
validation.classification labels`, {date}):

{table}
"""

SIZE = """\
# How much to record

Written by `python -m validation.classification`. Kappa for the label `solution` from simulated
recordings: some units of a network are recorded as spikes of at most 50 Hz, counted in sliding
windows of 50 ms (a step is 10 ms) over so many trials of each condition, and features are computed
from what is seen alone; *no spikes* is the activity itself. Extra trees, three times ten folds.
[classification.md](classification.md) says what the sets of features hold.
"""

SURFACE = """\
`{population}`, features *{set}*:

{table}

![Kappa by units and trials](images/{image}.png)
"""

ACROSS = """\
## Does it transfer?

Trained on one group of networks (rows), tested on another (columns), features *activity*, label
`solution_key`; within a group, networks held out. In brackets the networks tested, those of a class
that ten networks of the first group have. No kappa where these are all of one class.

{tables}
"""


def reference_table() -> str:
    lines = [
        "| population | classes | networks | authors | ours | 95 % |",
        "|---|---|---|---|---|---|",
    ]
    for population, kappa in PUBLISHED.items():
        with (REFERENCE / f"{population.replace('/', '_')}.csv").open() as file:
            rows = np.array([[float(v) for v in row] for row in list(csv.reader(file))[1:]])
        label = rows[:, 2].astype(int)
        ds = xr.Dataset(
            {
                "features": (("network", "feature"), rows[:, 3:]),
                "solution": ("network", np.where(label == 0, -1, label)),
            },
            coords={
                "feature": [f"published_{i:02d}" for i in range(rows.shape[1] - 3)],
                "feature_family": ("feature", ["published"] * (rows.shape[1] - 3)),
            },
        )
        out = classify(
            ds,
            sets=["published"],
            models=["random_forest"],
            repeats=5,
            permutations=0,
            importance=False,
        )
        lines.append(
            f"| {population} | {out.sizes['label_class']} | {out.attrs['networks_used']} "
            f"| {kappa:.2f} | {float(out.split_kappa.mean()):.2f} | {out.kappa_low.item():.2f} to "
            f"{out.kappa_high.item():.2f} |"
        )
    return "\n".join(lines)


def with_features(folder: str) -> dict[str, Population]:
    """Our populations in a copy of the store that has recordings and features."""
    path = f"{folder}/copy.zarr"
    shutil.copytree(STORE, path)
    found = {}
    for population in Store(path).populations():
        if str(population) not in PUBLISHED:
            continue
        where: dict[str, Any] = {"task": population.task, "architecture": population.architecture}
        run_stage(path, "record", **where, redo=not population.has("training"))
        lacking = "features" not in population.open().variables
        run_stage(path, "features", **where, redo=lacking)
        found[str(population)] = population
    return found


def results_table(results: Mapping[tuple[str, str], xr.Dataset]) -> str:
    """A line for each population and label, of how many classes and how well they are told."""
    lines = [
        "| population | label | classes (left out) | published | activity | all | gain of activity "
        "| gain of all |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (population, label), out in results.items():
        cells = [_span(out, s, "kappa") for s in SETS]
        cells += [_span(out, s, "kappa_gain", "+") for s in SETS[1:]]
        lines.append(
            f"| {population} | `{label}` | {out['classes'].item()} ({out['left_out'].item()}) | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)


def counted(out: xr.Dataset) -> xr.Dataset:
    """The result of `classify` with the number of its classes and of networks left out."""
    left_out = sum(json.loads(out.attrs["networks_excluded"]).values())
    return out.assign(classes=out.sizes["label_class"], left_out=left_out)


def classify_labels() -> xr.Dataset:
    """Kappa of the labels of the shipped populations that solutions do not follow already."""
    found = {}
    for population in Store(str(STORE)).populations():
        if str(population) not in PUBLISHED:
            continue
        ds = _opened(population)
        for label in LABELS:
            if label == ds.attrs.get("solution_method"):
                continue
            if label not in ds.variables or (ds[label].values == "").all():
                continue
            try:
                out = classify(ds, label=label, permutations=0, importance=False)
            except SolspaceError as error:
                print(f"{population}, {label}: {error}", file=sys.stderr)
                continue
            kept = counted(out)[[*SPANS, "classes", "left_out"]]
            found[str(population), label] = kept.reset_coords(drop=True)
            print(f"{population}, {label}: done", file=sys.stderr)
    names, labels = zip(*found, strict=True)
    out = xr.concat(list(found.values()), "row").assign_coords(
        population=("row", np.array(names, "U40")), label=("row", np.array(labels, "U24"))
    )
    out.attrs = {
        "description": "how well each label of stores/turner2021.zarr is predicted from features "
        "(docs/validation.md)",
        "date": datetime.date.today().isoformat(),
    }
    return out.drop_encoding()


def by_label() -> str:
    """The table of all labels; nothing where they were not predicted."""
    if not BY_LABEL.exists():
        return ""
    rows = xr.open_zarr(BY_LABEL).load()
    found = [rows.isel(row=k) for k in range(rows.sizes["row"])]
    results = {(one.population.item(), one.label.item()): one for one in found}
    return WITH_LABELS.format(table=results_table(results), date=rows.attrs["date"])


def _span(out: xr.Dataset, feature_set: str, name: str, sign: str = "") -> str:
    one = out.sel(feature_set=feature_set)
    value, low, high = (float(one[n]) for n in (name, f"{name}_low", f"{name}_high"))
    return f"{value:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})"


def confused_pairs(results: dict[tuple[str, str], xr.Dataset], most: int = 2) -> str:
    """The pairs of classes that *activity* confuses most, and what the classes do."""
    lines = []
    for (population, label), out in results.items():
        counts = out.confusion.sel(feature_set="activity").values
        whole = out.confusion.sel(feature_set="all").values
        meaning = _meanings(population, label)
        pairs = combinations(range(len(counts)), 2)
        rows = [(_mistaken(counts, j, i), j, i) for j, i in pairs]
        for share, j, i in sorted(rows, reverse=True)[:most]:
            names = [str(out["label_class"].values[k]) for k in (j, i)]
            lines.append(
                f"- `{population}`, classes {names[0]} and {names[1]} "
                f"({counts[j].sum():.0f} and {counts[i].sum():.0f} networks): {share:.0%}, by "
                f"*all* {_mistaken(whole, i, j):.0%}."
            )
            lines += [f"    - {name}: {meaning[name]}" for name in names if name in meaning]
    return "\n".join(lines)


def _mistaken(counts: np.ndarray, i: int, j: int) -> float:
    return float((counts[i, j] + counts[j, i]) / (counts[i].sum() + counts[j].sum()))


def _meanings(population: str, label: str) -> dict[str, str]:
    """What networks of a class do, in words; nothing for labels that have none."""
    ds = xr.open_zarr(STORE, group=population)
    if label != "solution":
        return {}
    values, where = np.unique(ds[label].values, return_index=True)
    words = ds.solution_description.values[where]
    return {str(v): str(w) for v, w in zip(values.tolist(), words, strict=True)}


def size_table(out: xr.Dataset) -> str:
    named = {np.inf: "no spikes", 1: "1 trial"}
    heads = [named.get(n, f"{n:,.0f} trials") for n in out.recorded_trials.values.tolist()]
    lines = ["| units | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for k, row in zip(out.recorded_units.values.tolist(), out.kappa.values, strict=True):
        cells = [f"{v:.2f}" for v in row]
        lines.append(f"| {'all' if np.isinf(k) else format(k, 'g')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def across_table(out: xr.Dataset) -> str:
    names = out.tested_on.values.tolist()
    lines = ["| | " + " | ".join(map(str, names)) + " |", "|---" * (1 + len(names)) + "|"]
    for i, name in enumerate(names):
        cells = []
        for kappa, tested in zip(out.kappa.values[i], out.tested.values[i], strict=True):
            cells.append(f"{kappa:.2f} ({tested})" if np.isfinite(kappa) else f"none ({tested})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def stored_results() -> dict[tuple[str, str], xr.Dataset]:
    """What `solspace classify` found in the shipped populations, by population and label."""
    found = {}
    for population in Store(str(STORE)).populations() if STORE.exists() else []:
        if population.has("classification"):
            out = population.open("classification").load()
            found[str(population), str(out.attrs["label"])] = counted(out)
    return found


def section() -> str:
    """The section, or nothing where there is neither reference nor store; draws its pictures."""
    parts = []
    if REFERENCE.exists():
        parts.append(HEAD.format(reference=reference_table()))
    results = stored_results()
    if results:
        parts.append(ours(results))
    return "\n".join(parts)


def ours(results: dict[tuple[str, str], xr.Dataset]) -> str:
    """What is said of populations of our own."""
    from solspace.plots import plot_confusion, plot_importance, plot_kappa, save

    by_name = {name: out for (name, _), out in results.items()}
    save(plot_kappa(by_name), IMAGES / "classification", formats=["png"])
    pictures = ["| | *activity* | *all* |", "|---|---|---|"]
    for name, out in by_name.items():
        cells = []
        for features in ("activity", "all"):
            stem = f"classification_{name.replace('/', '_')}_{features}"
            save(plot_confusion(out, features), IMAGES / stem, formats=["png"])
            cells.append(f"![Confusion matrix of {name} by {features}](images/{stem}.png)")
        pictures.append(f"| {name} | {' | '.join(cells)} |")
    # where descriptions of activity tell most
    important = max(by_name, key=lambda n: by_name[n].kappa.sel(feature_set="activity").item())
    save(
        plot_importance(by_name[important], "activity"),
        IMAGES / "classification_importance",
        formats=["png"],
    )
    return OURS.format(
        table=results_table(results),
        by_label=by_label(),
        pairs=confused_pairs(results),
        pictures="\n".join(pictures),
        importance=importance_table(by_name),
        important=important,
    )


def importance_table(results: dict[str, xr.Dataset]) -> str:
    """Fall of kappa by family (rows) and population (columns)."""
    falls = {
        name: out.family_importance.sel(feature_set="activity").to_series().dropna()
        for name, out in results.items()
    }
    families = list(dict.fromkeys(f for fall in falls.values() for f in fall.index))
    order = sorted(families, key=lambda f: -sum(fall.get(f, 0.0) for fall in falls.values()))
    lines = ["| family | " + " | ".join(falls) + " |", "|---" * (1 + len(falls)) + "|"]
    for family in order:
        cells = [f"{fall[family]:.2f}" if family in fall else "" for fall in falls.values()]
        lines.append(f"| {family} | {' | '.join(cells)} |")
    return "\n".join(lines)


def recording_size(populations: dict[str, Population]) -> str:
    """How much to record, and transfer between groups of networks."""
    from solspace.plots import plot_recording_size, save
    from solspace.recordings.stage import classify_recordings

    opened = {name: _opened(population) for name, population in populations.items()}
    parts = [SIZE]
    stored = stored_results()
    for name, features, units, trials in SURFACES:
        training = populations[name].open("training")  # read a few networks at a time
        out = classify_recordings(training, set=features, units=units, trials=trials)
        known = [o for (n, _), o in stored.items() if n == name]
        whole = float(known[0].kappa.sel(feature_set="published")) if known else None
        image = f"recording_{name.replace('/', '_')}_{features}"
        save(plot_recording_size(out, whole=whole), IMAGES / image, formats=["png"])
        parts.append(
            SURFACE.format(population=name, set=features, table=size_table(out), image=image)
        )
    tables = []
    for name, ds in opened.items():
        sizes = np.unique(ds.hidden_size.values)
        groups = {f"{n} units": ds.isel(network=ds.hidden_size.values == n) for n in sizes}
        out = classify_across(groups, label="solution_key")
        tables.append(f"`{name}`:\n\n{across_table(out)}")
    alike = {n: ds for n, ds in opened.items() if n.startswith("interval_reproduction")}
    out = classify_across(alike, label="solution_key")
    tables.append(f"Architectures:\n\n{across_table(out)}")
    parts.append(ACROSS.format(tables="\n\n".join(tables)))
    return "\n".join(parts)


def _opened(population: Population) -> xr.Dataset:
    """Features and labels of a population, in memory."""
    return population.open()[["features"]].load()


def main() -> int:
    if not STORE.exists():
        print("needs stores/turner2021.zarr", file=sys.stderr)
        return 2
    if sys.argv[1:] == ["labels"]:
        classify_labels().to_zarr(BY_LABEL, mode="w")
        return 0
    if len(sys.argv) > 1:
        found = Store(sys.argv[1]).populations()
        text = recording_size({str(p): p for p in found if str(p) in PUBLISHED})
    else:
        with tempfile.TemporaryDirectory() as folder:
            text = recording_size(with_features(folder))
    (ROOT / "docs" / "recording_size.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
