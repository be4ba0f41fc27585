"""Planar networks: the ODE of two neurons, without inputs or readout (`solspace.two_neuron`)."""

from __future__ import annotations

from solspace.networks.base import Architecture

ARCHITECTURE = Architecture(
    name="planar",
    description="dx/dt = -x + W tanh(x)",
    kind="planar",
    hidden_size=2,
    any_size=False,
    checkpoints=False,
    batch=16,  # small networks
)
