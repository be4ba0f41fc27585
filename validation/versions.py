"""Show that every value of a store of version 1 is in the store of version 2 made from it.

python -m validation.versions OLD NEW

Every array of OLD is looked up in NEW by the names of the contract, read by Zarr alone, and
compared to the bit (strings by their characters). Written apart from `solspace.store.migrate`, so
that a mistake there is not repeated here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

__all__ = ["compare"]

DIMS = {
    "input": "input_channel",
    "output": "output_channel",
    "class": "label_class",
    "units": "recorded_units",
    "trials": "recorded_trials",
    "seen_feature": "recorded_feature",
}


def compare(old: str, new: str) -> tuple[int, list[str]]:
    """How many values of the old store were compared, and every difference, a sentence each.

    Parameters
    ----------
    old, new : str
        Stores of version 1 and 2.
    """
    before = zarr.open_group(old, mode="r", use_consolidated=False)
    after = zarr.open_group(new, mode="r", use_consolidated=False)
    count, faults = 0, []
    for path, array in before.members(max_depth=None, use_consolidated_for_children=False):
        if not isinstance(array, zarr.Array):
            continue
        count += int(array.size)
        faults += [f"{path}: {fault}" for fault in _compare_array(after, path, array)]
    return count, faults


def _compare_array(after: zarr.Group, path: str, array: zarr.Array[Any]) -> Iterator[str]:
    task, architecture, *rest = path.split("/")
    group, name = (rest[0], rest[1]) if len(rest) == 2 else ("", rest[0])
    base = f"{task}/{architecture}"
    dims = tuple(array.metadata.dimension_names or ())
    values = np.asarray(array[...])
    population = after[base]
    if not group and name in ("activity_feature", "activity_features", "feature", "features"):
        yield from _compare_features(after, base, name, values)
        return
    where = base if not group else f"{base}/{'checkpoints' if group == 'learning' else group}"
    if group == "learning" and dims[:2] == ("network", "checkpoint"):
        # What labels checkpoints is a stage of its own now.
        labelled = {"status_reduce": "status_label", "message_reduce": "message_label"}
        called = f"checkpoint_{labelled.get(name, name)}"
    else:
        called = DIMS.get(name, name) if dims == (name,) else name
    if group == "classification" and name == "features" and called not in after[where]:
        where = base  # the population's own, which they equal
    if group and name == "seed" and f"{where}/seed" not in after:
        where = base  # likewise
    if f"{where}/{called}" not in after:
        if called.startswith("message_") and not (_text(values) != "").any():
            return  # empty: created when a network fails
        yield f"not there as {where}/{called}"
        return
    found: Any = after[f"{where}/{called}"]
    expected = tuple(DIMS.get(d, d) for d in dims)
    if tuple(found.metadata.dimension_names or ()) != expected:
        yield f"dims {found.metadata.dimension_names}, expected {expected}"
    got = np.asarray(found[...])
    if called in ("recorded_units", "recorded_trials"):
        values = np.where(values == 0, np.inf, values.astype(float))
    if not _equal(values, got):
        yield f"values differ from those of {where}/{called}"
    assert isinstance(population, zarr.Group)


def _compare_features(
    after: zarr.Group, base: str, name: str, values: NDArray[Any]
) -> Iterator[str]:
    names: Any = after[f"{base}/feature"]
    family: Any = after[f"{base}/feature_family"]
    everything: Any = after[f"{base}/features"]
    published = _text(family[...]) == "published"
    own = published if name in ("feature", "features") else ~published
    if name == "features" or name == "activity_features":
        if not _equal(values, np.asarray(everything[...])[:, own]):
            yield "values differ from those of features"
        return
    found = [n.rpartition(".")[2] for n in _text(names[...])[own].tolist()]
    if found != _text(values).tolist():
        yield "names differ from those of feature"


def _text(values: NDArray[Any]) -> NDArray[Any]:
    return np.array([str(v) for v in values.ravel().tolist()], dtype=object).reshape(values.shape)


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """To the bit; strings by their characters."""
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "OTU":
        return bool((_text(one) == _text(other)).all())
    return one.dtype == other.dtype and np.ascontiguousarray(one).tobytes() == (
        np.ascontiguousarray(other).tobytes()
    )


if __name__ == "__main__":
    compared, different = compare(*sys.argv[1:3])
    for line in different:
        print(line)
    print(f"{compared} values of {sys.argv[1]} compared, {len(different)} arrays differ")
    sys.exit(bool(different))
