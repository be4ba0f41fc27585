"""Features of recorded activity that many networks share: how it moves, where it comes back to.

Each feature is one function decorated with `activity_feature`. It takes a `Recording`, which holds
a block of networks at once, and returns a value a network for each of its columns (one an epoch,
one a pair of epochs). All are computed on the activity in each network's own principal components
and in units of its own standard deviation, so they depend neither on the order of the units nor,
but where they say so, on the scale of the activity.

Trials are compared across the values of the task's first parameter (the measured interval, the
first stimulus), which is what a network has to hold: one trial a value, that in which an epoch
lasts longest.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.tasks import Task, get_task

__all__ = [
    "ActivityFeature",
    "Recording",
    "activity_feature",
    "activity_feature_table",
    "activity_features_of",
    "compute_activity_features",
    "forget_activity_feature",
    "make_recording",
]

Array = NDArray[np.float64]
Columns = dict[str, Array]

COMPONENTS = 12  # of each network's activity; over 99 % of its variance in trained networks
SHORTEST = 6  # steps an epoch has to last for its trajectory to be looked at
MOST_VALUES = 9  # trajectories compared in one epoch
TINY = 1e-7  # standard deviations; under the rounding of float32 recordings


@dataclass(frozen=True)
class Recording:
    """Activity of a block of networks on the same trials.

    Attributes
    ----------
    states : array (network, trial, time, component)
        Activity in each network's own principal components, in standard deviations: the variance
        over all components, trials and steps is 1.
    variance : array (network, component)
        Share of the variance along each component, largest first.
    scale : array (network,)
        Standard deviation of the activity, root mean square over units.
    before : array (network, component)
        The state before the first step, all units at zero.
    activity : tuple of arrays (trial, time, unit)
        As recorded, without padding, one array a network.
    output : array (network, trial, time, channel)
    input, target : array (trial, time, channel)
    epoch : array (trial, time)
    epochs : tuple of str
    value : array (trial,)
        The task's first parameter.
    task : Task
    architecture : str
    cell_state : tuple of arrays (trial, time, unit), optional
        Of LSTMs.
    names_only : bool
        Only the names of columns are wanted; a costly feature may return zeros.
    """

    states: Array
    variance: Array
    scale: Array
    before: Array
    activity: tuple[Array, ...]
    output: Array
    input: Array
    target: Array
    epoch: NDArray[np.integer]
    epochs: tuple[str, ...]
    value: Array
    task: Task
    architecture: str = "vanilla"
    cell_state: tuple[Array, ...] | None = None
    names_only: bool = False

    @cached_property
    def spans(self) -> dict[str, list[tuple[int, int, int]]]:
        """By epoch: trial, first step, and the step after the last; in order of the value."""
        out: dict[str, list[tuple[int, int, int]]] = {}
        for index, name in enumerate(self.epochs):
            inside = self.epoch == index
            steps, start = inside.sum(axis=1), inside.argmax(axis=1)
            values = np.unique(self.value[steps > 0])
            picked = np.unique(np.linspace(0, len(values) - 1, MOST_VALUES).round().astype(int))
            rows = []
            for value in values[picked] if len(values) else ():
                trial = int(np.where(self.value == value, steps, -1).argmax())
                rows.append((trial, int(start[trial]), int(start[trial] + steps[trial])))
            out[name] = rows
        return out

    @cached_property
    def long_epochs(self) -> dict[str, list[Array]]:
        """Trajectories (network, time, component) of each epoch that lasts, in order."""
        out = {}
        for name, rows in self.spans.items():
            kept = [
                self.states[:, trial, start:stop]
                for trial, start, stop in rows
                if stop - start >= SHORTEST
            ]
            if kept:
                out[name] = kept
        return out

    @property
    def compared_epochs(self) -> dict[str, list[Array]]:
        """Those of `long_epochs` that more than one value has."""
        return {name: parts for name, parts in self.long_epochs.items() if len(parts) > 1}

    @cached_property
    def shown(self) -> NDArray[np.intp]:
        """A dozen trials, evenly from the first to the last."""
        return np.unique(np.linspace(0, len(self.epoch) - 1, 12).round().astype(np.intp))

    @cached_property
    def ends(self) -> Array:
        """Last states of these trials, (network, trial, component)."""
        return self.states[:, self.shown, -1]

    @cached_property
    def answers(self) -> NDArray[np.int8]:
        """-1 or 1 by what a trial asks for, (trial,); 0 where it asks for nothing."""
        total = self.target.sum(axis=(1, 2))
        return np.sign(total).astype(np.int8)


class ActivityFeatureTable(NamedTuple):
    """Columns of a task's activity features, each a list in the same order."""

    name: list[str]
    units: list[str]
    family: list[str]
    source: list[str]
    description: list[str]
    feature: list[str]  # the feature it is a column of


