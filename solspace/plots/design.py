"""Which trials to run, and what each solution would do in them: a page for the lab."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.style import (
    BLUE,
    FONT,
    GREY,
    INK,
    ORANGE,
    PAGE,
    Key,
    holoviews,
    legend,
    shaded,
    solution_colors,
    solution_words,
    styled,
)

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

    from solspace.design.identifying import AnyChallenge

__all__ = ["plot_design"]

STRATEGY_COLORS = {"chosen": BLUE, "random": GREY, "trained": ORANGE}
STRATEGY_MARKERS = {"chosen": "o", "random": "s", "trained": "^"}
AGAIN, HELD = 2, 3  # positions in solspace.design.reading.ENDINGS
# In inches: of a row of a solution, what stands above and below the rows of a trial, the row of
# curves at the foot, and where panels begin and end from left to right.
_ROW, _AROUND, _FOOT = 0.19, 0.7, 1.9
_LEFT, _MIDDLE, _RIGHT = (0.5, 2.55), 0.09, 6.78
_CHARACTER = 0.049


class _Box(NamedTuple):
    """Where a panel lies, in inches from the left and the top of the figure."""

    left: float
    top: float
    wide: float
    high: float


@styled
def plot_design(designed: xr.Dataset, *, most: int = 3) -> hv.Layout:
    """The trials to run, drawn, what each solution is likely to answer, and how well that tells.

    A row a trial: its pulses on the left, with the steps from one to the next; on the right the
    outputs of each solution's networks, each at its median time with a bar from the 10th to the
    90th percentile, and the share of its networks that put out the same, whenever they do. Below
    kappa on networks held out against the number of trials, for trials chosen one after another,
    at random, and of the trained ones, with 95 % intervals; and of the chosen how many networks
    get a verdict, and how many verdicts are right.

    Parameters
    ----------
    designed : Dataset
        What `solspace.design.design` returns.
    most : int
        Trials: the first to be given, then those most often given after it.

    Returns
    -------
    holoviews.Layout
        Two panels a row, as wide as a page.

    Raises
    ------
    SolspaceError
        Where the dataset is none of a design, or ``most`` is less than 1.

    Examples
    --------
    >>> import xarray as xr
    >>> plot_design(xr.Dataset())
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: the dataset is of no design; call solspace.design.design(ds)...
    """
    from solspace.design.identifying import challenge_of, chosen_challenges

    if "predicted_first" not in designed.variables:
        raise SolspaceError(
            "the dataset is of no design; call solspace.design.design(ds), or read what `solspace "
            "design STORE -o FILE.nc` wrote"
        )
    if most < 1:
        raise SolspaceError(f"most={most} trials; give 1 or more")
    names = chosen_challenges(designed, most)
    titles = [str(title) for title in designed.class_title.values]
    high = _AROUND + _ROW * max(len(titles), 2)
    words = [" ".join(solution_words(title)) for title in titles]
    wide = max(1.0, _CHARACTER * max(map(len, words)) + 0.12)
    panels: list[Any] = []
    for k, name in enumerate(names):
        challenge = challenge_of(designed, name)
        box = _Box(_LEFT[0], k * high + 0.3, _LEFT[1] - _LEFT[0], high - _AROUND)
        panels.append((_pulses(designed, challenge, f"{k + 1}. {name}"), box, []))
        left = _LEFT[1] + _MIDDLE + wide
        panels.append(
            (
                _answers(designed, challenge, words, titles, first=k == 0),
                box._replace(left=left, wide=_RIGHT - left),
                [],
            )
        )
    at = len(names) * high + 0.3
    foot = _Box(_LEFT[0], at, 1.75, _FOOT - 0.85)
    panels.append((_kappa(designed), foot, _kappa_keys(designed)))
    keys = _told_keys() + _answer_keys(designed.sel(challenge=names))
    panels.append((_told(designed), foot._replace(left=3.82), keys))
    size = (PAGE, len(names) * high + _FOOT)
    hv = holoviews()
    finished = []
    for picture, box, keys in panels:
        own = hv.Store.lookup_options("matplotlib", picture, "plot").kwargs
        picture.opts(
            fig_inches=(box.wide + 1.0, box.high + 0.8),
            hooks=[*own.get("hooks", []), _placed(box, size, keys)],
            fontsize=FONT | {"title": 7, "yticks": 6.5, "xticks": 6.5, "labels": 7},
            show_legend=False,
            backend="matplotlib",
        )
        finished.append(both(picture, keys))
    layout = hv.Layout(finished).cols(2)
    layout.opts(shared_axes=False, backend="bokeh")
    return layout.opts(
        fig_inches=size, sublabel_format="", shared_axes=False, fontsize={"title": 9},
        backend="matplotlib",
    )  # fmt: skip


def _start(challenge: AnyChallenge) -> int:
    return challenge.pulses[0].onset if challenge.pulses else 0


def _limits(designed: xr.Dataset, challenge: AnyChallenge) -> tuple[float, float]:
    """From a little before the first pulse to a while after the last that is likely put out."""
    one = designed.sel(challenge=challenge.name)
    start = _start(challenge)
    onsets = np.array([p.onset - start for p in challenge.pulses] or [0], float)
    late = onsets + one.predicted_time_high.values[:, : len(onsets)]
    last = max(float(onsets[-1]) + 60, float(np.nanmax(late, initial=0.0)))
    high = min(1.2 * last, float(challenge.steps - start))
    return -0.03 * high, high


def _pulses(designed: xr.Dataset, challenge: AnyChallenge, title: str) -> Any:
    """Each input on a line of its own, pulses as boxes as high as they are strong."""
    hv = holoviews()
    inputs = json.loads(designed.attrs["inputs"])
    start, (low, high) = _start(challenge), _limits(designed, challenge)
    rows = {channel: len(inputs) - 1 - channel for channel in range(len(inputs))}
    strongest = max((abs(p.amplitude) for p in challenge.pulses), default=1.0)
    boxes = [
        (
            p.onset - start,
            rows[p.channel],
            # One that would be thinner than a line is drawn as wide as one.
            max(p.onset - start + p.width, p.onset - start + 0.008 * (high - low)),
            rows[p.channel] + 0.62 * p.amplitude / strongest,
        )
        for p in challenge.pulses
    ]
    base = [np.array([[low, row], [high, row]]) for row in rows.values()]
    waits = [
        ((a.onset + b.onset) / 2 - start, len(inputs) - 0.12, str(b.onset - a.onset))
        for a, b in zip(challenge.pulses, challenge.pulses[1:], strict=False)
        if b.onset - a.onset > 0.06 * (high - low)
    ]
    parts = [
        hv.Path(base, ["steps", "input"]).opts(color=GREY, linewidth=0.6, backend="matplotlib"),
        hv.Rectangles(boxes, kdims=["left", "bottom", "right", "top"]).opts(
            facecolor=INK, edgecolor=INK, linewidth=0.4, backend="matplotlib"
        ),
        hv.Labels(waits or [(low, -9, "")], ["steps", "input"], "text").opts(
            size=6.5, color=GREY, backend="matplotlib"
        ),
    ]
    return hv.Overlay(parts).opts(
        xlim=(low, high),
        ylim=(-0.3, len(inputs) + 0.1),
        yticks=[(row + 0.2, inputs[channel]) for channel, row in rows.items()],
        xlabel="steps from the first pulse",
        ylabel="",
        title="\n".join(textwrap.wrap(f"{title} (followed to {challenge.steps - start})", 50)),
        backend="matplotlib",
    )


def _answers(
    designed: xr.Dataset,
    challenge: AnyChallenge,
    words: list[str],
    titles: list[str],
    *,
    first: bool,
) -> Any:
    """A line a solution: when it puts out what, pulses as grey lines behind."""
    hv = holoviews()
    one = designed.sel(challenge=challenge.name)
    start, (low, high) = _start(challenge), _limits(designed, challenge)
    colors = solution_colors(titles)
    rows = {i: len(titles) - 1 - i for i in range(len(titles))}
    onsets = [float(p.onset - start) for p in challenge.pulses] or [0.0]
    parts: list[Any] = [
        hv.Path([np.array([[t, -0.5], [t, len(titles) - 0.5]]) for t in onsets]).opts(
            color=shaded(GREY, 0.6), linewidth=0.6, backend="matplotlib"
        )
    ]
    silent, shares = [], []
    for i, title in enumerate(titles):
        color, row = colors[title], rows[i]
        of = one.isel(class_name=i)
        symbol, ending = of.predicted_first.values, of.predicted_ending.values
        share = float(of.predicted_share)
        shares.append((high + 0.02 * (high - low), row, f"{share:.0%}"))
        given = np.flatnonzero(symbol[: len(onsets)])
        if not len(given):
            silent.append((onsets[-1] + 0.03 * (high - low), row, "nothing"))
        for j in given:
            time, early, late = (
                onsets[j] + float(of[name].values[j])
                for name in ("predicted_time", "predicted_time_low", "predicted_time_high")
            )
            end = onsets[j + 1] if j + 1 < len(onsets) else high
            bars = [np.array([[early, row], [late, row]])]
            if ending[j] == HELD:
                bars.append(np.array([[time, row - 0.12], [end, row - 0.12]]))
            parts.append(
                hv.Path(bars, ["steps", "solution"]).opts(
                    color=color, linewidth=1.1, backend="matplotlib"
                )
            )
            marks = [time]
            if ending[j] == AGAIN:
                step = 0.025 * (high - low)
                marks += [time + step * n for n in (1, 2) if time + step * n < high]
            parts.append(
                hv.Points([(t, row) for t in marks], ["steps", "solution"]).opts(
                    color=color, edgecolor=color, marker="^" if symbol[j] > 0 else "v", s=22,
                    backend="matplotlib",
                )
            )  # fmt: skip
    for texts, color in ((silent, GREY), (shares, GREY)):
        if texts:
            parts.append(
                hv.Labels(texts, ["steps", "solution"], "text").opts(
                    size=6.5, color=color, horizontalalignment="left",
                    verticalalignment="center", backend="matplotlib",
                )
            )  # fmt: skip
    return hv.Overlay(parts).opts(
        xlim=(low, high),
        ylim=(-0.6, len(titles) - 0.4),
        yticks=[(rows[i], words[i]) for i in range(len(titles))],
        xlabel="steps from the first pulse",
        ylabel="",
        title="likely answer of each solution" if first else "",
        hooks=[_unclipped],
        backend="matplotlib",
    )


def _unclipped(plot: Any, element: Any) -> None:
    """Shares stand beside the axes."""
    for text in plot.handles["axis"].texts:
        text.set_clip_on(False)


def _answer_keys(drawn: xr.Dataset) -> list[Key]:
    """What the marks mean that were drawn."""
    symbols, endings = drawn.predicted_first.values, drawn.predicted_ending.values
    keys = [
        Key(words, INK, marker=marker, size=4)
        for words, marker, there in (
            ("output +1" if (symbols < 0).any() else "output", "^", (symbols > 0).any()),
            ("output -1", "v", (symbols < 0).any()),
        )
        if there
    ]
    if (endings == AGAIN).any():
        keys.append(Key("three: again and again", INK, marker="^", size=4))
    if (endings == HELD).any():
        keys.append(Key("line below: held on", INK, line="-", width=1.1))
    return [*keys, Key("10 to 90% of networks", INK, line="-", width=1.1)]


def _kappa(designed: xr.Dataset) -> Any:
    hv = holoviews()
    parts: list[Any] = [hv.HLine(0).opts(color=INK, linewidth=0.5, backend="matplotlib")]
    trials = designed.trials.values.astype(float)
    lowest = 0.0
    for k, (name, color) in enumerate(STRATEGY_COLORS.items()):
        one = designed.sel(strategy=name)
        x = trials + 0.08 * (k - 1)
        known = np.isfinite(one.kappa.values)
        if not known.any():
            continue
        at = ["trials", "kappa"]
        low, mean, top = (one[n].values[known] for n in ("kappa_low", "kappa", "kappa_high"))
        lowest = min(lowest, float(low.min()))
        bounds = [np.array([[a, b], [a, c]]) for a, b, c in zip(x[known], low, top, strict=True)]
        parts += [
            hv.Path(bounds, at).opts(color=color, linewidth=1.0, backend="matplotlib"),
            hv.Curve((x[known], mean), *at).opts(color=color, linewidth=1.2, backend="matplotlib"),
            hv.Points(np.column_stack([x[known], mean]), at).opts(
                color=color, marker=STRATEGY_MARKERS[name], s=16, backend="matplotlib"
            ),
        ]
    return hv.Overlay(parts).opts(
        xlim=(trials[0] - 0.4, trials[-1] + 0.4),
        ylim=(lowest - 0.04, 1.04),
        xticks=[int(t) for t in trials],
        xlabel="trials given",
        ylabel="kappa, held out",
        backend="matplotlib",
    )


def _kappa_keys(designed: xr.Dataset) -> list[Key]:
    keys = [
        Key(name, color, line="-", width=1.2, marker=STRATEGY_MARKERS[name], size=4)
        for name, color in STRATEGY_COLORS.items()
        if np.isfinite(designed.kappa.sel(strategy=name).values).any()
    ]
    return [*keys, Key("95% interval", INK, marker="|", size=7)]


_TOLD = {"told": ("networks told", BLUE, "o"), "right": ("verdicts right", INK, "D")}


def _told(designed: xr.Dataset) -> Any:
    hv = holoviews()
    one = designed.sel(strategy="chosen")
    trials = designed.trials.values.astype(float)
    parts = []
    for name, (_, color, marker) in _TOLD.items():
        share = one[name].values
        known = np.isfinite(share)
        at = ["trials", "share"]
        parts += [
            hv.Curve((trials[known], share[known]), *at).opts(
                color=color, linewidth=1.2, backend="matplotlib"
            ),
            hv.Points(np.column_stack([trials[known], share[known]]), at).opts(
                color=color, marker=marker, s=16, backend="matplotlib"
            ),
        ]
    return hv.Overlay(parts).opts(
        xlim=(trials[0] - 0.4, trials[-1] + 0.4),
        ylim=(-0.04, 1.04),
        xticks=[int(t) for t in trials],
        xlabel="trials given",
        ylabel="share, chosen trials",
        backend="matplotlib",
    )


def _told_keys() -> list[Key]:
    return [
        Key(words, color, line="-", width=1.2, marker=marker, size=4)
        for words, color, marker in _TOLD.values()
    ]


def _placed(box: _Box, size: tuple[float, float], keys: list[Key]) -> Any:
    """A panel at its place in the figure, and what its marks mean above it."""
    wide, high = size

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.figure.set_size_inches(*size)
        axes.set_aspect("auto")
        axes.set_position(
            (box.left / wide, 1 - (box.top + box.high) / high, box.wide / wide, box.high / high)
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=2.5 if keys else 0)
        axes.title.set_horizontalalignment("left")
        axes.title.set_x(0.0)
        if keys:
            legend(axes, keys, loc="center left", bbox_to_anchor=(1.04, 0.5),
                   handlelength=1.6, labelspacing=0.35)  # fmt: skip

    return hook
