"""Every variable of a store: name, dims, dtype, fill, units, meaning, and the stage that fills it.

One declaration here lays a variable on disk, writes its attributes, checks it and documents it
(``docs/schema.md`` is made from this file).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace import kinds
from solspace.errors import SolspaceError
from solspace.kinds import STAGES

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "DONE",
    "FAILED",
    "GROUPS",
    "PENDING",
    "SCHEMA_VERSION",
    "STAGES",
    "Variable",
    "annotate",
    "check",
    "faults",
    "markdown",
    "prefix",
    "stage_of",
    "variables",
]

SCHEMA_VERSION = 1

PENDING, DONE, FAILED = 0, 1, 2
# Kinds of architectures (see `solspace.kinds`).
CELLS, PLANAR = (kinds.RECURRENT.name,), (kinds.PLANAR.name,)

GROUPS = {
    "population": "weights, training outcome, features, solution labels",
    "training": "trials of the training set and each network's activity on them",
    "extrapolation": "trials outside the trained range and each network's output on them",
    "graph": "reduced-dynamics graphs",
    "learning": "each network at losses on its way down, where it was trained with checkpoints",
    "classification": "how well features of activity predict the solution, networks held out",
    "recording_size": "the same from recordings of few units, as spikes, of few trials",
}

# Put before the names of a group's variables where they stand in one dataset with the population's.
PREFIXES = {"learning": "checkpoint_"}

# Room for one graph. A network whose graph is larger is stored as failed, with that reason.
MAX_NODES = 64
MAX_EDGES = 192
# Room for graphs that know time: they tell states apart by when things happen.
TIMED_NODES = 256
TIMED_EDGES = 1024
# Variables of the graph group that only graphs that know time have.
WINDOWS = ("edge_earliest", "edge_latest")

# Room for the dynamical objects of a planar network, and what the flags of each mean.
MAX_FIXED_POINTS = 9
MAX_LIMIT_CYCLES = 4
FIXED_POINTS = ("stable_node", "stable_focus", "saddle", "unstable_node", "unstable_focus", "other")
LIMIT_CYCLES = ("stable", "unstable", "other")
ORIGINS = ("rotating_unstable", "unstable_without_rotation", "stable")
ENDINGS = (
    "point_near_target",
    "cycle_through_target",
    "decay_to_origin",
    "point_elsewhere",
    "cycle_elsewhere",
    "undecided",
)

_STATUS_ATTRS = {
    "flag_values": [PENDING, DONE, FAILED],
    "flag_meanings": "pending done failed",
}


@dataclass(frozen=True)
class Variable:
    """One variable of one group.

    Attributes
    ----------
    name, group : str
    dims : tuple of str
    dtype : str
        A NumPy dtype, or ``"string"`` for strings of any length.
    fill : scalar
        Value of what was never written. The status arrays, not the fill, say what is done.
    meaning : str
        Becomes ``long_name`` on disk.
    units : str or None
    stage : str or None
        The stage that writes it; None for coordinates and trials, written when a group is laid.
    coordinate : bool
    architectures : tuple of str or None
        Only for these, or for architectures of these kinds; None for all.
    optional : bool
        Laid only where a stage's options ask for it.
    """

    name: str
    group: str
    dims: tuple[str, ...]
    dtype: str
    fill: Any
    meaning: str
    units: str | None = None
    stage: str | None = None
    coordinate: bool = False
    architectures: tuple[str, ...] | None = None
    attrs: Mapping[str, Any] | None = None
    optional: bool = False

    def attributes(self) -> dict[str, Any]:
        """What is written beside the variable on disk."""
        out: dict[str, Any] = {"long_name": self.meaning}
        if self.units:
            out["units"] = self.units
        return out | dict(self.attrs or {})


def _declare() -> dict[str, dict[str, Variable]]:
    table: dict[str, dict[str, Variable]] = {group: {} for group in GROUPS}

    def add(
        group: str, name: str, dims: str, dtype: str, fill: Any, meaning: str, **kw: Any
    ) -> None:
        table[group][name] = Variable(name, group, tuple(dims.split()), dtype, fill, meaning, **kw)

    for group in GROUPS:
        add(group, "network", "network", "int64", 0, "index of the network", coordinate=True)
        add(group, "name", "network", "string", "", "name, unique", coordinate=True)
        add(group, "hidden_size", "network", "int64", 0, "number of units", coordinate=True)
    add(
        "population",
        "seed",
        "network",
        "int64",
        -1,
        "seed of this network alone; -1 unknown",
        coordinate=True,
    )
    add("population", "unit", "unit", "int64", 0, "index of the unit", coordinate=True)
    add(
        "population",
        "presynaptic_unit",
        "presynaptic_unit",
        "int64",
        0,
        "index of the unit a recurrent weight comes from",
        coordinate=True,
    )
    add("population", "gate", "gate", "string", "", "gate, in torch's order", coordinate=True)
    for channel in ("input", "output"):
        add(
            "population",
            channel,
            channel,
            "string",
            "",
            f"{channel} channel",
            coordinate=True,
            architectures=CELLS,
        )

    parameters = {
        "weight_ih": ("network gate unit input", "input weights"),
        "weight_hh": ("network gate unit presynaptic_unit", "recurrent weights"),
        "bias_ih": ("network gate unit", "input bias"),
        "bias_hh": ("network gate unit", "recurrent bias"),
        "weight_out": ("network output unit", "readout weights"),
        "bias_out": ("network output", "readout bias"),
    }
    padded = "; NaN past hidden_size"
    for name, (dims, meaning) in parameters.items():
        pad = "" if name == "bias_out" else padded
        of = None if name == "weight_hh" else CELLS
        add(
            "population",
            name,
            dims,
            "float32",
            np.nan,
            meaning + pad,
            stage="train",
            architectures=of,
        )
    for name, (dims, meaning) in parameters.items():
        add(
            "population",
            f"initial_{name}",
            dims,
            "float32",
            np.nan,
            f"{meaning} before training{padded}, or throughout where unknown",
            stage="train",
            architectures=None if name == "weight_hh" else CELLS,
        )
    add(
        "population",
        "loss",
        "network",
        "float64",
        np.nan,
        "mean squared error over the training set; planar: 1/2 |x(T) - target|^2",
        stage="train",
    )
    add(
        "population",
        "gradient_steps",
        "network",
        "int64",
        -1,
        "gradient steps of the attempt that is kept; -1 unknown",
        units="steps",
        stage="train",
    )
    add("population", "attempts", "network", "int64", -1, "inits tried; -1 unknown", stage="train")
    add(
        "population",
        "feature",
        "feature",
        "string",
        "",
        "feature of activity",
        coordinate=True,
        stage="features",
        architectures=CELLS,
    )
    add(
        "population",
        "features",
        "network feature",
        "float64",
        np.nan,
        "features of activity on the training trials",
        stage="features",
        architectures=CELLS,
    )
    add(
        "population",
        "activity_feature",
        "activity_feature",
        "string",
        "",
        "feature of activity beyond the published ones",
        coordinate=True,
        stage="features",
    )
    add(
        "population",
        "activity_features",
        "network activity_feature",
        "float64",
        np.nan,
        "further features of activity on the training trials, none of them published",
        stage="features",
    )
    add(
        "population",
        "solution",
        "network",
        "int16",
        -1,
        "class of solution_key, most common first; -1 not computed",
        stage="reduce",
    )
    add(
        "population",
        "solution_key",
        "network",
        "string",
        "",
        "canonical form of the reduced-dynamics graph; equal where two graphs are the same "
        "solution (allow the same), in any store; empty where not computed",
        stage="reduce",
    )
    add(
        "population",
        "solution_description",
        "network",
        "string",
        "",
        "what the reduced-dynamics graph says, in words",
        stage="reduce",
    )
    add(
        "population",
        "graph_key",
        "network",
        "string",
        "",
        "the reduced-dynamics graph in canonical numbering; equal where two graphs are the same "
        "but for the numbers of their nodes, which is finer than solution_key",
        stage="reduce",
        architectures=CELLS,
    )
    add(
        "population",
        "graph_recall",
        "network",
        "float64",
        np.nan,
        "share of the network's own random sequences that its graph allows",
        stage="verify",
        architectures=CELLS,
    )
    add(
        "population",
        "graph_specificity",
        "network",
        "float64",
        np.nan,
        "share of sequences of networks with another solution, where this network does otherwise, "
        "that its graph forbids; NaN where there are none",
        stage="verify",
        architectures=CELLS,
    )
    for stage in STAGES:
        add(
            "population",
            f"status_{stage}",
            "network",
            "uint8",
            PENDING,
            f"progress of the stage {stage}",
            attrs=_STATUS_ATTRS,
            architectures=None if stage in kinds.PLANAR.stages else CELLS,
        )
        add(
            "population",
            f"message_{stage}",
            "network",
            "string",
            "",
            f"why the stage {stage} failed; empty where it did not",
            architectures=None if stage in kinds.PLANAR.stages else CELLS,
        )

    for group, set_of in (("training", "training"), ("extrapolation", "extrapolation")):
        stage = "record" if group == "training" else "extrapolate"
        add(group, "trial", "trial", "int64", 0, "index of the trial", coordinate=True)
        add(
            group,
            "time",
            "time",
            "int64",
            0,
            "time; index t holds the state after the input of step t",
            units="steps",
            coordinate=True,
        )
        add(
            group,
            "input",
            "trial time input",
            "float32",
            0.0,
            f"input of the {set_of} trials, by channel (names in `channels`)",
        )
        add(group, "target", "trial time output", "float32", 0.0, f"target of the {set_of} trials")
        add(group, "epoch", "trial time", "int8", 0, "epoch of the trial")
        add(
            group,
            "output",
            "network trial time output",
            "float32",
            np.nan,
            "output of the network, by channel (names in `channels`)",
            stage=stage,
        )
    add("training", "unit", "unit", "int64", 0, "index of the unit", coordinate=True)
    add(
        "training",
        "activity",
        "network trial time unit",
        "float32",
        np.nan,
        f"activity of the units (hidden state){padded}",
        stage="record",
    )
    add(
        "graph",
        "input_symbol",
        "input_symbol",
        "string",
        "",
        "what an edge carries; 0 is always autonomous flow",
        coordinate=True,
    )
    add(
        "graph",
        "n_nodes",
        "network",
        "int16",
        -1,
        "number of nodes; -1 not computed",
        stage="reduce",
    )
    add(
        "graph",
        "n_edges",
        "network",
        "int16",
        -1,
        "number of edges; -1 not computed",
        stage="reduce",
    )
    add(
        "graph",
        "node_output",
        "network node",
        "int8",
        0,
        "output of the node (-1, 0, 1); node 0 is the root; 0 past n_nodes",
        stage="reduce",
    )
    for end in ("source", "target"):
        add(
            "graph",
            f"edge_{end}",
            "network edge",
            "int16",
            -1,
            f"node that is the {end} of the edge; -1 past n_edges",
            stage="reduce",
        )
    add(
        "graph",
        "edge_input",
        "network edge",
        "int16",
        -1,
        "index into input_symbol of what the edge carries; -1 past n_edges",
        stage="reduce",
    )
    for name, end in (("edge_earliest", "first"), ("edge_latest", "last")):
        add(
            "graph",
            name,
            "network edge",
            "int16",
            -1,
            f"{end} step at which the edge can be taken, from the end of the transient of the "
            "last pulse or from the root; -1 is no bound; only with method timed",
            stage="reduce",
            optional=True,
        )

    add(
        "learning",
        "checkpoint",
        "checkpoint",
        "int64",
        0,
        "index of the checkpoint: the first is the initial weights, the last the final ones",
        coordinate=True,
    )
    for name in ("unit", "presynaptic_unit", "gate", "input", "output"):
        table["learning"][name] = dataclasses.replace(table["population"][name], group="learning")
    for name, (dims, meaning) in parameters.items():
        pad = "" if name == "bias_out" else " past hidden_size and"
        add(
            "learning",
            name,
            dims.replace("network", "network checkpoint"),
            "float32",
            np.nan,
            f"{meaning} at the checkpoint; NaN{pad} where the loss never fell so far",
            stage="train",
        )
    at = "network checkpoint"
    add(
        "learning",
        "loss_level",
        at,
        "float64",
        np.nan,
        "what the checkpoint's loss is the first to be under: infinity, levels evenly spaced in "
        "the logarithm from the loss of silence, the recipe's target loss",
        stage="train",
    )
    add(
        "learning",
        "loss",
        at,
        "float64",
        np.nan,
        "mean squared error over the training set; NaN where the loss never fell so far",
        stage="train",
    )
    add(
        "learning",
        "gradient_steps",
        at,
        "int64",
        -1,
        "gradient steps that led there; -1 where the loss never fell so far",
        units="steps",
        stage="train",
    )
    add(
        "learning",
        "solution",
        at,
        "int16",
        -1,
        "as `solution` of the population; those of no final network follow, most common first; "
        "-1 not computed or no graph",
        stage="reduce",
    )
    add(
        "learning",
        "solution_key",
        at,
        "string",
        "",
        "as `solution_key` of the population; empty where there is no graph",
        stage="reduce",
    )
    add(
        "learning",
        "solution_description",
        at,
        "string",
        "",
        "as `solution_description` of the population; empty where there is no graph",
        stage="reduce",
    )
    add(
        "learning",
        "status_reduce",
        at,
        "uint8",
        PENDING,
        "progress of the stage reduce",
        attrs=_STATUS_ATTRS,
        stage="reduce",
    )
    add(
        "learning",
        "message_reduce",
        at,
        "string",
        "",
        "why the checkpoint has no graph; empty where it has",
        stage="reduce",
    )

    def score(name: str, dims: str, meaning: str, dtype: str = "float64", **kw: Any) -> None:
        fill = {"float64": np.nan, "string": "", "int8": 0}.get(dtype, -1)
        add("classification", name, dims, dtype, fill, meaning, stage="classify", **kw)

    for name, dims, meaning in (
        ("feature_set", "feature_set", "set of features a model is given"),
        ("class", "class", "class, most common first; a value of the label"),
        ("predicted_class", "predicted_class", "class, as predicted"),
        ("feature", "feature", "feature of activity"),
        ("feature_family", "feature", "family of the feature"),
        ("family", "family", "family of features"),
    ):
        score(name, dims, meaning, "string", coordinate=True)
    score("kappa", "feature_set", "Cohen's kappa of held-out predictions, mean over repeats")
    for end, which in (("low", "lower"), ("high", "upper")):
        score(f"kappa_{end}", "feature_set", f"{which} end of its 95 % interval over networks")
    score("kappa_gain", "feature_set", "kappa less that of the first set, on the same folds")
    for end, which in (("low", "lower"), ("high", "upper")):
        score(f"kappa_gain_{end}", "feature_set", f"{which} end of its 95 % interval")
    score("balanced_accuracy", "feature_set", "share predicted right, mean over classes")
    score("accuracy", "feature_set", "share of held-out networks predicted right")
    score("split_kappa", "feature_set repeat fold", "kappa of one split's held-out networks")
    score("model", "feature_set repeat fold", "model chosen in the split", "string")
    score(
        "confusion",
        "feature_set class predicted_class",
        "held-out networks by class and predicted class, mean over repeats",
        units="networks",
    )
    score("calibration_count", "feature_set bin", "networks predicted with this confidence")
    score("calibration_confidence", "feature_set bin", "mean confidence; NaN in an empty bin")
    score("calibration_accuracy", "feature_set bin", "share predicted right; NaN in an empty bin")
    score("calibration_error", "feature_set", "expected calibration error")
    score("null_kappa", "feature_set permutation", "kappa of extra trees with labels permuted")
    score("null_observed", "feature_set", "kappa of extra trees with the labels as they are")
    score("p_value", "feature_set", "share of permutations, itself included, that reach it")
    score(
        "importance",
        "feature_set feature",
        "fall of kappa when the feature is dealt out anew; NaN where it is not in the set",
    )
    score(
        "family_importance",
        "feature_set family",
        "the same for a family at once; NaN where none of it is in the set",
    )
    score("in_set", "feature_set feature", "1 where the set holds the feature", "int8")
    score("label", "network", "position of its class; -1 left out", "int16")
    score("exclusion", "network", "why it was left out; empty where it was not", "string")
    score("held_out_in", "repeat network", "fold it was held out in; -1 left out", "int16")
    score(
        "prediction",
        "feature_set repeat network",
        "position of the class predicted while it was held out; -1 left out",
        "int16",
    )
    score(
        "probability",
        "feature_set network class",
        "probability of each class while it was held out, mean over repeats; NaN left out",
    )
    score("features", "network feature", "the features used")

    def seen(name: str, dims: str, dtype: str, fill: Any, meaning: str, **kw: Any) -> None:
        add("recording_size", name, dims, dtype, fill, meaning, stage="recording-size", **kw)

    seen("units", "units", "int64", 0, "units recorded; 0 all", coordinate=True)
    seen("trials", "trials", "int64", 0, "trials of a condition; 0 no spikes", coordinate=True)
    seen("class", "class", "string", "", "class, most common first", coordinate=True)
    seen("seen_feature", "seen_feature", "string", "", "features used", coordinate=True)
    for name, meaning in (
        ("kappa", "Cohen's kappa of held-out predictions, mean over repeats"),
        ("kappa_low", "lower end of its 95 % interval over networks"),
        ("kappa_high", "upper end of its 95 % interval over networks"),
        ("balanced_accuracy", "share predicted right, mean over classes"),
    ):
        seen(name, "units trials", "float64", np.nan, meaning)
    seen("label", "network", "int16", -1, "position of its class; -1 left out")
    seen("exclusion", "network", "string", "", "why it was left out; empty where it was not")
    seen(
        "prediction",
        "units trials repeat network",
        "int16",
        -1,
        "position of the class predicted while it was held out; -1 left out",
    )
    _declare_planar(add)
    return table


def _declare_planar(add: Callable[..., None]) -> None:
    """The dynamical objects of a planar network."""

    def planar(name: str, dims: str, dtype: str, fill: Any, meaning: str, **kw: Any) -> None:
        stage = None if kw.get("coordinate") else "reduce"
        add("population", name, dims, dtype, fill, meaning, stage=stage, architectures=PLANAR, **kw)

    def flags(names: tuple[str, ...]) -> dict[str, Any]:
        return {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}

    for dim, what in (("fixed_point", "fixed point"), ("limit_cycle", "limit cycle")):
        planar(dim, dim, "int64", 0, f"index of the {what}", coordinate=True)
        planar(f"n_{dim}s", "network", "int8", -1, f"number of {what}s; -1 not computed")
    past = "past the count"
    planar(
        "fixed_point_state",
        "network fixed_point unit",
        "float32",
        np.nan,
        f"state of the fixed point; the origin is the first; NaN {past}",
    )
    planar(
        "fixed_point_kind",
        "network fixed_point",
        "int8",
        -1,
        f"kind of the fixed point, by its eigenvalues; -1 {past}",
        attrs=flags(FIXED_POINTS),
    )
    planar(
        "limit_cycle_state",
        "network limit_cycle unit",
        "float32",
        np.nan,
        f"the state of the limit cycle where x1 is largest; NaN {past}",
    )
    planar(
        "limit_cycle_period",
        "network limit_cycle",
        "float32",
        np.nan,
        f"period of the limit cycle; NaN {past}",
        units="time constants",
    )
    planar(
        "limit_cycle_kind",
        "network limit_cycle",
        "int8",
        -1,
        f"stability of the limit cycle; -1 {past}",
        attrs=flags(LIMIT_CYCLES),
    )
    planar(
        "origin",
        "network",
        "int8",
        -1,
        "dynamics at the origin, by the eigenvalues of W - 1; -1 not computed",
        attrs=flags(ORIGINS),
    )
    planar(
        "ending",
        "network",
        "int8",
        -1,
        "where the trajectory from (1, 0) ends; -1 not computed",
        attrs=flags(ENDINGS),
    )
    planar(
        "ending_distance",
        "network",
        "float32",
        np.nan,
        "distance from the target to the point or cycle where the trajectory ends",
    )


_TABLE = _declare()


def fixed(group: str) -> tuple[str, ...]:
    """Names of a group's variables that do not come from an architecture.

    Examples
    --------
    >>> "loss" in fixed("population"), "cell_state" in fixed("training")
    (True, False)
    """
    return tuple(_TABLE[group])


def variables(group: str, architecture: str | None = None) -> dict[str, Variable]:
    """Declared variables of a group, those of one architecture only where it is given.

    Examples
    --------
    >>> variables("graph")["edge_input"].dims
    ('network', 'edge')
    >>> variables("training", "lstm")["cell_state"].meaning
    'cell state; NaN past hidden_size'
    """
    table = _TABLE[group] | _of_architectures(group, architecture)
    if architecture is None:
        return table
    kind = kinds.kind_of(architecture).name
    return {
        name: variable
        for name, variable in table.items()
        if variable.architectures is None or {architecture, kind} & {*variable.architectures}
    }


def _of_architectures(group: str, architecture: str | None) -> dict[str, Variable]:
    """What architectures have of their own: further parts of the state, further parameters."""
    if group not in ("population", "training", "learning"):
        return {}
    from solspace.networks import architecture_names, get_architecture

    names = architecture_names(CELLS[0]) if architecture is None else (architecture,)
    out: dict[str, Variable] = {}

    def add(name: str, dims: str, dtype: str, meaning: str, owner: str, **kw: Any) -> None:
        owners = (*(out[name].architectures or ()), owner) if name in out else (owner,)
        at = tuple(dims.split())
        out[name] = Variable(name, group, at, dtype, np.nan, meaning, architectures=owners, **kw)

    padded = "; NaN past hidden_size"
    for record in map(get_architecture, names):
        for part in record.state[1:] if group == "training" else ():
            add(part.name, "network trial time unit", "float32", part.meaning + padded,
                record.name, stage="record")  # fmt: skip
        for p in record.parameters:
            pad = padded if {"unit", "presynaptic_unit"} & {*p.dims} else ""
            dims = " ".join(("network", *p.dims))
            if not p.trained:
                if group == "population":
                    add(p.name, dims, "float64", p.meaning + pad, record.name,
                        coordinate=True, units=p.units)  # fmt: skip
            elif group == "population":
                trained: dict[str, Any] = {"stage": "train", "units": p.units}
                add(p.name, dims, "float32", p.meaning + pad, record.name, **trained)
                before = f"{p.meaning} before training{pad}"
                add(f"initial_{p.name}", dims, "float32", before, record.name, **trained)
            elif group == "learning":
                dims = dims.replace("network", "network checkpoint", 1)
                meaning = f"{p.meaning} at the checkpoint{pad}"
                add(p.name, dims, "float32", meaning, record.name, stage="train", units=p.units)
    return out


def _declared(group: str, ds: xr.Dataset) -> dict[str, Variable]:
    """Declared variables of a group; where two architectures share a name, the dataset's."""
    own = ds.attrs.get("architecture")
    known = variables(group)
    return known if own is None else known | _of_own(group, str(own))


