"""Kinds of networks: how files of each are read, and what its networks have of their own.

Recurrent cells, which have inputs, a state in steps and a readout, take every stage. Planar
networks are ODEs of two neurons without inputs or readout, and are trained and taken apart in ways
of their own: a stage is for one kind, and `solspace.stages` finds it. Recordings have activity and
trials of their own, and no weights. What is different about an architecture is in its file
(`solspace.networks`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "PLANAR", "RECORDED", "RECURRENT", "Kind", "kind_of", "load"]


@dataclass(frozen=True)
class Kind:
    """What networks of some architectures have in common.

    Functions are named as ``module:function`` and imported when used.

    Attributes
    ----------
    name : str
        As architectures name it.
    read : str
        Files to a population, (task, architecture, paths).
    coordinates : str
        What its networks have along the dims of their own, (task, architecture).
    weights : tuple of str
        Variables that a trained population has to have.
    begins : str
        Variables that a population has before any stage, () -> declarations.
    lacks : str
        What its networks do not have that other stages need, for errors.
    """

    name: str
    read: str
    coordinates: str
    weights: tuple[str, ...]
    begins: str = "solspace.population.trained:trained_variables"
    lacks: str = ""


RECURRENT = Kind(
    "recurrent",
    read="solspace.population.importing:read_cells",
    coordinates="solspace.population.create:cell_coordinates",
    weights=("weight_hh", "weight_out"),
)
PLANAR = Kind(
    "planar",
    read="solspace.two_neuron.stage:read_planar",
    coordinates="solspace.two_neuron.stage:planar_coordinates",
    weights=("weight_hh",),
    lacks="they have no trials and no graph",
)
RECORDED = Kind(
    "recorded",
    read="solspace.population.recorded:not_from_weights",
    coordinates="solspace.population.recorded:not_from_weights",
    weights=(),
    begins="solspace.population.recorded:recorded_variables",
    lacks="they have no weights",
)
KINDS = {kind.name: kind for kind in (RECURRENT, PLANAR, RECORDED)}


def kind_of(architecture: str | None) -> Kind:
    """The kind of networks an architecture is.

    Raises
    ------
    SolspaceError
        For an architecture of none.

    Examples
    --------
    >>> kind_of("gru").name, kind_of("planar").weights
    ('recurrent', ('weight_hh',))
    """
    from solspace.networks import get_architecture

    return KINDS[get_architecture(architecture).kind]


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
