"""Where the gradient steps of one network are computed: compiled, or in torch.

The driver (`solspace.training.train_network`) sees only `Steps`, so that an architecture gets a
compiled kernel without a line of the driver changing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.tasks.recipe import Recipe
from solspace.tasks.trials import Trials

__all__ = ["KERNELS", "CompiledSteps", "Steps", "TorchSteps", "make_steps"]

EPSILON = 1e-8  # torch's default for Adam

# Architectures with a compiled kernel; the others train in torch.
KERNELS = {
    "vanilla": "solspace.training.kernels",
    "gru": "solspace.training.kernels_gru",
    "lstm": "solspace.training.kernels_lstm",
}

Weights = dict[str, NDArray[np.float32]]


class Steps(Protocol):
    """One network under training: its weights, Adam's moments and the training set."""

    def advance(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """One Adam step for each row of trial indices, at that row's learning rate."""

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
) -> Steps:
    """The fastest way to train this architecture; torch where a device is named."""
    if architecture in KERNELS and device is None:
        return CompiledSteps(architecture, weights, trials, recipe)
    return TorchSteps(architecture, weights, trials, recipe, device or "cpu")


def _channels_first(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """(trial, time, channel) to the kernels' (time, channel, trial)."""
    return np.ascontiguousarray(array.transpose(1, 2, 0), dtype=np.float32)


def _layout(
    architecture: str, n: int, outputs: int
) -> Iterator[tuple[str, Any, slice, slice | int]]:
    """Where each parameter is in the kernels' matrix: name, its part, rows, columns.

    Columns are those of the augmented state (h, x, 1). Rows are the gates and then the readout;
    a GRU keeps the input part of its last gate apart, in rows after the readout, since the
    reset gate comes between the two parts.
    """
    gates = len(networks.GATES[architecture])
    hidden, inputs, one = slice(0, n), slice(n, -1), -1
    for gate in range(gates):
        rows = slice(gate * n, (gate + 1) * n)
        yield "weight_hh", gate, rows, hidden
        yield "bias_hh", gate, rows, one
        if architecture == "gru" and gate == gates - 1:
            rows = slice(gates * n + outputs, (gates + 1) * n + outputs)
        yield "weight_ih", gate, rows, inputs
        yield "bias_ih", gate, rows, one
    rows = slice(gates * n, gates * n + outputs)
    yield "weight_out", slice(None), rows, hidden
    yield "bias_out", slice(None), rows, one


class CompiledSteps:
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
    ) -> None:
        from solspace.training.blocks import aligned

        self._kernel = importlib.import_module(KERNELS[architecture])
        self._recipe = recipe
        self._inputs = _channels_first(trials.input)
        self._targets = _channels_first(trials.target)
        steps, inputs, _ = self._inputs.shape
        n, outputs = networks.hidden_size(weights), self._targets.shape[1]
        self._work = self._kernel.workspace(n, inputs, outputs, steps)
        self._layout = list(_layout(architecture, n, outputs))
        self._start = {name: np.array(weights[name], np.float32) for name in networks.PARAMETERS}
        self._matrix = aligned(*self._work[-1].shape)
        # How many of torch's parameters each element of the matrix is the sum of.
        self._copies = np.zeros_like(self._matrix)
        for name, part, rows, columns in self._layout:
            self._matrix[rows, columns] += self._start[name][part]
            self._copies[rows, columns] += 1
        self._first_matrix = self._matrix.copy()
        self._moments = np.zeros((2, *self._matrix.shape), np.float32)
        self._done = 0

    def advance(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        self._kernel.adam_steps(
            self._matrix,
            self._moments,
            self._copies,
            self._done,
            self._inputs,
            self._targets,
            batches,
            rates,
            self._recipe.beta1,
            self._recipe.beta2,
            EPSILON,
            self._recipe.clip,
            self._work,
        )
        self._done += len(batches)

    def loss(self) -> float:
        squares = self._kernel.squared_error(self._matrix, self._inputs, self._targets, self._work)
        return float(squares / self._targets.size)

    def gradient(self, batch: NDArray[np.int64]) -> tuple[float, Weights]:
        squares = self._kernel.gradient(
            self._matrix, self._inputs, self._targets, batch, self._work
        )
        out = {name: np.zeros_like(array) for name, array in self._start.items()}
        for name, part, rows, columns in self._layout:
            out[name][part] = self._work[-1][rows, columns]
        return squares / (len(batch) * self._targets[..., 0].size), out

    def weights(self) -> Weights:
        out = {name: array.copy() for name, array in self._start.items()}
        for name, part, rows, columns in self._layout:
            if name.startswith("weight") or name == "bias_out":
                out[name][part] = self._matrix[rows, columns]
            else:
                # Biases that are summed have the same gradient, so they moved alike.
                moved = self._matrix[rows, columns] - self._first_matrix[rows, columns]
                out[name][part] += moved / self._copies[rows, columns]
        return out

    def snapshot(self) -> Any:
        return self._matrix.copy(), self._moments.copy(), self._done

    def restore(self, snapshot: Any) -> None:
        self._matrix[:], self._moments[:], self._done = snapshot


class TorchSteps:
    """Gradient steps by torch's own recurrent modules and Adam, on any device.

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

        n = networks.hidden_size(weights)
        module = {"vanilla": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
        inputs, outputs = trials.input.shape[2], trials.target.shape[2]
        self._architecture, self._recipe = architecture, recipe
        self._model = torch.nn.ModuleDict(
            {
                "rnn": module[architecture](inputs, n, batch_first=True),
                "fc": torch.nn.Linear(n, outputs),
            }
        )
        self._model.load_state_dict(networks.to_state_dict(weights))
        self._model.to(device)
        self._parameters = list(self._model.parameters())
        self._adam = torch.optim.Adam(
            self._parameters, betas=(recipe.beta1, recipe.beta2), eps=EPSILON
        )
        self._inputs = torch.from_numpy(np.array(trials.input, np.float32)).to(device)
        self._targets = torch.from_numpy(np.array(trials.target, np.float32)).to(device)

    def _squares(self, inputs: Any, targets: Any) -> Any:
        return (self._model["fc"](self._model["rnn"](inputs)[0]) - targets) ** 2

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
            return float(self._squares(self._inputs, self._targets).double().mean())

    def gradient(self, batch: NDArray[np.int64]) -> tuple[float, Weights]:
        self._adam.zero_grad()
        loss = self._squares(self._inputs[batch], self._targets[batch]).mean()
        loss.backward()
        named = {name: p.grad for name, p in self._model.named_parameters()}
        return float(loss), self._shaped(named)

    def weights(self) -> Weights:
        return self._shaped(self._model.state_dict())

    def _shaped(self, state_dict: Mapping[str, Any]) -> Weights:
        inputs, outputs = self._inputs.shape[2], self._targets.shape[2]
        return networks.from_state_dict(
            state_dict, self._architecture, inputs=inputs, outputs=outputs
        )

    def snapshot(self) -> Any:
        import copy

        return copy.deepcopy((self._model.state_dict(), self._adam.state_dict()))

    def restore(self, snapshot: Any) -> None:
        import copy

        model, adam = copy.deepcopy(snapshot)
        self._model.load_state_dict(model)
        self._adam.load_state_dict(adam)
