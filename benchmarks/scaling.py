"""Cost of one network-step as the population grows: flat where the store and its loops are.

    python benchmarks/scaling.py [--networks 100 1000 10000]

Populations of tiny networks are created in a store and trained for a few steps each through all of
`solspace train`, so that what grows faster than the number of networks shows: reads of the
status, openings of arrays for each shard, numbering, the gathering of metadata. The baseline is the
smallest population of the same run; seconds are this process's processor time, which other work
on the machine does not change much.
"""

from __future__ import annotations

import argparse
import tempfile
import time

from solspace.population import new_population
from solspace.run.loop import run_stage
from solspace.run.populations import create_population
from solspace.tasks import Recipe

STEPS = 2
RECIPE = Recipe(
    target_loss=1e-9, max_steps=STEPS, learning_rate=1e-3, attempts=1, check_every=STEPS
)


def seconds(networks: int, folder: str) -> tuple[float, float]:
    """Processor seconds to create a population and to train it."""
    begun = time.process_time()
    ds = new_population(
        "interval_reproduction", "vanilla", networks=networks, hidden_size=4, recipe=RECIPE
    )
    path = f"{folder}/{networks}.zarr"
    create_population(path, ds, shard_size=8)
    created = time.process_time()
    run_stage(path, "train")
    return created - begun, time.process_time() - created


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, nargs="+", default=[100, 1000, 10_000])
    options = parser.parse_args()
    print(f"vanilla, 4 units, {STEPS} steps of interval reproduction each, shards of 8 networks")
    print(
        f"{'networks':>9} {'create, s':>9} {'train, s':>9} {'ms per network-step':>20} {'ratio':>6}"
    )
    with tempfile.TemporaryDirectory() as folder:
        seconds(16, folder)  # compile or load
        baseline = 0.0
        for networks in options.networks:
            create, train = seconds(networks, folder)
            each = (create + train) / (networks * STEPS)
            baseline = baseline or each
            print(
                f"{networks:>9} {create:>9.2f} {train:>9.2f} {each * 1e3:>20.3f} "
                f"{each / baseline:>6.2f}"
            )


if __name__ == "__main__":
    main()
