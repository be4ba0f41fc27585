"""Distances between networks by a measure of similarity, computed when a map asks for them."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.machine import cores

if TYPE_CHECKING:
    import xarray as xr

    from solspace.explorer.maps import Map
    from solspace.explorer.reading import Explored

__all__ = ["Job", "activity_of", "distances_between", "evenly", "most_of", "similarities"]

Array = NDArray[np.float64]

MOST = 150  # networks that are compared, evenly spread: the pairs are their square
FEWER = {"dsa_angular": 24, "weights": 60}  # where a pair is a search
BLOCK_BYTES = 2**25  # of prepared activity in a block, of which two are held


def similarities(seen: Explored) -> list[str]:
    """The measures of similarity that are distances, of those that these networks can be given to.

    Parameters
    ----------
    seen : Explored

    Examples
    --------
    >>> import solspace
    >>> from solspace.explorer import Explored
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> mine = {"n": {k: np.full(s, 0.1) for k, s in shapes.items()}}
    >>> ds = solspace.import_networks("interval_reproduction", "vanilla", mine)
    >>> similarities(Explored("interval_reproduction/vanilla", {"population": ds}))[:2]
    ['procrustes', 'procrustes_euclidean']
    """
    from solspace.similarity import MEASURES

    if not any(part.has_weights for part, _, _ in seen.split(np.arange(seen.networks))):
        return []
    found = [m.name for m in MEASURES.values() if m.direction == "distance"]
    one = len({part.name for part, _, _ in seen.split(np.flatnonzero(~seen.recordings))}) == 1
    return [name for name in found if MEASURES[name].of != "weights" or one]


def most_of(measure: str) -> int:
    """How many networks are compared by a measure."""
    return FEWER.get(measure, MOST)


def evenly(seen: Explored, most: int = MOST) -> NDArray[np.intp]:
    """Positions of up to so many networks, evenly from the first to the last; no recordings.

    Parameters
    ----------
    seen : Explored
    most : int

    Examples
    --------
    >>> import solspace
    >>> from solspace.explorer import Explored
    >>> ds = solspace.new_population("interval_reproduction", "gru", networks=9, hidden_size=5)
    >>> evenly(Explored("interval_reproduction/gru", {"population": ds}), 3).tolist()
    [0, 4, 8]
    """
    at = np.flatnonzero(~seen.recordings)
    take = np.linspace(0, len(at) - 1, min(most, len(at))).round().astype(int)
    return np.asarray(at[np.unique(take)], np.intp)


def activity_of(
    seen: Explored,
    indices: Sequence[int] | NDArray[np.intp],
    progress: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Activity (trial, time, unit) of networks on the task's recorded trials, by name.

    They are run; those without weights are left out.

    Parameters
    ----------
    seen : Explored
    indices : sequence of int
    progress : callable (int) -> None, optional
        Told 1 for each network.

    Raises
    ------
    SolspaceError
        Where none of them has weights.

    Examples
    --------
    >>> import solspace
    >>> from solspace.explorer import Explored
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> mine = {f"n{i}": {k: rng.normal(0, 0.4, s) for k, s in shapes.items()} for i in range(2)}
    >>> ds = solspace.import_networks("interval_reproduction", "vanilla", mine)
    >>> seen = Explored("interval_reproduction/vanilla", {"population": ds})
    >>> activity_of(seen, [1])["n1"].shape[2]
    5
    """
    from solspace import networks

    found = {}
    for i in np.asarray(indices, np.intp).tolist():
        with contextlib.suppress(SolspaceError):
            units = networks.hidden_size(seen.weights(i))
            states, _ = seen.run(i, seen.recorded.input)
            found[seen.names[i]] = np.asarray(states[..., :units], np.float32)
        if progress is not None:
            progress(1)
    if not found:
        raise SolspaceError(f"no network of {seen.name} has weights; {seen.to_make('train')}")
    return found


