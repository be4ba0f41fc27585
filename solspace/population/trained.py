"""What training or an import leaves of each network: its parameters, their start, its loss."""

from __future__ import annotations

from solspace.population.variables import Variable

__all__ = [
    "CHECKPOINT_PREFIX",
    "DIMS",
    "PARAMETER_DIMS",
    "TRAINED",
    "parameter_variables",
    "trained_variables",
]

RECURRENT = ("recurrent",)  # a kind of architectures
CHECKPOINT_PREFIX = "checkpoint_"

# Coordinates of the population's own dims.
DIMS = (
    Variable(
        "seed", ("network",), "int64", "seed of this network alone; -1 unknown", coordinate=True
    ),
    Variable("unit", ("unit",), "int64", "index of the unit", coordinate=True),
    Variable(
        "presynaptic_unit",
        ("presynaptic_unit",),
        "int64",
        "index of the unit a recurrent weight comes from",
        coordinate=True,
    ),
    Variable("gate", ("gate",), "U32", "gate, in torch's order", coordinate=True),
    Variable("input_channel", ("input_channel",), "U64", "input channel", coordinate=True),
    Variable("output_channel", ("output_channel",), "U64", "output channel", coordinate=True),
)

PARAMETER_DIMS = {
    "weight_ih": ("gate", "unit", "input_channel"),
    "weight_hh": ("gate", "unit", "presynaptic_unit"),
    "bias_ih": ("gate", "unit"),
    "bias_hh": ("gate", "unit"),
    "weight_out": ("output_channel", "unit"),
    "bias_out": ("output_channel",),
}
_MEANINGS = {
    "weight_ih": "input weights",
    "weight_hh": "recurrent weights",
    "bias_ih": "input bias",
    "bias_hh": "recurrent bias",
    "weight_out": "readout weights",
    "bias_out": "readout bias",
}


def parameter_variables(
    before: tuple[str, ...] = ("network",),
    *,
    prefix: str = "",
    group: str = "population",
    told: str = "",
    unknown: str = "NaN past hidden_size",
) -> tuple[Variable, ...]:
    """Declarations of the parameters of a network, with these dims before their own.

    Examples
    --------
    >>> parameter_variables()[0].dims
    ('network', 'gate', 'unit', 'input_channel')
    """
    out = []
    for name, dims in PARAMETER_DIMS.items():
        padded = "unit" in dims or "presynaptic_unit" in dims
        note = unknown if padded else unknown.replace("NaN past hidden_size", "").strip(" ,;")
        out.append(
            Variable(
                prefix + name,
                (*before, *dims),
                "float32",
                _MEANINGS[name] + told + (f"; {note}" if note else ""),
                group=group,
                # A planar network has recurrent weights and nothing else.
                architectures=None if name == "weight_hh" else RECURRENT,
            )
        )
    return tuple(out)


TRAINED = (
    *parameter_variables(),
    *parameter_variables(
        prefix="initial_",
        told=" before training",
        unknown="NaN past hidden_size, or throughout where unknown",
    ),
    Variable(
        "loss",
        ("network",),
        "float64",
        "mean squared error over the trials the network was trained on (of an imported network "
        "over the recorded trials); planar: 1/2 |x(T) - target|^2",
    ),
    Variable(
        "loss_recorded",
        ("network",),
        "float64",
        "mean squared error over the trials that activity is recorded on",
        architectures=RECURRENT,
    ),
    Variable(
        "gradient_steps",
        ("network",),
        "int64",
        "gradient steps of the attempt that is kept; -1 unknown",
        units="steps",
    ),
    Variable("attempts", ("network",), "int64", "inits tried; -1 unknown"),
)


def trained_variables() -> tuple[Variable, ...]:
    """What populations of networks have beyond what stages fill.

    Examples
    --------
    >>> "weight_hh" in [variable.name for variable in trained_variables()]
    True
    """
    return (*DIMS, *TRAINED)
