"""What the flags of a planar network's objects mean, and the bounds on their number."""

MAX_FIXED_POINTS = 9
MAX_LIMIT_CYCLES = 4
FIXED_POINTS = ("stable_node", "stable_focus", "saddle", "unstable_node", "unstable_focus", "other")
LIMIT_CYCLES = ("stable", "unstable", "other")
ORIGINS = ("rotating_unstable", "unstable_without_rotation", "stable")
ENDINGS = (
    "point_near_target",
    "cycle_through_target",
    "decay_to_origin",
    "point_elsewhere",
    "cycle_elsewhere",
    "undecided",
)
