"""Predictions for networks while they are held out, and the null of permuted labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.classification.models import MODELS, draw_folds, make_model, quiet
from solspace.classification.scores import cohen_kappa, kappa_interval

__all__ = ["Heldout", "permuted_kappa", "predict_heldout"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

SHUFFLES = 5
FEWER_TREES = 30  # enough to tell which model is better


class Heldout(NamedTuple):
    """What was predicted for networks while they were held out.

    Attributes
    ----------
    prediction : array (repeat, network)
        Index of the class.
    probability : array (network, class)
        Mean over repeats.
    model : array of str (repeat, fold)
        The model chosen within the networks not held out.
    importance : array (feature,)
        How much kappa of the first repeat falls when a feature of the held-out networks is dealt
        out anew among them (Breiman 2001), mean of 5 deals. Zero where another feature says the
        same.
    group_importance : array (group,)
        The same for all features of a group at once.
    importance_interval, group_importance_interval : arrays (feature, 2) and (group, 2)
        95 % intervals of them, by drawing the networks anew.
    """

    prediction: Labels
    probability: Array
    model: NDArray[Any]
    importance: Array
    group_importance: Array
    importance_interval: Array
    group_importance_interval: Array


def predict_heldout(
    features: Array,
    label: Labels,
    fold: Labels,
    *,
    models: Sequence[str] = MODELS,
    groups: Sequence[NDArray[np.intp]] = (),
    importance: bool = True,
    trees: int = 100,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Heldout:
    """Predict the class of every network from the others.

    Parameters
    ----------
    features : array (network, feature)
        Finite.
    label : array (network,)
        0 to classes - 1.
    fold : array (repeat, network)
        From `draw_folds`.
    models : sequence of str
        Of `MODELS`. Where there are several, the one with the best kappa in three folds within
        the networks not held out is taken, anew in each fold.
    groups : sequence of arrays of int
        Features that are shuffled together for ``group_importance``.
    importance : bool
        Whether to compute importance; NaN otherwise.
    trees : int
        Of a forest.
    seed : int
    jobs : int, optional
        Processes of joblib; by default all in this one.
    progress : callable (int) -> None, optional
        Told after each fold.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = np.repeat([0, 1], 20)
    >>> features = rng.normal(size=(40, 3)); features[:, 1] += 4 * label
    >>> fold = draw_folds(label, folds=4, repeats=1, seed=0)
    >>> held = predict_heldout(features, label, fold, models=["logistic"])
    >>> float(cohen_kappa(label, held.prediction[0], 2)) > 0.8, int(held.importance.argmax())
    (True, 1)
    """
    from joblib import Parallel, delayed

    repeats, n = fold.shape
    folds, classes = int(fold.max()) + 1, int(label.max()) + 1
    chunks = [(r, f) for r in range(repeats) for f in range(folds)]
    work = partial(_one_fold, features, label, fold, tuple(models), tuple(groups), seed, trees)
    wanted = [(r, f, importance and r == 0) for r, f in chunks]
    parallel = Parallel(n_jobs=jobs or 1, return_as="generator")
    prediction = np.full((repeats, n), -1, np.int64)
    probability = np.zeros((n, classes))
    chosen = np.full((repeats, folds), "", dtype=object)
    shuffled = np.full((SHUFFLES, features.shape[1] + len(groups), n), -1, np.int64)
    results = parallel(delayed(work)(*one) for one in wanted)
    for (repeat, f), (name, share, others) in zip(chunks, results, strict=True):
        held = fold[repeat] == f
        prediction[repeat, held] = share.argmax(axis=1)
        probability[held] += share / repeats
        chosen[repeat, f] = name
        if others is not None:
            shuffled[:, :, held] = others
        if progress:
            progress(1)
    fall = np.full(shuffled.shape[1], np.nan)
    interval = np.full((shuffled.shape[1], 2), np.nan)
    if importance:
        whole = float(cohen_kappa(label, prediction[0], classes))
        fall = whole - cohen_kappa(label, shuffled, classes).mean(axis=0)
        compared = [prediction[:1], *shuffled.swapaxes(0, 1)]
        gain = kappa_interval(label, compared, classes, seed=seed)[1]
        interval = -gain[1:, ::-1]
    each = features.shape[1]
    return Heldout(
        prediction, probability, chosen, fall[:each], fall[each:], interval[:each], interval[each:]
    )


def _one_fold(
    features: Array,
    label: Labels,
    fold: Labels,
    models: tuple[str, ...],
    groups: tuple[NDArray[np.intp], ...],
    seed: int,
    trees: int,
    repeat: int,
    f: int,
    importance: bool,
) -> tuple[str, Array, Labels | None]:
    held = fold[repeat] == f
    fold_seed = seed + 1000 * repeat + f
    known, classes = label[~held], int(label.max()) + 1
    with quiet():
        name = _choose(features[~held], known, models, fold_seed)
        model = make_model(name, fold_seed, trees).fit(features[~held], known)
        share = _probability(model, features[held], classes)
        others = None
        if importance:
            others = _shuffled(model, features[held], groups, classes, fold_seed)
    return name, share, others


def _choose(features: Array, label: Labels, models: tuple[str, ...], seed: int) -> str:
    """The model that predicts best in folds of these networks alone."""
    if len(models) == 1:
        return models[0]
    folds = min(3, int(np.bincount(label)[np.unique(label)].min()))
    if folds < 2:
        return models[0]
    classes = int(label.max()) + 1
    fold = draw_folds(label, folds=folds, repeats=1, seed=seed)[0]
    scores = []
    for name in models:
        guess = np.empty_like(label)
        for f in range(folds):
            model = make_model(name, seed, trees=FEWER_TREES)
            model.fit(features[fold != f], label[fold != f])
            guess[fold == f] = model.predict(features[fold == f])
        scores.append(float(cohen_kappa(label, guess, classes)))
    return models[int(np.argmax(scores))]


def _probability(model: Any, features: Array, classes: int) -> Array:
    out = np.zeros((len(features), classes))
    out[:, model.classes_.astype(int)] = model.predict_proba(features)
    return out


def _shuffled(
    model: Any, features: Array, groups: Sequence[NDArray[np.intp]], classes: int, seed: int
) -> Labels:
    """Predictions with one feature, or one group, dealt out anew, (shuffle, feature, network)."""
    rng = np.random.default_rng(seed)
    n, count = features.shape
    columns = [np.array([j]) for j in range(count)] + list(groups)
    out = np.empty((SHUFFLES, len(columns), n), np.int64)
    for k in range(SHUFFLES):
        order = rng.permutation(n)
        for first in range(0, len(columns), 64):
            part = columns[first : first + 64]
            block = np.repeat(features[None], len(part), axis=0)
            for j, which in enumerate(part):
                block[j][:, which] = features[order][:, which]
            share = _probability(model, block.reshape(-1, count), classes)
            out[k, first : first + len(part)] = share.argmax(1).reshape(len(part), n)
    return out


def permuted_kappa(
    features: Array, label: Labels, *, permutations: int, folds: int, seed: int
) -> tuple[float, Array]:
    """Kappa of one cheap model with the labels as they are, and with them permuted.

    A few extra trees in stratified folds, nothing chosen, so that a null distribution stays
    affordable and the two are comparable.
    """
    classes = int(label.max()) + 1
    rng = np.random.default_rng(seed)
    rows = [label, *(rng.permutation(label) for _ in range(permutations))]
    kappas = []
    for row in rows:
        fold = draw_folds(row, folds=folds, repeats=1, seed=seed)
        held = predict_heldout(
            features, row, fold, models=["extra_trees"], importance=False, seed=seed,
            trees=FEWER_TREES,
        )  # fmt: skip
        kappas.append(float(cohen_kappa(row, held.prediction[0], classes)))
    return kappas[0], np.array(kappas[1:])
