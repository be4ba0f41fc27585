from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr
from conftest import reference_path
from hypothesis import given, settings
from hypothesis import strategies as st

from solspace import networks
from solspace.errors import SolspaceError
from solspace.population import new_population
from solspace.tasks import Recipe, Task, Trials, get_task
from solspace.training import (
    initial_weights,
    learning_rates,
    mean_squared_error,
    train_network,
    training_trials,
)
from solspace.training.driver import batches
from solspace.training.stage import train
from solspace.training.steps import TorchSteps, make_steps

torch = pytest.importorskip("torch")

TASK = get_task("interval_reproduction")
RECIPE = TASK.recipe("vanilla")
EASY = dataclasses.replace(RECIPE, target_loss=0.03, max_steps=3000, attempts=2)
# A ReLU network has the kernel of a leaky rate network, with a step of 1.
COMPILED = ("vanilla", "leaky", "leaky_rate", "gru", "lstm")


def some_trials(trials: int, steps: int, inputs: int, outputs: int, seed: int = 0) -> Trials:
    rng = np.random.default_rng(seed)
    return Trials(
        input=rng.normal(size=(trials, steps, inputs)).astype(np.float32),
        target=rng.normal(size=(trials, steps, outputs)).astype(np.float32),
        epoch=np.zeros((trials, steps), np.int8),
        parameters={},
    )


def some_weights(
    architecture: str, size: int, inputs: int, outputs: int, seed: int = 0
) -> dict[str, np.ndarray]:
    return initial_weights(
        architecture,
        size,
        inputs=inputs,
        outputs=outputs,
        init="default",
        rng=np.random.default_rng(seed),
    )


def exact_gradient(
    architecture: str, weights: dict[str, np.ndarray], trials: Trials, batch: np.ndarray
) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradient by torch's autograd in float64."""
    parameters = {
        name: torch.tensor(array[None], dtype=torch.float64, requires_grad=True)
        for name, array in weights.items()
    }
    inputs = torch.tensor(trials.input[batch], dtype=torch.float64)
    _, output = networks.run_population(architecture, parameters, inputs)
    loss = ((output[0] - torch.tensor(trials.target[batch], dtype=torch.float64)) ** 2).mean()
    loss.backward()
    return loss.item(), {name: p.grad[0].numpy() for name, p in parameters.items()}


def check_gradient(
    architecture: str, size: int, inputs: int, outputs: int, steps: int, batch: int
) -> None:
    trials = some_trials(batch + 3, steps, inputs, outputs)
    weights = some_weights(architecture, size, inputs, outputs)
    picked = np.random.default_rng(1).integers(batch + 3, size=batch)
    loss, exact = exact_gradient(architecture, weights, trials, picked)
    computed_loss, computed = make_steps(architecture, weights, trials, RECIPE).gradient(picked)
    # Outputs of about 1 are rounded to some 1e-7 in float32, which is more of a small error.
    rounding = 4e-7 / math.sqrt(loss)
    assert math.isclose(computed_loss, loss, rel_tol=max(1e-5, 2 * rounding))
    exact = {name: array for name, array in exact.items() if name in networks.PARAMETERS}
    flat = np.concatenate([computed[name].ravel() for name in exact])
    flat_exact = np.concatenate([exact[name].ravel() for name in exact])
    error = np.linalg.norm(flat - flat_exact) / np.linalg.norm(flat_exact)
    assert error < max(1e-5, rounding), error


@pytest.mark.parametrize("architecture", COMPILED)
@pytest.mark.parametrize("size", [1, 7, 20, 23, 50])
def test_gradient_is_autograds_for_every_size(architecture: str, size: int) -> None:
    check_gradient(architecture, size, inputs=2, outputs=1, steps=150, batch=32)


@pytest.mark.parametrize("architecture", COMPILED)
@given(
    size=st.integers(1, 40),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 3),
    steps=st.integers(1, 110),
    batch=st.integers(1, 70),
)
@settings(max_examples=25)
def test_gradient_is_autograds_for_any_task(
    architecture: str, size: int, inputs: int, outputs: int, steps: int, batch: int
) -> None:
    check_gradient(architecture, size, inputs, outputs, steps, batch)


