"""Distance of the weights of two networks, up to the order of their units.

Finding the best order of units is a quadratic assignment problem, which cannot be solved for tens
of units. What is found is an upper bound: the best of several searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from solspace.errors import SolspaceError

__all__ = ["Units", "match_units", "prepare_weights", "row_weights"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """A network's weights, by unit.

    Attributes
    ----------
    between : array of float (gate, unit, presynaptic_unit)
    of_unit : array of float (unit, number)
        What a unit has that names no other unit: input weights, biases, output weights.
    rest : array of float (number,)
        What no order of units changes: biases of the output.
    """

    between: Array
    of_unit: Array
    rest: Array


def prepare_weights(weights: Mapping[str, ArrayLike]) -> Units:
    """A network's weights, by unit.

    Parameters
    ----------
    weights : mapping of str to array
        ``weight_hh`` (gate, unit, presynaptic_unit), and where the network has them ``weight_ih``
        (gate, unit, input), ``bias`` (gate, unit), ``weight_out`` (output, unit), ``bias_out``
        (output,) and ``of_unit`` (unit, number), what else a unit has; or ``weight_hh`` (unit,
        presynaptic_unit) and so on of a network without gates.

    Raises
    ------
    SolspaceError
        For other names or shapes, and numbers that are not finite.

    Examples
    --------
    >>> prepare_weights({"weight_hh": np.zeros((1, 3, 3)), "bias": np.ones((1, 3))}).of_unit.shape
    (3, 1)
    """
    allowed = ("weight_hh", "weight_ih", "bias", "weight_out", "bias_out", "of_unit")
    unknown = [name for name in weights if name not in allowed]
    if unknown or "weight_hh" not in weights:
        raise SolspaceError(
            f"weights named {', '.join(map(str, weights))}; give weight_hh and, where there are "
            "any, weight_ih, bias, weight_out, bias_out and of_unit"
        )
    given = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    gates = given["weight_hh"].ndim == 3
    between = given["weight_hh"] if gates else given["weight_hh"][None]
    n = between.shape[-1]
    parts = []
    for name in ("weight_ih", "bias"):
        if name not in given:
            continue
        value = given[name] if gates else given[name][None]
        if value.shape[:2] != between.shape[:2]:
            raise SolspaceError(_shapes(given))
        parts.append(np.moveaxis(value, 1, 0).reshape(n, -1))
    if "weight_out" in given:
        parts.append(np.atleast_2d(given["weight_out"]).T)
    if "of_unit" in given:
        parts.append(given["of_unit"].reshape(len(given["of_unit"]), -1))
    if between.ndim != 3 or between.shape[1] != n or any(len(p) != n for p in parts):
        raise SolspaceError(_shapes(given))
    if not all(np.isfinite(value).all() for value in given.values()):
        raise SolspaceError("weights that are not finite; leave padding and failed networks out")
    of_unit = np.hstack(parts) if parts else np.zeros((n, 0))
    return Units(between, of_unit, given.get("bias_out", np.zeros(0)).ravel())


def _shapes(given: Mapping[str, Array]) -> str:
    told = ", ".join(f"{name} {value.shape}" for name, value in given.items())
    return (
        f"weights of shapes {told}; give weight_hh (gate, unit, unit), weight_ih (gate, unit, "
        "input), bias (gate, unit), weight_out (output, unit), or all without gate"
    )


def match_units(
    a: Units, b: Units, *, restarts: int = 4, seed: int = 0, iterations: int = 60
) -> tuple[float, NDArray[np.int64]]:
    """Smallest distance found, and the unit of b that each unit of a is matched with.

    Parameters
    ----------
    a, b : Units
        The smaller has silent units without any weights added.
    restarts : int
        Random orders to begin from, besides that of what units have of their own and none.
    seed : int
    iterations : int
        Steps of a search at most.

    Returns
    -------
    distance : float
        Frobenius norm of the difference of all weights: not above that without reordering.
    order : array of int (unit,)
        ``b.between[:, order][:, :, order]`` lies beside ``a.between``.

    Notes
    -----
    Searches as in Vogelstein et al. 2015 (fast approximate quadratic assignment), with the term
    that is linear in the matching, and then exchanges of two units for as long as one helps.
    """
    if len(a.between) != len(b.between) or a.of_unit.shape[1] != b.of_unit.shape[1]:
        raise SolspaceError(
            "networks of other architectures, inputs or outputs have no weights to compare; give "
            "networks of one architecture and task"
        )
    if a.rest.shape != b.rest.shape:
        raise SolspaceError("one network has bias_out and the other has not, or of another size")
    n = max(len(a.of_unit), len(b.of_unit))
    one, two = _padded(a, n), _padded(b, n)
    # A pair is always searched in one direction, so that both orders give the same.
    swapped = _key(two) < _key(one)
    if swapped:
        one, two = two, one
    linear = one.of_unit @ two.of_unit.T
    rng = np.random.default_rng(seed)
    flat = np.full((n, n), 1 / n)
    starts = [np.eye(n), np.eye(n)[linear_sum_assignment(linear, maximize=True)[1]], flat]
    starts += [(flat + np.eye(n)[rng.permutation(n)]) / 2 for _ in range(restarts)]
    best, order = np.inf, np.arange(n)
    for i, start in enumerate(starts):
        found = np.arange(n) if i == 0 else _search(one.between, two.between, linear, start,
                                                    iterations)  # fmt: skip
        found = _exchange(one, two, found)
        apart = _apart(one, two, found)
        if apart < best:
            best, order = apart, found
    if swapped:
        order = np.argsort(order)
    return float(np.sqrt(best + np.sum((a.rest - b.rest) ** 2))), order


def _padded(units: Units, n: int) -> Units:
    more = n - len(units.of_unit)
    if not more:
        return units
    between = np.pad(units.between, ((0, 0), (0, more), (0, more)))
    return Units(between, np.pad(units.of_unit, ((0, more), (0, 0))), units.rest)


def _key(units: Units) -> bytes:
    return units.between.tobytes() + units.of_unit.tobytes()


def _apart(a: Units, b: Units, order: NDArray[np.int64]) -> float:
    """Squared distance with b's units in an order."""
    between = b.between[:, order][:, :, order]
    return float(np.sum((a.between - between) ** 2) + np.sum((a.of_unit - b.of_unit[order]) ** 2))


