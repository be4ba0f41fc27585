"""A plane through the weights of three networks: loss over it, and bifurcations followed on it.

Curves are followed by pseudo-arclength continuation (Keller 1977): a step along the tangent, then
Newton's method across it. On a curve a fixed point x of W(a, b) keeps an eigenvalue at zero
(saddle-node; at the origin, by the symmetry x -> -x, a pitchfork) or a pair on the imaginary axis
(Hopf). Curves away from the origin begin where a scan of fixed points finds them: for every state
x there is one place (a, b) of the plane where x is a fixed point, since W enters linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.two_neuron.dynamics import TARGET, as_weights, loss_of
from solspace.two_neuron.linear import linear_final_states

__all__ = [
    "BIFURCATIONS",
    "Curve",
    "Plane",
    "bifurcations",
    "explained_variance",
    "linear_solutions_on",
    "plane_through",
    "slice_of",
]

BIFURCATIONS = ("hopf", "pitchfork", "saddle_node")

Array = NDArray[np.float64]


class Plane(NamedTuple):
    """W(a, b) = center + a axis[0] + b axis[1], the axes orthonormal.

    Attributes
    ----------
    center : array (2, 2)
    axes : array (2, 2, 2)
        (axis, row, column)
    places : array (3, 2)
        Where the three networks are.
    """

    center: Array
    axes: Array
    places: Array

    def weights(self, place: ArrayLike) -> Array:
        """Connectivity at places (..., 2), shaped (..., 2, 2)."""
        return np.asarray(self.center + np.tensordot(np.asarray(place, float), self.axes, 1))

    def place(self, weights: ArrayLike) -> Array:
        """Where networks (..., 2, 2) come down on the plane, (..., 2)."""
        apart = np.asarray(weights, float) - self.center
        return np.asarray(np.einsum("...ij,kij->...k", apart, self.axes))


class Curve(NamedTuple):
    """A bifurcation followed on a plane.

    Attributes
    ----------
    kind : str
        One of `BIFURCATIONS`.
    at_origin : bool
        Of the fixed point at the origin.
    places : array (point, 2)
    states : array (point, 2)
        The fixed point.
    """

    kind: str
    at_origin: bool
    places: Array
    states: Array


def plane_through(weights: ArrayLike) -> Plane:
    """The plane through three networks, its centre between them, axis one from first to second.

    Parameters
    ----------
    weights : array (3, 2, 2)

    Raises
    ------
    SolspaceError
        Where there are not three, or they are on one line.

    Examples
    --------
    >>> plane = plane_through([np.eye(2), 2 * np.eye(2), np.ones((2, 2))])
    >>> np.allclose(plane.weights(plane.places[1]), 2 * np.eye(2))
    True
    """
    w = as_weights(weights)
    if len(w) != 3:
        raise SolspaceError(f"{len(w)} networks; give the three that the plane goes through")
    center = w.mean(axis=0)
    first = (w[1] - w[0]).ravel()
    second = (w[2] - w[0]).ravel()
    size = np.linalg.norm(first)
    if size > 0:
        first = first / size
        second = second - first * (first @ second)
    if size < 1e-9 or np.linalg.norm(second) < 1e-9:
        raise SolspaceError("the three networks are on one line; give three that span a plane")
    axes = np.stack([first, second / np.linalg.norm(second)]).reshape(2, 2, 2)
    return Plane(center, axes, np.einsum("nij,kij->nk", w - center, axes))


def explained_variance(plane: Plane, weights: ArrayLike) -> float:
    """Share of the variance of networks (network, 2, 2) that is along the plane.

    Examples
    --------
    >>> plane = plane_through([np.eye(2), 2 * np.eye(2), np.ones((2, 2))])
    >>> round(explained_variance(plane, [np.eye(2), 3 * np.eye(2)]), 9)
    1.0
    """
    w = as_weights(weights)
    spread = w - w.mean(axis=0)
    along = np.einsum("nij,kij->nk", spread, plane.axes)
    return float((along**2).sum() / (spread**2).sum())


# --------------------------------------------------------------------------- following curves


class _Test(NamedTuple):
    """What is zero on a curve, and its derivative by (x1, x2, a, b)."""

    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


def _parts(plane: Plane, u: Array) -> tuple[Array, Array, Array, Array]:
    w = plane.weights(u[2:])
    y = np.tanh(u[:2])
    slope = 1 - y**2
    return w, y, slope, w * slope - np.eye(2)


def _fixed_point_test(plane: Plane, kind: str) -> _Test:
    """Fixed point and eigenvalue condition: 3 equations of (x1, x2, a, b)."""

    def value(u: Array) -> Array:
        w, y, _, j = _parts(plane, u)
        test = np.trace(j) if kind == "hopf" else j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]
        return np.array([*(w @ y - u[:2]), test])

    def derivative(u: Array) -> Array:
        w, y, slope, j = _parts(plane, u)
        # d det(J) = trace(adj(J) dJ)
        adjugate = np.array([[j[1, 1], -j[0, 1]], [-j[1, 0], j[0, 0]]])
        weight = np.eye(2) if kind == "hopf" else adjugate
        out = np.empty((3, 4))
        out[:2, :2] = j
        out[:2, 2:] = (plane.axes @ y).T
        for k in range(2):
            change = np.zeros((2, 2))
            change[:, k] = w[:, k] * (-2 * y[k] * slope[k])
            out[2, k] = np.trace(weight @ change)
            out[2, 2 + k] = np.trace(weight @ (plane.axes[k] * slope))
        return out

    return _Test(value, derivative)


def _origin_test(plane: Plane, kind: str) -> _Test:
    """The same with the fixed point held at the origin: 1 equation of (a, b)."""
    full = _fixed_point_test(plane, kind)

    def lift(u: Array) -> Array:
        return np.array([0.0, 0.0, *u])

    return _Test(
        lambda u: full.value(lift(u))[2:],
        lambda u: full.derivative(lift(u))[2:, 2:],
    )


def _tangent(derivative: Array, before: Array | None) -> Array:
    along = np.linalg.svd(derivative)[2][-1]
    return -along if before is not None and along @ before < 0 else along


def _correct(test: _Test, u: Array, along: Array) -> Array | None:
    """Newton's method in the hyperplane across ``along``; None where it does not settle."""
    start = u
    for _ in range(8):
        residual = np.append(test.value(u), along @ (u - start))
        matrix = np.vstack([test.derivative(u), along])
        try:
            step = np.linalg.solve(matrix, residual)
        except np.linalg.LinAlgError:
            return None
        u = u - step
        if np.abs(step).max() < 1e-11:
            return u if np.abs(test.value(u)).max() < 1e-10 else None
        if np.abs(step).max() > 1:
            return None
    return None