@pytest.mark.parametrize("architecture", COMPILED)
@pytest.mark.parametrize("clip", [0.03, 1e9])
def test_steps_are_those_of_torchs_adam(architecture: str, clip: float) -> None:
    trials = training_trials(TASK, 3)
    weights = some_weights(architecture, 23, 2, 1)
    recipe = dataclasses.replace(RECIPE, clip=clip)
    batches = np.random.default_rng(2).integers(len(trials), size=(6, 32))
    rates = np.linspace(3e-3, 1e-3, 6)

    parameters = {
        name: torch.nn.Parameter(torch.tensor(weights[name][None], dtype=torch.float64))
        for name in networks.PARAMETERS
    }
    given = {
        name: torch.tensor(array[None], dtype=torch.float64)
        for name, array in weights.items()
        if name not in parameters
    }
    adam = torch.optim.Adam(list(parameters.values()), betas=(recipe.beta1, recipe.beta2))
    for batch, rate in zip(batches, rates, strict=True):
        adam.param_groups[0]["lr"] = rate
        adam.zero_grad()
        inputs = torch.tensor(trials.input[batch], dtype=torch.float64)
        target = torch.tensor(trials.target[batch], dtype=torch.float64)
        output = networks.run_population(architecture, parameters | given, inputs)[1][0]
        ((output - target) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), clip)
        adam.step()

    for device in (None, "cpu"):
        steps = make_steps(architecture, weights, trials, recipe, device)
        steps.advance(batches[:2], rates[:2])
        steps.advance(batches[2:], rates[2:])
        for name, parameter in parameters.items():
            array = steps.weights()[name]
            expected = parameter.detach().numpy()[0]
            moved = np.abs(expected - weights[name]).max()
            assert moved > 1e-4, name
            np.testing.assert_allclose(array, expected, atol=1e-3 * moved, err_msg=name)


@pytest.mark.parametrize("architecture", COMPILED)
def test_restore_goes_back_to_the_snapshot(architecture: str) -> None:
    trials = training_trials(TASK, 3)
    steps = make_steps(architecture, some_weights(architecture, 9, 2, 1), trials, RECIPE)
    batches = np.random.default_rng(2).integers(len(trials), size=(4, 32))
    rates = np.full(4, 2e-3)
    steps.advance(batches, rates)
    snapshot, loss = steps.snapshot(), steps.loss()
    steps.advance(batches, rates)
    once = steps.weights()
    assert steps.loss() != loss
    steps.restore(snapshot)
    assert steps.loss() == loss
    steps.advance(batches, rates)
    for name, array in steps.weights().items():
        np.testing.assert_array_equal(array, once[name])


@pytest.mark.parametrize("architecture", COMPILED)
def test_loss_is_that_of_the_exported_weights(architecture: str) -> None:
    trials = some_trials(45, 30, 3, 2)  # no multiple of a block
    weights = some_weights(architecture, 11, 3, 2)
    steps = make_steps(architecture, weights, trials, RECIPE)
    for name, array in steps.weights().items():
        np.testing.assert_array_equal(array, weights[name])
    steps.advance(np.arange(40).reshape(2, 20), np.full(2, 1e-3))
    exact = mean_squared_error(architecture, steps.weights(), trials)
    assert math.isclose(steps.loss(), exact, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}, (8, True, 6, 2, 3, 4)),
        ({"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": ""}, (4, False, 6, 2, 3, 4)),
        ({"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": ""}, (16, True, 12, 2, 5, 5)),
    ],
)
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of x86 processors")
def test_tiles_fit_the_processor_that_is_compiled_for(limits, found) -> None:
    code = "from solspace.training.vectors import tiles; print(*tiles())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | limits, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(part) for part in found]


