"""Forward and backward runs of many networks at once in torch, written by hand.

The plan is that of the compiled kernels (`solspace.training.kernels`): all of a network is one
matrix over the augmented state ``(h, x, 1)``, and its rows are the gates and the readout, which
comes one slot late. Here every array has the networks on its first axis, ``(network, row, slot,
trial)``, so that each product is one batched product of all networks, and the gradient, the sum
over slots and trials of ``error @ state.T``, is a single one after the backward run. Networks that
are smaller than the widest are padded by units that stay at zero and get no error.

Each time step is a handful of operations on whole buffers, with no memory taken and nothing
decided on the way, so that a gradient step can be captured as one CUDA graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CELLS", "Cell", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """How large the arrays of a batch of networks are.

    Attributes
    ----------
    networks : int
    units : int
        Of the widest network.
    inputs, outputs : int
        Channels.
    steps : int
        Time steps of a trial.
    trials : int
        Of one gradient step.
    """

    networks: int
    units: int
    inputs: int
    outputs: int
    steps: int
    trials: int


class Cell:
    """Tanh or rectified units without memory of their own, ``h <- f(matrix (h, x, 1))``.

    Parameters
    ----------
    sizes : Sizes
    device : str or torch.device
    rectified : bool
        max(0, .) in place of tanh.

    Attributes
    ----------
    state : tensor (network, column, slot, trial)
        The augmented state; whoever runs the cell fills in x.
    drive : tensor (network, row, slot, trial)
        What the matrix gives. The backward run puts the errors of all rows in its place.
    readout : tensor (network, output, time, trial)
        The part of ``drive`` that is the output, or its error.

    Examples
    --------
    >>> import torch
    >>> cell = Cell(Sizes(networks=3, units=5, inputs=2, outputs=1, steps=7, trials=4), "cpu")
    >>> cell.forward(torch.ones(3, 6, 8))
    >>> tuple(cell.readout.shape)
    (3, 1, 7, 4)
    """

    gates = 1
    apart = 0  # rows of a gate's input part, after the readout
    kept = 0  # what else is kept of each slot, in numbers a unit

    def __init__(self, sizes: Sizes, device: Any, rectified: bool = False) -> None:
        import torch

        self.sizes, self.rectified = sizes, rectified
        self._device = device
        slots = sizes.steps + 1
        self.state = torch.zeros(
            sizes.networks, sizes.units + sizes.inputs + 1, slots, sizes.trials, device=device
        )
        self.state[:, -1] = 1
        rows = (self.gates + self.apart) * sizes.units + sizes.outputs
        self.drive = torch.zeros(sizes.networks, rows, slots, sizes.trials, device=device)
        self._first = self.gates * sizes.units  # row of the readout
        self._main = self._first + sizes.outputs
        self.readout = self.drive[:, self._first : self._main, 1:]
        self._error = self._unit()

    @classmethod
    def numbers(cls, sizes: Sizes) -> int:
        """Numbers in the buffers of one network."""
        rows = (cls.gates + cls.apart + cls.kept + 1) * sizes.units
        return (rows + sizes.inputs + sizes.outputs + 2) * (sizes.steps + 1) * sizes.trials

    def _unit(self, *slots: int) -> Any:
        """A buffer (network, ..., unit, ..., trial)."""
        import torch

        s = self.sizes
        return torch.zeros(s.networks, s.units, *slots, s.trials, device=self._device)

    def set_leak(self, alpha: Any) -> None:
        """The share ``alpha`` (network,) of the way to the new activity; here all of it."""

    def forward(self, matrix: Any, noise: Any = None) -> None:
        """Fill ``state`` and ``drive`` for matrices (network, row, column).

        ``noise`` (network, unit, time, trial) is added to the state of each step.
        """
        import torch

        n, last = self.sizes.units, self.sizes.steps
        for t in range(last + 1):
            torch.bmm(matrix, self.state[:, :, t], out=self.drive[:, :, t])
            if t < last:
                self._activate(t)
                if noise is not None:
                    self.state[:, :n, t + 1] += noise[:, :, t]

    def backward(self, matrix: Any) -> Any:
        """The gradient (network, row, column), once ``readout`` holds the output's error."""
        import torch

        n, last, main = self.sizes.units, self.sizes.steps, self._main
        self.drive[:, self._first : main, 0] = 0
        self.drive[:, : self._first, last] = 0
        self.drive[:, main:, last] = 0
        back = matrix[:, :main, :n].transpose(1, 2)
        self._begin()
        for t in range(last - 1, -1, -1):
            self._through(back, self.drive[:, :main, t + 1], t)
        return torch.bmm(self.drive.flatten(2), self.state.flatten(2).transpose(1, 2))

    def _activate(self, t: int) -> None:
        """The next h from the products of slot t."""
        n = self.sizes.units
        self._f(self.drive[:, :n, t], self.state[:, :n, t + 1])

    def _f(self, drive: Any, out: Any) -> None:
        import torch

        if self.rectified:
            torch.clamp(drive, min=0, out=out)
        else:
            torch.tanh(drive, out=out)

    def _begin(self) -> None:
        """Before the errors go back."""

    def _through(self, back: Any, following: Any, t: int) -> None:
        """The errors of slot t from those of the slot after it."""
        import torch

        n = self.sizes.units
        torch.bmm(back, following, out=self._error)
        self._before_f(self._error, self.state[:, :n, t + 1], t)

    def _before_f(self, error: Any, after: Any, t: int) -> None:
        """The error before f from that after it, where f gave ``after``."""
        import torch

        out = self.drive[:, : self.sizes.units, t]
        if self.rectified:
            torch.ops.aten.threshold_backward.grad_input(error, after, 0, grad_input=out)
        else:
            torch.ops.aten.tanh_backward.grad_input(error, after, grad_input=out)


