"""Networks on a plane, how faithful it is, and which are nearest before they are laid out."""

from __future__ import annotations

from collections.abc import Iterator
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


def _parts(values: Array) -> Iterator[Array]:
    """Some rows at a time."""
    for start in range(0, len(values), ROWS):
        yield values[start : start + ROWS]


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
    rows: list[NDArray[np.float64] | None] = []
    for i in range(seen.networks) if networks is None else networks.tolist():
        try:
            weights = seen.weights(i)
        except SolspaceError:
            if "weight_hh" not in seen.ds.variables:
                raise
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


def lay_out(seen: Explored, by: str = "features", distances: xr.DataArray | None = None) -> Map:
    """Networks of a population on a plane.

    Parameters
    ----------
    seen : Explored
    by : {"features", "features_tsne", "weights", "distances"}
        Principal components of standardised features; t-SNE of these; principal components of
        `weight_summary`; multidimensional scaling of distances that are given. Of many networks
        t-SNE and weights lay out some, evenly from the first to the last, as ``told`` says; the
        others are not on the map.
    distances : DataArray (network, network_other), optional
        What `solspace.similarity.pairwise` returns for these networks by a distance.

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
    if by not in METHODS:
        raise SolspaceError(f"a map by {by!r}; give one of {', '.join(METHODS)}")
    if by == "distances":
        return _by_distances(seen, distances)
    what = "weights" if by == "weights" else "features"
    most = LAID_OUT.get(by, seen.networks)
    some = np.arange(seen.networks)
    if most < seen.networks:
        some = np.unique(np.linspace(0, seen.networks - 1, most).round().astype(np.intp))
    values = weight_summary(seen, some) if by == "weights" else seen.features
    if by != "weights" and most < seen.networks:
        values = values[some]
    here = np.concatenate([np.isfinite(part).any(axis=1) for part in _parts(values)])
    there = some[here]
    if len(there) < 6:
        raise SolspaceError(f"{len(there)} networks of {seen.name} have {what}; a map needs 6")
    if not here.all():
        values = values[here]
    scaled, used, known = _standardised(values)
    if not used.any():
        raise SolspaceError(f"{what} do not differ between the networks of {seen.name}")
    scatter = sum(part.T @ part for part in (p.astype(float) for p in _parts(scaled)))
    variances, axes = np.linalg.eigh(scatter)
    leading = axes[:, ::-1][:, :2]
    plane = np.zeros((len(there), 2))
    plane[:, : leading.shape[1]] = np.concatenate([part @ leading for part in _parts(scaled)])
    plane *= np.where(plane[np.abs(plane).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    share = np.clip(variances[::-1] / variances.sum(), 0, 1)
    names = tuple(f"PC {i + 1} ({s:.0%} of variance)" for i, s in enumerate([*share[:2], 0.0][:2]))
    if by == "features_tsne":
        from solspace.plots.map import map_population

        plane = map_population(values[:, known])[0]
        names = ("t-SNE 1", "t-SNE 2")
    numbers = "features" if what == "features" else "numbers from weights"
    measure = f"distance between {int(used.sum())} standardised {numbers}"
    told = _told(scaled, None, plane, f"{int(used.sum())} {numbers}")
    if most < seen.networks:
        told += f"; {len(some):,} of {seen.networks:,} networks are laid out, evenly chosen"
    return Map(_spread(seen, there, plane), there, (names[0], names[1]), told, measure, scaled)


def _standardised(values: Array) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Columns that are finite throughout and vary, in standard deviations; and which these are.

    In single precision where there are many rows: they are as large as all else that is held.
    """
    finite = np.ones(values.shape[1], bool)
    for part in _parts(values):
        finite &= np.isfinite(part).all(axis=0)
    with np.errstate(invalid="ignore"):  # of columns that are left out
        mean = sum(part.sum(axis=0) for part in _parts(values)) / len(values)
        square = sum(((part - mean) ** 2).sum(axis=0) for part in _parts(values))
    spread = np.sqrt(square / len(values))
    used = finite & (spread > 1e-12)
    kind = np.float32 if len(values) > MANY else np.float64
    scaled = np.empty((len(values), int(used.sum())), kind)
    for start in range(0, len(values), ROWS):
        part = values[start : start + ROWS, used]
        scaled[start : start + ROWS] = (part - mean[used]) / spread[used]
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
    if distances.sizes.get("network") != seen.networks:
        return False
    if "name" not in distances.coords:
        return True
    return [str(name) for name in distances["name"].values] == seen.names


def _by_distances(seen: Explored, distances: xr.DataArray | None) -> Map:
    from solspace.similarity import embed

    if distances is None:
        raise SolspaceError(
            "no distances are at hand; give some, as in solspace.explore(ds, distances="
            "solspace.similarity.pairwise(solspace.record(ds)))"
        )
    if distances.sizes.get("network") != seen.networks:
        raise SolspaceError(
            f"distances of {distances.sizes.get('network')} networks for the {seen.networks} of "
            f"{seen.name}; give those of the same networks"
        )
    found = embed(distances)
    values = np.asarray(distances.values, float)
    there = np.flatnonzero(np.isfinite(values).any(axis=1))
    values = values[np.ix_(there, there)]
    plane = np.asarray(found["position"].values, float)
    measure = str(distances.attrs.get("measure", "distance")) + " distance"
    told = _told(None, values, plane, measure)
    told += f", stress {found['stress'].item():.2f}"
    return Map(_spread(seen, there, plane), there, ("MDS 1", "MDS 2"), told, measure, None, values)


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
