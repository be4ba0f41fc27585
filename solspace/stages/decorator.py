"""The decorator that makes a stage of a function.

The decorated function stays a function, of a Dataset to a Dataset; its record is
`solspace.stages.record_of` it.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.describe import architecture_of
from solspace.population.variables import Variable
from solspace.stages import collection
from solspace.stages.options import check_options, options_of
from solspace.stages.record import Group, Layout, Stage
from solspace.stages.running import check_weights, checked, compute, is_lazy

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["stage"]

P = ParamSpec("P")
R = TypeVar("R")


def stage(
    *,
    reads: Sequence[str],
    fills: Sequence[Variable],
    name: str | None = None,
    after: Sequence[str] | None = None,
    uses: Callable[[], Iterable[str]] | None = None,
    over: str = "network",
    kind: str = "recurrent",
    groups: Mapping[str, Group] | None = None,
    returns: str | None = None,
    layout: Callable[..., Mapping[str, Layout]] | None = None,
    prepare: Mapping[str, Callable[[xr.Dataset], Any]] | None = None,
    finish: Mapping[str, tuple[Callable[[xr.Dataset], Any], tuple[str, ...]]] | None = None,
    faults: Callable[[Mapping[str, xr.Dataset]], Any] | None = None,
    notes: Callable[[Task, Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] | None = None,
    by_default: bool = False,
    table: Callable[[xr.Dataset], str] | None = None,
    table_of: str = "",
    further: Callable[[str | None], tuple[Variable, ...]] | None = None,
    resolve: Callable[..., dict[str, Any]] | None = None,
    check: Callable[[Task], Any] | None = None,
    at_once: Callable[[str, Mapping[str, Any]], int] | None = None,
    python_only: Sequence[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a stage of a function from Dataset to Dataset.

    The function is given a dataset with what it reads, for some networks, and returns it with its
    variables added. It may be called on a dataset in memory, on one backed by dask (which it then
    answers lazily, block by block along ``network``), and over a store (`solspace.run_stage`,
    ``solspace run STORE --stage FILE.py:FUNCTION``), where it is resumed after interruptions and
    shared out to workers and slices like the stages of the package. A network for which it raises
    is marked failed, with the reason, and the others go on.

    Parameters
    ----------
    reads : sequence of str
        Variables as ``group/name`` (``training/activity``), or just their name where they stand
        in the population's own group. Their coordinates come along.
    fills : sequence of Variable
        What it computes. Their dims are dims of what is read, with the same coordinates.
    name : str, optional
        The function's own by default.
    after : sequence of str, optional
        Stages to have ended before; by default those that fill what is read.
    uses : callable () -> names of stages, optional
        Stages whose results it takes where they are there; see `Stage`.
    over : {"network", "population"}
        Networks apart from each other, or all of a population together.
    kind : str
        The kind of networks it is for (see `solspace.networks`).
    groups, returns, layout, prepare, finish, faults, notes, by_default, table, table_of, further
        See `Stage`; stages that create groups of their own need them.
    resolve, check, at_once
        See `Stage`; what follows from a task, for which tasks the stage is not, and how many
        networks it is fastest with.
    python_only : sequence of str
        Options that the command line does not offer.

    Returns
    -------
    decorator
        Its functions are called as before.

    Raises
    ------
    SolspaceError
        For a declaration that does not fit together.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> @stage(
    ...     reads=["training/activity"],
    ...     fills=[Variable("largest", ("network",), "float32", "largest absolute activity")],
    ... )
    ... def largest(ds, *, skip: int = 0):
    ...     '''Largest absolute activity of any unit.'''
    ...     activity = abs(ds.activity.isel(time=slice(skip, None)))
    ...     return ds.assign(largest=activity.max(("trial", "time", "unit")))
    >>> dims = ("network", "trial", "time", "unit")
    >>> out = largest(xr.Dataset({"activity": (dims, np.ones((2, 3, 4, 5), "float32"))}), skip=1)
    >>> out.largest.values.tolist(), out.status_largest.values.tolist()
    ([1.0, 1.0], [1, 1])
    """
    if over not in ("network", "population"):
        raise SolspaceError(f"over={over!r}; give 'network' or 'population'")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = name or function.__name__
        if not own.isidentifier():
            raise SolspaceError(f"a stage named {own!r}; give a name that Python takes as one")
        if not fills:
            raise SolspaceError(f"stage {own!r} fills nothing; declare what it computes")
        record = Stage(
            name=own,
            function=function,
            reads=tuple(reads),
            fills=tuple(fills),
            after=tuple(after) if after is not None else ("",),
            uses=uses,
            over=over,
            kind=kind,
            groups=dict(groups or {}),
            returns=returns,
            layout=layout,
            prepare=dict(prepare or {}),
            finish=dict(finish or {}),
            faults=faults,
            notes=notes,
            by_default=by_default,
            table=table,
            table_of=table_of,
            further=further,
            resolve=resolve,
            check=check,
            at_once=at_once,
            origin=_origin(function),
            options=options_of(function, tuple(prepare or {}), tuple(python_only)),
        )

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return _call(record, args, kwargs)

        call.stage = record  # type: ignore[attr-defined]
        return call

    return decorate


def _origin(function: Callable[..., Any]) -> str:
    """Where a function of a user's own stands; empty for one of the package."""
    if function.__module__.split(".")[0] == "solspace":
        return ""
    return f"{inspect.getsourcefile(function) or function.__module__}:{function.__name__}"


def _call(record: Stage, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    import xarray as xr

    if args and isinstance(args[0], (str, os.PathLike, xr.DataArray, xr.DataTree)):
        raise SolspaceError(
            f"{record.name} was given a {type(args[0]).__name__}; give a dataset, such as "
            "xarray.open_zarr(STORE, group='TASK/ARCHITECTURE').load(), or run it over a store: "
            f"solspace.run_stage(STORE, {record.name!r})"
        )
    if not args or not isinstance(args[0], xr.Dataset):
        # Python's own error for a missing argument; anything else is the function's to judge.
        return record.function(*args, **kwargs)
    ds = args[0]
    record = _for_these_networks(record, ds)
    check_options(
        record.name, record.options, {k: v for k, v in kwargs.items() if k in record.options}
    )
    check_weights(record, ds)
    if len(args) == 1 and record.over == "network" and is_lazy(ds):
        from solspace.stages.lazy import map_networks

        return map_networks(record, ds, kwargs)
    if not record.plain:
        # As over a store: with more threads products differ in the last bit.
        with _libraries(*(name in sys.modules for name in _BRING_BLAS)).limit(
            limits=1, user_api="blas"
        ):
            return checked(record, ds, record.function(*args, **kwargs))
    return compute(record, ds, kwargs)


_BRING_BLAS = ("numpy", "scipy.linalg", "sklearn", "torch")


@functools.cache
def _libraries(*loaded: bool) -> Any:
    """The libraries with threads of their own; looked for again when more may be loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _for_these_networks(record: Stage, ds: xr.Dataset) -> Stage:
    """The stage of this name for the kind of networks a dataset has."""
    if record.origin or "architecture" not in ds.coords:
        return record
    kind = kind_of(architecture_of(ds)).name
    if kind == record.kind:
        return record
    return collection.find(record.name, kind)