@dataclass(frozen=True)
class ActivityFeature:
    """One registered feature.

    Attributes
    ----------
    name : str
        Before each of its columns.
    units : str
    family : str
        Features of one family say the same kind of thing; importance is given for families too.
    source : str
    description : str
        First line of the function's docstring.
    compute : callable (Recording) -> mapping of str to array (network,)
    """

    name: str
    units: str
    family: str
    source: str
    description: str
    compute: Callable[[Recording], Mapping[str, Array]]


_FEATURES: dict[str, ActivityFeature] = {}


def activity_feature(
    *, name: str, units: str, family: str, source: str
) -> Callable[
    [Callable[[Recording], Mapping[str, Array]]], Callable[[Recording], Mapping[str, Array]]
]:
    """Register a function as a feature of activity.

    Parameters
    ----------
    name : str
    units : str
    family : str
    source : str
        The publication or the formula it comes from.

    Examples
    --------
    >>> @activity_feature(name="farthest", units="standard deviation", family="own", source="ours")
    ... def farthest(recording):
    ...     '''Largest distance from the mean.'''
    ...     return {"": np.linalg.norm(recording.states, axis=-1).max(axis=(1, 2))}
    >>> "farthest" in activity_feature_table("interval_reproduction").name
    True
    >>> forget_activity_feature("farthest")
    """

    def register(
        function: Callable[[Recording], Mapping[str, Array]],
    ) -> Callable[[Recording], Mapping[str, Array]]:
        description = (inspect.getdoc(function) or "").split("\n")[0].strip()
        if not description:
            raise SolspaceError(
                f"feature {name!r} has no docstring; its first line is stored as its meaning"
            )
        _FEATURES[name] = ActivityFeature(name, units, family, source, description, function)
        _tables.clear()
        return function

    return register


_tables: dict[str, ActivityFeatureTable] = {}


def forget_activity_feature(name: str) -> None:
    """Forget a feature of one's own.

    Raises
    ------
    SolspaceError
        Where there is none of that name.
    """
    if name not in _FEATURES:
        raise SolspaceError(f"no feature {name!r} to forget; features: {', '.join(_FEATURES)}")
    del _FEATURES[name]
    _tables.clear()


def activity_features_of() -> tuple[ActivityFeature, ...]:
    """All registered features of activity, in order."""
    return tuple(_FEATURES.values())


def activity_feature_table(task: str | Task) -> ActivityFeatureTable:
    """Columns of a task: what fills the ``activity_feature`` coordinate of a store.

    Examples
    --------
    >>> table = activity_feature_table("delayed_discrimination")
    >>> [name for name in table.name if name.startswith("path_length")]
    ['path_length_delay', 'path_length_delay_low', 'path_length_delay_high', ...]
    """
    task = get_task(task)
    if task.name not in _tables:
        trials = task.recorded_trials()
        rng = np.random.default_rng(0)
        shape = trials.epoch.shape
        recording = make_recording(
            task,
            [np.tanh(rng.normal(size=(*shape, 3)).cumsum(axis=1) * 0.1)],
            rng.normal(size=(1, *shape, len(task.outputs))),
            trials.input,
            trials.target,
            trials.epoch,
            trials.parameters,
        )
        recording = dataclasses.replace(recording, names_only=True)
        rows = [
            (
                _column(one.name, suffix),
                one.units,
                one.family,
                one.source,
                one.description,
                one.name,
            )
            for one in _FEATURES.values()
            for suffix in one.compute(recording)
        ]
        _tables[task.name] = ActivityFeatureTable(*map(list, zip(*rows, strict=True)))
    return _tables[task.name]


def _column(name: str, suffix: str) -> str:
    return f"{name}_{suffix}" if suffix else name


