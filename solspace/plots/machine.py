"""The machine of responses of one network as a drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.graph import too_large
from solspace.plots.layout import COLUMN, RADIUS, edge_curves, half_size, node_positions
from solspace.plots.shapes import (
    PULSE,
    circle,
    lines,
    on_figure,
    on_paper,
    polygons,
    square,
    texts,
)
from solspace.plots.style import BLUE, INK, ORANGE, Key, styled
from solspace.responses.words import MORE
from solspace.tasks.symbols import symbol_text

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

    from solspace.responses.machine import Edge, Machine

__all__ = ["plot_machine"]

_DOT, _INNER = 0.07, 0.145


@styled
def plot_machine(ds: xr.Dataset, network: int | str = 0, *, key: bool = True) -> hv.Overlay:
    """Draw what one network answers to pulses.

    Circles are what the network settles to, lettered as in its ``response_description``: open
    where it is silent there, filled where an output goes on (+1 blue; -1, a square, orange), with
    a second ring where it goes round, a dotted one where it has not settled. The dot is the start,
    and the line from it what silence leads to. Edges carry pulses and, after a slash, what is put
    out before the network has settled again; a dash is nothing, + that there is more. Where pulses
    come in the trained range, commas part what is put out before and after each. Where the answer
    depends on the phase of a cycle, the share of phases is given. Of several outputs a sign for
    each is written under the letter, of what goes on there, and all these circles are blue.

    Parameters
    ----------
    ds : Dataset
        As `solspace.find_responses` returns it, or the group ``response`` of a store.
    network : int or str
        Position along ``network``, or name.
    key : bool
        Whether to say below what the marks mean.

    Returns
    -------
    holoviews.Overlay

    Raises
    ------
    SolspaceError
        Where the network has no machine, or one of more than 32 states or 128 edges.

    Examples
    --------
    >>> from solspace import find_responses, import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> ds = find_responses(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> type(plot_machine(ds, "mine")).__name__
    'Overlay'
    """
    from solspace.population.describe import task_of
    from solspace.responses.naming import letter
    from solspace.responses.stage import machine_of

    machine = machine_of(ds, network)
    if too_large(len(machine.states), len(machine.edges)):
        raise SolspaceError(
            f"network {network} has a machine of {len(machine.states)} states and "
            f"{len(machine.edges)} edges; up to 32 and 128 are drawn, such as those of a coarser "
            "notch: solspace.find_responses(ds, notch=...), or `solspace responses STORE --notch`"
        )
    task = task_of(ds, None)
    channels = len(task.outputs)
    source, target, labels = _labelled(machine, task.input_symbols, channels)
    silent = np.array([label.startswith("/") for label in labels], bool)
    n = len(machine.states)
    widest = max((half_size(label)[0] for label in labels), default=0.0)
    at = node_positions(
        n,
        source,
        target,
        silent,
        np.array([sum(state.output[:1]) for state in machine.states]),
        COLUMN + min(2 * max(widest - 0.2, 0), 1.4),
    )
    drawn = edge_curves(at, source, target, silent, labels)
    flow = [e for e in drawn if e.autonomous]
    pulse = [e for e in drawn if not e.autonomous]
    states = list(enumerate(machine.states))[1:]
    silence = [at[i] for i, s in states if not s.output]
    # Of several outputs signs are written under the letters, and no color could tell them.
    dark = {i for i, s in states if (s.output and channels > 1) or sum(s.output[:1]) > 0}
    up = [at[i] for i, s in states if i in dark]
    down = [at[i] for i, s in states if s.output and i not in dark]
    shift = np.array([0.0, 0.06 if channels > 1 else 0.0])
    round_ = [i for i, s in states if "cycle" in s.kind]
    wander = [i for i, s in states if s.kind == "unsettled"]
    parts = [
        lines([e.curve for e in flow], INK, "solid"),
        lines([e.curve for e in pulse], PULSE, (0, (3.2, 1.8))),
        polygons([e.head for e in flow], INK),
        polygons([e.head for e in pulse], PULSE),
        polygons([circle(at[0], RADIUS + 0.03)], "white"),
        polygons([circle(at[0], _DOT)], INK, edge=INK),
        texts([(at[0, 0] - _DOT - 0.05, at[0, 1], "start")], INK, halign="right"),
        polygons([circle(p, RADIUS) for p in silence], "white", edge=INK),
        polygons([circle(p, RADIUS) for p in up], BLUE, edge=INK),
        polygons([square(p, RADIUS) for p in down], ORANGE, edge=INK),
        *(
            lines([circle(at[i], _INNER) for i in own if bright == (i in dark)], color, style)
            for own, style in ((round_, "solid"), (wander, (0, (1.5, 1.2))))
            for color, bright in ((INK, False), ("white", True))
        ),
        texts([(*(at[i] + shift), letter(i)) for i, s in states if i in dark], "white"),
        texts([(*(at[i] + shift), letter(i)) for i, s in states if i not in dark], INK),
        texts(
            [(*(at[i] - shift), _output(s.output[0], channels)) for i, s in states if i in dark]
            if channels > 1
            else [],
            "white",
            weight="bold",
        ),
        texts([(*e.label_at, e.label) for e in pulse if e.label], PULSE, hooks=[on_paper]),
        texts([(*e.label_at, e.label) for e in flow if e.label], INK, hooks=[on_paper]),
    ]
    corners = np.concatenate(
        [at - RADIUS, at + RADIUS, at[:1] - [0.55, 0], *(e.curve for e in drawn)]
        + [
            e.label_at[None] + side * np.array(half_size(e.label))
            for e in drawn
            if e.label
            for side in (-1, 1)
        ]
    )
    low, high = corners.min(axis=0) - 0.13, corners.max(axis=0) + 0.13
    keys = []
    if silence:
        keys.append(Key("silent", INK, marker="o", face="white", size=7))
    if up:
        keys.append(Key("puts out", INK, marker="o", face=BLUE, size=7))
    if down:
        keys.append(Key("puts out below 0", INK, marker="s", face=ORANGE, size=6.5))
    if round_:
        keys.append(Key("goes round", INK, marker="$\\circledcirc$", size=9))
    if wander:
        keys.append(Key("not settled", INK, marker="$\\odot$", size=9))
    if flow:
        keys.append(Key("left alone", INK, line="-", width=1.1))
    if pulse:
        keys.append(Key("pulse / answer", PULSE, line=(0, (3.2, 1.8)), width=1.1))
    keys = keys if key else []
    picture = on_figure([part for part in parts if part is not None], low, high, keys)
    return both(picture, keys)


def _labelled(
    machine: Machine, symbols: tuple[str, ...], channels: int
) -> tuple[Any, Any, list[str]]:
    """Source, target and label of what is drawn; pulses that lead to the same share a label."""
    from solspace.responses.naming import pulse_text

    given: dict[tuple[int, int, str], list[str]] = {}
    for edge in machine.edges:
        given.setdefault((edge.source, edge.target, _answer(edge, channels)), []).append(
            pulse_text(edge.pulses, symbols)
        )
    rows = list(given)
    return (
        np.array([source for source, _, _ in rows]),
        np.array([target for _, target, _ in rows]),
        [f"{', '.join(pulses)} / {row[2]}".lstrip() for row, pulses in given.items()],
    )


def _output(value: int, channels: int) -> str:
    if value == MORE:
        return "+" if channels == 1 else "..."
    return symbol_text(value, channels).replace("-", "\N{MINUS SIGN}")


def _answer(edge: Edge, channels: int) -> str:
    words = [" ".join(_output(v, channels) for v in word) for word in edge.words]
    told = ", ".join(word or "\N{EN DASH}" for word in words)
    return told if edge.phases >= 8 else f"{told} ({edge.phases}/8)"
