"""The three recurrent cells, one network at a time in compiled loops or a population in torch.

A network is a mapping of six arrays, torch's parameters with the gates on an axis of their own:

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

A population has the same arrays with a leading network axis, zero past each network's size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.errors import SolspaceError

__all__ = [
    "ARCHITECTURES",
    "GATES",
    "PARAMETERS",
    "check_architecture",
    "from_module",
    "from_state_dict",
    "hidden_size",
    "parameter_shapes",
    "read_network",
    "read_state_dict",
    "run",
    "run_population",
    "state_size",
    "to_state_dict",
]

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_out", "bias_out")
GATES: dict[str, tuple[str, ...]] = {
    "vanilla": ("h",),
    "gru": ("r", "z", "n"),
    "lstm": ("i", "f", "g", "o"),
}
ARCHITECTURES = tuple(GATES)

Weights = Mapping[str, NDArray[Any]]


def check_architecture(architecture: str) -> str:
    """The architecture's name, or an error that lists those there are.

    Examples
    --------
    >>> check_architecture("gru")
    'gru'
    """
    if architecture not in GATES:
        raise SolspaceError(
            f"unknown architecture {architecture!r}; architectures: {', '.join(ARCHITECTURES)}"
        )
    return architecture


def parameter_shapes(
    architecture: str, hidden_size: int, inputs: int, outputs: int
) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter of one network.

    Examples
    --------
    >>> parameter_shapes("gru", 20, inputs=2, outputs=1)["weight_hh"]
    (3, 20, 20)
    """
    gates, n = len(GATES[check_architecture(architecture)]), hidden_size
    return {
        "weight_ih": (gates, n, inputs),
        "weight_hh": (gates, n, n),
        "bias_ih": (gates, n),
        "bias_hh": (gates, n),
        "weight_out": (outputs, n),
        "bias_out": (outputs,),
    }


def hidden_size(weights: Weights) -> int:
    """Number of units of one network."""
    return int(weights["weight_hh"].shape[-1])


def state_size(architecture: str, hidden_size: int) -> int:
    """Length of the state vector: the units, and for an LSTM the cell state after them.

    Examples
    --------
    >>> state_size("lstm", 20)
    40
    """
    return 2 * hidden_size if check_architecture(architecture) == "lstm" else hidden_size


# --------------------------------------------------------------------------- compiled, one network
# The recurrent matrix comes transposed, (presynaptic unit, gate * unit), so that the inner loop
# runs over contiguous memory and vectorises. Work arrays are made once per call.


