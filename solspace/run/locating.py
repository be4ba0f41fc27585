"""Recordings of a store held against the networks of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from solspace.errors import SolspaceError
from solspace.store import Store

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["locate_recordings"]


def locate_recordings(
    path: str,
    other: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
    names: Sequence[str] = (),
    one: bool = False,
    progress: Callable[[str, int], Callable[[int], None]] | None = None,
    **options: Any,
) -> Iterator[tuple[str, xr.Dataset]]:
    """Locate each recording of a store among the networks of another, one after another.

    Parameters
    ----------
    path, other : str
        The store with recordings, and the one with networks.
    task, architecture : str, optional
        Of the recordings, and of the networks; by default all architectures together.
    names : sequence of str
        Of recordings; by default all.
    one : bool
        Whether more than one is an error.
    progress : callable (name, networks) -> callable (int), optional
        Asked for each recording, told the number of networks seen.
    **options
        Of `solspace.locate`.

    Raises
    ------
    SolspaceError
        Where there are no such recordings, or no networks of their task.
    """
    from solspace.locating.locate import locate

    recorded = Store(path).populations(task, "recorded")
    if not recorded:
        told = f" of {task}" if task else ""
        raise SolspaceError(
            f"{path}: has no recordings{told}; import some with `solspace import-recording {path} "
            "FILE.nwb ...`"
        )
    found = []
    for population in recorded:
        ds = population.open()
        own = ds["name"].values.astype(str).tolist()
        found += [(name, population, i) for i, name in enumerate(own)]
    if unknown := [n for n in names if n not in [name for name, _, _ in found]]:
        raise SolspaceError(
            f"{path}: has no recording {unknown[0]!r}; recordings: "
            f"{', '.join(name for name, _, _ in found[:8])}"
        )
    found = [entry for entry in found if not names or entry[0] in names]
    if one and len(found) > 1:
        raise SolspaceError(
            f"{path}: has {len(found)} recordings, and a file holds what was found of one; say "
            f"which: --recording {found[0][0]}"
        )
    networks = Store(other)
    for name, population, i in found:
        members = [
            p
            for p in networks.select(population.task, architecture)
            if p.architecture != "recorded"
        ]
        if not members:
            raise SolspaceError(
                f"{other}: has no networks of {population.task}, the task of recording {name}; "
                f"give a store that has, or train some: `solspace train {other} --task "
                f"{population.task} --architecture vanilla`"
            )
        of_this = progress(name, sum(p.networks for p in members)) if progress else None
        yield (
            name,
            locate(
                population.open().isel(network=[i]),
                [p.open() for p in members],
                progress=of_this,
                **options,
            ),
        )
