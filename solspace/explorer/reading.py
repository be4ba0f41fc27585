"""What the explorer reads: populations of a store or in memory, each part when it is asked for."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make

if TYPE_CHECKING:
    import xarray as xr

    from solspace.reduction.graph import Graph
    from solspace.tasks import Task, Trials

__all__ = ["Explored", "read_populations"]

Array = NDArray[np.float64]

KEPT = 64  # networks whose weights, graphs and fixed points are held, those looked at last
SHOWN_TRIALS = 12  # that components of activity are taken from
READERS = (
    16  # variables that are read at the same time: a store far away answers each after a while
)
# Of no use as colours: what says whether and how something was computed.
# Numbers of networks that maps are made from, and their dimension.
_TABLES = (
    ("features", "feature"),
    ("challenge_value", "challenge_measure"),
    ("neural_value", "neural_measure"),
)
# Of no use as colours: what says whether and how something was computed.
_ASIDE = ("status_", "message_", "network", "name", "graph_description", "solution_description")
_GRAPH = ("n_nodes", "n_edges", "node_output", "edge_source", "edge_target", "edge_input")
_POINTS = ("fixed_point_kind", "fixed_point_state")

T = TypeVar("T")


@functools.cache
def _readers() -> ThreadPoolExecutor:
    """Threads that wait for a store; shared by all populations and sessions."""
    return ThreadPoolExecutor(READERS, thread_name_prefix="solspace-explorer")


class Explored:
    """One population as the explorer sees it; nothing is read before it is asked for.

    Parameters
    ----------
    name : str
        ``TASK/ARCHITECTURE``.
    groups : mapping of str to Dataset or callable () -> Dataset
        ``population`` and, as far as there are, ``graph``, ``fixed_points`` and others.
    path : str
        Of the store, empty in memory.
    of : tuple of str, optional
        Task and architecture, where they are known without reading.

    Examples
    --------
    >>> import solspace
    >>> ds = solspace.new_population("interval_reproduction", "vanilla", networks=3, hidden_size=5)
    >>> seen = Explored("interval_reproduction/vanilla", {"population": ds})
    >>> seen.networks, sorted(seen.colors())
    (3, ['hidden_size', 'seed'])
    """

    def __init__(
        self,
        name: str,
        groups: Mapping[str, Any],
        path: str = "",
        *,
        of: tuple[str, str] | None = None,
    ) -> None:
        self.name, self.path = name, path
        self.apart = False  # whether it was given as recordings, beside a store of networks
        self._of = of
        self._groups = dict(groups)
        self._opened: dict[str, xr.Dataset] = {}
        self._columns: dict[str, NDArray[Any]] = {}
        self._weights: dict[int, dict[str, NDArray[Any]]] = {}
        self._graphs: dict[int, Graph] = {}
        self._points: dict[int, tuple[Array, list[str]]] = {}
        self._parts: dict[tuple[str, int], xr.Dataset] = {}

    def copied(self) -> Explored:
        """The same, which holds nothing yet: for a thread of its own."""
        return Explored(self.name, self._groups, self.path, of=self._of)

    def has(self, group: str) -> bool:
        """Whether there is such a group."""
        return group in self._groups

    def group(self, group: str) -> xr.Dataset:
        """A group, opened once."""
        if group not in self._opened:
            if group not in self._groups:
                raise SolspaceError(f"{self.name} has no group {group!r}")
            found = self._groups[group]
            self._opened[group] = found() if callable(found) else found
        return self._opened[group]

    @property
    def ds(self) -> xr.Dataset:
        """The population's own group."""
        return self.group("population")

    @functools.cached_property
    def networks(self) -> int:
        """How many there are."""
        return int(self.ds.sizes["network"])

    @functools.cached_property
    def names(self) -> list[str]:
        """Of the networks, in their order."""
        if "name" not in self.ds.variables:
            return [str(i) for i in range(self.networks)]
        return [str(name) for name in self.ds["name"].values]

    @functools.cached_property
    def task(self) -> Task:
        """The task they were trained on."""
        from solspace.population.describe import task_of

        return task_of(self.ds)

    @functools.cached_property
    def recorded(self) -> Trials:
        """The trials that the task's networks are recorded on."""
        return self.task.recorded_trials()

    @functools.cached_property
    def architecture(self) -> str:
        """The architecture's name."""
        from solspace.population.describe import architecture_of

        return self._of[1] if self._of else str(architecture_of(self.ds))

    @functools.cached_property
    def task_name(self) -> str:
        """The task's name; empty where it is not said."""
        from solspace.population.describe import named_of

        return self._of[0] if self._of else named_of(self.ds, "task") or ""

    @functools.cached_property
    def of_recordings(self) -> bool:
        """Whether these are recordings, which have activity and no weights."""
        from solspace.population.describe import architecture_of

        known = self._of[1] if self._of else architecture_of(self.ds, required=False)
        return known == "recorded"

    @functools.cached_property
    def recordings(self) -> NDArray[np.bool_]:
        """Which of them are recordings."""
        return np.full(self.networks, self.of_recordings)

    @property
    def architectures(self) -> list[str]:
        """Of the networks, each once."""
        return [self.architecture]

    @property
    def has_weights(self) -> bool:
        """Whether networks have weights, which are laid out alike."""
        return "weight_hh" in self.ds.variables

    def part(self, index: int) -> tuple[Explored, int]:
        """The population that a network is of, and its position there."""
        return self, index

    def split(
        self, indices: Sequence[int] | NDArray[np.intp]
    ) -> list[tuple[Explored, NDArray[np.intp], NDArray[np.intp]]]:
        """Some networks by population: their positions there, and their places in ``indices``.

        Parameters
        ----------
        indices : sequence of int
        """
        at = np.asarray(indices, np.intp)
        return [(self, at, np.arange(len(at)))]

    def run(self, index: int, given: NDArray[np.floating[Any]]) -> tuple[Array, Array]:
        """States and outputs (trial, time, ...) of one network on inputs (trial, time, channel).

        Raises
        ------
        SolspaceError
            Where it has no weights.
        """
        from solspace import networks

        states, output = networks.run(self.architecture, self.weights(index), given)
        return states, output

    def trajectories(self, index: int) -> list[Array]:
        """Activity (time, unit) of one network on some of the task's recorded trials.

        Of a recording it is some of its own trials, as far as all its units were observed.

        Raises
        ------
        SolspaceError
            Where it has no weights.
        """
        from solspace import networks

        if self.of_recordings:
            return self._observed(index)
        units = networks.hidden_size(self.weights(index))
        take = np.unique(np.linspace(0, len(self.recorded) - 1, SHOWN_TRIALS).round().astype(int))
        return list(self.run(index, self.recorded.input[take])[0][..., :units])

    def _observed(self, index: int) -> list[Array]:
        """Some trials of a recording, without bins and units that were not observed."""
        units = int(self.ds["hidden_size"].values[index])
        one = self.ds["activity"].isel(network=index, unit=slice(units))
        values = np.asarray(one.transpose("trial", "time", "unit").values, float)
        values = values[..., np.isfinite(values).any(axis=(0, 1))]
        bins = np.isfinite(values).all(axis=-1) if values.shape[-1] else np.zeros((0, 0), bool)
        there = np.flatnonzero(bins.sum(axis=1) > 1)
        if not len(there):
            raise SolspaceError(f"{self.names[index]} has no trial in which all units are observed")
        take = np.unique(np.linspace(0, len(there) - 1, SHOWN_TRIALS).round().astype(int))
        return [values[i][bins[i]] for i in there[take]]

    def loss_curve(self, index: int) -> Array | None:
        """The loss of one network on the way down; None where it was not kept."""
        if "loss_curve" not in self.ds.variables:
            return None
        return np.asarray(self.ds["loss_curve"].isel(network=index).values, float)

    def colors(self) -> dict[str, str]:
        """What may colour networks, apart from features: a meaning by the variable's name."""
        found = {
            str(name): str(variable.attrs.get("long_name", ""))
            for name, variable in self.ds.variables.items()
            if variable.dims == ("network",)
            and not str(name).startswith(_ASIDE)
            and not str(name).endswith("_description")
        }
        if self.has("fixed_points") and "stable_points" in self.group("fixed_points").variables:
            found["stable_points"] = "stable fixed points under the first constant input"
        return found

    def column(self, name: str) -> NDArray[Any]:
        """One value for each network: a variable, a feature, or the number of stable points.

        Raises
        ------
        SolspaceError
            Where there is nothing of that name.
        """
        if name not in self._columns:
            self._columns[name] = self._read(name)
        return self._columns[name]

    def _read(self, name: str) -> NDArray[Any]:
        if name == "stable_points" and name in self.colors():
            points = self.group("fixed_points")["stable_points"].isel(constant_input=0)
            return np.asarray(points.values)
        if name in self.colors():
            return np.asarray(self.ds[name].values)
        if name in self.features_named:
            return np.asarray(self.features[:, self.features_named.index(name)])
        raise SolspaceError(
            f"{self.name} has nothing called {name!r} of each network; it has "
            f"{', '.join(sorted(self.colors()))}, and {len(self.features_named)} features"
        )

    @functools.cached_property
    def _tables(self) -> list[tuple[str, str]]:
        """Which numbers of networks there are, and along which dimension each lies."""
        return [(name, dim) for name, dim in _TABLES if name in self.ds.variables]

    @functools.cached_property
    def features_named(self) -> list[str]:
        """Names of the features, and of measures under challenges and from inside networks."""
        return [str(name) for _, dim in self._tables for name in self.ds[dim].values]

    @functools.cached_property
    def feature_units(self) -> dict[str, str]:
        """Units of the features, by name, as far as they are said."""
        if "feature_units" not in self.ds.variables:
            return {}
        named, units = self.ds["feature"].values, self.ds["feature_units"].values
        return {str(name): str(unit) for name, unit in zip(named, units, strict=True)}

    @functools.cached_property
    def features(self) -> Array:
        """Features (network, feature), and measures under challenges and from inside networks.

        Raises
        ------
        SolspaceError
            Where there are none; what to type is said.
        """
        if not self._tables:
            raise SolspaceError(f"{self.name} has no features; {self.to_make('features')}")
        tables = (self.ds[name].transpose("network", dim).values for name, dim in self._tables)
        return np.concatenate([np.asarray(table, float) for table in tables], axis=1)

    def to_make(self, stage: str) -> str:
        """What makes what a stage fills, with the store's own name, or why it cannot be made."""
        from solspace.tasks.needs import lacking

        if (
            stage == "features"
            and lacking(self.task, stage)
            and not lacking(self.task, "challenge")
        ):
            stage = "challenge"
        if lacks := lacking(self.task, stage):
            return f"task {self.task.name!r} cannot have any: {lacks}"
        told = str(how_to_make(stage))
        return told.replace("STORE", self.path) if self.path else told

    def place(self, network: str | int) -> int:
        """Position of a network, by name or position.

        Raises
        ------
        SolspaceError
            Where there is none.
        """
        if isinstance(network, str) and network in self.names:
            return self.names.index(network)
        if isinstance(network, (int, np.integer)) and 0 <= network < self.networks:
            return int(network)
        few = ", ".join(self.names[:4])
        raise SolspaceError(f"{self.name} has no network {network!r}; networks: {few}, ...")

    def look_at(self, index: int) -> None:
        """Read what weights, graph and fixed points of one network are made from, all at once.

        Each of them reads its own where this was not called before. A recording has none of them.
        """
        if self.of_recordings:
            return
        wanted = {
            "population": index not in self._weights,
            "graph": index not in self._graphs and self.has("graph"),
            "fixed_points": index not in self._points and self.has("fixed_points"),
        }
        cut = {group: self._cut(group, index) for group, yes in wanted.items() if yes}
        _load(*cut.values())
        for group, ds in cut.items():
            _keep(self._parts, (group, index), ds)

    def _cut(self, group: str, index: int) -> xr.Dataset:
        """What is needed of one network of a group, not read yet."""
        import xarray as xr

        from solspace.networks import PARAMETERS, get_architecture, start_names

        ds, names = self.group(group), [*_GRAPH] if group == "graph" else [*_POINTS]
        if group == "population":
            record = get_architecture(self.architecture)
            names = [*PARAMETERS, "architecture", "hidden_size", "message_reduce"]
            names += [p.name for p in (*record.trained, *record.given)]
            names += start_names(record, ds.variables)
        # Without what xarray has along: of a network that is a dozen of labels.
        there = {name: ds.variables[name] for name in names if name in ds.variables}
        if group == "population" and not there:
            return xr.Dataset(attrs=ds.attrs)
        one = xr.Dataset(there, attrs=ds.attrs).isel(network=[index])
        return one.isel(constant_input=[0]) if "constant_input" in one.dims else one

    def _part(self, group: str, index: int) -> xr.Dataset:
        """What is needed of one network of a group."""
        if (group, index) not in self._parts:
            ds = self._cut(group, index)
            _load(ds)
            _keep(self._parts, (group, index), ds)
        return self._parts[group, index]

    def weights(self, index: int) -> dict[str, NDArray[Any]]:
        """The weights of one network, without padding.

        Raises
        ------
        SolspaceError
            Where there are none.
        """
        from solspace.population.weights import network_weights

        if index in self._weights:
            return self._weights[index]
        if not self.has_weights:
            raise SolspaceError(f"{self.name} has no weights, as recordings have none")
        found = network_weights(self._part("population", index), 0)
        if not all(np.isfinite(v).all() for v in found.values()):
            raise SolspaceError(f"{self.names[index]} has no weights; {self.to_make('train')}")
        return _keep(self._weights, index, found)

    def graph(self, index: int) -> Graph:
        """The graph of one network.

        Raises
        ------
        SolspaceError
            Where it was not made; what to type is said.
        """
        from solspace.reduction.stage import graph_of

        if index in self._graphs:
            return self._graphs[index]
        if not self.has("graph"):
            raise SolspaceError(f"{self.name} has no graphs; {self.to_make('reduce')}")
        if why := self.failed("reduce", index):
            raise SolspaceError(f"{self.names[index]} has no graph: {why}")
        ds = self._part("graph", index)
        if "n_nodes" in ds.variables and int(ds["n_nodes"].values[0]) < 0:
            raise SolspaceError(f"{self.names[index]} has no graph; {self.to_make('reduce')}")
        return _keep(self._graphs, index, graph_of(ds, 0))

    def failed(self, stage: str, index: int) -> str:
        """Why a stage failed for a network; empty where it did not."""
        message = f"message_{stage}"
        if message not in self.ds.variables:
            return ""
        part = self._parts.get(("population", index))
        if part is not None and message in part.variables:
            return str(part[message].values[0])
        # Of one network: a column of reasons is longer than any other.
        return str(self.ds.variables[message][index].values)

    def fixed_points(self, index: int) -> tuple[Array, list[str]]:
        """States (point, state) and kinds of one network's fixed points, in silence where kept.

        Raises
        ------
        SolspaceError
            Where none were searched; what to type is said.
        """
        if index in self._points:
            return self._points[index]
        if not self.has("fixed_points"):
            raise SolspaceError(f"{self.name} has no fixed points; {self.to_make('fixed_points')}")
        ds = self._part("fixed_points", index).isel(network=0, constant_input=0)
        kind = ds["fixed_point_kind"].values
        there = kind >= 0
        meanings = str(ds["fixed_point_kind"].attrs["flag_meanings"]).split()
        found = (
            np.asarray(ds["fixed_point_state"].values[there], float),
            [meanings[k] for k in kind[there]],
        )
        return _keep(self._points, index, found)


