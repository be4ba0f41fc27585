"""What pairs of networks cost, beside the same numbers computed from scratch for every pair.

    python benchmarks/similarity.py [--quick] [--networks 40]

Baselines are the plain algorithms, which prepare both networks anew for each pair: Procrustes that
centres both and aligns them by the rotation found (as netrep's `LinearMetric` does it), linear CKA
by kernels of samples by samples, and a HAVOK fit by a singular value decomposition of the delay
coordinates themselves. Activity is random, of as many trials, steps and units as the vanilla
networks of interval reproduction have. Times are processor seconds, one thread, so that other work
on the machine tells less; ratios are what counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from solspace.similarity import fit_havok, get_measure, pairwise

TRIALS, STEPS, UNITS = 31, 150, 50


def seconds(function: Callable[[], Any], repeats: int) -> float:
    """Least of a few runs, in processor seconds."""
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        function()
        times.append(time.process_time() - begun)
    return min(times)


def activity(rng: np.random.Generator, units: int = UNITS) -> np.ndarray:
    """A random leaky network driven by two random inputs."""
    w = rng.normal(size=(units, units)) * 1.5 / np.sqrt(units)
    b = rng.normal(size=(units, 2))
    h, out = np.zeros((TRIALS, units)), np.zeros((TRIALS, STEPS, units))
    drive = rng.normal(size=(TRIALS, 2))
    for t in range(STEPS):
        drive = 0.9 * drive + rng.normal(size=drive.shape)
        h = 0.8 * h + 0.2 * np.tanh(h @ w.T + drive @ b.T)
        out[:, t] = h
    return out


def plain_procrustes(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    u, _, vh = np.linalg.svd(x.T @ y)
    x, y = x @ u, y @ vh.T
    return float(np.arccos(np.clip(np.sum(x * y) / np.linalg.norm(x) / np.linalg.norm(y), -1, 1)))


def plain_cka(x: np.ndarray, y: np.ndarray) -> float:
    k, m = x @ x.T, y @ y.T
    for kernel in (k, m):
        kernel -= kernel.mean(axis=0)
        kernel -= kernel.mean(axis=1, keepdims=True)
    return float(np.sum(k * m) / np.linalg.norm(k) / np.linalg.norm(m))


def plain_havok(x: np.ndarray, delays: int = 10, rank: int = 20) -> np.ndarray:
    rows = x.shape[1] - delays + 1
    delayed = np.concatenate([x[:, d : d + rows] for d in range(delays)], axis=-1)
    u, _, _ = np.linalg.svd(delayed.reshape(-1, delayed.shape[-1]), full_matrices=False)
    v = u[:, :rank].reshape(len(x), rows, rank)
    before, after = v[:, :-1].reshape(-1, rank), v[:, 1:].reshape(-1, rank)
    return np.linalg.lstsq(before, after, rcond=None)[0].T


def row(name: str, plain: float, ours: float) -> None:
    print(f"{name:<42}{plain * 1e3:>11.2f}ms{ours * 1e3:>11.3f}ms{plain / ours:>9,.0f}x")


def per_pair(name: str, nets: list[np.ndarray], repeats: int) -> float:
    """Of one pair, once both are prepared."""
    measure = get_measure(name)
    shaped = [x if measure.of == "trajectories" else x.reshape(-1, x.shape[-1]) for x in nets]
    prepared = [measure.prepare(x) for x in shaped]
    return seconds(lambda: measure.row(prepared[0], prepared[1:]), repeats) / (len(nets) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run of each, and few networks")
    parser.add_argument("--networks", type=int, default=40, help="of which all pairs are timed")
    args = parser.parse_args()
    repeats = 1 if args.quick else 5
    count = 16 if args.quick else args.networks
    rng = np.random.default_rng(0)
    nets = [activity(rng) for _ in range(count)]
    flat = [x.reshape(-1, UNITS) for x in nets[:2]]
    few = nets[: min(count, 12)]
    with threadpool_limits(1):
        print(f"{'':<42}{'baseline':>13}{'here':>13}{'ratio':>10}")
        procrustes = seconds(lambda: plain_procrustes(*flat), repeats)
        row("Procrustes, a pair once prepared", procrustes, per_pair("procrustes", few, repeats))
        cka = seconds(lambda: plain_cka(*flat), 1)
        row("linear CKA, a pair once prepared", cka, per_pair("cka", few, repeats))
        havok = seconds(lambda: plain_havok(nets[0]), repeats)
        row("HAVOK fit of a network", havok, seconds(lambda: fit_havok(nets[0]), repeats))
        row("DSA, a pair once fitted", 2 * havok, per_pair("dsa", few, repeats))
        pairwise(nets[:2], "procrustes", workers=1)  # imports are not of what is measured
        whole = seconds(lambda: pairwise(nets, "procrustes", workers=1), 1)
    pairs = count * (count + 1) // 2
    print(f"\nall {pairs:,} pairs of {count} networks by Procrustes: {whole:.1f} processor seconds")
    total = whole / pairs * 400 * 401 / 2
    print(f"of 400 networks at that rate: {total:.0f} processor seconds")


if __name__ == "__main__":
    main()
