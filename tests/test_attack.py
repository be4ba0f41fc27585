"""An attack on stores: everything is killed, filled up, damaged and locked twice, and counted.

Afterwards a store equals that of an undisturbed run, array by array, or `check` names what is
wrong.
``make test-attack`` runs it; ``python -m docs.make_attacks`` runs it and writes its counts into
docs/reliability.md. ``SOLSPACE_ATTACKS=3`` makes each series short, and a folder in
``SOLSPACE_ATTACK_STORES`` keeps the undisturbed stores from one run to the next.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

pytest.register_assert_rewrite("attacking")

from attacking import (  # noqa: E402
    ATTACKS,
    ENVIRONMENT,
    LONGEST,
    OPTIONS,
    OTHERS,
    SIGNALS,
    WRITING,
    Cluster,
    Counts,
    Workshop,
    arrays,
    assert_whole,
    case_names,
    data_files,
    delete,
    differences,
    flip,
    leftovers,
    listing,
    lost,
    members,
    names,
    same,
    solspace,
    start,
    stores,
    swap_chunks,
    swap_files,
    truncate,
    zeros,
)
from servers import Door, conditional_server  # noqa: E402

from solspace import SolspaceError  # noqa: E402
from solspace.stages import collection  # noqa: E402
from solspace.store import place  # noqa: E402
from solspace.store.check import check_store  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Iterator[Workshop]:
    # A shell that starts this in the background has its children ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    kept = os.environ.get("SOLSPACE_ATTACK_STORES")
    made = Workshop(Path(kept) if kept else tmp_path_factory.mktemp("workshop"))
    yield made
    made.server.close()


@pytest.fixture(scope="module")
def counts() -> Counts:
    return Counts()


# --------------------------------------------------------------------------- killed


# What `check` says of a store that a kill left, and what the next writer mends.
UNDER_WAY = (
    ".old; anything that writes", "whatever writes to the store next", "was killed just then",
    "where a run was killed",
)  # fmt: skip


@pytest.mark.parametrize("name", case_names())
def test_killed_and_typed_again(name, workshop, counts, tmp_path):
    """Killed again and again as it goes on, until it has been killed often enough."""
    case = workshop.case(name)
    rng = np.random.default_rng(sum(map(ord, name)))
    folder = tmp_path / "attacked"
    shutil.copytree(case.begun, folder)
    working = max(case.seconds - case.until_lock, 0.05)
    with counts.of(f"killed: {name}") as count:
        while count["tried"] < ATTACKS:
            # Some are typed in a shell, with all their imports; most begin at once.
            begin = workshop.server.start if count["tried"] % 5 else start
            ended, said = _kill(begin, case, folder, rng, SIGNALS[count["tried"] % 3], working)
            # Before anything of ours is read it is Python that answers.
            assert "Traceback" not in said or begin is start, said
            if ended is None:
                count["tried"] += 1
                for store in stores(folder):
                    faults = check_store(str(store))
                    assert all(any(w in fault for w in UNDER_WAY) for fault in faults), faults
                    count["named by check"] += bool(faults)
            # Whatever was refused is so since it is whole.
            if ended == 0 or (case.once and _is_refused(ended, said)):
                assert_whole(folder, case)
                count["whole"] += 1
                shutil.rmtree(folder)
                shutil.copytree(case.begun, folder)
        code, said = workshop.server.typed(case.words, folder)
        assert code == 0 or (case.once and _is_refused(code, said)), said
        assert_whole(folder, case)
        count["whole"] += 1


# Those whose end is more than a shard and its status.
SWAPPING = (
    "train of recurrent", "label of recurrent", "classify of recurrent", "features of recorded",
    *OTHERS,
)  # fmt: skip


@pytest.mark.parametrize("name", SWAPPING)
def test_killed_at_every_change_of_a_name(name, workshop, counts, tmp_path):
    """Just before each rename and removal that the package makes; of many alike, some."""
    case, log = workshop.case(name), tmp_path / "log.txt"
    folder = tmp_path / "attacked"

    def again(at: int) -> int:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(case.begun, folder)
        log.write_text("")
        return workshop.server.typed(case.words, folder, at=at, log=str(log))[0]

    assert again(0) == 0
    changes = log.read_text().splitlines()
    alike: dict[str, list[int]] = {}
    for at, change in enumerate(changes, 1):
        alike.setdefault(change, []).append(at)
    few = max(ATTACKS // 5, 2)
    chosen = {at for of in alike.values() for at in (*of[: few - 1], of[-1])}
    with counts.of(f"killed before a rename or removal: {name}") as count:
        for at in sorted(chosen):
            if again(at) != -signal.SIGKILL:  # threads write in another order each time
                continue
            count["tried"] += 1
            told = f"killed before {changes[at - 1]} ({at} of {len(changes)})"
            for store in stores(folder):
                assert lost(store, case) == [] or check_store(str(store)), told
            code, said = workshop.server.typed(case.words, folder)
            assert code == 0 or (case.once and _is_refused(code, said)), f"{told}: {said}"
            assert_whole(folder, case, told)
            count["whole"] += 1


def _is_refused(code: int | None, said: str) -> bool:
    return code == 2 and "already" in said


def _kill(
    begin, case, folder: Path, rng, sign: signal.Signals, working: float
) -> tuple[int | None, str]:
    """None where it was killed; how it ended where it did so before."""
    before = listing(folder)
    process = begin(case.words, folder)
    if rng.integers(4):
        # Most of its seconds are imports: from its first lock on.
        while process.poll() is None and listing(folder) == before:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, working))
    else:
        time.sleep(rng.uniform(0, case.seconds))
    running = process.poll() is None
    process.send_signal(sign)
    _, said = process.communicate(timeout=LONGEST)
    return (None if running and process.returncode != 0 else process.returncode), said


# --------------------------------------------------------------------------- clusters

TRIES = max(ATTACKS // 4, 1)


def _until_locked(process, folder: Path, before: list[str]) -> None:
    while process.poll() is None and listing(folder) == before:
        time.sleep(0.005)


@contextlib.contextmanager
def attacked_cluster(case, folder: Path, tmp_path: Path, rng) -> Iterator[tuple]:
    """A command under way on a cluster, at some moment of its writing."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(case.begun, folder)
    shutil.rmtree(tmp_path / "cluster", ignore_errors=True)
    cluster = Cluster(tmp_path / "cluster")
    try:
        before = listing(folder)
        process = start((*case.words, "--scheduler", cluster.address), folder)
        _until_locked(process, folder, before)
        time.sleep(rng.uniform(0, 2 * max(case.seconds - case.until_lock, 0.5)))
        yield cluster, process
        if process.returncode is None:
            process.kill()
            process.communicate()
    finally:
        cluster.close()


