"""What tells some networks from the others, and the xarray lines behind a view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.explorer.maps import SIMILARITY

if TYPE_CHECKING:
    import xarray as xr

    from solspace.explorer.reading import Explored

__all__ = [
    "ChallengeDifference",
    "FeatureDifference",
    "distinguish",
    "distinguish_challenges",
    "label_counts",
    "view_code",
]

# Networks on either side that challenges are given to, evenly from the first to the last.
ASKED = 20
# And whose features are compared: ranks of more take seconds and gigabytes, and say no more.
COMPARED = 2_000


class FeatureDifference(NamedTuple):
    """One feature in a selection and outside of it.

    ``difference`` is that of the means in units of the pooled standard deviation (Cohen's d);
    ``p_value`` that of a Mann-Whitney test, and ``corrected`` the same after Benjamini & Hochberg
    over all features.
    """

    feature: str
    difference: float
    p_value: float
    corrected: float


def distinguish(
    seen: Explored, inside: NDArray[np.bool_], *, most: int = COMPARED
) -> list[FeatureDifference]:
    """Features of the networks of a selection against those of all others, largest first.

    A selection that was drawn on a map by features differs in these by being drawn: the corrected
    p-values say how sure a difference is, not that the selection is a group of its own.

    Parameters
    ----------
    seen : Explored
    inside : array of bool (network,)
    most : int
        Networks compared on either side, evenly from the first to the last.

    Raises
    ------
    SolspaceError
        Where there are no features, or fewer than 3 networks with features on either side.

    Examples
    --------
    >>> import solspace, xarray as xr
    >>> from solspace.explorer import Explored
    >>> ds = solspace.new_population("interval_reproduction", "vanilla", networks=8, hidden_size=5)
    >>> values = np.column_stack([np.arange(8.0), np.tile([0.0, 1.0], 4)])
    >>> ds = ds.assign(features=(("network", "feature"), values)).assign_coords(feature=["a", "b"])
    >>> seen = Explored("interval_reproduction/vanilla", {"population": ds})
    >>> first = distinguish(seen, np.arange(8) < 4)[0]
    >>> first.feature, round(first.difference, 2), round(first.p_value, 3)
    ('a', -3.1, 0.03)
    """
    from scipy import stats

    values = seen.features
    there = np.isfinite(values).any(axis=1) & _compared(seen)
    sides = (np.flatnonzero(side & there) for side in (inside, ~inside))
    one, other = (values[_evenly(at, most)] for at in sides)
    if min(len(one), len(other)) < 3:
        raise SolspaceError(
            f"{len(one)} networks in the selection and {len(other)} outside have features; "
            "3 or more are needed on either side"
        )
    known = np.isfinite(one).all(axis=0) & np.isfinite(other).all(axis=0)
    pooled = np.sqrt(
        (one.var(axis=0, ddof=1) * (len(one) - 1) + other.var(axis=0, ddof=1) * (len(other) - 1))
        / (len(one) + len(other) - 2)
    )
    known &= np.concatenate([one, other]).std(axis=0) > 1e-12
    # Two constants that differ: no number of deviations says by how much.
    known &= pooled > 1e-12
    at = np.flatnonzero(known)
    if not len(at):
        return []
    difference = (one[:, at].mean(axis=0) - other[:, at].mean(axis=0)) / pooled[at]
    p = stats.mannwhitneyu(one[:, at], other[:, at], axis=0).pvalue
    corrected = stats.false_discovery_control(p)
    order = np.argsort(-np.abs(difference), kind="stable")
    return [
        FeatureDifference(
            seen.features_named[at[k]], float(difference[k]), float(p[k]), float(corrected[k])
        )
        for k in order
    ]


def _evenly(at: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """So many of some positions, evenly from the first to the last."""
    return at[np.unique(np.linspace(0, len(at) - 1, min(most, len(at))).round().astype(int))]


class ChallengeDifference(NamedTuple):
    """One challenge, and how differently networks of a selection and others answer it.

    ``difference`` is the total variation distance between the answers inside and outside: 0 where
    they are shared out alike, 1 where none is given on both sides. ``inside`` and ``outside`` are
    the networks that were asked.
    """

    challenge: str
    difference: float
    inside: int
    outside: int


def distinguish_challenges(
    seen: Explored, inside: NDArray[np.bool_], *, most: int = ASKED
) -> list[ChallengeDifference]:
    """Challenges that networks of a selection answer otherwise than others, largest first.

    An answer is what is first put out after each pulse and how that stretch ends (see
    `solspace.design.answers`); when it is put out does not count. Of challenges that are given by
    their input it is the choice, as often as noise makes it. Networks are run, up to ``most`` on
    either side: two sides drawn from the same networks differ by chance, the more the fewer are
    asked.

    Parameters
    ----------
    seen : Explored
    inside : array of bool (network,)
    most : int
        Networks asked on either side.

    Raises
    ------
    SolspaceError
        Where the task has no challenges, or fewer than 3 networks on either side could be run.

    Examples
    --------
    >>> import solspace
    >>> from solspace.explorer import Explored
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 5, inputs=2, outputs=1)
    >>> mine = {f"n{i}": {k: rng.normal(0, 0.4, s) for k, s in shapes.items()} for i in range(8)}
    >>> ds = solspace.import_networks("interval_reproduction", "vanilla", mine)
    >>> seen = Explored("interval_reproduction/vanilla", {"population": ds})
    >>> found = distinguish_challenges(seen, np.arange(8) < 4)
    >>> len(found), found[0].inside
    (152, 4)
    """
    from solspace.design.asking import answers
    from solspace.population.variables import DONE

    asked = [_evenly(np.flatnonzero(side & ~seen.recordings), most) for side in (inside, ~inside)]
    at = np.concatenate(asked)
    if not len(at):
        raise SolspaceError("no networks to ask; select some")
    # Population by population, and networks in that order.
    parts = seen.split(at)
    given = [answers(part.ds.isel(network=own).load()) for part, own, _ in parts]
    at = at[np.concatenate([places for _, _, places in parts])]
    ran = _joined(given, "status_answers") == DONE
    within = np.isin(at, asked[0])
    counts = [int((ran & side).sum()) for side in (within, ~within)]
    if min(counts) < 3:
        raise SolspaceError(
            f"{counts[0]} networks of the selection and {counts[1]} others could be asked; 3 or "
            "more are needed on either side"
        )
    names = given[0]["challenge"].values
    out = []
    if "choice_share" in given[0]:  # one choice each, as often as noise makes it
        share = _joined(given, "choice_share")
        sides = (share[ran & side].mean(axis=0) for side in (within, ~within))
        each = np.abs(np.subtract(*sides)).sum(axis=-1) / 2
        out = [
            ChallengeDifference(str(name), float(apart), *counts)
            for name, apart in zip(names, each, strict=True)
        ]
        return sorted(out, key=lambda row: (-row.difference, row.challenge))
    codes = np.stack([_joined(given, "first"), _joined(given, "ending")], axis=-1)
    for c, name in enumerate(names):
        _, code = np.unique(codes[:, c].reshape(len(at), -1), axis=0, return_inverse=True)
        shares = [
            np.bincount(code.ravel()[ran & side], minlength=len(at)) / n
            for side, n in zip((within, ~within), counts, strict=True)
        ]
        apart = float(np.abs(shares[0] - shares[1]).sum() / 2)
        out.append(ChallengeDifference(str(name), apart, *counts))
    return sorted(out, key=lambda row: (-row.difference, row.challenge))


def _compared(seen: Explored) -> NDArray[np.bool_]:
    """Networks without the recordings beside them; recordings where there are no others."""
    return ~seen.recordings if not seen.recordings.all() else seen.recordings


def _joined(given: Sequence[xr.Dataset], name: str) -> NDArray[Any]:
    """A variable of several populations, one after another."""
    return np.concatenate([ds[name].values for ds in given])


def label_counts(
    values: NDArray[Any], inside: NDArray[np.bool_], most: int = 8
) -> list[tuple[str, int, int]]:
    """How many networks have each value of a label, inside a selection and outside of it.

    Those that are commonest inside come first.

    Examples
    --------
    >>> label_counts(np.array(["x", "y", "x"]), np.array([True, False, False]))
    [('x', 1, 1), ('y', 0, 1)]
    """
    named, at = coded(values)
    within, without = (
        np.bincount(at[side], minlength=len(named)).tolist() for side in (inside, ~inside)
    )
    rows = list(zip(named.tolist(), within, without, strict=True))
    return sorted(rows, key=lambda row: (-row[1], -row[2], row[0]))[:most]


def coded(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The words of a label in order, ``none`` where there is none, and of each network which.

    Examples
    --------
    >>> words, of = coded(np.array(["b", "", "b"]))
    >>> words.tolist(), of.tolist()
    (['b', 'none'], [0, 1, 0])
    """
    import pandas as pd

    # By hash: sorting long words of 100,000 networks takes a good part of a second.
    code, found = pd.factorize(np.asarray(values).astype(object), use_na_sentinel=False)
    words = np.array([str(v) or "none" for v in found], dtype=str)
    named, place = np.unique(words, return_inverse=True)
    return named, np.asarray(place.ravel()[code], np.intp)


