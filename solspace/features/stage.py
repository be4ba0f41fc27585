"""Features of every network of a population: the stage ``features``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import solspace.features.workers  # noqa: F401  # sends features of a user's own along
from solspace.errors import SolspaceError, how_to_make
from solspace.population.sound import done
from solspace.population.variables import DONE, Variable, text_array
from solspace.stages import Layout, stage
from solspace.tasks import get_task

if TYPE_CHECKING:
    import xarray as xr

    from solspace.features.columns import Column
    from solspace.tasks import Task

__all__ = ["extract_features", "extract_recorded_features", "feature_coordinate"]


def feature_coordinate(task: str | Task) -> xr.Dataset:
    """The ``feature`` coordinates of a task: names, and along them families, units and so on.

    Examples
    --------
    >>> labels = feature_coordinate("interval_reproduction")
    >>> labels.feature_units.sel(feature="angle").item()
    'degree'
    """
    from solspace.features.one_network import pick_columns

    return _coordinates(pick_columns(get_task(task)))


def _coordinates(columns: Sequence[Column]) -> xr.Dataset:
    import xarray as xr

    texts = {
        "feature": [column.name for column in columns],
        "feature_family": [column.feature.family for column in columns],
        "feature_units": [column.feature.units for column in columns],
        "feature_source": [column.feature.source for column in columns],
        "feature_description": [column.feature.description for column in columns],
    }
    coords = {name: ("feature", text_array(values)) for name, values in texts.items()}
    return xr.Dataset(coords=coords)


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """The features of the task, by name."""
    from solspace.features.one_network import pick_columns

    columns, families = options.get("columns"), options.get("families")
    return {"population": Layout(_coordinates(pick_columns(task, columns, families)))}


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Features that are called done and are not there, a sentence each."""
    ds = parts["population"]
    for i, name in done(ds, "features"):
        if not np.isfinite(ds["features"].values[i]).all():
            yield f"network {name}: features called done, but one is not finite"


_KINDS = ("recurrent", "recorded")


