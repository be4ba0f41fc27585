"""The measures of similarity, one record each: which way it points, and what it may be used for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.similarity import dynamics, rdm, shapes, weights

__all__ = ["MEASURES", "Measure", "get_measure"]

Array = NDArray[np.float64]

# What a measure is given of a network: activity as (sample, unit), as (condition, feature), as
# (trial, time, unit), the last with the inputs of the trials, or weights.
Of = Literal["samples", "conditions", "trajectories", "driven", "weights"]


@dataclass(frozen=True)
class Measure:
    """A measure of how alike two networks are.

    Attributes
    ----------
    name : str
    direction : str
        ``"distance"``: 0 for the same, larger for less alike; ``"similarity"``: 1 for the same.
    metric : bool
        Whether the numbers keep the triangle inequality, as clustering and embedding assume; zero
        is then for networks alike up to what the measure is blind to.
    bound : str
        ``"exact"``, or ``"upper"``: the smallest of a search, above the minimum or at it.
    units : str
    of : str
        What it is given of each network: ``"samples"`` (sample, unit), ``"conditions"``
        (condition, feature), ``"trajectories"`` (trial, time, unit), ``"driven"`` with the inputs
        beside them, or ``"weights"``.
    invariances : tuple of str
        What changes of a network's activity it does not see: ``"rotation"``, ``"permutation"``
        of units, ``"scale"``, ``"shift"``, ``"linear"`` (any invertible map).
    meaning, source : str
        In words, and where the formula is from.
    prepare : callable
        What is done once a network; its keyword arguments are options.
    row : callable (prepared, sequence of prepared) -> array
        One network against many; its keyword arguments are options.
    compact : bool
        What is prepared is small, so that it is kept of all networks.
    """

    name: str
    direction: str
    metric: bool
    of: Of
    meaning: str
    source: str
    prepare: Callable[..., Any]
    row: Callable[..., Array]
    bound: str = "exact"
    units: str = "1"
    invariances: tuple[str, ...] = ()
    compact: bool = False

    def options(self) -> dict[str, Any]:
        """Options and their defaults.

        Examples
        --------
        >>> get_measure("dsa").options()
        {'delays': 10, 'rank': 20, 'ridge': 0.0, 'center': False}
        """
        return _options(self.prepare) | _options(self.row)

    def split(self, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options of ``prepare`` and of ``row``.

        Raises
        ------
        SolspaceError
            For an option that the measure does not have.
        """
        allowed = self.options()
        unknown = [name for name in options if name not in allowed]
        if unknown:
            told = ", ".join(f"{k}={v!r}" for k, v in allowed.items()) or "none"
            raise SolspaceError(
                f"{unknown[0]!r} is no option of measure {self.name!r}; its options are: {told}"
            )
        first = _options(self.prepare)
        return (
            {k: v for k, v in options.items() if k in first},
            {k: v for k, v in options.items() if k not in first},
        )


