"""Which of a network's arrays is what: recurrent layer, readout, encoder, a start.

Arrays are told apart by what they are (shapes, and the names torch gives inside a layer), never by
what their modules are called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.networks.base import PARAMETERS, START, Architecture

__all__ = ["LAYER", "linear_layers", "pick"]

LAYER = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_BIASES = ("bias_ih", "bias_hh")
# What the state before the first step is called, the hidden state of an RNN and the cell state.
_STARTS = {
    "activity": ("h0", "h_0", "h_init", "init_h", "initial_h", "hidden0", "hidden_init",
                 "init_hidden", "initial_hidden", "state0", "init_state", "initial_state"),
    "cell_state": ("c0", "c_0", "c_init", "init_c", "initial_c", "cell0", "cell_init",
                   "init_cell", "initial_cell"),
}  # fmt: skip
_ALLOWED = (
    "a network is one recurrent layer and one linear readout, with a linear encoder before and a "
    "learned state to start from (such as h0, one number a unit) where it has them"
)

Arrays = dict[str, NDArray[Any]]


def pick(
    arrays: Arrays,
    record: Architecture,
    *,
    inputs: int,
    outputs: int,
    source: str,
    found: str,
    readout: str | None = None,
) -> Arrays:
    """The six parameters and the start of one network, of all its arrays.

    Biases that are not there are zero, as torch leaves them out with ``bias=False``. A linear
    encoder is folded into the input weights and their bias, which is exact.

    Raises
    ------
    SolspaceError
        Where one is missing, it cannot be told which is which, or one would be left over.
    """
    rest = dict(arrays)
    if {"weight_ih", "weight_hh", "weight_out"} <= set(rest):
        names = record.parameter_names if record.base else PARAMETERS
        picked = {name: rest.pop(name) for name in names if name in rest}
        _both_biases(picked, {n: n for n in _BIASES}, source, found)
    elif layer := _layer_keys(rest, record, source, found):
        picked = {name: rest.pop(key) for name, key in layer.items() if key in rest}
        _both_biases(picked, layer, source, found)
        picked |= _upper_layers(rest, layer, record, source, found)
        if record.readout is None:
            picked |= _around(rest, picked, inputs, outputs, source, found, readout)
        else:
            picked |= _two_readouts(rest, picked, record, outputs, source, found)
    else:
        picked = _of_linear_layers(rest, record, inputs, outputs, source, found, readout)
    size = picked["weight_hh"].shape[-1] if picked["weight_hh"].ndim else 0
    picked |= _start(rest, record, size, source)
    if rest:
        upper = [k for k in rest if k.rpartition(".")[2] == f"weight_hh_l{record.layers}"]
        more = f" (of two layers: --architecture {record.base or record.name}_2layers, and so on)"
        raise SolspaceError(
            f"{source}: {', '.join(sorted(rest))} would be ignored, expected one recurrent layer "
            f"and one linear readout{more if upper else ''}: {_ALLOWED}; leave out what its "
            f"equations do not need; found: {found}"
        )
    rows = picked["weight_hh"].shape[:-1]
    for name in _BIASES:
        picked.setdefault(name, np.zeros(rows, np.float32))
    picked.setdefault("bias_out", np.zeros(picked["weight_out"].shape[:1], np.float32))
    return picked


def _layer_keys(
    arrays: Arrays, record: Architecture, source: str, found: str
) -> dict[str, str] | None:
    """Keys of the one recurrent layer of torch's; None where there are plain linear layers."""
    keys = [k for k in arrays if k.rpartition(".")[2] in ("weight_hh_l0", "weight_hh")]
    linear = linear_layers(arrays)
    if not keys and len(record.gates) == 1 and len(linear) >= 3:
        return None
    if len(keys) != 1:
        raise SolspaceError(
            f"{source}: {len(keys)} parameters end in 'weight_hh_l0' or 'weight_hh', expected 1 "
            f"(one layer, one direction); arrays under other names are to be called "
            f"{', '.join(PARAMETERS)}; found: {found}"
        )
    before, _, name = keys[0].rpartition(".")
    prefix, suffix = f"{before}." if before else "", name.removeprefix("weight_hh")
    out = {name: f"{prefix}{name}{suffix}" for name in LAYER}
    if out["weight_ih"] not in arrays:
        raise SolspaceError(
            f"{source}: 0 parameters end in {f'weight_ih{suffix}'!r}, expected 1 beside "
            f"{keys[0]}; found: {found}"
        )
    return out


