"""Where work runs: active clients, what travels, and what a signal or a death leaves."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zarr

from solspace.errors import ClusterError
from solspace.population import new_population
from solspace.run.loop import run_stage
from solspace.run.populations import create_population
from solspace.store.check import check_store
from tests.blocks import python_blocks
from tests.test_resume import GROUP, RECIPE, assert_same, lay, statuses


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("where") / "trained.zarr")
    ds = new_population(
        "interval_reproduction", "vanilla", networks=4, hidden_size=20, seed=3, recipe=RECIPE
    )
    create_population(path, ds, shard_size=2)
    run_stage(path, "train")
    return path


def solspace(*words: str, **more) -> subprocess.Popen[str]:
    """A command with the signals of a terminal, also where pytest runs in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "solspace", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **more,
    )


def test_an_active_client_does_the_work_under_names(trained, tmp_path, monkeypatch):
    """From a path relative to a folder that the worker is not in."""
    (block,) = python_blocks("docs/cluster.md")
    mine = shutil.copytree(trained, str(tmp_path / "mine.zarr"))
    other = shutil.copytree(trained, str(tmp_path / "other.zarr"))
    run_stage(other, "record")  # without a client: threads
    # The worker is in the folder in which the cluster began; the path is relative to another.
    move = f"    __import__('os').chdir({str(tmp_path)!r})\n    solspace.run_stage"
    block = block.replace("Client(cluster):", "Client(cluster) as client:")
    block = block.replace("    solspace.run_stage", move)
    names: dict[str, Any] = {"store": "mine.zarr"}
    monkeypatch.chdir(tmp_path.parent)
    exec(f"{block}    status, told = client.status, set(cluster.scheduler.task_prefixes)\n", names)
    assert names["status"] == "running"  # it is the user's
    told = names["told"]
    assert {f"record {GROUP}", f"prepare record {GROUP}"} <= told
    entry = zarr.open_group(mine, path=GROUP, mode="r").attrs["provenance"]
    assert names["cluster"].scheduler_address in entry
    assert_same(mine, other)


def test_workers_are_kept_while_a_command_asks_for_them():
    from solspace.run.where import kept, map_unordered

    with kept():
        (first,) = {pid for _, pid in map_unordered(_process, [0, 1], workers=1)}
        with kept():  # a command in a command
            assert list(map_unordered(_process, [2], workers=1)) == [(2, first)]
        assert list(map_unordered(_process, [3], workers=1)) == [(3, first)]
        assert list(map_unordered(_process, [4])) == [(4, os.getpid())]
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def _process(_: int) -> int:
    return os.getpid()


@pytest.mark.slow
def test_a_worker_that_cannot_see_the_store_says_so(trained, tmp_path, monkeypatch):
    from solspace.errors import SolspaceError
    from solspace.run.where import check_worker

    with pytest.raises(SolspaceError, match="sees no store there"):
        check_worker(str(tmp_path / "nowhere.zarr"), __import__("solspace").__version__)
    with pytest.raises(SolspaceError, match="install one version"):
        check_worker(trained, "0.0.0")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", [[], ["--workers", "2"]])
