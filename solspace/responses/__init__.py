"""What networks answer to pulses, as the smallest machine that says so.

`exploring` asks a network, `machine` makes the answers the smallest Mealy machine, `naming` gives
it a key and words, `testing` says how right it is on sequences that it has not seen. How finely a
network is asked is a *notch* of its task's protocol.
"""

import lazy_loader

# Declarations are read by the command line, which need not wait for compiled kernels. Names are
# listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
