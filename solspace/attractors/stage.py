"""What every network of a population settles to when it is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.population.sound import done
from solspace.population.trained import RECURRENT
from solspace.population.variables import Variable, annotate, text_array, unfilled
from solspace.stages import Group, Layout, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["find_attractors", "silences_dataset"]

GROUP = "attractors"
MAX_ATTRACTORS = 32
FLAG_NAMES = ("point", "cycle", "wandering", "drifting")


def _of(name: str, dims: tuple[str, ...], dtype: str, meaning: str, **more: Any) -> Variable:
    return Variable(name, dims, dtype, meaning, group=GROUP, **more)


SILENCES = (
    _of("silence", ("silence",), "int64", "index of the silence", coordinate=True, fill=0),
    _of("silence_after", ("silence",), "U64", "what the silence comes after", coordinate=True),
    _of(
        "silence_start",
        ("silence",),
        "int64",
        "step at which the silence begins; what is given before is the task's",
        units="steps",
        coordinate=True,
        fill=0,
    ),
    _of(
        "silence_told",
        ("silence",),
        "int8",
        "what attractor_key tells of it: nothing, where it ends, or also what is put out there",
        coordinate=True,
        fill=0,
        attrs={"flag_values": [0, 1, 2], "flag_meanings": "nothing end end_and_output"},
    ),
)
_EACH = ("network", "attractor")
TABLE = (
    _of(
        "attractor_index",
        ("network", "silence"),
        "int16",
        "the attractor that the silence ends in, along `attractor`; -1 not computed",
    ),
    _of(
        "settling_steps",
        ("network", "silence"),
        "int32",
        "steps of silence until the network is there; -1 not computed",
        units="steps",
    ),
    _of(
        "attractor_kind",
        _EACH,
        "int8",
        "what it is: a point, a cycle, a set that is wandered over for good without returning, or "
        "nowhere yet; -1 past the network's attractors",
        attrs={"flag_values": list(range(4)), "flag_meanings": " ".join(FLAG_NAMES)},
    ),
    _of(
        "attractor_period",
        _EACH,
        "float64",
        "steps of one turn of a cycle, in general no whole number; 0 of a point; NaN else",
        units="steps",
    ),
    _of(
        "attractor_symbols",
        _EACH,
        "U64",
        "the symbols that it puts out, those of several outputs parted by /; empty past the "
        "network's attractors, and where the task has no symbols",
    ),
    *(
        _of(
            f"attractor_output_{name}",
            (*_EACH, "output_channel"),
            "float32",
            f"{name}est output there; NaN past the network's attractors",
        )
        for name in ("low", "high")
    ),
    _of("output_channel", ("output_channel",), "U64", "output channel", coordinate=True),
)
COUNTED = {
    "attractor_points": "points that the network's silences end in; -1 not computed",
    "attractor_cycles": "cycles that the network's silences end in; -1 not computed",
    "attractor_unsettled": "sets that the network's silences wander over for good, and one more "
    "where some have ended nowhere yet; -1 not computed",
}


def silences_dataset(task: Task) -> xr.Dataset:
    """The silences of a task as coordinates: what they come after, when, and their parameters.

    Examples
    --------
    >>> from solspace import get_task
    >>> silences_dataset(get_task("delayed_discrimination")).f1.values[:3]
    array([2., 3., 4.])
    """
    import xarray as xr

    from solspace.tasks import silences_of

    silences = silences_of(task)
    units = task.parameter_units
    ds = xr.Dataset(
        coords={
            "silence": np.arange(len(silences)),
            "silence_after": ("silence", text_array(silences.after)),
            "silence_start": ("silence", silences.start),
            "silence_told": ("silence", silences.told),
            "output_channel": text_array(task.outputs),
            **{
                name: (
                    "silence",
                    np.asarray(values, float),
                    {
                        "long_name": f"{task.parameters.get(name, name)}; NaN where it has none",
                        "units": units.get(name, "1"),
                    },
                )
                for name, values in silences.parameters.items()
            },
        }
    )
    return annotate(ds, SILENCES)


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """The silences of the task, and the most attractors of a network."""
    try:
        needs_silences(task)
    except SolspaceError:  # of no concern before the stage is run, which says so
        return {}
    return {GROUP: Layout(silences_dataset(task), {"attractor": MAX_ATTRACTORS})}


def needs_silences(task: Task) -> None:
    """Refuse a task that does not say from which moments its networks are left alone."""
    from solspace.tasks import silences_of

    silences_of(task)


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what the label and the table of attractors are at odds, a sentence each."""
    from solspace.attractors.key import FLAGS, ends_of, key_of_ends

    ds, table = parts["population"], parts.get(GROUP)
    if table is None:
        return
    after, told = table["silence_after"].values.tolist(), table["silence_told"].values
    for i, name in done(ds, "attractors"):
        index, kinds = (table[v].values[i] for v in ("attractor_index", "attractor_kind"))
        count = int((kinds >= 0).sum())
        if (kinds[:count] < 0).any() or (kinds >= len(FLAGS)).any():
            yield f"network {name}: attractor_kind has values that are no kinds"
            continue
        if (index < 0).any() or (index >= count).any():
            yield f"network {name}: attractors called done, but a silence ends in none of them"
            continue
        if wrong := [
            variable
            for variable, number in _counts(kinds[:count]).items()
            if int(ds[variable].values[i]) != number
        ]:
            yield f"network {name}: {wrong[0]} is not the number of its attractors of that kind"
        symbols = table["attractor_symbols"].values[i]
        key = key_of_ends(ends_of(after, told, index, kinds[:count].tolist(), symbols))
        if key != str(ds["attractor_key"].values[i]):
            yield f"network {name}: attractor_key is not that of its attractors, {key}"


