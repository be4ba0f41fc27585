"""Axes of a task in the space of units, of networks and of recordings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import xarray as xr
from blocks import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import (
    SolspaceError,
    average_trials,
    halve_trials,
    plots,
    recording_from_arrays,
    task_axes,
)
from solspace.axes.regression import coefficients, find_axes, projected, scored

pytestmark = pytest.mark.filterwarnings("ignore:.*left out.*:UserWarning")

NAMES = ("context", "coherence_1", "coherence_2")
CONDITIONS = np.array(list(product((1, 2), (-4, -2, -1, 1, 2, 4), (-4, -2, -1, 1, 2, 4))))


def design_of(conditions):
    context, one, two = conditions.T
    choice = np.sign(np.where(context == 1, one, two))
    return np.stack([choice, one / 4, two / 4, 2 * context - 3], axis=1).astype(float)


def made(noise=0.0, seed=0, units=15, bins=12, repeats=1):
    """Single trials whose axes are known: unit vectors, growing in time one after another."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(units, 4)))[0].T
    time = np.linspace(0, 1, bins)
    course = np.stack([time, 1 - time, time * (1 - time) * 4, np.ones(bins)])
    shown = np.repeat(CONDITIONS, repeats, axis=0)
    clean = np.einsum("kv,vt,vu->ktu", design_of(shown), course, vectors)
    return 30 + clean + noise * rng.normal(size=clean.shape), shown, vectors


def recording(values, shown, **options):
    columns = dict(zip(NAMES, shown.T, strict=True))
    with np.errstate(all="ignore"):
        return recording_from_arrays(
            values, columns, bin=50, start=100, task="context_integration",
            parameters={n: n for n in NAMES}, epochs={"stimulus": (100, 100 + 50 * 12)}, **options,
        )  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), gain=st.floats(0.1, 100))
def test_known_axes_are_found_whatever_the_units_gain_and_turn(seed, gain):
    """In scored units an axis is the known vector over the units' standard deviations."""
    values, shown, vectors = made(seed=seed)
    activity = scored(gain * values)
    found = find_axes(activity, design_of(shown))
    spread = values.std(axis=(0, 1))
    expected = np.linalg.qr((vectors / spread).T)
    known = (expected[0] * np.sign(np.diagonal(expected[1]))).T
    np.testing.assert_allclose(found.vector, known, atol=1e-6)
    # Each is taken where its own course is highest; at right angles and of length 1.
    assert found.moment[:2].tolist() == [11, 0] and found.moment[2] in (5, 6)
    np.testing.assert_allclose(found.vector @ found.vector.T, np.eye(4), atol=1e-9)
    path, share = projected(activity, found.vector)
    assert share.sum() == pytest.approx(1) and path.shape == (72, 12, 4)
    # Turned in the space of units, they turn along.
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(15, 15)))[0]
    turned = find_axes(activity @ turn, design_of(shown))
    np.testing.assert_allclose(turned.vector, found.vector @ turn, atol=1e-6)


def test_averages_weighed_by_their_trials_are_the_regression_on_single_trials():
    rng = np.random.default_rng(0)
    row = np.sort(rng.integers(0, 8, 60))
    row[:8] = range(8)  # every condition is there
    design = rng.normal(size=(8, 2))
    trials = rng.normal(size=(60, 3, 4)) + (design @ rng.normal(size=(2, 4)))[row][:, None]
    count = np.bincount(row)
    mean = np.stack([trials[row == c].mean(axis=0) for c in range(8)])
    ours = coefficients(mean, design, np.outer(count, np.ones(4)))
    full = np.column_stack([design[row], np.ones(60)])
    single = np.linalg.lstsq(full, trials.reshape(60, -1), rcond=None)[0][:2].reshape(2, 3, 4)
    np.testing.assert_allclose(ours, single, atol=1e-9)
    # Units with trials of their own, as they were recorded one after another, one by one.
    own = rng.integers(1, 9, (8, 4)).astype(float)
    together = coefficients(mean, design, own)
    for u in range(4):
        alone = coefficients(mean[..., u : u + 1], design, own[:, u : u + 1])
        np.testing.assert_allclose(together[..., u : u + 1], alone, atol=1e-9)


def test_a_recording_and_networks_go_through_the_same_code():
    values, shown, _ = made(noise=0.3, repeats=6)
    single = recording(values, shown)
    whole = average_trials(single, NAMES)
    halves = halve_trials(single, NAMES)
    assert (halves[0].trials_averaged + halves[1].trials_averaged == 6).all()
    found = task_axes(whole, halves=halves)
    assert found.axis.values.tolist() == ["choice", "coherence_1", "coherence_2", "context"]
    assert found.sizes["trial"] == 72 and found.fault.item() == ""
    assert (found.reliability > 0.8).all() and (found.alignment > 0.8).all()
    # The same numbers without trials and epochs of an animal, as networks have them.
    plain = xr.Dataset(
        {
            "activity": (("network", "trial", "time", "unit"), whole.activity.values),
            "epoch": (("trial", "time"), whole.epoch.values[0]),
        },
        coords={n: ("trial", whole[n].values[0]) for n in NAMES} | {"task": whole.task.item()},
    )
    network = task_axes(plain, epoch="stimulus")
    np.testing.assert_allclose(network.trajectory, found.trajectory, atol=1e-6)
    # One without activity does not stop the other, and says why.
    both = xr.concat([plain, plain * np.nan], "network")
    both["epoch"] = plain["epoch"]
    with pytest.warns(UserWarning, match="networks without axes: 1 "):
        two = task_axes(both)
    assert "0 conditions" in two.fault.values[1] and not two.fault.values[0]
    assert np.isnan(two.trajectory[1]).all() and np.isfinite(two.trajectory[0]).all()


