"""How fine, how right and how stable each label is: one section of docs/validation.md, one picture.

    python -m validation.labels --try [STORE] [--networks N] [--draws N]
    python -m validation.labels [STORE]

The first tries every label there is on every population of a store, also at each notch of its
protocol: the stage ``stability`` with their names typed out. It takes half an hour a population of
400 networks, and goes on where it was stopped. The second reads what was found, prints a table and
what the rule of `solspace.stability.choose_label` says of each population, and draws it. A label,
or a number of one, that is not known is left empty and said.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import solspace
from solspace import SolspaceError
from solspace.labels import get_label
from solspace.labels.stage import stored_keys
from solspace.population.variables import DONE
from solspace.responses import response_scores
from solspace.stability import (
    Choice,
    LabelScores,
    choose_label,
    class_sizes,
    in_small_classes,
    sentence,
)
from solspace.stability.labelling import AskedLabel, asked_labels
from solspace.stability.stage import draw_networks
from solspace.tasks import get_task
from validation.populations import NAMED, POPULATIONS, STORE

__all__ = ["Row", "every_label", "main", "measure", "picture", "section", "try_labels"]

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "labels.png"
AT = "noise_1e-3"  # the noise of the rule
WHOLE = 0.9  # of the trained networks have a label whose classes are counted
SAMPLED = 40  # networks whose graphs are made and tested where the store has others


@dataclass(frozen=True)
class Row:
    """One label in one population.

    Attributes
    ----------
    scores : LabelScores
    shares : mapping of str to (float, float, float)
        By perturbation, the share of networks that keep the label and its 95 % interval.
    tried : int
        Networks the shares are of.
    tested : int
        Networks that recall and specificity are medians of; 0 where they are not known.
    whole : bool
        False for machines of responses at a notch that leaves out pulses, or part of what is put
        out: these are right about what they say, and say less.
    """

    scores: LabelScores
    shares: Mapping[str, tuple[float, float, float]]
    tried: int
    tested: int
    whole: bool = True


def keys_of(ds: xr.Dataset, stability: xr.Dataset, asked: AskedLabel) -> list[str]:
    """A label of every network: as the population has it, else of the networks it was tried on."""
    record = get_label(asked.name)
    if asked.options == record.options_of(ds.attrs):
        if record.name in ds.variables:
            return [str(key) for key in ds[record.name].values]
        try:
            stored = stored_keys(ds, record)
        except SolspaceError:  # the stage that fills it has not run
            stored = None
        if stored is not None:
            return [str(key) for key in stored]
    return [str(key) for key in stability["label_key"].sel(label=asked.spelled).values]


def responses_of(ds: xr.Dataset, asked: AskedLabel) -> tuple[float, float, int] | None:
    """Median recall and specificity of a label on sequences held out, and of how many networks.

    None where a label allows and forbids nothing.
    """
    record = get_label(asked.name)
    own = asked.options == record.options_of(ds.attrs)
    if record.stage == "reduce":
        if not own or "graph_recall" not in ds.variables:
            ds = _verified(ds, **asked.options)
        return _medians(ds, "graph")
    if record.stage == "responses":
        return _medians(response_scores(_sample(ds), **asked.options), "response")
    return None


def is_whole(ds: xr.Dataset, asked: AskedLabel) -> bool:
    """Whether a label is of all that its networks put out, whatever pulses they get."""
    protocol = get_task(str(ds["task"].item())).protocol
    if get_label(asked.name).stage != "responses" or protocol is None:
        return True
    return protocol.notch(str(asked.options.get("notch") or protocol.usual)).is_whole


def _medians(ds: xr.Dataset, stem: str) -> tuple[float, float, int] | None:
    recall, specificity = (ds[f"{stem}_{what}"].values for what in ("recall", "specificity"))
    known = np.isfinite(recall)
    if not known.any() or not np.isfinite(specificity).any():
        return None
    return float(np.median(recall[known])), float(np.nanmedian(specificity)), int(known.sum())


def _verified(ds: xr.Dataset, method: str = "turner2021") -> xr.Dataset:
    """Some networks with graphs of another method than the store's, and how right these are."""
    return solspace.verify(solspace.reduce(_sample(ds), method=method))  # type: ignore[arg-type]


