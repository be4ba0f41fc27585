"""Which challenges tell the solutions of a population apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.tasks.input_challenges import InputChallengeFamily

if TYPE_CHECKING:
    import xarray as xr

    from solspace.classification.classes import Classes
    from solspace.design.asking import Family
    from solspace.design.choosing import Knowledge
    from solspace.tasks import Task

__all__ = ["design"]

STRATEGIES = ("chosen", "random", "trained")
RANDOM_DRAWS = 5
LONGEST_TITLE = 32


class _Answers(NamedTuple):
    """What networks answer, by challenge: see `solspace.design.choosing.Knowledge`."""

    answer: NDArray[np.int32]
    share: NDArray[np.float64]
    codes: list[NDArray[np.int64]]


def design(
    ds: xr.Dataset,
    *,
    label: str = "solution",
    noise: float = 0.1,
    most: int = 5,
    sure: float = 0.8,
    strict: bool = False,
    without: Sequence[str] = (),
    folds: int = 5,
    minimum_class_size: int = 10,
    seed: int = 0,
    task: str | Task | None = None,
    answered: xr.Dataset | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Choose the challenges whose answers tell the classes of a label apart.

    Networks are held out in folds, stratified by class. Among the others the challenge is chosen
    whose answer says most about the label (mutual information with Miller and Madow's correction,
    see `solspace.design.corrected_information`), then the next given the answer to the first, and
    so on. Each training network stands for its class, with the probability that it would have
    given these answers or like ones as its weight, so that how the answers of a class go together
    is kept; noise in different trials is taken to be independent.

    Challenges that define the label are never chosen: those that graphs are made from for
    ``graph_key`` and ``automaton_key``, pulses after long silence for ``response_key``, silences
    for ``attractor_key`` (see `solspace.design.defining_challenges`). Longer sequences that begin
    like these are kept, unless ``strict``. For a label of one's own nothing is known to leave out:
    of one that is made of a measure (see `solspace.challenge`) name that in ``without``.

    Of challenges that are given by their input the answer is a choice, +1, -1 or none, and each
    network makes it as often as it does over repeats with fresh noise.

    Parameters
    ----------
    ds : Dataset
        A population with weights and the label.
    label : str
        ``solution``, ``graph_key``, ``attractor_key`` or any label along ``network``.
    noise : float
        Weber fraction of the times in answers: their standard deviation over their mean. Choices
        have none: they vary by the noise in their trials.
    most : int
        Challenges given to one network at most.
    sure : float
        Probability of a class below which the verdict is "cannot tell". Nor is there one where
        answers speak for the class less than three to one (the odds after them to those before):
        that it is common among networks tells nothing of an animal. Nor where the 95 % interval of
        kappa for so many trials is not above zero.
    strict : bool
        Leave out also what begins like a challenge that defines the label, or differs from one by
        a pulse's width or amplitude. Of challenges made of pulses alone.
    without : sequence of str
        Challenges that are not chosen either, by name, or measures, of which all challenges that
        they are made from are not.
    folds : int
    minimum_class_size : int
        Networks of smaller classes are left out.
    seed : int
        Of folds, noise and random challenges.
    task : str or Task, optional
        By default the dataset's own.
    answered : Dataset, optional
        What `answers` gave for these networks and the task's challenges; by default made here.
    progress : callable (int) -> None, optional
        Told after each network that was run.

    Returns
    -------
    Dataset
        Over ``challenge``, all of the task's family, ``class_name``, ``answer``, ``strategy``
        ("chosen"; "random" challenges, mean of 5 draws; "trained", chosen among trained trials
        alone) and ``trials``, their number:

        - ``kappa``, with ``kappa_low`` and ``kappa_high``: on networks held out, the class of
          highest probability; 95 % intervals by drawing networks anew. NaN where a strategy has no
          challenge. ``told`` is the share of networks with a verdict, ``right`` the share of
          verdicts that are right;
        - ``information``: bits of each challenge by itself, on all networks; ``left_out``: whether
          it defines the label;
        - ``given``: share of held-out networks that were given the challenge; ``order_share``:
          share of all that are given it as the first, second, ... trial when all are known;
        - ``answer_text``, ``likelihood`` of each answer in each class, and ``predicted``, the
          likeliest; of its networks ``predicted_first`` and ``predicted_ending`` after each pulse,
          the share ``predicted_share`` of networks with these, and theirs ``predicted_time``, the
          median in steps from that pulse, with percentiles 10 and 90 (``predicted_time_low``,
          ``predicted_time_high``); ``prior`` of each class;
        - ``pulse_onset``, ``pulse_channel``, ``pulse_width``, ``pulse_amplitude`` and ``steps``
          of each challenge; of one that is given by its input also ``given_input``,
          ``given_noise``, and ``asked_from`` and ``asked_until``, when the answer is asked for;
        - ``network_answer``, ``network_share``, ``network_class``, ``answer_code``: what
          `identify` uses.

        Attribute ``excluded`` counts networks that were left out by reason (JSON). It can be kept
        with ``to_netcdf``.

    Raises
    ------
    SolspaceError
        Where the task declares no challenges, there is no such label, fewer than two classes are
        large enough, every challenge defines the label, or a number is none.

    Examples
    --------
    >>> import xarray as xr
    >>> from solspace.design import design
    >>> design(xr.Dataset(coords={"task": "interval_reproduction"}), noise=-1)
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: noise=-1; give a Weber fraction from 0 to below 1, such as 0.1
    """
    from solspace.classification.models import draw_folds, need_sklearn
    from solspace.design.asking import answers
    from solspace.population.variables import DONE

    task, family, left_out = check_design(
        ds,
        label=label,
        noise=noise,
        most=most,
        sure=sure,
        strict=strict,
        without=without,
        folds=folds,
        minimum_class_size=minimum_class_size,
        seed=seed,
        task=task,
    )
    need_sklearn()
    if answered is None:
        answered = answers(ds, family, task=task, progress=progress)
    values = _labels_of(ds, label)
    names = [one.name for one in family.challenges]
    if answered.sizes["network"] != len(values) or answered.challenge.values.tolist() != names:
        raise SolspaceError(
            "`answered` is of other networks or challenges than these; give what "
            "solspace.design.answers(ds) returns, or leave it out"
        )
    classes = _classes(values, answered["status_answers"].values == DONE, minimum_class_size)
    excluded = {
        reason.replace("features are not finite", "its answers could not be had"): count
        for reason, count in classes.excluded().items()
    }
    used = np.flatnonzero(classes.used)
    given = _answers(answered.isel(network=used), family, noise)
    labels = classes.label[used]
    folds = min(folds, int(np.bincount(labels).min()))
    fold = draw_folds(labels, folds=folds, repeats=1, seed=seed)[0]
    trained = np.array([one.kind == "trained" for one in family.challenges])
    found = _hold_out(given, labels, fold, ~left_out, trained & ~left_out, most, seed)
    out = _result(given, labels, classes.name, found, sure, seed)
    order = _order(given, labels, ~left_out, most)
    out = out.assign(
        order_share=(("challenge", "trials"), order, {"long_name": _MEANING["order_share"]})
    )
    out = out.merge(_described(given, labels, answered.isel(network=used), task, family))
    out = out.assign_coords(
        challenge=np.array(names),
        kind=("challenge", np.array([one.kind for one in family.challenges])),
        left_out=("challenge", left_out),
        class_title=("class_name", np.array([_title(name) for name in classes.name])),
        task=task.name,
        architecture=answered.coords["architecture"].values[()],
    )
    out.attrs = {
        "label": label,
        "noise": noise,
        "sure": sure,
        "strict": int(strict),
        "folds": folds,
        "seed": seed,
        "excluded": json.dumps(excluded),
        "inputs": json.dumps(task.inputs),
        "outputs": json.dumps(task.outputs),
    }
    out.attrs |= _how_read(family)
    return out


