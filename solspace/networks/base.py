"""What a recurrent architecture is: one record, made in one file.

A file of this folder with an ``ARCHITECTURE`` (or several in ``ARCHITECTURES``) is found by
itself; one's own is made known with `solspace.register_architecture`. Its ``step`` in torch is the
one definition of its equations: networks are trained, recorded, extrapolated and reduced with it.
Whatever else a record has (a compiled loop, a compiled training kernel, a module of torch's) does
the same, faster, and is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

__all__ = [
    "ACTIVITY",
    "PARAMETERS",
    "START",
    "Architecture",
    "Laid",
    "Parameter",
    "StatePart",
    "TorchModule",
    "Weights",
    "recurrent",
]

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_out", "bias_out")
# A learned state before the first step: of each part of the state, under its name after this.
START = "start_"

Weights = Mapping[str, NDArray[Any]]


class Laid(dict[str, NDArray[Any]]):
    """Parameters as an architecture's ``compiled`` is given them, for one call or many.

    `solspace.networks.loops.in_vectors` keeps here what it makes of them.
    """

    def __init__(self, parameters: Weights) -> None:
        super().__init__(parameters)
        self.made: dict[tuple[int, int], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = {}


@dataclass(frozen=True)
class Parameter:
    """A parameter beyond the six that every network has, such as the step of a leaky one.

    Attributes
    ----------
    name : str
        Also its variable in a store.
    meaning : str
    dims : tuple of str
        Of one network: none for one number, or some of gate, unit, presynaptic_unit,
        input_channel, output_channel, in this order.
    default : float or None
        Its value in a new population where none is given; None where one has to be.
    least, most : float
        Values that are allowed: from ``least`` to ``most``.
    trained : bool
        Whether gradient steps change it; otherwise it is given and stays.
    units : str or None
    size : int or None
        Length of the one dim where it is of its own, and the same for all networks.
    """

    name: str
    meaning: str
    dims: tuple[str, ...] = ()
    default: float | None = None
    least: float = -float("inf")
    most: float = float("inf")
    trained: bool = False
    units: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class StatePart:
    """One part of the state, a number for each unit.

    Attributes
    ----------
    name : str
        The variable it is recorded in.
    meaning : str
    """

    name: str
    meaning: str


ACTIVITY = StatePart("activity", "activity of the units (hidden state)")


@dataclass(frozen=True)
class TorchModule:
    """A module of torch.nn that does the same, such as ``RNN`` with ``nonlinearity="relu"``."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def _no_settings(weights: Weights) -> tuple[float, ...]:
    return ()


