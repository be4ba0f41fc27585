"""How much networks of a population differ: in behaviour, in dynamics, in weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.similarity.measures import get_measure
from solspace.similarity.pairs import Over, pairwise

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["degeneracy"]

Array = NDArray[np.float64]

LEVELS = ("behaviour", "dynamics", "weights")


def degeneracy(
    population: xr.Dataset | None = None,
    *,
    training: xr.Dataset | None = None,
    extrapolation: xr.Dataset | None = None,
    dynamics: str = "dsa",
    networks: int = 30,
    bootstrap: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    over: Over | None = None,
    **options: Any,
) -> xr.Dataset:
    """How far apart networks of one population are, at three levels.

    Each level is the mean distance of two networks: how differently they answer where they were
    not trained, how differently they get from moment to moment, how different their weights are.

    Parameters
    ----------
    population : Dataset, optional
        With weights, for the level ``weights``.
    training : Dataset, optional
        With ``activity``, such as ``solspace.record(population)``, for the level ``dynamics``.
    extrapolation : Dataset, optional
        With ``output`` (network, trial, time, output_channel) and the parameters of the trials,
        such as ``solspace.extrapolate(population)``, for the level ``behaviour``. Trials whose
        parameters lie in the range of those of ``training``, or of the task's recorded trials,
        are left out: networks were trained to answer them alike.
    dynamics : str
        The distance of that level, see `solspace.similarity.MEASURES`.
    networks : int
        So many, drawn by ``seed``, for the level of weights, whose pairs take longest.
    bootstrap : int
        Draws of networks, for intervals.
    seed : int
    workers : int, optional
        Threads.
    over : callable, optional
        As for `solspace.similarity.pairwise`.
    **options
        Of the distance of ``dynamics``.

    Returns
    -------
    Dataset
        Along ``level``: ``distance``, the mean over pairs, ``distance_low`` and ``distance_high``,
        its 95 % interval over networks, how many ``networks`` and ``pairs`` it is of, and what was
        ``measured``. Levels whose data are not given are not there. Where ``extrapolation`` has a
        ``target``, ``loss_spread`` (with ``_low`` and ``_high``): the standard deviation over
        networks of the mean squared error on the trials of the level ``behaviour``.

    Raises
    ------
    SolspaceError
        Where nothing is given, or fewer than three networks are left.

    Notes
    -----
    The three levels are those of Huang et al. 2025, Measuring and controlling solution degeneracy
    across task-trained recurrent neural networks. Their behaviour is the spread of one number, the
    loss on trials outside the trained range, which is ``loss_spread`` here; the level's distance is
    of the answers themselves, in which two networks wrong in opposite ways are far apart.

    Examples
    --------
    >>> import xarray as xr
    >>> from solspace.similarity import degeneracy
    >>> answers = np.zeros((3, 2, 5, 1)) + np.arange(3)[:, None, None, None]
    >>> far = xr.Dataset({"output": (("network", "trial", "time", "output_channel"), answers)},
    ...                  {"t_in": ("trial", [30, 90]), "task": "interval_reproduction"})
    >>> found = degeneracy(extrapolation=far)
    >>> found.level.values.tolist(), found.distance.values.round(3).tolist()
    (['behaviour'], [1.333])
    """
    import xarray as xr

    if population is None and training is None and extrapolation is None:
        raise SolspaceError(
            "nothing to measure; give population (weights), training=solspace.record(ds) or "
            "extrapolation=solspace.extrapolate(ds)"
        )
    if networks < 3 or bootstrap < 1:
        raise SolspaceError(
            f"networks={networks}, bootstrap={bootstrap}; give 3 or more networks, and a draw"
        )
    if options and training is None:
        raise SolspaceError(f"{next(iter(options))!r} is of dynamics; give training too")
    how: dict[str, Any] = {"workers": workers, "over": over, "unfit": "leave_out"}
    found: dict[str, tuple[Array, str]] = {}
    spread: dict[str, float] = {}
    if extrapolation is not None:
        values, losses, trials = _answers(extrapolation, training)
        spread = _spread(losses, bootstrap, seed)
        found["behaviour"] = (
            values,
            f"root mean square difference of outputs on {trials} trials outside the trained range",
        )
    if training is not None:
        measure = get_measure(dynamics)
        if measure.direction != "distance":
            raise SolspaceError(f"dynamics={dynamics!r} is a similarity; give a distance")
        values = pairwise(training, measure, **how, **options).values
        found["dynamics"] = (values, measure.meaning)
    if population is not None:
        some = _drawn(population, networks, seed)
        told = get_measure("weights").meaning
        if some.sizes["network"] < population.sizes["network"]:
            told += f"; {some.sizes['network']} networks drawn, seed {seed}"
        found["weights"] = (pairwise(some, "weights", **how).values, told)
    rows = []
    for level, (values, told) in found.items():
        there = np.isfinite(values).any(axis=1)
        values = values[np.ix_(there, there)]
        n = len(values)
        if n < 3:
            raise SolspaceError(f"{n} networks with {level} to compare; give 3 or more")
        low, high = _interval(values, bootstrap, seed)
        mean = float(values[np.triu_indices(n, 1)].mean())
        rows.append((mean, low, high, n, n * (n - 1) // 2, told))
    columns = list(zip(*rows, strict=True))
    names = ("distance", "distance_low", "distance_high", "networks", "pairs", "measured")
    out = xr.Dataset(
        {name: ("level", np.asarray(c)) for name, c in zip(names, columns, strict=True)},
        coords={"level": list(found)},
    )
    out = out.assign(spread)
    for name in spread:
        out[name].attrs["long_name"] = "standard deviation of the loss outside the trained range"
    out["distance"].attrs["long_name"] = "mean distance of two networks"
    out.attrs |= {"bootstrap": bootstrap, "seed": seed}
    return out


def _drawn(population: xr.Dataset, networks: int, seed: int) -> xr.Dataset:
    """So many networks that have weights, in their order."""
    if "weight_hh" not in population.variables:
        raise SolspaceError(
            "the dataset has no weight_hh; give a population of networks, such as "
            "solspace.open_population(STORE, GROUP)"
        )
    first = population["weight_hh"].isel(gate=0, unit=0, presynaptic_unit=0).values
    there = np.flatnonzero(np.isfinite(first))
    if len(there) > networks:
        there = np.sort(np.random.default_rng(seed).choice(there, networks, replace=False))
    return population.isel(network=there)


def _answers(ds: xr.Dataset, training: xr.Dataset | None) -> tuple[Array, Array, int]:
    """Root mean square difference of the outputs of each two networks, losses, number of trials."""
    if "output" not in ds.variables or "network" not in ds["output"].dims:
        raise SolspaceError(
            "the dataset has no output of networks; give what solspace.extrapolate(ds) returns"
        )
    outside = _outside(ds, training)
    if not outside.any():
        raise SolspaceError("all trials lie in the trained range; give trials outside of it")
    output = ds["output"].transpose("network", "trial", "time", ...)
    # One network at a time, and trials that all have.
    rows = []
    for i in range(output.sizes["network"]):
        x = np.asarray(output.isel(network=i).values, np.float64)[outside].ravel()
        rows.append(x)
    flat = np.stack(rows)
    there = np.isfinite(flat).any(axis=1)
    if there.sum() < 3:
        raise SolspaceError(f"{int(there.sum())} networks with outputs; give 3 or more")
    kept = np.isfinite(flat[there]).all(axis=0)
    target = None
    if "target" in ds.variables and "network" not in ds["target"].dims:
        target = ds["target"].transpose("trial", "time", ...).values[outside].ravel()
        kept &= ~np.isnan(target)  # where it is NaN, nothing is asked for
    if not kept.any():
        raise SolspaceError("no output is there of all networks; leave out those with NaN")
    flat = flat[:, kept]
    losses = np.zeros(0)
    if target is not None:
        losses = ((flat[there] - target[kept]) ** 2).mean(axis=1)
    flat -= flat[there].mean(axis=0)
    products = flat @ flat.T
    squares = np.diag(products)
    apart = np.maximum(squares[:, None] + squares[None] - 2 * products, 0.0) / kept.sum()
    return np.sqrt(apart), losses, int(outside.sum())


def _spread(losses: Array, bootstrap: int, seed: int) -> dict[str, float]:
    """Standard deviation of losses over networks, with its 95 % interval; empty without losses."""
    n = len(losses)
    if not n:
        return {}
    drawn = np.random.default_rng(seed).integers(n, size=(bootstrap, n))
    low, high = np.quantile(losses[drawn].std(axis=1, ddof=1), [0.025, 0.975])
    value = float(losses.std(ddof=1))
    return {
        "loss_spread": value,
        "loss_spread_low": float(low),
        "loss_spread_high": float(high),
    }


def _outside(ds: xr.Dataset, training: xr.Dataset | None) -> NDArray[np.bool_]:
    """Which trials lie outside the ranges of the parameters that networks were trained on."""
    own = {
        str(n): c.values
        for n, c in ds.coords.items()
        if c.dims == ("trial",) and n != "trial" and c.dtype.kind in "iuf"
    }
    if training is not None:
        known = {n: training[n].values for n in own if n in training.coords}
    else:
        from solspace.population.describe import task_of

        known = dict(task_of(ds).recorded_trials().parameters)
    out = np.zeros(ds.sizes["trial"], bool)
    for name, values in own.items():
        if name in known:
            out |= (values < np.min(known[name])) | (values > np.max(known[name]))
    return out


def _interval(values: Array, bootstrap: int, seed: int) -> tuple[float, float]:
    """95 % interval of the mean over pairs, by networks drawn anew; none is paired with itself."""
    n = len(values)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(bootstrap):
        counts = rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64)
        pairs = counts.sum() ** 2 - (counts**2).sum()
        if pairs > 0:
            found.append(counts @ values @ counts / pairs)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
