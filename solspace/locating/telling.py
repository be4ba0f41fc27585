"""From descriptions to probabilities of classes: trees, recalibrated, and how usual a case is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.locating.describing import Description

__all__ = ["Teller", "learn"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

COMPONENTS = 40  # of the dissimilarities of moments
TREES = 200
LEAST = 2e-3  # of a probability, before it is recalibrated
NEIGHBOURS = 5
REFERENCE = 500  # networks whose distance to the others says what is usual
# Features that fewer descriptions have are left out; what is missing of others is the median.
COMMON = 0.95


@dataclass(frozen=True)
class Teller:
    """What was learned from networks seen through the electrodes.

    Attributes
    ----------
    columns : tuple of str
        Features used.
    model
        Of features and moments side by side.
    temperature : float
        By which logarithms of probabilities are divided.
    held_out : array (draw, network, class)
        Probabilities of networks while they were held out, recalibrated by others.
    moments : array (network, pair)
        Of the first draw.
    usual : array
        Distance of networks to those nearest to them.
    """

    columns: tuple[str, ...]
    model: Any
    temperature: float
    held_out: Array
    moments: NDArray[np.float32]
    usual: Array

    def probabilities(self, cases: Sequence[Description]) -> Array:
        """Of each class, (case, class)."""
        return _cooled(self.model.predict_proba(_table(cases, self.columns)), 1 / self.temperature)

    def distance(self, case: Description) -> float:
        """Mean distance of moments to the nearest networks."""
        apart = np.sqrt(((self.moments - case.moments) ** 2).mean(axis=1, dtype=np.float64))
        return float(np.sort(apart)[:NEIGHBOURS].mean())

    def as_far(self, case: Description) -> float:
        """Share of networks that are as far from all others as a case is; its typicality."""
        far = (self.usual >= self.distance(case) - 1e-12).sum()
        return float((1 + far) / (1 + len(self.usual)))


def _table(cases: Sequence[Description], columns: Sequence[str]) -> NDArray[np.float32]:
    features = [[case.features.get(c, np.nan) for c in columns] for case in cases]
    moments = np.stack([case.moments for case in cases])
    return np.hstack([np.array(features, np.float32).reshape(len(cases), -1), moments])


def _model(features: int, cases: int, seed: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        ColumnTransformer(
            [
                ("features", SimpleImputer(strategy="median"), slice(0, features)),
                (
                    "moments",
                    PCA(min(COMPONENTS, cases // 2), random_state=seed),
                    slice(features, None),
                ),
            ]
        ),
        ExtraTreesClassifier(TREES, min_samples_leaf=2, random_state=seed),
    )


def _cooled(probability: Array, power: float) -> Array:
    logs = np.log(np.maximum(probability, LEAST)) * power
    out = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(out / out.sum(axis=-1, keepdims=True))


def _temperature(probability: Array, label: Labels) -> float:
    """The temperature of least surprise (Guo et al. 2017), of probabilities (..., case, class)."""
    from scipy.optimize import minimize_scalar

    def surprise(log_power: float) -> float:
        cooled = _cooled(probability, float(np.exp(log_power)))
        return float(-np.log(cooled[..., np.arange(len(label)), label]).mean())

    return float(np.exp(-minimize_scalar(surprise, bounds=(-3, 3), method="bounded").x))


def learn(
    draws: Sequence[Sequence[Description]],
    recording: Description,
    label: Labels,
    *,
    folds: int,
    seed: int,
) -> Teller:
    """Learn to tell the class of a network from how it is seen.

    Extra trees on the features that the recording has and all but a few networks have, and on
    principal components of the dissimilarities of moments. Networks are held out in folds, all
    draws of a network together; one temperature, fitted to what was said of them, recalibrates.

    Parameters
    ----------
    draws : sequence (draw) of sequence (network) of Description
        Of each network several, of other units and spikes.
    recording : Description
    label : array (network,)
    folds : int
    seed : int

    Raises
    ------
    SolspaceError
        Where recording and networks have no feature in common.
    """
    from solspace.classification.models import draw_folds

    count = dict.fromkeys(recording.features, 0)
    every = [case for draw in draws for case in draw]
    for case in every:
        for c in case.features.keys() & count.keys():
            count[c] += 1
    columns = tuple(c for c, n in count.items() if n >= COMMON * len(every))
    if not columns:
        raise SolspaceError("the recording and the networks have no feature in common")
    tables = np.stack([_table(draw, columns) for draw in draws])
    classes = int(label.max()) + 1
    fold = draw_folds(label, folds=folds, repeats=1, seed=seed)[0]
    raw = np.zeros((len(draws), len(label), classes))
    width = tables.shape[-1]
    for f in range(int(fold.max()) + 1):
        held = fold == f
        known = tables[:, ~held].reshape(-1, width)
        model = _model(len(columns), len(known), seed + f)
        model.fit(known, np.tile(label[~held], len(draws)))
        raw[:, held] = model.predict_proba(tables[:, held].reshape(-1, width)).reshape(
            len(draws), -1, classes
        )
    # What is shown of networks held out is recalibrated by the others, too.
    other = draw_folds(label, folds=folds, repeats=1, seed=seed + 1)[0]
    held_out = np.zeros_like(raw)
    for f in range(int(other.max()) + 1):
        away = other == f
        held_out[:, away] = _cooled(raw[:, away], 1 / _temperature(raw[:, ~away], label[~away]))
    model = _model(len(columns), tables.shape[0] * tables.shape[1], seed)
    model.fit(tables.reshape(-1, width), np.tile(label, len(draws)))
    moments = np.stack([case.moments for case in draws[0]])
    return Teller(columns, model, _temperature(raw, label), held_out, moments, _usual(moments))


def _usual(moments: NDArray[np.float32]) -> Array:
    """Of rows, evenly chosen where there are many, the mean distance to their nearest others."""
    rows = np.unique(np.linspace(0, len(moments) - 1, min(len(moments), REFERENCE)).astype(int))
    apart = np.empty(len(rows))
    for k, i in enumerate(rows):
        own = np.sqrt(((moments - moments[i]) ** 2).mean(axis=1, dtype=np.float64))
        own[i] = np.inf
        apart[k] = np.sort(own)[:NEIGHBOURS].mean()
    return apart
