"""The figures on docs pages are those of the stores that ship, by the scripts that wrote them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import reference_path

from validation import classification, populations

DOCS = Path(__file__).resolve().parents[1] / "docs"


def said(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.strip()}


def test_what_the_page_says_of_classification_is_in_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "IMAGES", tmp_path)
    text = classification.ours(classification.stored_results())
    assert text.count("| `solution` |") == 5
    assert said(text) <= said((DOCS / "validation.md").read_text())
    assert len(list(tmp_path.glob("*.png"))) == 12


def test_what_the_page_says_of_the_populations_is_in_the_store(tmp_path, monkeypatch):
    reference_path("populations")
    monkeypatch.setattr(populations, "PICTURE", tmp_path / "populations.png")
    # Which graph the authors' classes are takes the reduction of a hundred networks.
    monkeypatch.setattr(populations, "published_solutions", lambda population: {})
    text = populations.section()
    assert text.count(" of 400 |") == 5
    assert said(text) <= said((DOCS / "validation.md").read_text())


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
