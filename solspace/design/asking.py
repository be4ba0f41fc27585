"""Run the networks of a population over challenges, and keep their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks.challenges import Challenge, ChallengeFamily

if TYPE_CHECKING:
    import xarray as xr

    from solspace.networks import Weights
    from solspace.tasks import Task

__all__ = ["answers", "family_of", "network_answers"]

MOST_STATES = 4_000_000  # numbers of the states that are in memory at once
NETWORKS = 32  # that are read at once
NAMES = ("first", "time", "ending")


def family_of(task: Task) -> ChallengeFamily:
    """The challenges of a task, or an error where it has none or its outputs are continuous."""
    from solspace.tasks.needs import check_needs

    check_needs(task, "design")
    assert task.challenges is not None
    return task.challenges()


def stretch_array(family: ChallengeFamily, challenges: Sequence[Challenge]) -> NDArray[np.int64]:
    """Origin, start and end of each stretch, (challenge, stretch, 3); -1 past the last."""
    each = [one.stretches(family.transient) for one in challenges]
    out = np.full((len(each), max(map(len, each), default=0), 3), -1, np.int64)
    for i, stretches in enumerate(each):
        out[i, : len(stretches)] = stretches
    return out


def network_answers(
    task: Task,
    architecture: str,
    weights: Weights,
    family: ChallengeFamily,
    challenges: Sequence[Challenge],
) -> dict[str, NDArray[Any]]:
    """Answers of one network, arrays (challenge, stretch) by name (see `answers`)."""
    from solspace import networks
    from solspace.design.reading import read_answers
    from solspace.tasks.symbols import read_symbols

    stretches = stretch_array(family, challenges)
    out: dict[str, NDArray[Any]] = {
        "first": np.zeros(stretches.shape[:2], np.int8),
        "time": np.full(stretches.shape[:2], np.nan, np.float32),
        "ending": np.full(stretches.shape[:2], -1, np.int8),
    }
    size = networks.state_size(architecture, networks.hidden_size(weights))
    # Those of like length together, so that little is run past the end of a trial.
    order = sorted(range(len(challenges)), key=lambda i: challenges[i].steps)
    while order:
        take = len(order)
        while take > 1 and take * challenges[order[take - 1]].steps * size > MOST_STATES:
            take = take * 2 // 3
        take = max(1, min(take, 24))
        block, order = order[:take], order[take:]
        steps = challenges[block[-1]].steps
        given = np.zeros((len(block), steps, len(task.inputs)), np.float32)
        for row, i in enumerate(block):
            given[row, : challenges[i].steps] = challenges[i].input(len(task.inputs))
        _, output = networks.run(architecture, weights, given)
        if not np.isfinite(output).all():
            raise SolspaceError("the output is not finite")
        found = read_answers(
            read_symbols(task, output),
            stretches[block],
            shortest=family.shortest,
            held=family.held,
        )
        for name, values in zip(NAMES, found, strict=True):
            out[name][block] = values
    return out


def answers(
    ds: xr.Dataset,
    challenges: ChallengeFamily | Sequence[Challenge] | None = None,
    *,
    task: str | Task | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """What every network of a population answers to challenges.

    Networks are run one at a time and a few challenges at once, so that memory does not grow with
    either; of each trial no more is kept than its answer.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    challenges : ChallengeFamily or sequence of Challenge, optional
        By default those that the task declares. Of a sequence, answers are read as the task's
        family says.
    task : str or Task, optional
        By default the dataset's own.
    progress : callable (int) -> None, optional
        Told after each network.

    Returns
    -------
    Dataset
        Over ``(network, challenge, stretch)``, a stretch being what follows one pulse: ``first``,
        the symbol first put out (0 for none), ``time``, when, in steps from the onset of that
        pulse (NaN for none), and ``ending``: 0 nothing, 1 one output, 2 several, 3 one that is
        held on, -1 where the trial has no such stretch. ``status_answers`` and
        ``message_answers`` say which networks could not be run.

    Raises
    ------
    SolspaceError
        Where the task declares no challenges, its outputs are continuous, or a challenge does not
        fit its inputs.

    Examples
    --------
    >>> import solspace
    >>> ones = {"weight_ih": np.ones((1, 3, 2)), "weight_hh": np.zeros((1, 3, 3)),
    ...         "bias_ih": np.zeros((1, 3)), "bias_hh": np.zeros((1, 3)),
    ...         "weight_out": np.ones((1, 3)), "bias_out": np.zeros(1)}
    >>> ds = solspace.import_networks("interval_reproduction", "vanilla", {"mine": ones})
    >>> found = answers(ds)
    >>> found.first.dims, bool((found.first == 0).all())
    (('network', 'challenge', 'stretch'), True)
    """
    import xarray as xr

    from solspace.networks import parameter_names, start_names
    from solspace.population import architecture_of, each_network, network_weights, task_of
    from solspace.population.variables import text_array

    task = task_of(ds, task)
    family, asked = _asked(task, challenges)
    architecture = architecture_of(ds)
    names = [*parameter_names(architecture), *start_names(architecture, ds.variables)]
    names += ["hidden_size", "status_train", "task", "architecture"]
    kept = ds.drop_vars([n for n in ds.variables if n not in names and n not in ds.dims])
    n = ds.sizes["network"]
    shape = (n, *stretch_array(family, asked).shape[:2])
    out: dict[str, NDArray[Any]] = {
        "first": np.zeros(shape, np.int8),
        "time": np.full(shape, np.nan, np.float32),
        "ending": np.full(shape, -1, np.int8),
    }
    loaded: dict[int, xr.Dataset] = {}

    def compute(i: int) -> None:
        block = i // NETWORKS
        if block not in loaded:
            loaded.clear()
            loaded[block] = kept.isel(
                network=slice(block * NETWORKS, (block + 1) * NETWORKS)
            ).load()
        weights = network_weights(loaded[block], i % NETWORKS)
        for name, values in network_answers(task, architecture, weights, family, asked).items():
            out[name][i] = values

    ended = each_network(ds, "answers", compute, after="train", progress=progress)
    dims = ("network", "challenge", "stretch")
    labels = {
        c: v
        for c, v in ds.coords.items()
        if set(v.dims) <= {"network"} and c not in ("task", "architecture")
    }
    found = xr.Dataset(
        {name: (dims, values, {"long_name": _MEANING[name]}) for name, values in out.items()},
        coords={
            "challenge": text_array([one.name for one in asked]),
            "kind": ("challenge", text_array([one.kind for one in asked])),
            "task": task.name,
            "architecture": architecture,
        },
        attrs=dict(ds.attrs),
    )
    found["time"].attrs["units"] = "steps"
    return found.assign(ended).assign_coords(labels)


_MEANING = {
    "first": "symbol first put out after a pulse; 0 for none",
    "time": "when it is put out, from the onset of that pulse",
    "ending": "0 nothing, 1 one output, 2 several, 3 held on, -1 no such stretch",
}


def _asked(
    task: Task, challenges: ChallengeFamily | Sequence[Challenge] | None
) -> tuple[ChallengeFamily, tuple[Challenge, ...]]:
    if isinstance(challenges, ChallengeFamily):
        family, asked = challenges, challenges.challenges
    else:
        family = family_of(task)
        asked = family.challenges if challenges is None else tuple(challenges)
    if not asked or not all(isinstance(one, Challenge) for one in asked):
        raise SolspaceError(
            "challenges are none, or not of solspace.tasks.Challenge; give a ChallengeFamily, or "
            "Challenges of one"
        )
    for one in asked:
        if any(not 0 <= pulse.channel < len(task.inputs) for pulse in one.pulses):
            raise SolspaceError(
                f"challenge {one.name!r} has a pulse on an input that task {task.name!r} does not "
                f"have; its inputs are 0 to {len(task.inputs) - 1}"
            )
    return family, asked
