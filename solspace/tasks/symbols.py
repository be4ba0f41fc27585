"""What a network puts out, as one whole number a step, however many outputs it has.

Each output is -1, 0 or 1 (the task's ``output_symbol``). Those of several outputs together are a
number in balanced ternary, the first output the units: the sum of symbol times 3 to the power of
the output's position. Of one output it is the symbol itself; 0 is silence in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    from solspace.tasks.task import Task

__all__ = [
    "HIGHEST_SYMBOL",
    "MOST_OUTPUTS",
    "named_symbol",
    "read_symbols",
    "split_symbol",
    "symbol_text",
]

MOST_OUTPUTS = 4
HIGHEST_SYMBOL = (3**MOST_OUTPUTS - 1) // 2


def read_symbols(task: Task, output: NDArray[Any]) -> NDArray[np.int8]:
    """The symbols of all outputs at each step, as one number.

    Parameters
    ----------
    task : Task
        With an ``output_symbol``.
    output : array (..., output)
        Readout values.

    Returns
    -------
    array (...), int8

    Raises
    ------
    SolspaceError
        Where the task has more than `MOST_OUTPUTS` outputs, or gives other symbols than -1, 0, 1.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from solspace.tasks import get_task
    >>> task = get_task("delayed_discrimination")
    >>> read_symbols(task, np.array([[0.1], [-0.9]])).tolist()
    [0, -1]
    >>> two = replace(task, outputs=("left", "right"))
    >>> read_symbols(two, np.array([[0.1, 1.0], [-0.9, 1.0]])).tolist()
    [3, 2]
    """
    assert task.output_symbol is not None
    channels = len(task.outputs)
    if channels == 1:
        return task.output_symbol(output[..., 0])
    if channels > MOST_OUTPUTS:
        raise SolspaceError(
            f"task {task.name!r} has {channels} outputs, and the symbols of at most {MOST_OUTPUTS} "
            "are told apart"
        )
    # Each by itself: what reads one output need not know of others.
    each = [np.asarray(task.output_symbol(output[..., c])) for c in range(channels)]
    for name, symbols in zip(task.outputs, each, strict=True):
        if symbols.size and not np.isin(symbols, (-1, 0, 1)).all():
            wrong = symbols[~np.isin(symbols, (-1, 0, 1))][0]
            raise SolspaceError(
                f"task {task.name!r}: output_symbol gives {wrong} for output {name!r}; let it give "
                "-1, 0 or 1"
            )
    together: NDArray[np.int8] = sum(
        (symbols.astype(np.int8) * np.int8(3**c) for c, symbols in enumerate(each)),
        np.zeros(output.shape[:-1], np.int8),
    )
    return together


def split_symbol(value: int, channels: int) -> tuple[int, ...]:
    """The symbol of each output in a number of `read_symbols`.

    Examples
    --------
    >>> split_symbol(2, 2), split_symbol(-13, 3), split_symbol(1, 1)
    ((-1, 1), (-1, -1, -1), (1,))
    """
    found = []
    for _ in range(channels):
        digit = (value + 1) % 3 - 1
        found.append(digit)
        value = (value - digit) // 3
    return tuple(found)


def symbol_text(value: int, channels: int) -> str:
    """A number of `read_symbols` as text: of one output the number, of several a sign for each.

    Examples
    --------
    >>> symbol_text(-1, 1), symbol_text(2, 2), symbol_text(0, 3)
    ('-1', '-+', '000')
    """
    if channels == 1:
        return str(value)
    return "".join("0+-"[symbol] for symbol in split_symbol(value, channels))


def named_symbol(value: int, outputs: Sequence[str]) -> str:
    """The same in words: of one output its value, of several those that are not silent by name.

    Examples
    --------
    >>> named_symbol(1, ["go"]), named_symbol(2, ["left", "right"]), named_symbol(3, ["a", "b"])
    ('+1', 'left -1 right +1', 'b +1')
    """
    if len(outputs) < 2:
        return f"{value:+d}"
    symbols = split_symbol(value, len(outputs))
    return " ".join(f"{n} {s:+d}" for n, s in zip(outputs, symbols, strict=True) if s)
