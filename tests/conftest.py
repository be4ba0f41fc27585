"""What several test files share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr


def reference_path(*parts: str) -> Path:
    """A path in ``shared/reference`` beside the checkout, or skip where that is absent."""
    path = Path(__file__).resolve().parents[2].joinpath("shared", "reference", *parts)
    if not path.exists():
        pytest.skip("needs the folder shared/reference beside the checkout")
    return path


def features_of_version_1(ds: xr.Dataset) -> xr.Dataset:
    """A population of a store of version 1, with its two variables of features made one.

    To go when the shipped stores are of version 2.
    """
    one, other = ds["feature"], ds["activity_feature"]
    names = [*one.values, *other.values]
    assert len(set(names)) == len(names)
    family = ["published"] * one.size + list(other.attrs["feature_families"])
    values = np.concatenate([ds["features"].values, ds["activity_features"].values], axis=1)
    ds = ds.drop_dims(["feature", "activity_feature"])
    ds = ds.assign(features=(("network", "feature"), values))
    return ds.assign_coords(
        feature=np.array(names, dtype=object),
        feature_family=("feature", np.array(family, dtype=object)),
    )
