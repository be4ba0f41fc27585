"""Which networks of a store figure 3 shows, by rules and not by hand.

A rule is a property of the reduced-dynamics graph, what the network settles to in long silence, and
a measure by which one of those that are left is taken. No network is named here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from solspace.reduction.graph import Graph
from solspace.tasks import delayed_discrimination, interval_discrimination, interval_reproduction
from validation.paper import geometry
from validation.paper.source import CYCLE, WANDERING, Ends, Networks

__all__ = ["ROWS", "Choice", "Row", "choose", "leads_to", "paths_of"]


@dataclass(frozen=True)
class Choice:
    """What a rule came to.

    Attributes
    ----------
    network : int or None
        Position in the population; None where no network meets the rule.
    words : tuple of str
        What was asked in turn, and how many networks were left.
    left : int
        Networks that the last measure chose from.
    measured : dict
        What was measured of the network.
    """

    network: int | None
    words: tuple[str, ...]
    left: int = 0
    measured: dict[str, float] = field(default_factory=dict)


Measure = Callable[[Networks, int, "Ends | None"], "dict[str, float]"]


@dataclass(frozen=True)
class Row:
    """A row of figure 3: a task, and the rule by which its network is chosen.

    Attributes
    ----------
    letter, population, shows : str
    graph : callable (Graph, symbols) -> bool
        What its graph must have, ``graph_words`` in words.
    settles : callable (Ends) -> bool, or None
        What it must settle to, ``settles_words`` in words.
    measure : callable (Networks, int, Ends or None) -> dict
        Measures of one network; what it settles to is given where that is asked for.
    by : tuple of str
        The measures that decide, the first first; the network with the largest is taken, or the
        smallest where ``largest`` is False.
    by_words : str
    """

    letter: str
    population: str
    shows: str
    graph: Callable[[Graph, Sequence[str]], bool]
    graph_words: str
    settles: Callable[[Ends], bool] | None
    settles_words: str
    measure: Measure
    by: tuple[str, ...]
    by_words: str
    largest: bool = True


def leads_to(graph: Graph, node: int | None, symbol: int) -> int | None:
    """The node that an edge leads to, None where there is no such edge or no node.

    Examples
    --------
    >>> graph = Graph([0, 1], edge_source=[0, 1], edge_target=[1, 0], edge_symbol=[1, 0])
    >>> leads_to(graph, 0, 1), leads_to(graph, 1, 1)
    (1, None)
    """
    if node is None:
        return None
    found = np.flatnonzero((graph.edge_source == node) & (graph.edge_symbol == symbol))
    return int(graph.edge_target[found[0]]) if len(found) else None


def choose(networks: Networks, row: Row) -> Choice:
    """The network that a rule chooses; of equal ones the first."""
    symbols = networks.task.input_symbols
    graphs = [networks.graph_of(i) for i in range(len(networks))]
    having = [i for i, g in enumerate(graphs) if g is not None and row.graph(g, symbols)]
    words = [f"{len(having)} of {len(networks)} networks have a graph in which {row.graph_words}"]
    ends: dict[int, Ends] = {}
    if row.settles is not None and having:
        ends = networks.ends(having)
        having = [i for i in having if row.settles(ends[i])]
        words.append(f"{len(having)} of these {row.settles_words}")
    left = {i: row.measure(networks, i, ends.get(i)) for i in having}
    if not left:
        return Choice(None, tuple(words))
    sign = -1 if row.largest else 1
    best = min(left, key=lambda i: ([sign * left[i][name] for name in row.by], i))
    values = [m[row.by[0]] for m in left.values()]
    words.append(
        f"taken is that with {row.by_words}: {_short(left[best][row.by[0]])} (their median "
        f"{_short(float(np.median(values)))})"
    )
    return Choice(best, tuple(words), len(left), left[best])


def _short(value: float) -> str:
    """Two digits that count, or a whole number."""
    return f"{value:.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.2g}"


# --------------------------------------------------------------------------- epochs


@dataclass(frozen=True)
class Paths:
    """Stretches of a network's activity: the first epoch, and the second for some parameters.

    Attributes
    ----------
    first : array (time, unit)
        The first epoch; from ``trained`` on, how it goes on when no pulse comes.
    trained : int
    second : list of array (time, unit)
    values : list of float
        The parameter of each.
    settled : list of int
        First step of each that is not the pulse or its transient.
    """

    first: np.ndarray
    trained: int
    second: list[np.ndarray]
    values: list[float]
    settled: int


AFTER_READY = 150  # how long silence after the first pulse is followed
T_IN = (20, 35, 50)
T1 = (10, 20, 30)
F1 = (2, 4, 6, 8, 10)
DELAY = 100
# From the onset of a pulse to the end of its transient, as the published graphs leave it out.
SET_SETTLED, PULSE1_SETTLED = 10, 3


def reproduction_paths(networks: Networks, i: int) -> Paths:
    """From Ready to Set, and from Set to the start of the response."""
    t = interval_reproduction
    longest = t.T_IN[-1]
    waiting = np.zeros((1, t.READY_ON + AFTER_READY, 2))
    waiting[0, t.READY_ON : t.READY_ON + t.PULSE, 0] = 1
    first = networks.states(i, waiting)[0, t.READY_ON :]
    states = networks.states(i, t.make_trials(T_IN).input)
    second = [states[k, t.READY_ON + t_in : t.READY_ON + 2 * t_in] for k, t_in in enumerate(T_IN)]
    return Paths(first, longest, second, list(map(float, T_IN)), SET_SETTLED)


def interval_paths(networks: Networks, i: int) -> Paths:
    """From the start of a trial to the first pulse, and from there to the second."""
    longest = interval_discrimination.INTERVALS[-1]
    trials = interval_discrimination.make_trials([(t1, longest) for t1 in T1])
    states = networks.states(i, trials.input)
    first = networks.states(i, np.zeros((1, AFTER_READY, 2)))[0]
    second = [states[k, t1 : t1 + longest] for k, t1 in enumerate(T1)]
    return Paths(first, longest, second, list(map(float, T1)), PULSE1_SETTLED)


def delay_paths(networks: Networks, i: int) -> Paths:
    """The delay after each first stimulus, far beyond the longest trained one."""
    t = delayed_discrimination
    start = t.F1_ON + t.PULSE
    states = networks.states(i, first_stimuli(F1, start + DELAY))
    second = [run[start:] for run in states]
    longest = t.QUIET_GAP + t.DELAYS[-1]
    return Paths(states[0, : t.F1_ON], longest, second, list(map(float, F1)), 0)


def first_stimuli(amplitudes: Sequence[int], steps: int) -> np.ndarray:
    """Input of trials in which the first stimulus is all that comes."""
    t = delayed_discrimination
    inputs = np.zeros((len(amplitudes), steps, 2))
    for k, f1 in enumerate(amplitudes):
        inputs[k, t.F1_ON : t.F1_ON + t.PULSE, 0] = f1
    return inputs


PATHS = {
    "interval_reproduction": reproduction_paths,
    "interval_discrimination": interval_paths,
    "delayed_discrimination": delay_paths,
}


def paths_of(networks: Networks, i: int) -> Paths:
    """The epochs that the paper draws for the task."""
    return PATHS[networks.task.name](networks, i)


def epochs_apart(paths: Paths) -> float:
    """`geometry.gap` of the second epochs, their transients left out, from the first."""
    second = np.concatenate([path[paths.settled :] for path in paths.second])
    return geometry.gap(second, paths.first[paths.settled :])


# --------------------------------------------------------------------------- measures


def _circling(networks: Networks, i: int, ends: Ends | None) -> dict[str, float]:
    assert ends is not None
    paths = reproduction_paths(networks, i)
    # The interval as it was trained, without the transient of Ready.
    return {
        "period": float(ends.following("ready").period[0]),
        "roundness": geometry.roundness(paths.first[SET_SETTLED : paths.trained]),
        "gap": epochs_apart(paths),
    }


def _retracing(networks: Networks, i: int, ends: Ends | None) -> dict[str, float]:
    return {"gap": epochs_apart(paths_of(networks, i))}


def _oscillating(networks: Networks, i: int, ends: Ends | None) -> dict[str, float]:
    assert ends is not None
    period = float(ends.following("start").period[0])
    return {"period": period, "gap": epochs_apart(interval_paths(networks, i))}


def _remembering(networks: Networks, i: int, ends: Ends | None) -> dict[str, float]:
    """Of the silence after each trained first stimulus."""
    t = delayed_discrimination
    end = t.F1_ON + t.PULSE + t.QUIET_GAP + t.DELAYS[-1]
    runs = networks.states(i, first_stimuli(t.AMPLITUDES, end + DELAY))
    assert ends is not None
    after = ends.following("f1")
    return {
        "period": float(np.median(after.period)),
        "attractors": float(len(np.unique(after.attractor))),
        "extent": min(geometry.extent(run[-DELAY // 2 :]) for run in runs),
        "memory_steps": geometry.memory_steps(runs[:, end], runs[:, end - 1]),
    }


def _all_cycle(after: str) -> Callable[[Ends], bool]:
    return lambda ends: bool((ends.following(after).kind == CYCLE).all())


def _none_moves(ends: Ends) -> bool:
    return not np.isin(ends.following("f1").kind, (CYCLE, WANDERING)).any()


# --------------------------------------------------------------------------- graphs


def _silent_loop_and_set_again(graph: Graph, symbols: Sequence[str]) -> bool:
    set_ = symbols.index("set")
    go = leads_to(graph, 0, set_)
    after = leads_to(graph, go, 0)
    return (
        graph.node_output[0] == 0
        and leads_to(graph, 0, 0) == 0
        and go is not None
        and graph.node_output[go] == 1
        and leads_to(graph, after, set_) is not None
    )


def _set_loops_and_go_follows(graph: Graph, symbols: Sequence[str]) -> bool:
    following = leads_to(graph, 0, 0)
    return (
        leads_to(graph, 0, symbols.index("set")) == 0
        and following is not None
        and graph.node_output[following] == 1
    )


def _delay_loops(graph: Graph, symbols: Sequence[str]) -> list[bool | None]:
    """Of what each first stimulus leads to: whether silence leads back to it."""
    led = [leads_to(graph, 0, symbols.index(f1)) for f1 in ("4", "8")]
    return [None if node is None else leads_to(graph, node, 0) == node for node in led]


def _pulse_loops(graph: Graph, symbols: Sequence[str]) -> bool:
    return leads_to(graph, 0, symbols.index("pulse1")) == 0


def _silent_loop_and_pulse_leaves(graph: Graph, symbols: Sequence[str]) -> bool:
    return leads_to(graph, 0, 0) == 0 and leads_to(graph, 0, symbols.index("pulse1")) not in (
        None,
        0,
    )


ROWS = (
    Row(
        "A",
        "interval_reproduction/vanilla",
        "a limit cycle after Ready, Set and Go elsewhere",
        _silent_loop_and_set_again,
        "the silent root flows back to itself, Set leads from it to Go, and Set is still answered "
        "after that",
        _all_cycle("ready"),
        "end on a limit cycle when left alone after Ready",
        _circling,
        ("roundness",),
        "the roundest path from Ready to Set (spread along its second component over that along "
        "its first)",
    ),
    Row(
        "B",
        "interval_reproduction/vanilla",
        "Set leads back onto the trajectory from Ready, at an earlier point",
        _set_loops_and_go_follows,
        "Set leads from the root back to it and Go may follow without Set",
        None,
        "",
        _retracing,
        ("gap",),
        "the smallest distance of Set–Go from the trajectory after Ready",
        largest=False,
    ),
    Row(
        "C",
        "delayed_discrimination/vanilla",
        "limit cycles in the delay",
        lambda graph, symbols: _delay_loops(graph, symbols) == [True, True],
        "what each first stimulus leads to flows back to itself",
        _all_cycle("f1"),
        "end on a limit cycle when left alone after any of the trained f1",
        _remembering,
        ("attractors", "extent"),
        "the most cycles for these f1 (of equally many the largest ones)",
    ),
    Row(
        "D",
        "delayed_discrimination/vanilla",
        "slow points in the delay",
        lambda graph, symbols: _delay_loops(graph, symbols) == [False, False],
        "nothing that a first stimulus leads to flows back to itself",
        _none_moves,
        "end neither on a limit cycle nor wandering when left alone after any of the trained f1",
        _remembering,
        ("memory_steps",),
        "the slowest states at the end of the longest trained delay (steps to the place of the "
        "next stimulus)",
    ),
    Row(
        "E",
        "interval_discrimination/vanilla",
        "one trajectory for both epochs",
        _pulse_loops,
        "the first pulse leads from the root back to it",
        None,
        "",
        _retracing,
        ("gap",),
        "the smallest distance of the second interval from the trajectory of the first",
        largest=False,
    ),
    Row(
        "F",
        "interval_discrimination/vanilla",
        "an oscillation, and separate trajectories for the two epochs",
        _silent_loop_and_pulse_leaves,
        "the root flows back to itself and the first pulse leads elsewhere",
        _all_cycle("start"),
        "end on a limit cycle when left alone from the start",
        _oscillating,
        ("gap",),
        "the largest distance of the second interval from the trajectory of the first",
    ),
)
