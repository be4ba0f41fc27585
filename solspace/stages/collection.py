"""The stages there are: found by themselves, in the order in which they run.

Every ``solspace/FOLDER/stage.py`` may hold stages, functions decorated with `solspace.stage`; no
list names them. Stages of a user's own are loaded from a file, or registered by being called over
a store.
"""

from __future__ import annotations

import copyreg
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import solspace
from solspace.errors import SolspaceError
from solspace.kinds import KINDS, kind_of, load
from solspace.population.variables import BASE, LABELS, Variable, is_label
from solspace.stages.record import Group, Stage, record_of

__all__ = [
    "POPULATION",
    "after",
    "declared",
    "draw",
    "fillers",
    "find",
    "group_of",
    "groups",
    "labelled_by",
    "labels",
    "load_stage",
    "needed_first",
    "over_all",
    "register",
    "stages",
    "used",
]

POPULATION = Group("weights, training outcome, features, solution labels")

_OWN_MODULE = "solspace_own_"  # before the names of modules that stages are loaded from
_OWN: dict[tuple[str, str], Stage] = {}
_seen: tuple[tuple[str, ...], dict[tuple[str, str], Stage]] = ((), {})
# The last order of each kind, with what it was made from: a run asks for it hundreds of times.
_last: dict[str | None, tuple[list[Any], dict[str, Stage]]] = {}


def stages(kind: str | None = "recurrent") -> dict[str, Stage]:
    """Stages of one kind of networks by name, each after those it needs.

    Parameters
    ----------
    kind : str or None
        None for all; of two of one name the first is given.

    Examples
    --------
    >>> list(stages())[:1]
    ['train']
    """
    found: dict[str, Stage] = {}
    for (own, name), stage in {**_package(), **_OWN}.items():
        if kind is None or own == kind or own == "any":
            found.setdefault(name, stage)
    made_from = [[(stage, stage.uses and stage.uses()) for stage in found.values()], [*found]]
    last = _last.get(kind)
    if last is None or last[0] != made_from:
        last = _last[kind] = made_from, _ordered(found)
    return dict(last[1])


def find(name: str, kind: str = "recurrent") -> Stage:
    """The stage of a name, for one kind of networks.

    Raises
    ------
    SolspaceError
        Where there is none; the message lists those there are.
    """
    own = stages(kind)
    if name in own:
        return own[name]
    if name in stages(None):
        who = "recordings" if kind == "recorded" else f"{kind} networks"
        raise SolspaceError(
            f"{name} makes no sense for {who}: {KINDS[kind].lacks}; their stages: {', '.join(own)}"
        )
    raise SolspaceError(
        f"unknown stage {name!r}; stages: {', '.join(own)} (one of your own: FILE.py:FUNCTION)"
    )


def _package() -> dict[tuple[str, str], Stage]:
    global _seen
    # Looked for anew each time, hundreds of times a run.
    folders = (entry.path for root in solspace.__path__ for entry in os.scandir(root))
    files = tuple(sorted(f for d in folders if os.path.isfile(f := os.path.join(d, "stage.py"))))
    if files != _seen[0]:
        found: dict[tuple[str, str], Stage] = {}
        for file in files:
            folder = os.path.basename(os.path.dirname(file))
            for stage in _in(importlib.import_module(f"solspace.{folder}.stage")):
                key = (stage.kind, stage.name)
                if key in found:
                    raise SolspaceError(f"two stages are named {stage.name!r}; rename one of them")
                found[key] = stage
        _seen = (files, found)
    return _seen[1]


def _in(module: ModuleType) -> Iterator[Stage]:
    for value in vars(module).values():
        record = getattr(value, "stage", None)
        if isinstance(record, Stage) and record.function.__module__ == module.__name__:
            yield record


def _ordered(found: dict[str, Stage]) -> dict[str, Stage]:
    """Each after those it needs; of those that may come next the first by name."""
    waiting, out = dict(found), dict[str, Stage]()
    while waiting:
        ready = [
            n for n, s in waiting.items() if not {*after(s, found), *used(s, found)} & set(waiting)
        ]
        if not ready:
            raise SolspaceError(f"stages that need each other: {', '.join(waiting)}")
        first = min(ready, key=lambda n: (not waiting[n].by_default, bool(waiting[n].origin), n))
        out[first] = waiting.pop(first)
    return out


