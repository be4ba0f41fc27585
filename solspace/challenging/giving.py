"""Run networks over challenges that are given by their input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solspace.networks import Weights
from solspace.tasks.input_challenges import InputChallenge, InputChallengeFamily
from solspace.training.outputs import AskedTrials

__all__ = ["GivenChallenges"]


class GivenChallenges:
    """Challenges with their noise, given to one network after another: the same to all.

    Trials of like length are run side by side.

    Parameters
    ----------
    family : InputChallengeFamily
    seed : int
        Of the noise.
    challenges : sequence of InputChallenge, optional
        Of the family; by default all.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> from solspace.tasks import get_task
    >>> family = get_task("context_integration").challenges()
    >>> rng, shapes = np.random.default_rng(0), parameter_shapes("vanilla", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> some = GivenChallenges(family, 0, family.challenges[:3])
    >>> some.outputs("vanilla", weights).shape
    (3, 24)
    """

    def __init__(
        self,
        family: InputChallengeFamily,
        seed: int,
        challenges: tuple[InputChallenge, ...] | None = None,
    ) -> None:
        self._output = family.output
        every = family.challenges if challenges is None else challenges
        self._repeats = [one.repeats for one in every]
        alike: dict[tuple[int, tuple[int, int]], list[int]] = {}
        for k, one in enumerate(every):
            alike.setdefault((one.steps, one.asked), []).append(k)
        self._parts = []
        for (_, asked), of in alike.items():
            given = np.concatenate([every[k].inputs(seed) for k in of])
            place = np.concatenate(
                [np.stack([np.full(r, k), np.arange(r)]) for k in of for r in [self._repeats[k]]],
                axis=1,
            )
            self._parts.append((AskedTrials(given, asked), place))

    def outputs(self, architecture: str, weights: Weights) -> NDArray[np.float32]:
        """What one network puts out when it is asked, (challenge, repeat).

        NaN past the repeats of a challenge; not finite where a network's output is not.
        """
        out = np.full((len(self._repeats), max(self._repeats)), np.nan, np.float32)
        for trials, place in self._parts:
            out[place[0], place[1]] = trials.outputs(architecture, weights)[:, self._output]
        return out