def test_conditions_that_a_unit_lacks_are_left_out_and_counted():
    values, shown, _ = made(noise=0.3, repeats=2)
    values[5, 3, 0] = np.nan
    values[4] = np.nan
    whole = recording(values[6:], shown[6:], average=NAMES)
    assert whole.sizes["trial"] == 69
    whole = recording(np.delete(values, 4, axis=0), np.delete(shown, 4, axis=0), average=NAMES)
    with pytest.warns(UserWarning, match="a unit was not observed .* left out: 1$"):
        found = task_axes(whole)
    assert found.attrs["conditions_left_out"] == 1
    choice = np.sign(whole.coherence_1).where(whole.trial > 0)
    with pytest.warns(UserWarning, match="left out: 2$"):
        assert task_axes(whole.assign_coords(choice=choice), epoch="stimulus").fault.item() == ""
    assert np.isnan(found.trajectory.values[0]).any(axis=(1, 2)).sum() == 1


def test_what_cannot_be_done_is_refused_in_one_line():
    values, shown, _ = made(repeats=2)
    single = recording(values, shown)
    whole = average_trials(single, NAMES)
    halves = halve_trials(single, NAMES)
    for words, call in (
        ("no activity", lambda: task_axes(xr.Dataset())),
        ("these are single trials; average", lambda: task_axes(single)),
        ("the trials have no 'sound'; they have", lambda: task_axes(whole, ["sound"])),
        ("no epoch 'pause'; epochs: fixation", lambda: task_axes(whole, epoch="pause")),
        ("components=3 for 4 variables", lambda: task_axes(whole, components=3)),
        ("give one or more, each once", lambda: task_axes(whole, ["context", "context"])),
        ("5 conditions .* give 6 or more", lambda: task_axes(whole.isel(trial=[0, 8, 40, 50, 71]))),
        ("context is the same", lambda: task_axes(whole.isel(trial=slice(36)), [*NAMES])),
        (
            "cannot be told apart",
            lambda: task_axes(whole.assign_coords(twice=whole.context), [*NAMES, "twice"]),
        ),
        ("does not change", lambda: task_axes(whole.assign(activity=whole.activity * 0))),
        (
            "halves are of other units",
            lambda: task_axes(whole, halves=[h.isel(unit=slice(4)) for h in halves]),
        ),
        ("are no trial of task", lambda: task_axes(whole.assign_coords(context=whole.context + 5))),
        ("halves are made of the single trials", lambda: halve_trials(whole, NAMES)),
        ("no such column", lambda: halve_trials(single, "sound")),
        ("has two trials", lambda: halve_trials(single.isel(trial=slice(0, None, 2)), NAMES)),
    ):
        with pytest.raises(SolspaceError, match=words) as error:
            call()
        assert "\n" not in str(error.value)


def test_a_picture_is_of_one_network_or_recording_each():
    values, shown, _ = made(noise=0.3)
    found = task_axes(recording(values, shown, average=NAMES))
    layout = plots.plot_task_axes({"one": found, "other": found})
    assert len(layout) == 4
    # Means over the other stream, of the six coherences of the one that counts, in context 1.
    lines = [e for e in next(iter(layout)) if type(e).__name__ == "Path"][1:]
    assert len(lines) == 6
    kept = (found.context.values[0] == 1) & (found.coherence_1.values[0] == -4)
    expected = found.trajectory.values[0, kept].mean(axis=0)[:, :2]
    np.testing.assert_allclose(lines[0].array(), expected, atol=1e-9)
    for words, wrong in (
        ("no trajectory on axes", xr.Dataset()),
        ("0 recordings and networks; give 1 to 4", {}),
        ("2 networks; give one each", xr.concat([found, found], "network")),
        ("1 axis; give two", found.isel(axis=[0])),
    ):
        with pytest.raises(SolspaceError, match=words):
            plots.plot_task_axes(wrong)


def test_prefrontal_units_are_read_as_their_averages_say():
    """Mante et al. 2013, beside averages and halves that were made with numpy alone."""
    folder = ROOT.parent / "shared" / "recordings" / "mante2013_pfc_ar20"
    if not folder.exists():
        pytest.skip("needs the folder shared beside the checkout")
    from validation.mante import BY, single_trials

    reference = np.load(folder / "derived_condavg_correct_50ms.npz")
    singles = single_trials(sorted(folder.glob("*.mat"))[:2])
    for unit, single in enumerate(singles):
        ranks = [np.searchsorted([-4, -2, -1, 1, 2, 4], single[n].values[0]) for n in BY[1:]]
        assert all((rank < 6).all() for rank in ranks)
        means = average_trials(single, BY)
        halves = halve_trials(single, BY)
        for i in range(means.sizes["trial"]):
            context, one, two = (means[n].values[0, i] for n in BY)
            at = (unit, context - 1, *np.searchsorted([-4, -2, -1, 1, 2, 4], [one, two]))
            rates = means.activity.values[0, i, :, 0]
            np.testing.assert_allclose(rates, reference["rate_hz"][at], rtol=1e-5)
            assert means.trials_averaged.values[0, i, 0] == reference["n_trials"][at]
        assert sum(h.trials_averaged.sum() for h in halves) <= reference["n_trials"][unit].sum()


def test_the_page_says_what_was_measured():
    from validation.mante import PAGE, section

    assert section() in PAGE.read_text()
