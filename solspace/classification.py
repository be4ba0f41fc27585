"""Predict the solution a network found from features of its activity on trained trials.

Section 5.5 of Turner, Dabholkar & Barak (NeurIPS 2021). Networks are held out in repeated
stratified folds; scaling, and the choice among models, is learned within the networks that are
not held out. Different sets of features are compared on the same folds.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "MODELS",
    "SETS",
    "Classes",
    "Heldout",
    "classify",
    "classify_across",
    "cohen_kappa",
    "draw_folds",
    "form_classes",
    "kappa_interval",
    "predict_heldout",
]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

MODELS = ("random_forest", "extra_trees", "logistic")
# The paper's features; all but those of a network fitted to the activity; all.
SETS = ("published", "activity", "all")
FITTED = "fitted"
OTHER = "other"
DRAWS = 1000  # bootstrap samples of networks
BINS = 10  # of confidence
SHUFFLES = 5
FEWER_TREES = 30  # enough to tell which model is better


def _sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise SolspaceError(
            "classification needs scikit-learn, which is not installed; type "
            "`pip install 'solspace[learn]'`"
        ) from None


# --------------------------------------------------------------------------- classes


@dataclass(frozen=True)
class Classes:
    """Which networks are classified, and as what.

    Attributes
    ----------
    name : tuple of str
        Of each class, most common first.
    label : array (network,)
        Index into ``name``; -1 where a network is left out.
    reason : array of str (network,)
        Why a network is left out; empty where it is not.
    """

    name: tuple[str, ...]
    label: Labels
    reason: NDArray[Any]

    @property
    def used(self) -> NDArray[np.bool_]:
        return self.label >= 0

    def excluded(self) -> dict[str, int]:
        """How many networks were left out, by reason."""
        reasons, counts = np.unique(self.reason[~self.used].astype(str), return_counts=True)
        return dict(zip(reasons.tolist(), counts.tolist(), strict=True))


def form_classes(
    label: ArrayLike, features: ArrayLike, *, least: int = 10, small: str = "exclude"
) -> Classes:
    """Which networks can be classified: those of a class large enough, with finite features.

    Parameters
    ----------
    label : array (network,)
        Numbers, negative where unknown, or strings, empty where unknown.
    features : array (network, feature)
    least : int
        Networks a class has to have, as in the paper ten.
    small : {"exclude", "pool"}
        Networks of smaller classes are left out, as in the paper, or are one more class.

    Raises
    ------
    SolspaceError
        Where fewer than two classes are large enough.

    Examples
    --------
    >>> label = [0] * 12 + [1] * 10 + [2, -1]
    >>> classes = form_classes(label, np.zeros((24, 3)))
    >>> classes.name, classes.excluded()
    (('0', '1'), {'its class has fewer than 10 networks': 1, 'no label': 1})
    """
    if small not in ("exclude", "pool"):
        raise SolspaceError(f"small={small!r}; give 'exclude' or 'pool'")
    if least < 2:
        raise SolspaceError(
            f"classes of {least} network; at least 2 are needed, one to learn from and one to "
            "hold out (the paper: 10)"
        )
    values = np.asarray(label)
    finite = np.isfinite(np.asarray(features, dtype=np.float64)).all(axis=1)
    text = _as_text(values)
    known = text != ""
    reason = np.full(len(values), "", dtype=object)
    reason[~finite] = "features are not finite"
    reason[~known] = "no label"
    there = known & finite
    names, counts = np.unique(text[there], return_counts=True)
    large = sorted(
        (
            (-c, _natural(n), n)
            for n, c in zip(names.tolist(), counts.tolist(), strict=True)
            if c >= least
        )
    )
    kept = [n for _, _, n in large]
    few = there & ~np.isin(text, kept)
    if small == "pool" and few.sum() >= least:
        text = np.where(few, OTHER, text)
        kept.append(OTHER)
    else:
        reason[few] = f"its class has fewer than {least} networks"
    if len(kept) < 2:
        found = ", ".join(
            f"{n}: {c}" for n, c in sorted(zip(names, counts, strict=True), key=lambda p: -p[1])[:5]
        )
        raise SolspaceError(
            f"{len(kept)} class{'es' * (len(kept) != 1)} of {least} networks or more among "
            f"{int(there.sum())} with a label and finite features (largest: {found or 'none'}); "
            "two are needed: give more networks, or a smaller `least`"
        )
    number = {n: i for i, n in enumerate(kept)}
    out = np.array(
        [number.get(t, -1) if r == "" else -1 for t, r in zip(text.tolist(), reason, strict=True)]
    )
    return Classes(tuple(kept), out.astype(np.int64), reason)


def _as_text(label: NDArray[Any]) -> NDArray[Any]:
    """Labels as strings, empty where unknown."""
    if label.dtype.kind in "OTU":
        return np.array([str(v) for v in label], dtype="U")
    return np.where(label < 0, "", label.astype("U"))


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 62, name)


# --------------------------------------------------------------------------- models


def _model(name: str, seed: int, trees: int = 100) -> Any:
    """An untrained pipeline; what it scales by is learned from what it is trained on."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = {
        # The paper's, with scikit-learn's own settings.
        "random_forest": lambda: RandomForestClassifier(trees, random_state=seed),
        "extra_trees": lambda: ExtraTreesClassifier(
            trees, min_samples_leaf=2, class_weight="balanced", random_state=seed
        ),
        "logistic": lambda: LogisticRegression(C=0.1, max_iter=300),
    }
    if name not in models:
        raise SolspaceError(f"unknown model {name!r}; models: {', '.join(models)}")
    return make_pipeline(StandardScaler(), models[name]())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning of a logistic regression that is stopped early, which here is meant."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def draw_folds(label: Labels, *, folds: int, repeats: int, seed: int) -> Labels:
    """The fold each network is held out in, (repeat, network), stratified by class.

    Examples
    --------
    >>> fold = draw_folds(np.repeat([0, 1], 10), folds=10, repeats=2, seed=0)
    >>> fold.shape, np.bincount(fold[0], np.repeat([0, 1], 10)).tolist() == [1.0] * 10
    ((2, 20), True)
    """
    from sklearn.model_selection import StratifiedKFold

    fold = np.full((repeats, len(label)), -1, np.int64)
    for repeat in range(repeats):
        split = StratifiedKFold(folds, shuffle=True, random_state=seed + repeat)
        for i, (_, held) in enumerate(split.split(label[:, None], label)):
            fold[repeat, held] = i
    return fold


