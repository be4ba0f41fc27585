"""What is wrong with an architecture of one's own, seen in its record and in a run."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.networks.base import PARAMETERS, Architecture
from solspace.networks.registry import is_of_package, make_known
from solspace.networks.running import parameter_shapes, run, run_population

__all__ = ["register_architecture"]


def register_architecture(
    architecture: Architecture, *, check: bool = True, taken: frozenset[str] = frozenset(PARAMETERS)
) -> Architecture:
    """Make an architecture of one's own known by its name, for this process and its workers.

    It is run: one step after the other in torch, a padded network beside one without padding,
    and the compiled loop beside the step where there is one.

    Parameters
    ----------
    architecture : Architecture
    check : bool
        Whether to look for faults.
    taken : frozenset of str
        Names of variables that it cannot have; `solspace.register_architecture` knows them.

    Raises
    ------
    SolspaceError
        Where it cannot be used; all faults are listed.

    Examples
    --------
    >>> from solspace.networks import recurrent
    >>> def step(weights, drive, h):
    ...     return (drive + recurrent(weights, h))[..., 0, :].sin()
    >>> sine = Architecture("sine", "h <- sin(W h + V x + b)", step, nonlinearity="sin")
    >>> register_architecture(sine).name
    'sine'
    """
    if check and (faults := _faults(architecture, taken)):
        raise SolspaceError(
            f"architecture {architecture.name!r} cannot be used: {'; '.join(faults)}"
        )
    make_known(architecture)
    return architecture


_DIMS = ("gate", "unit", "presynaptic_unit", "input_channel", "output_channel")


def _faults(record: Architecture, taken: frozenset[str]) -> list[str]:
    found = []
    if not re.fullmatch(r"[A-Za-z0-9_]+", record.name):
        found.append(f"the name {record.name!r} is no group name; use letters, digits and _")
    if is_of_package(record.name):
        found.append(f"solspace has an architecture {record.name!r}; give it another name")
    if record.kind != "recurrent" or record.step is None:
        found.append("it has no step, or is not recurrent; give step(weights, drive, *state)")
    if not record.gates or len(set(record.gates)) != len(record.gates):
        found.append(f"gates {record.gates}; give one or more, each another name")
    if not record.state or record.state[0].name != "activity":
        found.append("the first part of the state is not 'activity', which the readout reads")
    names = [*(part.name for part in record.state), *(p.name for p in record.parameters)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        found.append(f"{', '.join(twice)} stands twice among parts of the state and parameters")
    found += [
        f"{name!r} is no name of a variable; use small letters, digits and _"
        for name in names[1:]
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name)
    ]
    found += [
        f"{name!r} is a variable of every store; give it another name"
        for name in names[1:]
        if name in taken
    ]
    for p in record.parameters:
        if p.size is None and list(p.dims) != [d for d in _DIMS if d in p.dims]:
            found.append(f"{p.name} has dims {p.dims}; give some of {', '.join(_DIMS)}, in order")
        if p.default is not None and not p.least <= p.default <= p.most:
            found.append(f"{p.name} is {p.default:g} by default, not {p.least:g} to {p.most:g}")
    if found:
        return found
    # What a module of somebody's own does with its numbers is seen when one is imported.
    return _faults_of_run(record) if record.take is None else []


def _faults_of_run(record: Architecture) -> list[str]:
    """What is wrong with its equations, seen in a run of random networks."""
    import torch

    rng = np.random.default_rng(0)
    n, padded, inputs, outputs = 5, 7, 2, 1
    trials, time = 3, 6
    small = {
        name: rng.normal(0, 0.4, shape)
        for name, shape in parameter_shapes(record, n, inputs, outputs).items()
    }
    for p in record.parameters:
        value = _allowed(p)
        small[p.name] = np.full(np.shape(small[p.name]), value)
    large: dict[str, Any] = {}
    for name, shape in parameter_shapes(record, padded, inputs, outputs).items():
        large[name] = np.zeros((1, *shape))
        large[name][(0, *map(slice, small[name].shape))] = small[name]
    x = rng.normal(size=(trials, time, inputs))
    tensors = {name: torch.tensor(array[None], requires_grad=True) for name, array in small.items()}
    try:
        states, output = run_population(record, tensors, torch.from_numpy(x))
        output.square().sum().backward()
    except Exception as error:
        return [f"a run of its step raised {type(error).__name__}: {error}"]
    found = []
    expected = (1, trials, time, len(record.state) * n)
    if tuple(states.shape) != expected:
        return [f"a run gave states {tuple(states.shape)}, expected {expected}"]
    if states.dtype != torch.float64:
        found.append(f"a run in float64 gave {states.dtype}; keep the dtype of the state")
    if not bool(torch.isfinite(states).all()):
        found.append("a run of small random weights gave NaN or infinity")
    needed = [*PARAMETERS, *(p.name for p in record.trained)]
    if without := [name for name in needed if tensors[name].grad is None]:
        found.append(f"the loss does not depend on {', '.join(without)}: no gradient comes back")
    with torch.no_grad():
        _, wide = run_population(
            record, {k: torch.from_numpy(v) for k, v in large.items()}, torch.from_numpy(x)
        )
    if not found and not torch.allclose(wide, output, rtol=1e-9, atol=1e-9):
        found.append("units that are padding, of zero weights, change what the others do")
    if record.compiled is not None and not found:
        try:
            fast, _ = run(record, small, x)
        except Exception as error:
            return [f"its compiled loop raised {type(error).__name__}: {error}"]
        if not np.allclose(fast, states.detach().numpy()[0], rtol=1e-9, atol=1e-9):
            found.append("its compiled loop does otherwise than its step")
    return found


def _allowed(p: Any) -> float:
    """A value that the parameter may have."""
    if p.default is not None:
        return float(p.default)
    ends = [end for end in (p.least, p.most) if np.isfinite(end)]
    return float(np.mean(ends)) if ends else 0.5
