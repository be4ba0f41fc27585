"""Run a stage's function on networks in memory: note what fails, refuse what was not declared."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.describe import architecture_of
from solspace.population.variables import (
    BASE,
    DONE,
    FAILED,
    MESSAGE_LENGTH,
    annotate,
    faults,
)
from solspace.stages.record import Stage

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["check_weights", "checked", "compute", "is_lazy"]


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


def check_weights(record: Stage, ds: xr.Dataset) -> None:
    """Refuse a dataset without weights where a stage of the package runs networks.

    Without this each network would fail by itself, and a warning would be all that is said.
    """
    if record.plain or record.over != "network" or "population" not in record.reads:
        return
    architecture = architecture_of(ds, required=False)
    if not record.after or not architecture:  # training makes them
        return
    missing = [n for n in kind_of(architecture).weights if n not in ds.variables]
    if missing:
        raise SolspaceError(
            f"{record.name}: the dataset has no {missing[0]!r}; give the population itself (in a "
            "store the group TASK/ARCHITECTURE), not its activity or graphs"
        )


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
    if record.plain:
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
    for name, variable in declared.items() if record.plain else ():
        if name not in out.variables:
            continue
        found = out[name]
        if set(map(str, found.dims)) == set(variable.dims):
            found = found.transpose(*variable.dims)
            if not variable.text and found.dtype != np.dtype(variable.dtype):
                if not np.can_cast(found.dtype, variable.dtype, "same_kind"):
                    raise _NotAsDeclared(
                        f"{record.name} fills {name!r} with {found.dtype}, declared is "
                        f"{variable.dtype}; cast it, or declare {found.dtype}"
                    )
                found = found.astype(variable.dtype)
            casts[name] = found
    out = out.assign(casts) if casts else out
    filled = record.filled(architecture_of(ds, required=False) or None)
    wrong = faults(out, filled)
    if wrong:
        raise _NotAsDeclared(f"{record.name}: {'; '.join(wrong)}")
    return annotate(out, [*filled, record.status, record.message])
