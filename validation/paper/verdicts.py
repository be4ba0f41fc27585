"""When a panel is said to agree with the paper: rules on numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from solspace.diversity import total_variation
from validation.paper.published import CLASSES, NETWORKS

__all__ = ["RULES", "Verdict", "alike", "apart", "by_class", "by_rank"]

TOGETHER, APART, ROUND = 0.1, 0.25, 0.5

RULES = f"""\
- *Counts* of two samples agree where they differ by no more than 1.96 times the standard deviation
  of the difference of two binomial counts with their common share.
- *Histograms* agree where the 95 % interval of their total variation distance reaches down to what
  chance gives two samples of one distribution in one of twenty (`solspace.diversity`).
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


def apart(theirs: list[int], ours: list[int]) -> tuple[str, bool]:
    """Total variation distance of two histograms over the same classes, and whether they agree.

    Examples
    --------
    >>> apart([200, 150, 50], [204, 143, 53])
    ('0.02 (95 %: 0.00 to 0.04; by chance 0.08 in one of twenty)', True)
    """
    d = total_variation(theirs, ours)
    return (
        f"{d.counted:.2f} (95 %: {d.low:.2f} to {d.high:.2f}; by chance {d.floor_high:.2f} in one "
        "of twenty)",
        d.low <= d.floor_high,
    )


def by_rank(
    population: str, ours: Mapping[str, int], smallest: int = 10
) -> tuple[list[int], list[int]]:
    """Sizes of classes of ten or more by rank, theirs and ours, and last of all others.

    They say nothing about which graphs these are.

    Examples
    --------
    >>> by_rank("interval_reproduction/vanilla", {"a": 274, "b": 61, "c": 5, "d": 60})
    ([274, 61, 20, 19, 26], [274, 61, 60, 0, 5])
    """
    theirs = sorted((c.size for c in CLASSES[population]), reverse=True)
    large = sorted((n for n in ours.values() if n >= smallest), reverse=True)
    length = max(len(theirs), len(large))
    return (
        [*theirs, *[0] * (length - len(theirs)), NETWORKS - sum(theirs)],
        [*large, *[0] * (length - len(large)), sum(ours.values()) - sum(large)],
    )
