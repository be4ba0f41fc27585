"""Simulated recordings: what would be seen of a network, and what that tells."""
