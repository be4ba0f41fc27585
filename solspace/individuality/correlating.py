"""Which numbers from inside networks go with which numbers of their behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.individuality.power import smallest_correlation
from solspace.individuality.prediction import predict_held_out
from solspace.individuality.ranks import (
    bootstrap_rho,
    permute_rho,
    stratified_ranks,
    stratified_rho,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["correlate_measures", "correlation_table"]

POWER = 0.85
SIGNIFICANT = 0.05


def correlate_measures(
    neural: xr.DataArray,
    behavioural: xr.DataArray,
    *,
    by: str | None = "hidden_size",
    again: xr.DataArray | None = None,
    permutations: int = 10_000,
    draws: int = 1000,
    missing: float = 0.1,
    seed: int = 0,
) -> xr.Dataset:
    """Correlate each number from inside networks with each of behaviour, corrected for all pairs.

    Spearman's rho within networks of one size, the mean over sizes. Networks are permuted within
    sizes; a pair's corrected p is the share of permutations in which any pair is correlated as
    much. Ridge regression says how much of each number of behaviour all those from inside tell
    together, of networks held out.

    Parameters
    ----------
    neural : DataArray (network, measure)
        Such as ``neural_value`` of `solspace.measure_individuality`.
    behavioural : DataArray (network, measure)
        Of the same networks in the same order.
    by : str or None
        A coordinate along ``network`` within whose values networks are ranked and permuted.
    again : DataArray (network, measure), optional
        ``behavioural`` of other trials. How well both agree is the most that anything can tell.
    permutations : int
    draws : int
        Of networks, for intervals.
    missing : float
        A measure that a larger share of networks does not have is left out by name; of the others,
        networks that lack one are dropped, with a count.
    seed : int

    Returns
    -------
    Dataset
        ``rho``, ``rho_low``, ``rho_high`` (95 %), ``p`` and ``p_corrected`` by both measures; of
        each of behaviour ``r2``, ``r2_p``, ``r2_p_corrected``, and ``reliability`` with ``again``.
        Attributes: ``networks``, ``networks_dropped``, ``left_out``, ``largest_by_chance``, the
        correlation that 5 % of permutations reach in any pair, and the smallest correlations that
        one test and all tests show with a power of 0.85.

    Raises
    ------
    SolspaceError
        For numbers of other networks, a coordinate that is not there, and too few networks.

    References
    ----------
    Westfall & Young, Resampling-based multiple testing, 1993.

    Examples
    --------
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> x = xr.DataArray(rng.normal(size=(60, 2)), dims=("network", "neural_measure"),
    ...                  coords={"neural_measure": ["a", "b"],
    ...                          "hidden_size": ("network", np.repeat([20, 30], 30))})
    >>> y = (x.sel(neural_measure=["a"]) + 0.5 * rng.normal(size=(60, 1)))
    >>> found = correlate_measures(x, y.rename(neural_measure="choice_measure"), permutations=500)
    >>> (found.p_corrected < 0.05).values.ravel(), found.attrs["networks"]
    (array([ True, False]), 60)
    """
    import xarray as xr

    one, other = _two_dims(neural, "neural"), _two_dims(behavioural, "behavioural")
    dims = str(one.dims[1]), str(other.dims[1])
    if dims[0] == dims[1]:
        raise SolspaceError(
            f"both have a dim {dims[0]!r}; rename one, such as .rename({dims[0]}='behaviour')"
        )
    _same_networks(one, other, "behavioural")
    if not 0 <= missing < 1:
        raise SolspaceError(f"missing={missing:g}; give a share from 0 to under 1")
    if draws < 1:
        raise SolspaceError(f"draws={draws}; give 1 or more")
    strata = _strata(one, other, by)
    rounds = [other]
    if again is not None:
        rounds.append(_two_dims(again, "again"))
        _same_networks(one, rounds[1], "again")
        if rounds[1].sizes != other.sizes:
            raise SolspaceError("again has other measures than behavioural; give the same")
    # Networks that have nothing at all were not measured; of the others measures may be missing.
    measured = np.isfinite(one.values).any(axis=1) & np.isfinite(other.values).any(axis=1)
    if not measured.any():
        raise SolspaceError("no network has numbers of both kinds; were the stages run?")
    kept_one, kept_other = (
        [
            k for k in range(part.shape[1])
            if np.isfinite(part.values[measured, k]).mean() >= 1 - missing
            and np.ptp(part.values[measured & np.isfinite(part.values[:, k]), k]) > 0
        ]
        for part in (one, other)
    )  # fmt: skip
    left_out = [
        str(part[dim].values[k]) if dim in part.coords else f"{dim} {k}"
        for part, dim, kept in ((one, dims[0], kept_one), (other, dims[1], kept_other))
        for k in range(part.shape[1])
        if k not in kept
    ]
    if not kept_one or not kept_other:
        raise SolspaceError(
            f"no pair of measures is left; {', '.join(left_out)} do not vary, or over "
            f"{missing:.0%} of networks lack them"
        )
    x, y = one.values[:, kept_one], other.values[:, kept_other]
    use = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    sizes = np.unique(strata[use], return_counts=True)[1]
    if use.sum() < 10 or sizes.min(initial=10) < 4:
        raise SolspaceError(
            f"{int(use.sum())} networks with all numbers, in {len(sizes)} values of {by!r}; give "
            "10 or more, 4 or more of each value, or by=None"
        )
    groups = strata[use]
    x, y = x[use], y[use]
    found = permute_rho(x, y, groups, permutations, seed)
    low, high = bootstrap_rho(x, y, groups, draws, seed)
    told = predict_held_out(
        stratified_ranks(x, groups),
        stratified_ranks(y, groups),
        groups,
        folds=min(10, len(x)),
        permutations=min(permutations, 1000),
        seed=seed,
    )
    tests = found.rho.size
    each: dict[str, tuple[Any, NDArray[Any], str]] = {
        "rho": (dims, found.rho, "Spearman's rho within strata"),
        "rho_low": (dims, low, "lower end of its 95 % interval"),
        "rho_high": (dims, high, "upper end of its 95 % interval"),
        "p": (dims, found.p, "share of permutations in which the pair is correlated as much"),
        "p_corrected": (dims, found.corrected, "share in which any pair is"),
        "r2": (dims[1:], told.r2, "of networks held out, from all numbers from inside"),
        "r2_p": (dims[1:], told.p, "share of permutations with as much"),
        "r2_p_corrected": (dims[1:], told.corrected, "share with as much of any measure"),
    }
    if again is not None:
        second = rounds[1].values[:, kept_other]
        both = use & np.isfinite(second).all(axis=1)
        agreed = stratified_rho(other.values[both][:, kept_other], second[both], strata[both])
        each["reliability"] = (
            dims[1:], np.diag(agreed).copy(), "Spearman's rho of both rounds of trials",
        )  # fmt: skip
    coords = {
        str(name): c
        for part, dim, kept in ((one, dims[0], kept_one), (other, dims[1], kept_other))
        for name, c in part.isel({dim: kept}).coords.items()
        if c.dims == (dim,)
    }
    return xr.Dataset(
        {
            name: (where, values, {"long_name": meaning, "units": "1"})
            for name, (where, values, meaning) in each.items()
        },
        coords=coords,
        attrs={
            "networks": int(use.sum()),
            "networks_dropped": int((~use).sum()),
            "left_out": ", ".join(left_out),
            "by": by or "",
            "permutations": int(permutations),
            "largest_by_chance": found.threshold,
            "tests": int(tests),
            "smallest_of_one_test": _smallest(int(use.sum()), 1, len(sizes)),
            "smallest_of_all_tests": _smallest(int(use.sum()), tests, len(sizes)),
        },
    )


def _smallest(networks: int, tests: int, strata: int) -> float:
    """Where strata are too small for the formula, nothing under 1 is sure to be seen."""
    if networks <= 3 * strata:
        return 1.0
    return smallest_correlation(networks, tests, POWER, SIGNIFICANT, strata)


def _two_dims(values: xr.DataArray, name: str) -> xr.DataArray:
    dims = getattr(values, "dims", ())
    if "network" not in dims or len(dims) != 2:
        raise SolspaceError(
            f"{name} has dims ({', '.join(map(str, dims))}); give a DataArray (network, measure)"
        )
    return values.transpose("network", ...).astype(float)


def _same_networks(one: xr.DataArray, other: xr.DataArray, name: str) -> None:
    if one.sizes["network"] != other.sizes["network"]:
        raise SolspaceError(
            f"{name} is of {other.sizes['network']} networks, neural of {one.sizes['network']}; "
            "give numbers of the same networks"
        )
    for label in ("network", "name"):
        if (
            label in one.coords
            and label in other.coords
            and (one[label].values != other[label].values).any()
        ):
            raise SolspaceError(
                f"{name} is of other networks than neural, or in another order, by {label!r}; give "
                "numbers of the same networks"
            )


def _strata(one: xr.DataArray, other: xr.DataArray, by: str | None) -> NDArray[Any]:
    if by is None:
        return np.zeros(one.sizes["network"], np.int64)
    for part in (one, other):
        if by in part.coords and part[by].dims == ("network",):
            return np.unique(part[by].values, return_inverse=True)[1].reshape(-1)
    raise SolspaceError(
        f"there is no coordinate {by!r} along network; add it with .assign_coords, or give by=None"
    )


def correlation_table(found: xr.Dataset, most: int = 10) -> str:
    """The largest correlations as text, and what all numbers together tell.

    Parameters
    ----------
    found : Dataset
        What `correlate_measures` returns.
    most : int
        So many correlations.

    Examples
    --------
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> x = xr.DataArray(rng.normal(size=(40, 1)), dims=("network", "neural_measure"),
    ...                  coords={"neural_measure": ["a"]})
    >>> y = xr.DataArray(x.values, dims=("network", "choice_measure"),
    ...                  coords={"choice_measure": ["b"]})
    >>> print(correlation_table(correlate_measures(x, y, by=None, permutations=99, draws=9)))
    40 networks, 0 dropped; 1 pairs, 1 of them correlated (p < 0.05, corrected for all pairs)
      inside  behaviour  rho   95 %            p      p corrected
      a       b           1.00   1.00 to  1.00  0.010  0.010
    of networks held out, all numbers from inside together tell
      behaviour  R2    p corrected
      b           ...  0.010
    """
    attrs = found.attrs
    dims = [str(d) for d in found["rho"].dims]
    names = [found[d].values.astype(str) for d in dims]
    rho = found["rho"].values
    significant = int((found["p_corrected"].values < SIGNIFICANT).sum())
    lines = [
        f"{attrs['networks']} networks, {attrs['networks_dropped']} dropped; {rho.size} pairs, "
        f"{significant} of them correlated (p < {SIGNIFICANT}, corrected for all pairs)"
    ]
    if attrs["left_out"]:
        lines.append(f"left out, not there or all alike: {attrs['left_out']}")
    rows = [["inside", "behaviour", "rho", "95 %", "p", "p corrected"]]
    for at in np.argsort(-np.abs(rho), axis=None, kind="stable")[:most]:
        k, m = np.unravel_index(at, rho.shape)
        low, high = (found[n].values[k, m] for n in ("rho_low", "rho_high"))
        tests = [f"{found[n].values[k, m]:.3f}" for n in ("p", "p_corrected")]
        told = [f"{rho[k, m]: .2f}", f"{low: .2f} to {high: .2f}", *tests]
        rows.append([str(names[0][k]), str(names[1][m]), *told])
    lines += _aligned(rows)
    lines.append("of networks held out, all numbers from inside together tell")
    rows = [["behaviour", "R2", "p corrected"]]
    if reliable := "reliability" in found:
        rows[0].append("reliability")
    for m, name in enumerate(names[1]):
        row = [name, f"{found['r2'].values[m]: .2f}", f"{found['r2_p_corrected'].values[m]:.3f}"]
        rows.append([*row, f"{found['reliability'].values[m]:.2f}"] if reliable else row)
    return "\n".join([*lines, *_aligned(rows)])


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return [
        ("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]
