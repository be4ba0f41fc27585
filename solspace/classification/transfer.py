"""Train on one group of networks, test on another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.classification.classes import as_text
from solspace.classification.heldout import predict_heldout
from solspace.classification.models import draw_folds, make_model, need_sklearn
from solspace.classification.scores import cohen_kappa
from solspace.classification.stage import gather_features, pick_sets
from solspace.errors import SolspaceError, how_to_make
from solspace.population.variables import text_array
from solspace.stages.collection import labelled_by

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["classify_across"]


def classify_across(
    groups: Mapping[str, xr.Dataset],
    *,
    label: str = "solution_key",
    set: str = "activity",
    minimum_class_size: int = 10,
    model: str = "extra_trees",
    repeats: int = 3,
    folds: int = 10,
    seed: int = 0,
) -> xr.Dataset:
    """Train on one group of networks, test on another: other architectures or hidden sizes.

    Only classes that have ``minimum_class_size`` networks in at least one group are used. A test
    counts the networks whose class the training group has too; how many those are is part of the
    result.

    Parameters
    ----------
    groups : mapping of str to Dataset
        Populations with features and the label, of one task.
    label : str
        Names that mean the same in all groups, such as ``solution_key`` or ``graph_key``.
    set : str
        A set of features (see `classify`).
    minimum_class_size, model, repeats, folds, seed
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

    need_sklearn()
    names: list[str] = []
    parts, keys = [], []
    columns: NDArray[Any] | None = None
    for name, ds in groups.items():
        if label not in ds.variables:
            maker = labelled_by(label) or "label"
            raise SolspaceError(f"{name}: has no label {label!r}; {how_to_make(maker)}")
        values, features, families = gather_features(ds)
        which = pick_sets(families, [set])[set]
        if columns is not None and features[which].tolist() != columns.tolist():
            raise SolspaceError(
                f"{name}: has other features than {names[0]}; give groups of one task with "
                "features of one version"
            )
        columns = features[which]
        text = as_text(ds[label].values)
        good = (text != "") & np.isfinite(values[:, which]).all(axis=1)
        names.append(name)
        parts.append(values[good][:, which])
        keys.append(text[good])
    size = (len(names), len(names))
    kappa, tested, testable = np.full(size, np.nan), np.zeros(size, np.int64), np.zeros(size)
    for i, j in np.ndindex(*size):
        known, count = np.unique(keys[i], return_counts=True)
        known = known[count >= minimum_class_size]
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
            fits = [make_model(model, seed + r).fit(parts[i][train], y) for r in range(repeats)]
            guess = np.stack([f.predict(parts[j][test]) for f in fits])
        kappa[i, j] = cohen_kappa(z, guess, len(known)).mean()
    dims = ("trained_on", "tested_on")
    labels = text_array(names)
    return xr.Dataset(
        {"kappa": (dims, kappa), "tested": (dims, tested), "testable": (dims, testable)},
        coords={"trained_on": labels, "tested_on": labels},
        attrs={
            "label": label,
            "feature_set": set,
            "minimum_class_size": minimum_class_size,
            "model": model,
        },
    )
