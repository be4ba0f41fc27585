"""From the connectivity before training to the kind of solution after: can it be predicted?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.population.variables import check
from solspace.two_neuron import flags
from solspace.two_neuron.stage import weights_of

__all__ = ["path_to_kind", "predict_kind", "solution_kinds"]

KINDS = ("not_learned", *flags.ENDINGS)


def solution_kinds(ds: xr.Dataset, *, target_loss: float = 1e-4) -> xr.DataArray:
    """Kind of each network: where it ends, or that it did not learn the task.

    Parameters
    ----------
    ds : Dataset
        A planar population after `reduce`.
    target_loss : float

    Returns
    -------
    DataArray
        int8 (network,), with ``flag_values`` and ``flag_meanings``.

    Examples
    --------
    >>> from solspace import reduce
    >>> from solspace.two_neuron.stage import planar_population
    >>> kinds = solution_kinds(reduce(planar_population(np.zeros((2, 2)))))
    >>> kinds.attrs["flag_meanings"].split()[kinds.item()]
    'not_learned'
    """
    check(ds, "population", [], required=["loss", "ending"])
    values = np.where(ds["loss"].values < target_loss, ds["ending"].values + 1, 0)
    return xr.DataArray(
        values.astype(np.int8),
        dims="network",
        attrs={
            "long_name": "kind of solution",
            "flag_values": list(range(len(KINDS))),
            "flag_meanings": " ".join(KINDS),
        },
    )


def predict_kind(
    initial: ArrayLike, kind: ArrayLike, *, folds: int = 5, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Kind predicted for each network by a classifier that did not see it, and accuracy by fold.

    A support vector machine with a Gaussian kernel on the four initial weights; networks are
    split into folds that each hold the kinds in the same shares.

    Parameters
    ----------
    initial : array (network, 2, 2)
    kind : array (network,) of int
        Each kind has at least as many networks as there are folds.
    folds : int
    seed : int
        Of the split.

    Raises
    ------
    SolspaceError
        Where scikit-learn is missing, there is one kind only, or one has too few networks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> initial = rng.uniform(-1.5, 1.5, (200, 2, 2))
    >>> predicted, accuracy = predict_kind(initial, initial[:, 0, 0] > 0)
    >>> bool(accuracy.mean() > 0.9)
    True
    """
    try:
        from sklearn.model_selection import StratifiedKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ImportError:
        raise SolspaceError(
            "predicting kinds needs scikit-learn, which is not installed; "
            "type `pip install 'solspace[learn]'`"
        ) from None
    x = np.asarray(initial, float).reshape(-1, 4)
    y = np.asarray(kind).astype(np.int64)
    values, counts = np.unique(y, return_counts=True)
    if len(x) != len(y) or len(values) < 2 or counts.min() < folds or folds < 2:
        raise SolspaceError(
            f"{len(x)} networks, kinds {dict(zip(values.tolist(), counts.tolist(), strict=True))}, "
            f"{folds} folds; give two kinds or more, each of as many networks as folds (2 or more)"
        )
    predicted = np.empty_like(y)
    accuracy = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, y):
        model = make_pipeline(StandardScaler(), SVC(C=10.0))
        predicted[test] = model.fit(x[train], y[train]).predict(x[test])
        accuracy.append(float((predicted[test] == y[test]).mean()))
    return predicted, np.array(accuracy)


def path_to_kind(
    ds: xr.Dataset,
    *,
    bins: int = 24,
    folds: int = 5,
    target_loss: float = 1e-4,
    most: int = 4000,
) -> xr.Dataset:
    """The path from the initial to the final connectivity: which start leads to which kind.

    Parameters
    ----------
    ds : Dataset
        A planar population after `reduce`, with its initial weights.
    bins : int
        Of the map, along each axis.
    folds : int
        Of the cross-validation.
    target_loss : float
    most : int
        Networks that the classifier sees, the first so many.

    Returns
    -------
    Dataset
        ``share`` (kind, rotation, trace): of the networks that began in a bin, how many came to
        each kind; the coordinates are the initial w21 - w12, which turns x(0) towards the
        target, and w11 + w22. ``count`` (rotation, trace). ``accuracy`` (fold) of kinds predicted
        from the initial weights, ``chance`` always predicting the commonest kind, ``confusion``
        (kind, predicted). Kinds of fewer than ``folds`` networks take no part in the last three;
        ``left_out`` counts them.

    Raises
    ------
    SolspaceError
        Where there are no initial weights, or there is one kind only.

    Examples
    --------
    >>> from solspace import new_population, reduce, train
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     ds = reduce(train(new_population("two_neuron", "planar", networks=60)))
    >>> path = path_to_kind(ds, bins=4)
    >>> path.share.dims, bool(path.accuracy.mean() > path.chance)
    (('kind', 'rotation', 'trace'), True)
    """
    initial = weights_of(ds, initial=True)
    if not np.isfinite(initial).all():
        raise SolspaceError(
            "the population has no initial weights; give one that was trained here, by "
            "solspace.train(ds) or `solspace train STORE`"
        )
    kind = solution_kinds(ds, target_loss=target_loss).values
    rotation = initial[:, 1, 0] - initial[:, 0, 1]
    trace = np.trace(initial, axis1=1, axis2=2)
    reach = 3.0
    edges = np.linspace(-reach, reach, bins + 1)
    there = [i for i in range(len(KINDS)) if (kind == i).any()]
    counts = np.stack(
        [np.histogram2d(rotation[kind == i], trace[kind == i], [edges, edges])[0] for i in there]
    )
    total = counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        share = counts / total
    frequent = [i for i in there if (kind[:most] == i).sum() >= folds]
    seen = np.isin(kind[:most], frequent)
    if len(frequent) < 2:
        raise SolspaceError("all networks are of one kind; give a population with several")
    predicted, accuracy = predict_kind(initial[:most][seen], kind[:most][seen], folds=folds)
    confusion = np.array(
        [[((kind[:most][seen] == i) & (predicted == j)).sum() for j in there] for i in there]
    )
    middle = (edges[1:] + edges[:-1]) / 2
    names = np.array([KINDS[i] for i in there], dtype=object)
    return xr.Dataset(
        {
            "share": (("kind", "rotation", "trace"), share, {"long_name": "share of networks"}),
            "count": (("rotation", "trace"), total.astype(np.int64), {"long_name": "networks"}),
            "accuracy": ("fold", accuracy, {"long_name": "share of networks predicted rightly"}),
            "chance": float(np.bincount(kind[:most][seen]).max() / seen.sum()),
            "confusion": (("kind", "predicted"), confusion, {"long_name": "networks"}),
            "left_out": int((~seen).sum()),
        },
        coords={
            "kind": names,
            "predicted": names,
            "rotation": ("rotation", middle, {"long_name": "initial w21 - w12"}),
            "trace": ("trace", middle, {"long_name": "initial w11 + w22"}),
        },
    )
