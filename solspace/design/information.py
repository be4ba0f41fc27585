"""Information that answers carry about a label, corrected for few networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["corrected_entropy", "corrected_information"]

Array = NDArray[np.float64]


def corrected_entropy(counts: ArrayLike) -> Array:
    """Entropy in bits of counts (..., answer), with Miller and Madow's correction.

    To the entropy of the shares is added ``(answers seen - 1) / (2 n ln 2)`` (Miller, Note on the
    bias of information estimates, 1955). Counts need not be whole, as where answers are noisy: an
    answer counts as seen by as much of a network as gave it, at most one. Zero for no counts.

    Examples
    --------
    >>> float(corrected_entropy([5.0, 5.0]).round(3))
    1.072
    >>> float(corrected_entropy([10.0, 0.0]))
    0.0
    """
    counts = np.asarray(counts, np.float64)
    total = counts.sum(-1)
    safe = np.maximum(total, 1e-300)
    share = counts / safe[..., None]
    plain = -np.where(share > 0, share * np.log2(np.maximum(share, 1e-300)), 0.0).sum(-1)
    seen = np.minimum(counts, 1.0).sum(-1)
    more = np.maximum(seen - 1, 0.0) / (2 * np.maximum(total, 1.0) * np.log(2))
    return np.where(total > 0, plain + more, 0.0)


def corrected_information(counts: ArrayLike) -> Array:
    """Mutual information in bits of class and answer, from counts (..., class, answer).

    Entropy of answers less their mean entropy within classes, each with Miller and Madow's
    correction (see `corrected_entropy`); what is below zero then is zero. Without the correction
    an answer that says nothing seems to say the more, the finer it is and the fewer networks there
    are.

    Examples
    --------
    >>> float(corrected_information([[50.0, 0.0], [0.0, 50.0]]).round(2))
    1.01
    >>> float(corrected_information([[25.0, 25.0], [25.0, 25.0]]))
    0.0
    """
    counts = np.asarray(counts, np.float64)
    whole = counts.sum(-2)
    each = counts.sum(-1)
    share = each / np.maximum(each.sum(-1, keepdims=True), 1e-300)
    found = corrected_entropy(whole) - (share * corrected_entropy(counts)).sum(-1)
    return np.asarray(np.maximum(found, 0.0))
