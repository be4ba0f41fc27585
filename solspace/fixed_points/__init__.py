"""Where one step of a network changes nothing: fixed points, saddles among them, and slow points.

`newton` holds the compiled steps with their Jacobians and the search from one start each,
`finding` makes the points of a network of what all starts come to, `starting` says from where and
under which inputs, `stage` gives them a population.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
