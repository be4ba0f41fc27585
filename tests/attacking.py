"""What the attack on stores uses: small real stores, commands that are killed, and what is left.

A case is a command typed in a folder. It is run once undisturbed; what an attacked one leaves in
the end has to be the same: files, arrays, attributes, and provenance apart from times.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from solspace.errors import SolspaceError
from solspace.kinds import KINDS
from solspace.stages import collection
from solspace.store.check import check_store
from solspace.tasks import get_task

ROOT = Path(__file__).resolve().parents[1]
# Kills of each series, damages of each array, and so on: fewer while something is tried.
ATTACKS = int(os.environ.get("SOLSPACE_ATTACKS", "20"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST = 300  # seconds after which a command is said to hang
# Environment of whatever is typed: the package of this checkout, one core a library.
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1",
}  # fmt: skip

# What a folder of stores must not hold when no command runs.
LEFTOVERS = (".lock", ".unfinished", ".old", ".relayout", ".note", ".partial")

TASK = ("--task", "interval_reproduction", "--architecture", "vanilla")
RECIPE = ("--recipe", "max_steps=100", "target_loss=0.03", "attempts=1", "check_every=50")
FEW = ("--minimum-class-size", "2", "--repeats", "1")
# Shorter than by default; a stage that is not here is run as it is.
OPTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("recurrent", "train"): (
        *TASK, "--networks", "5", "--hidden-size", "20", "--shard-size", "2", *RECIPE,
        "--checkpoints", "2",
    ),
    ("planar", "train"): ("--task", "two_neuron", "--networks", "5", "--shard-size", "2"),
    ("recurrent", "classify"): (
        *FEW, "--folds", "2", "--permutations", "1", "--models", "logistic",
    ),
    ("recurrent", "recording_size"): (*FEW, "--units", "5", "--trials", "5"),
    ("recurrent", "stability"): (
        "--networks", "3", "--draws", "1", "--noise", "0.001", "--further-steps", "5",
    ),
    ("recorded", "classify"): (
        *FEW, "--folds", "2", "--permutations", "1", "--models", "logistic", "--label", "animal",
    ),
}  # fmt: skip

# The group of a population that says who wrote what.
WRITING = "writing"

_TRIED = ROOT / "tests" / "data"


# --------------------------------------------------------------------------- commands


def solspace(*words: str) -> list[str]:
    return [sys.executable, "-m", "solspace", *words]


def start(words: Sequence[str], folder: str | Path, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        solspace(*words), cwd=folder, text=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, **{"env": ENVIRONMENT} | more,
    )  # fmt: skip


def typed(words: Sequence[str], folder: str | Path) -> tuple[int, str]:
    """Exit code and what a command said on stderr."""
    process = start(words, folder)
    try:
        _, said = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"solspace {' '.join(words)} in {folder} hangs") from None
    return process.returncode, said


class Forked:
    """A command as a process forked from one that has imported everything, so it begins at once."""

    def __init__(self, server: Server, pid: int, said: Path) -> None:
        self.server, self.pid, self.said = server, pid, said
        self.returncode: int | None = None
        self.handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self.handle], [], [], 0)[0]:
            self.wait(LONGEST)
        return self.returncode

    def send_signal(self, sign: int) -> None:
        if self.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, sign)

    def wait(self, timeout: float) -> int:
        if self.returncode is None:
            if not select.select([self.handle], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("solspace", timeout)
            os.close(self.handle)
            self.returncode = int(self.server.answer())
        return self.returncode

    def communicate(self, timeout: float) -> tuple[None, str]:
        self.wait(timeout)
        return None, self.said.read_text(errors="replace")


class Server:
    """Starts commands by forking: one at a time, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.said = folder / "said.txt"
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(folder)], env=ENVIRONMENT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def start(self, words: Sequence[str], folder: str | Path, **dies: Any) -> Forked:
        """A command; `dies` says at which change of names it kills itself, see `_die`."""
        assert self.process.stdin is not None
        asked = {"words": list(words), "folder": str(folder), "dies": dies}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return Forked(self, int(self.answer()), self.said)

    def typed(self, words: Sequence[str], folder: str | Path, **dies: Any) -> tuple[int, str]:
        process = self.start(words, folder, **dies)
        try:
            _, said = process.communicate(LONGEST)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate(LONGEST)
            raise AssertionError(f"solspace {' '.join(words)} in {folder} hangs") from None
        assert process.returncode is not None
        return process.returncode, said

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def _serve(folder: Path) -> None:
    """What `Server` starts: forks a command for each line, after what the last ones imported."""
    import importlib

    import solspace.cli

    learned = folder / "modules.json"
    for line in sys.stdin:
        asked = json.loads(line)
        if learned.exists():
            for name in json.loads(learned.read_text()):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
            learned.unlink()
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            continue
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command answers it
        os.chdir(asked["folder"])
        os.dup2(os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(1, 0)
        sys.argv = ["solspace", *asked["words"]]
        if asked["dies"]:
            _die(**asked["dies"])
        code: Any = 1
        try:
            code = solspace.cli.main()
            missing = [n for n in sys.modules if n not in _KNOWN and "__main__" not in n]
            learned.write_text(json.dumps(missing))
        except SystemExit as error:
            code = error.code
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
    os._exit(0)


_KNOWN = frozenset(sys.modules)


def _die(at: int, log: str) -> None:
    """Kill this process just before its `at`-th change of a name, and note all before it.

    Counted are renames and removals that the package makes itself or through the standard
    library; those of Zarr, which writes each file under another name first, are not.
    """
    import threading

    lock, done = threading.Lock(), [0]

    def own() -> str | None:
        frame, found = sys._getframe(2), None
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if name.startswith("zarr."):
                return None
            if found is None and name.startswith("solspace."):
                found = f"{name}.{frame.f_code.co_name}"
            frame = frame.f_back
        return found

    def dying(function: Any) -> Any:
        def instead(*args: Any, **more: Any) -> Any:
            if (place := own()) is not None:
                with lock:
                    done[0] += 1
                    with open(log, "a", encoding="utf-8") as file:
                        file.write(f"{function.__name__} in {place}\n")
                    if done[0] == at:
                        os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **more)

        return instead

    for name in ("rename", "replace", "unlink", "remove", "rmdir", "link"):
        setattr(os, name, dying(getattr(os, name)))


