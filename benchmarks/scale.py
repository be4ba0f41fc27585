"""What large populations cost: time, memory, files and bytes of each stage, and how long it takes
to open one and choose among its networks.

    python benchmarks/scale.py                               # 1,000 networks, a minute or two
    python benchmarks/scale.py --networks 1000 10000 --without-activity 100000 --write

Weights are those of a shipped population, tiled: network i has the weights of network i modulo 400,
a name and a seed of its own. So nothing is trained, and files compress as those of trained networks
do. With activity a population is laid, recorded (``record``) and described (``features``). Without
activity, which would be 90 GB for 100,000 networks, it is laid, given the graphs of the shipped
networks, tiled as well, and its solutions are chosen and numbered (``label``); and one is laid that
is not trained yet.

The baseline is the first population of the same run and kind: ``ratio`` is the cost of one network
beside that there. Each step runs in a process of its own, whose largest memory is told; seconds of
a processor change little with what else the machine does. A step that has ended is not run again
where ``--folder`` is the same; one that was killed goes on. ``--write`` puts the tables into
docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "stores" / "turner2021.zarr"
GROUP = "interval_reproduction/vanilla"
PAGE = ROOT / "docs" / "scale.md"

WITH_ACTIVITY = ("lay", "record", "features", "look")
WITHOUT_ACTIVITY = ("untrained", "lay", "graphs", "label", "look")
Row = dict[str, Any]


# --------------------------------------------------------------------------- one step, in a process


def tiled(networks: int, group: str = "") -> Any:
    """So many networks, of those that ship, read when they are needed."""
    import numpy as np
    import xarray as xr

    ds = xr.open_zarr(SOURCE, group=GROUP + group, chunks=None)
    index = np.arange(networks)
    ds = ds.isel(network=index % ds.sizes["network"])
    names = [f"{size}_t{i:06d}" for i, size in enumerate(ds["hidden_size"].values.tolist())]
    ds = ds.assign_coords(network=index, name=("network", np.array(names)))
    return ds.assign_coords(seed=("network", index)) if "seed" in ds.coords else ds


def untrained(path: str, networks: int) -> Row:
    """What `solspace train` lays before it trains, in a store of its own."""
    import solspace

    path = path.replace(".zarr", "_untrained.zarr")
    sizes = [20, 30, 40, 50]
    ds = solspace.new_population(*GROUP.split("/"), networks=networks, hidden_size=sizes)
    solspace.create_population(path, ds)
    found = on_disk(path)
    shutil.rmtree(path)
    return found


def lay(path: str, networks: int) -> Row:
    """Weights alone, shard by shard."""
    import solspace
    from solspace.labels.registry import label_names
    from solspace.stages import collection

    ds = tiled(networks)
    train = collection.find("train", "recurrent")
    kept = {train.status.name, *(v.name for v in train.fills)}
    labels = [n for n in ds.coords if n in label_names() or str(n).startswith("solution")]
    ds = ds.drop_vars([*labels, *(n for n in ds.data_vars if n not in kept)])
    solspace.add_population(path, ds)
    return {}


def graphs(path: str, networks: int) -> Row:
    """What ``reduce`` would have found, from the graphs of the shipped networks."""
    from solspace.run.creating import create_groups
    from solspace.run.reading import split_results, written_by_shard
    from solspace.stages import collection
    from solspace.store import Store
    from solspace.tasks import get_task

    (population,) = Store(path).populations()
    reduce = collection.find("reduce", "recurrent")
    source, below = tiled(networks), tiled(networks, "/graph")
    names = [v.name for v in reduce.fills if v.name in source.variables]
    ds = source[[*names, reduce.status.name]]
    ds = ds.assign({n: below[n] for n in below.data_vars})
    store = Store(path)
    with store.lock("reduce"):
        with population.briefly():
            create_groups(population, reduce, get_task(population.task), {})
        pending = population.pending("reduce")
        run = population.take("reduce", pending, written_by_shard(population, reduce))
        for shard in pending:
            part = ds.isel(network=slice(*shard)).load()
            results = split_results(part, reduce, population)
            population.write_shard(shard, "reduce", results, token=run)
    return {}


def stage(name: str, **options: str) -> Callable[[str, int], Row]:
    def run(path: str, networks: int) -> Row:
        from solspace.run.loop import run_stage

        (outcome,) = run_stage(path, name, options=options)
        found = {"failed": outcome.failed, "computed": outcome.computed}
        if name == "record":
            activity = outcome.population.open("training")["activity"]
            found["largest"] = activity.nbytes // networks
        return found

    return run


def look(path: str, networks: int) -> Row:
    """Seconds to open, to describe, and to choose the networks of one solution."""
    import numpy as np
    import xarray as xr

    import solspace
    from solspace.info import describe

    task, architecture = GROUP.split("/")

    def chosen(ds: Any) -> Any:
        """The losses of one solution, or of one size where none is known."""
        known = bool((ds["solution"].values >= 0).any())
        of, wanted = ("solution", 2) if known else ("hidden_size", 30)
        return ds.isel(network=np.flatnonzero(ds[of].values == wanted))["loss"].load()

    def mean() -> Any:
        ds = xr.open_zarr(path, group=GROUP)
        return ds["loss"].where(ds["solution"] == 2).mean().compute()

    ways: dict[str, Callable[[], object]] = {
        "xr.open_zarr": lambda: xr.open_zarr(path, group=GROUP),
        "open_population": lambda: solspace.open_population(path, task, architecture),
        "open_store": lambda: solspace.open_store(path),
        "info": lambda: describe(path),
        "choose, open_population": lambda: chosen(
            solspace.open_population(path, task, architecture)
        ),
        "choose, open_store": lambda: chosen(solspace.open_store(path)[GROUP].to_dataset()),
        "where, xr.open_zarr": mean,
        "check --quick": lambda: solspace.check_store(path, quick=True),
    }
    out: Row = {}
    for called, way in ways.items():
        spent = []
        for _ in range(3):
            began, used = time.perf_counter(), time.process_time()
            way()
            spent.append((time.perf_counter() - began, time.process_time() - used))
        out[called] = round(sorted(s for s, _ in spent)[1], 2)
        out[f"{called}, processor"] = round(sorted(s for _, s in spent)[1], 2)
    return {"look": out}


STEPS: dict[str, Callable[[str, int], Row]] = {
    "untrained": untrained, "lay": lay, "graphs": graphs,
    "record": stage("record"), "features": stage("features"),
    "label": stage("label", by="automaton_key"), "look": look,
}  # fmt: skip


def run_step(step: str, path: str, networks: int) -> Row:
    warnings.simplefilter("ignore")
    import solspace

    solspace.add_population, solspace.open_store, solspace.check_store  # noqa: B018  loaded before
    used, began = time.process_time(), time.perf_counter()
    found = STEPS[step](path, networks)
    return {
        **found,
        "seconds": round(time.perf_counter() - began, 2),
        "processor": round(time.process_time() - used, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


# --------------------------------------------------------------------------- all steps


def on_disk(path: str) -> Row:
    files = [os.path.join(at, name) for at, _, names in os.walk(path) for name in names]
    attributes = json.loads(Path(path, GROUP, "zarr.json").read_text())["attributes"]
    size = attributes["shard_size"]
    return {"files": len(files), "bytes": sum(map(os.path.getsize, files)), "shard_size": size}


def measured(networks: int, kind: str, folder: Path, keep: bool) -> list[Row]:
    """The steps of one population, those that have ended from their notes."""
    notes = folder / f"{kind}_{networks}.json"
    rows: list[Row] = json.loads(notes.read_text()) if notes.exists() else []
    path = str(folder / f"{kind}_{networks}.zarr")
    for step in WITH_ACTIVITY if kind == "with" else WITHOUT_ACTIVITY:
        if step in [row["step"] for row in rows]:
            continue
        words = [__file__, "--step", step, path, str(networks)]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{step} of {networks} networks failed:\n{done.stderr}")
        row = {"step": step, "networks": networks, "kind": kind}
        there = on_disk(path) if os.path.exists(path) else {}
        rows.append(row | there | json.loads(done.stdout.splitlines()[-1]))
        rows[-1]["load"] = round(os.getloadavg()[0], 1)
        notes.write_text(json.dumps(rows, indent=1))
        print(*line(rows[-1], rows[-1]), sep="  ", flush=True)
    if not keep:
        shutil.rmtree(path, ignore_errors=True)
    return rows


def line(row: Row, base: Row) -> list[str]:
    each, first = (r["processor"] / r["networks"] for r in (row, base))
    return [
        f"{row['networks']:,}", row["step"], f"{row['seconds']:.1f}", f"{row['processor']:.1f}",
        f"{each * 1e3:.2f}", f"{each / first:.2f}" if first else "", f"{row['peak_mb']:,}",
        f"{row['files']:,}", f"{row['bytes'] / 1e6:,.1f}",
    ]  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---" if i < 1 else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def tables(rows: list[Row]) -> str:
    costs = []
    for row in rows:
        if row["step"] != "look":
            same = [r for r in rows if (r["kind"], r["step"]) == (row["kind"], row["step"])]
            costs.append(line(row, same[0]))
    head = ["networks", "step", "seconds", "of processors", "ms a network", "ratio",
            "most memory, MB", "files then", "MB then"]  # fmt: skip
    looks = [r for r in rows if r["step"] == "look"]
    ways = [w for w in looks[0]["look"] if "processor" not in w] if looks else []
    seen = [
        [
            f"{r['networks']:,}{'' if r['kind'] == 'with' else ', no activity'}",
            *(f"{r['look'][w]:.2f} ({r['look'][f'{w}, processor']:.2f})" for w in ways),
        ]
        for r in looks
    ]
    loads = [r["load"] for r in rows]
    machine = (
        f"{os.cpu_count()} cores of {platform.machine()}, Python {platform.python_version()}; load "
        f"while it was measured {min(loads)} to {max(loads)}, where {os.cpu_count()} or less is a "
        "machine of its own."
    )
    return "\n\n".join(
        [
            machine,
            table(head, costs),
            "Seconds to open and to choose, and in brackets of a processor (medians of three):",
            table(["networks", *ways], seen),
            projection(rows),
        ]
    )


# --------------------------------------------------------------------------- arithmetic

STORAGE_PRICE = 0.023  # US dollars a GB and month: assumed
CORE_PRICE = 0.04  # US dollars a core and hour: assumed
REQUEST_PRICE = 5e-6  # US dollars an object written: assumed
# Seconds of a core and network that are measured elsewhere: `make demo`, docs/performance.md.
ELSEWHERE = {"train": 7.5, "reduce": 4.5}
TASK_SECONDS = 0.001  # of dask's scheduler a task: what its documentation says


def projection(rows: list[Row]) -> str:
    """What 10^5 to 10^7 networks come to, from the cost of one in the largest measured."""
    from solspace.store.layout import default_shard_size

    recorded = [r for r in rows if r["kind"] == "with"]
    if not recorded:
        return ""
    most = max(r["networks"] for r in recorded)
    own = {r["step"]: r for r in recorded if r["networks"] == most}
    measured_seconds = sum(own[s]["processor"] for s in ("lay", "record", "features")) / most
    whole = measured_seconds + sum(ELSEWHERE.values())
    steps = ("lay", "record", "features")
    before = dict(zip(steps[1:], steps[:-1], strict=True))
    stored = {
        of: (own[s]["bytes"] - (own[before[s]]["bytes"] if s in before else 0)) / most
        for of, s in zip(("weights", "activity", "features"), steps, strict=True)
    }
    a_shard = own["features"]["files"] / -(-most // own["features"]["shard_size"])
    bytes_, hours = [], []
    for networks in (10**5, 10**6, 10**7):
        shard = default_shard_size(networks, own["record"]["largest"])
        shards = -(-networks // shard)
        objects, total = shards * a_shard, networks * sum(stored.values())
        bytes_.append([
            f"{networks:,}", f"{shard:,}", f"{shards:,}", f"{objects:,.0f}",
            f"{shards * TASK_SECONDS:,.1f}", *(size(networks * b) for b in stored.values()),
        ])  # fmt: skip
        cores = [networks * s / 3600 for s in (measured_seconds, whole)]
        hours.append([
            f"{networks:,}", *(f"{h:,.0f}" for h in cores),
            f"{cores[1] / 1000:,.1f}",
            *(f"{h * CORE_PRICE:,.0f}" for h in cores),
            f"{total / 1e9 * STORAGE_PRICE:,.0f}", f"{objects * REQUEST_PRICE:,.2f}",
        ])  # fmt: skip
    return "\n\n".join([
        f"From bytes and processor seconds of one network among {most:,}, laid, recorded and "
        "described by features; a shard is a task:",
        table(["networks", "in a shard", "tasks a stage", "objects", "scheduler, s a stage",
               *stored], bytes_),
        "Core hours of these three steps, and with training and graphs as well "
        f"({ELSEWHERE['train']} and {ELSEWHERE['reduce']} s a network, from "
        "[performance](performance.md)). Prices are assumed: "
        f"{CORE_PRICE} dollars a core and hour, {STORAGE_PRICE} a GB and month, "
        f"{REQUEST_PRICE * 1000:g} a thousand objects written.",
        table(["networks", "core hours", "with training and graphs", "hours on 1,000 cores",
               "$", "$ with training and graphs", "storage, $ a month", "requests, $"], hours),
    ])  # fmt: skip


def size(n: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9)):
        if n >= scale:
            return f"{n / scale:.1f} {unit}"
    return f"{n / 1e6:.1f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--networks", type=int, nargs="*", default=[1000],
        help="populations that are recorded: a MB of disk a network (default: 1000)",
    )  # fmt: skip
    parser.add_argument(
        "--without-activity", type=int, nargs="*", default=[],
        help="populations that are not: 25 kB of disk a network (default: none)",
    )  # fmt: skip
    parser.add_argument("--folder", help="of stores and notes, kept; by default one of /tmp")
    parser.add_argument("--keep", action="store_true", help="keep the stores as well as the notes")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/scale.md")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        step, path, networks = given.step
        print(json.dumps(run_step(step, path, int(networks))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(given.folder or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [r for n in given.networks for r in measured(n, "with", folder, given.keep)]
        for n in given.without_activity:
            rows += measured(n, "without", folder, given.keep)
    text = tables(rows)
    print(text)
    if given.write:
        sys.path.insert(0, str(ROOT))
        from docs.pages import write_part

        write_part(PAGE, __file__, text)


if __name__ == "__main__":
    main()
