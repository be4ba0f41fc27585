"""How much faster two workers are than one, for record, features and reduce.

    python benchmarks/workers.py                      # 400 networks, five rounds: hours for reduce
    python benchmarks/workers.py --networks 40 --rounds 1 --stages record features

The baseline is one worker process of one thread; ``scaling`` is its seconds by twice those of two,
1 where they share the work fully. Workers are started, and have loaded the kernels, before anything
is timed; each round computes the same networks anew, with one and then with two, and medians are
told. Weights are those of a shipped population. On a machine whose cores are taken by
other work the figure says nothing: its load is told beside it, and ``arithmetic``, what products of
small matrices reach, which need nothing but a core.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

ONE_THREAD = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "ZARR_THREADING__MAX_WORKERS",
)  # fmt: skip


def arithmetic(times: int) -> None:
    """Work that is in the processor's caches."""
    import numpy as np

    a = np.random.default_rng(0).normal(size=(60, 60)).astype("f4") / 60
    for _ in range(times):
        a @ a


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stages", nargs="+", default=["record", "features", "reduce"])
    given = parser.parse_args()
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    warnings.simplefilter("ignore")

    import distributed

    sys.path.insert(0, str(Path(__file__).parent))
    from scale import lay

    from solspace.run.loop import run_stage

    def cluster(workers: int) -> distributed.LocalCluster:
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
            silence_logs="ERROR",
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as folder, cluster(1) as one, cluster(2) as two:
        laid, small, path = (f"{folder}/{name}.zarr" for name in ("laid", "small", "run"))
        lay(laid, given.networks)
        lay(small, 4)
        seconds: dict[tuple[str, int], list[float]] = {}
        for _ in range(given.rounds):
            for workers, where in ((1, one), (2, two)):
                with distributed.Client(where, set_as_default=False) as client:
                    shares = [1_000_000 // workers + i for i in range(workers)]
                    began = time.perf_counter()
                    client.gather(client.map(arithmetic, shares, pure=False))
                    spent = time.perf_counter() - began
                seconds.setdefault(("arithmetic", workers), []).append(spent)
        for at, store in enumerate([small, *[laid] * given.rounds]):
            for workers, where in ((1, one), (2, two)):
                shutil.copytree(store, path)
                for stage in given.stages:
                    began = time.perf_counter()
                    (outcome,) = run_stage(path, stage, scheduler=where.scheduler_address)
                    spent = time.perf_counter() - began
                    assert outcome.computed == (given.networks if at else 4)
                    if at:  # not what is compiled and loaded
                        seconds.setdefault((stage, workers), []).append(spent)
                        print(f"round {at}: {stage}, {workers}: {spent:.1f} s", flush=True)
                shutil.rmtree(path)
        load = os.getloadavg()[0]
    print(f"{given.networks} networks, median of {given.rounds} rounds")
    print(f"{os.cpu_count()} cores, load {load:.1f} of which two are the workers")
    print(f"{'stage':<10}{'1 worker, s':>12}{'2 workers, s':>14}{'scaling':>9}{'rounds':>20}")
    for stage in ("arithmetic", *given.stages):
        first, second = seconds[stage, 1], seconds[stage, 2]
        ratio = statistics.median(first) / statistics.median(second) / 2
        each = [a / b / 2 for a, b in zip(first, second, strict=True)]
        print(
            f"{stage:<10}{statistics.median(first):>12.1f}{statistics.median(second):>14.1f}"
            f"{ratio:>9.2f}{f'{min(each):.2f} to {max(each):.2f}':>20}"
        )


if __name__ == "__main__":
    main()