def distances_between(
    seen: Explored, measure: str, told: Callable[[str], None] | None = None
) -> xr.DataArray:
    """Distances of networks, evenly spread, to one another.

    Parameters
    ----------
    seen : Explored
    measure : str
        Of `similarities`.
    told : callable (str) -> None, optional
        How far it is, in words; what it raises ends the computation.

    Returns
    -------
    DataArray (network, network_other)
        What `solspace.similarity.pairwise` returns, with the networks' names.

    Raises
    ------
    SolspaceError
        Where the measure cannot take these networks.
    """
    from solspace.similarity import get_measure, pairwise

    say = told or (lambda text: None)
    record = get_measure(measure)
    take = evenly(seen, most_of(measure))
    options: dict[str, Any] = {"unfit": "leave_out"}
    data: Any
    if record.of == "weights":
        ((part, at, _),) = seen.split(take)
        data = part.ds.isel(network=at).load()
    else:
        count = _Counter(say, len(take), "networks run: {0} of {1}")
        data = activity_of(seen, take, count)
        if record.of == "driven":
            options["inputs"] = seen.recorded.input
        each = max(8 * x.size for x in data.values())
        options["block"] = max(1, BLOCK_BYTES // each)
    # A core is left for the page.
    options["workers"] = max(1, cores() - 1)
    pairs = _Counter(say, len(take) * (len(take) + 1) // 2, measure + ": {2} % of pairs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which are left out is seen on the map
        found = pairwise(data, measure, progress=pairs, **options)
    if record.of == "weights":
        names = [seen.names[i] for i in take]
        found = found.assign_coords(network=names, network_other=names)
    return found


class _Counter:
    """Counts, and says how far it is."""

    def __init__(self, say: Callable[[str], None], total: int, text: str) -> None:
        self.say, self.total, self.text, self.done = say, total, text, 0

    def __call__(self, more: int) -> None:
        self.done += more
        percent = 100 * self.done // max(self.total, 1)
        self.say(self.text.format(self.done, self.total, percent))


def recording_distances(
    seen: Explored,
    indices: NDArray[np.intp],
    measure: str,
    told: Callable[[str], None] | None = None,
) -> tuple[dict[int, Array], list[str]]:
    """Distances of each recording to networks, each seen as the recording's electrodes would.

    Parameters
    ----------
    seen : Explored
    indices : array of int (network,)
        Networks with weights.
    measure : str
    told : callable (str) -> None, optional

    Returns
    -------
    dict of int to array (network,)
        By position of the recording.
    list of str
        Why a recording has none.
    """
    from solspace.locating.locate import distances_to_networks

    say = told or (lambda text: None)
    count = _Counter(say, len(indices), "networks run for recordings: {0} of {1}")
    networks = _as_training(seen, activity_of(seen, indices, count))
    found: dict[int, Array] = {}
    why = []
    for index in np.flatnonzero(seen.recordings).tolist():
        part, at = seen.part(index)
        say(f"{seen.names[index]}: networks seen through its electrodes")
        try:
            far = distances_to_networks(part.ds.isel(network=[at]), networks, measure)
            if not np.isfinite(far).any():
                raise SolspaceError("no network can be seen as it was")
            found[index] = far
        except SolspaceError as error:
            why.append(f"{seen.names[index]} is not on it: {error}")
    return found, why


def _as_training(seen: Explored, activity: Mapping[str, NDArray[np.float32]]) -> xr.Dataset:
    """Activity by name as a dataset (network, trial, time, unit), padded to the largest."""
    import xarray as xr

    sizes = [x.shape[-1] for x in activity.values()]
    first = next(iter(activity.values()))
    out = np.full((len(sizes), *first.shape[:2], max(sizes)), np.nan, np.float32)
    for row, x in zip(out, activity.values(), strict=True):
        row[..., : x.shape[-1]] = x
    coords = {"hidden_size": ("network", sizes), "network": [*activity], "task": seen.task.name}
    return xr.Dataset({"activity": (("network", "trial", "time", "unit"), out)}, coords)


def why_no_recordings(measure: str) -> str:
    """Why a measure cannot place recordings among networks; empty where it can.

    Recordings are in spikes per second and in bins, networks in units of activity and in steps.

    Parameters
    ----------
    measure : str

    Examples
    --------
    >>> why_no_recordings("procrustes"), why_no_recordings("dsa")
    ('', 'Recordings are not on it: dsa compares steps, and theirs are bins')
    """
    from solspace.similarity import get_measure

    record = get_measure(measure)
    why = ""
    if record.of == "weights":
        why = "compares weights, and they have none"
    elif record.of in ("trajectories", "driven"):
        why = "compares steps, and theirs are bins"
    elif "scale" not in record.invariances:
        why = "sees how large activity is, and theirs is in spikes per second"
    return f"Recordings are not on it: {measure} {why}" if why else ""


class Cancelled(Exception):
    """Nobody waits for it any more."""


class Job:
    """A map that is made in a thread of its own, for all sessions that wait for it.

    Parameters
    ----------
    make : callable (told) -> Map
        Told how far it is by calling ``told`` with words.
    """

    def __init__(self, make: Callable[[Callable[[str], None]], Map]) -> None:
        self.text, self.error = "", ""
        self.laid: Map | None = None
        self.waiting: set[int] = set()
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(make,), daemon=True)
        self._thread.start()

    def _run(self, make: Callable[[Callable[[str], None]], Map]) -> None:
        try:
            self.laid = make(self._told)
        except Cancelled:
            self.error = "cancelled"
        except SolspaceError as error:
            self.error = str(error)
        except Exception as error:  # said on the page: a thread has nobody else to tell
            self.error = f"{type(error).__name__}: {error}"
            if not self.cancelled:
                raise

    def _told(self, text: str) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self.text = text

    @property
    def ended(self) -> bool:
        """Whether there is a map, or an error."""
        return self.laid is not None or bool(self.error)

    def leave(self, who: int) -> None:
        """A session does not wait any more; the last one ends the work."""
        self.waiting.discard(who)
        if not self.waiting and not self.ended:
            self._cancelled.set()

    def stop(self) -> None:
        """End the work, whoever waits."""
        self._cancelled.set()
        self.wait(5)

    @property
    def cancelled(self) -> bool:
        """Whether the work was ended."""
        return self._cancelled.is_set()

    def wait(self, seconds: float) -> None:
        """Until there is a map, or an error; at most so long."""
        self._thread.join(seconds)
