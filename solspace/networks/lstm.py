"""The LSTM, whose state is the hidden state and the cell state."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import ACTIVITY, Architecture, StatePart, TorchModule, recurrent
from solspace.networks.loops import add_product, to_drive


def step(weights: Any, drive: Any, h: Any, c: Any) -> Any:
    """One step in torch."""
    i, f, g, o = (drive + recurrent(weights, h)).unbind(-2)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, states):  # type: ignore[no-untyped-def]
    n = w_rec.shape[0]
    one = states.dtype.type(1)
    drive = np.empty(4 * n, states.dtype)
    h = np.empty(n, states.dtype)
    c = np.empty(n, states.dtype)
    for trial in range(x.shape[0]):
        h[:] = start[trial, :n]
        c[:] = start[trial, n:]
        for t in range(x.shape[1]):
            to_drive(x[trial, t], w_in, bias, drive)
            add_product(h, w_rec, drive)
            for u in range(n):
                i = one / (one + np.exp(-drive[u]))
                f = one / (one + np.exp(-drive[n + u]))
                g = np.tanh(drive[2 * n + u])
                o = one / (one + np.exp(-drive[3 * n + u]))
                c[u] = f * c[u] + i * g
                h[u] = o * np.tanh(c[u])
            states[trial, t, :n] = h
            states[trial, t, n:] = c


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one network."""
    bias = weights["bias_ih"] + weights["bias_hh"]
    _run(x, start, weights["weight_ih"], weights["weight_hh"], bias, states)


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
