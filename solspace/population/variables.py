"""Declared variables: what one is, what is wrong with an array that should be one.

A stage declares the variables it fills beside its function (see `solspace.stages`); here are what a
declaration is, and those that every population has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "BASE",
    "DONE",
    "FAILED",
    "GRAPH_LABELS",
    "LABELS",
    "MESSAGE_LENGTH",
    "NAME_LENGTH",
    "PENDING",
    "SOLUTION",
    "SOLUTION_DESCRIPTION",
    "Variable",
    "annotate",
    "check",
    "faults",
    "is_label",
    "message_variable",
    "same_dtype",
    "status_variable",
    "text_array",
    "unfilled",
]

PENDING, DONE, FAILED = 0, 1, 2

NAME_LENGTH = 64
MESSAGE_LENGTH = 200

STATUS_ATTRS = {
    "flag_values": [PENDING, DONE, FAILED],
    "flag_meanings": "pending done failed",
}


@dataclass(frozen=True)
class Variable:
    """One variable of a population: its dims, dtype, units and meaning.

    Attributes
    ----------
    name : str
    dims : tuple of str
        ``network`` first where it has a value for each network.
    dtype : str
        A NumPy dtype; of strings ``U`` and their greatest length, such as ``U64``.
    meaning : str
        Becomes ``long_name`` on disk.
    units : str or None
    group : str
        The group below the population it stands in; ``population`` is the population's own.
    fill : scalar
        Of what was never computed, by default NaN, -1 or empty. Statuses, not the fill, say what
        is done.
    coordinate : bool
    architectures : tuple of str or None
        Only for these, or for architectures of these kinds; None for all.
    attrs : mapping or None
        Further attributes on disk.
    optional : bool
        Created only where a stage's options ask for it.

    Examples
    --------
    >>> Variable("speed", ("network", "epoch_name"), "float32", "mean speed", units="1/step").fill
    nan
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    meaning: str
    units: str | None = None
    group: str = "population"
    fill: Any = None
    coordinate: bool = False
    architectures: tuple[str, ...] | None = None
    attrs: Mapping[str, Any] | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(self.dims))
        if not self.name.isidentifier():
            raise SolspaceError(
                f"a variable named {self.name!r}; give a name of letters, digits and _ that "
                "Python takes as one, so that ds.NAME works"
            )
        if self.name in self.dims and not (self.coordinate and self.dims == (self.name,)):
            raise SolspaceError(
                f"variable {self.name!r} has a dim of its own name; rename the variable or the dim"
            )
        kind = np.dtype(self.dtype).kind
        if kind == "O" or (kind == "U" and np.dtype(self.dtype).itemsize == 0):
            raise SolspaceError(
                f"variable {self.name!r} is {self.dtype}; give strings a greatest length, "
                "such as U64"
            )
        if self.fill is None:
            default = {"f": np.nan, "i": -1, "u": 0, "U": "", "b": False, "c": np.nan}
            object.__setattr__(self, "fill", default[kind])

    @property
    def text(self) -> bool:
        """Whether it holds strings."""
        return np.dtype(self.dtype).kind == "U"

    def of(self, architecture: str | None) -> bool:
        """Whether networks of an architecture have it; any may where none is given."""
        if architecture is None or self.architectures is None:
            return True
        if architecture in self.architectures:
            return True
        from solspace.kinds import kind_of

        return kind_of(architecture).name in self.architectures

    def of_kind(self, kind: str) -> bool:
        """Whether networks of a kind may have it."""
        return self.architectures is None or kind == "any" or kind in self.architectures

    def attributes(self) -> dict[str, Any]:
        """What is written beside the variable on disk."""
        out: dict[str, Any] = {"long_name": self.meaning}
        if self.units:
            out["units"] = self.units
        return out | dict(self.attrs or {})


def status_variable(stage: str) -> Variable:
    """Progress of a stage, a value for each network."""
    meaning = f"progress of the stage {stage}"
    name = f"status_{stage.replace('-', '_')}"
    return Variable(name, ("network",), "uint8", meaning, fill=PENDING, attrs=STATUS_ATTRS)