def follow(
    test: _Test, start: Array, inside: Callable[[Array], bool], *, step: float = 0.02
) -> Array:
    """Points of the curve through ``start``, both ways, until it leaves or closes, (point, n)."""
    halves = []
    for direction in (1.0, -1.0):
        u = start
        along = direction * _tangent(test.derivative(u), None)
        half, h = [u], step
        while len(half) < 5000:
            following = _correct(test, u + h * along, along)
            turned = None
            if following is not None:
                turned = _tangent(test.derivative(following), along)
            # Too far or round too sharp a bend may be another curve.
            if following is None or turned is None or turned @ along < 0.95:
                h /= 2
                if h < 1e-6:
                    break
                continue
            u, along = following, turned
            if not inside(u):
                break
            half.append(u)
            if len(half) > 10 and np.linalg.norm(u - start) < 0.7 * h:
                half.append(start)
                return np.array(half)
            h = min(step, 1.5 * h)
        halves.append(half)
    return np.array(halves[1][:0:-1] + halves[0])


def bifurcations(plane: Plane, window: Sequence[float], *, reach: float = 6.0) -> list[Curve]:
    """Hopf, pitchfork and saddle-node curves on a plane.

    Parameters
    ----------
    plane : Plane
    window : sequence of 4 floats
        Smallest and largest a, smallest and largest b.
    reach : float
        Fixed points are looked for up to this activity.

    Examples
    --------
    >>> plane = plane_through([[[2, -1], [1, 2]], [[0, 0], [0, 0]], [[2, 1], [1, 0]]])
    >>> sorted({curve.kind for curve in bifurcations(plane, (-1, 1, -1, 1))})
    ['hopf', 'pitchfork', 'saddle_node']
    """
    low, high = np.array([window[0], window[2]]), np.array([window[1], window[3]])

    def within(place: Array) -> bool:
        return bool((place >= low).all() and (place <= high).all())

    curves: list[Curve] = []
    for kind, name in (("hopf", "hopf"), ("zero", "pitchfork")):
        test = _origin_test(plane, kind)
        for seed in _origin_seeds(plane, kind, low, high):
            if _known(seed, [c.places for c in curves if c.kind == name]):
                continue
            places = follow(test, seed, _inside_origin(plane, kind, within))
            if len(places) > 1:
                curves.append(Curve(name, True, places, np.zeros_like(places)))
    for kind, name in (("hopf", "hopf"), ("zero", "saddle_node")):
        test = _fixed_point_test(plane, kind)
        found: list[Array] = []
        for seed in _state_seeds(plane, kind, low, high, reach):
            if _known(seed, found):
                continue
            settled = _correct(test, seed, _tangent(test.derivative(seed), None))
            inside = _inside_state(plane, kind, within)
            if settled is None or not inside(settled) or _known(settled, found):
                continue
            curve = follow(test, settled, inside)
            found.append(curve)
            if len(curve) > 2:
                curves.append(Curve(name, False, curve[:, 2:], curve[:, :2]))
    return curves


