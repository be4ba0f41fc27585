"""Bounds on the size of a graph: those a store has arrays for."""

# A network whose graph is larger is stored as failed, with that reason.
MAX_NODES = 64
MAX_EDGES = 192
# Graphs that know time tell states apart by when things happen.
TIMED_NODES = 256
TIMED_EDGES = 1024
# Variables that only graphs that know time have.
WINDOWS = ("edge_earliest", "edge_latest")
