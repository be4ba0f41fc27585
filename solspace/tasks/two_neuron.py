"""Two neurons, one ODE: from (1, 0) to (0, 1) in 10 units of time (Figure 1 of the paper).

There is no input and no readout: a network is the matrix W of dx/dt = -x + W tanh(x). Networks
are trained and taken apart by `solspace.two_neuron`; the one trial here says what is asked of
them, in steps of a tenth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solspace.tasks.recipe import Recipe
from solspace.tasks.task import Task
from solspace.tasks.trials import Trials

__all__ = ["TASK"]

STEPS = 100  # of a tenth of a unit of time: T = 10
TARGET = (0.0, 1.0)


def _trials(steps: int) -> Trials:
    """One trial without input; the target counts at its last trained step, where the task ends."""
    time = np.arange(steps + 1)
    target: NDArray[np.float32] = np.zeros((1, steps + 1, 2), np.float32)
    target[:, STEPS:] = TARGET
    return Trials(
        input=np.zeros((1, steps + 1, 0), np.float32),
        target=target,
        epoch=(time >= STEPS).astype(np.int8)[None],
        parameters={},
    )


TASK = Task(
    name="two_neuron",
    description="dx/dt = -x + W tanh(x) goes from (1, 0) to (0, 1) in 10 units of time",
    inputs=(),
    outputs=("x1", "x2"),
    epochs=("task", "end"),
    parameters={},
    training_trials=lambda rng: _trials(STEPS),
    recorded_trials=lambda: _trials(STEPS),
    extrapolation_trials=lambda: _trials(10 * STEPS),
    # Adam at a constant rate from W uniform in [-1.5, 1.5], one attempt: the shares of the kinds
    # of solutions follow the rate. At 0.01 rotating networks have 56 % of the solutions, at 0.1
    # 42 %, at this rate the 48 % of the published population.
    recipes={
        "planar": Recipe(
            target_loss=1e-4,
            max_steps=600,
            learning_rate=0.035,
            learning_rate_power=0.0,
            final_rate=1.0,
            beta2=0.999,
            clip=np.inf,
            batch_size=1,
            init="uniform",
            check_every=1,
            rollback_armed=0.0,
            attempts=1,
        ),
    },
)
