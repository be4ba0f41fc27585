"""Options of a run against those of earlier ones: one population is not computed in two ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.kinds import kind_of
from solspace.population.variables import PENDING
from solspace.stages import collection
from solspace.stages.record import Stage
from solspace.store import Population, provenance
from solspace.tasks import get_task

__all__ = ["all_options", "check_options_fit", "check_same_options", "notable"]

# Options that say how and not what: a result is the same with another value.
HOW = ("jobs",)


def notable(stage: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they are noted in a store: numbers and arrays of NumPy as those of Python.

    Raises
    ------
    SolspaceError
        For a value that cannot be noted.

    Examples
    --------
    >>> notable("reduce", {"samples": np.int64(3), "method": "automaton"})
    {'samples': 3, 'method': 'automaton'}
    """
    out = {n: v.tolist() if isinstance(v, (np.generic, np.ndarray)) else v
           for n, v in given.items()}  # fmt: skip
    for name, value in out.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            raise SolspaceError(
                f"option {name!r} of {stage} is {value!r}; options are numbers, text, True or "
                "False, or lists of them, since they are noted in the store"
            ) from None
    return out


def all_options(stage: Stage, given: Mapping[str, Any], task: str | None = None) -> dict[str, Any]:
    """Given and default options that say what is computed, for a task where that matters."""
    out = {n: _plain(o.default) for n, o in stage.options.items()}
    out |= {n: _plain(v) for n, v in given.items()}
    if stage.resolve is not None and task is not None:
        out = stage.resolve(get_task(task), out)
    return {n: v for n, v in out.items() if n not in HOW}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _as_typed(name: str, value: Any) -> str:
    """An option as it stands on the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{flag}"
    values = value if isinstance(value, (list, tuple)) else [value]
    return f"--{flag} {' '.join(map(str, values))}"


def check_same_options(
    population: Population, stage: Stage, given: Mapping[str, Any], status: NDArray[np.uint8]
) -> None:
    """Networks of one population, whose status is given, are not computed in two ways."""
    alone = not population.claimed(stage.name)  # this process claims its slice later
    if alone and (status == PENDING).all():
        return
    before = provenance.last_options(population, stage.name, finished=stage.over == "population")
    if before is None:
        return
    if not (status == PENDING).any() and not given:
        return  # nothing to do, and nothing asked for
    was, asked = (all_options(stage, some, population.task) for some in (before, given))
    if was != asked:
        said = " ".join(_as_typed(k, v) for k, v in before.items()) or "no options"
        other = [k for k in was if was[k] != asked.get(k) and was[k] is not None]
        if not before and other:
            said += " (" + " ".join(_as_typed(k, was[k]) for k in other) + ")"
        raise SolspaceError(
            f"{population.path}: {stage.verb} of {population} was run with {said}; give the "
            "same to go on, or --redo to compute all of it again"
        )


def check_options_fit(population: Population, stage: Stage, given: Mapping[str, Any]) -> None:
    """An option that a stage shares with one it needs has one value."""
    own = all_options(stage, given)
    kind = kind_of(population.architecture).name
    for earlier in collection.needed_first(stage.name, kind):
        other = collection.find(earlier, kind)
        if not (stage.origin or other.origin):
            continue
        theirs = all_options(other, provenance.last_options(population, earlier) or {})
        for name in set(own) & set(theirs):
            if own[name] != theirs[name]:
                raise SolspaceError(
                    f"{stage.verb} was asked for {name}={own[name]!r}, and {other.verb}, which it "
                    f"needs, ran with {name}={theirs[name]!r}; give {name}={theirs[name]!r}, or "
                    f"run {other.verb} again with --redo"
                )
