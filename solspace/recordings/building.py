"""A recorded population from spike times or from binned activity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.population.recorded import NO_EPOCH, recorded_variables
from solspace.population.variables import BASE, NAME_LENGTH, annotate, text_array
from solspace.recordings.binning import (
    bin_edges,
    count_spikes,
    observed_bins,
    own_times,
    padding,
    smoothed,
    warped,
)
from solspace.recordings.trials import (
    Epochs,
    Trials,
    check_names,
    column,
    columns_named,
    epoch_array,
    moment,
    read_columns,
    told,
    warn_of_exclusions,
)
from solspace.tasks import Task, get_task

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["assemble", "recording_from_arrays", "recording_from_spikes"]

Array = NDArray[np.float64]

COUNTS, RATES = "spikes/bin", "spikes/s"


def recording_from_spikes(
    spikes: Sequence[ArrayLike],
    columns: Any,
    *,
    align: str,
    window: tuple[str | float, str | float],
    bin: float = 10.0,
    smooth: float | None = 60.0,
    task: str | Task | None = None,
    epochs: Epochs | None = None,
    parameters: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    average: Sequence[str] | str = (),
    warp: bool = False,
    observed: Sequence[ArrayLike] | None = None,
    unit_id: ArrayLike | None = None,
    name: str = "recording",
    pseudo_population: bool = False,
) -> xr.Dataset:
    """A recording from spike times, aligned to an event of each trial.

    Parameters
    ----------
    spikes : sequence of array (spike,)
        Spike times of each unit in seconds. Units without spikes are kept.
    columns : mapping of str to array (trial,), or DataFrame
        Trials. Columns of times, in seconds, are those whose name ends in ``_time`` and those that
        are named here as an event; they become ms after the event aligned to.
    align : str
        The column of the event that trials are aligned to.
    window : pair of float or str
        From and to, in ms after that event. To may be a column (``"go_time"``), or one and ms
        after it (``"go_time+200"``): trials are then unequally long, padded with NaN.
    bin : float
        Width of a bin in ms; it holds its first moment and not its last.
    smooth : float or None
        Standard deviation in ms of a Gaussian; the activity is then in spikes per second. Spikes
        outside of the window count too. None for counts.
    task : str or Task, optional
        The task the animal did, where it is one that is known here.
    epochs : mapping of str to pair, optional
        Where each epoch starts and stops: columns, columns and ms after them, or ms. Of a task,
        some of its epochs.
    parameters : mapping of str to str, optional
        Trial parameters by the column that holds them, such as ``{"t_in": "ts"}``.
    drop : sequence of str
        Columns: trials with a value other than 0 are left out.
    average : str or sequence of str
        Average over the trials that are alike in these columns.
    warp : bool
        Stretch the time of every trial, linearly between the events that epochs are given by, so
        that they are where they are in the median trial.
    observed : sequence of array (interval, 2), optional
        When each unit was observed, start and stop in seconds; always by default. A bin that is
        not as a whole is NaN.
    unit_id : array (unit,) of int, optional
    name : str
        Of the recording.
    pseudo_population : bool
        The units were recorded one after another: only averages over trials can be made.

    Returns
    -------
    Dataset
        ``activity`` (network, trial, time, unit) of one recording, ``network`` being of length 1;
        ``epoch`` (network, trial, time), -1 for none; ``trials_averaged`` (network, trial, unit);
        columns and parameters as coordinates (network, trial); ``time`` in ms, the middle of the
        bin; ``exclusions`` and the attribute of that name, what was left out and how often.

    Warns
    -----
    UserWarning
        Says what was left out: trials without an event or parameter, epochs without one.

    Raises
    ------
    SolspaceError
        For a column that is missing, a window that is no whole number of bins, or where no trial
        is left.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> spikes = [np.sort(rng.uniform(0, 20, 400)) for _ in range(3)]
    >>> trials = {"go_time": np.arange(1.0, 19), "side": np.arange(18) % 2}
    >>> ds = recording_from_spikes(spikes, trials, align="go_time", window=(-200, 300),
    ...                            average="side")
    >>> dict(ds.activity.sizes), ds.trials_averaged.values[0, :, 0].tolist()
    ({'network': 1, 'trial': 2, 'time': 50, 'unit': 3}, [9, 9])
    """
    found = read_columns(columns)
    task = get_task("none" if task is None else task)
    epochs, sd = dict(epochs or {}), 0.0 if smooth is None else float(smooth)
    _check_numbers(bin, sd)
    events = column(found, align, "align")
    if events.dtype.kind not in "fi":
        raise SolspaceError(f"align: column {align!r} holds texts; give one of times in seconds")
    found.columns = {align: events.astype(np.float64), **found.columns}
    found.keep(np.isfinite(found.columns[align]), f"trials without {align}")
    _drop_trials(found, drop, parameters)
    events = found.columns[align]
    found.times = {n for n, v in found.columns.items() if n.endswith("_time") and v.dtype != "U"}
    given = [*window, *(b for bounds in epochs.values() for b in _pair(bounds))]
    found.times |= {align, *(n for g in given for n in columns_named(g, found))}
    for n in [n for n in found.times if found.columns[n].dtype.kind not in "fi"]:
        found.times.discard(n)
    if "aligned_at" in found.columns:
        raise SolspaceError("a column of trials is named 'aligned_at', as one that is made here")
    found.columns["aligned_at"] = events.copy()
    for n in found.times:
        found.columns[n] = np.round((found.columns[n].astype(np.float64) - events) * 1e3, 6)
    start, lengths = _window(found, window, bin)
    events = found.columns["aligned_at"]
    bins = int(lengths.max())
    ahead = (0, 0)
    if warp:
        ahead = _room(found, epochs, start, bins, bin)
    pad = padding(sd, bin)
    edges = bin_edges(start - (ahead[0] + pad) * bin, bins + sum(ahead) + 2 * pad, bin)
    values = np.empty((len(found), bins + sum(ahead), len(spikes)))
    if observed is not None and len(observed) != len(spikes):
        raise SolspaceError(
            f"observed intervals of {len(observed)} units for {len(spikes)}; give those of each"
        )
    for unit, times in enumerate(spikes):
        train = _spike_times(times, unit)
        seen = np.ones((len(found), len(edges) - 1), bool)
        if observed is not None:
            seen = observed_bins(observed[unit], events, edges)
        counts = count_spikes(train, events, edges)
        row = np.where(seen, counts, np.nan) if smooth is None else smoothed(counts, seen, sd, bin)
        values[..., unit] = row[:, pad : row.shape[1] - pad]
    # Past its own end a trial has nothing.
    if not warp:
        values[np.arange(bins) >= lengths[:, None]] = np.nan
    return assemble(
        values, found, start=start - ahead[0] * bin, bin=bin, sd=sd,
        units=COUNTS if smooth is None else RATES, task=task, epochs=epochs, parameters=parameters,
        average=average, warp=(start, bins) if warp else None, unit_id=unit_id, name=name,
        pseudo_population=pseudo_population,
    )  # fmt: skip


def recording_from_arrays(
    values: ArrayLike | Sequence[ArrayLike],
    columns: Any = None,
    *,
    bin: float,
    start: float = 0.0,
    counts: bool = False,
    smooth: float | None = None,
    task: str | Task | None = None,
    epochs: Epochs | None = None,
    parameters: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    average: Sequence[str] | str = (),
    warp: bool = False,
    unit_id: ArrayLike | None = None,
    name: str = "recording",
    pseudo_population: bool = False,
) -> xr.Dataset:
    """A recording from activity in bins that is aligned already: counts of spikes, or rates.

    Parameters
    ----------
    values : array (trial, time, unit), or sequence of array (time, unit)
        NaN where not observed. Arrays of unequal length are padded with NaN.
    columns : mapping of str to array (trial,), or DataFrame, optional
        Trials. Columns of times, those whose name ends in ``_time`` and those named in ``epochs``,
        are in ms on the clock of ``start``.
    bin : float
        Width of a bin in ms.
    start : float
        When the first bin starts, in ms.
    counts : bool
        Whether the values are counts of spikes in bins; rates in spikes per second where not.
    smooth : float or None
        Standard deviation in ms of a Gaussian, within what is given; of counts it makes rates.
    task, epochs, parameters, drop, average, warp, unit_id, name, pseudo_population
        As for `recording_from_spikes`.

    Returns
    -------
    Dataset
        As of `recording_from_spikes`.

    Raises
    ------
    SolspaceError
        For arrays that do not fit together, or infinite or negative counts.

    Examples
    --------
    >>> rates = np.random.default_rng(0).uniform(0, 50, (6, 40, 5))
    >>> ds = recording_from_arrays(rates, {"side": [0, 1] * 3}, bin=10, start=-100,
    ...                            epochs={"before": (-100, 0), "after": (0, 300)})
    >>> ds.time.values[0].item(), (ds.epoch == 0).sum().item()
    (-95.0, 60)
    """
    task = get_task("none" if task is None else task)
    sd = 0.0 if smooth is None else float(smooth)
    _check_numbers(bin, sd)
    array = _padded(values)
    if counts and (array < 0).any():
        raise SolspaceError("counts under 0; give counts of spikes, or counts=False for rates")
    found = read_columns({} if columns is None else columns)
    found.columns.setdefault("trial_number", np.arange(len(array)))
    lengths = {len(values) for values in found.columns.values()}
    if lengths != {len(array)}:
        raise SolspaceError(
            f"{' and '.join(map(str, sorted(lengths)))} values in columns of trials and "
            f"{len(array)} trials; give as many"
        )
    found.rows = np.arange(len(array))
    _drop_trials(found, drop, parameters)
    array = array[found.rows]
    given = [b for bounds in (epochs or {}).values() for b in _pair(bounds)]
    found.times = {n for n in found.columns if n.endswith("_time")}
    found.times |= {n for g in given for n in columns_named(g, found)}
    found.times = {n for n in found.times if found.columns[n].dtype.kind in "fi"}
    if sd > 0:
        scale = 1.0 if counts else bin / 1e3
        for unit in range(array.shape[-1]):
            seen = np.isfinite(array[..., unit])
            array[..., unit] = smoothed(array[..., unit] * scale, seen, sd, bin)
    return assemble(
        array, found, start=float(start), bin=float(bin), sd=sd,
        units=COUNTS if counts and not sd else RATES, task=task, epochs=dict(epochs or {}),
        parameters=parameters, average=average,
        warp=(float(start), array.shape[1]) if warp else None, unit_id=unit_id, name=name,
        pseudo_population=pseudo_population,
    )  # fmt: skip


# --------------------------------------------------------------------------- what is given


def _check_numbers(bin: float, sd: float) -> None:
    if not bin > 0 or not sd >= 0 or not np.isfinite([bin, sd]).all():
        raise SolspaceError(f"bins of {bin:g} ms and a kernel of {sd:g} ms; give a bin over 0")
    if 0 < sd < bin / 2:
        raise SolspaceError(
            f"a kernel of {sd:g} ms on bins of {bin:g} ms, which smooths nothing; give narrower "
            "bins, a wider kernel, or none"
        )


def _pair(bounds: Any) -> tuple[Any, ...]:
    return (bounds,) if isinstance(bounds, str) else tuple(bounds)


def _spike_times(times: ArrayLike, unit: int) -> Array:
    train = np.asarray(times, np.float64)
    if train.ndim != 1 or not np.isfinite(train).all():
        raise SolspaceError(
            f"spike times of unit {unit} have shape {train.shape} or are not finite; give seconds, "
            "one a spike"
        )
    return np.sort(train)


def _padded(values: Any) -> Array:
    """One array (trial, time, unit), NaN past the end of shorter trials."""
    if isinstance(values, np.ndarray) or hasattr(values, "__array__"):
        array = np.array(values)
    else:
        rows = [np.asarray(v) for v in values]
        if not rows or any(r.ndim != 2 for r in rows) or len({r.shape[1:] for r in rows}) != 1:
            shapes = ", ".join(str(r.shape) for r in rows[:4]) or "none"
            raise SolspaceError(
                f"arrays of shapes {shapes}; give (time, unit) for each trial, of the same units"
            )
        array = np.full((len(rows), max(map(len, rows)), rows[0].shape[1]), np.nan)
        for i, row in enumerate(rows):
            array[i, : len(row)] = row
    if array.ndim != 3 or not array.size or array.dtype.kind not in "fiub":
        raise SolspaceError(
            f"activity of shape {array.shape} of {array.dtype}; give numbers (trial, time, unit)"
        )
    if np.isinf(array := array.astype(np.float64)).any():
        raise SolspaceError("activity holds infinity; give NaN where a unit was not observed")
    return array


def _drop_trials(found: Trials, drop: Sequence[str], parameters: Mapping[str, str] | None) -> None:
    for name in [drop] if isinstance(drop, str) else drop:
        values = column(found, name, "drop")
        if values.dtype.kind == "U":
            raise SolspaceError(f"drop: column {name!r} holds texts; give one of 0 and 1")
        found.keep(~(np.nan_to_num(values.astype(float)) != 0), f"trials marked {name}")
    for parameter, name in (parameters or {}).items():
        values = column(found, name, f"parameter {parameter}")
        if values.dtype.kind == "U":
            raise SolspaceError(
                f"parameter {parameter}: column {name!r} holds texts; give one of numbers"
            )
        found.keep(np.isfinite(values.astype(float)), f"trials without {name}")


def _window(
    found: Trials, window: tuple[str | float, str | float], bin: float
) -> tuple[float, NDArray[np.int64]]:
    """When bins begin, and how many each trial has."""
    if isinstance(window, str) or len(window) != 2:
        raise SolspaceError(f"window {window!r}; give from and to, such as (-500, 600)")
    begins, first = moment(found, window[0], "window")
    if first:
        raise SolspaceError(
            f"window from {window[0]!r}; give ms after the event aligned to, and align to that "
            "event if trials are to begin there"
        )
    ends, last = moment(found, window[1], "window")
    if last:
        good = np.isfinite(ends)
        found.keep(good, f"trials without {last}")
        ends = ends[good]
        good = ends - begins[0] >= bin
        found.keep(good, f"trials with less than a bin before {window[1]}")
        return float(begins[0]), np.floor((ends[good] - begins[0]) / bin + 1e-9).astype(np.int64)
    length = float(ends[0] - begins[0])
    bins = round(length / bin)
    if bins < 1 or abs(bins * bin - length) > 1e-6:
        raise SolspaceError(
            f"a window of {begins[0]:g} to {ends[0]:g} ms in bins of {bin:g} ms; give a whole "
            "number of bins, one or more"
        )
    return float(begins[0]), np.full(len(found), bins)


def _knots(found: Trials, epochs: Epochs) -> tuple[list[str], Array]:
    """The events between which time is stretched, in their order, (trial, event)."""
    names: dict[str, Array] = {}
    for epoch, bounds in epochs.items():
        for bound in bounds:
            values, name = moment(found, bound, f"epoch {epoch}")
            if name:
                names[str(bound)] = values
    if len(names) < 2:
        raise SolspaceError(
            "warp: time is stretched between the events that epochs are given by; give epochs of "
            "two columns or more"
        )
    order = sorted(names, key=lambda n: float(np.nanmedian(names[n])))
    return order, np.stack([names[n] for n in order], axis=1)


def _complete(events: Array) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        rising = (np.diff(events, axis=1) > 0).all(axis=1)
    return np.asarray(np.isfinite(events).all(axis=1) & rising)


def _room(found: Trials, epochs: Epochs, start: float, bins: int, bin: float) -> tuple[int, int]:
    """Bins before and after the window that trials need to be stretched from."""
    _, events = _knots(found, epochs)
    events = events[_complete(events)]
    if not len(events):
        return 0, 0
    common = np.round(np.median(events, axis=0) / bin) * bin
    if (np.diff(common) <= 0).any():
        return 0, 0  # refused where it is stretched
    ends = np.array([start, start + bins * bin])
    own = np.stack([own_times(ends, common, one) for one in events]) - ends
    return (
        int(np.ceil(max(-own[:, 0].min(), 0) / bin)) + 1,
        int(np.ceil(max(own[:, 1].max(), 0) / bin)) + 1,
    )


# --------------------------------------------------------------------------- the dataset


def assemble(
    values: Array,
    found: Trials,
    *,
    start: float,
    bin: float,
    sd: float,
    units: str,
    task: Task,
    epochs: Epochs,
    parameters: Mapping[str, str] | None,
    average: Sequence[str] | str,
    warp: tuple[float, int] | None,
    unit_id: ArrayLike | None,
    name: str,
    pseudo_population: bool,
) -> xr.Dataset:
    """One recording as a dataset; what was left out is noted and said."""
    import xarray as xr

    from solspace.recordings.joining import average_quietly

    average = [average] if isinstance(average, str) else list(average)
    if pseudo_population and not average:
        raise SolspaceError(
            f"{name}: units of a pseudo-population were not recorded together, so single trials "
            "mean nothing; give average=[COLUMN, ...], the columns that say what trials are alike"
        )
    if not name or len(name) > NAME_LENGTH:
        raise SolspaceError(
            f"a recording named {name!r}; give a name of 1 to {NAME_LENGTH} letters"
        )
    centres = np.round(start + bin * (np.arange(values.shape[1]) + 0.5), 6)
    events: list[str] = []
    if warp is not None:
        if units == COUNTS:
            raise SolspaceError("warp: counts cannot be stretched; give smooth=60 for rates")
        values, centres, events = _stretch(values, centres, found, epochs, warp, bin)
    epoch, known = epoch_array(found, epochs, centres, task)
    for one, bounds in epochs.items():
        for n in dict.fromkeys(m for b in bounds if (m := moment(found, b, one)[1])):
            lost = int((~np.isfinite(found.columns[n].astype(float))).sum())
            if lost:
                found.left_out[f"epochs {one} without {n}"] += lost
    _count_cut(found, epochs, centres, values, bin)
    # A bin in which no unit was observed is no part of an epoch: a trial that ended.
    nowhere = _unseen(values, -1)
    epoch[nowhere] = NO_EPOCH
    partly = _unseen(values, 1) & ~_unseen(values, (1, 2))[:, None]
    if lost := int(partly.sum()):
        found.left_out["times a unit was not observed in a trial"] += lost
    empty = _unseen(values, (1, 2))
    if empty.any():
        found.keep(~empty, "trials in which nothing was observed")
        values, epoch = values[~empty], epoch[~empty]
    shape = values.shape
    if silent := int((np.nan_to_num(values) == 0).all(axis=(0, 1)).sum()):
        found.left_out["silent units, which are kept"] = silent
    ids = np.arange(shape[2]) if unit_id is None else np.asarray(unit_id)
    if ids.shape != shape[2:] or ids.dtype.kind not in "iu":
        raise SolspaceError(
            f"unit_id of shape {ids.shape} for {shape[2]} units; give a whole number each"
        )
    for parameter, from_column in (parameters or {}).items():
        found.columns[parameter] = found.columns[from_column]
    per = ("network",)
    ds = xr.Dataset(
        {
            "activity": ((*per, "trial", "time", "unit"), values[None].astype(np.float32),
                         {"units": units}),
            "epoch": ((*per, "trial", "time"), epoch[None]),
            "trials_averaged": ((*per, "trial", "unit"),
                                (~_unseen(values, 1))[None].astype(np.int32)),
            "exclusions": (per, text_array([told(found.left_out)])),
        },
        coords={
            "network": [0],
            "name": (per, text_array([name])),
            "hidden_size": (per, np.array([shape[2]], np.int64)),
            "task": task.name,
            "architecture": "recorded",
            "unit": np.arange(shape[2]),
            "trial": np.arange(shape[0]),
            "time": centres,
            "epoch_name": text_array(known) if known else np.empty(0, "U1"),
            "epoch_flag": ("epoch_name", np.arange(len(known), dtype=np.int8)),
            "bin_width": (per, [float(bin)]),
            "kernel_sd": (per, [float(sd)]),
            "pseudo_population": (per, np.array([pseudo_population], np.int8)),
            "unit_id": ((*per, "unit"), ids[None].astype(np.int64)),
        },
        attrs={
            "description": task.description,
            "exclusions": json.dumps({name: dict(found.left_out)}),
            "epochs": json.dumps({n: list(b) for n, b in epochs.items()}),
            "parameters": json.dumps(list(parameters or {})),
        },
    )  # fmt: skip
    if events:
        ds.attrs["warped"] = ", ".join(events)
    ds["time"].attrs["step"] = float(bin)
    names = check_names(list(found.columns), reserved() - set(parameters or {}))
    for own, values_of in found.columns.items():
        attrs: dict[str, Any] = {"long_name": own}
        if own in found.times:
            attrs = {"long_name": f"{own}, after the event aligned to", "units": "ms"}
        if own == "aligned_at":
            attrs = {"long_name": "when the event aligned to was", "units": "s"}
        if own in (parameters or {}):
            attrs = {"long_name": task.parameters.get(own, own)}
        ds = ds.assign_coords({names[own]: ((*per, "trial"), values_of[None], attrs)})
    ds = annotate(ds, [*BASE, *recorded_variables()])
    ds["epoch"].attrs |= {
        "flag_values": list(range(len(known))),
        "flag_meanings": " ".join(known),
    }
    if average:
        ds = average_quietly(ds, average)
    warn_of_exclusions(ds)
    return ds


def _count_cut(found: Trials, epochs: Epochs, centres: Array, values: Array, bin: float) -> None:
    """Count epochs of which the window shows a part: their features are of that part."""
    seen = ~_unseen(values, -1)
    first = centres[seen.argmax(axis=1)] - bin / 2
    last = centres[seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)] + bin / 2
    for name, bounds in epochs.items():
        start, stop = (moment(found, b, name)[0] for b in bounds)
        with np.errstate(invalid="ignore"):
            there = (stop > first) & (start < last)
            cut = there & ((start <= first - bin) | (stop >= last + bin))
            outside = (stop <= first) | (start >= last)
        for which, why in ((cut, "cut off by"), (outside, "outside of")):
            if lost := int(which.sum()):
                found.left_out[f"epochs {name} {why} the window"] += lost


def _unseen(values: Array, axis: int | tuple[int, ...]) -> NDArray[np.bool_]:
    """Where nothing was observed along an axis."""
    return np.asarray(np.isnan(values).all(axis=axis))


def reserved() -> set[str]:
    """Names that columns of trials cannot have."""
    from solspace.stages import collection

    declared = collection.declared("population", kind="recorded")
    return {*declared, *(d for v in declared.values() for d in v.dims)}


def _stretch(
    values: Array,
    centres: Array,
    found: Trials,
    epochs: Epochs,
    window: tuple[float, int],
    bin: float,
) -> tuple[Array, Array, list[str]]:
    """Trials on the clock of the median trial; their events are where it has them."""
    names, events = _knots(found, epochs)
    good = _complete(events)
    found.keep(good, f"trials without {' < '.join(names)}, so not warped")
    values, events = values[good], events[good]
    # To whole bins, so that an epoch has as many in every recording of these medians.
    common = np.round(np.median(events, axis=0) / bin) * bin
    if (np.diff(common) <= 0).any():
        raise SolspaceError(
            f"warp: {', '.join(names)} are less than a bin apart; give narrower bins, or other "
            "epochs"
        )
    start, bins = window
    wanted = np.round(start + bin * (np.arange(bins) + 0.5), 6)
    out = warped(values, centres, events, common, wanted)
    for at, name in zip(common, names, strict=True):
        if name in found.columns:
            found.columns[name] = np.full(len(events), at)
    return out, wanted, names
