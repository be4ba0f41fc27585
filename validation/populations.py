"""The shipped populations beside the authors': one section of docs/validation.md, one picture.

Reads `stores/turner2021.zarr` (ours) and, by `validation.authors`, what is known of theirs. Every
number is computed here.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from solspace.diversity.difference import OTHER, compare_solutions
from solspace.diversity.labels import count_labels
from solspace.population.describe import recipe_of
from validation import authors, challenges
from validation.authors import AuthorsClass

__all__ = ["measure", "picture", "section"]

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
HIGH_RATE = ROOT / "stores" / "high_rate.zarr"  # gated networks by an earlier recipe
PICTURE = ROOT / "docs" / "images" / "populations.png"
POPULATIONS = (
    "interval_reproduction/vanilla",
    "interval_reproduction/gru",
    "interval_reproduction/lstm",
    "interval_discrimination/vanilla",
    "delayed_discrimination/vanilla",
)
GRUS = "interval_reproduction/gru"
GRAPH = "graph_key"
SMALL = 10  # the authors' smallest class
LATE = (80, 300)  # steps from Ready to Set
UNKNOWN = "not computed"
CUT_OFF = "several runs"  # of which one did not note its time, cut off
COUNT = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight")
NAMED = {"gru": "GRU", "lstm": "LSTM"}

Sizes = tuple[list[int], int]


def classes(ds: xr.Dataset, label: str) -> Sizes | None:
    """Sizes of our classes, largest first, and how many networks are in smaller ones."""
    if label not in ds.variables:
        return None
    counts = list(count_labels(ds, label)[0].values())
    if not counts:
        return None
    return [c for c in counts if c >= SMALL], sum(c for c in counts if c < SMALL)


def at_least(theirs: Sizes, ours: Sequence[int]) -> float:
    """How far apart the histograms are at least, whatever the graphs of their classes are.

    Sorted by size classes overlap most. Their networks in no class may be of any graph, but fewer
    than ten of one.
    """
    sizes, none = theirs
    here = sorted(ours, reverse=True)
    n, m = sum(sizes) + none, sum(here)
    overlap = sum(min(a / n, b / m) for a, b in zip(sizes, here, strict=False))
    rest = sum(min(b / m, (SMALL - 1) / n) for b in here[len(sizes) :])
    return 1 - overlap - min(none / n, rest)


def minutes(ds: xr.Dataset, stage: str) -> str:
    """Wall-clock of a stage over all its runs, where none was cut off."""
    notes = [n for n in json.loads(ds.attrs.get("provenance", "[]")) if n["stage"] == stage]
    if not notes:
        return UNKNOWN
    if not all("seconds" in n for n in notes):
        return CUT_OFF
    return format(sum(float(n["seconds"]) for n in notes) / 60, ".0f")


def measure(population: str) -> dict[str, Any] | None:
    """What the tables say of one population; None where the store has none."""
    task, architecture = population.split("/")
    if not (STORE / task / architecture).exists():
        return None
    ds = xr.open_zarr(STORE, group=population, chunks=None).load()
    known = authors.class_graphs(population)
    theirs = authors.class_sizes(population)
    out = {
        "population": population,
        "ds": ds,
        "networks": ds.sizes["network"],
        "trained": int((ds.status_train == 1).sum()) if "status_train" in ds else None,
        "minutes": minutes(ds, "train"),
        "theirs": theirs,
        "graph": classes(ds, GRAPH),
        "solution": classes(ds, "solution_key"),
        "method": ds.attrs.get("solution_method", ""),
        "known": known,
        "found": None,
    }
    if out["graph"] is not None:
        out["counts"] = count_labels(ds, GRAPH)[0]
        out["at_least"] = at_least(theirs, list(out["counts"].values()))
        if known:
            out["found"] = compare_solutions(
                _counted(known, theirs),
                ds,
                GRAPH,
                classes={c.label: c.graphs for c in known},
            )
    return out


def _counted(known: list[AuthorsClass], theirs: Sizes) -> dict[str, int]:
    """Their networks by class; those of classes whose graph is not known among the others."""
    sizes = {c.label: c.size for c in known}
    return sizes | {OTHER: sum(theirs[0]) + theirs[1] - sum(sizes.values())}


def top(sizes: Sizes) -> float:
    return sum(sizes[0][:4]) / (sum(sizes[0]) + sizes[1])


def small(sizes: Sizes) -> float:
    return sizes[1] / (sum(sizes[0]) + sizes[1])


# --------------------------------------------------------------------------- picture


def picture(rows: list[dict[str, Any]]) -> None:
    """Shares of the classes, theirs above ours; within a pair a colour is one graph."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from solspace.plots.style import RC

    with matplotlib.rc_context(RC | {"font.size": 7}):
        figure, axes = plt.subplots(figsize=(6.9, 3.1))
        ticks, names = [], []
        for i, row in enumerate(rows):
            task, architecture = row["population"].replace("_", " ").split("/")
            name = f"{task}, {NAMED.get(architecture, architecture)}"
            for j, (who, bars) in enumerate(
                ((f"{name}, authors", _their_bars(row)), ("ours", _our_bars(row)))
            ):
                y, left = -(2.6 * i + j), 0.0
                total = sum(size for size, _, _ in bars)
                for size, color, text in bars:
                    share = size / total if total else 0.0
                    hatched = color is None
                    axes.barh(
                        y, share, left=left, height=0.9,
                        color="none" if hatched else color,
                        edgecolor="#767676" if hatched else "white",
                        hatch="////" if hatched else None,
                        linewidth=0.4,
                    )  # fmt: skip
                    if share > 0.045 and not hatched:
                        axes.text(
                            left + share / 2, y, text, ha="center", va="center", fontsize=6,
                            color="white" if _is_dark(color) else "#222222",
                        )  # fmt: skip
                    left += share
                ticks.append(y)
                names.append(who)
        axes.set_yticks(ticks, names)
        axes.set(
            xlim=(0, 1),
            xlabel="share of the networks (within a pair a colour is one graph, grey one that is "
            "not known\nor not among theirs; hatched: classes under ten)",
        )
        axes.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        PICTURE.parent.mkdir(exist_ok=True)
        figure.savefig(PICTURE, dpi=200, bbox_inches="tight", pad_inches=0.03)
        plt.close(figure)


