"""How well the solution is predicted from simulated recordings of different sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from solspace.classification.variables import RECORDING_SIZE
from solspace.errors import SolspaceError
from solspace.labels.registry import label_stages
from solspace.population.variables import text_array
from solspace.recordings.simulated import STEP_MS, observe
from solspace.stages import Group, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.classification.models import Labels
    from solspace.tasks import Task

__all__ = ["classify_recordings", "recording_size_table"]

Array = NDArray[np.float64]

_BLOCK = 8  # networks held in memory at once


def _conditions(
    units: Sequence[float | None], trials: Sequence[float | None]
) -> list[tuple[int | None, int | None]]:
    """Numbers of units and trials, None for all and for no spikes."""
    if not units or not trials:
        raise SolspaceError("no numbers of units or trials; give one or more of each")
    out: list[list[int | None]] = []
    for what, numbers in (("units", units), ("trials", trials)):
        out.append([])
        for n in numbers:
            if n is None or n == np.inf:
                out[-1].append(None)
            elif n != int(n) or n < 1:
                raise SolspaceError(f"{n:g} {what}; give whole numbers of 1 or more, inf for all")
            else:
                out[-1].append(int(n))
    return list(product(out[0], out[1]))


def recorded_features(
    training: xr.Dataset,
    conditions: Sequence[tuple[int | None, int | None]],
    names: Sequence[str],
    *,
    task: str | Task | None = None,
    **recording: Any,
) -> Array:
    """Features of networks as seen under each condition, (condition, network, feature)."""
    from solspace.features import extract_features
    from solspace.population import failures_told_elsewhere

    # A network of which one cannot be computed is left out of the classes, and counted there.
    with failures_told_elsewhere():
        rows = [
            extract_features(
                observe(training, units=k, trials=n, **recording), task=task, columns=names
            ).features.values
            for k, n in conditions
        ]
    return np.stack(rows)


def recording_size_table(out: xr.Dataset) -> str:
    """Kappa by number of units (rows) and trials of each condition (columns), as text."""
    heads = ["no spikes" if np.isinf(n) else f"{n:g} trials" for n in out["recorded_trials"].values]
    lines = [f"  {'units':<7}" + "".join(f"{h:>11}" for h in heads)]
    for i, k in enumerate(out["recorded_units"].values):
        cells = "".join(f"{float(v):>11.2f}" for v in out["kappa"].values[i])
        lines.append(f"  {'all' if np.isinf(k) else format(k, 'g'):<7}{cells}")
    return "\n".join(lines)


@stage(
    name="recording_size",
    reads=["training"],
    fills=RECORDING_SIZE,
    after=["record", "reduce"],
    uses=lambda: ("label", *label_stages()),
    over="population",
    groups={
        "recording_size": Group(
            "how well features predict it from recordings of few units, as spikes, of few trials"
        )
    },
    returns="recording_size",
    table=recording_size_table,
    python_only=["model", "folds"],
)
def classify_recordings(
    training: xr.Dataset,
    *,
    label: str = "solution",
    set: str = "activity",
    units: Sequence[float] = (5, 10, 20, np.inf),
    trials: Sequence[float] = (1, 10, 100, np.inf),
    rate: float = 50.0,
    bin_ms: float = 50.0,
    step_ms: float = STEP_MS,
    minimum_class_size: int = 10,
    small: Literal["exclude", "pool"] = "exclude",
    model: str = "extra_trees",
    repeats: int = 3,
    folds: int = 10,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """How well the solution is predicted from simulated recordings of different sizes.

    Features are computed from what is seen alone (the published ones take single trajectories and
    are not among them), and networks are held out in the same folds throughout.

    Parameters
    ----------
    training : Dataset
        A training group with the label, in memory or lazily read: a few networks of it are held
        in memory at a time.
    label : str
        Variable (network,) to predict: solution, or a label such as automaton_key or graph_key.
        Numbers are unknown where negative, strings where empty.
    set : str
        Set of features: activity, all (all features, those of a fitted network too), or families
        joined with +. The published ones are never among them.
    units : sequence of float
        Numbers of units recorded, inf for all.
    trials : sequence of float
        Trials of each condition, inf for the activity itself without spikes.
    rate : float
        Spikes per second of a unit at activity 1. At -1 it fires none.
    bin_ms : float
        Width in milliseconds of the sliding window that spikes are counted in.
    step_ms : float
        Length in milliseconds of one step of the recording.
    minimum_class_size : int
        Networks a class must have to be predicted. The paper asks for ten.
    small : {"exclude", "pool"}
        What becomes of smaller classes: exclude leaves their networks out, pool makes one class
        of them.
    model : str
        The model, the same throughout: random_forest, extra_trees or logistic.
    repeats : int
        How often all networks are dealt into folds anew.
    folds : int
        Folds of a repeat, each held out once.
    seed : int
        Of the units and spikes drawn, and of folds and models.
    progress : callable (int) -> None, optional
        Told the number of networks seen.

    Returns
    -------
    Dataset
        ``kappa``, ``kappa_low``, ``kappa_high`` and ``balanced_accuracy``, each (recorded_units,
        recorded_trials); ``prediction`` (recorded_units, recorded_trials, repeat, network).

    Raises
    ------
    SolspaceError
        Where there is no such label or fewer than two classes large enough.
    """
    import xarray as xr

    from solspace.classification.classes import form_classes
    from solspace.classification.heldout import predict_heldout
    from solspace.classification.models import draw_folds, need_sklearn
    from solspace.classification.scores import cohen_kappa, kappa_interval
    from solspace.classification.stage import check_label, pick_sets
    from solspace.features import feature_table
    from solspace.population.describe import task_of

    need_sklearn()
    check_label(training, label)
    conditions = _conditions(units, trials)
    task = task_of(training)
    table = feature_table(task)
    families = np.array(table.family, dtype=object)
    beyond = families != "published"
    names = np.array(table.name, dtype=object)[beyond][pick_sets(families[beyond], [set])[set]]
    # Before anything is computed: are there classes at all?
    form_classes(
        training[label].values, np.zeros((training.sizes["network"], 1)),
        minimum_class_size=minimum_class_size, small=small,
    )  # fmt: skip
    parts = []
    for start in range(0, training.sizes["network"], _BLOCK):
        block = training.isel(network=slice(start, start + _BLOCK)).load()
        parts.append(
            recorded_features(
                block, conditions, names.tolist(), task=task,
                rate=rate, bin_ms=bin_ms, step_ms=step_ms, seed=seed,
            )
        )  # fmt: skip
        if progress:
            progress(block.sizes["network"])
    values = np.concatenate(parts, axis=1)
    flat = values.transpose(1, 0, 2).reshape(values.shape[1], -1)
    classes = form_classes(
        training[label].values, flat, minimum_class_size=minimum_class_size, small=small
    )
    used, count = classes.used, len(classes.name)
    y = classes.label[used]
    fold = draw_folds(y, folds=min(folds, int(np.bincount(y).min())), repeats=repeats, seed=seed)
    guesses: list[Labels] = [
        predict_heldout(row[used], y, fold, models=[model], importance=False, seed=seed).prediction
        for row in values
    ]
    interval, _ = kappa_interval(y, guesses, count, seed=seed)
    shape = (len(units), len(trials))
    prediction = np.full((*shape, repeats, len(used)), -1, np.int16)
    prediction[..., used] = np.stack(guesses).reshape(*shape, repeats, -1)
    recall = [float(np.mean([(g[:, y == c] == c).mean() for c in range(count)])) for g in guesses]
    kappas = [float(cohen_kappa(y, g, count).mean()) for g in guesses]
    dims = ("recorded_units", "recorded_trials")
    options = {
        "label": label, "set": set, "rate": rate, "bin_ms": bin_ms, "step_ms": step_ms,
        "minimum_class_size": minimum_class_size, "small": small, "model": model,
        "repeats": repeats, "folds": folds, "seed": seed,
    }  # fmt: skip
    coords: dict[str, Any] = {
        "recorded_units": [np.inf if k is None else float(k) for k in units],
        "recorded_trials": [np.inf if k is None else float(k) for k in trials],
        "label_class": text_array(classes.name),
        "recorded_feature": text_array(names),
    }
    coords |= {str(c): v for c, v in training.coords.items() if not {*v.dims} - {"network"}}
    return xr.Dataset(
        {
            "kappa": (dims, np.reshape(kappas, shape)),
            "kappa_low": (dims, interval[:, 0].reshape(shape)),
            "kappa_high": (dims, interval[:, 1].reshape(shape)),
            "balanced_accuracy": (dims, np.reshape(recall, shape)),
            "label": ("network", classes.label.astype(np.int16)),
            "exclusion": ("network", text_array(classes.reason)),
            "prediction": ((*dims, "repeat", "network"), prediction),
        },
        coords=coords,
        attrs={
            "label": label,
            "options": json.dumps(options),
            "networks_used": int(used.sum()),
            "networks_excluded": json.dumps(classes.excluded()),
        },
    )
