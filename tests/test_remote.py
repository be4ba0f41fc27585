"""Stores behind addresses: read through a real server of S3, and a web server."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from servers import bucket_server, web_server

import solspace
from solspace import SolspaceError
from solspace.cli import main
from solspace.store import Store, place

pytest.importorskip("obstore")

GROUP = "interval_reproduction/vanilla"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demo_store) -> Path:
    folder = tmp_path_factory.mktemp("remote")
    shutil.copytree(demo_store, folder / "bucket" / "some" / "demo.zarr")
    shutil.copytree(demo_store, folder / "my-bucket" / "stores" / "demo.zarr")
    begun = folder / "bucket" / "some" / "begun.zarr"
    shutil.copytree(demo_store, begun)
    root = json.loads((begun / "zarr.json").read_text())
    del root["consolidated_metadata"]  # as while it is written
    (begun / "zarr.json").write_text(json.dumps(root))
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with bucket_server(folder) as settings:
        yield settings


@pytest.fixture
def bucket(server, monkeypatch) -> str:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return "s3://bucket/some"


@pytest.fixture(scope="module")
def web(folder):
    with web_server(folder) as address:
        yield f"{address}/bucket/some"


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The objects that are asked for, in the end by obstore."""
    import obstore

    keys: list[str] = []

    def counted(asks):
        def ask(store, key, *args, **options):
            keys.append(key)
            return asks(store, key, *args, **options)

        return ask

    for name in ("get", "get_async", "get_range_async", "head_async"):
        monkeypatch.setattr(obstore, name, counted(getattr(obstore, name)))
    return keys


@pytest.mark.parametrize("kind", ["bucket", "web"])
def test_a_store_behind_an_address_reads_as_the_folder(kind, request, demo_store):
    url = f"{request.getfixturevalue(kind)}/demo.zarr"
    here, there = solspace.open_store(demo_store), solspace.open_store(url)
    assert here.groups == there.groups
    for group in here.groups:
        xr.testing.assert_identical(
            here[group].to_dataset().load(), there[group].to_dataset().load()
        )
    own = solspace.open_population(url, *GROUP.split("/"), group="training")
    xr.testing.assert_identical(
        own.load(), xr.open_zarr(demo_store, group=f"{GROUP}/training").load()
    )
    # A part of a chunked array, which is a range of a file.
    activity = solspace.open_store(url, chunks=None)[f"{GROUP}/training"].activity
    assert activity[1:2, :, ::7].equals(own.activity[1:2, :, ::7])


def test_opening_asks_for_metadata_once(bucket, asked):
    url = f"{bucket}/demo.zarr"
    tree = solspace.open_store(url)
    assert tree.groups and asked.count("zarr.json") == 1 and len(set(asked)) == len(asked)
    assert all(key.endswith("/c/0") for key in asked if key != "zarr.json")
    asked.clear()
    ds = solspace.open_population(url, *GROUP.split("/"))
    assert asked.count("zarr.json") == 1 and len(asked) == 1 + len(ds.indexes)
    asked.clear()
    assert main(["info", url]) == 0
    assert asked.count("zarr.json") <= 2  # for the tasks, and for what is said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bucket", "web"])
def test_reading_verbs_take_addresses(kind, request, demo_store, tmp_path, capsys):
    url = f"{request.getfixturevalue(kind)}/demo.zarr"
    if kind == "web":
        assert main(["check", url]) == 2
        assert "does not list its files" in capsys.readouterr().err
    for command in (
        ["info"],
        ["coverage"],
        *([["check"]] * (kind == "bucket")),
    ):
        assert main([*command, demo_store]) == 0
        here = capsys.readouterr().out.replace(demo_store, "")
        assert main([*command, url]) == 0
        assert capsys.readouterr().out.replace(url, "") == here
    assert main(["compare", url, demo_store]) == 0
    small = str(tmp_path / "small.zarr")
    assert main(["pack", url, small]) == 0
    xr.testing.assert_equal(
        xr.open_zarr(small, group=f"{GROUP}/graph").load(),
        xr.open_zarr(demo_store, group=f"{GROUP}/graph").load(),
    )
    assert main(["export-nwb", url, str(tmp_path / "one.nwb"), "--network", "0"]) == 0


def test_stages_compute_on_what_an_address_holds(bucket, demo_store):
    url = f"{bucket}/demo.zarr"
    ds = solspace.open_population(url, *GROUP.split("/")).isel(network=[0]).load()
    again = solspace.record(ds)
    kept = xr.open_zarr(demo_store, group=f"{GROUP}/training").activity[:1].load()
    np.testing.assert_allclose(again.activity, kept, rtol=1e-12, atol=1e-12)  # in a batch of two


def test_a_store_without_gathered_metadata(bucket, web, demo_store):
    assert [str(p) for p in Store(f"{bucket}/begun.zarr").populations()] == [GROUP]
    ds = solspace.open_population(f"{bucket}/begun.zarr", *GROUP.split("/")).load()
    xr.testing.assert_identical(ds, xr.open_zarr(demo_store, group=GROUP).load())
    with pytest.raises(SolspaceError, match="not gathered"):
        Store(f"{web}/begun.zarr").populations()


def test_what_is_wrong_with_an_address_is_said_in_one_line(bucket, web, monkeypatch, capsys):
    def said(*command: str, status: int = 2) -> str:
        assert main(list(command)) == status
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    url = f"{bucket}/demo.zarr"
    assert "no such store" in said("info", f"{bucket}/none.zarr")
    assert "no such store" in said("info", f"{web}/none.zarr")
    assert "no such bucket" in said("info", "s3://nobody/demo.zarr")
    assert "read only" in said("label", f"{web}/demo.zarr")
    assert "begins with s3://" in said("info", "ftp://host/demo.zarr")
    assert "pathlib" in said("info", str(Path(url)))
    assert "give the path itself, /demo.zarr" in said("info", "file:/demo.zarr")
    assert "copy it there" in said("pack", url, f"{bucket}/small.zarr")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert "AWS_SECRET_ACCESS_KEY" in said("info", url)
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    assert "AWS_ALLOW_HTTP" in said("info", url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setattr(place, "_RETRY", {"max_retries": 0})
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", dead)
        assert f"no answer from {dead}" in said("info", url, status=1)
        assert f"no answer from {dead}" in said("check", f"{dead}/demo.zarr", status=1)


def test_no_address_is_taken_for_a_folder(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = ["--task", "interval_reproduction", "--architecture", "vanilla", "--networks", "2"]
    for url in (str(Path(f"{bucket}/new.zarr")), "https://host.invalid/new.zarr"):
        assert main(["train", url, *where]) == 2
    assert main(["migrate", f"{bucket}/demo.zarr", f"{bucket}/new.zarr"]) == 2
    assert main(["export-nwb", f"{bucket}/demo.zarr", f"{bucket}/out"]) == 2
    assert not list(tmp_path.iterdir())


def test_the_page_does_what_it_says(bucket):
    (block,) = python_blocks("docs/remote.md")
    page: dict[str, Any] = {}
    exec(block, page)
    assert page["first"].sizes["network"] == 1 and page["features"].sizes["feature"] > 5
    assert page["tree"][GROUP].sizes["network"] == page["population"].sizes["network"] == 4
