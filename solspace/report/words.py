"""What a report says in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.population.describe import label_of
from solspace.tasks import Task

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "answered_rows",
    "capital",
    "count_of",
    "extrapolation_words",
    "learning_words",
    "listed",
    "share_of",
    "spoken",
    "told_networks",
    "trajectory_words",
    "tuple_of",
]


def answered_rows(
    output: NDArray[Any], target: NDArray[Any], inputs: NDArray[Any]
) -> NDArray[np.bool_]:
    """Trials in which the first output after the last input is the one that was asked for.

    Parameters
    ----------
    output, target : array (trial, time)
        Symbols: -1, 0 or 1.
    inputs : array (trial, time, input)

    Returns
    -------
    array of bool (trial,)
        True where the output has the target's sign and begins not further from the target's
        beginning than the target is long.

    Examples
    --------
    >>> inputs = np.array([[[1], [0], [0], [0], [0]]] * 2)
    >>> target = np.array([[0, 0, 1, 0, 0]] * 2)
    >>> answered_rows(np.array([[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]), target, inputs)
    array([ True, False])
    """
    right = np.zeros(len(output), bool)
    for i in range(len(output)):
        asked = np.flatnonzero(target[i])
        arrived = np.flatnonzero((inputs[i] != 0).any(axis=-1))
        if not len(asked):
            continue
        # From the last pulse's onset: a network may answer while the pulse is still on.
        begins = (
            arrived[np.flatnonzero(np.diff(arrived, prepend=-2) > 1)[-1]] if len(arrived) else 0
        )
        given = begins + np.flatnonzero(output[i, begins:])
        if len(given):
            near = abs(given[0] - asked[0]) <= len(asked)
            right[i] = near and output[i, given[0]] == target[i, asked[0]]
    return right


def held_rows(
    output: NDArray[Any], target: NDArray[Any], inputs: NDArray[Any]
) -> NDArray[np.bool_]:
    """Of several outputs, which rows are as asked just before each pulse and at the end.

    Parameters
    ----------
    output, target : array (trial, time, output)
        Symbols.
    inputs : array (trial, time, input)

    Examples
    --------
    >>> pulse = np.zeros((1, 6, 1))
    >>> pulse[0, [0, 4]] = 1
    >>> target = np.ones((1, 6, 2))
    >>> late, lost = target.copy(), target.copy()
    >>> late[0, :2], lost[0, 3:] = 0, 0
    >>> held_rows(late, target, pulse), held_rows(lost, target, pulse)
    (array([ True]), array([False]))
    """
    begins = np.diff((inputs != 0).any(axis=-1).astype(np.int8), axis=1) == 1
    looked = np.concatenate([begins, np.ones((len(inputs), 1), bool)], axis=1)
    same = (output == target).all(axis=-1)
    right: NDArray[np.bool_] = (same | ~looked).all(axis=1)
    return right


def learning_words(checkpoints: xr.Dataset) -> str:
    from solspace.plots.checkpoints import followed_networks, solution_changes

    solution = checkpoints["checkpoint_solution"].values[followed_networks(checkpoints)]
    same = solution == solution[:, -1:]
    since = np.logical_and.accumulate(same[:, ::-1], axis=1).sum(axis=1)
    levels = np.median(checkpoints["checkpoint_loss_level"].values, axis=0)
    first = int((since >= len(levels) - 1).sum())
    by = label_of(checkpoints.attrs)
    words = (
        f"{first} of {count_of(len(solution), 'network')} had their final solution"
        f"{f' (by {by})' if by else ''} at every look from a loss of {levels[1]:.2g} on"
    )
    changes: Counter[tuple[int, int]] = Counter()
    for _, before, after, networks in solution_changes(solution):
        if before != after and min(before, after) >= 0:
            changes[before, after] += networks
    if not changes:
        return f"{words}; none changed from one solution to another."
    told = ", ".join(f"{a} to {b} ({n})" for (a, b), n in changes.most_common(3))
    return f"{words}. The most frequent changes: {told}."


def extrapolation_words(ds: xr.Dataset, i: int, task: Task) -> str:
    """Which rows of the picture are answered as asked, counted."""
    from solspace.plots.extrapolation import choose_trials, trained_values

    values = {n: ds[n].values for n in task.parameters if n in ds.variables}
    trained = trained_values(task)
    wanted = ds["target"].values
    rows, held, trials = choose_trials(values, np.nan_to_num(wanted[..., 0]), trained)
    output = ds["output"].isel(network=i, trial=trials).values
    target = np.sign(np.nan_to_num(wanted[trials]))
    inputs = ds["input"].isel(trial=trials).values
    if task.output_symbol is None:
        return _errors(rows, held, values[rows][trials], trained[rows], output - wanted[trials])
    symbols = task.output_symbol(output)
    asked = (target != 0).any(axis=(1, 2))
    answered = answered_rows if len(task.outputs) == 1 else held_rows
    right = answered(symbols, target, inputs)[asked]
    at = values[rows][trials][asked]
    inside = (at >= trained[rows].min()) & (at <= trained[rows].max())
    fixed = f" at {listed(held)}" if held else ""
    words = (
        f"Rows are {rows} from {at[0]:g} to {at[-1]:g}{fixed}, trained from "
        f"{trained[rows].min():g} to {trained[rows].max():g}. "
    )
    if not right.any():
        return words + "No row is answered as asked for."
    if not right[inside].all():
        return (
            words + f"Answered as asked for: {right[inside].sum()} of {inside.sum()} rows within "
            f"the trained range, {right[~inside].sum()} of {(~inside).sum()} outside."
        )
    first, last = np.flatnonzero(inside)[[0, -1]]
    while first > 0 and right[first - 1]:
        first -= 1
    while last < len(right) - 1 and right[last + 1]:
        last += 1
    if last - first + 1 == len(right):
        return words + "Every row is answered as asked for."
    return words + f"Answered as asked for without a gap from {at[first]:g} to {at[last]:g}."


def _errors(
    rows: str, held: Mapping[str, float], at: NDArray[Any], trained: NDArray[Any],
    off: NDArray[Any],
) -> str:  # fmt: skip
    """Of continuous outputs, how far they are from what was asked for in and outside the range."""
    inside = (at >= trained.min()) & (at <= trained.max())
    fixed = f" at {listed(held)}" if held else ""
    words = (
        f"Rows are {rows} from {at[0]:g} to {at[-1]:g}{fixed}, trained from {trained.min():g} to "
        f"{trained.max():g}. Root mean squared error "
    )
    told = [
        f"{where} the trained range {np.sqrt(np.nanmean(off[which] ** 2)):.2g}"
        for where, which in (("within", inside), ("outside", ~inside))
        if which.any()
    ]
    return words + ", ".join(told) + "."


def trajectory_words(ds: xr.Dataset, i: int, task: Task) -> tuple[str, str]:
    from solspace.plots.trajectories import principal_plane, shown_trials

    activity = ds["activity"].isel(network=i).values
    activity = activity[..., ~np.isnan(activity).all(axis=(0, 1))]
    _, share = principal_plane(activity)
    shown = shown_trials(len(activity), 6)
    names = [n for n in task.parameters if n in ds.variables and len(np.unique(ds[n].values)) > 1]
    told = ", ".join(tuple_of([f"{ds[n].values[t]:g}" for n in names]) for t in shown)
    return (
        f"{len(shown)} of {len(activity)} trials, {tuple_of(names)} = {told}; coloured by "
        f"{names[0] if names else 'trial'}, from the open circle to the squares.",
        f"{share.sum():.0%}",
    )


def told_networks(population: xr.Dataset) -> str:
    sizes, counts = np.unique(population["hidden_size"].values, return_counts=True)
    by_size = ", ".join(f"{c} of {s} units" for s, c in zip(sizes, counts, strict=True))
    loss = population["loss"].values
    loss = loss[~np.isnan(loss)]
    words = f"{count_of(population.sizes['network'], 'network')}: {by_size}."
    if len(loss):
        words += f" Median loss {np.median(loss):.2g}, largest {loss.max():.2g}."
    return escape(words)


def count_of(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"


def share_of(part: int, whole: int) -> str:
    share = part / whole
    return f"{share:.0%}" if share >= 0.01 else "under 1%"


def tuple_of(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def listed(held: Mapping[str, float]) -> str:
    return " and ".join(f"{name} = {value:g}" for name, value in held.items())


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def spoken(name: str) -> str:
    from solspace.networks import architecture_names, get_architecture

    task, _, architecture = name.partition("/")
    if architecture == "recorded":
        return "Recordings" + ("" if task == "none" else f", {task.replace('_', ' ')}")
    task = capital(task.replace("_", " "))
    known = architecture in architecture_names()
    shown = get_architecture(architecture).title if known else architecture
    return f"{task}, {shown}" if shown else task
