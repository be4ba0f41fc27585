"""What individuality costs: `python benchmarks/individuality.py [--quick]`.

Selection vectors, effective inputs and the kernel of the choice of one trial of 68 steps, of leaky
networks of random weights, in float64 and one thread. The baseline is the plain way: torch's
autograd for the Jacobian of each step with respect to state and inputs, and numpy's eigenvectors of
each. Both give the same numbers, which is checked. Then the whole of `individual_of`, with fixed
points in both contexts; and 10,000 permutations of 20 x 25 correlations of 400 networks, beside a
loop over pairs with scipy, timed for 20 permutations.

``--quick`` takes 20 units alone.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from solspace import get_task
from solspace.fixed_points import cell_of, jacobian
from solspace.individuality import individual_of, linearise, permute_rho, slow_mode
from solspace.networks import parameter_shapes

SIZES = (20, 50)


def network(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    shapes = parameter_shapes("leaky", n, 4, 1)
    weights = {name: rng.normal(0, 0.9 / np.sqrt(n), shape) for name, shape in shapes.items()}
    weights["alpha"] = np.array(0.2)
    return weights


def plain(weights: dict[str, np.ndarray], trial: np.ndarray) -> np.ndarray:
    """The kernel by autograd, with the eigenvectors of every step."""
    own = {name: torch.tensor(w, dtype=torch.float64) for name, w in weights.items()}

    def step(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        drive = own["weight_ih"][0] @ x + own["weight_hh"][0] @ h
        new = torch.tanh(drive + own["bias_ih"][0] + own["bias_hh"][0])
        return (1 - own["alpha"]) * h + own["alpha"] * new

    h = torch.zeros(weights["weight_hh"].shape[-1], dtype=torch.float64)
    by_state, by_input = [], []
    for x in torch.tensor(trial, dtype=torch.float64):
        to_state, to_input = torch.autograd.functional.jacobian(step, (h, x))
        by_state.append(to_state.numpy())
        by_input.append(to_input.numpy()[:, :2])
        np.linalg.inv(np.linalg.eig(to_state.numpy())[1])  # left eigenvectors
        h = step(h, x)
    s, kernel = weights["weight_out"][0], np.empty((len(trial), 2))
    for t in range(len(trial) - 1, -1, -1):
        kernel[t] = s @ by_input[t]
        s = s @ by_state[t]
    return kernel


def ours(weights: dict[str, np.ndarray], trial: np.ndarray) -> np.ndarray:
    """The kernel, with the slowest mode of every step."""
    found = linearise("leaky", weights, trial, [0, 1])
    readout = weights["weight_out"][0]
    for given, state in zip(trial, found.states, strict=True):
        slow_mode(jacobian(cell_of("leaky", weights, given), state), readout)
    return found.kernel


def seconds(call, times: int = 3) -> float:  # type: ignore[no-untyped-def]
    took = []
    for _ in range(times):
        start = time.process_time()
        call()
        took.append(time.process_time() - start)
    return min(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    task = get_task("context_integration")
    assert task.contexts is not None
    contexts, recorded = task.contexts(), task.recorded_trials().input
    trial = np.asarray(contexts.neutral[0], np.float64)
    print("| units | plain (s) | ours (s) | times | all of a network (s) |\n|---|---|---|---|---|")
    with threadpool_limits(1):
        for n in SIZES[:1] if quick else SIZES:
            # Of random networks some do not tell contexts apart; the first that does.
            for seed in range(n, n + 200):
                weights = network(n)
                rng = np.random.default_rng(seed)
                weights = {k: w if k == "alpha" else rng.permuted(w) for k, w in weights.items()}
                try:
                    individual_of("leaky", weights, contexts, task.inputs, recorded)
                    break
                except ValueError:
                    continue
            # Differences in float64 on one side, derivatives on the other.
            np.testing.assert_allclose(ours(weights, trial), plain(weights, trial), atol=1e-8)
            slow = seconds(lambda w=weights: plain(w, trial))
            fast = seconds(lambda w=weights: ours(w, trial))
            whole = seconds(
                lambda w=weights: individual_of("leaky", w, contexts, task.inputs, recorded)
            )
            print(f"| {n} | {slow:.3f} | {fast:.4f} | {slow / fast:.0f} | {whole:.3f} |")
        from scipy.stats import spearmanr

        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(400, 20)), rng.normal(size=(400, 25))
        few = 20

        def loop() -> None:
            for _ in range(few):
                order = rng.permutation(400)
                for a in x.T:
                    for b in y[order].T:
                        spearmanr(a, b)

        slow = seconds(loop, 1) / few * 10_000
        fast = seconds(lambda: permute_rho(x, y, np.zeros(400), 10_000), 1)
        print(
            f"\n10,000 permutations of 500 pairs: {fast:.1f} s; pair by pair {slow:.0f} s, "
            f"{slow / fast:.0f} times as long"
        )


if __name__ == "__main__":
    main()