def _how_read(family: Family) -> dict[str, Any]:
    """How answers are read, as attributes."""
    if isinstance(family, InputChallengeFamily):
        return {"bins": "[]", "threshold": family.threshold, "output": family.output}
    return {
        "bins": json.dumps(family.bins),
        "transient": family.transient,
        "shortest": family.shortest,
        "held": family.held,
    }


def check_design(
    ds: xr.Dataset,
    *,
    label: str = "solution",
    noise: float = 0.1,
    most: int = 5,
    sure: float = 0.8,
    strict: bool = False,
    without: Sequence[str] = (),
    folds: int = 5,
    minimum_class_size: int = 10,
    seed: int = 0,
    task: str | Task | None = None,
) -> tuple[Task, Family, NDArray[np.bool_]]:
    """What `design` refuses, refused before networks are run.

    Returns
    -------
    task : Task
    family : ChallengeFamily
    left_out : array of bool (challenge,)
        Which define the label.
    """
    from solspace.design.asking import family_of
    from solspace.design.defining import defining_challenges, named_challenges
    from solspace.population import task_of

    _check_numbers(noise, most, sure, folds, seed)
    task = task_of(ds, task)
    family = family_of(task)
    values = _labels_of(ds, label)
    _classes(values, np.ones(len(values), bool), minimum_class_size)
    left_out = defining_challenges(task, family, label, ds.attrs, strict=strict)
    left_out = left_out | named_challenges(family, without)
    if left_out.all():
        raise SolspaceError(
            f"every challenge of task {task.name!r} defines {label!r}"
            f"{' or is not to be chosen' * bool(without)}, so none can be chosen; give "
            "another label, or declare further challenges"
        )
    return task, family, left_out


