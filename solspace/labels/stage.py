"""Choose the label that tells solutions apart, and number them over the population."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.labels.checkpoints import CHECKPOINTS, Path, rank_checkpoints
from solspace.labels.registry import Label, get_label, label_names, label_stages
from solspace.population.describe import graph_method, label_of
from solspace.population.ranking import rank_solutions
from solspace.population.sound import done
from solspace.population.trained import CHECKPOINT_PREFIX
from solspace.population.variables import (
    GRAPH_LABELS,
    PENDING,
    SOLUTION,
    SOLUTION_DESCRIPTION,
    text_array,
)
from solspace.stages import Group, Layout, stage
from solspace.stages.running import is_lazy
from solspace.tasks.needs import lacking

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["label", "solution_descriptions", "solutions", "stored_keys"]

_LONGEST_KEY = 96
_AT = f"{CHECKPOINT_PREFIX}solution_key"
_SAID = f"{CHECKPOINT_PREFIX}solution_description"


def solutions(ds: xr.Dataset) -> NDArray[np.int16]:
    """The solution of every network of a whole population, from ``solution_key``."""
    return rank_solutions(ds["solution_key"].values)


def solution_descriptions(ds: xr.Dataset) -> NDArray[Any]:
    """One description a ``solution_key``: of those that its networks have, the commonest.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"solution_key": ("network", ["a", "a", "a"]),
    ...                  "solution_description": ("network", ["A. So.", "A. Also.", "A. So."])})
    >>> solution_descriptions(ds).tolist()
    ['A. So.', 'A. So.', 'A. So.']
    """
    keys = ds["solution_key"].values
    words = ds["solution_description"].values
    return _one_each(keys, words, _commonest(keys, words))


def _checkpoint_solutions(ds: xr.Dataset) -> NDArray[np.int16]:
    return rank_checkpoints(ds["solution_key"].values, ds[_AT].values)


def _checkpoint_descriptions(ds: xr.Dataset) -> NDArray[Any]:
    """As the population's networks of that key are described; of others the commonest there."""
    keys, words = ds[_AT].values, ds[_SAID].values
    of_networks = _commonest(ds["solution_key"].values, ds["solution_description"].values)
    return _one_each(keys, words, _commonest(keys, words) | of_networks)


def _commonest(keys: NDArray[Any], words: NDArray[Any]) -> dict[str, str]:
    found: dict[str, Counter[str]] = {}
    for key, said in zip(map(str, keys.ravel()), map(str, words.ravel()), strict=True):
        if key and said:
            found.setdefault(key, Counter())[said] += 1
    return {key: min(of, key=lambda said: (-of[said], said)) for key, of in found.items()}


def _one_each(keys: NDArray[Any], words: NDArray[Any], chosen: Mapping[str, str]) -> NDArray[Any]:
    pairs = zip(map(str, keys.ravel()), map(str, words.ravel()), strict=True)
    return text_array([chosen.get(key, said) for key, said in pairs]).reshape(keys.shape)


def asked(task: Task, attrs: Mapping[str, Any], by: str | None) -> Label:
    """The label asked for; else the one that solutions follow already, else the task's own."""
    own = task.solution_label
    if own == "automaton_key" and lacking(task, "reduce"):
        own = "attractor_key"  # no graphs can be made
    return get_label(by or label_of(attrs) or own)


