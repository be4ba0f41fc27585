"""All pairs of networks, block by block: each network prepared, each pair once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.similarity.measures import Measure, get_measure
from solspace.similarity.reading import (
    Compared,
    Networks,
    check_same_trials,
    common_samples,
    read_networks,
    warn_excluded,
)

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike

__all__ = ["pair", "pairwise"]

Array = NDArray[np.float64]

# Of prepared activity, where the size of a block is not given: two blocks are held at a time.
BLOCK_BYTES = 2**28

# Prepared networks with their positions.
State: TypeAlias = list[tuple[int, Any]]


def pair(
    one: Any,
    other: Any,
    measure: str | Measure = "procrustes",
    *,
    inputs: ArrayLike | None = None,
    **options: Any,
) -> float:
    """How alike two networks are.

    Parameters
    ----------
    one, other : array of float (trial, time, unit) or (condition, unit), or mapping
        Activity on the same trials, with as many units as each has; for ``"weights"`` mappings
        of names to weights, see `solspace.similarity.weights`.
    measure : str or Measure
        See `solspace.similarity.MEASURES`.
    inputs : array of float (trial, time, input), optional
        Of the trials, for ``"dsa_inputs"``.
    **options
        Of the measure.

    Returns
    -------
    float

    Raises
    ------
    SolspaceError
        Where they did other trials, do not vary, or an option is not the measure's.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(10, 20, 4))
    >>> round(pair(x, 3 * x[..., ::-1] + 1), 6)
    0.0
    >>> round(pair(x, 3 * x[..., ::-1] + 1, "cka"), 6)
    1.0
    """
    found = pairwise([one], measure, other=[other], inputs=inputs, workers=1, **options)
    return float(found.values[0, 0])


def pairwise(
    data: Compared,
    measure: str | Measure = "procrustes",
    *,
    other: Compared | None = None,
    inputs: ArrayLike | None = None,
    block: int | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> xr.DataArray:
    """How alike each two networks are.

    Each network is prepared (centred, whitened, a model fitted) once a block, and of all pairs of
    one dataset only half is computed. Memory is bounded by two blocks of networks and the result;
    of a dataset that is backed by dask or a store only the blocks at work are loaded.

    Parameters
    ----------
    data : Dataset, DataArray, list or mapping
        What `solspace.record` returns, or a recording: ``activity`` (network, trial, time, unit).
        Units past ``hidden_size`` are left out. A population with its weights for ``"weights"``. Or
        arrays (trial, time, unit) or (condition, unit), one a network, in a list or by name.
    measure : str or Measure
        See `solspace.similarity.MEASURES`. What is given (condition, unit) does for all but those
        of dynamics. ``"rsa"`` takes trials as conditions, and all their time as the pattern.
    other : the same, optional
        Networks of ``data`` against these, on the same trials. By default against one another.
    inputs : array of float (trial, time, input), optional
        For ``"dsa_inputs"``; a dataset has its own.
    block : int, optional
        Networks in a block; by default what fits in 256 MB.
    workers : int, optional
        Threads; by default as many as there are cores. The result is the same with any number.
    progress : callable (int) -> None, optional
        Told the number of pairs done since last called.
    **options
        Of the measure, such as ``alpha=0.5``, ``compare="spearman"``, ``rank=15``.

    Returns
    -------
    DataArray
        (network, network_other); attributes ``measure``, ``direction`` (``"distance"`` or
        ``"similarity"``), ``metric`` (1 where it is one), ``bound`` (``"exact"`` or ``"upper"``),
        ``units``, ``source``, the options, and ``samples_left_out``. NaN for networks without
        activity.

    Warns
    -----
    UserWarning
        Of networks without activity, and of samples that some network does not have, which are
        left out for all.

    Raises
    ------
    SolspaceError
        Where networks did other trials or tasks, one does not vary, or an option is not known.

    Examples
    --------
    >>> from solspace.similarity import pairwise
    >>> x = np.random.default_rng(0).normal(size=(10, 20, 4))
    >>> found = pairwise({"mine": x, "rotated": x[..., ::-1], "smaller": x[..., :3]})
    >>> found.direction, found.metric
    ('distance', 1)
    >>> found.sel(network="mine").values.round(2).tolist()
    [0.0, 0.0, 0.55]
    """
    record = get_measure(measure)
    first, second = record.split(options)
    _check_counts(block, workers)
    groups = [read_networks(data, record, inputs)]
    if other is not None:
        groups.append(read_networks(other, record, inputs))
        check_same_trials(*groups)
    ready = _Ready(record, first, None, groups)
    block = block or _block_size(groups)
    left_out = ready.look(block)
    warn_excluded(groups)
    rows, columns = groups[0], groups[-1]
    out = np.full((len(rows), len(columns)), np.nan)
    for at, values in _computed(ready, second, block, workers):
        i, js = at
        out[i, js] = values
        if other is None:
            out[js, i] = values
        if progress is not None:
            progress(len(js))
    return _labelled(out, record, {**record.options(), **options}, rows, columns, left_out)


@dataclass
class _Ready:
    """Networks as a measure takes them."""

    measure: Measure
    options: dict[str, Any]
    kept: NDArray[np.bool_] | None
    groups: list[Networks]

    def look(self, block: int) -> int:
        """Find out which samples all have; how many are left out."""
        if self.measure.of == "weights":
            return 0
        self.kept = common_samples(self.groups, block)
        if self.kept is None:
            return 0
        missing = int((~self.kept).sum())
        if self.measure.of != "samples":
            raise SolspaceError(
                f"{missing} of {self.kept.size} samples are NaN in some network, which "
                f"{self.measure.name!r} cannot leave out; select a part without gaps, such as "
                "ds.isel(time=slice(100))"
            )
        if self.kept.sum() < 2:
            raise SolspaceError(
                "no two samples are there in all networks; leave out networks or recordings with "
                "many NaN"
            )
        warnings.warn(
            f"{missing} of {self.kept.size} samples are NaN in some network and left out for all",
            stacklevel=3,
        )
        return missing

    def prepared(self, group: Networks, at: tuple[int, int], pool: Executor) -> State:
        """Networks from one to another, but for those that are excluded."""

        def one(item: tuple[int, Any]) -> tuple[int, Any]:
            i, x = item
            try:
                return i, self._prepare(x, group)
            except SolspaceError as error:
                raise SolspaceError(f"network {str(group.labels[i])!r}: {error}") from None

        items = enumerate(group.load(*at), at[0])
        return list(pool.map(one, [(i, x) for i, x in items if i not in group.excluded]))

    def _prepare(self, x: Any, group: Networks) -> Any:
        of, prepare = self.measure.of, self.measure.prepare
        if of == "weights":
            return prepare(x, **self.options)
        x = np.asarray(x, np.float64)
        if of in ("trajectories", "driven"):
            if of == "trajectories":
                return prepare(x, **self.options)
            if group.inputs is None:
                raise SolspaceError("no inputs of the trials; give inputs=(trial, time, input)")
            return prepare(x, group.inputs, **self.options)
        if of == "conditions":
            return prepare(x.reshape(len(x), -1), **self.options)
        x = x.reshape(-1, x.shape[-1])
        return prepare(x if self.kept is None else x[self.kept.ravel()], **self.options)


def _computed(
    ready: _Ready, options: dict[str, Any], block: int, workers: int | None
) -> Iterator[tuple[tuple[int, list[int]], Array]]:
    """Rows of values, block by block; of one group each pair once."""
    from threadpoolctl import threadpool_limits

    alone = len(ready.groups) == 1
    count = workers or os.cpu_count() or 1

    def one(task: tuple[int, Any, list[tuple[int, Any]]]) -> tuple[tuple[int, list[int]], Array]:
        i, a, others = task
        values = ready.measure.row(a, [b for _, b in others], **options)
        return (i, [j for j, _ in others]), values

    # One thread a worker in linear algebra: its own threads would share the same cores.
    with threadpool_limits(1), ThreadPoolExecutor(count) as pool:
        for left, right in _tiles(ready, block, pool):
            tasks = []
            for i, a in left:
                others = [(j, b) for j, b in right if not alone or j >= i]
                if others:
                    tasks.append((i, a, others))
            yield from pool.map(one, tasks)


def _tiles(ready: _Ready, block: int, pool: Executor) -> Iterator[tuple[State, State]]:
    """Pairs of blocks of prepared networks; of one group each pair of blocks once."""
    rows, columns = ready.groups[0], ready.groups[-1]
    alone = len(ready.groups) == 1
    compact = ready.measure.compact
    whole: list[State] = []
    if compact:
        whole = [ready.prepared(columns, at, pool) for at in _blocks(len(columns), block)]
    for k, at in enumerate(_blocks(len(rows), block)):
        left = whole[k] if compact and alone else ready.prepared(rows, at, pool)
        for m, to in enumerate(_blocks(len(columns), block)):
            if alone and m < k:
                continue
            if compact:
                yield left, whole[m]
            else:
                yield left, left if alone and m == k else ready.prepared(columns, to, pool)


def _blocks(n: int, block: int) -> list[tuple[int, int]]:
    return [(start, min(start + block, n)) for start in range(0, n, block)]


def _block_size(groups: Sequence[Networks]) -> int:
    units = max(
        (getattr(getattr(g.source, "array", None), "sizes", {}).get("unit", 100) for g in groups),
        default=100,
    )
    return max(1, BLOCK_BYTES // (8 * max(int(np.prod(groups[0].shape)), 1) * units))


def _check_counts(block: int | None, workers: int | None) -> None:
    for name, value in (("block", block), ("workers", workers)):
        if value is not None and value < 1:
            raise SolspaceError(f"{name}={value}; give 1 or more")


def _labelled(
    values: Array,
    measure: Measure,
    options: dict[str, Any],
    rows: Networks,
    columns: Networks,
    left_out: int,
) -> xr.DataArray:
    import xarray as xr

    out = xr.DataArray(
        values,
        dims=("network", "network_other"),
        coords={"network": _index(rows), "network_other": _index(columns)},
        name=measure.name,
    )
    out = out.assign_coords({n: ("network", c.values, c.attrs) for n, c in rows.coords.items()})
    out = out.assign_coords(
        {f"{n}_other": ("network_other", c.values, c.attrs) for n, c in columns.coords.items()}
    )
    out.attrs = {
        "long_name": measure.meaning,
        "units": measure.units,
        "measure": measure.name,
        "direction": measure.direction,
        # A number: netCDF knows no booleans.
        "metric": int(measure.metric),
        "bound": measure.bound,
        "source": measure.source,
        "samples_left_out": left_out,
        **{k: int(v) if isinstance(v, bool) else v for k, v in options.items()},
    }
    return out


def _index(networks: Networks) -> NDArray[Any]:
    labels = networks.labels
    if all(isinstance(label, (int, np.integer)) for label in labels):
        return np.asarray(labels, np.int64)
    return np.asarray([str(label) for label in labels])
