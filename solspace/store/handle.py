"""Stores on disk: where things are, reading, status, writing shards.

A store is created as an empty template first; after that only whole shards are written, each by
one writer, and its status after its data.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.population.variables import (
    PENDING,
    message_variable,
    status_variable,
)
from solspace.store import locks, place, replacing
from solspace.store.layout import fill_array, mend_relayout, write_part
from solspace.store.making import check_version, is_empty, make
from solspace.store.metadata import (
    CREATED,
    VERSION,
    forget_consolidated,
    gather,
    has_consolidated,
)

__all__ = ["Population", "Shard", "Store", "open_population"]


class Shard(NamedTuple):
    """A block of consecutive networks ``start <= network < stop`` that is written at once."""

    start: int
    stop: int


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
        self.path = place.named(path)
        there = place.exists(self.path)
        if not there and not create:
            raise SolspaceError(
                f"{self.path}: no such store; make one with `solspace train {self.path} ...` "
                f"or `solspace import {self.path} ...`"
            )
        if not there or (create and is_empty(self.path)):
            make(self.path)
        try:
            root = self.root()
        except SolspaceError:
            raise
        except Exception:
            raise SolspaceError(
                f"{self.path}: exists and is no solspace store (no Zarr group there); "
                "give another path"
            ) from None
        check_version(self.path, root.attrs.get(VERSION))

    def root(self, mode: str = "r") -> zarr.Group:
        """The root as Zarr sees it."""
        return zarr.open_group(place.opened(self.path, mode), mode=mode, use_consolidated=False)

    def populations(
        self, task: str | None = None, architecture: str | None = None
    ) -> list[Population]:
        """Populations in the store, of one task or architecture where given, sorted by name."""
        members = self.root().members(max_depth=1, use_consolidated_for_children=False)
        found = []
        for path, member in sorted(members, key=lambda pair: tuple(pair[0].split("/"))):
            if "/" not in path or not isinstance(member, zarr.Group):
                continue
            task_name, architecture_name = path.split("/")
            if architecture_name.endswith((replacing.UNFINISHED, replacing.OLD)):
                continue  # beside the one whose place it is to take, or took
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

    @contextlib.contextmanager
    def lock(self, verb: str, *, shared: bool = False) -> Iterator[None]:
        """Hold the store for writing; another process that asks meanwhile gets an error.

        Shared by processes that write slices, each of which claims its own.
        """
        with locks.hold(self.path, verb, shared=shared):
            # Also where others hold the store: what one of them has under way is done in such a
            # moment alone, so what is half done here is of a process that was killed.
            with locks.briefly(self.path):
                if not place.is_remote(self.path):  # where nothing is written beside
                    mend_relayout(self.path)
                    self._mend_populations()
                    for population in self.populations():
                        population.mend()
            gathered = has_consolidated(self.path)
            try:
                yield
            finally:
                # Also after an error; not where the disk is full or the lock was lost.
                if gathered:
                    with contextlib.suppress(OSError, SolspaceError):
                        locks.check_held(self.path)
                        self.consolidate()

    def _mend_populations(self) -> None:
        """Undo a killed replacement of a whole population."""
        for name in sorted(os.listdir(self.path)):
            folder = os.path.join(self.path, name)
            if os.path.isdir(folder):
                for found in replacing.groups_half_done(folder):
                    forget_consolidated(self.path)
                    replacing.mend_group(os.path.join(folder, found))

    def consolidate(self) -> None:
        """Gather the metadata at the root, so that opening the store reads one file.

        Every change of metadata takes this copy away again, so where it is there it is true.
        """
        with locks.briefly(self.path):
            gather(self.path, self._groups())

    def _groups(self) -> Iterator[str]:
        """Paths of all groups below the root."""
        for population in self.populations():
            yield from (population.task, *map(population.group_path, population.groups()))


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
            place.opened(self.path, mode),
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

    def folder(self, group: str = "population") -> str:
        """Folder of a group."""
        return os.path.join(self.path, *self.group_path(group).split("/"))

    def groups_aside(self) -> list[str]:
        """Groups that are there under another name only, since replacing them was killed.

        They are there again when anything is written to the store next.
        """
        return [] if place.is_remote(self.path) else replacing.groups_aside(self.folder())

    def told_aside(self, group: str, verb: str = "run") -> str:
        """What a user can do about such a group."""
        return (
            f"{self}: writing the {group} group anew was interrupted, and the one before is put "
            f"aside as {self.folder(group)}.old; anything that writes to the store brings it "
            f"back, such as `solspace {verb} {self.path}`"
        )

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
            if group in self.groups_aside():
                raise SolspaceError(f"{self.path}: {self.told_aside(group, stage)}")
            raise SolspaceError(
                f"{self.path}: {self} has no {group} group yet; type `solspace {stage} "
                f"{self.path} --task {self.task} --architecture {self.architecture}`"
            )
        source = place.opened(self.path)
        if isinstance(source, place.Remote):
            source.fetch_coordinates([self.group_path(group)])
        return xr.open_zarr(
            source,
            group=self.group_path(group),
            consolidated=False,
            chunks=None,
        )

    def status(self, stage: str) -> NDArray[np.uint8]:
        """Progress of a stage, a value for each network."""
        group = self.zarr_group()
        name = status_variable(stage).name
        if name not in group:  # created before there was such a stage
            return np.full(self.networks, PENDING, np.uint8)
        array = group[name]
        assert isinstance(array, zarr.Array)
        return np.asarray(array[:], dtype=np.uint8)

    def statuses_told(self) -> dict[str, tuple[set[str], set[str]]]:
        """Statuses that say what their stage reads (as ``group/name``) and fills, by name."""
        out = {}
        for name, array in self.zarr_group().arrays():
            if name.startswith("status_") and "reads" in array.attrs:
                reads = {
                    path if "/" in path else f"population/{path}"
                    for path in str(array.attrs["reads"]).split()
                }
                # A whole group goes by its name alone.
                reads |= {
                    path.partition("/")[2] for path in reads if path.startswith("population/")
                }
                out[name] = reads, set(str(array.attrs.get("fills", "")).split())
        return out

    def pending(self, stage: str) -> list[Shard]:
        """Shards with a network for which the stage has not ended."""
        status = self.status(stage)
        return [s for s in self.shards() if (status[s.start : s.stop] == PENDING).any()]

    # ------------------------------------------------------------------ writing

    def before_change(self) -> None:
        """Called before metadata change, so that no reader is shown an older copy of them."""
        locks.check_held(self.path)
        for path in ("", self.task, self.group_path("population")):
            forget_consolidated(self.path, path)

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

    def mend(self, group: str | None = None) -> None:
        """Undo what was killed while it replaced groups; no other process writes at this moment."""
        if place.is_remote(self.path):
            return
        for found in replacing.groups_half_done(self.folder()):
            if group in (None, found):
                self.before_change()
                replacing.mend_group(self.folder(found))

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


@place.one_moment()
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
