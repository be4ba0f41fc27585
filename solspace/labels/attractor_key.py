"""What the network settles to when it is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solspace.labels.registry import Label

if TYPE_CHECKING:
    from solspace.networks import Weights
    from solspace.tasks import Task

__all__ = ["LABEL"]


def _of(task: Task, architecture: str, weights: Weights, *, steps: int = 20_000) -> tuple[str, str]:
    from solspace.attractors.key import describe_ends, ends_of_network, key_of_ends
    from solspace.attractors.network import settle_network

    ends = ends_of_network(task, settle_network(task, architecture, weights, steps=steps))
    return key_of_ends(ends), describe_ends(ends)


LABEL = Label(
    name="attractor_key",
    summary="what the network settles to in long silence: how many points, and whether it moves on",
    compute=_of,
    stage="attractors",
    words="attractor_description",
    options=lambda attrs: {"steps": int(attrs.get("attractor_steps", 20_000))},
)
