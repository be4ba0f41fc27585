"""Recordings: what an experimenter would see of a network, and what that tells."""
