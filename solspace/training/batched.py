"""Gradient steps of many networks at once on one device of torch.

Between two looks at the losses all of a network lies in NumPy, as it does with the compiled
kernels. For a look, all networks that wait go to the device together with the batches of their
gradient steps, take them, and come back with their losses: what does not fit the device's memory
goes in several parts, and a part that runs out of memory is begun again as two smaller ones.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace import networks
from solspace.errors import SolspaceError
from solspace.tasks.recipe import Recipe
from solspace.tasks.trials import Trials
from solspace.training.cells import CELLS, Cell, Sizes
from solspace.training.steps import EPSILON, FreshSteps, MatrixSteps, Steps, Weights, check_trained

__all__ = ["AtOnce", "BatchedSteps", "DeviceError", "DeviceMemoryError", "is_batched"]

MOST = 1024  # networks at once; more hold back results for nothing
_SHARE = 0.8  # of the memory that is free
_CPU_MEMORY = 2**30  # where the device does not say
_KEPT = 0.7  # of the rows have to be in use, or the buffers are made anew
_LANES = 32  # trials in a block of the compiled kernels, in whose order noise is drawn


class DeviceError(SolspaceError, OSError):
    """A device failed: nothing that one network can be blamed for."""


class DeviceMemoryError(SolspaceError, MemoryError):
    """A single network does not fit a device."""


def is_batched(architecture: str) -> bool:
    """Whether networks of an architecture are trained in batches; others go one by one.

    Examples
    --------
    >>> is_batched("gru"), is_batched("gru_2layers")
    (True, False)
    """
    record = networks.recurrent_architecture(architecture)
    return record.kernel in CELLS and not record.trained


@dataclass(frozen=True)
class _Piece:
    """Gradient steps that are waited for, on one set of trials."""

    trials: Trials
    batches: NDArray[np.int64]
    rates: NDArray[np.float64]


class BatchedSteps(MatrixSteps):
    """Gradient steps of one network, taken together with those of others.

    ``advance`` only notes them; they are taken when `AtOnce.run` is called for this network among
    others, or when its loss or its weights are asked for.

    Examples
    --------
    >>> from solspace.tasks import get_task
    >>> from solspace.training import initial_weights
    >>> task, rng = get_task("interval_reproduction"), np.random.default_rng(0)
    >>> start = initial_weights("gru", 8, inputs=2, outputs=1, init="default", rng=rng)
    >>> trials, recipe = task.training_trials(rng), task.recipe("vanilla")
    >>> steps = AtOnce("cpu").make("gru", start, trials, recipe)
    >>> before = steps.loss()
    >>> steps.advance(rng.integers(128, size=(5, 32)), np.full(5, 2e-3))
    >>> steps.loss() < before
    True
    """

    def __init__(
        self,
        architecture: str,
        weights: Weights,
        trials: Trials,
        recipe: Recipe,
        at_once: AtOnce,
        noise: np.random.Generator | None = None,
    ) -> None:
        record = check_trained(architecture, weights)
        super().__init__(architecture, weights)
        assert record.kernel is not None
        settings = record.kernel_settings(weights)
        self.alpha, rectified = settings or (1.0, 0.0)
        self.rectified = rectified > 0
        self.cell = CELLS[record.kernel]
        if settings and self.alpha == 1:
            self.cell = Cell  # nothing leaks
        self.noise = None
        if recipe.recurrent_noise:
            if record.kernel != "solspace.training.kernels_leaky":
                raise SolspaceError(
                    f"recurrent_noise {recipe.recurrent_noise:g}: the state of {architecture} "
                    "networks takes no noise in training here; give 0, or a leaky architecture"
                )
            self.noise = noise or np.random.default_rng(0)
        self.architecture, self.recipe, self.looked_at = architecture, recipe, trials
        self.units = networks.hidden_size(weights)
        self.asked = int(np.isfinite(trials.target).sum())
        self.queue: list[_Piece] = []
        self.found: float | None = None
        self._learnt = trials
        self._at_once = at_once

    def advance(self, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        self.queue.append(_Piece(self._learnt, batches, rates))
        self.found = None

    def learn_from(self, trials: Trials) -> None:
        self._learnt = trials

    def loss(self) -> float:
        if self.queue or self.found is None:
            self._at_once.run([self])
        assert self.found is not None
        return self.found

    def gradient(self, batch: NDArray[np.int64]) -> tuple[float, Weights]:
        squares, gradient = self._at_once.gradient(self, batch)
        asked = np.isfinite(self._learnt.target[batch]).sum()
        return float(squares / asked), self._shaped(gradient)

    def weights(self) -> Weights:
        self._settle()
        return super().weights()

    def snapshot(self) -> Any:
        self._settle()
        return super().snapshot()

    def restore(self, snapshot: Any) -> None:
        self.queue, self.found = [], None
        super().restore(snapshot)

    def _settle(self) -> None:
        if self.queue:
            self._at_once.run([self])

    # What `AtOnce` needs of it.

    @property
    def copies(self) -> NDArray[np.float32]:
        """How many of torch's parameters each element of the matrix is the sum of."""
        return self._copies

    @property
    def state(self) -> NDArray[np.float32]:
        """Matrix and moments, (3, row, column)."""
        return np.concatenate([self._matrix[None], self._moments])

    def take(self, state: NDArray[np.float32] | None, loss: float) -> None:
        """What came back from the device; no state where no step was taken."""
        if state is not None:
            self._matrix, self._moments = state[0], state[1:]
            self._done += self.waiting
        self.queue, self.found = [], loss

    @property
    def waiting(self) -> int:
        return sum(len(piece.rates) for piece in self.queue)

    @property
    def kind(self) -> tuple[Any, ...]:
        """What networks have in common that are computed in the same buffers."""
        inputs, targets = self.looked_at.input, self.looked_at.target
        trials = self.queue[0].batches.shape[1] if self.queue else self.recipe.batch_size
        return (
            self.cell, self.rectified, self.noise is not None, trials, *inputs.shape[1:],
            targets.shape[2],
        )  # fmt: skip

    def numbers(self) -> NDArray[np.float32]:
        """Of each step that is waited for: rate and correction of Adam, and what moments gain."""
        rates = np.concatenate([piece.rates for piece in self.queue])
        beta1, beta2 = self.recipe.beta1, self.recipe.beta2
        done = self._done + 1 + np.arange(len(rates))
        out = np.empty((len(rates), 4), np.float32)
        out[:, 0] = rates / (1 - beta1**done)
        out[:, 1] = 1 / np.sqrt(1 - beta2**done)
        out[:, 2:] = 1 - beta1, 1 - beta2
        return out

    def draw_noise(self, out: NDArray[np.float32]) -> None:
        """Noise of one step into (unit, time, trial), in the order that the kernels draw it."""
        assert self.noise is not None
        time, trials = out.shape[1:]
        blocks = -(-trials // _LANES)
        drawn = self.noise.standard_normal((blocks, time, self.units, _LANES), dtype=np.float32)
        flat = drawn.transpose(2, 1, 0, 3).reshape(self.units, time, -1)
        out[: self.units] = flat[..., :trials] * np.float32(self.recipe.recurrent_noise)


class AtOnce:
    """Takes gradient steps and looks for many networks at once, on one device.

    Parameters
    ----------
    device : str
        Of torch.
    places : int, optional
        Networks at once, at most; by default as many as the device's memory takes, and no more
        than 1,024.
    memory : int, optional
        Bytes that buffers may take, where that is less than the device has.

    Raises
    ------
    SolspaceError
        For a device that is not there.

    Examples
    --------
    >>> AtOnce("cpu").device
    device(type='cpu')
    """

    def __init__(self, device: str, places: int | None = None, memory: int | None = None) -> None:
        import torch

        self.device = networks.get_device(device)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("highest")  # no TF32: it is no float32
        self.places = min(MOST, places or MOST)
        self._given, self._memory = places, memory
        self._buffers: dict[tuple[Any, ...], _Buffers] = {}
        self._meanwhile: Callable[[], object] | None = None

    def make(
        self,
        architecture: str,
        weights: Weights,
        trials: Trials,
        recipe: Recipe,
        draw: Callable[[], Trials] | None = None,
        noise: np.random.Generator | None = None,
    ) -> Steps:
        """The steps of one network, as `solspace.training.steps.make_steps` makes them."""
        steps = BatchedSteps(architecture, weights, trials, recipe, self, noise)
        return steps if draw is None else FreshSteps(steps, draw, len(trials))

    def run(
        self, waiting: Sequence[BatchedSteps], meanwhile: Callable[[], object] | None = None
    ) -> None:
        """Take the steps that networks wait for, and look at their losses.

        ``meanwhile`` is called once while the device works.
        """
        self._meanwhile = meanwhile
        by_kind: dict[tuple[Any, ...], list[BatchedSteps]] = {}
        for steps in waiting:
            by_kind.setdefault(steps.kind, []).append(steps)
        with _ready(self.device):
            for kind, some in by_kind.items():
                self._run_kind(kind, some)

    def _run_kind(self, kind: tuple[Any, ...], some: list[BatchedSteps]) -> None:
        first = 0
        while first < len(some):
            if kind not in self._buffers and self._given is None:
                self.places = min(self.places, self._that_fit(some))
            # Parts as large as each other, for which the same buffers serve.
            left = len(some) - first
            parts = -(-left // self.places)
            part = some[first : first - (-left // parts)]
            try:
                self._at(kind, part).run(part, self._busy)
            except (RuntimeError, MemoryError) as error:
                if not networks.out_of_memory(error):
                    self._free(kind)
                    told = str(error).strip().split("\n")[0][:200]
                    raise DeviceError(f"device {self.device}: {told}") from error
                if len(part) == 1:
                    raise self._too_large(part[0]) from error
            else:
                first += len(part)
                continue
            # Here, where the error no longer holds what it was raised from.
            self._free(kind)
            self.places = len(part) // 2

    def gradient(
        self, steps: BatchedSteps, batch: NDArray[np.int64]
    ) -> tuple[float, NDArray[np.float32]]:
        """Sum of squared errors and the gradient of the mean, in one network's matrix."""
        steps.advance(batch[None], np.zeros(1))
        try:
            with _ready(self.device):
                return self._at(steps.kind, [steps]).gradient(steps)
        finally:
            steps.queue.pop()

    def _busy(self) -> None:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()

    def _at(self, kind: tuple[Any, ...], part: Sequence[BatchedSteps]) -> _Buffers:
        """Buffers that these fit, those of before where they do."""
        wanted = _Wanted.of(part)
        if kind in self._buffers and self._buffers[kind].fits(wanted):
            return self._buffers[kind]
        self._free(kind)  # before others are made
        self._buffers[kind] = _Buffers(part[0], wanted, self.device, self._memory)
        return self._buffers[kind]

    def free(self) -> None:
        """Give the device's memory back."""
        for kind in list(self._buffers):
            self._free(kind)

    def _free(self, kind: tuple[Any, ...]) -> None:
        import torch

        self._buffers.pop(kind, None)
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def _that_fit(self, some: Sequence[BatchedSteps]) -> int:
        """How many networks such as these fit the memory that is free, one at least."""
        import torch

        free = _CPU_MEMORY
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            free = torch.cuda.mem_get_info(self.device)[0]
        free = min(int(_SHARE * free), self._memory or free)
        one = _Wanted.of(some).bytes_of_one(some[0])
        return max(1, free // one)

    def _too_large(self, steps: BatchedSteps) -> SolspaceError:
        import torch

        needed = _Wanted.of([steps]).bytes_of_one(steps)
        there = self._memory or 0
        if self.device.type == "cuda":
            there = min(there or 2**62, torch.cuda.mem_get_info(self.device)[0])
        return DeviceMemoryError(
            f"a {steps.architecture} network of {steps.units} units needs some "
            f"{needed / 2**20:,.0f} MB on device {self.device}, which has {there / 2**20:,.0f} MB "
            "free; give a smaller batch_size in the recipe, or leave the device out"
        )


@dataclass(frozen=True)
class _Wanted:
    """How much buffers have to hold."""

    networks: int
    units: int
    trials: int  # that are looked at
    learnt: int  # that are learnt from
    others: bool  # whether these are others, which lie in buffers of their own
    rows: int  # gradient steps

    @classmethod
    def of(cls, part: Sequence[BatchedSteps]) -> _Wanted:
        others = any(piece.trials is not s.looked_at for s in part for piece in s.queue)
        return cls(
            len(part), max(s.units for s in part), max(len(s.looked_at) for s in part),
            max(sum(map(len, _sets(s))) for s in part), others,
            max(s.waiting for s in part) or part[0].recipe.check_every,
        )  # fmt: skip

    def sizes(self, steps: BatchedSteps) -> Sizes:
        _, _, _, trials, time, inputs, outputs = steps.kind
        return Sizes(self.networks, self.units, inputs, outputs, time, trials)

    def bytes_of_one(self, steps: BatchedSteps) -> int:
        s = self.sizes(steps)
        channels = s.inputs + s.outputs
        rows = (steps.cell.gates + steps.cell.apart) * s.units + s.outputs
        numbers = (
            steps.cell.numbers(s)
            + channels * s.steps * (self.trials + self.others * self.learnt)
            + 8 * rows * (s.units + s.inputs + 1)
            + (steps.noise is not None) * s.units * s.steps * s.trials
            # Picked trials, errors, and indices of 8 bytes.
            + (channels + 3 * s.outputs) * s.steps * s.trials
            + (self.rows + self.trials // s.trials + 1) * (2 * s.trials + 4)
        )
        return 4 * int(numbers)


@contextmanager
def _ready(device: Any) -> Iterator[None]:
    """Work is for this device. On a processor it is that of one thread."""
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            yield
        return
    # The operations are small, so that threads of torch's would wait for each other.
    threads = torch.get_num_threads()
    if threads > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


def _sets(steps: BatchedSteps) -> list[Trials]:
    """The sets of trials that a network waits to learn from, in order."""
    out: list[Trials] = []
    for piece in steps.queue:
        if not out or piece.trials is not out[-1]:
            out.append(piece.trials)
    return out


class _Buffers:
    """Everything on the device, for networks of one kind."""

    def __init__(
        self, like: BatchedSteps, wanted: _Wanted, device: Any, memory: int | None
    ) -> None:
        import torch

        s = self._sizes = wanted.sizes(like)
        self._wanted, self._device, self._recipe = wanted, device, like.recipe
        needed = wanted.bytes_of_one(like) * wanted.networks
        if memory is not None and needed > memory:
            raise torch.OutOfMemoryError(f"{needed} bytes of {memory}")
        self._cell = like.cell(s, device, like.rectified)
        self._shape = self._cell.drive.shape[1], self._cell.state.shape[1]
        n = s.networks

        def empty(*shape: int, dtype: Any = torch.float32) -> Any:
            return torch.zeros(*shape, dtype=dtype, device=device)

        self._state = empty(3, n, *self._shape)  # matrices and moments
        copies = torch.from_numpy(self._padded_copies(like))
        self._copies = copies.to(device)
        self._looked_at = self._trial_buffers(wanted.trials)
        self._learnt = self._trial_buffers(wanted.learnt) if wanted.others else self._looked_at
        self._rows = wanted.rows
        self._batches = empty(self._rows, n, s.trials, dtype=torch.int64)
        self._numbers = empty(self._rows, 4, n)
        self._at = empty(1, dtype=torch.int64)
        blocks = -(-wanted.trials // s.trials)
        self._all = empty(blocks, n, s.trials, dtype=torch.int64)
        self._squares = empty(blocks, n)
        self._noise = None
        if like.noise is not None:
            self._noise = empty(n, s.units, s.steps, s.trials)
        self._loaded: list[BatchedSteps | None] = [None] * n
        self._batches.fill_(-1)
        self._all.fill_(-1)
        self._graphs = tuple(map(self._captured, (self._take_step, self._look_at_block)))

    def _trial_buffers(self, trials: int) -> tuple[Any, Any]:
        import torch

        s = self._sizes
        shape = (s.networks, s.inputs, s.steps, trials), (s.networks, s.outputs, s.steps, trials)
        return tuple(torch.zeros(*one, device=self._device) for one in shape)

    def fits(self, wanted: _Wanted) -> bool:
        has = self._wanted
        few = wanted.networks < _KEPT * has.networks and has.networks > 8
        return (
            wanted.networks <= has.networks
            and not few
            and wanted.units <= has.units
            and wanted.trials <= has.trials
            and (wanted.learnt <= has.learnt if has.others else not wanted.others)
            and wanted.rows <= self._rows
        )

    def _captured(self, function: Callable[[], None]) -> Any:
        """A function as one CUDA graph, which is launched at once; None elsewhere.

        Nothing that is loaded yet says that there are trials, so nothing is changed meanwhile.
        """
        import torch

        if self._device.type != "cuda":
            return None
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.no_grad(), torch.cuda.stream(side):
            for _ in range(2):  # cuBLAS and the allocator get ready
                self._at.zero_()
                function()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device.
        kept = torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local")
        with torch.no_grad(), kept:
            function()
        return graph

    # --------------------------------------------------------------- in and out

    def _blocks(self, units: int) -> tuple[list[slice], list[slice]]:
        """Rows and columns of a matrix that belong together, for networks of so many units."""
        s, cell = self._sizes, self._cell
        heights = [units] * cell.gates + [s.outputs] + [units] * cell.apart
        ends = np.cumsum([0, *heights]).tolist()
        rows = [slice(a, b) for a, b in pairwise(ends)]
        ends = [0, units, units + s.inputs, units + s.inputs + 1]
        return rows, [slice(a, b) for a, b in pairwise(ends)]

    def _each_block(self, units: int) -> list[tuple[slice, slice, slice, slice]]:
        """Of a network's own matrix and of the padded one: rows and columns of each block."""

        def within(own: slice, wide: slice) -> slice:
            return slice(wide.start, wide.start + own.stop - own.start)

        own, wide = self._blocks(units), self._blocks(self._sizes.units)
        return [
            (own_rows, own_columns, within(own_rows, wide_rows), within(own_columns, wide_columns))
            for own_rows, wide_rows in zip(own[0], wide[0], strict=True)
            for own_columns, wide_columns in zip(own[1], wide[1], strict=True)
        ]

    def _padded_copies(self, like: BatchedSteps) -> NDArray[np.float32]:
        out = np.zeros(self._shape, np.float32)
        (rows, columns), (wide_rows, wide_columns) = map(
            self._blocks, (like.units, self._sizes.units)
        )
        for own_row, row in zip(rows, wide_rows, strict=True):
            for own_column, column in zip(columns, wide_columns, strict=True):
                # The same all over a block; what is padded has no gradient.
                out[row, column] = like.copies[own_row, own_column].max(initial=0)
        return out

    def _load(self, part: Sequence[BatchedSteps]) -> dict[int, int]:
        """Networks and what they wait for; the row of each, by its place in ``part``."""
        import torch

        n, s = self._sizes.networks, self._sizes
        row_of = {id(steps): row for row, steps in enumerate(self._loaded) if steps is not None}
        rows = {k: row_of[id(steps)] for k, steps in enumerate(part) if id(steps) in row_of}
        free = iter(sorted(set(range(n)) - set(rows.values())))
        new = [k for k in range(len(part)) if k not in rows]
        rows |= {k: next(free) for k in new}
        for k in new:
            self._loaded[rows[k]] = part[k]
        if new:
            at = [rows[k] for k in new]
            some = [part[k] for k in new]
            self._put_trials(self._looked_at, at, [[steps.looked_at] for steps in some])
            index = np.full((len(self._all), len(new), s.trials), -1, np.int64)
            for j, steps in enumerate(some):
                count = len(steps.looked_at)
                flat = np.full(index.shape[0] * s.trials, -1)
                flat[:count] = np.arange(count)
                index[:, j] = flat.reshape(-1, s.trials)
            self._all[:, at] = torch.from_numpy(index).to(self._device)
        alpha = np.ones(n, np.float32)
        for k, steps in enumerate(part):
            alpha[rows[k]] = steps.alpha
        self._cell.set_leak(torch.from_numpy(alpha).to(self._device))
        state = np.zeros((3, n, *self._shape), np.float32)
        for units in {steps.units for steps in part}:
            same = [k for k, steps in enumerate(part) if steps.units == units]
            own = np.stack([part[k].state for k in same], axis=1)
            at = [rows[k] for k in same]
            for from_rows, from_columns, to_rows, to_columns in self._each_block(units):
                state[:, at, to_rows, to_columns] = own[:, :, from_rows, from_columns]
        self._state.copy_(torch.from_numpy(state))
        return rows

    def _put_trials(
        self, buffers: tuple[Any, Any], at: list[int], sets: Sequence[Sequence[Trials]]
    ) -> None:
        """Trials into some rows, those of several sets one after the other."""
        import torch

        for buffer, name in zip(buffers, ("input", "target"), strict=True):
            own = np.zeros((len(at), *buffer.shape[1:]), np.float32)
            for j, some in enumerate(sets):
                first = 0
                for trials in some:
                    array = getattr(trials, name)
                    own[j, ..., first : first + len(array)] = array.transpose(2, 1, 0)
                    first += len(array)
            buffer[at] = torch.from_numpy(own).to(self._device)

    def _put_batches(self, part: Sequence[BatchedSteps], rows: dict[int, int]) -> None:
        import torch

        batches = np.full(self._batches.shape, -1, np.int64)
        numbers = np.zeros(self._numbers.shape, np.float32)
        waiting = [(rows[k], steps) for k, steps in enumerate(part) if steps.queue]
        for row, steps in waiting:
            index, first, last = [], 0, None
            for piece in steps.queue:
                if self._wanted.others and last is not None and piece.trials is not last:
                    first += len(last)
                last = piece.trials
                index.append(piece.batches + first)
            own = np.concatenate(index)
            batches[: len(own), row] = own
            numbers[: len(own), :, row] = steps.numbers()
        if self._wanted.others:
            sets = [_sets(steps) for _, steps in waiting]
            self._put_trials(self._learnt, [row for row, _ in waiting], sets)
        self._batches.copy_(torch.from_numpy(batches))
        self._numbers.copy_(torch.from_numpy(numbers))

    def run(self, part: Sequence[BatchedSteps], busy: Callable[[], None]) -> None:
        """Steps and looks of these networks; they are told what came of it.

        ``busy`` is called while a GPU works, before it is waited for.
        """
        import torch

        with torch.no_grad():
            rows = self._load(part)
            count = max(steps.waiting for steps in part)
            if count:
                self._put_batches(part, rows)
                self._at.zero_()
                for done in range(count):
                    self._put_noise(part, rows, done)
                    self._launch(0)
            self._at.zero_()
            for _ in range(len(self._all)):
                self._launch(1)
            busy()
            # In float64, of float32 sums over blocks.
            squares = self._squares.cpu().numpy().astype(np.float64).sum(axis=0)
            state = self._state.cpu().numpy() if count else None
        self._hand_back(part, rows, squares, state)

    def _launch(self, which: int) -> None:
        graph = self._graphs[which]
        if graph is not None:
            graph.replay()
        else:
            (self._take_step, self._look_at_block)[which]()

    def _put_noise(self, part: Sequence[BatchedSteps], rows: dict[int, int], done: int) -> None:
        import torch

        if self._noise is None:
            return
        noise = np.zeros(self._noise.shape, np.float32)
        for k, steps in enumerate(part):
            if done < steps.waiting:
                steps.draw_noise(noise[rows[k]])
        self._noise.copy_(torch.from_numpy(noise))

    def _hand_back(
        self,
        part: Sequence[BatchedSteps],
        rows: dict[int, int],
        squares: NDArray[np.float64],
        state: NDArray[np.float32] | None,
    ) -> None:
        for units in {steps.units for steps in part}:
            same = [k for k, steps in enumerate(part) if steps.units == units]
            own = None
            if state is not None:
                blocks = self._each_block(units)
                at = [rows[k] for k in same]
                shape = blocks[-1][0].stop, blocks[-1][1].stop
                own = np.empty((len(same), 3, *shape), np.float32)
                for to_rows, to_columns, from_rows, from_columns in blocks:
                    found = state[:, at, from_rows, from_columns]
                    own[:, :, to_rows, to_columns] = found.swapaxes(0, 1)
            for j, k in enumerate(same):
                moved = own is not None and bool(part[k].queue)
                loss = squares[rows[k]] / part[k].asked if part[k].asked else float("nan")
                part[k].take(own[j] if own is not None and moved else None, float(loss))

    def gradient(self, steps: BatchedSteps) -> tuple[float, NDArray[np.float32]]:
        """Of the one batch that it waits for."""
        import torch

        with torch.no_grad():
            rows = self._load([steps])
            self._put_batches([steps], rows)
            squares, wide = self._gradient(self._batches[0])
            padded = wide[rows[0]].cpu().numpy()
        blocks = self._each_block(steps.units)
        out = np.zeros((blocks[-1][0].stop, blocks[-1][1].stop), np.float32)
        for to_rows, to_columns, from_rows, from_columns in blocks:
            out[to_rows, to_columns] = padded[from_rows, from_columns]
        return float(squares[rows[0]]), out

    # --------------------------------------------------------------- on the device

    def _pick(self, buffers: tuple[Any, Any], index: Any) -> tuple[Any, Any]:
        """Trials into the state; their targets, and where something is asked for.

        An index under 0 is no trial.
        """
        import torch

        s, (inputs, targets) = self._sizes, buffers
        at = index.clamp(min=0)[:, None, None]
        picked = torch.gather(inputs, 3, at.expand(-1, s.inputs, s.steps, -1))
        self._cell.state[:, s.units : s.units + s.inputs, : s.steps] = picked
        wanted = torch.gather(targets, 3, at.expand(-1, s.outputs, s.steps, -1))
        return wanted, (index >= 0)[:, None, None] & ~wanted.isnan()

    def _errors(self, buffers: tuple[Any, Any], index: Any, noise: Any) -> tuple[Any, Any, Any]:
        """Of the output; the sum of their squares of each network; how many are asked for."""
        wanted, there = self._pick(buffers, index)
        self._cell.forward(self._state[0], noise)
        error = (self._cell.readout - wanted).masked_fill(~there, 0.0)
        return error, error.square().sum((1, 2, 3)), there.sum((1, 2, 3))

    def _gradient(self, index: Any) -> tuple[Any, Any]:
        error, squares, asked = self._errors(self._learnt, index, self._noise)
        self._cell.readout.copy_(error * (2.0 / asked.clamp(min=1))[:, None, None, None])
        return squares, self._cell.backward(self._state[0])

    def _take_step(self) -> None:
        """One step of torch's Adam, clipped, as `solspace.training.blocks.adam` takes it."""
        recipe = self._recipe
        _, gradient = self._gradient(self._batches.index_select(0, self._at)[0])
        numbers = self._numbers.index_select(0, self._at)[0][:, :, None, None]
        rate, correction, add1, add2 = numbers.unbind(0)
        norm = (self._copies * gradient.square()).sum((1, 2), keepdim=True).sqrt()
        gradient = gradient * (recipe.clip / (norm + 1e-6)).clamp(max=1)
        matrix, m, v = self._state.unbind(0)
        m += add1 * (gradient - m)
        v += add2 * (gradient.square() - v)
        matrix -= self._copies * rate * m / (v.sqrt() * correction + EPSILON)
        self._at += 1

    def _look_at_block(self) -> None:
        _, squares, _ = self._errors(self._looked_at, self._all.index_select(0, self._at)[0], None)
        self._squares.index_copy_(0, self._at, squares[None])
        self._at += 1