Bar = tuple[int, "str | None", str]
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7")
_GREYS = ("#BDBDBD", "#CFCFCF")


def _their_bars(row: dict[str, Any]) -> list[Bar]:
    sizes, none = row["theirs"]
    known = [c.size for c in row["known"]]
    rest = list((Counter(sizes) - Counter(known)).elements())
    bars: list[Bar] = [(c.size, color, str(c.size)) for c, color in _colored(row)]
    bars += [(size, _GREYS[i % 2], str(size)) for i, size in enumerate(rest)]
    return [*bars, (none, None, "")]


def _our_bars(row: dict[str, Any]) -> list[Bar]:
    if row["graph"] is None:
        return []
    counts = dict(row["counts"])
    bars: list[Bar] = []
    for c, color in _colored(row):
        size = sum(counts.pop(graph, 0) for graph in c.graphs)
        bars.append((size, color, str(size)))
    large = [size for size in counts.values() if size >= SMALL]
    bars += [(size, _GREYS[i % 2], str(size)) for i, size in enumerate(large)]
    return [*bars, (sum(counts.values()) - sum(large), None, "")]


def _colored(row: dict[str, Any]) -> list[tuple[AuthorsClass, str]]:
    return list(zip(row["known"], _COLORS, strict=False))


def _is_dark(color: str | None) -> bool:
    from matplotlib.colors import to_rgb

    return bool(color and np.dot(to_rgb(color), (0.3, 0.59, 0.11)) < 0.45)


# --------------------------------------------------------------------------- text


INTRO = """\
## The populations, beside the authors'

`stores/turner2021.zarr` holds {networks} networks, {each} a population, trained by the recipes of
[recipes.md](recipes.md). The authors published labels of 400 networks a population: classes of ten
or more, counted by graphs up to the numbering of their nodes (`graph_key`). *Trained* is on the
trials that each network was trained on (see [recipes.md](recipes.md)); where training ran, other
work may have run as well. How much of each space these networks have seen is in
[coverage.md](coverage.md).
"""

