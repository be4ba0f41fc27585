"""What a recorded population has: activity, trials and epochs of each recording, no weights."""

from __future__ import annotations

from typing import Any, NoReturn

from solspace.errors import SolspaceError
from solspace.population.variables import Variable

__all__ = ["NO_EPOCH", "RECORDED", "not_from_weights", "recorded_variables"]

KIND = ("recorded",)
NO_EPOCH = -1  # of a bin


def _recorded(name: str, dims: str, dtype: str, meaning: str, **more: Any) -> Variable:
    return Variable(name, tuple(dims.split()), dtype, meaning, architectures=KIND, **more)


RECORDED = (
    _recorded("unit", "unit", "int64", "index of the unit", coordinate=True),
    _recorded("trial", "trial", "int64", "index of the trial, or of the condition averaged over "
              "trials", coordinate=True),
    _recorded("time", "time", "float64", "centre of the bin, after the event that trials are "
              "aligned to", units="ms", coordinate=True),
    _recorded("epoch_name", "epoch_name", "U64", "name of an epoch", coordinate=True),
    _recorded("epoch_flag", "epoch_name", "int8", "value of `epoch` in the epoch of this name",
              coordinate=True, fill=0),
    _recorded("bin_width", "network", "float64", "width of a bin, which holds its first moment and "
              "not its last", units="ms", coordinate=True),
    _recorded("kernel_sd", "network", "float64", "standard deviation of the Gaussian that spikes "
              "were smoothed by; 0 none", units="ms", coordinate=True),
    _recorded("pseudo_population", "network", "int8", "whether units were recorded one after "
              "another, so that trials are not shared", coordinate=True, fill=0,
              attrs={"flag_values": [0, 1], "flag_meanings": "together one_after_another"}),
    _recorded("unit_id", "network unit", "int64", "the unit's number where it was read from; -1 "
              "past hidden_size", coordinate=True),
    _recorded("activity", "network trial time unit", "float32", "activity of the units, units of "
              "measure in `units`; NaN where not observed, past a trial's end and past "
              "hidden_size", attrs={"units": "spikes/s"}),
    _recorded("epoch", "network trial time", "int8", "epoch of the bin; -1 none"),
    _recorded("trials_averaged", "network trial unit", "int32", "trials that the activity is a "
              "mean of, 1 for a single one; 0 where the unit was not observed", fill=0),
    _recorded("exclusions", "network", "U1024", "what was left out and how often"),
)  # fmt: skip


def recorded_variables() -> tuple[Variable, ...]:
    """What a recorded population has beyond what stages fill.

    Examples
    --------
    >>> next(v.dims for v in recorded_variables() if v.name == "activity")
    ('network', 'trial', 'time', 'unit')
    """
    return RECORDED


def not_from_weights(*args: Any, **kwargs: Any) -> NoReturn:
    """Recordings are neither trained nor read from files of weights."""
    raise SolspaceError(
        "recordings have no weights and no inits; import them with `solspace import-recording "
        "STORE FILE.nwb ...` or solspace.recording_from_nwb"
    )