def _of_own(group: str, architecture: str) -> dict[str, Variable]:
    try:
        return _of_architectures(group, architecture)
    except SolspaceError:  # not known here, such as one of somebody's own
        return {}


def stage_of(group: str) -> str:
    """The stage that fills a group, named in errors about a missing one."""
    return {
        "population": "train",
        "training": "record",
        "extrapolation": "extrapolate",
        "graph": "reduce",
        "learning": "train",
        "classification": "classify",
        "recording_size": "recording-size",
    }[group]


def prefix(group: str) -> str:
    """What is put before a group's names in a dataset that holds the population's too.

    Examples
    --------
    >>> prefix("learning") + "loss", prefix("graph") + "n_nodes"
    ('checkpoint_loss', 'n_nodes')
    """
    return PREFIXES.get(group, "")


def annotate(ds: xr.Dataset, group: str) -> xr.Dataset:
    """The dataset with every declared variable's attributes, those it has kept.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = annotate(xr.Dataset({"loss": ("network", [1e-4])}), "population")
    >>> ds.loss.attrs["long_name"]
    'mean squared error over the training set; planar: 1/2 |x(T) - target|^2'
    """
    for name, variable in _declared(group, ds).items():
        name = prefix(group) * (not variable.coordinate) + name
        if name in ds.variables:
            ds[name].attrs = variable.attributes() | ds[name].attrs
    return ds


