"""Groups of a population and their variables: created, replaced, laid anew, taken away.

The caller holds the store, and where processes share it, a moment alone
(`solspace.store.locks.briefly`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import xarray as xr
import zarr

from solspace.errors import SolspaceError
from solspace.population.variables import BASE, Variable, is_label
from solspace.store import locks, place, records, replacing
from solspace.store.handle import Population, Store
from solspace.store.layout import (
    WHOLE,
    check_relayout,
    chunk_size,
    create_array,
    network_bytes,
    quiet,
    relayout,
    shard_of,
    undeclared,
    whole_values,
)
from solspace.store.metadata import CREATED

__all__ = [
    "add_variables",
    "create_group",
    "create_population",
    "of_other_length",
    "outdated",
    "prepare_shards",
    "remove_dims",
    "remove_group",
    "remove_variables",
    "replace_group",
    "set_attrs",
]


def create_population(
    store: Store,
    ds: xr.Dataset,
    variables: Iterable[Variable],
    sizes: Mapping[str, int],
    *,
    shard_size: int,
) -> Population:
    """Create a population from a dataset that has its coordinates and attrs.

    Parameters
    ----------
    store : Store
    ds : Dataset
    variables : iterable of Variable
        Those its group will have, at their fill where the dataset has none.
    sizes : mapping of str to int
        Lengths of dims that the dataset does not have.
    shard_size : int
    """
    population = Population(store.path, str(ds["task"].item()), str(ds["architecture"].item()))
    with locks.briefly(store.path):
        _create(population, "population", variables, ds, sizes, shard_size)
    return population


def create_group(
    population: Population,
    group: str,
    variables: Iterable[Variable],
    ds: xr.Dataset,
    sizes: Mapping[str, int] | None = None,
) -> None:
    """Create a group: coordinates and trials written, the rest left at its fill.

    Parameters
    ----------
    population : Population
    group : str
    variables : iterable of Variable
        Those it will have.
    ds : Dataset
        Its coordinates and trial variables, and its attrs.
    sizes : mapping of str to int, optional
        Lengths of further dims, of what is filled later.
    """
    with population.briefly():
        _create(population, group, variables, ds, sizes or {}, population.shard_size)


def _create(
    population: Population,
    group: str,
    variables: Iterable[Variable],
    ds: xr.Dataset,
    extra_sizes: Mapping[str, int],
    shard_size: int,
) -> None:
    if population.has(group):
        return
    population.before_change()
    paths = [] if group == "population" else [group]
    with population.rewriting(*paths) as store:
        _fill(population, group, variables, ds, extra_sizes, shard_size, store)
    target = population.zarr_group(group, "r+")
    target.attrs[CREATED] = 1
    records.make_durable(target.store_path.store, [f"{target.path}/zarr.json"])


def _fill(
    population: Population,
    group: str,
    variables: Iterable[Variable],
    ds: xr.Dataset,
    extra_sizes: Mapping[str, int],
    shard_size: int,
    store: Any,
    *,
    whole: bool = False,
    suffix: str = "",
) -> zarr.Group:
    """Create a group without the mark that says that it is whole."""
    root = place.group(store, mode="r+")
    path = population.group_path(group) + suffix
    # A group without the mark was being created when its writer was killed.
    if path in root:
        del root[path]
    with quiet():
        target = root.require_group(path)
    sizes = {str(dim): int(size) for dim, size in ds.sizes.items()} | dict(extra_sizes)
    # A whole group has what the dataset has; others wait for what is declared too.
    here = {v.name: v for v in (*BASE, *variables)}
    here = {
        name: v
        for name, v in here.items()
        if (name in ds.variables)
        or (not whole and set(v.dims) <= set(sizes) and not _elsewhere(v, ds))
    }
    own = [undeclared(ds[n], group) for n in map(str, ds.variables) if n not in here]
    everything = [*here.values(), *own]
    n = sizes.get("network", 1)
    chunk = n if whole else chunk_size(shard_size, network_bytes(everything, sizes), n)
    for variable in everything:
        variable = _by_shard(variable) if group == "population" else variable
        size = WHOLE if whole else shard_size
        _create_array(target, variable, sizes, size, max(chunk, 1), ds, store)
    coordinates = [
        v.name for v in everything if v.dims != (v.name,) and (v.name in ds.coords or is_label(v))
    ]
    target.attrs.update(
        {
            **{k: v for k, v in ds.attrs.items() if k not in ("coordinates",)},
            "coordinates": " ".join(coordinates),
            "shard_size": int(shard_size),
            "chunk_size": int(max(chunk, 1)),
        }
    )
    return target


def _create_array(
    group: zarr.Group,
    variable: Variable,
    sizes: Mapping[str, int],
    shard_size: int,
    chunk: int,
    ds: xr.Dataset,
    store: records.Noting,
) -> None:
    """An array that was not there, with its values where a dataset has some."""
    name = variable.name
    given = ds[name] if name in ds.variables else None
    attrs = None if given is None else given.attrs
    array = create_array(group, variable, sizes, shard_size=shard_size, chunk=chunk, attrs=attrs)
    if given is None:
        return
    values = whole_values(array, given)
    fill = values.ndim and values.dtype.kind in "iubU" and bool((values == array.fill_value).all())
    files = records.shard_files(array, 0, len(values)) if fill else None
    if files is None:
        with quiet():
            array[...] = values
        return
    # Labels that nobody has given yet: Zarr would do the same, chunk by chunk.
    for file in files:
        store.remove(f"{array.path}/{file}")


def replace_group(
    population: Population, group: str, variables: Iterable[Variable], ds: xr.Dataset
) -> None:
    """Write a whole group at once, in place of the one there, which stays until that is done.

    For results that are made over all networks together, such as a classification.
    """
    with population.briefly():
        if place.is_remote(population.path):
            _replace_in_place(population, group, variables, ds)
            return
        population.mend(group)
        population.before_change()
        aside = group + replacing.UNFINISHED
        with records.rewriting(population, group, was={group: aside}) as store:
            size = population.shard_size
            made = _fill(
                population, group, variables, ds, {}, size, store,
                whole=True, suffix=replacing.UNFINISHED,
            )  # fmt: skip
            made.attrs[CREATED] = 1
            population.before_change()
            replacing.swap_in(population.folder(group))


def _replace_in_place(
    population: Population, group: str, variables: Iterable[Variable], ds: xr.Dataset
) -> None:
    """In a bucket, where nothing can be renamed: without its mark the group is not there.

    The stage that fills it is pending meanwhile, so that after a kill it is made again.
    """
    population.before_change()
    with population.rewriting(group) as store:
        if population.has(group):
            population.zarr_group(group, "r+").attrs[CREATED] = 0
        size = population.shard_size
        made = _fill(population, group, variables, ds, {}, size, store, whole=True)
        made.attrs[CREATED] = 1


def add_variables(
    population: Population,
    variables: Iterable[Variable],
    ds: xr.Dataset,
    sizes: Mapping[str, int] | None = None,
    group: str = "population",
) -> None:
    """Create further variables of a group, such as ``features`` of the population's."""
    there = population.members(group)
    here = {d: s for array in there.values() for d, s in zip(array.dims, array.shape, strict=True)}
    here |= {str(d): int(s) for d, s in ds.sizes.items()} | dict(sizes or {})
    missing = [v for v in variables if v.name not in there and set(v.dims) <= set(here)]
    if not missing:
        return
    chunk = int(population.attrs_of(group)["chunk_size"])
    population.before_change()
    paths = [_path(group, v.name) for v in missing]
    with population.rewriting(*paths, making=True) as store:
        target = place.group(store, population.group_path(group), "r+")
        # Before the arrays: what is killed between them is not come back to.
        coordinates = str(target.attrs.get("coordinates", "")).split()
        coordinates += [v.name for v in missing if v.coordinate and v.dims != (v.name,)]
        target.attrs["coordinates"] = " ".join(dict.fromkeys(coordinates))
        for variable in missing:
            variable = _by_shard(variable) if group == "population" else variable
            _create_array(target, variable, here, population.shard_size, chunk, ds, store)