@dataclass(frozen=True)
class Architecture:
    """One recurrent architecture, one kind of planar ODE, or recordings.

    Attributes
    ----------
    name : str
        Of letters, digits and _; the store's group name.
    description : str
        Its equations, in one line.
    step : callable (weights, drive, state, ...) -> state, or None
        One step of many networks in torch. ``weights`` are tensors (network, ...), and what is
        beyond the six is shaped so that it broadcasts against the state: (network, 1, 1) where
        it is one number, (network, 1, unit) where it is one for each unit; of more dims it stays
        as it is. ``drive`` is what the
        input gives, ``weight_ih x + bias_ih``, (network, trial, gate, unit). Each part of the
        state is (network, trial, unit); as many are returned. `recurrent` gives
        ``weight_hh h + bias_hh``. None for a planar ODE.
    gates : tuple of str
        In the order of ``weight_ih`` and ``weight_hh``.
    state : tuple of StatePart
        The first is what the readout reads. All are recorded. Before the first step they are zero,
        or what a network has as ``start_`` and the part's name.
    parameters : tuple of Parameter
        Beyond the six.
    kind : {"recurrent", "planar", "recorded"}
    title : str
        As pictures write it; the name by default.
    nonlinearity : str
        Of the units, such as ``tanh``.
    torch_module : TorchModule or None
        Trains it in torch faster than its ``step`` and is taken by `solspace.import_networks`.
    read : callable (dict of arrays) -> dict of arrays, or None
        Turns a state dict under names of one's own into the six parameters and the further ones.
    compiled : callable (x, start, weights, states) -> None, or None
        Fills ``states`` (trial, time, state) of one network; see `solspace.networks.running`.
    kernel : str or None
        Module with a compiled training kernel; see `solspace.training.steps`.
    kernel_settings : callable (weights) -> tuple of float
        Numbers that the kernel needs besides its matrix.
    input_apart : tuple of str
        Gates whose input part that kernel keeps apart from the recurrent part.
    fit : str or None
        ``module:class`` that fits such a network to activity; see `solspace.features.fit`.
        Activity of others is fitted by a vanilla network.
    hidden_size : int
        Where none is asked for.
    any_size : bool
        Whether another one may be.
    checkpoints : bool
        Whether weights can be kept on the way down the loss.
    batch : int
        Networks that are computed together.
    base : str
        Of a composed architecture (see `solspace.networks.composed`), what its layers are.
    layers : int
        How many recurrent layers it has, one above the other.
    readout : callable (weights, activity) -> tensor, or None
        What the linear readout reads instead of the activity, both (network, trial, time, unit).
    take : callable (arrays, inputs, outputs, source) -> dict of arrays, or None
        All parameters of one network from its module's state dict, where `read` and layers that
        are looked for do not do; see `solspace.networks.stepped`.

    Examples
    --------
    >>> def step(weights, drive, h):
    ...     return (drive + recurrent(weights, h))[..., 0, :].sin()
    >>> Architecture("sine", "h <- sin(W h + V x + b)", step).title
    'sine'
    """

    name: str
    description: str
    step: Callable[..., Any] | None = None
    gates: tuple[str, ...] = ("h",)
    state: tuple[StatePart, ...] = (ACTIVITY,)
    parameters: tuple[Parameter, ...] = ()
    kind: str = "recurrent"
    title: str = ""
    nonlinearity: str = "tanh"
    torch_module: TorchModule | None = None
    read: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    compiled: Callable[..., None] | None = None
    kernel: str | None = None
    kernel_settings: Callable[[Weights], tuple[float, ...]] = _no_settings
    input_apart: tuple[str, ...] = ()
    fit: str | None = None
    hidden_size: int = 50
    any_size: bool = True
    checkpoints: bool = True
    batch: int = 1
    base: str = ""
    layers: int = 1
    readout: Callable[..., Any] | None = None
    take: Callable[..., dict[str, NDArray[Any]]] | None = None

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.name)

    @property
    def given(self) -> tuple[Parameter, ...]:
        """Parameters that are given and stay."""
        return tuple(p for p in self.parameters if not p.trained)

    @property
    def trainable(self) -> bool:
        """Whether populations of it can be trained here; others are imported."""
        return self.take is None and not self.base

    @property
    def fixed(self) -> tuple[str, ...]:
        """Names of what is no weight of the network, and stays where weights are changed.

        What is given; of a module that says its own step, the six arrays, which only hand on.
        """
        return PARAMETERS if self.take is not None else tuple(p.name for p in self.given)

    @property
    def trained(self) -> tuple[Parameter, ...]:
        """Parameters beyond the six that gradient steps change."""
        return tuple(p for p in self.parameters if p.trained)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The six and those beyond."""
        return (*PARAMETERS, *(p.name for p in self.parameters))


def recurrent(weights: Mapping[str, Any], h: Any) -> Any:
    """What the recurrent connections give, ``weight_hh h + bias_hh``, in torch.

    Parameters
    ----------
    weights : mapping of tensors
        A population's parameters.
    h : tensor (network, trial, unit)

    Returns
    -------
    tensor (network, trial, gate, unit)

    Examples
    --------
    >>> import torch
    >>> weights = {"weight_hh": torch.zeros(3, 1, 5, 5), "bias_hh": torch.ones(3, 1, 5)}
    >>> tuple(recurrent(weights, torch.zeros(3, 7, 5)).shape)
    (3, 7, 1, 5)
    """
    w = weights["weight_hh"]
    out = h @ w.flatten(1, 2).transpose(1, 2) + weights["bias_hh"].flatten(1, 2)[:, None]
    return out.unflatten(-1, w.shape[1:3])
