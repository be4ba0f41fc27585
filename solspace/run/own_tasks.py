"""The tasks of a store that are of a user's own: noted in it, and found again.

A store says of which file a task was made, by its digest and with its text, or of which installed
package. It never says what to run (see `solspace.tasks.files`).
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping

import xarray as xr

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.networks import own_architectures
from solspace.stages import collection
from solspace.store import Population, Store, creation, place
from solspace.tasks import get_task
from solspace.tasks.files import SOURCE, find_tasks, load_tasks, read_source
from solspace.tasks.registry import is_known, is_shipped, source_of, why_unknown

__all__ = ["know_tasks", "load_file", "note_sources", "refusal", "waited_for", "with_source"]

_said: set[str] = set()


def refusal(population: Population, stage: str) -> str:
    """Why the task of a population cannot go through a stage; empty where it can."""
    record = collection.find(stage, kind_of(population.architecture).name)
    try:
        if record.check is not None:
            record.check(get_task(population.task))
    except SolspaceError as error:
        return str(error)
    return ""


def waited_for(population: Population, stage: str) -> list[str]:
    """Stages that have to have ended before one over a population.

    Without those whose results it takes where they are there, and that the task cannot go through.
    """
    record = collection.find(stage, kind_of(population.architecture).name)
    optional = set(collection.used(record))
    return [
        earlier
        for earlier in collection.after(record)
        if not (earlier in optional and refusal(population, earlier))
    ]


def with_source(ds: xr.Dataset, task: str) -> xr.Dataset:
    """A population's description with where its task came from."""
    source = source_of(task)
    return ds if source is None else ds.assign_attrs({SOURCE: json.dumps(source)})


def note_sources(populations: Iterable[Population]) -> None:
    """Note where tasks came from in populations about to be written, where that is another now."""
    for population in populations:
        source = source_of(population.task)
        if source is not None and read_source(population.attrs) != source:
            with population.briefly():
                creation.set_attrs(population, {SOURCE: json.dumps(source)})


def load_file(file: str) -> None:
    """Read a file of the user's own: its tasks, and architectures that it registers.

    Raises
    ------
    SolspaceError
        Where it has neither, or fails; see `solspace.load_tasks`.
    """
    before = own_architectures()
    if not load_tasks(file, required=False) and own_architectures() == before:
        raise SolspaceError(
            f"{file}: has no task and registers no architecture; give a Python file with a "
            "solspace.Task in it, or that calls solspace.register_architecture"
        )


@place.one_moment()
def know_tasks(path: str) -> None:
    """Find the tasks of a store that are not of the package.

    A file that this machine was given before, and that is where it was and as it was, is read
    again. Where there is none, `solspace.get_task` says which file is missing.

    Parameters
    ----------
    path : str
        A store. Where there is none nothing happens: whoever opens it says so.

    Warns
    -----
    UserWarning
        Where a task is of another text now than the store was last written with.
    """
    if not place.is_remote(path):
        try:
            names = [entry.name for entry in os.scandir(path) if entry.is_dir()]
        except OSError:
            return
        if all(map(is_shipped, names)):
            return  # nothing of the store has to be opened
    try:
        populations = Store(path).populations()
    except SolspaceError:
        return
    for population in populations:
        name = population.task
        if is_shipped(name):
            continue
        stored, where = read_source(population.attrs), f"{path}: {population}"
        if not is_known(name) and stored is not None:
            find_tasks(name, stored, where)
        elif not is_known(name):
            why_unknown(
                name,
                f"{where}: unknown task {name!r}, one of somebody's own, and the store does not "
                "say of which file; give the file that has it: --task-file FILE.py, or "
                "solspace.load_tasks",
            )
        elif stored is not None:
            _say_changed(name, stored, where)


def _say_changed(name: str, stored: Mapping[str, str], where: str) -> None:
    now = source_of(name)
    if now is None or all(now.get(k) == stored.get(k) for k in ("sha256", "entry_point")):
        return
    before, after = (
        f"{one.get('file')} (sha256 {one.get('sha256', '')[:12]})"
        if "file" in one
        else f"the package {one.get('package')}"
        for one in (stored, now)
    )
    if (told := f"{where}: {before}{after}") not in _said:
        _said.add(told)
        warnings.warn(
            f"{where}: task {name!r} was made from {before} and is from {after} now; what is "
            "stored stays as it was made, what is computed from now on follows the new one",
            stacklevel=3,
        )
