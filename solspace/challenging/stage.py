"""Every network of a population over the challenges of its task: the stage ``challenge``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.population.sound import done
from solspace.population.trained import RECURRENT
from solspace.population.variables import Variable, annotate, text_array
from solspace.stages import Group, Layout, stage
from solspace.tasks.input_challenges import InputChallengeFamily

if TYPE_CHECKING:
    import xarray as xr

    from solspace.challenging.giving import GivenChallenges
    from solspace.tasks import Task

__all__ = ["challenge", "challenge_family", "challenge_table"]

GROUP = "challenges"


def _of(name: str, dims: tuple[str, ...], dtype: str, meaning: str, **more: Any) -> Variable:
    return Variable(name, dims, dtype, meaning, architectures=RECURRENT, **more)


GIVEN = (
    _of("challenge", ("challenge",), "U96", "name of the challenge", group=GROUP, coordinate=True),
    _of("challenge_kind", ("challenge",), "U32", "what it tries", group=GROUP, coordinate=True),
    _of(
        "challenge_repeats", ("challenge",), "int32", "how often it is given, with fresh noise",
        group=GROUP, coordinate=True, fill=0,
    ),
    _of(
        "challenge_target", ("challenge",), "int8", "the right choice; 0 where there is none",
        group=GROUP, coordinate=True, fill=0,
    ),
    _of(
        "challenge_steps", ("challenge",), "int32", "length of the trial", units="steps",
        group=GROUP, coordinate=True, fill=0,
    ),
)  # fmt: skip
OUTPUT = _of(
    "challenge_output",
    ("network", "challenge", "repeat"),
    "float32",
    "mean output in the steps that a challenge asks for; NaN past its repeats",
    group=GROUP,
)
MEASURES = (
    _of("challenge_measure", ("challenge_measure",), "U64", "name of the measure",
        coordinate=True),
    _of("challenge_measure_units", ("challenge_measure",), "U32", "units of the measure",
        coordinate=True),
    _of("challenge_measure_meaning", ("challenge_measure",), "U320", "what it is",
        coordinate=True),
)  # fmt: skip
VALUE = _of(
    "challenge_value",
    ("network", "challenge_measure"),
    "float64",
    "measures of a network's outputs to the challenges of its task",
)


def challenge_family(task: Task) -> InputChallengeFamily:
    """The challenges of a task that are given by their input.

    Raises
    ------
    SolspaceError
        Where it has none, or those it has are made of pulses.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> len(challenge_family(get_task("context_integration")).measures)
    32
    """
    from solspace.tasks.needs import check_needs

    check_needs(task, "challenge")
    assert task.challenges is not None
    family = task.challenges()
    if not isinstance(family, InputChallengeFamily):
        raise SolspaceError(
            f"challenge cannot take task {task.name!r}: its challenges are made of pulses, and "
            "have no measures; for what networks answer to them type `solspace design STORE`, or "
            "call solspace.design.answers(ds)"
        )
    return family


def _coordinates(family: InputChallengeFamily) -> tuple[xr.Dataset, xr.Dataset]:
    """Those of the population's group, and those of the group of challenges."""
    import xarray as xr

    measures = xr.Dataset(
        coords={
            "challenge_measure": text_array([one.name for one in family.measures]),
            "challenge_measure_units": (
                "challenge_measure",
                text_array([one.units for one in family.measures]),
            ),
            "challenge_measure_meaning": (
                "challenge_measure",
                text_array([one.meaning for one in family.measures]),
            ),
        }
    )
    every = family.challenges
    at = "challenge"
    numbers = {
        "repeats": np.array([one.repeats for one in every], np.int32),
        "target": np.array([one.target for one in every], np.int8),
        "steps": np.array([one.steps for one in every], np.int32),
    }
    coords: dict[str, Any] = {
        "challenge": text_array([one.name for one in every]),
        "challenge_kind": (at, text_array([one.kind for one in every])),
        **{f"challenge_{name}": (at, values) for name, values in numbers.items()},
    }
    for name in dict.fromkeys(name for one in every for name in one.parameters):
        values = [one.parameters.get(name) for one in every]
        said = {"long_name": f"{name.replace('_', ' ')} of the challenge"}
        if any(isinstance(value, str) for value in values):
            coords[f"challenge_{name}"] = (
                at, text_array(["" if v is None else str(v) for v in values]), said
            )  # fmt: skip
        else:
            array = np.array([np.nan if v is None else float(v) for v in values])
            coords[f"challenge_{name}"] = (at, array, said)
    return annotate(measures, MEASURES), annotate(xr.Dataset(coords=coords), GIVEN)


