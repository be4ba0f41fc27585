"""Whether a store's files are those that were written: metadata, who wrote what, and digests.

Nothing here knows what arrays mean; `solspace.store.check` does. Files are read through Zarr's own
store, one at a time.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from solspace.errors import SolspaceError
from solspace.population.variables import PENDING, status_variable
from solspace.store import place, records, replacing
from solspace.store.handle import Population, Shard
from solspace.store.metadata import CREATED, WRITING

__all__ = ["Tree", "array_faults", "digest_faults", "reason", "run_faults", "tree_faults"]

_JSON = "zarr.json"


class Fault(NamedTuple):
    """One sentence, and the array or group that it is about, by its path in the store."""

    path: str
    told: str


@dataclass
class Tree:
    """What lies in a store: its files, and the metadata of each group and array by path.

    Statuses and names of files are found once, as they were when they were first asked for.
    """

    store: Any
    files: frozenset[str]
    nodes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _statuses: dict[tuple[str, str], NDArray[np.uint8]] = field(default_factory=dict)
    _keys: dict[tuple[str, Shard], list[str] | None] = field(default_factory=dict)

    @functools.cached_property
    def _below(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {"": set()}
        for key in self.files:
            while key:
                above, _, name = key.rpartition("/")
                if name in (names := found.setdefault(above, set())):
                    break
                names.add(name)
                key = above
        return found

    def below(self, path: str) -> list[str]:
        """Names of what lies in a folder."""
        return sorted(self._below.get(path, set()) - {_JSON})

    def is_folder(self, path: str) -> bool:
        """Whether there are files below."""
        return path in self._below

    def status(self, population: Population, stage: str) -> NDArray[np.uint8]:
        """As `Population.status`, read once."""
        key = (str(population), stage)
        if key not in self._statuses:
            self._statuses[key] = population.status(stage)
        return self._statuses[key]

    def keys_of(self, path: str, shard: Shard) -> list[str] | None:
        """Files of an array in a shard; None where its metadata do not tell."""
        key = (path, shard)
        if key not in self._keys:
            self._keys[key] = self._found_keys(path, shard)
        return self._keys[key]

    def _found_keys(self, path: str, shard: Shard) -> list[str] | None:
        node = self.nodes.get(path)
        if node is None:
            return None
        try:
            keys = records.shard_files(_Laid(node), *shard)
        except (KeyError, TypeError, ValueError, IndexError):
            return None
        return None if keys is None else [f"{path}/{key}" for key in keys]

    def is_group(self, path: str) -> bool:
        return self.nodes.get(path, {}).get("node_type") == "group"

    def created(self, path: str) -> bool:
        """Whether a group is whole."""
        return self.is_group(path) and bool(self.nodes[path].get("attributes", {}).get(CREATED))


def reason(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


# --------------------------------------------------------------------------- metadata


def tree_faults(path: str) -> tuple[Tree, list[Fault]]:
    """What lies in a store, and what is wrong with its metadata at every level."""
    store: Any
    try:
        # Each of the metadata as it is, not as the copy at the root has it.
        opened = place.opened(path, copy=False)
        store = zarr.open_group(opened, mode="r", use_consolidated=False).store_path.store
    except SolspaceError:
        raise
    except Exception:
        if not os.path.isdir(path):
            raise
        store = LocalStore(path, read_only=True)  # the metadata of the root are damaged
    tree = Tree(store, frozenset(records.keys_under(store, "")))
    found: list[Fault] = []
    _look(tree, "", 0, found)
    for at in [p for p, node in tree.nodes.items() if node.get("consolidated_metadata")]:
        found += _consolidated_faults(tree, at)
    return tree, found


def _look(tree: Tree, path: str, depth: int, found: list[Fault]) -> None:
    """Read the metadata of a group and of all that is below it."""
    key = f"{path}/{_JSON}" if path else _JSON
    where = path or "the store"
    if key in tree.files:
        try:
            tree.nodes[path] = _parsed(records.read_key(tree.store, key))
        except ValueError as error:
            told = f"{where}: its metadata cannot be read ({error}; file {key})"
            found.append(Fault(path, told))
    elif _named(tree, path, depth):
        hidden = f", which hides {', '.join(tree.below(path))}" if depth < 2 else ""
        found.append(Fault(path, f"{where}: its metadata are missing (file {key}){hidden}"))
    else:
        return
    if tree.nodes.get(path, {}).get("node_type") == "array":
        return
    if depth == 2 and not tree.created(path) and path in tree.nodes:
        return  # being created when its writer was killed
    for name in tree.below(path):
        below = f"{path}/{name}" if path else name
        aside = name.endswith((replacing.UNFINISHED, replacing.OLD))
        if tree.is_folder(below) and not (depth in (1, 2) and aside):
            if path not in tree.nodes and name == "c":
                continue  # an array without metadata
            _look(tree, below, depth + 1, found)


def _named(tree: Tree, path: str, depth: int) -> bool:
    """Whether a folder without metadata is one of a store."""
    inside = [k for k in tree.files if not path or k.startswith(f"{path}/")]
    if any(k.endswith(f"/{_JSON}") for k in inside):
        return True
    return depth >= 3 and any(k.startswith(f"{path}/c/") or k == f"{path}/c" for k in inside)


def _parsed(data: bytes | None) -> Mapping[str, Any]:
    try:
        node = json.loads((data or b"").decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("no UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at byte {error.pos}") from None
    if not isinstance(node, dict) or node.get("node_type") not in ("group", "array"):
        raise ValueError("no group or array of Zarr's")
    if node.get("zarr_format") != 3:
        raise ValueError(f"Zarr format {node.get('zarr_format')}, expected 3")
    return node


def _consolidated_faults(tree: Tree, at: str) -> Iterator[Fault]:
    """In what a copy of the metadata departs from what it is a copy of."""
    gathered = tree.nodes[at]["consolidated_metadata"]
    copies = gathered.get("metadata", {}) if isinstance(gathered, dict) else {}
    prefix = f"{at}/" if at else ""
    key = f"{prefix}{_JSON}"
    told = {prefix + path: node for path, node in copies.items()}
    for path, node in sorted(told.items()):
        if path not in tree.nodes:
            if f"{path}/{_JSON}" not in tree.files:
                gone = f"{path}: is gone, and was there when metadata were gathered (in {key})"
                yield Fault(path, gone)
        elif _plain(node) != _plain(tree.nodes[path]):
            told_other = (
                f"{path}: the copy of its metadata in {key} is not what its own {_JSON} says"
            )
            yield Fault(path, told_other)
    for path in sorted(tree.nodes):
        ours = path.split("/")[2:3] == [WRITING]  # left out on purpose
        if path.startswith(prefix) and path not in (at, "") and path not in told and not ours:
            above = path.rpartition("/")[0]
            if above in ("", at) or above in told:
                hidden = f"{path}: is not in the copy of metadata in {key}, which hides it"
                yield Fault(path, hidden)


def _plain(node: Mapping[str, Any]) -> dict[str, Any]:
    own = {k: v for k, v in node.items() if k != "consolidated_metadata"}
    # Written by Zarr only where there is something to say.
    for name, none in (("attributes", {}), ("storage_transformers", [])):
        if own.get(name) in (None, none):
            own.pop(name, None)
    return own


# --------------------------------------------------------------------------- who wrote what


def run_faults(population: Population, tree: Tree) -> Iterator[str]:
    """What tokens, records and statuses tell of each other; no data are read."""
    base = population.group_path("population")
    attrs = tree.nodes[base].get("attributes", {})
    there = f"{base}/{WRITING}"
    if attrs.get(records.RECORDS) and f"{there}/file/{_JSON}" not in tree.files:
        yield (
            f"{population}: its group {WRITING} is missing, which says who wrote what; nothing can "
            "be vouched for"
        )
    files = None
    try:
        files = records.Files.of(population)
    except Exception as error:
        yield f"{there}/file: cannot be read ({reason(error)})"
    if files is not None:
        if not files.sound and attrs.get(records.RECORDS):  # else it is being made
            yield f"{there}/file: its first line is gone, which says what the others are"
        for mark in sorted(files.marks):
            yield (
                f"{population}: {mark} was being written when a process was killed, or is now; "
                f"whatever writes to the store next, such as `solspace run {population.path}`, "
                "sets that right"
            )
        yield from _gone(population, tree, files)
    for stage in _stages(tree, there):
        yield from _stage_faults(population, tree, stage, files)


def _stages(tree: Tree, there: str) -> list[str]:
    return [name for name in tree.below(there) if f"{there}/{name}/record/{_JSON}" in tree.files]


def _gone(population: Population, tree: Tree, files: records.Files) -> Iterator[str]:
    """Files of the table that are not there, or there though all was fill."""
    base = population.group_path("population")
    gone: dict[str, list[str]] = {}
    for path, told in sorted(files.digests.items()):
        key = f"{base}/{path}"
        if told != records.EMPTY and key not in tree.files and not _marked(path, files):
            gone.setdefault(_array_of(path), []).append(key)
    groups: dict[str, list[str]] = {}
    for array, keys in gone.items():
        group = array.rpartition("/")[0]
        if group and f"{base}/{group}" not in tree.nodes:
            groups.setdefault(group, []).extend(keys)
        else:
            yield f"{base}/{array}: {_files_told(keys)} missing"
    for group, keys in groups.items():
        yield f"{base}/{group}: the group is missing ({len(keys)} files that were written)"


def _files_told(keys: Sequence[str]) -> str:
    if len(keys) == 1:
        return f"file {keys[0]} is"
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"files {', '.join(keys[:3])}{more} are"


def _array_of(path: str) -> str:
    """The array that a file of it is of."""
    return path.removesuffix(f"/{_JSON}").partition("/c/")[0].removesuffix("/c")


def _marked(path: str, files: records.Files) -> bool:
    return any(path.startswith(f"{mark}/") for mark in files.marks)


def _stage_faults(
    population: Population, tree: Tree, stage: str, files: records.Files | None
) -> Iterator[str]:
    where = f"{population.group_path('population')}/{WRITING}/{stage}"
    try:
        found = records.ShardRecords.of(population, stage)
        assert found is not None
        tokens = found.tokens()
    except Exception as error:
        yield f"{where}: cannot be read ({reason(error)})"
        return
    shards = population.shards()
    if len(tokens) != len(shards):
        yield f"{where}: is of {len(tokens)} shards, the population has {len(shards)}"
        return
    if (tokens == records.LOST).any():
        yield f"{where}/token: is gone, which says whose each shard is (file {where}/token/c/0)"
    try:
        status = tree.status(population, stage)
    except Exception:
        return  # named with its array
    status_name = status_variable(stage).name
    by_file = files is not None and any(p.startswith(f"{status_name}/c") for p in files.digests)
    try:
        rows = list(found.records())
    except Exception:
        rows = []  # one by one, to tell which
    for at, shard in enumerate(shards):
        try:
            row = rows[at] if rows else found.row(at)
        except Exception as error:
            key = f"{where}/record/c/{at}/0"
            yield f"{where}/record: {_networks(shard)} cannot be read ({reason(error)}; file {key})"
            continue
        own = status[shard.start : shard.stop]
        fault = _shard_fault(population, stage, at, shard, int(tokens[at]), row, own, by_file)
        if fault and (own == PENDING).all() and not _still_pending(population, stage, shard):
            continue  # written meanwhile
        if fault:
            yield f"{population}: {fault}"
            continue
        if (own != PENDING).any():
            yield from _shard_files_gone(population, tree, found, row, stage, shard, files)


def _still_pending(population: Population, stage: str, shard: Shard) -> bool:
    return bool((population.status(stage)[shard.start : shard.stop] == PENDING).all())


def _shard_fault(
    population: Population,
    stage: str,
    at: int,
    shard: Shard,
    token: int,
    row: NDArray[np.uint64],
    status: NDArray[np.uint8],
    by_file: bool,
) -> str:
    """What is wrong with one shard; empty where nothing is."""
    are = f"{stage}: {_networks(shard, 'are')}"
    key = f"{population.group_path('population')}/{WRITING}/{stage}/record/c/{at}/0"
    wrote, told = int(row[0]), int(row[1])
    free = token in (records.NOBODY, records.LOST)
    if (status == PENDING).all():
        if not free and wrote == token and not by_file:
            return (
                f"{are} called pending, though all was written: the process was killed just "
                f"then, or {_status_file(population, stage, at)} was lost; type `solspace "
                f"{stage.replace('_', '-')} {population.path}`"
            )
        return ""
    if (status == PENDING).any() and wrote != token:
        return ""  # its new networks wait for the run that it belongs to
    if not free and wrote == records.NOBODY:
        return f"{are} called done or failed without a record of who wrote that (file {key})"
    if not free and wrote != token:
        return (
            f"{are} written by another run ({_run(population, wrote)}) than the last one "
            f"({_run(population, token)}); type `solspace "
            f"{stage.replace('_', '-')} {population.path} --redo`"
        )
    if told and not by_file and records.status_digest(status) != told:
        return f"{stage}: {_networks(shard, 'have')} another status_{stage} than was written"
    return ""


def _status_file(population: Population, stage: str, at: int) -> str:
    return f"{population.group_path('population')}/{status_variable(stage).name}/c/{at}"


def _run(population: Population, token: int) -> str:
    """A run as the provenance tells of it."""
    try:
        entries = json.loads(str(population.attrs.get("provenance", "[]")))
        for entry in entries:
            if int(entry.get("run", "0"), 16) == token:
                return f"{entry['command']}, {entry['started']}"
    except (ValueError, KeyError, TypeError):
        pass
    return f"run {token:012x}, of which nothing is known"


def _networks(shard: Sequence[int], verb: str = "") -> str:
    start, stop = shard
    one = stop - start == 1
    verb = {"are": " is", "have": " has", "": ""}[verb] if one else f" {verb}".rstrip()
    return (f"network {start}" if one else f"networks {start}..{stop - 1}") + verb


def _shard_files_gone(
    population: Population,
    tree: Tree,
    found: records.ShardRecords,
    row: NDArray[np.uint64],
    stage: str,
    shard: Shard,
    files: records.Files | None,
) -> Iterator[str]:
    """Files of a shard that are not there, by the record."""
    for path, keys in _recorded(population, tree, found, row, shard, files):
        gone = [key for key in keys if key not in tree.files]
        told = found.digests(row)[path]
        if len(gone) == len(keys) and told != records.digest_of_shard([records.EMPTY] * len(keys)):
            base = population.group_path("population")
            yield f"{base}/{path}: {_networks(shard, 'are')} missing ({_files_told(gone)} missing)"


def _recorded(
    population: Population,
    tree: Tree,
    found: records.ShardRecords,
    row: NDArray[np.uint64],
    shard: Shard,
    files: records.Files | None,
) -> Iterator[tuple[str, list[str]]]:
    """Arrays that the record of a shard vouches for, with their files."""
    base = population.group_path("population")
    for path in found.digests(row):
        keys = tree.keys_of(f"{base}/{path}", shard)
        if keys is None or (files is not None and _marked(f"{path}/", files)):
            continue
        if files is not None and any(key.removeprefix(f"{base}/") in files.digests for key in keys):
            continue  # written whole since
        yield path, keys


class _Laid:
    """How an array lies, as `records.shard_files` asks, from its metadata alone."""

    def __init__(self, node: Mapping[str, Any]) -> None:
        self.shape = tuple(int(n) for n in node["shape"])
        self.shards = None
        self.chunks = tuple(int(n) for n in node["chunk_grid"]["configuration"]["chunk_shape"])
        self.metadata = self

    def encode_chunk_key(self, place: tuple[int, ...]) -> str:
        return "/".join(["c", *map(str, place)])


# --------------------------------------------------------------------------- digests


def digest_faults(
    population: Population, tree: Tree, *, quick: bool
) -> tuple[list[Fault], set[str]]:
    """Files that are not what was written, and those that are.

    With ``quick`` only those of metadata.
    """
    base = population.group_path("population")
    found: list[Fault] = []
    sound: set[str] = set()
    try:
        files = records.Files.of(population)
    except Exception:
        files = None  # named before
    for path, told in sorted(files.digests.items()) if files is not None else ():
        key = f"{base}/{path}"
        assert files is not None
        if (quick and not key.endswith(_JSON)) or _marked(path, files):
            continue
        if key not in tree.files:
            if told == records.EMPTY:
                sound.add(key)
            continue  # named before
        if records.digest(records.read_key(tree.store, key) or b"") == told:
            sound.add(key)
        else:
            array = f"{base}/{_array_of(path)}"
            what = "its metadata are" if key.endswith(_JSON) else "is"
            found.append(Fault(array, f"{array}: {what} not what was written (file {key})"))
    if quick:
        return found, sound
    for stage in _stages(tree, f"{base}/{WRITING}"):
        try:
            opened = records.ShardRecords.of(population, stage)
            status = tree.status(population, stage)
        except Exception:
            continue  # named before
        if opened is None:
            continue
        for at, shard in enumerate(population.shards()):
            try:
                row = opened.row(at)
            except Exception:
                continue
            if (status[shard.start : shard.stop] == PENDING).all():
                continue
            digests = opened.digests(row)
            for path, keys in _recorded(population, tree, opened, row, shard, files):
                there = [records.read_key(tree.store, key) or b"" for key in keys]
                if records.digest_of_shard([records.digest(d) for d in there]) == digests[path]:
                    sound |= set(keys)
                elif any(there):  # else named before
                    run = _run(population, int(row[0]))
                    files_of = f"file{'s' * (len(keys) > 1)} {', '.join(keys[:3])}"
                    told = f"{_networks(shard, 'are')} not what {stage} wrote ({run}; {files_of})"
                    found.append(Fault(f"{base}/{path}", f"{base}/{path}: {told}"))
    return found, sound


def array_faults(
    population: Population, tree: Tree, group: str, sound: set[str], named: set[str]
) -> list[Fault]:
    """Arrays of a group that cannot be read: those for whose files no digest vouches are read.

    Those that are named by their digest already are not told of again.
    """
    found: list[Fault] = []
    path = population.group_path(group)
    for name in tree.below(path):
        node = tree.nodes.get(f"{path}/{name}")
        if node is None or node.get("node_type") != "array":
            continue
        where = f"{path}/{name}"
        keys = {key for key in tree.files if key.startswith(f"{where}/c")}
        try:
            array: Any = zarr.open_array(
                tree.store, path=where, mode="r"
            )  # metadata that Zarr does not take
        except Exception as error:
            told = f"{where}: its metadata cannot be used ({reason(error)}; file {where}/{_JSON})"
            found.append(Fault(where, told))
            continue
        if keys - sound:
            faults = list(_unreadable(array, where, keys - sound))
            found += [Fault(where, "" if where in named else told) for told in faults]
    return found


def _unreadable(array: Any, where: str, keys: set[str]) -> Iterator[str]:
    """Chunks of an array that raise when they are read, file by file."""
    sizes = tuple(array.shards or array.chunks)
    for key in sorted(keys):
        place = key.removeprefix(f"{where}/c").strip("/")
        try:
            at = tuple(int(i) for i in place.split("/")) if place else ()
        except ValueError:
            continue
        if len(at) != array.ndim:
            yield f"{where}: a file is there that is none of its chunks (file {key})"
            continue
        block = tuple(slice(i * s, (i + 1) * s) for i, s in zip(at, sizes, strict=True))
        try:
            array[block] if block else array[...]
        except Exception as error:
            which = ""
            dims = tuple(array.metadata.dimension_names or ())
            if dims[:1] == ("network",):
                start, stop = _bad_rows(array, block)
                which = f" {_networks((start, stop))}"
            yield f"{where}:{which} cannot be read ({reason(error)}; file {key})"


def _bad_rows(array: Any, block: tuple[slice, ...]) -> tuple[int, int]:
    """The networks of the chunks that cannot be read, in one file."""
    stop = min(block[0].stop, array.shape[0])
    bad = []
    for start in range(block[0].start, stop, array.chunks[0]):
        rows = slice(start, min(start + array.chunks[0], stop))
        try:
            array[(rows, *block[1:])]
        except Exception:
            bad.append(rows)
    if not bad:
        return block[0].start, stop
    return bad[0].start, bad[-1].stop
