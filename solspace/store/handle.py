"""Stores on disk: where things are, reading, status, writing shards.

A store is created as an empty template first; after that only whole shards are written, each by
one writer, and its status after its data.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.core.sync import sync

from solspace.errors import SolspaceError
from solspace.population.variables import (
    PENDING,
    message_variable,
    status_variable,
)
from solspace.store import locks, place, records, replacing
from solspace.store.layout import fill_array, mend_relayout, part_values
from solspace.store.making import check_version, is_empty, make
from solspace.store.metadata import (
    CREATED,
    VERSION,
    Node,
    forget_consolidated,
    gather,
    has_consolidated,
    node,
    nodes,
    unmark,
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
            root = node(self.path)
        except SolspaceError:
            raise
        except Exception:
            root = None
        if root is None or not root.is_group:
            raise SolspaceError(
                f"{self.path}: exists and is no solspace store (no Zarr group there); "
                "give another path"
            )
        check_version(self.path, root.attrs.get(VERSION))

    def populations(
        self, task: str | None = None, architecture: str | None = None
    ) -> list[Population]:
        """Populations in the store, of one task or architecture where given, sorted by name."""
        found = []
        with place.one_moment():
            for task_name, above in sorted(nodes(self.path).items()):
                if not above.is_group or task not in (None, task_name):
                    continue
                for name, own in sorted(nodes(self.path, task_name).items()):
                    if name.endswith((replacing.UNFINISHED, replacing.OLD)):
                        continue  # beside the one whose place it is to take, or took
                    if own.is_group and own.attrs.get(CREATED) and architecture in (None, name):
                        found.append(Population(self.path, task_name, name))
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
        with locks.hold(self.path, verb, shared=shared) as killed:
            # Also where others hold the store: what one of them has under way is done in such a
            # moment alone, so what is half done here is of a process that was killed.
            with locks.briefly(self.path):
                if not place.is_remote(self.path):  # where nothing is written beside
                    mend_relayout(self.path)
                    self._mend_populations()
                for population in self.populations():
                    population.mend()
                    records.mend_files(population)
                if killed:
                    if not place.is_remote(self.path):
                        replacing.remove_partial(self.path)
                    unmark(self.path)
            gathered = killed or not shared or has_consolidated(self.path)
            try:
                yield
            finally:
                # Also after an error; not where the disk is full or the lock was lost.
                if gathered:
                    with contextlib.suppress(OSError, SolspaceError):
                        locks.check_held(self.path)
                        self._consolidate_whatever_comes()

    def _mend_populations(self) -> None:
        """Undo a killed replacement of a whole population."""
        for name in sorted(os.listdir(self.path)):
            folder = os.path.join(self.path, name)
            if os.path.isdir(folder):
                for found in replacing.groups_half_done(folder):
                    forget_consolidated(self.path)
                    replacing.mend_group(os.path.join(folder, found))

    def _consolidate_whatever_comes(self) -> None:
        """Once more where it was interrupted: nobody would know later that it was to be done."""
        try:
            self.consolidate()
        except KeyboardInterrupt:
            self.consolidate()
            raise

    def consolidate(self) -> None:
        """Gather the metadata at the root, so that opening the store reads one file.

        Every change of metadata takes this copy away again, so where it is there it is true.
        """
        if has_consolidated(self.path):
            return
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
        return place.group(self.path, self.group_path(group), mode)

    def has(self, group: str) -> bool:
        """Whether a group has been created."""
        own = node(self.path, self.group_path(group))
        return own is not None and own.is_group and bool(own.attrs.get(CREATED))

    def groups(self) -> list[str]:
        """Groups that there are, the population's own first."""
        members = self.members().items()
        found = [name for name, own in members if own.is_group and own.attrs.get(CREATED)]
        return ["population", *sorted(found)]

    def members(self, group: str = "population") -> dict[str, Node]:
        """Arrays and groups that lie in a group, by name; only looked at, which is quick."""
        return nodes(self.path, self.group_path(group))

    @property
    def attrs(self) -> dict[str, Any]:
        return self.attrs_of()

    def attrs_of(self, group: str = "population") -> dict[str, Any]:
        """Attributes of a group.

        Raises
        ------
        FileNotFoundError
            Where there is none.
        """
        own = node(self.path, self.group_path(group))
        if own is None:
            raise FileNotFoundError(f"{self.path}: no group {self.group_path(group)}")
        return own.attrs

    @property
    def networks(self) -> int:
        own = node(self.path, f"{self.group_path('population')}/network")
        if own is None:
            raise KeyError("network")
        return own.shape[0]

    @property
    def shard_size(self) -> int:
        return int(self.attrs["shard_size"])

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

    def open(
        self, group: str = "population", stage: str = "run", *, indexes: bool = True
    ) -> xr.Dataset:
        """A group as a lazily read dataset.

        Parameters
        ----------
        group : str
        stage : str
            Named where the group is not there yet.
        indexes : bool
            Whether coordinates along their own dim are read and made indexes.

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
        if indexes and isinstance(source, place.Remote):
            source.fetch_coordinates([self.group_path(group)])
        path = self.group_path(group)
        return xr.open_zarr(
            source, group=path, zarr_format=3, consolidated=False, chunks=None,
            create_default_indexes=indexes,
        )  # fmt: skip

    def status(self, stage: str, shard: Shard | None = None) -> NDArray[np.uint8]:
        """Progress of a stage, a value for each network, of all or of one shard."""
        array = self.zarr_group().get(status_variable(stage).name)
        block = slice(None) if shard is None else slice(*shard)
        if not isinstance(array, zarr.Array):  # created before there was such a stage
            return np.full(self.networks, PENDING, np.uint8)[block]
        return np.asarray(array[block], dtype=np.uint8)

    def values(self, name: str, group: str = "population") -> NDArray[Any] | None:
        """A small variable of all networks, as it is stored; None where there is none."""
        found = self.variables([name], group).get(name)
        return None if found is None else found.values

    def variables(self, names: Iterable[str], group: str = "population") -> dict[str, xr.Variable]:
        """Small variables as they are stored, read now; those that are there.

        To open a group as a dataset takes much longer.
        """
        there = self.zarr_group(group)
        arrays = {name: there.get(name) for name in names}
        return {
            name: xr.Variable(array.metadata.dimension_names or (), array[...], dict(array.attrs))
            for name, array in arrays.items()
            if isinstance(array, zarr.Array)
        }

    def statuses_told(self) -> dict[str, tuple[set[str], set[str]]]:
        """Statuses that say what their stage reads (as ``group/name``) and fills, by name."""
        out = {}
        for name, array in self.members().items():
            if name.startswith("status_") and not array.is_group and "reads" in array.attrs:
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

    def pending(self, stage: str, status: NDArray[np.uint8] | None = None) -> list[Shard]:
        """Shards with a network for which the stage has not ended, read now or by its status."""
        if status is None:
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

    def take(
        self, stage: str, shards: Sequence[Shard], arrays: Sequence[str], run: int | None = None
    ) -> int:
        """Give shards of a stage to a run: no writer of another run writes them from now on.

        Parameters
        ----------
        stage : str
        shards : sequence of Shard
        arrays : sequence of str
            What the stage fills shard by shard, by paths as ``loss`` or ``graph/edge_input``.
        run : int, optional
            A token of the run; a new one by default.

        Returns
        -------
        int
            The token, for `write_shard`.
        """
        token = run or secrets.randbits(48) | 1
        with self.briefly():
            records.take_shards(self, stage, shards, arrays, token)
        return token

    def release(self, stage: str) -> None:
        """Let no run's writer write shards of a stage any more."""
        with self.briefly():
            found = records.ShardRecords.of(self, stage, "r+")
            if found is not None:
                found.take(range(len(found.tokens())), records.NOBODY)

    def rewriting(
        self, *paths: str, making: bool = False
    ) -> AbstractContextManager[records.Noting]:
        """Write arrays or groups alone, through the store that is given, with their digests."""
        return records.rewriting(self, *paths, making=making)

    def write_shard(
        self,
        shard: Shard,
        stage: str,
        data: Mapping[str, Mapping[str, xr.DataArray]],
        *,
        token: int | None = None,
    ) -> None:
        """Write one shard of a stage's variables, and then its status.

        The token is compared just before anything is written, and again before the status is. The
        data and their digests are on the disk before the status is written, and it is when this
        returns.

        Parameters
        ----------
        shard : Shard
            One of `shards`; anything smaller is refused.
        stage : str
        data : mapping of group name to mapping of variable name to DataArray
            Variables with a network axis of the shard's length. Those of the population hold
            ``status_<stage>`` and ``message_<stage>``.
        token : int, optional
            From `take`. By default the shard is taken now.

        Raises
        ------
        SolspaceError
            Where the block is not a whole shard, or another run has taken it over.
        ValueError
            Where a variable is not declared or has another shape than its array.
        """
        status, message = status_variable(stage).name, message_variable(stage).name
        if token is None:
            size, n = self.shard_size, self.networks
            _check_whole(self, shard, size, n)
            own = [f"{g}/{n}" for g, arrays in data.items() for n in arrays]
            arrays = [n.removeprefix("population/") for n in own if n != f"population/{status}"]
            token = self.take(stage, [shard], arrays)
        opened = _opened(self, stage, token)
        _check_whole(self, shard, opened.size, opened.networks)
        locks.check_held(self.path)
        at = shard.start // opened.size
        self._check_token(opened, shard, stage, token, "nothing was written")
        every = {(group, n): own for group, arrays in data.items() for n, own in arrays.items()}
        values = every.pop(("population", status))
        files = opened.write(every, shard)
        digests = {
            name if group == "population" else f"{group}/{name}": told
            for (group, name), (_, told) in files.items()
        }
        written = [file for own, _ in files.values() for file in own]
        if message not in data["population"]:
            digests.pop(message, None)
        # A writer that was stopped until now leaves the other run's record, which tells on it.
        half = "what it had begun to write there is named by `solspace check`"
        self._check_token(opened, shard, stage, token, half)
        ended = records.status_digest(np.asarray(values))
        written += opened.records.write(at, token, ended, digests)
        records.make_durable(opened.noting, written)
        self._check_token(opened, shard, stage, token, half)
        # The status last: only what is whole is called done.
        ((last, _),) = opened.write({("population", status): values}, shard).values()
        records.make_durable(opened.noting, last)

    def _check_token(
        self, opened: _Opened, shard: Shard, stage: str, token: int, told: str
    ) -> None:
        if opened.records.token(shard.start // opened.size) != token:
            raise SolspaceError(
                f"{self.path}: networks {shard.start}..{shard.stop - 1} of {stage} of {self} were "
                f"taken over by another run while this one computed them; {told}. Let the other "
                "run end, or type this command again after it"
            )

    def write_all(self, name: str, values: NDArray[Any], group: str = "population") -> None:
        """Write one small variable for all networks at once.

        For the one process that ends a stage, when no worker writes any more.
        """
        self.write_together({(group, name): values})

    def write_together(self, values: Mapping[tuple[str, str], NDArray[Any]]) -> None:
        """As `write_all`, of several variables, by group and name."""
        locks.check_held(self.path)
        paths = [name if group == "population" else f"{group}/{name}" for group, name in values]
        with self.briefly(), self.rewriting(*paths) as store:
            for (group, name), own in values.items():
                path = f"{self.group_path(group)}/{name}"
                target = zarr.open_array(store, path=path, mode="r+", zarr_format=3)
                fill_array(target, xr.DataArray(own, name=name))


class _Opened:
    """What a run writes of one stage, opened once."""

    def __init__(self, population: Population, stage: str) -> None:
        own = population.zarr_group("population", "r+")
        networks = own["network"]
        assert isinstance(networks, zarr.Array)
        self.size, self.networks = int(str(own.attrs["shard_size"])), networks.shape[0]
        self.noting = records.Noting(own.store_path.store)
        self._population = population
        self._groups: dict[str, zarr.Group] = {}
        self._arrays: dict[tuple[str, str], Any] = {}
        found = records.ShardRecords.of(population, stage, "r+")
        if found is None:
            raise SolspaceError(
                f"{population.path}: nobody has taken networks of {population} for {stage}; call "
                "Population.take first, or leave out the token"
            )
        self.records = found

    def array(self, group: str, name: str) -> Any:
        if group not in self._groups:
            path = self._population.group_path(group)
            self._groups[group] = place.group(self.noting, path, "r+")
        if (group, name) not in self._arrays:
            try:
                self._arrays[group, name] = self._groups[group][name]
            except KeyError:
                path = self._groups[group].path
                raise ValueError(f"variable {name!r} is not in group {path!r}") from None
        return self._arrays[group, name]

    def write(
        self, parts: Mapping[tuple[str, str], xr.DataArray], shard: Shard
    ) -> dict[tuple[str, str], tuple[list[str], str]]:
        """Write a shard of arrays: of each its files, and the digest of what is in them.

        Parameters
        ----------
        parts : mapping of (group, name) to DataArray
        shard : Shard
        """
        targets = [self.array(*path) for path in parts]
        values = [
            part_values(target, name, array, *shard)
            for target, ((_, name), array) in zip(targets, parts.items(), strict=True)
        ]
        block = slice(*shard)

        async def write() -> list[Any]:  # side by side, which takes half as long
            each = [t.async_array.setitem(block, v) for t, v in zip(targets, values, strict=True)]
            return await asyncio.gather(*each, return_exceptions=True)

        out = {}
        ended = zip(parts, targets, values, sync(write()), strict=True)
        for path, target, value, error in ended:
            keys = records.shard_files(target, *shard)
            files = [f"{target.path}/{key}" for key in keys or ()]
            if isinstance(error, ValueError | RuntimeError):
                # Zarr reads a chunk of which it writes a part, and this one is damaged perhaps.
                for file in files:
                    self.noting.remove(file)
                target[block] = value
            elif error is not None:
                raise error
            # Files that are not of this shard alone are not noted.
            noted = [self.noting.noted.pop(file, records.EMPTY) for file in files]
            out[path] = (files, records.digest_of_shard(noted)) if keys is not None else ([], "")
        return out


@functools.lru_cache(maxsize=16)
def _opened(population: Population, stage: str, token: int) -> _Opened:
    """With another token arrays may lie in other shards."""
    return _Opened(population, stage)


def _check_whole(population: Population, shard: Shard, size: int, n: int) -> None:
    if shard.start not in range(0, n, size) or shard.stop != min(shard.start + size, n):
        raise SolspaceError(
            f"networks {shard[0]}..{shard[1] - 1} are not one shard of {population} "
            f"(shards of {size} networks from 0); two writers in one shard "
            "corrupt it, so write whole shards, see Population.shards()"
        )


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
