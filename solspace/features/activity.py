"""Features of recorded activity: how it moves, how it spreads, where it comes back to.

All are computed on the activity in the network's own principal components and in units of its own
standard deviation, so they depend neither on the order of the units nor, but where they say so, on
the scale of the activity. Most have a column for each epoch, or pair of epochs.

Trials are compared across the values of the task's first parameter (the measured interval, the
first stimulus), which is what a network has to hold: one trial a value, that in which an epoch
lasts longest (see `solspace.features.recording.Recording`).
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.features import kernels
from solspace.features.kernels import (
    TINY,
    Array,
    cosine,
    covariance,
    distances,
    evenly,
    floored_log10,
    lengths_along,
    lengths_of,
    slope,
    squared_distances,
    step_lengths,
)
from solspace.features.recording import COMPONENTS, Recording
from solspace.features.registry import feature

__all__: list[str] = []

Columns = dict[str, Any]  # a number for each of its columns


# --------------------------------------------------------------------------- how it moves


@feature(
    name="scale",
    units="log10(activity)",
    family="speed",
    source="rms over units; not free of scale",
)
def scale(recording: Recording) -> Columns:
    """Standard deviation of the activity over trials and time."""
    return {"": floored_log10(recording.scale)}


@feature(
    name="speed", units="log10(SD/step)", family="speed", source="Remington et al. (Neuron 2018)"
)
def speed(recording: Recording) -> Columns:
    """Mean speed in each epoch."""
    out = {}
    for name, rows in recording.spans.items():
        parts = [recording.states[t, a:b] for t, a, b in rows if b - a >= 2]
        if parts:
            lengths = lengths_along(parts)
            out[name] = floored_log10(np.mean([some.sum() / len(some) for some in lengths]))
    return out


@feature(
    name="speed_profile",
    units="log10(ratio)",
    family="speed",
    source="last third of an epoch over its first third",
)
def speed_profile(recording: Recording) -> Columns:
    """How much faster an epoch ends than it begins."""

    def change(lengths: Array) -> Any:
        third = max(len(lengths) // 3, 1)
        return floored_log10(lengths[-third:].sum() / third) - floored_log10(
            lengths[:third].sum() / third
        )

    return recording.by_epoch(change, recording.step_lengths)


@feature(
    name="slow_point",
    units="log10(SD/step)",
    family="speed",
    source="Sussillo & Barak (Neural Computation 2013)",
)
def slow_point(recording: Recording) -> Columns:
    """Smallest speed in each epoch."""
    return recording.by_epoch(lambda lengths: floored_log10(lengths.min()), recording.step_lengths)


@feature(name="path_length", units="log10(SD)", family="path", source="length of the polygon")
def path_length(recording: Recording) -> Columns:
    """Path length of each epoch."""
    return recording.by_epoch(lambda lengths: floored_log10(lengths.sum()), recording.step_lengths)


@feature(name="straightness", units="1", family="path", source="way over path length")
def straightness(recording: Recording) -> Columns:
    """Distance from an epoch's first state to its last, over its path length."""

    def straight(points: Array, lengths: Array) -> Any:
        return lengths_of(points[-1] - points[0]) / max(lengths.sum(), TINY)

    return recording.by_epoch(straight, recording.long_epochs, recording.step_lengths)


@feature(name="turning", units="radian/step", family="path", source="angle of successive steps")
def turning(recording: Recording) -> Columns:
    """Mean angle between successive steps, weighted by speed."""

    def turn(angles: Array, lengths: Array) -> Any:
        weight = lengths[1:] + TINY
        return angles @ weight / weight.sum()

    return recording.by_epoch(turn, recording.turns, recording.step_lengths)


@feature(
    name="curvature",
    units="log10(1/SD)",
    family="path",
    source="angle of successive steps over their length",
)
def curvature(recording: Recording) -> Columns:
    """Median curvature of each epoch."""

    def bend(angles: Array, lengths: Array) -> Any:
        return np.median(floored_log10(angles / np.maximum(lengths[1:] + lengths[:-1], TINY)))

    return recording.by_epoch(bend, recording.turns, recording.step_lengths)


# --------------------------------------------------------------------------- how it spreads out


@feature(
    name="participation_ratio",
    units="1",
    family="dimensionality",
    source="(sum of variances)^2 / sum of squares; Gao et al. (2017)",
)
def participation_ratio(recording: Recording) -> Columns:
    """Participation ratio of all activity and of each epoch."""
    share = recording.variance
    out: Columns = {"all": share.sum() ** 2 / (share**2).sum()}
    for name in recording.long_epochs:
        out[name] = kernels.participation_ratio(recording.epoch_covariance(name))
    return out


