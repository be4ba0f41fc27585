"""The gated recurrent unit, by torch's convention (the reset gate after the product)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import Architecture, TorchModule, recurrent
from solspace.networks.loops import add_product, to_drive


def step(weights: Any, drive: Any, h: Any) -> Any:
    """One step in torch."""
    given = recurrent(weights, h)
    r = (drive[..., 0, :] + given[..., 0, :]).sigmoid()
    z = (drive[..., 1, :] + given[..., 1, :]).sigmoid()
    new = (drive[..., 2, :] + r * given[..., 2, :]).tanh()
    return (1 - z) * new + z * h


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias_in, bias_rec, states):  # type: ignore[no-untyped-def]
    n = w_rec.shape[0]
    one = states.dtype.type(1)
    drive = np.empty(3 * n, states.dtype)
    rec = np.empty(3 * n, states.dtype)
    h = np.empty(n, states.dtype)
    for trial in range(x.shape[0]):
        h[:] = start[trial]
        for t in range(x.shape[1]):
            to_drive(x[trial, t], w_in, bias_in, drive)
            rec[:] = bias_rec
            add_product(h, w_rec, rec)
            for u in range(n):
                r = one / (one + np.exp(-(drive[u] + rec[u])))
                z = one / (one + np.exp(-(drive[n + u] + rec[n + u])))
                new = np.tanh(drive[2 * n + u] + r * rec[2 * n + u])
                h[u] = (one - z) * new + z * h[u]
            states[trial, t] = h


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one network."""
    both = weights["bias_ih"], weights["bias_hh"]
    _run(x, start, weights["weight_ih"], weights["weight_hh"], *both, states)


ARCHITECTURE = Architecture(
    name="gru",
    description="r, z <- sigmoid(W h + V x + b); n <- tanh(V x + b + r (W h + c)); "
    "h <- (1 - z) n + z h",
    title="GRU",
    gates=("r", "z", "n"),
    step=step,
    compiled=compiled,
    kernel="solspace.training.kernels_gru",
    # The reset gate comes between the two parts.
    input_apart=("n",),
    torch_module=TorchModule("GRU"),
    fit="solspace.features.fit:Gru",
)
