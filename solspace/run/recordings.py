"""Recordings into a store, and networks out of one as NWB."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.describe import task_of
from solspace.population.each import failures_told_elsewhere
from solspace.population.variables import check
from solspace.stages import collection
from solspace.store import Population, Store, creation, growing, locks, place, provenance

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["add_recordings", "export_networks", "import_recordings"]


def add_recordings(
    path: str, ds: xr.Dataset, *, options: Mapping[str, Any] | None = None
) -> Population:
    """Write a recorded population into a store, whole or not at all.

    Where the store has recordings of this task, these come after them. What was computed of each is
    kept; what follows from all, such as which features all have, is pending.

    Parameters
    ----------
    path : str
        The store; made where there is none.
    ds : Dataset
        From `solspace.recording_from_nwb` and the like, or `solspace.join_recordings`.
    options : mapping, optional
        How it was made, noted in the provenance.

    Raises
    ------
    SolspaceError
        Where the dataset holds no recordings. Where the store has some of this task that were made
        otherwise (other bins, epochs or columns to average by), or of the same names.
    """
    task = task_of(ds).name
    declared = collection.declared("population", "recorded")
    own = [v for v in declared.values() if v.name in ds.variables]
    needed = ["activity", "epoch", "trials_averaged", "exclusions", "name", "hidden_size"]
    check(ds, "recorded population", declared.values(), required=needed)
    names = ds["name"].values.tolist()
    if twice := [n for n in names if names.count(n) > 1]:
        raise SolspaceError(f"two recordings are named {twice[0]!r}; give them other names")
    locks.check_places(path)
    store = Store(path, create=True)
    with store.lock("import-recording"):
        found = store.populations(task, "recorded")
        if found:
            return _add(store, found[0], ds, options)
        usual = [s for s in collection.stages("recorded").values() if s.by_default]
        first = [v for s in usual for v in (s.status, s.message)]
        labels = [v for v in declared.values() if v.dims == ("network",) and v.coordinate]
        variables = list({v.name: v for v in (*own, *labels, *first)}.values())
        population = creation.create_population(
            store,
            ds.load().assign_attrs(
                provenance=provenance.with_entry(ds.attrs, "import_recording", options)
            ),
            variables,
            {},
            shard_size=max(ds.sizes["network"], 1),
        )
        store.consolidate()
    return population


def _add(
    store: Store, population: Population, ds: xr.Dataset, options: Mapping[str, Any] | None
) -> Population:
    """Further recordings after those there are; the caller holds the store."""
    from solspace.recordings.joining import join_recordings, trial_columns

    have = population.open()
    names = set(have["name"].values.astype(str).tolist())
    if twice := [n for n in ds["name"].values.astype(str).tolist() if n in names]:
        raise SolspaceError(
            f"{population.path}: {population} has a recording named {twice[0]!r} already; give "
            "this one another name: --name NAME, or name=NAME"
        )
    results = {
        name
        for stage in collection.stages("recorded").values()
        for name in (*stage.variables("population", "recorded"), stage.status.name,
                     stage.message.name)
    }  # fmt: skip
    ds = ds.drop_vars([n for n in ds.variables if n in results])
    columns = trial_columns(have)
    others = [n for n in have.variables if n not in ds.variables and n not in columns]
    try:
        joined = join_recordings([have.drop_vars(others).load(), ds])
    except SolspaceError as error:
        raise SolspaceError(
            f"{population.path}: {population}: {error} (or import into another store)"
        ) from None
    growing.grow(
        population,
        ds,
        lambda group, name: collection.declared(group, "recorded").get(name),
        [stage.status.name for stage in collection.over_all("recorded")],
        {
            "exclusions": joined.attrs["exclusions"],
            "features_left_out": None,
            "provenance": provenance.with_entry(population.attrs, "import_recording", options),
        },
        joined=joined,
        lost=[c for c in columns if c not in joined.variables],
    )
    store.consolidate()
    return population


def import_recordings(path: str, files: Sequence[str], **options: Any) -> Population:
    """Import NWB files into a store; nothing is written where one is bad.

    Parameters
    ----------
    path : str
    files : sequence of str
    **options
        Those of `solspace.recording_from_nwb`.
    """
    from solspace.recordings.joining import join_recordings
    from solspace.recordings.nwb import recording_from_nwb

    if len(files) > 1 and options.get("name"):
        raise SolspaceError("one name for several recordings; leave it out, files name them")
    with failures_told_elsewhere():
        parts = [recording_from_nwb(file, **options) for file in files]
        ds = parts[0] if len(parts) == 1 else join_recordings(parts)
    noted = {n: v for n, v in options.items() if v not in (None, (), [], {}, False)}
    noted = json.loads(json.dumps(noted, default=str))
    return add_recordings(path, ds, options=noted)


@place.one_moment()
def export_networks(
    path: str,
    out: str,
    *,
    task: str | None = None,
    architecture: str | None = None,
    networks: Sequence[str] = (),
    force: bool = False,
    **options: Any,
) -> list[str]:
    """Write networks of a store as NWB, a file each.

    Parameters
    ----------
    path : str
    out : str
        A file that ends in ``.nwb`` for one network; a folder, made where there is none, for
        several, each named after its network.
    task, architecture : str, optional
        Needed where the store has several populations of networks.
    networks : sequence of str
        Names, or places along ``network``; all by default.
    force : bool
        Replace files that are there.
    **options
        ``trials``, ``units``, ``rate``, ``step_ms`` and ``seed`` of `write_nwb`.

    Returns
    -------
    list of str
        The files.
    """
    from solspace.recordings.nwb import write_nwb

    place.check_local(out, "files are written on this machine; give a folder, or a name.nwb")
    every = Store(path).select(task, architecture)
    found = [p for p in every if kind_of(p.architecture).name == "recurrent"]
    if len(found) != 1:
        told = ", ".join(map(str, found or every))
        raise SolspaceError(
            f"{path}: has {len(found)} populations of recurrent networks ({told}); choose one with "
            "--task and --architecture"
        )
    training = found[0].open("training", "record")
    names = training["name"].values.astype(str).tolist()
    chosen = [str(n) for n in networks] or names
    if out.endswith(".nwb"):
        if len(chosen) > 1:
            raise SolspaceError(
                f"{out}: a file is a recording of one network, and {found[0]} has {len(chosen)}; "
                "choose one with --network NAME, or give a folder for all"
            )
        return [write_nwb(training, out, network=chosen[0], force=force, **options)]
    os.makedirs(out, exist_ok=True)
    return [
        write_nwb(training, os.path.join(out, f"{_named(n, names)}.nwb"), network=n, force=force,
                  **options)
        for n in chosen
    ]  # fmt: skip


def _named(network: str, names: Sequence[str]) -> str:
    """The name of a network that is given by name or place."""
    if network in names or not network.isdecimal() or int(network) >= len(names):
        return network
    return names[int(network)]
