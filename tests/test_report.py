from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from conftest import reference_path
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import networks
from solspace.errors import SolspaceError
from solspace.labels.stage import label
from solspace.population import import_networks, rank_solutions, read_networks
from solspace.population.variables import FAILED
from solspace.reduction.canonical import graph_key
from solspace.reduction.graph import Graph
from solspace.reduction.stage import reduce
from solspace.report import answered_rows, representative, write_report
from solspace.report.measures import between_solutions, features_section, trust_section
from solspace.simulation.stage import extrapolate, record
from solspace.stages.collection import declared
from solspace.tasks import get_task

GRAPH = [*declared("graph")]


def groups_of(population: xr.Dataset) -> dict[str, xr.Dataset]:
    """As the stages leave them, with solutions by what graphs allow."""
    return split(population, label(reduce(population), by="automaton_key"))


def split(population: xr.Dataset, labeled: xr.Dataset) -> dict[str, xr.Dataset]:
    graph = labeled[[name for name in GRAPH if name in labeled.variables]]
    return {
        "population": labeled.drop_vars(list(graph.data_vars)),
        "training": record(population),
        "extrapolation": extrapolate(population),
        "graph": graph,
    }


@pytest.fixture(scope="module")
def untrained():
    """Networks that nobody trained do nothing of note, so their graphs are given to them."""
    rng = np.random.default_rng(1)
    weights = {}
    for i, size in enumerate((5, 5, 7)):
        shapes = networks.parameter_shapes("vanilla", size, inputs=2, outputs=1)
        weights[f"net<{i}>"] = {k: 0.5 * rng.normal(size=s) for k, s in shapes.items()}
    population = import_networks("interval_reproduction", "vanilla", weights)
    circle = Graph(*map(np.array, ([0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1])))
    line = Graph(*map(np.array, ([0, 1, 0], [0, 1, 0], [1, 2, 0], [0, 0, 1])))
    found = [circle, line, circle]
    keys = np.array([graph_key(g, ("autonomous", "set")) for g in found], dtype=object)
    arrays = {
        name: np.stack([np.pad(getattr(g, of), (0, 8 - len(getattr(g, of)))) for g in found])
        for name, of in (
            ("node_output", "node_output"),
            ("edge_source", "edge_source"),
            ("edge_target", "edge_target"),
            ("edge_input", "edge_symbol"),
        )
    }
    variables = declared("graph")
    labeled = population.assign(
        {name: (variables[name].dims, values) for name, values in arrays.items()}
    ).assign(
        n_nodes=("network", [len(g.node_output) for g in found]),
        n_edges=("network", [len(g.edge_source) for g in found]),
        status_reduce=("network", np.ones(3, np.uint8)),
        message_reduce=("network", np.array([""] * 3, dtype=object)),
    )
    labeled = labeled.assign_coords(
        input_symbol=["autonomous", "set"],
        solution=("network", rank_solutions(keys)),
        solution_key=("network", keys),
    )
    return split(population, labeled)


class Page(HTMLParser):
    """Headings, ids, links and unbalanced elements of a page."""

    VOID = ("meta", "br", "img", "link", "hr", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.requests: list[str] = []
        self.labels: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "svg":
            self.labels.append(given.get("aria-label", ""))
        for name in ("src", "href", "xlink:href"):
            value = given.get(name)
            if value and not value.startswith(("#", "data:")):
                self.requests.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def written(untrained, tmp_path_factory):
    """The page of these, and every file that was said to be written."""
    path = tmp_path_factory.mktemp("report") / "page.html"
    return path, write_report({"interval_reproduction/vanilla": untrained}, path, title="A <b> & c")


def test_page_is_whole_by_itself(untrained, written):
    path, files = written
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.requests
    assert not re.search(r"@import|url\((?!#)", text)
    assert "A <b> & c" in page.text
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.ids) == len(set(page.ids))
    solutions = int(untrained["population"].solution.max()) + 1
    assert len(page.labels) == 1 + 3 * min(solutions, 4) and all(page.labels)
    assert "viewport" in text and 'lang="en"' in text
    assert files[-1] == str(path)
    assert len(files) == 1 + 2 * len(page.labels)
    there = sorted(p.name for p in (path.parent / "page_files").iterdir())
    # And the mark by which a later report knows the folder.
    assert there == sorted([".solspace_report", *(f.rsplit("/", 1)[-1] for f in files[:-1])])
    assert not list(path.parent.rglob("*.unfinished"))