def _classes(values: NDArray[Any], ran: NDArray[np.bool_], least: int) -> Classes:
    from solspace.classification.classes import form_classes

    try:
        return form_classes(values, np.where(ran, 0.0, np.nan)[:, None], minimum_class_size=least)
    except SolspaceError as error:
        raise SolspaceError(str(error).replace(" and finite features", "")) from None


def _title(name: str) -> str:
    """The short name of a key that has one; of long ones a digest; of others what they are."""
    from solspace.labels import solution_name

    short = solution_name(name) if ":" in name else name
    return name if short.startswith("solution_") and len(name) <= LONGEST_TITLE else short


def _check_numbers(noise: float, most: int, sure: float, folds: int, seed: int) -> None:
    if not 0 <= noise < 1:
        raise SolspaceError(f"noise={noise}; give a Weber fraction from 0 to below 1, such as 0.1")
    if most < 1:
        raise SolspaceError(f"most={most}; give the number of challenges, 1 or more")
    if not 0 < sure < 1:
        raise SolspaceError(f"sure={sure}; give a probability between 0 and 1, such as 0.8")
    if folds < 2:
        raise SolspaceError(f"folds={folds}; give 2 or more, such as 5")
    if seed < 0:
        raise SolspaceError(f"seed={seed}; give a whole number from 0")


def _labels_of(ds: xr.Dataset, label: str) -> NDArray[Any]:
    from solspace.diversity.labels import count_labels

    if label == "solution" and "solution_key" in ds.variables:
        label = "solution_key"  # the same classes, by names that are the same in every store
    count_labels(ds, label)  # or an error that lists those there are
    return np.asarray(ds[label].values)


def _answers(answered: xr.Dataset, family: Family, noise: float) -> _Answers:
    from solspace.design.reading import Answered, answer_table, choice_table

    tables = []
    if isinstance(family, InputChallengeFamily):
        shares = answered["choice_share"].values
        tables = [choice_table(shares[:, c]) for c in range(len(family))]
    else:
        first, time, ending = (answered[name].values for name in ("first", "time", "ending"))
        for c, one in enumerate(family.challenges):
            k = len(one.stretches(family.transient))
            part = Answered(first[:, c, :k], time[:, c, :k], ending[:, c, :k])
            tables.append(answer_table(part, family.bins, noise))
    most = max(answer.shape[1] for _, answer, _ in tables)
    answer = np.zeros((len(tables), answered.sizes["network"], most), np.int32)
    share = np.zeros(answer.shape)
    for c, (_, which, probable) in enumerate(tables):
        answer[c, :, : which.shape[1]] = which
        share[c, :, : which.shape[1]] = probable
    return _Answers(answer, share, [code for code, _, _ in tables])


