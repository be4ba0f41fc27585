"""The cells against torch's own modules, and state dicts in and out."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numba.core.errors import TypingError

from solspace import SolspaceError
from solspace.networks import (
    PARAMETERS,
    from_state_dict,
    parameter_shapes,
    read_state_dict,
    run,
    run_output,
    run_population,
    to_state_dict,
)
from solspace.networks.vectors import address, elementwise, sigmoid, tanh

MODULES = {
    "vanilla": torch.nn.RNN,
    "relu": partial(torch.nn.RNN, nonlinearity="relu"),
    "gru": torch.nn.GRU,
    "lstm": torch.nn.LSTM,
}
ARCHITECTURES = tuple(MODULES)


class Model(torch.nn.Module):
    def __init__(self, architecture: str, inputs: int, units: int, outputs: int) -> None:
        super().__init__()
        self.rnn = MODULES[architecture](inputs, units, batch_first=True)
        self.fc = torch.nn.Linear(units, outputs)

    def forward(self, x):
        states, _ = self.rnn(x)
        return states, self.fc(states)


def make_model(
    architecture: str, units: int, seed: int, inputs: int = 2, outputs: int = 1
) -> Model:
    torch.manual_seed(seed)
    return Model(architecture, inputs, units, outputs)


def make_weights(architecture: str, units: int, seed: int, inputs: int = 2, outputs: int = 1):
    model = make_model(architecture, units, seed, inputs, outputs)
    return from_state_dict(model.state_dict(), architecture, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=12)
@given(
    units=st.integers(1, 50),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_cells_equal_torch_over_500_steps(architecture, units, inputs, outputs, seed):
    model = make_model(architecture, units, seed, inputs, outputs).double()
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 500, inputs)))
    with torch.no_grad():
        states, output = model(x)
    weights = {
        name: array.astype(np.float64)
        for name, array in from_state_dict(
            model.state_dict(), architecture, inputs=inputs, outputs=outputs
        ).items()
    }
    ours, ours_out = run(architecture, weights, x.numpy())
    # float64 weights were rounded to float32 on the way
    np.testing.assert_allclose(ours[..., :units], states.numpy(), atol=1e-5)
    np.testing.assert_allclose(ours_out, output.numpy(), atol=1e-5)
    with torch.no_grad():
        batched, batched_out = run_population(
            architecture, {k: torch.from_numpy(v)[None] for k, v in weights.items()}, x
        )
    np.testing.assert_allclose(batched[0].numpy(), ours, atol=1e-10)
    np.testing.assert_allclose(batched_out[0].numpy(), ours_out, atol=1e-10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padded_units_stay_silent_and_change_nothing(architecture):
    small = make_weights(architecture, 6, seed=1)
    units = 9
    padded = {}
    for name, array in small.items():
        shape = tuple(units if size == 6 else size for size in array.shape)
        padded[name] = np.zeros((1, *shape))
        padded[name][(0, *map(slice, array.shape))] = array
    x = np.random.default_rng(0).normal(size=(3, 40, 2))
    tensors = {name: torch.from_numpy(array) for name, array in padded.items()}
    states, output = run_population(architecture, tensors, torch.from_numpy(x))
    alone, alone_output = run(architecture, small, x)
    np.testing.assert_allclose(output[0].numpy(), alone_output, atol=1e-10)
    np.testing.assert_allclose(states[0, ..., :6].numpy(), alone[..., :6], atol=1e-10)
    assert not states[0, ..., 6:9].any()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_continuing_from_a_state_equals_running_through(architecture):
    weights = make_weights(architecture, 7, seed=2)
    x = np.random.default_rng(1).normal(size=(4, 30, 2))
    states, output = run(architecture, weights, x)
    rest, rest_output = run(architecture, weights, x[:, 12:], states[:, 11])
    np.testing.assert_array_equal(rest, states[:, 12:])
    np.testing.assert_allclose(rest_output, output[:, 12:], atol=1e-12)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "leaky", "leaky_rate"])
@settings(max_examples=8)
@given(units=st.integers(1, 30), trials=st.integers(1, 20), seed=st.integers(0, 2**16))
def test_a_trial_is_the_same_to_the_last_bit_whatever_is_run_beside_it(
    architecture, units, trials, seed
):
    base = {"leaky": "vanilla", "leaky_rate": "relu"}.get(architecture, architecture)
    weights = make_weights(base, units, seed) | {"alpha": np.float64(0.3)}
    rng = np.random.default_rng(seed)
    # Silence in between, which takes another way than steps with input.
    x = rng.normal(size=(trials, 12, 2)) * (rng.random((trials, 12, 1)) < 0.3)
    states, output = run(architecture, weights, x)
    some = np.sort(rng.permutation(trials)[: rng.integers(1, trials + 1)])
    np.testing.assert_array_equal(run(architecture, weights, x[some])[0], states[some])
    np.testing.assert_array_equal(run_output(architecture, weights, x), output)


@pytest.mark.parametrize("architecture", ["gru", "lstm"])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e200])
def test_gates_far_open_or_shut_overflow_nowhere(architecture, size):
    """Their quotients are multiplied before they are divided."""
    rng = np.random.default_rng(0)
    weights = {n: w.astype(np.float64) for n, w in make_weights(architecture, 9, seed=3).items()}
    for name in ("weight_ih", "weight_hh", "bias_ih"):
        weights[name] = weights[name] * size
    start = rng.normal(size=(6, 9 * (1 + (architecture == "lstm")))) * 1e6  # no state is so large
    x = rng.normal(size=(6, 30, 2))
    states, output = run(architecture, weights, x, start)
    tensors = {name: torch.from_numpy(w)[None] for name, w in weights.items()}
    with torch.no_grad():
        batched, _ = run_population(
            architecture, tensors, torch.from_numpy(x), torch.from_numpy(start)[None]
        )
    assert np.isfinite(states).all() and np.isfinite(output).all()
    np.testing.assert_allclose(batched[0].numpy(), states, rtol=1e-9, atol=1e-9)


def test_no_two_compiled_steps_go_by_one_name():
    modules = [importlib.import_module(f"solspace.networks.{n}") for n in ("gru", "leaky", "lstm")]
    modules += [importlib.import_module(f"solspace.networks.{n}") for n in ("relu", "vanilla")]
    steps = [v for m in modules for n, v in vars(m).items() if n.endswith("_advance")]
    assert len(steps) == 6 == len({repr(step) for step in steps})


@pytest.mark.slow
def test_loops_compiled_by_two_processes_are_not_taken_for_one_another(tmp_path):
    """Two of one name would be, in a third that finds both compiled."""
    script = """