def test_a_signal_is_one_line_and_the_store_goes_on(tmp_path, number, where):
    store = lay(str(tmp_path / "mine.zarr"))
    whole = shutil.copytree(store, str(tmp_path / "whole.zarr"))
    process = solspace("train", store, "--quiet", *where)
    while process.poll() is None and not (statuses(store, "train") > 0).any():
        time.sleep(0.02)
    # A terminal sends Ctrl-C to all processes of a command, a cluster SIGTERM to the first.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert len(error.strip().splitlines()) == 1, error
    assert "what is stored is whole" in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.zarr", "whole.zarr"]
    run_stage(store, "train")
    run_stage(whole, "train")
    assert_same(store, whole)
    assert check_store(store) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["info", "STORE"], ["record", "STORE", "--redo", "--quiet"], ["report", "STORE", "PAGE"],
     ["record", "STORE", "--redo", "--quiet", "--workers", "1"]],
    ids=["info", "record", "report", "workers"],
)  # fmt: skip
def test_signals_at_20_moments_are_one_line(trained, tmp_path, words):
    """From the start of the command on, every third twice in a row."""
    rng = np.random.default_rng(5)
    store = shutil.copytree(trained, str(tmp_path / "mine.zarr"))
    run_stage(store, "record")
    typed = [{"STORE": store, "PAGE": str(tmp_path / "page.html")}.get(w, w) for w in words]
    began = time.monotonic()
    solspace(*typed).communicate(timeout=200)
    seconds = time.monotonic() - began
    interrupted = 0
    for moment in range(20):
        number = (signal.SIGINT, signal.SIGTERM)[moment % 2]
        process = solspace(*typed)
        # Before that it is Python that starts, and answers.
        time.sleep(0.1 * seconds + rng.uniform(0, 0.9) * seconds)
        for _ in range(2 if moment % 3 == 2 else 1):
            if process.poll() is None:
                (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
                time.sleep(rng.uniform(0, 0.2))
        _, error = process.communicate(timeout=60)
        lines = error.strip().splitlines()
        if process.returncode == 128 + number:
            interrupted += 1
            assert len(lines) == 1 and lines[0].startswith("solspace: "), error
        else:  # it had ended, but for Python
            assert process.returncode in (0, 2, -number) and len(lines) <= 1, error
    assert interrupted >= 5, "no signal came in time: the moments test nothing"
    run_stage(store, "record")
    assert check_store(store) == []


@pytest.fixture
def cluster(tmp_path) -> Iterator[tuple[str, subprocess.Popen[str], subprocess.Popen[str]]]:
    """A scheduler and a worker as processes of their own, in another folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    try:
        scheduler = start(
            "distributed.cli.dask_scheduler", "--port=0", "--host=127.0.0.1", "--no-dashboard"
        )
        assert scheduler.stdout is not None
        found = (re.search(r"Scheduler at:\s+(tcp://\S+)", line) for line in scheduler.stdout)
        address = next(match[1] for match in found if match)
        worker = start("distributed.cli.dask_worker", address, "--nthreads=1", "--no-dashboard")
        yield address, scheduler, worker
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["scheduler", "worker"])
def test_a_death_on_the_cluster_is_one_line(cluster, tmp_path, monkeypatch, dies):
    """Killed after the first shard; typed again without it, the store is whole."""
    from solspace.run import where

    address, scheduler, worker = cluster
    store = lay(str(tmp_path / "mine.zarr"))
    whole = shutil.copytree(store, str(tmp_path / "whole.zarr"))
    if dies == "worker":  # nobody starts another one
        monkeypatch.setattr(where, "_NONE_LEFT", 2)
        monkeypatch.setattr(where, "_LOOK", 1)
    victim = scheduler if dies == "scheduler" else worker

    real = where._Watch.look

    def look(self) -> None:
        if (statuses(store, "train") > 0).any() and victim.poll() is None:
            os.killpg(victim.pid, signal.SIGKILL)
        real(self)

    monkeypatch.setattr(where._Watch, "look", look)
    told = "went away" if dies == "scheduler" else "no worker is left"
    with pytest.raises(ClusterError, match=told) as raised:
        run_stage(store, "train", scheduler=address)
    assert "\n" not in str(raised.value)
    if worker.poll() is None:  # it may be writing still, which `check` would name
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    run_stage(store, "train")
    run_stage(whole, "train")
    assert_same(store, whole)
    assert check_store(store) == []


def test_processes_are_chosen_where_many_networks_are_pending(trained, tmp_path, monkeypatch):
    from solspace.cli import main
    from solspace.run import choosing
    from solspace.store import Store

    populations = Store(trained).populations()
    assert choosing.worthwhile_processes(populations) is None  # four networks
    monkeypatch.setattr(choosing, "FEWEST", 4)
    monkeypatch.setattr(choosing, "EACH", 2)
    monkeypatch.setattr(choosing, "most_workers", lambda room: 8)
    assert choosing.worthwhile_processes(populations) == 2
    monkeypatch.setattr(choosing, "most_workers", lambda room: 0)  # no dask
    assert choosing.worthwhile_processes(populations) is None
    monkeypatch.setattr(choosing, "most_workers", lambda room: 8)

    with monkeypatch.context() as patch:  # of stages that cannot be, nothing is pending
        patch.setattr(choosing, "refusal", lambda population, stage: "it has no graph")
        assert choosing.worthwhile_processes(populations) is None

    asked: list[tuple[str, int | None]] = []

    def note(path, stage, *, workers, **more):
        asked.append((stage, workers))
        return []

    monkeypatch.setattr("solspace.run.loop.run_stage", note)
    for words, processes in (((), 2), (("--workers", "0"), None), (("--workers", "3"), 3)):
        asked.clear()
        assert main(["run", trained, *words]) == 0
        chosen = dict(asked)
        assert chosen.pop("train") == (3 if processes == 3 else None)
        assert {"record", "verify", "features"} <= set(chosen)
        assert set(chosen.values()) == {processes}


@pytest.mark.slow
def test_processes_that_are_chosen_make_what_threads_do(trained, tmp_path, monkeypatch, capfd):
    from solspace.cli import main
    from solspace.run import choosing

    mine = shutil.copytree(trained, str(tmp_path / "mine.zarr"))
    other = shutil.copytree(trained, str(tmp_path / "other.zarr"))
    assert main(["run", other, "--quiet"]) == 0
    monkeypatch.setattr(choosing, "FEWEST", 4)
    monkeypatch.setattr(choosing, "EACH", 2)
    assert main(["run", mine]) == 0
    assert "analysis in 2 processes; --workers 0 for threads" in capfd.readouterr().out
    entry = zarr.open_group(mine, path=GROUP, mode="r").attrs["provenance"]
    assert '"workers": 2' in entry
    assert_same(mine, other)
    assert check_store(mine) == []
