"""Whether what a stage calls done is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from solspace.population.variables import DONE

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["done", "unfinished"]


def done(ds: xr.Dataset, stage: str) -> Iterator[tuple[int, str]]:
    """Position and name of every network for which a stage is called done."""
    status = f"status_{stage}"
    if status not in ds.variables:
        return
    for i in np.flatnonzero(ds[status].values == DONE):
        yield int(i), str(ds["name"].values[i])


def unfinished(ds: xr.Dataset, name: str, index: int, size: int) -> bool:
    """Whether a network's values, without the padding past its size, are not all finite."""
    crop = {d: slice(size) for d in ("unit", "presynaptic_unit") if d in ds.variables[name].dims}
    one = ds.variables[name].isel(crop | {"network": index})  # far quicker than of a DataArray
    return not bool(np.isfinite(one.values).all())
