"""What the compiled loops of one network share.

Trials are run side by side, up to six at once, so that a weight that is fetched serves all of them.
The recurrent matrix comes transposed, (presynaptic unit, gate * unit), each gate filled up to whole
halves of vectors (`solspace.networks.vectors`). What a trial gives does not depend on the others.

Numba's cache looks at the file of the function that is called from Python only: after a change
here or in vectors.py, delete ``__pycache__``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.networks.base import Laid, Weights
from solspace.networks.vectors import (
    HALF,
    LANES,
    ROWS,
    add_half_tile,
    add_tile,
    address,
    copy,
    padded,
)

__all__ = ["in_vectors", "run_trials"]

_Array = NDArray[np.float64]


def in_vectors(
    x: NDArray[Any], start: NDArray[Any], weights: Weights, *, gates: int, apart: int = 0
) -> tuple[_Array, _Array, _Array, _Array, _Array]:
    """What `run_trials` takes of a network, each gate filled up to halves of vectors by zeros.

    Parameters
    ----------
    x : array (trial, time, input)
    start : array (trial, state)
    weights : mapping
        As an architecture's ``compiled`` is given them: matrices transposed.
    gates : int
    apart : int
        Gates, the last, whose input part is kept apart from the recurrent part, after all gates.

    Returns
    -------
    x, start, w_in, w_rec, bias : arrays of float64

    Examples
    --------
    >>> flat = {"weight_ih": np.ones((2, 18)), "weight_hh": np.ones((6, 18)),
    ...         "bias_ih": np.ones(18), "bias_hh": np.ones(18)}
    >>> made = in_vectors(np.zeros((4, 9, 2)), np.zeros((4, 6)), flat, gates=3, apart=1)
    >>> [array.shape for array in made[2:]]
    [(2, 32), (6, 24), (32,)]
    """
    made = weights.made if isinstance(weights, Laid) else {}
    if (gates, apart) not in made:
        made[gates, apart] = _in_vectors(weights, gates, apart)
    # Of arrays that lie otherwise, or may be written, Numba would compile the loop once more.
    read = [np.ascontiguousarray(a, np.float64).view() for a in (x, start)]
    for array in read:
        array.flags.writeable = False
    return read[0], read[1], *made[gates, apart]


def _in_vectors(weights: Weights, gates: int, apart: int) -> tuple[_Array, _Array, _Array]:
    w_in, w_rec, b_in, b_rec = (
        _filled(weights[name], gates) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    if apart:
        both = (gates - apart) * (w_rec.shape[1] // gates)
        w_in, b_in = (
            np.concatenate([a[..., :both], np.zeros_like(a[..., both:]), a[..., both:]], axis=-1)
            for a in (w_in, b_in)
        )
    b_in[: len(b_rec)] += b_rec
    return w_in, w_rec, b_in


def _filled(parameter: NDArray[Any], gates: int) -> _Array:
    units = parameter.shape[-1] // gates
    out = np.zeros((*parameter.shape[:-1], gates, padded(units, HALF)))
    out[..., :units] = parameter.reshape(*parameter.shape[:-1], gates, units)
    return out.reshape(*parameter.shape[:-1], -1)


@njit(nogil=True)
def _add_product(rows, left, at, w, drive, out):  # type: ignore[no-untyped-def]
    """Rows of ``drive``, and to them those of ``left`` from number ``at`` on by a matrix."""
    width = w.shape[1]
    vectors, most = width // LANES, ROWS // rows
    tiles = (vectors + most - 1) // most
    for tile in range(tiles):
        first, last = tile * vectors // tiles, (tile + 1) * vectors // tiles
        place = (0, first * LANES)
        add_tile(
            rows, last - first, w.shape[0], address(left, (0, at)), left.shape[1],
            address(w, place), w.shape[1], address(drive, place), drive.shape[1],
            address(out, place), out.shape[1],
        )  # fmt: skip
    if width % LANES:
        place = (0, vectors * LANES)
        add_half_tile(
            rows, 1, w.shape[0], address(left, (0, at)), left.shape[1],
            address(w, place), width, address(drive, place), drive.shape[1],
            address(out, place), out.shape[1],
        )  # fmt: skip


# Inlined before it is compiled: an architecture's loop is compiled once, not with this in it again.
@njit(nogil=True, inline="always")
def run_trials(x, start, w_in, w_rec, bias, settings, states, parts, cell):  # type: ignore[no-untyped-def]
    """Fill ``states`` (trial, time, state), the numbers of a step one after the other.

    ``bias`` (drive,) and ``w_in`` (input, drive) may be of more drives than ``w_rec`` is of: those
    that get nothing from other units. ``cell`` (from `elementwise`) takes all drives and the parts
    of the state, and gives the parts.
    """
    trials, time, inputs = x.shape
    n, given, both = w_rec.shape[0], bias.size, w_rec.shape[1]
    size = (n + HALF - 1) // HALF * HALF
    work = np.zeros((ROWS, given + parts * size))
    # What comes from outside: mostly that of the step before.
    drive = np.zeros((ROWS, given))
    stale = np.ones(ROWS, np.bool_)
    blocks = (trials + ROWS - 1) // ROWS
    for block in range(blocks):
        first, last = block * trials // blocks, (block + 1) * trials // blocks
        rows = last - first
        for r in range(rows):
            for p in range(parts):
                for u in range(n):
                    work[r, given + p * size + u] = start[first + r, p * n + u]
        for t in range(time):
            for r in range(rows):
                driven = False
                for i in range(inputs):
                    driven |= x[first + r, t, i] != 0  # mostly it is not
                if driven or stale[r]:
                    # Written out: of arrays Numba would compile what is said where shapes differ.
                    for d in range(given):
                        drive[r, d] = bias[d]
                    if driven:
                        own = drive[r : r + 1]
                        _add_product(1, x[first + r, t : t + 1], 0, w_in, own, own)
                    for d in range(both, given):
                        work[r, d] = drive[r, d]
                    stale[r] = driven
            _add_product(rows, work, given, w_rec, drive, work)
            for r in range(rows):
                row = address(work, (r, given))
                cell(address(work, (r, 0)), size, row, size, address(settings, (0,)), size)
                for p in range(parts):
                    made = address(work, (r, given + p * size))
                    copy(n, made, address(states, (first + r, t, p * n)))
