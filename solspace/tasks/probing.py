"""What the probe of a task may ask of a network under reduction."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Chain",
    "Explorer",
]


class Chain(Protocol):
    """One stretch of a trajectory: ``states`` (time, state) and ``output`` (time,)."""

    @property
    def states(self) -> NDArray[np.float64]: ...

    @property
    def output(self) -> NDArray[np.float64]: ...

    @property
    def loop(self) -> int:
        """Index that the last state flows back to; -1 where the stretch has an end."""

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int | None = None) -> Chain:
        """The stretch between two indices."""

    def at(self, index: int) -> NDArray[np.float64]:
        """The state at an index, or an error that says the stretch is shorter."""


class Explorer(Protocol):
    """What a task's ``probe`` may do with a network under reduction (see `solspace.reduction`).

    Run it with `record`, `silence`, `pulse` and `free_run`; add what it did to one graph, a
    node a time step, with `begin`, `extend` and `join`; look at the graph with `state`, `target`,
    `follow` and `end`; say with `compare` which pulses tell nodes apart.
    """

    def record(self, inputs: ArrayLike, start: NDArray[np.float64] | None = None) -> Chain:
        """Run one trial, (time, input), from rest or from a state."""

    def silence(self, steps: int) -> Chain:
        """Run without input, from rest."""

    def pulse(
        self,
        state: NDArray[np.float64],
        channel: str,
        width: int,
        steps: int,
        amplitude: float = 1.0,
    ) -> NDArray[np.float64]:
        """The state, ``steps`` after its onset, that a pulse leads to."""

    def free_run(self, state: NDArray[np.float64]) -> Chain:
        """What silence leads to: cut where the network rests, closed where it comes round."""

    def stretch(self, recorded: Chain, start: int, stop: int | None = None) -> Chain:
        """A stretch of a recorded trial, closed where it comes round."""

    def begin(self, chain: Chain) -> None:
        """Begin the graph; the root is the chain's first state, node i is its state i."""

    def extend(self, node: int, symbol: str, chain: Chain) -> None:
        """Lead from a node by a pulse to a chain, joined to what it runs together with."""

    def join(self) -> None:
        """Join parts that run together, and those that end at the same place long after."""

    def state(self, node: int) -> NDArray[np.float64]:
        """State at a node."""

    def target(self, node: int, symbol: str) -> int | None:
        """The node that a pulse given at a node leads to; None where none was given."""

    def led_to(self, node: int, symbol: str) -> int:
        """`target`, or an error where the pulse leads to where the network was going anyway."""

    def follow(self, node: int) -> NDArray[np.int64]:
        """The nodes that silence leads through from a node on."""

    def end(self, node: int) -> int:
        """The last node of all that follows a node, by silence or by pulses."""

    def compare(self, answer: str, question: str | None = None) -> None:
        """The pulses whose effects tell two nodes apart: the answered one, the one before it."""