MATCHED = """\
Graph by graph, never by rank. Which graphs the authors' classes are is known of interval
reproduction, from sixteen of their networks a population; {agree} of the {asked} reference networks
that are in one of these classes have a graph of their class. All other graphs are taken together,
theirs in no class and ours in none of their classes, so each distance is a lower bound. *Distance*
is total variation, the share of networks that would have to be of another class to make the two
alike; two samples of one distribution are not at 0 (*by chance*), and *without bias* is the
distance of the two distributions with its 95 % interval ([coverage.md](coverage.md) says how). The
aim, a distance as chance gives it in one of twenty, is met where that interval reaches down to it.
"""

DISCRIMINATION = """\
Of the discrimination tasks less is known. The rows of the authors' label files have no names that
can be trusted; values of features tell which rows are those of the {n} reference networks
(`validation/authors.py`), and so which class each is in:

{rows}

{said}

No distance graph by graph can be given from that. Whatever the graphs of their classes are, the
histograms are apart by at least:

| population | at least | two samples of ours, by chance (95th percentile) |
|---|---|---|
{bounds}
"""

# What the distances are made of was tried apart, on populations trained for it.
VARIED = """\
What was varied, with its effect, is on pages of its own:

- **The learning rate** ([learning_rate.md](learning_rate.md)) is what gated networks were off by.
  At 0.01 limit cycles are next to absent; the published rate is 0.001.
  {rates}
- **The start** ([starts.md](starts.md)) of the discrimination tasks, which is ours: the gain of the
  recurrent matrix moves interval discrimination away from the authors' histogram, torch's default
  moves delayed discrimination a little towards it.
"""


def varied_text(rows: list[dict[str, Any]]) -> str:
    """What the distances hang on, and how far another recipe is off."""
    told = []
    for row in rows:
        name = NAMED.get(row["population"].rpartition("/")[2])
        if name and "recipe" in row["ds"].attrs:
            recipe = recipe_of(row["ds"])
            told.append(f"{name}s at {recipe.hold_rate or recipe.learning_rate:g}")
    rates = f"Shipped are {' and '.join(told)}." if told else ""
    said = " ".join(filter(None, [rates, *map(_other_sentence, rows)]))
    return VARIED.format(rates=_wrapped(said, "  ")).replace("  \n", "")


def _other_sentence(row: dict[str, Any]) -> str:
    """How far networks of another recipe are from the authors' and from ours; "" if none are."""
    population = row["population"]
    if row["found"] is None or not (HIGH_RATE / population).exists():
        return ""
    other = xr.open_zarr(HIGH_RATE, group=population, chunks=None).load()
    theirs = compare_solutions(
        _counted(row["known"], row["theirs"]),
        other,
        GRAPH,
        classes={c.label: c.graphs for c in row["known"]},
    )
    ours = compare_solutions(row["ds"], other, GRAPH)
    name = NAMED.get(population.rpartition("/")[2], population)
    spans = [
        f"{d['distance_estimate'].item():.2f} ({d['distance_low'].item():.2f} to "
        f"{d['distance_high'].item():.2f})"
        for d in (theirs, ours)
    ]
    return (
        f"The {other.sizes['network']} {name}s of `stores/{HIGH_RATE.name}`, trained at "
        f"{recipe_of(other).learning_rate:g}, are without bias at {spans[0]} from the authors' and "
        f"at {spans[1]} from the shipped ones."
    )


def section() -> str:
    """The text; empty where the store or the authors' labels are not there."""
    if not (STORE.exists() and authors.REFERENCE.exists()):
        return ""
    rows = [row for population in POPULATIONS if (row := measure(population)) is not None]
    picture(rows)
    each = sorted({row["networks"] for row in rows})
    return "\n".join(
        [
            INTRO.format(
                networks=f"{sum(row['networks'] for row in rows):,}",
                each=" or ".join(map(str, each)),
            ),
            sizes_table(rows),
            "",
            "![Shares of the classes](images/populations.png)",
            "",
            matched_text(rows),
            discrimination_text(rows),
            cycles_text(rows),
            varied_text(rows),
        ]
    )


