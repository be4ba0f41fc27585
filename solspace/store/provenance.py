"""What was run over a population: when, with which options and versions, in its attributes."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from solspace.store.handle import Population
from solspace.tasks.files import read_source

__all__ = ["ended", "last_options", "noted", "with_entry"]


def last_options(
    population: Population, stage: str, *, finished: bool = False
) -> dict[str, Any] | None:
    """The options a stage was last run with, or last finished with; None where it was not."""
    entries = json.loads(str(population.attrs.get("provenance", "[]")))
    own = [entry for entry in entries if entry["stage"] == stage]
    found = [entry["options"] for entry in own if "finished" in entry or not finished]
    return dict(found[-1]) if found else None


def ended(population: Population, stage: str) -> bool:
    """Whether the last run of a stage, where there was one, came to its end.

    Not where it was killed, though it may have written everything before.
    """
    entries = json.loads(str(population.attrs.get("provenance", "[]")))
    own = [entry for entry in entries if entry["stage"] == stage]
    return not own or "finished" in own[-1]


def with_entry(
    attrs: Mapping[str, Any], stage: str, options: Mapping[str, Any] | None = None
) -> str:
    """The provenance of attributes with a run that has ended, for what is written in one moment."""
    entries = json.loads(str(attrs.get("provenance", "[]")))
    entry = _begun(attrs, stage, options, None)
    return json.dumps([*entries, entry | {"finished": _now(), "seconds": 0.0}])


@contextlib.contextmanager
def noted(
    population: Population,
    stage: str,
    options: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
) -> Iterator[int]:
    """Note in the population's attrs what was run, on what, and when it began and ended.

    Yields the number of the run, its entry's ``run`` in hexadecimals: the token of what it writes.
    """
    entry = _begun(population.attrs, stage, options, where)
    _note(population, entry)
    began = time.monotonic()
    yield int(entry["run"], 16)
    entry |= {"finished": _now(), "seconds": round(time.monotonic() - began, 1)}
    _note(population, entry)


def _begun(
    attrs: Mapping[str, Any],
    stage: str,
    options: Mapping[str, Any] | None,
    where: Mapping[str, Any] | None,
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "stage": stage,
        "options": dict(options or {}),
        "where": dict(where or {}),
        "command": _command(sys.argv),
        "versions": _versions(),
        "machine": platform.machine(),
        # Slices may begin in one second by one command: this tells their entries apart.
        "run": uuid.uuid4().hex[:12],
        "started": _now(),
    }
    if (source := read_source(attrs)) is not None:  # a task of somebody's own
        entry["task"] = {name: value for name, value in source.items() if name != "text"}
    return entry


def _command(words: Sequence[str]) -> str:
    """What was typed; absolute paths by their last part, as a store may be shared."""
    first, *rest = words
    told = [os.path.basename(w.rstrip("/")) if os.path.isabs(w) else w for w in rest]
    return shlex.join([os.path.basename(first), *told])


def _note(population: Population, entry: Mapping[str, Any]) -> None:
    """Add an entry to the provenance, or renew it."""
    with population.briefly():
        population.before_change()
        group = population.zarr_group(mode="r+")
        entries = json.loads(str(group.attrs.get("provenance", "[]")))
        at = [i for i, other in enumerate(entries) if other.get("run") == entry["run"]]
        where = at[0] if at else len(entries)
        entries[where : where + 1] = [entry]
        group.attrs["provenance"] = json.dumps(entries)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache  # looked for in all folders of packages, and the same for as long as a process lives
def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    out = {"python": platform.python_version()}
    for package in ("solspace", "numpy", "numba", "torch", "xarray", "zarr"):
        with contextlib.suppress(PackageNotFoundError):
            out[package] = version(package)
    return out
