"""What networks settle to when they are left alone.

`settling` follows states in silence to points, cycles and what wanders, `network` does so from the
silences of a task, `key` makes a label of it, `stage` gives them a population.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
