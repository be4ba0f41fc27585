"""All pairs of networks, block by block: each network prepared, each pair once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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
    samples_there,
    warn_excluded,
)

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike

__all__ = ["pair", "pairwise"]

Array = NDArray[np.float64]

# Of prepared activity, where the size of a block is not given: two blocks are held at a time.
BLOCK_BYTES = 2**28
# At least so many blocks where pairs of them are sent elsewhere.
BLOCKS = 8

# Prepared networks with their positions.
State: TypeAlias = list[tuple[int, Any]]
# From one network to another.
Block: TypeAlias = tuple[int, int]
# A function and items; items with what the function makes of them, in any order.
Over: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[tuple[Any, Any]]]


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
    over: Over | None = None,
    unfit: Literal["raise", "leave_out"] = "raise",
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
        Networks in a block; by default what fits in 256 MB, and with ``over`` an eighth of them at
        most.
    workers : int, optional
        Threads; by default as many as there are cores. The result is the same with any number.
    progress : callable (int) -> None, optional
        Told the number of pairs done since last called.
    over : callable, optional
        What computes pairs of blocks elsewhere: `solspace.run.where.map_unordered`, with its
        ``workers`` or ``scheduler`` bound to it. Workers read their blocks from a store themselves.
    unfit : {"raise", "leave_out"}
        What is done about a network that the measure cannot take, such as one whose activity does
        not vary: an error that names it, or NaN and a warning that counts such networks.
    **options
        Of the measure, such as ``alpha=0.5``, ``compare="spearman"``, ``rank=15``.

    Returns
    -------
    DataArray
        (network, network_other); attributes ``measure``, ``direction`` (``"distance"`` or
        ``"similarity"``), ``metric`` (1 where it is one), ``bound`` (``"exact"`` or ``"upper"``),
        ``units``, ``source``, the options, ``samples_left_out`` and ``networks_left_out``. NaN for
        networks without activity.

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
    if unfit not in ("raise", "leave_out"):
        raise SolspaceError(f"unfit={unfit!r}; give 'raise' or 'leave_out'")
    if over is not None and workers is not None:
        raise SolspaceError("workers are threads here, and over computes elsewhere; give one")
    groups = [read_networks(data, record, inputs)]
    if other is not None:
        groups.append(read_networks(other, record, inputs))
        check_same_trials(*groups)
    ready = _Ready(record, first, None, groups, unfit == "leave_out")
    block = block or _block_size(groups, many=over is not None)
    left_out = ready.look(block, over)
    warn_excluded(groups)
    rows, columns = groups[0], groups[-1]
    out = np.full((len(rows), len(columns)), np.nan)
    if over is None:
        _fill_here(out, ready, second, block, workers, progress)
    else:
        _fill_elsewhere(out, ready, second, block, over, progress)
    if other is None:
        lower = np.tril_indices(len(out), -1)
        out[lower] = out.T[lower]
    ready.warn_unfit(out)
    return _labelled(out, record, {**record.options(), **options}, groups, left_out)


@dataclass
class _Ready:
    """Networks as a measure takes them."""

    measure: Measure
    options: dict[str, Any]
    kept: NDArray[np.bool_] | None
    groups: list[Networks]
    lenient: bool = False

    @property
    def alone(self) -> bool:
        """Whether networks of one group are compared with one another."""
        return len(self.groups) == 1

    def sent(self) -> _Ready:
        """This, without what only labels the result."""
        return replace(self, groups=[replace(g, coords={}, trials={}) for g in self.groups])

    def look(self, block: int, over: Over | None) -> int:
        """Find out which samples all have; how many are left out."""
        if self.measure.of == "weights":
            return 0
        items = [(g, *at) for g, group in enumerate(self.groups) for at in _blocks(group, block)]
        look = _Look(self.sent().groups)
        looked = ((i, look(i)) for i in items) if over is None else over(look, items)
        self.kept = common_samples(self.groups, looked)
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

    def prepared(
        self, group: Networks, at: Block, each: Callable[..., Iterable[Any]], **how: Any
    ) -> State:
        """Networks from one to another, but for those that are excluded or do not fit."""

        def one(item: tuple[int, Any]) -> tuple[int, Any] | None:
            i, x = item
            try:
                return i, self._prepare(x, group)
            except SolspaceError as error:
                if self.lenient:
                    return None
                raise SolspaceError(f"network {str(group.labels[i])!r}: {error}") from None

        items = enumerate(group.load(*at, **how), at[0])
        found = each(one, [(i, x) for i, x in items if i not in group.excluded])
        return [item for item in found if item is not None]

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

    def warn_unfit(self, values: Array) -> None:
        """Say which networks are NaN that have activity; an error where all are."""
        names = []
        for axis, group in enumerate(self.groups):
            gone = np.asarray(np.isnan(values).all(axis=1 - axis))
            fit = [i for i in range(len(group)) if i not in group.excluded]
            bad = [i for i in fit if gone[i]]
            if fit and len(bad) == len(fit):
                first = replace(self, lenient=False)
                first.prepared(group, (fit[0], fit[0] + 1), map)  # raises what is wrong with it
            names += [str(group.labels[i]) for i in bad]
        if names:
            told = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            warnings.warn(
                f"{len(names)} networks that {self.measure.name!r} cannot take are left NaN: "
                f"{told}",
                stacklevel=3,
            )


def _fill_here(
    out: Array,
    ready: _Ready,
    options: dict[str, Any],
    block: int,
    workers: int | None,
    progress: Callable[[int], None] | None,
) -> None:
    """Rows of values, block by block, in threads; of one group each pair once."""
    from threadpoolctl import threadpool_limits

    count = workers or os.cpu_count() or 1

    def one(task: tuple[int, Any, State]) -> None:
        i, a, others = task
        values = ready.measure.row(a, [b for _, b in others], **options)
        out[i, [j for j, _ in others]] = values

    # One thread a worker in linear algebra: its own threads would share the same cores.
    with threadpool_limits(1), ThreadPoolExecutor(count) as pool:
        for tile in _tiles(ready, block, pool.map):
            tasks = _rows(*tile, ready.alone)
            counts = [len(others) for _, _, others in tasks]
            for done, _ in zip(counts, pool.map(one, tasks), strict=True):
                if progress is not None:
                    progress(done)
            del tile, tasks  # before the next block is prepared, or there would be three


def _rows(left: State, right: State, alone: bool) -> list[tuple[int, Any, State]]:
    """Each network of one block, with those of another to compare it with."""
    tasks = [(i, a, [(j, b) for j, b in right if not alone or j >= i]) for i, a in left]
    return [task for task in tasks if task[2]]


def _tiles(
    ready: _Ready, block: int, each: Callable[..., Iterable[Any]]
) -> Iterator[tuple[State, State]]:
    """Pairs of blocks of prepared networks; of one group each pair of blocks once."""
    rows, columns = ready.groups[0], ready.groups[-1]
    compact = ready.measure.compact
    whole: dict[Block, State] = {}
    if compact:
        whole = {at: ready.prepared(columns, at, each) for at in _blocks(columns, block)}
    for at in _blocks(rows, block):
        left = whole[at] if compact and ready.alone else ready.prepared(rows, at, each)
        for to in _blocks(columns, block):
            if ready.alone and to < at:
                continue
            if compact:
                yield left, whole[to]
            else:
                yield left, left if ready.alone and to == at else ready.prepared(columns, to, each)


def _blocks(group: Networks, block: int) -> list[Block]:
    n = len(group)
    return [(start, min(start + block, n)) for start in range(0, n, block)]


# ------------------------------------------------------------------------------------- elsewhere


def _fill_elsewhere(
    out: Array,
    ready: _Ready,
    options: dict[str, Any],
    block: int,
    over: Over,
    progress: Callable[[int], None] | None,
) -> None:
    """Pairs of blocks, each computed by one worker that holds two blocks of networks at most.

    Where a network is small once it is prepared (a fitted model, a matrix of dissimilarities), all
    are prepared first, each once, and sent along.
    """
    rows, columns = ready.groups[0], ready.groups[-1]
    sent = ready.sent()
    states: dict[tuple[int, Block], State] | None = None
    if ready.measure.compact:
        items = [(g, at) for g, group in enumerate(ready.groups) for at in _blocks(group, block)]
        states = dict(over(_Prepare(sent), items))
    tiles = [
        (at, to)
        for at in _blocks(rows, block)
        for to in _blocks(columns, block)
        if not ready.alone or to >= at
    ]
    for (at, to), values in over(_Tile(sent, options, states), tiles):
        out[slice(*at), slice(*to)] = values
        if progress is not None:
            n, m = values.shape
            progress(n * (n + 1) // 2 if ready.alone and at == to else n * m)


@dataclass
class _Look:
    """Which samples are there in a block of networks; may run in a worker."""

    groups: list[Networks]

    def __call__(self, item: tuple[int, int, int]) -> tuple[list[int], NDArray[np.bool_]]:
        g, start, stop = item
        return samples_there(self.groups[g], start, stop)


@dataclass
class _Prepare:
    """A block of networks as the measure takes them; may run in a worker."""

    ready: _Ready

    def __call__(self, item: tuple[int, Block]) -> State:
        from threadpoolctl import threadpool_limits

        g, at = item
        with threadpool_limits(1, user_api="blas"):
            return self.ready.prepared(self.ready.groups[g], at, map, scheduler="synchronous")


@dataclass
class _Tile:
    """Values of one block of networks against another; may run in a worker."""

    ready: _Ready
    options: dict[str, Any]
    states: dict[tuple[int, Block], State] | None

    def __call__(self, item: tuple[Block, Block]) -> Array:
        from threadpoolctl import threadpool_limits

        at, to = item
        alone, last = self.ready.alone, len(self.ready.groups) - 1
        with threadpool_limits(1, user_api="blas"):
            left = self._state(0, at)
            right = left if alone and at == to else self._state(last, to)
            out = np.full((at[1] - at[0], to[1] - to[0]), np.nan)
            for i, a, others in _rows(left, right, alone):
                values = self.ready.measure.row(a, [b for _, b in others], **self.options)
                out[i - at[0], [j - to[0] for j, _ in others]] = values
        return out

    def _state(self, g: int, at: Block) -> State:
        if self.states is None:
            return _Prepare(self.ready)((g, at))
        return self.states[g, at]


def _block_size(groups: Sequence[Networks], *, many: bool) -> int:
    """Networks that fit; fewer where there are ``many`` workers, so that each has its share."""
    units = max(
        (getattr(getattr(g.source, "array", None), "sizes", {}).get("unit", 100) for g in groups),
        default=100,
    )
    fit = max(1, BLOCK_BYTES // (8 * max(int(np.prod(groups[0].shape)), 1) * units))
    if many:
        fit = min(fit, -(-max(map(len, groups)) // BLOCKS))
    return fit


def _check_counts(block: int | None, workers: int | None) -> None:
    for name, value in (("block", block), ("workers", workers)):
        if value is not None and value < 1:
            raise SolspaceError(f"{name}={value}; give 1 or more")


def _labelled(
    values: Array,
    measure: Measure,
    options: dict[str, Any],
    groups: list[Networks],
    left_out: int,
) -> xr.DataArray:
    import xarray as xr

    rows, columns = groups[0], groups[-1]
    gone = [np.isnan(values).all(axis=1 - axis) for axis in range(len(groups))]

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
        "networks_left_out": int(sum(g.sum() for g in gone)),
        "itself": int(len(groups) == 1),
        **{k: int(v) if isinstance(v, bool) else v for k, v in options.items()},
    }
    return out


def _index(networks: Networks) -> NDArray[Any]:
    labels = networks.labels
    if all(isinstance(label, (int, np.integer)) for label in labels):
        return np.asarray(labels, np.int64)
    return np.asarray([str(label) for label in labels])
