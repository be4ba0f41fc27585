"""What makes one network of a task with contexts an individual, inside and in what it does.

`linearised` differentiates the choice with respect to states and inputs, `modulation` splits how
that differs between contexts, `network` has the numbers of one network and `stage` gives them a
population. `ranks` and `power` hold the statistics on arrays, `correlating` those of datasets:
which numbers from inside go with which of behaviour.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
