"""The paper's figures 2 to 5 from populations of our own: data, plain pictures, what agrees.

Each figure is a module with ``make`` (from a store to a DataTree with the data of its panels),
``draw`` (plain pictures of these) and ``judge`` (what agrees with the paper). `python -m
validation.paper` makes all of them and docs/paper.md.
"""
