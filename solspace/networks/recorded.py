"""Recordings: units that were recorded, in a brain or elsewhere, without weights."""

from __future__ import annotations

from solspace.networks.base import Architecture

ARCHITECTURE = Architecture(
    name="recorded",
    description="units that were recorded; no equations, no weights",
    kind="recorded",
    any_size=True,
    checkpoints=False,
)