def notes(task: Task, options: Mapping[str, Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Which label the solutions follow."""
    by = asked(task, attrs, options.get("by")).name
    # Before there were several labels this attribute said how graphs were made as well.
    graphs = {"graph_method": graph_method(attrs)} if by in GRAPH_LABELS else {}
    return {"solution_method": by, **graphs}


def stored_keys(ds: xr.Dataset, by: Label) -> NDArray[Any] | None:
    """A label of every network as a dataset has it, empty where it has none.

    Parameters
    ----------
    ds : Dataset
        A population.
    by : Label

    Returns
    -------
    array of str (network,), or None
        None for a label that no stage fills: it is computed from weights.

    Raises
    ------
    SolspaceError
        Where the stage that fills the label has not run; it is named.
    """
    check_there(ds, by)
    if by.name in ds.variables:
        return np.asarray(ds[by.name].values)
    return np.asarray(ds["solution_key"].values) if _older(ds) else None


def check_there(ds: xr.Dataset, by: Label) -> None:
    """Refuse a dataset without the label that solutions are to follow; nothing lazy is computed."""
    if _older(ds):
        if by.name != "automaton_key":
            raise SolspaceError(
                f"label: an earlier solspace labelled these networks, and their only automaton_key "
                f"is their solution_key, which labelling by {by.name} would replace; call "
                "solspace.reduce(ds), or type `solspace reduce STORE --redo`, first"
            )
    elif by.name in ds.variables:
        waiting = _waiting(ds, by.stage)
        if waiting:
            raise SolspaceError(
                f"label: {by.stage} is pending for {waiting} of {ds.sizes['network']} networks, so "
                f"that they have no {by.name!r}; {how_to_make(by.stage)}"
            )
    elif by.stage:
        raise SolspaceError(
            f"label: the dataset has no {by.name!r}; {how_to_make(by.stage)} (labels there: "
            f"{', '.join(n for n in label_names() if n in ds.variables) or 'none'})"
        )


def _waiting(ds: xr.Dataset, stage: str) -> int:
    status = f"status_{stage}"
    if not stage or status not in ds.variables or is_lazy(ds[[status]]):
        return 0
    return int((ds[status].values == PENDING).sum())


def _older(ds: xr.Dataset) -> bool:
    """Whether ``solution_key`` is the one place where the automaton's key is.

    So it is where an earlier version labelled the networks: `reduce` named the solutions then.
    """
    there = "solution_key" in ds.variables and "automaton_key" not in ds.variables
    return there and label_of(ds.attrs) == "automaton_key"


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """Nothing of its own; refuses a label that is not there before anything is changed."""
    check_there(ds, asked(task, ds.attrs, options.get("by")))
    return {}


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what solutions and the label they follow are at odds, a sentence each."""
    ds = parts["population"]
    by = label_of(ds.attrs)
    for i, name in done(ds, "label"):
        key = str(ds["solution_key"].values[i])
        if not key:
            yield f"network {name}: label called done, but solution_key is empty"
        elif by in ds.variables and key != solution_key(str(ds[by].values[i])):
            yield f"network {name}: solution_key is not its {by}, by which solutions are told"


def solution_key(key: str) -> str:
    """A label's key as ``solution_key`` keeps it: a digest where it is longer than 96 characters.

    Examples
    --------
    >>> solution_key("v1:0|set>0"), len(solution_key("v1:" + "0|" * 60))
    ('v1:0|set>0', 35)
    """
    from solspace.reduction.stage import stored_key

    return stored_key(key, _LONGEST_KEY)


def described(key: str, words: str) -> str:
    """A solution in words that no other key has: its short name first, which is one for each key.

    Examples
    --------
    >>> described("v2:6bcf5b0d0a60373c", "By its graph, of pulses at a few moments.")
    'set_go_reset. By its graph, of pulses at a few moments.'
    """
    from solspace.labels.names import solution_name

    name = solution_name(key)
    text = f"{name}. {words}" if words else f"{name}."
    most = np.dtype(SOLUTION_DESCRIPTION.dtype).itemsize // 4
    return text if len(text) <= most else text[: most - 4].rstrip() + " ..."


@stage(
    reads=["population", "checkpoints"],
    fills=[*SOLUTION, SOLUTION_DESCRIPTION, *CHECKPOINTS],
    after=["reduce"],
    uses=label_stages,
    groups={
        "checkpoints": Group(
            "each network at losses on its way down, where it was trained with checkpoints",
            present=lambda attrs: bool(attrs.get("checkpoints")),
        )
    },
    layout=layout,
    faults=faults_of,
    finish={
        "population/solution": (solutions, ("solution_key",)),
        "population/solution_description": (
            solution_descriptions,
            ("solution_key", "solution_description"),
        ),
        f"checkpoints/{CHECKPOINT_PREFIX}solution": (_checkpoint_solutions, ("solution_key", _AT)),
        f"checkpoints/{_SAID}": (
            _checkpoint_descriptions,
            ("solution_key", "solution_description", _AT, _SAID),
        ),
    },
    notes=notes,
    by_default=True,
)
def label(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    by: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Choose the label that tells solutions apart, and number the solutions.

    Parameters
    ----------
    ds : Dataset
        A population with the label, such as `solspace.find_responses` returns it.
    task : str or Task, optional
        By default the dataset's own.
    by : str, optional
        The label: response_key, graph_key or another of `solspace.labels.label_names`. By default
        the one that the solutions of the population follow already (its ``solution_method``), and
        where they follow none yet that of the task (its ``solution_label``).
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        With ``solution_key`` (the label), ``solution_name`` (short, one for each key),
        ``solution`` (numbers, most common first), ``solution_description`` (the name, then what
        the label says in words) and the attribute ``solution_method`` (the label's name). A network
        that has no label has ``status_label`` 2, solution -1, and the reason in ``message_label``.
        Where the population has checkpoints, they are labelled from their weights
        (``checkpoint_solution``, ...).

    Raises
    ------
    SolspaceError
        For an unknown label, and where the stage that fills it has not run; it is named.

    Examples
    --------
    >>> from solspace import import_networks, label, reduce
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> ds = reduce(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> label(ds, by="graph_key").solution_key.item()
    'v1:0|set>0'
    """
    from solspace.labels.names import solution_name
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures

    task = task_of(ds, task)
    architecture = architecture_of(ds)
    record = asked(task, ds.attrs, by)
    stored, older = stored_keys(ds, record), _older(ds)
    words = ds[record.words].values if record.words in ds.variables else None
    options = record.options_of(ds.attrs)
    keys, names, descriptions = (np.full(ds.sizes["network"], "", dtype=object) for _ in range(3))
    path = Path(ds)

    def from_weights(weights: Mapping[str, NDArray[Any]]) -> tuple[str, str]:
        key, said = record.both(task, architecture, weights, **options)
        return solution_key(key), described(solution_key(key), said)

    def compute(i: int) -> None:
        path.label(i, from_weights)
        if stored is None:
            keys[i], descriptions[i] = from_weights(network_weights(ds, i))
        elif not str(stored[i]):
            raise SolspaceError(
                f"{record.name} is empty, though {record.stage} is called done; type "
                f"`solspace {record.stage.replace('_', '-')} STORE --redo` first"
            )
        else:
            keys[i] = solution_key(str(stored[i]))
            said = "" if words is None else str(words[i])
            if older:  # what graphs say in words was not stored apart then
                with contextlib.suppress(SolspaceError):
                    said = record.describe(task, architecture, network_weights(ds, i), **options)
            descriptions[i] = described(keys[i], said)
        names[i] = solution_name(keys[i])
        path.end(i, keys[i], descriptions[i])

    ended = each_network(ds, "label", compute, after=record.stage or "train", progress=progress)
    on_the_way = path.variables(keys, ended["message_label"][1])
    out = ds.assign(
        {"solution_description": ("network", text_array(descriptions))} | ended | on_the_way
    ).assign_coords(
        solution=("network", rank_solutions(keys)),
        solution_key=("network", text_array(keys)),
        solution_name=("network", text_array(names)),
    )
    out["solution_description"] = ("network", solution_descriptions(out))
    if on_the_way:
        out[_SAID] = (out[_SAID].dims, _checkpoint_descriptions(out))
    out.attrs |= notes(task, {"by": by}, ds.attrs)
    warn_of_failures(out, "label")
    return out
