"""Scores of predictions: Cohen's kappa with its interval, confusion, calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibration", "cohen_kappa", "confusion_counts", "kappa_interval", "kappa_of_counts"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

DRAWS = 1000  # bootstrap samples of networks
BINS = 10  # of confidence


def confusion_counts(true: Labels, predicted: Labels, classes: int) -> Array:
    """Networks by class and predicted class, of predictions (..., network)."""
    predicted = np.asarray(predicted)
    out = np.zeros((*predicted.shape[:-1], classes, classes))
    for place in np.ndindex(*predicted.shape[:-1]):
        np.add.at(out[place], (true, predicted[place]), 1)
    return out


def kappa_of_counts(counts: Array) -> Array:
    """Cohen's kappa of confusion counts (..., class, predicted); 0 where chance alone is sure.

    Examples
    --------
    >>> float(kappa_of_counts(np.array([[20.0, 5.0], [10.0, 15.0]])).round(3))
    0.4
    """
    total = counts.sum(axis=(-1, -2))
    agree = np.trace(counts, axis1=-2, axis2=-1) / total
    chance = (counts.sum(-1) * counts.sum(-2)).sum(-1) / total**2
    sure = chance >= 1
    return np.where(sure, 0.0, (agree - chance) / np.where(sure, 1.0, 1 - chance))


def cohen_kappa(true: Labels, predicted: Labels, classes: int) -> Array:
    """Cohen's kappa for predictions (..., network): agreement beyond chance, 1 at best.

    Cohen, Educational and Psychological Measurement 20, 1960.

    Examples
    --------
    >>> float(cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), 2))
    0.5
    """
    return kappa_of_counts(confusion_counts(true, predicted, classes))


def kappa_interval(
    true: Labels, predictions: Sequence[Labels], classes: int, *, seed: int = 0
) -> tuple[Array, Array]:
    """95 % intervals of kappa and of its gain over the first, by drawing networks anew.

    Parameters
    ----------
    true : array (network,)
    predictions : sequence of arrays (repeat, network)
        One a set of features. Networks are drawn with replacement, the same for all sets;
        kappa is the mean over repeats.
    classes : int
    seed : int

    Returns
    -------
    interval, gain_interval : arrays (set, 2)

    Examples
    --------
    >>> true = np.tile([0, 1], 50)
    >>> interval, gain = kappa_interval(true, [true[None], true[None]], 2)
    >>> interval.tolist(), gain.tolist()
    ([[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]])
    """
    n = len(true)
    rng = np.random.default_rng(seed)
    weight = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(float)
    drawn = []
    for prediction in predictions:
        kappas = []
        for row in prediction:
            hot = np.zeros((n, classes * classes))
            hot[np.arange(n), true * classes + row] = 1
            kappas.append(kappa_of_counts((weight @ hot).reshape(-1, classes, classes)))
        drawn.append(np.mean(kappas, axis=0))
    bounds = [2.5, 97.5]
    interval = np.array([np.percentile(d, bounds) for d in drawn])
    return interval, np.array([np.percentile(d - drawn[0], bounds) for d in drawn])


def calibration(label: Labels, probability: Array) -> dict[str, Array]:
    """How often networks predicted with a confidence are predicted right.

    Returns
    -------
    dict
        ``count``, ``confidence`` and ``accuracy`` by bin of confidence (the last two NaN in
        empty bins), and ``error``: the expected calibration error (Guo et al. 2017).

    Examples
    --------
    >>> out = calibration(np.array([0, 1]), np.array([[0.95, 0.05], [0.55, 0.45]]))
    >>> out["count"].astype(int).tolist(), round(float(out["error"]), 2)
    ([0, 0, 0, 0, 0, 1, 0, 0, 0, 1], 0.3)
    """
    sure = probability.max(axis=1) / np.maximum(probability.sum(axis=1), 1e-12)
    right = probability.argmax(axis=1) == label
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS).astype(float)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, sure, BINS) / count
        accuracy = np.bincount(place, right, BINS) / count
    gap = np.nansum(np.abs(confidence - accuracy) * count) / len(label)
    return {
        "count": count,
        "confidence": confidence,
        "accuracy": accuracy,
        "error": np.array(gap),
    }
