"""What networks of interval reproduction do that their published graphs do not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from solspace import networks
from solspace.population.describe import architecture_of
from solspace.population.weights import network_weights
from solspace.tasks import get_task
from solspace.tasks.interval_reproduction import PULSE, READY_ON, output_symbol

__all__ = ["ANSWER", "SILENCE", "answers_late_set", "goes_again"]

TASK = get_task("interval_reproduction")
SILENCE = 3000  # steps after Ready without Set
ANSWER = 300  # steps after Set in which Go may follow


def goes_again(ds: xr.Dataset) -> NDArray[np.bool_]:
    """Which networks put out Go again and again after Ready, when no Set is given.

    Twice or more in the last third of ``SILENCE`` steps.
    """
    inputs = np.zeros((1, READY_ON + PULSE + SILENCE, len(TASK.inputs)))
    inputs[:, READY_ON : READY_ON + PULSE, TASK.inputs.index("ready")] = 1
    out = []
    for go in _go(ds, inputs):
        begins = np.diff(go[0, -SILENCE // 3 :].astype(int)) == 1
        out.append(begins.sum() >= 2)
    return np.array(out, dtype=bool)


def answers_late_set(ds: xr.Dataset, waits: Sequence[int]) -> NDArray[np.bool_]:
    """Which networks (rows) answer Set by Go that is given so many steps after Ready (columns)."""
    first = READY_ON + PULSE
    steps = first + max(waits) + 2 * PULSE + ANSWER
    inputs = np.zeros((len(waits), steps, len(TASK.inputs)))
    inputs[:, READY_ON:first, TASK.inputs.index("ready")] = 1
    for trial, wait in zip(inputs, waits, strict=True):
        trial[first + wait : first + wait + PULSE, TASK.inputs.index("set")] = 1
    out = []
    for go in _go(ds, inputs):
        # From when the pulse and its transient are over.
        begins = [first + wait + 2 * PULSE for wait in waits]
        out.append([g[b : b + ANSWER].any() for g, b in zip(go, begins, strict=True)])
    return np.array(out, dtype=bool).reshape(ds.sizes["network"], len(waits))


def _go(ds: xr.Dataset, inputs: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """By network, whether Go is put out (trial, time)."""
    architecture = architecture_of(ds)
    out = []
    for i in range(ds.sizes["network"]):
        _, output = networks.run(architecture, network_weights(ds, i), inputs)
        out.append(np.asarray(output_symbol(output[..., 0]) != 0))
    return out