class _HeldOut(NamedTuple):
    """Posteriors by strategy (draw, network, trials, class), and who was given what."""

    posterior: dict[str, NDArray[np.float64] | None]
    given: NDArray[np.float64]


def _hold_out(
    given: _Answers,
    label: NDArray[np.int64],
    fold: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    trained: NDArray[np.bool_],
    most: int,
    seed: int,
) -> _HeldOut:
    from solspace.design.choosing import Asked, ask_adaptively

    rng = np.random.default_rng(seed)
    n, classes = len(label), int(label.max()) + 1
    # What each network answers when it is held out.
    below = given.share.cumsum(axis=-1)
    at = (below < rng.random(below.shape[:2])[..., None] * below[..., -1:]).sum(axis=-1)
    drawn = np.take_along_axis(given.answer, at[..., None], axis=2)[..., 0]
    out: dict[str, NDArray[np.float64] | None] = {
        "chosen": np.zeros((1, n, most, classes)),
        "random": np.zeros((RANDOM_DRAWS, n, most, classes)),
        "trained": np.zeros((1, n, most, classes)) if trained.any() else None,
    }
    times_given = np.zeros(len(allowed))
    others = np.flatnonzero(allowed)
    for f in range(int(fold.max()) + 1):
        held = np.flatnonzero(fold == f)
        known = _known(given, label, np.flatnonzero(fold != f))
        for name, may in (("chosen", allowed), ("trained", trained)):
            posterior = out[name]
            if posterior is None:
                continue
            asked = Asked(known, may, given.codes)
            for i in held:
                posterior[0, i], trials = ask_adaptively(asked, drawn[:, i], most)
                if name == "chosen":
                    times_given[trials] += 1 / n
        at_random = out["random"]
        assert at_random is not None
        asked = Asked(known, allowed, given.codes)
        for draw in range(RANDOM_DRAWS):
            order = rng.permutation(others)[:most].tolist()
            for i in held:
                at_random[draw, i], _ = ask_adaptively(asked, drawn[:, i], most, order)
    return _HeldOut(out, times_given)


def _order(
    given: _Answers, label: NDArray[np.int64], allowed: NDArray[np.bool_], most: int
) -> NDArray[np.float64]:
    """Share of networks given each challenge as the first, second, ... where all are known."""
    from solspace.design.choosing import Asked, ask_adaptively

    asked = Asked(_known(given, label, np.arange(len(label))), allowed, given.codes)
    likeliest = np.take_along_axis(given.answer, given.share.argmax(axis=2)[..., None], axis=2)
    out = np.zeros((len(allowed), most))
    for i in range(len(label)):
        _, trials = ask_adaptively(asked, likeliest[:, i, 0], most)
        out[trials, np.arange(len(trials))] += 1 / len(label)
    return out


def _known(given: _Answers, label: NDArray[np.int64], of: NDArray[np.intp]) -> Knowledge:
    """What some networks say; answers that none of them gives are none of its own."""
    from solspace.design.choosing import Knowledge

    answer, codes = given.answer[:, of].copy(), []
    for c, code in enumerate(given.codes):
        there = np.zeros(1 + len(code), bool)
        there[np.unique(answer[c])] = True
        there[0] = True
        answer[c] = (np.cumsum(there) - 1)[answer[c]]
        codes.append(code[there[1:]])
    return Knowledge(answer, given.share[:, of], codes, label[of], int(label.max()) + 1)


