"""Gradients of many two-neuron networks: `python benchmarks/two_neuron.py`.

Loss and gradient of one batch by `solspace.two_neuron.dynamics.loss_and_gradient` on one thread,
against torchdiffeq (``odeint``, rk4, the same steps, gradients by autograd) where it is installed
(`pip install torchdiffeq`), else against the same batch through RK4 under torch autograd. Prints
seconds, their ratio, the largest difference of gradients, and the integration error against SciPy's
DOP853 at 1e-10.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from solspace.two_neuron.dynamics import (
    DURATION,
    START,
    STEPS,
    TARGET,
    final_states,
    loss_and_gradient,
)


def rk4(field: Any, start: Any, times: Any) -> Any:
    """Final state, by the classical method, in torch."""
    x = start
    for t, following in pairwise(times):
        h = following - t
        k1 = field(t, x)
        k2 = field(t, x + h / 2 * k1)
        k3 = field(t, x + h / 2 * k2)
        k4 = field(t, x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def baseline(weights: np.ndarray) -> tuple[str, np.ndarray]:
    import torch

    torch.set_num_threads(1)
    w = torch.tensor(weights, requires_grad=True)
    start = torch.tensor(START, dtype=torch.float64).expand(len(weights), 2)
    times = torch.linspace(0, DURATION, STEPS + 1, dtype=torch.float64)

    def field(t: Any, x: Any) -> Any:
        return -x + (w @ torch.tanh(x)[..., None])[..., 0]

    try:
        from torchdiffeq import odeint

        name = "torchdiffeq rk4"
        # Its "rk4" is the 3/8 rule, of the same order and cost.
        end = odeint(field, start, times, method="rk4")[-1]
    except ImportError:
        name = "torch autograd through RK4"
        end = rk4(field, start, times)
    loss = ((end - torch.tensor(TARGET, dtype=torch.float64)) ** 2).sum() / 2
    loss.backward()
    return name, w.grad.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    weights = rng.uniform(-2, 2, (options.networks, 2, 2))
    loss_and_gradient(weights[:1])  # compile
    began = time.perf_counter()
    _, ours = loss_and_gradient(weights)
    own = time.perf_counter() - began
    began = time.perf_counter()
    name, theirs = baseline(weights)
    other = time.perf_counter() - began
    exact = [
        solve_ivp(
            lambda t, x, w=w: -x + w @ np.tanh(x),
            (0, DURATION),
            START,
            method="DOP853",
            rtol=1e-10,
            atol=1e-12,
        ).y[:, -1]
        for w in weights[:200]
    ]
    error = np.abs(final_states(weights[:200]) - exact).max()
    print(f"{options.networks} networks, {STEPS} steps, loss and gradient, one thread")
    print(f"solspace              {own:9.4f} s  {own / len(weights) * 1e6:8.1f} us a network")
    print(f"{name:20}  {other:9.4f} s  {other / own:8.1f} times as long")
    print(f"largest difference of gradients {np.abs(ours - theirs).max():.1e}")
    print(f"largest error of the final state {error:.1e}")


if __name__ == "__main__":
    main()
