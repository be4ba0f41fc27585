"""A network, or a map, fitted to recorded activity.

A rate network that follows a recording step by step (Rajan, Harvey & Tank, Neuron 2016; Perich et
al., bioRxiv 2020) can be run where nothing was recorded, and its dynamics reduced like those of any
network. Each unit is a regression of its own: what it does next, given what all units do now. For
tanh units that regression is linear; for the gated units of Cho et al. (2014) and Hochreiter &
Schmidhuber (1997) it is solved by damped Gauss-Newton steps (Levenberg 1944; Transtrum & Sethna
2012), which need no run through time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.features.gated import column_pairs, fit_gates, gru_step, lstm_step
from solspace.kinds import load

__all__ = [
    "FittedMap",
    "FittedNetwork",
    "fit_map",
    "fit_network",
    "fit_of",
    "fitted_architecture",
]

Array = NDArray[np.float64]

PENALTIES = (1e-9, 1e-6, 1e-3, 1e-1)
FOLLOWS = 0.2  # error of a network that follows its recording
EXACT = 1e-4  # and of one that could hardly follow it better
CLIP = 1 - 1e-6
# Gated units: recorded steps used; share of the largest singular value under which a direction of
# the activity, a millionth of its variance, is left out: errors stay, at half the columns.
STEPS, ROUNDING = 800, 1e-3
FEW = 256  # steps whose products are there at once
MAP_PENALTIES = (1e-5, 1e-3)
MAP_COMPONENTS, MAP_FEATURES = 10, 400


class FittedNetwork(NamedTuple):
    """A network that follows recorded activity.

    Attributes
    ----------
    architecture : str
    weights : dict of arrays
        As `solspace.networks.run` takes them.
    error : float
        Root mean square error of the output when it runs freely on recorded trials, over the
        standard deviation of the recorded output; at most 10.
    penalty : float
        The ridge penalty chosen.
    """

    architecture: str
    weights: dict[str, NDArray[Any]]
    error: float
    penalty: float


def fit_network(
    activity: Array,
    output: Array,
    input: Array,
    *,
    architecture: str = "vanilla",
    cell_state: Array | None = None,
    penalties: Sequence[float] = PENALTIES,
) -> FittedNetwork:
    """Fit a network to the activity of one network, unit by unit.

    Vanilla: the inverse tanh of a unit's next activity is regressed on the activity of all units
    and the input. Steps count by (1 - activity^2)^2, the inverse variance of the inverse tanh for
    equal noise in the activity. GRU and LSTM: a unit's gates are fitted so that its next activity
    (of an LSTM, cell state) comes out, by least squares; an LSTM's output gate is a linear
    regression again, as its value is activity / tanh(cell state).

    The penalty is the one whose network, let run freely on the recorded trials, gives the recorded
    output best. No larger one is tried once a network gives it to 1e-4 of its standard deviation;
    gated fits, which cost more, stop at the first that follows it.

    Parameters
    ----------
    activity : array (trial, time, unit)
        Between -1 and 1.
    output : array (trial, time, channel)
    input : array (trial, time, input)
    architecture : str
        One with a `fit` (see `solspace.networks`): vanilla, gru, lstm.
    cell_state : array (trial, time, unit), optional
        Of an LSTM.
    penalties : sequence of float
        Ridge penalties to choose from, smallest first, in units of the mean squared activity.

    Returns
    -------
    FittedNetwork

    Raises
    ------
    SolspaceError
        For activity past 1, or an LSTM without cell state.

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
            f"activity up to {np.abs(activity).max():.3g}; a network is fitted to activity "
            "between -1 and 1, scale it first"
        )
    fits_of = fit_of(architecture)
    if fits_of.needs_cell and (cell_state is None or cell_state.shape != activity.shape):
        raise SolspaceError(
            "an LSTM is fitted to its activity and its cell state, of the same shape; give "
            "`cell_state`, or fit another architecture"
        )
    n = activity.shape[-1]
    readout = _readout(activity.reshape(-1, n), output.reshape(-1, output.shape[-1]))
    fits: _Fits = fits_of(activity, input, cell_state)
    few = np.unique(np.linspace(0, len(activity) - 1, 12).round().astype(int))
    spread = max(float(output[few].std()), 1e-9)
    best: FittedNetwork | None = None
    for penalty in penalties:
        weights = fits.weights(penalty) | {
            "weight_out": readout[:-1].T,
            "bias_out": readout[-1],
        }
        run = networks.run_output(architecture, weights, input[few])
        error = min(float(np.sqrt(np.mean((run - output[few]) ** 2))) / spread, 10.0)
        if best is None or error < best.error:
            best = FittedNetwork(architecture, weights, error, penalty)
        if error < (FOLLOWS if fits.costly else EXACT):
            break
    assert best is not None
    return best


