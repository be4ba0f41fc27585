"""An attack on stores: everything is killed, filled up, damaged and locked twice, and counted.

Afterwards a store equals that of an undisturbed run, array by array, or `check` names what is
wrong.
``make test-attack`` runs it; ``python -m docs.make_attacks`` runs it and writes its counts into
docs/reliability.md. ``SOLSPACE_ATTACKS=3`` makes each series short, and a folder in
``SOLSPACE_ATTACK_STORES`` keeps the undisturbed stores from one run to the next.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from attacking import (
    ATTACKS,
    LONGEST,
    OTHERS,
    SIGNALS,
    Counts,
    Workshop,
    assert_whole,
    case_names,
    listing,
    lost,
    start,
    stores,
)

from solspace.store.check import check_store

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
            if ended is None:
                count["tried"] += 1
                for store in stores(folder):
                    faults = check_store(str(store))
                    assert all(".old; anything that writes" in fault for fault in faults), faults
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