def _known(u: Array, curves: Sequence[Array], near: float = 0.03) -> bool:
    """Whether a point, or its mirror image in the state, is on a curve."""
    mirror = np.append(-u[:-2], u[-2:])
    return any(
        min(
            np.linalg.norm(curve - u, axis=1).min(),
            np.linalg.norm(curve - mirror, axis=1).min(),
        )
        < near
        for curve in curves
    )


def _determinant(w: Array) -> Array:
    return np.asarray(w[..., 0, 0] * w[..., 1, 1] - w[..., 0, 1] * w[..., 1, 0])


def _inside_origin(
    plane: Plane, kind: str, within: Callable[[Array], bool]
) -> Callable[[Array], bool]:
    def inside(u: Array) -> bool:
        # A zero trace is a Hopf bifurcation only where the eigenvalues are a pair.
        return within(u) and (
            kind != "hopf" or float(_determinant(plane.weights(u) - np.eye(2))) > 0
        )

    return inside


def _inside_state(
    plane: Plane, kind: str, within: Callable[[Array], bool]
) -> Callable[[Array], bool]:
    def inside(u: Array) -> bool:
        # At the origin the branch meets the pitchfork or the origin's Hopf curve.
        if not within(u[2:]) or np.abs(u[:2]).max() < 0.02:
            return False
        return kind != "hopf" or float(_determinant(_parts(plane, u)[3])) > 0

    return inside


def _crossings(
    values: Array, usable: NDArray[np.bool_]
) -> list[tuple[tuple[int, int], int, float]]:
    """Edges of a grid over which values change sign: index, axis, where on the edge."""
    out = []
    for axis in (0, 1):
        before = np.take(values, range(values.shape[axis] - 1), axis)
        after = np.take(values, range(1, values.shape[axis]), axis)
        both = np.take(usable, range(values.shape[axis] - 1), axis) & np.take(
            usable, range(1, values.shape[axis]), axis
        )
        for i, j in np.argwhere(both & (before * after < 0)):
            share = before[i, j] / (before[i, j] - after[i, j])
            out.append(((int(i), int(j)), axis, float(share)))
    return out


def _between(
    grid: tuple[Array, Array], index: tuple[int, int], axis: int, share: float
) -> tuple[float, float]:
    i, j = index
    x, y = float(grid[0][i]), float(grid[1][j])
    if axis == 0:
        return x + share * float(grid[0][i + 1] - grid[0][i]), y
    return x, y + share * float(grid[1][j + 1] - grid[1][j])


