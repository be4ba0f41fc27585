"""How alike networks are: their activity, their dynamics, their weights.

Each measure says which way it points and whether it is a metric (`MEASURES`); `pairwise` takes two
networks or thousands, as arrays or datasets.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
