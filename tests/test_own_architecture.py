"""The page docs/own_architecture.md, run as written; architectures that cannot be used; a file."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from blocks import python_blocks

from solspace import (
    Recipe,
    SolspaceError,
    add_population,
    check_store,
    create_population,
    describe,
    extract_features,
    get_task,
    import_networks,
    network_weights,
    networks,
    new_population,
    record,
    reduce,
    register_architecture,
    run_stage,
    train,
)
from solspace.networks import (
    ACTIVITY,
    Architecture,
    Parameter,
    StatePart,
    get_architecture,
    recurrent,
    run,
)
from solspace.training.steps import make_steps

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own_architecture.md"
TASK = "interval_reproduction"
QUICK = Recipe(target_loss=0.5, max_steps=20, learning_rate=0.01, attempts=1, check_every=10)


@pytest.fixture(autouse=True)
def forgotten():
    """What a test registers is forgotten after it."""
    own = networks.registry._own
    before = dict(own)
    yield
    own.clear()
    own.update(before)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    store = str(tmp_path_factory.mktemp("own") / "leaky_tanh.zarr")
    names: dict = {"store": store}
    for block in python_blocks("docs/own_architecture.md"):
        exec(block.replace('"stores/leaky_tanh.zarr"', repr(store)), names)
    return names


def test_an_architecture_from_a_notebook_goes_through_every_stage(page):
    ds = page["population"]
    assert ds.status_train.values.tolist() == [1, 1]
    assert (ds.loss < 0.03).all()
    assert ds.alpha.values.tolist() == [0.6, 0.6]
    assert ds.status_reduce.values.tolist() == [1, 1]
    assert all(key.startswith("v2:") for key in ds.automaton_key.values)
    group = f"{TASK}/leaky_tanh"
    training = xr.open_zarr(page["store"], group=f"{group}/training")
    weights = network_weights(ds, 1)
    trials = get_task(TASK).recorded_trials()
    # The package's own leaky network, compiled, does the same.
    states, output = run("leaky", weights, trials.input)
    size = int(ds.hidden_size[1])
    np.testing.assert_allclose(training.activity[1, ..., :size], states, atol=1e-6)
    np.testing.assert_allclose(training.output[1], output, atol=1e-6)
    beyond = xr.open_zarr(page["store"], group=f"{group}/extrapolation")
    assert np.isfinite(beyond.output.values).all()
    assert check_store(page["store"]) == []
    np.testing.assert_array_equal(
        network_weights(page["again"], 0)["weight_hh"], network_weights(ds, 0)["weight_hh"]
    )


@pytest.mark.slow
def test_an_architecture_of_ones_own_reaches_the_workers(page):
    group = f"{TASK}/leaky_tanh"
    before = xr.open_zarr(page["store"], group=group).load()
    for stage in ("reduce", "responses", "label"):
        run_stage(page["store"], stage, redo=True, workers=2)
    after = xr.open_zarr(page["store"], group=group).load()
    assert after.automaton_key.values.tolist() == before.automaton_key.values.tolist()


def test_a_population_with_another_alpha_is_another(page):
    other = new_population(
        TASK, "leaky_tanh", networks=2, hidden_size=[16, 20], alpha=0.3, recipe=page["recipe"]
    )
    with pytest.raises(SolspaceError, match=r"alpha: \[?0.6 0.6\]? stored, \[?0.3 0.3\]? given"):
        create_population(page["store"], other)


def test_a_task_without_a_recipe_says_how_to_give_one(page):
    with pytest.raises(SolspaceError, match=r"no training recipe .* 'leaky_tanh'.*recipe=solspace"):
        new_population(TASK, "leaky_tanh", networks=1)


# --------------------------------------------------------------------------- a file in the package

FILE = '''
"""A network whose units adapt: a second part of the state, and a trained parameter per unit."""

from solspace.networks import ACTIVITY, Architecture, Parameter, StatePart, recurrent


def step(weights, drive, h, a):
    h = ((drive + recurrent(weights, h))[..., 0, :] - weights["strength"] * a).tanh()
    return h, a + weights["rate"] * (h - a)


ARCHITECTURE = Architecture(
    name="adapting",
    description="h <- tanh(W h + V x + b - s a); a <- a + rate (h - a)",
    step=step,
    state=(ACTIVITY, StatePart("adaptation", "adaptation of the unit")),
    parameters=(
        Parameter("strength", "how strongly a unit adapts", ("unit",), default=0.3, trained=True),
        Parameter("rate", "how fast a unit adapts", ("unit",), default=0.1, least=0, most=1),
    ),
)
'''

USE = f"""
import json, sys
import numpy as np
import solspace, solspace.networks
from solspace import Recipe