def prepare_shards(
    population: Population, variables: Iterable[Variable], group: str = "population"
) -> None:
    """Lay arrays of a group in shards that are written one by one.

    A packed store has one shard an array, which two writers would corrupt.
    """
    target = population.zarr_group(group, mode="r+")
    size = population.shard_size
    chunk = int(target.attrs["chunk_size"])
    if size >= population.networks:
        return  # one writer has all networks
    for variable in variables:
        if group == "population":
            variable = _by_shard(variable)
        if variable.name not in target or variable.coordinate:
            continue
        array = target[variable.name]
        assert isinstance(array, zarr.Array)
        if variable.dims[:1] == ("network",) and size % shard_of(array):
            check_relayout(population.path)
            population.before_change()
            path = _path(group, variable.name)
            with population.rewriting(path) as store:
                made = relayout(population.path, target, variable, size, chunk, records.Noting)
                inside = f"{target.path}/"
                store.noted |= {inside + key: told for key, told in made.noted.items()}


def remove_group(population: Population, group: str) -> None:
    """Take away a group, to create it anew."""
    population.before_change()
    with population.briefly(), population.rewriting(group):
        root = place.group(population.path, mode="r+")
        # Killed half way, what is left of it is no group.
        population.zarr_group(group, "r+").attrs[CREATED] = 0
        del root[population.group_path(group)]


