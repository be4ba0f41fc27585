"""Recordings in NWB files: read, and written of networks (needs pynwb)."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.recordings.building import recording_from_spikes
from solspace.recordings.simulated import STEP_MS, recorded_units, spike_counts
from solspace.recordings.trials import Epochs, read_columns
from solspace.tasks import Task

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["recording_from_nwb", "write_nwb"]

_GAP = 0.5  # seconds between the trials that are written, in which nothing is observed
_FIRST = 1.0  # when the first one starts


# --------------------------------------------------------------------------- reading


def recording_from_nwb(
    file: Any,
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
    units: Sequence[int] | None = None,
    name: str | None = None,
    pseudo_population: bool = False,
) -> xr.Dataset:
    """A recording from the units and trials of an NWB file.

    Spike times are those of the table of units, events and columns those of the table of trials.
    Where units have ``obs_intervals``, bins outside of them are NaN.

    Parameters
    ----------
    file : path, or pynwb.NWBFile
        A file in HDF5, or a folder of NWB in Zarr where hdmf-zarr is there (Python 3.12); or one
        that is open.
    align, window, bin, smooth, task, epochs, parameters, drop, average, warp, pseudo_population
        As for `solspace.recording_from_spikes`.
    units : sequence of int, optional
        Only these, by their place in the table.
    name : str, optional
        Of the recording; the file's by default.

    Returns
    -------
    Dataset
        As of `solspace.recording_from_spikes`. ``unit_id`` and ``trial_id`` are the file's.

    Raises
    ------
    SolspaceError
        For a file that is none in HDF5, or has no units or trials.

    Examples
    --------
    >>> recording_from_nwb("nowhere.nwb", align="go_time", window=(0, 100))
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.nwb: no such file; give a file of NWB in HDF5
    """
    with _opened(file) as nwb:
        said = name or _name_of(file, nwb)
        spikes, observed, ids, left_out = _units(nwb, units, said)
        if nwb.trials is None or not len(nwb.trials):
            raise SolspaceError(f"{said}: has no trials; give a file with a table of trials")
        columns: dict[str, Any] = {"trial_id": np.asarray(nwb.trials.id[:])}
        for column in nwb.trials.colnames:
            try:
                columns[column] = nwb.trials[column][:]
            except Exception:  # tables and references, which are no number or text
                columns[column] = np.empty((0, 0))
        trials = read_columns(columns)
    trials.left_out.update(left_out)
    return recording_from_spikes(
        spikes, trials, align=align, window=window, bin=bin, smooth=smooth, task=task,
        epochs=epochs, parameters=parameters, drop=drop, average=average, warp=warp,
        observed=observed, unit_id=ids, name=said, pseudo_population=pseudo_population,
    )  # fmt: skip


def _name_of(file: Any, nwb: Any) -> str:
    if isinstance(file, (str, os.PathLike)):
        base = os.path.basename(os.fspath(file).rstrip("/")).removesuffix(".zarr")
        return os.path.splitext(base)[0][:64]
    return str(nwb.session_id or nwb.identifier)[:64]


@contextlib.contextmanager
def _opened(file: Any) -> Iterator[Any]:
    """The NWB file of a path, closed afterwards; one that is open stays so."""
    if not isinstance(file, (str, os.PathLike)):
        if not hasattr(file, "trials") or not hasattr(file, "units"):
            raise SolspaceError(
                f"a {type(file).__name__} is no NWB file; give a path or an NWBFile"
            )
        yield file
        return
    path = os.fspath(file)
    if not os.path.exists(path):
        raise SolspaceError(f"{path}: no such file; give a file of NWB in HDF5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of namespaces that the file has and pynwb too
        io = _open_zarr(path) if os.path.isdir(path) else _open_hdf5(path)
        with io:
            try:
                nwb = io.read()
            except Exception as error:
                raise _unreadable(path, error) from error
            yield nwb


def _open_hdf5(path: str) -> Any:
    pynwb = need_pynwb()
    with open(path, "rb") as begins:
        if begins.read(8) != b"\x89HDF\r\n\x1a\n":
            raise SolspaceError(f"{path}: is not in HDF5; give a file of NWB in HDF5")
    try:
        return pynwb.NWBHDF5IO(path, "r")
    except Exception as error:
        raise _unreadable(path, error) from error


def _open_zarr(path: str) -> Any:
    """NWB in Zarr, a folder, where there is a package that reads it beside Zarr 3."""
    try:
        from hdmf_zarr import NWBZarrIO
    except ImportError:
        raise SolspaceError(
            f"{path}: NWB in Zarr is read by hdmf-zarr 0.14 or newer, which needs Python 3.12: pip "
            "install hdmf-zarr there, or write it as HDF5"
        ) from None
    try:
        return NWBZarrIO(path, mode="r")
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> SolspaceError:
    told = " ".join(str(error).split())[:160]
    return SolspaceError(
        f"{path}: pynwb cannot read it as NWB ({type(error).__name__}: {told}); give a file of NWB "
        "in HDF5"
    )


def need_pynwb() -> Any:
    """pynwb, or an error that says how to get it."""
    try:
        import pynwb
    except ImportError as error:
        raise SolspaceError(
            f"NWB files need {error.name}, which is not installed; type "
            "`pip install 'solspace[nwb]'`"
        ) from None
    return pynwb


def _units(
    nwb: Any, wanted: Sequence[int] | None, said: str
) -> tuple[list[Any], list[Any] | None, NDArray[np.int64], Counter[str]]:
    """Spike times, observed intervals and numbers of units."""
    table = nwb.units
    if table is None or not len(table) or "spike_times" not in table.colnames:
        raise SolspaceError(f"{said}: has no units with spike times; give a file of sorted units")
    chosen = list(range(len(table))) if wanted is None else list(wanted)
    if not chosen or min(chosen) < 0 or max(chosen) >= len(table):
        raise SolspaceError(
            f"{said}: units {chosen[:6]} of {len(table)}; give some of them from 0 on"
        )
    spikes = [np.asarray(table.get_unit_spike_times(i), np.float64) for i in chosen]
    left_out: Counter[str] = Counter()
    observed = None
    if "obs_intervals" in table.colnames:
        observed = [np.reshape(table.get_unit_obs_intervals(i), (-1, 2)) for i in chosen]
        if not any(len(one) for one in observed):
            observed = None
        else:
            for k, one in enumerate(observed):
                if not len(one):
                    observed[k] = np.array([[-np.inf, np.inf]])
                    left_out["units without obs_intervals, taken as always observed"] += 1
    return spikes, observed, np.asarray(table.id[:], np.int64)[chosen], left_out


# --------------------------------------------------------------------------- writing


def write_nwb(
    training: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    network: int | str | None = None,
    trials: int = 10,
    units: int | None = None,
    rate: float = 50.0,
    step_ms: float = STEP_MS,
    seed: int = 0,
    force: bool = False,
) -> str:
    """Write a simulated recording of one network as NWB in HDF5, for every tool that reads it.

    Its units fire Poisson spikes at ``rate * (1 + activity) / 2``, so its activity has to lie
    between -1 and 1. Trials of each condition, in an order that is drawn, follow each other half a
    second apart; ``obs_intervals`` are the trials. Index t of the network's time is the bin from t
    to t + 1 steps after ``start_time``.

    Parameters
    ----------
    training : Dataset
        A training group, with trials, epochs and activity; of an LSTM the hidden state fires.
    path : path
        Ends in ``.nwb``. It is whole or not there.
    network : int or str, optional
        Position or name; may be left out where there is one.
    trials : int
        Of each condition.
    units : int, optional
        So many are recorded, drawn as `solspace.observe` does; all by default.
    rate : float
        Spikes per second of a unit at activity 1.
    step_ms : float
        Length of a step in ms.
    seed : int
        What a network shows depends on this and on its index ``network`` alone.
    force : bool
        Replace a file that is there.

    Returns
    -------
    str
        The path. The trials table has the task's parameters, ``INPUT_time`` (when an input begins
        first), and ``EPOCH_start_time`` and ``EPOCH_stop_time``.

    Raises
    ------
    SolspaceError
        Where there is no activity, it lies beyond -1 and 1, or the file is there already.

    Examples
    --------
    >>> import tempfile
    >>> from solspace import import_networks, record
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("vanilla", 4, inputs=2, outputs=1)
    >>> mine = {name: np.full(shape, 0.1) for name, shape in shapes.items()}
    >>> training = record(import_networks("delayed_discrimination", "vanilla", {"mine": mine}))
    >>> path = write_nwb(training, tempfile.mkdtemp() + "/mine.nwb", trials=1)
    >>> from solspace import recording_from_nwb
    >>> ds = recording_from_nwb(path, align="start_time", window=(0, 600), average=["f1", "f2"])
    >>> dict(ds.activity.sizes)
    {'network': 1, 'trial': 72, 'time': 60, 'unit': 4}
    """
    pynwb = need_pynwb()
    path = os.fspath(path)
    if not path.endswith(".nwb"):
        raise SolspaceError(f"{path}: give a name that ends in .nwb")
    if os.path.lexists(path) and not force:
        raise SolspaceError(
            f"{path}: is there already; give another name, or --force to replace it"
        )
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise SolspaceError(f"{os.path.dirname(path)}: no such folder; make it first")
    i, counts, order, chosen, rng = simulated_spikes(
        training, network, trials=trials, units=units, rate=rate, step_ms=step_ms, seed=seed
    )
    names = training["name"].values if "name" in training.variables else None
    who = str(names[i]) if names is not None else f"network {i}"
    of = "/".join(str(training[c].item()) for c in ("task", "architecture") if c in training.coords)
    from datetime import UTC, datetime

    nwb = pynwb.NWBFile(
        session_description=f"simulated recording of network {who} of {of}: Poisson spikes, "
        f"{rate:g}/s at activity 1 and none at -1, a step is {step_ms:g} ms, seed {seed}",
        identifier=f"solspace/{of}/{who}/{seed}",
        session_id=who,
        # It happened at no date.
        session_start_time=datetime(1970, 1, 1, tzinfo=UTC),
    )
    starts, stops = _add_trials(nwb, training, order, step_ms)
    _add_units(nwb, counts, chosen, starts, stops, step_ms, rng)
    unfinished = f"{path.removesuffix('.nwb')}.unfinished.nwb"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pynwb.NWBHDF5IO(unfinished, "w") as io:
                io.write(nwb)
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
    return path


def simulated_spikes(
    training: xr.Dataset,
    network: int | str | None,
    *,
    trials: int,
    units: int | None,
    rate: float,
    step_ms: float,
    seed: int,
) -> tuple[int, NDArray[np.int64], NDArray[np.intp], NDArray[np.intp], np.random.Generator]:
    """Spikes of a network by trial, step and unit, and the condition of each trial.

    Returns
    -------
    position along ``network``, counts (trial, time, unit), condition (trial,), units, generator
    """
    if lacking := [n for n in ("activity", "epoch", "hidden_size") if n not in training.variables]:
        raise SolspaceError(f"the dataset has no {lacking[0]!r}; {how_to_make('record')}")
    if "network" in training["epoch"].dims:
        raise SolspaceError(
            "the dataset is a recording already; give the training group of networks"
        )
    if trials < 1 or rate <= 0 or step_ms <= 0 or (units is not None and units < 1):
        raise SolspaceError(
            f"trials={trials}, rate={rate:g}, step_ms={step_ms:g}, units={units}; give one trial "
            "and unit or more, and a rate and step over 0"
        )
    i = _position(training, network)
    index = int(training["network"].values[i]) if "network" in training.coords else i
    rng = np.random.default_rng([seed, index])
    size = int(training["hidden_size"].values[i])
    chosen = recorded_units(size, units, rng)
    activity = training["activity"].isel(network=i).values[..., chosen].astype(np.float64)
    if not np.isfinite(activity).all():
        raise SolspaceError(f"network {network if network is not None else i} was not recorded")
    order = np.concatenate([rng.permutation(len(activity)) for _ in range(trials)])
    counts = spike_counts(activity[order], per_step=rate * step_ms / 1e3, rng=rng)
    return i, counts, order, chosen, rng


def _position(training: xr.Dataset, network: int | str | None) -> int:
    n = training.sizes["network"]
    names = training["name"].values.astype(str).tolist() if "name" in training.variables else []
    if network is None:
        if n == 1:
            return 0
        raise SolspaceError(
            f"{n} networks, and a file is a recording of one; give network=, a position or a name"
        )
    if isinstance(network, str) and network in names:
        return names.index(network)
    if isinstance(network, str) and network.isdecimal():
        network = int(network)
    if isinstance(network, str) or not 0 <= network < n:
        shown = ", ".join(names[:6]) + (", ..." if n > 6 else "")
        raise SolspaceError(f"no network {network!r}; give 0 to {n - 1}, or a name: {shown}")
    return int(network)


def _add_trials(
    nwb: Any, training: xr.Dataset, order: NDArray[np.intp], step_ms: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The table of trials; when each starts and stops, in seconds."""
    step = step_ms / 1e3
    epoch = training["epoch"].values
    length = epoch.shape[1] * step
    starts = _FIRST + np.arange(len(order)) * (length + _GAP)
    stops = starts + length
    columns: dict[str, tuple[str, NDArray[Any]]] = {"condition": ("condition", order)}
    for name, v in training.coords.items():
        if v.dims == ("trial",) and name != "trial":
            unit = v.attrs.get("units", "")
            meaning = f"{v.attrs.get('long_name', name)}" + (f", in {unit}" if unit else "")
            columns[str(name)] = (meaning, v.values[order])
    for channel, first in _onsets(training).items():
        columns[f"{channel}_time"] = (f"input {channel} begins", starts + first[order] * step)
    for name, (first, last) in _stretches(training).items():
        columns[f"{name}_start_time"] = (f"epoch {name} starts", starts + first[order] * step)
        columns[f"{name}_stop_time"] = (f"epoch {name} stops", starts + last[order] * step)
    for start, stop in zip(starts, stops, strict=True):
        nwb.add_trial(start_time=float(start), stop_time=float(stop))
    for name, (meaning, values) in columns.items():
        nwb.add_trial_column(name=name, description=meaning, data=values.tolist())
    return starts, stops


