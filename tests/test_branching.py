"""Trials that begin alike are run once as far as they do, and give what they give by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace.networks import parameter_shapes, run_output, state_size
from solspace.networks.branching import find_branches, run_branches
from solspace.tasks import get_task
from solspace.verification import verification_sequences


def a_network(architecture, units, seed):
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(architecture, units, inputs=2, outputs=1)
    weights = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    # Some start elsewhere than at zero.
    if seed % 2 and state_size(architecture, units) == units:
        weights["start_activity"] = rng.normal(0, 0.4, units)
    return weights


@settings(max_examples=25, deadline=None)
@given(
    architecture=st.sampled_from(["vanilla", "gru", "lstm"]),
    trials=st.integers(1, 30),
    time=st.integers(1, 25),
    pulses=st.integers(0, 4),
    seed=st.integers(0, 2**31),
)
def test_outputs_are_those_of_trials_run_one_by_one(architecture, trials, time, pulses, seed):
    rng = np.random.default_rng(seed)
    x = np.zeros((trials, time, 2), np.float32)
    for _ in range(pulses):  # some trials come twice
        at = rng.integers(time, size=trials)
        x[np.arange(trials), at, rng.integers(2, size=trials)] = rng.choice([-1, 1], trials)
    weights = a_network(architecture, 6, seed)
    np.testing.assert_allclose(
        run_branches(architecture, weights, find_branches(x)),
        run_output(architecture, weights, x),
        rtol=0,
        atol=1e-13,  # the states are the same, their readout is summed in another order
    )


@pytest.mark.parametrize(
    "task", ["interval_reproduction", "interval_discrimination", "delayed_discrimination"]
)
def test_a_fifth_of_the_steps_of_random_sequences_need_not_be_run(task):
    x = verification_sequences(get_task(task)).input
    found = find_branches(x)
    assert sum(block.inputs[..., 0].size for block in found.blocks) < 0.8 * x[..., 0].size
    shared = found.source >= 0
    for trial, source, steps in zip(
        np.flatnonzero(shared), found.source[shared], found.begin[shared], strict=True
    ):
        np.testing.assert_array_equal(x[trial, :steps], x[source, :steps])
        assert found.begin[source] < steps