def view_code(
    seen: Explored,
    *,
    by: str,
    color: str,
    kept: Sequence[str] = (),
    network: str | None = None,
    pulses: Sequence[tuple[int, int, int, float]] = (),
    steps: int = 0,
) -> str:
    """Lines of Python that give what a view shows: places, colours, the networks, an answer.

    Parameters
    ----------
    seen : Explored
    by : str
        Of the map, see `solspace.explorer.lay_out`; empty where there is none.
    color : str
        What colours the networks.
    kept : sequence of str
        Conditions on networks, each an expression in ``ds``.
    network : str, optional
        The network that is looked at.
    pulses : sequence of (onset, channel, width, amplitude)
        Of the challenge it is given.
    steps : int
        Of that trial.
    """
    similar = by.startswith(SIMILARITY)
    parts = getattr(seen, "parts", None)
    beside = parts is not None and bool(seen.recordings.any()) and not seen.of_recordings
    names = ["lay_out"] * bool(by) + ["open_explored"]
    names += ["Together"] * beside + ["evenly"] * similar
    names += ["activity_of"] * (similar and not by.endswith("weights"))
    lines = [
        "import numpy as np",
        "import solspace",
        f"from solspace.explorer import {_list(names)}",
    ]
    lines += [""]
    if by == "distances":
        lines += ["# distances: those that were given, see solspace.explorer.read_distances"]
    lines += _lines_that_open(parts or [seen])
    if beside:
        lines += [f"seen = Together([found[name] for name in {[p.name for p in parts or []]}])"]
    else:
        lines += [f"seen = found[{seen.name!r}]"]
    if by == "distances":
        lines += ["places = lay_out(seen, 'distances', distances).places  # (network, 2)"]
    elif similar:
        lines += _lines_of_similarity(seen, by.removeprefix(SIMILARITY))
        lines += [f"places = lay_out(seen, {by!r}, distances).places  # (network, 2)"]
    elif by:
        lines += [f"places = lay_out(seen, {by!r}).places  # (network, 2)"]
    lines += [f"color = seen.column({color!r})"]
    if kept:
        lines += ["kept = np.ones(seen.networks, bool)"]
        lines += [f"kept &= {condition}" for condition in kept]
    if network is not None:
        lines += [
            "", f"i = seen.place({network!r})", "population, at = seen.part(i)",
            "one = population.ds.isel(network=[at]).load()",
        ]  # fmt: skip
    if network is not None and steps:
        lines += [
            "from solspace.tasks.challenges import Challenge, PlacedPulse",
            "from solspace.explorer import respond",
            "pulses = ("
            + "".join(f"PlacedPulse({o}, {c}, {w}, {a:g}), " for o, c, w, a in pulses).rstrip()
            + ")",
            f"answer = respond(seen, i, Challenge('by hand', 'extra', pulses, {steps}))",
            "answer.output  # (time, output_channel)",
        ]
    return "\n".join(lines) + "\n"