@feature(
    name="component_share", units="1", family="dimensionality", source="eigenvalues of covariance"
)
def component_share(recording: Recording) -> Columns:
    """Share of the variance along the first three components."""
    return {str(i + 1): recording.variance[i] for i in range(3)}


@feature(
    name="epoch_variance",
    units="log10(1)",
    family="dimensionality",
    source="variance within an epoch over that of all activity",
)
def epoch_variance(recording: Recording) -> Columns:
    """Variance of the activity within each epoch."""
    return {name: floored_log10(np.trace(spread)) for name, spread in recording.covariances.items()}


@feature(
    name="tangling",
    units="log10(1/step^2)",
    family="tangling",
    source="Russo et al. (Neuron 2018), epsilon a tenth of the variance",
)
def tangling(recording: Recording) -> Columns:
    """Quantiles over states of the largest difference of flow over distance to any other state."""
    state = recording.states[recording.shown, 1:-1]
    flow = np.diff(recording.states[recording.shown], axis=1)[:, 1:]
    seen = np.isfinite(state).all(axis=-1) & np.isfinite(flow).all(axis=-1)  # of a recording
    points, flows = (evenly(a[seen], 160) for a in (state, flow))
    ratio = squared_distances(flows, flows) / (squared_distances(points, points) + 0.1)
    shares = (50, 90, 99)
    worst = np.percentile(ratio.max(axis=-1), shares)
    return {f"q{q}": value for q, value in zip(shares, floored_log10(worst), strict=True)}


@feature(
    name="epoch_distance",
    units="log10(SD)",
    family="epochs",
    source="the paper's relation between Ready-Set and Set-Go, as distances; Turner et al. (2021)",
)
def epoch_distance(recording: Recording) -> Columns:
    """Smallest distance, mean nearest distance and distance of the means of two epochs."""
    out = {}
    points = {name: evenly(p, 120) for name, p in recording.pooled.items()}
    for one, other in combinations(points, 2):
        between = distances(points[one], points[other])
        mean = points[one].mean(0) - points[other].mean(0)
        out[f"{one}_{other}_smallest"] = floored_log10(between.min())
        out[f"{one}_{other}_nearest"] = floored_log10(between.min(axis=0).mean())
        out[f"{one}_{other}_means"] = floored_log10(np.linalg.norm(mean, axis=-1))
    return out


@feature(
    name="epoch_direction",
    units="1",
    family="epochs",
    source="the paper's angle between Ready-Set and Set-Go; Turner et al. (2021)",
)
def epoch_direction(recording: Recording) -> Columns:
    """Cosine between the ways gone in two epochs, mean over trajectories."""
    out = {}
    ways = {
        name: np.array([points[-1] - points[0] for points in parts])
        for name, parts in recording.long_epochs.items()
    }
    for one, other in combinations(ways, 2):
        count = min(len(ways[one]), len(ways[other]))
        out[f"{one}_{other}"] = cosine(ways[one][-count:], ways[other][-count:]).mean()
    return out


@feature(
    name="epoch_alignment",
    units="1",
    family="epochs",
    source="Elsayed et al. (Nature Communications 2016), two components",
)
def epoch_alignment(recording: Recording) -> Columns:
    """Share of an epoch's variance in the plane of another, over that in its own plane."""
    out = {}
    spread = recording.covariances
    planes = {name: np.linalg.eigh(c)[1][..., -2:] for name, c in spread.items()}
    for one, other in combinations(spread, 2):
        inside = _variance_along(planes[other], spread[one])
        own = _variance_along(planes[one], spread[one])
        out[f"{one}_{other}"] = inside / np.maximum(own, TINY**2)
    return out


def _variance_along(axes: Array, spread: Array) -> Any:
    """Of activity of this covariance, along axes (component, axis) together."""
    return np.vdot(axes, spread @ axes)


# --------------------------------------------------------------------------- across values


KINET = "Remington et al. (Neuron 2018), kinematic analysis of neural trajectories"