@pytest.mark.parametrize("what", ["a worker killed", "workers stopped", "the scheduler killed"])
@pytest.mark.parametrize("name", ["reduce --redo", "record of recurrent"])
def test_a_cluster_that_fails(name, what, workshop, counts, tmp_path):
    case = workshop.case(name)
    rng = np.random.default_rng(len(what))
    folder = tmp_path / "attacked"
    with counts.of(f"{what}: {name}") as count:
        for _ in range(TRIES):
            with attacked_cluster(case, folder, tmp_path, rng) as (cluster, process):
                count["tried"] += 1
                if what == "a worker killed":
                    cluster.workers[0].kill()
                elif what == "the scheduler killed":
                    cluster.scheduler.kill()
                else:
                    for worker in cluster.workers:
                        worker.send_signal(signal.SIGSTOP)
                    time.sleep(rng.uniform(0.2, 2))
                    for worker in cluster.workers:
                        worker.send_signal(signal.SIGCONT)
                _, said = process.communicate(timeout=LONGEST)
                assert "Traceback" not in said, said
                assert process.returncode in (0, 1), said
                assert process.returncode == 0 or what != "workers stopped", said
                count["went on" if process.returncode == 0 else "said in one line"] += 1
            code, said = workshop.server.typed(case.words, folder)
            assert code == 0, said
            _assert_same_results(folder, case.whole)
            count["whole"] += 1


def _assert_same_results(folder: Path, whole: Path) -> None:
    """As `assert_whole`, for runs whose provenance names schedulers."""
    assert leftovers(folder) == []
    assert differences(folder / "s.zarr", whole / "s.zarr", provenance=False) == []
    assert check_store(str(folder / "s.zarr")) == []