solspace.networks.__path__.append(sys.argv[1])
recipe = Recipe(**json.loads(sys.argv[3]))
ds = solspace.new_population("{TASK}", "adapting", networks=3, hidden_size=[5, 7], recipe=recipe,
                             checkpoints=2)
solspace.create_population(sys.argv[2], ds, shard_size=2)
for stage in ("train", "record", "extrapolate", "reduce", "responses", "label", "verify",
              "features"):
    outcome, = solspace.run_stage(sys.argv[2], stage)
    assert outcome.done + outcome.failed == 3, stage
assert solspace.check_store(sys.argv[2]) == []
print(solspace.describe(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def adapting(tmp_path_factory):
    """A store made in a process of its own, so that the others do not see the file."""
    tmp_path = tmp_path_factory.mktemp("file")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "adapting.py").write_text(FILE)
    store = str(tmp_path / "x.zarr")
    arguments = [str(tmp_path / "files"), store, json.dumps(dataclasses.asdict(QUICK))]
    done = subprocess.run([sys.executable, "-c", USE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return store


@pytest.mark.slow
def test_one_file_in_the_package_is_an_architecture(adapting):
    store = adapting
    ds = xr.open_zarr(store, group=f"{TASK}/adapting").load()
    assert ds.status_train.values.tolist() == [1, 1, 1]
    assert ds.status_record.values.tolist() == [1, 1, 1]
    assert (ds.status_reduce > 0).all()
    sizes = ds.hidden_size.values
    for name in ("strength", "initial_strength", "rate"):
        assert ds[name].dims == ("network", "unit")
        for i, n in enumerate(sizes):
            assert np.isfinite(ds[name].values[i, :n]).all()
            assert np.isnan(ds[name].values[i, n:]).all()
    assert "rate" in ds.coords
    np.testing.assert_allclose(ds.initial_strength.values[0, :5], 0.3, rtol=1e-6)
    assert not np.array_equal(ds.strength.values[0, :5], ds.initial_strength.values[0, :5])
    checkpoints = xr.open_zarr(store, group=f"{TASK}/adapting/checkpoints").load()
    np.testing.assert_array_equal(checkpoints.checkpoint_strength.values[:, -1], ds.strength.values)
    training = xr.open_zarr(store, group=f"{TASK}/adapting/training").load()
    assert training.adaptation.attrs["long_name"].startswith("adaptation of the unit")
    h, a = (training[name].values[0, ..., :5].astype(float) for name in ("activity", "adaptation"))
    np.testing.assert_allclose(a[:, 1:], a[:, :-1] + 0.1 * (h[:, 1:] - a[:, :-1]), atol=1e-6)


@pytest.mark.slow
def test_a_store_of_an_architecture_that_is_not_known_says_so(adapting):
    with pytest.raises(SolspaceError, match=r"unknown architecture 'adapting'.*register_arch"):
        run_stage(adapting, "record")
    # What the store holds can be told without the equations.
    told = describe(adapting)
    assert "interval_reproduction/adapting: 3 networks" in told
    assert re.search(r"^  reduce +\d (done|failed)", told, flags=re.M)
    assert any("unknown architecture" in fault for fault in check_store(adapting))


# --------------------------------------------------------------------------- the package's own


@pytest.mark.parametrize("name", networks.architecture_names("recurrent"))
def test_every_architecture_of_the_package_passes_the_checks(name):
    """Its compiled loop against its step, padding, gradients."""
    record = get_architecture(name)
    register_architecture(dataclasses.replace(record, name=f"{name}_again"))


def test_what_an_architecture_has_beyond_is_told_in_memory_too():
    shapes = networks.parameter_shapes("lstm", 5, inputs=2, outputs=1)
    mine = {name: np.full(shape, 0.1) for name, shape in shapes.items()}
    with pytest.warns(UserWarning, match="do not do the task"):
        ds = import_networks(TASK, "lstm", {"mine": mine})
    assert record(ds).cell_state.attrs["long_name"].startswith("cell state")
    again = record(ds.chunk(network=1))
    assert again.cell_state.attrs["long_name"].startswith("cell state")


@pytest.mark.parametrize("name", ["leaky", "leaky_rate"])
def test_leaky_networks_with_a_step_of_one_are_the_others(name):
    shapes = networks.parameter_shapes(name, 6, inputs=2, outputs=1)
    rng = np.random.default_rng(0)
    weights = {key: rng.normal(0, 0.4, shape) for key, shape in shapes.items()}
    weights["alpha"] = np.array(1.0)
    x = rng.normal(size=(3, 40, 2))
    same = {"leaky": "vanilla", "leaky_rate": "relu"}[name]
    np.testing.assert_allclose(run(name, weights, x)[0], run(same, weights, x)[0], atol=1e-12)
    # Half a step goes half of the way.
    weights["alpha"] = np.array(0.5)
    first = run(name, weights, x[:, :1])[0]
    np.testing.assert_allclose(first, run(same, weights, x[:, :1])[0] / 2, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "leaky", "leaky_rate"])
def test_they_learn_and_go_through_every_stage(name, tmp_path):
    task = get_task(TASK)
    recipe = dataclasses.replace(
        task.recipe(name), target_loss=0.0345, max_steps=200, check_every=10, attempts=3
    )
    ds = train(new_population(TASK, name, networks=2, hidden_size=[8, 12], recipe=recipe))
    assert ds.status_train.values.tolist() == [1, 1]
    labeled = reduce(ds)
    assert (labeled.status_reduce > 0).all()
    features = extract_features(record(ds))
    assert np.isfinite(features.features.values).any()
    add_population(
        str(tmp_path / "x.zarr"),
        import_networks(TASK, name, {str(i): network_weights(ds, i) for i in range(2)}),
    )
    assert check_store(str(tmp_path / "x.zarr")) == []


def test_the_gradient_of_a_step_is_that_of_torchs_module():
    """The same weights trained by torch's RNN and by the step: the same after some steps."""
    task = get_task(TASK)
    trials = task.training_trials(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    shapes = networks.parameter_shapes("relu", 7, inputs=2, outputs=1)
    start = {key: rng.normal(0, 0.3, shape).astype("f4") for key, shape in shapes.items()}
    stepped = dataclasses.replace(get_architecture("relu"), name="relu_step", torch_module=None)
    register_architecture(stepped)
    one, two = (
        make_steps(name, start, trials, task.recipe("vanilla"), "cpu")
        for name in ("relu", "relu_step")
    )
    batches = rng.integers(len(trials), size=(5, 16))
    for steps in (one, two):
        steps.advance(batches, np.full(5, 1e-3))
    for key, array in one.weights().items():
        np.testing.assert_allclose(two.weights()[key], array, atol=1e-5)


# --------------------------------------------------------------------------- what is refused


def _tanh(weights, drive, h):
    return (drive + recurrent(weights, h))[..., 0, :].tanh()


BASE = Architecture("mine", "h <- tanh(W h + V x + b)", _tanh)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "my net"}, "'my net' is no group name"),
        ({"name": "vanilla"}, "solspace has an architecture 'vanilla'"),
        ({"step": None}, "has no step"),
        ({"gates": ("a", "a")}, "each another name"),
        ({"state": (StatePart("x", "x"),)}, "not 'activity'"),
        ({"state": (ACTIVITY, StatePart("output", "x"))}, "'output' is a variable of every store"),
        ({"parameters": (Parameter("loss", "x", default=1),)}, "'loss' is a variable of every"),
        ({"parameters": (Parameter("tau", "x", ("time",), default=1),)}, "tau has dims"),
        ({"parameters": (Parameter("tau", "x", default=3, most=1),)}, "tau is 3 by default"),
        ({"step": lambda w, d, h: h[..., :2]}, r"1 parts of shape \(1, 3, 5\).*\(1, 3, 2\)"),
        ({"step": lambda w, d, h: (h, h)}, "return what it takes"),
        ({"step": lambda w, d, h: 1 / 0}, "ZeroDivisionError"),
        ({"step": lambda w, d, h: _tanh(w, d, h).detach()}, "raised RuntimeError|no gradient"),
        ({"step": lambda w, d, h: d[..., 0, :].tanh()}, "does not depend on weight_hh, bias_hh"),
        ({"step": lambda w, d, h: _tanh(w, d, h).float().double() / 0}, "NaN or infinity"),
        (
            {"step": lambda w, d, h: _tanh(w, d, h + h.mean(-1, keepdim=True))},
            "padding, of zero weights, change",
        ),
        ({"compiled": get_architecture("relu").compiled}, "does otherwise than its step"),
        ({"state": (ACTIVITY, StatePart("more", "x"))}, "TypeError"),
        (
            {"parameters": (Parameter("tau", "x", default=1, trained=True),)},
            "does not depend on tau",
        ),
    ],
)
def test_an_architecture_that_cannot_be_used_is_refused(changes, words):
    with pytest.raises(SolspaceError, match=words):
        register_architecture(dataclasses.replace(BASE, **changes))
    assert "mine" not in networks.architecture_names()


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "second.py").write_text(FILE.replace('name="adapting"', 'name="gru"'))
    code = (
        "import sys, solspace.networks as n\n"
        "n.__path__.append(sys.argv[1])\n"
        "n.architecture_names()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert "there is an architecture 'gru' already" in done.stderr


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: new_population(TASK, "leaky", networks=2, alpha=1.5), "alpha 1.5 .* from 0 to 1"),
        (lambda: new_population(TASK, "leaky", networks=2, alpha=[0.1] * 3), r"shape \(3,\)"),
        (lambda: new_population(TASK, "leaky", networks=2, alpha="much"), "alpha 'much'"),
        (lambda: new_population(TASK, "leaky", networks=2, tau=2), "have no 'tau', only alpha"),
        (lambda: new_population(TASK, "vanilla", networks=2, alpha=0.1), "with alpha: leaky"),
        (lambda: new_population("two_neuron", "planar", networks=2, alpha=0.1), "have no alpha"),
    ],
)
def test_parameters_that_cannot_be_are_refused(ask, words):
    with pytest.raises(SolspaceError, match=words):
        ask()


