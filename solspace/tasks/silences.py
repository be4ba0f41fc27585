"""The silences of a task: the moments from which its networks are left alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks.trials import Trials

if TYPE_CHECKING:
    from solspace.tasks.task import Task

__all__ = ["Silences", "silences_of"]

MOST_UNDECLARED = 32  # silences after the first pulse of trials, after the second, and so on


@dataclass(frozen=True)
class Silences:
    """What networks are given before they are left alone, and how each such silence is called.

    Attributes
    ----------
    after : tuple of str (silence,)
        What each comes after, such as ``set``; silences of one name are looked at together. Where
        an input is held, a name such as ``in_context_1``.
    input : array, float32, (silence, time, input)
        What is given, from the zero state on; zero from ``start`` on.
    start : array, int64, (silence,)
        Step at which the silence begins.
    parameters : mapping of str to array (silence,)
        What makes one differ from another, such as ``t_in``; NaN where a silence has none.
    keyed : tuple of str
        Names in ``after`` that `solspace.attractors.attractor_key` tells of; of all where empty.
    outputs_keyed : bool
        Whether the key tells what is put out at the end.
    held : array (silence, input), optional
        What is given at every step from ``start`` on, such as a context; nothing by default. A
        silence is then one of all other inputs.

    Examples
    --------
    What comes after the first half of each trial, with the first input held at a half:

    >>> from solspace.tasks import get_task
    >>> trials = get_task("interval_reproduction").recorded_trials()
    >>> n, steps = trials.input.shape[:2]
    >>> half = np.full(n, steps // 2)
    >>> one = Silences(("half",) * n, trials.input, half, {}, held=np.tile([0.5, 0], (n, 1)))
    >>> one.held[0].tolist()
    [0.5, 0.0]
    """

    after: tuple[str, ...]
    input: NDArray[np.float32]
    start: NDArray[np.int64]
    parameters: Mapping[str, NDArray[np.float64]]
    keyed: tuple[str, ...] = ()
    outputs_keyed: bool = True
    held: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n = len(self.after)
        faults = []
        if self.input.ndim != 3 or len(self.input) != n:
            faults.append(f"input has shape {self.input.shape}, expected ({n}, time, input)")
        elif not np.isfinite(self.input).all():
            faults.append("input holds NaN or infinity")
        if self.held is not None:
            if np.shape(self.held) != (n, self.input.shape[-1]):
                faults.append(
                    f"held has shape {np.shape(self.held)}, expected ({n}, {self.input.shape[-1]})"
                )
            elif not np.isfinite(self.held).all():
                faults.append("held has NaN or infinity")
        if np.shape(self.start) != (n,):
            faults.append(f"start has shape {np.shape(self.start)}, expected ({n},)")
        faults += [
            f"parameter {name!r} has shape {np.shape(values)}, expected ({n},)"
            for name, values in self.parameters.items()
            if np.shape(values) != (n,)
        ]
        faults += [
            f"keyed names {name!r}, and silences come after {', '.join(dict.fromkeys(self.after))}"
            for name in self.keyed
            if name not in self.after
        ]
        faults += [
            f"a silence comes after {name!r}; use letters, digits and _"
            for name in dict.fromkeys(self.after)
            if not re.fullmatch(r"[A-Za-z0-9_]+", name)
        ]
        if not n:
            faults.append("there are none; give at least one")
        if not faults and (self.start.min() < 0 or self.start.max() > self.input.shape[1]):
            faults.append(
                f"start runs from {self.start.min()} to {self.start.max()}, "
                f"of {self.input.shape[1]} steps"
            )
        if faults:
            raise SolspaceError(f"silences do not fit together: {'; '.join(faults)}")

    def __len__(self) -> int:
        return len(self.after)

    @property
    def told(self) -> NDArray[np.int8]:
        """Of each silence, what the key tells: 0 nothing, 1 its end, 2 also the output there."""
        keyed = np.isin(self.after, self.keyed or self.after)
        return (keyed * (2 if self.outputs_keyed else 1)).astype(np.int8)

    @property
    def constant(self) -> NDArray[np.float64]:
        """What is given during each silence, (silence, input); zero unless something is held."""
        if self.held is None:
            return np.zeros((len(self), self.input.shape[-1]))
        return np.asarray(self.held, np.float64)

    @classmethod
    def following(
        cls,
        after: str,
        trials: Trials,
        epoch: int,
        parameters: Iterable[str] = (),
        held: Sequence[float] | None = None,
    ) -> Silences:
        """A silence from the end of one epoch of each trial; trials alike up to there give one.

        Parameters
        ----------
        after : str
        trials : Trials
        epoch : int
            Index of the epoch; -1 for silence from the beginning.
        parameters : iterable of str
            Parameters of trials that tell them apart up to there.
        held : sequence of float (input,), optional
            What is given from there on; nothing by default.

        Examples
        --------
        >>> from solspace.tasks import get_task
        >>> task = get_task("delayed_discrimination")
        >>> epoch = task.epochs.index("f1")
        >>> first = Silences.following("f1", task.recorded_trials(), epoch, ["f1"])
        >>> len(first), first.start[0].item(), first.parameters["f1"].tolist()[:3]
        (9, 10, [2.0, 3.0, 4.0])
        """
        start = np.sum(trials.epoch <= epoch, axis=1).astype(np.int64)
        given = [
            cls._one(after, trials, trial, start[trial], list(parameters), held)
            for trial in range(len(trials))
        ]
        return cls.joined(given)

    @classmethod
    def _one(
        cls,
        after: str,
        trials: Trials,
        trial: int,
        start: int,
        parameters: Sequence[str],
        held: Sequence[float] | None = None,
    ) -> Silences:
        return cls(
            (after,),
            trials.input[trial : trial + 1, :start],
            np.array([start], np.int64),
            {name: np.asarray(trials.parameters[name][[trial]], float) for name in parameters},
            held=None if held is None else np.array([held], np.float64),
        )

    @classmethod
    def joined(cls, parts: Iterable[Silences]) -> Silences:
        """Several one after the other; of those with one name and the same inputs the first.

        Parameters that these do not share become NaN.

        Examples
        --------
        >>> from solspace.tasks import get_task
        >>> own = get_task("interval_reproduction").silences()
        >>> len(Silences.joined([own, own])) == len(own)
        True
        """
        parts = list(parts)
        names = list(dict.fromkeys(name for part in parts for name in part.parameters))
        seen: dict[tuple[str, int, bytes, bytes], int] = {}
        after: list[str] = []
        inputs: list[NDArray[np.float32]] = []
        held: list[NDArray[np.float64]] = []
        values: list[list[float]] = []
        for part in parts:
            for i, name in enumerate(part.after):
                given = np.asarray(part.input[i, : part.start[i]], np.float32)
                own = [
                    float(part.parameters[p][i]) if p in part.parameters else np.nan for p in names
                ]
                constant = part.constant[i]
                key = (name, len(given), given.tobytes(), constant.tobytes())
                if key not in seen:
                    seen[key] = len(after)
                    after.append(name)
                    inputs.append(given)
                    held.append(constant)
                    values.append(own)
                else:
                    kept = values[seen[key]]
                    values[seen[key]] = [
                        a if a == b else np.nan for a, b in zip(kept, own, strict=True)
                    ]
        start = np.array([len(given) for given in inputs], np.int64)
        channels = parts[0].input.shape[2] if parts else 0
        padded = np.zeros((len(after), int(start.max(initial=0)), channels), np.float32)
        for i, given in enumerate(inputs):
            padded[i, : len(given)] = given
        columns = np.array(values, float).reshape(len(after), len(names)).T
        constants = np.array(held).reshape(len(after), channels)
        return cls(
            tuple(after),
            padded,
            start,
            dict(zip(names, columns, strict=True)),
            held=constants if constants.any() else None,
        )


def silences_of(task: Task) -> Silences:
    """The silences that a task declares, or else those after each pulse of its recorded trials.

    A pulse ends where all channels go back to zero; trials that are alike up to there give one
    silence, and of more than 32 after the first pulse (the second, and so on) as many are taken
    evenly.

    Raises
    ------
    SolspaceError
        Where the task declares none and no pulse ends in its recorded trials, or where the input
        has another number of channels.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> silences = silences_of(get_task("interval_reproduction"))
    >>> len(silences), silences.after[:2], silences.parameters["t_in"][:2]
    (32, ('ready', 'set'), array([nan, 20.]))
    """
    if task.silences is None:
        return _after_pulses(task)
    silences = task.silences()
    if silences.input.shape[2] != len(task.inputs):
        raise SolspaceError(
            f"silences of task {task.name!r} have {silences.input.shape[2]} input channels, the "
            f"task has {len(task.inputs)}: {', '.join(task.inputs)}"
        )
    return silences


def _after_pulses(task: Task) -> Silences:
    trials = task.recorded_trials()
    active = (trials.input != 0).any(axis=2)
    ends = np.diff(active.astype(np.int8), axis=1) == -1
    found: dict[int, list[Silences]] = {}
    for trial in range(len(trials)):
        for pulse, step in enumerate((np.flatnonzero(ends[trial]) + 1).tolist(), start=1):
            one = Silences._one(f"pulse_{pulse}", trials, trial, step, list(task.parameters))
            found.setdefault(pulse, []).append(one)
    if not found:
        raise SolspaceError(
            f"task {task.name!r} does not say from which moments its networks are left alone, and "
            "no pulse ends in its recorded trials; give it `silences`, a function that returns "
            "solspace.tasks.Silences"
        )
    return Silences.joined(_evenly(Silences.joined(found[pulse])) for pulse in sorted(found))


def _evenly(silences: Silences) -> Silences:
    if len(silences) <= MOST_UNDECLARED:
        return silences
    picked = np.linspace(0, len(silences) - 1, MOST_UNDECLARED).round().astype(int)
    return Silences(
        tuple(silences.after[i] for i in picked),
        silences.input[picked],
        silences.start[picked],
        {name: values[picked] for name, values in silences.parameters.items()},
        held=None if silences.held is None else silences.held[picked],
    )