@njit(cache=True, nogil=True, fastmath={"contract"})
def _drive(x, w_in, bias, out):  # type: ignore[no-untyped-def]
    for u in range(out.size):
        out[u] = bias[u]
    for i in range(x.size):
        if x[i] != 0:
            for u in range(out.size):
                out[u] += w_in[i, u] * x[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_product(h, w, out):  # type: ignore[no-untyped-def]
    for k in range(h.size):
        hk = h[k]
        for u in range(out.size):
            out[u] += w[k, u] * hk


@njit(cache=True, nogil=True)
def _run_vanilla(x, start, w_in, w_rec, bias, states):  # type: ignore[no-untyped-def]
    n = w_rec.shape[0]
    drive = np.empty(n, states.dtype)
    h = np.empty(n, states.dtype)
    for trial in range(x.shape[0]):
        h[:] = start[trial]
        for t in range(x.shape[1]):
            _drive(x[trial, t], w_in, bias, drive)
            _add_product(h, w_rec, drive)
            for u in range(n):
                h[u] = np.tanh(drive[u])
            states[trial, t] = h


@njit(cache=True, nogil=True)
def _run_gru(x, start, w_in, w_rec, bias_in, bias_rec, states):  # type: ignore[no-untyped-def]
    n = w_rec.shape[0]
    one = states.dtype.type(1)
    drive = np.empty(3 * n, states.dtype)
    rec = np.empty(3 * n, states.dtype)
    h = np.empty(n, states.dtype)
    for trial in range(x.shape[0]):
        h[:] = start[trial]
        for t in range(x.shape[1]):
            _drive(x[trial, t], w_in, bias_in, drive)
            rec[:] = bias_rec
            _add_product(h, w_rec, rec)
            for u in range(n):
                r = one / (one + np.exp(-(drive[u] + rec[u])))
                z = one / (one + np.exp(-(drive[n + u] + rec[n + u])))
                new = np.tanh(drive[2 * n + u] + r * rec[2 * n + u])
                h[u] = (one - z) * new + z * h[u]
            states[trial, t] = h


@njit(cache=True, nogil=True)
def _run_lstm(x, start, w_in, w_rec, bias, states):  # type: ignore[no-untyped-def]
    n = w_rec.shape[0]
    one = states.dtype.type(1)
    drive = np.empty(4 * n, states.dtype)
    h = np.empty(n, states.dtype)
    c = np.empty(n, states.dtype)
    for trial in range(x.shape[0]):
        h[:] = start[trial, :n]
        c[:] = start[trial, n:]
        for t in range(x.shape[1]):
            _drive(x[trial, t], w_in, bias, drive)
            _add_product(h, w_rec, drive)
            for u in range(n):
                i = one / (one + np.exp(-drive[u]))
                f = one / (one + np.exp(-drive[n + u]))
                g = np.tanh(drive[2 * n + u])
                o = one / (one + np.exp(-drive[3 * n + u]))
                c[u] = f * c[u] + i * g
                h[u] = o * np.tanh(c[u])
            states[trial, t, :n] = h
            states[trial, t, n:] = c


def run(
    architecture: str,
    weights: Weights,
    inputs: NDArray[Any],
    state: NDArray[Any] | None = None,
    *,
    dtype: Any = np.float64,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Run one network on a set of trials.

    Parameters
    ----------
    architecture : str
    weights : mapping
        One network's parameters, without padding.
    inputs : array (trial, time, input)
    state : array (trial, state), optional
        State before the first step; zero by default. For an LSTM the hidden state and then the
        cell state.
    dtype : dtype
        What is computed in. In float64 the result does not depend on the order of the units
        beyond one part in 10^13 or so.

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
    check_architecture(architecture)
    n = hidden_size(weights)
    x = np.ascontiguousarray(inputs, dtype=dtype)
    trials, time = x.shape[:2]
    size = state_size(architecture, n)
    start = np.zeros((trials, size), dtype) if state is None else np.asarray(state, dtype)
    if start.shape != (trials, size):
        raise SolspaceError(
            f"state of shape {start.shape} for {trials} trials of a {architecture} network "
            f"of {n} units; give ({trials}, {size})"
        )
    flat = {name: _flat(weights[name], dtype) for name in PARAMETERS[:4]}
    w_in = np.ascontiguousarray(flat["weight_ih"].T)
    w_rec = np.ascontiguousarray(flat["weight_hh"].T)
    states = np.empty((trials, time, size), dtype)
    if architecture == "vanilla":
        _run_vanilla(x, start, w_in, w_rec, flat["bias_ih"] + flat["bias_hh"], states)
    elif architecture == "gru":
        _run_gru(x, start, w_in, w_rec, flat["bias_ih"], flat["bias_hh"], states)
    else:
        _run_lstm(x, start, w_in, w_rec, flat["bias_ih"] + flat["bias_hh"], states)
    w_out = np.asarray(weights["weight_out"], dtype)
    output = states[..., :n] @ w_out.T + np.asarray(weights["bias_out"], dtype)
    return states, output


def _flat(parameter: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Gates folded into units, torch's own layout."""
    array = np.asarray(parameter, dtype)
    return np.ascontiguousarray(array.reshape(-1, *array.shape[2:]))


# --------------------------------------------------------------------------- torch, a population


def run_population(
    architecture: str, weights: Mapping[str, Any], inputs: Any, state: Any = None
) -> tuple[Any, Any]:
    """Run many networks at once in torch: on a GPU, or where gradients are wanted.

    The cells are written out as batched products, since torch's ``vmap`` has no rules for its
    own recurrent modules. On a CPU `run` is faster.

    Parameters
    ----------
    architecture : str
    weights : mapping of torch tensors
        A population's parameters, each with a leading network axis, zero past a network's size.
    inputs : tensor (trial, time, input) or (network, trial, time, input)
    state : tensor (network, trial, state), optional
        Zero by default.

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

    check_architecture(architecture)
    w_hh = weights["weight_hh"]
    networks, gates, n = w_hh.shape[0], w_hh.shape[1], w_hh.shape[-1]
    x = inputs if inputs.ndim == 4 else inputs.expand(networks, *inputs.shape)
    trials = x.shape[1]
    w_ih = weights["weight_ih"].flatten(1, 2)
    w_rec = w_hh.flatten(1, 2).transpose(1, 2)
    bias_ih, bias_hh = weights["bias_ih"].flatten(1, 2), weights["bias_hh"].flatten(1, 2)
    drive = torch.einsum("nbti,nui->nbtu", x, w_ih) + bias_ih[:, None, None]
    size = state_size(architecture, n)
    start = w_hh.new_zeros(networks, trials, size) if state is None else state
    h, c = start[..., :n], start[..., n:]
    states = []
    for t in range(x.shape[2]):
        rec = torch.bmm(h, w_rec) + bias_hh[:, None]
        d = drive[:, :, t]
        if architecture == "vanilla":
            h = torch.tanh(d + rec)
        elif architecture == "gru":
            d_r, d_z, d_n = d.chunk(gates, dim=-1)
            r_r, r_z, r_n = rec.chunk(gates, dim=-1)
            z = torch.sigmoid(d_z + r_z)
            h = (1 - z) * torch.tanh(d_n + torch.sigmoid(d_r + r_r) * r_n) + z * h
        else:
            i, f, g, o = (d + rec).chunk(gates, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        states.append(torch.cat([h, c], dim=-1) if architecture == "lstm" else h)
    stacked = torch.stack(states, dim=2)
    output = torch.einsum("nbtu,nou->nbto", stacked[..., :n], weights["weight_out"])
    return stacked, output + weights["bias_out"][:, None, None]


# --------------------------------------------------------------------------- torch's state dicts

# What torch calls each architecture: torch.nn.RNN is one where its nonlinearity is tanh.
_MODULES = {"vanilla": "RNN", "gru": "GRU", "lstm": "LSTM"}
_RECURRENT = {
    "weight_ih": "weight_ih_l0",
    "weight_hh": "weight_hh_l0",
    "bias_ih": "bias_ih_l0",
    "bias_hh": "bias_hh_l0",
}


def read_state_dict(path: str) -> dict[str, Any]:
    """A torch state dict from a file, without running any code the file may carry.

    Raises
    ------
    SolspaceError
        Where the file is missing, truncated, no state dict, or a pickle of anything but tensors.
    """
    import pickle
    import zipfile

    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SolspaceError(f"{path}: no such file; give torch state dicts (.pt)") from None
    except (pickle.UnpicklingError, AttributeError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise SolspaceError(
            f"{path}: not loaded, it is no plain torch state dict and unpickling it could run "
            f"code ({reason[:160]}); save it again with torch.save(model.state_dict(), path)"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().split("\n")[0]
        raise SolspaceError(
            f"{path}: cannot be read, truncated or no torch file ({reason[:160]}); "
            "save it again with torch.save(model.state_dict(), path)"
        ) from None
    if not isinstance(loaded, Mapping):
        raise SolspaceError(
            f"{path}: holds a {type(loaded).__name__}, not a state dict; "
            "save torch.save(model.state_dict(), path)"
        )
    if not any(hasattr(value, "shape") for value in loaded.values()):
        # A checkpoint: {"epoch": 7, "model_state_dict": {...}, "optimizer": {...}}.
        inner = [
            value
            for value in loaded.values()
            if isinstance(value, Mapping) and any(str(k).endswith("weight_hh_l0") for k in value)
        ]
        if len(inner) != 1:
            raise SolspaceError(
                f"{path}: holds no state dict of a recurrent network (keys: "
                f"{', '.join(map(str, loaded)) or 'none'}); save "
                "torch.save(model.state_dict(), path)"
            )
        loaded = inner[0]
    return dict(loaded)


def from_state_dict(
    state_dict: Mapping[str, Any],
    architecture: str,
    *,
    inputs: int,
    outputs: int,
    source: str = "state dict",
) -> dict[str, NDArray[np.float32]]:
    """One network's parameters from a torch state dict, whatever its modules were called.

    Parameters
    ----------
    state_dict : mapping of str to tensor or array
        With ``...weight_ih_l0``, ``...weight_hh_l0``, ``...bias_ih_l0``, ``...bias_hh_l0`` under
        any prefix (``rnn.``, ``rnn.rnn.``, ``module.rnn.``) and one linear readout, any name's
        ``.weight`` and ``.bias``. Tensors may lie on a GPU. The parameters of this package
        under their own names (see `PARAMETERS`) are taken too.
    architecture : str
        A state dict cannot say its nonlinearity, nor the state it is run from: ``vanilla`` means
        tanh, and every network starts from zero. `from_module` looks at the nonlinearity.
    inputs, outputs : int
        The task's channels.
    source : str
        Named in errors.

    Returns
    -------
    dict of arrays, float32

    Raises
    ------
    SolspaceError
        Where a parameter is missing or has another shape (shapes found and expected are named),
        or would be ignored, such as a learned initial state; where a key is no name, or a
        value no dense array of finite real numbers.

    Examples
    --------
    >>> import torch
    >>> class Model(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.rnn = torch.nn.GRU(2, 8, batch_first=True)
    ...         self.fc = torch.nn.Linear(8, 1)
    >>> weights = from_state_dict(Model().state_dict(), "gru", inputs=2, outputs=1)
    >>> weights["weight_hh"].shape
    (3, 8, 8)
    """
    arrays = _arrays(state_dict, source)
    found = "; ".join(f"{key} {tuple(value.shape)}" for key, value in arrays.items()) or "nothing"
    check_architecture(architecture)
    if set(PARAMETERS) <= set(arrays):
        picked = {name: arrays[name] for name in PARAMETERS}
        _refuse_ignored(set(arrays) - set(PARAMETERS), source, found)
    else:
        picked, keys = {}, {}
        for name, torch_name in _RECURRENT.items():
            matches = [k for k in arrays if k == torch_name or k.endswith("." + torch_name)]
            if len(matches) != 1:
                raise SolspaceError(
                    f"{source}: {len(matches)} parameters end in {torch_name!r}, expected 1 "
                    f"(one layer, one direction); found: {found}"
                )
            keys[name] = matches[0]
            picked[name] = arrays[keys[name]]
        prefixes = {k.removesuffix(_RECURRENT[name]) for name, k in keys.items()}
        rest = [k for k in arrays if k not in keys.values()]
        extra = [k for k in rest if "_l" in k.rsplit(".", 1)[-1]]
        readouts = [k.rsplit(".", 1)[0] for k in rest if k.endswith(".weight")]
        if extra or len(prefixes) > 1 or len(readouts) != 1 or f"{readouts[0]}.bias" not in arrays:
            raise SolspaceError(
                f"{source}: expected one recurrent layer and one linear readout "
                f"(NAME.weight, NAME.bias); found: {found}"
            )
        weight, bias = f"{readouts[0]}.weight", f"{readouts[0]}.bias"
        _refuse_ignored(set(rest) - {weight, bias}, source, found)
        picked |= {"weight_out": arrays[weight], "bias_out": arrays[bias]}
    return _fitted(picked, architecture, inputs=inputs, outputs=outputs, source=source, found=found)


def from_module(
    module: Any, architecture: str, *, inputs: int, outputs: int, source: str = "module"
) -> dict[str, NDArray[np.float32]]:
    """One network's parameters from a torch module, which says more than its state dict.

    Its nonlinearity, layers and directions are looked at, and that nothing else in it computes.
    Where the recurrent layer or the readout has no bias, the bias is zero. What ``forward`` does
    between them cannot be seen: look at the loss of what is imported.

    Parameters
    ----------
    module : torch.nn.Module
        With one ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` (either ``batch_first``) and one
        ``nn.Linear``, the readout.
    architecture, inputs, outputs, source
        As for `from_state_dict`.

    Returns
    -------
    dict of arrays, float32

    Raises
    ------
    SolspaceError
        Where it is another architecture or nonlinearity, has several layers or directions, or
        holds modules or parameters that would be ignored, such as a learned initial state.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> from_module(model, "vanilla", inputs=2, outputs=1)["weight_hh"].shape
    (1, 8, 8)
    """
    from torch import nn

    check_architecture(architecture)
    named = {name or "itself": part for name, part in module.named_modules()}
    layers = {n: m for n, m in named.items() if isinstance(m, nn.RNNBase)}
    readouts = {n: m for n, m in named.items() if isinstance(m, nn.Linear)}
    if len(layers) != 1 or len(readouts) != 1:
        there = "; ".join(f"{n} {type(m).__name__}" for n, m in named.items() if n != "itself")
        raise SolspaceError(
            f"{source}: {len(layers)} of nn.RNN, nn.GRU and nn.LSTM and {len(readouts)} of "
            f"nn.Linear, expected one recurrent layer and one linear readout; found: "
            f"{there or type(module).__name__}"
        )
    ((at, layer),), ((end, readout),) = layers.items(), readouts.items()
    is_a = next(
        (n for n, kind in _MODULES.items() if isinstance(layer, getattr(nn, kind))), "unknown"
    )
    if is_a != architecture:
        raise SolspaceError(
            f"{source}: {at} is an nn.{type(layer).__name__}, architecture {is_a}; "
            f"{architecture} was asked for"
        )
    # What computes nothing in a trained network may stay, such as dropout or a loss.
    silent = (nn.Dropout, nn.Identity, nn.modules.loss._Loss)
    ignored = [
        f"{n} {type(m).__name__}"
        for n, m in named.items()
        if m not in (layer, readout) and not any(m.children()) and not isinstance(m, silent)
    ]
    refused = [
        (getattr(layer, "nonlinearity", "tanh") != "tanh", "its nonlinearity is {nonlinearity}"),
        (layer.num_layers != 1, "it has {num_layers} layers, expected 1"),
        (layer.bidirectional, "it runs in two directions, expected 1"),
        (layer.proj_size != 0, "its state is projected to {proj_size}, expected no projection"),
    ]
    faults = [f"{at}: {text.format(**vars(layer))}" for wrong, text in refused if wrong]
    faults += [f"{name} would be ignored" for name in ignored]
    if faults:
        raise SolspaceError(
            f"{source}: not a {architecture} network: {'; '.join(faults)}; give a network of one "
            "tanh layer in one direction, from zero, and one linear readout"
        )
    arrays = _arrays(dict(module.state_dict()), source)
    found = "; ".join(f"{key} {tuple(value.shape)}" for key, value in arrays.items())
    prefix, out = ("" if n == "itself" else f"{n}." for n in (at, end))
    torch_names = {k: prefix + v for k, v in _RECURRENT.items()}
    torch_names |= {"weight_out": f"{out}weight", "bias_out": f"{out}bias"}
    # The same tensor may go by two names, such as a layer that is also in a list.
    mine = {id(p) for p in (*layer.parameters(), *readout.parameters())}
    others = {n for n, p in module.named_parameters() if id(p) not in mine}
    others |= {n for n, _ in module.named_buffers() if n in arrays}
    _refuse_ignored(others, source, found)
    gates = len(GATES[architecture])
    without = {} if layer.bias else dict.fromkeys(("bias_ih", "bias_hh"), gates * layer.hidden_size)
    without |= {"bias_out": readout.out_features} if readout.bias is None else {}
    picked = {
        name: np.zeros(without[name], np.float32) if name in without else arrays[key]
        for name, key in torch_names.items()
        if name in without or key in arrays
    }
    if missing := [key for name, key in torch_names.items() if name not in picked]:
        raise SolspaceError(f"{source}: has no {', '.join(missing)}; found: {found}")
    return _fitted(picked, architecture, inputs=inputs, outputs=outputs, source=source, found=found)


def read_network(
    given: Any, architecture: str, *, inputs: int, outputs: int, source: str
) -> dict[str, NDArray[np.float32]]:
    """One network's parameters from a torch module (`from_module`) or a mapping of arrays.

    Raises
    ------
    SolspaceError
        Where it is neither, or does not fit (see `from_module` and `from_state_dict`).

    Examples
    --------
    >>> read_network([1, 2], "gru", inputs=2, outputs=1, source="mine")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: mine: a list; give a torch module, its state dict or ...
    """
    import sys

    read: Any = from_state_dict
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(given, torch.nn.Module):
        read = from_module
    weights: dict[str, NDArray[np.float32]] = read(
        given, architecture, inputs=inputs, outputs=outputs, source=source
    )
    return weights


def _refuse_ignored(names: Iterable[str], source: str, found: str) -> None:
    """What has no place in the equations changes what a network does; an error names it."""
    if names := sorted(names):
        raise SolspaceError(
            f"{source}: {', '.join(names)} would be ignored: a network is one recurrent layer, "
            "run from a state of zero, and one linear readout; leave out what its equations do "
            f"not need; found: {found}"
        )


def _fitted(
    picked: Mapping[str, NDArray[Any]],
    architecture: str,
    *,
    inputs: int,
    outputs: int,
    source: str,
    found: str,
) -> dict[str, NDArray[np.float32]]:
    """Parameters as they are kept, or an error where one has another shape or is not finite."""
    gates = len(GATES[architecture])
    n = int(picked["weight_hh"].shape[-1]) if picked["weight_hh"].ndim else 0
    if picked["weight_hh"].ndim and not n:
        raise SolspaceError(f"{source}: a network of hidden size 0; give one of 1 or more units")
    shapes = parameter_shapes(architecture, n, inputs, outputs)
    weights: dict[str, NDArray[np.float32]] = {}
    for name, shape in shapes.items():
        flat = (gates * n, *shape[2:]) if name in _RECURRENT else shape
        if picked[name].shape not in (shape, flat):
            raise SolspaceError(
                f"{source}: does not fit a {architecture} network with {inputs} inputs and "
                f"{outputs} outputs: {_RECURRENT.get(name, name)} is {picked[name].shape}, "
                f"expected {flat} for {n} units; found: {found}"
            )
        with np.errstate(over="ignore"):  # infinite in float32 is said below
            weights[name] = np.ascontiguousarray(picked[name].reshape(shape), dtype=np.float32)
        if not np.isfinite(weights[name]).all():
            raise SolspaceError(f"{source}: {_RECURRENT.get(name, name)} holds NaN or infinity")
    return weights


def to_state_dict(
    weights: Weights, *, prefix: str = "rnn.", readout: str = "fc."
) -> dict[str, Any]:
    """One network's parameters as a torch state dict, the reverse of `from_state_dict`.

    Examples
    --------
    >>> shapes = parameter_shapes("lstm", 4, inputs=2, outputs=1)
    >>> weights = {name: np.zeros(shape, "float32") for name, shape in shapes.items()}
    >>> to_state_dict(weights)["rnn.weight_hh_l0"].shape
    torch.Size([16, 4])
    """
    import torch

    out = {
        prefix + torch_name: torch.from_numpy(_flat(weights[name], np.float32).copy())
        for name, torch_name in _RECURRENT.items()
    }
    for name, torch_name in (("weight_out", "weight"), ("bias_out", "bias")):
        out[readout + torch_name] = torch.from_numpy(np.array(weights[name], dtype=np.float32))
    return out


def _arrays(state_dict: Any, source: str) -> dict[str, NDArray[Any]]:
    """Every entry as an array of real numbers, or an error that names the one that is none."""
    if not isinstance(state_dict, Mapping):
        raise SolspaceError(
            f"{source}: a {type(state_dict).__name__}; give a torch module, its state dict or "
            f"a mapping of the arrays {', '.join(PARAMETERS)}"
        )
    if wrong := [key for key in state_dict if not isinstance(key, str)]:
        raise SolspaceError(
            f"{source}: keys of a state dict are names of parameters, such as 'rnn.weight_hh_l0'; "
            f"found {wrong[0]!r} ({type(wrong[0]).__name__})"
        )
    return {key: _to_numpy(value, f"{source}: {key}") for key, value in state_dict.items()}


def _to_numpy(value: Any, where: str) -> NDArray[Any]:
    what = f"{type(value).__name__} of {getattr(value, 'dtype', 'no dtype')}"
    if hasattr(value, "detach"):
        layout = str(getattr(value, "layout", "torch.strided")).removeprefix("torch.")
        if layout != "strided" or value.is_quantized or value.is_meta:
            kind = layout if layout != "strided" else "quantized or without values"
            raise SolspaceError(f"{where} is {kind}; give a dense tensor of real numbers")
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()  # exact; NumPy has no such dtype
        try:
            value = value.numpy()
        except (TypeError, RuntimeError):
            value = None
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiu":
        raise SolspaceError(f"{where} is no array of real numbers but a {what}; give float32")
    return array
