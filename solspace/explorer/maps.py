"""Networks on a plane, how faithful it is, and which are nearest before they are laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.explorer.reading import Explored
from solspace.similarity.faithfulness import faithfulness

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "METHODS",
    "SIMILARITY",
    "Map",
    "are_of",
    "lay_out",
    "read_distances",
    "weight_summary",
]

Array = NDArray[np.float64]

METHODS = {
    "features": "features (PCA)",
    "features_tsne": "features (t-SNE)",
    "weights": "weights (PCA)",
    "distances": "distances (MDS)",
}
SIMILARITY = "similarity/"
# How faithful a map is, is told from so many networks, evenly spread: the cost is their square.
JUDGED = 1000
# t-SNE, and numbers from weights, are made of so many at most: more take minutes.
LAID_OUT = {"features_tsne": 2_000, "weights": 2_000}
# Of more networks, what distances are between is kept in half the precision.
MANY = 20_000
ROWS = 4_096  # that are worked on at a time, so that no second copy of all is made
QUANTILES = np.linspace(0, 1, 9)


@dataclass(frozen=True)
class Map:
    """Networks on a plane.

    Attributes
    ----------
    places : array (network, 2)
        NaN where a network could not be laid out.
    there : array of int
        Which could be.
    axes : tuple of str
    told : str
        What the map is made from and how faithful it is.
    measure : str
        What "near" means before networks are laid out.
    vectors : array (network of ``there``, dimension) or None
        What distances are between; None where they were given.
    distances : array (network of ``there``, network of ``there``) or None
    """

    places: Array
    there: NDArray[np.intp]
    axes: tuple[str, str]
    told: str
    measure: str
    vectors: Array | None = None
    distances: Array | None = None

    def nearest(self, index: int, count: int = 5) -> list[tuple[int, float]]:
        """The networks nearest to one, with their distance, nearest first.

        It is the distance that the map was made from, not that in the plane.

        Raises
        ------
        SolspaceError
            Where the network is not on the map.
        """
        at = np.flatnonzero(self.there == index)
        if not len(at):
            raise SolspaceError("the network is not on the map, so no network is near to it")
        if self.distances is not None:
            far = self.distances[at[0]].astype(float)
        else:
            assert self.vectors is not None
            far = np.concatenate([
                np.linalg.norm(part - self.vectors[at[0]], axis=1) for part in _parts(self.vectors)
            ]).astype(float)  # fmt: skip
        far = np.where(np.isfinite(far), far, np.inf)
        far[at[0]] = np.inf
        order = np.argsort(far, kind="stable")[:count]
        return [(int(self.there[i]), float(far[i])) for i in order if np.isfinite(far[i])]


def _rows(count: int) -> Iterator[slice]:
    """Some rows at a time."""
    for start in range(0, count, ROWS):
        yield slice(start, start + ROWS)


def _parts(values: Array) -> Iterator[Array]:
    for rows in _rows(len(values)):
        yield values[rows]


def weight_summary(seen: Explored, networks: NDArray[np.intp] | None = None) -> Array:
    """Weights as numbers that do not know the order of units, (network, number).

    Quantiles of the singular values of each gate's recurrent matrix and of the moduli of its
    eigenvalues, and the norms of input and output weights divided by the square root of the units:
    the same for a network whose units are renumbered, and of one length for every size. NaN where a
    network has no weights.

    Parameters
    ----------
    seen : Explored
    networks : array of int, optional
        Positions of those that are read; all by default.
    """
    if not seen.has_weights:
        unlike = f" of one layout (architectures: {', '.join(seen.architectures)})"
        raise SolspaceError(
            f"{seen.name} has no weights{unlike if len(seen.architectures) > 1 else ''}; lay "
            "networks out by their features, or by a measure of similarity"
        )
    rows: list[NDArray[np.float64] | None] = []
    for i in range(seen.networks) if networks is None else networks.tolist():
        try:
            weights = seen.weights(i)
        except SolspaceError:
            rows.append(None)
            continue
        recurrent = np.asarray(weights["weight_hh"], float)
        parts = []
        for gate in recurrent:
            parts.append(np.quantile(np.linalg.svd(gate, compute_uv=False), QUANTILES))
            parts.append(np.quantile(np.abs(np.linalg.eigvals(gate)), QUANTILES))
        root = np.sqrt(recurrent.shape[-1])
        more = ("weight_ih", "weight_out", "bias_hh", "bias_ih")
        parts.append(np.array([np.linalg.norm(weights[name]) / root for name in more]))
        rows.append(np.concatenate(parts))
    length = max((len(row) for row in rows if row is not None), default=1)
    return np.array([np.full(length, np.nan) if row is None else row for row in rows])


def lay_out(
    seen: Explored,
    by: str = "features",
    distances: xr.DataArray | None = None,
    *,
    told: Callable[[str], None] | None = None,
) -> Map:
    """Networks of a population on a plane.

    Parameters
    ----------
    seen : Explored
    by : {"features", "features_tsne", "weights", "distances"} or str
        Principal components of standardised features; t-SNE of these; principal components of
        `weight_summary`; multidimensional scaling of distances that are given. Or
        ``"similarity/MEASURE"``, such as ``"similarity/procrustes"``: the same of distances by a
        measure of `solspace.similarity.MEASURES` between up to 150 networks, evenly spread, which
        are run on the task's recorded trials. Of many networks t-SNE and weights lay out some too,
        as ``told`` says; the others are not on the map.
    distances : DataArray (network, network_other), optional
        What `solspace.similarity.pairwise` returns for these networks by a distance. Of
        ``"similarity/MEASURE"`` those of some of the networks, by name; by default computed.
    told : callable (str) -> None, optional
        How far it is, in words, where distances are computed.

    Raises
    ------
    SolspaceError
        Where there are fewer than 6 networks, or what the map is made from is not there; what to
        type is said.

    Examples
    --------
    >>> import solspace
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> mine = {f"n{i}": {k: rng.normal(0, 0.4, s) for k, s in shapes.items()} for i in range(8)}
    >>> ds = solspace.import_networks("interval_reproduction", "vanilla", mine)
    >>> seen = Explored("interval_reproduction/vanilla", {"population": ds})
    >>> lay_out(seen, "weights").places.shape
    (8, 2)
    """
    if by.startswith(SIMILARITY):
        return _by_similarity(seen, by.removeprefix(SIMILARITY), distances, told)
    if by not in METHODS:
        raise SolspaceError(
            f"a map by {by!r}; give one of {', '.join(METHODS)}, or {SIMILARITY}MEASURE"
        )
    if by == "distances":
        return _by_distances(seen, distances)
    what = "weights" if by == "weights" else "features"
    most = LAID_OUT.get(by, seen.networks)
    some = np.arange(seen.networks)
    if most < seen.networks:  # some networks, and all recordings beside them
        beside = seen.recordings & (not seen.recordings.all())
        own = np.flatnonzero(~beside)
        take = np.unique(np.linspace(0, len(own) - 1, min(most, len(own))).round().astype(np.intp))
        some = np.sort(np.concatenate([own[take], np.flatnonzero(beside)]))
    values = weight_summary(seen, some) if by == "weights" else seen.features
    if by != "weights" and most < seen.networks:
        values = values[some]
    here = np.concatenate([np.isfinite(part).any(axis=1) for part in _parts(values)])
    there = some[here]
    # Networks make the map, and recordings are projected onto it.
    recorded = seen.recordings[there]
    makes = ~recorded if not recorded.all() else np.ones(len(there), bool)
    own = np.flatnonzero(makes)
    if len(own) < 6:
        many = "recordings" if recorded.all() else "networks"
        raise SolspaceError(f"{len(own)} {many} of {seen.name} have {what}; a map needs 6")
    if not here.all():
        values = values[here]
    scaled, used, known = _standardised(values, makes)
    if not used.any():
        raise SolspaceError(f"{what} do not differ between the networks of {seen.name}")
    scatter = sum(
        part.T @ part
        for part in (scaled[rows][makes[rows]].astype(float) for rows in _rows(len(scaled)))
    )
    variances, axes = np.linalg.eigh(scatter)
    leading = axes[:, ::-1][:, :2]
    plane = np.zeros((len(there), 2))
    plane[:, : leading.shape[1]] = np.concatenate([part @ leading for part in _parts(scaled)])
    largest = own[np.abs(plane[own]).argmax(axis=0)]
    plane *= np.where(plane[largest, [0, 1]] < 0, -1.0, 1.0)
    share = np.clip(variances[::-1] / variances.sum(), 0, 1)
    names = tuple(f"PC {i + 1} ({s:.0%} of variance)" for i, s in enumerate([*share[:2], 0.0][:2]))
    if by == "features_tsne":
        from solspace.plots.map import map_population

        plane = map_population(values[:, known])[0]
        names = ("t-SNE 1", "t-SNE 2")
    numbers = "features" if what == "features" else "numbers from weights"
    measure = f"distance between {int(used.sum())} standardised {numbers}"
    some_own = slice(None) if len(own) == len(there) else own  # no second copy of many
    said = _told(scaled[some_own], None, plane[some_own], f"{int(used.sum())} {numbers}")
    if most < seen.networks:
        said += f"; {len(own):,} of {seen.networks:,} networks are laid out, evenly chosen"
    if by != "weights":
        said += _told_beside(seen, there, len(own) < len(there))
    return Map(_spread(seen, there, plane), there, (names[0], names[1]), said, measure, scaled)


def _told_beside(seen: Explored, there: NDArray[np.intp], beside: bool) -> str:
    """What to know of recordings on a map of networks by features, and what is not on it."""
    told = ""
    if beside:
        told += (
            f". {int(seen.recordings[there].sum())} recordings, by the features that they share "
            "with networks; their noise moves them, and which solution one is like is what "
            "`solspace locate` says"
        )
    gone = [part for part in getattr(seen, "without_features", []) if seen.features_named]
    for part in gone:
        told += f". {part.name} has no features and is not on it; {part.to_make('features')}"
    return told


def _standardised(
    values: Array, makes: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Columns that are finite throughout and vary, in standard deviations; and which these are.

    Means and deviations are of the rows that make the map.

    In single precision where there are many rows: they are as large as all else that is held.
    """
    finite = np.ones(values.shape[1], bool)
    for part in _parts(values):
        finite &= np.isfinite(part).all(axis=0)
    with np.errstate(invalid="ignore"):  # of columns that are left out
        own = [values[rows][makes[rows]].sum(axis=0) for rows in _rows(len(values))]
        mean = sum(own) / makes.sum()
        squares = (
            ((values[rows][makes[rows]] - mean) ** 2).sum(axis=0) for rows in _rows(len(values))
        )
        spread = np.sqrt(sum(squares) / makes.sum())
    used = finite & (spread > 1e-12)
    kind = np.float32 if len(values) > MANY else np.float64
    scaled = np.empty((len(values), int(used.sum())), kind)
    for rows in _rows(len(values)):
        scaled[rows] = (values[rows][:, used] - mean[used]) / spread[used]
    return scaled, used, finite


