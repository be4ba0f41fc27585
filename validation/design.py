"""How well chosen trials tell the solutions of shipped populations: a part of docs/validation.md.

    python -m validation.design measure [FOLDER]   # docs/data/design.zarr
    python -m validation.design                    # its part of docs/validation.md

The first runs every network of `stores/turner2021.zarr` over its task's challenges, which takes a
quarter of an hour on two cores, and predicts the label from activity, as long again. FOLDER keeps
the answers.
"""

from __future__ import annotations

import datetime
import os
import sys
from pathlib import Path

import numpy as np
import xarray as xr

from solspace.classification import classify
from solspace.design import chosen_challenges, design
from solspace.run.answering import population_answers
from solspace.store import Population, Store

__all__ = ["main", "measure", "section"]

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
PAGE = ROOT / "docs" / "validation.md"
MEASURED = ROOT / "docs" / "data" / "design.zarr"
LABEL = "automaton_key"
NOISE = (0.0, 0.1)
TRIALS = (1, 2, 3, 5)
SCORES = ("kappa", "kappa_low", "kappa_high", "told", "right")
# Aims set before measuring: kappa, with so many chosen trials.
AIMS = {
    "interval_reproduction/vanilla": (0.9, 1),
    "interval_reproduction/lstm": (0.8, 1),
    "interval_reproduction/gru": (0.7, 5),
}
# Two solutions of LSTMs, set_early_only and set_early_late_resets, and what they do alike.
ALIKE = ("interval_reproduction/lstm", "v2:85ddb7c0024f3401", "v2:9d425128fdbcaacd")
BEGIN, END = "<!-- written by validation/design.py -->", "<!-- to here -->"

TEXT = """\
Label `{label}` of the published graphs, classes of ten networks or more, five folds; no network is
told by itself. *chosen*: one trial after another, each the one that says most by then, none of
those that graphs are made from. *random*: any of the same trials. *trained*: chosen among trials of
the training set. *all activity*: features of recorded activity on all trained trials, extra trees.
95 % intervals over networks ({date}; [which_experiment.md](which_experiment.md) says how to do it).

{tables}

Of networks held out, those with a verdict (a probability of .8, for which answers speak three to
one or more) after 1, 2, 3 and 5 chosen trials, and in brackets how many of the verdicts are right,
at noise .1; of all others it says that it cannot tell:

{told}

Aims and what came of them:

{aims}

The first trial given, all networks known, noise .1:

{first}

*Strict* leaves out also longer trials that begin like one that graphs are made from, and those that
differ from one by the width or amplitude of a pulse. Kappa at noise .1 with 1, 2, 3 and 5 chosen
trials:

{strict}

What it was tuned on: `stores/high_rate.zarr` alone, networks of another recipe (how much like
answers count, the prior, how far beyond the trained range trials go); the wait of 45 steps between
two late Sets on a half of the LSTMs.

Which trials graphs are made from was checked by what the probe gives 25 networks a population. Of
Ready-Set-Go these are a Set 21 steps after the root, which lies 21 steps after Ready's onset, and
one 45 to 500 steps after it: all single Sets from the first on are left out. Of interval
discrimination they are pulse 1 at 21 steps and at rest, and pulse 2 some 15 and 25 steps after it
and at rest, which comes after 30 steps or more in all of them: these are left out. Of delayed
discrimination they are two first stimuli with two second ones each, always the same.
"""


def answered(population: Population, folder: str | None) -> xr.Dataset:
    """What its networks answer; kept in a folder where one is given."""
    if folder is None:
        return population_answers(population)
    path = Path(folder) / f"answers_{str(population).replace('/', '_')}.nc"
    if not path.exists():
        population_answers(population).to_netcdf(f"{path}.unfinished", engine="scipy")
        os.replace(f"{path}.unfinished", path)
    return xr.load_dataset(path)


def measure(folder: str | None = None) -> xr.Dataset:
    """Kappa of every population, noise, strategy and number of trials; and from activity."""
    rows = []
    populations = [p for p in Store(str(STORE)).populations() if p.architecture != "planar"]
    for population in populations:
        ds, got = population.open(), answered(population, folder)
        by_rule = []
        for strict in (False, True):
            found = [
                design(ds, label=LABEL, noise=noise, strict=strict, answered=got) for noise in NOISE
            ]
            kept = [one[[*SCORES]].assign(first=_first(one)) for one in found]
            by_rule.append(xr.concat(kept, xr.Variable("noise", np.array(NOISE))))
        row = xr.concat(by_rule, xr.Variable("rule", np.array(["usual", "strict"])))
        print(f"{population}: designed", file=sys.stderr)
        activity = classify(ds, label=LABEL, permutations=0, importance=False, sets=["activity"])
        row = row.assign(
            {
                f"activity_{name}": activity[name].isel(feature_set=0, drop=True)
                for name in ("kappa", "kappa_low", "kappa_high")
            }
        ).assign(networks=found[0].sizes["network_used"], classes=found[0].sizes["class_name"])
        row["together"] = np.nan
        if str(population) == ALIKE[0]:
            merged = ds[LABEL].load().where(ds[LABEL] != ALIKE[2], ALIKE[1])
            together = design(ds.assign_coords({LABEL: merged}), label=LABEL, answered=got)
            row["together"] = together.kappa.sel(strategy="chosen", trials=1, drop=True)
        rows.append(row.reset_coords(drop=True))
        print(f"{population}: done", file=sys.stderr)
    names = np.array([str(population) for population in populations])
    out = xr.concat(rows, xr.Variable("population", names))
    out.attrs = {
        "description": "how well chosen trials tell the solutions of stores/turner2021.zarr "
        "(docs/validation.md)",
        "date": datetime.date.today().isoformat(),
    }
    return out.drop_encoding()