def recorded_faults(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Where recordings are at odds with themselves, a sentence each."""
    yield from faults_of(parts)
    ds = parts["population"]
    for i, name in enumerate(ds["name"].values.astype(str)):
        seen = np.isfinite(ds["activity"].values[i]).any(axis=1)
        unlike = int((seen != (ds["trials_averaged"].values[i] > 0)).sum())
        if unlike:
            yield f"recording {name}: trials_averaged is at odds with activity {unlike} times"


_ALONG = {
    "feature": ("U96", "feature of activity"),
    "feature_family": ("U32", "family of the feature; `published` are the paper's"),
    "feature_units": ("U64", "units of the feature"),
    "feature_source": ("U160", "where its definition comes from"),
    "feature_description": ("U320", "what it is"),
}


_FEATURES = (
    *(
        Variable(name, ("feature",), dtype, meaning, coordinate=True, architectures=_KINDS)
        for name, (dtype, meaning) in _ALONG.items()
    ),
    Variable(
        "features",
        ("network", "feature"),
        "float64",
        "features of activity on the training trials, or on those that were recorded",
        architectures=_KINDS,
    ),
)


def can_be_featured(task: Task) -> None:
    """Features compare stretches of activity that the task picks."""
    from solspace.tasks.needs import check_needs

    check_needs(task, "features")


@stage(
    name="features",
    reads=["training"],
    fills=_FEATURES,
    after=["record"],
    check=can_be_featured,
    layout=layout,
    faults=faults_of,
    by_default=True,
    python_only=["columns", "families"],
)
def extract_features(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    columns: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Features of every network's recorded activity.

    Parameters
    ----------
    ds : Dataset
        A training group: ``activity`` (of an LSTM the hidden state), ``output``, ``input``,
        ``target``, ``epoch``, the trial parameters and ``hidden_size``. Of an LSTM also
        ``cell_state``: hidden and cell state both make up where it is.
    task : str or Task, optional
        By default the dataset's own.
    columns : sequence of str, optional
        Only these of the ``feature`` coordinate, in this order; what they do not need is not
        computed.
    families : sequence of str, optional
        Only these families, such as ``["published"]``.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The dataset with ``features`` (network, feature), and along ``feature`` the coordinates
        ``feature_family``, ``feature_units``, ``feature_source`` and ``feature_description``. A
        network of which a feature cannot be computed has ``status_features`` 2, the reasons in
        ``message_features``, NaN for those features and the values of the others.

    Raises
    ------
    SolspaceError
        Where the dataset holds no recorded activity or one with other epochs, or for a column or
        family that the task does not have.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> from solspace.population import import_networks
    >>> from solspace.simulation.stage import record
    >>> rng = np.random.default_rng(0)
    >>> shapes = parameter_shapes("vanilla", 6, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    >>> ds = record(import_networks("delayed_discrimination", "vanilla", {"mine": mine}))
    >>> some = extract_features(ds, families=["dimensionality", "kinet"]).features
    >>> bool(some.sel(feature="participation_ratio_all") >= 1)
    True
    """
    from solspace import networks
    from solspace.features.fit import fitted_architecture
    from solspace.features.kernels import FeatureError
    from solspace.features.one_network import pick_columns, values_of
    from solspace.features.registry import RECORDING
    from solspace.population import each_network, task_of, warn_of_failures
    from solspace.population.describe import named_of

    task = task_of(ds, task)
    wanted = pick_columns(task, columns, families)
    needs = {need for column in wanted for need in column.feature.needs}
    architecture = named_of(ds, "architecture")
    known = architecture in networks.architecture_names("recurrent")
    # What makes up where a network is beyond its activity, such as the cell state of an LSTM.
    # The network fitted to it does without; stretches of its activity do not.
    state = networks.get_architecture(architecture).state if known else ()
    further = [part.name for part in state[1:]]
    required = ["activity", "epoch", "hidden_size"]
    required += ["output", "input", "target"] * (RECORDING in needs) + (
        further if needs - {RECORDING} else []
    )
    if missing := [name for name in required if name not in ds.variables]:
        raise SolspaceError(
            f"the dataset has no {missing[0]!r}; features are taken from the training group; "
            f"{how_to_make('record')}"
        )
    meanings = str(ds["epoch"].attrs.get("flag_meanings", " ".join(task.epochs))).split()
    if tuple(meanings) != task.epochs:
        raise SolspaceError(
            f"a recording with epochs {', '.join(meanings)}; {task.name} has "
            f"{', '.join(task.epochs)}; give a recording of this task"
        )
    values = np.full((ds.sizes["network"], len(wanted)), np.nan)
    shared = {name: ds[name].values for name in ("input", "target") if name in ds.variables}
    epoch, sizes = ds["epoch"].values, ds["hidden_size"].values
    parameters = {name: ds[name].values for name in task.parameters if name in ds.variables}
    has_output = "output" in ds.variables
    further = [name for name in further or ["cell_state"] if name in ds.variables]
    # A recording of an architecture that cannot be fitted is fitted by a vanilla network.
    fitted = fitted_architecture(architecture)

    # Network by network: BLAS rounds products of blocks of several sizes differently in the last
    # bit, and what is stored must not depend on how a population was split.
    def compute(i: int) -> None:
        here = {"network": i, "unit": slice(int(sizes[i]))}
        values[i], reasons = values_of(
            task, wanted, arrays["activity"].isel(here).values, epoch, parameters,
            output=arrays["output"].isel(network=i).values if has_output else None,
            input=shared.get("input"),
            target=shared.get("target"),
            architecture=fitted,
            cell_state=_together([arrays[name].isel(here).values for name in further]),
        )  # fmt: skip
        if reasons:
            raise FeatureError("; ".join(reasons))

    arrays = ds.variables  # without coordinates, which would be picked from each time
    ended = each_network(ds, "features", compute, after="record", progress=progress)
    out = ds.drop_dims("feature", errors="ignore").assign_coords(_coordinates(wanted).coords)
    out = out.assign({"features": (("network", "feature"), values)} | ended)
    warn_of_failures(out, "features")
    return out


def left_out_table(ds: xr.Dataset) -> str:
    """How many features recordings have, and what was left out of each, as text."""
    lines = [f"  {ds.sizes['feature']} features"]
    for name, told in zip(ds["name"].values, ds["features_left_out"].values, strict=True):
        lines += [f"  left out of {name}: {told}"] if told else []
    return "\n".join(lines)


@stage(
    name="features",
    kind="recorded",
    reads=["population"],
    fills=[
        *_FEATURES,
        Variable(
            "features_left_out",
            ("network",),
            "U2048",
            "how many features were left out of a recording, by reason",
            architectures=("recorded",),
        ),
    ],
    after=[],
    over="population",
    faults=recorded_faults,
    by_default=True,
    table=left_out_table,
    python_only=["columns", "families"],
)
def extract_recorded_features(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    columns: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Features of every recording's activity, those that what was recorded suffices for.

    Features that take epochs, a parameter, input, output or target that a recording does not have
    are left out and counted. `extract_features` of a recorded population is this.

    Parameters
    ----------
    ds : Dataset
        A recorded population.
    task : str or Task, optional
        By default the dataset's own.
    columns : sequence of str, optional
        Only these.
    families : sequence of str, optional
        Only these families.
    progress : callable (int) -> None, optional
        Told the number of recordings done since last called.

    Returns
    -------
    Dataset
        The dataset with ``features`` (network, feature), the features that every recording has;
        ``features_left_out``; and in the attribute ``features_left_out`` counts by recording. One
        whose activity does not move, or that has no epoch, has ``status_features`` 2.

    Warns
    -----
    UserWarning
        Counts what was left out.

    Raises
    ------
    SolspaceError
        Where the dataset holds no recordings.

    Examples
    --------
    >>> from solspace import recording_from_arrays
    >>> rates = np.random.default_rng(0).uniform(0, 9, (6, 60, 5)).cumsum(axis=1)
    >>> ds = recording_from_arrays(rates, bin=10, epochs={"early": (0, 300), "late": (300, 600)})
    >>> found = extract_recorded_features(ds, families=["speed"])
    >>> found.feature.values[:3].tolist()
    ['scale', 'speed_early', 'speed_late']
    """
    import json
    import warnings

    from solspace.features.kernels import FeatureError
    from solspace.features.recorded import RecordedFeatures, recorded_features
    from solspace.population import each_network, task_of, warn_of_failures
    from solspace.population.each import told_elsewhere

    task = task_of(ds, task)
    if "trials_averaged" not in ds.variables or "epoch_name" not in ds.variables:
        raise SolspaceError(
            "the dataset holds no recording; give one of solspace.recording_from_nwb, or of a "
            "store the group TASK/recorded"
        )
    if columns is not None and families is not None:
        raise SolspaceError("give columns or families of features, not both")
    # Of no task those that the recording was given.
    named = [*task.parameters] or json.loads(ds.attrs.get("parameters", "[]"))
    parameters = [p for p in named if p in ds.variables and "trial" in ds[p].dims]
    epochs = [str(name) for name in ds["epoch_name"].values]
    found: dict[int, RecordedFeatures] = {}

    def compute(i: int) -> None:
        one = ds.isel(network=i, unit=slice(int(ds["hidden_size"].values[i])))
        found[i] = recorded_features(
            task, one["activity"].values, one["epoch"].values, epochs,
            {p: one[p].values for p in parameters}, families=families, names=columns,
        )  # fmt: skip
        if not found[i].values:
            raise FeatureError(f"no feature can be computed: {dict(found[i].left_out)}")

    ended = each_network(ds, "features", compute, progress=progress)
    good = [i for i in found if ended["status_features"][1][i] == DONE]
    if not good and not found:
        raise SolspaceError(f"features fail for every recording: {ended['message_features'][1][0]}")
    shared = (
        [c for c in found[good[0]].values if all(c in found[i].values for i in good)]
        if good
        else []
    )
    if unknown := [c for c in columns or () if c not in shared]:
        raise SolspaceError(
            f"no feature {unknown[0]!r} of these recordings; they have {', '.join(shared[:6])}, ..."
        )
    values = np.full((ds.sizes["network"], len(shared)), np.nan)
    left_out: dict[str, dict[str, int]] = {}
    names = ds["name"].values.astype(str)
    for i, one in found.items():
        more = dict(one.left_out)
        if i in good:
            values[i] = [one.values[c] for c in shared]
            if lost := len(one.values) - len(shared):
                more["not in every recording"] = lost
        left_out[names[i]] = more
    told = ["; ".join(f"{why}: {n}" for why, n in left_out.get(name, {}).items()) for name in names]
    told = [text if len(text) <= 2048 else text[:2045] + "..." for text in told]
    along = [found[good[0]].columns[c] for c in shared] if good else []
    out = ds.drop_dims("feature", errors="ignore").assign_coords(_coordinates(along).coords)
    out = out.assign(
        {
            "features": (("network", "feature"), values),
            "features_left_out": ("network", text_array(told)),
        }
        | ended
    )
    out.attrs["features_left_out"] = json.dumps(left_out)
    warn_of_failures(out, "features")
    if any(told) and not told_elsewhere():
        said = ". ".join(f"{n}: {t}" for n, t in zip(names, told, strict=True) if t)
        warnings.warn(
            f"features left out of recordings ({len(shared)} are there): {said}", stacklevel=4
        )
    return out


def _together(parts: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """Parts of the state side by side; None where there are none."""
    return np.concatenate(parts, axis=-1) if parts else None