def _result(
    given: _Answers,
    label: NDArray[np.int64],
    names: tuple[str, ...],
    found: _HeldOut,
    sure: float,
    seed: int,
) -> xr.Dataset:
    import xarray as xr

    from solspace.classification.scores import cohen_kappa, kappa_interval
    from solspace.design.choosing import is_told

    prior = np.bincount(label) / len(label)
    posterior = found.posterior["chosen"]
    assert posterior is not None
    most, classes = posterior.shape[2:]
    shape = (len(STRATEGIES), most)
    scores = {
        name: np.full(shape, np.nan)
        for name in ("kappa", "kappa_low", "kappa_high", "told", "right")
    }
    for s, name in enumerate(STRATEGIES):
        posterior = found.posterior[name]
        for k in range(most if posterior is not None else 0):
            assert posterior is not None
            guess = posterior[:, :, k].argmax(axis=-1)
            certain = is_told(posterior[:, :, k], prior, sure)
            interval, _ = kappa_interval(label, [guess], classes, seed=seed)
            scores["kappa"][s, k] = cohen_kappa(label, guess, classes).mean()
            scores["kappa_low"][s, k], scores["kappa_high"][s, k] = interval[0]
            # Where trials tell nothing of networks held out, there is no verdict.
            certain &= scores["kappa_low"][s, k] > 0
            scores["told"][s, k] = certain.mean()
            if certain.any():
                scores["right"][s, k] = (guess == label)[certain].mean()
    known = _known(given, label, np.arange(len(label)))
    at = ("strategy", "trials")
    return xr.Dataset(
        {
            **{
                name: (at, values, {"long_name": _MEANING[name]}) for name, values in scores.items()
            },
            "information": (
                "challenge",
                known.information(known.start),
                {"long_name": _MEANING["information"], "units": "bits"},
            ),
            "given": ("challenge", found.given, {"long_name": _MEANING["given"]}),
            "likelihood": (("challenge", "class_name", "answer"), known.shares()),
            "prior": ("class_name", prior),
            "network_answer": (("challenge", "network_used", "alternative"), given.answer),
            "network_share": (
                ("challenge", "network_used", "alternative"),
                given.share.astype(np.float32),
            ),
            "network_class": ("network_used", label),
        },
        coords={
            "strategy": np.array(STRATEGIES),
            "trials": np.arange(1, most + 1),
            "class_name": np.array(names),
        },
    )