def _before(states: Array) -> Array:
    """The state before each step, zero before the first, (trial * time, unit)."""
    shifted = np.concatenate([np.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
    return shifted.reshape(-1, states.shape[-1])


class _Fits(Protocol):
    """Fits networks of one architecture to activity."""

    needs_cell: bool
    costly: bool

    def __init__(self, activity: Array, input: Array, cell_state: Array | None) -> None: ...

    def weights(self, penalty: float) -> dict[str, NDArray[Any]]:
        """All weights and biases but the readout's."""
        ...


def fitted_architecture(architecture: str | None) -> str:
    """The architecture of the network that is fitted to activity of one: itself, or vanilla.

    Examples
    --------
    >>> fitted_architecture("gru"), fitted_architecture("leaky"), fitted_architecture(None)
    ('gru', 'vanilla', 'vanilla')
    """
    if architecture not in networks.architecture_names("recurrent"):
        return "vanilla"
    return str(architecture) if networks.get_architecture(architecture).fit else "vanilla"


def fit_of(architecture: str) -> Any:
    """What fits networks of an architecture to activity, or an error where nothing does."""
    where = networks.recurrent_architecture(architecture).fit
    if where is None:
        raise SolspaceError(
            f"{architecture} networks are not fitted to activity; fit a vanilla network"
        )
    found: Any = load(where)
    return found


class Vanilla:
    """Linear regressions, prepared for any penalty."""

    needs_cell = False
    costly = False

    def __init__(self, activity: Array, input: Array, cell_state: Array | None = None) -> None:
        self.n, self.inputs = activity.shape[-1], input.shape[-1]
        rows, times = _steps_once(activity, input)
        after = activity.reshape(-1, self.n)[rows]
        left = np.concatenate(
            [
                _before(activity)[rows],
                input.reshape(-1, self.inputs)[rows],
                np.ones((len(rows), 1)),
            ],
            axis=1,
        )
        drive = np.arctanh(np.clip(after, -CLIP, CLIP))
        weight = ((1 - after**2) ** 2 + 1e-12) * times[:, None]
        self.gram = _normal_matrices(left, weight)
        self.right = (weight * drive).T @ left
        self.size = np.einsum("kii->k", self.gram[:, : self.n, : self.n]) / self.n

    def weights(self, penalty: float) -> dict[str, NDArray[Any]]:
        columns = self.gram.shape[-1]
        ridge = np.zeros((self.n, columns))
        ridge[:, : self.n] = (penalty * self.size)[:, None]
        ridge += 1e-12 * self.size[:, None] + 1e-15
        left = self.gram + ridge[:, None] * np.eye(columns)
        solved = np.linalg.solve(left, self.right[..., None])[..., 0]
        return {
            "weight_hh": solved[None, :, : self.n],
            "weight_ih": solved[None, :, self.n : -1],
            "bias_ih": solved[None, :, -1],
            "bias_hh": np.zeros((1, self.n)),
        }


def _normal_matrices(left: Array, weight: Array) -> Array:
    """Sums over steps of products of columns (step, column) by weights (step, unit), by unit."""
    columns, units = left.shape[1], weight.shape[1]
    packed = np.zeros((units, columns * (columns + 1) // 2))
    for first in range(0, len(left), FEW):  # all units side by side, in the cache
        few = slice(first, first + FEW)
        packed += weight[few].T @ column_pairs(left[few])
    rows, before = np.tril_indices(columns)
    gram = np.empty((units, columns, columns))
    gram[:, rows, before] = gram[:, before, rows] = packed
    return gram


class _Gated:
    """Least squares for the gates of GRU or LSTM units, from pairs of steps.

    A gate's drive is linear in the columns [activity in components, input, 1]; of a GRU's
    candidate the recurrent and the input part are two drives, as the reset gate scales one only.
    """

    needs_cell = False
    costly = True

    def __init__(self, activity: Array, input: Array, cell_state: Array | None) -> None:
        n, inputs = activity.shape[-1], input.shape[-1]
        before, after = _before(activity), activity.reshape(-1, n)
        x = input.reshape(-1, inputs)
        self.strength = max(float(np.abs(x).max()), 1e-9)
        variance, axes = np.linalg.eigh(before.T @ before)
        size = np.sqrt(np.maximum(variance[::-1], 0) / max(float(variance[-1]), 1e-300))
        k = max(int((size > ROUNDING).sum()), 1)
        self.axes = axes[:, ::-1][:, :k]
        self.size = np.concatenate([size[:k], np.ones(inputs + 1)])
        cells = []  # before and after
        if cell_state is not None:
            cells = [_before(cell_state), cell_state.reshape(-1, n)]
        # All pulses, which are few, and steps of silence, drawn: a grid would fall on the same
        # moments of every trial.
        pulsed = x.any(axis=1)
        silent = np.flatnonzero(~pulsed)
        kept = max(STEPS - int(pulsed.sum()), STEPS // 2)
        some = np.random.default_rng(0).permutation(silent)[:kept]
        rows = np.sort(np.concatenate([np.flatnonzero(pulsed), some]))
        # Trials that have been the same so far give the same step again and again.
        whole = [before, x, after, *cells]
        rows, self.times = _once(np.concatenate([part[rows] for part in whole], axis=1), rows)
        self.left = np.concatenate(
            [before[rows] @ self.axes, x[rows] / self.strength, np.ones((len(rows), 1))], axis=1
        )
        self.k, self.inputs = k, inputs
        every = np.arange(k + inputs + 1)
        if not cells:
            recurrent = np.concatenate([np.arange(k), [k + inputs]])
            self.columns = [every, every, recurrent, np.arange(k, k + inputs + 1)]
            self.now, self.next = before[rows].T, after[rows].T
            self.step = gru_step
            self.output_gate = None
        else:
            self.columns = [every, every, every]
            self.now, self.next = (state[rows].T for state in cells)
            self.step = lstm_step
            squashed = np.tanh(self.next.T)
            self.output_gate = self._output_gate(self.left, self.times, after[rows], squashed)

    @staticmethod
    def _output_gate(left: Array, times: Array, after: Array, squashed: Array) -> Array:
        safe = np.where(np.abs(squashed) > 1e-9, squashed, 1e-9)
        gate = np.clip(after / safe, 1e-5, 1 - 1e-5)
        weight = (squashed * gate * (1 - gate)) ** 2 * times[:, None]
        drive = np.log(gate / (1 - gate))
        gram, right = _normal_matrices(left, weight), (weight * drive).T @ left
        size = np.einsum("kii->k", gram) / gram.shape[-1]
        gram += (1e-9 * size + 1e-12)[:, None, None] * np.eye(gram.shape[-1])
        solved: NDArray[Any] = np.linalg.solve(gram, right[..., None])[..., 0]
        return solved

    def weights(self, penalty: float) -> dict[str, NDArray[Any]]:
        gates = fit_gates(
            self.left, self.times, self.columns, self.step, self.now, self.next,
            penalty=penalty, size=self.size,
        )  # fmt: skip
        k = self.k
        if self.output_gate is None:
            reset, update, recurrent, driven = gates
            whole = [reset, update, np.concatenate([recurrent[:, :k], driven], axis=1)]
            bias_hh = np.stack([np.zeros(len(reset))] * 2 + [recurrent[:, -1]])
        else:
            whole = [*gates, self.output_gate]
            bias_hh = np.zeros((4, len(gates[0])))
        return {
            "weight_hh": np.stack([gate[:, :k] @ self.axes.T for gate in whole]),
            "weight_ih": np.stack([gate[:, k:-1] / self.strength for gate in whole]),
            "bias_ih": np.stack([gate[:, -1] for gate in whole]),
            "bias_hh": bias_hh,
        }


def _steps_once(activity: Array, input: Array) -> tuple[NDArray[np.intp], Array]:
    """Steps (trial * time) that differ to the last bit, and how often each is there.

    Trials that have been the same so far, or have come to rest, give one step again and again:
    about half of all. To sort numbers of 64 bits is faster than to sort the steps; that two steps
    get the same one is a matter of one network in a billion.
    """
    rng = np.random.default_rng(0)

    def number(values: Array) -> NDArray[np.uint64]:
        bits = np.ascontiguousarray(values, np.float64).view(np.uint64)
        bits = bits ^ (bits >> np.uint64(32))  # of float32 the last bits are all zero
        odd = rng.integers(0, 1 << 63, bits.shape[-1], dtype=np.uint64) * 2 + 1
        return (bits * odd).sum(axis=-1)

    after, drive = number(activity), number(input)
    before = np.zeros_like(after)
    before[:, 1:] = after[:, :-1]
    step = (before * np.uint64(0x9E3779B97F4A7C15) + drive) ^ after
    _, first, times = np.unique(step, return_index=True, return_counts=True)
    order = np.argsort(first)
    return first[order], times[order].astype(np.float64)


def _once(values: Array, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], Array]:
    """Rows whose values differ to the last bit, in order, and how often each is there."""
    whole = np.ascontiguousarray(values).view(
        np.dtype((np.void, values.itemsize * values.shape[1]))
    )
    _, first, times = np.unique(whole[:, 0], return_index=True, return_counts=True)
    order = np.argsort(first)
    return rows[first[order]], times[order].astype(np.float64)


class Gru(_Gated):
    """Fits GRUs, to their activity alone."""

    def __init__(self, activity: Array, input: Array, cell_state: Array | None = None) -> None:
        super().__init__(activity, input, None)


class Lstm(_Gated):
    """Fits LSTMs, to their activity and their cell state."""

    needs_cell = True


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