def _sample(ds: xr.Dataset) -> xr.Dataset:
    """The weights of some networks, and nothing that was made of them."""
    order = draw_networks(ds)
    drawn = [i for i, n in enumerate(ds["network"].values) if order[int(n)] < SAMPLED]
    kept = [n for n in ds.data_vars if str(n).startswith(("weight_", "bias_"))]
    small = ds[kept].isel(network=drawn)
    small = small.drop_vars([c for c in small.coords if "key" in str(c) or "solution" in str(c)])
    small.attrs = {k: v for k, v in ds.attrs.items() if k == "recipe"}
    return small


def measure(store: str | Path, population: str) -> list[Row]:
    """Every label that was tried on a population, the coarsest first.

    Raises
    ------
    SolspaceError
        Where none was.
    """
    ds = xr.open_zarr(store, group=population).load()
    try:
        stability = xr.open_zarr(store, group=f"{population}/stability").load()
    except (FileNotFoundError, KeyError):
        raise SolspaceError(
            f"{store}: {population} has no group 'stability'; type `solspace stability {store}` "
            "first"
        ) from None
    if not np.isfinite(stability["share"]).any():
        raise SolspaceError(
            f"{store}: the stage stability of {population} has not ended; type `solspace "
            f"stability {store}` again"
        )
    rows = []
    for asked in asked_labels([str(v) for v in stability["label"].values], ds.attrs):
        one = stability.sel(label=asked.spelled)
        shares = {
            str(name): (float(one.share[j]), float(one.share_low[j]), float(one.share_high[j]))
            for j, name in enumerate(one["perturbation"].values)
            if np.isfinite(one.share[j])
        }
        keys = [key for key in keys_of(ds, stability, asked) if key]
        whole = len(keys) >= WHOLE * int((ds["status_train"] == DONE).sum())
        found = responses_of(ds, asked)
        scores = LabelScores(
            label=asked.spelled,
            networks=len(keys),
            classes=len(class_sizes(keys)),
            small=in_small_classes(keys) if whole else None,
            recall=None if found is None else found[0],
            specificity=None if found is None else found[1],
            stability=shares[AT][0] if AT in shares else None,
        )
        tried = int(np.isfinite(one.unchanged).any("perturbation").sum())
        tested = 0 if found is None else found[2]
        rows.append(Row(scores, shares, tried, tested, is_whole(ds, asked)))
    # Classes of a sample are fewer than those of a population.
    return sorted(rows, key=lambda row: (row.scores.small is None, row.scores.classes))


# --------------------------------------------------------------------------- words