def test_page_tells_the_counts(untrained, written):
    page = Page(written[0].read_text(encoding="utf-8"))
    population = untrained["population"]
    counts = np.bincount(population.solution.values)
    assert f"3 networks found {len(counts)} solution" in page.text
    for key in set(population.solution_key.values):
        assert key in page.text
    shown = population.name.values[representative(population, 0)]
    assert f"Reduced dynamics of {shown}" in page.text
    assert "No network failed." in page.text


def test_recall_and_the_features_that_tell_solutions_apart_are_told():
    rng = np.random.default_rng(0)
    solution = np.repeat([0, 1, 2], [12, 10, 1])
    values = rng.normal(size=(23, 5))
    values[:, 2] += 9 * (solution == 1)
    population = xr.Dataset(
        {
            "features": (("network", "feature"), values),
            "graph_recall": ("network", [1.0] * 18 + [0.5] * 4 + [np.nan]),
        },
        coords={
            "solution": ("network", solution),
            "feature": [f"f{k}" for k in range(5)],
            "feature_family": ("feature", ["speed"] * 4 + ["path"]),
            "feature_description": ("feature", [f"what <{k}> is" for k in range(5)]),
            "feature_units": ("feature", ["1"] * 5),
        },
    )
    trust = Page(trust_section(population)).text
    assert "its graph allows100%82%22" in trust and "forbids" not in trust
    told = Page(features_section(population)).text
    assert "Of 5 features" in told and "the 2 solutions with 3 networks or more (22" in told
    order = re.findall(r"f\d", told)
    # The third first; of one family three at most.
    assert order[0] == "f2" and len(order) == 4 and "f4" in order and "what <2> is" in told
    chance = float(re.search(r"up to (0\.\d+)", told).group(1))
    share = between_solutions(values[:22], solution[:22])
    assert share[2] > 0.8 > chance > 0 and np.delete(share, 2).max() < 0.8
    alone = features_section(population.isel(network=slice(13)))
    assert "take two solutions" in alone
    assert features_section(population.drop_vars("features")) == ""


def dumped(page, folder) -> str:
    """A page as it is once a browser has run its scripts."""
    return subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync",
         "--disable-background-networking", f"--user-data-dir={folder / 'profile'}",
         "--dump-dom", f"file://{page}"],
        capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_wider_than_the_window(written, tmp_path, width):
    # In a frame, as a window has a least width of its own.
    measured = tmp_path / "page.html"
    inside = html.escape(written[0].read_text(encoding="utf-8"))
    look = "document.title = this.contentDocument.documentElement.scrollWidth"
    measured.write_text(
        f'<html><head></head><body><iframe width="{width}" height="900" style="border: 0" '
        f'onload="{look}" srcdoc="{inside}"></iframe></body></html>'
    )
    shown = dumped(measured, tmp_path)
    assert 0 < int(re.search(r"<title>(\d+)</title>", shown).group(1)) <= width


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_graph_is_walked_through(untrained, written, tmp_path):
    text = written[0].read_text(encoding="utf-8")
    told = [json.loads(html.unescape(g)) for g in re.findall(r'data-graph="([^"]+)"', text)]
    i = representative(untrained["population"], 0)
    graphs = untrained["graph"]
    assert (
        len(told[0]["output"]) == graphs.n_nodes[i] and len(told[0]["edges"]) == graphs.n_edges[i]
    )
    leaving = [edge for edge in told[0]["edges"] if edge[0] == 0]
    page = tmp_path / "page.html"
    click = "<script>document.querySelector('.walk button').click()</script>"
    page.write_text(text.replace("</body>", f"{click}</body>"))
    shown = Page(dumped(page, tmp_path)).text
    _, target, given = leaving[0]
    assert f"So far: {given or 'left alone'}, {told[0]['output'][target]}." in shown
    assert "back to the start" in shown


