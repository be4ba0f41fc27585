"""What a network answers to pulses, as the smallest machine that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solspace.labels.registry import Label

if TYPE_CHECKING:
    from solspace.networks import Weights
    from solspace.tasks import Task

__all__ = ["LABEL"]


def _of(
    task: Task, architecture: str, weights: Weights, *, notch: str | None = None
) -> tuple[str, str]:
    from solspace.responses import describe_machine, explore_responses, response_key
    from solspace.responses.stage import notch_of

    asked = notch_of(task, notch)
    machine = explore_responses(task, architecture, weights, asked)
    return response_key(machine, task, asked), describe_machine(machine, task, asked)


LABEL = Label(
    name="response_key",
    summary="what follows pulses, as the smallest machine that says so",
    compute=_of,
    stage="responses",
    words="response_description",
    options=lambda attrs: {"notch": attrs.get("response_notch") or None},
)
