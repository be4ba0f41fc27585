"""A population on one plane, by its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.plots.backends import both
from solspace.plots.style import (
    COLUMN,
    FONT,
    GREY,
    PARAMETER_COLORS,
    Key,
    Scale,
    color_scale,
    holoviews,
    legend,
    place,
    solution_colors,
    solution_words,
    styled,
)
from solspace.plots.trajectories import shades_of

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["map_population", "plot_map"]

METHODS = {"tsne": "t-SNE", "pca": "PCA"}
_NEIGHBORS = 12  # of which trustworthiness tells whether the map invents them
_MOST = 8  # classes that the key names; the others are grey


def map_population(
    features: NDArray[Any], method: str = "tsne"
) -> tuple[NDArray[np.float64], float, int, int]:
    """Networks on a plane by their features, each feature in units of its standard deviation.

    Parameters
    ----------
    features : array (network, feature)
        Columns with a NaN, and those that are the same for all, are left out.
    method : {"tsne", "pca"}
        t-SNE (van der Maaten & Hinton 2008) from the first two principal components, or these.

    Returns
    -------
    plane : array (network, 2)
    trustworthiness : float
        Share of neighbours in the map that are neighbours in the features, weighted by rank
        (Venna & Kaski 2001): 1 where none is invented.
    neighbors, used : int
        Of how many neighbours that is, and how many features were used.

    Examples
    --------
    >>> two = np.random.default_rng(0).normal(size=(20, 2))
    >>> plane, trust, neighbors, used = map_population(two, "pca")
    >>> plane.shape, round(trust, 3), used
    ((20, 2), 1.0, 2)
    """
    try:
        from sklearn.manifold import TSNE, trustworthiness
    except ImportError:
        raise SolspaceError(
            "a map needs scikit-learn, which is not installed; type `pip install 'solspace[learn]'`"
        ) from None
    if method not in METHODS:
        raise SolspaceError(f"no method {method!r}; methods: {', '.join(METHODS)}")
    n = len(features)
    if n < 6:
        raise SolspaceError(f"{n} networks with features; a map needs 6 or more")
    values = np.asarray(features, float)
    values = values[:, np.isfinite(values).all(axis=0)]
    spread = values.std(axis=0) if values.size else np.zeros(0)
    used = spread > 1e-12
    if not used.any():
        raise SolspaceError("no feature is known of all networks and differs between them")
    scaled = (values[:, used] - values[:, used].mean(axis=0)) / spread[used]
    left, size, _ = np.linalg.svd(scaled, full_matrices=False)
    plane = np.zeros((n, 2))
    two = min(2, len(size))
    plane[:, :two] = left[:, :two] * size[:two]
    # Of either sign of a component, that in which the largest value is positive.
    plane *= np.where(plane[np.abs(plane).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    if method == "tsne":
        start = plane / max(plane[:, 0].std(), 1e-12) * 1e-4
        plane = TSNE(
            perplexity=min(30.0, (n - 1) / 3), init=start.astype(np.float32), random_state=0
        ).fit_transform(scaled)
    neighbors = min(_NEIGHBORS, (n - 1) // 2)
    trust = float(trustworthiness(scaled, plane, n_neighbors=neighbors))
    return np.asarray(plane, float), trust, neighbors, int(used.sum())


@styled
def plot_map(
    population: xr.Dataset,
    by: str = "solution_name",
    *,
    method: str = "tsne",
    distances: xr.DataArray | None = None,
) -> hv.Overlay:
    """Networks of a population on a plane, near each other where they are alike.

    Alike by their features, or by any distance between them. The title says how much of the
    neighbourhoods is to be trusted: the trustworthiness of the map, 1 where every neighbour in it
    is one in the features, or by the distance. Distances between far groups, and how dense these
    are, mean nothing in a map by t-SNE; in a map by a distance the stress, beside it, is the share
    of the distances that the plane does not show.

    Parameters
    ----------
    population : Dataset
        With ``features``, or without where ``distances`` are given; networks without them are left
        out.
    by : str
        What colours the networks: a label (``solution_name``, ``graph_key``), a number of each
        (``hidden_size``, ``loss``), or a feature by its name.
    method : {"tsne", "pca"}
        Of a map by features.
    distances : DataArray (network, network_other), optional
        What `solspace.similarity.pairwise` returns for the population by a distance; networks are
        then laid out by `solspace.similarity.embed`.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where there are no features or distances, fewer than 6 networks, nothing of that name, or
        distances of other networks.

    Examples
    --------
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> ds = xr.Dataset({"features": (("network", "feature"), rng.normal(size=(12, 4)))},
    ...                 coords={"feature": ["a", "b", "c", "d"],
    ...                         "solution_name": ("network", ["x", "y"] * 6)})
    >>> type(plot_map(ds, "b", method="pca")).__name__
    'Overlay'
    """
    if distances is not None:
        plane, there, told = _by_distance(population, distances)
        dims = [f"MDS {i}" for i in (1, 2)]
    else:
        plane, there, told = _by_features(population, method)
        dims = [f"{METHODS[method]} {i}" for i in (1, 2)]
    values = _values(population, by)[there]
    hv = holoviews()
    parts: list[Any] = []
    keys: list[Key] = []
    scale = None
    if values.dtype.kind in "iufb" and by != "solution":
        number = values.astype(float)
        known = np.isfinite(number)
        if not known.any():
            raise SolspaceError(f"no network has a value of {by!r}")
        # Few of these are apart from others by so much that these would all have one colour.
        low, high = np.nanpercentile(number, [2, 98])
        if low == high:
            low, high = float(np.nanmin(number)), float(np.nanmax(number))
        colors = np.array(
            shades_of(np.concatenate([[low, high], np.clip(number[known], low, high)]))
        )
        for color in dict.fromkeys(colors[2:].tolist()):
            spots = plane[known][colors[2:] == color]
            parts.append(_dots(spots, dims, color))
        if not known.all():
            parts.insert(0, _dots(plane[~known], dims, GREY))
            keys.append(Key("not known", GREY, marker="o", size=3.5))
        if low < high:
            scale = Scale(_label(population, by), float(low), float(high), PARAMETER_COLORS)
    else:
        names = np.array([str(v) for v in values])
        counts = {n: int((names == n).sum()) for n in dict.fromkeys(names.tolist())}
        shown = sorted((n for n in counts if n), key=lambda n: (-counts[n], n))[:_MOST]
        colors_of = solution_colors(shown)
        rest = ~np.isin(names, shown)
        if rest.any():
            parts.append(_dots(plane[rest], dims, GREY))
        for name in shown:
            parts.append(_dots(plane[names == name], dims, colors_of[name]))
            words = "\n".join(solution_words(name[:40]))
            keys.append(Key(f"{words} ({counts[name]})", colors_of[name], marker="o", size=4))
        if rest.any():
            keys.append(Key(f"others ({int(rest.sum())})", GREY, marker="o", size=4))
    picture = hv.Overlay(parts).opts(
        title=told,
        fig_inches=(COLUMN, 2.5),
        xlabel=dims[0],
        ylabel=dims[1],
        xticks=0,
        yticks=0,
        padding=0.05,
        fontsize=FONT | {"title": 7},
        **({"aspect": "equal"} if distances is not None else {}),
        show_legend=False,
        hooks=[_finish(keys, scale, equal=distances is not None)],
        backend="matplotlib",
    )
    return both(picture, keys, [scale] if scale else [])


def _by_features(
    population: xr.Dataset, method: str
) -> tuple[NDArray[np.float64], NDArray[np.intp], str]:
    """Places, of which networks they are, and how faithful they are."""
    if "features" not in population.variables:
        raise SolspaceError(f"the dataset has no 'features'; {how_to_make('features')}")
    features = population["features"].transpose("network", "feature").values
    there = np.flatnonzero(np.isfinite(features).any(axis=1))
    plane, trust, neighbors, used = map_population(features[there], method)
    return plane, there, f"{used} features, trustworthiness {trust:.2f} ({neighbors} neighbours)"


def _by_distance(
    population: xr.Dataset, distances: xr.DataArray
) -> tuple[NDArray[np.float64], NDArray[np.intp], str]:
    from solspace.similarity import embed

    places = embed(distances)
    index = population.indexes.get("network")
    if index is None or not index.is_unique:
        raise SolspaceError(
            "the population's networks are not told apart by a coordinate 'network'; give the "
            "population that the distances are of"
        )
    there = index.get_indexer(places["network"].values)
    if (there < 0).any():
        raise SolspaceError(
            f"{int((there < 0).sum())} networks with distances are not in the population, such as "
            f"{places['network'].values[there < 0][0]!r}; give the population that they are of"
        )
    measure = places.attrs["measure"] or "distances"
    told = (
        f"{measure}: stress {places['stress'].item():.2f}, trustworthiness "
        f"{places['trustworthiness'].item():.2f} ({places.attrs['neighbors']} neighbours)"
    )
    return places["position"].values, there, told


def _dots(spots: NDArray[Any], dims: list[str], color: str) -> Any:
    return holoviews().Points(spots, dims).opts(
        color=color, edgecolor="white", linewidth=0.3, s=11, backend="matplotlib"
    )  # fmt: skip


def _values(population: xr.Dataset, by: str) -> NDArray[Any]:
    """What colours each network."""
    if by in population.variables and population[by].dims == ("network",):
        return np.asarray(population[by].values)
    names = [str(n) for n in population["feature"].values] if "feature" in population else []
    if by in names:
        features = population["features"].transpose("network", "feature")
        return np.asarray(features.values[:, names.index(by)])
    known = sorted(str(n) for n, v in population.variables.items() if v.dims == ("network",))
    raise SolspaceError(
        f"nothing of each network is named {by!r}; give one of {', '.join(known)}, or one of its "
        f"{len(names)} features"
    )


def _label(population: xr.Dataset, by: str) -> str:
    words = by.replace("_", " ")
    if by in population.variables:
        unit = str(population[by].attrs.get("units", "1"))
        return words if unit == "1" else f"{words} ({unit})"
    return words


def _one_scale(axes: Any) -> None:
    """As much of either axis as an inch of it shows of the other: distances are read off."""
    box = axes.get_window_extent()
    limits = np.array([axes.get_xlim(), axes.get_ylim()])
    lengths = np.array([box.width, box.height])
    half = (np.ptp(limits, axis=1) / lengths).max() * lengths / 2
    middle = limits.mean(axis=1)
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])


def _finish(keys: list[Key], scale: Scale | None, *, equal: bool) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, (0.07, 0.1, 0.51, 0.8))
        if equal:
            _one_scale(axes)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_ha("left")
        axes.title.set_x(0.0)
        if scale is not None:
            color_scale(axes, scale, (1.06, 0.3, 0.05, 0.65))
        if keys:
            where = {"loc": "lower left", "bbox_to_anchor": (1.02, 0.0)} if scale else {}
            legend(axes, keys, **where)

    return hook
