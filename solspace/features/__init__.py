"""Neural features of one network: numbers that describe how its activity is laid out.

A feature is one decorated function. The names of its arguments say which stretches of activity
it needs; the task says where those stretches are (`Task.feature_epochs`). A feature applies to
every task that has its stretches.

The features registered here are those of Turner, Dabholkar & Barak, "Charting and navigating the
space of solutions for recurrent neural networks" (NeurIPS 2021), under their published names.
`solspace.features.activity` has more of them, computed on blocks of networks at once, and
`solspace.features.fitted` those of a network fitted to the activity.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.features import fitted as fitted  # registers its features
from solspace.features.activity import (
    activity_feature_table,
    compute_activity_features,
    make_recording,
)
from solspace.features.fit import fitted_architecture
from solspace.separation import margin
from solspace.tasks import Task, get_task

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Feature",
    "FeatureError",
    "FeatureTable",
    "activity_features",
    "compute_features",
    "curvature",
    "extract_features",
    "feature",
    "feature_coordinate",
    "feature_table",
    "features_of",
    "mean_speed",
    "path_length",
    "unregister",
]

PAPER = "Turner, Dabholkar & Barak (NeurIPS 2021)"

Array = NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., float])


class FeatureError(SolspaceError):
    """A feature that cannot be computed from this activity, and why.

    Examples
    --------
    >>> mean_speed(np.zeros((1, 4)))
    Traceback (most recent call last):
        ...
    solspace.features.FeatureError: speed of 1 step; give at least 2
    """


@dataclass(frozen=True)
class Feature:
    """One registered feature.

    Attributes
    ----------
    name : str
    units : str
        ``"1"`` where it is a pure number.
    source : str
        Where its definition comes from.
    description : str
        First line of the function's docstring.
    stretches : tuple of str
        Stretches of activity it needs, the arguments of ``compute``.
    compute : callable
    """

    name: str
    units: str
    source: str
    description: str
    stretches: tuple[str, ...]
    compute: Callable[..., float]


class FeatureTable(NamedTuple):
    """Names, units, sources and meanings of a task's features, each a list in the same order."""

    name: list[str]
    units: list[str]
    source: list[str]
    description: list[str]


_FEATURES: dict[tuple[str, tuple[str, ...]], Feature] = {}


def feature(*, name: str, units: str, source: str) -> Callable[[F], F]:
    """Register a function as a feature of every task that has the stretches its arguments name.

    Parameters
    ----------
    name : str
        Label on the store's ``feature`` coordinate.
    units : str
    source : str
        The publication or the formula it comes from.

    Examples
    --------
    >>> @feature(name="largest_rate", units="1", source="ours")
    ... def largest_rate(activity):
    ...     '''Largest absolute activity of any unit.'''
    ...     return np.abs(activity).max()
    >>> "largest_rate" in [f.name for f in features_of("interval_reproduction")]
    True
    >>> unregister("largest_rate")
    """

    def register(function: F) -> F:
        stretches = tuple(inspect.signature(function).parameters)
        description = (inspect.getdoc(function) or "").split("\n")[0].strip()
        if not description:
            raise SolspaceError(
                f"feature {name!r} has no docstring; its first line is stored as its meaning"
            )
        _FEATURES[name, stretches] = Feature(name, units, source, description, stretches, function)
        return function

    return register


def unregister(name: str) -> None:
    """Forget a feature of one's own.

    Raises
    ------
    SolspaceError
        Where there is none of that name.
    """
    keys = [key for key in _FEATURES if key[0] == name]
    if not keys:
        known = ", ".join(sorted({key[0] for key in _FEATURES}))
        raise SolspaceError(f"no feature {name!r} to forget; features: {known}")
    for key in keys:
        del _FEATURES[key]


