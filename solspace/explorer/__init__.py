"""A population in a browser: a map, networks on a click, challenges by hand.

``reading``, ``maps``, ``telling`` and ``live`` know what is shown and nothing of a browser;
``figures``, ``app`` and ``serving`` need Panel, which is an extra (``pip install
'solspace[explorer]'``).
"""

import lazy_loader

# Names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
