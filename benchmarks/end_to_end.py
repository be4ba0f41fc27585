"""The analysis of the shipped networks from end to end, on the instruction sets of this processor.

    python benchmarks/end_to_end.py                        # 8 networks a population, some minutes
    python benchmarks/end_to_end.py --networks 400 --write # the 2,000 that ship

With AVX-512 it is measured as that and as AVX2: Numba, NumPy, OpenBLAS and torch are told to leave
the rest alone. On each, ``benchmarks/analysis.py --workers 2 --together`` takes a store with
nothing but weights through the stages as ``solspace run`` does, in two processes, all of it
compiled before. ``--write`` puts the tables into docs/performance.md.

Baselines, measured in the same run or on the same networks: for ``reduce`` the medians of the
authors' published code, which takes one core, added up over the networks (see
benchmarks/reduction.py); for running trials in memory, as ``record`` and ``extrapolate`` do, the
peak of float64 products of matrices, 512 by 512, on one thread. Products of weights and states that
are done count as work, beginnings that trials share once; all else, tanh and the readout among it,
counts as time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from analysis import SOURCE, STAGES, fastest, gemm_peak  # noqa: E402
from instructions import instruction_sets  # noqa: E402
from reduction import PUBLISHED  # noqa: E402


def in_memory(networks: int = 8, times: int = 7) -> dict[str, dict[str, Any]]:
    """Share of the float64 peak when trials are run: by population, stage and size.

    The best of several runs of each network counts; sizes are in equal shares.
    """
    import numpy as np
    import xarray as xr

    from solspace.networks import run
    from solspace.networks.branching import find_branches, run_branches
    from solspace.population.weights import network_weights
    from solspace.tasks import get_task

    peak = gemm_peak()
    found: dict[str, dict[str, Any]] = {}
    for population in PUBLISHED:
        task, architecture = population.split("/")
        trained = get_task(task).recorded_trials().input
        branches = find_branches(get_task(task).extrapolation_trials().input)
        steps = {
            "record": trained.shape[0] * trained.shape[1],
            "extrapolate": int((branches.inputs.shape[1] - branches.begin).sum()),
        }
        ds = xr.open_zarr(SOURCE, group=population, chunks=None)
        work: dict[str, dict[int, list[float]]] = {stage: {} for stage in steps}
        for i in np.linspace(0, ds.sizes["network"] - 1, networks).round().astype(int).tolist():
            weights = network_weights(ds.isel(network=[i]).load(), 0)
            gates, units = weights["weight_hh"].shape[:2]
            runs = {
                "record": partial(run, architecture, weights, trained),
                "extrapolate": partial(run_branches, architecture, weights, branches),
            }
            for stage, once in runs.items():
                own = work[stage].setdefault(units, [0.0, 0.0])
                own[0] += 2.0 * gates * units * units * steps[stage]
                own[1] += fastest(once, times)
        found[population] = {
            stage: {
                "all": sum(w for w, _ in own.values()) / sum(s for _, s in own.values()) / peak,
                **{str(units): w / s / peak for units, (w, s) in sorted(own.items())},
            }
            for stage, own in work.items()
        }
    return found


def measure(limits: dict[str, str], networks: int, workers: int) -> dict[str, Any]:
    """All of it under some limits, in processes of its own."""
    with tempfile.TemporaryDirectory() as compiled:
        more = {"NUMBA_CACHE_DIR": compiled} if limits else {}
        environment = os.environ | limits | more

        def told(*command: str) -> Any:
            done = subprocess.run(
                [sys.executable, *command], env=environment, stdout=subprocess.PIPE, text=True,
                check=True,
            )  # fmt: skip
            return json.loads(done.stdout.splitlines()[-1])

        together = told(
            str(ROOT / "benchmarks" / "analysis.py"), "--networks", str(networks), "--workers",
            str(workers), "--together", "--json",
        )  # fmt: skip
        return {"together": together, "shares": told(__file__, "--in-memory")}


def table(found: dict[str, dict[str, Any]], networks: int, workers: int) -> str:
    """The figures as Markdown."""
    sets = list(found)
    lines = [
        "| stage | " + " | ".join(f"{s}, seconds | processor seconds" for s in sets) + " |",
        "|---|" + "---:|---:|" * len(sets),
    ]
    for stage in (*STAGES, "all"):
        spent = [found[name]["together"]["stages"][stage] for name in sets]
        cells = [f"{own[k]:.1f}" for own in spent for k in ("seconds", "processor")]
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    theirs = networks * sum(PUBLISHED.values())
    cells = []
    for name in sets:
        own = found[name]["together"]["stages"]["reduce"]
        cells += [f"{theirs / own['seconds']:.0f}", f"{theirs / own['processor']:.0f}"]
    lines.append("| `reduce`, times the authors' code on one core | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{networks * len(PUBLISHED):,} networks, {workers} processes on {os.cpu_count()} cores. "
        "Peak of float64 products: "
        + ", ".join(f"{s} {found[s]['together']['peak'] / 1e9:.0f} GFLOP/s" for s in sets)
        + ".",
        "",
        *in_memory_table({name: own["shares"] for name, own in found.items()}),
    ]
    return "\n".join(lines)


def in_memory_table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Shares of the peak by population, and their range over populations by size."""
    stages = ("record", "extrapolate")
    columns = [(name, stage) for name in found for stage in stages]
    lines = [
        "| trials run in memory | " + " | ".join(f"{n}, {s}" for n, s in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for population in PUBLISHED:
        cells = [f"{found[name][population][stage]['all']:.0%}" for name, stage in columns]
        lines.append(f"| {population} | " + " | ".join(cells) + " |")
    first = next(iter(found.values()))[next(iter(PUBLISHED))]["record"]
    for size in [size for size in first if size != "all"]:
        cells = []
        for name, stage in columns:
            every = [found[name][population][stage][size] for population in PUBLISHED]
            cells.append(f"{100 * min(every):.0f} to {max(every):.0%}")
        lines.append(f"| {size} units, any population | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    from docs.pages import write_part

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=8, help="of each population (default 8)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--in-memory", action="store_true", help="only that, as JSON")
    parser.add_argument("--write", action="store_true", help="the tables into docs/performance.md")
    given = parser.parse_args()
    if given.in_memory:
        print(json.dumps(in_memory()))
        return
    limits = instruction_sets()
    limits.pop("x86-64-v2", None)  # without FMA it would take the longest, and few have none
    if not limits:
        raise SystemExit("this processor has no AVX2; see benchmarks/analysis.py")
    found = {name: measure(own, given.networks, given.workers) for name, own in limits.items()}
    text = table(found, given.networks, given.workers)
    print(text)
    if given.write:
        write_part(ROOT / "docs" / "performance.md", __file__, text)


if __name__ == "__main__":
    main()
