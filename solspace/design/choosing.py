"""What answers say of a class, and which challenge to give next.

Every training network stands for its class: given answers, its weight is the probability that it
would have given them, and a class has that of its networks together. So nothing is taken to be
independent within a class but the noise of different trials: how the answers of a class to several
challenges go together is as in its networks. A network that has given another answer keeps a share
of its weight, the prior's: with one answer this is the posterior of counts with a Dirichlet prior
whose mean are the answers of all networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solspace.design.information import corrected_information

__all__ = ["OTHER", "Knowledge", "ask_adaptively"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

OTHER = 0  # the answer that stands for those few or no training networks gave
PRIOR = 0.1  # share of a network's likelihood that is all networks' answers
FEWEST = 1.5  # training networks that an answer needs to be one of its own
LEAST_GAIN = 0.01  # bits below which no further challenge is worth giving


@dataclass(frozen=True)
class Knowledge:
    """What training networks answer, and of which class they are.

    Attributes
    ----------
    probability : array (challenge, network, answer)
        Of each answer; answer `OTHER` is that of few.
    label : array (network,)
        0 to classes - 1.
    classes : int
    own : array of bool (challenge, answer)
        Which answers stand for themselves; all others are `OTHER`.
    """

    probability: Array
    label: Labels
    classes: int
    own: NDArray[np.bool_]

    @classmethod
    def of(cls, probability: Array, label: Labels, classes: int) -> Knowledge:
        """From probabilities (challenge, network, answer) with an empty answer `OTHER`."""
        own = probability.sum(axis=1) >= FEWEST
        own[:, OTHER] = True
        kept = np.where(own[:, None, :], probability, 0.0)
        kept[..., OTHER] += (probability * ~own[:, None, :]).sum(-1)
        return cls(kept, label, classes, own)

    @cached_property
    def pooled(self) -> Array:
        """Share of each answer among all networks, and one network more for `OTHER`."""
        total = self.probability.sum(axis=1)
        total[:, OTHER] += 1.0
        return np.asarray(total / total.sum(axis=1, keepdims=True))

    def weights(self, given: Sequence[tuple[int, int]], start: Array | None = None) -> Array:
        """Weights of the networks, with sum 1, given answers: pairs (challenge, answer).

        Examples
        --------
        >>> sure = np.zeros((1, 4, 3)); sure[0, :2, 1] = sure[0, 2:, 2] = 1
        >>> known = Knowledge.of(sure, np.array([0, 0, 1, 1]), 2)
        >>> known.posterior(known.weights([(0, 1)])).round(2).tolist()
        [0.96, 0.04]
        """
        weight = np.full(len(self.label), 1.0) if start is None else start.copy()
        pooled = self.pooled
        for challenge, answer in given:
            at = answer if self.own[challenge, answer] else OTHER
            seen = self.probability[challenge, :, at]
            weight *= (1 - PRIOR) * seen + PRIOR * pooled[challenge, at]
            weight /= weight.sum()
        return weight / weight.sum()

    def posterior(self, weight: Array) -> Array:
        """Probability of each class."""
        return np.asarray(np.bincount(self.label, weight, self.classes), np.float64)

    def after_all(self, order: Sequence[int], answer: Labels) -> Array:
        """The posterior of many networks after each of some challenges, (network, given, class).

        Parameters
        ----------
        order : sequence of int
            Challenges, given to all of them in this order.
        answer : array (challenge, network)
        """
        hot = np.eye(self.classes)[self.label]
        weight = np.ones((answer.shape[1], len(self.label)))
        out = np.empty((answer.shape[1], len(order), self.classes))
        for k, c in enumerate(order):
            at = np.where(self.own[c, answer[c]], answer[c], OTHER)
            seen = self.probability[c][:, at].T
            weight *= (1 - PRIOR) * seen + PRIOR * self.pooled[c, at][:, None]
            weight /= weight.sum(axis=1, keepdims=True)
            out[:, k] = weight @ hot
        return out

    def information(self, weight: Array) -> Array:
        """Bits that each challenge's answer is expected to say about the class, (challenge,)."""
        # As many networks as weights so uneven are worth.
        worth = weight.sum() ** 2 / (weight**2).sum()
        hot = np.zeros((self.classes, len(self.label)))
        hot[self.label, np.arange(len(self.label))] = weight / weight.sum() * worth
        return corrected_information(hot @ self.probability)

    def predicted(self) -> Array:
        """Probability of each answer in each class, (challenge, class, answer)."""
        hot = np.zeros((self.classes, len(self.label)))
        hot[self.label, np.arange(len(self.label))] = 1
        share = (hot / hot.sum(axis=1, keepdims=True)) @ self.probability
        return np.asarray((1 - PRIOR) * share + PRIOR * self.pooled[:, None, :])


def ask_adaptively(
    known: Knowledge,
    answer: Labels,
    allowed: NDArray[np.bool_],
    most: int,
    cache: dict[tuple[tuple[int, int], ...], int],
) -> tuple[Array, list[int]]:
    """Give one network challenge after challenge, each the one that says most by then.

    Parameters
    ----------
    known : Knowledge
    answer : array (challenge,)
        What the network answers to each.
    allowed : array of bool (challenge,)
        Which may be given.
    most : int
        Challenges that are given.
    cache : dict
        Which challenge comes next, by what was answered; filled and used again.

    Returns
    -------
    posterior : array (most, class)
        After each; where none says anything more, as after the last.
    given : list of int
    """
    given: tuple[tuple[int, int], ...] = ()
    weight = known.weights(())
    posterior = np.empty((most, known.classes))
    for k in range(most):
        if given not in cache:
            gain = np.where(allowed, known.information(weight), -1.0)
            gain[[c for c, _ in given]] = -1.0
            best = int(np.argmax(gain))
            cache[given] = best if gain[best] >= LEAST_GAIN or not k else -1
        best = cache[given]
        if best < 0:
            posterior[k:] = known.posterior(weight)
            break
        at = int(answer[best])
        at = at if known.own[best, at] else OTHER
        weight = known.weights([(best, at)], weight)
        given = (*given, (best, at))
        posterior[k] = known.posterior(weight)
    return posterior, [c for c, _ in given]
