"""What networks and recordings of one's own cost.

    python benchmarks/own_data.py [--trials 1200] [--networks 16]

Recordings: spikes counted in bins of 10 ms around an event of each trial, beside pynapple's
`build_tensor` on the same spikes and trials, whose counts are compared; then the same with rates.
Networks: recorded on the task's trials as a compiled GRU, as the same network of two layers in
torch, and as a module with `step` and `readout`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import solspace
from solspace.networks import stepped_architecture

TASK = "interval_reproduction"
UNITS, RATE, SECONDS = 30, 20.0, 1.4
HIDDEN = 30


def seconds(function: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """Median of a few runs, and what the last one gave."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        out = function()
        times.append(time.perf_counter() - begun)
    return float(np.median(times)), out


def recordings(trials: int) -> None:
    import pynapple as nap

    rng = np.random.default_rng(0)
    # On a grid of 0.1 ms between edges of bins, so that no spike lies on one.
    starts = np.arange(trials) * 2.0 + 1.0
    grid = int((starts[-1] + 2.0) * 1e4)
    many = int(RATE * grid / 1e4)
    spikes = [
        np.unique(rng.integers(0, grid // 100, many) * 100 + rng.integers(1, 100, many)) / 1e4
        for _ in range(UNITS)
    ]
    columns = {"at_time": starts}
    how: Any = {"align": "at_time", "window": (0, SECONDS * 1e3)}
    ours, ds = seconds(lambda: solspace.recording_from_spikes(spikes, columns, smooth=None, **how))
    group = nap.TsGroup({i: nap.Ts(t) for i, t in enumerate(spikes)})
    windows = nap.IntervalSet(starts, starts + SECONDS)
    theirs, tensor = seconds(lambda: nap.build_tensor(group, windows, bin_size=0.01), 1)
    counts = ds.activity.values[0].transpose(2, 0, 1)
    bins = min(counts.shape[2], tensor.shape[2])
    unlike = int((counts[..., :bins] != tensor[..., :bins]).sum())
    rates, _ = seconds(lambda: solspace.recording_from_spikes(spikes, columns, **how))
    print(f"{UNITS} units, {trials} trials of {SECONDS:g} s, {sum(map(len, spikes)):,} spikes")
    print(f"  counts: {ours:.2f} s; pynapple {theirs:.2f} s, {theirs / ours:.1f} times as long")
    print(f"  {unlike} of {counts.size:,} bins have another count")
    print(f"  rates: {rates:.2f} s, {rates / ours:.1f} times as long as counts")


def networks(count: int) -> None:
    import torch

    class Stepped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = torch.nn.GRUCell(2, HIDDEN), torch.nn.Linear(HIDDEN, 1)

        def step(self, state: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
            return self.cell(given, state)

        def readout(self, state: torch.Tensor) -> torch.Tensor:
            return self.out(state)

    def layers(n: int) -> torch.nn.Module:
        return torch.nn.ModuleDict(
            {"rnn": torch.nn.GRU(2, HIDDEN, num_layers=n), "out": torch.nn.Linear(HIDDEN, 1)}
        )

    torch.manual_seed(0)
    solspace.register_architecture(stepped_architecture("stepped", Stepped(), units=HIDDEN))
    took = {}
    for architecture, make in (
        ("gru", lambda: layers(1)),
        ("gru_2layers", lambda: layers(2)),
        ("stepped", Stepped),
    ):
        ds = solspace.import_networks(TASK, architecture, {f"n{i}": make() for i in range(count)})
        solspace.record(ds)  # compiles
        took[architecture], _ = seconds(lambda ds=ds: solspace.record(ds))
    print(f"{count} networks of {HIDDEN} units recorded on the {TASK} trials")
    for name, its in took.items():
        print(f"  {name}: {1e3 * its / count:.1f} ms each, {its / took['gru']:.1f} times the GRU's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1200)
    parser.add_argument("--networks", type=int, default=16)
    given = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were not trained
        recordings(given.trials)
        networks(given.networks)


if __name__ == "__main__":
    main()
