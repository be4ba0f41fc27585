"""Who wrote what: the run that each shard belongs to, and digests of all files of a population.

They lie in the population's group ``writing``, which is no group of results:

======================== ==========================================================================
array                    holds
======================== ==========================================================================
``writing/file``         a line for each file that one process wrote alone: its digest and its path
                         in the population; written for a moment alone (`locks.briefly`)
``writing/STAGE/token``  by shard the run that may write it; 0 none
``writing/STAGE/record`` by shard, one chunk a shard: the run that wrote it, a digest of the status
                         that it gave, and one of each array's files in the shard; what these are of
                         is named in the attribute ``arrays``
======================== ==========================================================================

A digest is that of what the writer meant to write, noted on the way to the disk and not read back,
so that what another writer puts in its place is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.sync import sync
from zarr.storage import LocalStore, WrapperStore

from solspace.population.variables import PENDING, status_variable
from solspace.store import place
from solspace.store.layout import quiet
from solspace.store.metadata import WRITING

if TYPE_CHECKING:
    from solspace.store.handle import Population

__all__ = [
    "RECORDS",
    "WRITING",
    "Files",
    "Noting",
    "ShardRecords",
    "digest",
    "digest_of_shard",
    "make_durable",
    "mend_files",
    "note_copy",
    "noting_store",
    "rewriting",
    "shard_files",
    "take_shards",
]

RECORDS = "solspace_records"  # in a population's attributes: its group `writing` has to be there

NOBODY = 0
LOST = 2**64 - 1  # what a token reads as whose chunk is gone
_COLUMNS = 32  # a record has room for so many arrays, or a multiple of it
_FIRST = "digest path"  # the first line of the table, without which it is damaged
_LINES = 512
_WIDTH = 256
_LARGE = 1 << 20  # bytes of a file
_MARK = "writing"  # in place of a digest: being written
_MAKING = "making"  # the same of an array that was not there before

EMPTY = hashlib.blake2b(b"", digest_size=16).hexdigest()


def digest(data: Any) -> str:
    """Of a file's bytes; the digest of nothing for a file that is not there, where all is fill.

    Examples
    --------
    >>> digest(b"") == EMPTY
    True
    """
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_of_shard(digests: Sequence[str]) -> str:
    """Of an array's files in one shard, from those of the files."""
    if len(digests) == 1:
        return digests[0]
    return digest(b"".join(map(bytes.fromhex, digests)))


# --------------------------------------------------------------------------- on the way to disk