def test_tanh_is_tanh() -> None:
    from solspace.training.blocks import BLOCK
    from solspace.training.kernels import _activate

    x = np.linspace(-12, 12, 200_001, dtype=np.float32)
    drive = x[:-1].reshape(-1, BLOCK)
    out = np.empty_like(drive)
    _activate(drive, len(drive), out)
    assert np.abs(out - np.tanh(drive.astype(float))).max() < 5e-7
    assert np.abs(out).max() <= 1
    drive[0, 3] = np.nan
    _activate(drive, len(drive), out)
    assert np.isnan(out[0, 3]) and np.isfinite(out).sum() == out.size - 1


# --------------------------------------------------------------------------- the driver


def test_same_seed_same_network_in_threads_and_processes() -> None:
    short = dataclasses.replace(EASY, target_loss=0.0, max_steps=160, attempts=1)

    def train(seed: int) -> bytes:
        result = train_network(TASK, "vanilla", 21 + seed, seed=seed, recipe=short)
        return b"".join(result.weights[name].tobytes() for name in networks.PARAMETERS)

    alone = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(train, range(4))) == alone
    assert len(set(alone)) == 4
    code = (
        "import dataclasses, hashlib\n"
        "from solspace.tasks import get_task\n"
        "from solspace.training import train_network\n"
        "task = get_task('interval_reproduction')\n"
        "recipe = dataclasses.replace(\n"
        "    task.recipe('vanilla'), target_loss=0.0, max_steps=160, attempts=1)\n"
        "result = train_network(task, 'vanilla', 24, seed=3, recipe=recipe)\n"
        "names = ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh', 'weight_out', 'bias_out')\n"
        "print(b''.join(result.weights[n].tobytes() for n in names).hex())\n"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert bytes.fromhex(other.stdout) == alone[3]


def test_trained_network_has_the_loss_it_reports() -> None:
    result = train_network(TASK, "vanilla", 30, seed=5, recipe=EASY)
    assert result.trained and result.reason == ""
    assert result.loss < EASY.target_loss
    assert 0 < result.gradient_steps <= EASY.max_steps
    assert result.gradient_steps % EASY.check_every == 0
    trials = training_trials(TASK, 5)
    _, output = networks.run("vanilla", result.weights, trials.input)
    assert result.loss == float(np.mean((output - trials.target) ** 2))
    before = mean_squared_error("vanilla", result.initial_weights, trials)
    assert before > result.loss
    shapes = networks.parameter_shapes("vanilla", 30, 2, 1)
    for weights in (result.weights, result.initial_weights):
        assert {name: array.shape for name, array in weights.items()} == shapes
        assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}