def _spread(seen: Explored, there: NDArray[np.intp], plane: Array) -> Array:
    places = np.full((seen.networks, 2), np.nan)
    places[there] = plane
    return places


def read_distances(path: str) -> xr.DataArray:
    """Distances that ``solspace compare STORE --measure MEASURE -o FILE.nc`` kept.

    Raises
    ------
    SolspaceError
        Where there is no such file, or it holds no distances between networks.
    """
    import xarray as xr

    try:
        ds = xr.load_dataset(path, engine="scipy")
    except (OSError, TypeError, ValueError) as error:
        raise SolspaceError(
            f"{path}: cannot be read as pairs of networks ({type(error).__name__}); make it with "
            "`solspace compare STORE --measure procrustes -o FILE.nc`"
        ) from None
    found = [v for v in ds.data_vars.values() if v.dims == ("network", "network_other")]
    if len(found) != 1 or found[0].attrs.get("direction") == "similarity":
        raise SolspaceError(
            f"{path}: holds no distance between networks; make it with `solspace compare STORE "
            "--measure procrustes -o FILE.nc`, or by another measure that is a distance"
        )
    return found[0]


def are_of(distances: xr.DataArray, seen: Explored) -> bool:
    """Whether distances are between the networks of a population, as far as they say."""
    names = [seen.names[i] for i in np.flatnonzero(~seen.recordings)]
    if distances.sizes.get("network") != len(names):
        return False
    if "name" not in distances.coords:
        return True
    return [str(name) for name in distances["name"].values] == names


