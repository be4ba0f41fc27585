"""The record of a stage, and the decorator that makes one of a function.

The decorated function stays a function, of a Dataset to a Dataset; its record is `record_of` it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from solspace.errors import SolspaceError
from solspace.population.variables import (
    BASE,
    DONE,
    FAILED,
    MESSAGE_LENGTH,
    Variable,
    annotate,
    faults,
    message_variable,
    status_variable,
)
from solspace.stages.options import Option, check_options, options_of

if TYPE_CHECKING:
    import xarray as xr


__all__ = ["Group", "Layout", "Option", "Stage", "record_of", "stage"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Group:
    """A group of the store that a stage creates.

    Attributes
    ----------
    holds : str
        One line for the schema page.
    present : callable (attrs) -> bool
        Whether a population with these attributes has the group.
    """

    holds: str
    present: Callable[[Mapping[str, Any]], bool] = lambda attrs: True


@dataclass(frozen=True)
class Layout:
    """What a group has before any network is computed.

    Attributes
    ----------
    coordinates : Dataset
        Coordinates of its dims and, of trials, their variables.
    sizes : mapping of str to int
        Lengths of dims without coordinates.
    optional : tuple of str
        Optional variables that these options ask for.
    """

    coordinates: xr.Dataset
    sizes: Mapping[str, int] = field(default_factory=dict)
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage: a function, and what everything else about it follows from.

    Attributes
    ----------
    name : str
        Also the suffix of its status; with dashes for underscores its command.
    function : callable
        Dataset -> Dataset, as it was written.
    reads : tuple of str
        Groups (``training``) or variables (``training/activity``, of the population just their
        name) it takes.
    fills : tuple of Variable
    after : tuple of str
        Stages that have to have ended before; those that fill what is read, where not given.
    over : {"network", "population"}
        Whether it computes networks apart from each other, or all of a population together.
    kind : str
        Which kind of networks it is for.
    groups : mapping of str to Group
        Groups it creates.
    returns : str or None
        The one group its function returns; None where it returns what it was given with its
        variables added.
    layout : callable (task, Dataset, options) -> mapping of str to Layout, or None
        What its groups have before; None where all dims of what it fills are dims of what it
        reads.
    prepare : mapping of str to callable (Dataset) -> object
        Arguments of its function that are made once from the whole population, lazily read.
    finish : mapping of str to (callable (Dataset) -> array, names)
        Variables, as ``group/name``, computed over all networks once every one is there, from
        these variables; one network alone does not know them.
    by_default : bool
        Whether ``solspace run`` runs it unasked.
    table : callable (Dataset) -> str, or None
        The result as text, for the command line.
    origin : str
        ``FILE.py:function`` of one that is not of the package.
    options : mapping of str to Option
    """

    name: str
    function: Callable[..., Any]
    reads: tuple[str, ...]
    fills: tuple[Variable, ...]
    after: tuple[str, ...] = ()
    over: str = "network"
    kind: str = "recurrent"
    groups: Mapping[str, Group] = field(default_factory=dict)
    returns: str | None = None
    layout: Callable[..., Mapping[str, Layout]] | None = None
    prepare: Mapping[str, Callable[[xr.Dataset], Any]] = field(default_factory=dict)
    finish: Mapping[str, tuple[Callable[[xr.Dataset], Any], tuple[str, ...]]] = field(
        default_factory=dict
    )
    faults: Callable[[Mapping[str, xr.Dataset]], Any] | None = None
    by_default: bool = False
    table: Callable[[xr.Dataset], str] | None = None
    origin: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        """Its command."""
        return self.name.replace("_", "-")

    @property
    def status(self) -> Variable:
        return status_variable(self.name)

    @property
    def message(self) -> Variable:
        return message_variable(self.name)

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return (inspect.getdoc(self.function) or "").split("\n")[0].strip().rstrip(".")

    def variables(self, group: str, architecture: str | None = None) -> dict[str, Variable]:
        """What it fills in a group, by name."""
        return {
            v.name: v
            for v in self.fills
            if v.group == group
            and (architecture is None or v.architectures is None or architecture in v.architectures)
        }

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        # The function is the one that was written; its module holds the decorated one.
        module = self.function.__module__
        if not self.origin:
            return _of_package, (self.name, self.kind)
        if module != "__main__" and not module.startswith("solspace_own_"):
            return _of_module, (module, self.function.__qualname__)
        return object.__reduce_ex__(self, 2)


def _of_package(name: str, kind: str) -> Stage:
    return _collection().find(name, kind)


def _of_module(module: str, name: str) -> Stage:
    return record_of(getattr(importlib.import_module(module), name))


def _collection() -> Any:
    # By name: the collection imports every stage, and every stage imports this file.
    return importlib.import_module("solspace.stages.collection")


def record_of(function: Callable[..., Any]) -> Stage:
    """The record of a stage's function.

    Raises
    ------
    SolspaceError
        Where the function is no stage.

    Examples
    --------
    >>> record_of(print)
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: 'print' is no stage; decorate it with @solspace.stage(...)
    """
    found = getattr(function, "stage", None)
    if not isinstance(found, Stage):
        name = getattr(function, "__name__", str(function))
        raise SolspaceError(f"{name!r} is no stage; decorate it with @solspace.stage(...)")
    return found


