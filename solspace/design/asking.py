"""Run the networks of a population over challenges, and keep their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from solspace.design.reading import CHOICES, choice_shares
from solspace.errors import SolspaceError
from solspace.tasks.challenges import Challenge, ChallengeFamily
from solspace.tasks.input_challenges import InputChallenge, InputChallengeFamily

if TYPE_CHECKING:
    import xarray as xr

    from solspace.networks import Weights
    from solspace.tasks import Task

__all__ = ["answers", "family_of", "network_answers"]

MOST_STATES = 4_000_000  # numbers of the states that are in memory at once
NETWORKS = 32  # that are read at once
NAMES = ("first", "time", "ending")


Family: TypeAlias = ChallengeFamily | InputChallengeFamily
Asked: TypeAlias = Sequence[Challenge] | Sequence[InputChallenge]


def family_of(task: Task) -> Family:
    """The challenges of a task, or an error where it has none or answers cannot be read."""
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
        output = networks.run_output(architecture, weights, given)
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
    challenges: Family | Asked | None = None,
    *,
    task: str | Task | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """What every network of a population answers to challenges.

    Networks are run one at a time and a few challenges at once, so that memory does not grow with
    either; of each trial no more is kept than its answer.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    challenges : ChallengeFamily or InputChallengeFamily, or sequence of their challenges, optional
        By default those that the task declares. Of a sequence, answers are read as the task's
        family says.
    task : str or Task, optional
        By default the dataset's own.
    seed : int
        Of the noise in challenges that are given by their input.
    progress : callable (int) -> None, optional
        Told after each network.

    Returns
    -------
    Dataset
        Over ``(network, challenge, stretch)``, a stretch being what follows one pulse: ``first``,
        the symbol first put out (0 for none), ``time``, when, in steps from the onset of that
        pulse (NaN for none), and ``ending``: 0 nothing, 1 one output, 2 several, 3 one that is
        held on, -1 where the trial has no such stretch. Of challenges that are given by their
        input and answered by a choice ``choice_share`` (network, challenge, choice) instead: how
        often each choice, -1, 0 (none) or 1, is made over repeats with fresh noise.
        ``status_answers`` and ``message_answers`` say which networks could not be run.

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
    if seed < 0:
        raise SolspaceError(f"seed={seed}; give a whole number from 0")
    architecture = architecture_of(ds)
    names = [*parameter_names(architecture), *start_names(architecture, ds.variables)]
    names += ["hidden_size", "status_train", "task", "architecture"]
    kept = ds.drop_vars([n for n in ds.variables if n not in names and n not in ds.dims])
    n = ds.sizes["network"]
    of_one: Callable[[Weights], dict[str, NDArray[Any]]]
    if isinstance(family, InputChallengeFamily):
        out: dict[str, NDArray[Any]] = {"choice_share": np.full((n, len(asked), 3), np.nan)}
        dims: tuple[str, ...] = ("network", "challenge", "choice")
        of_one = _choosing(architecture, family, asked, seed)
    else:
        shape = (n, *stretch_array(family, asked).shape[:2])
        out = {
            "first": np.zeros(shape, np.int8),
            "time": np.full(shape, np.nan, np.float32),
            "ending": np.full(shape, -1, np.int8),
        }
        dims = ("network", "challenge", "stretch")
        of_one = partial(_reading, task, architecture, family, asked)
    loaded: dict[int, xr.Dataset] = {}

    def compute(i: int) -> None:
        block = i // NETWORKS
        if block not in loaded:
            loaded.clear()
            loaded[block] = kept.isel(
                network=slice(block * NETWORKS, (block + 1) * NETWORKS)
            ).load()
        weights = network_weights(loaded[block], i % NETWORKS)
        for name, values in of_one(weights).items():
            out[name][i] = values

    ended = each_network(ds, "answers", compute, after="train", progress=progress)
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
    if "time" in found.variables:
        found["time"].attrs["units"] = "steps"
    else:
        found = found.assign_coords(choice=np.array(CHOICES))
    return found.assign(ended).assign_coords(labels)


def _reading(
    task: Task,
    architecture: str,
    family: ChallengeFamily,
    asked: Sequence[Challenge],
    weights: Weights,
) -> dict[str, NDArray[Any]]:
    return network_answers(task, architecture, weights, family, asked)


def _choosing(
    architecture: str, family: InputChallengeFamily, asked: Sequence[InputChallenge], seed: int
) -> Callable[[Weights], dict[str, NDArray[Any]]]:
    """How often one network makes each choice; noise is drawn once for all networks."""
    from solspace.challenging.giving import GivenChallenges

    given = GivenChallenges(family, seed, tuple(asked))
    repeats = np.array([one.repeats for one in asked])

    def shares(weights: Weights) -> dict[str, NDArray[Any]]:
        output = given.outputs(architecture, weights)
        if not np.isfinite(output[np.arange(output.shape[1]) < repeats[:, None]]).all():
            raise SolspaceError("the output is not finite")
        return {"choice_share": choice_shares(output, family.threshold)}

    return shares


_MEANING = {
    "choice_share": "share of repeats in which the choice is -1, none (0) or 1",
    "first": "symbol first put out after a pulse; 0 for none",
    "time": "when it is put out, from the onset of that pulse",
    "ending": "0 nothing, 1 one output, 2 several, 3 held on, -1 no such stretch",
}


def _asked(task: Task, challenges: Family | Asked | None) -> tuple[Any, Any]:
    """The family that says how answers are read, and its challenges that are given."""
    if isinstance(challenges, (ChallengeFamily, InputChallengeFamily)):
        family: Family = challenges
        asked: tuple[Any, ...] = challenges.challenges
    else:
        family = family_of(task)
        asked = family.challenges if challenges is None else tuple(challenges)
    by_input = isinstance(family, InputChallengeFamily)
    kind: type = InputChallenge if by_input else Challenge
    if not asked or not all(isinstance(one, kind) for one in asked):
        raise SolspaceError(
            f"challenges are none, or not of solspace.tasks.{kind.__name__}; give a "
            f"{type(family).__name__}, or {kind.__name__}s of one"
        )
    for one in asked:
        if by_input:
            if one.input(0).shape[1:] != (len(task.inputs),):
                raise SolspaceError(
                    f"challenge {one.name!r} has an input of shape {one.input(0).shape}; task "
                    f"{task.name!r} has {len(task.inputs)} inputs, so give (time, "
                    f"{len(task.inputs)})"
                )
        elif any(not 0 <= pulse.channel < len(task.inputs) for pulse in one.pulses):
            raise SolspaceError(
                f"challenge {one.name!r} has a pulse on an input that task {task.name!r} does not "
                f"have; its inputs are 0 to {len(task.inputs) - 1}"
            )
    return family, asked
