"""Kinds of networks: what each is made of, and how its files are read.

Recurrent cells, which have inputs, a state in steps and a readout, take every stage. Planar
networks are ODEs of two neurons without inputs or readout, and are trained and taken apart in ways
of their own. A stage is for one kind; `solspace.stages` finds it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solspace.errors import SolspaceError

__all__ = ["CELLS", "KINDS", "PLANAR", "Kind", "kind_of", "load"]


@dataclass(frozen=True)
class Kind:
    """What networks of some architectures have in common.

    Functions are named as ``module:function`` and imported when used.

    Attributes
    ----------
    name : str
    architectures : tuple of str
    read : str
        Files to a population, (task, architecture, paths).
    coordinates : str
        What its networks have along the dims of their own, (task, architecture).
    weights : tuple of str
        Variables that a trained population has to have.
    hidden_size : int
        Where none is asked for.
    any_size : bool
        Whether another one may be.
    checkpoints : bool
        Whether weights can be kept on the way.
    batch : int
        Networks that are computed together.
    """

    name: str
    architectures: tuple[str, ...]
    read: str
    coordinates: str
    weights: tuple[str, ...]
    hidden_size: int
    any_size: bool
    checkpoints: bool
    batch: int = 1


CELLS = Kind(
    "recurrent",
    ("vanilla", "gru", "lstm"),
    read="solspace.population.networks:read_cells",
    coordinates="solspace.population.networks:cell_coordinates",
    weights=("weight_hh", "weight_out"),
    hidden_size=50,
    any_size=True,
    checkpoints=True,
)
PLANAR = Kind(
    "planar",
    ("planar",),
    read="solspace.two_neuron.stage:read_planar",
    coordinates="solspace.two_neuron.stage:planar_coordinates",
    weights=("weight_hh",),
    hidden_size=2,
    any_size=False,
    checkpoints=False,
    batch=16,  # small networks, computed in batches
)
KINDS = (CELLS, PLANAR)


def kind_of(architecture: str | None) -> Kind:
    """The kind of networks an architecture is.

    Raises
    ------
    SolspaceError
        For an architecture of none.

    Examples
    --------
    >>> kind_of("gru").hidden_size, kind_of("planar").hidden_size
    (50, 2)
    """
    for kind in KINDS:
        if architecture in kind.architectures:
            return kind
    known = ", ".join(name for kind in KINDS for name in kind.architectures)
    raise SolspaceError(f"unknown architecture {architecture!r}; architectures: {known}")


def load(where: str) -> Callable[..., Any]:
    """The function of a ``module:function``.

    Examples
    --------
    >>> load("solspace.kinds:kind_of") is kind_of
    True
    """
    module, name = where.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
