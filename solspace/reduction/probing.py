"""What a task's probe is given: a network to run, and a fine graph to add its chains to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.reduction.graph import ReductionError
from solspace.reduction.merging import TrajectoryGraph
from solspace.reduction.trajectories import (
    FREE_STEPS,
    Chain,
    autocorrelation_loop,
    free_chain_loop,
    steps_to_rest,
)
from solspace.tasks import Task

__all__ = ["NetworkExplorer"]

SETTLING_STEPS = 10_000
SETTLING_CHUNK = 250
SETTLED_STEP = 1e-12
# A probe is tried on so many networks of so many units.
TRIED_NETWORKS = 4
TRIED_UNITS = 8


def try_probe(task: Task) -> str:
    """What is wrong with the probe of a task, found on small random networks; empty for nothing.

    A network that cannot be explored as the probe asks says nothing of the probe: then the next is
    tried. Errors that are not of a network are the probe's.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from solspace.tasks import get_task
    >>> try_probe(replace(get_task("interval_reproduction"), probe=lambda explorer: None))
    'its `probe` never calls explorer.begin and explorer.compare, without which no graph is made'
    """
    assert task.probe is not None
    sizes = {"inputs": len(task.inputs), "outputs": len(task.outputs)}
    shapes = networks.parameter_shapes("vanilla", TRIED_UNITS, **sizes)
    for seed in range(TRIED_NETWORKS):
        rng = np.random.default_rng(seed)
        spread = 1.2 / np.sqrt(TRIED_UNITS)
        explorer = NetworkExplorer(
            task, "vanilla", {name: rng.normal(0, spread, shape) for name, shape in shapes.items()}
        )
        try:
            task.probe(explorer)
        except ReductionError:
            continue
        except Exception as error:
            return f"its `probe` fails on a random network ({type(error).__name__}: {error})"
        forgotten = [] if explorer.fine is not None else ["explorer.begin"]
        forgotten += [] if explorer.answer is not None else ["explorer.compare"]
        if forgotten:
            return (
                f"its `probe` never calls {' and '.join(forgotten)}, without which no graph is made"
            )
        return ""
    return ""


class NetworkExplorer:
    """The `solspace.tasks.Explorer` of one network.

    Parameters
    ----------
    task : Task
    architecture : str
    weights : mapping
        One network's parameters (see `solspace.networks`).
    run : callable
        What it is run by, as `solspace.networks.run` does it.

    Attributes
    ----------
    fine : TrajectoryGraph or None
        What has been explored so far.
    """

    def __init__(
        self,
        task: Task,
        architecture: str,
        weights: networks.Weights,
        run: networks.Run = networks.run,
    ) -> None:
        self.task = task
        self.architecture = networks.check_architecture(architecture)
        self.weights: Mapping[str, NDArray[Any]] = networks.as_float64(architecture, weights)
        self._run = run
        self.fine: TrajectoryGraph | None = None
        self.answer: int | None = None
        self.question: int | None = None

    # ------------------------------------------------------------------ running the network

    def record(self, inputs: ArrayLike, start: NDArray[np.float64] | None = None) -> Chain:
        """Run one trial; from rest, or from a state."""
        states, output = self._run(
            self.architecture,
            self.weights,
            np.asarray(inputs)[None],
            None if start is None else start[None],
        )
        return Chain(states[0], output[0, :, 0])

    def silence(self, steps: int) -> Chain:
        """Run without input, from zero."""
        return self.record(np.zeros((steps, len(self.task.inputs))))

    def pulse(
        self,
        state: NDArray[np.float64],
        channel: str,
        width: int,
        steps: int,
        amplitude: float = 1.0,
    ) -> NDArray[np.float64]:
        """The state that a pulse leads to, ``steps`` after its onset."""
        inputs = np.zeros((steps, len(self.task.inputs)))
        inputs[:width, self.task.inputs.index(channel)] = amplitude
        return self.record(inputs, state).states[-1]

    def free_run(self, state: NDArray[np.float64]) -> Chain:
        """The chain that silence leads to: cut where it rests, closed where it comes round."""
        run = self.record(np.zeros((FREE_STEPS, len(self.task.inputs))), state)
        run = run.part(0, steps_to_rest(run.states))
        if len(run) < 2:
            raise ReductionError(
                "a state from which the network was to run freely is at rest already; "
                "there is no trajectory to follow"
            )
        return run.closed(free_chain_loop(run.states))

    def stretch(self, recorded: Chain, start: int, stop: int | None = None) -> Chain:
        """A stretch of a recorded trial, closed where it comes round."""
        part = recorded.part(start, stop)
        return part.closed(autocorrelation_loop(part.states))

    # ------------------------------------------------------------------ making the graph

    def _symbol(self, name: str) -> int:
        return self.task.input_symbols.index(name)

    @property
    def _begun(self) -> TrajectoryGraph:
        if self.fine is None:
            raise SolspaceError(
                f"the probe of task {self.task.name!r} looks at the graph before it begins one; "
                "call explorer.begin(chain) first"
            )
        return self.fine

    def begin(self, chain: Chain) -> None:
        """Begin the graph with the chain of the root; node i is its state i."""
        self.fine = TrajectoryGraph(chain)

    def extend(self, node: int, symbol: str, chain: Chain) -> None:
        """Lead from a node by a pulse to a chain, and join that to what it runs together with."""
        self._begun.attach(node, chain, self._symbol(symbol))

    def state(self, node: int) -> NDArray[np.float64]:
        """State at a node."""
        return self._begun.states[self._begun.require(node)].copy()

    def target(self, node: int, symbol: str) -> int | None:
        """The node a pulse given at a node leads to; None where none was given."""
        return self._begun.target(node, self._symbol(symbol))

    def led_to(self, node: int, symbol: str) -> int:
        """`target` that must be there."""
        target = self.target(node, symbol)
        if target is None:
            raise ReductionError(
                f"pulse {symbol!r} does nothing: it leads to where the network was going anyway"
            )
        return target

    def follow(self, node: int) -> NDArray[np.int64]:
        """The nodes that silence leads through from a node on."""
        return self._begun.flow_from(node)

    def end(self, node: int) -> int:
        """The last node of what follows a node, by flow or by pulses."""
        return self._begun.end_from(node)

    def join(self) -> None:
        """Join parts that run together, then those that end at the same place long after."""
        self._begun.merge_components()
        self._begun.remove_self_loops()
        self._begun.join_sinks(self._settle)

    def compare(self, answer: str, question: str | None = None) -> None:
        """Name the pulses whose effects tell nodes apart: the last of a trial, and the first."""
        self.answer = self._symbol(answer)
        self.question = None if question is None else self._symbol(question)

    def _settle(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where states are after 10,000 silent steps."""
        silence = np.zeros((len(states), SETTLING_CHUNK, len(self.task.inputs)))
        for _ in range(SETTLING_STEPS // SETTLING_CHUNK):
            run, _ = self._run(self.architecture, self.weights, silence, states)
            states = run[:, -1]
            # At a fixed point, but for rounding, which goes on for ever.
            if np.abs(run[:, -2] - states).max() < SETTLED_STEP:
                break
        return states