# --------------------------------------------------------------------------- import


def _state(module=torch.nn.RNN, **more):
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"rnn": module(2, 6), "fc": torch.nn.Linear(6, 1)})
    return dict(model.state_dict()) | more


@pytest.mark.filterwarnings("ignore:.*do not do the task")
def test_alpha_comes_from_the_arrays_or_is_given():
    for key in ("alpha", "rnn.alpha"):
        ds = import_networks(TASK, "leaky", {"mine": _state(**{key: torch.tensor([0.3])})})
        assert ds.alpha.item() == pytest.approx(0.3)
    ds = import_networks(TASK, "leaky", {"mine": _state()}, alpha=0.3)
    assert network_weights(ds, 0)["alpha"].item() == 0.3
    assert "alpha" in ds.coords
    with pytest.raises(SolspaceError, match=r"mine: .* needs alpha .*--alpha VALUE.*alpha=VALUE"):
        import_networks(TASK, "leaky", {"mine": _state()})
    with pytest.raises(SolspaceError, match=r"alpha is 0\.3.* in it and 0\.4 is given"):
        import_networks(TASK, "leaky", {"mine": _state(alpha=torch.tensor(0.3))}, alpha=0.4)
    with pytest.raises(SolspaceError, match="from 0 to 1"):
        import_networks(TASK, "leaky", {"mine": _state(alpha=torch.tensor(3.0))})
    with pytest.raises(SolspaceError, match="vanilla networks have no 'alpha'"):
        import_networks(TASK, "vanilla", {"mine": _state()}, alpha=0.4)


