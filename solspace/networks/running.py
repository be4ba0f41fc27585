"""Run networks: one at a time in a compiled loop, or a population in torch.

A network is a mapping of arrays, torch's parameters with the gates on an axis of their own:

========== ============================== ==========================================
name       shape                          meaning
========== ============================== ==========================================
weight_ih  (gate, unit, input)            input weights
weight_hh  (gate, unit, presynaptic_unit) recurrent weights
bias_ih    (gate, unit)                   input bias
bias_hh    (gate, unit)                   recurrent bias
weight_out (output, unit)                 linear readout
bias_out   (output,)                      readout bias
========== ============================== ==========================================

and whatever its architecture has beyond these (see `solspace.networks.base`). A network that does
not start from zero has the state before its first step too, ``start_activity`` (unit,) and the same
for further parts of the state. A population has the same arrays with a leading network axis, zero
past each network's size.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.networks.base import PARAMETERS, START, Architecture, Laid, Parameter, Weights
from solspace.networks.registry import recurrent_architecture

__all__ = [
    "Runner",
    "as_float64",
    "check_given",
    "check_there",
    "hidden_size",
    "parameter_names",
    "parameter_shapes",
    "read_out",
    "run",
    "run_output",
    "run_population",
    "start_names",
    "start_of",
    "state_size",
]


def _record(architecture: str | Architecture) -> Architecture:
    if isinstance(architecture, Architecture):
        return architecture
    return recurrent_architecture(architecture)


def parameter_names(architecture: str | Architecture) -> tuple[str, ...]:
    """The six parameters of every network and those its architecture has beyond.

    Examples
    --------
    >>> parameter_names("leaky")[-1]
    'alpha'
    """
    return _record(architecture).parameter_names


def parameter_shapes(
    architecture: str | Architecture, hidden_size: int, inputs: int, outputs: int
) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter of one network.

    Examples
    --------
    >>> parameter_shapes("gru", 20, inputs=2, outputs=1)["weight_hh"]
    (3, 20, 20)
    """
    record, n = _record(architecture), hidden_size
    gates = len(record.gates)
    sizes = {
        "gate": gates, "unit": n, "presynaptic_unit": n,
        "input_channel": inputs, "output_channel": outputs,
    }  # fmt: skip
    return {
        "weight_ih": (gates, n, inputs),
        "weight_hh": (gates, n, n),
        "bias_ih": (gates, n),
        "bias_hh": (gates, n),
        "weight_out": (outputs, n),
        "bias_out": (outputs,),
        **{
            p.name: tuple(sizes[dim] for dim in p.dims) if p.size is None else (p.size,)
            for p in record.parameters
        },
    }


def hidden_size(weights: Weights) -> int:
    """Number of units of one network."""
    return int(weights["weight_hh"].shape[-1])


def state_size(architecture: str | Architecture, hidden_size: int) -> int:
    """Length of the state vector: the units, and for an LSTM the cell state after them.

    Examples
    --------
    >>> state_size("lstm", 20)
    40
    """
    return len(_record(architecture).state) * hidden_size


def as_float64(architecture: str, weights: Weights) -> dict[str, NDArray[np.float64]]:
    """One network's parameters in float64, or an error where one is missing or not finite.

    Examples
    --------
    >>> shapes = parameter_shapes("vanilla", 4, inputs=2, outputs=1)
    >>> ones = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    >>> as_float64("vanilla", ones)["bias_out"].dtype
    dtype('float64')
    """
    record = _record(architecture)
    check_there(record, weights)
    names = (*record.parameter_names, *start_names(record, weights))
    out = {name: np.asarray(weights[name], np.float64) for name in names}
    for name, array in out.items():
        if not np.isfinite(array).all():
            raise SolspaceError(
                f"{name} holds NaN or infinity; give one network's weights without padding"
            )
    return out


def start_names(architecture: str | Architecture, weights: Iterable[Hashable]) -> tuple[str, ...]:
    """Names of the state a network starts from, of those that it has; none where it is zero.

    Examples
    --------
    >>> start_names("lstm", ["weight_hh", "start_activity", "start_cell_state"])
    ('start_activity', 'start_cell_state')
    """
    there = set(weights)
    parts = _record(architecture).state
    return tuple(START + part.name for part in parts if START + part.name in there)