# --------------------------------------------------------------------------- cases


@dataclass(frozen=True)
class Case:
    """A command, the folder it is typed in as it was before, and as it is after."""

    words: tuple[str, ...]
    begun: Path
    whole: Path
    seconds: float  # that it takes
    until_lock: float  # of these before it writes anything
    once: bool = False  # typed again after its end it is refused


def stages_of(kind: str) -> list[str]:
    """Every stage that a store of a kind of networks can run here: no list names them."""
    task, found = get_task("interval_reproduction"), []
    for name, record in collection.stages(kind).items():
        try:
            if kind == "recurrent" and record.check is not None:
                record.check(task)
        except SolspaceError:  # one for other tasks
            continue
        found.append(name)
    return found


def stages_of_all_kinds() -> list[tuple[str, str]]:
    return [(kind, stage) for kind in KINDS for stage in stages_of(kind)]


OTHERS = (
    "pack", "pack of recordings", "import", "import more", "import-recording",
    "import-recording more", "migrate", "reduce --redo", "features --redo", "classify --redo",
    "first stage on a packed store", "run", "report",
)  # fmt: skip


def case_names() -> list[str]:
    return [*(f"{stage} of {kind}" for kind, stage in stages_of_all_kinds()), *OTHERS]


class Workshop:
    """Makes cases when they are asked for; each stage begins with what those before it left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cases: dict[str, Case] = {}
        self.server = Server(root / f"server{os.getpid()}")

    def case(self, name: str) -> Case:
        if name not in self.cases:
            noted = self.root / name.replace(" ", "_") / "case.json"
            if noted.exists():  # of an earlier run, see SOLSPACE_ATTACK_STORES
                of = json.loads(noted.read_text())
                places = {"begun": Path(of["begun"]), "whole": Path(of["whole"])}
                self.cases[name] = Case(**of | places | {"words": tuple(of["words"])})
                return self.cases[name]
            words, begun, once = self._begin(name)
            self.cases[name] = self._run(name, words, begun, once)
            noted.write_text(json.dumps(asdict(self.cases[name]), default=str))
        return self.cases[name]

    def store(self, kind: str) -> Path:
        """A store with every stage of a kind done."""
        *_, last = stages_of(kind)
        return self.case(f"{last} of {kind}").whole / "s.zarr"

    def _run(self, name: str, words: tuple[str, ...], begun: Path, once: bool) -> Case:
        for attempt in range(3):
            whole = self._folder(name, "whole")
            shutil.copytree(begun, whole, dirs_exist_ok=True)
            before, started, locked = listing(whole), time.monotonic(), None
            # The first one may compile kernels, and rounds differently then; the second one tells
            # the server what to import.
            process = (self.server.start if attempt else start)(words, whole)
            while process.poll() is None:
                if locked is None and listing(whole) != before:
                    locked = time.monotonic() - started
                time.sleep(0.002)
            seconds = time.monotonic() - started
            _, said = process.communicate(LONGEST)
            assert process.returncode == 0, said
        assert leftovers(whole) == []
        for store in stores(whole):
            assert check_store(str(store)) == []
        return Case(words, begun, whole, seconds, locked or 0.0, once)

    def _folder(self, name: str, part: str) -> Path:
        path = self.root / name.replace(" ", "_") / part
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def _begin(self, name: str) -> tuple[tuple[str, ...], Path, bool]:
        for kind, stage in stages_of_all_kinds():
            if name == f"{stage} of {kind}":
                return self._begin_stage(name, kind, stage)
        begun = self._folder(name, "begun")
        source, target = self.store("recurrent"), begun / "s.zarr"
        if name == "pack":
            shutil.copytree(source, target)
            return ("pack", "s.zarr", "small.zarr"), begun, True
        if name == "pack of recordings":
            shutil.copytree(self.store("recorded"), target)
            return ("pack", "s.zarr", "small.zarr"), begun, True
        if name.startswith("import-recording"):
            _export(source, begun)
            first, *more = sorted(str(p.name) for p in begun.glob("*.nwb"))
            words = ("import-recording", "s.zarr", *_RECORDING)
            if name == "import-recording":
                return (*words, first, *more), begun, True
            code, said = typed((*words, first), begun)
            assert code == 0, said
            return (*words, *more), begun, True
        if name.startswith("import"):
            files = _write_networks(begun)
            words = ("import", "s.zarr", *TASK)
            if name == "import":
                return (*words, "--shard-size", "2", *files), begun, True
            for more in ((*words, "--shard-size", "2", *files[:4]), ("record", "s.zarr")):
                code, said = typed(more, begun)
                assert code == 0, said
            return (*words, *files[4:]), begun, True
        if name == "migrate":
            with zipfile.ZipFile(_TRIED / "version1.zip") as file:
                file.extractall(begun / "old.zarr")
            return ("migrate", "old.zarr", "s.zarr"), begun, True
        if name.endswith("--redo"):
            shutil.copytree(source, target)
            stage = name.split()[0]
            return (stage, "s.zarr", *OPTIONS.get(("recurrent", stage), ()), "--redo"), begun, False
        if name == "first stage on a packed store":
            packed = self.case("pack").whole / "small.zarr"
            shutil.copytree(packed, target)
            return ("reduce", "s.zarr", "--redo"), begun, False
        if name == "run":
            shutil.copytree(self.case("attractors of recurrent").begun / "s.zarr", target)
            return ("run", "s.zarr"), begun, False
        assert name == "report"
        shutil.copytree(source, target)
        return ("report", "s.zarr", "page.html"), begun, False

    def _begin_stage(self, name: str, kind: str, stage: str) -> tuple[tuple[str, ...], Path, bool]:
        begun = self._folder(name, "begun")
        verb = stage.replace("_", "-")
        words = (verb, "s.zarr", *OPTIONS.get((kind, stage), ()))
        known = stages_of(kind)
        at = known.index(stage)
        made = _BASES[kind]
        if stage == "train":
            pass
        elif at == 0 or (known[at - 1] == "train" and made is not None):
            assert made is not None, f"no store of {kind} networks to begin with"
            made(str(begun / "s.zarr"))
        else:
            before = self.case(f"{known[at - 1]} of {kind}").whole
            shutil.copytree(before, begun, dirs_exist_ok=True)
        return words, begun, False


def _trained(path: str) -> None:
    """Seven networks that ship, of three solutions and four sizes, in shards of three."""
    import xarray as xr

    import solspace
    from solspace.networks import PARAMETERS

    ds = xr.open_zarr(ROOT / "stores" / "turner2021.zarr", group="interval_reproduction/vanilla")
    kept = [n for n in ds.data_vars if str(n).removeprefix("initial_") in PARAMETERS]
    kept += ["loss", "gradient_steps", "attempts", "status_train"]
    solution = ds.solution.values
    chosen = [*np.flatnonzero(solution == 0)[:4], *np.flatnonzero(solution == 1)[:3]]
    small = ds[kept].isel(network=sorted(chosen)).load()
    small.attrs.clear()
    labels = ["solution", "solution_key", "solution_name", "graph_key"]
    solspace.add_population(path, small.drop_vars(labels), shard_size=3)


def _recorded(path: str) -> None:
    import solspace

    recordings = []
    for i in range(6):
        rng = np.random.default_rng(i)
        rates = rng.uniform(0, 9, (4, 30, 5 + i % 2)).cumsum(axis=1) * (1 + i % 2)
        recordings.append(
            solspace.recording_from_arrays(
                rates, {"side": ["0", "1", "0", "1"]}, bin=10, name=f"r{i}",
                epochs={"early": (0, 100), "late": (100, 300)},
            )
        )  # fmt: skip
    joined = solspace.join_recordings(recordings)
    animals = np.array(["ape", "rat"] * 3)
    solspace.add_population(path, joined.assign_coords(animal=("network", animals)))


# What the first stage after `train` begins with; None where that is what `train` leaves.
_BASES: dict[str, Any] = {"recurrent": _trained, "planar": None, "recorded": _recorded}

_RECORDING = (
    "--task", "interval_reproduction", "--align", "start_time", "--window", "0", "1500ms",
    "--average", "t_in", "--parameter", "t_in=t_in",
    "--epoch", "ready=ready_start_time:ready_stop_time",
)  # fmt: skip


def _export(store: Path, folder: Path) -> None:
    code, said = typed(
        ("export-nwb", str(store), "nwb", "--trials", "1", "--units", "4", "--network", "0", "1",
         "4"), folder,
    )  # fmt: skip
    assert code == 0, said
    for i, file in enumerate(sorted((folder / "nwb").iterdir())):
        os.rename(file, folder / f"r{i}.nwb")
    os.rmdir(folder / "nwb")


def _write_networks(folder: Path) -> list[str]:
    from solspace.networks import parameter_shapes

    rng, names = np.random.default_rng(1), []
    for i in range(7):
        shapes = parameter_shapes("vanilla", 12 + i % 2, inputs=2, outputs=1)
        values = {n: rng.normal(0, 0.4, shape).astype("f4") for n, shape in shapes.items()}
        np.savez(folder / f"net{i}.npz", **values)
        names.append(f"net{i}.npz")
    return names


# --------------------------------------------------------------------------- clusters


class Cluster:
    """A scheduler of dask's and its workers, as processes of their own."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        folder.mkdir()
        self.folder = folder
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", "scheduler.json",
        )  # fmt: skip
        self._wait(self.scheduler, lambda: (folder / "scheduler.json").exists())
        self.address = json.loads((folder / "scheduler.json").read_text())["address"]
        self.workers = [
            self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
            for _ in range(workers)
        ]
        for worker in self.workers:
            self._wait(worker, lambda w=worker: "Registered to" in self.said(w))

    def _start(self, what: str, *words: str) -> subprocess.Popen[bytes]:
        name = f"{what}{len(list(self.folder.glob('*.log')))}.log"
        with open(self.folder / name, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *words],
                cwd=self.folder, env=ENVIRONMENT, stdout=file, stderr=file,
            )  # fmt: skip
        process.log = self.folder / name  # type: ignore[attr-defined]
        return process

    def said(self, process: Any) -> str:
        return str(process.log.read_text(errors="replace"))

    def _wait(self, process: Any, ready: Any) -> None:
        until = time.monotonic() + LONGEST
        while not ready():
            assert process.poll() is None and time.monotonic() < until, self.said(process)
            time.sleep(0.02)

    def close(self) -> None:
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()


