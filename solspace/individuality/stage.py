"""What makes every network of a task with contexts an individual."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.individuality.measures import METHODS, NEURAL_MEASURES
from solspace.individuality.modulation import PARTS
from solspace.population.sound import done
from solspace.population.trained import RECURRENT
from solspace.population.variables import FAILED, Variable, annotate, text_array, unfilled
from solspace.stages import Group, Layout, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["individuality_table", "measure_individuality"]

GROUP = "individuality"


def _of(name: str, dims: tuple[str, ...], dtype: str, meaning: str, **more: Any) -> Variable:
    return Variable(name, dims, dtype, meaning, group=GROUP, architectures=RECURRENT, **more)


MEASURES = tuple(
    Variable(name, ("neural_measure",), dtype, meaning, coordinate=True, architectures=RECURRENT)
    for name, dtype, meaning in (
        ("neural_measure", "U64", "number that tells one network from another"),
        ("neural_measure_units", "U32", "its units"),
        ("neural_measure_meaning", "U256", "what it is"),
    )
)
COORDINATES = (
    _of("context", ("context",), "U64", "which stream counts", coordinate=True),
    _of("stream", ("stream",), "U64", "input that carries evidence", coordinate=True),
    _of(
        "modulation_part",
        ("modulation_part",),
        "U32",
        "part of how differently a stream moves the choice in both contexts",
        coordinate=True,
    ),
    _of(
        "selection_method",
        ("selection_method",),
        "U32",
        "how selection vectors are had: carried back along the trial, or as left eigenvectors at "
        "slow points",
        coordinate=True,
    ),
    _of(
        "evidence",
        ("evidence",),
        "float64",
        "what the stream that counts gives at each step of the stimulus",
        coordinate=True,
    ),
)
TABLE = (
    _of(
        "modulation",
        ("network", "selection_method", "stream", "modulation_part"),
        "float64",
        "parts of how much more a pulse of the stream moves the choice in the context in which it "
        "counts; NaN where not computed, and of slow points where a context has none",
    ),
    _of(
        "selection_vector",
        ("network", "context", "state"),
        "float32",
        "gradient of the choice with respect to the state, mean over the stimulus; NaN past the "
        "state",
    ),
    _of(
        "effective_input",
        ("network", "context", "stream", "state"),
        "float32",
        "derivative of one step with respect to the stream, mean over the stimulus; NaN past the "
        "state",
    ),
    _of(
        "choice_kernel",
        ("network", "context", "stream", "step"),
        "float32",
        "what a pulse of the stream at each step adds to the choice; NaN where not computed",
    ),
    _of(
        "line_state",
        ("network", "context", "evidence", "state"),
        "float32",
        "states at the end of trials with this evidence, the line; NaN past the state",
    ),
    _of(
        "line_direction",
        ("network", "context", "state"),
        "float32",
        "direction of the line, of length 1, towards the positive choice; NaN past the state",
    ),
    _of(
        "slow_point_count",
        ("network", "context"),
        "int32",
        "fixed and slow points whose eigenvalue nearest 1 is real and within 0.1 of it; -1 not "
        "computed",
    ),
    _of(
        "slow_point_selection_vector",
        ("network", "context", "state"),
        "float32",
        "mean of their left eigenvectors; NaN past the state and where there are none",
    ),
)
VALUE = Variable(
    "neural_value",
    ("network", "neural_measure"),
    "float64",
    "numbers that tell one network from another; NaN where not computed",
    architectures=RECURRENT,
)


def needs_contexts(task: Task) -> None:
    """Refuse a task without two contexts."""
    from solspace.tasks.needs import check_needs

    check_needs(task, "individuality")


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """Measures, contexts and streams by name."""
    from solspace.networks import recurrent_architecture
    from solspace.population.describe import architecture_of

    try:
        needs_contexts(task)
    except SolspaceError:  # of no concern before the stage is run, which says so
        return {}
    own, measures = _coordinates(task)
    assert task.contexts is not None
    record = recurrent_architecture(architecture_of(ds))
    sizes = {
        "state": len(record.state) * ds.sizes["unit"],
        "step": len(task.contexts().stimulus),
    }
    return {"population": Layout(measures), GROUP: Layout(own, sizes)}


def _coordinates(task: Task) -> tuple[xr.Dataset, xr.Dataset]:
    import xarray as xr

    assert task.contexts is not None
    contexts = task.contexts()
    own = xr.Dataset(
        coords={
            "context": text_array(contexts.names),
            "stream": text_array(contexts.streams),
            "modulation_part": text_array(PARTS),
            "selection_method": text_array(METHODS),
            "evidence": np.asarray(contexts.strengths, np.float64),
        }
    )
    columns = {
        "neural_measure": list(NEURAL_MEASURES),
        "neural_measure_units": [units for units, _ in NEURAL_MEASURES.values()],
        "neural_measure_meaning": [meaning for _, meaning in NEURAL_MEASURES.values()],
    }
    measures = xr.Dataset(
        coords={name: ("neural_measure", text_array(texts)) for name, texts in columns.items()}
    )
    return annotate(own, COORDINATES), annotate(measures, MEASURES)


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what numbers and vectors are at odds, a sentence each."""
    ds, table = parts["population"], parts.get(GROUP)
    if table is None:
        return
    for i, name in done(ds, "individuality"):
        own = table.isel(network=i)
        if not np.isfinite(ds["neural_value"].values[i]).all():
            yield f"network {name}: individuality called done, but some neural_value is not finite"
        parts_of = own["modulation"].values
        if not np.isfinite(parts_of[0]).all():
            yield f"network {name}: modulation is not finite"
        some = (own["slow_point_count"].values > 0).all()
        if np.isfinite(parts_of[1]).all() != some:
            yield f"network {name}: modulation of slow points does not fit slow_point_count"
        direction = np.nan_to_num(own["line_direction"].values.astype(float))
        if not np.allclose(np.linalg.norm(direction, axis=1), 1, atol=1e-3):
            yield f"network {name}: line_direction is not of length 1"


