"""Stores on disk: lay, open, write a shard, status, provenance. The only file that knows Zarr.

A store is laid as an empty template first; after that only whole shards are written. A shard is
a block of consecutive networks, the same for every array of a population, and has one writer:
two writers inside one shard would corrupt it without a word.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.dtype import VariableLengthUTF8

from solspace import locks, schema
from solspace.errors import SolspaceError

__all__ = ["Population", "Shard", "Store", "open_population", "whole_or_nothing"]

_LAID = "solspace_laid"
_VERSION = "solspace_schema_version"

# Arrays this large get one network per inner chunk, so that one network can be read alone.
_INNER_CHUNK_BYTES = 1 << 16

# A packed store is written once and sent far: few files, as small as they get.
_PACKED = BloscCodec(cname="zstd", clevel=9, shuffle="shuffle")
_PACKED_CHUNK_BYTES = 1 << 24
_PACKED_SHARD = 16


class Shard(NamedTuple):
    """A block of consecutive networks ``start <= network < stop`` that is written at once."""

    start: int
    stop: int


@contextlib.contextmanager
def whole_or_nothing(path: str, verb: str) -> Iterator[Store]:
    """A new store to be filled, which is there under its name when it is whole and not before.

    Raises
    ------
    SolspaceError
        Where there is something of that name, or another process is writing it.
    """
    path = path.rstrip("/")
    if os.path.exists(path):
        raise SolspaceError(f"{path}: is there already; give the name of a store that is not")
    unfinished = f"{path}.unfinished"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with locks.hold(path, verb):
        if os.path.exists(unfinished):  # of one that was killed
            shutil.rmtree(unfinished)
        try:
            store = Store(unfinished, create=True)
            yield store
            store.consolidate()
            os.rename(unfinished, path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


class Store:
    """A store on disk.

    Parameters
    ----------
    path : str
        A folder.
    create : bool
        Make the store where there is none.

    Raises
    ------
    SolspaceError
        Where there is no store, or one of another schema version.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp() + "/small.zarr", create=True)
    >>> store.populations()
    []
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        self.path = os.fspath(path)
        if not os.path.exists(self.path) and not create:
            raise SolspaceError(
                f"{self.path}: no such store; make one with `solspace train {self.path} ...` "
                f"or `solspace import {self.path} ...`"
            )
        if not os.path.exists(self.path) or (create and _is_empty(self.path)):
            _make(self.path)
        try:
            root = self._root()
        except Exception:
            raise SolspaceError(
                f"{self.path}: exists and is no solspace store (no Zarr group there); "
                "give another path"
            ) from None
        version = root.attrs.get(_VERSION)
        if version != schema.SCHEMA_VERSION:
            found = f"schema version {version}" if version is not None else "no schema version"
            raise SolspaceError(
                f"{self.path}: has {found}, this solspace reads version "
                f"{schema.SCHEMA_VERSION}; open it with the solspace that wrote it, or give "
                "another path"
            )

    def _root(self, mode: str = "r") -> zarr.Group:
        return zarr.open_group(self.path, mode=mode, use_consolidated=False)

    def populations(
        self, task: str | None = None, architecture: str | None = None
    ) -> list[Population]:
        """Populations in the store, of one task or architecture where given, sorted by name."""
        found = []
        for task_name, task_group in sorted(self._root().groups()):
            for architecture_name, group in sorted(task_group.groups()):
                if (
                    group.attrs.get(_LAID)
                    and task in (None, task_name)
                    and architecture in (None, architecture_name)
                ):
                    found.append(Population(self.path, task_name, architecture_name))
        return found

    def select(self, task: str | None = None, architecture: str | None = None) -> list[Population]:
        """As `populations`, where there has to be one.

        Raises
        ------
        SolspaceError
            Where there is none; the message names those there are.
        """
        found = self.populations(task, architecture)
        if found:
            return found
        wanted = "/".join(x for x in (task, architecture) if x) or "any task"
        there = ", ".join(map(str, self.populations())) or "none"
        raise SolspaceError(
            f"{self.path}: has no networks of {wanted} (populations: {there}); make some with "
            f"`solspace train {self.path} --task T --architecture A` or "
            f"`solspace import {self.path} ...`"
        )

    def lay_population(
        self, ds: xr.Dataset, *, shard_size: int, task: str, architecture: str
    ) -> Population:
        """Lay the template of a population from a dataset that has its coordinates and attrs."""
        population = Population(self.path, task, architecture)
        with locks.briefly(self.path):
            population._lay("population", ds, {}, shard_size, {})
        return population

    @contextlib.contextmanager
    def lock(self, verb: str, *, shared: bool = False) -> Iterator[None]:
        """Hold the store for writing; another process that asks meanwhile gets an error.

        Shared by processes that write slices, each of which claims its own.
        """
        with locks.hold(self.path, verb, shared=shared):
            yield

    def consolidate(self) -> None:
        """Gather the metadata, so that opening the store reads one file for each group."""
        with locks.briefly(self.path), warnings.catch_warnings():
            paths = ["", *(path for path, _ in _subgroups(self._root("r+")))]
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not")
            for path in reversed(paths):
                zarr.consolidate_metadata(self.path, path=path or None, zarr_format=3)


