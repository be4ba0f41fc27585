"""Stages over a store: which groups each reads and fills, the loop over shards, where work runs."""