def start_of(architecture: str | Architecture, weights: Weights) -> NDArray[np.float64]:
    """The state of one network before its first step, (state,); zero where it has no other.

    Examples
    --------
    >>> start_of("vanilla", {"weight_hh": np.zeros((1, 2, 2)), "start_activity": np.ones(2)})
    array([1., 1.])
    """
    record, n = _record(architecture), hidden_size(weights)
    parts = [weights.get(START + part.name) for part in record.state]
    return np.concatenate(
        [np.zeros(n) if part is None else np.asarray(part, np.float64) for part in parts]
    )


def read_out(
    architecture: str | Architecture, weights: Weights, activity: NDArray[Any]
) -> NDArray[Any]:
    """What one network puts out at these activities, (..., unit) to (..., output).

    Examples
    --------
    >>> weights = {"weight_out": np.ones((1, 2)), "bias_out": np.zeros(1)}
    >>> read_out("gru", weights, np.ones((5, 2))).shape
    (5, 1)
    """
    record = _record(architecture)
    read = activity
    if record.readout is not None:
        import torch

        names = (p.name for p in record.parameters)
        own = {n: torch.from_numpy(np.array(weights[n], activity.dtype))[None] for n in names}
        own = {n: t[:, None] if t.ndim == 2 else t for n, t in own.items()}
        rows = torch.from_numpy(np.array(activity)).reshape(1, 1, -1, activity.shape[-1])
        read = record.readout(own, rows).numpy().reshape(*activity.shape[:-1], -1)
    out = read @ np.asarray(weights["weight_out"]).T + np.asarray(weights["bias_out"])
    return np.asarray(out)


def check_given(architecture: str, parameter: Parameter, value: ArrayLike) -> NDArray[np.float64]:
    """A value of a parameter beyond the six, or an error where it is none that is allowed.

    Examples
    --------
    >>> from solspace.networks import get_architecture
    >>> (alpha,) = get_architecture("leaky").parameters
    >>> check_given("leaky", alpha, 0.5).item()
    0.5
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.asarray(np.nan)
    allowed = (array >= parameter.least) & (array <= parameter.most)
    if not array.size or not (allowed & np.isfinite(array)).all():
        raise SolspaceError(
            f"{parameter.name} {value!r} of a {architecture} network; give numbers from "
            f"{parameter.least:g} to {parameter.most:g} ({parameter.meaning})"
        )
    return array


def check_there(record: Architecture, weights: Mapping[str, Any]) -> None:
    """Refuse weights without all parameters of their architecture."""
    if missing := [name for name in record.parameter_names if name not in weights]:
        raise SolspaceError(
            f"a {record.name} network has no {', '.join(missing)}, only {', '.join(weights)}; "
            f"give {', '.join(record.parameter_names)}"
        )


# --------------------------------------------------------------------------- one network


def run(
    architecture: str | Architecture,
    weights: Weights,
    inputs: NDArray[Any],
    state: NDArray[Any] | None = None,
    *,
    dtype: Any = np.float64,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Run one network on a set of trials, in its compiled loop or, without one, in torch.

    Parameters
    ----------
    architecture : str or Architecture
    weights : mapping
        One network's parameters, without padding.
    inputs : array (trial, time, input)
    state : array (trial, state), optional
        State before the first step; by default the network's own, which is zero where it has no
        other. For an LSTM the hidden state and then the cell state.
    dtype : dtype
        Of what comes back. Compiled loops compute in float64, where the result does not depend on
        the order of the units beyond one part in 10^13 or so, nor a trial's on the others at all;
        without one it is what torch computes in.

    Returns
    -------
    states : array (trial, time, state)
        Index t holds the state after the input of step t.
    output : array (trial, time, output)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shapes = parameter_shapes("vanilla", 4, inputs=2, outputs=1)
    >>> weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    >>> states, output = run("vanilla", weights, np.zeros((3, 7, 2)))
    >>> states.shape, output.shape
    ((3, 7, 4), (3, 7, 1))
    """
    record, x, start = _prepared(architecture, weights, inputs, state, dtype)
    if record.compiled is None:
        return _run_in_torch(record, weights, x, start)
    states = np.empty((*x.shape[:2], start.shape[1]))
    output = Runner(record, weights).run(x, start, states)
    return states.astype(dtype, copy=False), output.astype(dtype, copy=False)