def _origin_seeds(plane: Plane, kind: str, low: Array, high: Array) -> list[Array]:
    grid = (np.linspace(low[0], high[0], 81), np.linspace(low[1], high[1], 81))
    places = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
    j = plane.weights(places) - np.eye(2)
    det, trace = _determinant(j), np.trace(j, axis1=-2, axis2=-1)
    values = trace if kind == "hopf" else det
    usable: NDArray[np.bool_] = np.ones(det.shape, bool)
    if kind == "hopf":
        usable = np.asarray(det > 0, dtype=bool)
    seeds = [np.array(_between(grid, *crossing)) for crossing in _crossings(values, usable)]
    test = _origin_test(plane, kind)
    settled = [_correct(test, seed, _tangent(test.derivative(seed), None)) for seed in seeds]
    return [seed for seed in settled if seed is not None]


def _state_seeds(plane: Plane, kind: str, low: Array, high: Array, reach: float) -> list[Array]:
    """Where on a grid of states the test changes sign, as (x1, x2, a, b)."""
    # Half the plane is enough: the other half is its mirror image.
    grid = (np.linspace(0.013, reach, 240), np.linspace(-reach, reach, 481) + 0.007)
    x = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
    places = _place_of_state(plane, x)
    y = np.tanh(x)
    j = plane.weights(places) * (1 - y**2)[..., None, :] - np.eye(2)
    det, trace = _determinant(j), np.trace(j, axis1=-2, axis2=-1)
    values = trace if kind == "hopf" else det
    usable = np.asarray(((places > low - 0.1) & (places < high + 0.1)).all(axis=-1))
    if kind == "hopf":
        usable &= det > 0
    seeds = []
    for crossing in _crossings(values, usable):
        state = np.array(_between(grid, *crossing))
        seeds.append(np.append(state, _place_of_state(plane, state)))
    return seeds


def _place_of_state(plane: Plane, x: Array) -> Array:
    """The place (a, b) where a state is a fixed point: W(a, b) tanh(x) = x is linear in it."""
    y = np.tanh(x)
    columns = np.einsum("kij,...j->...ik", plane.axes, y)
    det = _determinant(columns)
    missing = x - y @ plane.center.T
    with np.errstate(divide="ignore", invalid="ignore"):
        a = (missing[..., 0] * columns[..., 1, 1] - missing[..., 1] * columns[..., 0, 1]) / det
        b = (missing[..., 1] * columns[..., 0, 0] - missing[..., 0] * columns[..., 1, 0]) / det
    return np.stack([a, b], axis=-1)


# --------------------------------------------------------------------------- the slice as a Dataset


def linear_solutions_on(plane: Plane, window: Sequence[float]) -> Array:
    """Where on the plane the linear network solves the task, (solution, 2).

    The sheets of solutions (see `solspace.two_neuron.linear`) have two dimensions of four, and
    meet a plane in single points.
    """
    grid = [np.linspace(window[i], window[i + 1], 41) for i in (0, 2)]
    place = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, 2)
    # Newton's method from every place at once, with short steps far from a solution.
    for _ in range(60):
        with np.errstate(all="ignore"):
            w = plane.weights(place)
            here = linear_final_states(w)
            columns = [
                (linear_final_states(plane.weights(place + 1e-6 * np.eye(2)[k])) - here) / 1e-6
                for k in range(2)
            ]
            matrix = np.stack(columns, axis=-1)
            residual = here - TARGET
            det = _determinant(matrix)
            step = np.stack(
                [
                    (residual[:, 0] * matrix[:, 1, 1] - residual[:, 1] * matrix[:, 0, 1]) / det,
                    (residual[:, 1] * matrix[:, 0, 0] - residual[:, 0] * matrix[:, 1, 0]) / det,
                ],
                axis=-1,
            )
            length = np.linalg.norm(step, axis=1, keepdims=True)
            place = place - step * np.minimum(1, 0.1 / length)
        place = place[np.isfinite(place).all(axis=1) & (np.abs(place) < 50).all(axis=1)]
    off = np.abs(linear_final_states(plane.weights(place)) - TARGET).max(axis=1)
    low, high = np.array([window[0], window[2]]), np.array([window[1], window[3]])
    good = place[(off < 1e-8) & (place >= low).all(axis=1) & (place <= high).all(axis=1)]
    kept: list[Array] = []
    for one in good[np.lexsort(good.T)]:
        if all(np.linalg.norm(one - other) > 1e-4 for other in kept):
            kept.append(one)
    return np.array(kept).reshape(-1, 2)


