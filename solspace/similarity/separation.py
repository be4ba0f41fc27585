"""How well a measure tells labels apart: pairs within and between classes, nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["separation"]

Array = NDArray[np.float64]


def separation(
    pairs: xr.DataArray,
    by: str | ArrayLike = "solution_name",
    *,
    permutations: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """How well pairs of networks tell a label's classes apart.

    Parameters
    ----------
    pairs : DataArray (network, network_other)
        What `solspace.similarity.pairwise` returns, of one dataset or of two.
    by : str or array (network,)
        A label that the networks have as a coordinate, or of one dataset each network's class. An
        empty text, a negative number and NaN are no label; such networks are left out.
    permutations : int
        Of the labels, for what chance gives.
    seed : int
        Of the permutations.

    Returns
    -------
    Dataset
        ``within`` and ``between``, the mean of pairs of one class and of two; ``auc``, how often a
        pair of one class is more alike than a pair of two (.5 is chance); ``neighbour_share``, the
        share of networks whose nearest neighbour is of their class; ``chance``, its mean with
        permuted labels, ``chance_low`` and ``chance_high``, its 95 % interval, and ``p``, the share
        of permutations that reach it. Attributes ``networks``, ``classes`` and ``left_out``.

    Raises
    ------
    SolspaceError
        For no such label, or fewer than two classes.

    Examples
    --------
    >>> from solspace.similarity import pairwise, separation
    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.normal(size=(2, 40, 3))
    >>> nets = [x + 0.1 * rng.normal(size=x.shape) for x in [one, other] * 4]
    >>> found = separation(pairwise(nets), ["a", "b"] * 4)
    >>> found.neighbour_share.item(), found.auc.item(), found.p.item() < 0.1
    (1.0, 1.0, True)
    """
    import xarray as xr

    values = np.asarray(pairs.values, np.float64)
    alone = bool(pairs.attrs.get("itself", 1))
    if pairs.attrs.get("direction") == "similarity":
        values = -values
    rows, columns = _labels(pairs, by, alone)
    there = [np.isfinite(values).any(axis=1 - axis) & (of != "") for axis, of in
             enumerate((rows, columns))]  # fmt: skip
    left_out = int((~there[0]).sum() + (0 if alone else (~there[1]).sum()))
    values = values[np.ix_(*there)]
    rows, columns = rows[there[0]], columns[there[1]]
    classes = np.unique(np.concatenate([rows, columns]))
    name = by if isinstance(by, str) else "label"
    if len(classes) < 2 or len(rows) < 3:
        raise SolspaceError(
            f"{len(rows)} networks of {len(classes)} classes of {name!r}; give a label with two "
            "classes or more"
        )
    if alone and len(classes) == len(rows):
        raise SolspaceError(f"no two networks are of one class of {name!r}; give another label")
    same = rows[:, None] == columns[None]
    counted = np.triu(np.ones(values.shape, bool), 1) if alone else np.ones(values.shape, bool)
    within, between = values[counted & same], values[counted & ~same]
    sign = -1.0 if pairs.attrs.get("direction") == "similarity" else 1.0
    share, drawn = _neighbours(values, rows, columns, alone, permutations, seed)
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    found = {
        "within": sign * _mean(within),
        "between": sign * _mean(between),
        "auc": _auc(within, between),
        "neighbour_share": share,
        "chance": _mean(drawn),
        "chance_low": float(low),
        "chance_high": float(high),
        "p": float((1 + (drawn >= share - 1e-12).sum()) / (1 + len(drawn))),
    }
    out = xr.Dataset(found)
    out.attrs = {
        "by": name,
        "measure": str(pairs.attrs.get("measure", "")),
        "direction": str(pairs.attrs.get("direction", "distance")),
        "networks": len(rows),
        "classes": len(classes),
        "left_out": left_out,
        "permutations": permutations,
    }
    return out


def _labels(
    pairs: xr.DataArray, by: str | ArrayLike, alone: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Classes of rows and of columns, as text."""
    if not isinstance(by, str):
        given = _text(np.asarray(by))
        if not alone or given.shape != (pairs.sizes["network"],):
            raise SolspaceError(
                f"labels of shape {given.shape}; give one for each network of one dataset, or the "
                "name of a label of both"
            )
        return given, given
    names = (by, f"{by}_other")
    if missing := [n for n in names if n not in pairs.coords]:
        there = sorted(str(n) for n, c in pairs.coords.items() if c.dims == ("network",))
        shown = ", ".join(n for n in there if n != "network")
        raise SolspaceError(f"no label {missing[0]!r} of the networks; there are: {shown}")
    return _text(pairs[names[0]].values), _text(pairs[names[1]].values)


def _text(values: NDArray[Any]) -> NDArray[Any]:
    """As text, empty where there is no label."""
    if values.dtype.kind in "iuf":
        none = ~np.isfinite(values.astype(float)) | (values < 0)
        return np.where(none, "", values.astype(str))
    return values.astype(str)


def _neighbours(
    values: Array,
    rows: NDArray[Any],
    columns: NDArray[Any],
    alone: bool,
    permutations: int,
    seed: int,
) -> tuple[float, Array]:
    """Share of networks whose nearest one is of their class, and that with permuted labels."""
    values = np.where(np.isfinite(values), values, np.inf)
    if alone:
        values = values.copy()
        np.fill_diagonal(values, np.inf)
    nearest = values.argmin(axis=1)
    share = float((rows == columns[nearest]).mean())
    rng = np.random.default_rng(seed)
    drawn = np.empty(permutations)
    for k in range(permutations):
        mixed = rng.permutation(rows)
        drawn[k] = (mixed == (mixed if alone else columns)[nearest]).mean()
    return share, drawn


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _auc(within: Array, between: Array) -> float:
    """How often the first is smaller than the second, ties half."""
    within, between = within[np.isfinite(within)], between[np.isfinite(between)]
    n, m = len(within), len(between)
    if not n or not m:
        return float("nan")
    above = rankdata(np.concatenate([between, within]))[:m].sum() - m * (m + 1) / 2
    return float(above / (n * m))
