"""What a task has to give for which stage, and what is missing where it does not.

One list; stages ask it before they begin, `register_task` tells of all of it at once, and the table
of docs/own_task.md is made from it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from solspace.errors import SolspaceError
from solspace.tasks.input_challenges import InputChallengeFamily
from solspace.tasks.silences import silences_of
from solspace.tasks.symbols import MOST_OUTPUTS
from solspace.tasks.task import Task

__all__ = ["NEEDS", "Need", "check_needs", "lacking", "missing", "needs_table", "reduces_by"]


class Need(NamedTuple):
    """What one stage, or one command over a population, needs of a task.

    Attributes
    ----------
    stage : str
    gives : str
        What a task has to give, in Markdown.
    fills : str
        What the stage makes of it.
    lacks : callable (Task) -> str
        What a task lacks, empty where it lacks nothing; nothing of the task is run that is slow.
    special : bool
        Whether it is for tasks of one kind alone, so that others are not said to lack anything.
    """

    stage: str
    gives: str
    fills: str
    lacks: Callable[[Task], str]
    special: bool = False


_NO_EPOCHS = (
    "it has no feature_epochs, so it has no features; give it `feature_epochs`, which picks the "
    "stretches of activity that they compare"
)
_NO_PROTOCOL = "it does not say which pulses its networks can be given; give it a `protocol`"


def _recipes(task: Task) -> str:
    if task.recipes:
        return ""
    return (
        "no recipe, so networks of it are trained with one that is given each time "
        "(new_population(..., recipe=...)); give `recipes`"
    )


def _symbols(task: Task) -> str:
    """Of stages that tell outputs apart as -1, 0 or 1."""
    if task.output_symbol is None:
        return (
            "its outputs are continuous, and here they have to be -1, 0 or 1; give "
            "`output_symbol` where they can be read so, or tell its networks apart by "
            "attractor_key, which takes any outputs"
        )
    if len(task.outputs) > MOST_OUTPUTS:
        return f"{len(task.outputs)} outputs, and those of at most {MOST_OUTPUTS} are told apart"
    return ""


def _asked(task: Task) -> str:
    if lacks := _symbols(task):
        return lacks
    return "" if task.protocol else _NO_PROTOCOL


def _published(task: Task) -> str:
    """Of the published construction of graphs."""
    if lacks := _symbols(task):
        return lacks
    if len(task.outputs) > 1:
        return (
            f"{len(task.outputs)} outputs ({', '.join(task.outputs)}), and the published graphs "
            "are of one; take method automaton"
        )
    return "" if task.probe else "it does not say how its networks are probed; give it a `probe`"


def _reduced(task: Task) -> str:
    if lacks := _symbols(task):
        return lacks
    if not (_published(task) and _asked(task)):
        return ""
    if len(task.outputs) > 1:
        return _asked(task)
    return (
        "it does not say how its networks are explored; give it a `protocol`, or a `probe` for the "
        "published graphs"
    )


def _left_alone(task: Task) -> str:
    try:
        silences_of(task)
    except SolspaceError as error:
        return str(error)
    return ""


def _declared(task: Task) -> str:
    if task.challenges is not None:
        return ""
    return (
        "it declares no challenges; give it `challenges`, a function that returns a "
        "solspace.tasks.ChallengeFamily or InputChallengeFamily"
    )


def _challenged(task: Task) -> str:
    if task.challenges is not None and isinstance(task.challenges(), InputChallengeFamily):
        return ""  # answered by a choice, whatever else is put out
    return _symbols(task) or _declared(task)


def _features(task: Task) -> str:
    return "" if task.feature_epochs else _NO_EPOCHS


def _two_contexts(task: Task) -> str:
    if task.contexts is None:
        return (
            "it has no contexts; give it `contexts`, a function that returns a "
            "solspace.tasks.Contexts"
        )
    count = len(task.contexts().names)
    return "" if count == 2 else f"{count} contexts, and what differs is told of two"


def _labelled(task: Task) -> str:
    return (_reduced(task) and _asked(task) and _left_alone(task)) or ""


NEEDS = (
    Need("train", "`recipes`", "trained networks", _recipes),
    Need("record", "`recorded_trials`", "activity", lambda task: ""),
    Need("extrapolate", "`extrapolation_trials`", "outputs outside the trained range",
         lambda task: ""),
    Need("reduce", "`output_symbol`, `probe` with `explorer.compare` (method `turner2021`, of one "
         "output) or `protocol` (methods `automaton`, `timed`)", "`graph_key`, `automaton_key`",
         _reduced),
    Need("verify", "`output_symbol`, `protocol`", "recall and specificity of graphs", _asked),
    Need("responses", "`output_symbol`, `protocol`", "`response_key`", _asked),
    Need("attractors", "`silences`, or recorded trials in which pulses end", "`attractor_key`",
         _left_alone),
    Need("label", "what the label needs that `solution_label` names", "`solution`", _labelled),
    Need("challenge", "`challenges` that are given by their input", "`challenge_value`",
         _declared),
    Need("design", "`challenges`; `output_symbol` where they are made of pulses",
         "trials that tell solutions apart", _challenged),
    Need("individuality", "`contexts`, two of them", "`neural_value`, modulation, lines",
         _two_contexts, special=True),
    Need("features", "`feature_epochs`", "`features`, and what is predicted from them", _features),
)  # fmt: skip
_BY_STAGE: Mapping[str, Need] = {need.stage: need for need in NEEDS}


def reduces_by(task: Task) -> str:
    """The method by which graphs of a task's networks are made where none is asked for.

    Returns
    -------
    str
        ``turner2021`` for a task of one output with a ``probe``, else ``automaton``.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from solspace.tasks import get_task
    >>> task = get_task("interval_reproduction")
    >>> reduces_by(task), reduces_by(replace(task, probe=None))
    ('turner2021', 'automaton')
    """
    return "automaton" if _published(task) and not _asked(task) else "turner2021"


def lacking(task: Task, stage: str, method: str | None = None) -> str:
    """What a task lacks for one stage, a phrase; empty where it lacks nothing.

    Parameters
    ----------
    task : Task
    stage : str
    method : str, optional
        Of ``reduce``.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from solspace.tasks import get_task
    >>> lacking(replace(get_task("interval_reproduction"), protocol=None), "responses")
    'it does not say which pulses its networks can be given; give it a `protocol`'
    """
    if stage == "reduce" and method is not None:
        return _published(task) if method == "turner2021" else _asked(task)
    return _BY_STAGE[stage].lacks(task) if stage in _BY_STAGE else ""


def check_needs(task: Task, stage: str, method: str | None = None) -> None:
    """An error where a task lacks what a stage needs, with what to give.

    Raises
    ------
    SolspaceError

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> check_needs(get_task("interval_reproduction"), "responses")
    """
    if lacks := lacking(task, stage, method):
        of = stage if method is None else f"{stage} by {method}"
        raise SolspaceError(f"{of} cannot take task {task.name!r}: {lacks}")


def missing(task: Task) -> dict[str, str]:
    """What a task lacks, by stage; a stage that lacks nothing is not named.

    The probe is tried as well, on small random networks. Stages for tasks of one kind alone are
    left out.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from solspace.tasks import get_task
    >>> missing(get_task("interval_reproduction"))
    {}
    >>> list(missing(replace(get_task("interval_reproduction"), output_symbol=None)))
    ['reduce', 'verify', 'responses', 'design']
    """
    found = {
        need.stage: lacks for need in NEEDS if not need.special and (lacks := need.lacks(task))
    }
    if task.probe is not None and not _published(task):
        # By name, as it imports this package.
        fault = importlib.import_module("solspace.reduction.probing").try_probe(task)
        if fault:
            found["reduce"] = fault
    return found


def said_missing(task: Task) -> str:
    """The same in one sentence; empty where nothing is missing."""
    stages: dict[str, list[str]] = {}
    for stage, lacks in missing(task).items():
        stages.setdefault(lacks, []).append(stage)
    told = "; ".join(f"{', '.join(names)}: {lacks}" for lacks, names in stages.items())
    return f"task {task.name!r} does not give all that stages need: {told}" if told else ""


def needs_table() -> str:
    """What a task must give for which stage, as a table in Markdown.

    Examples
    --------
    >>> needs_table().splitlines()[0]
    '| stage | what the task gives | what it makes |'
    """
    rows = [f"| `{need.stage}` | {need.gives} | {need.fills} |" for need in NEEDS]
    return "\n".join(["| stage | what the task gives | what it makes |", "|---|---|---|", *rows])