def faults(
    ds: xr.Dataset, group: str, *, required: Iterable[str] = (), where: str = ""
) -> list[str]:
    """Everything in which a dataset departs from the declarations, a sentence each.

    Parameters
    ----------
    ds : Dataset
    group : str
        One of `GROUPS`.
    required : iterable of str
        Variables that have to be there.
    where : str
        Put before each fault.

    Examples
    --------
    >>> import xarray as xr
    >>> faults(xr.Dataset({"loss": ("unit", [1])}), "population", required=["bias_out"])
    ["'bias_out' is missing", "'loss' has dims (unit), expected (network)", \
"'loss' is int64, expected float64"]
    """
    prefix = f"{where}: " if where else ""
    out = [f"{prefix}{name!r} is missing" for name in required if name not in ds.variables]
    for name, declared in _declared(group, ds).items():
        if name not in ds.variables:
            continue
        found = ds[name]
        if tuple(map(str, found.dims)) != declared.dims:
            out.append(
                f"{prefix}{name!r} has dims ({', '.join(map(str, found.dims))}), "
                f"expected ({', '.join(declared.dims)})"
            )
        if not same_dtype(found.dtype, declared.dtype):
            out.append(f"{prefix}{name!r} is {found.dtype}, expected {declared.dtype}")
    return out