# --------------------------------------------------------------------------- scores


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


# --------------------------------------------------------------------------- held-out predictions


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
    """

    prediction: Labels
    probability: Array
    model: NDArray[Any]
    importance: Array
    group_importance: Array


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
    if importance:
        whole = float(cohen_kappa(label, prediction[0], classes))
        fall = whole - cohen_kappa(label, shuffled, classes).mean(axis=0)
    each = features.shape[1]
    return Heldout(prediction, probability, chosen, fall[:each], fall[each:])


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
    with _quiet():
        name = _choose(features[~held], known, models, fold_seed)
        model = _model(name, fold_seed, trees).fit(features[~held], known)
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
            model = _model(name, seed, trees=FEWER_TREES)
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


# --------------------------------------------------------------------------- over a dataset


def gather_features(ds: xr.Dataset) -> tuple[Array, NDArray[Any], NDArray[Any]]:
    """All features of a population: values (network, feature), names, and their families.

    The paper's are the family ``published``.
    """
    if "features" not in ds.variables:
        raise SolspaceError(
            "the dataset has no 'features'; type `solspace features STORE` before it is classified"
        )
    if "activity_feature" in ds.variables:
        raise SolspaceError(
            "the dataset has features in two variables, as version 1 of the store; type "
            "`solspace migrate OLD NEW` first"
        )
    if lacking := [name for name in ("feature", "feature_family") if name not in ds.coords]:
        raise SolspaceError(
            f"the features have no coordinate {lacking[0]!r}; give each its name and its family: "
            "ds.assign_coords(feature=[...], feature_family=('feature', [...]))"
        )
    return (
        np.asarray(ds["features"].values, np.float64),
        np.array([str(name) for name in ds["feature"].values], dtype=object),
        np.array([str(family) for family in ds["feature_family"].values], dtype=object),
    )


def pick_sets(families: NDArray[Any], sets: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Which features each set holds: one of `SETS`, or families joined by ``+``.

    Examples
    --------
    >>> families = np.array(["published", "speed", "fitted"])
    >>> {name: held.tolist() for name, held in pick_sets(families, ["activity", "speed"]).items()}
    {'activity': [True, True, False], 'speed': [False, True, False]}
    """
    known = dict.fromkeys(families.tolist())
    out = {}
    for name in sets:
        if name == "published":
            held = families == "published"
        elif name == "activity":
            held = families != FITTED
        elif name == "all":
            held = np.ones(len(families), bool)
        else:
            parts = name.split("+")
            if unknown := [p for p in parts if p not in known]:
                raise SolspaceError(
                    f"no set or family of features {unknown[0]!r}; sets: published, activity, "
                    f"all; families, joined by +: {', '.join(known)}"
                )
            held = np.isin(families, parts)
        if not held.any():
            raise SolspaceError(
                f"the set {name!r} holds no feature of this dataset; type `solspace features STORE "
                "--redo` to compute those of this version"
            )
        out[name] = held
    return out