def message_variable(stage: str) -> Variable:
    """Why a stage failed for a network."""
    meaning = f"why the stage {stage} failed; empty where it did not"
    name = f"message_{stage.replace('-', '_')}"
    return Variable(name, ("network",), f"U{MESSAGE_LENGTH}", meaning)


# Labels are coordinates in every group with networks, so that one can select by them. First those
# that follow the label by which the population's solutions are told, its `solution_method`.
SOLUTION = (
    Variable(
        "solution",
        ("network",),
        "int16",
        "number of solution_key in this population, most common first (another population "
        "numbers its own: join on solution_key); -1 not computed",
        coordinate=True,
    ),
    Variable(
        "solution_key",
        ("network",),
        "U96",
        "the label of the network that the group's solution_method names; equal where two networks "
        "found the same solution, in any store (one too long is a digest, '#' and hexadecimals); "
        "empty where not computed",
        coordinate=True,
    ),
    Variable(
        "solution_name",
        ("network",),
        "U48",
        "short name of solution_key, the same in every store; empty where not computed",
        coordinate=True,
    ),
)
SOLUTION_DESCRIPTION = Variable(
    "solution_description",
    ("network",),
    "U512",
    "the solution's short name and what its label says, in words; equal for one solution_key, and "
    "for no other",
)
LABELS = (
    *SOLUTION,
    Variable(
        "graph_key",
        ("network",),
        "U160",
        "the reduced-dynamics graph in canonical numbering (one too long is a digest, '#' and "
        "hexadecimals); equal where two graphs are the same but for the numbers of their nodes, "
        "which is finer than automaton_key; empty where not computed",
        coordinate=True,
        architectures=("recurrent",),
    ),
    Variable(
        "automaton_key",
        ("network",),
        "U96",
        "what the reduced-dynamics graph allows, as the smallest automaton; equal where two graphs "
        "allow the same response sequences; empty where not computed",
        coordinate=True,
        architectures=("recurrent",),
    ),
)
# Those that are of graphs, and so depend on the method by which graphs are made.
GRAPH_LABELS = ("graph_key", "automaton_key")

# What every group with networks has.
BASE = (
    Variable("network", ("network",), "int64", "index of the network", coordinate=True, fill=0),
    Variable("name", ("network",), f"U{NAME_LENGTH}", "name, unique here", coordinate=True),
    Variable("hidden_size", ("network",), "int64", "number of units", coordinate=True, fill=0),
    Variable("task", (), f"U{NAME_LENGTH}", "task the networks are for", coordinate=True),
    Variable("architecture", (), f"U{NAME_LENGTH}", "architecture", coordinate=True),
    *LABELS,
)


def is_label(variable: Variable) -> bool:
    """Whether a variable is a label of networks: a coordinate in every group with networks.

    Beside the declared ones every string along ``network`` alone whose name ends in ``_key``.

    Examples
    --------
    >>> is_label(Variable("attractor_key", ("network",), "U96", "what it settles to",
    ...                   coordinate=True))
    True
    """
    if variable.name in {v.name for v in LABELS}:
        return True
    alone = variable.coordinate and variable.dims == ("network",) and variable.text
    return alone and variable.name.endswith("_key") and variable.group == "population"


def text_array(values: Any) -> np.ndarray:
    """Strings as a NumPy array of fixed width, which every operation of xarray takes.

    Examples
    --------
    >>> text_array(np.array(["a", "bc"], dtype=object)).dtype
    dtype('<U2')
    """
    array = np.asarray(values)
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind == "T":  # which NumPy does not cast by itself
        array = array.astype(object)
    out = array.astype(str)
    return out if out.dtype.itemsize else out.astype("U1")


