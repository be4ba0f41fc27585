"""Checkpoints on the way down the loss: kept without touching the training, labelled, drawn."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import SolspaceError, label, network_weights, new_population, reduce, train
from solspace.cli import main
from solspace.info import describe
from solspace.labels.checkpoints import rank_checkpoints
from solspace.population import rank_solutions
from solspace.run.loop import run_stage
from solspace.run.populations import create_population
from solspace.store.check import check_store
from solspace.tasks import get_task
from solspace.training import loss_levels, mean_squared_error, train_network, training_trials

GROUP = "interval_reproduction/vanilla"
TASK = get_task("interval_reproduction")
RECIPE = dataclasses.replace(TASK.recipe("vanilla"), target_loss=0.02, max_steps=2500, attempts=2)
CHECKPOINTS = 4


def described(checkpoints: int = CHECKPOINTS, networks: int = 4, **changes) -> xr.Dataset:
    return new_population(
        "interval_reproduction",
        "vanilla",
        networks=networks,
        hidden_size=[20, 24],
        seed=5,
        recipe=dataclasses.replace(RECIPE, **changes),
        checkpoints=checkpoints,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("learning") / "small.zarr")
    create_population(path, described(), shard_size=2)
    for stage in ("train", "reduce", "responses", "label"):
        run_stage(path, stage)
    return path


def group_of(path: str, group: str = "") -> xr.Dataset:
    return xr.open_zarr(path, group=f"{GROUP}/{group}".rstrip("/")).load()


@pytest.mark.slow
def test_checkpoints_change_nothing_of_the_network(store):
    """With and without, the same to the last bit; and so is what happens to be shared."""
    plain = train(described(checkpoints=0))
    kept = group_of(store)
    assert "checkpoint_loss" not in plain
    for name in plain.data_vars:
        np.testing.assert_array_equal(plain[name].values, kept[name].values, err_msg=name)
    assert 1 in plain.status_train.values


def test_checkpoints_are_the_network_on_its_way(store):
    population, checkpoints = group_of(store), group_of(store, "checkpoints")
    assert checkpoints.checkpoint_weight_hh.dims[:2] == ("network", "checkpoint")
    assert check_store(store) == []
    for i in range(population.sizes["network"]):
        levels, losses = (
            checkpoints.checkpoint_loss_level.values[i],
            checkpoints.checkpoint_loss.values[i],
        )
        steps = checkpoints.checkpoint_gradient_steps.values[i]
        assert levels[0] == np.inf and levels[-1] == RECIPE.target_loss
        assert steps[0] == 0 and steps[-1] == population.gradient_steps.values[i]
        assert losses[-1] == population.loss.values[i]
        reached = steps >= 0
        assert (np.isnan(losses) == ~reached).all()
        # Levels are passed by the kernel's loss in float32; the exact one is as near as that.
        assert (losses[:-1] < levels[:-1] * (1 + 1e-4))[reached[:-1]].all()
        assert (np.diff(steps[reached]) >= 0).all()
        # Kept at the first look that was under: all steps are multiples of the looks.
        assert (steps[reached] % RECIPE.check_every == 0).all()
        trials = training_trials(TASK, int(population.seed.values[i]))
        for k in np.flatnonzero(reached):
            weights = network_weights(checkpoints, i, checkpoint=int(k))
            assert mean_squared_error("vanilla", weights, trials) == losses[k]
        for name in ("weight_hh", "bias_ih", "bias_out"):
            final, first = population[name].values[i], population[f"initial_{name}"].values[i]
            np.testing.assert_array_equal(checkpoints[f"checkpoint_{name}"].values[i, -1], final)
            np.testing.assert_array_equal(checkpoints[f"checkpoint_{name}"].values[i, 0], first)


def test_the_first_look_under_each_level_is_kept():
    """Against a training stopped at that level: the same weights after the same steps."""
    result = train_network(TASK, "vanilla", 20, seed=3, recipe=RECIPE, checkpoints=4)
    assert result.trained and len(result.checkpoints) == 4
    between = result.checkpoints[2]
    until = dataclasses.replace(RECIPE, target_loss=between.level)
    stopped = train_network(TASK, "vanilla", 20, seed=3, recipe=until)
    assert stopped.gradient_steps == between.gradient_steps
    for name, array in stopped.weights.items():
        np.testing.assert_array_equal(array, between.weights[name])


def test_a_level_never_reached_is_empty_and_the_attempt_kept_is_the_one_followed():
    short = dataclasses.replace(RECIPE, target_loss=1e-7, max_steps=200, attempts=3)
    result = train_network(TASK, "vanilla", 20, seed=3, recipe=short, checkpoints=5)
    assert not result.trained
    first, *between, last = result.checkpoints
    for name, array in result.initial_weights.items():
        np.testing.assert_array_equal(first.weights[name], array)
        np.testing.assert_array_equal(last.weights[name], result.weights[name])
    assert between[-1].weights is None and np.isnan(between[-1].loss)
    assert between[-1].gradient_steps == -1


def test_a_lesson_counts_and_is_not_looked_at():
    task = get_task("interval_discrimination")
    recipe = dataclasses.replace(
        task.recipe("vanilla"), attempts=1, curriculum_loss=1.0, max_steps=100, target_loss=1e-3
    )
    result = train_network(task, "vanilla", 20, seed=0, recipe=recipe, checkpoints=3)
    steps = [c.gradient_steps for c in result.checkpoints]
    assert steps[0] == 0
    assert steps[1] == -1 or steps[1] >= recipe.check_every


@given(
    silence=st.floats(1e-3, 1.0),
    ratio=st.floats(0, 1),
    checkpoints=st.integers(2, 30),
)
@settings(max_examples=50)
def test_levels_fall_from_infinity_to_the_target(silence, ratio, checkpoints):
    target = silence * 10 ** (-5 * ratio)
    levels = loss_levels(silence, target, checkpoints)
    assert len(levels) == checkpoints
    assert levels[0] == np.inf and np.isclose(levels[-1], target, rtol=1e-12)
    assert (np.diff(levels[1:]) <= 1e-12 * silence).all()
    assert (levels[1:] <= silence * (1 + 1e-12)).all()


def test_labels_are_those_of_the_same_weights_and_numbers_those_of_the_population(store):
    population, checkpoints = group_of(store), group_of(store, "checkpoints")
    done = population.status_label.values == 1
    assert done.any()
    np.testing.assert_array_equal(
        checkpoints.checkpoint_solution_key.values[done, -1], population.solution_key.values[done]
    )
    np.testing.assert_array_equal(
        checkpoints.checkpoint_solution.values[done, -1], population.solution.values[done]
    )
    named = checkpoints.checkpoint_solution_key.values != ""
    assert (checkpoints.checkpoint_solution.values >= 0)[named].all()
    assert (checkpoints.checkpoint_solution.values == -1)[~named].all()
    assert (checkpoints.checkpoint_status_label.values == np.where(named, 1, 2)).all()
    assert (checkpoints.checkpoint_message_label.values[~named] != "").all()
    assert (checkpoints.checkpoint_message_label.values[named] == "").all()
    number: dict[str, int] = {}
    for key, value in zip(
        checkpoints.checkpoint_solution_key.values[named],
        checkpoints.checkpoint_solution.values[named],
        strict=True,
    ):
        assert number.setdefault(key, int(value)) == value
    assert "4 checkpoints" in describe(store)


def test_a_checkpoint_without_a_graph_fails_nothing():
    """Initial weights of zero rest at once; the network is reduced all the same."""
    ds = train(described(networks=1))
    ds["checkpoint_weight_hh"][0, 1] *= 0
    ds["checkpoint_weight_ih"][0, 1] *= 0
    ds["checkpoint_gradient_steps"][0] = [0, 10, 20, 30]
    out = label(reduce(ds), by="automaton_key")
    assert out.status_label.item() == 1
    assert out.checkpoint_status_label.values[0].tolist()[1] == 2
    assert out.checkpoint_message_label.values[0, 1] != ""
    assert out.checkpoint_solution.values[0, 1] == -1
    assert out.checkpoint_solution.values[0, -1] == 0


@given(
    final=st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=6),
    data=st.data(),
)
@settings(max_examples=50)
def test_numbers_of_checkpoints_agree_with_those_of_networks(final, data):
    keys = st.sampled_from(["", "a", "b", "c", "d", "e"])
    way = np.array([data.draw(st.lists(keys, min_size=3, max_size=3)) for _ in final], dtype=object)
    found = rank_checkpoints(final, way)
    known = dict(zip(final, rank_solutions(final).tolist(), strict=True)) | {"": -1}
    for key, value in zip(way.ravel(), found.ravel().tolist(), strict=True):
        assert known.setdefault(key, value) == value
    assert len(set(known.values())) == len(known)
    used = sorted(v for v in known.values() if v >= 0)
    assert used == list(range(len(used)))


def test_another_number_of_checkpoints_is_another_population(store, tmp_path):
    for other in (0, 5):
        with pytest.raises(SolspaceError, match=rf"checkpoints: 4 stored, {other} given"):
            create_population(store, described(checkpoints=other))
    path = str(tmp_path / "plain.zarr")
    create_population(path, described(checkpoints=0, networks=1, max_steps=50))
    run_stage(path, "train")
    tree = xr.open_datatree(path, engine="zarr")
    assert "checkpoints" not in tree[GROUP].children


@pytest.mark.parametrize("bad", [1, -3])
def test_one_checkpoint_is_refused_and_nothing_made(tmp_path, capsys, bad):
    path = tmp_path / "none.zarr"
    where = ["--task", "interval_reproduction", "--architecture", "vanilla"]
    assert main(["train", str(path), *where, "--checkpoints", str(bad)]) == 2
    assert f"{bad} checkpoints; give 2 or more" in capsys.readouterr().err
    assert not path.exists()


# --------------------------------------------------------------------------- the picture


def flow_of(solution: np.ndarray) -> xr.Dataset:
    dims = ("network", "checkpoint")
    levels = loss_levels(0.03, 1e-4, solution.shape[1])
    return xr.Dataset(
        {
            "checkpoint_solution": (dims, solution),
            "checkpoint_gradient_steps": (dims, np.cumsum(np.ones_like(solution), axis=1)),
            "checkpoint_loss_level": (dims, np.tile(levels, (len(solution), 1))),
        }
    )


@given(st.data())
@settings(max_examples=20)
def test_bands_carry_every_network_from_bar_to_bar(data):
    """What leaves a bar and what arrives at the next is all of its height, without overlap."""
    from solspace.plots.checkpoints import _bands

    networks, checkpoints, places = 12, 4, 3
    values = st.lists(st.integers(0, places - 1), min_size=checkpoints, max_size=checkpoints)
    place = np.array([data.draw(values) for _ in range(networks)])
    heights = (place[..., None] == np.arange(places)).sum(axis=0)
    feet = np.concatenate([np.zeros((checkpoints, 1), int), np.cumsum(heights, axis=1)], axis=1)
    for k in range(checkpoints - 1):
        for end, bar in ((0, k), (24, k + 1)):
            spans = sorted(
                (band["y"][end], band["y"][49 - end])
                for bands in _bands(place, feet, places).values()
                for band in bands
                if k < band["x"][0] < k + 1
            )
            edges = [edge for span in spans for edge in span]
            assert edges[0] == 0 and edges[-1] == networks
            np.testing.assert_allclose(edges[1:-1:2], edges[2::2])  # one ends where one begins
            whole = {float(foot) for foot in feet[bar]}
            assert whole <= {0.0, *np.round(edges, 9)}


def test_the_picture_is_drawn_and_says_what_is_missing(tmp_path):
    from solspace.plots import plot_checkpoints, save

    rng = np.random.default_rng(0)
    solution = rng.integers(-1, 11, size=(40, 6))
    files = save(plot_checkpoints(flow_of(solution)), tmp_path / "flow")
    assert all(os.path.getsize(file) > 5000 for file in files)
    text = Path(files[1]).read_text()
    assert text.count("<path") > 40
    with pytest.raises(SolspaceError, match="solspace label STORE"):
        plot_checkpoints(flow_of(np.full((3, 4), -1)))
    unfinished = flow_of(solution)
    unfinished["checkpoint_gradient_steps"][:, -2] = -1
    with pytest.raises(SolspaceError, match="no network reached its target loss"):
        plot_checkpoints(unfinished)
    with pytest.raises(SolspaceError, match="give 1 to 12"):
        plot_checkpoints(flow_of(solution), most=13)


def test_the_report_tells_which_solutions_turned_into_which(tmp_path):
    from solspace.report.pictures import Pictures
    from solspace.report.sections import learning

    solution = np.array([[-1, 0, 0, 0], [-1, 1, 1, 0], [-1, 1, 0, 0], [-1, 1, 1, 1]])
    text = "\n".join(learning(flow_of(solution), "some", Pictures(str(tmp_path / "files"))))
    assert "2 of 4 networks had their final solution at every look from a loss of 0.0045" in text
    assert "1 to 0 (2)" in text and "<svg" in text
    none = "\n".join(learning(flow_of(solution * 0 - 1), "some", Pictures(str(tmp_path / "x"))))
    assert "solspace label STORE" in none and "<svg" not in none
