"""Neural features of one network: numbers that describe how its activity is laid out.

A feature is one decorated function, see `solspace.features.registry`; a module put into this
package is found by itself. The published ones are in `solspace.features.published`, further ones
in `solspace.features.activity`, and those of a network fitted to the activity in
`solspace.features.fitted`.
"""

from __future__ import annotations

from solspace.features.columns import FeatureTable, feature_table
from solspace.features.kernels import (
    FeatureError,
    curvature,
    mean_speed,
    path_length,
    speed_change,
)
from solspace.features.one_network import compute_features
from solspace.features.recording import Recording, make_recording
from solspace.features.registry import Feature, feature, features_of, unregister
from solspace.features.stage import extract_features, feature_coordinate

__all__ = [
    "Feature",
    "FeatureError",
    "FeatureTable",
    "Recording",
    "compute_features",
    "curvature",
    "extract_features",
    "feature",
    "feature_coordinate",
    "feature_table",
    "features_of",
    "make_recording",
    "mean_speed",
    "path_length",
    "speed_change",
    "unregister",
]