# --------------------------------------------------------------------------- what is there


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def stores(folder: Path) -> list[Path]:
    found = [p for p in sorted(folder.iterdir()) if p.suffix == ".zarr" and p.name != "old.zarr"]
    return [p for p in found if p.is_dir()]


def leftovers(folder: Path) -> list[str]:
    """Locks, and halves of what was under way, beside the stores and in them."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith(LEFTOVERS)
    )


def members(store: Path) -> Iterator[tuple[str, Any]]:
    """Every group and array, each read from its own metadata."""

    def walk(group: zarr.Group, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, array in sorted(group.arrays()):
            yield prefix + name, array
        for name, child in sorted(group.groups()):
            yield prefix + name, child
            yield from walk(child, f"{prefix}{name}/")

    root = zarr.open_group(store, mode="r", use_consolidated=False)
    yield "", root
    yield from walk(root, "")


def _results(store: Path) -> Iterator[tuple[str, Any]]:
    return ((path, m) for path, m in members(store) if WRITING not in path.split("/"))


def arrays(store: Path) -> dict[str, np.ndarray]:
    return {path: m[...] for path, m in _results(store) if isinstance(m, zarr.Array)}


def same(one: np.ndarray, other: np.ndarray) -> bool:
    nan = one.dtype.kind in "fc" and other.dtype == one.dtype
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=nan)


def differences(store: Path, whole: Path, *, provenance: bool = True) -> list[str]:
    """What two stores differ in, apart from times and from what interrupted runs noted.

    Who wrote each shard, by chance numbers, is not compared: `check` looks whether it fits.
    """
    these, those = (dict(_results(place)) for place in (store, whole))
    out = [f"{path!r} is in one only" for path in sorted(these.keys() ^ those.keys())]
    for path in sorted(these.keys() & those.keys()):
        this, that = these[path], those[path]
        if isinstance(this, zarr.Array) != isinstance(that, zarr.Array):
            out.append(f"{path}: one is a group, the other an array")
            continue
        if isinstance(this, zarr.Array):
            if not same(this[...], that[...]):
                out.append(f"{path}: other values")
            if (this.chunks, this.shards) != (that.chunks, that.shards):
                out.append(f"{path}: other shards")
        mine, its = dict(this.attrs), dict(that.attrs)
        for attrs in (mine, its):  # in the order in which Zarr listed them
            attrs["coordinates"] = sorted(str(attrs.get("coordinates", "")).split())
        told = [str(a.pop("provenance", "[]")) for a in (mine, its)]
        if json.dumps(mine, sort_keys=True) != json.dumps(its, sort_keys=True):
            names = {n for n in mine.keys() | its.keys() if mine.get(n) != its.get(n)}
            out.append(f"{path}: other attributes {', '.join(sorted(names))}")
        if provenance and (said := _provenance_differs(*told)):
            out.append(f"{path}: provenance {said}")
    inside = [
        {str(p.relative_to(s)) for p in s.rglob("*") if WRITING not in p.relative_to(s).parts}
        for s in (store, whole)
    ]
    out += [f"file {name} is in one only" for name in sorted(inside[0] ^ inside[1])]
    return out + _untrue(store, whole)


def _untrue(store: Path, whole: Path) -> list[str]:
    """Where the copy of all metadata says something else than the metadata."""
    gathered = [zarr.open_group(s, mode="r").metadata.consolidated_metadata for s in (store, whole)]
    if (gathered[0] is None) != (gathered[1] is None):
        return ["consolidated metadata are in one only"]
    if gathered[0] is None:
        return []
    copies = gathered[0].flattened_metadata
    own = {path: m for path, m in _results(store) if path}
    out = [f"{path!r}: consolidated in one only" for path in sorted(copies.keys() ^ own.keys())]
    return out + [
        f"{path}: consolidated with other attributes"
        for path in sorted(copies.keys() & own.keys())
        if dict(copies[path].attributes) != dict(own[path].attrs)
    ]


def _provenance_differs(one: str, other: str) -> str:
    this, that = json.loads(one), json.loads(other)
    if not that and not this:
        return ""
    if bool(this) != bool(that):
        return "in one only"
    passing = ("run", "started", "finished", "seconds")
    told = [
        dict.fromkeys(
            json.dumps({k: v for k, v in e.items() if k not in passing}, sort_keys=True)
            for e in entries
        )
        for entries in (this, that)
    ]
    if list(told[0]) != list(told[1]):
        return "names other runs"
    last = {entry["stage"]: "finished" in entry for entry in this}
    if unfinished := [stage for stage, ended in last.items() if not ended]:
        return f"does not say that {', '.join(unfinished)} ended"
    return ""


def lost(store: Path, case: Case) -> list[str]:
    """Groups and arrays that were there before and are after, and are not between."""
    ends = [place / store.name for place in (case.begun, case.whole)]
    if not all(end.is_dir() for end in ends):
        return []
    before, after = ({path for path, _ in members(end)} for end in ends)
    return sorted((before & after) - {path for path, _ in members(store)})


def assert_whole(folder: Path, case: Case, told: str = "") -> None:
    """What is there is what an undisturbed run leaves, and nothing else."""
    assert leftovers(folder) == [], told
    assert listing(folder) == listing(case.whole), told
    for store in stores(folder):
        assert differences(store, case.whole / store.name) == [], told
        assert check_store(str(store)) == [], told
    for page in folder.glob("*.html"):
        assert page.read_text().endswith("</html>")
        pictures = f"{page.stem}_files"
        assert listing(folder / pictures) == listing(case.whole / pictures)


# --------------------------------------------------------------------------- damage


def data_files(store: Path) -> dict[str, list[Path]]:
    """The files of each array's values, of arrays that have any."""
    out = {}
    for path, member in members(store):
        if isinstance(member, zarr.Array) and WRITING not in path.split("/"):
            found = sorted(p for p in (store / path / "c").rglob("*") if p.is_file())
            if (store / path / "c").is_file():
                found = [store / path / "c"]
            if found:
                out[path] = found
    return out


