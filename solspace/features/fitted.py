"""A network fitted to recorded activity, and what it does on trials the animal never had.

The activity on trained trials says what the next state is where the network has been. A rate
network fitted to that (Rajan, Harvey & Tank, Neuron 2016; Perich et al., bioRxiv 2020) can be
asked what comes next elsewhere. Its dynamics are then reduced to a graph like those of any
network. Nothing but the recording (activity, output, input) is read. Where a rate network does not
follow the recording (gated units), a map of random features is fitted to the first components
instead; that has no graph.

For a noiseless recording of all units of a vanilla network the fit is all but the network
itself, since both are rate networks of tanh units: read its result as the upper end of what
activity can tell, not as what a recording gives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.features.activity import Columns, Recording, activity_feature
from solspace.tasks import Task

__all__ = ["FittedMap", "FittedNetwork", "fit_map", "fit_network"]

Array = NDArray[np.float64]

PENALTIES = (1e-9, 1e-6, 1e-3, 1e-1)
MAP_PENALTIES = (1e-5, 1e-3)
MAP_COMPONENTS, MAP_FEATURES = 10, 400
FOLLOWS = 0.2  # error of a network that follows its recording; no map is tried then
CHALLENGES = 6
CLIP = 1 - 1e-6
MOST_NODES = 8
SOURCE = "network fitted to the activity; Rajan et al. (Neuron 2016), Perich et al. (2020)"


class FittedNetwork(NamedTuple):
    """A vanilla network that follows recorded activity.

    Attributes
    ----------
    weights : dict of arrays
        As `solspace.networks.run` takes them.
    error : float
        Root mean square error of the output when it runs freely on recorded trials, over the
        standard deviation of the recorded output; at most 10.
    penalty : float
        The ridge penalty chosen.
    """

    weights: dict[str, Array]
    error: float
    penalty: float


def fit_network(
    activity: Array, output: Array, input: Array, penalties: tuple[float, ...] = PENALTIES
) -> FittedNetwork:
    """Fit a vanilla network to the activity of one network, unit by unit.

    The inverse tanh of a unit's next activity is regressed on the activity of all units and the
    input. Steps count by (1 - activity^2)^2, the inverse variance of the inverse tanh for equal
    noise in the activity. The penalty is the one whose network, let run freely on the recorded
    trials, gives the recorded output best.

    Parameters
    ----------
    activity : array (trial, time, unit)
        Between -1 and 1.
    output : array (trial, time, channel)
    input : array (trial, time, input)
    penalties : tuple of float
        Ridge penalties to choose from, in units of the mean squared activity.

    Returns
    -------
    FittedNetwork

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shapes = networks.parameter_shapes("vanilla", 6, inputs=1, outputs=1)
    >>> true = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    >>> x = rng.normal(size=(20, 40, 1))
    >>> activity, output = networks.run("vanilla", true, x)
    >>> fitted = fit_network(activity, output, x)
    >>> bool(np.abs(fitted.weights["weight_hh"] - true["weight_hh"]).max() < 1e-3)
    True
    """
    if np.abs(activity).max() > 1:
        raise SolspaceError(
            f"activity up to {np.abs(activity).max():.3g}; a network of tanh units is fitted to "
            "activity between -1 and 1, scale it first"
        )
    trials, time, n = activity.shape
    before = np.concatenate([np.zeros((trials, 1, n)), activity[:, :-1]], axis=1)
    left = np.concatenate([before, input, np.ones((trials, time, 1))], axis=-1)
    left = left.reshape(trials * time, -1)
    after = activity.reshape(trials * time, n)
    drive = np.arctanh(np.clip(after, -CLIP, CLIP))
    weight = (1 - after**2) ** 2 + 1e-12
    gram, right = [], []
    for k in range(n):
        weighted = left * weight[:, k, None]
        gram.append(weighted.T @ left)
        right.append(weighted.T @ drive[:, k])
    grams, rights = np.stack(gram), np.stack(right)
    size = np.einsum("kii->k", grams[:, :n, :n]) / n
    readout = _readout(after, output.reshape(trials * time, -1))
    few = np.unique(np.linspace(0, trials - 1, 12).round().astype(int))
    spread = max(float(output[few].std()), 1e-9)
    best: FittedNetwork | None = None
    for penalty in penalties:
        ridge = np.zeros((n, left.shape[1]))
        ridge[:, :n] = (penalty * size)[:, None]
        ridge += 1e-12 * size[:, None] + 1e-15
        solved = np.linalg.solve(grams + ridge[:, None] * np.eye(left.shape[1]), rights[..., None])
        weights = _weights(solved[..., 0], readout, n, input.shape[-1])
        run = networks.run("vanilla", weights, input[few])[1]
        error = min(float(np.sqrt(np.mean((run - output[few]) ** 2))) / spread, 10.0)
        if best is None or error < best.error:
            best = FittedNetwork(weights, error, penalty)
    assert best is not None
    return best


class FittedMap(NamedTuple):
    """A map from a state and an input to the next state, in components, with a readout.

    Attributes
    ----------
    start : array (component,)
        State before the first step.
    mixing, offset : arrays (component + input, feature), (feature,)
        Random features are ``tanh([state / spread, input / strength] @ mixing + offset)``.
    step : array (component + input + feature + 1, component)
        The change of the state from [state, input, features, 1].
    readout : array (component + 1, channel)
    spread, strength : array (component,), float
    error : float
        As in `FittedNetwork`.
    """

    start: Array
    mixing: Array
    offset: Array
    step: Array
    readout: Array
    spread: Array
    strength: float
    error: float

    def run(self, input: Array) -> tuple[Array, Array]:
        """States (trial, time, component) and output (trial, time, channel), run freely."""
        states = np.empty((*input.shape[:2], len(self.start)))
        state = np.broadcast_to(self.start, (len(input), len(self.start)))
        for t in range(input.shape[1]):
            state = np.clip(state + self.features(state, input[:, t]) @ self.step, -5, 5)
            states[:, t] = state
        ones = np.ones((*input.shape[:2], 1))
        return states, np.concatenate([states, ones], axis=-1) @ self.readout

    def features(self, state: Array, input: Array) -> Array:
        return _random_features(
            state / self.spread, input / self.strength, self.mixing, self.offset
        )


def _random_features(state: Array, input: Array, mixing: Array, offset: Array) -> Array:
    left = np.concatenate([state, input], axis=-1)
    ones = np.ones((*left.shape[:-1], 1))
    return np.concatenate([left, np.tanh(left @ mixing + offset), ones], axis=-1)


def fit_map(states: Array, start: Array, output: Array, input: Array) -> FittedMap:
    """Fit a map to states in components: ridge regression on random features (Rahimi & Recht 2007).

    Parameters
    ----------
    states : array (trial, time, component)
    start : array (component,)
        State before the first step.
    output, input : array (trial, time, channel)

    Examples
    --------
    >>> time = np.arange(60)
    >>> circle = np.stack([np.cos(time / 10), np.sin(time / 10)], axis=-1)[None]
    >>> silence = np.zeros((1, 60, 1))
    >>> fitted = fit_map(circle, np.array([1.0, -0.1]), circle[..., :1], silence)
    >>> fitted.error < 0.1
    True
    """
    kept = min(MAP_COMPONENTS, states.shape[-1])
    kept = max(int((states[..., :kept].std(axis=(0, 1)) > 1e-6).sum()), 1)
    states, start = states[..., :kept], start[:kept]
    spread = np.sqrt(states.std(axis=(0, 1)) + 1e-12)
    strength = max(float(np.abs(input).max()), 1.0)
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(kept + input.shape[-1], MAP_FEATURES))
    mixing[:kept] /= np.sqrt(kept) * max(float((states / spread).std()), 1e-9)
    offset = rng.uniform(-2, 2, MAP_FEATURES)
    first = np.broadcast_to(start, (len(states), 1, kept))
    before = np.concatenate([first, states[:, :-1]], axis=1)
    left = _random_features(before / spread, input / strength, mixing, offset)
    left = left.reshape(-1, left.shape[-1])
    change = (states - before).reshape(-1, kept)
    gram, right = left.T @ left / len(left), left.T @ change / len(left)
    readout = _readout(states.reshape(-1, kept), output.reshape(-1, output.shape[-1]))
    few = np.unique(np.linspace(0, len(states) - 1, 12).round().astype(int))
    sd = max(float(output[few].std()), 1e-9)
    tried = []
    for penalty in MAP_PENALTIES:
        step = np.linalg.solve(gram + penalty * np.eye(len(gram)), right)
        one = FittedMap(start, mixing, offset, step, readout, spread, strength, np.inf)
        run = one.run(input[few])[1]
        error = min(float(np.sqrt(np.mean((run - output[few]) ** 2))) / sd, 10.0)
        tried.append(one._replace(error=error))
    return min(tried, key=lambda one: one.error)


def _readout(activity: Array, output: Array) -> Array:
    """Weights and then the bias, (unit + 1, channel)."""
    left = np.concatenate([activity, np.ones((len(activity), 1))], axis=1)
    gram = left.T @ left
    gram[np.diag_indices(len(gram))] += 1e-9 * np.trace(gram) / len(gram)
    return np.linalg.solve(gram, left.T @ output)


def _weights(solved: NDArray[Any], readout: Array, n: int, inputs: int) -> dict[str, Array]:
    return {
        "weight_hh": solved[None, :, :n],
        "weight_ih": solved[None, :, n : n + inputs],
        "bias_ih": solved[None, :, -1],
        "bias_hh": np.zeros((1, n)),
        "weight_out": readout[:-1].T,
        "bias_out": readout[-1],
    }


@activity_feature(
    name="fitted", units="output; log10 for error and speed", family="fitted", source=SOURCE
)
def fitted(recording: Recording) -> Columns:
    """Of a network fitted to the activity: error, output and last speed on untrained trials."""
    task = recording.task
    trials = task.extrapolation_trials()
    asked = np.unique(np.linspace(0, len(trials) - 1, CHALLENGES).round().astype(int))
    epochs = trials.epoch[asked]
    names = _column_names(task, epochs)
    if recording.names_only:
        return dict.fromkeys(names, np.zeros(len(recording.states)))
    rows = []
    for i, activity in enumerate(recording.activity):
        kept = _few_trials(len(activity))
        given, answered = recording.input[kept], recording.output[i, kept]
        largest = max(float(np.abs(activity[kept]).max()), 1.0)  # rates of spikes pass 1 at times
        one = fit_network(activity[kept] / largest, answered, given)
        other = None
        if one.error > FOLLOWS:
            other = fit_map(recording.states[i, kept], recording.before[i], answered, given)
        if other is not None and other.error < one.error:
            states, output = other.run(trials.input[asked])
        else:
            states, output = networks.run("vanilla", one.weights, trials.input[asked])
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
        row += _graph_columns(task, one.weights)
        rows.append(row)
    return dict(zip(names, np.clip(np.array(rows).T, -1e3, 1e3), strict=True))


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


def _graph_columns(task: Task, weights: dict[str, Array]) -> list[float]:
    """The graph of the fitted network as numbers: outputs, and where each symbol leads (-1 not)."""
    if task.probe is None:
        return []
    from solspace.reduction import reduce_network
    from solspace.reduction.canonical import canonical_order

    symbols = len(task.input_symbols)
    table = np.full((MOST_NODES, 1 + symbols), -2.0)
    try:
        graph = reduce_network(task, "vanilla", weights)
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
