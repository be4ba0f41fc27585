"""How much of the space of solutions a population has seen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.diversity import richness
from solspace.diversity.labels import Labelled, aligned, count_labels
from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["coverage_table", "solution_coverage"]

KNOTS = 40


def solution_coverage(
    population: Labelled,
    label: str = "solution_key",
    *,
    sizes: Sequence[int] | None = None,
    target: float = 0.99,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> xr.Dataset:
    """How much of the space of solutions has been seen, and how much more training would show.

    Networks are taken for independent draws from one distribution over classes, as individuals
    from species; the estimators are ecology's (see `solspace.diversity`). What they say holds for
    the recipe, the sizes and the architecture the population has: another recipe is another
    distribution.

    Parameters
    ----------
    population : Dataset, DataArray, array or mapping
        A population with ``label``; or labels, one a network; or how many networks each class has.
        Networks without a label are left out and counted in ``unlabelled``.
    label : str
        What counts as a class: ``solution_key``, ``graph_key`` or any label along ``network``.
    sizes : sequence of int, optional
        Numbers of networks for which the curves are given; by default 40, from 1 to twice as many
        as there are.
    target : float
        For ``networks_for_coverage`` and ``networks_for_classes``.
    confidence : float
        Of the intervals.
    resamples : int
        Samples drawn for the intervals of the curves and of ``networks_for_coverage``.
    seed : int
        Of these draws.

    Returns
    -------
    Dataset
        Over ``sample_size`` (networks) ``expected_classes`` and ``expected_coverage``: below
        ``networks`` rarefied, above it extrapolated, which is rough beyond twice as many. Scalars:

        - ``networks``, ``unlabelled``, ``classes_seen``, and ``classes_seen_once`` and ``_twice``;
        - ``coverage``: probability that a further network is of a class that was seen;
        - ``classes_unseen``: by Chao1, a lower bound in expectation;
        - ``networks_for_coverage``: networks to train, with those there are, for ``target``;
        - ``networks_for_classes``: the same to see this share of all classes; a lower bound.

        ``_low`` and ``_high`` are the ends of an interval. Nothing is NaN; where a sample cannot
        tell, attr ``note`` says so.

    Raises
    ------
    SolspaceError
        Where there is no such label, fewer than two networks have it, or a number is none.

    Examples
    --------
    >>> found = solution_coverage({"a": 46, "b": 30, "c": 2, "d": 1, "e": 1}, resamples=20)
    >>> f"{found.coverage.item():.3f} {found.classes_unseen.item():.2f}"
    '0.975 1.98'
    >>> found.expected_classes.sel(sample_size=80).item()
    5.0
    """
    import xarray as xr

    counts, unlabelled = count_labels(population, label)
    if sum(counts.values()) < 2 and unlabelled:
        raise SolspaceError(
            f"{unlabelled} of {unlabelled + sum(counts.values())} networks have no {label!r}; at "
            "least 2 with one are needed. Labels are made by `solspace run STORE`, or "
            "solspace.reduce(ds)"
        )
    seen = richness.checked_counts(list(counts.values()))
    n = int(seen.sum())
    if resamples < 2:
        raise SolspaceError(f"resamples={resamples}; give 2 or more, such as 200")
    at = richness.checked_sizes(_knots(n) if sizes is None else sorted({*sizes}))
    z = richness.quantile(confidence)
    draws = np.random.default_rng(seed).multinomial(
        n, richness.estimated_shares(seen), size=resamples
    )
    curves = {
        "expected_classes": richness.rarefaction_curve,
        "expected_coverage": richness.coverage_curve,
    }
    variables: dict[str, Any] = {}
    for name, curve in curves.items():
        middle = curve(seen, at)
        half = z * np.std([curve(draw, at) for draw in draws], axis=0, ddof=1)
        top = 1.0 if name == "expected_coverage" else np.inf
        least = 0.0 if name == "expected_coverage" else 1.0
        of = {
            name: middle,
            f"{name}_low": np.clip(middle - half, least, None),
            f"{name}_high": np.clip(middle + half, None, top),
        }
        variables |= {key: ("sample_size", values) for key, values in of.items()}
    scalars = _scalars(seen, unlabelled, target, confidence, draws, z)
    variables |= {name: ((), value) for name, value in scalars.items()}
    out = xr.Dataset(variables, coords={"sample_size": at})
    for key, variable in out.variables.items():
        variable.attrs = _attrs(str(key), target, confidence)
    out.attrs = {
        "label": label,
        "target": target,
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
        "note": " ".join(_notes(out)),
    }
    return out.assign_coords(_whose(population))


def _scalars(
    seen: NDArray[np.int64],
    unlabelled: int,
    target: float,
    confidence: float,
    draws: NDArray[np.int64],
    z: float,
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "networks": int(seen.sum()),
        "unlabelled": unlabelled,
        "classes_seen": len(seen),
        "classes_seen_once": int((seen == 1).sum()),
        "classes_seen_twice": int((seen == 2).sum()),
    }
    for name, estimate in (
        ("coverage", richness.coverage_interval(seen, confidence=confidence)),
        ("classes_unseen", richness.unseen_classes(seen, confidence=confidence)),
    ):
        out |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    needed = richness.networks_for_coverage(seen, target)
    again = [richness.networks_for_coverage(draw, target) for draw in draws]
    factor = float(np.exp(z * np.std(np.log(again), ddof=1)))
    out |= {
        "networks_for_coverage": needed,
        "networks_for_coverage_low": int(np.floor(needed / factor)),
        "networks_for_coverage_high": int(np.ceil(needed * factor)),
        "networks_for_classes": richness.networks_for_classes(seen, target),
    }
    return out


def _knots(n: int) -> NDArray[np.int64]:
    """Sizes from 1 to n, closest at first, where curves bend, and evenly on to twice as many."""
    half = KNOTS // 2
    below = 1 + (n - 1) * np.linspace(0, 1, half) ** 2
    above = np.linspace(n, 2 * n, half + 1)
    return np.unique(np.concatenate([below, above]).round().astype(np.int64))


def _whose(population: Labelled) -> dict[str, str]:
    """Task and architecture, where the networks are all of one."""
    import xarray as xr

    if not isinstance(population, (xr.Dataset, xr.DataArray)):
        return {}
    return {
        name: str(population.coords[name].item())
        for name in ("task", "architecture")
        if name in population.coords and not population.coords[name].dims
    }


def _notes(out: xr.Dataset) -> Iterator[str]:
    n, s, once, twice = (
        int(out[name])
        for name in ("networks", "classes_seen", "classes_seen_once", "classes_seen_twice")
    )
    if s == 1:
        yield f"All {n} networks are of one class."
    if once == 0:
        rest = 1 - float(out["coverage_low"])
        yield (
            "No class was seen only once, so nothing points to unseen ones; together they may "
            f"still be up to {rest:.2g} of all networks."
        )
    elif once == n:
        yield (
            "Every network is of a class of its own: the sample says only that there are many more."
        )
    elif twice == 0:
        yield "No class was seen twice, so the number of unseen ones is rough."
    if int(out["networks_for_coverage"]) > 2 * n:
        yield ("That coverage takes more than twice the sample, where extrapolation is rough.")


def _attrs(name: str, target: float, confidence: float) -> dict[str, Any]:
    base = name.removesuffix("_low").removesuffix("_high")
    units, meaning = {
        "sample_size": ("networks", "networks in a sample"),
        "expected_classes": ("classes", "classes that such a sample has on average"),
        "expected_coverage": (
            "1",
            "share of all networks that is of a class such a sample has, on average",
        ),
        "networks": ("networks", "networks with a label"),
        "unlabelled": ("networks", "networks without a label, left out"),
        "classes_seen": ("classes", "classes seen"),
        "classes_seen_once": ("classes", "classes of one network"),
        "classes_seen_twice": ("classes", "classes of two networks"),
        "coverage": ("1", "probability that a further network is of a class that was seen"),
        "classes_unseen": ("classes", "classes not seen, by Chao1, a lower bound"),
        "networks_for_coverage": ("networks", f"networks to train for a coverage of {target:g}"),
        "networks_for_classes": (
            "networks",
            f"networks to train to see {target:g} of all classes, a lower bound",
        ),
    }[base]
    if name != base:
        end = "lower" if name.endswith("_low") else "upper"
        meaning = f"{end} end of the {confidence:.0%} interval of {base}"
    return {"long_name": meaning, "units": units}


def coverage_table(results: Sequence[xr.Dataset]) -> list[str]:
    """Lines of a table with a row a result of `solution_coverage`, and notes below it.

    Examples
    --------
    >>> found = solution_coverage({"a": 90, "b": 9, "c": 1}, "graph_key")
    >>> lines = coverage_table([found])
    >>> lines[0].split()[:5], lines[1].split()[:5]
    (['label', 'networks', 'classes', 'once', 'twice'], ['graph_key', '100', '3', '1', '0'])
    """
    first = results[0].attrs
    share = f"{first['target']:.4g}"
    rows = [
        (
            "label",
            "networks",
            "classes",
            "once",
            "twice",
            f"coverage ({first['confidence']:.0%} interval)",
            "unseen classes",
            f"needed for coverage {share}",
            f"for {share} of classes",
        )
    ]
    notes: dict[str, list[str]] = {}
    for one in results:
        if one.attrs["note"]:
            notes.setdefault(one.attrs["note"], []).append(one.attrs["label"])
        rows.append(
            (
                one.attrs["label"],
                *(
                    str(one[name].item())
                    for name in (
                        "networks",
                        "classes_seen",
                        "classes_seen_once",
                        "classes_seen_twice",
                    )
                ),
                _spanned(one, "coverage", ".3f"),
                _spanned(one, "classes_unseen", ".0f"),
                _spanned(one, "networks_for_coverage", ",d"),
                f"{one['networks_for_classes'].item():,}",
            )
        )
    lines = aligned(rows)
    for note, labels in notes.items():
        lines += textwrap.wrap(f"{', '.join(labels)}: {note}", 96, subsequent_indent="  ")
    missing = {one.attrs["label"]: one["unlabelled"].item() for one in results}
    lines += [
        f"{label}: {n} network{'s' * (n != 1)} without it, left out"
        for label, n in missing.items()
        if n
    ]
    return lines


def _spanned(one: xr.Dataset, name: str, form: str) -> str:
    value, low, high = (one[n].item() for n in (name, f"{name}_low", f"{name}_high"))
    return f"{value:{form}} ({low:{form}} to {high:{form}})"
