"""Representational similarity: dissimilarities of conditions, and how alike two sets are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from solspace.errors import SolspaceError

__all__ = ["COMPARISONS", "RDMS", "Geometry", "dissimilarities", "prepare_rdm", "row_rdm"]

Array = NDArray[np.float64]

RDMS = ("euclidean", "correlation")
COMPARISONS = ("cosine", "corr", "spearman", "rho-a", "kendall", "tau-a", "bures", "bures_metric")


@dataclass(frozen=True)
class Geometry:
    """A representational dissimilarity matrix, ready to be compared.

    Attributes
    ----------
    rdm : array of float (pair,)
        Dissimilarities of conditions: 0 and 1, 0 and 2, and so on.
    vector : array of float
        What products are taken of: of norm 1, centred, or ranks, as the comparison asks; for the
        two by Bures the square root of the centred kernel (condition, condition).
    """

    rdm: Array
    vector: Array
    compare: str
    trace: float = 0.0


def dissimilarities(x: Array, rdm: str = "euclidean") -> Array:
    """Dissimilarity of each two conditions, as a vector (pair,).

    Parameters
    ----------
    x : array of float (condition, unit)
    rdm : str
        ``"euclidean"``: squared Euclidean distance divided by the number of units;
        ``"correlation"``: 1 - Pearson's r between the patterns.

    Examples
    --------
    >>> dissimilarities(np.array([[0.0, 0], [1, 0], [0, 2]])).tolist()
    [0.5, 2.0, 2.5]
    """
    x = np.asarray(x, np.float64)
    upper = np.triu_indices(len(x), 1)
    if rdm == "euclidean":
        x = x - x.mean(axis=0)
        product = x @ x.T
        squares = np.diag(product)
        out = (squares[:, None] + squares[None] - 2 * product)[upper] / x.shape[1]
        return np.asarray(np.maximum(out, 0.0))
    if rdm != "correlation":
        raise SolspaceError(f"rdm={rdm!r}; give one of {', '.join(RDMS)}")
    x = x - x.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    if not (norms > 0).all():
        raise SolspaceError(
            "a condition whose units are all alike correlates with none; give rdm='euclidean'"
        )
    x = x / norms
    return np.asarray(1 - (x @ x.T)[upper])


def prepare_rdm(x: Array, *, rdm: str = "euclidean", compare: str = "corr") -> Geometry:
    """The dissimilarities of a network's conditions, and what their comparison needs.

    Raises
    ------
    SolspaceError
        For fewer than three conditions, none that differ, or an unknown ``rdm`` or ``compare``.
    """
    if compare not in COMPARISONS:
        raise SolspaceError(f"compare={compare!r}; give one of {', '.join(COMPARISONS)}")
    if len(x) < 3:
        raise SolspaceError(f"RSA of {len(x)} conditions; give 3 or more trials or conditions")
    values = dissimilarities(x, rdm)
    scale = float(np.abs(x).max())
    floor = 1e-20 * scale**2 if rdm == "euclidean" else 1e-12
    if values.max() <= floor:
        raise SolspaceError("the activity does not vary: no condition differs from another")
    if compare in ("bures", "bures_metric"):
        root, trace = _kernel_root(values, len(x))
        return Geometry(values, root, compare, trace)
    vector = values
    if compare in ("spearman", "rho-a"):
        vector = rankdata(values)
    if compare in ("corr", "spearman"):
        vector = vector - vector.mean()
        if not np.linalg.norm(vector) > 1e-12 * np.abs(values).max():
            raise SolspaceError(
                f"all dissimilarities are alike, which {compare!r} cannot compare; "
                "give compare='cosine'"
            )
    if compare == "rho-a":
        return Geometry(values, vector - (len(vector) + 1) / 2, compare)
    if compare in ("cosine", "corr", "spearman"):
        vector = vector / np.linalg.norm(vector)
    return Geometry(values, vector, compare)


def row_rdm(a: Geometry, others: Sequence[Geometry]) -> Array:
    """How alike one network's dissimilarities are to others', 1 for the same.

    ``bures_metric`` alone is a distance, 0 for the same: the Bures distance of the kernels.

    Examples
    --------
    >>> x = np.array([[0.0, 0], [1, 0], [0, 2], [3, 1]])
    >>> row_rdm(prepare_rdm(x), [prepare_rdm(2 * x)]).round(12).tolist()
    [1.0]
    """
    if a.compare in ("kendall", "tau-a"):
        one = _tau_b if a.compare == "kendall" else _tau_a
        return np.array([one(a.vector, b.vector) for b in others])
    if a.compare in ("bures", "bures_metric"):
        return np.array([_bures(a, b) for b in others])
    product = np.stack([b.vector for b in others]) @ a.vector
    if a.compare == "rho-a":
        n = len(a.vector)
        return np.asarray(12 * product / (n**3 - n))
    return np.clip(product, -1.0, 1.0)


def _tau_b(x: Array, y: Array) -> float:
    return float(kendalltau(x, y).statistic)


def _tau_a(x: Array, y: Array) -> float:
    """Concordant minus discordant pairs over all pairs; ties count as neither."""
    tau = _tau_b(x, y)  # divided by the pairs without ties
    pairs = len(x) * (len(x) - 1) / 2
    untied = 1.0
    for values in (x, y):
        _, counts = np.unique(values, return_counts=True)
        untied *= 1 - (counts * (counts - 1) / 2).sum() / pairs
    return tau * float(np.sqrt(untied))


def _kernel_root(values: Array, n: int) -> tuple[Array, float]:
    """Square root of the centred kernel that squared distances belong to, and its trace."""
    kernel = np.zeros((n, n))
    kernel[np.triu_indices(n, 1)] = -values / 2
    kernel += kernel.T
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1, keepdims=True)
    eigenvalues, vectors = np.linalg.eigh(kernel)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    root = (vectors * np.sqrt(eigenvalues)) @ vectors.T
    return root, float(eigenvalues.sum())


def _bures(a: Geometry, b: Geometry) -> float:
    fidelity = float(np.linalg.svd(a.vector @ b.vector, compute_uv=False).sum())
    same = np.array_equal(a.vector, b.vector)
    if a.compare == "bures":
        return 1.0 if same else min(fidelity / float(np.sqrt(a.trace * b.trace)), 1.0)
    return 0.0 if same else float(np.sqrt(max(a.trace + b.trace - 2 * fidelity, 0.0)))
