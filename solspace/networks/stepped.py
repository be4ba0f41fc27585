"""Architectures from a torch module that says its own step: several layers, gates of one's own.

The module has ``step(state, input)`` and ``readout(state)``. All its numbers are kept in one vector
of each network, ``module_parameters``; the six arrays hand the input to the step and the output on
as they are. It runs in torch, network by network and step by step, which is slow.
"""

from __future__ import annotations

import copy
import functools
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.networks.base import PARAMETERS, Architecture, Parameter

__all__ = ["stepped_architecture"]

_NAME = "module_parameters"


def stepped_architecture(
    name: str, module: Any, *, units: int, description: str = "", nonlinearity: str = "its own"
) -> Architecture:
    """An architecture whose networks are modules of one class and one size.

    Register it with `solspace.register_architecture`, and give modules of the class, or their state
    dicts, to `solspace.import_networks`. They are not trained here.

    Parameters
    ----------
    name : str
    module : torch.nn.Module
        One of the networks. ``step(state, input)`` takes (trial, unit) and (trial, input) and
        gives the next state; ``readout(state)`` takes (trial, unit) and gives (trial, output).
        Neither may depend on the trial's place or on the time. The first state is zero.
    units : int
        Numbers in the state, all that the next step depends on (of two layers, both). At least as
        many as inputs and as outputs.
    description : str, optional
        Its equations, in one line.
    nonlinearity : str, optional

    Returns
    -------
    Architecture

    Raises
    ------
    SolspaceError
        Where the module has no ``step`` or no ``readout``.

    Examples
    --------
    >>> import torch
    >>> class Sine(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.across, self.into = torch.nn.Linear(5, 5), torch.nn.Linear(2, 5)
    ...         self.out = torch.nn.Sequential(torch.nn.Linear(5, 9), torch.nn.Tanh(),
    ...                                        torch.nn.Linear(9, 1))
    ...     def step(self, state, input):
    ...         return torch.sin(self.across(state) + self.into(input))
    ...     def readout(self, state):
    ...         return self.out(state)
    >>> stepped_architecture("sine", Sine(), units=5).parameters[0].size
    109
    """
    if missing := [n for n in ("step", "readout") if not callable(getattr(module, n, None))]:
        raise SolspaceError(
            f"architecture {name!r}: a {type(module).__name__} has no {' and no '.join(missing)}; "
            "give a torch module with step(state, input) and readout(state)"
        )
    if units < 1:
        raise SolspaceError(f"architecture {name!r}: {units} units; give 1 or more")
    own = copy.deepcopy(module).cpu().double().eval()
    shapes = {k: tuple(v.shape) for k, v in own.state_dict().items() if v.is_floating_point()}
    count = sum(int(np.prod(shape)) for shape in shapes.values())
    how = {"module": _wrapped(own), "shapes": shapes}
    return Architecture(
        name=name,
        description=description or f"h <- step(h, x) of the module {type(module).__name__}",
        step=functools.partial(_step, **how),
        parameters=(
            Parameter(
                _NAME, "all numbers of the network's module, one after the other",
                (f"{name}_parameter",), size=count,
            ),
        ),
        nonlinearity=nonlinearity,
        hidden_size=units,
        any_size=False,
        checkpoints=False,
        readout=functools.partial(_readout, **how),
        take=functools.partial(_take, name=name, units=units, shapes=shapes),
    )  # fmt: skip


def _wrapped(module: Any) -> Any:
    """A module whose forward is any method of another's, as torch's functional_call needs it."""
    from torch import nn

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, method: str, *given: Any) -> Any:
            return getattr(self.module, method)(*given)

    return Wrapped()


_local = threading.local()


def _of_this_thread(module: Any) -> Any:
    """A copy for each thread: functional_call puts the numbers into the module for the moment."""
    copies = _local.__dict__.setdefault("copies", weakref.WeakKeyDictionary())
    if module not in copies:
        copies[module] = copy.deepcopy(module)
    return copies[module]


def _call(
    weights: Mapping[str, Any], i: int, method: str, *given: Any, module: Any, shapes: Any
) -> Any:
    """A method of the module with the numbers of one network."""
    from torch.func import functional_call

    flat, own, at = weights[_NAME][i].reshape(-1), {}, 0
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        own[f"module.{name}"] = flat[at : at + count].reshape(shape).to(given[0].dtype)
        at += count
    out = functional_call(_of_this_thread(module), own, (method, *given))
    return out.to(given[0].dtype)


def _step(weights: Mapping[str, Any], drive: Any, h: Any, *, module: Any, shapes: Any) -> Any:
    """One step of each network."""
    import torch

    inputs = weights["weight_ih"].shape[-1]
    how = {"module": module, "shapes": shapes}
    return torch.stack(
        [_call(weights, i, "step", h[i], drive[i, :, 0, :inputs], **how) for i in range(len(h))]
    )


def _readout(weights: Mapping[str, Any], activity: Any, *, module: Any, shapes: Any) -> Any:
    """The output of each network, in the first of as many numbers as there are units."""
    import torch

    out = torch.zeros_like(activity)
    for i in range(len(activity)):
        rows = activity[i].flatten(0, 1)
        put_out = _call(weights, i, "readout", rows, module=module, shapes=shapes)
        out[i, ..., : put_out.shape[-1]] = put_out.reshape(*activity.shape[1:3], -1)
    return out


def _take(
    state_dict: Mapping[str, NDArray[Any]],
    inputs: int,
    outputs: int,
    source: str,
    *,
    name: str,
    units: int,
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, NDArray[Any]]:
    """The arrays of one network from its module's."""
    if units < max(inputs, outputs):
        raise SolspaceError(
            f"{source}: {units} units for {inputs} inputs and {outputs} outputs; architecture "
            f"{name!r} needs as many at least"
        )
    if {*PARAMETERS, _NAME} <= set(state_dict):
        return dict(state_dict)
    found = {k: v.shape for k, v in state_dict.items() if k in shapes or v.dtype.kind == "f"}
    if found != dict(shapes):
        raise SolspaceError(
            f"{source}: not a module as architecture {name!r} was made from: holds "
            f"{', '.join(f'{k} {v}' for k, v in found.items()) or 'nothing'}, expected "
            f"{', '.join(f'{k} {v}' for k, v in shapes.items())}"
        )
    return {
        "weight_ih": np.eye(units, inputs)[None],
        "weight_hh": np.zeros((1, units, units)),
        "bias_ih": np.zeros((1, units)),
        "bias_hh": np.zeros((1, units)),
        "weight_out": np.eye(outputs, units),
        "bias_out": np.zeros(outputs),
        _NAME: np.concatenate([np.ravel(state_dict[k]) for k in shapes] or [np.zeros(0)]),
    }