@dataclass(frozen=True)
class Population:
    """All networks of one architecture trained on one task, in one store.

    Opened anew for each read or write, so it can be sent to another process.
    """

    path: str
    task: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.task}/{self.architecture}"

    # ------------------------------------------------------------------ where things are

    def _group_path(self, group: str) -> str:
        base = f"{self.task}/{self.architecture}"
        return base if group == "population" else f"{base}/{group}"

    def _zarr(self, group: str = "population", mode: str = "r") -> zarr.Group:
        return zarr.open_group(
            self.path,
            path=self._group_path(group),
            mode=mode,
            use_consolidated=False,
        )

    def has(self, group: str) -> bool:
        """Whether a group has been laid."""
        try:
            return bool(self._zarr(group).attrs.get(_LAID))
        except (FileNotFoundError, KeyError):
            return False

    @property
    def attrs(self) -> dict[str, Any]:
        return dict(self._zarr().attrs)

    @property
    def networks(self) -> int:
        return int(self._zarr()["network"].shape[0])

    @property
    def shard_size(self) -> int:
        return int(self._zarr().attrs["shard_size"])

    def shards(self) -> list[Shard]:
        """The blocks of networks that are written at once, in order."""
        size, n = self.shard_size, self.networks
        return [Shard(start, min(start + size, n)) for start in range(0, n, size)]

    # ------------------------------------------------------------------ reading

    def open(self, group: str = "population") -> xr.Dataset:
        """A group as a lazily read dataset.

        Raises
        ------
        SolspaceError
            Where the group is not there yet; the message names the stage to run.
        """
        if not self.has(group):
            stage = schema.stage_of(group)
            raise SolspaceError(
                f"{self.path}: {self} has no {group} group yet; type `solspace {stage} "
                f"{self.path} --task {self.task} --architecture {self.architecture}`"
            )
        return xr.open_zarr(
            self.path, group=self._group_path(group), consolidated=False, chunks=None
        )

    def read(self, group: str, shard: Shard, names: Sequence[str] | None = None) -> xr.Dataset:
        """One shard of a group in memory, with coordinates and trial variables."""
        ds = self.open(group)
        if names is not None:
            ds = ds[list(names)]
        return ds.isel(network=slice(shard.start, shard.stop)).load()

    def status(self, stage: str) -> NDArray[np.uint8]:
        """Progress of a stage, a value for each network (see `solspace.schema`)."""
        group = self._zarr()
        if f"status_{stage}" not in group:  # laid before there was such a stage
            return np.full(self.networks, schema.PENDING, np.uint8)
        return np.asarray(group[f"status_{stage}"][:], dtype=np.uint8)

    def pending(self, stage: str) -> list[Shard]:
        """Shards with a network for which the stage has not ended."""
        status = self.status(stage)
        return [s for s in self.shards() if (status[s.start : s.stop] == schema.PENDING).any()]

    # ------------------------------------------------------------------ copying

    def pack_into(self, store: Store, leave_out: Sequence[str]) -> Population:
        """Copy this population into another store, compressed, without some of its groups.

        The stages that fill those are pending in the copy. What `train` wrote is never written
        again and lies in few large files; the rest in shards, for the stages to come. Of files
        named in the commands of the provenance only the last part of the path is kept.

        Parameters
        ----------
        store : Store
            Without this population.
        leave_out : sequence of str
            Names of groups.
        """
        copy = Population(store.path, self.task, self.architecture)
        shard_size = min(max(self.shard_size, _PACKED_SHARD), max(self.networks, 1))
        root = store._root("r+")
        groups = [g for g in schema.GROUPS if self.has(g) and g not in leave_out]
        for group in groups:
            source = self._zarr(group)
            target = root.require_group(copy._group_path(group))
            declared = schema.variables(group)
            for name, array in source.arrays():
                known = declared.get(name)
                once = known is not None and (known.coordinate or known.stage == "train")
                _copy_packed(array, target, 0 if once else shard_size)
            attrs = {**source.attrs, "shard_size": shard_size}
            if "provenance" in attrs:
                attrs["provenance"] = _without_folders(str(attrs["provenance"]))
            target.attrs.update(attrs)
        for group in leave_out:
            stage = schema.stage_of(group)
            own = copy._zarr(mode="r+")
            if f"status_{stage}" in own:
                own[f"status_{stage}"][:] = schema.PENDING
                own[f"message_{stage}"][:] = np.full(self.networks, "", dtype=object)
        return copy

    # ------------------------------------------------------------------ writing

    def briefly(self) -> AbstractContextManager[None]:
        """Wait for a moment alone with what all writers of the store share."""
        return locks.briefly(self.path)

    def claim(self, stage: str, shards: Sequence[Shard], verb: str) -> AbstractContextManager[None]:
        """Claim consecutive shards for one stage, where the store's lock is shared.

        Raises
        ------
        SolspaceError
            Where another process has claimed one of them.
        """
        start, stop = (shards[0].start, shards[-1].stop) if shards else (0, 0)
        return locks.claim(self.path, self._claims(stage), start, stop, verb)

    def claimed(self, stage: str) -> int:
        """How many processes write slices of this stage."""
        return locks.claimed(self.path, self._claims(stage))

    def _claims(self, stage: str) -> str:
        return f"{self.task}.{self.architecture}.{stage}"

    def lay(
        self,
        group: str,
        ds: xr.Dataset,
        sizes: Mapping[str, int],
        attrs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Lay a group's template: coordinates and trials written, the rest left at its fill.

        Parameters
        ----------
        group : str
        ds : Dataset
            Coordinates and trial variables, and the group's attrs.
        sizes : mapping of str to int
            Lengths of further dims, of what is filled later.
        attrs : mapping of variable to attributes, optional
            For variables that are filled later.
        """
        with self.briefly():
            self._lay(group, ds, sizes, self.shard_size, attrs or {})

    def _lay(
        self,
        group: str,
        ds: xr.Dataset,
        extra_sizes: Mapping[str, int],
        shard_size: int,
        extra_attrs: Mapping[str, Mapping[str, Any]],
        suffix: str = "",
    ) -> None:
        if self.has(group) and not suffix:
            return
        root = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        path = self._group_path(group) + suffix
        # A group without the mark was being laid when its writer was killed.
        if path in root:
            del root[path]
        target = root.require_group(path)
        sizes = {str(dim): int(size) for dim, size in ds.sizes.items()} | dict(extra_sizes)
        for name, variable in schema.variables(group, self.architecture).items():
            if set(variable.dims) <= set(sizes) and not variable.optional:
                _create(target, variable, sizes, shard_size)
                if name in ds.variables:
                    _fill(target[name], ds[name])
        for extra in map(str, ds.variables):
            if extra not in target:
                _create(target, _undeclared(ds[extra], group), sizes, shard_size)
                _fill(target[extra], ds[extra])
        for name, values in extra_attrs.items():
            target[name].attrs.update(values)
        coordinates = [str(n) for n in ds.coords if n not in ds.dims and n in target]
        target.attrs.update(
            {
                **ds.attrs,
                **({"coordinates": " ".join(coordinates)} if coordinates else {}),
                "shard_size": shard_size,
            }
        )
        target.attrs[_LAID] = True

    def replace(self, group: str, ds: xr.Dataset) -> None:
        """Write a whole group at once, in place of the one there, which stays until that is done.

        For results that are made over all networks together, such as a classification.
        """
        final = os.path.join(self.path, *self._group_path(group).split("/"))
        unfinished, old = f"{final}.unfinished", f"{final}.old"
        for leftover in (unfinished, old):
            shutil.rmtree(leftover, ignore_errors=True)
        self._lay(group, ds, {}, self.shard_size, {}, suffix=".unfinished")
        if os.path.exists(final):
            os.rename(final, old)
        os.rename(unfinished, final)
        shutil.rmtree(old, ignore_errors=True)

    def add_variables(
        self, ds: xr.Dataset, names: Sequence[str], group: str = "population"
    ) -> None:
        """Lay further declared variables of a group, such as ``features`` of the population's."""
        target = self._zarr(group, "r+")
        sizes = {"network": self.networks} | {str(d): int(s) for d, s in ds.sizes.items()}
        for name in names:
            if name in target:
                continue
            declared = schema.variables(group, self.architecture).get(name)
            _create(target, declared or _undeclared(ds[name], group), sizes, self.shard_size)
            if name in ds.variables:
                _fill(target[name], ds[name])
            if declared and declared.coordinate and name not in sizes:
                there = str(target.attrs.get("coordinates", "")).split()
                target.attrs["coordinates"] = " ".join(dict.fromkeys([*there, name]))

    def remove(self, group: str) -> None:
        """Take away a group, to lay it anew."""
        root = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        del root[self._group_path(group)]

    def outdated(self, ds: xr.Dataset) -> list[str]:
        """Dims of the population whose stored coordinate is another than the dataset's."""
        group = self._zarr()
        return [
            str(dim)
            for dim in ds.dims
            if dim in group and np.asarray(group[dim][:]).tolist() != ds[dim].values.tolist()
        ]

    def remove_dims(self, dims: Sequence[str]) -> None:
        """Take away every variable of the population group that has one of these dims."""
        group = self._zarr(mode="r+")
        for name, array in list(group.arrays()):
            if set(dims) & set(array.metadata.dimension_names or ()):
                del group[name]

    def write_shard(
        self, shard: Shard, stage: str, data: Mapping[str, Mapping[str, xr.DataArray]]
    ) -> None:
        """Write one shard of a stage's variables, and then its status.

        Parameters
        ----------
        shard : Shard
            One of `shards`; anything smaller is refused.
        stage : str
        data : mapping of group name to mapping of variable name to DataArray
            Variables with a network axis of the shard's length. Those of the population hold
            ``status_<stage>`` and ``message_<stage>``.

        Raises
        ------
        SolspaceError
            Where the block is not a whole shard.
        ValueError
            Where a variable is not declared or has another shape than its array.
        """
        size, n = self.shard_size, self.networks
        if shard.start not in range(0, n, size) or shard.stop != min(shard.start + size, n):
            raise SolspaceError(
                f"networks {shard[0]}..{shard[1] - 1} are not one shard of {self} "
                f"(shards of {size} networks from 0); two writers in one shard "
                "corrupt it, so write whole shards, see Population.shards()"
            )
        status, message = f"status_{stage}", f"message_{stage}"
        for group, arrays in data.items():
            target = self._zarr(group, "r+")
            for name, array in arrays.items():
                if group != "population" or name not in (status, message):
                    _write(target, name, array, shard)
        target = self._zarr("population", "r+")
        # The status last: only what is whole is called done.
        for name in (message, status):
            _write(target, name, data["population"][name], shard)

    def write_all(self, name: str, values: NDArray[Any], group: str = "population") -> None:
        """Write one small variable for all networks at once.

        For the one process that finishes a stage, when no worker writes any more.
        """
        array = self._zarr(group, mode="r+")[name]
        array[:] = values

    def last_options(self, stage: str) -> dict[str, Any] | None:
        """The options a stage was last run with; None where it was not run."""
        entries = json.loads(str(self.attrs.get("provenance", "[]")))
        found = [entry["options"] for entry in entries if entry["stage"] == stage]
        return dict(found[-1]) if found else None

    @contextlib.contextmanager
    def provenance(
        self,
        stage: str,
        options: Mapping[str, Any] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Iterator[None]:
        """Note in the population's attrs what was run, on what, and when it began and ended."""
        entry: dict[str, Any] = {
            "stage": stage,
            "options": dict(options or {}),
            "where": dict(where or {}),
            "command": shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
            "versions": _versions(),
            "machine": platform.machine(),
            # Slices may begin in one second by one command: this tells their entries apart.
            "run": uuid.uuid4().hex[:12],
            "started": _now(),
        }
        self._note(entry)
        began = time.monotonic()
        yield
        entry |= {"finished": _now(), "seconds": round(time.monotonic() - began, 1)}
        self._note(entry)

    def _note(self, entry: Mapping[str, Any]) -> None:
        """Add an entry to the provenance, or renew it."""
        with self.briefly():
            group = self._zarr(mode="r+")
            entries = json.loads(str(group.attrs.get("provenance", "[]")))
            at = [i for i, other in enumerate(entries) if other.get("run") == entry["run"]]
            where = at[0] if at else len(entries)
            entries[where : where + 1] = [entry]
            group.attrs["provenance"] = json.dumps(entries)


def open_population(
    path: str | os.PathLike[str], task: str, architecture: str, group: str = "population"
) -> xr.Dataset:
    """A group of a store as a lazily read dataset, with errors that say what to run.

    ``xarray.open_zarr(path, group="task/architecture")`` reads the same.

    Examples
    --------
    >>> open_population("nowhere.zarr", "interval_reproduction", "vanilla")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; ...
    """
    found = Store(path).populations(task, architecture)
    if not found:
        raise SolspaceError(
            f"{os.fspath(path)}: no population {task}/{architecture}; populations: "
            f"{', '.join(map(str, Store(path).populations())) or 'none'}"
        )
    return found[0].open(group)


# --------------------------------------------------------------------------- arrays


def _create(
    group: zarr.Group, variable: schema.Variable, sizes: Mapping[str, int], shard_size: int
) -> None:
    shape = tuple(sizes[d] for d in variable.dims)
    chunks = tuple(max(size, 1) for size in shape)
    shards = None
    string = variable.dtype == "string"
    # Coordinates are written once, when the group is laid, and read whole by every opening.
    if variable.dims[:1] == ("network",) and shape[0] and not variable.coordinate:
        block = (min(shard_size, shape[0]), *chunks[1:])
        chunks = block
        if not string:
            per_network = int(np.prod(block[1:])) * np.dtype(variable.dtype).itemsize
            if per_network >= _INNER_CHUNK_BYTES and block[0] > 1:
                # One shard is one file and has one writer; one network can be read alone.
                shards, chunks = block, (1, *block[1:])
    group.create_array(
        variable.name,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=VariableLengthUTF8() if string else variable.dtype,
        fill_value=variable.fill,
        dimension_names=variable.dims,
        attributes=variable.attributes(),
    )


def _without_folders(provenance: str) -> str:
    """Provenance with commands that do not say where on a machine files were."""
    entries = json.loads(provenance)
    for entry in entries:
        words = shlex.split(entry.get("command", ""))
        entry["command"] = shlex.join(
            os.path.basename(word.rstrip("/")) if os.path.isabs(word) else word for word in words
        )
    return json.dumps(entries)


def _copy_packed(array: Any, group: zarr.Group, shard_size: int) -> None:
    """Copy an array, in chunks of so many networks; 0 for as many as make a large file."""
    by_network = array.metadata.dimension_names[:1] == ("network",)
    string = isinstance(array.metadata.data_type, VariableLengthUTF8)
    first, rest = array.shape[0] if array.shape else 1, array.shape[1:]
    block = max(first, 1)
    if by_network and shard_size:
        block = min(block, shard_size)
    elif by_network and not string:
        row = max(int(np.prod(rest)) * array.dtype.itemsize, 1)
        block = min(block, max(1, _PACKED_CHUNK_BYTES // row))
    target = group.create_array(
        array.basename,
        shape=array.shape,
        chunks=tuple(max(size, 1) for size in (block, *rest)) if array.shape else (),
        dtype=VariableLengthUTF8() if string else array.dtype,
        fill_value=array.metadata.fill_value,
        dimension_names=array.metadata.dimension_names,
        attributes=dict(array.attrs),
        compressors=ZstdCodec(level=19) if string else _PACKED,
    )
    for start in range(0, first, block):
        target[start : start + block] = array[start : start + block]


def _undeclared(array: xr.DataArray, group: str) -> schema.Variable:
    """A variable of the task's own, such as a trial parameter."""
    string = array.dtype.kind in "OTU"
    return schema.Variable(
        name=str(array.name),
        group=group,
        dims=tuple(map(str, array.dims)),
        dtype="string" if string else str(array.dtype),
        fill="" if string else array.dtype.type(0),
        meaning=str(array.attrs.get("long_name", array.name)),
        attrs=array.attrs,
    )


def _fill(target: Any, array: xr.DataArray) -> None:
    values = np.asarray(array.values)
    target[...] = values.astype(object) if values.dtype.kind in "OTU" else values
    if array.attrs:
        target.attrs.update(array.attrs)


def _write(group: zarr.Group, name: str, array: xr.DataArray, shard: Shard) -> None:
    if name not in group:
        raise ValueError(f"variable {name!r} is not laid in group {group.path!r}")
    target: Any = group[name]
    expected = (shard.stop - shard.start, *target.shape[1:])
    if array.shape != expected:
        raise ValueError(f"{name!r} has shape {array.shape}, expected {expected}")
    values = np.asarray(array.values)
    if values.dtype.kind in "OTU":
        target[shard.start : shard.stop] = values.astype(object)
    else:
        target[shard.start : shard.stop] = values.astype(target.dtype, casting="same_kind")


def _subgroups(group: zarr.Group, prefix: str = "") -> Iterator[tuple[str, zarr.Group]]:
    for name, child in group.groups():
        yield prefix + name, child
        yield from _subgroups(child, f"{prefix}{name}/")


# --------------------------------------------------------------------------- making, provenance


def _is_empty(path: str) -> bool:
    return os.path.isdir(path) and not os.listdir(path)


def _make(path: str) -> None:
    """An empty store, whole from the first moment: several processes may make it at once."""
    path = path.rstrip("/")
    unfinished = f"{path}.{uuid.uuid4().hex[:8]}.unfinished"
    attributes = {_VERSION: schema.SCHEMA_VERSION}
    zarr.create_group(unfinished, zarr_format=3, attributes=attributes)
    try:
        os.rename(unfinished, path)
    except OSError:
        shutil.rmtree(unfinished)
        if not os.path.exists(path):
            raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    out = {"python": platform.python_version()}
    for package in ("solspace", "numpy", "numba", "torch", "xarray", "zarr"):
        with contextlib.suppress(PackageNotFoundError):
            out[package] = version(package)
    return out