def unfilled(variables: Iterable[Variable], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Arrays of variables by name, full of what stands for not computed; texts as objects.

    Parameters
    ----------
    variables : iterable of Variable
        Coordinates among them are left out.
    sizes : mapping of str to int
        Of their dims.

    Examples
    --------
    >>> found = unfilled([Variable("count", ("network",), "int32", "a count")], {"network": 2})
    >>> found["count"].tolist()
    [-1, -1]
    """
    return {
        v.name: np.full([sizes[d] for d in v.dims], v.fill, object if v.text else v.dtype)
        for v in variables
        if not v.coordinate
    }


def annotate(ds: xr.Dataset, variables: Iterable[Variable]) -> xr.Dataset:
    """The dataset with the attributes of declared variables, and strings of fixed width.

    Attributes that a variable has are kept.

    Raises
    ------
    SolspaceError
        For a string longer than declared: it is refused, never cut.

    Examples
    --------
    >>> import xarray as xr
    >>> loss = Variable("loss", ("network",), "float64", "mean squared error")
    >>> annotate(xr.Dataset({"loss": ("network", [1e-4])}), [loss]).loss.attrs["long_name"]
    'mean squared error'
    """
    texts = {}
    for variable in variables:
        name = variable.name
        if name not in ds.variables:
            continue
        found = ds.variables[name]
        if variable.text and (told := _too_long(found, variable)):
            raise SolspaceError(f"{told}; shorten it")
        found.attrs = variable.attributes() | found.attrs
        if variable.text and found.dtype.kind != "U":
            texts[name] = (found.dims, text_array(found.values), found.attrs)
    if not texts:
        return ds
    coords = {name: value for name, value in texts.items() if name in ds.coords}
    return ds.assign({n: v for n, v in texts.items() if n not in coords}).assign_coords(coords)


def same_dtype(dtype: Any, declared: str) -> bool:
    """Whether an array's dtype is the declared one (strings in memory may be shorter)."""
    if np.dtype(declared).kind == "U":
        return dtype.kind in "OTU"
    return np.dtype(dtype) == np.dtype(declared)


def faults(
    ds: xr.Dataset,
    variables: Iterable[Variable],
    *,
    required: Iterable[str] = (),
    where: str = "",
) -> list[str]:
    """Everything in which a dataset departs from declarations, a sentence each.

    Parameters
    ----------
    ds : Dataset
    variables : iterable of Variable
    required : iterable of str
        Variables that have to be there.
    where : str
        Put before each fault.

    Examples
    --------
    >>> import xarray as xr
    >>> loss = Variable("loss", ("network",), "float64", "mean squared error")
    >>> faults(xr.Dataset({"loss": ("unit", [1])}), [loss], required=["bias_out"])
    ["'bias_out' is missing", "'loss' has dims (unit), expected (network)", \
"'loss' is int64, expected float64"]
    """
    prefix = f"{where}: " if where else ""
    out = [f"{prefix}{name!r} is missing" for name in required if name not in ds.variables]
    for declared in variables:
        if declared.name not in ds.variables:
            continue
        found = ds.variables[declared.name]
        if tuple(map(str, found.dims)) != declared.dims:
            out.append(
                f"{prefix}{declared.name!r} has dims ({', '.join(map(str, found.dims))}), "
                f"expected ({', '.join(declared.dims)})"
            )
        if not same_dtype(found.dtype, declared.dtype):
            out.append(f"{prefix}{declared.name!r} is {found.dtype}, expected {declared.dtype}")
        elif declared.text and (told := _too_long(found, declared)):
            out.append(f"{prefix}{told}")
    return out


def _too_long(found: xr.Variable, declared: Variable) -> str:
    """What is wrong with strings longer than declared; empty where none is."""
    most = np.dtype(declared.dtype).itemsize // 4
    if found.dtype.kind == "U" and found.dtype.itemsize // 4 <= most:
        return ""
    longest = max((len(str(s)) for s in np.asarray(found.values).ravel()), default=0)
    if longest <= most:
        return ""
    return f"{declared.name!r} has a string of {longest} characters, expected at most {most}"


def check(
    ds: xr.Dataset, what: str, variables: Iterable[Variable], *, required: Iterable[str] = ()
) -> xr.Dataset:
    """The dataset as it is, or one error that lists all its faults.

    Raises
    ------
    SolspaceError

    Examples
    --------
    >>> import xarray as xr
    >>> check(xr.Dataset(), "population", [], required=["weight_hh"])
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: not a population dataset: 'weight_hh' is missing; ...
    """
    found = faults(ds, variables, required=required)
    if found:
        raise SolspaceError(
            f"not a {what} dataset: {'; '.join(found)}; names and dims are in docs/schema.md"
        )
    return ds
