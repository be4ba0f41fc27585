"""Pictures of a population: HoloViews elements made from in-memory datasets.

Every function takes a dataset laid out as the store's group of that name and returns HoloViews
elements, styled for the matplotlib backend. Show one in a notebook after
``holoviews.extension("matplotlib")``, or write it with `save`.
"""

from __future__ import annotations

from solspace.plots.checkpoints import learning_flow
from solspace.plots.classification import (
    confusion_matrix,
    importance_bars,
    kappa_by_set,
    recording_size_curves,
)
from solspace.plots.extrapolation import extrapolation_picture
from solspace.plots.graph import graph_drawing
from solspace.plots.saving import save, to_svg
from solspace.plots.solutions import solution_histogram
from solspace.plots.trajectories import trajectories
from solspace.plots.two_neuron import (
    figure_one,
    linear_picture,
    path_picture,
    phase_portrait,
    slice_picture,
)

__all__ = [
    "confusion_matrix",
    "extrapolation_picture",
    "figure_one",
    "graph_drawing",
    "importance_bars",
    "kappa_by_set",
    "learning_flow",
    "linear_picture",
    "path_picture",
    "phase_portrait",
    "recording_size_curves",
    "save",
    "slice_picture",
    "solution_histogram",
    "to_svg",
    "trajectories",
]
