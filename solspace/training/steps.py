"""Where the gradient steps of one network are computed: compiled, or in torch.

The driver (`solspace.training.train_network`) sees only `Steps`, so that an architecture gets a
compiled kernel without a line of the driver changing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.tasks.recipe import Recipe
from solspace.tasks.trials import Trials

__all__ = [
    "EPSILON", "CompiledSteps", "FreshSteps", "MatrixSteps", "Steps", "TorchSteps",
    "channels_first", "check_trained", "kernel_matrix", "make_steps",
]  # fmt: skip

EPSILON = 1e-8  # torch's default for Adam

Weights = dict[str, NDArray[Any]]


class Steps(Protocol):
    """One network under training: its weights, Adam's moments and the training set."""

    def advance(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """One Adam step for each row of trial indices, at that row's learning rate."""

    def learn_from(self, trials: Trials) -> None:
        """Take gradient steps on these trials from now on; the loss stays that over the first."""

    def loss(self) -> float:
        """Mean squared error over the whole training set."""

    def gradient(self, batch: NDArray[np.int64]) -> tuple[float, Weights]:
        """Mean squared error of a batch and its gradient, unclipped; for tests."""

    def weights(self) -> Weights:
        """The network's parameters, shaped as `solspace.networks.parameter_shapes`."""

    def snapshot(self) -> Any:
        """A copy of weights and moments."""

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot."""


def make_steps(
    architecture: str,
    weights: Mapping[str, NDArray[np.float32]],
    trials: Trials,
    recipe: Recipe,
    device: str | None = None,
    draw: Callable[[], Trials] | None = None,
    noise: np.random.Generator | None = None,
) -> Steps:
    """The fastest way to train this architecture; torch where a device is named.

    ``draw`` gives the trials to learn from where these are drawn anew, see `FreshSteps`; ``noise``
    is what the noise of the recipe's ``recurrent_noise`` is drawn from.
    """
    record = check_trained(architecture, weights)
    steps: Steps
    if record.kernel is not None and not record.trained and device is None:
        steps = CompiledSteps(architecture, weights, trials, recipe, noise)
    elif recipe.recurrent_noise:
        raise SolspaceError(_no_noise(architecture, recipe))
    else:
        steps = TorchSteps(architecture, weights, trials, recipe, device or "cpu")
    return steps if draw is None else FreshSteps(steps, draw, len(trials))


def check_trained(architecture: str, weights: Mapping[str, NDArray[Any]]) -> networks.Architecture:
    """The record of an architecture, or an error where such a network is not trained here.

    Examples
    --------
    >>> check_trained("gru", {}).title
    'GRU'
    """
    record = networks.recurrent_architecture(architecture)
    if not record.trainable:
        raise SolspaceError(f"{architecture} networks are not trained here, nor trained further")
    if starts := networks.start_names(record, weights):
        raise SolspaceError(
            f"a network with {', '.join(starts)} is not trained (further): it starts from a "
            "learned state, and gradient steps are taken from a state of zero"
        )
    return record


def _no_noise(architecture: str, recipe: Recipe) -> str:
    known = [
        name
        for name in networks.architecture_names("recurrent")
        if (kernel := networks.recurrent_architecture(name).kernel)
        and hasattr(importlib.import_module(kernel), "noisy")
    ]
    return (
        f"recurrent_noise {recipe.recurrent_noise:g}: the state of {architecture} networks takes "
        f"no noise in training here; give 0, or one of {', '.join(known)} without a device"
    )


def channels_first(array: NDArray[np.floating]) -> NDArray[np.float32]:
    """(trial, time, channel) to the kernels' (time, channel, trial).

    Examples
    --------
    >>> channels_first(np.zeros((5, 3, 2))).shape
    (3, 2, 5)
    """
    return np.ascontiguousarray(array.transpose(1, 2, 0), dtype=np.float32)


def _layout(
    architecture: str, n: int, outputs: int
) -> Iterator[tuple[str, Any, slice, slice | int]]:
    """Where each parameter is in the kernels' matrix: name, its part, rows, columns.

    Columns are those of the augmented state (h, x, 1). Rows are the gates and then the readout;
    a GRU keeps the input part of its last gate apart, in rows after the readout, since the
    reset gate comes between the two parts.
    """
    record = networks.recurrent_architecture(architecture)
    gates, apart = len(record.gates), 0
    hidden, inputs, one = slice(0, n), slice(n, -1), -1
    for gate in range(gates):
        rows = slice(gate * n, (gate + 1) * n)
        yield "weight_hh", gate, rows, hidden
        yield "bias_hh", gate, rows, one
        if record.gates[gate] in record.input_apart:
            first = (gates + apart) * n + outputs
            rows, apart = slice(first, first + n), apart + 1
        yield "weight_ih", gate, rows, inputs
        yield "bias_ih", gate, rows, one
    rows = slice(gates * n, gates * n + outputs)
    yield "weight_out", slice(None), rows, hidden
    yield "bias_out", slice(None), rows, one


def kernel_matrix(architecture: str, weights: networks.Weights) -> NDArray[np.float32]:
    """The matrix of the compiled kernels that holds one network's parameters.

    Examples
    --------
    >>> shapes = networks.parameter_shapes("gru", 5, inputs=2, outputs=1)
    >>> kernel_matrix("gru", {name: np.ones(shape) for name, shape in shapes.items()}).shape
    (21, 8)
    """
    from solspace.training.blocks import aligned

    record, n = networks.recurrent_architecture(architecture), networks.hidden_size(weights)
    outputs, inputs = len(weights["bias_out"]), weights["weight_ih"].shape[-1]
    rows = (len(record.gates) + len(record.input_apart)) * n + outputs
    matrix = aligned(rows, n + inputs + 1)
    for name, part, at, columns in _layout(architecture, n, outputs):
        matrix[at, columns] += np.asarray(weights[name][part], np.float32)
    return matrix


class MatrixSteps:
    """A network and its moments as one matrix each, in the order of the compiled kernels.

    Examples
    --------
    >>> from solspace.training import initial_weights
    >>> rng = np.random.default_rng(0)
    >>> start = initial_weights("vanilla", 20, inputs=2, outputs=1, init="default", rng=rng)
    >>> MatrixSteps("vanilla", start).weights()["weight_hh"].shape
    (1, 20, 20)
    """

    def __init__(self, architecture: str, weights: Mapping[str, NDArray[np.float32]]) -> None:
        record = networks.recurrent_architecture(architecture)
        n, outputs = networks.hidden_size(weights), len(weights["bias_out"])
        self._given = {p.name: np.array(weights[p.name]) for p in record.given}
        self._layout = list(_layout(architecture, n, outputs))
        self._start = {name: np.array(weights[name], np.float32) for name in networks.PARAMETERS}
        self._matrix = kernel_matrix(architecture, self._start)
        # How many of torch's parameters each element of the matrix is the sum of.
        self._copies = np.zeros_like(self._matrix)
        for _, _, rows, columns in self._layout:
            self._copies[rows, columns] += 1
        self._first_matrix = self._matrix.copy()
        self._moments = np.zeros((2, *self._matrix.shape), np.float32)
        self._done = 0

    def _shaped(self, gradient: NDArray[np.float32]) -> Weights:
        """A gradient of the matrix as one of the parameters."""
        out = {name: np.zeros_like(array) for name, array in self._start.items()}
        for name, part, rows, columns in self._layout:
            out[name][part] = gradient[rows, columns]
        return out

    def weights(self) -> Weights:
        out = {name: array.copy() for name, array in self._start.items()}
        for name, part, rows, columns in self._layout:
            if name.startswith("weight") or name == "bias_out":
                out[name][part] = self._matrix[rows, columns]
            else:
                # Biases that are summed have the same gradient, so they moved alike.
                moved = self._matrix[rows, columns] - self._first_matrix[rows, columns]
                out[name][part] += moved / self._copies[rows, columns]
        return out | {name: value.copy() for name, value in self._given.items()}

    def snapshot(self) -> Any:
        return self._matrix.copy(), self._moments.copy(), self._done

    def restore(self, snapshot: Any) -> None:
        self._matrix[:], self._moments[:], self._done = snapshot


class CompiledSteps(MatrixSteps):
    """Gradient steps in the architecture's compiled kernel, on the calling thread.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> from solspace.training import initial_weights
    >>> task, rng = get_task("interval_reproduction"), np.random.default_rng(0)
    >>> start = initial_weights("vanilla", 20, inputs=2, outputs=1, init="default", rng=rng)
    >>> trials, recipe = task.training_trials(rng), task.recipe("vanilla")
    >>> steps = CompiledSteps("vanilla", start, trials, recipe)
    >>> before = steps.loss()
    >>> steps.advance(rng.integers(128, size=(50, 32)), np.full(50, 2e-3))
    >>> steps.loss() < before
    True
    """

    def __init__(
        self,
        architecture: str,
        weights: Mapping[str, NDArray[np.float32]],
        trials: Trials,
        recipe: Recipe,
        noise: np.random.Generator | None = None,
    ) -> None:
        super().__init__(architecture, weights)
        record = networks.recurrent_architecture(architecture)
        assert record.kernel is not None
        self._kernel = importlib.import_module(record.kernel)
        self._recipe = recipe
        self._inputs = channels_first(trials.input)
        self._targets = channels_first(trials.target)
        self._looked_at = self._inputs, self._targets
        self._asked = int(np.isfinite(self._targets).sum())
        steps, inputs, _ = self._inputs.shape
        n, outputs = networks.hidden_size(weights), self._targets.shape[1]
        settings = record.kernel_settings(weights)
        self._work = self._kernel.workspace(n, inputs, outputs, steps, *settings)
        self._noise = None
        if recipe.recurrent_noise:
            if not hasattr(self._kernel, "noisy"):
                raise SolspaceError(_no_noise(architecture, recipe))
            self._work = self._kernel.noisy(self._work, recipe.batch_size)
            self._noise = noise or np.random.default_rng(0)

    def advance(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        if self._noise is None:
            self._adam_steps(batches, rates)
            return
        added = self._work[-2]
        for step in range(len(batches)):
            self._noise.standard_normal(dtype=np.float32, out=added)
            added *= np.float32(self._recipe.recurrent_noise)
            self._adam_steps(batches[step : step + 1], rates[step : step + 1])
        added[:] = 0

    def _adam_steps(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        self._kernel.adam_steps(
            self._matrix,
            self._moments,
            self._copies,
            self._done,
            self._inputs,
            self._targets,
            batches,
            rates,
            # For an integer Numba would compile all of it once more.
            float(self._recipe.beta1),
            float(self._recipe.beta2),
            EPSILON,
            float(self._recipe.clip),
            self._work,
        )
        self._done += len(batches)

    def learn_from(self, trials: Trials) -> None:
        self._inputs = channels_first(trials.input)
        self._targets = channels_first(trials.target)

    def loss(self) -> float:
        squares = self._kernel.squared_error(self._matrix, *self._looked_at, self._work)
        return float(squares / self._asked)

    def gradient(self, batch: NDArray[np.int64]) -> tuple[float, Weights]:
        squares = self._kernel.gradient(
            self._matrix, self._inputs, self._targets, batch, self._work
        )
        asked = np.isfinite(self._targets[..., batch]).sum()
        return squares / asked, self._shaped(self._work[-1])


class TorchSteps:
    """Gradient steps in torch, on any device, with Adam.

    The forward run is that of torch's own module where it has one, else the architecture's
    ``step``, time step by time step.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> from solspace.training import initial_weights
    >>> task, rng = get_task("interval_reproduction"), np.random.default_rng(0)
    >>> start = initial_weights("gru", 8, inputs=2, outputs=1, init="default", rng=rng)
    >>> steps = TorchSteps("gru", start, task.training_trials(rng), task.recipe("vanilla"), "cpu")
    >>> before = steps.loss()
    >>> steps.advance(rng.integers(128, size=(5, 32)), np.full(5, 2e-3))
    >>> steps.loss() < before
    True
    """

    def __init__(
        self,
        architecture: str,
        weights: Mapping[str, NDArray[np.float32]],
        trials: Trials,
        recipe: Recipe,
        device: str,
    ) -> None:
        import torch

        record = networks.recurrent_architecture(architecture)
        self._record, self._recipe = record, recipe
        self._given = {p.name: np.array(weights[p.name]) for p in record.given}
        inputs, outputs = trials.input.shape[2], trials.target.shape[2]
        self._model: Any
        if record.torch_module is None or record.parameters:
            self._model = torch.nn.ParameterDict(
                {
                    name: torch.tensor(np.array(weights[name], np.float32))
                    for name in record.parameter_names
                    if name not in self._given
                }
            )
        else:
            n = networks.hidden_size(weights)
            module = getattr(torch.nn, record.torch_module.name)
            self._model = torch.nn.ModuleDict(
                {
                    "rnn": module(inputs, n, batch_first=True, **record.torch_module.options),
                    "fc": torch.nn.Linear(n, outputs),
                }
            )
            self._model.load_state_dict(networks.to_state_dict(weights))
        device = networks.get_device(device)
        self._model.to(device)
        self._constant = {
            name: torch.tensor(np.array(value, np.float32)[None], device=device)
            for name, value in self._given.items()
        }
        self._parameters = list(self._model.parameters())
        self._adam = torch.optim.Adam(
            self._parameters, betas=(recipe.beta1, recipe.beta2), eps=EPSILON
        )
        self._device = device
        self.learn_from(trials)
        self._looked_at = self._inputs, self._targets

    def learn_from(self, trials: Trials) -> None:
        import torch

        self._inputs = torch.from_numpy(np.array(trials.input, np.float32)).to(self._device)
        self._targets = torch.from_numpy(np.array(trials.target, np.float32)).to(self._device)

    def _squares(self, inputs: Any, targets: Any) -> Any:
        if "rnn" in self._model:
            output = self._model["fc"](self._model["rnn"](inputs)[0])
        else:
            one = {name: tensor[None] for name, tensor in self._model.items()}
            output = networks.run_population(self._record, one | self._constant, inputs)[1][0]
        asked = ~targets.isnan()
        return (output[asked] - targets[asked]) ** 2

    def advance(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        import torch

        for batch, rate in zip(torch.from_numpy(batches), rates, strict=True):
            self._adam.param_groups[0]["lr"] = float(rate)
            self._adam.zero_grad()
            self._squares(self._inputs[batch], self._targets[batch]).mean().backward()
            torch.nn.utils.clip_grad_norm_(self._parameters, self._recipe.clip)
            self._adam.step()

    def loss(self) -> float:
        import torch

        with torch.no_grad():
            return float(self._squares(*self._looked_at).double().mean())

    def gradient(self, batch: NDArray[np.int64]) -> tuple[float, Weights]:
        self._adam.zero_grad()
        loss = self._squares(self._inputs[batch], self._targets[batch]).mean()
        loss.backward()
        named = {name: p.grad for name, p in self._model.named_parameters()}
        return loss.item(), self._shaped(named)

    def weights(self) -> Weights:
        return self._shaped(self._model.state_dict())

    def _shaped(self, state_dict: Mapping[str, Any]) -> Weights:
        inputs, outputs = self._inputs.shape[2], self._targets.shape[2]
        if "rnn" in self._model:
            return networks.from_state_dict(
                state_dict, self._record.name, inputs=inputs, outputs=outputs
            )
        arrays = {name: value.detach().cpu().numpy().copy() for name, value in state_dict.items()}
        return arrays | {name: value.copy() for name, value in self._given.items()}

    def snapshot(self) -> Any:
        import copy

        return copy.deepcopy((self._model.state_dict(), self._adam.state_dict()))

    def restore(self, snapshot: Any) -> None:
        import copy

        model, adam = copy.deepcopy(snapshot)
        self._model.load_state_dict(model)
        self._adam.load_state_dict(adam)


class FreshSteps:
    """Gradient steps on trials that are drawn anew: a new set whenever the last has been seen.

    The loss stays that over the set that ``steps`` began with, which is never learnt from.

    Parameters
    ----------
    steps : Steps
    draw : callable () -> Trials
        As many trials as ``steps`` began with, to which the rows of ``advance`` point.
    trials : int
        How many these are.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> from solspace.training import initial_weights
    >>> task, rng = get_task("interval_reproduction"), np.random.default_rng(0)
    >>> start = initial_weights("vanilla", 20, inputs=2, outputs=1, init="default", rng=rng)
    >>> trials, recipe = task.training_trials(rng), task.recipe("vanilla")
    >>> steps = make_steps("vanilla", start, trials, recipe, draw=lambda: task.training_trials(rng))
    >>> before = steps.loss()
    >>> steps.advance(rng.integers(128, size=(50, 32)), np.full(50, 2e-3))
    >>> steps.loss() < before
    True
    """

    def __init__(self, steps: Steps, draw: Callable[[], Trials], trials: int) -> None:
        self.steps, self._draw, self._trials = steps, draw, trials
        self._left = 0  # rows until the set has been seen
        self.loss, self.gradient, self.weights = steps.loss, steps.gradient, steps.weights
        self.snapshot, self.restore = steps.snapshot, steps.restore
        self.learn_from = steps.learn_from

    def advance(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        first = 0
        while first < len(batches):
            if not self._left:
                self.steps.learn_from(self._draw())
                self._left = max(1, self._trials // batches.shape[1])
            stop = min(first + self._left, len(batches))
            self.steps.advance(batches[first:stop], rates[first:stop])
            self._left -= stop - first
            first = stop
