"""Adam on many two-neuron networks at once, each until its loss is low enough."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.two_neuron.dynamics import LANES, STEPS, as_weights, block_gradient

__all__ = ["INIT_BOUND", "Trained", "descend", "initial_weights"]

# Before training weights are uniform within this (Turner, Dabholkar & Barak 2021).
INIT_BOUND = 1.5


class Trained(NamedTuple):
    """Networks after training.

    Attributes
    ----------
    weights : array, float32, (network, 2, 2)
    loss : array (network,)
        Of these weights.
    gradient_steps : array, int64, (network,)
    """

    weights: NDArray[np.float32]
    loss: NDArray[np.float64]
    gradient_steps: NDArray[np.int64]


def initial_weights(seed: int) -> NDArray[np.float32]:
    """A network before training, from its own seed: uniform in [-1.5, 1.5], (2, 2).

    Examples
    --------
    >>> bool(np.abs(initial_weights(0)).max() <= 1.5)
    True
    """
    rng = np.random.default_rng(seed)
    return rng.uniform(-INIT_BOUND, INIT_BOUND, (2, 2)).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _descend(weights, loss_out, steps_out, settings):  # type: ignore[no-untyped-def]
    """Train weights (network, 4) in place.

    A lane whose network has ended takes the next one, so that no lane waits.
    """
    rate, beta1, beta2, target, most, grid = settings
    steps, most = int(grid), int(most)
    n = weights.shape[0]
    active, work = np.zeros((steps, 4, 2, LANES)), np.zeros((7, 2, LANES))
    w, rounded, gradient = np.zeros((4, LANES)), np.zeros((4, LANES)), np.zeros((4, LANES))
    first, second = np.zeros((4, LANES)), np.zeros((4, LANES))
    loss = np.zeros(LANES)
    done = np.zeros(LANES, np.int64)
    owner = np.full(LANES, -1, np.int64)
    waiting, busy = 0, 0
    while True:
        for k in range(LANES):
            if owner[k] < 0 and waiting < n:
                owner[k], done[k] = waiting, 0
                w[:, k] = weights[waiting]
                first[:, k], second[:, k] = 0.0, 0.0
                waiting += 1
                busy += 1
        if busy == 0:
            return
        # The loss is that of the weights as they are stored, in float32.
        for i in range(4):
            for k in range(LANES):
                rounded[i, k] = np.float32(w[i, k])
        block_gradient(rounded, steps, active, work, loss, gradient)
        for k in range(LANES):
            if owner[k] < 0:
                continue
            if loss[k] < target or done[k] == most:
                weights[owner[k]] = rounded[:, k]
                loss_out[owner[k]], steps_out[owner[k]] = loss[k], done[k]
                owner[k] = -1
                busy -= 1
                continue
            done[k] += 1
            for i in range(4):
                g = gradient[i, k]
                first[i, k] = beta1 * first[i, k] + (1 - beta1) * g
                second[i, k] = beta2 * second[i, k] + (1 - beta2) * g * g
                mean = first[i, k] / (1 - beta1 ** done[k])
                spread = np.sqrt(second[i, k] / (1 - beta2 ** done[k])) + 1e-8
                w[i, k] -= rate * mean / spread


def descend(
    weights: Any,
    *,
    learning_rate: float,
    target_loss: float,
    max_steps: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    grid: int = STEPS,
) -> Trained:
    """Train networks by Adam at a constant rate, each alone, until its loss is under the target.

    Parameters
    ----------
    weights : array (network, 2, 2)
        Before training.
    learning_rate, beta1, beta2 : float
    target_loss : float
        A network stops at its first loss below.
    max_steps : int
        A network that has not got there ends here.
    grid : int
        Steps of the integration.

    Examples
    --------
    >>> start = np.array([initial_weights(seed) for seed in range(20)])
    >>> trained = descend(start, learning_rate=0.03, target_loss=1e-4, max_steps=300)
    >>> bool((trained.loss < 1e-4).mean() > 0.5)
    True
    """
    flat = as_weights(weights).reshape(-1, 4).copy()
    loss, steps = np.full(len(flat), np.nan), np.full(len(flat), -1, np.int64)
    settings = (learning_rate, beta1, beta2, target_loss, float(max_steps), float(grid))
    _descend(flat, loss, steps, settings)
    return Trained(flat.reshape(-1, 2, 2).astype(np.float32), loss, steps)
