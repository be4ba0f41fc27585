"""Two neurons: slices, bifurcations, the linear network, predicting, pictures, the notebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from solspace import SolspaceError
from solspace.plots import plot_linear, plot_path, plot_slice, plot_two_neuron, save
from solspace.two_neuron.dynamics import loss_and_gradient, velocity
from solspace.two_neuron.linear import linear_final_states, linear_solution, smallest_on_sheet
from solspace.two_neuron.objects import fixed_points, limit_cycles
from solspace.two_neuron.plane import bifurcations, explained_variance, plane_through, slice_of
from solspace.two_neuron.prediction import path_to_kind, predict_kind
from solspace.two_neuron.stage import planar_population, reduce_planar

ROOT = Path(__file__).resolve().parents[1]
# One of each kind: a point near the target, a cycle through it, decay to the origin.
THREE = np.array(
    [
        [[-0.75, 0.0], [1.35, 1.32]],
        [[1.07, 0.48], [-0.66, 1.31]],
        [[0.67, 0.0], [2.55, 0.72]],
    ]
)


@pytest.fixture(scope="module")
def plane():
    return plane_through(THREE)


@pytest.fixture(scope="module")
def a_slice(plane):
    return slice_of(plane, resolution=31)


def jacobian(w, x):
    return w * (1 - np.tanh(x) ** 2)[None, :] - np.eye(2)


# --------------------------------------------------------------------------- planes, curves


def test_a_plane_goes_through_its_networks(plane):
    np.testing.assert_allclose(plane.weights(plane.places), THREE, atol=1e-12)
    np.testing.assert_allclose(plane.place(THREE), plane.places, atol=1e-12)
    flat = plane.axes.reshape(2, 4)
    np.testing.assert_allclose(flat @ flat.T, np.eye(2), atol=1e-12)
    assert explained_variance(plane, THREE) == pytest.approx(1)
    with pytest.raises(SolspaceError, match="on one line"):
        plane_through([np.zeros((2, 2)), np.eye(2), 2 * np.eye(2)])


def test_every_point_of_a_curve_is_a_bifurcation(a_slice, plane):
    names = a_slice.bifurcation_kind.attrs["flag_meanings"].split()
    assert {"hopf", "pitchfork", "saddle_node"} == {
        names[int(kind)] for kind in a_slice.bifurcation_kind.values
    }
    for i, kind in enumerate(a_slice.bifurcation_kind.values):
        places = np.stack([a_slice.bifurcation_a[i], a_slice.bifurcation_b[i]], axis=1)
        there = np.isfinite(places).all(axis=1)
        states = a_slice.bifurcation_state.values[i][there]
        for place, x in zip(places[there], states, strict=True):
            w = plane.weights(place)
            assert np.abs(velocity(w, x)).max() < 1e-9
            values = np.linalg.eigvals(jacobian(w, x))
            if names[int(kind)] == "hopf":
                assert np.abs(values.real).max() < 1e-7 and np.abs(values.imag).max() > 0
            else:
                assert np.abs(values).min() < 1e-7
        # Followed: no gap is longer than a step.
        assert np.linalg.norm(np.diff(places[there], axis=0), axis=1).max() < 0.05


def test_fixed_points_change_in_number_where_curves_say_and_nowhere_else(a_slice, plane):
    """Along random lines of the plane, the number of fixed points changes on the curves only."""
    rng = np.random.default_rng(0)
    low = np.array([a_slice.a[0], a_slice.b[0]], float)
    high = np.array([a_slice.a[-1], a_slice.b[-1]], float)
    on_curves = np.concatenate(
        [
            np.stack([a_slice.bifurcation_a[i], a_slice.bifurcation_b[i]], axis=1)
            for i in np.flatnonzero(a_slice.bifurcation_kind.values > 0)
        ]
    )
    on_curves = on_curves[np.isfinite(on_curves).all(axis=1)]
    changes = 0
    for _ in range(8):
        start, stop = rng.uniform(low, high), rng.uniform(low, high)
        line = start + np.linspace(0, 1, 120)[:, None] * (stop - start)
        counts = np.array([len(fixed_points(w)) for w in plane.weights(line)])
        for k in np.flatnonzero(np.diff(counts)):
            changes += 1
            middle = (line[k] + line[k + 1]) / 2
            room = np.linalg.norm(line[k + 1] - line[k]) + 0.05
            assert np.linalg.norm(on_curves - middle, axis=1).min() < room
    assert changes > 4


def test_a_cycle_is_born_on_the_hopf_line(plane):
    for curve in bifurcations(plane, (-2, 2, -2, 2)):
        if curve.kind != "hopf" or not curve.at_origin:
            continue
        place = curve.places[len(curve.places) // 2]
        across = np.array([np.trace(axis) for axis in plane.axes])
        across = 0.03 * across / np.linalg.norm(across)
        assert len(limit_cycles(plane.weights(place + across))) == 1
        return
    pytest.fail("no Hopf line")


def test_a_slice_is_a_labelled_dataset(a_slice, plane):
    assert a_slice.loss.dims == ("b", "a")
    w = np.array([plane.weights([a, b]) for b in a_slice.b.values for a in a_slice.a.values])
    loss, gradient = loss_and_gradient(w)
    # A place alone and a grid are summed in another order on some processors: weights, which are
    # below 5, differ in their last two places (8 eps), and the loss follows by its gradient.
    room = np.finfo(float).eps * (8 * np.abs(gradient).sum(axis=(1, 2)) + loss)
    assert (np.abs(a_slice.loss.values.ravel() - loss) <= room).all()
    np.testing.assert_allclose(a_slice.center, plane.center)
    with pytest.raises(SolspaceError, match="window"):
        slice_of(plane, window=(1, 0, 0, 1))


# --------------------------------------------------------------------------- the linear network


@settings(max_examples=60)
@given(st.floats(-0.6, 0.4), st.floats(-3.0, 4.9))
def test_linear_solutions_solve_the_task(growth, turns):
    if turns > 0 and abs(turns - round(turns)) < 0.02:
        return
    w = linear_solution(growth, turns)
    np.testing.assert_allclose(expm((w - np.eye(2)) * 10)[:, 0], [0, 1], atol=1e-5)
    np.testing.assert_allclose(linear_final_states(w), [0, 1], atol=1e-5)
    values = np.linalg.eigvals((w - np.eye(2)) * 10)
    assert values.real.mean() == pytest.approx(10 * growth, abs=1e-6)
    if turns > 0.05:
        assert abs(values.imag).max() == pytest.approx(np.pi * turns, rel=1e-4)
    elif turns < -0.05:
        assert np.ptp(values.real) == pytest.approx(-2 * np.pi * turns, rel=1e-4)


def test_whole_half_turns_have_no_linear_solution():
    assert np.isnan(linear_solution(0.1, [1.0, 2.0])).all()
    near, far = (np.linalg.norm(linear_solution(0.1, 1 + d)) for d in (1e-3, 0.3))
    assert near > 10 * far


@pytest.mark.parametrize("half_turns", [0, 1, 2])
def test_the_smallest_of_a_sheet_has_no_smaller_neighbour(half_turns):
    found = smallest_on_sheet(half_turns)
    np.testing.assert_allclose(linear_final_states(found.weights), [0, 1], atol=1e-6)
    rng = np.random.default_rng(0)
    turns = rng.uniform(half_turns - 3 * (half_turns == 0), half_turns + 1, 400)
    others = linear_solution(rng.uniform(-0.8, 0.5, 400), turns)
    assert np.linalg.norm(others, axis=(1, 2)).min() >= found.norm - 1e-9


def test_linear_solutions_on_a_slice_are_solutions(a_slice, plane):
    places = np.stack([a_slice.linear_a, a_slice.linear_b], axis=1)
    assert np.abs(linear_final_states(plane.weights(places)) - [0, 1]).max(initial=0) < 1e-7


# --------------------------------------------------------------------------- predicting


def made_population(n=120):
    """Networks near the three of `THREE`, their initial weights a noisy picture of the final."""
    rng = np.random.default_rng(0)
    which = np.arange(n) % 3
    after = THREE[which] + rng.normal(0, 1e-4, (n, 2, 2))
    return planar_population(after, initial=after + rng.normal(0, 0.05, (n, 2, 2)))


@pytest.fixture(scope="module")
def path():
    return path_to_kind(reduce_planar(made_population()), bins=6, target_loss=0.05)


def test_kinds_are_predicted_where_they_can_be(path):
    assert float(path.accuracy.mean()) > 0.9 > float(path.chance)
    assert int(path.confusion.sum()) + int(path.left_out) == 120
    total = path.share.sum("kind").where(path["count"] > 0)
    np.testing.assert_allclose(total.values[np.isfinite(total.values)], 1)


def test_kinds_are_not_predicted_from_nothing():
    rng = np.random.default_rng(0)
    initial, kind = rng.uniform(-1.5, 1.5, (300, 2, 2)), rng.integers(0, 2, 300)
    predicted, accuracy = predict_kind(initial, kind)
    assert accuracy.mean() == pytest.approx((predicted == kind).mean(), abs=1e-9)
    assert 0.35 < accuracy.mean() < 0.65
    with pytest.raises(SolspaceError, match="two kinds or more"):
        predict_kind(initial, np.zeros(300))


# --------------------------------------------------------------------------- pictures


@pytest.mark.slow
def test_the_figure_has_six_panels_and_is_drawn(a_slice, tmp_path):
    figure = plot_two_neuron(THREE, a_slice)
    assert len(figure) == 6
    (file,) = save(figure, tmp_path / "figure", formats=["png"], dpi=60)
    assert Path(file).stat().st_size > 10_000
    with pytest.raises(SolspaceError, match="'loss'"):
        plot_slice(a_slice.drop_vars("loss"))


def test_the_other_pictures_are_drawn(path, tmp_path):
    kinds = ["point_near_target", "cycle_through_target", "decay_to_origin"]
    for name, picture in (
        ("linear", plot_linear(THREE, kinds)),
        ("path", plot_path(path)),
    ):
        (file,) = save(picture, tmp_path / name, formats=["png"], dpi=60)
        assert Path(file).stat().st_size > 5_000
