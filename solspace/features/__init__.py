"""Neural features of one network: numbers that describe its activity.

A feature is one decorated function, see `solspace.features.registry`; a module put into this
package is found by itself. The published ones are in `solspace.features.published`, further ones
in `solspace.features.activity`, and those of a network fitted to the activity in
`solspace.features.fitted`.
"""

import lazy_loader

# Declarations are read by the command line, which need not wait for compiled kernels. Names are
# listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