def individuality_table(ds: xr.Dataset) -> str:
    """How networks select what counts, as text: percentiles over networks.

    Parameters
    ----------
    ds : Dataset
        The group individuality of a store (shares of modulation), a population with
        ``neural_value``, or what `solspace.measure_individuality` returns (both).

    Returns
    -------
    str

    Raises
    ------
    SolspaceError
        Where there is neither.

    Examples
    --------
    >>> import xarray as xr
    >>> dims = ("network", "neural_measure")
    >>> ds = xr.Dataset({"neural_value": (dims, [[1.0], [2.0], [np.nan]])},
    ...                 {"neural_measure": ["gain"],
    ...                  "neural_measure_units": ("neural_measure", ["1"])})
    >>> print(individuality_table(ds))
      measure  units  networks  5 %    median  95 %
      gain     1             2   1.05   1.5     1.95
    """
    parts = []
    if "modulation" in ds.variables:
        parts.append(_shares_table(ds))
    if "neural_value" in ds.variables:
        values = ds["neural_value"].transpose("network", "neural_measure").values
        rows = [["measure", "units", "networks", "5 %", "median", "95 %"]]
        for k, name in enumerate(ds["neural_measure"].values.astype(str)):
            units = str(ds["neural_measure_units"].values[k])
            rows.append([name, units, *_percentiles(values[:, k])])
        parts.append(_laid(rows, right=2))
    if not parts:
        raise SolspaceError(f"the dataset has no 'modulation'; {how_to_make('individuality')}")
    return "\n".join(parts)


def _shares_table(ds: xr.Dataset) -> str:
    """Shares of the parts of modulation, of both streams together."""
    from solspace.individuality.modulation import modulation_shares

    own = ds["modulation"].transpose("network", "selection_method", "stream", "modulation_part")
    shares = modulation_shares(own.values).mean(axis=2)
    rows = [["selection vector", "part", "networks", "5 %", "median", "95 %"]]
    for m, method in enumerate(ds["selection_method"].values.astype(str)):
        for p, part in enumerate(ds["modulation_part"].values.astype(str)):
            rows.append([method, part, *_percentiles(shares[:, m, p])])
    return _laid(rows, right=2)


def _percentiles(values: NDArray[np.float64]) -> list[str]:
    own = values[np.isfinite(values)]
    told = [f"{x: .3g}" for x in np.percentile(own, [5, 50, 95])] if len(own) else ["-"] * 3
    return [str(len(own)), *told]


