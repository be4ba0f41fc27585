"""Architectures of a user's own: known by name, with variables that no stage has already."""

from __future__ import annotations

from solspace.networks import PARAMETERS, Architecture
from solspace.networks import register_architecture as register
from solspace.population.variables import BASE
from solspace.stages import collection

__all__ = ["register_architecture"]


def register_architecture(architecture: Architecture, *, check: bool = True) -> Architecture:
    """Make an architecture of one's own known by its name, for this process and its workers.

    It is run: one step after the other in torch, a padded network beside one without padding,
    and the compiled loop beside the step where there is one.

    Parameters
    ----------
    architecture : Architecture
    check : bool
        Whether to look for faults.

    Raises
    ------
    SolspaceError
        Where it cannot be used; all faults are listed.

    Examples
    --------
    >>> from solspace.networks import Architecture, recurrent
    >>> def step(weights, drive, h):
    ...     return (drive + recurrent(weights, h))[..., 0, :].sin()
    >>> sine = Architecture("sine", "h <- sin(W h + V x + b)", step, nonlinearity="sin")
    >>> register_architecture(sine).name
    'sine'
    """
    taken = {v.name for v in BASE} | set(PARAMETERS)
    for stage in collection.stages().values():
        taken |= {v.name for v in (*stage.fills, stage.status, stage.message)}
    return register(architecture, check=check, taken=frozenset(taken))
