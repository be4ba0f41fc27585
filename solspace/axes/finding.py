"""Axes of a task, of networks and of recordings by the same code."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["task_axes"]

Array = NDArray[np.float64]


def task_axes(
    ds: xr.Dataset,
    variables: Sequence[str] | None = None,
    *,
    epoch: str | None = None,
    components: int = 12,
    halves: tuple[xr.Dataset, xr.Dataset] | None = None,
    task: str | Task | None = None,
) -> xr.Dataset:
    """Axes along which activity tells choice, inputs and context, and how it moves along them.

    Targeted dimensionality reduction. The activity of each unit, z-scored over conditions and
    time, is regressed on the variables at every moment; coefficients are projected onto the first
    principal components of the activity; each variable's axis is taken at the moment at which they
    are largest; and the axes are made orthogonal in the order of the variables (QR).

    Parameters
    ----------
    ds : Dataset
        Activity of networks, as of `solspace.record`, or recordings averaged over trials, such as
        of `solspace.stack_units`. Averages are weighed by ``trials_averaged``, unit by unit, which
        makes it the regression on single trials.
    variables : sequence of str, optional
        Parameters of the trials, and ``"choice"``: the sign that is asked for (a coordinate
        ``choice`` of the trials is taken where there is one). By default the choice, where a task
        asks for one output, and its parameters, those of most values first.
    epoch : str, optional
        Of the task; by default all bins that every condition has.
    components : int
        Principal components that coefficients are projected onto. At least as many as variables.
    halves : pair of Dataset, optional
        Averages over two halves of the trials of a recording, of the same units, as of
        `solspace.halve_trials`; conditions that both have are compared.
    task : str or Task, optional
        By default the dataset's own.

    Returns
    -------
    Dataset
        - ``axis_vector`` (network, axis, unit), of length 1, NaN past a network's size;
        - ``trajectory`` (network, trial, time, axis), in standard deviations of a unit, less the
          mean over conditions at each moment;
        - ``variance_share`` (network, axis), of the variance between conditions;
        - ``coefficient_norm`` (network, axis, time), ``moment`` (network, axis), the time that an
          axis is taken from;
        - ``overlap`` (network, axis, other_axis), cosines before axes were made orthogonal;
        - ``component_share`` (network,), of the variance, that the components hold;
        - ``fault`` (network,), why there are no axes; empty where there are;
        - with ``halves`` ``reliability`` (network, axis): axes are found in one half, and the
          trajectories of both on them correlated, with Spearman and Brown's correction, the mean
          of both ways; ``alignment`` (network, axis), the cosine of the axes of the halves; and
          ``shared_variance`` (network, axis), the covariance of the halves along an axis of one
          over that of all units: the share of what is no noise.

        Attributes count conditions that were left out: a unit was not observed in them, or the
        value of a variable is not known.

    Warns
    -----
    UserWarning
        Counts conditions left out, and networks without axes.

    Raises
    ------
    SolspaceError
        For single trials, variables that are not there or do not differ, too few conditions, an
        epoch that is not there, halves of other units.

    References
    ----------
    Mante, Sussillo, Shenoy & Newsome, Nature 2013, supplement. Theirs are z-scored over single
    trials; over averages a unit that says little counts for more. That the mean over conditions is
    taken away is ours.

    Examples
    --------
    >>> from solspace import recording_from_arrays
    >>> side, light = np.repeat([-1, 1], 20), np.tile([0, 1], 20)
    >>> rates = np.full((40, 30, 4), 20.0)
    >>> rates[:, 10:, 0] += 5 * side[:, None]
    >>> rates[:, :, 2] += 4 * light[:, None]
    >>> ds = recording_from_arrays(rates, {"side": side, "light": light}, bin=10,
    ...                            average=["side", "light"])
    >>> found = task_axes(ds, ["side", "light"])
    >>> np.abs(found.axis_vector.values[0]).argmax(axis=-1).tolist()
    [0, 2]
    """
    import xarray as xr

    from solspace.axes.regression import AxesError
    from solspace.population.describe import named_of, task_of
    from solspace.population.variables import text_array

    given = _of_networks(ds)
    nameless = task is None and named_of(ds, "task") in (None, "none")
    known = None if nameless else task_of(ds, task)
    names = list(variables) if variables is not None else _variables(given, known)
    if len(names) < 1 or len(set(names)) != len(names):
        raise SolspaceError(f"variables {names}; give one or more, each once")
    if components < len(names):
        raise SolspaceError(
            f"components={components} for {len(names)} variables ({', '.join(names)}); give as "
            "many or more"
        )
    halved = None if halves is None else [_of_networks(half) for half in halves]
    if halved is not None and (
        len(halved) != 2
        or any("averaged_by" not in half.attrs for half in halved)
        or any(half.sizes["network"] != given.sizes["network"] for half in halved)
        or any(half.sizes["unit"] != given.sizes["unit"] for half in halved)
    ):
        raise SolspaceError(
            "halves are of other units or recordings; give the pair that solspace.halve_trials "
            "makes of the same recording, averaged alike"
        )
    count, units = given.sizes["network"], given.sizes["unit"]
    trials, bins, k = given.sizes["trial"], _bins(given, epoch, known), len(names)
    out: dict[str, Array] = {
        "axis_vector": np.full((count, k, units), np.nan),
        "trajectory": np.full((count, trials, len(bins), k), np.nan),
        "variance_share": np.full((count, k), np.nan),
        "coefficient_norm": np.full((count, k, len(bins)), np.nan),
        "moment": np.full((count, k), np.nan),
        "overlap": np.full((count, k, k), np.nan),
        "component_share": np.full(count, np.nan),
    }
    if halved is not None:
        for name in ("reliability", "alignment", "shared_variance"):
            out[name] = np.full((count, k), np.nan)
    faults, left_out = [""] * count, 0
    time = np.asarray(given["time"].values, np.float64)[bins]
    for i in range(count):
        one = given.isel(network=i).load()
        size = int(one["hidden_size"].values) if "hidden_size" in one.variables else units
        try:
            activity, weight, values, kept = _conditions(one, bins, size, names, known)
            left_out += int((~kept).sum()) if kept.any() else 0
            design = _design(values, names)
            _one(out, i, activity, design, weight, kept, components, time)
            if halved is not None:
                pair = [half.isel(network=i).load() for half in halved]
                _halves(out, i, pair, names, known, bins, size, components)
        except AxesError as error:
            faults[i] = str(error)
    if all(faults):
        raise SolspaceError(faults[0])
    dims = {
        "axis_vector": ("network", "axis", "unit"),
        "trajectory": ("network", "trial", "time", "axis"),
        "coefficient_norm": ("network", "axis", "time"),
        "overlap": ("network", "axis", "other_axis"),
        "component_share": ("network",),
    }
    result = xr.Dataset(
        {n: (dims.get(n, ("network", "axis")), v, _MEANING[n]) for n, v in out.items()},
        coords={
            "axis": text_array(names),
            "other_axis": text_array(names),
            "time": ("time", given["time"].values[bins], given["time"].attrs),
        },
    )
    result["fault"] = ("network", text_array(faults), {"long_name": "why there are no axes"})
    labels = {
        str(n): v
        for n, v in given.coords.items()
        if v.dims in ((), ("network",), ("trial",), ("network", "trial")) and n != "time"
    }
    result = result.assign_coords(labels)
    result.attrs = {
        "components": components,
        "epoch": epoch or "",
        "conditions_left_out": left_out,
    }
    bad = sum(bool(f) for f in faults)
    said = []
    if left_out:
        said.append(
            f"conditions in which a unit was not observed or a variable is not known, left out: "
            f"{left_out}"
        )
    if bad:
        said.append(f"networks without axes: {bad} ({next(f for f in faults if f)})")
    if said:
        warnings.warn("; ".join(said), stacklevel=2)
    return result


_MEANING: dict[str, dict[str, Any]] = {
    "axis_vector": {"long_name": "axis in the space of z-scored units", "units": "1"},
    "trajectory": {"long_name": "activity along an axis", "units": "standard deviations of a unit"},
    "variance_share": {"long_name": "share of the variance between conditions", "units": "1"},
    "coefficient_norm": {"long_name": "length of the denoised coefficients"},
    "moment": {"long_name": "time that an axis is taken from"},
    "overlap": {"long_name": "cosine of two axes before they were made orthogonal"},
    "component_share": {"long_name": "share of the variance that the components hold"},
    "reliability": {"long_name": "correlation of trajectories of two halves, corrected"},
    "alignment": {"long_name": "cosine of the axes of two halves"},
    "shared_variance": {"long_name": "share of the covariance of two halves"},
}


def _of_networks(ds: xr.Dataset) -> xr.Dataset:
    """With a dimension network, of averages."""
    needed = [n for n in ("activity", "epoch") if n not in ds.variables]
    if needed or not {"trial", "time", "unit"} <= set(ds["activity"].dims):
        raise SolspaceError(
            "the dataset has no activity (trial, time, unit) with epochs; give what "
            "solspace.record(ds) returns, or a recording averaged over trials"
        )
    if "network" not in ds["activity"].dims:
        ds = ds.expand_dims("network")
    keep = ["activity", "epoch", "target", "trials_averaged"]
    ds = ds[[n for n in keep if n in ds.variables]]
    if "trials_averaged" in ds.variables and "averaged_by" not in ds.attrs:
        raise SolspaceError(
            "these are single trials; average them first: "
            "solspace.average_trials(ds, [PARAMETER, ...])"
        )
    return ds


def _variables(ds: xr.Dataset, task: Task | None) -> list[str]:
    """The choice, and parameters of most values first."""
    names = [] if task is None else [p for p in task.parameters if p in ds.coords]
    if not names:
        raise SolspaceError(
            "the trials have no parameter of a known task; say what axes are of, such as "
            "variables=['choice', 'side']"
        )
    sizes = {n: len(np.unique(ds[n].values[~_unknown(ds[n].values)])) for n in names}
    found = sorted((n for n in names if sizes[n] > 1), key=lambda n: -sizes[n])
    single = task is not None and task.asked and len(task.outputs) == 1
    return ["choice", *found] if single or "choice" in ds.coords else found


def _unknown(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)


def _bins(ds: xr.Dataset, epoch: str | None, task: Task | None) -> NDArray[np.int64]:
    """Bins that all conditions have, of an epoch where one is asked for."""
    where = ds["epoch"].values
    padding = (where < 0).all(axis=-1, keepdims=True) & (where.ndim > 2)
    names = [str(n) for n in ds["epoch_name"].values] if "epoch_name" in ds.coords else []
    names = names or ([] if task is None else list(task.epochs))
    if epoch is None:
        # Of recordings without epochs all bins.
        inside = where >= 0 if (where >= 0).any() else np.ones(where.shape, bool)
    elif epoch in names:
        inside = where == names.index(epoch)
    else:
        raise SolspaceError(f"no epoch {epoch!r}; epochs: {', '.join(names) or 'none'}")
    inside = inside | padding
    bins = np.flatnonzero(inside.reshape(-1, inside.shape[-1]).all(axis=0))
    if not len(bins):
        raise SolspaceError(
            f"no bin is of {epoch or 'an epoch'} in all conditions; give epoch=..., one of "
            f"{', '.join(names) or 'none'}"
        )
    return bins


def _conditions(
    one: xr.Dataset, bins: NDArray[np.int64], size: int, names: Sequence[str], task: Task | None
) -> tuple[Array, Array | None, Array, NDArray[np.bool_]]:
    """Activity (condition, time, unit), trials that it is of, variables, and conditions kept."""
    array = one["activity"].transpose("trial", "time", "unit").isel(time=bins, unit=slice(size))
    activity = array.values.astype(np.float64)
    values = _columns(one, names, task)
    kept = np.isfinite(activity).all(axis=(1, 2)) & np.isfinite(values).all(axis=1)
    kept = np.asarray(kept, bool)
    weight = None
    if "trials_averaged" in one.variables:
        counts = one["trials_averaged"].transpose("trial", "unit").values[:, :size]
        kept &= (counts > 0).all(axis=1)
        weight = counts[kept].astype(np.float64)
    return activity[kept], weight, values[kept], kept


def _design(values: Array, names: Sequence[str]) -> Array:
    """Variables from their ranges to -1 to 1, (condition, variable)."""
    from solspace.axes.regression import AxesError, scaled_values

    if len(values) < len(names) + 2:
        raise AxesError(
            f"{len(values)} conditions with activity of all units for {len(names)} variables "
            f"({', '.join(names)}); give {len(names) + 2} or more"
        )
    if same := [n for n, v in zip(names, values.T, strict=True) if np.ptp(v) == 0]:
        raise AxesError(
            f"{' and '.join(same)} is the same in all conditions; give variables that differ"
        )
    return np.column_stack([scaled_values(v) for v in values.T])


def _columns(one: xr.Dataset, names: Sequence[str], task: Task | None) -> Array:
    """Variables of one network's trials, (trial, variable)."""
    found = []
    for name in names:
        if name in one.coords and one[name].dims == ("trial",):
            values = one[name].values
            if values.dtype.kind not in "iufb":
                raise SolspaceError(f"variable {name!r} holds texts; give one of numbers")
        elif name == "choice":
            values = _choice(one, task)
        else:
            own = [str(n) for n, v in one.coords.items() if v.dims == ("trial",) and n != "trial"]
            raise SolspaceError(
                f"the trials have no {name!r}; they have {', '.join(own) or 'nothing'}. Of a "
                f"recording name its column when it is read: parameters={{{name!r}: COLUMN}}"
            )
        found.append(np.asarray(values, np.float64))
    return np.column_stack(found)


