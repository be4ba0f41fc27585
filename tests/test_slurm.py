"""A stage on a real SLURM of one node: `make test-slurm`, which says why where it cannot."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from solspace.population import new_population
from solspace.run.populations import create_population
from solspace.store.check import check_store
from tests.test_resume import RECIPE, assert_same

pytestmark = pytest.mark.slurm

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo", "scancel")
HOST = socket.gethostname().split(".")[0]

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={port}
SlurmdPort={port_of_node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=01:00:00 State=UP
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def told(folder: Path) -> str:
    logs = [folder / f"{name}.log" for name in ("munged", "slurmctld", "slurmd")]
    return " | ".join(f"{p.name}: {p.read_text()[-300:]}" for p in logs if p.exists())


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[None]:
    """munged, slurmctld and slurmd in a folder of their own, as root, as long as a test runs."""
    if missing := [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]:
        packages = "slurmctld slurmd slurm-client munge"
        pytest.skip(f"no SLURM here ({', '.join(missing)}): apt-get install {packages}")
    if os.geteuid() != 0:
        pytest.skip("slurmd starts jobs as root only")
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    config = CONFIG.format(host=HOST, folder=folder, port=free_port(), port_of_node=free_port())
    (folder / "slurm.conf").write_text(config)
    before = dict(os.environ)
    os.environ |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        with open(folder / f"{words[0]}.log", "ab") as log:
            started.append(subprocess.Popen(words, stdout=log, stderr=log))

    try:
        start(
            "munged", "--foreground", "--force", f"--key-file={folder}/key",
            f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
        )  # fmt: skip
        wait_for(lambda: (folder / "munge.socket").exists(), "munged", folder, started)
        start("slurmctld", "-D")
        start("slurmd", "-D", "-N", HOST)
        wait_for(is_idle, "a node that takes jobs", folder, started)
        yield
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)
        os.environ.clear()
        os.environ.update(before)


PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def is_idle() -> bool:
    found = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
    return found.stdout.strip() == "idle"


def wait_for(there, what: str, folder: Path, started: list[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + 60
    while not there():
        ended = [p.args for p in started if p.poll() is not None]
        if ended or time.monotonic() > until:
            pytest.skip(f"SLURM did not start, {what} is missing: {told(folder)}")
        time.sleep(0.2)


def solspace(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "solspace", *words],
        cwd=cwd, capture_output=True, text=True, timeout=400,
    )  # fmt: skip


def test_jobs_of_slurm_make_the_same_store(slurm, tmp_path):
    ds = new_population(
        "interval_reproduction", "vanilla", networks=6, hidden_size=20, seed=3, recipe=RECIPE
    )
    for name in ("jobs.zarr", "threads.zarr"):
        create_population(str(tmp_path / name), ds, shard_size=2)
        assert solspace("train", name, "--quiet", cwd=tmp_path).returncode == 0
    done = solspace(
        "record", "jobs.zarr", "--slurm", "2", "--slurm-option", "queue=short",
        "--slurm-option", "memory=1GB", "--slurm-option", "interface=lo", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert solspace("record", "threads.zarr", cwd=tmp_path).returncode == 0
    assert_same(str(tmp_path / "jobs.zarr"), str(tmp_path / "threads.zarr"))
    assert check_store(str(tmp_path / "jobs.zarr")) == []
    queue = subprocess.run(["squeue", "-h"], capture_output=True, text=True)
    assert queue.stdout.strip() == "", "jobs are left"


def test_a_queue_that_is_not_there_is_one_line(slurm, tmp_path):
    ds = new_population("interval_reproduction", "vanilla", networks=2, hidden_size=20)
    create_population(str(tmp_path / "mine.zarr"), ds)
    done = solspace(
        "train", "mine.zarr", "--quiet", "--slurm", "1", "--slurm-option", "queue=nowhere",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "nowhere" in done.stderr, done.stderr
