"""Populations of trained recurrent networks as labeled datasets.

solspace trains hundreds of networks on one task, records them like neurons, challenges them
outside the trained range, compresses the dynamics of each into a small directed graph, and
keeps everything in one labeled Zarr store that ``xarray.open_zarr`` reads.

Everything public is one import away and loaded when first used, so ``import solspace`` stays
fast and never imports torch, numba or xarray by itself.
"""

import lazy_loader

__version__ = "0.1.0"

# Public names are listed in __init__.pyi, which checkers read for their types.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
