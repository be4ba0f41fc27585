"""What coverage and distances cost, and whether their intervals hold what they say.

    python benchmarks/diversity.py [--quick]

Cost: the rarefaction curve by formula beside its baseline, drawing networks and counting their
classes, and a whole `solution_coverage` and `compare_solutions` for more and more networks.
Intervals: distributions as the shipped populations have them by `graph_key` (estimated shares, the
unseen ones with them), and one with a long tail, are sampled again and again; of the intervals at
95 %, how many hold the truth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from solspace import compare_solutions, solution_coverage
from solspace.diversity import richness
from solspace.diversity.distance import total_variation
from solspace.diversity.labels import count_labels
from solspace.store import Store

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
DRAWS = 200  # of the baseline, for each size


def seconds(function: Callable[[], Any], repeats: int = 3) -> float:
    """Median of a few runs."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def drawn_curve(labels: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The baseline: draw so many networks, count their classes, again and again."""
    return np.array(
        [
            np.mean([len(np.unique(rng.permutation(labels)[:m])) for _ in range(DRAWS)])
            for m in sizes
        ]
    )


def cost() -> None:
    print(
        f"{'networks':>9}{'drawing':>10}{'formula':>10}{'ratio':>9}{'coverage':>10}{'compare':>9}"
    )
    for n in (400, 4_000, 40_000):
        baseline, formula, whole, apart = cost_of(n)
        print(
            f"{n:>9,}{baseline:>9.2f}s{formula * 1e3:>8.2f}ms{baseline / formula:>9,.0f}"
            f"{whole:>9.2f}s{apart:>8.2f}s"
        )


def cost_of(n: int) -> tuple[float, ...]:
    rng = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, 61) ** 1.5
    numbers = rng.choice(60, n, p=shares / shares.sum())
    labels = np.array([f"class_{i}" for i in range(60)])[numbers]
    counts = np.bincount(numbers)
    sizes = np.unique(np.linspace(1, n, 20).astype(int))
    return (
        seconds(lambda: drawn_curve(numbers, sizes, rng), repeats=1),
        seconds(lambda: richness.rarefaction_curve(counts, sizes)),
        seconds(lambda: solution_coverage(labels)),
        seconds(lambda: compare_solutions(labels, labels[::2])),
    )


def truths() -> dict[str, np.ndarray]:
    found = {}
    for population in Store(str(STORE)).populations():
        counts, _ = count_labels(population.open(), "graph_key")
        found[str(population)] = richness.estimated_shares(list(counts.values()))
    tail = 0.18 * np.geomspace(1, 0.01, 80)
    tail *= 0.18 / tail.sum()
    found["six large classes and a long tail"] = np.concatenate(
        [[0.42, 0.18, 0.09, 0.05, 0.04, 0.04], tail]
    )
    return found


def needed(shares: np.ndarray, target: float = 0.99) -> int:
    """Networks for this coverage on average, where the shares are known."""
    low, high = 0, 10**7
    while high - low > 1:
        middle = (low + high) // 2
        enough = (shares * (1 - shares) ** middle).sum() <= 1 - target
        low, high = (low, middle) if enough else (middle, high)
    return high


def intervals(samples: int, n: int = 400) -> None:
    print(f"\nshare of 95 % intervals that hold the truth, {n} networks, {samples} samples")
    print(f"{'':<36}{'coverage':>9}{'unseen':>8}{'classes at':>11}{'needed':>8}{'distance':>9}")
    print(f"{'':<36}{'':>9}{'':>8}{f'{n // 2}, {2 * n}':>11}{'':>8}{'0, .1':>9}")
    at = [n // 2, 2 * n]
    for name, shares in truths().items():
        rng = np.random.default_rng(0)
        expected = [(1 - (1 - shares) ** m).sum() for m in at]
        enough = needed(shares)
        moved = shares.copy()
        moved[shares.argmax()] -= 0.1
        moved[np.argsort(shares)[-4:-1]] += 0.1 / 3
        held = []
        for i, sample in enumerate(rng.multinomial(n, shares, size=samples)):
            found = solution_coverage(dict(enumerate(sample)), sizes=at, resamples=100, seed=i)
            values: dict[str, Any] = {str(k): v.values for k, v in found.data_vars.items()}

            def holds(name: str, truth: Any, values: dict[str, Any] = values) -> Any:
                low, high = values[f"{name}_low"], values[f"{name}_high"]
                return (low - 1e-12 <= truth) & (truth <= high + 1e-12)

            gaps = [
                total_variation(rng.multinomial(n, p), sample, resamples=200, seed=i)
                for p in (shares, moved)
            ]
            held.append(
                [
                    holds("coverage", shares[sample > 0].sum()),
                    holds("classes_unseen", (sample == 0).sum()),
                    *holds("expected_classes", expected),
                    holds("networks_for_coverage", enough),
                    *(d.low <= t <= d.high for d, t in zip(gaps, (0.0, 0.1), strict=True)),
                ]
            )
        c, u, below, above, m, same, apart = np.mean(held, axis=0)
        print(
            f"{name:<36}{c:>9.2f}{u:>8.2f}{f'{below:.2f}, {above:.2f}':>11}{m:>8.2f}"
            f"{f'{same:.2f}, {apart:.2f}':>11}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 samples instead of 200")
    cost()
    intervals(20 if parser.parse_args().quick else 200)


if __name__ == "__main__":
    main()
