"""A design, and what answers say, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from solspace.design.identifying import challenge_of, chosen_challenges

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks.challenges import Challenge
    from solspace.tasks.input_challenges import InputChallenge

__all__ = ["describe_challenge", "describe_design", "describe_verdict"]


def describe_challenge(challenge: Challenge | InputChallenge, inputs: tuple[str, ...]) -> str:
    """A challenge as pulses and waits in steps, from the onset of one pulse to that of the next.

    One that is given by its input as what is on in each channel, from step to step.

    Examples
    --------
    >>> from solspace.tasks import Challenge, PlacedPulse
    >>> pulses = PlacedPulse(5, 0, 5), PlacedPulse(65, 1, 2, 0.5)
    >>> describe_challenge(Challenge("late", "outside", pulses, 200), ("ready", "set"))
    'ready for 5 steps; 60 after its onset set for 2 steps at 0.5; then silence to 135 steps'
    >>> describe_challenge(Challenge("silence", "missing", (), 200), ("ready", "set"))
    'silence for 200 steps'
    >>> from solspace.tasks import InputChallenge
    >>> given = np.tile([[0.5, 0.0]], (20, 1))
    >>> describe_challenge(InputChallenge("on", "on", given, (19, 20), (0, 0.1)), ("a", "b"))
    'a at 0.5 in steps 0 to 19; noise of 0.1 in b; asked in step 19'
    """
    from solspace.tasks.challenges import Challenge

    if not isinstance(challenge, Challenge):
        return _describe_input(challenge, inputs)
    if not challenge.pulses:
        return f"silence for {challenge.steps} steps"
    words = []
    before = None
    for pulse in challenge.pulses:
        at = f" at {pulse.amplitude:g}" if pulse.amplitude != 1 else ""
        said = f"{inputs[pulse.channel]} for {pulse.width} steps{at}"
        words.append(said if before is None else f"{pulse.onset - before} after its onset {said}")
        before = pulse.onset
    words.append(f"then silence to {challenge.steps - challenge.pulses[-1].onset} steps")
    return "; ".join(words)


def _describe_input(challenge: InputChallenge, inputs: tuple[str, ...]) -> str:
    words = []
    for channel, name in enumerate(inputs):
        on = [
            f"{p.amplitude:g} in steps {p.onset} to {p.onset + p.width - 1}"
            for p in challenge.pulses
            if p.channel == channel
        ]
        words += [f"{name} at {', '.join(on)}"] if on else []
    words = words or [f"silence for {challenge.steps} steps"]
    noisy = {sd: [n for n, s in zip(inputs, challenge.noise, strict=True) if s == sd]
             for sd in challenge.noise if sd}  # fmt: skip
    words += [f"noise of {sd:g} in {' and '.join(names)}" for sd, names in noisy.items()]
    first, last = challenge.asked[0], challenge.asked[1] - 1
    words.append(f"asked in step{f' {first}' if first == last else f's {first} to {last}'}")
    return "; ".join(words)


def describe_design(designed: xr.Dataset, *, most: int = 3) -> str:
    """Text: which trials to run, what each solution would do, and how well that tells them apart.

    Parameters
    ----------
    designed : Dataset
        What `design` returned.
    most : int
        Trials that are described.
    """
    inputs = tuple(json.loads(designed.attrs["inputs"]))
    titles = designed.class_title.values.tolist()
    wide = max(map(len, titles))
    by_choice = "given_input" in designed.variables
    lines = [
        f"{len(designed.network_used)} networks of {len(titles)} solutions by "
        f"{designed.attrs['label']}; "
        + (
            "choices vary with the noise in trials"
            if by_choice
            else f"times vary by {designed.attrs['noise']:.0%}"
        )
    ]
    for reason, count in json.loads(designed.attrs["excluded"]).items():
        lines.append(f"{count} networks left out: {reason}")
    out = int(designed.left_out.sum())
    lines.append(
        f"{out} of {designed.sizes['challenge']} challenges left out: they define the label"
        + (", or are not to be chosen" if by_choice else "")
        + (", or begin like one that does" if designed.attrs["strict"] else "")
    )
    lines += ["", "the first trial, and those most often given after it:"]
    for k, name in enumerate(chosen_challenges(designed, most), start=1):
        one = designed.sel(challenge=name)
        lines += [
            "",
            f"{k}. {name}",
            f"   {describe_challenge(challenge_of(designed, name), inputs)}",
            "   what each solution is likely to choose:"
            if by_choice
            else "   what each solution is likely to put out after each pulse, times in steps from "
            "the last:",
        ]
        for title, answer, share in zip(
            titles,
            one.predicted.values.tolist(),
            one.likelihood.max("answer").values.tolist(),
            strict=True,
        ):
            of = "trials" if by_choice else "networks"
            lines.append(f"   {title:{wide}}  {answer} ({share:.0%} of its {of})")
    lines += ["", "kappa on networks held out, with 95 % intervals, by number of trials:"]
    head = "".join(f"{k:>17}" for k in designed.trials.values)
    lines.append(f"  {'':8}{head}")
    for strategy in designed.strategy.values.tolist():
        one = designed.sel(strategy=strategy)
        cells = [
            f"{k:6.2f} [{low:.2f} {high:.2f}]" if np.isfinite(k) else "-"
            for k, low, high in zip(
                one.kappa.values, one.kappa_low.values, one.kappa_high.values, strict=True
            )
        ]
        lines.append(f"  {strategy:8}" + "".join(f"{cell:>17}" for cell in cells))
    chosen = designed.sel(strategy="chosen")
    cannot = "".join(f"{1 - told:>17.0%}" for told in chosen.told.values)
    right = "".join(
        f"{f'{share:.0%}' if np.isfinite(share) else '-':>17}" for share in chosen.right.values
    )
    lines += [
        "",
        f"by chosen trials, a verdict from a probability of {designed.attrs['sure']:g} on:",
        f"  {'cannot tell':11}{cannot[3:]}",
        f"  {'right':11}{right[3:]}",
        "  (of all networks, and of the verdicts on the others)",
    ]
    return "\n".join(lines)


def describe_verdict(designed: xr.Dataset, found: xr.Dataset) -> str:
    """Text: the probability of each solution, the verdict, and which trial to give next.

    Parameters
    ----------
    designed, found : Dataset
        What `design` and `identify` returned.
    """
    titles = designed.class_title.values.tolist()
    wide = max(map(len, titles))
    probability = found.probability.values
    lines = [f"{titles[i]:{wide}}  {probability[i]:.2f}" for i in np.argsort(-probability)]
    verdict = found.verdict.item()
    names = designed.class_name.values.tolist()
    lines.append(f"verdict: {titles[names.index(verdict)] if verdict in names else verdict}")
    name = found.next_challenge.item()
    if not name:
        return "\n".join([*lines, "next trial: none says anything more"])
    inputs = tuple(json.loads(designed.attrs["inputs"]))
    lines += [
        f"next trial: {name}  ({found.gain.item():.2f} bits)",
        f"  {describe_challenge(challenge_of(designed, name), inputs)}",
    ]
    return "\n".join(lines)