def outdated(population: Population, ds: xr.Dataset, group: str = "population") -> list[str]:
    """Dims of a group whose stored coordinate is another than the dataset's."""
    stored = {d: population.values(d, group) for d in map(str, ds.dims) if d in ds.variables}
    return [
        dim
        for dim, values in stored.items()
        if values is not None and values.tolist() != ds[dim].values.tolist()
    ]


def of_other_length(
    population: Population,
    variables: Iterable[Variable],
    sizes: Mapping[str, int],
    group: str = "population",
) -> list[str]:
    """Which of these variables are stored with a dim of another length than it is to have.

    Parameters
    ----------
    population : Population
    variables : iterable of Variable
        All that one stage fills in the group.
    sizes : mapping of str to int
        Lengths that dims are to have.
    group : str

    Raises
    ------
    SolspaceError
        Where a variable of another stage has the dim: a group has one length for a name.
    """
    mine = {v.name: set(v.dims) for v in variables}
    dims = set().union(*mine.values()) & set(sizes)
    found = []
    for name, array in population.members(group).items():
        have = dict(zip(array.dims, array.shape, strict=False))
        other = [d for d in have if d in dims and have[d] != sizes[d]]
        if other and name not in mine:
            raise SolspaceError(
                f"{population.path}: dim {other[0]!r} has length {have[other[0]]} in the group "
                f"{group} of {population}, where {name!r} has it, and would have length "
                f"{sizes[other[0]]}; give the dim another name"
            )
        if other:
            found.append(name)
    return sorted(found)


def remove_variables(
    population: Population, names: Iterable[str], group: str = "population"
) -> None:
    """Take away variables of a group, to create them anew."""
    gone = set(names)
    if not gone:
        return
    population.before_change()
    with population.briefly(), population.rewriting(*(_path(group, name) for name in gone)):
        own = population.zarr_group(group, mode="r+")
        for name in gone:
            del own[name]
        left = [n for n in str(own.attrs.get("coordinates", "")).split() if n not in gone]
        own.attrs["coordinates"] = " ".join(left)


def remove_dims(population: Population, dims: Sequence[str], group: str = "population") -> None:
    """Take away every variable of a group that has one of these dims."""
    have = population.members(group)
    remove_variables(population, [n for n, of in have.items() if set(of.dims) & set(dims)], group)


def set_attrs(population: Population, attrs: Mapping[str, Any], group: str = "population") -> None:
    """Renew attributes of a group."""
    have = population.attrs_of(group)
    if any(have.get(k) != v for k, v in attrs.items()):
        population.before_change()
        population.zarr_group(group, mode="r+").attrs.update(dict(attrs))


def _path(group: str, name: str) -> str:
    """Of a variable in the population."""
    return name if group == "population" else f"{group}/{name}"


def _by_shard(variable: Variable) -> Variable:
    """Labels of the population's own group, unlike other coordinates, come shard by shard."""
    if is_label(variable):
        return dataclasses.replace(variable, coordinate=False)
    return variable


def _elsewhere(variable: Variable, ds: xr.Dataset) -> bool:
    """Whether the architecture of a dataset has no such variable."""
    return "architecture" in ds.coords and not variable.of(str(ds["architecture"].item()))