def after(stage: Stage, among: dict[str, Stage] | None = None) -> tuple[str, ...]:
    """Stages that have to have ended before: as declared, or those that fill what it reads."""
    if stage.after != ("",):
        return stage.after
    among = among if among is not None else stages(stage.kind)
    makers: list[str] = []
    for path in stage.reads:
        group, _, name = path.rpartition("/")
        makers += [
            other.name
            for other in among.values()
            if other.name != stage.name and name in other.variables(group or "population")
        ]
    return tuple(dict.fromkeys(makers)) or (("train",) if "train" in among else ())


def used(stage: Stage, among: dict[str, Stage] | None = None) -> tuple[str, ...]:
    """Stages whose results it takes where they are there, of those there are."""
    if stage.uses is None:
        return ()
    among = among if among is not None else stages(stage.kind)
    return tuple(n for n in dict.fromkeys(stage.uses()) if n in among and n != stage.name)


def needed_first(name: str, kind: str = "recurrent") -> list[str]:
    """All stages that have to have ended before one, in order.

    With them those it uses that are run by default.
    """
    known = stages(kind)
    wanted: set[str] = set()

    def add(one: str) -> None:
        usual = [n for n in used(known[one], known) if known[n].by_default]
        for earlier in (*after(known[one], known), *usual):
            if earlier not in wanted and earlier in known:
                wanted.add(earlier)
                add(earlier)

    find(name, kind)
    add(name)
    return [n for n in known if n in wanted]


def over_all(kind: str = "recurrent") -> list[Stage]:
    """Stages whose results follow from all networks, or from results that do; in order.

    Examples
    --------
    >>> "features" in [stage.name for stage in over_all("recorded")]
    True
    """
    known = stages(kind)
    out: set[str] = {s.name for s in known.values() if s.over == "population" or s.prepare}
    for stage in known.values():
        if out & {*needed_first(stage.name, kind), *used(stage)}:
            out.add(stage.name)
    return [stage for stage in known.values() if stage.name in out]


def register(stage: Stage) -> Stage:
    """Make a stage of one's own known by its name in this process.

    Raises
    ------
    SolspaceError
        Where a stage of the package has its name or fills a variable of its name.
    """
    for (_, name), other in _package().items():
        if name == stage.name:
            raise SolspaceError(
                f"a stage of the package is named {name!r} too; give yours another name, "
                "@solspace.stage(name=...)"
            )
        for variable in stage.fills:
            if variable.name in other.variables(variable.group) and not variable.coordinate:
                raise SolspaceError(
                    f"{stage.name} fills {variable.name!r}, which is filled by {name}; give the "
                    "variable another name"
                )
    for (_, name), other in _OWN.items():
        for variable in stage.fills:
            if name != stage.name and variable.name in other.variables(variable.group):
                raise SolspaceError(
                    f"{stage.name} fills {variable.name!r}, which is filled by your {name}; give "
                    "the variable another name"
                )
    _OWN[stage.kind, stage.name] = stage
    return stage


def load_stage(where: str) -> Stage:
    """A stage of one's own from ``FILE.py:FUNCTION``.

    Raises
    ------
    SolspaceError
        Where the file or the function is missing, the file fails, or the function is no stage.

    Examples
    --------
    >>> load_stage("nowhere.py:speed")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.py: no such file; give FILE.py:FUNCTION
    """
    file, _, name = where.rpartition(":")
    if not file or not file.endswith(".py"):
        raise SolspaceError(f"{where!r} names no stage; give FILE.py:FUNCTION")
    if not os.path.isfile(file):
        raise SolspaceError(f"{file}: no such file; give FILE.py:FUNCTION")
    path = os.path.realpath(file)
    # A name of its own, the same in every process, so that workers unpickle its functions.
    module_name = _OWN_MODULE + path.strip(os.sep).replace(os.sep, "_").removesuffix(".py")
    module_name = "".join(c if c.isalnum() else "_" for c in module_name)
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise SolspaceError(f"{file}: fails when read ({type(error).__name__}: {error})") from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if function is None:
        own = ", ".join(s.name for s in _in(module)) or "none"
        raise SolspaceError(f"{file}: has no function {name!r}; stages in it: {own}")
    return register(record_of(function))


