"""The models, and the folds that networks are held out in."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

__all__ = ["MODELS", "draw_folds", "make_model", "need_sklearn", "quiet"]

Labels = NDArray[np.int64]

MODELS = ("random_forest", "extra_trees", "logistic")


def need_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise SolspaceError(
            "classification needs scikit-learn, which is not installed; type "
            "`pip install 'solspace[learn]'`"
        ) from None


def make_model(name: str, seed: int, trees: int = 100) -> Any:
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
def quiet() -> Iterator[None]:
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
