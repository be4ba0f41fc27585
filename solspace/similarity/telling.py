"""Text about pairs of networks, for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from solspace.errors import SolspaceError
from solspace.similarity.measures import MEASURES
from solspace.similarity.separation import separation

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["degeneracy_table", "measures_table", "pairs_table"]


def measures_table() -> list[str]:
    """A line a measure: which way it points, whether it is a metric, what it is.

    Examples
    --------
    >>> print(measures_table()[1][:52])
    procrustes             distance    metric      exact
    """
    rows = [("measure", "direction", "", "value", "of", "is")]
    for m in MEASURES.values():
        metric = "metric" if m.metric else "not metric"
        rows.append((m.name, m.direction, metric, m.bound, m.of, m.meaning))
    return _aligned(rows)


def pairs_table(pairs: xr.DataArray, by: Sequence[str] = ()) -> list[str]:
    """What a measure says of pairs of networks, and how well it tells labels.

    Parameters
    ----------
    pairs : DataArray
        What `solspace.similarity.pairwise` returns.
    by : sequence of str
        Labels.

    Examples
    --------
    >>> from solspace.similarity import pairwise
    >>> x = np.random.default_rng(0).normal(size=(3, 9, 4))
    >>> print("\\n".join(pairs_table(pairwise(list(x), "cka"))))
    measure    cka: linear centred kernel alignment
    direction  similarity, 1 for the same; not a metric; exact
    pairs      3, of 3 networks
    quartiles  0.385, 0.43, 0.487 (least 0.341, most 0.545)
    """
    attrs = pairs.attrs
    values = np.asarray(pairs.values, np.float64)
    n, m = values.shape
    if attrs["itself"]:
        told, values = f"{n} networks", values[np.triu_indices(n, 1)]
    else:
        told, values = f"{n} networks with {m}", values.ravel()
    known = values[np.isfinite(values)]
    same = "0 for the same" if attrs["direction"] == "distance" else "1 for the same"
    unit = "" if attrs["units"] == "1" else f"; in {attrs['units']}"
    bound = "exact" if attrs["bound"] == "exact" else "an upper bound, by a search"
    lines = [
        f"measure    {attrs['measure']}: {attrs['long_name']}",
        f"direction  {attrs['direction']}, {same}; {'a' if attrs['metric'] else 'not a'} metric; "
        f"{bound}{unit}",
        f"pairs      {len(known):,}, of {told}",
    ]
    gone = [f"{attrs[f'{n}_left_out']} {n}" for n in ("networks", "samples") if
            attrs[f"{n}_left_out"]]  # fmt: skip
    if gone:
        lines.append(f"left out   {' and '.join(gone)}")
    if not len(known):
        return lines
    least, *quartiles, most = np.quantile(known, [0, 0.25, 0.5, 0.75, 1])
    quarters = ", ".join(f"{q:.3g}" for q in quartiles)
    lines.append(f"quartiles  {quarters} (least {least:.3g}, most {most:.3g})")
    if not by:
        return lines
    rows = [("label", "classes", "networks", "within", "between", "AUC", "nearest is of its class",
             "by chance", "p")]  # fmt: skip
    untold = []
    for label in by:
        try:
            s = separation(pairs, label)
        except SolspaceError as error:
            untold.append(f"{label}: {error}")
            continue
        chance = f"{s.chance.item():.0%} ({s.chance_low.item():.0%} to {s.chance_high.item():.0%})"
        rows.append(
            (
                label,
                str(s.attrs["classes"]),
                str(s.attrs["networks"]),
                f"{s.within.item():.3g}",
                f"{s.between.item():.3g}",
                f"{s.auc.item():.2f}",
                f"{s.neighbour_share.item():.0%}",
                chance,
                f"{s.p.item():.3f}",
            )
        )
    return [*lines, *(_aligned(rows) if len(rows) > 1 else ()), *untold]


def degeneracy_table(found: xr.Dataset) -> list[str]:
    """A line a level, of what `solspace.similarity.degeneracy` returns.

    Examples
    --------
    >>> import xarray as xr
    >>> names = ("distance", "distance_low", "distance_high", "networks", "pairs", "measured")
    >>> row = {n: ("level", [v]) for n, v in zip(names, (0.5, 0.4, 0.6, 3, 3, "angle"))}
    >>> print(degeneracy_table(xr.Dataset(row, {"level": ["dynamics"]}))[1])
    dynamics       0.5    0.4 to 0.6         3      3  angle
    """
    rows = [
        ("level", "distance", "95 % interval", "networks", "pairs", "is the mean over pairs of")
    ]
    for level in found.level.values.tolist():
        one = found.sel(level=level)
        low, high = one.distance_low.item(), one.distance_high.item()
        rows.append(
            (
                str(level),
                f"{one.distance.item():.3g}",
                f"{low:.3g} to {high:.3g}",
                f"{one.networks.item():,}",
                f"{one.pairs.item():,}",
                str(one.measured.item()),
            )
        )
    lines = _aligned(rows)
    if "loss_spread" in found:
        low, high = found.loss_spread_low.item(), found.loss_spread_high.item()
        lines.append(
            f"loss outside the trained range: standard deviation {found.loss_spread.item():.3g} "
            f"over networks ({low:.3g} to {high:.3g})"
        )
    if missing := found.attrs.get("missing"):
        lines.append(f"not there: {missing}")
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: words to the left, numbers to the right."""
    out = []
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [i > 0 and all(c[:1].isdigit() for c in column[1:]) for i, column in enumerate(columns)]
    for row in rows:
        cells = [
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, right, strict=True)
        ]
        out.append("  ".join(cells).rstrip())
    return out
