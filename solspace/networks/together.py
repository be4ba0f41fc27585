"""Explorations of many networks at once, what they ask of their networks run together in torch.

What explores a network runs a few trials of it, looks at them, and knows then which to run next:
one network gives a device little to do. Here each network is explored in a thread of its own until
it asks for a run. When all have asked, those that asked for trials of one length are answered
together, and go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from solspace.networks.base import Weights
from solspace.networks.devices import get_device, in_parts
from solspace.networks.registry import recurrent_architecture
from solspace.networks.running import run_population, start_of

__all__ = ["Run", "explore_together"]

Result = TypeVar("Result")
Answer = tuple[NDArray[np.float64], NDArray[np.float64]]

_AT_ONCE = 256  # networks under way
_MOST = 1 << 27  # numbers of states that are answered at once, 1 GB


class Run(Protocol):
    """What runs one network on trials, as `solspace.networks.run` does."""

    def __call__(
        self,
        architecture: str,
        weights: Weights,
        inputs: NDArray[Any],
        state: NDArray[Any] | None = None,
        /,
    ) -> Answer:
        """States (trial, time, state) and output (trial, time, output), in float64."""


class _Asked(NamedTuple):
    """Trials that one network is to be run on."""

    network: int
    inputs: NDArray[Any]  # (trial, time, input)
    start: NDArray[Any]  # (trial, state)
    answer: Future[Answer]

    @property
    def steps(self) -> int:
        return self.inputs.shape[1]


def explore_together(
    explore: Callable[[int, Run], Result],
    architecture: str,
    weights: Mapping[str, NDArray[Any]],
    sizes: Sequence[int] | NDArray[Any],
    device: str,
) -> list[Future[Result]]:
    """Explore each network of a population, all at once, their runs in torch on a device.

    Parameters
    ----------
    explore : callable (int, Run) -> object
        Given a network's position and what runs that network. Called in threads of which one is
        at work at a time.
    architecture : str
    weights : mapping
        The population's parameters, each with a leading network axis, zero past a network's size.
    sizes : sequence of int
        Units of each network.
    device : str
        Of torch, such as ``"cuda"``.

    Returns
    -------
    list of Future
        By network; ``result()`` is what ``explore`` returned, or raises what it raised.

    Raises
    ------
    SolspaceError
        For a device that is not there, or has no memory for the trials of one network.

    Examples
    --------
    >>> from solspace.networks import parameter_shapes
    >>> shapes = parameter_shapes("vanilla", 3, inputs=1, outputs=1)
    >>> both = {name: np.stack([np.zeros(shape), np.ones(shape)]) for name, shape in shapes.items()}
    >>> def explore(i, run):
    ...     one = {name: array[i] for name, array in both.items()}
    ...     return run("vanilla", one, np.zeros((1, 5, 1)))[1][0, -1, 0].round(3).item()
    >>> found = explore_together(explore, "vanilla", both, [3, 3], "cpu")
    >>> [one.result() for one in found]
    [0.0, 4.0]
    """
    runner = _Runner(architecture, weights, sizes, device)
    # A network that asks, or None for one that has ended.
    told: SimpleQueue[_Asked | None] = SimpleQueue()
    # Held by the one exploration that is at work: hundreds would get in each other's way.
    turn = Lock()

    def explored(i: int) -> Result:
        def run(
            architecture: str,
            weights: Weights,
            inputs: NDArray[Any],
            state: NDArray[Any] | None = None,
            /,
        ) -> Answer:
            if state is None:
                state = np.tile(start_of(architecture, weights), (len(inputs), 1))
            asked = _Asked(i, np.asarray(inputs), np.asarray(state), Future())
            told.put(asked)
            turn.release()
            try:
                return asked.answer.result()
            finally:
                turn.acquire()

        with turn:
            return explore(i, run)

    waiting: list[_Asked] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = [pool.submit(copy_context().run, explored, i) for i in range(len(sizes))]
        for result in results:
            result.add_done_callback(lambda _: told.put(None))
        left = len(results)
        try:
            while left:
                if len(waiting) < min(left, _AT_ONCE):
                    asked = told.get()
                    left -= asked is None
                    waiting += [] if asked is None else [asked]
                else:
                    chosen = runner.choose(waiting)
                    for k, answer in zip(
                        chosen, runner.run([waiting[k] for k in chosen]), strict=True
                    ):
                        waiting[k].answer.set_result(answer)
                    waiting = [one for one in waiting if not one.answer.done()]
        except BaseException as error:
            # No thread is left behind: what is asked from now on is answered by the error.
            pool.shutdown(wait=False, cancel_futures=True)
            while True:
                for one in waiting:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                if all(result.done() for result in results):
                    raise
                asked = told.get()
                waiting = [] if asked is None else [asked]
    return results


class _Runner:
    """The networks of a population, to be run together on a device."""

    def __init__(
        self,
        architecture: str,
        weights: Mapping[str, NDArray[Any]],
        sizes: Sequence[int] | NDArray[Any],
        device: str,
    ) -> None:
        self.device = get_device(device)
        import torch

        self.architecture = architecture
        self.parts = len(recurrent_architecture(architecture).state)
        self.sizes = [int(size) for size in sizes]
        self.units = weights["weight_hh"].shape[-1]
        self.weights = {
            name: torch.as_tensor(array, dtype=torch.float64, device=self.device)
            for name, array in weights.items()
        }

    def choose(self, waiting: Sequence[_Asked]) -> list[int]:
        """Which are answered together: of the length that most ask for, as many as memory takes."""
        ((steps, _),) = Counter(one.steps for one in waiting).most_common(1)
        alike = [k for k, one in enumerate(waiting) if one.steps == steps]
        trials = max(len(waiting[k].inputs) for k in alike)
        numbers = trials * max(steps, 1) * self.parts * self.units
        return alike[: max(1, _MOST // max(numbers, 1))]

    def run(self, asked: Sequence[_Asked]) -> list[Answer]:
        """States and outputs of each, all at once or in parts that the device has memory for."""
        trials = max(len(one.inputs) for one in asked)
        what = f"a {self.architecture} network with {trials} trials"
        parts = in_parts(lambda part: self._run(asked[part]), len(asked), what)
        return [answer for part in parts for answer in part]

    def _run(self, asked: Sequence[_Asked]) -> list[Answer]:
        import torch

        # Fewer trials and smaller networks are filled up.
        trials = max(len(one.inputs) for one in asked)
        x = np.zeros((len(asked), trials, *asked[0].inputs.shape[1:]))
        start = np.zeros((len(asked), trials, self.parts, self.units))
        for k, one in enumerate(asked):
            x[k, : len(one.inputs)] = one.inputs
            own = one.start.reshape(len(one.start), self.parts, -1)
            start[k, : len(own), :, : own.shape[-1]] = own
        at = torch.as_tensor([one.network for one in asked], device=self.device)
        with torch.no_grad():
            states, output = run_population(
                self.architecture,
                {name: tensor[at] for name, tensor in self.weights.items()},
                torch.as_tensor(x, device=self.device),
                torch.as_tensor(start.reshape(*start.shape[:2], -1), device=self.device),
            )
            states, output = states.cpu().numpy(), output.cpu().numpy()
        answers = []
        for k, one in enumerate(asked):
            size, n = self.sizes[one.network], len(one.inputs)
            own = states[k, :n].reshape(n, one.steps, self.parts, -1)[..., :size]
            # Copies: what one network keeps does not hold what all were answered.
            answers.append((own.reshape(n, one.steps, -1).copy(), output[k, :n].copy()))
        return answers
