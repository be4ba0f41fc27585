"""How stable labels are: does a network keep its label when it is hardly another network?

`perturbing` changes weights a little, `elsewhere` computes labels as on another processor,
`shares` says how many networks keep a label and within which interval, `rule` which label is good
enough to be called the solution.
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
