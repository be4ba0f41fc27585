"""Which solution a recording is most like, and whether that can be told."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

    from solspace.classification.classes import Classes
    from solspace.locating.describing import Description
    from solspace.locating.electrodes import Electrodes, Rows
    from solspace.locating.telling import Teller
    from solspace.tasks import Task

__all__ = [
    "CANNOT_TELL",
    "MEASURES",
    "Prepared",
    "distances_to_networks",
    "locate",
    "prepare",
    "read_recording",
    "tell",
]

Array = NDArray[np.float64]

CANNOT_TELL = "cannot tell"
MEASURES = ("procrustes", "cka", "rsa", "dsa")
BLOCK = 16  # networks in memory at once
LEVEL = 0.05  # of the null
EVIDENCE = 3.0  # odds of a class after the recording over those of its share of the networks
UNUSUAL = 0.01  # share of networks as far from the others, below which a recording is like none
LEAST_ORDERS = 20  # orders of conditions, for a p-value of LEVEL
ALIKE = 6  # conditions of about as many trials, that are dealt anew among themselves
REASONS = (
    "no solution is probable enough",
    "the recording speaks for it less than three to one",
    "recordings with shuffled conditions are as near to the networks",
    "halves of its trials disagree",
    "no network here is like it",
)


@dataclass(frozen=True)
class Read:
    """A recording's trials on one clock, what its electrodes see, and which trials it stands for.

    ``values`` and ``parameters`` are what tells its conditions, as recorded and as the task's.
    """

    task: Task
    rows: Rows
    electrodes: Electrodes
    values: dict[str, Array]
    taken: NDArray[np.int64]
    notes: list[str]
    single: bool

    @property
    def parameters(self) -> dict[str, Array]:
        trials = self.task.recorded_trials().parameters
        return {p: np.asarray(v, np.float64)[self.taken] for p, v in trials.items()}

    def describe(self, average: Array) -> Description:
        """What is compared of averages (condition, time, unit), of it or of a network as seen."""
        from solspace.locating.describing import describe_activity

        return describe_activity(
            self.task, average, self.electrodes.epoch(), self.electrodes.epochs, self.parameters
        )


@dataclass(frozen=True)
class Prepared:
    """Networks seen through the electrodes of a recording, and what was learned from them."""

    read: Read
    classes: Classes
    teller: Teller
    members: list[dict[str, Any]]
    nearness: dict[str, Array]
    excluded: dict[str, int]


def locate(
    recording: xr.Dataset,
    population: xr.Dataset | Sequence[xr.Dataset],
    *,
    label: str = "solution",
    by: str | Sequence[str] | None = None,
    values: Mapping[str, Mapping[float, float]] | None = None,
    groups: int = 5,
    measures: Sequence[str] = MEASURES,
    nearest: int = 5,
    draws: int = 3,
    shuffles: int = 200,
    halves: int = 20,
    sure: float = 0.8,
    folds: int = 10,
    minimum_class_size: int = 10,
    seed: int = 0,
    task: str | Task | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """The solution that a recording is most like, or that it cannot be told.

    Every network is seen through the recording's electrodes: as many units, at the rates of the
    recorded ones, as spikes of as many trials of each condition, in the same bins and smoothed by
    the same kernel, epoch by epoch as long as the animal's. Trees learn from them to tell the
    class (features of activity, and dissimilarities of moments), networks held out say how well,
    and recalibrate the probabilities. The same is asked of the recording.

    There is a verdict where the likeliest class has a probability of ``sure`` or more and

    - the recording speaks for it three to one: its odds are three times those of its share of the
      networks (``evidence``);
    - recordings made of the same trials with their conditions shuffled are not as near to the
      networks, but in 5 % (``p_value``: share of shuffles whose moments lie as near to the nearest
      networks as the recording's);
    - most halves of the trials say the same class;
    - of networks at least 1 % lie as far from all others as the recording does.

    Parameters
    ----------
    recording : Dataset
        One recording of a known task, with epochs and parameters named as the task's: of single
        trials, or of averages, of which no halves can be made.
    population : Dataset, or sequence of Dataset
        Networks of that task, with weights or with activity recorded; several populations, such
        as of other architectures, together.
    label : str
        ``solution``, ``graph_key``, ``attractor_key`` or any label along ``network``.
    by : str or sequence of str, optional
        Parameters that tell conditions; by default all of the task's that the recording has.
    values : mapping of str to mapping of float to float, optional
        The task's value for each recorded one, by parameter. By default values that the task has
        are its own; else the recorded range is stretched onto the trained one.
    groups : int
        Conditions that are formed of single trials where the one parameter has more than twice as
        many values.
    measures : sequence of str
        Of `solspace.similarity.MEASURES`, by which the nearest networks are told.
    nearest : int
        Networks listed by each measure.
    draws : int
        How often each network is seen, with other units and spikes.
    shuffles : int
        Orders of conditions of the null, 20 or more. Averages are dealt among some six
        conditions that are of about as many trials.
    halves : int
        How often the trials are dealt into two halves.
    sure : float
        Probability below which there is no verdict.
    folds : int
    minimum_class_size : int
        Networks of smaller classes are left out.
    seed : int
    task : str or Task, optional
        By default the population's own.
    progress : callable (int) -> None, optional
        Told the number of networks seen.

    Returns
    -------
    Dataset
        - ``probability`` and ``prior`` (class_name); ``verdict``, a class or "cannot tell", and
          ``reason``, why not;
        - ``evidence``, odds of the likeliest class over those of its ``prior``;
        - ``p_value``; ``null_distance`` (shuffle,) and ``null_probability`` (shuffle,), the
          highest of a class; ``distance``, of the recording;
        - ``half_probability`` (split, half, class_name), ``agreement``, the share of splits whose
          halves say the same as the whole, and ``reliability``, the correlation of their averages
          with Spearman and Brown's correction; absent for averages;
        - ``typicality``, the share of networks as far from all others as the recording;
        - ``nearest_network``, ``nearest_class``, ``nearest_value`` (measure, rank), and
          ``direction`` (measure,);
        - of networks held out: ``kappa``, ``kappa_low``, ``kappa_high``, ``told``, the share with
          a probability of ``sure``, and ``right``, the share of these that are right;
          ``confidence``, ``accuracy`` and ``count`` (confidence_bin,), ``calibration_error``;
        - ``short_name`` (class_name,), of a solution its name; ``networks`` of each class;
        - ``trials`` (condition,), and the recorded and the task's parameters of each condition.

        Attributes say ``label``, ``sure``, ``fano``, ``units``, ``epochs``, ``excluded`` and
        ``left_out`` (JSON, counts by reason).

    Raises
    ------
    SolspaceError
        For a recording of another task, without epochs or parameters of the task, populations
        without the label or with fewer than two classes large enough, and numbers that are none.

    Examples
    --------
    >>> import solspace
    >>> recording = solspace.recording_from_arrays(np.ones((4, 30, 2)), bin=10)
    >>> locate(recording, [], sure=2)
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: sure=2; give a probability between 0 and 1, such as 0.8
    """
    _check_numbers(groups, nearest, draws, shuffles, halves, sure, folds, seed)
    found = prepare(
        recording, population, label=label, by=by, values=values, groups=groups, measures=measures,
        draws=draws, folds=folds, minimum_class_size=minimum_class_size, seed=seed, task=task,
        progress=progress,
    )  # fmt: skip
    told = tell(found, found.read.rows, shuffles=shuffles, halves=halves, sure=sure, seed=seed)
    out = _result(found, told, nearest, sure, seed, label in ("solution", "solution_key"))
    out.attrs |= {
        "draws": draws,
        "label": label,
        "sure": sure,
        "seed": seed,
        "task": found.read.task.name,
    }
    return out


def _check_numbers(
    groups: int, nearest: int, draws: int, shuffles: int, halves: int, sure: float, folds: int,
    seed: int,
) -> None:  # fmt: skip
    least = {"groups": 2, "nearest": 1, "draws": 1, "shuffles": 20, "halves": 1, "folds": 2}
    given = {
        "groups": groups, "nearest": nearest, "draws": draws, "shuffles": shuffles,
        "halves": halves, "folds": folds,
    }  # fmt: skip
    for name, value in given.items():
        if value < least[name]:
            raise SolspaceError(f"{name}={value}; give {least[name]} or more")
    if not 0 < sure < 1:
        raise SolspaceError(f"sure={sure}; give a probability between 0 and 1, such as 0.8")
    if seed < 0:
        raise SolspaceError(f"seed={seed}; give a whole number from 0")


# --------------------------------------------------------------------------- networks


def prepare(
    recording: xr.Dataset,
    population: xr.Dataset | Sequence[xr.Dataset],
    *,
    label: str,
    by: str | Sequence[str] | None,
    values: Mapping[str, Mapping[float, float]] | None,
    groups: int,
    measures: Sequence[str],
    draws: int,
    folds: int,
    minimum_class_size: int,
    seed: int,
    task: str | Task | None,
    progress: Callable[[int], None] | None,
) -> Prepared:
    """See networks through the electrodes of a recording, and learn to tell them apart."""
    import xarray as xr

    from solspace.classification.classes import form_classes
    from solspace.classification.models import need_sklearn
    from solspace.features.kernels import FeatureError
    from solspace.locating.electrodes import see
    from solspace.locating.telling import learn

    populations = [population] if isinstance(population, xr.Dataset) else list(population)
    if not populations:
        raise SolspaceError("no population to hold the recording against; give one or more")
    need_sklearn()
    task = _task_of_all(recording, populations, task)
    for name in measures:
        _measure(name)
    read = read_recording(recording, task, by, values, groups)
    labels, members = _members(populations, label)
    # Before anything is run: are there classes at all?
    form_classes(labels, np.zeros((len(labels), 1)), minimum_class_size=minimum_class_size)
    whole = read.rows.average()
    try:
        mine = read.describe(whole)
    except FeatureError as error:
        raise SolspaceError(f"nothing can be said of the recording: {error}") from None
    seen: list[list[Description | None]] = [[] for _ in range(draws)]
    nearness: dict[str, list[Array]] = {name: [] for name in measures}
    at = 0
    for ds in populations:
        for activity, bounds in _blocks(ds, task, read.electrodes.epochs, read.taken):
            first = []
            for one in activity:
                for d in range(draws):
                    rng = np.random.default_rng([seed, at, d])
                    view = see(one, bounds, read.electrodes, rng) if one.size else None
                    try:
                        case = None if view is None else read.describe(view)
                    except FeatureError:
                        case = None  # it does not move; counted below
                    seen[d].append(case)
                    if d == 0:
                        first.append(view if case is not None else None)
                at += 1
            for name, compared in _compared(whole, first, measures).items():
                nearness[name].append(compared)
            if progress:
                progress(len(activity))
    good = np.array([all(draw[i] is not None for draw in seen) for i in range(at)])
    classes = form_classes(
        labels, np.where(good, 0.0, np.nan)[:, None], minimum_class_size=minimum_class_size
    )
    used = np.flatnonzero(classes.used)
    y = classes.label[used]
    cases = [[c for i in used if (c := draw[i]) is not None] for draw in seen]
    why = "its activity is not there or does not move"
    excluded = {
        reason.replace("features are not finite", why): n
        for reason, n in classes.excluded().items()
    }
    teller = learn(cases, mine, y, folds=min(folds, int(np.bincount(y).min())), seed=seed)
    joined = {name: np.concatenate(parts) for name, parts in nearness.items()}
    return Prepared(read, classes, teller, members, joined, excluded)


def _measure(name: str) -> Any:
    from solspace.similarity import get_measure

    measure = get_measure(name)
    if measure.of in ("weights", "driven"):
        raise SolspaceError(
            f"measure {name!r} takes weights or inputs, which a recording does not have; give "
            f"others, such as {', '.join(MEASURES)}"
        )
    return measure


def _task_of_all(
    recording: xr.Dataset, populations: Sequence[xr.Dataset], task: str | Task | None
) -> Task:
    from solspace.population import task_of
    from solspace.population.describe import named_of

    if task is None:
        own = named_of(recording, "task") or "none"
        if own == "none":
            raise SolspaceError(
                "the recording is of no task that is known; read it anew with task=..., its epochs "
                "and parameters named as the task's (at the command line --task)"
            )
        task = task_of(recording)
    else:
        task = task_of(recording, task)
    for ds in populations:
        theirs = named_of(ds, "task")
        if theirs and theirs != task.name:
            raise SolspaceError(
                f"the recording is of {task.name!r} and networks are of {theirs!r}; give "
                "populations of the same task"
            )
    return task


def _members(
    populations: Sequence[xr.Dataset], label: str
) -> tuple[NDArray[Any], list[dict[str, Any]]]:
    """Labels of all networks as texts, and how each is called."""
    from solspace.classification.classes import as_text
    from solspace.diversity.labels import count_labels
    from solspace.population.describe import architecture_of

    texts, members = [], []
    for ds in populations:
        if "network" not in ds.dims:
            raise SolspaceError("a population has no dimension network; give datasets of networks")
        name = label
        if label == "solution" and "solution_key" in ds.variables:
            name = "solution_key"  # the same classes, by names that are the same in every store
        count_labels(ds, name)  # or an error that lists those there are
        texts.append(as_text(np.asarray(ds[name].values)))
        architecture = architecture_of(ds, required=False) or ""
        called = ds["name"].values.astype(str) if "name" in ds.variables else None
        for i, network in enumerate(ds["network"].values.tolist()):
            members.append(
                {
                    "architecture": architecture,
                    "name": str(called[i]) if called is not None else str(network),
                }
            )
    return np.concatenate(texts), members


def _blocks(
    ds: xr.Dataset, task: Task, epochs: Sequence[str], taken: NDArray[np.int64]
) -> Iterator[tuple[list[Array], NDArray[np.int64]]]:
    """Activity (condition, step, unit) of some networks at a time, and where epochs lie."""
    from solspace.simulation.stage import record

    trials = task.recorded_trials()
    names = list(task.epochs)
    bounds = np.empty((len(taken), len(epochs), 2), np.int64)
    for c, trial in enumerate(taken):
        for e, name in enumerate(epochs):
            inside = np.flatnonzero(trials.epoch[trial] == names.index(name))
            if not len(inside):
                raise SolspaceError(
                    f"the task's trials have no epoch {name!r}; read the recording without it"
                )
            bounds[c, e] = inside[0], inside[-1] + 1
    there = "activity" in ds.variables
    for start in range(0, ds.sizes["network"], BLOCK):
        part = ds.isel(network=slice(start, start + BLOCK))
        training = part if there else record(part.load(), task=task)
        if training.sizes["trial"] != len(trials):
            raise SolspaceError(
                f"activity on {training.sizes['trial']} trials, where task {task.name!r} has "
                f"{len(trials)}; give the whole training group, or a population with weights"
            )
        array = training["activity"].isel(trial=taken).transpose("network", "trial", "time", "unit")
        values = array.values.astype(np.float64)
        sizes = training["hidden_size"].values.astype(int)
        found = []
        for one, size in zip(values, sizes, strict=True):
            own = one[..., :size]
            found.append(own if np.isfinite(own).all() else np.empty(0))
        yield found, bounds


def _compared(
    whole: Array, seen: Sequence[Array | None], measures: Sequence[str]
) -> dict[str, Array]:
    """Nearness of the recording to each network; NaN for one that could not be seen."""
    from solspace.similarity import get_measure, pairwise

    out: dict[str, Array] = {}
    kept = np.isfinite(whole).all(axis=-1)
    shortest = int(kept.sum(axis=1).min())
    there = [i for i, one in enumerate(seen) if one is not None]
    for name in measures:
        values = np.full(len(seen), np.nan)
        # Models of dynamics, and patterns of conditions, take as many bins of each condition.
        even = get_measure(name).of in ("trajectories", "conditions")
        given = [x for x in (whole, *seen) if x is not None]
        cut = [x[:, :shortest] if even else x[kept] for x in given]
        if there:
            values[there] = pairwise([cut[0]], name, other=cut[1:]).values[0]
        out[name] = values
    return out


# --------------------------------------------------------------------------- the recording


def distances_to_networks(
    recording: xr.Dataset, population: xr.Dataset, measure: str, *, seed: int = 0
) -> Array:
    """How far a recording is from networks, each seen once through its electrodes.

    Parameters
    ----------
    recording : Dataset
        One, see `locate`.
    population : Dataset
        Networks of the same task.
    measure : str
        Of `solspace.similarity.MEASURES`, of those that take activity alone.
    seed : int
        Of units and spikes.

    Returns
    -------
    array (network,)
        NaN for a network without activity, or one that does not move.

    Raises
    ------
    SolspaceError
        For a recording of another task or without its epochs or parameters, and for a measure that
        takes weights or inputs.
    """
    from solspace.locating.electrodes import see

    _measure(measure)
    read = read_recording(recording, _task_of_all(recording, [population], None), None, None, 5)
    whole, far, at = read.rows.average(), [], 0
    for activity, bounds in _blocks(population, read.task, read.electrodes.epochs, read.taken):
        seen: list[Array | None] = []
        for one in activity:
            rng = np.random.default_rng([seed, at + len(seen)])
            view = see(one, bounds, read.electrodes, rng) if one.size else None
            moves = view is not None and bool((np.nanstd(view, axis=(0, 1)) > 0).any())
            seen.append(view if moves else None)
        at += len(activity)
        far.append(_compared(whole, seen, [measure])[measure])
    return np.concatenate(far)


def read_recording(
    recording: xr.Dataset,
    task: Task,
    by: str | Sequence[str] | None,
    values: Mapping[str, Mapping[float, float]] | None,
    groups: int,
) -> Read:
    """Read one recording of a task, as `locate` does."""
    from solspace.locating.conditions import form_conditions, parameters_of, trials_for
    from solspace.locating.electrodes import Electrodes, fano_factor, read_rows

    missing = [n for n in ("activity", "trials_averaged", "epoch") if n not in recording.variables]
    if missing or "network" not in recording["epoch"].dims:
        raise SolspaceError(
            "the dataset is no recording; give one of solspace.recording_from_nwb, "
            "recording_from_spikes or recording_from_arrays, or of a store the group TASK/recorded"
        )
    if recording.sizes["network"] != 1:
        raise SolspaceError(
            f"{recording.sizes['network']} recordings; locate one at a time: "
            "recording.isel(network=[0])"
        )
    ds = recording.isel(network=0, unit=slice(int(recording["hidden_size"].values[0]))).load()
    counts = ds["trials_averaged"].values
    there = (counts > 0).any(axis=-1)
    ds, counts = ds.isel(trial=there), counts[there]
    single = bool((counts <= 1).all())
    names = parameters_of(
        task,
        [str(n) for n, v in ds.coords.items() if v.dims == ("trial",)],
        [by] if isinstance(by, str) else by,
    )
    formed = form_conditions({n: ds[n].values.astype(np.float64) for n in names}, groups, single)
    taken = trials_for(task, formed.values, values)
    epochs, flags, notes = _epochs(ds, task)
    bin, sd = float(ds["bin_width"].values), float(ds["kernel_sd"].values)
    activity = ds["activity"].values.astype(np.float64)
    if ds["activity"].attrs.get("units") == "spikes/bin":
        activity = activity / bin * 1e3
    if np.nanmin(activity) < 0:
        raise SolspaceError(
            "activity below 0; the networks are seen as spikes, so give rates or counts of spikes"
        )
    # Of averages, trials that the units have in the mean.
    weight = np.where(counts > 0, counts, np.nan)
    rows, _, _ = read_rows(
        activity, ds["epoch"].values, formed.condition, np.nanmean(weight, axis=1), flags
    )
    trials = np.bincount(rows.condition, rows.weight, len(rows.lengths)).astype(np.float64)
    mean = rows.average()
    electrodes = Electrodes(
        epochs=epochs,
        lengths=rows.lengths,
        trials=trials,
        rates=np.nanmean(mean, axis=(0, 1)),
        fano=fano_factor(rows, bin, sd) if single else 1.0,
        bin=bin,
        kernel_sd=sd,
    )
    if not electrodes.rates.any():
        raise SolspaceError("all recorded units are silent in these epochs")
    if formed.grouped:
        notes.append(f"trials in {len(rows.lengths)} groups by {names[0]}")
    if not single:
        notes.append("averages: spikes are taken to vary as Poisson's, and no halves can be made")
    return Read(task, rows, electrodes, formed.values, taken, notes, single)


def _epochs(ds: xr.Dataset, task: Task) -> tuple[tuple[str, ...], list[int], list[str]]:
    """Epochs of the task that most trials have for two bins or more, in their order."""
    from solspace.locating.electrodes import LEAST_BINS

    names = [str(n) for n in ds["epoch_name"].values]
    flags = dict(zip(names, ds["epoch_flag"].values.tolist(), strict=True))
    epoch = ds["epoch"].values
    used, notes = [], []
    for name in task.epochs:
        if name not in flags:
            continue
        bins = (epoch == flags[name]).sum(axis=1)
        if np.median(bins) >= LEAST_BINS:
            used.append(name)
        elif bins.any():
            notes.append(f"epoch {name} is shorter than {LEAST_BINS} bins and left out")
    if not used:
        raise SolspaceError(
            f"the recording has no epoch of task {task.name!r} of two bins or more (epochs: "
            f"{', '.join(task.epochs)}; it has {', '.join(names) or 'none'}); name its epochs as "
            "the task's when it is read: epochs={'set_go': ('set_time', 'go_time')}"
        )
    return tuple(used), [flags[n] for n in used], notes


# --------------------------------------------------------------------------- the verdict


@dataclass
class Told:
    """What is said of one recording."""

    probability: Array
    distance: float
    typicality: float
    null_distance: Array
    null_probability: Array
    p_value: float
    evidence: float
    half_probability: Array | None
    agreement: float
    reliability: float
    reasons: list[str]

    @property
    def best(self) -> int:
        return int(self.probability.argmax())


def tell(
    found: Prepared, rows: Rows, *, shuffles: int, halves: int, sure: float, seed: int
) -> Told:
    """The verdict on one recording with the electrodes that were prepared for."""
    from solspace.features.kernels import FeatureError

    rng = np.random.default_rng([seed, 1])
    teller = found.teller
    mine = found.read.describe(rows.average())
    cases = []
    for order in _orders(rows, shuffles, rng):
        try:
            cases.append(found.read.describe(rows.average(condition=order)))
        except FeatureError:
            continue  # conditions so alike that nothing moves: not near to anything
    null = teller.probabilities(cases).max(axis=1) if cases else np.empty(0)
    apart = np.array([teller.distance(case) for case in cases])
    distance = teller.distance(mine)
    orders = math.inf if found.read.single else math.prod(map(math.factorial, _sizes(rows)))
    p_value = (1 + int((apart <= distance).sum())) / (1 + max(len(apart), 1))
    p_value = max(p_value, 1 / min(orders, 1e9))
    probability = teller.probabilities([mine])[0]
    typical = teller.as_far(mine)
    half, agreement, reliability = None, float("nan"), float("nan")
    can = found.read.single and np.bincount(rows.condition).min() >= 2
    if can:
        half, reliability = _halves(found, rows, halves, rng)
        agreement = float((half.argmax(-1) == probability.argmax()).all(axis=1).mean())
    reasons = []
    if probability.max() < sure:
        reasons.append(REASONS[0])
    evidence = _evidence(found, probability)
    if evidence < EVIDENCE:
        reasons.append(REASONS[1])
    if p_value > LEVEL:
        reasons.append(REASONS[2])
    if can and agreement <= 0.5:
        reasons.append(REASONS[3])
    if typical < UNUSUAL:
        reasons.append(REASONS[4])
    return Told(
        probability, distance, typical, apart, null, p_value, evidence, half, agreement,
        reliability, reasons,
    )  # fmt: skip


def _evidence(found: Prepared, probability: Array) -> float:
    """Odds of the likeliest class, over those that it has among the networks."""
    label = found.classes.label[found.classes.used]
    best = int(probability.argmax())
    p, share = float(probability[best]), float((label == best).mean())
    return p / max(1 - p, 1e-12) / (share / (1 - share))


def _orders(rows: Rows, shuffles: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Conditions dealt anew; of averages among those of about as many trials.

    An average of few trials is noisy, and is far from all others for that alone; so is the
    condition of a network that is seen in as few trials. Dealt among all, the recording would be
    nearer to the networks than its shuffles without saying anything of conditions.
    """
    groups = _alike(rows)
    for _ in range(shuffles):
        out = np.empty_like(rows.condition)
        for group in groups:
            out[group] = rng.permutation(rows.condition[group])
        yield out


def _alike(rows: Rows) -> list[NDArray[np.intp]]:
    """Rows of about as many trials, all where they are of as many; single trials are."""
    order = np.argsort(rows.weight, kind="stable")
    if rows.weight[order[0]] == rows.weight[order[-1]]:
        return [order]
    return np.array_split(order, max(1, len(order) // ALIKE))


def _sizes(rows: Rows) -> list[int]:
    return [len(group) for group in _alike(rows)]


def _halves(
    found: Prepared, rows: Rows, halves: int, rng: np.random.Generator
) -> tuple[Array, float]:
    """Probabilities (split, half, class), and the reliability of averages."""
    cases, correlations = [], []
    for _ in range(halves):
        first = np.zeros(len(rows.condition), bool)
        for c in range(len(rows.lengths)):
            own = rng.permutation(np.flatnonzero(rows.condition == c))
            first[own[: len(own) // 2]] = True
        parts = [rows.average(rows=np.flatnonzero(half)) for half in (first, ~first)]
        cases += [found.read.describe(part) for part in parts]
        ends = [part[np.isfinite(part).all(axis=-1)] for part in parts]
        flat = [(e - e.mean(axis=0)).ravel() for e in ends]
        size = np.sqrt((flat[0] ** 2).sum() * (flat[1] ** 2).sum())
        correlations.append(float(flat[0] @ flat[1] / size) if size > 0 else 0.0)
    r = float(np.mean(correlations))
    reliability = 2 * r / (1 + r) if r > -1 else -1.0
    return found.teller.probabilities(cases).reshape(halves, 2, -1), reliability


def _result(
    found: Prepared, told: Told, nearest: int, sure: float, seed: int, solutions: bool
) -> xr.Dataset:
    import xarray as xr

    from solspace.classification.scores import calibration, cohen_kappa, kappa_interval
    from solspace.labels.names import solution_name
    from solspace.population.variables import text_array
    from solspace.similarity import get_measure

    names = found.classes.name
    used = np.flatnonzero(found.classes.used)
    label = found.classes.label[used]
    held = found.teller.held_out
    guess = held.argmax(axis=-1)
    interval, _ = kappa_interval(label, [guess], len(names), seed=seed)
    certain = held.max(axis=-1) >= sure
    curve = calibration(np.tile(label, len(held)), held.reshape(-1, len(names)))
    verdict = CANNOT_TELL if told.reasons else names[told.best]
    out: dict[str, Any] = {
        "probability": ("class_name", told.probability),
        "prior": ("class_name", np.bincount(label) / len(label)),
        "networks": ("class_name", np.bincount(label)),
        "verdict": ((), verdict),
        "reason": ((), "; ".join(told.reasons)),
        "evidence": ((), told.evidence),
        "p_value": ((), told.p_value),
        "distance": ((), told.distance),
        "null_distance": ("shuffle", told.null_distance),
        "null_probability": ("shuffle", told.null_probability),
        "typicality": ((), told.typicality),
        "kappa": ((), float(cohen_kappa(label, guess, len(names)).mean())),
        "kappa_low": ((), float(interval[0, 0])),
        "kappa_high": ((), float(interval[0, 1])),
        "told": ((), float(certain.mean())),
        "confidence": ("confidence_bin", curve["confidence"]),
        "accuracy": ("confidence_bin", curve["accuracy"]),
        "count": ("confidence_bin", curve["count"]),
        "calibration_error": ((), float(curve["error"])),
        "trials": ("condition", found.read.electrodes.trials),
    }
    if certain.any():
        out["right"] = ((), float((guess == label)[certain].mean()))
    if told.half_probability is not None:
        out["half_probability"] = (("split", "half", "class_name"), told.half_probability)
        out["agreement"] = ((), told.agreement)
        out["reliability"] = ((), told.reliability)
    if found.nearness:
        out |= _nearest(found, nearest)
    shown = [solution_name(n) if solutions else n for n in names]
    coords: dict[str, Any] = {
        "class_name": text_array(list(names)),
        "short_name": ("class_name", text_array(shown)),
    }
    if found.nearness:
        coords["measure"] = text_array(list(found.nearness))
        coords["direction"] = (
            "measure", text_array([get_measure(m).direction for m in found.nearness])
        )  # fmt: skip
    for name, values in found.read.values.items():
        coords[f"recorded_{name}"] = ("condition", values)
        coords[name] = ("condition", found.read.parameters[name])
    ds = xr.Dataset(out, coords=coords)
    for name, meaning in _MEANING.items():
        if name in ds:
            ds[name].attrs["long_name"] = meaning
    ds.attrs = {
        "units": len(found.read.electrodes.rates),
        "fano": found.read.electrodes.fano,
        "networks": len(used),
        "epochs": ", ".join(found.read.electrodes.epochs),
        "notes": "; ".join(found.read.notes),
        "excluded": json.dumps(found.excluded),
        "left_out": json.dumps(dict(Counter(found.read.rows.left_out))),
    }
    return ds


def _nearest(found: Prepared, nearest: int) -> dict[str, Any]:
    from solspace.population.variables import text_array
    from solspace.similarity import get_measure

    labels = np.array(["", *found.classes.name])[found.classes.label + 1]
    several = len({m["architecture"] for m in found.members}) > 1
    called = [f"{m['architecture']}/{m['name']}" if several else m["name"] for m in found.members]
    rows: dict[str, list[list[Any]]] = {"network": [], "class": [], "value": []}
    for name, values in found.nearness.items():
        sign = 1 if get_measure(name).direction == "distance" else -1
        there = np.flatnonzero(np.isfinite(values))
        best = there[np.argsort(sign * values[there], kind="stable")][:nearest]
        rows["network"].append([called[i] for i in best])
        rows["class"].append([str(labels[i]) for i in best])
        rows["value"].append(values[best].tolist())
    at = ("measure", "rank")
    return {
        "nearest_network": (at, text_array(rows["network"])),
        "nearest_class": (at, text_array(rows["class"])),
        "nearest_value": (at, np.array(rows["value"])),
    }


_MEANING = {
    "probability": "probability of the class",
    "prior": "share of the networks",
    "networks": "networks of the class",
    "evidence": "odds of the likeliest class over those of its share of the networks",
    "p_value": "share of shuffles as near to the networks as the recording",
    "distance": "distance of the recording's moments to the nearest networks",
    "null_distance": "that distance with the conditions of trials shuffled",
    "null_probability": "highest probability of a class with the conditions shuffled",
    "typicality": "share of networks as far from all others as the recording",
    "agreement": "share of splits whose halves both say the class of the whole",
    "reliability": "correlation of averages of halves, with Spearman and Brown's correction",
    "kappa": "Cohen's kappa on networks held out",
    "kappa_low": "lower end of the 95 % interval of kappa",
    "kappa_high": "upper end of the 95 % interval of kappa",
    "told": "share of networks held out with a probability sure enough",
    "right": "share of these that are right",
    "confidence": "mean highest probability of networks held out, by bin",
    "accuracy": "share of these that are right",
    "count": "networks held out (of all draws) by bin of confidence",
    "calibration_error": "expected calibration error (Guo et al. 2017)",
    "trials": "trials of the condition",
}
