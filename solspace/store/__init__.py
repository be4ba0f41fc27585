"""Stores on disk. The only package that knows Zarr."""

from solspace.store.handle import Population, Shard, Store, open_population
from solspace.store.whole import whole_or_nothing

__all__ = ["Population", "Shard", "Store", "open_population", "whole_or_nothing"]
