"""Speed of one gradient step, compiled kernel against torch.nn.RNN (or GRU, LSTM).

    python benchmarks/training.py [--architecture gru]

A step is forward, backward, clipping and Adam on a batch of 32 trials of interval reproduction
(150 time steps). What is compared is timed in turns, several rounds, best round each, so that
other work on the machine falls on all alike. One compiled kernel runs per thread, each on its own
network, as `solspace train` does.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from solspace.networks import architecture_names, get_architecture
from solspace.tasks import get_task
from solspace.training import initial_weights, training_trials
from solspace.training.steps import Steps, make_steps

SIZES = (20, 30, 40, 50)


def make(size: int, architecture: str, seed: int, device: str | None) -> Steps:
    task = get_task("interval_reproduction")
    start = initial_weights(
        architecture,
        size,
        inputs=len(task.inputs),
        outputs=len(task.outputs),
        init="default",
        rng=np.random.default_rng(seed),
    )
    recipe = task.recipe("vanilla")
    return make_steps(architecture, start, training_trials(task, seed), recipe, device)


def seconds_per_step(networks: list[Steps], steps: int, pool: ThreadPoolExecutor) -> float:
    """Wall time of one gradient step, all networks training at once, one thread each."""
    batches = np.random.default_rng(0).integers(128, size=(steps, 32))
    rates = np.full(steps, 2e-3)
    begun = time.perf_counter()
    list(pool.map(lambda network: network.advance(batches, rates), networks))
    return (time.perf_counter() - begun) / (steps * len(networks))


def gemm_flops() -> float:
    """Float32 matrix product, operations per second on one thread."""
    import torch

    torch.set_num_threads(1)
    a = torch.randn(1024, 1024)
    best = np.inf
    for _ in range(5):
        begun = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begun)
    return 2 * 1024**3 / best


def step_operations(architecture: str, n: int, batch: int = 32, time_steps: int = 150) -> float:
    """Multiplications and additions of the three products of a step (2 inputs, 1 output)."""
    rows, columns = len(get_architecture(architecture).gates) * n + 1, n + 3
    return 2 * batch * (time_steps + 1) * rows * (columns + n + columns)


class Row(NamedTuple):
    """One size: seconds of a gradient step, and the kernel's operations per second."""

    size: int
    torch: float  # on one thread
    torch_default: float
    one: float  # the kernel on one thread
    all: float  # on as many threads as there are cores, at most 2
    flops: float
    of_peak: float


def measure(
    architecture: str, rounds: int, threads: int, told: Callable[[Row], None] = lambda row: None
) -> list[Row]:
    """A row for each size, the best of some rounds in which all take turns."""
    import torch

    default_threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads)

    def with_torch(network: Steps, torch_threads: int) -> Callable[[], float]:
        def run() -> float:
            torch.set_num_threads(torch_threads)
            return seconds_per_step([network], 6, pool)

        return run

    rows = []
    for size in SIZES:
        networks = [make(size, architecture, seed, None) for seed in range(threads)]
        reference = make(size, architecture, 0, "cpu")
        for network in networks:  # compile or load
            seconds_per_step([network], 2, pool)
        steps = (int(200 * (20 / size) ** 2) + 20) // len(get_architecture(architecture).gates)
        contestants: dict[str, Callable[[], float]] = {
            "torch": with_torch(reference, 1),
            "torch default": with_torch(reference, default_threads),
            "one": lambda n=networks, s=steps: seconds_per_step(n[:1], s, pool),
            "all": lambda n=networks, s=steps: seconds_per_step(n, s, pool),
            "gemm": lambda: 1 / gemm_flops(),
        }
        taken = [{name: run() for name, run in contestants.items()} for _ in range(rounds)]
        best = {name: min(r[name] for r in taken) for name in contestants}
        flops = step_operations(architecture, size) / best["one"]
        rows.append(
            Row(size, *(best[name] for name in ("torch", "torch default", "one", "all")),
                flops, flops * best["gemm"])
        )  # fmt: skip
        told(rows[-1])
    torch.set_num_threads(default_threads)
    return rows


def mix(rows: Sequence[Row]) -> tuple[float, float]:
    """How many times torch's faster way, over all sizes: on one thread, and on all."""
    theirs = sum(min(row.torch, row.torch_default) for row in rows)
    return theirs / sum(row.one for row in rows), theirs / sum(row.all for row in rows)


def main() -> None:
    import torch

    names = architecture_names("recurrent")
    compiled = [name for name in names if get_architecture(name).kernel]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="vanilla", choices=compiled)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="rows as JSON, for other scripts")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(2, cores or 1)
    if options.json:
        rows = measure(options.architecture, options.rounds, threads)
        print(json.dumps([row._asdict() for row in rows]))
        return
    default = torch.get_num_threads()
    print(f"{cores} cores, torch {torch.__version__}, {default} threads by default")
    print(f"{options.architecture}: ms per gradient step (batch 32 x 150 steps)")
    print(
        f"{'size':>5} {'torch, 1 thread':>16} {'default':>8} {'kernel, 1 thread':>17} "
        f"{threads} threads {'ratio':>7} {'GFLOP/s':>8} {'of GEMM peak':>13}"
    )

    def told(row: Row) -> None:
        ratio = min(row.torch, row.torch_default) / row.all
        print(
            f"{row.size:>5} {row.torch * 1e3:>16.2f} {row.torch_default * 1e3:>8.2f} "
            f"{row.one * 1e3:>17.3f} {row.all * 1e3:>9.3f} "
            f"{ratio:>7.1f} {row.flops / 1e9:>8.0f} {row.of_peak:>12.0%}",
            flush=True,
        )

    one, both = mix(measure(options.architecture, options.rounds, threads, told))
    print(
        f"mix of sizes: {one:.1f} times torch on one thread, "
        f"{both:.1f} times on {threads} (against the faster of torch's two)"
    )


if __name__ == "__main__":
    main()
