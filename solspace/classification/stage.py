"""Predict the solution a network found from features of its activity on trained trials.

Section 5.5 of Turner, Dabholkar & Barak (NeurIPS 2021). Networks are held out in repeated
stratified folds; scaling, and the choice among models, is learned within the networks that are
not held out. Different sets of features are compared on the same folds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from solspace.classification.classes import as_text
from solspace.classification.variables import CLASSIFICATION
from solspace.errors import SolspaceError, how_to_make
from solspace.labels.registry import label_stages
from solspace.population.variables import text_array
from solspace.stages import Group, stage
from solspace.stages.collection import labelled_by

if TYPE_CHECKING:
    import xarray as xr

    from solspace.classification.heldout import Heldout

__all__ = [
    "SETS",
    "classification_table",
    "classify",
    "classify_recorded",
    "gather_features",
    "pick_sets",
]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

MODELS = ("random_forest", "extra_trees", "logistic")
# The paper's features; all but those of a network fitted to the activity; all.
SETS = ("published", "activity", "all")
FITTED = "fitted"


def classification_table(out: xr.Dataset) -> str:
    """Kappa by set of features, as text.

    Examples
    --------
    >>> import xarray as xr
    >>> one = {n: ("feature_set", [0.5]) for n in ("kappa", "kappa_low", "kappa_high",
    ...        "kappa_gain", "kappa_gain_low", "kappa_gain_high", "balanced_accuracy", "p_value")}
    >>> out = xr.Dataset(one, coords={"feature_set": ["published"], "label_class": ["0", "1"]},
    ...     attrs={"networks_used": 40, "networks_excluded": "{}"})
    >>> print(classification_table(out).splitlines()[-1])
      published      0.50 (0.50 to 0.50)                         0.50   0.5
    """
    left_out = json.loads(out.attrs["networks_excluded"])
    text = "; ".join(f"{count} left out, {reason}" for reason, count in left_out.items())
    lines = [
        f"  {out.attrs['networks_used']} networks in {out.sizes['label_class']} classes"
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


def gather_features(ds: xr.Dataset) -> tuple[Array, NDArray[Any], NDArray[Any]]:
    """All features of a population: values (network, feature), names, and their families.

    The paper's are the family ``published``.
    """
    if "features" not in ds.variables:
        raise SolspaceError(f"the dataset has no 'features'; {_how_to_have_features(ds)}")
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


def _how_to_have_features(ds: xr.Dataset) -> str:
    """What to type, or why the dataset's task has no features."""
    from solspace.tasks import get_task, task_names
    from solspace.tasks.needs import lacking

    name = str(ds.coords["task"].values) if "task" in ds.coords else ""
    if name in task_names() and (lacks := lacking(get_task(name), "features")):
        return f"task {name!r} has none: {lacks}"
    return how_to_make("features")


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
                f"the set {name!r} holds no feature of this dataset; call "
                "solspace.extract_features(training), or type `solspace features STORE --redo`, to "
                "compute those of this version"
            )
        out[name] = held
    return out


_GROUP = Group("how well features of activity predict the solution, networks held out")


