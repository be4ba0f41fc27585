"""Which correlations a number of networks can show: the power of a test, by Fisher's z.

``arctanh(rho)`` of ``n`` networks in ``s`` strata is nearly normal, with variance
``1.06 / (n - 3 s)`` for Spearman's rho (Fieller, Hartley & Pearson, Biometrika 1957). Of many tests
each is taken at ``alpha / tests`` (Bonferroni), which is what the maximum over permutations comes
to where tests are independent, and strict where they are not.
"""

from __future__ import annotations

import numpy as np

from solspace.errors import SolspaceError

__all__ = ["correlation_power", "smallest_correlation"]

_RANKS = 1.06


def correlation_power(
    rho: float, networks: int, tests: int = 1, alpha: float = 0.05, strata: int = 1
) -> float:
    """Probability that a correlation of this size is found significant, two-sided.

    Parameters
    ----------
    rho : float
        Spearman's, of the population.
    networks : int
    tests : int
        Corrected for so many.
    alpha : float
    strata : int
        Within so many the networks are ranked.

    Raises
    ------
    SolspaceError
        For numbers that cannot be.

    Examples
    --------
    >>> round(correlation_power(0.15, 400), 2), round(correlation_power(0.2, 400, tests=50), 2)
    (0.83, 0.74)
    """
    from scipy.stats import norm

    deviation = _deviation(networks, tests, alpha, strata)
    if not -1 < rho < 1:
        raise SolspaceError(f"rho={rho:g}; give a correlation between -1 and 1")
    shift, bound = abs(np.arctanh(rho)) / deviation, norm.isf(alpha / tests / 2)
    return float(norm.sf(bound - shift) + norm.cdf(-bound - shift))


def smallest_correlation(
    networks: int, tests: int = 1, power: float = 0.85, alpha: float = 0.05, strata: int = 1
) -> float:
    """The smallest correlation that is found with this power.

    Parameters
    ----------
    networks, tests, alpha, strata
        See `correlation_power`.
    power : float

    Raises
    ------
    SolspaceError
        For numbers that cannot be.

    Examples
    --------
    >>> round(smallest_correlation(400), 3), round(smallest_correlation(400, tests=50), 3)
    (0.154, 0.22)
    """
    from scipy.stats import norm

    deviation = _deviation(networks, tests, alpha, strata)
    if not alpha / tests < power < 1:
        raise SolspaceError(f"power={power:g}; give one between {alpha / tests:g} and 1")
    # The other tail adds nothing that could be seen.
    return float(np.tanh(deviation * (norm.isf(alpha / tests / 2) + norm.ppf(power))))


def _deviation(networks: int, tests: int, alpha: float, strata: int) -> float:
    if networks <= 3 * strata or strata < 1 or tests < 1 or not 0 < alpha < 1:
        raise SolspaceError(
            f"networks={networks}, strata={strata}, tests={tests}, alpha={alpha:g}; give over 3 "
            "networks in each stratum, 1 or more tests, alpha between 0 and 1"
        )
    return float(np.sqrt(_RANKS / (networks - 3 * strata)))
