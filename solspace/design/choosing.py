"""What answers say of a class, and which challenge to give next.

Every training network stands for its class: given answers, its weight is the probability that it
would have given them, and a class has that of its networks together. So nothing is taken to be
independent within a class but the noise of different trials: how the answers of a class to several
challenges go together is as in its networks. A network that has given another answer keeps a share
of its weight, the more, the more alike the two answers are (`solspace.design.reading.alike`), and
at least the prior's: with one answer this is the posterior of counts with a Dirichlet prior whose
mean are the answers of all networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solspace.design.information import corrected_information
from solspace.design.reading import likeness

__all__ = ["OTHER", "Asked", "Knowledge", "ask_adaptively", "is_told"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

OTHER = 0  # the answer that stands for those few or no training networks gave
# Shares of a network's likelihood: all networks' answers, and of the rest those like its own. Tuned
# on stores/high_rate.zarr.
PRIOR, ALIKE = 0.03, 0.2
LEAST = 1e-9  # share of all networks of an answer that is like none of theirs
FEWEST = 1.5  # training networks that an answer needs to be one of its own
# How much answers have to speak for a class: "positive" evidence (Kass & Raftery, Journal of the
# American Statistical Association 90, 1995). What is common in a population is no evidence.
BAYES_FACTOR = 3.0
LEAST_GAIN = 0.01  # bits below which no further challenge is worth giving


@dataclass(frozen=True)
class Knowledge:
    """What training networks answer, and of which class they are.

    Attributes
    ----------
    answer : array (challenge, network, alternative)
        What a network may answer, from 1 on: position in ``codes`` and 1.
    share : array (challenge, network, alternative)
        How probable that is; 0 for alternatives that are none.
    codes : list of array (answer, part)
        Of each challenge; see `solspace.design.reading.answer_table`.
    label : array (network,)
        0 to classes - 1.
    classes : int

    Examples
    --------
    >>> answer = np.array([[[1], [1], [2], [2]]])
    >>> codes = [np.array([[0, 0, -1], [1, 1, 2]])]
    >>> known = Knowledge(answer, np.ones((1, 4, 1)), codes, np.array([0, 0, 1, 1]), 2)
    >>> known.posterior(known.evidence(0, codes[0][0])).round(2).tolist()
    [0.96, 0.04]
    """

    answer: NDArray[np.int32]
    share: Array
    codes: list[NDArray[np.int64]]
    label: Labels
    classes: int
    told: NDArray[np.int32] = field(init=False, repr=False)
    own: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        widest = 1 + max(len(code) for code in self.codes)
        challenge = np.arange(len(self.codes))[:, None, None]
        counts = np.bincount(
            (challenge * widest + self.answer).ravel(),
            self.share.ravel(),
            len(self.codes) * widest,
        ).reshape(-1, widest)
        own = counts >= FEWEST
        own[:, OTHER] = True
        object.__setattr__(self, "own", own)
        kept = np.take_along_axis(own, self.answer.reshape(len(own), -1), axis=1)
        told = np.where(kept.reshape(self.answer.shape), self.answer, OTHER)
        object.__setattr__(self, "told", told)

    @property
    def start(self) -> Array:
        """Weights of the networks before any answer: alike, with sum 1."""
        return np.full(len(self.label), 1 / len(self.label))

    def evidence(self, challenge: int, code: NDArray[np.int64] | None) -> Array:
        """How probable an answer is for each network, (network,); None says nothing."""
        if code is None:
            return np.ones(len(self.label))
        codes, answer = self.codes[challenge], self.answer[challenge]
        share = self.share[challenge]
        same = np.flatnonzero((codes == code).all(axis=1)) + 1
        seen = (share * np.isin(answer, same)).sum(axis=1)
        near = np.concatenate([[0.0], likeness(codes, code)])
        like = (share * near[answer]).sum(axis=1)
        everyone = max(like.sum() / (len(like) + 1), LEAST)
        return np.asarray((1 - PRIOR) * ((1 - ALIKE) * seen + ALIKE * like) + PRIOR * everyone)

    def posterior(self, weight: Array) -> Array:
        """Probability of each class, from weights of networks."""
        return np.asarray(np.bincount(self.label, weight / weight.sum(), self.classes), np.float64)

    def information(self, weight: Array) -> Array:
        """Bits that each challenge's answer is expected to say about the class, (challenge,)."""
        # As many networks as weights so uneven are worth.
        worth = weight.sum() ** 2 / (weight**2).sum()
        return corrected_information(self._counts(weight / weight.sum() * worth))

    def shares(self) -> Array:
        """Share of each answer in each class, (challenge, class, answer)."""
        return self._counts(1 / np.bincount(self.label, minlength=self.classes)[self.label])

    def _counts(self, weight: Array) -> Array:
        challenges, widest = self.own.shape
        place = np.arange(challenges)[:, None] * self.classes + self.label
        counts = np.bincount(
            (place[..., None] * widest + self.told).ravel(),
            (self.share * weight[:, None]).ravel(),
            challenges * self.classes * widest,
        )
        return np.asarray(counts, np.float64).reshape(challenges, self.classes, widest)


