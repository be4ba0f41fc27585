"""Reduced dynamics: what a network does, as a graph of a few nodes.

`trajectories` finds chains and where they come round, `merging` joins them where they run
together, `compaction` rewrites the outcome, `canonical` names it. `automaton` makes graphs in
another way, from outputs alone, and `timed` gives them windows of time. `responses` are what a
network puts out, `acceptance` says which of them a graph allows.
"""

import lazy_loader

# Declarations are read by the command line, which need not wait for compiled kernels. Names are
# listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
