"""A store of this version from one of version 1. See docs/schema.md for what changed."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.labels.names import solution_name
from solspace.networks import get_architecture
from solspace.population.trained import CHECKPOINT_PREFIX
from solspace.population.variables import BASE, DONE, LABELS, Variable, text_array
from solspace.stages import collection
from solspace.store import locks, place, records
from solspace.store.handle import Population, Store
from solspace.store.layout import (
    CHUNK_BYTES,
    WHOLE,
    checked_text,
    chunk_size,
    create_array,
    default_shard_size,
    network_bytes,
    packed_shard_size,
    packed_variable,
    quiet,
)
from solspace.store.metadata import CREATED, VERSION
from solspace.store.whole import whole_or_nothing

__all__ = ["migrate"]

_CREATED_1 = "solspace_laid"
# An array of no more values is looked through: one that is constant needs no file.
_SMALL = 1 << 20

# Groups and dims under other names.
_GROUPS = {"learning": "checkpoints"}
_DIMS = {
    "input": "input_channel",
    "output": "output_channel",
    "class": "label_class",
    "units": "recorded_units",
    "trials": "recorded_trials",
    "seen_feature": "recorded_feature",
}
# Lists of attributes that are coordinates now.
_LISTS = (
    "channels",
    "feature_units",
    "feature_families",
    "feature_sources",
    "feature_meanings",
)
_RECIPE = {"lesson_": "curriculum_"}
_OPTIONS = {"least": "minimum_class_size"}
# Of checkpoints: what labels them is a stage of its own now.
_LABELLED = {"status_reduce": "status_label", "message_reduce": "message_label"}


@dataclass
class _Array:
    """An array of the new store, and where its values come from."""

    name: str
    dims: tuple[str, ...]
    values: Any  # an array, read block by block where it is Zarr's
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)


def migrate(source: str, destination: str) -> list[Population]:
    """Make a store of this version from one of version 1.

    Every value of the old store is in the new one: under new names where dims and groups have
    them, published and further features in one ``features``, what stood in attributes as
    coordinates. Names of solutions are added. Loss curves were not stored and are absent.

    Parameters
    ----------
    source : str
        A store of version 1; it is read and left as it is.
    destination : str
        The new store. It is whole or not there.

    Returns
    -------
    list of Population
        Those of the new store.

    Raises
    ------
    SolspaceError
        Where the source is no store of version 1, the destination is there already, or another
        process is writing one of them.

    Examples
    --------
    >>> migrate("nowhere.zarr", "new.zarr")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.zarr: no such store; give a store of version 1
    """
    place.check_local(source, "migrate reads a store of this machine; copy it here first")
    if not os.path.exists(source):
        raise SolspaceError(f"{source}: no such store; give a store of version 1")
    try:
        root = zarr.open_group(source, mode="r", use_consolidated=False)
    except Exception:
        raise SolspaceError(
            f"{source}: exists and is no solspace store (no Zarr group there); give a store of "
            "version 1"
        ) from None
    version = root.attrs.get(VERSION)
    if version != 1:
        told = "is of this version already" if version == 2 else f"has schema version {version}"
        raise SolspaceError(f"{source}: {told}; only stores of version 1 are migrated")
    with locks.hold(source, "migrate"), whole_or_nothing(destination, "migrate") as new:
        for task, task_group in sorted(root.groups()):
            for architecture, group in sorted(task_group.groups()):
                if group.attrs.get(_CREATED_1):
                    _population(new, task, architecture, group)
    return Store(destination).populations()


def _population(new: Store, task: str, architecture: str, old: zarr.Group) -> None:
    kind = kind_of(architecture)
    copy = Population(new.path, task, architecture)
    own = _arrays(old)
    _merge_features(own)
    networks = own["network"].values[:]
    n = len(networks)
    labels = _labels(own, task, architecture)
    own |= labels
    declared = collection.declared("population", architecture)
    sizes = _sizes(own)
    each = network_bytes(_variables(own, declared), sizes)
    batch = get_architecture(architecture).batch
    shard = max(default_shard_size(n, each, batch), _read_size(n, each))
    groups = {name: group for name, group in old.groups() if group.attrs.get(_CREATED_1)}
    attrs = _attrs(old, n)
    if "solution_key" in own and kind.name == "recurrent":
        attrs |= {"solution_method": "automaton_key", "graph_method": _method(attrs)}
        own |= _labelled(own)
    elif "solution_key" in own:
        attrs["solution_method"] = "dynamical_objects"
    for stage, name in (("classify", "classification"), ("recording_size", "recording_size")):
        if name in groups:
            done = np.full(n, DONE, np.uint8)
            own[f"status_{stage}"] = _Array(f"status_{stage}", ("network",), done)
            empty = np.full(n, "", "U1")
            own[f"message_{stage}"] = _Array(f"message_{stage}", ("network",), empty)
    noting = records.noting_store(new.path)
    _write(noting, copy.group_path("population"), own, declared, attrs, shard)
    for name, group in groups.items():
        called = _GROUPS.get(name, name)
        arrays = _arrays(group)
        if called == "checkpoints":  # whose labels are another thing than the population's
            arrays = {_checkpoint_name(k, a): _renamed(a) for k, a in arrays.items()}
        shared = {v.name for v in BASE}
        arrays |= {k: v for k, v in own.items() if k in shared and k not in arrays}
        arrays |= {k: labels[k] for k in labels if k in shared}
        if _same(arrays.get("seed"), own.get("seed")):  # no label, and the population has it
            del arrays["seed"]
        if name in ("training", "extrapolation"):
            _epochs(arrays)
            arrays |= {c: own[c] for c in ("input_channel", "output_channel")}
        if name == "classification" and _same(arrays.get("features"), own.get("features")):
            del arrays["features"]
        if name == "recording_size":
            _sizes_as_numbers(arrays)
        # One length for a name in a group and those below it.
        of_group = collection.declared(called, architecture)
        _write(noting, copy.group_path(called), arrays, of_group, _attrs(group, n), shard)
    records.note_copy(copy, noting, copy.group_path("population"))


def _read_size(networks: int, bytes_each: int) -> int:
    """Networks in a chunk of a store that is read more than written.

    Loading takes about a millisecond a chunk, so few and large ones: up to 1 MB of the largest
    array, but a power of two up to 16, so that a reader's own ``chunks={"network": 16}`` (or 32,
    64) cuts none.

    Examples
    --------
    >>> _read_size(400, 10_000), _read_size(400, 200_000), _read_size(12, 10_000)
    (16, 4, 1)
    """
    most = min(16, networks // 10, CHUNK_BYTES // max(bytes_each, 1))
    return 1 << (max(most, 1).bit_length() - 1)


def _arrays(group: zarr.Group) -> dict[str, _Array]:
    out = {}
    for name, array in group.arrays():
        dims = tuple(_DIMS.get(d, d) for d in array.metadata.dimension_names or ())
        called = _DIMS[name] if name in _DIMS and dims == (_DIMS[name],) else name
        attrs = {k: v for k, v in array.attrs.items() if k not in _LISTS}
        if name == "feature":  # lists along it become coordinates
            attrs["lists"] = {k: v for k, v in array.attrs.items() if k in _LISTS}
        if name == "activity_feature":
            attrs["lists"] = {k: v for k, v in array.attrs.items() if k in _LISTS}
        out[called] = _Array(called, dims, array, attrs)
    return out


def _checkpoint_name(name: str, array: _Array) -> str:
    if array.dims[:2] != ("network", "checkpoint"):
        return name
    return CHECKPOINT_PREFIX + _LABELLED.get(name, name)


def _renamed(array: _Array) -> _Array:
    return dataclasses.replace(array, name=_checkpoint_name(array.name, array))


def _sizes(arrays: Mapping[str, _Array]) -> dict[str, int]:
    return {d: int(s) for a in arrays.values() for d, s in zip(a.dims, a.shape, strict=True)}


def _text(values: Any) -> NDArray[Any]:
    return text_array(np.asarray(values[...] if hasattr(values, "metadata") else values))


def _merge_features(own: dict[str, _Array]) -> None:
    """One ``features`` of the published ones and the further ones, told apart by their family."""
    names = own.pop("feature", None)
    values = own.pop("features", None)
    more_names, more = own.pop("activity_feature", None), own.pop("activity_features", None)
    if names is None or values is None:
        return
    first = [str(x) for x in _text(names.values)]
    lists = names.attrs.get("lists", {})
    family = ["published"] * len(first)
    columns = {
        "feature_units": list(lists.get("feature_units", ["1"] * len(first))),
        "feature_source": list(lists.get("feature_sources", [""] * len(first))),
        "feature_description": list(lists.get("feature_meanings", [""] * len(first))),
    }
    blocks = [np.asarray(values.values[...])]
    if more_names is not None and more is not None:
        further = [str(x) for x in _text(more_names.values)]
        lists = more_names.attrs.get("lists", {})
        families = [str(f) for f in lists.get("feature_families", ["activity"] * len(further))]
        taken = set(first)
        first += [f"{f}.{x}" if x in taken else x for f, x in zip(families, further, strict=True)]
        family += families
        for column, key in (
            ("feature_units", "feature_units"),
            ("feature_source", "feature_sources"),
            ("feature_description", "feature_meanings"),
        ):
            columns[column] += list(lists.get(key, [""] * len(further)))
        blocks.append(np.asarray(more.values[...]))
    own["feature"] = _Array("feature", ("feature",), text_array(first))
    own["feature_family"] = _Array("feature_family", ("feature",), text_array(family))
    for column, told in columns.items():
        own[column] = _Array(column, ("feature",), text_array([str(x) for x in told]))
    own["features"] = _Array("features", ("network", "feature"), np.concatenate(blocks, axis=1))


def _labels(own: Mapping[str, _Array], task: str, architecture: str) -> dict[str, _Array]:
    out = {
        "task": _Array("task", (), np.array(task)),
        "architecture": _Array("architecture", (), np.array(architecture)),
    }
    recurrent = kind_of(architecture).name == "recurrent"
    for name in (v.name for v in LABELS):
        # The key of solutions was that of what their graphs allow.
        source = "solution_key" if name == "automaton_key" and recurrent else name
        if source in own:
            values = own[source].values
            stored = _text(values) if name != "solution" else np.asarray(values[...])
            out[name] = _Array(name, ("network",), stored)
    if "solution_key" in out:
        names = [solution_name(str(k)) for k in out["solution_key"].values]
        out["solution_name"] = _Array("solution_name", ("network",), text_array(names))
    return out


def _labelled(own: Mapping[str, _Array]) -> dict[str, _Array]:
    """Where reduce named solutions, the stage that does so now has ended for what it ended for."""
    copies = {
        "status_label": "status_reduce",
        "message_label": "message_reduce",
        "graph_description": "solution_description",
    }
    return {
        new: dataclasses.replace(own[old], name=new, attrs={})
        for new, old in copies.items()
        if old in own
    }


def _epochs(arrays: dict[str, _Array]) -> None:
    """Names of epochs as a coordinate."""
    meanings = str(arrays["epoch"].attrs.get("flag_meanings", "")).split()
    flags = arrays["epoch"].attrs.get("flag_values", list(range(len(meanings))))
    arrays["epoch_name"] = _Array("epoch_name", ("epoch_name",), text_array(meanings))
    arrays["epoch_flag"] = _Array("epoch_flag", ("epoch_name",), np.array(flags, np.int8))


def _sizes_as_numbers(arrays: dict[str, _Array]) -> None:
    """All units, and the activity without spikes, are infinity and no longer 0."""
    for name in ("recorded_units", "recorded_trials"):
        values = np.asarray(arrays[name].values[...], np.float64)
        arrays[name] = _Array(name, (name,), np.where(values == 0, np.inf, values))


def _same(one: _Array | None, other: _Array | None) -> bool:
    if one is None or other is None:
        return False
    return np.array_equal(one.values[...], other.values[...], equal_nan=True)


def _attrs(group: zarr.Group, networks: int) -> dict[str, Any]:
    """Attributes without booleans, long numbers, and what are coordinates now."""
    gone = (_CREATED_1, "task", "architecture", "coordinates", "shard_size")
    out = {k: v for k, v in group.attrs.items() if k not in gone}
    if isinstance(out.get("seed"), int) and out["seed"] >= 1 << 53:
        out["seed"] = str(out["seed"])
    if "recipe" in out:
        recipe = json.loads(str(out["recipe"]))
        for old, new in _RECIPE.items():
            recipe = {new + k.removeprefix(old) if k.startswith(old) else k: v
                      for k, v in recipe.items()}  # fmt: skip
        out["recipe"] = json.dumps(recipe)
    if "options" in out:
        out["options"] = json.dumps(_options(json.loads(str(out["options"]))))
    if "provenance" in out:
        entries = json.loads(str(out["provenance"]))
        for entry in entries:
            entry["stage"] = str(entry.get("stage")).replace("-", "_")
            if entry["stage"] in ("classify", "recording_size"):
                entry["options"] = _options(entry["options"])
        out["provenance"] = json.dumps(entries)
    return out


def _options(before: Mapping[str, Any]) -> dict[str, Any]:
    """Options of classify and recording-size under their names of now, so that they can go on."""
    out = {_OPTIONS.get(name, name): value for name, value in before.items()}
    for name in ("units", "trials"):
        if isinstance(out.get(name), list):
            out[name] = [np.inf if n in (0, None) else float(n) for n in out[name]]
    return out


def _method(attrs: Mapping[str, Any]) -> str:
    """The method that graphs were made with, as the provenance tells."""
    entries = json.loads(str(attrs.get("provenance", "[]")))
    found = [e["options"].get("method") for e in entries if e.get("stage") == "reduce"]
    method = (found[-1] if found else None) or "turner2021"
    return "automaton" if method == "timed" else str(method)


def _variables(
    arrays: Mapping[str, _Array], declared: Mapping[str, Variable]
) -> Iterator[Variable]:
    for array in arrays.values():
        yield _variable(array, declared)


def _variable(array: _Array, declared: Mapping[str, Variable]) -> Variable:
    known = declared.get(array.name)
    if known is not None:
        return known
    values = array.values
    dtype = getattr(values, "dtype", np.dtype("U1"))
    if dtype.kind in "OTU":
        dtype = _text(values).dtype
    return Variable(
        array.name,
        array.dims,
        dtype.str.lstrip("<>|=") if dtype.kind == "U" else str(dtype),
        str(array.attrs.get("long_name", array.name)),
        fill="" if dtype.kind == "U" else dtype.type(0),
        attrs={k: v for k, v in array.attrs.items() if k not in ("long_name", "lists")},
        coordinate=True,
    )


def _write(
    store: Any,
    path: str,
    arrays: Mapping[str, _Array],
    declared: Mapping[str, Variable],
    attrs: Mapping[str, Any],
    shard: int,
) -> None:
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    with quiet():
        target = root.require_group(path)
    variables = {name: _variable(array, declared) for name, array in arrays.items()}
    sizes = _sizes(arrays)
    chunk = chunk_size(shard, network_bytes(variables.values(), sizes))
    for name, array in arrays.items():
        variable = variables[name]
        text = _text(array.values) if variable.text else None
        if name.startswith("message_") and text is not None and not (text != "").any():
            continue  # created when one is needed
        if text is not None or math.prod(array.shape) <= _SMALL:
            whole = np.asarray(array.values[...]) if text is None else text
            variable = packed_variable(variable, whole)
        of_shard = WHOLE
        if text is None and array.dims[:1] == ("network",):
            itemsize = np.dtype(variable.dtype).itemsize
            of_shard = packed_shard_size(array.shape, itemsize, chunk)
        out = create_array(target, variable, sizes, shard_size=of_shard, chunk=chunk, packed=True)
        kept = {k: v for k, v in array.attrs.items() if k not in ("lists", "long_name", "units")}
        with quiet():
            if kept:
                out.attrs.update({**kept, **variable.attributes()})
            if text is not None:
                out[...] = checked_text(text, out, name)
                continue
            step = (out.shards or out.chunks or (1,))[0] if out.ndim else 1
            if not out.ndim:
                out[...] = np.asarray(array.values[...])
            for start in range(0, array.shape[0] if array.shape else 0, step):
                out[start : start + step] = np.asarray(array.values[start : start + step])
    indexed = {v.name for v in variables.values() if v.dims == (v.name,)}
    coordinates = [
        n for n, v in variables.items() if n in target and v.coordinate and n not in indexed
    ]
    target.attrs.update(
        {
            **attrs,
            "coordinates": " ".join(coordinates),
            "shard_size": shard,
            "chunk_size": chunk,
            CREATED: 1,
        }
    )