@pytest.mark.filterwarnings("ignore:.*do not do the task")
def test_a_nonlinearity_that_is_not_so_is_refused():
    relu = torch.nn.ModuleDict(
        {"rnn": torch.nn.RNN(2, 6, nonlinearity="relu"), "fc": torch.nn.Linear(6, 1)}
    )
    ds = import_networks(TASK, "relu", {"mine": relu})
    trials = get_task(TASK).recorded_trials()
    with torch.no_grad():
        states = relu["rnn"](torch.from_numpy(trials.input).swapaxes(0, 1))[0].swapaxes(0, 1)
        loss = float(((relu["fc"](states).numpy() - trials.target) ** 2).mean())
    assert ds.loss.item() == pytest.approx(loss, rel=1e-5)
    assert import_networks(TASK, "relu", {"mine": relu.state_dict()}, nonlinearity="relu")
    with pytest.raises(SolspaceError, match="nonlinearity is relu, architecture relu; vanilla was"):
        import_networks(TASK, "vanilla", {"mine": relu})
    with pytest.raises(SolspaceError, match=r"that of vanilla networks is 'tanh'.*: .*relu"):
        import_networks(TASK, "vanilla", {"mine": relu.state_dict()}, nonlinearity="relu")
    with pytest.raises(SolspaceError, match="no module of torch's is a leaky network"):
        import_networks(TASK, "leaky", {"mine": relu}, alpha=0.1)


