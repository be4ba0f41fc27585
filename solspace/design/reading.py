"""What of an output over time is an answer: what is put out first, when, and how it goes on."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = [
    "CHOICES", "ENDINGS", "Answered", "answer_table", "choice_shares", "choice_table",
    "code_of_text", "code_text", "likeness", "read_answers",
]  # fmt: skip

ONCE = 1
ENDINGS = ("none", "once", "again", "held")
CHOICES = (-1, 0, 1)  # answers by one choice, in the order of their shares; 0 is none
RAREST = 0.005  # answers of one network that are rarer under noise are left out
# How much less alike answers are, by factors of e: for a symbol or ending that differs, and for a
# bin of time, of which three and more are as three. Tuned on stores/high_rate.zarr.
APART, BIN_APART, MOST_BINS = 1.0, 0.5, 3


class Answered(NamedTuple):
    """Answers (..., stretch).

    Attributes
    ----------
    first : array, int8
        The symbol first put out; 0 for none.
    time : array, float32
        When, in steps from the onset of the pulse before; NaN for none.
    ending : array, int8
        Position in `ENDINGS`: nothing, one output, several, or one held on; -1 past the last
        stretch.
    """

    first: NDArray[np.int8]
    time: NDArray[np.float32]
    ending: NDArray[np.int8]


@njit(cache=True, nogil=True)
def _read(symbols, stretches, shortest, held, first, time, ending):  # type: ignore[no-untyped-def]
    for i in range(symbols.shape[0]):
        for k in range(stretches.shape[1]):
            origin, at, stop = stretches[i, k]
            if origin < 0:
                continue
            ending[i, k] = 0
            while at < stop:
                end = at + 1
                while end < stop and symbols[i, end] == symbols[i, at]:
                    end += 1
                if symbols[i, at] != 0 and end - at >= shortest:
                    if ending[i, k] == 0:
                        first[i, k] = symbols[i, at]
                        time[i, k] = at - origin
                        ending[i, k] = 1
                    elif ending[i, k] == 1:
                        ending[i, k] = 2
                    if end - at >= held:
                        ending[i, k] = 3
                at = end


def read_answers(
    symbols: NDArray[np.int8], stretches: NDArray[np.int64], *, shortest: int, held: int
) -> Answered:
    """The answers in outputs over time.

    Parameters
    ----------
    symbols : array (trial, time), int8
        See `solspace.tasks.symbols.read_symbols`.
    stretches : array (trial, stretch, 3)
        Origin, first step and end of each stretch; -1 past the last of a trial.
    shortest, held : int
        Steps below which an output is a flicker, and from which on it is held.

    Examples
    --------
    >>> symbols = np.array([[0, 0, 0, 1, 1, 0, 0, -1, -1, -1]], np.int8)
    >>> found = read_answers(symbols, np.array([[[1, 2, 10]]]), shortest=2, held=5)
    >>> found.first.tolist(), found.time.tolist(), ENDINGS[found.ending[0, 0]]
    ([[1]], [[2.0]], 'again')
    """
    shape = stretches.shape[:2]
    out = Answered(
        np.zeros(shape, np.int8), np.full(shape, np.nan, np.float32), np.full(shape, -1, np.int8)
    )
    _read(np.asarray(symbols, np.int8), np.asarray(stretches, np.int64), shortest, held, *out)
    return out


def answer_table(
    answered: Answered, bins: tuple[int, ...], noise: float
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """The answers to one challenge that networks may give, binned, and how probable each is.

    An answer is what is put out in each stretch and how it goes on, and in the last stretch also
    in which bin of time it begins. Times have a normal error whose standard deviation is ``noise``
    times the time (scalar timing: Gibbon, Psychological Review 84, 1977); what is put out, and
    whether, is not changed by it.

    Parameters
    ----------
    answered : Answered
        Arrays (network, stretch), of stretches that the challenge has.
    bins : tuple of int
        Times at which bins begin, without the first.
    noise : float
        Weber fraction.

    Returns
    -------
    code : array (answer, 2 * stretch + 1)
        Symbol and ending of each stretch, then the bin in the last; -1 where nothing is put out
        there.
    answer : array (network, alternative)
        Position in ``code``, from 1 on, of each answer a network may give; 0 past the last.
    share : array (network, alternative)
        How probable it is.

    Examples
    --------
    >>> one = Answered(np.array([[1], [0]]), np.array([[30.0], [np.nan]]), np.array([[1], [0]]))
    >>> code, answer, share = answer_table(one, (20, 30), 0.1)
    >>> code.tolist(), answer.tolist(), share.round(3).tolist()
    ([[0, 0, -1], [1, 1, 1], [1, 1, 2]], [[2, 3], [1, 0]], [[0.5, 0.5], [1.0, 0.0]])
    """
    edges = np.asarray(bins, np.float64)
    n = len(answered.first)
    told = np.stack([answered.first, answered.ending], axis=-1).reshape(n, -1).astype(np.int64)
    when = np.asarray(answered.time[:, -1], np.float64)
    timed = np.isfinite(when)
    share = np.zeros((n, len(edges) + 2))  # of bin -1, 0, 1, ...
    share[~timed, 0] = 1.0
    at = when[timed, None]
    if noise > 0:
        below = ndtr((edges - at) / np.maximum(noise * at, 1e-9))
    else:
        below = (at < edges).astype(np.float64)
    ends = np.zeros((len(at), 1)), np.ones((len(at), 1))
    share[timed, 1:] = np.diff(np.concatenate([ends[0], below, ends[1]], axis=1), axis=1)
    share[share < RAREST] = 0.0
    share /= share.sum(axis=1, keepdims=True)
    network, place = np.nonzero(share)
    code, which = np.unique(
        np.column_stack([told[network], place - 1]), axis=0, return_inverse=True
    )
    # Those of one network stand side by side in `network`.
    column = np.arange(len(network)) - np.searchsorted(network, network)
    answer = np.zeros((n, int(column.max(initial=0)) + 1), np.int32)
    probable = np.zeros(answer.shape)
    answer[network, column] = which.ravel() + 1
    probable[network, column] = share[network, place]
    return code.astype(np.int64), answer, probable


def choice_shares(output: NDArray[np.floating], threshold: float) -> NDArray[np.float64]:
    """How often each choice is made over repeats, (..., repeat) to (..., choice).

    Parameters
    ----------
    output : array (..., repeat)
        NaN past the repeats of a challenge.
    threshold : float
        Below which an output is no choice.

    Examples
    --------
    >>> choice_shares(np.array([0.5, -0.5, 0.05, 0.7, np.nan]), 0.1).tolist()
    [0.25, 0.25, 0.5]
    """
    there = np.isfinite(output)
    made = np.where(np.abs(output) >= threshold, np.sign(output), 0)
    counts = np.stack([((made == choice) & there).sum(axis=-1) for choice in CHOICES], axis=-1)
    return np.asarray(counts / np.maximum(there.sum(axis=-1), 1)[..., None])


def choice_table(
    shares: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """As `answer_table`, of answers by one choice: how often each network makes each.

    Parameters
    ----------
    shares : array (network, choice)
        In the order of `CHOICES`.

    Returns
    -------
    code, answer, share : arrays
        As of `answer_table`, of one stretch, without a time.

    Examples
    --------
    >>> code, answer, share = choice_table(np.array([[0, 0, 1], [0.25, 0, 0.75]]))
    >>> code.tolist(), answer.tolist(), share.tolist()
    ([[-1, 1, -1], [1, 1, -1]], [[0, 2], [1, 2]], [[0.0, 1.0], [0.25, 0.75]])
    """
    made = np.flatnonzero(shares.any(axis=0))
    symbol = np.array(CHOICES)[made]
    code = np.stack([symbol, np.where(symbol != 0, ONCE, 0), np.full(len(made), -1)], axis=1)
    share = shares[:, made]
    answer = np.where(share > 0, np.arange(1, len(made) + 1), 0).astype(np.int32)
    return code.astype(np.int64), answer, share


def likeness(codes: NDArray[np.int64], answer: NDArray[np.int64]) -> NDArray[np.float64]:
    """How alike answers to one challenge are to one, (answer,).

    Falls by factors of e with each symbol and ending that differs and, by half as much, with each
    bin of time between them up to three; over all of ``codes`` those like one of them sum to 1.

    Parameters
    ----------
    codes : array (answer, 2 * stretch + 1)
        See `answer_table`.
    answer : array (2 * stretch + 1,)
        One of them, or another.

    Examples
    --------
    >>> codes = np.array([[0, 0, -1], [1, 1, 1], [1, 1, 2]])
    >>> likeness(codes, codes[1]).round(2).tolist()
    [0.11, 0.57, 0.35]
    """
    return np.asarray(_near(codes, answer[None])[:, 0] / _near(codes, codes).sum(axis=1))


def _near(code: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    told = (code[:, None, :-1] != other[None, :, :-1]).sum(-1)
    one, two = code[:, None, -1], other[None, :, -1]
    between = np.where((one >= 0) & (two >= 0), np.minimum(np.abs(one - two), MOST_BINS), 0)
    return np.asarray(np.exp(-APART * told - BIN_APART * between))


def code_text(code: NDArray[np.int64], bins: tuple[int, ...], outputs: tuple[str, ...]) -> str:
    """An answer in words, stretch by stretch.

    Examples
    --------
    >>> code_text(np.array([0, 0, 1, 2, 1]), (20, 30), ("go",))
    'none; +1 at 20-30, again'
    >>> code_text(np.array([0, 0, -1]), (20, 30), ("go",))
    'none'
    >>> code_text(np.array([1, 1, -1]), (), ("choice",))  # without a time
    '+1'
    """
    from solspace.tasks.symbols import named_symbol

    words = []
    last = len(code) // 2 - 1
    edges = ("0", *map(str, bins))
    for k in range(last + 1):
        symbol, ending = int(code[2 * k]), int(code[2 * k + 1])
        if not ending:
            words.append("none")
            continue
        word = named_symbol(symbol, outputs)
        if k == last and code[-1] >= 0:
            b = int(code[-1])
            word += f" at {edges[b]}-{edges[b + 1]}" if b + 1 < len(edges) else f" from {edges[b]}"
        words.append(word + ("" if ending == ONCE else f", {ENDINGS[ending]}"))
    return "; ".join(words)


def code_of_text(
    text: str,
    stretches: int,
    bins: tuple[int, ...],
    outputs: tuple[str, ...],
    *,
    timed: bool = True,
) -> NDArray[np.int64] | None:
    """The answer that words say, as `code_text` says it; None where they say none.

    ``"none"`` alone is nothing in any stretch. Where not ``timed`` there is no bin of time.

    Examples
    --------
    >>> code_of_text("none; +1 at 20-30, again", 2, (20, 30), ("go",)).tolist()
    [0, 0, 1, 2, 1]
    >>> code_of_text("goes", 2, (20, 30), ("go",)) is None
    True
    """
    from solspace.tasks.symbols import named_symbol

    edges = ("0", *map(str, bins))
    when = [f" at {a}-{b}" for a, b in pairwise(edges)] + [f" from {edges[-1]}"]
    named = {
        named_symbol(symbol, outputs): symbol
        for symbol in range(-(3 ** len(outputs) // 2), 3 ** len(outputs) // 2 + 1)
        if symbol
    }
    parts = text.split("; ")
    if parts == ["none"]:
        parts = ["none"] * stretches
    if len(parts) != stretches:
        return None
    code = []
    place = -1
    for k, part in enumerate(parts):
        if part == "none":
            code += [0, 0]
            continue
        ending = ONCE
        for i in (2, 3):
            if part.endswith(f", {ENDINGS[i]}"):
                ending, part = i, part.removesuffix(f", {ENDINGS[i]}")
        if timed and k == stretches - 1:
            place = next((i for i, words in enumerate(when) if part.endswith(words)), -1)
            if place < 0:
                return None
            part = part.removesuffix(when[place])
        if part not in named:
            return None
        code += [named[part], ending]
    return np.array([*code, place], np.int64)
