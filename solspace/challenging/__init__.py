"""Challenges given by their input: what networks put out to them, and measures made of it.

A task declares them (`solspace.tasks.InputChallengeFamily`). `giving` runs one network after
another over all of them, `kernel` takes effects of single pulses from what was stored, `stage`
gives them a population.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