def is_told(posterior: Array, prior: Array, sure: float) -> NDArray[np.bool_]:
    """Whether there is a verdict for the likeliest class, (...,), from probabilities (..., class).

    It has to be as probable as ``sure``, and answers have to speak for it: its odds are three times
    those it had before them, or more.

    Examples
    --------
    >>> prior = np.array([0.9, 0.1])
    >>> is_told(np.array([[0.9, 0.1], [0.97, 0.03], [0.3, 0.7], [0.1, 0.9]]), prior, 0.8).tolist()
    [False, True, False, True]
    """
    best = posterior.argmax(axis=-1)
    most = np.take_along_axis(posterior, best[..., None], axis=-1)[..., 0]
    before = prior[best]
    spoken = most * (1 - before) >= BAYES_FACTOR * before * (1 - most)
    return np.asarray((most >= sure) & spoken)


class Asked:
    """Networks asked one after another, who remembers what came of the same answers before.

    Parameters
    ----------
    known : Knowledge
    allowed : array of bool (challenge,)
        Which may be given.
    codes : list of array (answer, part)
        Of each challenge, all answers that may come, those that no training network gave included.
    """

    def __init__(
        self, known: Knowledge, allowed: NDArray[np.bool_], codes: list[NDArray[np.int64]]
    ) -> None:
        self.known, self.allowed, self.codes = known, allowed, codes
        self._next: dict[tuple[tuple[int, int], ...], int] = {}
        self._evidence: dict[tuple[int, int], Array] = {}

    def evidence(self, challenge: int, answer: int) -> Array:
        """`Knowledge.evidence` of an answer by its number, from 1 on."""
        at = challenge, answer
        if at not in self._evidence:
            self._evidence[at] = self.known.evidence(challenge, self.codes[challenge][answer - 1])
        return self._evidence[at]

    def next(self, given: tuple[tuple[int, int], ...], weight: Array) -> int:
        """The challenge that says most after answers; -1 where none says anything more."""
        if given not in self._next:
            gain = np.where(self.allowed, self.known.information(weight), -1.0)
            gain[[c for c, _ in given]] = -1.0
            best = int(np.argmax(gain))
            self._next[given] = best if gain[best] >= LEAST_GAIN or not given else -1
        return self._next[given]


def ask_adaptively(
    asked: Asked, answer: NDArray[np.int32], most: int, order: Sequence[int] | None = None
) -> tuple[Array, list[int]]:
    """Give one network challenge after challenge, each the one that says most by then.

    Parameters
    ----------
    asked : Asked
    answer : array (challenge,)
        What the network answers to each, from 1 on.
    most : int
        Challenges that are given.
    order : sequence of int, optional
        Give these instead.

    Returns
    -------
    posterior : array (most, class)
        After each; where none says anything more, as after the last.
    given : list of int
    """
    given: tuple[tuple[int, int], ...] = ()
    weight = asked.known.start
    posterior = np.empty((most, asked.known.classes))
    for k in range(most):
        planned = order[k] if order is not None and k < len(order) else -1
        best = asked.next(given, weight) if order is None else planned
        if best < 0:
            posterior[k:] = asked.known.posterior(weight)
            break
        at = int(answer[best])
        weight = weight * asked.evidence(best, at)
        weight /= weight.sum()
        given = (*given, (best, at))
        posterior[k] = asked.known.posterior(weight)
    return posterior, [c for c, _ in given]