def features_of(task: str | Task) -> tuple[Feature, ...]:
    """Features that apply to a task, sorted by name.

    Raises
    ------
    SolspaceError
        Where the task does not say which stretches to compare, or two features of one name apply.

    Examples
    --------
    >>> [f.name for f in features_of("interval_reproduction")][:4]
    ['angle', 'aspect_ratio', 'corr', 'curvature_max']
    """
    task = get_task(task)
    trials = task.recorded_trials()
    silent = np.zeros((*trials.epoch.shape, 1))
    return _applicable(task, _stretches(task, silent, trials.epoch, trials.parameters))


def feature_table(task: str | Task) -> FeatureTable:
    """What fills the ``feature`` coordinate of a store: names, units, sources, meanings.

    Examples
    --------
    >>> table = feature_table("interval_reproduction")
    >>> dict(zip(table.name, table.units))["angle"]
    'degree'
    >>> len(table.name)
    11
    """
    rows = features_of(task)
    return FeatureTable(
        [f.name for f in rows],
        [f.units for f in rows],
        [f.source for f in rows],
        [f.description for f in rows],
    )


def compute_features(
    task: str | Task,
    activity: ArrayLike,
    epoch: ArrayLike,
    parameters: Mapping[str, Any],
    names: Iterable[str] | None = None,
) -> dict[str, float]:
    """Features of one network from its recorded activity.

    Parameters
    ----------
    task : str or Task
    activity : array (trial, time, unit)
        One network's, without padding. For an LSTM the hidden state and then the cell state:
        both make up where the network is.
    epoch : array (trial, time)
    parameters : mapping of str to array (trial,)
    names : iterable of str, optional
        Which features; all of the task by default.

    Returns
    -------
    dict of str to float
        In the order of ``names``. Computed in float64 whatever comes in.

    Raises
    ------
    FeatureError
        Where a feature cannot be computed; the message names it and says why.
    SolspaceError
        For arrays that do not fit together, unknown names, or missing trials.

    Examples
    --------
    >>> task = get_task("interval_reproduction")
    >>> trials = task.recorded_trials()
    >>> activity = np.random.default_rng(0).normal(size=(31, 150, 8))
    >>> compute_features(task, activity, trials.epoch, trials.parameters, names=["corr", "svm"])
    {'corr': ..., 'svm': ...}
    """
    task = get_task(task)
    found, registered = _prepare(task, np.asarray(activity), np.asarray(epoch), parameters)
    wanted = list(registered) if names is None else list(names)
    if unknown := [name for name in wanted if name not in registered]:
        raise SolspaceError(
            f"task {task.name!r} has no feature {unknown[0]!r}; features: {', '.join(registered)}"
        )
    return {name: _compute(registered[name], found) for name in wanted}


def _prepare(
    task: Task, activity: NDArray[Any], epoch: NDArray[Any], parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Feature]]:
    """The stretches of activity and the features that apply, by name."""
    if activity.ndim != 3 or activity.shape[:2] != epoch.shape:
        raise SolspaceError(
            f"activity of shape {activity.shape} with epoch of shape {epoch.shape}; "
            "give (trial, time, unit) and (trial, time)"
        )
    if not np.isfinite(activity).all():
        raise FeatureError(
            "activity holds NaN or infinity; give one network's recorded activity without the "
            "padding past its hidden size"
        )
    states = np.ascontiguousarray(activity, dtype=np.float64)
    arrays = {key: np.asarray(value) for key, value in parameters.items()}
    found = _stretches(task, states, epoch, arrays)
    return found, {f.name: f for f in _applicable(task, found)}


def _compute(one: Feature, found: Mapping[str, Any]) -> float:
    try:
        value = float(one.compute(**{key: found[key] for key in one.stretches}))
    except FeatureError as error:
        raise FeatureError(f"feature {one.name!r} cannot be computed: {error}") from None
    if not np.isfinite(value):
        raise FeatureError(f"feature {one.name!r} cannot be computed: it came out as {value}")
    return value