@functools.lru_cache(maxsize=1)
def _drawn(make: Callable[[], Any], seed: int) -> tuple[InputChallengeFamily, GivenChallenges]:
    """Challenges with their noise; drawn once, not again for each shard of a store."""
    from solspace.challenging.giving import GivenChallenges

    family = make()
    return family, GivenChallenges(family, seed)


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """Measures and challenges of the task, by name."""
    family = challenge_family(task)
    measures, given = _coordinates(family)
    return {
        "population": Layout(measures),
        GROUP: Layout(given, {"repeat": family.most_repeats}),
    }


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Measures and outputs that are called done and are not there, a sentence each."""
    ds, given = parts["population"], parts.get(GROUP)
    for i, name in done(ds, "challenge"):
        if not np.isfinite(ds["challenge_value"].values[i]).all():
            yield f"network {name}: challenge called done, but a measure is not finite"
        if given is None:
            continue
        output = given["challenge_output"].isel(network=i).values
        there = np.arange(output.shape[1]) < given["challenge_repeats"].values[:, None]
        if not np.isfinite(output[there]).all():
            yield f"network {name}: challenge called done, but an output is not finite"
        elif np.isfinite(output[~there]).any():
            yield f"network {name}: challenge_output has more repeats than challenges have"


def notes(task: Task, options: Mapping[str, Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Of which seed the noise is, in the population's attributes."""
    return {"challenge_seed": int(options["seed"])}


def challenge_table(ds: xr.Dataset) -> str:
    """The measures of a population as text: median and percentiles over networks.

    Parameters
    ----------
    ds : Dataset
        What `solspace.challenge` returns, or a population of a store.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"challenge_value": (("network", "challenge_measure"), [[0.5], [0.7]])},
    ...                 coords={"challenge_measure": ["right_delay_20x"],
    ...                         "challenge_measure_units": ("challenge_measure", ["1"])})
    >>> print(challenge_table(ds))
      measure          units  median    10 %    90 %
      right_delay_20x  1       0.600   0.520   0.680
    """
    if "challenge_value" not in ds.variables:
        raise SolspaceError(f"the dataset has no 'challenge_value'; {how_to_make('challenge')}")
    values = ds["challenge_value"].transpose("network", "challenge_measure").values
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return "  no network has measures"
    names = ds["challenge_measure"].values.astype(str)
    units = ds["challenge_measure_units"].values.astype(str)
    wide, unit = (max(map(len, [head, *words])) for head, words in
                  (("measure", names), ("units", units)))  # fmt: skip
    lines = [f"  {'measure':{wide}}  {'units':{unit}}  median    10 %    90 %"]
    for name, of, row in zip(names, units, values.T, strict=True):
        cells = "".join(f"{v:8.3f}" for v in np.quantile(row, [0.5, 0.1, 0.9]))
        lines.append(f"  {name:{wide}}  {of:{unit}}{cells}")
    return "\n".join(lines)


@stage(
    name="challenge",
    reads=["population"],
    fills=[*GIVEN, OUTPUT, *MEASURES, VALUE],
    after=["train"],
    groups={GROUP: Group("what networks put out to challenges, trials unlike the trained")},
    check=challenge_family,
    layout=layout,
    faults=faults_of,
    notes=notes,
    table=challenge_table,
    table_of="population",
)
def challenge(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Give every network the challenges of its task, and measure what it makes of them.

    Trials unlike the trained, such as longer delays, stronger noise or single pulses, with noise
    that is the same for all networks.

    Parameters
    ----------
    ds : Dataset
        A population with weights, of a task with challenges that are given by their input.
    task : str or Task, optional
        By default the dataset's own.
    seed : int
        Of the noise.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The population with ``challenge_value`` (network, challenge_measure), with units and
        meaning along ``challenge_measure``; and ``challenge_output`` (network, challenge, repeat),
        computed and stored as float32, with kind, target and parameters along ``challenge``. A
        network whose output is not finite, or of which a measure cannot be had, is marked failed
        with the reason.

    Raises
    ------
    SolspaceError
        Where the task has no such challenges, or for a seed below zero.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> from solspace.population import import_networks
    >>> rng, shapes = np.random.default_rng(0), parameter_shapes("leaky", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> weights["alpha"] = 0.2
    >>> ds = import_networks("context_integration", "leaky", {"untrained": weights})
    >>> found = challenge(ds).challenge_value
    >>> found.dims, found.sel(challenge_measure="right_delay_0x").item() < 0.9
    (('network', 'challenge_measure'), True)
    """
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures

    task = task_of(ds, task)
    if seed < 0:
        raise SolspaceError(f"seed={seed}; give a whole number from 0")
    challenge_family(task)
    assert task.challenges is not None
    family, given = _drawn(task.challenges, seed)
    architecture = architecture_of(ds)
    n = ds.sizes["network"]
    output = np.full((n, len(family), family.most_repeats), np.nan, np.float32)
    values = np.full((n, len(family.measures)), np.nan)

    def compute(i: int) -> None:
        output[i] = given.outputs(architecture, network_weights(ds, i))
        values[i] = family.values(output[i])

    ended = each_network(ds, "challenge", compute, after="train", progress=progress)
    measures, coordinates = _coordinates(family)
    old = [name for name in ds.variables
           if {"challenge", "repeat", "challenge_measure"} & {*ds[name].dims}]  # fmt: skip
    out = (
        ds.drop_vars(old)
        .assign(
            {"challenge_output": (OUTPUT.dims, output), "challenge_value": (VALUE.dims, values)}
        )
        .assign(ended)
        .assign_coords(coordinates.coords)
        .assign_coords(measures.coords)
    )
    out = annotate(out, [OUTPUT, VALUE])
    out.attrs |= notes(task, {"seed": seed}, ds.attrs)
    warn_of_failures(out, "challenge")
    return out