class Leaky(Cell):
    """``n = f(...)``, ``h <- h + alpha (n - h)``; the error of h goes back by two ways.

    Examples
    --------
    >>> import torch
    >>> cell = Leaky(Sizes(networks=1, units=1, inputs=1, outputs=1, steps=2, trials=1), "cpu")
    >>> cell.set_leak(torch.tensor([0.5]))
    >>> cell.forward(torch.full((1, 2, 3), 100.0))
    >>> cell.state[0, 0, :, 0]
    tensor([0.0000, 0.5000, 0.7500])
    """

    kept = 1

    def __init__(self, sizes: Sizes, device: Any, rectified: bool = False) -> None:
        import torch

        super().__init__(sizes, device, rectified)
        self._fresh = self._unit(sizes.steps)
        self._carried = self._unit()
        self._alpha = torch.ones(sizes.networks, 1, 1, device=device)
        self._stays = torch.zeros_like(self._alpha)

    def set_leak(self, alpha: Any) -> None:
        self._alpha.copy_(alpha[:, None, None])
        self._stays.copy_(1 - self._alpha)

    def _activate(self, t: int) -> None:
        import torch

        n = self.sizes.units
        self._f(self.drive[:, :n, t], self._fresh[:, :, t])
        torch.lerp(
            self.state[:, :n, t], self._fresh[:, :, t], self._alpha, out=self.state[:, :n, t + 1]
        )

    def _begin(self) -> None:
        self._carried.zero_()

    def _through(self, back: Any, following: Any, t: int) -> None:
        import torch

        self._carried.mul_(self._stays).baddbmm_(back, following)
        torch.mul(self._carried, self._alpha, out=self._error)
        self._before_f(self._error, self._fresh[:, :, t], t)


class Gru(Cell):
    """Rows r, z, q, readout, p; ``n = tanh(p + r q)``, ``h <- (1 - z) n + z h``.

    Examples
    --------
    >>> Gru.numbers(Sizes(networks=1, units=20, inputs=2, outputs=1, steps=150, trials=32))
    1183840
    """

    gates, apart, kept = 3, 1, 7

    def __init__(self, sizes: Sizes, device: Any, rectified: bool = False) -> None:
        import torch

        super().__init__(sizes, device)
        s = sizes
        self._gates = torch.zeros(s.networks, 2 * s.units, s.steps, s.trials, device=device)
        self._new = self._unit(s.steps)
        # What the error of h is multiplied by for each row: r, z, q, p.
        self._factors = torch.zeros(s.networks, 4, s.units, s.steps, s.trials, device=device)

    def _activate(self, t: int) -> None:
        import torch

        n = self.sizes.units
        r, z = self._gates[:, :n, t], self._gates[:, n:, t]
        torch.sigmoid(self.drive[:, : 2 * n, t], out=self._gates[:, :, t])
        q, p, new = self.drive[:, 2 * n : 3 * n, t], self.drive[:, self._main :, t], self._new
        torch.addcmul(p, r, q, out=new[:, :, t])
        new[:, :, t].tanh_()
        torch.lerp(new[:, :, t], self.state[:, :n, t], z, out=self.state[:, :n, t + 1])

    def _begin(self) -> None:
        import torch

        n = self.sizes.units
        r, z, new = self._gates[:, :n], self._gates[:, n:], self._new
        h, q = self.state[:, :n, :-1], self.drive[:, 2 * n : 3 * n, :-1]
        f_r, f_z, f_q, f_p = self._factors.unbind(1)
        torch.sub(h, new, out=f_q)
        torch.ops.aten.sigmoid_backward.grad_input(f_q, z, grad_input=f_z)
        f_q.copy_(z).neg_().add_(1)
        torch.ops.aten.tanh_backward.grad_input(f_q, new, grad_input=f_p)
        # The errors of q and r: d n times r, and times q r (1 - r).
        torch.mul(f_p, q, out=f_q)
        torch.ops.aten.sigmoid_backward.grad_input(f_q, r, grad_input=f_r)
        torch.mul(f_p, r, out=f_q)
        self._error.zero_()

    def _through(self, back: Any, following: Any, t: int) -> None:
        import torch

        n = self.sizes.units
        d, factors = self._error, self._factors
        d.baddbmm_(back, following)
        rows = self.drive[:, : 3 * n, t].unflatten(1, (3, n))
        torch.mul(d[:, None], factors[:, :3, :, t], out=rows)
        torch.mul(d, factors[:, 3, :, t], out=self.drive[:, self._main :, t])
        d.mul_(self._gates[:, n:, t])  # what skips the gates


