"""README and docs: blocks run, links lead somewhere, what is made comes from the code."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
import xarray as xr
from blocks import ROOT, all_blocks, python_blocks

DOCS = ROOT / "docs"
STORES = ROOT / "stores"
PAGES = sorted(["README.md", *(str(p.relative_to(ROOT)) for p in DOCS.rglob("*.md"))])
PAGES = [page for page in PAGES if not page.startswith(("docs/_", "docs/api/"))]

FURTHER = ["stores/README.md", "notebooks/README.md"]

# Blocks that no test runs, by words in them: at most five, each with its reason.
NOT_RUN = {
    ("docs/classification.md", "recording_size"): "needs hours of simulated recordings",
    ("docs/classification.md", "classify_across"): "takes minutes for 800 networks; "
    "test_classification does it with few",
}


COARSE = "slice_of(plane_through(three), resolution=21)"


# --------------------------------------------------------------------------- blocks


def run(blocks: list[str]) -> dict[str, object]:
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    return names


def test_the_tutorial_runs(demo_store, tmp_path, monkeypatch, capsys):
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "demo.zarr").symlink_to(demo_store)
    monkeypatch.chdir(tmp_path)
    names = run(python_blocks("docs/tutorial.md"))
    for picture in ("solutions", "graph", "beyond", "paths"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 3000
    # The network that plays the reader's is the first of those that ship.
    shipped = xr.open_zarr(STORES / "turner2021.zarr", group="interval_reproduction/vanilla")
    keys = shipped.solution_key.values
    assert names["mine"].solution_key.item() == keys[0]
    count = int((keys == keys[0]).sum())
    assert f"{count} of 400 networks found this solution" in capsys.readouterr().out


def test_a_packed_store_gets_back_what_was_left_out(tmp_path, monkeypatch, capsys):
    (tmp_path / "stores").symlink_to(STORES)
    monkeypatch.chdir(tmp_path)
    run(python_blocks("docs/sharing.md"))
    assert capsys.readouterr().out.split() == ["False", "True"]


def test_networks_are_laid_and_chosen_as_the_page_on_large_populations_says(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = run(python_blocks("docs/scale.md"))
    chosen = names["chosen"]
    laid = xr.open_zarr(names["path"], group="interval_reproduction/vanilla", chunks=None)
    assert laid.sizes["network"] == chosen.sizes["network"] == 20
    assert laid.weight_hh.variable.equals(chosen.weight_hh.variable)
    assert len(names["loss"]) > 1


def test_the_landing_page_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = run(python_blocks("docs/index.md"))
    assert "solution_name" in capsys.readouterr().out
    assert names["ds"].sizes["network"] == 400


def test_results_that_ship_are_read_as_pages_say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    run(python_blocks("docs/learning.md"))
    assert "networks changed their solution at the last level" in capsys.readouterr().out
    names = run(python_blocks("docs/learning_rate.md"))
    assert names["final"].goes_on.sum() > 0
    names = run(python_blocks("docs/starts.md"))
    assert names["of_task"].trained.sum() > 0
    (tmp_path / "my.zarr").symlink_to(STORES / "turner2021.zarr")
    monkeypatch.chdir(tmp_path)
    names = run(python_blocks("docs/classification.md", containing="/classification"))
    assert (names["table"].kappa > 0).all()


def test_networks_are_compared_as_the_page_on_similarity_says(tmp_path, monkeypatch, capsys):
    (tmp_path / "stores").symlink_to(STORES)
    monkeypatch.chdir(tmp_path)
    names = run(python_blocks("docs/similarity.md"))
    assert capsys.readouterr().out.startswith("distance True rad")
    assert names["pairs"].shape == (16, 16) and (tmp_path / "map.png").exists()
    assert names["found"].level.values.tolist() == ["behaviour", "dynamics", "weights"]
    from solspace.similarity import MEASURES

    page = (DOCS / "similarity.md").read_text()
    for name, measure in MEASURES.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |")
                  and line.count("|") == 6 and measure.direction in line)  # fmt: skip
        assert f"| {'yes' if measure.metric else 'no'} |" in row


def test_the_plane_of_two_neurons_is_drawn_through_three_networks(monkeypatch):
    monkeypatch.chdir(ROOT)
    (block,) = python_blocks("docs/two_neuron.md")
    names = run([block.replace("slice_of(plane_through(three))", COARSE)])
    assert names["ds"].sizes["a"] == 21
    assert names["three"].shape == (3, 2, 2)
    assert names["ds"].loss.dims == ("b", "a")


def calls() -> dict[str, list[str]]:
    """What tests ask of each page: the words that blocks have to contain."""
    asked = defaultdict(list)
    for path in (ROOT / "tests").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "python_blocks":
                page, *words = [*node.args, *(keyword.value for keyword in node.keywords)]
                asked[ast.literal_eval(page)] += [ast.literal_eval(w) for w in words] or [""]
    return asked


def test_every_block_is_run_by_a_test_or_said_not_to_be():
    asked, not_run, seen = calls(), set(), 0
    for page in PAGES:
        for block in all_blocks(page):
            seen += 1
            if not any(words in block for words in asked[page]):
                why = [key for key in NOT_RUN if key[0] == page and key[1] in block]
                assert why, f"no test runs this block of {page}:\n{block}"
                not_run.update(why)
    assert seen > 70
    assert not_run == set(NOT_RUN) and len(NOT_RUN) <= 5


# --------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """What headings of a page are called by links, as code hosts and MyST make it."""
    text = re.sub(r"^(```|````).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,4} +(.+?) *$", text, flags=re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-1")
    return found


def links(page: Path) -> list[str]:
    """Targets of links and pictures, also of cards and pictures beside them."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^(```)(python|sh|text).*?^\1", "", text, flags=re.S | re.M)
    found = re.findall(r"\]\(<?([^)>\s]+)>?(?: \"[^\"]*\")?\)", text)
    found += re.findall(r"<img[^>]+src=\"([^\"]+)\"", text) + re.findall(r":img-top: (\S+)", text)
    found += [f"{name}.md" for name in re.findall(r":link: (\S+)\n:link-type: doc", text)]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", *FURTHER])
