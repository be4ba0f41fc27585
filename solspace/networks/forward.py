"""A module's own output beside that of the network it is taken for.

What ``forward`` does between its parts cannot be read from them: a nonlinearity after an encoder, a
sigmoid at the end, a state that is begun anew. Its output on a task's trials tells.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Compared", "compare_forward"]


@dataclass(frozen=True)
class Compared:
    """How far a module's own output is from another.

    Attributes
    ----------
    difference : float
        The largest; NaN where it could not be compared.
    reason : str
        Why it could not; empty otherwise, and where the module has no ``forward``.
    """

    difference: float
    reason: str = ""


def compare_forward(module: Any, inputs: NDArray[Any], output: NDArray[Any]) -> Compared:
    """Call a copy of a module on trials and compare what it gives with an output.

    It is called as it is used (``eval()``, no gradients; in float64 where it can be), with inputs
    (trial, time, input) and (time, trial, input); the one that comes nearer counts, since a module
    does not say.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : array (trial, time, input)
    output : array (trial, time, output)

    Returns
    -------
    Compared

    Examples
    --------
    >>> import torch
    >>> module = torch.nn.Linear(2, 1)
    >>> x = np.ones((3, 4, 2), np.float32)
    >>> output = module(torch.from_numpy(x)).detach().numpy()
    >>> compare_forward(module, x, output).difference < 1e-6
    True
    """
    import torch

    if type(module).forward is torch.nn.Module.forward:
        return Compared(float("nan"))  # a container of parts, which says nothing
    try:
        own = copy.deepcopy(module).cpu().eval()
        dtype = next(iter(own.parameters())).dtype
        double = copy.deepcopy(own).double()
    except Exception as error:
        return Compared(float("nan"), f"it cannot be copied ({_told(error)})")
    x = torch.from_numpy(np.array(inputs))
    least, reason = float("nan"), ""
    for turned in (False, True):
        given = x.swapaxes(0, 1) if turned else x
        try:
            with torch.no_grad():
                try:  # rounding grows in networks that do not settle
                    first, again = double(given.double()), double(given.double())
                except Exception:
                    first, again = own(given.to(dtype)), own(given.to(dtype))
        except Exception as error:
            reason = reason or f"it raised {_told(error)}"
            continue
        ours = torch.from_numpy(np.array(output, np.float64))
        ours = ours.swapaxes(0, 1) if turned else ours
        pairs = zip(_tensors(first), _tensors(again), strict=False)
        found = [(a.double(), b.double()) for a, b in pairs if a.shape == ours.shape]
        if not found:
            shapes = ", ".join(str(tuple(t.shape)) for t in _tensors(first)) or "no tensor"
            reason = reason or f"it gives {shapes}, not an output {tuple(ours.shape)}"
        for a, b in found:
            if float((a - b).abs().max()) > 1e-4:
                reason = "it gives another output each time it is called"
                continue
            difference = float((a - ours).abs().max())
            if not difference >= least:  # also where nothing was found before
                least = difference
    return Compared(least, "" if least == least else reason)


def _told(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text[:120]}"


def _tensors(value: Any) -> Iterator[Any]:
    """All tensors in what a module gives."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif hasattr(value, "detach"):
        yield value
