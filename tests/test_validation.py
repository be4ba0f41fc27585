"""The figures on docs pages are those of the stores that ship, by the scripts that wrote them."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import reference_path

import solspace
from validation import authors, challenges, classification, design, machine, populations

DOCS = Path(__file__).resolve().parents[1] / "docs"


def said(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.strip()}


@pytest.mark.slow
def test_what_the_page_says_of_classification_is_in_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "IMAGES", tmp_path)
    text = classification.ours(classification.stored_results())
    assert text.count("| `solution` |") == 5
    assert said(text) <= said((DOCS / "validation.md").read_text())
    assert len(list(tmp_path.glob("*.png"))) == 12


def test_what_the_page_says_of_chosen_trials_is_what_was_measured():
    text = design.section()
    assert text.count("| chosen |") == 10 and text.count("| all activity |") == 10
    assert said(text) <= said((DOCS / "validation.md").read_text())


@pytest.mark.slow
def test_what_the_page_says_of_the_populations_is_in_the_store(tmp_path, monkeypatch):
    reference_path("populations")
    monkeypatch.setattr(populations, "PICTURE", tmp_path / "populations.png")
    # Takes the simulation of 1,200 networks over 3,000 steps; what it says is asked of a few below.
    monkeypatch.setattr(populations, "cycles_text", lambda rows: "")
    text = populations.section()
    assert text.count(" of 400 |") >= 5
    assert said(text) <= said((DOCS / "validation.md").read_text())
    assert (tmp_path / "populations.png").stat().st_size > 10_000


def test_the_page_says_when_and_where_it_was_written():
    date, on, *what = machine.written().split(maxsplit=2)
    assert len(date) == 10 and on == "on" and what == [machine.processor()]
    page = (DOCS / "validation.md").read_text()
    assert re.search(r"Written by `make reference`, \d{4}-\d\d-\d\d on .+ \(.+\)", page)


def test_the_authors_classes_are_the_graphs_of_their_networks():
    reference_path("networks")
    for population in populations.POPULATIONS:
        known = authors.class_graphs(population)
        sizes, none = authors.class_sizes(population)
        assert sum(sizes) + none == 400
        assert {c.size for c in known} <= set(sizes)
        graphs = [g for c in known for g in c.graphs]
        assert len(graphs) == len(set(graphs)) and all(g.startswith("v1:0|") for g in graphs)
        networks = authors.reference_networks(population)
        assert len(networks) == 8 and all(n.label >= 0 for n in networks)
        if len(known) == len(sizes):
            assert sorted(c.size for c in known) == sorted(sizes)
            in_class = [n for n in networks if n.label > 0]
            right = [n.graph in known[n.label - 1].graphs for n in in_class]
            assert np.mean(right) >= 6 / 7


def test_the_bound_is_one_for_every_way_to_match_classes():
    """Four of their classes and three networks in none, matched with ours in each order."""
    theirs, ours = [40, 30, 20, 10], [50, 25, 15, 8, 5]
    least = populations.at_least((theirs, 3), ours)
    n, m = sum(theirs) + 3, sum(ours)
    exact = []
    for order in itertools.permutations(range(5), 4):
        rest = [i for i in range(5) if i not in order]
        overlap = sum(min(a / n, ours[i] / m) for a, i in zip(theirs, order, strict=True))
        exact.append(1 - overlap - sum(min(3 / n, ours[i] / m) for i in rest))
    assert 0 <= least <= min(exact) + 1e-12
    assert least == pytest.approx(min(exact), abs=0.03)
    assert populations.at_least((theirs, 0), theirs) == pytest.approx(0)


@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated")
def test_what_was_not_computed_is_said(tmp_path, monkeypatch):
    reference_path("populations")
    name = "interval_discrimination/vanilla"
    ds = xr.open_zarr(populations.STORE, group=name)
    monkeypatch.setattr(populations, "STORE", tmp_path / "store.zarr")
    monkeypatch.setattr(populations, "PICTURE", tmp_path / "populations.png")
    bare = ds[["loss"]].load().reset_coords(drop=True)
    bare.drop_attrs().drop_encoding().to_zarr(populations.STORE, group=name, consolidated=False)
    text = populations.section()
    row = next(x for x in text.splitlines() if x.startswith(f"| {name}"))
    assert row.count(populations.UNKNOWN) == 6 and "141, 101, 78, 34" in row
    assert "interval_reproduction/gru" not in text and "nan" not in text


def test_what_networks_do_beyond_their_graphs():
    ds = xr.open_zarr(populations.STORE, group="interval_reproduction/vanilla")
    keys = ds.graph_key.values.astype(str)
    answering = np.flatnonzero(keys == "v1:0|>1,set>0;1|>2;0|set>0")[:3]
    silent = np.flatnonzero(keys == "v1:0|>1,set>0;1|>2;0|set>2")[:3]
    few = ds.isel(network=np.concatenate([answering, silent])).load()
    late = challenges.answers_late_set(few, (20, 400))
    assert late[:, 0].all() and late[:, 1].tolist() == [True] * 3 + [False] * 3
    assert not challenges.goes_again(few).any()
    # A network that is a clock: its one output is over the threshold every so often, for ever.
    turn = 2 * np.pi / 60
    c, s = np.cos(turn), np.sin(turn)
    weights = {
        "weight_ih": np.zeros((1, 2, 2)),
        "weight_hh": 1.2 * np.array([[[c, -s], [s, c]]]),
        "bias_ih": np.full((1, 2), 1e-3),
        "bias_hh": np.zeros((1, 2)),
        "weight_out": np.array([[1.0, 0.0]]),
        "bias_out": np.zeros(1),
    }
    with pytest.warns(UserWarning, match="do not do the task"):
        clock = solspace.import_networks("interval_reproduction", "vanilla", {"clock": weights})
    assert challenges.goes_again(clock).tolist() == [True]


@pytest.mark.parametrize(
    "module", ["validation.reference", "validation.classification", "validation.labels"]
)
def test_without_data_it_says_what_is_needed(module, tmp_path):
    code = (
        f"import sys, pathlib, {module} as m\n"
        f"m.REFERENCE = m.STORE = pathlib.Path({str(tmp_path / 'nothing')!r})\n"
        "sys.exit(m.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=DOCS.parent
    )
    assert done.returncode == 2 and done.stderr.startswith("needs ")
