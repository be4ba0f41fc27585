"""When a panel is said to agree with the paper: rules on numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from validation.paper.published import CLASSES, NETWORKS

__all__ = ["RULES", "Verdict", "alike", "by_class", "distance", "rank_distance"]

# Two samples of 400 from one distribution are further apart than this in one of twenty.
FAR = 0.10
TOGETHER, APART, ROUND = 0.1, 0.25, 0.5

RULES = f"""\
- *Counts* of two samples agree where they differ by no more than 1.96 times the standard deviation
  of the difference of two binomial counts with their common share.
- *Histograms* agree where their total variation distance is at most {FAR:.2f}: two samples of 400
  from one distribution are further apart in one of twenty.
- *Epochs* run together where the mean distance of the states of the second from the nearest of the
  first is under {TOGETHER} of the root mean square distance of all from their mean, apart where it
  is over {APART}.
- A path is *nearly a circle* where the spread along its second principal component is at least
  {ROUND} of that along its first.
- A *kappa* agrees where the paper's is within our 95 % interval.
"""


@dataclass(frozen=True)
class Verdict:
    """What is said of a panel.

    Attributes
    ----------
    panel : str
    text : str
        With the numbers.
    agrees : bool or None
        None where the paper states nothing to hold it against.
    """

    panel: str
    text: str
    agrees: bool | None

    def __str__(self) -> str:
        word = {True: "Agrees.", False: "Does not agree.", None: "Nothing to compare."}
        return f"- **{self.panel}** {self.text} *{word[self.agrees]}*"


def alike(one: float, other: float, networks: float, others: float = NETWORKS) -> bool:
    """Whether two counts differ by no more than two samples do.

    Examples
    --------
    >>> alike(283, 274, 400), alike(0, 20, 400)
    (True, False)
    """
    share = (one + other) / (networks + others)
    spread = np.sqrt(share * (1 - share) * (1 / networks + 1 / others))
    return bool(abs(one / networks - other / others) <= 1.96 * spread)


def by_class(population: str, keys: Iterable[str]) -> tuple[list[int], list[int]]:
    """Networks of each of the authors' classes, theirs and ours, and last of no such class.

    Examples
    --------
    >>> by_class("interval_reproduction/vanilla", ["v1:0|>1,set>0;1|>0", "v1:0|", ""])
    ([274, 61, 20, 19, 26], [0, 0, 1, 0, 2])
    """
    count = Counter(map(str, keys))
    classes = CLASSES[population]
    theirs = [c.size for c in classes]
    ours = [sum(count[graph] for graph in c.graphs) for c in classes]
    return [*theirs, NETWORKS - sum(theirs)], [*ours, count.total() - sum(ours)]


def distance(theirs: list[int], ours: list[int]) -> float:
    """Total variation distance of two histograms over the same classes.

    Examples
    --------
    >>> distance([1, 1], [2, 0])
    0.5
    """
    one, other = np.array(theirs, float), np.array(ours, float)
    return float(0.5 * np.abs(one / one.sum() - other / other.sum()).sum())


def rank_distance(population: str, ours: Mapping[str, int], smallest: int = 10) -> float:
    """`distance` of classes of ten or more by rank, which says nothing about their graphs.

    Examples
    --------
    >>> rank_distance("interval_reproduction/vanilla", {"a": 274, "b": 61, "c": 20, "d": 45})
    0.065
    """
    theirs = sorted((c.size for c in CLASSES[population]), reverse=True)
    large = sorted((n for n in ours.values() if n >= smallest), reverse=True)
    length = max(len(theirs), len(large))
    total = sum(ours.values())
    return distance(
        [*theirs, *[0] * (length - len(theirs)), NETWORKS - sum(theirs)],
        [*large, *[0] * (length - len(large)), total - sum(large)],
    )