def test_workers_that_outlive_their_client(workshop, counts, tmp_path):
    """They are stopped, another run with other options ends, and they go on: nothing is mixed."""
    case = workshop.case("reduce --redo")
    other = ("reduce", "s.zarr", "--redo", "--method", "automaton")
    if workshop.server.typed(other, _copy(case.begun, tmp_path / "whole"))[0]:
        pytest.fail("no such method")
    rng = np.random.default_rng(5)
    folder = tmp_path / "attacked"
    with counts.of("client killed, another run, its workers go on") as count:
        for _ in range(TRIES):
            with attacked_cluster(case, folder, tmp_path, rng) as (cluster, process):
                count["tried"] += 1
                for worker in cluster.workers:
                    worker.send_signal(signal.SIGSTOP)
                process.kill()
                process.communicate()
                code, said = workshop.server.typed(other, folder)
                assert code == 0, said
                for worker in cluster.workers:
                    worker.send_signal(signal.SIGCONT)
                time.sleep(5)
                differ = differences(
                    folder / "s.zarr", tmp_path / "whole" / "s.zarr", provenance=False
                )
                faults = check_store(str(folder / "s.zarr"))
                assert not differ or faults, differ
                count["named by check" if faults else "whole"] += 1
                late = sum("another run" in cluster.said(w) for w in cluster.workers)
                count["late writers refused"] += late


def _copy(begun: Path, folder: Path) -> Path:
    return Path(shutil.copytree(begun, folder))


# --------------------------------------------------------------------------- full


