"""Where one step of every network of a population changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError, how_to_make
from solspace.population.sound import done
from solspace.population.trained import RECURRENT
from solspace.population.variables import Variable, annotate, text_array, unfilled
from solspace.stages import Group, Layout, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["find_fixed_points", "fixed_points_table"]

GROUP = "fixed_points"
MOST = 64  # points stored of a network under one input
LEADING = 2  # modes whose eigenvectors are stored
FLAGS = ("stable", "saddle", "slow")


def _of(name: str, dims: tuple[str, ...], dtype: str, meaning: str, **more: Any) -> Variable:
    return Variable(name, dims, dtype, meaning, group=GROUP, architectures=RECURRENT, **more)


INPUTS = (
    _of(
        "constant_input",
        ("constant_input",),
        "U96",
        "what is given at every step: silence, or the channels that are not zero",
        coordinate=True,
    ),
    _of(
        "constant_input_epochs",
        ("constant_input",),
        "U512",
        "epochs of recorded trials during which it is held, parted by spaces",
        coordinate=True,
    ),
    _of(
        "constant_input_value",
        ("constant_input", "input_channel"),
        "float64",
        "what each channel is given",
        coordinate=True,
    ),
    *(
        _of(name, (name,), "U64", f"{name.split('_')[0]} channel", coordinate=True)
        for name in ("input_channel", "output_channel")
    ),
)
_EACH = ("network", "constant_input")
_POINT = (*_EACH, "fixed_point")
COUNTED = {
    "stable_points": "fixed points of which every direction is stable; -1 not computed",
    "saddle_points": "fixed points with unstable directions, those unstable in all of them among "
    "these; -1 not computed",
    "slow_points": "minima of q at which q is small and not zero; -1 not computed",
}
TABLE = (
    *(_of(name, _EACH, "int32", meaning) for name, meaning in COUNTED.items()),
    _of(
        "points_outside",
        _EACH,
        "int32",
        "fixed and slow points outside of the box of states seen, which are left out; -1 not "
        "computed",
    ),
    _of("starts_searched", _EACH, "int32", "starts of searches; -1 not computed"),
    _of(
        "starts_converged",
        _EACH,
        "float32",
        "share of starts whose search came to a fixed point; NaN not computed",
        units="1",
    ),
    _of(
        "starts_stuck",
        _EACH,
        "int32",
        "starts whose search came neither to a fixed point nor to a slow one; -1 not computed",
    ),
    _of(
        "starts_not_finite",
        _EACH,
        "int32",
        "starts that are NaN or infinite, or lead there in one step; -1 not computed",
    ),
    _of(
        "fixed_point_kind",
        _POINT,
        "int8",
        "what it is; stable points come first, then saddles, then slow points, and of more than "
        f"{MOST} the first are kept; -1 past the network's points",
        attrs={"flag_values": list(range(3)), "flag_meanings": " ".join(FLAGS)},
    ),
    _of(
        "fixed_point_state",
        (*_POINT, "state"),
        "float64",
        "the state: activity of all units, then cell states of an LSTM; NaN past hidden_size and "
        "past the network's points",
    ),
    _of(
        "fixed_point_output",
        (*_POINT, "output_channel"),
        "float32",
        "what is put out there; NaN past the network's points",
    ),
    _of(
        "fixed_point_q",
        _POINT,
        "float64",
        "half the squared length of one step there; NaN past the network's points",
    ),
    _of(
        "fixed_point_residual",
        _POINT,
        "float64",
        "largest change of any unit in one step there; NaN past the network's points",
    ),
    _of(
        "fixed_point_unstable",
        _POINT,
        "int16",
        "unstable directions: eigenvalues of absolute value over 1; -1 past the network's points",
    ),
    _of(
        "fixed_point_starts",
        _POINT,
        "int32",
        "starts whose search ended there; -1 past the network's points",
    ),
    *(
        _of(
            f"eigenvalue_{part}",
            (*_POINT, "mode"),
            "float64",
            f"{part} part of the eigenvalues of the Jacobian of one step, by falling absolute "
            "value; NaN past the state and past the network's points",
        )
        for part in ("real", "imaginary")
    ),
    *(
        _of(
            f"{side}_eigenvector_{part}",
            (*_POINT, "leading_mode", "state"),
            "float32",
            f"{part} part of the {side} eigenvectors of the first eigenvalues"
            + (", of length 1" if side == "right" else ", whose product with the right one is 1")
            + "; NaN past the state and past the network's points",
        )
        for side in ("right", "left")
        for part in ("real", "imaginary")
    ),
)


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """The inputs that are held, and the most points of a network."""
    from solspace.networks import recurrent_architecture
    from solspace.population.describe import architecture_of

    record = recurrent_architecture(architecture_of(ds))
    size = len(record.state) * ds.sizes["unit"]
    coordinates = _coordinates(task, options)
    sizes = {"fixed_point": MOST, "state": size, "mode": size, "leading_mode": LEADING}
    return {GROUP: Layout(coordinates, sizes)}


def _coordinates(task: Task, options: Mapping[str, Any]) -> xr.Dataset:
    import xarray as xr

    from solspace.fixed_points.starting import HELD, constant_inputs

    inputs = constant_inputs(task, options.get("held", HELD))
    ds = xr.Dataset(
        coords={
            "constant_input": text_array(inputs.names),
            "constant_input_epochs": ("constant_input", text_array(inputs.epochs)),
            "constant_input_value": (("constant_input", "input_channel"), inputs.values),
            "input_channel": text_array(task.inputs),
            "output_channel": text_array(task.outputs),
        }
    )
    return annotate(ds, INPUTS)


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what counts and the table of points are at odds, a sentence each."""
    ds, table = parts["population"], parts.get(GROUP)
    if table is None:
        return
    for i, name in done(ds, "fixed_points"):
        own = table.isel(network=i)
        kinds = own["fixed_point_kind"].values
        if (kinds >= len(FLAGS)).any():
            yield f"network {name}: fixed_point_kind has values that are no kinds"
            continue
        numbers = np.stack([own[name].values for name in COUNTED])
        kept = np.stack([(kinds == k).sum(axis=1) for k in range(len(FLAGS))])
        fits = np.where(numbers.sum(axis=0) <= MOST, (numbers == kept).all(axis=0),
                        kept.sum(axis=0) == MOST)  # fmt: skip
        if (numbers < 0).any() or not fits.all():
            yield f"network {name}: counts of fixed points are not those of its points"
            continue
        sizes = np.hypot(own["eigenvalue_real"].values, own["eigenvalue_imaginary"].values)
        over = (np.nan_to_num(sizes) > 1 + 1e-9).sum(axis=-1)
        if (over != own["fixed_point_unstable"].values)[kinds >= 0].any():
            yield f"network {name}: fixed_point_unstable is not the number of eigenvalues over 1"
        if not np.isfinite(own["fixed_point_q"].values[kinds >= 0]).all():
            yield f"network {name}: fixed_point_q is not finite at all of its points"