class Lstm(Cell):
    """Rows i, f, g, o, readout; ``c <- f c + i g``, ``h <- o tanh(c)``.

    Examples
    --------
    >>> Lstm.numbers(Sizes(networks=1, units=20, inputs=2, outputs=1, steps=150, trials=32))
    1570400
    """

    gates, kept = 4, 11

    def __init__(self, sizes: Sizes, device: Any, rectified: bool = False) -> None:
        import torch

        super().__init__(sizes, device)
        s = sizes
        self._gates = torch.zeros(s.networks, 4 * s.units, s.steps, s.trials, device=device)
        self._cell = self._unit(s.steps + 1)
        self._squashed = self._unit(s.steps)
        # What the error of c is multiplied by for i, f, g; that of h for o, and for c.
        self._factors = torch.zeros(s.networks, 5, s.units, s.steps, s.trials, device=device)
        self._carried = self._unit()

    def _activate(self, t: int) -> None:
        import torch

        n, gates, drive = self.sizes.units, self._gates, self.drive
        torch.sigmoid(drive[:, : 2 * n, t], out=gates[:, : 2 * n, t])
        torch.tanh(drive[:, 2 * n : 3 * n, t], out=gates[:, 2 * n : 3 * n, t])
        torch.sigmoid(drive[:, 3 * n : 4 * n, t], out=gates[:, 3 * n :, t])
        i, f, g, o = gates[:, :, t].unflatten(1, (4, n)).unbind(1)
        after = self._cell[:, :, t + 1]
        torch.mul(f, self._cell[:, :, t], out=after)
        after.addcmul_(i, g)
        torch.tanh(after, out=self._squashed[:, :, t])
        torch.mul(o, self._squashed[:, :, t], out=self.state[:, :n, t + 1])

    def _begin(self) -> None:
        import torch

        n = self.sizes.units
        i, f, g, o = self._gates.unflatten(1, (4, n)).unbind(1)
        old, squashed = self._cell[:, :, :-1], self._squashed
        f_i, f_f, f_g, f_o, f_c = self._factors.unbind(1)
        aten = torch.ops.aten
        aten.sigmoid_backward.grad_input(g, i, grad_input=f_i)
        aten.sigmoid_backward.grad_input(old, f, grad_input=f_f)
        aten.tanh_backward.grad_input(i, g, grad_input=f_g)
        aten.sigmoid_backward.grad_input(squashed, o, grad_input=f_o)
        aten.tanh_backward.grad_input(o, squashed, grad_input=f_c)
        self._carried.zero_()

    def _through(self, back: Any, following: Any, t: int) -> None:
        import torch

        n, factors, carried = self.sizes.units, self._factors, self._carried
        torch.bmm(back, following, out=self._error)
        torch.mul(self._error, factors[:, 3, :, t], out=self.drive[:, 3 * n : 4 * n, t])
        carried.addcmul_(self._error, factors[:, 4, :, t])
        rows = self.drive[:, : 3 * n, t].unflatten(1, (3, n))
        torch.mul(carried[:, None], factors[:, :3, :, t], out=rows)
        carried.mul_(self._gates[:, n : 2 * n, t])


# By the compiled kernel that does the same, one network at a time.
CELLS: dict[str, type[Cell]] = {
    "solspace.training.kernels": Cell,
    "solspace.training.kernels_leaky": Leaky,
    "solspace.training.kernels_gru": Gru,
    "solspace.training.kernels_lstm": Lstm,
}
