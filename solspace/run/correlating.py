"""Numbers from inside networks beside those of their behaviour, over a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from solspace.errors import SolspaceError
from solspace.individuality.choices import psychometric_measures
from solspace.individuality.correlating import correlate_measures
from solspace.population.variables import DONE
from solspace.store import Store

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["behaviour_of", "correlate_populations"]

INSIDE, BEHAVIOUR = "neural_value", "challenge_value"
_AT_ONCE, _REPEATS = 64, 10


def correlate_populations(
    path: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
    by: str | None = "hidden_size",
    permutations: int = 10_000,
    seed: int = 0,
) -> dict[str, xr.Dataset]:
    """Correlate numbers from inside networks with those of behaviour, in each population.

    Parameters
    ----------
    path : str
    task, architecture : str, optional
        Only these populations.
    by, permutations, seed
        See `solspace.correlate_measures`.

    Returns
    -------
    dict of str to Dataset
        By population.

    Raises
    ------
    SolspaceError
        Where no population has numbers from inside.

    Examples
    --------
    >>> correlate_populations("nowhere.zarr")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    out, chosen = {}, Store(path).select(task, architecture)
    for population in chosen:
        ds = population.open()
        if INSIDE not in ds.variables or not (population.status("individuality") == DONE).any():
            continue
        first, second = behaviour_of(ds, seed)
        try:
            found = correlate_measures(
                ds[INSIDE].load(), first, by=by, again=second, permutations=permutations, seed=seed
            )
        except SolspaceError as error:
            raise type(error)(f"{path}: {population}: {error}") from None
        out[str(population)] = found
    if not out:
        raise SolspaceError(
            f"{path}: {', '.join(map(str, chosen))}: no numbers from inside networks; type "
            f"`solspace individuality {path}` first"
        )
    return out


def behaviour_of(ds: xr.Dataset, seed: int = 0) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Numbers of the behaviour of a population, and the same of other trials where there are any.

    ``challenge_value`` where the population has it, else those of psychometric curves.

    Parameters
    ----------
    ds : Dataset
    seed : int
        Of the noise of psychometric curves.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"challenge_value": (("network", "challenge_measure"), [[1.0], [2.0]])})
    >>> first, second = behaviour_of(ds)
    >>> first.sizes["network"], second
    (2, None)
    """
    if BEHAVIOUR in ds.variables and np.isfinite(ds[BEHAVIOUR].values).any():
        return ds[BEHAVIOUR].load(), None
    first, second = (_choices(ds, seed + k) for k in (0, 1))
    return first, second


def _choices(ds: xr.Dataset, seed: int) -> xr.DataArray:
    """Numbers of psychometric curves, so many networks at a time as are held."""
    import xarray as xr

    parts = [
        psychometric_measures(
            ds.isel(network=slice(first, first + _AT_ONCE)).load(), repeats=_REPEATS, seed=seed
        )
        for first in range(0, ds.sizes["network"], _AT_ONCE)
    ]
    return xr.concat(parts, "network")