def classify(
    ds: xr.Dataset,
    *,
    label: str = "solution",
    sets: Sequence[str] = SETS,
    least: int = 10,
    small: str = "exclude",
    models: Sequence[str] = MODELS,
    repeats: int = 5,
    folds: int = 10,
    permutations: int = 100,
    importance: bool = True,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Predict the solution of every network from features of its activity.

    Parameters
    ----------
    ds : Dataset
        A population with ``features``, ``feature_family`` and the label; nothing else of it
        is read.
    label : str
        Variable (network,) to predict: numbers, negative where unknown, or strings.
    sets : sequence of str
        Sets of features, compared on the same networks and folds: ``published`` (the paper's),
        ``activity`` (these and all further ones but those of a fitted network), ``all``, or
        families joined by ``+``. Gains are over the first.
    least, small
        See `form_classes`.
    models : sequence of str
        Of `MODELS`; one is chosen within the networks not held out.
    repeats, folds : int
        5 times 10 folds hold every network out five times, and are 50 splits of 90/10 as in the
        paper.
    permutations : int
        Of the labels, for the null distribution.
    importance : bool
        Whether to compute the importance of features.
    seed : int
    jobs : int, optional
        Processes; by default one.
    progress : callable (int) -> None, optional
        Told after each fold of each set.

    Returns
    -------
    Dataset
        The classification group (see docs/schema.md): held-out predictions and probabilities,
        kappa with its interval, confusion matrix, calibration, null and importance by set of
        features, with the features themselves.

    Raises
    ------
    SolspaceError
        Where there are no features, no such label, or fewer than two classes large enough.

    Examples
    --------
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> solution = np.repeat([0, 1], 20)
    >>> ds = xr.Dataset({"features": (("network", "feature"), rng.normal(size=(40, 3))),
    ...                  "solution": ("network", solution)},
    ...                 coords={"feature": ["a", "b", "c"],
    ...                         "feature_family": ("feature", ["published"] * 3)})
    >>> ds.features[:, 1] += 5 * solution
    >>> out = classify(ds, sets=["published"], models=["logistic"], repeats=1, permutations=3)
    >>> float(out.kappa.sel(feature_set="published")) > 0.8
    True
    """
    import xarray as xr

    from solspace import schema

    _sklearn()
    if label not in ds.variables:
        raise SolspaceError(
            f"the dataset has no label {label!r}; type `solspace reduce STORE` first, or give a "
            f"variable (network,) of it: {', '.join(_labels(ds)) or 'none'}"
        )
    if unknown := [m for m in models if m not in MODELS]:
        raise SolspaceError(f"unknown model {unknown[0]!r}; models: {', '.join(MODELS)}")
    if repeats < 1 or folds < 2 or permutations < 0:
        raise SolspaceError(
            f"repeats={repeats}, folds={folds}, permutations={permutations}; give at least 1, 2, 0"
        )
    values, names, families = gather_features(ds)
    held = pick_sets(families, sets)
    any_set = np.any(list(held.values()), axis=0)
    values, names, families = values[:, any_set], names[any_set], families[any_set]
    held = {name: which[any_set] for name, which in held.items()}
    classes = form_classes(ds[label].values, values, least=least, small=small)
    used, count = classes.used, len(classes.name)
    y, x = classes.label[used], values[used]
    folds = min(folds, int(np.bincount(y).min()))
    fold = draw_folds(y, folds=folds, repeats=repeats, seed=seed)
    kinds = list(dict.fromkeys(families.tolist()))
    n, shape = len(used), (len(held), len(names))
    rows: dict[str, list[Any]] = {}
    per_feature, per_family = np.full(shape, np.nan), np.full((len(held), len(kinds)), np.nan)
    for i, which in enumerate(held.values()):
        own = families[which]
        groups = [np.flatnonzero(own == kind) for kind in kinds]
        there = [g for g in groups if len(g)]
        result = predict_heldout(
            x[:, which], y, fold, models=models, groups=there, importance=importance, seed=seed,
            jobs=jobs, progress=progress,
        )  # fmt: skip
        per_feature[i, which] = result.importance
        per_family[i, [bool(len(g)) for g in groups]] = result.group_importance
        observed, null = permuted_kappa(
            x[:, which], y, permutations=permutations, folds=min(5, folds), seed=seed
        )
        for name, value in _scores(y, result, fold, count).items():
            rows.setdefault(name, []).append(value)
        rows.setdefault("null_kappa", []).append(null)
        rows.setdefault("null_observed", []).append(observed)
        above = int((null >= observed).sum())
        rows.setdefault("p_value", []).append((1 + above) / (1 + permutations))
    interval, gain_interval = kappa_interval(y, rows["held"], count, seed=seed)
    prediction = np.full((len(held), repeats, n), -1, np.int16)
    prediction[:, :, used] = rows.pop("held")
    probability = np.full((len(held), n, count), np.nan)
    probability[:, used] = rows.pop("probability")
    whole_fold = np.full((repeats, n), -1, np.int16)
    whole_fold[:, used] = fold
    kappa = np.array(rows["kappa"])
    gain = kappa - kappa[0]
    by_set = {
        "kappa": ("feature_set", kappa),
        "kappa_low": ("feature_set", interval[:, 0]),
        "kappa_high": ("feature_set", interval[:, 1]),
        "kappa_gain": ("feature_set", gain),
        "kappa_gain_low": ("feature_set", gain_interval[:, 0]),
        "kappa_gain_high": ("feature_set", gain_interval[:, 1]),
        "balanced_accuracy": ("feature_set", rows["balanced_accuracy"]),
        "accuracy": ("feature_set", rows["accuracy"]),
        "split_kappa": (("feature_set", "repeat", "fold"), rows["split_kappa"]),
        "model": (("feature_set", "repeat", "fold"), np.array(rows["model"], dtype=object)),
        "confusion": (("feature_set", "class", "predicted_class"), rows["confusion"]),
        "calibration_count": (("feature_set", "bin"), rows["calibration_count"]),
        "calibration_confidence": (("feature_set", "bin"), rows["calibration_confidence"]),
        "calibration_accuracy": (("feature_set", "bin"), rows["calibration_accuracy"]),
        "calibration_error": ("feature_set", rows["calibration_error"]),
        "null_kappa": (("feature_set", "permutation"), np.array(rows["null_kappa"])),
        "null_observed": ("feature_set", rows["null_observed"]),
        "p_value": ("feature_set", rows["p_value"]),
        "importance": (("feature_set", "feature"), per_feature),
        "family_importance": (("feature_set", "family"), per_family),
        "in_set": (("feature_set", "feature"), np.stack(list(held.values())).astype(np.int8)),
    }
    by_network = {
        "label": ("network", classes.label.astype(np.int16)),
        "exclusion": ("network", classes.reason),
        "held_out_in": (("repeat", "network"), whole_fold),
        "prediction": (("feature_set", "repeat", "network"), prediction),
        "probability": (("feature_set", "network", "class"), probability),
        "features": (("network", "feature"), values),
    }
    class_names = np.array(classes.name, dtype=object)
    coords: dict[str, Any] = {
        "feature_set": np.array(list(held), dtype=object),
        "class": class_names,
        "predicted_class": class_names,
        "feature": names,
        "feature_family": ("feature", families),
        "family": np.array(kinds, dtype=object),
    }
    coords |= {c: ds[c] for c in ("network", "name", "hidden_size") if c in ds.variables}
    options = {
        "label": label, "sets": list(sets), "least": least, "small": small,
        "models": list(models), "repeats": repeats, "folds": folds,
        "permutations": permutations, "importance": importance, "seed": seed,
    }  # fmt: skip
    attrs = {k: ds.attrs[k] for k in ("task", "architecture") if k in ds.attrs}
    attrs |= {
        "label": label,
        "options": json.dumps(options),
        "networks_used": int(used.sum()),
        "networks_excluded": json.dumps(classes.excluded()),
        "versions": json.dumps(_versions()),
    }
    out = xr.Dataset(by_set | by_network, coords=coords, attrs=attrs)
    return schema.annotate(out, "classification")


def _labels(ds: xr.Dataset) -> list[str]:
    """Variables a population could be classified by."""
    return [
        str(n)
        for n, v in ds.data_vars.items()
        if v.dims == ("network",) and ("solution" in str(n) or str(n).endswith("_key"))
    ]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {p: version(p) for p in ("solspace", "scikit-learn", "numpy")}


def _scores(y: Labels, held: Heldout, fold: Labels, classes: int) -> dict[str, Any]:
    repeats, folds = held.model.shape
    counts = confusion_counts(y, held.prediction, classes)
    split = [
        [
            float(cohen_kappa(y[fold[r] == f], held.prediction[r, fold[r] == f], classes))
            for f in range(folds)
        ]
        for r in range(repeats)
    ]
    recall = np.diagonal(counts, axis1=-2, axis2=-1) / counts.sum(-1)
    sure = calibration(y, held.probability)
    return {
        "held": held.prediction,
        "probability": held.probability,
        "kappa": float(kappa_of_counts(counts).mean()),
        "balanced_accuracy": float(recall.mean()),
        "accuracy": float((held.prediction == y).mean()),
        "split_kappa": split,
        "model": held.model,
        "confusion": counts.mean(axis=0),
    } | {f"calibration_{name}": value for name, value in sure.items()}


# --------------------------------------------------------------------------- transfer


def classify_across(
    groups: Mapping[str, xr.Dataset],
    *,
    label: str = "solution_key",
    set: str = "activity",
    least: int = 10,
    model: str = "extra_trees",
    repeats: int = 3,
    folds: int = 10,
    seed: int = 0,
) -> xr.Dataset:
    """Train on one group of networks, test on another: other architectures or hidden sizes.

    Only classes that have ``least`` networks in at least one group are used. A test counts the
    networks whose class the training group has too; how many those are is part of the result.

    Parameters
    ----------
    groups : mapping of str to Dataset
        Populations with features and the label, of one task.
    label : str
        Names that mean the same in all groups, such as ``solution_key``.
    set : str
        A set of features (see `classify`).
    least, model, repeats, folds, seed
        As for `classify`. Within a group, networks are held out.

    Returns
    -------
    Dataset
        ``kappa``, ``tested`` (networks) and ``testable`` (share of the test group's networks of
        a class the training group has), each (trained_on, tested_on). NaN where fewer than two
        classes are shared.

    Examples
    --------
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> def group():
    ...     key = np.repeat(["a", "b"], 15).astype(object)
    ...     values = rng.normal(size=(30, 2)); values[15:, 0] += 4
    ...     return xr.Dataset({"features": (("network", "feature"), values),
    ...                        "solution_key": ("network", key)},
    ...                       coords={"feature": ["f", "g"],
    ...                               "feature_family": ("feature", ["published"] * 2)})
    >>> out = classify_across({"gru": group(), "lstm": group()}, set="published", folds=5)
    >>> float(out.kappa.sel(trained_on="gru", tested_on="lstm")) > 0.8
    True
    """
    import xarray as xr

    _sklearn()
    names: list[str] = []
    parts, keys = [], []
    columns: NDArray[Any] | None = None
    for name, ds in groups.items():
        if label not in ds.variables:
            raise SolspaceError(f"{name}: has no label {label!r}; type `solspace reduce` first")
        values, features, families = gather_features(ds)
        which = pick_sets(families, [set])[set]
        if columns is not None and features[which].tolist() != columns.tolist():
            raise SolspaceError(
                f"{name}: has other features than {names[0]}; give groups of one task with "
                "features of one version"
            )
        columns = features[which]
        text = _as_text(ds[label].values)
        good = (text != "") & np.isfinite(values[:, which]).all(axis=1)
        names.append(name)
        parts.append(values[good][:, which])
        keys.append(text[good])
    size = (len(names), len(names))
    kappa, tested, testable = np.full(size, np.nan), np.zeros(size, np.int64), np.zeros(size)
    for i, j in np.ndindex(*size):
        known, count = np.unique(keys[i], return_counts=True)
        known = known[count >= least]
        train, test = np.isin(keys[i], known), np.isin(keys[j], known)
        tested[i, j], testable[i, j] = int(test.sum()), float(test.mean())
        if len(known) < 2 or len(np.unique(keys[j][test])) < 2:
            continue
        y, z = (np.searchsorted(known, k) for k in (keys[i][train], keys[j][test]))
        if i == j:
            few = min(folds, int(np.bincount(y).min()))
            fold = draw_folds(y, folds=few, repeats=repeats, seed=seed)
            guess = predict_heldout(
                parts[i][train], y, fold, models=[model], importance=False, seed=seed
            ).prediction
        else:
            fits = [_model(model, seed + r).fit(parts[i][train], y) for r in range(repeats)]
            guess = np.stack([f.predict(parts[j][test]) for f in fits])
        kappa[i, j] = cohen_kappa(z, guess, len(known)).mean()
    dims = ("trained_on", "tested_on")
    labels = np.array(names, dtype=object)
    return xr.Dataset(
        {"kappa": (dims, kappa), "tested": (dims, tested), "testable": (dims, testable)},
        coords={"trained_on": labels, "tested_on": labels},
        attrs={"label": label, "feature_set": set, "least": least, "model": model},
    )


# --------------------------------------------------------------------------- over a store


def classify_store(
    path: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
    show: bool = False,
    **options: Any,
) -> Iterator[tuple[str, xr.Dataset]]:
    """Classify each population of a store and keep the result in its group ``classification``.

    Parameters
    ----------
    path : str
    task, architecture : str, optional
        Only these populations.
    show : bool
        A bar on stderr.
    **options
        Of `classify`.

    Yields
    ------
    name, Dataset
        The population and its classification, once it is stored.
    """
    from tqdm import tqdm

    from solspace.store import Store

    store = Store(path)
    found = store.select(task, architecture)
    wanted = {"features", str(options.get("label", "solution"))}
    with store.lock("classify"):
        for population in found:
            whole = population.open()
            ds = whole[[n for n in whole.variables if n in wanted or n in _KEPT]].load()
            ds.attrs |= {"task": population.task, "architecture": population.architecture}
            total = len(options.get("sets", SETS)) * options.get("repeats", 5)
            total *= options.get("folds", 10)
            stored = {k: v for k, v in options.items() if k != "jobs"}
            with (
                population.provenance("classify", stored),
                tqdm(total=total, desc=f"classify {population}", disable=not show) as bar,
            ):
                try:
                    out = classify(ds, progress=bar.update, **options)
                except SolspaceError as error:
                    raise SolspaceError(f"{path}: {population}: {error}") from None
                population.replace("classification", out)
            yield str(population), out
        store.consolidate()


# The last one only to tell version 1 of the store.
_KEPT = ("network", "name", "hidden_size", "feature", "feature_family", "activity_feature")


def classification_table(out: xr.Dataset) -> str:
    """Kappa by set of features, as text.

    Examples
    --------
    >>> import xarray as xr
    >>> one = {n: ("feature_set", [0.5]) for n in ("kappa", "kappa_low", "kappa_high",
    ...        "kappa_gain", "kappa_gain_low", "kappa_gain_high", "balanced_accuracy", "p_value")}
    >>> out = xr.Dataset(one, coords={"feature_set": ["published"], "class": ["0", "1"]},
    ...     attrs={"networks_used": 40, "networks_excluded": "{}"})
    >>> print(classification_table(out).splitlines()[-1])
      published      0.50 (0.50 to 0.50)                         0.50   0.5
    """
    left_out = json.loads(out.attrs["networks_excluded"])
    text = "; ".join(f"{count} left out, {reason}" for reason, count in left_out.items())
    lines = [
        f"  {out.attrs['networks_used']} networks in {out.sizes['class']} classes"
        + (f" ({text})" if text else ""),
        "  features       kappa (95 %)         gain (95 %)            balanced   p",
    ]
    for i, name in enumerate(out["feature_set"].values):
        row = out.isel(feature_set=i)
        gain = ""
        if i:
            gain = (
                f"{float(row.kappa_gain):+.2f} ({float(row.kappa_gain_low):+.2f} to "
                f"{float(row.kappa_gain_high):+.2f})"
            )
        lines.append(
            f"  {name:<13}  {float(row.kappa):.2f} ({float(row.kappa_low):.2f} to "
            f"{float(row.kappa_high):.2f})  {gain:<23} {float(row.balanced_accuracy):.2f}   "
            f"{float(row.p_value):.2g}"
        )
    return "\n".join(lines)
