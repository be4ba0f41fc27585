"""Features of a user's own, sent to processes that know only those of the package."""

from __future__ import annotations

import pickle
import sys
from contextlib import ExitStack

from solspace.errors import SolspaceError
from solspace.features import registry
from solspace.stages.carry import carry

__all__ = ["own_features", "take_own_features"]

_taken: bytes | None = None  # what this process was given last


def own_features() -> bytes:
    """Features that the package does not have, by value, for processes that know only the package.

    Raises
    ------
    SolspaceError
        Where a feature refers to what cannot be sent.
    """
    own = [one for one in registry.all_features() if registry.is_own(one)]
    if not own:
        return b""
    import cloudpickle

    by_value = {"__main__", *cloudpickle.list_registry_pickle_by_value()}
    modules = {registry.module_of(one) for one in own} - by_value
    with ExitStack() as undo:
        for module in (sys.modules[name] for name in sorted(modules) if name in sys.modules):
            cloudpickle.register_pickle_by_value(module)
            undo.callback(cloudpickle.unregister_pickle_by_value, module)
        try:
            sent: bytes = cloudpickle.dumps(own)
        except Exception as error:
            names = ", ".join(one.name for one in own)
            raise SolspaceError(
                f"features of your own ({names}) cannot be sent to workers: {error}; let them use "
                "nothing but arrays, numbers and imported modules, or leave out --workers"
            ) from error
    return sent


def take_own_features(sent: bytes) -> None:
    """In a worker: know these features of a user's own, and no others.

    Parameters
    ----------
    sent : bytes
        From `own_features`.
    """
    global _taken
    if sent != _taken:
        registry.replace_own(pickle.loads(sent) if sent else [])
        _taken = sent


carry("features", own_features, take_own_features)