def flip(file: Path, rng: np.random.Generator) -> None:
    """One bit, anywhere: values, index or checksum."""
    data = bytearray(file.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    file.write_bytes(data)


def truncate(file: Path, rng: np.random.Generator) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: rng.integers(len(data))])


def zeros(file: Path, rng: np.random.Generator) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def delete(file: Path, rng: np.random.Generator) -> None:
    file.unlink()


def swap_files(one: Path, other: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def swap_chunks(file: Path, array: Any, rng: np.random.Generator) -> bool:
    """Swap two chunks inside a shard, with a checksum that fits; False where there are none."""
    import google_crc32c

    if array.shards is None:
        return False
    ratio = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
    length = 16 * int(np.prod(ratio))
    data = file.read_bytes()
    index = np.frombuffer(data[-length - 4 : -4], "<u8").reshape(-1, 2).copy()
    there = np.flatnonzero(index[:, 0] != 2**64 - 1)
    if len(there) < 2:
        return False
    one, other = rng.choice(there, 2, replace=False)
    index[[one, other]] = index[[other, one]]
    told = index.tobytes()
    check = google_crc32c.value(told).to_bytes(4, "little")
    file.write_bytes(data[: -length - 4] + told + check)
    return True


def names(fault: str, path: str) -> bool:
    """Whether a sentence of `check` is about an array or group."""
    group, _, name = path.rpartition("/")
    return re.search(rf"{re.escape(path)}(?!\w)", fault) is not None or (
        group in fault and re.search(rf"\b{re.escape(name)}\b", fault) is not None
    )


# --------------------------------------------------------------------------- counts


class Counts:
    """What was tried and what came of it, kept for docs/reliability.md.

    Lines of JSON in the file that SOLSPACE_ATTACK_COUNTS names, which docs/make_attacks.py reads.
    """

    def __init__(self) -> None:
        self.file = os.environ.get("SOLSPACE_ATTACK_COUNTS")

    def add(self, series: str, tried: int, **came: int) -> None:
        if self.file:
            entry = {"series": series, "tried": tried, "came": came}
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    @contextlib.contextmanager
    def of(self, series: str) -> Iterator[Counter[str]]:
        """Counted where nothing failed: a test that fails leaves no count."""
        counter: Counter[str] = Counter()
        yield counter
        if tried := counter.pop("tried", 0):  # none where there is nothing to swap
            self.add(series, tried, **counter)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
