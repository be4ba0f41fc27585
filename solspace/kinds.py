"""Kinds of networks: what each is made of, which stages it takes, and whose functions these are.

Recurrent cells, which have inputs, a state in steps and a readout, take every stage. Planar
networks are ODEs of two neurons without inputs or readout, and are trained and taken apart in ways
of their own. What is different about a kind is said here; stages, store and checks ask.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solspace.errors import SolspaceError

__all__ = ["CELLS", "KINDS", "PLANAR", "STAGES", "Kind", "kind_of", "load"]

STAGES = ("train", "record", "extrapolate", "reduce", "verify", "features")


@dataclass(frozen=True)
class Kind:
    """What networks of some architectures have in common.

    Functions are named as ``module:function`` and imported when used.

    Attributes
    ----------
    architectures : tuple of str
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
    hidden_size : int
        Where none is asked for.
    any_size : bool
        Whether another one may be.
    checkpoints : bool
        Whether weights can be kept on the way.
    shards : tuple of int
        How many there should be, and the fewest and the most networks in one.
    """

    architectures: tuple[str, ...]
    stages: tuple[str, ...]
    train: str
    reduce: str
    read: str
    coordinates: str
    faults: str
    weights: tuple[str, ...]
    graph: bool
    hidden_size: int
    any_size: bool
    checkpoints: bool
    shards: tuple[int, int, int]


CELLS = Kind(
    ("vanilla", "gru", "lstm"),
    STAGES,
    train="solspace.training.stage:train_cells",
    reduce="solspace.reduction.stage:reduce_cells",
    read="solspace.population:read_cells",
    coordinates="solspace.population:cell_coordinates",
    faults="solspace.info:faults_of_cells",
    weights=("weight_hh", "weight_out"),
    graph=True,
    hidden_size=50,
    any_size=True,
    checkpoints=True,
    shards=(16, 1, 8),
)
PLANAR = Kind(
    ("planar",),
    ("train", "reduce"),
    train="solspace.two_neuron.stage:train_planar",
    reduce="solspace.two_neuron.stage:reduce_planar",
    read="solspace.two_neuron.stage:read_planar",
    coordinates="solspace.two_neuron.stage:planar_coordinates",
    faults="solspace.two_neuron.stage:faults_of",
    weights=("weight_hh",),
    graph=False,
    hidden_size=2,
    any_size=False,
    checkpoints=False,
    shards=(8, 16, 1250),  # small networks, computed in batches
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
    >>> kind_of("gru").hidden_size, kind_of("planar").stages
    (50, ('train', 'reduce'))
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