def slice_of(
    plane: Plane, *, window: Sequence[float] | None = None, resolution: int = 161
) -> xr.Dataset:
    """Loss over a plane, bifurcation curves on it, and solutions of the linear network on it.

    Parameters
    ----------
    plane : Plane
    window : sequence of 4 floats, optional
        Smallest and largest a, smallest and largest b; by default the three networks with space
        around them.
    resolution : int
        Places along each axis.

    Returns
    -------
    Dataset
        ``loss`` (b, a); ``bifurcation_a``, ``bifurcation_b``, ``bifurcation_state`` (curve,
        point[, unit]), NaN past the end of a curve, and ``bifurcation_kind`` (curve) with
        ``flag_meanings``; ``linear_a``, ``linear_b`` (linear_solution); ``representative_a``,
        ``representative_b`` (representative); ``center`` and ``axes`` that make weights of a, b.

    Raises
    ------
    SolspaceError
        For an empty window or a resolution under 2.

    Examples
    --------
    >>> plane = plane_through([[[2, -1], [1, 2]], [[0, 0], [0, 0]], [[2, 1], [1, 0]]])
    >>> ds = slice_of(plane, window=(-1, 1, -1, 1), resolution=5)
    >>> ds.loss.dims, ds.bifurcation_kind.attrs["flag_meanings"]
    (('b', 'a'), 'hopf pitchfork saddle_node')
    """
    if window is None:
        margin = np.ptp(plane.places, axis=0) * 0.45 + 0.4
        low, high = plane.places.min(axis=0) - margin, plane.places.max(axis=0) + margin
        window = (low[0], high[0], low[1], high[1])
    if len(window) != 4 or not (window[0] < window[1] and window[2] < window[3]) or resolution < 2:
        raise SolspaceError(
            f"window {tuple(window)}, resolution {resolution}; give smallest and largest a, "
            "smallest and largest b, and 2 places or more"
        )
    a = np.linspace(window[0], window[1], resolution)
    b = np.linspace(window[2], window[3], resolution)
    places = np.stack(np.meshgrid(a, b), axis=-1)
    loss = loss_of(plane.weights(places).reshape(-1, 2, 2)).reshape(resolution, resolution)
    curves = bifurcations(plane, window)
    longest = max((len(c.places) for c in curves), default=0)
    at = np.full((len(curves), longest, 2), np.nan)
    state = np.full((len(curves), longest, 2), np.nan)
    for i, curve in enumerate(curves):
        at[i, : len(curve.places)], state[i, : len(curve.places)] = curve.places, curve.states
    linear = linear_solutions_on(plane, window)
    flags = {
        "flag_values": list(range(len(BIFURCATIONS))),
        "flag_meanings": " ".join(BIFURCATIONS),
        "long_name": "bifurcation",
    }
    along = {"long_name": "place along the first axis"}
    across = {"long_name": "place along the second axis"}
    return xr.Dataset(
        {
            "loss": (("b", "a"), loss, {"long_name": "loss, 1/2 |x(T) - target|^2"}),
            "bifurcation_a": (("curve", "point"), at[..., 0], along),
            "bifurcation_b": (("curve", "point"), at[..., 1], across),
            "bifurcation_state": (("curve", "point", "unit"), state, {"long_name": "fixed point"}),
            "bifurcation_kind": (
                "curve",
                np.array([BIFURCATIONS.index(c.kind) for c in curves], np.int8),
                flags,
            ),
            "linear_a": ("linear_solution", linear[:, 0], along),
            "linear_b": ("linear_solution", linear[:, 1], across),
            "representative_a": ("representative", plane.places[:, 0], along),
            "representative_b": ("representative", plane.places[:, 1], across),
            "center": (("unit", "presynaptic_unit"), plane.center, {"long_name": "W at a = b = 0"}),
            "axes": (
                ("axis", "unit", "presynaptic_unit"),
                plane.axes,
                {"long_name": "change of W along a and along b"},
            ),
        },
        coords={"a": ("a", a, along), "b": ("b", b, across)},
    )
