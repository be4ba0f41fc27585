"""The LSTM, whose state is the hidden state and the cell state."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import ACTIVITY, Architecture, StatePart, TorchModule, recurrent
from solspace.networks.loops import in_vectors, run_trials
from solspace.networks.vectors import Vector, elementwise, sigmoid_parts, tanh_parts


def step(weights: Any, drive: Any, h: Any, c: Any) -> Any:
    """One step in torch."""
    i, f, g, o = (drive + recurrent(weights, h)).unbind(-2)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _cell(
    i: Vector, f: Vector, g: Vector, o: Vector, h: Vector, c: Vector
) -> tuple[Vector, Vector]:
    # Products of quotients as one quotient: to divide is what takes longest.
    (i, _, of_i), (f, _, of_f), (g, of_g) = sigmoid_parts(i), sigmoid_parts(f), tanh_parts(g)
    entering = of_i * of_g
    c = (f * c).times_plus(entering, i * g * of_f) / (entering * of_f)
    (o, _, of_o), (h, of_h) = sigmoid_parts(o), tanh_parts(c)
    return o * h / (of_o * of_h), c


_advance = elementwise(_cell, taken=6, given=2)


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, none, states):  # type: ignore[no-untyped-def]
    run_trials(x, start, w_in, w_rec, bias, none, states, 2, _advance)


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one network."""
    _run(*in_vectors(x, start, weights, gates=4), np.empty(0), states)


ARCHITECTURE = Architecture(
    name="lstm",
    description="i, f, o <- sigmoid(W h + V x + b); g <- tanh(W h + V x + b); c <- f c + i g; "
    "h <- o tanh(c)",
    title="LSTM",
    gates=("i", "f", "g", "o"),
    state=(ACTIVITY, StatePart("cell_state", "cell state")),
    step=step,
    compiled=compiled,
    kernel="solspace.training.kernels_lstm",
    torch_module=TorchModule("LSTM"),
    fit="solspace.features.fit:Lstm",
)
