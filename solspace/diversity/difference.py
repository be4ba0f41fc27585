"""How far two populations are apart: class by class, never by rank."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from solspace.diversity.distance import total_variation
from solspace.diversity.labels import Labelled, aligned, count_labels
from solspace.errors import SolspaceError
from solspace.population.describe import graph_method, label_of
from solspace.population.variables import GRAPH_LABELS, text_array

__all__ = ["compare_solutions", "difference_table"]

OTHER = "other"
FOLLOWING = ("solution_key", "solution_name", "solution_description")

MEANINGS = {
    "count": ("networks", "networks of a class"),
    "share": ("1", "share of the sample's networks that is of a class"),
    "distance": ("1", "total variation between the two samples as counted"),
    "distance_estimate": ("1", "total variation between their distributions, bias taken off"),
    "distance_low": ("1", "lower end of the interval of the distance between the distributions"),
    "distance_high": ("1", "upper end of the interval of the distance between the distributions"),
    "floor": ("1", "mean distance of two samples of these sizes from one distribution"),
    "floor_high": ("1", "95th percentile of that distance"),
    "p_value": ("1", "how often samples from one distribution are at least as far apart"),
    "unlabelled": ("networks", "networks without a label, left out"),
}


def compare_solutions(
    one: Labelled,
    other: Labelled,
    label: str = "solution_key",
    *,
    classes: Mapping[str, Collection[str]] | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """How far the histograms of solutions of two populations are apart, with sampling error.

    Classes are matched by what they are called, never by how common they are. The distance is total
    variation: the share of networks that would have to be of another class to make the histograms
    alike. Two samples of one distribution are not at distance 0; how far chance takes them apart
    is part of the result (see `solspace.diversity.total_variation`).

    Parameters
    ----------
    one, other : Dataset, DataArray, array or mapping
        Populations with ``label``; or labels, one a network; or how many networks each class has.
        Networks without a label are left out.
    label : str
        A label that means the same in both: a key, not ``solution``, which is a number.
    classes : mapping of str to collection of str, optional
        Classes of several labels each, by name. Labels in none of them are counted as ``other``,
        which makes the distance a lower bound. Counts that are given may name classes or labels.
    confidence : float
        Of the interval.
    resamples : int
        Samples drawn; for the interval as many for each of 32 distances.
    seed : int
        Of these draws.

    Returns
    -------
    Dataset
        ``count`` and ``share`` (sample, label_class), commonest class first, and scalars:
        ``distance`` as counted; ``distance_estimate``, ``distance_low`` and ``distance_high`` of
        the distance between the distributions the samples are from; ``floor`` and ``floor_high``,
        the mean and 95th percentile of the distance of two samples of these sizes from one
        distribution; ``p_value`` of the permutation test that they are.

    Raises
    ------
    SolspaceError
        Where there is no such label, a sample has no labelled networks, or classes overlap.

    Examples
    --------
    >>> ours = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    >>> found = compare_solutions(ours, {"first": 55, "second": 35, "other": 10},
    ...                           classes={"first": ["a"], "second": ["b"]})
    >>> found["count"].sel(sample="one").to_series().to_dict()
    {'first': 50, 'second': 30, 'other': 20}
    >>> round(found.distance.item(), 2), found.distance_low.item()
    (0.1, 0.0)
    """
    if label == "solution" and all(isinstance(sample, xr.Dataset) for sample in (one, other)):
        raise SolspaceError(
            "'solution' 0 is another solution in each population; compare by 'solution_key'"
        )
    _check_methods(label, [s.attrs for s in (one, other) if isinstance(s, xr.Dataset)])
    counted = [count_labels(sample, label) for sample in (one, other)]
    for which, (counts, _) in zip(("one", "other"), counted, strict=True):
        if not counts:
            raise SolspaceError(f"no network of {which!r} has a {label!r}; nothing to compare")
    groups = None if classes is None else _groups(classes)
    merged = [_merged(counts, groups) for counts, _ in counted]
    names = _ordered(merged, groups)
    table = np.array([[counts.get(name, 0) for name in names] for counts in merged])
    found = total_variation(
        table[0], table[1], confidence=confidence, resamples=resamples, seed=seed
    )
    ds = xr.Dataset(
        {
            "count": (("sample", "label_class"), table),
            "share": (("sample", "label_class"), table / table.sum(axis=1, keepdims=True)),
            "unlabelled": ("sample", [missing for _, missing in counted]),
            "distance": found.counted,
            "distance_estimate": found.estimate,
            "distance_low": found.low,
            "distance_high": found.high,
            "floor": found.floor,
            "floor_high": found.floor_high,
            "p_value": found.p_value,
        },
        coords={"sample": ["one", "other"], "label_class": text_array(names)},
        attrs={"label": label, "confidence": confidence, "resamples": resamples, "seed": seed},
    )
    for name, (units, meaning) in MEANINGS.items():
        ds[name].attrs = {"long_name": meaning, "units": units}
    return ds


def _check_methods(label: str, attrs: Sequence[Mapping[str, Any]]) -> None:
    """Keys by different methods are never equal: that would be a distance of 1, and no finding."""
    methods = {told for a in attrs if (told := _told_method(label, a))}
    if len(methods) > 1:
        raise SolspaceError(
            f"{label!r} is by different methods ({'; '.join(sorted(methods))}), which do not "
            "compare; compare by a label that both have by one method, or label both anew"
        )


def _told_method(label: str, attrs: Mapping[str, Any]) -> str:
    """What a population says its keys are; empty where it does not say."""
    by = label_of(attrs) if label in FOLLOWING else label
    says_graphs = "graph_method" in attrs or " of " in str(attrs.get("solution_method", ""))
    if by in GRAPH_LABELS:
        return f"{by} of {graph_method(attrs)} graphs" if says_graphs else ""
    return by


def _groups(classes: Mapping[str, Collection[str]]) -> dict[str, str]:
    """The class of each label; a class is also found by its name."""
    out: dict[str, str] = {}
    for name, keys in classes.items():
        if str(name) == OTHER:
            raise SolspaceError(
                f"a class cannot be called {OTHER!r}: so is called what is in no class"
            )
        if isinstance(keys, str):
            raise SolspaceError(
                f"class {name!r} is given as {keys!r}; give its labels in a list, such as "
                f"{{{name!r}: [{keys!r}]}}"
            )
        for key in (name, *keys):
            if out.setdefault(str(key), str(name)) != str(name):
                raise SolspaceError(
                    f"{str(key)!r} is in classes {out[str(key)]!r} and {name!r}; a label can be in "
                    "one only"
                )
    return out


def _merged(counts: Mapping[str, int], groups: Mapping[str, str] | None) -> dict[str, int]:
    if groups is None:
        return dict(counts)
    out: dict[str, int] = {}
    for key, number in counts.items():
        name = groups.get(key, OTHER)
        out[name] = out.get(name, 0) + number
    return out


def _ordered(merged: Sequence[Mapping[str, int]], groups: Mapping[str, str] | None) -> list[str]:
    """Classes as they were given and the others last, or by their share in both samples."""
    if groups is not None:
        given = list(dict.fromkeys(groups.values()))
        return given + [OTHER] * any(OTHER in counts for counts in merged)
    total = [sum(counts.values()) for counts in merged]
    everything = dict.fromkeys(key for counts in merged for key in counts)

    def share(key: str) -> float:
        return sum(counts.get(key, 0) / n for counts, n in zip(merged, total, strict=True))

    return sorted(everything, key=lambda key: (-share(key), key))


def difference_table(results: Mapping[str, xr.Dataset]) -> list[str]:
    """Lines of a table with a row a result of `compare_solutions`, by a name for each.

    Examples
    --------
    >>> found = compare_solutions({"a": 30, "b": 10}, {"a": 10, "b": 30})
    >>> difference_table({"graph_key": found})[1].split()[:5]
    ['graph_key', '40', '40', '2', '0.500']
    """
    level = next(iter(results.values())).attrs["confidence"]
    rows: list[tuple[str, ...]] = [
        (
            "label",
            "one",
            "other",
            "classes",
            "distance",
            f"without bias ({level:.0%} interval)",
            "by chance (95th percentile)",
            "p",
        )
    ]
    for name, one in results.items():
        value = {key: one[key].item() for key in MEANINGS if not one[key].dims}
        rows.append(
            (
                name,
                *(str(n) for n in one["count"].sum("label_class").values.tolist()),
                str(one.sizes["label_class"]),
                f"{value['distance']:.3f}",
                f"{value['distance_estimate']:.3f} ({value['distance_low']:.3f} to "
                f"{value['distance_high']:.3f})",
                f"{value['floor']:.3f} ({value['floor_high']:.3f})",
                f"{value['p_value']:.2g}",
            )
        )
    return aligned(rows)
