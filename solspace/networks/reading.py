"""Networks from torch: state dicts, arrays and modules; what would be ignored is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError
from solspace.networks.base import PARAMETERS, START, Architecture, Weights
from solspace.networks.composed import composed_name
from solspace.networks.files import MOST_VALUES
from solspace.networks.parts import pick
from solspace.networks.registry import architecture_names, get_architecture, recurrent_architecture
from solspace.networks.running import check_given, parameter_shapes

__all__ = [
    "check_options",
    "from_module",
    "from_state_dict",
    "is_module",
    "read_network",
    "to_state_dict",
]

_RECURRENT = {
    "weight_ih": "weight_ih_l0",
    "weight_hh": "weight_hh_l0",
    "bias_ih": "bias_ih_l0",
    "bias_hh": "bias_hh_l0",
}


_MORE = "anything else comes in by its step and readout, see solspace.networks.stepped_architecture"


def from_state_dict(
    state_dict: Mapping[str, Any],
    architecture: str,
    *,
    inputs: int,
    outputs: int,
    source: str = "state dict",
    parameters: Mapping[str, ArrayLike] | None = None,
    readout: str | None = None,
) -> dict[str, NDArray[Any]]:
    """One network's parameters from a torch state dict, whatever its modules were called.

    Parameters
    ----------
    state_dict : mapping of str to tensor or array
        Under any prefix ``weight_ih_l0``, ``weight_hh_l0`` and either both biases or none (those of
        cells are called ``weight_ih`` and so on), and one linear readout, any name's ``.weight``
        and ``.bias``. Besides, where there are, a linear encoder before the layer, which is folded
        into the input weights, and a learned state to start from (``h0``, one number a unit).
        Where an architecture has one gate, its layer may be two linear ones, from the input and
        from the state. Tensors may lie on a GPU. The parameters of this package under their own
        names (see `PARAMETERS`) are taken too.
    architecture : str
        A state dict cannot say its nonlinearity: ``vanilla`` means tanh. `from_module` looks at
        it. Nor does it say what is between an encoder and the layer: nothing is taken to be.
    inputs, outputs : int
        The task's channels.
    source : str
        Named in errors.
    parameters : mapping, optional
        What the architecture has beyond the six and the state dict does not say, such as
        ``{"alpha": 0.2}`` of a leaky network. In a state dict it goes by its own name.
    readout : str, optional
        Which linear layer is the readout, where shapes leave it open.

    Returns
    -------
    dict of arrays
        float32; float64 what is given and not trained. With ``start_activity`` (and the same of
        further parts of the state) where the network does not start from zero.

    Raises
    ------
    SolspaceError
        Where a parameter is missing or has another shape (shapes found and expected are named),
        or would be ignored; where a key is no name, or a value no dense array of finite real
        numbers.

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
    if record.take is not None:
        picked = record.take(arrays, inputs, outputs, source)
        return _fitted(picked, record, inputs=inputs, outputs=outputs, source=source, found=found)
    if record.read is not None:
        arrays = _read_own(record, arrays, source, found)
    further = _further(record, arrays, parameters or {}, source)
    picked = pick(
        arrays, record, inputs=inputs, outputs=outputs, source=source, found=found, readout=readout
    )
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
    readout: str | None = None,
) -> dict[str, NDArray[Any]]:
    """One network's parameters from a torch module, which says more than its state dict.

    Its nonlinearity, layers and directions are looked at, and that nothing else in it computes.
    What ``forward`` does between its parts cannot be seen here: `solspace.import_networks` calls it
    and compares.

    Parameters
    ----------
    module : torch.nn.Module
        With one ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` (either ``batch_first``) or one of their
        cells, an ``nn.Linear``, the readout, and perhaps one before the layer. Where the
        architecture has one gate, such as a leaky network, its layer may be two ``nn.Linear``.
    architecture, inputs, outputs, source, parameters, readout
        As for `from_state_dict`.

    Returns
    -------
    dict of arrays, as of `from_state_dict`

    Raises
    ------
    SolspaceError
        Where it is another architecture or nonlinearity, has several layers or directions, or
        holds modules or parameters that would be ignored.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 8), "readout": torch.nn.Linear(8, 1)})
    >>> from_module(model, "vanilla", inputs=2, outputs=1)["weight_hh"].shape
    (1, 8, 8)
    """
    from torch import nn

    record = recurrent_architecture(architecture)
    check_options(architecture, None, parameters or {})
    if record.take is not None:
        return from_state_dict(
            module.state_dict(), architecture, inputs=inputs, outputs=outputs, source=source
        )
    named = {name or "itself": part for name, part in module.named_modules()}
    cells = (nn.RNNBase, nn.RNNCell, nn.GRUCell, nn.LSTMCell)
    layers = {n: m for n, m in named.items() if isinstance(m, cells)}
    linear = {n: m for n, m in named.items() if isinstance(m, nn.Linear)}
    written_out = not layers and len(record.gates) == 1 and len(linear) >= 3
    if record.torch_module is None and not record.base and not written_out:
        raise SolspaceError(
            f"{source}: no module of torch's is a {architecture} network; give one whose layer is "
            "two nn.Linear, from the input and from the state, or its state dict, or the arrays "
            f"{', '.join(record.parameter_names)} (and what its forward does besides is to be what "
            "`solspace.networks` says)"
        )
    if not written_out and (len(layers) != 1 or not linear):
        there = "; ".join(f"{n} {type(m).__name__}" for n, m in named.items() if n != "itself")
        raise SolspaceError(
            f"{source}: {len(layers)} of nn.RNN, nn.GRU, nn.LSTM and their cells and {len(linear)} "
            "of nn.Linear, expected one recurrent layer and one linear readout; found: "
            f"{there or type(module).__name__} ({_MORE})"
        )
    for at, layer in layers.items():
        _check_layer(at, layer, architecture, source)
    # What computes nothing in a trained network may stay, such as dropout or a loss.
    silent: tuple[Any, ...] = (nn.Dropout, nn.Identity, nn.modules.loss._Loss)
    if written_out or record.readout is not None:
        # Its nonlinearity may be a module, and the comparison tells which.
        silent += (nn.Tanh, nn.ReLU)
    ignored = [
        f"{n} {type(m).__name__} would be ignored"
        for n, m in named.items()
        if m not in (*layers.values(), *linear.values())
        and not any(m.children())
        and not isinstance(m, silent)
        and n != "itself"
    ]
    if ignored:
        raise SolspaceError(
            f"{source}: not a {architecture} network: {'; '.join(ignored)}; give a network of one "
            "layer in one direction and one linear readout (a readout with a hidden layer is of "
            f"an architecture such as {record.base or architecture}_relu_readout; {_MORE})"
        )
    # A layer may go by two names, such as one that is also in a list; here each has one.
    own: dict[str, Any] = dict(module.named_parameters())
    kept = module.state_dict()
    own |= {name: value for name, value in module.named_buffers() if name in kept}
    return from_state_dict(
        own, architecture, inputs=inputs, outputs=outputs, source=source, parameters=parameters,
        readout=readout,
    )  # fmt: skip


