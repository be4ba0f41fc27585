"""Which label is good enough to be called the solution: a rule, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from solspace.errors import SolspaceError

__all__ = ["Choice", "LabelScores", "Rule", "choose_label", "sentence"]


@dataclass(frozen=True)
class LabelScores:
    """What is known of one label in one population; None where it is not known.

    Attributes
    ----------
    label : str
    networks : int
        That have it.
    classes : int
        Its distinct values.
    small : float or None
        Share of networks in classes of less than ten. Of a sample of a population, in which a class
        is smaller, it is not known.
    recall, specificity : float or None
        On held-out sequences: share of what networks do that the label allows, share of what
        others do otherwise that it forbids. Of a label that allows and forbids nothing, None.
    stability : float or None
        Share of networks that keep it at relative weight noise of 1e-3.
    """

    label: str
    networks: int
    classes: int
    small: float | None
    recall: float | None = None
    specificity: float | None = None
    stability: float | None = None


@dataclass(frozen=True)
class Rule:
    """What a label has to meet.

    Attributes
    ----------
    recall, specificity, stability : float
        At least.
    small : float
        At most.
    """

    recall: float = 0.95
    specificity: float = 0.8
    stability: float = 0.95
    small: float = 0.1

    def unknown(self, scores: LabelScores) -> list[str]:
        """What would have to be known of a label to judge it."""
        wanted = ("recall", "specificity", "stability", "small")
        return [name for name in wanted if getattr(scores, name) is None]

    def misses(self, scores: LabelScores) -> dict[str, float]:
        """By how much a label misses each number; those it meets are left out.

        Examples
        --------
        >>> scores = LabelScores("mine", 400, 9, 0.03, 0.9, 0.85, 0.97)
        >>> {name: round(miss, 2) for name, miss in Rule().misses(scores).items()}
        {'recall': 0.05}
        """
        if unknown := self.unknown(scores):
            what = _NAMED[unknown[0]]
            raise SolspaceError(f"{scores.label}: {what} is not known; give it, or leave it out")
        at_least = ("recall", "specificity", "stability")
        short = {name: getattr(self, name) - getattr(scores, name) for name in at_least}
        short["small"] = (scores.small or 0.0) - self.small
        return {name: miss for name, miss in short.items() if miss > 0}


@dataclass(frozen=True)
class Choice:
    """The label of a population by a rule.

    Attributes
    ----------
    scores : LabelScores or None
        Of the label chosen; None where no label could be judged.
    misses : dict of str to float
        What it misses, and by how much; empty where it meets the rule.
    unjudged : dict of str to list of str
        Labels of which something is not known, and what.
    """

    scores: LabelScores | None
    misses: dict[str, float] = field(default_factory=dict)
    unjudged: dict[str, list[str]] = field(default_factory=dict)

    @property
    def meets(self) -> bool:
        return self.scores is not None and not self.misses


def choose_label(table: Sequence[LabelScores], rule: Rule | None = None) -> Choice:
    """The coarsest label that meets the rule; where none does, the nearest.

    Coarsest is the label of the fewest classes. Nearest is the one whose misses add up to the
    least, and of two such the coarser.

    Parameters
    ----------
    table : sequence of LabelScores
        All of one population.
    rule : Rule, optional

    Returns
    -------
    Choice

    Raises
    ------
    SolspaceError
        For an empty table.

    Examples
    --------
    >>> fine = LabelScores("fine", 400, 60, 0.3, 1.0, 0.9, 0.99)
    >>> good = LabelScores("good", 400, 20, 0.08, 0.97, 0.85, 0.98)
    >>> rough = LabelScores("rough", 400, 4, 0.01, 0.5, 0.9, 0.99)
    >>> choose_label([fine, good, rough]).scores.label
    'good'
    >>> choice = choose_label([fine, rough])
    >>> choice.scores.label, {name: round(miss, 2) for name, miss in choice.misses.items()}
    ('fine', {'small': 0.2})
    """
    if not table:
        raise SolspaceError("no labels to choose from; give LabelScores of one or more")
    rule = rule or Rule()
    unjudged = {scores.label: rule.unknown(scores) for scores in table if rule.unknown(scores)}
    judged = [(rule.misses(scores), scores) for scores in table if scores.label not in unjudged]
    if not judged:
        return Choice(None, {}, unjudged)
    misses, scores = min(judged, key=lambda one: (sum(one[0].values()), one[1].classes))
    return Choice(scores, misses, unjudged)


_NAMED = {
    "recall": "recall",
    "specificity": "specificity",
    "stability": "stability at 1e-3 weight noise",
    "small": "classes of the whole population",
}


def _said(name: str, value: float, wanted: float) -> str:
    """What a label misses, in words."""
    if name == "stability":
        return (
            f"{_percent(value)} of networks keep it at 1e-3 weight noise, wanted {_percent(wanted)}"
        )
    if name == "small":
        return (
            f"{_percent(value)} of networks in classes under ten, at most {_percent(wanted)} wanted"
        )
    return f"{name} {value:.2f}, wanted {wanted:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def sentence(population: str, choice: Choice, rule: Rule | None = None) -> str:
    """What the rule says of a population, in words.

    Examples
    --------
    >>> rough = LabelScores("rough", 400, 4, 0.01, 0.5, 0.9, 0.99)
    >>> print(sentence("interval_reproduction/gru", choose_label([rough])))
    interval_reproduction/gru: no label meets the rule; the nearest is `rough` (4 classes), which
    misses it by recall 0.50, wanted 0.95.
    """
    rule = rule or Rule()
    told = [
        f"`{label}` ({', '.join(_NAMED[one] for one in what)})"
        for label, what in choice.unjudged.items()
    ]
    rest = f" Not judged, as these are not known: {'; '.join(told)}." if told else ""
    scores = choice.scores
    if scores is None:
        return f"{population}: no label can be judged.{rest}"
    if choice.meets:
        assert scores.small is not None and scores.stability is not None
        return (
            f"{population}: `{scores.label}` is the coarsest label that meets the rule "
            f"({scores.classes} classes, {_percent(scores.small)} of networks in classes under "
            f"ten, recall {scores.recall:.2f}, specificity {scores.specificity:.2f}, "
            f"{_percent(scores.stability)} keep it at 1e-3 weight noise).{rest}"
        )
    missed = "; ".join(
        _said(name, getattr(scores, name), getattr(rule, name)) for name in choice.misses
    )
    return (
        f"{population}: no label meets the rule; the nearest is `{scores.label}` "
        f"({scores.classes} classes), which misses it by {missed}.{rest}"
    )