def test_seed_fixes_trials_across_attempts_and_separates_networks() -> None:
    a, b, c = (training_trials(TASK, seed).parameters["t_in"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_a_bar_is_told_how_far_each_network_is() -> None:
    class Progress:
        def __init__(self) -> None:
            self.done, self.told = 0, list[tuple[str, float, str]]()

        def __call__(self, networks: int) -> None:
            self.done += networks

        def within(self, network: str, share: float, said: str) -> None:
            self.told.append((network, share, said))

    recipe = dataclasses.replace(RECIPE, max_steps=400, check_every=100, attempts=2)
    ds = new_population(
        "interval_reproduction", "vanilla", networks=1, hidden_size=20, recipe=recipe
    )
    progress = Progress()
    with pytest.warns(UserWarning, match="failed in train"):
        out = train(ds, progress=progress)
    assert progress.done == 1
    assert [share for _, share, _ in progress.told] == [0.25, 0.5, 0.75, 1.0] * 2
    assert {name for name, _, _ in progress.told} == {str(ds["name"].values[0])}
    curve = out["loss_curve"].values[0]
    kept = [said for *_, said in progress.told if f"loss {curve[1]:.1e}" in said]
    assert kept and progress.told[-1][2].startswith("attempt 2, loss ")


def test_failed_network_keeps_its_best_weights_and_says_why() -> None:
    recipe = dataclasses.replace(RECIPE, max_steps=300, attempts=3)
    result = train_network(TASK, "vanilla", 20, seed=1, recipe=recipe)
    assert not result.trained and result.attempts == 3
    assert result.reason.endswith("after 3 attempts of 300 steps, wanted 0.0001")
    trials = training_trials(TASK, 1)
    assert result.loss == mean_squared_error("vanilla", result.weights, trials)
    assert result.loss < mean_squared_error("vanilla", result.initial_weights, trials)


@pytest.mark.parametrize("rate, word", [(1e38, "NaN|infinite|diverged"), (1e3, "diverged")])
def test_divergence_ends_an_attempt_with_its_reason(rate: float, word: str) -> None:
    recipe = dataclasses.replace(RECIPE, learning_rate=rate, attempts=2)
    result = train_network(TASK, "vanilla", 20, seed=1, recipe=recipe)
    assert not result.trained and result.attempts == 2
    assert all(np.isfinite(array).all() for array in result.weights.values())
    assert np.isfinite(result.loss)
    assert re.search(rf"attempt 1 ended at step 50: loss .*({word})", result.reason)
    assert re.search(rf"attempt 2 ended at step 50: loss .*({word})", result.reason)


def test_nan_in_the_trials_is_a_reason_not_a_result() -> None:
    def with_nan(rng: np.random.Generator) -> Trials:
        trials = TASK.training_trials(rng)
        trials.target[7, 3, 0] = np.nan
        return trials

    broken = dataclasses.replace(TASK, training_trials=with_nan)
    with pytest.raises(SolspaceError, match="NaN"):
        train_network(broken, "vanilla", 20, seed=1, recipe=EASY)


# Reached at once by a network that learns anything at all.
QUICK = Recipe(target_loss=0.5, max_steps=60, learning_rate=0.01, attempts=1, check_every=20)


def population(task: Task, recipe: Recipe, networks: int = 6) -> xr.Dataset:
    return new_population(
        task, "vanilla", networks=networks, hidden_size=[4, 20], seed=2, recipe=recipe
    )


def broken(how: str) -> Task:
    """Interval reproduction, but the trials of about every second network are no good."""

    def training_trials(rng: np.random.Generator) -> Trials:
        trials = TASK.training_trials(rng)
        if rng.integers(2):
            return trials
        if how == "none":
            names = ("input", "target", "epoch")
            return Trials(**{n: getattr(trials, n)[:0] for n in names}, parameters={})
        trials.target[7, 3, 0] = {"nan": np.nan, "infinite": np.inf, "huge": 1e30}[how]
        return trials

    return dataclasses.replace(TASK, training_trials=training_trials)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("none", r"gives no training trials \(input \(0, 150, 2\)"),
        ("nan", "training trials .* hold NaN or infinity"),
        ("infinite", "training trials .* hold NaN or infinity"),
        ("huge", "ended at step 20: loss became (infinite|NaN)"),
    ],
)
def test_trials_that_are_no_good_fail_their_network_and_the_rest_go_on(how, message) -> None:
    task = broken(how)
    good = train(population(TASK, QUICK), task=TASK)
    with pytest.warns(UserWarning, match="networks failed in train"):
        out = train(population(task, QUICK), task=task)
    failed = out.status_train.values == 2
    assert failed.any() and not failed.all()
    for i in range(len(failed)):
        text = str(out.message_train.values[i])
        assert bool(re.search(message, text)) == failed[i], text
    fine = good.isel(network=~failed)
    for name in ("weight_hh", "loss", "gradient_steps", "status_train"):
        np.testing.assert_array_equal(out[name].values[~failed], fine[name].values)


def test_a_learning_rate_that_diverges_fails_its_networks_and_the_rest_go_on() -> None:
    """The rate is made to fall so fast with size that the small networks alone diverge."""
    recipe = Recipe(
        target_loss=0.0331,  # just under that of silence
        max_steps=600,
        learning_rate=0.01 * 20.0**8,
        learning_rate_power=-8.0,
        attempts=1,
        check_every=20,
    )
    with pytest.warns(UserWarning, match="3 of 6 networks failed"):
        out = train(population(TASK, recipe), task=TASK)
    assert out.status_train.values.tolist() == [2, 1] * 3
    for text in out.message_train.values[::2]:
        assert re.search(r"attempt 1 ended at step 20: loss (diverged|became)", text)
    # Its best weights are those it began with, and they are kept.
    assert np.isfinite(out.loss.values).all()
    np.testing.assert_array_equal(out.weight_hh.values[::2], out.initial_weight_hh.values[::2])


