"""Figure 3 of the paper: six networks, two a task, chosen by the rules of `rules`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from solspace.tasks.delayed_discrimination import AMPLITUDES, DELAYS, QUIET_GAP
from solspace.tasks.interval_reproduction import READY_ON
from validation.paper import drawing, geometry
from validation.paper.panels import network_panels, right_share, trained_span
from validation.paper.rules import ROWS, T_IN, Choice, Row, choose, paths_of
from validation.paper.source import Networks, open_networks
from validation.paper.verdicts import APART, ROUND, TOGETHER, Verdict

__all__ = ["draw", "judge", "make", "parameter_spans"]

LONGEST_DELAY = QUIET_GAP + DELAYS[-1]
PANELS = ("activity", "beyond", "graph")


def make(store: str | os.PathLike[str]) -> xr.DataTree:
    """Six networks and three panels of each.

    Parameters
    ----------
    store : path
        With the vanilla populations of the three tasks, reduced.

    Returns
    -------
    DataTree
        For each of A to F the groups ``activity``, ``beyond`` and ``graph`` (see
        `validation.paper.panels`), with what was chosen and measured in the attributes of the
        row. A row that no network meets the rule of has no groups.

    Raises
    ------
    SolspaceError
        Where the store lacks a population.
    """
    opened = {row.population: open_networks(store, row.population) for row in ROWS}
    groups: dict[str, xr.Dataset] = {}
    for row in ROWS:
        networks = opened[row.population]
        choice = choose(networks, row)
        groups[f"/{row.letter}"] = xr.Dataset(attrs=_attrs(networks, row, choice))
        if choice.network is not None:
            panels = network_panels(networks, choice.network, PANELS)
            groups |= {f"/{row.letter}/{name}": panel for name, panel in panels.items()}
    return xr.DataTree.from_dict(groups)


def _attrs(networks: Networks, row: Row, choice: Choice) -> dict[str, object]:
    attrs: dict[str, object] = {
        "population": row.population,
        "shows": row.shows,
        "rule": list(choice.words),
        "candidates": choice.left,
    }
    i = choice.network
    if i is None:
        return attrs
    attrs |= {
        "network": networks.label(i),
        "hidden_size": int(networks.ds["hidden_size"].values[i]),
        "graph_key": str(networks.keys[i]),
        **choice.measured,
    }
    if row.letter == "B":
        attrs["steps_back"] = steps_back(networks, i)
    return attrs


def steps_back(networks: Networks, i: int) -> list[int]:
    """How many steps earlier on the trajectory after Ready each Set leads, its transient over."""
    paths = paths_of(networks, i)
    states = np.stack([path[paths.settled] for path in paths.second])
    _, at = geometry.nearest(states, paths.first)
    return [int(t_in + paths.settled - step) for t_in, step in zip(T_IN, at, strict=True)]


def parameter_spans(task: str) -> dict[str, tuple[int, int]]:
    """The trained range of each parameter of a task."""
    from solspace.tasks import get_task

    return {name: trained_span(task, name) for name in get_task(task).parameters}


def draw(tree: xr.DataTree, folder: Path) -> dict[str, Path]:
    """Plain pictures, by panel."""
    made: dict[str, Path] = {}
    for letter, row in tree.children.items():
        task = str(row.attrs["population"]).split("/")[0]
        made |= draw_network(row, task, letter, folder / f"figure3_{letter.lower()}")
    return made


def draw_network(node: xr.DataTree, task: str, name: str, stem: Path) -> dict[str, Path]:
    """The panels of one network that a node has."""
    made: dict[str, Path] = {}
    for panel, group in node.children.items():
        path = stem.with_name(f"{stem.name}_{panel}")
        one = group.to_dataset()
        if panel == "activity":
            made[f"{name} activity"] = drawing.activity_picture(one, path)
        elif panel == "beyond":
            made[f"{name} beyond"] = drawing.beyond_picture(one, task, path, parameter_spans(task))
        elif panel == "graph":
            made[f"{name} graph"] = drawing.graph_picture(one, path)
    return made


# --------------------------------------------------------------------------- what agrees


def judge(tree: xr.DataTree) -> list[Verdict]:
    """What of each row agrees, and what does not."""
    verdicts = []
    for letter, row in tree.children.items():
        if not row.children:
            said = f"No network of {row.attrs['population']}: {'; '.join(row.attrs['rule'])}."
            verdicts.append(Verdict(letter, said, False))
        else:
            verdicts += JUDGES[letter](row)
    return verdicts


def _set_again(row: xr.DataTree) -> list[Verdict]:
    attrs = row.attrs
    beyond = row["beyond"].to_dataset().isel(network=0)
    falls, between = wait_falls(beyond)
    return [
        Verdict(
            "A, left",
            f"Set–Go lies at a distance of {attrs['gap']:.2f} from the trajectory after Ready "
            f"(apart: over {APART}); Ready–Set is nearly a circle, roundness "
            f"{attrs['roundness']:.2f} (over {ROUND}).",
            attrs["gap"] > APART and attrs["roundness"] > ROUND,
        ),
        Verdict(
            "A, middle",
            f"Left alone after Ready it cycles with a period of {attrs['period']:.1f} steps. The "
            f"wait from Set to Go falls back {falls} times as t_in grows to "
            f"{int(beyond['t_in'].max())}"
            + (f", every {between:.0f} steps of t_in" if falls > 1 else "")
            + ". Go comes before Set in "
            f"{int(np.isfinite(beyond['early_onset']).sum())} of {beyond.sizes['trial']} trials "
            "(paper: after long t_in the answers repeat).",
            falls > 1 and abs(between - attrs["period"]) < 0.1 * attrs["period"],
        ),
        _graph(
            "A", row, "the cycle is a self-loop at the root, and Set is still answered after Go"
        ),
    ]


def wait_falls(beyond: xr.Dataset) -> tuple[int, float]:
    """How often the wait from Set to Go falls by over 5 steps as t_in grows, and how far apart.

    Parameters
    ----------
    beyond : Dataset
        With ``go_onset`` and ``t_in`` on ``trial``.

    Returns
    -------
    falls : int
    between : float
        Median difference of t_in between two falls; NaN for less than two.
    """
    order = np.argsort(beyond["t_in"].values)
    t_in = beyond["t_in"].values[order]
    wait = beyond["go_onset"].values[order] - t_in
    there = np.isfinite(wait)
    falls = t_in[there][1:][np.diff(wait[there]) < -5]
    return len(falls), float(np.median(np.diff(falls))) if len(falls) > 1 else np.nan


def _set_back(row: xr.DataTree) -> list[Verdict]:
    attrs = row.attrs
    back = [int(n) for n in attrs["steps_back"]]
    beyond = row["beyond"].to_dataset().isel(network=0)
    longer = beyond["t_in"].values > T_IN[-1]
    early = beyond["early_onset"].values[longer]
    there = np.isfinite(early)
    spread = float(np.ptp(early[there])) if there.any() else np.nan
    return [
        Verdict(
            "B, left",
            f"Set–Go lies at a distance of {attrs['gap']:.3f} from the trajectory after Ready "
            f"(together: under {TOGETHER}). After t_in of {_listed(map(str, T_IN))} steps Set "
            f"leads {_listed(_moved(n) for n in back)} on it.",
            attrs["gap"] < TOGETHER and back[-1] > 0 and back == sorted(back),
        ),
        Verdict(
            "B, middle",
            f"Go comes before Set in {int(there.sum())} of {int(longer.sum())} trials with t_in "
            f"over {T_IN[-1]}"
            + (
                f", always {_span(early[there] - READY_ON)} steps after Ready: a vertical line."
                if there.any()
                else "."
            ),
            bool(there.mean() > 0.5) and spread <= 2,
        ),
        _graph("B", row, "Set is a self-loop at the root, and Go may come before Set"),
    ]


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _moved(steps: int) -> str:
    return f"{abs(steps)} {'back' if steps >= 0 else 'ahead'}"


def _span(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _cycles(row: xr.DataTree) -> list[Verdict]:
    attrs = row.attrs
    return [
        Verdict(
            "C, left",
            f"After the {len(AMPLITUDES)} trained f1 it runs round {attrs['attractors']:.0f} limit "
            f"cycles, of a median period of {attrs['period']:.1f} steps, and stays on "
            "them.",
            attrs["attractors"] > 1,
        ),
        _answers("C", row),
        _graph("C", row, ""),
    ]


def _points(row: xr.DataTree) -> list[Verdict]:
    attrs = row.attrs
    return [
        Verdict(
            "D, left",
            "At the end of the longest trained delay a state would take "
            f"{attrs['memory_steps']:.0f} steps to come to where that of the next f1 is: slow, "
            f"over a delay of {LONGEST_DELAY} steps. In the end it rests at "
            f"{attrs['attractors']:.0f} points for the {len(AMPLITUDES)} trained f1.",
            attrs["memory_steps"] > LONGEST_DELAY,
        ),
        _answers("D", row),
        _graph("D", row, ""),
    ]


def _one_trajectory(row: xr.DataTree) -> list[Verdict]:
    return [
        Verdict(
            "E, left",
            f"The second interval lies at a distance of {row.attrs['gap']:.3f} from the trajectory "
            f"of the first (together: under {TOGETHER}).",
            row.attrs["gap"] < TOGETHER,
        ),
        _answers("E", row),
        _graph("E", row, ""),
    ]


def _two_trajectories(row: xr.DataTree) -> list[Verdict]:
    return [
        Verdict(
            "F, left",
            f"Left alone from the start it cycles with a period of {row.attrs['period']:.1f} "
            f"steps; the second interval lies at a distance of {row.attrs['gap']:.2f} from that "
            f"trajectory (apart: over {APART}).",
            row.attrs["gap"] > APART,
        ),
        _answers("F", row),
        _graph("F", row, ""),
    ]


def _answers(letter: str, row: xr.DataTree) -> Verdict:
    task = str(row.attrs["population"]).split("/")[0]
    beyond = row["beyond"].to_dataset()
    share = right_share(beyond, task)
    ends = ", ".join(f"{name} to {int(beyond[name].max())}" for name in parameter_spans(task))
    return Verdict(
        f"{letter}, middle",
        f"{share['within']:.0%} of the answers are right within the trained parameters, "
        f"{share['beyond']:.0%} beyond them ({ends}).",
        None,
    )


def _graph(letter: str, row: xr.DataTree, paper: str) -> Verdict:
    graph = row["graph"].to_dataset()
    size = f"{int(graph['n_nodes'][0])} nodes and {int(graph['n_edges'][0])} edges"
    text = f"`{row.attrs['graph_key']}`, {size}"
    # That a graph has what it was chosen by is no finding.
    return Verdict(
        f"{letter}, right", f"{text}{f', chosen for it: {paper}' if paper else ''}.", None
    )


JUDGES = {
    "A": _set_again,
    "B": _set_back,
    "C": _cycles,
    "D": _points,
    "E": _one_trajectory,
    "F": _two_trajectories,
}