@feature(name="kinet_distance", units="log10(SD)", family="kinet", source=KINET)
def kinet_distance(recording: Recording) -> Columns:
    """Distance between trajectories of adjacent values: first step, last step, and its growth."""
    out: Columns = {}
    for name, pairs in recording.apart.items():
        first, last = [apart[0].min() for apart in pairs], [apart[-1].min() for apart in pairs]
        start, stop = floored_log10(np.mean(first)), floored_log10(np.mean(last))
        out |= {f"{name}_first": start, f"{name}_last": stop, f"{name}_growth": stop - start}
    return out


@feature(name="kinet_speed", units="1", family="kinet", source=KINET)
def kinet_speed(recording: Recording) -> Columns:
    """Steps a trajectory takes for one step of that of the next value, through nearest states."""
    out = {}
    for name, pairs in recording.apart.items():
        slopes = []
        for apart in pairs:
            place = apart.argmin(axis=-1).astype(float)
            slopes.append(slope(np.arange(len(place), dtype=float), place))
        out[name] = np.mean(slopes)
    return out


@feature(name="kinet_direction", units="1", family="kinet", source=KINET)
def kinet_direction(recording: Recording) -> Columns:
    """Mean cosine between the flow of a trajectory and that of the next value's nearest state."""
    out = {}
    for name, parts in recording.compared_epochs.items():
        values = []
        flows = [np.diff(points, axis=0) for points in parts]
        for (one, other), apart in zip(pairwise(flows), recording.apart[name], strict=True):
            place = apart[:-1, :-1].argmin(axis=-1)
            values.append(cosine(one, other[place]).mean())
        out[name] = np.mean(values)
    return out


@feature(
    name="value_axis", units="1", family="kinet", source="geometry of the states at an epoch's end"
)
def value_axis(recording: Recording) -> Columns:
    """Of the last states of an epoch over values: dimension, and spread over the longest path."""
    out: Columns = {}
    for name, parts in recording.long_epochs.items():
        if len(parts) < 3:
            continue
        ends = np.stack([points[-1] for points in parts])
        covered = covariance(ends)
        out[f"{name}_dimension"] = kernels.participation_ratio(covered)
        spread = np.sqrt(np.trace(covered))
        out[f"{name}_spread"] = floored_log10(spread)
        out[f"{name}_aspect"] = spread / max(recording.step_lengths[name][-1].sum(), TINY)
    return out


@feature(name="scaling", units="1", family="kinet", source="temporal scaling; Wang et al. (2018)")
def scaling(recording: Recording) -> Columns:
    """Slope of log speed, and of log path length, over the place of the value (0 to 1)."""
    out: Columns = {}
    for name, parts in recording.step_lengths.items():
        if len(parts) < 3:
            continue
        place = np.linspace(0, 1, len(parts))
        lengths = np.array([values.sum() for values in parts])
        fast = floored_log10(lengths / [len(values) for values in parts])
        long = floored_log10(lengths)
        out |= {f"{name}_speed": slope(place, fast), f"{name}_path": slope(place, long)}
    return out


# --------------------------------------------------------------------------- dynamics


@feature(
    name="eigenvalue",
    units="1",
    family="eigenvalues",
    source="linear dynamics x' = A x + b by ridge regression in an epoch's first four components",
)
def eigenvalue(recording: Recording) -> Columns:
    """Modulus and angle of the three leading eigenvalues of the dynamics within an epoch."""
    out = {}
    for name, parts in recording.long_epochs.items():
        pooled = recording.pooled[name]
        axes = np.linalg.eigh(recording.covariances[name])[1][..., ::-1][..., :4]
        along = (pooled - pooled.mean(axis=0, keepdims=True)) @ axes
        stop = np.cumsum([len(points) for points in parts])
        before = np.delete(along, stop - 1, axis=0)
        after = np.delete(along, stop - [len(points) for points in parts], axis=0)
        ones = np.ones((len(before), 1))
        left = np.concatenate([before, ones], axis=-1)
        gram = left.T @ left
        size = np.trace(gram[:4, :4])
        gram[range(4), range(4)] += 1e-6 * size + TINY**2
        flow = np.linalg.solve(gram, left.T @ after)[:4]
        values: NDArray[Any] = np.linalg.eigvals(flow)
        values = values[np.argsort(-np.abs(values), kind="stable")]
        for i in range(3):
            out[f"{name}_modulus{i + 1}"] = np.minimum(np.abs(values[i]), 3)
            out[f"{name}_angle{i + 1}"] = np.abs(np.angle(values[i]))
    return out