def _load(*datasets: xr.Dataset) -> None:
    """Read all variables of some datasets at the same time."""
    waiting = [v for ds in datasets for v in ds.variables.values()]
    # What lies in memory is there already.
    list(_readers().map(lambda v: v.load(), waiting))


def _keep(held: dict[Any, T], key: Any, value: T) -> T:
    """Hold a value, and as many as `KEPT` of those that came last."""
    while len(held) >= KEPT:
        # Another session may have dropped it meanwhile.
        held.pop(next(iter(held), None), None)
    held[key] = value
    return value


def read_populations(source: Any) -> dict[str, Explored]:
    """The populations of a store, or of what lies in memory, each for itself; see `open_explored`.

    Parameters
    ----------
    source : str, path, Dataset, DataTree or mapping
    """
    import xarray as xr

    if isinstance(source, xr.Dataset):
        source = {"population": source}
    if isinstance(source, xr.DataTree):
        return _of_tree(source)
    if isinstance(source, Mapping):
        return _of_mapping(source)
    from solspace.kinds import kind_of
    from solspace.run.own_tasks import know_tasks
    from solspace.store import Store

    path = os.fspath(source)
    found = Store(path).select()
    know_tasks(path)
    shown = [p for p in found if kind_of(p.architecture).name in ("recurrent", "recorded")]
    if not shown:
        raise SolspaceError(
            f"{path}: holds {', '.join(map(str, found))} alone; the explorer shows recurrent "
            "networks with weights, and recordings; draw planar networks by "
            "solspace.plots.plot_two_neuron"
        )
    return {
        str(p): Explored(
            str(p), {g: functools.partial(p.open, g) for g in p.groups()}, path,
            of=(p.task, p.architecture),
        )
        for p in shown
    }  # fmt: skip