def _by_distances(seen: Explored, distances: xr.DataArray | None) -> Map:
    from solspace.similarity import embed

    if distances is None:
        raise SolspaceError(
            "no distances are at hand; give some, as in solspace.explore(ds, distances="
            "solspace.similarity.pairwise(solspace.record(ds)))"
        )
    own = np.flatnonzero(~seen.recordings)
    if distances.sizes.get("network") != len(own):
        raise SolspaceError(
            f"distances of {distances.sizes.get('network')} networks for the {len(own)} of "
            f"{seen.name}; give those of the same networks"
        )
    found = embed(distances)
    values = np.asarray(distances.values, float)
    fit = np.flatnonzero(np.isfinite(values).any(axis=1))
    values, there = values[np.ix_(fit, fit)], own[fit]
    plane = np.asarray(found["position"].values, float)
    measure = str(distances.attrs.get("measure", "distance")) + " distance"
    told = _told(None, values, plane, measure)
    told += f", stress {found['stress'].item():.2f}"
    if seen.recordings.any():
        told += ". Recordings are not on it"
    return Map(_spread(seen, there, plane), there, ("MDS 1", "MDS 2"), told, measure, None, values)


def _by_similarity(
    seen: Explored,
    measure: str,
    distances: xr.DataArray | None,
    told: Callable[[str], None] | None,
) -> Map:
    """Networks by a measure of similarity, and recordings where their distances put them."""
    from solspace.explorer.comparing import (
        distances_between,
        recording_distances,
        similarities,
        why_no_recordings,
    )
    from solspace.similarity import embed

    if measure not in (able := similarities(seen)):
        raise SolspaceError(
            f"a map of {seen.name} by the measure {measure!r}; give one of the distances "
            f"{', '.join(able) or '(none: these have no weights to run)'}"
        )
    say = told or (lambda text: None)
    found = distances_between(seen, measure, say) if distances is None else distances
    place = {name: i for i, name in enumerate(seen.names)}
    named = [str(name) for name in found["network"].values]
    if unknown := [name for name in named if name not in place]:
        raise SolspaceError(
            f"distances of {unknown[0]!r}, which {seen.name} does not have; give those between its "
            "networks by name: solspace.similarity.pairwise(activity_of(seen, evenly(seen)))"
        )
    values = np.asarray(found.values, float)
    fit = np.isfinite(values).any(axis=1)
    there = np.array([place[name] for name in named], np.intp)[fit]
    values = values[np.ix_(fit, fit)]
    say(f"{measure}: laying out")
    laid = embed(found)
    plane = np.asarray(laid["position"].values, float)
    words = _told(None, values, plane, f"{measure} distance")
    words += f", stress {laid['stress'].item():.2f}"
    whole = int((~seen.recordings).sum())
    if len(there) < whole:
        words += f". {len(there)} of {whole} networks, evenly spread"
    if seen.recordings.any():
        at: dict[int, Array] = {}
        why = [why_no_recordings(measure)]
        if not why[0]:
            at, why = recording_distances(seen, there, measure, say)
        if at:
            words += (
                f". {len(at)} recordings, by their distances to the networks seen through the same "
                "electrodes, less what noise adds to all of these"
            )
            plane = np.concatenate([plane, [_placed(plane, far) for far in at.values()]])
            values = _with_rows(values, [*at.values()])
            there = np.concatenate([there, np.array([*at], np.intp)])
        words += "".join(f". {reason}" for reason in why)
    return Map(
        _spread(seen, there, plane), there, ("MDS 1", "MDS 2"), words, f"{measure} distance", None,
        values,
    )  # fmt: skip