def _lines_that_open(parts: Sequence[Explored]) -> list[str]:
    """Lines that open what was given, from its stores where it lies in some."""
    lines, arguments = [], []
    for apart, name, keyword in ((False, "given", ""), (True, "recorded", "recordings=")):
        paths = [part.path for part in parts if part.apart == apart]
        if paths and paths[0]:
            arguments.append(f"{keyword}{paths[0]!r}")
        elif paths:
            lines.append(f"# {name}: what was given to solspace.explore")
            arguments.append(keyword + name)
    if len(arguments) == 1 and parts[0].apart:  # recordings by themselves
        arguments = [arguments[0].removeprefix("recordings=")]
    return [*lines, f"found = open_explored({', '.join(arguments)})"]


def _list(names: Sequence[str]) -> str:
    return ", ".join(sorted(names, key=str.casefold))


def _lines_of_similarity(seen: Explored, measure: str) -> list[str]:
    """Lines that give the distances of a map by similarity."""
    from solspace.explorer.comparing import most_of
    from solspace.similarity import get_measure

    of, most = get_measure(measure).of, most_of(measure)
    if of == "weights":
        return [
            "part = seen.part(0)[0]",
            f"ds = part.ds.isel(network=evenly(part, {most})).load()",
            f"distances = solspace.similarity.pairwise(ds, {measure!r}, unfit='leave_out')",
            "distances = distances.assign_coords(network=ds['name'].values)",
        ]
    more = ", inputs=seen.recorded.input" if of == "driven" else ""
    return [
        f"activity = activity_of(seen, evenly(seen, {most}))  # (trial, time, unit) by name",
        f"distances = solspace.similarity.pairwise(activity, {measure!r}, unfit='leave_out'{more})",
    ]
