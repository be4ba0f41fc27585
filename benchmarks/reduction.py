"""How long the reduction of one network takes, and on what: `python benchmarks/reduction.py`.

Reads the reference networks in ``shared/reference`` beside the checkout. One core: set
OMP_NUM_THREADS=1 before.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from solspace import networks
from solspace.reduction import compaction, merging, probing, reduce_network

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "networks"

# Median seconds for one network of the published code on one core, as measured on these networks.
PUBLISHED = {
    "interval_reproduction/vanilla": 0.3,
    "interval_reproduction/gru": 2.6,
    "interval_reproduction/lstm": 1.5,
    "interval_discrimination/vanilla": 1.2,
    "delayed_discrimination/vanilla": 0.1,
}

# What each part is timed by. Parts do not call one another, only merging settles by simulation,
# which is taken out of it.
PARTS: dict[str, list[tuple[Any, str]]] = {
    "simulation": [(networks, "run")],
    "cycles": [(probing, "free_chain_loop"), (probing, "autocorrelation_loop")],
    "merging": [
        (merging.TrajectoryGraph, "attach"),
        (merging.TrajectoryGraph, "merge_components"),
        (merging.TrajectoryGraph, "join_sinks"),
    ],
    "compaction": [(compaction, "compact")],
}


def timed(call: Callable[..., Any], part: str, spent: dict[str, float]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        simulated, start = spent["simulation"], time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            inside = spent["simulation"] - simulated if part != "simulation" else 0.0
            spent[part] += time.perf_counter() - start - inside

    return wrapper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs a network (default 5)")
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    options = parser.parse_args()
    if not options.reference.exists():
        parser.error(f"no reference networks at {options.reference}")

    spent: dict[str, float] = defaultdict(float)
    originals = [(owner, name, getattr(owner, name)) for at in PARTS.values() for owner, name in at]
    columns = f"{'population':33}{'median':>9}{'max':>9}{'published':>11}{'ratio':>7}"
    print(columns + "".join(f"{part:>13}" for part in PARTS))
    for population, published in PUBLISHED.items():
        task, architecture = population.split("/")
        every = [
            networks.from_state_dict(
                networks.read_state_dict(str(path)), architecture, inputs=2, outputs=1
            )
            for path in sorted((options.reference / population).glob("*/weights.pt"))
        ]
        for weights in every:  # compile, or read what was compiled
            reduce_network(task, architecture, weights)
        seconds = []
        for weights in every:
            runs = []
            for _ in range(options.repeats):
                start = time.perf_counter()
                reduce_network(task, architecture, weights)
                runs.append(time.perf_counter() - start)
            seconds.append(float(np.median(runs)))
        spent.clear()
        for part, places in PARTS.items():
            for owner, name in places:
                setattr(owner, name, timed(getattr(owner, name), part, spent))
        start = time.perf_counter()
        for weights in every:
            reduce_network(task, architecture, weights)
        total = time.perf_counter() - start
        for owner, name, original in originals:
            setattr(owner, name, original)
        median = float(np.median(seconds))
        shares = "".join(f"{spent[part] / total:13.0%}" for part in PARTS)
        print(
            f"{population:33}{1e3 * median:6.1f} ms{1e3 * max(seconds):6.1f} ms"
            f"{1e3 * published:8.0f} ms{published / median:7.0f}{shares}"
        )


if __name__ == "__main__":
    main()