def run_output(
    architecture: str | Architecture,
    weights: Weights,
    inputs: NDArray[Any],
    state: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """What one network puts out on a set of trials, where its states are not wanted.

    The same numbers as those of `run`, in float64, without memory for the states of all trials.

    Parameters
    ----------
    architecture, weights, inputs, state
        As `run` takes them.

    Returns
    -------
    output : array (trial, time, output)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shapes = parameter_shapes("gru", 4, inputs=2, outputs=1)
    >>> weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    >>> x = rng.normal(size=(9, 7, 2))
    >>> np.array_equal(run_output("gru", weights, x), run("gru", weights, x)[1])
    True
    """
    record, x, start = _prepared(architecture, weights, inputs, state, np.float64)
    if record.compiled is None:
        return _run_in_torch(record, weights, x, start)[1]
    runner = Runner(record, weights)
    trials, time = x.shape[:2]
    output = np.empty((trials, time, weights["weight_out"].shape[0]))
    # Trials by six, which compiled loops run at once, in memory that is used again and so cached.
    few = 6 * max(1, _KEPT // max(6 * time * start.shape[1], 1))
    states = np.empty((min(few, trials), time, start.shape[1]))
    for first in range(0, trials, few):
        block = slice(first, min(first + few, trials))
        output[block] = runner.run(x[block], start[block], states[: block.stop - first])
    return output


_KEPT = 1 << 18  # numbers of states, 2 MB


def _prepared(
    architecture: str | Architecture,
    weights: Weights,
    inputs: NDArray[Any],
    state: NDArray[Any] | None,
    dtype: Any,
) -> tuple[Architecture, NDArray[Any], NDArray[Any]]:
    """The record, inputs and the states before the first step, checked."""
    record = _record(architecture)
    check_there(record, weights)
    x = np.ascontiguousarray(inputs, dtype=dtype)
    trials, size = len(x), state_size(record, hidden_size(weights))
    if state is None:
        start = np.tile(start_of(record, weights).astype(dtype), (trials, 1))
    else:
        start = np.asarray(state, dtype)
    if start.shape != (trials, size):
        raise SolspaceError(
            f"state of shape {start.shape} for {trials} trials of a {record.name} network "
            f"of {hidden_size(weights)} units; give ({trials}, {size})"
        )
    return record, x, start


class Runner:
    """One network, laid out once for as many runs in its compiled loop as are wanted.

    Parameters
    ----------
    architecture : Architecture
        One with a compiled loop.
    weights : mapping
        One network's parameters, without padding.
    """

    def __init__(self, architecture: Architecture, weights: Weights) -> None:
        assert architecture.compiled is not None
        self._loop, self._units = architecture.compiled, hidden_size(weights)
        # Gates folded into units, torch's own layout; matrices transposed.
        flat = {name: _flat(weights[name], np.float64) for name in PARAMETERS[:4]}
        for name in ("weight_ih", "weight_hh"):
            flat[name] = np.ascontiguousarray(flat[name].T)
        for p in architecture.parameters:
            flat[p.name] = np.asarray(weights[p.name], np.float64)
        self._parameters = Laid(flat)
        self._readout = np.asarray(weights["weight_out"], np.float64).T
        self._bias = np.asarray(weights["bias_out"], np.float64)

    def run(
        self, inputs: NDArray[Any], start: NDArray[Any], states: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Fill the states (trial, time, state) and give the output (trial, time, output)."""
        x, start = np.asarray(inputs, np.float64), np.asarray(start, np.float64)
        self._loop(x, start, self._parameters, states)
        output: NDArray[np.float64] = states[..., : self._units] @ self._readout
        output += self._bias
        return output


def _flat(parameter: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Gates folded into units, torch's own layout."""
    array = np.asarray(parameter, dtype)
    return np.ascontiguousarray(array.reshape(-1, *array.shape[2:]))


def _run_in_torch(
    record: Architecture, weights: Weights, x: NDArray[Any], start: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    import torch

    tensors = {
        name: torch.from_numpy(np.array(weights[name], x.dtype))[None]
        for name in record.parameter_names
    }
    with torch.no_grad():
        states, output = run_population(
            record, tensors, torch.from_numpy(x), torch.from_numpy(start)[None]
        )
    return states[0].numpy(), output[0].numpy()


# --------------------------------------------------------------------------- a population


def run_population(
    architecture: str | Architecture,
    weights: Mapping[str, Any],
    inputs: Any,
    state: Any = None,
) -> tuple[Any, Any]:
    """Run many networks at once in torch: on a GPU, or where gradients are wanted.

    The architecture's ``step`` is taken time step by time step, since torch's ``vmap`` has no
    rules for its own recurrent modules. On a CPU `run` is faster.

    Parameters
    ----------
    architecture : str or Architecture
    weights : mapping of torch tensors
        A population's parameters, each with a leading network axis, zero past a network's size.
    inputs : tensor (trial, time, input) or (network, trial, time, input)
    state : tensor (network, trial, state), optional
        By default the networks' own, which is zero where they have no other.

    Returns
    -------
    states : tensor (network, trial, time, state)
    output : tensor (network, trial, time, output)

    Examples
    --------
    >>> import torch
    >>> shapes = parameter_shapes("lstm", 4, inputs=2, outputs=1)
    >>> weights = {name: torch.zeros(5, *shape) for name, shape in shapes.items()}
    >>> states, output = run_population("lstm", weights, torch.zeros(3, 7, 2))
    >>> tuple(states.shape), tuple(output.shape)
    ((5, 3, 7, 8), (5, 3, 7, 1))
    """
    import torch

    record = _record(architecture)
    check_there(record, weights)
    assert record.step is not None
    w_hh = weights["weight_hh"]
    networks, gates, n = w_hh.shape[0], w_hh.shape[1], w_hh.shape[-1]
    x = inputs if inputs.ndim == 4 else inputs.expand(networks, *inputs.shape)
    trials = x.shape[1]
    w_ih = weights["weight_ih"].flatten(1, 2)
    drive = torch.einsum("nbti,nui->nbtu", x, w_ih)
    drive = drive + weights["bias_ih"].flatten(1, 2)[:, None, None]
    drive = drive.unflatten(-1, (gates, n))
    size = state_size(record, n)
    start = w_hh.new_zeros(networks, trials, size) if state is None else state
    if state is None and (named := start_names(record, weights)):
        own_start = [
            weights[START + p.name] if START + p.name in named else w_hh.new_zeros(networks, n)
            for p in record.state
        ]
        start = torch.cat(own_start, dim=-1).to(w_hh.dtype)[:, None].expand(-1, trials, -1)
    parts = start.split(n, dim=-1)
    own = dict(weights)
    for p in record.parameters:
        tensor = own[p.name]
        own[p.name] = tensor.reshape(networks, *([1] * (3 - tensor.ndim)), *tensor.shape[1:])
    states = []
    for t in range(x.shape[2]):
        after = record.step(own, drive[:, :, t], *parts)
        after = after if isinstance(after, tuple) else (after,)
        if t == 0 and [part.shape for part in after] != [part.shape for part in parts]:
            raise SolspaceError(
                f"the step of {record.name} takes a state of {len(parts)} parts of shape "
                f"{tuple(parts[0].shape)} (network, trial, unit) and returns "
                f"{', '.join(str(tuple(part.shape)) for part in after)}; return what it takes"
            )
        parts = after
        states.append(torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0])
    stacked = torch.stack(states, dim=2)
    read = stacked[..., :n]
    if record.readout is not None:
        read = record.readout(own, read)
    output = torch.einsum("nbtu,nou->nbto", read, weights["weight_out"])
    return stacked, output + weights["bias_out"][:, None, None]