def _check_layer(at: str, layer: Any, architecture: str, source: str) -> None:
    """An error where a recurrent layer of torch's is not one of an architecture."""
    record = get_architecture(architecture)
    is_a = [name for name in architecture_names("recurrent") if _same_module(name, layer)]
    if (record.base or architecture) not in is_a:
        nonlinearity = getattr(layer, "nonlinearity", "")
        what = f"nn.{type(layer).__name__}" + f" whose nonlinearity is {nonlinearity}" * bool(
            nonlinearity
        )
        raise SolspaceError(
            f"{source}: {at} is an {what}, architecture {' or '.join(is_a) or 'unknown'}; "
            f"{architecture} was asked for"
        )
    refused = [
        (
            getattr(layer, "num_layers", 1) != record.layers,
            f"it has {{num_layers}} layers, expected {record.layers} (architecture "
            f"{composed_name(is_a[0], getattr(layer, 'num_layers', 1))})",
        ),
        (getattr(layer, "bidirectional", False), "it runs in two directions, expected 1"),
        (
            getattr(layer, "proj_size", 0) != 0,
            "its state is projected to {proj_size}, expected no projection",
        ),
    ]
    faults = [text.format(**vars(layer)) for wrong, text in refused if wrong]
    if faults:
        raise SolspaceError(
            f"{source}: not a {architecture} network: {at}: {'; '.join(faults)}; give a network of "
            "one layer in one direction and one linear readout"
        )


def _same_module(name: str, layer: Any) -> bool:
    """Whether a layer of torch's is a network of an architecture."""
    from torch import nn

    module = get_architecture(name).torch_module
    return (
        module is not None
        and isinstance(layer, (getattr(nn, module.name), getattr(nn, f"{module.name}Cell", ())))
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
    for p in (
        () if record.base else record.parameters
    ):  # a composed one's are told from torch's names
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


def is_module(given: Any) -> bool:
    """Whether something is a torch module; torch is not imported to tell.

    Examples
    --------
    >>> is_module({"weight_hh": 1})
    False
    """
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.nn.Module)


def read_network(
    given: Any,
    architecture: str,
    *,
    inputs: int,
    outputs: int,
    source: str,
    parameters: Mapping[str, ArrayLike] | None = None,
    readout: str | None = None,
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
    read: Any = from_module if is_module(given) else from_state_dict
    weights: dict[str, NDArray[Any]] = read(
        given, architecture, inputs=inputs, outputs=outputs, source=source, parameters=parameters,
        readout=readout,
    )  # fmt: skip
    return weights


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
    dims = {p.name: p.dims for p in record.parameters}
    n = int(picked["weight_hh"].shape[-1]) if picked["weight_hh"].ndim else 0
    if picked["weight_hh"].ndim and not n:
        raise SolspaceError(f"{source}: a network of hidden size 0; give one of 1 or more units")
    shapes = parameter_shapes(record, n, inputs, outputs)
    weights: dict[str, NDArray[Any]] = {}
    for name, shape in shapes.items():
        by_gate = name in _RECURRENT or dims.get(name, ())[:1] == ("gate",)
        flat = (gates * n, *shape[2:]) if by_gate else shape
        if name not in picked:
            raise SolspaceError(
                f"{source}: has no {name}, which a {record.name} network has; found: {found}"
            )
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
    for name in [n for n in picked if n.startswith(START)]:
        weights[name] = np.array(picked[name].reshape(n), np.float64)
        if not np.isfinite(weights[name]).all():
            raise SolspaceError(f"{source}: {name} holds NaN or infinity")
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
        _check_count(value.numel(), where)
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
    _check_count(array.size, where)
    if array.dtype.kind not in "fiu":
        raise SolspaceError(f"{where} is no array of real numbers but a {what}; give float32")
    return array


def _check_count(values: int, where: str) -> None:
    """A tensor may be larger than what it holds, as views of one number are."""
    if values > MOST_VALUES:
        raise SolspaceError(
            f"{where} has {values} values; a network's parameter has {MOST_VALUES} at most"
        )
