"""Which challenges tell the solutions of a population apart, and what answers say of a solution."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

    from solspace.design.choosing import Knowledge
    from solspace.tasks import Task
    from solspace.tasks.challenges import ChallengeFamily

__all__ = ["design", "identify"]

STRATEGIES = ("chosen", "random", "trained")
RANDOM_DRAWS = 5


class _Answers(NamedTuple):
    """``probability`` (challenge, network, answer), and ``code`` and ``text`` by challenge."""

    probability: NDArray[np.float64]
    code: list[NDArray[np.int64]]
    text: list[list[str]]


def design(
    ds: xr.Dataset,
    *,
    label: str = "solution",
    noise: float = 0.1,
    most: int = 5,
    sure: float = 0.8,
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
    given these answers as its weight, so that how the answers of a class go together is kept; noise
    in different trials is taken to be independent.

    Challenges that define the label are never chosen: those that graphs are made from for
    ``graph_key`` and ``automaton_key``, pulses after long silence for ``response_key``, silences
    for ``attractor_key`` (see `solspace.design.defining_challenges`). Longer sequences that begin
    like these are kept. For a label of one's own nothing is known to leave out.

    Parameters
    ----------
    ds : Dataset
        A population with weights and the label.
    label : str
        ``solution``, ``graph_key``, ``attractor_key`` or any label along ``network``.
    noise : float
        Weber fraction of the times in answers: their standard deviation over their mean.
    most : int
        Challenges given to one network at most.
    sure : float
        Probability of a class below which the verdict is "cannot tell".
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
        - ``given``: share of held-out networks that were given the challenge;
        - ``answer_text``, ``likelihood`` of each answer in each class, and ``predicted``, the
          likeliest; ``prior`` of each class;
        - ``network_likelihood``, ``network_class``: what `identify` uses.

        Attribute ``excluded`` counts networks that were left out by reason (JSON).

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
    from solspace.classification.classes import form_classes
    from solspace.classification.models import draw_folds, need_sklearn
    from solspace.design.asking import answers, family_of
    from solspace.design.defining import defining_challenges
    from solspace.population import task_of
    from solspace.population.variables import DONE

    _check_numbers(noise, most, sure, folds, seed)
    task = task_of(ds, task)
    family = family_of(task)
    values = _labels_of(ds, label)
    need_sklearn()
    if answered is None:
        answered = answers(ds, family, task=task, progress=progress)
    names = [one.name for one in family.challenges]
    if answered.sizes["network"] != len(values) or answered.challenge.values.tolist() != names:
        raise SolspaceError(
            "`answered` is of other networks or challenges than these; give what "
            "solspace.design.answers(ds) returns, or leave it out"
        )
    ran = answered["status_answers"].values == DONE
    classes = form_classes(
        values,
        np.where(ran, 0.0, np.nan)[:, None],
        minimum_class_size=minimum_class_size,
    )
    excluded = {
        reason.replace("features are not finite", "its answers could not be had"): count
        for reason, count in classes.excluded().items()
    }
    left_out = defining_challenges(task, family, label, ds.attrs)
    if left_out.all():
        raise SolspaceError(
            f"every challenge of task {task.name!r} defines {label!r}, so none can be chosen; give "
            "another label, or declare further challenges"
        )
    used = np.flatnonzero(classes.used)
    given = _answers(answered.isel(network=used), task, family, noise)
    labels = classes.label[used]
    folds = min(folds, int(np.bincount(labels).min()))
    fold = draw_folds(labels, folds=folds, repeats=1, seed=seed)[0]
    trained = np.array([one.kind == "trained" for one in family.challenges])
    found = _hold_out(given.probability, labels, fold, ~left_out, trained & ~left_out, most, seed)
    out = _result(given, labels, classes.name, found, sure, seed)
    out = out.assign_coords(
        challenge=np.array(names),
        kind=("challenge", np.array([one.kind for one in family.challenges])),
        left_out=("challenge", left_out),
        task=task.name,
        architecture=answered.coords["architecture"].values[()],
    )
    out.attrs = {
        "label": label,
        "noise": noise,
        "sure": sure,
        "folds": folds,
        "seed": seed,
        "excluded": json.dumps(excluded),
    }
    return out


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


def _answers(answered: xr.Dataset, task: Task, family: ChallengeFamily, noise: float) -> _Answers:
    """Binned answers with their probabilities; answer 0 is left free for those of few."""
    from solspace.design.reading import Answered, answer_table, code_text

    first, time, ending = (answered[name].values for name in ("first", "time", "ending"))
    tables = []
    for c, one in enumerate(family.challenges):
        k = len(one.stretches(family.transient))
        part = Answered(first[:, c, :k], time[:, c, :k], ending[:, c, :k])
        tables.append(answer_table(part, family.bins, noise))
    widest = 1 + max(len(code) for code, _ in tables)
    probability = np.zeros((len(tables), len(first), widest))
    for c, (code, share) in enumerate(tables):
        probability[c, :, 1 : 1 + len(code)] = share
    codes = [code for code, _ in tables]
    text = [[code_text(row, family.bins, task.outputs) for row in code] for code in codes]
    return _Answers(probability, codes, text)


class _HeldOut(NamedTuple):
    """Posteriors by strategy (draw, network, trials, class), and who was given what."""

    posterior: dict[str, NDArray[np.float64] | None]
    given: NDArray[np.float64]


def _hold_out(
    probability: NDArray[np.float64],
    label: NDArray[np.int64],
    fold: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    trained: NDArray[np.bool_],
    most: int,
    seed: int,
) -> _HeldOut:
    from solspace.design.choosing import Knowledge, ask_adaptively

    rng = np.random.default_rng(seed)
    n, classes = len(label), int(label.max()) + 1
    # What each network answers when it is held out.
    below = probability.cumsum(axis=-1)
    drawn = (below < rng.random(probability.shape[:2])[..., None] * below[..., -1:]).sum(axis=-1)
    out: dict[str, NDArray[np.float64] | None] = {
        "chosen": np.zeros((1, n, most, classes)),
        "random": np.zeros((RANDOM_DRAWS, n, most, classes)),
        "trained": np.zeros((1, n, most, classes)) if trained.any() else None,
    }
    times_given = np.zeros(len(allowed))
    others = np.flatnonzero(allowed)
    for f in range(int(fold.max()) + 1):
        held = np.flatnonzero(fold == f)
        known = Knowledge.of(probability[:, fold != f], label[fold != f], classes)
        for name, may in (("chosen", allowed), ("trained", trained)):
            posterior = out[name]
            cache: dict[tuple[tuple[int, int], ...], int] = {}
            if posterior is None:
                continue
            for i in held:
                posterior[0, i], asked = ask_adaptively(known, drawn[:, i], may, most, cache)
                if name == "chosen":
                    times_given[asked] += 1 / n
        at_random = out["random"]
        assert at_random is not None
        for draw in range(RANDOM_DRAWS):
            order = rng.permutation(others)[:most]
            found = known.after_all(order.tolist(), drawn[:, held])
            at_random[draw, held] = found[:, np.minimum(np.arange(most), len(order) - 1)]
    return _HeldOut(out, times_given)


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
    from solspace.design.choosing import Knowledge

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
            certain = posterior[:, :, k].max(axis=-1) >= sure
            interval, _ = kappa_interval(label, [guess], classes, seed=seed)
            scores["kappa"][s, k] = cohen_kappa(label, guess, classes).mean()
            scores["kappa_low"][s, k], scores["kappa_high"][s, k] = interval[0]
            scores["told"][s, k] = certain.mean()
            if certain.any():
                scores["right"][s, k] = (guess == label)[certain].mean()
    known = Knowledge.of(given.probability, label, classes)
    likelihood = known.predicted()
    likelihood[..., 0] += (likelihood * ~known.own[:, None, :]).sum(-1)
    likelihood *= known.own[:, None, :]
    text = np.full(known.own.shape, "", dtype="U160")
    text[:, 0] = OTHER_TEXT
    for c, words in enumerate(given.text):
        text[c, 1 : 1 + len(words)] = words
    predicted = np.take_along_axis(text, likelihood.argmax(axis=-1), axis=1)
    at = ("strategy", "trials")
    return xr.Dataset(
        {
            **{
                name: (at, values, {"long_name": _MEANING[name]}) for name, values in scores.items()
            },
            "information": (
                "challenge",
                known.information(known.weights(())),
                {"long_name": _MEANING["information"], "units": "bits"},
            ),
            "given": ("challenge", found.given, {"long_name": _MEANING["given"]}),
            "likelihood": (("challenge", "class_name", "answer"), likelihood),
            "predicted": (("challenge", "class_name"), predicted),
            "prior": ("class_name", np.bincount(label) / len(label)),
            "network_likelihood": (
                ("challenge", "network_used", "answer"),
                given.probability.astype(np.float32),
            ),
            "network_class": ("network_used", label),
            "answer_text": (("challenge", "answer"), text),
        },
        coords={
            "strategy": np.array(STRATEGIES),
            "trials": np.arange(1, most + 1),
            "class_name": np.array(names),
        },
    )


OTHER_TEXT = "another answer"
_MEANING = {
    "kappa": "Cohen's kappa on networks held out",
    "kappa_low": "lower end of the 95 % interval of kappa",
    "kappa_high": "upper end of the 95 % interval of kappa",
    "told": "share of networks with a verdict",
    "right": "share of verdicts that are right",
    "information": "mutual information of answer and label, corrected for few networks",
    "given": "share of networks held out that were given the challenge",
}


def identify(designed: xr.Dataset, given: Mapping[str, str | None]) -> xr.Dataset:
    """The probability of each solution after answers, and the challenge to give next.

    Parameters
    ----------
    designed : Dataset
        What `design` returned.
    given : mapping of str to str or None
        By challenge, in the order given, the answer, as one of its ``answer_text``, such as
        ``"none; +1 at 22-33"``; None where nothing was put out in the whole trial. An answer that
        no network gave counts as "another answer".

    Returns
    -------
    Dataset
        ``probability`` over ``class_name``, ``verdict``, the class or "cannot tell", and
        ``next_challenge``, the one that says most by now, empty where none says anything, with its
        ``gain`` in bits.

    Raises
    ------
    SolspaceError
        For an unknown challenge, and for words that are no answer.

    Examples
    --------
    What `design` returns has these and more; here one challenge tells two classes apart.

    >>> import xarray as xr
    >>> share = np.zeros((1, 20, 3))
    >>> share[0, :10, 1] = share[0, 10:, 2] = 1
    >>> designed = xr.Dataset(
    ...     {"network_likelihood": (("challenge", "network_used", "answer"), share),
    ...      "network_class": ("network_used", np.repeat([0, 1], 10)),
    ...      "answer_text": (("challenge", "answer"), [["another answer", "none", "+1 at 22-33"]])},
    ...     coords={"challenge": ["set 0"], "left_out": ("challenge", [False]),
    ...             "class_name": ["a", "b"]},
    ...     attrs={"label": "mine", "sure": 0.8})
    >>> identify(designed, {}).verdict.item(), identify(designed, {"set 0": None}).verdict.item()
    ('cannot tell', 'a')
    """
    import xarray as xr

    from solspace.design.choosing import LEAST_GAIN, OTHER

    names = designed.challenge.values.tolist()
    known = _known(designed)
    pairs = []
    for name, answer in given.items():
        if name not in names:
            raise SolspaceError(
                f"unknown challenge {name!r}; challenges: {', '.join(names[:5])}, ... "
                "(design.challenge lists all)"
            )
        c = names.index(name)
        words = designed.answer_text.values[c].tolist()
        pairs.append((c, _position(name, answer, words) or OTHER))
    weight = known.weights(pairs)
    posterior = known.posterior(weight)
    gain = np.where(designed.left_out.values, 0.0, known.information(weight))
    gain[[c for c, _ in pairs]] = 0.0
    best = int(gain.argmax())
    told = posterior.max() >= designed.attrs["sure"]
    classes = designed.class_name.values
    return xr.Dataset(
        {
            "probability": ("class_name", posterior),
            "verdict": ((), str(classes[posterior.argmax()]) if told else "cannot tell"),
            "next_challenge": ((), names[best] if gain[best] >= LEAST_GAIN else ""),
            "gain": ((), float(gain[best]), {"units": "bits"}),
        },
        coords={"class_name": classes},
        attrs={"label": designed.attrs["label"], "sure": designed.attrs["sure"]},
    )


def _known(designed: xr.Dataset) -> Knowledge:
    from solspace.design.choosing import Knowledge

    probability = designed.network_likelihood.values.astype(np.float64)
    return Knowledge.of(probability, designed.network_class.values, designed.sizes["class_name"])


def _position(name: str, answer: str | None, words: list[str]) -> int:
    """Where an answer stands among those of a challenge; 0 for one that no network gave."""
    if answer is None:
        silent = [i for i, text in enumerate(words) if text and set(text.split("; ")) == {"none"}]
        return silent[0] if silent else 0
    if answer in words:
        return words.index(answer)
    parts = answer.split("; ") if isinstance(answer, str) else []
    known = next((text.split("; ") for text in words[1:] if text), [])
    if len(parts) != len(known) or not all(_is_answer(part) for part in parts):
        raise SolspaceError(
            f"{answer!r} is no answer to {name!r}; give one such as {words[1]!r}, or None for none "
            "(design.answer_text lists them)"
        )
    return 0


def _is_answer(part: str) -> bool:
    import re

    return re.fullmatch(r"none|.*[+-]1( (at \d+-\d+|from \d+))?(, (again|held))?", part) is not None