def _described(
    given: _Answers,
    label: NDArray[np.int64],
    answered: xr.Dataset,
    task: Task,
    family: Family,
) -> xr.Dataset:
    """Challenges and answers in words and numbers, and what each class is likely to answer."""
    import xarray as xr

    from solspace.design.reading import code_text

    every: tuple[Any, ...] = family.challenges
    widest = 1 + max(len(code) for code in given.codes)
    parts = max(code.shape[1] for code in given.codes)
    codes = np.full((len(every), widest, parts), NO_CODE, np.int16)
    text = np.full((len(every), widest), "", dtype="U160")
    text[:, 0] = OTHER_TEXT
    shape = (len(every), int(label.max()) + 1)
    predicted = np.full(shape, "", dtype="U160")
    chosen = isinstance(family, InputChallengeFamily)
    first = np.zeros((*shape, 1 if chosen else answered.sizes["stretch"]), np.int8)
    ending = np.full(first.shape, -1, np.int8)
    time = np.full((3, *first.shape), np.nan, np.float32)  # median, and 10th and 90th percentile
    alike = np.zeros(shape)
    names = () if chosen else ("first", "ending", "time")
    known = {name: answered[name].values for name in names}
    bins = () if isinstance(family, InputChallengeFamily) else family.bins
    for c, code in enumerate(given.codes):
        codes[c, 1 : 1 + len(code), : code.shape[1]] = code
        words = [code_text(row, bins, task.outputs) for row in code]
        text[c, 1 : 1 + len(code)] = words
        kind = np.unique(code[:, :-1], axis=0, return_inverse=True)[1].ravel()
        for k in range(shape[1]):
            own = np.flatnonzero(label == k)
            which, share = given.answer[c, own].ravel(), given.share[c, own].ravel()
            total = np.bincount(which, share, 1 + len(code))[1:]
            # Of what is put out the likeliest, whenever; of that the likeliest time.
            often = int(np.bincount(kind, total).argmax())
            best = int(np.where(kind == often, total, -1.0).argmax())
            predicted[c, k] = words[best]
            said = code[best, :-1].reshape(-1, 2)
            till = len(said)
            first[c, k, :till], ending[c, k, :till] = said.T
            if chosen:
                alike[c, k] = total[best] / total.sum()
                if said[0, 0]:
                    time[:, c, k, 0] = _asked_after(every[c])
                continue
            # Of those that put out the same, whenever: bins are as narrow as can be told.
            same = (known["first"][own, c, :till] == said[:, 0]) & (
                known["ending"][own, c, :till] == said[:, 1]
            )
            alike[c, k] = same.all(axis=1).mean()
            for j in np.flatnonzero(said[:, 1]):
                when = known["time"][own[same.all(axis=1)], c, j]
                time[:, c, k, j] = np.quantile(when, [0.5, 0.1, 0.9])
    pulses = max(len(one.pulses) for one in every)
    onset, channel, width = (np.full((len(every), pulses), -1, np.int32) for _ in range(3))
    amplitude = np.full((len(every), pulses), np.nan)
    for c, one in enumerate(every):
        for k, pulse in enumerate(one.pulses):
            onset[c, k], channel[c, k], width[c, k], amplitude[c, k] = pulse
    by_class = ("challenge", "class_name", "stretch")
    by_pulse = ("challenge", "pulse")
    found = xr.Dataset(
        {
            "answer_code": (("challenge", "answer", "part"), codes),
            "answer_text": (("challenge", "answer"), text),
            "predicted": (("challenge", "class_name"), predicted),
            "predicted_first": (by_class, first),
            "predicted_ending": (by_class, ending),
            "predicted_time": (by_class, time[0], {"units": "steps"}),
            "predicted_time_low": (by_class, time[1], {"units": "steps"}),
            "predicted_time_high": (by_class, time[2], {"units": "steps"}),
            "predicted_share": (("challenge", "class_name"), alike),
            "pulse_onset": (by_pulse, onset, {"units": "steps"}),
            "pulse_channel": (by_pulse, channel),
            "pulse_width": (by_pulse, width, {"units": "steps"}),
            "pulse_amplitude": (by_pulse, amplitude),
            "steps": ("challenge", np.array([one.steps for one in every])),
        }
    )
    return found.assign(_given(family)) if isinstance(family, InputChallengeFamily) else found


def _asked_after(one: Any) -> int:
    """Steps from what is given first to when the answer is asked for."""
    return int(one.asked[0]) - (one.pulses[0].onset if one.pulses else 0)


def _given(family: InputChallengeFamily) -> dict[str, Any]:
    """What challenges that are given by their input are, and when they are asked."""
    every = family.challenges
    shape = len(every), max(one.steps for one in every), np.asarray(every[0].given).shape[1]
    given = np.full(shape, np.nan, np.float32)
    noise = np.zeros((shape[0], shape[2]))
    for c, one in enumerate(every):
        given[c, : one.steps] = one.given
        if one.noise:
            noise[c] = one.noise
    at = "challenge"
    asked = np.array([one.asked for one in every])
    return {
        "given_input": ((at, "time", "input_channel"), given),
        "given_noise": ((at, "input_channel"), noise),
        "asked_from": (at, asked[:, 0], {"units": "steps"}),
        "asked_until": (at, asked[:, 1], {"units": "steps"}),
    }


OTHER_TEXT = "another answer"
NO_CODE = -99  # in answer_code, past what a challenge has
_MEANING = {
    "kappa": "Cohen's kappa on networks held out",
    "kappa_low": "lower end of the 95 % interval of kappa",
    "kappa_high": "upper end of the 95 % interval of kappa",
    "told": "share of networks with a verdict",
    "right": "share of verdicts that are right",
    "information": "mutual information of answer and label, corrected for few networks",
    "given": "share of networks held out that were given the challenge",
    "order_share": "share of networks given the challenge as the first, second, ...",
}
