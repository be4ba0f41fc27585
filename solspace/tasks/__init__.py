"""Tasks by name.

Every module of this folder with a ``TASK`` is one: a new task is one file, and no list names it.
A `Task` of one's own, from a notebook, a file or an installed package, is registered here.
"""

from __future__ import annotations

from solspace.tasks.challenges import Challenge, ChallengeFamily, PlacedPulse
from solspace.tasks.contexts import Contexts
from solspace.tasks.epochs import DelayEpochs, IntervalEpochs, epoch_stretch, epochs_from_starts
from solspace.tasks.files import load_tasks
from solspace.tasks.input_challenges import (
    ChallengeMeasure,
    InputChallenge,
    InputChallengeFamily,
)
from solspace.tasks.needs import missing
from solspace.tasks.probing import Chain, Explorer
from solspace.tasks.protocol import Notch, Pulse, PulseSequences, StimulusProtocol
from solspace.tasks.recipe import Recipe, change_recipe
from solspace.tasks.registry import default_architecture, get_task, register_task, task_names
from solspace.tasks.silences import Silences, silences_of
from solspace.tasks.task import Task, check_task, rounded_sign
from solspace.tasks.trials import Trials, find_trial

__all__ = [
    "Chain",
    "Challenge",
    "ChallengeFamily",
    "ChallengeMeasure",
    "Contexts",
    "DelayEpochs",
    "Explorer",
    "InputChallenge",
    "InputChallengeFamily",
    "IntervalEpochs",
    "Notch",
    "PlacedPulse",
    "Pulse",
    "PulseSequences",
    "Recipe",
    "Silences",
    "StimulusProtocol",
    "Task",
    "Trials",
    "change_recipe",
    "check_task",
    "default_architecture",
    "epoch_stretch",
    "epochs_from_starts",
    "find_trial",
    "get_task",
    "load_tasks",
    "missing",
    "register_task",
    "rounded_sign",
    "silences_of",
    "task_names",
]
