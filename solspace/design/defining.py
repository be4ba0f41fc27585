"""Which challenges a label is made from: choosing among those would be going in a circle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.tasks.challenges import LONG_WAIT, Challenge, ChallengeFamily, protocol_waits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from solspace.tasks import Task

__all__ = ["defining_challenges"]


def defining_challenges(
    task: Task, family: ChallengeFamily, label: str, attrs: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """Which challenges of a family define a label, (challenge,).

    - ``graph_key`` and ``automaton_key`` of the published graphs: what the task's ``probe`` gives,
      as the family's ``published`` says. Of graphs of other methods, which are made from pulses at
      any moment: all that the task's protocol can give.
    - ``response_key``: what the protocol can give where each wait is `LONG_WAIT` steps or more
      (long silence, for the label), or one at which the population's notch gives a pulse.
    - ``attractor_key``: the silences of the task.
    - ``solution``, ``solution_key``: those of the label that solutions follow.
    - Any other label: none, as it is not known what it is made from.

    Parameters
    ----------
    task : Task
    family : ChallengeFamily
    label : str
    attrs : mapping
        The population's attributes: by which label, method and notch it was labelled.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> task = get_task("interval_reproduction")
    >>> family = task.challenges()
    >>> left_out = defining_challenges(task, family, "automaton_key", {})
    >>> [one.name for one, out in zip(family.challenges, left_out) if out][:2]
    ['ready 0, set 45', 'ready 0, set 50']
    """
    from solspace.population.describe import graph_method, label_of
    from solspace.responses.stage import notch_of
    from solspace.tasks.silences import silences_of

    if label in ("solution", "solution_key", "solution_name"):
        label = label_of(attrs) or task.solution_label
    every = family.challenges
    if label in ("graph_key", "automaton_key"):
        if graph_method(attrs) == "turner2021" and task.probe is not None:
            return np.array([family.published(one) for one in every])
        return np.array([_waits(task, one) is not None for one in every])
    if label == "response_key":
        within = notch_of(task, attrs.get("response_notch") or None).within
        return np.array([_as_asked(task, one, within) for one in every])
    if label == "attractor_key":
        silences = silences_of(task)
        given = {
            _trimmed(one[:start])
            for one, start in zip(silences.input, silences.start.tolist(), strict=True)
        }
        return np.array([_trimmed(one.input(len(task.inputs))) in given for one in every])
    return np.zeros(len(every), bool)


def _waits(task: Task, one: Challenge) -> tuple[tuple[int, int], ...] | None:
    return None if task.protocol is None else protocol_waits(task.protocol, one)


def _as_asked(
    task: Task, one: Challenge, within: Mapping[int, tuple[tuple[int, int], ...]]
) -> bool:
    waits = _waits(task, one)
    if waits is None or task.protocol is None:
        return False
    return all(
        wait >= LONG_WAIT
        or any(low <= wait <= high for low, high in within.get(task.protocol.pulses[i].place, ()))
        for wait, i in waits
    )


def _trimmed(given: NDArray[np.float32]) -> bytes:
    """A stimulus up to its last pulse: what comes after is silence."""
    on = np.flatnonzero((given != 0).any(axis=1))
    return np.ascontiguousarray(given[: on[-1] + 1 if len(on) else 0], np.float32).tobytes()
