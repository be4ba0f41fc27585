"""The published features, under their published names.

Those of Turner, Dabholkar & Barak, "Charting and navigating the space of solutions for recurrent
neural networks" (NeurIPS 2021). Each takes stretches of activity that the task picks
(`Task.feature_epochs`): single trajectories, of the units as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solspace.features.kernels import (
    Array,
    FeatureError,
    centred_gram,
    displacement,
    length_trend,
    log_curvature,
    mean_speed,
    path_length,
    ratio,
    speed_change,
)
from solspace.features.registry import PUBLISHED, feature
from solspace.reduction.support_vector import margin

__all__: list[str] = []

PAPER = "Turner, Dabholkar & Barak (NeurIPS 2021)"


# --------------------------------------------------------------------------- both kinds of task


@feature(name="first_pc", family=PUBLISHED, units="1", source=PAPER)
def first_pc(activity: Array) -> float:
    """Share of the variance of all activity along its first principal component."""
    points = activity.reshape(-1, activity.shape[-1])
    mean = points.mean(axis=0)
    if not np.isfinite(mean).all():  # steps of a recording that were not observed
        points = points[np.isfinite(points).all(axis=1)]
        mean = points.mean(axis=0)
    variances = np.linalg.eigvalsh(centred_gram(points, mean))
    return ratio(float(variances[-1]), float(variances.sum()), "the variance of the activity")


@feature(name="speed_end", family=PUBLISHED, units="activity/step", source=PAPER)
def speed_end(activity: Array) -> float:
    """Mean speed over the last three steps of the first trial."""
    seen = np.isfinite(activity[0]).all(axis=1)
    return mean_speed(activity[0, seen][-3:])


# --------------------------------------------------------------------------- interval tasks


@feature(name="angle", family=PUBLISHED, units="degree", source=PAPER)
def angle(epoch1: Array, epoch2: Sequence[Array]) -> float:
    """Angle between the way gone in the first interval and in the longest second."""
    one, other = displacement(epoch1), displacement(epoch2[-1])
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    # Exact where the arc cosine is not, near 0 and 180 degrees (Kahan).
    half = np.arctan2(np.linalg.norm(one - other), np.linalg.norm(one + other))
    return float(np.degrees(2 * half))


@feature(name="corr", family=PUBLISHED, units="1", source=PAPER)
def corr(epoch1: Array, epoch2: Sequence[Array]) -> float:
    """Correlation over units of the way gone in the first interval and in the longest second."""
    one, other = displacement(epoch1), displacement(epoch2[-1])
    if len(one) < 2:
        raise FeatureError(f"correlation over {len(one)} unit; give at least 2")
    one, other = one - one.mean(), other - other.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return ratio(float(one @ other), size, "the spread of a direction over units")


@feature(name="curvature_min", family=PUBLISHED, units="log10(1/activity)", source=PAPER)
def curvature_min(epoch1: Array) -> float:
    """Smallest log curvature of the first interval, in the plane of its two first components."""
    return float(log_curvature(epoch1).min())


@feature(name="curvature_max", family=PUBLISHED, units="log10(1/activity)", source=PAPER)
def curvature_max(epoch1: Array) -> float:
    """Largest log curvature of the first interval, in the plane of its two first components."""
    return float(log_curvature(epoch1).max())


@feature(name="epoch1_speed_ratio", family=PUBLISHED, units="1", source=PAPER)
def epoch1_speed_ratio(epoch1: Array) -> float:
    """Mean speed of the last five steps of the first interval over that of its first five."""
    return speed_change(epoch1)


@feature(name="speed_ratio", family=PUBLISHED, units="1", source=PAPER)
def speed_ratio(epoch1: Array, epoch2: Sequence[Array]) -> float:
    """Mean speed in the first interval over that in the longest second."""
    return ratio(mean_speed(epoch1), mean_speed(epoch2[-1]), "the speed in the second interval")


@feature(name="aspect_ratio", family=PUBLISHED, units="1", source=PAPER)
def aspect_ratio(epoch2: Sequence[Array]) -> float:
    """Length of the line through the ends of all second intervals over that of the longest."""
    return _aspect_ratio(epoch2)


@feature(name="speed_vs_length", family=PUBLISHED, units="1", source=PAPER)
def speed_vs_length(epoch2: Sequence[Array]) -> float:
    """Growth of path length from the shortest to the longest second interval, in the shortest."""
    return length_trend(epoch2)


@feature(name="svm", family=PUBLISHED, units="standard deviation", source=PAPER)
def svm(epoch1: Array, epoch2: Sequence[Array]) -> float:
    """Margin of a line between the first interval and all second ones; 0 where there is none."""
    return margin(epoch1, np.concatenate(epoch2))


# --------------------------------------------------------------------------- delay tasks


@feature(name="curvature_min", family=PUBLISHED, units="log10(1/activity)", source=PAPER)
def delay_curvature_min(curved_delay: Array) -> float:
    """Smallest log curvature of a delay, in the plane of its two first components."""
    return float(log_curvature(curved_delay).min())


@feature(name="curvature_max", family=PUBLISHED, units="log10(1/activity)", source=PAPER)
def delay_curvature_max(curved_delay: Array) -> float:
    """Largest log curvature of a delay, in the plane of its two first components."""
    return float(log_curvature(curved_delay).max())


@feature(name="curvature_min_m", family=PUBLISHED, units="log10(1/activity)", source=PAPER)
def response_curvature_min_m(responses: Sequence[Array]) -> float:
    """Smallest log curvature of a response of -1, in the plane of its two first components."""
    return float(log_curvature(responses[0]).min())


@feature(name="curvature_max_m", family=PUBLISHED, units="log10(1/activity)", source=PAPER)
def response_curvature_max_m(responses: Sequence[Array]) -> float:
    """Largest log curvature of a response of -1, in the plane of its two first components."""
    return float(log_curvature(responses[0]).max())


@feature(name="curvature_min_p", family=PUBLISHED, units="log10(1/activity)", source=PAPER)
def response_curvature_min_p(responses: Sequence[Array]) -> float:
    """Smallest log curvature of a response of +1, in the plane of its two first components."""
    return float(log_curvature(responses[1]).min())


@feature(name="curvature_max_p", family=PUBLISHED, units="log10(1/activity)", source=PAPER)
def response_curvature_max_p(responses: Sequence[Array]) -> float:
    """Largest log curvature of a response of +1, in the plane of its two first components."""
    return float(log_curvature(responses[1]).max())


@feature(name="epoch_speed_ratio", family=PUBLISHED, units="1", source=PAPER)
def epoch_speed_ratio(delays: Sequence[Array]) -> float:
    """Mean speed of the last five steps of the last delay over that of its first five."""
    return speed_change(delays[-1])


@feature(name="speed_ratio", family=PUBLISHED, units="1", source=PAPER)
def delay_speed_ratio(delays: Sequence[Array], responses: Sequence[Array]) -> float:
    """Mean speed in the responses over that in the delay of the largest stimulus."""
    moving = float(np.mean([mean_speed(points) for points in responses]))
    return ratio(moving, mean_speed(delays[-1]), "the speed in the delay")


@feature(name="aspect_ratio", family=PUBLISHED, units="1", source=PAPER)
def delay_aspect_ratio(delays: Sequence[Array]) -> float:
    """Length of the line through the ends of all delays over that of the last delay."""
    return _aspect_ratio(delays)


@feature(name="speed_vs_length", family=PUBLISHED, units="1", source=PAPER)
def delay_speed_vs_length(delays: Sequence[Array]) -> float:
    """Growth of path length from the smallest to the largest stimulus, in the shortest."""
    return length_trend(delays)


@feature(name="svm", family=PUBLISHED, units="standard deviation", source=PAPER)
def delay_svm(delays: Sequence[Array], responses: Sequence[Array]) -> float:
    """Margin of a line between the responses and all delays; 0 where there is none."""
    return margin(np.concatenate(responses), np.concatenate(delays))


def _aspect_ratio(stretches: Sequence[Array]) -> float:
    ends = np.stack([points[-1] for points in stretches])
    return ratio(path_length(ends), path_length(stretches[-1]), "the length of the last stretch")