def _first(designed: xr.Dataset) -> str:
    return next(iter(chosen_challenges(designed, 1)), "none")


def _span(low: float, value: float, high: float) -> str:
    # No zero below zero.
    value, low, high = (round(v, 2) + 0.0 for v in (value, low, high))
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(value) else "none"


def _cells(one: xr.Dataset) -> list[str]:
    """Kappa with its interval for each of `TRIALS`."""
    return [
        _span(*(float(one[name].sel(trials=k)) for name in ("kappa_low", "kappa", "kappa_high")))
        for k in TRIALS
    ]


def kappa_tables(data: xr.Dataset) -> str:
    """A table for each noise, a line for each population and strategy."""
    parts = []
    for noise in data.noise.values:
        lines = [
            f"Noise {noise:g} (Weber fraction of the times in answers):",
            "",
            "| population | trials | " + " | ".join(map(str, TRIALS)) + " |",
            "|---" * (2 + len(TRIALS)) + "|",
        ]
        for name in data.population.values:
            one = data.sel(population=name, rule="usual", noise=noise)
            head = f"{name}, {int(one.networks)} networks, {int(one.classes)} classes"
            for strategy in one.strategy.values:
                cells = " | ".join(_cells(one.sel(strategy=strategy)))
                lines.append(f"| {head} | {strategy} | {cells} |")
                head = ""
            ends = (f"activity_{n}" for n in ("kappa_low", "kappa", "kappa_high"))
            span = _span(*(float(one[n]) for n in ends))
            lines.append(f"| | all activity | {span}" + " |" * len(TRIALS))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def aims(data: xr.Dataset) -> str:
    """A line for each aim: met or missed."""
    lines = []
    for name, (aim, trials) in AIMS.items():
        one = data.sel(population=name, rule="usual", strategy="chosen", trials=trials)
        at = {float(n): float(k) for n, k in zip(one.noise.values, one.kappa.values, strict=True)}
        met = [k >= aim for k in at.values()]
        word = "met" if all(met) else "missed"
        if len(set(met)) > 1:
            word = "met at one noise and missed at the other"
        told = " and ".join(f"{k:.3f} at noise {n:g}" for n, k in at.items())
        many = f"{trials} trial{'s' * (trials > 1)}"
        lines.append(f"- `{name}`, {aim:g} with {many}: {word}; {told}.")
        together = float(data.together.sel(population=name))
        if np.isfinite(together):
            lines.append(
                "    - Two of its solutions, *set early only* and *set early late resets*, answer "
                "alike in nearly all trials of the family, in those that define them too: a Set "
                "that comes late is not answered, and whether it starts the interval anew shows "
                f"only in a second one at some waits. With the two as one, kappa is {together:.2f}."
            )
    return "\n".join(lines)


def _told(data: xr.Dataset) -> str:
    lines = ["| population | " + " | ".join(map(str, TRIALS)) + " |"]
    lines.append("|---" * (1 + len(TRIALS)) + "|")
    for name in data.population.values:
        one = data.sel(population=name, rule="usual", noise=NOISE[-1], strategy="chosen")
        cells = [
            f"{told:.0%} ({right:.0%})" if told > 0 else "0%"
            for told, right in (
                (float(one.told.sel(trials=k)), float(one.right.sel(trials=k))) for k in TRIALS
            )
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _strict(data: xr.Dataset) -> str:
    lines = ["| population | " + " | ".join(map(str, TRIALS)) + " |"]
    lines.append("|---" * (1 + len(TRIALS)) + "|")
    for name in data.population.values:
        one = data.sel(population=name, rule="strict", noise=NOISE[-1], strategy="chosen")
        lines.append(f"| {name} | " + " | ".join(_cells(one)) + " |")
    return "\n".join(lines)


def part() -> str:
    """What stands between the two lines of the page."""
    data = xr.open_zarr(MEASURED).load()
    first = data.first.sel(rule="usual", noise=NOISE[-1])
    return TEXT.format(
        label=LABEL,
        date=data.attrs["date"],
        tables=kappa_tables(data),
        aims=aims(data),
        told=_told(data),
        strict=_strict(data),
        first="\n".join(
            f"- `{name}`: {first.sel(population=name).item()}" for name in data.population.values
        ),
    ).strip()


def section() -> str:
    """The section, or nothing where nothing was measured."""
    if not MEASURED.exists():
        return ""
    return f"## Which trials tell the solutions?\n\n{BEGIN}\n\n{part()}\n\n{END}\n"


def main(argv: list[str]) -> None:
    from docs.pages import write_part

    if argv and argv[0] == "measure":
        measure(argv[1] if len(argv) > 1 else None).to_zarr(MEASURED, mode="w")
    write_part(PAGE, __file__, part())


if __name__ == "__main__":
    main(sys.argv[1:])
