"""Architectures made of others: several layers, and a readout with a hidden layer.

They go by a name that says what they are, so that a store of them opens in every process:
``gru_2layers`` is two GRU layers of one size, the upper reading the lower's activity at the same
step, as ``nn.GRU(num_layers=2)``; ``vanilla_relu_readout`` a vanilla network whose readout is
``weight_out max(0, weight_readout h + bias_readout) + bias_out``; ``lstm_2layers_tanh_readout``
both. They run in torch, step by step, which is slower, and are imported and not trained here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from solspace.networks.base import Architecture, Parameter, StatePart, recurrent

__all__ = ["MOST_LAYERS", "compose", "composed_name"]

MOST_LAYERS = 9
_NAME = re.compile(r"(?P<base>[a-z]+)(_(?P<layers>[2-9])layers)?(_(?P<readout>relu|tanh)_readout)?")
_LAYER = {
    "weight_ih": (("gate", "unit", "presynaptic_unit"), "weights from the layer below to layer"),
    "weight_hh": (("gate", "unit", "presynaptic_unit"), "recurrent weights of layer"),
    "bias_ih": (("gate", "unit"), "input bias of layer"),
    "bias_hh": (("gate", "unit"), "recurrent bias of layer"),
}


def composed_name(base: str, layers: int = 1, readout: str = "") -> str:
    """The name of a composed architecture.

    Examples
    --------
    >>> composed_name("gru", 2), composed_name("vanilla", readout="relu")
    ('gru_2layers', 'vanilla_relu_readout')
    """
    return base + f"_{layers}layers" * (layers > 1) + f"_{readout}_readout" * bool(readout)


def _bases() -> dict[str, Architecture]:
    """What layers may be: those that torch has."""
    from solspace.networks import gru, lstm, relu, vanilla

    return {one.ARCHITECTURE.name: one.ARCHITECTURE for one in (vanilla, relu, gru, lstm)}


@functools.cache
def compose(name: str) -> Architecture | None:
    """The composed architecture of a name; None where the name says none.

    Examples
    --------
    >>> [part.name for part in compose("lstm_2layers").state]
    ['activity', 'cell_state', 'activity_layer1', 'cell_state_layer1']
    >>> compose("gru") is None
    True
    """
    said = _NAME.fullmatch(name)
    if said is None or said["base"] not in _bases() or not (said["layers"] or said["readout"]):
        return None
    base, layers = _bases()[said["base"]], int(said["layers"] or 1)
    kind = said["readout"] or ""
    state = list(base.state)  # of the uppermost layer, which is read out
    state += [
        StatePart(f"{part.name}_layer{i}", f"{part.meaning} of layer {i}")
        for i in range(layers - 1, 0, -1)
        for part in base.state
    ]
    parameters = [
        Parameter(f"{name}_layer{i}", f"{meaning} {i}", dims, trained=True)
        for i in range(2, layers + 1)
        for name, (dims, meaning) in _LAYER.items()
    ]
    if kind:
        parameters += [
            Parameter(
                "weight_readout", "weights of the readout's hidden units",
                ("unit", "presynaptic_unit"), trained=True,
            ),
            Parameter(
                "bias_readout", "bias of the readout's hidden units", ("unit",), trained=True
            ),
        ]  # fmt: skip
    about = base.description
    if layers > 1:
        about += f"; {layers} such layers, each reading the activity of the one below"
    if kind:
        hidden = "weight_readout h + bias_readout"
        told = f"max(0, {hidden})" if kind == "relu" else f"tanh({hidden})"
        about += f"; read out from {told}"
    return Architecture(
        name=name,
        description=about,
        step=functools.partial(_step, base=base, layers=layers),
        gates=base.gates,
        state=tuple(state),
        parameters=tuple(parameters),
        title=base.title + f", {layers} layers" * (layers > 1) + f", {kind} readout" * bool(kind),
        nonlinearity=base.nonlinearity,
        checkpoints=False,
        base=base.name,
        layers=layers,
        readout=functools.partial(_readout, kind=kind) if kind else None,
    )


def _step(
    weights: Mapping[str, Any], drive: Any, *state: Any, base: Architecture, layers: int
) -> tuple[Any, ...]:
    """One step of all layers, from the lowest up; the uppermost layer's state comes first."""
    parts = len(base.state)
    after: list[Any] = []
    for i in range(1, layers + 1):
        own = dict(weights)
        if i > 1:
            own |= {name: weights[f"{name}_layer{i}"] for name in _LAYER}
            below = {"weight_hh": own["weight_ih"], "bias_hh": own["bias_ih"]}
            drive = recurrent(below, after[0])
        first = (layers - i) * parts
        assert base.step is not None
        out = base.step(own, drive, *state[first : first + parts])
        after = [*(out if isinstance(out, tuple) else (out,)), *after]
    return tuple(after)


def _readout(weights: Mapping[str, Any], activity: Any, *, kind: str) -> Any:
    """The hidden units of the readout."""
    import torch

    drive = torch.einsum("nbtu,nou->nbto", activity, weights["weight_readout"])
    drive = drive + weights["bias_readout"][:, None]
    return drive.relu() if kind == "relu" else drive.tanh()
