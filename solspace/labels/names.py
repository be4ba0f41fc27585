"""Short names of solutions: the common ones by a catalogue, the others by their key."""

from __future__ import annotations

import hashlib

__all__ = ["CATALOGUE", "solution_name"]

# By key. A name is never changed or given to another key: people write it in papers.
CATALOGUE = {
    # Interval reproduction. "Go once": by itself, without Set. Before and after are told from that.
    "v2:775c94bb13fa0fda": "go_once_set_always",
    "v2:72957b090a3708a1": "go_once_set_before",
    "v2:86a2b8fe256e8e14": "go_once_set_after_goes_twice",
    "v2:c76b636763e80b39": "go_once_set_before_or_silent",
    "v2:7392e5090870acf6": "go_once_set_after_at_once",
    "v2:47e68fc806bac6de": "go_once_set_goes_twice",
    "v2:0fb4cf015b44d555": "go_without_end",
    "v2:6bcf5b0d0a60373c": "set_go_reset",
    "v2:85ddb7c0024f3401": "set_early_only",
    "v2:9d425128fdbcaacd": "set_early_late_resets",
    "v2:e9220cf26ace0e4a": "set_early_once",
    "v2:cdf7e77d848deaef": "set_once_early_or_late",
    "v2:7b5cc8093e03e845": "set_early_once_late_resets",
    # Interval discrimination.
    "v2:62471b3309d6558a": "pulse1_flips_then_reset",
    "v2:95d47c585c6ae1a4": "clock_restarted_by_pulse1",
    "v2:67009f852a5389a8": "clock_started_by_pulse1",
    "v2:6aa3ef91b638d59b": "clock_needs_pulse1",
    # Delayed discrimination. "Back to": what a response leaves behind.
    "v2:4b11fe28b09aed60": "compare_then_silent",
    "v2:cb879cd8011c2661": "compare_back_to_4",
    "v2:e37554bffcb15e55": "compare_minus_back_to_4",
    "v2:c635c6c04a6e116e": "compare_plus_back_to_4",
    "v2:c18b9204d3e56f4f": "compare_back_to_8",
    "v2:d4635a8dc66407da": "compare_minus_back_to_8",
    "v2:9f2574a2b89387f1": "compare_plus_back_to_8",
    # What is settled to in silence: delayed discrimination, where each f1 ends.
    "a1:f1=1point": "memory_fades_to_a_point",
    "a1:f1=2points": "memory_in_2_points",
    "a1:f1=3points": "memory_in_3_points",
    "a1:f1=4points": "memory_in_4_points",
    "a1:f1=5points": "memory_in_5_points",
    "a1:f1=motion": "memory_in_motion",
    "a1:f1=1point+motion": "memory_in_a_point_and_motion",
    "a1:f1=2points+motion": "memory_in_2_points_and_motion",
    "a1:f1=3points+motion": "memory_in_3_points_and_motion",
    # Interval reproduction, after Ready and after Set.
    "a1:ready=1point:0;set=1point:0": "comes_to_rest",
    "a1:ready=motion:0;set=motion:0": "moves_on_in_silence",
    "a1:ready=motion:0,1;set=motion:0,1": "go_again_and_again",
    # Interval discrimination, from the start and after the pulses.
    "a1:start=1point:0;pulse1=1point:0;pulse2=1point:0": "rests_between_pulses",
    "a1:start=motion:0;pulse1=motion:0;pulse2=motion:0": "moves_on_between_pulses",
    # Context integration: what is settled to while each context is held.
    "a1:delay=1point;in_context_1=motion;in_context_2=motion": "motion_in_both_contexts",
    "a1:delay=1point;in_context_1=motion;in_context_2=1point": "motion_in_context_1_point_in_2",
    "a1:delay=1point;in_context_1=motion;in_context_2=2points": (
        "motion_in_context_1_two_points_in_2"
    ),
    "a1:delay=1point;in_context_1=1point;in_context_2=motion": "point_in_context_1_motion_in_2",
    "a1:delay=1point;in_context_1=1point;in_context_2=1point": "point_in_both_contexts",
    "a1:delay=1point;in_context_1=1point;in_context_2=2points": (
        "point_in_context_1_two_points_in_2"
    ),
    "a1:delay=1point;in_context_1=2points;in_context_2=motion": (
        "two_points_in_context_1_motion_in_2"
    ),
    "a1:delay=1point;in_context_1=2points;in_context_2=1point": (
        "two_points_in_context_1_point_in_2"
    ),
    # What is answered to pulses that come when all has settled. Interval reproduction: whether Go
    # comes unasked, and whether a late Set is answered.
    "r1:interval_reproduction1:settled:/1>1;0|set/1>1": "go_unasked_late_set_go",
    "r1:interval_reproduction1:settled:/1>1;0|set/>1": "go_unasked_late_set_ignored",
    "r1:interval_reproduction1:settled:/1>1;0|set/11>1": "go_unasked_late_set_go_twice",
    "r1:interval_reproduction1:settled:/>1;0|set/1>1": "waits_late_set_go",
    "r1:interval_reproduction1:settled:/>1;0|set/>1": "waits_late_set_ignored",
    "r1:interval_reproduction1:settled:/>1;(1)|set/>1": "go_repeats_set_changes_nothing",
    "r1:interval_reproduction1:settled:/>1;1|set/>1": "go_stays_on_set_changes_nothing",
    # Interval discrimination: the answer to a late second pulse.
    "r1:interval_discrimination1:settled:/>1;0|pulse1/>2;0|pulse2/-1>1": "late_answer_minus",
    "r1:interval_discrimination1:settled:/>1;0|pulse1/>2;0|pulse2/1>1": "late_answer_plus",
    "r1:interval_discrimination1:settled:/>1;0|pulse1/>2;0|pulse2/>1": "late_no_answer",
    "r1:interval_discrimination1:settled:/>1;0|pulse1/>2;0|pulse2/-1>1,pulse2/1>1": (
        "late_answer_by_phase"
    ),
    # Two neurons.
    "point_near_target: 2 stable, 1 saddle": "point_near_target",
    "cycle_through_target: 1 unstable, 1 stable cycle": "cycle_through_target",
    "decay_to_origin: 1 stable": "decay_to_origin",
    "cycle_elsewhere: 1 unstable, 1 stable cycle": "cycle_elsewhere",
    "point_elsewhere: 2 stable, 1 saddle": "point_elsewhere",
}


def solution_name(key: str) -> str:
    """The short name of a solution: one for each key, whatever the label, the same in every store.

    Parameters
    ----------
    key : str
        A ``solution_key``.

    Returns
    -------
    str
        Empty where the key is. A key that the catalogue does not have is named by its own digest.

    Examples
    --------
    >>> solution_name("v2:6bcf5b0d0a60373c"), solution_name("v2:48b3ef76d2e6fc6c")
    ('set_go_reset', 'solution_48b3ef76d2e6fc6c')
    """
    if not key or key in CATALOGUE:
        return CATALOGUE.get(key, "")
    digest = key.removeprefix("v2:")
    if not (key.startswith("v2:") and digest.isalnum()):
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"solution_{digest}"