def table(rows: Mapping[str, Sequence[Row]]) -> str:
    """Markdown, a line a label."""
    tried = list(dict.fromkeys(p for own in rows.values() for row in own for p in row.shares))
    head = ["population", "label", "networks", "classes", "in classes under ten", "recall"]
    head += ["specificity", *map(_worded, tried), "networks tried"]
    lines = [_line(head), _line(["---"] * len(head))]
    for population, own in rows.items():
        for row in own:
            one = row.scores
            label = f"`{one.label}`" + ("" if row.whole else " (in part)")
            cells = [population, label, str(one.networks), str(one.classes)]
            cells += ["" if one.small is None else f"{one.small:.0%}"]
            cells += [_number(one.recall), _number(one.specificity)]
            for name in tried:
                if name in row.shares:
                    share, low, high = row.shares[name]
                    cells.append(f"{share:.1%} ({low:.0%} to {high:.0%})")
                else:
                    cells.append("not tried")
            lines.append(_line([*cells, str(row.tried)]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _worded(name: str) -> str:
    kind, _, amount = name.partition("_")
    return {
        "noise": f"kept at noise {amount}",
        "training": f"after {amount} further steps",
        "processor": "on another processor",
    }.get(kind, name)


def choices(rows: Mapping[str, Sequence[Row]]) -> dict[str, Choice]:
    """What the rule says of each population, of the labels that say all."""
    return {
        name: choose_label([row.scores for row in own if row.whole]) for name, own in rows.items()
    }


def coarser(own: Sequence[Row], chosen: Choice) -> list[str]:
    """Labels that say a part only and meet the rule with fewer classes than the one chosen."""
    partial = [r.scores for r in own if not r.whole and choose_label([r.scores]).meets]
    most = chosen.scores.classes if chosen.scores else np.inf
    return [one.label for one in partial if one.classes <= most]


def when(store: str | Path, population: str) -> str:
    """When the labels were tried, and on what."""
    ds = xr.open_zarr(store, group=population)
    notes = json.loads(str(ds.attrs.get("provenance", "[]")))
    dates = [n["finished"][:10] for n in notes if n["stage"] == "stability" and "finished" in n]
    kinds = xr.open_zarr(store, group=f"{population}/stability")["processors"].values
    told = sorted({str(kind) for kind in kinds if str(kind)})
    date = dates[-1] if dates else "on an unknown date"
    return f"{date}, processor {' and '.join(told) or 'unknown'}"


TEXT = """\
## Labels: how fine, how right, how stable

A label is worth the name of a solution where it says what a network does, tells from networks that
do otherwise, stays when the network hardly changes, and is shared by other networks. For every
label: its classes among the networks that have it; the share of them in classes under ten; median
recall and specificity on random sequences held out, of its own kind of protocol (graphs by
`solspace verify`, machines of responses by `solspace.responses.response_scores`; those that the
store does not hold on {sampled} networks; empty where a label says nothing about responses); and
the share of networks that keep it (`solspace stability`, with 95 % Wilson intervals over networks):
every weight times 1 + noise z, {draws} a network; after further gradient steps; computed as
on another kind of processor. [stability.md](stability.md) says how. A label that only the networks
tried have comes last, and its small classes are not counted. Tried {when}.

{table}

![Classes, recall, specificity and stability of each label](images/labels.png)

*Labels of each population, the coarsest first, with how many classes they have: `graph_key`;
`automaton_key` of published graphs (what they allow) and of `automaton` graphs; `attractor_key`;
`response_key` at each notch, in brackets where a machine says a part only. Dashed: what the rule
asks of the curve of that colour.*

**Which label is good enough?** The rule: the coarsest label with a recall of 0.95 and a specificity
of 0.8 on sequences held out, that 95 % of networks keep at 1e-3 weight noise, and with at most 10 %
of networks in classes under ten; where there is none, the nearest, with what it misses. Machines
at notches that leave out pulses or outputs (*in part*) are not asked: they are tested on what they
say, so the less one says the surer it meets the rule.

{sentences}
"""


def section(store: str | Path = STORE, image: Path = PICTURE) -> str:
    """The text, with its picture drawn; empty where nothing was tried in the store."""
    if not Path(store).exists():
        return ""
    rows = {}
    for population in populations_of(store):
        try:
            rows[population] = measure(store, population)
        except SolspaceError as error:
            print(error, file=sys.stderr)
    if not rows:
        return ""
    picture(rows, image)
    draws = xr.open_zarr(store, group=f"{next(iter(rows))}/stability")["draws"].values.max()
    told = []
    for name, choice in choices(rows).items():
        less = ", ".join(f"`{one}`" for one in coarser(rows[name], choice))
        told.append(f"- {sentence(name, choice)}" + (f" In part, so would {less}." if less else ""))
    dates = list(dict.fromkeys(when(store, population) for population in rows))
    return TEXT.format(
        table=table(rows),
        sentences="\n".join(told),
        draws=f"{draws} draw{'' if draws == 1 else 's'}",
        sampled=SAMPLED,
        when="; ".join(dates),
    )


def populations_of(store: str | Path) -> list[str]:
    """Populations of recurrent networks, those of the paper first and in its order."""
    from solspace.kinds import kind_of
    from solspace.store import Store

    there = [
        f"{p.task}/{p.architecture}"
        for p in Store(str(store)).populations()
        if kind_of(p.architecture).name == "recurrent"
    ]
    return sorted(there, key=lambda p: POPULATIONS.index(p) if p in POPULATIONS else len(there))


# --------------------------------------------------------------------------- picture


def _counted(row: Row) -> str:
    few = row.scores.small is None
    return f"{row.scores.classes} classes" + (f" of {row.scores.networks} networks" if few else "")


def _tick(row: Row) -> str:
    """A label in few letters, and its classes."""
    name, _, option = row.scores.label.partition(":")
    kind = option.partition("=")[2]
    short = {
        "graph_key": "graph",
        "automaton_key": "what graphs\nallow" if kind == "turner2021" else "automaton\ngraphs",
        "attractor_key": "attractors",
        "response_key": kind.replace("_", "\n") if row.whole else f"({kind})".replace("_", "\n"),
    }.get(name, row.scores.label.replace(":", "\n"))
    return f"{short}\n{_counted(row)}".replace(" of ", "\nof ")


def _not_small(scores: LabelScores) -> float | None:
    return None if scores.small is None else 1 - scores.small


def picture(rows: Mapping[str, Sequence[Row]], path: Path = PICTURE) -> None:
    """A panel a population: its labels by number of classes, and four shares of each."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from solspace.plots.style import BLUE, ORANGE, RC

    curves: dict[str, tuple[str, str, float, Any]] = {
        "networks that keep it at 1e-3 noise": (BLUE, "o", 0.95, lambda one: one.stability),
        "recall": (ORANGE, "s", 0.95, lambda one: one.recall),
        "specificity": ("#009E73", "^", 0.8, lambda one: one.specificity),
        "networks in classes of ten or more": ("#CC79A7", "D", 0.9, _not_small),
    }
    with matplotlib.rc_context(RC | {"font.size": 7}):
        count = len(rows)
        figure, axes = plt.subplots(
            count, 1, figsize=(6.9, 1.62 * count + 0.35), squeeze=False, layout="constrained"
        )
        for axis, (population, own) in zip(axes[:, 0], rows.items(), strict=True):
            for name, (color, marker, wanted, value) in curves.items():
                known = [(i, value(row.scores)) for i, row in enumerate(own)
                         if value(row.scores) is not None]  # fmt: skip
                axis.axhline(wanted, color=color, linewidth=0.5, linestyle=(0, (4, 3)), zorder=0)
                axis.plot(
                    *zip(*known, strict=True) if known else ([], []), color=color, marker=marker,
                    markersize=3.5, linewidth=1.0, label=name,
                )  # fmt: skip
            for i, row in enumerate(own):
                if AT in row.shares:
                    axis.plot([i, i], row.shares[AT][1:], color=BLUE, linewidth=0.8, alpha=0.6)
            axis.set_xticks(range(len(own)), [_tick(row) for row in own])
            axis.set(xlim=(-0.4, len(own) - 0.6), ylim=(-0.03, 1.03), ylabel="share")
            task, architecture = population.replace("_", " ").split("/")
            title = f"{task}, {NAMED.get(architecture, architecture)}"
            axis.set_title(title, fontsize=8, loc="left")
            axis.tick_params(axis="x", length=0)
            axis.spines[["top", "right"]].set_visible(False)
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4,
            frameon=False, columnspacing=1.2,
        )  # fmt: skip
        path.parent.mkdir(exist_ok=True, parents=True)
        figure.savefig(path, dpi=200, bbox_inches="tight", pad_inches=0.03)
        plt.close(figure)


def every_label(task: str) -> list[str]:
    """The labels of a task's networks, spelled as `solspace stability --labels` takes them.

    Graphs of ``timed`` have the keys of ``automaton``, at fifty times the cost, and are left out.
    """
    protocol = get_task(task).protocol
    notches = [notch.name for notch in protocol.notches] if protocol else []
    return [
        "graph_key:method=turner2021",
        "automaton_key:method=turner2021",
        "automaton_key:method=automaton",
        "attractor_key",
        *(f"response_key:notch={notch}" for notch in notches),
    ]


def try_labels(store: str | Path, networks: int = 100, draws: int = 1) -> None:
    """Perturb so many networks of each population and label them, by every label."""
    for population in populations_of(store):
        task, architecture = population.split("/")
        solspace.run_stage(
            str(store),
            "stability",
            task=task,
            architecture=architecture,
            options={"labels": every_label(task), "networks": networks, "draws": draws},
            progress=True,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m validation.labels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", nargs="?", type=Path, default=STORE, metavar="STORE")
    parser.add_argument("--try", dest="tried", action="store_true", help="try the labels first")
    parser.add_argument("--networks", type=int, default=100, metavar="N", help="perturb so many")
    parser.add_argument("--draws", type=int, default=1, metavar="N", help="of noise, a network")
    given = parser.parse_args(arguments)
    if not given.store.exists():
        print(f"needs a store at {given.store}", file=sys.stderr)
        return 2
    if given.tried:
        try_labels(given.store, given.networks, given.draws)
    image = PICTURE if given.store == STORE else given.store.parent / "labels.png"
    text = section(given.store, image)
    print(text or f"nothing was tried in {given.store}")
    return 0 if text else 2


if __name__ == "__main__":
    sys.exit(main())