def same_dtype(dtype: Any, declared: str) -> bool:
    """Whether an array's dtype is the declared one (a string may be held as objects)."""
    if declared == "string":
        return dtype.kind in "OTU"
    return np.dtype(dtype) == np.dtype(declared)


def check(ds: xr.Dataset, group: str, *, required: Iterable[str] = ()) -> xr.Dataset:
    """The dataset as it is, or one error that lists all its faults.

    Raises
    ------
    SolspaceError

    Examples
    --------
    >>> import xarray as xr
    >>> check(xr.Dataset(), "population", required=["weight_hh"])
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: not a population dataset: 'weight_hh' is missing; ...
    """
    found = faults(ds, group, required=required)
    if found:
        raise SolspaceError(
            f"not a {group} dataset: {'; '.join(found)}; names and dims are in docs/schema.md"
        )
    return ds


def markdown() -> str:
    """The tables of ``docs/schema.md``."""
    lines = []
    for group, holds in GROUPS.items():
        path = "/{task}/{architecture}" + ("" if group == "population" else f"/{group}")
        lines += [f"## `{path}`", "", f"{holds[0].upper()}{holds[1:]}.", ""]
        lines += ["| variable | dims | dtype | fill | units | meaning | written by |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for v in variables(group).values():
            name = f"`{v.name}`" + (" (coordinate)" if v.coordinate else "")
            if v.architectures:
                name += f" ({', '.join(v.architectures)} only)"
            fill = '""' if v.fill == "" else str(v.fill)
            lines.append(
                f"| {name} | {', '.join(v.dims)} | {v.dtype} | {fill} | {v.units or ''} "
                f"| {v.meaning} | {v.stage or ''} |"
            )
        lines.append("")
    return "\n".join(lines)