def notes(task: Task, options: Mapping[str, Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """For how many steps networks were followed at most, in the population's attributes."""
    return {"attractor_steps": int(options["steps"])}


def _counts(kinds: NDArray[np.integer]) -> dict[str, int]:
    numbers = (kinds == 0).sum(), (kinds == 1).sum(), (kinds >= 2).sum()
    return {name: int(n) for name, n in zip(COUNTED, numbers, strict=True)}


@stage(
    name="attractors",
    reads=["population"],
    fills=[
        Variable(
            "attractor_key",
            ("network",),
            "U96",
            "what the network settles to when it is left alone (see docs/attractors.md); empty "
            "where not computed",
            coordinate=True,
            architectures=RECURRENT,
        ),
        Variable(
            "attractor_description",
            ("network",),
            "U512",
            "the same in words; empty where not computed",
            architectures=RECURRENT,
        ),
        *(
            Variable(name, ("network",), "int16", meaning, architectures=RECURRENT)
            for name, meaning in COUNTED.items()
        ),
        *SILENCES,
        *TABLE,
    ],
    after=["train"],
    groups={GROUP: Group("what each network settles to from the silences of its task")},
    layout=layout,
    faults=faults_of,
    check=needs_silences,
    notes=notes,
    by_default=True,
)
def find_attractors(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    steps: int = 20_000,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Leave every network alone for long and say what it settles to.

    Silence follows after each of the moments that the task names (its ``silences``), until it is
    certain where the network ends: in a fixed point, on a cycle, wandering over a set of states
    for good, or nowhere in the steps it is followed for (see `solspace.attractors`).

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        By default the dataset's own.
    steps : int, optional
        For how many steps of silence a network is followed at most.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The population with ``attractor_key`` and ``attractor_description``, the counts
        ``attractor_points``, ``attractor_cycles`` and ``attractor_unsettled``, and the variables
        of the group attractors: of each silence the attractor it ends in and the steps it takes,
        of each attractor its kind, its period in steps and the range of its output.

    Raises
    ------
    SolspaceError
        For a task without silences, and fewer than 1,024 steps.

    Examples
    --------
    >>> from solspace import find_attractors, import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> ds = find_attractors(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> ds.attractor_key.item(), ds.attractor_points.item()
    ('a1:ready=1point:0;set=1point:0', 1)
    """
    from solspace.attractors.key import (
        describe_ends,
        ends_of_network,
        key_of_ends,
        kind_flag,
        outputs_of,
    )
    from solspace.attractors.network import settle_network
    from solspace.attractors.settling import check_steps
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures

    task = task_of(ds, task)
    check_steps(steps)
    architecture = architecture_of(ds)
    coordinates = silences_dataset(task)
    n, channels = ds.sizes["network"], len(task.outputs)
    sizes = {"network": n, "attractor": MAX_ATTRACTORS, "output_channel": channels}
    sizes["silence"] = coordinates.sizes["silence"]
    arrays = unfilled(TABLE, sizes)
    counts = {name: np.full(n, -1, np.int16) for name in COUNTED}
    keys, descriptions = (np.full(n, "", dtype=object) for _ in range(2))

    def compute(i: int) -> None:
        settled = settle_network(task, architecture, network_weights(ds, i), steps=steps)
        found = len(settled.found)
        if found > MAX_ATTRACTORS:
            raise SolspaceError(
                f"the network has {found} attractors; at most {MAX_ATTRACTORS} are stored"
            )
        ends = ends_of_network(task, settled)
        kinds = np.array([kind_flag(one) for one in settled.found], np.int8)
        keys[i], descriptions[i] = key_of_ends(ends), describe_ends(ends)
        for name, number in _counts(kinds).items():
            counts[name][i] = number
        arrays["attractor_index"][i] = settled.index
        arrays["settling_steps"][i] = settled.steps
        arrays["attractor_kind"][i, :found] = kinds
        arrays["attractor_period"][i, :found] = [one.period for one in settled.found]
        arrays["attractor_symbols"][i, :found] = outputs_of(task, settled.found)
        for k, one in enumerate(settled.found):
            arrays["attractor_output_low"][i, k] = one.orbit_output.min(axis=0)
            arrays["attractor_output_high"][i, k] = one.orbit_output.max(axis=0)

    ended = each_network(ds, "attractors", compute, after="train", progress=progress)
    dims = {v.name: v.dims for v in TABLE}
    # Those that are there already may be of other silences.
    old = [name for name in ds.variables if {"silence", "attractor"} & {*ds[name].dims}]
    out = (
        ds.drop_vars(old)
        .assign(
            {
                name: (dims[name], text_array(values) if values.dtype == object else values)
                for name, values in arrays.items()
            }
            | {name: ("network", values) for name, values in counts.items()}
            | {"attractor_description": ("network", text_array(descriptions))}
            | ended
        )
        .assign_coords(coordinates.coords)
        .assign_coords(attractor_key=("network", text_array(keys)))
    )
    out.attrs |= notes(task, {"steps": steps}, ds.attrs)
    warn_of_failures(out, "attractors")
    return out
