"""Many networks trained at once on a device: here the processor, by the code that a GPU runs."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
import xarray as xr
from blocks import python_blocks
from hypothesis import given, settings
from hypothesis import strategies as st
from test_training import COMPILED, EASY, RECIPE, TASK, broken, population, some_trials

from solspace import create_population, networks, run_stage
from solspace.cli import main
from solspace.errors import SolspaceError
from solspace.tasks import Recipe, Task, Trials, get_task
from solspace.training import initial_weights, train_network
from solspace.training.batched import AtOnce, BatchedSteps, DeviceMemoryError
from solspace.training.driver import Training
from solspace.training.stage import train
from solspace.training.steps import make_steps
from solspace.training.together import begun, train_networks

torch = pytest.importorskip("torch")

ARCHITECTURES = ("relu", *COMPILED)


def weights_of(architecture: str, size: int, inputs: int, outputs: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return initial_weights(
        architecture, size, inputs=inputs, outputs=outputs, init="default", rng=rng
    )


def flat(weights) -> np.ndarray:
    return np.concatenate([weights[name].ravel() for name in networks.PARAMETERS])


def check_gradient(
    architecture: str, size: int, inputs: int, outputs: int, steps: int, batch: int
) -> None:
    trials = some_trials(batch + 3, steps, inputs, outputs)
    trials.target[1, : steps // 2] = np.nan  # where nothing is asked for
    weights = weights_of(architecture, size, inputs, outputs)
    picked = np.random.default_rng(1).integers(batch + 3, size=batch)
    if np.isnan(trials.target[picked]).all():
        return
    kernels = make_steps(architecture, weights, trials, RECIPE).gradient(picked)
    batched = AtOnce("cpu").make(architecture, weights, trials, RECIPE).gradient(picked)
    # Each is rounded to some 1e-7 of outputs of about 1.
    assert batched[0] == pytest.approx(kernels[0], rel=1e-5)
    expected, found = flat(kernels[1]), flat(batched[1])
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [1, 20, 50])
def test_gradient_is_that_of_the_compiled_kernels(architecture: str, size: int) -> None:
    check_gradient(architecture, size, inputs=2, outputs=1, steps=150, batch=32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(
    size=st.integers(1, 20),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 3),
    steps=st.integers(1, 40),
    batch=st.integers(2, 40),
)
@settings(max_examples=10, deadline=None)
def test_gradient_is_the_kernels_for_any_task(
    architecture: str, size: int, inputs: int, outputs: int, steps: int, batch: int
) -> None:
    check_gradient(architecture, size, inputs, outputs, steps, batch)


def some_steps(at_once: AtOnce, architecture: str, sizes: tuple[int, ...]) -> list[BatchedSteps]:
    """Networks of several sizes, each with trials of its own, with steps that are waited for."""
    out = []
    for k, size in enumerate(sizes):
        trials = some_trials(20 + k, 15, 2, 1, seed=k)
        weights = weights_of(architecture, size, 2, 1, seed=k)
        steps = at_once.make(architecture, weights, trials, dataclasses.replace(RECIPE, clip=0.1))
        assert isinstance(steps, BatchedSteps)
        rows = 3 + k % 2  # not all as many
        picked = np.random.default_rng(k).integers(len(trials), size=(rows, 8))
        steps.advance(picked, np.linspace(2e-3, 1e-3, rows))
        out.append(steps)
    return out


def check_same(some: list[BatchedSteps], others: list[BatchedSteps]) -> None:
    for one, other in zip(some, others, strict=True):
        assert one.loss() == pytest.approx(other.loss(), rel=1e-5)
        np.testing.assert_allclose(flat(one.weights()), flat(other.weights()), atol=2e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_networks_beside_a_network_change_nothing(architecture: str) -> None:
    sizes = (5, 9, 5, 12, 1)
    together, alone = (some_steps(AtOnce("cpu"), architecture, sizes) for _ in range(2))
    AtOnce("cpu").run(together)
    check_same(together, alone)


def test_what_does_not_fit_goes_in_parts() -> None:
    sizes = (5, 9, 5, 12, 8, 8, 7)
    free = some_steps(AtOnce("cpu"), "gru", sizes)
    AtOnce("cpu").run(free)
    needed = 120_000  # some bytes of a GRU of 12 units and 8 trials of 15 steps
    small = AtOnce("cpu", places=7, memory=3 * needed)
    limited = some_steps(small, "gru", sizes)
    small.run(limited)
    assert 1 <= small.places < 7
    check_same(limited, free)
    none = AtOnce("cpu", places=7, memory=1000)
    with pytest.raises(DeviceMemoryError, match=r"a gru network of 5 units needs .* MB on device"):
        none.run(some_steps(none, "gru", sizes))
    by_itself = AtOnce("cpu", memory=3 * needed)  # as many as fit
    asked = some_steps(by_itself, "gru", sizes)
    by_itself.run(asked)
    assert 1 <= by_itself.places < 7
    check_same(asked, free)


def test_what_is_too_large_for_a_device_is_computed_in_parts() -> None:
    def compute(most: int):
        def run(part: slice) -> list[int]:
            if part.stop - part.start > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return list(range(part.start, part.stop))

        return run

    parts = networks.in_parts(compute(2), 7, "a network")
    assert max(map(len, parts)) <= 2
    assert [k for part in parts for k in part] == list(range(7))
    assert networks.in_parts(compute(7), 0, "a network") == [[]]
    assert networks.in_parts(compute(7), 7, "a network") == [list(range(7))]
    with pytest.raises(SolspaceError, match=r"a network is too large for the device's memory"):
        networks.in_parts(compute(0), 7, "a network")
    with pytest.raises(RuntimeError, match="something else"):
        networks.in_parts(lambda part: (_ for _ in ()).throw(RuntimeError("something else")), 1, "")


# --------------------------------------------------------------------------- whole trainings


def short_trials(rng: np.random.Generator) -> Trials:
    """Hold the sign of the last pulse, twelve steps."""
    pulses = np.where(rng.random((40, 12)) < 0.2, rng.choice([-1.0, 1.0], (40, 12)), 0.0)
    pulses[:, 0] = rng.choice([-1.0, 1.0], 40)
    target = pulses.copy()
    for t in range(1, 12):
        target[:, t] = np.where(pulses[:, t], pulses[:, t], target[:, t - 1])
    inputs = np.stack([pulses, np.abs(pulses)], axis=-1).astype(np.float32)
    hard = np.abs(pulses).sum(axis=1)
    return Trials(
        input=inputs,
        target=0.5 * target[..., None].astype(np.float32),
        epoch=np.zeros((40, 12), np.int8),
        parameters={"pulses": hard, "none": np.full(40, 6.0)},
    )


SHORT: Task = dataclasses.replace(TASK, training_trials=short_trials)
NOISY: Task = dataclasses.replace(SHORT, noisy=True)
FEW = Recipe(
    target_loss=1e-9, max_steps=12, learning_rate=0.01, attempts=2, check_every=4, batch_size=8,
    clip=0.1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "architecture", "changes"),
    [
        (SHORT, "vanilla", {}),
        (SHORT, "gru", {"hold_steps": 4, "hold_rate": 0.003}),
        (SHORT, "lstm", {"init": "default/sqrt(N)"}),
        (SHORT, "leaky", {"recurrent_noise": 0.1, "batch_size": 37}),
        (NOISY, "leaky_rate", {}),
        (
            SHORT,
            "relu",
            {"curriculum_steps": 6, "curriculum_loss": 1.0, "curriculum_first": "pulses",
             "curriculum_second": "none", "curriculum_gap": 3.0, "init": "orthogonal"},
        ),
    ],
)  # fmt: skip
def test_few_steps_lead_to_where_the_compiled_kernels_lead(task, architecture, changes) -> None:
    """The same seeds see the same starts, trials, batches, noise and decisions."""
    recipe = dataclasses.replace(FEW, **changes)
    sizes = (6, 9, 6)
    trainings = [
        Training(task, architecture, n, seed=k, recipe=recipe, checkpoints=3)
        for k, n in enumerate(sizes)
    ]
    found = train_networks(trainings, "cpu")
    for k, size in enumerate(sizes):
        alone = train_network(task, architecture, size, seed=k, recipe=recipe, checkpoints=3)
        together = found[k]
        for name, array in alone.initial_weights.items():
            np.testing.assert_array_equal(together.initial_weights[name], array)
        assert (together.attempts, together.gradient_steps) == (2, alone.gradient_steps)
        assert together.trained is False and "after 2 attempts of" in together.reason
        np.testing.assert_allclose(together.loss_curve, alone.loss_curve, rtol=1e-4)
        moved = np.abs(flat(alone.weights) - flat(alone.initial_weights)).max()
        assert moved > 1e-3
        # Adam divides by the size of a gradient, so a tiny one is rounded visibly.
        difference = np.abs(flat(alone.weights) - flat(together.weights)).max()
        assert difference < 0.02 * moved
        assert len(together.checkpoints) == len(alone.checkpoints) == 3


LEARNT = dataclasses.replace(
    FEW, target_loss=0.01, max_steps=600, attempts=3, check_every=20, batch_size=20
)


def test_a_population_is_trained_to_its_target() -> None:
    ds = population(SHORT, LEARNT, networks=5)
    out = train(ds, task=SHORT, device="cpu")
    assert (out.status_train == 1).all()
    assert (out.loss < 0.01).all()
    curve = out.loss_curve.values
    assert (curve[:, 0] > 0.05).all() and (np.nanmin(curve, axis=1) < 0.01).all()
    kernels = train(ds, task=SHORT)
    for name in ("weight_hh", "bias_ih", "weight_out"):
        np.testing.assert_array_equal(out[f"initial_{name}"], kernels[f"initial_{name}"])
    # Steps are rounded otherwise, and what one network needs is not far from what it needed.
    ratio = out.gradient_steps.sum() / kernels.gradient_steps.sum()
    assert 0.5 < ratio < 2


def test_attempts_that_are_begun_ahead_change_nothing() -> None:
    recipe = dataclasses.replace(LEARNT, max_steps=60, check_every=20, target_loss=0.06)
    trainings = [Training(SHORT, "vanilla", 8, seed=k, recipe=recipe) for k in range(4)]
    first, ahead = (train_networks(trainings, "cpu", ahead=n) for n in (0, 12))
    assert {r.attempts for r in first} - {1}  # some need more than one
    for one, other in zip(first, ahead, strict=True):
        assert (one.attempts, one.trained) == (other.attempts, other.trained)
        assert one.gradient_steps == other.gradient_steps
        np.testing.assert_allclose(one.loss_curve, other.loss_curve, rtol=1e-3)


def test_threads_share_a_batch_and_networks_come_and_go() -> None:
    recipe = dataclasses.replace(LEARNT, max_steps=40, attempts=1)
    sizes = {k: 5 + k for k in range(6)}
    results = {}

    def one(k: int) -> None:
        training = Training(SHORT, "vanilla", sizes[k], seed=k, recipe=recipe)
        (results[k],) = train_networks([training], "cpu", places=2)

    threads = [threading.Thread(target=one, args=(k,)) for k in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, size in sizes.items():
        alone = train_network(SHORT, "vanilla", size, seed=k, recipe=recipe)
        assert results[k].gradient_steps == alone.gradient_steps
        np.testing.assert_allclose(results[k].loss_curve, alone.loss_curve, rtol=0.02)


def test_a_store_is_trained_on_a_device_shard_by_shard(tmp_path) -> None:
    path = str(tmp_path / "on_device.zarr")
    recipe = dataclasses.replace(EASY, target_loss=1e-9, max_steps=8, attempts=1, check_every=4)
    ds = population(TASK, recipe, networks=5)
    create_population(path, ds, shard_size=2)
    with pytest.warns(UserWarning, match="networks failed"):
        expected = train(ds, device="cpu")
    (outcome,) = run_stage(path, "train", options={"device": "cpu"})
    assert (outcome.failed, outcome.computed) == (5, 5)
    stored = xr.open_zarr(path, group="interval_reproduction/vanilla").load()
    np.testing.assert_allclose(stored.weight_hh, expected.weight_hh, atol=1e-5)
    assert run_stage(path, "train", options={"device": "cpu"})[0].computed == 0


def test_a_network_that_cannot_train_fails_alone() -> None:
    task = broken("none")
    recipe = dataclasses.replace(EASY, max_steps=2, check_every=2, attempts=1, target_loss=0.5)
    with pytest.warns(UserWarning, match="networks failed in train"):
        out = train(population(task, recipe), task=task, device="cpu")
    failed = out.status_train.values == 2
    assert failed.any() and not failed.all()
    for i in np.flatnonzero(failed):
        assert "gives no training trials" in str(out.message_train.values[i])


def test_stopping_ends_what_is_under_way() -> None:
    with pytest.raises(KeyboardInterrupt, match="training was stopped at step 0"):
        train(population(SHORT, LEARNT, networks=3), task=SHORT, device="cpu", stop=lambda: True)
    endless = dataclasses.replace(LEARNT, target_loss=1e-12, max_steps=10**7)
    training = Training(SHORT, "vanilla", 5, seed=0, recipe=endless)
    with begun([training], "cpu") as futures:
        assert not futures[0].done()
    assert futures[0].cancelled()


def test_the_page_about_it_runs(capsys) -> None:
    known: dict[str, object] = {}  # blocks go on from those before
    for block in python_blocks("docs/gpu.md"):
        exec(block, known)
    assert capsys.readouterr().out.startswith("[0.0")


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("device", ["gpu", "cuda:77", "meta"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_done(device, tmp_path) -> None:
    message = f"device '{device}' is (none that torch knows|not there).*give one of"
    ds = population(TASK, EASY, networks=2)
    with pytest.raises(SolspaceError, match=message):
        train(ds, device=device)
    with pytest.raises(SolspaceError, match=message):
        train_network(TASK, "vanilla", 5, seed=0, device=device)
    path = str(tmp_path / "none.zarr")
    create_population(path, ds)
    with pytest.raises(SolspaceError, match=message):
        run_stage(path, "train", options={"device": device})
    assert (xr.open_zarr(path, group="interval_reproduction/vanilla").status_train == 0).all()


def test_the_command_line_refuses_a_device_before_a_store_is_made(tmp_path, capsys) -> None:
    path = tmp_path / "none.zarr"
    typed = f"train {path} --task interval_reproduction --architecture vanilla --device gpu"
    assert main(typed.split()) == 2
    assert capsys.readouterr().err.startswith("solspace: device 'gpu' is none that torch knows")
    assert not path.exists()


def test_noise_of_a_state_that_takes_none_is_refused() -> None:
    recipe = dataclasses.replace(FEW, recurrent_noise=0.1)
    with pytest.raises(SolspaceError, match="takes no noise in training here"):
        train_networks([Training(SHORT, "vanilla", 5, seed=0, recipe=recipe)], "cpu")


def test_every_recipe_of_the_package_is_for_an_architecture_that_is_batched() -> None:
    from solspace.training.batched import is_batched

    for task in ("interval_reproduction", "interval_discrimination", "delayed_discrimination"):
        assert all(map(is_batched, get_task(task).recipes))


# --------------------------------------------------------------------------- ready for a graph


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_of_a_step_leaves_the_device(architecture: str) -> None:
    """As a CUDA graph asks: no operation takes or gives a tensor of the processor, none waits.

    On torch's device "meta", where tensors have shapes and no values.
    """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from solspace.training.batched import _Buffers, _Wanted

    class Watch(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            name = str(func)
            for tensor in tree_leaves((args, kwargs, out)):
                if isinstance(tensor, torch.Tensor):
                    assert tensor.device.type == "meta", name
            waits = ("_to_copy", "_local_scalar_dense", "nonzero", "masked_select", "item", "equal")
            assert name.split(".")[1] not in waits, name
            views = ("slice", "select", "view", "unsqueeze", "expand", "transpose", "unbind",
                     "detach", "_unsafe_view", "alias", "squeeze", "permute", "as_strided",
                     "unflatten")  # fmt: skip
            self.count += name.split(".")[1] not in views
            return out

    noise = {"recurrent_noise": 0.1} if "leaky" in architecture else {}
    recipe = dataclasses.replace(FEW, **noise)
    some = []
    for k, size in enumerate((5, 7, 6)):
        trials = some_trials(20, 30, 2, 1, seed=k)
        weights = weights_of(architecture, size, 2, 1, seed=k)
        steps = AtOnce("cpu").make(architecture, weights, trials, recipe)
        assert isinstance(steps, BatchedSteps)
        steps.advance(np.zeros((2, 8), np.int64), np.ones(2))
        some.append(steps)
    with torch.no_grad():
        buffers = _Buffers(some[0], _Wanted.of(some), torch.device("meta"), None)
        rows = buffers._load(some)
        buffers._put_batches(some, rows)
        with Watch() as watch:
            buffers._take_step()
        # A few operations a time step, forward and backward: they are launches of a GPU.
        most = {"vanilla": 4, "relu": 4, "leaky": 9, "leaky_rate": 9, "gru": 10, "lstm": 15}
        assert watch.count < most[architecture] * 30 + 60
        with Watch():
            buffers._look_at_block()
