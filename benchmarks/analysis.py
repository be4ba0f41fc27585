"""The analysis of a store from end to end, stage by stage: seconds, and ms a network.

    python benchmarks/analysis.py                        # 8 networks a population, some minutes
    python benchmarks/analysis.py --networks 400 --write # the 2,000 that ship, docs/performance.md
    python benchmarks/analysis.py --rounds 3 --populations interval_reproduction/gru
    python benchmarks/analysis.py --networks 400 --workers 2 --write
    python benchmarks/analysis.py --networks 400 --workers 2 --together

Networks that ship, evenly from each population, are laid in a store of their own with nothing but
weights; then `record`, `extrapolate`, `reduce`, `verify` and `features` are run over it as
``solspace run`` does: in threads of this process, one a core, or with ``--workers`` in as many
processes, which are started once; what that takes counts to the first stage. Populations are run
one by one, so that each has its figures; with ``--together`` each stage goes over the whole store,
and workers go on to the next population without waiting, as they do in ``solspace run``. Before,
each stage is run on a store of two networks, so that nothing is compiled or loaded while it is
timed. Told are processor seconds of all threads and processes, which other work on the machine
changes less, and the seconds that passed. With ``--rounds`` it is done over again, and the best of
each stage is told.

Baselines, measured in the same run or on the same networks: for ``reduce`` the median of the
authors' published code on one core (see benchmarks/reduction.py); for ``record`` and
``extrapolate`` the peak of float64 products of matrices, 512 by 512, on one thread of this process:
told is the share of it that the products of weights and states reach, everything else of the stage
counted as time. OMP_NUM_THREADS and the like are set to 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "stores" / "turner2021.zarr"
PAGE = ROOT / "docs" / "performance.md"
STAGES = ("record", "extrapolate", "reduce", "verify", "features")
MULTIPLIED = ("record", "extrapolate")


def lay(path: str, population: str, networks: int) -> None:
    """Weights alone, of networks evenly from a population that ships."""
    import numpy as np
    import xarray as xr

    import solspace
    from solspace.labels.registry import label_names
    from solspace.stages import collection

    ds = xr.open_zarr(SOURCE, group=population, chunks=None)
    chosen = np.unique(np.linspace(0, ds.sizes["network"] - 1, networks).round().astype(int))
    train = collection.find("train", "recurrent")
    kept = {train.status.name, *(v.name for v in train.fills)}
    labels = [n for n in ds.coords if n in label_names() or str(n).startswith("solution")]
    ds = ds.drop_vars([*labels, *(n for n in ds.data_vars if n not in kept)])
    # In shards as those of a population of 400, so that writing costs a network the same.
    solspace.add_population(path, ds.isel(network=chosen).load(), shard_size=8)


def run(path: str, stage: str, population: str, workers: int | None = None) -> tuple[float, float]:
    """Processor seconds and seconds of a stage over one population of a store."""
    from solspace.run.loop import run_stage

    task, architecture = population.split("/")
    used, began = processor_seconds(), time.perf_counter()
    (outcome,) = run_stage(path, stage, task=task, architecture=architecture, workers=workers)
    spent = processor_seconds() - used, time.perf_counter() - began
    check(outcome)
    return spent


def check(outcome: Any) -> None:
    """All networks were computed, and hardly any failed."""
    if outcome.failed > 0.02 * outcome.networks or outcome.computed != outcome.networks:
        raise RuntimeError(str(outcome))


def run_together(path: str, workers: int | None) -> dict[str, dict[str, float]]:
    """Every stage over the whole store: processor seconds and seconds of each, and of all."""
    from solspace.run.loop import run_stage

    found = {}
    for stage in STAGES:
        used, began = processor_seconds(), time.perf_counter()
        outcomes = run_stage(path, stage, workers=workers)
        found[stage] = {
            "processor": processor_seconds() - used,
            "seconds": time.perf_counter() - began,
        }
        for outcome in outcomes:
            check(outcome)
    spent = list(found.values())
    return found | {"all": {k: sum(own[k] for own in spent) for k in ("processor", "seconds")}}


def together_table(found: dict[str, Any]) -> str:
    """The figures of `run_together` as Markdown."""
    lines = ["| stage | processor seconds | seconds |", "|---|---:|---:|"]
    for stage, own in found["stages"].items():
        lines.append(f"| {stage} | {own['processor']:.1f} | {own['seconds']:.1f} |")
    lines.append(f"{found['how']}, {found['vectors']}, {found['peak'] / 1e9:.0f} GFLOP/s")
    return "\n".join(lines)


def processor_seconds() -> float:
    """Of this process and of its workers, which live on from stage to stage."""
    import psutil

    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return total


def operations(path: str, stage: str, population: str) -> float:
    """Additions and multiplications of weights by states of a stage, all networks together."""
    import xarray as xr

    from solspace.networks.branching import find_branches

    ds = xr.open_zarr(path, group=population, chunks=None)
    group = xr.open_zarr(
        path, group=f"{population}/{'training' if stage == 'record' else 'extrapolation'}"
    )
    sizes = ds["hidden_size"].values.astype(float)
    steps = group.sizes["trial"] * group.sizes["time"]
    if stage == "extrapolate":  # beginnings that trials share are run once
        steps -= int(find_branches(group["input"].values).begin.sum())
    return float((2 * ds.sizes["gate"] * sizes**2).sum() * steps)


def fastest(once: Callable[[], Any], times: int) -> float:
    """Processor seconds of the best of several calls, one before them not counted."""
    once()
    best = float("inf")
    for _ in range(times):
        began = time.thread_time()
        once()
        best = min(best, time.thread_time() - began)
    return best


def gemm_peak(times: int = 20) -> float:
    """Operations a second of float64 products on one thread, the best of several."""
    import numpy as np

    a = np.random.default_rng(0).normal(size=(512, 512))
    return 2 * 512.0**3 / fastest(lambda: a @ a, times)


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from reduction import PUBLISHED

    lines = [
        "| population | " + " | ".join(STAGES) + " | together | reduce, authors | ratio | "
        "share of the peak: record | extrapolate |",
        "|---|" + "---:|" * (len(STAGES) + 5),
    ]
    every = {stage: [0.0, 0.0] for stage in STAGES}
    networks, theirs = 0, 0.0
    for population, own in found["populations"].items():
        n = own["networks"]
        ms = {stage: 1e3 * own[stage]["processor"] / n for stage in STAGES}
        shares = [own[s]["operations"] / own[s]["processor"] / found["peak"] for s in MULTIPLIED]
        for stage in STAGES:
            every[stage][0] += own[stage]["processor"]
            every[stage][1] += own[stage]["seconds"]
        networks, theirs = networks + n, theirs + n * PUBLISHED[population]
        lines.append(
            f"| {population} | "
            + " | ".join(f"{ms[stage]:.1f}" for stage in STAGES)
            + f" | {sum(ms.values()):.0f} | {1e3 * PUBLISHED[population]:.0f} | "
            f"{1e3 * PUBLISHED[population] / ms['reduce']:.0f} | "
            + " | ".join(f"{share:.0%}" for share in shares)
            + " |"
        )
    processor, seconds = (sum(one[k] for one in every.values()) for k in (0, 1))
    reduced = every["reduce"][0]
    lines += [
        "| all, ms a network | "
        + " | ".join(f"{1e3 * every[stage][0] / networks:.1f}" for stage in STAGES)
        + f" | {1e3 * processor / networks:.0f} | {1e3 * theirs / networks:.0f} | "
        f"{theirs / reduced:.0f} | | |",
        "| all, processor seconds | "
        + " | ".join(f"{every[stage][0]:.1f}" for stage in STAGES)
        + f" | {processor:.0f} | | | | |",
        "| all, seconds that passed | "
        + " | ".join(f"{every[stage][1]:.1f}" for stage in STAGES)
        + f" | {seconds:.0f} | | | | |",
        "",
        f"{networks} networks, {os.cpu_count()} cores, {found['how']}, {found['vectors']}, load "
        f"{found['load']:.1f}, best of {found['rounds']}. Times of populations are ms of a "
        f"processor a network. At {1e3 * processor / networks:.0f} ms, 2,000 networks take "
        f"{2000 * processor / networks / 120:.1f} min on two cores that do nothing else. Peak of "
        f"float64 products: {found['peak'] / 1e9:.0f} GFLOP/s.",
    ]
    return "\n".join(lines)


def vectors() -> str:
    """The widest vectors that compiled loops use here."""
    from numba.core.codegen import get_host_cpu_features
    from numba.core.config import CPU_FEATURES, CPU_NAME

    features = CPU_FEATURES if CPU_NAME else get_host_cpu_features()
    if CPU_NAME:
        return f"compiled for {CPU_NAME}"
    return "AVX-512" if "+avx512f" in (features or "") else "AVX2"


def main() -> None:
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=8, help="of each population (default 8)")
    parser.add_argument("--rounds", type=int, default=1, help="the best is told (default 1)")
    parser.add_argument("--populations", nargs="+", metavar="TASK/ARCHITECTURE")
    parser.add_argument("--workers", type=int, help="processes instead of threads")
    parser.add_argument("--together", action="store_true", help="each stage over the whole store")
    parser.add_argument("--json", action="store_true", help="the figures as JSON instead")
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    from reduction import PUBLISHED

    from solspace.run.where import kept

    populations = given.populations or list(PUBLISHED)
    found: dict[str, Any] = {"populations": {}, "rounds": given.rounds, "vectors": vectors()}
    found["how"] = f"{given.workers} processes" if given.workers else "threads"
    found["peak"] = gemm_peak()
    with tempfile.TemporaryDirectory() as folder:
        small, path = f"{folder}/small.zarr", f"{folder}/laid.zarr"
        for population in populations:
            lay(small, population, 2)
            for stage in STAGES:
                run(small, stage, population)
            lay(path, population, given.networks)
        if given.together:
            with kept():
                found["stages"] = run_together(path, given.workers)
            print(json.dumps(found) if given.json else together_table(found))
            return
        for at in range(given.rounds):
            copy = f"{folder}/run{at}.zarr"
            shutil.copytree(path, copy)
            with kept():
                for population in populations:
                    own = found["populations"].setdefault(population, {"networks": given.networks})
                    for stage in STAGES:
                        processor, seconds = run(copy, stage, population, given.workers)
                        if stage not in own or processor < own[stage]["processor"]:
                            own[stage] = {"processor": processor, "seconds": seconds}
            for population, own in found["populations"].items():
                for stage in MULTIPLIED:
                    own[stage]["operations"] = operations(copy, stage, population)
            shutil.rmtree(copy)
    found["load"] = os.getloadavg()[0]
    if given.json:
        print(json.dumps(found, indent=1))
        return
    text = table(found)
    print(text)
    if given.write:
        from docs.pages import write_part

        write_part(PAGE, __file__, text)


if __name__ == "__main__":
    main()
