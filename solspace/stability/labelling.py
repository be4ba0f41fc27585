"""Labels of one network, each with the reason where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.labels import get_label, label_names, label_network
from solspace.stages.options import options_of
from solspace.tasks import Task

__all__ = ["AskedLabel", "Labelled", "asked_labels", "label_one"]


@dataclass(frozen=True)
class AskedLabel:
    """A label, and the options it is computed with.

    Attributes
    ----------
    spelled : str
        As it is typed, ``NAME`` or ``NAME:OPTION=VALUE``.
    name : str
        Of `solspace.labels.label_names`.
    options : dict
    """

    spelled: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)


class Labelled(NamedTuple):
    """A network's value of one label, or why it has none."""

    key: str
    reason: str = ""


def asked_labels(
    labels: Sequence[str] | None = None, attrs: Mapping[str, Any] | None = None
) -> tuple[AskedLabel, ...]:
    """Labels as they are typed; all there are where none are.

    Parameters
    ----------
    labels : sequence of str, optional
        ``NAME``, or with options of the label ``NAME:OPTION=VALUE``, further ones after a further
        colon.
    attrs : mapping, optional
        A population's; where an option is not typed it is that of the population's own label.

    Raises
    ------
    SolspaceError
        For a label or an option that there is not, or one given twice.

    Examples
    --------
    >>> asked_labels(["graph_key", "automaton_key:method=automaton"])[1].options
    {'method': 'automaton'}
    """
    spelled = label_names() if labels is None else tuple(labels)
    if not spelled or len(set(spelled)) < len(spelled):
        raise SolspaceError(
            f"labels {', '.join(spelled) or '(none)'}; give one or more, each once, or leave it "
            "out for all"
        )
    return tuple(_asked(text, attrs or {}) for text in spelled)


def _asked(spelled: str, attrs: Mapping[str, Any]) -> AskedLabel:
    name, *pairs = spelled.split(":")
    record = get_label(name)
    known = options_of(record.compute)
    typed = {}
    for pair in pairs:
        option, equals, text = pair.partition("=")
        if not equals or option not in known:
            raise SolspaceError(
                f"label {spelled!r}: {pair!r} is no option of {name}; give OPTION=VALUE, options: "
                f"{', '.join(known) or 'none'}"
            )
        choices = known[option].choices
        try:
            typed[option] = known[option].type(text)
        except ValueError:
            raise SolspaceError(
                f"label {spelled!r}: {text!r} is no {known[option].type.__name__}; give one, such "
                f"as {option}={known[option].default}"
            ) from None
        if choices and typed[option] not in choices:
            raise SolspaceError(
                f"label {spelled!r}: {option}={text}; give one of {', '.join(map(str, choices))}"
            )
    return AskedLabel(spelled, name, {**record.options_of(attrs), **typed})


def label_one(
    task: Task, architecture: str, weights: Mapping[str, NDArray[Any]], labels: Sequence[AskedLabel]
) -> list[Labelled]:
    """All labels of one network; one that it cannot be given does not stop the others."""
    out = []
    for label in labels:
        try:
            key = label_network(task, architecture, weights, label.name, **label.options)
            out.append(Labelled(key))
        except SolspaceError as error:
            out.append(Labelled("", str(error)))
    return out