def _onsets(training: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """The first step at which each input is not zero, by condition; NaN where it never is."""
    if "input" not in training.variables:
        return {}
    on = training["input"].values != 0
    first = np.where(on.any(axis=1), on.argmax(axis=1), np.nan)
    names = training["input_channel"].values.astype(str)
    return {name: first[:, k] for k, name in enumerate(names)}


def _stretches(
    training: xr.Dataset,
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """First step and the one after the last of each epoch that is in one piece, by condition."""
    epoch = training["epoch"].values
    out = {}
    names = str(training["epoch"].attrs.get("flag_meanings", "")).split()
    for flag, name in enumerate(names):
        inside = epoch == flag
        steps = inside.sum(axis=1)
        first = np.where(steps > 0, inside.argmax(axis=1), np.nan)
        last = inside.shape[1] - inside[:, ::-1].argmax(axis=1)
        if steps.any() and (last - first == steps)[steps > 0].all():
            out[name] = first, first + steps
    return out


def _add_units(
    nwb: Any,
    counts: NDArray[np.int64],
    chosen: NDArray[np.intp],
    starts: NDArray[np.float64],
    stops: NDArray[np.float64],
    step_ms: float,
    rng: np.random.Generator,
) -> None:
    step = step_ms / 1e3
    nwb.add_unit_column(name="unit", description="index of the unit in the network")
    for k, unit in enumerate(chosen.tolist()):
        place = np.nonzero(counts[..., k])
        trial, at = (np.repeat(x, counts[..., k][place]) for x in place)
        # Clear of the step's ends, so that no rounding moves a spike into the next.
        inside = rng.uniform(1e-3, 1 - 1e-3, len(at))
        nwb.add_unit(
            spike_times=np.sort(starts[trial] + (at + inside) * step),
            obs_intervals=np.stack([starts, stops], axis=1),
            id=unit,
            unit=unit,
        )