def _stretches(
    task: Task, activity: Array, epoch: NDArray[Any], parameters: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    if task.feature_epochs is None:
        raise SolspaceError(
            f"task {task.name!r} has no feature_epochs, so it has no features; "
            "give its Task(feature_epochs=...), see solspace.tasks.base.IntervalEpochs"
        )
    return dict(task.feature_epochs(activity, epoch, parameters)._asdict())


def _applicable(task: Task, found: Mapping[str, Any]) -> tuple[Feature, ...]:
    rows = [f for f in _FEATURES.values() if set(f.stretches) <= set(found)]
    names = [f.name for f in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SolspaceError(
            f"two features of task {task.name!r} are named {twice[0]!r}; rename one of them"
        )
    return tuple(sorted(rows, key=lambda f: f.name))


# --------------------------------------------------------------------------- over a dataset


def feature_coordinate(task: str | Task) -> xr.Dataset:
    """The ``feature`` coordinates of a task, with units, sources and meanings in their attributes.

    Examples
    --------
    >>> labels = feature_coordinate("interval_reproduction")
    >>> labels.feature.values[0], labels.feature.attrs["feature_units"][0]
    ('angle', 'degree')
    """
    import xarray as xr

    table = feature_table(task)
    attrs = {
        "feature_units": table.units,
        "feature_sources": table.source,
        "feature_meanings": table.description,
    }
    more = activity_feature_table(task)
    more_attrs = {
        "feature_units": more.units,
        "feature_families": more.family,
        "feature_sources": more.source,
        "feature_meanings": more.description,
    }
    return xr.Dataset(
        coords={
            "feature": ("feature", np.array(table.name, dtype=object), attrs),
            "activity_feature": (
                "activity_feature",
                np.array(more.name, dtype=object),
                more_attrs,
            ),
        }
    )


def extract_features(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Features of every network's recorded activity.

    Parameters
    ----------
    ds : Dataset
        A training group: ``activity``, ``epoch``, the trial parameters, ``hidden_size``, and
        whatever else the architecture has of each unit, such as ``cell_state`` of an LSTM.
    task : str or Task, optional
        From the dataset's attrs by default.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The dataset with ``features`` (network, feature), the published ones, and
        ``activity_features`` (network, activity_feature). A network of which a feature cannot be
        computed has ``status_features`` 2, the reasons in ``message_features``, NaN for those
        features and the values of the others.

    Raises
    ------
    SolspaceError
        Where the dataset holds no recorded activity.

    Examples
    --------
    >>> import torch
    >>> from solspace.population import import_networks
    >>> from solspace.simulation import record
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": model.state_dict()})
    >>> dict(extract_features(record(ds)).features.sizes)
    {'network': 1, 'feature': 11}
    """
    from solspace import schema
    from solspace.population import each_network, task_of, warn_of_failures

    task = task_of(ds, task)
    known = ds.attrs.get("architecture") in networks.architecture_names("recurrent")
    state = ["activity"]
    if known:
        state = [part.name for part in networks.get_architecture(ds.attrs["architecture"]).state]
    needed = [*state, "epoch", "hidden_size"]
    if missing := [name for name in needed if name not in ds.variables]:
        raise SolspaceError(
            f"the dataset has no {missing[0]!r}; features are taken from the training group, "
            "type `solspace record STORE` first"
        )
    labels = feature_coordinate(task)
    names = [str(name) for name in labels.feature.values]
    values = np.full((ds.sizes["network"], len(names)), np.nan)
    epoch = ds["epoch"].values
    parameters = {name: ds[name].values for name in task.parameters if name in ds.variables}
    more = activity_features(ds, task=task)["activity_features"]

    def compute(i: int) -> None:
        here = {"network": i, "unit": slice(int(ds["hidden_size"].values[i]))}
        parts = [ds[name].isel(here).values for name in state]
        found, registered = _prepare(task, np.concatenate(parts, axis=-1), epoch, parameters)
        reasons = []
        for j, name in enumerate(names):
            try:
                values[i, j] = _compute(registered[name], found)
            except FeatureError as error:
                reasons.append(str(error))
        if not np.isfinite(more.values[i]).all():
            bad = more.activity_feature.values[~np.isfinite(more.values[i])]
            reasons.append(f"{len(bad)} features of activity came out as NaN, such as {bad[0]!r}")
        if reasons:
            raise FeatureError("; ".join(reasons))

    ended = each_network(ds, "features", compute, after="record", progress=progress)
    out = ds.assign_coords(feature=labels["feature"], activity_feature=labels["activity_feature"])
    out = out.assign(
        {"features": (("network", "feature"), values), "activity_features": more} | ended
    )
    warn_of_failures(out, "features")
    return schema.annotate(out, "population")


def activity_features(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    columns: Sequence[str] | None = None,
) -> xr.Dataset:
    """Features of activity beyond the published ones (see `solspace.features.activity`).

    Parameters
    ----------
    ds : Dataset
        A training group: ``activity`` (of an LSTM the hidden state), ``output``, ``input``,
        ``target``, ``epoch``, the trial parameters and ``hidden_size``. Of an LSTM also
        ``cell_state``, which the network fitted to the activity needs.
    task : str or Task, optional
        From the dataset's attrs by default.
    columns : sequence of str, optional
        Only these of the ``activity_feature`` coordinate; what they do not need is not computed.

    Returns
    -------
    Dataset
        With ``activity_features`` (network, activity_feature); NaN for a network that was not
        recorded or does not move.

    Raises
    ------
    SolspaceError
        Where the dataset holds no recorded activity, or a recording with other epochs.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> from solspace.population import import_networks
    >>> from solspace.simulation import record
    >>> rng = np.random.default_rng(0)
    >>> shapes = parameter_shapes("vanilla", 6, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    >>> ds = record(import_networks("delayed_discrimination", "vanilla", {"mine": mine}))
    >>> values = activity_features(ds).activity_features
    >>> bool(values.sel(activity_feature="participation_ratio_all") >= 1)
    True
    """
    from solspace import schema
    from solspace.population import task_of

    task = task_of(ds, task)
    needed = ["activity", "output", "input", "target", "epoch", "hidden_size"]
    if missing := [name for name in needed if name not in ds.variables]:
        raise SolspaceError(
            f"the dataset has no {missing[0]!r}; features are taken from the training group, "
            "type `solspace record STORE` first"
        )
    meanings = str(ds["epoch"].attrs.get("flag_meanings", " ".join(task.epochs))).split()
    if tuple(meanings) != task.epochs:
        raise SolspaceError(
            f"a recording with epochs {', '.join(meanings)}; {task.name} has "
            f"{', '.join(task.epochs)}; give a recording of this task"
        )
    labels = feature_coordinate(task)["activity_feature"]
    if columns is not None:
        labels = labels.sel(activity_feature=list(columns))
    names = [str(name) for name in labels.values]
    table = activity_feature_table(task)
    of = dict(zip(table.name, table.feature, strict=True))
    needs = list(dict.fromkeys(of[name] for name in names))
    values = np.full((ds.sizes["network"], len(names)), np.nan)
    parameters = {name: ds[name].values for name in task.parameters if name in ds.variables}
    sizes = ds["hidden_size"].values
    inputs, targets, epoch = (ds[name].values for name in ("input", "target", "epoch"))
    has_cell = "cell_state" in ds.variables
    architecture = fitted_architecture(ds.attrs.get("architecture"))
    # Network by network: BLAS rounds products of blocks of several sizes differently in the last
    # bit, and what is stored must not depend on how a population was split.
    for i, size in enumerate(sizes):
        activity = ds["activity"].isel(network=i).values[..., :size]
        if not np.isfinite(activity).all():
            continue
        output = ds["output"].isel(network=[i]).values
        cell = [ds["cell_state"].isel(network=i).values[..., :size]] if has_cell else None
        recording = make_recording(
            task, [activity], output, inputs, targets, epoch, parameters,
            architecture=architecture, cell_state=cell,
        )  # fmt: skip
        computed = compute_activity_features(recording, needs)
        if computed:
            values[i] = [computed[name][0] for name in names]
    out = ds.assign_coords(activity_feature=labels)
    out = out.assign({"activity_features": (("network", "activity_feature"), values)})
    return schema.annotate(out, "population")


# --------------------------------------------------------------------------- kernels


def speeds(points: Array) -> Array:
    """Distance from each point to the next, root mean square over units, (time - 1,).

    Examples
    --------
    >>> speeds(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]))
    array([1., 0.])
    """
    return np.sqrt(np.mean(np.diff(points, axis=0) ** 2, axis=-1))


def mean_speed(points: Array) -> float:
    """Mean over all points of the speed at which each is left; the last takes that before it.

    Parameters
    ----------
    points : array (time, unit)

    Returns
    -------
    float
        In activity per step, root mean square over units.

    Raises
    ------
    FeatureError
        For fewer than 2 points.

    Examples
    --------
    >>> mean_speed(np.array([[0.0], [1.0], [3.0]]))  # (1 + 2 + 2) / 3
    1.6666666666666667
    """
    if len(points) < 2:
        raise FeatureError(
            f"speed of {len(points)} step{'' if len(points) == 1 else 's'}; give at least 2"
        )
    speed = speeds(points)
    return float((speed.sum() + speed[-1]) / len(points))


def path_length(points: Array) -> float:
    """Length of the polygon through the points, (time, unit), Euclidean.

    Examples
    --------
    >>> path_length(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]))
    6.0
    """
    return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).sum())


def curvature(points: Array) -> Array:
    """Curvature of a curve in the plane of its first two principal components.

    ``|x'' y' - x' y''| / (x'^2 + y'^2)^(3/2)`` with central differences. Steps at which the
    curve stands still have no curvature and are left out.

    Parameters
    ----------
    points : array (time, unit)

    Returns
    -------
    array (steps that move,)
        In 1 / activity.

    Raises
    ------
    FeatureError
        For fewer than 3 points, or where nothing moves.

    Examples
    --------
    >>> turn = np.linspace(0, np.pi, 200)
    >>> circle = 4 * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    >>> float(np.median(curvature(circle)).round(4))
    0.25
    """
    if len(points) < 3:
        raise FeatureError(f"curvature of {len(points)} points; give at least 3")
    centred = points - points.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(points), 2))
    plane[:, : min(2, len(scale))] = left[:, :2] * scale[:2]
    velocity = np.asarray(np.gradient(plane, axis=0))
    acceleration = np.asarray(np.gradient(velocity, axis=0))
    turning = np.abs(acceleration[:, 0] * velocity[:, 1] - velocity[:, 0] * acceleration[:, 1])
    # Whether a point moves is read off the activity itself: in the plane, rounding would let a
    # curve at rest move by 1e-17 and bend sharply.
    moves = np.any(np.gradient(points, axis=0) != 0, axis=-1)
    if not moves.any():
        raise FeatureError("the activity does not move, so it has no curvature")
    return turning[moves] / (velocity[moves] ** 2).sum(axis=-1) ** 1.5


def log_curvature(points: Array) -> Array:
    """Decimal logarithm of `curvature`."""
    values = curvature(points)
    if not (values > 0).all() or not np.isfinite(values).all():
        raise FeatureError("the activity runs straight or turns on the spot, its curvature is 0/0")
    return np.log10(values)


def displacement(points: Array) -> Array:
    """Vector from the first point to the last, (unit,)."""
    vector = points[-1] - points[0]
    if not np.any(vector):
        raise FeatureError("a stretch ends where it starts, so it has no direction")
    return vector


def ratio(numerator: float, denominator: float, what: str) -> float:
    """The quotient, or a `FeatureError` where the denominator is zero."""
    if denominator == 0:
        raise FeatureError(f"{what} is zero, so nothing can be divided by it")
    return numerator / denominator


def speed_change(points: Array, steps: int = 5) -> float:
    """Mean speed over the last steps of a stretch divided by that over its first.

    Examples
    --------
    >>> round(speed_change(np.arange(20.0)[:, None] ** 2), 3)
    7.522
    """
    if len(points) < steps:
        raise FeatureError(f"a stretch of {len(points)} steps; give at least {steps}")
    return ratio(mean_speed(points[-steps:]), mean_speed(points[:steps]), "the speed at its start")


def length_trend(stretches: Sequence[Array]) -> float:
    """Slope of path length over the place in the sequence, 0 to 1, in shortest lengths.

    Least squares line through the lengths, divided by the shortest, as in the paper.

    Examples
    --------
    >>> length_trend([np.arange(n)[:, None] for n in (2.0, 3.0, 4.0)])
    2.0
    """
    if len(stretches) < 2:
        raise FeatureError(f"the trend of {len(stretches)} lengths; give at least 2 stretches")
    lengths = np.array([path_length(points) for points in stretches])
    place = np.linspace(0, 1, len(lengths)) - 0.5
    slope = float(place @ lengths / (place @ place))
    return ratio(slope, float(lengths.min()), "the length of the shortest stretch")


# --------------------------------------------------------------------------- both kinds of task


@feature(name="first_pc", units="1", source=PAPER)
def first_pc(activity: Array) -> float:
    """Share of the variance of all activity along its first principal component."""
    points = activity.reshape(-1, activity.shape[-1])
    points = points - points.mean(axis=0)
    variances = np.linalg.eigvalsh(points.T @ points)
    return ratio(float(variances[-1]), float(variances.sum()), "the variance of the activity")


@feature(name="speed_end", units="activity/step", source=PAPER)
def speed_end(activity: Array) -> float:
    """Mean speed over the last three steps of the first trial."""
    return mean_speed(activity[0, -3:])


# --------------------------------------------------------------------------- interval tasks


@feature(name="angle", units="degree", source=PAPER)
def angle(epoch1: Array, epoch2: Sequence[Array]) -> float:
    """Angle between the way gone in the first interval and in the longest second."""
    one, other = displacement(epoch1), displacement(epoch2[-1])
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    # Exact where the arc cosine is not, near 0 and 180 degrees (Kahan).
    half = np.arctan2(np.linalg.norm(one - other), np.linalg.norm(one + other))
    return float(np.degrees(2 * half))


@feature(name="corr", units="1", source=PAPER)
def corr(epoch1: Array, epoch2: Sequence[Array]) -> float:
    """Correlation over units of the way gone in the first interval and in the longest second."""
    one, other = displacement(epoch1), displacement(epoch2[-1])
    if len(one) < 2:
        raise FeatureError(f"correlation over {len(one)} unit; give at least 2")
    one, other = one - one.mean(), other - other.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return ratio(float(one @ other), size, "the spread of a direction over units")


@feature(name="curvature_min", units="log10(1/activity)", source=PAPER)
def curvature_min(epoch1: Array) -> float:
    """Smallest log curvature of the first interval, in the plane of its two first components."""
    return float(log_curvature(epoch1).min())


@feature(name="curvature_max", units="log10(1/activity)", source=PAPER)
def curvature_max(epoch1: Array) -> float:
    """Largest log curvature of the first interval, in the plane of its two first components."""
    return float(log_curvature(epoch1).max())


@feature(name="epoch1_speed_ratio", units="1", source=PAPER)
def epoch1_speed_ratio(epoch1: Array) -> float:
    """Mean speed of the last five steps of the first interval over that of its first five."""
    return speed_change(epoch1)


@feature(name="speed_ratio", units="1", source=PAPER)
def speed_ratio(epoch1: Array, epoch2: Sequence[Array]) -> float:
    """Mean speed in the first interval over that in the longest second."""
    return ratio(mean_speed(epoch1), mean_speed(epoch2[-1]), "the speed in the second interval")


@feature(name="aspect_ratio", units="1", source=PAPER)
def aspect_ratio(epoch2: Sequence[Array]) -> float:
    """Length of the line through the ends of all second intervals over that of the longest."""
    return _aspect_ratio(epoch2)


@feature(name="speed_vs_length", units="1", source=PAPER)
def speed_vs_length(epoch2: Sequence[Array]) -> float:
    """Growth of path length from the shortest to the longest second interval, in the shortest."""
    return length_trend(epoch2)


@feature(name="svm", units="standard deviation", source=PAPER)
def svm(epoch1: Array, epoch2: Sequence[Array]) -> float:
    """Margin of a line between the first interval and all second ones; 0 where there is none."""
    return margin(epoch1, np.concatenate(epoch2))


# --------------------------------------------------------------------------- delay tasks


@feature(name="curvature_min", units="log10(1/activity)", source=PAPER)
def delay_curvature_min(curved_delay: Array) -> float:
    """Smallest log curvature of a delay, in the plane of its two first components."""
    return float(log_curvature(curved_delay).min())


@feature(name="curvature_max", units="log10(1/activity)", source=PAPER)
def delay_curvature_max(curved_delay: Array) -> float:
    """Largest log curvature of a delay, in the plane of its two first components."""
    return float(log_curvature(curved_delay).max())


@feature(name="curvature_min_m", units="log10(1/activity)", source=PAPER)
def response_curvature_min_m(responses: Sequence[Array]) -> float:
    """Smallest log curvature of a response of -1, in the plane of its two first components."""
    return float(log_curvature(responses[0]).min())


@feature(name="curvature_max_m", units="log10(1/activity)", source=PAPER)
def response_curvature_max_m(responses: Sequence[Array]) -> float:
    """Largest log curvature of a response of -1, in the plane of its two first components."""
    return float(log_curvature(responses[0]).max())


@feature(name="curvature_min_p", units="log10(1/activity)", source=PAPER)
def response_curvature_min_p(responses: Sequence[Array]) -> float:
    """Smallest log curvature of a response of +1, in the plane of its two first components."""
    return float(log_curvature(responses[1]).min())


@feature(name="curvature_max_p", units="log10(1/activity)", source=PAPER)
def response_curvature_max_p(responses: Sequence[Array]) -> float:
    """Largest log curvature of a response of +1, in the plane of its two first components."""
    return float(log_curvature(responses[1]).max())


@feature(name="epoch_speed_ratio", units="1", source=PAPER)
def epoch_speed_ratio(delays: Sequence[Array]) -> float:
    """Mean speed of the last five steps of the last delay over that of its first five."""
    return speed_change(delays[-1])


@feature(name="speed_ratio", units="1", source=PAPER)
def delay_speed_ratio(delays: Sequence[Array], responses: Sequence[Array]) -> float:
    """Mean speed in the responses over that in the delay of the largest stimulus."""
    moving = float(np.mean([mean_speed(points) for points in responses]))
    return ratio(moving, mean_speed(delays[-1]), "the speed in the delay")


@feature(name="aspect_ratio", units="1", source=PAPER)
def delay_aspect_ratio(delays: Sequence[Array]) -> float:
    """Length of the line through the ends of all delays over that of the last delay."""
    return _aspect_ratio(delays)


@feature(name="speed_vs_length", units="1", source=PAPER)
def delay_speed_vs_length(delays: Sequence[Array]) -> float:
    """Growth of path length from the smallest to the largest stimulus, in the shortest."""
    return length_trend(delays)


@feature(name="svm", units="standard deviation", source=PAPER)
def delay_svm(delays: Sequence[Array], responses: Sequence[Array]) -> float:
    """Margin of a line between the responses and all delays; 0 where there is none."""
    return margin(np.concatenate(responses), np.concatenate(delays))


def _aspect_ratio(stretches: Sequence[Array]) -> float:
    ends = np.stack([points[-1] for points in stretches])
    return ratio(path_length(ends), path_length(stretches[-1]), "the length of the last stretch")