def _search(a: Array, b: Array, linear: Array, p: Array, iterations: int) -> NDArray[np.int64]:
    """Frank-Wolfe over doubly stochastic matrices, then the nearest order."""
    at, bt = np.swapaxes(a, 1, 2), np.swapaxes(b, 1, 2)

    def product(q: Array) -> Array:
        return np.asarray((a @ q @ bt).sum(axis=0))

    for _ in range(iterations):
        forward = product(p)
        gradient = forward + (at @ p @ b).sum(axis=0) + linear
        corner = np.eye(len(p))[linear_sum_assignment(gradient, maximize=True)[1]]
        d = corner - p
        # The gain along d is slope * t + curve * t^2.
        slope = float(np.sum(gradient * d))
        curve = float(np.sum(product(d) * d))
        if slope <= 1e-12 * (1 + abs(float(np.sum(gradient * p)))):
            break
        t = 1.0 if curve >= 0 else min(1.0, -slope / (2 * curve))
        p = p + t * d
    return np.asarray(linear_sum_assignment(p, maximize=True)[1], np.int64)


def _exchange(a: Units, b: Units, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Exchange two units for as long as an exchange brings the networks closer.

    The gain of all exchanges at once, by what each would change of the trace of the products.
    """
    order = order.copy()
    n = len(order)
    for _ in range(4 * n):
        between = b.between[:, order][:, :, order]
        of_unit = b.of_unit[order]
        gain = _exchange_gains(a.between, between) + _linear_gains(a.of_unit @ of_unit.T)
        i, j = np.unravel_index(int(gain.argmax()), gain.shape)
        now = _apart(a, b, order)
        if gain[i, j] <= 1e-12 * (1 + now):
            break
        tried = order.copy()
        tried[[i, j]] = order[[j, i]]
        if _apart(a, b, tried) >= now:
            break
        order = tried
    return order


def _linear_gains(product: Array) -> Array:
    own = np.diag(product)
    return np.asarray(product + product.T - own[:, None] - own[None])


def _exchange_gains(a: Array, b: Array) -> Array:
    """Change of the sum of a * b when rows and columns i and j of b change places."""
    rows = np.einsum("gik,gjk->ij", a, b)
    columns = np.einsum("gki,gkj->ij", a, b)
    out = np.zeros_like(rows)
    for product in (rows, columns):
        out += _linear_gains(product)
    # The four entries where rows and columns cross were counted as if they moved twice; take out
    # what was counted of them, and put in what happens.
    aii, bii = (np.einsum("gii->gi", x) for x in (a, b))
    for x, y, at, bt in zip(aii, bii, a, b, strict=True):
        xi, xj, yi, yj = x[:, None], x[None], y[:, None], y[None]
        ji, bji = at.T, bt.T
        # Along the row: (a_ii, a_ij) met (b_ii, b_ij), and was counted as meeting (b_ji, b_jj).
        counted_rows = xi * (bji - yi) + at * (yj - bt) + ji * (yi - bji) + xj * (bt - yj)
        counted_columns = xi * (bt - yi) + ji * (yj - bji) + at * (yi - bt) + xj * (bji - yj)
        happens = xi * (yj - yi) + xj * (yi - yj) + at * (bji - bt) + ji * (bt - bji)
        out += happens - counted_rows - counted_columns
    np.fill_diagonal(out, 0.0)
    return out


def row_weights(
    a: Units, others: Sequence[Units], *, restarts: int = 4, seed: int = 0, iterations: int = 60
) -> Array:
    """Smallest distances found between one network's weights and others'.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> w, order = rng.normal(size=(1, 6, 6)), [3, 1, 5, 0, 2, 4]
    >>> a, b = ({"weight_hh": x} for x in (w, w[:, order][:, :, order]))
    >>> row_weights(prepare_weights(a), [prepare_weights(b)]).tolist()
    [0.0]
    """
    return np.array(
        [match_units(a, b, restarts=restarts, seed=seed, iterations=iterations)[0] for b in others]
    )