class Noting(WrapperStore[Any]):
    """A store that notes a digest of every file that is written or deleted through it."""

    def __init__(self, store: Any, noted: dict[str, str] | None = None) -> None:
        super().__init__(store)
        self.noted: dict[str, str] = {} if noted is None else noted

    def _with_store(self, store: Any) -> Noting:
        return type(self)(store, self.noted)

    async def set(self, key: str, value: Any) -> None:
        await self._store.set(key, value)
        await self._note(key, value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        # Zarr asks so for all groups above each array, and a folder would write a file to find out.
        if not await self._store.exists(key):
            await self._store.set_if_not_exists(key, value)
            await self._note(key, value)

    async def _set_many(self, values: Iterable[tuple[str, Any]]) -> None:
        for key, value in values:
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        await self._store.delete(key)
        self.noted[key] = EMPTY

    def remove(self, key: str) -> None:
        """Delete a file, from a thread of its own."""
        sync(self.delete(key))

    async def delete_dir(self, prefix: str) -> None:
        await self._store.delete_dir(prefix)
        for key in [k for k in self.noted if k.startswith(prefix.rstrip("/") + "/")]:
            del self.noted[key]

    async def _note(self, key: str, value: Any) -> None:
        data = value.as_buffer_like()
        # Attributes of a group change with every run; they are no part of what is recorded.
        if key.endswith("zarr.json") and b'"node_type": "group"' in bytes(data):
            self.noted.pop(key, None)
        elif len(data) < _LARGE:
            self.noted[key] = digest(data)
        else:  # while it is counted, Zarr's thread goes on with other arrays
            self.noted[key] = await asyncio.to_thread(digest, data)


def noting_store(path: str) -> Noting:
    """A store for writing, with notes of what is written."""
    return Noting(place.group(path, mode="r+").store_path.store)


@functools.cache
def _pool() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(16, thread_name_prefix="fsync")


def make_durable(store: Any, keys: Iterable[str], *, deep: bool = False) -> None:
    """Have the system put files on the disk, and the folders that lead to them.

    To an array's own folder; ``deep`` to the store's, with the metadata of the groups there.

    Other stores than folders of this machine do so themselves before they answer. The environment
    variable ``SOLSPACE_FSYNC=0`` leaves it out.
    """
    while isinstance(store, WrapperStore):
        store = store._store
    if not isinstance(store, LocalStore) or os.environ.get("SOLSPACE_FSYNC", "1") == "0":
        return
    paths: dict[str, None] = {}
    for key in keys:
        paths[key] = None
        # A chunk's folders are as new as it is.
        parent = os.path.dirname(key)
        while parent:
            paths[parent] = None
            if deep:
                paths[f"{parent}/zarr.json"] = None
            elif "/c" not in parent:
                break
            parent = os.path.dirname(parent)
    if deep:
        paths |= dict.fromkeys(("zarr.json", "."))
    # Side by side, so that the disk is waited for once.
    root = str(store.root)
    list(_pool().map(_fsync, [os.path.join(root, path) for path in paths]))


def _fsync(path: str) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # all fill
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --------------------------------------------------------------------------- files of an array


def shard_files(array: Any, start: int, stop: int) -> list[str] | None:
    """Files of an array that hold the networks ``start <= network < stop`` and no others.

    None where some file holds others as well.
    """
    sizes = tuple(array.shards or array.chunks)
    shape = array.shape
    if not shape:
        return None
    if start % sizes[0] or (stop % sizes[0] and stop < shape[0]):
        return None
    first = range(start // sizes[0], -(-stop // sizes[0]))
    others = (range(max(1, -(-n // s))) for n, s in zip(shape[1:], sizes[1:], strict=True))
    return [array.metadata.encode_chunk_key(at) for at in itertools.product(first, *others)]


# --------------------------------------------------------------------------- one writer's files


class Files:
    """The table of files that one process wrote alone.

    Paths are those in the population's group.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self._lines: list[str] = np.asarray(array[...]).tolist()
        self.sound = bool(self._lines) and self._lines[0] == _FIRST
        self.digests: dict[str, str] = {}
        self.marks: set[str] = set()
        self.making: set[str] = set()  # of these marks
        for line in self._lines[1:]:
            told, _, path = line.partition(" ")
            if told in (_MARK, _MAKING):
                self.marks.add(path)
                self.making |= {path} if told == _MAKING else set()
            elif told:
                self.digests[path] = told

    @classmethod
    def of(cls, population: Population) -> Files | None:
        """The table of a population; None where it has none."""
        try:
            array = population.zarr_group(WRITING)["file"]
        except (FileNotFoundError, KeyError):
            return None
        return cls(array)

    @classmethod
    def made(cls, population: Population, base: str | None = None) -> Files:
        """The table for writing, made where there is none; the caller is briefly alone."""
        base = base or population.group_path("population")
        own = place.group(population.path, base, "r+")
        if f"{WRITING}/file" in own:
            return cls(own[f"{WRITING}/file"])
        if base == population.group_path("population"):
            population.before_change()
        told = "who wrote what (see docs/schema.md)"
        with quiet():
            group = own.require_group(WRITING)
            group.attrs.update({"long_name": told})
            array = group.create_array(
                "file", shape=(_LINES,), chunks=(_LINES,), dtype=f"U{_WIDTH}", fill_value="",
                compressors=[ZstdCodec(level=3), Crc32cCodec()], dimension_names=("line",),
                attributes={"long_name": "digest and path of each file that was written whole"},
            )  # fmt: skip
        array[0] = _FIRST
        own.attrs[RECORDS] = 1
        make_durable(
            own.store_path.store,
            [f"{group.path}/zarr.json", f"{array.path}/zarr.json", f"{own.path}/zarr.json"],
        )
        return cls(array)

    def under(self, prefixes: Iterable[str]) -> list[str]:
        """Paths of the table in one of these arrays or groups."""
        wanted = tuple(f"{prefix}/" for prefix in prefixes)
        return [path for path in self.digests if path.startswith(wanted)]

    def save(self) -> None:
        """Write what has changed, and have it on the disk."""
        wanted = {f"{told} {path}" for path, told in self.digests.items()}
        wanted |= {f"{_MARK} {path}" for path in self.marks - self.making}
        wanted |= {f"{_MAKING} {path}" for path in self.making}
        wanted = {line for line in wanted if len(line) <= _WIDTH}
        new = [line if line in wanted or i == 0 else "" for i, line in enumerate(self._lines)]
        new[0] = _FIRST
        missing = sorted(wanted - set(new))
        free = [i for i, line in enumerate(new) if not line]
        if len(missing) > len(free):
            more = -(-(len(missing) - len(free)) // _LINES) * _LINES
            free += range(len(new), len(new) + more)
            new += [""] * more
            with quiet():
                self._array.resize((len(new),))
            self._lines += [""] * more
        for at, line in zip(free, missing, strict=False):
            new[at] = line
        changed = []
        for start in range(0, len(new), _LINES):
            block = slice(start, start + _LINES)
            if new[block] != self._lines[block]:
                self._array[block] = np.asarray(new[block], dtype=f"U{_WIDTH}")
                changed.append(f"{self._array.path}/c/{start // _LINES}")
        self._lines = new
        make_durable(self._array.store_path.store, changed)


@contextlib.contextmanager
def rewriting(
    population: Population,
    *prefixes: str,
    was: Mapping[str, str] | None = None,
    making: bool = False,
) -> Iterator[Noting]:
    """Write arrays or groups of a population alone, and note digests of their files.

    The caller is briefly alone. A process that is killed meanwhile leaves a mark, so that nobody
    takes what is half written for damage; `mend_files` takes it away.

    Parameters
    ----------
    population : Population
    *prefixes : str
        Paths in the population, as ``graph`` or ``graph/solution``; of variables of the
        population's own group ``loss``.
    was : mapping, optional
        Where what is written is put in the place of these: their paths while it is written.
    making : bool
        Whether these are arrays that are not there yet: killed half-way, they are taken away.

    Yields
    ------
    Noting
        The store to write through.
    """
    base = population.group_path("population")
    noting = noting_store(population.path)
    files = None
    if population.has("population"):
        files = Files.made(population)
        files.marks |= set(prefixes)
        files.making |= set(prefixes) if making else set()
        files.save()
    yield noting
    names = {f"{base}/{old}": f"{base}/{new}" for new, old in (was or {}).items()}
    written = {}
    for key, told in noting.noted.items():
        for old, new in names.items():
            if key.startswith(old + "/"):
                key = new + key[len(old) :]
        written[key.removeprefix(f"{base}/")] = told
    make_durable(noting, [f"{base}/{path}" for path in written], deep=True)
    if files is None:
        files = Files.made(population)
    for path in files.under(prefixes):
        del files.digests[path]
    wanted = tuple(f"{prefix}/" for prefix in prefixes)
    files.digests |= {
        p: told for p, told in written.items() if not prefixes or p.startswith(wanted)
    }
    files.marks -= set(prefixes)
    files.making -= set(prefixes)
    files.save()


def note_copy(population: Population, noting: Noting, base: str) -> None:
    """Note digests of all that was written of a population in one go, into the copy itself.

    Parameters
    ----------
    population : Population
    noting : Noting
        What it was written through.
    base : str
        The path of the group in the store, while it is not in its place perhaps.
    """
    written = {
        key.removeprefix(f"{base}/"): told
        for key, told in noting.noted.items()
        if key.startswith(f"{base}/")
    }
    make_durable(noting, [f"{base}/{path}" for path in written], deep=True)
    files = Files.made(population, base)
    files.digests |= written
    files.save()


def mend_files(population: Population) -> None:
    """Note what is there of what a killed process was writing; nobody else is writing now.

    Arrays that it was making are taken away, to be made again.
    """
    files = Files.of(population)
    if files is None or not files.marks:
        return
    files = Files.made(population)
    base = population.group_path("population")
    store, groups = population.zarr_group().store_path.store, population.groups()
    for prefix in sorted(files.marks):
        for path in files.under([prefix]):
            del files.digests[path]
        group, _, name = prefix.rpartition("/")
        if prefix not in groups and (group or "population") not in groups:
            continue  # was being created
        if prefix in files.making:
            own = population.zarr_group(group or "population", "r+")
            if name in own:
                population.before_change()
                del own[name]
            continue
        for key in keys_under(store, f"{base}/{prefix}"):
            data = read_key(store, key)
            if data is not None and b'"node_type": "group"' not in data:
                files.digests[key.removeprefix(f"{base}/")] = digest(data)
    files.marks.clear()
    files.making.clear()
    files.save()


def read_key(store: Any, key: str) -> bytes | None:
    """A file of a store; None where it is not there."""
    from zarr.core.buffer import default_buffer_prototype

    while isinstance(store, WrapperStore):
        store = store._store
    if isinstance(store, LocalStore):  # ten times as fast as through Zarr's thread
        try:
            with open(os.path.join(store.root, key), "rb") as file:
                return file.read()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
    found = sync(store.get(key, default_buffer_prototype()))
    return None if found is None else bytes(found.to_bytes())


def keys_under(store: Any, prefix: str) -> list[str]:
    """Files below a folder of a store, but for what a killed process left half written."""
    while isinstance(store, WrapperStore):
        store = store._store
    if isinstance(store, LocalStore):  # ten times as fast as through Zarr
        top, root = os.path.join(store.root, prefix), f"{store.root}{os.sep}"
        found = (
            f"{at}{os.sep}{name}".removeprefix(root).replace(os.sep, "/")
            for at, _, names in os.walk(top.rstrip(os.sep))
            for name in names
        )
        return sorted(key for key in found if not key.endswith(".partial"))

    async def listed() -> list[str]:
        return [key async for key in store.list_prefix(prefix.rstrip("/") + "/")]

    return sorted(key for key in sync(listed()) if not key.endswith(".partial"))


# --------------------------------------------------------------------------- shards of a stage


def status_digest(values: NDArray[Any]) -> int:
    """Of the statuses of a shard; never 0, which stands for none."""
    data = np.ascontiguousarray(values, np.uint8).tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") | 1


def _words(told: str) -> tuple[int, int]:
    return int(told[:16], 16), int(told[16:], 16)


class ShardRecords:
    """Tokens and records of one stage, by shard; opened once for a run.

    Parameters
    ----------
    group : zarr.Group
        ``writing/STAGE``.
    """

    def __init__(self, group: zarr.Group) -> None:
        self._token: Any = group["token"]
        self._record: Any = group["record"]
        self.names: list[str] = [str(n) for n in self._record.attrs["arrays"]]
        self._column = {name: 2 + 2 * i for i, name in enumerate(self.names)}
        self._decoded: tuple[bytes | None, NDArray[np.uint64]] | None = None

    @classmethod
    def of(cls, population: Population, stage: str, mode: str = "r") -> ShardRecords | None:
        """Those of a stage; None where it has none."""
        try:
            return cls(population.zarr_group(f"{WRITING}/{stage}", mode))
        except (FileNotFoundError, KeyError):
            return None

    def tokens(self) -> NDArray[np.uint64]:
        """The run that may write each shard."""
        return np.asarray(self._token[...])

    def token(self, at: int) -> int:
        """The run that may write one shard.

        Asked before and after each: the file is read each time, and decoded where it is another
        than before.
        """
        store, key = self._token.store_path.store, f"{self._token.path}/c/0"
        data, decoded = read_key(store, key), self._decoded
        if data is not None and decoded is not None and decoded[0] == data:
            return int(decoded[1][at])
        tokens = self.tokens()
        # Another run may have written it meanwhile: then these tokens are not of these bytes.
        same = data is not None and read_key(store, key) == data
        self._decoded = (data, tokens) if same else None
        return int(tokens[at])

    def records(self) -> NDArray[np.uint64]:
        """All records, a row a shard."""
        return np.asarray(self._record[...])

    def row(self, at: int) -> NDArray[np.uint64]:
        """The record of one shard."""
        return np.asarray(self._record[at])

    def digests(self, row: NDArray[np.uint64]) -> dict[str, str]:
        """What a record says of arrays, by their path in the population."""
        out = {}
        for name, at in self._column.items():
            first, second = int(row[at]), int(row[at + 1])
            if first or second:
                out[name] = f"{first:016x}{second:016x}"
        return out

    def write(
        self,
        at: int,
        token: int,
        status: int,
        digests: Mapping[str, str],
    ) -> list[str]:
        """Write the record of a shard; the files that it is in."""
        row = np.zeros((1, self._record.shape[1]), np.uint64)
        row[0, :2] = token, status
        for name, told in digests.items():
            if name in self._column:
                place = self._column[name]
                row[0, place : place + 2] = _words(told)
        self._record[at : at + 1] = row
        key = self._record.metadata.encode_chunk_key((at, 0))
        return [f"{self._record.path}/{key}"]

    def take(self, places: Iterable[int], run: int) -> None:
        """Give shards to a run, or to none; the caller is briefly alone."""
        tokens = self.tokens()
        tokens[tokens == LOST] = NOBODY
        tokens[list(places)] = run
        self._token[...] = tokens
        make_durable(self._token.store_path.store, [f"{self._token.path}/c/0"])


def take_shards(
    population: Population, stage: str, shards: Sequence[tuple[int, int]], arrays: Sequence[str],
    run: int,
) -> None:  # fmt: skip
    """Give shards of a stage to a run; the caller is briefly alone.

    From now on no other run's writer writes them.

    Parameters
    ----------
    population : Population
    stage : str
    shards : sequence of (start, stop)
    arrays : sequence of str
        Paths of what the stage fills shard by shard, without its status.
    run : int
        Not 0.
    """
    every = population.shards()
    opened = _made(population, stage, len(every), arrays)
    mine = {tuple(shard) for shard in shards}
    files = Files.of(population)
    others: list[int] = []
    if files is not None and any(path.endswith("/c") or "/c/" in path for path in files.digests):
        # Where networks were added, a shard may hold some that have ended beside new ones.
        ended = population.status(stage) != PENDING
        others = [
            i for i, shard in enumerate(every)
            if tuple(shard) not in mine or ended[slice(*shard)].any()
        ]  # fmt: skip
    moved = _carry_over(population, stage, opened, files, others) if files is not None else []
    opened.take([i for i, shard in enumerate(every) if tuple(shard) in mine], run)
    if files is not None and moved:
        files = Files.made(population)
        for path in moved:
            files.digests.pop(path, None)
        files.save()


def _made(population: Population, stage: str, shards: int, arrays: Sequence[str]) -> ShardRecords:
    """Records of a stage for writing, with room for these arrays."""
    Files.made(population)
    found = ShardRecords.of(population, stage, "r+")
    before = None
    names: list[str] = [] if found is None else found.names
    more = [name for name in dict.fromkeys(arrays) if name not in names]
    if found is not None:
        fits = found._token.shape == (shards,)
        if fits and not more:
            return found
        if fits and 2 + 2 * (len(names) + len(more)) <= found._record.shape[1]:
            population.before_change()
            found._record.attrs["arrays"] = [*names, *more]
            return ShardRecords(population.zarr_group(f"{WRITING}/{stage}", "r+"))
        before = (found.tokens(), found.records()) if fits else None
    population.before_change()
    own = population.zarr_group(WRITING, "r+")
    if stage in own:
        del own[stage]
    names = [*names, *more]
    room = -(-max(len(names), 1) // _COLUMNS) * _COLUMNS
    with quiet():
        group = own.create_group(stage)
        codecs: dict[str, Any] = {"compressors": [ZstdCodec(level=3), Crc32cCodec()]}
        token = group.create_array(
            "token", shape=(shards,), chunks=(max(shards, 1),), dtype="uint64", fill_value=LOST,
            dimension_names=("shard",), **codecs,
            attributes={"long_name": f"run that may write the shard in {stage}; 0 none"},
        )  # fmt: skip
        # First, so that no process that is killed leaves tokens that seem lost.
        token[...] = np.zeros(shards, np.uint64)
        record = group.create_array(
            "record", shape=(shards, 2 + 2 * room), chunks=(1, 2 + 2 * room), dtype="uint64",
            fill_value=0, dimension_names=("shard", "word"), **codecs,
            attributes={
                "long_name": "run, digest of the status, and two words of digest for each array",
                "arrays": names,
            },
        )  # fmt: skip
    if before is not None:
        token[...] = before[0]
        for at in np.flatnonzero(before[1].any(axis=1)):
            record[at, : before[1].shape[1]] = before[1][at]
    make_durable(
        group.store_path.store,
        [f"{group.path}/zarr.json", *(f"{group.path}/{n}/zarr.json" for n in ("token", "record"))],
        deep=True,
    )
    return ShardRecords(group)


def _carry_over(
    population: Population, stage: str, opened: ShardRecords, files: Files, others: Sequence[int]
) -> list[str]:
    """Into records what the table says of a stage's files, since a shard is written alone now.

    The paths that the table need not name any more.
    """
    status_name = status_variable(stage).name
    own: dict[str, list[str]] = {}
    for path in files.digests:
        for name in (*opened.names, status_name):
            if path.startswith(f"{name}/c"):
                own.setdefault(name, []).append(path)
    if not own:
        return []
    root = population.zarr_group()
    every = population.shards()
    found: dict[int, dict[str, str]] = {}
    statuses: dict[int, int] = {}
    for name in list(own):
        array: Any = root.get(name)
        if array is None:
            continue
        for at in others:
            keys = shard_files(array, *every[at])
            if keys is None:
                own.pop(name, None)  # not by shard
                break
            told = [files.digests.get(f"{name}/{key}") for key in keys]
            if any(t is None for t in told):
                continue
            if name != status_name:
                found.setdefault(at, {})[name] = digest_of_shard([t or "" for t in told])
                continue
            store = root.store_path.store
            there = [read_key(store, f"{array.path}/{key}") or b"" for key in keys]
            same = [digest(data) for data in there] == told
            # Where it is not what was written, let no status be right.
            statuses[at] = status_digest(array[slice(*every[at])]) if same else 1 << 1
    written: list[str] = []
    for at in sorted({*found, *statuses}):
        row = opened.row(at)
        digests = opened.digests(row) | found.get(at, {})
        written += opened.write(at, int(row[0]), statuses.get(at, int(row[1])), digests)
    make_durable(root.store_path.store, written)
    return [path for paths in own.values() for path in paths]
