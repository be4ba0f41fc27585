"""How diverse the solutions of a population are: how much has been seen, and who differs.

The estimators are those that ecology uses for species: a network is an individual, a class of a
label (a solution, a graph) a species.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