def notes(task: Task, options: Mapping[str, Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """From how many starts was searched, in the population's attributes."""
    return {"fixed_point_searches": int(options["starts"])}


def fixed_points_table(ds: xr.Dataset, by: str = "solution_name") -> str:
    """How many fixed points of which kind networks have, as text, by solution and input.

    Parameters
    ----------
    ds : Dataset
        The group fixed_points of a store, or what `solspace.find_fixed_points` returns.
    by : str
        A coordinate along ``network``, such as ``attractor_key``; all networks together where
        the dataset does not have it.

    Examples
    --------
    >>> import xarray as xr
    >>> each = ("network", "constant_input")
    >>> ds = xr.Dataset({"stable_points": (each, [[2], [1]]), "saddle_points": (each, [[1], [0]]),
    ...                  "slow_points": (each, [[0], [1]]),
    ...                  "starts_converged": (each, [[1], [0.5]])},
    ...                 coords={"constant_input": ["silence"]})
    >>> print(fixed_points_table(ds))
      solution  input    networks  stable  saddles  slow  converged
      all       silence         2  1.5     0.5      0.5   75 %
    """
    if missing := [name for name in COUNTED if name not in ds.variables]:
        raise SolspaceError(
            f"the dataset has no {missing[0]!r}; {how_to_make('fixed_points')} (in a store it "
            f"stands in the group TASK/ARCHITECTURE/{GROUP})"
        )
    counts = [ds[name].transpose("network", "constant_input").values for name in COUNTED]
    converged = ds["starts_converged"].transpose("network", "constant_input").values
    there = counts[0][:, 0] >= 0
    groups = ds[by].values.astype(str) if by in ds.coords else np.full(len(there), "all")
    rows = [[by.split("_")[0], "input", "networks", "stable", "saddles", "slow", "converged"]]
    names, sizes = np.unique(groups[there], return_counts=True)
    for name in names[np.argsort(-sizes, kind="stable")].tolist():
        mask = there & (groups == name)
        for k, given in enumerate(ds["constant_input"].values):
            means = [f"{count[mask, k].mean():.1f}" for count in counts]
            share = f"{np.nanmean(converged[mask, k]):.0%}".replace("%", " %")
            rows.append([name or "none", str(given), str(mask.sum()), *means, share])
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join(
        (
            "  "
            + "  ".join(
                cell.rjust(w) if c == 2 else cell.ljust(w)
                for c, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in rows
    )


@stage(
    name="fixed_points",
    reads=["population"],
    fills=[*INPUTS, *TABLE],
    after=["train"],
    groups={GROUP: Group("where one step of a network under a constant input changes nothing")},
    layout=layout,
    faults=faults_of,
    notes=notes,
    table=fixed_points_table,
)
def find_fixed_points(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    starts: int = 256,
    noise: float = 0.1,
    held: int = 10,
    slow_q: float = 1e-4,
    unique: float = 1e-3,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Find the fixed points of every network under constant inputs, saddles and slow points too.

    Under silence, and every input that recorded trials hold, Newton's method is followed from
    states along each network's trajectories (see `solspace.fixed_points`).

    Parameters
    ----------
    ds : Dataset
        A population with weights, of architectures vanilla, leaky, relu, leaky_rate, gru or lstm.
    task : str or Task, optional
        By default the dataset's own.
    starts : int
        From how many states is searched, every second one moved by noise.
    noise : float
        Standard deviation of that noise, relative to how far states lie from their mean.
    held : int
        For how many steps recorded trials hold an input under which points are looked for.
    slow_q : float
        Largest q, half the squared length of one step, of what is called a slow point.
    unique : float
        Distance under which two points are one.
    seed : int
        Of the states that are drawn and of the noise.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The population with ``stable_points``, ``saddle_points`` and ``slow_points`` (network,
        constant_input), and of each point its state, output, q, kind, eigenvalues and leading
        eigenvectors; what starts came to, and how many were not finite.

    Raises
    ------
    SolspaceError
        For numbers that cannot be, and more inputs that are held than are searched.

    Examples
    --------
    >>> from solspace import import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": mine})
    >>> found = find_fixed_points(ds, starts=16)
    >>> found.stable_points.item(), found.saddle_points.item(), found.starts_converged.item()
    (1, 0, 1.0)
    """
    from solspace.fixed_points.finding import fixed_points
    from solspace.fixed_points.starting import starts_of
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures

    task = task_of(ds, task)
    if starts < 1 or not noise >= 0 or not slow_q >= 0 or not unique > 0 or seed < 0:
        raise SolspaceError(
            f"starts={starts}, noise={noise:g}, slow_q={slow_q:g}, unique={unique:g}, seed={seed}; "
            "give 1 or more starts, noise, slow_q and seed of 0 or more, and unique over 0"
        )
    architecture = architecture_of(ds)
    where = layout(task, ds, {"held": held})[GROUP]
    coordinates = where.coordinates
    sizes = {str(d): int(s) for d, s in coordinates.sizes.items()} | dict(where.sizes)
    sizes["network"] = ds.sizes["network"]
    arrays = unfilled(TABLE, sizes)
    inputs = np.asarray(task.recorded_trials().input)
    units, values = ds.sizes["unit"], coordinates["constant_input_value"].values

    def compute(i: int) -> None:
        weights = network_weights(ds, i)
        n = int(ds["hidden_size"].values[i])
        for k, value in enumerate(values):
            begun = starts_of(architecture, weights, inputs, value, starts, noise, seed)
            one = fixed_points(
                architecture, weights, begun.states, value,
                box=begun.box, unique=unique, slow_q=slow_q,
            )  # fmt: skip
            for flag, name in enumerate(COUNTED):
                arrays[name][i, k] = (one.kind == flag).sum()
            arrays["points_outside"][i, k] = one.outside
            arrays["starts_searched"][i, k] = one.searched
            arrays["starts_converged"][i, k] = one.converged
            arrays["starts_stuck"][i, k] = one.stuck
            arrays["starts_not_finite"][i, k] = one.not_finite
            kept = min(len(one), MOST)
            # Parts of the state lie one after the other, each as long as the largest network.
            size = one.states.shape[1]
            at = np.arange(size) // n * units + np.arange(size) % n
            arrays["fixed_point_state"][i, k, :kept, at] = one.states[:kept].T
            for name in ("kind", "output", "q", "residual", "unstable", "starts"):
                arrays[f"fixed_point_{name}"][i, k, :kept] = getattr(one, name)[:kept]
            arrays["eigenvalue_real"][i, k, :kept, :size] = one.eigenvalues.real[:kept]
            arrays["eigenvalue_imaginary"][i, k, :kept, :size] = one.eigenvalues.imag[:kept]
            for side in ("right", "left"):
                vectors = getattr(one, side)[:kept, :, :LEADING]
                for mode in range(vectors.shape[2]):
                    for part, own in (("real", vectors.real), ("imaginary", vectors.imag)):
                        table = arrays[f"{side}_eigenvector_{part}"]
                        table[i, k, :kept, mode, at] = own[:, :, mode].T

    ended = each_network(ds, "fixed_points", compute, after="train", progress=progress)
    dims = {v.name: v.dims for v in TABLE}
    # Those that are there already may be of other inputs.
    own_dims = {"constant_input", "fixed_point", "mode", "leading_mode", "state"}
    old = [name for name in ds.variables if own_dims & {*ds[name].dims}]
    out = (
        ds.drop_vars(old)
        .assign({name: (dims[name], filled) for name, filled in arrays.items()} | ended)
        .assign_coords(coordinates.coords)
    )
    out.attrs |= notes(task, {"starts": starts}, ds.attrs)
    warn_of_failures(out, "fixed_points")
    return out