def _of_mapping(source: Mapping[Any, Any]) -> dict[str, Explored]:
    """One population by its groups, or several by names."""
    import xarray as xr

    from solspace.population.describe import named_of

    if "population" in source:
        ds = source["population"]
        if "network" not in ds.dims:
            raise SolspaceError("a dataset without the dim 'network'; give a population")
        name = f"{named_of(ds, 'task') or 'unknown'}/{named_of(ds, 'architecture') or 'unknown'}"
        return {name: Explored(name, source)}
    found: dict[str, Explored] = {}
    for key, given in source.items():
        groups = {"population": given} if isinstance(given, xr.Dataset) else given
        if not isinstance(groups, Mapping) or "population" not in groups:
            raise SolspaceError(
                f"{key!r} is no population, and no group 'population' was given, which has the "
                "networks; give {'population': ds, 'graph': ...}, or populations by name"
            )
        (one,) = _of_mapping(groups).values()
        one.name = f"{one.name.split('/')[0]}/{str(key).rsplit('/', 1)[-1]}"
        found[one.name] = one
    if not found:
        raise SolspaceError("no group 'population' was given, which has the networks")
    return found


def _of_tree(tree: xr.DataTree) -> dict[str, Explored]:
    """Every node that holds networks and lies above the groups made from them."""
    found: dict[str, Explored] = {}
    for node in tree.subtree:
        if "network" not in node.dims or "architecture" not in node.to_dataset().variables:
            continue
        parent = node.parent
        if parent is not None and "network" in parent.dims:
            continue
        ds = node.to_dataset()
        name = node.path.strip("/") or "/".join(str(ds[v].values) for v in ("task", "architecture"))
        groups = {"population": ds} | {str(n): c.to_dataset() for n, c in node.children.items()}
        found[name] = Explored(name, groups)
    if not found:
        raise SolspaceError("the tree holds no population; give what solspace.open_store returns")
    return found
