"""How right the graphs of a population are, and which features tell its solutions apart."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.report.words import capital, count_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["between_solutions", "features_section", "trust_section"]

Array = NDArray[np.float64]

_SHOWN = 8  # features
_OF_A_FAMILY = 3  # features of one family say much the same
_FEWEST = 3  # networks that a solution has to have
_COLUMNS = 4  # solutions whose medians are shown
_SHUFFLES = 100

_TRUST = (
    ("graph_recall", "of what a network does, its graph allows"),
    ("graph_specificity", "of what other networks do, its graph forbids"),
)


def trust_section(population: xr.Dataset) -> str:
    """How far the graphs are to be trusted: recall and specificity, where they were asked for."""
    rows = []
    for name, meaning in _TRUST:
        values = population[name].values if name in population.variables else np.array([])
        values = values[np.isfinite(values)]
        if len(values):
            rows.append(
                f'<tr><th scope="row">{escape(capital(meaning))}</th>'
                f'<td class="number" data-head="median">{np.median(values):.0%}</td>'
                '<td class="number" data-head="networks at 95% or more">'
                f"{np.mean(values >= 0.95):.0%}</td>"
                f'<td class="number" data-head="networks">{len(values)}</td></tr>'
            )
    if not rows:
        return ""
    return (
        "<h3>How right the graphs are</h3>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of recall">'
        '<table class="cards">'
        "<caption>On sequences of pulses that graphs were not made from.</caption>"
        '<thead><tr><th scope="col">Share</th><th scope="col" class="number">median</th>'
        '<th scope="col" class="number">networks at 95% or more</th>'
        '<th scope="col" class="number">networks</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def between_solutions(values: NDArray[Any], solution: NDArray[Any]) -> Array:
    """Share of each feature's variance that lies between solutions, eta squared.

    Parameters
    ----------
    values : array (network, feature)
    solution : int array (network,)

    Examples
    --------
    >>> values = np.array([[1.0, 1.0], [1.0, 2.0], [5.0, 1.0], [5.0, 2.0]])
    >>> between_solutions(values, np.array([0, 0, 1, 1])).tolist()
    [1.0, 0.0]
    """
    mean = values.mean(axis=0)
    total = ((values - mean) ** 2).sum(axis=0)
    between = np.zeros(values.shape[1])
    for one in np.unique(solution):
        own = values[solution == one]
        between += len(own) * (own.mean(axis=0) - mean) ** 2
    return np.divide(between, total, out=np.zeros_like(total), where=total > 0)


def features_section(population: xr.Dataset) -> str:
    """The features of activity that differ most between solutions, beside what chance gives."""
    if "features" not in population.variables:
        return ""
    values = np.asarray(population["features"].values, np.float64)
    solution = population["solution"].values
    good = np.isfinite(values).all(axis=1) & (solution >= 0)
    known, count = np.unique(solution[good], return_counts=True)
    large = known[count >= _FEWEST]
    good &= np.isin(solution, large)
    head = "<h3>Features of activity</h3>"
    if len(large) < 2:
        return (
            f"{head}<p>{count_of(values.shape[1], 'feature')}; to be compared they take two "
            f"solutions of {_FEWEST} networks or more.</p>"
        )
    values, solution = values[good], solution[good]
    share = between_solutions(values, solution)
    rng = np.random.default_rng(0)
    by_chance = [
        between_solutions(values, rng.permutation(solution)).max() for _ in range(_SHUFFLES)
    ]
    families = population["feature_family"].values.astype(str)
    best: list[int] = []
    for k in np.argsort(-share, kind="stable").tolist():
        if len(best) < _SHOWN and sum(families[j] == families[k] for j in best) < _OF_A_FAMILY:
            best.append(k)
    told = large[:_COLUMNS].tolist()
    columns = "".join(f'<th scope="col" class="number">{s}</th>' for s in told)
    names, about, units = (
        population[n].values.astype(str)
        for n in ("feature", "feature_description", "feature_units")
    )
    rows = []
    for k in best:
        medians = "".join(
            f'<td class="number" data-head="in {s}">{np.median(values[solution == s, k]):.3g}</td>'
            for s in told
        )
        rows.append(
            f'<tr><th scope="row"><code>{escape(names[k])}</code></th>'
            f'<td class="number" data-head="share">{share[k]:.2f}</td>{medians}'
            f'<td class="wide">{escape(about[k])} ({escape(units[k])})</td></tr>'
        )
    return (
        f"{head}<p>Of {values.shape[1]} features on trained trials, those that differ most between "
        f"the {len(large)} solutions with {_FEWEST} networks or more "
        f"({count_of(len(values), 'network')}), {_OF_A_FAMILY} of a family at most. Where "
        "solutions are dealt at random the largest share is up to "
        f"{np.quantile(by_chance, 0.95):.2f} (95% of {_SHUFFLES} times).</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of features"><table '
        'class="cards"><caption>Share of the variance between solutions (eta squared), and medians '
        "of the commonest solutions.</caption>"
        '<thead><tr><th scope="col" rowspan="2">Feature</th>'
        '<th scope="col" rowspan="2" class="number">Share</th>'
        f'<th scope="colgroup" colspan="{len(told)}">Median of solution</th>'
        f'<th scope="col" rowspan="2" class="wide">What it is</th></tr><tr>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
