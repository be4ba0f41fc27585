"""Populations in memory: their variables, new and imported networks, and a map over networks."""

import lazy_loader

# Declarations are read by the command line, which need not wait for compiled kernels. Names are
# listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
