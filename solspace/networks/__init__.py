"""Recurrent networks: one file an architecture, how they are run, and how they are read.

`base` says what an architecture is, `registry` finds them, `running` runs them, `branching` runs
trials that begin alike. `reading` takes networks trained elsewhere: `files` opens them, `parts`
tells which array is what, `forward` compares with a module's own output. `devices` finds those of
torch, `together` explores many networks on one. `composed` makes architectures of several layers.
All other files of this folder are an architecture each.
"""

from __future__ import annotations

from solspace.networks.base import (
    ACTIVITY,
    PARAMETERS,
    START,
    Architecture,
    Parameter,
    StatePart,
    TorchModule,
    Weights,
    recurrent,
)
from solspace.networks.checks import register_architecture
from solspace.networks.composed import compose, composed_name
from solspace.networks.devices import get_device, in_parts, out_of_memory
from solspace.networks.files import read_arrays, read_state_dict
from solspace.networks.forward import Compared, compare_forward
from solspace.networks.reading import (
    check_options,
    from_module,
    from_state_dict,
    is_module,
    read_network,
    to_state_dict,
)
from solspace.networks.registry import (
    architecture_names,
    check_architecture,
    get_architecture,
    make_known,
    own_architectures,
    recurrent_architecture,
)
from solspace.networks.running import (
    as_float64,
    check_given,
    hidden_size,
    parameter_names,
    parameter_shapes,
    read_out,
    run,
    run_output,
    run_population,
    start_names,
    start_of,
    state_size,
)
from solspace.networks.stepped import stepped_architecture
from solspace.networks.together import Run, explore_together

__all__ = [
    "ACTIVITY",
    "PARAMETERS",
    "START",
    "Architecture",
    "Compared",
    "Parameter",
    "Run",
    "StatePart",
    "TorchModule",
    "Weights",
    "architecture_names",
    "as_float64",
    "check_architecture",
    "check_given",
    "check_options",
    "compare_forward",
    "compose",
    "composed_name",
    "explore_together",
    "from_module",
    "from_state_dict",
    "get_architecture",
    "get_device",
    "hidden_size",
    "in_parts",
    "is_module",
    "make_known",
    "out_of_memory",
    "own_architectures",
    "parameter_names",
    "parameter_shapes",
    "read_arrays",
    "read_network",
    "read_out",
    "read_state_dict",
    "recurrent",
    "recurrent_architecture",
    "register_architecture",
    "run",
    "run_output",
    "run_population",
    "start_names",
    "start_of",
    "state_size",
    "stepped_architecture",
    "to_state_dict",
]
