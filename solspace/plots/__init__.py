"""Pictures of a population: HoloViews elements made from in-memory datasets.

Every plot is a function ``plot_X`` of a dataset like the store's group of that name, and returns
HoloViews elements that take ``.opts``, styled for Matplotlib and for Bokeh. Show one in a notebook
after ``holoviews.extension("matplotlib")`` or ``("bokeh")``, or write it with `save`. Sizes are
those of print: one column (89 mm) or two (183 mm), with no letter under 6 pt.

A picture is one file: whatever the modules of this folder have in ``__all__`` is found by itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

_looked_at: set[str] = set()
__all__: list[str] = []


def _find() -> None:
    """Take over the public names of modules that were not there before."""
    new = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in _looked_at]
    loaded = {name: importlib.import_module(f"{__name__}.{name}") for name in new}
    # A module and its function may share a name; the function is what is asked for.
    for name, module in loaded.items():
        _looked_at.add(name)
        for public in getattr(module, "__all__", ()):
            globals()[public] = getattr(module, public)
            __all__.append(public)
    __all__.sort()


def __getattr__(name: str) -> Any:
    _find()
    if name in globals():
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_find()
