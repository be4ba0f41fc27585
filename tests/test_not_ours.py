"""What a user has where solspace would write is refused and kept; what solspace made is renewed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from solspace import SolspaceError, import_networks, pack
from solspace.cli import main
from solspace.networks import parameter_shapes
from solspace.population import new_population
from solspace.population.variables import Variable
from solspace.run.loop import run_stage
from solspace.run.populations import add_population, create_population
from solspace.store import Store, layout
from solspace.store.check import check_store
from solspace.store.creation import replace_group

GROUP = "interval_reproduction/vanilla"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    rng = np.random.default_rng(1)
    shapes = parameter_shapes("vanilla", 6, inputs=2, outputs=1)
    networks = {
        f"net{i}": {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
        for i in range(2)
    }
    path = str(tmp_path_factory.mktemp("mine") / "small.zarr")
    add_population(path, import_networks("interval_reproduction", "vanilla", networks))
    for stage in ("record", "extrapolate", "reduce", "responses", "label"):
        run_stage(path, stage)
    return path


def refused(capsys, *command: str) -> str:
    assert main([*command]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_page_of_ones_own_is_kept(store, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("<h1>My thesis</h1>")
    error = refused(capsys, "report", store, str(page))
    assert f"{page}: is there already and was not written by `solspace report`" in error
    assert "--force" in error
    assert page.read_text() == "<h1>My thesis</h1>"
    assert os.listdir(tmp_path) == ["page.html"]
    assert main(["report", store, str(page), "--force"]) == 0
    assert "My thesis" not in page.read_text()
    # Its own page and pictures are written anew without a word.
    assert main(["report", store, str(page), "--title", "Again"]) == 0
    assert "<title>Again</title>" in page.read_text()


@pytest.mark.parametrize("suffix", ["_files", ".html.unfinished"])
def test_pictures_of_ones_own_are_kept(store, tmp_path, capsys, suffix):
    place = tmp_path / f"page{suffix}"
    mine = place
    if suffix == "_files":
        place.mkdir()
        mine = place / "interval_reproduction-vanilla-solutions.png"
    mine.write_text("drawn by hand")
    assert f"{place}: is there already" in refused(
        capsys, "report", store, str(tmp_path / "page.html")
    )
    assert mine.read_text() == "drawn by hand"
    assert not (tmp_path / "page.html").exists()
    assert main(["report", store, str(tmp_path / "page.html"), "--force"]) == 0


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_no_force_goes_through_a_link_or_a_folder(store, tmp_path, capsys, kind):
    page, mine = tmp_path / "page.html", tmp_path / "mine.html"
    mine.write_text("mine")
    page.symlink_to(mine) if kind == "link" else page.mkdir()
    for more in ([], ["--force"]):
        assert "move it away" in refused(capsys, "report", store, str(page), *more)
    assert mine.read_text() == "mine"


def test_an_unfinished_folder_of_ones_own_is_kept(store, tmp_path, capsys):
    copy = str(tmp_path / "copy.zarr")
    place = Path(f"{copy}.unfinished")
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    error = refused(capsys, "pack", store, copy)
    assert f"{place}: is there already and was not left by `solspace pack`" in error
    assert "--force" in error
    assert (place / "notes.txt").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["copy.zarr.unfinished"]
    assert main(["pack", store, copy, "--force"]) == 0
    assert sorted(os.listdir(tmp_path)) == ["copy.zarr"]
    assert check_store(copy) == []


@pytest.mark.parametrize("kind", ["a store", "a link"])
def test_a_store_of_ones_own_with_that_name_is_kept(store, tmp_path, kind):
    copy, own = str(tmp_path / "copy.zarr"), str(tmp_path / "own.zarr")
    Store(own, create=True)
    os.rename(own, f"{copy}.unfinished") if kind == "a store" else os.symlink(
        own, f"{copy}.unfinished"
    )
    with pytest.raises(SolspaceError, match="was not left by `solspace pack`"):
        pack([store], copy)
    pack([store], copy, force=True)
    assert os.path.exists(own) == (kind == "a link")


def test_a_finished_copy_bears_no_mark_and_opens_from_one_file(store, tmp_path):
    copy = str(tmp_path / "copy.zarr")
    pack([store], copy)
    root = zarr.open_group(copy, mode="r")
    assert dict(root.attrs).keys() == {
        "Conventions",
        "solspace_schema_version",
        "source",
    }
    assert root.metadata.consolidated_metadata is not None


# Killed between the two renames of `replace_group`.
REPLACE = """
import os, sys
from solspace.population.variables import Variable
from solspace.store import Store, layout
from solspace.store.creation import replace_group
rename = os.rename
def dying(before, after):
    rename(before, after)
    if after.endswith(".old"):
        os._exit(9)
