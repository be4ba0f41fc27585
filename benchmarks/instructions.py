"""The instruction sets of this processor, and how a process is told to leave the rest alone."""

from __future__ import annotations

__all__ = ["LANES", "instruction_sets"]

# Of float32, in a vector.
LANES = {"AVX-512": 16, "AVX2": 8, "x86-64-v2": 4}


def instruction_sets() -> dict[str, dict[str, str]]:
    """Environments of processes, by instruction set; nothing is told for the largest there is."""
    from solspace.training.vectors import tiles
    from validation.processors import HERE, PROCESSORS

    told = {"AVX2": PROCESSORS["avx2"], "x86-64-v2": PROCESSORS["x86-64-v2"]}
    here = tiles().lanes
    return {
        name: PROCESSORS[HERE] if lanes == here else told[name]
        for name, lanes in LANES.items()
        if lanes <= here
    }
