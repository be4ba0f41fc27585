"""What is measured of each network, by name."""

from __future__ import annotations

__all__ = ["METHODS", "NEURAL_MEASURES"]

# How selection vectors are had: carried back along the trial, or as left eigenvectors at points.
METHODS = ("trial", "slow_points")

# Name, units, meaning. Contexts are alike but for their names, so numbers are means over them.
NEURAL_MEASURES = {
    "gain": ("1", "what a pulse of the stream that counts adds to the choice, per unit of it"),
    "leak": ("1", "what a pulse of the other stream adds, without sign, relative to the gain"),
    "early_share": ("1", "share of the gain that the first half of the stimulus has"),
    "direct": ("1", "share of direct input modulation"),
    "indirect": ("1", "share of indirect input modulation"),
    "selection": ("1", "share of selection-vector modulation"),
    "stream_asymmetry": ("1", "how far the two streams lie apart in the triangle"),
    "line_length": ("1", "length of the line of accumulated evidence, in units of state"),
    "relative_line_length": ("1", "the same, relative to how far states lie from their mean"),
    "line_straightness": ("1", "distance of the line's ends over its length"),
    "line_drift": ("1/step", "how far a step moves states of the line, relative to its length"),
    "line_angle": ("degree", "angle between the lines of the two contexts"),
    "line_distance": ("1", "distance of the lines' middles, relative to the length of the lines"),
    "selection_angle": ("degree", "angle between the selection vectors of the two contexts"),
    "input_angle": ("degree", "angle between the effective inputs of a stream in the two contexts"),
    "selection_line_angle": ("degree", "angle between selection vector and line"),
    "readout_line_angle": ("degree", "angle between readout and line"),
    "slow_rate": ("1/step", "growth of the slowest mode in a step of mid-stimulus, |lambda| - 1"),
    "slow_turn": ("degree/step", "how far that mode turns; 0 where its eigenvalue is real"),
    "next_rate": ("1/step", "growth of the next slowest mode there, likewise"),
    "eigenvector_agreement": ("1", "cosine of selection vector and that mode's left eigenvector"),
    "stable_points": ("1", "stable fixed points under the context"),
    "dimension": ("1", "participation ratio of recorded states"),
}  # fmt: skip
