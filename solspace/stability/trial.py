"""One network perturbed in every way, and what becomes of its labels."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.networks import get_architecture
from solspace.population.each import told_elsewhere
from solspace.stability.elsewhere import OtherProcessor, other_processor
from solspace.stability.labelling import AskedLabel, Labelled, label_one
from solspace.stability.perturbing import with_noise
from solspace.training.driver import mean_squared_error
from solspace.training.further import train_further

if TYPE_CHECKING:
    from solspace.tasks import Recipe, Task

__all__ = ["Outcome", "Trial"]

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """What became of one network.

    Attributes
    ----------
    unchanged : array (label, perturbation)
        Share of draws in which it keeps the label; NaN where there is none to keep, or the
        perturbation cannot be tried.
    loss : array (perturbation,)
        Mean over draws.
    processors : str
        This one, and the other.
    """

    unchanged: NDArray[np.float32]
    loss: NDArray[np.float64]
    processors: str


class Trial:
    """Perturbs networks of one architecture, one after another.

    Used in a ``with`` block, at the end of which the process of another processor ends.

    Parameters
    ----------
    task : Task
    architecture : str
    labels : sequence of AskedLabel
    noise : sequence of float
    draws : int
    further_steps : int
        0 for none.
    recipe : Recipe or None
        Of the further steps.
    processor : bool
    seed : int
        Of the noise.
    stop : callable () -> bool, optional
        Asked between two perturbations; True raises ``KeyboardInterrupt``.
    """

    def __init__(
        self,
        task: Task,
        architecture: str,
        labels: Sequence[AskedLabel],
        *,
        noise: Sequence[float],
        draws: int,
        further_steps: int,
        recipe: Recipe | None,
        processor: bool,
        seed: int,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self._task, self._architecture, self._labels = task, architecture, labels
        self._noise, self._draws, self._seed, self._stop = noise, draws, seed, stop
        self._steps, self._recipe = further_steps, recipe
        self._fixed = set(get_architecture(architecture).fixed)
        self._trials = task.recorded_trials()
        self._processor = processor
        self._other: OtherProcessor | None = None
        self._processors = ""
        if processor:
            here, there = other_processor()
            if there:
                self._other, self._processors = OtherProcessor(), f"{here} as {there}"
            elif not told_elsewhere():
                warnings.warn(
                    "labels are not tried on another processor: that takes one of the x86-64 "
                    f"family, and this is {platform.machine()}",
                    stacklevel=5,  # where the user called the stage
                )

    def __enter__(self) -> Trial:
        if self._other is not None:
            self._other.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._other is not None:
            self._other.__exit__(kind, error, trace)

    def label(self, weights: Weights) -> list[Labelled]:
        """The labels of one network as it is."""
        return label_one(self._task, self._architecture, weights, self._labels)

    def network(
        self,
        weights: Weights,
        own: Sequence[Labelled],
        number: int,
        *,
        training_seed: int = 0,
        rate: float = 0.0,
    ) -> Outcome:
        """Try one network.

        Parameters
        ----------
        weights : mapping
            Without padding.
        own : sequence of Labelled
            Its labels as it is.
        number : int
            Of the network, from which its noise is drawn.
        training_seed : int
            From which the trials of further training follow.
        rate : float
            Learning rate of further training.
        """
        known = np.array([bool(one.key) for one in own])
        columns, losses = [], []

        def ask(perturbed: Sequence[Weights]) -> None:
            same, loss = [], []
            for changed in perturbed:
                if self._stop is not None and self._stop():
                    raise KeyboardInterrupt("stability was stopped")
                found = label_one(self._task, self._architecture, changed, self._labels)
                same.append([a.key == b.key for a, b in zip(own, found, strict=True)])
                loss.append(mean_squared_error(self._architecture, changed, self._trials))
            columns.append(np.mean(same, axis=0))
            losses.append(float(np.mean(loss)))

        for noise in self._noise:
            ask([self._noisy(weights, noise, number, draw) for draw in range(self._draws)])
        if self._steps:
            further = train_further(
                self._task,
                self._architecture,
                weights,
                seed=training_seed,
                steps=self._steps,
                rate=rate,
                recipe=self._recipe,
                stop=self._stop,
            )
            ask([further])
        if self._processor:
            same = np.full(len(own), np.nan)
            loss = np.nan
            if self._other is not None:
                there = self._other.label(self._task, self._architecture, weights, self._labels)
                same[:] = [a.key == b.key for a, b in zip(own, there, strict=True)]
                loss = mean_squared_error(self._architecture, weights, self._trials)
            columns.append(same)
            losses.append(loss)
        unchanged = np.stack(columns, axis=1).astype(np.float32)
        unchanged[~known] = np.nan
        return Outcome(unchanged, np.array(losses), self._processors)

    def _noisy(self, weights: Weights, noise: float, number: int, draw: int) -> Weights:
        # One stream for all sizes of noise: a larger one goes further in the same direction.
        rng = np.random.default_rng([self._seed, number, draw])
        return with_noise(weights, noise, rng, fixed=self._fixed)