def make_recording(
    task: str | Task,
    activity: Sequence[ArrayLike],
    output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    epoch: ArrayLike,
    parameters: Mapping[str, Any],
    *,
    architecture: str = "vanilla",
    cell_state: Sequence[ArrayLike] | None = None,
) -> Recording:
    """A `Recording` from arrays.

    Parameters
    ----------
    task : str or Task
    activity : sequence of arrays (trial, time, unit)
        One a network, without padding.
    output : array (network, trial, time, channel)
    input, target : array (trial, time, channel)
    epoch : array (trial, time)
    parameters : mapping of str to array (trial,)
    architecture : str
        Of the networks, if they are such; that of the network that is fitted to the activity.
    cell_state : sequence of arrays (trial, time, unit), optional
        Of LSTMs, if it was recorded.

    Raises
    ------
    SolspaceError
        For arrays that do not fit together, epochs the task does not have, or missing parameters.
    """
    task = get_task(task)
    epoch = np.asarray(epoch)
    if epoch.ndim != 2 or any(np.shape(a)[:2] != epoch.shape for a in activity):
        raise SolspaceError(
            f"activity of shapes {sorted({np.shape(a) for a in activity})} with epoch of shape "
            f"{epoch.shape}; give (trial, time, unit) and (trial, time)"
        )
    if epoch.min() < 0 or epoch.max() >= len(task.epochs):
        raise SolspaceError(
            f"epochs {epoch.min()} to {epoch.max()} in a recording of {task.name}, which has "
            f"epochs 0 to {len(task.epochs) - 1} ({', '.join(task.epochs)}); give a recording of "
            "this task"
        )
    first = next(iter(task.parameters))
    if first not in parameters:
        raise SolspaceError(
            f"trials have no parameter {first!r}, only {', '.join(parameters) or 'none'}; "
            f"trajectories of {task.name} are compared across it"
        )
    states = np.zeros((len(activity), *epoch.shape, COMPONENTS))
    before = np.zeros((len(activity), COMPONENTS))
    variance = np.zeros((len(activity), COMPONENTS))
    scale = np.zeros(len(activity))
    full = []
    for i, array in enumerate(activity):
        one = np.asarray(array, dtype=np.float64)
        full.append(one)
        states[i], variance[i], scale[i], before[i] = _principal_components(one)
    return Recording(
        states,
        variance,
        scale,
        before,
        tuple(full),
        np.asarray(output, np.float64),
        np.asarray(input, np.float64),
        np.asarray(target, np.float64),
        epoch,
        task.epochs,
        np.asarray(parameters[first], np.float64),
        task,
        architecture,
        None if cell_state is None else tuple(np.asarray(c, np.float64) for c in cell_state),
    )


def _principal_components(activity: Array) -> tuple[Array, Array, float, Array]:
    """One network's states, shares of variance, standard deviation and the state of no activity.

    NaN where it stands still. A component's sign is that in which its values are skewed to the
    positive side, which does not depend on the order of the units.
    """
    points = activity.reshape(-1, activity.shape[-1])
    mean = points.mean(axis=0)
    points = points - mean
    values, axes = np.linalg.eigh(points.T @ points / len(points))
    total = float(values.sum())
    shape = (*activity.shape[:2], COMPONENTS)
    states, share, before = np.zeros((len(points), COMPONENTS)), *np.zeros((2, COMPONENTS))
    if not np.isfinite(total) or total <= (10 * np.finfo(np.float32).eps) ** 2:
        return np.full(shape, np.nan), share * np.nan, np.nan, before
    kept = min(COMPONENTS, len(values))
    axes = axes[:, ::-1][:, :kept] / np.sqrt(total)
    axes = axes * np.where(((points @ axes) ** 3).sum(axis=0) < 0, -1.0, 1.0)
    states[:, :kept], before[:kept] = points @ axes, -mean @ axes
    share[:kept] = np.clip(values[::-1][:kept], 0, None) / total
    return states.reshape(shape), share, float(np.sqrt(total / activity.shape[-1])), before


def compute_activity_features(
    recording: Recording, names: Sequence[str] | None = None
) -> dict[str, Array]:
    """All features of a block of networks.

    Parameters
    ----------
    recording : Recording
    names : sequence of str, optional
        Only the features of these names (not columns).

    Returns
    -------
    dict of column to array (network,)
        NaN for a network whose activity does not move.

    Examples
    --------
    >>> trials = get_task("interval_reproduction").recorded_trials()
    >>> rng = np.random.default_rng(0)
    >>> activity = [rng.normal(size=(31, 150, 8)).cumsum(axis=1) for _ in range(2)]
    >>> recording = make_recording("interval_reproduction", activity, np.zeros((2, 31, 150, 1)),
    ...     trials.input, trials.target, trials.epoch, trials.parameters)
    >>> compute_activity_features(recording, ["path_length"])["path_length_ready_set"].shape
    (2,)
    """
    if unknown := [n for n in names or () if n not in _FEATURES]:
        raise SolspaceError(f"no feature {unknown[0]!r}; features: {', '.join(_FEATURES)}")
    moving = np.isfinite(recording.scale)
    block = recording if moving.all() else _select(recording, np.flatnonzero(moving))
    out = {}
    for one in _FEATURES.values():
        if names is not None and one.name not in names:
            continue
        for suffix, values in one.compute(block).items() if moving.any() else ():
            column = np.full(len(moving), np.nan)
            column[moving] = values
            out[_column(one.name, suffix)] = column
    return out


