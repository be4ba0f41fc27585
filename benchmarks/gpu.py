"""Populations trained on a GPU: whether it is right there, how fast a step is, how long all takes.

    python benchmarks/gpu.py [--quick] [--write]

First the gradients of every architecture on the device against those of the compiled kernels, and
a few gradient steps; then gradient steps of 400 networks at once, forward, backward, clipping and
Adam, in float32 without TF32; then populations of 400 networks (100 of each size) trained by the
recipes of record through a store, as `solspace train --device` does, each for as long as it takes.
``--quick`` leaves out the last. Seconds are of the wall, so nothing else should run on the GPU.
``--write`` puts the tables into docs/performance.md. Without a GPU it says so and ends; ``--device
cpu --networks 4 --quick`` tries the script there.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

from solspace import networks
from solspace.errors import SolspaceError
from solspace.population import new_population
from solspace.run.loop import run_stage
from solspace.run.populations import create_population
from solspace.tasks import get_task
from solspace.training import initial_weights, training_trials
from solspace.training.batched import AtOnce, BatchedSteps
from solspace.training.steps import make_steps

SIZES = (20, 30, 40, 50)
POPULATIONS = (
    ("interval_reproduction", "vanilla"),
    ("interval_reproduction", "gru"),
    ("interval_reproduction", "lstm"),
    ("interval_discrimination", "vanilla"),
    ("delayed_discrimination", "vanilla"),
)
ARCHITECTURES = ("vanilla", "relu", "leaky", "leaky_rate", "gru", "lstm")
ROOT = Path(__file__).resolve().parent.parent


def start(task: str, architecture: str, size: int, seed: int) -> dict[str, np.ndarray]:
    return initial_weights(
        architecture, size, inputs=len(get_task(task).inputs), outputs=len(get_task(task).outputs),
        init="default", rng=np.random.default_rng(seed),
    )  # fmt: skip


def flat(weights: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([weights[name].ravel() for name in networks.PARAMETERS])


def differences(device: str) -> list[tuple[str, float, float]]:
    """Of the gradient and of 20 steps, relative to what they are, for each architecture."""
    task = "interval_reproduction"
    out = []
    for architecture in ARCHITECTURES:
        recipe = get_task(task).recipe("vanilla")
        trials, weights = training_trials(task, 0), start(task, architecture, 50, 0)
        here = make_steps(architecture, weights, trials, recipe)
        there = AtOnce(device).make(architecture, weights, trials, recipe)
        rng = np.random.default_rng(0)
        exact, found = (flat(s.gradient(np.arange(32))[1]) for s in (here, there))
        batches = rng.integers(len(trials), size=(20, 32))
        for steps in (here, there):
            steps.advance(batches, np.full(20, 1e-3))
        after = [flat(s.weights()) for s in (here, there)]
        moved = np.linalg.norm(after[0] - flat(weights))
        out.append(
            (
                architecture,
                float(np.linalg.norm(found - exact) / np.linalg.norm(exact)),
                float(np.linalg.norm(after[1] - after[0]) / moved),
            )
        )
    return out


def seconds_per_step(
    task: str, architecture: str, count: int, device: str, rows: int
) -> tuple[float, float]:
    """Seconds of one gradient step of all networks, all counted, and its share of the look."""
    at_once = AtOnce(device)
    recipe = dataclasses.replace(get_task(task).recipe(architecture), check_every=rows)
    waiting: list[BatchedSteps] = []
    for k in range(count):
        weights = start(task, architecture, SIZES[k % 4], k)
        steps = at_once.make(architecture, weights, training_trials(task, k), recipe)
        assert isinstance(steps, BatchedSteps)
        waiting.append(steps)
    trials = len(training_trials(task, 0))

    def once(steps: int) -> float:
        for one in waiting:
            if steps:
                picked = np.random.default_rng(0).integers(trials, size=(steps, recipe.batch_size))
                one.advance(picked, np.full(steps, 1e-4))
        begun = time.perf_counter()
        at_once.run(waiting)
        return time.perf_counter() - begun

    once(rows)  # buffers, the capture
    look = min(once(0) for _ in range(3))
    return min(once(rows) for _ in range(3)) / rows, look / rows


def trained(
    task: str, architecture: str, count: int, device: str, folder: str
) -> tuple[float, float, float]:
    """Seconds, share trained, and median of the gradient steps of a population of record."""
    path = f"{folder}/{task}_{architecture}.zarr"
    ds = new_population(task, architecture, networks=count, hidden_size=list(SIZES), seed=0)
    create_population(path, ds)
    begun = time.perf_counter()
    run_stage(path, "train", options={"device": device}, progress=True)
    took = time.perf_counter() - begun
    stored = xr.open_zarr(path, group=f"{task}/{architecture}").load()
    good = stored.status_train.values == 1
    steps = stored.gradient_steps.values[good]
    return took, float(good.mean()), float(np.median(steps)) if len(steps) else float("nan")


def device_name(device: str) -> str:
    import torch

    found = networks.get_device(device)
    if found.type == "cuda":
        name = torch.cuda.get_device_name(found)
        return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}"
    return f"{found.type} ({platform.machine()}), torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--networks", type=int, default=400, help="of each population")
    parser.add_argument("--steps", type=int, default=50, help="between two looks, where timed")
    parser.add_argument("--only", nargs="+", metavar="TASK/ARCHITECTURE", help="not all five")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the stores that are trained there")
    parser.add_argument("--quick", action="store_true", help="train no population")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    try:
        name = device_name(options.device)
    except SolspaceError as error:
        sys.exit(f"nothing is measured: {error}")
    lines: list[str] = []

    def say(line: str = "") -> None:
        print(line, flush=True)
        lines.append(line)

    chosen = [p for p in POPULATIONS if not options.only or "/".join(p) in options.only]
    say(f"On {name}: the difference from the compiled kernels, relative to what is compared.")
    say()
    say("| architecture, 50 units | gradient | where 20 steps lead |")
    say("|---|---|---|")
    for architecture, gradient, steps in differences(options.device):
        say(f"| {architecture} | {gradient:.1e} | {steps:.1e} |")
    say()
    say(f"{options.networks} networks at once, sizes {', '.join(map(str, SIZES))} in turn:")
    say()
    say("| population | a gradient step of all, ms | of that the look at all losses, ms |")
    say("|---|---|---|")
    for task, architecture in chosen:
        step, look = seconds_per_step(
            task, architecture, options.networks, options.device, options.steps
        )
        say(f"| {task}/{architecture} | {1e3 * step:.2f} | {1e3 * look:.2f} |")
    if not options.quick:
        say()
        say(f"Populations of {options.networks} networks by the recipes of record:")
        say()
        say("| population | minutes | trained | median gradient steps |")
        say("|---|---|---|---|")
        total = 0.0
        with tempfile.TemporaryDirectory() as folder:
            for task, architecture in chosen:
                took, share, steps = trained(
                    task, architecture, options.networks, options.device, options.keep or folder
                )
                total += took
                say(f"| {task}/{architecture} | {took / 60:.1f} | {share:.1%} | {steps:,.0f} |")
        say(f"| together | {total / 60:.1f} | | |")
    if options.write:
        sys.path.insert(0, str(ROOT))
        from docs.pages import write_part

        write_part(ROOT / "docs" / "performance.md", __file__, "\n".join(lines))


if __name__ == "__main__":
    main()
