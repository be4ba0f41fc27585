"""Networks on a plane by any distance between them, and how faithful the plane is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.similarity.faithfulness import faithfulness

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["embed"]

Array = NDArray[np.float64]

LEAST_GAIN = 1e-7


def embed(distances: xr.DataArray, *, dimensions: int = 2, iterations: int = 500) -> xr.Dataset:
    """Networks on a plane, as far apart as a distance says as nearly as can be.

    Metric multidimensional scaling: from the classical solution, by majorisation of the stress
    (SMACOF), so that the same distances give the same plane.

    Parameters
    ----------
    distances : DataArray (network, network_other)
        What `solspace.similarity.pairwise` returns for one dataset by a distance.
    dimensions : int
    iterations : int
        At most.

    Returns
    -------
    Dataset
        ``position`` (network, axis), with the coordinates of the networks; ``stress``, the share of
        the distances that is lost (Kruskal's stress 1: 0 is none, .1 fair, .2 poor); and
        ``trustworthiness`` of ``neighbors`` neighbours, 1 where none in the plane is invented
        (Venna & Kaski 2001). Networks that are NaN throughout are left out, ``left_out`` of them.

    Raises
    ------
    SolspaceError
        For a similarity, other networks on either side, or fewer than 6 networks.

    Notes
    -----
    Borg & Groenen 2005, Modern multidimensional scaling.

    Examples
    --------
    >>> from solspace.similarity import embed, pairwise
    >>> rng = np.random.default_rng(0)
    >>> found = embed(pairwise([rng.normal(size=(9, 3)) for _ in range(8)]))
    >>> dict(found.position.sizes), 0 < found.stress.item() < 0.4
    ({'network': 8, 'axis': 2}, True)
    """
    import xarray as xr

    if distances.attrs.get("direction") == "similarity":
        raise SolspaceError(
            f"{distances.attrs.get('measure')!r} is a similarity, larger for more alike; give a "
            "distance, such as pairwise(ds, 'cka_angular')"
        )
    values = np.asarray(distances.values, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise SolspaceError(
            f"distances of shape {values.shape}; give those of networks of one dataset to one "
            "another, such as pairwise(ds)"
        )
    there = np.isfinite(values).sum(axis=1) > 0
    values = values[np.ix_(there, there)]
    if not np.allclose(values, values.T, rtol=1e-6, atol=1e-9) or (values < 0).any():
        raise SolspaceError("distances that are not the same both ways, or negative, or NaN")
    n = len(values)
    if n < 6:
        raise SolspaceError(f"{n} networks with distances; a map needs 6 or more")
    if dimensions < 1:
        raise SolspaceError(f"dimensions={dimensions}; give 1 or more, such as 2")
    if not values.any():
        raise SolspaceError("all networks are at distance 0; there is nothing to lay out")
    places = _majorised(values, _classical(values, dimensions), iterations)
    trust, _, _, neighbors = faithfulness(values, _between(places))
    rows = distances.isel(network=there)
    coords = {c: v for c, v in rows.coords.items() if v.dims == ("network",)}
    out = xr.Dataset(
        {
            "position": (("network", "axis"), places),
            "stress": _stress(values, places),
            "trustworthiness": trust,
        },
        coords={**coords, "axis": np.arange(dimensions)},
        attrs={
            "measure": str(distances.attrs.get("measure", "")),
            "neighbors": neighbors,
            "left_out": int((~there).sum()),
        },
    )
    out["position"].attrs["long_name"] = "place of the network on the map"
    out["stress"].attrs = {"long_name": "Kruskal's stress 1", "units": "1"}
    told = f"trustworthiness of {neighbors} neighbours"
    out["trustworthiness"].attrs = {"long_name": told, "units": "1"}
    return out


def _classical(distances: Array, dimensions: int) -> Array:
    """Classical scaling, of either sign that in which the largest coordinate is positive."""
    squares = distances**2
    products = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(-products / 2)
    out = np.zeros((len(distances), dimensions))
    kept = min(dimensions, len(values))
    leading = slice(-1, -kept - 1, -1)
    out[:, :kept] = vectors[:, leading] * np.sqrt(np.maximum(values[leading], 0.0))
    at = np.abs(out).argmax(axis=0)
    return out * np.where(out[at, np.arange(dimensions)] < 0, -1.0, 1.0)


def _between(places: Array) -> Array:
    return np.asarray(np.linalg.norm(places[:, None] - places[None], axis=-1))


def _majorised(distances: Array, places: Array, iterations: int) -> Array:
    """The Guttman transform for as long as it lowers the stress, which it never raises."""
    n = len(distances)
    before = _raw(distances, places)
    for _ in range(iterations):
        now = _between(places)
        ratio = np.divide(distances, now, out=np.zeros_like(now), where=now > 1e-12)
        moved = (ratio.sum(axis=1)[:, None] * places - ratio @ places) / n
        after = _raw(distances, moved)
        if not after < before * (1 - LEAST_GAIN):
            break
        places, before = moved, after
    return places


def _raw(distances: Array, places: Array) -> float:
    return float(np.sum((distances - _between(places)) ** 2))


def _stress(distances: Array, places: Array) -> float:
    return float(np.sqrt(_raw(distances, places) / np.sum(distances**2)))