def _select(recording: Recording, networks: NDArray[np.intp]) -> Recording:
    cell = recording.cell_state
    return dataclasses.replace(
        recording,
        **{n: getattr(recording, n)[networks] for n in ("states", "variance", "scale", "before")},
        activity=tuple(recording.activity[i] for i in networks),
        cell_state=None if cell is None else tuple(cell[i] for i in networks),
        output=recording.output[networks],
    )


# --------------------------------------------------------------------------- helpers


def _log(values: Array) -> Array:
    return np.log10(np.maximum(values, TINY))


def _speed(points: Array) -> Array:
    """Distance from each point to the next, (..., time - 1)."""
    return np.linalg.norm(np.diff(points, axis=-2), axis=-1)


def _distances(these: Array, those: Array) -> Array:
    """Between all pairs of points of (network, a, component) and (network, b, component)."""
    squares = (these**2).sum(-1)[:, :, None] + (those**2).sum(-1)[:, None]
    return np.sqrt(np.maximum(squares - 2 * these @ those.swapaxes(1, 2), 0))


def _cosine(these: Array, those: Array) -> Array:
    size = np.linalg.norm(these, axis=-1) * np.linalg.norm(those, axis=-1)
    return (these * those).sum(-1) / np.maximum(size, TINY**2)


def _each(recording: Recording, function: Callable[[Array], Array]) -> Columns:
    """Mean over an epoch's trajectories, and that of a low and of a high value (the quartiles)."""
    out = {}
    for name, parts in recording.long_epochs.items():
        values = np.stack([function(points) for points in parts])
        out[name] = values.mean(axis=0)
        if len(parts) >= 5:
            quarter = round((len(parts) - 1) / 4)
            out[f"{name}_low"], out[f"{name}_high"] = values[quarter], values[-1 - quarter]
    return out


def _pooled(parts: Sequence[Array]) -> Array:
    return np.concatenate(parts, axis=1)


def _few(points: Array, most: int) -> Array:
    """At most so many points, evenly along the second axis."""
    kept = np.unique(np.linspace(0, points.shape[1] - 1, most).round().astype(int))
    return points[:, kept]


def _covariance(points: Array) -> Array:
    centred = points - points.mean(axis=1, keepdims=True)
    return centred.swapaxes(1, 2) @ centred / points.shape[1]


def _participation(covariance: Array) -> Array:
    values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
    return values.sum(-1) ** 2 / np.maximum((values**2).sum(-1), TINY**4)


def _slope(x: Array, y: Array) -> Array:
    """Least squares slope of y (..., n) over x (n,)."""
    centred = x - x.mean()
    return (y * centred).sum(-1) / max(float(centred @ centred), TINY**2)


# --------------------------------------------------------------------------- how it moves


@activity_feature(
    name="scale",
    units="log10(activity)",
    family="speed",
    source="rms over units; not free of scale",
)
def scale(recording: Recording) -> Columns:
    """Standard deviation of the activity over trials and time."""
    return {"": _log(recording.scale)}


@activity_feature(
    name="speed", units="log10(SD/step)", family="speed", source="Remington et al. (Neuron 2018)"
)
def speed(recording: Recording) -> Columns:
    """Mean speed in each epoch."""
    out = {}
    for name, rows in recording.spans.items():
        parts = [recording.states[:, t, a:b] for t, a, b in rows if b - a >= 2]
        if parts:
            out[name] = _log(np.mean([_speed(points).mean(-1) for points in parts], axis=0))
    return out


