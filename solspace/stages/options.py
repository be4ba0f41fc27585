"""Options of a stage, read from the signature and the docstring of its function."""

from __future__ import annotations

import collections.abc
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solspace.errors import SolspaceError

__all__ = ["Option", "check_options", "options_of"]

# Given by whoever calls a stage, never typed as an option of it.
RESERVED = ("task", "progress", "stop")


@dataclass(frozen=True)
class Option:
    """One option of a stage.

    Attributes
    ----------
    name : str
    default : object
    type : callable
        Makes its value, or each of its values, from text.
    many : bool
        Whether it takes several values.
    choices : tuple or None
        All values there are.
    help : str
        From the function's docstring.
    typed : bool
        Whether the command line offers it.
    """

    name: str
    default: Any
    type: Callable[[str], Any]
    many: bool = False
    choices: tuple[Any, ...] | None = None
    help: str = ""
    typed: bool = True


def options_of(
    function: Callable[..., Any], prepared: Sequence[str] = (), own: Sequence[str] = ()
) -> dict[str, Option]:
    """The keyword arguments of a function that can be typed as options.

    Parameters
    ----------
    function : callable
    prepared : sequence of str
        Arguments made from the population by the stage itself.
    own : sequence of str
        Arguments that the command line does not offer.

    Raises
    ------
    SolspaceError
        For an argument whose type cannot be told from its annotation or default.

    Examples
    --------
    >>> def participation(ds, *, components: int = 3, method: typing.Literal["a", "b"] = "a"):
    ...     '''Participation.
    ...
    ...     Parameters
    ...     ----------
    ...     components : int
    ...         How many are looked at.
    ...     '''
    >>> found = options_of(participation)
    >>> found["components"].help, found["method"].choices
    ('how many are looked at', ('a', 'b'))
    """
    told = _told_parameters(inspect.getdoc(function) or "")
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if name in RESERVED or name in prepared:
            continue
        if parameter.default is inspect.Parameter.empty:
            raise SolspaceError(
                f"option {name!r} of stage {function.__name__!r} has no default; give it one"
            )
        kind, many, choices = _type_of(parameter, function)
        found[name] = Option(
            name, parameter.default, kind, many, choices, told.get(name, ""), name not in own
        )
    return found


def _type_of(
    parameter: inspect.Parameter, function: Callable[..., Any]
) -> tuple[Callable[[str], Any], bool, tuple[Any, ...] | None]:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        names = {**vars(typing), **vars(collections.abc)}
        names |= vars(sys.modules.get(function.__module__, types.ModuleType("none")))
        try:
            annotation = eval(annotation, names)
        except Exception:
            annotation = inspect.Parameter.empty
    if annotation is inspect.Parameter.empty:
        default = parameter.default
        many = isinstance(default, (tuple, list))
        kind = type(default[0] if many and default else default)
        if kind is type(None) or (many and not default):
            kind = str
        annotation = Sequence[kind] if many else kind  # type: ignore[valid-type]
    return _resolve(annotation, parameter.name, function.__name__)


def _resolve(
    annotation: Any, name: str, stage: str
) -> tuple[Callable[[str], Any], bool, tuple[Any, ...] | None]:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in args if a is not type(None)]
        if inner:
            return _resolve(inner[0], name, stage)
    if origin is typing.Literal:
        return type(args[0]), False, args
    if origin in (collections.abc.Sequence, collections.abc.Iterable, list, tuple):
        inner_args = [a for a in args if a is not Ellipsis]
        kind, _, choices = _resolve(inner_args[0] if inner_args else str, name, stage)
        return kind, True, choices
    if annotation in (int, float, str, bool):
        return annotation, False, None
    raise SolspaceError(
        f"option {name!r} of stage {stage!r} is annotated {annotation!r}; options are int, float, "
        "str, bool, Literal, or sequences of them"
    )


_ENTRY = re.compile(r"^(\w[\w, ]*?)(?: : .*)?$")


def _told_parameters(doc: str) -> dict[str, str]:
    """What a NumPy style docstring says of each parameter, its first sentence."""
    lines = doc.split("\n")
    try:
        start = next(
            i
            for i in range(len(lines) - 1)
            if lines[i].strip() == "Parameters" and set(lines[i + 1].strip()) == {"-"}
        )
    except StopIteration:
        return {}
    out: dict[str, str] = {}
    names: list[str] = []
    text: list[str] = []

    def end() -> None:
        sentence = re.split(r"(?<=[a-z0-9\)])[.;] ", " ".join(text).strip())[0].rstrip(".")
        # A flag's help begins small; a name or a sign keeps its capital.
        if sentence[:2].istitle() or (sentence[:1].isupper() and sentence[1:2].islower()):
            sentence = sentence[0].lower() + sentence[1:]
        for name in names:
            out[name] = sentence.replace("`", "")

    for i in range(start + 2, len(lines)):
        line = lines[i]
        if i + 1 < len(lines) and lines[i + 1].strip() and set(lines[i + 1].strip()) == {"-"}:
            break
        if line and not line.startswith(" "):
            end()
            match = _ENTRY.match(line)
            names = [n.strip() for n in match.group(1).split(",")] if match else []
            text = []
        elif line.strip():
            text.append(line.strip())
    end()
    return out


def check_options(stage: str, known: Mapping[str, Option], given: Mapping[str, Any]) -> None:
    """Refuse options that a stage does not have, or values it does not know.

    Examples
    --------
    >>> check_options("reduce", {}, {"speed": 3})
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: reduce has no option 'speed'; options: none
    """
    for name, value in given.items():
        if name not in known:
            raise SolspaceError(
                f"{stage} has no option {name!r}; options: {', '.join(known) or 'none'}"
            )
        choices = known[name].choices
        values = value if known[name].many and isinstance(value, (list, tuple)) else [value]
        if choices and value is not None and not set(values) <= set(choices):
            raise SolspaceError(
                f"{name}={value!r} for {stage}; give one of {', '.join(map(str, choices))}"
            )
