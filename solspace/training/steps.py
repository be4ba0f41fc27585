"""Where the gradient steps of one network are computed: compiled, or in torch.

The driver (`solspace.training.train_network`) sees only `Steps`, so that an architecture gets a
compiled kernel without a line of the driver changing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.tasks.base import Recipe, Trials

__all__ = ["Steps", "TorchSteps", "VanillaSteps", "make_steps"]

EPSILON = 1e-8  # torch's default for Adam

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
    if architecture == "vanilla" and device is None:
        return VanillaSteps(weights, trials, recipe)
    return TorchSteps(architecture, weights, trials, recipe, device or "cpu")


def _channels_first(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """(trial, time, channel) to the kernels' (time, channel, trial)."""
    return np.ascontiguousarray(array.transpose(1, 2, 0), dtype=np.float32)


class VanillaSteps:
    """Gradient steps in the compiled kernel (`solspace.training.kernels`), on the calling thread.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> from solspace.training import initial_weights
    >>> task, rng = get_task("interval_reproduction"), np.random.default_rng(0)
    >>> start = initial_weights("vanilla", 20, inputs=2, outputs=1, init="default", rng=rng)
    >>> steps = VanillaSteps(start, task.training_trials(rng), task.recipe("vanilla"))
    >>> before = steps.loss()
    >>> steps.advance(rng.integers(128, size=(50, 32)), np.full(50, 2e-3))
    >>> steps.loss() < before
    True
    """

    def __init__(
        self, weights: Mapping[str, NDArray[np.float32]], trials: Trials, recipe: Recipe
    ) -> None:
        from solspace.training import kernels

        self._start = {name: np.array(weights[name], np.float32) for name in networks.PARAMETERS}
        self._recipe = recipe
        self._inputs = _channels_first(trials.input)
        self._targets = _channels_first(trials.target)
        steps, inputs, _ = self._inputs.shape
        outputs = self._targets.shape[1]
        n = networks.hidden_size(weights)
        self._n = n
        self._matrix = kernels.aligned(n + outputs, n + inputs + 1)
        self._matrix[:n, :n] = self._start["weight_hh"][0]
        self._matrix[:n, n:-1] = self._start["weight_ih"][0]
        self._matrix[:n, -1] = (self._start["bias_ih"] + self._start["bias_hh"])[0]
        self._matrix[n:, :n] = self._start["weight_out"]
        self._matrix[n:, -1] = self._start["bias_out"]
        self._bias = self._matrix[:n, -1].copy()
        # How many of torch's parameters each element stands for.
        self._copies = np.ones_like(self._matrix)
        self._copies[:n, -1] = 2
        self._copies[n:, n:-1] = 0
        self._first_moment = np.zeros_like(self._matrix)
        self._second_moment = np.zeros_like(self._matrix)
        self._done = 0
        self._work = kernels.workspace(n, inputs, outputs, steps)
        self._kernels = kernels

    def advance(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        self._kernels.adam_steps(
            self._matrix,
            self._first_moment,
            self._second_moment,
            self._done,
            self._copies,
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
        squares = self._kernels.squared_error(self._matrix, self._inputs, self._targets, self._work)
        return float(squares / self._targets.size)

    def gradient(self, batch: NDArray[np.int64]) -> tuple[float, Weights]:
        n = self._n
        squares = self._kernels.gradient(
            self._matrix, self._inputs, self._targets, batch, self._work
        )
        grad = self._work[6]
        weights = {
            "weight_ih": grad[None, :n, n:-1].copy(),
            "weight_hh": grad[None, :n, :n].copy(),
            "bias_ih": grad[None, :n, -1].copy(),
            "bias_hh": grad[None, :n, -1].copy(),
            "weight_out": grad[n:, :n].copy(),
            "bias_out": grad[n:, -1].copy(),
        }
        return squares / (len(batch) * self._targets[..., 0].size), weights

    def weights(self) -> Weights:
        n, matrix = self._n, self._matrix
        # Both biases have the same gradient at every step, so both moved by half of their sum.
        half = (matrix[:n, -1] - self._bias) * np.float32(0.5)
        return {
            "weight_ih": matrix[None, :n, n:-1].copy(),
            "weight_hh": matrix[None, :n, :n].copy(),
            "bias_ih": self._start["bias_ih"] + half,
            "bias_hh": self._start["bias_hh"] + half,
            "weight_out": matrix[n:, :n].copy(),
            "bias_out": matrix[n:, -1].copy(),
        }

    def snapshot(self) -> Any:
        state = (self._matrix, self._first_moment, self._second_moment)
        return tuple(array.copy() for array in state), self._done

    def restore(self, snapshot: Any) -> None:
        arrays, self._done = snapshot
        state = (self._matrix, self._first_moment, self._second_moment)
        for array, saved in zip(state, arrays, strict=True):
            array[:] = saved


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