def _with_rows(values: Array, rows: list[Array]) -> Array:
    """Distances with further rows and columns, which are not compared with one another."""
    n, more = len(values), len(rows)
    out = np.full((n + more, n + more), np.nan)
    out[:n, :n] = values
    out[n:, :n] = rows
    out[:n, n:] = np.array(rows).T
    return out


def _placed(plane: Array, far: Array, steps: int = 200) -> Array:
    """Where a point belongs among points that stay, by its distances less a constant.

    Majorisation of the stress as in `solspace.similarity.embed`, of the one point; what noise adds
    to all distances is the additive constant that fits best (Borg & Groenen 2005, chapter 9).

    Parameters
    ----------
    plane : array (network, 2)
    far : array (network,)
        NaN where a distance is not known.
    """
    known = np.isfinite(far)
    points, far = plane[known], far[known]
    at = points[np.argsort(far, kind="stable")[:5]].mean(axis=0)
    for _ in range(steps):
        away = at - points
        now = np.linalg.norm(away, axis=1)
        constant = max(0.0, float((far - now).mean()))
        wanted = np.maximum(far - constant, 0.0)
        unit = away / np.maximum(now, 1e-12)[:, None]
        at = (points + wanted[:, None] * unit).mean(axis=0)
    return np.asarray(at)


def _told(vectors: Array | None, distances: Array | None, plane: Array, what: str) -> str:
    judged = np.unique(np.linspace(0, len(plane) - 1, min(JUDGED, len(plane))).astype(int))
    if distances is None:
        assert vectors is not None
        far = _between(vectors[judged].astype(float))
    else:
        far = distances[np.ix_(judged, judged)]
    trust, whole, kept, k = faithfulness(far, _between(plane[judged].astype(float)))
    of = "" if len(judged) == len(plane) else f" among {len(judged):,} of {len(plane):,} networks"
    return (
        f"{what}: trustworthiness {trust:.2f}, continuity {whole:.2f}, {kept:.0%} of the "
        f"{k} nearest networks kept{of}"
    )


def _between(vectors: Array) -> Array:
    squares = (vectors**2).sum(axis=1)
    far = squares[:, None] + squares - 2 * vectors @ vectors.T
    return np.asarray(np.sqrt(np.maximum(far, 0)))
