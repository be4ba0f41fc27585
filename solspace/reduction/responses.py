"""What networks put out when driven with pulses, as response sequences.

A *response sequence* is what one network puts out on one sequence of pulses and waits: the outputs
seen, in order, and the pulses between them. With it comes how long each stretch between pulses
lasts, which is known, since it is the input, and at which step of the stretch each output begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.tasks import Task, get_task
from solspace.tasks.protocol import PulseSequences
from solspace.tasks.symbols import read_symbols

__all__ = [
    "FLICKER",
    "LONG",
    "PULSE",
    "ResponseSequences",
    "join_all",
    "join_responses",
    "output_responses",
    "read_item",
    "read_responses",
]

# How items are coded: outputs as solspace.tasks.symbols numbers them; a flicker 1000 more, an
# output held for long 2000 more; pulses 100 and the symbol.
PULSE = 100
FLICKER = 1000
LONG = 2000
# Items from here on are no pulses: outputs are at least -40.
PAST_PULSES = FLICKER - 100


class ResponseSequences(NamedTuple):
    """Response sequences of networks, one after the other.

    Attributes
    ----------
    items : array, int16
        An output is a number (-1, 0 or 1 where there is one output, see
        `solspace.tasks.symbols`), one that may be a flicker 1000 more, one held for long 2000
        more; a pulse is 100 and its symbol.
    ends : array, int64, (response,)
        Where each response sequence ends in ``items``.
    waits : array, int16, optional
        Of each item, the steps from the end of the transient of the pulse before it, or from
        the root, to the next pulse or the end of the sequence; of a pulse those before it. -1, as
        by default, is not known: windows do not matter then.
    since : array, int16, optional
        Steps, counted as ``waits``, at which each item begins; there where ``waits`` is.
    """

    items: NDArray[np.int16]
    ends: NDArray[np.int64]
    waits: NDArray[np.int16] | None = None
    since: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.ends)

    def one(self, index: int) -> NDArray[np.int16]:
        """The items of one response sequence."""
        return self._of(index, self.items)

    def _of(self, index: int, values: NDArray[np.int16] | None) -> NDArray[np.int16]:
        """What belongs to one response sequence; -1 where nothing is known."""
        start = self.ends[index - 1] if index > 0 else 0
        stop = self.ends[index]
        return np.full(stop - start, -1, np.int16) if values is None else values[start:stop]

    def select(self, indices: Sequence[int] | NDArray[Any]) -> ResponseSequences:
        """Some of the response sequences."""
        chosen = np.asarray(indices, np.int64).reshape(-1)
        begins = np.concatenate([[0], self.ends])[chosen]
        lengths = self.ends[chosen] - begins
        ends = np.cumsum(lengths)
        # Of each item where it stands now: where its sequence begins, and its place in that.
        at = np.arange(lengths.sum()) + np.repeat(begins - (ends - lengths), lengths)
        waits, since = (None if v is None else v[at] for v in (self.waits, self.since))
        return ResponseSequences(self.items[at], ends, waits, since)

    def since_of(self, index: int) -> NDArray[np.int16]:
        """At which step of its stretch each item of one response sequence begins."""
        return self._of(index, self.since)

    def waits_of(self, index: int) -> NDArray[np.int16]:
        """How long the stretch of each item of one response sequence lasts."""
        return self._of(index, self.waits)

    def certain(self, index: int) -> tuple[int, ...]:
        """One response sequence without its flickers, equal outputs in a row once."""
        return tuple(self.select([index]).all_certain().items.tolist())

    def all_certain(self) -> ResponseSequences:
        """All of them as `certain` gives each, without what is known of steps."""
        items, ends = _without_flickers(self.items, self.ends)
        return ResponseSequences(items, ends)


def read_item(item: int) -> tuple[int, str]:
    """What an item is: an output or a symbol, and which of "seen", "flicker", "held", "pulse".

    Examples
    --------
    >>> [read_item(item) for item in (-1, 101, 1000, 1999)]
    [(-1, 'seen'), (1, 'pulse'), (0, 'flicker'), (-1, 'held')]
    """
    if item < PULSE:
        return item, "seen"
    if item < PAST_PULSES:
        return item - PULSE, "pulse"
    held = item >= (FLICKER + LONG) // 2
    return item - (LONG if held else FLICKER), "held" if held else "flicker"


def join_responses(
    responses: Sequence[NDArray[np.int16]],
    waits: Sequence[NDArray[np.int16]] | None = None,
    since: Sequence[NDArray[np.int16]] | None = None,
) -> ResponseSequences:
    """Response sequences from the items of each, how long items' stretches last, when they begin.

    Raises
    ------
    SolspaceError
        Where only one of ``waits`` and ``since`` is given.

    Examples
    --------
    >>> one = [np.array([0, 101, 1], np.int16)]
    >>> join_responses(one, [np.array([20, 20, 50])], [np.array([0, 20, 0])]).waits.tolist()
    [20, 20, 50]
    """
    if (waits is None) != (since is None):
        raise SolspaceError("response sequences with waits or since alone; give both or neither")
    empty = np.empty(0, np.int16)
    items = np.concatenate(responses) if responses else empty
    ends = np.cumsum([len(response) for response in responses], dtype=np.int64)
    if waits is None or since is None:
        return ResponseSequences(items, ends)
    return ResponseSequences(
        items, ends, np.concatenate([empty, *waits]), np.concatenate([empty, *since])
    )


def join_all(many: Sequence[ResponseSequences]) -> ResponseSequences:
    """All response sequences of several, in order."""
    if any(own.waits is None for own in many):
        return join_responses([own.one(k) for own in many for k in range(len(own))])
    return join_responses(
        [own.one(k) for own in many for k in range(len(own))],
        [own.waits_of(k) for own in many for k in range(len(own))],
        [own.since_of(k) for own in many for k in range(len(own))],
    )


@njit(cache=True, nogil=True)
def _without_flickers(items, ends):  # type: ignore[no-untyped-def]
    kept = np.empty_like(items)
    kept_ends = np.empty_like(ends)
    held = (FLICKER + LONG) // 2
    filled, begin = 0, 0
    for i in range(ends.size):
        first = filled
        for k in range(begin, ends[i]):
            item = items[k]
            pulse = PULSE <= item < PAST_PULSES
            if not pulse and PAST_PULSES <= item < held:
                continue
            output = item if item < PAST_PULSES else item - LONG
            if pulse or filled == first or kept[filled - 1] != output:
                kept[filled] = output
                filled += 1
        kept_ends[i] = filled
        begin = ends[i]
    return kept[:filled].copy(), kept_ends


@njit(cache=True, nogil=True)
def _write_responses(  # type: ignore[no-untyped-def]
    symbols, start, onset, seen_from, symbol, shortest, patience, items, waits, since, ends
):
    filled = 0
    time = symbols.shape[1]
    for i in range(symbols.shape[0]):
        begin = start
        for k in range(onset.shape[1] + 1):
            last = k == onset.shape[1] or onset[i, k] < 0
            stop = time if last else onset[i, k]
            # The root is the state before the first step that counts.
            wait = stop - begin - (1 if k == 0 else 0)
            at = begin
            while at < stop:
                run = at + 1
                while run < stop and symbols[i, run] == symbols[i, at]:
                    run += 1
                items[filled] = symbols[i, at]
                if run - at < shortest:
                    items[filled] += FLICKER
                elif run - at > patience:
                    items[filled] += LONG
                waits[filled] = wait
                since[filled] = max(at - begin - (1 if k == 0 else 0), 0)
                filled += 1
                at = run
            if last:
                break
            items[filled] = PULSE + symbol[i, k]
            waits[filled] = wait
            since[filled] = wait
            filled += 1
            begin = seen_from[i, k]
        ends[i] = filled
    return filled


def output_responses(symbols: NDArray[np.int8], sequences: PulseSequences) -> ResponseSequences:
    """The response sequences of outputs over time.

    Parameters
    ----------
    symbols : array (sequence, time), int8
        Output at each step, see `solspace.tasks.symbols.read_symbols`.
    sequences : PulseSequences
        What the network was driven with.

    Examples
    --------
    >>> none = np.full((1, 1), -1)
    >>> silent = PulseSequences(np.zeros((1, 9, 2), np.float32), 0, none, none, none,
    ...                         shortest=3, patience=200)
    >>> output_responses(np.array([[0, 0, 0, 1, 0, 0, 0, 1, 1]], np.int8), silent).one(0).tolist()
    [0, 1001, 0, 1001]
    """
    symbols = np.asarray(symbols, np.int8)
    if symbols.shape != sequences.input.shape[:2]:
        raise SolspaceError(
            f"outputs of shape {symbols.shape} for sequences of shape "
            f"{sequences.input.shape[:2]}; give one output a sequence and step"
        )
    items = np.empty(symbols.size + sequences.onset.size, np.int16)
    waits = np.empty_like(items)
    since = np.empty_like(items)
    ends = np.empty(len(symbols), np.int64)
    # The root is the state before step `start`.
    filled = _write_responses(
        symbols,
        max(sequences.start - 1, 0),
        sequences.onset,
        sequences.seen_from,
        sequences.symbol,
        sequences.shortest,
        sequences.patience,
        items,
        waits,
        since,
        ends,
    )
    return ResponseSequences(
        items[:filled].copy(), ends, waits[:filled].copy(), since[:filled].copy()
    )


def read_responses(
    task: str | Task,
    architecture: str,
    weights: networks.Weights,
    sequences: PulseSequences,
    *,
    run: networks.Run = networks.run,
) -> ResponseSequences:
    """Drive one network with sequences and read off what it puts out.

    Parameters
    ----------
    task : str or Task
    architecture : str
    weights : mapping
        One network's parameters, without padding (see `solspace.networks`).
    sequences : PulseSequences
    run : callable
        What the network is run by, as `solspace.networks.run` does it.

    Examples
    --------
    >>> shapes = networks.parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    >>> protocol = get_task("interval_reproduction").protocol
    >>> sequences = protocol.random_sequences(np.random.default_rng(0), 3)
    >>> responses = read_responses("interval_reproduction", "vanilla", weights, sequences)
    >>> responses.certain(0)[:2]
    (0, 101)
    """
    task = get_task(task)
    if run is networks.run:  # without memory for all states
        output = networks.run_output(architecture, weights, sequences.input)
    else:
        output = run(architecture, weights, sequences.input)[1]
    return output_responses(read_symbols(task, output), sequences)