@pytest.mark.filterwarnings("ignore:.*do not do the task")
def test_the_command_takes_both(tmp_path, capsys):
    from solspace.cli import main

    torch.save(_state(), tmp_path / "mine.pt")
    asked = ["--task", TASK, "--architecture"]
    store, file = str(tmp_path / "x.zarr"), str(tmp_path / "mine.pt")
    assert main(["import", store, *asked, "leaky", file]) == 2
    assert "--alpha VALUE" in capsys.readouterr().err
    assert main(["import", store, *asked, "relu", file, "--nonlinearity", "tanh"]) == 2
    assert "that of relu networks is 'relu'" in capsys.readouterr().err
    assert main(["import", store, *asked, "leaky", file, "--alpha", "0.25"]) == 0
    ds = xr.open_zarr(store, group=f"{TASK}/leaky")
    assert ds.alpha.values.tolist() == [0.25]
    assert main(["import", store, *asked, "relu", file, "--nonlinearity", "relu"]) == 0
    assert main(["record", store, "--quiet"]) == 0
    assert main(["check", store]) == 0


@pytest.mark.filterwarnings("ignore:.*do not do the task")
def test_names_of_ones_own_are_read():
    def read(arrays):
        return {
            "weight_ih": arrays["W_in"][None], "weight_hh": arrays["W"][None],
            "bias_ih": arrays["b"][None], "bias_hh": 0 * arrays["b"][None],
            "weight_out": arrays["W_out"], "bias_out": arrays["b_out"],
        }  # fmt: skip

    register_architecture(dataclasses.replace(BASE, name="renamed", read=read))
    arrays = {"W_in": np.ones((4, 2)), "W": np.eye(4), "b": np.zeros(4), "W_out": np.ones((1, 4)),
              "b_out": np.zeros(1)}  # fmt: skip
    ds = import_networks(TASK, "renamed", {"mine": arrays})
    assert ds.hidden_size.item() == 4
    del arrays["b"]
    with pytest.raises(SolspaceError, match=r"reader of renamed networks cannot read it.*'b'"):
        import_networks(TASK, "renamed", {"mine": arrays})