@stage(
    reads=["population"],
    fills=CLASSIFICATION,
    after=["features", "reduce"],
    uses=lambda: ("label", *label_stages()),
    over="population",
    groups={"classification": _GROUP},
    returns="classification",
    table=classification_table,
)
def classify(
    ds: xr.Dataset,
    *,
    label: str = "solution",
    sets: Sequence[str] = SETS,
    minimum_class_size: int = 10,
    small: Literal["exclude", "pool"] = "exclude",
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
        Variable (network,) to predict: solution, or a label such as automaton_key or graph_key.
        Numbers are unknown where negative, strings where empty.
    sets : sequence of str
        Sets of features, compared on the same networks and folds: published (the paper's),
        activity (these and all others but those of a fitted network), all (all features), or
        families joined with + as in speed+path. Gains are over the first.
    minimum_class_size : int
        Networks a class must have to be predicted. The paper asks for ten.
    small : {"exclude", "pool"}
        What becomes of smaller classes: exclude leaves their networks out, pool makes one class
        of them.
    models : sequence of str
        Models to choose from: random_forest, extra_trees, logistic. One is chosen in each fold
        within the networks not held out.
    repeats : int
        How often all networks are dealt into folds anew. Five times ten folds are 50 splits of
        90/10, as in the paper.
    folds : int
        Folds of a repeat, each held out once. No more than the smallest class has networks.
    permutations : int
        Times that labels are permuted for the null distribution. A p value is no smaller than
        1 / (permutations + 1).
    importance : bool
        Whether to compute the importance of features.
    seed : int
        Of folds, models and permutations.
    jobs : int, optional
        Processes that share the folds, by default one. Results do not depend on it.
    progress : callable (int) -> None, optional
        Told after each fold of each set.

    Returns
    -------
    Dataset
        The classification group (see docs/schema.md): held-out predictions and probabilities,
        kappa with its interval, confusion matrix, calibration, null and importance by set of
        features.

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
    return _classify(
        ds, label=label, sets=sets, minimum_class_size=minimum_class_size, small=small,
        models=models, repeats=repeats, folds=folds, permutations=permutations,
        importance=importance, seed=seed, jobs=jobs, progress=progress,
    )  # fmt: skip


@stage(
    name="classify",
    kind="recorded",
    reads=["population"],
    fills=CLASSIFICATION,
    after=["features"],
    over="population",
    groups={"classification": _GROUP},
    returns="classification",
    table=classification_table,
)
def classify_recorded(
    ds: xr.Dataset,
    *,
    label: str = "",
    sets: Sequence[str] = ("activity",),
    minimum_class_size: int = 10,
    small: Literal["exclude", "pool"] = "exclude",
    models: Sequence[str] = MODELS,
    repeats: int = 5,
    folds: int = 10,
    permutations: int = 100,
    importance: bool = True,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Predict a label of every recording from features of its activity.

    `classify` of a recorded population is this. Recordings bring no label of their own: give one
    along ``network``, such as the animal or the area.

    Parameters
    ----------
    ds : Dataset
        A recorded population with features and the label.
    label : str
        Variable (network,) to predict; has to be given.
    sets : sequence of str
        Sets of features, compared on the same recordings and folds: activity, or families joined
        with + as in speed+path. Gains are over the first.
    minimum_class_size : int
        Recordings a class must have to be predicted.
    small : {"exclude", "pool"}
        What becomes of smaller classes: exclude leaves their recordings out, pool makes one class
        of them.
    models : sequence of str
        Models to choose from: random_forest, extra_trees, logistic. One is chosen in each fold
        within the recordings not held out.
    repeats : int
        How often all recordings are dealt into folds anew.
    folds : int
        Folds of a repeat, each held out once. No more than the smallest class has recordings.
    permutations : int
        Times that labels are permuted for the null distribution.
    importance : bool
        Whether to compute the importance of features.
    seed : int
        Of folds, models and permutations.
    jobs : int, optional
        Processes that share the folds, by default one. Results do not depend on it.
    progress : callable (int) -> None, optional
        Told after each fold of each set.

    Returns
    -------
    Dataset
        As of `classify`.

    Raises
    ------
    SolspaceError
        Where there are no features, no such label, or fewer than two classes large enough.

    Examples
    --------
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> animal = np.repeat(["a", "b"], 20)
    >>> ds = xr.Dataset({"features": (("network", "feature"), rng.normal(size=(40, 3)))},
    ...                 coords={"animal": ("network", animal), "feature": ["f", "g", "h"],
    ...                         "feature_family": ("feature", ["speed"] * 3)})
    >>> ds.features[:, 1] += 5 * (animal == "b")
    >>> out = classify_recorded(ds, label="animal", models=["logistic"], repeats=1, permutations=3)
    >>> float(out.kappa.sel(feature_set="activity")) > 0.8
    True
    """
    if label not in ds.variables:
        own = [str(n) for n, v in ds.coords.items() if v.dims == ("network",)]
        raise SolspaceError(
            f"recordings have no label {label!r}; give one that is there, label=NAME or --label "
            f"NAME: {', '.join(own)}; or one of yours, ds.assign_coords(animal=('network', [...]))"
        )
    return _classify(
        ds, label=label, sets=sets, minimum_class_size=minimum_class_size, small=small,
        models=models, repeats=repeats, folds=folds, permutations=permutations,
        importance=importance, seed=seed, jobs=jobs, progress=progress,
    )  # fmt: skip


def _classify(
    ds: xr.Dataset,
    *,
    label: str,
    sets: Sequence[str],
    minimum_class_size: int,
    small: Literal["exclude", "pool"],
    models: Sequence[str],
    repeats: int,
    folds: int,
    permutations: int,
    importance: bool,
    seed: int,
    jobs: int | None,
    progress: Callable[[int], None] | None,
) -> xr.Dataset:
    """What `classify` says of networks, and `classify_recorded` of recordings."""
    import xarray as xr

    from solspace.classification.classes import form_classes
    from solspace.classification.heldout import permuted_kappa, predict_heldout
    from solspace.classification.models import draw_folds, need_sklearn
    from solspace.classification.scores import kappa_interval

    need_sklearn()
    check_label(ds, label)
    if unknown := [m for m in models if m not in MODELS]:
        raise SolspaceError(f"unknown model {unknown[0]!r}; models: {', '.join(MODELS)}")
    if repeats < 1 or folds < 2 or permutations < 0:
        raise SolspaceError(
            f"repeats={repeats}, folds={folds}, permutations={permutations}; give at least 1, 2, 0"
        )
    values, names, families = gather_features(ds)
    held = pick_sets(families, sets)
    any_set = np.any(list(held.values()), axis=0)
    classes = form_classes(
        ds[label].values, values[:, any_set], minimum_class_size=minimum_class_size, small=small
    )
    used, count = classes.used, len(classes.name)
    y, x = classes.label[used], values[used]
    folds = min(folds, int(np.bincount(y).min()))
    fold = draw_folds(y, folds=folds, repeats=repeats, seed=seed)
    kinds = list(dict.fromkeys(families.tolist()))
    n, shape = len(used), (len(held), len(names))
    rows: dict[str, list[Any]] = {}
    per_feature, per_family = np.full(shape, np.nan), np.full((len(held), len(kinds)), np.nan)
    between_feature = np.full((*per_feature.shape, 2), np.nan)
    between_family = np.full((*per_family.shape, 2), np.nan)
    for i, which in enumerate(held.values()):
        own = families[which]
        groups = [np.flatnonzero(own == kind) for kind in kinds]
        there = [g for g in groups if len(g)]
        result = predict_heldout(
            x[:, which], y, fold, models=models, groups=there, importance=importance, seed=seed,
            jobs=jobs, progress=progress,
        )  # fmt: skip
        per_feature[i, which] = result.importance
        has = [bool(len(g)) for g in groups]
        per_family[i, has] = result.group_importance
        between_feature[i, which] = result.importance_interval
        between_family[i, has] = result.group_importance_interval
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
        "model": (("feature_set", "repeat", "fold"), text_array(rows["model"])),
        "confusion": (("feature_set", "label_class", "predicted_class"), rows["confusion"]),
        "calibration_count": (("feature_set", "bin"), rows["calibration_count"]),
        "calibration_confidence": (("feature_set", "bin"), rows["calibration_confidence"]),
        "calibration_accuracy": (("feature_set", "bin"), rows["calibration_accuracy"]),
        "calibration_error": ("feature_set", rows["calibration_error"]),
        "null_kappa": (("feature_set", "permutation"), np.array(rows["null_kappa"])),
        "null_observed": ("feature_set", rows["null_observed"]),
        "p_value": ("feature_set", rows["p_value"]),
        "importance": (("feature_set", "feature"), per_feature),
        "importance_low": (("feature_set", "feature"), between_feature[..., 0]),
        "importance_high": (("feature_set", "feature"), between_feature[..., 1]),
        "family_importance": (("feature_set", "family"), per_family),
        "family_importance_low": (("feature_set", "family"), between_family[..., 0]),
        "family_importance_high": (("feature_set", "family"), between_family[..., 1]),
        "in_set": (("feature_set", "feature"), np.stack(list(held.values())).astype(np.int8)),
    }
    by_network = {
        "label": ("network", classes.label.astype(np.int16)),
        "exclusion": ("network", text_array(classes.reason)),
        "held_out_in": (("repeat", "network"), whole_fold),
        "prediction": (("feature_set", "repeat", "network"), prediction),
        "probability": (("feature_set", "network", "label_class"), probability),
    }
    class_names = text_array(classes.name)
    coords: dict[str, Any] = {
        "feature_set": text_array(list(held)),
        "label_class": class_names,
        "predicted_class": class_names,
        "feature": text_array(names),
        "feature_family": ("feature", text_array(families)),
        "family": text_array(kinds),
    }
    coords |= {
        str(c): v for c, v in ds.coords.items() if set(v.dims) <= {"network"} and c not in coords
    }
    options = {
        "label": label, "sets": list(sets), "minimum_class_size": minimum_class_size,
        "small": small, "models": list(models), "repeats": repeats, "folds": folds,
        "permutations": permutations, "importance": importance, "seed": seed,
    }  # fmt: skip
    attrs = {
        "label": label,
        "options": json.dumps(options),
        "networks_used": int(used.sum()),
        "networks_excluded": json.dumps(classes.excluded()),
        "versions": json.dumps(_versions()),
    }
    return xr.Dataset(by_set | by_network, coords=coords, attrs=attrs)


def check_label(ds: xr.Dataset, label: str) -> None:
    """Refuse a label that a dataset does not have, or has for none of its networks.

    Raises
    ------
    SolspaceError
        The message names the stage that fills it.
    """
    found = label in ds.variables
    if found and (as_text(ds[label].values) != "").any():
        return
    maker = labelled_by(label) or "label"
    what = f"no network has a {label!r}" if found else f"the dataset has no label {label!r}"
    others = [name for name in label_names(ds) if name != label]
    raise SolspaceError(
        f"{what}; {how_to_make(maker)}, or give a variable (network,) that is there: "
        f"{', '.join(others) or 'none'}"
    )


def label_names(ds: xr.Dataset) -> list[str]:
    """Variables a population could be classified by."""
    return [
        str(n)
        for n, v in ds.variables.items()
        if v.dims == ("network",) and ("solution" in str(n) or str(n).endswith("_key"))
    ]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {p: version(p) for p in ("solspace", "scikit-learn", "numpy")}


def _scores(y: Labels, held: Heldout, fold: Labels, classes: int) -> dict[str, Any]:
    from solspace.classification.scores import (
        calibration,
        cohen_kappa,
        confusion_counts,
        kappa_of_counts,
    )

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
