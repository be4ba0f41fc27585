"""Write the numbers of docs/context_integration.md about individuality, and draw its pictures.

python -m docs.make_individuality STORE [--permutations N]

STORE holds context_integration/leaky with `solspace individuality` done, and `challenge_value`
where behaviour was challenged; else psychometric curves tell of behaviour.
"""

from __future__ import annotations

import argparse
import re
import textwrap
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from solspace.errors import SolspaceError, how_to_make
from solspace.individuality import (
    modulation_shares,
    permute_rho,
    predict_held_out,
    stratified_ranks,
)
from solspace.individuality.correlating import correlate_measures
from solspace.plots import plot_correlations, plot_lines, plot_modulation, save
from solspace.run.correlating import behaviour_of
from solspace.store import Store

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "context_integration.md"
BEGIN, END = "<!-- made by docs/make_individuality.py -->", "<!-- end of individuality -->"
GROUP = "context_integration/leaky"
NETWORK = 7  # whose lines are drawn
FEWER, DRAWS = (12, 20, 32, 48), 100
SHOWN = 12
# Which numbers tell most, kind by kind.
KINDS = {
    "lines": (
        "line_length", "relative_line_length", "line_straightness", "line_drift", "line_angle",
        "line_distance",
    ),
    "angles of vectors": (
        "selection_angle", "input_angle", "selection_line_angle", "readout_line_angle",
    ),
    "shares of modulation": ("direct", "indirect", "selection", "stream_asymmetry"),
    "gain and when": ("gain", "leak", "early_share"),
    "slow modes and stable points": ("slow_rate", "slow_turn", "next_rate", "stable_points"),
    "dimension": ("dimension",),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--permutations", type=int, default=10_000)
    args = parser.parse_args()
    task, architecture = GROUP.split("/")
    (population,) = Store(args.store).select(task, architecture)
    ds = population.open()
    if "neural_value" not in ds.variables:
        raise SolspaceError(f"{args.store}: no 'neural_value'; {how_to_make('individuality')}")
    ds, table = ds.load(), population.open("individuality").load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        behaviour, again = behaviour_of(ds)
    found = correlate_measures(
        ds["neural_value"], behaviour, again=again, permutations=args.permutations
    )
    for name, picture in (
        ("triangle", plot_modulation(table, ds["hidden_size"])),
        ("correlations", plot_correlations(found)),
        ("lines", plot_lines(ds.isel(network=[NETWORK]), 0)),
    ):
        path = ROOT / "docs" / "images" / f"individuality_{name}"
        save(picture, path, formats=["png"], dpi=180)
    parts = [
        modulation_text(ds, table),
        numbers_table(ds),
        correlations_text(found, again is not None),
        kinds_table(ds, behaviour, found),
        fewer_text(ds, behaviour, found),
    ]
    block = "\n\n".join([BEGIN, *map(wrapped, parts), END])
    text = PAGE.read_text()
    if BEGIN not in text:
        raise SolspaceError(f"{PAGE.name} has no line {BEGIN}; put one there, and {END} after it")
    pattern = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
    PAGE.write_text(re.sub(pattern, lambda _: block, text, flags=re.DOTALL))


def wrapped(text: str) -> str:
    """Paragraphs in lines that can be read, tables as they are."""
    parts = text.split("\n\n")
    return "\n\n".join(
        part if part.startswith("|") else textwrap.fill(part, 104, break_on_hyphens=False)
        for part in parts
    )


def rows_of(rows: list[list[str]]) -> str:
    """A table of Markdown, the first row its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def quartiles(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values[np.isfinite(values)], [25, 50, 75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def modulation_text(ds: xr.Dataset, table: xr.Dataset) -> str:
    """How many networks have modulation by each method, and its shares by size."""
    shares = modulation_shares(table["modulation"].values).mean(axis=2)
    done = np.isfinite(ds["neural_value"].values).all(axis=1)
    count = table["slow_point_count"].values
    both = np.isfinite(shares[:, 1]).all(axis=1) & done
    cosines = []
    for i in np.flatnonzero(done):
        for c in range(count.shape[1]):
            if count[i, c] > 0:
                own, other = (
                    np.nan_to_num(table[name].values[i, c].astype(float))
                    for name in ("selection_vector", "slow_point_selection_vector")
                )
                cosines.append(own @ other / np.linalg.norm(own) / np.linalg.norm(other))
    own_rho = permute_rho(shares[both, 0], shares[both, 1], np.zeros(both.sum()), 1).rho
    sizes = ds["hidden_size"].values
    rows = [["units", "networks", "direct", "indirect", "selection vector"]]
    for size in np.unique(sizes).tolist():
        mask = done & (sizes == size)
        rows.append([str(size), str(mask.sum()), *map(quartiles, shares[mask, 0].T)])
    rows.append(["all", str(done.sum()), *map(quartiles, shares[done, 0].T)])
    rows.append(["all, at slow points", str(both.sum()), *map(quartiles, shares[both, 1].T)])
    agreed = ", ".join(f"{x:.2f}" for x in np.diag(own_rho))
    return (
        f"Of {len(done)} networks {done.sum()} have a modulation to be split; in the other "
        f"{(~done).sum()} a pulse of one stream, on a trial without evidence, moves the choice no "
        "more where it counts, and they are marked failed with that reason. "
        "Shares, median and quartiles:\n\n"
        f"{rows_of(rows)}\n\n"
        f"Slow points by the definition of Mante et al. are there in both contexts of "
        f"{(count[done] > 0).all(axis=1).sum()} of the {done.sum()}, in one of "
        f"{((count[done] > 0).sum(axis=1) == 1).sum()}, in none of "
        f"{(count[done] == 0).all(axis=1).sum()}; "
        f"{((count > 0).all(axis=1) & done & ~both).sum()} of those that have both select nothing "
        "there. Where they are, their selection vector has a cosine of "
        f"{quartiles(np.array(cosines))} with the carried-back one, median and quartiles. "
        "Shares by both methods go together only weakly (rho of direct, indirect and selection "
        f"{agreed}): fixed points lie elsewhere than where trials decide."
    )


def numbers_table(ds: xr.Dataset) -> str:
    values = ds["neural_value"].values
    rows = [["number", "5 %", "median", "95 %"]]
    for k, name in enumerate(ds["neural_measure"].values.astype(str)):
        own = values[np.isfinite(values[:, k]), k]
        told = [f"{x:.3g}" for x in np.percentile(own, [5, 50, 95])]
        meaning, units = (str(ds[f"neural_measure_{n}"].values[k]) for n in ("meaning", "units"))
        unit = "" if units == "1" else f" ({units})"
        rows.append([f"`{name}`<br>{meaning}{unit}", *told])
    return rows_of(rows)


def correlations_text(found: xr.Dataset, repeated: bool) -> str:
    """The largest correlations, those of the parts of modulation, and of all together."""
    attrs, rho, p = found.attrs, found["rho"].values, found["p_corrected"].values
    dims = [str(d) for d in found["rho"].dims]
    names = [found[d].values.astype(str) for d in dims]
    significant = p < 0.05
    rows = [["inside", "behaviour", "rho", "95 % interval", "p, corrected"]]
    for at in np.argsort(-np.abs(rho), axis=None, kind="stable")[:SHOWN]:
        k, m = np.unravel_index(at, rho.shape)
        rows.append(told_pair(found, names, int(k), int(m)))
    parts = [["inside", "behaviour", "rho", "95 % interval", "p, corrected"]]
    for part in ("direct", "indirect", "selection"):
        if part in names[0]:
            k = names[0].tolist().index(part)
            parts.append(told_pair(found, names, k, int(np.abs(rho[k]).argmax())))
    together = [
        ["behaviour", "R2, held out", "p, corrected", *(["reliability"] if repeated else [])]
    ]
    for m in np.argsort(-found["r2"].values, kind="stable"):
        row = [f"`{names[1][m]}`", f"{found['r2'].values[m]:.2f}",
               p_words(float(found["r2_p_corrected"].values[m]))]  # fmt: skip
        together.append([*row, f"{found['reliability'].values[m]:.2f}"] if repeated else row)
    left = f" Left out, not there or all alike: {attrs['left_out']}." if attrs["left_out"] else ""
    return (
        f"{attrs['networks']} networks have all numbers, {attrs['networks_dropped']} do not and "
        f"are left out.{left} Of {rho.size} pairs of {len(names[0])} numbers from inside and "
        f"{len(names[1])} of behaviour {significant.sum()} are correlated, corrected for all "
        f"pairs; chance reaches {attrs['largest_by_chance']:.2f} in one of twenty permutations. "
        f"The largest:\n\n{rows_of(rows)}\n\n"
        f"The largest of each part of modulation:\n\n{rows_of(parts)}\n\n"
        "All numbers from inside together, ridge regression, networks held out:\n\n"
        f"{rows_of(together)}\n\n"
        f"With a power of 0.85 one test of these networks shows a correlation of "
        f"{attrs['smallest_of_one_test']:.2f}, {attrs['tests']} corrected tests one of "
        f"{attrs['smallest_of_all_tests']:.2f}."
    )


def told_pair(found: xr.Dataset, names: list[np.ndarray], k: int, m: int) -> list[str]:
    low, high = (found[n].values[k, m] for n in ("rho_low", "rho_high"))
    return [
        f"`{names[0][k]}`",
        f"`{names[1][m]}`",
        f"{found['rho'].values[k, m]:.2f}",
        f"{low:.2f} to {high:.2f}",
        p_words(found["p_corrected"].values[k, m]),
    ]


def p_words(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def kinds_table(ds: xr.Dataset, behaviour: xr.DataArray, found: xr.Dataset) -> str:
    """What numbers of one kind alone tell of the three best told numbers of behaviour."""
    dims = [str(d) for d in found["rho"].dims]
    best = found[dims[1]].values[np.argsort(-found["r2"].values, kind="stable")[:3]].astype(str)
    outside = behaviour.sel({dims[1]: best}).transpose("network", ...).values
    inside = ds["neural_value"].sel({dims[0]: found[dims[0]].values})
    use = np.isfinite(inside.values).all(axis=1) & np.isfinite(outside).all(axis=1)
    strata = ds["hidden_size"].values[use]
    there = inside[dims[0]].values.astype(str).tolist()
    rows = [["numbers", *(f"`{name}`" for name in best)]]
    for kind, names in KINDS.items():
        own = [there.index(name) for name in names if name in there]
        told = predict_held_out(
            stratified_ranks(inside.values[use][:, own], strata),
            stratified_ranks(outside[use], strata),
            strata,
            permutations=1,
        )
        rows.append([kind, *(f"{x:.2f}" for x in told.r2)])
    return f"Of one kind alone, R2 of networks held out:\n\n{rows_of(rows)}"


def fewer_text(ds: xr.Dataset, behaviour: xr.DataArray, found: xr.Dataset) -> str:
    """How often so many networks, drawn evenly from all sizes, show any correlation."""
    dims = [str(d) for d in found["rho"].dims]
    inside = ds["neural_value"].sel({dims[0]: found[dims[0]].values}).values
    outside = behaviour.sel({dims[1]: found[dims[1]].values}).transpose("network", ...).values
    use = np.flatnonzero(np.isfinite(inside).all(axis=1) & np.isfinite(outside).all(axis=1))
    sizes = ds["hidden_size"].values
    kinds, rng, words = np.unique(sizes[use]), np.random.default_rng(0), []
    for n in FEWER:
        hits = 0
        for k in range(DRAWS):
            drawn = np.concatenate(
                [rng.choice(use[sizes[use] == s], n // len(kinds), replace=False) for s in kinds]
            )
            one = permute_rho(inside[drawn], outside[drawn], sizes[drawn], 199, seed=k)
            hits += bool((one.corrected < 0.05).any())
        words.append(f"{hits / DRAWS:.0%} of draws of {n}".replace("%", " %"))
    return (
        "Fewer networks show less: any correlation, corrected for all pairs, is seen in "
        f"{', '.join(words[:-1])} and {words[-1]} networks."
    )


if __name__ == "__main__":
    main()
