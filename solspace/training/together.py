"""Train many networks at once on one device.

What is decided about a network is decided where it is for one that is trained alone
(`solspace.training.driver`): its attempts are run here side by side with those of others, and what
they all wait for is computed at once. Networks come and go: where one ends another takes its
place. Calls from several threads for the same device and recipe share its batches, so that shards
of a store are trained together and each is stored as soon as it is done.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from solspace.errors import SolspaceError
from solspace.machine import cores
from solspace.training.batched import AtOnce, BatchedSteps, DeviceError, is_batched
from solspace.training.driver import Attempt, Look, Program, Request, Training, TrainingResult
from solspace.training.steps import FreshSteps

__all__ = ["begun", "train_networks"]

# A GPU takes as long for so many networks as for one, so places that are free are given to further
# attempts of networks whose first has not ended. What comes of it is the same.
_AHEAD = 64
_SETTLES = 0.2  # seconds in which more networks may come, before buffers are made for the first


def train_networks(
    trainings: Sequence[Training],
    device: str,
    *,
    places: int | None = None,
    memory: int | None = None,
    ahead: int | None = None,
) -> list[TrainingResult]:
    """Train networks at once, on one device.

    Parameters
    ----------
    trainings : sequence of Training
        Of one architecture and one recipe.
    device : str
        Of torch, such as ``"cuda"``.
    places : int, optional
        Networks at once, at most; by default as many as fit, and no more than 1,024.
    memory : int, optional
        Bytes that may be taken of the device's memory, if not what is free.
    ahead : int, optional
        As long as less attempts than this are under way, further attempts of networks are begun
        before it is known that they are needed. By default 64 on a GPU, 0 elsewhere.

    Returns
    -------
    list of TrainingResult
        As by `solspace.training.train_network` of each, up to rounding: the same initial weights,
        trials, batches, and decisions.

    Raises
    ------
    SolspaceError
        For a device that is not there, an architecture that is not trained in batches, and what
        a training raises.

    Examples
    --------
    >>> import dataclasses
    >>> from solspace.tasks import get_task
    >>> recipe = get_task("interval_reproduction").recipe("vanilla")
    >>> short = dataclasses.replace(recipe, max_steps=2, check_every=2, attempts=1)
    >>> trainings = [Training("interval_reproduction", "vanilla", n, seed=1, recipe=short)
    ...              for n in (5, 8)]
    >>> [(r.gradient_steps, r.trained) for r in train_networks(trainings, "cpu")]
    [(2, False), (2, False)]
    """
    with begun(trainings, device, places=places, memory=memory, ahead=ahead) as futures:
        return [future.result() for future in futures]


@contextmanager
def begun(
    trainings: Sequence[Training], device: str, **options: Any
) -> Iterator[list[Future[TrainingResult]]]:
    """Trainings that are under way; those that have not ended at the end are given up.

    Options are those of `train_networks`.

    Examples
    --------
    >>> with begun([], "cpu") as futures:
    ...     futures
    []
    """
    if not trainings:
        yield []
        return
    futures: list[Future[TrainingResult]] = [Future() for _ in trainings]
    try:
        _trainer(trainings[0], device, options).add(zip(trainings, futures, strict=True))
        yield futures
    finally:
        for future in futures:
            future.cancel()


_trainers: dict[Any, _Trainer] = {}
_lock = threading.Lock()


def _trainer(one: Training, device: str, options: dict[str, Any]) -> _Trainer:
    """The one of this process for a device and a recipe."""
    if not is_batched(one.architecture):
        raise SolspaceError(
            f"{one.architecture} networks are trained one by one, not in batches; call "
            "solspace.training.train_network with the device"
        )
    key = (device, one.architecture, one.recipe, tuple(sorted(options.items())))
    with _lock:
        if key not in _trainers:
            _trainers[key] = _Trainer(key, device, **options)
        return _trainers[key]


@dataclass(eq=False)
class _Network:
    """One network, with the attempts that have ended and those under way."""

    training: Training
    future: Future[TrainingResult]
    ended: dict[int, Attempt | BaseException] = field(default_factory=dict)
    begun: int = 0
    over: bool = False

    def in_order(self) -> list[Attempt]:
        """Attempts that have ended, without those after one that has not.

        Raises what the first that failed raised.
        """
        out: list[Attempt] = []
        while self.training.goes_on(out) and len(out) in self.ended:
            attempt = self.ended[len(out)]
            if isinstance(attempt, BaseException):
                raise attempt
            out.append(attempt)
        return out


@dataclass(eq=False)
class _Running:
    """One attempt that is under way."""

    network: _Network
    number: int
    program: Program[Attempt]
    request: Request | None = None
    answer: Future[float] | None = None  # of what is computed on the processor


class _Trainer:
    """A thread that trains whatever networks there are, and ends with the last."""

    def __init__(
        self,
        key: Any,
        device: str,
        places: int | None = None,
        memory: int | None = None,
        ahead: int | None = None,
    ) -> None:
        self._key = key
        self._at_once = AtOnce(device, places, memory)
        gpu = self._at_once.device.type != "cpu"
        self._ahead = (_AHEAD if gpu else 0) if ahead is None else ahead
        self._settles = _SETTLES if gpu else 0.0
        self._waiting: deque[_Network] = deque()
        self._networks: list[_Network] = []
        self._running: list[_Running] = []
        self._thread: threading.Thread | None = None

    def add(self, some: Any) -> None:
        with _lock:
            self._waiting.extend(_Network(training, future) for training, future in some)
            if self._thread is None:
                _trainers[self._key] = self  # it may have ended meanwhile
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()

    def _work(self) -> None:
        """Round after round, until nothing is left."""
        time.sleep(self._settles)
        with ThreadPoolExecutor(cores()) as pool:
            try:
                while not self._nothing_left():
                    self._fill(pool)
                    self._round(pool)
            except (SolspaceError, KeyboardInterrupt) as error:
                self._fail(error)
            except BaseException as error:
                told = f"device {self._at_once.device}: {type(error).__name__}: {error}"
                failed = DeviceError(told)
                failed.__cause__ = error
                self._fail(failed)

    def _nothing_left(self) -> bool:
        with _lock:
            if self._waiting or self._networks:
                return False
            self._at_once.free()
            self._thread = None
            _trainers.pop(self._key, None)
            return True

    def _fail(self, error: BaseException) -> None:
        """The device failed: every network is told."""
        with _lock:
            networks = [*self._networks, *self._waiting]
            self._waiting.clear()
            self._at_once.free()
            self._networks, self._running, self._thread = [], [], None
            _trainers.pop(self._key, None)
        for network in networks:
            with suppress(InvalidStateError):
                network.future.set_exception(error)

    def _fill(self, pool: ThreadPoolExecutor) -> None:
        """Networks into free places, and then further attempts of those there are."""
        while len(self._running) < self._at_once.places:
            with _lock:
                if not self._waiting:
                    break
                network = self._waiting.popleft()
            if network.future.cancelled():
                continue
            self._networks.append(network)
            self._begin(network, pool)
        while len(self._running) < min(self._ahead, self._at_once.places):
            more = [n for n in self._networks
                    if not n.over and n.begun < n.training.recipe.attempts]  # fmt: skip
            if not more:
                break
            self._begin(min(more, key=lambda n: n.begun), pool)

    def _begin(self, network: _Network, pool: ThreadPoolExecutor) -> None:
        number, network.begun = network.begun, network.begun + 1
        ahead = number > len(network.ended)
        program = network.training.attempt(number, self._at_once.make, quiet=ahead)
        running = _Running(network, number, program)
        self._running.append(running)
        self._go_on(running, None, pool)

    def _go_on(self, running: _Running, answer: float | None, pool: ThreadPoolExecutor) -> None:
        """Tell an attempt what it waited for, up to the next that it waits for."""
        network = running.network
        running.request, running.answer = None, None
        try:
            request = running.program.send(answer)  # type: ignore[arg-type]
        except StopIteration as end:
            network.ended[running.number] = end.value
        except BaseException as error:
            network.ended[running.number] = error
        else:
            running.request = request
            if not isinstance(request, Look):
                running.answer = pool.submit(request.alone)
            elif request.batches is not None and request.rates is not None:
                request.steps.advance(request.batches, request.rates)
            return
        self._has_ended(running, pool)

    def _has_ended(self, running: _Running, pool: ThreadPoolExecutor) -> None:
        self._running.remove(running)
        self._look_at(running.network, pool)

    def _look_at(self, network: _Network, pool: ThreadPoolExecutor) -> None:
        """After an attempt has ended: is the network done, or does it go on?"""
        if network.over:
            return
        try:
            attempts = network.in_order()
        except BaseException as error:
            self._end(network)
            with suppress(InvalidStateError):
                network.future.set_exception(error)
            return
        if not network.training.goes_on(attempts):
            self._end(network)
            pool.submit(_finish, network, attempts)
        elif network.begun == len(attempts):
            self._begin(network, pool)

    def _end(self, network: _Network) -> None:
        """Without the attempts that were begun ahead."""
        network.over = True
        self._networks.remove(network)
        self._running = [r for r in self._running if r.network is not network]

    def _round(self, pool: ThreadPoolExecutor) -> None:
        for network in [n for n in self._networks if n.future.cancelled()]:
            self._end(network)
        looks = [r for r in self._running if isinstance(r.request, Look)]
        if looks:
            self._at_once.run([_batched(r.request) for r in looks], lambda: _meanwhile(looks))
        else:
            wait([r.answer for r in self._running if r.answer], return_when=FIRST_COMPLETED)
        for running in looks:
            if not running.network.over and isinstance(running.request, Look):
                self._go_on(running, running.request.steps.loss(), pool)
        for running in [r for r in self._running if r.answer is not None and r.answer.done()]:
            if running.network.over or running.answer is None:
                continue
            if error := running.answer.exception():
                running.network.ended[running.number] = error
                self._has_ended(running, pool)
            else:
                self._go_on(running, running.answer.result(), pool)


def _meanwhile(looks: Sequence[_Running]) -> None:
    for running in looks:
        if isinstance(running.request, Look):
            running.request.meanwhile()


def _batched(request: Request | None) -> BatchedSteps:
    assert isinstance(request, Look)
    steps = request.steps.steps if isinstance(request.steps, FreshSteps) else request.steps
    assert isinstance(steps, BatchedSteps)
    return steps


def _finish(network: _Network, attempts: list[Attempt]) -> None:
    try:
        result = network.training.result(attempts)
    except BaseException as error:
        with suppress(InvalidStateError):
            network.future.set_exception(error)
    else:
        with suppress(InvalidStateError):
            network.future.set_result(result)