def _both_biases(
    picked: Mapping[str, Any], keys: Mapping[str, str], source: str, found: str
) -> None:
    """A layer has both biases or none; with one alone something was lost."""
    there = [name for name in _BIASES if name in picked]
    if len(there) == 1:
        (missing,) = (keys[name].rpartition(".")[2] for name in _BIASES if name not in picked)
        raise SolspaceError(
            f"{source}: 0 parameters end in {missing!r}, expected 1 beside {keys[there[0]]} (both "
            f"biases or none; give zeros where the network has one bias); found: {found}"
        )


def linear_layers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Weights of what look like linear layers, by the layer's name.

    Examples
    --------
    >>> list(linear_layers({"fc.weight": np.ones((1, 5)), "fc.bias": np.ones(1)}))
    ['fc']
    """
    return {
        key.removesuffix(".weight"): value
        for key, value in arrays.items()
        if key.endswith(".weight") and value.ndim == 2
    }


def _take(arrays: Arrays, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Weight and bias of a linear layer, taken out; a bias of another length stays and is told."""
    weight = arrays.pop(f"{name}.weight")
    bias = arrays.get(f"{name}.bias")
    if bias is not None and bias.shape == weight.shape[:1]:
        return weight, arrays.pop(f"{name}.bias")
    return weight, None


def _choose(
    fits: Sequence[tuple[str, ...]], readout: str | None, source: str, found: str
) -> tuple[str, ...]:
    """The one way to tell linear layers apart; the last of each is the readout."""
    if len(fits) > 1 and readout is None:
        raise SolspaceError(
            f"{source}: which linear layer is the readout cannot be told from shapes "
            f"({', '.join(sorted({one[-1] for one in fits}))} may be); give --readout NAME, or "
            f"readout=NAME to import_networks; found: {found}"
        )
    if len(fits) != 1:
        raise SolspaceError(
            f"{source}: expected one recurrent layer and one linear readout (NAME.weight, "
            f"NAME.bias): {_ALLOWED}"
            + (f"; readout {readout!r} is asked for" if readout is not None else "")
            + ("; which layer is which cannot be told from shapes" if fits else "")
            + "; a readout with a hidden layer is of an architecture such as gru_relu_readout"
            + f", else give arrays called {', '.join(PARAMETERS)}; found: {found}"
        )
    return fits[0]


def _around(
    rest: Arrays, layer: Arrays, inputs: int, outputs: int, source: str, found: str,
    readout: str | None,
) -> Arrays:  # fmt: skip
    """The readout, and input weights with the encoder in them where there is one."""
    linear = linear_layers(rest)
    size, into = (layer[n].shape[-1] if layer[n].ndim else 0 for n in ("weight_hh", "weight_ih"))
    out: Arrays = {}
    if len(linear) <= 1:
        fits: list[tuple[str, ...]] = [(name,) for name in linear if readout in (None, name)]
    else:
        fits = [
            (first, last)
            for first, last in permutations(linear, 2)
            if linear[first].shape == (into, inputs) and linear[last].shape == (outputs, size)
            and len(linear) == 2 and readout in (None, last)
        ]  # fmt: skip
    names = _choose(fits, readout, source, found)
    if len(names) == 2:
        out |= _folded(layer, *_take(rest, names[0]))
    out["weight_out"], bias = _take(rest, names[-1])
    return out | ({} if bias is None else {"bias_out": bias})


def _upper_layers(
    rest: Arrays, layer: Mapping[str, str], record: Architecture, source: str, found: str
) -> Arrays:
    """The layers above the first, as torch calls them."""
    out: Arrays = {}
    for i in range(2, record.layers + 1):
        keys = {name: f"{key.removesuffix('_l0')}_l{i - 1}" for name, key in layer.items()}
        if keys["weight_hh"] not in rest or keys["weight_ih"] not in rest:
            raise SolspaceError(
                f"{source}: has no {keys['weight_hh']}, a {record.name} network has "
                f"{record.layers} layers; found: {found}"
            )
        own = {name: rest.pop(key) for name, key in keys.items() if key in rest}
        _both_biases(own, keys, source, found)
        for name in _BIASES:
            own.setdefault(name, np.zeros(own["weight_hh"].shape[:1], np.float32))
        out |= {f"{name}_layer{i}": value for name, value in own.items()}
    return out


