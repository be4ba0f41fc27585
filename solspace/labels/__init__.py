"""Labels: what tells one solution from another, one file each.

A label is a string for each network, equal where two networks are alike by it and the same in
every store: `automaton_key`, what the network's graph allows, `graph_key`, the graph itself, and
others. The stage ``label`` chooses one of them to be a population's ``solution``.

`registry` finds them, `names` has the short names of their values, `stage` numbers the solutions.
All other files of this folder but `checkpoints` are a label each: a file with a ``LABEL``.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
