"""Recordings averaged over trials, put side by side, and units of several as one recording."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.population.describe import task_of
from solspace.population.recorded import NO_EPOCH
from solspace.population.variables import text_array
from solspace.recordings.trials import Trials, epoch_array, told, warn_of_exclusions

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["average_trials", "halve_trials", "join_recordings", "stack_units"]


# --------------------------------------------------------------------------- averages


def average_trials(ds: xr.Dataset, by: str | Sequence[str]) -> xr.Dataset:
    """Averages over the trials of each condition.

    Parameters
    ----------
    ds : Dataset
        Recordings of single trials, as of `solspace.recording_from_spikes`.
    by : str or sequence of str
        Trial columns; trials alike in all of them are of one condition.

    Returns
    -------
    Dataset
        With a condition along ``trial``, in order of their values. ``trials_averaged`` (network,
        trial, unit) counts the trials in which the unit was observed; a bin is the mean of those
        in which it was. Columns that are alike in a condition are kept; of events the median is,
        and epochs are where those are.

    Warns
    -----
    UserWarning
        Says what was left out: trials without a value of ``by``, columns that differ in a
        condition.

    Raises
    ------
    SolspaceError
        Where there is no such column.

    Examples
    --------
    >>> from solspace import recording_from_arrays
    >>> rates = np.arange(4.0).reshape(4, 1, 1) * np.ones((4, 30, 2))
    >>> ds = recording_from_arrays(rates, {"side": ["a", "b", "a", "b"]}, bin=10)
    >>> means = average_trials(ds, "side")
    >>> means.activity.values[0, :, 0, 0].tolist(), means.side.values[0].tolist()
    ([1.0, 2.0], ['a', 'b'])
    """
    out = average_quietly(ds, [by] if isinstance(by, str) else list(by))
    warn_of_exclusions(out)
    return out


def halve_trials(
    ds: xr.Dataset, by: str | Sequence[str], *, seed: int = 0
) -> tuple[xr.Dataset, xr.Dataset]:
    """Averages over two halves of the trials of each condition, dealt at random.

    What both halves say of units is no noise of single trials.

    Parameters
    ----------
    ds : Dataset
        One recording of single trials.
    by : str or sequence of str
        As for `average_trials`.
    seed : int
        Of the dealing. An odd trial goes to the first half or the second at random.

    Returns
    -------
    pair of Dataset
        As of `average_trials`. A condition of one trial is in neither, and counted in their
        ``exclusions``.

    Warns
    -----
    UserWarning
        Says what was left out.

    Raises
    ------
    SolspaceError
        For averages, several recordings, a column that is not there, or where no condition has
        two trials.

    Examples
    --------
    >>> from solspace import recording_from_arrays
    >>> rates = np.arange(4.0).reshape(4, 1, 1) * np.ones((4, 30, 2))
    >>> ds = recording_from_arrays(rates, {"side": ["a", "b", "a", "b"]}, bin=10)
    >>> one, other = halve_trials(ds, "side")
    >>> (one.activity + other.activity).values[0, :, 0, 0].tolist()
    [2.0, 4.0]
    """
    check_recorded(ds, "halve_trials")
    columns = [by] if isinstance(by, str) else list(by)
    if ds.sizes["network"] != 1 or "averaged_by" in ds.attrs:
        raise SolspaceError(
            "halves are made of the single trials of one recording; give ds.isel(network=[0]) of "
            "one that was read without average="
        )
    whole = _average(ds, columns)  # or an error that lists the columns
    rng = np.random.default_rng(seed)
    keys = list(zip(*(ds[c].values[0].tolist() for c in columns), strict=True))
    there = (ds["trials_averaged"].values[0] > 0).any(axis=-1)
    halves: tuple[list[int], list[int]] = ([], [])
    alone = 0
    for key in zip(*(whole[c].values[0].tolist() for c in columns), strict=True):
        rows = rng.permutation([i for i, k in enumerate(keys) if k == key and there[i]])
        if len(rows) < 2:
            alone += 1
            continue
        cut = (len(rows) + int(rng.integers(2))) // 2
        halves[0].extend(rows[:cut].tolist())
        halves[1].extend(rows[cut:].tolist())
    if not halves[0]:
        raise SolspaceError(
            f"no condition, by {', '.join(columns)}, has two trials to make halves of"
        )
    name = str(ds["name"].values[0])
    lost = json.loads(ds.attrs.get("exclusions", "{}")).get(name, {})
    if alone:
        lost = lost | {"conditions of one trial, in no half": alone}
    told_of = ds.assign_attrs(exclusions=json.dumps({name: lost}))
    one, other = (_average(told_of.isel(trial=sorted(half)), columns) for half in halves)
    warn_of_exclusions(one)
    return one, other


def average_quietly(ds: xr.Dataset, by: Sequence[str]) -> xr.Dataset:
    check_recorded(ds, "average_trials")
    parts = [_average(ds.isel(network=[i]), by) for i in range(ds.sizes["network"])]
    return parts[0] if len(parts) == 1 else join_recordings(parts)


def _average(ds: xr.Dataset, by: Sequence[str]) -> xr.Dataset:
    """One recording."""
    own = trial_columns(ds)
    if unknown := [name for name in by if name not in own]:
        raise SolspaceError(
            f"average over trials alike in {unknown[0]!r}: there is no such column; columns: "
            f"{', '.join(own) or 'none'}"
        )
    if not by:
        raise SolspaceError("no columns to average by; give one or more")
    columns = {name: ds[name].values[0] for name in own}
    activity, counts = ds["activity"].values[0], ds["trials_averaged"].values[0]
    there = (counts > 0).any(axis=-1)
    name = str(ds["name"].values[0])
    left_out = Counter(json.loads(ds.attrs.get("exclusions", "{}")).get(name, {}))
    known = there.copy()
    for key in by:
        known &= _known(columns[key])
    if lost := int((there & ~known).sum()):
        left_out[f"trials without {' or '.join(by)}"] += lost
    rows = np.flatnonzero(known)
    keys = sorted({tuple(columns[k][i].item() for k in by) for i in rows})
    if not keys:
        raise SolspaceError(f"{name}: no trial is left to average: {told(left_out)}")
    groups = [
        np.array([i for i in rows if tuple(columns[k][i].item() for k in by) == key])
        for key in keys
    ]
    mean, count = [], []
    for group in groups:
        # Averages of averages: each weighs as many trials as it is of.
        weight = counts[group][:, None, :] * np.isfinite(activity[group])
        total = weight.sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean.append((np.nan_to_num(activity[group].astype(np.float64)) * weight).sum(0) / total)
        count.append((counts[group] * np.isfinite(activity[group]).any(axis=1)).sum(axis=0))
    events = [n for n in own if ds[n].attrs.get("units") == "ms"]
    kept: dict[str, NDArray[Any]] = {}
    for column in own:
        values = columns[column]
        if column in events:
            kept[column] = np.array([_median(values[g]) for g in groups])
        elif all(len(set(values[g].tolist())) == 1 for g in groups):
            kept[column] = np.array([values[g[0]] for g in groups])
        elif column not in ("aligned_at", "trial_number", "trial_id"):  # of one trial each
            left_out["columns that differ within a condition"] += 1
    trials = Trials(dict(kept), {n for n in events if n in kept})
    epochs = json.loads(ds.attrs.get("epochs", "{}"))
    epoch, _ = epoch_array(trials, epochs, ds["time"].values, task_of(ds))
    values_of = np.stack(mean)
    epoch[np.isnan(values_of).all(axis=-1)] = NO_EPOCH
    out = ds.drop_dims("trial").assign(
        {
            "activity": (ds["activity"].dims, values_of[None].astype(np.float32)),
            "epoch": (ds["epoch"].dims, epoch[None]),
            "trials_averaged": (ds["trials_averaged"].dims, np.stack(count)[None].astype(np.int32)),
            "exclusions": ("network", text_array([told(left_out)])),
        }
    )
    for variable in ("activity", "epoch", "trials_averaged", "exclusions"):
        out[variable].attrs = ds[variable].attrs
    out = out.assign_coords(trial=("trial", np.arange(len(groups)), ds["trial"].attrs))
    out = out.assign_coords(
        {n: (("network", "trial"), v[None], ds[n].attrs) for n, v in kept.items()}
    )
    out.attrs = {**ds.attrs, "exclusions": json.dumps({name: dict(left_out)})}
    out.attrs["averaged_by"] = ", ".join(by)
    return out


def _known(values: NDArray[Any]) -> NDArray[np.bool_]:
    return values != "" if values.dtype.kind == "U" else np.isfinite(values.astype(float))


def _median(values: NDArray[Any]) -> float:
    known = values[np.isfinite(values.astype(float))]
    return float(np.median(known)) if len(known) else float("nan")


def trial_columns(ds: xr.Dataset) -> list[str]:
    """Coordinates that have a value for each trial of each recording."""
    return [str(c) for c, v in ds.coords.items() if v.dims == ("network", "trial")]


def check_recorded(ds: xr.Dataset, what: str) -> None:
    """An error where a dataset holds no recordings."""
    missing = [n for n in ("activity", "trials_averaged", "epoch") if n not in ds.variables]
    if missing or "network" not in ds["epoch"].dims:
        raise SolspaceError(
            f"{what} is for recordings, and the dataset has no "
            f"{(missing or ['epoch of each'])[0]!r}; give one of solspace.recording_from_nwb, "
            "recording_from_spikes or recording_from_arrays, or of a store the group TASK/recorded"
        )


# --------------------------------------------------------------------------- side by side


def join_recordings(recordings: Sequence[xr.Dataset]) -> xr.Dataset:
    """Several recordings of one task along ``network``, padded to the longest.

    Parameters
    ----------
    recordings : sequence of Dataset
        Of the same task, bins, kernel, epochs and first bin. Names have to differ.

    Returns
    -------
    Dataset
        Trials, bins and units of the largest; past its own end a recording has NaN in
        ``activity``, -1 in ``epoch`` and 0 in ``trials_averaged``. Columns of trials that not all
        have are left out and counted.

    Raises
    ------
    SolspaceError
        Where they differ in what has to be the same.

    Examples
    --------
    >>> from solspace import recording_from_arrays
    >>> one = recording_from_arrays(np.ones((4, 30, 2)), bin=10, name="monday")
    >>> other = recording_from_arrays(np.ones((6, 20, 3)), bin=10, name="tuesday")
    >>> both = join_recordings([one, other])
    >>> dict(both.activity.sizes), both.hidden_size.values.tolist()
    ({'network': 2, 'trial': 6, 'time': 30, 'unit': 3}, [2, 3])
    """
    import xarray as xr

    given = [ds.isel(network=[i]) for ds in recordings for i in range(ds.sizes["network"])]
    if not given:
        raise SolspaceError("no recordings to join; give one or more")
    for ds in given:
        check_recorded(ds, "join_recordings")
    _check_alike(given)
    names = [str(ds["name"].values[0]) for ds in given]
    if twice := [n for n in names if names.count(n) > 1]:
        raise SolspaceError(f"two recordings are named {twice[0]!r}; give them names: name=...")
    most = {dim: max(ds.sizes[dim] for ds in given) for dim in ("trial", "time", "unit")}
    longest = max(given, key=lambda ds: ds.sizes["time"])
    shared = [c for c in trial_columns(given[0]) if all(c in trial_columns(ds) for ds in given)]
    shared = [c for c in shared if len({ds[c].dtype.kind == "U" for ds in given}) == 1]
    exclusions = {}
    parts = []
    for name, ds in zip(names, given, strict=True):
        lost = [c for c in trial_columns(ds) if c not in shared]
        left_out = Counter(json.loads(ds.attrs.get("exclusions", "{}")).get(name, {}))
        if lost:
            left_out["columns that not every recording has"] += len(lost)
        exclusions[name] = dict(left_out)
        parts.append(_grown(ds.drop_vars(lost), most, longest["time"], told(left_out)))
    texts = [c for c in shared if given[0][c].dtype.kind == "U"]
    out = xr.concat(
        parts, "network", data_vars="all", coords="different", compat="equals", join="override",
        combine_attrs="override",
    )  # fmt: skip
    out = out.assign_coords(network=np.arange(len(given)))
    out = out.assign_coords({c: (out[c].dims, text_array(out[c].values)) for c in texts})
    out["exclusions"] = ("network", text_array(out["exclusions"].values), out["exclusions"].attrs)
    out.attrs = {**given[0].attrs, "exclusions": json.dumps(exclusions)}
    return out


def _check_alike(given: Sequence[xr.Dataset]) -> None:
    first = given[0]
    for ds in given[1:]:
        for what, one, other in (
            ("task", first["task"].item(), ds["task"].item()),
            ("bin_width", first["bin_width"].item(), ds["bin_width"].item()),
            ("kernel_sd", first["kernel_sd"].item(), ds["kernel_sd"].item()),
            ("units of activity", first["activity"].attrs["units"], ds["activity"].attrs["units"]),
            ("epochs", first.attrs.get("epochs"), ds.attrs.get("epochs")),
            ("epoch names", first["epoch_name"].values.tolist(), ds["epoch_name"].values.tolist()),
            ("first bin", first["time"].values[0], ds["time"].values[0]),
            ("averaged_by", first.attrs.get("averaged_by"), ds.attrs.get("averaged_by")),
            ("warped", first.attrs.get("warped"), ds.attrs.get("warped")),
        ):
            if one != other:
                raise SolspaceError(
                    f"recordings {first['name'].values[0]} and {ds['name'].values[0]} differ in "
                    f"{what} ({one} and {other}); import them in one way"
                )


def _grown(ds: xr.Dataset, most: dict[str, int], time: xr.DataArray, said: str) -> xr.Dataset:
    """A recording padded to these lengths."""
    import xarray as xr

    out: dict[str, Any] = {}
    fills = {"epoch": NO_EPOCH, "trials_averaged": 0, "unit_id": -1}
    for name, v in ds.variables.items():
        if name in most or not set(v.dims) & set(most):
            continue
        array = v.values
        text = array.dtype.kind == "U"
        fill: Any = "" if text else fills.get(str(name), np.nan)
        width = [(0, most.get(str(d), n) - n) for d, n in zip(v.dims, array.shape, strict=True)]
        # A whole number of a trial that is not there is NaN, so that all are floats.
        if not text and name not in fills and array.dtype.kind in "iu":
            array = array.astype(np.float64)
        out[str(name)] = (v.dims, np.pad(array, width, constant_values=fill), v.attrs)
    coords = {d: (d, np.arange(n), ds[d].attrs) for d, n in most.items() if d != "time"}
    small = {n: v for n, v in ds.variables.items() if not set(v.dims) & set(most)}
    grown = xr.Dataset({n: v for n, v in out.items() if n not in ds.coords})
    grown = grown.assign({n: v for n, v in small.items() if n not in ds.coords})
    grown = grown.assign_coords({n: v for n, v in small.items() if n in ds.coords})
    grown = grown.assign_coords({n: v for n, v in out.items() if n in ds.coords})
    grown = grown.assign_coords(coords).assign_coords(time=time.variable)
    grown["exclusions"] = ("network", text_array([said]), ds["exclusions"].attrs)
    return grown


# --------------------------------------------------------------------------- units of several


def stack_units(recordings: Sequence[xr.Dataset], *, name: str = "pseudo_population") -> xr.Dataset:
    """Units that were recorded one after another as one recording: a pseudo-population.

    Parameters
    ----------
    recordings : sequence of Dataset
        One recording each, averaged over trials by the same columns.
    name : str
        Of the new recording.

    Returns
    -------
    Dataset
        The conditions that all have, all units, ``trials_averaged`` of each, and
        ``pseudo_population`` 1. ``unit_id`` is a unit's own.

    Warns
    -----
    UserWarning
        Counts the conditions that not every recording has, which are left out.

    Raises
    ------
    SolspaceError
        For single trials, which were not shared, or where no condition is common.

    Examples
    --------
    >>> from solspace import recording_from_arrays
    >>> def unit(level):
    ...     trials = {"side": [0, 0, 1]}
    ...     return recording_from_arrays(np.full((3, 30, 1), level), trials, bin=10, average="side")
    >>> both = stack_units([unit(1.0), unit(2.0)])
    >>> both.activity.values[0, :, 0].tolist(), both.pseudo_population.item()
    ([[1.0, 2.0], [1.0, 2.0]], 1)
    """
    given = list(recordings)
    if not given:
        raise SolspaceError("no recordings to stack; give one or more")
    for ds in given:
        check_recorded(ds, "stack_units")
        if ds.sizes["network"] != 1 or "averaged_by" not in ds.attrs:
            raise SolspaceError(
                "units that were recorded one after another share no trials; give recordings "
                "averaged over trials, one each: recording_from_...(average=[COLUMN, ...])"
            )
    _check_alike(given)
    if len({ds.sizes["time"] for ds in given}) > 1:
        raise SolspaceError("recordings of several lengths; give windows of one length")
    by = given[0].attrs["averaged_by"].split(", ")
    keys = [
        [tuple(ds[c].values[0][i].item() for c in by) for i in range(ds.sizes["trial"])]
        for ds in given
    ]
    common = [k for k in keys[0] if all(k in other for other in keys)]
    if not common:
        raise SolspaceError(f"no condition, by {', '.join(by)}, is in every recording")
    chosen = [
        ds.isel(trial=[k.index(c) for c in common]) for ds, k in zip(given, keys, strict=True)
    ]
    first = chosen[0]
    lost = len({c for k in keys for c in k}) - len(common)
    left_out: Counter[str] = Counter()
    for ds in given:
        for counts in json.loads(ds.attrs.get("exclusions", "{}")).values():
            left_out.update(counts)
    if lost:
        left_out["conditions that not every unit has"] += lost

    def along_units(variable: str) -> tuple[Any, NDArray[Any], dict[str, Any]]:
        values = np.concatenate([ds[variable].values for ds in chosen], axis=-1)
        return first[variable].dims, values, first[variable].attrs

    out = first.drop_dims("unit").assign(
        {n: along_units(n) for n in ("activity", "trials_averaged")}
    )
    units = out.sizes["unit"]
    differ = [
        c for c in trial_columns(first)
        if any(c not in ds or not _equal(first[c].values, ds[c].values) for ds in chosen)
    ]  # fmt: skip
    if differ:
        left_out["columns that differ between units"] += len(differ)
    # Epochs are where they are in all units.
    alike = np.all([ds["epoch"].values == first["epoch"].values for ds in chosen], axis=0)
    if moved := int((~alike).sum()):
        left_out["bins whose epoch differs between units"] += moved
    out = out.drop_vars(differ).assign(
        epoch=(first["epoch"].dims, np.where(alike, first["epoch"].values, np.int8(NO_EPOCH)),
               first["epoch"].attrs),
        exclusions=("network", text_array([told(left_out)]), first["exclusions"].attrs),
    )  # fmt: skip
    out = out.assign_coords(
        unit=("unit", np.arange(units), first["unit"].attrs),
        unit_id=along_units("unit_id"),
        hidden_size=("network", np.array([units]), first["hidden_size"].attrs),
        name=("network", text_array([name]), first["name"].attrs),
        trial=("trial", np.arange(len(common)), first["trial"].attrs),
        pseudo_population=("network", np.array([1], np.int8), first["pseudo_population"].attrs),
    )
    out.attrs = {**first.attrs, "exclusions": json.dumps({name: dict(left_out)})}
    if lost:
        warnings.warn(f"{name}: {told(left_out)}", stacklevel=2)
    return out


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    nan = one.dtype.kind == other.dtype.kind == "f"
    return np.array_equal(one, other, equal_nan=nan)
