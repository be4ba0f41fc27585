"""What is put out, as short words: outputs in order, without silence and without flickers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MORE",
    "MOST_OUTPUTS",
    "Word",
    "first_answer",
    "going_on",
    "output_runs",
    "shortened",
    "until_settled",
]

Word = tuple[int, ...]

MOST_OUTPUTS = 3  # that a word tells
MORE = 99  # ends the word of more; no output is so high


def output_runs(symbols: NDArray[np.int8], shortest: int) -> list[int]:
    """Outputs in order, equal ones in a row once; those held for fewer steps are left out.

    Parameters
    ----------
    symbols : array (time,), int8
        What is put out at each step, see `solspace.tasks.symbols.read_symbols`.
    shortest : int
        Steps.

    Examples
    --------
    >>> output_runs(np.array([0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0], np.int8), 3)
    [0, 1, 0]
    """
    if not len(symbols):
        return []
    edges = np.flatnonzero(np.diff(symbols)) + 1
    begins = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(symbols)]])
    values = symbols[begins[ends - begins >= shortest]].tolist()
    return [v for i, v in enumerate(values) if i == 0 or values[i - 1] != v]


def shortened(outputs: Sequence[int]) -> Word:
    """A word of outputs that are not zero; of many the first few, and that there are more.

    Examples
    --------
    >>> shortened([0, 1, 0]), shortened([1, 0, -1, 0, 1, 0, -1])
    ((1,), (1, -1, 1, 99))
    """
    word = [int(v) for v in outputs if v]
    return tuple(word) if len(word) <= MOST_OUTPUTS else (*word[:MOST_OUTPUTS], MORE)


def first_answer(outputs: Sequence[int], asks: bool) -> Word:
    """The first output that is not zero, where there is one and a pulse asks for it.

    Examples
    --------
    >>> first_answer([0, -1, 0, 1], True), first_answer([0, 1], False)
    ((-1,), ())
    """
    return tuple(int(v) for v in outputs if v)[:1] if asks else ()


def going_on(symbols: NDArray[np.int8], shortest: int) -> tuple[Word, bool]:
    """What goes on for ever where these outputs come again and again.

    Parameters
    ----------
    symbols : array (time,), int8
        Of one turn.
    shortest : int
        Outputs held for fewer steps do not count.

    Returns
    -------
    word : tuple of int
        Nothing, one output, or several in the order in which they come, beginning so that the word
        is the smallest of all that tell the same.
    repeated : bool
        Whether there are pauses or changes; where not, one output is held.

    Examples
    --------
    >>> going_on(np.array([1, 1, 1, 0, 0, 0], np.int8), 3), going_on(np.array([1], np.int8), 3)
    (((1,), True), ((1,), False))
    """
    begins = np.flatnonzero(symbols != np.roll(symbols, 1))
    if len(begins):
        symbols = np.roll(symbols, -begins[0])
    runs = output_runs(symbols, shortest)
    if len(runs) > 1 and runs[0] == runs[-1]:
        runs.pop()
    if len(begins) and len(runs) > 1:
        word = [v for v in runs if v]
        n = len(word)
        size = next(k for k in range(1, n + 1) if n % k == 0 and word == word[:k] * (n // k))
        return min(tuple(word[i:size] + word[:i]) for i in range(size)), True
    # One output, or flickers alone, of which the commonest is taken.
    values, counts = np.unique(symbols, return_counts=True)
    held = runs[0] if runs else int(values[counts.argmax()])
    return ((held,) if held else ()), False


def until_settled(symbols: NDArray[np.int8], shortest: int, output: Word, repeated: bool) -> Word:
    """What is put out on the way to what a network settles to, without what goes on there.

    Parameters
    ----------
    symbols : array (time,), int8
        Until settled.
    shortest : int
    output, repeated
        What goes on, see `going_on`.

    Examples
    --------
    >>> until_settled(np.array([0, 0, 0, 1, 1, 1, 0, 0, 0], np.int8), 3, (), False)
    (1,)
    >>> until_settled(np.array([-1, -1, -1, 0, 0, 0, 1, 1, 1], np.int8), 3, (1,), True)
    (-1,)
    """
    if not repeated:
        held = output[0] if output else 0
        runs = output_runs(np.append(symbols, np.full(shortest, held, np.int8)), shortest)
        return shortened(runs[:-1])
    word = [v for v in output_runs(symbols, shortest) if v]
    left = len(word)
    for shift in range(len(output)):
        k = len(word)
        while k and word[k - 1] == output[(k - 1 + shift) % len(output)]:
            k -= 1
        left = min(left, k)
    return shortened(word[:left])
