"""Predict the solution a network found from features of its activity on trained trials."""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
