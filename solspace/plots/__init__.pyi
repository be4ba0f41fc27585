# Types for checkers; at run time what the modules of this folder have in `__all__` is found.
from .attractors import attractor_picture as attractor_picture
from .checkpoints import learning_flow as learning_flow
from .classification import confusion_matrix as confusion_matrix
from .classification import importance_bars as importance_bars
from .classification import kappa_by_set as kappa_by_set
from .classification import recording_size_curves as recording_size_curves
from .extrapolation import extrapolation_picture as extrapolation_picture
from .graph import graph_drawing as graph_drawing
from .saving import save as save
from .saving import to_svg as to_svg
from .solutions import solution_histogram as solution_histogram
from .trajectories import trajectories as trajectories
from .two_neuron import figure_one as figure_one
from .two_neuron import linear_picture as linear_picture
from .two_neuron import path_picture as path_picture
from .two_neuron import phase_portrait as phase_portrait
from .two_neuron import slice_picture as slice_picture
