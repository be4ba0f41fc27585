"""Kinds of networks: which stages each takes, and whose functions these are.

Recurrent cells, which have inputs, a state in steps and a readout, take every stage. Planar
networks are ODEs of two neurons without inputs or readout, and are trained and taken apart in ways
of their own. What is different about a kind is said here, what is different about an architecture
in its file (`solspace.networks`); stages, store and checks ask.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "PLANAR", "RECURRENT", "STAGES", "Kind", "kind_of", "load"]

STAGES = ("train", "record", "extrapolate", "reduce", "verify", "features")


@dataclass(frozen=True)
class Kind:
    """What networks of some architectures have in common.

    Functions are named as ``module:function`` and imported when used.

    Attributes
    ----------
    name : str
        As architectures name it.
    stages : tuple of str
        Those it takes, in order.
    train, reduce : str
        Dataset to Dataset, as `solspace.train` and `solspace.reduce`.
    read : str
        Files to a population, (task, architecture, paths).
    coordinates : str
        What its networks have along the dims of their own, (task, architecture).
    faults : str
        What is wrong with a shard, (parts by group), a sentence each.
    weights : tuple of str
        Variables that a trained population has to have.
    graph : bool
        Whether its dynamics are reduced to a graph, in a group of its own.
    """

    name: str
    stages: tuple[str, ...]
    train: str
    reduce: str
    read: str
    coordinates: str
    faults: str
    weights: tuple[str, ...]
    graph: bool


RECURRENT = Kind(
    "recurrent",
    STAGES,
    train="solspace.training.stage:train_cells",
    reduce="solspace.reduction.stage:reduce_cells",
    read="solspace.population:read_cells",
    coordinates="solspace.population:cell_coordinates",
    faults="solspace.info:faults_of_cells",
    weights=("weight_hh", "weight_out"),
    graph=True,
)
PLANAR = Kind(
    "planar",
    ("train", "reduce"),
    train="solspace.two_neuron.stage:train_planar",
    reduce="solspace.two_neuron.stage:reduce_planar",
    read="solspace.two_neuron.stage:read_planar",
    coordinates="solspace.two_neuron.stage:planar_coordinates",
    faults="solspace.two_neuron.stage:faults_of",
    weights=("weight_hh",),
    graph=False,
)
KINDS = {kind.name: kind for kind in (RECURRENT, PLANAR)}


def kind_of(architecture: str | None) -> Kind:
    """The kind of networks an architecture is.

    Raises
    ------
    SolspaceError
        For an architecture of none.

    Examples
    --------
    >>> kind_of("gru").name, kind_of("planar").stages
    ('recurrent', ('train', 'reduce'))
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