def _options(function: Callable[..., Any]) -> dict[str, Any]:
    return {
        name: p.default
        for name, p in inspect.signature(function).parameters.items()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _prepare_cca(x: Array) -> shapes.Shape:
    return shapes.prepare_unit_norm(x, alpha=0.0)


def _prepare_rsa(x: Array, *, rdm: str = "euclidean", compare: str = "corr") -> Any:
    if compare == "bures_metric":
        raise SolspaceError("compare='bures_metric' is a distance; give measure='rsa_bures'")
    return _prepare_rdm(x, rdm=rdm, compare=compare)


def _prepare_bures(x: Array, *, rdm: str = "euclidean") -> Any:
    return _prepare_rdm(x, rdm=rdm, compare="bures_metric")


def _fit_driven(
    x: Array,
    inputs: Array,
    *,
    delays: int = 1,
    rank: int = 10,
    ridge: float = 0.0,
    center: bool = False,
) -> dynamics.LinearModel:
    # Without delays by default: inputs of the first steps would not be seen.
    return dynamics.fit_havok(x, inputs, delays=delays, rank=rank, ridge=ridge, center=center)


_prepare_rdm = rdm.prepare_rdm

WILLIAMS = "Williams et al. 2021, Generalized shape metrics on neural representations"
KORNBLITH = "Kornblith et al. 2019, Similarity of neural network representations revisited"
KRIEGESKORTE = "Kriegeskorte, Mur & Bandettini 2008, Representational similarity analysis"
OSTROW = "Ostrow et al. 2023, Beyond geometry (dynamical similarity analysis)"
ROTATIONS = ("rotation", "permutation", "shift")

_ALL = (
    Measure(
        "procrustes", "distance", True, "samples",
        "angle between the activities after the best rotation of units", WILLIAMS,
        shapes.prepare_unit_norm, shapes.row_procrustes, units="rad",
        invariances=(*ROTATIONS, "scale"),
    ),
    Measure(
        "procrustes_euclidean", "distance", True, "samples",
        "Frobenius norm of the difference of the activities after the best rotation of units",
        WILLIAMS, shapes.prepare_shape, shapes.row_procrustes_euclidean,
        units="units of the activity", invariances=ROTATIONS,
    ),
    Measure(
        "cca", "distance", True, "samples",
        "angle between the whitened activities after the best rotation: all directions count "
        "alike, those of noise too", WILLIAMS,
        _prepare_cca, shapes.row_procrustes, units="rad",
        invariances=(*ROTATIONS, "scale", "linear"),
    ),
    Measure(
        "permutation", "distance", True, "samples",
        "angle between the activities after the best one-to-one matching of units", WILLIAMS,
        shapes.prepare_unit_norm, shapes.row_permutation, units="rad",
        invariances=("permutation", "shift", "scale"),
    ),
    Measure(
        "permutation_euclidean", "distance", True, "samples",
        "Frobenius norm of the difference of the activities after the best matching of units",
        WILLIAMS, shapes.prepare_shape, shapes.row_permutation_euclidean,
        units="units of the activity", invariances=("permutation", "shift"),
    ),
    Measure(
        "cka", "similarity", False, "samples",
        "linear centred kernel alignment", KORNBLITH,
        shapes.prepare_cka, shapes.row_cka, invariances=(*ROTATIONS, "scale"),
    ),
    Measure(
        "cka_angular", "distance", True, "samples",
        "angle whose cosine is linear centred kernel alignment", WILLIAMS,
        shapes.prepare_cka, shapes.row_cka_angular, units="rad",
        invariances=(*ROTATIONS, "scale"),
    ),
    Measure(
        "rsa", "similarity", False, "conditions",
        "how alike the dissimilarities of trials are", KRIEGESKORTE,
        _prepare_rsa, rdm.row_rdm, compact=True,
    ),
    Measure(
        "rsa_bures", "distance", True, "conditions",
        "Bures distance of the kernels that the dissimilarities of trials belong to",
        "Harvey, Larsen & Williams 2023, Duality of Bures and shape distances",
        _prepare_bures, rdm.row_rdm, compact=True,
    ),
    Measure(
        "dsa", "distance", True, "trajectories",
        "Wasserstein distance of the eigenvalues of linear models of delayed activity",
        OSTROW + "; the root of what dsa-metric returns", dynamics.fit_havok,
        dynamics.row_eigenvalues, invariances=("rotation", "permutation", "scale"), compact=True,
    ),
    Measure(
        "dsa_squared", "distance", False, "trajectories",
        "squared Wasserstein distance of the eigenvalues, as dsa-metric returns it", OSTROW,
        dynamics.fit_havok, dynamics.row_eigenvalues_squared,
        invariances=("rotation", "permutation", "scale"), compact=True,
    ),
    Measure(
        "dsa_angular", "distance", False, "trajectories",
        "smallest angle found between linear models of delayed activity over rotations of one",
        OSTROW, dynamics.fit_havok, dynamics.row_angular, bound="upper", units="rad",
        invariances=("rotation", "permutation", "scale"), compact=True,
    ),
    Measure(
        "dsa_inputs", "distance", True, "driven",
        "angle between what inputs leave in linear models of delayed activity, after the best "
        "rotation", "Huang et al. 2025, InputDSA, with the rotation that aligns",
        _fit_driven, dynamics.row_joint, units="rad",
        invariances=("rotation", "permutation", "scale"), compact=True,
    ),
    Measure(
        "weights", "distance", False, "weights",
        "smallest Frobenius norm found of the difference of the weights, over orders of units",
        "Vogelstein et al. 2015, Fast approximate quadratic programming for graph matching",
        weights.prepare_weights, weights.row_weights, bound="upper",
        invariances=("permutation",), compact=True,
    ),
)  # fmt: skip

MEASURES: dict[str, Measure] = {measure.name: measure for measure in _ALL}


def get_measure(measure: str | Measure) -> Measure:
    """A measure by name, or the one given.

    Raises
    ------
    SolspaceError
        For a name that none has.

    Examples
    --------
    >>> from solspace.similarity import get_measure
    >>> cka = get_measure("cka")
    >>> cka.direction, cka.metric
    ('similarity', False)
    """
    if isinstance(measure, Measure):
        return measure
    if measure not in MEASURES:
        raise SolspaceError(f"measure={measure!r}; give one of {', '.join(MEASURES)}")
    return MEASURES[measure]