def test_failed_networks_are_counted_with_reasons(untrained, tmp_path):
    population = untrained["population"].copy(deep=True)
    last = int(population.solution.max())
    hit = np.flatnonzero(population.solution.values == last)[0]
    population["status_reduce"][hit] = FAILED
    population["message_reduce"][hit] = "no <end> in sight"
    population["solution"][hit] = -1
    population["solution_key"][hit] = ""
    write_report(
        {"interval_reproduction/vanilla": untrained | {"population": population}},
        tmp_path / "page.html",
        most=1,
    )
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "1 network failed: 1 in reduce." in page.text
    assert "reduce: no <end> in sight (1)" in page.text
    assert "2 networks found" in page.text
    # Where every network of a solution failed in a later stage there is nothing to show.
    population["status_extrapolate"] = ("network", np.full(3, FAILED, np.uint8))
    write_report(
        {"interval_reproduction/vanilla": untrained | {"population": population}},
        tmp_path / "page.html",
        most=1,
    )
    assert "none can be shown" in (tmp_path / "page.html").read_text(encoding="utf-8")
    population["solution"][:] = -1
    write_report(
        {"interval_reproduction/vanilla": untrained | {"population": population}},
        tmp_path / "page.html",
    )
    assert "No network has a solution." in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("group", "stage"),
    [("training", "record"), ("extrapolation", "extrapolate"), ("graph", "reduce")],
)
def test_missing_groups_name_the_stage(untrained, tmp_path, group, stage):
    rest = {name: ds for name, ds in untrained.items() if name != group}
    with pytest.raises(SolspaceError, match=rf"no {group} group; call .* `solspace {stage} STORE`"):
        write_report({"interval_reproduction/vanilla": rest}, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_bad_input_is_refused_before_anything_is_written(untrained, tmp_path):
    name = "interval_reproduction/vanilla"
    unlabeled = untrained | {"population": untrained["population"].drop_vars("solution")}
    with pytest.raises(SolspaceError, match=r"no 'solution'; call .*type `solspace label STORE`"):
        write_report({name: unlabeled}, tmp_path / "page.html")
    fewer = untrained | {"graph": untrained["graph"].isel(network=[0])}
    with pytest.raises(SolspaceError, match="1 networks in the graph group, 3 in the population"):
        write_report({name: fewer}, tmp_path / "page.html")
    with pytest.raises(SolspaceError, match="no populations"):
        write_report({}, tmp_path / "page.html")
    with pytest.raises(SolspaceError, match=r"ends in \.html"):
        write_report({name: untrained}, tmp_path / "page.pdf")
    with pytest.raises(SolspaceError, match="no such folder"):
        write_report({name: untrained}, tmp_path / "nowhere" / "page.html")
    with pytest.raises(SolspaceError, match="most=0"):
        write_report({name: untrained}, tmp_path / "page.html", most=0)
    assert not list(tmp_path.iterdir())


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.one_of(st.none(), st.floats(1e-6, 1)), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_representative_is_the_lowest_loss_of_those_done(rows):
    solution, loss, done = zip(*rows, strict=True)
    ds = xr.Dataset(
        {
            "solution": ("network", list(solution)),
            "loss": ("network", [np.nan if x is None else x for x in loss]),
            "status_extrapolate": ("network", [1 if d else 2 for d in done]),
        }
    )
    for wanted in range(3):
        fit = [i for i, s in enumerate(solution) if s == wanted and done[i]]
        found = representative(ds, wanted)
        assert (found is None) == (not fit)
        if found is not None:
            assert found in fit
            known = [loss[i] for i in fit if loss[i] is not None]
            assert not known or loss[found] == min(known)


@pytest.mark.parametrize(
    "task_name", ["interval_reproduction", "interval_discrimination", "delayed_discrimination"]
)
@settings(max_examples=10)
@given(late=st.integers(-12, 12), flip=st.booleans())
def test_a_row_is_answered_where_its_output_comes_on_time_and_right(task_name, late, flip):
    trials = get_task(task_name).recorded_trials()
    target = trials.target[..., 0]
    output = np.roll(target, late, axis=1) * (-1 if flip else 1)
    long = int((target[0] != 0).sum())
    assert answered_rows(target, target, trials.input).all()
    assert not answered_rows(np.zeros_like(target), target, trials.input).any()
    found = answered_rows(output, target, trials.input)
    assert found.all() if abs(late) <= long and not flip else not found.any()


@pytest.mark.slow
def test_published_networks_of_each_task(tmp_path):
    populations = {}
    for name in ("interval_reproduction/gru", "delayed_discrimination/vanilla"):
        folder = reference_path("networks", name)
        paths = sorted(folder.glob("20_*/weights.pt"))
        populations[name] = groups_of(read_networks(paths, *name.split("/")))
    write_report(populations, tmp_path / "page.html", most=1)
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.headings.count(2) == 2 and len(page.ids) == len(set(page.ids))
    assert "Interval reproduction, GRU" in page.text
    # A trained network answers what it was trained on.
    assert page.text.count("nswered as asked for") == 2
    assert "No row is answered" not in page.text
