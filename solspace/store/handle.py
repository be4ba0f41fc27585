"""Stores on disk: create, open, write a shard, status, provenance.

A store is created as an empty template first; after that only whole shards are written, each by
one writer, and its status after its data.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.population.variables import (
    BASE,
    LABELS,
    PENDING,
    Variable,
    message_variable,
    status_variable,
)
from solspace.store import locks
from solspace.store.layout import (
    WHOLE,
    chunk_size,
    create_array,
    fill_array,
    mend_relayout,
    network_bytes,
    quiet,
    relayout,
    shard_of,
    undeclared,
    write_part,
)

__all__ = ["SCHEMA_VERSION", "Population", "Shard", "Store", "open_population", "whole_or_nothing"]

SCHEMA_VERSION = 2

CREATED = "solspace_created"
VERSION = "solspace_schema_version"
# Marks a store that is not whole yet, so that it can be told from a folder of the user's.
UNFINISHED = "solspace_unfinished"


class Shard(NamedTuple):
    """A block of consecutive networks ``start <= network < stop`` that is written at once."""

    start: int
    stop: int


@contextlib.contextmanager
def whole_or_nothing(path: str, verb: str, *, force: bool = False) -> Iterator[Store]:
    """A new store to be filled, which is there under its name when it is whole and not before.

    Filled as ``PATH.unfinished``; one that was killed is taken away.

    Parameters
    ----------
    path : str
    verb : str
        Named to another process that wants to write meanwhile.
    force : bool
        Take ``PATH.unfinished`` away also where it was not made here.

    Raises
    ------
    SolspaceError
        Where there is something of that name, or another process is writing it.
    """
    path = path.rstrip("/")
    if os.path.lexists(path):
        raise SolspaceError(f"{path}: is there already; give the name of a store that is not")
    unfinished = f"{path}.unfinished"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with locks.hold(path, verb):
        if os.path.lexists(unfinished):
            if not (force or _is_unfinished(unfinished)):
                raise SolspaceError(
                    f"{unfinished}: is there already and was not left by `solspace {verb}`, which "
                    "would write it; move it, give another name than "
                    f"{path}, or --force to delete it"
                )
            if os.path.isdir(unfinished) and not os.path.islink(unfinished):
                shutil.rmtree(unfinished)
            else:
                os.unlink(unfinished)
        try:
            _make(unfinished, {UNFINISHED: verb})
            store = Store(unfinished)
            yield store
            store.consolidate()
            # With the consolidated copy, which is kept.
            with quiet():
                del zarr.open_group(unfinished, mode="r+").attrs[UNFINISHED]
            locks.check_held(path)
            os.rename(unfinished, path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _is_unfinished(path: str) -> bool:
    """Whether this is a store that `whole_or_nothing` was filling when it was killed."""
    if os.path.islink(path):
        return False
    try:
        group = zarr.open_group(path, mode="r", use_consolidated=False)
    except Exception:
        return False
    return UNFINISHED in group.attrs


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
        _check_version(self.path, root.attrs.get(VERSION))

    def _root(self, mode: str = "r") -> zarr.Group:
        return zarr.open_group(self.path, mode=mode, use_consolidated=False)

    def populations(
        self, task: str | None = None, architecture: str | None = None
    ) -> list[Population]:
        """Populations in the store, of one task or architecture where given, sorted by name."""
        members = self._root().members(max_depth=1, use_consolidated_for_children=False)
        found = []
        for path, member in sorted(members, key=lambda pair: tuple(pair[0].split("/"))):
            if "/" not in path or not isinstance(member, zarr.Group):
                continue
            task_name, architecture_name = path.split("/")
            if (
                member.attrs.get(CREATED)
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

    def create_population(
        self,
        ds: xr.Dataset,
        variables: Iterable[Variable],
        sizes: Mapping[str, int],
        *,
        shard_size: int,
    ) -> Population:
        """Create a population from a dataset that has its coordinates and attrs.

        Parameters
        ----------
        ds : Dataset
        variables : iterable of Variable
            Those its group will have, at their fill where the dataset has none.
        sizes : mapping of str to int
            Lengths of dims that the dataset does not have.
        shard_size : int
        """
        population = Population(self.path, str(ds["task"].item()), str(ds["architecture"].item()))
        with locks.briefly(self.path):
            population._create("population", variables, ds, sizes, shard_size)
        return population

    @contextlib.contextmanager
    def lock(self, verb: str, *, shared: bool = False) -> Iterator[None]:
        """Hold the store for writing; another process that asks meanwhile gets an error.

        Shared by processes that write slices, each of which claims its own.
        """
        with locks.hold(self.path, verb, shared=shared):
            # Also where others hold the store: what one of them has under way is done in such a
            # moment alone, so what is half done here is of a process that was killed.
            with locks.briefly(self.path):
                mend_relayout(self.path)
                for population in self.populations():
                    population.mend()
            gathered = _has_consolidated(self.path)
            try:
                yield
            finally:
                # Also after an error; not where the disk is full or the lock was lost.
                if gathered:
                    with contextlib.suppress(OSError, SolspaceError):
                        locks.check_held(self.path)
                        self.consolidate()

    def consolidate(self) -> None:
        """Gather the metadata at the root, so that opening the store reads one file.

        Every change of metadata takes this copy away again, so where it is there it is true.
        """
        with locks.briefly(self.path), quiet():
            # One that another program put into a group below hides what comes later there.
            nested = [path for path in self._groups() if _forget_consolidated(self.path, path)]
            if nested or not _has_consolidated(self.path):
                zarr.consolidate_metadata(self.path, zarr_format=3)

    def _groups(self) -> Iterator[str]:
        """Paths of all groups below the root."""
        for population in self.populations():
            yield from (population.task, *map(population.group_path, population.groups()))


def _check_version(path: str, version: Any) -> None:
    if version == SCHEMA_VERSION:
        return
    if version == 1:
        raise SolspaceError(
            f"{path}: has schema version 1, this solspace reads version {SCHEMA_VERSION}; type "
            f"`solspace migrate {path} NEW` to make a store of this version from it"
        )
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise SolspaceError(
            f"{path}: has schema version {version}, this solspace reads version "
            f"{SCHEMA_VERSION}; open it with a newer solspace (pip install --upgrade solspace)"
        )
    found = f"schema version {version}" if version is not None else "no schema version"
    raise SolspaceError(
        f"{path}: has {found}, this solspace reads version {SCHEMA_VERSION}; open it with what "
        "wrote it, or give another path"
    )


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

    def group_path(self, group: str) -> str:
        """Path of a group inside the store."""
        base = f"{self.task}/{self.architecture}"
        return base if group == "population" else f"{base}/{group}"

    def zarr_group(self, group: str = "population", mode: str = "r") -> zarr.Group:
        """A group as Zarr sees it."""
        return zarr.open_group(
            self.path,
            path=self.group_path(group),
            mode=mode,
            use_consolidated=False,
        )

    def has(self, group: str) -> bool:
        """Whether a group has been created."""
        try:
            return bool(self.zarr_group(group).attrs.get(CREATED))
        except (FileNotFoundError, KeyError):
            return False

    def groups(self) -> list[str]:
        """Groups that there are, the population's own first."""
        own = self.zarr_group()
        found = [name for name, group in own.groups() if group.attrs.get(CREATED)]
        return ["population", *sorted(found)]

    @property
    def attrs(self) -> dict[str, Any]:
        return dict(self.zarr_group().attrs)

    @property
    def networks(self) -> int:
        return int(self.zarr_group()["network"].shape[0])

    @property
    def shard_size(self) -> int:
        return int(self.zarr_group().attrs["shard_size"])

    def shards(self) -> list[Shard]:
        """The blocks of networks that are written at once, in order."""
        size, n = self.shard_size, self.networks
        return [Shard(start, min(start + size, n)) for start in range(0, n, size)]

    # ------------------------------------------------------------------ reading

    def open(self, group: str = "population", stage: str = "run") -> xr.Dataset:
        """A group as a lazily read dataset.

        Parameters
        ----------
        group : str
        stage : str
            Named where the group is not there yet.

        Raises
        ------
        SolspaceError
            Where the group is not there yet; the message names the stage to run.
        """
        if not self.has(group):
            if self.put_aside(group):
                raise SolspaceError(f"{self.path}: {self.told_aside(group, stage)}")
            raise SolspaceError(
                f"{self.path}: {self} has no {group} group yet; type `solspace {stage} "
                f"{self.path} --task {self.task} --architecture {self.architecture}`"
            )
        return xr.open_zarr(
            self.path, group=self.group_path(group), consolidated=False, chunks=None
        )

    def read(
        self, group: str, shard: Shard, names: Sequence[str] | None = None, stage: str = "run"
    ) -> xr.Dataset:
        """One shard of a group in memory, with coordinates and trial variables."""
        ds = self.open(group, stage)
        if names is not None:
            ds = ds[list(names)]
        return ds.isel(network=slice(shard.start, shard.stop)).load()

    def status(self, stage: str) -> NDArray[np.uint8]:
        """Progress of a stage, a value for each network."""
        group = self.zarr_group()
        name = status_variable(stage).name
        if name not in group:  # created before there was such a stage
            return np.full(self.networks, PENDING, np.uint8)
        array = group[name]
        assert isinstance(array, zarr.Array)
        return np.asarray(array[:], dtype=np.uint8)

    def pending(self, stage: str) -> list[Shard]:
        """Shards with a network for which the stage has not ended."""
        status = self.status(stage)
        return [s for s in self.shards() if (status[s.start : s.stop] == PENDING).any()]

    # ------------------------------------------------------------------ writing

    def _changes(self) -> None:
        """Called before metadata change, so that no reader is shown an older copy of them."""
        locks.check_held(self.path)
        for path in ("", self.task, self.group_path("population")):
            _forget_consolidated(self.path, path)

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

    def create(
        self,
        group: str,
        variables: Iterable[Variable],
        ds: xr.Dataset,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Create a group: coordinates and trials written, the rest left at its fill.

        Parameters
        ----------
        group : str
        variables : iterable of Variable
            Those it will have.
        ds : Dataset
            Its coordinates and trial variables, and its attrs.
        sizes : mapping of str to int, optional
            Lengths of further dims, of what is filled later.
        """
        with self.briefly():
            self._create(group, variables, ds, sizes or {}, self.shard_size)

    def _create(
        self,
        group: str,
        variables: Iterable[Variable],
        ds: xr.Dataset,
        extra_sizes: Mapping[str, int],
        shard_size: int,
        *,
        whole: bool = False,
        suffix: str = "",
    ) -> None:
        if self.has(group) and not suffix:
            return
        self._changes()
        root = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        path = self.group_path(group) + suffix
        # A group without the mark was being created when its writer was killed.
        if path in root:
            del root[path]
        with quiet():
            target = root.require_group(path)
        sizes = {str(dim): int(size) for dim, size in ds.sizes.items()} | dict(extra_sizes)
        # A whole group has what the dataset has; others wait for what is declared too.
        here = {v.name: v for v in (*BASE, *variables)}
        here = {
            name: v
            for name, v in here.items()
            if (name in ds.variables)
            or (not whole and set(v.dims) <= set(sizes) and not _elsewhere(v, ds))
        }
        own = [undeclared(ds[n], group) for n in map(str, ds.variables) if n not in here]
        everything = [*here.values(), *own]
        n = sizes.get("network", 1)
        chunk = n if whole else chunk_size(shard_size, network_bytes(everything, sizes))
        for variable in everything:
            array = create_array(
                target,
                _by_shard(variable) if group == "population" else variable,
                sizes,
                shard_size=WHOLE if whole else shard_size,
                chunk=max(chunk, 1),
            )
            if variable.name in ds.variables:
                fill_array(array, ds[variable.name])
        coordinates = [
            v.name
            for v in everything
            if v.dims != (v.name,) and (v.name in ds.coords or v in LABELS)
        ]
        target.attrs.update(
            {
                **{k: v for k, v in ds.attrs.items() if k not in ("coordinates",)},
                "coordinates": " ".join(coordinates),
                "shard_size": int(shard_size),
                "chunk_size": int(max(chunk, 1)),
            }
        )
        target.attrs[CREATED] = 1

    def replace(self, group: str, variables: Iterable[Variable], ds: xr.Dataset) -> None:
        """Write a whole group at once, in place of the one there, which stays until that is done.

        For results that are made over all networks together, such as a classification.
        """
        with self.briefly():
            self._mend_group(group)
            final = self._folder(group)
            unfinished, old = f"{final}.unfinished", f"{final}.old"
            self._create(
                group, variables, ds, {}, self.shard_size, whole=True, suffix=".unfinished"
            )
            self._changes()
            if os.path.exists(final):
                os.rename(final, old)
            os.rename(unfinished, final)
            shutil.rmtree(old, ignore_errors=True)

    def _folder(self, group: str) -> str:
        return os.path.join(self.path, *self.group_path(group).split("/"))

    def aside(self) -> list[str]:
        """Groups that a killed `replace` left under another name only."""
        own = self._folder("population")
        found = [n.removesuffix(".old") for n in os.listdir(own) if n.endswith(".old")]
        return sorted(group for group in found if self.put_aside(group))

    def put_aside(self, group: str) -> bool:
        """Whether a killed `replace` left the group under another name only.

        It is there again when anything is written to the store next.
        """
        final = self._folder(group)
        return os.path.isdir(f"{final}.old") and not os.path.exists(final)

    def told_aside(self, group: str, verb: str = "run") -> str:
        """What a user can do about a group that is put aside."""
        return (
            f"{self}: writing the {group} group anew was interrupted, and the one before is put "
            f"aside as {self._folder(group)}.old; anything that writes to the store brings it "
            f"back, such as `solspace {verb} {self.path}`"
        )

    def mend(self) -> None:
        """Undo what a killed `replace` left half done; no other process writes at this moment."""
        own = self._folder("population")
        for name in os.listdir(own):
            stem, dot, suffix = name.rpartition(".")
            if dot and suffix in ("old", "unfinished"):
                self._mend_group(stem)

    def _mend_group(self, group: str) -> None:
        final = self._folder(group)
        unfinished, old = f"{final}.unfinished", f"{final}.old"
        if os.path.exists(unfinished) or os.path.exists(old):
            self._changes()
            if self.put_aside(group):
                os.rename(old, final)
            for leftover in (unfinished, old):
                shutil.rmtree(leftover, ignore_errors=True)

    def add_variables(
        self,
        variables: Iterable[Variable],
        ds: xr.Dataset,
        sizes: Mapping[str, int] | None = None,
        group: str = "population",
    ) -> None:
        """Create further variables of a group, such as ``features`` of the population's."""
        target = self.zarr_group(group, "r+")
        here = {
            d: int(s)
            for _, array in target.arrays()
            for d, s in zip(array.metadata.dimension_names or (), array.shape, strict=True)
        }
        here |= {str(d): int(s) for d, s in ds.sizes.items()} | dict(sizes or {})
        chunk = int(target.attrs["chunk_size"])
        missing = [v for v in variables if v.name not in target and set(v.dims) <= set(here)]
        if missing:
            self._changes()
        coordinates = str(target.attrs.get("coordinates", "")).split()
        for variable in missing:
            array = create_array(
                target,
                _by_shard(variable) if group == "population" else variable,
                here,
                shard_size=self.shard_size,
                chunk=chunk,
            )
            if variable.name in ds.variables:
                fill_array(array, ds[variable.name])
            if variable.coordinate and variable.dims != (variable.name,):
                coordinates.append(variable.name)
        if missing:
            target.attrs["coordinates"] = " ".join(dict.fromkeys(coordinates))

    def prepare_shards(self, variables: Iterable[Variable], group: str = "population") -> None:
        """Lay arrays of a group in shards that are written one by one.

        A packed store has one shard an array, which two writers would corrupt.
        """
        target = self.zarr_group(group, mode="r+")
        size = self.shard_size
        chunk = int(target.attrs["chunk_size"])
        if size >= self.networks:
            return  # one writer has all networks
        for variable in variables:
            if group == "population":
                variable = _by_shard(variable)
            if variable.name not in target or variable.coordinate:
                continue
            array = target[variable.name]
            assert isinstance(array, zarr.Array)
            if variable.dims[:1] == ("network",) and size % shard_of(array):
                self._changes()
                relayout(self.path, target, variable, size, chunk)

    def remove(self, group: str) -> None:
        """Take away a group, to create it anew."""
        self._changes()
        root = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        del root[self.group_path(group)]

    def outdated(self, ds: xr.Dataset, group: str = "population") -> list[str]:
        """Dims of a group whose stored coordinate is another than the dataset's."""
        own = self.zarr_group(group)
        out = []
        for dim in map(str, ds.dims):
            if dim in own and dim in ds.variables:
                array = own[dim]
                assert isinstance(array, zarr.Array)
                if np.asarray(array[:]).tolist() != ds[dim].values.tolist():
                    out.append(dim)
        return out

    def remove_dims(self, dims: Sequence[str], group: str = "population") -> None:
        """Take away every variable of a group that has one of these dims."""
        self._changes()
        own = self.zarr_group(group, mode="r+")
        gone = []
        for name, array in list(own.arrays()):
            if set(dims) & set(array.metadata.dimension_names or ()):
                gone.append(name)
                del own[name]
        left = [n for n in str(own.attrs.get("coordinates", "")).split() if n not in gone]
        own.attrs["coordinates"] = " ".join(left)

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
        own = self.zarr_group("population", "r+")
        networks = own["network"]
        assert isinstance(networks, zarr.Array)
        size, n = int(str(own.attrs["shard_size"])), networks.shape[0]
        if shard.start not in range(0, n, size) or shard.stop != min(shard.start + size, n):
            raise SolspaceError(
                f"networks {shard[0]}..{shard[1] - 1} are not one shard of {self} "
                f"(shards of {size} networks from 0); two writers in one shard "
                "corrupt it, so write whole shards, see Population.shards()"
            )
        locks.check_held(self.path)
        last = [v.name for v in (message_variable(stage), status_variable(stage))]
        for group, arrays in data.items():
            target = own if group == "population" else self.zarr_group(group, "r+")
            for name, array in arrays.items():
                if group != "population" or name not in last:
                    write_part(target, name, array, *shard)
        # The status last: only what is whole is called done.
        for name in last:
            if name in data["population"] or name == last[-1]:
                write_part(own, name, data["population"][name], *shard)

    def write_all(self, name: str, values: NDArray[Any], group: str = "population") -> None:
        """Write one small variable for all networks at once.

        For the one process that ends a stage, when no worker writes any more.
        """
        locks.check_held(self.path)
        fill_array(self.zarr_group(group, mode="r+")[name], xr.DataArray(values, name=name))

    def set_attrs(self, attrs: Mapping[str, Any], group: str = "population") -> None:
        """Renew attributes of a group."""
        own = self.zarr_group(group, mode="r+")
        self._changes()
        if any(own.attrs.get(k) != v for k, v in attrs.items()):
            own.attrs.update(dict(attrs))

    def last_options(self, stage: str, *, finished: bool = False) -> dict[str, Any] | None:
        """The options a stage was last run with, or last finished with; None where it was not."""
        entries = json.loads(str(self.attrs.get("provenance", "[]")))
        own = [entry for entry in entries if entry["stage"] == stage]
        found = [entry["options"] for entry in own if "finished" in entry or not finished]
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
            self._changes()
            group = self.zarr_group(mode="r+")
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


def _by_shard(variable: Variable) -> Variable:
    """Labels of the population's own group, unlike other coordinates, come shard by shard."""
    if variable.name in {v.name for v in LABELS}:
        return dataclasses.replace(variable, coordinate=False)
    return variable


def _has_consolidated(store: str, path: str = "") -> bool:
    """Whether a group holds a copy of the metadata below it."""
    try:
        group = zarr.open_group(store, path=path, mode="r")
    except FileNotFoundError:
        return False
    return group.metadata.consolidated_metadata is not None


def _forget_consolidated(store: str, path: str = "") -> bool:
    """Take the copy away; whether there was one."""
    found = _has_consolidated(store, path)
    if found:
        # Attributes of a group opened without the copy are written without it.
        group = zarr.open_group(store, path=path, mode="r+", use_consolidated=False)
        group.update_attributes({})
    return found


def _elsewhere(variable: Variable, ds: xr.Dataset) -> bool:
    """Whether the architecture of a dataset has no such variable."""
    return "architecture" in ds.coords and not variable.of(str(ds["architecture"].item()))


# --------------------------------------------------------------------------- making, provenance


def _is_empty(path: str) -> bool:
    return os.path.isdir(path) and not os.listdir(path)


def _make(path: str, marks: Mapping[str, str] | None = None) -> None:
    """An empty store, whole from the first moment: several processes may make it at once."""
    path = path.rstrip("/")
    unfinished = f"{path}.{uuid.uuid4().hex[:8]}.unfinished"
    from solspace import __version__

    attributes = {
        "Conventions": "CF-1.11",
        VERSION: SCHEMA_VERSION,
        "source": f"solspace {__version__}",
        **(marks or {}),
    }
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
