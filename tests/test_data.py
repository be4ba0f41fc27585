"""Stores as trees, and datasets that ship, from a checkout or from a server on this machine."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import xarray as xr
import zarr
from blocks import python_blocks

import solspace
from solspace.errors import SolspaceError
from solspace.store import shipped
from solspace.store.metadata import UNFINISHED, VERSION

ROOT = Path(__file__).resolve().parents[1]
STORES = ROOT / "stores"
SMALL = STORES / "two_neuron.zarr"
LEARNING = STORES / "learning.zarr"


# --------------------------------------------------------------------------- trees


@pytest.mark.parametrize(
    "name",
    [
        "two_neuron",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("context_integration", "learning", "high_rate", "turner2021")
        ),
    ],
)
def test_a_tree_is_what_xarray_reads(name):
    path = STORES / f"{name}.zarr"
    theirs = xr.open_datatree(path, engine="zarr", chunks=None).load()
    for chunks in ("auto", None):
        assert solspace.open_store(path, chunks=chunks).load().identical(theirs)


def test_blocks_are_large_and_alike():
    tree = solspace.open_store(LEARNING)
    node = tree["interval_reproduction/vanilla"].to_dataset()
    assert node.chunks["network"] == (50,) and node.weight_hh.chunks is not None
    by_ten = solspace.open_store(LEARNING, chunks={"network": 10})
    for node in by_ten.subtree:
        assert node.to_dataset().chunks.get("network", (10,) * 5) == (10,) * 5
    plain = solspace.open_store(LEARNING, chunks=None)
    assert plain["interval_reproduction/vanilla"].weight_hh.chunks is None
    with pytest.raises(SolspaceError, match="'auto' for large blocks"):
        solspace.open_store(LEARNING, chunks=7)


def test_large_arrays_are_parted_at_chunks_of_the_store(tmp_path, monkeypatch):
    from solspace.store import tree

    monkeypatch.setattr(tree, "BLOCK_BYTES", 200_000)
    opened = solspace.open_store(LEARNING)
    node = opened["interval_reproduction/vanilla"].to_dataset()
    assert len(set(node.chunks["network"][:-1])) == 1 < len(node.chunks["network"])
    assert node.chunks["network"][0] % node.attrs["chunk_size"] == 0
    whole = solspace.open_store(LEARNING)["interval_reproduction/vanilla"]
    assert node.weight_hh.mean().compute() == whole.weight_hh.mean().compute()


def test_two_openings_of_a_changed_store_are_two_data(tmp_path):
    path = tmp_path / "a.zarr"
    shutil.copytree(SMALL, path)
    first = solspace.open_store(path)["two_neuron/planar"].loss
    name = first.data.name
    assert solspace.open_store(path)["two_neuron/planar"].loss.data.name != name


def test_a_run_under_way_or_killed_is_opened(tmp_path):
    path = tmp_path / "a.zarr"
    shutil.copytree(LEARNING, path)
    theirs = solspace.open_store(path, chunks=None).load()
    zarr.open_group(path, mode="r+", use_consolidated=False).update_attributes({})
    assert zarr.open_group(path, mode="r").metadata.consolidated_metadata is None
    # What it was writing anew stands beside the group.
    graph = path / "interval_reproduction" / "vanilla" / "graph"
    shutil.copytree(graph, graph.with_name("graph.unfinished"))
    assert solspace.open_store(path, chunks=None).load().identical(theirs)
    graph.rename(graph.with_name("graph.old"))
    with pytest.raises(SolspaceError, match="was interrupted"):
        solspace.open_store(path)


def test_what_is_no_store_is_refused_with_what_to_type(tmp_path):
    with pytest.raises(SolspaceError, match="no such store; make one with `solspace train"):
        solspace.open_store(tmp_path / "none.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SolspaceError, match="is no solspace store"):
        solspace.open_store(tmp_path / "empty")
    path = tmp_path / "old.zarr"
    shutil.copytree(SMALL, path)
    marks = json.loads((path / "zarr.json").read_text())
    old = {**marks, "attributes": {**marks["attributes"], VERSION: 1}}
    (path / "zarr.json").write_text(json.dumps(old))
    with pytest.raises(SolspaceError, match=r"`solspace migrate .*old\.zarr NEW`"):
        solspace.open_store(path)
    killed = {**marks, "attributes": {**marks["attributes"], UNFINISHED: "pack"}}
    (path / "zarr.json").write_text(json.dumps(killed))
    with pytest.raises(SolspaceError, match="`solspace pack` writes it now, or was interrupted"):
        solspace.open_store(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(SolspaceError, match="is no solspace store"):
        solspace.open_store(path)


# --------------------------------------------------------------------------- datasets


class Server(ThreadingHTTPServer):
    """Serves a folder; ``cut`` answers with half of what it announces."""

    cut = False
    asked: list[str]


@pytest.fixture(scope="module")
def zips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zips")
    shipped.zip_store(SMALL, folder / "two_neuron.zarr.zip")
    return folder


@pytest.fixture
def server(zips, tmp_path):
    folder = tmp_path / "served"
    shutil.copytree(zips, folder)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def do_GET(self):
            running.asked.append(self.path)
            if not running.cut:
                super().do_GET()
                return
            whole = (folder / self.path.lstrip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole[: len(whole) // 2])
            self.close_connection = True

        def log_message(self, *args):
            pass

    running = Server(("127.0.0.1", 0), Handler)
    running.asked = []
    running.folder = folder
    running.url = f"http://127.0.0.1:{running.server_port}/"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def test_a_dataset_is_downloaded_once(server, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = solspace.load_dataset("two_neuron", url=server.url, cache=cache)
    assert first.identical(solspace.open_store(SMALL))
    assert server.asked == ["/two_neuron.zarr.zip"]
    # Not even the zip is left beside the store, and the next call asks nobody.
    (kept,) = cache.iterdir()
    assert [p.name for p in kept.iterdir()] == ["two_neuron.zarr"]
    monkeypatch.setenv(shipped.ADDRESS, server.url)
    monkeypatch.setenv(shipped.CACHE, str(cache))
    monkeypatch.setattr(shipped, "_checkout", lambda: tmp_path)
    assert solspace.load_dataset("two_neuron").identical(first)
    assert len(server.asked) == 1


def test_an_interrupted_download_leaves_nothing(server, tmp_path):
    cache = tmp_path / "cache"
    server.cut = True
    with pytest.raises(SolspaceError, match=r"could not be downloaded .*nothing was kept"):
        solspace.load_dataset("two_neuron", url=server.url, cache=cache)
    assert list(cache.iterdir()) == []
    # A process that was killed may leave what it had; it is not taken for the dataset.
    (cache / "two_neuron-killed" / "unpacked" / "two_neuron.zarr").mkdir(parents=True)
    server.cut = False
    tree = solspace.load_dataset("two_neuron", url=server.url, cache=cache)
    assert tree["two_neuron/planar"].sizes["network"] == 10_000


def test_other_data_are_refused(server, tmp_path):
    cache = tmp_path / "cache"
    file = server.folder / "two_neuron.zarr.zip"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(SolspaceError, match=r"its SHA-256 hash is not [0-9a-f]{64}"):
        solspace.load_dataset("two_neuron", url=server.url, cache=cache)
    assert list(cache.iterdir()) == []
    file.unlink()
    with pytest.raises(SolspaceError, match="404"):
        solspace.load_dataset("two_neuron", url=server.url, cache=cache)
    cache.rmdir()
    cache.write_text("no folder")
    with pytest.raises(SolspaceError, match=r"cannot be kept in .*SOLSPACE_DATA_CACHE"):
        solspace.load_dataset("two_neuron", url=server.url, cache=cache)


def test_an_address_has_to_be_known(tmp_path, monkeypatch):
    monkeypatch.delenv(shipped.ADDRESS, raising=False)
    monkeypatch.setattr(shipped, "_checkout", lambda: tmp_path)
    with pytest.raises(SolspaceError, match="set the environment variable SOLSPACE_DATA_URL"):
        solspace.load_dataset("turner2021", cache=tmp_path)
    with pytest.raises(SolspaceError, match="no dataset 'turner'; there are: context_int"):
        solspace.load_dataset("turner")


def test_the_hashes_are_those_of_the_stores(zips):
    registry = shipped._registry()
    for name in ("two_neuron", "learning"):
        path = zips / f"{name}.zarr.zip"
        digest = shipped.zip_store(STORES / f"{name}.zarr", path)
        made = {"sha256": digest, "bytes": path.stat().st_size}
        assert made == registry[name], f"{name} changed: run `make data`"


@pytest.mark.slow
def test_all_hashes_are_those_of_the_stores(tmp_path):
    from stores.make_zips import make_zips

    assert make_zips(tmp_path) == shipped._registry(), "stores changed: run `make data`"


# --------------------------------------------------------------------------- the page


def test_every_block_of_the_page_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    for block in python_blocks("docs/data.md"):
        exec(block, names)
    assert names["small"]["interval_reproduction/vanilla"].sizes["network"] == 50