def _choice(one: xr.Dataset, task: Task | None) -> Array:
    """The sign that is asked for in the end, +1 or -1."""
    missing = "give trials a coordinate 'choice' of -1 and 1, or variables=... without it"
    if "target" in one.variables:
        target = one["target"].transpose("trial", "time", ...).values[..., 0]
    elif task is not None and task.parameters and all(p in one.coords for p in task.parameters):
        trials = task.recorded_trials()
        theirs = np.column_stack([trials.parameters[p] for p in task.parameters])
        mine = np.column_stack([one[p].values for p in task.parameters]).astype(np.float64)
        same = (mine[:, None] == theirs).all(axis=-1)
        known = ~np.isnan(mine).any(axis=1)
        if not same[known].any(axis=1).all():
            raise SolspaceError(
                f"some conditions are no trial of task {task.name!r}, so it is not known what was "
                f"to be chosen; {missing}"
            )
        target = trials.target[same.argmax(axis=1), :, 0]
    else:
        raise SolspaceError(f"it is not known what was chosen; {missing}")
    asked = np.isfinite(target)
    if not asked.any(axis=1).all():
        raise SolspaceError(f"in some trials nothing is asked for; {missing}")
    last = target.shape[1] - 1 - asked[:, ::-1].argmax(axis=1)
    return np.asarray(np.sign(target[np.arange(len(target)), last]), np.float64)