def test_links_and_pictures_are_there(page):
    path = ROOT / page
    for target in links(path):
        name, _, anchor = target.partition("#")
        at = (path.parent / name) if name else path
        assert at.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(at), f"{page}: {target}"


def test_every_page_is_reached_from_the_first():
    """By links that work on a code host; the site has its own table of contents too."""
    reached: set[Path] = set()
    left = [ROOT / "README.md", DOCS / "index.md"]
    while left:
        page = left.pop().resolve()
        if page not in reached:
            reached.add(page)
            targets = [page.parent / target.partition("#")[0] for target in links(page)]
            left += [t for t in targets if t.suffix == ".md" and t.exists()]
    assert {ROOT / page for page in PAGES} <= reached


# --------------------------------------------------------------------------- from the code


def test_every_command_and_public_name_is_on_a_page():
    pytest.importorskip("sphinx")
    code = """
import solspace
from docs.sphinx_pages import command_line, grouped_names, own_names
print(command_line())
names = [name for group in grouped_names().values() for name in group]
print("@", *names)
print("@", *own_names("solspace.plots"))
"""
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    shown, names, plots = made.stdout.split("\n@ ")
    import solspace
    from solspace.cli.arguments import make_parser

    verbs = next(a for a in make_parser()._actions if a.dest == "verb").choices
    assert re.findall(r"^## solspace ([\w-]+)$", shown, flags=re.M) == list(verbs)
    assert "| `--checkpoints N` |" in shown and "[docs/recipes.md]" not in shown
    packages = {name for name in solspace.__all__ if (ROOT / "solspace" / name).is_dir()}
    assert set(names.split()) == set(solspace.__all__) - packages
    assert set(plots.split()) == set(solspace.plots.__all__)
    for package in packages:
        assert (DOCS / "api" / f"{package}.md").exists()


def test_what_code_hosts_read_says_what_the_project_says():
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["title"], cited["version"]) == (project["name"], project["version"])
    assert cited["license"] == project["license"] and cited["references"][0]["year"] == 2021
    assert {"cff-version", "message", "authors"} <= set(cited)
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    targets = {*matrix["target"], *(more["target"] for more in matrix["include"])}
    assert targets == {"test", "test-avx2", "lint", "docs"}
    rules = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert targets <= rules
    named = [f"Programming Language :: Python :: {version}" for version in matrix["python"]]
    assert set(named) <= set(project["classifiers"])


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("pydata_sphinx_theme")
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    made = subprocess.run(
        [*sphinx, "-d", tmp_path / "trees", "docs", tmp_path / "html"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    pages = list((tmp_path / "html").rglob("*.html"))
    assert len(pages) > 40
    for page in pages:  # nothing is fetched from elsewhere
        loaded = r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?://[^\"]+)"
        assert re.findall(loaded, page.read_text(encoding="utf-8")) == [], page.name
    shutil.rmtree(tmp_path / "html")
