"""What an experimenter sees of a network: some of its units, as spikes, on some trials.

And how well the solution is predicted from that: kappa over the number of units and of trials, so
that one reads off how much to record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.classification import (
    Labels,
    _labels,
    _sklearn,
    cohen_kappa,
    draw_folds,
    form_classes,
    kappa_interval,
    pick_sets,
    predict_heldout,
)
from solspace.errors import SolspaceError
from solspace.features import activity_feature_table, activity_features
from solspace.tasks import Task

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["classify_recordings", "observe", "recording_size_store", "spikes_as_rates"]

Array = NDArray[np.float64]

STEP_MS = 10.0  # a step of the tasks, so that intervals of 20 to 50 steps last 200 to 500 ms


def spikes_as_rates(
    activity: NDArray[Any],
    *,
    trials: int,
    rate: float,
    bin_ms: float,
    step_ms: float = STEP_MS,
    rng: np.random.Generator,
) -> Array:
    """Activity as it is estimated from spikes of several trials of each condition.

    A unit fires Poisson spikes at ``rate * (1 + activity) / 2``. They are counted over trials in
    a window that slides step by step, and scaled back, so that many trials in a short window give
    the activity itself.

    Parameters
    ----------
    activity : array (..., time, unit)
        Between -1 and 1.
    trials : int
        Trials of each condition.
    rate : float
        Spikes per second of a unit at 1.
    bin_ms, step_ms : float
        Width of the window, and of one step of the recording, in milliseconds.
    rng : numpy.random.Generator

    Returns
    -------
    array like ``activity``

    Examples
    --------
    >>> activity = np.tile([0.5, -0.5], (40, 1))
    >>> seen = spikes_as_rates(activity, trials=10_000, rate=50, bin_ms=50,
    ...                        rng=np.random.default_rng(0))
    >>> bool(np.abs(seen - activity).max() < 0.05)
    True
    """
    if trials < 1 or rate <= 0 or bin_ms <= 0 or step_ms <= 0:
        raise SolspaceError(
            f"trials={trials}, rate={rate:g}, bin_ms={bin_ms:g}, step_ms={step_ms:g}; give at "
            "least one trial, and a rate, bin and step over 0"
        )
    most = float(np.nanmax(np.abs(activity)))
    if most > 1 + 1e-6:
        raise SolspaceError(
            f"activity up to {most:.3g}; rates are made of activity between -1 and 1"
        )
    per_step = rate * step_ms / 1000
    expected = trials * per_step * np.clip((1 + activity) / 2, 0, 1)
    # A sum of Poisson counts over trials is a Poisson count.
    counts = rng.poisson(expected).astype(np.float64)
    width = max(round(bin_ms / step_ms), 1)
    total = _sliding_mean(counts, width)
    return 2 * total / (trials * per_step) - 1


def _sliding_mean(values: Array, width: int) -> Array:
    """Mean over a window around each step, (..., time, unit); shorter at the ends."""
    time = values.shape[-2]
    before, after = (width - 1) // 2, width // 2
    summed = np.concatenate(
        [np.zeros((*values.shape[:-2], 1, values.shape[-1])), np.cumsum(values, axis=-2)], axis=-2
    )
    stop = np.minimum(np.arange(time) + after + 1, time)
    start = np.maximum(np.arange(time) - before, 0)
    return (summed[..., stop, :] - summed[..., start, :]) / (stop - start)[:, None]


def observe(
    training: xr.Dataset,
    *,
    units: int | None = None,
    trials: int | None = None,
    rate: float = 50.0,
    bin_ms: float = 50.0,
    step_ms: float = STEP_MS,
    seed: int = 0,
) -> xr.Dataset:
    """The recording an experimenter would have made of each network.

    Parameters
    ----------
    training : Dataset
        A training group: ``activity`` and ``hidden_size``. Of an LSTM the hidden state is seen.
    units : int, optional
        Units recorded, drawn anew for each network (all of a network that has fewer); all by
        default.
    trials : int, optional
        Trials of each condition; by default the activity itself, without spikes.
    rate, bin_ms, step_ms : float
        See `spikes_as_rates`.
    seed : int
        What a network shows does not depend on which others are there: it is drawn from this and
        from its index ``network``.

    Returns
    -------
    Dataset
        With ``activity`` of those units, ``hidden_size`` their number. Further parts of the
        state, such as ``cell_state``, are left out; output, trials and epochs are kept.

    Examples
    --------
    >>> from solspace import import_networks, record
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("vanilla", 12, inputs=2, outputs=1)
    >>> mine = {name: np.full(shape, 0.1) for name, shape in shapes.items()}
    >>> training = record(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> observe(training, units=5, trials=10).activity.sizes["unit"]
    5
    """
    if units is not None and units < 1:
        raise SolspaceError(f"{units} units; give 1 or more, or None for all")
    if "activity" not in training.variables:
        raise SolspaceError(
            "the dataset has no 'activity'; type `solspace record STORE` before it is observed"
        )
    sizes = training["hidden_size"].values.astype(int)
    seen = np.minimum(sizes, units or int(sizes.max()))
    activity = training["activity"].values
    out = np.full((*activity.shape[:-1], int(seen.max())), np.nan, np.float32)
    for i, (size, count) in enumerate(zip(sizes, seen, strict=True)):
        rng = np.random.default_rng([seed, int(training["network"].values[i])])
        chosen = np.sort(rng.permutation(size)[:count])
        one = activity[i][..., chosen].astype(np.float64)
        if trials is not None and np.isfinite(one).all():
            one = spikes_as_rates(
                one, trials=trials, rate=rate, bin_ms=bin_ms, step_ms=step_ms, rng=rng
            )
        out[i, ..., :count] = one
    # Whatever else there is of each unit, such as the cell state of an LSTM, is not seen.
    ds = training.drop_vars([n for n, v in training.variables.items() if "unit" in v.dims])
    ds = ds.assign_coords(hidden_size=("network", seen))
    ds["activity"] = (training["activity"].dims, out)
    return ds


def _conditions(
    units: Sequence[int | None], trials: Sequence[int | None]
) -> list[tuple[int | None, int | None]]:
    if not units or not trials:
        raise SolspaceError("no numbers of units or trials; give one or more of each")
    return list(product(units, trials))


def recorded_features(
    training: xr.Dataset,
    conditions: Sequence[tuple[int | None, int | None]],
    names: Sequence[str],
    *,
    task: str | Task | None = None,
    **recording: Any,
) -> Array:
    """Features of networks as seen under each condition, (condition, network, feature)."""
    rows = [
        activity_features(
            observe(training, units=k, trials=n, **recording), task=task, columns=names
        ).activity_features.values
        for k, n in conditions
    ]
    return np.stack(rows)


def classify_recordings(
    population: xr.Dataset,
    training: xr.Dataset | Iterator[xr.Dataset],
    *,
    label: str = "solution",
    set: str = "activity",
    units: Sequence[int | None] = (5, 10, 20, None),
    trials: Sequence[int | None] = (1, 10, 100, None),
    rate: float = 50.0,
    bin_ms: float = 50.0,
    step_ms: float = STEP_MS,
    least: int = 10,
    small: str = "exclude",
    model: str = "extra_trees",
    repeats: int = 3,
    folds: int = 10,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """How well the solution is predicted from recordings of different sizes.

    Features are computed from what is seen alone (`solspace.features.activity`; the published ones
    take single trajectories and are not among them), and networks are held out in the same folds
    throughout.

    Parameters
    ----------
    population : Dataset
        With the label.
    training : Dataset or iterator of Datasets
        Its training group, or blocks of networks of it in order, so that a large one does not
        have to be held in memory.
    label, least, small, model, repeats, folds, seed
        As for `solspace.classify`; no model is chosen.
    set : str
        ``activity``, ``all`` (with those of a fitted network), or families joined by ``+``.
    units, trials : sequence of int or None
        Numbers of units, None for all; trials of each condition, None for the activity without
        spikes.
    rate, bin_ms, step_ms : float
        See `spikes_as_rates`.
    progress : callable (int) -> None, optional
        Told the number of networks seen.

    Returns
    -------
    Dataset
        ``kappa``, ``kappa_low``, ``kappa_high`` and ``balanced_accuracy``, each (units, trials);
        ``prediction`` (units, trials, repeat, network). 0 units stands for all, 0 trials for the
        activity without spikes.

    Raises
    ------
    SolspaceError
        Where there is no such label or fewer than two classes large enough.
    """
    import xarray as xr

    from solspace import schema
    from solspace.population import task_of

    _sklearn()
    if label not in population.variables:
        raise SolspaceError(
            f"the dataset has no label {label!r}; type `solspace reduce STORE` first, or give one "
            f"of: {', '.join(_labels(population)) or 'none'}"
        )
    conditions = _conditions(units, trials)
    task = task_of(population)
    table = activity_feature_table(task)
    families = np.array(table.family, dtype=object)
    names = np.array(table.name, dtype=object)[pick_sets(families, [set])[set]]
    # Before anything is computed: are there classes at all?
    form_classes(
        population[label].values, np.zeros((population.sizes["network"], 1)),
        least=least, small=small,
    )  # fmt: skip
    blocks = [training] if isinstance(training, xr.Dataset) else training
    parts = []
    for block in blocks:
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
    classes = form_classes(population[label].values, flat, least=least, small=small)
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
    dims = ("units", "trials")
    options = {
        "label": label, "set": set, "rate": rate, "bin_ms": bin_ms, "step_ms": step_ms,
        "least": least, "small": small, "model": model, "repeats": repeats, "folds": folds,
        "seed": seed,
    }  # fmt: skip
    coords: dict[str, Any] = {
        "units": [k or 0 for k in units],
        "trials": [n or 0 for n in trials],
        "class": np.array(classes.name, dtype=object),
        "seen_feature": names,
    }
    kept = ("network", "name", "hidden_size")
    coords |= {c: population[c] for c in kept if c in population.variables}
    out = xr.Dataset(
        {
            "kappa": (dims, np.reshape(kappas, shape)),
            "kappa_low": (dims, interval[:, 0].reshape(shape)),
            "kappa_high": (dims, interval[:, 1].reshape(shape)),
            "balanced_accuracy": (dims, np.reshape(recall, shape)),
            "label": ("network", classes.label.astype(np.int16)),
            "exclusion": ("network", classes.reason),
            "prediction": ((*dims, "repeat", "network"), prediction),
        },
        coords=coords,
        attrs={k: population.attrs[k] for k in ("task", "architecture") if k in population.attrs}
        | {
            "options": json.dumps(options),
            "networks_used": int(used.sum()),
            "networks_excluded": json.dumps(classes.excluded()),
        },
    )
    return schema.annotate(out, "recording_size")


def recording_size_store(
    path: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
    show: bool = False,
    **options: Any,
) -> Iterator[tuple[str, xr.Dataset]]:
    """`classify_recordings` for each population of a store; kept in its group ``recording_size``.

    Yields
    ------
    name, Dataset
        The population and its result, once it is stored.
    """
    from tqdm import tqdm

    from solspace.store import Store

    store = Store(path)
    found = store.select(task, architecture)
    with store.lock("recording-size"):
        for population in found:
            whole = population.open()
            keep = {str(options.get("label", "solution")), "network", "name", "hidden_size"}
            ds = whole[[n for n in whole.variables if n in keep]].load()
            ds.attrs |= {"task": population.task, "architecture": population.architecture}
            blocks = (_block(population, shard) for shard in population.shards())
            with (
                population.provenance("recording-size", options),
                tqdm(
                    total=population.networks, unit="network", disable=not show,
                    desc=f"recording-size {population}",
                ) as bar,
            ):  # fmt: skip
                population.open("training")  # says what to run where there is none
                out = classify_recordings(ds, blocks, progress=bar.update, **options)
                population.replace("recording_size", out)
            yield str(population), out
        store.consolidate()


def _block(population: Any, shard: Any) -> xr.Dataset:
    ds = population.read("training", shard)
    ds.attrs |= {"task": population.task, "architecture": population.architecture}
    return ds


def recording_size_table(out: xr.Dataset) -> str:
    """Kappa by number of units (rows) and trials of each condition (columns), as text."""
    heads = ["no spikes" if n == 0 else f"{n} trials" for n in out["trials"].values]
    lines = [f"  {'units':<7}" + "".join(f"{h:>11}" for h in heads)]
    for i, k in enumerate(out["units"].values):
        cells = "".join(f"{float(v):>11.2f}" for v in out["kappa"].values[i])
        lines.append(f"  {k or 'all'!s:<7}{cells}")
    return "\n".join(lines)