def stage(
    *,
    reads: Sequence[str],
    fills: Sequence[Variable],
    name: str | None = None,
    after: Sequence[str] | None = None,
    over: str = "network",
    kind: str = "recurrent",
    groups: Mapping[str, Group] | None = None,
    returns: str | None = None,
    layout: Callable[..., Mapping[str, Layout]] | None = None,
    prepare: Mapping[str, Callable[[xr.Dataset], Any]] | None = None,
    finish: Mapping[str, tuple[Callable[[xr.Dataset], Any], tuple[str, ...]]] | None = None,
    faults: Callable[[Mapping[str, xr.Dataset]], Any] | None = None,
    by_default: bool = False,
    table: Callable[[xr.Dataset], str] | None = None,
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
    over : {"network", "population"}
        Networks apart from each other, or all of a population together.
    kind : str
        The kind of networks it is for (see `solspace.networks`).
    groups, returns, layout, prepare, finish, faults, by_default, table
        See `Stage`; stages that create groups of their own need them.
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
    >>> import xarray as xr
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
            over=over,
            kind=kind,
            groups=dict(groups or {}),
            returns=returns,
            layout=layout,
            prepare=dict(prepare or {}),
            finish=dict(finish or {}),
            faults=faults,
            by_default=by_default,
            table=table,
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


# --------------------------------------------------------------------------- calling one


def _call(record: Stage, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    import xarray as xr

    if not args or not isinstance(args[0], xr.Dataset):
        # Python's own error for a missing argument; anything else is the function's to judge.
        return record.function(*args, **kwargs)
    ds = args[0]
    record = _for_these_networks(record, ds)
    check_options(
        record.name, record.options, {k: v for k, v in kwargs.items() if k in record.options}
    )
    if len(args) == 1 and record.over == "network" and is_lazy(ds):
        from solspace.stages.lazy import map_networks

        return map_networks(record, ds, kwargs)
    if not record.origin:
        return checked(record, ds, record.function(*args, **kwargs))
    return compute(record, ds, kwargs)


def _for_these_networks(record: Stage, ds: xr.Dataset) -> Stage:
    """The stage of this name for the kind of networks a dataset has."""
    from solspace.kinds import kind_of
    from solspace.population.describe import architecture_of

    if record.origin or "architecture" not in ds.coords:
        return record
    kind = kind_of(architecture_of(ds)).name
    if kind == record.kind:
        return record
    found: Stage = _collection().find(record.name, kind)
    return found


def is_lazy(ds: xr.Dataset) -> bool:
    """Whether a dataset holds arrays that dask has yet to compute."""
    return any(hasattr(v._data, "__dask_graph__") for v in ds.variables.values())


def compute(record: Stage, ds: xr.Dataset, kwargs: Mapping[str, Any]) -> xr.Dataset:
    """Run a stage of a user's own on networks in memory; one that fails does not stop the others.

    Raises
    ------
    SolspaceError
        Where something that is read is missing, the function fills what it did not declare, or
        fails in the same way for every network.
    """
    _check_reads(record, ds)
    known = inspect.signature(record.function).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    given = {k: v for k, v in kwargs.items() if takes_any or k in known}
    told = kwargs.get("progress") if "progress" not in given else None
    n = ds.sizes.get("network", 0)
    try:
        parts = [checked(record, ds, record.function(ds, **given))]
        failed: dict[int, str] = {}
        if told:
            told(n)
    except (MemoryError, OSError, _NotAsDeclared):
        raise
    except Exception as error:
        if record.over != "network":
            raise SolspaceError(f"{record.name}: {_told(error)}") from error
        parts, failed = [], {}
        for i in range(n):
            one = ds.isel(network=[i])
            try:
                parts.append(checked(record, one, record.function(one, **given)))
            except (MemoryError, OSError, _NotAsDeclared):
                raise
            except Exception as single:
                failed[i] = _told(single)
            if told:
                told(1)
        if not parts and n > 1 and len(set(failed.values())) == 1:
            raise SolspaceError(
                f"{record.name} fails for every network in the same way: {failed[0]}"
            ) from error
    return _assemble(record, ds, parts, failed)


def _told(error: Exception) -> str:
    text = str(error) if isinstance(error, SolspaceError) else f"{type(error).__name__}: {error}"
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 3] + "..."


def _assemble(
    record: Stage, ds: xr.Dataset, parts: list[xr.Dataset], failed: Mapping[int, str]
) -> xr.Dataset:
    """Results of the networks that did not fail, and the fill of those that did."""
    import xarray as xr

    n = ds.sizes.get("network", 0)
    if "network" not in ds.dims:
        return parts[0]
    good = [i for i in range(n) if i not in failed]
    out: dict[str, Any] = {}
    for variable in record.fills:
        name = variable.name
        found = [p[name] for p in parts if name in p.variables]
        if found and not failed and len(parts) == 1:
            out[name] = found[0]
            continue
        sizes = {**ds.sizes, **(dict(parts[0].sizes) if parts else {}), "network": n}
        if not set(variable.dims) <= set(sizes):
            continue
        values = np.full([sizes[d] for d in variable.dims], variable.fill, variable.dtype)
        if found:
            joined = np.concatenate([f.transpose(*variable.dims).values for f in found])
            values[good] = joined
        out[name] = (variable.dims, values)
    status = np.full(n, DONE, np.uint8)
    messages = [failed.get(i, "") for i in range(n)]
    status[list(failed)] = FAILED
    out[record.status.name] = ("network", status)
    out[record.message.name] = ("network", np.array(messages, dtype=f"U{MESSAGE_LENGTH}"))
    # A dim that only the result has brings its coordinate along.
    coords = {c: v for p in parts[:1] for c, v in p.coords.items() if c not in ds.variables}
    base = parts[0] if record.returns and parts else ds
    made = xr.Dataset(out, coords={k: v for k, v in coords.items() if "network" not in v.dims})
    result = base.assign(made.data_vars).assign_coords(made.coords)
    return annotate(result, [*record.fills, record.status, record.message])


class _NotAsDeclared(SolspaceError):
    """What a function returns is not what it declared: no fault of one network."""


def _check_reads(record: Stage, ds: xr.Dataset) -> None:
    for path in record.reads:
        group, _, variable = path.rpartition("/")
        if variable not in ds.variables and (group or variable not in ("population",)):
            if not group and variable in ("training", "extrapolation", "graph", "checkpoints"):
                continue  # a whole group: the function says what of it is missing
            raise SolspaceError(
                f"{record.name}: the dataset has no {variable!r}; give one with "
                f"{', '.join(p.rpartition('/')[2] for p in record.reads)}"
                + (f" (the group {group})" if group else "")
            )


def checked(record: Stage, ds: xr.Dataset, out: Any) -> Any:
    """A stage's result as it is, with attributes, where it is what was declared.

    Raises
    ------
    SolspaceError
        Where it fills what it did not declare, leaves out what it did, changes the length of
        ``network``, or has other dims or another dtype.
    """
    import xarray as xr

    if isinstance(out, xr.DataArray) and len(record.fills) == 1:
        out = ds.assign({record.fills[0].name: out})
    if not isinstance(out, xr.Dataset):
        raise _NotAsDeclared(
            f"{record.name} returned {type(out).__name__}; return the dataset it was given with "
            "its variables added, ds.assign(...)"
        )
    # Networks of one population are never dropped or added: a result belongs to each.
    had, has = ds.sizes.get("network"), out.sizes.get("network")
    if record.over == "network" and had != has:
        raise _NotAsDeclared(
            f"{record.name} was given {had} networks and returned {has}; return a value for each "
            "(NaN or -1 where there is none)"
        )
    declared = {v.name: v for v in record.fills}
    known = {*ds.variables, *declared, *(v.name for v in BASE), *out.dims}
    known |= {record.status.name, record.message.name}
    if record.origin:
        extra = [str(n) for n in out.data_vars if n not in known]
        if extra:
            raise _NotAsDeclared(
                f"{record.name} fills {extra[0]!r}, which it did not declare; add it to fills="
                f"[...] (declared: {', '.join(declared)})"
            )
        lost = [n for n, v in declared.items() if n not in out.variables and not v.optional]
        if lost:
            raise _NotAsDeclared(
                f"{record.name} declares {lost[0]!r} and did not fill it; return "
                f"ds.assign({lost[0]}=...)"
            )
    casts = {}
    for name, variable in declared.items():
        if name not in out.variables or (name in ds.variables and out[name].identical(ds[name])):
            continue
        found = out[name]
        if record.origin and set(map(str, found.dims)) == set(variable.dims):
            found = found.transpose(*variable.dims)
            if not variable.text and found.dtype != np.dtype(variable.dtype):
                if not np.can_cast(found.dtype, variable.dtype, "same_kind"):
                    raise _NotAsDeclared(
                        f"{record.name} fills {name!r} with {found.dtype}, declared is "
                        f"{variable.dtype}; cast it, or declare {found.dtype}"
                    )
                found = found.astype(variable.dtype)
            if found is not out[name]:
                casts[name] = found
    out = out.assign(casts) if casts else out
    wrong = faults(out, record.fills)
    if wrong:
        raise _NotAsDeclared(f"{record.name}: {'; '.join(wrong)}")
    _check_lengths(record, out, record.fills)
    return annotate(out, [*record.fills, record.status, record.message])


def _check_lengths(record: Stage, out: xr.Dataset, variables: Sequence[Variable]) -> None:
    for variable in variables:
        if not variable.text or variable.name not in out.variables:
            continue
        longest = max((len(str(s)) for s in out[variable.name].values.ravel()), default=0)
        most = np.dtype(variable.dtype).itemsize // 4
        if longest > most:
            raise _NotAsDeclared(
                f"{record.name}: {variable.name!r} holds a string of {longest} characters, "
                f"declared are at most {most}; shorten it, or declare U{longest}"
            )