import sys
import numpy as np
from solspace.networks import run
for architecture in sys.argv[1:]:
    w = {"weight_ih": np.ones((1, 3, 1)), "weight_hh": np.zeros((1, 3, 3)),
         "bias_ih": np.zeros((1, 3)), "bias_hh": np.zeros((1, 3)), "alpha": np.float64(0.25),
         "weight_out": np.ones((1, 3)), "bias_out": np.zeros(1)}
    print(run(architecture, w, np.full((1, 1, 1), 2.0))[0].max().round(9))
"""
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    every = ["relu", "leaky_rate"]
    begun = [
        subprocess.Popen([sys.executable, "-c", script, name], env=env, stdout=subprocess.DEVNULL)
        for name in every
    ]
    assert [process.wait() for process in begun] == [0, 0]
    told = subprocess.run(
        [sys.executable, "-c", script, *every], env=env, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["2.0", "0.5"]


def test_what_puts_out_nothing_but_output_takes_as_many_trials_as_there_are():
    weights = make_weights("lstm", 40, seed=4)
    x = np.random.default_rng(0).normal(size=(50, 300, 2))  # of more than is kept at once
    np.testing.assert_array_equal(run_output("lstm", weights, x), run("lstm", weights, x)[1])
    assert run_output("lstm", weights, x[:0]).shape == (0, 300, 1)
    with pytest.raises(SolspaceError, match="give \\(2, 80\\)"):
        run_output("lstm", weights, x[:2], np.zeros((2, 40)))


def test_networks_run_in_float32_where_that_is_asked_for():
    weights = make_weights("gru", 9, seed=4)
    x = np.random.default_rng(0).normal(size=(5, 30, 2))
    states, output = run("gru", weights, x.astype(np.float32), dtype=np.float32)
    assert states.dtype == output.dtype == np.float32
    np.testing.assert_allclose(states, run("gru", weights, x)[0], atol=1e-5)


def _squashed(x):
    return tanh(x), sigmoid(x)


_SQUASH = elementwise(_squashed, taken=1, given=2)


@njit
def _squash(x, out):
    nothing = np.empty(1)
    where = address(out, (0, 0))
    _SQUASH(address(x, (0,)), 0, where, x.size, address(nothing, (0,)), x.size)


def test_tanh_and_the_logistic_function_are_right_to_the_last_places():
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(0)
    x = np.concatenate([
        rng.normal(0, scale, 40) for scale in (1e-300, 1e-9, 0.02, 0.3, 1, 5, 30, 150)
    ])  # fmt: skip
    out = np.empty((2, x.size))
    _squash(x, out)
    with mpmath.workdps(60):
        exact = [
            [float(mpmath.tanh(v)) for v in x],
            [float(1 / (1 + mpmath.exp(-mpmath.mpf(v)))) for v in x],
        ]
    np.testing.assert_array_almost_equal_nulp(out[0], np.array(exact[0]), nulp=4)
    np.testing.assert_array_almost_equal_nulp(out[1], np.array(exact[1]), nulp=4)
    edges = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 22.0])
    out = np.empty((2, edges.size))
    _squash(edges, out)
    np.testing.assert_array_equal(out[0], np.tanh(edges))
    assert np.signbit(out[0, 4]) and not np.signbit(out[0, 3])
    np.testing.assert_allclose(out[1], [np.nan, 1, 0, 0.5, 0.5, 1, 0, 1], atol=1e-9)


def test_compiled_loops_refuse_numbers_of_another_width():
    with pytest.raises(TypingError, match="float32; give float64"):
        _squash(np.zeros(8, np.float32), np.zeros((2, 8)))


def test_a_start_state_of_another_shape_is_refused():
    weights = make_weights("lstm", 7, seed=2)
    with pytest.raises(SolspaceError, match=r"state of shape \(2, 7\).*give \(2, 14\)"):
        run("lstm", weights, np.zeros((2, 5, 2)), np.zeros((2, 7)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(units=st.integers(1, 12), prefix=st.sampled_from(["", "rnn.", "rnn.rnn.", "module.core."]))
@settings(max_examples=10)
def test_state_dicts_round_trip_under_any_prefix(architecture, units, prefix):
    weights = make_weights(architecture, units, seed=units)
    again = from_state_dict(
        to_state_dict(weights, prefix=prefix, readout="decoder."),
        architecture,
        inputs=2,
        outputs=1,
    )
    for name in PARAMETERS:
        np.testing.assert_array_equal(again[name], weights[name])
    model = Model(architecture, 2, units, 1)
    model.load_state_dict(to_state_dict(weights))


def test_a_state_dict_of_another_architecture_is_named_with_its_shapes():
    with pytest.raises(SolspaceError) as caught:
        from_state_dict(
            make_model("gru", 8, 0).state_dict(), "vanilla", inputs=2, outputs=1, source="a.pt"
        )
    text = str(caught.value)
    assert text.startswith("a.pt: does not fit a vanilla network")
    assert "(24, 2)" in text
    assert "expected (8, 2)" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("rnn.bias_hh_l0"), "0 parameters end in 'bias_hh_l0'"),
        (lambda d: d.update({"rnn.weight_ih_l1": torch.zeros(8, 8)}), "one recurrent layer"),
        (lambda d: d.update({"fc2.weight": torch.zeros(1, 8)}), "one linear readout"),
        (lambda d: d.update({"fc.weight": torch.zeros(1, 9)}), "weight_out is (1, 9)"),
        (lambda d: d.update({"fc.bias": torch.full((1,), torch.nan)}), "NaN or infinity"),
    ],
)
def test_a_state_dict_that_does_not_fit_says_what_was_found(change, message):
    state = dict(make_model("vanilla", 8, 0).state_dict())
    change(state)
    with pytest.raises(SolspaceError) as caught:
        from_state_dict(state, "vanilla", inputs=2, outputs=1)
    assert message in str(caught.value)


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    target = tmp_path / "written"
    torch.save({"rnn.weight_ih_l0": Bomb(str(target))}, tmp_path / "bomb.pt")
    with pytest.raises(SolspaceError, match="could run code"):
        read_state_dict(str(tmp_path / "bomb.pt"))
    assert not target.exists()


def test_a_checkpoint_with_the_state_dict_inside_is_taken(tmp_path):
    model = make_model("gru", 5, 0)
    path = tmp_path / "checkpoint.pt"
    optimizer = torch.optim.Adam(model.parameters())
    checkpoint = {"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, path)
    found = from_state_dict(read_state_dict(str(path)), "gru", inputs=2, outputs=1)
    np.testing.assert_array_equal(found["bias_out"], model.fc.bias.detach().numpy())
    torch.save({"epoch": 3}, path)
    with pytest.raises(SolspaceError, match="no state dict of a recurrent network"):
        read_state_dict(str(path))


def test_a_truncated_file_and_a_missing_one_are_named(tmp_path):
    path = tmp_path / "half.pt"
    torch.save(make_model("vanilla", 20, 0).state_dict(), path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(SolspaceError, match=r"half\.pt: cannot be read, truncated"):
        read_state_dict(str(path))
    with pytest.raises(SolspaceError, match="no such file"):
        read_state_dict(str(tmp_path / "none.pt"))
    path.write_bytes(b"")
    with pytest.raises(SolspaceError, match=r"half\.pt: cannot be read"):
        read_state_dict(str(path))
    torch.save([1, 2], path)
    with pytest.raises(SolspaceError, match="holds a list"):
        read_state_dict(str(path))


@pytest.mark.parametrize("architecture", ["vanilla", "relu", "gru", "lstm"])
def test_loops_are_compiled_once_whoever_may_write_what_they_read(architecture):
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(architecture, 3, inputs=2, outputs=1)
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    x = rng.normal(size=(2, 5, 2))
    own = run_output(architecture, weights, x)
    x.flags.writeable = False
    np.testing.assert_array_equal(run_output(architecture, weights, x), own)
    loop = importlib.import_module(f"solspace.networks.{architecture}")._run
    assert len(loop.signatures) == 1
