"""Draw the picture of docs/fixed_points.md and write the tables of it, from the shipped stores.

python -m docs.make_fixed_points [--store STORE ...]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from docs.pages import write_part
from solspace.labels import solution_name
from solspace.plots import plot_fixed_points, save
from solspace.store import Population, Store
from solspace.tasks import get_task, silences_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "fixed_points.md"
SHIPPED = [ROOT / "stores" / f"{name}.zarr" for name in ("turner2021", "context_integration")]
DRAWN = "delayed_discrimination/vanilla"
NETWORK = 12  # of it
MOST = 5  # solutions told of each population
EXPLAINED = """\
*Most unstable*: directions of the most unstable point of any network. *With slow*: networks with a
slow point, of 400. *Converge*: starts that come to a fixed point. *Fewer*: networks that have fewer
stable points than [their silences end in](attractors.md), a search of another kind from other
states."""
COLUMNS = (
    "population", "stable", "saddles", "slow", "most unstable", "with slow", "converge",
    "fewer",
)  # fmt: skip
OF_SOLUTIONS = ("solution", "networks", "stable", "saddles", "slow")


def row_of(name: str, given: str, points: xr.Dataset, ends: xr.Dataset) -> tuple[str, ...]:
    """Of a population under one constant input."""
    own = points.sel(constant_input=given)
    stable, slow = own.stable_points.values, own.slow_points.values
    return (
        f"`{name}`" + (f"<br>{given}" if len(points.constant_input) > 1 else ""),
        f"{stable.mean():.1f}",
        f"{own.saddle_points.values.mean():.1f}",
        f"{slow.mean():.1f}",
        str(own.fixed_point_unstable.values.max()),
        str((slow > 0).sum()),
        _percent(own.starts_converged.values.mean()),
        str((stable < settled_points(own.constant_input_value.values, ends)).sum()),
    )


def settled_points(given: np.ndarray, ends: xr.Dataset) -> np.ndarray:
    """Of each network the points that silences end in during which this input is held."""
    held = np.isclose(silences_of(get_task(str(ends.task.values))).constant, given).all(axis=1)
    index, kind = ends.attractor_index.values[:, held], ends.attractor_kind.values
    return np.array(
        [len({i for i in row if own[i] == 0}) for row, own in zip(index, kind, strict=True)]
    )


def rows_by_solution(ds: xr.Dataset, points: xr.Dataset) -> Iterator[tuple[str, ...]]:
    """The commonest solutions, with what most of their networks settle to."""
    solutions, keys = (ds[v].values.astype(str) for v in ("solution_name", "attractor_key"))
    for solution, number in Counter(solutions.tolist()).most_common(MOST):
        own = solutions == solution
        key, often = Counter(keys[own].tolist()).most_common(1)[0]
        told = f"`{solution}`"
        if solution_name(key) != solution:  # whose name it is where solutions follow it
            told += f"<br>`{key}`" + ("" if often == number else f" ({_percent(often / number)})")
        counts = (points[f"{kind}_points"].values[own].mean(axis=0) for kind in _KINDS)
        yield told, str(number), *(" / ".join(f"{c:.1f}" for c in count) for count in counts)


_KINDS = ("stable", "saddle", "slow")


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def populations(stores: Sequence[Path]) -> Iterator[tuple[Population, Path]]:
    for path in stores:
        for population in Store(str(path)).populations():
            yield population, path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, nargs="+", default=SHIPPED, metavar="STORE")
    stores = parser.parse_args().store
    drawn = xr.open_zarr(stores[0], group=DRAWN)
    picture = plot_fixed_points(drawn.isel(network=[NETWORK]).load(), 0)
    save(picture, ROOT / "docs" / "images" / "fixed_points", formats=["png"], dpi=200)
    rows: list[tuple[str, ...]] = []
    parts: list[str] = []
    for population, path in populations(stores):
        ds = xr.open_zarr(path, group=population.group_path("population"))
        points = xr.open_zarr(path, group=population.group_path("fixed_points"))
        ends = xr.open_zarr(path, group=population.group_path("attractors")).load()
        wanted = [*(f"{kind}_points" for kind in _KINDS), "starts_converged"]
        wanted += ["fixed_point_unstable", "constant_input_value"]
        points = points.reset_coords("constant_input_value")[wanted].load()
        inputs = points.constant_input.values.tolist()
        rows += [row_of(str(population), given, points, ends) for given in inputs]
        under = " / ".join(inputs)
        parts += [
            f"**{population}**, under {under}:",
            _table(OF_SOLUTIONS, list(rows_by_solution(ds, points))),
        ]
    write_part(PAGE, __file__, "\n\n".join([_table(COLUMNS, rows), EXPLAINED, *parts]))


if __name__ == "__main__":
    main()