def _two_readouts(
    rest: Arrays, layer: Arrays, record: Architecture, outputs: int, source: str, found: str
) -> Arrays:
    """A readout with a hidden layer: two linear ones, the second reading the first."""
    linear = linear_layers(rest)
    size = layer["weight_hh"].shape[-1]
    fits = [
        (first, last)
        for first, last in permutations(linear, 2)
        if linear[first].shape[1] == size
        and linear[last].shape == (outputs, len(linear[first]))
        and len(linear) == 2
    ]
    if len(fits) != 1:
        raise SolspaceError(
            f"{source}: expected a readout of two linear layers for a {record.name} network, from "
            f"{size} units to hidden ones and from those to {outputs} outputs; found: {found}"
        )
    ((first, last),) = fits
    hidden = len(linear[first])
    if hidden > size:
        raise SolspaceError(
            f"{source}: a readout of {hidden} hidden units, at most as many as the network has "
            f"({size}) are taken; found: {found}"
        )
    # Hidden units that are not there are silent ones.
    (w, b), (w_out, b_out) = _take(rest, first), _take(rest, last)
    out: Arrays = {
        "weight_readout": np.zeros((size, size), np.float32),
        "bias_readout": np.zeros(size, np.float32),
        "weight_out": np.zeros((outputs, size), np.float32),
    }
    out["weight_readout"][:hidden] = w
    out["bias_readout"][:hidden] = 0 if b is None else b
    out["weight_out"][:, :hidden] = w_out
    return out | ({} if b_out is None else {"bias_out": b_out})


def _folded(layer: Arrays, weight: NDArray[Any], bias: NDArray[Any] | None) -> Arrays:
    """Input weights of a layer that reads a linear encoder: V (E x + e) = (V E) x + V e."""
    w_in = layer["weight_ih"].astype(np.float64)
    out: Arrays = {"weight_ih": w_in @ weight}
    if bias is not None:
        zero = np.zeros(w_in.shape[:-1])
        out["bias_ih"] = layer.get("bias_ih", zero) + w_in @ bias
        out["bias_hh"] = layer.get("bias_hh", zero)
    return out


def _of_linear_layers(
    rest: Arrays, record: Architecture, inputs: int, outputs: int, source: str, found: str,
    readout: str | None,
) -> Arrays:  # fmt: skip
    """A layer written as two linear ones, from the input and from the state, and the readout."""
    linear = linear_layers(rest)
    fits = [
        (into, across, last)
        for into, across, last in permutations(linear, 3)
        if linear[across].shape[0] == linear[across].shape[1]
        and linear[into].shape == (len(linear[across]), inputs)
        and linear[last].shape == (outputs, len(linear[across]))
        and len(linear) == 3
        and readout in (None, last)
    ]
    names = _choose(fits, readout, source, found)
    out: Arrays = {}
    for name, part in zip(names, ("ih", "hh", "out"), strict=True):
        out[f"weight_{part}"], bias = _take(rest, name)
        out[f"bias_{part}"] = np.zeros(len(linear[name]), np.float32) if bias is None else bias
    return out


def _start(rest: Arrays, record: Architecture, size: int, source: str) -> Arrays:
    """The state before the first step, where it is learned; zero is not kept."""
    out: Arrays = {}
    for part in record.state:
        names = (*_STARTS.get(part.name, ()), START + part.name)
        keys = [k for k in rest if k.rpartition(".")[2] in names and rest[k].size == size]
        if len(keys) > 1:
            raise SolspaceError(
                f"{source}: {', '.join(keys)} may each be the {part.meaning} to start from; "
                f"leave one, called {START + part.name}"
            )
        for key in keys:
            out[START + part.name] = rest.pop(key).reshape(-1)
    # One alone would be half a state; a zero one is what every network starts from.
    if not any(value.any() for value in out.values()):
        return {}
    return {
        START + part.name: out.get(START + part.name, np.zeros(size, np.float32))
        for part in record.state
    }