def test_plateau_ends_an_attempt() -> None:
    recipe = dataclasses.replace(
        RECIPE, attempts=2, max_steps=1000, plateau_steps=120, plateau_loss=1e-3
    )
    result = train_network(TASK, "vanilla", 20, seed=1, recipe=recipe)
    assert "attempt 1 ended at step 150: loss still 0.03" in result.reason
    assert "attempt 2 ended at step 150: loss still 0.03" in result.reason


def test_stop_raises_before_anything_is_returned() -> None:
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(KeyboardInterrupt, match="step 100"):
        train_network(TASK, "vanilla", 20, seed=1, stop=stop)


def test_batches_hold_every_trial_equally_often() -> None:
    recipe = Recipe(target_loss=1, max_steps=130, learning_rate=1, batch_size=24, check_every=40)
    parts = list(batches(100, 130, recipe, np.random.default_rng(0)))
    assert [part.shape for part in parts] == [(40, 24), (40, 24), (40, 24), (10, 24)]
    stream = np.concatenate([part.ravel() for part in parts])
    for epoch in range(len(stream) // 100):
        assert set(stream[100 * epoch : 100 * (epoch + 1)]) == set(range(100))
    assert (stream[:100] != stream[100:200]).any()


def test_learning_rates_fall_as_told() -> None:
    recipe = Recipe(
        target_loss=1,
        max_steps=1000,
        learning_rate=2.0,
        learning_rate_power=-1,
        schedule="cosine",
        decay_start=0.2,
        decay_stop=0.7,
        final_rate=0.1,
    )
    rates = learning_rates(recipe, 40)
    assert np.allclose(rates[:200], 0.05) and np.allclose(rates[700:], 0.005)
    assert np.isclose(rates[450], (0.05 + 0.005) / 2)
    assert (np.diff(rates) <= 0).all()


@pytest.mark.parametrize("architecture", COMPILED)
@pytest.mark.parametrize("size", [1, 20])
def test_initial_weights(architecture: str, size: int) -> None:
    def draw(init: str) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return initial_weights(architecture, size, inputs=2, outputs=1, init=init, rng=rng)

    shapes = networks.parameter_shapes(architecture, size, 2, 1)
    for init, bound in (("default", size**-0.5), ("default/sqrt(N)", 1 / size)):
        weights = draw(init)
        assert {name: array.shape for name, array in weights.items()} == shapes
        assert all(np.abs(weights[name]).max() <= bound for name in networks.PARAMETERS)
        if size > 1:
            assert np.abs(weights["weight_hh"]).max() > 0.98 * bound
    for gate in draw("orthogonal")["weight_hh"]:
        np.testing.assert_allclose(gate @ gate.T, np.eye(size), atol=1e-6)


@pytest.mark.parametrize("architecture", COMPILED)
def test_initial_weights_spread_as_the_published_ones(architecture: str) -> None:
    folder = reference_path("networks", "interval_reproduction", architecture)
    init = "default" if architecture == "vanilla" else "default/sqrt(N)"
    found = sorted(folder.glob("*/initial_weights.pt"))
    assert found
    for path in found:
        published = networks.from_state_dict(
            networks.read_state_dict(str(path)), architecture, inputs=2, outputs=1
        )
        ours = initial_weights(
            architecture,
            networks.hidden_size(published),
            inputs=2,
            outputs=1,
            init=init,
            rng=np.random.default_rng(0),
        )
        for name in ("weight_hh", "weight_ih", "weight_out"):
            a, b = np.abs(published[name]).max(), np.abs(ours[name]).max()
            assert abs(a / b - 1) < 0.25, (path, name)
        assert abs(published["weight_hh"].std() / ours["weight_hh"].std() - 1) < 0.1


def test_bad_requests_name_what_is_allowed() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(SolspaceError, match=r"unknown init 'xavier'; inits: default, .*orthogonal"):
        initial_weights("vanilla", 20, inputs=2, outputs=1, init="xavier", rng=rng)
    with pytest.raises(SolspaceError, match="hidden size 0"):
        initial_weights("vanilla", 0, inputs=2, outputs=1, init="default", rng=rng)
    with pytest.raises(SolspaceError, match="unknown architecture 'elman'"):
        train_network(TASK, "elman", 20, seed=0)
    with pytest.raises(SolspaceError, match="unknown schedule 'steps'; schedules: linear, cosine"):
        learning_rates(dataclasses.replace(RECIPE, schedule="steps"), 20)
    with pytest.raises(SolspaceError, match="seed -1"):
        train_network(TASK, "vanilla", 20, seed=-1)


def test_own_task_of_other_shape_trains() -> None:
    """Two channels out, trials of 40 steps, a set of 30: copy the input, and its negative."""

    def copying(rng: np.random.Generator) -> Trials:
        inputs = rng.choice(np.float32([-0.5, 0.5]), size=(30, 40, 1))
        return Trials(
            input=inputs,
            target=np.concatenate([inputs, -inputs], axis=-1),
            epoch=np.zeros((30, 40), np.int8),
            parameters={},
        )

    task = Task(
        name="copying",
        inputs=("x",),
        outputs=("same", "opposite"),
        epochs=("all",),
        parameters={},
        training_trials=copying,
        recorded_trials=lambda: copying(np.random.default_rng(0)),
        extrapolation_trials=lambda: copying(np.random.default_rng(0)),
        recipes={"vanilla": Recipe(target_loss=1e-3, max_steps=2000, learning_rate=0.05, clip=1)},
    )
    result = train_network(task, "vanilla", 9, seed=0)
    assert result.trained, result.reason
    assert result.loss < 1e-3


def test_lesson_comes_first_and_counts() -> None:
    """Easy trials alone are learnt first; one that cannot be learnt ends the attempt."""
    task = get_task("interval_discrimination")
    recipe = dataclasses.replace(
        task.recipe("vanilla"), attempts=1, curriculum_loss=1.0, max_steps=100, target_loss=1e-9
    )
    taught = train_network(task, "vanilla", 20, seed=0, recipe=recipe)
    assert taught.gradient_steps == 150  # learnt at the first check
    assert "curriculum" not in taught.reason
    recipe = dataclasses.replace(recipe, curriculum_loss=1e-9, curriculum_steps=100)
    failed = train_network(task, "vanilla", 20, seed=0, recipe=recipe)
    assert failed.gradient_steps == 100
    assert failed.reason.endswith("attempt 1 ended at step 100: curriculum not learnt")
    for change, message in (
        ({"curriculum_gap": 21}, "t1 and t2 21 apart"),
        ({"curriculum_first": "t_in"}, "compares 't_in' and 't2'.* parameters are t1, t2"),
    ):
        with pytest.raises(SolspaceError, match=message):
            train_network(task, "vanilla", 20, seed=0, recipe=dataclasses.replace(recipe, **change))


def test_recipes_come_back_from_json() -> None:
    for name in ("interval_reproduction", "delayed_discrimination", "interval_discrimination"):
        for recipe in get_task(name).recipes.values():
            assert Recipe(**json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe


@pytest.mark.slow
def test_the_recipe_trains_interval_reproduction() -> None:
    jobs = [(size, 1000 + k) for size in (50, 40, 30, 20) for k in range(2)]

    def train(job: tuple[int, int]) -> bool:
        return train_network(TASK, "vanilla", job[0], seed=job[1]).trained

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(train, jobs)) >= 7


# --------------------------------------------------------------------------- noise and masks


def masked(trials: Trials, seed: int = 0) -> Trials:
    """The same, but nothing is asked for at about half of all steps, others in each trial."""
    target = trials.target.copy()
    target[np.random.default_rng(seed).random(target.shape[:2]) < 0.5] = np.nan
    return dataclasses.replace(trials, target=target)


@pytest.mark.parametrize("architecture", COMPILED)
def test_what_is_not_asked_for_has_no_gradient(architecture: str) -> None:
    trials = masked(some_trials(40, 60, 3, 2))
    weights = some_weights(architecture, 11, 3, 2)
    batch = np.arange(35)
    by_torch = TorchSteps(architecture, weights, trials, RECIPE, "cpu")
    compiled = make_steps(architecture, weights, trials, RECIPE)
    loss, expected = by_torch.gradient(batch)
    own, found = compiled.gradient(batch)
    assert math.isclose(own, loss, rel_tol=1e-5)
    assert math.isclose(compiled.loss(), by_torch.loss(), rel_tol=1e-5)
    assert math.isclose(
        compiled.loss(), mean_squared_error(architecture, weights, trials), rel_tol=1e-5
    )
    for name in ("weight_hh", "weight_ih", "weight_out"):
        np.testing.assert_allclose(found[name], expected[name], atol=2e-5 * abs(loss) + 1e-6)


def test_a_noisy_task_is_learnt_from_trials_that_are_seen_once() -> None:
    drawn: list[Trials] = []

    def draw(rng: np.random.Generator) -> Trials:
        trials = TASK.training_trials(rng)
        noise = rng.standard_normal(trials.input.shape, np.float32)
        drawn.append(dataclasses.replace(trials, input=trials.input + 0.1 * noise))
        return drawn[-1]

    task = dataclasses.replace(TASK, training_trials=draw, noisy=True)
    recipe = dataclasses.replace(RECIPE, max_steps=40, check_every=10, attempts=1)
    one = train_network(task, "leaky", 12, seed=5, recipe=recipe)
    # 128 trials are four batches: ten sets, and that at which the loss is looked at.
    assert len(drawn) == 11
    assert len({trials.input.tobytes() for trials in drawn}) == 11
    assert one.loss == mean_squared_error("leaky", one.weights, drawn[0])
    again = train_network(task, "leaky", 12, seed=5, recipe=recipe)
    np.testing.assert_array_equal(again.weights["weight_hh"], one.weights["weight_hh"])
    still = train_network(
        dataclasses.replace(task, noisy=False), "leaky", 12, seed=5, recipe=recipe
    )
    assert not np.array_equal(still.weights["weight_hh"], one.weights["weight_hh"])


def test_noise_in_the_state_is_passed_by_the_gradient() -> None:
    trials = some_trials(40, 30, 3, 2)
    weights = some_weights("leaky", 11, 3, 2)
    recipe = dataclasses.replace(RECIPE, recurrent_noise=0.1, batch_size=40)
    steps = make_steps("leaky", weights, trials, recipe)
    quiet = steps.loss()
    noise = 0.1 * np.random.default_rng(1).standard_normal(steps._work[-2].shape, np.float32)
    steps._work[-2][:] = noise
    loss, found = steps.gradient(np.arange(40))
    given = torch.tensor(np.concatenate([*noise], axis=-1)[..., :40].transpose(2, 0, 1)).double()
    w = {n: torch.tensor(a).double().requires_grad_() for n, a in weights.items()}
    x, h, squares = torch.tensor(trials.input).double(), torch.zeros(40, 11).double(), 0
    for t in range(30):
        drive = x[:, t] @ w["weight_ih"][0].T + h @ w["weight_hh"][0].T
        new = (drive + w["bias_ih"][0] + w["bias_hh"][0]).tanh()
        h = h + w["alpha"] * (new - h) + given[:, t]
        output = h @ w["weight_out"].T + w["bias_out"]
        squares = squares + ((output - torch.tensor(trials.target[:, t])) ** 2).sum()
    mean = squares / trials.target.size
    mean.backward()
    assert math.isclose(loss, mean.item(), rel_tol=1e-5)
    for name in ("weight_hh", "weight_ih", "weight_out", "bias_out"):
        exact = w[name].grad.numpy()
        np.testing.assert_allclose(found[name], exact, atol=1e-5 * abs(exact).max())
    assert steps.loss() == quiet  # the loss that is looked at is without
    with pytest.raises(SolspaceError, match=r"state of gru networks takes no noise .* leaky"):
        make_steps("gru", some_weights("gru", 11, 3, 2), trials, recipe)