def sizes_table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| population | trained | training, min | classes, theirs | ours | four commonest, theirs "
        "| ours | in classes under ten, theirs | ours | by `solution_key` |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        graph, solution = r["graph"], r["solution"]
        trained = UNKNOWN if r["trained"] is None else f"{r['trained']} of {r['networks']}"
        lines.append(
            f"| {r['population']} | {trained} "
            f"| {r['minutes']} "
            f"| {', '.join(map(str, r['theirs'][0]))} "
            f"| {', '.join(map(str, graph[0])) if graph else UNKNOWN} "
            f"| {top(r['theirs']):.0%} | {format(top(graph), '.0%') if graph else UNKNOWN} "
            f"| {small(r['theirs']):.0%} | {format(small(graph), '.0%') if graph else UNKNOWN} "
            f"| {format(small(solution), '.0%') if solution else UNKNOWN} |"
        )
    methods = sorted({r["method"] for r in rows if r["method"]})
    return "\n".join([*lines, "", f"`solution_key` is here: {'; '.join(methods) or UNKNOWN}."])


def matched_text(rows: list[dict[str, Any]]) -> str:
    """Distances, and the classes they are made of."""
    matched = [r for r in rows if r["found"] is not None and len(r["known"]) == len(r["theirs"][0])]
    if not matched:
        return "Which graphs the authors' classes are is not known here, or ours have no graphs.\n"
    agree = asked = 0
    for r in matched:
        of_class = {c.label: c.graphs for c in r["known"]}
        for network in authors.reference_networks(r["population"]):
            if str(network.label) in of_class:
                asked += 1
                agree += network.graph in of_class[str(network.label)]
    lines = [
        MATCHED.format(agree=agree, asked=asked),
        "| population | their networks in classes | distance | without bias (95 %) "
        "| by chance, mean | 95th percentile | p | aim |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in matched:
        d = {str(k): v.item() for k, v in r["found"].data_vars.items() if not v.dims}
        known = sum(c.size for c in r["known"])
        met = "met" if d["distance_low"] <= d["floor_high"] else "not met"
        lines.append(
            f"| {r['population']} | {known} of {known + r['theirs'][1]} "
            f"| {d['distance']:.2f} | {d['distance_estimate']:.2f} ({d['distance_low']:.2f} to "
            f"{d['distance_high']:.2f}) | {d['floor']:.2f} | {d['floor_high']:.2f} "
            f"| {_p(d['p_value'])} | {met} |"
        )
    lines += [
        "",
        "| population | their class | theirs | ours | graphs |",
        "|---|---|---|---|---|",
    ]
    for r in matched:
        counts = r["found"]["count"].to_pandas()
        for c in r["known"]:
            graphs = " or ".join(f"`{_escaped(g)}`" for g in c.graphs)
            theirs, ours = counts.loc["one", c.label], counts.loc["other", c.label]
            lines.append(f"| {r['population']} | {c.label} | {theirs} | {ours} | {graphs} |")
        if OTHER in counts:
            theirs, ours = counts.loc["one", OTHER], counts.loc["other", OTHER]
            lines.append(f"| {r['population']} | any other | {theirs} | {ours} | |")
    return "\n".join([*lines, ""])


def _escaped(graph: str) -> str:
    return graph.replace("|", "\\|")  # a bar would end the cell, also within code


def _p(value: float) -> str:
    return "under 0.001" if value <= 0.001 else f"{value:.2g}"


def discrimination_text(rows: list[dict[str, Any]]) -> str:
    """What the eight reference networks of each tell, and a bound that needs no graphs."""
    here = [
        r
        for r in rows
        if not r["population"].startswith("interval_reproduction") and r["graph"] is not None
    ]
    if not here:
        return ""
    table = [
        "| population | graph | of the reference networks | their classes, of so many networks "
        "| ours |",
        "|---|---|---|---|---|",
    ]
    said, bounds, n = [], [], 0
    for r in here:
        reference = authors.reference_networks(r["population"])
        n += len(reference)
        by_graph = Counter(network.graph for network in reference)
        for graph, times in by_graph.most_common():
            labels = Counter(network.label for network in reference if network.graph == graph)
            sizes = Counter(int(row["label"]) for row in authors.label_rows(r["population"]))
            table.append(
                f"| {r['population']} | `{_escaped(graph)}` | {times} of {len(reference)} "
                f"| {', '.join(_class_name(v, k, sizes[v]) for v, k in sorted(labels.items()))} "
                f"| {r['counts'].get(graph, 0)} of {sum(r['counts'].values())} |"
            )
        said.append(_reference_sentence(r, by_graph))
        bounds.append(
            f"| {r['population']} | {r['at_least']:.2f} | {_bound_by_chance(r['counts']):.2f} |"
        )
    return DISCRIMINATION.format(
        n=n, rows="\n".join(table), said="\n".join(said), bounds="\n".join(bounds)
    )


def _class_name(label: int, times: int, size: int) -> str:
    """Such as "class 1 of 141, six times"."""
    name = {0: f"in no class, as {size} are", -1: "row not found"}.get(
        label, f"class {label} of {size}"
    )
    return name if times == 1 else f"{name} ({COUNT[times]} times)"


def _reference_sentence(r: dict[str, Any], by_graph: Counter[str]) -> str:
    """Whether the eight could be eight of ours, and whether their classes are graphs."""
    reference = authors.reference_networks(r["population"])
    apart = compare_solutions(dict(by_graph), r["counts"], GRAPH)
    labels: dict[str, set[int]] = {}
    graphs: dict[int, set[str]] = {}
    for network in reference:
        labels.setdefault(network.graph, set()).add(network.label)
        graphs.setdefault(network.label, set()).add(network.graph)
    split = sum(len(v) > 1 for v in labels.values())
    mixed = sum(len(v) > 1 for k, v in graphs.items() if k > 0)
    clear = (
        "each graph is under one label"
        if not split + mixed
        else f"graphs under several labels: {COUNT[split]}; classes of several graphs: "
        f"{COUNT[mixed]}; so labels do not follow from these graphs as they do in interval "
        "reproduction"
    )
    known = "".join(
        f" Class {c.label} seems to be the first graph: {c.size} of theirs, "
        f"{sum(r['counts'].get(g, 0) for g in c.graphs)} of ours."
        for c in r["known"]
    )
    return _wrapped(
        f"- `{r['population']}`: {clear}.{known} As a sample of {len(reference)} these graphs are "
        f"at {apart['distance'].item():.2f} from ours; by chance {apart['floor'].item():.2f} (95th "
        f"percentile {apart['floor_high'].item():.2f}), p = {_p(apart['p_value'].item())}.",
        "  ",
    )


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _bound_by_chance(counts: dict[str, int], resamples: int = 400) -> float:
    """95th percentile of the bound between two samples of the distribution that ours are of."""
    sizes = np.array(list(counts.values()))
    n = int(sizes.sum())
    rng = np.random.default_rng(0)
    found = []
    for one, other in rng.multinomial(n, sizes / n, size=(resamples, 2)):
        large = sorted((int(c) for c in one if c >= SMALL), reverse=True)
        found.append(at_least((large, n - sum(large)), other.tolist()))
    return float(np.quantile(found, 0.95))


def cycles_text(rows: list[dict[str, Any]]) -> str:
    """What networks of interval reproduction do beyond the steps that graphs are made from."""
    here = [r for r in rows if r["population"].startswith("interval_reproduction")]
    if not here:
        return ""
    told = []
    for r in here:
        again = challenges.goes_again(r["ds"])
        architecture = r["population"].split("/")[1]
        told.append(f"{again.sum()} of {len(again)} {NAMED.get(architecture, architecture)}")
    lines = [
        _wrapped(
            "Where graphs end: they are made from 500 steps, and a graph says that an input is "
            f"ignored late, not how late. After Ready and {challenges.SILENCE:,} steps of silence "
            f"{', '.join(told)} networks still put out Go again and again."
        )
    ]
    for r in here:
        if r["population"] == GRUS and r["known"] and r["graph"] is not None:
            lines += _late_lines(r["ds"], r["known"][0].graphs[0])
    return "\n".join([*lines, ""])


def _late_lines(ds: xr.Dataset, graph: str) -> list[str]:
    """How many GRUs of the authors' commonest graph, which ignores a late Set, answer one."""
    ours = ds.isel(network=ds[GRAPH].values.astype(str) == graph)
    if not ours.sizes["network"]:
        return []
    late = challenges.answers_late_set(ours, LATE).sum(axis=0)
    return [
        _wrapped(
            f"Of our {ours.sizes['network']} GRUs of `{graph}`, the authors' commonest, by which a "
            f"late Set is ignored, {late[0]} answer a Set {LATE[0]} steps after Ready by Go, and "
            f"{late[1]} one {LATE[1]} steps after it."
        )
    ]
