"""Which challenges a label is made from: choosing among those would be going in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.tasks.challenges import LONG_WAIT, Challenge, ChallengeFamily, protocol_waits
from solspace.tasks.input_challenges import InputChallenge, InputChallengeFamily

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from solspace.tasks import Task

__all__ = ["defining_challenges", "named_challenges"]


def defining_challenges(
    task: Task,
    family: ChallengeFamily | InputChallengeFamily,
    label: str,
    attrs: Mapping[str, Any],
    *,
    strict: bool = False,
) -> NDArray[np.bool_]:
    """Which challenges of a family define a label, (challenge,).

    - ``graph_key`` and ``automaton_key`` of the published graphs: what the task's ``probe`` gives,
      as the family's ``published`` says. Of graphs of other methods, which are made from pulses at
      any moment: all that the task's protocol can give.
    - ``response_key``: what the protocol can give where each wait is `LONG_WAIT` steps or more
      (long silence, for the label), or one at which the population's notch gives a pulse.
    - ``attractor_key``: the silences of the task; of challenges given by their input also those in
      which one of its constant inputs is held, whatever noise there is.
    - ``solution``, ``solution_key``: those of the label that solutions follow.
    - Any other label: none, as it is not known what it is made from.

    Parameters
    ----------
    task : Task
    family : ChallengeFamily or InputChallengeFamily
    label : str
    attrs : mapping
        The population's attributes: by which label, method and notch it was labelled.
    strict : bool
        Also those that begin like one that defines the label, for longer than trained trials do,
        and those that are like one but for the width or amplitude of pulses that are always alike
        in trained trials. Of challenges made of pulses alone.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> task = get_task("interval_reproduction")
    >>> family = task.challenges()
    >>> left_out = defining_challenges(task, family, "automaton_key", {})
    >>> [one.name for one, out in zip(family.challenges, left_out) if out][:2]
    ['ready 0, set 45', 'ready 0, set 50']
    """
    if isinstance(family, InputChallengeFamily):
        given = _definition_of_inputs(task, label, attrs)
        return np.array([given(one) for one in family.challenges], bool)
    defines = _definition(task, family, label, attrs)
    found = np.array([defines(one) for one in family.challenges], bool)
    if strict:
        trained = [one for one in family.challenges if one.kind == "trained"]
        found |= [
            any(defines(part) for part in _beginnings(one, task, trained))
            for one in family.challenges
        ]
    return found


def _definition(
    task: Task, family: ChallengeFamily, label: str, attrs: Mapping[str, Any]
) -> Callable[[Challenge], bool]:
    """Whether a challenge defines the label."""
    from solspace.population.describe import graph_method, label_of
    from solspace.responses.stage import notch_of

    if label in ("solution", "solution_key", "solution_name"):
        label = label_of(attrs) or task.solution_label
    if label in ("graph_key", "automaton_key"):
        if graph_method(attrs) == "turner2021" and task.probe is not None:
            return family.published
        return lambda one: _waits(task, one) is not None
    if label == "response_key":
        within = notch_of(task, attrs.get("response_notch") or None).within
        return lambda one: _as_asked(task, one, within)
    if label == "attractor_key":
        given = _silences_given(task)
        return lambda one: _trimmed(one.input(len(task.inputs))) in given
    return lambda one: False


def _silences_given(task: Task) -> set[bytes]:
    from solspace.tasks.silences import silences_of

    silences = silences_of(task)
    return {
        _trimmed(one[:start])
        for one, start in zip(silences.input, silences.start.tolist(), strict=True)
    }


def _definition_of_inputs(
    task: Task, label: str, attrs: Mapping[str, Any]
) -> Callable[[InputChallenge], bool]:
    """The same of challenges that are given by their input, without their noise."""
    from solspace.population.describe import label_of

    if label in ("solution", "solution_key", "solution_name"):
        label = label_of(attrs) or task.solution_label
    if label != "attractor_key":
        return lambda one: False
    given = _silences_given(task)
    held = [] if task.constant_inputs is None else list(task.constant_inputs().values())

    def defines(one: InputChallenge) -> bool:
        value = one.input(len(task.inputs))
        on = np.flatnonzero((value != 0).any(axis=1))
        part = value[on[0] : on[-1] + 1] if len(on) else value[:0]
        constant = any(len(part) and np.allclose(part, row) for row in held)
        return constant or _trimmed(value) in given

    return defines


def named_challenges(
    family: ChallengeFamily | InputChallengeFamily, names: Sequence[str]
) -> NDArray[np.bool_]:
    """Which challenges are named, or are what a named measure is made from, (challenge,).

    Raises
    ------
    SolspaceError
        For a name that is neither.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> family = get_task("context_integration").challenges()
    >>> int(named_challenges(family, ["right_delay_20x"]).sum())
    8
    """
    every: tuple[Any, ...] = family.challenges
    places = {one.name: i for i, one in enumerate(every)}
    made = {}
    if isinstance(family, InputChallengeFamily):
        made = {one.name: one.challenges for one in family.measures}
    found = np.zeros(len(places), bool)
    for name in [names] if isinstance(names, str) else names:
        if name not in places and name not in made:
            raise SolspaceError(
                f"without={name!r} is no challenge and no measure; challenges: "
                f"{', '.join(map(repr, list(places)[:3]))}, ..."
                + (f"; measures: {', '.join(made)}" if made else "")
            )
        found[[places[one] for one in ([name] if name in places else made[name])]] = True
    return found


def _beginnings(one: Challenge, task: Task, trained: Sequence[Challenge]) -> Iterator[Challenge]:
    """What a challenge begins with, pulses as in trained trials, that goes on beyond those."""
    usual: dict[int, set[tuple[int, float]]] = {}
    for pulse in (p for trial in trained for p in trial.pulses):
        usual.setdefault(pulse.channel, set()).add((pulse.width, pulse.amplitude))
    pulses = []
    for pulse in one.pulses:
        known = usual.get(pulse.channel, set())
        widths, heights = {w for w, _ in known}, {a for _, a in known}
        pulses.append(
            pulse._replace(
                width=min(widths) if len(widths) == 1 else pulse.width,
                amplitude=min(heights) if len(heights) == 1 else pulse.amplitude,
            )
        )
    given = [trial.input(len(task.inputs)) for trial in trained]
    for k in range(1, len(pulses) + 1):
        last = pulses[k - 1].onset + pulses[k - 1].width
        steps = max(last, one.steps if k == len(pulses) else pulses[k].onset)
        part = Challenge(one.name, one.kind, tuple(pulses[:k]), steps)
        mine = part.input(len(task.inputs))
        if not any(len(t) >= steps and np.array_equal(t[:steps], mine) for t in given):
            yield part


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