@feature(
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
    first = int(np.isfinite(recording.states[0, :, 0]).argmax())  # that was observed
    places = {"start": recording.states[:1, first]}
    places |= {name: evenly(p, 160) for name, p in recording.pooled.items()}
    last = list(recording.long_epochs)[-1] if recording.long_epochs else ""
    for name, points in places.items():
        if name == last:
            continue  # the last states are among these
        apart = distances(ends, points).min(axis=-1)
        out[f"{name}_mean"], out[f"{name}_smallest"] = (
            floored_log10(apart.mean()),
            floored_log10(apart.min()),
        )
    return out


@feature(
    name="end",
    units="log10(SD), dimension 1",
    family="recurrence",
    source="the last states of trials: one place or several",
)
def end(recording: Recording) -> Columns:
    """Spread, dimension and speed of the last states, and how far those of two answers part."""
    ends = recording.ends
    spread = covariance(ends)
    speeds = step_lengths(recording.states[recording.shown, -4:]).mean(-1)
    out: Columns = {
        "spread": floored_log10(np.sqrt(np.trace(spread))),
        "dimension": kernels.participation_ratio(spread),
        "speed_mean": floored_log10(speeds).mean(),
        "speed_largest": floored_log10(speeds).max(),
        "speed_smallest": floored_log10(speeds).min(),
    }
    groups = [np.flatnonzero(recording.answers == sign) for sign in (-1, 1)]
    if all(len(g) for g in groups):
        some = [g[np.unique(np.linspace(0, len(g) - 1, 24).round().astype(int))] for g in groups]
        sides = [recording.states[g, -4:] for g in some]
        middle = [side[:, -1].mean(axis=0) for side in sides]
        out["answers_apart"] = floored_log10(np.linalg.norm(middle[0] - middle[1], axis=-1))
        for sign, side in zip(("minus", "plus"), sides, strict=True):
            one = covariance(side[:, -1])
            out[f"{sign}_spread"] = floored_log10(np.sqrt(np.trace(one)))
            out[f"{sign}_speed"] = floored_log10(step_lengths(side)).mean()
            first = recording.states[:1, 0]
            out[f"{sign}_to_start"] = floored_log10(distances(side[:, -1], first)).mean()
            for name, points in recording.pooled.items():
                apart = distances(side[:, -1], evenly(points, 160)).min(axis=-1)
                out[f"{sign}_to_{name}"] = floored_log10(apart.mean())
    return out


@feature(
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
        points = max(parts, key=len)
        steps = len(points)
        if steps < 2 * least:
            continue
        apart = distances(points, points)
        lag = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
        extent = np.maximum(apart.max(), TINY)
        lags = np.arange(least, steps - 3)
        by_lag = np.bincount(lag.ravel(), apart.ravel())[lags] / (2 * (steps - lags))
        out[f"{name}_distance"] = by_lag.min() / extent
        out[f"{name}_time"] = float(lags[by_lag.argmin()])
    return out


# --------------------------------------------------------------------------- output


@feature(
    name="potent_share",
    units="1",
    family="output",
    source="output-potent variance; Kaufman et al. (2014). The readout by regression",
)
def potent_share(recording: Recording) -> Columns:
    """Share of an epoch's variance along the direction that predicts the output."""
    kept = recording.shown
    points = recording.states[kept].reshape(-1, COMPONENTS)
    shown = recording.output[kept]
    target = shown.reshape(-1, shown.shape[-1])
    target = target - target.mean(axis=0, keepdims=True)
    centred = points - points.mean(axis=0, keepdims=True)
    gram = centred.T @ centred + 1e-6 * len(points) * np.eye(COMPONENTS)
    direction = np.linalg.solve(gram, centred.T @ target)
    axes, _ = np.linalg.qr(direction)
    out = {}
    for name, spread in recording.covariances.items():
        out[name] = _variance_along(axes, spread) / np.maximum(np.trace(spread), TINY**2)
    return out


@feature(name="output", units="output", family="output", source="the recorded output, behaviour")
def output(recording: Recording) -> Columns:
    """Mean, largest absolute and last output of an epoch, mean over trajectories."""
    out = {}
    for name, rows in recording.spans.items():
        if name not in recording.long_epochs:
            continue
        parts = [recording.output[t, a:b].reshape(-1) for t, a, b in rows]
        out[f"{name}_mean"] = np.mean([p.mean() for p in parts])
        out[f"{name}_largest"] = floored_log10(np.mean([np.abs(p).max() for p in parts]))
        out[f"{name}_last"] = np.mean([p[-1] for p in parts])
    return out
