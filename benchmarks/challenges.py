"""What it costs to run networks over challenges, and to see them through electrodes.

    python benchmarks/challenges.py [--networks 8]

Challenges: the answers of networks to all challenges of interval reproduction, beside torch, which
runs the same networks over the same trials in batches of like length (one thread); both are read by
the same function, and how many answers are the same is said. Electrodes: a network as a recording
of 30 units in 5 conditions of 60 trials would see it, beside drawing the spikes of every trial,
smoothing each and averaging, with NumPy and SciPy.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import solspace
from solspace.design.asking import NAMES, stretch_array
from solspace.design.reading import read_answers
from solspace.locating.electrodes import Electrodes, see
from solspace.recordings.binning import smoothed
from solspace.tasks.symbols import read_symbols

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
TASK = "interval_reproduction"


def seconds(function: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """The least of a few runs, and what the last one gave."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        out = function()
        times.append(time.perf_counter() - begun)
    return min(times), out


def by_torch(architecture: str, ds: xr.Dataset, batch: int = 24) -> dict[str, NDArray[Any]]:
    """Answers of one network, run by torch."""
    import torch

    torch.set_num_threads(1)
    task = solspace.get_task(TASK)
    assert task.challenges is not None
    family = task.challenges()
    weights = solspace.network_weights(ds, 0)
    cell = {"vanilla": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[architecture]
    size = weights["weight_hh"].shape[-1]
    rnn = cell(len(task.inputs), size, batch_first=True).double()
    head = torch.nn.Linear(size, 1).double()
    with torch.no_grad():
        for name, own in (("weight_ih", "weight_ih_l0"), ("weight_hh", "weight_hh_l0"),
                          ("bias_ih", "bias_ih_l0"), ("bias_hh", "bias_hh_l0")):  # fmt: skip
            value = weights[name]
            shape = getattr(rnn, own).shape
            getattr(rnn, own).copy_(torch.tensor(value.reshape(shape)))
        head.weight.copy_(torch.tensor(weights["weight_out"]))
        head.bias.copy_(torch.tensor(weights["bias_out"]))
    stretches = stretch_array(family, family.challenges)
    out: dict[str, NDArray[Any]] = {}
    order = sorted(range(len(family)), key=lambda i: family.challenges[i].steps)
    for at in range(0, len(order), batch):
        block = order[at : at + batch]
        steps = family.challenges[block[-1]].steps
        given = np.zeros((len(block), steps, len(task.inputs)))
        for row, i in enumerate(block):
            given[row, : family.challenges[i].steps] = family.challenges[i].input(len(task.inputs))
        with torch.no_grad():
            output = head(rnn(torch.tensor(given))[0]).numpy()
        found = read_answers(
            read_symbols(task, output), stretches[block], shortest=family.shortest,
            held=family.held,
        )  # fmt: skip
        for name, values in zip(NAMES, found, strict=True):
            kept = out.setdefault(name, np.zeros(stretches.shape[:2], values.dtype))
            kept[block] = values
    return out


def challenges(networks: int) -> None:
    from solspace.design import network_answers

    task = solspace.get_task(TASK)
    assert task.challenges is not None
    family = task.challenges()
    for architecture in ("vanilla", "gru", "lstm"):
        ds = solspace.open_population(str(STORE), TASK, architecture)
        ds = ds.isel(network=slice(0, None, ds.sizes["network"] // networks)).load()
        ours = theirs = 0.0
        same = total = 0
        for i in range(ds.sizes["network"]):
            weights = solspace.network_weights(ds, i)

            def own(
                weights: Any = weights, architecture: str = architecture
            ) -> dict[str, NDArray[Any]]:
                return network_answers(task, architecture, weights, family, family.challenges)

            one = ds.isel(network=[i])
            if not i:
                own()  # compiles
            took, answered = seconds(own, 1)
            ours += took
            took, told = seconds(lambda one=one, a=architecture: by_torch(a, one), 1)  # type: ignore[misc]
            theirs += took
            same += int((answered["first"] == told["first"]).sum())
            total += answered["first"].size
        n = ds.sizes["network"]
        print(
            f"{architecture}, {len(family)} challenges: torch {theirs / n * 1e3:.0f} ms a network, "
            f"here {ours / n * 1e3:.0f} ms, {theirs / ours:.1f} times as fast; "
            f"{same} of {total} outputs begin alike"
        )


def electrodes() -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([[80, 80], [100, 100], [140, 140], [170, 170], [200, 200]])
    what = Electrodes(
        ("ready_set", "set_go"), lengths, np.full(5, 60.0), rng.lognormal(2.3, 0.8, 30), 1.0,
        10.0, 60.0,
    )  # fmt: skip
    activity = np.tanh(rng.normal(size=(5, 100, 50)).cumsum(axis=1) / 3)
    bounds = np.array([[[0, n // 4], [n // 4, n // 2]] for n in lengths.sum(axis=1) // 2])

    def trial_by_trial() -> NDArray[Any]:
        one = Electrodes(what.epochs, lengths, np.ones(5), what.rates, 1.0, what.bin, 0.0)
        total = 0.0
        for _ in range(60):
            seen = see(activity, bounds, one, np.random.default_rng(0))
            counts = np.nan_to_num(np.moveaxis(seen, -1, 1)) * what.bin / 1e3
            rows = counts.reshape(-1, counts.shape[-1])
            total = total + smoothed(rows, np.ones(rows.shape, bool), what.kernel_sd, what.bin)
        return np.asarray(total / 60)

    theirs, _ = seconds(trial_by_trial)
    ours, _ = seconds(lambda: see(activity, bounds, what, np.random.default_rng(0)))
    print(
        f"electrodes: trial by trial {theirs * 1e3:.0f} ms a network, here {ours * 1e3:.1f} ms, "
        f"{theirs / ours:.0f} times as fast"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--networks", type=int, default=8, help="of each architecture")
    args = parser.parse_args()
    challenges(args.networks)
    electrodes()


if __name__ == "__main__":
    main()