os.rename = dying
store = Store(sys.argv[1])
population = store.populations()[0]
with store.lock("classify"):
    replace_group(population, "classification", [], population.open("classification").load())
"""


@pytest.fixture
def killed(store, tmp_path) -> str:
    """A store whose classification was being written anew when the process was killed."""
    path = str(tmp_path / "killed.zarr")
    pack([store], path)
    population = Store(path).populations()[0]
    with Store(path).lock("classify"):
        ds = population.open()[["network", "name", "hidden_size"]].load()
        replace_group(population, "classification", [], ds.assign_attrs(label="the one before"))
    Store(path).consolidate()
    done = subprocess.run([sys.executable, "-c", REPLACE, path])
    assert done.returncode == 9
    assert not population.has("classification")
    return path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated metadata")
def test_a_group_put_aside_is_named_and_brought_back(killed):
    population = Store(killed).populations()[0]
    faults = check_store(killed)
    assert any("classification.old; anything that writes" in fault for fault in faults), faults
    with pytest.raises(SolspaceError, match=r"put aside as .*classification\.old"):
        population.open("classification")
    with pytest.raises(KeyError):  # nobody is shown the group that is not there
        xr.open_zarr(killed, group=f"{GROUP}/classification")
    run_stage(killed, "record")
    assert population.open("classification").attrs["label"] == "the one before"
    beside = os.listdir(Path(killed) / GROUP)
    assert "classification" in beside
    assert not [name for name in beside if name.endswith((".old", ".unfinished"))]
    assert not any("classification.old" in fault for fault in check_store(killed))


@pytest.mark.parametrize("suffix", ["", ".old", ".note"])
def test_what_lies_where_an_array_is_laid_anew_is_kept(tmp_path, suffix):
    path = str(tmp_path / "s.zarr")
    group = zarr.create_group(path)
    old = layout.create_array(
        group, Variable("x", ("network",), "i4", "x", fill=0), {"network": 4},
        shard_size=layout.WHOLE, chunk=4,
    )  # fmt: skip
    old[...] = np.arange(4)
    mine = tmp_path / f"s.zarr.relayout{suffix}"
    mine.mkdir() if suffix == "" else mine.write_text("ten years of work")
    (mine / "thesis.tex" if suffix == "" else mine).write_text("ten years of work")
    layout.mend_relayout(path)
    with pytest.raises(SolspaceError, match="was not left by solspace"):
        layout.relayout(path, group, Variable("x", ("network",), "i4", "x", fill=0), 2, 2)
    assert (mine / "thesis.tex" if suffix == "" else mine).read_text() == "ten years of work"
    np.testing.assert_array_equal(group["x"][...], np.arange(4))


def test_a_population_put_aside_is_named_and_brought_back(tmp_path):
    """As it is when adding networks is killed between two renames."""
    path = str(tmp_path / "s.zarr")
    create_population(path, new_population("interval_reproduction", "vanilla", networks=2))
    os.rename(tmp_path / "s.zarr" / GROUP, tmp_path / "s.zarr" / f"{GROUP}.old")
    for quick in (False, True):
        assert any(f"{GROUP}.old; anything" in told for told in check_store(path, quick=quick))
    with Store(path).lock("record"):
        pass
    assert check_store(path) == []
    assert Store(path).populations()[0].networks == 2
