"""What a machine is called, and what it says in words."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from solspace.responses.machine import SETTLED, Edge, Machine, Pulses, State
from solspace.responses.words import MORE, Word
from solspace.tasks.protocol import Notch
from solspace.tasks.symbols import named_symbol, symbol_text
from solspace.tasks.task import Task

__all__ = [
    "VERSION",
    "describe_machine",
    "letter",
    "machine_text",
    "pulse_text",
    "read_pulses",
    "response_key",
    "word_text",
]

VERSION = "r1"
LONGEST_KEY = 96
LONGEST_DESCRIPTION = 512


def word_text(word: Word, channels: int = 1) -> str:
    """A word, outputs one after the other; of several channels with a sign for each.

    Examples
    --------
    >>> word_text((1, -1)), word_text(()), word_text((1, 1, 1, 99))
    ('1-1', '', '111+')
    >>> word_text((2, 3), channels=2), word_text((1, 1, 1, 99), channels=2)
    ('-+.0+', '+0.+0.+0.more')
    """
    if channels > 1:
        return ".".join("more" if v == MORE else symbol_text(v, channels) for v in word)
    return "".join("+" if v == MORE else str(v) for v in word)


def pulse_text(pulses: Pulses, symbols: Sequence[str]) -> str:
    """Pulses in order, those before the network has settled with the steps that they come after.

    Examples
    --------
    >>> pulse_text(((-1, 1), (20, 1)), ("autonomous", "set"))
    'set set@20'
    """
    return " ".join(
        symbols[symbol] if wait == SETTLED else f"{symbols[symbol]}@{wait}"
        for wait, symbol in pulses
    )


def read_pulses(text: str, symbols: Sequence[str]) -> Pulses:
    """What `pulse_text` wrote.

    Examples
    --------
    >>> read_pulses("set set@20", ("autonomous", "set"))
    ((-1, 1), (20, 1))
    """
    found = []
    for item in text.split():
        name, _, wait = item.rpartition("@") if "@" in item else (item, "", "")
        found.append((int(wait) if wait else SETTLED, list(symbols).index(name)))
    return tuple(found)


def own_text(state: State, channels: int = 1) -> str:
    """What goes on in a state: ``0``, an output that is held, or in brackets what is repeated."""
    text = word_text(state.output, channels) or "0"
    return f"({text})" if state.repeated and state.output else text


def machine_text(machine: Machine, symbols: Sequence[str], channels: int = 1) -> str:
    """A machine as a string, equal exactly where two machines are.

    One item a state, the start first: what goes on there, then its edges, each with its pulses,
    what is put out after each of them and the number of the state it leads to.

    Examples
    --------
    >>> start, rest = State("start"), State("point")
    >>> edges = Edge(0, 1, (), ((1,),)), Edge(1, 1, ((SETTLED, 1),), ((1,),))
    >>> machine_text(Machine((start, rest), edges), ("autonomous", "set"))
    '/1>1;0|set/1>1'
    """
    items = []
    for i, state in enumerate(machine.states):
        edges = ",".join(
            f"{pulse_text(edge.pulses, symbols)}/"
            f"{':'.join(word_text(word, channels) for word in edge.words)}>{edge.target}"
            for edge in machine.leaving(i)
        )
        items.append(f"{own_text(state, channels)}|{edges}" if i else edges)
    return ";".join(items)


def response_key(machine: Machine, task: Task, notch: Notch) -> str:
    """The name of a machine: the same for two networks exactly where their machines are equal.

    After the version of the format come the task with the version of its protocol, the notch, and
    the machine as `machine_text` writes it, or a digest where that is longer than a store keeps.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> from solspace.tasks.protocol import NOTCHES
    >>> start, rest = State("start"), State("point")
    >>> edges = Edge(0, 1, (), ((1,),)), Edge(1, 1, ((SETTLED, 1),), ((1,),))
    >>> task = get_task("interval_reproduction")
    >>> response_key(Machine((start, rest), edges), task, NOTCHES[-1])
    'r1:interval_reproduction1:settled:/1>1;0|set/1>1'
    """
    assert task.protocol is not None
    text = machine_text(machine, task.input_symbols, len(task.outputs))
    where = f"{VERSION}:{task.name}{task.protocol.version}:{notch.name}:"
    if len(where) + len(text) <= LONGEST_KEY:
        return where + text
    digest = blake2b(f"{where}{text}".encode(), digest_size=8).hexdigest()
    # The name of a task of one's own may be long.
    return f"{where[: LONGEST_KEY - 18]}#{digest}"


def describe_machine(machine: Machine, task: Task, notch: Notch) -> str:
    """What a machine says, in words: all of it, so that no two machines are worded alike.

    States are lettered in the order of the machine, after the start. One sentence says what was
    asked, one what silence leads to from the start, and one for each state what goes on there and
    what pulses given there lead to. Where that is longer than a store keeps, sentences are left
    out from the end, which is said, and the digest of the machine stands in for them.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> from solspace.tasks.protocol import NOTCHES
    >>> start, rest = State("start"), State("point")
    >>> edges = Edge(0, 1, (), ((1,),)), Edge(1, 1, ((SETTLED, 1),), ((1,),))
    >>> describe_machine(Machine((start, rest), edges), get_task("interval_reproduction"),
    ...                  NOTCHES[-1])
    'Pulses, each after long silence. From the start, left alone: one output, then A. In A, \
silent, set: one output, then A.'
    """
    assert task.output_symbol is not None
    several = len(task.outputs) > 1
    signed = several or int(task.output_symbol(np.array([-1.0]))[0]) < 0
    names = task.outputs if signed else ()
    asks = notch.asks[:1].upper() + notch.asks[1:]
    sentences = [f"{asks}."]
    for i, state in enumerate(machine.states):
        told = "; ".join(_outcomes(machine, i, task.input_symbols, names, notch.answers))
        # Of what goes on nothing is told where answers alone count.
        here = f"In {letter(i)}" + ("" if notch.answers else f", {_goes_on(state, names)}")
        sentences.append(f"{here if i else 'From the start'}, {told or 'no more was asked'}.")
    text = " ".join(sentences)
    if len(text) <= LONGEST_DESCRIPTION:
        return text
    whole = machine_text(machine, task.input_symbols, len(task.outputs))
    digest = blake2b(whole.encode(), digest_size=8).hexdigest()
    end = f" And more (#{digest})."
    return text[: LONGEST_DESCRIPTION - len(end) - 3].rpartition(" ")[0] + " ..." + end


def _outcomes(
    machine: Machine, state: int, symbols: Sequence[str], signed: Sequence[str], answers: bool
) -> list[str]:
    """What pulses lead to in a state, pulses that lead to the same together."""
    by_pulses: dict[Pulses, list[Edge]] = {}
    for edge in machine.leaving(state):
        by_pulses.setdefault(edge.pulses, []).append(edge)
    told: dict[str, list[str]] = {}
    for pulses, edges in by_pulses.items():
        ends = dict.fromkeys(_ends(edge, signed, answers) for edge in edges)
        told.setdefault(" or ".join(ends), []).append(_given(pulses, symbols))
    return [f"{_either(pulses)}: {does}" for does, pulses in told.items()]


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _given(pulses: Pulses, symbols: Sequence[str]) -> str:
    """Pulses in words.

    Examples
    --------
    >>> _given(((SETTLED, 1), (20, 1)), ("autonomous", "set"))
    'set and set 20 steps later'
    """
    if not pulses:
        return "left alone"
    told = [
        symbols[symbol] + ("" if wait == SETTLED else f" {wait} steps later")
        for wait, symbol in pulses
    ]
    return " and ".join(told)


def _ends(edge: Edge, signed: Sequence[str], answers: bool) -> str:
    if answers and not any(edge.words):  # which may be one that was not waited for
        return letter(edge.target)
    words = [_said(word, signed) for word in edge.words]
    # What is put out before each pulse counts as well.
    said = " | ".join(words) if any(edge.words[:-1]) else words[-1]
    return f"{said}{' first' if answers else ''}, then {letter(edge.target)}"


def _said(word: Word, signed: Sequence[str]) -> str:
    """A word in words; outputs by name where they have signs.

    Examples
    --------
    >>> _said((), ()), _said((1,), ()), _said((1, -1), ("go",)), _said((1, 1, 1, 99), ())
    ('silence', 'one output', '+1 -1', '3 outputs and more')
    """
    if not word:
        return "silence"
    more = " and more" if word[-1] == MORE else ""
    outputs = [v for v in word if v != MORE]
    if signed:
        return _signs(outputs, signed) + more
    if len(outputs) == 1:
        return "one output" + more
    return f"{len(outputs)} outputs{more}"


def _signs(outputs: Sequence[int], names: Sequence[str]) -> str:
    return (", " if len(names) > 1 else " ").join(named_symbol(v, names) for v in outputs)


def _goes_on(state: State, signed: Sequence[str]) -> str:
    if not state.output:
        return "silent"
    outputs = _signs(state.output, signed) if signed else "output"
    return f"{outputs} {'again and again' if state.repeated else 'that lasts'}"


def letter(state: int) -> str:
    """A for the first state after the start, then B; AA after Z."""
    text = ""
    while state:
        state, digit = divmod(state - 1, 26)
        text = chr(ord("A") + digit) + text
    return text
