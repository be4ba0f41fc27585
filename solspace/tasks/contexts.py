"""The contexts of a task: which stream counts in each, and trials without noise that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

__all__ = ["Contexts"]


@dataclass(frozen=True)
class Contexts:
    """What the contexts of a task are, for measures of how networks select what counts.

    Attributes
    ----------
    names : tuple of str (context,)
    streams : tuple of str (stream,)
        Inputs that carry evidence, by the names of the task's inputs.
    counts : tuple of str (context,)
        The stream that counts in each context.
    neutral : array (context, time, input)
        A trial in each context in which no stream carries anything; its last step is the one at
        which the choice is read.
    stimulus : array of bool (time,)
        Steps at which streams carry evidence.
    strengths : array (level,)
        What a stream carries at each step of the stimulus, from the most negative trained to the
        most positive.
    output : int
        The output that is the choice.

    Raises
    ------
    SolspaceError
        For parts that do not fit together.

    Examples
    --------
    >>> from solspace import get_task
    >>> contexts = get_task("context_integration").contexts()
    >>> contexts.counts, contexts.held.round(1).tolist()
    (('stream_1', 'stream_2'), [[0.0, 0.0, 0.1, 0.0], [0.0, 0.0, 0.0, 0.1]])
    """

    names: tuple[str, ...]
    streams: tuple[str, ...]
    counts: tuple[str, ...]
    neutral: NDArray[Any]
    stimulus: NDArray[np.bool_]
    strengths: NDArray[np.float64]
    output: int = 0

    def __post_init__(self) -> None:
        given, n = np.asarray(self.neutral), len(self.names)
        faults = []
        if len(self.counts) != n or n < 2:
            faults.append(f"{n} contexts, {len(self.counts)} streams that count; give 2 or more "
                          "contexts and for each a stream")  # fmt: skip
        faults += [f"{name!r} counts, streams are {', '.join(self.streams)}"
                   for name in self.counts if name not in self.streams]  # fmt: skip
        if given.ndim != 3 or len(given) != n or not np.isfinite(given).all():
            faults.append(
                f"neutral has shape {given.shape}, expected ({n}, time, input) and finite"
            )
        elif np.shape(self.stimulus) != given.shape[1:2] or not np.any(self.stimulus):
            faults.append(f"stimulus has shape {np.shape(self.stimulus)}, expected "
                          f"({given.shape[1]},) with a step or more that is true")  # fmt: skip
        elif np.ptp(given[:, np.asarray(self.stimulus, bool)], axis=1).any():
            faults.append("neutral changes during the stimulus; let a context be held")
        levels = np.asarray(self.strengths, float)
        if levels.ndim != 1 or len(levels) < 3 or not (np.diff(levels) > 0).all():
            faults.append(f"strengths {levels.tolist()}; give 3 or more that rise")
        if faults:
            raise SolspaceError(f"contexts: {'; '.join(faults)}")

    @property
    def held(self) -> NDArray[np.float64]:
        """What is given throughout the stimulus, without evidence, (context, input)."""
        return np.asarray(self.neutral, np.float64)[:, int(np.argmax(self.stimulus))]

    def channels(self, inputs: tuple[str, ...]) -> NDArray[np.int64]:
        """Positions of the streams among a task's inputs, (stream,).

        Raises
        ------
        SolspaceError
            For a stream that is no input of the task.
        """
        if missing := [name for name in self.streams if name not in inputs]:
            raise SolspaceError(
                f"contexts: stream {missing[0]!r} is no input; inputs are {', '.join(inputs)}"
            )
        if np.shape(self.neutral)[2] != len(inputs):
            raise SolspaceError(
                f"contexts: trials have {np.shape(self.neutral)[2]} inputs, the task {len(inputs)}"
            )
        return np.array([inputs.index(name) for name in self.streams], np.int64)

    def trials(self, context: int, channel: int) -> NDArray[np.float64]:
        """Trials in one context with each strength on one input, (level, time, input)."""
        given = np.repeat(
            np.asarray(self.neutral, np.float64)[context][None], len(self.strengths), axis=0
        )
        given[:, np.asarray(self.stimulus, bool), channel] += np.asarray(self.strengths)[:, None]
        return given