def _one(
    out: dict[str, Array], i: int, activity: Array, design: Array, weight: Array | None,
    kept: NDArray[np.bool_], components: int, time: Array,
) -> None:  # fmt: skip
    from solspace.axes.regression import find_axes, projected, scored

    own = scored(activity)
    found = find_axes(own, design, weight, components)
    path, share = projected(own, found.vector)
    out["axis_vector"][i, :, : own.shape[-1]] = found.vector
    out["trajectory"][i, kept] = path
    out["variance_share"][i] = share
    out["coefficient_norm"][i] = found.norm
    out["moment"][i] = time[found.moment]
    out["overlap"][i] = found.raw @ found.raw.T
    out["component_share"][i] = found.kept


def _halves(
    out: dict[str, Array], i: int, pair: Sequence[xr.Dataset], names: Sequence[str],
    task: Task | None, bins: NDArray[np.int64], size: int, components: int,
) -> None:  # fmt: skip
    """How far two halves of the trials agree."""
    from solspace.axes.regression import find_axes, scored

    parts, rows = [], []
    for half in pair:
        activity, weight, values, kept = _conditions(half, bins, size, names, task)
        parts.append((activity, weight, values))
        by = [half[c].values[kept].tolist() for c in half.attrs["averaged_by"].split(", ")]
        rows.append(list(zip(*by, strict=True)))
    common = [r for r in rows[0] if r in rows[1]]
    found, scores = [], []
    for (activity, weight, values), own in zip(parts, rows, strict=True):
        at = [own.index(r) for r in common]
        design = _design(values[at], names)
        z = scored(activity[at])
        found.append(find_axes(z, design, None if weight is None else weight[at], components))
        scores.append(z - z.mean(axis=0))
    whole = float((scores[0] * scores[1]).sum())
    correlations, shares = [], []
    for one in found:
        paths = [z @ one.vector.T for z in scores]
        product = (paths[0] * paths[1]).sum(axis=(0, 1))
        size_of = np.sqrt((paths[0] ** 2).sum(axis=(0, 1)) * (paths[1] ** 2).sum(axis=(0, 1)))
        correlations.append(product / size_of)
        shares.append(product / whole if whole > 0 else np.full(len(names), np.nan))
    r = np.maximum(np.mean(correlations, axis=0), -0.99)
    out["reliability"][i] = 2 * r / (1 + r)
    out["alignment"][i] = (found[0].vector * found[1].vector).sum(axis=1)
    out["shared_variance"][i] = np.mean(shares, axis=0)