def _laid(rows: list[list[str]], right: int) -> str:
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join(
        (
            "  "
            + "  ".join(
                cell.rjust(w) if c == right else cell.ljust(w)
                for c, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in rows
    )


@stage(
    name="individuality",
    reads=["population"],
    fills=[*MEASURES, VALUE, *COORDINATES, *TABLE],
    after=["train"],
    groups={GROUP: Group("how each network selects the stream that its context names")},
    layout=layout,
    faults=faults_of,
    check=needs_contexts,
    table=individuality_table,
)
def measure_individuality(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    starts: int = 64,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Measure how every network selects what counts: vectors, lines and modulation.

    A task with two contexts says which stream counts in each. Of a trial without evidence the
    choice is differentiated with respect to states and inputs; how differently a stream moves it in
    both contexts is split into direct and indirect input modulation and selection-vector modulation
    (see `solspace.individuality`).

    Parameters
    ----------
    ds : Dataset
        A population with weights, of architectures vanilla, leaky, relu, leaky_rate, gru or lstm.
    task : str or Task, optional
        By default the dataset's own; it has ``contexts``.
    starts : int
        From how many states fixed points are searched in each context.
    seed : int
        Of these states.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The population with ``neural_value`` (network, neural_measure) and, by context and stream,
        selection vectors, effective inputs, lines, and ``modulation``. A network whose contexts
        change nothing is marked failed, with the reason.

    Raises
    ------
    SolspaceError
        For a task without two contexts, no start, and a seed under 0.

    References
    ----------
    Pagan, Tang, Aoi, Pillow, Mante, Sussillo & Brody, Nature 2025. Mante, Sussillo, Shenoy &
    Newsome, Nature 2013.

    Examples
    --------
    >>> import warnings
    >>> from solspace import import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng, shapes = np.random.default_rng(0), parameter_shapes("leaky", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> weights["alpha"] = 0.2
    >>> ds = import_networks("context_integration", "leaky", {"untrained": weights})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     found = measure_individuality(ds)
    >>> found.message_individuality.item()[:13], found.neural_value.sizes["network"]
    ('no modulation', 1)
    """
    from solspace.individuality.network import individual_of
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures

    task = task_of(ds, task)
    if starts < 1 or seed < 0:
        raise SolspaceError(
            f"starts={starts}, seed={seed}; give 1 or more starts, a seed from 0 on"
        )
    needs_contexts(task)
    assert task.contexts is not None
    contexts, architecture = task.contexts(), architecture_of(ds)
    where = layout(task, ds, {})
    sizes = {str(d): int(s) for part in where.values() for d, s in part.coordinates.sizes.items()}
    sizes |= {"network": ds.sizes["network"], **where[GROUP].sizes}
    arrays = unfilled((VALUE, *TABLE), sizes)
    recorded, units = np.asarray(task.recorded_trials().input), ds.sizes["unit"]

    def compute(i: int) -> None:
        one = individual_of(
            architecture,
            network_weights(ds, i),
            contexts,
            task.inputs,
            recorded,
            starts=starts,
            seed=seed,
        )
        n, size = int(ds["hidden_size"].values[i]), one.selection.shape[1]
        # Parts of the state lie one after the other, each as long as the largest network.
        at = np.arange(size) // n * units + np.arange(size) % n
        arrays["neural_value"][i] = list(one.values.values())
        arrays["modulation"][i] = one.modulation
        arrays["choice_kernel"][i] = one.kernel
        arrays["slow_point_count"][i] = one.slow_points
        for name, own in (
            ("selection_vector", one.selection),
            ("effective_input", one.effective),
            ("line_state", one.line),
            ("line_direction", one.direction),
            ("slow_point_selection_vector", one.slow_selection),
        ):
            arrays[name][i][..., at] = own

    ended = each_network(ds, "individuality", compute, after="train", progress=progress)
    for i in np.flatnonzero(ended["status_individuality"][1] == FAILED):
        for v in (VALUE, *TABLE):
            arrays[v.name][i] = v.fill
    dims = {v.name: v.dims for v in (VALUE, *TABLE)}
    # Those that are there already may be of other contexts.
    gone = {d for v in (VALUE, *TABLE) for d in v.dims} - {"network"}
    old = [name for name in ds.variables if gone & {*ds[name].dims}]
    out = ds.drop_vars(old).assign(
        {name: (dims[name], filled) for name, filled in arrays.items()} | ended
    )
    for part in where.values():
        out = out.assign_coords(part.coordinates.coords)
    warn_of_failures(out, "individuality")
    return out
