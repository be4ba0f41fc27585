"""What answers say of a solution."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

if TYPE_CHECKING:
    import xarray as xr

    from solspace.design.choosing import Knowledge
    from solspace.tasks.challenges import Challenge
    from solspace.tasks.input_challenges import InputChallenge

    AnyChallenge: TypeAlias = Challenge | InputChallenge

__all__ = ["Answer", "challenge_of", "chosen_challenges", "identify"]

Answer: TypeAlias = "str | int | Sequence[Sequence[float]] | NDArray[Any] | None"
CANNOT_TELL = "cannot tell"


def identify(designed: xr.Dataset, given: Mapping[str, Answer]) -> xr.Dataset:
    """The probability of each solution after answers, and the challenge to give next.

    Parameters
    ----------
    designed : Dataset
        What `design` returned.
    given : mapping of str to answer
        By challenge the answer. One of

        - words, as in ``answer_text``, such as ``"none; +1 at 22-33"``;
        - events, a list of ``(time, symbol)``: when each output began, in steps from the onset of
          the challenge's first pulse (of silence, from its start), and which, such as 1; or
          ``(time, symbol, steps)`` where it was held so long (by default a short one);
        - an array (time,) of the output symbols in each step of the challenge's trial, or
          (time, output) of the outputs themselves;
        - None, or no events, where nothing was put out in the whole trial.

        Of a challenge that is given by its input the answer is the choice: ``"+1"``, ``"-1"`` or
        ``"none"``, the numbers 1, -1 and 0, or outputs, (time,) or (time, output), which are read
        when they are asked for.

        An answer that no network gave counts as far as it is like theirs.

    Returns
    -------
    Dataset
        ``probability`` over ``class_name``, ``verdict``, the class or "cannot tell" (see `design`,
        ``sure``), and
        ``next_challenge``, the one that says most by now, empty where none says anything, with its
        ``gain`` in bits.

    Raises
    ------
    SolspaceError
        For an unknown challenge, and for what is no answer to it.

    Examples
    --------
    What `design` returns has these and more; here one challenge, a Set without Ready, tells two
    classes apart.

    >>> import xarray as xr
    >>> at = ("challenge", "pulse")
    >>> designed = xr.Dataset(
    ...     {"network_answer": (("challenge", "network_used", "alternative"),
    ...                         np.repeat([1, 2], 10).reshape(1, 20, 1)),
    ...      "network_share": (("challenge", "network_used", "alternative"), np.ones((1, 20, 1))),
    ...      "network_class": ("network_used", np.repeat([0, 1], 10)),
    ...      "answer_code": (("challenge", "answer", "part"),
    ...                      [[[-99, -99, -99], [0, 0, -1], [1, 1, 1]]]),
    ...      "answer_text": (("challenge", "answer"), [["another answer", "none", "+1 at 22-33"]]),
    ...      "pulse_onset": (at, [[5]]), "pulse_channel": (at, [[1]]), "pulse_width": (at, [[5]]),
    ...      "pulse_amplitude": (at, [[1.0]]), "steps": ("challenge", [200]),
    ...      "kappa_low": (("strategy", "trials"), [[0.9]])},
    ...     coords={"challenge": ["set 0"], "strategy": ["chosen"],
    ...             "kind": ("challenge", ["missing"]),
    ...             "left_out": ("challenge", [False]), "class_name": ["a", "b"],
    ...             "task": "interval_reproduction"},
    ...     attrs={"label": "mine", "sure": 0.8, "bins": "[22, 33]", "transient": 5, "shortest": 3,
    ...            "held": 25, "inputs": '["ready", "set"]', "outputs": '["go"]'})
    >>> identify(designed, {}).verdict.item(), identify(designed, {"set 0": None}).verdict.item()
    ('cannot tell', 'a')
    >>> identify(designed, {"set 0": [(27, 1)]}).verdict.item()
    'b'
    """
    import xarray as xr

    from solspace.design.choosing import LEAST_GAIN, is_told

    names = designed.challenge.values.tolist()
    known = _known(designed)
    weight = known.start
    asked = []
    for name, answer in given.items():
        c = _place(names, name)
        weight = weight * known.evidence(c, _code(designed, c, answer))
        weight /= weight.sum()
        asked.append(c)
    posterior = known.posterior(weight)
    gain = np.where(designed.left_out.values, 0.0, known.information(weight))
    gain[asked] = 0.0
    best = int(gain.argmax())
    chosen = designed.kappa_low.sel(strategy="chosen").values
    so_many = min(max(len(asked), 1), len(chosen)) - 1
    told = chosen[so_many] > 0 and bool(
        is_told(posterior, known.posterior(known.start), designed.attrs["sure"])
    )
    classes = designed.class_name.values
    out = xr.Dataset(
        {
            "probability": ("class_name", posterior),
            "verdict": ((), str(classes[posterior.argmax()]) if told else CANNOT_TELL),
            "next_challenge": ((), names[best] if gain[best] >= LEAST_GAIN else ""),
            "gain": ((), float(gain[best]), {"units": "bits"}),
        },
        coords={"class_name": classes},
        attrs={"label": designed.attrs["label"], "sure": designed.attrs["sure"]},
    )
    if "class_title" in designed.coords:
        out = out.assign_coords(class_title=designed.class_title)
    return out


def challenge_of(designed: xr.Dataset, name: str) -> AnyChallenge:
    """A challenge of a design, with its pulses or its input.

    Raises
    ------
    SolspaceError
        For an unknown challenge.
    """
    from solspace.tasks.challenges import Challenge, PlacedPulse
    from solspace.tasks.input_challenges import InputChallenge

    c = _place(designed.challenge.values.tolist(), name)
    one = designed.isel(challenge=c)
    if "given_input" in designed.variables:
        noise = tuple(one.given_noise.values.tolist())
        return InputChallenge(
            name,
            str(one.kind.values),
            one.given_input.values[: int(one.steps)],
            (int(one.asked_from), int(one.asked_until)),
            noise=noise if any(noise) else (),
        )
    pulses = tuple(
        PlacedPulse(int(onset), int(channel), int(width), float(amplitude))
        for onset, channel, width, amplitude in zip(
            one.pulse_onset.values,
            one.pulse_channel.values,
            one.pulse_width.values,
            one.pulse_amplitude.values,
            strict=True,
        )
        if onset >= 0
    )
    return Challenge(name, str(one.kind.values), pulses, int(one.steps))


def chosen_challenges(designed: xr.Dataset, most: int = 3) -> list[str]:
    """The challenges to take to a lab: the first, and those most often given as second, third, ...

    Which comes after the first follows from the answers (`identify`).

    Parameters
    ----------
    designed : Dataset
        What `design` returned.
    most : int
    """
    names = designed.challenge.values
    found: list[str] = []
    for share in designed.order_share.values.T:
        often = [str(n) for n in names[np.argsort(-share, kind="stable")][: (share > 0).sum()]]
        found += [name for name in often if name not in found][:1]
    return found[:most]


def _place(names: list[str], name: str) -> int:
    if name not in names:
        raise SolspaceError(
            f"unknown challenge {name!r}; challenges: {', '.join(map(repr, names[:3]))}, ... "
            "(design.challenge lists all)"
        )
    return names.index(name)


def _known(designed: xr.Dataset) -> Knowledge:
    from solspace.design.choosing import Knowledge
    from solspace.design.planning import NO_CODE

    codes = [
        row[row[:, 0] != NO_CODE][:, row[1] != NO_CODE].astype(np.int64)
        for row in designed.answer_code.values
    ]
    return Knowledge(
        designed.network_answer.values,
        designed.network_share.values.astype(np.float64),
        codes,
        designed.network_class.values,
        designed.sizes["class_name"],
    )


def _code(designed: xr.Dataset, c: int, answer: Answer) -> NDArray[np.int64] | None:
    """An answer as a row of ``answer_code``; None for "another answer", which says nothing."""
    from solspace.design.planning import OTHER_TEXT
    from solspace.design.reading import code_of_text
    from solspace.tasks.challenges import Challenge

    challenge = challenge_of(designed, str(designed.challenge.values[c]))
    if not isinstance(challenge, Challenge):
        return _choice_code(designed, challenge, answer)
    stretches = challenge.stretches(designed.attrs["transient"])
    if isinstance(answer, int):
        answer = [answer]  # type: ignore[list-item]  # is said to be none below
    if answer is None or (not isinstance(answer, (str, np.ndarray)) and not len(answer)):
        answer = "none"
    if not isinstance(answer, str):
        return _read(designed, challenge, answer)
    if answer == OTHER_TEXT:
        return None
    bins, outputs = (tuple(json.loads(designed.attrs[name])) for name in ("bins", "outputs"))
    code = code_of_text(answer, len(stretches), bins, outputs)
    if code is None:
        words = designed.answer_text.values[c]
        raise SolspaceError(
            f"{answer!r} is no answer to {challenge.name!r}; give one such as {str(words[1])!r}, "
            "the times of outputs, or none (design.answer_text lists those in words)"
        )
    return code


def _choice_code(
    designed: xr.Dataset, challenge: InputChallenge, answer: Answer
) -> NDArray[np.int64] | None:
    """A choice as a row of ``answer_code``."""
    from solspace.design.planning import OTHER_TEXT
    from solspace.design.reading import CHOICES, choice_shares

    if isinstance(answer, str) and answer == OTHER_TEXT:
        return None
    words = {"+1": 1, "1": 1, "-1": -1, "none": 0, "0": 0}
    choice: int | None = None
    if answer is None or isinstance(answer, str):
        choice = words.get("none" if answer is None else answer.strip())
    elif isinstance(answer, np.ndarray) and answer.ndim:
        outputs = len(json.loads(designed.attrs["outputs"]))
        if answer.shape not in ((challenge.steps,), (challenge.steps, outputs)):
            raise SolspaceError(
                f"an answer to {challenge.name!r} of shape {answer.shape}; give "
                f"({challenge.steps},) or ({challenge.steps}, {outputs}), the output in each step"
            )
        read = answer if answer.ndim == 1 else answer[:, designed.attrs["output"]]
        output = np.asarray(read, float)[slice(*challenge.asked)].mean()
        if np.isfinite(output):
            shares = choice_shares(np.array([output]), designed.attrs["threshold"])
            choice = CHOICES[int(shares.argmax())]
    elif np.ndim(answer) == 0 and answer in CHOICES:
        choice = int(answer)
    if choice is None:
        raise SolspaceError(
            f"{answer!r} is no answer to {challenge.name!r}; give +1, -1 or none, the choice when "
            "it is asked for"
        )
    return np.array([choice, int(choice != 0), -1], np.int64)


def _read(
    designed: xr.Dataset, challenge: Challenge, answer: Sequence[Sequence[float]] | NDArray[Any]
) -> NDArray[np.int64]:
    """Events, or outputs over time, as a row of ``answer_code``."""
    from solspace.design.reading import answer_table, read_answers

    of = designed.attrs
    if isinstance(answer, np.ndarray):
        symbols = _symbols(designed, challenge, answer)
    else:
        symbols = _placed(challenge, answer, of["shortest"], json.loads(of["outputs"]))
    stretches = np.array([challenge.stretches(of["transient"])], np.int64)
    read = read_answers(symbols[None], stretches, shortest=of["shortest"], held=of["held"])
    return answer_table(read, tuple(json.loads(of["bins"])), 0.0)[0][0]


def _symbols(designed: xr.Dataset, challenge: Challenge, output: NDArray[Any]) -> NDArray[np.int8]:
    from solspace.tasks import get_task
    from solspace.tasks.symbols import read_symbols

    outputs = json.loads(designed.attrs["outputs"])
    if output.shape not in ((challenge.steps,), (challenge.steps, len(outputs))):
        raise SolspaceError(
            f"an answer to {challenge.name!r} of shape {output.shape}; give ({challenge.steps},), "
            f"the symbol in each step, or ({challenge.steps}, {len(outputs)}), the outputs"
        )
    if output.ndim == 1:
        return output.astype(np.int8)
    return read_symbols(get_task(str(designed.coords["task"].values)), output)


def _placed(
    challenge: Challenge,
    events: Sequence[Sequence[float]],
    shortest: int,
    outputs: Sequence[str],
) -> NDArray[np.int8]:
    """Events in steps from the first pulse, as the symbol in each step of the trial."""
    start = challenge.pulses[0].onset if challenge.pulses else 0
    out = np.zeros(challenge.steps, np.int8)
    highest = (3 ** len(outputs) - 1) // 2
    try:
        rows = [
            (float(event[0]), int(event[1]), float(event[2]) if len(event) > 2 else shortest)
            for event in events
        ]
        fit = all(len(event) in (2, 3) for event in events)
    except (TypeError, ValueError, IndexError):
        rows, fit = [], False
    if not fit:
        raise SolspaceError(
            f"an answer to {challenge.name!r} of events {events!r}; give (time, symbol) of each, "
            "such as [(48, 1)]"
        )
    rows.sort()
    for k, (time, symbol, steps) in enumerate(rows):
        at = start + round(time)
        until = start + round(rows[k + 1][0]) if k + 1 < len(rows) else challenge.steps
        if not 0 <= at <= challenge.steps - shortest or not 0 < abs(symbol) <= highest:
            raise SolspaceError(
                f"an answer to {challenge.name!r} at {time:g} steps of symbol {symbol}; give times "
                f"from {-start} to {challenge.steps - shortest - start} steps from the first "
                f"pulse and symbols 1 to {highest} or -1 to {-highest}"
            )
        # One step of silence between two of the same: they would be read as one.
        end = min(at + round(steps), until - 1)
        if steps < shortest or end - at < shortest:
            raise SolspaceError(
                f"an answer to {challenge.name!r} at {time:g} steps lasts {end - at}; less than "
                f"{shortest} is no output, so leave it out"
            )
        out[at:end] = symbol
    return out
