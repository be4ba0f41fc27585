"""What the stage challenge costs: `python benchmarks/challenging.py [--quick]`.

Networks of context_integration with random weights, of 20, 30, 40 and 50 units, over all challenges
of the task. The baseline is what is written at first: for each network and each challenge one loop
over time in torch, all repeats at once, in float32. Both take the same inputs on one thread, in
processor seconds; ours is that of the whole stage, measures included.

``--quick`` takes one network of each size in place of four.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch

import solspace
from solspace.networks import parameter_shapes
from solspace.population import network_weights
from solspace.tasks import get_task
from solspace.tasks.input_challenges import InputChallengeFamily

SIZES = (20, 30, 40, 50)


def plain(weights: dict[str, np.ndarray], family: InputChallengeFamily) -> np.ndarray:
    """Outputs to all challenges, one after the other."""
    own = {name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}
    w_in, w, w_out = own["weight_ih"][0].T, own["weight_hh"][0].T, own["weight_out"].T
    bias = (own["bias_ih"] + own["bias_hh"])[0]
    out = np.full((len(family), family.most_repeats), np.nan, np.float32)
    with torch.no_grad():
        for k, one in enumerate(family.challenges):
            given = torch.from_numpy(one.inputs(0))
            h = torch.zeros(one.repeats, len(bias))
            output = []
            for t in range(one.steps):
                h = h + own["alpha"] * (torch.tanh(given[:, t] @ w_in + h @ w + bias) - h)
                output.append(h @ w_out + own["bias_out"])
            asked = torch.stack(output[slice(*one.asked)]).mean(dim=0)
            out[k, : one.repeats] = asked[:, family.output].numpy()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one network of each size")
    each = 1 if parser.parse_args().quick else 4
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rng, mine = np.random.default_rng(0), {}
    for k, n in enumerate(SIZES * each):
        shapes = parameter_shapes("leaky", n, 4, 1)
        mine[f"network_{k}"] = {
            name: rng.normal(0, 1 / np.sqrt(n), shape) for name, shape in shapes.items()
        } | {"alpha": np.array(0.2)}
    ds = solspace.import_networks("context_integration", "leaky", mine)
    family = get_task("context_integration").challenges()
    solspace.challenge(ds.isel(network=[0]))  # compiles
    begun = time.process_time()
    found = solspace.challenge(ds)
    ours = time.process_time() - begun
    begun = time.process_time()
    outputs = np.stack([plain(network_weights(ds, i), family) for i in range(len(mine))])
    theirs = time.process_time() - begun
    apart = np.nanmax(abs(outputs - found.challenge_output.values))
    print(f"{len(mine)} networks, {len(family)} challenges, {found.challenge_output.dtype}")
    print(f"torch, network by network and challenge by challenge: {theirs / len(mine):.2f} s each")
    print(f"solspace.challenge: {ours / len(mine):.3f} s each, {theirs / ours:.0f} times as fast")
    print(f"outputs differ by {apart:.1e} at most")


if __name__ == "__main__":
    main()
