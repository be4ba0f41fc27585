"""Networks from torch: files, state dicts and modules; what would be ignored is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.networks.base import PARAMETERS, Architecture, Weights
from solspace.networks.registry import architecture_names, get_architecture, recurrent_architecture
from solspace.networks.running import check_given, parameter_shapes

__all__ = [
    "check_options",
    "from_module",
    "from_state_dict",
    "read_network",
    "read_state_dict",
    "to_state_dict",
]

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
    parameters: Mapping[str, ArrayLike] | None = None,
) -> dict[str, NDArray[Any]]:
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
    parameters : mapping, optional
        What the architecture has beyond the six and the state dict does not say, such as
        ``{"alpha": 0.2}`` of a leaky network. In a state dict it goes by its own name.

    Returns
    -------
    dict of arrays
        float32; float64 what is given and not trained.

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
    record = recurrent_architecture(architecture)
    if record.read is not None:
        arrays = _read_own(record, arrays, source, found)
    further = _further(record, arrays, parameters or {}, source)
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
    picked |= further
    return _fitted(picked, record, inputs=inputs, outputs=outputs, source=source, found=found)


def from_module(
    module: Any,
    architecture: str,
    *,
    inputs: int,
    outputs: int,
    source: str = "module",
    parameters: Mapping[str, ArrayLike] | None = None,
) -> dict[str, NDArray[Any]]:
    """One network's parameters from a torch module, which says more than its state dict.

    Its nonlinearity, layers and directions are looked at, and that nothing else in it computes.
    Where the recurrent layer or the readout has no bias, the bias is zero. What ``forward`` does
    between them cannot be seen: look at the loss of what is imported.

    Parameters
    ----------
    module : torch.nn.Module
        With one ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` (either ``batch_first``) and one
        ``nn.Linear``, the readout.
    architecture, inputs, outputs, source, parameters
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

    record = recurrent_architecture(architecture)
    if record.torch_module is None:
        raise SolspaceError(
            f"{source}: no module of torch's is a {architecture} network; give its state dict or "
            f"the arrays {', '.join(record.parameter_names)} (and what its forward does besides "
            "is to be what `solspace.networks` says)"
        )
    check_options(architecture, None, parameters or {})
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
    is_a = [name for name in architecture_names("recurrent") if _same_module(name, layer)]
    if architecture not in is_a:
        nonlinearity = getattr(layer, "nonlinearity", "")
        what = f"nn.{type(layer).__name__}" + f" whose nonlinearity is {nonlinearity}" * bool(
            nonlinearity
        )
        raise SolspaceError(
            f"{source}: {at} is an {what}, architecture {' or '.join(is_a) or 'unknown'}; "
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
        (layer.num_layers != 1, "it has {num_layers} layers, expected 1"),
        (layer.bidirectional, "it runs in two directions, expected 1"),
        (layer.proj_size != 0, "its state is projected to {proj_size}, expected no projection"),
    ]
    faults = [f"{at}: {text.format(**vars(layer))}" for wrong, text in refused if wrong]
    faults += [f"{name} would be ignored" for name in ignored]
    if faults:
        raise SolspaceError(
            f"{source}: not a {architecture} network: {'; '.join(faults)}; give a network of one "
            "layer in one direction, from zero, and one linear readout"
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
    gates = len(record.gates)
    without = {} if layer.bias else dict.fromkeys(("bias_ih", "bias_hh"), gates * layer.hidden_size)
    without |= {"bias_out": readout.out_features} if readout.bias is None else {}
    picked = {
        name: np.zeros(without[name], np.float32) if name in without else arrays[key]
        for name, key in torch_names.items()
        if name in without or key in arrays
    }
    if missing := [key for name, key in torch_names.items() if name not in picked]:
        raise SolspaceError(f"{source}: has no {', '.join(missing)}; found: {found}")
    return _fitted(picked, record, inputs=inputs, outputs=outputs, source=source, found=found)


def _same_module(name: str, layer: Any) -> bool:
    """Whether a layer of torch's is a network of an architecture."""
    from torch import nn

    module = get_architecture(name).torch_module
    return (
        module is not None
        and isinstance(layer, getattr(nn, module.name))
        and all(getattr(layer, k, None) == value for k, value in module.options.items())
    )


def check_options(
    architecture: str, nonlinearity: str | None, parameters: Mapping[str, ArrayLike]
) -> None:
    """An error where what is said about networks is not so of their architecture.

    Examples
    --------
    >>> check_options("relu", "relu", {})
    >>> check_options("vanilla", "relu", {})
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nonlinearity 'relu': that of vanilla networks is 'tanh'; ...
    """
    record = recurrent_architecture(architecture)
    every = [get_architecture(name) for name in architecture_names("recurrent")]
    if nonlinearity is not None and nonlinearity != record.nonlinearity:
        same = [r.name for r in every if r.nonlinearity == nonlinearity and r.gates == record.gates]
        raise SolspaceError(
            f"nonlinearity {nonlinearity!r}: that of {architecture} networks is "
            f"{record.nonlinearity!r}; architectures with {nonlinearity}: "
            f"{', '.join(same) or 'none'}"
        )
    has = {p.name: p for p in record.parameters}
    for name, value in parameters.items():
        if name not in has:
            with_it = [r.name for r in every if name in [p.name for p in r.parameters]]
            raise SolspaceError(
                f"{architecture} networks have no {name!r}, only "
                f"{', '.join(has) or 'weights and biases'}; architectures with {name}: "
                f"{', '.join(with_it) or 'none'}"
            )
        check_given(architecture, has[name], value)


def _read_own(
    record: Architecture, arrays: dict[str, NDArray[Any]], source: str, found: str
) -> dict[str, NDArray[Any]]:
    """A state dict under names of the architecture's own, by its own names."""
    assert record.read is not None
    try:
        own = record.read(dict(arrays))
    except (KeyError, IndexError, ValueError) as error:
        raise SolspaceError(
            f"{source}: the reader of {record.name} networks cannot read it "
            f"({type(error).__name__}: {error}); found: {found}"
        ) from None
    return _arrays(own, source)


def _further(
    record: Architecture,
    arrays: dict[str, NDArray[Any]],
    parameters: Mapping[str, ArrayLike],
    source: str,
) -> dict[str, NDArray[Any]]:
    """What the architecture has beyond the six, taken out of ``arrays`` or as it is given."""
    check_options(record.name, None, parameters)
    out = {}
    for p in record.parameters:
        keys = [k for k in arrays if k == p.name or k.endswith("." + p.name)]
        if len(keys) > 1:
            raise SolspaceError(f"{source}: {', '.join(keys)} are all named {p.name}; give one")
        known = [arrays.pop(key) for key in keys]
        if p.name in parameters:
            known.append(np.asarray(parameters[p.name], np.float64))
        if not known:
            raise SolspaceError(
                f"{source}: a {record.name} network needs {p.name} ({p.meaning}), and it holds "
                f"none; give --{p.name} VALUE, or {p.name}=VALUE to import_networks"
            )
        # One number may come in a tensor of one element.
        known = [value.reshape(()) if not p.dims and value.size == 1 else value for value in known]
        if len(known) > 1 and (
            known[0].shape != known[1].shape or not np.allclose(known[0], known[1], rtol=1e-5)
        ):
            raise SolspaceError(
                f"{source}: {p.name} is {known[0]} in it and {known[1]} is given; leave one out"
            )
        out[p.name] = known[0]
        if known[0].shape == () or known[0].size:
            check_given(record.name, p, known[0])
    return out


def read_network(
    given: Any,
    architecture: str,
    *,
    inputs: int,
    outputs: int,
    source: str,
    parameters: Mapping[str, ArrayLike] | None = None,
) -> dict[str, NDArray[Any]]:
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
    weights: dict[str, NDArray[Any]] = read(
        given, architecture, inputs=inputs, outputs=outputs, source=source, parameters=parameters
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
    record: Architecture,
    *,
    inputs: int,
    outputs: int,
    source: str,
    found: str,
) -> dict[str, NDArray[Any]]:
    """Parameters as they are kept, or an error where one has another shape or is not finite."""
    gates = len(record.gates)
    given = {p.name for p in record.given}
    n = int(picked["weight_hh"].shape[-1]) if picked["weight_hh"].ndim else 0
    if picked["weight_hh"].ndim and not n:
        raise SolspaceError(f"{source}: a network of hidden size 0; give one of 1 or more units")
    shapes = parameter_shapes(record, n, inputs, outputs)
    weights: dict[str, NDArray[Any]] = {}
    for name, shape in shapes.items():
        flat = (gates * n, *shape[2:]) if name in _RECURRENT else shape
        if picked[name].shape not in (shape, flat):
            raise SolspaceError(
                f"{source}: does not fit a {record.name} network with {inputs} inputs and "
                f"{outputs} outputs: {_RECURRENT.get(name, name)} is {picked[name].shape}, "
                f"expected {flat} for {n} units; found: {found}"
            )
        with np.errstate(over="ignore"):  # infinite in float32 is said below
            dtype = np.float64 if name in given else np.float32
            weights[name] = np.array(picked[name].reshape(shape), dtype=dtype, order="C")
        if not np.isfinite(weights[name]).all():
            raise SolspaceError(f"{source}: {_RECURRENT.get(name, name)} holds NaN or infinity")
    return weights


def _flat(parameter: NDArray[Any]) -> NDArray[np.float32]:
    """Gates folded into units, torch's own layout."""
    array = np.array(parameter, np.float32, order="C")
    return array.reshape(-1, *array.shape[2:])


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
        prefix + torch_name: torch.from_numpy(_flat(weights[name]))
        for name, torch_name in _RECURRENT.items()
    }
    for name, torch_name in (("weight_out", "weight"), ("bias_out", "bias")):
        out[readout + torch_name] = torch.from_numpy(np.array(weights[name], dtype=np.float32))
    for name in weights:
        if name not in PARAMETERS:
            out[prefix + name] = torch.from_numpy(np.array(weights[name]))
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
