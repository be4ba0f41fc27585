"""The record of a stage: what it reads, fills and takes, from which everything else follows."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from solspace.errors import SolspaceError
from solspace.population.variables import (
    Variable,
    message_variable,
    status_variable,
)
from solspace.stages.options import Option

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["Group", "Layout", "Option", "Stage", "record_of"]


@dataclass(frozen=True)
class Group:
    """A group of the store that a stage creates.

    Attributes
    ----------
    holds : str
        One line for the schema page.
    present : callable (attrs) -> bool
        Whether a population with these attributes has the group.
    """

    holds: str
    present: Callable[[Mapping[str, Any]], bool] = lambda attrs: True


@dataclass(frozen=True)
class Layout:
    """What a group has before any network is computed.

    Attributes
    ----------
    coordinates : Dataset
        Coordinates of its dims and, of trials, their variables.
    sizes : mapping of str to int
        Lengths of dims without coordinates.
    optional : tuple of str
        Optional variables that these options ask for.
    """

    coordinates: xr.Dataset
    sizes: Mapping[str, int] = field(default_factory=dict)
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage: a function, and what everything else about it follows from.

    Attributes
    ----------
    name : str
        Also the suffix of its status; with dashes for underscores its command.
    function : callable
        Dataset -> Dataset, as it was written.
    reads : tuple of str
        Groups (``training``) or variables (``training/activity``, of the population just their
        name) it takes.
    fills : tuple of Variable
    after : tuple of str
        Stages that have to have ended before; those that fill what is read, where not given.
    uses : callable () -> names of stages, or None
        Stages whose results it takes where they are there. They need not have ended; done again,
        they call this one pending. `solspace.run_stage` with ``needed`` runs those of them that
        are run by default.
    over : {"network", "population"}
        Whether it computes networks apart from each other, or all of a population together.
    kind : str
        Which kind of networks it is for.
    groups : mapping of str to Group
        Groups it creates.
    returns : str or None
        The one group its function returns; None where it returns what it was given with its
        variables added.
    layout : callable (task, Dataset, options) -> mapping of str to Layout, or None
        What its groups have before; None where all dims of what it fills are dims of what it
        reads.
    prepare : mapping of str to callable (Dataset) -> object
        Arguments of its function that are made once from the whole population, lazily read.
    finish : mapping of str to (callable (Dataset) -> array, names)
        Variables, as ``group/name``, computed over all networks once every one is there, from
        these variables; one network alone does not know them.
    notes : callable (task, options, attrs) -> mapping, or None
        Attributes of the population that say how its results were made.
    by_default : bool
        Whether ``solspace run`` runs it unasked.
    table : callable (Dataset) -> str, or None
        The result as text, for the command line.
    table_of : str
        The group it is made of; where empty the first that the stage creates, or the population.
    further : callable (str or None) -> tuple of Variable, or None
        What it fills for networks of one architecture beyond ``fills``; of all where None.
    resolve : callable (Task, options) -> options, or None
        Options with those that follow from the task where they are not given.
    check : callable (Task), or None
        Raises for a task that the stage is not for, before anything is begun.
    at_once : callable (architecture, options) -> int, or None
        How many networks it is fastest with at once, from several threads: as many shards are
        given to it. 0, and without it, a shard for each core.
    origin : str
        ``FILE.py:function`` of one that is not of the package.
    options : mapping of str to Option
    """

    name: str
    function: Callable[..., Any]
    reads: tuple[str, ...]
    fills: tuple[Variable, ...]
    after: tuple[str, ...] = ()
    uses: Callable[[], Iterable[str]] | None = None
    over: str = "network"
    kind: str = "recurrent"
    groups: Mapping[str, Group] = field(default_factory=dict)
    returns: str | None = None
    layout: Callable[..., Mapping[str, Layout]] | None = None
    prepare: Mapping[str, Callable[[xr.Dataset], Any]] = field(default_factory=dict)
    finish: Mapping[str, tuple[Callable[[xr.Dataset], Any], tuple[str, ...]]] = field(
        default_factory=dict
    )
    faults: Callable[[Mapping[str, xr.Dataset]], Any] | None = None
    notes: Callable[[Task, Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] | None = None
    by_default: bool = False
    table: Callable[[xr.Dataset], str] | None = None
    table_of: str = ""
    further: Callable[[str | None], tuple[Variable, ...]] | None = None
    resolve: Callable[[Task, Mapping[str, Any]], dict[str, Any]] | None = None
    check: Callable[[Task], Any] | None = None
    at_once: Callable[[str, Mapping[str, Any]], int] | None = None
    origin: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        """Its command."""
        return self.name.replace("_", "-")

    @property
    def plain(self) -> bool:
        """Whether its function leaves it to us to note what fails, network by network."""
        return "progress" not in inspect.signature(self.function).parameters

    @property
    def status(self) -> Variable:
        status = status_variable(self.name)
        if not self.origin:
            return status
        # For processes that do not know it, and yet have to call it pending.
        told = {"reads": " ".join(self.reads), "fills": " ".join(v.name for v in self.fills)}
        return dataclasses.replace(status, attrs={**(status.attrs or {}), **told})

    @property
    def message(self) -> Variable:
        return message_variable(self.name)

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return (inspect.getdoc(self.function) or "").split("\n")[0].strip().rstrip(".")

    def filled(self, architecture: str | None = None) -> tuple[Variable, ...]:
        """What it fills, with what networks of one architecture have beyond; of all where None."""
        return (*self.fills, *(self.further(architecture) if self.further else ()))

    def variables(self, group: str, architecture: str | None = None) -> dict[str, Variable]:
        """What it fills in a group, by name."""
        own = self.filled(architecture)
        return {v.name: v for v in own if v.group == group and v.of(architecture)}

    def __str__(self) -> str:
        return self.name


def record_of(function: Callable[..., Any]) -> Stage:
    """The record of a stage's function.

    Raises
    ------
    SolspaceError
        Where the function is no stage.

    Examples
    --------
    >>> record_of(print)
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: 'print' is no stage; decorate it with @solspace.stage(...)
    """
    found = getattr(function, "stage", None)
    if not isinstance(found, Stage):
        name = getattr(function, "__name__", str(function))
        raise SolspaceError(f"{name!r} is no stage; decorate it with @solspace.stage(...)")
    return found