@contextlib.contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    """A small disk of its own."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


@pytest.mark.parametrize("what", ["bytes", "inodes"])
@pytest.mark.parametrize("name", case_names())
def test_a_full_disk(name, what, workshop, counts, tmp_path):
    """Full at some moment: one line, and typed again with more room the same store."""
    case = workshop.case(name)
    rng = np.random.default_rng(len(name))
    had, needs = (_room(place, what) for place in (case.begun, case.whole))
    with counts.of(f"{what} used up: {name}") as count:
        for _ in range(max(ATTACKS // 5, 1)):
            room = int(had + rng.uniform(0, max(needs - had, 1)))
            options = [f"size={room}", "nr_inodes=0"]
            if what == "inodes":
                options = ["size=1G", f"nr_inodes={room}"]
            with mounted(tmp_path / "disk", *options) as disk:
                folder = disk / "attacked"
                try:
                    shutil.copytree(case.begun, folder)
                except (OSError, shutil.Error):
                    continue  # it did not even fit before
                count["tried"] += 1
                code, said = workshop.server.typed(case.words, folder)
                if code != 0:
                    assert code == 1 and "no space left on the disk" in said, said
                    assert "Traceback" not in said
                    count["said in one line"] += 1
                subprocess.run(
                    ["mount", "-o", "remount,size=1G,nr_inodes=0", str(disk)], check=True
                )
                code, said = workshop.server.typed(case.words, folder)
                assert code == 0 or (case.once and _is_refused(code, said)), said
                assert_whole(folder, case)
                count["whole"] += 1


def _room(folder: Path, what: str) -> int:
    """Bytes or files that a folder takes on a tmpfs."""
    files = [folder, *folder.rglob("*")]
    if what == "inodes":
        return len(files) + 2
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in files if p.is_file()) + 4096


# --------------------------------------------------------------------------- damaged


@pytest.fixture(scope="module", params=["recurrent", "planar", "recorded", "packed"])
def whole_store(request, workshop) -> Path:
    if request.param == "packed":
        return workshop.case("pack").whole / "small.zarr"
    return workshop.store(request.param)


ONE_FILE = {"one bit flipped": flip, "truncated": truncate, "deleted": delete, "zeros": zeros}


@pytest.mark.parametrize("damage", [*ONE_FILE, "swapped in a shard", "swapped between shards"])
def test_damaged_values(whole_store, damage, counts, tmp_path):
    """All arrays damaged at once, as `check` says every fault in one message."""
    rng = np.random.default_rng(len(damage))
    original = arrays(whole_store)
    store = tmp_path / "s.zarr"
    with counts.of(f"values {damage}") as count:
        rounds = 12 if damage == "one bit flipped" and ATTACKS >= 20 else 2
        # Statuses apart, since what a status does not call done is not looked for.
        for _, statuses in itertools.product(range(rounds), (False, True)):
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(whole_store, store)
            tried = [
                path
                for path, files in data_files(store).items()
                if ("/status_" in path) == statuses and _damage(store, path, files, damage, rng)
            ]
            faults = check_store(str(store))
            root = zarr.open_group(store, mode="r", use_consolidated=False)
            for path in tried:
                count["tried"] += 1
                try:
                    equal = same(root[path][...], original[path])
                    found = "read as it was" if equal else "named by check"
                except Exception:
                    found = "refused by readers, named by check"
                told = any(names(fault, path) for fault in faults)
                assert told or found == "read as it was", f"{damage}: {path}: {found}: {faults}"
                count[found] += 1


def _damage(store: Path, path: str, files, damage: str, rng) -> bool:
    if damage in ONE_FILE:
        ONE_FILE[damage](files[rng.integers(len(files))], rng)
        return True
    if damage == "swapped in a shard":
        array = zarr.open_group(store, mode="r", use_consolidated=False)[path]
        return swap_chunks(files[rng.integers(len(files))], array, rng)
    if len(files) < 2:
        return False
    swap_files(*(files[i] for i in rng.choice(len(files), 2, replace=False)))
    return True


@pytest.mark.parametrize("damage", ["deleted", "emptied", "swapped", "attributes changed"])
def test_damaged_metadata(whole_store, damage, counts, tmp_path):
    """Of every group alone, and of all arrays at once."""
    original = arrays(whole_store)
    nodes = dict(members(whole_store))
    groups = [path for path, m in nodes.items() if isinstance(m, zarr.Group)]
    parts = [[path] for path in groups] + [[path for path in nodes if path not in groups]]
    store = tmp_path / "s.zarr"
    with counts.of(f"metadata {damage}") as count:
        for paths in parts:
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(whole_store, store)
            files = {path: store / path / "zarr.json" for path in paths}
            before = {path: file.read_bytes() for path, file in files.items()}
            for i, (path, file) in enumerate(files.items()):
                if damage == "deleted":
                    file.unlink()
                elif damage == "emptied":
                    file.write_bytes(b"")
                elif damage == "swapped":
                    other = paths[i - 1] if len(paths) > 1 else groups[groups.index(path) - 1]
                    file.write_bytes(
                        before[other]
                        if other in before
                        else (store / other / "zarr.json").read_bytes()
                    )
                else:
                    told = json.loads(before[path])
                    told["attributes"] = told.get("attributes", {}) | {
                        "shard_size": 5,
                        "units": "m",
                    }
                    file.write_text(json.dumps(told))
            try:
                faults = check_store(str(store))
            except SolspaceError as error:
                faults = [str(error)]
            changed = [path for path in paths if _metadata(store, path) != before[path]]
            found = _arrays_there(store)
            for path in changed:
                count["tried"] += 1
                lost = [p for p in original if p.startswith(path) and p not in found]
                differs = [
                    p for p in found if p.startswith(path) and not same(found[p], original[p])
                ]
                where = path or store.name
                told = any(where in fault or names(fault, path) for fault in faults)
                assert told or not (lost or differs), f"{damage}: {path!r}: {faults}"
                count["named by check" if told else "read as it was"] += 1


def _metadata(store: Path, path: str) -> bytes:
    file = store / path / "zarr.json"
    return file.read_bytes() if file.exists() else b""


def _arrays_there(store: Path) -> dict[str, np.ndarray]:
    """What can be read of a store, of what its own metadata say is there."""
    out = {}
    for file in store.rglob("zarr.json"):
        with contextlib.suppress(Exception):
            array = zarr.open_array(file.parent, mode="r")
            out[str(file.parent.relative_to(store))] = array[...]
    return {path: values for path, values in out.items() if WRITING not in path.split("/")}


# --------------------------------------------------------------------------- two writers

HOLD = """
import sys, time
from solspace.store import Store
with Store(sys.argv[1]).lock("reduce"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def spellings(workshop, tmp_path) -> Iterator[dict[str, str]]:
    """Names of one store, as they are typed in its folder."""
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(workshop.case("pack").whole / "small.zarr", here / "s.zarr")
    (here / "beside").mkdir()
    (tmp_path / "link.zarr").symlink_to(here / "s.zarr")
    (tmp_path / "there").symlink_to(here)
    found = {
        "relative": "s.zarr",
        "absolute": str(here / "s.zarr"),
        "with a dot": "./s.zarr",
        "through a folder and back": "beside/../s.zarr",
        "with a slash": "s.zarr/",
        "by a link": str(tmp_path / "link.zarr"),
        "by a link of its folder": str(tmp_path / "there" / "s.zarr"),
        "by the folder of the process": "/proc/self/cwd/s.zarr",
    }
    bound = {"by its folder mounted elsewhere": here, "mounted elsewhere": here / "s.zarr"}
    places = []
    for i, (name, what) in enumerate(bound.items()):
        place = tmp_path / f"bound{i}"
        place.mkdir()
        bind = ["mount", "--bind", str(what), str(place)]
        if os.geteuid() == 0 and not subprocess.run(bind, capture_output=True).returncode:
            places.append(place)
            found[name] = str(place if what.suffix else place / "s.zarr")
    yield found
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_two_writers_by_any_two_names(spellings, workshop, counts, tmp_path):
    here = tmp_path / "here"
    with counts.of("two writers by two names of one store") as count:
        for first in spellings.values():
            holder = subprocess.Popen(
                [sys.executable, "-c", HOLD, first], cwd=here, env=ENVIRONMENT,
                stdout=subprocess.PIPE,
            )  # fmt: skip
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            for second in spellings.values():
                count["tried"] += 1
                code, said = workshop.server.typed(("record", second, "--quiet"), here)
                assert code == 2 and "is being written by another process" in said, (first, second)
                assert said.count("\n") == 1
                count["refused"] += 1
            holder.kill()
            holder.communicate()
    assert check_store(str(here / "s.zarr")) == []


# --------------------------------------------------------------------------- in the way


def _put(kind: str, place: Path, mine: Path) -> None:
    """Something of a user's in a place that solspace writes to."""
    if kind == "a link to a file":
        place.symlink_to(mine)
    elif kind == "a link to nothing":
        place.symlink_to(mine.parent / "nothing")
    elif kind == "a link to a folder":
        (mine.parent / "own").mkdir(exist_ok=True)
        place.symlink_to(mine.parent / "own")
    elif kind == "a file":
        place.write_text("ten years of work")
    elif kind == "another name of a file":
        os.link(mine, place)
    elif kind == "a folder":
        place.mkdir()
        (place / "thesis.tex").write_text("ten years of work")
    else:
        os.mkfifo(place)


def _state(folder: Path) -> dict[str, object]:
    """Everything below a folder: kinds, targets and contents."""
    out: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        what = path.lstat()
        out[str(path.relative_to(folder))] = (
            stat.S_IFMT(what.st_mode),
            os.readlink(path) if path.is_symlink() else None,
            path.read_bytes() if stat.S_ISREG(what.st_mode) else None,
        )
    return out


KINDS_IN_THE_WAY = (
    "a link to a file", "a link to nothing", "a link to a folder", "a file",
    "another name of a file", "a folder", "a pipe",
)  # fmt: skip
IN_THE_WAY = {
    "s.zarr.lock": ("record", "s.zarr"),
    "s.zarr.brief.lock": ("record", "s.zarr"),
    "new.zarr.lock": ("train", "new.zarr", *OPTIONS["recurrent", "train"]),
    "new.zarr.brief.lock": ("train", "new.zarr", *OPTIONS["recurrent", "train"]),
    "new.zarr": ("pack", "s.zarr", "new.zarr"),
    "new.zarr.unfinished": ("pack", "s.zarr", "new.zarr"),
    "s.zarr.relayout": ("reduce", "s.zarr", "--redo"),
    "s.zarr.relayout.note": ("reduce", "s.zarr", "--redo"),
    "page.html": ("report", "s.zarr", "page.html"),
    "page.html.unfinished": ("report", "s.zarr", "page.html"),
    "page_files": ("report", "s.zarr", "page.html"),
}


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_is_in_the_way_is_kept(name, workshop, counts, tmp_path):
    """Refused in a line that names it, and everything in the folder is as it was."""
    words = IN_THE_WAY[name]
    source = workshop.store("recurrent")
    if "relayout" in name:
        source = workshop.case("pack").whole / "small.zarr"
    with counts.of(f"something else in the way: {name}") as count:
        for kind in KINDS_IN_THE_WAY:
            here = tmp_path / kind.replace(" ", "_")
            here.mkdir()
            (here / "s.zarr").symlink_to(source) if name.startswith("page") else shutil.copytree(
                source, here / "s.zarr"
            )
            (here / "mine.txt").write_text("ten years of work")
            _put(kind, here / name, here / "mine.txt")
            before = _state(here)
            code, said = workshop.server.typed(words, here)
            count["tried"] += 1
            assert code == 2 and name in said, f"{kind}: {code} {said}"
            assert said.count("\n") == 1, said
            assert _state(here) == before, kind
            count["refused and kept"] += 1
            shutil.rmtree(here)


# --------------------------------------------------------------------------- read-only


def test_a_place_that_cannot_be_written(workshop, counts, tmp_path):
    """Everything that writes says so in one line; what reads works."""
    whole = workshop.case("report").whole
    place = tmp_path / "place"
    place.mkdir()
    bind = ["mount", "--bind", str(whole), str(place)]
    if os.geteuid() != 0 or subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        before = _state(whole)
        writing = [
            *((stage.replace("_", "-"), "s.zarr") for stage in collection.stages("recurrent")),
            ("run", "s.zarr"), ("pack", "s.zarr", "new.zarr"), ("report", "s.zarr", "other.html"),
            ("train", "new.zarr", *OPTIONS["recurrent", "train"]), ("reduce", "s.zarr", "--redo"),
            ("export-nwb", "s.zarr", "nwb"),
        ]  # fmt: skip
        reading = [("info", "s.zarr"), ("check", "s.zarr"), ("coverage", "s.zarr"),
                   ("compare", "s.zarr", "s.zarr")]  # fmt: skip
        with counts.of("a read-only place") as count:
            for words in (*writing, *reading):
                count["tried"] += 1
                code, said = workshop.server.typed(words, place)
                if words in reading:
                    assert code == 0, f"{words}: {said}"
                    count["read"] += 1
                else:
                    assert code == 2 and "Read-only file system" in said, f"{words}: {code} {said}"
                    assert said.strip().count("\n") == 0, f"{words}: {said}"
                    count["said in one line"] += 1
        assert _state(whole) == before
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_place_of_somebody_elses(workshop, counts):
    """As another user, who may read the store and not write beside it."""
    place = Path(tempfile.mkdtemp())
    os.chmod(place, 0o755)
    compiled = Path(tempfile.mkdtemp())
    os.chmod(compiled, 0o777)
    own = ENVIRONMENT | {
        "HOME": "/nonexistent", "NUMBA_CACHE_DIR": str(compiled), "MPLCONFIGDIR": str(compiled),
    }  # fmt: skip
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    try:
        shutil.copytree(workshop.store("recurrent"), place / "s.zarr")
        tried = [*other, sys.executable, "-c", "import solspace.run.loop"]
        if os.geteuid() != 0 or subprocess.run(tried, env=own, capture_output=True).returncode:
            pytest.skip("needs root, setpriv and a Python that others may run")
        before = _state(place)
        with counts.of("a place of another user's") as count:
            for words in (
                ("record", "s.zarr"), ("run", "s.zarr"), ("pack", "s.zarr", "new.zarr"),
                ("train", "new.zarr", *OPTIONS["recurrent", "train"]),
                ("report", "s.zarr", "page.html"), ("info", "s.zarr"), ("check", "s.zarr"),
            ):  # fmt: skip
                count["tried"] += 1
                done = subprocess.run(
                    [*other, *solspace(*words)], cwd=place, env=own, capture_output=True, text=True
                )
                if words[0] in ("info", "check"):
                    assert done.returncode == 0, done.stderr
                    count["read"] += 1
                else:
                    assert done.returncode == 2 and "Permission denied" in done.stderr, done.stderr
                    assert done.stderr.strip().count("\n") == 0, done.stderr
                    count["said in one line"] += 1
        assert _state(place) == before
    finally:
        shutil.rmtree(place)
        shutil.rmtree(compiled)


# --------------------------------------------------------------------------- a server


@pytest.mark.parametrize("what", ["stopped for a moment", "gone and back", "gone until the end"])
def test_a_server_of_objects_that_fails(what, workshop, counts, tmp_path, monkeypatch):
    """In mid-write: the command goes on or says so in one line, and typed again it is whole."""
    pytest.importorskip("obstore")
    case = workshop.case("record of recurrent")
    rng = np.random.default_rng(len(what))
    with conditional_server() as settings, counts.of(f"server of objects {what}: record") as count:
        door = Door(settings)
        for name, value in door.settings.items():
            monkeypatch.setenv(name, value)
        own = {"env": ENVIRONMENT | door.settings}
        try:
            for at in range(TRIES):
                address = f"s3://bucket/{at}/s.zarr"
                _put_up(case.begun / "s.zarr", address)
                before = _objects(address)
                words = ("record", address, "--quiet", *(("--workers", "2") if at % 2 else ()))
                process = start(words, tmp_path, **own)
                while process.poll() is None and _objects(address) == before:
                    time.sleep(0.05)
                time.sleep(rng.uniform(0, 6))
                count["tried"] += 1
                if what == "stopped for a moment":
                    door.send_signal(signal.SIGSTOP)
                    time.sleep(rng.uniform(0.5, 5))
                    door.send_signal(signal.SIGCONT)
                else:
                    door.close()
                    if what == "gone and back":
                        time.sleep(rng.uniform(0.5, 5))
                        door.open()
                _, said = process.communicate(timeout=LONGEST)
                if what == "gone until the end":
                    door.open()
                assert "Traceback" not in said and process.returncode in (0, 1), said
                if process.returncode:
                    assert said.strip().count("\n") == 0, said
                    count["said in one line"] += 1
                else:
                    count["went on"] += 1
                # The lock of a run that could not give it back is left, and is old after a while.
                code, said = typed_late(("record", address, "--quiet"), tmp_path, own)
                assert code == 0, said
                assert check_store(address) == []
                _assert_same_values(address, case.whole / "s.zarr")
                count["whole"] += 1
        finally:
            door.close()


def typed_late(words, folder: Path, own) -> tuple[int, str]:
    """A command typed when locks of dead runs have grown old."""
    late = "import sys; from solspace.store import lease; lease.STALE = -1.0; import solspace.cli"
    late += f"; sys.argv = ['solspace', *{list(words)!r}]; sys.exit(solspace.cli.main())"
    done = subprocess.run(
        [sys.executable, "-c", late], cwd=folder, capture_output=True, text=True, timeout=LONGEST,
        **own,
    )  # fmt: skip
    return done.returncode, done.stderr


def _put_up(store: Path, address: str) -> None:
    """Put a store that was written here into a bucket, file by file."""
    import obstore

    client, name = place.beside(address)
    for file in sorted(p for p in store.rglob("*") if p.is_file()):
        obstore.put(client, f"{name}/{file.relative_to(store)}", file.read_bytes())


def _objects(address: str) -> dict[str, str]:
    """What lies in a store in a bucket and beside it, with a mark of what it holds."""
    import obstore

    client, _ = place.beside(address)
    listed = [o for batch in obstore.list(client) for o in batch]
    return {o["path"]: str(o["e_tag"]) for o in listed}


def _assert_same_values(address: str, whole: Path) -> None:
    found = zarr.open_group(place.opened(address, copy=False), mode="r", use_consolidated=False)
    those = arrays(whole)
    these = {
        path: member[...]
        for path, member in found.members(max_depth=None)
        if isinstance(member, zarr.Array) and WRITING not in path.split("/")
    }
    assert these.keys() == those.keys()
    assert [path for path in those if not same(these[path], those[path])] == []
