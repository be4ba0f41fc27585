"""What networks put out when they are asked, many trials at once in float32.

The forward run of the compiled training kernels, 32 trials side by side, without keeping any state:
several times as fast as `solspace.networks.run`, which is exact to float64 and keeps all of it.
"""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.networks.base import Weights
from solspace.training.steps import channels_first, kernel_matrix

__all__ = ["AskedTrials"]

PART = 256  # trials whose states are in memory at once where there is no kernel


class AskedTrials:
    """Trials of one length that are given to one network after another.

    Parameters
    ----------
    inputs : array (trial, time, input)
    asked : tuple of int
        First step in which an output is asked for, and the step after the last.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes, run
    >>> rng, shapes = np.random.default_rng(0), parameter_shapes("leaky", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> weights["alpha"] = np.array(0.2)
    >>> given = rng.normal(size=(5, 20, 4))
    >>> output = AskedTrials(given, (18, 20)).outputs("leaky", weights)
    >>> exact = run("leaky", weights, given)[1][:, 18:].mean(axis=1)
    >>> output.shape, bool(abs(output - exact).max() < 1e-5)
    ((5, 1), True)
    """

    def __init__(self, inputs: NDArray[np.floating], asked: tuple[int, int]) -> None:
        self._given = np.asarray(inputs, np.float32)
        self._turned = channels_first(self._given)
        self._asked = asked

    def __len__(self) -> int:
        return len(self._given)

    def outputs(self, architecture: str, weights: Weights) -> NDArray[np.float32]:
        """The mean output of one network in the steps that are asked for, (trial, output).

        Parameters
        ----------
        architecture : str
        weights : mapping
            One network's parameters, without padding.
        """
        record = networks.recurrent_architecture(architecture)
        made = len(np.asarray(weights["bias_out"]))
        out = np.empty((len(self), made), np.float32)
        first, last = self._asked
        if record.kernel is None or record.trained or networks.start_names(record, weights):
            for at in range(0, len(self), PART):
                part = slice(at, at + PART)
                _, output = networks.run(architecture, weights, self._given[part])
                out[part] = output[:, first:last].mean(axis=1)
            return out
        kernel = importlib.import_module(record.kernel)
        steps, inputs, _ = self._turned.shape
        own = networks.as_float64(architecture, weights)
        work = kernel.workspace(
            networks.hidden_size(own), inputs, made, steps, *record.kernel_settings(own)
        )
        matrix = kernel_matrix(architecture, own)
        kernel.asked_outputs(matrix, self._turned, first, last, work, out)
        return out
