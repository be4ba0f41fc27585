"""What a network fitted to recorded activity does on trials the animal never had.

The activity on trained trials says what the next state is where the network has been. A network
fitted to that can be asked what comes next elsewhere, and its dynamics are reduced to a graph like
those of any network (`solspace.features.fit`). Nothing but the recording (activity, output, input;
of an LSTM its cell state) is read. Where no network follows the recording, a map of random features
is fitted to the first components instead; that has no graph.

The network fitted has the architecture of the one recorded. For a noiseless recording of all units
the fit is then all but the network itself: read its result as the upper end of what activity can
tell, not as what a recording of neurons gives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.features.fit import (
    FOLLOWS,
    FittedNetwork,
    fit_map,
    fit_network,
    fit_of,
    fitted_architecture,
)
from solspace.features.recording import Recording
from solspace.features.registry import feature
from solspace.tasks import Task

__all__: list[str] = []

CHALLENGES = 6
MOST_NODES = 8
SOURCE = "network fitted to the activity; Rajan et al. (Neuron 2016), Perich et al. (2020)"


def fitted_columns(task: Task) -> list[str]:
    """The columns of `fitted`: finding them out by fitting a network would take long."""
    trials = task.extrapolation_trials()
    return _column_names(task, trials.epoch[_asked(len(trials))])


@feature(
    name="fitted",
    family="fitted",
    units="output; log10 for error and speed",
    source=SOURCE,
    columns=fitted_columns,
)
def fitted(recording: Recording) -> dict[str, float]:
    """Of a network fitted to the activity: error, output and last speed on untrained trials."""
    task = recording.task
    trials = task.extrapolation_trials()
    asked = _asked(len(trials))
    epochs = trials.epoch[asked]
    activity = recording.activity
    kept = _few_trials(len(activity))
    given, answered = recording.input[kept], recording.output[kept]
    largest = max(float(np.abs(activity[kept]).max()), 1.0)  # rates of spikes pass 1 at times
    cell_state = None if recording.cell_state is None else recording.cell_state[kept]
    architecture = fitted_architecture(recording.architecture)
    if fit_of(architecture).needs_cell and cell_state is None:
        architecture = "vanilla"
    one = fit_network(
        activity[kept] / largest,
        answered,
        given,
        architecture=architecture,
        cell_state=cell_state,
    )
    other = None
    if one.error > FOLLOWS:
        other = fit_map(recording.states[kept], recording.before, answered, given)
    if other is not None and other.error < one.error:
        states, output = other.run(np.asarray(trials.input[asked], np.float64))
    else:
        states, output = networks.run(one.architecture, one.weights, trials.input[asked])
        states = states[..., : activity.shape[-1]]
    row = [np.log10(one.error + 1e-4), np.log10(one.penalty)]
    row.append(np.log10((one if other is None else other).error + 1e-4))
    for j in range(len(asked)):
        row += [
            float(output[j, epochs[j] == e].mean())
            for e in range(len(task.epochs))
            if (epochs[j] == e).any()
        ]
        speed = np.sqrt(np.mean((states[j, -1] - states[j, -2]) ** 2))
        row += [float(output[j, -1].mean()), float(np.log10(speed + 1e-6))]
    row += _graph_columns(task, one)
    names = _column_names(task, epochs)
    return dict(zip(names, np.clip(np.array(row), -1e3, 1e3).tolist(), strict=True))


def _asked(count: int) -> NDArray[np.int64]:
    """The untrained trials it is run on."""
    return np.unique(np.linspace(0, count - 1, CHALLENGES).round().astype(int))


def _few_trials(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, 72).round().astype(np.int64))


def _column_names(task: Task, epochs: NDArray[np.integer]) -> list[str]:
    names = ["error", "penalty", "map_error"]
    for j, row in enumerate(epochs):
        names += [f"trial{j}_{e}" for k, e in enumerate(task.epochs) if (row == k).any()]
        names += [f"trial{j}_last", f"trial{j}_speed"]
    if task.probe is not None:
        names += ["nodes", "edges"]
        for node in range(MOST_NODES):
            names.append(f"node{node}_output")
            names += [f"node{node}_{symbol}" for symbol in task.input_symbols]
    return names


def _graph_columns(task: Task, fitted: FittedNetwork) -> list[float]:
    """The graph of the fitted network as numbers: outputs, and where each symbol leads (-1 not)."""
    if task.probe is None:
        return []
    from solspace.reduction import reduce_network
    from solspace.reduction.canonical import canonical_order

    symbols = len(task.input_symbols)
    table = np.full((MOST_NODES, 1 + symbols), -2.0)
    try:
        graph = reduce_network(task, fitted.architecture, fitted.weights)
    except SolspaceError:
        return [0.0, 0.0, *table.ravel()]
    place = np.argsort(canonical_order(graph))
    table[:] = -1
    for node, output in enumerate(graph.node_output.tolist()):
        if place[node] < MOST_NODES:
            table[place[node], 0] = output
    edges = zip(graph.edge_source, graph.edge_target, graph.edge_symbol, strict=True)
    for source, target, symbol in edges:
        if place[source] < MOST_NODES:
            table[place[source], 1 + symbol] = max(
                table[place[source], 1 + symbol], float(place[target])
            )
    return [float(len(graph.node_output)), float(len(graph.edge_source)), *table.ravel()]
