"""The gated recurrent unit, by torch's convention (the reset gate after the product)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from solspace.networks.base import Architecture, TorchModule, recurrent
from solspace.networks.loops import in_vectors, run_trials
from solspace.networks.vectors import Vector, elementwise, sigmoid, sigmoid_parts, tanh_parts


def step(weights: Any, drive: Any, h: Any) -> Any:
    """One step in torch."""
    given = recurrent(weights, h)
    r = (drive[..., 0, :] + given[..., 0, :]).sigmoid()
    z = (drive[..., 1, :] + given[..., 1, :]).sigmoid()
    new = (drive[..., 2, :] + r * given[..., 2, :]).tanh()
    return (1 - z) * new + z * h


def _cell(r: Vector, z: Vector, recurrent: Vector, given: Vector, h: Vector) -> Vector:
    # Both terms as one quotient: to divide is what takes longest.
    new, of_new = tanh_parts(sigmoid(r).times_plus(recurrent, given))
    keep, renew, of_z = sigmoid_parts(z)
    return renew.times_plus(new, keep * h * of_new) / (of_z * of_new)


_advance = elementwise(_cell, taken=5, given=1)


@njit(cache=True, nogil=True)
def _run(x, start, w_in, w_rec, bias, none, states):  # type: ignore[no-untyped-def]
    run_trials(x, start, w_in, w_rec, bias, none, states, 1, _advance)


def compiled(x: Any, start: Any, weights: Any, states: Any) -> None:
    """All steps of one network."""
    # The reset gate scales the recurrent part of n alone.
    _run(*in_vectors(x, start, weights, gates=3, apart=1), np.empty(0), states)


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