@activity_feature(
    name="speed_profile",
    units="log10(ratio)",
    family="speed",
    source="last third of an epoch over its first third",
)
def speed_profile(recording: Recording) -> Columns:
    """How much faster an epoch ends than it begins."""

    def change(points: Array) -> Array:
        values = _speed(points)
        third = max(values.shape[-1] // 3, 1)
        return _log(values[:, -third:].mean(-1)) - _log(values[:, :third].mean(-1))

    return _each(recording, change)


@activity_feature(
    name="slow_point",
    units="log10(SD/step)",
    family="speed",
    source="Sussillo & Barak (Neural Computation 2013)",
)
def slow_point(recording: Recording) -> Columns:
    """Smallest speed in each epoch."""
    return _each(recording, lambda points: _log(_speed(points)).min(-1))


@activity_feature(
    name="path_length", units="log10(SD)", family="path", source="length of the polygon"
)
def path_length(recording: Recording) -> Columns:
    """Path length of each epoch."""
    return _each(recording, lambda points: _log(_speed(points).sum(-1)))


@activity_feature(name="straightness", units="1", family="path", source="way over path length")
def straightness(recording: Recording) -> Columns:
    """Distance from an epoch's first state to its last, over its path length."""

    def straight(points: Array) -> Array:
        way = np.linalg.norm(points[:, -1] - points[:, 0], axis=-1)
        return way / np.maximum(_speed(points).sum(-1), TINY)

    return _each(recording, straight)


@activity_feature(
    name="turning", units="radian/step", family="path", source="angle of successive steps"
)
def turning(recording: Recording) -> Columns:
    """Mean angle between successive steps, weighted by speed."""

    def turn(points: Array) -> Array:
        step = np.diff(points, axis=1)
        angle = np.arccos(np.clip(_cosine(step[:, 1:], step[:, :-1]), -1, 1))
        weight = np.linalg.norm(step[:, 1:], axis=-1) + TINY
        return (angle * weight).sum(-1) / weight.sum(-1)

    return _each(recording, turn)


@activity_feature(
    name="curvature",
    units="log10(1/SD)",
    family="path",
    source="angle of successive steps over their length",
)
def curvature(recording: Recording) -> Columns:
    """Median curvature of each epoch."""

    def bend(points: Array) -> Array:
        step = np.diff(points, axis=1)
        angle = np.arccos(np.clip(_cosine(step[:, 1:], step[:, :-1]), -1, 1))
        length = np.linalg.norm(step, axis=-1)
        return np.median(_log(angle / np.maximum(length[:, 1:] + length[:, :-1], TINY)), axis=-1)

    return _each(recording, bend)


# --------------------------------------------------------------------------- how it is laid out


@activity_feature(
    name="participation_ratio",
    units="1",
    family="dimensionality",
    source="(sum of variances)^2 / sum of squares; Gao et al. (2017)",
)
def participation_ratio(recording: Recording) -> Columns:
    """Participation ratio of all activity and of each epoch."""
    share = recording.variance
    out = {"all": share.sum(-1) ** 2 / (share**2).sum(-1)}
    for name, parts in recording.long_epochs.items():
        out[name] = _participation(_covariance(_pooled(parts)))
    return out


@activity_feature(
    name="component_share", units="1", family="dimensionality", source="eigenvalues of covariance"
)
def component_share(recording: Recording) -> Columns:
    """Share of the variance along the first three components."""
    return {str(i + 1): recording.variance[:, i] for i in range(3)}


@activity_feature(
    name="epoch_variance",
    units="log10(1)",
    family="dimensionality",
    source="variance within an epoch over that of all activity",
)
def epoch_variance(recording: Recording) -> Columns:
    """Variance of the activity within each epoch."""
    return {
        name: _log(np.trace(_covariance(_pooled(parts)), axis1=1, axis2=2))
        for name, parts in recording.long_epochs.items()
    }


@activity_feature(
    name="tangling",
    units="log10(1/step^2)",
    family="tangling",
    source="Russo et al. (Neuron 2018), epsilon a tenth of the variance",
)
def tangling(recording: Recording) -> Columns:
    """Quantiles over states of the largest difference of flow over distance to any other state."""
    state = recording.states[:, recording.shown, 1:-1]
    flow = np.diff(recording.states[:, recording.shown], axis=2)[:, :, 1:]
    points, flows = (_few(a.reshape(len(a), -1, a.shape[-1]), 160) for a in (state, flow))
    ratio = _distances(flows, flows) ** 2 / (_distances(points, points) ** 2 + 0.1)
    worst = ratio.max(axis=-1)
    return {f"q{q}": _log(np.quantile(worst, q / 100, axis=-1)) for q in (50, 90, 99)}


@activity_feature(
    name="epoch_distance",
    units="log10(SD)",
    family="epochs",
    source="the paper's relation between Ready-Set and Set-Go, as distances; Turner et al. (2021)",
)
def epoch_distance(recording: Recording) -> Columns:
    """Smallest distance, mean nearest distance and distance of the means of two epochs."""
    out = {}
    points = {name: _few(_pooled(p), 120) for name, p in recording.long_epochs.items()}
    for one, other in combinations(points, 2):
        between = _distances(points[one], points[other])
        mean = points[one].mean(1) - points[other].mean(1)
        out[f"{one}_{other}_smallest"] = _log(between.min(axis=(1, 2)))
        out[f"{one}_{other}_nearest"] = _log(between.min(axis=1).mean(-1))
        out[f"{one}_{other}_means"] = _log(np.linalg.norm(mean, axis=-1))
    return out


@activity_feature(
    name="epoch_direction",
    units="1",
    family="epochs",
    source="the paper's angle between Ready-Set and Set-Go; Turner et al. (2021)",
)
def epoch_direction(recording: Recording) -> Columns:
    """Cosine between the ways gone in two epochs, mean over trajectories."""
    out = {}
    for one, other in combinations(recording.long_epochs, 2):
        these, those = recording.long_epochs[one], recording.long_epochs[other]
        count = min(len(these), len(those))
        out[f"{one}_{other}"] = np.mean(
            [
                _cosine(a[:, -1] - a[:, 0], b[:, -1] - b[:, 0])
                for a, b in zip(these[-count:], those[-count:], strict=True)
            ],
            axis=0,
        )
    return out


@activity_feature(
    name="epoch_alignment",
    units="1",
    family="epochs",
    source="Elsayed et al. (Nature Communications 2016), two components",
)
def epoch_alignment(recording: Recording) -> Columns:
    """Share of an epoch's variance in the plane of another, over that in its own plane."""
    out = {}
    spread = {n: _covariance(_pooled(p)) for n, p in recording.long_epochs.items()}
    planes = {name: np.linalg.eigh(c)[1][..., -2:] for name, c in spread.items()}
    for one, other in combinations(spread, 2):
        inside = np.einsum("nci,ncd,ndi->n", planes[other], spread[one], planes[other])
        own = np.einsum("nci,ncd,ndi->n", planes[one], spread[one], planes[one])
        out[f"{one}_{other}"] = inside / np.maximum(own, TINY**2)
    return out


# --------------------------------------------------------------------------- across values


KINET = "Remington et al. (Neuron 2018), kinematic analysis of neural trajectories"


@activity_feature(name="kinet_distance", units="log10(SD)", family="kinet", source=KINET)
def kinet_distance(recording: Recording) -> Columns:
    """Distance between trajectories of adjacent values: first step, last step, and its growth."""
    out: Columns = {}
    for name, parts in recording.compared_epochs.items():
        first, last = [], []
        for one, other in pairwise(parts):
            apart = _distances(one, other).min(axis=-1)
            first.append(apart[:, 0])
            last.append(apart[:, -1])
        start, stop = _log(np.mean(first, axis=0)), _log(np.mean(last, axis=0))
        out |= {f"{name}_first": start, f"{name}_last": stop, f"{name}_growth": stop - start}
    return out


@activity_feature(name="kinet_speed", units="1", family="kinet", source=KINET)
def kinet_speed(recording: Recording) -> Columns:
    """Steps a trajectory takes for one step of that of the next value, through nearest states."""
    out = {}
    for name, parts in recording.compared_epochs.items():
        slopes = []
        for one, other in pairwise(parts):
            place = _distances(one, other).argmin(axis=-1).astype(float)
            slopes.append(_slope(np.arange(place.shape[-1], dtype=float), place))
        out[name] = np.mean(slopes, axis=0)
    return out


@activity_feature(name="kinet_direction", units="1", family="kinet", source=KINET)
def kinet_direction(recording: Recording) -> Columns:
    """Mean cosine between the flow of a trajectory and that of the next value's nearest state."""
    out = {}
    for name, parts in recording.compared_epochs.items():
        values = []
        for one, other in pairwise(parts):
            place = _distances(one[:, :-1], other[:, :-1]).argmin(axis=-1)
            flow = np.take_along_axis(np.diff(other, axis=1), place[..., None], axis=1)
            values.append(_cosine(np.diff(one, axis=1), flow).mean(-1))
        out[name] = np.mean(values, axis=0)
    return out


@activity_feature(
    name="value_axis", units="1", family="kinet", source="geometry of the states at an epoch's end"
)
def value_axis(recording: Recording) -> Columns:
    """Of the last states of an epoch over values: dimension, and spread over the longest path."""
    out = {}
    for name, parts in recording.long_epochs.items():
        if len(parts) < 3:
            continue
        ends = np.stack([points[:, -1] for points in parts], axis=1)
        out[f"{name}_dimension"] = _participation(_covariance(ends))
        spread = np.sqrt(np.trace(_covariance(ends), axis1=1, axis2=2))
        out[f"{name}_spread"] = _log(spread)
        out[f"{name}_aspect"] = spread / np.maximum(_speed(parts[-1]).sum(-1), TINY)
    return out


@activity_feature(
    name="scaling", units="1", family="kinet", source="temporal scaling; Wang et al. (2018)"
)
def scaling(recording: Recording) -> Columns:
    """Slope of log speed, and of log path length, over the place of the value (0 to 1)."""
    out: Columns = {}
    for name, parts in recording.long_epochs.items():
        if len(parts) < 3:
            continue
        place = np.linspace(0, 1, len(parts))
        fast = np.stack([_log(_speed(p).mean(-1)) for p in parts], axis=-1)
        long = np.stack([_log(_speed(p).sum(-1)) for p in parts], axis=-1)
        out |= {f"{name}_speed": _slope(place, fast), f"{name}_path": _slope(place, long)}
    return out


# --------------------------------------------------------------------------- dynamics


@activity_feature(
    name="eigenvalue",
    units="1",
    family="eigenvalues",
    source="linear dynamics x' = A x + b by ridge regression in an epoch's first four components",
)
def eigenvalue(recording: Recording) -> Columns:
    """Modulus and angle of the three leading eigenvalues of the dynamics within an epoch."""
    out = {}
    for name, parts in recording.long_epochs.items():
        pooled = _pooled(parts)
        axes = np.linalg.eigh(_covariance(pooled))[1][..., ::-1][..., :4]
        mean = pooled.mean(axis=1, keepdims=True)
        before = _pooled([(p[:, :-1] - mean) @ axes for p in parts])
        after = _pooled([(p[:, 1:] - mean) @ axes for p in parts])
        ones = np.ones((*before.shape[:2], 1))
        left = np.concatenate([before, ones], axis=-1)
        gram = left.swapaxes(1, 2) @ left
        size = np.trace(gram[:, :4, :4], axis1=1, axis2=2)
        gram[:, range(4), range(4)] += (1e-6 * size + TINY**2)[:, None]
        flow = np.linalg.solve(gram, left.swapaxes(1, 2) @ after)[:, :4]
        values: NDArray[Any] = np.linalg.eigvals(flow)
        order = np.argsort(-np.abs(values), axis=-1, kind="stable")
        values = np.take_along_axis(values, order, axis=-1)
        for i in range(3):
            out[f"{name}_modulus{i + 1}"] = np.minimum(np.abs(values[:, i]), 3)
            out[f"{name}_angle{i + 1}"] = np.abs(np.angle(values[:, i]))
    return out


@activity_feature(
    name="return",
    units="log10(SD)",
    family="recurrence",
    source="distance of the last states of trials to where they came from",
)
def return_to(recording: Recording) -> Columns:
    """Distance from the last states of trials to the first state, and to the nearest of an epoch.

    Mean over trials, and the smallest.
    """
    out = {}
    ends = recording.ends
    places = {"start": recording.states[:, :1, 0]}
    places |= {name: _few(_pooled(p), 160) for name, p in recording.long_epochs.items()}
    last = list(recording.long_epochs)[-1] if recording.long_epochs else ""
    for name, points in places.items():
        if name == last:
            continue  # the last states are among these
        apart = _distances(ends, points).min(axis=-1)
        out[f"{name}_mean"], out[f"{name}_smallest"] = _log(apart.mean(-1)), _log(apart.min(-1))
    return out


@activity_feature(
    name="end",
    units="log10(SD), dimension 1",
    family="recurrence",
    source="the last states of trials: one place or several",
)
def end(recording: Recording) -> Columns:
    """Spread, dimension and speed of the last states, and how far those of two answers part."""
    ends = recording.ends
    spread = _covariance(ends)
    speeds = _speed(recording.states[:, recording.shown, -4:]).mean(-1)
    out = {
        "spread": _log(np.sqrt(np.trace(spread, axis1=1, axis2=2))),
        "dimension": _participation(spread),
        "speed_mean": _log(speeds).mean(-1),
        "speed_largest": _log(speeds).max(-1),
        "speed_smallest": _log(speeds).min(-1),
    }
    groups = [np.flatnonzero(recording.answers == sign) for sign in (-1, 1)]
    if all(len(g) for g in groups):
        some = [g[np.unique(np.linspace(0, len(g) - 1, 24).round().astype(int))] for g in groups]
        sides = [recording.states[:, g, -4:] for g in some]
        middle = [side[:, :, -1].mean(axis=1) for side in sides]
        out["answers_apart"] = _log(np.linalg.norm(middle[0] - middle[1], axis=-1))
        for sign, side in zip(("minus", "plus"), sides, strict=True):
            one = _covariance(side[:, :, -1])
            out[f"{sign}_spread"] = _log(np.sqrt(np.trace(one, axis1=1, axis2=2)))
            out[f"{sign}_speed"] = _log(_speed(side)).mean(axis=(-1, -2))
            first = recording.states[:, :1, 0]
            out[f"{sign}_to_start"] = _log(_distances(side[:, :, -1], first)).mean(axis=(1, 2))
            for name, parts in recording.long_epochs.items():
                apart = _distances(side[:, :, -1], _few(_pooled(parts), 160)).min(axis=-1)
                out[f"{sign}_to_{name}"] = _log(apart.mean(-1))
    return out


@activity_feature(
    name="recurrence",
    units="distance 1, time in steps",
    family="recurrence",
    source="recurrence of a trajectory to itself; Marwan et al. (2007)",
)
def recurrence(recording: Recording) -> Columns:
    """Nearest return to an epoch's earlier states over its extent, and the lag of that return.

    In the longest trajectory of the epoch; at least 8 steps back.
    """
    out = {}
    least = 8
    for name, parts in recording.long_epochs.items():
        points = max(parts, key=lambda p: p.shape[1])
        steps = points.shape[1]
        if steps < 2 * least:
            continue
        apart = _distances(points, points)
        lag = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
        extent = np.maximum(apart.max(axis=(1, 2)), TINY)
        lags = np.arange(least, steps - 3)
        by_lag = np.stack([apart[:, lag == k].mean(-1) for k in lags], axis=-1)
        out[f"{name}_distance"] = by_lag.min(-1) / extent
        out[f"{name}_time"] = lags[by_lag.argmin(-1)].astype(float)
    return out


# --------------------------------------------------------------------------- output


@activity_feature(
    name="potent_share",
    units="1",
    family="output",
    source="output-potent variance; Kaufman et al. (2014). The readout by regression",
)
def potent_share(recording: Recording) -> Columns:
    """Share of an epoch's variance along the direction that predicts the output."""
    kept = recording.shown
    points = recording.states[:, kept].reshape(len(recording.states), -1, COMPONENTS)
    shown = recording.output[:, kept]
    target = shown.reshape(len(points), -1, shown.shape[-1])
    target = target - target.mean(axis=1, keepdims=True)
    centred = points - points.mean(axis=1, keepdims=True)
    gram = centred.swapaxes(1, 2) @ centred + 1e-6 * points.shape[1] * np.eye(COMPONENTS)
    direction = np.linalg.solve(gram, centred.swapaxes(1, 2) @ target)
    axes, _ = np.linalg.qr(direction)
    out = {}
    for name, parts in recording.long_epochs.items():
        spread = _covariance(_pooled(parts))
        inside = np.einsum("nci,ncd,ndi->n", axes, spread, axes)
        out[name] = inside / np.maximum(np.trace(spread, axis1=1, axis2=2), TINY**2)
    return out


@activity_feature(
    name="output", units="output", family="output", source="the recorded output, behaviour"
)
def output(recording: Recording) -> Columns:
    """Mean, largest absolute and last output of an epoch, mean over trajectories."""
    out = {}
    for name, rows in recording.spans.items():
        if name not in recording.long_epochs:
            continue
        parts = [recording.output[:, t, a:b].reshape(len(recording.output), -1) for t, a, b in rows]
        out[f"{name}_mean"] = np.mean([p.mean(-1) for p in parts], axis=0)
        out[f"{name}_largest"] = _log(np.mean([np.abs(p).max(-1) for p in parts], axis=0))
        out[f"{name}_last"] = np.mean([p[:, -1] for p in parts], axis=0)
    return out