# --------------------------------------------------------------------------- sent elsewhere


def _of_module(module: str, name: str) -> Stage:
    return record_of(getattr(importlib.import_module(module), name))


def _sent(stage: Stage) -> Any:
    """A stage is sent by name; one that the other process cannot import, whole."""
    # The function in a record is the one that was written; its module holds the decorated one.
    module = stage.function.__module__
    if not stage.origin:
        return find, (stage.name, stage.kind)
    if module != "__main__" and not module.startswith(_OWN_MODULE):
        return _of_module, (module, stage.function.__qualname__)
    return object.__reduce_ex__(stage, 2)


copyreg.pickle(Stage, _sent)


# --------------------------------------------------------------------------- what they declare


def groups(kind: str | None = None) -> dict[str, Group]:
    """Groups below a population, by name, with what they hold."""
    out = {"population": POPULATION}
    for stage in stages(kind).values():
        for name, group in stage.groups.items():
            out.setdefault(name, group)
    return out


def group_of(group: str, kind: str = "recurrent") -> str:
    """The stage that creates a group, named in errors about a missing one."""
    for stage in stages(kind).values():
        if group in stage.groups:
            return stage.name
    return "train"


def declared(
    group: str, architecture: str | None = None, kind: str | None = None
) -> dict[str, Variable]:
    """All variables a group may have, by name: those of every group with networks, and the stages'.

    Examples
    --------
    >>> declared("graph")["edge_input"].dims
    ('network', 'edge')
    """
    if kind is None:
        kind = "recurrent" if architecture is None else kind_of(architecture).name
    of_kind = stages(kind)
    out = {v.name: v for v in (*BASE, *labels(kind).values()) if v.of_kind(kind)}
    if group == "population":
        begins = load(KINDS[kind].begins)() if kind in KINDS else ()
        out |= {v.name: v for v in begins if v.of(architecture)}
    for stage in of_kind.values():
        out |= stage.variables(group, architecture)
        if group == "population":
            out |= {v.name: v for v in (stage.status, stage.message)}
    if kind == "planar":
        out = {n: v for n, v in out.items() if "channel" not in "".join(v.dims)}
    return out


def labels(kind: str | None = None) -> dict[str, Variable]:
    """Labels that every group with networks has, by name: the declared ones and the stages' own.

    Examples
    --------
    >>> {"solution_key", "automaton_key"} <= set(labels("recurrent"))
    True
    """
    every = [*LABELS, *(v for s in stages(kind).values() for v in s.fills if is_label(v))]
    return {v.name: v for v in every if kind is None or v.of_kind(kind)}


def labelled_by(name: str, kind: str = "recurrent") -> str:
    """The stage that fills a label of networks; empty where none does."""
    found = (n for n, s in stages(kind).items() if any(v.name == name for v in s.fills))
    return next(found, "")


def filled_by(group: str, name: str, kind: str = "recurrent") -> str:
    """The stage that fills a variable; empty where none does."""
    return fillers(group, kind).get(name, "")


def fillers(group: str, kind: str = "recurrent") -> dict[str, str]:
    """The stage that fills each variable of a group.

    Examples
    --------
    >>> fillers("training")["activity"]
    'record'
    """
    out: dict[str, str] = {}
    for stage in stages(kind).values():
        for name, variable in stage.variables(group).items():
            if not variable.coordinate:
                out.setdefault(name, stage.name)
    return out


def draw(kind: str = "recurrent") -> str:
    """What depends on what, as a tree in text.

    Examples
    --------
    >>> print(draw().splitlines()[0])
    train: train every network of a population from scratch
    """
    known = stages(kind)
    lines: list[str] = []

    def add(name: str, depth: int) -> None:
        summary = known[name].summary
        summary = summary[:1].lower() + summary[1:]
        own = f" ({known[name].origin})" if known[name].origin else ""
        asked = "" if known[name].by_default else " [run by name]"
        lines.append(f"{'  ' * depth}{known[name].verb}: {summary}{asked}{own}")
        for later, stage in known.items():
            needs = after(stage, known)
            if needs and needs[-1] == name:
                add(later, depth + 1)

    for name, stage in known.items():
        if not after(stage, known):
            add(name, 0)
    return "\n".join(lines)
