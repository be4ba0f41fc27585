"""Which class each network is of: labels as they come, and how many networks each class has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Labelled", "aligned", "count_labels", "label_variables"]

# A population, the labels of its networks, or how many networks each class has.
Labelled: TypeAlias = "xr.Dataset | xr.DataArray | Mapping[Any, int] | ArrayLike"

KEY = "_key"


def label_variables(ds: xr.Dataset) -> list[str]:
    """Names of the labels a population has: keys along ``network`` that some network has.

    A key that says of every network what one before it says, such as ``solution_key`` after the
    label it follows, is left out.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset(coords={"graph_key": ("network", ["a", "b"]),
    ...                         "solution_key": ("network", ["a", "b"]),
    ...                         "attractor_key": ("network", ["", ""])})
    >>> label_variables(ds)
    ['graph_key']
    """
    names = sorted(
        str(n) for n, v in ds.variables.items() if str(n).endswith(KEY) and v.dims == ("network",)
    )
    names.sort(key=lambda name: name == "solution_key")  # it follows one of the others
    found: dict[str, list[str]] = {}
    for name in names:
        values = [str(v) for v in ds[name].values.tolist()]
        if any(values) and values not in found.values():
            found[name] = values
    return list(found)


def count_labels(data: Labelled, label: str) -> tuple[dict[str, int], int]:
    """Networks of each class, commonest first, and how many networks have no label.

    Parameters
    ----------
    data : Dataset, DataArray, array or mapping
        A population with ``label``; labels, one a network; or how many networks each class has.
    label : str
        The name of the labels in a Dataset. Empty strings and negative numbers are no label.

    Raises
    ------
    SolspaceError
        Where there are no labels, or no such counts.

    Examples
    --------
    >>> count_labels(["b", "a", "b", ""], "graph_key")
    ({'b': 2, 'a': 1}, 1)
    >>> count_labels({"a": 3, "b": 0}, "graph_key")
    ({'a': 3}, 0)
    """
    import xarray as xr

    if isinstance(data, xr.Dataset):
        values = _of_dataset(data, label)
    elif isinstance(data, Mapping):
        return _of_counts(data), 0
    else:
        values = np.asarray(data.values if isinstance(data, xr.DataArray) else data)
    if values.ndim != 1 or values.dtype.kind not in "iuUTO":
        raise SolspaceError(
            f"labels have to be one key or number a network; given are values of shape "
            f"{values.shape} and type {values.dtype}; give a population with {label!r}, its "
            "labels, or how many networks each class has"
        )
    if values.dtype.kind in "iu":
        known = [str(v) for v in values.tolist() if v >= 0]
    else:
        known = [str(v) for v in values.tolist() if str(v)]
    return _sorted(Counter(known)), len(values) - len(known)


def _of_dataset(ds: xr.Dataset, label: str) -> NDArray[Any]:
    if label in ds.variables and ds[label].dims == ("network",):
        return np.asarray(ds[label].values)
    there = label_variables(ds) if "network" in ds.sizes else []
    if label in ds.variables:
        raise SolspaceError(
            f"{label!r} is over ({', '.join(map(str, ds[label].dims))}), not one value a network; "
            f"labels there: {', '.join(there) or 'none'}"
        )
    raise SolspaceError(
        f"the dataset has no label {label!r}; labels there: {', '.join(there) or 'none'}. Labels "
        "are made by `solspace run STORE`, or solspace.reduce(ds)"
    )


def _of_counts(given: Mapping[Any, Any]) -> dict[str, int]:
    bad = {k: v for k, v in given.items() if not _is_count(v)}
    if bad:
        name, value = next(iter(bad.items()))
        raise SolspaceError(
            f"class {name!r} has {value!r} networks; give a whole number from 0 for each class"
        )
    return _sorted({str(k): int(v) for k, v in given.items() if v > 0})


def _is_count(value: Hashable) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 0


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """Commonest first, ties in the order of the names."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right.

    Examples
    --------
    >>> aligned([("label", "n"), ("key", "400")])
    ['label    n', 'key    400']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
